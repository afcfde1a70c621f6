package workflows_test

import (
	"fmt"
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

// Alerts are looked after every five minutes, or as often as the plan says, and
// also while nothing else runs.
func TestAlertsAreLookedAfter(t *testing.T) {
	s := newStage(t)
	s.at(11*time.Minute, func() { s.ask("pause", workflows.JobRequest{}) })
	s.runMerchant(31 * time.Minute)
	looks := s.named("Watch")
	require.Len(t, looks, 7)
	require.Equal(t, took, looks[0].at, "as soon as the plan is known")
	for i, l := range looks {
		require.Equal(t, took+time.Duration(i)*5*time.Minute, l.at)
		require.Equal(t, activities.WatchInput{Merchant: "acme"}, l.in)
		require.Equal(t, "orderferry/alerts", l.options.TaskQueue)
		require.Equal(t, 15*time.Second, l.options.HeartbeatTimeout)
		require.Equal(t, 15*time.Minute, l.options.ScheduleToCloseTimeout)
	}

	s = newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		p.Watch = relay.Every(time.Minute)
		return p, nil
	})
	on(s, "Watch", func(activities.WatchInput) (activities.WatchResult, error) {
		return activities.WatchResult{}, temporal.NewNonRetryableApplicationError("no", "database", nil)
	})
	s.runMerchant(10 * time.Minute)
	require.Len(t, s.named("Watch"), 10, "a failure does not end it")
}

// Other jobs put orders on hold too: these get their workflows though the
// submission, which tells of holds as well, is paused.
func TestHoldsGetTheirWorkflowsWhileTheSubmissionIsPaused(t *testing.T) {
	s := newStage(t)
	s.at(61*time.Minute, func() { s.ask("pause", workflows.JobRequest{Connection: "east", Job: relay.SubmitOrders}) })
	on(s, "Watch", func(activities.WatchInput) (activities.WatchResult, error) {
		waits := s.since() > 62*time.Minute
		return activities.WatchResult{Submit: waits, Holds: waits}, nil
	})
	s.runMerchant(2 * time.Hour)
	require.Empty(t, filter(s.named("SubmitOrders"), 62*time.Minute))
	require.NotEmpty(t, filter(s.named("HoldsToStart"), 62*time.Minute))
}

func TestBooksAreComparedInTurns(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) { return comparing(8 * time.Hour), nil })
	on(s, "Reconcile", func(in activities.JobInput) (activities.ReconcileResult, error) {
		switch in.Connection {
		case "shop":
			return activities.ReconcileResult{Checked: 10, Found: 2, Repaired: 1, Submit: true, Woken: references(0, 3)}, nil
		case "east":
			return activities.ReconcileResult{Carts: []relay.ConnectionName{"outlet"}}, nil
		}
		return activities.ReconcileResult{}, nil
	})
	var details string
	s.at(9*time.Hour, func() { details = s.details() })
	s.runMerchant(17 * time.Hour)
	for _, c := range []relay.ConnectionName{"shop", "outlet", "east"} {
		runs := times(s.named("Reconcile", c))
		require.Len(t, runs, 2, c)
		require.InDelta(t, 8*time.Hour, runs[0], float64(20*time.Second), c)
		require.InDelta(t, 16*time.Hour, runs[1], float64(time.Minute), c)
	}
	require.Contains(t, details, "| shop | reconcile | 8h | 2026-03-03T04:0")
	require.Contains(t, details, "| 10 compared, 2 differ, 1 mended |")
	mended := s.first("Reconcile", "shop", 0).at + took
	require.LessOrEqual(t, s.first("SubmitOrders", "east", mended).at, mended+4*took, "what was taken in is sent")
	require.Len(t, s.signals, 6)
	told := s.first("Reconcile", "east", 0).at + took
	require.LessOrEqual(t, s.first("PushShipments", "outlet", told).at, told+4*took)
	require.LessOrEqual(t, s.first("PushInventory", "outlet", told).at, told+6*took)
}

// comparing is the plan of a merchant whose books are compared so often.
func comparing(d time.Duration) activities.Plan {
	p := plan()
	for _, l := range p.Lanes {
		l.Every[relay.Reconcile] = relay.Every(d)
	}
	return p
}

