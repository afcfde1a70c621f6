package workflows_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

func TestJobsRunAtTheirIntervals(t *testing.T) {
	s := newStage(t)
	s.runMerchant(6 * time.Hour)
	for _, c := range []struct {
		job        string
		connection relay.ConnectionName
		every      time.Duration
		runs       int
	}{
		{"PullOrders", "shop", 5 * time.Minute, 72},
		{"PullOrders", "outlet", 5 * time.Minute, 72},
		{"PullShipments", "east", 15 * time.Minute, 24},
		{"PullInventory", "east", time.Hour, 6},
		{"SubmitOrders", "east", time.Hour, 6}, // nothing woke it: it looks around
		{"PushShipments", "shop", time.Hour, 6},
		{"PushInventory", "outlet", time.Hour, 6},
	} {
		runs := s.named(c.job, c.connection)
		require.InDelta(t, c.runs, len(runs), 1, "%s on %s", c.job, c.connection)
		for i := 1; i < len(runs); i++ {
			gap := runs[i].at - runs[i-1].at
			require.GreaterOrEqual(t, gap, c.every, "%s on %s", c.job, c.connection)
			require.LessOrEqual(t, gap, c.every+3*took, "%s on %s", c.job, c.connection)
		}
	}
	require.Empty(t, s.overlaps)
	for _, in := range inputs[activities.JobInput](s, "SubmitOrders") {
		require.Equal(t, activities.JobInput{Merchant: "acme", Connection: "east"}, in)
	}
}

// An order goes from cart to warehouse, and its tracking back, without waiting for any clock but the pulls'.
func TestJobsWakeEachOther(t *testing.T) {
	s := newStage(t)
	on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
		if in.Connection == "shop" && s.since() > 10*time.Minute && s.since() < 14*time.Minute {
			return activities.PullOrdersResult{New: 3}, nil
		}
		return activities.PullOrdersResult{}, nil
	})
	on(s, "PullShipments", func(activities.PullShipmentsInput) (activities.PullShipmentsResult, error) {
		if s.since() > 30*time.Minute && s.since() < 40*time.Minute {
			return activities.PullShipmentsResult{Packages: 1, Carts: []relay.ConnectionName{"shop"}}, nil
		}
		return activities.PullShipmentsResult{}, nil
	})
	on(s, "PullInventory", func(activities.JobInput) (activities.PullInventoryResult, error) {
		if s.since() > 50*time.Minute && s.since() < 70*time.Minute {
			return activities.PullInventoryResult{Levels: 9, Changed: 5}, nil
		}
		return activities.PullInventoryResult{Levels: 9}, nil
	})
	var details string
	s.at(90*time.Minute, func() { details = s.details() })
	s.runMerchant(100 * time.Minute)

	pulled := s.first("PullOrders", "shop", 10*time.Minute).at + took
	require.Equal(t, pulled, s.first("SubmitOrders", "east", 10*time.Minute).at)
	shipped := s.first("PullShipments", "east", 30*time.Minute).at + took
	require.InDelta(t, shipped, s.first("PushShipments", "shop", 30*time.Minute).at, float64(took), "after what runs on shop just then")
	require.Greater(t, s.first("PushShipments", "outlet", 10*time.Minute).at, 59*time.Minute, "it has nothing to be told")
	counted := s.first("PullInventory", "east", 50*time.Minute).at + took
	for _, cart := range []relay.ConnectionName{"shop", "outlet"} {
		require.InDelta(t, counted, s.first("PushInventory", cart, counted).at, float64(took), "after what runs on %s just then", cart)
	}
	require.Contains(t, details, "**Acme Goods**")
	require.Contains(t, details, "3 new, 0 changed, 0 cancelled")
	require.Contains(t, details, "9 levels read, 5 changed")
}

