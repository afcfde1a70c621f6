package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// This file holds what reconciliation asks of the ledger, and how it mends it.

// TakenOrder is an order that was taken in.
type TakenOrder struct {
	ExternalID relay.ExternalID
	Order      relay.OrderID
	Reference  relay.Reference
}

// TakenInBy returns those of a cart's orders that actor took in since a time,
// also when it did so in an attempt that never came to say so.
func (s *Store) TakenInBy(ctx context.Context, cart ConnectionID, ids []relay.ExternalID, actor string, since time.Time) ([]TakenOrder, error) {
	rows, err := s.pool.Query(ctx, `
		select o.external_id, o.id, o.reference from orders o where o.cart_id = $1 and o.external_id = any($2) and o.created_at >= $4
			and exists (select from order_events e where e.order_id = o.id and e.kind = 'seen' and e.actor = $3)
		order by o.id`, cart, ids, actor, since)
	if err != nil {
		return nil, fmt.Errorf("read orders that were taken in: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[TakenOrder])
}

// OrderUnderWay is an order of a cart that was not shipped yet.
type OrderUnderWay struct {
	Order      relay.OrderID
	ExternalID relay.ExternalID
	Reference  relay.Reference
	// Sent says that it is, or may be, at the warehouse.
	Sent bool
}

// OrdersUnderWay returns a cart's orders that wait to be sent or are at the
// warehouse, unshipped, in order of id from after.
func (s *Store) OrdersUnderWay(ctx context.Context, cart ConnectionID, after relay.OrderID, limit int) ([]OrderUnderWay, error) {
	rows, err := s.pool.Query(ctx, `
		select id, external_id, reference, state not in ('new', 'held') or warehouse_order_id is not null from orders
		where cart_id = $1 and id > $2 and state in ('new', 'held', 'submitting', 'in_doubt', 'at_warehouse') order by id limit $3`, cart, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read orders under way: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OrderUnderWay])
}

// UntoldOrder is an order whose tracking its cart did not take.
type UntoldOrder struct {
	Order     relay.OrderID
	Reference relay.Reference
	Parcels   int
	Attempts  int       // to tell of the most often tried one
	Since     time.Time // when the first of them was known
	Error     string    // of the last attempt; "" when there was none
}

// TellUntold makes parcels due to be told now that a cart should have been told
// of longer ago than age, and returns their orders, in order of id from after.
func (s *Store) TellUntold(ctx context.Context, cart ConnectionID, age time.Duration, after relay.OrderID, limit int) ([]UntoldOrder, error) {
	rows, err := s.pool.Query(ctx, `
		with late as (
			select order_id, array_agg(id) as ids, max(push_attempts) as attempts, min(seen_at) as since, max(push_error) as error
			from shipments where cart_id = $1 and state = 'ready' and seen_at < now() - $2::interval and order_id > $3
			group by order_id order by order_id limit $4),
		due as (update shipments s set next_push_at = now() from late where s.id = any(late.ids) and s.state = 'ready')
		select o.id, o.reference, cardinality(late.ids), late.attempts, late.since, coalesce(late.error, '')
		from late join orders o on o.id = late.order_id order by o.id`, cart, age, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read shipments that a cart was not told of: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[UntoldOrder])
}

// OrderName names an order.
type OrderName struct {
	Order     relay.OrderID
	Reference relay.Reference
}

// ConfirmTold ends orders of a cart that has all their tracking, and returns them.
func (s *Store) ConfirmTold(ctx context.Context, cart ConnectionID, actor string, limit int) ([]OrderName, error) {
	var list []OrderName
	err := s.begin(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			select o.id, o.reference from orders o where o.cart_id = $1 and o.state = 'shipped' and o.ship_complete
				and exists (select from shipments s where s.order_id = o.id and s.state = 'told')
				and not exists (select from shipments s where s.order_id = o.id and s.state in ('ready', 'waiting'))
			order by o.id limit $2 for no key update of o`, cart, limit)
		if err != nil {
			return err
		}
		if list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OrderName]); err != nil {
			return err
		}
		ids := make([]int64, len(list))
		for i, o := range list {
			ids[i] = int64(o.Order)
		}
		_, err = tx.Exec(ctx, confirmSQL, ids, actor)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("confirm orders: %w", err)
	}
	return list, nil
}

// Confirmed returns those of a cart's orders that were confirmed before a time, and
// whose cart was told of all that it had ordered: not those that shipped short or
// to which something came too late, of which people know and which are open there.
func (s *Store) Confirmed(ctx context.Context, cart ConnectionID, ids []relay.ExternalID, before time.Time) ([]OrderName, error) {
	rows, err := s.pool.Query(ctx, `
		select o.id, o.reference from orders o where o.cart_id = $1 and o.external_id = any($2) and o.state = 'confirmed'
			and not exists (select from order_events e where e.order_id = o.id and (e.kind = 'changed_too_late' or (e.kind = 'confirmed' and e.at >= $3)))
			and not exists (
				select from submissions s join submission_items i on i.submission_id = s.id where s.order_id = o.id and s.state = 'accepted'
					and i.units / i.per > coalesce((select sum(l.units) from shipments p join shipment_lines l on l.shipment_id = p.id
						where p.order_id = o.id and p.state = 'told' and l.line_id = i.line_id), 0))
		order by o.id`, cart, ids, before)
	if err != nil {
		return nil, fmt.Errorf("read confirmed orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OrderName])
}

// SubmissionStanding is where a submission and its order stand.
type SubmissionStanding struct {
	Submission       SubmissionID
	Token            relay.Token
	State            string // of the submission
	Order            relay.OrderID
	Reference        relay.Reference
	OrderState       relay.OrderState
	WarehouseOrderID relay.WarehouseOrderID // the order's; "" for none
	Led              relay.WarehouseOrderID // what the submission led to; "" for nothing
	// Other is the state of another submission of the order that is under way or
	// accepted; "" when there is none.
	Other string
	// Here says that it was sent through this very connection.
	Here bool
}

// Standings finds the submissions that have the given tokens, of whatever merchant.
func (s *Store) Standings(ctx context.Context, warehouse ConnectionID, tokens []relay.Token) (map[relay.Token]SubmissionStanding, error) {
	rows, err := s.pool.Query(ctx, `
		select s.id, s.token, s.state, o.id, o.reference, o.state, coalesce(o.warehouse_order_id, ''), coalesce(s.warehouse_order_id, ''),
			coalesce((select l.state from submissions l where l.order_id = o.id and l.id <> s.id and l.state in ('open', 'in_doubt', 'accepted')), ''),
			s.warehouse_id = $1
		from submissions s join orders o on o.id = s.order_id where s.token = any($2)`, warehouse, tokens)
	if err != nil {
		return nil, fmt.Errorf("look up submissions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SubmissionStanding])
	if err != nil {
		return nil, fmt.Errorf("look up submissions: %w", err)
	}
	out := make(map[relay.Token]SubmissionStanding, len(list))
	for _, st := range list {
		out[st.Token] = st
	}
	return out, nil
}

// Shown is a warehouse order that bears the token of a submission.
type Shown struct {
	Submission       SubmissionID
	WarehouseOrderID relay.WarehouseOrderID
}

// Doubted is an order that is being looked for now.
type Doubted struct {
	Submission SubmissionID
	Reference  relay.Reference
	WasHeld    bool
}

// DoubtShown has orders looked for at once that a warehouse shows though the
// ledger does not know, or denies, that they are there: their submissions are in
// doubt (again), so that the orders can't be sent anew and the look adopts what
// is shown. Promise 1: an order that is being sent, or has another submission
// under way or accepted, is left alone. It returns those that are looked for.
func (s *Store) DoubtShown(ctx context.Context, actor string, list []Shown) ([]Doubted, error) {
	n := len(list)
	if n == 0 {
		return nil, nil
	}
	subs, wids := make([]int64, n), make([]string, n)
	for i, l := range list {
		subs[i], wids[i] = int64(l.Submission), string(l.WarehouseOrderID)
	}
	var out []Doubted
	err := s.begin(ctx, func(tx pgx.Tx) error {
		// First the locks: a statement that waited for one would still see submissions as they were before.
		rows, err := tx.Query(ctx, `
			select o.id from orders o where o.id in (select order_id from submissions where id = any($1)) and o.state in ('new', 'skipped', 'held', 'in_doubt')
			order by o.id for update`, subs)
		if err != nil {
			return err
		}
		orders, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `
			with q as (
				select distinct on (s.order_id) s.id, s.order_id, s.state, q.wid from unnest($1::bigint[], $2::text[]) as q(sub, wid) join submissions s on s.id = q.sub
				where s.order_id = any($3) and s.state in ('in_doubt', 'rejected', 'unsent', 'absent')
					and not exists (select from submissions l where l.order_id = s.order_id and l.id <> s.id and l.state in ('open', 'in_doubt', 'accepted'))
				order by s.order_id, s.id),
			s as (update submissions s set state = 'in_doubt', resolved_at = null from q where s.id = q.id),
			was as (select o.id, o.reference, o.state from orders o join q on q.order_id = o.id),
			u as (
				update orders o set state = 'in_doubt', next_look_at = now(), looks = case when was.state = 'in_doubt' then looks else 0 end, retry_at = null, `+clearHold+`
				from was where o.id = was.id and o.state = any($4)),
			e as (
				insert into order_events (order_id, kind, actor, detail)
				select q.order_id, 'outcome_unknown', $5, jsonb_build_object('submission', q.id, 'warehouse_order', q.wid, 'why', 'the warehouse shows an order with its token')
				from q join was on was.id = q.order_id where was.state <> 'in_doubt')
			select q.id, was.reference, was.state = 'held' from q join was on was.id = q.order_id order by q.id`,
			subs, wids, orders, append(into(relay.OrderInDoubt), relay.OrderInDoubt), actor)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Doubted])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for orders that the warehouse shows: %w", err)
	}
	return out, nil
}

// Stranger is a warehouse order with a mark of ours of which the ledger knows nothing.
type Stranger struct {
	ID        relay.WarehouseOrderID
	Number    string // the cart's order number beside the mark
	CreatedAt time.Time
}

// Suspect is an order of ours that may be a stranger's.
type Suspect struct {
	Stranger  relay.WarehouseOrderID
	Order     relay.OrderID
	Reference relay.Reference
	State     relay.OrderState // as it was
	Held      bool             // it was put on hold now
}

// HoldSuspects finds the orders of a merchant that go by the numbers of
// strangers and were placed before them, and puts those on hold that were not
// sent: they may be there already (promise 1). What a person let go after an
// earlier run had found it is not held again.
func (s *Store) HoldSuspects(ctx context.Context, c Connection, run RunID, actor string, strangers []Stranger, hold func(Stranger) relay.Hold) ([]Suspect, error) {
	n := len(strangers)
	if n == 0 {
		return nil, nil
	}
	byID := make(map[relay.WarehouseOrderID]Stranger, n)
	wids, numbers, created := make([]string, n), make([]string, n), make([]time.Time, n)
	for i, st := range strangers {
		byID[st.ID] = st
		wids[i], numbers[i], created[i] = string(st.ID), st.Number, st.CreatedAt
	}
	var out []Suspect
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = nil
		rows, err := tx.Query(ctx, `
			select q.wid, o.id, o.reference, o.state, coalesce(o.hold_reason, ''),
				exists (select from findings f where f.connection_id = $2 and f.kind = $3 and f.subject = q.wid and f.reconciliation_id is distinct from $4)
			from unnest($5::text[], $6::text[], $7::timestamptz[]) as q(wid, number, at) join orders o on o.merchant_id = $1 and o.number = q.number and o.placed_at <= q.at
			order by o.id, q.wid for update of o`, c.Merchant, c.ID, FindingForeign, run, wids, numbers, created)
		if err != nil {
			return err
		}
		var sus Suspect
		var reason relay.HoldReason
		var before bool
		var unsent []relay.OrderID
		if _, err = pgx.ForEachRow(rows, []any{&sus.Stranger, &sus.Order, &sus.Reference, &sus.State, &reason, &before}, func() error {
			sus.Held = !before && (sus.State == relay.OrderNew || sus.State == relay.OrderSkipped || (sus.State == relay.OrderHeld && reason != relay.HoldUnknownOutcome))
			if out = append(out, sus); sus.Held {
				unsent = append(unsent, sus.Order)
			}
			return nil
		}); err != nil {
			return err
		}
		live, err := liveSubmissions(ctx, tx, unsent)
		if err != nil {
			return err
		}
		var holds []holdRow
		for i := range out {
			o := &out[i]
			if o.Held = o.Held && !live[o.Order]; o.Held && !slices.ContainsFunc(holds, func(h holdRow) bool { return h.order == o.Order }) {
				holds = append(holds, holdRow{order: o.Order, hold: hold(byID[o.Stranger])})
			}
		}
		return holdOrders(ctx, tx, actor, holds)
	})
	if err != nil {
		return nil, fmt.Errorf("hold orders that may be at the warehouse: %w", err)
	}
	return out, nil
}

// StuckOrder is an order for which something should have been done long ago.
type StuckOrder struct {
	Order     relay.OrderID
	Reference relay.Reference
	State     relay.OrderState
	Due       *time.Time // nil: it had none
}

// StuckOrders returns a merchant's orders that are being sent, in doubt or to be
// cancelled and for which something was due longer ago than age, in order of id
// from after. A cancel without a time is made due now.
func (s *Store) StuckOrders(ctx context.Context, merchant relay.MerchantID, age time.Duration, after relay.OrderID, limit int) ([]StuckOrder, error) {
	rows, err := s.pool.Query(ctx, `
		with here as (select id from connections where merchant_id = $1 and role = 'warehouse'),
		stuck as (
			select id, reference, state, next_look_at as due from orders
				where merchant_id = $1 and state = 'in_doubt' and next_look_at < now() - $2::interval
			union all
			select o.id, o.reference, o.state, s.lease_until from submissions s join orders o on o.id = s.order_id
				where s.warehouse_id in (select id from here) and s.state = 'open' and s.lease_until < now() - $2::interval and o.state = 'submitting'
			union all
			select id, reference, state, cancel_next_at from orders
				where warehouse_id in (select id from here) and state = 'cancel_requested' and (cancel_next_at is null or cancel_next_at < now() - $2::interval)),
		due as (update orders o set cancel_next_at = now() from stuck where o.id = stuck.id and o.state = 'cancel_requested' and o.cancel_next_at is null)
		select id, reference, state, due from stuck where id > $3 order by id limit $4`, merchant, age, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read orders that are stuck: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[StuckOrder])
}

// shipmentsRead names the cursor that holds when all open orders of a warehouse were last read.
const shipmentsRead = "shipments_read"

// RecordShipmentsRead notes that all open orders of a warehouse were read.
func (s *Store) RecordShipmentsRead(ctx context.Context, warehouse ConnectionID, at time.Time) error {
	return s.SetCursor(ctx, warehouse, shipmentsRead, at.UTC().Format(time.RFC3339))
}

// UnreadOrders counts a warehouse's open orders that were accepted longer ago
// than age, when nobody has read all open orders for as long. last is when
// somebody did; the zero time for never.
func (s *Store) UnreadOrders(ctx context.Context, warehouse ConnectionID, age time.Duration) (n int, last time.Time, err error) {
	var at *time.Time
	err = s.pool.QueryRow(ctx, `
		with read as (select (select value::timestamptz from cursors where connection_id = $1 and name = $3) as at)
		select at, case when coalesce(at, '-infinity') < now() - $2::interval then (
			select count(*) from orders where warehouse_id = $1 and accepted_at < now() - $2::interval
				and (state in ('at_warehouse', 'cancel_requested') or (state = 'shipped' and not ship_complete) or (state = 'held' and warehouse_order_id is not null))) else 0 end
		from read`, warehouse, age, shipmentsRead).Scan(&at, &n)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count unread orders: %w", err)
	}
	return n, fromNull(at), nil
}
