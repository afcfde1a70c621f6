package relay_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
)

func buyer() relay.Address {
	home := true
	return relay.Address{
		Name: "Some One", Company: "Doe Ltd", Street1: "1 Main St", Street2: "Apt 2", City: "Springfield", State: "IL", Zip: "01234",
		Country: "US", Phone: "555-0100", Email: "jane@example.com", Residential: &home,
	}
}

func cartOrder() relay.CartOrder {
	return relay.CartOrder{
		ExternalID: "9", Number: "SO-1042", PlacedAt: time.Unix(1, 0), UpdatedAt: time.Unix(2, 0), ShipTo: buyer(), ShipMethod: "Ground",
		Lines: []relay.Line{
			{ID: "l2", SKU: "MUG", Name: "Mug", Quantity: relay.Units(2)},
			{ID: "l1", SKU: "TEE", Name: "Tee", Quantity: relay.Units(1)},
		},
		Problems: []relay.Problem{{Field: "lines[0].sku", Value: "MUG", Message: "odd"}},
	}
}

// The digest is kept in the ledger: if it came out otherwise after a deploy,
// every order would look changed.
func TestDigestIsAlwaysTheSame(t *testing.T) {
	d := cartOrder().Digest()
	require.Equal(t, "ca8c258e6f11f7b257d579d042cbca076538de34294a9e5651a42770fda3642e", hex.EncodeToString(d[:]))
	empty := relay.CartOrder{}.Digest()
	require.Equal(t, "e0ec60e1ec0aa2181615d5a0d20a268ec21d859d732725b7f881762ec6695229", hex.EncodeToString(empty[:]))
}

func TestDigestIgnoresWhatIsNotShipped(t *testing.T) {
	want := cartOrder().Digest()
	for name, change := range map[string]func(*relay.CartOrder){
		"updated":            func(o *relay.CartOrder) { o.UpdatedAt = time.Unix(99, 0) },
		"placed":             func(o *relay.CartOrder) { o.PlacedAt = time.Time{} },
		"id":                 func(o *relay.CartOrder) { o.ExternalID = "10" },
		"order of the lines": func(o *relay.CartOrder) { slices.Reverse(o.Lines) },
		"another pointer":    func(o *relay.CartOrder) { home := true; o.ShipTo.Residential = &home },
	} {
		o := cartOrder()
		change(&o)
		require.Equal(t, want, o.Digest(), name)
	}
	// What comes back from the ledger may be empty where it went in as nil.
	require.Equal(t, relay.CartOrder{}.Digest(), relay.CartOrder{Lines: []relay.Line{}, Problems: []relay.Problem{}}.Digest())
}

func TestDigestSeesWhatIsShipped(t *testing.T) {
	seen := map[[32]byte]string{cartOrder().Digest(): "as it was"}
	for name, change := range map[string]func(*relay.CartOrder){
		"number":      func(o *relay.CartOrder) { o.Number = "SO-1043" },
		"name":        func(o *relay.CartOrder) { o.ShipTo.Name = "Some Two" },
		"zip":         func(o *relay.CartOrder) { o.ShipTo.Zip = "1234" },
		"phone":       func(o *relay.CartOrder) { o.ShipTo.Phone = "" },
		"residential": func(o *relay.CartOrder) { home := false; o.ShipTo.Residential = &home },
		"not known":   func(o *relay.CartOrder) { o.ShipTo.Residential = nil },
		"method":      func(o *relay.CartOrder) { o.ShipMethod = "Air" },
		"units":       func(o *relay.CartOrder) { o.Lines[0].Quantity = relay.Units(3) },
		"fraction":    func(o *relay.CartOrder) { o.Lines[0].Quantity++ },
		"SKU":         func(o *relay.CartOrder) { o.Lines[0].SKU = "CUP" },
		"line":        func(o *relay.CartOrder) { o.Lines = o.Lines[:1] },
		"twice":       func(o *relay.CartOrder) { o.Lines = append(o.Lines, o.Lines[0]) },
		"problem":     func(o *relay.CartOrder) { o.Problems = nil },
	} {
		o := cartOrder()
		change(&o)
		d := o.Digest()
		require.Empty(t, seen[d], name)
		seen[d] = name
	}
}

func TestDigestLeavesTheOrderAlone(t *testing.T) {
	o := cartOrder()
	o.Digest()
	require.Equal(t, cartOrder(), o)
}

// Lines have ids of their own, but a cart may err: also then the digest does
// not depend on the order in which it tells them, nor on a trip through JSON.
func TestDigestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := cartOrder()
		o.Lines = rapid.SliceOf(rapid.Custom(func(t *rapid.T) relay.Line {
			return relay.Line{
				ID:       relay.LineID(rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "id")),
				SKU:      relay.SKU(rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "sku")),
				Name:     rapid.SampledFrom([]string{"", "x"}).Draw(t, "name"),
				Quantity: relay.Quantity(rapid.Int64Range(-2, 2).Draw(t, "quantity")),
			}
		})).Draw(t, "lines")
		shuffled := o
		shuffled.Lines = rapid.Permutation(o.Lines).Draw(t, "shuffled")
		if o.Digest() != shuffled.Digest() {
			t.Fatal("the order of the lines changed the digest")
		}
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var back relay.CartOrder
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if o.Digest() != back.Digest() {
			t.Fatal("a trip through JSON changed the digest")
		}
	})
}

// Promise 6: however it is printed, alone, in a struct, or through a pointer.
func TestAddressNeverPrints(t *testing.T) {
	a := buyer()
	o := relay.Order{CartOrder: cartOrder()}
	things := []any{a, &a, o, &o, o.CartOrder, []relay.Address{a}, map[string]relay.Address{"a": a}, struct{ A any }{a}, []any{&a}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T", "%o", "%c", "%U", "%e", "%50v", "%-5s"} {
		for _, thing := range things {
			requireNoAddress(t, fmt.Sprintf(verb, thing))
		}
	}
	requireNoAddress(t, fmt.Sprint(things...))
	requireNoAddress(t, fmt.Errorf("order: %v", a).Error())
	for _, log := range []func(*bytes.Buffer) slog.Handler{
		func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(log(&b)).Info("order", "to", a, "also", &a)
		require.Contains(t, b.String(), "order")
		requireNoAddress(t, b.String())
	}
	var none *relay.Address
	require.Equal(t, "<nil>", fmt.Sprint(none))
}

func requireNoAddress(t *testing.T, s string) {
	t.Helper()
	for _, part := range []string{"Some", "Doe", "Main", "Apt", "Springfield", "01234", "555-0100", "example.com"} {
		require.NotContains(t, s, part)
		require.NotContains(t, s, fmt.Sprintf("%x", part))
		require.NotContains(t, s, fmt.Sprintf("%X", part))
	}
}

// The ledger, on the other hand, keeps all of it.
func TestAddressAsJSON(t *testing.T) {
	b, err := json.Marshal(buyer())
	require.NoError(t, err)
	var back relay.Address
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, buyer(), back)
}

func TestMergeItems(t *testing.T) {
	item := func(code relay.ItemCode, units int64) relay.OrderItem {
		return relay.OrderItem{Item: relay.Item{Code: code, Units: units}}
	}
	require.Empty(t, relay.MergeItems(nil))
	in := []relay.OrderItem{item("B", 1), item("A", 2), item("B", 3), item("b", 5)}
	require.Equal(t, []relay.Item{{Code: "B", Units: 4}, {Code: "A", Units: 2}, {Code: "b", Units: 5}}, relay.MergeItems(in))
	require.Equal(t, int64(1), in[0].Units, "the items themselves are left alone")
}
