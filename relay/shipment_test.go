package relay_test

import (
	"maps"
	"math"
	"slices"
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

func TestAllocate(t *testing.T) {
	type (
		items   = []relay.Item
		lines   = []relay.ShippedLine
		shipped = map[relay.LineID]int64
	)
	for name, c := range map[string]struct {
		ordered  []relay.OrderItem
		shipped  shipped
		contents items
		lines    lines
		surplus  items
	}{
		"all of it":    {[]relay.OrderItem{ordered("1", "A", 2)}, nil, items{{"A", 2}}, lines{{"1", 2}}, nil},
		"a part":       {[]relay.OrderItem{ordered("1", "A", 2)}, nil, items{{"A", 1}}, lines{{"1", 1}}, nil},
		"the rest":     {[]relay.OrderItem{ordered("1", "A", 2)}, shipped{"1": 1}, items{{"A", 1}}, lines{{"1", 1}}, nil},
		"too many":     {[]relay.OrderItem{ordered("1", "A", 2)}, shipped{"1": 1}, items{{"A", 5}}, lines{{"1", 1}}, items{{"A", 4}}},
		"told before":  {[]relay.OrderItem{ordered("1", "A", 2)}, shipped{"1": 2}, items{{"A", 2}}, nil, items{{"A", 2}}},
		"more shipped": {[]relay.OrderItem{ordered("1", "A", 2)}, shipped{"1": 9}, items{{"A", 1}}, nil, items{{"A", 1}}},
		"strange code": {[]relay.OrderItem{ordered("1", "A", 2)}, nil, items{{"B", 1}}, nil, items{{"B", 1}}},
		"two lines, one code": {
			[]relay.OrderItem{ordered("1", "A", 2), ordered("2", "A", 2)}, shipped{"1": 1}, items{{"A", 2}}, lines{{"1", 1}, {"2", 1}}, nil,
		},
		"a code twice in the package": {
			[]relay.OrderItem{ordered("1", "A", 2), ordered("2", "A", 2)}, nil, items{{"A", 1}, {"A", 2}}, lines{{"1", 2}, {"2", 1}}, nil,
		},
		"a line twice in the order": {
			[]relay.OrderItem{ordered("1", "A", 1), ordered("1", "A", 1)}, shipped{"1": 1}, items{{"A", 2}}, lines{{"1", 1}}, items{{"A", 1}},
		},
		"an empty package":    {[]relay.OrderItem{ordered("1", "A", 2)}, nil, nil, nil, nil},
		"nothing was ordered": {nil, nil, items{{"A", 1}}, nil, items{{"A", 1}}},
		// A vendor's reply is hostile input.
		"less than nothing":   {[]relay.OrderItem{ordered("1", "A", 2)}, nil, items{{"A", -3}, {"A", 0}, {"A", 1}}, lines{{"1", 1}}, nil},
		"ordered backwards":   {[]relay.OrderItem{ordered("1", "A", -2)}, nil, items{{"A", 1}}, nil, items{{"A", 1}}},
		"shipped backwards":   {[]relay.OrderItem{ordered("1", "A", 2)}, shipped{"1": -5}, items{{"A", 5}}, lines{{"1", 2}}, items{{"A", 3}}},
		"beyond all counting": {[]relay.OrderItem{ordered("1", "A", 2)}, nil, items{{"A", math.MaxInt64}, {"A", math.MinInt64}}, lines{{"1", 2}}, items{{"A", math.MaxInt64 - 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			gotLines, gotSurplus := relay.Allocate(c.ordered, c.shipped, c.contents)
			require.Equal(t, c.lines, gotLines)
			require.Equal(t, c.surplus, gotSurplus)
		})
	}
}

func TestRemaining(t *testing.T) {
	order := []relay.OrderItem{ordered("2", "A", 2), ordered("1", "B", 3), ordered("2", "A", 1)}
	require.Equal(t, []relay.ShippedLine{{Line: "2", Units: 3}, {Line: "1", Units: 3}}, relay.Remaining(order, nil))
	require.Equal(t, []relay.ShippedLine{{Line: "2", Units: 1}}, relay.Remaining(order, map[relay.LineID]int64{"2": 2, "1": 3, "9": 1}))
	require.Empty(t, relay.Remaining(order, map[relay.LineID]int64{"2": 3, "1": 4}))
	require.Empty(t, relay.Remaining(nil, nil))
}

var (
	someOrder = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) relay.OrderItem {
		return ordered(
			relay.LineID(rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "line")),
			relay.ItemCode(rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "code")),
			rapid.Int64Range(1, 9).Draw(t, "units"),
		)
	}), 0, 6)
	somePackages = rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) relay.Item {
		return relay.Item{
			Code:  relay.ItemCode(rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "code")),
			Units: rapid.Int64Range(-3, 9).Draw(t, "units"),
		}
	}), 0, 4), 0, 5)
)

