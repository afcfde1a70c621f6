package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

func TestAliases(t *testing.T) {
	a := relay.NewAliases([]relay.Alias{
		{SKU: "MUG", Code: "0001"}, {SKU: "MUG", Code: "0002", Cart: "outlet"}, {SKU: " TEE ", Code: "0003"},
	}, false)
	for _, c := range []struct {
		cart relay.ConnectionName
		sku  relay.SKU
		code relay.ItemCode
		ok   bool
	}{
		{"main", "MUG", "0001", true},
		{"outlet", "MUG", "0002", true}, // an alias for one cart goes before one for all
		{"main", " MUG\t", "0001", true},
		{"main", "TEE", "0003", true}, // blanks in the table do not count either
		{"main", "mug", "mug", false},
		{"main", "", "", false},
		{"main", "  ", "", false},
	} {
		code, ok := a.Code(c.cart, c.sku)
		require.Equal(t, c.ok, ok, "%+v", c)
		if ok {
			require.Equal(t, c.code, code, "%+v", c)
		}
	}
	var none relay.Aliases
	_, ok := none.Code("main", "MUG")
	require.False(t, ok)
	asIs := relay.NewAliases(nil, true)
	code, ok := asIs.Code("main", " MUG ")
	require.True(t, ok)
	require.Equal(t, relay.ItemCode("MUG"), code)
	_, ok = asIs.Code("main", "")
	require.False(t, ok, "no SKU is no item code")
}

func TestTranslate(t *testing.T) {
	a := relay.NewAliases([]relay.Alias{{SKU: "MUG", Code: "0001"}, {SKU: "TEE", Code: "0002"}}, false)
	line := func(id relay.LineID, sku relay.SKU, q relay.Quantity) relay.Line {
		return relay.Line{ID: id, SKU: sku, Quantity: q}
	}
	items, hold := a.Translate("main", relay.CartOrder{Lines: []relay.Line{line("1", "MUG", relay.Units(2)), line("2", "TEE", relay.Units(1))}})
	require.Nil(t, hold)
	require.Equal(t, []relay.OrderItem{
		{Line: "1", SKU: "MUG", Item: relay.Item{Code: "0001", Units: 2}}, {Line: "2", SKU: "TEE", Item: relay.Item{Code: "0002", Units: 1}},
	}, items)

	good := line("1", "MUG", relay.Units(1))
	for name, c := range map[string]struct {
		order    relay.CartOrder
		headline string
	}{
		"no lines":    {relay.CartOrder{}, "bad_order: lines"},
		"unknown SKU": {relay.CartOrder{Lines: []relay.Line{good, line("2", "CUP", relay.Units(1))}}, "unknown_item: lines[1].sku CUP"},
		"no SKU":      {relay.CartOrder{Lines: []relay.Line{good, line("2", "", relay.Units(1))}}, "unknown_item: lines[1].sku"},
		"half a mug":  {relay.CartOrder{Lines: []relay.Line{line("1", "MUG", 5_000)}}, "bad_order: lines[0].quantity 0.5"},
		"no mug":      {relay.CartOrder{Lines: []relay.Line{good, line("2", "MUG", 0)}}, "bad_order: lines[1].quantity 0"},
		"minus a mug": {relay.CartOrder{Lines: []relay.Line{line("1", "MUG", relay.Units(-1))}}, "bad_order: lines[0].quantity -1"},
		"both": {
			relay.CartOrder{Lines: []relay.Line{line("1", "CUP", relay.Units(1)), line("2", "MUG", 1)}},
			"bad_order: lines[1].quantity 0.0001, lines[0].sku CUP",
		},
		"the cart's problems": {
			relay.CartOrder{Lines: []relay.Line{good}, Problems: []relay.Problem{{Field: "ship_to", Message: "Some One"}}}, "bad_order: ship_to",
		},
	} {
		t.Run(name, func(t *testing.T) {
			items, hold := a.Translate("main", c.order)
			require.Nil(t, items, "an order is never sent in part")
			require.NotNil(t, hold)
			require.Equal(t, c.headline, hold.Headline())
		})
	}
}
