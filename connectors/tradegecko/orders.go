package tradegecko

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const opPullOrders = "pull orders"

// PullOrders reads orders that are ready to be shipped, oldest change first
// (wire/tradegecko.md section 11.2). Whether a change to a line moves its
// order's timestamp is unknown, so all open orders are swept now and then.
func (c *connection) PullOrders(ctx context.Context, q connectors.OrdersQuery) (connectors.OrdersPage, error) {
	filter := c.orderFilter()
	cur, err := parseCursor(opPullOrders, q.Cursor)
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	cur.begin(filter.Encode(), time.Now(), c.overlap, c.sweepEvery)
	if !q.Earliest.IsZero() {
		filter.Set("created_at_min", wireTime(q.Earliest.Add(-step)))
	}
	rows, over, err := c.walkPage(ctx, opPullOrders, &cur, filter, q.Limit)
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	wanted := c.ready(rows, q.Earliest)
	known := q.Known
	if cur.Walk == nil || (cur.Walk.Full && !cur.Swept.IsZero()) {
		// A later sweep is there for changes that moved no timestamp.
		known = nil
	}
	fresh, err := unknown(ctx, wanted, known)
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	orders, err := c.complete(ctx, fresh)
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	if over {
		cur.end(time.Now())
	}
	return connectors.OrdersPage{Orders: orders, Cursor: cur.String(), More: !over}, nil
}

func (c *connection) orderFilter() url.Values {
	v := url.Values{"status[]": c.statuses, "fulfillment_status[]": c.shippedStatuses}
	if c.paidOnly {
		v["payment_status[]"] = []string{"paid"}
	}
	if c.location != 0 {
		v.Set("stock_location_id", id(c.location).String())
	}
	return v
}

// walkPage reads the next page of the cursor's walk and moves the cursor on.
func (c *connection) walkPage(ctx context.Context, op string, cur *cursor, filter url.Values, limit int) ([]order, bool, error) {
	w := cur.Walk
	size := c.api.pageSize
	if limit > 0 {
		size = min(size, limit)
	}
	filter.Set("order", "updated_at asc")
	if !w.Min.IsZero() {
		filter.Set("updated_at_min", wireTime(w.Min))
	}
	if !w.Max.IsZero() {
		filter.Set("updated_at_max", wireTime(w.Max))
	}
	rows, p, err := listPage(ctx, c.api, request{op: op, path: "/orders", query: filter}, w.page(size), size,
		func(d *document) []order { return d.Orders })
	if err != nil {
		return nil, false, err
	}
	for _, o := range rows {
		if o.ID <= 0 { // it can't be taken in, and must not be passed over
			return nil, false, unreadable(op, "order id")
		}
	}
	over := w.next(rows, p)
	return rows, over, nil
}

// ready leaves out what the filters should have kept away, since a server
// ignores filters that it does not know, and rows told twice.
func (c *connection) ready(rows []order, earliest time.Time) []order {
	seen := make(map[id]bool, len(rows))
	var out []order
	for _, o := range rows {
		placed := placedAt(o)
		switch {
		case seen[o.ID], c.unready(o) != "", !placed.IsZero() && placed.Before(earliest):
			continue
		}
		seen[o.ID] = true
		out = append(out, o)
	}
	return out
}

// unready says why an order is not to be pulled; "" when it is. What the cart does
// not tell of it is taken to be as it should.
func (c *connection) unready(o order) string {
	switch {
	case o.Status != "" && !slices.Contains(c.statuses, string(o.Status)):
		return "status " + exchange.Clip(string(o.Status), 40)
	case o.FulfillmentStatus != "" && !slices.Contains(c.shippedStatuses, string(o.FulfillmentStatus)):
		return "fulfillment status " + exchange.Clip(string(o.FulfillmentStatus), 40)
	case c.paidOnly && o.PaymentStatus != "" && o.PaymentStatus != "paid":
		return "payment " + exchange.Clip(string(o.PaymentStatus), 40)
	case c.location != 0 && o.StockLocationID != 0 && int64(o.StockLocationID) != c.location:
		return "location " + o.StockLocationID.String()
	}
	return ""
}

