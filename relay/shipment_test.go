package relay_test

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
)

func ordered(line relay.LineID, code relay.ItemCode, units int64) relay.OrderItem {
	return relay.OrderItem{Line: line, SKU: relay.SKU(code), Item: relay.Item{Code: code, Units: units}}
}

func TestPackageKey(t *testing.T) {
	key := func(carrier, number string) string {
		return relay.Package{Carrier: carrier, TrackingNumber: number}.Key()
	}
	require.Equal(t, "USPS:94001", key("USPS", "94001"))
	require.Equal(t, key("USPS", "9400 1000 0000"), key(" usps ", "940010000000"))
	require.Equal(t, key("FedEx Ground", "ab1"), key("FEDEXGROUND", "AB1"))
	require.NotEqual(t, key("USPS", "1"), key("UPS", "1"))
	require.NotEqual(t, key("USPS", "1"), key("USPS", "2"))
}

func TestSamePackage(t *testing.T) {
	is := func(carrier, number string) relay.Package {
		return relay.Package{Carrier: carrier, TrackingNumber: number}
	}
	for _, same := range [][2]relay.Package{{is("USPS", "9400 1"), is("usps", "94001")}, {is("", "94001"), is("USPS", "94001")}, {is(" ", "94001"), is("", "94001")}} {
		require.True(t, same[0].Same(same[1]), same)
		require.True(t, same[1].Same(same[0]), same)
	}
	require.False(t, is("USPS", "94001").Same(is("UPS", "94001")))
	require.False(t, is("", "94001").Same(is("", "94002")))
}

// kit is a line of so many kits, with so many units of each code in one.
func kit(line relay.LineID, units int64, parts ...relay.Item) []relay.OrderItem {
	var out []relay.OrderItem
	for _, p := range parts {
		out = append(out, relay.OrderItem{Line: line, SKU: "KIT", Item: relay.Item{Code: p.Code, Units: units * p.Units}, Per: p.Units})
	}
	return out
}

