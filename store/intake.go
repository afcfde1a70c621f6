package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Known tells for each cart order whether the ledger holds it at that version or
// a later one. One that could not be read well, or was not ready any more when it was
// last looked at, is not known: it is read again.
func (s *Store) Known(ctx context.Context, cart ConnectionID, ids []relay.ExternalID, versions []time.Time) ([]bool, error) {
	rows, err := s.pool.Query(ctx, `
		select exists (select from orders o where o.cart_id = $1 and o.external_id = q.id and o.cart_updated_at >= q.version and o.problems is null
			and not o.traits ? 'unready')
		from unnest($2::text[], $3::timestamptz[]) with ordinality as q(id, version, n) order by n`, cart, ids, versions)
	if err != nil {
		return nil, fmt.Errorf("look up cart orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[bool])
}

// Cursor reads a connection's named cursor; "" when there is none yet.
func (s *Store) Cursor(ctx context.Context, connection ConnectionID, name string) (string, error) {
	var value string
	err := s.pool.QueryRow(ctx, `
		select coalesce((select value from cursors where connection_id = $1 and name = $2), '')`, connection, name).Scan(&value)
	if err != nil {
		return "", fmt.Errorf("read cursor %s: %w", name, err)
	}
	return value, nil
}

const setCursorSQL = `
	insert into cursors (connection_id, name, value) values ($1, $2, $3)
	on conflict (connection_id, name) do update set value = excluded.value, updated_at = now() where cursors.value <> excluded.value`

// TakenIn is what became of a page of cart orders.
type TakenIn struct {
	New, Changed, TooLate int // New: without those that the filter leaves out
	// Skipped counts orders, new ones or not, that the cart's filter leaves out by
	// what the cart tells of them now; Unskipped those that it lets go again.
	Skipped, Unskipped int
	// Back counts orders that were cancelled and are ready again at the cart.
	Back int
	// Woken are held orders that the change released or that are skipped now: their
	// workflows should look again.
	Woken []relay.OrderID
}

// TakeIn stores a page of cart orders and then, in the same transaction, the
// cursor behind it: the cursor never runs ahead of the orders. A page that
// comes again changes nothing. An order that changed at the cart is taken over
// as long as it is not with the warehouse, and may not be; and so long the cart's
// filter decides whether it is skipped.
func (s *Store) TakeIn(ctx context.Context, cart Connection, page []relay.CartOrder, cursorName, cursor, actor string) (TakenIn, error) {
	var out TakenIn
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = TakenIn{}
		if len(page) > 0 {
			if err := s.takeIn(ctx, tx, cart, page, actor, &out); err != nil {
				return err
			}
		}
		if err := letEditedGo(ctx, tx, cart.ID, actor, &out); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, setCursorSQL, cart.ID, cursorName, cursor)
		return err
	})
	if err != nil {
		return TakenIn{}, fmt.Errorf("take in orders of %s/%s: %w", cart.Merchant, cart.Name, err)
	}
	return out, nil
}

// held is what the ledger holds of a cart order.
type held struct {
	id        relay.OrderID
	state     relay.OrderState
	reason    relay.HoldReason
	digest    []byte // of what the cart told last
	version   time.Time
	live      bool // a submission is under way or accepted
	cancelled bool // at the cart, as far as we know
	telling   bool // the cart is to be told of a cancel
}

// ended reports whether the order was cancelled.
func (k held) ended() bool {
	return k.state == relay.OrderCancelled || k.state == relay.OrderSendingCancelled
}

// free reports whether the order's content may be replaced: nothing of it can be
// at the warehouse, or what was is cancelled.
func (k held) free() bool {
	return !k.live && (k.ended() || k.state == relay.OrderNew || k.state == relay.OrderHeld || k.state == relay.OrderSkipped)
}

