package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// CancelStanding is where an order stands after a cancel was asked for.
type CancelStanding string

// The standings.
const (
	StoppedBeforeSending CancelStanding = "stopped_before_sending"
	AskWarehouse         CancelStanding = "ask_warehouse" // it is there and not shipped, as far as we know
	OnceKnown            CancelStanding = "once_known"    // being sent: cancelled as soon as its outcome is known
	TooLate              CancelStanding = "too_late"      // shipped
	AlreadyCancelled     CancelStanding = "already_cancelled"
	ReopenedSince        CancelStanding = "reopened_since" // a person wanted it sent after this was asked for
)

// CancelAsk says who wants orders cancelled, and why.
type CancelAsk struct {
	Actor  string // "operator clerk", "cart shop"
	Reason string
	// Asked is when it was asked for, if that may be long ago: a step is tried again
	// where its worker died. It is held against when other things were asked for, by
	// the clock of those who ask: the database's may be another. Zero: now.
	Asked time.Time
	// AtCart says that the orders were cancelled at their cart: it need not be
	// told, and is not heard again.
	AtCart bool
	// Tell names the carts that take cancels: they are told once the order has
	// ended as cancelled.
	Tell []ConnectionID
}

// CancelRequest is the ledger's answer to a cancel.
type CancelRequest struct {
	Order            relay.OrderID
	Reference        relay.Reference
	Standing         CancelStanding
	WarehouseOrderID relay.WarehouseOrderID
	Since            time.Time // at the warehouse since
	Evidence         string    // with TooLate: carrier and tracking number
	WasHeld          bool
	Cart             relay.ConnectionName
	// Tell says that the cart is told once the order has ended as cancelled.
	Tell bool
}

// RequestCancel decides what a cancel of one order can still do, as RequestCancels does.
func (s *Store) RequestCancel(ctx context.Context, order relay.OrderID, ask CancelAsk) (CancelRequest, error) {
	list, err := s.RequestCancels(ctx, []relay.OrderID{order}, ask)
	if err != nil {
		return CancelRequest{}, err
	}
	if len(list) == 0 {
		return CancelRequest{}, fmt.Errorf("cancel order: %w", ErrNotFound)
	}
	return list[0], nil
}

// RequestCancels decides, under the orders' row locks, what a cancel can still
// do for each, and moves them accordingly. Harmless twice. The answers are in
// the order of the orders' ids; orders that the ledger does not hold have none.
func (s *Store) RequestCancels(ctx context.Context, orders []relay.OrderID, ask CancelAsk) ([]CancelRequest, error) {
	var out []CancelRequest
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = nil
		list, err := lockCancelling(ctx, tx, orders)
		if err != nil || len(list) == 0 {
			return err
		}
		var w cancelWriter
		for _, o := range list {
			out = append(out, w.decide(o, ask))
		}
		return w.write(ctx, tx, ask, out)
	})
	if err != nil {
		return nil, fmt.Errorf("cancel orders: %w", err)
	}
	return out, nil
}

// cancelling is an order that somebody wants cancelled.
type cancelling struct {
	CancelRequest
	state     relay.OrderState
	reason    relay.HoldReason // of a hold
	cart      ConnectionID
	asked     bool // before
	live      bool // a submission is under way or accepted
	cancelled bool // at the cart, as far as we know
	telling   bool // the cart is to be told
	wishes
}

func lockCancelling(ctx context.Context, tx pgx.Tx, orders []relay.OrderID) ([]*cancelling, error) {
	rows, err := tx.Query(ctx, `
		select o.id, o.reference, o.state, coalesce(o.hold_reason, ''), coalesce(o.warehouse_order_id, ''), o.accepted_at, o.cart_id, c.name,
			o.cancel_requested_at is not null, o.cart_cancelled_at is not null, o.cart_cancel_at is not null
		from orders o join connections c on c.id = o.cart_id where o.id = any($1) order by o.id for update of o`, orders)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*cancelling, error) {
		var o cancelling
		var since *time.Time
		err := r.Scan(&o.Order, &o.Reference, &o.state, &o.reason, &o.WarehouseOrderID, &since, &o.cart, &o.Cart, &o.asked, &o.cancelled, &o.telling)
		o.Since, o.WasHeld = fromNull(since), o.state == relay.OrderHeld
		return &o, err
	})
	if err != nil {
		return nil, err
	}
	live, err := liveSubmissions(ctx, tx, orders)
	if err != nil {
		return nil, err
	}
	last, err := lastWishes(ctx, tx, orders)
	for _, o := range list {
		o.live, o.wishes = live[o.Order], last[o.Order]
	}
	return list, err
}

