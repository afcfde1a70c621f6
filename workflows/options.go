package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/relay"
)

// Priorities, from 1 (first) to 5: cancels and tracking before fresh orders
// before nightly resends before inventory.
const (
	priorityCancel  = 1
	priorityTrack   = 2
	priorityOrders  = 3
	priorityResend  = 4
	priorityStock   = 5
	heartbeatWithin = 15 * time.Second
)

func priorityOf(j relay.Job) int {
	switch j {
	case relay.PullShipments, relay.PushShipments:
		return priorityTrack
	case relay.PullInventory, relay.PushInventory, relay.Reconcile:
		return priorityStock
	}
	return priorityOrders
}

func priority(m relay.MerchantID, key int) temporal.Priority {
	return temporal.Priority{PriorityKey: key, FairnessKey: string(m)}
}

// onLedger is for steps that need only Postgres. They are tried until the
// database is back: some seconds, or hours, of database trouble must not end a
// workflow.
func onLedger(ctx workflow.Context, m relay.MerchantID) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           TaskQueue,
		StartToCloseTimeout: time.Minute,
		Priority:            priority(m, priorityOrders),
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Minute},
	})
}

// onAlerts is for a look at alerts. It comes again in minutes, so it is not tried for long.
func onAlerts(ctx workflow.Context, m relay.MerchantID) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              AlertsQueue,
		StartToCloseTimeout:    5 * time.Minute,
		ScheduleToCloseTimeout: 15 * time.Minute,
		HeartbeatTimeout:       heartbeatWithin,
		Priority:               priority(m, priorityOrders),
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 3, MaximumInterval: time.Minute, MaximumAttempts: 3},
	})
}

// onVendor is for one run of a job. It works in turns of about half a minute
// and heartbeats, so a worker that died is noticed soon. It is tried a few
// times over a few minutes; then the job is marked failing, for all to see, and
// waits for its next turn.
func onVendor(ctx workflow.Context, m relay.MerchantID, connector string, j relay.Job) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              ConnectorQueue(connector),
		StartToCloseTimeout:    15 * time.Minute,
		ScheduleToCloseTimeout: 30 * time.Minute,
		HeartbeatTimeout:       heartbeatWithin,
		Priority:               priority(m, priorityOf(j)),
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 3, MaximumInterval: time.Minute, MaximumAttempts: 5},
	})
}

// onResend is for the resend of one held order: in the morning rush it may wait
// its turn for hours. At the bound the order stays on hold until the next night.
func onResend(ctx workflow.Context, m relay.MerchantID, connector string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              ConnectorQueue(connector),
		StartToCloseTimeout:    5 * time.Minute,
		ScheduleToCloseTimeout: 6 * time.Hour,
		HeartbeatTimeout:       heartbeatWithin,
		Priority:               priority(m, priorityResend),
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 2 * time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute, MaximumAttempts: 20},
	})
}

// onCancel is for a cancel that a person waits for. Only its bound ends it: minutes of
// database trouble do not lose a cancel. At the bound they hear that it failed.
func onCancel(ctx workflow.Context, m relay.MerchantID, connector string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              ConnectorQueue(connector),
		StartToCloseTimeout:    2 * time.Minute,
		ScheduleToCloseTimeout: 10 * time.Minute,
		Priority:               priority(m, priorityCancel),
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second},
	})
}
