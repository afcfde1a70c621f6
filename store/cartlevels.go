package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// CartLevel is what a cart should show of a SKU at one of its locations, and what
// it was last told.
type CartLevel struct {
	SKU relay.SKU
	relay.ShownLevel
	// Owed is how many the warehouse has set aside or shipped for this cart's
	// orders that the cart does not know as shipped and has not cancelled.
	Owed int64
	// Missing are the SKUs, of a kit its components, that have no item code.
	Missing []relay.SKU
	Sent    *SentLevel // nil: nothing yet
}

// SentLevel is what a cart was told last.
type SentLevel struct {
	Available relay.Quantity
	Owed      relay.Quantity // negative: its stock moved since, as by a shipment that it was told of
	At        time.Time
	Error     string    // why the cart did not take it; "" when it did
	RetryAt   time.Time // with Error: not sent again before, unless the figure changes
	Waits     bool      // RetryAt is to come, by the clock of the ledger
}

// Differs reports whether the cart should show something else than it was told.
// What is not known is not told at all.
func (l CartLevel) Differs() bool {
	t := l.ToSend()
	return l.Known && (l.Sent == nil || l.Sent.Available != t.Available || l.Sent.Owed != t.Owed)
}

// Due reports whether the cart is to be told now.
func (l CartLevel) Due() bool {
	return l.Differs() || (l.Known && l.Sent.Error != "" && !l.Sent.Waits)
}

// Told reports whether the cart was told just this figure, and should show it, also
// when it did not take it.
func (l CartLevel) Told() bool { return l.Known && !l.Differs() }

// Stands reports whether the cart has taken just this figure, and should show it still.
func (l CartLevel) Stands() bool { return l.Told() && l.Sent.Error == "" }

// ToSend returns what the cart is to be told.
func (l CartLevel) ToSend() LevelToSend {
	t := LevelToSend{SKU: l.SKU, Location: l.Location, Available: wholeUnits(l.Available), Owed: wholeUnits(l.Owed)}
	if l.Sent != nil {
		t.LastSent, t.Moved = l.Sent.At, min(l.Sent.Owed, 0)
	}
	return t
}

// wholeUnits bounds what sums of a vendor's figures may come to.
func wholeUnits(n int64) relay.Quantity {
	most, _ := relay.MaxQuantity.Whole()
	return relay.Units(min(n, most))
}

// LevelToSend is a stock figure that a cart is to be told.
type LevelToSend struct {
	SKU       relay.SKU
	Location  string // "" is the cart's own
	Available relay.Quantity
	Owed      relay.Quantity
	LastSent  time.Time // zero: never
	// Moved counts down with each thing that moved the cart's stock since it was
	// last sent: 0 is nothing.
	Moved relay.Quantity
}

// CartLevelsQuery says of which cart and which SKUs levels are computed.
type CartLevelsQuery struct {
	Merchant Merchant
	Mappings relay.Mappings // under the merchant's rules
	Cart     Connection
	After    relay.SKU // SKUs behind it; "" from the start
	Limit    int       // how many SKUs are looked at
	// Keep leaves out the levels for which it is false; nil keeps all.
	Keep func(CartLevel) bool
}

// CartLevelsPage are levels in order of SKU and, for each, of location.
type CartLevelsPage struct {
	Levels []CartLevel
	After  relay.SKU // where to go on
	More   bool      // also when no level of this page was kept
}

// CartLevels computes what a cart should show of some of its SKUs: of those that
// are aliases, kits or, where SKUs pass as item codes, codes that the warehouse
// names, and of those that it was ever told of. A page is of one moment. How the
// numbers come about is said by relay.StockRules.Show; docs/stock.md tells the whole.
func (s *Store) CartLevels(ctx context.Context, q CartLevelsQuery) (CartLevelsPage, error) {
	var page CartLevelsPage
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		skus, err := cartSKUs(ctx, tx, q)
		if err != nil || len(skus) == 0 {
			return err
		}
		page.After, page.More = skus[len(skus)-1], len(skus) == q.Limit
		c, err := readCartStock(ctx, tx, q, skus)
		if err != nil {
			return err
		}
		for _, sku := range skus {
			for _, l := range c.levels(sku) {
				if q.Keep == nil || q.Keep(l) {
					page.Levels = append(page.Levels, l)
				}
			}
		}
		return nil
	})
	if err != nil {
		return CartLevelsPage{}, fmt.Errorf("compute stock levels: %w", err)
	}
	return page, nil
}

