package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The moves of orders, fulfillments and stock (wire/tradegecko.md section 9).
// API calls and merchant actions both go through here.

func invalid(field, message string) error {
	return &apiError{status: http.StatusUnprocessableEntity, errors: map[string][]string{field: {message}}}
}

const (
	blank       = "can't be blank"
	notListed   = "is not included in the list"
	mustExist   = "must exist"
	noLines     = "Cannot create or update a Fulfillment without line items"
	notFinal    = "Order must be finalized"
	moreThanZer = "must be greater than 0"
)

// Orders

func (c *change) createOrder(in *input) (*order, error) {
	o := newOrder(c.record)
	c.readOrder(o, in)
	if o.IssuedAt == nil {
		in.fault("issued_at", blank)
	}
	nestedCompany, nestedShipping, nestedBilling := in.object("company"), in.object("shipping_address"), in.object("billing_address")
	if c.companies.byID[o.CompanyID] == nil && nestedCompany == nil {
		in.fault("company_id", blank)
	}
	if o.ShippingAddressID == nil && nestedShipping == nil {
		in.fault("shipping_address_id", blank)
	}
	status := cmp.Or(o.Status, statusDraft)
	if !settable(status) {
		in.fault("status", notListed)
	}
	nested := in.objects("order_line_items")
	lines := make([]*line, len(nested))
	for i, child := range nested {
		lines[i] = c.newLine(child, int64(i))
		for field, messages := range child.errs {
			in.fault("order_line_items."+field, messages[0])
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	if nestedCompany != nil {
		made, err := c.createCompany(nestedCompany)
		if err != nil {
			return nil, err
		}
		o.CompanyID = made.ID
	}
	if nestedShipping != nil {
		o.ShippingAddressID = &c.addAddress(o.CompanyID, nestedShipping).ID
	}
	if nestedBilling != nil {
		o.BillingAddressID = &c.addAddress(o.CompanyID, nestedBilling).ID
	}
	return c.addOrder(o, lines), nil
}

// addOrder files a complete order with its lines.
func (c *change) addOrder(o *order, lines []*line) *order {
	o.base = c.fresh(kindOrder)
	if o.OrderNumber == "" {
		o.OrderNumber = fmt.Sprintf("SO%04d", len(c.orders.list)+1)
	}
	if o.BillingAddressID == nil {
		o.BillingAddressID = o.ShippingAddressID
	}
	secret := c.sim.digest("document", o.ID)
	o.DocumentURL = fmt.Sprintf("https://documents.example.test/d/%x", secret[:8])
	add(c, c.orders, o)
	c.ordersByNumber[o.OrderNumber] = append(c.ordersByNumber[o.OrderNumber], o)
	for _, l := range lines {
		c.addLine(o, l)
	}
	c.touchOrder(o, false)
	c.tell("order.create", kindOrder, o.ID, 0)
	if o.Status == statusFinalized {
		c.tell("order.finalized", kindOrder, o.ID, 0)
	}
	return o
}

// newOrder is an empty draft.
func newOrder(a accountRecord) *order {
	return &order{
		Status: statusDraft, PaymentStatus: "unpaid", InvoiceStatus: "uninvoiced", ReturnStatus: "unreturned",
		ReturningStatus: "unreturning", BackorderingStatus: "not_backordered", UserID: a.UserID, CurrencyID: a.CurrencyID,
		TaxTreatment: "exclusive", DefaultPriceListID: "retail", Tags: []string{}, LineIDs: []int64{}, FulfillmentIDs: []int64{},
		FulfillmentReturnID: []int64{}, InvoiceIDs: []int64{}, PaymentIDs: []int64{}, RefundIDs: []int64{}, Invoices: []int64{},
		InvoiceNumbers: map[string]string{},
	}
}

func settable(status string) bool {
	return status == statusDraft || status == statusActive || status == statusFinalized
}

// readOrder takes the fields that may be set on create and update.
func (c *change) readOrder(o *order, in *input) {
	in.str("order_number", &o.OrderNumber)
	in.text("reference_number", &o.ReferenceNumber)
	in.str("status", &o.Status)
	in.date("issued_at", &o.IssuedAt)
	in.date("ship_at", &o.ShipAt)
	in.id("company_id", &o.CompanyID)
	in.optionalID("contact_id", &o.ContactID)
	in.optionalID("shipping_address_id", &o.ShippingAddressID)
	in.optionalID("billing_address_id", &o.BillingAddressID)
	in.optionalID("stock_location_id", &o.StockLocationID)
	in.optionalID("assignee_id", &o.AssigneeID)
	in.text("email", &o.Email)
	in.text("phone_number", &o.PhoneNumber)
	in.text("notes", &o.Notes)
	in.texts("tags", &o.Tags)
	in.str("tax_treatment", &o.TaxTreatment)
	in.str("default_price_list_id", &o.DefaultPriceListID)
	in.text("source_url", &o.SourceURL)
	if o.StockLocationID != nil && c.locations.byID[*o.StockLocationID] == nil {
		in.fault("stock_location_id", mustExist)
	}
	for field, id := range map[string]*int64{"shipping_address_id": o.ShippingAddressID, "billing_address_id": o.BillingAddressID} {
		if id != nil && c.addresses.byID[*id] == nil {
			in.fault(field, mustExist)
		}
	}
}

func (c *change) updateOrder(o *order, in *input) error {
	next := *o
	next.Status = ""
	c.readOrder(&next, in)
	status := cmp.Or(next.Status, o.Status)
	next.Status = o.Status
	if status != o.Status && !settable(status) {
		in.fault("status", notListed)
	}
	nested := in.objects("order_line_items")
	lines := make([]*line, len(nested))
	for i, child := range nested {
		lines[i] = c.newLine(child, int64(len(o.lines)+i))
		for field, messages := range child.errs {
			in.fault("order_line_items."+field, messages[0])
		}
	}
	if len(lines) > 0 && !o.editable() {
		in.fault("base", "Order can no longer be edited")
	}
	if err := in.err(); err != nil {
		return err
	}
	if err := c.moveOrder(o, status); err != nil {
		return err
	}
	next.Status = o.Status
	next.UpdatedAt = o.UpdatedAt
	if next.OrderNumber != o.OrderNumber {
		c.ordersByNumber[o.OrderNumber] = slices.DeleteFunc(c.ordersByNumber[o.OrderNumber], func(x *order) bool { return x == o })
		c.ordersByNumber[next.OrderNumber] = append(c.ordersByNumber[next.OrderNumber], o)
	}
	*o = next
	for _, l := range lines {
		c.addLine(o, l)
	}
	c.touchOrder(o, true)
	return nil
}

func (o *order) editable() bool { return o.Status == statusDraft || o.Status == statusActive }

// moveOrder sets a status that may be set: draft, active or finalized.
func (c *change) moveOrder(o *order, status string) error {
	if status == o.Status {
		return nil
	}
	if !settable(status) || !settable(o.Status) {
		return invalid("status", "cannot change from "+o.Status+" to "+status)
	}
	if o.Status == statusFinalized && len(o.FulfillmentIDs) > 0 {
		return invalid("status", "cannot change: the order has shipments")
	}
	o.Status = status
	c.touchOrder(o, true)
	if status == statusFinalized {
		c.tell("order.finalized", kindOrder, o.ID, 0)
	}
	return nil
}

// voidOrder deletes a draft and voids anything else that has not shipped; packed
// fulfillments go with it.
func (c *change) voidOrder(o *order) error {
	switch o.Status {
	case statusVoid, statusDeleted:
		return invalid("base", "Order is already "+o.Status)
	case statusDraft:
		o.Status = statusDeleted
		c.touchOrder(o, true)
		return nil
	}
	for _, f := range o.fulfillments {
		if f.Status == statusFulfilled {
			return invalid("base", "Order has shipments")
		}
	}
	for _, f := range o.fulfillments {
		if f.Status == statusPacked {
			f.Status, f.UpdatedAt = statusDeleted, c.now
			c.touch(string(kindFulfillment), f)
		}
	}
	o.Status = statusVoid
	c.touchOrder(o, true)
	return nil
}

// Order lines

// newLine reads a line; faults are left in the input.
func (c *change) newLine(in *input, position int64) *line {
	l := &line{Quantity: one, Shippable: true, Position: position,
		FulfilledLineIDs: []int64{}, ReturnLineIDs: []int64{}, InvoiceLineIDs: []int64{}}
	c.readLine(l, in)
	v := c.variant(l.VariantID)
	switch {
	case l.Freeform:
		l.VariantID, l.Shippable = nil, false
	case v == nil:
		in.fault("variant_id", blank)
	default:
		l.Label = nil
		if !in.has("price") && v.RetailPrice != nil {
			l.Price = *v.RetailPrice
		}
	}
	return l
}

func (b *books) variant(id *int64) *variant {
	if id == nil {
		return nil
	}
	return b.variants.byID[*id]
}

func (c *change) readLine(l *line, in *input) {
	in.optionalID("variant_id", &l.VariantID)
	in.amount("quantity", &l.Quantity)
	in.amount("price", &l.Price)
	in.optionalAmount("discount", &l.Discount)
	in.optionalAmount("discount_amount", &l.DiscountAmount)
	in.optionalID("tax_type_id", &l.TaxTypeID)
	in.optionalAmount("tax_rate_override", &l.TaxRateOverride)
	in.bool("freeform", &l.Freeform)
	in.text("label", &l.Label)
	in.text("line_type", &l.LineType)
	in.id("position", &l.Position)
	in.text("image_url", &l.ImageURL)
	if l.Quantity < 0 {
		in.fault("quantity", "must be greater than or equal to 0")
	}
}

func (c *change) addLine(o *order, l *line) *line {
	l.base = c.fresh(kindLine)
	l.OrderID = o.ID
	o.lines = append(o.lines, add(c, c.lines, l))
	o.sortLines()
	return l
}

func (o *order) sortLines() {
	slices.SortStableFunc(o.lines, func(a, b *line) int { return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.ID, b.ID)) })
}

