package activities

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// unknownOrders reads all orders that are ready at the cart, and takes those in
// that the ledger does not hold. They go the way of any other order, but the
// cursor of the ordinary pull stays where it is. An order that is confirmed must
// not be among them: then the cart lost, or somebody voided, what it was told. It
// is told nothing again, for only a person knows why.
func (c *reconciler) unknownOrders(ctx context.Context, at string) (part, error) {
	source, ok := c.vendor.(connectors.OrderSource)
	if !ok {
		return part{}, nil
	}
	versions := make(map[relay.ExternalID]time.Time) // of all orders in the page
	var ready []relay.ExternalID                     // those of a list; what a file tells need not be so any more
	page, err := source.PullOrders(ctx, connectors.OrdersQuery{
		Cursor: at, Limit: pageSize, Earliest: c.run.BeganAt.Add(-lookBack), ReadOnly: true, // the ordinary pull reads them all the same
		Known: func(ctx context.Context, stamps []connectors.Stamp) ([]bool, error) {
			for _, s := range stamps {
				versions[s.ID] = s.UpdatedAt
				ready = append(ready, s.ID)
			}
			return c.known(ctx, stamps)
		},
	})
	if err != nil {
		return part{}, err
	}
	for _, o := range page.Orders {
		versions[o.ExternalID] = o.UpdatedAt
	}
	// The progress is written once what was found is written too.
	taken, err := c.store.TakeIn(ctx, c.conn, judged(page.Orders), store.ReconcileCursor, c.progress, c.actor)
	if err != nil {
		return part{}, err
	}
	woken, err := c.store.References(ctx, taken.Woken)
	if err != nil {
		return part{}, err
	}
	c.wake(woken...)
	late := slices.DeleteFunc(slices.Sorted(maps.Keys(versions)), func(id relay.ExternalID) bool {
		return !c.overdue(versions[id].Add(time.Duration(c.conn.Schedule.Of(relay.PullOrders))))
	})
	missed, err := c.store.TakenInBy(ctx, c.conn.ID, late, c.actor, c.run.BeganAt)
	if err != nil {
		return part{}, err
	}
	found := part{checked: len(versions), more: page.More, at: page.Cursor}
	for _, o := range missed {
		c.log.Error("an order was ready at the cart for long and had not been taken in; it is now", "order", o.Reference)
		found.discrepancies = append(found.discrepancies, store.Discrepancy{
			Kind: store.FindingUnknownOrder, Subject: string(o.Reference), Order: o.Order, Detail: map[string]any{"cart_order": o.ExternalID}, Repaired: true,
		})
	}
	unshipped, err := c.store.Confirmed(ctx, c.conn.ID, ready, c.run.BeganAt.Add(-c.opt.Overdue))
	if err != nil {
		return part{}, err
	}
	for _, o := range unshipped {
		found.discrepancies = append(found.discrepancies, store.Discrepancy{Kind: store.FindingUnshipped, Subject: string(o.Reference), Order: o.Order})
	}
	c.result.Submit = c.result.Submit || taken.New+taken.Changed+taken.Unskipped+len(missed) > 0
	return found, nil
}

// missedCancels looks at every order that was not shipped yet by its id in the
// cart, and cancels what is cancelled there. What the warehouse may have already
// and the cart merely does not show as ready is reported: that is no cancel.
func (c *reconciler) missedCancels(ctx context.Context, at string) (part, error) {
	source, ok := c.vendor.(connectors.CancellationSource)
	if !ok {
		return part{}, nil
	}
	orders, err := c.store.OrdersUnderWay(ctx, c.conn.ID, orderAt(at), atOnce)
	if err != nil || len(orders) == 0 {
		return part{}, err
	}
	underWay := make(map[relay.ExternalID]store.OrderUnderWay, len(orders))
	watch := make([]relay.ExternalID, len(orders))
	for i, o := range orders {
		watch[i], underWay[o.ExternalID] = o.ExternalID, o
	}
	// From where the ordinary pull is: what its feed tells is its own affair.
	cursor, err := c.store.Cursor(ctx, c.conn.ID, cancellationsCursor)
	if err != nil {
		return part{}, err
	}
	page, err := source.PullCancellations(ctx, connectors.CancellationsQuery{Cursor: cursor, Limit: pageSize, Watch: watch})
	if err != nil {
		return part{}, err
	}
	unheard, err := c.store.CartOrders(ctx, c.conn.ID, watch)
	if err != nil {
		return part{}, err
	}
	found := part{checked: len(orders), more: len(orders) == atOnce, at: atOrder(orders[len(orders)-1].Order)}
	var cancelled []connectors.Cancellation
	for _, k := range page.Cancelled {
		o, watched := underWay[k.ID]
		if _, ok := unheard[k.ID]; !watched || !ok {
			continue
		}
		d := store.Discrepancy{Kind: store.FindingCancelMissed, Subject: string(o.Reference), Order: o.Order, Detail: map[string]any{"cart_says": k.Status}, Repaired: true}
		switch k.Status {
		case connectors.GoneAtCart:
			d.Kind = store.FindingGoneAtCart
		case connectors.ShippedElsewhere:
			d.Kind = store.FindingShippedElsewhere
		}
		if o.Sent && d.Kind != store.FindingCancelMissed {
			d.Repaired = false
			found.discrepancies = append(found.discrepancies, d)
			continue
		}
		cancelled = append(cancelled, k)
		if c.overdue(k.At) || k.Status == connectors.GoneAtCart { // of which nobody knows since when
			found.discrepancies = append(found.discrepancies, d)
		}
	}
	for _, u := range page.Unready { // what was not sent is skipped by the ordinary pull
		if o, watched := underWay[u.ID]; watched && o.Sent && c.overdue(u.At) {
			found.discrepancies = append(found.discrepancies, store.Discrepancy{
				Kind: store.FindingNotReady, Subject: string(o.Reference), Order: o.Order, Detail: map[string]any{"cart_says": u.Why},
			})
		}
	}
	var r PullOrdersResult
	woken, err := c.cancelAll(ctx, cancelled, &r)
	if err != nil {
		return part{}, err
	}
	refs, err := c.store.References(ctx, woken)
	c.wake(refs...)
	c.result.Submit = c.result.Submit || len(cancelled) > 0
	return found, err
}

