package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// HeldOrder names an order on hold.
type HeldOrder struct {
	Order     relay.OrderID
	Reference relay.Reference
	Reason    relay.HoldReason
}

// HoldsToStart returns orders on hold whose hold workflow was not seen at work
// yet, or not for more than a day though it looks daily: neither a lost reply
// between the ledger and Temporal nor the loss of a workflow leaves an order without one.
func (s *Store) HoldsToStart(ctx context.Context, merchant relay.MerchantID, after relay.OrderID, limit int) ([]HeldOrder, error) {
	rows, err := s.pool.Query(ctx, `
		select id, reference, hold_reason from orders where merchant_id = $1 and state = 'held' and (hold_workflow_at is null or hold_workflow_at < now() - interval '36 hours') and id > $2
		order by id limit $3`, merchant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[HeldOrder])
}

// HoldView is what a hold workflow needs to know of its order.
type HoldView struct {
	State    relay.OrderState
	Hold     *HoldSummary  // nil when the order is not on hold
	Status   string        // the warehouse's own last word; may quote an address
	ShipTo   relay.Address // what the hold's words must be scrubbed of
	Resend   relay.ResendClock
	Evidence string // for people: what became of it, without personal data
}

// Outages of a warehouse end at any hour: an order that could not reach it is sent
// again after as long as it had been on hold by then, half an hour to four hours.
const firstBackOff, longestBackOff = 30 * time.Minute, 4 * time.Hour

// NextResend is when the order is sent again by itself, after now: at the next
// resend hour, with the key's share of the stagger, or sooner when the warehouse
// could not be reached. The zero time: not by the clock; never while the warehouse has it.
//
// It reckons from when the hold began, so that whoever asks gets the same answer.
func (h HoldSummary) NextResend(clock relay.ResendClock, key string, now time.Time) (time.Time, error) {
	if h.There || !h.Reason.ResendsNightly() {
		return time.Time{}, nil
	}
	next, err := clock.Next(now, relay.Stagger(key))
	if err != nil || h.Reason != relay.HoldWarehouseUnreachable {
		return next, err
	}
	pause := min(max(h.HeldAt.Sub(h.Since), firstBackOff), longestBackOff)
	// While the merchant is paused its turns pass by.
	turns := max(now.Sub(h.HeldAt), 0)/pause + 1
	if soon := h.HeldAt.Add(turns * pause); soon.After(now) && soon.Before(next) {
		return soon, nil
	}
	return next, nil
}

// ViewHold reads an order for its hold workflow and notes that the workflow is at work.
func (s *Store) ViewHold(ctx context.Context, order relay.OrderID) (HoldView, error) {
	var v HoldView
	err := s.begin(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select `+summaryColumns+` from orders o join connections c on c.id = o.cart_id where o.id = $1 for update of o`, order)
		if err != nil {
			return err
		}
		o, err := pgx.CollectExactlyOneRow(rows, scanSummary)
		if err != nil {
			return notFound(err)
		}
		v.State, v.Hold, v.Status = o.State, o.Hold, o.WarehouseStatus
		if o.WarehouseOrderID != "" {
			v.Evidence = "warehouse order " + string(o.WarehouseOrderID)
		}
		var shipTo []byte
		if err := tx.QueryRow(ctx, `select resend_hour, resend_zone, (select ship_to from orders where id = $2) from merchants where id = $1`,
			o.Merchant, order).Scan(&v.Resend.Hour, &v.Resend.Zone, &shipTo); err != nil {
			return err
		}
		if err := json.Unmarshal(shipTo, &v.ShipTo); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update orders set hold_workflow_at = now() where id = $1 and state = 'held'`, order)
		return err
	})
	if err != nil {
		return HoldView{}, fmt.Errorf("read hold: %w", err)
	}
	return v, nil
}

