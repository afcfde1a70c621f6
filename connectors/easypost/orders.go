package easypost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	maxDescription = 64        // ASCII characters (wire/easypost-fulfillment.md section 6.1)
	maxUnits       = 1_000_000 // of one item; more is a mistake, not an order
	markPrefix     = "relay:"  // what a token follows in a description
)

// The body of section 6.
type orderBody struct {
	Service     string          `json:"service"`
	Description string          `json:"description"`
	Destination destinationBody `json:"destination"`
	LineItems   []lineBody      `json:"line_items"`
}

type destinationBody struct {
	Name        string `json:"name,omitempty"`
	Company     string `json:"company,omitempty"`
	Street1     string `json:"street1"`
	Street2     string `json:"street2,omitempty"`
	City        string `json:"city"`
	State       string `json:"state,omitempty"`
	Zip         string `json:"zip,omitempty"`
	Country     string `json:"country"`
	Phone       string `json:"phone,omitempty"`
	Email       string `json:"email,omitempty"`
	Residential *bool  `json:"residential,omitempty"`
}

type lineBody struct {
	Product productBody `json:"product"`
	Units   int64       `json:"units"`
}

type productBody struct {
	Barcode string `json:"barcode"`
}

// PrepareOrder renders the body of section 6. The same order always gives the
// same bytes.
func (c *connection) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	refuse := func(reason relay.HoldReason, fields ...relay.Problem) (connectors.Prepared, error) {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Op: "prepare order", Reason: reason, Fields: fields}
	}
	if !tokenForm.MatchString(string(o.Token)) {
		return refuse(relay.HoldBadOrder, relay.Problem{Field: "token", Message: "want a token of 1 to 40 letters and digits"})
	}
	lines, reason, problems := lineBodies(o.Items)
	if len(problems) > 0 {
		return refuse(reason, problems...)
	}
	address, problems := c.limits.Fit(o.ShipTo)
	to := destination(address)
	if problems := append(addressProblems(to), problems...); len(problems) > 0 {
		return refuse(relay.HoldBadAddress, problems...)
	}
	service := strings.TrimSpace(string(o.Service))
	if service == "" {
		service = c.service
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(orderBody{
		Service:     strings.ToLower(service),
		Description: description(o.Token, o.Number),
		Destination: to,
		LineItems:   lines,
	})
	if err != nil {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Op: "prepare order", Reason: relay.HoldBadOrder, Err: err}
	}
	return connectors.Prepared{Token: o.Token, Body: bytes.TrimRight(b.Bytes(), "\n")}, nil
}

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9]{1,40}$`)

// mark is what makes an order recognisable as the submission with that token.
func mark(t relay.Token) string { return markPrefix + string(t) }

// description is the mark and the order's number, in printable ASCII.
func description(t relay.Token, number string) string {
	var b strings.Builder
	b.WriteString(mark(t))
	b.WriteByte(' ')
	for _, r := range strings.Join(strings.Fields(number), " ") {
		if r < ' ' || r > '~' {
			r = '?'
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(exchange.Clip(b.String(), maxDescription))
}

// lineBodies merges the items per barcode. A barcode loses its outer blanks and
// nothing else (section 5).
func lineBodies(items []relay.Item) ([]lineBody, relay.HoldReason, []relay.Problem) {
	if len(items) == 0 {
		return nil, relay.HoldBadOrder, []relay.Problem{{Field: "items", Message: "the order has nothing to ship"}}
	}
	var lines []lineBody
	var unknown, bad []relay.Problem
	at := make(map[string]int, len(items))
	for i, it := range items {
		code := strings.TrimSpace(string(it.Code))
		if code == "" || !utf8.ValidString(code) {
			unknown = append(unknown, relay.Problem{Field: fmt.Sprintf("items[%d].code", i), Message: "want an EasyPost barcode"})
			continue
		}
		if it.Units < 1 || it.Units > maxUnits {
			bad = append(bad, relay.Problem{Field: fmt.Sprintf("items[%d].units", i), Value: code, Message: fmt.Sprintf("want 1 to %d units", maxUnits)})
			continue
		}
		n, ok := at[code]
		if !ok {
			n = len(lines)
			at[code] = n
			lines = append(lines, lineBody{Product: productBody{Barcode: code}})
		}
		lines[n].Units += it.Units
	}
	if len(bad) > 0 {
		return nil, relay.HoldBadOrder, append(bad, unknown...)
	}
	return lines, relay.HoldUnknownItem, unknown
}

func destination(a relay.Address) destinationBody {
	tidy := func(s string) string { return strings.TrimSpace(strings.ToValidUTF8(s, "?")) }
	country := strings.ToUpper(tidy(a.Country))
	return destinationBody{
		Name: tidy(a.Name), Company: tidy(a.Company), Street1: tidy(a.Street1), Street2: tidy(a.Street2), City: tidy(a.City),
		State: tidy(a.State), Zip: tidy(a.Zip), Country: country,
		Phone: tidy(a.Phone), Email: tidy(a.Email), Residential: a.Residential,
	}
}

var countryForm = regexp.MustCompile(`^[A-Z]{2}$`)

// addressProblems names what the vendor needs and the address lacks.
func addressProblems(d destinationBody) []relay.Problem {
	var out []relay.Problem
	need := func(value, field, message string) {
		if value == "" {
			out = append(out, relay.Problem{Field: "ship_to." + field, Message: message})
		}
	}
	need(d.Name+d.Company, "name", "want a name or a company")
	need(d.Street1, "street1", "want a street")
	need(d.City, "city", "want a city")
	if d.Country == "US" || d.Country == "CA" {
		need(d.State, "state", "want the two-letter code of the state or province")
		need(d.Zip, "zip", "want a postal code")
	}
	if !countryForm.MatchString(d.Country) {
		out = append(out, relay.Problem{Field: "ship_to.country", Message: "want a country code of two letters, such as US"})
	}
	return out
}

// SubmitOrder posts the order once.
func (c *connection) SubmitOrder(ctx context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	const op = "submit order"
	a, err := c.client.send(ctx, op, http.MethodPost, "/orders", nil, p.Body)
	if err != nil {
		return connectors.Accepted{}, err
	}
	if !a.OK() {
		return connectors.Accepted{}, c.tokens.orderRefusal(op, a, barcodes(p.Body))
	}
	var o orderJSON
	if a.Cut != nil || decodeOne(a.Body, "order", &o) != nil || !idForm.MatchString(string(o.ID)) {
		return connectors.Accepted{}, unreadable(op, relay.Unknown, a)
	}
	if err := c.wrongMode(op, o.Mode); err != nil {
		// It was taken, though by the wrong data set: a resend would not mend that.
		var e *relay.Error
		if errors.As(err, &e) {
			e.Kind, e.Status = relay.Unknown, a.Status
			e.Err = fmt.Errorf("the order was taken, but %w", e.Err)
		}
		return connectors.Accepted{}, err
	}
	return connectors.Accepted{ID: relay.WarehouseOrderID(o.ID), Status: a.Status}, nil
}

// idForm is what may stand in the path of a request without changing its meaning.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_:.-]{0,127}$`)