func (c *change) createLine(in *input) (*line, error) {
	var orderID int64
	in.id("order_id", &orderID)
	o := c.orders.byID[orderID]
	if o == nil {
		return nil, invalid("order_id", blank)
	}
	l := c.newLine(in, int64(len(o.lines)))
	if !o.editable() {
		in.fault("base", "Order can no longer be edited")
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	c.addLine(o, l)
	c.touchOrder(o, true)
	return l, nil
}

func (c *change) updateLine(l *line, in *input) error {
	next := *l
	c.readLine(&next, in)
	o, err := c.orders.get(l.OrderID)
	if err != nil {
		return err
	}
	if !o.editable() {
		in.fault("base", "Order can no longer be edited")
	}
	if !next.Freeform && c.variant(next.VariantID) == nil {
		in.fault("variant_id", blank)
	}
	if err := in.err(); err != nil {
		return err
	}
	*l = next
	l.UpdatedAt = c.now
	c.touch(string(kindLine), l)
	o.sortLines()
	c.touchOrder(o, true)
	return nil
}

func (c *change) removeLine(l *line) error {
	o, err := c.orders.get(l.OrderID)
	if err != nil {
		return err
	}
	if !o.editable() {
		return invalid("base", "Order can no longer be edited")
	}
	o.lines = slices.DeleteFunc(o.lines, func(x *line) bool { return x == l })
	c.lines.drop(l.ID)
	c.touch("-"+string(kindLine), &l.base)
	c.touchOrder(o, true)
	return nil
}

// Fulfillments

func (c *change) createFulfillment(in *input) (*fulfillment, error) {
	var orderID int64
	if in.id("order_id", &orderID); orderID == 0 {
		return nil, invalid("order_id", blank)
	}
	o, err := c.orders.get(orderID)
	if err != nil {
		return nil, err
	}
	f := c.draftFulfillment(o)
	c.readFulfillment(f, in)
	if f.Status == statusFulfilled && c.behaviour.RefuseFulfilledCreate {
		in.fault("status", notListed)
	}
	nested := in.objects("fulfillment_line_items")
	if len(nested) == 0 && len(in.errs) == 0 {
		return nil, invalid("base", noLines)
	}
	var asked []askedLine
	for i, child := range nested {
		a := askedLine{position: int64(i), quantity: -1}
		child.id("order_line_item_id", &a.line)
		child.amount("quantity", &a.quantity)
		child.id("position", &a.position)
		for field, messages := range child.errs {
			in.fault(field, messages[0])
		}
		asked = append(asked, a)
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	if err := c.addFulfillment(o, f, asked); err != nil {
		return nil, err
	}
	return f, nil
}

func (c *change) draftFulfillment(o *order) *fulfillment {
	f := &fulfillment{OrderID: o.ID, OrderNumber: o.OrderNumber, CompanyID: o.CompanyID, ShippingAddressID: o.ShippingAddressID,
		BillingAddressID: o.BillingAddressID, StockLocationID: c.primary(), Status: statusPacked, ExchangeRate: one, LineIDs: []int64{}}
	if o.StockLocationID != nil {
		f.StockLocationID = *o.StockLocationID
	}
	return f
}

// askedLine is a line of a fulfillment to be; a negative quantity means all that is left.
type askedLine struct {
	line, position int64
	quantity       amount
}

func (c *change) readFulfillment(f *fulfillment, in *input) {
	in.str("status", &f.Status)
	in.id("stock_location_id", &f.StockLocationID)
	in.optionalID("shipping_address_id", &f.ShippingAddressID)
	in.optionalID("billing_address_id", &f.BillingAddressID)
	in.date("packed_at", &f.PackedAt)
	in.moment("shipped_at", &f.ShippedAt)
	in.moment("received_at", &f.ReceivedAt)
	in.text("delivery_type", &f.DeliveryType)
	in.text("tracking_company", &f.TrackingCompany)
	in.text("tracking_number", &f.TrackingNumber)
	in.text("tracking_url", &f.TrackingURL)
	in.text("service", &f.Service)
	in.text("notes", &f.Notes)
	in.amount("exchange_rate", &f.ExchangeRate)
	if !f.live() {
		in.fault("status", notListed)
	}
	if c.locations.byID[f.StockLocationID] == nil {
		in.fault("stock_location_id", mustExist)
	}
}

// shippable refuses orders that may not be packed or shipped.
func (c *change) shippable(o *order) error {
	if c.behaviour.AllowUnfinalized || o.Status == statusFinalized || o.Status == statusFulfilled {
		return nil
	}
	return invalid("base", notFinal)
}

// addFulfillment files a complete fulfillment with its lines.
func (c *change) addFulfillment(o *order, f *fulfillment, asked []askedLine) error {
	if err := c.shippable(o); err != nil {
		return err
	}
	lines, err := c.pickLines(o, asked)
	if err != nil {
		return err
	}
	status := f.Status
	f.base, f.Status = c.fresh(kindFulfillment), statusPacked
	if f.PackedAt == nil {
		day := c.now.date()
		f.PackedAt = &day
	}
	add(c, c.fulfillments, f)
	for _, fl := range lines {
		c.addFulfilledLine(f, fl)
	}
	o.fulfillments = append(o.fulfillments, f)
	c.tell("fulfillment.create", kindFulfillment, f.ID, o.ID)
	if status == statusFulfilled {
		c.ship(f)
	}
	c.touchOrder(o, !c.behaviour.OrderStampFrozen)
	return nil
}

// pickLines checks what is asked against what is left of each line.
func (c *change) pickLines(o *order, asked []askedLine) ([]*fulfilledLine, error) {
	taken := map[int64]amount{}
	var out []*fulfilledLine
	for _, a := range asked {
		l := o.line(a.line)
		if l == nil {
			return nil, invalid("order_line_item_id", mustExist)
		}
		left := l.Quantity - l.packed - taken[l.ID]
		if a.quantity < 0 {
			a.quantity = max(left, 0)
		}
		if a.quantity <= 0 {
			return nil, invalid("quantity", moreThanZer)
		}
		if a.quantity > left && !c.behaviour.AllowOverFulfil {
			c.sim.stats.overFulfils.Add(1)
			return nil, invalid("quantity", "must be less than or equal to "+max(left, 0).String())
		}
		taken[l.ID] += a.quantity
		fl := &fulfilledLine{OrderLineID: l.ID, Quantity: a.quantity, Position: a.position, VariantID: l.VariantID}
		if v := c.variant(l.VariantID); v != nil {
			fl.VariantSKU = v.SKU
		}
		out = append(out, fl)
	}
	return out, nil
}

func (c *change) addFulfilledLine(f *fulfillment, fl *fulfilledLine) {
	fl.base = c.fresh(kindFulfilledLine)
	fl.FulfillmentID = f.ID
	add(c, c.fulfilledLines, fl)
	f.lines = append(f.lines, fl)
	f.LineIDs = append(f.LineIDs, fl.ID)
}

// ship turns a packed fulfillment fulfilled: its stock leaves.
func (c *change) ship(f *fulfillment) {
	f.Status = statusFulfilled
	if f.ShippedAt == 0 && !c.behaviour.KeepShippedAtNull {
		f.ShippedAt = c.now
	}
	c.moveShipped(f, -1)
	c.touch(string(kindFulfillment), f)
	c.tell("fulfillment.fulfilled", kindFulfillment, f.ID, f.OrderID)
}

// moveShipped takes the stock of a fulfillment out (sign -1) or back in (+1).
func (c *change) moveShipped(f *fulfillment, sign amount) {
	for _, fl := range f.lines {
		if fl.VariantID != nil {
			c.parts(*fl.VariantID, fl.Quantity, func(v *variant, n amount) { c.moveStock(v, f.StockLocationID, sign*n) })
		}
	}
}

func (c *change) updateFulfillment(f *fulfillment, in *input) error {
	o, err := c.orders.get(f.OrderID)
	if err != nil {
		return err
	}
	if !f.live() {
		return invalid("base", "Fulfillment is "+f.Status)
	}
	next := *f
	c.readFulfillment(&next, in)
	status := next.Status
	if f.Status == statusFulfilled && (status != statusFulfilled || next.StockLocationID != f.StockLocationID) {
		in.fault("status", "cannot change: the fulfillment is fulfilled")
	}
	if err := in.err(); err != nil {
		return err
	}
	ships := f.Status == statusPacked && status == statusFulfilled
	if ships {
		if err := c.shippable(o); err != nil {
			return err
		}
	}
	next.Status, next.UpdatedAt = f.Status, c.now
	*f = next
	c.touch(string(kindFulfillment), f)
	if ships {
		c.ship(f)
	}
	c.touchOrder(o, !c.behaviour.OrderStampFrozen)
	return nil
}

// removeFulfillment deletes a packed fulfillment and voids a fulfilled one, whose stock comes back.
func (c *change) removeFulfillment(f *fulfillment) error {
	o, err := c.orders.get(f.OrderID)
	if err != nil {
		return err
	}
	switch f.Status {
	case statusPacked:
		f.Status = statusDeleted
	case statusFulfilled:
		c.moveShipped(f, +1)
		f.Status = statusVoid
	default:
		return invalid("base", "Fulfillment is "+f.Status)
	}
	f.UpdatedAt = c.now
	c.touch(string(kindFulfillment), f)
	c.touchOrder(o, !c.behaviour.OrderStampFrozen)
	return nil
}

// packed finds the fulfillment and order of a line that is to change.
func (c *change) packed(id int64) (*fulfillment, *order, error) {
	f, err := c.fulfillments.get(id)
	if err != nil {
		return nil, nil, err
	}
	if f.Status != statusPacked {
		return nil, nil, invalid("base", "Fulfillment is "+f.Status)
	}
	o, err := c.orders.get(f.OrderID)
	return f, o, err
}

func (c *change) createFulfilledLine(in *input) (*fulfilledLine, error) {
	var id int64
	a := askedLine{quantity: -1}
	in.id("fulfillment_id", &id)
	in.id("order_line_item_id", &a.line)
	in.amount("quantity", &a.quantity)
	if err := in.err(); err != nil {
		return nil, err
	}
	f, o, err := c.packed(id)
	if err != nil {
		return nil, err
	}
	a.position = int64(len(f.lines))
	in.id("position", &a.position)
	lines, err := c.pickLines(o, []askedLine{a})
	if err != nil {
		return nil, err
	}
	c.addFulfilledLine(f, lines[0])
	f.UpdatedAt = c.now
	c.touch(string(kindFulfillment), f)
	c.touchOrder(o, !c.behaviour.OrderStampFrozen)
	return lines[0], nil
}

func (c *change) updateFulfilledLine(fl *fulfilledLine, in *input) error {
	f, o, err := c.packed(fl.FulfillmentID)
	if err != nil {
		return err
	}
	quantity, position := fl.Quantity, fl.Position
	in.amount("quantity", &quantity)
	in.id("position", &position)
	l := o.line(fl.OrderLineID)
	switch {
	case quantity <= 0:
		in.fault("quantity", moreThanZer)
	case l != nil && l.packed-fl.Quantity+quantity > l.Quantity && !c.behaviour.AllowOverFulfil:
		in.fault("quantity", "must be less than or equal to "+(l.Quantity-l.packed+fl.Quantity).String())
	}
	if err := in.err(); err != nil {
		return err
	}
	fl.Quantity, fl.Position, fl.UpdatedAt, f.UpdatedAt = quantity, position, c.now, c.now
	c.touch(string(kindFulfilledLine), fl)
	c.touch(string(kindFulfillment), f)
	c.touchOrder(o, !c.behaviour.OrderStampFrozen)
	return nil
}

func (c *change) removeFulfilledLine(fl *fulfilledLine) error {
	f, o, err := c.packed(fl.FulfillmentID)
	if err != nil {
		return err
	}
	if len(f.lines) == 1 {
		return invalid("base", noLines)
	}
	f.lines = slices.DeleteFunc(f.lines, func(x *fulfilledLine) bool { return x == fl })
	f.LineIDs = slices.DeleteFunc(f.LineIDs, func(id int64) bool { return id == fl.ID })
	c.fulfilledLines.drop(fl.ID)
	f.UpdatedAt = c.now
	c.touch("-"+string(kindFulfilledLine), &fl.base)
	c.touch(string(kindFulfillment), f)
	c.touchOrder(o, !c.behaviour.OrderStampFrozen)
	return nil
}

// Order actions (wire/tradegecko.md section 10.3)

// act does an action; made is the fulfillment that it made or changed, if any.
func (c *change) act(o *order, action string, details *input) (made *fulfillment, err error) {
	switch action {
	case "void":
		return nil, c.voidOrder(o)
	case "invoice", "pay":
		if err := c.shippable(o); err != nil {
			return nil, err
		}
		o.InvoiceStatus = "invoiced"
		if action == "pay" {
			o.PaymentStatus = "paid"
		}
		c.touchOrder(o, true)
		return nil, nil
	case "pack":
		return c.packRest(o, details, statusPacked)
	case "fulfil", "fulfill":
		return c.fulfilRest(o, details)
	}
	return nil, &apiError{status: http.StatusNotFound, kind: "Not Found", message: "Unknown action " + action}
}

func (o *order) rest() []askedLine {
	var out []askedLine
	for _, l := range o.lines {
		if left := l.Quantity - l.packed; l.ships() && left > 0 {
			out = append(out, askedLine{line: l.ID, position: int64(len(out)), quantity: left})
		}
	}
	return out
}

func (c *change) packRest(o *order, details *input, status string) (*fulfillment, error) {
	f := c.draftFulfillment(o)
	c.readFulfillment(f, details)
	f.Status = status
	if err := details.err(); err != nil {
		return nil, err
	}
	asked := o.rest()
	if len(asked) == 0 {
		return nil, invalid("base", noLines)
	}
	return f, c.addFulfillment(o, f, asked)
}

func (c *change) fulfilRest(o *order, details *input) (*fulfillment, error) {
	if err := c.shippable(o); err != nil {
		return nil, err
	}
	if len(o.rest()) > 0 {
		// First what may still be refused, then what cannot.
		made, err := c.packRest(o, details, statusFulfilled)
		if err != nil {
			return nil, err
		}
		c.shipPacked(o)
		return made, nil
	}
	if made := c.shipPacked(o); made != nil {
		c.touchOrder(o, !c.behaviour.OrderStampFrozen)
		return made, nil
	}
	return nil, invalid("base", noLines)
}

// shipPacked ships every packed fulfillment and returns the last.
func (c *change) shipPacked(o *order) (last *fulfillment) {
	for _, f := range o.fulfillments {
		if f.Status == statusPacked {
			f.UpdatedAt = c.now
			c.ship(f)
			last = f
		}
	}
	return last
}

// Stock adjustments

var adjustmentReasons = [...]string{"supplier", "customer", "damaged", "shrinkage", "promotion", "production"}

func (c *change) createAdjustment(in *input) (*adjustment, error) {
	a := &adjustment{StockLocationID: c.primary(), Status: statusActive, LineIDs: []int64{}}
	in.str("adjustment_number", &a.AdjustmentNumber)
	in.str("reason", &a.Reason)
	in.optionalID("stock_adjustment_reason_id", &a.StockAdjustmentReasonID)
	in.text("notes", &a.Notes)
	in.id("stock_location_id", &a.StockLocationID)
	if !slices.Contains(adjustmentReasons[:], a.Reason) && a.StockAdjustmentReasonID == nil {
		in.fault("reason", notListed)
	}
	if c.locations.byID[a.StockLocationID] == nil {
		in.fault("stock_location_id", mustExist)
	}
	var lines []*adjustmentLine
	for i, child := range in.objects("stock_adjustment_line_items") {
		lines = append(lines, c.readAdjustmentLine(child, int64(i)))
		for field, messages := range child.errs {
			in.fault(field, messages[0])
		}
	}
	if err := in.err(); err != nil {
		return nil, err
	}
	a.base = c.fresh(kindAdjustment)
	if a.AdjustmentNumber == "" {
		a.AdjustmentNumber = fmt.Sprintf("SA%04d", len(c.adjustments.list)+1)
	}
	if a.Reason != "" {
		a.ReasonLabel = strings.ToUpper(a.Reason[:1]) + a.Reason[1:]
	}
	add(c, c.adjustments, a)
	for _, l := range lines {
		c.addAdjustmentLine(a, l)
	}
	c.tell("stock_adjustment.create", kindAdjustment, a.ID, 0)
	return a, nil
}

func (c *change) readAdjustmentLine(in *input, position int64) *adjustmentLine {
	l := &adjustmentLine{Position: position}
	in.id("variant_id", &l.VariantID)
	in.amount("quantity", &l.Quantity)
	in.amount("price", &l.Price)
	in.id("position", &l.Position)
	v := c.variants.byID[l.VariantID]
	switch {
	case v == nil:
		in.fault("variant_id", mustExist)
	case len(v.components) > 0:
		in.fault("variant_id", "is composite")
	case l.Quantity == 0:
		in.fault("quantity", blank)
	case l.Quantity > 0 && !in.has("price"):
		in.fault("price", blank)
	case l.Quantity < 0 && v.MovingAverageCost != nil:
		l.Price = amount(*v.MovingAverageCost)
	}
	return l
}

func (c *change) addAdjustmentLine(a *adjustment, l *adjustmentLine) {
	l.base = c.fresh(kindAdjustmentLine)
	l.StockAdjustmentID = a.ID
	add(c, c.adjustmentLines, l)
	a.lines = append(a.lines, l)
	a.LineIDs = append(a.LineIDs, l.ID)
	a.CachedQuantity += l.Quantity
	a.CachedTotal += l.Quantity.times(l.Price)
	v := c.variants.byID[l.VariantID]
	if l.Quantity > 0 {
		v.average(l.Quantity, l.Price)
	}
	if v.ManageStock {
		c.moveStock(v, a.StockLocationID, l.Quantity)
	}
	c.touch(string(kindAdjustment), a)
}

// average works a receipt into the moving average cost; call it before the stock moves.
func (v *variant) average(quantity, price amount) {
	var held amount
	for _, s := range v.shelves {
		held += s.onHand
	}
	cost := price
	if v.MovingAverageCost != nil && held > 0 {
		old := amount(*v.MovingAverageCost)
		cost = old + (price-old).muldiv(quantity, held+quantity)
	}
	average := level(cost)
	v.MovingAverageCost = &average
}

func (c *change) createAdjustmentLine(in *input) (*adjustmentLine, error) {
	var id int64
	in.id("stock_adjustment_id", &id)
	a := c.adjustments.byID[id]
	var variantID int64
	in.id("variant_id", &variantID)
	if a == nil || a.Status == statusVoid || c.variants.byID[variantID] == nil {
		// The vendor answers bad references here with 500 (wire/tradegecko.md section 6).
		return nil, &apiError{status: http.StatusInternalServerError, kind: "Internal Server Error", message: "Something went wrong"}
	}
	l := c.readAdjustmentLine(in, int64(len(a.lines)))
	if err := in.err(); err != nil {
		return nil, err
	}
	c.addAdjustmentLine(a, l)
	a.UpdatedAt = c.now
	return l, nil
}

// voidAdjustment takes back what an adjustment moved.
func (c *change) voidAdjustment(a *adjustment) error {
	if a.Status == statusVoid {
		return invalid("base", "Stock adjustment is already void")
	}
	for _, l := range a.lines {
		if v := c.variants.byID[l.VariantID]; v != nil && v.ManageStock {
			c.moveStock(v, a.StockLocationID, -l.Quantity)
		}
	}
	a.Status, a.UpdatedAt = statusVoid, c.now
	c.touch(string(kindAdjustment), a)
	return nil
}
