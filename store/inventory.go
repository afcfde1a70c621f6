package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

const (
	// levelsRead names the cursor that holds when the last whole reading of a
	// warehouse's stock began: all figures stood as of then.
	levelsRead = "levels_read"
	// stockCursor names the cursor that holds a StockCursor.
	stockCursor = "inventory"
)

// RecordLevels writes what a warehouse says it has, whose reading began at
// observed: a level for every site of every code that is named. Only figures
// that changed are written, and sites that closed are forgotten. It returns how many.
//
// ErrReadOn, and nothing is written, when a figure of them was read later, or all
// were: a worker that was taken for dead must not undo what another has read since.
func (s *Store) RecordLevels(ctx context.Context, warehouse ConnectionID, levels []relay.InventoryLevel, meaning string, observed time.Time) (changed int, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		changed, err = recordLevels(ctx, tx, warehouse, levels, meaning, observed)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("record stock levels: %w", err)
	}
	return changed, nil
}

func recordLevels(ctx context.Context, tx pgx.Tx, warehouse ConnectionID, levels []relay.InventoryLevel, meaning string, observed time.Time) (changed int, err error) {
	n := len(levels)
	codes, sites, quantities := make([]string, n), make([]string, n), make([]string, n)
	for i, l := range levels {
		codes[i], sites[i], quantities[i] = string(l.Code), l.Site, l.Quantity.String()
	}
	if _, err := tx.Exec(ctx, `select from connections where id = $1 for no key update`, warehouse); err != nil { // pages take turns
		return 0, err
	}
	var late bool
	err = tx.QueryRow(ctx, `
		select exists (select from inventory_levels where warehouse_id = $1 and code = any($2) and observed_at > $3)
			or coalesce((select value::timestamptz > $3 from cursors where connection_id = $1 and name = $4), false)`, warehouse, codes, observed, levelsRead).Scan(&late)
	if err != nil {
		return 0, err
	}
	if late {
		return 0, ErrReadOn
	}
	err = tx.QueryRow(ctx, `
		with l as ( -- of a level that is told twice the last counts
			select distinct on (code, site) code, site, quantity from unnest($2::text[], $3::text[], $4::text[]) with ordinality as l(code, site, quantity, n)
			order by code, site, n desc),
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
	return changed, err
}

// StockCursor is where the reading of a warehouse's stock has got to.
type StockCursor struct {
	Place string `json:"place,omitempty"` // the connector's own cursor
	// Began is when the reading began that is under way: one that was cut short
	// goes on at Place, and what it did not name stands only as of then. Zero
	// between two readings.
	Began time.Time `json:"began,omitzero"`
}

// StockCursor reads where the reading of a warehouse's stock has got to.
func (s *Store) StockCursor(ctx context.Context, warehouse ConnectionID) (StockCursor, error) {
	value, err := s.Cursor(ctx, warehouse, stockCursor)
	if err != nil || value == "" {
		return StockCursor{}, err
	}
	var c StockCursor
	if err := json.Unmarshal([]byte(value), &c); err != nil {
		return StockCursor{}, fmt.Errorf("read the cursor of stock: %w", err)
	}
	return c, nil
}

// SetStockCursor notes where a reading has got to, once its pages so far are recorded.
func (s *Store) SetStockCursor(ctx context.Context, warehouse ConnectionID, c StockCursor) error {
	return s.SetCursor(ctx, warehouse, stockCursor, c.String())
}

// String is how the cursor is kept.
func (c StockCursor) String() string {
	b, err := json.Marshal(c)
	if err != nil { // only a year beyond 9999 could cause it: start over
		return ""
	}
	return string(b)
}

// LevelsReading is a reading of a warehouse's stock that came to its end.
type LevelsReading struct {
	Began time.Time
	// Codes are all that it named, and the others are forgotten: what is not known
	// is not sent to any cart. None: nothing is forgotten. A reading of only what
	// changed gives none.
	Codes []relay.ItemCode
	Place string // the connector's cursor, for the next reading
}

// RecordLevelsRead notes that a whole reading has ended. All figures stand as of
// its beginning: those that it named were read later, and those that a reading of
// changes did not name had not changed by then. ErrReadOn, and nothing is written,
// when a reading that began later has ended.
func (s *Store) RecordLevelsRead(ctx context.Context, warehouse ConnectionID, r LevelsReading) error {
	err := s.begin(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from connections where id = $1 for no key update`, warehouse); err != nil { // as its pages do
			return err
		}
		var late bool
		err := tx.QueryRow(ctx, `
			select coalesce((select value::timestamptz > $2 from cursors where connection_id = $1 and name = $3), false)`, warehouse, r.Began, levelsRead).Scan(&late)
		if err != nil {
			return err
		}
		if late {
			return ErrReadOn
		}
		b := &pgx.Batch{}
		b.Queue(`
			delete from inventory_levels v where warehouse_id = $1 and observed_at < $3 and cardinality($2::text[]) > 0
				and not exists (select from unnest($2::text[]) as named(code) where named.code = v.code)`, warehouse, orEmpty(r.Codes), r.Began)
		b.Queue(setCursorSQL, warehouse, levelsRead, r.Began.UTC().Format(time.RFC3339Nano))
		b.Queue(setCursorSQL, warehouse, stockCursor, StockCursor{Place: r.Place}.String())
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("record the reading of stock: %w", err)
	}
	return nil
}

