package shop

import (
	"fmt"

	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
)

// Fate is what a simulated order is made for.
type Fate string

// The fates.
const (
	Ships   Fate = "ships"
	Short   Fate = "short"   // an item that the warehouse has none of
	Unknown Fate = "unknown" // a SKU without an alias
	Void    Fate = "void"    // short of stock, and then cancelled at the cart
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

// The products. The warehouse has none of the last.
const products = 24

// ShortSKU is the one that is sold out; its item code is ShortCode.
const (
	ShortSKU   = "SOLD-OUT-1"
	ShortCode  = "0799999999999"
	UnknownSKU = "NOBODY-KNOWS-1"
)

// LateSKU is out of stock at first, and ComingSKU has no alias.
const (
	LateSKU    = "LATE-1"
	LateCode   = "0788888888888"
	ComingSKU  = "COMING-1"
	ComingCode = "0777777777777"
)

// LateAlias translates the SKU that nobody knew at first.
func LateAlias() []relay.Alias { return []relay.Alias{{SKU: ComingSKU, Code: ComingCode}} }

// AddLate adds the SKUs of the fates Late and Coming to all shops and
// warehouses, the first without any stock, and returns their other aliases.
func (s *Shops) AddLate() ([]relay.Alias, error) {
	for _, w := range s.Warehouses {
		w.AddProduct(LateCode, "Late")
		w.AddProduct(ComingCode, "Coming")
		if err := w.SetStock(ComingCode, "", 1_000_000); err != nil {
			return nil, err
		}
		for _, name := range []string{LateSKU, ComingSKU} {
			if _, err := s.Cart.AddVariant(w.Merchant, tradegecko.NewVariant{SKU: name, Name: name, IfAbsent: true}); err != nil {
				return nil, err
			}
		}
	}
	return []relay.Alias{{SKU: LateSKU, Code: LateCode}}, nil
}

func sku(i int) string  { return fmt.Sprintf("TOTE-%02d", i) }
func code(i int) string { return fmt.Sprintf("07000000%05d", i) }

// Aliases translates the shop's SKUs.
func Aliases() []relay.Alias {
	list := []relay.Alias{{SKU: ShortSKU, Code: ShortCode}}
	for i := range products {
		list = append(list, relay.Alias{SKU: relay.SKU(sku(i)), Code: relay.ItemCode(code(i))})
	}
	return list
}

// Stock fills shops and warehouses: enough of everything for n orders a merchant,
// and none of what is sold out. Harmless twice.
func (s *Shops) Stock(n int) error {
	for _, w := range s.Warehouses {
		known := len(w.Simulator.Stock(Mode)) > 0
		w.AddProduct(ShortCode, "Sold out")
		for i := range products {
			w.AddProduct(code(i), "Tote "+sku(i))
			if known {
				continue
			}
			if err := w.SetStock(code(i), "", int64(10*n+1000)); err != nil {
				return err
			}
		}
		for i := range products {
			if _, err := s.Cart.AddVariant(w.Merchant, tradegecko.NewVariant{SKU: sku(i), Name: "Tote " + sku(i), IfAbsent: true}); err != nil {
				return err
			}
		}
		for _, name := range []string{ShortSKU, UnknownSKU} {
			if _, err := s.Cart.AddVariant(w.Merchant, tradegecko.NewVariant{SKU: name, Name: name, IfAbsent: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Number is the order number of a merchant's n-th order.
func Number(n int) string { return fmt.Sprintf("D-%06d", n+1) }

// Sell places a merchant's orders from the n-th up to and without the m-th.
// Those that are there already are left alone.
func (s *Shops) Sell(merchant string, n, m int) error {
	const batch = 500
	for n < m {
		to := min(n+batch, m)
		var list []tradegecko.NewOrder
		for i := n; i < to; i++ {
			list = append(list, Order(i, s.fate(i)))
		}
		if _, err := s.Cart.AddOrders(merchant, list, true); err != nil {
			return err
		}
		n = to
	}
	return nil
}

// SellOne places a merchant's n-th order, made for a fate, unless it is there.
func (s *Shops) SellOne(merchant string, n int, fate Fate) error {
	_, err := s.Cart.AddOrders(merchant, []tradegecko.NewOrder{Order(n, fate)}, true)
	return err
}

func (s *Shops) fate(i int) Fate {
	if s.allShip {
		return Ships
	}
	return FateOf(i)
}

// Order is a merchant's i-th order, made for a fate.
func Order(i int, fate Fate) tradegecko.NewOrder {
	lines := []tradegecko.NewLine{{SKU: sku(i % products), Quantity: fmt.Sprint(1 + i%3)}}
	if i%2 == 0 {
		lines = append(lines, tradegecko.NewLine{SKU: sku((i + 7) % products), Quantity: "2"})
	}
	switch fate {
	case Short, Void:
		lines = append(lines, tradegecko.NewLine{SKU: ShortSKU, Quantity: "1"})
	case Unknown:
		lines = append(lines, tradegecko.NewLine{SKU: UnknownSKU, Quantity: "1"})
	case Late:
		lines = append(lines, tradegecko.NewLine{SKU: LateSKU, Quantity: "1"})
	case Coming:
		lines = append(lines, tradegecko.NewLine{SKU: ComingSKU, Quantity: "1"})
	}
	return tradegecko.NewOrder{
		Number: Number(i), Status: "finalized", Payment: "paid", Lines: lines, ShipMethod: "Standard", ShipPrice: "4.90",
		Address: tradegecko.Address{
			FirstName: "Sample", LastName: fmt.Sprintf("Buyer %d", i), Line1: fmt.Sprintf("%d Example Street", 1+i%900),
			City: "Springfield", State: "IL", Zip: "62701", Country: "United States", CountryCode: "US", Email: fmt.Sprintf("buyer%d@example.test", i),
		},
	}
}
