package connectors

import (
	"context"
	"crypto/sha256"
	"time"

	"orderferry/relay"
)

// Errors: every method returns *relay.Error (possibly wrapped), classified once
// by the connector. Vendor replies are hostile input: no answer may panic.

// OrderSource is a cart that orders are pulled from.
type OrderSource interface {
	// PullOrders returns one page of orders that are ready to be shipped. The
	// caller stores the page, then the cursor, so a page may be read twice; an
	// order must never be passed over.
	PullOrders(ctx context.Context, q OrdersQuery) (OrdersPage, error)
}

// OrdersQuery asks for a page of orders.
type OrdersQuery struct {
	Cursor string // opaque; "" the first time
	Limit  int    // most orders in the page, at least 1
	// Earliest leaves out orders placed before it. Zero: all.
	Earliest time.Time
	// Known tells, for each stamp in turn, whether the ledger already holds that
	// order at that version, so that its lines and addresses need not be fetched
	// again. nil: nothing is known. It is asked of what is ready to ship now, and of
	// nothing else: an order among it that is confirmed here is reported when the
	// books are compared.
	Known func(ctx context.Context, stamps []Stamp) ([]bool, error)
	// ReadOnly is of a reading beside the ordinary one, as a rehearsal and a
	// comparison of books are. A source that changes something where it reads, as one
	// that puts files away, must not then. The cursor goes to such readings alone.
	ReadOnly bool
}

// Stamp is a version of a cart order.
type Stamp struct {
	ID        relay.ExternalID
	UpdatedAt time.Time
}

// OrdersPage is one page of orders.
type OrdersPage struct {
	Orders []relay.CartOrder // without those that Known knew
	Cursor string            // where to go on, now or at the next poll
	More   bool              // another page is to be had at once
	// Unread is what could not be read, all of it as of now. People are called.
	Unread []Unread
}

// CancellationSource is a cart that tells which orders were cancelled there.
type CancellationSource interface {
	// PullCancellations returns orders that were cancelled (or deleted) since the cursor.
	PullCancellations(ctx context.Context, q CancellationsQuery) (CancellationsPage, error)
}

// CancellationsQuery asks for cancelled orders.
type CancellationsQuery struct {
	Cursor string // opaque; "" the first time
	Limit  int
	// Watch are orders that wait to be sent, to look at by id as well: a cart's
	// change feed may miss a cancel, and one that was shipped in another way
	// counts as cancelled, lest it be sent twice.
	Watch []relay.ExternalID
}

// CancellationsPage is one page of cancelled orders.
type CancellationsPage struct {
	Cancelled []Cancellation
	// Unready are watched orders that PullOrders would not return now, and that are
	// not cancelled: they are not sent until it returns them again.
	Unready []Unready
	Cursor  string
	More    bool
}

// Cancellation is an order that its cart cancelled.
type Cancellation struct {
	ID     relay.ExternalID
	Status string // the cart's own word: "void", "deleted"; or one of the following
	At     time.Time
}

// Unready is an order that its cart has, and not ready to be shipped.
type Unready struct {
	ID  relay.ExternalID
	Why string // in the cart's words, short: "status active", "payment unpaid"
	At  time.Time
}

// What a watched order may be besides cancelled.
const (
	GoneAtCart       = "gone"              // the cart does not know it any more
	ShippedElsewhere = "shipped elsewhere" // the cart has it as shipped
)

// ShipmentSink is a cart that takes tracking.
type ShipmentSink interface {
	// PushShipments tells the cart of packages. The outcomes are in the order of
	// the pushes, one each, also when an error is returned for the rest: a push
	// that was not tried has an outcome of kind Unavailable. Pushing again what
	// the cart already has (after a lost reply, or because a person did it) is
	// success with the cart's existing id.
	PushShipments(ctx context.Context, pushes []ShipmentPush) ([]ShipmentOutcome, error)
}

// ShipmentPush is one package to tell a cart of.
type ShipmentPush struct {
	// Key is stable over retries and unique per connection; the connector leaves
	// it in the cart so that its own write can be recognised. At most 64
	// characters of A-Z, a-z, 0-9, "-" and ":".
	Key     string
	Order   relay.ExternalID
	Carrier string
	Service string
	// TrackingNumber may be that of an earlier push, with another key: what turned up
	// in a package later is a further shipment under its number.
	TrackingNumber string
	TrackingURL    string
	ShippedAt      time.Time
	Lines          []relay.ShippedLine // never empty
}

// ShipmentOutcome is what became of one push.
type ShipmentOutcome struct {
	CartID string // the cart's id of the shipment or fulfillment
	Found  bool   // it was there already
	Err    error  // *relay.Error; nil on success
}

