package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

func (b *bench) cancel(id relay.OrderID) store.CancelRequest {
	b.t.Helper()
	got, err := b.RequestCancel(b.t.Context(), id, store.CancelAsk{Actor: "operator clerk", Reason: "buyer cancelled"})
	require.NoError(b.t, err)
	return got
}

// notVoid returns those of the cart's orders that it is not known to have cancelled.
func (b *bench) notVoid(ids ...relay.ExternalID) (orders []relay.OrderID) {
	b.t.Helper()
	ours, err := b.CartOrders(b.t.Context(), b.cart("shop").ID, ids)
	require.NoError(b.t, err)
	for _, id := range ours {
		orders = append(orders, id)
	}
	return orders
}

// in brings an order into a state.
var in = map[relay.OrderState]func(b *bench) relay.OrderID{
	relay.OrderNew: func(b *bench) relay.OrderID { b.takeIn(anOrder(1)); return b.id(1) },
	relay.OrderSkipped: func(b *bench) relay.OrderID {
		b.takeIn(anOrder(1))
		b.exec(`update orders set state = 'skipped', skip_reason = 'no'`)
		return b.id(1)
	},
	relay.OrderHeld: func(b *bench) relay.OrderID {
		sub := b.submitting(1)
		b.record(refused(sub))
		return sub.Order.ID
	},
	relay.OrderSubmitting:  func(b *bench) relay.OrderID { return b.submitting(1).Order.ID },
	relay.OrderInDoubt:     func(b *bench) relay.OrderID { return b.inDoubt(1).Order.ID },
	relay.OrderAtWarehouse: func(b *bench) relay.OrderID { return b.atWarehouse(1).Order.ID },
	relay.OrderShipped: func(b *bench) relay.OrderID {
		sub := b.atWarehouse(1)
		b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}})
		return sub.Order.ID
	},
	relay.OrderConfirmed: func(b *bench) relay.OrderID {
		sub := b.atWarehouse(1)
		b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}})
		b.tell()
		return sub.Order.ID
	},
	relay.OrderCancelRequested: func(b *bench) relay.OrderID {
		sub := b.atWarehouse(1)
		b.cancel(sub.Order.ID)
		return sub.Order.ID
	},
	relay.OrderSendingCancelled: func(b *bench) relay.OrderID {
		b.takeIn(anOrder(1))
		b.cancel(b.id(1))
		return b.id(1)
	},
	relay.OrderCancelled: func(b *bench) relay.OrderID {
		sub := b.atWarehouse(1)
		b.progress(store.Progress{Order: sub.Order.ID, Cancelled: true})
		return sub.Order.ID
	},
}

func TestCancelInEveryState(t *testing.T) {
	require.Len(t, in, len(relay.OrderStates()))
	for state, c := range map[relay.OrderState]struct {
		standing store.CancelStanding
		then     relay.OrderState
	}{
		relay.OrderNew:              {store.StoppedBeforeSending, relay.OrderSendingCancelled},
		relay.OrderSkipped:          {store.StoppedBeforeSending, relay.OrderSendingCancelled},
		relay.OrderHeld:             {store.StoppedBeforeSending, relay.OrderSendingCancelled},
		relay.OrderSubmitting:       {store.OnceKnown, relay.OrderSubmitting},
		relay.OrderInDoubt:          {store.OnceKnown, relay.OrderInDoubt},
		relay.OrderAtWarehouse:      {store.AskWarehouse, relay.OrderCancelRequested},
		relay.OrderCancelRequested:  {store.AskWarehouse, relay.OrderCancelRequested},
		relay.OrderShipped:          {store.TooLate, relay.OrderShipped},
		relay.OrderConfirmed:        {store.TooLate, relay.OrderConfirmed},
		relay.OrderSendingCancelled: {store.AlreadyCancelled, relay.OrderSendingCancelled},
		relay.OrderCancelled:        {store.AlreadyCancelled, relay.OrderCancelled},
	} {
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			id := in[state](b)
			b.want(id, state)
			got := b.cancel(id)
			require.Equal(t, c.standing, got.Standing)
			require.Equal(t, state == relay.OrderHeld, got.WasHeld)
			b.want(id, c.then)
			if c.standing == store.TooLate {
				require.Equal(t, "USPS 1Z", got.Evidence)
			}
			if c.standing == store.AskWarehouse {
				require.NotEmpty(t, got.WarehouseOrderID)
				require.False(t, got.Since.IsZero())
			}
			again := b.cancel(id)
			b.want(id, c.then)
			require.Equal(t, got.Reference, again.Reference)

			// A void at the cart is heard as well, and once, though the cart says so at every poll.
			require.Equal(t, []relay.OrderID{id}, b.notVoid(anOrder(1).ExternalID, "nobody"))
			kinds := b.kinds(id)
			void, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true})
			require.NoError(t, err)
			require.Equal(t, again.Standing, void.Standing)
			b.want(id, c.then)
			require.Equal(t, store.EventCancelAsked, b.kinds(id)[len(kinds)])
			require.Empty(t, b.notVoid(anOrder(1).ExternalID))
		})
	}
	b := newBench(t)
	_, err := b.RequestCancel(t.Context(), 99, store.CancelAsk{Actor: "x", Reason: "y"})
	require.ErrorIs(t, err, store.ErrNotFound)
}