// A run lasts a day at most, so that every merchant has the newest form soon
// after a deploy; a pause outlasts it.
func TestARunLastsADay(t *testing.T) {
	s := newStage(t)
	s.at(8*time.Minute, func() { s.ask("pause", workflows.JobRequest{Connection: "shop"}) })
	s.at(23*time.Hour, func() { s.ask("pause", workflows.JobRequest{}) })
	next := s.nextRun(first)
	require.InDelta(t, 24*time.Hour, s.since(), float64(6*time.Minute))
	require.True(t, next.State.Paused)
	require.True(t, next.State.Jobs["shop reconcile"].Paused)
	require.InDelta(t, float64(start.Add(24*time.Hour).Unix()), float64(next.State.Jobs["east reconcile"].Due.Unix()), 60)
}

// Books are compared when that is named, not whenever all is to be ferried now.
func TestBooksAreComparedOnDemand(t *testing.T) {
	s := newStage(t)
	var all, named *reply
	s.at(time.Hour, func() { all = s.ask("sync-now", workflows.JobRequest{}) })
	s.at(2*time.Hour, func() { named = s.ask("sync-now", workflows.JobRequest{Job: relay.Reconcile}) })
	s.runMerchant(3 * time.Hour)
	require.Len(t, all.answer.(workflows.JobAnswer).Jobs, 9)
	require.Equal(t, workflows.JobAnswer{Jobs: []string{"outlet reconcile", "shop reconcile", "east reconcile"}}, named.answer)
	require.Len(t, s.named("Reconcile"), 3)
	for _, p := range s.named("Reconcile") {
		require.InDelta(t, 2*time.Hour, p.at, float64(10*time.Second))
	}
}

// New settings start the jobs at once, but not the comparing of books.
func TestNewSettingsDoNotCompareBooks(t *testing.T) {
	s := newStage(t)
	s.at(time.Hour, func() { s.SignalWorkflow("settings-changed", nil) })
	s.runMerchant(23 * time.Hour)
	require.Empty(t, s.named("Reconcile"))
}

// Stock that comes lets orders go: they are sent, and their holds told.
func TestStockThatComesReleasesHolds(t *testing.T) {
	s := newStage(t)
	on(s, "PullInventory", inTurn[activities.JobInput](
		activities.PullInventoryResult{Levels: 10},
		activities.PullInventoryResult{Levels: 10, Changed: 1, Released: 2, Woken: references(0, 2)},
		activities.PullInventoryResult{Levels: 10}))
	s.runMerchant(90 * time.Minute)
	second := s.named("PullInventory")[1].at + took
	require.Equal(t, second, s.first("SubmitOrders", "east", second-time.Millisecond).at)
	require.Len(t, s.signals, 2)
	require.Equal(t, sent{at: second, workflow: "hold/acme/A-0", name: "look"}, s.signals[0])
}

// A cart is told of cancels as soon as there are any.
func TestCancelsAreToldToCarts(t *testing.T) {
	s := newStage(t)
	on(s, "SubmitOrders", inTurn[activities.JobInput](
		activities.SubmitResult{}, activities.SubmitResult{Cancelled: 1, Carts: []relay.ConnectionName{"outlet"}}, activities.SubmitResult{}))
	on(s, "CancelOrder", inTurn[activities.CancelInput](activities.CancelOutcome{Reference: "A-1", Result: "cancelled", Cart: "shop"}))
	on(s, "CancelHeld", inTurn[activities.CancelHeldInput](
		activities.CancelHeldOutcome{Stopped: 199, Pending: 1, References: references(0, 200), Carts: []relay.ConnectionName{"shop"}, More: true},
		activities.CancelHeldOutcome{Stopped: 7, References: references(200, 207), Carts: []relay.ConnectionName{"outlet"}}))
	var held *reply
	s.at(10*time.Minute, func() { s.ask("sync-now", workflows.JobRequest{Job: relay.SubmitOrders}) })
	s.at(20*time.Minute, func() { s.ask("cancel-order", workflows.CancelRequest{Reference: "A-1"}) })
	s.at(32*time.Minute, func() {
		held = s.ask("cancel-held", workflows.CancelHeldRequest{
			ReleaseRequest: workflows.ReleaseRequest{SKU: "TOTE-1", Actor: "ops"}, Why: "withdrawn from sale",
		})
	})
	s.runMerchant(34 * time.Minute)
	told := func(c relay.ConnectionName) []time.Duration {
		return times(filter(s.named("PushShipments", c), time.Minute))
	}
	require.Equal(t, []time.Duration{10*time.Minute + took, 32*time.Minute + 2*took}, told("outlet"))
	require.Equal(t, []time.Duration{20*time.Minute + took, 32*time.Minute + took}, told("shop"))
	require.NoError(t, held.err)
	require.Equal(t, workflows.CancelHeldAnswer{Stopped: 206, Pending: 1}, held.answer)
	in := activities.CancelHeldInput{ReleaseInput: activities.ReleaseInput{Merchant: "acme", SKU: "TOTE-1", Actor: "operator ops"}, Why: "withdrawn from sale", Asked: start.Add(32 * time.Minute)}
	require.Equal(t, []activities.CancelHeldInput{in, in}, inputs[activities.CancelHeldInput](s, "CancelHeld"))
	require.Len(t, s.signals, 207)
	require.Equal(t, 32*time.Minute+took, s.first("SubmitOrders", "east", 31*time.Minute).at, "one may be at the warehouse: it is looked for")
}

