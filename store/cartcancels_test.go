package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// cancelAndTell cancels an order of a cart that takes cancels.
func (b *bench) cancelAndTell(id relay.OrderID) store.CancelRequest {
	b.t.Helper()
	got, err := b.RequestCancel(b.t.Context(), id, store.CancelAsk{
		Actor: "operator clerk", Reason: "buyer cancelled", Tell: []store.ConnectionID{b.cart("shop").ID},
	})
	require.NoError(b.t, err)
	return got
}

func (b *bench) cancelsToTell() []store.CancelToTell {
	b.t.Helper()
	list, err := b.ClaimCancelsToTell(b.t.Context(), b.cart("shop").ID, time.Minute, 10)
	require.NoError(b.t, err)
	return list
}

func (b *bench) cartTold(told ...store.CancelTold) {
	b.t.Helper()
	require.NoError(b.t, b.RecordCancelsTold(b.t.Context(), "job push_shipments", told))
}

// Whichever way a person's cancel ends an order, its cart is to be told from
// then on, and not before; one that comes too late is not told.
func TestAPersonsCancelIsToldToTheCart(t *testing.T) {
	looked := func(b *bench, sub store.Submission, l store.Look) {
		l.Submission, l.Order = sub.ID, sub.Order.ID
		require.NoError(b.t, b.RecordLooks(b.t.Context(), "test", []store.Look{l}))
	}
	answered := func(r store.CancelResult) func(b *bench, sub store.Submission) {
		return func(b *bench, sub store.Submission) {
			r.Order, r.WarehouseOrderID = sub.Order.ID, wid(sub)
			require.NoError(b.t, b.RecordCancels(b.t.Context(), "test", []store.CancelResult{r}))
		}
	}
	for name, c := range map[string]struct {
		state relay.OrderState
		then  func(b *bench, sub store.Submission)
		told  bool
	}{
		"new":     {relay.OrderNew, nil, true},
		"held":    {relay.OrderHeld, nil, true},
		"refused": {relay.OrderSubmitting, func(b *bench, s store.Submission) { b.record(refused(s)) }, true},
		"unsent":  {relay.OrderSubmitting, func(b *bench, s store.Submission) { b.record(unsent(s)) }, true},
		"absent":  {relay.OrderInDoubt, func(b *bench, s store.Submission) { looked(b, s, store.Look{Absent: unknownOutcome()}) }, true},
		"not resent": {relay.OrderInDoubt, func(b *bench, s store.Submission) {
			_, err := b.Reopen(b.t.Context(), []store.Submission{s}, "me", time.Minute, "test")
			require.NoError(b.t, err)
		}, true},
		"done":     {relay.OrderAtWarehouse, answered(store.CancelResult{Done: true}), true},
		"reported": {relay.OrderAtWarehouse, func(b *bench, s store.Submission) { b.progress(store.Progress{Order: s.Order.ID, Cancelled: true}) }, true},
		"too late": {relay.OrderAtWarehouse, answered(store.CancelResult{TooLate: true}), false},
		"pending":  {relay.OrderAtWarehouse, answered(store.CancelResult{Again: time.Hour}), false},
		"left": {relay.OrderAtWarehouse, func(b *bench, s store.Submission) {
			b.progress(store.Progress{Order: s.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}})
		}, false},
		"shipped":  {relay.OrderShipped, nil, false},
		"accepted": {relay.OrderSubmitting, func(b *bench, s store.Submission) { b.record(accepted(s)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := in[c.state](b)
			asked := b.cancelAndTell(id)
			require.Equal(t, c.state != relay.OrderShipped, asked.Tell)
			require.Equal(t, relay.ConnectionName("shop"), asked.Cart)
			if c.then != nil {
				require.Empty(t, b.cancelsToTell(), "not before it has ended")
				c.then(b, b.submission(id))
			}
			carts, err := b.CartsToTell(t.Context(), "acme")
			require.NoError(t, err)
			ready, next, err := b.CancelsTelling(t.Context(), b.cart("shop").ID)
			require.NoError(t, err)
			require.True(t, next.IsZero())
			require.Equal(t, c.told, ready)
			if !c.told {
				require.Equal(t, len(b.toTell()) > 0, len(carts) > 0, "of parcels at the most")
				require.Empty(t, b.cancelsToTell())
				return
			}
			require.Equal(t, []relay.ConnectionName{"shop"}, carts)
			list := b.cancelsToTell()
			require.Equal(t, []store.CancelToTell{{Order: id, Reference: asked.Reference, ExternalID: anOrder(1).ExternalID, Attempts: 1}}, list)
			require.Empty(t, b.cancelsToTell(), "somebody is at it")
			b.cartTold(store.CancelTold{Order: id, Status: "void"})
			require.Equal(t, store.EventCancelToldCart, b.last(id).Kind)
			require.Equal(t, "void", field(t, b.last(id), "status"))
			require.Empty(t, b.notVoid(anOrder(1).ExternalID), "our own void is no new cancel")
			kinds := b.kinds(id)
			b.cartTold(store.CancelTold{Order: id, Status: "void"})
			require.Equal(t, store.AlreadyCancelled, b.cancelAndTell(id).Standing)
			require.Equal(t, kinds, b.kinds(id), "twice is once")
			b.exec(`update orders set cart_cancel_at = now() where cart_cancel_at is not null`)
			require.Empty(t, b.cancelsToTell())
		})
	}
}

