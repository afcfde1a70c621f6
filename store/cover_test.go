package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
	"orderferry/store"
)

// sku is an order's n-th line: so many units of a SKU.
func sku(n int, name relay.SKU, units int64) relay.Line {
	return relay.Line{ID: relay.LineID(fmt.Sprint(n)), SKU: name, Quantity: relay.Units(units)}
}

// asIs takes SKUs for item codes, as the bench's merchant does.
var asIs = relay.NewMappings(nil, nil).Under(relay.Merchant{Unaliased: relay.SendUnaliased})

// held takes in the n-th order with the given lines, and has it refused for want of stock.
func (b *bench) held(n int, lines ...relay.Line) store.Submission {
	b.t.Helper()
	o := anOrder(n)
	o.Lines = lines
	b.takeIn(o)
	subs := b.claim("me")
	require.Len(b.t, subs, 1)
	b.record(refused(subs[0]))
	b.want(subs[0].Order.ID, relay.OrderHeld)
	return subs[0]
}

// cover lets orders go that stock covers, looking at a few at a time, and returns their ids.
func (b *bench) cover(mappings relay.Mappings) (ids []relay.OrderID) {
	b.t.Helper()
	q := store.CoveredQuery{Merchant: b.m, Mappings: mappings, Limit: 2, Actor: "job pull_inventory"}
	for {
		page, err := b.ReleaseCovered(b.t.Context(), q)
		require.NoError(b.t, err)
		for _, r := range page.Released {
			id, err := b.OrderByReference(b.t.Context(), "acme", r)
			require.NoError(b.t, err)
			ids = append(ids, id)
		}
		if !page.More {
			return ids
		}
		q.After = page.Next
	}
}

func TestStockLetsTheLongestHeldOrdersGo(t *testing.T) {
	b := newBench(t)
	var subs []store.Submission
	for n := range 4 {
		subs = append(subs, b.held(n, sku(1, "MUG", 2)))
	}
	// The last one taken in has waited longest.
	b.exec(`update orders set first_held_at = first_held_at - interval '1 day' where id = $1`, subs[3].Order.ID)
	require.Empty(t, b.cover(asIs), "nothing is known of the stock")
	b.reading("available", level("MUG", "E", 3), level("MUG", "W", 2))
	require.Equal(t, []relay.OrderID{subs[3].Order.ID, subs[0].Order.ID}, b.cover(asIs))
	b.want(subs[1].Order.ID, relay.OrderHeld)
	last := b.last(subs[0].Order.ID)
	require.Equal(t, store.EventReleased, last.Kind)
	require.Equal(t, "job pull_inventory", last.Actor)
	require.Equal(t, "the stock feed covers it", field(t, last, "why"))
	require.Empty(t, b.cover(asIs), "those that go have taken it")
}

// An order that is not covered whole sets nothing aside, and is never sent in part.
func TestStockThatCoversAPartOfAnOrder(t *testing.T) {
	b := newBench(t)
	both := b.held(1, sku(1, "MUG", 1), sku(2, "CAP", 1))
	unnamed := b.held(2, sku(1, "MUG", 1), sku(2, "HAT", 1))
	twice := b.held(3, sku(1, "MUG", 1), sku(2, "MUG", 1))
	one := b.held(4, sku(1, "MUG", 1))
	b.reading("available", level("MUG", "", 1), level("CAP", "", 0))
	require.Equal(t, []relay.OrderID{one.Order.ID}, b.cover(asIs))
	for _, s := range []store.Submission{both, unnamed, twice} {
		b.want(s.Order.ID, relay.OrderHeld)
	}
	b.reading("available", level("MUG", "", 2), level("CAP", "", 1))
	require.Equal(t, []relay.OrderID{both.Order.ID}, b.cover(asIs), "one mug is for the order that waits to be sent")
}

