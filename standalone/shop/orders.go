package shop

import (
	"fmt"
	"maps"
	"slices"

	"orderferry/relay"
	"orderferry/standalone/audit"
)

// Fate is what a simulated order is made for.
type Fate string

// The fates.
const (
	Ships   Fate = "ships"
	Short   Fate = "short"   // an item that the warehouse has none of
	Unknown Fate = "unknown" // a SKU without an alias
	Void    Fate = "void"    // an item that never comes again; and then cancelled at the cart
	Late    Fate = "late"    // an item that the warehouse gets later: see AddLate
	Coming  Fate = "coming"  // a SKU whose alias comes later: see LateAlias
)

// FateOf decides the fate of a merchant's n-th order, counted from 0: of a
// hundred, about 6 are short of stock, 5 have an unknown SKU and 4 are cancelled.
func FateOf(n int) Fate {
	switch {
	case n%17 == 16:
		return Short
	case n%19 == 18:
		return Unknown
	case n%23 == 22:
		return Void
	}
	return Ships
}

// ShipMethod is what all shops call their way of shipping.
const ShipMethod = "Standard"

// The products that all warehouses have.
const products = 24

// ShortSKU is sold out, and GoneSKU will never come again.
const (
	ShortSKU   = "SOLD-OUT-1"
	ShortCode  = "0799999999999"
	GoneSKU    = "GONE-1"
	GoneCode   = "0766666666666"
	UnknownSKU = "NOBODY-KNOWS-1"
)

// MugSKU is one mug in all carts and another at the outlet; a KitSKU is a mug in two totes.
const (
	MugSKU        = "MUG-1"
	MugCode       = "0755555555555"
	OutletMugCode = "0744444444444"
	KitSKU        = "GIFT-SET-1"
)

// LateSKU is out of stock at first, and ComingSKU has no alias.
const (
	LateSKU    = "LATE-1"
	LateCode   = "0788888888888"
	ComingSKU  = "COMING-1"
	ComingCode = "0777777777777"
)

// outlet is the name of the carts on files, which have an alias of their own.
const outlet relay.ConnectionName = "outlet"

// LateAlias translates the SKU that nobody knew at first.
func LateAlias() []relay.Alias { return []relay.Alias{{SKU: ComingSKU, Code: ComingCode}} }

// AddLate adds the SKUs of the fates Late and Coming to all shops and
// warehouses, the first without any stock, and returns their other aliases.
func (s *Shops) AddLate() ([]relay.Alias, error) {
	for _, a := range s.Merchants {
		if err := a.Warehouse.Stock(map[string]int64{LateCode: 0, ComingCode: 1_000_000}); err != nil {
			return nil, err
		}
		for _, c := range a.Carts {
			if err := c.Offer([]string{LateSKU, ComingSKU}); err != nil {
				return nil, err
			}
		}
	}
	return []relay.Alias{{SKU: LateSKU, Code: LateCode}}, nil
}

func sku(i int) string  { return fmt.Sprintf("TOTE-%02d", i) }
func code(i int) string { return fmt.Sprintf("07000000%05d", i) }

// Aliases translates the SKUs of all shops.
func Aliases() []relay.Alias {
	list := []relay.Alias{{SKU: ShortSKU, Code: ShortCode}, {SKU: GoneSKU, Code: GoneCode}, {SKU: MugSKU, Code: MugCode}}
	for i := range products {
		list = append(list, relay.Alias{SKU: relay.SKU(sku(i)), Code: relay.ItemCode(code(i))})
	}
	return list
}

// Aliases translates the SKUs of the merchant's shops.
func (m Merchant) Aliases() []relay.Alias {
	list := Aliases()
	if slices.Contains(m.Carts, "csv-cart") {
		list = append(list, relay.Alias{SKU: MugSKU, Code: OutletMugCode, Cart: outlet})
	}
	return list
}

// KitList is what the merchant's kits are made of.
func (m Merchant) KitList() []relay.Kit {
	if !m.Kits {
		return nil
	}
	return []relay.Kit{{SKU: KitSKU, Components: []relay.Component{{SKU: MugSKU, Units: 1}, {SKU: relay.SKU(sku(3)), Units: 2}}}}
}

