package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// onboard stores the merchant again, with a filter on the cart shop.
func (b *bench) onboard(f relay.Filter) {
	b.t.Helper()
	m := b.m.Merchant
	for i := range m.Carts {
		if m.Carts[i].Name == "shop" {
			m.Carts[i].Rules.Filter = f
		}
	}
	b.m = storetest.Save(b.t, b.Store, m)
}

// tagged is the n-th order, with tags.
func tagged(n int, tags ...string) relay.CartOrder {
	o := anOrder(n)
	o.Traits = relay.Traits{Status: "finalized", Tags: tags}
	return o
}

// later is the order in a version n minutes on.
func later(o relay.CartOrder, n int) relay.CartOrder {
	o.UpdatedAt = o.UpdatedAt.Add(time.Duration(n) * time.Minute)
	return o
}

var (
	onlyVIP = relay.Filter{Tags: []string{"vip"}}
	noDrop  = relay.Filter{NotTags: []string{"drop"}}
)

func (b *bench) reason(id relay.OrderID) string {
	b.t.Helper()
	d, err := b.Order(b.t.Context(), id)
	require.NoError(b.t, err)
	return d.SkipReason
}

// filter applies the present filter, page by page, as long as there is more.
func (b *bench) filter(limit int) (out store.Filtered) {
	b.t.Helper()
	for {
		page, done, err := b.NextToFilter(b.t.Context(), b.cart("shop").ID, limit)
		require.NoError(b.t, err)
		if done {
			return out
		}
		got, err := b.ApplyFilter(b.t.Context(), b.cart("shop").ID, page, "job pull_orders")
		require.NoError(b.t, err)
		out.Skipped, out.Unskipped, out.Woken = out.Skipped+got.Skipped, out.Unskipped+got.Unskipped, append(out.Woken, got.Woken...)
	}
}

func TestRulesOfACart(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	m := b.m.Merchant
	rules := relay.Rules{
		Filter:   relay.Filter{Countries: []string{"US"}, NotSKUs: []relay.SKU{"PEN"}, Earliest: placed},
		Methods:  relay.ShipMethods{Map: map[relay.ShipMethod]relay.Service{"Express": "AIR"}, Unmapped: relay.HoldUnmapped},
		Carriers: map[string]string{"USPS": "Post"},
		Stock:    relay.StockRules{Sites: []string{"EAST"}, Locations: map[string][]string{"12": {"WEST"}}, Floor: 1, Buffer: 2, BufferPercent: 3},
	}
	m.Carts[1].Rules = rules
	before := b.m.SettingsVersion
	b.m = storetest.Save(t, b.Store, m)
	require.Equal(t, rules, b.cart(m.Carts[1].Name).Rules)
	require.Zero(t, b.cart(m.Carts[0].Name).Rules)
	require.Greater(t, b.m.SettingsVersion, before)

	// What a later release wrote is read, and kept as long as this one does not onboard.
	b.exec(`update connections set rules = rules || '{"weather": {"rain": true}}' where name = $1`, m.Carts[1].Name)
	again, err := b.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, b.m, again)

	m.Carts[1].Rules = relay.Rules{}
	b.m = storetest.Save(t, b.Store, m)
	require.Zero(t, b.cart(m.Carts[1].Name).Rules)
}

func TestAnOrderThatTheFilterLeavesOutIsSkipped(t *testing.T) {
	b := newBench(t)
	b.onboard(onlyVIP)
	require.Equal(t, store.TakenIn{New: 1, Skipped: 2}, b.takeIn(tagged(1), tagged(2, "VIP"), tagged(3, "b2b")))
	b.want(b.id(1), relay.OrderSkipped)
	b.want(b.id(2), relay.OrderNew)
	require.Equal(t, "no tag vip", b.reason(b.id(1)))
	require.Empty(t, b.reason(b.id(2)))
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSkipped}, b.kinds(b.id(1)))
	require.Equal(t, "no tag vip", field(t, b.last(b.id(1)), "why"))
	require.Equal(t, "test", b.last(b.id(1)).Actor)

	// Nothing sends it, and it is counted as what it is: at its end until something changes.
	require.Len(t, b.claim("me"), 1)
	counts, err := b.CountsByMerchant(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(2), counts[0].States[relay.OrderSkipped])
	require.Equal(t, int64(1), counts[0].Unfinished)

	listed, err := b.Orders(t.Context(), store.OrderQuery{Merchant: "acme", States: []relay.OrderState{relay.OrderSkipped}, Limit: 10})
	require.NoError(t, err)
	require.Len(t, listed, 2)
	require.Equal(t, "no tag vip", listed[0].SkipReason)

	// The same page again is no news.
	require.Equal(t, store.TakenIn{}, b.takeIn(tagged(1), tagged(2, "VIP"), tagged(3, "b2b")))
	require.Len(t, b.kinds(b.id(1)), 2)
}

