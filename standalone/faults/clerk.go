package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
	"orderferry/store"
	"orderferry/workflows"
)

// What a clerk does to single orders, as ferry does it.

// clerk is how trails name who does it.
var clerk = workflows.ByOperator("clerk")

// find looks an order up; it reports false while the ledger does not have it, or
// is away.
func (h *harness) find(ctx context.Context, s sale) (store.OrderSummary, bool) {
	key := h.key(s)
	found, err := h.ledger.FindOrders(ctx, merchantID(s.merchant), key.Number)
	found = slices.DeleteFunc(found, func(o store.OrderSummary) bool { return o.Cart != key.Cart || o.Number != key.Number })
	if err != nil || len(found) != 1 {
		return store.OrderSummary{}, false
	}
	return found[0], true
}

// await looks an order up every second until it is as it is waited for. It
// reports false when ctx ended.
func (h *harness) await(ctx context.Context, s sale, done func(store.OrderSummary) bool) bool {
	for {
		if o, ok := h.find(ctx, s); ok && done(o) {
			return true
		}
		if !rest(ctx, time.Second) {
			return false
		}
	}
}

// cancel asks for a cancel as an operator does, until there is an answer.
func (h *harness) cancel(ctx context.Context, s sale) (answered bool) {
	return h.await(ctx, s, func(o store.OrderSummary) bool {
		var out struct {
			Result string `json:"result"`
		}
		r := workflows.CancelRequest{Reference: o.Reference, Reason: "changed their mind", Actor: "clerk"}
		h.wish(s, audit.Wish{Cancel: true})
		if h.ask(ctx, workflows.MerchantID(o.Merchant), workflows.CancelOrder, r, &out) != nil {
			return false
		}
		h.count(cancelsAnswered + out.Result)
		h.mu.Lock()
		defer h.mu.Unlock()
		key := h.key(s)
		h.answers[key] = append(h.answers[key], out.Result)
		return true
	})
}

// byClerk reports whether an order is on hold because the clerk wants it.
func byClerk(o store.OrderSummary) bool {
	return o.State == relay.OrderHeld && o.Hold != nil && o.Hold.Reason == relay.HoldOperator
}

// hold puts an order on hold, sees after a while that it did not leave, and lets
// it go or cancels it.
func (h *harness) hold(ctx context.Context, s sale) {
	how := aim{Fresh: true}
	if s.hasty { // it dies before it can tell the workflows
		how = aim{Point: "after commit Store.HoldOrder", N: 1}
	}
	held := false
	h.await(ctx, s, func(o store.OrderSummary) bool {
		if held = byClerk(o); held { // by a ferry that died
			return true
		}
		said, _ := h.crew.errand(ctx, &holding{o.Merchant, o.ID, clerk, relay.Hold{
			Reason: relay.HoldOperator, Fields: []relay.Problem{{Field: "reason", Value: "asked the buyer", Message: "so says " + clerk}},
		}}, how)
		how = aim{} // the next one lives
		held = said == itIsHeld
		return said != ""
	})
	if !held {
		return
	}
	h.count(ordersHeld)
	if !rest(ctx, s.after) {
		return
	}
	h.stays(ctx, s)
	h.await(ctx, s, func(o store.OrderSummary) bool {
		if !byClerk(o) {
			return true
		}
		h.unhold(ctx, s, o)
		return false
	})
}

// unhold ends a hold, by the hold's own workflow or else by the merchant's.
func (h *harness) unhold(ctx context.Context, s sale, o store.OrderSummary) {
	one := workflows.ReleaseRequest{References: []relay.Reference{o.Reference}, Actor: "clerk"}
	own, request := workflows.Release, workflows.HoldRequest{Actor: "clerk"}
	all, many := workflows.ReleaseOrders, any(one)
	if s.then == holdAndCancel {
		h.wish(s, audit.Wish{Cancel: true})
		own, request.Reason = workflows.Cancel, "no answer"
		all, many = workflows.CancelHeld, workflows.CancelHeldRequest{ReleaseRequest: one, Why: "no answer"}
	}
	if s.hasty || h.ask(ctx, workflows.HoldID(o.Merchant, o.Reference), own, request, nil) != nil {
		_ = h.ask(ctx, workflows.MerchantID(o.Merchant), all, many, nil)
	}
}