// Parts tells what a cart's SKUs are made of, also those that are translated
// later. It is written beside what Orderferry is told, so that the two can disagree.
func Parts(cart relay.ConnectionName) map[string]audit.Units {
	mug := MugCode
	if cart == outlet {
		mug = OutletMugCode
	}
	parts := map[string]audit.Units{
		ShortSKU: {ShortCode: 1}, GoneSKU: {GoneCode: 1}, UnknownSKU: {"": 1}, LateSKU: {LateCode: 1}, ComingSKU: {ComingCode: 1},
		MugSKU: {mug: 1}, KitSKU: {mug: 1, code(3): 2},
	}
	for i := range products {
		parts[sku(i)] = audit.Units{code(i): 1}
	}
	return parts
}

func skus() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(Parts(""))), func(s string) bool { return s == LateSKU || s == ComingSKU })
}

// goods are the item codes that warehouses have, with n units of each but of what is sold out.
func goods(n int64) map[string]int64 {
	out := map[string]int64{ShortCode: 0, GoneCode: 0, MugCode: n, OutletMugCode: n}
	for i := range products {
		out[code(i)] = n
	}
	return out
}

// Codes are the item codes that all warehouses have sooner or later.
func Codes() []string {
	return append(slices.Sorted(maps.Keys(goods(0))), LateCode, ComingCode)
}

// Order is an order to be sold.
type Order struct {
	Number string
	Buyer  string
	Street string // the address's first line
	Lines  []Line
}

// Line is units of a SKU.
type Line struct {
	SKU   string
	Units int64
}

// Content is what the order asks for.
func (o Order) Content() audit.Content {
	c := audit.Content{Street: o.Street, Lines: make(audit.Units)}
	for _, l := range o.Lines {
		c.Lines[l.SKU] += l.Units
	}
	return c
}

// As is the order with a later content.
func (o Order) As(c audit.Content) Order {
	o.Street, o.Lines = c.Street, slices.Clone(o.Lines)
	for i, l := range o.Lines {
		o.Lines[i].Units = c.Lines[l.SKU]
	}
	return o
}

// Number is the order number of a merchant's n-th order. Where there are two
// carts, these take turns, and of each ten orders one has the number of the one before.
func (m Merchant) Number(n int) string {
	if len(m.Carts) > 1 && n%10 == 5 {
		n--
	}
	return Number(n)
}

// Number is the order number of the n-th order of a merchant with one cart.
func Number(n int) string { return fmt.Sprintf("D-%06d", n+1) }

// Order is the merchant's n-th order, made for a fate, and the cart that sells it.
func (a *Account) Order(n int, fate Fate) (Cart, Order) {
	o := Order{
		Number: a.Number(n), Buyer: fmt.Sprintf("Buyer %d", n), Street: fmt.Sprintf("%d Example Street", n+1),
		Lines: []Line{{SKU: sku(n % products), Units: int64(1 + n%3)}},
	}
	add := func(sku string, units int64) { o.Lines = append(o.Lines, Line{sku, units}) }
	if n%2 == 0 {
		add(sku((n+7)%products), 2)
	}
	if n%5 == 1 {
		add(MugSKU, 1)
	}
	if a.Kits && n%7 == 3 {
		add(KitSKU, 1)
	}
	switch fate {
	case Short:
		add(ShortSKU, 1)
	case Void:
		add(GoneSKU, 1)
	case Unknown:
		add(UnknownSKU, 1)
	case Late:
		add(LateSKU, 1)
	case Coming:
		add(ComingSKU, 1)
	}
	return a.Carts[n%len(a.Carts)], o
}

// Fate is that of the merchant's n-th order.
func (a *Account) Fate(n int) Fate {
	if a.AllShip {
		return Ships
	}
	return FateOf(n)
}

// Sell places the merchant's orders from the n-th up to and without the m-th.
func (a *Account) Sell(n, m int) error {
	const batch = 500
	for ; n < m; n += batch {
		lists := make(map[Cart][]Order)
		for i := n; i < min(n+batch, m); i++ {
			c, o := a.Order(i, a.Fate(i))
			lists[c] = append(lists[c], o)
		}
		for _, c := range a.Carts {
			if err := c.Sell(lists[c]); err != nil {
				return err
			}
		}
	}
	return nil
}
