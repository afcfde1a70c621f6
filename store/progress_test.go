package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// received brings an order to a warehouse that has only received it, as W-n.
func (b *bench) received(n int) store.Submission {
	b.t.Helper()
	sub := b.submitting(n)
	o := accepted(sub)
	o.AnswerWithin = time.Hour
	b.record(o)
	b.want(sub.Order.ID, relay.OrderAtWarehouse)
	return sub
}

// tells is a report on the warehouse order that a submission led to.
func tells(sub store.Submission, p store.Progress) store.Progress {
	p.Order, p.WarehouseOrderID = sub.Order.ID, wid(sub)
	return p
}

func working(sub store.Submission) store.Progress {
	return tells(sub, store.Progress{Status: "picking", Working: true})
}

func shippedAll(sub store.Submission) store.Progress {
	return tells(sub, store.Progress{Status: "shipped", Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}})
}

func cancelledThere(sub store.Submission) store.Progress {
	return tells(sub, store.Progress{Status: "cancelled", Cancelled: true})
}

// noStock is a warehouse's word that it has the order and can't go on with it.
func noStock(sub store.Submission) store.Progress {
	return tells(sub, store.Progress{Status: "no stock", Stuck: &relay.Hold{Reason: relay.HoldInsufficientInventory, Code: "CSR", Words: "none left"}})
}

// notTaken is a warehouse's word that it does not take what it had received.
func notTaken(sub store.Submission) store.Progress {
	return tells(sub, store.Progress{Status: "rejected", Refused: &relay.Hold{
		Reason: relay.HoldUnknownItem, Code: "E7", Words: "MUG is not known", Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG"}},
	}})
}

func (b *bench) summary(id relay.OrderID) store.OrderSummary {
	b.t.Helper()
	d, err := b.Order(b.t.Context(), id)
	require.NoError(b.t, err)
	return d.OrderSummary
}

func (b *bench) open() []store.OpenOrder {
	b.t.Helper()
	list, err := b.OpenOrders(b.t.Context(), b.depot(), 0, 100)
	require.NoError(b.t, err)
	return list
}

func (b *bench) submissions() []string {
	return list[string](b, `select state from submissions order by order_id, attempt`)
}

// resent sends a held order once more, and returns its open submission.
func (b *bench) resent(id relay.OrderID) store.Submission {
	b.t.Helper()
	q := b.query("nightly")
	q.Held = []relay.OrderID{id}
	got, err := b.Claim(b.t.Context(), q, translate)
	require.NoError(b.t, err)
	require.Len(b.t, got.Submissions, 1)
	return got.Submissions[0]
}

func TestAWarehouseAnswersLater(t *testing.T) {
	for name, c := range map[string]struct {
		report store.Progress
		kind   store.EventKind // "": the trail says no more than it would of any order
		still  bool            // no answer
	}{
		"nothing new": {store.Progress{}, "", true},
		"received":    {store.Progress{Status: "received"}, "", true},
		"working":     {store.Progress{Status: "imported", Working: true}, store.EventAcknowledged, false},
		"shipped":     {store.Progress{Complete: true, Packages: []relay.Package{parcel("1Z")}}, store.EventAcknowledged, false},
		"stuck":       {store.Progress{Stuck: &relay.Hold{Reason: relay.HoldRejected}}, store.EventAcknowledged, false},
		"cancelled":   {store.Progress{Cancelled: true}, "", false},
		"gone":        {store.Progress{Gone: true}, "", true},
		"refused":     {store.Progress{Refused: &relay.Hold{Reason: relay.HoldRejected}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.received(1)
			id := sub.Order.ID
			due := b.summary(id).AnswerDue
			require.NotNil(t, due)
			require.InDelta(t, time.Hour, time.Until(*due), float64(time.Minute))
			require.True(t, b.open()[0].Unanswered)
			require.EqualValues(t, 3600, field(t, b.last(id), "answer_s"))

			b.progress(tells(sub, c.report))
			require.Equal(t, c.still, b.summary(id).AnswerDue != nil)
			if c.kind == "" {
				require.NotContains(t, b.kinds(id), store.EventAcknowledged)
			} else {
				require.Contains(t, b.kinds(id), c.kind)
			}
			if c.still {
				require.Empty(t, b.claim("me"), "it is never sent again for that")
				require.True(t, b.open()[0].Unanswered)
			}
		})
	}
}

// A yes is a yes where the warehouse is not one that answers later.
func TestAnOrdinaryYesIsAnAnswer(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	require.Nil(t, b.summary(sub.Order.ID).AnswerDue)
	require.False(t, b.open()[0].Unanswered)
	b.progress(working(sub))
	require.NotContains(t, b.kinds(sub.Order.ID), store.EventAcknowledged)
}

