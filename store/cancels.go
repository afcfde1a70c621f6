package store

import (
	"context"
	"errors"
	"fmt"
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
)

// CancelRequest is the ledger's answer to a cancel.
type CancelRequest struct {
	Order            relay.OrderID
	Reference        relay.Reference
	Standing         CancelStanding
	WarehouseOrderID relay.WarehouseOrderID
	Since            time.Time // at the warehouse since
	Evidence         string    // with TooLate: carrier and tracking number
	WasHeld          bool
}

// RequestCancel decides, under the order's row lock, what a cancel can still
// do, and moves the order accordingly. Harmless twice.
func (s *Store) RequestCancel(ctx context.Context, order relay.OrderID, actor, reason string) (CancelRequest, error) {
	var r CancelRequest
	err := s.begin(ctx, func(tx pgx.Tx) error {
		r = CancelRequest{Order: order}
		var state relay.OrderState
		var live bool
		var wid *relay.WarehouseOrderID
		var since, asked *time.Time
		err := tx.QueryRow(ctx, `
			select reference, state, warehouse_order_id, accepted_at, cancel_requested_at,
				exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted'))
			from orders o where id = $1 for update`, order).Scan(&r.Reference, &state, &wid, &since, &asked, &live)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if wid != nil {
			r.WarehouseOrderID, r.Since = *wid, fromNull(since)
		}
		r.WasHeld = state == relay.OrderHeld
		switch state {
		case relay.OrderCancelled, relay.OrderSendingCancelled:
			r.Standing = AlreadyCancelled
			return nil
		case relay.OrderShipped, relay.OrderConfirmed:
			r.Standing = TooLate
		case relay.OrderAtWarehouse, relay.OrderCancelRequested:
			r.Standing = AskWarehouse
		case relay.OrderSubmitting, relay.OrderInDoubt:
			r.Standing = OnceKnown
		default:
			r.Standing = StoppedBeforeSending
			if live { // on hold because nobody knows whether the warehouse has it
				r.Standing = OnceKnown
			}
		}
		if asked == nil {
			if _, err := tx.Exec(ctx, `
				update orders set cancel_requested_at = now(), cancel_requested_by = $2, cancel_reason = $3, updated_at = now() where id = $1`,
				order, actor, reason); err != nil {
				return err
			}
			if err := insertEvents(ctx, tx, actor, []newEvent{{order, EventCancelAsked, map[string]any{"reason": reason}}}); err != nil {
				return err
			}
		}
		switch r.Standing {
		case TooLate:
			if err := tx.QueryRow(ctx, `select coalesce((select carrier || ' ' || tracking_number from shipments where order_id = $1 order by id limit 1), '')`,
				order).Scan(&r.Evidence); err != nil {
				return err
			}
			return insertEvents(ctx, tx, actor, []newEvent{{order, EventCancelTooLate, map[string]any{"evidence": r.Evidence, "reason": reason}}})
		case StoppedBeforeSending:
			return cancelSending(ctx, tx, actor, []relay.OrderID{order}, reason)
		case AskWarehouse:
			_, err = tx.Exec(ctx, `update orders set state = 'cancel_requested', cancel_next_at = now() where id = $1 and state = 'at_warehouse'`, order)
			return err
		case OnceKnown:
			// On hold with an open question: look again, so that the cancel gets its answer.
			_, err = tx.Exec(ctx, `update orders set state = 'in_doubt', next_look_at = now(), looks = 0, `+clearHold+` where id = $1 and state = 'held'`, order)
			return err
		}
		return nil
	})
	if err != nil {
		return CancelRequest{}, fmt.Errorf("cancel order: %w", err)
	}
	return r, nil
}

// cancelSending ends orders of which nothing is at the warehouse.
func cancelSending(ctx context.Context, tx pgx.Tx, actor string, ids []relay.OrderID, why string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		with u as (update orders set state = 'sending_cancelled', next_look_at = null, retry_at = null, `+clearHold+` where id = any($1) and state = any($2) returning id)
		insert into order_events (order_id, kind, actor, detail) select id, 'sending_cancelled', $3, jsonb_build_object('reason', $4::text) from u`,
		orderIDs(ids), into(relay.OrderSendingCancelled), actor, why)
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
	Order    relay.OrderID
	Done     bool // cancelled there
	TooLate  bool // it will ship or has shipped
	Evidence string
	Again    time.Duration // neither: ask again after this
}

// RecordCancels writes what a warehouse answered.
func (s *Store) RecordCancels(ctx context.Context, actor string, results []CancelResult) error {
	err := s.begin(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		for _, r := range results {
			switch {
			case r.Done:
				b.Queue(`
					with u as (update orders set state = 'cancelled', cancel_next_at = null, updated_at = now() where id = $1 and state = 'cancel_requested' returning id),
					s as (update submissions set state = 'withdrawn' from u where order_id = u.id and submissions.state = 'accepted')
					insert into order_events (order_id, kind, actor, detail) select id, 'cancelled', $2, jsonb_build_object('evidence', $3::text) from u`,
					r.Order, actor, plain(r.Evidence))
			case r.TooLate:
				b.Queue(`
					with u as (update orders set state = 'at_warehouse', cancel_next_at = null, updated_at = now() where id = $1 and state = 'cancel_requested' returning id)
					insert into order_events (order_id, kind, actor, detail) select id, 'cancel_too_late', $2, jsonb_build_object('evidence', $3::text) from u`,
					r.Order, actor, plain(r.Evidence))
			default:
				b.Queue(`
					with u as (update orders set cancel_next_at = now() + $4::interval, updated_at = now() where id = $1 and state = 'cancel_requested' returning id)
					insert into order_events (order_id, kind, actor, detail) select id, 'cancel_pending', $2, jsonb_build_object('evidence', $3::text) from u`,
					r.Order, actor, plain(r.Evidence), r.Again)
			}
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("record cancels: %w", err)
	}
	return nil
}

// CartOrders finds the orders with the given cart ids that have not ended.
func (s *Store) CartOrders(ctx context.Context, cart ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]relay.OrderID, error) {
	rows, err := s.pool.Query(ctx, `
		select external_id, id from orders where cart_id = $1 and external_id = any($2) and cancel_requested_at is null
			and state not in ('cancelled', 'sending_cancelled')`, cart, texts(ids))
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
		select external_id, id from orders where cart_id = $1 and state in ('new', 'held') and id > $2 order by id limit $3`, cart, after, limit)
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
