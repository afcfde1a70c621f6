package simulator

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// productRequest is the body of POST and PATCH /products (section 5). Only title
// and barcode are insisted on: what else is required is not known.
type productRequest struct {
	Title          *string    `json:"title"`
	Barcode        *string    `json:"barcode"`
	Type           *string    `json:"type"`
	OriginCountry  *string    `json:"origin_country"`
	HSCode         *string    `json:"hs_code"`
	SerialTracking *bool      `json:"requires_serial_tracking"`
	Length         *dimension `json:"length"`
	Width          *dimension `json:"width"`
	Height         *dimension `json:"height"`
	Weight         *dimension `json:"weight"`
	Price          *dimension `json:"price"`
}

// on lays the fields that were sent over a product.
func (r *productRequest) on(p product) *product {
	set := func(field *string, sent *string) {
		if sent != nil {
			*field = *sent
		}
	}
	set(&p.Title, r.Title)
	set(&p.Barcode, r.Barcode)
	set(&p.Type, r.Type)
	set(&p.OriginCountry, r.OriginCountry)
	set(&p.HSCode, r.HSCode)
	if r.SerialTracking != nil {
		p.SerialTracking = *r.SerialTracking
	}
	dims := []*dimension{&p.Length, &p.Width, &p.Height, &p.Weight, &p.Price}
	for i, sent := range []*dimension{r.Length, r.Width, r.Height, r.Weight, r.Price} {
		if sent != nil {
			*dims[i] = *sent
		}
	}
	return &p
}

func (p *product) check() *problem {
	if strings.TrimSpace(p.Title) == "" {
		return required("title")
	}
	if strings.TrimSpace(p.Barcode) == "" {
		return required("barcode")
	}
	return nil
}

// taken refuses a barcode that another live product has.
func (b *book) taken(p *product) *problem {
	if other := b.byBarcode[p.Barcode]; other != nil && other.ID != p.ID {
		return &problem{Status: 422, Code: "PRODUCT.BARCODE.DUPLICATE", Message: "A product with this barcode already exists.",
			Fields: []fieldProblem{{Field: "barcode", Message: "is taken"}}}
	}
	return nil
}

func (c *call) createProduct() (int, any, *problem) {
	var req productRequest
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	p := req.on(product{Type: "merchandise", Created: c.now, Updated: c.now})
	if bad := p.check(); bad != nil {
		return 0, nil, bad
	}
	b := c.begin()
	defer c.mu.Unlock()
	if bad := b.taken(p); bad != nil {
		return 0, nil, bad
	}
	p.N, p.ID = b.next("prod_")
	c.commit(b, &change{Products: []*product{p}})
	return http.StatusCreated, c.render.product(p), nil
}

func (c *call) listProducts() (int, any, *problem) {
	skip, n := c.behaviour.page(c.request.URL.Query())
	rows := c.begin().catalogue.page(skip, n, nil, c.behaviour.OldestFirst)
	c.mu.Unlock()
	products := make([]*wireProduct, len(rows))
	for i, p := range rows {
		products[i] = c.render.product(p)
	}
	return http.StatusOK, map[string]any{"products": array(c.render, products)}, nil
}

func (c *call) getProduct() (int, any, *problem) {
	p := c.begin().findProduct(productRef{ID: c.ids[0]})
	c.mu.Unlock()
	if p == nil {
		return 0, nil, notFound()
	}
	return http.StatusOK, c.render.product(p), nil
}

func (c *call) updateProduct() (int, any, *problem) {
	var req productRequest
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	b := c.begin()
	defer c.mu.Unlock()
	old := b.findProduct(productRef{ID: c.ids[0]})
	if old == nil {
		return 0, nil, notFound()
	}
	next := req.on(*old)
	next.Updated = c.now
	if bad := cmp.Or(next.check(), b.taken(next)); bad != nil {
		return 0, nil, bad
	}
	c.commit(b, &change{Products: []*product{next}})
	return http.StatusOK, c.render.product(next), nil
}

func (c *call) deleteProduct() (int, any, *problem) {
	b := c.begin()
	defer c.mu.Unlock()
	old := b.findProduct(productRef{ID: c.ids[0]})
	if old == nil {
		return 0, nil, notFound()
	}
	next := *old
	next.Deleted, next.Updated = true, c.now
	c.commit(b, &change{Products: []*product{&next}})
	return c.deleted()
}

func (c *call) listWarehouses() (int, any, *problem) {
	out := make([]wireWarehouse, len(c.book.warehouses)) // they never change
	for i, w := range c.book.warehouses {
		out[i] = c.render.warehouse(w)
	}
	return http.StatusOK, map[string]any{"warehouses": array(c.render, out)}, nil
}

