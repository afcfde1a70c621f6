package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// OpenOrder is an order at a warehouse from which more is expected.
type OpenOrder struct {
	ID               relay.OrderID
	Reference        relay.Reference
	WarehouseOrderID relay.WarehouseOrderID
	AcceptedAt       time.Time
	Unanswered       bool // the warehouse has received it, and said neither yes nor no
	Submission       SubmissionID
}

const latestSubmissionSQL = `coalesce((select max(s.id) from submissions s where s.order_id = orders.id), 0)`

// OpenOrders returns a warehouse's open orders, in order of id, from after: those
// too that are on hold because the warehouse is stuck with them. Cancelled ones
// count as open for a week: a parcel may leave despite a cancel.
func (s *Store) OpenOrders(ctx context.Context, warehouse ConnectionID, after relay.OrderID, limit int) ([]OpenOrder, error) {
	rows, err := s.pool.Query(ctx, `
		(select id, reference, warehouse_order_id, accepted_at, answer_due is not null, `+latestSubmissionSQL+` from orders
			where warehouse_id = $1 and id > $2 and (state in ('at_warehouse', 'cancel_requested', 'cancelled') or (state = 'shipped' and not ship_complete))
				and (state <> 'cancelled' or updated_at > now() - interval '7 days')
			order by id limit $3)
		union all -- each by its own index
		(select id, reference, warehouse_order_id, accepted_at, false, `+latestSubmissionSQL+` from orders
			where warehouse_id = $1 and id > $2 and state = 'held' and warehouse_order_id is not null
			order by id limit $3)
		order by id limit $3`, warehouse, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read open orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OpenOrder])
}

// OrdersAt finds the orders that are at a warehouse under the given ids, or were
// before it refused or cancelled them.
func (s *Store) OrdersAt(ctx context.Context, warehouse ConnectionID, ids []relay.WarehouseOrderID) (map[relay.WarehouseOrderID]relay.OrderID, error) {
	rows, err := s.pool.Query(ctx, `
		select distinct on (q.id) q.id, at.order_id from unnest($2::text[]) as q(id) cross join lateral (
			select o.id as order_id, true as now, 0 as attempt from orders o where o.warehouse_id = $1 and o.warehouse_order_id = q.id
			union all
			select s.order_id, false, s.attempt from submissions s where s.warehouse_id = $1 and s.warehouse_order_id = q.id) as at
		order by q.id, at.now desc, at.attempt desc`, warehouse, ids)
	if err != nil {
		return nil, fmt.Errorf("look up warehouse orders: %w", err)
	}
	out := make(map[relay.WarehouseOrderID]relay.OrderID, len(ids))
	var wid relay.WarehouseOrderID
	var id relay.OrderID
	if _, err := pgx.ForEachRow(rows, []any{&wid, &id}, func() error { out[wid] = id; return nil }); err != nil {
		return nil, fmt.Errorf("look up warehouse orders: %w", err)
	}
	return out, nil
}

func lockShipping(ctx context.Context, tx pgx.Tx, ids []int64) ([]*shippingOrder, error) {
	rows, err := tx.Query(ctx, `
		select id, reference, cart_id, state, coalesce(warehouse_order_id, ''), coalesce(warehouse_id, 0), coalesce(warehouse_status, ''), ship_complete,
			answer_due is not null, coalesce(hold_reason, ''), coalesce(hold_code, ''), cancel_requested_at is not null
		from orders where id = any($1) order by id for update`, ids)
	if err != nil {
		return nil, err
	}
	orders, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*shippingOrder, error) {
		o := &shippingOrder{begun: make(map[string][]relay.ItemCode)}
		err := r.Scan(&o.id, &o.reference, &o.cart, &o.state, &o.wid, &o.warehouse, &o.status, &o.complete, &o.unanswered, &o.reason, &o.code, &o.cancelAsked)
		o.was = o.standing
		return o, err
	})
	if err != nil {
		return nil, err
	}
	at := make(map[relay.OrderID]*shippingOrder, len(orders))
	for _, o := range orders {
		at[o.id] = o
	}
	if err := loadAttempts(ctx, tx, ids, at); err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, `
		select s.order_id, i.line_id, i.sku, i.code, i.units, case when i.per > 1 then i.per else 0 end from submissions s join submission_items i on i.submission_id = s.id
		where s.order_id = any($1) and s.id = ( -- what the warehouse has of it, or had
				select l.id from submissions l where l.order_id = s.order_id
					and (l.state in ('open', 'in_doubt', 'accepted', 'withdrawn') or (l.state = 'rejected' and l.warehouse_order_id is not null))
				order by l.state in ('open', 'in_doubt', 'accepted') desc, l.attempt desc limit 1)
		order by s.order_id, i.position`, ids)
	if err != nil {
		return nil, err
	}
	var id relay.OrderID
	var it relay.OrderItem
	if _, err := pgx.ForEachRow(rows, []any{&id, &it.Line, &it.SKU, &it.Code, &it.Units, &it.Per}, func() error {
		at[id].items = append(at[id].items, it)
		return nil
	}); err != nil {
		return nil, err
	}
	if err := loadParcels(ctx, tx, ids, at); err != nil {
		return nil, err
	}
	return orders, loadParts(ctx, tx, ids, at)
}