// unknown leaves out the versions that the ledger has. A version without a
// readable time can't be known.
func unknown(ctx context.Context, orders []order, known func(context.Context, []connectors.Stamp) ([]bool, error)) ([]order, error) {
	if known == nil || len(orders) == 0 {
		return orders, nil
	}
	stamps := make([]connectors.Stamp, len(orders))
	for i, o := range orders {
		stamps[i] = connectors.Stamp{ID: externalID(o.ID), UpdatedAt: o.UpdatedAt.Time}
	}
	held, err := known(ctx, stamps)
	if err == nil && len(held) != len(stamps) {
		err = errors.New("the answer has another length than the question")
	}
	if err != nil {
		return nil, &relay.Error{Op: opPullOrders, Kind: relay.Unavailable, Err: fmt.Errorf("ask which orders are known: %w", err)}
	}
	var out []order
	for i, o := range orders {
		if !held[i] || o.UpdatedAt.IsZero() {
			out = append(out, o)
		}
	}
	return out, nil
}

// family is what belongs to a batch of orders.
type family struct {
	lines     map[id][]orderLine    // by order
	shipped   map[id]relay.Quantity // by order line, what others shipped
	others    map[id]bool           // orders of which others shipped something
	unsure    map[id]bool           // orders of which some of that is unreadable
	variants  map[id]variant
	addresses map[id]address
	contacts  map[id]contact
	companies map[id]company
}

// complete fetches the orders' lines, addresses and the rest in bulk, since
// include does not work on the order index (section 4.3).
func (c *connection) complete(ctx context.Context, orders []order) ([]relay.CartOrder, error) {
	if len(orders) == 0 {
		return nil, nil
	}
	f, err := c.family(ctx, opPullOrders, orders)
	if err != nil {
		return nil, err
	}
	out := make([]relay.CartOrder, len(orders))
	for i, o := range orders {
		out[i] = c.cartOrder(o, f)
	}
	return out, nil
}

func (c *connection) family(ctx context.Context, op string, orders []order) (f family, err error) {
	if f.lines, err = c.orderLines(ctx, op, orders); err != nil {
		return f, err
	}
	if err = c.shippedByOthers(ctx, op, orders, &f); err != nil {
		return f, err
	}
	var variants, addresses []id
	for _, o := range orders {
		addresses = append(addresses, o.ShippingAddressID)
		for _, l := range f.lines[o.ID] {
			if l.ships() {
				variants = append(variants, l.VariantID)
			}
		}
	}
	if f.variants, err = c.variantsByID(ctx, op, variants); err != nil {
		return f, err
	}
	f.addresses, err = byID(ctx, c.api, op, "/addresses", addresses, func(d *document) []address { return d.Addresses })
	if err != nil {
		return f, err
	}
	return f, c.fetchNames(ctx, op, orders, &f)
}

// fetchNames reads contacts and companies, only where an address names nobody.
func (c *connection) fetchNames(ctx context.Context, op string, orders []order, f *family) (err error) {
	var contacts, companies []id
	for _, o := range orders {
		if a, ok := f.addresses[o.ShippingAddressID]; ok && a.recipient() == "" {
			contacts = append(contacts, o.ContactID)
			companies = append(companies, o.CompanyID)
		}
	}
	f.contacts, err = byID(ctx, c.api, op, "/contacts", contacts, func(d *document) []contact { return d.Contacts })
	if err != nil {
		return err
	}
	f.companies, err = byID(ctx, c.api, op, "/companies", companies, func(d *document) []company { return d.Companies })
	return err
}

