package bergen

import (
	"cmp"
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	fewOrders   = 4   // up to so many open orders are read without the lists
	maxFailures = 5   // failed reads in a row after which the rest is left for later
	maxStatus   = 64  // characters of a vendor's status
	maxStatuses = 100 // unknown statuses that are remembered as logged
	dateForm    = "01/02/2006"
)

// PullShipments reads the lists of tickets that shipped or changed lately, which
// tell of most open orders how they stand, and then, one by one, those that
// shipped and, in turns, those that the lists left out. An order that was not or
// could not be read this time is reported with nothing new.
//
// The cursor counts the turns.
func (c *connection) PullShipments(ctx context.Context, q connectors.ShipmentsQuery) (connectors.ShipmentsPage, error) {
	turn, _ := strconv.ParseUint(q.Cursor, 10, 32)
	p := pull{connection: c, op: "pull shipments", open: sortOpen(q.Open), found: make(map[relay.WarehouseOrderID]connectors.OrderUpdate)}
	p.open = rotate(p.open, turn)
	if len(p.open) > fewOrders {
		if err := p.readLists(ctx); err != nil {
			return connectors.ShipmentsPage{}, err
		}
	}
	if err := p.readOrders(ctx); err != nil {
		return connectors.ShipmentsPage{}, err
	}
	if p.rows == nil && p.untracked() {
		// The number may stand in the lists alone (section 9.1).
		if err := p.readLists(ctx); err != nil {
			return connectors.ShipmentsPage{}, err
		}
		if err := p.readOrders(ctx); err != nil {
			return connectors.ShipmentsPage{}, err
		}
	}
	page := connectors.ShipmentsPage{Cursor: strconv.FormatUint((turn+1)%math.MaxUint32, 10)}
	for _, o := range q.Open {
		u, ok := p.found[o.ID]
		if !ok {
			u = connectors.OrderUpdate{ID: o.ID, Progress: connectors.InProgress}
		}
		page.Updates = append(page.Updates, u)
	}
	return page, nil
}

