package csv

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	opSubmit        = "submit order"
	opFind          = "look up order"
	opCancel        = "cancel order"
	opPullShipments = "pull shipments"
)

// nameTime is {time} in the name of a file, in UTC.
const nameTime = "20060102150405"

// groupsAPage is how many orders one page of shipments tells of.
const groupsAPage = 500

// warehouse takes orders and tells what became of them by files. The id of an
// order there is the number that we write: its reference.
type warehouse struct {
	*base
	inbox   *inbox
	outbox  *outbox
	service string
	answer  time.Duration
	// What stands in problems, by the list of that folder: kept between the pages of
	// the inbox, which reads one at a time.
	stands   map[answer]bool
	standsIn []file
}

// stockedWarehouse is one that tells its stock as well.
type stockedWarehouse struct {
	*warehouse
	*stock
}

// orderNumber is the order's number in files. A renewed order has another one: "_"
// is in no reference, and a spreadsheet does not take it for a number.
func orderNumber(o connectors.WarehouseOrder) string {
	if o.Renewed == 0 {
		return string(o.Reference)
	}
	return string(o.Reference) + "_" + strconv.Itoa(o.Renewed+1)
}

// numberForm is bounded as a reference is, since it names a folder.
var numberForm = regexp.MustCompile(`^[A-Z0-9](?:[A-Z0-9-]{0,18}[A-Z0-9])?(?:_[0-9]{1,6})?$`)

// request is the body of a prepared order: the exact file.
type request struct {
	Order   string `json:"order"`
	File    string `json:"file"`
	Content []byte `json:"content"`
}

func (w *warehouse) letter(r request) letter {
	return letter{group: r.Order, name: r.File, content: r.Content, alone: true}
}

// PrepareOrder renders the order's file. What the layout can't hold is refused
// with its field named; nothing is cut off.
func (w *warehouse) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	l := w.profile.orders
	number := orderNumber(o)
	var problems []relay.Problem
	if !numberForm.MatchString(number) || o.Token == "" || len(o.Items) == 0 {
		problems = append(problems, relay.Problem{Field: "order", Message: "want a reference, a token and one item or more"})
	}
	for i, it := range o.Items {
		if strings.TrimSpace(string(it.Code)) == "" || it.Units < 1 {
			problems = append(problems, relay.Problem{Field: fmt.Sprintf("lines[%d]", i), Value: string(it.Code), Message: "want an item code and 1 unit or more"})
		}
	}
	placed := l.writeColumn("placed_at")
	service := string(o.Service)
	if service == "" {
		service = w.service
	}
	head := map[string]string{
		"order": number, "number": o.Number, "token": string(o.Token), "placed_at": l.formatTime(placed, o.PlacedAt), "ship_method": service,
		"ship_to.name": o.ShipTo.Name, "ship_to.company": o.ShipTo.Company, "ship_to.street1": o.ShipTo.Street1, "ship_to.street2": o.ShipTo.Street2,
		"ship_to.city": o.ShipTo.City, "ship_to.state": o.ShipTo.State, "ship_to.zip": o.ShipTo.Zip, "ship_to.country": o.ShipTo.Country,
		"ship_to.phone": o.ShipTo.Phone, "ship_to.email": o.ShipTo.Email,
	}
	lines := make([]map[string]string, len(o.Items))
	for i, it := range o.Items {
		lines[i] = map[string]string{"line": strconv.Itoa(i + 1), "sku": string(it.Code), "quantity": strconv.FormatInt(it.Units, 10)}
	}
	out := l.newWriter()
	if problems = append(problems, out.add(head, lines)...); len(problems) > 0 {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Op: "prepare order", Reason: reasonFor(problems), Fields: problems}
	}
	body, err := json.Marshal(request{Order: number, File: l.orderFile(o), Content: out.text})
	if err != nil { // only a field that JSON can't hold could cause it
		panic(err)
	}
	return connectors.Prepared{Token: o.Token, Body: body}, nil
}

