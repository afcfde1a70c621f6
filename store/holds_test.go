package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// heldForAll puts an order on hold for each reason, the n-th of relay.HoldReasons
// is order n; the one for unknown_outcome has a submission in doubt.
func (b *bench) heldForAll() map[relay.HoldReason]relay.OrderID {
	b.t.Helper()
	out := make(map[relay.HoldReason]relay.OrderID)
	for n, r := range relay.HoldReasons() {
		if r == relay.HoldUnknownOutcome {
			b.look(b.inDoubt(n), store.Look{Hold: unknownOutcome()})
		} else {
			sub := b.submitting(n)
			b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Refused: &relay.Hold{Reason: r}})
		}
		out[r] = b.id(n)
		b.want(out[r], relay.OrderHeld)
	}
	return out
}

func TestWhichOrdersOnHoldAreMeant(t *testing.T) {
	b := newBench(t)
	ids := b.heldForAll()
	hat := b.held(20, sku(1, " HAT ", 1), sku(2, "CAP", 1))
	all := relay.HoldReasons()
	for name, c := range map[string]struct {
		query store.HeldQuery
		want  int64
		first relay.OrderID
	}{
		"all":                  {store.HeldQuery{}, int64(len(all)) + 1, ids[all[0]]},
		"a reason":             {store.HeldQuery{Reason: relay.HoldOperator}, 1, ids[relay.HoldOperator]},
		"a SKU":                {store.HeldQuery{SKU: "HAT"}, 1, hat.Order.ID},
		"a SKU, blanks":        {store.HeldQuery{SKU: " HAT"}, 1, hat.Order.ID},
		"a SKU of all":         {store.HeldQuery{SKU: "CAP"}, int64(len(all)) + 1, ids[all[0]]},
		"no such SKU":          {store.HeldQuery{SKU: "hat"}, 0, 0},
		"a reference":          {store.HeldQuery{References: []relay.Reference{hat.Order.Reference, "NONE"}}, 1, hat.Order.ID},
		"a reason and a SKU":   {store.HeldQuery{Reason: relay.HoldInsufficientInventory, SKU: "MUG"}, 1, ids[relay.HoldInsufficientInventory]},
		"of a merchant unheld": {store.HeldQuery{Merchant: "nobody"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if c.query.Merchant == "" {
				c.query.Merchant = "acme"
			}
			got, err := b.HeldOrders(t.Context(), c.query, 100)
			require.NoError(t, err)
			require.Len(t, got, int(c.want))
			p, err := b.PreviewHeld(t.Context(), c.query, 1)
			require.NoError(t, err)
			require.Equal(t, c.want, p.Orders, "what is told beforehand is what is done")
			if c.want > 0 {
				require.Equal(t, c.first, got[0])
				require.Len(t, p.First, 1)
				require.Equal(t, c.first, p.First[0].ID)
			}
		})
	}
	p, err := b.PreviewHeld(t.Context(), store.HeldQuery{Merchant: "acme"}, 3)
	require.NoError(t, err)
	require.Equal(t, int64(1), p.Unknown)
	require.Len(t, p.First, 3)
}

// Promise 4: those that may be at the warehouse are looked for first, all others
// stop before sending; in one transaction, and each with its trail.
// What was put on hold for another reason since it was read is not let go.
func TestReleaseForAReason(t *testing.T) {
	b := newBench(t)
	held := b.heldForAll()
	item, operator := held[relay.HoldUnknownItem], held[relay.HoldOperator]
	got, err := b.Release(t.Context(), []relay.OrderID{item, operator}, "settings", "mended", relay.HoldUnknownItem, relay.HoldBadOrder)
	require.NoError(t, err)
	require.Equal(t, []relay.OrderID{item}, got)
	b.want(item, relay.OrderNew)
	b.want(operator, relay.OrderHeld)
	got, err = b.Release(t.Context(), []relay.OrderID{operator}, "operator clerk", "released")
	require.NoError(t, err)
	require.Equal(t, []relay.OrderID{operator}, got, "named, whatever the reason")
}