// A hundred thousand cancels take several runs, as releases do.
func TestALargeCancelGoesOnInTheNextRuns(t *testing.T) {
	left := 1500
	cancel := func(in activities.CancelHeldInput) (activities.CancelHeldOutcome, error) {
		require.Equal(t, start.Add(time.Minute), in.Asked, "however late its turn")
		n := min(left, 200)
		left -= n
		return activities.CancelHeldOutcome{Stopped: n, More: n == 200}, nil
	}
	s := newStage(t)
	on(s, "CancelHeld", cancel)
	var r *reply
	s.at(time.Minute, func() {
		r = s.ask("cancel-held", workflows.CancelHeldRequest{ReleaseRequest: workflows.ReleaseRequest{Reason: relay.HoldRejected}})
	})
	s.at(time.Minute+2*took+took/2, func() { s.SetContinueAsNewSuggested(true) })
	next := s.nextRun(first)
	require.Equal(t, workflows.CancelHeldAnswer{Stopped: 600, More: true}, r.answer)
	again := newStage(t)
	on(again, "CancelHeld", cancel)
	require.True(t, temporal.IsCanceledError(again.run(10*time.Minute, workflows.MerchantWorkflow, next)))
	require.Zero(t, left)
}

// What was cancelled at a cart during a pause is not sent after it: carts are
// read first, unless one does not answer.
func TestCartsAreReadBeforeAnythingIsSentAfterAPause(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails %t", fails), func(t *testing.T) {
			s := newStage(t)
			on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
				if fails && in.Connection == "outlet" && s.since() > time.Minute {
					return activities.PullOrdersResult{}, temporal.NewNonRetryableApplicationError("pull orders: unavailable", "unavailable", nil)
				}
				return activities.PullOrdersResult{}, nil
			})
			s.at(8*time.Minute, func() { s.ask("pause", workflows.JobRequest{}) })
			s.at(3*time.Hour, func() { s.ask("resume", workflows.JobRequest{}) })
			s.runMerchant(4 * time.Hour)
			sent := s.first("SubmitOrders", "east", 3*time.Hour).at
			for _, c := range []relay.ConnectionName{"outlet", "shop"} {
				require.GreaterOrEqual(t, sent, s.first("PullOrders", c, 3*time.Hour).at+took, c)
			}
			require.Less(t, sent, 3*time.Hour+time.Minute)
		})
	}
}

// A reading that was under way when the merchant was let run again began before
// it: it may not know of all that was cancelled during the pause.
func TestAReadingFromBeforeThePauseDoesNotCount(t *testing.T) {
	s := newStage(t)
	fails := map[relay.ConnectionName]int{"outlet": 2, "shop": 2} // it takes 10 s
	on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
		if s.since() > 10*time.Minute && fails[in.Connection] > 0 {
			fails[in.Connection]--
			return activities.PullOrdersResult{}, temporal.NewApplicationError("pull orders: unavailable", "unavailable")
		}
		return activities.PullOrdersResult{}, nil
	})
	s.at(10*time.Minute+5*time.Second, func() { s.ask("pause", workflows.JobRequest{}) })
	s.at(10*time.Minute+8*time.Second, func() { s.ask("resume", workflows.JobRequest{}) })
	s.runMerchant(11 * time.Minute)
	resumed := s.named("SetPaused")[1].at + took
	require.Less(t, s.first("PullOrders", "shop", 10*time.Minute).at, 10*time.Minute+5*time.Second)
	require.GreaterOrEqual(t, s.first("SubmitOrders", "east", resumed).at, s.first("PullOrders", "shop", resumed).at+took)
}