func TestChangesAndCancelsWakeTheWarehouseAndHolds(t *testing.T) {
	s := newStage(t)
	on(s, "PullOrders", inTurn[activities.JobInput](
		activities.PullOrdersResult{}, activities.PullOrdersResult{}, // both carts at first
		activities.PullOrdersResult{Changed: 1, Cancelled: 1, Woken: []relay.Reference{"A-1", "A-2"}},
		activities.PullOrdersResult{}))
	s.runMerchant(9 * time.Minute)
	pulled := s.named("PullOrders")[2].at + took
	require.Equal(t, pulled, s.first("SubmitOrders", "east", time.Minute).at)
	require.Equal(t, []sent{{pulled, "hold/acme/A-1", "look", nil}, {pulled, "hold/acme/A-2", "look", nil}}, s.signals)
}

func TestJobsWithAnIntervalOfTheirOwnAreNotWoken(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := every(plan(), "east", relay.SubmitOrders, 20*time.Minute)
		p = every(p, "shop", relay.PushShipments, 30*time.Minute)
		return every(p, "shop", relay.PushInventory, 2*time.Hour), nil
	})
	on(s, "PullOrders", inTurn[activities.JobInput](activities.PullOrdersResult{New: 1}))
	on(s, "PullShipments", inTurn[activities.PullShipmentsInput](activities.PullShipmentsResult{Packages: 1, Carts: []relay.ConnectionName{"shop", "outlet"}}))
	on(s, "PullInventory", inTurn[activities.JobInput](activities.PullInventoryResult{Changed: 1}))
	s.runMerchant(4*time.Hour - time.Minute)
	require.Len(t, s.named("SubmitOrders"), 12)
	require.Len(t, s.named("PushShipments", "shop"), 8)
	require.Len(t, s.named("PushInventory", "shop"), 2)
	require.InDelta(t, 16, len(s.named("PushShipments", "outlet")), 1, "after every reading of shipments")
	require.InDelta(t, 5, len(s.named("PushInventory", "outlet")), 1, "after every reading of stock")
}

func TestOneConnectionIsSerialAndTwoAreNot(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		for _, l := range p.Lanes {
			for j := range l.Every {
				l.Every[j] = relay.Every(3 * time.Second) // three jobs of 2 s each never keep up
			}
		}
		return p, nil
	})
	s.at(5*time.Minute, func() { s.SignalWorkflow("sync-now", workflows.JobRequest{}) })
	s.runMerchant(20 * time.Minute)
	require.Empty(t, s.overlaps)
	require.True(t, s.together, "connections wait for each other")
	for _, c := range []relay.ConnectionName{"shop", "outlet", "east"} {
		var runs int
		for _, p := range s.steps {
			if p.connection == c {
				runs++
			}
		}
		require.InDelta(t, 600, runs, 5, "no idle moment on %s", c)
	}
}

// A job that is due again as soon as it ends must not keep the others from their turn.
func TestALongReadingDoesNotStarveOrders(t *testing.T) {
	s := newStage(t)
	var after relay.OrderID
	on(s, "PullShipments", func(activities.PullShipmentsInput) (activities.PullShipmentsResult, error) {
		after++
		return activities.PullShipmentsResult{After: after}, nil // always more
	})
	on(s, "PullOrders", inTurn[activities.JobInput](activities.PullOrdersResult{New: 1}))
	s.runMerchant(30 * time.Minute)
	pulls := s.named("PullOrders", "shop")
	require.Len(t, pulls, 6)
	for _, p := range pulls {
		require.LessOrEqual(t, s.first("SubmitOrders", "east", p.at+took).at, p.at+4*took, "orders pulled at %s", p.at)
	}
	require.Greater(t, len(s.named("PullShipments")), 800)
}

