package faults

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// underWay is what somebody does at a merchant's.
type underWay struct {
	merchant int
	audit.Deed
}

// deed has somebody do something, and notes it as open until it is done.
func (h *harness) deed(merchant int, d audit.Deed, do func()) {
	u := &underWay{merchant, d}
	h.mu.Lock()
	h.underWay[u] = true
	h.mu.Unlock()
	h.deeds.Go(func() {
		do()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.underWay, u)
	})
}

// undone lists what is open at a merchant's. h.mu is held.
func (h *harness) undone(merchant int) (list []audit.Deed) {
	for u := range h.underWay {
		if u.merchant == merchant {
			list = append(list, u.Deed)
		}
	}
	slices.SortFunc(list, func(x, y audit.Deed) int {
		return cmp.Or(cmp.Compare(x.Subject, y.Subject), cmp.Compare(x.Words, y.Words))
	})
	return list
}

// wish notes what somebody is about to ask for: it counts though no answer comes.
func (h *harness) wish(s sale, w audit.Wish) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.key(s)
	was := h.wishes[key]
	h.wishes[key] = audit.Wish{Cancel: was.Cancel || w.Cancel, Reopen: was.Reopen || w.Reopen}
}

// settle ends all faults, brings all that orders wait for, and has the books agree:
// as they are after all that happened, and again once every figure of stock has
// changed. The change comes second, for it has carts told anew of what they may have
// been told wrongly, or never.
func (h *harness) settle(ctx context.Context) ([]audit.Finding, error) {
	h.shops.ClearFaults()
	h.people.calm()
	h.sayf("%s  all kills are done; faults are off, and what is under way comes to its end", h.since())
	for i := range h.Merchants {
		h.deed(i, audit.Deed{Subject: string(merchantID(i)), Words: string(addAlias)}, func() { h.addAlias(ctx, i) })
		h.deliver(i, shop.LateCode, int64(h.Orders))
		_ = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(merchantID(i)), "", workflows.Resume, workflows.JobRequest{Actor: "ops"})
	}
	if findings, err := h.agree(ctx); err != nil || len(findings) > 0 {
		return findings, err
	}
	h.sayf("%s  the books agree; every figure of stock changes once more", h.since())
	for i := range h.Merchants {
		for _, code := range shop.Codes() {
			h.deliver(i, code, 1)
		}
	}
	return h.agree(ctx)
}

// standstill is how long it may be that no worker can be killed at work, or that no
// fewer things are wrong: longer than any lease, and than carts and people are given
// before they are told again.
const standstill = 12 * time.Minute

// agree waits until the books agree, or nothing has moved, or there were never fewer
// entries, for so long that what is left is stuck.
func (h *harness) agree(ctx context.Context) ([]audit.Finding, error) {
	last, moved, clean := "", time.Now(), 0
	said, fewest, fewer := make(map[audit.Finding]bool), math.MaxInt, time.Now()
	// What workers that died were doing to a cart's stock is looked at when its time
	// is over, and what they were telling people, or carts of cancels, is told again.
	var lost *time.Time
	if err := h.database.QueryRow(ctx, `
		select greatest((select max(ends_at) from stock_pushes), (select max(next_at) from alert_messages where sent_at is null and gave_up_at is null),
			(select max(cart_cancel_at) from orders where cart_cancel_sent_at is not null and cart_cancel_error is null))`).Scan(&lost); err != nil {
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
		if round%8 == 0 {
			if err := h.passTime(ctx); err != nil {
				return nil, err
			}
		}
		findings, state, err := h.audit(ctx)
		if err != nil {
			return nil, err
		}
		if clean++; len(findings) > 0 {
			clean = 0
		}
		if clean > 1 { // and stays so
			return nil, nil
		}
		if len(findings) < fewest {
			fewest, fewer = len(findings), time.Now()
			clear(said) // what stays is said again
		}
		h.sayNew(findings, said)
		if state != last {
			last, moved = state, time.Now()
		}
		if lost != nil && moved.Before(*lost) {
			moved = *lost
		}
		if lost != nil && fewer.Before(*lost) {
			fewer = *lost
		}
		if next := h.nextStep(ctx); time.Since(moved) > h.Patience && time.Until(next) > h.Patience {
			return findings, nil
		}
		// What is refused for ever is asked for ever: something moves always.
		if len(findings) > 0 && time.Since(fewer) > standstill {
			return findings, nil
		}
		if !rest(ctx, 3*time.Second) {
			return nil, ctx.Err()
		}
	}
}

