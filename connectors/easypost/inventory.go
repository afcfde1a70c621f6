package easypost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	defaultLimit  = 250              // item codes in a page, when the caller names no limit
	maxPages      = 1000             // of products that are read
	catalogueLife = 15 * time.Minute // how long later pages of one pull may use the products read for the first
	cursorPrefix  = "after:"
)

// catalogue is what the vendor says it keeps: there is no look-up by barcode
// (section 5), so all products are read.
type catalogue struct {
	codes  []string            // sorted
	ids    map[string][]string // product ids of a barcode; several products may share one
	sites  []string            // ids of the enabled warehouses that count
	closed map[string]bool     // ids of the disabled ones
	cut    bool                // the list of products may go on
	readAt time.Time
}

// PullInventory returns the stock of the next item codes, in the order of the
// codes. The cursor is the last code that was handed out, so that products that
// come or go between two pages put no code into both; behind the last page it is
// "", for there is no reading by change (section 9), and the next one is whole again.
//
// Every code has a level for every enabled site: a product that the stock list
// leaves out counts 0 there. An account that names no warehouses has one level
// a code, with Site "". A code whose figure can't be read is left out.
func (c *connection) PullInventory(ctx context.Context, q connectors.InventoryQuery) (connectors.InventoryPage, error) {
	const op = "pull inventory"
	after, ok := strings.CutPrefix(q.Cursor, cursorPrefix)
	if q.Cursor != "" && !ok {
		return connectors.InventoryPage{}, &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("the cursor is none of this connector's")}
	}
	cat, err := c.catalogue(ctx, op, q.Cursor == "")
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	from := 0
	if q.Cursor != "" {
		var past bool
		if from, past = slices.BinarySearch(cat.codes, after); past {
			from++
		}
	}
	limit := q.Limit
	if limit < 1 {
		limit = defaultLimit
	}
	codes := cat.codes[from:min(from+limit, len(cat.codes))]
	levels, unread, err := c.levels(ctx, op, cat, codes)
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	page := connectors.InventoryPage{
		Levels: levels, Meaning: c.meaning, More: from+len(codes) < len(cat.codes), Partial: cat.cut || len(unread) > 0, Unread: unread,
	}
	if page.More {
		page.Cursor = cursorPrefix + codes[len(codes)-1]
	}
	return page, nil
}

// catalogue reads products and warehouses, or returns what was read lately.
func (c *connection) catalogue(ctx context.Context, op string, anew bool) (*catalogue, error) {
	c.mu.Lock()
	cat := c.products
	c.mu.Unlock()
	if cat != nil && !anew && time.Since(cat.readAt) < catalogueLife {
		return cat, nil
	}
	cat, err := c.readCatalogue(ctx, op)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.products = cat
	c.mu.Unlock()
	return cat, nil
}