// What filters go by may change where nothing that ships does.
func TestTraitsDecideAgainWhenTheCartShowsTheOrderAgain(t *testing.T) {
	b := newBench(t)
	b.onboard(onlyVIP)
	b.takeIn(tagged(1), tagged(2, "vip"), tagged(3))
	one, two := b.id(1), b.id(2)

	require.Equal(t, store.TakenIn{Skipped: 1, Unskipped: 1}, b.takeIn(later(tagged(1, "vip"), 1), later(tagged(2, "b2b"), 1)))
	b.want(one, relay.OrderNew)
	b.want(two, relay.OrderSkipped)
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSkipped, store.EventUnskipped}, b.kinds(one))
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSkipped}, b.kinds(two))
	require.NotEmpty(t, field(t, b.last(one), "why"))
	require.Equal(t, []string{`{"tags": ["vip"], "status": "finalized"}`}, list[string](b, `select traits::text from orders where id = $1`, one))

	// A version that is not newer tells of traits, too; an older one does not.
	require.Equal(t, store.TakenIn{Skipped: 1}, b.takeIn(later(tagged(1), 1)))
	b.want(one, relay.OrderSkipped)
	require.Equal(t, store.TakenIn{}, b.takeIn(tagged(1, "vip")))
	b.want(one, relay.OrderSkipped)

	// Another reason is news; the order stays where it is.
	b.onboard(relay.Filter{Tags: []string{"vip"}, Statuses: []string{"paid"}})
	require.Equal(t, store.TakenIn{}, b.takeIn(later(tagged(1), 2)))
	require.Equal(t, "status finalized, not paid; no tag vip", b.reason(one))
	require.Equal(t, store.EventSkipped, b.last(one).Kind)

	// What ships may change at the same time.
	b.onboard(onlyVIP)
	edited := later(tagged(1, "vip"), 3)
	edited.ShipMethod = "Express"
	require.Equal(t, store.TakenIn{Changed: 1, Unskipped: 1}, b.takeIn(edited))
	b.want(one, relay.OrderNew)
	d, err := b.Order(t.Context(), one)
	require.NoError(t, err)
	require.Equal(t, relay.ShipMethod("Express"), d.ShipMethod)
}

// Promise 1: a filter says nothing of what is or may be at the warehouse; and a
// person's hold is a person's to end.
func TestWhatNoFilterSkips(t *testing.T) {
	b := newBench(t)
	subs := map[string]relay.OrderID{
		"submitting":   b.submitting(1).Order.ID,
		"in doubt":     b.inDoubt(2).Order.ID,
		"at warehouse": b.atWarehouse(3).Order.ID,
	}
	held := b.inDoubt(4)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: held.ID, Order: held.Order.ID, Hold: unknownOutcome()}}))
	subs["held in doubt"] = held.Order.ID
	b.takeIn(anOrder(5), anOrder(6), anOrder(7), anOrder(8))
	hold := func(n int, reason relay.HoldReason) {
		_, err := b.HoldOrder(t.Context(), b.id(n), relay.Hold{Reason: reason}, "operator clerk")
		require.NoError(t, err)
		b.want(b.id(n), relay.OrderHeld)
	}
	hold(5, relay.HoldOperator)
	hold(6, relay.HoldUnknownOutcome) // the warehouse shows one that may be it
	hold(7, relay.HoldUnknownItem)
	subs["held by a person"], subs["suspect"] = b.id(5), b.id(6)
	before := map[string]relay.OrderState{}
	for name, id := range subs {
		before[name] = b.state(id)
	}

	b.onboard(onlyVIP)
	got := b.filter(3)
	require.Equal(t, store.Filtered{Skipped: 2, Woken: []relay.OrderID{b.id(7)}}, got)
	var seen []relay.CartOrder
	for n := 1; n <= 8; n++ {
		seen = append(seen, later(tagged(n, "b2b"), 1))
	}
	require.Equal(t, store.TakenIn{}, b.takeIn(seen...))
	for name, id := range subs {
		require.Equal(t, before[name], b.state(id), name)
	}
	b.want(b.id(7), relay.OrderSkipped)
	b.want(b.id(8), relay.OrderSkipped)
	require.Empty(t, b.inconsistencies())
}

