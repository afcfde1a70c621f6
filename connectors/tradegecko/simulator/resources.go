package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// resource says how one kind of object is found, shown and changed. A nil
// function means that the vendor has no such endpoint.
type resource[R row] struct {
	kind   kind
	plural string
	right  string // the permission to write
	put    int    // status of a PUT; 0 means 204
	table  func(*books) *table[R]

	// Index filters: integers and words take comma lists, texts do not.
	ints  map[string]func(R) int64
	words map[string]func(R) string
	texts map[string]func(R) string

	hidden   func(R, Behaviour) bool // left out of lists without a status filter
	position func(R) int64           // default order; nil means newest first
	name     func(R) string          // for order=name
	search   func(R) string          // for q=
	narrow   func(*books, *query) ([]R, bool)
	fast     func(*books, *query) ([]R, int, bool)

	show     func(*books, R) any
	sideload func(b *books, d *document, rows []R, include map[string]bool, index bool)
	create   func(*change, *input) (R, error)
	update   func(*change, R, *input) error
	remove   func(*change, R) error
}

func number(id *int64) int64 {
	if id == nil {
		return 0
	}
	return *id
}

func word(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// endpoints are the collections, by the first part of their path.
func endpoints() map[string]endpoint {
	return map[string]endpoint{
		"orders": orders(), "order_line_items": orderLines(), "addresses": addresses(), "companies": companies(),
		"contacts": contacts(), "products": products(), "variants": variants(), "locations": locations(),
		"fulfillments": fulfillments(), "fulfillment_line_items": fulfilledLines(), "stock_adjustments": adjustments(),
		"stock_adjustment_line_items": adjustmentLines(), "webhooks": webhooks(),
	}
}

func orderFilters() *resource[*order] {
	return &resource[*order]{
		ints: map[string]func(*order) int64{
			"company_id":          func(o *order) int64 { return o.CompanyID },
			"contact_id":          func(o *order) int64 { return number(o.ContactID) },
			"shipping_address_id": func(o *order) int64 { return number(o.ShippingAddressID) },
			"billing_address_id":  func(o *order) int64 { return number(o.BillingAddressID) },
			"stock_location_id":   func(o *order) int64 { return number(o.StockLocationID) },
			"user_id":             func(o *order) int64 { return o.UserID },
			"assignee_id":         func(o *order) int64 { return number(o.AssigneeID) },
			"currency_id":         func(o *order) int64 { return o.CurrencyID },
			"source_id":           func(o *order) int64 { return number(o.SourceID) },
		},
		words: map[string]func(*order) string{
			"payment_status":      func(o *order) string { return o.PaymentStatus },
			"invoice_status":      func(o *order) string { return o.InvoiceStatus },
			"packed_status":       func(o *order) string { return o.PackedStatus },
			"return_status":       func(o *order) string { return o.ReturnStatus },
			"returning_status":    func(o *order) string { return o.ReturningStatus },
			"shippability_status": func(o *order) string { return o.ShippabilityStatus },
			"backordering_status": func(o *order) string { return o.BackorderingStatus },
		},
		texts: map[string]func(*order) string{
			"order_number":     func(o *order) string { return o.OrderNumber },
			"reference_number": func(o *order) string { return word(o.ReferenceNumber) },
		},
		search: func(o *order) string { return o.OrderNumber + " " + word(o.ReferenceNumber) + " " + word(o.Email) },
	}
}

func orders() *resource[*order] {
	beside := orderFilters()
	r := orderFilters()
	r.kind, r.plural, r.right = kindOrder, "orders", "write_orders"
	r.table = func(b *books) *table[*order] { return b.orders }
	r.words["status"] = func(o *order) string { return o.Status }
	r.words["fulfillment_status"] = func(o *order) string { return o.FulfillmentStatus }
	r.hidden = func(o *order, behaviour Behaviour) bool { return hiddenOrder(o.Status, behaviour) }
	r.narrow = func(b *books, q *query) ([]*order, bool) {
		numbers := q.values["order_number"]
		if len(numbers) != 1 {
			return nil, false
		}
		return b.ordersByNumber[numbers[0]], true
	}
	r.fast = func(b *books, q *query) ([]*order, int, bool) {
		if q.values["order_number"] != nil {
			return nil, 0, false
		}
		return b.fastOrders(q, beside)
	}
	r.create, r.update, r.remove = (*change).createOrder, (*change).updateOrder, (*change).voidOrder
	r.sideload = sideloadOrder
	return r
}

// sideloadOrder adds what a member asks for; the index ignores include.
func sideloadOrder(b *books, d *document, rows []*order, include map[string]bool, index bool) {
	if index || len(rows) != 1 {
		return
	}
	o := rows[0]
	if include["order_line_items"] {
		array(d, "order_line_items", o.lines)
	}
	if include["shipping_address"] || include["billing_address"] {
		var ids []int64
		if include["shipping_address"] {
			ids = append(ids, number(o.ShippingAddressID))
		}
		if id := number(o.BillingAddressID); include["billing_address"] && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		array(d, "addresses", find(b.addresses, ids))
	}
	if include["company"] {
		array(d, "companies", find(b.companies, []int64{o.CompanyID}))
	}
}

func find[R row](t *table[R], ids []int64) []R {
	var out []R
	for _, id := range ids {
		if x, ok := t.byID[id]; ok {
			out = append(out, x)
		}
	}
	return out
}

// children collects the rows below the parents that a filter names.
func children[P, R row](parents *table[P], q *query, filter string, of func(P) []R) ([]R, bool) {
	if _, given := q.values[filter]; !given {
		return nil, false
	}
	ids := q.ints(filter)
	slices.Sort(ids)
	var out []R
	for _, p := range find(parents, slices.Compact(ids)) {
		out = append(out, of(p)...)
	}
	return out, true
}

func orderLines() *resource[*line] {
	return &resource[*line]{
		kind: kindLine, plural: "order_line_items", right: "write_orders",
		table: func(b *books) *table[*line] { return b.lines },
		ints: map[string]func(*line) int64{
			"order_id":    func(l *line) int64 { return l.OrderID },
			"variant_id":  func(l *line) int64 { return number(l.VariantID) },
			"tax_type_id": func(l *line) int64 { return number(l.TaxTypeID) },
		},
		position: func(l *line) int64 { return l.Position },
		narrow: func(b *books, q *query) ([]*line, bool) {
			if out, ok := children(b.orders, q, "order_id", func(o *order) []*line { return o.lines }); ok {
				return out, true
			}
			statuses := q.words("order_status")
			if statuses == nil {
				return nil, false
			}
			var out []*line
			for _, o := range b.orders.list {
				if slices.Contains(statuses, o.Status) {
					out = append(out, o.lines...)
				}
			}
			return out, true
		},
		create: (*change).createLine, update: (*change).updateLine, remove: (*change).removeLine,
	}
}

func addresses() *resource[*address] {
	return &resource[*address]{
		kind: kindAddress, plural: "addresses", right: "write_companies", put: 200,
		table:  func(b *books) *table[*address] { return b.addresses },
		ints:   map[string]func(*address) int64{"company_id": func(a *address) int64 { return a.CompanyID }},
		words:  map[string]func(*address) string{"status": func(a *address) string { return a.Status }},
		hidden: func(a *address, _ Behaviour) bool { return a.Status == statusArchived },
		narrow: func(b *books, q *query) ([]*address, bool) {
			return children(b.companies, q, "company_id", func(c *company) []*address { return find(b.addresses, c.AddressIDs) })
		},
		create: func(c *change, in *input) (*address, error) {
			var id int64
			if in.id("company_id", &id); c.companies.byID[id] == nil {
				in.fault("company_id", blank)
			}
			if !in.has("address1") {
				in.fault("address1", blank)
			}
			if err := in.err(); err != nil {
				return nil, err
			}
			return c.addAddress(id, in), nil
		},
		update: func(c *change, a *address, in *input) error {
			next := *a
			readAddress(&next, in)
			return settleCopy(c, a, next, in)
		},
		remove: func(c *change, a *address) error { return archive(c, kindAddress, a, &a.base, &a.Status) },
	}
}

// settleCopy puts the checked copy in the place of the object.
func settleCopy[T any, R interface {
	*T
	row
	stampAt(stamp)
	kindOf() kind
}](c *change, r R, next T, in *input) error {
	if err := in.err(); err != nil {
		return err
	}
	*r = next
	r.stampAt(c.now)
	c.touch(string(r.kindOf()), r)
	return nil
}

func (b *base) stampAt(at stamp) { b.UpdatedAt = at }

func (*address) kindOf() kind  { return kindAddress }
func (*company) kindOf() kind  { return kindCompany }
func (*contact) kindOf() kind  { return kindContact }
func (*product) kindOf() kind  { return kindProduct }
func (*variant) kindOf() kind  { return kindVariant }
func (*location) kindOf() kind { return kindLocation }
func (*webhook) kindOf() kind  { return kindWebhook }

// archive is the soft deletion of most resources (wire/tradegecko.md section 4.4).
func archive(c *change, k kind, object any, b *base, status *string) error {
	*status, b.UpdatedAt = statusArchived, c.now
	c.touch(string(k), object)
	return nil
}

func readAddress(a *address, in *input) {
	for name, field := range map[string]**string{"label": &a.Label, "first_name": &a.FirstName, "last_name": &a.LastName,
		"company_name": &a.CompanyName, "address1": &a.Address1, "address2": &a.Address2, "suburb": &a.Suburb, "city": &a.City,
		"state": &a.State, "zip_code": &a.ZipCode, "country": &a.Country, "country_code": &a.CountryCode,
		"phone_number": &a.PhoneNumber, "email": &a.Email} {
		in.text(name, field)
	}
	a.deriveCountry()
}

// deriveCountry fills in the code where the country itself looks like one.
func (a *address) deriveCountry() {
	if a.CountryCode == nil && a.Country != nil && len(*a.Country) == 2 {
		code := strings.ToUpper(*a.Country)
		a.CountryCode = &code
	}
}

func (c *change) addAddress(companyID int64, in *input) *address {
	a := &address{base: c.fresh(kindAddress), CompanyID: companyID, Status: statusActive}
	readAddress(a, in)
	return c.fileAddress(a)
}

func (c *change) fileAddress(a *address) *address {
	if owner := c.companies.byID[a.CompanyID]; owner != nil {
		owner.AddressIDs = append(owner.AddressIDs, a.ID)
	}
	c.tell("address.create", kindAddress, a.ID, 0)
	return add(c, c.addresses, a)
}

func companies() *resource[*company] {
	return &resource[*company]{
		kind: kindCompany, plural: "companies", right: "write_companies",
		table: func(b *books) *table[*company] { return b.companies },
		words: map[string]func(*company) string{
			"status":       func(c *company) string { return c.Status },
			"company_type": func(c *company) string { return c.CompanyType },
		},
		texts: map[string]func(*company) string{
			"company_code": func(c *company) string { return word(c.CompanyCode) },
			"email":        func(c *company) string { return word(c.Email) },
		},
		hidden: func(c *company, _ Behaviour) bool { return c.Status == statusArchived },
		name:   func(c *company) string { return c.Name },
		search: func(c *company) string { return c.Name },
		create: (*change).createCompany,
		update: func(c *change, x *company, in *input) error {
			next := *x
			readCompany(&next, in)
			in.str("status", &next.Status)
			return settleCopy(c, x, next, in)
		},
		remove: func(c *change, x *company) error { return archive(c, kindCompany, x, &x.base, &x.Status) },
	}
}

func (c *change) createCompany(in *input) (*company, error) {
	x := newCompany()
	readCompany(x, in)
	if x.Name == "" {
		in.fault("name", blank)
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	return c.addCompany(x), nil
}

func newCompany() *company {
	return &company{CompanyType: "business", Status: statusActive, Tags: []string{}, AddressIDs: []int64{}, ContactIDs: []int64{}, NoteIDs: []int64{}}
}

func (c *change) addCompany(x *company) *company {
	x.base = c.fresh(kindCompany)
	if c.companiesByName[x.Name] == nil {
		c.companiesByName[x.Name] = x
	}
	c.tell("company.create", kindCompany, x.ID, 0)
	return add(c, c.companies, x)
}

func readCompany(x *company, in *input) {
	in.str("name", &x.Name)
	in.str("company_type", &x.CompanyType)
	for name, field := range map[string]**string{"company_code": &x.CompanyCode, "email": &x.Email, "phone_number": &x.PhoneNumber,
		"fax": &x.Fax, "website": &x.Website, "description": &x.Description, "tax_number": &x.TaxNumber,
		"default_price_list_id": &x.DefaultPriceListID} {
		in.text(name, field)
	}
	for name, field := range map[string]**int64{"assignee_id": &x.AssigneeID, "default_ledger_account_id": &x.DefaultLedgerAccountID,
		"default_payment_method_id": &x.DefaultPaymentMethodID, "default_payment_term_id": &x.DefaultPaymentTermID,
		"default_stock_location_id": &x.DefaultStockLocationID, "default_tax_type_id": &x.DefaultTaxTypeID} {
		in.optionalID(name, field)
	}
	in.texts("tags", &x.Tags)
	in.optionalAmount("default_discount_rate", &x.DefaultDiscountRate)
}

func contacts() *resource[*contact] {
	return &resource[*contact]{
		kind: kindContact, plural: "contacts", right: "write_companies",
		table:  func(b *books) *table[*contact] { return b.contacts },
		ints:   map[string]func(*contact) int64{"company_id": func(p *contact) int64 { return p.CompanyID }},
		words:  map[string]func(*contact) string{"status": func(p *contact) string { return p.Status }},
		hidden: func(p *contact, _ Behaviour) bool { return p.Status == statusArchived },
		name:   func(p *contact) string { return p.FirstName },
		create: func(c *change, in *input) (*contact, error) {
			p := &contact{Status: statusActive}
			in.id("company_id", &p.CompanyID)
			readContact(p, in)
			owner := c.companies.byID[p.CompanyID]
			if owner == nil {
				in.fault("company_id", blank)
			}
			if p.FirstName == "" {
				in.fault("first_name", blank)
			}
			if err := in.err(); err != nil {
				return nil, err
			}
			p.base = c.fresh(kindContact)
			owner.ContactIDs = append(owner.ContactIDs, p.ID)
			c.tell("contact.create", kindContact, p.ID, 0)
			return add(c, c.contacts, p), nil
		},
		update: func(c *change, p *contact, in *input) error {
			next := *p
			readContact(&next, in)
			return settleCopy(c, p, next, in)
		},
		remove: func(c *change, p *contact) error { return archive(c, kindContact, p, &p.base, &p.Status) },
	}
}

func readContact(p *contact, in *input) {
	in.str("first_name", &p.FirstName)
	for name, field := range map[string]**string{"last_name": &p.LastName, "email": &p.Email, "phone_number": &p.PhoneNumber,
		"mobile": &p.Mobile, "fax": &p.Fax, "position": &p.Position, "location": &p.Location, "notes": &p.Notes} {
		in.text(name, field)
	}
	in.bool("online_ordering", &p.OnlineOrdering)
	p.Phone = p.PhoneNumber
}

func products() *resource[*product] {
	return &resource[*product]{
		kind: kindProduct, plural: "products", right: "write_products",
		table: func(b *books) *table[*product] { return b.products },
		words: map[string]func(*product) string{"status": func(p *product) string { return p.Status }},
		texts: map[string]func(*product) string{
			"brand":        func(p *product) string { return word(p.Brand) },
			"product_type": func(p *product) string { return word(p.ProductType) },
			"tags":         func(p *product) string { return word(p.Tags) },
		},
		hidden: func(p *product, _ Behaviour) bool { return p.Status == statusArchived },
		name:   func(p *product) string { return p.Name },
		search: func(p *product) string { return p.Name },
		show:   func(b *books, p *product) any { return b.showProduct(p) },
		sideload: func(b *books, d *document, rows []*product, include map[string]bool, _ bool) {
			if !include["variants"] {
				return
			}
			var shown []any
			for _, p := range rows {
				for _, v := range find(b.variants, p.VariantIDs) {
					shown = append(shown, b.showVariant(v))
				}
			}
			array(d, "variants", shown)
		},
		create: func(c *change, in *input) (*product, error) {
			p := &product{Status: statusActive, ImageIDs: []int64{}, SupplierIDs: []int64{}, VariantIDs: []int64{}}
			readProduct(p, in)
			if p.Name == "" {
				in.fault("name", blank)
			}
			if err := in.err(); err != nil {
				return nil, err
			}
			p.base = c.fresh(kindProduct)
			c.tell("product.create", kindProduct, p.ID, 0)
			return add(c, c.products, p), nil
		},
		update: func(c *change, p *product, in *input) error {
			next := *p
			readProduct(&next, in)
			return settleCopy(c, p, next, in)
		},
		remove: func(c *change, p *product) error { return archive(c, kindProduct, p, &p.base, &p.Status) },
	}
}

func readProduct(p *product, in *input) {
	in.str("name", &p.Name)
	for name, field := range map[string]**string{"description": &p.Description, "brand": &p.Brand, "product_type": &p.ProductType,
		"tags": &p.Tags, "opt1": &p.Opt1, "opt2": &p.Opt2, "opt3": &p.Opt3} {
		in.text(name, field)
	}
}

func variants() *resource[*variant] {
	return &resource[*variant]{
		kind: kindVariant, plural: "variants", right: "write_products",
		table: func(b *books) *table[*variant] { return b.variants },
		ints:  map[string]func(*variant) int64{"product_id": func(v *variant) int64 { return v.ProductID }},
		words: map[string]func(*variant) string{
			"status":   func(v *variant) string { return v.Status },
			"sellable": func(v *variant) string { return fmt.Sprint(v.Sellable) },
		},
		hidden:   func(v *variant, _ Behaviour) bool { return v.Status == statusArchived },
		name:     func(v *variant) string { return word(v.Name) },
		search:   func(v *variant) string { return word(v.SKU) + " " + word(v.Name) + " " + v.ProductName },
		position: nil,
		narrow: func(b *books, q *query) ([]*variant, bool) {
			skus := q.values["sku"]
			if skus == nil || q.behaviour.IgnoreSKUFilter {
				return nil, false
			}
			var out []*variant
			skus = slices.Clone(skus)
			slices.Sort(skus)
			for _, sku := range slices.Compact(skus) {
				out = append(out, b.variantsBySKU[sku]...)
			}
			return out, true
		},
		show:   func(b *books, v *variant) any { return b.showVariant(v) },
		create: (*change).createVariant,
		update: func(c *change, v *variant, in *input) error {
			old := v.SKU
			next := *v
			readVariant(&next, in)
			if err := settleCopy(c, v, next, in); err != nil {
				return err
			}
			c.indexSKU(v, old)
			return nil
		},
		remove: func(c *change, v *variant) error { return archive(c, kindVariant, v, &v.base, &v.Status) },
	}
}

func newVariant() *variant {
	return &variant{Status: statusActive, ManageStock: true, Sellable: true, Purchasable: true, Taxable: true, ImageIDs: []int64{}}
}

func (c *change) createVariant(in *input) (*variant, error) {
	v := newVariant()
	in.id("product_id", &v.ProductID)
	readVariant(v, in)
	p := c.products.byID[v.ProductID]
	if p == nil {
		in.fault("product_id", blank)
	}
	at, initial := c.primary(), amount(0)
	in.id("initial_stock_location_id", &at)
	in.amount("initial_stock_level", &initial)
	var cost *amount
	in.optionalAmount("initial_cost_price", &cost)
	if c.locations.byID[at] == nil {
		in.fault("initial_stock_location_id", mustExist)
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	c.addVariant(p, v)
	if cost != nil {
		average := level(*cost)
		v.LastCostPrice, v.MovingAverageCost = cost, &average
	}
	c.moveStock(v, at, initial)
	return v, nil
}

// addVariant files a variant below its product.
func (c *change) addVariant(p *product, v *variant) {
	v.base = c.fresh(kindVariant)
	v.ProductID, v.ProductName, v.ProductStatus, v.ProductType = p.ID, p.Name, p.Status, p.ProductType
	p.VariantIDs = append(p.VariantIDs, v.ID)
	v.Position = int64(len(p.VariantIDs))
	p.UpdatedAt = c.now
	c.touch(string(kindProduct), p)
	c.indexSKU(add(c, c.variants, v), nil)
	c.tell("variant.create", kindVariant, v.ID, 0)
}

// indexSKU files a variant under its SKU; old is the SKU it was filed under.
func (b *books) indexSKU(v *variant, old *string) {
	if word(old) != "" {
		b.variantsBySKU[*old] = slices.DeleteFunc(b.variantsBySKU[*old], func(x *variant) bool { return x == v })
	}
	if sku := word(v.SKU); sku != "" {
		b.variantsBySKU[sku] = append(b.variantsBySKU[sku], v)
	}
}

func readVariant(v *variant, in *input) {
	for name, field := range map[string]**string{"sku": &v.SKU, "upc": &v.UPC, "supplier_code": &v.SupplierCode, "name": &v.Name,
		"description": &v.Description, "opt1": &v.Opt1, "opt2": &v.Opt2, "opt3": &v.Opt3, "weight_unit": &v.WeightUnit,
		"hs_code": &v.HSCode, "country_of_origin": &v.CountryOfOrigin} {
		in.text(name, field)
	}
	for name, field := range map[string]*bool{"manage_stock": &v.ManageStock, "keep_selling": &v.KeepSelling, "sellable": &v.Sellable,
		"purchasable": &v.Purchasable, "taxable": &v.Taxable} {
		in.bool(name, field)
	}
	for name, field := range map[string]**amount{"buy_price": &v.BuyPrice, "retail_price": &v.RetailPrice, "wholesale_price": &v.WholesalePrice} {
		in.optionalAmount(name, field)
	}
	in.id("position", &v.Position)
	in.optionalID("max_online", &v.MaxOnline)
	if in.has("weight") {
		var weight amount
		in.amount("weight", &weight)
		v.Weight = (*level)(&weight)
	}
}

func locations() *resource[*location] {
	return &resource[*location]{
		kind: kindLocation, plural: "locations", right: "write_settings",
		table:  func(b *books) *table[*location] { return b.locations },
		words:  map[string]func(*location) string{"status": func(l *location) string { return l.Status }},
		hidden: func(l *location, _ Behaviour) bool { return l.Status == statusArchived },
		name:   func(l *location) string { return l.Label },
		create: func(c *change, in *input) (*location, error) {
			l := &location{HoldsStock: true, Status: statusActive}
			readLocation(l, in)
			for _, field := range [...]string{"label", "address1", "country"} {
				if !in.has(field) {
					in.fault(field, blank)
				}
			}
			if err := in.err(); err != nil {
				return nil, err
			}
			l.base = c.fresh(kindLocation)
			c.tell("location.create", kindLocation, l.ID, 0)
			return add(c, c.locations, l), nil
		},
		update: func(c *change, l *location, in *input) error {
			next := *l
			readLocation(&next, in)
			return settleCopy(c, l, next, in)
		},
		remove: func(c *change, l *location) error { return archive(c, kindLocation, l, &l.base, &l.Status) },
	}
}

func readLocation(l *location, in *input) {
	in.str("label", &l.Label)
	for name, field := range map[string]**string{"address1": &l.Address1, "address2": &l.Address2, "suburb": &l.Suburb, "city": &l.City,
		"state": &l.State, "zip_code": &l.ZipCode, "country": &l.Country} {
		in.text(name, field)
	}
	in.bool("holds_stock", &l.HoldsStock)
}

func fulfillments() *resource[*fulfillment] {
	return &resource[*fulfillment]{
		kind: kindFulfillment, plural: "fulfillments", right: "write_orders", put: 200,
		table: func(b *books) *table[*fulfillment] { return b.fulfillments },
		ints: map[string]func(*fulfillment) int64{
			"order_id":            func(f *fulfillment) int64 { return f.OrderID },
			"company_id":          func(f *fulfillment) int64 { return f.CompanyID },
			"stock_location_id":   func(f *fulfillment) int64 { return f.StockLocationID },
			"shipping_address_id": func(f *fulfillment) int64 { return number(f.ShippingAddressID) },
			"billing_address_id":  func(f *fulfillment) int64 { return number(f.BillingAddressID) },
		},
		words:  map[string]func(*fulfillment) string{"status": func(f *fulfillment) string { return f.Status }},
		hidden: func(f *fulfillment, _ Behaviour) bool { return !f.live() },
		narrow: func(b *books, q *query) ([]*fulfillment, bool) {
			return children(b.orders, q, "order_id", func(o *order) []*fulfillment { return o.fulfillments })
		},
		sideload: func(b *books, d *document, rows []*fulfillment, include map[string]bool, _ bool) {
			if b.sim.behaviour().NoSideload && !include["fulfillment_line_items"] {
				return
			}
			var all []*fulfilledLine
			for _, f := range rows {
				all = append(all, f.lines...)
			}
			array(d, "fulfillment_line_items", all)
		},
		create: (*change).createFulfillment, update: (*change).updateFulfillment, remove: (*change).removeFulfillment,
	}
}

func fulfilledLines() *resource[*fulfilledLine] {
	return &resource[*fulfilledLine]{
		kind: kindFulfilledLine, plural: "fulfillment_line_items", right: "write_orders",
		table: func(b *books) *table[*fulfilledLine] { return b.fulfilledLines },
		ints: map[string]func(*fulfilledLine) int64{
			"fulfillment_id":     func(l *fulfilledLine) int64 { return l.FulfillmentID },
			"order_line_item_id": func(l *fulfilledLine) int64 { return l.OrderLineID },
		},
		position: func(l *fulfilledLine) int64 { return l.Position },
		narrow: func(b *books, q *query) ([]*fulfilledLine, bool) {
			return children(b.fulfillments, q, "fulfillment_id", func(f *fulfillment) []*fulfilledLine { return f.lines })
		},
		create: (*change).createFulfilledLine, update: (*change).updateFulfilledLine, remove: (*change).removeFulfilledLine,
	}
}

func adjustments() *resource[*adjustment] {
	return &resource[*adjustment]{
		kind: kindAdjustment, plural: "stock_adjustments", right: "write_stocks",
		table: func(b *books) *table[*adjustment] { return b.adjustments },
		ints: map[string]func(*adjustment) int64{
			"stock_location_id":          func(a *adjustment) int64 { return a.StockLocationID },
			"stock_adjustment_reason_id": func(a *adjustment) int64 { return number(a.StockAdjustmentReasonID) },
		},
		words: map[string]func(*adjustment) string{
			"status": func(a *adjustment) string { return a.Status },
			"reason": func(a *adjustment) string { return a.Reason },
		},
		texts:  map[string]func(*adjustment) string{"adjustment_number": func(a *adjustment) string { return a.AdjustmentNumber }},
		hidden: func(a *adjustment, _ Behaviour) bool { return a.Status == statusVoid },
		sideload: func(_ *books, d *document, rows []*adjustment, include map[string]bool, _ bool) {
			if !include["stock_adjustment_line_items"] {
				return
			}
			var all []*adjustmentLine
			for _, a := range rows {
				all = append(all, a.lines...)
			}
			array(d, "stock_adjustment_line_items", all)
		},
		create: (*change).createAdjustment, remove: (*change).voidAdjustment,
	}
}

func adjustmentLines() *resource[*adjustmentLine] {
	return &resource[*adjustmentLine]{
		kind: kindAdjustmentLine, plural: "stock_adjustment_line_items", right: "write_stocks",
		table: func(b *books) *table[*adjustmentLine] { return b.adjustmentLines },
		ints: map[string]func(*adjustmentLine) int64{
			"stock_adjustment_id": func(l *adjustmentLine) int64 { return l.StockAdjustmentID },
			"variant_id":          func(l *adjustmentLine) int64 { return l.VariantID },
		},
		position: func(l *adjustmentLine) int64 { return l.Position },
		narrow: func(b *books, q *query) ([]*adjustmentLine, bool) {
			return children(b.adjustments, q, "stock_adjustment_id", func(a *adjustment) []*adjustmentLine { return a.lines })
		},
		create: (*change).createAdjustmentLine,
	}
}

func webhooks() *resource[*webhook] {
	return &resource[*webhook]{
		kind: kindWebhook, plural: "webhooks", right: "write_settings",
		table: func(b *books) *table[*webhook] { return b.webhooks },
		texts: map[string]func(*webhook) string{"event": func(w *webhook) string { return w.Event }},
		create: func(c *change, in *input) (*webhook, error) {
			w := &webhook{OAuthApplicationID: c.record.AppID}
			if readWebhook(w, in); in.err() != nil {
				return nil, in.err()
			}
			w.base = c.fresh(kindWebhook)
			return add(c, c.books.webhooks, w), nil
		},
		update: func(c *change, w *webhook, in *input) error {
			next := *w
			readWebhook(&next, in)
			return settleCopy(c, w, next, in)
		},
		remove: (*change).removeWebhook,
	}
}

func (c *change) removeWebhook(w *webhook) error {
	c.books.webhooks.drop(w.ID)
	c.touch("-"+string(kindWebhook), &w.base)
	return nil
}

func readWebhook(w *webhook, in *input) {
	in.str("event", &w.Event)
	in.str("address", &w.Address)
	if !strings.HasPrefix(w.Address, "http://") && !strings.HasPrefix(w.Address, "https://") {
		in.fault("address", "is not a valid URL")
	}
	if !slices.Contains(webhookEvents[:], w.Event) {
		in.fault("event", notListed)
	}
}
