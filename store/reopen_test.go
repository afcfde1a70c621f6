package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func (b *bench) reopen(id relay.OrderID) store.ReopenRequest {
	b.t.Helper()
	got, err := b.ReopenOrder(b.t.Context(), id, store.ReopenAsk{Actor: "operator clerk", Reason: "the buyer wants it after all"})
	require.NoError(b.t, err)
	return got
}

// Nothing but a cancelled order is sent anew, and that only once its cancel is sure.
func TestReopenInEveryState(t *testing.T) {
	for state, then := range map[relay.OrderState]store.ReopenStanding{
		relay.OrderNew: store.NotCancelled, relay.OrderSkipped: store.NotCancelled, relay.OrderHeld: store.NotCancelled,
		relay.OrderSubmitting: store.NotCancelled, relay.OrderInDoubt: store.NotCancelled, relay.OrderAtWarehouse: store.NotCancelled,
		relay.OrderShipped: store.NotCancelled, relay.OrderConfirmed: store.NotCancelled,
		relay.OrderCancelRequested:  store.CancelUnconfirmed,
		relay.OrderSendingCancelled: store.Reopened, relay.OrderCancelled: store.Reopened,
	} {
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			id := in[state](b)
			kinds := b.kinds(id)
			require.Equal(t, then, b.reopen(id).Standing)
			if then != store.Reopened {
				b.want(id, state)
				require.Equal(t, kinds, b.kinds(id))
				return
			}
			b.want(id, relay.OrderNew)
			require.Equal(t, store.EventReopened, b.last(id).Kind)
			kinds = b.kinds(id)
			again := b.reopen(id)
			require.Equal(t, store.AlreadyReopened, again.Standing, "harmless twice")
			require.Equal(t, relay.OrderNew, again.State)
			require.Equal(t, kinds, b.kinds(id))
		})
	}
	b := newBench(t)
	_, err := b.ReopenOrder(t.Context(), 99, store.ReopenAsk{Actor: "x", Reason: "y"})
	require.ErrorIs(t, err, store.ErrNotFound)

	for _, state := range []relay.OrderState{relay.OrderSubmitting, relay.OrderInDoubt} {
		t.Run(string(state)+", its cancel not answered yet", func(t *testing.T) {
			b := newBench(t)
			id := in[state](b)
			b.cancel(id)
			require.Equal(t, store.CancelUnconfirmed, b.reopen(id).Standing)
		})
	}
}

// The second life of an order: a new attempt with a new token and the content
// that the cart tells now. What is said of the first life does not touch it.
func TestAReopenedOrderIsSentAnew(t *testing.T) {
	b := newBench(t)
	first := b.atWarehouse(1)
	id := first.Order.ID
	b.cancel(id)
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, Done: true}}))
	b.takeIn(edited(60, "2 Example Street"))
	got := b.reopen(id)
	require.Equal(t, wid(first), got.WarehouseOrderID)
	require.Equal(t, string(wid(first)), field(t, b.last(id), "cancelled_warehouse_order"))
	require.Equal(t, "cancelled", field(t, b.last(id), "was"))
	d, err := b.Order(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, d.WarehouseOrderID)
	require.Nil(t, d.CancelAskedAt)

	owned, err := b.Owned(t.Context(), b.depot(), []relay.WarehouseOrderID{wid(first), "W-other"})
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, owned, "the cancelled order is never adopted for the new one")

	second := b.claim("me")[0]
	require.NotEqual(t, first.Token, second.Token)
	require.Equal(t, "2 Example Street", second.Order.ShipTo.Street1)
	b.record(accepted(second))
	b.want(id, relay.OrderAtWarehouse)
	require.Equal(t, []string{"withdrawn", "accepted"}, list[string](b, `select state from submissions order by attempt`))

	kinds := b.kinds(id)
	b.progress(store.Progress{Order: id, WarehouseOrderID: wid(first), Status: "refunded", Cancelled: true})
	b.want(id, relay.OrderAtWarehouse)
	b.cancel(id)
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, WarehouseOrderID: wid(first), Done: true}}))
	b.want(id, relay.OrderCancelRequested)
	require.Equal(t, append(kinds, store.EventCancelAsked), b.kinds(id))
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, WarehouseOrderID: wid(second), TooLate: true}}))

	b.progress(store.Progress{Order: id, WarehouseOrderID: wid(second), Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}})
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 2}, {Line: "2", Units: 1}}, b.toTell()[0].Lines, "the goods of one life, not of both")
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