// OrderReader is a cart that stops telling of an order once it knows it as
// shipped, and can be asked about it still.
type OrderReader interface {
	// ReadOrders returns orders as PullOrders did while they were ready, with what
	// the cart has of them now. Those that are cancelled or gone are left out, and
	// those of which others than us shipped something: there it can't be told what
	// was changed and what was only shipped. An order is told once, in any order, and
	// a line's name alone, which may be the catalogue's, is not taken for a change.
	ReadOrders(ctx context.Context, orders []relay.ExternalID) ([]relay.CartOrder, error)
}

// CancelSink is a cart that takes cancels that did not come from it.
type CancelSink interface {
	// PushCancels cancels orders in the cart. The outcomes are in the order of the
	// pushes, one each, also when an error is returned for the rest: a push that
	// was not tried has an outcome of kind Unavailable. An order that is cancelled
	// there already, or gone, is success; one that is being shipped there is a Conflict.
	PushCancels(ctx context.Context, pushes []CancelPush) ([]CancelPushOutcome, error)
}

// CancelPush is one order to cancel in a cart.
type CancelPush struct {
	// Key is stable over retries and unique per connection, as that of a ShipmentPush is.
	Key   string
	Order relay.ExternalID
}

// CancelPushOutcome is what became of one push.
type CancelPushOutcome struct {
	Status string // the cart's own word for the order now: "void", "deleted"; or "gone"
	Found  bool   // it was cancelled there already
	Err    error  // *relay.Error; nil on success
}

// InventorySink is a cart that takes stock levels.
type InventorySink interface {
	// PushInventory sets levels. The outcomes are in the order of the targets.
	PushInventory(ctx context.Context, push InventoryPush) ([]LevelOutcome, error)
}

// InventoryPush is a set of levels that belong together.
type InventoryPush struct {
	// Key is stable over retries of the same push and unique per connection. At
	// most 64 characters of A-Z, a-z, 0-9, "-" and ":".
	Key     string
	Targets []StockTarget
}

// StockTarget is what a cart should show for a SKU at one of its locations.
type StockTarget struct {
	SKU relay.SKU
	// Location is the cart's id of the location, as the merchant's stock rules
	// name it; "" is the connection's own.
	Location string
	// Available is what may still be sold.
	Available relay.Quantity
	// Owed is how many units the warehouse has set aside or shipped for this
	// cart's orders that the cart does not know as shipped yet. A cart that keeps
	// physical stock and subtracts its own open orders is set to Available + Owed.
	Owed relay.Quantity
}

// LevelOutcome is what became of one target.
type LevelOutcome struct {
	Before relay.Quantity // what the cart had, in its own terms
	After  relay.Quantity // what it has now
	// ByParts says that the cart keeps no stock of this SKU: its orders take of the
	// SKUs that it is made of. Before and After are the same.
	ByParts bool
	Err     error // *relay.Error; NotFound for a SKU the cart does not have
}

// OrderSink is a warehouse that orders are submitted to.
type OrderSink interface {
	// PrepareOrder renders the exact request, without any network. An order the
	// warehouse could not take (too long, no country) is refused here with kind
	// Invalid, a hold reason and the fields.
	PrepareOrder(o WarehouseOrder) (Prepared, error)
	// SubmitOrder sends it once, without retries. Kinds: Rejected and Invalid are
	// definite refusals; Throttled and Unavailable mean that nothing happened;
	// Unknown means that it may have been taken.
	SubmitOrder(ctx context.Context, p Prepared) (Accepted, error)
}

// WarehouseOrder is an order in the warehouse's terms.
type WarehouseOrder struct {
	Token     relay.Token
	Reference relay.Reference
	Number    string        // the cart's full order number
	ShipTo    relay.Address // with ISO codes, as postal.Normalise gives it
	Service   relay.Service // "" for the connection's default
	Items     []relay.Item  // merged: each code once
	PlacedAt  time.Time
	// Renewed is how many earlier orders of this reference the warehouse accepted
	// and then cancelled. A warehouse that keys orders by our number needs another
	// number for each; nothing else may change the number, lest one order get two.
	Renewed int
}

// Prepared is a request ready to be sent.
type Prepared struct {
	Token relay.Token
	Body  []byte
}

// Digest is the fingerprint of the exact body.
func (p Prepared) Digest() [sha256.Size]byte { return sha256.Sum256(p.Body) }

