package easypost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	fewOrders   = 4   // up to so many open orders are read one by one
	maxFailures = 5   // failed reads in a row after which the rest is left for later
	maxStatus   = 64  // characters of a vendor's status
	maxStatuses = 100 // unknown statuses that are remembered as logged
)

// PullShipments reads the open orders: a few one by one, many from the newest
// pages of the list and then, one by one, those that were not there. An order
// that could not be read this time is reported with nothing new.
func (c *connection) PullShipments(ctx context.Context, q connectors.ShipmentsQuery) (connectors.ShipmentsPage, error) {
	const op = "pull shipments"
	found := make(map[relay.WarehouseOrderID]connectors.OrderUpdate, len(q.Open))
	if len(q.Open) > fewOrders {
		if err := c.listOpen(ctx, op, q.Open, found); err != nil && !exchange.KindIs(err, relay.NotFound, relay.Invalid) {
			return connectors.ShipmentsPage{}, err
		}
	}
	cursor, err := c.readMissing(ctx, op, q, found)
	if err != nil {
		return connectors.ShipmentsPage{}, err
	}
	if err := c.doubtGone(ctx, op, found); err != nil {
		return connectors.ShipmentsPage{}, err
	}
	page := connectors.ShipmentsPage{Cursor: cursor}
	for _, o := range q.Open {
		u, ok := found[o.ID]
		if !ok {
			u = connectors.OrderUpdate{ID: o.ID, Progress: connectors.InProgress}
		}
		page.Updates = append(page.Updates, u)
	}
	return page, nil
}

// readMissing fills found with the orders that are not there yet, as far as its
// turn goes, and returns where the next turn begins. It fails only when there
// would be nothing at all to report.
func (c *connection) readMissing(ctx context.Context, op string, q connectors.ShipmentsQuery, found map[relay.WarehouseOrderID]connectors.OrderUpdate) (string, error) {
	cursor, failures := q.Cursor, 0
	var failed error
	ids := missing(q.Open, found, q.Cursor)
	for _, id := range ids[:min(len(ids), c.orderReads)] {
		u, err := c.readUpdate(ctx, op, id)
		switch {
		case err == nil:
			failures = 0
			found[id] = u
		case ctx.Err() != nil, errors.Is(err, relay.Unauthorised):
			return "", err
		default:
			failures++
			failed = err
			c.log.Warn("order could not be read", "warehouse_order", id, "error", err)
		}
		if errors.Is(err, relay.Throttled) {
			break
		}
		cursor = string(id)
		if failures == maxFailures {
			break // the others have their turn in the next pull
		}
	}
	if failed != nil && len(found) == 0 {
		return "", failed
	}
	return cursor, nil
}

// doubtGone fails when every order seems to be gone because the whole API is:
// a wrong address answers 404 as well.
func (c *connection) doubtGone(ctx context.Context, op string, found map[relay.WarehouseOrderID]connectors.OrderUpdate) error {
	if len(found) == 0 {
		return nil
	}
	for _, u := range found {
		if u.Progress != connectors.Gone {
			return nil
		}
	}
	return c.answers(ctx, op)
}

// answers makes sure that the API is where we think it is.
func (c *connection) answers(ctx context.Context, op string) error {
	_, err := c.warehouses(ctx, op)
	var e *relay.Error
	if errors.As(err, &e) && e.Kind == relay.NotFound {
		e.Kind = relay.Unavailable
		e.Err = fmt.Errorf("nothing but 404 comes from this address: %w", e.Err)
	}
	return err
}

