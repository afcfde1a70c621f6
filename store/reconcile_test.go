package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// begun begins a run over the shop, or goes on with it.
func (b *bench) begun() store.Reconciliation {
	b.t.Helper()
	run, _, err := b.BeginReconciliation(b.t.Context(), b.cart("shop"), time.Hour)
	require.NoError(b.t, err)
	return run
}

func (b *bench) compared(run store.Reconciliation, part store.Compared) store.Reconciliation {
	b.t.Helper()
	got, err := b.RecordCompared(b.t.Context(), b.cart("shop"), run.ID, "job reconcile", part)
	require.NoError(b.t, err)
	return got
}

func (b *bench) findings(closed bool) []store.Finding {
	b.t.Helper()
	list, err := b.Findings(b.t.Context(), store.FindingQuery{Merchant: "acme", Closed: closed, Limit: 100})
	require.NoError(b.t, err)
	return list
}

func TestRunGoesOnWhereItWasLeft(t *testing.T) {
	b := newBench(t)
	run, progress, err := b.BeginReconciliation(t.Context(), b.cart("shop"), time.Hour)
	require.NoError(t, err)
	require.Empty(t, progress)
	b.compared(run, store.Compared{Checked: 5, Progress: "half way"})
	again, progress, err := b.BeginReconciliation(t.Context(), b.cart("shop"), time.Hour)
	require.NoError(t, err)
	require.Equal(t, "half way", progress)
	require.Equal(t, run.ID, again.ID)
	require.Equal(t, 5, again.Checked)
	ended := b.compared(run, store.Compared{Checked: 2, Ended: true})
	require.Equal(t, 7, ended.Checked)
	require.NotNil(t, ended.EndedAt)
	_, err = b.RecordCompared(t.Context(), b.cart("shop"), run.ID, "job reconcile", store.Compared{Checked: 1})
	require.ErrorIs(t, err, store.ErrNotFound, "it has ended")
	next := b.begun()
	require.NotEqual(t, run.ID, next.ID)
	last, err := b.LastReconciliations(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, last, 1)
	require.Equal(t, next.ID, last[0].ID)
	require.Nil(t, last[0].EndedAt)
}

func TestRunThatNeverEndedStartsOver(t *testing.T) {
	b := newBench(t)
	run := b.begun()
	b.compared(run, store.Compared{Progress: "half way", Discrepancies: []store.Discrepancy{{Kind: store.FindingStuck, Subject: "SO-1"}}})
	b.exec(`update reconciliations set began_at = now() - interval '2 hours'`)
	fresh, progress, err := b.BeginReconciliation(t.Context(), b.cart("shop"), time.Hour)
	require.NoError(t, err)
	require.Empty(t, progress)
	require.NotEqual(t, run.ID, fresh.ID)
	require.Zero(t, fresh.Checked)
	require.Len(t, b.findings(false), 1, "what it had found stays until a whole run does not find it")
	b.compared(fresh, store.Compared{Ended: true})
	require.Empty(t, b.findings(false))
}

