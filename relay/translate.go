package relay

import (
	"fmt"
	"slices"
	"strings"
)

// Alias gives a cart's SKU the warehouse's item code.
type Alias struct {
	SKU  SKU
	Code ItemCode
	Cart ConnectionName // "" for every cart of the merchant
}

// Mappings turn a merchant's orders into its warehouse's words: SKUs into item
// codes, kits into their components, ship methods into services. The zero value
// knows none. Safe for concurrent use.
type Mappings struct {
	// Version counts the changes of the merchant's aliases and kits up to these.
	Version int64

	carts   map[ConnectionName]cartMappings // "": of all carts
	methods map[ConnectionName]ShipMethods
	asIs    bool // a SKU that is not mapped passes as its own item code
}

type cartMappings struct {
	codes map[SKU]ItemCode
	kits  map[SKU]Kit
}

// NewMappings indexes aliases and kits. Under adds the merchant's rules.
func NewMappings(aliases []Alias, kits []Kit) Mappings {
	t := Mappings{carts: make(map[ConnectionName]cartMappings)}
	for _, a := range aliases {
		t.of(a.Cart).codes[trim(a.SKU)] = a.Code
	}
	for _, k := range kits {
		t.of(k.Cart).kits[trim(k.SKU)] = k
	}
	return t
}

func (t Mappings) of(cart ConnectionName) cartMappings {
	m, ok := t.carts[cart]
	if !ok {
		m = cartMappings{make(map[SKU]ItemCode), make(map[SKU]Kit)}
		t.carts[cart] = m
	}
	return m
}

// Outer blanks of a SKU do not count; case does.
func trim(sku SKU) SKU { return SKU(strings.TrimSpace(string(sku))) }

// Under returns the mappings under a merchant's rules: its ship methods, and
// what is to become of SKUs that are not mapped. It costs next to nothing.
func (t Mappings) Under(m Merchant) Mappings {
	t.asIs = m.Unaliased == SendUnaliased
	t.methods = make(map[ConnectionName]ShipMethods, len(m.Carts))
	for _, c := range m.Carts {
		t.methods[c.Name] = c.Rules.Methods
	}
	return t
}

// Size is how many aliases, kits and components there are.
func (t Mappings) Size() int {
	n := 0
	for _, m := range t.carts {
		n += len(m.codes)
		for _, k := range m.kits {
			n += 1 + len(k.Components)
		}
	}
	return n
}

// Mapping is what a SKU stands for at a cart.
type Mapping struct {
	Cart ConnectionName // whose mapping it is; "" of all carts
	Code ItemCode       // of an alias; "" where it is a kit
	Kit  *Kit
	AsIs bool // nothing maps it: it passes as its own item code
}

// Lookup tells what a SKU stands for at a cart. What is mapped for the cart
// alone goes before what is mapped for all, and there a kit before an alias.
func (t Mappings) Lookup(cart ConnectionName, sku SKU) (m Mapping, ok bool) {
	sku = trim(sku)
	if sku == "" {
		return Mapping{}, false
	}
	for _, c := range []ConnectionName{cart, ""} {
		if k, ok := t.carts[c].kits[sku]; ok {
			return Mapping{Cart: c, Kit: &k}, true
		}
		if code, ok := t.carts[c].codes[sku]; ok {
			return Mapping{Cart: c, Code: code}, true
		}
	}
	return Mapping{Code: ItemCode(sku), AsIs: true}, t.asIs
}

// Items returns what a unit of a SKU is at the warehouse: its item code or, of a
// kit, the codes of its components with the units of each. A SKU, or the
// components of a kit, that have no code come back as missing.
func (t Mappings) Items(cart ConnectionName, sku SKU) (items []Item, missing []SKU) {
	m, ok := t.Lookup(cart, sku)
	switch {
	case !ok:
		return nil, []SKU{sku}
	case m.Kit == nil:
		return []Item{{Code: m.Code, Units: 1}}, nil
	}
	var parts []OrderItem
	for _, c := range m.Kit.Components {
		// None of them is a kit: the ledger refuses kits of kits.
		code, ok := t.Lookup(cart, c.SKU)
		if !ok || code.Kit != nil {
			missing = append(missing, c.SKU)
			continue
		}
		parts = append(parts, OrderItem{Item: Item{Code: code.Code, Units: c.Units}})
	}
	if len(missing) > 0 {
		return nil, missing
	}
	return MergeItems(parts), nil // two components may be one code
}

// Translated is a cart order in its warehouse's words.
type Translated struct {
	// Items are in the order of the lines; a kit's line has one for each code.
	Items   []OrderItem
	Service Service // "" for the warehouse's default
}

