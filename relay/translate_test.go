package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

func TestMappings(t *testing.T) {
	gift, plain := []relay.Component{{SKU: "MUG", Units: 2}}, []relay.Component{{SKU: "TEE", Units: 1}}
	m := relay.NewMappings([]relay.Alias{
		{SKU: "MUG", Code: "0001"}, {SKU: "MUG", Code: "0002", Cart: "outlet"}, {SKU: " TEE ", Code: "0003"},
		{SKU: "GIFT", Code: "0009"}, {SKU: "SET", Code: "0010", Cart: "outlet"},
	}, []relay.Kit{{SKU: "GIFT", Components: gift}, {SKU: "GIFT", Components: plain, Cart: "outlet"}, {SKU: "SET", Components: gift}})
	asIs := m.Under(relay.Merchant{Unaliased: relay.SendUnaliased})
	all := func(code relay.ItemCode) relay.Mapping { return relay.Mapping{Code: code} }
	of := func(cart relay.ConnectionName, sku relay.SKU, c []relay.Component) relay.Mapping {
		return relay.Mapping{Cart: cart, Kit: &relay.Kit{SKU: sku, Components: c, Cart: cart}}
	}
	for _, c := range []struct {
		mappings relay.Mappings
		cart     relay.ConnectionName
		sku      relay.SKU
		want     relay.Mapping
		ok       bool
	}{
		{m, "main", "MUG", all("0001"), true},
		{m, "outlet", "MUG", relay.Mapping{Cart: "outlet", Code: "0002"}, true}, // an alias for one cart goes before one for all
		{m, "main", " MUG\t", all("0001"), true},
		{m, "main", "TEE", all("0003"), true}, // blanks in the table do not count either
		{m, "main", "mug", relay.Mapping{}, false},
		{m, "main", "", relay.Mapping{}, false},
		{m, "main", "  ", relay.Mapping{}, false},
		{m, "main", "GIFT", of("", "GIFT", gift), true}, // a kit goes before an alias
		{m, "outlet", "GIFT", of("outlet", "GIFT", plain), true},
		{m, "main", "SET", of("", "SET", gift), true},
		{m, "outlet", "SET", relay.Mapping{Cart: "outlet", Code: "0010"}, true}, // one cart has it packed beforehand
		{relay.Mappings{}, "main", "MUG", relay.Mapping{}, false},
		{asIs, "main", "MUG", all("0001"), true},
		{asIs, "main", " CUP ", relay.Mapping{Code: "CUP", AsIs: true}, true},
		{asIs, "main", "", relay.Mapping{}, false}, // no SKU is no item code
	} {
		got, ok := c.mappings.Lookup(c.cart, c.sku)
		require.Equal(t, c.ok, ok, "%+v", c)
		if ok {
			require.Equal(t, c.want, got, "%+v", c)
		}
	}
	require.Equal(t, 11, m.Size())
}

func line(id relay.LineID, sku relay.SKU, q relay.Quantity) relay.Line {
	return relay.Line{ID: id, SKU: sku, Quantity: q}
}

