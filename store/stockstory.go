package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// StockStory tells how the numbers that carts show of a SKU or an item code come about.
type StockStory struct {
	Codes []CodeStory // the item codes in question, in order
	Carts []CartStory // those with a SKU in question
}

// CodeStory is what a warehouse says of an item code, and what accepted orders take of it.
type CodeStory struct {
	Code  relay.ItemCode
	Sites []SiteStory // none: the warehouse does not name it
	// StandsAsOf is when the reading began that last told or confirmed the figures:
	// they leave out orders accepted (net figures) or shipped (physical stock) by then.
	StandsAsOf time.Time
	// Booked is what is subtracted from the figures, LeftOut what they leave out
	// already of orders that have not ended.
	Booked, LeftOut OrderUnits
	Orders          []BookedOrder // the first of those that are subtracted, by order
}

// OrderUnits are units of so many orders.
type OrderUnits struct {
	Orders int64
	Units  int64
}

// SiteStory is a warehouse's figure for a code at one site.
type SiteStory struct {
	Site      string
	Quantity  relay.Quantity
	Meaning   string    // "available": accepted orders are left out of it; "on_hand": physical stock
	ChangedAt time.Time // when the reading began that first showed this figure
}

// BookedOrder is an order whose units are subtracted from a figure.
type BookedOrder struct {
	Code      relay.ItemCode
	Reference relay.Reference
	Cart      relay.ConnectionName
	Location  string // the cart's, as it told it; "" where it told none
	State     relay.OrderState
	Units     int64
	LeftOut   int64 // of them the figure leaves out already: they had been set aside, or had left
}

// CartStory is what a cart shows of a SKU.
type CartStory struct {
	Cart    Connection
	SKU     relay.SKU
	Mapping relay.Mapping
	Levels  []CartLevel // its own location first
}

// mostSKUs bounds how many SKUs of a cart are told of one item code.
const mostSKUs = 100

// StockStory explains a SKU of the given carts or, where none of them maps it, an
// item code with all SKUs that are made of it. It names at most so many orders a
// code. ErrNotFound for what is neither.
func (s *Store) StockStory(ctx context.Context, m Merchant, mappings relay.Mappings, carts []Connection, name string, orders int) (StockStory, error) {
	var out StockStory
	fail := func(err error) (StockStory, error) {
		return StockStory{}, fmt.Errorf("explain the stock of %q: %w", name, err)
	}
	err := s.snapshot(ctx, func(tx pgx.Tx) error {
		out = StockStory{}
		codes := map[relay.ItemCode]bool{relay.ItemCode(name): true}
		for _, cart := range carts {
			skus, err := skusOf(ctx, tx, m, mappings, cart, name)
			if err != nil {
				return err
			}
			c, err := readCartStock(ctx, tx, CartLevelsQuery{Merchant: m, Mappings: mappings, Cart: cart}, skus)
			if err != nil {
				return err
			}
			for _, sku := range skus {
				mapping, _ := mappings.Lookup(cart.Name, sku)
				out.Carts = append(out.Carts, CartStory{Cart: cart, SKU: sku, Mapping: mapping, Levels: c.levels(sku)})
				for _, it := range c.parts[sku].items {
					codes[it.Code] = true
				}
			}
		}
		var err error
		out.Codes, err = readCodeStories(ctx, tx, m.StoredWarehouse().ID, slices.Sorted(maps.Keys(codes)), orders)
		return err
	})
	if err != nil {
		return fail(err)
	}
	// Where SKUs pass as item codes any word does: only one that somebody has heard of is a SKU.
	out.Carts = slices.DeleteFunc(out.Carts, func(c CartStory) bool {
		return c.Mapping.AsIs && !slices.ContainsFunc(c.Levels, func(l CartLevel) bool { return l.Known || l.Sent != nil })
	})
	out.Codes = slices.DeleteFunc(out.Codes, func(c CodeStory) bool {
		return len(c.Sites) == 0 && !slices.ContainsFunc(out.Carts, func(of CartStory) bool { return of.madeOf(c.Code) })
	})
	if len(out.Codes)+len(out.Carts) == 0 {
		return fail(ErrNotFound)
	}
	return out, nil
}

