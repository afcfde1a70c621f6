// Package audit holds what simulated shops and warehouses have in their own
// books against the ledger, and says what is wrong with each order.
package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"orderferry/relay"
	"orderferry/store"
)

// Wrong is a way in which something can be wrong.
type Wrong string

// The ways.
const (
	Lost           Wrong = "lost"                    // nowhere, left out or cancelled though nobody asked, or confirmed before all of it left
	Duplicated     Wrong = "duplicated"              // two live warehouse orders for one order, one token sent twice, or more units shipped than ordered
	WronglyShipped Wrong = "wrongly shipped"         // cancelled or on hold and shipped all the same, sent anew though nobody asked, or other items, units or address than the cart's
	NotTold        Wrong = "tracking not told"       // the cart does not know a parcel, or its units
	ToldTwice      Wrong = "tracking told twice"     // the cart knows a parcel more than once, one that never left, or more units than were shipped
	StockWrong     Wrong = "stock at the cart wrong" // it is not what the warehouse has
	Unanswered     Wrong = "asked without an answer" // a cancel neither cancelled nor too late, an answer that is not true, or none to whatever people asked
	CancelUntold   Wrong = "cancel not told"         // the cart still sells what was cancelled
	Stuck          Wrong = "stuck without a reason"  // neither ended nor on hold
	NotCalled      Wrong = "people not called"       // news of an alert that did not reach them
	Misled         Wrong = "people misled"           // a message that is not signed as agreed, is another one under the same id, or tells what never was
)

// Ways lists all ways.
func Ways() []Wrong {
	return []Wrong{Lost, Duplicated, WronglyShipped, NotTold, ToldTwice, StockWrong, Unanswered, CancelUntold, Stuck, NotCalled, Misled}
}

// Finding is one thing that is wrong.
type Finding struct {
	Wrong    Wrong
	Merchant relay.MerchantID
	Subject  string // an order's reference, or its number where the ledger does not have it; or a SKU
	Words    string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s %s: %s", f.Merchant, f.Subject, f.Words)
}

// Check returns all that is wrong, in order of the ledger.
func (b Books) Check() []Finding {
	a := &audit{
		Books: b, shops: make(map[relay.ConnectionName]*shop), there: make(map[string][]WarehouseOrder),
	}
	for _, c := range b.Carts {
		s := &shop{Cart: c, orders: make(map[string]CartOrder), owed: make(Units)}
		for _, o := range c.Orders {
			s.orders[o.Number] = o
		}
		a.shops[c.Name] = s
	}
	for _, o := range b.Warehouse {
		switch {
		case !b.Strangers[o.ID]:
			a.there[o.Mark] = append(a.there[o.Mark], o)
		case o.Cancelled:
			a.wrong(WronglyShipped, o.Number, "the warehouse's %s, which somebody else sent under this number, was cancelled", o.ID)
		}
	}
	for _, o := range b.Ledger {
		a.order(o)
	}
	for _, mark := range slices.Sorted(maps.Keys(a.there)) {
		if live := alive(a.there[mark]); len(live) > 0 {
			a.wrong(WronglyShipped, live[0].Number, "the warehouse has it, the ledger does not")
		}
	}
	for _, c := range b.Carts {
		s := a.shops[c.Name]
		for _, number := range slices.Sorted(maps.Keys(s.orders)) {
			if !s.orders[number].Cancelled { // before anybody saw it
				a.wrong(Lost, number, "%s sold it, the ledger does not have it", c.Name)
			}
		}
		a.stock(s)
	}
	a.calls()
	for _, d := range b.Open {
		a.wrong(Unanswered, d.Subject, "%s: there is no answer", d.Words)
	}
	return a.findings
}

type audit struct {
	Books
	shops    map[relay.ConnectionName]*shop
	there    map[string][]WarehouseOrder // by mark
	findings []Finding
}