// A warehouse that refuses in spite of its own figures is not asked again until they change.
func TestAnOrderGoesEarlyOnceAChange(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 10), level("CAP", "", 10))
	sub := b.held(1, sku(1, "MUG", 2))
	require.Empty(t, b.cover(asIs), "refused after the figure was read")
	b.reading("available", level("MUG", "", 10), level("CAP", "", 9))
	require.Empty(t, b.cover(asIs), "another figure changed")
	b.reading("available", level("MUG", "", 9), level("CAP", "", 9))
	for range 3 {
		require.Equal(t, []relay.OrderID{sub.Order.ID}, b.cover(asIs))
		subs := b.claim("me")
		require.Len(t, subs, 1)
		b.record(refused(subs[0]))
		require.Empty(t, b.cover(asIs))
		b.reading("available", level("MUG", "", 9), level("CAP", "", 9))
		require.Empty(t, b.cover(asIs), "the same figure again is no news")
		b.reading("available", level("MUG", "", 8), level("CAP", "", 9))
		b.reading("available", level("MUG", "", 9), level("CAP", "", 9))
	}
}

func TestWhatStockDoesNotLetGo(t *testing.T) {
	b := newBench(t)
	sub := b.held(1, sku(1, "MUG", 2))
	b.reading("available", level("MUG", "", 10))
	for _, r := range relay.HoldReasons() {
		b.exec(`update orders set hold_reason = $1`, r)
		if r != relay.HoldInsufficientInventory {
			require.Empty(t, b.cover(asIs), r)
		}
	}
	b.exec(`update orders set hold_reason = 'insufficient_inventory'`)
	require.Empty(t, b.cover(relay.NewMappings(nil, nil)), "no alias gives its SKU a code any more")
	require.NoError(t, b.SetPaused(t.Context(), "acme", true))
	require.Empty(t, b.cover(asIs), "paused")
	require.NoError(t, b.SetPaused(t.Context(), "acme", false))
	require.Equal(t, []relay.OrderID{sub.Order.ID}, b.cover(relay.NewMappings([]relay.Alias{{SKU: "MUG", Code: "MUG"}}, nil)))
}

// What the figure does not show yet is taken off it.
func TestStockThatOthersTake(t *testing.T) {
	for name, c := range map[string]struct {
		take func(b *bench)
		free int64
	}{
		"nobody":                      {func(*bench) {}, 5},
		"a new order":                 {func(b *bench) { b.takeIn(anOrder(7)) }, 3},
		"one being sent":              {func(b *bench) { b.submitting(7) }, 3},
		"one in doubt":                {func(b *bench) { b.inDoubt(7) }, 3},
		"one on hold for its outcome": {func(b *bench) { sub := b.inDoubt(7); b.look(sub, store.Look{Hold: unknownOutcome()}) }, 3},
		"one accepted since":          {func(b *bench) { b.atWarehouse(7) }, 3},
		"one accepted before": {func(b *bench) {
			b.atWarehouse(7)
			b.reading("available", level("MUG", "", 5), level("CAP", "", 5))
		}, 5},
		"one refused": {func(b *bench) { b.record(refused(b.submitting(7))) }, 5},
		"one absent":  {func(b *bench) { sub := b.inDoubt(7); b.look(sub, store.Look{Absent: unknownOutcome()}) }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.reading("available", level("MUG", "", 5), level("CAP", "", 5))
			c.take(b)
			stock, err := b.Stock(t.Context(), b.m, asIs)
			require.NoError(t, err)
			require.Equal(t, relay.Units(5), stock["MUG"].Reported)
			require.Equal(t, c.free, stock["MUG"].Free)
			require.False(t, stock["MUG"].ChangedAt.IsZero())
		})
	}
}

func (b *bench) look(sub store.Submission, l store.Look) {
	b.t.Helper()
	l.Submission, l.Order = sub.ID, sub.Order.ID
	require.NoError(b.t, b.RecordLooks(b.t.Context(), "test", []store.Look{l}))
}

