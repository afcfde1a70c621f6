package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

var heldOrder = workflows.HoldInput{
	Merchant: "acme", Order: 42, Reference: "SO-1042", Warehouse: "east", Connector: "easypost", Reason: relay.HoldInsufficientInventory,
}

// holdStage is a stage with one order on hold in the ledger.
type holdStage struct {
	*stage
	view    activities.HoldView
	clock   relay.ResendClock
	resends []time.Time // by whom is in the steps
}

func newHoldStage(t *testing.T) *holdStage {
	h := &holdStage{stage: newStage(t), clock: relay.ResendClock{Hour: 1, Zone: "America/Los_Angeles"}}
	h.view = activities.HoldView{
		State: relay.OrderHeld, Reason: relay.HoldInsufficientInventory, Headline: "insufficient_inventory (NO_STOCK): barcode 0700000000017",
		Since: start.Add(-time.Hour), Attempts: 1, Words: "no stock of `mug`, see [here](http://depot.test)",
	}
	on(h.stage, "ViewHold", func(in activities.ViewInput) (activities.HoldView, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		v := h.view
		if v.State != relay.OrderHeld {
			return activities.HoldView{State: v.State, Evidence: v.Evidence}, nil
		}
		if v.Reason.ResendsNightly() && !v.There {
			var err error
			v.Resend, err = h.clock.Next(in.Now, relay.Stagger(in.Key))
			require.NoError(t, err)
		}
		return v, nil
	})
	on(h.stage, "ResendHeld", h.resend(nil))
	return h
}

// resend answers a resend after it changed the order in the ledger; with no
// change the order is refused again.
func (h *holdStage) resend(change func(*activities.HoldView) activities.SubmitResult) func(activities.ResendInput) (activities.SubmitResult, error) {
	return func(activities.ResendInput) (activities.SubmitResult, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.resends = append(h.resends, h.Now())
		if change != nil {
			return change(&h.view), nil
		}
		h.view.Attempts++
		return activities.SubmitResult{Held: 1}, nil
	}
}

func accepted(v *activities.HoldView) activities.SubmitResult {
	v.State, v.Evidence = relay.OrderAtWarehouse, "warehouse order order_17"
	return activities.SubmitResult{Accepted: 1}
}

// become changes the order in the ledger.
func (h *holdStage) become(state relay.OrderState, evidence string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.State, h.view.Evidence = state, evidence
}

// putOnHold has a person put the order on hold, of which the workflow knows nothing yet.
func (h *holdStage) putOnHold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.Reason, h.view.Headline, h.view.Words = relay.HoldOperator, "operator", ""
}

// sendIfStill resends as the ledger does: only an order that is on hold for the reason meant.
func (h *holdStage) sendIfStill() {
	on(h.stage, "ResendHeld", func(in activities.ResendInput) (activities.SubmitResult, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if in.Reason != h.view.Reason {
			return activities.SubmitResult{}, nil
		}
		return accepted(&h.view), nil
	})
}

// nightly is when the order is resent by the clock.
func (h *holdStage) nightly() time.Duration {
	at, err := h.clock.Next(start, relay.Stagger("hold/acme/SO-1042"))
	require.NoError(h.t, err)
	return at.Sub(start)
}

// runHold runs the hold until it ends, or for so long.
func (h *holdStage) runHold(d time.Duration) error {
	h.t.Helper()
	return h.run(d, workflows.HoldWorkflow, heldOrder)
}

// finish runs the hold to its end, and returns how it ended.
func (h *holdStage) finish(d time.Duration) workflows.HoldResult {
	h.t.Helper()
	require.NoError(h.t, h.runHold(d))
	var r workflows.HoldResult
	require.NoError(h.t, h.GetWorkflowResult(&r))
	return r
}

const day = 24 * time.Hour

// Ninety nights, over the change to summer time: 1:00 AM on the clock of the zone, each night once.
func TestAHoldIsResentEveryNight(t *testing.T) {
	h := newHoldStage(t)
	require.True(t, temporal.IsCanceledError(h.runHold(90*day)))
	require.Len(t, h.resends, 90)
	zone, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	for i, at := range h.resends {
		local := at.In(zone)
		require.Equal(t, 1, local.Hour(), "night %d: %s", i, local)
		require.Less(t, local.Minute(), 11)
		require.Equal(t, 2+i+1, local.YearDay()-time.Date(2026, 3, 1, 0, 0, 0, 0, zone).YearDay()+1, "night %d: %s", i, local)
	}
	for _, p := range h.named("ResendHeld") {
		require.Equal(t, activities.ResendInput{
			JobInput: activities.JobInput{Merchant: "acme", Connection: "east"}, Order: 42, Actor: "nightly resend", Clock: true,
		}, p.in)
		require.Equal(t, "orderferry/easypost", p.options.TaskQueue)
		require.Equal(t, temporal.Priority{PriorityKey: 4, FairnessKey: "acme"}, p.options.Priority)
		require.Equal(t, 6*time.Hour, p.options.ScheduleToCloseTimeout)
		require.Equal(t, 5*time.Minute, p.options.StartToCloseTimeout)
		require.Equal(t, 15*time.Second, p.options.HeartbeatTimeout)
	}
	views := h.named("ViewHold")
	require.Len(t, views, 91, "one look a night is all that it costs")
	require.Equal(t, activities.ViewInput{Order: 42, Key: "hold/acme/SO-1042", Now: start}, views[0].in)
}