// A cancel that has its answer leaves nothing to wait for.
func TestACancelIsAnAnswer(t *testing.T) {
	for name, result := range map[string]store.CancelResult{"done": {Done: true}, "too late": {TooLate: true}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.received(1)
			b.cancel(sub.Order.ID)
			require.NotNil(t, b.summary(sub.Order.ID).AnswerDue)
			result.Order = sub.Order.ID
			require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{result}))
			require.Nil(t, b.summary(sub.Order.ID).AnswerDue)
		})
	}
}

// An order that was received and is not taken may be sent again: under the same
// number, since nothing of it was ever accepted and cancelled.
func TestRefusedAfterItWasReceived(t *testing.T) {
	b := newBench(t)
	sub := b.received(1)
	id := sub.Order.ID
	require.Equal(t, store.Recorded{Held: 1}, b.progress(notTaken(sub)))
	b.want(id, relay.OrderHeld)
	d, err := b.Order(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, relay.HoldUnknownItem, d.Hold.Reason)
	require.False(t, d.Hold.There)
	require.Equal(t, 1, d.Hold.Attempts)
	require.Empty(t, d.WarehouseOrderID)
	require.Empty(t, d.WarehouseStatus)
	require.Nil(t, d.AnswerDue)
	require.Equal(t, "rejected", d.Submissions[0].State)
	require.Equal(t, string(wid(sub)), *d.Submissions[0].WarehouseOrder)
	require.Equal(t, "MUG is not known", *d.Submissions[0].Words)
	require.Equal(t, "E7", *d.Submissions[0].Code)
	require.Equal(t, "lines[0].sku", d.Submissions[0].Fields[0].Field)
	require.Equal(t, []store.EventKind{store.EventRefused, store.EventHeld}, b.kinds(id)[3:])
	require.Empty(t, b.open())
	holds, err := b.HoldsToStart(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Len(t, holds, 1)
	rechecked, err := b.HeldFor(t.Context(), "acme", []relay.HoldReason{relay.HoldUnknownItem}, 0, 10)
	require.NoError(t, err)
	require.Equal(t, sub.Token, rechecked[0].Token, "what would be sent is held against what was refused")

	again := b.resent(id)
	require.Zero(t, again.Order.Renewed)
	o := accepted(again)
	o.Accepted = wid(sub) // the warehouse goes by our number
	b.record(o)
	b.want(id, relay.OrderAtWarehouse)
	require.Equal(t, []string{"rejected", "accepted"}, b.submissions())
	b.progress(tells(sub, store.Progress{Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}}))
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

// What changed at the cart while nobody knew whether the order is taken goes out
// with the next attempt.
func TestAnEditBeforeARefusal(t *testing.T) {
	for name, c := range map[string]struct {
		between func(b *bench, sub store.Submission)
		taken   bool
		kept    int // for a reopening
	}{
		"refused":                {func(b *bench, sub store.Submission) { b.progress(notTaken(sub)) }, true, 0},
		"stuck, and refused":     {func(b *bench, sub store.Submission) { b.progress(noStock(sub)); b.progress(asked(sub, notTaken(sub))) }, true, 0},
		"taken":                  {func(b *bench, sub store.Submission) { b.progress(working(sub)) }, false, 1},
		"received, then shipped": {func(b *bench, sub store.Submission) { b.progress(shippedAll(sub)) }, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.received(1)
			edited := anOrder(1)
			edited.UpdatedAt, edited.ShipMethod = placed.Add(time.Hour), "Express"
			require.Equal(t, 1, b.takeIn(edited).TooLate)
			c.between(b, sub)
			taken := b.takeIn()
			require.Equal(t, c.taken, taken.Changed == 1)
			method := list[string](b, `select ship_method from orders`)[0]
			require.Equal(t, c.taken, method == "Express")
			require.Equal(t, c.kept, b.lateEdits())
			if c.taken {
				b.want(sub.Order.ID, relay.OrderNew)
			}
		})
	}
}

// asked is a report by a warehouse that was asked while a submission was the latest.
func asked(sub store.Submission, p store.Progress) store.Progress {
	p.Submission = sub.ID
	return p
}

