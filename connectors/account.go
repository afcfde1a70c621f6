package connectors

import (
	"slices"
	"strings"

	"orderferry/relay"
)

// SameOrders reports whether a cart of this connector and another one would ship the
// same orders if their credentials are the same: each order would be shipped twice.
// The other may be of another connector, since one system may have two names.
func (c Connector) SameOrders(a, b relay.Connection) bool {
	if c.Divisible && a.Rules.Filter.Apart(b.Rules.Filter) {
		return false
	}
	return a.BaseURL == b.BaseURL && !slices.ContainsFunc(c.Settings, func(s Setting) bool {
		return s.Parts && a.Settings[s.Name] != "" && b.Settings[s.Name] != "" && a.Settings[s.Name] != b.Settings[s.Name]
	})
}

// WantApart says what would be accepted in the place of two carts of one account.
func (c Connector) WantApart() string {
	want := "want one cart an account"
	var parts []string
	for _, s := range c.Settings {
		if s.Parts {
			parts = append(parts, "settings."+s.Name)
		}
	}
	if len(parts) > 0 {
		want += ", or another " + strings.Join(parts, " or ") + " at each"
	}
	if c.Divisible {
		want += ", or filters that no order passes both of: filter.locations with none in common, or filter.tags that are all among the other's filter.not_tags"
	}
	return want
}
