package simulator

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// What a merchant does in the web application.

// Stock is what is on hand at one location; Location is its label, "" for the primary one.
type Stock struct {
	Location string `json:"location,omitempty"`
	OnHand   string `json:"on_hand"`
}

// NewVariant is a product to be sold.
type NewVariant struct {
	SKU     string  `json:"sku"`
	UPC     string  `json:"upc,omitempty"`
	Name    string  `json:"name,omitempty"`    // "" for the SKU
	Product string  `json:"product,omitempty"` // its product's name; "" for the name
	Price   string  `json:"price,omitempty"`   // retail; "" for 10
	Stock   []Stock `json:"stock,omitempty"`
	// Components make it a bundle, whose stock is theirs.
	Components []NewComponent `json:"components,omitempty"`
	Unmanaged  bool           `json:"unmanaged,omitempty"` // stock is not tracked
	// IfAbsent returns the variant that has the SKU already, with its stock as it is.
	IfAbsent bool `json:"if_absent,omitempty"`
}

// NewComponent is a part of a bundle.
type NewComponent struct {
	SKU      string `json:"sku"`
	Quantity string `json:"quantity"`
}

// NewOrder is a sales order. A decimal is a string: "2", "19.90".
type NewOrder struct {
	Number    string `json:"number"` // "" to have one generated
	Reference string `json:"reference,omitempty"`
	Status    string `json:"status,omitempty"`         // draft, active or finalized; "" for finalized
	Payment   string `json:"payment_status,omitempty"` // unpaid, partial or paid; "" for paid
	// Lines are what was bought.
	Lines []NewLine `json:"lines"`
	// Address is where it goes; Billing is the same unless given.
	Address Address  `json:"address"`
	Billing *Address `json:"billing,omitempty"`
	Company string   `json:"company,omitempty"` // the customer; "" for the address's name
	Email   string   `json:"email,omitempty"`
	Phone   string   `json:"phone,omitempty"`
	Notes   string   `json:"notes,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	// ShipMethod and ShipPrice make a freeform line of type "shipping".
	ShipMethod string `json:"ship_method,omitempty"`
	ShipPrice  string `json:"ship_price,omitempty"`
	Location   string `json:"location,omitempty"`  // label; "" for the primary one
	IssuedAt   string `json:"issued_at,omitempty"` // date; "" for today
	ShipAt     string `json:"ship_at,omitempty"`   // date
}

// NewLine is a line of an order: a variant by SKU, or freeform text.
type NewLine struct {
	SKU      string `json:"sku,omitempty"`
	Label    string `json:"label,omitempty"` // of a freeform line, when there is no SKU
	Quantity string `json:"quantity"`
	Price    string `json:"price,omitempty"`    // "" for the variant's
	Discount string `json:"discount,omitempty"` // percent
	Type     string `json:"line_type,omitempty"`
	// NoShipping makes the line one that needs no fulfillment.
	NoShipping bool `json:"no_shipping,omitempty"`
}

// Address is where something goes.
type Address struct {
	FirstName   string `json:"first_name,omitempty"`
	LastName    string `json:"last_name,omitempty"`
	Company     string `json:"company_name,omitempty"`
	Line1       string `json:"address1"`
	Line2       string `json:"address2,omitempty"`
	Suburb      string `json:"suburb,omitempty"`
	City        string `json:"city,omitempty"`
	State       string `json:"state,omitempty"`
	Zip         string `json:"zip_code,omitempty"`
	Country     string `json:"country,omitempty"`
	CountryCode string `json:"country_code,omitempty"`
	Phone       string `json:"phone_number,omitempty"`
	Email       string `json:"email,omitempty"`
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// books of an account by name.
func (s *Simulator) open(account string) (*books, error) {
	b := s.byName[account]
	if b == nil {
		return nil, fmt.Errorf("unknown account %q", account)
	}
	return b, nil
}

// merchant runs a merchant's action.
func (s *Simulator) merchant(account, doing string, f func(*change) error) error {
	b, err := s.open(account)
	if err == nil {
		err = b.change(f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, explain(err))
	}
	return nil
}

// explain puts a refusal of the API into words.
func explain(err error) error {
	var refusal *apiError
	if !errors.As(err, &refusal) {
		return err
	}
	if refusal.errors == nil {
		return errors.New(refusal.message)
	}
	return fmt.Errorf("refused: %v", refusal.errors)
}

// AddVariant adds a variant with its product and stock and returns its id.
func (s *Simulator) AddVariant(account string, n NewVariant) (id int64, err error) {
	err = s.merchant(account, "add variant "+n.SKU, func(c *change) error {
		if old := c.variantsBySKU[n.SKU]; n.IfAbsent && n.SKU != "" && len(old) > 0 {
			id = old[0].ID
			return nil
		}
		v, err := c.merchantVariant(n)
		if err == nil {
			id = v.ID
		}
		return err
	})
	return id, err
}

func (c *change) merchantVariant(n NewVariant) (*variant, error) {
	price, err := amountOr(n.Price, 10*one)
	if err != nil {
		return nil, fmt.Errorf("price: %w", err)
	}
	name := n.Name
	if name == "" {
		name = n.SKU
	}
	v := newVariant()
	v.SKU, v.UPC, v.Name, v.RetailPrice, v.ManageStock = optional(n.SKU), optional(n.UPC), &name, &price, !n.Unmanaged
	for _, part := range n.Components {
		found := c.variantsBySKU[part.SKU]
		quantity, err := amountOr(part.Quantity, one)
		if err != nil || quantity <= 0 || len(found) == 0 || len(found[0].components) > 0 {
			return nil, fmt.Errorf("component %q: want a plain variant and a quantity above 0", part.SKU)
		}
		v.components = append(v.components, component{found[0].ID, quantity})
	}
	levels, err := c.readStock(n.Stock)
	if err != nil {
		return nil, err
	}
	product := &product{base: c.fresh(kindProduct), Name: name, Status: statusActive, ImageIDs: []int64{}, SupplierIDs: []int64{}, VariantIDs: []int64{}}
	if n.Product != "" {
		product.Name = n.Product
	}
	c.addVariant(add(c, c.products, product), v)
	if len(v.components) > 0 {
		yes := true
		v.Composite = &yes
		c.touch("composition", &compositionRecord{v.ID, v.components})
	}
	for _, l := range levels {
		c.moveStock(v, l.at, l.onHand)
	}
	return v, nil
}

type placed struct {
	at     int64
	onHand amount
}

func (c *change) readStock(stock []Stock) ([]placed, error) {
	var out []placed
	for _, st := range stock {
		n, err := amountOr(st.OnHand, 0)
		if err != nil {
			return nil, fmt.Errorf("stock: %w", err)
		}
		at, err := c.labelled(st.Location)
		if err != nil {
			return nil, err
		}
		out = append(out, placed{at, n})
	}
	return out, nil
}

func (b *books) labelled(label string) (int64, error) {
	if label == "" {
		return b.primary(), nil
	}
	for _, l := range b.locations.list {
		if l.Label == label {
			return l.ID, nil
		}
	}
	return 0, fmt.Errorf("unknown location %q", label)
}

func amountOr(s string, otherwise amount) (amount, error) {
	if s == "" {
		return otherwise, nil
	}
	return parseAmount(s)
}

// ArchiveVariant takes the variants with a SKU out of the catalogue.
func (s *Simulator) ArchiveVariant(account, sku string) error {
	return s.merchant(account, "archive variant "+sku, func(c *change) error {
		found := c.variantsBySKU[sku]
		if len(found) == 0 {
			return errors.New("unknown SKU")
		}
		for _, v := range found {
			if err := archive(c, kindVariant, v, &v.base, &v.Status); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetStock is a stocktake: it sets what is on hand of a SKU at a location.
func (s *Simulator) SetStock(account, sku string, stock Stock) error {
	return s.merchant(account, "set stock of "+sku, func(c *change) error {
		found := c.variantsBySKU[sku]
		if len(found) == 0 || len(found[0].components) > 0 {
			return errors.New("want the SKU of one plain variant")
		}
		levels, err := c.readStock([]Stock{stock})
		if err != nil {
			return err
		}
		v, l := found[0], levels[0]
		c.moveStock(v, l.at, l.onHand-v.shelf(l.at).onHand)
		return nil
	})
}

// AddLocation opens a warehouse, or finds the one with the label, and returns its id.
func (s *Simulator) AddLocation(account, label string) (id int64, err error) {
	err = s.merchant(account, "add location "+label, func(c *change) error {
		id = c.location(label).ID
		return nil
	})
	return id, err
}

// AddOrder adds one order; see AddOrders.
func (s *Simulator) AddOrder(account string, n NewOrder) (OrderView, error) {
	out, err := s.AddOrders(account, []NewOrder{n}, false)
	if err != nil {
		return OrderView{}, err
	}
	return out[0], nil
}

// AddOrders adds orders and returns them as they are. With ifAbsent an order
// whose number is there already is left alone, so that a demo may start again.
// Each order is added whole or not at all; on an error the ones before it stay.
func (s *Simulator) AddOrders(account string, batch []NewOrder, ifAbsent bool) ([]OrderView, error) {
	out := make([]OrderView, 0, len(batch))
	for _, n := range batch {
		err := s.merchant(account, "add order "+n.Number, func(c *change) error {
			o, err := c.merchantOrder(n, ifAbsent)
			if err == nil {
				c.settleAll()
				out = append(out, c.view(o))
			}
			return err
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (c *change) merchantOrder(n NewOrder, ifAbsent bool) (*order, error) {
	if old := c.ordersByNumber[n.Number]; ifAbsent && n.Number != "" && len(old) > 0 {
		return old[len(old)-1], nil
	}
	o := newOrder(c.record)
	o.OrderNumber, o.ReferenceNumber, o.Email, o.PhoneNumber, o.Notes = n.Number, optional(n.Reference), optional(n.Email), optional(n.Phone), optional(n.Notes)
	o.Status, o.PaymentStatus = statusFinalized, "paid"
	if n.Status != "" {
		o.Status = n.Status
	}
	if n.Payment != "" {
		o.PaymentStatus = n.Payment
	}
	if !settable(o.Status) {
		return nil, fmt.Errorf("status %q: want draft, active or finalized", o.Status)
	}
	o.Tags = append(o.Tags, n.Tags...)
	for field, text := range map[**string]string{&o.IssuedAt: n.IssuedAt, &o.ShipAt: n.ShipAt} {
		if text == "" {
			continue
		}
		t, err := parseTime(text)
		if err != nil {
			return nil, fmt.Errorf("date %q: %w", text, err)
		}
		day := t.Format(time.DateOnly)
		*field = &day
	}
	if o.IssuedAt == nil {
		today := c.now.date()
		o.IssuedAt = &today
	}
	at, err := c.labelled(n.Location)
	if err != nil {
		return nil, err
	}
	o.StockLocationID = &at
	lines, err := c.merchantLines(n)
	if err != nil {
		return nil, err
	}
	c.customer(o, n)
	return c.addOrder(o, lines), nil
}

func (c *change) merchantLines(n NewOrder) ([]*line, error) {
	all := n.Lines
	if n.ShipMethod != "" {
		all = append(all[:len(all):len(all)], NewLine{Label: n.ShipMethod, Quantity: "1", Price: n.ShipPrice, Type: "shipping"})
	}
	var out []*line
	for i, nl := range all {
		l, err := c.merchantLine(nl, int64(i))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func (c *change) merchantLine(n NewLine, position int64) (*line, error) {
	l := &line{Position: position, LineType: optional(n.Type), Shippable: !n.NoShipping,
		FulfilledLineIDs: []int64{}, ReturnLineIDs: []int64{}, InvoiceLineIDs: []int64{}}
	var usual amount
	if n.SKU == "" {
		l.Freeform, l.Label, l.Shippable = true, &n.Label, false
	} else {
		found := c.variantsBySKU[n.SKU]
		if len(found) == 0 {
			return nil, fmt.Errorf("unknown SKU %q", n.SKU)
		}
		l.VariantID = &found[0].ID
		if found[0].RetailPrice != nil {
			usual = *found[0].RetailPrice
		}
	}
	quantity, err1 := amountOr(n.Quantity, one)
	price, err2 := amountOr(n.Price, usual)
	l.Quantity, l.Price = quantity, price
	if n.Discount != "" {
		discount, err := parseAmount(n.Discount)
		if err != nil {
			return nil, err
		}
		l.Discount = &discount
	}
	if l.Quantity < 0 {
		return nil, errors.New("negative quantity")
	}
	return l, errors.Join(err1, err2)
}

// customer finds or makes the company of an order, and its addresses.
func (c *change) customer(o *order, n NewOrder) {
	name := n.Company
	if name == "" {
		name = joined(n.Address.FirstName, n.Address.LastName)
	}
	if name == "" {
		name = "Online customer"
	}
	owner := c.companiesByName[name]
	if owner == nil {
		owner = newCompany()
		owner.Name, owner.CompanyType = name, "consumer"
		c.addCompany(owner)
	}
	o.CompanyID = owner.ID
	shipping := c.fileAddress(c.merchantAddress(owner, n.Address))
	o.ShippingAddressID, o.BillingAddressID = &shipping.ID, &shipping.ID
	if n.Billing != nil {
		o.BillingAddressID = &c.fileAddress(c.merchantAddress(owner, *n.Billing)).ID
	}
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

func (c *change) merchantAddress(owner *company, n Address) *address {
	label := "Address " + strconv.Itoa(len(owner.AddressIDs)+1)
	a := &address{base: c.fresh(kindAddress), CompanyID: owner.ID, Label: &label, FirstName: optional(n.FirstName), LastName: optional(n.LastName),
		CompanyName: optional(n.Company), Address1: optional(n.Line1), Address2: optional(n.Line2), Suburb: optional(n.Suburb),
		City: optional(n.City), State: optional(n.State), ZipCode: optional(n.Zip), Country: optional(n.Country),
		CountryCode: optional(n.CountryCode), PhoneNumber: optional(n.Phone), Email: optional(n.Email), Status: statusActive}
	a.deriveCountry()
	return a
}

// onOrder runs f on the newest order with a number.
func (s *Simulator) onOrder(account, number, doing string, f func(*change, *order) error) error {
	return s.merchant(account, doing+" order "+number, func(c *change) error {
		found := c.ordersByNumber[number]
		if len(found) == 0 {
			return errors.New("unknown order")
		}
		return f(c, found[len(found)-1])
	})
}

// Finalize locks an order, so that it may be shipped.
func (s *Simulator) Finalize(account, number string) error {
	return s.onOrder(account, number, "finalize", func(c *change, o *order) error { return c.moveOrder(o, statusFinalized) })
}

// Revert takes a finalized order without shipments back to active.
func (s *Simulator) Revert(account, number string) error {
	return s.onOrder(account, number, "revert", func(c *change, o *order) error { return c.moveOrder(o, statusActive) })
}

// Void cancels an order that is no draft and has not shipped.
func (s *Simulator) Void(account, number string) error {
	return s.onOrder(account, number, "void", func(c *change, o *order) error {
		if o.Status == statusDraft {
			return errors.New("a draft is deleted, not voided")
		}
		return c.voidOrder(o)
	})
}

// Restore brings a void order back. Whether a merchant can do that in TradeGecko
// is unknown; whoever reads the API has to bear it.
func (s *Simulator) Restore(account, number string) error {
	return s.onOrder(account, number, "restore", func(c *change, o *order) error {
		if o.Status != statusVoid {
			return errors.New("only a void order can be restored")
		}
		o.Status = statusFinalized
		c.touchOrder(o, true)
		return nil
	})
}

// DeleteDraft deletes an order that is a draft.
func (s *Simulator) DeleteDraft(account, number string) error {
	return s.onOrder(account, number, "delete", func(c *change, o *order) error {
		if o.Status != statusDraft {
			return errors.New("only a draft can be deleted")
		}
		return c.voidOrder(o)
	})
}

// Units are a quantity of a SKU.
type Units struct {
	SKU      string `json:"sku"`
	Quantity string `json:"quantity"` // "" for all that is left
}

// PackPart packs some units of a finalized order; none named means all that is
// left. It returns the fulfillment's id.
func (s *Simulator) PackPart(account, number string, units []Units) (id int64, err error) {
	err = s.onOrder(account, number, "pack", func(c *change, o *order) error {
		asked := o.rest()
		if len(units) > 0 {
			if asked, err = c.unitsOf(o, units); err != nil {
				return err
			}
		}
		if len(asked) == 0 {
			return errors.New("nothing is left to pack")
		}
		f := c.draftFulfillment(o)
		if err := c.addFulfillment(o, f, asked); err != nil {
			return err
		}
		id = f.ID
		return nil
	})
	return id, err
}

// ShipByHand ships all that is left of an order, as a person would who enters a
// tracking number ("" for none).
func (s *Simulator) ShipByHand(account, number, trackingNumber string) error {
	return s.onOrder(account, number, "ship", func(c *change, o *order) error {
		asked := o.rest()
		if len(asked) == 0 {
			return errors.New("nothing is left to ship")
		}
		f := c.draftFulfillment(o)
		f.Status, f.TrackingNumber = statusFulfilled, optional(trackingNumber)
		return c.addFulfillment(o, f, asked)
	})
}

func (c *change) unitsOf(o *order, units []Units) ([]askedLine, error) {
	var out []askedLine
	for i, u := range units {
		l := c.lineOf(o, u.SKU)
		if l == nil {
			return nil, fmt.Errorf("SKU %q is not on the order", u.SKU)
		}
		quantity, err := amountOr(u.Quantity, -1)
		if err != nil {
			return nil, err
		}
		out = append(out, askedLine{line: l.ID, position: int64(i), quantity: quantity})
	}
	return out, nil
}

func (b *books) lineOf(o *order, sku string) *line {
	for _, l := range o.lines {
		if v := b.variant(l.VariantID); v != nil && word(v.SKU) == sku {
			return l
		}
	}
	return nil
}

// EditLine changes the quantity of a line before the order is finalized; 0 takes the line out.
func (s *Simulator) EditLine(account, number, sku, quantity string) error {
	return s.onOrder(account, number, "edit", func(c *change, o *order) error {
		l := c.lineOf(o, sku)
		n, err := parseAmount(quantity)
		switch {
		case l == nil:
			return fmt.Errorf("SKU %q is not on the order", sku)
		case err != nil || n < 0:
			return fmt.Errorf("quantity %q: want a number that is not negative", quantity)
		case !o.editable():
			return fmt.Errorf("a %s order cannot be edited", o.Status)
		case n == 0:
			return c.removeLine(l)
		}
		l.Quantity, l.UpdatedAt = n, c.now
		c.touch(string(kindLine), l)
		c.touchOrder(o, true)
		return nil
	})
}

// ChangeAddress replaces the shipping address of an order in any status.
func (s *Simulator) ChangeAddress(account, number string, to Address) error {
	return s.onOrder(account, number, "change the address of", func(c *change, o *order) error {
		owner := c.companies.byID[o.CompanyID]
		if owner == nil {
			return errors.New("the order has no company")
		}
		o.ShippingAddressID = &c.fileAddress(c.merchantAddress(owner, to)).ID
		c.touchOrder(o, true)
		return nil
	})
}

// ExpireTokens ends the account's OAuth access tokens; the refresh token stays good.
func (s *Simulator) ExpireTokens(account string) error {
	return s.merchant(account, "expire tokens", func(c *change) error {
		next := c.grant.clone()
		next.Access = map[string]stamp{}
		c.books.grant = next
		c.touch("grant", &next)
		return nil
	})
}

// OrderView is an order as the books have it, to be held against a ledger.
// Quantities are decimals: "2", "1.5".
type OrderView struct {
	ID                int64             `json:"id"`
	Number            string            `json:"number"`
	Status            string            `json:"status"`
	PaymentStatus     string            `json:"payment_status"`
	PackedStatus      string            `json:"packed_status"`
	FulfillmentStatus string            `json:"fulfillment_status"`
	UpdatedAt         time.Time         `json:"updated_at"`
	Lines             []LineView        `json:"lines"`
	Fulfillments      []FulfillmentView `json:"fulfillments"`
}

// LineView is a line of an order.
type LineView struct {
	ID        int64  `json:"id"`
	SKU       string `json:"sku,omitempty"`
	Label     string `json:"label,omitempty"`
	Ordered   string `json:"ordered"`
	Packed    string `json:"packed"`    // on packed and fulfilled fulfillments
	Fulfilled string `json:"fulfilled"` // on fulfilled ones
	Ships     bool   `json:"ships"`     // needs to be shipped at all
}

// FulfillmentView is a parcel of an order; deleted and void ones are shown too.
type FulfillmentView struct {
	ID             int64     `json:"id"`
	Status         string    `json:"status"`
	Carrier        string    `json:"carrier"`
	Service        string    `json:"service"`
	TrackingNumber string    `json:"tracking_number"`
	TrackingURL    string    `json:"tracking_url"`
	Notes          string    `json:"notes"`
	ShippedAt      time.Time `json:"shipped_at,omitzero"`
	Units          []Units   `json:"units"`
}

// Orders are all orders of an account, oldest first.
func (s *Simulator) Orders(account string) ([]OrderView, error) {
	b, err := s.open(account)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]OrderView, len(b.orders.list))
	for i, o := range b.orders.list {
		out[i] = b.view(o)
	}
	return out, nil
}

// Order is the newest order with a number.
func (s *Simulator) Order(account, number string) (OrderView, error) {
	b, err := s.open(account)
	if err != nil {
		return OrderView{}, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	found := b.ordersByNumber[number]
	if len(found) == 0 {
		return OrderView{}, fmt.Errorf("unknown order %q", number)
	}
	return b.view(found[len(found)-1]), nil
}

func (b *books) view(o *order) OrderView {
	out := OrderView{ID: o.ID, Number: o.OrderNumber, Status: o.Status, PaymentStatus: o.PaymentStatus, PackedStatus: o.PackedStatus,
		FulfillmentStatus: o.FulfillmentStatus, UpdatedAt: o.UpdatedAt.time(), Lines: []LineView{}, Fulfillments: []FulfillmentView{}}
	for _, l := range o.lines {
		lv := LineView{ID: l.ID, Label: word(l.Label), Ordered: l.Quantity.String(), Packed: l.packed.String(), Fulfilled: l.fulfilled.String(), Ships: l.ships()}
		if v := b.variant(l.VariantID); v != nil {
			lv.SKU = word(v.SKU)
		}
		out.Lines = append(out.Lines, lv)
	}
	for _, f := range o.fulfillments {
		fv := FulfillmentView{ID: f.ID, Status: f.Status, Carrier: word(f.TrackingCompany), Service: word(f.Service),
			TrackingNumber: word(f.TrackingNumber), TrackingURL: word(f.TrackingURL), Notes: word(f.Notes), Units: []Units{}}
		if f.ShippedAt != 0 {
			fv.ShippedAt = f.ShippedAt.time()
		}
		for _, fl := range f.lines {
			fv.Units = append(fv.Units, Units{SKU: word(fl.VariantSKU), Quantity: fl.Quantity.String()})
		}
		out.Fulfillments = append(out.Fulfillments, fv)
	}
	return out
}

// StockView is the stock of a variant at a location.
type StockView struct {
	VariantID int64  `json:"variant_id"`
	SKU       string `json:"sku"`
	Location  string `json:"location"`
	OnHand    string `json:"on_hand"`
	Committed string `json:"committed"`
	Available string `json:"available"`
}

// Stock is all stock of an account, by variant and then by location.
func (s *Simulator) Stock(account string) ([]StockView, error) {
	b, err := s.open(account)
	if err != nil {
		return nil, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := []StockView{}
	for _, v := range b.variants.list {
		ids, at := b.stock(v, false)
		for _, id := range ids {
			sh := at[id]
			out = append(out, StockView{VariantID: v.ID, SKU: word(v.SKU), Location: b.locations.byID[id].Label,
				OnHand: sh.onHand.String(), Committed: sh.committed.String(), Available: (sh.onHand - sh.committed).String()})
		}
	}
	return out, nil
}