// What a warehouse says of a submission is not believed of a later one that bears
// the same number there: else what it has taken would be sent once more.
func TestARefusalThatComesLate(t *testing.T) {
	for name, c := range map[string]struct {
		late func(first store.Submission) store.Progress
		want relay.OrderState
	}{
		"a refusal, asked for before":            {func(s store.Submission) store.Progress { return asked(s, notTaken(s)) }, relay.OrderAtWarehouse},
		"stuck, asked for before":                {func(s store.Submission) store.Progress { return asked(s, noStock(s)) }, relay.OrderAtWarehouse},
		"cancelled, asked for before":            {func(s store.Submission) store.Progress { return asked(s, cancelledThere(s)) }, relay.OrderAtWarehouse},
		"a refusal that is told twice by itself": {notTaken, relay.OrderHeld},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			first := b.received(1)
			id := first.Order.ID
			require.Equal(t, 1, b.progress(asked(first, notTaken(first))).Held)
			second := b.resent(id)
			o := accepted(second)
			o.Accepted, o.AnswerWithin = wid(first), time.Hour
			b.record(o)
			b.progress(asked(second, working(first)))
			b.progress(c.late(first))
			b.want(id, c.want)
			require.Equal(t, []string{"rejected", "accepted"}, b.submissions(), "it is there, and not sent again")
			require.Empty(t, b.claim("me"))
			if c.want == relay.OrderHeld {
				require.NotEmpty(t, b.summary(id).WarehouseOrderID)
			}
		})
	}
}

// Reports and the cursor behind them are written together, or not at all.
func TestReadingsOfProgress(t *testing.T) {
	b := newBench(t)
	sub := b.received(1)
	id := sub.Order.ID
	cursor := func() string {
		value, err := b.Cursor(t.Context(), b.depot(), "files")
		require.NoError(t, err)
		return value
	}
	tell := func(from, to string, reports ...store.Progress) error {
		_, err := b.RecordProgress(t.Context(), "test", reports, store.Reading{Warehouse: b.depot(), Name: "files", From: from, To: to})
		return err
	}
	require.ErrorIs(t, tell("1", "2", working(sub)), store.ErrReadOn, "nobody has read that far")
	require.NoError(t, tell("", "1"))
	require.Equal(t, "1", cursor())
	require.NoError(t, tell("1", "2", notTaken(sub)))
	b.want(id, relay.OrderHeld)
	o := accepted(b.resent(id))
	o.Accepted, o.AnswerWithin = wid(sub), time.Hour
	b.record(o)
	require.ErrorIs(t, tell("1", "2", notTaken(sub)), store.ErrReadOn, "the same again, by a worker that was taken for dead")
	b.want(id, relay.OrderAtWarehouse)
	require.Equal(t, []string{"rejected", "accepted"}, b.submissions())
	require.ErrorIs(t, tell("", "3", notTaken(sub)), store.ErrReadOn)
	require.NoError(t, tell("2", "2", working(sub)))
	require.ErrorIs(t, tell("", "", working(sub)), nil)
	require.Equal(t, "2", cursor())

	b.exec(`create function full_disk() returns trigger language plpgsql as $$ begin raise 'no space'; end $$`)
	b.exec(`create trigger full_disk before insert on order_events for each row execute function full_disk()`)
	require.Error(t, tell("2", "3", shippedAll(sub)))
	require.Equal(t, "2", cursor())
	b.want(id, relay.OrderAtWarehouse)
}

// A refusal answers a cancel: nothing of it will ship. The order counts as
// cancelled at the warehouse, not as one that was never sent, so that it is
// watched for a week, should the refusal turn out wrong.
func TestARefusalAnswersACancel(t *testing.T) {
	b := newBench(t)
	sub := b.received(1)
	id := sub.Order.ID
	b.cancel(id)
	require.Equal(t, store.Recorded{Cancelled: 1}, b.progress(notTaken(sub)))
	b.want(id, relay.OrderCancelled)
	require.Equal(t, []string{"rejected"}, b.submissions())
	require.Equal(t, true, field(t, b.event(id, store.EventCancelled), "asked"))
	require.Len(t, b.open(), 1)
	require.Equal(t, store.Recorded{}, b.progress(notTaken(sub)), "told twice")

	// Wrong: the warehouse goes on with it, and is asked to cancel it.
	require.Equal(t, store.Recorded{Alarms: 1}, b.progress(working(sub)))
	b.want(id, relay.OrderCancelRequested)
	due, err := b.CancelsDue(t.Context(), b.depot(), 10)
	require.NoError(t, err)
	require.Equal(t, []store.CancelDue{{Order: id, WarehouseOrderID: wid(sub)}}, due)
	require.Equal(t, []string{"accepted"}, b.submissions())
	b.progress(shippedAll(sub))
	b.want(id, relay.OrderShipped)
	require.Contains(t, b.kinds(id), store.EventShippedAfterAll)
	require.Len(t, b.toTell(), 1)
}

