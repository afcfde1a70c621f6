package tradegecko

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const opPushShipments = "push shipments"

// PushShipments tells the cart of packages, one fulfillment each, in the order
// of work of wire/tradegecko.md section 11.4: look first, never fulfil more than
// was ordered, adopt what a merchant packed. Orders are worked on side by side,
// the packages of one order one after the other.
func (c *connection) PushShipments(ctx context.Context, pushes []connectors.ShipmentPush) ([]connectors.ShipmentOutcome, error) {
	out := make([]connectors.ShipmentOutcome, len(pushes))
	byOrder := make(map[id][]int)
	for i, p := range pushes {
		n, err := parseOrderID(opPushShipments, p.Order)
		if err != nil {
			out[i].Err = err
			continue
		}
		byOrder[n] = append(byOrder[n], i)
	}
	keys := slices.Sorted(maps.Keys(byOrder))
	books, err := c.orderBooks(ctx, keys)
	if err != nil {
		for _, i := range slices.Concat(slices.Collect(maps.Values(byOrder))...) {
			out[i].Err = notTried(opPushShipments, err)
		}
		return out, err
	}
	var stop halt
	var g errgroup.Group
	g.SetLimit(c.concurrency)
	for _, k := range keys {
		g.Go(func() error {
			c.pushOrder(ctx, books[k], pushes, byOrder[k], out, &stop)
			return nil
		})
	}
	_ = g.Wait() // the outcomes hold the errors
	return out, stop.reason()
}

// pushOrder works on one order's packages. After a failure that concerns all,
// or one that leaves this order in doubt, the rest is left untried.
func (c *connection) pushOrder(ctx context.Context, b *orderBook, pushes []connectors.ShipmentPush, mine []int, out []connectors.ShipmentOutcome, stop *halt) {
	var doubtful error
	for _, i := range mine {
		if err := cmp.Or(stop.reason(), doubtful); err != nil {
			out[i].Err = notTried(opPushShipments, err)
			continue
		}
		if err := ctx.Err(); err != nil {
			stop.because(exchange.Unsent(opPushShipments, "no time left to send it", err))
			out[i].Err = notTried(opPushShipments, err)
			continue
		}
		out[i] = c.pushOne(ctx, b, pushes[i])
		switch err := out[i].Err; {
		case err == nil:
		case stopsAll(err) && !errors.Is(err, errPartial):
			stop.because(err)
		case relay.KindOf(err) == relay.Unknown:
			doubtful = err
		}
	}
}

// halt remembers the first failure that concerns all orders.
type halt struct {
	mu  sync.Mutex
	err error
}

func (h *halt) because(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
}

func (h *halt) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// errPartial concerns one order alone: what remains of it can't be reckoned.
var errPartial = errors.New("the order's lines or fulfillments could not all be read")

// orderBook is what the cart knows about one order.
type orderBook struct {
	order        order // ID is 0 when the cart has no such order
	lines        map[id]orderLine
	fulfillments []*fulfillment
	partial      bool // some of it could not be read
}

// orderBooks reads all orders' books in bulk.
func (c *connection) orderBooks(ctx context.Context, keys []id) (map[id]*orderBook, error) {
	found, err := c.ordersByID(ctx, opPushShipments, keys)
	if err != nil {
		return nil, err
	}
	orders := inOrder(keys, found)
	lines, err := c.orderLines(ctx, opPushShipments, orders)
	if err != nil {
		return nil, err
	}
	live, err := c.fulfillments(ctx, opPushShipments, slices.Collect(maps.Keys(found)))
	if err != nil {
		return nil, err
	}
	books := make(map[id]*orderBook, len(keys))
	for _, k := range keys {
		b := &orderBook{order: found[k], lines: make(map[id]orderLine), fulfillments: live[k]}
		for _, l := range lines[k] {
			b.lines[l.ID] = l
		}
		b.partial = missingLines(b.order, lines[k]) > 0
		for _, f := range b.fulfillments {
			_, ok := f.contents()
			b.partial = b.partial || !ok
		}
		books[k] = b
	}
	return books, nil
}

