package activities

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// PushResult counts what a run of PushShipments or PushInventory did.
type PushResult struct {
	Done      int  `json:"done,omitempty"`
	Failed    int  `json:"failed,omitempty"`
	Confirmed int  `json:"confirmed,omitempty"` // orders of which the cart has all tracking
	TooLate   int  `json:"too_late,omitempty"`  // orders that turned out to have changed at the cart after submission
	Stopped   bool `json:"stopped,omitempty"`
	More      bool `json:"more,omitempty"`
	// Next is when something is to be tried or looked at again. Zero: no time is set.
	Next time.Time `json:"next,omitzero"`
}

// PushShipments tells a cart of parcels, and of cancels that it does not know.
func (a *Activities) PushShipments(ctx context.Context, in JobInput) (r PushResult, err error) {
	r.Stopped, err = a.on(ctx, in, relay.PushShipments, func(j *job) error {
		// What the one stumbles over does not keep the other waiting.
		return errors.Join(j.tellShipments(ctx, &r), j.tellCancels(ctx, &r))
	})
	return r, err
}

func (j *job) tellShipments(ctx context.Context, r *PushResult) error {
	sink, ok := j.vendor.(connectors.ShipmentSink)
	if !ok {
		return nil
	}
	for !j.spent() {
		list, err := j.store.ShipmentsToTell(ctx, j.conn.ID, 200)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		if err := j.pushShipments(ctx, sink, list, r); err != nil {
			return err
		}
	}
	more, next, err := j.store.Telling(ctx, j.conn.ID)
	r.again(more, next)
	return err
}

// again notes that there is more to tell, and when the next is due.
func (r *PushResult) again(more bool, next time.Time) {
	r.More = r.More || more
	if !next.IsZero() && (r.Next.IsZero() || next.Before(r.Next)) {
		r.Next = next
	}
}

func (j *job) pushShipments(ctx context.Context, sink connectors.ShipmentSink, list []store.ShipmentToTell, r *PushResult) error {
	pushes := make([]connectors.ShipmentPush, len(list))
	for i, t := range list {
		pushes[i] = connectors.ShipmentPush{
			Key: pushKey(t), Order: t.ExternalID, Carrier: j.conn.Rules.Carrier(t.Carrier), Service: t.Service, TrackingNumber: strings.Join(t.TrackingNumbers, ", "),
			TrackingURL: t.TrackingURL, ShippedAt: t.ShippedAt, Lines: t.Lines,
		}
	}
	outcomes, pushErr := sink.PushShipments(ctx, pushes)
	outcomes = outcomes[:min(len(outcomes), len(list))]
	readErr := j.seeShipped(ctx, list, outcomes, r)
	switch relay.KindOf(readErr) {
	case relay.Rejected, relay.Invalid, relay.NotFound, relay.Conflict: // it may last, and must not keep all others waiting
		for i := range outcomes {
			outcomes[i].Err = cmp.Or(outcomes[i].Err, readErr)
		}
		readErr = nil
	}
	var told []store.Told
	for i, o := range outcomes {
		t := store.Told{Shipment: list[i].ID, Order: list[i].Order, CartID: o.CartID, Found: o.Found}
		if o.Err != nil {
			// What was not tried has no failure of its own.
			if kind := relay.KindOf(o.Err); pushErr != nil && (kind == relay.Unavailable || kind == relay.Throttled || kind == relay.Unauthorised) {
				continue
			}
			t.Error, t.Retry = o.Err.Error(), backOff(list[i].Attempts, time.Minute, 6*time.Hour)
			j.log.Warn("the cart did not take a shipment; it will be told again", "order", list[i].Order, "error", o.Err, "again", t.Retry)
			r.Failed++
		} else if readErr != nil {
			continue // the next run finds it at the cart, and asks again
		} else {
			r.Done++
		}
		told = append(told, t)
	}
	confirmed, err := j.store.RecordTold(context.WithoutCancel(ctx), j.actor, told)
	r.Confirmed += confirmed
	if err = errors.Join(pushErr, readErr, err); len(told) == 0 && err == nil {
		return fmt.Errorf("the connector gave no outcome for %d shipments", len(list))
	}
	return err
}