// event is the last entry of a kind.
func (b *bench) event(id relay.OrderID, kind store.EventKind) store.Event {
	b.t.Helper()
	events, err := b.History(b.t.Context(), id)
	require.NoError(b.t, err)
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Kind == kind {
			return events[i]
		}
	}
	require.Failf(b.t, "no such entry", "%s in %v", kind, b.kinds(id))
	return store.Event{}
}

// Promise 1, in every interleaving: a warehouse refuses what it had received, and
// then goes on with it after all.
func TestTakenAfterAll(t *testing.T) {
	release := func(b *bench, id relay.OrderID) {
		_, err := b.Release(t.Context(), []relay.OrderID{id}, "operator", "again")
		require.NoError(b.t, err)
	}
	for name, c := range map[string]struct {
		between func(b *bench, sub store.Submission)
		report  func(store.Submission) store.Progress
		state   relay.OrderState
		alarms  int
		subs    []string
		more    func(b *bench, sub store.Submission)
	}{
		"on hold, taken": {nil, working, relay.OrderAtWarehouse, 1, []string{"accepted"}, func(b *bench, sub store.Submission) {
			require.Equal(b.t, wid(sub), b.summary(sub.Order.ID).WarehouseOrderID)
			require.Nil(b.t, b.summary(sub.Order.ID).Hold)
		}},
		"on hold, stuck":   {nil, noStock, relay.OrderHeld, 1, []string{"accepted"}, nil},
		"on hold, shipped": {nil, shippedAll, relay.OrderShipped, 1, []string{"accepted"}, func(b *bench, sub store.Submission) { require.Len(b.t, b.toTell(), 1) }},
		"released, taken": {func(b *bench, sub store.Submission) { release(b, sub.Order.ID) }, working, relay.OrderAtWarehouse, 1, []string{"accepted"}, func(b *bench, sub store.Submission) {
			require.Empty(b.t, b.claim("me"), "it is not sent anew")
		}},
		"released, shipped": {func(b *bench, sub store.Submission) { release(b, sub.Order.ID) }, shippedAll, relay.OrderShipped, 1, []string{"accepted"}, nil},
		// Being sent anew: a word that may be an old one settles nothing, a parcel does.
		"sent anew, taken": {func(b *bench, sub store.Submission) { b.resent(sub.Order.ID) }, working, relay.OrderSubmitting, 0, []string{"rejected", "open"}, nil},
		"sent anew, shipped": {func(b *bench, sub store.Submission) { b.resent(sub.Order.ID) }, shippedAll, relay.OrderShipped, 1, []string{"rejected", "accepted"}, func(b *bench, sub store.Submission) {
			// Its own answer comes too late to count, and is the same order there.
			again := list[int64](b, `select id from submissions order by attempt desc limit 1`)[0]
			b.record(store.Outcome{Submission: store.SubmissionID(again), Order: sub.Order.ID, Accepted: wid(sub)})
			b.want(sub.Order.ID, relay.OrderShipped)
		}},
		"sent anew and in doubt, shipped": {func(b *bench, sub store.Submission) { b.record(unknown(b.resent(sub.Order.ID))) }, shippedAll, relay.OrderShipped, 1, []string{"rejected", "accepted"}, nil},
		"sent anew and accepted as the same": {func(b *bench, sub store.Submission) {
			o := accepted(b.resent(sub.Order.ID))
			o.Accepted = wid(sub)
			b.record(o)
		}, working, relay.OrderAtWarehouse, 0, []string{"rejected", "accepted"}, nil},
		"sent anew and refused at once": {func(b *bench, sub store.Submission) { b.record(refused(b.resent(sub.Order.ID))) }, working, relay.OrderAtWarehouse, 1, []string{"accepted", "rejected"}, nil},
		"cancelled here": {func(b *bench, sub store.Submission) { b.cancel(sub.Order.ID) }, working, relay.OrderCancelRequested, 1, []string{"accepted"}, func(b *bench, sub store.Submission) {
			due, err := b.CancelsDue(t.Context(), b.depot(), 10)
			require.NoError(b.t, err)
			require.Len(b.t, due, 1, "the warehouse is asked")
		}},
		"cancelled here, shipped": {func(b *bench, sub store.Submission) { b.cancel(sub.Order.ID) }, shippedAll, relay.OrderShipped, 2, []string{"accepted"}, nil},
		"merely received again":   {nil, func(sub store.Submission) store.Progress { return tells(sub, store.Progress{Status: "received"}) }, relay.OrderHeld, 0, []string{"rejected"}, nil},
		"refused again":           {nil, notTaken, relay.OrderHeld, 0, []string{"rejected"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.t = t
			sub := b.received(1)
			id := sub.Order.ID
			b.progress(notTaken(sub))
			if c.between != nil {
				c.between(b, sub)
			}
			held := b.state(id) == relay.OrderHeld
			ids, err := b.OrdersAt(t.Context(), b.depot(), []relay.WarehouseOrderID{wid(sub), "W-nobody"})
			require.NoError(t, err)
			require.Equal(t, map[relay.WarehouseOrderID]relay.OrderID{wid(sub): id}, ids, "it is known by what it was there")
			got := b.progress(c.report(sub))
			b.want(id, c.state)
			require.Equal(t, c.alarms, got.Alarms)
			require.Equal(t, c.subs, b.submissions())
			require.Equal(t, c.alarms > 0, len(list[int64](b, `select id from order_events where kind = 'taken_after_all'`)) == 1)
			require.Equal(t, held && c.alarms > 0, len(got.Woken) == 1, "the hold's workflow is told")
			require.Empty(t, b.inconsistencies())
			if c.more != nil {
				c.more(b, sub)
			}
			require.Zero(t, b.progress(c.report(sub)).Alarms, "told twice")
		})
	}
}