func TestMoreRunsAgainAtOnce(t *testing.T) {
	s := newStage(t)
	on(s, "SubmitOrders", inTurn[activities.JobInput](activities.SubmitResult{More: true}, activities.SubmitResult{More: true}, activities.SubmitResult{}))
	on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
		return activities.PullOrdersResult{More: in.Connection == "shop" && s.since() < 10*time.Second}, nil
	})
	on(s, "PushInventory", func(in activities.JobInput) (activities.PushResult, error) {
		return activities.PushResult{More: in.Connection == "outlet" && s.since() < 10*time.Second}, nil
	})
	on(s, "PullShipments", inTurn[activities.PullShipmentsInput](
		activities.PullShipmentsResult{After: 500}, activities.PullShipmentsResult{After: 1000}, activities.PullShipmentsResult{}))
	s.runMerchant(4 * time.Minute)
	require.Len(t, s.named("SubmitOrders"), 3)
	require.Greater(t, len(s.named("PullOrders", "shop")), 1)
	require.Len(t, s.named("PullOrders", "outlet"), 1)
	require.Greater(t, len(s.named("PushInventory", "outlet")), 1)
	require.Len(t, s.named("PushInventory", "shop"), 1)
	require.Less(t, s.steps[len(s.steps)-1].at, time.Minute)
	job := activities.JobInput{Merchant: "acme", Connection: "east"}
	require.Equal(t, []activities.PullShipmentsInput{{JobInput: job}, {JobInput: job, After: 500}, {JobInput: job, After: 1000}},
		inputs[activities.PullShipmentsInput](s, "PullShipments"))
}

func TestNextIsKept(t *testing.T) {
	s := newStage(t)
	on(s, "SubmitOrders", inTurn[activities.JobInput](
		activities.SubmitResult{Next: start.Add(7 * time.Minute)},
		activities.SubmitResult{Next: start.Add(6 * time.Hour)}, // the hourly look comes first
		activities.SubmitResult{}))
	on(s, "PushShipments", func(in activities.JobInput) (activities.PushResult, error) {
		if in.Connection == "shop" && s.since() < time.Minute {
			return activities.PushResult{Next: start.Add(90 * time.Minute)}, nil
		}
		if in.Connection == "outlet" && s.since() < time.Minute {
			return activities.PushResult{Next: start.Add(11 * time.Minute)}, nil
		}
		return activities.PushResult{}, nil
	})
	s.runMerchant(70 * time.Minute)
	submits := times(s.named("SubmitOrders"))
	require.Len(t, submits, 3)
	require.Equal(t, 7*time.Minute, submits[1])
	require.Equal(t, 67*time.Minute, submits[2])
	require.Equal(t, 11*time.Minute, s.named("PushShipments", "outlet")[1].at)
	require.InDelta(t, time.Hour, s.named("PushShipments", "shop")[1].at, float64(10*time.Second))
}

// A clock that is a little off must not make a job spin.
func TestNextInThePastDoesNotSpin(t *testing.T) {
	s := newStage(t)
	on(s, "SubmitOrders", inTurn[activities.JobInput](activities.SubmitResult{Next: start}))
	on(s, "PushShipments", inTurn[activities.JobInput](activities.PushResult{Next: start}))
	s.runMerchant(time.Minute)
	for _, c := range []relay.ConnectionName{"east", "shop"} {
		name := "SubmitOrders"
		if c == "shop" {
			name = "PushShipments"
		}
		runs := times(s.named(name, c))
		for i := 1; i < len(runs); i++ {
			require.GreaterOrEqual(t, runs[i]-runs[i-1], took+time.Second)
		}
		require.Greater(t, len(runs), 10)
	}
}

