package workflows_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

func TestPauseAndResumeAMerchant(t *testing.T) {
	s := newStage(t)
	var paused, resumed *reply
	var details string
	s.at(time.Hour, func() { paused = s.ask("pause", workflows.JobRequest{Actor: "clerk"}) })
	s.at(2*time.Hour, func() { details = s.details() })
	s.at(8*time.Hour, func() { resumed = s.ask("resume", workflows.JobRequest{}) })
	s.runMerchant(8*time.Hour + 4*time.Minute)

	require.NoError(t, paused.err)
	require.Len(t, paused.answer.(workflows.JobAnswer).Jobs, 12)
	require.Contains(t, details, "**Acme Goods** is paused: `ferry merchant resume` lets it run")
	require.Empty(t, s.between(paused.at+5*time.Second, 8*time.Hour), "what was at work came to its end, and nothing began")
	require.NoError(t, resumed.err)
	require.Len(t, s.between(8*time.Hour, 9*time.Hour), 9, "every job, at once")
	require.Equal(t, []activities.PauseInput{
		{Merchant: "acme", Paused: true, Asked: start.Add(time.Hour)}, {Merchant: "acme", Asked: start.Add(8 * time.Hour)},
	}, inputs[activities.PauseInput](s, "SetPaused"))
}

// A pause whose worker dies in it ends after the resume that came next: what was
// asked for last counts.
func TestAPauseThatEndsAfterAResume(t *testing.T) {
	s := newStage(t)
	var ledger activities.PauseInput
	fails := 4 // it takes 8 s
	on(s, "SetPaused", func(in activities.PauseInput) (none, error) {
		if in.Paused && fails > 0 {
			fails--
			return none{}, temporal.NewApplicationError("the worker died", "database")
		}
		if in.Asked.Before(ledger.Asked) {
			return none{}, temporal.NewNonRetryableApplicationError("pause or resume: overtaken", string(relay.Conflict), nil)
		}
		ledger = in
		return none{}, nil
	})
	var paused, resumed *reply
	s.at(time.Hour, func() {
		paused = s.ask("pause", workflows.JobRequest{Actor: "clerk"})
		resumed = s.ask("resume", workflows.JobRequest{Actor: "clerk"}) // in the same moment
	})
	s.runMerchant(2 * time.Hour)
	require.ErrorContains(t, paused.err, "overtaken")
	require.NoError(t, resumed.err)
	require.False(t, ledger.Paused)
	require.Equal(t, start.Add(time.Hour+time.Microsecond), ledger.Asked)
	require.NotContains(t, s.details(), "is paused")
	require.NotEmpty(t, s.between(time.Hour+time.Minute, 2*time.Hour))
}

// A pause that has its answer holds until the resume that was asked for after it has its own.
func TestAPauseHoldsWhileAResumeIsUnderWay(t *testing.T) {
	s := newStage(t)
	fails := 9 // some minutes
	on(s, "SetPaused", func(in activities.PauseInput) (none, error) {
		if !in.Paused && fails > 0 {
			fails--
			return none{}, temporal.NewApplicationError("no database", "database")
		}
		return none{}, nil
	})
	var paused, resumed *reply
	s.at(time.Hour, func() { paused = s.ask("pause", workflows.JobRequest{}) })
	s.at(time.Hour, func() { resumed = s.ask("resume", workflows.JobRequest{}) })
	s.runMerchant(2 * time.Hour)
	require.NoError(t, paused.err)
	require.NoError(t, resumed.err)
	require.Greater(t, resumed.at, paused.at+2*time.Minute)
	require.Empty(t, s.between(paused.at+5*time.Second, resumed.at))
	require.NotEmpty(t, s.between(resumed.at, 2*time.Hour))
}

// A run that begins anew goes on behind the last pause that the ledger knows, whatever its clock says.
func TestPausesGoOnBehindTheLedgers(t *testing.T) {
	s := newStage(t)
	ahead := start.Add(24 * time.Hour)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		p.Paused, p.PauseAsked = true, ahead
		return p, nil
	})
	s.at(time.Hour, func() { s.ask("resume", workflows.JobRequest{}) })
	s.runMerchant(2 * time.Hour)
	require.Equal(t, []activities.PauseInput{{Merchant: "acme", Asked: ahead.Add(time.Microsecond)}}, inputs[activities.PauseInput](s, "SetPaused"))
}

