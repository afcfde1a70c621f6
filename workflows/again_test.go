package workflows_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

// nextRun runs a merchant's workflow until it continues as new, and returns what the next run is given.
func (s *stage) nextRun(in workflows.MerchantInput) workflows.MerchantInput {
	s.t.Helper()
	next := continued[workflows.MerchantInput](s.t, s.run(24*time.Hour, workflows.MerchantWorkflow, in))
	require.Equal(s.t, relay.MerchantID("acme"), next.Merchant)
	require.NotNil(s.t, next.State)
	return next
}

// cancels sends so many cancels within a second.
func (s *stage) cancels(at time.Duration, n int) {
	for from := 0; from < n; from += 500 { // the environment takes 1,000 at once
		s.at(at+time.Duration(from), func() {
			for i := from; i < min(from+500, n); i++ {
				s.SignalWorkflowSkippingWorkflowTask("cancel-order", workflows.CancelRequest{Reference: relay.Reference(fmt.Sprint("A-", i))})
			}
		})
	}
}

var first = workflows.MerchantInput{Merchant: "acme"}

func TestSuggestedContinueAsNewCarriesAll(t *testing.T) {
	s := newStage(t)
	on(s, "PullShipments", func(activities.PullShipmentsInput) (activities.PullShipmentsResult, error) {
		if s.since() < 29*time.Minute {
			return activities.PullShipmentsResult{Read: 2, Packages: 1}, nil
		}
		return activities.PullShipmentsResult{After: 500}, nil // in the midst of a long reading
	})
	on(s, "PushShipments", func(in activities.JobInput) (activities.PushResult, error) {
		if in.Connection == "outlet" {
			return activities.PushResult{}, temporal.NewNonRetryableApplicationError("push: 403", "rejected", nil)
		}
		return activities.PushResult{}, nil
	})
	s.at(20*time.Minute, func() { s.ask("pause", workflows.JobRequest{Connection: "shop", Job: relay.PushInventory}) })
	s.at(30*time.Minute+5*time.Second, func() {
		require.Len(t, s.onConnection, 3)
		s.SetContinueAsNewSuggested(true)
	})
	next := s.nextRun(first)
	require.Empty(t, s.onConnection, "what was at work came to its end")
	require.Less(t, s.since(), 31*time.Minute)

	state := next.State
	require.Equal(t, plan(), state.Plan)
	require.Len(t, state.Jobs, 12)
	require.True(t, state.Jobs["shop push_inventory"].Paused)
	require.Equal(t, relay.OrderID(500), state.Jobs["east pull_shipments"].After)
	require.Equal(t, "2 open orders read, 1 new packages, 0 cancelled there", state.Jobs["east pull_shipments"].Last)
	require.Greater(t, state.Jobs["outlet push_shipments"].Fails, 3)
	require.Equal(t, "push: 403", state.Jobs["outlet push_shipments"].Why)

	// The second run goes on where the first stopped: no plan, no recheck, no job before its time.
	again := newStage(t)
	again.SetStartTime(start.Add(s.since()))
	require.True(t, temporal.IsCanceledError(again.run(40*time.Minute, workflows.MerchantWorkflow, next)))
	require.Empty(t, again.named("LoadPlan"))
	require.Empty(t, again.named("RecheckHolds"))
	require.Empty(t, again.named("HoldsToStart"))
	require.Equal(t, relay.OrderID(500), again.named("PullShipments")[0].in.(activities.PullShipmentsInput).After)
	require.ElementsMatch(t, []string{"east PullShipments", "outlet PushShipments"}, again.between(s.since(), s.since()+2*time.Minute),
		"the rest of the reading, and a failure whose pause is over")
	require.InDelta(t, 35*time.Minute, again.first("PullOrders", "shop", 0).at, float64(10*time.Second))
	require.Empty(t, again.named("PushInventory", "shop"))
}

func TestContinueAsNewAfterManyChildren(t *testing.T) {
	started := make(map[relay.OrderID]int)
	in, runs := first, 0
	for ; runs < 9; runs++ {
		s := newStage(t)
		on(s, "HoldsToStart", func(in activities.HoldsInput) (activities.HoldsOutput, error) {
			out := activities.HoldsOutput{Warehouse: "east", Connector: "easypost"}
			for id := in.After + 1; id <= 1000 && len(out.Holds) < 100; id++ {
				if started[id] == 0 { // else its workflow was seen at work
					out.Holds = append(out.Holds, activities.HeldOrder{Order: id, Reference: relay.Reference(fmt.Sprint("A-", id)), Reason: relay.HoldRejected})
				}
			}
			out.More = len(out.Holds) == 100
			return out, nil
		})
		err := s.run(10*time.Minute, workflows.MerchantWorkflow, in)
		for _, c := range s.children {
			started[c.in.Order]++
		}
		require.LessOrEqual(t, len(s.children), 400, "far below the 2,000 that the server bears")
		if temporal.IsCanceledError(err) {
			break
		}
		in = continued[workflows.MerchantInput](t, err)
		require.True(t, in.State.HoldsDue, "the others wait for the next run")
	}
	require.Equal(t, 3, runs)
	require.Len(t, started, 1000)
	for id, n := range started {
		require.Equal(t, 1, n, "order %d", id)
	}
}