// A cart whose reading is paused, or whose credentials are refused, is not waited for.
func TestAPausedCartIsNotReadFirst(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		p.Lanes[0].Stopped = "401"
		return p, nil
	})
	s.at(8*time.Minute, func() { s.ask("pause", workflows.JobRequest{}) })
	s.at(3*time.Hour, func() {
		s.ask("resume", workflows.JobRequest{})
	})
	s.at(3*time.Hour+took+time.Millisecond, func() { s.ask("pause", workflows.JobRequest{Connection: "shop", Job: relay.PullOrders}) })
	s.runMerchant(4 * time.Hour)
	require.Less(t, s.first("SubmitOrders", "east", 3*time.Hour).at, 3*time.Hour+time.Minute)
}

// The old form of a run is kept: it neither looks after alerts nor compares
// books nor acts on what it would not have acted on.
func TestARunOfTheOldForm(t *testing.T) {
	s := newStage(t)
	s.OnGetVersion("care", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	on(s, "PullInventory", inTurn[activities.JobInput](activities.PullInventoryResult{Levels: 10, Released: 2, Woken: references(0, 2)}))
	on(s, "SubmitOrders", inTurn[activities.JobInput](activities.SubmitResult{Carts: []relay.ConnectionName{"outlet"}}))
	s.at(8*time.Minute, func() { s.ask("pause", workflows.JobRequest{}) })
	s.at(9*time.Minute, func() { s.ask("resume", workflows.JobRequest{}) })
	s.runMerchant(50 * time.Hour)
	require.Empty(t, s.named("Watch"))
	require.Empty(t, s.named("Reconcile"))
	require.Empty(t, s.signals)
	require.Less(t, len(s.named("SubmitOrders")), 60, "hourly, and not at each reading of stock besides")
	require.Less(t, len(s.named("PushShipments", "outlet")), 60)
}

// The next run has the newest form, whatever the last one had.
func TestTheNextRunHasTheNewForm(t *testing.T) {
	s := newStage(t)
	s.OnGetVersion("care", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	s.at(time.Minute, func() { s.SetContinueAsNewSuggested(true) })
	next := s.nextRun(first)
	require.Len(t, next.State.Jobs, 9)
	next.State.Plan = comparing(8 * time.Hour)
	again := newStage(t)
	require.True(t, temporal.IsCanceledError(again.run(9*time.Hour, workflows.MerchantWorkflow, next)))
	require.NotEmpty(t, again.named("Watch"))
	require.Len(t, again.named("Reconcile"), 3)
}

// Both nights on which the clocks change: 1:00 AM comes once on each, also in
// November, when it comes twice.
func TestHoldsOnTheNightsWhenTheClocksChange(t *testing.T) {
	zone, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		from  time.Time
		night time.Duration // between the two resends around the change
	}{
		"spring": {time.Date(2026, 3, 6, 12, 0, 0, 0, zone), 23 * time.Hour},
		"autumn": {time.Date(2026, 10, 30, 12, 0, 0, 0, zone), 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHoldStage(t)
			h.SetStartTime(c.from)
			require.True(t, temporal.IsCanceledError(h.runHold(4*day)))
			require.Len(t, h.resends, 4)
			var long []time.Duration
			for i, at := range h.resends {
				require.Equal(t, 1, at.In(zone).Hour())
				require.Equal(t, c.from.AddDate(0, 0, i+1).Day(), at.In(zone).Day())
				if i > 0 {
					if d := at.Sub(h.resends[i-1]).Round(time.Minute); d != 24*time.Hour {
						long = append(long, d)
					}
				}
			}
			require.Equal(t, []time.Duration{c.night}, long)
		})
	}
}

