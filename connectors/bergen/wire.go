package bergen

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// The service's SOAP 1.1 (wire/bergen-rex11.md sections 2 to 5). Requests are
// written with full namespaces and in the order of the WSDL; answers are read by
// local names only, and a missing element is the same as an empty one.

const methods = "http://rex11.com/webmethods/"

// operation is one of the service's, with its parameters in order. The case of
// their names differs from operation to operation, and an element in the wrong
// case is ignored without an error (section 4).
type operation struct {
	name   string
	token  string // what the token's element is called
	params []string
	write  bool
}

func (o operation) action() string { return `"` + methods + o.name + `"` }

const (
	upperToken = "AuthenticationString"
	lowerToken = "authenticationString"
)

var (
	getToken        = operation{name: "AuthenticationTokenGet", params: []string{"WebAddress", "UserName", "Password"}}
	addTicket       = operation{name: "PickTicketAdd", token: upperToken, params: []string{"PickTicket"}, write: true}
	getAddStatus    = operation{name: "GetPickTicketAddStatus", token: lowerToken, params: []string{"pickTicketNumber"}}
	cancelTicket    = operation{name: "CancelPickTicket", token: upperToken, params: []string{"PickTicketId"}, write: true}
	getTicket       = operation{name: "GetPickTicketObjectByBarCode", token: upperToken, params: []string{"ptbarcode"}}
	getBoxes        = operation{name: "GetPickTicketObjectItemsInBoxes", token: upperToken, params: []string{"ptbarcode"}}
	getBoxesV2      = operation{name: "GetPickTicketObjectItemsInBoxesV2", token: lowerToken, params: []string{"ptbarcode"}}
	listByShipDate  = operation{name: "GetPickTicketStatusesByShipDate", token: upperToken, params: []string{"StartDate", "EndDate"}}
	listByDate      = operation{name: "GetPickTicketStatusesByDate", token: upperToken, params: []string{"StartDate", "EndDate"}}
	getBatch        = operation{name: "GetInventoryByBatch", token: lowerToken, params: []string{"batchNumber"}}
	getChangesBatch = operation{name: "GetInventoryFromDateTimeByBatch", token: lowerToken, params: []string{"fromDateTime", "batchNumber"}}
	getByUPCs       = operation{name: "GetInventoryByUPCs", token: upperToken, params: []string{"UPCs"}}
)