// TestNoUnitIsPromisedTwice: whatever the levels, the orders on hold and those
// under way, what goes is what a walk from the longest held order on would let
// go, and all that is promised fits into what the warehouse has.
func TestNoUnitIsPromisedTwice(t *testing.T) {
	b := newBench(t)
	codes := []relay.SKU{"MUG", "CAP", "HAT"}
	rapid.Check(t, func(rt *rapid.T) {
		b.exec(`do $$ begin set local session_replication_role = replica; truncate orders, order_events, cursors, inventory_levels cascade; end $$`)
		has := make(map[relay.SKU]int64)
		lines := func() (list []relay.Line) {
			for i := range rapid.IntRange(1, 3).Draw(rt, "lines") {
				list = append(list, sku(i, rapid.SampledFrom(codes).Draw(rt, "sku"), rapid.Int64Range(1, 4).Draw(rt, "units")))
			}
			return list
		}
		n := 0
		take := func(most int) {
			var list []relay.CartOrder
			for range rapid.IntRange(0, most).Draw(rt, "orders") {
				o := anOrder(n)
				n++
				o.Lines = lines()
				list = append(list, o)
				for _, l := range o.Lines {
					units, _ := l.Quantity.Whole()
					has[l.SKU] -= units
				}
			}
			b.takeIn(list...)
		}
		type waits struct {
			since time.Time
			id    relay.OrderID
			lines []relay.Line
		}
		var waiting []waits
		var short []store.Outcome
		take(6)
		clear(has) // none of them is promised anything
		for _, s := range b.claim("me") {
			short = append(short, refused(s))
			waiting = append(waiting, waits{id: s.Order.ID, lines: s.Order.Lines, since: placed.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "age")) * time.Hour)})
		}
		b.record(short...)
		for _, w := range waiting {
			b.exec(`update orders set first_held_at = $2 where id = $1`, w.id, w.since)
		}
		take(3)
		subs := b.claim("me") // to be in doubt, accepted after the reading, or being sent still
		var levels []relay.InventoryLevel
		for _, c := range codes {
			for _, site := range []string{"E", "W"} {
				if rapid.IntRange(0, 4).Draw(rt, "named") > 0 {
					q := rapid.Int64Range(-1, 8).Draw(rt, "quantity")
					levels = append(levels, level(relay.ItemCode(c), site, q))
					has[c] += q
				}
			}
		}
		named := func(c relay.SKU) bool {
			return slices.ContainsFunc(levels, func(l relay.InventoryLevel) bool { return l.Code == relay.ItemCode(c) })
		}
		b.reading(rapid.SampledFrom([]string{"available", "on_hand"}).Draw(rt, "meaning"), levels...)
		var fates []store.Outcome
		for _, s := range subs {
			if fate := rapid.IntRange(0, 2).Draw(rt, "fate"); fate < 2 {
				fates = append(fates, []func(store.Submission) store.Outcome{accepted, unknown}[fate](s))
			}
		}
		b.record(fates...)
		take(3)

		slices.SortFunc(waiting, func(a, b waits) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id)) })
		var want []relay.OrderID
		for _, w := range waiting {
			need := make(map[relay.SKU]int64)
			for _, l := range w.lines {
				units, _ := l.Quantity.Whole()
				need[l.SKU] += units
			}
			covered := true
			for c, units := range need {
				covered = covered && named(c) && has[c] >= units
			}
			if covered {
				want = append(want, w.id)
				for c, units := range need {
					has[c] -= units
				}
			}
		}
		require.Equal(rt, want, b.cover(asIs))
		stock, err := b.Stock(t.Context(), b.m, asIs)
		require.NoError(rt, err)
		for _, c := range codes {
			if named(c) {
				require.Equal(rt, has[c], stock[relay.ItemCode(c)].Free, c)
			}
		}
	})
}

// Two workers that read the same stock at once promise it once.
func TestTwoReadingsAtOnce(t *testing.T) {
	b := newBench(t)
	for n := range 20 {
		b.held(n, sku(1, "MUG", 1))
	}
	b.reading("available", level("MUG", "", 7))
	released := make(chan int)
	for range 4 {
		go func() {
			n := 0
			for q := (store.CoveredQuery{Merchant: b.m, Mappings: asIs, Limit: 3}); ; {
				page, err := b.ReleaseCovered(t.Context(), q)
				n += len(page.Released)
				if err != nil || !page.More {
					released <- n
					return
				}
				q.After = page.Next
			}
		}()
	}
	total := 0
	for range 4 {
		total += <-released
	}
	require.Equal(t, 7, total)
	require.Equal(t, []int64{7}, list[int64](b, `select count(*) from orders where state = 'new'`))
}