// listOpen fills found from the list of orders, which shows the newest first
// if it keeps to an order at all.
func (c *connection) listOpen(ctx context.Context, op string, open []connectors.OpenOrder, found map[relay.WarehouseOrderID]connectors.OrderUpdate) error {
	wanted := make(map[relay.WarehouseOrderID]bool, len(open))
	for _, o := range open {
		wanted[o.ID] = true
	}
	pages := 2 + 2*len(open)/c.client.pageSize
	_, _, err := walk(ctx, c.client, op, "orders", pages, func(r orderRow) string { return string(r.id) }, func(rows []orderRow) (bool, error) {
		for _, row := range rows {
			id := relay.WarehouseOrderID(row.id)
			if !wanted[id] {
				continue
			}
			var o orderJSON
			// A row that tells of neither picks nor trackers is a short form: the order is read by itself.
			if decode(row.body, &o) != nil || (o.Picks == nil && o.Trackers == nil) {
				continue
			}
			if err := c.wrongMode(op, o.modes()...); err != nil {
				return false, err
			}
			if u := c.update(o); u.Progress != connectors.InTrouble || !c.hasShipped(o) {
				found[id] = u // else the order itself may tell the tracking that the row lacks
			}
		}
		return len(found) < len(wanted), nil
	})
	return err
}

func orderID(o orderJSON) string { return string(o.ID) }

