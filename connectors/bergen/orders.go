package bergen

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const maxUnits = 1_000_000 // of one item; more is a mistake, not an order

// ticketBody is the PickTicket of section 7.1: of its elements those that we
// fill, in the order of the WSDL.
type ticketBody struct {
	XMLName       xml.Name    `xml:"http://rex11.com/swpublicapi/PickTicket.xsd PickTicket"`
	Number        string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd PickTicketNumber"`
	Warehouse     string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd WareHouse"`
	OrderDate     string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd OrderDate,omitempty"`
	PaymentTerms  string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd PaymentTerms"`
	ShipVia       string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd ShipVia"`
	ViaAccount    string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd ShipViaAccountNumber,omitempty"`
	BillingOption string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd BillingOption"`
	ShipService   string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd ShipService"`
	PONumber      string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd CustomerPONumber"`
	OrderNumber   string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd OrderNumber"`
	UseAccountUPS string      `xml:"http://rex11.com/swpublicapi/PickTicket.xsd UseAccountUPS"` // a text here, a boolean in answers
	BillTo        addressBody `xml:"http://rex11.com/swpublicapi/PickTicket.xsd BillToAddress"`
	ShipTo        addressBody `xml:"http://rex11.com/swpublicapi/PickTicket.xsd ShipToAddress"`
	Lines         []lineBody  `xml:"http://rex11.com/swpublicapi/PickTicket.xsd LineItem"`
}

type addressBody struct {
	FirstName string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd FirstName,omitempty"`
	LastName  string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd LastName,omitempty"`
	Company   string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd CompanyName"`
	Address1  string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Address1"`
	Address2  string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Address2,omitempty"`
	City      string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd City"`
	State     string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd State,omitempty"`
	Zip       string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Zip,omitempty"`
	Country   string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Country"`
	Region    string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Non_US_Region,omitempty"`
	Phone     string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Phone,omitempty"`
	Email     string `xml:"http://rex11.com/swpublicapi/CustomerOrder.xsd Email,omitempty"`
}

// lineBody names its product by the UPC alone: there is no SKU, and texts come
// from the service's own master (section 7.1).
type lineBody struct {
	UPC      string `xml:"http://rex11.com/swpublicapi/PickTicketDetails.xsd UPC"`
	Quantity string `xml:"http://rex11.com/swpublicapi/PickTicketDetails.xsd Quantity"` // a double: plain decimal
}

// PrepareOrder renders the PickTicket of section 7. The same order always gives
// the same bytes; the token of authentication is added when it is sent.
func (c *connection) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	refuse := func(reason relay.HoldReason, fields ...relay.Problem) (connectors.Prepared, error) {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Op: "prepare order", Reason: reason, Fields: fields}
	}
	if _, err := relay.ParseReference(string(o.Reference)); err != nil {
		return refuse(relay.HoldBadOrder, relay.Problem{Field: "reference", Message: "want 1 to 20 characters of A-Z, 0-9 and inner -"})
	}
	lines, reason, problems := lineBodies(o.Items)
	if len(problems) > 0 {
		return refuse(reason, problems...)
	}
	to, problems := c.address(o.ShipTo)
	if len(problems) > 0 {
		return refuse(relay.HoldBadAddress, problems...)
	}
	via, service := c.shipBy(o.Service)
	if via == "" || service == "" {
		return refuse(relay.HoldUnmappedShipMethod, relay.Problem{Field: "service", Value: exchange.Clip(tidy(string(o.Service)), 100),
			Message: c.wantedShipBy(o.Service)})
	}
	number := c.number(o)
	ticket := ticketBody{
		Number: number, OrderNumber: number, PONumber: tidy(o.Number),
		Warehouse: c.ticket.warehouse, PaymentTerms: c.ticket.paymentTerms, BillingOption: c.ticket.billingOption,
		ShipVia: via, ShipService: service, ViaAccount: c.ticket.viaAccount, UseAccountUPS: c.ticket.useAccountUPS,
		BillTo: to, ShipTo: to, Lines: lines,
	}
	if !o.PlacedAt.IsZero() {
		ticket.OrderDate = o.PlacedAt.In(c.eastern).Format(dateForm)
	}
	body, err := xml.Marshal(ticket)
	if err != nil {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Op: "prepare order", Reason: relay.HoldBadOrder, Err: err}
	}
	return connectors.Prepared{Token: o.Token, Body: body}, nil
}

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// number is the ticket's number: the reference, and behind it "--r1" for the
// first renewal and so on, which no reference holds. What would be longer than
// the setting begins with a hash of the reference instead: 5 bits a character,
// so 70 bits of 14 characters, and 50 beside "--r1".
func (c *connection) number(o connectors.WarehouseOrder) string {
	base, suffix := string(o.Reference), ""
	if o.Renewed > 0 {
		suffix = "--r" + strconv.Itoa(o.Renewed)
	}
	if room := c.numberLength - len(suffix); len(base) > room {
		sum := sha256.Sum256([]byte(base))
		base = crockford.EncodeToString(sum[:])[:room]
	}
	return base + suffix
}