func TestFindingsAreWrittenOnceAndClosedWhenTheyAreGone(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	open := store.Discrepancy{Kind: store.FindingUntold, Subject: "SO-1", Order: id, Detail: map[string]any{"attempts": 3}}
	mended := store.Discrepancy{Kind: store.FindingDuplicate, Subject: "W-9", Order: id, Repaired: true, Event: store.EventDuplicate, EventDetail: map[string]any{"cancelled": "W-9"}}
	run := b.begun()
	for range 2 { // a step that runs twice
		got := b.compared(run, store.Compared{Discrepancies: []store.Discrepancy{open, mended, mended}})
		require.Equal(t, 2, got.Found)
		require.Equal(t, 1, got.Repaired)
	}
	require.Equal(t, store.EventDuplicate, b.last(id).Kind)
	require.Len(t, b.kinds(id), 2, "said once: %v", b.kinds(id))
	list := b.findings(true)
	require.Len(t, list, 2)
	still := b.findings(false)
	require.Len(t, still, 1)
	require.Equal(t, relay.Reference("SO-1"), still[0].Reference)
	require.Equal(t, relay.ConnectionName("shop"), still[0].Connection)
	require.JSONEq(t, `{"attempts": 3}`, string(still[0].Detail))
	b.compared(run, store.Compared{Ended: true})

	run = b.begun() // it is there still
	open.Detail["attempts"] = 4
	require.Equal(t, 1, b.compared(run, store.Compared{Discrepancies: []store.Discrepancy{open}, Ended: true}).Found)
	again := b.findings(false)
	require.Len(t, again, 1)
	require.Equal(t, still[0].ID, again[0].ID)
	require.Equal(t, still[0].FirstSeenAt, again[0].FirstSeenAt)
	require.True(t, again[0].LastSeenAt.After(still[0].LastSeenAt))
	require.JSONEq(t, `{"attempts": 4}`, string(again[0].Detail))

	run = b.begun() // a run that could not see all proves nothing
	b.compared(run, store.Compared{Ended: true, Partial: true})
	require.Len(t, b.findings(false), 1)
	run = b.begun() // one that could does
	b.compared(run, store.Compared{Ended: true})
	require.Empty(t, b.findings(false))
	for _, f := range b.findings(true) {
		require.NotNil(t, f.ClosedAt)
		require.Equal(t, f.Kind == store.FindingDuplicate, f.Repaired)
	}
}

func TestFindingThatIsMendedLaterSaysSo(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	d := store.Discrepancy{Kind: store.FindingDuplicate, Subject: "W-9", Order: b.id(1), Event: store.EventDuplicate, EventDetail: map[string]any{"cancelled": "pending"}}
	for range 2 {
		b.compared(b.begun(), store.Compared{Discrepancies: []store.Discrepancy{d}, Ended: true})
	}
	require.Len(t, b.kinds(b.id(1)), 2, "found once")
	d.Repaired, d.EventDetail = true, map[string]any{"cancelled": "cancelled"}
	got := b.compared(b.begun(), store.Compared{Discrepancies: []store.Discrepancy{d}, Ended: true})
	require.Equal(t, 1, got.Repaired)
	require.Len(t, b.kinds(b.id(1)), 3)
	require.Equal(t, "cancelled", field(t, b.last(b.id(1)), "cancelled"))
	list := b.findings(true)
	require.Len(t, list, 1)
	require.True(t, list[0].Repaired)
}

func (b *bench) doubt(sub store.Submission) []store.Doubted {
	b.t.Helper()
	got, err := b.DoubtShown(b.t.Context(), "job reconcile", []store.Shown{{Submission: sub.ID, WarehouseOrderID: wid(sub)}})
	require.NoError(b.t, err)
	return got
}

// Promise 1: what the warehouse shows can't be sent again, whatever we believed of it.
func TestWhatTheWarehouseShowsIsLookedForNotSent(t *testing.T) {
	for name, outcome := range map[string]func(store.Submission) store.Outcome{"refused": refused, "unsent": unsent, "held in doubt": unknown} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.submitting(1)
			b.record(outcome(sub))
			if name == "held in doubt" {
				require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Hold: unknownOutcome()}}))
			}
			held := b.state(sub.Order.ID) == relay.OrderHeld
			require.Equal(t, []store.Doubted{{Submission: sub.ID, Reference: "SO-1", WasHeld: held}}, b.doubt(sub))
			b.want(sub.Order.ID, relay.OrderInDoubt)
			require.Equal(t, store.EventUnknown, b.last(sub.Order.ID).Kind)
			require.Equal(t, string(wid(sub)), field(t, b.last(sub.Order.ID), "warehouse_order"))
			require.Empty(t, b.claim("another"), "not to be sent")
			due, err := b.InDoubt(t.Context(), b.depot(), 0, 10)
			require.NoError(t, err)
			require.Len(t, due, 1, "looked for at once")
			require.Equal(t, sub.Token, due[0].Token)
			trail := len(b.kinds(sub.Order.ID))
			require.Equal(t, []store.Doubted{{Submission: sub.ID, Reference: "SO-1"}}, b.doubt(sub))
			require.Len(t, b.kinds(sub.Order.ID), trail, "said once")
			b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: wid(sub), Adopted: true})
			b.want(sub.Order.ID, relay.OrderAtWarehouse)
			require.Empty(t, b.doubt(sub))
			b.want(sub.Order.ID, relay.OrderAtWarehouse)
		})
	}
}