// Five thousand orders on hold, after a worker's long absence: each gets one
// workflow, in runs that stay far below the server's limits.
func TestFiveThousandHolds(t *testing.T) {
	const all = 5000
	started := make(map[relay.OrderID]int)
	in, runs := first, 1
	for ; ; runs++ {
		s := newStage(t)
		on(s, "HoldsToStart", func(in activities.HoldsInput) (activities.HoldsOutput, error) {
			out := activities.HoldsOutput{Warehouse: "east", Connector: "easypost"}
			for id := in.After + 1; id <= all && len(out.Holds) < 100; id++ {
				if started[id] == 0 {
					out.Holds = append(out.Holds, activities.HeldOrder{Order: id, Reference: relay.Reference(fmt.Sprint("A-", id)), Reason: relay.HoldInsufficientInventory})
				}
			}
			out.More = len(out.Holds) == 100
			return out, nil
		})
		err := s.run(30*time.Minute, workflows.MerchantWorkflow, in)
		for _, c := range s.children {
			started[c.in.Order]++
		}
		require.LessOrEqual(t, len(s.children), 400)
		if temporal.IsCanceledError(err) {
			break
		}
		in = continued[workflows.MerchantInput](t, err)
	}
	require.Equal(t, 17, runs)
	require.Len(t, started, all)
	for id, n := range started {
		require.Equal(t, 1, n, "order %d", id)
	}
}

// Ten thousand signals, many of them twice and late: each is handled, in the
// order of their coming, and none is lost between runs.
func TestTenThousandSignals(t *testing.T) {
	const all = 10_000
	var handled int
	in, at := first, time.Duration(0)
	for run := 0; ; run++ {
		require.Less(t, run, 30)
		s := newStage(t)
		s.SetStartTime(start.Add(at))
		if run == 0 {
			s.cancels(time.Minute, all)
		}
		err := s.run(8*time.Hour-at, workflows.MerchantWorkflow, in)
		for _, c := range inputs[activities.CancelInput](s, "CancelOrder") {
			require.Equal(t, relay.Reference(fmt.Sprint("A-", handled)), c.Reference)
			handled++
		}
		if temporal.IsCanceledError(err) {
			break
		}
		in, at = continued[workflows.MerchantInput](t, err), s.since()
	}
	require.Equal(t, all, handled)
}

// A job that fails is nowhere in the ledger: the look at alerts is told of it.
func TestAlertsAreToldOfFailingJobs(t *testing.T) {
	s := newStage(t)
	on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
		if in.Connection == "outlet" && s.since() < 20*time.Minute {
			return activities.PullOrdersResult{}, temporal.NewNonRetryableApplicationError("pull orders: HTTP 500", "unavailable", nil)
		}
		return activities.PullOrdersResult{}, nil
	})
	s.runMerchant(41 * time.Minute)
	looks := inputs[activities.WatchInput](s, "Watch")
	require.Len(t, looks, 9)
	require.Empty(t, looks[0].Failing)
	require.Len(t, looks[3].Failing, 1)
	f := looks[3].Failing[0]
	require.Equal(t, activities.FailingJob{Connection: "outlet", Job: relay.PullOrders, Since: f.Since, Fails: f.Fails, Why: "pull orders: HTTP 500"}, f)
	require.Equal(t, start, f.Since.Truncate(time.Minute).UTC())
	require.Greater(t, f.Fails, 2)
	require.Empty(t, looks[8].Failing, "it works again")
}