func TestCancelOfHeldOrdersTogether(t *testing.T) {
	b := newBench(t)
	held := b.heldForAll()
	atWarehouse, fresh := b.atWarehouse(30).Order.ID, relay.OrderID(0)
	b.takeIn(anOrder(31))
	fresh = b.id(31)
	ids := []relay.OrderID{atWarehouse, fresh, 999}
	for _, id := range held {
		ids = append(ids, id)
	}
	ask := store.CancelAsk{Actor: "operator clerk", Reason: "discontinued"}
	got, err := b.CancelHeld(t.Context(), ids, ask)
	require.NoError(t, err)
	require.Len(t, got, len(held))
	for _, r := range got {
		require.True(t, r.WasHeld)
		if r.Order == held[relay.HoldUnknownOutcome] {
			require.Equal(t, store.OnceKnown, r.Standing)
			b.want(r.Order, relay.OrderInDoubt)
			continue
		}
		require.Equal(t, store.StoppedBeforeSending, r.Standing)
		b.want(r.Order, relay.OrderSendingCancelled)
		kinds := b.kinds(r.Order)
		require.Equal(t, []store.EventKind{store.EventCancelAsked, store.EventCancelledSending}, kinds[len(kinds)-2:])
		last := b.last(r.Order)
		require.Equal(t, "operator clerk", last.Actor)
		require.Equal(t, "discontinued", field(t, last, "reason"))
	}
	b.want(atWarehouse, relay.OrderAtWarehouse)
	b.want(fresh, relay.OrderNew)
	require.Equal(t, []int64{1}, list[int64](b, `select count(distinct xmin::text) from order_events where kind in ('cancel_asked', 'sending_cancelled')`))

	again, err := b.CancelHeld(t.Context(), ids, ask)
	require.NoError(t, err)
	require.Empty(t, again, "twice is once")
}

// What is looked at again when settings change, with what was refused of it.
func TestHeldForTellsWhatWasRefused(t *testing.T) {
	b := newBench(t)
	reasons := []relay.HoldReason{relay.HoldRejected, relay.HoldUnknownItem}
	read := func() store.Rechecked {
		list, err := b.HeldFor(t.Context(), "acme", reasons, 0, 10)
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0]
	}
	first := b.submitting(1)
	hold := &relay.Hold{Reason: relay.HoldRejected}
	b.record(store.Outcome{Submission: first.ID, Order: first.Order.ID, Refused: hold})
	got := read()
	require.Equal(t, first.Token, got.Token)
	require.Len(t, got.Digest, 32)
	require.Len(t, got.Lines, 2)
	require.Equal(t, anOrder(1).ShipTo, got.ShipTo)

	resend := b.query("nightly")
	resend.Held = []relay.OrderID{first.Order.ID}
	claimed, err := b.Claim(t.Context(), resend, translate)
	require.NoError(t, err)
	second := claimed.Submissions[0]
	b.record(store.Outcome{Submission: second.ID, Order: first.Order.ID, Refused: hold})
	require.Equal(t, second.Token, read().Token, "the last one")

	_, err = b.Claim(t.Context(), resend, func(relay.Order, relay.Token) (store.Claim, error) {
		return store.Claim{Hold: &relay.Hold{Reason: relay.HoldUnknownItem}}, nil
	})
	require.NoError(t, err)
	require.Empty(t, read().Token, "our own check put it on hold this time")
	require.Nil(t, read().Digest)
}