func TestAMerchantThatThePausedLedgerNames(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		p.Paused = true
		return p, nil
	})
	s.at(3*time.Hour, func() { s.SignalWorkflow("resume", nil) })
	s.runMerchant(4 * time.Hour)
	require.Empty(t, s.between(0, 3*time.Hour))
	require.NotEmpty(t, s.between(3*time.Hour, 4*time.Hour))
}

// A plan that was read before the pause must not undo it.
func TestAPauseWhileThePlanIsRead(t *testing.T) {
	s := newStage(t)
	var paused *reply
	s.at(time.Hour, func() { s.SignalWorkflow("settings-changed", workflows.JobRequest{}) })
	s.at(time.Hour+time.Second, func() {
		require.Len(t, s.named("LoadPlan"), 2, "being read")
		paused = s.ask("pause", workflows.JobRequest{})
	})
	s.runMerchant(5 * time.Hour)
	require.NoError(t, paused.err)
	require.Empty(t, s.between(time.Hour+10*time.Second, 5*time.Hour))
}

func TestPauseAndResumeSingleJobs(t *testing.T) {
	s := newStage(t)
	var job, connection, resumed *reply
	var details string
	s.at(61*time.Minute, func() {
		job = s.ask("pause", workflows.JobRequest{Connection: "shop", Job: relay.PullOrders})
		connection = s.ask("pause", workflows.JobRequest{Connection: "outlet"})
	})
	s.at(2*time.Hour, func() { details = s.details() })
	s.at(3*time.Hour+time.Minute, func() { resumed = s.ask("resume", workflows.JobRequest{Connection: "shop"}) })
	s.runMerchant(4 * time.Hour)

	require.Equal(t, workflows.JobAnswer{Jobs: []string{"shop pull_orders"}}, job.answer)
	require.Equal(t, workflows.JobAnswer{Jobs: []string{"outlet push_shipments", "outlet pull_orders", "outlet push_inventory", "outlet reconcile"}}, connection.answer)
	require.Equal(t, 5, strings.Count(details, "is paused |"), details)
	require.NotContains(t, details, "Goods** is paused")
	for _, p := range s.between(62*time.Minute, 181*time.Minute) {
		require.NotEqual(t, "shop PullOrders", p)
		require.NotContains(t, p, "outlet")
	}
	require.Contains(t, s.between(62*time.Minute, 181*time.Minute), "shop PushShipments", "others of the connection go on")
	require.Contains(t, s.between(62*time.Minute, 181*time.Minute), "east PullShipments", "others of the merchant go on")
	require.NoError(t, resumed.err)
	require.Equal(t, resumed.at, s.first("PullOrders", "shop", 181*time.Minute).at-2*took, "at once, after the plan was read and what else was due on shop")
	for _, p := range s.between(181*time.Minute, 4*time.Hour) {
		require.NotContains(t, p, "outlet")
	}
	require.Empty(t, s.named("SetPaused"), "the merchant is not paused")
	require.Equal(t, []activities.JobInput{{Merchant: "acme", Connection: "shop"}}, inputs[activities.JobInput](s, "ResumeConnections"))
}

func TestSyncNow(t *testing.T) {
	s := newStage(t)
	var one, all *reply
	s.at(12*time.Minute, func() { one = s.ask("sync-now", workflows.JobRequest{Connection: "east", Job: relay.PullInventory}) })
	s.at(22*time.Minute, func() { all = s.ask("sync-now", workflows.JobRequest{}) })
	s.runMerchant(24 * time.Minute)
	require.Equal(t, workflows.JobAnswer{Jobs: []string{"east pull_inventory"}}, one.answer)
	require.Equal(t, 12*time.Minute, one.at)
	require.Equal(t, []string{"east PullInventory"}, s.between(12*time.Minute, 14*time.Minute))
	require.Len(t, all.answer.(workflows.JobAnswer).Jobs, 9)
	require.ElementsMatch(t, []string{
		"outlet PushShipments", "outlet PullOrders", "outlet PushInventory", "shop PushShipments", "shop PullOrders", "shop PushInventory",
		"east PullShipments", "east SubmitOrders", "east PullInventory",
	}, s.between(22*time.Minute, 24*time.Minute))
}

