package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// What a merchant's workflow does for its orders on hold; hold.go is the workflow
// of each of them.

// tellHolds lets hold workflows look at orders that something else moved, 200
// at a time: the server refuses more than 2,000 pending signals.
func (m *merchant) tellHolds(ctx workflow.Context, refs []relay.Reference) {
	for batch := range slices.Chunk(refs, 200) {
		futures := make([]workflow.Future, len(batch))
		for i, r := range batch {
			futures[i] = workflow.SignalExternalWorkflow(ctx, HoldID(m.id, r), "", Look, nil)
		}
		for _, f := range futures {
			// A hold that has ended already needs no telling.
			_ = f.Get(ctx, nil)
		}
	}
}

// holds starts a workflow for every order on hold that has none, lets orders go
// whose mapping has come, and goes on with large releases.
func (m *merchant) holds(ctx workflow.Context) error {
	due := func() bool {
		return m.state.HoldsDue || m.state.Recheck || m.state.RecheckAfter != 0 || len(m.state.Releases)+len(m.state.Cancels) > 0
	}
	for {
		err := workflow.Await(ctx, func() bool { return m.leaving(ctx) || due() })
		if err != nil || m.leaving(ctx) {
			return err
		}
		var pause time.Duration
		again, err := m.tend(ctx)
		switch {
		case temporal.IsCanceledError(err):
			return err
		case err != nil:
			workflow.GetLogger(ctx).Error("holds can't be looked after; will try again", "merchant", m.id, "why", brief(err))
			pause = time.Minute
		case again:
			// The workflow of an earlier hold is about to end; then the new hold gets its own.
			pause = 15 * time.Second
		default:
			continue
		}
		if _, err := workflow.AwaitWithTimeout(ctx, pause, func() bool { return m.leaving(ctx) }); err != nil {
			return err
		}
	}
}

// tend does one step of what holds need, and reports whether to come again in a little while.
func (m *merchant) tend(ctx workflow.Context) (again bool, err error) {
	switch {
	case m.state.Recheck || m.state.RecheckAfter != 0:
		return false, m.recheck(ctx)
	case len(m.state.Releases) > 0:
		out, err := m.release(ctx, m.state.Releases[0])
		if err == nil && !out.More {
			m.state.Releases = m.state.Releases[1:]
		}
		return false, err
	case len(m.state.Cancels) > 0:
		out, err := m.cancelSome(ctx, m.state.Cancels[0])
		if err == nil && !out.More {
			m.state.Cancels = m.state.Cancels[1:]
		}
		return false, err
	}
	m.state.HoldsDue = false
	again, err = m.startHolds(ctx)
	if again || err != nil {
		m.state.HoldsDue = true
	}
	return again, err
}

// recheck looks at one page of the orders on hold for a mapping.
func (m *merchant) recheck(ctx workflow.Context) error {
	if m.state.Recheck { // from the start, also when the settings changed midway
		m.state.Recheck, m.state.RecheckAfter = false, 0
	}
	var a *activities.Activities
	var out activities.RecheckOutcome
	in := activities.RecheckInput{Merchant: m.id, After: m.state.RecheckAfter}
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.RecheckHolds, in).Get(ctx, &out); err != nil {
		m.state.Recheck = true
		return err
	}
	m.state.RecheckAfter = out.After
	m.tellHolds(ctx, out.References)
	if out.Released > 0 {
		m.wakeWarehouse(ctx)
	}
	return nil
}

// startHolds starts the missing workflows, and reports whether some must wait for
// the end of an earlier one, or for the next run.
func (m *merchant) startHolds(ctx workflow.Context) (again bool, err error) {
	var a *activities.Activities
	for in := (activities.HoldsInput{Merchant: m.id}); ; {
		var out activities.HoldsOutput
		if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.HoldsToStart, in).Get(ctx, &out); err != nil {
			return again, err
		}
		var begun []func() (running bool, err error)
		for i, h := range out.Holds {
			begun = append(begun, m.startHold(ctx, HoldInput{
				Merchant: m.id, Order: h.Order, Reference: h.Reference, Warehouse: out.Warehouse, Connector: out.Connector, Reason: h.Reason,
			}))
			if m.cares && i < len(out.Holds)-1 {
				continue // a page at once; one by one took a minute for every 600
			}
			var failed error
			for _, wait := range begun {
				running, err := wait()
				again, failed = again || running, cmp.Or(failed, err)
			}
			if failed != nil {
				return again, failed
			}
			begun, in.After = nil, h.Order
		}
		if !out.More {
			return again, nil
		}
		if m.full(ctx) {
			return true, nil
		}
	}
}

// startHold starts the workflow of one hold. What it returns waits until it has
// begun, as every run has to: a child that has not would be lost in a continue-as-new.
func (m *merchant) startHold(ctx workflow.Context, h HoldInput) (begun func() (running bool, err error)) {
	m.children++
	childCtx := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            HoldID(m.id, h.Reference),
		TaskQueue:             TaskQueue,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         fmt.Sprintf("%s on hold: %s", h.Reference, h.Reason),
		Priority:              priority(m.id, priorityResend),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			AttrMerchant.ValueSet(string(m.id)), AttrOrder.ValueSet(string(h.Reference)),
			AttrHoldReason.ValueSet(string(h.Reason)), AttrState.ValueSet(string(relay.OrderHeld))),
	})
	child := workflow.ExecuteChildWorkflow(childCtx, HoldWorkflow, h)
	return func() (bool, error) {
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		var already *temporal.ChildWorkflowExecutionAlreadyStartedError
		if errors.As(err, &already) {
			m.tellHolds(ctx, []relay.Reference{h.Reference})
			return true, nil
		}
		return false, err
	}
}