func TestAnOrderThatIsBeingSentIsNotDoubted(t *testing.T) {
	b := newBench(t)
	first := b.submitting(1)
	b.record(unsent(first))
	b.exec(`update orders set retry_at = null`)
	second := b.claim("another")
	require.Len(t, second, 1)
	require.Empty(t, b.doubt(first))
	b.want(first.Order.ID, relay.OrderSubmitting)
	standings, err := b.Standings(t.Context(), b.depot(), []relay.Token{first.Token, second[0].Token, "aaaaaaaaaaaaaaaa"})
	require.NoError(t, err)
	require.Len(t, standings, 2)
	require.Equal(t, "open", standings[first.Token].Other)
	require.Equal(t, "unsent", standings[first.Token].State)
	require.True(t, standings[first.Token].Here)
	require.Empty(t, standings[second[0].Token].Other)
	b.record(accepted(second[0]))
	require.Empty(t, b.doubt(first), "nor one that is at the warehouse")
	b.want(first.Order.ID, relay.OrderAtWarehouse)
}

// Of several submissions that were all believed to have failed, one is looked for.
func TestTwoThatAreShownOfOneOrder(t *testing.T) {
	b := newBench(t)
	first := b.submitting(1)
	b.record(unsent(first))
	b.exec(`update orders set retry_at = null`)
	second := b.claim("another")[0]
	b.record(unsent(second))
	got, err := b.DoubtShown(t.Context(), "job reconcile", []store.Shown{
		{Submission: second.ID, WarehouseOrderID: wid(second)}, {Submission: first.ID, WarehouseOrderID: wid(first)},
	})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, first.ID, got[0].Submission, "the oldest")
}

func TestSuspectsAreHeldOnce(t *testing.T) {
	b := newBench(t)
	stranger := store.Stranger{ID: "W-lost", Number: "SO-1", CreatedAt: placed.Add(time.Minute)}
	suspects := func(run store.Reconciliation) []store.Suspect {
		got, err := b.HoldSuspects(t.Context(), b.cart("shop"), run.ID, "job reconcile", []store.Stranger{stranger, {ID: "W-other", Number: "SO-77"}},
			func(s store.Stranger) relay.Hold {
				return relay.Hold{Reason: relay.HoldUnknownOutcome, Fields: []relay.Problem{{Field: "submission", Value: string(s.ID)}}}
			})
		require.NoError(t, err)
		return got
	}
	b.takeIn(anOrder(1), anOrder(2))
	run := b.begun()
	require.Equal(t, []store.Suspect{{Stranger: "W-lost", Order: b.id(1), Reference: "SO-1", State: relay.OrderNew, Held: true}}, suspects(run))
	b.want(b.id(1), relay.OrderHeld)
	b.want(b.id(2), relay.OrderNew)
	require.Equal(t, []store.Suspect{{Stranger: "W-lost", Order: b.id(1), Reference: "SO-1", State: relay.OrderHeld}}, suspects(run))
	b.compared(run, store.Compared{Ended: true, Discrepancies: []store.Discrepancy{{Kind: store.FindingForeign, Subject: "W-lost", Order: b.id(1)}}})
	_, err := b.Release(t.Context(), []relay.OrderID{b.id(1)}, "operator clerk", "to be sent all the same")
	require.NoError(t, err)
	require.False(t, suspects(b.begun())[0].Held, "a person has decided")
	b.want(b.id(1), relay.OrderNew)

	stranger.CreatedAt = placed.Add(-time.Hour)
	require.Empty(t, suspects(b.begun()), "it was there before the order was placed")
	sub := b.claim("me")[0]
	b.record(accepted(sub))
	stranger.CreatedAt = placed.Add(time.Minute)
	stranger.ID = "W-new"
	require.Equal(t, []store.Suspect{{Stranger: "W-new", Order: b.id(1), Reference: "SO-1", State: relay.OrderAtWarehouse}}, suspects(b.begun()))
	b.want(b.id(1), relay.OrderAtWarehouse)
}

