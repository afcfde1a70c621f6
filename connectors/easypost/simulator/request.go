package simulator

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// orderRequest is the body of POST and PATCH /orders (section 6). Fields that are
// not here are neither kept nor echoed.
type orderRequest struct {
	Service         string           `json:"service,omitempty"`
	Description     *string          `json:"description,omitempty"`
	LatestDelivery  *string          `json:"latest_delivery,omitempty"`
	Destination     *destination     `json:"destination,omitempty"`
	LineItems       []lineRequest    `json:"line_items,omitempty"`
	ShipmentOptions *shipmentOptions `json:"shipment_options,omitempty"`
	Inserts         []insert         `json:"inserts,omitempty"`
}

type lineRequest struct {
	Product *productRef     `json:"product,omitempty"`
	Units   json.RawMessage `json:"units,omitempty"`
}

type productRef struct {
	ID      string `json:"id,omitempty"`
	Barcode string `json:"barcode,omitempty"`
}

type shipmentOptions struct {
	DeliveryConfirmation *string `json:"delivery_confirmation"`
	Insurance            bool    `json:"insurance"`
}

type insert struct {
	URL string `json:"url"`
	ACL string `json:"acl"`
}

// destination is an address as it is sent.
type destination struct {
	Name         string `json:"name,omitempty"`
	Company      string `json:"company,omitempty"`
	Street1      string `json:"street1,omitempty"`
	Street2      string `json:"street2,omitempty"`
	City         string `json:"city,omitempty"`
	State        string `json:"state,omitempty"`
	Zip          string `json:"zip,omitempty"`
	Country      string `json:"country,omitempty"`
	Phone        string `json:"phone,omitempty"`
	Email        string `json:"email,omitempty"`
	Residential  *bool  `json:"residential,omitempty"`
	StateTaxID   string `json:"state_tax_id,omitempty"`
	FederalTaxID string `json:"federal_tax_id,omitempty"`
}

func (r *orderRequest) description() string {
	if r.Description == nil {
		return ""
	}
	return *r.Description
}

// merged returns the request with a partial body laid over it: nested objects are
// merged, arrays replaced (section 8.1). newLines tells whether lines were sent.
func (r *orderRequest) merged(body []byte) (next orderRequest, newLines bool, err error) {
	next = *r
	next.LineItems, next.Inserts = nil, nil
	if r.Destination != nil {
		next.Destination = new(*r.Destination)
	}
	if r.ShipmentOptions != nil {
		next.ShipmentOptions = new(*r.ShipmentOptions)
	}
	next.Description, next.LatestDelivery = clonePtr(r.Description), clonePtr(r.LatestDelivery)
	if err := json.Unmarshal(body, &next); err != nil {
		return orderRequest{}, false, err
	}
	if newLines = next.LineItems != nil; !newLines {
		next.LineItems = r.LineItems
	}
	if next.Inserts == nil {
		next.Inserts = r.Inserts
	}
	return next, newLines, nil
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// check refuses what can be seen to be wrong without the books, in the order of
// the wire page's section 16: service, destination, lines.
func (r *orderRequest) check() *problem {
	switch strings.ToLower(r.Service) {
	case "standard", "expedited", "priority":
	case "":
		return required("service")
	default:
		return invalid("service", "unknown service")
	}
	if r.Destination == nil {
		return required("destination")
	}
	if bad := r.Destination.problems("destination."); len(bad) > 0 {
		return &problem{Status: 422, Code: "ADDRESS.INVALID", Message: "The destination is incomplete.", Fields: bad}
	}
	if len(r.LineItems) == 0 {
		return required("line_items")
	}
	return nil
}

// problems lists what is missing for a parcel to be sent.
func (d *destination) problems(prefix string) []fieldProblem {
	var bad []fieldProblem
	need := func(field, value string) {
		if strings.TrimSpace(value) == "" {
			bad = append(bad, fieldProblem{Field: prefix + field, Message: "is required"})
		}
	}
	need("name", cmp.Or(strings.TrimSpace(d.Name), d.Company))
	need("street1", d.Street1)
	need("city", d.City)
	if !isCountry(d.Country) {
		bad = append(bad, fieldProblem{Field: prefix + "country", Message: "must be a two-letter ISO code"})
	}
	if c := strings.ToUpper(d.Country); c == "US" || c == "CA" {
		need("state", d.State)
		need("zip", d.Zip)
	}
	return bad
}

func isCountry(s string) bool {
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	return len(s) == 2 && letter(s[0]) && letter(s[1])
}

// maxUnits bounds one line, so that sums stay far from overflow.
const maxUnits = 1_000_000_000

// resolve finds the products of the lines and reads their units.
func (r *orderRequest) resolve(b *book) ([]line, *problem) {
	lines := make([]line, len(r.LineItems))
	for i, l := range r.LineItems {
		field := "line_items." + strconv.Itoa(i)
		if l.Product == nil || (l.Product.ID == "" && l.Product.Barcode == "") {
			return nil, required(field + ".product")
		}
		p := b.findProduct(*l.Product)
		if p == nil {
			name := ".product.barcode"
			if l.Product.ID != "" {
				name = ".product.id"
			}
			return nil, &problem{Status: 422, Code: "PRODUCT.NOT_FOUND", Message: "No such product.",
				Fields: []fieldProblem{{Field: field + name, Message: "not found"}}}
		}
		units, bad := readUnits(l.Units, field+".units")
		if bad != nil {
			return nil, bad
		}
		lines[i] = line{p.ID, units}
	}
	return lines, nil
}

func readUnits(raw json.RawMessage, field string) (int64, *problem) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, required(field)
	}
	n, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || n != math.Trunc(n) || n < 1 || n > maxUnits {
		return 0, invalid(field, "must be a whole number of at least 1")
	}
	return int64(n), nil
}

// allocate promises stock for all lines or for none: from the first building that
// can send everything, else from as many as it takes. The lines that are short
// come back as a problem.
func allocate(b *book, lines []line) ([]reservation, *problem) {
	wanted := (&order{Lines: lines}).unshipped()
	for w := range b.warehouses {
		if rs, short := take(b, wanted, w, w+1); !short {
			return rs, nil
		}
	}
	rs, short := take(b, wanted, 0, len(b.warehouses))
	if short {
		return nil, shortage(b, lines)
	}
	return rs, nil
}

// take reserves from the warehouses [from, to).
func take(b *book, wanted []line, from, to int) (rs []reservation, short bool) {
	for _, l := range wanted {
		left := l.Units
		for w := from; w < to && left > 0; w++ {
			if n := min(left, b.available(l.ProductID, w)); n > 0 {
				rs = append(rs, reservation{l.ProductID, w, n})
				left -= n
			}
		}
		if left > 0 {
			return nil, true
		}
	}
	return rs, false
}

// shortage names each line at which its product has run out.
func shortage(b *book, lines []line) *problem {
	p := &problem{Status: 422, Code: "ORDER.INVENTORY.INSUFFICIENT", Message: "Not enough inventory to fulfil the order."}
	asked := map[string]int64{}
	for i, l := range lines {
		asked[l.ProductID] += l.Units
		var have int64
		for w := range b.warehouses {
			have += b.available(l.ProductID, w)
		}
		if asked[l.ProductID] > have {
			p.Fields = append(p.Fields, fieldProblem{
				Field:   "line_items." + strconv.Itoa(i) + ".units",
				Message: "only " + itoa(have) + " available",
			})
		}
	}
	return p
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