// The time that is told is the time at which it happens, whoever asks and whenever.
func TestNextResend(t *testing.T) {
	clock := relay.ResendClock{Hour: 1, Zone: "America/Los_Angeles"}
	heldAt := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	night, err := clock.Next(heldAt, relay.Stagger("key"))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		reason relay.HoldReason
		before time.Duration // on hold before
		after  time.Duration // since the hold began
		want   time.Time
	}{
		"stock":                    {relay.HoldInsufficientInventory, 0, time.Minute, night},
		"the night itself":         {relay.HoldRejected, 0, night.Sub(heldAt), night.Add(24 * time.Hour)},
		"a person's":               {relay.HoldOperator, 0, time.Minute, time.Time{}},
		"unknown":                  {relay.HoldUnknownOutcome, 0, time.Minute, time.Time{}},
		"unreachable":              {relay.HoldWarehouseUnreachable, 0, 0, heldAt.Add(30 * time.Minute)},
		"asked a little later":     {relay.HoldWarehouseUnreachable, 0, 29 * time.Minute, heldAt.Add(30 * time.Minute)},
		"unreachable again":        {relay.HoldWarehouseUnreachable, time.Hour, 0, heldAt.Add(time.Hour)},
		"for long":                 {relay.HoldWarehouseUnreachable, 48 * time.Hour, 0, heldAt.Add(4 * time.Hour)},
		"its turn passed by":       {relay.HoldWarehouseUnreachable, 0, 30 * time.Minute, heldAt.Add(time.Hour)},
		"its turns passed by":      {relay.HoldWarehouseUnreachable, time.Hour, 5*time.Hour + time.Minute, heldAt.Add(6 * time.Hour)},
		"the night comes sooner":   {relay.HoldWarehouseUnreachable, 4 * time.Hour, night.Sub(heldAt) - time.Minute, night},
		"a clock that runs behind": {relay.HoldWarehouseUnreachable, 0, -time.Hour, heldAt.Add(30 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			h := store.HoldSummary{Reason: c.reason, HeldAt: heldAt, Since: heldAt.Add(-c.before)}
			now := heldAt.Add(c.after)
			got, err := h.NextResend(clock, "key", now)
			require.NoError(t, err)
			want := c.want
			if c.reason == relay.HoldRejected {
				want, err = clock.Next(now, relay.Stagger("key"))
				require.NoError(t, err)
			}
			require.True(t, got.Equal(want), "%s, want %s", got, want)
			require.True(t, got.IsZero() || got.After(now))
		})
	}
	_, err = store.HoldSummary{Reason: relay.HoldRejected}.NextResend(relay.ResendClock{Hour: 99}, "key", heldAt)
	require.Error(t, err)
}

func TestViewHold(t *testing.T) {
	b := newBench(t)
	sub := b.held(1, sku(1, "MUG", 1))
	v, err := b.ViewHold(t.Context(), sub.Order.ID)
	require.NoError(t, err)
	require.Equal(t, relay.OrderHeld, v.State)
	require.Equal(t, "none left", v.Hold.Words)
	require.Equal(t, anOrder(1).ShipTo, v.ShipTo)
	require.Equal(t, b.m.Resend, v.Resend)
	require.WithinDuration(t, time.Now(), v.Hold.HeldAt, time.Minute)
	none, err := b.HoldsToStart(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Empty(t, none, "its workflow is at work")
	_, err = b.ViewHold(t.Context(), 999)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// Those that ended are left out, and a merchant with none under way has zeros.
func TestCountsUnderWay(t *testing.T) {
	b := newBench(t)
	storetest.Save(t, b.Store, storetest.Merchant("birch"))
	b.record(refused(b.submitting(1)))
	b.takeIn(anOrder(2), anOrder(3))
	b.cancel(b.id(3))
	got, err := b.CountsUnderWay(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.MerchantCounts{
		{Merchant: "acme", Counts: store.Counts{
			States: map[relay.OrderState]int64{relay.OrderNew: 1, relay.OrderHeld: 1},
			Holds:  map[relay.HoldReason]int64{relay.HoldInsufficientInventory: 1}, Unfinished: 1}},
		{Merchant: "birch", Counts: store.Counts{States: map[relay.OrderState]int64{relay.OrderNew: 0}, Holds: map[relay.HoldReason]int64{}}},
	}, got)
}