// request writes the envelope. An argument is a text, a list of texts, or XML
// that stands for its whole element.
func (o operation) request(token string, args ...any) []byte {
	var b bytes.Buffer
	element := func(name, text string) {
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(&b, []byte(text)) // a buffer takes all
		b.WriteString("</" + name + ">")
	}
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?>` +
		`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><` + o.name + ` xmlns="` + methods + `">`)
	if o.token != "" {
		element(o.token, token)
	}
	for i, name := range o.params {
		switch arg := args[i].(type) {
		case []byte:
			b.Write(arg)
		case []string:
			b.WriteString("<" + name + ">")
			for _, text := range arg {
				element("string", text)
			}
			b.WriteString("</" + name + ">")
		default:
			element(name, fmt.Sprint(arg))
		}
	}
	b.WriteString(`</` + o.name + `></soap:Body></soap:Envelope>`)
	return b.Bytes()
}

// faultXML is a soap:Fault (section 2.4). As an error it prints no vendor words.
type faultXML struct {
	Code   string `xml:"faultcode"`
	String string `xml:"faultstring"`
}

func (f *faultXML) Error() string { return "the service answered with a fault" }

// client reports whether the request is to blame, and so was not accepted.
func (f *faultXML) client() bool {
	_, code, _ := cutLast(f.Code, ":")
	switch strings.TrimSpace(code) {
	case "Client", "Sender", "VersionMismatch", "MustUnderstand":
		return true
	}
	return false
}

// code is the fault's code in our words.
func (f *faultXML) code() string {
	if f.client() {
		return "soap:Client"
	}
	return "soap:Server"
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

var (
	errUnreadable = errors.New("the answer is no SOAP that could be read")
	errNoResult   = errors.New("the answer has no result")
)

// decode reads the operation's result. The error is a *faultXML, errNoResult, or
// errUnreadable: also when only the end of the document is damaged.
func decode(body []byte, o operation, into any) error {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.Strict = true
	for _, name := range []string{"Envelope", "Body"} {
		if _, err := inner(d, name); err != nil {
			return errUnreadable
		}
	}
	start, err := inner(d, o.name+"Response", "Fault")
	if err != nil {
		return errUnreadable
	}
	var found error
	if start.Name.Local == "Fault" {
		f := new(faultXML)
		if d.DecodeElement(f, &start) != nil {
			return errUnreadable
		}
		found = f
	} else {
		switch start, err = inner(d, o.name+"Result"); {
		case errors.Is(err, errNoResult):
			found = err
		case err != nil, d.DecodeElement(into, &start) != nil:
			return errUnreadable
		}
	}
	for {
		switch _, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return found
		case err != nil:
			return errUnreadable
		}
	}
}

// inner steps into the next element that has one of the local names, over others
// beside it; errNoResult when the surrounding element ends first.
func inner(d *xml.Decoder, names ...string) (xml.StartElement, error) {
	for {
		t, err := d.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			for _, name := range names {
				if t.Name.Local == name {
					return t, nil
				}
			}
			if err := d.Skip(); err != nil {
				return xml.StartElement{}, err
			}
		case xml.EndElement:
			return xml.StartElement{}, errNoResult
		case xml.Directive: // a document type: the service sends none
			return xml.StartElement{}, errUnreadable
		}
	}
}

// notice is a Notification (section 5).
type notice struct {
	Code     string `xml:"ErrorCode"`
	Severity string `xml:"Severity"`
	Message  string `xml:"Message"`
}

// number is the code; ok is false where it is none.
func (n notice) number() (code int, ok bool) {
	if strings.TrimSpace(n.Code) == "" {
		return 0, true
	}
	code, err := strconv.Atoi(strings.TrimSpace(n.Code))
	return code, err == nil
}

// bad reports whether it tells of a failure. Pending import does not.
func (n notice) bad() bool {
	code, ok := n.number()
	return !ok || (code != 0 && code != codePending)
}

func (n notice) words() string { return collapse(n.Severity + " " + n.Message) }

// result is what every result but the token begins with.
type result struct {
	Notices []notice `xml:"Notifications>Notification"`
}

func (r result) notices() []notice { return r.Notices }

// failures are the notices that tell of a failure.
func (r result) failures() []notice {
	var out []notice
	for _, n := range r.Notices {
		if n.bad() {
			out = append(out, n)
		}
	}
	return out
}

// tokenAnswer is the result of AuthenticationTokenGet: a bare text.
type tokenAnswer struct {
	Text string `xml:",chardata"`
}

// writeAnswer is the result of PickTicketAdd and CancelPickTicket.
type writeAnswer struct{ result }

func (a writeAnswer) blank() bool { return len(a.Notices) == 0 }

// statusAnswer is the result of GetPickTicketAddStatus (section 7.6).
type statusAnswer struct {
	result
	Ticket *struct {
		Number  string `xml:"PickTicketNumber"`
		Code    string `xml:"StatusCode"`
		Status  string `xml:"Status"`
		Details string `xml:"StatusDetails"`
	} `xml:"PickTicketStatus"`
}

func (a statusAnswer) blank() bool { return len(a.Notices) == 0 && a.Ticket == nil }

// ticketAnswer is the result of the three operations that read a ticket
// (sections 9.2 and 9.3). They spell some names differently; this has them all.
type ticketAnswer struct {
	result
	Ticket *ticketXML `xml:"PickTicket"`
}

func (a ticketAnswer) blank() bool { return len(a.Notices) == 0 && a.Ticket == nil }

type ticketXML struct {
	Number         string       `xml:"PickTicketNumber"`
	ActualShipDate string       `xml:"ActualShipDate"`
	ShipVia        string       `xml:"ShipVia"`
	ShipService    string       `xml:"ShipService"`
	PONumber       string       `xml:"CustomerPONumber"`
	PONumberV2     string       `xml:"CustomerPoNumber"`
	OrderNumber    string       `xml:"OrderNumber"`
	Packages       []packageXML `xml:"PackageList"` // repeated, not wrapped
	Lines          []lineXML    `xml:"LineItems"`   // repeated, not wrapped
	Status         string       `xml:"ShipmentStatus"`
	MasterTracking string       `xml:"MasterTrackingNumber"`
	Tracking       string       `xml:"TrackingNumber"` // in no WSDL, seen in 2013 (section 9.4)
	ProNumber      string       `xml:"ProNumber"`
	BOLNumber      string       `xml:"BolNumber"`
}

type packageXML struct {
	Tracking string    `xml:"TrackingNumber"`
	Lines    []lineXML `xml:"LineItems"`
}

type lineXML struct {
	UPC      string `xml:"UPC"`
	Quantity string `xml:"Quantity"`
	Shipped  string `xml:"ShippedQuantity"`
}

// listAnswer is the result of the two lists of tickets (section 9.1).
type listAnswer struct {
	result
	List *struct {
		Rows []rowXML `xml:"ShipmentStatus"`
	} `xml:"PickTicketStatus"`
}

func (a listAnswer) blank() bool { return len(a.Notices) == 0 && a.List == nil }

type rowXML struct {
	Ticket   string   `xml:"TicketId"`
	Status   string   `xml:"TicketStatus"`
	Tracking []string `xml:"TrackingNumbers>string"`
}

// stockAnswer is the result of the stock operations (section 10.1). No Inventory
// at all is not the same as an empty one.
type stockAnswer struct {
	result
	Inventory *struct {
		Items []itemXML `xml:"item"`
	} `xml:"Inventory"`
	Batches string `xml:"TotalNumberOfBatches"`
}

func (a stockAnswer) blank() bool { return len(a.Notices) == 0 && a.Inventory == nil }

func (a stockAnswer) items() []itemXML {
	if a.Inventory == nil {
		return nil
	}
	return a.Inventory.Items
}

type itemXML struct {
	Warehouse string `xml:"Warehouse"`
	SKU       string `xml:"Sku"`
	Style     string `xml:"Style"`
	Color     string `xml:"Color"`
	Size      string `xml:"Size"`
	UPC       string `xml:"Upc"`
	Actual    string `xml:"ActualQuantity"`
	Pending   string `xml:"PendingQuantity"`
}

// collapse puts one blank for every run of white space and drops the outer ones.
func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }

// tidy makes a text fit for one line of XML: white space and control characters
// become blanks, and nothing is cut off.
func tidy(s string) string {
	return collapse(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\uFFFE' || r == '\uFFFF' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?")))
}
