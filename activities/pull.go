package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// PullOrdersResult counts what a run of PullOrders did.
type PullOrdersResult struct {
	New       int  `json:"new,omitempty"`
	Changed   int  `json:"changed,omitempty"`
	TooLate   int  `json:"too_late,omitempty"`  // changed at the cart after submission
	Cancelled int  `json:"cancelled,omitempty"` // cancels asked for by the cart
	Skipped   int  `json:"skipped,omitempty"`   // left out by the filter
	Unskipped int  `json:"unskipped,omitempty"` // let go by it; they count as changed, too
	Stopped   bool `json:"stopped,omitempty"`
	More      bool `json:"more,omitempty"`
	// Again says that an earlier try may have done what is not counted here.
	Again bool `json:"again,omitempty"`
	// Woken are references of orders whose holds a change or cancel ended.
	Woken []relay.Reference `json:"woken,omitempty"`
}

// PullOrders takes in new and changed orders of a cart, and the orders that were cancelled there.
func (a *Activities) PullOrders(ctx context.Context, in JobInput) (r PullOrdersResult, err error) {
	r.Stopped, err = a.on(ctx, in, relay.PullOrders, func(j *job) error {
		// Cancels first: an order that is void already should not be sent. But one
		// that can't be read keeps no new order waiting.
		err := j.pullCancellations(ctx, &r)
		filtering, ferr := j.applyFilter(ctx, &r)
		err = errors.Join(err, ferr, j.pullOrders(ctx, &r))
		r.Changed, r.More = r.Changed+r.Unskipped, r.More || filtering
		return err
	})
	// An earlier try may have stored orders and not come to report them.
	r.Again = !r.Stopped && activity.GetInfo(ctx).Attempt > 1
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
	var last *connectors.OrdersPage
	for r.More = true; r.More && !j.spent(); {
		page, err := source.PullOrders(ctx, connectors.OrdersQuery{Cursor: cursor, Limit: pageSize, Known: j.known})
		if err != nil {
			return err
		}
		taken, err := j.store.TakeIn(ctx, j.conn, judged(page.Orders), ordersCursor, page.Cursor, j.actor)
		if err != nil {
			return err
		}
		r.New, r.Changed, r.TooLate = r.New+taken.New, r.Changed+taken.Changed, r.TooLate+taken.TooLate
		r.Skipped, r.Unskipped = r.Skipped+taken.Skipped, r.Unskipped+taken.Unskipped
		woken = append(woken, taken.Woken...)
		if taken.TooLate > 0 {
			j.log.Error("orders changed at the cart after they were submitted: see the trail of each", "orders", taken.TooLate)
		}
		if taken.Back > 0 {
			j.log.Error("cancelled orders are ready again at the cart, and wait for a person to decide: see the trail of each", "orders", taken.Back)
		}
		cursor, r.More, last = page.Cursor, page.More, &page
		if r.New >= turn {
			break
		}
	}
	if last != nil {
		if err := j.recordUnread(ctx, relay.PullOrders, last.Unread); err != nil {
			return err
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
		if w, err = j.noteUnready(ctx, page.Unready, r); err != nil {
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

// noteUnready skips orders that the cart does not have ready any more.
func (j *job) noteUnready(ctx context.Context, list []connectors.Unready, r *PullOrdersResult) ([]relay.OrderID, error) {
	unready := make([]store.Unready, len(list))
	for i, u := range list {
		unready[i] = store.Unready(u)
	}
	noted, err := j.store.NoteUnready(ctx, j.conn, unready, j.actor)
	r.Skipped += noted.Skipped
	return noted.Woken, err
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

// PullInventory reads the warehouse's stock, or what changed of it since the last
// reading, and lets orders go that were on hold for what there is now.
func (a *Activities) PullInventory(ctx context.Context, in JobInput) (r PullInventoryResult, err error) {
	r.Stopped, err = a.on(ctx, in, relay.PullInventory, func(j *job) error {
		source, ok := j.vendor.(connectors.InventorySource)
		if !ok {
			return nil
		}
		if activity.GetInfo(ctx).Attempt > 1 {
			r.Changed = 1 // an earlier try may not have come to report its changes
		}
		whole, err := j.readStock(ctx, source, &r)
		if err != nil || !whole {
			return err
		}
		return j.releaseCovered(ctx, &r)
	})
	return r, err
}

// readStock takes in all pages of a reading. It reports whether the figures are
// whole: where some could not be read, they are of some earlier time, and nobody
// knows which orders they leave out, and so not what is free.
//
// A reading of changes that is cut short goes on behind the last page that was
// recorded, and its beginning stays what it was. A reading of everything starts
// anew, for it has to know all that it named.
func (j *job) readStock(ctx context.Context, source connectors.InventorySource, r *PullInventoryResult) (whole bool, err error) {
	at, err := j.store.StockCursor(ctx, j.conn.ID)
	if err != nil {
		return false, err
	}
	if at.Began.IsZero() {
		if at.Began, err = j.store.Now(ctx); err != nil {
			return false, err
		}
	}
	var codes []relay.ItemCode
	var unread []connectors.Unread
	partial, changes := false, false
	for more := true; more; {
		observed, err := j.store.Now(ctx)
		if err != nil {
			return false, err
		}
		page, err := source.PullInventory(ctx, connectors.InventoryQuery{Cursor: at.Place, Limit: 1000})
		if err != nil {
			return false, err
		}
		changed, err := j.store.RecordLevels(ctx, j.conn.ID, page.Levels, string(page.Meaning), observed)
		if err != nil {
			return false, overtaken(err)
		}
		r.Levels, r.Changed = r.Levels+len(page.Levels), r.Changed+changed
		partial, changes = partial || page.Partial, changes || page.Changes
		unread = append(unread, page.Unread...)
		for _, l := range page.Levels {
			if !changes {
				codes = append(codes, l.Code)
			}
		}
		if more = page.More; more && page.Cursor == at.Place {
			return false, &relay.Error{Kind: relay.Invalid, Op: "pull inventory", Err: errors.New("the connector gave the same cursor twice")}
		}
		at.Place = page.Cursor
		// What could not be read is not passed over: it would not be told again.
		if more && changes && !partial {
			if err := j.store.SetStockCursor(ctx, j.conn.ID, at); err != nil {
				return false, err
			}
		}
	}
	if err := j.recordUnread(ctx, relay.PullInventory, unread); err != nil || partial {
		return false, err
	}
	if changes {
		codes = nil
	}
	return true, overtaken(j.store.RecordLevelsRead(ctx, j.conn.ID, store.LevelsReading{Began: at.Began, Codes: codes, Place: at.Place}))
}

// overtaken lets a reading that another one overtook begin anew.
func overtaken(err error) error {
	if errors.Is(err, store.ErrReadOn) {
		return &relay.Error{Kind: relay.Unavailable, Op: "pull inventory", Code: "overtaken", Err: err}
	}
	return err
}