// pushOne brings the cart to know one package.
func (c *connection) pushOne(ctx context.Context, b *orderBook, p connectors.ShipmentPush) connectors.ShipmentOutcome {
	fail := func(err error) connectors.ShipmentOutcome { return connectors.ShipmentOutcome{Err: err} }
	units, err := unitsOf(p)
	switch {
	case err != nil:
		return fail(err)
	case b.order.ID == 0:
		return fail(&relay.Error{Op: opPushShipments, Kind: relay.NotFound, Words: "the cart has no such order"})
	}
	if f := b.told(p, units); f != nil {
		if f.Status == "fulfilled" && (f.TrackingNumber.trim() != "" || p.TrackingNumber == "") {
			return connectors.ShipmentOutcome{CartID: f.ID.String(), Found: true}
		}
		return c.ship(ctx, f, p) // an earlier try got half way
	}
	if b.order.cancelled() {
		return fail(b.refuseCancelled())
	}
	if b.partial { // what remains can't be known, and must not be exceeded
		return fail(&relay.Error{Op: opPushShipments, Kind: relay.Unavailable, Err: errPartial})
	}
	if f := b.packed(p, units); f != nil {
		return c.ship(ctx, f, p)
	}
	if err := b.fits(units); err == nil {
		return c.create(ctx, b, p)
	} else if f := b.untracked(units); f != nil && relay.KindOf(err) == relay.Conflict {
		return c.ship(ctx, f, p)
	} else {
		return fail(err)
	}
}

// unitsOf sums the package per order line.
func unitsOf(p connectors.ShipmentPush) (map[id]relay.Quantity, error) {
	units := make(map[id]relay.Quantity, len(p.Lines))
	for i, l := range p.Lines {
		n, err := strconv.ParseInt(string(l.Line), 10, 64)
		if err != nil || n < 1 || l.Units < 1 || l.Units > 1_000_000_000 {
			return nil, &relay.Error{Op: opPushShipments, Kind: relay.Invalid, Fields: []relay.Problem{{
				Field: fmt.Sprintf("lines[%d]", i), Value: exchange.Clip(string(l.Line), 40), Message: "want the number of one of the order's lines and 1 unit or more",
			}}}
		}
		units[id(n)] += relay.Units(l.Units)
	}
	if len(units) == 0 {
		return nil, &relay.Error{Op: opPushShipments, Kind: relay.Invalid, Fields: []relay.Problem{{
			Field: "lines", Message: "a package holds one line or more",
		}}}
	}
	return units, nil
}

// told finds the package among what the cart has: by our mark, or shipped by a
// person under the same tracking number.
func (b *orderBook) told(p connectors.ShipmentPush, units map[id]relay.Quantity) *fulfillment {
	for _, f := range b.fulfillments {
		if hasMark(string(f.Notes), p.Key) {
			return f
		}
	}
	for _, f := range b.fulfillments {
		if f.Status == "fulfilled" && !hasAnyMark(string(f.Notes)) && f.tracks(p) && f.holds(units, false) {
			return f
		}
	}
	return nil
}

// packed finds what the merchant packed for this package: the same lines, best
// with the same tracking number or none yet; or the same tracking number.
func (b *orderBook) packed(p connectors.ShipmentPush, units map[id]relay.Quantity) *fulfillment {
	var best *fulfillment
	bestRank := 4
	for _, f := range b.fulfillments {
		if f.Status != "packed" || hasAnyMark(string(f.Notes)) {
			continue
		}
		rank := 4
		switch {
		case f.tracks(p) && f.holds(units, true):
			rank = 0
		case f.tracks(p) && f.holds(units, false):
			rank = 1
		case f.TrackingNumber.trim() == "" && f.holds(units, true):
			rank = 2
		case f.holds(units, true):
			rank = 3
		}
		if rank < bestRank {
			best, bestRank = f, rank
		}
	}
	return best
}

// untracked finds what a person marked as shipped without a tracking number and
// what holds the package: it lacks only the tracking.
func (b *orderBook) untracked(units map[id]relay.Quantity) *fulfillment {
	for _, f := range b.fulfillments {
		if f.Status == "fulfilled" && f.TrackingNumber.trim() == "" && !hasAnyMark(string(f.Notes)) && f.holds(units, false) {
			return f
		}
	}
	return nil
}

