package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// HoldInput names an order on hold.
type HoldInput struct {
	Merchant  relay.MerchantID     `json:"merchant"`
	Order     relay.OrderID        `json:"order"`
	Reference relay.Reference      `json:"reference"`
	Warehouse relay.ConnectionName `json:"warehouse"`
	Connector string               `json:"connector"` // the warehouse's
	Reason    relay.HoldReason     `json:"reason"`
}

// HoldResult says how a hold ended.
type HoldResult struct {
	State    relay.OrderState `json:"state"`
	Attempts int              `json:"attempts"`
}

// Hold keeps an order that waits: it shows why, sleeps until the next 1:00 AM
// in the merchant's zone, resends, and repeats until the order is on hold no more.
func Hold(ctx workflow.Context, in HoldInput) (HoldResult, error) {
	h := &hold{in: in}
	if err := h.listen(ctx); err != nil {
		return HoldResult{}, err
	}
	return h.run(ctx)
}

type hold struct {
	in       HoldInput
	view     activities.HoldView
	requests []*holdRequest
	look     bool
	note     string // what came of the last resend
	shown    shownHold
}

type shownHold struct {
	reason relay.HoldReason
	resend time.Time
}

// holdRequest is a person's request, answered in turn.
type holdRequest struct {
	HoldRequest
	cancel bool
	done   bool
	answer HoldAnswer
	err    error
}

func (h *hold) listen(ctx workflow.Context) error {
	for _, name := range []string{Release, Cancel} {
		cancel := name == Cancel
		err := workflow.SetUpdateHandlerWithOptions(ctx, name, func(ctx workflow.Context, r HoldRequest) (HoldAnswer, error) {
			return h.ask(ctx, r, cancel)
		}, workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, r HoldRequest) error { return r.Check() }})
		if err != nil {
			return err
		}
		signals := workflow.GetSignalChannel(ctx, name)
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				var r HoldRequest
				signals.Receive(ctx, &r)
				if r.Check() == nil {
					h.requests = append(h.requests, &holdRequest{HoldRequest: r, cancel: cancel})
				}
			}
		})
	}
	looks := workflow.GetSignalChannel(ctx, Look)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			looks.Receive(ctx, nil)
			h.look = true
		}
	})
	return nil
}

func (h *hold) ask(ctx workflow.Context, r HoldRequest, cancel bool) (HoldAnswer, error) {
	q := &holdRequest{HoldRequest: r, cancel: cancel}
	h.requests = append(h.requests, q)
	if err := workflow.Await(ctx, func() bool { return q.done }); err != nil {
		return HoldAnswer{}, err
	}
	return q.answer, q.err
}

func (h *hold) run(ctx workflow.Context) (HoldResult, error) {
	for {
		if err := h.see(ctx); err != nil {
			return HoldResult{}, err
		}
		if h.view.State != relay.OrderHeld {
			return h.end(ctx)
		}
		if err := h.show(ctx); err != nil {
			return HoldResult{}, err
		}
		full := func() bool { return workflow.GetInfo(ctx).GetContinueAsNewSuggested() }
		woken := func() bool { return h.look || len(h.requests) > 0 || full() }
		due, err := h.sleep(ctx, woken)
		if err != nil {
			return HoldResult{}, err
		}
		switch {
		case len(h.requests) > 0:
			h.answer(ctx)
		case due:
			h.resend(ctx, "nightly resend")
		case full():
			// Nothing waits: requests and looks were taken first. Their handlers have answered.
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
				return HoldResult{}, err
			}
			if len(h.requests) == 0 && !h.look {
				return HoldResult{}, workflow.NewContinueAsNewError(ctx, HoldWorkflow, h.in)
			}
		}
	}
}

// sleep waits for the next resend or for a message, and says which came.
func (h *hold) sleep(ctx workflow.Context, woken func() bool) (due bool, err error) {
	if h.view.Resend.IsZero() {
		return false, workflow.Await(ctx, woken)
	}
	wait := h.view.Resend.Sub(workflow.Now(ctx))
	if wait <= 0 {
		return true, nil
	}
	ok, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout:      wait,
		TimerOptions: workflow.TimerOptions{Summary: "until the resend at " + h.view.Resend.UTC().Format(time.RFC3339)},
	}, woken)
	return !ok, err
}

// see reads the order's hold.
func (h *hold) see(ctx workflow.Context) error {
	h.look = false
	var a *activities.Activities
	var v activities.HoldView
	err := workflow.ExecuteActivity(onLedger(ctx, h.in.Merchant), a.ViewHold, activities.ViewInput{
		Order: h.in.Order, Key: HoldID(h.in.Merchant, h.in.Reference), Now: workflow.Now(ctx),
	}).Get(ctx, &v)
	h.view = v
	return err
}

