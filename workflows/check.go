package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// CheckInput names the connection to test.
type CheckInput struct {
	Merchant   relay.MerchantID     `json:"merchant"`
	Connection relay.ConnectionName `json:"connection"`
	Connector  string               `json:"connector"`
}

// Check is the connection test: it runs where the credentials can be opened, on a worker.
func Check(ctx workflow.Context, in CheckInput) (activities.Report, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              ConnectorQueue(in.Connector),
		StartToCloseTimeout:    time.Minute,
		ScheduleToCloseTimeout: 2 * time.Minute,
		Priority:               priority(in.Merchant, priorityCancel),
		// A person waits: once more after a passing fault, then the truth.
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, MaximumAttempts: 2},
	})
	var a *activities.Activities
	var r activities.Report
	err := workflow.ExecuteActivity(ctx, a.CheckConnection, activities.JobInput{Merchant: in.Merchant, Connection: in.Connection}).Get(ctx, &r)
	return r, err
}