// stays notes if the warehouse has an order while the clerk has it on hold.
func (h *harness) stays(ctx context.Context, s sale) {
	i := s.merchant
	ours := func() (audit.Order, bool) {
		ledger, err := audit.Ledger(ctx, h.database, merchantID(i))
		at := slices.IndexFunc(ledger, func(o audit.Order) bool { return audit.Key{Cart: o.Cart, Number: o.Number} == h.key(s).Key })
		if err != nil || at < 0 {
			return audit.Order{}, false
		}
		return ledger[at], ledger[at].State == relay.OrderHeld && ledger[at].Hold == relay.HoldOperator
	}
	before, held := ours()
	there, _ := h.shops.Merchants[i].Warehouse.Book()
	if _, still := ours(); !held || !still { // somebody let it go meanwhile
		return
	}
	for _, w := range before.At(there) {
		h.wrong(audit.Finding{Wrong: audit.WronglyShipped, Merchant: merchantID(i), Subject: string(before.Reference),
			Words: fmt.Sprintf("a person had put it on hold, and the warehouse had it as %s", w.ID)})
	}
}

// reopen asks for an order to be sent anew. An answer counts, also a no.
func (h *harness) reopen(ctx context.Context, s sale, o store.OrderSummary) (reopened, answered bool) {
	var out struct {
		Reopened bool `json:"reopened"`
	}
	r := workflows.ReopenRequest{Reference: o.Reference, Reason: "they want it after all", Actor: "clerk"}
	h.wish(s, audit.Wish{Reopen: true})
	if h.ask(ctx, workflows.MerchantID(o.Merchant), workflows.ReopenOrder, r, &out) != nil {
		return false, false
	}
	if out.Reopened {
		h.count(ordersReopened)
		h.mu.Lock()
		defer h.mu.Unlock()
		key := h.key(s)
		h.reopened[key] = true
		// They were about the order's life before.
		delete(h.answers, key)
		h.wishes[key] = audit.Wish{Reopen: true}
	}
	return out.Reopened, true
}

// regret cancels an order, and wants it sent after all, at once: before its cart is
// told of the cancel, or too late for that.
func (h *harness) regret(ctx context.Context, s sale) {
	if !h.cancel(ctx, s) {
		return
	}
	h.await(ctx, s, func(o store.OrderSummary) bool {
		_, answered := h.reopen(ctx, s, o)
		return answered
	})
}

// restorer is a cart that brings void orders back.
type restorer interface{ Restore(number string) error }

// revive voids an order at its cart and brings it back there once the ledger knows
// it as cancelled; then a person has it sent anew.
func (h *harness) revive(ctx context.Context, s sale, cart shop.Cart, o shop.Order) {
	back, ok := cart.(restorer)
	h.wish(s, audit.Wish{Cancel: true})
	if !h.atCart(ctx, ordersVoided, func() error { return cart.Void(o.Number) }) || !ok {
		return
	}
	left := func(o store.OrderSummary) bool {
		return o.State == relay.OrderShipped || o.State == relay.OrderConfirmed
	}
	ended := func(o store.OrderSummary) bool {
		return o.State == relay.OrderCancelled || o.State == relay.OrderSendingCancelled
	}
	if _, known := h.find(ctx, s); known {
		late := false
		if !h.await(ctx, s, func(o store.OrderSummary) bool { late = left(o); return late || ended(o) }) || late {
			return
		}
	}
	if !h.atCart(ctx, ordersRestored, func() error { return back.Restore(o.Number) }) {
		return
	}
	h.await(ctx, s, func(o store.OrderSummary) bool {
		if !ended(o) {
			return left(o) // the cancel was never heard of
		}
		reopened, _ := h.reopen(ctx, s, o) // no, until the cart is heard to have it again
		return reopened
	})
}
