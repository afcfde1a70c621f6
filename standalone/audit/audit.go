// Package audit holds what simulated shops and warehouses have in their own
// books against the ledger, and says what is wrong with each order.
package audit

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// Wrong is a way in which something can be wrong.
type Wrong string

// The ways.
const (
	Lost           Wrong = "lost"
	Duplicated     Wrong = "duplicated"               // two live warehouse orders for one order, or more units shipped than ordered
	WronglyShipped Wrong = "wrongly shipped"          // cancelled or on hold and shipped all the same, or other items, units or address than the cart's
	NotTold        Wrong = "tracking not told"        // the cart does not know a parcel, or its units
	ToldTwice      Wrong = "tracking told twice"      // the cart knows a parcel more than once, or more units than were shipped
	StockWrong     Wrong = "stock at the cart wrong"  // it is not what the warehouse has
	Unanswered     Wrong = "cancel without an answer" // neither cancelled nor too late
	CancelUntold   Wrong = "cancel not told"          // the cart still sells what was cancelled
	Stuck          Wrong = "stuck without a reason"   // neither ended nor on hold
)

// Ways lists all ways.
func Ways() []Wrong {
	return []Wrong{Lost, Duplicated, WronglyShipped, NotTold, ToldTwice, StockWrong, Unanswered, CancelUntold, Stuck}
}

// Finding is one thing that is wrong.
type Finding struct {
	Wrong    Wrong
	Merchant relay.MerchantID
	Subject  string // an order's number, or a SKU
	Words    string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s %s: %s", f.Merchant, f.Subject, f.Words)
}

// Content is what a version of an order at the cart asks for.
type Content struct {
	Street string           // the address's first line; "" is not compared
	Units  map[string]int64 // by barcode
}

// Books are what is known of one merchant, from all sides.
type Books struct {
	Merchant  relay.MerchantID
	Ledger    []Order
	Cart      []tradegecko.OrderView
	Warehouse []easypost.OrderView
	// Codes are the barcodes of the shop's SKUs.
	Codes map[string]string
	// Versions is what each order asked for by number, oldest first. An order
	// that is not in it has one version: what the cart shows.
	Versions map[string][]Content
	// Answers are the results that operators were given when they cancelled, by number.
	Answers map[string][]string
	// Awake are the orders on hold, by reference, that a workflow looks after. nil: not compared.
	Awake map[relay.Reference]bool
	// The stock on both sides. nil: not compared.
	CartStock      []tradegecko.StockView
	WarehouseStock []easypost.StockView
}

// Check returns all that is wrong, in order of the ledger.
func (b Books) Check() []Finding {
	a := &audit{Books: b, cart: make(map[string]tradegecko.OrderView), there: make(map[string][]easypost.OrderView), owed: make(map[string]int64)}
	for _, o := range b.Cart {
		a.cart[o.Number] = o
	}
	for _, o := range b.Warehouse {
		// The description ends in the order number.
		number := o.Description[strings.LastIndexByte(o.Description, ' ')+1:]
		a.there[number] = append(a.there[number], o)
	}
	for _, o := range b.Ledger {
		a.order(o)
		delete(a.cart, o.Number)
		delete(a.there, o.Number)
	}
	for _, number := range slices.Sorted(maps.Keys(a.there)) {
		if live(a.there[number]) != nil {
			a.wrong(WronglyShipped, number, "the warehouse has it, the ledger does not")
		}
	}
	for _, number := range slices.Sorted(maps.Keys(a.cart)) {
		if s := a.cart[number].Status; s != "void" && s != "deleted" { // voided before anybody saw it
			a.wrong(Lost, number, "the shop sold it, the ledger does not have it")
		}
	}
	a.stock()
	return a.findings
}

type audit struct {
	Books
	cart     map[string]tradegecko.OrderView
	there    map[string][]easypost.OrderView
	owed     map[string]int64 // by barcode: at the warehouse for an open order, and the cart does not know it as shipped
	findings []Finding
}

func (a *audit) wrong(w Wrong, subject, format string, args ...any) {
	a.findings = append(a.findings, Finding{w, a.Merchant, subject, fmt.Sprintf(format, args...)})
}