// fits reports what of the package is more than the cart has left to ship.
func (b *orderBook) fits(units map[id]relay.Quantity) error {
	left := make(map[id]relay.Quantity, len(units))
	for k := range units {
		l, ok := b.lines[k]
		if !ok {
			return &relay.Error{Op: opPushShipments, Kind: relay.Invalid, Code: "unknown_line", Fields: []relay.Problem{{
				Field: "lines", Value: k.String(), Message: "the cart's order has no such line any more",
			}}}
		}
		n, err := l.Quantity.quantity()
		if err != nil {
			return &relay.Error{Op: opPushShipments, Kind: relay.Invalid, Code: "unreadable_quantity", Fields: []relay.Problem{{
				Field: "lines", Value: k.String(), Message: "the cart's quantity could not be read",
			}}}
		}
		left[k] = n
	}
	for _, f := range b.fulfillments {
		contents, _ := f.contents()
		for k, n := range contents {
			left[k] -= n
		}
	}
	var over []relay.Problem
	for _, k := range slices.Sorted(maps.Keys(units)) {
		if units[k] > left[k] {
			over = append(over, relay.Problem{Field: "lines", Value: k.String(), Message: fmt.Sprintf(
				"the package holds %s, but the cart has %s left to ship: the rest is packed or shipped there otherwise", units[k], max(left[k], 0))})
		}
	}
	if over != nil {
		return &relay.Error{Op: opPushShipments, Kind: relay.Conflict, Code: "nothing_left_to_ship", Fields: over}
	}
	return nil
}

func (b *orderBook) refuseCancelled() error {
	return &relay.Error{
		Op: opPushShipments, Kind: relay.Rejected, Code: "order_" + string(b.order.Status),
		Fields: []relay.Problem{{
			Field: "order.status", Value: string(b.order.Status),
			Message: "the order was cancelled in the cart, which takes no shipment for it",
		}},
	}
}

// tracks reports whether f has the package's tracking number, without regard to
// case and blanks.
func (f *fulfillment) tracks(p connectors.ShipmentPush) bool {
	squeeze := func(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), "")) }
	want := squeeze(p.TrackingNumber)
	return want != "" && squeeze(string(f.TrackingNumber)) == want
}

// holds reports whether f contains the units: exactly, or with others.
func (f *fulfillment) holds(units map[id]relay.Quantity, exactly bool) bool {
	contents, ok := f.contents()
	if exactly {
		return ok && maps.Equal(contents, units)
	}
	for k, n := range units {
		if contents[k] < n {
			return false
		}
	}
	return true
}

// create writes a new fulfillment and ships it. When the reply is lost, it
// looks before it says anything.
func (c *connection) create(ctx context.Context, b *orderBook, p connectors.ShipmentPush) connectors.ShipmentOutcome {
	w := c.newFulfillment(b.order, p)
	d, _, err := c.api.do(ctx, request{
		op: "create fulfillment", method: http.MethodPost, path: "/fulfillments",
		key: writeKey(p.Key, "pack", b.order), body: fulfillmentBody{Fulfillment: w},
	})
	if err == nil && (d.Fulfillment == nil || d.Fulfillment.ID <= 0) {
		err = doubt("create fulfillment", unreadable("create fulfillment", "fulfillment"))
	}
	var f *fulfillment
	switch {
	case err == nil:
		f = d.Fulfillment
		f.Status = cmp.Or(f.Status, text(w.Status))
		f.Notes, f.TrackingNumber = text(w.Notes), text(w.TrackingNumber)
		for _, l := range w.Lines {
			f.lines = append(f.lines, fulfillmentLine{OrderLineID: id(l.OrderLineID), Quantity: decimal(l.Quantity)})
		}
	case inDoubt(err) || relay.KindOf(err) == relay.Conflict:
		if f = c.lookAgain(ctx, b, p); f == nil && inDoubt(err) {
			err = doubt(opPushShipments, err)
		}
	}
	if f == nil {
		return connectors.ShipmentOutcome{Err: err}
	}
	b.fulfillments = append(b.fulfillments, f)
	if f.Status == "fulfilled" {
		return connectors.ShipmentOutcome{CartID: f.ID.String()}
	}
	return c.ship(ctx, f, p)
}

func (c *connection) newFulfillment(o order, p connectors.ShipmentPush) fulfillmentWrite {
	w := fulfillmentWrite{
		OrderID: int64(o.ID), Status: "packed", StockLocationID: c.location,
		ShippingAddressID: int64(o.ShippingAddressID), BillingAddressID: int64(o.BillingAddressID),
		PackedAt:        shippedAt(p).Format(time.DateOnly),
		TrackingCompany: p.Carrier, TrackingNumber: p.TrackingNumber, TrackingURL: p.TrackingURL,
		Service: p.Service, Notes: mark(p.Key),
	}
	if c.createFulfilled {
		w.Status, w.ShippedAt = "fulfilled", wireTime(shippedAt(p))
	}
	for _, l := range p.Lines {
		n, _ := strconv.ParseInt(string(l.Line), 10, 64) // unitsOf has read it
		w.Lines = append(w.Lines, lineWrite{OrderLineID: n, Quantity: strconv.FormatInt(l.Units, 10)})
	}
	return w
}

