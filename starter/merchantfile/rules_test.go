package merchantfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

const ruled = `id: acme
zone: Europe/Berlin
carts:
- name: main
  connector: shop
  settings: {location: L1}
  credentials: {token: abc}
  filter:
    statuses: [finalized, active]
    payments: [paid]
    tags: [VIP, "b2b "]
    not_tags: [dropship]
    locations: [0123]
    countries: [us, CA]
    not_countries: [MX]
    skus: [MUG, 42]
    not_skus: [GIFT-CARD]
    earliest: 2026-11-01
  ship_methods:
    map:
      Standard   Shipping: GROUND
      2: AIR
    unmapped: hold
  carriers:
    USPS: US Postal Service
  stock:
    sites: [EAST]
    locations:
      456: [WEST, North]
    floor: 5
    buffer: 2
    buffer_percent: 100
warehouse:
  connector: depot
  credentials: {key: def}
`

func TestParseRules(t *testing.T) {
	f, faults := parse(ruled)
	require.Empty(t, faults)
	require.Equal(t, relay.Rules{
		Filter: relay.Filter{
			Statuses: []string{"finalized", "active"}, Payments: []string{"paid"}, Tags: []string{"VIP", "b2b"}, NotTags: []string{"dropship"},
			Locations: []string{"0123"}, Countries: []string{"US", "CA"}, NotCountries: []string{"MX"},
			SKUs: []relay.SKU{"MUG", "42"}, NotSKUs: []relay.SKU{"GIFT-CARD"},
			Earliest: time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC), // midnight in Berlin
		},
		Methods: relay.ShipMethods{
			Map: map[relay.ShipMethod]relay.Service{"Standard Shipping": "GROUND", "2": "AIR"}, Unmapped: relay.HoldUnmapped,
		},
		Carriers: map[string]string{"USPS": "US Postal Service"},
		Stock: relay.StockRules{
			Sites: []string{"EAST"}, Locations: map[string][]string{"456": {"WEST", "North"}}, Floor: 5, Buffer: 2, BufferPercent: 100,
		},
	}, f.Merchant.Carts[0].Rules)

	at, faults := parse(strings.Replace(ruled, "2026-11-01", "2026-11-01T08:30:00-08:00", 1))
	require.Empty(t, faults)
	require.Equal(t, time.Date(2026, 11, 1, 16, 30, 0, 0, time.UTC), at.Merchant.Carts[0].Rules.Filter.Earliest)

	f, faults = parse(strings.NewReplacer("[EAST]", "[]", "[WEST, North]", "[]").Replace(ruled))
	require.Empty(t, faults)
	require.Equal(t, relay.StockRules{Sites: []string{}, Locations: map[string][]string{"456": {}}, Floor: 5, Buffer: 2, BufferPercent: 100},
		f.Merchant.Carts[0].Rules.Stock, "their stock is left alone")

	for _, rules := range []string{"", "  filter:\n  ship_methods: {}\n  carriers:\n  stock: {locations: }\n"} {
		f, faults = parse(strings.Replace(small, "warehouse:\n", rules+"warehouse:\n", 1))
		require.Empty(t, faults)
		require.Zero(t, f.Merchant.Carts[0].Rules)
	}
}

