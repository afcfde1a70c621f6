package relay_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

// sold is an order that a filter can judge in every respect.
func sold() relay.CartOrder {
	return relay.CartOrder{
		Number: "SO-1", PlacedAt: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC),
		ShipTo: relay.Address{Name: "Some Six", Street1: "1 Example Street", Zip: "02134", Country: "us"},
		Lines:  []relay.Line{{ID: "1", SKU: "MUG"}, {ID: "2", SKU: " cap "}},
		Traits: relay.Traits{Status: "Finalized", Payment: "paid", Location: "12", Tags: []string{"VIP", "wholesale"}},
	}
}

func TestFiltersApart(t *testing.T) {
	for name, c := range map[string]struct {
		one, other relay.Filter
		want       bool
	}{
		"all and all":              {},
		"other locations":          {relay.Filter{Locations: []string{"31", "33"}}, relay.Filter{Locations: []string{"32"}}, true},
		"a location in common":     {relay.Filter{Locations: []string{"EAST", "33"}}, relay.Filter{Locations: []string{"32", " east "}}, false},
		"a location and all":       {relay.Filter{Locations: []string{"31"}}, relay.Filter{}, false},
		"tags that are left out":   {relay.Filter{Tags: []string{"retail", " VIP "}}, relay.Filter{NotTags: []string{"vip", "Retail", "b2b"}}, true},
		"not all are left out":     {relay.Filter{Tags: []string{"retail", "vip"}}, relay.Filter{NotTags: []string{"vip"}}, false},
		"both leave the same out":  {relay.Filter{NotTags: []string{"vip"}}, relay.Filter{NotTags: []string{"vip"}}, false},
		"an order may have both":   {relay.Filter{Tags: []string{"vip"}}, relay.Filter{Tags: []string{"retail"}}, false},
		"a payment is no division": {relay.Filter{Payments: []string{"paid"}}, relay.Filter{Payments: []string{"unpaid"}}, false},
	} {
		require.Equal(t, c.want, c.one.Apart(c.other), name)
		require.Equal(t, c.want, c.other.Apart(c.one), name)
	}
}

func TestFilterSkips(t *testing.T) {
	at := sold().PlacedAt
	for name, c := range map[string]struct {
		filter relay.Filter
		change func(*relay.CartOrder)
		want   string
	}{
		"nothing asked":          {},
		"status":                 {filter: relay.Filter{Statuses: []string{"draft", " FINALIZED "}}},
		"another status":         {filter: relay.Filter{Statuses: []string{"draft"}}, want: "status Finalized, not draft"},
		"no status":              {filter: relay.Filter{Statuses: []string{"draft", "new"}}, change: func(o *relay.CartOrder) { o.Traits.Status = " " }, want: "status unknown, not draft or new"},
		"payment":                {filter: relay.Filter{Payments: []string{"PAID"}}},
		"another payment":        {filter: relay.Filter{Payments: []string{"unpaid", "partial"}}, want: "payment paid, not unpaid or partial"},
		"a tag":                  {filter: relay.Filter{Tags: []string{"retail", "vip"}}},
		"none of the tags":       {filter: relay.Filter{Tags: []string{"retail", "b2b"}}, want: "no tag retail or b2b"},
		"no tags at all":         {filter: relay.Filter{Tags: []string{"retail"}}, change: func(o *relay.CartOrder) { o.Traits.Tags = nil }, want: "no tag retail"},
		"a tag left out":         {filter: relay.Filter{NotTags: []string{"dropship", "Wholesale"}}, want: "tag Wholesale is left out"},
		"no tag left out":        {filter: relay.Filter{NotTags: []string{"dropship"}}},
		"location":               {filter: relay.Filter{Locations: []string{"12"}}},
		"another location":       {filter: relay.Filter{Locations: []string{"1"}}, want: "location 12, not 1"},
		"country":                {filter: relay.Filter{Countries: []string{"US", "CA"}}},
		"another country":        {filter: relay.Filter{Countries: []string{"CA", "MX", "GB"}}, want: "country US, not CA, MX or GB"},
		"country left out":       {filter: relay.Filter{NotCountries: []string{"US"}}, want: "country US is left out"},
		"country by its traits":  {filter: relay.Filter{Countries: []string{"CA"}}, change: func(o *relay.CartOrder) { o.ShipTo.Country, o.Traits.Country = "Kanada", "CA" }},
		"country not understood": {filter: relay.Filter{Countries: []string{"CA"}}, change: func(o *relay.CartOrder) { o.ShipTo.Country = "Kanada" }},
		"country not read": {filter: relay.Filter{Countries: []string{"CA"}}, change: func(o *relay.CartOrder) {
			o.Problems = []relay.Problem{{Field: "ship_to", Message: "could not be read"}}
		}},
		"SKUs":           {filter: relay.Filter{SKUs: []relay.SKU{"mug", "CAP", "PEN"}}},
		"a SKU too many": {filter: relay.Filter{SKUs: []relay.SKU{"MUG"}}, want: "SKU  cap , not MUG"},
		"a SKU left out": {filter: relay.Filter{NotSKUs: []relay.SKU{"PEN", "Mug"}}, want: "SKU MUG is left out"},
		"SKU said once":  {filter: relay.Filter{NotSKUs: []relay.SKU{"MUG"}}, change: func(o *relay.CartOrder) { o.Lines[1].SKU = "mug" }, want: "SKU MUG is left out"},
		"line without SKU": {filter: relay.Filter{SKUs: []relay.SKU{"MUG"}}, change: func(o *relay.CartOrder) {
			o.Lines[1].SKU = ""
		}},
		"lines not read": {filter: relay.Filter{SKUs: []relay.SKU{"MUG"}}, change: func(o *relay.CartOrder) {
			o.Problems = []relay.Problem{{Field: "lines[1].sku", Message: "could not be read"}}
		}},
		"a long list":     {filter: relay.Filter{Countries: []string{"A1", "A2", "A3", "A4", "A5", "A6"}}, want: "country US, not A1, A2, A3, A4 or 2 more"},
		"placed just now": {filter: relay.Filter{Earliest: at}},
		"placed before":   {filter: relay.Filter{Earliest: at.Add(time.Second)}, want: "placed 2026-11-01T08:00:00Z, before 2026-11-01T08:00:01Z"},
		"placed some day": {filter: relay.Filter{Earliest: at}, change: func(o *relay.CartOrder) { o.PlacedAt = time.Time{} }, want: "placed at an unknown time, not from 2026-11-01T08:00:00Z on"},
		"all that is wrong": {filter: relay.Filter{Payments: []string{"unpaid"}, NotCountries: []string{"US"}, Earliest: at.Add(time.Hour)},
			want: "payment paid, not unpaid; country US is left out; placed 2026-11-01T08:00:00Z, before 2026-11-01T09:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			o := sold()
			if c.change != nil {
				c.change(&o)
			}
			require.Equal(t, c.want, c.filter.Skips(o))
		})
	}
}