// What comes while a job is at work may have missed its cut: it runs again.
func TestSyncNowWhileTheJobIsAtWork(t *testing.T) {
	s := newStage(t)
	s.at(5*time.Minute+5*time.Second, func() {
		require.Equal(t, 1, len(s.onConnection))
		s.SignalWorkflow("sync-now", workflows.JobRequest{Connection: "shop", Job: relay.PullOrders})
	})
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		p.Lanes = p.Lanes[1:]
		return p, nil
	})
	s.runMerchant(9 * time.Minute)
	require.Equal(t, []time.Duration{4 * time.Second, 5*time.Minute + 4*time.Second, 5*time.Minute + 6*time.Second}, times(s.named("PullOrders", "shop")))
}

func TestSettingsChanged(t *testing.T) {
	s := newStage(t)
	loads := 0
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		loads++
		p := plan()
		if loads > 1 { // outlet is gone, shop pulls less often, and there is a new cart
			p = every(p, "shop", relay.PullOrders, 30*time.Minute)
			p.Lanes[0].Connection, p.Version = "annex", 4
		}
		return p, nil
	})
	on(s, "RecheckHolds", func(in activities.RecheckInput) (activities.RecheckOutcome, error) {
		if s.since() < time.Hour {
			return activities.RecheckOutcome{}, nil
		}
		return map[relay.OrderID]activities.RecheckOutcome{
			0:   {After: 200, ReleaseOutcome: activities.ReleaseOutcome{Released: 2, References: []relay.Reference{"A-1", "A-2"}}},
			200: {After: 400},
			400: {ReleaseOutcome: activities.ReleaseOutcome{Released: 1, References: []relay.Reference{"A-3"}}},
		}[in.After], nil
	})
	s.gone["hold/acme/A-2"] = true // ended already: no matter
	var changed *reply
	s.at(61*time.Minute, func() { changed = s.ask("settings-changed", workflows.JobRequest{}) })
	s.runMerchant(3*time.Hour + 62*time.Minute)

	require.NoError(t, changed.err)
	require.Equal(t, []activities.RecheckInput{{Merchant: "acme"}, {Merchant: "acme"}, {Merchant: "acme", After: 200}, {Merchant: "acme", After: 400}},
		inputs[activities.RecheckInput](s, "RecheckHolds"))
	var told []string
	for _, x := range s.signals {
		told = append(told, x.workflow)
		require.Equal(t, "look", x.name)
	}
	require.Equal(t, []string{"hold/acme/A-1", "hold/acme/A-2", "hold/acme/A-3"}, told)
	require.Less(t, s.first("SubmitOrders", "east", 61*time.Minute).at, 62*time.Minute, "what was let go is sent at once")
	require.Empty(t, filter(s.named("PullOrders", "outlet"), 62*time.Minute))
	require.Len(t, filter(s.named("PullOrders", "annex"), 61*time.Minute), 37)
	require.Len(t, filter(s.named("PullOrders", "shop"), 61*time.Minute), 7)
}

// The settings change again while the holds are looked through: from the start.
func TestSettingsChangeDuringARecheck(t *testing.T) {
	s := newStage(t)
	on(s, "RecheckHolds", func(in activities.RecheckInput) (activities.RecheckOutcome, error) {
		return activities.RecheckOutcome{After: map[relay.OrderID]relay.OrderID{0: 200, 200: 400, 400: 600}[in.After]}, nil
	})
	s.at(took+3*time.Second, func() { s.SignalWorkflow("settings-changed", nil) }) // the second page is being read
	s.runMerchant(time.Hour)
	var after []relay.OrderID
	for _, in := range inputs[activities.RecheckInput](s, "RecheckHolds") {
		after = append(after, in.After)
	}
	require.Equal(t, []relay.OrderID{0, 200, 0, 200, 400, 600}, after)
}

// filter keeps the steps from a time on.
func filter(steps []step, from time.Duration) []step {
	var out []step
	for _, p := range steps {
		if p.at >= from {
			out = append(out, p)
		}
	}
	return out
}