// barcodes lists what a prepared body orders, line by line.
func barcodes(body []byte) []string {
	var o orderBody
	if json.Unmarshal(body, &o) != nil {
		return nil
	}
	var out []string
	for _, l := range o.LineItems {
		out = append(out, l.Product.Barcode)
	}
	return out
}

// readOrder reads one order. NotFound means that the vendor answered 404 or 410.
func (c *connection) readOrder(ctx context.Context, op string, id relay.WarehouseOrderID) (orderJSON, error) {
	if err := checkID(op, id); err != nil {
		return orderJSON{}, err
	}
	a, err := c.client.read(ctx, op, "/orders/"+string(id), nil)
	if err != nil {
		return orderJSON{}, err
	}
	var o orderJSON
	if decodeOne(a.Body, "order", &o) != nil || string(o.ID) != string(id) {
		return orderJSON{}, unreadable(op, relay.Unavailable, a)
	}
	return o, c.wrongMode(op, o.modes()...)
}

func checkID(op string, id relay.WarehouseOrderID) error {
	if !idForm.MatchString(string(id)) {
		return &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("the warehouse order id is none of EasyPost's")}
	}
	return nil
}

// modes lists the modes that an order and what is in it name.
func (o orderJSON) modes() []text {
	modes := []text{o.Mode}
	for _, p := range o.picks() {
		modes = append(modes, p.Mode)
		if p.Tracker != nil {
			modes = append(modes, p.Tracker.Mode)
		}
	}
	for _, t := range o.trackers() {
		modes = append(modes, t.Mode)
	}
	return modes
}

func (o orderJSON) picks() []pickJSON {
	if o.Picks == nil {
		return nil
	}
	return *o.Picks
}

func (o orderJSON) trackers() []trackerJSON {
	if o.Trackers == nil {
		return nil
	}
	return *o.Trackers
}

// CancelOrder deletes the order and, whatever the answer, reads what became of
// it (section 8.1).
func (c *connection) CancelOrder(ctx context.Context, id relay.WarehouseOrderID) (connectors.CancelAnswer, error) {
	const op = "cancel order"
	if err := checkID(op, id); err != nil {
		return connectors.CancelAnswer{}, err
	}
	deleted, err := c.client.send(ctx, op, http.MethodDelete, "/orders/"+string(id), nil, nil)
	if err != nil && !errors.Is(err, relay.Unknown) {
		return connectors.CancelAnswer{}, err
	}
	var said string
	switch kind, ok := passing(deleted.Status); {
	case err != nil:
		said = "no answer to the cancel"
	case ok:
		return connectors.CancelAnswer{}, parseRefusal(deleted).err(op, kind)
	case deleted.OK():
		said = "cancel taken"
	default:
		said = fmt.Sprintf("cancel answered %d", deleted.Status)
		if code := parseRefusal(deleted).code; code != "" {
			said += " " + code
		}
	}
	o, err := c.readOrder(ctx, op, id)
	if errors.Is(err, relay.NotFound) {
		if !deleted.OK() {
			if err := c.answers(ctx, op); err != nil {
				return connectors.CancelAnswer{}, inDoubt(err, deleted)
			}
		}
		return connectors.CancelAnswer{Result: connectors.CancelDone, Evidence: said + ", the order is gone"}, nil
	}
	if err != nil {
		return connectors.CancelAnswer{}, inDoubt(err, deleted)
	}
	u := c.update(o)
	status := plainStatus(u.Status)
	switch {
	case len(u.Packages) > 0:
		return connectors.CancelAnswer{Result: connectors.CancelTooLate, Evidence: "tracking " + wordOr(u.Packages[0].TrackingNumber, "present")}, nil
	case u.Progress == connectors.Cancelled:
		return connectors.CancelAnswer{Result: connectors.CancelDone, Evidence: said + ", status " + status}, nil
	}
	// Promise 4: as long as the order can be seen and is not cancelled it may ship,
	// also when the cancel was answered as if there were no such order.
	return connectors.CancelAnswer{Result: connectors.CancelPending, Evidence: said + ", status " + status}, nil
}

// inDoubt is the error of a look that failed after a write: unless that was
// refused, it may have happened, and the look's own kind would say that nothing did.
func inDoubt(err error, write exchange.Answer) error {
	if undecided(write.Status) {
		return exchange.WithKind(err, relay.Unknown)
	}
	return err
}
