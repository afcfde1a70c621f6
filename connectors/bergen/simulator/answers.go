package simulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// form is one of the three ways in which a ticket is shown (wire/bergen-rex11.md
// sections 9.2 and 9.3).
type form struct {
	space   string
	barcode bool // GetPickTicketObjectByBarCode: with LineItems, the status code beside the status
	second  bool // V2: other spellings, other cartons
}

var (
	byBarCode = form{space: detailSpace, barcode: true}
	inBoxes   = form{space: boxesSpace}
	inBoxesV2 = form{space: boxesV2Space, second: true}
)

// spellings are V2's own names of elements.
var spellings = map[string]string{
	"CODAmount": "CodAmount", "DVPercentage": "DvPercentage", "CustomerPONumber": "CustomerPoNumber",
	"DISTRIBUTIONCENTER": "DistributionCenter", "TRADINGPARTNER": "TradingPartner", "UseAccountUPS": "UseAccountUps",
}

func (f form) name(name string) string {
	if s, ok := spellings[name]; ok && f.second {
		return s
	}
	return name
}

// ticketView is a ticket with what its answer needs, taken under the lock.
type ticketView struct {
	*ticket
	products map[string]*product
}

// showTicket is the operation that shows a ticket in the form.
func showTicket(f form) func(*call) (answer, *fault) {
	return func(c *call) (answer, *fault) {
		b := c.begin()
		t := c.findTicket(b, c.arg("ptbarcode"))
		if t == nil || t.Imported.IsZero() {
			c.mu.Unlock()
			return notes(83, "BarCodeError", "BarCode doesn't exist"), nil
		}
		v := ticketView{t, map[string]*product{}}
		for _, l := range t.Lines {
			v.products[l.UPC] = b.products[l.UPC]
		}
		c.mu.Unlock()
		return answer{payload: func(w *writer) { c.writeTicket(w, f, v) }}, nil
	}
}

// dateFields come back empty where they were not sent; of the other fields only
// those that were sent come back (as in the recorded answers).
var dateFields = []string{"OrderDate", "StartDate", "CancelDate"}

// afterTerms are the fields from the payment terms to the addresses, in order.
var afterTerms = []string{
	"PaymentTerms", "CODAmount", "DepartmentDescription", "Store", "ShipVia", "ShipViaAccountNumber", "DVPercentage", "BillingOption",
	"ShipService", "SpecialInstructions", "CustomerPONumber", "AuthorizationNumber", "OrderNumber", "TakenBy", "DISTRIBUTIONCENTER",
	"DivisionCode", "DivisionDescription", "Department", "TRADINGPARTNER", "UseAccountUPS", "VendorNumber",
}

func (c *call) writeTicket(w *writer, f form, t ticketView) {
	code := itoa(int64(c.behaviour.code(t.Status)))
	w.start(methods, "PickTicket")
	w.leaf(f.space, "PickTicketNumber", c.shownNumber(t.ticket))
	w.leaf(f.space, "WareHouse", t.warehouse())
	for _, name := range dateFields {
		w.leaf(f.space, name, t.Fields[name])
	}
	w.leaf(f.space, "ShipDate", c.plannedDate(t.ticket))
	w.leaf(f.space, "ActualShipDate", c.day(t.Shipped))
	if !f.barcode {
		w.leaf(f.space, "ShipmentStatusCode", code)
	}
	for _, name := range afterTerms {
		w.some(f.space, f.name(name), echo(name, t.Fields[name]))
	}
	c.writeAddress(w, f, "BillTo", t.Fields["BillToCode"], t.BillTo)
	c.writeAddress(w, f, "ShipTo", t.Fields["ShipToCode"], t.ShipTo)
	c.writeAddress(w, f, "MarkFor", t.Fields["MarkForCode"], t.MarkFor)
	for i := range t.Cartons {
		c.writeCarton(w, f, t, i)
	}
	var total int64
	for _, l := range t.Lines {
		total += l.Quantity
	}
	if f.barcode {
		t.writeLines(w, f.space)
	}
	w.leaf(f.space, "Totalshipmentqty", itoa(total))
	w.leaf(f.space, "ShipmentStatus", c.behaviour.shown(t.Status))
	if f.barcode {
		w.leaf(f.space, "ShipmentStatusCode", code)
	}
	w.leaf(f.space, "FreightCharge", freight(len(t.Cartons)))
	if f.barcode || f.second {
		w.some(f.space, "OrderType", t.Fields["OrderType"])
	}
	if len(t.Cartons) > 0 && !c.behaviour.NoMasterTracking {
		w.some(f.space, "MasterTrackingNumber", t.Cartons[0].Tracking)
	}
	if f.barcode {
		w.some(f.space, "GiftMessage", t.Fields["GiftMessage"])
		w.some(f.space, "VatNumber", t.Fields["VatNumber"])
	}
	w.end()
}