func TestFaultsOfRules(t *testing.T) {
	for name, c := range map[string]struct {
		old, now string
		want     []string
	}{
		"unknown rule": {"  filter:", "  filters:", []string{
			"merchant.yaml:8:3: carts[0].filters: unknown: want one of name, connector, base_url, mode, settings, credentials, schedule, filter, ship_methods, carriers, stock"}},
		"unknown in filter":   {"    payments:", "    payment:", []string{"merchant.yaml:10:5: carts[0].filter.payment: unknown: want one of statuses, payments, tags, not_tags, locations, countries, not_countries, skus, not_skus, earliest"}},
		"unknown in methods":  {"    unmapped:", "    otherwise:", []string{"merchant.yaml:23:5: carts[0].ship_methods.otherwise: unknown: want one of map, unmapped"}},
		"unknown in stock":    {"    floor:", "    flor:", []string{"merchant.yaml:30:5: carts[0].stock.flor: unknown: want one of sites, locations, floor, buffer, buffer_percent"}},
		"no list":             {"[paid]", "paid", []string{"merchant.yaml:10:5: carts[0].filter.payments: want a list of 1 to 1000"}},
		"empty list":          {"[paid]", "[]", []string{"merchant.yaml:10:5: carts[0].filter.payments: want a list of 1 to 1000"}},
		"empty word":          {"[paid]", `["", paid]`, []string{"merchant.yaml:10:16: carts[0].filter.payments[0]: empty: give it a value or leave it out"}},
		"word twice":          {"[finalized, active]", "[active, Active]", []string{`merchant.yaml:9:24: carts[0].filter.statuses[1]: "Active" is listed twice; case and outer blanks do not count`}},
		"word in both lists":  {"[dropship]", "[vip]", []string{`merchant.yaml:12:16: carts[0].filter.not_tags[0]: "vip" is listed in carts[0].filter.tags, too`}},
		"SKU in both lists":   {"[GIFT-CARD]", "[mug]", []string{`merchant.yaml:17:16: carts[0].filter.not_skus[0]: "mug" is listed in carts[0].filter.skus, too`}},
		"country by name":     {"[us, CA]", "[us, Canada]", []string{`merchant.yaml:14:21: carts[0].filter.countries[1]: country "Canada": want the two letters of ISO 3166-1, such as US`}},
		"country twice":       {"[us, CA]", "[us, US]", []string{`merchant.yaml:14:21: carts[0].filter.countries[1]: "US" is listed twice; case and outer blanks do not count`}},
		"country in both":     {"[MX]", "[ca]", []string{`merchant.yaml:15:21: carts[0].filter.not_countries[0]: "CA" is listed in carts[0].filter.countries, too`}},
		"country is a list":   {"[us, CA]", "[[us]]", []string{"merchant.yaml:14:17: carts[0].filter.countries[0]: want text, got a list"}},
		"some day":            {"2026-11-01", "11/01/2026", []string{`merchant.yaml:18:15: carts[0].filter.earliest: "11/01/2026": want a date or a time, such as 2026-11-01 or 2026-11-01T08:00:00Z`}},
		"zone is the fault":   {"Europe/Berlin", "Mars", []string{`merchant.yaml:2:7: zone: time zone "Mars": want a name of the tz database, such as America/Los_Angeles`}},
		"policy":              {"unmapped: hold", "unmapped: drop", []string{`merchant.yaml:23:15: carts[0].ship_methods.unmapped: "drop": want hold, default or pass`}},
		"method without":      {"2: AIR", "2:", []string{"merchant.yaml:22:7: carts[0].ship_methods.map.2: empty: give it a value or leave it out"}},
		"method twice":        {"2: AIR", "STANDARD shipping: AIR", []string{`merchant.yaml:22:7: carts[0].ship_methods.map.STANDARD shipping: the same name as "Standard   Shipping" on line 21; case and blanks do not count`}},
		"method without name": {"2: AIR", `" ": AIR`, []string{"merchant.yaml:22:7: carts[0].ship_methods.map: a name is empty"}},
		"carriers is a list":  {"    USPS: US Postal Service", "    - USPS", []string{"merchant.yaml:24:3: carts[0].carriers: want a mapping, got a list"}},
		"carrier is a list":   {"USPS: US Postal Service", "USPS: [a]", []string{"merchant.yaml:25:5: carts[0].carriers.USPS: want text, got a list"}},
		"site of two":         {"[WEST, North]", "[WEST, EAST]", []string{`merchant.yaml:29:19: carts[0].stock.locations.456[1]: site "EAST" is carts[0].stock.sites[0] already: it counts once`}},
		"site twice":          {"[WEST, North]", "[WEST, WEST]", []string{`merchant.yaml:29:19: carts[0].stock.locations.456[1]: site "WEST" is carts[0].stock.locations.456[0] already: it counts once`}},
		"site without name":   {"[WEST, North]", `[" "]`, []string{"merchant.yaml:29:13: carts[0].stock.locations.456[0]: empty: give it a value or leave it out"}},
		"location of none":    {"456:", `"":`, []string{`merchant.yaml:29:7: carts[0].stock.locations: "": want the cart's id of a location, without outer blanks`}},
		"floor":               {"floor: 5", "floor: -1", []string{`merchant.yaml:30:12: carts[0].stock.floor: "-1": want a whole number from 0 to 1000000000`}},
		"buffer":              {"buffer: 2", "buffer: 2.5", []string{`merchant.yaml:31:13: carts[0].stock.buffer: "2.5": want a whole number from 0 to 1000000000`}},
		"percent":             {"buffer_percent: 100", "buffer_percent: 101", []string{`merchant.yaml:32:21: carts[0].stock.buffer_percent: "101": want a whole number from 0 to 100`}},
		"rules of a warehouse": {"  credentials: {key: def}", "  credentials: {key: def}\n  stock: {floor: 1}", []string{
			"merchant.yaml:36:3: warehouse.stock: unknown: want one of name, connector, base_url, mode, settings, credentials, schedule"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(ruled, c.old))
			f, faults := parse(strings.Replace(ruled, c.old, c.now, 1))
			require.Equal(t, c.want, printed(faults))
			require.Zero(t, f.Merchant)
		})
	}
}

// All that is wrong is told at once.
func TestBadDateInABadZone(t *testing.T) {
	_, faults := parse(strings.NewReplacer("Europe/Berlin", "Mars", "2026-11-01", "yesterday").Replace(ruled))
	require.Equal(t, []string{
		`merchant.yaml:2:7: zone: time zone "Mars": want a name of the tz database, such as America/Los_Angeles`,
		`merchant.yaml:18:15: carts[0].filter.earliest: "yesterday": want a date or a time, such as 2026-11-01 or 2026-11-01T08:00:00Z`,
	}, printed(faults))
}

func TestTooManyRules(t *testing.T) {
	var methods strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&methods, "\n      Method %d: A", i)
	}
	_, faults := parse(strings.Replace(ruled, "\n      2: AIR", methods.String(), 1))
	require.Equal(t, []string{"merchant.yaml:20:5: carts[0].ship_methods.map: has 1001 names: want 1000 at most"}, printed(faults))

	skus := "[MUG" + strings.Repeat(", S", 1000) + "]"
	_, faults = parse(strings.Replace(ruled, "[MUG, 42]", skus, 1))
	require.Equal(t, []string{"merchant.yaml:16:5: carts[0].filter.skus: want a list of 1 to 1000"}, printed(faults))
}