// orderFile is the name of an order's file. All of it is settled when the order is
// prepared, so that it is the key.
func (l *layout) orderFile(o connectors.WarehouseOrder) string {
	return l.fileName(map[string]string{"order": orderNumber(o), "token": string(o.Token), "number": o.Number, "time": o.PlacedAt.UTC().Format(nameTime)})
}

// writeColumn is the one that a field is written to; the zero column where none is.
func (l *layout) writeColumn(field string) column {
	for _, r := range l.records {
		for _, c := range r.columns {
			if c.field == field && c.write {
				return c
			}
		}
	}
	return column{}
}

func reasonFor(problems []relay.Problem) relay.HoldReason {
	for _, p := range problems {
		switch {
		case strings.HasPrefix(p.Field, "ship_to."):
			return relay.HoldBadAddress
		case p.Field == "ship_method":
			return relay.HoldUnmappedShipMethod
		}
	}
	return relay.HoldBadOrder
}

// SubmitOrder hands the order's file over. It is only received then: yes or no
// come by a file, or in a telephone call.
func (w *warehouse) SubmitOrder(ctx context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	var r request
	if err := json.Unmarshal(p.Body, &r); err != nil || r.Order == "" || r.File == "" {
		return connectors.Accepted{}, &relay.Error{Kind: relay.Invalid, Op: opSubmit, Err: errors.New("the request is none of this connector's")}
	}
	if _, err := w.outbox.hand(ctx, opSubmit, w.letter(r)); err != nil {
		return connectors.Accepted{}, err
	}
	return connectors.Accepted{ID: relay.WarehouseOrderID(r.Order), AnswerWithin: w.answer}, nil
}

// FindOrders looks whether the orders' files were handed over. Where one was, or
// one of the same number under another token, that is the order; else it surely was
// not.
func (w *warehouse) FindOrders(ctx context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	out := make([]connectors.Lookup, len(q.Orders))
	err := w.outbox.place.use(ctx, func(f files) error {
		for i, r := range q.Orders {
			l, err := w.lookUp(f, r.Order)
			if err != nil {
				return err
			}
			out[i] = l
		}
		return nil
	})
	if err != nil {
		return nil, failure(opFind, w.outbox.place, err)
	}
	return out, nil
}

func (w *warehouse) lookUp(f files, o connectors.WarehouseOrder) (connectors.Lookup, error) {
	number := orderNumber(o)
	name := w.profile.orders.orderFile(o)
	match := connectors.Match{ID: relay.WarehouseOrderID(number), By: "token", AnswerWithin: w.answer}
	// The copy may have been cleared away, or may lie with what was refused.
	if was, err := w.outbox.find(f, letter{group: number, name: name}); err != nil || was != "" {
		if err == nil {
			var s file
			s, err = f.stat(was)
			match.CreatedAt = s.changed
		}
		return connectors.Lookup{Matches: []connectors.Match{match}, Certain: true}, err
	}
	others, err := w.outbox.handed(f, number)
	if err != nil {
		return connectors.Lookup{}, err
	}
	if len(others) > 0 {
		match.By, match.CreatedAt = "reference", others[0].at
		return connectors.Lookup{Matches: []connectors.Match{match}, Certain: true}, nil
	}
	return connectors.Lookup{Certain: true}, nil
}

// cancelsGroup is the folder of copies of cancels. It is no order's.
const cancelsGroup = "cancels"

