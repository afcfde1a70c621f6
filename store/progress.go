package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Progress is what a warehouse reported of one order.
type Progress struct {
	Order relay.OrderID
	// Submission is the latest that there was when the warehouse was asked: that it
	// refused, cancelled, lost or can't go on with the order says nothing of a later
	// one, which may bear the same number there. 0: the warehouse told by itself.
	Submission SubmissionID
	// WarehouseOrderID is what was read: a report of an earlier one says nothing of
	// an order that was reopened. "": whichever it is.
	WarehouseOrderID relay.WarehouseOrderID

	Status   string // the warehouse's own word
	Complete bool   // it says that no more packages follow
	// Settle lets parcels of unknown contents stand for all that is left, though
	// more may follow.
	Settle bool
	// Cancelled says that it will not ship, by the warehouse's own doing or ours.
	Cancelled bool
	// Gone says that the warehouse does not know the order. After a cancel that
	// was asked for it means cancelled; else it may be a passing fault.
	Gone bool
	// Working says that the warehouse took the order and is not stuck with it.
	Working bool
	// Stuck, when not nil, is why the warehouse, which has the order, can't go on
	// with it: it is on hold, and nothing of it is sent again.
	Stuck *relay.Hold
	// Refused, when not nil, is why an order that the warehouse had only received is
	// not taken. It is on hold, and may be sent again; but not one that the warehouse
	// had taken, when it tells by itself: that is stuck there.
	Refused  *relay.Hold
	Packages []relay.Package
	// Full says that Packages are all that the warehouse knows of by now: one that was
	// known and is not among them, where another is new, was re-labelled.
	Full bool
}

// answers reports whether it says more than that the order was received. That an
// order is gone is no answer: it may be a passing fault.
func (r Progress) answers() bool {
	return r.taken() || r.Cancelled || r.Refused != nil
}

// taken reports whether it says that the order was taken, and is not given up.
func (r Progress) taken() bool {
	if len(r.Packages) > 0 {
		return true
	}
	return (r.Working || r.Complete || r.Stuck != nil) && !r.Cancelled && !r.Gone && r.Refused == nil
}

// Reading is from where to where a warehouse's own account of orders was read.
type Reading struct {
	Warehouse ConnectionID
	Name      string // of the cursor
	From, To  string
}

// ErrReadOn is the error of a reading that began where another one has gone on since.
var ErrReadOn = errors.New("another run has read on from here")

// Recorded counts what a report of progress changed.
type Recorded struct {
	Packages  int // new ones
	Cancelled int
	Held      int // put on hold: refused after all, or stuck at the warehouse
	Alarms    int // orders that went another way than anybody asked for
	// Woken are orders whose hold ended or has another reason now: their workflows should look again.
	Woken []relay.Reference
	Carts []ConnectionID // carts that have something to be told, in order
}

// standing is what a report can change of an order itself.
type standing struct {
	state      relay.OrderState
	wid        relay.WarehouseOrderID
	warehouse  ConnectionID // of wid
	status     string
	complete   bool
	unanswered bool        // the warehouse has received it, and said neither yes nor no
	reason     string      // of a hold
	code       string      // of a hold
	hold       *relay.Hold // not nil: it is on hold for this now
	began      bool        // with hold: it is a new hold, and not only another reason
}

// attempt is a submission that may be what a report is about.
type attempt struct {
	id    SubmissionID
	state string
	wid   relay.WarehouseOrderID // what it led to
	at    ConnectionID           // where it was sent
	told  bool                   // people were told that the warehouse has it twice
	// refused is why the warehouse did not take what it had received.
	refused *relay.Hold
	was     string // its state as it was read
}

type shippingOrder struct {
	id          relay.OrderID
	reference   relay.Reference
	cart        ConnectionID
	cancelAsked bool
	standing             // as the reports leave it
	was         standing // as it was read
	settle      bool
	attempts    []*attempt // those that are live, and those that led to a warehouse's order; the latest last
	items       []relay.OrderItem
	parcels     []*parcel // in the order in which they were reported
	shipped     relay.Shipped
	begun       map[string][]relay.ItemCode // shipments that hold parts of kits and wait for the rest, by key
	assumed     bool                        // a parcel's contents were assumed: only the warehouse can say that no more follow
	surplus     bool                        // a parcel holds nothing that was ordered, as far as its codes tell
	over        bool                        // parcels of it had left, and it was complete, before
}

