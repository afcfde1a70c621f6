package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// details are the details of an order's events of a kind, oldest first.
func (b *bench) details(id relay.OrderID, kind store.EventKind) (list []map[string]any) {
	b.t.Helper()
	events, err := b.History(b.t.Context(), id)
	require.NoError(b.t, err)
	for _, e := range events {
		if e.Kind == kind {
			var m map[string]any
			require.NoError(b.t, json.Unmarshal(e.Detail, &m))
			list = append(list, m)
		}
	}
	return list
}

// Each answer is in the trail with its submission, its send, its status and the time it took.
func TestTrailHasEveryAnswer(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1), anOrder(2), anOrder(3), anOrder(4))
	subs := b.claim("me")
	outcomes := []store.Outcome{accepted(subs[0]), refused(subs[1]), unknown(subs[2]), unsent(subs[3])}
	for i := range outcomes {
		outcomes[i].Send, outcomes[i].Took = 1, 1500*time.Millisecond
	}
	outcomes[2].Why, outcomes[3].Why, outcomes[3].Retry = "submit order: unknown outcome", "submit order: unavailable", 90*time.Second
	b.record(outcomes...)

	answered := func(i int, more map[string]any) map[string]any {
		more["submission"], more["send"], more["took_ms"] = float64(subs[i].ID), 1.0, 1500.0
		return more
	}
	require.Equal(t, []map[string]any{answered(0, map[string]any{"status": 201.0, "warehouse_order": string(wid(subs[0]))})},
		b.details(subs[0].Order.ID, store.EventAccepted))
	require.Equal(t, []map[string]any{answered(1, map[string]any{
		"status": 422.0, "code": "NO_STOCK", "headline": "insufficient_inventory (NO_STOCK): MUG (line 1)",
	})}, b.details(subs[1].Order.ID, store.EventRefused))
	require.Equal(t, []map[string]any{{"reason": "insufficient_inventory", "headline": "insufficient_inventory (NO_STOCK): MUG (line 1)"}},
		b.details(subs[1].Order.ID, store.EventHeld))
	require.Equal(t, []map[string]any{answered(2, map[string]any{"status": 500.0, "why": "submit order: unknown outcome"})},
		b.details(subs[2].Order.ID, store.EventUnknown))
	require.Equal(t, []map[string]any{answered(3, map[string]any{"why": "submit order: unavailable", "again_s": 90.0})},
		b.details(subs[3].Order.ID, store.EventUnsent))
}

func TestTrailOfLooks(t *testing.T) {
	b := newBench(t)
	for i, c := range []struct {
		look store.Look
		want map[string]any
	}{
		{store.Look{Again: 2 * time.Minute}, map[string]any{"again_s": 120.0}},
		{store.Look{Hold: unknownOutcome()}, map[string]any{"unsettled": true}},
		{store.Look{Absent: &relay.Hold{Reason: relay.HoldWarehouseUnreachable}}, map[string]any{"absent": true}},
	} {
		sub := b.inDoubt(i)
		c.look.Submission, c.look.Order = sub.ID, sub.Order.ID
		require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{c.look}))
		c.want["submission"] = float64(sub.ID)
		require.Equal(t, []map[string]any{c.want}, b.details(sub.Order.ID, store.EventNotFound))
	}
	failing := b.inDoubt(8)
	for _, failed := range []string{"", "HTTP 503", "HTTP 502", "", "HTTP 503"} {
		b.look(failing, store.Look{Again: time.Minute, Failed: failed})
	}
	kinds := b.kinds(failing.Order.ID)
	require.Equal(t, []store.EventKind{store.EventNotFound, store.EventLookFailed, store.EventNotFound, store.EventLookFailed}, kinds[len(kinds)-4:], "once a row")
	why := map[string]any{"submission": float64(failing.ID), "why": "HTTP 503"}
	require.Equal(t, []map[string]any{why, why}, b.details(failing.Order.ID, store.EventLookFailed))
	sub := b.submitting(9)
	n, err := b.TakeOver(t.Context(), b.depot(), "me", "another")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []map[string]any{{"submission": float64(sub.ID), "why": "whoever sent it is gone"}}, b.details(sub.Order.ID, store.EventUnknown))
}

func TestTrailSaysHowItWasFound(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: "found", Adopted: true, By: "content"})
	require.Equal(t, []map[string]any{{"submission": float64(sub.ID), "warehouse_order": "found", "by": "content"}}, b.details(sub.Order.ID, store.EventAdopted))
}

// What a warehouse wrote stays with the attempt when the hold has ended, and
// never gets into the trail, out of which nothing can be taken.
func TestWordsStayWithTheAttempt(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	no := refused(sub)
	no.Refused.Words, no.Refused.Fields[0].Message = "nothing for 1 Example Street\x00", "not for 1 Example Street"
	b.record(no)
	_, err := b.Release(t.Context(), []relay.OrderID{sub.Order.ID}, "operator clerk", "try")
	require.NoError(t, err)
	again := b.claim("me")[0]
	b.record(accepted(again))

	d, err := b.Order(t.Context(), sub.Order.ID)
	require.NoError(t, err)
	require.Len(t, d.Submissions, 2)
	first, second := d.Submissions[0], d.Submissions[1]
	require.Equal(t, sub.ID, first.ID)
	require.Equal(t, 422, *first.Status)
	require.Equal(t, "NO_STOCK", *first.Code)
	require.Equal(t, "nothing for 1 Example Street", *first.Words)
	require.Equal(t, no.Refused.Fields, first.Fields)
	require.Nil(t, second.Words)
	require.Nil(t, second.Fields)
	require.Empty(t, list[string](b, `select detail::text from order_events where detail::text like '%Example%'`))
}

// A refusal of an order whose cancel was asked for meanwhile is no hold.
func TestRefusedAfterACancelIsNoHold(t *testing.T) {
	for name, outcome := range map[string]func(store.Submission) store.Outcome{
		"refused": refused, "unsent": unsent,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.submitting(1)
			b.exec(`update orders set cancel_requested_at = now(), cancel_requested_by = 'operator clerk', cancel_reason = 'twice'`)
			b.record(outcome(sub))
			b.want(sub.Order.ID, relay.OrderSendingCancelled)
			require.Equal(t, []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventKind(name), store.EventCancelledSending}, b.kinds(sub.Order.ID))
		})
	}
}

func TestTrailOfPackages(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 1), item("PEN", 3)), parcel("2Z")}})
	b.progress(store.Progress{Order: sub.Order.ID, Complete: true})
	require.Equal(t, []map[string]any{
		{"carrier": "USPS", "tracking_number": "1Z", "contents": []any{map[string]any{"line": "1", "units": 1.0}}, "surplus": []any{map[string]any{"code": "PEN", "units": 3.0}}},
		{"carrier": "USPS", "tracking_number": "2Z"},
	}, b.details(sub.Order.ID, store.EventPackage))
	require.Equal(t, []map[string]any{{"contents": []any{map[string]any{"line": "1", "units": 1.0}, map[string]any{"line": "2", "units": 1.0}}}},
		b.details(sub.Order.ID, store.EventAssumed))
	d, err := b.Order(t.Context(), sub.Order.ID)
	require.NoError(t, err)
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}}, d.Shipments[0].Lines)
	require.False(t, d.Shipments[0].Assumed)
	require.Len(t, d.Shipments[1].Lines, 2)
	require.True(t, d.Shipments[1].Assumed)
}
