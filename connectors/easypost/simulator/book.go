package simulator

import (
	"slices"
	"strings"
	"unicode"

	"orderferry/connectors/simkit"
)

// book is the data set of one mode. The Simulator's mutex guards it.
type book struct {
	seed       int64
	mode       Mode
	warehouses []warehouse
	counts     map[string]int64

	orders    map[string]*order
	byNewest  timeline[*order]
	words     map[string][]string // lower-case word -> ids of orders that have, or had, it
	products  map[string]*product // also deleted ones, which old orders still show
	byBarcode map[string]*product // only live ones
	catalogue timeline[*product]  // only live ones
	stock     map[string][]level  // by product id, then warehouse
	trackers  map[string]*tracker
	parcels   timeline[*tracker]
	byCode    map[string][]string // tracking code -> tracker ids, oldest first
	addresses map[string]*address
	hooks     map[string]*hook
	listeners timeline[*hook] // only live ones
	documents map[string]*document
	papers    timeline[*document] // only live ones
	returnsOf map[string][]string // order id -> ids of its returns
	events    []event             // the newest maxEvents
}

// warehouse is a building with its vendor id, which is the same after a restart.
type warehouse struct {
	Warehouse
	ID string
}

// level is what one building has of one product.
type level struct {
	onHand   int64
	reserved int64 // promised to accepted, unshipped orders
}

func newBook(seed int64, mode Mode, warehouses []Warehouse) *book {
	b := &book{
		seed: seed, mode: mode, counts: map[string]int64{},
		orders: map[string]*order{}, words: map[string][]string{},
		products: map[string]*product{}, byBarcode: map[string]*product{}, stock: map[string][]level{},
		trackers: map[string]*tracker{}, byCode: map[string][]string{},
		addresses: map[string]*address{}, hooks: map[string]*hook{}, documents: map[string]*document{},
		returnsOf: map[string][]string{},
	}
	for _, w := range warehouses {
		b.warehouses = append(b.warehouses, warehouse{w, "wh_" + simkit.Identify(seed, string(mode), "wh_", w.ShortName)})
	}
	return b
}

// next gives the number and id of the next record of a kind. It counts only once
// the record is applied.
func (b *book) next(prefix string) (int64, string) {
	n := b.counts[prefix] + 1
	return n, b.id(prefix, n)
}

func (b *book) id(prefix string, n int64) string {
	return prefix + simkit.Identify(b.seed, string(b.mode), prefix, itoa(n))
}

func (b *book) counted(prefix string, n int64) { b.counts[prefix] = max(b.counts[prefix], n) }

// apply puts a change in the books. It is the only way in, for a request as for
// the journal, so a restart ends with the same books.
func (b *book) apply(c *change) {
	for prefix, n := range c.Counts {
		b.counted(prefix, n)
	}
	for _, p := range c.Products {
		b.applyProduct(p)
	}
	for _, s := range c.Stock {
		b.levels(s.ProductID)[s.Warehouse].onHand = s.OnHand
	}
	for _, t := range c.Trackers {
		b.applyTracker(t)
	}
	for _, o := range c.Orders {
		b.applyOrder(o)
	}
	for _, a := range c.Addresses {
		b.counted("adr_", a.N)
		b.addresses[a.ID] = a
	}
	for _, h := range c.Hooks {
		b.counted("hook_", h.N)
		b.hooks[h.ID] = h
		if h.Deleted {
			b.listeners.drop(h)
		} else {
			b.listeners.put(h)
		}
	}
	for _, d := range c.Documents {
		b.counted(d.Kind, d.N)
		if b.documents[d.ID] == nil && d.Kind == returnKind {
			b.returnsOf[d.Parent] = append(b.returnsOf[d.Parent], d.ID)
		}
		b.documents[d.ID] = d
		if d.Deleted {
			b.papers.drop(d)
		} else {
			b.papers.put(d)
		}
	}
}

func (b *book) applyProduct(p *product) {
	b.counted("prod_", p.N)
	if old := b.products[p.ID]; old != nil && b.byBarcode[old.Barcode] == old {
		delete(b.byBarcode, old.Barcode)
	}
	b.products[p.ID] = p
	if p.Deleted {
		b.catalogue.drop(p)
		return
	}
	b.byBarcode[p.Barcode] = p
	b.catalogue.put(p)
}

func (b *book) applyTracker(t *tracker) {
	b.counted("trk_", t.N)
	if b.trackers[t.ID] == nil {
		b.byCode[t.Code] = append(b.byCode[t.Code], t.ID)
		if t.OrderID != "" {
			b.index(t.OrderID, []string{strings.ToLower(t.Code)})
		}
	}
	b.trackers[t.ID] = t
	b.parcels.put(t)
}

