package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Stock is what a warehouse has of each item code that it names.
type Stock map[relay.ItemCode]StockLevel

// StockLevel is what a warehouse has of one item code.
type StockLevel struct {
	// Reported is the warehouse's own figure, over its sites.
	Reported relay.Quantity
	// Free are whole units that are promised to nobody: the figure less what
	// accepted orders take of it, what is being sent or looked for, and what
	// orders that wait to be sent need. Negative when more is promised than there is.
	Free int64
	// ChangedAt is when the reading began that first showed this figure.
	ChangedAt time.Time
}

// Shortage is an item code of which a warehouse has too little for an order.
type Shortage struct {
	Code    relay.ItemCode `json:"code"`
	Needed  int64          `json:"needed"`
	Free    int64          `json:"free"`
	Unknown bool           `json:"unknown,omitempty"` // the warehouse names no such code
}

// Take promises an order what it needs, of every code or of none: an order that
// is not covered whole sets nothing aside. It returns what is short.
func (s Stock) Take(items []relay.Item) []Shortage {
	var short []Shortage
	for _, it := range items {
		if l, known := s[it.Code]; !known || l.Free < it.Units {
			short = append(short, Shortage{Code: it.Code, Needed: it.Units, Free: l.Free, Unknown: !known})
		}
	}
	if len(short) > 0 {
		return short
	}
	for _, it := range items {
		l := s[it.Code]
		l.Free -= it.Units
		s[it.Code] = l
	}
	return nil
}

// Stock reads what a merchant's warehouse has that is promised to nobody yet.
func (s *Store) Stock(ctx context.Context, m Merchant, mappings relay.Mappings) (Stock, error) {
	return readStock(ctx, s.pool, m, mappings)
}

// Accepted orders take what the warehouse's figure still holds for them, as
// carts are told (see CartLevels). Of a submission that is open or in doubt
// nobody knows whether the figure has it already: it is taken off in any case.
const stockSQL = unitsSQL + `,
	booked as (
		select code, sum(greatest(units - left_out, 0)) as units from units group by code),
	under_way as (
		select i.code, sum(i.units) as units from submissions s join submission_items i on i.submission_id = s.id
		where s.warehouse_id = $1 and s.state in ('open', 'in_doubt') group by i.code)
	select level.code, level.quantity::text, trunc(level.quantity - coalesce(booked.units, 0) - coalesce(under_way.units, 0))::bigint, level.changed_at
	from level left join booked on booked.code = level.code left join under_way on under_way.code = level.code`

