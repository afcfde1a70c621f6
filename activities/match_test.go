package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func TestOurMatch(t *testing.T) {
	token := func(id relay.WarehouseOrderID) connectors.Match { return connectors.Match{ID: id, By: "token"} }
	gone := func(id relay.WarehouseOrderID) connectors.Match {
		return connectors.Match{ID: id, By: "token", Cancelled: true}
	}
	alike := func(id relay.WarehouseOrderID) connectors.Match { return connectors.Match{ID: id, By: "content"} }
	for name, c := range map[string]struct {
		matches []connectors.Match
		ours    relay.WarehouseOrderID
		extra   []relay.WarehouseOrderID
		sure    bool
	}{
		"one":                             {[]connectors.Match{token("a")}, "a", nil, true},
		"the oldest of several":           {[]connectors.Match{token("a"), token("b"), token("c")}, "a", []relay.WarehouseOrderID{"b", "c"}, true},
		"the one that will ship":          {[]connectors.Match{gone("a"), token("b")}, "b", nil, true},
		"all cancelled":                   {[]connectors.Match{gone("a"), gone("b")}, "a", nil, true},
		"a likeness is never cancelled":   {[]connectors.Match{alike("a"), token("b"), alike("c")}, "b", nil, true},
		"one likeness":                    {[]connectors.Match{alike("a")}, "a", nil, true},
		"several alike: a person decides": {[]connectors.Match{alike("a"), alike("b")}, "a", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			ours, extra, sure := ourMatch(c.matches)
			require.Equal(t, c.sure, sure)
			require.Equal(t, c.ours, ours.ID)
			var ids []relay.WarehouseOrderID
			for _, m := range extra {
				ids = append(ids, m.ID)
			}
			require.Equal(t, c.extra, ids)
		})
	}
}