// wishes is when people last asked to have an order cancelled, and to have it sent
// anew. Of two wishes the later counts, whichever is carried out first.
type wishes struct{ cancel, reopen time.Time }

// lastWishes reads them from the trails: as they were asked for, where a trail tells
// that, else as they were carried out. A cart's cancels have no such time, and need
// none: no order is reopened before its cart has it ready again. To be asked after the
// orders are locked, as liveSubmissions.
func lastWishes(ctx context.Context, tx pgx.Tx, orders []relay.OrderID) (map[relay.OrderID]wishes, error) {
	rows, err := tx.Query(ctx, `
		select order_id, max(wanted) filter (where kind = 'cancel_asked'), max(wanted) filter (where kind = 'reopened')
		from (select order_id, kind, coalesce((detail ->> 'asked')::timestamptz, at) as wanted
			from order_events where order_id = any($1) and kind in ('cancel_asked', 'reopened') and actor not like 'cart %') w
		group by order_id`, orders)
	if err != nil {
		return nil, err
	}
	last := make(map[relay.OrderID]wishes)
	var id relay.OrderID
	var cancel, reopen *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &cancel, &reopen}, func() error {
		last[id] = wishes{fromNull(cancel), fromNull(reopen)}
		return nil
	})
	return last, err
}

// overtaken reports whether what was asked for then came before another wish.
func overtaken(asked, by time.Time) bool { return !asked.IsZero() && asked.Before(by) }

// askedAt adds to what the trail keeps of a wish when it was asked for, where that is known.
func askedAt(asked time.Time, detail map[string]any) map[string]any {
	if !asked.IsZero() {
		detail["asked"] = stored(asked).UTC()
	}
	return detail
}

// liveSubmissions tells which orders have a submission that is under way or
// accepted. To be asked after the orders are locked, in a statement of its own:
// one that waited for a lock would still see submissions as they were before.
func liveSubmissions(ctx context.Context, tx pgx.Tx, orders []relay.OrderID) (map[relay.OrderID]bool, error) {
	rows, err := tx.Query(ctx, `select order_id from submissions where order_id = any($1) and state in ('open', 'in_doubt', 'accepted')`, orders)
	if err != nil {
		return nil, err
	}
	live := make(map[relay.OrderID]bool)
	var id relay.OrderID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error { live[id] = true; return nil })
	return live, err
}

// cancelWriter gathers what a cancel changes.
type cancelWriter struct {
	events                     []newEvent
	asked, atCart, tell        []int64
	late, stop, ask, lookAgain []relay.OrderID
}

// decide is what a cancel can still do for an order.
func (w *cancelWriter) decide(o *cancelling, ask CancelAsk) CancelRequest {
	if overtaken(ask.Asked, o.reopen) {
		o.Standing = ReopenedSince
		return o.CancelRequest
	}
	there := o.state == relay.OrderHeld && o.WarehouseOrderID != "" // on hold because the warehouse is stuck with it
	switch {
	case o.state == relay.OrderCancelled, o.state == relay.OrderSendingCancelled:
		o.Standing = AlreadyCancelled
	case o.state == relay.OrderShipped, o.state == relay.OrderConfirmed:
		o.Standing = TooLate
		w.late = append(w.late, o.Order)
	case o.state == relay.OrderAtWarehouse, o.state == relay.OrderCancelRequested, there:
		o.Standing = AskWarehouse
		w.ask = append(w.ask, o.Order)
	case o.state == relay.OrderSubmitting, o.state == relay.OrderInDoubt:
		o.Standing = OnceKnown
	default:
		if o.live { // on hold because nobody knows whether the warehouse has it
			o.Standing = OnceKnown
			w.lookAgain = append(w.lookAgain, o.Order)
			break
		}
		o.Standing = StoppedBeforeSending
		w.stop = append(w.stop, o.Order)
	}
	// A cart that knows is told nothing, nor one whose parcel is on its way.
	fresh := !ask.AtCart && !o.cancelled && !o.telling && o.Standing != TooLate && slices.Contains(ask.Tell, o.cart)
	if fresh {
		w.tell = append(w.tell, int64(o.Order))
	}
	o.Tell = fresh || (o.telling && !ask.AtCart && o.Standing != TooLate)
	if ask.AtCart {
		w.atCart = append(w.atCart, int64(o.Order))
	}
	switch {
	case ask.AtCart && o.Standing == AlreadyCancelled && o.telling:
		// Our own cancel, seen before its answer was written down.
		w.events = append(w.events, newEvent{o.Order, EventCancelToldCart, map[string]any{"status": ask.Reason, "found": true}})
	case o.news(ask, fresh):
		w.asked = append(w.asked, int64(o.Order))
		w.events = append(w.events, newEvent{o.Order, EventCancelAsked, askedAt(ask.Asked, map[string]any{"reason": ask.Reason})})
	}
	return o.CancelRequest
}

