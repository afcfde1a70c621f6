package activities

import (
	"context"
	"errors"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// listedOrders goes through the warehouse's own list of orders and holds each
// that bears a token against the ledger.
func (c *reconciler) listedOrders(ctx context.Context, at string) (part, error) {
	lister, ok := c.vendor.(connectors.OrderLister)
	if !ok {
		return part{}, nil
	}
	page, err := lister.ListOrders(ctx, connectors.OrderListQuery{Cursor: at, Since: c.run.BeganAt.Add(-lookBack)})
	if err != nil {
		return part{}, err
	}
	if page.Partial {
		c.log.Warn("the warehouse's list of orders can't be read to its end", "orders", len(page.Orders))
	}
	found := part{checked: len(page.Orders), more: page.More, at: page.Cursor, partial: page.Partial}
	found.discrepancies, err = c.judge(ctx, page.Orders)
	return found, err
}

// verdict is what a listed order is to the ledger.
type verdict int

const (
	fine     verdict = iota // nothing is to be said of it
	shown                   // it is there, and the ledger does not know or denies it
	contrary                // it is there, and its order is being sent under another token
	unwanted                // its order does not want it: it has another one, or was cancelled
)

func judge(o connectors.ListedOrder, s store.SubmissionStanding) verdict {
	switch s.State {
	case "open":
		return fine // whoever sends it writes down what came of it
	case "in_doubt":
		return shown
	case "withdrawn":
		return unwanted
	case "accepted":
		if s.WarehouseOrderID == o.ID {
			return fine
		}
		return unwanted
	}
	// Refused, unsent or absent, as far as we knew.
	switch {
	case s.WarehouseOrderID == o.ID:
		return fine // another attempt found it
	case s.Other == "accepted":
		return unwanted
	case s.Other != "":
		return contrary
	}
	switch s.OrderState {
	case relay.OrderNew, relay.OrderSkipped, relay.OrderHeld:
		return shown
	case relay.OrderCancelled, relay.OrderSendingCancelled:
		return unwanted
	}
	return contrary
}

// judge holds orders of the warehouse's list against the ledger.
func (c *reconciler) judge(ctx context.Context, list []connectors.ListedOrder) ([]store.Discrepancy, error) {
	var live []connectors.ListedOrder
	var tokens []relay.Token
	for _, o := range list {
		if o.Progress != connectors.Cancelled && o.Progress != connectors.Gone && o.Progress != connectors.Refused {
			live, tokens = append(live, o), append(tokens, o.Token)
		}
	}
	// Read after the list: a token was in the ledger before it was sent.
	standings, err := c.store.Standings(ctx, c.conn.ID, tokens)
	if err != nil {
		return nil, err
	}
	var discrepancies []store.Discrepancy
	var there, stray []listed
	var strangers []store.Stranger
	for _, o := range live {
		s, known := standings[o.Token]
		if !known {
			if o.Number != "" {
				strangers = append(strangers, store.Stranger{ID: o.ID, Number: o.Number, CreatedAt: createdBy(o).Add(skew)})
			}
			continue
		}
		if !s.Here {
			continue // of another merchant, or of a connection before this one
		}
		switch l := (listed{o, s}); judge(o, s) {
		case shown:
			there = append(there, l)
		case contrary:
			discrepancies = append(discrepancies, l.differs(store.FindingUnexpected))
		case unwanted:
			stray = append(stray, l)
		}
	}
	for _, compare := range []func() ([]store.Discrepancy, error){
		func() ([]store.Discrepancy, error) { return c.doubtShown(ctx, there) },
		func() ([]store.Discrepancy, error) { return c.cancelUnwanted(ctx, stray) },
		func() ([]store.Discrepancy, error) { return c.holdSuspects(ctx, strangers) },
	} {
		more, err := compare()
		if err != nil {
			return nil, err
		}
		discrepancies = append(discrepancies, more...)
	}
	return discrepancies, nil
}

// createdBy is when an order was there at the latest.
func createdBy(o connectors.ListedOrder) time.Time {
	if o.CreatedAt.IsZero() {
		return time.Now()
	}
	return o.CreatedAt
}

// listed is a warehouse's order and the submission whose token it bears.
type listed struct {
	connectors.ListedOrder
	store.SubmissionStanding
}

func (l listed) differs(kind store.FindingKind) store.Discrepancy {
	return store.Discrepancy{Kind: kind, Subject: string(l.ID), Order: l.Order,
		Detail: map[string]any{"submission": l.State, "order": l.OrderState, "warehouse": l.Progress}}
}

// doubtShown has orders looked for that are there though the ledger does not know
// it, or believes the contrary and would send them again: promise 1. The look
// adopts them by their tokens.
func (c *reconciler) doubtShown(ctx context.Context, list []listed) ([]store.Discrepancy, error) {
	if len(list) == 0 {
		return nil, nil
	}
	there := make([]store.Shown, len(list))
	for i, l := range list {
		there[i] = store.Shown{Submission: l.Submission, WarehouseOrderID: l.ID}
	}
	doubted, err := c.store.DoubtShown(ctx, c.actor, there)
	if err != nil {
		return nil, err
	}
	looked := make(map[store.SubmissionID]bool, len(doubted))
	for _, d := range doubted {
		looked[d.Submission] = true
		if d.WasHeld {
			c.wake(d.Reference)
		}
	}
	c.result.Submit = true
	discrepancies := make([]store.Discrepancy, len(list))
	for i, l := range list {
		kind := store.FindingUnconfirmed
		if l.State != "in_doubt" {
			kind = store.FindingUnexpected
			c.log.Error("the warehouse has an order that the ledger did not know to be there; it is looked for before it could be sent again", "order", l.Reference, "warehouse_order", l.ID)
		}
		discrepancies[i] = l.differs(kind)
		discrepancies[i].Repaired = looked[l.Submission]
	}
	return discrepancies, nil
}

// cancelUnwanted cancels what the warehouse has of orders that have another
// warehouse order, or that were cancelled. What has shipped is reported.
func (c *reconciler) cancelUnwanted(ctx context.Context, list []listed) ([]store.Discrepancy, error) {
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]relay.WarehouseOrderID, len(list))
	for i, l := range list {
		ids[i] = l.ID
	}
	owned, err := c.store.Owned(ctx, c.conn.ID, ids)
	if err != nil {
		return nil, err
	}
	canceller, able := c.vendor.(connectors.Canceller)
	discrepancies := make([]store.Discrepancy, len(list))
	var ask []int
	for i, l := range list {
		answer := connectors.CancelAnswer{Result: connectors.CancelTooLate}
		switch {
		case owned[i] && l.ID != l.WarehouseOrderID && l.ID != l.Led:
			// Adopted for its content by an order that looks like it: cancelling it would lose that one.
			answer.Evidence = "another order has it"
		case l.Progress == connectors.PartShipped || l.Progress == connectors.FullShipped:
			answer.Evidence = "it has shipped"
		case !able:
			answer.Result, answer.Evidence = connectors.CancelPending, cantCancel
		default:
			answer.Result = connectors.CancelPending
			ask = append(ask, i)
		}
		discrepancies[i] = l.unwanted(answer)
	}
	if len(ask) > 0 {
		// First it is written: once cancelled, they are no discrepancies to whoever
		// goes on after we died.
		if err := c.record(ctx, store.Compared{Discrepancies: discrepancies, Progress: c.progress}); err != nil {
			return nil, err
		}
	}
	for _, i := range ask {
		answer, err := c.askCancel(ctx, canceller, list[i].ID)
		if err != nil {
			return nil, err
		}
		discrepancies[i] = list[i].unwanted(answer)
	}
	for i, d := range discrepancies {
		c.log.Error("the warehouse has an order that must not ship", "order", list[i].Reference, "warehouse_order", list[i].ID, "finding", d.Kind, "cancel", d.Detail["cancel"])
	}
	return discrepancies, nil
}

