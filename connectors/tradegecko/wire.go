package tradegecko

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"orderferry/relay"
)

// The vendor's JSON (wire/tradegecko.md sections 2.3 and 8). Only fields that are
// used are named, so that the others can't do harm. The scalar types below
// accept every form that was ever seen and never fail: one odd value must not
// stop a whole page; whoever needs the value finds out that it is unreadable.

// document is any answer: one object, or an array, and what came along with it.
type document struct {
	Account     *account     `json:"account"`
	User        *user        `json:"user"`
	Order       *order       `json:"order"`
	Fulfillment *fulfillment `json:"fulfillment"`
	Adjustment  *adjustment  `json:"stock_adjustment"`

	Orders           []order           `json:"orders"`
	OrderLines       []orderLine       `json:"order_line_items"`
	Addresses        []address         `json:"addresses"`
	Companies        []company         `json:"companies"`
	Contacts         []contact         `json:"contacts"`
	Variants         []variant         `json:"variants"`
	Locations        []location        `json:"locations"`
	Fulfillments     []fulfillment     `json:"fulfillments"`
	FulfillmentLines []fulfillmentLine `json:"fulfillment_line_items"`
	Adjustments      []adjustment      `json:"stock_adjustments"`
}

type account struct {
	ID                id   `json:"id"`
	Name              text `json:"name"`
	TimeZone          text `json:"time_zone"`
	PrimaryLocationID id   `json:"primary_location_id"`
}

type user struct {
	Permissions texts `json:"permissions"`
}

type location struct {
	ID         id   `json:"id"`
	Label      text `json:"label"`
	HoldsStock flag `json:"holds_stock"`
}

type order struct {
	ID                id     `json:"id"`
	CreatedAt         moment `json:"created_at"`
	UpdatedAt         moment `json:"updated_at"`
	IssuedAt          moment `json:"issued_at"`
	OrderNumber       text   `json:"order_number"`
	Status            text   `json:"status"`
	PaymentStatus     text   `json:"payment_status"`
	FulfillmentStatus text   `json:"fulfillment_status"`
	CompanyID         id     `json:"company_id"`
	ContactID         id     `json:"contact_id"`
	ShippingAddressID id     `json:"shipping_address_id"`
	BillingAddressID  id     `json:"billing_address_id"`
	StockLocationID   id     `json:"stock_location_id"`
	Tags              texts  `json:"tags"`
	Email             text   `json:"email"`
	Phone             text   `json:"phone_number"`
	LineIDs           ids    `json:"order_line_item_ids"`
	FulfillmentIDs    ids    `json:"fulfillment_ids"`
}

type orderLine struct {
	ID        id      `json:"id"`
	OrderID   id      `json:"order_id"`
	VariantID id      `json:"variant_id"`
	Quantity  decimal `json:"quantity"`
	Freeform  flag    `json:"freeform"`
	Shippable flag    `json:"shippable"`
	Label     text    `json:"label"`
	LineType  text    `json:"line_type"`
	Position  id      `json:"position"`
}

type address struct {
	ID          id   `json:"id"`
	FirstName   text `json:"first_name"`
	LastName    text `json:"last_name"`
	CompanyName text `json:"company_name"`
	Address1    text `json:"address1"`
	Address2    text `json:"address2"`
	Suburb      text `json:"suburb"`
	City        text `json:"city"`
	State       text `json:"state"`
	ZipCode     text `json:"zip_code"`
	Country     text `json:"country"`
	CountryCode text `json:"country_code"`
	Phone       text `json:"phone_number"`
	Email       text `json:"email"`
}

type company struct {
	ID   id   `json:"id"`
	Name text `json:"name"`
}

type contact struct {
	ID        id   `json:"id"`
	FirstName text `json:"first_name"`
	LastName  text `json:"last_name"`
}

type variant struct {
	ID                id              `json:"id"`
	SKU               text            `json:"sku"`
	UPC               text            `json:"upc"`
	SupplierCode      text            `json:"supplier_code"`
	Name              text            `json:"name"`
	ProductName       text            `json:"product_name"`
	Status            text            `json:"status"`
	ManageStock       flag            `json:"manage_stock"`
	Composite         flag            `json:"composite"`
	MovingAverageCost decimal         `json:"moving_average_cost"`
	LastCostPrice     decimal         `json:"last_cost_price"`
	BuyPrice          decimal         `json:"buy_price"`
	Locations         []variantAtSite `json:"locations"`
}

type variantAtSite struct {
	LocationID  id      `json:"location_id"`
	StockOnHand decimal `json:"stock_on_hand"`
}

type fulfillment struct {
	ID             id   `json:"id"`
	OrderID        id   `json:"order_id"`
	Status         text `json:"status"`
	TrackingNumber text `json:"tracking_number"`
	Notes          text `json:"notes"`
	LineIDs        ids  `json:"fulfillment_line_item_ids"`

	lines   []fulfillmentLine // joined from the sideloaded array
	partial bool              // some lines could not be read
}

type fulfillmentLine struct {
	ID            id      `json:"id"`
	FulfillmentID id      `json:"fulfillment_id"`
	OrderLineID   id      `json:"order_line_item_id"`
	Quantity      decimal `json:"quantity"`
}

type adjustment struct {
	ID    id   `json:"id"`
	Notes text `json:"notes"`
}

func (o order) key() id           { return o.ID }
func (l orderLine) key() id       { return l.ID }
func (a address) key() id         { return a.ID }
func (c company) key() id         { return c.ID }
func (c contact) key() id         { return c.ID }
func (v variant) key() id         { return v.ID }
func (l location) key() id        { return l.ID }
func (f fulfillment) key() id     { return f.ID }
func (l fulfillmentLine) key() id { return l.ID }
func (a adjustment) key() id      { return a.ID }