// echo is how a sent value comes back (section 12.8).
func echo(name, value string) string {
	switch name {
	case "ShipService":
		return strings.ReplaceAll(value, " ", "")
	case "DVPercentage":
		if value == "" {
			return "10"
		}
	case "UseAccountUPS":
		return strconv.FormatBool(value == "1" || strings.EqualFold(value, "true"))
	}
	return value
}

func (c *call) shownNumber(t *ticket) string {
	if c.behaviour.NoPrefix {
		return t.Number
	}
	return c.book.Prefix + t.Number
}

const planAhead = 4 // days, for a ticket without ShipDate (section 7.1: "a few days on")

func (s *Simulator) plannedDate(t *ticket) string {
	if d := t.Fields["ShipDate"]; d != "" {
		return d
	}
	return s.day(t.Accepted.AddDate(0, 0, planAhead))
}

func (c *call) writeAddress(w *writer, f form, who, code string, a map[string]string) {
	w.some(f.space, who+"Code", code)
	if a == nil {
		return
	}
	w.start(f.space, who+"Address")
	for _, name := range addressFields {
		v := a[name]
		switch {
		case name == "Country" && inUSA(v):
			v = "United States"
		case (name == "FirstName" || name == "LastName") && a["CompanyName"] != "" && !c.behaviour.KeepNames:
			v = "" // section 7.4
		}
		w.leaf(addressSpace, name, v)
	}
	w.end()
}

// writeLines writes the ticket's lines. ShippedQuantity is all that was asked for
// until something leaves (section 7.4), then what has left, lines of one UPC filled
// one after the other.
func (t ticketView) writeLines(w *writer, space string) {
	sent := map[string]int64{}
	for _, l := range t.Lines {
		shipped := l.Quantity
		if len(t.Cartons) > 0 {
			shipped = min(l.Quantity, t.departed(l.UPC)-sent[l.UPC])
			sent[l.UPC] += shipped
		}
		w.start(space, "LineItems")
		t.writeLine(w, l, l.Quantity, shipped)
		w.end()
	}
}

// writeLine writes an item: its text comes from the style master, its price from
// the request where one was sent.
func (t ticketView) writeLine(w *writer, l line, requested, shipped int64) {
	var p Product
	if entry := t.products[l.UPC]; entry != nil {
		p = entry.Product
	}
	price := l.UnitPrice
	if price == 0 {
		price = p.Price
	}
	w.some(detailSpace, "Sku", p.SKU)
	w.some(detailSpace, "Season", l.Season)
	w.some(detailSpace, "Style", p.Style)
	w.some(detailSpace, "Description", p.Description)
	w.some(detailSpace, "Color", p.Color)
	w.some(detailSpace, "Size", p.Size)
	w.some(detailSpace, "UPC", l.UPC)
	if price != 0 {
		w.leaf(detailSpace, "UnitPrice", decimal(price))
	}
	w.leaf(detailSpace, "Quantity", itoa(l.Quantity))
	w.leaf(detailSpace, "RequestedQuantity", itoa(requested))
	if shipped != 0 {
		w.leaf(detailSpace, "ShippedQuantity", itoa(shipped))
	}
	w.some(detailSpace, "Comments", l.Comments)
}

func (c *call) writeCarton(w *writer, f form, t ticketView, i int) {
	box := t.Cartons[i]
	space, uom := detailSpace, "UOM"
	if f.second {
		space, uom = packageSpace, "Uom"
	}
	w.start(f.space, "PackageList")
	var n int64
	for _, item := range box.Items {
		n += item.Quantity
		if c.behaviour.NoCartonContents {
			continue
		}
		l := t.Lines[slices.IndexFunc(t.Lines, func(l line) bool { return l.UPC == item.UPC })]
		requested := l.Quantity
		l.Quantity = item.Quantity
		w.start(space, "LineItems")
		t.writeLine(w, l, requested, item.Quantity)
		w.end()
	}
	w.leaf(space, "PackageWeight", decimal(0.4+float64(n)/2))
	w.leaf(space, uom, "LB")
	w.leaf(space, "PackageId", itoa(int64(i)+1))
	if !c.behaviour.NoCartonTracking {
		w.some(space, "TrackingNumber", box.Tracking)
	}
	w.leaf(space, "PackageLength", "12")
	w.leaf(space, "PackageWidth", "9")
	w.leaf(space, "PackageHeight", "3.5")
	w.leaf(space, "PackageType", "BOX")
	w.leaf(space, "PackageUniqueId", itoa(box.ID))
	w.end()
}

// freight is a made-up price; empty before something left.
func freight(cartons int) string {
	if cartons == 0 {
		return ""
	}
	return strconv.FormatFloat(8.91*float64(cartons), 'f', 2, 64)
}

