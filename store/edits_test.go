package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// edited is the first order as its buyer has it some minutes later.
func edited(minutes int, street string) relay.CartOrder {
	o := anOrder(1)
	o.UpdatedAt = placed.Add(time.Duration(minutes) * time.Minute)
	if street != "" {
		o.ShipTo.Street1 = street
	}
	return o
}

func (b *bench) street(id relay.OrderID) string {
	d, err := b.Order(b.t.Context(), id)
	require.NoError(b.t, err)
	return d.ShipTo.Street1
}

// lateEdits counts the edits that are kept beside what was submitted.
func (b *bench) lateEdits() int {
	return list[int](b, `select count(*)::int from orders where late_edit is not null`)[0]
}

func changes(t testing.TB, e store.Event) []string {
	t.Helper()
	var d struct {
		Changes []relay.Difference `json:"changes"`
	}
	require.NoError(t, json.Unmarshal(e.Detail, &d))
	var out []string
	for _, c := range d.Changes {
		out = append(out, c.String())
	}
	return out
}

// The alarm names the difference, once, and quotes no address.
func TestChangedTooLate(t *testing.T) {
	for _, state := range []relay.OrderState{
		relay.OrderAtWarehouse, relay.OrderCancelRequested, relay.OrderShipped, relay.OrderConfirmed, relay.OrderSubmitting, relay.OrderInDoubt,
	} {
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			id := in[state](b)
			changed := edited(60, "2 Example Street")
			changed.ShipMethod, changed.Lines[0].Quantity = "Express", relay.Units(3)
			changed.Lines = append(changed.Lines, relay.Line{ID: "3", SKU: "PEN", Quantity: relay.Units(1)})
			require.Equal(t, store.TakenIn{TooLate: 1}, b.takeIn(changed))
			require.Equal(t, store.TakenIn{}, b.takeIn(changed), "an alarm once")
			changed.UpdatedAt = changed.UpdatedAt.Add(time.Minute) // as our own tracking moves it
			require.Equal(t, store.TakenIn{}, b.takeIn(changed))
			require.Equal(t, "1 Example Street", b.street(id), "what was sent")
			e := b.last(id)
			require.Equal(t, store.EventChangedTooLate, e.Kind)
			require.Equal(t, "2026-03-04T06:06:07Z", field(t, e, "version"))
			require.Equal(t, []string{"ship_method: (none) -> Express", "lines[MUG].quantity: 2 -> 3", "lines[PEN] added: 1", "ship_to.street1 changed"}, changes(t, e))
			require.NotContains(t, string(e.Detail), "Example")
			b.want(id, state)

			changed.Lines = changed.Lines[1:]
			changed.UpdatedAt = changed.UpdatedAt.Add(time.Minute)
			require.Equal(t, store.TakenIn{TooLate: 1}, b.takeIn(changed), "another change is another alarm")
			require.Equal(t, []string{"ship_method: (none) -> Express", "lines[PEN] added: 1", "lines[MUG] removed: 2", "ship_to.street1 changed"}, changes(t, b.last(id)),
				"always against what was submitted")

			back := edited(90, "")
			require.Equal(t, store.TakenIn{}, b.takeIn(back))
			require.Equal(t, store.EventChangedBack, b.last(id).Kind)
			kinds := b.kinds(id)
			back.UpdatedAt = back.UpdatedAt.Add(time.Minute)
			require.Equal(t, store.TakenIn{}, b.takeIn(back))
			require.Equal(t, kinds, b.kinds(id))
		})
	}
}

func TestManyChangesAreCounted(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	changed := edited(1, "")
	for n := range 60 {
		changed.Lines = append(changed.Lines, relay.Line{ID: relay.LineID(fmt.Sprint("x", n)), SKU: relay.SKU(fmt.Sprint("SKU-", n)), Quantity: relay.Units(1)})
	}
	b.takeIn(changed)
	require.Len(t, changes(t, b.last(id)), 50)
	require.InDelta(t, 60, field(t, b.last(id), "changes_in_all"), 0)
}