func TestTranslate(t *testing.T) {
	m := relay.NewMappings([]relay.Alias{
		{SKU: "MUG", Code: "0001"}, {SKU: "TEE", Code: "0002"}, {SKU: "RED", Code: "0001"}, {SKU: "TEE", Code: "0003", Cart: "outlet"},
	}, []relay.Kit{
		{SKU: "GIFT", Components: []relay.Component{{SKU: "MUG", Units: 2}, {SKU: "TEE", Units: 1}, {SKU: "RED", Units: 1}}},
		{SKU: "SOON"},
		{SKU: "HALF", Components: []relay.Component{{SKU: "MUG", Units: 1}, {SKU: "LID", Units: 1}, {SKU: "POT", Units: 1}}},
		{SKU: "PALLET", Components: []relay.Component{{SKU: "MUG", Units: relay.MaxComponentUnits}}},
	}).Under(relay.Merchant{Carts: []relay.Connection{
		{Name: "main"}, {Name: "strict", Rules: relay.Rules{Methods: relay.ShipMethods{Map: map[relay.ShipMethod]relay.Service{"Air": "PRIORITY"}}}},
	}})
	got, hold := m.Translate("main", relay.CartOrder{ShipMethod: "Air", Lines: []relay.Line{line("1", "MUG", relay.Units(2)), line("2", "TEE", relay.Units(1))}})
	require.Nil(t, hold)
	require.Equal(t, relay.Translated{Items: []relay.OrderItem{
		{Line: "1", SKU: "MUG", Item: relay.Item{Code: "0001", Units: 2}}, {Line: "2", SKU: "TEE", Item: relay.Item{Code: "0002", Units: 1}},
	}}, got)

	got, hold = m.Translate("outlet", relay.CartOrder{Lines: []relay.Line{line("1", "GIFT", relay.Units(3)), line("2", "MUG", relay.Units(1))}})
	require.Nil(t, hold)
	require.Equal(t, []relay.OrderItem{
		{Line: "1", SKU: "GIFT", Item: relay.Item{Code: "0001", Units: 9}, Per: 3}, // two components are one code
		{Line: "1", SKU: "GIFT", Item: relay.Item{Code: "0003", Units: 3}},         // components have aliases of one cart too
		{Line: "2", SKU: "MUG", Item: relay.Item{Code: "0001", Units: 1}},
	}, got.Items)
	require.Equal(t, []relay.Item{{Code: "0001", Units: 10}, {Code: "0003", Units: 3}}, relay.MergeItems(got.Items))

	good := line("1", "MUG", relay.Units(1))
	for name, c := range map[string]struct {
		order    relay.CartOrder
		headline string
	}{
		"no lines":    {relay.CartOrder{}, "bad_order: lines"},
		"unknown SKU": {relay.CartOrder{Lines: []relay.Line{good, line("2", "CUP", relay.Units(1))}}, "unknown_item: CUP (line 2)"},
		"no SKU":      {relay.CartOrder{Lines: []relay.Line{good, line("2", "", relay.Units(1))}}, "unknown_item: line 2, sku"},
		"half a mug":  {relay.CartOrder{Lines: []relay.Line{line("1", "MUG", 5_000)}}, "bad_order: 0.5 (line 1, quantity)"},
		"no mug":      {relay.CartOrder{Lines: []relay.Line{good, line("2", "MUG", 0)}}, "bad_order: 0 (line 2, quantity)"},
		"minus a mug": {relay.CartOrder{Lines: []relay.Line{line("1", "MUG", relay.Units(-1))}}, "bad_order: -1 (line 1, quantity)"},
		"both": {
			relay.CartOrder{Lines: []relay.Line{line("1", "CUP", relay.Units(1)), line("2", "MUG", 1)}},
			"bad_order: 0.0001 (line 2, quantity), CUP (line 1)",
		},
		"the cart's problems": {
			relay.CartOrder{Lines: []relay.Line{good}, Problems: []relay.Problem{{Field: "ship_to", Message: "Some One"}}}, "bad_order: ship_to",
		},
		"a kit of nothing":  {relay.CartOrder{Lines: []relay.Line{good, line("2", "SOON", relay.Units(1))}}, "kit_without_components: SOON (line 2)"},
		"unknown in a kit":  {relay.CartOrder{Lines: []relay.Line{line("1", "HALF", relay.Units(1))}}, "unknown_item: LID (line 1), POT (line 1)"},
		"beyond counting":   {relay.CartOrder{Lines: []relay.Line{line("1", "PALLET", relay.Units(1001))}}, "bad_order: 1001 (line 1, quantity)"},
		"the most of kits":  {relay.CartOrder{Lines: []relay.Line{line("1", "PALLET", relay.MaxQuantity)}}, "bad_order: 1000000000 (line 1, quantity)"},
		"all that is wrong": {relay.CartOrder{Lines: []relay.Line{line("1", "SOON", relay.Units(1)), line("2", "CUP", relay.Units(1)), line("3", "MUG", 5_000)}}, "bad_order: 0.5 (line 3, quantity), CUP (line 2), SOON (line 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			got, hold := m.Translate("main", c.order)
			require.Zero(t, got, "an order is never sent in part")
			require.NotNil(t, hold)
			require.Equal(t, c.headline, hold.Headline())
		})
	}
	_, hold = m.Translate("main", relay.CartOrder{Lines: []relay.Line{line("1", "HALF", relay.Units(1))}})
	require.Contains(t, hold.Fields[0].Message, "component of kit HALF")
	// The same, under the reason of each.
	var each []string
	for _, h := range m.Obstacles("main", relay.CartOrder{Lines: []relay.Line{line("1", "SOON", relay.Units(1)), line("2", "CUP", relay.Units(1)), line("3", "MUG", 5_000)}}) {
		each = append(each, h.Headline())
	}
	require.Equal(t, []string{"bad_order: 0.5 (line 3, quantity)", "unknown_item: CUP (line 2)", "kit_without_components: SOON (line 1)"}, each)
	require.Empty(t, m.Obstacles("main", relay.CartOrder{Lines: []relay.Line{good}}))
}