// inventoryRow is one product in one building, before rendering.
type inventoryRow struct {
	product   *product
	warehouse warehouse
	quantity  int64
}

// listInventories answers with a row a product a building. Naming products turns
// paging off (section 9).
func (c *call) listInventories() (int, any, *problem) {
	query := c.request.URL.Query()
	withProduct, withWarehouse, p := includes(append(query["includes[]"], query["includes"]...))
	if p != nil {
		return 0, nil, p
	}
	ids := append(query["product_ids[]"], query["product_ids"]...)
	if most := c.behaviour.maxProductIDs(); most >= 0 && len(ids) > most {
		return 0, nil, &problem{Status: http.StatusRequestURITooLong, Code: "REQUEST.TOO_LONG",
			Message: "At most " + strconv.Itoa(most) + " product ids fit in a request."}
	}
	skip, n := c.behaviour.page(query)
	b := c.begin()
	var rows []inventoryRow
	if len(ids) > 0 {
		rows = c.rowsOf(b, ids)
	} else {
		rows = c.rowsPage(b, skip, n)
	}
	c.mu.Unlock()
	return http.StatusOK, map[string]any{"inventories": array(c.render, c.inventories(rows, withProduct, withWarehouse))}, nil
}

func includes(words []string) (withProduct, withWarehouse bool, p *problem) {
	for _, w := range words {
		switch w {
		case "product":
			withProduct = true
		case "warehouse":
			withWarehouse = true
		default:
			return false, false, invalid("includes", "must be product or warehouse")
		}
	}
	return withProduct, withWarehouse, nil
}

func (c *call) rowsOf(b *book, ids []string) []inventoryRow {
	var rows []inventoryRow
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		p := b.findProduct(productRef{ID: id})
		if p == nil || seen[id] {
			continue
		}
		seen[id] = true
		for w := range b.warehouses {
			rows = c.appendRow(rows, b, p, w)
		}
	}
	return rows
}

// rowsPage pages over rows. With zero rows hidden it has to look at every product
// before the page.
func (c *call) rowsPage(b *book, skip, n int) []inventoryRow {
	width := len(b.warehouses)
	if !c.behaviour.HideZeroRows {
		products := b.catalogue.newest(skip/width, n/width+2, nil)
		var rows []inventoryRow
		for _, p := range products {
			for w := range width {
				rows = c.appendRow(rows, b, p, w)
			}
		}
		rows = rows[min(skip%width, len(rows)):]
		return rows[:min(n, len(rows))]
	}
	var rows []inventoryRow
	for i := len(b.catalogue.rows) - 1; i >= 0 && len(rows) < skip+n; i-- {
		for w := range width {
			rows = c.appendRow(rows, b, b.catalogue.rows[i], w)
		}
	}
	rows = rows[min(skip, len(rows)):]
	return rows[:min(n, len(rows))]
}

func (c *call) appendRow(rows []inventoryRow, b *book, p *product, w int) []inventoryRow {
	quantity := b.quantity(p.ID, w, c.behaviour.QuantityOnHand)
	if quantity == 0 && c.behaviour.HideZeroRows {
		return rows
	}
	return append(rows, inventoryRow{p, b.warehouses[w], quantity})
}

// quantity is what the inventory feed says: net of accepted, unshipped orders, or
// what physically lies there.
func (b *book) quantity(productID string, w int, onHand bool) int64 {
	ls := b.stock[productID]
	if ls == nil {
		return 0
	}
	if onHand {
		return ls[w].onHand
	}
	return max(0, ls[w].onHand-ls[w].reserved)
}

func (c *call) inventories(rows []inventoryRow, withProduct, withWarehouse bool) []wireInventory {
	out := make([]wireInventory, len(rows))
	for i, r := range rows {
		out[i].Quantity = r.quantity
		if withProduct {
			out[i].Product = c.render.product(r.product)
		} else {
			out[i].ProductID = r.product.ID
		}
		if withWarehouse {
			out[i].Warehouse = new(c.render.warehouse(r.warehouse))
		} else {
			out[i].WarehouseID = r.warehouse.ID
		}
	}
	return out
}

// UnmarshalJSON takes {"value": n, "unit": "IN"}, with the number also in a string.
func (d *dimension) UnmarshalJSON(raw []byte) error {
	var sent struct {
		Value json.Number `json:"value"`
		Unit  string      `json:"unit"`
	}
	if err := json.Unmarshal(raw, &sent); err != nil {
		return err
	}
	d.Value, d.Unit = sent.Value, sent.Unit
	return nil
}