func TestAllocate(t *testing.T) {
	type (
		items   = []relay.Item
		lines   = []relay.ShippedLine
		shipped = map[relay.LineID]int64
		codes   = map[relay.ItemCode]int64
	)
	gift := kit("1", 2, relay.Item{Code: "A", Units: 2}, relay.Item{Code: "B", Units: 1})
	mixed := append(slices.Clone(gift), ordered("2", "A", 1))
	for name, c := range map[string]struct {
		ordered  []relay.OrderItem
		shipped  relay.Shipped
		contents items
		lines    lines
		items    items
		surplus  items
	}{
		"all of it":    {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{}, items{{"A", 2}}, lines{{"1", 2}}, items{{"A", 2}}, nil},
		"a part":       {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{}, items{{"A", 1}}, lines{{"1", 1}}, items{{"A", 1}}, nil},
		"the rest":     {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{Lines: shipped{"1": 1}}, items{{"A", 1}}, lines{{"1", 1}}, items{{"A", 1}}, nil},
		"too many":     {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{Lines: shipped{"1": 1}}, items{{"A", 5}}, lines{{"1", 1}}, items{{"A", 1}}, items{{"A", 4}}},
		"told before":  {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{Lines: shipped{"1": 2}}, items{{"A", 2}}, nil, nil, items{{"A", 2}}},
		"more shipped": {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{Lines: shipped{"1": 9}}, items{{"A", 1}}, nil, nil, items{{"A", 1}}},
		"strange code": {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{}, items{{"B", 1}}, nil, nil, items{{"B", 1}}},
		"two lines, one code": {
			[]relay.OrderItem{ordered("1", "A", 2), ordered("2", "A", 2)}, relay.Shipped{Lines: shipped{"1": 1}}, items{{"A", 2}}, lines{{"1", 1}, {"2", 1}}, items{{"A", 2}}, nil,
		},
		"a code twice in the package": {
			[]relay.OrderItem{ordered("1", "A", 2), ordered("2", "A", 2)}, relay.Shipped{}, items{{"A", 1}, {"A", 2}}, lines{{"1", 2}, {"2", 1}}, items{{"A", 3}}, nil,
		},
		"an empty package":    {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{}, nil, nil, nil, nil},
		"nothing was ordered": {nil, relay.Shipped{}, items{{"A", 1}}, nil, nil, items{{"A", 1}}},

		"whole kits":              {gift, relay.Shipped{}, items{{"B", 2}, {"A", 4}}, lines{{"1", 2}}, items{{"B", 2}, {"A", 4}}, nil},
		"a kit and a part of one": {gift, relay.Shipped{}, items{{"A", 3}, {"B", 1}}, lines{{"1", 1}}, items{{"A", 3}, {"B", 1}}, nil},
		"a part of a kit":         {gift, relay.Shipped{}, items{{"A", 4}}, nil, items{{"A", 4}}, nil},
		"the part that makes kits whole": {
			gift, relay.Shipped{Items: codes{"A": 4}}, items{{"B", 2}}, lines{{"1", 2}}, items{{"B", 2}}, nil,
		},
		"beyond the kit":     {gift, relay.Shipped{Items: codes{"A": 4}}, items{{"A", 1}, {"B", 3}}, lines{{"1", 2}}, items{{"B", 2}}, items{{"A", 1}, {"B", 1}}},
		"kits that are told": {gift, relay.Shipped{Lines: shipped{"1": 2}}, items{{"A", 1}, {"B", 1}}, nil, nil, items{{"A", 1}, {"B", 1}}},
		"told without contents": { // an hour after a parcel of unknown contents
			gift, relay.Shipped{Lines: shipped{"1": 1}, Items: codes{"A": 1}}, items{{"A", 2}, {"B", 1}}, lines{{"1", 1}}, items{{"A", 2}, {"B", 1}}, nil,
		},
		"a loose unit goes to the line that it makes whole": {mixed, relay.Shipped{}, items{{"A", 1}}, lines{{"2", 1}}, items{{"A", 1}}, nil},
		"and the kit gets another":                          {mixed, relay.Shipped{Lines: shipped{"2": 1}, Items: codes{"A": 1}}, items{{"A", 4}, {"B", 2}}, lines{{"1", 2}}, items{{"A", 4}, {"B", 2}}, nil},

		// A vendor's reply is hostile input.
		"less than nothing":   {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{}, items{{"A", -3}, {"A", 0}, {"A", 1}}, lines{{"1", 1}}, items{{"A", 1}}, nil},
		"ordered backwards":   {[]relay.OrderItem{ordered("1", "A", -2)}, relay.Shipped{}, items{{"A", 1}}, nil, nil, items{{"A", 1}}},
		"shipped backwards":   {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{Lines: shipped{"1": -5}}, items{{"A", 5}}, lines{{"1", 2}}, items{{"A", 2}}, items{{"A", 3}}},
		"beyond all counting": {[]relay.OrderItem{ordered("1", "A", 2)}, relay.Shipped{}, items{{"A", math.MaxInt64}, {"A", math.MinInt64}}, lines{{"1", 2}}, items{{"A", 2}}, items{{"A", math.MaxInt64 - 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, relay.Allocation{Lines: c.lines, Items: c.items, Surplus: c.surplus}, relay.Allocate(c.ordered, c.shipped, c.contents))
		})
	}
}

func TestRemaining(t *testing.T) {
	order := []relay.OrderItem{ordered("2", "A", 3), ordered("1", "B", 3)}
	require.Equal(t, []relay.ShippedLine{{Line: "2", Units: 3}, {Line: "1", Units: 3}}, relay.Remaining(order, nil))
	require.Equal(t, []relay.ShippedLine{{Line: "2", Units: 1}}, relay.Remaining(order, map[relay.LineID]int64{"2": 2, "1": 3, "9": 1}))
	require.Empty(t, relay.Remaining(order, map[relay.LineID]int64{"2": 3, "1": 4}))
	require.Empty(t, relay.Remaining(nil, nil))
	kits := kit("1", 3, relay.Item{Code: "A", Units: 2}, relay.Item{Code: "B", Units: 1})
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 2}}, relay.Remaining(kits, map[relay.LineID]int64{"1": 1}), "in kits, not in what they are made of")
}