// orderLines reads all lines of the orders, those that a shifting page hid by
// their own ids, and sorts them by position.
func (c *connection) orderLines(ctx context.Context, op string, orders []order) (map[id][]orderLine, error) {
	pick := func(d *document) []orderLine { return d.OrderLines }
	var keys []id
	for _, o := range orders {
		if o.LineIDs == nil || len(o.LineIDs) > 0 {
			keys = append(keys, o.ID)
		}
	}
	rows, err := within(ctx, c.api, request{op: op, path: "/order_line_items"}, "order_id", unique(keys), pick)
	if err != nil {
		return nil, err
	}
	have := make(map[id]bool, len(rows))
	for _, l := range rows {
		have[l.ID] = true
	}
	var hidden []id
	for _, o := range orders {
		for _, l := range o.LineIDs {
			if !have[l] {
				hidden = append(hidden, l)
			}
		}
	}
	more, err := within(ctx, c.api, request{op: op, path: "/order_line_items"}, "ids", unique(hidden), pick)
	if err != nil {
		return nil, err
	}
	byOrder := make(map[id][]orderLine, len(orders))
	seen := make(map[id]bool, len(rows))
	for _, l := range append(rows, more...) {
		if !seen[l.ID] {
			seen[l.ID] = true
			byOrder[l.OrderID] = append(byOrder[l.OrderID], l)
		}
	}
	for _, lines := range byOrder {
		slices.SortFunc(lines, func(a, b orderLine) int {
			return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.ID, b.ID))
		})
	}
	return byOrder, nil
}

// shippedByOthers sums, per order line, what people or other programs have
// shipped already: a warehouse must not ship that again. Our own fulfillments
// are left out, so that an order looks the same after we told the cart about it.
func (c *connection) shippedByOthers(ctx context.Context, op string, orders []order, f *family) error {
	var touched []id
	for _, o := range orders {
		if o.FulfillmentIDs == nil || len(o.FulfillmentIDs) > 0 {
			touched = append(touched, o.ID)
		}
	}
	byOrder, err := c.fulfillments(ctx, op, touched)
	if err != nil {
		return err
	}
	f.shipped = make(map[id]relay.Quantity)
	f.others, f.unsure = make(map[id]bool), make(map[id]bool)
	for orderID, list := range byOrder {
		for _, ful := range list {
			if ful.Status != "fulfilled" || hasAnyMark(string(ful.Notes)) {
				continue
			}
			f.others[orderID] = true
			units, ok := ful.contents()
			if !ok {
				f.unsure[orderID] = true
			}
			for line, n := range units {
				f.shipped[line] += n
			}
		}
	}
	return nil
}

// ships reports whether the line is goods for a warehouse (section 11.2). Old
// data does not say whether a line is shippable: then it is.
func (l orderLine) ships() bool {
	return !l.Freeform.or(false) && l.VariantID > 0 && l.Shippable.or(true)
}

// cartOrder translates an order. What could not be read becomes a problem, so
// that the order is taken in and held rather than dropped or sent in part.
func (c *connection) cartOrder(o order, f family) relay.CartOrder {
	out := relay.CartOrder{
		ExternalID: externalID(o.ID),
		Number:     cmp.Or(o.OrderNumber.trim(), o.ID.String()),
		PlacedAt:   placedAt(o),
		UpdatedAt:  o.UpdatedAt.Time,
		Traits:     o.traits(),
	}
	problem := func(field, message string) {
		out.Problems = append(out.Problems, relay.Problem{Field: field, Message: message})
	}
	all := f.lines[o.ID]
	if n := missingLines(o, all); n > 0 {
		problem("lines", fmt.Sprintf("%d of the order's %d lines could not be read from the cart", n, len(o.LineIDs)))
	}
	if f.unsure[o.ID] {
		problem("lines", "what was shipped of the order already could not be read from the cart")
	}
	for _, l := range all {
		if out.ShipMethod == "" && l.LineType == "shipping" {
			out.ShipMethod = relay.ShipMethod(l.Label.trim())
		}
		if !l.ships() {
			continue
		}
		n, err := l.Quantity.quantity()
		if err == nil {
			if n -= max(0, f.shipped[l.ID]); n == 0 || (n < 0 && f.shipped[l.ID] > 0) {
				continue
			}
		}
		field := fmt.Sprintf("lines[%d]", len(out.Lines))
		if err != nil {
			problem(field+".quantity", "the cart's quantity could not be read")
		}
		v, ok := f.variants[l.VariantID]
		if !ok {
			problem(field+".sku", "the cart's variant "+l.VariantID.String()+" could not be read")
		}
		sku := v.code(c.skuField)
		if v.Composite.or(false) && sku != "" && !slices.Contains(out.Traits.Bundles, sku) { // its line keeps the bundle's own variant (section 8.8)
			out.Traits.Bundles = append(out.Traits.Bundles, sku)
		}
		out.Lines = append(out.Lines, relay.Line{
			ID: relay.LineID(l.ID.String()), SKU: sku, Name: v.title(), Quantity: n,
		})
	}
	a, ok := f.addresses[o.ShippingAddressID]
	switch {
	case o.ShippingAddressID <= 0:
		problem("ship_to", "the order has no shipping address in the cart")
	case !ok:
		problem("ship_to", "the cart's address "+o.ShippingAddressID.String()+" could not be read")
	default:
		out.ShipTo = shipTo(o, a, f)
	}
	return out
}