func TestContinueAsNewAfterManyMessages(t *testing.T) {
	s := newStage(t)
	s.cancels(time.Minute, 1500)
	next := s.nextRun(first)
	handled := inputs[activities.CancelInput](s, "CancelOrder")
	require.Len(t, handled, 1000)
	require.Len(t, next.State.Unread, 500)

	again := newStage(t)
	again.at(0, func() { again.SignalWorkflow("cancel-order", workflows.CancelRequest{Reference: "LATE"}) })
	require.True(t, temporal.IsCanceledError(again.run(2*time.Hour, workflows.MerchantWorkflow, next)))
	handled = append(handled, inputs[activities.CancelInput](again, "CancelOrder")...)
	require.Len(t, handled, 1501)
	for i, in := range handled[:1500] {
		require.Equal(t, relay.Reference(fmt.Sprint("A-", i)), in.Reference, "in the order of their coming")
	}
	require.Equal(t, relay.Reference("LATE"), handled[1500].Reference)
}

// More than fits into a run's input is handled in this run, however full.
func TestUnreadSignalsFitTheServersLimit(t *testing.T) {
	s := newStage(t)
	const sent = 800
	for i := range sent {
		s.at(time.Minute+time.Duration(i), func() {
			s.SignalWorkflowSkippingWorkflowTask("release-orders", workflows.ReleaseRequest{References: references(1000*i, 1000*i+200)})
		})
	}
	s.at(time.Minute+took, func() { s.SetContinueAsNewSuggested(true) })
	next := s.nextRun(first)
	handled := inputs[activities.ReleaseInput](s, "ReleaseOrders")
	require.NotEmpty(t, handled)
	require.Equal(t, sent, len(handled)+len(next.State.Unread))
	b, err := json.Marshal(next)
	require.NoError(t, err)
	require.Less(t, len(b), 2<<20)
	require.Greater(t, len(b), 1<<20-1000, "no more was handled than had to be")
	var r workflows.ReleaseRequest
	require.NoError(t, json.Unmarshal(next.State.Unread[0].Request, &r))
	require.Equal(t, references(1000*len(handled), 1000*len(handled)+200), r.References)
}

// Under a flood of messages the jobs go on, run after run.
func TestAFloodDoesNotStopTheJobs(t *testing.T) {
	in, at := first, time.Duration(0)
	var pulls []time.Duration
	for i := 0; ; i++ {
		s := newStage(t)
		s.SetStartTime(start.Add(at))
		if i == 0 {
			s.cancels(time.Minute, 2500) // each takes 2 s: nearly an hour and a half
		}
		err := s.run(3*time.Hour-at, workflows.MerchantWorkflow, in)
		pulls = append(pulls, times(s.named("PullOrders", "shop"))...)
		if temporal.IsCanceledError(err) {
			require.Equal(t, 2, i)
			break
		}
		in, at = continued[workflows.MerchantInput](t, err), s.since()
	}
	for i := 1; i < len(pulls); i++ {
		require.Less(t, pulls[i]-pulls[i-1], 5*time.Minute+20*time.Second)
	}
	require.Greater(t, pulls[len(pulls)-1], 2*time.Hour)
}

// A run ends only when every update has its answer.
func TestContinueAsNewWaitsForUpdates(t *testing.T) {
	s := newStage(t)
	on(s, "CancelOrder", inTurn[activities.CancelInput](activities.CancelOutcome{Reference: "A-1", Result: "too_late"}))
	var r *reply
	s.at(time.Minute, func() {
		r = s.ask("cancel-order", workflows.CancelRequest{Reference: "A-1"})
	})
	s.at(time.Minute+took/2, func() { s.SetContinueAsNewSuggested(true) })
	s.nextRun(first)
	require.True(t, r.done)
	require.NoError(t, r.err)
	require.Equal(t, "too_late", r.answer.(activities.CancelOutcome).Result)
}

// The task in which a run could end may be the one that brings a signal: here
// it comes together with the plan that was read anew.
func TestASignalInTheLastTaskIsNotLost(t *testing.T) {
	s := newStage(t)
	s.at(time.Minute, func() { s.SignalWorkflow("settings-changed", nil) })
	s.at(time.Minute+took/2, func() { s.SetContinueAsNewSuggested(true) })
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		if s.since() > time.Minute {
			s.SignalWorkflowSkippingWorkflowTask("cancel-order", workflows.CancelRequest{Reference: "A-7"})
		}
		return plan(), nil
	})
	next := s.nextRun(first)
	require.Empty(t, s.named("CancelOrder"))
	require.Equal(t, []workflows.Signal{{Name: "cancel-order", Request: json.RawMessage(`{"reference":"A-7"}`)}}, next.State.Unread)
}

