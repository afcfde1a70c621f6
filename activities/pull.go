package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// The names of the cursors that connections keep.
const (
	ordersCursor        = "orders"
	cancellationsCursor = "cancellations"
	watchCursor         = "watch"
	shipmentsCursor     = "shipments"
)

// pageSize is how many orders are asked of a cart at once; a connector may give fewer.
const pageSize = 250

// turn is how many orders a run works on before it reports: what it did should
// be on its way to the next job while it goes on.
const turn = 1000

// openAtOnce is how many open orders a warehouse is asked about at once. Where
// the vendor has only a list of all orders, newest first, one reading of it
// should serve all of them.
const openAtOnce = 5000

// PullOrdersResult counts what a run of PullOrders did.
type PullOrdersResult struct {
	New       int  `json:"new,omitempty"`
	Changed   int  `json:"changed,omitempty"`
	TooLate   int  `json:"too_late,omitempty"`  // changed at the cart after submission
	Cancelled int  `json:"cancelled,omitempty"` // cancels asked for by the cart
	Stopped   bool `json:"stopped,omitempty"`
	More      bool `json:"more,omitempty"`
	// Again says that an earlier try may have done what is not counted here.
	Again bool `json:"again,omitempty"`
	// Woken are references of orders whose holds a change or cancel ended.
	Woken []relay.Reference `json:"woken,omitempty"`
}

// PullOrders takes in new and changed orders of a cart, and the orders that were cancelled there.
func (a *Activities) PullOrders(ctx context.Context, in JobInput) (PullOrdersResult, error) {
	defer beat(ctx)()
	var r PullOrdersResult
	j, err := a.begin(ctx, in, string(relay.PullOrders))
	if errors.Is(err, errStopped) {
		return PullOrdersResult{Stopped: true}, nil
	}
	if err != nil {
		return r, err
	}
	// Cancels first: an order that is void already should not be sent. But one
	// that can't be read keeps no new order waiting.
	err = errors.Join(j.pullCancellations(ctx, &r), j.pullOrders(ctx, &r))
	if err != nil && j.refused(ctx, err) {
		r.Stopped = true
		return r, nil
	}
	// An earlier try may have stored orders and not come to report them.
	r.Again = activity.GetInfo(ctx).Attempt > 1
	return r, err
}

func (j *job) pullOrders(ctx context.Context, r *PullOrdersResult) error {
	source, ok := j.vendor.(connectors.OrderSource)
	if !ok {
		return &relay.Error{Kind: relay.Invalid, Op: "pull orders", Err: fmt.Errorf("connector %s has no orders", j.conn.Connector)}
	}
	cursor, err := j.store.Cursor(ctx, j.conn.ID, ordersCursor)
	if err != nil {
		return err
	}
	var woken []relay.OrderID
	for r.More = true; r.More && !j.spent(); {
		page, err := source.PullOrders(ctx, connectors.OrdersQuery{Cursor: cursor, Limit: pageSize, Known: j.known})
		if err != nil {
			return err
		}
		taken, err := j.store.TakeIn(ctx, j.conn, page.Orders, ordersCursor, page.Cursor, j.actor)
		if err != nil {
			return err
		}
		r.New, r.Changed, r.TooLate = r.New+taken.New, r.Changed+taken.Changed, r.TooLate+taken.TooLate
		woken = append(woken, taken.Woken...)
		if taken.TooLate > 0 {
			j.log.Error("orders changed at the cart after they were submitted: see the trail of each", "orders", taken.TooLate)
		}
		if taken.Back > 0 {
			j.log.Error("cancelled orders are ready again at the cart, and wait for a person to decide: see the trail of each", "orders", taken.Back)
		}
		cursor, r.More = page.Cursor, page.More
		if r.New >= turn {
			break
		}
	}
	return j.wake(ctx, r, woken)
}

func (j *job) known(ctx context.Context, stamps []connectors.Stamp) ([]bool, error) {
	ids, versions := make([]relay.ExternalID, len(stamps)), make([]time.Time, len(stamps))
	for i, s := range stamps {
		ids[i], versions[i] = s.ID, s.UpdatedAt
	}
	return j.store.Known(ctx, j.conn.ID, ids, versions)
}

func (j *job) wake(ctx context.Context, r *PullOrdersResult, ids []relay.OrderID) error {
	if len(ids) == 0 {
		return nil
	}
	refs, err := j.store.References(ctx, ids)
	r.Woken = append(r.Woken, refs...)
	return err
}