// shop is a cart and what is left to be looked at of its orders.
type shop struct {
	Cart
	orders map[string]CartOrder
	owed   Units // by SKU: at the warehouse for an open order, and the cart does not know it as shipped
}

func (a *audit) wrong(w Wrong, subject, format string, args ...any) {
	a.findings = append(a.findings, Finding{w, a.Merchant, subject, fmt.Sprintf(format, args...)})
}

func alive(orders []WarehouseOrder) []WarehouseOrder {
	return slices.DeleteFunc(slices.Clone(orders), func(o WarehouseOrder) bool { return o.Cancelled })
}

// order checks one order of the ledger.
func (a *audit) order(o Order) {
	s := a.shops[o.Cart]
	c := &checked{audit: a, Order: o, shop: s, cart: s.orders[o.Number]}
	delete(s.orders, o.Number)
	for _, mark := range o.Marks() {
		c.once(a.there[mark])
		c.live = append(c.live, alive(a.there[mark])...)
		delete(a.there, mark)
	}
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
	shop  *shop
	cart  CartOrder
	live  []WarehouseOrder
	lines Units // by SKU: of the version that the warehouse has
	stale bool  // that is an earlier version than the cart's last: the change came too late
}

func (c *checked) wrong(w Wrong, format string, args ...any) {
	c.audit.wrong(w, string(c.Reference), format, args...)
}

// once checks that a token was sent once, also where the second of two was cancelled
// in time: a look has to find what was sent. Under its reference an order may come
// again, once the warehouse refused it.
func (c *checked) once(there []WarehouseOrder) {
	sent := slices.DeleteFunc(slices.Clone(there), func(w WarehouseOrder) bool {
		return w.Mark == string(c.Reference) || c.Planted[w.ID]
	})
	if len(sent) > 1 && len(alive(sent)) < len(sent) {
		c.wrong(Duplicated, "it was sent %d times under the token %s", len(sent), sent[0].Mark)
	}
}

// versions is what the cart asked for, oldest first.
func (c *checked) versions() []Content {
	if v := c.Versions[c.Key()]; v != nil {
		return v
	}
	return []Content{{Lines: c.cart.Lines}}
}

// contents checks that what the warehouse has is what the cart asked for.
func (c *checked) contents() {
	versions := c.versions()
	latest := len(versions) - 1
	c.lines = versions[latest].Lines
	for _, w := range c.live {
		shipped := make(Units)
		for _, p := range w.Parcels {
			shipped.add(p.Items, 1)
		}
		at := latest // the last of several that are alike
		for at >= 0 && !c.fits(versions[at], w) {
			at--
		}
		switch {
		case at < 0:
			c.wrong(WronglyShipped, "the warehouse has %s as %v, which the cart never asked for", w.ID, w.Units)
		case at < latest && !c.has(store.EventChangedTooLate) && !(c.cart.Cancelled && !c.has(store.EventChangedAtCart)): // of a void order that is what people are told
			c.wrong(WronglyShipped, "the warehouse has version %d of %d, and nobody was told that the later one came too late", at+1, latest+1)
		}
		if at >= 0 {
			c.lines = versions[at].Lines
		}
		c.stale = c.stale || at < latest
		for _, code := range slices.Sorted(maps.Keys(shipped)) {
			if n := shipped[code]; n > w.Units[code] {
				c.wrong(Duplicated, "%d units of %s left, of %d", n, code, w.Units[code])
			}
		}
	}
}

// fits reports whether the warehouse has this version.
func (c *checked) fits(v Content, w WarehouseOrder) bool {
	return maps.Equal(c.shop.codes(v.Lines), w.Units) && (v.Street == "" || v.Street == w.Street)
}