// A change that came while nobody knew whether the warehouse has the order is
// not lost when it does not: whatever the cart's cursor has passed since.
func TestAnEditWhileTheOutcomeIsUnknown(t *testing.T) {
	look := func(l store.Look) func(b *bench, sub store.Submission) {
		return func(b *bench, sub store.Submission) {
			b.record(unknown(sub))
			l.Submission, l.Order = sub.ID, sub.Order.ID
			require.NoError(b.t, b.RecordLooks(b.t.Context(), "test", []store.Look{l}))
		}
	}
	outcome := func(of func(store.Submission) store.Outcome) func(b *bench, sub store.Submission) {
		return func(b *bench, sub store.Submission) { b.record(of(sub)) }
	}
	for name, c := range map[string]struct {
		then func(b *bench, sub store.Submission)
		held bool
	}{
		"unsent":  {outcome(unsent), false},
		"refused": {outcome(refused), true},
		"absent":  {look(store.Look{Absent: &relay.Hold{Reason: relay.HoldWarehouseUnreachable}}), true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.submitting(1)
			require.Equal(t, store.TakenIn{TooLate: 1}, b.takeIn(edited(60, "2 Example Street")))
			c.then(b, sub)
			if c.held {
				b.want(sub.Order.ID, relay.OrderHeld)
				require.Equal(t, store.TakenIn{Changed: 1, Woken: []relay.OrderID{sub.Order.ID}}, b.takeIn(), "the next poll, though it reads nothing")
			}
			b.want(sub.Order.ID, relay.OrderNew)
			again := b.claim("me")
			require.Len(t, again, 1)
			require.Equal(t, "2 Example Street", again[0].Order.ShipTo.Street1)
			require.Equal(t, "2 Example Street", b.street(sub.Order.ID))
			require.NotEqual(t, sub.Token, again[0].Token)
			require.Contains(t, b.kinds(sub.Order.ID), store.EventChangedAtCart)
			require.Equal(t, store.TakenIn{}, b.takeIn(edited(60, "2 Example Street")))
		})
	}
	t.Run("resent at night, before the next poll", func(t *testing.T) {
		b := newBench(t)
		sub := b.submitting(1)
		b.takeIn(edited(60, "2 Example Street"))
		b.record(refused(sub))
		q := b.query("nightly")
		q.Held = []relay.OrderID{sub.Order.ID}
		got, err := b.Claim(t.Context(), q, translate)
		require.NoError(t, err)
		require.Equal(t, "2 Example Street", got.Submissions[0].Order.ShipTo.Street1)
	})
	t.Run("an operator's hold stays", func(t *testing.T) {
		b := newBench(t)
		sub := b.submitting(1)
		b.takeIn(edited(60, "2 Example Street"))
		b.record(unsent(sub))
		_, err := b.HoldOrder(t.Context(), sub.Order.ID, relay.Hold{Reason: relay.HoldOperator}, "operator clerk")
		require.NoError(t, err)
		require.Equal(t, store.TakenIn{}, b.takeIn())
		b.want(sub.Order.ID, relay.OrderHeld)
	})
	t.Run("the warehouse has it", func(t *testing.T) {
		b := newBench(t)
		sub := b.submitting(1)
		b.takeIn(edited(60, "2 Example Street"))
		b.record(accepted(sub))
		require.Equal(t, store.TakenIn{}, b.takeIn(edited(60, "2 Example Street")), "said already")
		require.Equal(t, "1 Example Street", b.street(sub.Order.ID))
		require.Equal(t, 1, b.lateEdits(), "it may be cancelled there yet, and reopened")
		b.progress(shippedAll(sub))
		require.Zero(t, b.lateEdits(), "nothing personal is kept for nothing")
		require.Equal(t, store.TakenIn{TooLate: 1}, b.takeIn(edited(120, "3 Example Street")))
		require.Zero(t, b.lateEdits())
	})
	t.Run("and edited back", func(t *testing.T) {
		b := newBench(t)
		sub := b.submitting(1)
		b.takeIn(edited(60, "2 Example Street"))
		require.Equal(t, store.TakenIn{}, b.takeIn(edited(61, "")))
		require.Equal(t, store.EventChangedBack, b.last(sub.Order.ID).Kind)
		require.Zero(t, b.lateEdits())
		b.record(unsent(sub))
		require.Equal(t, "1 Example Street", b.claim("me")[0].Order.ShipTo.Street1)
	})
}

// A cancelled order that is ready again at its cart is for a person to decide.
func TestBackAtTheCart(t *testing.T) {
	for name, cancel := range map[string]func(b *bench){
		"after a person's cancel": func(b *bench) { b.cancel(b.id(1)) },
		"after the cart's": func(b *bench) {
			_, err := b.RequestCancel(b.t.Context(), b.id(1), store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true})
			require.NoError(b.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.takeIn(anOrder(1))
			cancel(b)
			back := edited(60, "2 Example Street")
			require.Equal(t, store.TakenIn{Back: 1}, b.takeIn(back))
			require.Equal(t, store.TakenIn{}, b.takeIn(back))
			b.want(b.id(1), relay.OrderSendingCancelled)
			require.Equal(t, store.EventBackAtCart, b.last(b.id(1)).Kind)
			require.Equal(t, []string{"ship_to.street1 changed"}, changes(t, b.last(b.id(1))))
			require.Equal(t, "2 Example Street", b.street(b.id(1)), "what a reopening would send")
			require.Empty(t, b.claim("me"), "never a silent resend")
			require.Equal(t, []relay.OrderID{b.id(1)}, b.notVoid(back.ExternalID), "a new void would be heard")
		})
	}
	t.Run("while its cancel is being decided", func(t *testing.T) {
		b := newBench(t)
		id := b.atWarehouse(1).Order.ID
		_, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true})
		require.NoError(t, err)
		require.Equal(t, store.TakenIn{Back: 1, TooLate: 1}, b.takeIn(edited(60, "2 Example Street")))
		require.Equal(t, []store.EventKind{store.EventBackAtCart, store.EventChangedTooLate}, b.kinds(id)[len(b.kinds(id))-2:])
		b.want(id, relay.OrderCancelRequested)
	})
	t.Run("before its cart is told", func(t *testing.T) {
		b := newBench(t)
		b.takeIn(anOrder(1))
		b.cancelAndTell(b.id(1))
		require.Equal(t, store.TakenIn{Changed: 1}, b.takeIn(edited(60, "2 Example Street")), "it is ready still, not again")
		b.want(b.id(1), relay.OrderSendingCancelled)
		require.Equal(t, store.EventChangedAtCart, b.last(b.id(1)).Kind)
	})
}

