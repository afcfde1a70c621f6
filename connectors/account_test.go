package connectors_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// Carts of one account share neither the orders that they ship nor the stock that they set.
func TestClash(t *testing.T) {
	location := []connectors.Setting{{Name: "timeout"}, {Name: "location", Parts: true}}
	shop := connectors.Connector{Settings: location, Divisible: true}
	cart := func(location string, f relay.Filter, s relay.StockRules) relay.Connection {
		return relay.Connection{Settings: map[string]string{"location": location, "timeout": "1s"}, Rules: relay.Rules{Filter: f, Stock: s}}
	}
	all, vip, others := relay.Filter{}, relay.Filter{Tags: []string{"vip"}}, relay.Filter{NotTags: []string{"VIP"}}
	own, none := relay.StockRules{}, relay.StockRules{Sites: []string{}}
	at32 := func(own []string, sites ...string) relay.StockRules {
		return relay.StockRules{Sites: own, Locations: map[string][]string{"32": sites}}
	}
	const orders = "every order would be shipped twice: want one cart an account"
	const filters = ", or filters that no order passes both of: filter.locations with none in common, or filter.tags that are all among the other's filter.not_tags"
	const parts = ", or another settings.location at each"
	stock := func(location string) string {
		return "each would set the stock of " + location + " over the other's figures: want one to leave it alone, by an empty list of its sites, such as stock.sites: []" + parts
	}
	for name, c := range map[string]struct {
		kind connectors.Connector
		a, b relay.Connection
		want string
	}{
		"the same orders":         {shop, cart("31", all, own), cart("31", vip, own), orders + parts + filters},
		"all orders and some":     {shop, cart("", all, none), cart("31", all, own), orders + parts + filters},
		"another server":          {shop, relay.Connection{}, relay.Connection{BaseURL: "https://eu.shop.example"}, ""},
		"locations":               {shop, cart("31", all, own), cart("32", all, own), ""},
		"tags at one location":    {shop, cart("31", vip, own), cart("31", others, own), stock("location 31")},
		"tags at the primary one": {shop, cart("", vip, own), cart("", others, own), stock("the account's primary location")},
		"tags at it and another":  {shop, cart("", vip, own), cart("31", others, own), stock("location 31, where that is the account's primary one,")},
		"one leaves it alone":     {shop, cart("", vip, own), cart("", others, none), ""},
		"one sets a further one":  {shop, cart("31", all, at32(nil, "WEST")), cart("32", all, own), stock("location 32")},
		"each sets one":           {shop, cart("31", vip, own), cart("31", others, at32([]string{}, "WEST")), ""},
		"one only knows it":       {shop, cart("31", all, at32(nil)), cart("32", all, own), ""},
		"files at one place":      {connectors.Connector{Settings: location}, cart("31", vip, own), cart("31", others, none), orders + parts},
		"files":                   {connectors.Connector{Settings: location}, cart("31", all, at32(nil, "WEST")), cart("32", all, own), ""},
		"no settings":             {connectors.Connector{}, cart("31", all, own), cart("32", all, own), orders},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, c.kind.Clash(c.a, c.b))
			require.Equal(t, c.want, c.kind.Clash(c.b, c.a))
		})
	}
}