// Where a warehouse gives its own ids, it may have the order twice: people are called, once.
func TestRefusedAndThenThereTwice(t *testing.T) {
	b := newAlertBench(t)
	sub := b.received(1)
	id := sub.Order.ID
	b.progress(notTaken(sub))
	again := b.resent(id)
	b.record(accepted(again))
	b.lookAfter()
	require.Equal(t, 1, b.progress(working(sub)).Alarms)
	require.Zero(t, b.progress(working(sub)).Alarms)
	b.want(id, relay.OrderAtWarehouse)
	require.Equal(t, wid(again), b.summary(id).WarehouseOrderID)
	require.Equal(t, []string{"rejected", "accepted"}, b.submissions())
	b.lookAfter()
	require.Contains(t, b.alerts(), relay.AlertCause("order/SO-1/duplicate_found"))
}

// Of a reopened order the cancelled warehouse order says nothing, as ever.
func TestALateWordOfACancelledOne(t *testing.T) {
	b := newBench(t)
	sub := b.received(1)
	id := sub.Order.ID
	b.progress(cancelledThere(sub))
	_, err := b.ReopenOrder(t.Context(), id, store.ReopenAsk{Actor: "operator", Reason: "after all"})
	require.NoError(t, err)
	require.Equal(t, store.Recorded{}, b.progress(working(sub)))
	b.want(id, relay.OrderNew)
	require.Equal(t, store.Recorded{}, b.progress(shippedAll(sub)))
	b.want(id, relay.OrderNew)
}