var numberForm = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

func checkID(op string, id relay.WarehouseOrderID) error {
	if !numberForm.MatchString(string(id)) {
		return &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("the warehouse order id is no ticket number of ours")}
	}
	return nil
}

// shipBy is ShipVia and ShipService: "UPS/UPS GROUND - Commercial" taken apart at
// its first stroke, or a service of the connection's own carrier.
func (c *connection) shipBy(s relay.Service) (via, service string) {
	text := tidy(string(s))
	if text == "" {
		return c.ticket.via, c.ticket.service
	}
	if v, rest, ok := strings.Cut(text, "/"); ok {
		return strings.TrimSpace(v), strings.TrimSpace(rest)
	}
	return c.ticket.via, text
}

const exampleService = "UPS/UPS GROUND - Commercial"

// wantedShipBy says what would help a service from which shipBy makes no carrier
// or no service.
func (c *connection) wantedShipBy(s relay.Service) string {
	const want = "want carrier and service in the ship method, such as " + exampleService
	switch text := tidy(string(s)); {
	case strings.Contains(text, "/"): // half of it is empty, and the settings don't go with the other half
		return want
	case text != "":
		return want + ", or the carrier as settings.ship_via"
	}
	return want + ", or " + strings.Join(c.ticket.unset(), " and ")
}

// lineBodies merges the items per UPC. A UPC loses its outer blanks and nothing else.
func lineBodies(items []relay.Item) ([]lineBody, relay.HoldReason, []relay.Problem) {
	if len(items) == 0 {
		return nil, relay.HoldBadOrder, []relay.Problem{{Field: "items", Message: "the order has nothing to ship"}}
	}
	var codes []string
	var unknown, bad []relay.Problem
	units := make(map[string]int64, len(items))
	for i, it := range items {
		code := strings.TrimSpace(string(it.Code))
		if code == "" || !utf8.ValidString(code) || tidy(code) != code {
			unknown = append(unknown, relay.Problem{Field: fmt.Sprintf("items[%d].code", i), Message: "want a UPC as Bergen keeps it"})
			continue
		}
		if it.Units < 1 || it.Units > maxUnits {
			bad = append(bad, relay.Problem{Field: fmt.Sprintf("items[%d].units", i), Value: code, Message: fmt.Sprintf("want 1 to %d units", maxUnits)})
			continue
		}
		if units[code] == 0 {
			codes = append(codes, code)
		}
		units[code] += it.Units
	}
	if len(bad) > 0 {
		return nil, relay.HoldBadOrder, append(bad, unknown...)
	}
	var lines []lineBody
	for _, code := range codes {
		lines = append(lines, lineBody{UPC: code, Quantity: strconv.FormatInt(units[code], 10)})
	}
	return lines, relay.HoldUnknownItem, unknown
}

// SubmitOrder adds the ticket to the service's staging area, once.
//
// A yes is a notification of success. Nothing at all is not: a token that is
// spent may be answered so, and then nothing was saved.
func (c *connection) SubmitOrder(ctx context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	const op = "submit order"
	var sent ticketBody
	if err := xml.Unmarshal(p.Body, &sent); err != nil || !numberForm.MatchString(sent.Number) {
		return connectors.Accepted{}, &relay.Error{Kind: relay.Invalid, Op: op, Reason: relay.HoldBadOrder, Err: errors.New("the body is none of this connector's")}
	}
	got, status, err := call[writeAnswer](ctx, c.client, op, addTicket, bytes.Clone(p.Body))
	if err != nil {
		return connectors.Accepted{}, err
	}
	failures := got.failures()
	switch {
	case len(got.Notices) > 0 && len(failures) == 0:
		return connectors.Accepted{ID: relay.WarehouseOrderID(sent.Number), Status: status, AnswerWithin: c.answerWithin}, nil
	case got.blank():
		return connectors.Accepted{}, &relay.Error{Kind: relay.Unknown, Op: op, Status: status, Err: errors.New("the answer says neither yes nor no")}
	case len(failures) < len(got.Notices): // yes and no in one
		return connectors.Accepted{}, noticeError(op, relay.Unknown, status, failures)
	}
	for _, n := range failures {
		if duplicateWords.MatchString(n.words()) {
			return connectors.Accepted{}, noticeError(op, relay.Conflict, status, []notice{n})
		}
	}
	var codes []string
	for _, l := range sent.Lines {
		codes = append(codes, l.UPC)
	}
	why := judge(failures, codes)
	e := noticeError(op, why.kind, status, failures)
	e.Reason, e.Fields = why.reason, why.fields
	return connectors.Accepted{}, e
}
