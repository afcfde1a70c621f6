package process

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"orderferry/relay"
	"orderferry/workflows"
)

// bell wakes workflows by the signals that they know, so that it works for runs
// of every form.
type bell struct{ temporal client.Client }

// Job implements activities.Bell.
func (b bell) Job(ctx context.Context, m relay.MerchantID, c relay.ConnectionName, j relay.Job) error {
	return b.temporal.SignalWorkflow(ctx, workflows.MerchantID(m), "", workflows.SyncNow, workflows.JobRequest{Connection: c, Job: j})
}

// Hold implements activities.Bell.
func (b bell) Hold(ctx context.Context, m relay.MerchantID, r relay.Reference) error {
	err := b.temporal.SignalWorkflow(ctx, workflows.HoldID(m, r), "", workflows.Look, nil)
	var ended *serviceerror.NotFound
	if errors.As(err, &ended) {
		return nil
	}
	return err
}