// Accepted is a warehouse's yes.
type Accepted struct {
	ID     relay.WarehouseOrderID
	Status int // HTTP status of the answer, for the trail
	// AnswerWithin is not 0 where the warehouse has only received the order (a
	// file, a staging area): its yes or no comes by PullShipments, and people are
	// called when none came in this time. The order is never sent again for that.
	AnswerWithin time.Duration
}

// OrderLookup is a warehouse where an order can be looked for.
type OrderLookup interface {
	// FindOrders looks for orders that may have been taken, in as few requests as
	// the vendor allows. The results are in the order of the requests.
	FindOrders(ctx context.Context, q LookupQuery) ([]Lookup, error)
}

// LookupQuery asks for several orders at once.
type LookupQuery struct {
	Orders []LookupRequest
	// Owned tells, for each id in turn, whether the ledger already holds that
	// warehouse order for some order: those are never matched by content.
	Owned func(ctx context.Context, ids []relay.WarehouseOrderID) ([]bool, error)
}

// LookupRequest names one order to look for.
type LookupRequest struct {
	Order WarehouseOrder
	// SentFrom and SentTo bound when it may have been sent.
	SentFrom, SentTo time.Time
}

// Lookup is what was found.
type Lookup struct {
	// Matches are the warehouse's orders that are this one, oldest first. More
	// than one means that it was taken twice.
	Matches []Match
	// Certain, when there is no match, means that the whole span was read and
	// the order is not there (as yet: a list may lag).
	Certain bool
}

// Match is one warehouse order.
type Match struct {
	ID        relay.WarehouseOrderID
	CreatedAt time.Time
	By        string // "token", "reference" or "content"
	Cancelled bool   // it is there, but will not ship
	// AnswerWithin is as that of Accepted: the warehouse has only received it.
	AnswerWithin time.Duration
}

// OrderLister is a warehouse that tells which of its orders came from us.
type OrderLister interface {
	// ListOrders returns one page of the orders that bear a token of ours. An
	// order may be in two pages, and is in one unless the warehouse's own list
	// left it out.
	ListOrders(ctx context.Context, q OrderListQuery) (OrderListPage, error)
}

// OrderListQuery asks for a page of a warehouse's orders.
type OrderListQuery struct {
	Cursor string    // opaque; "" the first time
	Since  time.Time // orders created before it may be left out
}

// OrderListPage is one page of a warehouse's orders.
type OrderListPage struct {
	Orders []ListedOrder
	Cursor string
	More   bool
	// Partial says that the list can't be read to its end: nothing follows from an
	// order's absence.
	Partial bool
}

// ListedOrder is a warehouse's order that bears a token of ours.
type ListedOrder struct {
	ID        relay.WarehouseOrderID
	Token     relay.Token
	Number    string // the cart's order number beside the token, perhaps cut short; "" for none
	CreatedAt time.Time
	Progress  Progress
}

// Canceller is a warehouse that can cancel an order.
type Canceller interface {
	// CancelOrder asks for it and then looks what became of it. Harmless twice.
	CancelOrder(ctx context.Context, id relay.WarehouseOrderID) (CancelAnswer, error)
}

// CancelAnswer is the truth about a cancel.
type CancelAnswer struct {
	Result   CancelResult
	Evidence string // for people, without personal data: "status refunded", "tracking 9400..."
}

// CancelResult is one of three.
type CancelResult string

// The answers to a cancel.
const (
	CancelDone    CancelResult = "cancelled"
	CancelTooLate CancelResult = "too_late"
	CancelPending CancelResult = "pending" // asked; the warehouse has not decided
)

// ShipmentSource is a warehouse that tells what it shipped.
type ShipmentSource interface {
	// PullShipments reads what became of the open orders, in as few requests as
	// the vendor allows. An order without an update is reported with nothing new.
	PullShipments(ctx context.Context, q ShipmentsQuery) (ShipmentsPage, error)
}

// ShipmentsQuery names the orders that have not ended.
type ShipmentsQuery struct {
	Cursor string // opaque; "" the first time
	Open   []OpenOrder
	// Known tells, for each id in turn, whether the ledger has, or had, an order
	// there under it. One that was handed over and is not known is still in doubt:
	// what a warehouse tells of it by itself, and only once, must not be told yet.
	// nil: nothing is known of others than the open ones.
	Known func(ctx context.Context, ids []relay.WarehouseOrderID) ([]bool, error)
}

// OpenOrder is an order at the warehouse.
type OpenOrder struct {
	ID         relay.WarehouseOrderID
	Reference  relay.Reference
	AcceptedAt time.Time
	// Unanswered says that the warehouse has received it and said neither yes nor no.
	Unanswered bool
}

