package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// verdict is what a cart's filter says of an order.
type verdict struct {
	order relay.OrderID
	skip  string // why it is left out; "" when it is not
}

// sifted is what verdicts led to.
type sifted struct {
	skipped, unskipped int
	woken              []relay.OrderID // that were on hold
}

// heldForPeople are the holds that neither a filter nor an edit ends: a person's
// own, and that of an order which the warehouse may have (promise 1).
var heldForPeople = []relay.HoldReason{relay.HoldOperator, relay.HoldUnknownOutcome}

// sift carries verdicts out: orders that wait to be sent, or are on hold, are
// skipped, and skipped ones become new. Their rows are locked already. Promise 1:
// an order that is or may be at the warehouse is left alone.
func sift(ctx context.Context, tx pgx.Tx, actor string, verdicts []verdict, cause string) (out sifted, err error) {
	var skip, pass []int64
	var whys []string
	for _, v := range verdicts {
		if v.skip == "" {
			pass = append(pass, int64(v.order))
			continue
		}
		skip, whys = append(skip, int64(v.order)), append(whys, plain(v.skip))
	}
	if len(skip) > 0 {
		rows, err := tx.Query(ctx, `
			with q as (select * from unnest($1::bigint[], $2::text[]) as q(id, why)),
			u as (
				update orders o set state = 'skipped', skip_reason = q.why, retry_at = null, `+offHold+`, updated_at = now()
				from q join orders was on was.id = q.id
				where o.id = q.id and (o.state = any($3) or (o.state = 'skipped' and o.skip_reason is distinct from q.why)) and coalesce(o.hold_reason, '') <> all($4)
					and o.warehouse_order_id is null and not exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted'))
				returning o.id, q.why, was.state),
			e as (insert into order_events (order_id, kind, actor, detail) select id, 'skipped', $5, jsonb_build_object('why', why) from u order by id)
			select id, state from u order by id`, skip, whys, into(relay.OrderSkipped), heldForPeople, actor)
		if err != nil {
			return out, err
		}
		var id relay.OrderID
		var was relay.OrderState
		_, err = pgx.ForEachRow(rows, []any{&id, &was}, func() error {
			if was != relay.OrderSkipped { // else only the reason changed
				out.skipped++
			}
			if was == relay.OrderHeld {
				out.woken = append(out.woken, id)
			}
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	if len(pass) > 0 {
		err = tx.QueryRow(ctx, `
			with u as (update orders set state = 'new', retry_at = null, `+clearHold+` where id = any($1) and state = 'skipped' returning id),
			e as (insert into order_events (order_id, kind, actor, detail) select id, 'unskipped', $2, jsonb_build_object('why', $3::text) from u order by id)
			select count(*) from u`, pass, actor, cause).Scan(&out.unskipped)
	}
	return out, err
}

// filterOf reads a cart's filter, and keeps it as it is until the transaction
// ends: what is judged by it is judged before the merchant is onboarded anew, and
// so among what NextToFilter finds then. What was read from a cart that was taken
// away since, or that is another account now, is not to be judged at all: ErrSettingsChanged.
func filterOf(ctx context.Context, tx pgx.Tx, cart Connection) (relay.Filter, error) {
	if err := keepSettings(ctx, tx, cart.Merchant); err != nil {
		return relay.Filter{}, err
	}
	var rules relay.Rules
	var same bool
	err := tx.QueryRow(ctx, `
		select rules, removed_at is null and (mode, base_url) = ($2, $3) from connections where id = $1`, cart.ID, cart.Mode, cart.BaseURL).Scan(&rules, &same)
	if err == nil && !same {
		err = ErrSettingsChanged
	}
	return rules.Filter, err
}

// keepSettings keeps a merchant from being onboarded anew until the transaction
// ends: every onboarding begins by changing the merchant's row.
func keepSettings(ctx context.Context, tx pgx.Tx, merchant relay.MerchantID) error {
	_, err := tx.Exec(ctx, `select from merchants where id = $1 for share`, merchant)
	return err
}

// noteTraits keeps what the cart tells of orders besides what is to be shipped.
func noteTraits(ctx context.Context, tx pgx.Tx, ids []int64, traits []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		update orders o set traits = q.traits::jsonb from unnest($1::bigint[], $2::text[]) as q(id, traits)
		where o.id = q.id and o.traits <> q.traits::jsonb`, ids, traits)
	return err
}

// siftSeen judges orders that the cart shows again, by what it tells of them now.
// An older form, of a page that was overtaken, says nothing.
func siftSeen(ctx context.Context, tx pgx.Tx, f relay.Filter, seen []relay.CartOrder, known map[relay.ExternalID]held, actor string, out *TakenIn) error {
	var ids []int64
	var traits []string
	var verdicts []verdict
	for _, o := range seen {
		k := known[o.ExternalID]
		if stored(o.UpdatedAt).Before(k.version) {
			continue
		}
		t, err := asJSON(o.Traits)
		if err != nil {
			return err
		}
		ids, traits = append(ids, int64(k.id)), append(traits, t)
		if k.free() && !k.ended() {
			verdicts = append(verdicts, verdict{k.id, f.Skips(o)})
		}
	}
	if err := noteTraits(ctx, tx, ids, traits); err != nil {
		return err
	}
	done, err := sift(ctx, tx, actor, verdicts, "the cart has it so that the filter lets it pass")
	out.Skipped, out.Unskipped = out.Skipped+done.skipped, out.Unskipped+done.unskipped
	for _, id := range done.woken {
		if !slices.Contains(out.Woken, id) {
			out.Woken = append(out.Woken, id)
		}
	}
	return err
}

// filteredCursor names the cursor that holds how far a cart's unsent orders have
// been gone through since the merchant's settings changed.
const filteredCursor = "filtered"

// filtered is its value.
type filtered struct {
	Version int64         `json:"version"` // of the settings that are being applied
	After   relay.OrderID `json:"after,omitempty"`
	Done    bool          `json:"done,omitempty"`
}

// FilterPage is a part of a cart's orders that wait to be sent, are on hold or
// were skipped, and that the merchant's present settings were not applied to.
type FilterPage struct {
	// Passing are skipped orders that the filter lets go now. They may have been
	// skipped for long: before ApplyFilter the cart is asked whether it wants them still.
	Passing []relay.ExternalID

	at     filtered
	orders []relay.OrderID
	more   bool
}

// NextToFilter returns the next part of the orders that a change of the
// merchant's settings leaves to be judged; done when there is none.
func (s *Store) NextToFilter(ctx context.Context, cart ConnectionID, limit int) (p FilterPage, done bool, err error) {
	fail := func(err error) (FilterPage, bool, error) {
		return FilterPage{}, false, fmt.Errorf("read orders to filter: %w", err)
	}
	f, at, err := filterAt(ctx, s.pool, cart, "")
	if err != nil {
		return fail(err)
	}
	if at.Done {
		return FilterPage{}, true, nil
	}
	rows, err := s.pool.Query(ctx, `
		select `+orderColumns+` from orders o join connections c on c.id = o.cart_id where o.id in (select id from (
			(select id from orders where cart_id = $1 and state = 'skipped' and id > $2 order by id limit $3)
			union all
			(select id from orders where cart_id = $1 and state in ('new', 'held') and id > $2 order by id limit $3)) as unsent order by id limit $3)
		order by o.id`, cart, at.After, limit)
	if err != nil {
		return fail(err)
	}
	orders, err := collectOrders(ctx, s.pool, rows)
	if err != nil {
		return fail(err)
	}
	p = FilterPage{at: at, more: len(orders) == limit}
	for _, o := range orders {
		p.orders = append(p.orders, o.ID)
		if o.State == relay.OrderSkipped && f.Skips(o.CartOrder) == "" {
			p.Passing = append(p.Passing, o.ExternalID)
		}
	}
	return p, false, nil
}

// Filtered is what became of a FilterPage.
type Filtered struct {
	Skipped, Unskipped int
	// Woken are orders that were on hold: their workflows should look again.
	Woken []relay.OrderID
}

// ApplyFilter judges the orders of a page as they are now and moves the cursor
// behind them. It does nothing when the settings changed since, or when somebody
// else was here.
func (s *Store) ApplyFilter(ctx context.Context, cart ConnectionID, p FilterPage, actor string) (Filtered, error) {
	var out Filtered
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = Filtered{}
		f, at, err := filterAt(ctx, tx, cart, "for share of c")
		if err != nil || at != p.at {
			return err
		}
		rows, err := tx.Query(ctx, `
			select `+orderColumns+` from orders o join connections c on c.id = o.cart_id where o.id = any($1) order by o.id for update of o`, p.orders)
		if err != nil {
			return err
		}
		orders, err := collectOrders(ctx, tx, rows)
		if err != nil {
			return err
		}
		var verdicts []verdict
		for _, o := range orders {
			v := verdict{o.ID, f.Skips(o.CartOrder)}
			if v.skip != "" || slices.Contains(p.Passing, o.ExternalID) {
				verdicts = append(verdicts, v)
			}
		}
		done, err := sift(ctx, tx, actor, verdicts, "the filter changed")
		if err != nil {
			return err
		}
		out = Filtered{Skipped: done.skipped, Unskipped: done.unskipped, Woken: done.woken}
		at.Done = !p.more
		if p.more {
			at.After = p.orders[len(p.orders)-1]
		}
		value, err := json.Marshal(at)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, setCursorSQL, cart, filteredCursor, string(value))
		return err
	})
	if err != nil {
		return Filtered{}, fmt.Errorf("filter orders: %w", err)
	}
	return out, nil
}

// filterAt reads a cart's filter and how far it was applied: from the start
// where that was the filter of other settings.
func filterAt(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, cart ConnectionID, lock string) (f relay.Filter, at filtered, err error) {
	var rules relay.Rules
	var version int64
	var value *string
	err = q.QueryRow(ctx, `
		select c.rules, m.settings_version, (select value from cursors where connection_id = c.id and name = $2)
		from connections c join merchants m on m.id = c.merchant_id where c.id = $1 `+lock, cart, filteredCursor).Scan(&rules, &version, &value)
	if err != nil {
		return f, at, notFound(err)
	}
	if value == nil || json.Unmarshal([]byte(*value), &at) != nil || at.Version != version {
		at = filtered{Version: version}
	}
	return rules.Filter, at, nil
}

func collectOrders(ctx context.Context, q querier, rows pgx.Rows) ([]relay.Order, error) {
	orders, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (relay.Order, error) { return scanOrder(r) })
	if err != nil {
		return nil, err
	}
	return orders, loadLines(ctx, q, orders)
}
