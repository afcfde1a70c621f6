// Package registry lists the connectors that Orderferry has: one line each.
package registry

import (
	"orderferry/connectors"
	"orderferry/connectors/bergen"
	"orderferry/connectors/csv"
	"orderferry/connectors/easypost"
	"orderferry/connectors/tradegecko"
)

// All returns every connector.
func All() []connectors.Connector {
	return append(append(tradegecko.Connectors(),
		easypost.Connector(),
		bergen.Connector(),
	), csv.Connectors()...)
}
