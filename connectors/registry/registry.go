// Package registry lists the connectors that Orderferry has: one line each.
package registry

import (
	"orderferry/connectors"
	"orderferry/connectors/easypost"
	"orderferry/connectors/tradegecko"
)

// All returns every connector.
func All() []connectors.Connector {
	return append(tradegecko.Connectors(),
		easypost.Connector(),
	)
}