// missing lists the open orders that were not found, beginning after the
// cursor, so that pull after pull every one of many has its turn.
func missing(open []connectors.OpenOrder, found map[relay.WarehouseOrderID]connectors.OrderUpdate, cursor string) []relay.WarehouseOrderID {
	var ids []relay.WarehouseOrderID
	for _, o := range open {
		if _, ok := found[o.ID]; !ok {
			ids = append(ids, o.ID)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	from, past := slices.BinarySearch(ids, relay.WarehouseOrderID(cursor))
	if past {
		from++
	}
	return append(slices.Clone(ids[from:]), ids[:from]...)
}

func (c *connection) readUpdate(ctx context.Context, op string, id relay.WarehouseOrderID) (connectors.OrderUpdate, error) {
	o, err := c.readOrder(ctx, op, id)
	if errors.Is(err, relay.NotFound) {
		return connectors.OrderUpdate{ID: id, Progress: connectors.Gone}, nil
	}
	if err != nil {
		return connectors.OrderUpdate{}, err
	}
	return c.update(o), nil
}

// update derives the state of an order from its structure first and its status
// second, since nobody has published the statuses (section 8).
func (c *connection) update(o orderJSON) connectors.OrderUpdate {
	u := connectors.OrderUpdate{
		ID:       relay.WarehouseOrderID(o.ID),
		Status:   exchange.Clip(string(o.Status), maxStatus),
		Packages: packages(o),
	}
	status := strings.ToLower(string(o.Status))
	part := func(word string) bool { return strings.Contains(status, word) }
	switch {
	case len(u.Packages) > 0 && (covered(o, u.Packages) || (c.hasShipped(o) && !awaitsTracking(o))):
		u.Progress = connectors.FullShipped
	case len(u.Packages) > 0:
		u.Progress = connectors.PartShipped
	case slices.Contains(c.cancelled, status):
		u.Progress = connectors.Cancelled
	case c.hasShipped(o):
		// Promise 3: no cart can be told of it, so a person has to know.
		u.Progress, u.Hold = connectors.InTrouble, &relay.Hold{Reason: relay.HoldRejected, Code: plainStatus(u.Status), Fields: []relay.Problem{{
			Field: "status", Value: plainStatus(u.Status), Message: "it left without a tracking number, so the cart can't be told: ask EasyPost for it",
		}}}
	case slices.ContainsFunc(c.trouble, part):
		u.Progress, u.Hold = connectors.InTrouble, &relay.Hold{Reason: relay.HoldRejected, Code: plainStatus(u.Status)}
		if part("backorder") {
			u.Hold.Reason = relay.HoldInsufficientInventory
		}
	default:
		u.Progress = connectors.InProgress
		c.noteStatus(u.Status)
	}
	return u
}

// hasShipped reports whether the status says so.
func (c *connection) hasShipped(o orderJSON) bool {
	return slices.Contains(c.shipped, strings.ToLower(string(o.Status)))
}

// plainStatus is a status fit for logs and evidence, where a vendor's sentences are not.
func plainStatus(s string) string {
	return wordOr(strings.ReplaceAll(s, " ", "_"), "unreadable")
}

// noteStatus logs a status of unknown meaning once.
func (c *connection) noteStatus(status string) {
	c.mu.Lock()
	_, known := c.statuses[status]
	if full := len(c.statuses) >= maxStatuses; !known && !full {
		c.statuses[status] = struct{}{}
	} else {
		known = true
	}
	c.mu.Unlock()
	if !known {
		c.log.Info("order status taken as in progress", "status", plainStatus(status))
	}
}

// packages is the union of the order's trackers and those of its picks, with
// the contents where the picks tell them (section 7).
func packages(o orderJSON) []relay.Package {
	ps := newParcels(o)
	for _, t := range o.trackers() {
		ps.place(t)
	}
	names := barcodesOf(o)
	contents := make(map[int]*tally)
	silent := make(map[int]bool) // packages of which some content is not known
	for _, pick := range o.picks() {
		i, ok := ps.place(pick.tracker())
		if !ok {
			continue
		}
		if ps.list[i].ShippedAt.IsZero() {
			ps.list[i].ShippedAt = pick.UpdatedAt.At
		}
		if contents[i] == nil {
			contents[i] = newTally()
		}
		silent[i] = !pick.count(names, contents[i]) || silent[i]
	}
	for i := range ps.list {
		p := &ps.list[i]
		if contents[i] != nil && !silent[i] { // half a content list would tell a cart too little
			p.Items = contents[i].items
		}
		if p.ShippedAt.IsZero() {
			p.ShippedAt = o.UpdatedAt.At
		}
	}
	return ps.list
}

// parcels gathers packages by carrier and tracking code, however often and in
// however many places they are told.
type parcels struct {
	codes    map[text]text     // by tracker id, for trackers told by their id alone
	void     map[string]bool   // ids and codes of the trackers whose label was voided
	carriers map[string]string // by tracking code, where just one carrier is named
	list     []relay.Package
	at       map[string]int // by relay.Package.Key
}

func newParcels(o orderJSON) *parcels {
	ps := &parcels{codes: make(map[text]text), void: make(map[string]bool), carriers: make(map[string]string), at: make(map[string]int)}
	all := slices.Clone(o.trackers())
	for _, p := range o.picks() {
		all = append(all, p.tracker())
	}
	for _, t := range all {
		if t.ID != "" && t.TrackingCode != "" {
			ps.codes[t.ID] = t.TrackingCode
		}
		if t.voided() {
			ps.void[string(t.ID)], ps.void[squeeze(string(t.TrackingCode))] = true, true
		}
	}
	for _, t := range all {
		code := squeeze(string(ps.code(t)))
		if code == "" || t.Carrier == "" {
			continue
		}
		if have, ok := ps.carriers[code]; ok && squeeze(have) != squeeze(string(t.Carrier)) {
			ps.carriers[code] = "" // two carriers with one code: two packages
			continue
		}
		ps.carriers[code] = string(t.Carrier)
	}
	return ps
}

// code is the tracker's code; "" for one that tells none, or whose label was
// voided: no parcel leaves under that.
func (ps *parcels) code(t trackerJSON) text {
	code := cmp.Or(t.TrackingCode, ps.codes[t.ID])
	if code == "" || ps.void[squeeze(string(code))] || (t.ID != "" && ps.void[string(t.ID)]) {
		return ""
	}
	return code
}

// voided reports whether the label was (section 13).
func (t trackerJSON) voided() bool { return strings.EqualFold(string(t.Status), "cancelled") }

// place finds or makes the tracker's package. Without a code there is none.
func (ps *parcels) place(t trackerJSON) (int, bool) {
	if t.TrackingCode = ps.code(t); t.TrackingCode == "" {
		return 0, false
	}
	p := t.toPackage()
	if p.Carrier == "" {
		p.Carrier = ps.carriers[squeeze(p.TrackingNumber)]
	}
	i, ok := ps.at[p.Key()]
	if ok {
		ps.list[i] = merge(ps.list[i], p)
		return i, true
	}
	i = len(ps.list)
	ps.at[p.Key()] = i
	ps.list = append(ps.list, p)
	return i, true
}

func squeeze(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), "")) }