// An order on hold for another reason would be resent in the night.
func TestSuspectsOnHoldWaitForAPerson(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	b.record(refused(sub))
	b.want(sub.Order.ID, relay.OrderHeld)
	got, err := b.HoldSuspects(t.Context(), b.cart("shop"), b.begun().ID, "job reconcile", []store.Stranger{{ID: "W-lost", Number: "SO-1", CreatedAt: time.Now()}},
		func(store.Stranger) relay.Hold { return relay.Hold{Reason: relay.HoldUnknownOutcome} })
	require.NoError(t, err)
	require.True(t, got[0].Held)
	d, err := b.Order(t.Context(), sub.Order.ID)
	require.NoError(t, err)
	require.Equal(t, relay.HoldUnknownOutcome, d.Hold.Reason)
}

func TestStuckOrders(t *testing.T) {
	b := newBench(t)
	stuck := func() (out []relay.OrderState) {
		list, err := b.StuckOrders(t.Context(), "acme", time.Hour, 0, 10)
		require.NoError(t, err)
		for _, o := range list {
			out = append(out, o.State)
		}
		return out
	}
	cancelling := b.atWarehouse(1)
	doubtful := b.inDoubt(2)
	sending := b.submitting(3)
	b.exec(`update orders set state = 'cancel_requested', cancel_requested_at = now(), cancel_next_at = now() where id = $1`, cancelling.Order.ID)
	require.Empty(t, stuck(), "all is due just now")
	b.exec(`update orders set cancel_next_at = null where id = $1`, cancelling.Order.ID)
	b.exec(`update orders set next_look_at = now() - interval '2 hours' where id = $1`, doubtful.Order.ID)
	b.exec(`update submissions set lease_until = now() - interval '2 hours' where id = $1`, sending.ID)
	require.Equal(t, []relay.OrderState{relay.OrderCancelRequested, relay.OrderInDoubt, relay.OrderSubmitting}, stuck())
	require.Equal(t, []relay.OrderState{relay.OrderInDoubt, relay.OrderSubmitting}, stuck(), "the cancel has its time now")
	due, err := b.CancelsDue(t.Context(), b.depot(), 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	rest, err := b.StuckOrders(t.Context(), "acme", time.Hour, doubtful.Order.ID, 10)
	require.NoError(t, err)
	require.Len(t, rest, 1, "from after")
}

func TestUntoldAndUnconfirmed(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	b.progress(store.Progress{Order: sub.Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z1", item("MUG", 2), item("CAP", 1))}})
	b.want(sub.Order.ID, relay.OrderShipped)
	shop := b.cart("shop").ID
	untold := func() []store.UntoldOrder {
		list, err := b.TellUntold(t.Context(), shop, time.Hour, 0, 10)
		require.NoError(t, err)
		return list
	}
	require.Empty(t, untold(), "it has just shipped")
	b.exec(`update shipments set seen_at = now() - interval '2 hours', push_attempts = 3, push_error = 'refused', next_push_at = now() + interval '6 hours'`)
	require.Empty(t, b.toTell())
	list := untold()
	require.Len(t, list, 1)
	require.Equal(t, store.UntoldOrder{Order: sub.Order.ID, Reference: "SO-1", Parcels: 1, Attempts: 3, Since: list[0].Since, Error: "refused"}, list[0])
	require.Len(t, b.toTell(), 1, "due now")

	confirmed, err := b.ConfirmTold(t.Context(), shop, "job reconcile", 10)
	require.NoError(t, err)
	require.Empty(t, confirmed, "the cart has not all")
	b.exec(`update shipments set state = 'told', told_at = now()`)
	confirmed, err = b.ConfirmTold(t.Context(), shop, "job reconcile", 10)
	require.NoError(t, err)
	require.Equal(t, []store.OrderName{{Order: sub.Order.ID, Reference: "SO-1"}}, confirmed)
	b.want(sub.Order.ID, relay.OrderConfirmed)
}

// Only an order that the cart has whole, and has had for long, must not be open there.
func TestConfirmed(t *testing.T) {
	b := newBench(t)
	whole, short, late := b.atWarehouse(1).Order.ID, b.atWarehouse(2).Order.ID, b.atWarehouse(3).Order.ID
	edited := anOrder(3)
	edited.UpdatedAt = edited.UpdatedAt.Add(time.Hour)
	edited.Lines[0].Quantity += relay.Units(1)
	b.takeIn(edited)
	require.Contains(t, b.kinds(late), store.EventChangedTooLate)
	ask := func(before time.Time) []store.OrderName {
		got, err := b.Confirmed(t.Context(), b.cart("shop").ID, []relay.ExternalID{anOrder(1).ExternalID, anOrder(2).ExternalID, anOrder(3).ExternalID}, before)
		require.NoError(t, err)
		return got
	}
	soon := time.Now().Add(time.Hour)
	require.Empty(t, ask(soon))
	for _, id := range []relay.OrderID{whole, late} {
		b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel(fmt.Sprint("1Z", id), item("MUG", 2), item("CAP", 1))}})
	}
	b.progress(store.Progress{Order: short, Complete: true, Packages: []relay.Package{parcel("2Z", item("MUG", 1))}})
	require.Empty(t, ask(soon), "the cart has not all")
	require.Equal(t, 3, b.tell())
	require.Equal(t, []store.OrderName{{Order: whole, Reference: "SO-1"}}, ask(soon))
	require.Empty(t, ask(time.Now().Add(-time.Hour)), "not for long")
}