// traits are what a merchant's filter goes by (section 8.1). Tags that were
// entered with a comma between them are told in one string (section 2.3).
func (o order) traits() relay.Traits {
	t := relay.Traits{Status: o.Status.trim(), Payment: o.PaymentStatus.trim()}
	if o.StockLocationID > 0 {
		t.Location = o.StockLocationID.String()
	}
	for _, tag := range o.Tags {
		t.Tags = append(t.Tags, string(tag))
	}
	return t
}

func missingLines(o order, lines []orderLine) int {
	have := make(map[id]bool, len(lines))
	for _, l := range lines {
		have[l.ID] = true
	}
	missing := 0
	for _, l := range o.LineIDs {
		if !have[l] {
			missing++
		}
	}
	return missing
}

// placedAt is when the order was entered. The issue date is the merchant's to
// change and has no time of day, so it is only a stand-in.
func placedAt(o order) time.Time {
	if !o.CreatedAt.IsZero() {
		return o.CreatedAt.Time
	}
	return o.IssuedAt.Time
}

func externalID(n id) relay.ExternalID { return relay.ExternalID(n.String()) }

// shipTo translates the address (section 8.3).
func shipTo(o order, a address, f family) relay.Address {
	name := a.recipient()
	if name == "" {
		if p, ok := f.contacts[o.ContactID]; ok {
			name = fullName(p.FirstName, p.LastName)
		}
	}
	if name == "" {
		name = f.companies[o.CompanyID].Name.trim()
	}
	to := relay.Address{
		Name:    name,
		Company: a.CompanyName.trim(),
		Street1: a.Address1.trim(),
		Street2: a.Address2.trim(),
		City:    a.City.trim(),
		State:   a.State.trim(),
		Zip:     a.ZipCode.trim(),
		Country: country(a),
		Phone:   cmp.Or(a.Phone.trim(), o.Phone.trim()),
		Email:   cmp.Or(a.Email.trim(), o.Email.trim()),
	}
	if to.Company == to.Name {
		to.Company = "" // a label would print it twice
	}
	// A suburb is a place within the city; where there is no city it is the place.
	switch suburb := a.Suburb.trim(); {
	case suburb == "" || strings.EqualFold(suburb, to.City):
	case to.City == "":
		to.City = suburb
	case to.Street2 == "":
		to.Street2 = suburb
	default:
		to.Street2 += ", " + suburb
	}
	return to
}

// recipient is the name that the address itself holds, or "".
func (a address) recipient() string {
	return cmp.Or(fullName(a.FirstName, a.LastName), a.CompanyName.trim())
}

func fullName(first, last text) string {
	return strings.TrimSpace(first.trim() + " " + last.trim())
}

func country(a address) string {
	if code := a.CountryCode.trim(); code != "" {
		return strings.ToUpper(code)
	}
	if name := a.Country.trim(); len(name) != 2 {
		return name
	}
	return strings.ToUpper(a.Country.trim())
}

// code is the variant's SKU as the merchant chose to have it.
func (v variant) code(field string) relay.SKU {
	switch field {
	case "upc":
		return relay.SKU(v.UPC.trim())
	case "supplier_code":
		return relay.SKU(v.SupplierCode.trim())
	}
	return relay.SKU(v.SKU.trim())
}

// title names the variant for people. A product's only variant is called Default.
func (v variant) title() string {
	product, name := v.ProductName.trim(), v.Name.trim()
	switch {
	case product == "":
		return name
	case name == "" || name == "Default" || name == product:
		return product
	}
	return product + " - " + name
}
