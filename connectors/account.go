package connectors

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"orderferry/relay"
)

// Clash says what a cart of this connector and another one would do to each other if
// their credentials are the same, and what would be accepted; "" where they may go side
// by side. The other may be of another connector, since one system may have two names.
func (c Connector) Clash(a, b relay.Connection) string {
	if a.BaseURL != b.BaseURL {
		return ""
	}
	if !c.apart(a, b) {
		want := "every order would be shipped twice: want one cart an account" + c.orParted()
		if c.Divisible {
			want += ", or filters that no order passes both of: filter.locations with none in common, or filter.tags that are all among the other's filter.not_tags"
		}
		return want
	}
	if where := c.sameStock(a, b); where != "" {
		return "each would set the stock of " + where + " over the other's figures: want one to leave it alone, by an empty list of its sites, such as stock.sites: []" + c.orParted()
	}
	return ""
}

// orParted says which settings may part two carts of one account.
func (c Connector) orParted() string {
	var names []string
	for _, s := range c.Settings {
		if s.Parts {
			names = append(names, "settings."+s.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", or another " + strings.Join(names, " or ") + " at each"
}

// apart reports whether no order is shipped by both carts.
func (c Connector) apart(a, b relay.Connection) bool {
	if c.Divisible && a.Rules.Filter.Apart(b.Rules.Filter) {
		return true
	}
	return slices.ContainsFunc(c.Settings, func(s Setting) bool {
		return s.Parts && a.Settings[s.Name] != "" && b.Settings[s.Name] != "" && a.Settings[s.Name] != b.Settings[s.Name]
	})
}

// sameStock names the location whose stock both carts would set; "" for none.
func (c Connector) sameStock(a, b relay.Connection) string {
	if !c.Divisible {
		return ""
	}
	for _, at := range c.stockAt(a) {
		for _, other := range c.stockAt(b) {
			switch {
			case at == other && at == "":
				return "the account's primary location"
			case at == other:
				return "location " + at
			case at == "" || other == "": // which the primary one is only the vendor knows
				return "location " + cmp.Or(at, other) + ", where that is the account's primary one,"
			}
		}
	}
	return ""
}

// stockAt are the locations whose stock a cart of a divisible connector sets: its own,
// "" for the account's primary one, and those of its rules.
func (c Connector) stockAt(cart relay.Connection) (at []string) {
	if s := cart.Rules.Stock.Sites; s == nil || len(s) > 0 {
		own := ""
		for _, s := range c.Settings {
			if s.Parts {
				own = cart.Settings[s.Name]
			}
		}
		at = append(at, own)
	}
	for _, l := range slices.Sorted(maps.Keys(cart.Rules.Stock.Locations)) {
		if len(cart.Rules.Stock.Locations[l]) > 0 {
			at = append(at, l)
		}
	}
	return at
}