func TestCancelOrderAnswersWithTheTruth(t *testing.T) {
	for _, c := range []struct {
		outcome activities.CancelOutcome
		looks   []string
		wakes   bool
	}{
		{activities.CancelOutcome{Reference: "SO-1", Result: "too_late", Answer: "too late: shipped, 1Z999 with UPS"}, nil, false},
		{activities.CancelOutcome{Reference: "SO-1", Result: "stopped_before_sending", Answer: "stopped", WasHeld: true}, []string{"hold/acme/SO-1"}, false},
		{activities.CancelOutcome{Reference: "SO-1", Result: "pending", Answer: "it is asked again"}, nil, true},
	} {
		t.Run(c.outcome.Result, func(t *testing.T) {
			s := newStage(t)
			on(s, "CancelOrder", inTurn[activities.CancelInput](c.outcome))
			var r *reply
			s.at(8*time.Minute, func() {
				r = s.ask("cancel-order", workflows.CancelRequest{Reference: " so-1", Reason: "buyer cancelled", Actor: "clerk"})
			})
			s.runMerchant(9 * time.Minute)
			require.Nil(t, r.rejected)
			require.NoError(t, r.err)
			require.Equal(t, c.outcome, r.answer)
			require.Equal(t, []activities.CancelInput{{Merchant: "acme", Reference: "SO-1", Actor: "operator clerk", Reason: "buyer cancelled", Asked: start.Add(8 * time.Minute)}},
				inputs[activities.CancelInput](s, "CancelOrder"))
			var looks []string
			for _, x := range s.signals {
				looks = append(looks, x.workflow)
			}
			require.Equal(t, c.looks, looks)
			require.Equal(t, c.wakes, len(filter(s.named("SubmitOrders"), 8*time.Minute)) == 1)
		})
	}
}

// What is sent anew is handed over at once; what is not wakes nobody.
func TestReopenOrder(t *testing.T) {
	for _, outcome := range []activities.ReopenOutcome{
		{Answer: "reopened", Reopened: true},
		{Answer: "no: as far as we know it is cancelled at shop too"},
	} {
		t.Run(outcome.Answer, func(t *testing.T) {
			s := newStage(t)
			on(s, "ReopenOrder", inTurn[activities.ReopenInput](outcome))
			var r *reply
			s.at(8*time.Minute, func() {
				r = s.ask("reopen-order", workflows.ReopenRequest{Reference: " so-1", Reason: "the buyer wants it after all", Actor: "clerk"})
			})
			s.runMerchant(9 * time.Minute)
			require.Nil(t, r.rejected)
			require.NoError(t, r.err)
			require.Equal(t, outcome, r.answer)
			require.Equal(t, []activities.ReopenInput{{Merchant: "acme", Reference: "SO-1", Actor: "operator clerk", Reason: "the buyer wants it after all", Asked: start.Add(8 * time.Minute)}},
				inputs[activities.ReopenInput](s, "ReopenOrder"))
			require.Equal(t, outcome.Reopened, len(filter(s.named("SubmitOrders"), 8*time.Minute)) == 1)
		})
	}
}

// Of wishes that come together no two are of one moment: it decides which counts.
func TestWishesAreOfDifferentMoments(t *testing.T) {
	s := newStage(t)
	s.at(8*time.Minute, func() {
		s.SignalWorkflowSkippingWorkflowTask("cancel-order", workflows.CancelRequest{Reference: "SO-1"})
		s.SignalWorkflowSkippingWorkflowTask("reopen-order", workflows.ReopenRequest{Reference: "SO-1"})
		s.SignalWorkflow("cancel-held", workflows.CancelHeldRequest{ReleaseRequest: workflows.ReleaseRequest{All: true}})
	})
	s.runMerchant(9 * time.Minute)
	var asked []time.Time
	for _, in := range inputs[activities.CancelInput](s, "CancelOrder") {
		asked = append(asked, in.Asked)
	}
	for _, in := range inputs[activities.ReopenInput](s, "ReopenOrder") {
		asked = append(asked, in.Asked)
	}
	for _, in := range inputs[activities.CancelHeldInput](s, "CancelHeld") {
		asked = append(asked, in.Asked)
	}
	at := start.Add(8 * time.Minute)
	require.ElementsMatch(t, []time.Time{at, at.Add(time.Microsecond), at.Add(2 * time.Microsecond)}, asked)
}