// submission is the one submission of an order, as its sender knows it.
func (b *bench) submission(id relay.OrderID) store.Submission {
	var s store.Submission
	require.NoError(b.t, b.sql.QueryRow(b.t.Context(), `select id, token, sends from submissions where order_id = $1`, id).Scan(&s.ID, &s.Token, &s.Sends))
	s.Order.ID = id
	return s
}

// Only a person's cancel is told. A cart knows of its own, and an order that the
// warehouse cancelled by itself the merchant may want to send anew.
func TestWhatACartIsNotTold(t *testing.T) {
	b := newBench(t)
	id := in[relay.OrderCancelled](b) // by the warehouse itself
	require.Empty(t, b.cancelsToTell())
	got := b.cancelAndTell(id)
	require.Equal(t, store.AlreadyCancelled, got.Standing)
	require.True(t, got.Tell, "now a person has decided")
	require.Equal(t, store.EventCancelAsked, b.last(id).Kind)
	require.Len(t, b.cancelsToTell(), 1)

	void := func(id relay.OrderID) {
		_, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true, Tell: []store.ConnectionID{b.cart("shop").ID}})
		require.NoError(t, err)
	}
	b.takeIn(anOrder(2), anOrder(3))
	void(b.id(2))
	require.False(t, b.cancelAndTell(b.id(2)).Tell, "it was the cart's")
	b.cancel(b.id(3))
	require.Empty(t, b.cancelsToTell(), "a cart that takes no cancels")

	// The cart was quicker than we were.
	b.takeIn(anOrder(4))
	b.cancelAndTell(b.id(4))
	list := b.cancelsToTell()
	require.Len(t, list, 1)
	void(b.id(4))
	require.Equal(t, store.EventCancelToldCart, b.last(b.id(4)).Kind, "our own void, or as good as that")
	kinds := b.kinds(b.id(4))
	b.cartTold(store.CancelTold{Order: b.id(4), Status: "void"})
	require.Equal(t, kinds, b.kinds(b.id(4)))
}

func TestACartThatDoesNotTakeACancel(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	b.cancelAndTell(id)
	require.Equal(t, 1, b.cancelsToTell()[0].Attempts)
	b.cartTold(store.CancelTold{Order: id, Error: "push cancels: conflict", Retry: time.Hour})
	require.Equal(t, store.EventCancelTellFailed, b.last(id).Kind)
	require.Equal(t, "push cancels: conflict", field(t, b.last(id), "error"))
	require.Empty(t, b.cancelsToTell())
	ready, next, err := b.CancelsTelling(t.Context(), b.cart("shop").ID)
	require.NoError(t, err)
	require.False(t, ready)
	require.WithinDuration(t, time.Now().Add(time.Hour), next, time.Minute)

	again := func() {
		b.exec(`update orders set cart_cancel_at = now()`)
		require.Equal(t, 2, b.cancelsToTell()[0].Attempts)
	}
	again()
	kinds := b.kinds(id)
	b.cartTold(store.CancelTold{Order: id, Untried: true, Retry: time.Minute})
	require.Equal(t, kinds, b.kinds(id), "nothing happened")
	again()
	b.cartTold(store.CancelTold{Order: id, Status: "gone", Found: true})
	require.Equal(t, true, field(t, b.last(id), "found"))
	require.Equal(t, []string{"-"}, list[string](b, `select coalesce(cart_cancel_error, '-') from orders`))
}
