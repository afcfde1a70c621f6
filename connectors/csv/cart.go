package csv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	opPullOrders    = "pull orders"
	opPullCancels   = "pull cancellations"
	opPushShipments = "push shipments"
	opPushInventory = "push inventory"
	opPushCancels   = "push cancels"
)

// cart tells its orders, and is told of shipments, by files. The id of an order is
// what its file has in the column of the field order.
type cart struct {
	*base
	orders  *inbox
	cancels *inbox
	outbox  *outbox
}

// PullOrders reads files of orders. An order in which something can't be read is
// taken in with its problems; a row that belongs to no order that can be told is
// reported alone. A later file goes before an earlier one.
func (c *cart) PullOrders(ctx context.Context, q connectors.OrdersQuery) (connectors.OrdersPage, error) {
	var out connectors.OrdersPage
	p, err := c.orders.read(ctx, opPullOrders, q.Cursor, q.Limit, taker{readOnly: q.ReadOnly, take: func(l *layout, f fileRef, g group) []entry {
		o, ok, bad := l.order(g, time.Unix(0, f.Mod).UTC().Truncate(time.Microsecond))
		if ok && !o.PlacedAt.Before(q.Earliest) {
			out.Orders = append(out.Orders, o)
		}
		return bad
	}})
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	out.Cursor, out.More, out.Unread = p.cursor, p.more, p.unread
	return out, nil
}

// order makes a cart order of the rows of one; ok is false where no row of it can
// be read. at is the time of the file, which stands in for a time that it does not
// tell.
func (l *layout) order(g group, at time.Time) (o relay.CartOrder, ok bool, bad []entry) {
	o.ExternalID, o.Number, o.PlacedAt, o.UpdatedAt = relay.ExternalID(g.key), g.key, at, at
	seen := make(map[string]bool)
	headed := false
	problem := func(line int, field, message string) {
		o.Problems = append(o.Problems, relay.Problem{Field: field, Message: fmt.Sprintf("line %d of the file: %s", line, message)})
	}
	for _, e := range g.rows {
		if e.head && !headed && !e.fails("order") {
			headed, ok = true, true
			l.readHead(&o, e)
		}
		line, faults := l.line(e)
		e.faults = append(e.faults, faults...)
		if l.typed && e.item && !headed && len(e.faults) == 0 {
			e.fault("", "the order's own row is missing before its lines")
		}
		if len(e.faults) > 0 {
			for _, f := range e.faults {
				problem(e.line, cmp.Or(f.field, "lines"), f.message)
			}
			bad = append(bad, e)
			continue
		}
		if e.item && !l.twice(&o, e, line, seen) {
			problem(e.line, "lines", fmt.Sprintf("line %s is told twice, each time otherwise", clip(e.values["line"], 40)))
			bad = append(bad, e)
		}
	}
	if g.torn {
		o.Problems = append(o.Problems, relay.Problem{Field: "lines", Message: "a row beside the order's own can't be read, and may be one of it: mend the file and drop it in again"})
	}
	return o, ok, bad
}

// twice adds a line to the order, unless it is there: the very same row twice is
// one row. It is false for a line that is there with other values.
func (l *layout) twice(o *relay.CartOrder, e entry, line relay.Line, seen map[string]bool) bool {
	row := strings.Join([]string{e.values["line"], string(line.SKU), line.Name, line.Quantity.String()}, "\x00")
	if seen[row] {
		return true
	}
	seen[row] = true
	taken := func(id relay.LineID) bool {
		return slices.ContainsFunc(o.Lines, func(b relay.Line) bool { return b.ID == id })
	}
	if e.values["line"] != "" {
		if slices.ContainsFunc(o.Lines, func(b relay.Line) bool { n, _ := splitLineID(b.ID); return n == e.values["line"] }) {
			return false
		}
	} else {
		for n := 2; taken(line.ID); n++ {
			line.ID = lineID(strconv.Itoa(n), string(line.SKU))
		}
	}
	o.Lines = append(o.Lines, line)
	return true
}