func TestACancelThatFailsSaysSo(t *testing.T) {
	s := newStage(t)
	on(s, "CancelOrder", func(activities.CancelInput) (activities.CancelOutcome, error) {
		return activities.CancelOutcome{}, temporal.NewNonRetryableApplicationError("order SO-1: not found", activities.ErrorMissing, nil)
	})
	var r *reply
	s.at(time.Minute, func() { r = s.ask("cancel-order", workflows.CancelRequest{Reference: "SO-1"}) })
	s.runMerchant(9 * time.Minute)
	var app *temporal.ApplicationError
	require.ErrorAs(t, r.err, &app)
	require.Equal(t, "order SO-1: not found", app.Message())
	require.Equal(t, "operator", s.named("CancelOrder")[0].in.(activities.CancelInput).Actor)
	require.Len(t, s.named("PullOrders", "shop"), 2, "the merchant goes on")
}

// A worker of the release before knows nothing of SKUs: asked by the name that it
// knows it would let every order on hold go.
func TestReleaseBySKU(t *testing.T) {
	s := newStage(t)
	on(s, "ReleaseBySKU", inTurn[activities.ReleaseInput](activities.ReleaseOutcome{Released: 1, References: references(0, 1)}))
	var r *reply
	s.at(time.Minute, func() { r = s.ask("release-orders", workflows.ReleaseRequest{SKU: "TOTE-1", Actor: "ops"}) })
	s.runMerchant(2 * time.Minute)
	require.Equal(t, workflows.ReleaseAnswer{Released: 1}, r.answer)
	require.Equal(t, []activities.ReleaseInput{{Merchant: "acme", SKU: "TOTE-1", Actor: "operator ops"}}, inputs[activities.ReleaseInput](s, "ReleaseBySKU"))
	require.Empty(t, s.named("ReleaseOrders"))
}

func TestReleaseOrders(t *testing.T) {
	s := newStage(t)
	on(s, "ReleaseOrders", inTurn[activities.ReleaseInput](
		activities.ReleaseOutcome{Released: 200, References: references(0, 200), More: true},
		activities.ReleaseOutcome{Released: 3, References: references(200, 203)},
		activities.ReleaseOutcome{}))
	var released, again *reply
	s.at(8*time.Minute, func() {
		released = s.ask("release-orders", workflows.ReleaseRequest{Reason: relay.HoldInsufficientInventory, Actor: "ops"})
	})
	s.at(11*time.Minute, func() {
		again = s.ask("release-orders", workflows.ReleaseRequest{References: []relay.Reference{"A-1", "A-2"}})
	})
	s.runMerchant(12 * time.Minute)
	require.NoError(t, released.err)
	require.Equal(t, workflows.ReleaseAnswer{Released: 203}, released.answer)
	require.Equal(t, workflows.ReleaseAnswer{}, again.answer, "twice is harmless")
	require.Len(t, s.signals, 203)
	in := activities.ReleaseInput{Merchant: "acme", Reason: relay.HoldInsufficientInventory, Actor: "operator ops"}
	require.Equal(t, []activities.ReleaseInput{in, in, {Merchant: "acme", References: []relay.Reference{"A-1", "A-2"}, Actor: "operator"}},
		inputs[activities.ReleaseInput](s, "ReleaseOrders"))
	require.Len(t, filter(s.named("SubmitOrders"), 8*time.Minute), 2, "after each page")
}

// More holds than the server lets us have pending signals are told in turns.
func TestVeryManyHoldsAreTold(t *testing.T) {
	s := newStage(t)
	on(s, "PullOrders", inTurn[activities.JobInput](activities.PullOrdersResult{Changed: 5000, Woken: references(0, 5000)}, activities.PullOrdersResult{}))
	s.runMerchant(4 * time.Minute)
	require.Len(t, s.signals, 5000)
}

func references(from, to int) []relay.Reference {
	var out []relay.Reference
	for i := from; i < to; i++ {
		out = append(out, relay.Reference(fmt.Sprintf("A-%d", i)))
	}
	return out
}