// A hold that the filter ends is told to its workflow, which then finds it ended.
func TestAHeldOrderIsSkipped(t *testing.T) {
	b := newBench(t)
	b.onboard(noDrop)
	sub := b.submitting(1)
	b.record(refused(sub))
	b.want(sub.Order.ID, relay.OrderHeld)
	require.Equal(t, store.TakenIn{Skipped: 1, Woken: []relay.OrderID{sub.Order.ID}}, b.takeIn(later(tagged(1, "drop"), 1)))
	view, err := b.ViewHold(t.Context(), sub.Order.ID)
	require.NoError(t, err)
	require.Equal(t, relay.OrderSkipped, view.State)
	require.Nil(t, view.Hold)
	waiting, err := b.HoldsToStart(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Empty(t, waiting)

	// Let go, it is sent as a new attempt.
	require.Equal(t, store.TakenIn{Unskipped: 1}, b.takeIn(later(tagged(1), 2)))
	require.Len(t, b.claim("me"), 1)
}

func TestAChangedFilterIsAppliedToAll(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	b.onboard(onlyVIP)
	require.Zero(t, b.filter(10))
	var page []relay.CartOrder
	for n := range 25 {
		page = append(page, tagged(n, []string{"vip", "b2b"}[n%2]))
	}
	require.Equal(t, store.TakenIn{New: 13, Skipped: 12}, b.takeIn(page...))
	elsewhere := tagged(100)
	_, err := b.TakeIn(t.Context(), b.cart("outlet"), []relay.CartOrder{elsewhere}, "orders", "x", "test")
	require.NoError(t, err)

	// The same filter again changes nothing.
	b.onboard(onlyVIP)
	require.Zero(t, b.filter(4))

	b.onboard(relay.Filter{Tags: []string{"b2b"}})
	require.Equal(t, store.Filtered{Skipped: 13, Unskipped: 12}, b.filter(4))
	for n := range 25 {
		b.want(b.id(n), []relay.OrderState{relay.OrderSkipped, relay.OrderNew}[n%2])
	}
	require.Equal(t, "the filter changed", field(t, b.last(b.id(1)), "why"))
	require.Equal(t, "job pull_orders", b.last(b.id(1)).Actor)
	b.want(b.id(100), relay.OrderNew)
	require.Zero(t, b.filter(4), "once for each version of the settings")

	b.onboard(relay.Filter{})
	require.Equal(t, store.Filtered{Unskipped: 13}, b.filter(1000))
}

// The settings may change, and the process end, between any two pages.
func TestAFilterGoesOnWhereItWas(t *testing.T) {
	b := newBench(t)
	ctx, shop := t.Context(), b.cart("shop").ID
	b.takeIn(tagged(1), tagged(2), tagged(3))
	b.onboard(onlyVIP)
	page, done, err := b.NextToFilter(ctx, shop, 2)
	require.NoError(t, err)
	require.False(t, done)
	for range 2 { // twice, as after a lost answer
		_, err = b.ApplyFilter(ctx, shop, page, "test")
		require.NoError(t, err)
	}
	b.want(b.id(2), relay.OrderSkipped)
	b.want(b.id(3), relay.OrderNew)
	require.Len(t, b.kinds(b.id(1)), 2)

	stale, _, err := b.NextToFilter(ctx, shop, 2)
	require.NoError(t, err)
	b.onboard(noDrop)
	got, err := b.ApplyFilter(ctx, shop, stale, "test")
	require.NoError(t, err)
	require.Zero(t, got)
	b.want(b.id(3), relay.OrderNew)

	// Whom the cart was not asked about is not let go.
	page, _, err = b.NextToFilter(ctx, shop, 2)
	require.NoError(t, err)
	require.Equal(t, []relay.ExternalID{"ext-1", "ext-2"}, page.Passing)
	page.Passing = page.Passing[1:]
	_, err = b.ApplyFilter(ctx, shop, page, "test")
	require.NoError(t, err)
	b.want(b.id(1), relay.OrderSkipped)
	b.want(b.id(2), relay.OrderNew)
}

// Of orders that the release before took in nobody knows what the cart says of
// them besides what is to be shipped: a filter judges them by the rest, until the
// cart shows them again. A worker of that release knows no traits at all.
func TestOrdersOfTheReleaseBeforeAreNotJudgedByTraits(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	b.exec(`update orders set traits = default`)
	b.onboard(relay.Filter{Statuses: []string{"finalized"}, Payments: []string{"paid"}, Tags: []string{"vip"}, Locations: []string{"7"}})
	require.Equal(t, store.Filtered{}, b.filter(10))
	b.want(id, relay.OrderNew)
	b.onboard(relay.Filter{NotCountries: []string{"US"}})
	require.Equal(t, 1, b.filter(10).Skipped)
	b.onboard(onlyVIP)
	require.Equal(t, 1, b.filter(10).Unskipped)
	b.takeIn(later(tagged(1), 1))
	b.want(id, relay.OrderSkipped)
	require.Equal(t, "no tag vip", b.reason(id))
}

// An order is judged by the settings that its cart has when it is stored, so that
// none is judged by the old ones after the new ones were applied to all.
func TestTakingInRacesWithAChangedFilter(t *testing.T) {
	b := newBench(t)
	old := b.cart("shop")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 25 {
				_, err := b.TakeIn(t.Context(), old, []relay.CartOrder{tagged(100*i + n)}, fmt.Sprint("orders", i), "x", "test")
				assert.NoError(t, err)
			}
		})
	}
	b.onboard(onlyVIP)
	b.filter(7)
	wg.Wait()
	require.Equal(t, []int64{100}, list[int64](b, `select count(*) from orders where state = 'skipped'`))
}