// A warehouse has an order and says that it is stuck: a hold that people see, and
// that nothing ever sends again.
func TestStuckAtTheWarehouse(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	id := sub.Order.ID
	require.Equal(t, store.Recorded{Held: 1}, b.progress(noStock(sub)))
	b.want(id, relay.OrderHeld)
	o := b.summary(id)
	require.Equal(t, wid(sub), o.WarehouseOrderID)
	require.Equal(t, "no stock", o.WarehouseStatus)
	require.True(t, o.Hold.There)
	require.Equal(t, relay.HoldInsufficientInventory, o.Hold.Reason)
	require.Zero(t, o.Hold.Attempts, "nothing was refused")
	require.Equal(t, []string{"accepted"}, b.submissions())
	next, err := o.Hold.NextResend(b.m.Resend, "hold/acme/SO-1", time.Now())
	require.NoError(t, err)
	require.Zero(t, next)
	require.Len(t, b.open(), 1, "it is asked for")
	holds, err := b.HoldsToStart(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Len(t, holds, 1)

	// Nothing sends it, and nothing lets it go.
	q := b.query("nightly")
	q.Held = []relay.OrderID{id}
	claimed, err := b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.Empty(t, claimed)
	for _, reasons := range [][]relay.HoldReason{nil, {relay.HoldInsufficientInventory}} {
		released, err := b.Release(t.Context(), []relay.OrderID{id}, "operator", "now", reasons...)
		require.NoError(t, err)
		require.Empty(t, released)
	}
	rechecked, err := b.HeldFor(t.Context(), "acme", relay.HoldReasons(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, rechecked)
	all, err := b.HeldOrders(t.Context(), store.HeldQuery{Merchant: "acme"}, 10)
	require.NoError(t, err)
	require.Equal(t, []relay.OrderID{id}, all)
	free, err := b.HeldOrders(t.Context(), store.HeldQuery{Merchant: "acme", Here: true}, 10)
	require.NoError(t, err)
	require.Empty(t, free)
	preview, err := b.PreviewHeld(t.Context(), store.HeldQuery{Merchant: "acme"}, 1)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 0, 1}, []int64{preview.Orders, preview.Unknown, preview.There})
	answer, err := b.HoldOrder(t.Context(), id, relay.Hold{Reason: relay.HoldOperator}, "operator")
	require.NoError(t, err)
	require.Equal(t, store.HoldAnswer{State: relay.OrderHeld, Reason: relay.HoldInsufficientInventory}, answer)
	edited := anOrder(1)
	edited.UpdatedAt, edited.ShipMethod = placed.Add(time.Hour), "Express"
	require.Equal(t, 1, b.takeIn(edited).TooLate)
	watched, _, err := b.Watched(t.Context(), b.cart("shop").ID, 0, 10)
	require.NoError(t, err)
	require.Empty(t, watched, "that a cart shows it otherwise is no reason to cancel it")
	underWay, err := b.OrdersUnderWay(t.Context(), b.cart("shop").ID, 0, 10)
	require.NoError(t, err)
	require.True(t, underWay[0].Sent)
	b.want(id, relay.OrderHeld)
	require.Equal(t, []string{"accepted"}, b.submissions())

	// The same word again is no news; another reason is.
	b.see(id)
	require.Equal(t, store.Recorded{}, b.progress(noStock(sub)))
	other := tells(sub, store.Progress{Status: "held", Stuck: &relay.Hold{Reason: relay.HoldBadAddress}})
	require.Equal(t, store.Recorded{Woken: []relay.Reference{"SO-1"}}, b.progress(other))
	require.Equal(t, relay.HoldBadAddress, b.summary(id).Hold.Reason)
	require.Empty(t, b.summary(id).Hold.Code)
	require.True(t, o.Hold.HeldAt.Equal(b.summary(id).Hold.HeldAt), "the hold goes on")
	holds, err = b.HoldsToStart(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Empty(t, holds, "it has its workflow")
	require.Empty(t, b.inconsistencies())
}

// see looks at a hold as its workflow does.
func (b *bench) see(id relay.OrderID) store.HoldView {
	b.t.Helper()
	v, err := b.ViewHold(b.t.Context(), id)
	require.NoError(b.t, err)
	return v
}

func TestAHoldAtTheWarehouseEndsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		report func(store.Submission) store.Progress
		state  relay.OrderState
		subs   string
		got    store.Recorded
	}{
		"goes on":   {working, relay.OrderAtWarehouse, "accepted", store.Recorded{}},
		"ships":     {shippedAll, relay.OrderShipped, "accepted", store.Recorded{Packages: 1, Carts: []store.ConnectionID{1}}},
		"cancelled": {cancelledThere, relay.OrderCancelled, "withdrawn", store.Recorded{Cancelled: 1, Alarms: 1}},
		"refused":   {func(s store.Submission) store.Progress { return asked(s, notTaken(s)) }, relay.OrderHeld, "rejected", store.Recorded{Held: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.atWarehouse(1)
			b.progress(noStock(sub))
			b.see(sub.Order.ID)
			c.got.Woken = []relay.Reference{"SO-1"}
			got := b.progress(c.report(sub))
			if len(c.got.Carts) > 0 {
				c.got.Carts = []store.ConnectionID{b.cart("shop").ID}
			}
			require.Equal(t, c.got, got)
			b.want(sub.Order.ID, c.state)
			require.Equal(t, []string{c.subs}, b.submissions())
			require.Empty(t, b.inconsistencies())
			if c.state == relay.OrderHeld {
				require.False(t, b.summary(sub.Order.ID).Hold.There)
				b.resent(sub.Order.ID)
				return
			}
			require.Nil(t, b.summary(sub.Order.ID).Hold)
			if c.state == relay.OrderAtWarehouse {
				require.Equal(t, "the warehouse goes on with it", field(t, b.event(sub.Order.ID, store.EventReleased), "why"))
				require.Equal(t, store.Recorded{Held: 1}, b.progress(noStock(sub)), "and is stuck once more")
			}
		})
	}
}

// Workers of the release before don't know that such an order must not go: the
// ledger refuses what they would do, or every later claim would fail on it.
func TestOldWorkersLetNoStuckOrderGo(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	b.progress(noStock(sub))
	for _, state := range []string{"new", "in_doubt", "submitting"} {
		_, err := b.sql.Exec(t.Context(), `update orders set state = $2, next_look_at = now(), hold_reason = null, held_at = null where id = $1`, sub.Order.ID, state)
		require.ErrorContains(t, err, "orders_not_there", state)
	}
	b.want(sub.Order.ID, relay.OrderHeld)
}