func TestUnreadOrders(t *testing.T) {
	b := newBench(t)
	unread := func() int {
		n, _, err := b.UnreadOrders(t.Context(), b.depot(), 24*time.Hour)
		require.NoError(t, err)
		return n
	}
	b.atWarehouse(1)
	require.Zero(t, unread(), "it has just been accepted")
	b.exec(`update orders set accepted_at = now() - interval '2 days'`)
	require.Equal(t, 1, unread(), "nobody ever looked")
	require.NoError(t, b.RecordShipmentsRead(t.Context(), b.depot(), time.Now()))
	require.Zero(t, unread())
	require.NoError(t, b.RecordShipmentsRead(t.Context(), b.depot(), time.Now().Add(-25*time.Hour)))
	require.Equal(t, 1, unread())
}

// What a cart was sent and what it is to be sent never overlap.
func TestLevelsSent(t *testing.T) {
	b := newBench(t)
	shop := b.cart("shop")
	_, err := b.RecordLevels(t.Context(), b.depot(), []relay.InventoryLevel{{Code: "CAP", Site: "A", Quantity: relay.Units(3)}, {Code: "MUG", Site: "A", Quantity: relay.Units(5)}}, "on_hand", time.Now())
	require.NoError(t, err)
	m, err := b.Mappings(t.Context(), b.m.ID)
	require.NoError(t, err)
	sent := func(after relay.SKU) (skus []relay.SKU) {
		page, err := b.CartLevels(t.Context(), store.CartLevelsQuery{Merchant: b.m, Mappings: m.Under(b.m.Merchant), Cart: shop, After: after, Limit: 10, Keep: store.CartLevel.Stands})
		require.NoError(t, err)
		for _, l := range page.Levels {
			skus = append(skus, l.SKU)
		}
		return skus
	}
	require.Empty(t, sent(""))
	levels := b.levels("shop", store.CartLevel.Due)
	require.Len(t, levels, 2)
	b.recordSent("shop", []store.LevelSent{{LevelToSend: levels[0].ToSend()}, {LevelToSend: levels[1].ToSend()}})
	require.Equal(t, []relay.SKU{"CAP", "MUG"}, sent(""))
	require.Equal(t, []relay.SKU{"MUG"}, sent("CAP"))
	b.recordSent("shop", []store.LevelSent{{LevelToSend: levels[0].ToSend(), Error: "no such SKU", Retry: time.Hour}})
	require.Equal(t, []relay.SKU{"MUG"}, sent(""), "the cart has told us why not")
	_, err = b.RecordLevels(t.Context(), b.depot(), []relay.InventoryLevel{{Code: "MUG", Site: "A", Quantity: relay.Units(4)}}, "on_hand", time.Now())
	require.NoError(t, err)
	require.Empty(t, sent(""), "it is to be told anew")
}