// A cancel that comes at any step of a submission: the end is always the right one.
func TestCancelBetweenTheStepsOfASubmission(t *testing.T) {
	reopen := func(b *bench, sub store.Submission) {
		_, err := b.Reopen(b.t.Context(), []store.Submission{sub}, "me", time.Minute, "test")
		require.NoError(b.t, err)
	}
	look := func(l store.Look) func(b *bench, sub store.Submission) {
		return func(b *bench, sub store.Submission) {
			l.Submission, l.Order = sub.ID, sub.Order.ID
			require.NoError(b.t, b.RecordLooks(b.t.Context(), "test", []store.Look{l}))
		}
	}
	outcome := func(of func(store.Submission) store.Outcome) func(b *bench, sub store.Submission) {
		return func(b *bench, sub store.Submission) { b.record(of(sub)) }
	}
	release := func(b *bench, sub store.Submission) {
		_, err := b.Release(b.t.Context(), []relay.OrderID{sub.Order.ID}, "operator clerk", "again")
		require.NoError(b.t, err)
	}
	adopt := outcome(func(s store.Submission) store.Outcome {
		o := accepted(s)
		o.Adopted = true
		return o
	})
	for name, c := range map[string]struct {
		steps []func(b *bench, sub store.Submission)
		end   relay.OrderState // when the cancel came at some step
	}{
		"accepted":                    {[]func(*bench, store.Submission){outcome(accepted)}, relay.OrderCancelRequested},
		"refused":                     {[]func(*bench, store.Submission){outcome(refused)}, relay.OrderSendingCancelled},
		"unsent":                      {[]func(*bench, store.Submission){outcome(unsent)}, relay.OrderSendingCancelled},
		"adopted":                     {[]func(*bench, store.Submission){outcome(unknown), adopt}, relay.OrderCancelRequested},
		"late answer":                 {[]func(*bench, store.Submission){outcome(unknown), look(store.Look{Again: time.Hour}), outcome(accepted)}, relay.OrderCancelRequested},
		"late refusal":                {[]func(*bench, store.Submission){outcome(unknown), outcome(refused)}, relay.OrderSendingCancelled},
		"absent":                      {[]func(*bench, store.Submission){outcome(unknown), look(store.Look{Absent: unknownOutcome()})}, relay.OrderSendingCancelled},
		"unsure, then adopted":        {[]func(*bench, store.Submission){outcome(unknown), look(store.Look{Hold: unknownOutcome()}), release, adopt}, relay.OrderCancelRequested},
		"unsure, then answered":       {[]func(*bench, store.Submission){outcome(unknown), look(store.Look{Hold: unknownOutcome()}), outcome(accepted)}, relay.OrderCancelRequested},
		"unsure, unsure, then absent": {[]func(*bench, store.Submission){outcome(unknown), look(store.Look{Hold: unknownOutcome()}), release, look(store.Look{Hold: unknownOutcome()}), release, look(store.Look{Absent: unknownOutcome()})}, relay.OrderSendingCancelled},
	} {
		for at := range len(c.steps) + 1 {
			t.Run(fmt.Sprint(name, ", at step ", at), func(t *testing.T) {
				b := newBench(t)
				sub := b.submitting(1)
				for i, step := range c.steps {
					if i == at {
						b.cancel(sub.Order.ID)
						require.NotEqual(t, relay.OrderSendingCancelled, b.state(sub.Order.ID), "the warehouse may have it")
					}
					step(b, sub)
				}
				if at == len(c.steps) {
					b.cancel(sub.Order.ID)
				}
				if state := b.state(sub.Order.ID); state == relay.OrderHeld || state == relay.OrderNew {
					t.Fatalf("ended %s", state)
				}
				b.want(sub.Order.ID, c.end)
				require.Empty(t, list[int64](b, `select id from submissions where state in ('open', 'in_doubt')`))
				require.Contains(t, b.kinds(sub.Order.ID), store.EventCancelAsked)
			})
		}
	}
	t.Run("before it is sent again", func(t *testing.T) {
		b := newBench(t)
		sub := b.inDoubt(1)
		b.cancel(sub.Order.ID)
		reopen(b, sub)
		b.want(sub.Order.ID, relay.OrderSendingCancelled)
		require.Equal(t, []string{"absent"}, list[string](b, `select state from submissions`))
	})
	t.Run("while it is sent again", func(t *testing.T) {
		b := newBench(t)
		sub := b.inDoubt(1)
		reopen(b, sub)
		b.cancel(sub.Order.ID)
		b.record(accepted(sub))
		b.want(sub.Order.ID, relay.OrderCancelRequested)
	})
}