func (j *job) pullCancellations(ctx context.Context, r *PullOrdersResult) error {
	source, ok := j.vendor.(connectors.CancellationSource)
	if !ok {
		return nil
	}
	cursor, err := j.store.Cursor(ctx, j.conn.ID, cancellationsCursor)
	if err != nil {
		return err
	}
	watch, last, err := j.watched(ctx)
	if err != nil {
		return err
	}
	var woken []relay.OrderID
	for more := true; more && !j.spent(); {
		page, err := source.PullCancellations(ctx, connectors.CancellationsQuery{Cursor: cursor, Limit: pageSize, Watch: watch})
		if err != nil {
			return err
		}
		w, err := j.cancelAll(ctx, page.Cancelled, r)
		if err != nil {
			return err
		}
		woken = append(woken, w...)
		if err := j.store.SetCursor(ctx, j.conn.ID, cancellationsCursor, page.Cursor); err != nil {
			return err
		}
		cursor, more, watch = page.Cursor, page.More, nil
	}
	if b, err := json.Marshal(last); err == nil {
		if err := j.store.SetCursor(ctx, j.conn.ID, watchCursor, string(b)); err != nil {
			return err
		}
	}
	return j.wake(ctx, r, woken)
}

// watched takes turns over the held orders: some at every poll.
func (j *job) watched(ctx context.Context) ([]relay.ExternalID, relay.OrderID, error) {
	cursor, err := j.store.Cursor(ctx, j.conn.ID, watchCursor)
	if err != nil {
		return nil, 0, err
	}
	var after relay.OrderID
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &after); err != nil {
			after = 0
		}
	}
	return j.store.Watched(ctx, j.conn.ID, after, 100)
}

func (j *job) cancelAll(ctx context.Context, list []connectors.Cancellation, r *PullOrdersResult) (woken []relay.OrderID, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]relay.ExternalID, len(list))
	status := make(map[relay.ExternalID]string, len(list))
	for i, c := range list {
		ids[i], status[c.ID] = c.ID, c.Status
	}
	ours, err := j.store.CartOrders(ctx, j.conn.ID, ids)
	if err != nil {
		return nil, err
	}
	byStatus := make(map[string][]relay.OrderID)
	for ext, id := range ours {
		byStatus[status[ext]] = append(byStatus[status[ext]], id)
	}
	for word, ids := range byStatus {
		asked, err := j.store.RequestCancels(ctx, ids, store.CancelAsk{Actor: "cart " + string(j.conn.Name), Reason: "the cart says " + word, AtCart: true})
		if err != nil {
			return woken, err
		}
		for _, c := range asked {
			if c.Standing == store.AlreadyCancelled { // by us: our own cancel, or the cart's word for it
				continue
			}
			r.Cancelled++
			if c.WasHeld {
				woken = append(woken, c.Order)
			}
		}
	}
	return woken, nil
}

// PullShipmentsInput says where a run goes on.
type PullShipmentsInput struct {
	JobInput
	After relay.OrderID `json:"after,omitempty"` // orders behind this one; 0 from the start
}

// PullShipmentsResult counts what a run of PullShipments did.
type PullShipmentsResult struct {
	Read      int  `json:"read,omitempty"`
	Packages  int  `json:"packages,omitempty"`
	Cancelled int  `json:"cancelled,omitempty"`
	Stopped   bool `json:"stopped,omitempty"`
	// After is where the next run goes on; 0 when all open orders were read.
	After relay.OrderID `json:"after,omitempty"`
	// Carts have something to be told.
	Carts []relay.ConnectionName `json:"carts,omitempty"`
}

// PullShipments reads what became of the orders at the warehouse: parcels,
// cancels, and where parcels are.
func (a *Activities) PullShipments(ctx context.Context, in PullShipmentsInput) (PullShipmentsResult, error) {
	defer beat(ctx)()
	var r PullShipmentsResult
	j, err := a.begin(ctx, in.JobInput, string(relay.PullShipments))
	if errors.Is(err, errStopped) {
		return PullShipmentsResult{Stopped: true}, nil
	}
	if err != nil {
		return r, err
	}
	if err := j.pullShipments(ctx, in.After, &r); err != nil {
		if j.refused(ctx, err) {
			r.Stopped = true
			return r, nil
		}
		return r, err
	}
	return r, nil
}