// Translate turns a cart order into what its warehouse is asked for. When
// something stands in the way it returns a hold that names all of it, and
// nothing else: an order is never sent in part. The hold's reason is that of the
// gravest: what is wrong with the order itself goes before unknown SKUs, these
// before kits without components, and these before the ship method.
func (t Mappings) Translate(cart ConnectionName, o CartOrder) (Translated, *Hold) {
	out, w := t.translate(cart, o)
	holds := w.holds()
	if len(holds) == 0 {
		return out, nil
	}
	for _, h := range holds[1:] {
		holds[0].Fields = append(holds[0].Fields, h.Fields...)
	}
	return Translated{}, &holds[0]
}

// Obstacles are what the hold of Translate names, under the reason of each: the
// gravest first, none when nothing stands in the way.
func (t Mappings) Obstacles(cart ConnectionName, o CartOrder) []Hold {
	_, w := t.translate(cart, o)
	return w.holds()
}

func (t Mappings) translate(cart ConnectionName, o CartOrder) (out Translated, w wrongs) {
	if len(o.Problems) > 0 {
		return out, wrongs{HoldBadOrder: o.Problems} // it could not be read: what else is wrong with it nobody knows
	}
	if len(o.Lines) == 0 {
		return out, wrongs{HoldBadOrder: {{Field: "lines", Message: "the order has nothing to ship"}}}
	}
	for i, l := range o.Lines {
		out.Items = append(out.Items, t.line(cart, i, l, slices.Contains(o.Traits.Bundles, l.SKU), &w)...)
	}
	service, ok := t.methods[cart].Service(o.ShipMethod)
	if !ok {
		w.note(HoldUnmappedShipMethod, Problem{
			Field: "ship_method", Value: string(o.ShipMethod),
			Message: fmt.Sprintf("no service of the warehouse is mapped to it: name one under ship_methods of cart %s in the merchant's file", cart),
		})
	}
	out.Service = service
	return out, w
}

// line translates the i-th line of an order, and notes what is wrong with it. The SKU
// of a cart's bundle never passes as its own item code: the warehouse has its parts.
func (t Mappings) line(cart ConnectionName, i int, l Line, bundle bool, w *wrongs) []OrderItem {
	units, whole := l.Quantity.Whole()
	if !whole || units < 1 {
		w.note(HoldBadOrder, Problem{
			Field: fmt.Sprintf("lines[%d].quantity", i), Value: l.Quantity.String(),
			Message: "a warehouse ships whole units, 1 or more",
		})
		return nil
	}
	field := fmt.Sprintf("lines[%d].sku", i)
	parts, missing := t.Items(cart, l.SKU)
	m, mapped := t.Lookup(cart, l.SKU)
	switch {
	case bundle && (!mapped || m.AsIs):
		w.note(HoldKitWithoutComponents, Problem{
			Field: field, Value: string(l.SKU),
			Message: "a bundle of the cart; name its components with: ferry kit set, or the item code that it has in one piece with: ferry alias set",
		})
		return nil
	case len(missing) > 0 && m.Kit == nil:
		w.note(HoldUnknownItem, Problem{
			Field: field, Value: string(l.SKU), Message: "no alias gives this SKU an item code; add one with: ferry alias import",
		})
		return nil
	case len(missing) > 0:
		for _, sku := range missing {
			w.note(HoldUnknownItem, Problem{
				Field: field, Value: string(sku),
				Message: fmt.Sprintf("no alias gives this component of kit %s an item code; add one with: ferry alias import", m.Kit.SKU),
			})
		}
		return nil
	case len(parts) == 0:
		w.note(HoldKitWithoutComponents, Problem{
			Field: field, Value: string(l.SKU), Message: "this kit has no components; name them with: ferry kit set",
		})
		return nil
	}
	items := make([]OrderItem, len(parts))
	for n, p := range parts {
		if p.Units > mostUnits/units {
			w.note(HoldBadOrder, Problem{
				Field: fmt.Sprintf("lines[%d].quantity", i), Value: l.Quantity.String(),
				Message: fmt.Sprintf("so many of kit %s hold more than %d units of %s, the most that a warehouse is asked for", l.SKU, mostUnits, p.Code),
			})
			return nil
		}
		items[n] = OrderItem{Line: l.ID, SKU: l.SKU, Item: Item{Code: p.Code, Units: units * p.Units}}
		if p.Units > 1 {
			items[n].Per = p.Units
		}
	}
	return items
}

// mostUnits is the most of an item code that a line may come to: as many as a quantity holds.
const mostUnits = int64(MaxQuantity) / quantityScale

// wrongs are what stands in the way of an order, by the hold that it asks for.
type wrongs map[HoldReason][]Problem

func (w *wrongs) note(r HoldReason, p Problem) {
	if *w == nil {
		*w = make(wrongs)
	}
	(*w)[r] = append((*w)[r], p)
}

// holds are in the order of their gravity.
func (w wrongs) holds() []Hold {
	var out []Hold
	for _, r := range []HoldReason{HoldBadOrder, HoldUnknownItem, HoldKitWithoutComponents, HoldUnmappedShipMethod} {
		if len(w[r]) > 0 {
			out = append(out, Hold{Reason: r, Fields: w[r]})
		}
	}
	return out
}
