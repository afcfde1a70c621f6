// Package csv connects to carts and warehouses that exchange files, in a folder
// or over SFTP: how test orders are made, the way in for any other order source,
// and the way to every warehouse without an API (wire/csv-files.md).
//
// What files look like is a profile: configuration, of which several published
// ones are built in. Two folders hold what goes one way each, named as DropStream
// names them: in, towards the warehouse, and out, from it.
//
// A file that we write has a name made from our key; it is written under another
// name and then renamed, and a copy is kept. Where it, or the copy, is, it has been
// handed over, and is never written again. A file that we read is moved to
// archive, or to problems with the rows that could not be read, once our caller
// has committed what it held.
package csv