func (j *job) pullShipments(ctx context.Context, after relay.OrderID, r *PullShipmentsResult) error {
	source, ok := j.vendor.(connectors.ShipmentSource)
	if !ok {
		return nil
	}
	carts := make(map[store.ConnectionID]bool)
	for {
		open, err := j.store.OpenOrders(ctx, j.conn.ID, after, openAtOnce)
		if err != nil {
			return err
		}
		if err := j.readProgress(ctx, source, open, r, carts); err != nil {
			return err
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

func (j *job) readProgress(ctx context.Context, source connectors.ShipmentSource, open []store.OpenOrder, r *PullShipmentsResult, carts map[store.ConnectionID]bool) error {
	if len(open) == 0 {
		return nil
	}
	cursor, err := j.store.Cursor(ctx, j.conn.ID, shipmentsCursor)
	if err != nil {
		return err
	}
	q := connectors.ShipmentsQuery{Cursor: cursor, Open: make([]connectors.OpenOrder, len(open))}
	byID := make(map[relay.WarehouseOrderID]relay.OrderID, len(open))
	for i, o := range open {
		q.Open[i] = connectors.OpenOrder{ID: o.WarehouseOrderID, Reference: o.Reference, AcceptedAt: o.AcceptedAt}
		byID[o.WarehouseOrderID] = o.ID
	}
	page, err := source.PullShipments(ctx, q)
	if err != nil {
		return err
	}
	reports := make([]store.Progress, 0, len(page.Updates))
	for _, u := range page.Updates {
		id, ours := byID[u.ID]
		if !ours {
			continue
		}
		reports = append(reports, store.Progress{
			Order: id, WarehouseOrderID: u.ID, Status: u.Status, Packages: u.Packages,
			Complete:  u.Progress == connectors.FullShipped,
			Cancelled: u.Progress == connectors.Cancelled,
			Gone:      u.Progress == connectors.Gone,
		})
	}
	done, err := j.store.RecordProgress(ctx, j.actor, reports)
	if err != nil {
		return err
	}
	if done.Alarms > 0 {
		j.log.Error("the warehouse cancelled, lost or shipped orders without being asked: see the trail of each", "orders", done.Alarms)
	}
	r.Read, r.Packages, r.Cancelled = r.Read+len(open), r.Packages+done.Packages, r.Cancelled+done.Cancelled
	for _, id := range done.Carts {
		carts[id] = true
	}
	if page.Cursor != cursor {
		return j.store.SetCursor(ctx, j.conn.ID, shipmentsCursor, page.Cursor)
	}
	return nil
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

// PullInventoryResult counts what a run of PullInventory did.
type PullInventoryResult struct {
	Levels  int  `json:"levels,omitempty"`
	Changed int  `json:"changed,omitempty"`
	Stopped bool `json:"stopped,omitempty"`
	// Released counts orders on hold for stock that the new levels cover; Woken are
	// references of them, at most 200.
	Released int               `json:"released,omitempty"`
	Woken    []relay.Reference `json:"woken,omitempty"`
}

// PullInventory reads the whole stock of the warehouse, and lets orders go that
// were on hold for what there is now.
func (a *Activities) PullInventory(ctx context.Context, in JobInput) (PullInventoryResult, error) {
	defer beat(ctx)()
	var r PullInventoryResult
	j, err := a.begin(ctx, in, string(relay.PullInventory))
	if errors.Is(err, errStopped) {
		return PullInventoryResult{Stopped: true}, nil
	}
	if err != nil {
		return r, err
	}
	source, ok := j.vendor.(connectors.InventorySource)
	if !ok {
		return r, nil
	}
	if activity.GetInfo(ctx).Attempt > 1 {
		r.Changed = 1 // an earlier try may not have come to report its changes
	}
	began := time.Now()
	var codes []relay.ItemCode
	partial := false
	for cursor := ""; ; {
		observed := time.Now()
		page, err := source.PullInventory(ctx, connectors.InventoryQuery{Cursor: cursor, Limit: 1000})
		if err != nil {
			if j.refused(ctx, err) {
				r.Stopped = true
				return r, nil
			}
			return r, err
		}
		changed, err := j.store.RecordLevels(ctx, j.conn.ID, page.Levels, string(page.Meaning), observed)
		if err != nil {
			return r, err
		}
		r.Levels, r.Changed = r.Levels+len(page.Levels), r.Changed+changed
		for _, l := range page.Levels {
			codes = append(codes, l.Code)
		}
		partial = partial || page.Partial
		if page.More && page.Cursor == cursor {
			return r, &relay.Error{Kind: relay.Invalid, Op: "pull inventory", Err: errors.New("the connector gave the same cursor twice")}
		}
		if !page.More {
			break
		}
		cursor = page.Cursor
	}
	if partial {
		// The figures that could not be read are of some earlier time: nobody knows
		// which orders they leave out, and so not what is free.
		return r, nil
	}
	if err := j.store.RecordLevelsRead(ctx, j.conn.ID, codes, began); err != nil {
		return r, err
	}
	err = j.releaseCovered(ctx, &r)
	return r, err
}
