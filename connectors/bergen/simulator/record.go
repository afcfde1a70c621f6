package simulator

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Records are what the books and the journal hold. A record is never changed once
// it is in the books: a change puts a new copy in its place, so that answers can
// be rendered from old copies without a lock.

// ticket is a pick ticket. It is staged until Imported is set.
type ticket struct {
	N        int64     `json:"n"`
	Number   string    `json:"number"` // as sent
	Accepted time.Time `json:"accepted"`
	Imported time.Time `json:"imported,omitzero"`
	Failed   string    `json:"failed,omitempty"` // why the import failed
	Updated  time.Time `json:"updated"`          // last change of status
	Shipped  time.Time `json:"shipped,omitzero"` // last departure

	Status   string `json:"status,omitempty"`
	HeldFrom string `json:"held_from,omitempty"`
	ByClient bool   `json:"by_client,omitempty"` // cancelled by the client, not by the warehouse
	Reserved bool   `json:"reserved,omitempty"`  // units that have not left are promised from stock

	Fields  map[string]string `json:"fields"` // simple elements of the request, by name, as sent
	BillTo  map[string]string `json:"bill_to,omitempty"`
	ShipTo  map[string]string `json:"ship_to,omitempty"`
	MarkFor map[string]string `json:"mark_for,omitempty"`
	Lines   []line            `json:"lines"`
	Cartons []carton          `json:"cartons,omitempty"` // those that have left
}

type line struct {
	UPC       string  `json:"upc"`
	Quantity  int64   `json:"quantity"`
	UnitPrice float64 `json:"unit_price,omitempty"`
	Season    string  `json:"season,omitempty"`
	Comments  string  `json:"comments,omitempty"`
}

// carton is a package that has left.
type carton struct {
	ID       int64     `json:"id"` // PackageUniqueId
	Left     time.Time `json:"left"`
	Tracking string    `json:"tracking,omitempty"`
	Items    []units   `json:"items"`
}

type units struct {
	UPC      string `json:"upc"`
	Quantity int64  `json:"quantity"`
}

// warehouse is the building of the ticket.
func (t *ticket) warehouse() string { return t.Fields["WareHouse"] }

// moved is a copy of a ticket that may be changed and then committed.
func (t *ticket) moved(at time.Time) *ticket {
	next := *t
	if at.After(t.Updated) {
		next.Updated = at
	}
	next.Cartons = slices.Clone(t.Cartons)
	return &next
}

// left returns what has not left yet, in line order, one entry a UPC.
func (t *ticket) left() []units {
	out := t.ordered()
	for _, c := range t.Cartons {
		for _, item := range c.Items {
			if i := slices.IndexFunc(out, func(u units) bool { return u.UPC == item.UPC }); i >= 0 {
				out[i].Quantity -= item.Quantity
			}
		}
	}
	return slices.DeleteFunc(out, func(u units) bool { return u.Quantity <= 0 })
}

// ordered sums the lines by UPC.
func (t *ticket) ordered() []units {
	var out []units
	for _, l := range t.Lines {
		if i := slices.IndexFunc(out, func(u units) bool { return u.UPC == l.UPC }); i >= 0 {
			out[i].Quantity += l.Quantity
			continue
		}
		out = append(out, units{l.UPC, l.Quantity})
	}
	return out
}

// departed is how many units of a UPC have left.
func (t *ticket) departed(upc string) int64 {
	var n int64
	for _, c := range t.Cartons {
		for _, item := range c.Items {
			if item.UPC == upc {
				n += item.Quantity
			}
		}
	}
	return n
}

// Product is an entry of the style master (wire/bergen-rex11.md section 10).
type Product struct {
	UPC         string  `json:"upc"`
	SKU         string  `json:"sku,omitempty"`
	Style       string  `json:"style,omitempty"`
	Color       string  `json:"color,omitempty"`
	Size        string  `json:"size,omitempty"`
	Description string  `json:"description,omitempty"`
	Price       float64 `json:"price,omitempty"`
}

// product is a style master entry, queued or imported.
type product struct {
	Product
	N      int64     `json:"n"`                // its place in inventory lists
	Queued *Product  `json:"queued,omitempty"` // waits to be imported
	At     time.Time `json:"at,omitzero"`      // when it was queued
	Failed string    `json:"failed,omitempty"`
	Live   bool      `json:"live,omitempty"` // it is in the style master
}

type stockRecord struct {
	UPC       string    `json:"upc"`
	Warehouse string    `json:"warehouse"`
	OnHand    int64     `json:"on_hand"`
	At        time.Time `json:"at"`
}

// change is one mutation of one account's book: everything in it happens or
// nothing does, also in the journal, where it is one line. For every object the
// last change wins.
type change struct {
	Account  string        `json:"account"`
	Products []*product    `json:"products,omitempty"`
	Stock    []stockRecord `json:"stock,omitempty"`
	Tickets  []*ticket     `json:"tickets,omitempty"`
	Receipts []*receipt    `json:"receipts,omitempty"`
	Cartons  int64         `json:"cartons,omitempty"` // given out so far
}

// check refuses a change, read from a journal, that the books would stumble over.
func (c *change) check(b *book) error {
	for _, p := range c.Products {
		if p == nil || p.UPC == "" {
			return errors.New("a product without UPC")
		}
	}
	for _, s := range c.Stock {
		if b.building(s.Warehouse) < 0 {
			return fmt.Errorf("stock of %s: no warehouse %q", s.UPC, s.Warehouse)
		}
	}
	for _, t := range c.Tickets {
		if t == nil || t.N <= 0 || t.N > int64(len(b.tickets))+1 || t.Fields == nil {
			return fmt.Errorf("ticket out of turn after %d", len(b.tickets))
		}
	}
	for _, r := range c.Receipts {
		if r == nil || r.N <= 0 || r.N > int64(len(b.receipts))+1 || r.Fields == nil {
			return fmt.Errorf("receiving ticket out of turn after %d", len(b.receipts))
		}
	}
	return nil
}