func TestAHoldEndsWhenTheWarehouseTakesTheOrder(t *testing.T) {
	h := newHoldStage(t)
	nights := 0
	on(h.stage, "ResendHeld", h.resend(func(v *activities.HoldView) activities.SubmitResult {
		if nights++; nights == 3 {
			return accepted(v)
		}
		v.Attempts++
		return activities.SubmitResult{Held: 1}
	}))
	require.Equal(t, workflows.HoldResult{State: relay.OrderAtWarehouse}, h.finish(9*day))
	require.Len(t, h.resends, 3)
	require.Empty(t, h.signals, "the merchant's workflow has nothing to do")
	require.Contains(t, h.details(), "**SO-1042** is on hold no more: accepted: warehouse order order_17")
}

func TestAHoldShowsWhatIsWrong(t *testing.T) {
	h := newHoldStage(t)
	var before, after string
	h.at(time.Hour, func() { before = h.details() })
	h.at(day, func() { after = h.details(); h.become(relay.OrderCancelled, "") })
	h.at(day+time.Minute, func() { h.SignalWorkflow("look", nil) })
	h.finish(2 * day)

	require.Contains(t, before, "**SO-1042** is on hold: insufficient_inventory (NO_STOCK): barcode 0700000000017")
	require.Contains(t, before, "since 2026-03-02T11:00:00Z (1h00m when this was written), refused 1 time\n")
	require.Contains(t, before, "\n- the warehouse: `no stock of 'mug', see [here](http://depot.test)`\n", "as code, so that nothing in it is a link")
	require.Contains(t, before, "Sent again at 2026-03-03T09:0")
	require.Contains(t, before, "ferry order release --merchant acme --order SO-1042")
	require.Contains(t, before, "ferry hold show --merchant acme --order SO-1042")
	require.Contains(t, after, "(22h04m when this was written), refused 2 times")
	require.Contains(t, after, "Sent again at 2026-03-04T09:0")
	require.Contains(t, after, "last: resent at 2026-03-03T09:0")

	require.Len(t, h.attrs, 3, "at first, with the next night, at the end")
	a := h.attrs[0]
	merchant, _ := a.GetKeyword(workflows.AttrMerchant)
	order, _ := a.GetKeyword(workflows.AttrOrder)
	state, _ := a.GetKeyword(workflows.AttrState)
	reason, _ := a.GetKeyword(workflows.AttrHoldReason)
	since, _ := a.GetTime(workflows.AttrHeldSince)
	require.Equal(t, []string{"acme", "SO-1042", "held", "insufficient_inventory"}, []string{merchant, order, state, reason})
	require.True(t, since.Equal(start.Add(-time.Hour)))
	next, _ := a.GetTime(workflows.AttrNextResend)
	require.Equal(t, 3, next.Day())
	next, _ = h.attrs[1].GetTime(workflows.AttrNextResend)
	require.Equal(t, 4, next.Day())
	state, _ = h.attrs[2].GetKeyword(workflows.AttrState)
	require.Equal(t, "cancelled", state)
	for _, unset := range []temporal.SearchAttributeKey{workflows.AttrHoldReason, workflows.AttrNextResend} {
		require.True(t, h.attrs[1].ContainsKey(unset))
		require.False(t, h.attrs[2].ContainsKey(unset))
	}
	order, _ = h.attrs[2].GetKeyword(workflows.AttrOrder)
	require.Equal(t, "SO-1042", order, "it can be found ever after")
}

func TestAnOperatorsHoldWaitsForAPerson(t *testing.T) {
	h := newHoldStage(t)
	h.at(time.Hour, func() {
		h.putOnHold()
		h.SignalWorkflow("look", nil)
	})
	var details string
	h.at(30*day, func() { details = h.details() })
	h.at(60*day, func() { h.become(relay.OrderNew, "") })
	h.at(60*day+time.Second, func() { h.SignalWorkflow("look", nil) })
	require.Equal(t, workflows.HoldResult{State: relay.OrderNew}, h.finish(90*day))
	require.Empty(t, h.named("ResendHeld"))
	require.Contains(t, details, "Only a person can end this hold.")
	require.InDelta(t, 62, len(h.named("ViewHold")), 1, "a look a day tells the ledger that it is at work")
	require.True(t, h.attrs[0].ContainsKey(workflows.AttrNextResend))
	require.False(t, h.attrs[1].ContainsKey(workflows.AttrNextResend))
	reason, _ := h.attrs[1].GetKeyword(workflows.AttrHoldReason)
	require.Equal(t, "operator", reason)
}