// An order that the warehouse may have under another token waits for a person: an
// edit at the cart does not send it.
func TestAnEditLeavesASuspectOnHold(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	stranger := []store.Stranger{{ID: "W-lost", Number: "SO-1", CreatedAt: placed}}
	_, err := b.HoldSuspects(t.Context(), b.cart("shop"), b.begun().ID, "job reconcile", stranger, func(store.Stranger) relay.Hold { return *unknownOutcome() })
	require.NoError(t, err)
	b.want(b.id(1), relay.OrderHeld)
	require.Equal(t, store.TakenIn{Changed: 1}, b.takeIn(edited(60, "2 Example Street")))
	b.want(b.id(1), relay.OrderHeld)
	require.Equal(t, "2 Example Street", b.street(b.id(1)), "for when it is let go")
	require.Empty(t, b.claim("me"))
}

// What no listing told of is seen when the cart is told of the parcel, and said once.
func TestAnEditSeenWhenItShips(t *testing.T) {
	see := func(b *bench, o relay.CartOrder) int {
		n, err := b.SeeShipped(t.Context(), b.cart("shop").ID, []relay.CartOrder{o}, "job push_shipments")
		require.NoError(t, err)
		return n
	}
	for _, state := range []relay.OrderState{relay.OrderAtWarehouse, relay.OrderCancelRequested, relay.OrderShipped, relay.OrderConfirmed} {
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			id := in[state](b)
			kinds := b.kinds(id)
			same := edited(60, "") // as our own tracking moves it
			require.Zero(t, see(b, same))
			require.Equal(t, kinds, b.kinds(id))
			same.Lines[0].Name = "a new title in the catalogue"
			require.Zero(t, see(b, same))
			require.Equal(t, kinds, b.kinds(id))

			changed := edited(61, "2 Example Street")
			changed.Lines[0].Name = "a new title in the catalogue"
			require.Equal(t, 1, see(b, changed))
			require.Zero(t, see(b, changed), "an alarm once")
			changed.UpdatedAt = changed.UpdatedAt.Add(time.Minute)
			require.Equal(t, store.TakenIn{}, b.takeIn(changed), "nor by the listing")
			require.Equal(t, []string{"lines[MUG].name changed", "ship_to.street1 changed"}, changes(t, b.last(id)))
			require.Equal(t, "1 Example Street", b.street(id), "what was sent")

			changed.Lines[0].SKU = "CUP" // another article, with its own name
			require.Equal(t, 1, see(b, changed))
			require.Equal(t, []string{"lines[MUG].sku: MUG -> CUP", "lines[MUG].name changed", "ship_to.street1 changed"}, changes(t, b.last(id)))
			b.want(id, state)
		})
	}
	t.Run("void and restored", func(t *testing.T) {
		b := newBench(t)
		id := in[relay.OrderAtWarehouse](b)
		_, err := b.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "cart shop", Reason: "the cart says void", AtCart: true})
		require.NoError(t, err)
		b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}, Complete: true})
		require.Equal(t, 1, see(b, edited(60, "2 Example Street")))
		require.Equal(t, []store.EventKind{store.EventBackAtCart, store.EventChangedTooLate}, b.kinds(id)[len(b.kinds(id))-2:])
		b.tell()
		b.want(id, relay.OrderConfirmed)
	})
	for _, state := range []relay.OrderState{relay.OrderNew, relay.OrderHeld, relay.OrderCancelled, relay.OrderSendingCancelled} {
		t.Run(string(state), func(t *testing.T) {
			b := newBench(t)
			id := in[state](b)
			kinds := b.kinds(id)
			require.Zero(t, see(b, edited(60, "2 Example Street")), "the cart's listing will tell")
			require.Equal(t, kinds, b.kinds(id))
			require.Equal(t, "1 Example Street", b.street(id))
		})
	}
	t.Run("not ours", func(t *testing.T) {
		b := newBench(t)
		require.Zero(t, see(b, anOrder(1)))
		require.Empty(t, list[int](b, `select 1 from orders`))
	})
}