// lineID makes a line's id of its number in the file and its SKU, since a shipment
// is to name both and is told by the id alone.
func lineID(number, sku string) relay.LineID {
	return relay.LineID(url.PathEscape(number) + "/" + sku)
}

func splitLineID(id relay.LineID) (number, sku string) {
	number, sku, _ = strings.Cut(string(id), "/")
	if n, err := url.PathUnescape(number); err == nil {
		number = n
	}
	return number, sku
}

func (l *layout) line(e entry) (relay.Line, []fault) {
	line := relay.Line{ID: lineID(e.values["line"], e.values["sku"]), SKU: relay.SKU(e.values["sku"]), Name: e.values["name"]}
	if !e.item || e.fails("quantity") {
		return line, nil
	}
	q, err := l.parseQuantity(e.values["quantity"])
	if err != nil {
		return line, []fault{{"quantity", err.Error()}}
	}
	line.Quantity = q
	return line, nil
}

// readHead reads what a row says of the order as a whole.
func (l *layout) readHead(o *relay.CartOrder, e entry) {
	v := e.values
	o.Number = cmp.Or(v["number"], o.Number)
	o.PlacedAt, o.UpdatedAt = l.timeOr(e, "placed_at", o.PlacedAt), l.timeOr(e, "updated_at", o.UpdatedAt)
	o.ShipMethod = relay.ShipMethod(v["ship_method"])
	o.ShipTo = relay.Address{
		Name: v["ship_to.name"], Company: v["ship_to.company"], Street1: v["ship_to.street1"], Street2: v["ship_to.street2"],
		City: v["ship_to.city"], State: v["ship_to.state"], Zip: v["ship_to.zip"], Country: v["ship_to.country"],
		Phone: v["ship_to.phone"], Email: v["ship_to.email"],
	}
	o.Traits = relay.Traits{Status: v["status"], Payment: v["payment"], Location: v["location"]}
	for tag := range strings.SplitSeq(v["tags"], ";") {
		if tag = strings.TrimSpace(tag); tag != "" {
			o.Traits.Tags = append(o.Traits.Tags, tag)
		}
	}
}

func (l *layout) timeOr(e entry, field string, otherwise time.Time) time.Time {
	c := l.column(field)
	t, err := l.parseTime(c, e.values[field])
	if err != nil || t.IsZero() {
		return otherwise
	}
	return t.UTC()
}

// PullCancellations reads files of cancels, where the profile has them. A cancel
// that may be of an order in a file not read yet is told again until that was.
// Orders to watch can't be looked at.
func (c *cart) PullCancellations(ctx context.Context, q connectors.CancellationsQuery) (connectors.CancellationsPage, error) {
	if len(c.cancels.layouts) == 0 {
		return connectors.CancellationsPage{Cursor: q.Cursor}, nil
	}
	var out connectors.CancellationsPage
	p, err := c.cancels.visit(ctx, opPullCancels, q.Cursor, q.Limit, taker{take: func(_ *layout, f fileRef, g group) (bad []entry) {
		for _, e := range g.rows {
			if len(e.faults) > 0 {
				bad = append(bad, e)
			}
		}
		if len(bad) < len(g.rows) {
			out.Cancelled = append(out.Cancelled, connectors.Cancellation{ID: relay.ExternalID(g.key), Status: "cancelled", At: time.Unix(0, f.Mod).UTC()})
		}
		return bad
	}}, (*visit).foretell)
	if err != nil {
		return connectors.CancellationsPage{}, err
	}
	out.Cursor, out.More = p.cursor, p.more
	return out, nil
}