// CancelOrder hands a cancel over where the profile has one; its answer comes by a
// file. Else a person must be asked, and the evidence says so.
func (w *warehouse) CancelOrder(ctx context.Context, id relay.WarehouseOrderID) (connectors.CancelAnswer, error) {
	number := string(id)
	if !numberForm.MatchString(number) {
		return connectors.CancelAnswer{}, &relay.Error{Kind: relay.NotFound, Op: opCancel, Err: errors.New("the order's id is none of this connector's")}
	}
	l := w.profile.cancels
	if l == nil || l.write == "" {
		return connectors.CancelAnswer{Result: connectors.CancelPending,
			Evidence: fmt.Sprintf("nothing was asked of the warehouse: it takes no cancels by file. Ask a person there to stop order %s", number)}, nil
	}
	values := map[string]string{"order": number, "key": number}
	out := l.newWriter()
	if problems := out.add(values, nil); len(problems) > 0 {
		return connectors.CancelAnswer{}, &relay.Error{Kind: relay.Invalid, Op: opCancel, Fields: problems}
	}
	name := l.fileName(values)
	if _, err := w.outbox.hand(ctx, opCancel, letter{group: cancelsGroup, name: name, content: out.text}); err != nil {
		return connectors.CancelAnswer{}, err
	}
	return connectors.CancelAnswer{Result: connectors.CancelPending, Evidence: "asked by the file " + name + "; the warehouse has not answered"}, nil
}

// doubtful is for how long an order that was handed over may be unknown to the ledger
// before people are called; in doubt, it is looked for within minutes.
const doubtful = 24 * time.Hour

// PullShipments reads acknowledgements and shipments. Its cursor goes over files,
// so an order is told of when a file names it, whether or not it was asked for. A
// file is told once: what it says of an order that we handed over, and whose
// outcome the ledger does not know yet, waits; what it says of others does not. What
// is of no order that was ever handed over here may be of one whose number was
// spoiled on the way: it is told to people, unless the profile says that the partner
// writes of other senders' orders too.
func (w *warehouse) PullShipments(ctx context.Context, q connectors.ShipmentsQuery) (connectors.ShipmentsPage, error) {
	var out connectors.ShipmentsPage
	var refused []string
	take := func(l *layout, f fileRef, g group) []entry {
		updates, bad := l.tells(f, g)
		for _, u := range updates {
			if u.Progress == connectors.Refused {
				refused = append(refused, g.key)
			}
		}
		out.Updates = append(out.Updates, updates...)
		return bad
	}
	unfit := func(l *layout, f fileRef, g group) []entry {
		_, bad := l.tells(f, g)
		return bad
	}
	p, err := w.inbox.read(ctx, opPullShipments, q.Cursor, groupsAPage, taker{take: take, judge: w.judge(ctx, q), unfit: unfit, handed: w.lastHanded, tidy: w.tidy(ctx, q)})
	if err != nil {
		return connectors.ShipmentsPage{}, err
	}
	if err := w.forgetRefused(ctx, refused); err != nil {
		return connectors.ShipmentsPage{}, err
	}
	out.Cursor, out.More, out.Unread = p.cursor, p.more, p.unread
	return out, nil
}

// tells reads what a file says of one order.
func (l *layout) tells(f fileRef, g group) ([]connectors.OrderUpdate, []entry) {
	if l.kind == kindAcknowledgements {
		return l.answers(g.key, g)
	}
	return l.shipped(g.key, g, time.Unix(0, f.Mod).UTC())
}