// unwanted tells of an order that its own order does not want, and how its cancel stands.
func (l listed) unwanted(answer connectors.CancelAnswer) store.Discrepancy {
	d := l.differs(store.FindingNotCancelled)
	d.Event, d.EventDetail = cancelEvent(answer.Result), map[string]any{"warehouse_order": l.ID, "evidence": answer.Evidence}
	if l.WarehouseOrderID != "" && l.WarehouseOrderID != l.ID {
		d = l.differs(store.FindingDuplicate)
		d.Event, d.EventDetail = store.EventDuplicate, map[string]any{"cancelled": map[relay.WarehouseOrderID]connectors.CancelResult{l.ID: answer.Result}}
	}
	d.Repaired = answer.Result == connectors.CancelDone
	d.Detail["cancel"], d.Detail["evidence"] = answer.Result, answer.Evidence
	return d
}

// askCancel asks for a cancel. Only refused credentials are an error: what can't
// be cancelled now is reported, and asked again by the next run.
func (c *reconciler) askCancel(ctx context.Context, canceller connectors.Canceller, id relay.WarehouseOrderID) (connectors.CancelAnswer, error) {
	answer, err := canceller.CancelOrder(ctx, id)
	if errors.Is(err, relay.Unauthorised) || ctx.Err() != nil {
		return answer, err
	}
	if err != nil {
		answer = connectors.CancelAnswer{Result: connectors.CancelPending, Evidence: err.Error()}
	}
	return answer, nil
}