// PushShipments hands over a file for each parcel, named by its key.
func (c *cart) PushShipments(ctx context.Context, pushes []connectors.ShipmentPush) ([]connectors.ShipmentOutcome, error) {
	l := c.profile.shipments
	shipped := l.writeColumn("shipped_at")
	out := make([]connectors.ShipmentOutcome, len(pushes))
	var stopped error
	for i, p := range pushes {
		if stopped != nil {
			out[i].Err = notTried(opPushShipments, stopped)
			continue
		}
		head := map[string]string{
			"order": string(p.Order), "key": p.Key, "tracking": p.TrackingNumber, "carrier": p.Carrier, "service": p.Service,
			"tracking_url": p.TrackingURL, "shipped_at": l.formatTime(shipped, p.ShippedAt),
		}
		lines := make([]map[string]string, len(p.Lines))
		for j, s := range p.Lines {
			line, sku := splitLineID(s.Line)
			lines[j] = map[string]string{"line": line, "sku": sku, "quantity": strconv.FormatInt(s.Units, 10)}
		}
		w := l.newWriter()
		if problems := w.add(head, lines); len(problems) > 0 {
			out[i].Err = &relay.Error{Kind: relay.Invalid, Op: opPushShipments, Fields: problems}
			continue
		}
		out[i].CartID = l.fileName(map[string]string{"key": p.Key, "order": string(p.Order), "time": p.ShippedAt.UTC().Format(nameTime)})
		out[i].Found, out[i].Err = c.outbox.hand(ctx, opPushShipments, letter{name: out[i].CartID, content: w.text})
		stopped = stops(out[i].Err)
	}
	return out, stopped
}

// stops returns an error after which there is no use in going on.
func stops(err error) error {
	if errors.Is(err, relay.Unavailable) || errors.Is(err, relay.Unauthorised) || errors.Is(err, relay.Unknown) {
		return err
	}
	return nil
}

func notTried(op string, cause error) error {
	return &relay.Error{Kind: relay.Unavailable, Op: op, Err: fmt.Errorf("not tried: %w", cause)}
}

// stockSink is a cart that reads files of stock.
type stockSink struct{ *cart }

// PushInventory hands over one file of what changed. Files can't be asked what the
// cart had before.
func (c stockSink) PushInventory(ctx context.Context, push connectors.InventoryPush) ([]connectors.LevelOutcome, error) {
	l := c.profile.inventory
	out := make([]connectors.LevelOutcome, len(push.Targets))
	w := l.newWriter()
	written := 0
	for i, t := range push.Targets {
		problems := w.add(map[string]string{
			"sku": string(t.SKU), "quantity": l.formatQuantity(t.Available), "owed": l.formatQuantity(t.Owed), "location": t.Location, "key": push.Key,
		}, nil)
		if len(problems) > 0 {
			out[i].Err = &relay.Error{Kind: relay.Invalid, Op: opPushInventory, Fields: problems}
			continue
		}
		out[i] = connectors.LevelOutcome{Before: t.Available, After: t.Available}
		written++
	}
	if written == 0 {
		return out, nil
	}
	name := l.fileName(map[string]string{"key": push.Key})
	_, err := c.outbox.hand(ctx, opPushInventory, letter{name: name, content: w.text})
	if stops(err) != nil {
		return nil, err
	}
	for i := range out {
		out[i].Err = cmp.Or(out[i].Err, err)
	}
	return out, nil
}

// cancels is a cart that reads files of cancels.
type cancels struct{ *cart }

// PushCancels hands over a file for each cancel.
func (c cancels) PushCancels(ctx context.Context, pushes []connectors.CancelPush) ([]connectors.CancelPushOutcome, error) {
	l := c.profile.cancels
	out := make([]connectors.CancelPushOutcome, len(pushes))
	var stopped error
	for i, p := range pushes {
		if stopped != nil {
			out[i].Err = notTried(opPushCancels, stopped)
			continue
		}
		values := map[string]string{"order": string(p.Order), "key": p.Key}
		w := l.newWriter()
		if problems := w.add(values, nil); len(problems) > 0 {
			out[i].Err = &relay.Error{Kind: relay.Invalid, Op: opPushCancels, Fields: problems}
			continue
		}
		out[i].Status = "cancelled"
		out[i].Found, out[i].Err = c.outbox.hand(ctx, opPushCancels, letter{name: l.fileName(values), content: w.text})
		stopped = stops(out[i].Err)
	}
	return out, stopped
}