// The warehouse has the order and is stuck with it: nothing is sent again for as
// long as that lasts, a release says so, and the hold ends with the warehouse's word.
func TestAHoldOfAnOrderThatTheWarehouseHas(t *testing.T) {
	h := newHoldStage(t)
	h.view.There, h.view.Status, h.view.Evidence, h.view.Words, h.view.Attempts = true, "CSR - `No Stock`", "warehouse order PT-7", "", 0
	on(h.stage, "ResendHeld", func(activities.ResendInput) (activities.SubmitResult, error) { return activities.SubmitResult{}, nil })
	var r *reply
	var details, after string
	h.at(10*day, func() { details = h.details() })
	h.at(20*day, func() { r = h.ask("release", workflows.HoldRequest{Actor: "clerk"}) })
	h.at(21*day, func() { after = h.details() })
	h.at(30*day, func() { h.become(relay.OrderAtWarehouse, "warehouse order PT-7") })
	h.at(30*day+time.Second, func() { h.SignalWorkflow("look", nil) })
	require.Equal(t, workflows.HoldResult{State: relay.OrderAtWarehouse}, h.finish(60*day))
	require.Contains(t, details, "The warehouse has it (warehouse order PT-7, status `CSR - 'No Stock'`), and nothing is sent again: it goes on by itself once the warehouse does.")
	require.NotContains(t, details, "order release")
	require.Contains(t, details, "ferry order cancel --merchant acme --order SO-1042")
	require.NoError(t, r.err)
	require.Equal(t, workflows.HoldAnswer{State: relay.OrderHeld, Answer: "not released: the warehouse has it (warehouse order PT-7) and is stuck with it " +
		"(insufficient_inventory (NO_STOCK): barcode 0700000000017); cancel it there first"}, r.answer)
	require.Len(t, h.named("ResendHeld"), 1, "the release, which sends nothing")
	require.NotContains(t, after, "resent at")
	require.InDelta(t, 32, len(h.named("ViewHold")), 2, "a look a day")
	require.False(t, h.attrs[0].ContainsKey(workflows.AttrNextResend))
	require.Empty(t, h.signals)
}

func TestReleaseAnswersWithTheTruth(t *testing.T) {
	for name, c := range map[string]struct {
		resend func(*activities.HoldView) activities.SubmitResult
		state  relay.OrderState
		says   string
		wakes  bool
	}{
		"accepted": {accepted, relay.OrderAtWarehouse, "accepted: warehouse order order_17", false},
		"refused": {func(v *activities.HoldView) activities.SubmitResult {
			v.Attempts++
			return activities.SubmitResult{Held: 1}
		}, relay.OrderHeld, "still on hold: insufficient_inventory (NO_STOCK): barcode 0700000000017 (resent at 2026-03-02T13:00:02Z); the warehouse: no stock of", false},
		"in doubt": {func(v *activities.HoldView) activities.SubmitResult {
			v.State = relay.OrderInDoubt
			return activities.SubmitResult{InDoubt: 1}
		}, relay.OrderInDoubt, "no answer says whether the warehouse took it", true},
		"unsent": {func(v *activities.HoldView) activities.SubmitResult {
			v.State = relay.OrderNew
			return activities.SubmitResult{Unsent: 1}
		}, relay.OrderNew, "new", true},
		"paused": {func(*activities.HoldView) activities.SubmitResult { return activities.SubmitResult{Stopped: true} },
			relay.OrderHeld, "the merchant was paused or its warehouse connection stopped", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHoldStage(t)
			on(h.stage, "ResendHeld", h.resend(c.resend))
			var r *reply
			h.at(time.Hour, func() { r = h.ask("release", workflows.HoldRequest{Actor: "clerk"}) })
			err := h.runHold(8 * time.Hour)
			require.Equal(t, c.state == relay.OrderHeld, err != nil, "it ends when the order moves on: %v", err)
			require.NoError(t, r.err)
			answer := r.answer.(workflows.HoldAnswer)
			require.Equal(t, c.state, answer.State)
			require.Contains(t, answer.Answer, c.says)
			require.Equal(t, "operator clerk", h.named("ResendHeld")[0].in.(activities.ResendInput).Actor)
			require.Len(t, h.named("ResendHeld"), 1)
			if !c.wakes {
				require.Empty(t, h.signals)
				return
			}
			require.Len(t, h.signals, 1)
			require.Equal(t, "merchant/acme", h.signals[0].workflow)
			require.Equal(t, "sync-now", h.signals[0].name)
			require.Equal(t, workflows.JobRequest{Job: relay.SubmitOrders}, h.signals[0].arg)
		})
	}
}

