package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// levelsRead names the cursor that holds when the last full reading of a warehouse's stock began.
const levelsRead = "levels_read"

// RecordLevels writes what a warehouse says it has, whose reading began at
// observed: a level for every site of every code that is named. Only figures
// that changed are written, and sites that closed are forgotten. It returns how many.
func (s *Store) RecordLevels(ctx context.Context, warehouse ConnectionID, levels []relay.InventoryLevel, meaning string, observed time.Time) (changed int, err error) {
	n := len(levels)
	codes, sites, quantities := make([]string, n), make([]string, n), make([]string, n)
	for i, l := range levels {
		codes[i], sites[i], quantities[i] = string(l.Code), l.Site, l.Quantity.String()
	}
	err = s.pool.QueryRow(ctx, `
		with l as (select * from unnest($2::text[], $3::text[], $4::text[]) as l(code, site, quantity)),
		closed as (
			delete from inventory_levels v where warehouse_id = $1 and code in (select code from l)
				and not exists (select from l where l.code = v.code and l.site = v.site) returning 1),
		written as (
			insert into inventory_levels (warehouse_id, code, site, quantity, meaning, observed_at)
			select $1, code, site, quantity::numeric, $5, $6 from l
			on conflict (warehouse_id, code, site) do update set quantity = excluded.quantity, meaning = excluded.meaning, observed_at = excluded.observed_at
			where (inventory_levels.quantity, inventory_levels.meaning) is distinct from (excluded.quantity, excluded.meaning) returning 1)
		select (select count(*) from closed) + (select count(*) from written)`,
		warehouse, codes, sites, quantities, meaning, observed).Scan(&changed)
	if err != nil {
		return 0, fmt.Errorf("record stock levels: %w", err)
	}
	return changed, nil
}