// state checks that the order came to an end or has a reason not to, and that
// the warehouse has it exactly when the ledger says so.
func (c *checked) state() {
	switch c.State {
	case relay.OrderConfirmed, relay.OrderShipped, relay.OrderAtWarehouse:
		c.isThere()
	case relay.OrderHeld:
		switch {
		case c.WarehouseOrderID != "": // which says itself that it is stuck
			c.isThere()
		case len(c.live) > 0 && c.Hold != relay.HoldUnknownOutcome:
			c.wrong(WronglyShipped, "it is on hold (%s), but the warehouse has it as %s", c.Hold, c.live[0].ID)
		}
		if c.Awake != nil && !c.Awake[c.Reference] {
			c.wrong(Stuck, "it is on hold (%s), and no workflow looks after it", c.Hold)
		}
		if c.Endless != nil && !c.Endless[c.Key()] {
			c.wrong(Stuck, "it is still on hold (%s), though nothing stands in its way", c.Hold)
		}
	case relay.OrderSkipped:
		c.isNotThere()
		c.wrong(Lost, "it is skipped, and nobody here has a filter")
	case relay.OrderSendingCancelled, relay.OrderCancelled:
		c.isNotThere()
		if c.Wishes != nil && !c.Wishes[c.Key()].Cancel {
			c.wrong(Lost, "it is %s, and nobody wanted that", c.State)
		}
	}
	if c.Wishes != nil && !c.Wishes[c.Key()].Reopen && c.has(store.EventReopened) {
		c.wrong(WronglyShipped, "it was reopened, and nobody wanted that")
	}
	if c.Undone {
		c.wrong(WronglyShipped, "it was reopened, and a cancel was asked for after that reopening")
	}
	if c.State.Ended() || c.State == relay.OrderHeld || (c.State == relay.OrderShipped && c.refused()) {
		return
	}
	c.wrong(Stuck, "it is still %s", c.State)
}

func (c *checked) isThere() {
	if !slices.ContainsFunc(c.live, func(w WarehouseOrder) bool { return w.ID == string(c.WarehouseOrderID) }) {
		c.wrong(Lost, "it is %s as %s, which the warehouse does not have", c.State, c.WarehouseOrderID)
	}
}

func (c *checked) isNotThere() {
	if len(c.live) > 0 {
		c.wrong(WronglyShipped, "it is %s, but the warehouse has it as %s", c.State, c.live[0].ID)
	}
}

// refused reports whether the cart has a reason not to take the tracking, and
// said so of each parcel that waits.
func (c *checked) refused() bool {
	return len(c.Refusals) > 0 && !slices.ContainsFunc(c.Refusals, func(said string) bool {
		void := c.cart.Cancelled && strings.Contains(said, "code order_"+c.cart.Status)
		return !void && !(c.stale && strings.Contains(said, "code nothing_left_to_ship"))
	})
}

// cancel checks that a cancel has its answer, and that the answer is true.
func (c *checked) cancel() {
	for _, answer := range c.Answers[c.Key()] {
		c.answer(answer)
	}
	// A cart that has shipped some of it takes no cancel: that is for a person there.
	ended := c.State == relay.OrderSendingCancelled || c.State == relay.OrderCancelled
	if ended && !c.cart.Cancelled && len(c.cart.Parcels) == 0 {
		c.wrong(CancelUntold, "it is %s, and %s at the cart", c.State, c.cart.Status)
	}
	if late := slices.Index(c.Trail, store.EventCancelTooLate); late >= 0 && !slices.Contains(c.Trail[:late], store.EventSubmitting) {
		c.wrong(Unanswered, "a cancel was too late, and nothing had been sent yet")
	}
	// What was asked for in an earlier life had its answer then.
	asked := c.hasNow(store.EventCancelAsked)
	if c.cart.Cancelled && !asked && !ended {
		c.wrong(Unanswered, "it is %s at the cart, and nobody noticed", c.cart.Status)
	}
	if c.Reopened[c.Key()] && (!c.has(store.EventReopened) || (ended && !asked && !c.hasNow(store.EventCancelled))) {
		c.wrong(Lost, "an operator was told that it is sent anew, and it is %s", c.State)
	}
	if !asked || ended || (c.State == relay.OrderHeld && c.Hold == relay.HoldUnknownOutcome) {
		return
	}
	if !c.hasNow(store.EventCancelTooLate) && !c.hasNow(store.EventShippedAfterAll) {
		c.wrong(Unanswered, "a cancel was asked for, and it is %s", c.State)
	}
}

