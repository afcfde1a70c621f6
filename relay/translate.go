package relay

import (
	"fmt"
	"strings"
)

// Alias gives a cart's SKU the warehouse's item code.
type Alias struct {
	SKU  SKU
	Code ItemCode
	Cart ConnectionName // "" for every cart of the merchant
}

// Aliases translates SKUs. The zero value knows none.
type Aliases struct {
	byCart map[ConnectionName]map[SKU]ItemCode
	// AsIs lets a SKU without an alias pass as its own item code, for merchants
	// whose SKUs are the warehouse's codes.
	AsIs bool
}

// NewAliases indexes the list. An alias for one cart goes before one for all.
func NewAliases(list []Alias, asIs bool) Aliases {
	a := Aliases{byCart: make(map[ConnectionName]map[SKU]ItemCode), AsIs: asIs}
	for _, al := range list {
		m := a.byCart[al.Cart]
		if m == nil {
			m = make(map[SKU]ItemCode)
			a.byCart[al.Cart] = m
		}
		// Trimmed as Code trims what it is asked for, else the alias would never be met.
		m[SKU(strings.TrimSpace(string(al.SKU)))] = al.Code
	}
	return a
}

// Code returns the item code of a cart's SKU. Outer blanks do not count; case does.
func (a Aliases) Code(cart ConnectionName, sku SKU) (ItemCode, bool) {
	sku = SKU(strings.TrimSpace(string(sku)))
	if sku == "" {
		return "", false
	}
	if code, ok := a.byCart[cart][sku]; ok {
		return code, true
	}
	if code, ok := a.byCart[""][sku]; ok {
		return code, true
	}
	return ItemCode(sku), a.AsIs
}

// Translate turns the lines of a cart order into warehouse items. When
// something stands in the way it returns the reason and the fields instead, and
// no items: an order is never sent in part.
func (a Aliases) Translate(cart ConnectionName, o CartOrder) ([]OrderItem, *Hold) {
	if len(o.Problems) > 0 {
		return nil, &Hold{Reason: HoldBadOrder, Fields: o.Problems}
	}
	if len(o.Lines) == 0 {
		return nil, &Hold{Reason: HoldBadOrder, Fields: []Problem{{
			Field: "lines", Message: "the order has nothing to ship",
		}}}
	}
	var items []OrderItem
	var unknown, bad []Problem
	for i, l := range o.Lines {
		units, whole := l.Quantity.Whole()
		if !whole || units < 1 {
			bad = append(bad, Problem{
				Field:   fmt.Sprintf("lines[%d].quantity", i),
				Value:   l.Quantity.String(),
				Message: "a warehouse ships whole units, 1 or more",
			})
			continue
		}
		code, ok := a.Code(cart, l.SKU)
		if !ok {
			unknown = append(unknown, Problem{
				Field:   fmt.Sprintf("lines[%d].sku", i),
				Value:   string(l.SKU),
				Message: "no alias gives this SKU an item code; add one with: ferry alias import",
			})
			continue
		}
		items = append(items, OrderItem{Line: l.ID, SKU: l.SKU, Item: Item{Code: code, Units: units}})
	}
	switch {
	case len(bad) > 0:
		return nil, &Hold{Reason: HoldBadOrder, Fields: append(bad, unknown...)}
	case len(unknown) > 0:
		return nil, &Hold{Reason: HoldUnknownItem, Fields: unknown}
	}
	return items, nil
}