func (c *connection) readCatalogue(ctx context.Context, op string) (*catalogue, error) {
	cat := &catalogue{ids: make(map[string][]string), closed: make(map[string]bool), readAt: time.Now()}
	warehouses, err := c.warehouses(ctx, op)
	if err != nil && !errors.Is(err, relay.NotFound) {
		return nil, err
	}
	for _, w := range warehouses {
		switch {
		case w.disabled:
			cat.closed[w.ID] = true
		case c.counts(w.ID) && !slices.Contains(cat.sites, w.ID):
			cat.sites = append(cat.sites, w.ID)
		}
	}
	switch {
	case len(warehouses) == 0:
		cat.sites = slices.Clone(c.sites)
	case len(cat.sites) == 0:
		// Rather no figures than a nought for everything because of a wrong setting.
		return nil, &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("none of the account's warehouses is both enabled and named in settings.sites")}
	}
	ended, _, err := walk(ctx, c.client, op, "products", maxPages, productID, func(rows []productJSON) (bool, error) {
		for _, p := range rows {
			if err := c.wrongMode(op, p.Mode); err != nil {
				return false, err
			}
			if p.Barcode != "" {
				cat.ids[string(p.Barcode)] = append(cat.ids[string(p.Barcode)], string(p.ID))
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if cat.cut = !ended; cat.cut {
		c.log.Warn("the list of products may be longer than could be read", "products", len(cat.ids))
	}
	cat.codes = slices.Sorted(maps.Keys(cat.ids))
	return cat, nil
}

func productID(p productJSON) string { return string(p.ID) }

// levels asks for the stock of the codes, chunk by chunk of product ids. A code
// with a figure that can't be read has no level.
func (c *connection) levels(ctx context.Context, op string, cat *catalogue, codes []string) ([]relay.InventoryLevel, []connectors.Unread, error) {
	s := stock{cat: cat, wanted: c.counts, codeOf: make(map[string]string), rows: make(map[place]relay.Quantity), unread: make(map[string]bool)}
	var ids []string
	for _, code := range codes {
		for _, id := range cat.ids[code] {
			s.codeOf[id] = code
			ids = append(ids, id)
		}
	}
	for chunk := range slices.Chunk(ids, c.chunk) {
		query := c.client.window() // ignored beside product_ids, but a vendor that honours it must not cut us short
		query["product_ids[]"] = chunk
		query["includes[]"] = []string{"product", "warehouse"}
		if err := c.readStock(ctx, op, query, &s, chunk); err != nil {
			return nil, nil, err
		}
	}
	var unread []connectors.Unread
	for _, code := range slices.Sorted(maps.Keys(s.unread)) {
		unread = append(unread, connectors.Unread{Subject: code, Message: "the quantity is missing or no number; want a decimal with at most 4 places"})
	}
	return s.levels(codes), unread, nil
}

func (c *connection) readStock(ctx context.Context, op string, query url.Values, s *stock, asked []string) error {
	rows, listed, err := readList[inventoryJSON](ctx, c.client, op, "inventories", query)
	if err != nil {
		return err
	}
	if !listed {
		// Taking it for "no rows" would put every product at 0.
		return &relay.Error{Kind: relay.Unavailable, Op: op, Err: errUnreadable}
	}
	told := make(map[string]bool, len(asked))
	foreign := false
	for _, r := range rows {
		modes := []text{}
		if r.Product != nil {
			modes = append(modes, r.Product.Mode)
		}
		if r.Warehouse != nil {
			modes = append(modes, r.Warehouse.Mode)
		}
		if err := c.wrongMode(op, modes...); err != nil {
			return err
		}
		id := s.productOf(r)
		if !slices.Contains(asked, id) {
			foreign = true
			continue
		}
		told[id] = true
		s.add(id, r)
	}
	if foreign && len(told) < len(asked) {
		// The vendor answered a wider question, and perhaps only one page of it.
		return &relay.Error{Kind: relay.Unavailable, Op: op, Err: fmt.Errorf("stock of other products came, and none of %d that were asked for", len(asked)-len(told))}
	}
	return nil
}

// place is one product at one site.
type place struct{ product, site string }

// stock gathers rows of stock.
type stock struct {
	cat    *catalogue
	wanted func(site string) bool
	codeOf map[string]string // by product id
	rows   map[place]relay.Quantity
	unread map[string]bool // codes with a figure that can't be read
}

// productOf returns the id of a row's product; a row that names only the
// barcode is taken for the barcode's first product.
func (s *stock) productOf(r inventoryJSON) string {
	if r.Product == nil {
		return string(r.ProductID)
	}
	if r.Product.ID != "" {
		return string(r.Product.ID)
	}
	if ids := s.cat.ids[string(r.Product.Barcode)]; r.ProductID == "" && len(ids) > 0 {
		return ids[0]
	}
	return string(r.ProductID)
}

func (s *stock) add(id string, r inventoryJSON) {
	site := string(r.WarehouseID)
	if r.Warehouse != nil {
		if r.Warehouse.ID != "" {
			site = string(r.Warehouse.ID)
		}
		if r.Warehouse.DisabledAt.Set {
			return
		}
	}
	if s.cat.closed[site] || (site != "" && !s.wanted(site)) {
		return
	}
	if !r.Quantity.Set || r.Quantity.Bad {
		s.unread[s.codeOf[id]] = true
		return
	}
	at := place{id, site}
	// There is one row a product and site; of two, the smaller sells nothing that is not there.
	if have, twice := s.rows[at]; !twice || r.Quantity.Value < have {
		s.rows[at] = r.Quantity.Value
	}
}

// levels sums the rows per code and site, and adds the zeros.
func (s *stock) levels(codes []string) []relay.InventoryLevel {
	sums := make(map[place]relay.Quantity) // by code and site
	for at, quantity := range s.rows {
		code := s.codeOf[at.product]
		sums[place{code, at.site}] += quantity
	}
	for _, code := range codes {
		sites := s.cat.sites
		if len(sites) == 0 {
			sites = []string{""}
		}
		for _, site := range sites {
			sums[place{code, site}] += 0
		}
	}
	var out []relay.InventoryLevel
	for at, quantity := range sums {
		if !s.unread[at.product] {
			out = append(out, relay.InventoryLevel{Code: relay.ItemCode(at.product), Site: at.site, Quantity: quantity})
		}
	}
	relay.SortLevels(out)
	return out
}