// judge says what may be told of an order now.
func (w *warehouse) judge(ctx context.Context, q connectors.ShipmentsQuery) func(files, fileRef, group) (fate, error) {
	open := make(map[string]bool, len(q.Open))
	for _, o := range q.Open {
		open[string(o.ID)] = true
	}
	var standing map[answer]bool // nil: not looked at yet
	return func(f files, from fileRef, g group) (fate, error) {
		l := w.inbox.layoutOf(from.Name)
		if l != nil && l.kind == kindAcknowledgements && !g.waited {
			if standing == nil {
				var err error
				if standing, err = w.standing(f); err != nil {
					return told, err
				}
			}
			if last, ok := lastAnswer(g); ok {
				switch sure, stands := standing[last]; {
				case !stands:
				case sure, from.Again != 0: // which is said of such a file as a whole
					return never, nil
				default:
					return perhaps, nil
				}
			}
		}
		number := g.key
		repeated, sure := from.Again != 0, q.Known == nil || open[number]
		ours := numberForm.MatchString(number)
		switch {
		case repeated && !ours && !g.unheard:
			return never, nil
		case !repeated && sure:
			return told, nil
		}
		var handed []handedOver
		if ours {
			var err error
			if handed, err = w.outbox.handed(f, number); err != nil {
				return told, err
			}
		}
		copies := handed
		if repeated && len(handed) == 0 && !g.unheard {
			// Promise 3: this very answer may have put the copy aside, and its cursor was lost.
			var err error
			if copies, err = w.outbox.refused(f, number); err != nil {
				return told, err
			}
		}
		strange := l != nil && !l.others
		switch {
		case repeated && !news(copies, from, g):
			return never, nil
		case sure || len(handed) == 0 && !strange:
			return told, nil
		case !ours: // no order was ever handed over under such a number
			return alien, nil
		}
		there, err := known(ctx, q, []relay.WarehouseOrderID{relay.WarehouseOrderID(number)})
		switch {
		case err != nil || there[0]:
			return told, err
		case len(handed) == 0:
			return alien, nil
		case slices.ContainsFunc(handed, func(h handedOver) bool { return w.inbox.now().Sub(h.at) < doubtful }):
			return later, nil
		}
		// Promise 3: the ledger finds it as soon as it looks for it, and hears of it then.
		return overdue, nil
	}
}

// lastHanded is when the order of an answer was handed over last, by the copies, whose
// times are all of one clock; before all times where it was not. A parcel is no answer:
// it has left, whatever is handed over since.
func (w *warehouse) lastHanded(f files, from fileRef, g group) (int64, error) {
	l := w.inbox.layoutOf(from.Name)
	if l == nil || l.kind != kindAcknowledgements {
		return 0, nil
	}
	handed, err := w.outbox.handed(f, g.key)
	var last time.Time
	for _, h := range handed {
		if h.at.After(last) {
			last = h.at
		}
	}
	return last.Unix(), err
}

// answer is the hash of a row of acknowledgements that could be read: files in
// problems may be long.
type answer [16]byte

// lastAnswer is the row that counts of those of one order.
func lastAnswer(g group) (answer, bool) {
	e, ok := g.last()
	sum := sha256.Sum256([]byte(strings.Join([]string{e.key, e.values["status"], e.values["message"]}, "\x00")))
	return answer(sum[:16]), ok
}