// loadAttempts reads the submissions that reports may be about.
func loadAttempts(ctx context.Context, tx pgx.Tx, ids []int64, at map[relay.OrderID]*shippingOrder) error {
	rows, err := tx.Query(ctx, `
		select s.order_id, s.id, s.state, coalesce(s.warehouse_order_id, ''), s.warehouse_id, s.state = 'rejected' and exists (
			select from order_events e where e.order_id = s.order_id and e.kind = 'duplicate_found' and e.detail -> 'cancelled' ? s.warehouse_order_id)
		from submissions s
		where s.order_id = any($1) and (s.state in ('open', 'in_doubt', 'accepted') or (s.state = 'rejected' and s.warehouse_order_id is not null))
		order by s.order_id, s.attempt`, ids)
	if err != nil {
		return err
	}
	var id relay.OrderID
	var a attempt
	_, err = pgx.ForEachRow(rows, []any{&id, &a.id, &a.state, &a.wid, &a.at, &a.told}, func() error {
		one := a
		one.was = one.state
		at[id].attempts = append(at[id].attempts, &one)
		return nil
	})
	return err
}

// addShipment writes a shipment of a parcel, with what it holds as far as that is told.
func (w *shipmentWriter) addShipment(o *shippingOrder, of *parcel, p relay.Package, kind EventKind) {
	key := of.nextKey()
	state := w.contents(o, of, key, p.Items, kind)
	a := &w.packages
	a.order, a.cart = append(a.order, int64(o.id)), append(a.cart, int64(o.cart))
	a.key, a.carrier, a.service = append(a.key, key), append(a.carrier, of.Carrier), append(a.service, plain(p.Service))
	a.number, a.url, a.tracker = append(a.number, p.TrackingNumber), append(a.url, plain(p.TrackingURL)), append(a.tracker, plain(p.TrackerID))
	a.state, a.shippedAt = append(a.state, state), append(a.shippedAt, nullTime(p.ShippedAt))
}

// fill takes over the contents of a parcel that waits for them.
func (w *shipmentWriter) fill(o *shippingOrder, of *parcel, items []relay.Item) {
	state := w.contents(o, of, of.key, items, EventContentsTold)
	w.batch.Queue(`update shipments set state = $3 where order_id = $1 and package_key = $2 and state = 'waiting'`, o.id, of.key, state)
}

// contents spreads what a shipment holds over the order's lines, tells it in the
// trail, and returns the shipment's state.
func (w *shipmentWriter) contents(o *shippingOrder, of *parcel, key string, items []relay.Item, kind EventKind) (state string) {
	detail := map[string]any{"carrier": of.Carrier, "tracking_number": of.TrackingNumber}
	w.tell(o, kind, detail)
	if of.blank = len(items) == 0; of.blank {
		return "waiting"
	}
	in := relay.Allocate(o.items, o.shipped, items)
	if len(in.Surplus) > 0 {
		detail["surplus"] = in.Surplus
	}
	for _, it := range in.Items {
		of.holds[it.Code] += it.Units
	}
	w.allocated(o, key, in)
	w.lines = append(w.lines, packageLines{o.id, key, in.Lines})
	switch {
	case len(in.Lines) > 0:
		detail["contents"] = in.Lines
		of.told, w.carts[o.cart] = true, true
		return "ready"
	case len(in.Items) > 0:
		detail["parts"] = in.Items
		return "waiting"
	}
	o.surplus = true
	return "surplus"
}

