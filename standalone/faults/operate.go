package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/demo"
	"orderferry/standalone/shop"
	"orderferry/workflows"
)

// ask sends a workflow a message and waits for its answer.
func (h *harness) ask(ctx context.Context, workflow, message string, request, answer any) error {
	return ask(ctx, h.temporal, workflow, message, request, answer)
}

func ask(ctx context.Context, temporal client.Client, workflow, message string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	handle, err := temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflow, UpdateName: message, Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, answer)
}

// operate does what an operator does all along: connections that stopped since
// their credentials were refused are resumed, and orders that wait for a person
// are released.
func (h *harness) operate(ctx context.Context) error {
	for rest(ctx, 2*time.Second) {
		h.letAdopted(ctx)
		for i := range h.Merchants {
			m := merchantID(i)
			list, err := h.ledger.Merchant(ctx, m)
			if err != nil {
				break // an outage
			}
			for _, c := range list.Connections {
				if !c.StoppedAt.IsZero() {
					_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(m), "", workflows.Resume, workflows.JobRequest{Connection: c.Name, Actor: "ops"})
				}
			}
			h.releaseOthers(ctx, m)
			h.mend(ctx, i)
		}
	}
	return nil
}

// releaseOthers lets orders go that are on hold for a reason that neither the plan nor the clerk made.
func (h *harness) releaseOthers(ctx context.Context, m relay.MerchantID) {
	rows, err := h.database.Query(ctx, `select distinct hold_reason from orders where merchant_id = $1 and state = 'held' and hold_reason <> all($2)`,
		m, []string{string(relay.HoldInsufficientInventory), string(relay.HoldUnknownItem), string(relay.HoldOperator)})
	if err != nil {
		return
	}
	defer rows.Close()
	for rows.Next() {
		var reason relay.HoldReason
		if rows.Scan(&reason) == nil {
			_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(m), "", workflows.ReleaseOrders, workflows.ReleaseRequest{Reason: reason, Actor: "ops"})
		}
	}
}

// mend sells the orders anew that are on hold since something of them could not be read.
func (h *harness) mend(ctx context.Context, i int) {
	rows, err := h.database.Query(ctx, `
		select c.name, o.number from orders o join connections c on c.id = o.cart_id where o.merchant_id = $1 and o.state = 'held' and o.hold_reason = $2`,
		merchantID(i), relay.HoldBadOrder)
	if err != nil {
		return
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[audit.Key])
	if err != nil {
		return
	}
	for _, key := range list {
		h.mu.Lock()
		s, ok := h.sales[orderKey{i, key}]
		versions := h.versions[orderKey{i, key}]
		h.mu.Unlock()
		if !ok {
			continue
		}
		cart, o := h.order(s)
		_ = cart.Mend(o.As(versions[len(versions)-1])) // again in a while, if need be
	}
}

// settle ends all faults, brings all that orders wait for, and waits until the
// books agree, or nothing has moved for so long that what is left is stuck.
func (h *harness) settle(ctx context.Context) ([]audit.Finding, error) {
	h.shops.ClearFaults()
	h.people.calm()
	h.sayf("%s  all kills are done; faults are off, and what is under way comes to its end", h.since())
	for i := range h.Merchants {
		h.addAlias(ctx, i)
		h.deliver(i, shop.LateCode, int64(h.Orders))
		// Every figure changes once more: the cart has to have heard of the last.
		for _, code := range shop.Codes() {
			h.deliver(i, code, 1)
		}
		_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(merchantID(i)), "", workflows.Resume, workflows.JobRequest{Actor: "ops"})
	}
	idle := make(chan struct{})
	go func() { h.deeds.Wait(); close(idle) }()
	last, moved, clean := "", time.Now(), 0
	// What workers that died were doing to a cart's stock is looked at when its time
	// is over, and what they were telling people is told again.
	var lost *time.Time
	if err := h.database.QueryRow(ctx, `
		select greatest((select max(ends_at) from stock_pushes), (select max(next_at) from alert_messages where sent_at is null and gave_up_at is null))`).Scan(&lost); err != nil {
		return nil, err
	}
	for round := 0; ; round++ {
		for i := range h.Merchants {
			if round%4 == 0 { // jobs that failed would wait for minutes
				_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(merchantID(i)), "", workflows.SyncNow, workflows.JobRequest{Actor: "ops"})
			}
			h.releaseDue(ctx, i)
			if comparesBooks(i) && round%8 == 0 { // stray orders are to be found
				_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(merchantID(i)), "", workflows.SyncNow, compareBooks)
			}
		}
		findings, state, err := h.audit(ctx)
		if err != nil {
			return nil, err
		}
		if clean++; len(findings) > 0 {
			clean = 0
			h.sayf("%s  %d things are not right yet, such as: %s", h.since(), len(findings), findings[0])
		}
		select {
		case <-idle:
			if clean > 1 && !h.tellsCancels(ctx) { // and stays so
				return nil, nil
			}
		default: // somebody still waits for an answer
		}
		if state != last {
			last, moved = state, time.Now()
		}
		if lost != nil && moved.Before(*lost) {
			moved = *lost
		}
		if next := h.nextStep(ctx); time.Since(moved) > h.Patience && time.Until(next) > h.Patience {
			return findings, nil
		}
		if !rest(ctx, 3*time.Second) {
			return nil, ctx.Err()
		}
	}
}