// live is the submission that is under way or accepted; nil for none.
func (o *shippingOrder) live() *attempt {
	for _, a := range o.attempts {
		switch a.state {
		case "open", "in_doubt", "accepted":
			return a
		}
	}
	return nil
}

// RecordProgress writes packages and states that a warehouse reported, of each
// order in the order in which it reported them. What it reported before changes
// nothing. A parcel whose contents the warehouse does not say waits until it does
// or the order is complete, and then stands for all that is left of it. The cursor behind
// the reports, where there is one, is written with them: told again, a refusal could
// undo a later submission. ErrReadOn, and nothing is written, when another run has
// recorded what was read from there.
func (s *Store) RecordProgress(ctx context.Context, actor string, reports []Progress, read Reading) (Recorded, error) {
	var out Recorded
	if len(reports) == 0 && read.From == read.To {
		return out, nil
	}
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = Recorded{}
		if err := read.write(ctx, tx); err != nil || len(reports) == 0 {
			return err
		}
		byOrder := make(map[relay.OrderID][]Progress, len(reports))
		ids := make([]int64, 0, len(reports))
		for _, r := range reports {
			if byOrder[r.Order] == nil {
				ids = append(ids, int64(r.Order))
			}
			byOrder[r.Order] = append(byOrder[r.Order], r)
		}
		orders, err := lockShipping(ctx, tx, ids)
		if err != nil {
			return err
		}
		w := shipmentWriter{actor: actor, out: &out, carts: make(map[ConnectionID]bool)}
		for _, o := range orders {
			for _, r := range byOrder[o.id] {
				w.report(o, r)
			}
			w.finish(o)
		}
		out.Carts = slices.Sorted(maps.Keys(w.carts))
		return w.write(ctx, tx)
	})
	if err != nil {
		return Recorded{}, fmt.Errorf("record shipments: %w", err)
	}
	return out, nil
}

