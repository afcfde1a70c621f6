package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/converter"
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
	// The signals stay in these until run takes them, so that none is between hands when a run ends.
	cancels, releases, looks workflow.ReceiveChannel
	signals                  []*holdRequest // collected from cancels and releases
	note                     string         // what came of the last resend
	refused                  *Refusal       // the last signal that was not carried out, until one of its name is
	shown                    shownHold
}

type shownHold struct {
	reason relay.HoldReason
	resend time.Time
}

// holdRequest is a person's request, answered in turn.
type holdRequest struct {
	HoldRequest
	name   string    // Cancel or Release
	at     time.Time // it came, and may wait for hours behind a resend
	signal bool      // nobody waits for the answer
	done   bool
	answer HoldAnswer
	err    error
}

func (h *hold) listen(ctx workflow.Context) error {
	h.cancels, h.releases, h.looks = workflow.GetSignalChannel(ctx, Cancel), workflow.GetSignalChannel(ctx, Release), workflow.GetSignalChannel(ctx, Look)
	for _, name := range []string{Cancel, Release} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, name, func(ctx workflow.Context, r HoldRequest) (HoldAnswer, error) {
			return h.ask(ctx, r, name)
		}, workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, r HoldRequest) error { return r.Check() }})
		if err != nil {
			return err
		}
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for workflow.Await(ctx, h.unread) == nil { // until the workflow is cancelled
			h.collect(ctx)
		}
	})
	return nil
}

func (h *hold) unread() bool { return h.cancels.Len()+h.releases.Len() > 0 }

// asked reports whether a request waits.
func (h *hold) asked() bool { return len(h.requests)+len(h.signals) > 0 || h.unread() }

// request is one that came just now.
func (h *hold) request(ctx workflow.Context, r HoldRequest, name string) *holdRequest {
	if r.Hold == "" {
		r.Hold = h.view.Reason
	}
	return &holdRequest{HoldRequest: r, name: name, at: workflow.Now(ctx).UTC()}
}

// collect reads the signals that came, while it is known when they did. One that
// can't be read is kept for its refusal: the SDK would drop it without a word.
func (h *hold) collect(ctx workflow.Context) {
	for _, inbox := range []workflow.ReceiveChannel{h.cancels, h.releases} {
		for raw := (converter.RawValue{}); inbox.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
			r, err := readHoldRequest(raw)
			q := h.request(ctx, r, inbox.Name())
			q.signal, q.err = true, err
			h.signals = append(h.signals, q)
		}
	}
}

func readHoldRequest(raw converter.RawValue) (r HoldRequest, err error) {
	if p := raw.Payload(); p != nil { // no request at all is an empty one
		if err := converter.GetDefaultDataConverter().FromPayload(p, &r); err != nil {
			return r, fmt.Errorf("want JSON with the fields %s: %w", strings.Join(fields[HoldRequest](), ", "), err)
		}
	}
	return r, r.Check()
}

// take takes the requests that came as signals, cancels first, and reports
// whether there is any request.
func (h *hold) take(ctx workflow.Context) bool {
	h.collect(ctx) // those of this very task
	for _, name := range []string{Cancel, Release} {
		for _, q := range h.signals {
			switch {
			case q.name != name:
			case q.err != nil:
				h.refuse(ctx, q)
			default:
				h.requests = append(h.requests, q)
			}
		}
	}
	h.signals = nil
	return len(h.requests) > 0
}

// refuse takes note of a signal that was not carried out: whoever sent it gets no answer.
func (h *hold) refuse(ctx workflow.Context, q *holdRequest) {
	workflow.GetLogger(ctx).Warn("a signal was refused", "merchant", h.in.Merchant, "order", h.in.Reference, "signal", q.name, "error", q.err)
	h.refused = &Refusal{Signal: q.name, At: q.at, Why: oneLine(brief(q.err))}
}

func (h *hold) ask(ctx workflow.Context, r HoldRequest, name string) (HoldAnswer, error) {
	q := h.request(ctx, r, name)
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
			if err := h.end(ctx); err != nil {
				return HoldResult{}, err
			}
		}
		if h.view.State != relay.OrderHeld {
			return HoldResult{State: h.view.State, Attempts: h.view.Attempts}, nil
		}
		if err := h.show(ctx); err != nil {
			return HoldResult{}, err
		}
		due, err := h.sleep(ctx)
		if err != nil {
			return HoldResult{}, err
		}
		switch {
		case h.take(ctx):
			h.answer(ctx)
		case due:
			h.resend(ctx, activities.ResendInput{Actor: "nightly resend", Clock: true})
		case h.full(ctx):
			// No request waits, and a new run begins with a look.
			return HoldResult{}, anew(ctx, HoldWorkflow, h.in)
		}
	}
}

