package activities

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// openAtOnce is how many open orders a warehouse is asked about at once. Where
// the vendor has only a list of all orders, newest first, one reading of it
// should serve all of them.
const openAtOnce = 5000

// fromStart is before the first order: a run that begins there begins at the
// start, as with 0, but comes at once.
const fromStart relay.OrderID = -1

// PullShipmentsInput says where a run goes on.
type PullShipmentsInput struct {
	JobInput
	After relay.OrderID `json:"after,omitempty"` // orders behind this one; 0 or fromStart from the start
}

// PullShipmentsResult counts what a run of PullShipments did.
type PullShipmentsResult struct {
	Read      int  `json:"read,omitempty"`
	Packages  int  `json:"packages,omitempty"`
	Cancelled int  `json:"cancelled,omitempty"`
	Held      int  `json:"held,omitempty"` // put on hold: refused after all, or stuck there
	Stopped   bool `json:"stopped,omitempty"`
	// After is where the next run goes on, at once; 0 when all open orders were read.
	After relay.OrderID `json:"after,omitempty"`
	// Carts have something to be told.
	Carts []relay.ConnectionName `json:"carts,omitempty"`
}

// PullShipments reads what became of the orders at the warehouse: parcels,
// cancels, and where parcels are.
func (a *Activities) PullShipments(ctx context.Context, in PullShipmentsInput) (r PullShipmentsResult, err error) {
	r.Stopped, err = a.on(ctx, in.JobInput, relay.PullShipments, func(j *job) error { return j.pullShipments(ctx, in.After, &r) })
	return r, err
}

func (j *job) pullShipments(ctx context.Context, after relay.OrderID, r *PullShipmentsResult) error {
	source, ok := j.vendor.(connectors.ShipmentSource)
	if !ok {
		return nil
	}
	carts := make(map[store.ConnectionID]bool)
	for start := true; ; start = false {
		open, err := j.store.OpenOrders(ctx, j.conn.ID, after, openAtOnce)
		if err != nil {
			return err
		}
		// A warehouse that tells by itself is asked also when nothing is open.
		if start || len(open) > 0 {
			more, err := j.readProgress(ctx, source, open, r, carts)
			if err != nil {
				return err
			}
			if more {
				if r.After = after; after <= 0 {
					r.After = fromStart
				}
				break
			}
		}
		if len(open) < openAtOnce {
			if err := j.store.RecordShipmentsRead(ctx, j.conn.ID, time.Now()); err != nil {
				return err
			}
			break
		}
		after = open[len(open)-1].ID
		if j.spent() || r.Packages >= turn {
			r.After = after
			break
		}
	}
	overdue, err := j.store.SettleOverdue(ctx, j.conn.ID, j.opt.Contents, j.actor)
	if err != nil {
		return err
	}
	for _, id := range overdue.Carts {
		carts[id] = true
	}
	telling, err := j.store.CartsToTell(ctx, j.merchant.ID)
	if err != nil {
		return err
	}
	retried := activity.GetInfo(ctx).Attempt > 1 // an earlier try may not have come to report its packages
	for _, c := range j.merchant.Connections {
		if carts[c.ID] || slices.Contains(telling, c.Name) || (retried && c.Role == "cart") {
			r.Carts = append(r.Carts, c.Name)
		}
	}
	return j.track(ctx)
}

// readProgress reads page by page what the warehouse tells of open orders, and
// reports whether it has more to tell than this run has time for.
func (j *job) readProgress(ctx context.Context, source connectors.ShipmentSource, open []store.OpenOrder, r *PullShipmentsResult, carts map[store.ConnectionID]bool) (more bool, err error) {
	q := connectors.ShipmentsQuery{Open: make([]connectors.OpenOrder, len(open)), Known: j.ordersThere}
	byID := make(map[relay.WarehouseOrderID]store.OpenOrder, len(open))
	for i, o := range open {
		q.Open[i] = connectors.OpenOrder{ID: o.WarehouseOrderID, Reference: o.Reference, AcceptedAt: o.AcceptedAt, Unanswered: o.Unanswered}
		byID[o.WarehouseOrderID] = o
	}
	if q.Cursor, err = j.store.Cursor(ctx, j.conn.ID, shipmentsCursor); err != nil {
		return false, err
	}
	r.Read += len(open)
	for {
		page, err := source.PullShipments(ctx, q)
		if err != nil {
			return false, err
		}
		read := store.Reading{Warehouse: j.conn.ID, Name: shipmentsCursor, From: q.Cursor, To: page.Cursor}
		if err := j.recordProgress(ctx, page.Updates, read, byID, r, carts); err != nil {
			return false, err
		}
		if page.More && page.Cursor == q.Cursor {
			return false, &relay.Error{Kind: relay.Invalid, Op: "pull shipments", Err: errors.New("the connector gave the same cursor twice")}
		}
		if !page.More || j.spent() {
			return page.More, j.recordUnread(ctx, relay.PullShipments, page.Unread)
		}
		q.Cursor = page.Cursor
	}
}