// What says nothing new ends no hold.
func TestNoNewsEndsNoHold(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	b.progress(noStock(sub))
	for _, r := range []store.Progress{{}, {Status: "no stock"}} {
		require.Equal(t, store.Recorded{}, b.progress(tells(sub, r)))
	}
	require.Equal(t, store.Recorded{Alarms: 1}, b.progress(tells(sub, store.Progress{Gone: true})))
	b.want(sub.Order.ID, relay.OrderHeld)
}

// A cancel of an order that the warehouse is stuck with is asked of the warehouse.
func TestACancelOfAStuckOrder(t *testing.T) {
	cancels := map[string]func(b *bench, id relay.OrderID) store.CancelRequest{
		"one": func(b *bench, id relay.OrderID) store.CancelRequest {
			r, err := b.RequestCancel(b.t.Context(), id, store.CancelAsk{Actor: "operator", Reason: "because"})
			require.NoError(b.t, err)
			return r
		},
		"all of a reason": func(b *bench, id relay.OrderID) store.CancelRequest {
			ask := store.CancelAsk{Actor: "operator", Reason: "because"}
			got, err := b.CancelHeld(b.t.Context(), []relay.OrderID{id}, ask, relay.HoldBadAddress)
			require.NoError(b.t, err)
			require.Empty(b.t, got, "it is on hold for another by now")
			got, err = b.CancelHeld(b.t.Context(), []relay.OrderID{id}, ask, relay.HoldBadAddress, relay.HoldInsufficientInventory)
			require.NoError(b.t, err)
			require.Len(b.t, got, 1)
			return got[0]
		},
	}
	for name, cancel := range cancels {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.atWarehouse(1)
			id := sub.Order.ID
			b.progress(noStock(sub))
			r := cancel(b, id)
			require.Equal(t, store.AskWarehouse, r.Standing)
			require.True(t, r.WasHeld)
			require.Equal(t, wid(sub), r.WarehouseOrderID)
			b.want(id, relay.OrderCancelRequested)
			due, err := b.CancelsDue(t.Context(), b.depot(), 10)
			require.NoError(t, err)
			require.Len(t, due, 1)
			require.Equal(t, store.Recorded{}, b.progress(noStock(sub)), "the cancel is under way")
			b.want(id, relay.OrderCancelRequested)

			require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, TooLate: true}}))
			b.want(id, relay.OrderAtWarehouse)
			require.Equal(t, 1, b.progress(noStock(sub)).Held)
			b.cancel(id)
			require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, Done: true}}))
			b.want(id, relay.OrderCancelled)
			require.Equal(t, []string{"withdrawn"}, b.submissions())
			require.Empty(t, b.inconsistencies())
		})
	}
}

// One page may tell of an order several times: each report counts, in turn.
func TestSeveralReportsInOnePage(t *testing.T) {
	b := newBench(t)
	sub := b.received(1)
	id := sub.Order.ID
	part := func(number string, it relay.Item) store.Progress {
		return tells(sub, store.Progress{Status: "part", Working: true, Packages: []relay.Package{parcel(number, it)}})
	}
	require.Equal(t, 2, b.progress(
		tells(sub, store.Progress{Status: "received"}), working(sub), part("1Z", item("MUG", 2)), part("2Z", item("CAP", 1)), part("1Z", item("MUG", 2)),
	).Packages)
	b.want(id, relay.OrderShipped)
	require.Len(t, b.toTell(), 2)
	require.Equal(t, 1, b.tell(), "all of it has left")

	// A hold that begins and ends in one page is no hold.
	other := b.received(2)
	b.progress(noStock(other), working(other))
	b.want(other.Order.ID, relay.OrderAtWarehouse)
	require.Nil(t, b.summary(other.Order.ID).Hold)

	// Refused and taken after all: as if it had been taken.
	third := b.received(3)
	b.progress(notTaken(third), working(third))
	b.want(third.Order.ID, relay.OrderAtWarehouse)
	require.Equal(t, wid(third), b.summary(third.Order.ID).WarehouseOrderID)
	require.Empty(t, b.inconsistencies())
}

// A parcel is proof: what has shipped is not refused, whatever a row says.
func TestWhatHasShippedIsNotRefused(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	id := sub.Order.ID
	b.progress(tells(sub, store.Progress{Packages: []relay.Package{parcel("1Z", item("MUG", 2))}}))
	b.progress(notTaken(sub))
	b.want(id, relay.OrderShipped)
	require.Equal(t, []string{"accepted"}, b.submissions())
	require.Equal(t, []bool{true}, list[bool](b, `select ship_complete from orders`), "the rest is not expected any more")
	b.progress(noStock(sub))
	b.want(id, relay.OrderShipped)
}