// What the cart has cancelled, or may have, is not sent behind its back.
func TestReopenAndTheCart(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	b.cancelAndTell(id)
	require.Equal(t, store.Reopened, b.reopen(id).Standing, "the cart was not told yet")
	require.Empty(t, b.cancelsToTell(), "and will not be")

	b.cancelAndTell(id)
	require.Len(t, b.cancelsToTell(), 1)
	require.Equal(t, store.TellingCart, b.reopen(id).Standing)
	b.cartTold(store.CancelTold{Order: id, Error: "no answer", Retry: time.Hour, Unknown: true})
	require.Equal(t, store.TellingCart, b.reopen(id).Standing, "it may have taken it")
	again := func() store.CancelToTell {
		b.exec(`update orders set cart_cancel_at = now()`)
		return b.cancelsToTell()[0]
	}
	require.True(t, again().Doubt)
	b.cartTold(store.CancelTold{Order: id, Untried: true, Unknown: true, Retry: time.Minute})
	require.Equal(t, store.TellingCart, b.reopen(id).Standing, "an attempt that never left us says nothing of the one before")
	again()
	b.cartTold(store.CancelTold{Order: id, Error: "conflict", Retry: time.Hour})
	require.Equal(t, store.Reopened, b.reopen(id).Standing, "it surely did not")

	b.cancelAndTell(id)
	b.cancelsToTell()
	b.cartTold(store.CancelTold{Order: id, Status: "void"})
	require.Equal(t, store.CancelledAtCart, b.reopen(id).Standing)
	require.Equal(t, store.TakenIn{Back: 1}, b.takeIn(edited(60, "")))
	require.True(t, b.cancelAndTell(id).Tell, "to leave it cancelled is an answer too, which the cart is told")
	require.Equal(t, store.Reopened, b.reopen(id).Standing)
	b.want(id, relay.OrderNew)
}

// A warehouse order whose cancel was confirmed stays known as the order's when
// the order is reopened, whichever release wrote down that it was accepted.
func TestTheCancelledWarehouseOrderStaysOwned(t *testing.T) {
	for name, spoil := range map[string]string{
		"this release":       `select`,
		"the release before": `update submissions set warehouse_order_id = null`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.atWarehouse(1)
			b.exec(spoil)
			b.progress(store.Progress{Order: sub.Order.ID, Cancelled: true})
			require.Equal(t, store.Reopened, b.reopen(sub.Order.ID).Standing)
			owned, err := b.Owned(t.Context(), b.depot(), []relay.WarehouseOrderID{wid(sub), "another"})
			require.NoError(t, err)
			require.Equal(t, []bool{true, false}, owned)
		})
	}
}

// Nobody would tell a cart that was taken away of the parcels.
func TestReopenAfterTheCartWasTakenAway(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	b.takeIn(anOrder(1))
	b.cancel(b.id(1))
	b.want(b.id(1), relay.OrderSendingCancelled)
	b.m = storetest.Save(t, b.Store, storetest.Merchant("acme", "outlet"))
	require.Equal(t, store.CartTakenAway, b.reopen(b.id(1)).Standing)
	b.want(b.id(1), relay.OrderSendingCancelled)
	b.m = storetest.Save(t, b.Store, storetest.Merchant("acme", "shop", "outlet"))
	require.Equal(t, store.Reopened, b.reopen(b.id(1)).Standing)
}

// An order may be edited after it was submitted, cancelled because of that, and
// reopened: it goes out as its cart has it now, not as it was submitted first.
func TestReopenAfterALateEdit(t *testing.T) {
	late := edited(60, "2 Example Street")
	for name, c := range map[string]struct {
		there  bool // at the warehouse when it is edited, else in doubt
		before func(b *bench)
		street string
	}{
		"cancelled at the warehouse": {there: true, street: "2 Example Street"},
		"in doubt, and not there":    {street: "2 Example Street"},
		"ready again in a newer version": {there: true, before: func(b *bench) {
			require.Equal(b.t, store.TakenIn{Back: 1}, b.takeIn(edited(120, "2 Example Street")))
		}, street: "2 Example Street"},
		"edited once more": {there: true, before: func(b *bench) {
			require.Equal(b.t, store.TakenIn{Back: 1}, b.takeIn(edited(120, "3 Example Street")))
		}, street: "3 Example Street"},
		"edited back": {there: true, before: func(b *bench) {
			require.Equal(b.t, store.TakenIn{Back: 1}, b.takeIn(edited(120, "")))
		}, street: "1 Example Street"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.submitting(1)
			id := sub.Order.ID
			if c.there {
				b.record(accepted(sub))
			} else {
				b.record(unknown(sub))
			}
			require.Equal(t, store.TakenIn{TooLate: 1}, b.takeIn(late))
			b.cancel(id)
			if c.there {
				require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, Done: true}}))
			} else {
				require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: id, Absent: &relay.Hold{Reason: relay.HoldWarehouseUnreachable}}}))
			}
			if c.before != nil {
				c.before(b)
			}
			require.Equal(t, store.Reopened, b.reopen(id).Standing)
			require.Equal(t, c.street, b.street(id), "what will be sent is there to be seen")
			require.Zero(t, b.lateEdits())
			require.Equal(t, store.TakenIn{}, b.takeIn(late), "said already")
			again := b.claim("me")[0]
			require.Equal(t, c.street, again.Order.ShipTo.Street1)
			require.NotEqual(t, sub.Token, again.Token)
		})
	}
}