func live(orders []easypost.OrderView) []easypost.OrderView {
	var out []easypost.OrderView
	for _, o := range orders {
		if o.State != easypost.Refunded {
			out = append(out, o)
		}
	}
	return out
}

// order checks one order of the ledger.
func (a *audit) order(o Order) {
	c := &checked{audit: a, Order: o, cart: a.cart[o.Number], live: live(a.there[o.Number])}
	if len(c.live) > 1 {
		c.wrong(Duplicated, "the warehouse has it %d times", len(c.live))
	}
	c.contents()
	c.state()
	c.cancel()
	c.tracking()
}

// checked is one order with what all sides have of it.
type checked struct {
	*audit
	Order
	cart  tradegecko.OrderView
	live  []easypost.OrderView
	stale bool // the warehouse has an earlier version than the cart's last: the change came too late
}

func (c *checked) wrong(w Wrong, format string, args ...any) {
	c.audit.wrong(w, c.Number, format, args...)
}

// versions is what the cart asked for, oldest first.
func (c *checked) versions() []Content {
	if v := c.Versions[c.Number]; v != nil {
		return v
	}
	units := make(map[string]int64)
	for _, l := range c.cart.Lines {
		if l.Ships {
			units[c.Codes[l.SKU]] += whole(l.Ordered)
		}
	}
	return []Content{{Units: units}}
}

// contents checks that what the warehouse has is what the cart asked for.
func (c *checked) contents() {
	versions := c.versions()
	latest := len(versions) - 1
	for _, w := range c.live {
		units, shipped := unitsOf(w.Lines), make(map[string]int64)
		for _, p := range w.Packages {
			if p.TrackerID != "" {
				for code, n := range unitsOf(p.Items) {
					shipped[code] += n
				}
			}
		}
		at := slices.IndexFunc(versions, func(v Content) bool {
			return maps.Equal(v.Units, units) && (v.Street == "" || v.Street == w.Street)
		})
		switch {
		case at < 0:
			c.wrong(WronglyShipped, "the warehouse has %s as %v, which the cart never asked for", w.ID, units)
		case at < latest && c.has(store.EventChangedAtCart) && !c.has(store.EventChangedTooLate):
			c.wrong(WronglyShipped, "the warehouse has version %d of %d, though a later one was taken over", at+1, latest+1)
		}
		c.stale = c.stale || at < latest
		for code, n := range shipped {
			if n > units[code] {
				c.wrong(Duplicated, "%d units of %s left, of %d", n, code, units[code])
			}
		}
	}
}

// state checks that the order came to an end or has a reason not to, and that
// the warehouse has it exactly when the ledger says so.
func (c *checked) state() {
	switch c.State {
	case relay.OrderConfirmed, relay.OrderShipped, relay.OrderAtWarehouse:
		if !slices.ContainsFunc(c.live, func(w easypost.OrderView) bool { return w.ID == string(c.WarehouseOrderID) }) {
			c.wrong(Lost, "it is %s as %s, which the warehouse does not have", c.State, c.WarehouseOrderID)
		}
	case relay.OrderHeld:
		if len(c.live) > 0 && c.Hold != relay.HoldUnknownOutcome {
			c.wrong(WronglyShipped, "it is on hold (%s), but the warehouse has it as %s", c.Hold, c.live[0].ID)
		}
		if c.Awake != nil && !c.Awake[c.Reference] {
			c.wrong(Stuck, "it is on hold (%s), and no workflow looks after it", c.Hold)
		}
	case relay.OrderSendingCancelled, relay.OrderCancelled:
		if len(c.live) > 0 {
			c.wrong(WronglyShipped, "it is %s, but the warehouse has it as %s", c.State, c.live[0].ID)
		}
	}
	if c.State.Ended() || c.State == relay.OrderHeld || (c.State == relay.OrderShipped && c.refused()) {
		return
	}
	c.wrong(Stuck, "it is still %s", c.State)
}

// refused reports whether the cart has a reason not to take the tracking, and
// the ledger says so and tries again.
func (c *checked) refused() bool {
	return c.PushError != "" && (c.cart.Status == "void" || c.stale)
}