// A pause of one job, or of one connection, is nowhere in the ledger either: the
// look at alerts is told since when it lasts, run after run.
func TestAlertsAreToldOfForgottenPauses(t *testing.T) {
	paused := func(jobs []relay.Job, since time.Duration) (list []activities.PausedJob) {
		for _, j := range jobs {
			list = append(list, activities.PausedJob{Connection: "shop", Job: j, Since: start.Add(since)})
		}
		return list
	}
	pullOrders, whole := []relay.Job{relay.PullOrders}, []relay.Job{relay.PushShipments, relay.PullOrders, relay.PushInventory, relay.Reconcile}
	s := newStage(t)
	s.at(7*time.Minute, func() { s.ask("pause", workflows.JobRequest{Connection: "shop", Job: relay.PullOrders}) })
	s.at(17*time.Minute, func() { s.ask("pause", workflows.JobRequest{Connection: "shop", Job: relay.PullOrders}) })
	s.at(21*time.Minute, func() { s.ask("resume", workflows.JobRequest{Connection: "shop"}) })
	s.at(27*time.Minute, func() { s.ask("pause", workflows.JobRequest{Connection: "shop"}) })
	s.at(32*time.Minute, func() { s.SetContinueAsNewSuggested(true) })
	next := s.nextRun(first)
	looks := inputs[activities.WatchInput](s, "Watch")
	told := func(at time.Duration) []activities.PausedJob {
		i := slices.IndexFunc(s.named("Watch"), func(p step) bool { return p.at >= at })
		require.GreaterOrEqual(t, i, 0)
		return looks[i].Paused
	}
	require.Empty(t, told(0))
	require.Equal(t, paused(pullOrders, 7*time.Minute), told(8*time.Minute))
	require.Equal(t, paused(pullOrders, 7*time.Minute), told(18*time.Minute), "asked for twice")
	require.Empty(t, told(22*time.Minute), "resumed")
	require.Equal(t, paused(whole, 27*time.Minute), told(28*time.Minute))

	next.State.Jobs["shop pull_orders"].PausedAt = time.Time{} // as the release before left it
	again := newStage(t)
	again.SetStartTime(start.Add(40 * time.Minute))
	require.True(t, temporal.IsCanceledError(again.run(10*time.Minute, workflows.MerchantWorkflow, next)))
	want := paused(whole, 27*time.Minute)
	want[1].Since = start.Add(40 * time.Minute)
	require.Equal(t, want, inputs[activities.WatchInput](again, "Watch")[0].Paused)
}

// New settings, unchanged ones the more so, mend nothing by themselves: a job that
// fails on does so since it first failed, though it is tried again at once.
func TestNewSettingsEndNoFailure(t *testing.T) {
	s := newStage(t)
	on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
		if in.Connection == "outlet" && s.since() < 100*time.Minute {
			return activities.PullOrdersResult{}, temporal.NewNonRetryableApplicationError("pull orders: HTTP 500", "unavailable", nil)
		}
		return activities.PullOrdersResult{}, nil
	})
	for at := 30 * time.Minute; at < 3*time.Hour; at += 30 * time.Minute {
		s.at(at, func() { s.SignalWorkflow("settings-changed", nil) })
	}
	var fails workflows.JobStanding
	s.at(91*time.Minute, func() { fails = job(t, s.standing(), "outlet", relay.PullOrders) })
	s.runMerchant(3 * time.Hour)
	looks := s.named("Watch")
	for _, look := range looks[2:] {
		failing := look.in.(activities.WatchInput).Failing
		if look.at > 110*time.Minute {
			require.Empty(t, failing, "it works again")
			continue
		}
		require.Len(t, failing, 1, look.at)
		require.Equal(t, start, failing[0].Since.Truncate(time.Minute).UTC())
	}
	require.Regexp(t, `^fails since 2026-03-02T12:00:\d\dZ, 1[4-9] times: pull orders: HTTP 500$`, fails.State)
	first := filter(s.named("PullOrders", "outlet"), 30*time.Minute)[0].at
	require.InDelta(t, 30*time.Minute, first, float64(3*took), "new settings are tried at once")
}

// What failed before a job was paused, or its connection stopped, is an old story once it is resumed.
func TestAResumeIsAFreshStart(t *testing.T) {
	for name, c := range map[string]struct {
		stopped bool
		resume  workflows.JobRequest
	}{
		"a job":                  {false, workflows.JobRequest{Connection: "outlet", Job: relay.PullOrders}},
		"a job, with all others": {false, workflows.JobRequest{}},
		"a connection":           {true, workflows.JobRequest{Connection: "outlet"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			stopped := false
			on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
				p := plan()
				if stopped {
					p.Lanes[0].Stopped = "outlet: unauthorised: 401"
				}
				return p, nil
			})
			on(s, "ResumeConnections", func(activities.JobInput) (none, error) { stopped = false; return none{}, nil })
			on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
				if in.Connection == "outlet" {
					return activities.PullOrdersResult{}, temporal.NewNonRetryableApplicationError("pull orders: HTTP 500", "unavailable", nil)
				}
				return activities.PullOrdersResult{}, nil
			})
			s.at(10*time.Minute, func() {
				if stopped = c.stopped; stopped {
					s.SignalWorkflow("settings-changed", nil)
				} else {
					s.ask("pause", workflows.JobRequest{Connection: "outlet", Job: relay.PullOrders})
				}
			})
			s.at(9*time.Hour, func() { s.ask("resume", c.resume) })
			s.runMerchant(10 * time.Hour)
			during := filter(s.named("Watch"), 20*time.Minute)[0]
			require.Empty(t, during.in.(activities.WatchInput).Failing)
			after := s.named("Watch")
			failing := after[len(after)-1].in.(activities.WatchInput).Failing
			require.Len(t, failing, 1)
			require.Equal(t, start.Add(9*time.Hour), failing[0].Since.Truncate(time.Minute).UTC())
		})
	}
}

