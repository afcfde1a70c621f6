package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// ReopenStanding is where an order stands after somebody wanted it sent anew.
type ReopenStanding string

// The standings.
const (
	Reopened          ReopenStanding = "reopened"
	AlreadyReopened   ReopenStanding = "already_reopened" // some time ago, and on its way again
	NotCancelled      ReopenStanding = "not_cancelled"
	CancelUnconfirmed ReopenStanding = "cancel_unconfirmed" // the warehouse has not said yes to the cancel
	CancelledAtCart   ReopenStanding = "cancelled_at_cart"  // as far as we know
	TellingCart       ReopenStanding = "telling_cart"       // the cart may have been told of the cancel
	CartTakenAway     ReopenStanding = "cart_taken_away"    // the merchant's file does not name the cart any more
	CancelledSince    ReopenStanding = "cancelled_since"    // after this was asked for, or carried out once
)

// ReopenAsk says who wants an order sent anew, and why.
type ReopenAsk struct {
	Actor  string // "operator clerk"
	Reason string
	Asked  time.Time // as CancelAsk's
}

// ReopenRequest is the ledger's answer.
type ReopenRequest struct {
	Standing         ReopenStanding
	State            relay.OrderState
	WarehouseOrderID relay.WarehouseOrderID // of the order that was cancelled
	Cart             relay.ConnectionName
}

// ReopenOrder makes a cancelled order new, to be submitted as a new attempt with
// a new token and the content that its cart told last. Promise 1: only a person
// asks for it, and only when the warehouse has confirmed the cancel, for the
// cancelled warehouse order is not watched any more; once for each time they ask.
// Promise 4: a cancel that was asked for later stands. Harmless twice.
func (s *Store) ReopenOrder(ctx context.Context, order relay.OrderID, ask ReopenAsk) (ReopenRequest, error) {
	var r ReopenRequest
	err := s.begin(ctx, func(tx pgx.Tx) error {
		var merchant relay.MerchantID
		if err := tx.QueryRow(ctx, `select merchant_id from orders where id = $1`, order).Scan(&merchant); err != nil {
			return notFound(err)
		}
		if err := keepSettings(ctx, tx, merchant); err != nil { // a cart with an order under way is not taken away
			return err
		}
		var cancelled, told, pending, away bool
		err := tx.QueryRow(ctx, `
			select o.state, coalesce(o.warehouse_order_id, ''), c.name, o.cart_cancelled_at is not null,
				o.cart_cancel_sent_at is not null, o.cancel_requested_at is not null, c.removed_at is not null
			from orders o join connections c on c.id = o.cart_id where o.id = $1 for update of o`, order).
			Scan(&r.State, &r.WarehouseOrderID, &r.Cart, &cancelled, &told, &pending, &away)
		if err != nil {
			return err
		}
		last, err := lastWishes(ctx, tx, []relay.OrderID{order})
		if err != nil {
			return err
		}
		switch {
		case r.State.MayReopen() && away:
			r.Standing = CartTakenAway
		case r.State.MayReopen() && cancelled:
			r.Standing = CancelledAtCart
		case r.State.MayReopen() && told:
			r.Standing = TellingCart
		case r.State.MayReopen() && overtaken(ask.Asked, last[order].cancel):
			r.Standing = CancelledSince
		case r.State.MayReopen() && !ask.Asked.IsZero() && !stored(ask.Asked).After(last[order].reopen):
			r.Standing = CancelledSince // it was reopened for this already, or for a later one
		case r.State.MayReopen():
			r.Standing = Reopened
			return reopen(ctx, tx, order, r, ask)
		case r.State == relay.OrderCancelRequested, pending && (r.State == relay.OrderSubmitting || r.State == relay.OrderInDoubt || r.State == relay.OrderHeld):
			r.Standing = CancelUnconfirmed
		default:
			return tx.QueryRow(ctx, `
				select case when exists (select from order_events where order_id = $1 and kind = 'reopened') then 'already_reopened' else 'not_cancelled' end`,
				order).Scan(&r.Standing)
		}
		return nil
	})
	if err != nil {
		return ReopenRequest{}, fmt.Errorf("reopen order: %w", err)
	}
	return r, nil
}

// reopen begins a new life: nothing of the cancelled one is left but the trail,
// the submissions and how the order was first seen. An edit that came too late for
// that one is in time for this.
func reopen(ctx context.Context, tx pgx.Tx, order relay.OrderID, r ReopenRequest, ask ReopenAsk) error {
	// A worker of the release before noted the warehouse order with the order only.
	_, err := tx.Exec(ctx, `
		update submissions s set warehouse_order_id = o.warehouse_order_id from orders o
		where o.id = $1 and s.order_id = o.id and s.state = 'withdrawn' and s.warehouse_order_id is null and s.warehouse_id = o.warehouse_id`, order)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		update orders set state = 'new', warehouse_id = null, warehouse_order_id = null, warehouse_status = null, accepted_at = null, answer_due = null, ship_complete = false,
			cancel_requested_at = null, cancel_requested_by = null, cancel_reason = null, cancel_next_at = null,
			cart_cancel_at = null, cart_cancel_attempts = 0, cart_cancel_sent_at = null, cart_cancel_error = null,
			first_held_at = null, hold_attempts = 0, next_look_at = null, looks = 0, retry_at = null, send_failures = 0, updated_at = now()
		where id = $1 and state = $2`, order, r.State)
	if err != nil {
		return err
	}
	detail := askedAt(ask.Asked, map[string]any{"was": r.State, "reason": ask.Reason})
	if r.WarehouseOrderID != "" {
		detail["cancelled_warehouse_order"] = r.WarehouseOrderID
	}
	events := []newEvent{{order, EventReopened, detail}}
	edits, err := lateEdits(ctx, tx, `select id, late_edit from orders where id = $1 and late_edit is not null`, order)
	if err != nil {
		return err
	}
	for _, l := range edits {
		e, err := takeOver(ctx, tx, l.CartOrder, l.id, false)
		if err != nil {
			return err
		}
		events = append(events, e...)
	}
	return insertEvents(ctx, tx, ask.Actor, events)
}
