package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Known tells for each cart order whether the ledger holds it at that version or
// a later one. One that could not be read well is not known: it is read again.
func (s *Store) Known(ctx context.Context, cart ConnectionID, ids []relay.ExternalID, versions []time.Time) ([]bool, error) {
	rows, err := s.pool.Query(ctx, `
		select exists (select from orders o where o.cart_id = $1 and o.external_id = q.id and o.cart_updated_at >= q.version and o.problems is null)
		from unnest($2::text[], $3::timestamptz[]) with ordinality as q(id, version, n) order by n`, cart, texts(ids), versions)
	if err != nil {
		return nil, fmt.Errorf("look up cart orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[bool])
}

func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
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
	New, Changed, TooLate int
	// Back counts orders that were cancelled and are ready again at the cart.
	Back int
	// Woken are held orders that the change released: their workflows should look again.
	Woken []relay.OrderID
}

// TakeIn stores a page of cart orders and then, in the same transaction, the
// cursor behind it: the cursor never runs ahead of the orders. A page that
// comes again changes nothing. An order that changed at the cart is taken over
// as long as no submission was opened.
func (s *Store) TakeIn(ctx context.Context, cart Connection, page []relay.CartOrder, cursorName, cursor, actor string) (TakenIn, error) {
	var out TakenIn
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = TakenIn{}
		if len(page) > 0 {
			if err := s.takeIn(ctx, tx, cart, page, actor, &out); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, setCursorSQL, cart.ID, cursorName, cursor)
		return err
	})
	if err != nil {
		return TakenIn{}, fmt.Errorf("take in orders of %s/%s: %w", cart.Merchant, cart.Name, err)
	}
	return out, nil
}

type held struct {
	id      relay.OrderID
	state   relay.OrderState
	reason  relay.HoldReason
	digest  []byte
	version time.Time
	live    bool // a submission is under way or accepted
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
		if events, err = insertOrders(ctx, tx, cart, fresh); err != nil {
			return err
		}
		out.New = len(fresh)
	}
	for _, o := range seenAgain {
		e, err := seeAgain(ctx, tx, o, known[o.ExternalID], out)
		if err != nil {
			return err
		}
		events = append(events, e...)
	}
	return insertEvents(ctx, tx, actor, events)
}

func knownOrders(ctx context.Context, tx pgx.Tx, cart ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]held, error) {
	rows, err := tx.Query(ctx, `
		select external_id, id, state, coalesce(hold_reason, ''), digest, cart_updated_at,
			exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted'))
		from orders o where cart_id = $1 and external_id = any($2) order by id for update`, cart, texts(ids))
	if err != nil {
		return nil, err
	}
	known := make(map[relay.ExternalID]held)
	var ext relay.ExternalID
	var h held
	_, err = pgx.ForEachRow(rows, []any{&ext, &h.id, &h.state, &h.reason, &h.digest, &h.version, &h.live}, func() error {
		known[ext] = h
		h.digest = nil
		return nil
	})
	return known, err
}