func TestAClaimSkips(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1), anOrder(2))
	skipFirst := func(o relay.Order, token relay.Token) (store.Claim, error) {
		if o.Number == "SO-1" {
			return store.Claim{Skip: "country US is left out"}, nil
		}
		return translate(o, token)
	}
	got, err := b.Claim(t.Context(), b.query("me"), skipFirst)
	require.NoError(t, err)
	require.Len(t, got.Submissions, 1)
	require.Equal(t, 1, got.Skipped)
	b.want(b.id(1), relay.OrderSkipped)
	require.Equal(t, "country US is left out", b.reason(b.id(1)))
	require.Equal(t, "job submit_orders", b.last(b.id(1)).Actor)

	// Of one on hold, too: its resend finds the filter changed.
	b.takeIn(anOrder(3))
	sub := b.claim("me")[0]
	b.record(refused(sub))
	q := b.query("nightly")
	q.Held = []relay.OrderID{sub.Order.ID}
	got, err = b.Claim(t.Context(), q, func(relay.Order, relay.Token) (store.Claim, error) { return store.Claim{Skip: "no"}, nil })
	require.NoError(t, err)
	require.Equal(t, store.Claimed{Skipped: 1}, got)
	b.want(sub.Order.ID, relay.OrderSkipped)
}