func TestTakenInBy(t *testing.T) {
	b := newBench(t)
	run := b.begun()
	b.takeIn(anOrder(1))
	_, err := b.TakeIn(t.Context(), b.cart("shop"), []relay.CartOrder{anOrder(1), anOrder(2)}, store.ReconcileCursor, "", "job reconcile")
	require.NoError(t, err)
	got, err := b.TakenInBy(t.Context(), b.cart("shop").ID, []relay.ExternalID{"ext-1", "ext-2", "ext-3"}, "job reconcile", run.BeganAt)
	require.NoError(t, err)
	require.Equal(t, []store.TakenOrder{{ExternalID: "ext-2", Order: b.id(2), Reference: "SO-2"}}, got)
	got, err = b.TakenInBy(t.Context(), b.cart("shop").ID, []relay.ExternalID{"ext-2"}, "job reconcile", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, got)
	cursor, err := b.Cursor(t.Context(), b.cart("shop").ID, "orders")
	require.NoError(t, err)
	require.Equal(t, "after 1", cursor, "the ordinary pull's stays where it was")
}

func TestOrdersUnderWay(t *testing.T) {
	b := newBench(t)
	b.atWarehouse(1)
	b.takeIn(anOrder(2), anOrder(3))
	shipped := b.atShipped(4)
	list, err := b.OrdersUnderWay(t.Context(), b.cart("shop").ID, 0, 10)
	require.NoError(t, err)
	require.Equal(t, []store.OrderUnderWay{
		{Order: b.id(1), ExternalID: "ext-1", Reference: "SO-1", Sent: true}, {Order: b.id(2), ExternalID: "ext-2", Reference: "SO-2"},
		{Order: b.id(3), ExternalID: "ext-3", Reference: "SO-3"},
	}, list)
	list, err = b.OrdersUnderWay(t.Context(), b.cart("shop").ID, b.id(2), 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.NotEqual(t, shipped, list[0].Order)
}

// atShipped brings an order to where all its parcels left, past others that wait.
func (b *bench) atShipped(n int) relay.OrderID {
	b.t.Helper()
	b.takeIn(anOrder(n))
	id := b.id(n)
	b.exec(`update orders set retry_at = now() + interval '1 hour' where state = 'new' and id <> $1`, id)
	subs := b.claim("me")
	require.Len(b.t, subs, 1)
	b.record(accepted(subs[0]))
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z1", item("MUG", 2), item("CAP", 1))}})
	b.want(id, relay.OrderShipped)
	return id
}