// write moves the cursor on, if it is where the reading began. Nobody else moves it
// until the transaction ends.
func (r Reading) write(ctx context.Context, tx pgx.Tx) error {
	if r.From == "" && r.To == "" {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		insert into cursors as c (connection_id, name, value) select $1, $2, $4 where $3 = ''
			or exists (select from cursors where connection_id = $1 and name = $2)
		on conflict (connection_id, name) do update set value = excluded.value, updated_at = now() where c.value = $3`,
		r.Warehouse, r.Name, r.From, r.To)
	if err == nil && tag.RowsAffected() == 0 {
		return ErrReadOn
	}
	return err
}

// shipmentWriter gathers what a batch of reports changes and writes it in one round trip.
type shipmentWriter struct {
	actor    string
	out      *Recorded
	carts    map[ConnectionID]bool
	batch    pgx.Batch
	events   []newEvent
	lines    []packageLines
	items    []packageItems
	orders   []*shippingOrder // that changed
	taken    []int64          // orders that the warehouse had only received until now
	packages struct {
		order, cart                                        []int64
		key, carrier, service, number, url, tracker, state []string
		shippedAt                                          []*time.Time
	}
}

type packageLines struct {
	order relay.OrderID
	key   string
	lines []relay.ShippedLine
}

// tell adds an entry to an order's trail.
func (w *shipmentWriter) tell(o *shippingOrder, kind EventKind, detail map[string]any) {
	w.events = append(w.events, newEvent{o.id, kind, detail})
}

// report takes one report of an order.
func (w *shipmentWriter) report(o *shippingOrder, r Progress) {
	if r.WarehouseOrderID != "" && r.taken() {
		w.takenAfterAll(o, r)
	}
	if o.wid == "" || (r.WarehouseOrderID != "" && r.WarehouseOrderID != o.wid) {
		return
	}
	if a := o.live(); a != nil && r.Submission != 0 && a.id > r.Submission {
		r.Cancelled, r.Gone, r.Stuck, r.Refused = false, false, nil, nil
	}
	received := o.unanswered
	if o.unanswered && r.answers() {
		if o.unanswered = false; r.taken() {
			w.tell(o, EventAcknowledged, map[string]any{"status": plain(r.Status)})
			w.taken = append(w.taken, int64(o.id))
		}
	}
	switch {
	case r.Gone:
		o.status = "gone"
	case r.Status != "":
		o.status = plain(r.Status)
	}
	news := w.takePackages(o, r)
	ends := r.Cancelled || r.Refused != nil || r.Gone
	// What was cancelled after a part had left leaves nothing more to expect.
	o.complete, o.settle = o.complete || r.Complete || (ends && len(o.parcels) > 0), o.settle || r.Settle
	switch {
	case news:
		if o.state == relay.OrderCancelled || o.state == relay.OrderCancelRequested {
			w.out.Alarms++
			w.tell(o, EventShippedAfterAll, map[string]any{"was": o.state})
		}
		if o.state.MayBeReported(relay.OrderShipped) {
			o.state = relay.OrderShipped
		}
	case len(o.parcels) > 0:
	case r.Refused != nil && (received || r.Submission != 0 || o.cancelAsked):
		w.refuse(o, r)
	case r.Refused != nil:
		// It had taken it, and nothing tells which submission it means now: none is sent anew.
		w.stuck(o, *r.Refused)
	case r.Cancelled, r.Gone && o.state == relay.OrderCancelRequested:
		w.cancelled(o, r)
	case r.Stuck != nil:
		w.stuck(o, *r.Stuck)
	case o.state == relay.OrderHeld && (r.Working || r.Complete):
		o.state = relay.OrderAtWarehouse
		w.tell(o, EventReleased, map[string]any{"why": "the warehouse goes on with it"})
	}
}

// takenAfterAll meets the word that a warehouse goes on with an order that it
// had refused. Promise 1: the order must not be sent anew, and if it was, then
// this is what became of it where the warehouse goes by our number.
func (w *shipmentWriter) takenAfterAll(o *shippingOrder, r Progress) {
	at := slices.IndexFunc(o.attempts, func(a *attempt) bool { return a.state == "rejected" && a.wid == r.WarehouseOrderID })
	if at < 0 {
		return
	}
	refused, live := o.attempts[at], o.live()
	switch {
	case o.wid != "" && (o.wid != refused.wid):
		w.twice(o, refused)
		return
	case live != nil && live.state == "accepted":
		return // it is the same order there
	case live != nil && len(r.Packages) == 0:
		// Being sent, or looked for: what comes of that is surer than a word that may be an old one.
		return
	case live != nil:
		refused = live
	}
	w.out.Alarms++
	w.tell(o, EventTakenAfterAll, map[string]any{"was": o.state, "warehouse_order": r.WarehouseOrderID})
	refused.state, refused.wid, refused.refused = "accepted", r.WarehouseOrderID, nil
	o.wid, o.warehouse, o.unanswered = refused.wid, refused.at, false
	if o.state = relay.OrderAtWarehouse; o.cancelAsked {
		o.state = relay.OrderCancelRequested // nobody wants it any more, whatever was believed: the warehouse is asked
	}
}

// twice tells people, once, that the warehouse goes on with an order that it had
// refused though it has another one for it by now.
func (w *shipmentWriter) twice(o *shippingOrder, a *attempt) {
	if a.told {
		return
	}
	a.told = true
	w.out.Alarms++
	w.tell(o, EventDuplicate, map[string]any{"cancelled": map[relay.WarehouseOrderID]string{
		a.wid: "not asked: the warehouse refused it before, and goes on with it now; stop it there",
	}})
}

// refuse ends the submission of an order that the warehouse had only received.
func (w *shipmentWriter) refuse(o *shippingOrder, r Progress) {
	a := o.live()
	if a == nil || a.state != "accepted" {
		return
	}
	a.state, a.refused, a.wid = "rejected", r.Refused, o.wid
	w.tell(o, EventRefused, map[string]any{"submission": a.id, "received": true, "warehouse_order": o.wid, "warehouse_status": o.status,
		"code": plain(r.Refused.Code), "headline": r.Refused.Headline()})
	if o.cancelAsked {
		// Not as one that was never sent: it is watched for a while.
		o.state = relay.OrderCancelled
		w.out.Cancelled++
		w.tell(o, EventCancelled, map[string]any{"evidence": "the warehouse does not take it", "asked": true})
		return
	}
	o.wid, o.status = "", ""
	w.hold(o, *r.Refused)
}

// cancelled ends an order of which nothing has left.
func (w *shipmentWriter) cancelled(o *shippingOrder, r Progress) {
	if !o.state.MayBeReported(relay.OrderCancelled) {
		return
	}
	asked := o.state == relay.OrderCancelRequested
	if !asked {
		w.out.Alarms++
	}
	o.state, o.unanswered = relay.OrderCancelled, false
	w.out.Cancelled++
	w.tell(o, EventCancelled, map[string]any{"status": r.Status, "asked": asked})
	if a := o.live(); a != nil && a.state == "accepted" {
		a.state = "withdrawn"
	}
}

// stuck puts an order on hold that the warehouse has and can't go on with.
func (w *shipmentWriter) stuck(o *shippingOrder, h relay.Hold) {
	switch o.state {
	case relay.OrderAtWarehouse:
		w.hold(o, h)
	case relay.OrderHeld:
		if o.reason != string(h.Reason) || o.code != plain(h.Code) {
			w.hold(o, h)
			o.began = o.was.state != relay.OrderHeld // else the hold goes on, for another reason
		}
	}
}

// hold puts an order on hold. The trail tells whether the warehouse has it.
func (w *shipmentWriter) hold(o *shippingOrder, h relay.Hold) {
	detail := map[string]any{"reason": h.Reason, "headline": h.Headline()}
	if o.wid != "" {
		detail["warehouse_order"] = o.wid
	}
	o.state, o.hold, o.began, o.reason, o.code = relay.OrderHeld, &h, true, string(h.Reason), plain(h.Code)
	w.tell(o, EventHeld, detail)
}

// finish draws the conclusions of all that was reported of an order.
func (w *shipmentWriter) finish(o *shippingOrder) {
	left := relay.Remaining(o.items, o.shipped.Lines)
	o.complete = o.complete || (!o.assumed && len(o.items) > 0 && len(o.parcels) > 0 && len(left) == 0)
	switch {
	case !o.complete && !o.settle:
	case o.blank() || (o.surplus && len(left) > 0):
		w.settle(o, left, true)
	case len(o.begun) > 0:
		w.settle(o, relay.Begun(o.items, o.shipped), false)
	}
	if o.complete && !o.over && len(o.parcels) > 0 {
		if left := relay.Remaining(o.items, o.shipped.Lines); len(left) > 0 {
			w.short(o, left)
		}
	}
	if o.status != o.was.status && o.status != "" {
		if o.status == "gone" && o.state != relay.OrderCancelled {
			w.out.Alarms++
		}
		w.tell(o, EventWarehouseStatus, map[string]any{"status": o.status})
	}
	if o.state == relay.OrderHeld && o.hold != nil && o.began {
		w.out.Held++
	}
	if o.was.state == relay.OrderHeld && (o.state != relay.OrderHeld || o.hold != nil) {
		w.out.Woken = append(w.out.Woken, o.reference)
	}
	if o.standing != o.was {
		w.orders = append(w.orders, o)
	}
}

func (w *shipmentWriter) write(ctx context.Context, tx pgx.Tx) error {
	b := &pgx.Batch{}
	if a := w.packages; len(a.order) > 0 {
		b.Queue(`
			insert into shipments (order_id, cart_id, package_key, carrier, service, tracking_number, tracking_url, tracker_id, state, shipped_at)
			select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[])
			on conflict (order_id, package_key) do nothing`,
			a.order, a.cart, a.key, a.carrier, a.service, a.number, a.url, a.tracker, a.state, a.shippedAt)
	}
	var order, units []int64
	var key, line []string
	for _, p := range w.lines {
		for _, l := range p.lines {
			order, key, line, units = append(order, int64(p.order)), append(key, p.key), append(line, string(l.Line)), append(units, l.Units)
		}
	}
	if len(order) > 0 {
		b.Queue(`
			insert into shipment_lines (shipment_id, line_id, units)
			select s.id, q.line, q.units from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) as q(o, k, line, units)
			join shipments s on s.order_id = q.o and s.package_key = q.k`, order, key, line, units)
	}
	w.writeItems(b)
	b.QueuedQueries = append(b.QueuedQueries, w.batch.QueuedQueries...)
	if err := w.writeAttempts(b); err != nil {
		return err
	}
	ids, err := w.writeOrders(b)
	if err != nil {
		return err
	}
	args, err := eventArgs(w.actor, w.events)
	if err != nil {
		return err
	}
	b.Queue(insertEventsSQL, args...)
	// A figure of stock read before the answer did not leave the order out.
	b.Queue(`update submissions set resolved_at = now() where order_id = any($1) and state = 'accepted'`, w.taken)
	b.Queue(confirmSQL, ids, w.actor)
	return tx.SendBatch(ctx, b).Close()
}

// writeAttempts writes what became of submissions.
func (w *shipmentWriter) writeAttempts(b *pgx.Batch) error {
	var ids []int64
	var states, wids, codes, words, fields []string
	for _, o := range w.orders {
		for _, a := range o.attempts {
			if a.state == a.was {
				continue
			}
			h, list := relay.Hold{}, ""
			if a.refused != nil {
				h = *a.refused
			}
			if len(h.Fields) > 0 {
				var err error
				if list, err = asJSON(h.Fields); err != nil {
					return err
				}
			}
			ids, states, wids = append(ids, int64(a.id)), append(states, a.state), append(wids, string(a.wid))
			codes, words, fields = append(codes, plain(h.Code)), append(words, plain(h.Words)), append(fields, list)
		}
	}
	if len(ids) > 0 {
		b.Queue(`
			update submissions s set state = q.state, warehouse_order_id = coalesce(nullif(q.wid, ''), s.warehouse_order_id),
				resolved_at = case when q.state = 'withdrawn' then s.resolved_at else now() end,
				code = coalesce(nullif(q.code, ''), s.code), answer_words = coalesce(nullif(q.words, ''), s.answer_words),
				answer_fields = coalesce(nullif(q.fields, '')::jsonb, s.answer_fields)
			from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) as q(id, state, wid, code, words, fields) where s.id = q.id`,
			ids, states, wids, codes, words, fields)
	}
	return nil
}

// writeOrders writes how the orders stand, and returns which those are.
func (w *shipmentWriter) writeOrders(b *pgx.Batch) ([]int64, error) {
	n := len(w.orders)
	if n == 0 {
		return nil, nil
	}
	ids, warehouses := make([]int64, n), make([]int64, n)
	states, wids, statuses := make([]string, n), make([]string, n), make([]string, n)
	complete, unanswered, began, refused := make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n)
	reasons, codes, words, fields := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, o := range w.orders {
		ids[i], warehouses[i] = int64(o.id), int64(o.warehouse)
		states[i], wids[i], statuses[i] = string(o.state), string(o.wid), o.status
		complete[i], unanswered[i] = o.complete, o.unanswered
		if o.hold == nil || o.state != relay.OrderHeld {
			continue
		}
		var err error
		if fields[i], err = asJSON(o.hold.Fields); err != nil {
			return nil, err
		}
		began[i], refused[i] = o.began, o.wid == ""
		reasons[i], codes[i], words[i] = o.reason, o.code, plain(o.hold.Words)
	}
	b.Queue(`
		update orders o set state = q.state, warehouse_id = coalesce(nullif(q.warehouse, 0), warehouse_id), warehouse_order_id = nullif(q.wid, ''),
			warehouse_status = nullif(q.status, ''), ship_complete = q.complete, accepted_at = coalesce(accepted_at, now()),
			answer_due = case when q.unanswered then answer_due end,
			-- An edit is kept for as long as the order may be sent once more.
			late_edit = case when q.state <> 'shipped' then late_edit end,
			cancel_next_at = case when q.state = 'cancel_requested' then coalesce(cancel_next_at, now()) end, next_look_at = null, retry_at = null, skip_reason = null,
			hold_reason = case when q.state = 'held' then coalesce(nullif(q.reason, ''), hold_reason) end,
			hold_fields = case when q.state = 'held' then coalesce(nullif(q.fields, '')::jsonb, hold_fields) end,
			hold_code = case when q.state <> 'held' then null when q.reason <> '' then nullif(q.code, '') else hold_code end,
			hold_words = case when q.state <> 'held' then null when q.reason <> '' then nullif(q.words, '') else hold_words end,
			held_at = case when q.state <> 'held' then null when q.began then now() else held_at end,
			hold_workflow_at = case when q.state = 'held' and not q.began then hold_workflow_at end,
			first_held_at = case when q.began then coalesce(first_held_at, now()) else first_held_at end,
			hold_attempts = hold_attempts + q.refused::int, updated_at = now()
		from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::boolean[], $8::boolean[], $9::boolean[], $10::text[], $11::text[], $12::text[], $13::text[])
			as q(id, state, warehouse, wid, status, complete, unanswered, began, refused, reason, fields, code, words) where o.id = q.id`,
		ids, states, warehouses, wids, statuses, complete, unanswered, began, refused, reasons, fields, codes, words)
	return ids, nil
}