// settle lets the first parcel of unknown contents stand for all that is left
// of a complete order, and the others be told with it. So do parcels whose
// contents are other codes than those ordered, when something is left: the
// warehouse sent a substitute, or writes its codes in another way. Where the
// contents are known and make no kit whole, assumed is false and left are the
// kits of which they are a part.
func (w *shipmentWriter) settle(o *shippingOrder, left []relay.ShippedLine, assumed bool) {
	lineIDs, units := make([]string, len(left)), make([]int64, len(left))
	for i, l := range left {
		lineIDs[i], units[i] = string(l.Line), l.Units
	}
	o.shipped.Add(relay.Allocation{Lines: left})
	detail := map[string]any{"contents": left}
	if !assumed {
		detail["kits"] = true
	}
	w.events = append(w.events, newEvent{o.id, EventAssumed, detail})
	// In SQL, since parcels of this very report have no number yet.
	w.batch.Queue(settleSQL, o.id, lineIDs, units, assumed)
	w.carts[o.cart] = true
}

const settleSQL = `
	with w as (select id, min(id) over () as first from shipments where order_id = $1 and (state = 'waiting' or (state = 'surplus' and cardinality($2::text[]) > 0))),
	l as (insert into shipment_lines (shipment_id, line_id, units)
		select distinct w.first, q.line, q.units from w, unnest($2::text[], $3::bigint[]) as q(line, units))
	update shipments s set
		state = case when s.id <> w.first then 'merged' when cardinality($2::text[]) = 0 then 'surplus' else 'ready' end,
		merged_into = case when s.id <> w.first then w.first end, assumed = s.assumed or $4
	from w where s.id = w.id`

// confirmSQL ends orders of which no more packages are expected and the cart
// has all tracking, and counts them.
const confirmSQL = `
	with u as (
		update orders o set state = 'confirmed', updated_at = now()
		where o.id = any($1) and o.state = 'shipped' and o.ship_complete
			and exists (select from shipments s where s.order_id = o.id and s.state = 'told')
			and not exists (select from shipments s where s.order_id = o.id and s.state in ('ready', 'waiting'))
		returning id),
	e as (insert into order_events (order_id, kind, actor) select id, 'confirmed', $2 from u)
	select count(*) from u`

// lastParcel is how long after its last parcel an order whose contents were
// assumed is still asked about: then no more packages are expected.
const lastParcel = 14 * 24 * time.Hour

// SettleOverdue settles parcels of unknown contents that nothing was added to
// for so long, though the order may not be complete, lest the cart wait without
// an end for a warehouse that never says so. It ends such orders after two weeks.
// A parcel with a part of a kit waits for two weeks, and ends nothing: the rest
// of the kit, or of the order, may be on back order.
func (s *Store) SettleOverdue(ctx context.Context, warehouse ConnectionID, age time.Duration, actor string) (Recorded, error) {
	rows, err := s.pool.Query(ctx, `
		select o.id, max(s.seen_at) < now() - $3::interval and not bool_and(part) from shipments s join orders o on o.id = s.order_id
			cross join lateral (select s.state = 'waiting' and exists (select from shipment_items i where i.shipment_id = s.id) as part) as p
		where o.id in ( -- the few of them, by index
				select order_id from shipments where state = 'waiting'
				union select id from orders where warehouse_id = $1 and state = 'shipped' and not ship_complete)
			and o.warehouse_id = $1 and (s.state = 'waiting' or (s.assumed and o.state = 'shipped' and not o.ship_complete))
		group by o.id having max(s.seen_at) < now() - case when bool_or(s.state = 'waiting' and not part) then $2::interval else $3::interval end
		order by o.id limit 500`, warehouse, age, lastParcel)
	if err != nil {
		return Recorded{}, fmt.Errorf("settle overdue parcels: %w", err)
	}
	reports, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Progress, err error) {
		p.Settle = true
		err = row.Scan(&p.Order, &p.Complete)
		return p, err
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("settle overdue parcels: %w", err)
	}
	return s.RecordProgress(ctx, actor, reports, Reading{})
}

