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
	got, err := b.ReopenOrder(b.t.Context(), id, "operator clerk", "the buyer wants it after all")
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
	_, err := b.ReopenOrder(t.Context(), 99, "x", "y")
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

// A cancel whose worker died is carried out again, perhaps after a person had the
// order reopened: what was wanted last counts.
func TestACancelFromBeforeTheReopening(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	cancel := func(asked time.Time) store.CancelStanding {
		got, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "operator clerk", Asked: asked})
		require.NoError(t, err)
		return got.Standing
	}
	before, err := b.Now(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.StoppedBeforeSending, cancel(before))
	require.Equal(t, store.AlreadyCancelled, cancel(before))
	require.Equal(t, store.Reopened, b.reopen(id).Standing)
	kinds := b.kinds(id)
	require.Equal(t, store.ReopenedSince, cancel(before))
	b.want(id, relay.OrderNew)
	require.Equal(t, kinds, b.kinds(id), "the trail has that wish already")
	after, err := b.Now(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.StoppedBeforeSending, cancel(after))
}