// Promise 6: a reason is shown where addresses are not.
func TestReasonsHoldNothingOfTheAddress(t *testing.T) {
	o := sold()
	f := relay.Filter{Statuses: []string{"x"}, Payments: []string{"x"}, Tags: []string{"x"}, Locations: []string{"x"}, Countries: []string{"XX"}, SKUs: []relay.SKU{"x"}}
	for _, country := range []string{"US", "1 Example Street, Springfield", "United States"} {
		o.ShipTo.Country = country
		why := f.Skips(o)
		for _, private := range []string{"Some Six", "Example", "02134", "United"} {
			require.NotContains(t, why, private)
		}
	}
}

func TestServiceOfAMethod(t *testing.T) {
	ways := map[relay.ShipMethod]relay.Service{" Standard  Shipping ": "GROUND", "Express": "AIR"}
	for name, c := range map[string]struct {
		methods relay.ShipMethods
		method  relay.ShipMethod
		want    relay.Service
		held    bool
	}{
		"mapped":               {relay.ShipMethods{Map: ways}, "Express", "AIR", false},
		"case and blanks":      {relay.ShipMethods{Map: ways}, "\tSTANDARD shipping", "GROUND", false},
		"a part is no match":   {relay.ShipMethods{Map: ways}, "Standard", "", true},
		"held":                 {relay.ShipMethods{Map: ways, Unmapped: relay.HoldUnmapped}, "Drone", "", true},
		"held without a map":   {relay.ShipMethods{Unmapped: relay.HoldUnmapped}, "Drone", "", true},
		"default":              {relay.ShipMethods{Map: ways, Unmapped: relay.DefaultUnmapped}, "Drone", "", false},
		"passed":               {relay.ShipMethods{Map: ways, Unmapped: relay.PassUnmapped}, " Drone X ", "Drone X", false},
		"mapped before passed": {relay.ShipMethods{Map: ways, Unmapped: relay.PassUnmapped}, "express", "AIR", false},
		"nothing said":         {relay.ShipMethods{}, "Drone", "", false},
		"no method":            {relay.ShipMethods{Map: ways, Unmapped: relay.HoldUnmapped}, "", "", false},
		"a blank method":       {relay.ShipMethods{Map: ways, Unmapped: relay.PassUnmapped}, "  ", "", false},
		"a later release's":    {relay.ShipMethods{Map: ways, Unmapped: "ask"}, "Drone", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.methods.Service(c.method)
			require.Equal(t, c.want, got)
			require.Equal(t, c.held, !ok)
		})
	}
}

func TestCarrier(t *testing.T) {
	r := relay.Rules{Carriers: map[string]string{"USPS": "US Postal Service", "fed  ex": "FedEx"}}
	for in, want := range map[string]string{"USPS": "US Postal Service", " usps": "US Postal Service", "FED ex ": "FedEx", "UPS": "UPS", "": "", "Ups ": "Ups "} {
		require.Equal(t, want, r.Carrier(in), "%q", in)
	}
	require.Equal(t, "UPS", relay.Rules{}.Carrier("UPS"))
}