// ShipmentToTell is a package that a cart is to be told of.
type ShipmentToTell struct {
	ID              int64
	Key             string // within its order: the same in every try, and of no other
	Order           relay.OrderID
	ExternalID      relay.ExternalID
	Carrier         string
	Service         string
	TrackingNumbers []string // its own, then those of parcels told with it
	TrackingURL     string
	ShippedAt       time.Time
	Lines           []relay.ShippedLine
	Attempts        int
}

// ShipmentsToTell returns packages that a cart is to be told of now. Packages
// of one order stay together as far as limit allows.
func (s *Store) ShipmentsToTell(ctx context.Context, cart ConnectionID, limit int) ([]ShipmentToTell, error) {
	rows, err := s.pool.Query(ctx, `
		select s.id, s.package_key, s.order_id, o.external_id, s.carrier, s.service,
			array[s.tracking_number] || array(select m.tracking_number from shipments m
				where m.merged_into = s.id and m.tracking_number <> s.tracking_number group by m.tracking_number order by min(m.id)),
			s.tracking_url, coalesce(s.shipped_at, s.seen_at), s.push_attempts
		from shipments s join orders o on o.id = s.order_id
		where s.cart_id = $1 and s.state = 'ready' and (s.next_push_at is null or s.next_push_at <= now()) order by s.id limit $2`, cart, limit)
	if err != nil {
		return nil, fmt.Errorf("read shipments: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (t ShipmentToTell, err error) {
		err = r.Scan(&t.ID, &t.Key, &t.Order, &t.ExternalID, &t.Carrier, &t.Service, &t.TrackingNumbers, &t.TrackingURL, &t.ShippedAt, &t.Attempts)
		return t, err
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	at := make(map[int64]int, len(list))
	ids := make([]int64, len(list))
	for i, t := range list {
		at[t.ID], ids[i] = i, t.ID
	}
	rows, err = s.pool.Query(ctx, `select shipment_id, line_id, units from shipment_lines where shipment_id = any($1) order by shipment_id, line_id`, ids)
	if err != nil {
		return nil, fmt.Errorf("read shipments: %w", err)
	}
	var id int64
	var l relay.ShippedLine
	_, err = pgx.ForEachRow(rows, []any{&id, &l.Line, &l.Units}, func() error {
		list[at[id]].Lines = append(list[at[id]].Lines, l)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read shipments: %w", err)
	}
	return list, nil
}

// Told is what came of telling a cart of one shipment.
type Told struct {
	Shipment int64
	Order    relay.OrderID
	CartID   string
	Found    bool // the cart had it already
	// Error, when set, is why the cart did not take it; told again after Retry.
	Error string
	Retry time.Duration
}

// RecordTold writes what carts took, and confirms orders of which the cart has
// all tracking. It returns how many were confirmed.
func (s *Store) RecordTold(ctx context.Context, actor string, told []Told) (confirmed int, err error) {
	if len(told) == 0 {
		return 0, nil
	}
	err = s.begin(ctx, func(tx pgx.Tx) error {
		var ids, failedIDs, orders []int64
		var cartIDs, errs []string
		var found []bool
		var retry []time.Duration
		for _, t := range told {
			if t.Error != "" {
				failedIDs, errs, retry = append(failedIDs, t.Shipment), append(errs, plain(t.Error)), append(retry, t.Retry)
				continue
			}
			ids, cartIDs, found = append(ids, t.Shipment), append(cartIDs, plain(t.CartID)), append(found, t.Found)
			orders = append(orders, int64(t.Order))
		}
		b := &pgx.Batch{}
		// In turn with RecordProgress: else each could miss that the other had ended the order.
		b.Queue(`select from orders where id = any($1) order by id for no key update`, orders)
		b.Queue(`
			with u as (
				update shipments s set state = 'told', told_at = now(), cart_shipment_id = q.cart, push_error = null, next_push_at = null, push_attempts = push_attempts + 1
				from unnest($1::bigint[], $2::text[], $3::boolean[]) as q(id, cart, found) where s.id = q.id and s.state = 'ready'
				returning s.order_id, s.id, q.cart, q.found)
			insert into order_events (order_id, kind, actor, detail)
			select order_id, 'told_cart', $4, jsonb_strip_nulls(jsonb_build_object('shipment', id, 'cart_shipment', cart, 'found', nullif(found, false))) from u`,
			ids, cartIDs, found, actor)
		// The cart took the units off its stock by itself, of a kit perhaps those of
		// its parts: what it was sent is not what it shows any more.
		b.Queue(`
			update sent_levels c set owed = least(c.owed, 0) - 1 from (
				select distinct s.cart_id, q.sku from shipments s join orders n on n.id = s.order_id join shipment_lines l on l.shipment_id = s.id
					join order_lines o on o.order_id = s.order_id and o.external_id = l.line_id
					cross join lateral (select btrim(o.sku) as sku union
						select component from kit_components k where k.merchant_id = n.merchant_id and k.sku = btrim(o.sku)) as q
				where s.id = any($1) and s.state = 'told') as t
			where c.cart_id = t.cart_id and c.sku = t.sku`, ids)
		b.Queue(`
			with u as (
				update shipments s set push_attempts = push_attempts + 1, push_error = q.error, next_push_at = now() + q.retry
				from unnest($1::bigint[], $2::text[], $3::interval[]) as q(id, error, retry) where s.id = q.id and s.state = 'ready'
				returning s.order_id, s.id, q.error, extract(epoch from q.retry)::bigint as again)
			insert into order_events (order_id, kind, actor, detail)
			select order_id, 'tell_failed', $4, jsonb_build_object('shipment', id, 'error', error, 'again_s', again) from u`, failedIDs, errs, retry, actor)
		b.Queue(confirmSQL, orders, actor).QueryRow(func(row pgx.Row) error { return row.Scan(&confirmed) })
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("record told shipments: %w", err)
	}
	return confirmed, nil
}

// Telling says how many shipments a cart is to be told of now, and when the next one is due.
func (s *Store) Telling(ctx context.Context, cart ConnectionID) (ready bool, next time.Time, err error) {
	var at *time.Time
	err = s.pool.QueryRow(ctx, `
		select exists (select from shipments where cart_id = $1 and state = 'ready' and (next_push_at is null or next_push_at <= now())),
			(select min(next_push_at) from shipments where cart_id = $1 and state = 'ready' and next_push_at > now())`, cart).Scan(&ready, &at)
	if err != nil {
		return false, time.Time{}, fmt.Errorf("look at shipments: %w", err)
	}
	return ready, fromNull(at), nil
}

// ParcelToTrack is a parcel on its way.
type ParcelToTrack struct {
	ID             int64
	Carrier        string
	TrackingNumber string
	TrackerID      string
	Status         string
}

// ParcelsToTrack returns parcels on their way that were last looked at longer ago than age.
func (s *Store) ParcelsToTrack(ctx context.Context, warehouse ConnectionID, age time.Duration, limit int) ([]ParcelToTrack, error) {
	rows, err := s.pool.Query(ctx, `
		select s.id, s.carrier, s.tracking_number, s.tracker_id, coalesce(s.delivery_status, '') from shipments s join orders o on o.id = s.order_id
		where o.warehouse_id = $1 and not s.delivery_ended and coalesce(s.tracked_at, s.seen_at) < now() - $2::interval and s.seen_at > now() - interval '60 days'
		order by coalesce(s.tracked_at, s.seen_at) limit $3`, warehouse, age, limit)
	if err != nil {
		return nil, fmt.Errorf("read parcels: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ParcelToTrack])
}

// Tracked is where a parcel was found.
type Tracked struct {
	ID     int64
	Status string
	URL    string
	Ended  bool
}

// RecordTracked writes where parcels are.
func (s *Store) RecordTracked(ctx context.Context, list []Tracked) error {
	b := &pgx.Batch{}
	for _, t := range list {
		b.Queue(`update shipments set delivery_status = coalesce(nullif($2, ''), delivery_status), tracking_url = coalesce(nullif($3, ''), tracking_url),
			delivery_ended = $4, tracked_at = now() where id = $1`, t.ID, t.Status, t.URL, t.Ended)
	}
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("record parcels: %w", err)
	}
	return nil
}