// The number of an order is another one after each that was accepted and
// cancelled, and the same at the claim, at the look and when it is sent again.
func TestRenewed(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	id := sub.Order.ID
	require.Zero(t, sub.Order.Renewed)
	for life := 1; life <= 2; life++ {
		b.progress(store.Progress{Order: id, Cancelled: true})
		_, err := b.ReopenOrder(t.Context(), id, store.ReopenAsk{Actor: "operator", Reason: "after all"})
		require.NoError(t, err)
		subs := b.claim("me")
		require.Len(t, subs, 1)
		require.Equal(t, life, subs[0].Order.Renewed)
		b.record(refused(subs[0])) // a refusal does not count
		sub = b.resent(id)
		require.Equal(t, life, sub.Order.Renewed)
		b.record(unknown(sub))
		doubt, err := b.InDoubt(t.Context(), b.depot(), 0, 10)
		require.NoError(t, err)
		require.Equal(t, life, doubt[0].Order.Renewed)
		again, err := b.Reopen(t.Context(), doubt, "me", time.Minute, "test")
		require.NoError(t, err)
		require.Equal(t, life, again[0].Order.Renewed)
		b.record(accepted(again[0]))
	}
	// An attempt of the first life that is looked for again has that life's number.
	b.progress(store.Progress{Order: id, Cancelled: true})
	_, err := b.ReopenOrder(t.Context(), id, store.ReopenAsk{Actor: "operator", Reason: "after all"})
	require.NoError(t, err)
	first := list[int64](b, `select id from submissions where state = 'rejected' order by attempt limit 1`)[0]
	doubted, err := b.DoubtShown(t.Context(), "test", []store.Shown{{Submission: store.SubmissionID(first), WarehouseOrderID: "W-shown"}})
	require.NoError(t, err)
	require.Len(t, doubted, 1)
	doubt, err := b.InDoubt(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, 1, doubt[0].Order.Renewed)
}

// A person's hold keeps an order from being sent, and hides no other's reason.
func TestAPersonsHold(t *testing.T) {
	operator := relay.Hold{Reason: relay.HoldOperator, Fields: []relay.Problem{{Field: "reason", Value: "ask first"}}}
	for name, c := range map[string]struct {
		make func(b *bench) relay.OrderID
		want store.HoldAnswer
	}{
		"new": {func(b *bench) relay.OrderID { b.takeIn(anOrder(1)); return b.id(1) }, store.HoldAnswer{Held: true, State: relay.OrderNew}},
		"on hold for stock": {func(b *bench) relay.OrderID { b.putOnHold(relay.HoldInsufficientInventory, 1); return b.id(1) },
			store.HoldAnswer{Held: true, State: relay.OrderHeld, Reason: relay.HoldInsufficientInventory}},
		"on hold for a person": {func(b *bench) relay.OrderID { b.putOnHold(relay.HoldUnknownOutcome, 1); return b.id(1) },
			store.HoldAnswer{State: relay.OrderHeld, Reason: relay.HoldUnknownOutcome}},
		"being sent":       {func(b *bench) relay.OrderID { return b.submitting(1).Order.ID }, store.HoldAnswer{State: relay.OrderSubmitting}},
		"in doubt":         {func(b *bench) relay.OrderID { return b.inDoubt(1).Order.ID }, store.HoldAnswer{State: relay.OrderInDoubt}},
		"at the warehouse": {func(b *bench) relay.OrderID { return b.atWarehouse(1).Order.ID }, store.HoldAnswer{State: relay.OrderAtWarehouse}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := c.make(b)
			attempts := list[int](b, `select hold_attempts from orders`)[0]
			got, err := b.HoldOrder(t.Context(), id, operator, "operator clerk")
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			if !c.want.Held {
				b.want(id, c.want.State)
				return
			}
			b.want(id, relay.OrderHeld)
			require.Equal(t, "operator: ask first", b.summary(id).Hold.Headline())
			require.Equal(t, attempts, b.summary(id).Hold.Attempts, "nothing was refused")
			require.Empty(t, b.claim("me"))
			again, err := b.HoldOrder(t.Context(), id, operator, "operator clerk")
			require.NoError(t, err)
			require.Equal(t, store.HoldAnswer{State: relay.OrderHeld, Reason: relay.HoldOperator}, again)
			released, err := b.Release(t.Context(), []relay.OrderID{id}, "operator clerk", "released")
			require.NoError(t, err)
			require.Len(t, released, 1)
			require.Len(t, b.claim("me"), 1)
		})
	}
	b := newBench(t)
	_, err := b.HoldOrder(t.Context(), 77, operator, "operator clerk")
	require.ErrorIs(t, err, store.ErrNotFound)
}
