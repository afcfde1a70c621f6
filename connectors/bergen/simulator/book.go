package simulator

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"orderferry/connectors/simkit"
)

// book is the data set of one account. The Simulator's mutex guards it.
type book struct {
	Account
	seed    int64
	tickets []*ticket          // by N-1, oldest first
	numbers map[string][]int64 // number as sent -> N of its tickets, oldest first
	orders  map[string][]int64 // OrderNumber -> N of the tickets that have it
	short   map[int64]bool     // N of tickets in CSR - No Stock

	products map[string]*product // by UPC, also queued ones
	listed   []*product          // in the style master, in the order in which they came
	stock    map[string][]level  // by UPC, then warehouse
	receipts []*receipt          // by N-1, oldest first
	cartons  int64               // given out so far
}

// level is what one building has of one product.
type level struct {
	onHand  int64
	pending int64     // promised to tickets that have not left
	changed time.Time // when either last changed
}

func newBook(seed int64, a Account) *book {
	return &book{
		Account: a, seed: seed, numbers: map[string][]int64{}, orders: map[string][]int64{}, short: map[int64]bool{},
		products: map[string]*product{}, stock: map[string][]level{},
	}
}

const firstCarton = 7_700_000 // PackageUniqueId of the first carton is one more

// apply puts a change in the books. It is the only way in, for a request as for
// the journal, so a restart ends with the same books.
func (b *book) apply(c *change) {
	b.cartons = max(b.cartons, c.Cartons)
	for _, p := range c.Products {
		old := b.products[p.UPC]
		b.products[p.UPC] = p
		switch {
		case !p.Live:
		case old == nil || !old.Live:
			b.listed = append(b.listed, p)
		default:
			b.listed[slices.Index(b.listed, old)] = p
		}
	}
	for _, s := range c.Stock {
		l := &b.levels(s.UPC)[b.building(s.Warehouse)]
		if l.onHand != s.OnHand || l.changed.IsZero() {
			l.onHand, l.changed = s.OnHand, maxTime(l.changed, s.At)
		}
	}
	for _, t := range c.Tickets {
		b.applyTicket(t)
	}
	for _, r := range c.Receipts {
		if r.N > int64(len(b.receipts)) {
			b.receipts = append(b.receipts, r)
		} else {
			b.receipts[r.N-1] = r
		}
	}
}

func (b *book) applyTicket(t *ticket) {
	if t.N > int64(len(b.tickets)) {
		b.tickets = append(b.tickets, t)
		b.numbers[t.Number] = append(b.numbers[t.Number], t.N)
		order := t.Fields["OrderNumber"]
		b.orders[order] = append(b.orders[order], t.N)
	} else {
		b.promise(b.tickets[t.N-1], -1, t.Updated)
		b.tickets[t.N-1] = t
	}
	b.promise(t, +1, t.Updated)
	if t.Status == StatusNoStock {
		b.short[t.N] = true
	} else {
		delete(b.short, t.N)
	}
}

// promise adds what a ticket has reserved to the pending units, or takes it away.
func (b *book) promise(t *ticket, sign int64, at time.Time) {
	w := b.building(t.warehouse())
	if !t.Reserved || w < 0 {
		return
	}
	for _, u := range t.left() {
		l := &b.levels(u.UPC)[w]
		l.pending += sign * u.Quantity
		l.changed = maxTime(l.changed, at)
	}
}

// levels returns the stock of a UPC, one entry a warehouse.
func (b *book) levels(upc string) []level {
	ls := b.stock[upc]
	if ls == nil {
		ls = make([]level, len(b.Warehouses))
		b.stock[upc] = ls
	}
	return ls
}

// enough says whether a ticket's building has all that it asks for.
func (b *book) enough(t *ticket) bool {
	w := b.building(t.warehouse())
	if w < 0 {
		return false
	}
	for _, u := range t.left() {
		if l := b.levels(u.UPC)[w]; l.onHand-l.pending < u.Quantity {
			return false
		}
	}
	return true
}

// building finds a warehouse by its name in the enumeration, or by what follows
// BERGEN LOGISTICS in it, in any case; "" is the first. It returns -1 for none.
func (b *book) building(name string) int {
	if name == "" {
		return 0
	}
	return slices.IndexFunc(b.Warehouses, func(w string) bool {
		return strings.EqualFold(w, name) || strings.EqualFold(strings.TrimPrefix(w, companyName+" "), name)
	})
}

// find returns the newest ticket of a number, with or without the account's
// prefix (wire/bergen-rex11.md section 7.4), staged ones too.
func (b *book) find(number string) *ticket {
	for _, n := range []string{number, strings.TrimPrefix(number, b.Prefix)} {
		if ns := b.numbers[n]; len(ns) > 0 && n != "" {
			return b.tickets[ns[len(ns)-1]-1]
		}
	}
	return nil
}

// live is a product of the style master.
func (b *book) live(upc string) *product {
	if p := b.products[upc]; p != nil && p.Live {
		return p
	}
	return nil
}

// everything is the book as changes small enough for a journal line each.
func (b *book) everything(yield func(*change) bool) {
	if !yield(&change{Account: b.Prefix, Cartons: b.cartons}) {
		return
	}
	for _, p := range slices.SortedFunc(maps.Values(b.products), func(x, y *product) int { return cmp.Compare(x.N, y.N) }) {
		c := &change{Account: b.Prefix, Products: []*product{p}}
		if p.Live && b.stock[p.UPC] != nil {
			for i, l := range b.stock[p.UPC] {
				c.Stock = append(c.Stock, stockRecord{p.UPC, b.Warehouses[i], l.onHand, l.changed})
			}
		}
		if !yield(c) {
			return
		}
	}
	for _, t := range b.tickets {
		if !yield(&change{Account: b.Prefix, Tickets: []*ticket{t}}) {
			return
		}
	}
	for _, r := range b.receipts {
		if !yield(&change{Account: b.Prefix, Receipts: []*receipt{r}}) {
			return
		}
	}
}

// tracking makes a tracking number out of the seed: UPS's form, or twelve digits.
func (b *book) tracking(shipVia string, carton int64) string {
	sum := simkit.Identify(b.seed, b.Prefix, "tracking", itoa(carton))
	if strings.HasPrefix(strings.ToUpper(shipVia), "UPS") {
		return "1Z" + strings.ToUpper(sum[:16])
	}
	n := binary.BigEndian.Uint64([]byte(sum[:8]))
	return itoa(100_000_000_000 + int64(n%900_000_000_000))
}
