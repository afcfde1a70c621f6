package simulator

import (
	"fmt"
	"time"
)

// addProducts is StyleMasterProductAdd: it queues the products, or says what is
// wrong with them (wire/bergen-rex11.md section 10.2).
func addProducts(c *call) (answer, *fault) {
	var in []Product
	if list := c.args.kid(methods, "products"); list != nil {
		for i := range list.kids {
			if k := &list.kids[i]; k.name.Local == "StyleMasterProduct" && k.name.Space == methods {
				p, f := readProduct(k)
				if f != nil {
					return answer{}, f
				}
				in = append(in, p)
			}
		}
	}
	if wrong := productRefusals(in); len(wrong) > 0 {
		return answer{notes: wrong}, nil
	}
	b := c.begin()
	defer c.mu.Unlock()
	change := &change{}
	added := int64(0)
	for _, p := range in {
		entry := product{Product: Product{UPC: p.UPC}, Queued: &p, At: c.now}
		if old := b.products[p.UPC]; old != nil {
			entry.Product, entry.N, entry.Live = old.Product, old.N, old.Live
		} else {
			added++
			entry.N = int64(len(b.products)) + added
		}
		change.Products = append(change.Products, &entry)
	}
	c.commit(b, change)
	for _, p := range in {
		c.settleProduct(b, p.UPC, c.now)
	}
	return saved, nil
}

func readProduct(k *element) (Product, *fault) {
	v := func(name string) string { return k.value(productSpace, name) }
	p := Product{UPC: v("UPC"), SKU: v("Sku"), Style: v("Style"), Color: v("Color"), Size: v("Size"), Description: v("Description")}
	price, f := readNumber(k.kid(productSpace, "Price"))
	p.Price = price
	return p, f
}

// productRefusals knows the three codes that were seen; 33 is a choice.
func productRefusals(in []Product) []note {
	var out []note
	for i, p := range in {
		for _, rule := range []struct {
			bad      bool
			code     int
			severity string
			field    string
		}{
			{p.Color == "", 31, "ColorError", "COLOR"},
			{p.Size == "", 32, "DataNotValid", "SIZE"},
			{p.UPC == "", 33, "UpcCodeError", "UPC"},
			{p.Price < 0, 43, "PriceError", "PRICE"},
		} {
			if rule.bad {
				out = append(out, note{rule.code, rule.severity, fmt.Sprintf("%s[item %d] is not valid", rule.field, i+1)})
			}
		}
	}
	return out
}

// productAddStatus is GetStyleMasterProductAddStatus: notifications, no payload.
func productAddStatus(c *call) (answer, *fault) {
	b := c.begin()
	defer c.mu.Unlock()
	p := c.settleProduct(b, c.arg("UPC"), c.now)
	switch {
	case p == nil:
		return notes(33, "UpcCodeError", "UPC is not valid"), nil
	case p.Queued != nil:
		return notes(87, "PendingImport", "Pending import"), nil
	case p.Failed != "":
		return notes(1, "Error", "Failed: "+p.Failed), nil
	}
	return notes(0, "Success", "Data imported successfully"), nil
}

// updateProduct is StyleMasterProductUpdateByUpc.
func updateProduct(c *call) (answer, *fault) {
	in := c.args.kid(methods, "product")
	if in == nil {
		in = &element{}
	}
	v := func(name string) string { return in.value(methods, name) }
	price, f := readNumber(in.kid(methods, "UnitPrice"))
	if f != nil {
		return answer{}, f
	}
	b := c.begin()
	defer c.mu.Unlock()
	old := b.live(v("Upc"))
	if old == nil {
		return notes(33, "UpcCodeError", "UPC is not valid"), nil
	}
	next := *old
	next.Product = Product{UPC: old.UPC, SKU: v("Sku"), Style: v("Style"), Color: v("Color"), Size: v("Size"), Description: v("Description"), Price: price}
	c.commit(b, &change{Products: []*product{&next}})
	return saved, nil
}

func (s *Simulator) productDue(p *product) (time.Time, bool) {
	return p.At.Add(s.progress.ProductAfter), p.Queued != nil
}

// settleProduct imports a queued product that is due, and returns it as it then is.
// A product that has stock or open tickets is not changed (section 10.2).
func (s *Simulator) settleProduct(b *book, upc string, now time.Time) *product {
	p := b.products[upc]
	if p == nil {
		return nil
	}
	if at, ok := s.productDue(p); !ok || at.After(now) {
		return p
	}
	next := *p
	next.Queued, next.Failed = nil, ""
	switch {
	case p.Live && *p.Queued == p.Product:
	case p.Live && b.inUse(upc):
		next.Failed = "product has stock or open tickets"
	default:
		next.Product, next.Live = *p.Queued, true
	}
	s.commit(b, &change{Products: []*product{&next}})
	return &next
}

func (b *book) inUse(upc string) bool {
	for _, l := range b.stock[upc] {
		if l.onHand != 0 || l.pending != 0 {
			return true
		}
	}
	return false
}