func TestAFailingJobBacksOffAndOthersGoOn(t *testing.T) {
	s := newStage(t)
	on(s, "PullShipments", func(activities.PullShipmentsInput) (activities.PullShipmentsResult, error) {
		if s.since() < 100*time.Minute {
			return activities.PullShipmentsResult{}, temporal.NewApplicationError("read shipments: 503", string(relay.Unavailable))
		}
		return activities.PullShipmentsResult{Read: 4, Packages: 1}, nil
	})
	var failing, well string
	s.at(90*time.Minute, func() { failing = s.details() })
	s.at(150*time.Minute, func() { well = s.details() })
	s.runMerchant(151 * time.Minute)

	runs := s.named("PullShipments")
	// Five tries, after 1, 3, 9 and 27 s.
	const run = 5*took + 40*time.Second
	for i, pause := range []time.Duration{1, 2, 4, 8, 15, 15, 15, 15} {
		gap := runs[i+1].at - runs[i].at
		require.InDelta(t, run+pause*time.Minute, gap, float64(2*took), "after failure %d", i+1)
	}
	failed := 0
	for _, p := range runs {
		if p.at < 100*time.Minute {
			failed++
		}
	}
	require.Equal(t, 5*failed+len(runs)-failed, s.tries["PullShipments"])
	require.Contains(t, failing, "| east | pull_shipments | 15m |")
	require.Regexp(t, `fails since 2026-03-02T12:00:\d\dZ, 9 times: read shipments: 503`, failing)
	require.NotContains(t, well, "fails")
	require.Contains(t, well, "4 open orders read, 1 new packages, 0 cancelled there")
	require.Len(t, s.named("PullOrders", "shop"), 31, "another connection")
	require.InDelta(t, 3, len(s.named("SubmitOrders")), 1, "another job of the same connection")
}

func TestAJobThatCannotWorkIsTriedOnceATurn(t *testing.T) {
	s := newStage(t)
	on(s, "PushInventory", func(activities.JobInput) (activities.PushResult, error) {
		return activities.PushResult{}, temporal.NewNonRetryableApplicationError("push inventory: rejected", string(relay.Rejected), nil)
	})
	s.runMerchant(10 * time.Minute)
	require.Equal(t, s.tries["PushInventory"], len(s.named("PushInventory")))
	require.Len(t, s.named("PushInventory", "shop"), 4, "at 0, 1, 3 and 7 minutes")
}

func TestAConnectionThatIsRefusedStopsUntilResumed(t *testing.T) {
	s := newStage(t)
	loads, fixed := 0, false
	on(s, "LoadPlan", func(in activities.MerchantInput) (activities.Plan, error) {
		require.Equal(t, activities.MerchantInput{Merchant: "acme"}, in)
		loads++
		p := plan()
		if loads > 1 && !fixed {
			p.Lanes[1].Stopped = "shop: unauthorised: 401"
		}
		return p, nil
	})
	on(s, "PullOrders", func(in activities.JobInput) (activities.PullOrdersResult, error) {
		return activities.PullOrdersResult{Stopped: in.Connection == "shop" && !fixed && s.since() > time.Hour}, nil
	})
	on(s, "ResumeConnections", func(activities.JobInput) (none, error) { fixed = true; return none{}, nil })
	var details string
	var resumed *reply
	s.at(3*time.Hour, func() { details = s.details() })
	s.at(5*time.Hour, func() { resumed = s.ask("resume", workflows.JobRequest{}) })
	s.runMerchant(6 * time.Hour)

	require.Contains(t, details, "stopped: shop: unauthorised: 401")
	for _, p := range s.between(61*time.Minute, 5*time.Hour) {
		require.NotContains(t, p, "shop ")
	}
	require.InDelta(t, 48, len(slices.DeleteFunc(s.named("PullOrders", "outlet"), func(p step) bool { return p.at < time.Hour || p.at > 5*time.Hour })), 1)
	require.True(t, resumed.done)
	require.NoError(t, resumed.err)
	require.Len(t, resumed.answer.(workflows.JobAnswer).Jobs, 12)
	require.Equal(t, []activities.JobInput{{Merchant: "acme"}}, inputs[activities.JobInput](s, "ResumeConnections"))
	require.Equal(t, []activities.PauseInput{{Merchant: "acme", Asked: start.Add(5 * time.Hour)}}, inputs[activities.PauseInput](s, "SetPaused"))
	require.Equal(t, 3, loads)
	require.Less(t, s.first("PullOrders", "shop", 5*time.Hour).at, 5*time.Hour+10*took)
	require.InDelta(t, 12, len(s.named("PullOrders", "shop"))-13, 1, "at its interval again")
}