// full reports whether it is time for a new run, and no one waits for an answer.
func (h *hold) full(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetContinueAsNewSuggested() && workflow.AllHandlersFinished(ctx)
}

// lookAfter is how long a hold sleeps at the most. Looking tells the ledger that
// the workflow is at work; one that does not look is started anew.
const lookAfter = 24 * time.Hour

// sleep waits for the next resend or for a message, and reports whether the resend is due.
func (h *hold) sleep(ctx workflow.Context) (due bool, err error) {
	woken := func() bool { return h.asked() || h.looks.Len() > 0 || h.full(ctx) }
	wait, summary := lookAfter, "until the next look"
	if next := h.view.Resend; !next.IsZero() && next.Sub(workflow.Now(ctx)) < wait {
		wait, summary = next.Sub(workflow.Now(ctx)), "until the resend at "+next.UTC().Format(time.RFC3339)
	}
	if wait > 0 {
		_, err = workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
			Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: summary},
		}, woken)
	}
	return !h.view.Resend.IsZero() && !workflow.Now(ctx).Before(h.view.Resend), err
}

// see reads the order's hold.
func (h *hold) see(ctx workflow.Context) error {
	for h.looks.ReceiveAsync(nil) { // this is the look that they ask for
	}
	var a *activities.Activities
	var v activities.HoldView
	err := workflow.ExecuteActivity(onLedger(ctx, h.in.Merchant), a.ViewHold, activities.ViewInput{
		Order: h.in.Order, Key: HoldID(h.in.Merchant, h.in.Reference), Now: workflow.Now(ctx),
	}).Get(ctx, &v)
	if due := h.view.Resend; !due.IsZero() && !due.After(workflow.Now(ctx)) && !v.Resend.IsZero() {
		v.Resend = due // its time came while something else was done: tonight, not tomorrow
	}
	h.view = v
	if v.There {
		h.note = "" // nothing was sent
	}
	return err
}