// A release that waited for its turn does not end a hold that a person put on the
// order meanwhile; who releases it again ends that too.
func TestAReleaseEndsNoLaterHold(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "ResendHeld", func(in activities.ResendInput) (activities.SubmitResult, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if in.Reason == relay.HoldOperator {
			return accepted(&h.view), nil
		}
		h.view.Reason, h.view.Headline, h.view.Words = relay.HoldOperator, "operator", ""
		return activities.SubmitResult{}, nil
	})
	var first, second *reply
	h.at(time.Hour, func() { first = h.ask("release", workflows.HoldRequest{Actor: "one"}) })
	h.at(2*time.Hour, func() {
		require.Contains(h.t, h.details(), "last: at 2026-03-02T13:00:04Z not sent")
		second = h.ask("release", workflows.HoldRequest{Actor: "two"})
	})
	require.Equal(t, relay.OrderAtWarehouse, h.finish(3*time.Hour).State)
	require.Equal(t, workflows.HoldAnswer{State: relay.OrderHeld, Answer: "still on hold: operator (at 2026-03-02T13:00:04Z not sent: " +
		"the release was of a hold as insufficient_inventory, and this is another; release it again to end this one too)"}, first.answer)
	require.Equal(t, "accepted: warehouse order order_17", second.answer.(workflows.HoldAnswer).Answer)
	var asked []relay.HoldReason
	for _, in := range inputs[activities.ResendInput](h.stage, "ResendHeld") {
		require.False(t, in.Clock)
		asked = append(asked, in.Reason)
	}
	require.Equal(t, []relay.HoldReason{relay.HoldInsufficientInventory, relay.HoldOperator}, asked)
}

// The nightly resend is under way, and a person's hold comes before the release has its turn.
func TestAReleaseBehindAResendEndsNoLaterHold(t *testing.T) {
	for name, release := range map[string]func(*holdStage){
		"update": func(h *holdStage) { h.ask("release", workflows.HoldRequest{Actor: "one"}) },
		"signal": func(h *holdStage) { h.SignalWorkflow("release", workflows.HoldRequest{Actor: "one"}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHoldStage(t)
			h.sendIfStill()
			h.at(h.nightly()+took/4, func() { release(h) })
			h.at(h.nightly()+took/2, h.putOnHold)
			require.True(t, temporal.IsCanceledError(h.runHold(h.nightly()+time.Hour)))
			resends := inputs[activities.ResendInput](h.stage, "ResendHeld")
			require.Len(t, resends, 2, "by the clock, and the release")
			require.Equal(t, relay.HoldInsufficientInventory, resends[1].Reason)
			require.Contains(t, h.details(), "the release was of a hold as insufficient_inventory, and this is another")
		})
	}
}

// A release of the hold that a person sees in the ledger, before the workflow has seen it.
func TestAReleaseOfAHoldThatTheWorkflowHasNotSeen(t *testing.T) {
	h := newHoldStage(t)
	h.sendIfStill()
	h.at(time.Hour, h.putOnHold)
	var r *reply
	h.at(2*time.Hour, func() { r = h.ask("release", workflows.HoldRequest{Actor: "clerk", Hold: relay.HoldOperator}) })
	require.Equal(t, relay.OrderAtWarehouse, h.finish(3*time.Hour).State)
	require.Equal(t, "accepted: warehouse order order_17", r.answer.(workflows.HoldAnswer).Answer)
}

func TestAReleaseThatFailsLeavesTheOrderOnHold(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "ResendHeld", func(activities.ResendInput) (activities.SubmitResult, error) {
		return activities.SubmitResult{}, temporal.NewNonRetryableApplicationError("open connection: no connector", "invalid", nil)
	})
	var r *reply
	h.at(time.Hour, func() { r = h.ask("release", workflows.HoldRequest{}) })
	require.True(t, temporal.IsCanceledError(h.runHold(2*time.Hour)))
	require.NoError(t, r.err)
	require.Contains(t, r.answer.(workflows.HoldAnswer).Answer, "the resend failed: open connection: no connector")
	require.Contains(t, h.details(), "the resend failed: open connection: no connector")
}