// Five thousand orders are ten transactions, not five thousand.
func TestManyOrdersGoInFewTransactions(t *testing.T) {
	b := newBench(t)
	const many = 5000
	b.manyHeld(many)
	b.reading("available", level("MUG", "", 2*many-1), level("CAP", "", many))
	pages, released := 0, 0
	for q := (store.CoveredQuery{Merchant: b.m, Mappings: asIs, Limit: 500}); ; {
		page, err := b.ReleaseCovered(t.Context(), q)
		require.NoError(t, err)
		pages++
		released += len(page.Released)
		if !page.More {
			break
		}
		q.After = page.Next
	}
	require.Equal(t, many-1, released)
	require.Equal(t, 11, pages, "the last one is empty")
	require.Equal(t, []int64{10}, list[int64](b, `select count(distinct xmin::text) from order_events where kind = 'released'`))
}

// manyHeld puts so many orders on hold for want of stock.
func (b *bench) manyHeld(n int) {
	var orders []relay.CartOrder
	for i := range n {
		orders = append(orders, anOrder(i))
	}
	b.takeIn(orders...)
	b.exec(`update orders set state = 'held', hold_reason = 'insufficient_inventory', held_at = now(), first_held_at = now(), hold_attempts = 1`)
}

func TestForecast(t *testing.T) {
	b := newBench(t)
	key := func(r relay.Reference) string { return "hold/acme/" + string(r) }
	for n := range 6 {
		b.held(n, sku(1, "MUG", 2))
	}
	b.held(6, sku(1, "HAT", 1))
	odd := anOrder(7)
	odd.Lines = []relay.Line{{ID: "1", SKU: "MUG", Quantity: 5000}}
	b.takeIn(odd)
	answer, err := b.HoldOrder(t.Context(), b.id(7), relay.Hold{Reason: relay.HoldBadOrder}, "test")
	require.NoError(t, err)
	require.True(t, answer.Held)
	b.takeIn(anOrder(8)) // a new one: two mugs and a cap
	for n, r := range map[int]relay.HoldReason{0: relay.HoldOperator, 1: relay.HoldWarehouseUnreachable} {
		b.exec(`update orders set hold_reason = $2 where id = $1`, b.id(n), r)
	}
	b.reading("available", level("MUG", "", 7), level("CAP", "", 1))
	// At noon: close to 1:00 AM what could not reach the warehouse waits for that too.
	now := time.Date(2026, 3, 2, 20, 0, 0, 0, time.UTC)
	b.exec(`update orders set held_at = $1, first_held_at = $1 where state = 'held'`, now)

	list, err := b.Forecast(t.Context(), b.m, asIs, now, key)
	require.NoError(t, err)
	require.Len(t, list, 7, "an operator's hold is not sent again by the clock")
	require.Equal(t, b.id(1), list[0].Order, "it could not reach the warehouse, and is sent sooner")
	require.True(t, slices.IsSortedFunc(list, func(a, b store.Forecast) int { return a.Resend.Compare(b.Resend) }))
	free := int64(7 - 2)
	for _, f := range list {
		require.Equal(t, f.Order, b.id(int(f.Number[3]-'0')))
		want, err := f.Hold.NextResend(b.m.Resend, key(f.Reference), now)
		require.NoError(t, err)
		require.Equal(t, want, f.Resend)
		switch {
		case f.Order == b.id(7):
			require.Equal(t, relay.HoldBadOrder, f.Kept.Reason)
			require.Empty(t, f.Short)
		case f.Order == b.id(6):
			require.Equal(t, []store.Shortage{{Code: "HAT", Needed: 1, Unknown: true}}, f.Short)
		case free >= 2:
			free -= 2
			require.Empty(t, f.Short)
		default:
			require.Equal(t, []store.Shortage{{Code: "MUG", Needed: 2, Free: free}}, f.Short)
		}
	}
	require.Equal(t, int64(1), free)
}

func TestForecastOfMany(t *testing.T) {
	b := newBench(t)
	b.manyHeld(2500)
	list, err := b.Forecast(t.Context(), b.m, asIs, time.Now(), func(r relay.Reference) string { return string(r) })
	require.NoError(t, err)
	require.Len(t, list, 2500)
	seen := make(map[relay.OrderID]bool)
	for _, f := range list {
		seen[f.Order] = true
	}
	require.Len(t, seen, 2500, "each once")
}
