package shop

import (
	"time"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/standalone/audit"
)

// System is a merchant's account with a simulated cart or warehouse.
type System interface {
	// Connection is what merchant.yaml would say of it.
	Connection() Connection
	// Vendor tells which simulator it is, and what can go wrong there.
	Vendor() Vendor
	// Inject arms one of the vendor's faults for this account, or one that
	// befalls whichever account comes first where the simulator has no better.
	Inject(Fault) error
}

// Connection is a connection with its credentials.
type Connection struct {
	relay.Connection
	Credentials connectors.Credentials
	// Control is where the simulator's people are to be told what to do; "" for nowhere.
	Control string
	// Service is, of a warehouse, what it calls its ordinary way of shipping.
	Service relay.Service
}

// Cart is a merchant's account with a simulated cart.
type Cart interface {
	System
	// Offer puts SKUs into the catalogue. Harmless twice.
	Offer(skus []string) error
	// Sell places orders, and leaves alone those that are there.
	Sell([]Order) error
	// Void cancels an order; it fails when it has shipped.
	Void(number string) error
	// Readdress changes where an order goes; Recount how much of a SKU it has. They
	// fail where the cart allows it no more.
	Readdress(o Order, street string) error
	Recount(o Order, sku string, units int64) error
	// Mend sells an order anew of which something could not be read.
	Mend(Order) error
	// Book is the shop's own. Its name and what its SKUs are made of are the caller's to fill in.
	Book() (audit.Cart, error)
}

// Warehouse is a merchant's account with a simulated warehouse.
type Warehouse interface {
	System
	// Stock adds items with so many units, and leaves alone those that are there.
	Stock(units map[string]int64) error
	// Deliver brings more units of an item.
	Deliver(code string, units int64) error
	// Backorders tells how many units of an item accepted orders wait for; keeps is
	// false where a warehouse refuses orders for want of stock instead.
	Backorders(code string) (units int64, keeps bool)
	// Book lists the warehouse's own orders, and what it has and did not promise.
	Book() (orders []audit.WarehouseOrder, free audit.Units)
}

// Vendor is a kind of simulated system.
type Vendor struct {
	Name string
	// Faults are the kinds that its simulator knows.
	Faults []FaultKind
	// Routes are those that a fault of any kind is worth trying on; the first are
	// the most dangerous, and are named more often.
	Routes []string
}

// FaultKind is a kind of fault of one vendor.
type FaultKind struct {
	Name string
	// Routes are the only ones that the kind befalls. nil: all of the vendor's.
	Routes []string
	// Stops says that each stops a connection until an operator resumes it.
	Stops bool
	// Rare says that it befalls only some of the requests of a route, so that none is let pass.
	Rare bool
}

// Fault is a fault to arm.
type Fault struct {
	Kind  string
	Route string // "" or "*": any
	Skip  int    // requests to let pass first
	Count int
	Delay time.Duration
}

// Vendors lists all kinds of simulated systems.
func Vendors() []Vendor {
	return []Vendor{tradegeckoVendor(), shopVendor(), easypostVendor(), bergenVendor(), partnerVendor()}
}