// show makes the hold readable in the Temporal Web UI.
func (h *hold) show(ctx workflow.Context) error {
	v := h.view
	next := "Only a person can end this hold."
	if !v.Resend.IsZero() {
		next = "Sent again at " + v.Resend.UTC().Format(time.RFC3339) + "."
	}
	details := fmt.Sprintf("**%s** is on hold: %s\n\n- since %s, refused %d times\n- %s\n- `ferry order release --merchant %s --order %s` sends it now, `ferry order cancel ...` cancels it",
		h.in.Reference, v.Headline, v.Since.UTC().Format(time.RFC3339), v.Attempts, next, h.in.Merchant, h.in.Reference)
	if h.note != "" {
		details += "\n- last: " + h.note
	}
	workflow.SetCurrentDetails(ctx, details)
	now := shownHold{v.Reason, v.Resend}
	if now == h.shown {
		return nil
	}
	h.shown = now
	updates := []temporal.SearchAttributeUpdate{
		AttrMerchant.ValueSet(string(h.in.Merchant)), AttrOrder.ValueSet(string(h.in.Reference)), AttrState.ValueSet(string(relay.OrderHeld)),
		AttrHoldReason.ValueSet(string(v.Reason)), AttrHeldSince.ValueSet(v.Since),
	}
	if v.Resend.IsZero() {
		updates = append(updates, AttrNextResend.ValueUnset())
	} else {
		updates = append(updates, AttrNextResend.ValueSet(v.Resend))
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}

// answer carries out the oldest request.
func (h *hold) answer(ctx workflow.Context) {
	q := h.requests[0]
	h.requests = h.requests[1:]
	if q.cancel {
		q.answer, q.err = h.cancelOrder(ctx, q)
	} else {
		h.resend(ctx, actorOr(q.Actor))
		if q.err = h.see(ctx); q.err == nil {
			q.answer = HoldAnswer{State: h.view.State, Answer: h.standing()}
		}
	}
	q.done = true
}

// standing says in words where the order is now.
func (h *hold) standing() string {
	switch h.view.State {
	case relay.OrderHeld:
		if h.note != "" {
			return "still on hold: " + h.view.Headline + " (" + h.note + ")"
		}
		return "still on hold: " + h.view.Headline
	case relay.OrderAtWarehouse:
		return "accepted: " + h.view.Evidence
	case relay.OrderInDoubt:
		return "sent, but no answer says whether the warehouse took it; it is being looked for"
	}
	if h.view.Evidence != "" {
		return string(h.view.State) + ": " + h.view.Evidence
	}
	return string(h.view.State)
}

// resend submits the order. Whatever comes of it is in the ledger; see reads it.
func (h *hold) resend(ctx workflow.Context, actor string) {
	var a *activities.Activities
	var r activities.SubmitResult
	err := workflow.ExecuteActivity(onResend(ctx, h.in.Merchant, h.in.Connector), a.ResendHeld, activities.ResendInput{
		JobInput: activities.JobInput{Merchant: h.in.Merchant, Connection: h.in.Warehouse}, Order: h.in.Order, Actor: actor,
	}).Get(ctx, &r)
	at := workflow.Now(ctx).UTC().Format(time.RFC3339)
	switch {
	case err != nil:
		h.note = fmt.Sprintf("at %s the resend failed: %s", at, brief(err))
	case r.Stopped:
		h.note = fmt.Sprintf("at %s the merchant was paused or its warehouse connection stopped", at)
	case r.Accepted+r.Adopted > 0:
		h.note = ""
	default:
		h.note = "resent at " + at
	}
}

func (h *hold) cancelOrder(ctx workflow.Context, q *holdRequest) (HoldAnswer, error) {
	var a *activities.Activities
	var out activities.CancelOutcome
	err := workflow.ExecuteActivity(onCancel(ctx, h.in.Merchant, h.in.Connector), a.CancelOrder, activities.CancelInput{
		Merchant: h.in.Merchant, Reference: h.in.Reference, Actor: actorOr(q.Actor), Reason: q.Reason,
	}).Get(ctx, &out)
	if err != nil {
		return HoldAnswer{}, err
	}
	err = h.see(ctx)
	return HoldAnswer{State: h.view.State, Answer: out.Answer}, err
}

// end finishes a hold whose order moved on, after every request has its answer.
func (h *hold) end(ctx workflow.Context) (HoldResult, error) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** is on hold no more: %s", h.in.Reference, h.standing()))
	err := workflow.UpsertTypedSearchAttributes(ctx, AttrState.ValueSet(string(h.view.State)), AttrHoldReason.ValueUnset(), AttrNextResend.ValueUnset())
	if err != nil {
		return HoldResult{}, err
	}
	for len(h.requests) > 0 || !workflow.AllHandlersFinished(ctx) {
		for len(h.requests) > 0 {
			q := h.requests[0]
			h.requests = h.requests[1:]
			if q.cancel {
				q.answer, q.err = h.cancelOrder(ctx, q)
			} else {
				q.answer = HoldAnswer{State: h.view.State, Answer: "not on hold any more: " + h.standing()}
			}
			q.done = true
		}
		if err := workflow.Await(ctx, func() bool { return len(h.requests) > 0 || workflow.AllHandlersFinished(ctx) }); err != nil {
			return HoldResult{}, err
		}
	}
	// The merchant's workflow goes on with an order that still has to be sent or looked for.
	if s := h.view.State; s == relay.OrderNew || s == relay.OrderInDoubt || s == relay.OrderSubmitting || s == relay.OrderCancelRequested {
		request := JobRequest{Connection: h.in.Warehouse, Job: relay.SubmitOrders}
		if err := workflow.SignalExternalWorkflow(ctx, MerchantID(h.in.Merchant), "", SyncNow, request).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("could not wake the merchant's workflow", "merchant", h.in.Merchant, "error", err)
		}
	}
	return HoldResult{State: h.view.State, Attempts: h.view.Attempts}, nil
}