// ShipmentsPage is what the warehouse told. The caller stores the updates, then
// the cursor: a page may be told twice, and a connector that reads files puts
// them away only when it is given the cursor behind them.
type ShipmentsPage struct {
	// Updates may name orders that were not asked for, where the warehouse tells by
	// itself. What it tells so of an order that nobody knows (Known) is Unread, unless it
	// is known to tell of other senders' orders too: the number may be one of ours, spoiled.
	Updates []OrderUpdate
	Cursor  string
	More    bool // another page is to be had at once, with the same open orders
	// Unread is what could not be read, all of it as of now. People are called.
	Unread []Unread
}

// Unread is something that a system gave us and that could not be read: a row
// of a file, an object of a list. The rest was taken.
type Unread struct {
	Subject string // what: a file's name, an object's id
	Line    int    // from 1; 0 where it has none
	Message string // what is wrong and what would be accepted, without personal data
}

// OrderUpdate is the state of one order at the warehouse.
type OrderUpdate struct {
	ID       relay.WarehouseOrderID
	Progress Progress
	Status   string          // the vendor's own word, at most 64 characters; "" with InProgress: nothing new is known
	Packages []relay.Package // all packages known so far, not only new ones, unless Adds is set
	// Adds says that this is news, as of a feed or a file, and not how the order
	// stands now: Packages is only what is new, and it may be old news, of before
	// the order was sent again.
	Adds bool
	// Hold says, with Refused and InTrouble, why.
	Hold *relay.Hold
}

// Progress is how far a warehouse has got with an order.
type Progress string

// The steps.
const (
	Received    Progress = "received" // it has it, and has not said yes or no
	InProgress  Progress = "in_progress"
	PartShipped Progress = "part_shipped"
	FullShipped Progress = "shipped"
	Cancelled   Progress = "cancelled"
	Gone        Progress = "gone"    // the warehouse does not know it any more
	InTrouble   Progress = "trouble" // the warehouse has it and says it is stuck: backordered, error. Never resent
	Refused     Progress = "refused" // it was only received, and is not taken: nothing of it will ship
)

// InventorySource is a warehouse that tells what it has.
type InventorySource interface {
	// PullInventory returns one page of levels. A code is never in two pages.
	PullInventory(ctx context.Context, q InventoryQuery) (InventoryPage, error)
}

// InventoryQuery asks for levels.
type InventoryQuery struct {
	Cursor string // opaque; "" the first time, and else that of the page before, also of an earlier reading
	Limit  int    // most item codes in the page
}

// InventoryPage is one page of levels.
type InventoryPage struct {
	Levels []relay.InventoryLevel // a level for every site of every code in the page
	Cursor string                 // kept also behind the last page, for the next reading
	More   bool
	// Partial says that some codes could not be read this time: nothing follows
	// from their absence.
	Partial bool
	// Changes says that this reading tells only what changed since the one before:
	// a code that it does not name stands as it was.
	Changes bool
	// Unread is what could not be read, all of it as of now. People are called.
	Unread []Unread
	// Meaning says what the quantities are.
	Meaning StockMeaning
}

// StockMeaning says whether a warehouse's figure already leaves out what it
// promised to orders it has accepted.
type StockMeaning string

// The meanings.
const (
	NetOfOrders StockMeaning = "available" // accepted, unshipped orders are subtracted
	OnHand      StockMeaning = "on_hand"   // physical stock
)

// SiteLister is a warehouse with several sites.
type SiteLister interface {
	// Sites lists those whose levels it tells: what a cart's stock rules may name.
	Sites(ctx context.Context) ([]Site, error)
}

// Site is one building of a warehouse.
type Site struct {
	ID   string
	Name string
}

// AddressChecker is a warehouse that can tell a bad address before an order is sent.
type AddressChecker interface {
	// CheckAddress returns what is wrong with the address; none when it is good
	// or when the check itself failed (it fails open).
	CheckAddress(ctx context.Context, a relay.Address) (AddressVerdict, error)
}

// AddressVerdict is the result of an address check.
type AddressVerdict struct {
	Problems []relay.Problem
}

// PackageTracker tells where parcels are after they left.
type PackageTracker interface {
	// TrackPackages returns the delivery status of each package, in their order.
	TrackPackages(ctx context.Context, packages []relay.Package) ([]Tracking, error)
}

// Tracking is where a parcel is.
type Tracking struct {
	Status string // one of the carrier-neutral words: "pre_transit", "in_transit", "delivered", ...
	Ended  bool   // it will not change any more
	URL    string // a public tracking page, if known
	Err    error
}