// wishing carries out a person's cancels and reopenings of an order that were asked for
// so many seconds after a moment.
func (b *bench) wishing(id relay.OrderID, after time.Time) (cancel func(n int) store.CancelStanding, reopen func(n int) store.ReopenStanding) {
	at := func(n int) time.Time { return after.Add(time.Duration(n) * time.Second) }
	cancel = func(n int) store.CancelStanding {
		b.t.Helper()
		got, err := b.RequestCancel(b.t.Context(), id, store.CancelAsk{Actor: "operator clerk", Reason: "not wanted", Asked: at(n)})
		require.NoError(b.t, err)
		return got.Standing
	}
	reopen = func(n int) store.ReopenStanding {
		b.t.Helper()
		got, err := b.ReopenOrder(b.t.Context(), id, store.ReopenAsk{Actor: "operator clerk", Reason: "wanted", Asked: at(n)})
		require.NoError(b.t, err)
		return got.Standing
	}
	return cancel, reopen
}

// A cancel or a reopening whose worker died is carried out again, perhaps after a
// person wanted the other: what was asked for last counts, by the clock of those who
// ask, however far the ledger's is from it.
func TestTheLaterWishCounts(t *testing.T) {
	for name, apart := range map[string]time.Duration{"one clock": 0, "the ledger's is behind": time.Hour, "the ledger's is ahead": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.takeIn(anOrder(1))
			id := b.id(1)
			now, err := b.Now(t.Context())
			require.NoError(t, err)
			now = now.Add(apart + time.Nanosecond)
			cancel, reopen := b.wishing(id, now)
			unheard := func(f func()) {
				t.Helper()
				kinds := b.kinds(id)
				f()
				require.Equal(t, kinds, b.kinds(id), "the trail has that wish already")
			}
			require.Equal(t, store.StoppedBeforeSending, cancel(-9))
			unheard(func() { require.Equal(t, store.AlreadyCancelled, cancel(-9)) })
			require.Equal(t, store.Reopened, reopen(-8))
			unheard(func() { require.Equal(t, store.AlreadyReopened, reopen(-8)) })
			unheard(func() { require.Equal(t, store.ReopenedSince, cancel(-9)) })
			b.want(id, relay.OrderNew)
			require.Equal(t, store.StoppedBeforeSending, cancel(-7))
			unheard(func() { require.Equal(t, store.CancelledSince, reopen(-8)) })
			b.want(id, relay.OrderSendingCancelled)

			// The reopening is on its way, and a person cancels what is cancelled yet.
			require.Equal(t, store.AlreadyCancelled, cancel(-5))
			require.Equal(t, store.EventCancelAsked, b.last(id).Kind)
			unheard(func() { require.Equal(t, store.AlreadyCancelled, cancel(-5)) })
			unheard(func() { require.Equal(t, store.CancelledSince, reopen(-6)) })
			require.Equal(t, store.Reopened, reopen(-4))

			b.record(refused(b.claim("me")[0]))
			held := func(n int) []store.CancelRequest {
				got, err := b.CancelHeld(t.Context(), []relay.OrderID{id}, store.CancelAsk{Actor: "operator clerk", Reason: "no stock", Asked: now.Add(time.Duration(n) * time.Second)})
				require.NoError(t, err)
				return got
			}
			unheard(func() { require.Empty(t, held(-5), "it was reopened since") })
			b.want(id, relay.OrderHeld)
			require.Equal(t, store.StoppedBeforeSending, held(-3)[0].Standing)
		})
	}
}