// seeShipped looks once more, where the cart can be asked, at the orders that it has
// just taken parcels of: an edit that it has not told of yet it may tell no more. It
// comes before what was told is recorded, which may be the order's end.
func (j *job) seeShipped(ctx context.Context, list []store.ShipmentToTell, outcomes []connectors.ShipmentOutcome, r *PushResult) error {
	reader, ok := j.vendor.(connectors.OrderReader)
	if !ok {
		return nil
	}
	var ids []relay.ExternalID
	for i, o := range outcomes {
		if o.Err == nil {
			ids = append(ids, list[i].ExternalID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	now, err := reader.ReadOrders(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	tooLate, err := j.store.SeeShipped(ctx, j.conn.ID, now, j.actor)
	if r.TooLate += tooLate; tooLate > 0 {
		j.log.Error("orders changed at the cart after they were submitted: see the trail of each", "orders", tooLate)
	}
	return err
}

// pushKey names a shipment for its cart: the same in every try, even after the
// ledger was restored from a backup, and whatever the cart calls the carrier.
func pushKey(t store.ShipmentToTell) string { return shortHash(string(t.ExternalID), t.Key) }

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// backOff doubles first with every attempt, up to most.
func backOff(attempts int, first, most time.Duration) time.Duration {
	d := first
	for range attempts {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}

// levelsAtOnce is how many levels are told in one push: what is lost with a
// worker that dies, and as many as a stock adjustment of TradeGecko takes.
const levelsAtOnce = 100

// pushWithin bounds how long one push of levels takes: with many that the cart
// refuses, each at the pace of its rate limit. A worker that dies within it leaves
// it open for so long, and pushGrace, what the cart shows of these levels.
const (
	pushWithin = 5 * time.Minute
	pushGrace  = 15 * time.Second // in which a request that was sent last still counts
	// PushGivenUp is how long after a push of levels began whose worker died they are told again.
	PushGivenUp = pushWithin + pushGrace
)

// PushInventory tells a cart of stock levels that changed.
func (a *Activities) PushInventory(ctx context.Context, in JobInput) (r PushResult, err error) {
	r.Stopped, err = a.on(ctx, in, relay.PushInventory, func(j *job) error {
		sink, ok := j.vendor.(connectors.InventorySink)
		if !ok {
			return nil
		}
		// What a cart is owed moves with its orders, also where the warehouse's figures
		// stand still and wake nobody.
		if j.conn.Schedule.Of(relay.PushInventory) == relay.Auto {
			every := min(lookEvery, time.Duration(j.merchant.StoredWarehouse().Schedule.Of(relay.PullInventory)))
			r.again(false, time.Now().Add(every))
		}
		return j.tellLevels(ctx, sink, &r)
	})
	return r, err
}

// lookEvery is how long levels that nobody reported a change of are left alone at
// most, where the cart is told of them as they change.
const lookEvery = 5 * time.Minute

// skusAtOnce is how many SKUs are computed from one look at the ledger: enough
// that the orders at the warehouse, which are read each time, hardly count.
const skusAtOnce = 10_000

// tellLevels goes through the cart's SKUs once, and gathers what is due.
func (j *job) tellLevels(ctx context.Context, sink connectors.InventorySink, r *PushResult) error {
	next, err := j.store.GiveUpPushes(ctx, j.conn.ID)
	if err != nil {
		return err
	}
	r.again(false, next)
	q, err := j.cartLevels(ctx, skusAtOnce)
	if err != nil {
		return err
	}
	q.Keep = store.CartLevel.Due
	var due []store.LevelToSend
	for more := true; more || len(due) > 0; {
		if j.spent() {
			r.More = true
			return nil
		}
		for more && len(due) < levelsAtOnce {
			page, err := j.store.CartLevels(ctx, q)
			if err != nil {
				return err
			}
			for _, l := range page.Levels {
				due = append(due, l.ToSend())
			}
			q.After, more = page.After, page.More
		}
		batch := due[:min(levelsAtOnce, len(due))]
		due = due[len(batch):]
		if len(batch) == 0 {
			return nil
		}
		if _, err := j.pushLevels(ctx, sink, batch, r); err != nil {
			return err
		}
	}
	return nil
}

// cartLevels asks for the levels of the job's cart, so many SKUs at a time.
func (j *job) cartLevels(ctx context.Context, limit int) (store.CartLevelsQuery, error) {
	m, err := j.mappings(ctx, j.merchant)
	return store.CartLevelsQuery{Merchant: j.merchant, Mappings: m, Cart: j.conn, Limit: limit}, err
}

func (j *job) pushLevels(ctx context.Context, sink connectors.InventorySink, levels []store.LevelToSend, r *PushResult) ([]connectors.LevelOutcome, error) {
	push := connectors.InventoryPush{Targets: make([]connectors.StockTarget, len(levels))}
	parts := []string{string(j.merchant.ID), string(j.conn.Name)}
	for i, l := range levels {
		push.Targets[i] = connectors.StockTarget{SKU: l.SKU, Location: l.Location, Available: l.Available, Owed: l.Owed}
		parts = append(parts, string(l.SKU), l.Location, l.Available.String(), l.Owed.String(), l.LastSent.UTC().Format(time.RFC3339Nano), l.Moved.String())
	}
	// Until it is recorded as sent, the same push has the same key.
	push.Key = shortHash(parts...)
	within, cancel := context.WithTimeout(ctx, pushWithin)
	defer cancel()
	begun, err := j.store.BeginPush(within, j.conn.ID, levels, PushGivenUp)
	if err != nil {
		return nil, err
	}
	outcomes, err := sink.PushInventory(within, push)
	if err != nil {
		return nil, err
	}
	if len(outcomes) != len(levels) {
		return nil, fmt.Errorf("the connector gave %d outcomes for %d levels", len(outcomes), len(levels))
	}
	sent := make([]store.LevelSent, len(levels))
	for i, o := range outcomes {
		sent[i] = store.LevelSent{LevelToSend: levels[i], ByParts: o.ByParts}
		if o.Err == nil {
			r.Done++
			continue
		}
		r.Failed++
		sent[i].Error, sent[i].Retry = o.Err.Error(), 15*time.Minute
		if k := relay.KindOf(o.Err); k == relay.NotFound || k == relay.Conflict || k == relay.Invalid {
			sent[i].Retry = 24 * time.Hour // it needs a change at the cart
		}
		r.again(false, time.Now().Add(sent[i].Retry))
		j.log.Warn("the cart did not take a stock level", "sku", levels[i].SKU, "location", levels[i].Location, "error", o.Err)
	}
	again, err := j.store.RecordSent(context.WithoutCancel(ctx), j.conn.ID, begun, sent)
	r.again(again, time.Time{})
	return outcomes, err
}