// An order that nobody knows to be at the warehouse or not is never called
// cancelled before sending: promise 4 wants the truth.
func TestCancelOfAnUnsureOrderIsNotGuessed(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	b.cancel(sub.Order.ID)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Hold: unknownOutcome()}}))
	b.want(sub.Order.ID, relay.OrderHeld)
	require.Equal(t, store.OnceKnown, b.cancel(sub.Order.ID).Standing)
	b.want(sub.Order.ID, relay.OrderInDoubt)
}

func TestWhatAWarehouseAnswersToACancel(t *testing.T) {
	for name, c := range map[string]struct {
		result store.CancelResult
		state  relay.OrderState
		event  store.EventKind
		sub    string
	}{
		"done":     {store.CancelResult{Done: true, Evidence: "status refunded"}, relay.OrderCancelled, store.EventCancelled, "withdrawn"},
		"too late": {store.CancelResult{TooLate: true, Evidence: "tracking 1Z"}, relay.OrderAtWarehouse, store.EventCancelTooLate, "accepted"},
		"pending":  {store.CancelResult{Again: time.Hour, Evidence: "asked"}, relay.OrderCancelRequested, store.EventCancelPending, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.atWarehouse(1)
			b.cancel(sub.Order.ID)
			due, err := b.CancelsDue(t.Context(), b.depot(), 10)
			require.NoError(t, err)
			require.Equal(t, []store.CancelDue{{Order: sub.Order.ID, WarehouseOrderID: wid(sub)}}, due)
			c.result.Order = sub.Order.ID
			require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{c.result}))
			b.want(sub.Order.ID, c.state)
			require.Equal(t, c.event, b.last(sub.Order.ID).Kind)
			require.Equal(t, c.result.Evidence, field(t, b.last(sub.Order.ID), "evidence"))
			require.Equal(t, []string{c.sub}, list[string](b, `select state from submissions`))
			due, err = b.CancelsDue(t.Context(), b.depot(), 10)
			require.NoError(t, err)
			require.Empty(t, due)
			if name == "pending" {
				w, err := b.Waiting(t.Context(), "acme")
				require.NoError(t, err)
				require.WithinDuration(t, time.Now().Add(time.Hour), w.NextCancel, time.Minute)
				require.WithinDuration(t, time.Now().Add(time.Hour), *b.summary(sub.Order.ID).RetryAt, time.Minute)
				return
			}
			kinds := b.kinds(sub.Order.ID)
			require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{c.result}))
			require.Equal(t, kinds, b.kinds(sub.Order.ID), "twice is once")
		})
	}
}

func TestWatched(t *testing.T) {
	b := newBench(t)
	for n := range 5 {
		b.record(refused(b.submitting(n)))
	}
	b.takeIn(anOrder(9))
	var got []string
	after := relay.OrderID(0)
	for range 4 {
		ids, last, err := b.Watched(t.Context(), b.cart("shop").ID, after, 2)
		require.NoError(t, err)
		got = append(got, fmt.Sprint(ids))
		after = last
	}
	require.Equal(t, []string{"[ext-0 ext-1]", "[ext-2 ext-3]", "[ext-4 ext-9]", "[]"}, got, "held ones, and one that waits to be sent")
	require.Zero(t, after, "from the start")
}