// Whatever comes whenever, over however many runs: each message is handled once.
func TestNoSignalIsLostBetweenRuns(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const messages = 60
	when := make([]time.Duration, messages)
	for i := range when {
		when[i] = time.Duration(random.Int64N(int64(40 * time.Minute))).Round(time.Second / 2)
	}
	slices.Sort(when)
	delivered := 0
	var handled []string
	in, at, runs := first, time.Duration(0), 0
	for {
		runs++
		s := newStage(t)
		s.SetStartTime(start.Add(at))
		for i := delivered; i < messages; i++ {
			s.at(max(when[i]-at, 0), func() {
				// With whatever else happens at this moment, in one task.
				s.SignalWorkflowSkippingWorkflowTask("cancel-order", workflows.CancelRequest{Reference: relay.Reference(fmt.Sprint("A-", i))})
				s.at(0, func() { delivered++ })
				s.at(time.Nanosecond, func() {})
			})
		}
		if runs < 30 {
			s.at(time.Duration(random.Int64N(int64(3*time.Minute))), func() { s.SetContinueAsNewSuggested(true) })
		}
		if random.IntN(2) == 0 {
			s.at(time.Duration(random.Int64N(int64(time.Minute))), func() { s.SignalWorkflow("settings-changed", nil) })
		}
		err := s.run(2*time.Hour-at, workflows.MerchantWorkflow, in)
		for _, c := range inputs[activities.CancelInput](s, "CancelOrder") {
			handled = append(handled, string(c.Reference))
		}
		require.Empty(t, s.overlaps)
		if temporal.IsCanceledError(err) {
			break
		}
		in, at = continued[workflows.MerchantInput](t, err), s.since()
	}
	require.Equal(t, 30, runs)
	require.Equal(t, messages, delivered)
	var want []string
	for i := range messages {
		want = append(want, fmt.Sprint("A-", i))
	}
	require.ElementsMatch(t, want, handled)
}

// Releasing a hundred thousand orders takes several runs: the first answers, the others go on.
func TestALargeReleaseGoesOnInTheNextRuns(t *testing.T) {
	left := 5000
	release := func(activities.ReleaseInput) (activities.ReleaseOutcome, error) {
		n := min(left, 200)
		left -= n
		return activities.ReleaseOutcome{Released: n, References: references(left, left+n), More: n == 200}, nil
	}
	s := newStage(t)
	on(s, "ReleaseOrders", release)
	var r *reply
	s.at(time.Minute, func() { r = s.ask("release-orders", workflows.ReleaseRequest{All: true, Actor: "ops"}) })
	s.at(time.Minute+10*took+took/2, func() { s.SetContinueAsNewSuggested(true) })
	next := s.nextRun(first)
	require.NoError(t, r.err)
	require.Equal(t, workflows.ReleaseAnswer{Released: 2200, More: true}, r.answer)
	require.Equal(t, 2800, left)
	require.Len(t, next.State.Releases, 1)

	again := newStage(t)
	on(again, "ReleaseOrders", release)
	require.True(t, temporal.IsCanceledError(again.run(10*time.Minute, workflows.MerchantWorkflow, next)))
	require.Zero(t, left)
	require.Equal(t, activities.ReleaseInput{Merchant: "acme", Actor: "operator ops"}, again.named("ReleaseOrders")[0].in)
	require.Len(t, again.signals, 2800)
	require.Len(t, again.named("ReleaseOrders"), 15, "then it is done")
}

func TestALongRecheckGoesOnInTheNextRun(t *testing.T) {
	s := newStage(t)
	on(s, "RecheckHolds", func(in activities.RecheckInput) (activities.RecheckOutcome, error) {
		return activities.RecheckOutcome{After: in.After + 200}, nil
	})
	s.at(took+5*took+took/2, func() { s.SetContinueAsNewSuggested(true) })
	next := s.nextRun(first)
	require.Equal(t, relay.OrderID(1200), next.State.RecheckAfter)
	require.True(t, next.State.HoldsDue)

	again := newStage(t)
	require.True(t, temporal.IsCanceledError(again.run(10*time.Minute, workflows.MerchantWorkflow, next)))
	require.Equal(t, []activities.RecheckInput{{Merchant: "acme", After: 1200}}, inputs[activities.RecheckInput](again, "RecheckHolds"))
	require.Len(t, again.named("HoldsToStart"), 1)
}

// A hold that waits for the end of its predecessor is not forgotten by a new run.
func TestContinueAsNewWhileAHoldWaitsForAnother(t *testing.T) {
	s := newStage(t)
	s.running["hold/acme/A-5"] = true
	on(s, "HoldsToStart", inTurn[activities.HoldsInput](activities.HoldsOutput{Holds: []activities.HeldOrder{{Order: 5, Reference: "A-5", Reason: relay.HoldRejected}}}))
	s.at(12*time.Second, func() {
		s.SetContinueAsNewSuggested(true)
		s.SignalWorkflow("sync-now", workflows.JobRequest{Connection: "nowhere"})
	})
	next := s.nextRun(first)
	require.True(t, next.State.HoldsDue)
}

// The name that a run continues under is the one that is registered.
func TestContinueAsNewKeepsItsName(t *testing.T) {
	s := newStage(t)
	s.SetContinueAsNewSuggested(true)
	err := s.run(time.Hour, workflows.MerchantWorkflow, first)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &again)
	require.Equal(t, "Merchant", again.WorkflowType.Name)
}