// lookAgain reads the order's fulfillments anew and finds the package, or nil.
func (c *connection) lookAgain(ctx context.Context, b *orderBook, p connectors.ShipmentPush) *fulfillment {
	live, err := c.fulfillments(ctx, opPushShipments, []id{b.order.ID})
	if err != nil {
		return nil
	}
	now := orderBook{order: b.order, fulfillments: live[b.order.ID]}
	for _, f := range now.fulfillments {
		if hasMark(string(f.Notes), p.Key) {
			return f
		}
	}
	return nil
}

// ship turns a fulfillment fulfilled and gives it the tracking. Doing so twice
// does no harm.
func (c *connection) ship(ctx context.Context, f *fulfillment, p connectors.ShipmentPush) connectors.ShipmentOutcome {
	const op = "ship fulfillment"
	w := fulfillmentWrite{TrackingCompany: p.Carrier, TrackingNumber: p.TrackingNumber, TrackingURL: p.TrackingURL, Service: p.Service}
	if f.Status != "fulfilled" {
		w.Status, w.ShippedAt = "fulfilled", wireTime(shippedAt(p))
	}
	if !hasMark(string(f.Notes), p.Key) {
		w.Notes = withMark(string(f.Notes), p.Key)
	}
	d, _, err := c.api.do(ctx, request{
		op: op, method: http.MethodPut, path: "/fulfillments/" + f.ID.String(), body: fulfillmentBody{Fulfillment: w},
		// Of each try its own: it may be repeated freely, and a key spent by a
		// failed try would be refused for a day.
		key: p.Key + ":ship:" + strconv.FormatInt(time.Now().UnixMilli(), 36),
	})
	switch {
	case errors.Is(err, relay.NotFound): // deleted since it was read: read anew
		return connectors.ShipmentOutcome{Err: doubt(opPushShipments, err)}
	case err != nil && !inDoubt(err):
		return connectors.ShipmentOutcome{Err: err}
	}
	now := (*fulfillment)(nil)
	if err == nil {
		now = d.Fulfillment // 200 with it, or 204 without
	}
	if now == nil || now.ID != f.ID || now.Status == "" {
		read, _, readErr := c.api.do(ctx, request{op: op, path: "/fulfillments/" + f.ID.String()})
		if readErr == nil && read.Fulfillment == nil {
			readErr = unreadable(op, "fulfillment")
		}
		if readErr != nil {
			return connectors.ShipmentOutcome{Err: doubt(opPushShipments, cmp.Or(err, readErr))}
		}
		now = read.Fulfillment
	}
	switch {
	case now.Status == "fulfilled" && (p.TrackingNumber == "" || now.tracks(p)):
		f.Status, f.TrackingNumber, f.Notes = now.Status, text(p.TrackingNumber), text(withMark(string(f.Notes), p.Key))
		return connectors.ShipmentOutcome{CartID: f.ID.String()}
	case err != nil:
		return connectors.ShipmentOutcome{Err: doubt(opPushShipments, err)}
	}
	return connectors.ShipmentOutcome{Err: &relay.Error{
		Op: opPushShipments, Kind: relay.Rejected, Code: "not_shipped",
		Words: "the cart accepted the shipment but does not show it",
	}}
}

// shippedAt is when the package left, or now.
func shippedAt(p connectors.ShipmentPush) time.Time {
	if p.ShippedAt.IsZero() {
		return time.Now().UTC()
	}
	return p.ShippedAt.UTC()
}

// writeKey is the Idempotency-Key of a create. The order's version is part of
// it: while nothing changed there, a second try is caught; after a refusal that
// a person mended, the spent key is not in the way for the rest of its 24 hours.
func writeKey(key, what string, o order) string {
	sum := sha256.Sum256([]byte(string(o.Status) + "\x00" + wireTime(o.UpdatedAt.Time)))
	return fmt.Sprintf("%s:%s:%x", key, what, sum[:4])
}
