package relay

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// Address is where an order goes. All of it is personal data: it lives in the
// ledger and in requests to warehouses, never in Temporal, logs or errors.
type Address struct {
	Name        string `json:"name,omitempty"`
	Company     string `json:"company,omitempty"`
	Street1     string `json:"street1,omitempty"`
	Street2     string `json:"street2,omitempty"`
	City        string `json:"city,omitempty"`
	State       string `json:"state,omitempty"`   // as the cart writes it; a code where the cart has one
	Zip         string `json:"zip,omitempty"`     // postal code, leading zeros kept
	Country     string `json:"country,omitempty"` // ISO 3166-1 alpha-2 in upper case, or as the cart writes it
	Phone       string `json:"phone,omitempty"`
	Email       string `json:"email,omitempty"`
	Residential *bool  `json:"residential,omitempty"` // nil: not known
}

// String hides the address.
func (Address) String() string { return "(address)" }

// Format hides the address from every verb of fmt: without it, %d would print the fields.
func (a Address) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, a.String()) }

// LogValue hides the address from slog, whose JSON handler would marshal it.
func (a Address) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Line is one line of a cart order that has to be shipped. Shipping charges,
// discounts and other lines without goods are left out by the connector.
type Line struct {
	ID       LineID   `json:"id"`
	SKU      SKU      `json:"sku"` // may be empty: the order is then held, naming the line
	Name     string   `json:"name,omitempty"`
	Quantity Quantity `json:"quantity"`
}

// CartOrder is an order as its cart tells it.
type CartOrder struct {
	ExternalID ExternalID
	// Number is the full order number that people use. Not necessarily unique, any length.
	Number     string
	PlacedAt   time.Time
	UpdatedAt  time.Time // the cart's version of the order; never earlier for a later state
	ShipTo     Address
	ShipMethod ShipMethod // "" when the cart names none
	Lines      []Line
	// Traits are what filters go by, and what says of a SKU that it is a bundle; a
	// change of them is no edit of the order.
	Traits Traits
	// Problems that the connector met while reading: the order is taken in and
	// held, so that nothing the cart showed us is ever dropped.
	Problems []Problem
}

// Traits are what a cart says of an order besides what is to be shipped. Words
// are the cart's own, but for the country.
type Traits struct {
	Status   string   `json:"status,omitempty"`
	Payment  string   `json:"payment,omitempty"`
	Location string   `json:"location,omitempty"` // id of the cart's stock location
	Tags     []string `json:"tags,omitempty"`
	// Country is the code of the country of the address, which the address may
	// have by name; "" where it could not be told.
	Country string `json:"country,omitempty"`
	// Unready says what keeps the cart from having it ready any more, as "status active";
	// "" while it has.
	Unready string `json:"unready,omitempty"`
	// Bundles are SKUs of its lines that the cart itself makes of others.
	Bundles []SKU `json:"bundles,omitempty"`
	// Unknown says that the rest is not known: the order was taken in by a release
	// that did not keep it.
	Unknown bool `json:"unknown,omitempty"`
}

// Digest is a fingerprint of what a warehouse would ship: it changes when
// lines, address or method change, and not when only UpdatedAt moves, as it
// does when we ourselves write tracking to the order.
func (o CartOrder) Digest() [sha256.Size]byte {
	// Empty, not nil: an order read back from the ledger has the digest it went in with.
	lines := append([]Line{}, o.Lines...)
	slices.SortFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Quantity, b.Quantity), cmp.Compare(a.Name, b.Name))
	})
	b, err := json.Marshal(struct {
		Number     string
		ShipTo     Address
		ShipMethod ShipMethod
		Lines      []Line
		Problems   []Problem
	}{o.Number, o.ShipTo, o.ShipMethod, lines, append([]Problem{}, o.Problems...)})
	if err != nil { // only a field type that JSON can't hold could cause it
		panic(fmt.Sprintf("relay: digest: %v", err))
	}
	return sha256.Sum256(b)
}

// Order is a cart order in our ledger.
type Order struct {
	ID        OrderID
	Merchant  MerchantID
	Cart      ConnectionName
	Reference Reference
	State     OrderState
	// Renewed is how many of its submissions the warehouse accepted and then cancelled.
	Renewed int
	CartOrder
}

// Item is so many units of what a warehouse calls a product.
type Item struct {
	Code  ItemCode `json:"code"`
	Units int64    `json:"units"`
}

// OrderItem is an Item together with the cart line it was made from.
type OrderItem struct {
	Line LineID `json:"line"`
	SKU  SKU    `json:"sku"`
	Item
	// Per is how many units of the code make one unit of the line, where that is
	// not 1: what a kit says of its component. A kit's line has an item for each
	// component. 0 stands for 1.
	Per int64 `json:"per,omitempty"`
}

// MergeItems sums units per code, in order of first appearance: warehouses are
// sent each product once.
func MergeItems(items []OrderItem) []Item {
	var out []Item
	at := make(map[ItemCode]int, len(items))
	for _, it := range items {
		i, ok := at[it.Code]
		if !ok {
			at[it.Code] = len(out)
			out = append(out, it.Item)
			continue
		}
		out[i].Units += it.Units
	}
	return out
}