// news reports whether the trail does not tell of this cancel yet.
func (o *cancelling) news(ask CancelAsk, fresh bool) bool {
	switch {
	case ask.AtCart:
		return !o.cancelled
	case stored(ask.Asked).After(o.cancel):
		// A reopening that was asked for before this, and is on its way yet, must not undo it.
		return true
	case o.Standing == AlreadyCancelled:
		return fresh
	}
	return !o.asked || (o.Standing != OnceKnown && o.state != relay.OrderCancelRequested)
}

func (w *cancelWriter) write(ctx context.Context, tx pgx.Tx, ask CancelAsk, out []CancelRequest) error {
	evidence, err := firstParcels(ctx, tx, w.late)
	if err != nil {
		return err
	}
	for i := range out {
		if r := &out[i]; r.Standing == TooLate {
			r.Evidence = evidence[r.Order]
			w.events = append(w.events, newEvent{r.Order, EventCancelTooLate, map[string]any{"evidence": r.Evidence, "reason": ask.Reason}})
		}
	}
	args, err := eventArgs(ask.Actor, w.events)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	// Keep the first who asked: a second ask must not hide why it was cancelled.
	b.Queue(`
		update orders set cancel_requested_at = now(), cancel_requested_by = $2, cancel_reason = $3, updated_at = now()
		where id = any($1) and cancel_requested_at is null`, w.asked, ask.Actor, ask.Reason)
	b.Queue(`
		update orders set cart_cancelled_at = now(), cart_cancel_at = null, cart_cancel_sent_at = null, cart_cancel_error = null
		where id = any($1) and cart_cancelled_at is null`, w.atCart)
	b.Queue(`update orders set cart_cancel_at = now(), cart_cancel_attempts = 0 where id = any($1)`, w.tell)
	b.Queue(insertEventsSQL, args...)
	b.Queue(`update orders set state = 'cancel_requested', cancel_next_at = now() where id = any($1) and state = 'at_warehouse'`, w.ask)
	b.Queue(`update orders set state = 'cancel_requested', cancel_next_at = now(), `+clearHold+`
		where id = any($1) and state = 'held' and warehouse_order_id is not null`, w.ask)
	// On hold with an open question: look again, so that the cancel gets its answer.
	b.Queue(`update orders set state = 'in_doubt', next_look_at = now(), looks = 0, `+clearHold+` where id = any($1) and state = 'held'`, w.lookAgain)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	return cancelSending(ctx, tx, ask.Actor, w.stop, ask.Reason)
}

// firstParcels is the proof that orders have left: carrier and tracking number.
func firstParcels(ctx context.Context, tx pgx.Tx, orders []relay.OrderID) (map[relay.OrderID]string, error) {
	if len(orders) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		select distinct on (order_id) order_id, carrier || ' ' || tracking_number from shipments where order_id = any($1) order by order_id, id`, orders)
	if err != nil {
		return nil, err
	}
	out := make(map[relay.OrderID]string)
	var id relay.OrderID
	var parcel string
	_, err = pgx.ForEachRow(rows, []any{&id, &parcel}, func() error { out[id] = parcel; return nil })
	return out, err
}

// cancelSending ends orders of which nothing is at the warehouse.
func cancelSending(ctx context.Context, tx pgx.Tx, actor string, ids []relay.OrderID, why string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		with u as (update orders set state = 'sending_cancelled', next_look_at = null, retry_at = null, `+clearHold+` where id = any($1) and state = any($2) returning id)
		insert into order_events (order_id, kind, actor, detail) select id, 'sending_cancelled', $3, jsonb_build_object('reason', $4::text) from u`,
		ids, into(relay.OrderSendingCancelled), actor, why)
	return err
}

// CancelDue is an order that its warehouse is to be asked to cancel.
type CancelDue struct {
	Order            relay.OrderID
	WarehouseOrderID relay.WarehouseOrderID
}

