package audit

import (
	"orderferry/relay"
)

// Units are how many there are of each of some SKUs or item codes.
type Units map[string]int64

func (u Units) add(more Units, times int64) {
	for name, n := range more {
		u[name] += n * times
	}
}

// Parcel is a parcel that has left, or of which a cart was told.
type Parcel struct {
	Tracking string // at a cart, several with commas where it was told of them together
	Items    Units  // by item code at a warehouse, by SKU at a cart
}

// CartOrder is an order in its shop's own books.
type CartOrder struct {
	Number    string
	Cancelled bool
	Status    string // the shop's own word
	Lines     Units  // by SKU: what is to be shipped
	Parcels   []Parcel
}

// Cart is one shop's own books.
type Cart struct {
	Name   relay.ConnectionName
	Orders []CartOrder
	// Parts are the units by item code that make one of each SKU. A SKU that nobody
	// ever translates is made of one "".
	Parts map[string]Units
	// Stock is what the shop shows, by SKU. nil: not compared.
	Stock Units
	// Physical says that Stock holds what open orders are about to take.
	Physical bool
}

// codes translates SKUs to item codes.
func (c Cart) codes(lines Units) Units {
	out := make(Units)
	for sku, n := range lines {
		parts, known := c.Parts[sku]
		if !known {
			parts = Units{"": 1}
		}
		out.add(parts, n)
	}
	return out
}

// WarehouseOrder is an order in a warehouse's own books.
type WarehouseOrder struct {
	ID   string // as the connector calls it
	Mark string // the submission's token or the order's reference, whichever the warehouse was given
	// Number is the cart's, for people.
	Number    string
	Cancelled bool
	Street    string // the address's first line
	Units     Units  // by item code
	Parcels   []Parcel
}

// Content is what a version of an order at the cart asks for.
type Content struct {
	Street string // the address's first line; "" is not compared
	Lines  Units  // by SKU
}

// News is what became of an alert, and the message that tells it.
type News struct {
	Message string // its id; "" where none does
	Alert   int64
	News    relay.AlertNews
}

// Key names an order: two carts may use one number.
type Key struct {
	Cart   relay.ConnectionName
	Number string
}

// Wish is what was asked for an order, by people or its cart, answered or not.
type Wish struct{ Cancel, Reopen bool }

// Deed is what people asked for.
type Deed struct {
	Subject string // of the finding if there is no answer
	Words   string
}

// Books are what is known of one merchant, from all sides.
type Books struct {
	Merchant  relay.MerchantID
	Ledger    []Order
	Carts     []Cart
	Warehouse []WarehouseOrder
	// Free is what the warehouse has and did not promise to anybody, by item code.
	// nil: not compared.
	Free Units
	// Versions is what each order asked for, oldest first. An order that is not in
	// it has one version: what the cart shows.
	Versions map[Key][]Content
	// Answers are the results that operators were given when they cancelled, since
	// they reopened the order last.
	Answers map[Key][]string
	// Wishes are what was asked for. nil: not compared.
	Wishes map[Key]Wish
	// Open is what people asked for and have no answer to.
	Open []Deed
	// Endless are the orders that wait for what never comes. nil: not compared.
	Endless map[Key]bool
	// Strangers are the warehouse's orders, by ID, that somebody else sent under our
	// numbers, and Planted those, and all others, that it has though we sent none: such as
	// it made once more by itself of one of ours.
	Strangers, Planted map[string]bool
	// Reopened are the orders of which operators were told that they are sent anew.
	Reopened map[Key]bool
	// News is all that people are to be told of alerts, and Got what reached them. nil:
	// not compared.
	News []News
	Got  map[News]bool
	// Awake are the orders on hold that a workflow looks after. nil: not compared.
	Awake map[relay.Reference]bool
}
