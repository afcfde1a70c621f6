package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// storedForms reads the ledger's own form of orders that the cart shows in
// another one: of a submitted order, what was submitted.
func storedForms(ctx context.Context, tx pgx.Tx, seen []relay.CartOrder, known map[relay.ExternalID]held) (map[relay.OrderID]relay.CartOrder, error) {
	var ids []relay.OrderID
	for _, o := range seen {
		if k := known[o.ExternalID]; k.changed(o) && (!k.free() || k.ended()) {
			ids = append(ids, k.id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `select `+orderColumns+` from orders o join connections c on c.id = o.cart_id where o.id = any($1)`, ids)
	if err != nil {
		return nil, err
	}
	orders, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (relay.Order, error) { return scanOrder(r) })
	if err != nil {
		return nil, err
	}
	if err := loadLines(ctx, tx, orders); err != nil {
		return nil, err
	}
	forms := make(map[relay.OrderID]relay.CartOrder, len(orders))
	for _, o := range orders {
		forms[o.ID] = o.CartOrder
	}
	return forms, nil
}

// stored is a time as Postgres keeps it: to the microsecond.
func stored(t time.Time) time.Time { return t.Truncate(time.Microsecond) }

// changed reports whether the cart tells something else than it told last, and
// not an older form: a page may be overtaken by a later one.
func (k held) changed(o relay.CartOrder) bool {
	digest := o.Digest()
	return !stored(o.UpdatedAt).Before(k.version) && !bytes.Equal(digest[:], k.digest)
}

// seeAgain handles an order that the ledger already holds. was is the ledger's
// form of it, where the two have to be compared.
func seeAgain(ctx context.Context, tx pgx.Tx, o relay.CartOrder, k held, was relay.CartOrder, out *TakenIn) ([]newEvent, error) {
	changed, newer := k.changed(o), stored(o.UpdatedAt).After(k.version)
	if !changed && !newer {
		return nil, nil
	}
	var events []newEvent
	// It was cancelled and is ready again: for a person to decide, never a silent
	// resend. An order whose cart is yet to be told of the cancel is ready still.
	back := k.cancelled || (k.ended() && !k.telling)
	if back {
		out.Back++
		detail := map[string]any{"version": stored(o.UpdatedAt)}
		if changed && k.ended() {
			note(detail, relay.Differences(was, o))
		}
		events = append(events, newEvent{k.id, EventBackAtCart, detail})
		if _, err := tx.Exec(ctx, `update orders set cart_cancelled_at = null where id = $1`, k.id); err != nil {
			return nil, err
		}
	}
	switch {
	case !changed:
		_, err := tx.Exec(ctx, `update orders set cart_updated_at = $2 where id = $1`, k.id, o.UpdatedAt)
		return events, err
	case !k.free():
		e, err := changedTooLate(ctx, tx, o, k, relay.Differences(was, o), out)
		return append(events, e...), err
	case back:
		return events, changeContent(ctx, tx, k.id, o)
	}
	e, err := takeOver(ctx, tx, o, k.id, k.state == relay.OrderHeld && !slices.Contains(heldForPeople, k.reason))
	if err != nil {
		return nil, err
	}
	out.Changed++
	if len(e) > 1 {
		out.Woken = append(out.Woken, k.id)
	}
	return append(events, e...), nil
}

// SeeShipped compares orders that their cart is being told of parcels of with what
// the cart has of them, and returns how many were changed there too late: of such
// orders the cart's feed may say nothing any more. What the goods are called is left
// out: a shop may name them anew without a word about its orders.
func (s *Store) SeeShipped(ctx context.Context, cart ConnectionID, now []relay.CartOrder, actor string) (tooLate int, err error) {
	ids := make([]relay.ExternalID, len(now))
	for i, o := range now {
		ids[i] = o.ExternalID
	}
	err = s.begin(ctx, func(tx pgx.Tx) error {
		known, err := knownOrders(ctx, tx, cart, ids)
		if err != nil {
			return err
		}
		seen := slices.DeleteFunc(slices.Clone(now), func(o relay.CartOrder) bool {
			k, ok := known[o.ExternalID]
			return !ok || k.free() || k.ended()
		})
		was, err := storedForms(ctx, tx, seen, known)
		if err != nil {
			return err
		}
		var events []newEvent
		var out TakenIn
		for _, o := range seen {
			k := known[o.ExternalID]
			if k.changed(o) {
				o = k.butForNames(o, was[k.id])
			}
			e, err := seeAgain(ctx, tx, o, k, was[k.id], &out)
			if err != nil {
				return err
			}
			events = append(events, e...)
		}
		tooLate = out.TooLate
		return insertEvents(ctx, tx, actor, events)
	})
	if err != nil {
		return 0, fmt.Errorf("compare orders that were shipped with their cart: %w", err)
	}
	return tooLate, nil
}

// butForNames returns an order with the names that its goods had when it was
// submitted, where nothing else of it is news.
func (k held) butForNames(o, was relay.CartOrder) relay.CartOrder {
	names := make(map[relay.LineID]relay.Line, len(was.Lines))
	for _, l := range was.Lines {
		names[l.ID] = l
	}
	as := o
	as.Lines = slices.Clone(o.Lines)
	for i, l := range as.Lines {
		if before, ok := names[l.ID]; ok && before.SKU == l.SKU {
			as.Lines[i].Name = before.Name
		}
	}
	if d := as.Digest(); bytes.Equal(d[:], k.digest) || d == was.Digest() {
		return as
	}
	return o
}

// maxChanges is how many differences the trail tells one by one.
const maxChanges = 50

// note writes differences into an event's detail: "changes" and, where there are
// more of them, "changes_in_all".
func note(detail map[string]any, changes []relay.Difference) {
	detail["changes"] = changes[:min(len(changes), maxChanges)]
	if len(changes) > maxChanges {
		detail["changes_in_all"] = len(changes)
	}
}

// takeOver takes a changed order over. A hold for people outlasts an edit; any
// other reason may be gone with it.
func takeOver(ctx context.Context, tx pgx.Tx, o relay.CartOrder, id relay.OrderID, release bool) ([]newEvent, error) {
	if err := changeContent(ctx, tx, id, o); err != nil {
		return nil, err
	}
	events := []newEvent{{id, EventChangedAtCart, map[string]any{"version": stored(o.UpdatedAt)}}}
	if !release {
		return events, nil
	}
	_, err := tx.Exec(ctx, `update orders set state = 'new', `+clearHold+` where id = $1 and state = 'held'`, id)
	return append(events, newEvent{id, EventReleased, map[string]any{"why": "changed at the cart"}}), err
}

// changeContent writes what the cart tells over what the ledger holds.
func changeContent(ctx context.Context, tx pgx.Tx, id relay.OrderID, o relay.CartOrder) error {
	shipTo, problems, err := orderJSON(o)
	if err != nil {
		return err
	}
	digest := o.Digest()
	_, err = tx.Exec(ctx, `
		update orders set number = $2, ship_method = $3, cart_updated_at = $4, digest = $5, ship_to = $6::jsonb, problems = $7::jsonb, late_edit = null, updated_at = now()
		where id = $1`, id, plain(o.Number), plain(string(o.ShipMethod)), o.UpdatedAt, digest[:], shipTo, problems)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from order_lines where order_id = $1`, id); err != nil {
		return err
	}
	return insertLines(ctx, tx, appendLines(nil, id, o.Lines))
}

// changedTooLate notes a change that can't be taken over: what is stored stays
// what was submitted. The change is kept beside it for as long as the order may be
// sent once more, and taken over then: should the warehouse not have it, not take
// it, or have cancelled it.
func changedTooLate(ctx context.Context, tx pgx.Tx, o relay.CartOrder, k held, changes []relay.Difference, out *TakenIn) ([]newEvent, error) {
	var late *string
	left := k.state == relay.OrderShipped || k.state == relay.OrderConfirmed
	if len(changes) > 0 && !left {
		edit, err := asJSON(o)
		if err != nil {
			return nil, err
		}
		late = &edit
	}
	digest := o.Digest()
	_, err := tx.Exec(ctx, `update orders set cart_updated_at = $2, digest = $3, late_edit = $4::jsonb where id = $1`, k.id, o.UpdatedAt, digest[:], late)
	if err != nil {
		return nil, err
	}
	detail := map[string]any{"version": stored(o.UpdatedAt)}
	if len(changes) == 0 {
		return []newEvent{{k.id, EventChangedBack, detail}}, nil
	}
	out.TooLate++
	note(detail, changes)
	return []newEvent{{k.id, EventChangedTooLate, detail}}, nil
}

// takeOverEdits takes over, in orders that are about to be submitted, what
// changed at their carts after an earlier submission of them.
func takeOverEdits(ctx context.Context, tx pgx.Tx, actor string, orders []relay.Order) error {
	at := make(map[relay.OrderID]int, len(orders))
	ids := make([]int64, len(orders))
	for i, o := range orders {
		at[o.ID], ids[i] = i, int64(o.ID)
	}
	edits, err := lateEdits(ctx, tx, `select id, late_edit from orders where id = any($1) and late_edit is not null order by id`, ids)
	if err != nil {
		return err
	}
	var events []newEvent
	for _, l := range edits {
		e, err := takeOver(ctx, tx, l.CartOrder, l.id, false)
		if err != nil {
			return err
		}
		events = append(events, e...)
		o := &orders[at[l.id]]
		l.Traits = o.Traits // these were kept up
		o.CartOrder = l.CartOrder
	}
	return insertEvents(ctx, tx, actor, events)
}

// letEditedGo lets orders on hold go that changed at the cart after they were
// submitted, and that the warehouse does not have after all.
func letEditedGo(ctx context.Context, tx pgx.Tx, cart ConnectionID, actor string, out *TakenIn) error {
	edits, err := lateEdits(ctx, tx, `
		select id, late_edit from orders o where cart_id = $1 and late_edit is not null and state = 'held' and hold_reason <> all($2)
			and not exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted'))
		order by id limit 100 for update skip locked`, cart, heldForPeople)
	if err != nil {
		return err
	}
	var events []newEvent
	for _, l := range edits {
		e, err := takeOver(ctx, tx, l.CartOrder, l.id, true)
		if err != nil {
			return err
		}
		events = append(events, e...)
		out.Changed++
		out.Woken = append(out.Woken, l.id)
	}
	return insertEvents(ctx, tx, actor, events)
}

type lateEdit struct {
	id relay.OrderID
	relay.CartOrder
}

func lateEdits(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]lateEdit, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (l lateEdit, err error) {
		var raw []byte
		if err := r.Scan(&l.id, &raw); err != nil {
			return l, err
		}
		return l, json.Unmarshal(raw, &l.CartOrder)
	})
}