// show makes the hold readable in the Temporal Web UI.
func (h *hold) show(ctx workflow.Context) error {
	v := h.view
	named := fmt.Sprintf("--merchant %s --order %s", h.in.Merchant, h.in.Reference)
	next, release := "Only a person can end this hold.", "`ferry order release "+named+"` sends it now, "
	switch {
	case v.There:
		next, release = "The warehouse has it ("+v.Evidence+inCode(", status ", v.Status)+"), and nothing is sent again: it goes on by itself once the warehouse does.", ""
	case !v.Resend.IsZero():
		next = "Sent again at " + v.Resend.UTC().Format(time.RFC3339) + "."
	}
	details := fmt.Sprintf("**%s** is on hold: %s\n\n- since %s (%s when this was written), refused %s", h.in.Reference, v.Headline,
		v.Since.UTC().Format(time.RFC3339), relay.Age(workflow.Now(ctx).Sub(v.Since)).Since(), relay.Many(v.Attempts, "time"))
	details += inCode("\n- the warehouse: ", v.Words)
	details += fmt.Sprintf("\n- %s\n- `ferry hold show %s` tells more, %s`ferry order cancel %s --reason ...` cancels it", next, named, release, named)
	if h.note != "" {
		details += "\n- last: " + h.note
	}
	workflow.SetCurrentDetails(ctx, details+h.notCarriedOut())
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

func (h *hold) notCarriedOut() string {
	if h.refused == nil {
		return ""
	}
	return fmt.Sprintf("\n\nNot carried out: %s", h.refused)
}

// inCode is a warehouse's words behind a lead, as code: they must not become links
// or pictures. "" where there are none.
func inCode(lead, words string) string {
	if words == "" {
		return ""
	}
	return lead + "`" + strings.ReplaceAll(words, "`", "'") + "`"
}

// answer carries out the oldest request.
func (h *hold) answer(ctx workflow.Context) {
	q := h.requests[0]
	h.requests = h.requests[1:]
	switch {
	case q.name == Cancel:
		q.answer, q.err = h.cancelOrder(ctx, q)
	case h.view.State != relay.OrderHeld:
		q.answer = HoldAnswer{State: h.view.State, Answer: "not on hold any more: " + h.standing()}
	default:
		q.answer, q.err = h.release(ctx, q)
	}
	q.done = true
	switch {
	case q.err != nil && q.signal:
		h.refuse(ctx, q)
	case q.err == nil && h.refused != nil && h.refused.Signal == q.name:
		h.refused = nil
	}
}

// release resends the order, unless it is on hold for another reason than the one
// meant: that hold stays.
func (h *hold) release(ctx workflow.Context, q *holdRequest) (HoldAnswer, error) {
	if q.Hold == "" { // it came before the first look
		q.Hold = h.view.Reason
	}
	h.resend(ctx, activities.ResendInput{Actor: ByOperator(q.Actor), Reason: q.Hold})
	if err := h.see(ctx); err != nil {
		return HoldAnswer{}, err
	}
	if v := h.view; v.State == relay.OrderHeld && !v.There && v.Reason != q.Hold && h.note == "" {
		h.note = fmt.Sprintf("at %s not sent: the release was of a hold as %s, and this is another; release it again to end this one too",
			workflow.Now(ctx).UTC().Format(time.RFC3339), q.Hold)
	}
	return HoldAnswer{State: h.view.State, Answer: h.standing()}, nil
}

// standing says in words where the order is now.
func (h *hold) standing() string {
	switch h.view.State {
	case relay.OrderHeld:
		if h.view.There {
			return fmt.Sprintf("not released: the warehouse has it (%s) and is stuck with it (%s); cancel it there first", h.view.Evidence, h.view.Headline)
		}
		s := "still on hold: " + h.view.Headline
		if h.note != "" {
			s += " (" + h.note + ")"
		}
		if h.view.Words != "" {
			s += "; the warehouse: " + h.view.Words
		}
		return s
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
func (h *hold) resend(ctx workflow.Context, in activities.ResendInput) {
	h.view.Resend = time.Time{}
	in.JobInput, in.Order = activities.JobInput{Merchant: h.in.Merchant, Connection: h.in.Warehouse}, h.in.Order
	var a *activities.Activities
	var r activities.SubmitResult
	err := workflow.ExecuteActivity(onResend(ctx, h.in.Merchant, h.in.Connector), a.ResendHeld, in).Get(ctx, &r)
	at := workflow.Now(ctx).UTC().Format(time.RFC3339)
	switch {
	case err != nil:
		h.note = fmt.Sprintf("at %s the resend failed: %s", at, brief(err))
	case r.Stopped:
		h.note = fmt.Sprintf("at %s the merchant was paused or its warehouse connection stopped", at)
	case r.Accepted+r.Adopted > 0, r.Held+r.InDoubt+r.Unsent == 0: // taken, or not sent at all
		h.note = ""
	default:
		h.note = "resent at " + at
	}
}

func (h *hold) cancelOrder(ctx workflow.Context, q *holdRequest) (HoldAnswer, error) {
	var a *activities.Activities
	var out activities.CancelOutcome
	err := workflow.ExecuteActivity(onCancel(ctx, h.in.Merchant, h.in.Connector), a.CancelOrder, activities.CancelInput{
		Merchant: h.in.Merchant, Reference: h.in.Reference, Actor: ByOperator(q.Actor), Reason: q.Reason, Asked: q.at,
	}).Get(ctx, &out)
	if err != nil {
		return HoldAnswer{}, err
	}
	err = h.see(ctx)
	return HoldAnswer{State: h.view.State, Answer: out.Answer}, err
}

// end finishes a hold whose order moved on, after every request has its answer.
// It returns early when the order is on hold again.
func (h *hold) end(ctx workflow.Context) error {
	h.shown = shownHold{}
	var told relay.OrderState
	for h.view.State != relay.OrderHeld {
		h.showOver(ctx)
		if h.view.State != told {
			told = h.view.State
			if err := h.tell(ctx); err != nil {
				return err
			}
		}
		if err := workflow.Await(ctx, func() bool { return h.asked() || workflow.AllHandlersFinished(ctx) }); err != nil {
			return err
		}
		switch {
		case h.take(ctx):
			h.answer(ctx)
		case workflow.AllHandlersFinished(ctx):
			h.showOver(ctx) // with what was refused just now
			return nil
		}
	}
	return nil
}

// showOver shows in the Temporal Web UI that the hold is over.
func (h *hold) showOver(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** is on hold no more: %s", h.in.Reference, h.standing())+h.notCarriedOut())
}

// tell lets operators find that the hold is over, and lets the merchant's workflow go on with
// an order that still has to be sent, looked for or cancelled.
func (h *hold) tell(ctx workflow.Context) error {
	err := workflow.UpsertTypedSearchAttributes(ctx, AttrState.ValueSet(string(h.view.State)), AttrHoldReason.ValueUnset(), AttrNextResend.ValueUnset())
	if err != nil {
		return err
	}
	switch h.view.State {
	case relay.OrderNew, relay.OrderInDoubt, relay.OrderSubmitting, relay.OrderCancelRequested:
		request := JobRequest{Job: relay.SubmitOrders} // of the warehouse that there is by now
		if err := workflow.SignalExternalWorkflow(ctx, MerchantID(h.in.Merchant), "", SyncNow, request).Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Warn("could not wake the merchant's workflow", "merchant", h.in.Merchant, "error", err)
		}
	}
	return nil
}