// What we write (sections 10.2 and 10.4).

type fulfillmentBody struct {
	Fulfillment fulfillmentWrite `json:"fulfillment"`
}

type fulfillmentWrite struct {
	OrderID           int64       `json:"order_id,omitempty"`
	Status            string      `json:"status,omitempty"`
	StockLocationID   int64       `json:"stock_location_id,omitempty"`
	ShippingAddressID int64       `json:"shipping_address_id,omitempty"`
	BillingAddressID  int64       `json:"billing_address_id,omitempty"`
	PackedAt          string      `json:"packed_at,omitempty"`
	ShippedAt         string      `json:"shipped_at,omitempty"`
	TrackingCompany   string      `json:"tracking_company,omitempty"`
	TrackingNumber    string      `json:"tracking_number,omitempty"`
	TrackingURL       string      `json:"tracking_url,omitempty"`
	Service           string      `json:"service,omitempty"`
	Notes             string      `json:"notes,omitempty"`
	Lines             []lineWrite `json:"fulfillment_line_items,omitempty"`
}

type lineWrite struct {
	OrderLineID int64  `json:"order_line_item_id"`
	Quantity    string `json:"quantity"`
}

type adjustmentBody struct {
	Adjustment adjustmentWrite `json:"stock_adjustment"`
}

type adjustmentWrite struct {
	Reason     string                `json:"reason"`
	Notes      string                `json:"notes"`
	LocationID int64                 `json:"stock_location_id"`
	Lines      []adjustmentLineWrite `json:"stock_adjustment_line_items"`
}

type adjustmentLineWrite struct {
	VariantID int64  `json:"variant_id"`
	Quantity  string `json:"quantity"`
	Price     string `json:"price,omitempty"`
}

// id is a whole number written as a number or a string, exact over all of
// int64. What is unreadable or null is 0, which is no id.
type id int64

func (n id) String() string { return strconv.FormatInt(int64(n), 10) }

// UnmarshalJSON never fails.
func (n *id) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.TrimSpace(string(scalar(b))), 10, 64)
	if err != nil {
		v = 0
	}
	*n = id(v)
	return nil
}

// ids is an array of ids. Absent, null or no array is nil.
type ids []id

// UnmarshalJSON never fails.
func (l *ids) UnmarshalJSON(b []byte) error {
	var v []id
	if json.Unmarshal(b, &v) != nil {
		v = nil
	}
	*l = v
	return nil
}

// decimal is the text of a number that may be written as a number, a string or
// null. It stays text because prices have more places than a relay.Quantity.
type decimal string

var errNoNumber = errors.New("no number")

// quantity reads the decimal. Null and blank are errNoNumber.
func (d decimal) quantity() (relay.Quantity, error) {
	if d == "" {
		return 0, errNoNumber
	}
	return relay.ParseQuantity(string(d))
}

// positive reports whether d is a plain decimal above 0, of any precision.
func (d decimal) positive() bool {
	if len(d) > 40 || strings.Trim(string(d), "0123456789.") != "" || strings.Count(string(d), ".") > 1 {
		return false
	}
	return strings.Trim(string(d), "0.") != ""
}

// UnmarshalJSON never fails.
func (d *decimal) UnmarshalJSON(b []byte) error {
	*d = decimal(strings.TrimSpace(string(scalar(b))))
	return nil
}

// text is a string, tolerating numbers and booleans. Null is "".
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = text(scalar(b))
	return nil
}

func (t text) trim() string { return strings.TrimSpace(string(t)) }

// texts is an array of strings, or one string that holds them joined by commas,
// as tags and the like are told (section 2.3).
type texts []text

// UnmarshalJSON never fails.
func (l *texts) UnmarshalJSON(b []byte) error {
	var parts []text
	if json.Unmarshal(b, &parts) != nil {
		parts = []text{text(scalar(b))}
	}
	*l = nil
	for _, p := range parts {
		for part := range strings.SplitSeq(string(p), ",") {
			if part = strings.TrimSpace(part); part != "" {
				*l = append(*l, text(part))
			}
		}
	}
	return nil
}

// flag is a boolean that may be null or absent.
type flag string

func (f flag) or(absent bool) bool {
	switch f {
	case "true":
		return true
	case "false":
		return false
	}
	return absent
}

// UnmarshalJSON never fails.
func (f *flag) UnmarshalJSON(b []byte) error {
	*f = flag(strings.ToLower(strings.TrimSpace(string(scalar(b)))))
	return nil
}

// moment is a time or a date. What is unreadable or null is the zero time.
type moment struct{ time.Time }

// UnmarshalJSON never fails. The zone of a time without one is unknown (section
// 4.2); UTC is what the vendor writes.
func (m *moment) UnmarshalJSON(b []byte) error {
	*m = moment{}
	s := strings.TrimSpace(string(scalar(b)))
	for _, form := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateOnly, "2006-01-02 15:04:05 MST"} {
		if t, err := time.Parse(form, s); err == nil {
			m.Time = t.UTC()
			break
		}
	}
	return nil
}

// scalar is the text of a JSON string, number or boolean, and nothing for null,
// objects and arrays.
func scalar(b []byte) []byte {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '"':
		var s string
		if json.Unmarshal(b, &s) != nil {
			return nil
		}
		return []byte(s)
	case 'n', '{', '[':
		return nil
	}
	return b
}

// wireTime is how times are sent: ISO 8601, UTC, milliseconds.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