// Should a wake-up have been lost with a worker, the next look at alerts is one.
func TestLostWakeUpsAreMadeUpFor(t *testing.T) {
	s := newStage(t)
	on(s, "Watch", func(activities.WatchInput) (activities.WatchResult, error) {
		if at := s.since().Round(time.Minute); at == 10*time.Minute {
			return activities.WatchResult{Submit: true, Carts: []relay.ConnectionName{"outlet"}}, nil
		}
		return activities.WatchResult{}, nil
	})
	s.runMerchant(20 * time.Minute)
	for _, woken := range [][]step{filter(s.named("SubmitOrders"), time.Minute), filter(s.named("PushShipments", "outlet"), time.Minute)} {
		require.Len(t, woken, 1)
		require.InDelta(t, 10*time.Minute+2*took, woken[0].at, float64(2*took))
	}
	require.Empty(t, filter(s.named("PushShipments", "shop"), time.Minute))
}

// A run in the form of the release before refuses what that release does not know.
func TestARunOfTheOldFormRefusesNewRequests(t *testing.T) {
	s := newStage(t)
	s.OnGetVersion("care", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	var replies []*reply
	s.at(time.Minute, func() {
		replies = append(replies,
			s.ask("cancel-held", workflows.CancelHeldRequest{ReleaseRequest: workflows.ReleaseRequest{All: true}}),
			s.ask("release-orders", workflows.ReleaseRequest{SKU: "TOTE-1"}),
			s.ask("reopen-order", workflows.ReopenRequest{Reference: "A-1", Reason: "wanted after all"}))
	})
	s.runMerchant(2 * time.Minute)
	for _, r := range replies {
		require.ErrorContains(t, r.err, "form of the release before")
	}
	require.Empty(t, s.named("CancelHeld"))
	require.Empty(t, s.named("ReleaseBySKU"))
	require.Empty(t, s.named("ReopenOrder"))
}

// A mail server that hangs holds up neither new settings nor a new run.
func TestAlertsHoldNothingUp(t *testing.T) {
	s := newStage(t)
	on(s, "Watch", func(activities.WatchInput) (activities.WatchResult, error) {
		return activities.WatchResult{}, temporal.NewApplicationErrorWithOptions("hangs", "unavailable", temporal.ApplicationErrorOptions{NextRetryDelay: 4 * time.Minute})
	})
	s.at(2*time.Minute, func() { s.SignalWorkflow("settings-changed", nil) })
	s.at(3*time.Minute, func() { s.SetContinueAsNewSuggested(true) })
	s.nextRun(first)
	require.Len(t, s.named("LoadPlan"), 2)
	require.Less(t, s.since(), 4*time.Minute)
}

// A job that fails is not started before its pause is over, however much there is for it to do.
func TestWorkDoesNotHurryAJobThatFails(t *testing.T) {
	s := newStage(t)
	on(s, "PushShipments", func(in activities.JobInput) (activities.PushResult, error) {
		return activities.PushResult{}, temporal.NewNonRetryableApplicationError("push: 503", "unavailable", nil)
	})
	on(s, "Watch", func(activities.WatchInput) (activities.WatchResult, error) {
		return activities.WatchResult{Carts: []relay.ConnectionName{"outlet"}}, nil
	})
	s.runMerchant(2 * time.Hour)
	require.InDelta(t, 11, len(s.named("PushShipments", "outlet")), 1, "after 1, 2, 4, 8, 15, 15, ... minutes")
}