func readStock(ctx context.Context, q querier, m Merchant, mappings relay.Mappings) (Stock, error) {
	fail := func(err error) (Stock, error) { return nil, fmt.Errorf("read stock of %s: %w", m.ID, err) }
	read, err := wholeReading(ctx, q, m.StoredWarehouse().ID)
	if err != nil {
		return fail(err)
	}
	rows, err := q.Query(ctx, stockSQL, m.StoredWarehouse().ID, read)
	if err != nil {
		return fail(err)
	}
	stock := make(Stock)
	var code relay.ItemCode
	var l StockLevel
	if _, err := pgx.ForEachRow(rows, []any{&code, &l.Reported, &l.Free, &l.ChangedAt}, func() error { stock[code] = l; return nil }); err != nil {
		return fail(err)
	}
	// Orders that wait to be sent go before those on hold.
	rows, err = q.Query(ctx, `
		select c.name, l.sku, ceil(sum(l.quantity))::bigint from orders o join connections c on c.id = o.cart_id join order_lines l on l.order_id = o.id
		where o.merchant_id = $1 and o.state = 'new' group by c.name, l.sku`, m.ID)
	if err != nil {
		return fail(err)
	}
	var cart relay.ConnectionName
	var sku relay.SKU
	var units int64
	_, err = pgx.ForEachRow(rows, []any{&cart, &sku, &units}, func() error {
		parts, _ := mappings.Items(cart, sku)
		for _, p := range parts {
			if l, ok := stock[p.Code]; ok {
				l.Free -= units * p.Units
				stock[p.Code] = l
			}
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	return stock, nil
}

// HeldAge is a place in the list of orders on hold, by when they were first held.
type HeldAge struct {
	Since time.Time
	Order relay.OrderID
}

// heldOrder is an order on hold without its address.
type heldOrder struct {
	relay.Order
	hold HoldSummary
}

func (o heldOrder) age() HeldAge { return HeldAge{o.hold.Since, o.ID} }

// heldPage says which orders on hold to read.
type heldPage struct {
	merchant relay.MerchantID
	reasons  []relay.HoldReason
	before   *time.Time // not nil: only those whose present hold began before
	after    HeldAge
	limit    int
	lock     bool // and pass over those that somebody else works on
}

// readHeld reads a page of a merchant's orders on hold that may be sent again, the
// longest held first.
func readHeld(ctx context.Context, q querier, p heldPage) ([]heldOrder, error) {
	lock := ""
	if p.lock {
		lock = " for update of o skip locked"
	}
	rows, err := q.Query(ctx, `
		select o.id, o.merchant_id, c.name, o.reference, o.number, o.ship_method, o.problems, o.hold_reason, o.hold_fields, coalesce(o.hold_code, ''), o.first_held_at, o.held_at, o.hold_attempts
		from orders o join connections c on c.id = o.cart_id
		where o.merchant_id = $1 and o.state = 'held' and o.warehouse_order_id is null and o.hold_reason = any($2) and ($3::timestamptz is null or o.held_at < $3)
			and (o.first_held_at, o.id) > ($4, $5)
		order by o.first_held_at, o.id limit $6`+lock, p.merchant, p.reasons, p.before, p.after.Since, p.after.Order, p.limit)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o heldOrder, err error) {
		var problems, fields []byte
		h := &o.hold
		if err := row.Scan(&o.ID, &o.Merchant, &o.Cart, &o.Reference, &o.Number, &o.ShipMethod, &problems, &h.Reason, &fields, &h.Code, &h.Since, &h.HeldAt, &h.Attempts); err != nil {
			return o, err
		}
		for _, p := range []struct {
			from []byte
			to   *[]relay.Problem
		}{{problems, &o.Problems}, {fields, &h.Fields}} {
			if p.from != nil {
				if err := json.Unmarshal(p.from, p.to); err != nil {
					return o, err
				}
			}
		}
		return o, nil
	})
	if err != nil {
		return nil, err
	}
	orders := make([]relay.Order, len(list))
	for i, o := range list {
		orders[i] = o.Order
	}
	err = loadLines(ctx, q, orders)
	for i := range list {
		list[i].Order = orders[i]
	}
	return list, err
}

// CoveredQuery says which orders on hold for stock to look at.
type CoveredQuery struct {
	Merchant Merchant
	Mappings relay.Mappings
	After    HeldAge // the zero value: from the longest held on
	Limit    int     // most orders that are looked at
	Actor    string
}

// CoveredPage is what ReleaseCovered did.
type CoveredPage struct {
	Released []relay.Reference
	Next     HeldAge // where to go on
	More     bool
}

// ReleaseCovered looks at a page of the orders on hold for want of stock, the
// longest held first, and lets those go that the warehouse's stock covers whole,
// never promising a unit twice. An order goes early only if the figure of one of
// its codes changed since it was last refused: a warehouse that refuses in spite
// of its own figures is not asked again and again. (Readings are timed by the
// worker's clock, refusals by Postgres's: where they differ, an order may go once
// more, or wait for the next change or resend.) While the merchant is paused nothing goes.
func (s *Store) ReleaseCovered(ctx context.Context, q CoveredQuery) (CoveredPage, error) {
	var out CoveredPage
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = CoveredPage{}
		// One at a time: two who count the same stock would promise it twice.
		var changed *time.Time
		err := tx.QueryRow(ctx, `
			select (select max(observed_at) from inventory_levels where warehouse_id = c.id and m.paused_at is null)
			from connections c join merchants m on m.id = c.merchant_id where c.id = $1 for no key update of c`,
			q.Merchant.StoredWarehouse().ID).Scan(&changed)
		if err != nil || changed == nil {
			return err
		}
		page, err := readHeld(ctx, tx, heldPage{
			merchant: q.Merchant.ID, reasons: []relay.HoldReason{relay.HoldInsufficientInventory}, before: changed,
			after: q.After, limit: q.Limit, lock: true,
		})
		if err != nil || len(page) == 0 {
			return err
		}
		out.Next, out.More = page[len(page)-1].age(), len(page) == q.Limit
		stock, err := readStock(ctx, tx, q.Merchant, q.Mappings)
		if err != nil {
			return err
		}
		ids, references := covered(page, stock, q.Mappings)
		out.Released = references
		_, err = release(ctx, tx, ids, q.Actor, "the stock feed covers it")
		return err
	})
	if err != nil {
		return CoveredPage{}, fmt.Errorf("release orders that stock covers: %w", err)
	}
	return out, nil
}