func TestCancelOfAHold(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
		h.become(relay.OrderSendingCancelled, "")
		return activities.CancelOutcome{Reference: "SO-1042", Result: "stopped_before_sending", Answer: "stopped before sending: the warehouse never had it", WasHeld: true}, nil
	})
	var r *reply
	h.at(time.Hour, func() { r = h.ask("cancel", workflows.HoldRequest{Reason: "buyer cancelled", Actor: "clerk"}) })
	require.Equal(t, workflows.HoldResult{State: relay.OrderSendingCancelled}, h.finish(2*time.Hour))
	require.Equal(t, workflows.HoldAnswer{State: relay.OrderSendingCancelled, Answer: "stopped before sending: the warehouse never had it"}, r.answer)
	require.Equal(t, []activities.CancelInput{{Merchant: "acme", Reference: "SO-1042", Actor: "operator clerk", Reason: "buyer cancelled", Asked: start.Add(time.Hour)}},
		inputs[activities.CancelInput](h.stage, "CancelOrder"))
	require.Equal(t, temporal.Priority{PriorityKey: 1, FairnessKey: "acme"}, h.named("CancelOrder")[0].options.Priority)
	require.Empty(t, h.named("ResendHeld"))
}

// A cancel that waits while a resend is tried for hours was asked for when it came: a
// reopening of that time must not be undone by it.
func TestWhenACancelBehindAResendWasAsked(t *testing.T) {
	for name, cancel := range map[string]func(*holdStage){
		"update": func(h *holdStage) { h.ask("cancel", workflows.HoldRequest{}) },
		"signal": func(h *holdStage) { h.SignalWorkflow("cancel", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHoldStage(t)
			on(h.stage, "ResendHeld", func(activities.ResendInput) (activities.SubmitResult, error) {
				return activities.SubmitResult{}, temporal.NewApplicationError("the warehouse does not answer", "unavailable")
			})
			on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
				h.become(relay.OrderSendingCancelled, "")
				return activities.CancelOutcome{}, nil
			})
			came := h.nightly() + time.Minute
			h.at(came, func() { cancel(h) })
			h.finish(day)
			cancels := h.named("CancelOrder")
			require.Len(t, cancels, 1)
			require.Greater(t, cancels[0].at, came+time.Hour, "the resend comes first")
			require.Equal(t, start.Add(came), cancels[0].in.(activities.CancelInput).Asked)
		})
	}
}

func TestHoldsTakeSignalsToo(t *testing.T) {
	t.Run("release", func(t *testing.T) {
		h := newHoldStage(t)
		on(h.stage, "ResendHeld", h.resend(accepted))
		h.at(time.Hour, func() { h.SignalWorkflow("release", nil) })
		require.Equal(t, relay.OrderAtWarehouse, h.finish(2*time.Hour).State)
	})
	t.Run("cancel", func(t *testing.T) {
		h := newHoldStage(t)
		on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
			h.become(relay.OrderSendingCancelled, "")
			return activities.CancelOutcome{}, nil
		})
		h.at(time.Hour, func() { h.SignalWorkflow("cancel", workflows.HoldRequest{Reason: "buyer cancelled"}) })
		require.Equal(t, relay.OrderSendingCancelled, h.finish(2*time.Hour).State)
	})
	t.Run("nonsense", func(t *testing.T) {
		h := newHoldStage(t)
		h.at(time.Hour, func() {
			h.SignalWorkflow("look", "what?")
			h.SignalWorkflow("dance", nil)
		})
		require.True(t, temporal.IsCanceledError(h.runHold(2*time.Hour)))
		require.Empty(t, h.named("ResendHeld"))
		require.Empty(t, h.named("CancelOrder"))
		require.NotContains(t, h.details(), "Not carried out")
	})
	t.Run("cancel and release at once", func(t *testing.T) {
		h := newHoldStage(t)
		on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
			h.become(relay.OrderSendingCancelled, "")
			return activities.CancelOutcome{}, nil
		})
		h.at(time.Hour, func() {
			h.SignalWorkflowSkippingWorkflowTask("release", nil)
			h.SignalWorkflow("cancel", nil)
		})
		require.Equal(t, relay.OrderSendingCancelled, h.finish(2*time.Hour).State)
		require.Empty(t, h.named("ResendHeld"), "who cancels wants it stopped")
	})
}