// ordersThere tells which ids the warehouse gave orders of ours.
func (j *job) ordersThere(ctx context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
	there, err := j.store.OrdersAt(ctx, j.conn.ID, ids)
	if err != nil {
		return nil, err
	}
	known := make([]bool, len(ids))
	for i, id := range ids {
		_, known[i] = there[id]
	}
	return known, nil
}

// recordProgress writes a page of what the warehouse tells, and wakes whoever
// has to act on holds that began or ended.
func (j *job) recordProgress(ctx context.Context, updates []connectors.OrderUpdate, read store.Reading, byID map[relay.WarehouseOrderID]store.OpenOrder, r *PullShipmentsResult, carts map[store.ConnectionID]bool) error {
	var others []relay.WarehouseOrderID // told by itself
	for _, u := range updates {
		if _, asked := byID[u.ID]; !asked {
			others = append(others, u.ID)
		}
	}
	var told map[relay.WarehouseOrderID]relay.OrderID
	if len(others) > 0 {
		var err error
		if told, err = j.store.OrdersAt(ctx, j.conn.ID, others); err != nil {
			return err
		}
	}
	reports, strangers := make([]store.Progress, 0, len(updates)), 0
	for _, u := range updates {
		o, ours := byID[u.ID]
		if !ours {
			o.ID, ours = told[u.ID]
		}
		if !ours {
			strangers++
			continue
		}
		p := progressOf(o.ID, u)
		if !u.Adds {
			p.Submission = o.Submission
		}
		reports = append(reports, p)
	}
	if strangers > 0 {
		j.log.Info("the warehouse told of orders that the ledger does not have there", "orders", strangers)
	}
	done, err := j.store.RecordProgress(ctx, j.actor, reports, read)
	if errors.Is(err, store.ErrReadOn) {
		return &relay.Error{Kind: relay.Unavailable, Op: "pull shipments", Code: "overtaken", Err: err}
	}
	if err != nil {
		return err
	}
	if done.Alarms > 0 {
		j.log.Error("orders went another way at the warehouse than anybody asked for: see the trail of each", "orders", done.Alarms)
	}
	if done.Held > 0 { // their workflows are begun by the merchant's, which sees them when it submits
		j.ringJob(ctx, j.merchant.ID, j.conn.Name, relay.SubmitOrders)
	}
	j.ringHolds(ctx, j.merchant.ID, done.Woken)
	r.Packages, r.Cancelled, r.Held = r.Packages+done.Packages, r.Cancelled+done.Cancelled, r.Held+done.Held
	for _, id := range done.Carts {
		carts[id] = true
	}
	return nil
}

// progressOf says what an update means for an order of ours.
func progressOf(id relay.OrderID, u connectors.OrderUpdate) store.Progress {
	p := store.Progress{Order: id, WarehouseOrderID: u.ID, Status: u.Status, Packages: u.Packages, Full: !u.Adds}
	hold := u.Hold
	if hold == nil {
		hold = &relay.Hold{Reason: relay.HoldRejected}
	}
	switch u.Progress {
	case connectors.InProgress:
		p.Working = u.Status != ""
	case connectors.PartShipped:
		p.Working = true
	case connectors.FullShipped:
		p.Complete = true
	case connectors.Cancelled:
		p.Cancelled = true
	case connectors.Gone:
		p.Gone = true
	case connectors.InTrouble:
		p.Stuck = hold
	case connectors.Refused:
		p.Refused = hold
	}
	return p
}

// recordUnread writes what a job could not read, in the place of what it could
// not read before.
func (j *job) recordUnread(ctx context.Context, job relay.Job, list []connectors.Unread) error {
	rows := make([]store.Unread, len(list))
	for i, u := range list {
		rows[i] = store.Unread(u)
	}
	if len(rows) > 0 {
		j.log.Warn("some of what was read could not be made out: ferry alert list tells of it", "rows", len(rows))
	}
	return j.store.RecordUnread(ctx, j.conn.ID, job, rows)
}

// track looks where parcels on their way are. What fails is tried at the next poll.
func (j *job) track(ctx context.Context) error {
	tracker, ok := j.vendor.(connectors.PackageTracker)
	if !ok {
		return nil
	}
	parcels, err := j.store.ParcelsToTrack(ctx, j.conn.ID, j.opt.Track, 50)
	if err != nil || len(parcels) == 0 {
		return err
	}
	packages := make([]relay.Package, len(parcels))
	for i, p := range parcels {
		packages[i] = relay.Package{Carrier: p.Carrier, TrackingNumber: p.TrackingNumber, TrackerID: p.TrackerID}
	}
	found, err := tracker.TrackPackages(ctx, packages)
	if err != nil {
		j.log.Warn("could not track parcels", "parcels", len(parcels), "error", err)
		return nil
	}
	var list []store.Tracked
	for i, t := range found {
		if i < len(parcels) {
			list = append(list, store.Tracked{ID: parcels[i].ID, Status: t.Status, URL: t.URL, Ended: t.Ended})
		}
	}
	return j.store.RecordTracked(ctx, list)
}