// decimal has a dot and no trailing zeros (section 11).
func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// statusList is the operation that lists the tickets for which pick gives a day
// within the range.
func statusList(pick func(*call, *ticket) time.Time) func(*call) (answer, *fault) {
	return func(c *call) (answer, *fault) {
		r, a, f := c.dateRange("StartDate", "EndDate")
		if f != nil || a.notes != nil {
			return a, f
		}
		b := c.beginSettled()
		var found []*ticket
		for _, t := range b.tickets {
			if !t.Imported.IsZero() && r.holds(pick(c, t)) {
				found = append(found, t)
			}
		}
		c.mu.Unlock()
		return answer{payload: func(w *writer) {
			w.start(methods, "PickTicketStatus")
			for _, t := range found {
				c.writeStatus(w, t)
			}
			w.end()
		}}, nil
	}
}

func (c *call) writeStatus(w *writer, t *ticket) {
	w.start(methods, "ShipmentStatus")
	w.leaf(methods, "TicketId", c.shownNumber(t))
	w.leaf(methods, "TicketStatus", c.behaviour.shown(t.Status))
	w.leaf(methods, "StatusCode", itoa(int64(c.behaviour.code(t.Status))))
	w.start(methods, "TrackingNumbers")
	for _, box := range t.Cartons {
		if box.Tracking != "" && !c.behaviour.NoListTracking {
			w.leaf(methods, "string", box.Tracking)
		}
	}
	w.end()
	w.end()
}

func byChange(c *call, t *ticket) time.Time {
	if c.behaviour.ByDateCreated {
		return t.Imported
	}
	return t.Updated
}

func byShipDate(c *call, t *ticket) time.Time {
	if c.behaviour.ByPlannedDate && t.Shipped.IsZero() {
		planned, err := c.readDate(c.plannedDate(t))
		if err != nil {
			return time.Time{}
		}
		return planned
	}
	return t.Shipped
}

// ticketsByStatus is GetPickTickesByStatusAndCreateDate.
func ticketsByStatus(c *call) (answer, *fault) {
	status := c.arg("pickTicketStatus")
	if c.args.kid(methods, "pickTicketStatus") == nil {
		status = StatusPartiallyShipped // missing: silently the first value (section 2.5)
	}
	if _, known := codes[status]; !known {
		return answer{}, notInEnumeration(status, "PickTicketStatus")
	}
	r, a, f := c.dateRange("startDate", "endDate")
	if f != nil || a.notes != nil {
		return a, f
	}
	b := c.beginSettled()
	defer c.mu.Unlock()
	var numbers []string
	for _, t := range b.tickets {
		if t.Status == status && r.holds(t.Imported) {
			numbers = append(numbers, c.shownNumber(t))
		}
	}
	return stringList("PickTickets", numbers), nil
}

// ticketsByOrder is GetPickTicketsByOrderNumber. One order can have several.
func ticketsByOrder(c *call) (answer, *fault) {
	b := c.begin()
	defer c.mu.Unlock()
	var numbers []string
	for _, n := range b.orders[c.arg("orderNumber")] {
		if t := c.settleTicket(b, b.tickets[n-1], c.now); !t.Imported.IsZero() && t.Fields["OrderNumber"] != "" {
			numbers = append(numbers, c.shownNumber(t))
		}
	}
	return stringList("PickTicketNumbers", numbers), nil
}

func stringList(name string, values []string) answer {
	return answer{payload: func(w *writer) {
		w.start(methods, name)
		for _, v := range values {
			w.leaf(methods, "string", v)
		}
		w.end()
	}}
}

// dateRange is a range of days of the service's calendar, or of moments where a
// time was given.
type dateRange struct{ from, to time.Time } // to is outside

func (r dateRange) holds(at time.Time) bool {
	return !at.IsZero() && !at.Before(r.from) && at.Before(r.to)
}

// dateLayouts are MM/DD/YYYY, and that with a time (sections 9.1, 10.1, 11). Go's
// single digits read zero-padded ones too.
var dateLayouts = []string{"1/2/2006", "1/2/2006 15:04", "1/2/2006 15:04:05", "1/2/2006 3:04:05 PM"}

func (s *Simulator) readDate(text string) (at time.Time, err error) {
	for _, layout := range dateLayouts {
		if at, err = time.ParseInLocation(layout, strings.TrimSpace(text), s.eastern); err == nil {
			return at, nil
		}
	}
	return at, err
}

// dateRange reads a range. Whether its last day counts is a switch.
func (c *call) dateRange(start, end string) (dateRange, answer, *fault) {
	from, err1 := c.readDate(c.arg(start))
	to, err2 := c.readDate(c.arg(end))
	if err1 != nil || err2 != nil {
		return dateRange{}, answer{}, thrown("String was not recognized as a valid DateTime.")
	}
	if limit := c.behaviour.MaxRangeDays; limit > 0 && to.After(from.AddDate(0, 0, limit)) {
		return dateRange{}, notes(12, "DataNotValid", "Date range is not valid"), nil
	}
	if !c.behaviour.EndDateExclusive {
		if strings.Contains(strings.TrimSpace(c.arg(end)), ":") {
			to = to.Add(time.Second)
		} else {
			to = to.AddDate(0, 0, 1)
		}
	}
	return dateRange{from, to}, answer{}, nil
}