// Who signals gets no answer: what can't be carried out, or not even be read, is shown,
// also of an order that goes on just then.
func TestASignalThatIsNonsenseIsShown(t *testing.T) {
	for name, c := range map[string]struct {
		request any
		why     string
	}{
		"a word":       {"buyer cancelled", "want JSON with the fields reason, actor, hold: .*cannot unmarshal string"},
		"a number":     {map[string]any{"reason": 5}, "want JSON with the fields reason, actor, hold: .*cannot unmarshal number .*reason"},
		"bytes":        {[]byte(`{"reason":"buyer cancelled"}`), "want JSON with the fields reason, actor, hold: "},
		"long words":   {workflows.HoldRequest{Reason: strings.Repeat("x", 300)}, "reason: want at most 200 characters"},
		"no such hold": {workflows.HoldRequest{Hold: "stock"}, `hold: hold reason "stock": want one of `},
	} {
		for _, signal := range []string{"cancel", "release"} {
			shown := `Not carried out: signal ` + signal + ` of 2026-03-02T13:00:00Z: ` + c.why
			t.Run(name+", "+signal, func(t *testing.T) {
				h := newHoldStage(t)
				h.at(time.Hour, func() { h.SignalWorkflow(signal, c.request) })
				require.True(t, temporal.IsCanceledError(h.runHold(2*time.Hour)))
				require.Empty(t, h.named("ResendHeld"))
				require.Empty(t, h.named("CancelOrder"))
				require.Len(t, h.named("ViewHold"), 2, "it has the workflow look, as it always had")
				require.Regexp(t, shown, h.details())
			})
			t.Run(name+", "+signal+" at the end", func(t *testing.T) {
				h := newHoldStage(t)
				h.at(time.Hour-took/2, func() { h.SignalWorkflow("look", nil) })
				h.at(time.Hour, func() {
					h.become(relay.OrderAtWarehouse, "warehouse order order_17")
					h.SignalWorkflow(signal, c.request)
				})
				h.finish(2 * time.Hour)
				require.Contains(t, h.details(), "is on hold no more")
				require.Regexp(t, shown, h.details())
			})
		}
	}
}

// Who signals gets no answer: that a cancel failed is shown with the hold, until one
// is carried out.
func TestASignalledCancelThatFailsIsShown(t *testing.T) {
	const refusal = `Not carried out: signal cancel of 2026-03-02T13:\S+: the ledger does not answer`
	fails := func(h *holdStage, meanwhile relay.OrderState) {
		on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
			h.become(meanwhile, "warehouse order order_17")
			return activities.CancelOutcome{}, temporal.NewApplicationError("the ledger does not answer", "unavailable")
		})
		h.at(time.Hour, func() { h.SignalWorkflow("cancel", workflows.HoldRequest{Reason: "buyer cancelled"}) })
	}
	t.Run("on hold still", func(t *testing.T) {
		h := newHoldStage(t)
		fails(h, relay.OrderHeld)
		var late *reply
		h.at(2*time.Hour, func() {
			require.Regexp(h.t, refusal, h.details())
			late = h.ask("cancel", workflows.HoldRequest{})
		})
		h.at(3*time.Hour, func() {
			require.Regexp(h.t, refusal, h.details(), "that one had an answer")
			on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
				h.become(relay.OrderSendingCancelled, "")
				return activities.CancelOutcome{}, nil
			})
			h.SignalWorkflow("cancel", nil)
		})
		require.Equal(t, relay.OrderSendingCancelled, h.finish(4*time.Hour).State)
		require.ErrorContains(t, late.err, "the ledger does not answer")
		require.NotContains(t, h.details(), "Not carried out")
	})
	t.Run("gone on meanwhile", func(t *testing.T) {
		h := newHoldStage(t)
		fails(h, relay.OrderAtWarehouse)
		require.Equal(t, relay.OrderAtWarehouse, h.finish(2*time.Hour).State)
		require.Contains(t, h.details(), "is on hold no more: accepted: warehouse order order_17")
		require.Regexp(t, refusal, h.details())
	})
}

func TestHoldUpdatesRefuseLongWords(t *testing.T) {
	h := newHoldStage(t)
	var reason, actor *reply
	h.at(time.Hour, func() {
		reason = h.ask("cancel", workflows.HoldRequest{Reason: strings.Repeat("x", 300)})
		actor = h.ask("release", workflows.HoldRequest{Actor: strings.Repeat("x", 300)})
	})
	require.True(t, temporal.IsCanceledError(h.runHold(2*time.Hour)))
	require.ErrorContains(t, reason.rejected, "reason: ")
	require.ErrorContains(t, actor.rejected, "actor: ")
	require.Len(t, h.steps, 1)
}

func TestALookEndsAHoldThatSomethingElseEnded(t *testing.T) {
	for _, state := range []relay.OrderState{relay.OrderAtWarehouse, relay.OrderShipped, relay.OrderSkipped, relay.OrderCancelled, relay.OrderNew, relay.OrderSubmitting, relay.OrderCancelRequested} {
		h := newHoldStage(t)
		h.at(time.Hour, func() { h.become(state, "") })
		h.at(2*time.Hour, func() { h.SignalWorkflow("look", nil); h.SignalWorkflow("look", nil) })
		require.Equal(t, state, h.finish(3*time.Hour).State)
		require.Less(t, h.since(), 2*time.Hour+time.Minute)
		wakes := state == relay.OrderNew || state == relay.OrderSubmitting || state == relay.OrderCancelRequested
		require.Equal(t, wakes, len(h.signals) == 1, state)
	}
}