// A claim is judged by what the cart told last, also where an edit was kept back.
func TestAClaimSeesTheTraits(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	edited := later(tagged(1, "old"), 1)
	edited.ShipMethod = "Express"
	b.takeIn(edited)
	newest := later(tagged(1, "new"), 2)
	newest.ShipMethod = "Express"
	b.takeIn(newest)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Absent: &relay.Hold{Reason: relay.HoldWarehouseUnreachable}}}))
	q := b.query("nightly")
	q.Held = []relay.OrderID{sub.Order.ID}
	_, err := b.Claim(t.Context(), q, func(o relay.Order, token relay.Token) (store.Claim, error) {
		require.Equal(t, relay.Traits{Status: "finalized", Tags: []string{"new"}}, o.Traits)
		require.Equal(t, relay.ShipMethod("Express"), o.ShipMethod)
		return translate(o, token)
	})
	require.NoError(t, err)
	b.want(sub.Order.ID, relay.OrderSubmitting)
}

func TestTheCartCancelsASkippedOrder(t *testing.T) {
	b := newBench(t)
	b.onboard(onlyVIP)
	b.takeIn(tagged(1))
	id := b.id(1)
	found, err := b.CartOrders(t.Context(), b.cart("shop").ID, []relay.ExternalID{"ext-1"})
	require.NoError(t, err)
	require.Equal(t, map[relay.ExternalID]relay.OrderID{"ext-1": id}, found)
	r, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "cart shop", Reason: "void", AtCart: true})
	require.NoError(t, err)
	require.Equal(t, store.StoppedBeforeSending, r.Standing)
	b.want(id, relay.OrderSendingCancelled)
	require.Empty(t, b.reason(id))

	// No change of the filter brings it back.
	b.onboard(relay.Filter{})
	require.Zero(t, b.filter(10))
	b.want(id, relay.OrderSendingCancelled)
}

// Promise 1: an order that was refused, skipped, and turns out to be at the
// warehouse is looked for and never sent again.
func TestASkippedOrderThatTheWarehouseShows(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	b.record(refused(sub))
	b.onboard(onlyVIP)
	require.Equal(t, 1, b.filter(10).Skipped)
	doubted, err := b.DoubtShown(t.Context(), "test", []store.Shown{{Submission: sub.ID, WarehouseOrderID: wid(sub)}})
	require.NoError(t, err)
	require.Len(t, doubted, 1)
	b.want(sub.Order.ID, relay.OrderInDoubt)
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: wid(sub), Adopted: true, By: "token"})
	b.want(sub.Order.ID, relay.OrderAtWarehouse)

	// One that merely has its number is for a person to look at, before a filter lets it go.
	b.takeIn(tagged(2))
	b.want(b.id(2), relay.OrderSkipped)
	c := b.m.StoredWarehouse()
	run, _, err := b.BeginReconciliation(t.Context(), c, time.Hour)
	require.NoError(t, err)
	suspects, err := b.HoldSuspects(t.Context(), c, run.ID, "test", []store.Stranger{{ID: "W-x", Number: "SO-2", CreatedAt: time.Now()}},
		func(store.Stranger) relay.Hold { return *unknownOutcome() })
	require.NoError(t, err)
	require.Len(t, suspects, 1)
	require.True(t, suspects[0].Held)
	b.want(b.id(2), relay.OrderHeld)
	b.onboard(noDrop)
	require.Zero(t, b.filter(10))
	b.want(b.id(2), relay.OrderHeld)
}

// A reopened order goes through the filter like any other.
func TestAReopenedOrderIsFiltered(t *testing.T) {
	b := newBench(t)
	b.onboard(onlyVIP)
	b.takeIn(tagged(1))
	_, err := b.RequestCancel(t.Context(), b.id(1), store.CancelAsk{Actor: "operator clerk", Reason: "no"})
	require.NoError(t, err)
	r, err := b.ReopenOrder(t.Context(), b.id(1), store.ReopenAsk{Actor: "operator clerk", Reason: "after all"})
	require.NoError(t, err)
	require.Equal(t, store.Reopened, r.Standing)
	b.want(b.id(1), relay.OrderNew)
	shop := b.cart("shop")
	got, err := b.Claim(t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
		if why := shop.Rules.Filter.Skips(o.CartOrder); why != "" {
			return store.Claim{Skip: why}, nil
		}
		return translate(o, token)
	})
	require.NoError(t, err)
	require.Equal(t, 1, got.Skipped)
}