// unitsSQL reads a warehouse ($1) of which a whole reading began at a time ($2,
// see wholeReading): level is its figure for each code, and units what accepted
// orders take, with what the figure leaves out of it already. A figure net of
// orders leaves out those accepted before it was read, but none that the warehouse
// has only received; physical stock what had left by then.
const (
	unitsSQL        = unitsFromSQL + unitsOfSQL
	unitsOfCodesSQL = unitsFromSQL + ` and code = any($3)` + unitsOfSQL // of some codes only

	unitsFromSQL = `
	with level as (
		select code, sum(quantity) as quantity, bool_or(meaning = 'on_hand') as on_hand, max(observed_at) as changed_at,
			greatest(min(observed_at), $2::timestamptz) as at
		from inventory_levels where warehouse_id = $1`
	unitsOfSQL = ` group by code),
	` + openOrdersSQL + `
		union all
		-- Those that ended after the figures were read: the figures may hold them.
		select id, cart_id, cart_cancelled_at, traits->>'location', false from orders
		where warehouse_id = $1 and state = 'confirmed' and updated_at > $2::timestamptz),
	units as (
		select o.id as order_id, o.cart_id, coalesce(o.location, '') as location, i.code, sum(i.units)::bigint as units,
			case when level.on_hand then least(sum(i.units), greatest(
				-- Whole units of lines or, of kits, what has left without making one whole.
				sum(case when level.on_hand then i.per * (select sum(l.units) from shipment_lines l join shipments sh on sh.id = l.shipment_id
					where sh.order_id = o.id and l.line_id = i.line_id and sh.seen_at <= level.at) end),
				(select sum(k.units) from shipment_items k join shipments sh on sh.id = k.shipment_id
					where sh.order_id = o.id and k.code = i.code and sh.seen_at <= level.at), 0))::bigint
				when s.resolved_at <= level.at and not o.unanswered then sum(i.units)::bigint else 0 end as left_out
		from open_orders o join submissions s on s.order_id = o.id and s.state = 'accepted' join submission_items i on i.submission_id = s.id
			join level on level.code = i.code
		group by o.id, o.cart_id, o.location, i.code, level.on_hand, level.at, s.resolved_at, o.unanswered)`

	// openOrdersSQL are a warehouse's orders that have not ended, each by an index
	// of its own; those on hold are there all the same. Its bracket stays open.
	openOrdersSQL = `open_orders as (
		select id, cart_id, cart_cancelled_at, traits->>'location' as location, answer_due is not null as unanswered from orders
		where warehouse_id = $1 and state in ('at_warehouse', 'cancel_requested', 'shipped')
		union all
		select id, cart_id, cart_cancelled_at, traits->>'location', false from orders
		where warehouse_id = $1 and state = 'held' and warehouse_order_id is not null`
)

// wholeReading tells when the last whole reading of a warehouse's stock began, for
// unitsSQL; where there was none, when its oldest figure was read. It is asked for
// beforehand, since the planner has to know how few orders ended after it.
func wholeReading(ctx context.Context, q querier, warehouse ConnectionID) (at string, err error) {
	rows, err := q.Query(ctx, `
		select coalesce((select value from cursors where connection_id = $1 and name = $2),
			(select min(observed_at) from inventory_levels where warehouse_id = $1)::text, 'infinity')`, warehouse, levelsRead)
	if err != nil {
		return "", err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
}