// sortOpen sorts by id and drops repetitions.
func sortOpen(open []connectors.OpenOrder) []connectors.OpenOrder {
	open = slices.Clone(open)
	slices.SortFunc(open, func(a, b connectors.OpenOrder) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(open, func(a, b connectors.OpenOrder) bool { return a.ID == b.ID })
}

// rotate lets each turn begin a golden section further round the ring: turns
// cover it evenly, also when several batches of orders share the cursor.
func rotate(open []connectors.OpenOrder, turn uint64) []connectors.OpenOrder {
	if len(open) == 0 {
		return nil
	}
	_, part := math.Modf(float64(turn) * (math.Phi - 1))
	from := int(part * float64(len(open)))
	return slices.Concat(open[from:], open[:from])
}

// pull is one run of PullShipments.
type pull struct {
	*connection
	op       string
	open     []connectors.OpenOrder // in the order of this turn
	found    map[relay.WarehouseOrderID]connectors.OrderUpdate
	rows     map[string]rowXML // by number in upper case: of the open orders those in a list that shipped
	failures int               // in a row
	failed   error
}

// untracked reports whether an order left without a tracking number.
func (p *pull) untracked() bool {
	for _, u := range p.found {
		if len(u.Packages) == 0 && classOf(u.Status) == shipped {
			return true
		}
	}
	return false
}

// readLists takes the news from the two lists, as far as the account's prefix is
// known: without it a row can't be told from another order's.
func (p *pull) readLists(ctx context.Context) error {
	if err := p.learnPrefix(ctx); err != nil {
		return err
	}
	p.rows = make(map[string]rowXML)
	wanted := make(map[string]relay.WarehouseOrderID, len(p.open))
	for _, o := range p.open {
		wanted[strings.ToUpper(string(o.ID))] = o.ID
	}
	today := time.Now().In(p.eastern)
	from, to := today.AddDate(0, 0, -1-p.listDays).Format(dateForm), today.AddDate(0, 0, 1).Format(dateForm)
	for _, list := range []operation{listByDate, listByShipDate} {
		got, status, err := call[listAnswer](ctx, p.client, p.op, list, from, to)
		if err == nil && len(got.failures()) > 0 {
			err = readError(p.op, status, got.failures())
		}
		switch {
		case err == nil && got.List == nil:
			continue
		case err == nil:
		case ctx.Err() != nil, exchange.KindIs(err, relay.Unauthorised, relay.Throttled):
			return err
		default: // the orders can be read one by one
			p.log.Warn("list of tickets could not be read", "list", list.name, "error", err)
			continue
		}
		for _, row := range got.List.Rows {
			number := p.listed(row.Ticket)
			if _, ours := wanted[strings.ToUpper(strings.TrimSpace(row.Ticket))]; ours {
				number = strings.ToUpper(strings.TrimSpace(row.Ticket))
			}
			if id, ours := wanted[number]; ours {
				p.take(id, number, row)
			}
		}
	}
	return nil
}

// take notes what a row says: all of it, unless the ticket has shipped.
func (p *pull) take(id relay.WarehouseOrderID, number string, row rowXML) {
	switch classOf(row.Status) {
	case shipped, partShipped:
		if len(p.found[id].Packages) == 0 { // else it was read just now
			delete(p.found, id)
			p.rows[number] = row
		}
	case unknownStatus:
		// Nobody knows what it means: the ticket itself may tell more.
	default:
		if _, left := p.rows[number]; !left { // a list is older than the one read after it
			p.found[id] = progressOf(id, row.Status)
		}
	}
}

// learnPrefix reads orders until one tells the prefix. Tickets that wait to be
// imported don't, and then the lists have none of ours anyway.
func (p *pull) learnPrefix(ctx context.Context) error {
	known := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.prefix != ""
	}
	for _, o := range p.open[:min(len(p.open), fewOrders)] {
		if known() {
			return nil
		}
		if err := p.readOne(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// readOrders reads those that shipped and those that no list told of. A quarter
// of the reads is kept for the latter, so that no day's shipments use them up.
func (p *pull) readOrders(ctx context.Context) error {
	var left, rest []connectors.OpenOrder
	for _, o := range p.open {
		if _, done := p.found[o.ID]; done {
			continue
		}
		if _, has := p.rows[strings.ToUpper(string(o.ID))]; has {
			left = append(left, o)
		} else {
			rest = append(rest, o)
		}
	}
	turns := left[:min(len(left), p.orderReads-min(p.orderReads/4, len(rest)))]
	turns = append(slices.Clone(turns), rest[:min(len(rest), p.orderReads-len(turns))]...)
	for _, o := range turns {
		if p.failures == maxFailures {
			break // the others have their turn in another pull
		}
		if err := p.readOne(ctx, o); err != nil {
			return err
		}
	}
	if p.failed != nil && len(p.found) == 0 {
		return p.failed
	}
	return nil
}

// readOne reads an order; what may pass by another pull is no error.
func (p *pull) readOne(ctx context.Context, o connectors.OpenOrder) error {
	u, err := p.update(ctx, o)
	switch {
	case err == nil:
		p.failures = 0
		p.found[o.ID] = u
		return nil
	case ctx.Err() != nil, errors.Is(err, relay.Unauthorised):
		return err
	}
	p.failures++
	p.failed = err
	if errors.Is(err, relay.Throttled) {
		p.failures = maxFailures
	}
	p.log.Warn("order could not be read", "warehouse_order", o.ID, "error", err)
	return nil
}

// update reads how one order stands.
func (p *pull) update(ctx context.Context, o connectors.OpenOrder) (connectors.OrderUpdate, error) {
	if err := checkID(p.op, o.ID); err != nil {
		return connectors.OrderUpdate{}, err
	}
	number := string(o.ID)
	row, leftAlready := p.rows[strings.ToUpper(number)]
	if leftAlready {
		return p.leftBy(ctx, o.ID, nil, row)
	}
	var s standing
	var err error
	if !o.Unanswered {
		s.ticket, err = p.read(ctx, p.op, getTicket, number)
	}
	if o.Unanswered || errors.Is(err, relay.NotFound) {
		s, err = p.lookAfresh(ctx, p.op, number)
	}
	if err != nil {
		return connectors.OrderUpdate{}, err
	}
	if s.ticket != nil {
		return p.ofTicket(ctx, o.ID, s.ticket)
	}
	return p.ofStage(o, s), nil
}

// ofStage is an order under whose number there is no ticket.
func (p *pull) ofStage(o connectors.OpenOrder, s standing) connectors.OrderUpdate {
	u := connectors.OrderUpdate{ID: o.ID, Progress: connectors.Received}
	if !o.Unanswered {
		u.Progress = connectors.InProgress
	}
	switch {
	case s.stage == withdrawn:
		u.Progress, u.Status = connectors.Cancelled, "cancelled before the import"
	case s.stage == importFailed && o.Unanswered:
		why := judge(s.said, nil)
		u.Progress, u.Status = connectors.Refused, "import failed"
		u.Hold = &relay.Hold{Reason: why.reason, Fields: why.fields, Words: wordsOf(s.said)}
		u.Hold.Code = noticeError("", "", 0, s.said).Code
	case s.stage == waiting:
		u.Status = "pending import"
	case s.stage == imported:
		u.Status = "imported"
	case s.stage == importFailed:
		u.Progress = connectors.Gone // it was there before
	case s.stage == notStaged && (!o.Unanswered || time.Since(o.AcceptedAt) > p.answerWithin):
		u.Progress = connectors.Gone
	case s.stage == notStaged:
		u.Status = "not to be seen yet"
	default:
		u.Status = "import status not understood"
	}
	return u
}

// ofTicket is an order whose ticket was read.
func (p *pull) ofTicket(ctx context.Context, id relay.WarehouseOrderID, t *ticketXML) (connectors.OrderUpdate, error) {
	switch classOf(t.Status) {
	case shipped, partShipped:
		return p.leftBy(ctx, id, t, rowXML{Status: t.Status})
	case unknownStatus:
		p.noteStatus(t.Status)
	}
	return progressOf(id, t.Status), nil
}

// leftBy is an order of which packages have left. The best view of them is V2 of
// the boxes, then V1, then the ticket itself (section 9.4); the first that tells
// tracking numbers and contents will do. A view that can't be had for the moment
// is waited for: what a cart was told of a parcel can't be mended.
func (p *pull) leftBy(ctx context.Context, id relay.WarehouseOrderID, ticket *ticketXML, row rowXML) (connectors.OrderUpdate, error) {
	var best *ticketXML
	for _, o := range []operation{getBoxesV2, getBoxes, getTicket} {
		t := ticket
		if o.name != getTicket.name || t == nil {
			var err error
			t, err = p.read(ctx, p.op, o, string(id))
			var e *relay.Error
			if errors.As(err, &e) && e.Code != "" && e.Kind != relay.Unauthorised {
				continue // a no of the service's own
			}
			if err != nil {
				return connectors.OrderUpdate{}, err
			}
		}
		if best == nil || t.tells() > best.tells() {
			best = t
		}
		if best.tells() == tellsAll {
			break
		}
	}
	if best == nil {
		return connectors.OrderUpdate{}, &relay.Error{Kind: relay.Unavailable, Op: p.op, Err: errors.New("a ticket that left can't be read")}
	}
	status := cmp.Or(collapse(best.Status), collapse(row.Status))
	c := classOf(status)
	if c != shipped && c != partShipped {
		return progressOf(id, status), nil // it moved since the list was read
	}
	u := connectors.OrderUpdate{ID: id, Status: exchange.Clip(status, maxStatus), Progress: connectors.InProgress, Packages: packagesOf(best, row.Tracking, p.eastern)}
	switch {
	case len(u.Packages) == 0 && c == shipped:
		// Promise 3: no cart can be told of it, so a person has to know.
		u.Progress, u.Hold = connectors.InTrouble, trouble(relay.HoldRejected, u.Status, "it left without a tracking number, so the cart can't be told: have Bergen's customer service enter it")
	case len(u.Packages) == 0: // a part may be on its way, and the rest is there: the number may come with it
	case c == shipped:
		u.Progress = connectors.FullShipped
	default:
		u.Progress = connectors.PartShipped
	}
	return u, nil
}

// How much a view of a ticket tells of its parcels.
const (
	tellsNothing  = iota
	tellsOneThing // a number for all of it
	tellsNumbers  // of cartons
	tellsAll      // and what is in them
)

func (t *ticketXML) tells() int {
	best := tellsNothing
	if collapse(t.MasterTracking+t.Tracking+t.ProNumber+t.BOLNumber) != "" {
		best = tellsOneThing
	}
	for _, p := range t.Packages {
		if collapse(p.Tracking) == "" {
			continue
		}
		if _, known := contents(p.Lines); !known {
			return tellsNumbers
		}
		best = tellsAll
	}
	return best
}

// packagesOf lists the parcels of a ticket that left, by the tracking numbers of
// its cartons, those that share one together. When all has left, a carton without
// a number went with the ticket's master number, or with the first parcel. A
// ticket without numbered cartons has the master number alone, or the numbers of
// the list, or by truck those of the freight papers.
func packagesOf(t *ticketXML, listed []string, eastern *time.Location) []relay.Package {
	ps := parcels{at: make(map[string]int), model: relay.Package{
		Carrier: collapse(t.ShipVia), Service: collapse(t.ShipService), ShippedAt: dayOf(t.ActualShipDate, eastern),
	}}
	var loose []packageXML
	for _, p := range t.Packages {
		if number := collapse(p.Tracking); number != "" {
			ps.add(number, p.Lines)
		} else {
			loose = append(loose, p)
		}
	}
	master := cmp.Or(collapse(t.MasterTracking), collapse(t.Tracking))
	if classOf(t.Status) == shipped {
		number := master
		if number == "" && len(ps.list) > 0 {
			number = ps.list[0].TrackingNumber
		}
		for _, p := range loose {
			if number != "" {
				ps.add(number, p.Lines)
			}
		}
	}
	if len(ps.list) == 0 {
		numbers := listed
		if master != "" {
			numbers = []string{master}
		}
		if numbers = squeezed(numbers); len(numbers) == 0 {
			numbers = squeezed([]string{cmp.Or(collapse(t.ProNumber), collapse(t.BOLNumber))})
		}
		for _, number := range numbers {
			ps.add(number, nil)
		}
	}
	return ps.packages()
}

// squeezed collapses white space and drops what is empty.
func squeezed(list []string) []string {
	var out []string
	for _, s := range list {
		if s = collapse(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// parcels gathers packages by tracking number.
type parcels struct {
	model  relay.Package
	list   []relay.Package
	silent []bool // of which some contents are not known
	at     map[string]int
}

func (ps *parcels) add(number string, lines []lineXML) {
	p := ps.model
	p.TrackingNumber = number
	i, ok := ps.at[p.Key()]
	if !ok {
		i = len(ps.list)
		ps.at[p.Key()] = i
		ps.list, ps.silent = append(ps.list, p), append(ps.silent, false)
	}
	items, known := contents(lines)
	ps.silent[i] = ps.silent[i] || !known
	for _, it := range items {
		if at := slices.IndexFunc(ps.list[i].Items, func(have relay.Item) bool { return have.Code == it.Code }); at >= 0 {
			ps.list[i].Items[at].Units += it.Units
		} else {
			ps.list[i].Items = append(ps.list[i].Items, it)
		}
	}
}

func (ps *parcels) packages() []relay.Package {
	for i := range ps.list {
		if ps.silent[i] { // half a content list would tell a cart too little
			ps.list[i].Items = nil
		}
	}
	return ps.list
}

// contents reads what is in a carton; known is false when a line can't be made
// out or there is none. ShippedQuantity is only looked at where Quantity is
// missing: elsewhere it is set before anything ships (section 7.4).
func contents(lines []lineXML) (items []relay.Item, known bool) {
	for _, l := range lines {
		code := strings.TrimSpace(l.UPC)
		quantity, err := relay.ParseQuantity(cmp.Or(strings.TrimSpace(l.Quantity), strings.TrimSpace(l.Shipped), "0"))
		units, whole := quantity.Whole()
		if err != nil || !whole || units < 0 || units > maxUnits || (code == "" && units > 0) {
			return nil, false
		}
		if units > 0 {
			items = append(items, relay.Item{Code: relay.ItemCode(code), Units: units})
		}
	}
	return items, len(items) > 0
}

// dayOf reads a date (section 11) as noon of that day at the warehouse, which is
// the same day nearly everywhere. Zero for none.
func dayOf(s string, eastern *time.Location) time.Time {
	if eastern == nil {
		return time.Time{}
	}
	for _, form := range []string{"1/2/2006", "1/2/2006 15:04:05", "1/2/2006 3:04:05 PM", "2006-01-02"} {
		if day, err := time.ParseInLocation(form, collapse(s), eastern); err == nil && day.Year() > 1990 {
			return time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, eastern)
		}
	}
	return time.Time{}
}

var plainForm = regexp.MustCompile(`^[A-Za-z0-9 _.:-]{1,64}$`)

// plainStatus is a word of the vendor's that is fit for logs and evidence.
func plainStatus(s string) string {
	s = collapse(s)
	if plainForm.MatchString(s) {
		return s
	}
	return "unreadable"
}

// noteStatus logs a status of unknown meaning once.
func (c *connection) noteStatus(status string) {
	status = exchange.Clip(collapse(status), maxStatus)
	c.mu.Lock()
	_, known := c.statuses[status]
	if !known && len(c.statuses) < maxStatuses {
		c.statuses[status] = struct{}{}
	} else {
		known = true
	}
	c.mu.Unlock()
	if !known {
		c.log.Info("ticket status taken as in progress", "status", plainStatus(status))
	}
}