// Every message does as a signal what it does as an update.
func TestSignalsDoWhatUpdatesDo(t *testing.T) {
	for _, c := range []struct {
		name    string
		request any
		step    string
	}{
		{"cancel-order", workflows.CancelRequest{Reference: "A-1"}, "CancelOrder"},
		{"reopen-order", workflows.ReopenRequest{Reference: "A-1"}, "ReopenOrder"},
		{"release-orders", workflows.ReleaseRequest{All: true}, "ReleaseOrders"},
		{"pause", workflows.JobRequest{}, "SetPaused"},
		{"resume", nil, "SetPaused"},
		{"settings-changed", nil, "LoadPlan"},
		{"sync-now", workflows.JobRequest{Connection: "east", Job: relay.PullInventory}, "PullInventory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bySignal, byUpdate := newStage(t), newStage(t)
			bySignal.at(8*time.Minute, func() { bySignal.SignalWorkflow(c.name, c.request) })
			bySignal.runMerchant(9 * time.Minute)
			request := c.request
			if request == nil {
				request = workflows.JobRequest{}
			}
			byUpdate.at(8*time.Minute, func() { byUpdate.ask(c.name, request) })
			byUpdate.runMerchant(9 * time.Minute)
			require.NotEmpty(t, filter(bySignal.named(c.step), 8*time.Minute))
			require.ElementsMatch(t, said(byUpdate), said(bySignal))
		})
	}
}

// said is what a workflow asked for from minute eight on.
func said(s *stage) []string {
	var out []string
	for _, p := range filter(s.steps, 8*time.Minute) {
		out = append(out, fmt.Sprintf("%s %+v", p.name, p.in))
	}
	return out
}

// Signals may come twice, late, for what is not there, or be nonsense.
func TestSignalsAreHarmless(t *testing.T) {
	s := newStage(t)
	s.at(8*time.Minute, func() {
		for range 3 {
			s.SignalWorkflow("resume", nil)
			s.SignalWorkflow("settings-changed", workflows.JobRequest{})
			s.SignalWorkflow("sync-now", workflows.JobRequest{Connection: "shop"})
			s.SignalWorkflow("cancel-order", workflows.CancelRequest{Reference: "A-1"})
		}
		s.SignalWorkflow("pause", "everything")                                        // no request at all
		s.SignalWorkflow("pause", []byte("\x00\x01"))                                  // not even text
		s.SignalWorkflow("pause", workflows.JobRequest{Job: "pull_everything"})        // refused as an update would be
		s.SignalWorkflow("pause", workflows.JobRequest{Connection: "nowhere"})         // unknown
		s.SignalWorkflow("cancel-order", workflows.CancelRequest{Reference: "'; --"})  // no reference
		s.SignalWorkflow("cancel-order", nil)                                          // whose?
		s.SignalWorkflow("release-orders", nil)                                        // all is to be said in so many words
		s.SignalWorkflow("release-orders", workflows.ReleaseRequest{Reason: "hunger"}) // no reason
		s.SignalWorkflow("dance", nil)                                                 // unknown
	})
	s.runMerchant(28 * time.Minute)
	require.Len(t, s.named("CancelOrder"), 3)
	require.Empty(t, s.named("ReleaseOrders"))
	for _, in := range inputs[activities.PauseInput](s, "SetPaused") {
		require.False(t, in.Paused)
	}
	require.Empty(t, s.overlaps)
	require.InDelta(t, 4, len(filter(s.named("PullOrders", "shop"), 9*time.Minute)), 1, "the merchant goes on as before")
}

// The first message may come before the workflow knows anything: it waits for the plan.
func TestMessagesBeforeThePlan(t *testing.T) {
	s := newStage(t)
	var r *reply
	s.at(0, func() {
		r = s.ask("sync-now", workflows.JobRequest{Connection: "shop"})
		s.SignalWorkflow("cancel-order", workflows.CancelRequest{Reference: "A-1"})
	})
	s.runMerchant(time.Minute)
	require.NoError(t, r.err)
	require.Equal(t, took, r.at)
	require.Len(t, r.answer.(workflows.JobAnswer).Jobs, 3)
	require.Equal(t, "orderferry/easypost", s.named("CancelOrder")[0].options.TaskQueue, "the warehouse is known by then")
}