// covered promises stock to the orders in turn and returns those that it covers.
func covered(page []heldOrder, stock Stock, mappings relay.Mappings) (ids []relay.OrderID, references []relay.Reference) {
	for _, o := range page {
		translated, hold := mappings.Translate(o.Cart, o.CartOrder)
		if hold != nil {
			continue
		}
		items := relay.MergeItems(translated.Items)
		news := slices.ContainsFunc(items, func(it relay.Item) bool { return stock[it.Code].ChangedAt.After(o.hold.HeldAt) })
		if news && stock.Take(items) == nil {
			ids, references = append(ids, o.ID), append(references, o.Reference)
		}
	}
	return ids, references
}

// Forecast is what becomes of an order on hold when it is sent again, as far as
// stock can tell.
type Forecast struct {
	Order     relay.OrderID
	Reference relay.Reference
	Number    string
	Cart      relay.ConnectionName
	Hold      HoldSummary
	Resend    time.Time
	Items     []relay.OrderItem
	// Kept, when not nil, is why our own checks keep the order before anything is sent.
	Kept *relay.Hold
	// Short is what the warehouse has too little of; empty: today's stock covers the order.
	Short []Shortage
}

// Forecast tells what will be sent again by the clock, in the order in which it
// will be, and which orders today's stock covers. key gives the name by which an
// order's share of the stagger is reckoned: its hold's workflow id.
func (s *Store) Forecast(ctx context.Context, m Merchant, mappings relay.Mappings, now time.Time, key func(relay.Reference) string) ([]Forecast, error) {
	fail := func(err error) ([]Forecast, error) {
		return nil, fmt.Errorf("forecast resends of %s: %w", m.ID, err)
	}
	reasons := slices.DeleteFunc(relay.HoldReasons(), func(r relay.HoldReason) bool { return !r.ResendsNightly() })
	stock, err := s.Stock(ctx, m, mappings)
	if err != nil {
		return fail(err)
	}
	var out []Forecast
	const size = 1000
	for after, more := (HeldAge{}), true; more; {
		page, err := readHeld(ctx, s.pool, heldPage{merchant: m.ID, reasons: reasons, after: after, limit: size})
		if err != nil {
			return fail(err)
		}
		for _, o := range page {
			f := Forecast{Order: o.ID, Reference: o.Reference, Number: o.Number, Cart: o.Cart, Hold: o.hold}
			if f.Resend, err = o.hold.NextResend(m.Resend, key(o.Reference), now); err != nil {
				return fail(err)
			}
			var translated relay.Translated
			translated, f.Kept = mappings.Translate(o.Cart, o.CartOrder)
			f.Items = translated.Items
			out = append(out, f)
			after = o.age()
		}
		more = len(page) == size
	}
	slices.SortStableFunc(out, func(a, b Forecast) int { return cmp.Or(a.Resend.Compare(b.Resend), cmp.Compare(a.Order, b.Order)) })
	for i, f := range out {
		if f.Kept == nil {
			out[i].Short = stock.Take(relay.MergeItems(f.Items))
		}
	}
	return out, nil
}