// answer checks what an operator was told of a cancel against what the warehouse did.
func (c *checked) answer(answer string) {
	left := slices.ContainsFunc(c.live, func(w WarehouseOrder) bool { return len(w.Parcels) > 0 })
	switch answer {
	case "stopped_before_sending", "cancelled", "already_cancelled":
		// Of one that was reopened, whether the operator heard of that or not, it was said of an earlier life.
		if len(c.live) > 0 && !c.has(store.EventReopened) {
			c.wrong(WronglyShipped, "an operator was told %q, but the warehouse has it as %s", answer, c.live[0].ID)
		}
	case "too_late":
		if !left {
			c.wrong(Unanswered, "an operator was told %q, and nothing left the warehouse", answer)
		}
	case "pending":
		if len(c.live) > 0 && !left {
			c.wrong(Unanswered, "an operator was told %q, and the warehouse has it still as %s", answer, c.live[0].ID)
		}
	case "reopened_since":
		if !c.has(store.EventReopened) {
			c.wrong(Unanswered, "an operator was told %q, and it never was", answer)
		}
	default:
		c.wrong(Unanswered, "an operator was told %q, which is no answer", answer)
	}
}

// tracking checks that the cart knows every parcel once, with its units.
func (c *checked) tracking() {
	told, sold := make(map[string]int), make(Units)
	for _, p := range c.cart.Parcels {
		for number := range strings.SplitSeq(p.Tracking, ",") {
			told[strings.TrimSpace(number)]++
		}
		sold.add(p.Items, 1)
	}
	refused := c.refused()
	for _, w := range c.live {
		for _, p := range w.Parcels {
			refused = refused && (told[p.Tracking] > 0 || slices.Contains(c.Untold, p.Tracking))
		}
	}
	shipped, fulfilled := make(Units), c.shop.codes(sold)
	left := make(map[string]Units) // by tracking number
	for _, w := range c.live {
		sent := make(Units)
		for _, p := range w.Parcels {
			sent.add(p.Items, 1)
			if left[p.Tracking] == nil {
				left[p.Tracking] = make(Units)
			}
			left[p.Tracking].add(p.Items, 1)
			switch n := told[p.Tracking]; {
			case n > 1:
				c.wrong(ToldTwice, "the cart knows parcel %s %d times", p.Tracking, n)
			case n == 0 && !refused:
				c.wrong(NotTold, "the cart does not know parcel %s", p.Tracking)
			}
		}
		shipped.add(sent, 1)
		if c.State == relay.OrderConfirmed && w.ID == string(c.WarehouseOrderID) && !c.has(store.EventShippedShort) {
			for _, code := range slices.Sorted(maps.Keys(w.Units)) {
				if sent[code] < w.Units[code] {
					c.wrong(Lost, "it is confirmed, and of %d units of %s %d left", w.Units[code], code, sent[code])
				}
			}
		}
		if c.State != relay.OrderConfirmed && !c.cart.Cancelled { // a cart subtracts no order that it cancelled
			for sku, n := range c.lines {
				c.shop.owed[sku] += max(0, n-sold[sku])
			}
		}
	}
	for _, number := range slices.Sorted(maps.Keys(told)) {
		if left[number] == nil {
			c.wrong(ToldTwice, "the cart knows parcel %s, which never left", number)
		}
	}
	c.contentsTold(left)
	for _, code := range slices.Sorted(maps.Keys(shipped)) {
		if n := fulfilled[code]; n < shipped[code] && !refused {
			c.wrong(NotTold, "of %s the cart has %d shipped, and %d left", code, n, shipped[code])
		}
	}
	for _, code := range slices.Sorted(maps.Keys(fulfilled)) {
		if n := fulfilled[code]; n > shipped[code] {
			c.wrong(ToldTwice, "of %s the cart has %d shipped, and %d left", code, n, shipped[code])
		}
	}
}

