package simulator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const companyName = "BERGEN LOGISTICS"

// warehouses are the enumeration in its order (wire/bergen-rex11.md section 7.3).
var warehouses = []string{
	companyName + " NJ", companyName + " WEST", companyName + " EU", companyName + " NJ2", companyName + " NJ3",
	companyName + " HK", companyName + " NJ3B", companyName + " CAN", companyName + " NL",
}

// warehouseID is the number that inventory rows have for a warehouse: its place in
// the enumeration, which agrees with the three known ones (section 12.9); 0 for none.
func warehouseID(name string) int { return slices.Index(warehouses, name) + 1 }

var (
	paymentTerms   = []string{"PENDING", "NET", "COD", "CC", "WIRE"}
	billingOptions = []string{"FREIGHT COLLECT ", "THIRD PARTY", "CONSIGNEE BILL", "PREPAID", "SENDER", "Recipient", "Collect Billing"}
)

// enumerations are the request's fields that are one of a list, with the name of
// their type. Missing, they are silently the first value (section 2.5).
var enumerations = []struct {
	field, kind string
	values      []string
}{
	{"WareHouse", "PickTicketWareHouse", warehouses},
	{"PaymentTerms", "PickTicketPaymentTerms", paymentTerms},
	{"BillingOption", "PickTicketBillingOption", billingOptions},
}

// ticketFields are the request's other simple elements (section 7.1).
var ticketFields = []string{
	"PickTicketNumber", "OrderDate", "StartDate", "CancelDate", "ShipDate", "CODAmount", "CertifiedFunds",
	"DepartmentDescription", "Store", "ShipVia", "ShipViaAccountNumber", "DVPercentage", "ShipService", "SpecialInstructions",
	"CustomerPONumber", "AuthorizationNumber", "OrderNumber", "TakenBy", "DISTRIBUTIONCENTER", "DivisionCode",
	"DivisionDescription", "Department", "TRADINGPARTNER", "UseAccountUPS", "VendorNumber", "BillToCode", "ShipToCode",
	"MarkForCode", "PriorityCode", "OrderType", "GiftMessage", "VatNumber", "DutiesPayer",
}

// addressFields are an address, in the WSDL's order.
var addressFields = []string{
	"FirstName", "LastName", "CompanyName", "Address1", "Address2", "City", "State", "Zip", "Country", "Non_US_Region", "Phone", "Fax", "Email",
}

// addTicket is PickTicketAdd: it reports all that it finds wrong, or saves the
// ticket into the staging area (section 7.4).
func addTicket(c *call) (answer, *fault) {
	t, f := c.readTicket()
	if f != nil {
		return answer{}, f
	}
	b := c.begin()
	defer c.mu.Unlock()
	if wrong := c.refusals(b, t); len(wrong) > 0 {
		return answer{notes: wrong}, nil
	}
	t.N = int64(len(b.tickets)) + 1
	c.commit(b, &change{Tickets: []*ticket{t}})
	c.stats.TicketsAccepted++
	c.settleTicket(b, t, c.now)
	return saved, nil
}

var saved = notes(0, "Success", "Data saved successfully")

// readTicket takes the request apart as the service's serialiser does: a value of
// the wrong type is a fault.
func (c *call) readTicket() (*ticket, *fault) {
	t := &ticket{Accepted: c.now, Updated: c.now, Fields: map[string]string{}}
	in := c.args.kid(ticketSpace, "PickTicket")
	if in == nil {
		in = &element{}
	}
	for _, e := range enumerations {
		v, f := enumerated(in, ticketSpace, e.field, e.kind, e.values)
		if f != nil {
			return nil, f
		}
		t.Fields[e.field] = v
	}
	for _, name := range ticketFields {
		if v := in.value(ticketSpace, name); v != "" {
			t.Fields[name] = v
		}
	}
	t.Number = t.Fields["PickTicketNumber"]
	t.BillTo, t.ShipTo, t.MarkFor = readAddress(in, "BillToAddress"), readAddress(in, "ShipToAddress"), readAddress(in, "MarkForAddress")
	for i := range in.kids {
		if k := &in.kids[i]; k.name.Local == "LineItem" && k.name.Space == ticketSpace {
			l, f := readLine(k)
			if f != nil {
				return nil, f
			}
			t.Lines = append(t.Lines, l)
		}
	}
	return t, nil
}