// snapshot runs f on the ledger as it is at one moment.
func (s *Store) snapshot(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
}

// cartSKUs lists the next SKUs that a cart may be told of, each part by its index.
func cartSKUs(ctx context.Context, tx pgx.Tx, q CartLevelsQuery) ([]relay.SKU, error) {
	rows, err := tx.Query(ctx, `
		select sku from (
			(select sku from aliases where merchant_id = $1 and cart = '' and sku > $5 order by sku limit $6) union
			(select sku from aliases where merchant_id = $1 and cart = $2 and sku > $5 order by sku limit $6) union
			(select sku from kits where merchant_id = $1 and cart = '' and sku > $5 order by sku limit $6) union
			(select sku from kits where merchant_id = $1 and cart = $2 and sku > $5 order by sku limit $6) union
			(select distinct sku from sent_levels where cart_id = $3 and sku > $5 order by sku limit $6) union
			(select distinct code from inventory_levels where warehouse_id = $4 and $7 and code > $5 order by code limit $6)) as every
		order by sku limit $6`,
		q.Merchant.ID, q.Cart.Name, q.Cart.ID, q.Merchant.StoredWarehouse().ID, q.After, q.Limit, q.Merchant.Unaliased == relay.SendUnaliased)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[relay.SKU])
}

// cartStock is what the levels of some SKUs of a cart are computed from.
type cartStock struct {
	rules   relay.StockRules
	parts   map[relay.SKU]skuParts
	stock   map[relay.ItemCode]relay.CodeStock
	owed    map[skuAt]int64
	sent    map[skuAt]*SentLevel
	sentFor map[relay.SKU][]string // locations
}

type skuParts struct {
	items   []relay.Item
	missing []relay.SKU
}

type skuAt struct {
	sku      relay.SKU
	location string
}

func (c cartStock) levels(sku relay.SKU) []CartLevel {
	p := c.parts[sku]
	shown := c.rules.Show(p.items, c.stock)
	// A location that the rules name no more shows what it was told for ever: that is to be seen.
	for _, location := range c.sentFor[sku] {
		if !slices.ContainsFunc(shown, func(l relay.ShownLevel) bool { return l.Location == location }) {
			shown = append(shown, relay.ShownLevel{Location: location})
		}
	}
	out := make([]CartLevel, len(shown))
	for i, l := range shown {
		at := skuAt{sku, l.Location}
		out[i] = CartLevel{SKU: sku, ShownLevel: l, Owed: c.owed[at], Missing: p.missing, Sent: c.sent[at]}
	}
	return out
}

func readCartStock(ctx context.Context, tx pgx.Tx, q CartLevelsQuery, skus []relay.SKU) (cartStock, error) {
	c := cartStock{
		rules: q.Cart.Rules.Stock, parts: make(map[relay.SKU]skuParts, len(skus)), stock: make(map[relay.ItemCode]relay.CodeStock),
		owed: make(map[skuAt]int64), sent: make(map[skuAt]*SentLevel, len(skus)), sentFor: make(map[relay.SKU][]string, len(skus)),
	}
	for _, sku := range skus {
		items, missing := q.Mappings.Items(q.Cart.Name, sku)
		c.parts[sku] = skuParts{items, missing}
		for _, it := range items {
			c.stock[it.Code] = relay.CodeStock{}
		}
	}
	codes := make([]string, 0, len(c.stock))
	for code := range c.stock {
		codes = append(codes, string(code))
	}
	warehouse := q.Merchant.StoredWarehouse().ID
	for _, read := range []func() error{
		func() error { return c.readLevels(ctx, tx, warehouse, codes) },
		func() error { return c.readBooked(ctx, tx, warehouse, q.Cart.ID, codes) },
		func() error { return c.readOwed(ctx, tx, q, skus) },
		func() error { return c.readSent(ctx, tx, q.Cart.ID, skus) },
	} {
		if err := read(); err != nil {
			return cartStock{}, err
		}
	}
	return c, nil
}

