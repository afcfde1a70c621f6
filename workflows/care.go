package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// What came with changeCare (see versions.go): alerts, the comparing of books,
// and carts that are read before anything is sent after a pause.

// pullsFirst reports whether a cart is to be read before anything is submitted.
// One that can't be read, since it is paused or refuses us, is not waited for.
func (m *merchant) pullsFirst() bool {
	return slices.ContainsFunc(m.state.Plan.Lanes, func(l activities.Lane) bool {
		s := m.state.Jobs[jobKey(l.Connection, relay.PullOrders)]
		return s != nil && !s.Paused && l.Stopped == "" && slices.Contains(m.state.PullFirst, l.Connection)
	})
}

// reconcile compares the books of a connection, and lets the other jobs act on
// what was mended.
func (m *merchant) reconcile(ctx workflow.Context, l activities.Lane, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	var r activities.ReconcileResult
	if err := workflow.ExecuteActivity(ctx, a.Reconcile, in).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	s.Last = fmt.Sprintf("%d compared, %d differ, %d mended", r.Checked, r.Found, r.Repaired)
	if r.More {
		s.Due = workflow.Now(ctx)
	}
	if r.Submit {
		m.wakeWarehouse(ctx)
	}
	m.wakeCarts(ctx, relay.PushShipments, r.Carts)
	m.wakeCarts(ctx, relay.PushInventory, r.Carts)
	m.tellHolds(ctx, r.Woken)
	return nil
}

// watch looks after the merchant's alerts, also while it is paused: a connection
// that has stopped is what people are to be called for. It is no lane: neither new
// settings nor a new run wait for a mail server.
func (m *merchant) watch(ctx workflow.Context) {
	for ctx.Err() == nil {
		now := workflow.Now(ctx)
		if wait := m.state.WatchDue.Sub(now); wait > 0 {
			_, _ = workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{ // an error is the workflow's end
				Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: "until alerts are looked after"},
			}, func() bool { return m.state.WatchDue.Before(now.Add(wait)) })
			continue
		}
		// A plan of an earlier release names no interval.
		every := time.Duration(cmp.Or(m.state.Plan.Watch, relay.DefaultAlertEvery))
		m.state.WatchDue = now.Add(every)
		var a *activities.Activities
		var r activities.WatchResult
		err := workflow.ExecuteActivity(onAlerts(ctx, m.id), a.Watch, activities.WatchInput{Merchant: m.id, Failing: m.failing(), Paused: m.pausedJobs()}).Get(ctx, &r)
		if err != nil && ctx.Err() == nil {
			workflow.GetLogger(ctx).Error("alerts can't be looked after; will try again", "merchant", m.id, "why", brief(err))
		}
		if r.Submit {
			m.wakeWarehouse(ctx)
		}
		if r.Holds { // also where the submission is paused, or has an interval
			m.state.HoldsDue = true
		}
		m.wakeCarts(ctx, relay.PushShipments, r.Carts)
	}
}

// knows refuses what workers of the release before could not go on with: a run in
// their form may be taken over by them.
func (m *merchant) knows() error {
	if m.cares {
		return nil
	}
	return temporal.NewApplicationError("this merchant's run has the form of the release before, which does not know this request: it has the new one within a day of the end of the deploy", "held back")
}

// failing lists the jobs whose last runs failed: the ledger does not know.
func (m *merchant) failing() []activities.FailingJob {
	var list []activities.FailingJob
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			s := m.state.Jobs[jobKey(l.Connection, j)]
			if n, failing := s.failing(); failing && !s.Paused && l.Stopped == "" {
				list = append(list, activities.FailingJob{Connection: l.Connection, Job: j, Since: s.Since, Fails: n, Why: s.Why})
			}
		}
	}
	return list
}

// pausedJobs lists the jobs that a person paused one by one: the ledger does not
// know of these either.
func (m *merchant) pausedJobs() []activities.PausedJob {
	var list []activities.PausedJob
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			if s := m.state.Jobs[jobKey(l.Connection, j)]; s.Paused {
				list = append(list, activities.PausedJob{Connection: l.Connection, Job: j, Since: s.PausedAt})
			}
		}
	}
	return list
}