// CancelsDue returns orders that a warehouse is to be asked to cancel now.
func (s *Store) CancelsDue(ctx context.Context, warehouse ConnectionID, limit int) ([]CancelDue, error) {
	rows, err := s.pool.Query(ctx, `
		select id, warehouse_order_id from orders where warehouse_id = $1 and state = 'cancel_requested' and cancel_next_at <= now()
		order by cancel_next_at limit $2`, warehouse, limit)
	if err != nil {
		return nil, fmt.Errorf("read cancels: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[CancelDue])
}

// CancelResult is what a warehouse answered to a cancel.
type CancelResult struct {
	Order relay.OrderID
	// WarehouseOrderID is what it was asked to cancel: an answer about an earlier
	// one says nothing of an order that was reopened. "": whichever it is.
	WarehouseOrderID relay.WarehouseOrderID
	Done             bool // cancelled there
	TooLate          bool // it will ship or has shipped
	Evidence         string
	Again            time.Duration // neither: ask again after this
}

// RecordCancels writes what a warehouse answered.
func (s *Store) RecordCancels(ctx context.Context, actor string, results []CancelResult) error {
	// As all lock them: else two would wait for each other.
	results = slices.SortedStableFunc(slices.Values(results), func(a, b CancelResult) int { return cmp.Compare(a.Order, b.Order) })
	err := s.begin(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		for _, r := range results {
			switch {
			case r.Done:
				b.Queue(`
					with u as (update orders set state = 'cancelled', cancel_next_at = null, answer_due = null, updated_at = now() where id = $1 and state = 'cancel_requested' and $4 in ('', warehouse_order_id) returning id),
					s as (update submissions set state = 'withdrawn' from u where order_id = u.id and submissions.state = 'accepted')
					insert into order_events (order_id, kind, actor, detail) select id, 'cancelled', $2, jsonb_build_object('evidence', $3::text) from u`,
					r.Order, actor, plain(r.Evidence), r.WarehouseOrderID)
			case r.TooLate:
				b.Queue(`
					with u as (update orders set state = 'at_warehouse', cancel_next_at = null, answer_due = null, updated_at = now()
						where id = $1 and state = 'cancel_requested' and $4 in ('', warehouse_order_id) returning id),
					-- It has taken it, then, if it had only received it: a figure of stock read before did not leave it out.
					t as (update submissions s set resolved_at = now() from u join orders o on o.id = u.id
						where s.order_id = u.id and s.state = 'accepted' and o.answer_due is not null)
					insert into order_events (order_id, kind, actor, detail) select id, 'cancel_too_late', $2, jsonb_build_object('evidence', $3::text) from u`,
					r.Order, actor, plain(r.Evidence), r.WarehouseOrderID)
			default:
				b.Queue(`
					with u as (update orders set cancel_next_at = now() + $5::interval, updated_at = now() where id = $1 and state = 'cancel_requested' and $4 in ('', warehouse_order_id) returning id)
					insert into order_events (order_id, kind, actor, detail) select id, 'cancel_pending', $2, jsonb_build_object('evidence', $3::text) from u`,
					r.Order, actor, plain(r.Evidence), r.WarehouseOrderID, r.Again)
			}
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("record cancels: %w", err)
	}
	return nil
}

// CartOrders finds the orders with the given cart ids that are not known to be
// cancelled at the cart.
func (s *Store) CartOrders(ctx context.Context, cart ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]relay.OrderID, error) {
	rows, err := s.pool.Query(ctx, `
		select external_id, id from orders where cart_id = $1 and external_id = any($2) and cart_cancelled_at is null`, cart, ids)
	if err != nil {
		return nil, fmt.Errorf("look up cart orders: %w", err)
	}
	out := make(map[relay.ExternalID]relay.OrderID)
	var ext relay.ExternalID
	var id relay.OrderID
	if _, err := pgx.ForEachRow(rows, []any{&ext, &id}, func() error { out[ext] = id; return nil }); err != nil {
		return nil, fmt.Errorf("look up cart orders: %w", err)
	}
	return out, nil
}

// Watched returns cart ids of orders of a cart that wait to be sent, to be
// looked at for cancels that the cart's feed missed: from after (an order id), in order.
func (s *Store) Watched(ctx context.Context, cart ConnectionID, after relay.OrderID, limit int) ([]relay.ExternalID, relay.OrderID, error) {
	rows, err := s.pool.Query(ctx, `
		select external_id, id from orders where cart_id = $1 and state in ('new', 'held') and warehouse_order_id is null and id > $2 order by id limit $3`, cart, after, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read held orders: %w", err)
	}
	var out []relay.ExternalID
	var last relay.OrderID
	var ext relay.ExternalID
	if _, err := pgx.ForEachRow(rows, []any{&ext, &last}, func() error { out = append(out, ext); return nil }); err != nil {
		return nil, 0, fmt.Errorf("read held orders: %w", err)
	}
	if len(out) < limit {
		last = 0 // from the start next time
	}
	return out, last, nil
}

// SetCursor moves a connection's named cursor.
func (s *Store) SetCursor(ctx context.Context, connection ConnectionID, name, value string) error {
	if _, err := s.pool.Exec(ctx, setCursorSQL, connection, name, value); err != nil {
		return fmt.Errorf("write cursor %s: %w", name, err)
	}
	return nil
}
