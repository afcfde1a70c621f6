package simulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// row is one inventory row: a product in a warehouse.
type row struct {
	warehouse string
	product   *product
	level     level
}

// rows returns those rows of the products that keep wants (nil wants all), grouped
// by warehouse; each product is there once a warehouse, also with 0 / 0
// (wire/bergen-rex11.md section 10.1).
func (b *book) rows(products []*product, keep func(*product, level) bool) []row {
	var out []row
	if keep == nil {
		out = make([]row, 0, len(products)*len(b.Warehouses))
	}
	for w := range b.Warehouses {
		for _, p := range products {
			if r := b.row(w, p); keep == nil || keep(p, r.level) {
				out = append(out, r)
			}
		}
	}
	return out
}

func (b *book) row(warehouse int, p *product) row {
	r := row{warehouse: b.Warehouses[warehouse], product: p}
	if ls := b.stock[p.UPC]; ls != nil {
		r.level = ls[warehouse]
	}
	return r
}

func inventory(c *call) (answer, *fault) {
	b := c.beginSettled()
	rows := b.rows(b.listed, nil)
	c.mu.Unlock()
	return inventoryAnswer(rows), nil
}

func inventorySince(c *call) (answer, *fault) {
	since, f := c.since("FromDateTime")
	if f != nil {
		return answer{}, f
	}
	b := c.beginSettled()
	rows := b.rows(b.listed, changedSince(since))
	c.mu.Unlock()
	return inventoryAnswer(rows), nil
}

func inventoryBatch(c *call) (answer, *fault) { return c.batch(nil) }

func inventoryBatchSince(c *call) (answer, *fault) {
	since, f := c.since("fromDateTime")
	if f != nil {
		return answer{}, f
	}
	return c.batch(changedSince(since))
}

// since reads the moment from which on changes are asked for, in US Eastern.
func (c *call) since(name string) (time.Time, *fault) {
	at, err := c.readDate(c.arg(name))
	if err != nil {
		return at, thrown("String was not recognized as a valid DateTime.")
	}
	return at, nil
}

// changedSince keeps rows whose quantities changed at or after a second.
func changedSince(since time.Time) func(*product, level) bool {
	return func(_ *product, l level) bool { return !l.changed.Before(since) }
}

// batch answers one batch of the rows. A number that no batch has is answered with
// no rows.
func (c *call) batch(keep func(*product, level) bool) (answer, *fault) {
	number, f := c.batchNumber()
	if f != nil {
		return answer{}, f
	}
	b := c.beginSettled()
	count := len(b.listed) * len(b.Warehouses)
	at := func(i int) row { return b.row(i/len(b.listed), b.listed[i%len(b.listed)]) }
	if keep != nil {
		kept := b.rows(b.listed, keep)
		count, at = len(kept), func(i int) row { return kept[i] }
	}
	size := c.behaviour.batchSize()
	total := (count + size - 1) / size
	var rows []row
	if later := number - c.behaviour.firstBatch(); later >= 0 && later < total { // batches before this one
		from := later*size - later*c.behaviour.MovingRows - c.back(size)
		for i := clamp(from, count); i < clamp(from+size, count); i++ {
			rows = append(rows, at(i))
		}
	}
	c.mu.Unlock()
	a := inventoryAnswer(rows)
	payload := a.payload
	a.payload = func(w *writer) {
		payload(w)
		w.leaf(methods, "TotalNumberOfBatches", itoa(int64(total)))
	}
	return a, nil
}

func clamp(i, n int) int { return max(0, min(i, n)) }

func (c *call) batchNumber() (int, *fault) {
	k := c.args.kid(methods, "batchNumber")
	if k == nil {
		return 0, nil // missing: silently 0 (section 2.5)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(k.text)), 10, 32)
	if err != nil {
		return 0, notANumber()
	}
	return int(n), nil
}

// inventoryByUPCs leaves out what it does not know, unless told to refuse it.
func inventoryByUPCs(c *call) (answer, *fault) {
	b := c.beginSettled()
	defer c.mu.Unlock()
	var found []*product
	if list := c.args.kid(methods, "UPCs"); list != nil {
		for _, k := range list.kids {
			p := b.live(string(k.text))
			switch {
			case k.name.Space != methods || k.name.Local != "string" || slices.Contains(found, p):
			case p != nil:
				found = append(found, p)
			case c.behaviour.UnknownUPCRefused:
				return notes(33, "UpcCodeError", "UPC is not valid"), nil
			}
		}
	}
	return inventoryAnswer(b.rows(found, nil)), nil
}

func inventoryByStyle(c *call) (answer, *fault) {
	b := c.beginSettled()
	defer c.mu.Unlock()
	return inventoryAnswer(b.rows(b.listed, func(p *product, _ level) bool { return strings.EqualFold(p.Style, c.arg("style")) })), nil
}

func inventoryAnswer(rows []row) answer {
	return answer{payload: func(w *writer) {
		w.start(methods, "Inventory")
		for _, r := range rows {
			r.write(w)
		}
		w.end()
	}}
}

func (r row) write(w *writer) {
	w.start(methods, "item")
	w.leaf(methods, "Warehouse", titleCase(r.warehouse))
	w.leaf(methods, "WarehouseId", itoa(int64(warehouseID(r.warehouse))))
	w.leaf(methods, "Sku", r.product.SKU)
	w.leaf(methods, "Style", r.product.Style)
	w.leaf(methods, "Color", r.product.Color)
	w.leaf(methods, "Size", r.product.Size)
	w.leaf(methods, "Upc", r.product.UPC)
	w.leaf(methods, "Description", r.product.Description)
	w.leaf(methods, "Price", decimal(r.product.Price))
	w.leaf(methods, "ActualQuantity", itoa(r.level.onHand))
	w.leaf(methods, "PendingQuantity", itoa(r.level.pending))
	w.end()
}

// titleCase writes a warehouse as inventory does: Bergen Logistics NJ2.
func titleCase(warehouse string) string {
	return "Bergen Logistics" + strings.TrimPrefix(warehouse, companyName)
}

// quantities is GetProductQuantitiesByUpc. What the pending units are divided into
// is a choice: those of printed tickets are allocated.
func quantities(c *call) (answer, *fault) {
	b := c.beginSettled()
	var asked []*product
	if p := b.live(c.arg("UPC")); p != nil {
		asked = append(asked, p)
	}
	rows := b.rows(asked, nil)
	allocated := make([]int64, len(rows))
	for i, r := range rows {
		for _, t := range b.tickets {
			if !t.Reserved || t.Status == StatusNew || t.warehouse() != r.warehouse {
				continue
			}
			for _, u := range t.left() {
				if u.UPC == r.product.UPC {
					allocated[i] += u.Quantity
				}
			}
		}
	}
	c.mu.Unlock()
	return answer{payload: func(w *writer) {
		w.start(methods, "Result")
		for i, r := range rows {
			w.start(methods, "ProductQuantities")
			w.leaf(methods, "Upc", r.product.UPC)
			w.leaf(methods, "WarehouseName", titleCase(r.warehouse))
			w.leaf(methods, "ActualQuantity", itoa(r.level.onHand))
			w.leaf(methods, "PendingQuantity", itoa(r.level.pending))
			w.leaf(methods, "AllocatedQuantity", itoa(allocated[i]))
			w.leaf(methods, "PutAwayQuantity", "0")
			w.leaf(methods, "NotShippedQuantity", itoa(r.level.pending))
			w.end()
		}
		w.end()
	}}, nil
}