func (b *book) applyOrder(o *order) {
	b.counted("order_", o.N)
	old := b.orders[o.ID]
	if old != nil {
		b.reserve(old.Reserved, -1)
	}
	b.reserve(o.Reserved, +1)
	b.orders[o.ID] = o
	b.byNewest.put(o)
	if old == nil || old.Request.description() != o.Request.description() {
		b.index(o.ID, append(wordsOf(o.Request.description()), strings.ToLower(o.ID)))
	}
}

func (b *book) reserve(rs []reservation, sign int64) {
	for _, r := range rs {
		b.levels(r.ProductID)[r.Warehouse].reserved += sign * r.Units
	}
}

// levels returns the stock of a product, one entry a warehouse.
func (b *book) levels(productID string) []level {
	ls := b.stock[productID]
	if ls == nil {
		ls = make([]level, len(b.warehouses))
		b.stock[productID] = ls
	}
	return ls
}

// available is what may still be promised of a product in a building.
func (b *book) available(productID string, warehouse int) int64 {
	ls := b.stock[productID]
	if ls == nil || b.warehouses[warehouse].Disabled {
		return 0
	}
	return max(0, ls[warehouse].onHand-ls[warehouse].reserved)
}

func (b *book) index(orderID string, words []string) {
	for _, w := range words {
		if ids := b.words[w]; len(ids) == 0 || ids[len(ids)-1] != orderID {
			b.words[w] = append(ids, orderID)
		}
	}
}

// wordsOf splits text for the index: by spaces, and those pieces again at
// punctuation, so that both "relay:8f3c" and "8f3c" are found.
func wordsOf(text string) []string {
	var words []string
	for _, w := range strings.Fields(strings.ToLower(text)) {
		words = append(words, w)
		pieces := strings.FieldsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if len(pieces) > 1 || (len(pieces) == 1 && pieces[0] != w) {
			words = append(words, pieces...)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// search returns the orders that have every word of the query in their id,
// description or tracking codes, newest first (section 4; which fields the vendor
// covers is unknown).
func (b *book) search(query string, keep func(*order) bool, descriptions bool) timeline[*order] {
	words := strings.Fields(strings.ToLower(query))
	rarest := b.words[words[0]]
	for _, w := range words[1:] {
		if ids := b.words[w]; len(ids) < len(rarest) {
			rarest = ids
		}
	}
	var found timeline[*order]
	for _, id := range rarest {
		if o := b.orders[id]; (keep == nil || keep(o)) && b.hasWords(o, words, descriptions) {
			found.put(o)
		}
	}
	return found
}

func (b *book) hasWords(o *order, words []string, descriptions bool) bool {
	has := []string{strings.ToLower(o.ID)}
	for _, p := range o.Picks {
		if t := b.trackers[p.TrackerID]; t != nil {
			has = append(has, strings.ToLower(t.Code))
		}
	}
	if descriptions {
		has = append(has, wordsOf(o.Request.description())...)
	}
	for _, w := range words {
		if !slices.Contains(has, w) {
			return false
		}
	}
	return true
}

// findProduct finds a live product as an order names it: by id, else by its exact
// barcode (section 5).
func (b *book) findProduct(ref productRef) *product {
	if ref.ID == "" {
		return b.byBarcode[ref.Barcode]
	}
	if p := b.products[ref.ID]; p != nil && !p.Deleted {
		return p
	}
	return nil
}

// warehouseNamed finds a building by short name or id; "" is the first. It
// returns -1 when there is none.
func (b *book) warehouseNamed(name string) int {
	if name == "" {
		return 0
	}
	return slices.IndexFunc(b.warehouses, func(w warehouse) bool {
		return w.ID == name || strings.EqualFold(w.ShortName, name)
	})
}

// everything is the book as changes small enough for a journal line each.
func (b *book) everything(yield func(*change) bool) {
	if !yield(&change{Mode: b.mode, Counts: b.counts}) {
		return
	}
	for _, p := range b.products {
		if !yield(&change{Mode: b.mode, Products: []*product{p}, Stock: b.stockRecords(p.ID)}) {
			return
		}
	}
	for _, t := range b.parcels.rows {
		if !yield(&change{Mode: b.mode, Trackers: []*tracker{t}}) {
			return
		}
	}
	for _, o := range b.byNewest.rows {
		if !yield(&change{Mode: b.mode, Orders: []*order{o}}) {
			return
		}
	}
	for _, a := range b.addresses {
		if !yield(&change{Mode: b.mode, Addresses: []*address{a}}) {
			return
		}
	}
	yield(&change{Mode: b.mode, Hooks: b.listeners.rows, Documents: b.papers.rows})
}

func (b *book) stockRecords(productID string) []stockRecord {
	var out []stockRecord
	for i, l := range b.stock[productID] {
		out = append(out, stockRecord{productID, i, l.onHand})
	}
	return out
}