func TestHoldsGetTheirWorkflows(t *testing.T) {
	s := newStage(t)
	on(s, "HoldsToStart", func(in activities.HoldsInput) (activities.HoldsOutput, error) {
		out := activities.HoldsOutput{Warehouse: "east", Connector: "easypost"}
		switch {
		case s.since() < time.Minute && in.After == 0:
			out.Holds = []activities.HeldOrder{{Order: 5, Reference: "A-5", Reason: relay.HoldInsufficientInventory}, {Order: 9, Reference: "A-9", Reason: relay.HoldOperator}}
			out.More = true
		case s.since() < time.Minute && in.After == 9:
			out.Holds = []activities.HeldOrder{{Order: 12, Reference: "A-12", Reason: relay.HoldUnknownItem}}
		case s.since() > time.Hour && in.After == 0:
			out.Holds = []activities.HeldOrder{{Order: 20, Reference: "A-20", Reason: relay.HoldRejected}}
		}
		return out, nil
	})
	on(s, "SubmitOrders", func(activities.JobInput) (activities.SubmitResult, error) {
		return activities.SubmitResult{Held: 1, Holds: s.since() > time.Hour}, nil
	})
	s.runMerchant(90 * time.Minute)

	require.Equal(t, []activities.HoldsInput{{Merchant: "acme"}, {Merchant: "acme", After: 9}, {Merchant: "acme"}}, inputs[activities.HoldsInput](s, "HoldsToStart"))
	require.Len(t, s.children, 4)
	require.Equal(t, workflows.HoldInput{
		Merchant: "acme", Order: 5, Reference: "A-5", Warehouse: "east", Connector: "easypost", Reason: relay.HoldInsufficientInventory,
	}, s.children[0].in)
	for i, ref := range []string{"A-5", "A-9", "A-12", "A-20"} {
		o := s.children[i].options
		require.Equal(t, workflows.HoldWorkflow, s.children[i].name)
		require.Equal(t, "hold/acme/"+ref, o.WorkflowID)
		require.Equal(t, workflows.TaskQueue, o.TaskQueue)
		require.Equal(t, enums.PARENT_CLOSE_POLICY_ABANDON, o.ParentClosePolicy, "a new run of the parent must not end it")
		require.Equal(t, enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, o.WorkflowIDReusePolicy, "an order may be held twice")
		require.Equal(t, temporal.Priority{PriorityKey: 4, FairnessKey: "acme"}, o.Priority)
		got, ok := o.TypedSearchAttributes.GetKeyword(workflows.AttrOrder)
		require.True(t, ok)
		require.Equal(t, ref, got)
		state, _ := o.TypedSearchAttributes.GetKeyword(workflows.AttrState)
		require.Equal(t, "held", state)
	}
	require.Equal(t, "A-5 on hold: insufficient_inventory", s.children[0].options.StaticSummary)
	reason, _ := s.children[1].options.TypedSearchAttributes.GetKeyword(workflows.AttrHoldReason)
	require.Equal(t, "operator", reason)
	merchant, _ := s.children[1].options.TypedSearchAttributes.GetKeyword(workflows.AttrMerchant)
	require.Equal(t, "acme", merchant)
}

// An order is on hold again while the workflow of its earlier hold still runs:
// that one is told to look, and a new one is tried until it starts.
func TestAHoldWhoseWorkflowRunsAlready(t *testing.T) {
	s := newStage(t)
	s.running["hold/acme/A-5"] = true
	on(s, "HoldsToStart", func(activities.HoldsInput) (activities.HoldsOutput, error) {
		return activities.HoldsOutput{Warehouse: "east", Connector: "easypost", Holds: []activities.HeldOrder{{Order: 5, Reference: "A-5", Reason: relay.HoldRejected}}}, nil
	})
	s.at(45*time.Second, func() {
		s.running["hold/acme/A-5"] = false
	})
	s.runMerchant(50 * time.Minute)
	require.Len(t, s.children, 4, "refused at 6, 23 and 40 s")
	require.Len(t, s.signals, 3)
	for i, told := range s.signals {
		require.Equal(t, "hold/acme/A-5", told.workflow)
		require.Equal(t, "look", told.name)
		require.Equal(t, 15*time.Second+took, s.children[i+1].at-s.children[i].at)
	}
}

