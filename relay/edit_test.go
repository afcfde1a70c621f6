package relay_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

func submittedOrder() relay.CartOrder {
	yes := true
	return relay.CartOrder{
		Number: "SO-1", ShipMethod: "Standard",
		ShipTo: relay.Address{Name: "Some Six", Street1: "1 Example Street", City: "Springfield", Zip: "02134", Country: "US", Residential: &yes},
		Lines: []relay.Line{
			{ID: "1", SKU: "MUG", Name: "Mug", Quantity: relay.Units(2)},
			{ID: "2", SKU: "CAP", Quantity: relay.Units(1)},
			{ID: "3", SKU: "CAP", Quantity: relay.Units(4)},
			{ID: "4", Quantity: relay.Units(1)},
		},
	}
}

func TestDifferences(t *testing.T) {
	no := false
	for want, change := range map[string]func(o *relay.CartOrder){
		"[]":                                 func(*relay.CartOrder) {},
		"[number: SO-1 -> SO-1B]":            func(o *relay.CartOrder) { o.Number = "SO-1B" },
		"[ship_method: Standard -> Express]": func(o *relay.CartOrder) { o.ShipMethod = "Express" },
		"[ship_method: Standard -> (none)]":  func(o *relay.CartOrder) { o.ShipMethod = "" },
		"[lines[MUG].quantity: 2 -> 2.5]":    func(o *relay.CartOrder) { o.Lines[0].Quantity = 25_000 },
		"[lines[MUG].sku: MUG -> CUP]":       func(o *relay.CartOrder) { o.Lines[0].SKU = "CUP" },
		"[lines[MUG].name changed]":          func(o *relay.CartOrder) { o.Lines[0].Name = "Mug for Some Six" },
		"[lines[CAP #3].quantity: 4 -> 5]":   func(o *relay.CartOrder) { o.Lines[2].Quantity = relay.Units(5) },
		"[lines[#4].sku: (none) -> PEN]":     func(o *relay.CartOrder) { o.Lines[3].SKU = "PEN" },
		"[lines[PEN] added: 3]": func(o *relay.CartOrder) {
			o.Lines = append(o.Lines, relay.Line{ID: "9", SKU: "PEN", Quantity: relay.Units(3)})
		},
		"[lines[MUG] removed: 2]":                    func(o *relay.CartOrder) { o.Lines = o.Lines[1:] },
		"[ship_to.name changed ship_to.zip changed]": func(o *relay.CartOrder) { o.ShipTo.Name, o.ShipTo.Zip = "Some Seven", "" },
		"[ship_to.residential changed]":              func(o *relay.CartOrder) { o.ShipTo.Residential = &no },
		"[problems changed]":                         func(o *relay.CartOrder) { o.Problems = []relay.Problem{{Field: "lines", Message: "1 Example Street"}} },
	} {
		now := submittedOrder()
		change(&now)
		require.Equal(t, want, fmt.Sprint(relay.Differences(submittedOrder(), now)))
	}
}

// Promise 6: the differences go into alerts.
func TestDifferencesTellNoAddress(t *testing.T) {
	was, now := submittedOrder(), submittedOrder()
	a := &now.ShipTo
	for _, field := range []*string{&a.Name, &a.Company, &a.Street1, &a.Street2, &a.City, &a.State, &a.Zip, &a.Country, &a.Phone, &a.Email} {
		*field += " private"
	}
	a.Residential = nil
	now.Lines[0].Name, now.Problems = "private", []relay.Problem{{Field: "ship_to", Message: "private"}}
	got := relay.Differences(was, now)
	require.Len(t, got, 13)
	b, err := json.Marshal(got)
	require.NoError(t, err)
	require.NotContains(t, string(b)+fmt.Sprint(got), "private")
	require.NotContains(t, string(b), "Springfield")
}

// FuzzDifferences: two forms of an order differ exactly when their digests do.
func FuzzDifferences(f *testing.F) {
	f.Add("SO-1", "Standard", "MUG", "Mug", int64(20_000), "1 Example Street", "02134", byte(0))
	f.Add("", "", "CAP", "", int64(0), "", "", byte(255))
	f.Fuzz(func(t *testing.T, number, method, sku, name string, quantity int64, street, zip string, what byte) {
		was, now := submittedOrder(), submittedOrder()
		valid := func(s string) string {
			b, _ := json.Marshal(s)
			var out string
			_ = json.Unmarshal(b, &out)
			return out
		}
		for bit, change := range []func(){
			func() { now.Number = valid(number) },
			func() { now.ShipMethod = relay.ShipMethod(valid(method)) },
			func() { now.Lines[1].SKU = relay.SKU(valid(sku)) },
			func() { now.Lines[1].Name = valid(name) },
			func() { now.Lines[1].Quantity = relay.Quantity(quantity) },
			func() { now.ShipTo.Street1, now.ShipTo.Zip = valid(street), valid(zip) },
			func() { now.Lines = append(now.Lines[1:], now.Lines[0]) }, // another order of lines is no difference
			func() { now.UpdatedAt = time.Unix(1, 0) },
		} {
			if what>>bit&1 == 1 {
				change()
			}
		}
		require.Equal(t, was.Digest() == now.Digest(), len(relay.Differences(was, now)) == 0)
		require.Len(t, relay.Differences(now, was), len(relay.Differences(was, now)))
		for _, d := range relay.Differences(was, now) {
			require.Less(t, len(d.String()), 400)
		}
	})
}