func (t trackerJSON) toPackage() relay.Package {
	p := relay.Package{
		Carrier:        string(t.Carrier),
		TrackingNumber: string(t.TrackingCode),
		TrackingURL:    webLink(string(t.PublicURL)),
		TrackerID:      string(t.ID),
		ShippedAt:      t.CreatedAt.At, // a tracker is created when the parcel ships
	}
	if t.CarrierDetail != nil {
		p.Service = string(t.CarrierDetail.Service)
	}
	return p
}

// webLink drops what is no web address: the link is shown to buyers.
func webLink(s string) string {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return s
	}
	return ""
}

// merge fills what a lacks from b, which is the same parcel told again.
func merge(a, b relay.Package) relay.Package {
	a.Service = cmp.Or(a.Service, b.Service)
	a.TrackingURL = cmp.Or(a.TrackingURL, b.TrackingURL)
	a.TrackerID = cmp.Or(a.TrackerID, b.TrackerID)
	if a.ShippedAt.IsZero() {
		a.ShippedAt = b.ShippedAt
	}
	return a
}

func (p pickJSON) tracker() trackerJSON {
	if p.Tracker != nil {
		return *p.Tracker
	}
	return trackerJSON{ID: p.TrackerID}
}

// barcodesOf maps product ids to barcodes as far as the order tells them.
func barcodesOf(o orderJSON) map[text]text {
	names := make(map[text]text)
	note := func(p *productJSON) {
		if p != nil && p.ID != "" && p.Barcode != "" {
			names[p.ID] = p.Barcode
		}
	}
	for _, l := range o.Lines {
		note(l.Product)
	}
	for _, p := range o.picks() {
		for _, e := range p.Inventories {
			note(e.Product)
		}
	}
	return names
}

// barcode names a product by what is at hand.
func barcode(p *productJSON, id text, names map[text]text) text {
	if p != nil {
		if p.Barcode != "" {
			return p.Barcode
		}
		id = cmp.Or(p.ID, id)
	}
	return names[id]
}

// count adds what is in the pick: each entry is one unit unless it says how
// many it is. false means that an entry can't be made out.
func (p pickJSON) count(names map[text]text, into *tally) bool {
	for _, e := range p.Inventories {
		units := int64(1)
		for _, n := range []number{e.Quantity, e.Units} {
			if !n.Set {
				continue
			}
			whole, exact := n.Value.Whole()
			if n.Bad || !exact {
				return false
			}
			units = whole
			break
		}
		code := barcode(e.Product, e.ProductID, names)
		if code == "" {
			return false
		}
		if units > 0 {
			into.add(relay.ItemCode(code), units)
		}
	}
	return true
}

// tally adds units per code, in order of first appearance.
type tally struct {
	items []relay.Item
	at    map[relay.ItemCode]int
}

func newTally() *tally { return &tally{at: make(map[relay.ItemCode]int)} }

func (t *tally) add(code relay.ItemCode, units int64) {
	i, ok := t.at[code]
	if !ok {
		i = len(t.items)
		t.at[code] = i
		t.items = append(t.items, relay.Item{Code: code})
	}
	t.items[i].Units += units
}

// covered reports whether the packages hold all that was ordered.
func covered(o orderJSON, packages []relay.Package) bool {
	names := barcodesOf(o)
	left := make(map[relay.ItemCode]relay.Quantity)
	for _, l := range o.Lines {
		code := barcode(l.Product, l.ProductID, names)
		if code == "" || !l.Units.Set || l.Units.Bad {
			return false
		}
		left[relay.ItemCode(code)] += l.Units.Value
	}
	for _, p := range packages {
		for _, it := range p.Items {
			if it.Units > maxUnits {
				return false
			}
			left[it.Code] -= relay.Units(it.Units)
		}
	}
	for _, q := range left {
		if q > 0 {
			return false
		}
	}
	return len(left) > 0
}

// awaitsTracking reports whether a pick with contents has no tracking yet: then
// a status of "shipped" is ahead of the facts and another package will follow.
func awaitsTracking(o orderJSON) bool {
	ps := newParcels(o)
	return slices.ContainsFunc(o.picks(), func(p pickJSON) bool {
		return len(p.Inventories) > 0 && ps.code(p.tracker()) == ""
	})
}
