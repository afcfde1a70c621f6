package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// A person's cancel is to be told to the cart from the moment it is asked for,
// but only once it has ended the order: whether by the ledger, by a refusal or
// by the warehouse's word, the state decides, so no way to that end can forget
// it. A warehouse's own cancel is not told: the merchant may want to send anew.
const cancelToTell = `cart_cancel_at is not null and state in ('cancelled', 'sending_cancelled')`

// CancelToTell is a cancelled order that its cart is to be told of.
type CancelToTell struct {
	Order      relay.OrderID
	Reference  relay.Reference
	ExternalID relay.ExternalID
	Attempts   int // this one included
	// Doubt says that the outcome of an earlier attempt is not known.
	Doubt bool
}

// ClaimCancelsToTell returns cancels that a cart is to be told of now. It is
// noted before they are tried, for an order whose cart may have been told is not
// reopened; and they come again after the lease.
func (s *Store) ClaimCancelsToTell(ctx context.Context, cart ConnectionID, lease time.Duration, limit int) ([]CancelToTell, error) {
	rows, err := s.pool.Query(ctx, `
		with due as (
			select id, cart_cancel_sent_at is not null as doubt from orders where cart_id = $1 and `+cancelToTell+` and cart_cancel_at <= now()
			order by cart_cancel_at, id limit $3 for update skip locked),
		u as (
			update orders o set cart_cancel_attempts = cart_cancel_attempts + 1, cart_cancel_sent_at = now(), cart_cancel_at = now() + $2::interval
			from due where o.id = due.id returning o.id, o.reference, o.external_id, o.cart_cancel_attempts, due.doubt)
		select * from u order by id`, cart, lease, limit)
	if err != nil {
		return nil, fmt.Errorf("read cancels to tell: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CancelToTell])
	if err != nil {
		return nil, fmt.Errorf("read cancels to tell: %w", err)
	}
	return list, nil
}

// CancelTold is what came of telling a cart of one cancel.
type CancelTold struct {
	Order  relay.OrderID
	Status string // the cart's own word for it now
	Found  bool   // it was cancelled there already
	// Error, when set, is why the cart did not take it; told again after Retry.
	Error   string
	Retry   time.Duration
	Unknown bool // with Error or Untried: this attempt, or one before it, may have been taken all the same
	Untried bool // nothing was tried: told again after Retry
}

// RecordCancelsTold writes what carts took. What was settled otherwise
// meanwhile, by the cart's own word, changes nothing.
func (s *Store) RecordCancelsTold(ctx context.Context, actor string, told []CancelTold) error {
	if len(told) == 0 {
		return nil
	}
	n := len(told)
	ids, statuses, found := make([]int64, n), make([]string, n), make([]bool, n)
	errs, retry, unknown, untried := make([]string, n), make([]time.Duration, n), make([]bool, n), make([]bool, n)
	for i, t := range told {
		ids[i], statuses[i], found[i] = int64(t.Order), plain(t.Status), t.Found
		errs[i], retry[i], unknown[i], untried[i] = plain(t.Error), t.Retry, t.Unknown, t.Untried
	}
	err := s.begin(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			with q as (
				select * from unnest($1::bigint[], $2::text[], $3::boolean[], $4::text[], $5::interval[], $7::boolean[], $8::boolean[])
					as q(id, status, found, error, retry, unknown, untried)),
			u as (
				update orders o set
					cart_cancelled_at = case when error = '' and not untried then now() end,
					cart_cancel_at = case when error <> '' or untried then now() + retry end,
					cart_cancel_sent_at = case when unknown then cart_cancel_sent_at end,
					cart_cancel_attempts = cart_cancel_attempts - untried::int,
					cart_cancel_error = case when untried then cart_cancel_error else nullif(error, '') end
				from q where o.id = q.id and cart_cancel_at is not null
				returning o.id, q.status, q.found, q.error, q.untried)
			insert into order_events (order_id, kind, actor, detail)
			select id, case error when '' then 'cancel_told_cart' else 'cancel_tell_failed' end, $6,
				jsonb_strip_nulls(jsonb_build_object('status', nullif(status, ''), 'found', nullif(found, false), 'error', nullif(error, ''))) from u where not untried`,
			ids, statuses, found, errs, retry, actor, unknown, untried)
		return err
	})
	if err != nil {
		return fmt.Errorf("record told cancels: %w", err)
	}
	return nil
}

// CancelsTelling says whether a cart is to be told of cancels now, and when the next is due.
func (s *Store) CancelsTelling(ctx context.Context, cart ConnectionID) (ready bool, next time.Time, err error) {
	var at *time.Time
	err = s.pool.QueryRow(ctx, `
		select coalesce(bool_or(cart_cancel_at <= now()), false), min(cart_cancel_at) filter (where cart_cancel_at > now())
		from orders where cart_id = $1 and `+cancelToTell, cart).Scan(&ready, &at)
	if err != nil {
		return false, time.Time{}, fmt.Errorf("look at cancels to tell: %w", err)
	}
	return ready, fromNull(at), nil
}

// CartsToTell names a merchant's carts that are to be told of cancels or parcels now.
func (s *Store) CartsToTell(ctx context.Context, merchant relay.MerchantID) ([]relay.ConnectionName, error) {
	rows, err := s.pool.Query(ctx, `
		select name from connections c where merchant_id = $1 and role = 'cart' and removed_at is null
			and (exists (select from orders where cart_id = c.id and `+cancelToTell+` and cart_cancel_at <= now())
				or exists (select from shipments where cart_id = c.id and state = 'ready' and (next_push_at is null or next_push_at <= now())))
		order by name`, merchant)
	if err != nil {
		return nil, fmt.Errorf("look at what carts are to be told: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[relay.ConnectionName])
}