// releaseDue lets orders go that have what they waited for.
func (h *harness) releaseDue(ctx context.Context, i int) {
	due, err := h.due(ctx, i)
	if err != nil {
		return
	}
	for batch := range slices.Chunk(due, 200) {
		_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(merchantID(i)), "", workflows.ReleaseOrders, workflows.ReleaseRequest{References: batch, Actor: "ops"})
	}
}

// due lists the orders on hold in whose way nothing stands: all but those that
// are made to wait for ever.
func (h *harness) due(ctx context.Context, i int) ([]relay.Reference, error) {
	ledger, err := audit.Ledger(ctx, h.database, merchantID(i))
	if err != nil {
		return nil, err
	}
	var out []relay.Reference
	for _, o := range ledger {
		if o.State == relay.OrderHeld && !h.waitsForEver(i, o) {
			out = append(out, o.Reference)
		}
	}
	return out, nil
}

// waitsForEver reports whether an order has an item that never comes.
func (h *harness) waitsForEver(merchant int, o audit.Order) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.sales[orderKey{merchant, audit.Key{Cart: o.Cart, Number: o.Number}}]
	return ok && s.waitsForEver()
}

// nextStep is when the next of the tries is due that the ledger plans by
// itself; the far future when none is.
func (h *harness) nextStep(ctx context.Context) time.Time {
	var at *time.Time
	err := h.database.QueryRow(ctx, `
		select least((select min(next_push_at) from shipments where state = 'ready' and next_push_at > now()),
			(select min(next_look_at) from orders where state = 'in_doubt' and next_look_at > now()),
			(select min(retry_at) from orders where state = 'new' and retry_at > now()),
			(select min(retry_at) from sent_levels where retry_at > now()),
			(select min(next_at) from alert_messages where next_at > now() and sent_at is null and gave_up_at is null))`).Scan(&at)
	if err != nil || at == nil {
		return time.Now().Add(24 * time.Hour)
	}
	return *at
}

// tellsCancels reports whether a cart is to be told of a cancel before patience ends.
func (h *harness) tellsCancels(ctx context.Context) bool {
	var soon bool
	err := h.database.QueryRow(ctx, `
		select exists (select from orders where state in ('cancelled', 'sending_cancelled') and cart_cancel_at < now() + $1::interval)`, h.Patience).Scan(&soon)
	return err != nil || soon
}

// audit holds all books against the ledger. state changes whenever anything moves.
func (h *harness) audit(ctx context.Context) (findings []audit.Finding, state string, err error) {
	for i := range h.Merchants {
		books, err := h.books(ctx, i)
		if err != nil {
			return nil, "", err
		}
		findings = append(append(findings, h.withoutStrangers(i, &books)...), books.Check()...)
		for _, o := range books.Ledger {
			if o.State == relay.OrderHeld && !h.waitsForEver(i, o) {
				findings = append(findings, audit.Finding{Wrong: audit.Stuck, Merchant: books.Merchant, Subject: string(o.Reference),
					Words: fmt.Sprintf("it is still on hold (%s), though nothing stands in its way", o.Hold)})
			}
		}
	}
	findings = append(findings, h.people.misled()...)
	h.mu.Lock()
	findings = append(findings, h.seen...)
	h.mu.Unlock()
	var last int64
	if err := h.database.QueryRow(ctx, `select coalesce(max(id), 0) from order_events`).Scan(&last); err != nil {
		return nil, "", err
	}
	return findings, fmt.Sprint(last, findings), nil
}

func (h *harness) books(ctx context.Context, i int) (audit.Books, error) {
	b, err := demo.Books(ctx, h.database, h.shops.Merchants[i])
	if err != nil {
		return b, err
	}
	if b.Awake, err = h.awake(ctx, b.Merchant, b.Ledger); err != nil {
		return b, err
	}
	if err := h.calls(ctx, &b, i); err != nil {
		return b, err
	}
	b.Versions, b.Answers, b.Reopened = make(map[audit.Key][]audit.Content), make(map[audit.Key][]string), make(map[audit.Key]bool)
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, v := range h.versions {
		if key.merchant == i {
			b.Versions[key.Key] = v
		}
	}
	for key, a := range h.answers {
		if key.merchant == i {
			b.Answers[key.Key] = a
		}
	}
	for key := range h.reopened {
		if key.merchant == i {
			b.Reopened[key.Key] = true
		}
	}
	return b, nil
}

// awake tells which of the orders on hold have a workflow that looks after them.
func (h *harness) awake(ctx context.Context, m relay.MerchantID, ledger []audit.Order) (map[relay.Reference]bool, error) {
	out := make(map[relay.Reference]bool)
	for _, o := range ledger {
		if o.State != relay.OrderHeld {
			continue
		}
		d, err := h.temporal.DescribeWorkflowExecution(ctx, workflows.HoldID(m, o.Reference), "")
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		out[o.Reference] = err == nil && d.WorkflowExecutionInfo.CloseTime == nil
	}
	return out, nil
}