func TestParseEarliest(t *testing.T) {
	clock := func(zone string) relay.ResendClock { return relay.ResendClock{Hour: 1, Zone: zone} }
	for _, c := range []struct{ zone, in, want string }{
		{"America/Los_Angeles", "2026-11-01", "2026-11-01T07:00:00Z"}, // summer time ends at 2:00
		{"America/Los_Angeles", "2026-11-02", "2026-11-02T08:00:00Z"},
		{"Europe/Berlin", "2026-11-01", "2026-10-31T23:00:00Z"},
		{"Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"}, // this day has no midnight
		{"UTC", "2026-11-01T08:30:00Z", "2026-11-01T08:30:00Z"},
		{"UTC", "2026-11-01T08:30:00+02:00", "2026-11-01T06:30:00Z"},
	} {
		at, err := clock(c.zone).ParseEarliest(c.in)
		require.NoError(t, err)
		require.Equal(t, c.want, at.Format(time.RFC3339), c.in)
	}
	for _, in := range []string{"", "tomorrow", "2026-13-01", "2026-11-01 08:30", "01.11.2026", "2011-12-30x"} {
		_, err := clock("UTC").ParseEarliest(in)
		require.ErrorContains(t, err, "want a date or a time, such as 2026-11-01 or 2026-11-01T08:00:00Z", in)
	}
	_, err := clock("Mars").ParseEarliest("2026-11-01")
	require.ErrorContains(t, err, "time zone")
}

func TestParseCountryAndPolicy(t *testing.T) {
	c, err := relay.ParseCountry(" us ")
	require.NoError(t, err)
	require.Equal(t, "US", c)
	for _, in := range []string{"", "U", "USA", "U1", "Ü", "United States"} {
		_, err := relay.ParseCountry(in)
		require.ErrorContains(t, err, "want the two letters of ISO 3166-1, such as US", in)
	}
	for _, in := range []relay.UnmappedMethod{relay.HoldUnmapped, relay.DefaultUnmapped, relay.PassUnmapped} {
		m, err := relay.ParseUnmappedMethod(string(in))
		require.NoError(t, err)
		require.Equal(t, in, m)
	}
	_, err = relay.ParseUnmappedMethod("Hold")
	require.EqualError(t, err, `"Hold": want hold, default or pass`)
}

// A worker of this release reads what a later one wrote, and knows its own part of it.
func TestRulesOfALaterRelease(t *testing.T) {
	want := relay.Rules{
		Filter:   relay.Filter{Countries: []string{"US"}, Earliest: time.Date(2026, 11, 1, 7, 0, 0, 0, time.UTC)},
		Methods:  relay.ShipMethods{Map: map[relay.ShipMethod]relay.Service{"Express": "AIR"}, Unmapped: relay.PassUnmapped},
		Carriers: map[string]string{"USPS": "Post"},
		Stock:    relay.StockRules{Locations: map[string][]string{"12": {"EAST"}}, Floor: 3},
	}
	b, err := json.Marshal(want)
	require.NoError(t, err)
	later := strings.NewReplacer(`{"filter":{`, `{"weather":{"a":[1]},"filter":{"moods":["good"],`, `"floor"`, `"roof":{"b":2},"floor"`).Replace(string(b))
	require.Contains(t, later, "weather")
	require.Contains(t, later, "roof")
	var got relay.Rules
	require.NoError(t, json.Unmarshal([]byte(later), &got))
	require.Equal(t, want, got)

	empty, err := json.Marshal(relay.Rules{})
	require.NoError(t, err)
	require.Equal(t, "{}", string(empty))
}

func FuzzFilterSkips(f *testing.F) {
	f.Add("US", "paid", "MUG", "vip")
	f.Add("", "", "", "")
	f.Add("\xff", "Ⅷ", " ", "ſ")
	f.Fuzz(func(t *testing.T, country, payment, sku, tag string) {
		o := sold()
		o.ShipTo.Country, o.Traits.Payment, o.Lines[0].SKU, o.Traits.Tags = country, payment, relay.SKU(sku), []string{tag}
		in := relay.Filter{Payments: []string{payment}, Tags: []string{tag}, SKUs: []relay.SKU{relay.SKU(sku), "CAP"}}
		out := relay.Filter{NotTags: []string{tag}, NotSKUs: []relay.SKU{relay.SKU(sku)}}
		if strings.TrimSpace(payment) != "" && strings.TrimSpace(tag) != "" {
			require.Empty(t, in.Skips(o), "what a filter names passes")
		}
		if strings.TrimSpace(tag)+strings.TrimSpace(sku) != "" {
			require.NotEmpty(t, out.Skips(o), "what a filter leaves out does not")
		}
	})
}