// RecordLevelsRead notes that a full reading of a warehouse's stock, begun at
// observed, has ended, and forgets the codes that it did not name: what is not
// known is not sent to any cart. No codes at all mean that nothing is forgotten.
func (s *Store) RecordLevelsRead(ctx context.Context, warehouse ConnectionID, codes []relay.ItemCode, observed time.Time) error {
	err := s.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			delete from inventory_levels v where warehouse_id = $1 and observed_at < $3 and cardinality($2::text[]) > 0
				and not exists (select from unnest($2::text[]) as named(code) where named.code = v.code)`, warehouse, texts(codes), observed); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, setCursorSQL, warehouse, levelsRead, observed.UTC().Format(time.RFC3339Nano))
		return err
	})
	if err != nil {
		return fmt.Errorf("record the reading of stock: %w", err)
	}
	return nil
}

// LevelToSend is a stock figure that a cart is to be told.
type LevelToSend struct {
	SKU       relay.SKU
	Code      relay.ItemCode
	Available relay.Quantity
	Owed      relay.Quantity
}

// LevelsToSend computes what a cart should show for each of its SKUs and
// returns those that differ from what was last sent, in order of SKU.
//
// available is the warehouse's figure over its sites, less the units of accepted
// orders that the figure still holds, never below 0. A figure net of orders holds
// those accepted after it was read; physical stock holds all that had not left
// by then. owed is what the warehouse has set aside or shipped for this cart's
// orders that the cart does not know as shipped and has not cancelled. A code that the warehouse never
// named is not sent at all.
func (s *Store) LevelsToSend(ctx context.Context, m Merchant, cart ConnectionID, cartName relay.ConnectionName, limit int) ([]LevelToSend, error) {
	rows, err := s.pool.Query(ctx, levelsToSendSQL, m.StoredWarehouse().ID, levelsRead, m.ID, cart, cartName, m.Unaliased == relay.SendUnaliased, limit)
	if err != nil {
		return nil, fmt.Errorf("compute stock levels: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LevelToSend])
	if err != nil {
		return nil, fmt.Errorf("compute stock levels: %w", err)
	}
	return list, nil
}

// unitsSQL reads a warehouse ($1) whose full readings are noted under a cursor ($2):
// level is its figure for each code, and units what accepted orders take, with
// what the figure leaves out of it already.
const unitsSQL = `
	with full_read as (
		select coalesce((select value::timestamptz from cursors where connection_id = $1 and name = $2), '-infinity') as at),
	level as (
		select code, sum(quantity) as quantity, bool_or(meaning = 'on_hand') as on_hand, max(observed_at) as changed_at,
			greatest(min(observed_at), (select at from full_read)) as at
		from inventory_levels where warehouse_id = $1 group by code),
	-- Accepted orders that have not ended, or ended after the figures were read.
	units as (
		select i.code, case when o.cart_cancelled_at is null then o.cart_id end as cart_id, i.units, -- a cart subtracts no order that it has cancelled
			case when level.on_hand then coalesce((select sum(l.units) from shipment_lines l join shipments sh on sh.id = l.shipment_id
					where sh.order_id = o.id and l.line_id = i.line_id and sh.seen_at <= level.at), 0)
				when s.resolved_at <= level.at then i.units else 0 end as left_out,
			coalesce((select sum(l.units) from shipment_lines l join shipments sh on sh.id = l.shipment_id
				where sh.order_id = o.id and l.line_id = i.line_id and sh.state = 'told'), 0) as told
		from orders o join submissions s on s.order_id = o.id and s.state = 'accepted' join submission_items i on i.submission_id = s.id
			join level on level.code = i.code
		where o.warehouse_id = $1 and (o.state in ('at_warehouse', 'cancel_requested', 'shipped')
			or (o.state = 'confirmed' and o.updated_at > (select min(at) from level))))`

// levelTargetsSQL computes what a cart ($4) of a merchant ($3) should show for each of its SKUs.
const levelTargetsSQL = unitsSQL + `,
	booked as (
		select code, sum(greatest(units - left_out, 0)) as held,
			sum(greatest(units - told, 0)) filter (where cart_id = $4) as owed from units group by code),
	named as (
		select a.sku, a.code, row_number() over (partition by a.sku order by a.cart = '') as rank
		from aliases a where a.merchant_id = $3 and a.cart in ('', $5)),
	sku as (
		select sku, code from named where rank = 1
		union all
		select code, code from level where $6 and not exists (select from named where named.sku = level.code)),
	target as (
		select sku.sku, level.code, greatest(trunc(level.quantity - coalesce(booked.held, 0)), 0) as available, coalesce(booked.owed, 0) as owed
		from sku join level on level.code = sku.code left join booked on booked.code = level.code)`

const levelsToSendSQL = levelTargetsSQL + `
	select t.sku, t.code, t.available::text, t.owed::text from target t left join cart_levels c on c.cart_id = $4 and c.sku = t.sku
	where (c.sku is null or (c.available, c.owed) is distinct from (t.available, t.owed) or c.error is not null)
		and (c.retry_at is null or c.retry_at <= now() or (c.available, c.owed) is distinct from (t.available, t.owed))
	order by t.sku limit $7`

// LastSent is when a cart was last sent a figure; the zero time when never.
func (s *Store) LastSent(ctx context.Context, cart ConnectionID) (time.Time, error) {
	var at *time.Time
	if err := s.pool.QueryRow(ctx, `select max(sent_at) from cart_levels where cart_id = $1`, cart).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("read sent stock levels: %w", err)
	}
	return fromNull(at), nil
}

// LevelSent is what came of sending one figure.
type LevelSent struct {
	LevelToSend
	Error string        // why the cart did not take it; "" when it did
	Retry time.Duration // with Error: not sent again before, unless the figure changes
}

// RecordSent writes what a cart was sent.
func (s *Store) RecordSent(ctx context.Context, cart ConnectionID, sent []LevelSent) error {
	n := len(sent)
	skus, available, owed, errs, retry := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]time.Duration, n)
	for i, l := range sent {
		skus[i], available[i], owed[i], errs[i], retry[i] = string(l.SKU), l.Available.String(), l.Owed.String(), l.Error, l.Retry
	}
	_, err := s.pool.Exec(ctx, `
		insert into cart_levels (cart_id, sku, available, owed, sent_at, error, retry_at)
		select $1, s, a::numeric, o::numeric, now(), nullif(e, ''), case when e <> '' then now() + r end
		from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::interval[]) as l(s, a, o, e, r)
		on conflict (cart_id, sku) do update set available = excluded.available, owed = excluded.owed, sent_at = excluded.sent_at,
			error = excluded.error, retry_at = excluded.retry_at`, cart, skus, available, owed, errs, retry)
	if err != nil {
		return fmt.Errorf("record sent stock levels: %w", err)
	}
	return nil
}