// A person cancels once more what waits to be cancelled, for a reopening is on its way.
func TestASecondCancelBeforeTheFirstIsDecided(t *testing.T) {
	for name, c := range map[string]struct {
		order func(*bench) store.Submission
		stand store.CancelStanding
		end   func(*bench, store.Submission)
	}{
		"asked of the warehouse": {func(b *bench) store.Submission { return b.atWarehouse(1) }, store.AskWarehouse, func(b *bench, sub store.Submission) {
			require.NoError(b.t, b.RecordCancels(b.t.Context(), "test", []store.CancelResult{{Order: sub.Order.ID, Done: true}}))
		}},
		"being sent": {func(b *bench) store.Submission { return b.submitting(1) }, store.OnceKnown, func(b *bench, sub store.Submission) { b.record(refused(sub)) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := c.order(b)
			now, err := b.Now(t.Context())
			require.NoError(t, err)
			cancel, reopen := b.wishing(sub.Order.ID, now)
			require.Equal(t, c.stand, cancel(-9))
			require.Equal(t, c.stand, cancel(-7))
			kinds := b.kinds(sub.Order.ID)
			require.Equal(t, store.EventCancelAsked, kinds[len(kinds)-1])
			require.Equal(t, c.stand, cancel(-7))
			require.Equal(t, c.stand, cancel(-9))
			require.Equal(t, kinds, b.kinds(sub.Order.ID), "the trail has those wishes already")
			c.end(b, sub)
			require.Equal(t, store.CancelledSince, reopen(-8))
			require.Equal(t, store.Reopened, reopen(-6))
		})
	}
}

// A reopening is carried out once, though its reply was lost and the warehouse cancelled
// what came of it meanwhile.
func TestAReopeningIsCarriedOutOnce(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	now, err := b.Now(t.Context())
	require.NoError(t, err)
	cancel, reopen := b.wishing(id, now.Add(time.Nanosecond))
	require.Equal(t, store.StoppedBeforeSending, cancel(-9))
	require.Equal(t, store.Reopened, reopen(-7))
	b.record(accepted(b.claim("me")[0]))
	require.Equal(t, store.AlreadyReopened, reopen(-7))
	b.progress(store.Progress{Order: id, Cancelled: true})
	require.Equal(t, store.CancelledSince, reopen(-7))
	require.Equal(t, store.CancelledSince, reopen(-8), "another's, which that one came before")
	b.want(id, relay.OrderCancelled)
	require.Equal(t, store.Reopened, reopen(-6))
}

// A cart's cancel has no time of those who ask: it stands until the cart has the order
// ready again, and then in nobody's way, however far apart the clocks are.
func TestReopenAfterTheCartsCancelByAnotherClock(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	void := store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true}
	_, err := b.RequestCancel(t.Context(), id, void)
	require.NoError(t, err)
	now, err := b.Now(t.Context())
	require.NoError(t, err)
	cancel, reopen := b.wishing(id, now.Add(-10*time.Minute)) // the ledger's is ahead
	require.Equal(t, store.CancelledAtCart, reopen(1))
	again := anOrder(1)
	again.UpdatedAt = again.UpdatedAt.Add(time.Minute)
	require.Equal(t, store.TakenIn{Back: 1}, b.takeIn(again))
	require.Equal(t, store.Reopened, reopen(2))

	_, err = b.RequestCancel(t.Context(), id, void)
	require.NoError(t, err)
	require.Equal(t, store.AlreadyCancelled, cancel(4))
	again.UpdatedAt = again.UpdatedAt.Add(time.Minute)
	require.Equal(t, store.TakenIn{Back: 1}, b.takeIn(again))
	require.Equal(t, store.CancelledSince, reopen(2), "its reply was lost")
	require.Equal(t, store.CancelledSince, reopen(3))
	require.Equal(t, store.Reopened, reopen(5))
}

// Workers of the release before write down no time at which a wish was asked for:
// then it counts as asked for when it was carried out.
func TestAWishWithoutItsTime(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	before, err := b.Now(t.Context())
	require.NoError(t, err)
	b.cancel(id)
	got, err := b.ReopenOrder(t.Context(), id, store.ReopenAsk{Actor: "operator clerk", Asked: before})
	require.NoError(t, err)
	require.Equal(t, store.CancelledSince, got.Standing)
	require.Equal(t, store.Reopened, b.reopen(id).Standing)
	cancel, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "operator clerk", Asked: before})
	require.NoError(t, err)
	require.Equal(t, store.ReopenedSince, cancel.Standing)
	b.want(id, relay.OrderNew)
}