// contentsTold checks that the cart has in each parcel what was in it, where that can
// be said: the parts of a kit may go in parcels of their own, what a warehouse does not
// tell is assumed, and a cart's other lines may have no place for it.
func (c *checked) contentsTold(left map[string]Units) {
	if c.stale || c.has(store.EventAssumed) {
		return
	}
	kit := make(map[string]bool) // the item codes that parts of kits have
	for sku := range c.lines {
		for code, n := range c.shop.Parts[sku] {
			kit[code] = kit[code] || n > 1 || len(c.shop.Parts[sku]) > 1
		}
	}
	for _, p := range c.cart.Parcels {
		in, told := make(Units), c.shop.codes(p.Items)
		for number := range strings.SplitSeq(p.Tracking, ",") {
			in.add(left[strings.TrimSpace(number)], 1)
		}
		for _, code := range slices.Sorted(maps.Keys(told)) {
			if !kit[code] && told[code] > in[code] {
				c.wrong(NotTold, "the cart has %d units of %s in parcel %s, and %d were in it", told[code], code, p.Tracking, in[code])
			}
		}
	}
}

// stock checks that a cart shows what the warehouse has free: of a kit as many as
// its parts make. A cart that keeps physical stock has besides what it still
// subtracts by itself for orders that the warehouse set goods aside for.
func (a *audit) stock(s *shop) {
	if s.Stock == nil || a.Free == nil {
		return
	}
	for _, sku := range slices.Sorted(maps.Keys(s.Parts)) {
		free, known := s.free(sku, a.Free)
		if !known {
			continue
		}
		var owed int64
		if s.Physical {
			owed = s.owed[sku]
		}
		if s.Stock[sku] != free+owed {
			a.wrong(StockWrong, sku, "%s has %d, the warehouse %d free and %d for orders under way", s.Name, s.Stock[sku], free, owed)
		}
	}
}

// free is how many of a SKU the warehouse's free units make; known is false where
// it never told of one of the parts.
func (s *shop) free(sku string, stock Units) (n int64, known bool) {
	first := true
	for code, units := range s.Parts[sku] {
		have, told := stock[code]
		if !told || code == "" {
			return 0, false
		}
		if made := max(0, have) / units; first || made < n {
			n, first = made, false
		}
	}
	return n, !first
}

// calls checks that people got all news of alerts.
func (a *audit) calls() {
	if a.Got == nil {
		return
	}
	told := make(map[News]bool)
	for _, n := range a.News {
		told[n] = true
	}
	for _, n := range slices.SortedFunc(maps.Keys(a.Got), func(x, y News) int {
		return cmp.Or(cmp.Compare(x.Alert, y.Alert), cmp.Compare(x.Message, y.Message), cmp.Compare(x.News, y.News))
	}) {
		if !told[n] {
			a.wrong(Misled, fmt.Sprintf("alert %d", n.Alert), "message %s says that it was %s, which the ledger does not tell", n.Message, n.News)
		}
	}
	once := make(map[News]string) // messages, by what they tell and may tell no more
	for _, n := range a.News {
		subject := fmt.Sprintf("alert %d", n.Alert)
		if what := (News{Alert: n.Alert, News: n.News}); n.News != relay.AlertRaised {
			if before := once[what]; before != "" {
				a.wrong(Misled, subject, "that it was %s is told by messages %s and %s", n.News, before, n.Message)
			}
			once[what] = n.Message
		}
		switch {
		case n.Message == "":
			a.wrong(NotCalled, subject, "it was %s, and no message tells it", n.News)
		case !a.Got[n]:
			a.wrong(NotCalled, subject, "it was %s, and message %s did not come", n.News, n.Message)
		}
	}
}