// enumerated reads a value of a list; missing, it is silently the first (section 2.5).
func enumerated(in *element, space, name, kind string, values []string) (string, *fault) {
	k := in.kid(space, name)
	if k == nil {
		return values[0], nil
	}
	if v := string(k.text); slices.Contains(values, v) {
		return v, nil
	}
	return "", notInEnumeration(string(k.text), kind)
}

func notInEnumeration(value, kind string) *fault {
	return unreadable("There is an error in XML document (1, 1). ---> Instance validation error: '%s' is not a valid value for %s.", value, kind)
}

func readAddress(in *element, name string) map[string]string {
	k := in.kid(ticketSpace, name)
	if k == nil {
		return nil
	}
	a := map[string]string{}
	for _, f := range addressFields {
		if v := k.value(addressSpace, f); v != "" {
			a[f] = v
		}
	}
	return a
}

func readLine(k *element) (line, *fault) {
	quantity, f := readNumber(k.kid(detailSpace, "Quantity"))
	if f != nil {
		return line{}, f
	}
	price, f := readNumber(k.kid(detailSpace, "UnitPrice"))
	if f != nil {
		return line{}, f
	}
	l := line{UPC: k.value(detailSpace, "UPC"), UnitPrice: price, Season: k.value(detailSpace, "Season"), Comments: k.value(detailSpace, "Comments")}
	if quantity == math.Trunc(quantity) && quantity > 0 && quantity <= math.MaxInt32 {
		l.Quantity = int64(quantity) // else it stays 0, which is refused
	}
	return l, nil
}

// readNumber reads a double or decimal; a missing one is silently 0 (section 2.5).
func readNumber(e *element) (float64, *fault) {
	if e == nil {
		return 0, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(string(e.text)), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, notANumber()
	}
	return v, nil
}

func notANumber() *fault {
	return unreadable("There is an error in XML document (1, 1). ---> Input string was not in a correct format.")
}

// refusals lists all that is wrong with a ticket (section 12.3).
func (c *call) refusals(b *book, t *ticket) []note {
	var out []note
	wrong := func(code int, severity, format string, args ...any) {
		out = append(out, note{code, severity, fmt.Sprintf(format, args...)})
	}
	limit := c.behaviour.MaxNumberLength
	if t.Number == "" || (limit > 0 && len(t.Number) > limit) {
		wrong(12, "DataNotValid", "PickTicket/PickTicketNumber is not valid")
	}
	services, known := c.services[strings.ToLower(t.Fields["ShipVia"])]
	if !known {
		wrong(56, "ShipViaError", "PickTicket/ShipVia is not valid")
	}
	if !services[strings.ToLower(t.Fields["ShipService"])] {
		wrong(61, "ShipServiceError", "PickTicket/ShipService is not valid")
	}
	if b.building(t.warehouse()) < 0 {
		wrong(12, "DataNotValid", "PickTicket/WareHouse is not valid")
	}
	if inUSA(t.ShipTo["Country"]) && t.ShipTo["State"] == "" {
		wrong(10, "StateError", "State for ShipToAddress is required for USA")
	}
	if len(t.Lines) == 0 {
		wrong(12, "DataNotValid", "PickTicket/LineItem is not valid")
	}
	for i, l := range t.Lines {
		if !c.behaviour.UnknownUPCLater && b.live(l.UPC) == nil {
			wrong(33, "UpcCodeError", "PickTicket/LineItem/UPC[item %d] is not valid", i+1)
		}
		if l.Quantity <= 0 {
			wrong(32, "DataNotValid", "PickTicket/LineItem/Quantity[item %d] is not valid", i+1)
		}
	}
	if c.taken(b.find(t.Number)) {
		wrong(45, "PickTicketError", "PickTicket already exists")
	}
	return out
}