// allocateAll ships an order in some packages, some told again, and checks
// after each one: no line gets more than was ordered, no unit is lost or made,
// and what is shipped and what remains make up the order.
func allocateAll(t *rapid.T) {
	order := someOrder.Draw(t, "order")
	total, codes := map[relay.LineID]int64{}, map[relay.LineID][]relay.ItemCode{}
	for _, o := range order {
		total[o.Line] += o.Units
		codes[o.Line] = append(codes[o.Line], o.Code)
	}
	shipped := map[relay.LineID]int64{}
	for _, contents := range somePackages.Draw(t, "packages") {
		before, orderBefore := slices.Clone(contents), slices.Clone(order)
		lines, surplus := relay.Allocate(order, maps.Clone(shipped), contents)
		again, _ := relay.Allocate(order, maps.Clone(shipped), contents)
		if !slices.Equal(lines, again) || !slices.Equal(before, contents) || !slices.Equal(orderBefore, order) {
			t.Fatal("the same package was allocated in another way, or an argument changed")
		}
		var in, out int64
		inPackage := map[relay.ItemCode]bool{}
		for _, c := range contents {
			in += max(c.Units, 0)
			inPackage[c.Code] = inPackage[c.Code] || c.Units > 0
		}
		seen := map[relay.LineID]bool{}
		for _, l := range lines {
			if l.Units < 1 || seen[l.Line] {
				t.Fatalf("line %s twice or without units: %v", l.Line, lines)
			}
			if !slices.ContainsFunc(codes[l.Line], func(c relay.ItemCode) bool { return inPackage[c] }) {
				t.Fatalf("line %s got units of a code that was not in the package", l.Line)
			}
			seen[l.Line] = true
			out += l.Units
			shipped[l.Line] += l.Units
		}
		for _, s := range surplus {
			if s.Units < 1 {
				t.Fatalf("surplus of %d units", s.Units)
			}
			out += s.Units
		}
		if in != out {
			t.Fatalf("%d units went in, %d came out", in, out)
		}
		remaining := map[relay.LineID]int64{}
		for _, r := range relay.Remaining(order, shipped) {
			remaining[r.Line] = r.Units
		}
		for line, units := range total {
			if shipped[line] > units {
				t.Fatalf("line %s: %d of %d shipped", line, shipped[line], units)
			}
			if shipped[line]+remaining[line] != units {
				t.Fatalf("line %s: %d shipped and %d remaining of %d", line, shipped[line], remaining[line], units)
			}
		}
	}
	// Once all is shipped, a package told again adds nothing.
	var everything []relay.Item
	for _, o := range order {
		everything = append(everything, o.Item)
	}
	if lines, _ := relay.Allocate(order, total, everything); len(lines) > 0 || len(relay.Remaining(order, total)) > 0 {
		t.Fatalf("a shipped order was shipped again: %v", lines)
	}
}

func TestAllocateProperties(t *testing.T) { rapid.Check(t, allocateAll) }

func FuzzAllocate(f *testing.F) { f.Fuzz(rapid.MakeFuzz(allocateAll)) }

// An order whose lines each have a code of their own is shipped in full by
// packages that hold it in full, in whatever portions.
func TestAllocateShipsAllThatArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := []relay.OrderItem{
			ordered("1", "A", rapid.Int64Range(1, 9).Draw(t, "a")),
			ordered("2", "A", rapid.Int64Range(1, 9).Draw(t, "a2")),
			ordered("3", "B", rapid.Int64Range(1, 9).Draw(t, "b")),
		}
		shipped := map[relay.LineID]int64{}
		for _, item := range relay.MergeItems(order) {
			for left := item.Units; left > 0; {
				n := rapid.Int64Range(1, left).Draw(t, "portion")
				lines, surplus := relay.Allocate(order, shipped, []relay.Item{{Code: item.Code, Units: n}})
				if len(surplus) > 0 {
					t.Fatalf("surplus %v", surplus)
				}
				for _, l := range lines {
					shipped[l.Line] += l.Units
				}
				left -= n
			}
		}
		if r := relay.Remaining(order, shipped); len(r) > 0 {
			t.Fatalf("%v remain", r)
		}
	})
}

func TestSortLevels(t *testing.T) {
	levels := []relay.InventoryLevel{{Code: "B", Site: "x"}, {Code: "A", Site: "y"}, {Code: "A", Site: "x"}, {Code: "A"}}
	relay.SortLevels(levels)
	require.Equal(t, []relay.InventoryLevel{{Code: "A"}, {Code: "A", Site: "x"}, {Code: "A", Site: "y"}, {Code: "B", Site: "x"}}, levels)
}