func TestBegun(t *testing.T) {
	order := append(kit("1", 3, relay.Item{Code: "A", Units: 2}, relay.Item{Code: "B", Units: 1}), ordered("2", "C", 2))
	order = append(order, kit("3", 1, relay.Item{Code: "A", Units: 1}, relay.Item{Code: "C", Units: 1})...)
	begun := func(s relay.Shipped) []relay.ShippedLine { return relay.Begun(order, s) }
	require.Empty(t, begun(relay.Shipped{}))
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}}, begun(relay.Shipped{Items: map[relay.ItemCode]int64{"A": 1}}))
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 2}}, begun(relay.Shipped{Items: map[relay.ItemCode]int64{"A": 3}}))
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 3}, {Line: "3", Units: 1}}, begun(relay.Shipped{Items: map[relay.ItemCode]int64{"A": 7}}))
	require.Empty(t, begun(relay.Shipped{Lines: map[relay.LineID]int64{"1": 3}, Items: map[relay.ItemCode]int64{"A": 6}}))
}

var (
	// someOrder has plain lines and kits, of few codes, so that they meet.
	someOrder = rapid.Custom(func(t *rapid.T) (order []relay.OrderItem) {
		for i := range rapid.IntRange(0, 5).Draw(t, "lines") {
			line := relay.LineID(strconv.Itoa(i + 1))
			codes := rapid.SliceOfNDistinct(rapid.SampledFrom([]relay.ItemCode{"A", "B", "C"}), 1, 3, rapid.ID[relay.ItemCode]).Draw(t, "codes")
			var parts []relay.Item
			for _, c := range codes {
				parts = append(parts, relay.Item{Code: c, Units: rapid.Int64Range(1, 3).Draw(t, "per")})
			}
			order = append(order, kit(line, rapid.Int64Range(1, 5).Draw(t, "units"), parts...)...)
		}
		return order
	})
	somePackages = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) relay.Item {
		return relay.Item{
			Code:  relay.ItemCode(rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "code")),
			Units: rapid.Int64Range(-3, 9).Draw(t, "units"),
		}
	}), 0, 4), 0, 5)
)

// lineUnits is how many whole units of each line were ordered.
func lineUnits(order []relay.OrderItem) map[relay.LineID]int64 {
	total := make(map[relay.LineID]int64)
	for _, o := range order {
		total[o.Line] = o.Units / o.Per
	}
	return total
}