func cancelEvent(r connectors.CancelResult) store.EventKind {
	switch r {
	case connectors.CancelDone:
		return store.EventCancelled
	case connectors.CancelTooLate:
		return store.EventCancelTooLate
	}
	return store.EventCancelPending
}

// holdSuspects deals with orders that bear our mark and the number of one of the
// merchant's orders, but whose token the ledger never gave out: it was restored
// from a backup, or another installation uses the account. Nothing of theirs is
// cancelled or adopted, but what is not sent yet waits for a person.
func (c *reconciler) holdSuspects(ctx context.Context, strangers []store.Stranger) ([]store.Discrepancy, error) {
	suspects, err := c.store.HoldSuspects(ctx, c.conn, c.run.ID, c.actor, strangers, func(st store.Stranger) relay.Hold {
		return relay.Hold{Reason: relay.HoldUnknownOutcome, Fields: []relay.Problem{{Field: "submission", Value: string(st.ID),
			Message: "the warehouse has an order with this number that nothing in this ledger sent (it was restored from a backup, or another installation uses the account): " +
				"see there, then cancel, or release to send it all the same",
		}}}
	})
	if err != nil {
		return nil, err
	}
	discrepancies := make([]store.Discrepancy, len(suspects))
	for i, s := range suspects {
		if s.Held {
			c.result.Submit = true // its hold wants a workflow
			if s.State == relay.OrderHeld {
				c.wake(s.Reference)
			}
		}
		c.log.Error("the warehouse has an order with our mark that the ledger did not send", "order", s.Reference, "warehouse_order", s.Stranger, "held", s.Held)
		discrepancies[i] = store.Discrepancy{Kind: store.FindingForeign, Subject: string(s.Stranger), Order: s.Order,
			Detail: map[string]any{"order": s.State, "held": s.Held}}
	}
	return discrepancies, nil
}

// stuckOrders finds orders for which something should have been done long ago.
// It is due, so that waking the submission is all there is to do.
func (c *reconciler) stuckOrders(ctx context.Context, at string) (part, error) {
	orders, err := c.store.StuckOrders(ctx, c.merchant.ID, c.opt.Overdue, orderAt(at), atOnce)
	if err != nil || len(orders) == 0 {
		return part{}, err
	}
	c.result.Submit = true
	found := part{checked: len(orders), more: len(orders) == atOnce, at: atOrder(orders[len(orders)-1].Order)}
	for _, o := range orders {
		d := store.Discrepancy{Kind: store.FindingStuck, Subject: string(o.Reference), Order: o.Order, Detail: map[string]any{"order": o.State}}
		if o.Due != nil {
			d.Detail["due"] = o.Due.UTC()
		}
		found.discrepancies = append(found.discrepancies, d)
	}
	return found, nil
}

// unreadOrders reports that nobody managed to look what became of the orders at
// the warehouse.
func (c *reconciler) unreadOrders(ctx context.Context, _ string) (part, error) {
	n, last, err := c.store.UnreadOrders(ctx, c.conn.ID, unread)
	if err != nil || n == 0 {
		return part{}, err
	}
	d := store.Discrepancy{Kind: store.FindingUnread, Subject: string(relay.PullShipments), Detail: map[string]any{"orders": n}}
	if !last.IsZero() {
		d.Detail["since"] = last.UTC()
	}
	return part{checked: n, discrepancies: []store.Discrepancy{d}}, nil
}