// untoldShipments finds parcels that the cart should have been told of long ago,
// and has it told again now.
func (c *reconciler) untoldShipments(ctx context.Context, at string) (part, error) {
	orders, err := c.store.TellUntold(ctx, c.conn.ID, c.opt.Overdue, orderAt(at), atOnce)
	if err != nil || len(orders) == 0 {
		return part{}, err
	}
	c.tellCart()
	found := part{checked: len(orders), more: len(orders) == atOnce, at: atOrder(orders[len(orders)-1].Order)}
	for _, o := range orders {
		found.discrepancies = append(found.discrepancies, store.Discrepancy{Kind: store.FindingUntold, Subject: string(o.Reference), Order: o.Order,
			Detail: map[string]any{"parcels": o.Parcels, "attempts": o.Attempts, "since": o.Since.UTC(), "error": o.Error}})
	}
	return found, nil
}

// unconfirmedOrders ends orders of which the cart has all tracking.
func (c *reconciler) unconfirmedOrders(ctx context.Context, _ string) (part, error) {
	orders, err := c.store.ConfirmTold(ctx, c.conn.ID, c.actor, atOnce)
	if err != nil {
		return part{}, err
	}
	found := part{checked: len(orders), more: len(orders) == atOnce}
	for _, o := range orders {
		found.discrepancies = append(found.discrepancies, store.Discrepancy{Kind: store.FindingNotConfirmed, Subject: string(o.Reference), Order: o.Order, Repaired: true})
	}
	return found, nil
}

// driftedLevels tells the cart again what it was told last of every SKU: a level
// that changes by it had drifted, and one that the cart refuses is reported until
// it is taken. Levels that are to be told anew are left to push_inventory.
func (c *reconciler) driftedLevels(ctx context.Context, at string) (part, error) {
	sink, ok := c.vendor.(connectors.InventorySink)
	if !ok {
		return part{}, nil
	}
	q, err := c.cartLevels(ctx, atOnce)
	if err != nil {
		return part{}, err
	}
	q.After, q.Keep = relay.SKU(at), store.CartLevel.Told
	page, err := c.store.CartLevels(ctx, q)
	if err != nil {
		return part{}, err
	}
	found := part{checked: len(page.Levels), more: page.More, at: string(page.After)}
	if len(page.Levels) == 0 {
		return found, nil
	}
	levels := make([]store.LevelToSend, len(page.Levels))
	for i, l := range page.Levels {
		levels[i] = l.ToSend()
	}
	var r PushResult
	outcomes, err := c.pushLevels(ctx, sink, levels, &r)
	if err != nil {
		return part{}, err
	}
	if r.More { // what was written meanwhile is told anew
		c.tellCart()
	}
	for i, o := range outcomes {
		level := page.Levels[i]
		d := store.Discrepancy{Kind: store.FindingStockDrift, Subject: string(level.SKU), Repaired: o.Err == nil, Detail: map[string]any{}}
		switch kind := relay.KindOf(o.Err); {
		case o.Err == nil && (o.Before == o.After || !level.Stands()):
			continue // or it was refused before, and is taken now
		case o.Err == nil:
			d.Detail["was"], d.Detail["is"] = o.Before.String(), o.After.String()
		case kind == relay.NotFound: // the cart does not sell it
			continue
		case level.Stands() && (kind == relay.Unavailable || kind == relay.Throttled || kind == relay.Unknown):
			continue // it may pass: push_inventory tells it again soon
		default:
			d.Detail["error"] = o.Err.Error()
		}
		if level.Location != "" {
			d.Subject += " at " + level.Location // a finding is told apart by its subject
			d.Detail["location"] = level.Location
		}
		found.discrepancies = append(found.discrepancies, d)
	}
	return found, nil
}

// orderAt and atOrder read and write where a comparison of orders goes on.
func orderAt(at string) relay.OrderID {
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return 0 // from the start
	}
	return relay.OrderID(n)
}

func atOrder(id relay.OrderID) string { return strconv.FormatInt(int64(id), 10) }