// passTime has the minutes to a day be over after which carts are asked again what
// they refused or did not answer; not the five minutes that one who tells a cart of a
// cancel has for it.
func (h *harness) passTime(ctx context.Context) error {
	for _, due := range []string{
		`update orders set cart_cancel_at = now() where cart_cancel_error is not null and state in ('cancelled', 'sending_cancelled')
			and cart_cancel_at > now() + case when cart_cancel_sent_at is null then interval '0' else interval '10 minutes' end
			and cart_cancel_at < now() + interval '25 hours'`,
		`update sent_levels set retry_at = now() where retry_at > now() and retry_at < now() + interval '25 hours'`,
		`update shipments set next_push_at = now() where state = 'ready' and next_push_at > now() and next_push_at < now() + interval '25 hours'`,
	} {
		if _, err := h.database.Exec(ctx, due); err != nil {
			return err
		}
	}
	return nil
}

// sayNew prints how many entries there are, and some of those that were not said before.
func (h *harness) sayNew(findings []audit.Finding, said map[audit.Finding]bool) {
	const most = 5
	fresh := 0
	for _, f := range findings {
		if said[f] {
			continue
		}
		said[f] = true
		if fresh++; fresh <= most {
			h.sayf("%s    not right yet: %s", h.since(), f)
		}
	}
	if len(findings) > 0 {
		h.sayf("%s  %d things are not right yet", h.since(), len(findings))
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
			(select min(cancel_next_at) from orders where cancel_next_at > now()),
			(select min(cart_cancel_at) from orders where cart_cancel_at > now() and state in ('cancelled', 'sending_cancelled')),
			(select min(next_at) from alert_messages where next_at > now() and sent_at is null and gave_up_at is null))`).Scan(&at)
	if err != nil || at == nil {
		return time.Now().Add(24 * time.Hour)
	}
	return *at
}

// audit holds all books against the ledger. state changes whenever anything moves.
func (h *harness) audit(ctx context.Context) (findings []audit.Finding, state string, err error) {
	for i := range h.Merchants {
		books, err := h.books(ctx, i)
		if err != nil {
			return nil, "", err
		}
		uncalled, err := h.uncalled(ctx, i)
		if err != nil {
			return nil, "", err
		}
		findings = append(append(findings, books.Check()...), uncalled...)
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
	h.mu.Lock()
	defer h.mu.Unlock()
	b.Versions, b.Answers = of(i, h.versions), of(i, h.answers)
	b.Reopened, b.Wishes = of(i, h.reopened), of(i, h.wishes)
	b.Endless = make(map[audit.Key]bool)
	for key, s := range of(i, h.sales) {
		b.Endless[key] = s.waitsForEver()
	}
	b.Strangers, b.Planted = at(i, h.strangers), at(i, h.planted)
	b.Open = h.undone(i)
	return b, nil
}

// of is what concerns a merchant's orders.
func of[V any](merchant int, all map[orderKey]V) map[audit.Key]V {
	out := make(map[audit.Key]V)
	for key, v := range all {
		if key.merchant == merchant {
			out[key.Key] = v
		}
	}
	return out
}

// at are the orders at a merchant's warehouse, by ID.
func at(merchant int, all map[stranger]bool) map[string]bool {
	out := make(map[string]bool)
	for s := range all {
		if s.merchant == merchant {
			out[s.id] = true
		}
	}
	return out
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