// insertOrders writes new orders with their lines and gives them references.
func insertOrders(ctx context.Context, tx pgx.Tx, cart Connection, fresh []relay.CartOrder) ([]newEvent, error) {
	refs, err := newReferences(ctx, tx, cart, fresh)
	if err != nil {
		return nil, err
	}
	n := len(fresh)
	ext, number, reference, method := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	placed, updated := make([]time.Time, n), make([]time.Time, n)
	digest, shipTo, problems := make([][]byte, n), make([]string, n), make([]*string, n)
	for i, o := range fresh {
		ext[i], number[i], reference[i], method[i] = string(o.ExternalID), plain(o.Number), string(refs[i]), plain(string(o.ShipMethod))
		placed[i], updated[i] = o.PlacedAt, o.UpdatedAt
		d := o.Digest()
		digest[i] = d[:]
		if shipTo[i], problems[i], err = orderJSON(o); err != nil {
			return nil, err
		}
	}
	rows, err := tx.Query(ctx, `
		insert into orders (merchant_id, cart_id, external_id, number, reference, state, ship_method, placed_at, cart_updated_at, digest, ship_to, problems)
		select $1, $2, e, num, ref, 'new', m, p, u, d, st::jsonb, pr::jsonb
		from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::bytea[], $10::text[], $11::text[])
			with ordinality as q(e, num, ref, m, p, u, d, st, pr, n) order by q.n
		returning id, external_id`,
		cart.Merchant, cart.ID, ext, number, reference, method, placed, updated, digest, shipTo, problems)
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

// seeAgain handles an order that the ledger already holds.
func seeAgain(ctx context.Context, tx pgx.Tx, o relay.CartOrder, k held, out *TakenIn) ([]newEvent, error) {
	// Postgres keeps microseconds.
	if o.UpdatedAt.Truncate(time.Microsecond).Before(k.version) {
		return nil, nil // a page that was overtaken by a later one
	}
	digest := o.Digest()
	ended := k.state == relay.OrderCancelled || k.state == relay.OrderSendingCancelled
	if ended && o.UpdatedAt.Truncate(time.Microsecond).After(k.version) {
		// It was cancelled and is ready again: for a person to decide, never a silent resend.
		out.Back++
		_, err := tx.Exec(ctx, `update orders set cart_updated_at = $2, digest = $3 where id = $1`, k.id, o.UpdatedAt, digest[:])
		return []newEvent{{k.id, EventBackAtCart, map[string]any{"version": o.UpdatedAt}}}, err
	}
	if bytes.Equal(digest[:], k.digest) {
		_, err := tx.Exec(ctx, `update orders set cart_updated_at = $2 where id = $1 and cart_updated_at < $2`, k.id, o.UpdatedAt)
		return nil, err
	}
	detail := map[string]any{"version": o.UpdatedAt}
	if k.live || (k.state != relay.OrderNew && k.state != relay.OrderHeld && k.state != relay.OrderSkipped) {
		return changedTooLate(ctx, tx, o, k, out)
	}
	shipTo, problems, err := orderJSON(o)
	if err != nil {
		return nil, err
	}
	// An operator's hold outlasts an edit; any other reason may be gone with it.
	release := k.state == relay.OrderHeld && k.reason != relay.HoldOperator
	_, err = tx.Exec(ctx, `
		update orders set number = $2, ship_method = $3, cart_updated_at = $4, digest = $5, ship_to = $6::jsonb, problems = $7::jsonb, updated_at = now()
		where id = $1`, k.id, plain(o.Number), plain(string(o.ShipMethod)), o.UpdatedAt, digest[:], shipTo, problems)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `delete from order_lines where order_id = $1`, k.id); err != nil {
		return nil, err
	}
	if err := insertLines(ctx, tx, appendLines(nil, k.id, o.Lines)); err != nil {
		return nil, err
	}
	out.Changed++
	events := []newEvent{{k.id, EventChangedAtCart, detail}}
	if release {
		if _, err := tx.Exec(ctx, `update orders set state = 'new', `+clearHold+` where id = $1 and state = 'held'`, k.id); err != nil {
			return nil, err
		}
		out.Woken = append(out.Woken, k.id)
		events = append(events, newEvent{k.id, EventReleased, map[string]any{"why": "changed at the cart"}})
	}
	return events, nil
}

// changedTooLate notes a change that can't be taken over. While the outcome of
// a submission is not known the version is left as it was: should the warehouse
// not have the order after all, the change is read again and taken over.
func changedTooLate(ctx context.Context, tx pgx.Tx, o relay.CartOrder, k held, out *TakenIn) ([]newEvent, error) {
	switch k.state {
	case relay.OrderSubmitting, relay.OrderInDoubt, relay.OrderHeld:
		var noted bool
		err := tx.QueryRow(ctx, `
			select exists (select from order_events where order_id = $1 and kind = $2 and (detail ->> 'version')::timestamptz = $3)`,
			k.id, EventChangedTooLate, o.UpdatedAt).Scan(&noted)
		if err != nil || noted {
			return nil, err
		}
	default:
		digest := o.Digest()
		if _, err := tx.Exec(ctx, `update orders set cart_updated_at = $2, digest = $3 where id = $1`, k.id, o.UpdatedAt, digest[:]); err != nil {
			return nil, err
		}
	}
	out.TooLate++
	return []newEvent{{k.id, EventChangedTooLate, map[string]any{"version": o.UpdatedAt}}}, nil
}

// clearHold takes an order off hold, keeping how often and since when it was held.
const clearHold = `hold_reason = null, hold_fields = null, hold_code = null, hold_words = null, held_at = null, hold_workflow_at = null, updated_at = now()`