// cancel checks that a cancel has its answer, and that the answer is true.
func (c *checked) cancel() {
	for _, answer := range c.Answers[c.Number] {
		if stopped := answer == "stopped_before_sending" || answer == "cancelled"; stopped && len(c.live) > 0 {
			c.wrong(WronglyShipped, "an operator was told %q, but the warehouse has it as %s", answer, c.live[0].ID)
		}
	}
	ended := c.State == relay.OrderSendingCancelled || c.State == relay.OrderCancelled
	if open := c.cart.Status != "void" && c.cart.Status != "deleted"; ended && open && !c.CancelPlanned {
		c.wrong(CancelUntold, "it is %s, and %s at the cart", c.State, c.cart.Status)
	}
	asked := c.has(store.EventCancelAsked)
	if c.cart.Status == "void" && !asked && !ended {
		c.wrong(Unanswered, "it is void at the cart, and nobody noticed")
	}
	if !asked || ended || (c.State == relay.OrderHeld && c.Hold == relay.HoldUnknownOutcome) {
		return
	}
	if !c.has(store.EventCancelTooLate) && !c.has(store.EventShippedAfterAll) {
		c.wrong(Unanswered, "a cancel was asked for, and it is %s", c.State)
	}
}

// tracking checks that the cart knows every parcel once, with its units.
func (c *checked) tracking() {
	told, fulfilled := make(map[string]int), make(map[string]int64)
	for _, f := range c.cart.Fulfillments {
		if f.Status != "fulfilled" {
			continue
		}
		for number := range strings.SplitSeq(f.TrackingNumber, ",") {
			told[strings.TrimSpace(number)]++
		}
		for _, u := range f.Units {
			fulfilled[c.Codes[u.SKU]] += whole(u.Quantity)
		}
	}
	shipped := make(map[string]int64)
	for _, w := range c.live {
		for _, p := range w.Packages {
			if p.TrackerID == "" {
				continue
			}
			for code, n := range unitsOf(p.Items) {
				shipped[code] += n
			}
			switch n := told[p.TrackingCode]; {
			case n > 1:
				c.wrong(ToldTwice, "the cart knows parcel %s %d times", p.TrackingCode, n)
			case n == 0 && !c.refused():
				c.wrong(NotTold, "the cart does not know parcel %s", p.TrackingCode)
			}
		}
		if c.State != relay.OrderConfirmed && c.cart.Status != "void" { // a cart subtracts no void order
			for code, n := range unitsOf(w.Lines) {
				c.owed[code] += max(0, n-fulfilled[code])
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(shipped)) {
		if n := fulfilled[code]; n < shipped[code] && !c.refused() {
			c.wrong(NotTold, "of %s the cart has %d shipped, and %d left", code, n, shipped[code])
		}
	}
	for _, code := range slices.Sorted(maps.Keys(fulfilled)) {
		if n := fulfilled[code]; n > shipped[code] {
			c.wrong(ToldTwice, "of %s the cart has %d shipped, and %d left", code, n, shipped[code])
		}
	}
}

// stock checks that the cart's physical stock is what the warehouse has free,
// and what it holds for orders that the cart still subtracts by itself.
func (a *audit) stock() {
	if a.CartStock == nil || a.WarehouseStock == nil {
		return
	}
	free := make(map[string]int64)
	for _, s := range a.WarehouseStock {
		free[s.Barcode] += max(0, s.OnHand-s.Reserved)
	}
	has := make(map[string]int64)
	for _, s := range a.CartStock {
		has[s.SKU] += whole(s.OnHand)
	}
	skus := slices.SortedFunc(maps.Keys(a.Codes), cmp.Compare[string])
	for _, sku := range skus {
		code := a.Codes[sku]
		n, named := free[code]
		if want := n + a.owed[code]; named && has[sku] != want {
			a.wrong(StockWrong, sku, "the cart has %d, the warehouse %d free and %d for orders under way", has[sku], n, a.owed[code])
		}
	}
}

func unitsOf(items []easypost.ItemView) map[string]int64 {
	units := make(map[string]int64)
	for _, i := range items {
		units[i.Barcode] += i.Units
	}
	return units
}

// whole reads a decimal of the cart. A part of a unit is never sold here, and
// makes the figure one that nothing is equal to.
func whole(decimal string) int64 {
	r, ok := new(big.Rat).SetString(cmp.Or(decimal, "0"))
	if !ok || !r.IsInt() {
		return -1
	}
	return r.Num().Int64()
}