func (s *Store) takeIn(ctx context.Context, tx pgx.Tx, cart Connection, page []relay.CartOrder, actor string, out *TakenIn) error {
	// References are unique per merchant, so two carts of one merchant take turns.
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('reference/' || $1, 0))`, cart.Merchant); err != nil {
		return err
	}
	latest := make(map[relay.ExternalID]relay.CartOrder, len(page))
	var ids []relay.ExternalID
	for _, o := range page {
		before, twice := latest[o.ExternalID]
		if !twice {
			ids = append(ids, o.ExternalID)
		}
		if !o.UpdatedAt.Before(before.UpdatedAt) {
			latest[o.ExternalID] = o
		}
	}
	filter, err := filterOf(ctx, tx, cart)
	if err != nil {
		return err
	}
	known, err := knownOrders(ctx, tx, cart.ID, ids)
	if err != nil {
		return err
	}
	var fresh []relay.CartOrder
	var seenAgain []relay.CartOrder
	for _, id := range ids {
		if _, ok := known[id]; ok {
			seenAgain = append(seenAgain, latest[id])
		} else {
			fresh = append(fresh, latest[id])
		}
	}
	var events []newEvent
	if len(fresh) > 0 {
		if events, err = insertOrders(ctx, tx, cart, filter, fresh, out); err != nil {
			return err
		}
	}
	was, err := storedForms(ctx, tx, seenAgain, known)
	if err != nil {
		return err
	}
	for _, o := range seenAgain {
		k := known[o.ExternalID]
		e, err := seeAgain(ctx, tx, o, k, was[k.id], out)
		if err != nil {
			return err
		}
		events = append(events, e...)
	}
	if err := insertEvents(ctx, tx, actor, events); err != nil {
		return err
	}
	return siftSeen(ctx, tx, filter, seenAgain, known, actor, out)
}

func knownOrders(ctx context.Context, tx pgx.Tx, cart ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]held, error) {
	rows, err := tx.Query(ctx, `
		select external_id, id, state, coalesce(hold_reason, ''), digest, cart_updated_at, cart_cancelled_at is not null, cart_cancel_at is not null
		from orders o where cart_id = $1 and external_id = any($2) order by id for update`, cart, ids)
	if err != nil {
		return nil, err
	}
	known := make(map[relay.ExternalID]held)
	var orders []relay.OrderID
	var ext relay.ExternalID
	var h held
	_, err = pgx.ForEachRow(rows, []any{&ext, &h.id, &h.state, &h.reason, &h.digest, &h.version, &h.cancelled, &h.telling}, func() error {
		known[ext] = h
		orders = append(orders, h.id)
		h.digest = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	live, err := liveSubmissions(ctx, tx, orders)
	for ext, h := range known {
		h.live = live[h.id]
		known[ext] = h
	}
	return known, err
}

// insertOrders writes new orders with their lines, those that the filter leaves
// out as skipped, and gives them references.
func insertOrders(ctx context.Context, tx pgx.Tx, cart Connection, filter relay.Filter, fresh []relay.CartOrder, out *TakenIn) ([]newEvent, error) {
	refs, err := newReferences(ctx, tx, cart, fresh)
	if err != nil {
		return nil, err
	}
	n := len(fresh)
	ext, number, reference, method := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	placed, updated := make([]time.Time, n), make([]time.Time, n)
	digest, shipTo, problems := make([][]byte, n), make([]string, n), make([]*string, n)
	traits, skip := make([]string, n), make([]string, n)
	for i, o := range fresh {
		ext[i], number[i], reference[i], method[i] = string(o.ExternalID), plain(o.Number), string(refs[i]), plain(string(o.ShipMethod))
		placed[i], updated[i] = o.PlacedAt, o.UpdatedAt
		d := o.Digest()
		digest[i] = d[:]
		if shipTo[i], problems[i], err = orderJSON(o); err != nil {
			return nil, err
		}
		if traits[i], err = asJSON(o.Traits); err != nil {
			return nil, err
		}
		skip[i] = plain(filter.Skips(o))
	}
	rows, err := tx.Query(ctx, `
		insert into orders (merchant_id, cart_id, external_id, number, reference, state, ship_method, placed_at, cart_updated_at, digest, ship_to, problems, traits, skip_reason)
		select $1, $2, e, num, ref, case sk when '' then 'new' else 'skipped' end, m, p, u, d, st::jsonb, pr::jsonb, tr::jsonb, nullif(sk, '')
		from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[])
			with ordinality as q(e, num, ref, m, p, u, d, st, pr, tr, sk, n) order by q.n
		returning id, external_id`,
		cart.Merchant, cart.ID, ext, number, reference, method, placed, updated, digest, shipTo, problems, traits, skip)
	if err != nil {
		return nil, err
	}
	idOf := make(map[string]relay.OrderID, n)
	var id relay.OrderID
	var e string
	if _, err := pgx.ForEachRow(rows, []any{&id, &e}, func() error { idOf[e] = id; return nil }); err != nil {
		return nil, err
	}
	lines := make([]lineRow, 0, 2*n)
	events := make([]newEvent, 0, n)
	for i, o := range fresh {
		id := idOf[ext[i]]
		lines = appendLines(lines, id, o.Lines)
		events = append(events, newEvent{id, EventSeen, map[string]any{"version": o.UpdatedAt, "lines": len(o.Lines)}})
		if skip[i] == "" {
			out.New++
			continue
		}
		out.Skipped++
		events = append(events, newEvent{id, EventSkipped, map[string]any{"why": skip[i]}})
	}
	return events, insertLines(ctx, tx, lines)
}

func orderJSON(o relay.CartOrder) (shipTo string, problems *string, err error) {
	if len(o.Problems) > 0 {
		list, err := asJSON(o.Problems)
		if err != nil {
			return "", nil, err
		}
		problems = &list
	}
	shipTo, err = asJSON(o.ShipTo)
	return shipTo, problems, err
}

type lineRow struct {
	order    relay.OrderID
	position int
	relay.Line
}

func appendLines(rows []lineRow, order relay.OrderID, lines []relay.Line) []lineRow {
	for i, l := range lines {
		rows = append(rows, lineRow{order, i, l})
	}
	return rows
}

func insertLines(ctx context.Context, tx pgx.Tx, lines []lineRow) error {
	n := len(lines)
	if n == 0 {
		return nil
	}
	order, position := make([]int64, n), make([]int32, n)
	ext, sku, name, quantity := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, l := range lines {
		order[i], position[i] = int64(l.order), int32(l.position)
		ext[i], sku[i], name[i], quantity[i] = plain(string(l.ID)), plain(string(l.SKU)), plain(l.Name), l.Quantity.String()
	}
	_, err := tx.Exec(ctx, `
		insert into order_lines (order_id, position, external_id, sku, name, quantity)
		select o, p, e, s, nm, q::numeric from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[]) as l(o, p, e, s, nm, q)`,
		order, position, ext, sku, name, quantity)
	return err
}

// newReferences gives each order a reference that no other order of the
// merchant has, in one query for each round of collisions.
func newReferences(ctx context.Context, tx pgx.Tx, cart Connection, fresh []relay.CartOrder) ([]relay.Reference, error) {
	refs := make([]relay.Reference, len(fresh))
	attempt := make([]int, len(fresh))
	open := make([]int, len(fresh))
	for i := range open {
		open[i] = i
	}
	given := make(map[relay.Reference]bool, len(fresh))
	for round := 0; len(open) > 0; round++ {
		if round == 20 {
			return nil, fmt.Errorf("no free reference for order %s after %d tries", fresh[open[0]].Number, round)
		}
		ask := make([]string, 0, len(open))
		for _, i := range open {
			refs[i] = relay.NewReference(cart.Name, fresh[i].ExternalID, fresh[i].Number, attempt[i])
			ask = append(ask, string(refs[i]))
		}
		rows, err := tx.Query(ctx, `select reference from orders where merchant_id = $1 and reference = any($2)`, cart.Merchant, ask)
		if err != nil {
			return nil, err
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[relay.Reference])
		if err != nil {
			return nil, err
		}
		taken := make(map[relay.Reference]bool, len(list))
		for _, r := range list {
			taken[r] = true
		}
		var again []int
		for _, i := range open {
			if taken[refs[i]] || given[refs[i]] {
				attempt[i]++
				again = append(again, i)
				continue
			}
			given[refs[i]] = true
		}
		open = again
	}
	return refs, nil
}

// offHold takes an order off hold, keeping how often and since when it was held.
const offHold = `hold_reason = null, hold_fields = null, hold_code = null, hold_words = null, held_at = null, hold_workflow_at = null`

// clearHold takes away why an order waited: on hold, or left out by a filter.
const clearHold = offHold + `, skip_reason = null, updated_at = now()`
