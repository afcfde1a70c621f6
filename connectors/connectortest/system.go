package connectortest

import (
	"orderferry/connectors"
	"orderferry/relay"
)

// What a check does at the simulated system, as a merchant or a warehouse would.
// A system that speaks HTTP is also an http.Handler. A method's error means that
// the system can't do that, and fails the check.

// Configured is a system that the connector finds by settings, such as a folder.
type Configured interface {
	Settings() connectors.Values
}

// Located is a system with an address of its own, which the connector is
// configured with in place of the suite's: a folder.
type Located interface {
	BaseURL() string
}

// PageTurner is a system whose lists can be made to shift while they are read.
type PageTurner interface {
	// TurnPages spoils pages after a list's first for ever: "repeated" answers
	// the page before again, once a page; "shifted" puts every row one place
	// further down, as though one had come in front.
	TurnPages(how string) error
}

// BigNumbers is a system whose ids can be made larger than 2^53, which JSON
// readers that take numbers for floats get wrong.
type BigNumbers interface {
	UseBigNumbers() error
}

// Shop is a cart where orders are placed.
type Shop interface {
	// PlaceOrder places an order that is ready to be shipped and returns it with the cart's
	// ids and time stamps. It has a number, an address and lines with SKU and quantity;
	// a SKU that the shop does not sell yet is taken in.
	PlaceOrder(relay.CartOrder) (relay.CartOrder, error)
}

// Editor is a cart where an order can be changed.
type Editor interface {
	// EditOrder changes the recipient's name, so that the order's version moves;
	// the order stays ready.
	EditOrder(id relay.ExternalID, name string) error
}

// Voider is a cart where an order can be cancelled.
type Voider interface {
	VoidOrder(relay.ExternalID) error
	Voided(relay.ExternalID) (bool, error)
}

// Packer is a cart where a person can ship an order.
type Packer interface {
	ShipByHand(id relay.ExternalID, trackingNumber string) error
}

// Parcels is a cart that shows what it was told of an order's packages.
type Parcels interface {
	Parcels(relay.ExternalID) ([]Parcel, error)
}

// Parcel is one package in a cart's books.
type Parcel struct {
	TrackingNumber string
	Shipped        bool                // not only prepared
	Units          map[relay.SKU]int64 // what it holds
}

// Shelf is a cart that keeps stock.
type Shelf interface {
	// SetLevel takes in a SKU, if need be, and sets what the cart has of it.
	SetLevel(relay.SKU, relay.Quantity) error
	// Level is what the cart has, in its own terms; false for a SKU it does not know.
	Level(relay.SKU) (relay.Quantity, bool, error)
}

// Depot is a warehouse.
type Depot interface {
	// Stock takes in an item, if need be, and sets what is there of it.
	Stock(relay.ItemCode, relay.Quantity) error
	// Orders are the books, oldest first, whatever the wire shows.
	Orders() ([]Held, error)
}

// Held is an order in a warehouse's books.
type Held struct {
	ID        relay.WarehouseOrderID
	ShipTo    relay.Address
	Items     []relay.Item
	Cancelled bool
}

// Desk is a warehouse that takes orders in some time after it received them.
type Desk interface {
	// TakeIn has it look through all that it received.
	TakeIn() error
}

// Dock is a warehouse that ships.
type Dock interface {
	// Ship sends packages of an order, with carrier, tracking number and items.
	Ship(id relay.WarehouseOrderID, packages ...relay.Package) error
}

// Floor is a warehouse that works on orders.
type Floor interface {
	// Pick gets so far with an order that it can't simply be cancelled any more.
	Pick(relay.WarehouseOrderID) error
	// Drop cancels an order, as the warehouse may by itself.
	Drop(relay.WarehouseOrderID) error
}

// Forgetter is a warehouse that can be made to lose the mark that an order bears,
// so that it can only be found by what is in it.
type Forgetter interface {
	ForgetMarks() error
}
