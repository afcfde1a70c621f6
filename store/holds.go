package store

import (
	"context"
	"fmt"

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
	Hold     *HoldSummary // nil when the order is not on hold
	Resend   relay.ResendClock
	Evidence string // for people: what became of it, without personal data
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
		v.State, v.Hold = o.State, o.Hold
		if o.WarehouseOrderID != "" {
			v.Evidence = "warehouse order " + string(o.WarehouseOrderID)
		}
		if err := tx.QueryRow(ctx, `select resend_hour, resend_zone from merchants where id = $1`, o.Merchant).Scan(&v.Resend.Hour, &v.Resend.Zone); err != nil {
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
// instead (promise 2). It returns those that were on hold.
func (s *Store) Release(ctx context.Context, orders []relay.OrderID, actor, why string) ([]relay.OrderID, error) {
	var out []relay.OrderID
	err := s.begin(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			with l as (
				select o.id, exists (select from submissions s where s.order_id = o.id and s.state = 'in_doubt') as live
				from orders o where o.id = any($1) and o.state = 'held' for update),
			u as (
				update orders o set state = case when l.live then 'in_doubt' else 'new' end, next_look_at = case when l.live then now() end, looks = 0,
					retry_at = null, `+clearHold+`
				from l where o.id = l.id returning o.id),
			e as (insert into order_events (order_id, kind, actor, detail) select id, 'released', $2, jsonb_build_object('why', $3::text) from u)
			select id from u`, orderIDs(orders), actor, why)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowTo[relay.OrderID])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("release orders: %w", err)
	}
	return out, nil
}

// HoldOrder puts an order on hold that was not sent yet. It reports whether it did.
func (s *Store) HoldOrder(ctx context.Context, order relay.OrderID, hold relay.Hold, actor string) (bool, error) {
	var done bool
	err := s.begin(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `select from orders where id = $1 and state = 'new' for update`, order)
		if done = err == nil && tag.RowsAffected() > 0; !done {
			return err
		}
		return holdOrders(ctx, tx, actor, []holdRow{{order: order, hold: hold}})
	})
	if err != nil {
		return false, fmt.Errorf("hold order: %w", err)
	}
	return done, nil
}

// HeldFor returns held orders of a merchant with their lines, for one of the
// given reasons, behind after.
func (s *Store) HeldFor(ctx context.Context, merchant relay.MerchantID, reasons []relay.HoldReason, after relay.OrderID, limit int) ([]relay.Order, error) {
	rows, err := s.pool.Query(ctx, `
		select `+orderColumns+` from orders o join connections c on c.id = o.cart_id
		where o.merchant_id = $1 and o.state = 'held' and o.hold_reason = any($2) and o.id > $3 order by o.id limit $4`, merchant, texts(reasons), after, limit)
	if err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	orders, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (relay.Order, error) { return scanOrder(r) })
	if err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	if err := loadLines(ctx, s.pool, orders); err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	return orders, nil
}

// HeldOrders returns ids of a merchant's orders on hold, oldest first: those
// with the given references, else those with the reason, else all.
func (s *Store) HeldOrders(ctx context.Context, merchant relay.MerchantID, reason relay.HoldReason, references []relay.Reference, limit int) ([]relay.OrderID, error) {
	var refs []string
	if len(references) > 0 {
		refs = texts(references)
	}
	rows, err := s.pool.Query(ctx, `
		select id from orders where merchant_id = $1 and state = 'held'
			and case when $3::text[] is not null then reference = any($3) else $2 = '' or hold_reason = $2 end
		order by id limit $4`, merchant, string(reason), refs, limit)
	if err != nil {
		return nil, fmt.Errorf("read held orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[relay.OrderID])
}