// The merchant's workflow may be gone; the hold ends all the same.
func TestAHoldEndsWithoutItsMerchant(t *testing.T) {
	h := newHoldStage(t)
	h.gone["merchant/acme"] = true
	h.become(relay.OrderNew, "")
	require.Equal(t, relay.OrderNew, h.finish(time.Hour).State)
}

func TestALookChangesNothingOnAHoldThatStands(t *testing.T) {
	h := newHoldStage(t)
	for i := range 50 {
		h.at(time.Duration(i)*time.Hour, func() { h.SignalWorkflow("look", nil) })
	}
	require.True(t, temporal.IsCanceledError(h.runHold(3*day)))
	require.Len(t, h.resends, 3)
}

// Requests that come during a resend wait for it, and each gets its own answer.
func TestRequestsDuringAResend(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
		h.become(relay.OrderSendingCancelled, "")
		return activities.CancelOutcome{Answer: "stopped before sending"}, nil
	})
	var one, two, three, four *reply
	h.at(time.Hour, func() { one = h.ask("release", workflows.HoldRequest{Actor: "one"}) })
	h.at(time.Hour+took/2, func() {
		two = h.ask("release", workflows.HoldRequest{Actor: "two"})
		three = h.ask("cancel", workflows.HoldRequest{Actor: "three"})
		four = h.ask("release", workflows.HoldRequest{Actor: "four"})
	})
	require.Equal(t, relay.OrderSendingCancelled, h.finish(2*time.Hour).State)
	for _, r := range []*reply{one, two, three, four} {
		require.True(t, r.done)
		require.NoError(t, r.err)
	}
	require.Equal(t, relay.OrderHeld, one.answer.(workflows.HoldAnswer).State)
	require.Equal(t, relay.OrderHeld, two.answer.(workflows.HoldAnswer).State)
	require.Equal(t, "stopped before sending", three.answer.(workflows.HoldAnswer).Answer)
	require.Contains(t, four.answer.(workflows.HoldAnswer).Answer, "not on hold any more: sending_cancelled")
	require.Len(t, h.resends, 2)
}

// A cancel that takes long runs over 1:00 AM: the order is resent then, not a night later.
func TestTheNightlyResendIsNotSkipped(t *testing.T) {
	due := newHoldStage(t).nightly()
	t.Run("during a cancel", func(t *testing.T) {
		h := newHoldStage(t)
		on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
			return activities.CancelOutcome{}, temporal.NewApplicationError("read order: database", activities.ErrorDatabase)
		})
		h.at(due-20*time.Second, func() { h.ask("cancel", workflows.HoldRequest{}) })
		require.True(t, temporal.IsCanceledError(h.runHold(due+time.Hour)))
		require.Len(t, h.resends, 1)
	})
	t.Run("with a look", func(t *testing.T) {
		h := newHoldStage(t)
		h.at(due-time.Nanosecond, func() {})
		h.at(due, func() { h.SignalWorkflowSkippingWorkflowTask("look", nil) })
		require.True(t, temporal.IsCanceledError(h.runHold(due+time.Hour)))
		require.Len(t, h.resends, 1)
	})
	t.Run("with the end of the run", func(t *testing.T) {
		h := newHoldStage(t)
		h.at(due, func() { h.SetContinueAsNewSuggested(true) })
		require.Equal(t, heldOrder, continued[workflows.HoldInput](t, h.runHold(due+time.Hour)))
		require.Len(t, h.resends, 1)
	})
	t.Run("and not done twice", func(t *testing.T) {
		h := newHoldStage(t)
		h.at(due-took/2, func() { h.ask("release", workflows.HoldRequest{}) })
		require.True(t, temporal.IsCanceledError(h.runHold(due+time.Hour)))
		require.Len(t, h.resends, 1, "the release was tonight's")
	})
	t.Run("at another hour by new settings", func(t *testing.T) {
		h := newHoldStage(t)
		h.at(time.Hour, func() {
			h.mu.Lock()
			h.clock.Hour = 3
			h.mu.Unlock()
			h.SignalWorkflow("look", nil)
		})
		require.True(t, temporal.IsCanceledError(h.runHold(due+time.Hour)))
		require.Empty(t, h.resends)
	})
}