// Release lets held orders go: back to new, to be submitted with the next
// batch. An order on hold because its outcome is unknown is looked for again
// instead (promise 2). Where reasons are given, only those go that are on hold for
// one of them still: what was put on hold for another since it was read waits for
// whoever did so. Promise 1: one that the warehouse has never goes; it is stuck
// there. It returns those that went.
func (s *Store) Release(ctx context.Context, orders []relay.OrderID, actor, why string, reasons ...relay.HoldReason) ([]relay.OrderID, error) {
	var out []relay.OrderID
	err := s.begin(ctx, func(tx pgx.Tx) (err error) {
		out, err = release(ctx, tx, orders, actor, why, reasons...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("release orders: %w", err)
	}
	return out, nil
}

func release(ctx context.Context, tx pgx.Tx, orders []relay.OrderID, actor, why string, reasons ...relay.HoldReason) ([]relay.OrderID, error) {
	if len(orders) == 0 {
		return nil, nil
	}
	// The locks first: a statement that waits for one still sees submissions as they were before.
	if _, err := tx.Exec(ctx, `select from orders where id = any($1) order by id for update`, orders); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		with l as (
			select o.id, exists (select from submissions s where s.order_id = o.id and s.state = 'in_doubt') as live
			from orders o where o.id = any($1) and o.state = 'held' and o.warehouse_order_id is null
				and (cardinality($4::text[]) = 0 or o.hold_reason = any($4)) for update),
		u as (
			update orders o set state = case when l.live then 'in_doubt' else 'new' end, next_look_at = case when l.live then now() end, looks = 0,
				retry_at = null, `+clearHold+`
			from l where o.id = l.id returning o.id),
		e as (insert into order_events (order_id, kind, actor, detail) select id, 'released', $2, jsonb_build_object('why', $3::text) from u)
		select id from u`, orders, actor, why, orEmpty(reasons))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[relay.OrderID])
}

// HoldAnswer is what came of putting an order on hold.
type HoldAnswer struct {
	Held bool
	// State and Reason are how it stood before.
	State  relay.OrderState
	Reason relay.HoldReason
}

// HoldOrder puts an order on hold that waits to be sent, or gives a hold that ends
// by itself another reason; one that waits for a person keeps its own, lest it
// hide why that person was called. What the warehouse has, or may have, is left
// alone: it is too late.
func (s *Store) HoldOrder(ctx context.Context, order relay.OrderID, hold relay.Hold, actor string) (HoldAnswer, error) {
	var out HoldAnswer
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = HoldAnswer{}
		err := tx.QueryRow(ctx, `select state, coalesce(hold_reason, '') from orders where id = $1 for update`, order).Scan(&out.State, &out.Reason)
		if err != nil {
			return notFound(err)
		}
		if out.State != relay.OrderNew && (out.State != relay.OrderHeld || !out.Reason.ResendsNightly()) {
			return nil
		}
		live, err := liveSubmissions(ctx, tx, []relay.OrderID{order})
		if err != nil || live[order] {
			return err
		}
		out.Held = true
		return holdOrders(ctx, tx, actor, []holdRow{{order: order, hold: hold}})
	})
	if err != nil {
		return HoldAnswer{}, fmt.Errorf("hold order: %w", err)
	}
	return out, nil
}

// Rechecked is an order on hold that might go on under other settings.
type Rechecked struct {
	relay.Order
	// Token and Digest are those of the submission that was refused; empty when
	// our own checks put the order on hold.
	Token  relay.Token
	Digest []byte
}

// HeldFor returns held orders of a merchant with their lines and what was
// refused of them, for one of the given reasons, behind after. Those that the
// warehouse has are left out.
func (s *Store) HeldFor(ctx context.Context, merchant relay.MerchantID, reasons []relay.HoldReason, after relay.OrderID, limit int) ([]Rechecked, error) {
	// A refusal and the hold that it led to are of one transaction, and so of one time.
	rows, err := s.pool.Query(ctx, `
		select `+orderColumns+`, coalesce(r.token, ''), r.digest from orders o join connections c on c.id = o.cart_id
			left join lateral (select token, digest from submissions s where s.order_id = o.id and s.state = 'rejected' and s.resolved_at = o.held_at
				order by attempt desc limit 1) r on true
		where o.merchant_id = $1 and o.state = 'held' and o.hold_reason = any($2) and o.warehouse_order_id is null and o.id > $3 order by o.id limit $4`,
		merchant, reasons, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Rechecked, err error) {
		r.Order, err = scanOrder(row, &r.Token, &r.Digest)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	orders := make([]relay.Order, len(list))
	for i, r := range list {
		orders[i] = r.Order
	}
	if err := loadLines(ctx, s.pool, orders); err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	for i := range list {
		list[i].Order = orders[i]
	}
	return list, nil
}

// HeldQuery says which orders on hold are meant. Zero fields do not filter.
type HeldQuery struct {
	Merchant   relay.MerchantID
	References []relay.Reference
	Reason     relay.HoldReason
	SKU        relay.SKU // with a line of it, as the cart writes it; outer blanks do not count
	// Here leaves out those that the warehouse has.
	Here bool
}

const heldWhere = `o.merchant_id = $1 and o.state = 'held' and ($2::text[] is null or o.reference = any($2)) and ($3 = '' or o.hold_reason = $3)
	and ($4 = '' or exists (select from order_lines l where l.order_id = o.id and btrim(l.sku) = btrim($4))) and not ($5 and o.warehouse_order_id is not null)`

func (q HeldQuery) args(more ...any) []any {
	var references []relay.Reference
	if len(q.References) > 0 {
		references = q.References
	}
	return append([]any{q.Merchant, references, string(q.Reason), string(q.SKU), q.Here}, more...)
}

// HeldOrders returns ids of orders on hold, oldest first.
func (s *Store) HeldOrders(ctx context.Context, q HeldQuery, limit int) ([]relay.OrderID, error) {
	rows, err := s.pool.Query(ctx, `select o.id from orders o where `+heldWhere+` order by o.id limit $6`, q.args(limit)...)
	if err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[relay.OrderID])
}

// HeldPreview is what a release or cancel of orders on hold would meet.
type HeldPreview struct {
	Orders  int64          // on hold
	Unknown int64          // of them, those of which nobody knows whether the warehouse has them: they are looked for first
	There   int64          // of them, those that the warehouse has: never sent again, and cancelled there
	First   []OrderSummary // of them, the oldest
}

// PreviewHeld counts the orders on hold that a query means, and lists the first few.
func (s *Store) PreviewHeld(ctx context.Context, q HeldQuery, first int) (HeldPreview, error) {
	var p HeldPreview
	err := s.pool.QueryRow(ctx, `
		select count(*), count(*) filter (where exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt'))),
			count(*) filter (where o.warehouse_order_id is not null)
		from orders o where `+heldWhere, q.args()...).Scan(&p.Orders, &p.Unknown, &p.There)
	if err != nil {
		return HeldPreview{}, fmt.Errorf("count held orders: %w", err)
	}
	rows, err := s.pool.Query(ctx, `select `+summaryColumns+` from orders o join connections c on c.id = o.cart_id where `+heldWhere+` order by o.id limit $6`, q.args(first)...)
	if err != nil {
		return HeldPreview{}, fmt.Errorf("list held orders: %w", err)
	}
	p.First, err = pgx.CollectRows(rows, scanSummary)
	return p, err
}

// CancelHeld cancels those of the orders that are on hold still, as
// RequestCancels does, in one transaction: those that were reopened after this was
// asked for are left alone, and have no answer. Where reasons are given, only those
// that are on hold for one of them still.
func (s *Store) CancelHeld(ctx context.Context, orders []relay.OrderID, ask CancelAsk, reasons ...relay.HoldReason) ([]CancelRequest, error) {
	var out []CancelRequest
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = nil
		list, err := lockCancelling(ctx, tx, orders)
		if err != nil {
			return err
		}
		var w cancelWriter
		for _, o := range list {
			wanted := o.WasHeld && (len(reasons) == 0 || slices.Contains(reasons, o.reason))
			if wanted && !overtaken(ask.Asked, o.reopen) {
				out = append(out, w.decide(o, ask))
			}
		}
		if len(out) == 0 {
			return nil
		}
		return w.write(ctx, tx, ask, out)
	})
	if err != nil {
		return nil, fmt.Errorf("cancel held orders: %w", err)
	}
	return out, nil
}