// Trouble with one step of the holds is no reason to leave orders without a workflow for ever.
func TestHoldsAreLookedAfterAgainAfterAFailure(t *testing.T) {
	s := newStage(t)
	fail := true
	on(s, "RecheckHolds", func(activities.RecheckInput) (activities.RecheckOutcome, error) {
		if fail {
			fail = false
			return activities.RecheckOutcome{}, temporal.NewNonRetryableApplicationError("no such merchant", activities.ErrorMissing, nil)
		}
		return activities.RecheckOutcome{}, nil
	})
	s.runMerchant(10 * time.Minute)
	require.Equal(t, []time.Duration{took, time.Minute + 2*took}, times(s.named("RecheckHolds")))
	require.Len(t, s.named("HoldsToStart"), 1)
}

func TestMerchantGivesUpOnlyWhenItIsNotInTheLedger(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		return activities.Plan{}, temporal.NewNonRetryableApplicationError("merchant acme: not found", activities.ErrorMissing, nil)
	})
	err := s.run(time.Hour, workflows.MerchantWorkflow, workflows.MerchantInput{Merchant: "acme"})
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, activities.ErrorMissing, app.Type())
}

// What each step is given: how long, how often, where, and before whom.
func TestStepOptions(t *testing.T) {
	s := newStage(t)
	s.at(time.Minute, func() { s.ask("cancel-order", workflows.CancelRequest{Reference: "A-1"}) })
	s.runMerchant(2 * time.Minute)
	for _, c := range []struct {
		step, queue  string
		connection   relay.ConnectionName
		priority     int
		whole, beat  time.Duration
		once         time.Duration
		most         int32
		mostInterval time.Duration
	}{
		{"LoadPlan", "orderferry", "", 3, 0, 0, time.Minute, 0, time.Minute},
		{"RecheckHolds", "orderferry", "", 3, 0, 0, time.Minute, 0, time.Minute},
		{"PullOrders", "orderferry/tradegecko", "shop", 3, 30 * time.Minute, 15 * time.Second, 15 * time.Minute, 5, time.Minute},
		{"SubmitOrders", "orderferry/easypost", "east", 3, 30 * time.Minute, 15 * time.Second, 15 * time.Minute, 5, time.Minute},
		{"PullShipments", "orderferry/easypost", "east", 2, 30 * time.Minute, 15 * time.Second, 15 * time.Minute, 5, time.Minute},
		{"PushShipments", "orderferry/tradegecko", "outlet", 2, 30 * time.Minute, 15 * time.Second, 15 * time.Minute, 5, time.Minute},
		{"PullInventory", "orderferry/easypost", "east", 5, 30 * time.Minute, 15 * time.Second, 15 * time.Minute, 5, time.Minute},
		{"PushInventory", "orderferry/tradegecko", "shop", 5, 30 * time.Minute, 15 * time.Second, 15 * time.Minute, 5, time.Minute},
		{"CancelOrder", "orderferry/easypost", "", 1, 10 * time.Minute, 0, 2 * time.Minute, 0, 10 * time.Second},
	} {
		o := s.first(c.step, c.connection, 0).options
		require.Equal(t, c.queue, o.TaskQueue, c.step)
		require.Equal(t, temporal.Priority{PriorityKey: c.priority, FairnessKey: "acme"}, o.Priority, c.step)
		require.Equal(t, c.whole, o.ScheduleToCloseTimeout, c.step)
		require.Equal(t, c.once, o.StartToCloseTimeout, c.step)
		require.Equal(t, c.beat, o.HeartbeatTimeout, c.step)
		require.Equal(t, c.most, o.RetryPolicy.MaximumAttempts, c.step)
		require.Equal(t, c.mostInterval, o.RetryPolicy.MaximumInterval, c.step)
		require.Empty(t, o.RetryPolicy.NonRetryableErrorTypes, c.step)
	}
}
