package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A vendor sets no stock on condition that it is what we read, and a worker that
// lost touch with Temporal goes on beside the one that took its place. So two
// pushes to a cart may overlap, and the later record then need not be the later
// write. Each is therefore noted before it begins: one that ends after
// another of the same SKUs began leaves its levels to be told once more, and so
// does one of which nothing is heard until its time is over.

// StockPush is a push of levels to a cart that has begun.
type StockPush int64

// LevelSent is what came of sending one figure.
type LevelSent struct {
	LevelToSend
	Error   string        // why the cart did not take it; "" when it did
	Retry   time.Duration // with Error: not sent again before, unless the figure changes
	ByParts bool          // the cart keeps no stock of the SKU: its orders take of what it is made of
}

// BeginPush notes that a cart is about to be sent levels, and that this surely
// ends within the given time.
func (s *Store) BeginPush(ctx context.Context, cart ConnectionID, levels []LevelToSend, within time.Duration) (StockPush, error) {
	skus, locations := make([]string, len(levels)), make([]string, len(levels))
	for i, l := range levels {
		skus[i], locations[i] = string(l.SKU), l.Location
	}
	var id StockPush
	// Two statements, each for itself: of two pushes that begin at once, the first to
	// look for others has the other's row before it.
	err := s.pool.QueryRow(ctx, `
		insert into stock_pushes (cart_id, skus, locations, ends_at) values ($1, $2, $3, now() + $4::interval) returning id`,
		cart, skus, locations, within).Scan(&id)
	if err == nil {
		_, err = s.pool.Exec(ctx, `
			update stock_pushes set overtaken = true where cart_id = $1 and id <> $2 and not overtaken and skus && $3`, cart, id, skus)
	}
	if err != nil {
		return 0, fmt.Errorf("begin to send stock levels: %w", err)
	}
	return id, nil
}

// RecordSent ends a push and writes what the cart was sent. again says that some
// levels are due at once: another push may have written over them, or a shipment
// was told meanwhile.
func (s *Store) RecordSent(ctx context.Context, cart ConnectionID, push StockPush, sent []LevelSent) (again bool, err error) {
	n := len(sent)
	skus, locations, available, owed, moved := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	errs, retry, byParts := make([]string, n), make([]time.Duration, n), make([]bool, n)
	for i, l := range sent {
		skus[i], locations[i], available[i], owed[i], moved[i] = string(l.SKU), l.Location, l.Available.String(), l.Owed.String(), l.Moved.String()
		errs[i], retry[i], byParts[i] = plain(l.Error), l.Retry, l.ByParts
	}
	err = s.begin(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		// The next statement is to see what moved until now, and nothing to move them before its end.
		b.Queue(`
			select from (select * from unnest($2::text[], $3::text[]) as u(sku, location) order by 1, 2) as q
				cross join lateral (select from sent_levels l where l.cart_id = $1 and l.sku = q.sku and l.location = q.location for update) as l`,
			cart, skus, locations)
		// A push that is gone was given up: that is as good as overtaken.
		b.Queue(`
			with ended as (delete from stock_pushes where id = $1 returning overtaken),
			sent as (
				select q.*, case when coalesce((select overtaken from ended), true) then least(l.owed, 0) - 1
					when l.owed < 0 and l.owed <> q.moved then l.owed else q.owed end as now_owed
				from unnest($3::text[], $4::text[], $5::numeric[], $6::numeric[], $7::numeric[], $8::text[], $9::interval[], $10::boolean[])
					as q(sku, location, available, owed, moved, error, retry, by_parts)
				-- Each by the index: a join would read all of the cart's.
				left join lateral (
					select owed from sent_levels l where l.cart_id = $2 and l.sku = q.sku and l.location = q.location offset 0) as l on true),
			written as (
				insert into sent_levels (cart_id, sku, location, available, owed, sent_at, error, retry_at, by_parts)
				select $2, sku, location, available, now_owed, now(), nullif(error, ''), case when error <> '' then now() + retry end, by_parts from sent
				on conflict (cart_id, sku, location) do update set available = excluded.available, owed = excluded.owed, sent_at = excluded.sent_at,
					error = excluded.error, retry_at = excluded.retry_at, by_parts = excluded.by_parts
				returning owed)
			select coalesce(bool_or(owed < 0), false) from written`, push, cart, skus, locations, available, owed, moved, errs, retry, byParts,
		).QueryRow(func(row pgx.Row) error { return row.Scan(&again) })
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return false, fmt.Errorf("record sent stock levels: %w", err)
	}
	return again, nil
}

// GiveUpPushes has the levels of a cart told again whose push ended without a
// word. next is when the next of those under way is given up; zero: none is.
func (s *Store) GiveUpPushes(ctx context.Context, cart ConnectionID) (next time.Time, err error) {
	var at *time.Time
	err = s.pool.QueryRow(ctx, `
		with gone as (delete from stock_pushes where cart_id = $1 and ends_at <= now() returning skus, locations),
		moved as (
			update sent_levels c set owed = least(c.owed, 0) - 1
			from (select distinct q.sku, q.location from gone, unnest(skus, locations) as q(sku, location)) as g
			where c.cart_id = $1 and c.sku = g.sku and c.location = g.location)
		select min(ends_at) from stock_pushes where cart_id = $1 and ends_at > now()`, cart).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("give up sending stock levels: %w", err)
	}
	return fromNull(at), nil
}
