package relay_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

func quantity(t testing.TB, s string) relay.Quantity {
	t.Helper()
	q, err := relay.ParseQuantity(s)
	require.NoError(t, err)
	return q
}

// sites makes levels of pairs of a site and its quantity.
func sites(t testing.TB, pairs ...string) (out []relay.InventoryLevel) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, relay.InventoryLevel{Site: pairs[i], Quantity: quantity(t, pairs[i+1])})
	}
	return out
}

func TestShownStock(t *testing.T) {
	type shown = map[string]int64 // by location; what is not known is not in it
	mug := []relay.Item{{Code: "MUG", Units: 1}}
	for name, c := range map[string]struct {
		rules  relay.StockRules
		levels []relay.InventoryLevel
		booked []relay.Booked
		want   shown
	}{
		"all sites are summed":                     {levels: sites(t, "E", "5", "W", "7"), want: shown{"": 12}},
		"one without sites":                        {levels: sites(t, "", "5"), want: shown{"": 5}},
		"a code that nobody names":                 {want: shown{}},
		"only the named sites":                     {rules: relay.StockRules{Sites: []string{"W"}}, levels: sites(t, "E", "5", "W", "7"), want: shown{"": 7}},
		"no site":                                  {rules: relay.StockRules{Sites: []string{}}, levels: sites(t, "E", "5", "W", "7"), want: shown{}},
		"no site but at a further location":        {rules: relay.StockRules{Sites: []string{}, Locations: map[string][]string{"32": {"W"}, "33": {}}}, levels: sites(t, "E", "5", "W", "7"), want: shown{"32": 7}},
		"none of the named sites is told":          {rules: relay.StockRules{Sites: []string{"X"}}, levels: sites(t, "E", "5", "W", "7"), want: shown{}},
		"one of the named sites is told":           {rules: relay.StockRules{Sites: []string{"E", "X"}}, levels: sites(t, "E", "5", "W", "7"), want: shown{"": 5}},
		"fractions are summed, then cut":           {levels: sites(t, "E", "2.5", "W", "2.6"), want: shown{"": 5}},
		"a negative site takes from the others":    {levels: sites(t, "E", "-3", "W", "7.5"), want: shown{"": 4}},
		"never below 0":                            {levels: sites(t, "E", "-3"), want: shown{"": 0}},
		"booked once":                              {levels: sites(t, "E", "5", "W", "7"), booked: []relay.Booked{{Units: 4}, {Units: 1}}, want: shown{"": 7}},
		"more booked than there is":                {levels: sites(t, "E", "5"), booked: []relay.Booked{{Units: 6}}, want: shown{"": 0}},
		"a buffer":                                 {rules: relay.StockRules{Buffer: 3}, levels: sites(t, "E", "10"), want: shown{"": 7}},
		"a buffer of more than there is":           {rules: relay.StockRules{Buffer: 30}, levels: sites(t, "E", "10"), want: shown{"": 0}},
		"percent, rounded up":                      {rules: relay.StockRules{BufferPercent: 10}, levels: sites(t, "E", "11"), want: shown{"": 9}},
		"percent of one":                           {rules: relay.StockRules{BufferPercent: 1}, levels: sites(t, "E", "1"), want: shown{"": 0}},
		"all of it":                                {rules: relay.StockRules{BufferPercent: 100}, levels: sites(t, "E", "11"), want: shown{"": 0}},
		"the buffer goes before the percent":       {rules: relay.StockRules{Buffer: 10, BufferPercent: 50}, levels: sites(t, "E", "30"), want: shown{"": 10}},
		"booked goes before the buffer":            {rules: relay.StockRules{BufferPercent: 50}, levels: sites(t, "E", "30"), booked: []relay.Booked{{Units: 10}}, want: shown{"": 10}},
		"below the floor":                          {rules: relay.StockRules{Floor: 5}, levels: sites(t, "E", "4"), want: shown{"": 0}},
		"at the floor":                             {rules: relay.StockRules{Floor: 5}, levels: sites(t, "E", "5"), want: shown{"": 5}},
		"the floor is held against what is left":   {rules: relay.StockRules{Floor: 5, Buffer: 1}, levels: sites(t, "E", "5"), want: shown{"": 0}},
		"locations":                                {rules: relay.StockRules{Sites: []string{"E"}, Locations: map[string][]string{"32": {"W", "N"}}}, levels: sites(t, "E", "5", "N", "1", "W", "7"), want: shown{"": 5, "32": 8}},
		"the own location has what is left":        {rules: relay.StockRules{Locations: map[string][]string{"32": {"W"}}}, levels: sites(t, "E", "5", "N", "1", "W", "7"), want: shown{"": 6, "32": 7}},
		"no site counts twice":                     {rules: relay.StockRules{Sites: []string{"E"}, Locations: map[string][]string{"32": {"E", "W"}, "33": {"W"}}}, levels: sites(t, "E", "5", "W", "7"), want: shown{"": 5, "32": 7}},
		"a location without sites":                 {rules: relay.StockRules{Locations: map[string][]string{"32": nil}}, levels: sites(t, "E", "5"), want: shown{"": 5}},
		"all sites are elsewhere":                  {rules: relay.StockRules{Locations: map[string][]string{"32": {"E"}}}, levels: sites(t, "E", "5"), booked: []relay.Booked{{Units: 2}}, want: shown{"32": 3}},
		"buffers at each location":                 {rules: relay.StockRules{Buffer: 2, Locations: map[string][]string{"32": {"W"}}}, levels: sites(t, "E", "5", "W", "7"), want: shown{"": 3, "32": 5}},
		"booked where the cart has it":             {rules: relay.StockRules{Locations: map[string][]string{"32": {"W"}}}, levels: sites(t, "E", "5", "W", "7"), booked: []relay.Booked{{"32", 3}, {"", 1}}, want: shown{"": 4, "32": 4}},
		"what a location can't bear others do":     {rules: relay.StockRules{Locations: map[string][]string{"32": {"W"}, "33": {"N"}}}, levels: sites(t, "E", "5", "W", "7", "N", "2"), booked: []relay.Booked{{"32", 14}}, want: shown{"": 0, "32": 0, "33": 0}},
		"the own location bears it first":          {rules: relay.StockRules{Locations: map[string][]string{"32": {"W"}, "33": {"N"}}}, levels: sites(t, "E", "5", "W", "7", "N", "2"), booked: []relay.Booked{{"32", 13}}, want: shown{"": 0, "32": 0, "33": 1}},
		"what is short at a location others bear":  {rules: relay.StockRules{Locations: map[string][]string{"32": {"W"}}}, levels: sites(t, "E", "5", "W", "-2"), want: shown{"": 3, "32": 0}},
		"a site that is not shown bears none":      {rules: relay.StockRules{Sites: []string{"E"}}, levels: sites(t, "E", "5", "W", "70"), booked: []relay.Booked{{"", 3}}, want: shown{"": 2}},
		"orders at a location that nobody names":   {rules: relay.StockRules{Locations: map[string][]string{"32": {"W"}}}, levels: sites(t, "E", "5", "W", "7"), booked: []relay.Booked{{"99", 1}}, want: shown{"": 4, "32": 7}},
		"the site without a name, and one with it": {rules: relay.StockRules{Sites: []string{""}}, levels: sites(t, "", "5", "W", "7"), want: shown{"": 5}},
	} {
		t.Run(name, func(t *testing.T) {
			stock := map[relay.ItemCode]relay.CodeStock{"MUG": {Levels: c.levels, Booked: c.booked}}
			got := shown{}
			for _, l := range c.rules.Show(mug, stock) {
				if l.Known {
					got[l.Location] = l.Available
				}
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestShownKits(t *testing.T) {
	stock := map[relay.ItemCode]relay.CodeStock{
		"MUG": {Levels: sites(t, "E", "11", "W", "1")}, "BOX": {Levels: sites(t, "E", "4", "W", "9"), Booked: []relay.Booked{{"", 1}}},
		"CAP": {Levels: sites(t, "E", "50")},
	}
	show := func(r relay.StockRules, parts ...relay.Item) map[string]int64 {
		got := map[string]int64{}
		for _, l := range r.Show(parts, stock) {
			if l.Known {
				got[l.Location] = l.Available
			}
		}
		return got
	}
	mugs, box, lid := relay.Item{Code: "MUG", Units: 4}, relay.Item{Code: "BOX", Units: 1}, relay.Item{Code: "LID", Units: 1}
	require.Equal(t, map[string]int64{"": 3}, show(relay.StockRules{}, mugs, box))
	require.Equal(t, map[string]int64{"": 3}, show(relay.StockRules{}, box, mugs))
	require.Empty(t, show(relay.StockRules{}, mugs, lid), "the warehouse names no such part: that is not 0")
	require.Empty(t, show(relay.StockRules{}), "a kit that nobody has described")
	require.Equal(t, map[string]int64{"": 2}, show(relay.StockRules{Buffer: 4}, mugs, box), "stock is kept back, not kits: 12 mugs less 4 make 2")
	require.Equal(t, map[string]int64{"": 0}, show(relay.StockRules{Floor: 4}, mugs, box), "fewer kits than the floor")
	east := relay.StockRules{Sites: []string{"E"}, Locations: map[string][]string{"32": {"W"}}}
	require.Equal(t, map[string]int64{"": 2, "32": 0}, show(east, mugs, box), "a kit's parts are at one location")
	require.Equal(t, map[string]int64{"": 2}, show(east, mugs, relay.Item{Code: "CAP", Units: 1}), "the west knows no caps")
}

func TestShownStockIsExplained(t *testing.T) {
	r := relay.StockRules{Floor: 3, Buffer: 1, BufferPercent: 10, Locations: map[string][]string{"32": {"W"}}}
	got := r.Show([]relay.Item{{Code: "MUG", Units: 2}}, map[relay.ItemCode]relay.CodeStock{
		"MUG": {Levels: sites(t, "E", "10.5", "W", "3"), Booked: []relay.Booked{{"32", 4}, {"", 2}}}})
	require.Equal(t, []relay.ShownLevel{
		{Known: true, Whole: 2, Parts: []relay.PartLevel{{
			Item: relay.Item{Code: "MUG", Units: 2}, Sites: []string{"E"}, Reported: quantity(t, "10.5"), Booked: 2, Moved: relay.Units(1), Kept: 2, Free: 5}}},
		{Location: "32", Known: true, Parts: []relay.PartLevel{{
			Item: relay.Item{Code: "MUG", Units: 2}, Sites: []string{"W"}, Reported: relay.Units(3), Booked: 4}}},
	}, got)
}

func TestPlaceOfAnOrder(t *testing.T) {
	r := relay.StockRules{Locations: map[string][]string{"32": nil}}
	require.Equal(t, "32", r.Place("32"))
	require.Empty(t, r.Place("31"))
	require.Empty(t, r.Place(""))
}

// Whatever the rules and the figures, all locations of a cart together never
// show more units than the warehouse has left after what is booked.
func TestNoRulesOversell(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	names := []string{"", "A", "B", "C", "D"}
	some := func() (out []string) {
		for _, n := range names {
			if dice.IntN(3) == 0 {
				out = append(out, n)
			}
		}
		return out
	}
	for range 20_000 {
		r := relay.StockRules{Sites: some(), Floor: dice.Int64N(4), Buffer: dice.Int64N(3), BufferPercent: dice.Int64N(30), Locations: map[string][]string{}}
		for _, n := range some() {
			if n != "" {
				r.Locations[n] = some()
			}
		}
		var s relay.CodeStock
		var left relay.Quantity
		for _, n := range some() {
			q := relay.Quantity(dice.Int64N(200_000) - 40_000)
			s.Levels = append(s.Levels, relay.InventoryLevel{Site: n, Quantity: q})
			if q > 0 {
				left += q
			}
		}
		for _, n := range names {
			units := dice.Int64N(4)
			s.Booked = append(s.Booked, relay.Booked{Location: n, Units: units})
			left -= relay.Units(units)
		}
		var shown int64
		for _, l := range r.Show([]relay.Item{{Code: "X", Units: 1}}, map[relay.ItemCode]relay.CodeStock{"X": s}) {
			require.GreaterOrEqual(t, l.Available, int64(0))
			shown += l.Available
		}
		require.LessOrEqual(t, relay.Units(shown), max(left, 0), "%+v of %+v", r, s)
	}
}