// Requests that come when the order is on hold no more are answered before the workflow ends.
func TestRequestsAtTheEnd(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
		return activities.CancelOutcome{Answer: "too late: at the warehouse as order_17"}, nil
	})
	h.become(relay.OrderNew, "")
	var release, cancel, late *reply
	h.at(took/2, func() { // while it looks
		release = h.ask("release", workflows.HoldRequest{})
		cancel = h.ask("cancel", workflows.HoldRequest{})
	})
	h.at(took+took/2, func() { late = h.ask("cancel", workflows.HoldRequest{Actor: "late"}) })
	on(h.stage, "CancelOrder", func(in activities.CancelInput) (activities.CancelOutcome, error) {
		if in.Actor == "operator late" {
			h.SignalWorkflowSkippingWorkflowTask("cancel", workflows.HoldRequest{Actor: "last"})
		}
		return activities.CancelOutcome{Answer: "too late"}, nil
	})
	require.Equal(t, relay.OrderNew, h.finish(time.Hour).State)
	require.Equal(t, "not on hold any more: new", release.answer.(workflows.HoldAnswer).Answer)
	require.Equal(t, "too late", cancel.answer.(workflows.HoldAnswer).Answer)
	require.Equal(t, "too late", late.answer.(workflows.HoldAnswer).Answer)
	require.Len(t, h.named("CancelOrder"), 3)
	require.Len(t, h.signals, 1, "the merchant is woken once")
}

// A cancel signal that comes in the very task that shows the hold's end.
func TestACancelInTheLastTaskIsNotLost(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "ViewHold", func(in activities.ViewInput) (activities.HoldView, error) {
		if in.Now.Equal(start) {
			h.SignalWorkflowSkippingWorkflowTask("cancel", workflows.HoldRequest{Actor: "clerk"})
		}
		return activities.HoldView{State: relay.OrderAtWarehouse, Evidence: "warehouse order order_17"}, nil
	})
	require.Equal(t, relay.OrderAtWarehouse, h.finish(time.Hour).State)
	require.Len(t, h.named("CancelOrder"), 1)
}

// While requests are answered at the end, the order is held again: the workflow stays.
func TestAnOrderThatIsHeldAgainMeanwhile(t *testing.T) {
	h := newHoldStage(t)
	h.become(relay.OrderSubmitting, "")
	on(h.stage, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
		h.become(relay.OrderHeld, "") // it was refused just then
		return activities.CancelOutcome{Result: "pending"}, nil
	})
	h.at(took/2, func() { h.ask("cancel", workflows.HoldRequest{}) })
	require.True(t, temporal.IsCanceledError(h.runHold(5*day)))
	require.Len(t, h.resends, 5)
	state, _ := h.attrs[len(h.attrs)-1].GetKeyword(workflows.AttrState)
	require.Equal(t, "held", state)
}

func TestAHoldContinuesAsNew(t *testing.T) {
	h := newHoldStage(t)
	h.at(3*day, func() { h.SetContinueAsNewSuggested(true) })
	err := h.runHold(9 * day)
	require.Equal(t, heldOrder, continued[workflows.HoldInput](t, err))
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &again)
	require.Equal(t, "Hold", again.WorkflowType.Name)
	require.Len(t, h.resends, 3)
}

// Requests in the task in which the run could end are carried out first.
func TestAHoldThatContinuesAsNewLosesNoRequest(t *testing.T) {
	for _, by := range []string{"signal", "update"} {
		t.Run(by, func(t *testing.T) {
			h := newHoldStage(t)
			on(h.stage, "ViewHold", func(in activities.ViewInput) (activities.HoldView, error) {
				if by == "signal" && in.Now.Equal(start.Add(time.Hour)) { // it comes together with what was seen
					h.SignalWorkflowSkippingWorkflowTask("release", workflows.HoldRequest{Actor: "clerk"})
				}
				v := h.view
				v.Resend = in.Now.Add(day)
				return v, nil
			})
			h.at(time.Hour, func() { h.SignalWorkflow("look", nil) })
			h.at(time.Hour+took/2, func() { // while it looks
				h.SetContinueAsNewSuggested(true)
				if by == "update" {
					h.ask("release", workflows.HoldRequest{Actor: "clerk"})
				}
			})
			err := h.runHold(2 * time.Hour)
			require.Len(t, h.resends, 1)
			require.Equal(t, "operator clerk", h.named("ResendHeld")[0].in.(activities.ResendInput).Actor)
			continued[workflows.HoldInput](t, err)
		})
	}
}

func TestAHoldOfAnOrderThatIsNotThere(t *testing.T) {
	h := newHoldStage(t)
	on(h.stage, "ViewHold", func(activities.ViewInput) (activities.HoldView, error) {
		return activities.HoldView{}, temporal.NewNonRetryableApplicationError("order 42: not found", activities.ErrorMissing, nil)
	})
	var app *temporal.ApplicationError
	require.ErrorAs(t, h.runHold(time.Hour), &app)
	require.Equal(t, activities.ErrorMissing, app.Type())
}