// taken says whether a ticket keeps its number from being used again. One whose
// import failed does not: it is nowhere but in the staging area.
func (c *call) taken(t *ticket) bool {
	switch {
	case t == nil || c.behaviour.AcceptDuplicates || t.Failed != "":
		return false
	case t.Status == StatusCancelled:
		return !c.behaviour.ReuseCancelled
	}
	return true
}

// inUSA knows the three ways in which clients write it (section 7.1).
func inUSA(country string) bool {
	return slices.Contains([]string{"US", "USA", "UNITED STATES"}, strings.ToUpper(country))
}

// findTicket is the ticket of a number, its timed moves made, or nil. The caller
// holds the mutex.
func (c *call) findTicket(b *book, number string) *ticket {
	t := b.find(number)
	if t == nil {
		return nil
	}
	return c.settleTicket(b, t, c.now)
}

// ticketAddStatus is GetPickTicketAddStatus. Its values are unknown; they are
// those of the product operation, in the payload or as notifications (section 7.6).
func ticketAddStatus(c *call) (answer, *fault) {
	b := c.begin()
	number := c.arg("pickTicketNumber")
	t := c.findTicket(b, number)
	c.mu.Unlock()
	if t == nil || (t.Imported.IsZero() && t.Failed == "" && c.behaviour.StagedUnknown) {
		return notes(45, "PickTicketError", "PickTicket does not exist"), nil
	}
	n := note{0, "Success", "Data imported successfully"}
	switch {
	case t.Failed != "":
		n = note{1, "Error", "Failed: " + t.Failed}
	case t.Imported.IsZero():
		n = note{87, "PendingImport", "Pending import"}
	}
	var a answer
	if form := c.behaviour.AddStatus; form == AddStatusNotifications || form == AddStatusBoth {
		a.notes = []note{n}
	}
	if c.behaviour.AddStatus == AddStatusNotifications {
		return a, nil
	}
	a.payload = func(w *writer) {
		w.start(methods, "PickTicketStatus")
		w.leaf(methods, "PickTicketNumber", number)
		w.leaf(methods, "StatusCode", itoa(int64(n.code)))
		w.leaf(methods, "Status", n.severity)
		w.leaf(methods, "StatusDetails", n.message)
		w.end()
	}
	return a, nil
}

// cancelTicket is CancelPickTicket (section 8).
func cancelTicket(c *call) (answer, *fault) {
	b := c.begin()
	defer c.mu.Unlock()
	t := c.findTicket(b, c.arg("PickTicketId"))
	done := notes(0, "Success", "PickTicket cancelled")
	switch {
	case t == nil, t.Failed != "", t.Imported.IsZero() && c.behaviour.StagedCancel45:
		return notes(45, "PickTicketError", "PickTicket does not exist"), nil
	case c.behaviour.CancelIgnored, t.Status == StatusCancelled && c.behaviour.CancelTwice:
		return done, nil
	case !t.Imported.IsZero() && !c.behaviour.cancellable(t.Status):
		return notes(45, "PickTicketError", "PickTicket can not be cancelled"), nil
	}
	c.cancel(b, t, c.now, true)
	return done, nil
}

// shownState is a ticket's state in words, staged ones too.
func (t *ticket) shownState() string {
	switch {
	case t.Failed != "":
		return StateFailed
	case t.Imported.IsZero():
		return StateStaged
	}
	return t.Status
}

// day is a date as tickets show it (section 11); "" for no time.
func (s *Simulator) day(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.In(s.eastern).Format("01/02/2006")
}