func (c CartStory) madeOf(code relay.ItemCode) bool {
	return slices.ContainsFunc(c.Levels, func(l CartLevel) bool {
		return slices.ContainsFunc(l.Parts, func(p relay.PartLevel) bool { return p.Code == code })
	})
}

// skusOf finds the SKUs of a cart that a name stands for.
func skusOf(ctx context.Context, tx pgx.Tx, m Merchant, mappings relay.Mappings, cart Connection, name string) ([]relay.SKU, error) {
	mapping, ok := mappings.Lookup(cart.Name, relay.SKU(name))
	if ok && !mapping.AsIs {
		return []relay.SKU{relay.SKU(name)}, nil
	}
	rows, err := tx.Query(ctx, `
		with alias as (select sku from aliases where merchant_id = $1 and code = $2 and cart in ('', $3))
		select sku from alias
		union select sku from kit_components where merchant_id = $1 and cart in ('', $3) and component in (select sku from alias union select $2)
		union select sku from sent_levels where cart_id = $4 and sku = $2
		order by 1 limit $5`, m.ID, name, cart.Name, cart.ID, mostSKUs)
	if err != nil {
		return nil, err
	}
	skus, err := pgx.CollectRows(rows, pgx.RowTo[relay.SKU])
	if err != nil {
		return nil, err
	}
	if ok && !slices.Contains(skus, relay.SKU(name)) {
		skus = append([]relay.SKU{relay.SKU(name)}, skus...)
	}
	// A mapping of this cart may stand in the way of one of all carts.
	return slices.DeleteFunc(skus, func(sku relay.SKU) bool {
		items, _ := mappings.Items(cart.Name, sku)
		return string(sku) != name && !slices.ContainsFunc(items, func(it relay.Item) bool { return string(it.Code) == name })
	}), nil
}

func readCodeStories(ctx context.Context, tx pgx.Tx, warehouse ConnectionID, codes []relay.ItemCode, orders int) ([]CodeStory, error) {
	out := make([]CodeStory, len(codes))
	at := make(map[relay.ItemCode]*CodeStory, len(codes))
	for i, code := range codes {
		out[i].Code = code
		at[code] = &out[i]
	}
	rows, err := tx.Query(ctx, `
		select code, site, quantity::text, meaning, observed_at from inventory_levels
		where warehouse_id = $1 and code = any($2) order by code, site`, warehouse, codes)
	if err != nil {
		return nil, err
	}
	var code relay.ItemCode
	var site SiteStory
	if _, err := pgx.ForEachRow(rows, []any{&code, &site.Site, &site.Quantity, &site.Meaning, &site.ChangedAt}, func() error {
		at[code].Sites = append(at[code].Sites, site)
		return nil
	}); err != nil {
		return nil, err
	}
	read, err := wholeReading(ctx, tx, warehouse)
	if err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, unitsOfCodesSQL+`
		select level.code, level.at, count(units.code) filter (where left_out < units.units), coalesce(sum(units.units - left_out), 0)::bigint,
			count(units.code) filter (where left_out > 0), coalesce(sum(left_out), 0)::bigint
		from level left join units on units.code = level.code group by 1, 2`, warehouse, read, codes)
	if err != nil {
		return nil, err
	}
	var c CodeStory
	if _, err := pgx.ForEachRow(rows, []any{&c.Code, &c.StandsAsOf, &c.Booked.Orders, &c.Booked.Units, &c.LeftOut.Orders, &c.LeftOut.Units}, func() error {
		to := at[c.Code]
		to.StandsAsOf, to.Booked, to.LeftOut = c.StandsAsOf, c.Booked, c.LeftOut
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, unitsOfCodesSQL+`,
		numbered as (select *, row_number() over (partition by code order by order_id) as n from units where left_out < units)
		select u.code, o.reference, c.name, u.location, o.state, u.units, u.left_out
		from numbered u join orders o on o.id = u.order_id join connections c on c.id = o.cart_id where u.n <= $4 order by u.code, u.order_id`,
		warehouse, read, codes, orders)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[BookedOrder])
	for _, o := range list {
		at[o.Code].Orders = append(at[o.Code].Orders, o)
	}
	return out, err
}