// allocateAll ships an order in some packages and checks after each one: no
// line gets more than was ordered, no unit is lost or made, and what is shipped
// and what remains make up the order.
func allocateAll(t *rapid.T) {
	order := someOrder.Draw(t, "order")
	total := lineUnits(order)
	var shipped relay.Shipped
	for _, contents := range somePackages.Draw(t, "packages") {
		before, orderBefore, shippedBefore := slices.Clone(contents), slices.Clone(order), relay.Shipped{Lines: maps.Clone(shipped.Lines), Items: maps.Clone(shipped.Items)}
		a := relay.Allocate(order, shipped, contents)
		if again := relay.Allocate(order, shipped, contents); !reflect.DeepEqual(a, again) {
			t.Fatalf("the same package was allocated in another way: %v, %v", a, again)
		}
		if !slices.Equal(before, contents) || !slices.Equal(orderBefore, order) || !reflect.DeepEqual(shipped, shippedBefore) {
			t.Fatal("an argument changed")
		}
		in, out := make(map[relay.ItemCode]int64), make(map[relay.ItemCode]int64)
		for _, c := range contents {
			in[c.Code] += max(c.Units, 0)
		}
		for _, it := range slices.Concat(a.Items, a.Surplus) {
			if it.Units < 1 {
				t.Fatalf("%d units of %s", it.Units, it.Code)
			}
			out[it.Code] += it.Units
		}
		maps.DeleteFunc(in, func(_ relay.ItemCode, n int64) bool { return n == 0 })
		if !maps.Equal(in, out) {
			t.Fatalf("%v went in, %v came out", in, out)
		}
		seen := map[relay.LineID]bool{}
		for _, l := range a.Lines {
			if l.Units < 1 || seen[l.Line] {
				t.Fatalf("line %s twice or without units: %v", l.Line, a.Lines)
			}
			seen[l.Line] = true
		}
		shipped.Add(a)
		remaining := map[relay.LineID]int64{}
		for _, r := range relay.Remaining(order, shipped.Lines) {
			remaining[r.Line] = r.Units
		}
		for line, units := range total {
			if shipped.Lines[line]+remaining[line] != units {
				t.Fatalf("line %s: %d shipped and %d remaining of %d", line, shipped.Lines[line], remaining[line], units)
			}
		}
		// What lines are whole with has left, and what has left and makes no line whole has begun one.
		used, gone := make(map[relay.ItemCode]int64), int64(0)
		for _, o := range order {
			used[o.Code] += shipped.Lines[o.Line] * o.Per
		}
		for code, units := range used {
			if units > shipped.Items[code] {
				t.Fatalf("lines hold %d of %s, and %d have left", units, code, shipped.Items[code])
			}
			gone += shipped.Items[code] - units
		}
		if begun := relay.Begun(order, shipped); (gone > 0) != (len(begun) > 0) {
			t.Fatalf("%d units are loose, and begun is %v", gone, begun)
		}
	}
	// Once all is shipped, a package told again adds nothing.
	var everything []relay.Item
	for _, o := range order {
		everything = append(everything, o.Item)
	}
	if a := relay.Allocate(order, relay.Shipped{Lines: total}, everything); len(a.Lines)+len(a.Items) > 0 || len(relay.Remaining(order, total)) > 0 {
		t.Fatalf("a shipped order was shipped again: %v", a)
	}
}

func TestAllocateProperties(t *testing.T) { rapid.Check(t, allocateAll) }

func FuzzAllocate(f *testing.F) { f.Fuzz(rapid.MakeFuzz(allocateAll)) }

// An order is told in full once packages have held all of it, in whatever
// portions and order: kits, plain lines, and codes that are in both.
func TestAllocateShipsAllThatArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := someOrder.Draw(t, "order")
		left := relay.MergeItems(order)
		var shipped relay.Shipped
		for len(left) > 0 {
			i := rapid.IntRange(0, len(left)-1).Draw(t, "code")
			n := rapid.Int64Range(1, left[i].Units).Draw(t, "portion")
			a := relay.Allocate(order, shipped, []relay.Item{{Code: left[i].Code, Units: n}})
			if len(a.Surplus) > 0 {
				t.Fatalf("surplus %v", a.Surplus)
			}
			shipped.Add(a)
			if left[i].Units -= n; left[i].Units == 0 {
				left = slices.Delete(left, i, i+1)
			}
		}
		if r := relay.Remaining(order, shipped.Lines); len(r) > 0 {
			t.Fatalf("%v remain", r)
		}
		if b := relay.Begun(order, shipped); len(b) > 0 {
			t.Fatalf("%v are begun", b)
		}
	})
}

func TestSortLevels(t *testing.T) {
	levels := []relay.InventoryLevel{{Code: "B", Site: "x"}, {Code: "A", Site: "y"}, {Code: "A", Site: "x"}, {Code: "A"}}
	relay.SortLevels(levels)
	require.Equal(t, []relay.InventoryLevel{{Code: "A"}, {Code: "A", Site: "x"}, {Code: "A", Site: "y"}, {Code: "B", Site: "x"}}, levels)
}