func (c cartStock) readLevels(ctx context.Context, tx pgx.Tx, warehouse ConnectionID, codes []string) error {
	rows, err := tx.Query(ctx, `
		select code, site, quantity::text from inventory_levels where warehouse_id = $1 and code = any($2) order by code, site`, warehouse, codes)
	if err != nil {
		return err
	}
	var l relay.InventoryLevel
	_, err = pgx.ForEachRow(rows, []any{&l.Code, &l.Site, &l.Quantity}, func() error {
		s := c.stock[l.Code]
		s.Levels = append(s.Levels, l)
		c.stock[l.Code] = s
		return nil
	})
	return err
}

func (c cartStock) readBooked(ctx context.Context, tx pgx.Tx, warehouse, cart ConnectionID, codes []string) error {
	read, err := wholeReading(ctx, tx, warehouse)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, unitsOfCodesSQL+`
		select code, case when cart_id = $4 then location else '' end, sum(units - left_out)::bigint from units where left_out < units group by 1, 2`,
		warehouse, read, codes, cart)
	if err != nil {
		return err
	}
	var code relay.ItemCode
	var b relay.Booked
	_, err = pgx.ForEachRow(rows, []any{&code, &b.Location, &b.Units}, func() error {
		s := c.stock[code]
		s.Booked = append(s.Booked, relay.Booked{Location: c.rules.Place(b.Location), Units: b.Units})
		c.stock[code] = s
		return nil
	})
	return err
}

// readOwed counts by the SKU that the cart knows, a kit's once and not by part:
// that is what the cart takes off when it is told of a parcel. Of a kit that the
// cart keeps no stock of, it takes off the parts.
func (c cartStock) readOwed(ctx context.Context, tx pgx.Tx, q CartLevelsQuery, skus []relay.SKU) error {
	rows, err := tx.Query(ctx, `
		with `+openOrdersSQL+`),
		lines as (
			select distinct on (o.id, i.line_id) btrim(i.sku) as sku, coalesce(o.location, '') as location, i.units / i.per
				- coalesce((select sum(l.units) from shipment_lines l join shipments sh on sh.id = l.shipment_id
					where sh.order_id = o.id and l.line_id = i.line_id and sh.state = 'told'), 0) as untold
			from open_orders o join submissions s on s.order_id = o.id and s.state = 'accepted' join submission_items i on i.submission_id = s.id
			-- A cart subtracts no order that it has cancelled.
			where o.cart_id = $2 and o.cart_cancelled_at is null
			order by o.id, i.line_id),
		composite as (select distinct sku from sent_levels where cart_id = $2 and by_parts)
		select l.sku, location, b.sku is not null, sum(untold)::bigint from lines l left join composite b on b.sku = l.sku
		where untold > 0 and (b.sku is not null or l.sku in (select * from unnest($3::text[]))) group by 1, 2, 3`,
		q.Merchant.StoredWarehouse().ID, q.Cart.ID, skus)
	if err != nil {
		return err
	}
	var at skuAt
	var byParts bool
	var units int64
	_, err = pgx.ForEachRow(rows, []any{&at.sku, &at.location, &byParts, &units}, func() error {
		location := c.rules.Place(at.location)
		c.owed[skuAt{at.sku, location}] += units
		if m, _ := q.Mappings.Lookup(q.Cart.Name, at.sku); byParts && m.Kit != nil {
			for _, part := range m.Kit.Components {
				c.owed[skuAt{part.SKU, location}] += units * part.Units
			}
		}
		return nil
	})
	return err
}

func (c cartStock) readSent(ctx context.Context, tx pgx.Tx, cart ConnectionID, skus []relay.SKU) error {
	rows, err := tx.Query(ctx, `
		select sku, location, available::text, owed::text, sent_at, coalesce(error, ''), retry_at, coalesce(retry_at > now(), false)
		from sent_levels where cart_id = $1 and sku = any($2) order by sku, location`, cart, skus)
	if err != nil {
		return err
	}
	var at skuAt
	var l SentLevel
	var retry *time.Time
	_, err = pgx.ForEachRow(rows, []any{&at.sku, &at.location, &l.Available, &l.Owed, &l.At, &l.Error, &retry, &l.Waits}, func() error {
		one := l
		one.RetryAt = fromNull(retry)
		c.sent[at] = &one
		c.sentFor[at.sku] = append(c.sentFor[at.sku], at.location)
		return nil
	})
	return err
}