func TestUpdatesRefuseWhatCannotBeDone(t *testing.T) {
	long := strings.Repeat("x", 201)
	for _, c := range []struct {
		name    string
		request any
		says    string
	}{
		{"cancel-order", workflows.CancelRequest{}, "reference: "},
		{"cancel-order", workflows.CancelRequest{Reference: "no/slash"}, "reference: "},
		{"cancel-order", workflows.CancelRequest{Reference: "A-1", Reason: long}, "reason: "},
		{"cancel-order", workflows.CancelRequest{Reference: "A-1", Reason: "\xff"}, ""}, // JSON mends it: nothing is refused
		{"cancel-order", workflows.CancelRequest{Reference: "A-1", Actor: long}, "actor: "},
		{"reopen-order", workflows.ReopenRequest{Reference: "no/slash"}, "reference: "},
		{"reopen-order", workflows.ReopenRequest{Reference: "A-1", Reason: long}, "reason: "},
		{"release-orders", workflows.ReleaseRequest{}, "exactly one of reason, references, sku and all"},
		{"release-orders", workflows.ReleaseRequest{All: true, Reason: relay.HoldRejected}, "exactly one of reason, references, sku and all"},
		{"release-orders", workflows.ReleaseRequest{Reason: "hunger"}, "reason: "},
		{"release-orders", workflows.ReleaseRequest{References: references(0, 201)}, "references: 201"},
		{"release-orders", workflows.ReleaseRequest{References: []relay.Reference{"A-1", "?"}}, "references: "},
		{"release-orders", workflows.ReleaseRequest{All: true, Actor: long}, "actor: "},
		{"sync-now", workflows.JobRequest{Connection: "Shop!"}, "connection: "},
		{"sync-now", workflows.JobRequest{Job: "pull_everything"}, "job: "},
		{"pause", workflows.JobRequest{Actor: long}, "actor: "},
		{"resume", workflows.JobRequest{Job: "sleep"}, "job: "},
		{"settings-changed", workflows.JobRequest{Connection: "-"}, "connection: "},
	} {
		t.Run(c.name+" "+c.says, func(t *testing.T) {
			s := newStage(t)
			var r *reply
			s.at(time.Minute, func() { r = s.ask(c.name, c.request) })
			s.runMerchant(2 * time.Minute)
			if c.says == "" {
				require.Nil(t, r.rejected)
				return
			}
			require.ErrorContains(t, r.rejected, c.says)
			require.False(t, r.done)
			require.Empty(t, filter(s.steps, time.Minute))
		})
	}
}

func TestJobRequestsForWhatIsNotThereFail(t *testing.T) {
	for _, name := range []string{"sync-now", "pause", "resume", "settings-changed"} {
		for _, request := range []workflows.JobRequest{{Connection: "nowhere"}, {Connection: "shop", Job: relay.SubmitOrders}} {
			s := newStage(t)
			var r *reply
			s.at(time.Minute, func() { r = s.ask(name, request) })
			s.runMerchant(2 * time.Minute)
			require.True(t, r.done)
			require.ErrorContains(t, r.err, "has no job", "%s %v", name, request)
		}
	}
}

func TestRequestsCheckThemselves(t *testing.T) {
	require.NoError(t, workflows.CancelRequest{Reference: "so-1", Reason: strings.Repeat("é", 100), Actor: "zoë"}.Check())
	require.NoError(t, workflows.ReleaseRequest{All: true}.Check())
	require.NoError(t, workflows.HoldRequest{}.Check())
	require.NoError(t, workflows.JobRequest{}.Check())
	require.NoError(t, workflows.HoldRequest{Hold: relay.HoldOperator}.Check())
	require.Error(t, workflows.HoldRequest{Hold: "stock"}.Check())
	require.Error(t, workflows.HoldRequest{Reason: "\xff"}.Check())
	require.Error(t, workflows.HoldRequest{Actor: strings.Repeat("x", 61)}.Check())
	require.NoError(t, errors.Join(workflows.JobRequest{Connection: "shop", Job: relay.PullOrders}.Check()))
}
