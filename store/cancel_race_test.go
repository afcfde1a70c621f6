package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// queue runs transactions that meet at one order's row, in the order in which
// they are given: it holds the row until each waits for it, and lets go.
func (b *bench) queue(id relay.OrderID, contenders ...func() error) {
	b.t.Helper()
	ctx := b.t.Context()
	tx, err := b.sql.Begin(ctx)
	require.NoError(b.t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, `select from orders where id = $1 for update`, id)
	require.NoError(b.t, err)
	done := make([]chan error, len(contenders))
	for i, f := range contenders {
		done[i] = make(chan error, 1)
		go func() { done[i] <- f() }()
		b.waiting(i + 1)
	}
	require.NoError(b.t, tx.Commit(ctx))
	for _, d := range done {
		require.NoError(b.t, <-d)
	}
}

// waiting returns when so many of the ledger's transactions wait for a lock.
func (b *bench) waiting(n int) {
	b.t.Helper()
	end := time.After(30 * time.Second)
	for {
		got := list[int](b, `select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
		if got[0] == n {
			return
		}
		select {
		case <-end:
			b.t.Fatalf("%d transactions wait for a lock, not %d", got[0], n)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Promise 4 where two transactions race for an order: whichever comes first, a
// cancel is answered with the truth, and it comes about.
func TestCancelsRace(t *testing.T) {
	outcome := func(of func(store.Submission) store.Outcome) func(b *bench, sub store.Submission) error {
		return func(b *bench, sub store.Submission) error {
			return b.RecordOutcomes(b.t.Context(), "test", []store.Outcome{of(sub)})
		}
	}
	look := func(l store.Look) func(b *bench, sub store.Submission) error {
		return func(b *bench, sub store.Submission) error {
			l.Submission, l.Order = sub.ID, sub.Order.ID
			return b.RecordLooks(b.t.Context(), "test", []store.Look{l})
		}
	}
	progress := func(p store.Progress) func(b *bench, sub store.Submission) error {
		return func(b *bench, sub store.Submission) error {
			p.Order = sub.Order.ID
			_, err := b.RecordProgress(b.t.Context(), "test", []store.Progress{p}, store.Reading{})
			return err
		}
	}
	release := func(b *bench, sub store.Submission) error {
		_, err := b.Release(b.t.Context(), []relay.OrderID{sub.Order.ID}, "operator clerk", "again")
		return err
	}
	edit := func(b *bench, _ store.Submission) error {
		_, err := b.TakeIn(b.t.Context(), b.cart("shop"), []relay.CartOrder{edited(60, "2 Example Street")}, "orders", "x", "test")
		return err
	}
	answer := func(r store.CancelResult) func(b *bench, sub store.Submission) error {
		return func(b *bench, sub store.Submission) error {
			r.Order, r.WarehouseOrderID = sub.Order.ID, wid(sub)
			return b.RecordCancels(b.t.Context(), "test", []store.CancelResult{r})
		}
	}
	unsure := func(b *bench) relay.OrderID {
		sub := b.inDoubt(1)
		require.NoError(b.t, b.RecordLooks(b.t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Hold: unknownOutcome()}}))
		return sub.Order.ID
	}
	type end struct {
		standing store.CancelStanding
		state    relay.OrderState
	}
	stopped := end{store.StoppedBeforeSending, relay.OrderSendingCancelled}
	stoppedLater := end{store.OnceKnown, relay.OrderSendingCancelled}
	doubtful := end{store.OnceKnown, relay.OrderInDoubt}
	asked := end{store.AskWarehouse, relay.OrderCancelRequested}
	for name, c := range map[string]struct {
		given         func(b *bench) relay.OrderID
		other         func(b *bench, sub store.Submission) error
		first, second end // when the cancel comes first, and second
	}{
		"the warehouse's yes":   {in[relay.OrderSubmitting], outcome(accepted), end{store.OnceKnown, relay.OrderCancelRequested}, asked},
		"the warehouse's no":    {in[relay.OrderSubmitting], outcome(refused), stoppedLater, stopped},
		"nothing left us":       {in[relay.OrderSubmitting], outcome(unsent), stoppedLater, stopped},
		"no answer":             {in[relay.OrderSubmitting], outcome(unknown), doubtful, doubtful},
		"a late yes":            {in[relay.OrderInDoubt], outcome(accepted), end{store.OnceKnown, relay.OrderCancelRequested}, asked},
		"a late no":             {in[relay.OrderInDoubt], outcome(refused), stoppedLater, stopped},
		"looked for and absent": {in[relay.OrderInDoubt], look(store.Look{Absent: unknownOutcome()}), stoppedLater, stopped},
		"looked for in vain":    {in[relay.OrderInDoubt], look(store.Look{Again: time.Hour}), doubtful, doubtful},
		"looked for and unsure": {in[relay.OrderInDoubt], look(store.Look{Hold: unknownOutcome()}), end{store.OnceKnown, relay.OrderHeld}, doubtful},
		"sent again": {in[relay.OrderInDoubt], func(b *bench, sub store.Submission) error {
			_, err := b.Reopen(b.t.Context(), []store.Submission{sub}, "me", time.Minute, "test")
			return err
		}, stoppedLater, end{store.OnceKnown, relay.OrderSubmitting}},
		"a release":                       {in[relay.OrderHeld], release, stopped, stopped},
		"a release of an unsure one":      {unsure, release, doubtful, doubtful},
		"a late no to an unsure one":      {unsure, outcome(refused), stoppedLater, stopped},
		"a late yes to an unsure one":     {unsure, outcome(accepted), end{store.OnceKnown, relay.OrderCancelRequested}, asked},
		"an edit":                         {in[relay.OrderNew], edit, stopped, stopped},
		"an edit of one on hold":          {in[relay.OrderHeld], edit, stopped, stopped},
		"an edit too late":                {in[relay.OrderAtWarehouse], edit, asked, asked},
		"a parcel":                        {in[relay.OrderAtWarehouse], progress(store.Progress{Packages: []relay.Package{parcel("1Z", item("MUG", 1))}}), end{store.AskWarehouse, relay.OrderShipped}, end{store.TooLate, relay.OrderShipped}},
		"the warehouse's own cancel":      {in[relay.OrderAtWarehouse], progress(store.Progress{Cancelled: true}), end{store.AskWarehouse, relay.OrderCancelled}, end{store.AlreadyCancelled, relay.OrderCancelled}},
		"the answer to an earlier cancel": {in[relay.OrderCancelRequested], answer(store.CancelResult{Done: true}), end{store.AskWarehouse, relay.OrderCancelled}, end{store.AlreadyCancelled, relay.OrderCancelled}},
		"a no to an earlier cancel":       {in[relay.OrderCancelRequested], answer(store.CancelResult{TooLate: true}), end{store.AskWarehouse, relay.OrderAtWarehouse}, asked},
		"a reopening": {in[relay.OrderSendingCancelled], func(b *bench, sub store.Submission) error {
			_, err := b.ReopenOrder(b.t.Context(), sub.Order.ID, store.ReopenAsk{Actor: "operator ops", Reason: "after all"})
			return err
		}, end{store.AlreadyCancelled, relay.OrderNew}, stopped},
	} {
		for order, want := range map[string]end{"cancel first": c.first, "cancel second": c.second} {
			t.Run(name+", "+order, func(t *testing.T) {
				b := newBench(t)
				id := c.given(b)
				sub := store.Submission{Order: relay.Order{ID: id}}
				if subs := list[int64](b, `select id from submissions`); len(subs) > 0 {
					sub = b.submission(id)
				}
				var got store.CancelRequest
				cancel := func() (err error) {
					got, err = b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "operator clerk", Reason: "buyer cancelled"})
					return err
				}
				other := func() error { return c.other(b, sub) }
				if order == "cancel first" {
					b.queue(id, cancel, other)
				} else {
					b.queue(id, other, cancel)
				}
				require.Equal(t, want.standing, got.Standing)
				b.want(id, want.state)
				require.Empty(t, b.inconsistencies())
				if want.state != relay.OrderNew && want.standing != store.AlreadyCancelled {
					require.Contains(t, b.kinds(id), store.EventCancelAsked)
				}
			})
		}
	}
}

// A claim never waits for a row: it takes what is free. The cancel that comes
// while it holds the order learns that it is being sent.
func TestACancelRacesAClaim(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	var got store.CancelRequest
	done := make(chan error, 1)
	claimed, err := b.Claim(t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
		go func() {
			var err error
			got, err = b.RequestCancel(t.Context(), o.ID, store.CancelAsk{Actor: "operator clerk"})
			done <- err
		}()
		b.waiting(1)
		return translate(o, token)
	})
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Len(t, claimed.Submissions, 1)
	require.Equal(t, store.OnceKnown, got.Standing)
	b.want(b.id(1), relay.OrderSubmitting)

	b.takeIn(anOrder(2))
	b.queue(b.id(2), func() (err error) {
		got, err = b.RequestCancel(t.Context(), b.id(2), store.CancelAsk{Actor: "operator clerk"})
		return err
	})
	require.Equal(t, store.StoppedBeforeSending, got.Standing)
	require.Empty(t, b.claim("me"))
}

// The same with a person's release: an order is never looked for that is surely
// not at the warehouse.
func TestAReleaseRacesALateNo(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Hold: unknownOutcome()}}))
	b.queue(sub.Order.ID, func() error {
		return b.RecordOutcomes(t.Context(), "test", []store.Outcome{refused(sub)})
	}, func() error {
		_, err := b.Release(t.Context(), []relay.OrderID{sub.Order.ID}, "operator clerk", "again")
		return err
	})
	require.Empty(t, b.inconsistencies())
}

// Two who cancel one order at once: one stops it, the other hears so.
func TestTwoCancelsRace(t *testing.T) {
	for _, cartFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("cart first: %t", cartFirst), func(t *testing.T) {
			b := newBench(t)
			b.takeIn(anOrder(1))
			id := b.id(1)
			var cart, person store.CancelRequest
			byCart := func() (err error) {
				cart, err = b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true})
				return err
			}
			byPerson := func() (err error) {
				person, err = b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "operator clerk", Tell: []store.ConnectionID{b.cart("shop").ID}})
				return err
			}
			if cartFirst {
				b.queue(id, byCart, byPerson)
				require.Equal(t, store.StoppedBeforeSending, cart.Standing)
				require.Equal(t, store.AlreadyCancelled, person.Standing)
			} else {
				b.queue(id, byPerson, byCart)
				require.Equal(t, store.StoppedBeforeSending, person.Standing)
				require.Equal(t, store.AlreadyCancelled, cart.Standing)
			}
			b.want(id, relay.OrderSendingCancelled)
			require.Empty(t, b.cancelsToTell(), "the cart knows")
		})
	}
}

// Whoever changes a submission has its order before: one who waits for an order
// holds no submission that its holder may want.
func TestOrdersAreLockedBeforeTheirSubmissions(t *testing.T) {
	b := newBench(t)
	doubtful := b.inDoubt(1)
	open := b.submitting(2)
	ctx := t.Context()
	tx, err := b.sql.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, `select from orders for update`)
	require.NoError(t, err)

	n, err := b.TakeOver(ctx, b.depot(), "me", "test")
	require.NoError(t, err)
	require.Zero(t, n, "whoever holds the order writes its outcome")
	done := make(chan error, 1)
	go func() {
		done <- b.RecordLooks(ctx, "test", []store.Look{{Submission: doubtful.ID, Order: doubtful.Order.ID, Again: time.Hour}})
	}()
	b.waiting(1)
	_, err = tx.Exec(ctx, `select from submissions for update nowait`)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, <-done)
	n, err = b.TakeOver(ctx, b.depot(), "me", "test")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	b.want(open.Order.ID, relay.OrderInDoubt)
}

// Warehouses answer in the order in which they were asked. Whoever waits for an order
// holds none with a greater id meanwhile: else two would wait for each other.
func TestCancelsAreRecordedInTheOrderOfTheirIDs(t *testing.T) {
	b := newBench(t)
	one, two := b.atWarehouse(1).Order.ID, b.atWarehouse(2).Order.ID
	b.cancel(one)
	b.cancel(two)
	tx, err := b.sql.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `select from orders where id = $1 for update`, one)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: two, Done: true}, {Order: one, Done: true}})
	}()
	b.waiting(1)
	_, err = tx.Exec(t.Context(), `select from orders where id = $1 for update nowait`, two)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	b.want(one, relay.OrderCancelled)
	b.want(two, relay.OrderCancelled)
}
