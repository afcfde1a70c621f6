// Package connectors is the contract between Orderferry and the systems it
// joins. A connector is one folder below this one; it implements Connection and
// those of the small ability interfaces that its system has, found by type
// assertion. Connectors see neither Temporal nor SQL.
package connectors