// standing are the answers in files that lie in problems, but for the bad rows: told
// already, and not to be told again when the mended file is dropped in as a whole. One
// is false where nobody knows whether it was told: not all bad rows are named.
//
// Promise 1: an order that was refused by such a file may have been handed over
// again since, and nothing in the mended one is about that.
func (w *warehouse) standing(f files) (map[answer]bool, error) {
	dir := w.inbox.at(problemsFolder)
	all, err := f.list(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if w.stands != nil && slices.EqualFunc(all, w.standsIn, func(a, b file) bool { return refOf(a) == refOf(b) }) {
		return w.stands, nil
	}
	out := make(map[answer]bool)
	for _, bad := range all {
		l := w.inbox.layoutOf(named(bad.name))
		if l == nil || l.kind != kindAcknowledgements {
			continue
		}
		untold, err := w.inbox.reasonsOf(f, bad.name)
		if err != nil && !barred(err) {
			return nil, err
		}
		sure := !slices.ContainsFunc(untold, badRow.general) && !slices.ContainsFunc(all, func(note file) bool {
			return note.size == 0 && named(note.name) == named(bad.name) // of rows that were never told
		})
		if err := eachGroup(f, path.Join(dir, bad.name), l, func(g group) {
			// A row may be good by now: the profile was mended, or the ledger knows its order.
			g.rows = slices.DeleteFunc(g.rows, func(e entry) bool {
				return slices.ContainsFunc(untold, func(b badRow) bool { return b.Line == e.line })
			})
			if a, ok := lastAnswer(g); ok {
				out[a] = out[a] || sure
			}
		}); err != nil {
			return nil, err
		}
	}
	w.stands, w.standsIn = out, all
	return out, nil
}

// news reports whether what a file tells of an order, with the same content as one
// that was read before, is about something that was not told yet, by the times that
// their place gave to the files and to what was handed over. Heard before, it is news
// of what was handed over between the two, whose answer the second is. Promise 1: the
// first one sent again, whenever it comes, must not refuse what was handed over later
// still; nor must what could not be read then refuse what was handed over since.
func news(handed []handedOver, from fileRef, g group) bool {
	since := slices.DeleteFunc(slices.Clone(handed), func(h handedOver) bool { return h.at.UnixNano() < from.Again })
	if g.unheard {
		return len(since) == 0
	}
	return slices.ContainsFunc(since, func(h handedOver) bool { return h.at.UnixNano() <= from.Mod })
}

// tidy removes old copies, where the ledger can be asked of which orders it knows.
func (w *warehouse) tidy(ctx context.Context, q connectors.ShipmentsQuery) func(files, time.Time) (bool, error) {
	if q.Known == nil {
		return nil
	}
	return func(f files, before time.Time) (bool, error) {
		return w.outbox.forgetOld(f, before, func(ids []relay.WarehouseOrderID) ([]bool, error) { return known(ctx, q, ids) })
	}
}

// known asks the ledger which orders it has, or had, here.
func known(ctx context.Context, q connectors.ShipmentsQuery, ids []relay.WarehouseOrderID) ([]bool, error) {
	out, err := q.Known(ctx, ids)
	if err == nil && len(out) != len(ids) {
		err = errors.New("the answer has another length than the question")
	}
	if err != nil {
		return nil, &relay.Error{Op: opPullShipments, Kind: relay.Unavailable, Err: fmt.Errorf("ask whether orders are known: %w", err)}
	}
	return out, nil
}

// forgetRefused puts the copies of refused orders aside, before anybody is told of
// the refusal: afterwards the order may be handed over again at once.
func (w *warehouse) forgetRefused(ctx context.Context, numbers []string) error {
	if len(numbers) == 0 {
		return nil
	}
	err := w.outbox.place.use(ctx, func(f files) error {
		for _, n := range numbers {
			if numberForm.MatchString(n) {
				if err := w.outbox.refuse(f, n); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return failure(opPullShipments, w.outbox.place, err)
}

// answers reads the acknowledgements of one order. The last row counts.
func (l *layout) answers(number string, g group) (updates []connectors.OrderUpdate, bad []entry) {
	status := l.column("status")
	for _, e := range g.rows {
		if len(e.faults) > 0 {
			bad = append(bad, e)
			continue
		}
		said := e.values["status"]
		word, _ := status.word(said)
		// Without a status of its own the row is an answer all the same.
		u := connectors.OrderUpdate{ID: relay.WarehouseOrderID(number), Status: cmp.Or(clip(said, 60), "acknowledged"), Adds: true, Progress: connectors.InProgress}
		hold := &relay.Hold{Code: clip(said, 60), Words: clip(e.values["message"], 2000)}
		switch word {
		case "", wordAccepted:
		case wordCancelled:
			u.Progress = connectors.Cancelled
		case wordTrouble:
			u.Progress, u.Hold, hold.Reason = connectors.InTrouble, hold, relay.HoldRejected
		case wordRefused:
			u.Progress, u.Hold, hold.Reason = connectors.Refused, hold, relay.HoldRejected
		default: // refused, and why
			u.Progress, u.Hold, hold.Reason = connectors.Refused, hold, relay.HoldReason(word)
		}
		updates = []connectors.OrderUpdate{u}
	}
	return updates, bad
}

// shipped reads the parcels of one order. Rows of one tracking number are one
// parcel; the very same row twice is one row. A parcel of which a row is bad is left
// out as a whole. Beside a row that can't be read, and is or may be one of the order's,
// the others are told: waiting for a person would hold up what has left, and what the
// mended file adds is told then. Not so a parcel that does not tell what it holds: it
// would come to stand for all that is left of the order, and the next one be told to
// nobody.
func (l *layout) shipped(number string, g group, at time.Time) (updates []connectors.OrderUpdate, bad []entry) {
	u := connectors.OrderUpdate{ID: relay.WarehouseOrderID(number), Progress: connectors.PartShipped, Adds: true}
	if l.whole {
		u.Progress = connectors.FullShipped
	}
	complete := l.column("complete")
	spoiled := make(map[string]bool)
	seen := make(map[string]bool)
	var order []string
	parcels := make(map[string]*relay.Package)
	for _, e := range g.rows {
		key := relay.Package{Carrier: e.values["carrier"], TrackingNumber: e.values["tracking"]}.Key()
		if e.values["tracking"] == "" && len(e.faults) == 0 {
			e.fault("tracking", "missing")
		}
		item, fault := l.item(e)
		if fault != nil {
			e.faults = append(e.faults, *fault)
		}
		if len(e.faults) > 0 {
			spoiled[key] = true
			bad = append(bad, e)
			continue
		}
		if word, _ := complete.word(e.values["complete"]); word == wordComplete {
			u.Progress = connectors.FullShipped
		}
		if row := rowText(e); seen[row] {
			continue
		} else {
			seen[row] = true
		}
		p := parcels[key]
		if p == nil {
			p = l.parcel(e, at)
			parcels[key], order = p, append(order, key)
		}
		if item != nil {
			p.Items = addItem(p.Items, *item)
		}
	}
	partly := len(bad) > 0 || g.torn
	if partly {
		u.Progress = connectors.PartShipped // more may come when the file is mended
	}
	silent := false
	for _, key := range order {
		switch p := parcels[key]; {
		case spoiled[key]:
		case partly && len(p.Items) == 0:
			silent = true
		default:
			u.Packages = append(u.Packages, *p)
		}
	}
	if silent {
		bad = append(bad, g.left("which parcels the order has"))
	}
	if len(u.Packages) == 0 {
		return nil, bad
	}
	return []connectors.OrderUpdate{u}, bad
}

// rowText tells rows apart that say different things.
func rowText(e entry) string {
	var b strings.Builder
	for _, f := range append(slices.Clone(fields[kindShipments].head), fields[kindShipments].line...) {
		b.WriteString(e.values[f])
		b.WriteByte(0)
	}
	return b.String()
}

// item reads what of the parcel the row holds; nil where it does not say.
func (l *layout) item(e entry) (*relay.Item, *fault) {
	sku, quantity := e.values["sku"], e.values["quantity"]
	if sku == "" && quantity == "" || e.fails("sku", "quantity") {
		return nil, nil
	}
	if sku == "" {
		return nil, &fault{"sku", "missing"}
	}
	n, err := l.parseUnits(quantity)
	if err != nil {
		return nil, &fault{"quantity", err.Error()}
	}
	return &relay.Item{Code: relay.ItemCode(sku), Units: n}, nil
}

func addItem(items []relay.Item, it relay.Item) []relay.Item {
	for i := range items {
		if items[i].Code == it.Code {
			items[i].Units += it.Units
			return items
		}
	}
	return append(items, it)
}

func (l *layout) parcel(e entry, at time.Time) *relay.Package {
	c := l.column("shipped_at")
	shipped, err := l.parseTime(c, e.values["shipped_at"])
	if err != nil || shipped.IsZero() {
		shipped = at // that of the file
	}
	return &relay.Package{
		Carrier: e.values["carrier"], Service: e.values["service"], TrackingNumber: e.values["tracking"], TrackingURL: e.values["tracking_url"], ShippedAt: shipped,
	}
}