// A cart's bundle is what the merchant says that it is, and never its own item code.
func TestTranslateABundle(t *testing.T) {
	order := relay.CartOrder{Lines: []relay.Line{line("1", "SET", relay.Units(2)), line("2", "MUG", relay.Units(1))}, Traits: relay.Traits{Bundles: []relay.SKU{"SET"}}}
	for name, c := range map[string]struct {
		aliases []relay.Alias
		kits    []relay.Kit
		want    []relay.Item
		hold    string
	}{
		"nothing maps it": {hold: "kit_without_components: SET (line 1)"},
		"sent in parts":   {kits: []relay.Kit{{SKU: "SET", Components: []relay.Component{{SKU: "CUP", Units: 2}}}}, want: []relay.Item{{Code: "CUP", Units: 4}, {Code: "MUG", Units: 1}}},
		"packed before":   {aliases: []relay.Alias{{SKU: "SET", Code: "0007"}}, want: []relay.Item{{Code: "0007", Units: 2}, {Code: "MUG", Units: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, hold := relay.NewMappings(c.aliases, c.kits).Under(relay.Merchant{Unaliased: relay.SendUnaliased}).Translate("main", order)
			if c.hold != "" {
				require.Equal(t, c.hold, hold.Headline())
				require.Contains(t, hold.Fields[0].Message, "ferry kit set")
				return
			}
			require.Nil(t, hold)
			require.Equal(t, c.want, relay.MergeItems(got.Items))
		})
	}
	_, hold := relay.Mappings{}.Translate("main", relay.CartOrder{Lines: order.Lines[:1], Traits: order.Traits})
	require.Equal(t, relay.HoldKitWithoutComponents, hold.Reason)
}

// What ShipMethods say is what Translate does: see TestShipMethods.
func TestTranslateTheShipMethod(t *testing.T) {
	m := relay.NewMappings([]relay.Alias{{SKU: "MUG", Code: "0001"}}, nil).Under(relay.Merchant{Carts: []relay.Connection{
		{Name: "main", Rules: relay.Rules{Methods: relay.ShipMethods{Map: map[relay.ShipMethod]relay.Service{"Air": "PRIORITY"}}}},
	}})
	order := func(m relay.ShipMethod, sku relay.SKU) relay.CartOrder {
		return relay.CartOrder{ShipMethod: m, Lines: []relay.Line{line("1", sku, relay.Units(1))}}
	}
	got, hold := m.Translate("main", order("air", "MUG"))
	require.Nil(t, hold)
	require.Equal(t, relay.Service("PRIORITY"), got.Service)
	got, hold = m.Translate("outlet", order("Sea", "MUG"))
	require.Nil(t, hold, "another cart has no map")
	require.Empty(t, got.Service)
	_, hold = m.Translate("main", order("Sea", "MUG"))
	require.Equal(t, "unmapped_ship_method: ship_method Sea", hold.Headline())
	require.Contains(t, hold.Fields[0].Message, "ship_methods of cart main")
	_, hold = m.Translate("main", order("Sea", "CUP"))
	require.Equal(t, "unknown_item: CUP (line 1), ship_method Sea", hold.Headline())
}

func TestNestedKits(t *testing.T) {
	of := func(cart relay.ConnectionName, sku relay.SKU, parts ...relay.SKU) relay.Kit {
		k := relay.Kit{SKU: sku, Cart: cart}
		for _, p := range parts {
			k.Components = append(k.Components, relay.Component{SKU: p, Units: 1})
		}
		return k
	}
	for name, c := range map[string]struct {
		kits []relay.Kit
		want []string
	}{
		"none":          {nil, nil},
		"plain":         {[]relay.Kit{of("", "GIFT", "MUG", "TEE"), of("", "SET", "MUG")}, nil},
		"in one":        {[]relay.Kit{of("", "GIFT", "MUG", "SET"), of("", "SET", "MUG")}, []string{"GIFT holds SET, which is a kit itself: GIFT -> SET"}},
		"in itself":     {[]relay.Kit{of("", "GIFT", "GIFT")}, []string{"kits hold each other: GIFT -> GIFT"}},
		"each other":    {[]relay.Kit{of("", "A", "B"), of("", "B", "A")}, []string{"kits hold each other: A -> B -> A", "kits hold each other: B -> A -> B"}},
		"a long way":    {[]relay.Kit{of("", "A", "B"), of("", "B", "X", "C"), of("", "C", "A")}, []string{"kits hold each other: A -> B -> C -> A", "kits hold each other: B -> C -> A -> B", "kits hold each other: C -> A -> B -> C"}},
		"beside a loop": {[]relay.Kit{of("", "A", "B"), of("", "B", "C"), of("", "C", "B")}, []string{"A holds B, which is a kit itself: A -> B", "kits hold each other: B -> C -> B", "kits hold each other: C -> B -> C"}},
		"of nothing":    {[]relay.Kit{of("", "GIFT", "SOON"), of("", "SOON")}, []string{"GIFT holds SOON, which is a kit itself: GIFT -> SOON"}},
		"other carts":   {[]relay.Kit{of("main", "GIFT", "SET"), of("outlet", "SET", "MUG")}, nil},
		"all and one":   {[]relay.Kit{of("", "GIFT", "SET"), of("outlet", "SET", "MUG")}, []string{"GIFT holds SET, which is a kit itself: GIFT -> SET"}},
		"one and all":   {[]relay.Kit{of("outlet", "GIFT", "SET"), of("", "SET", "MUG")}, []string{"GIFT holds SET, which is a kit itself: GIFT -> SET"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range relay.NestedKits(c.kits) {
				got = append(got, n.String())
			}
			require.Equal(t, c.want, got)
		})
	}
	require.Equal(t, "1 x MUG, 3 x TEE", relay.Kit{Components: []relay.Component{{SKU: "TEE", Units: 3}, {SKU: "MUG", Units: 1}}}.Contents())
	require.Equal(t, "(no components)", relay.Kit{}.Contents())
}
