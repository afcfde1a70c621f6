package activities

import (
	"context"

	"orderferry/relay"
)

// Bell wakes workflows for which the ledger has news. It is rung once the news is
// written, and may fail or be lost: whoever was not woken looks by itself later.
type Bell interface {
	// Job has a job of a merchant run at once.
	Job(ctx context.Context, m relay.MerchantID, c relay.ConnectionName, j relay.Job) error
	// Hold has the workflow of an order on hold look at it. One that has ended needs no telling.
	Hold(ctx context.Context, m relay.MerchantID, r relay.Reference) error
}

// ringJob has a job run at once, where a workflow can't be told by a step's result.
func (a *Activities) ringJob(ctx context.Context, m relay.MerchantID, c relay.ConnectionName, j relay.Job) {
	if a.opt.Bell == nil {
		return
	}
	if err := a.opt.Bell.Job(ctx, m, c, j); err != nil {
		a.log.Warn("could not wake a job; it is woken at the next look at alerts", "merchant", m, "connection", c, "job", j, "error", err)
	}
}

// ringHolds has holds looked at that ended in another way than by their
// workflows, the first 200 of them; the others look by themselves within a day.
func (a *Activities) ringHolds(ctx context.Context, m relay.MerchantID, refs []relay.Reference) {
	if a.opt.Bell == nil {
		return
	}
	for _, r := range refs[:min(len(refs), mostWoken)] {
		if err := a.opt.Bell.Hold(ctx, m, r); err != nil {
			a.log.Warn("could not wake a hold; it looks by itself within a day", "merchant", m, "order", r, "error", err)
			return // the others would fail as well
		}
	}
}
