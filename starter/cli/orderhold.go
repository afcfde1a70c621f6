package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) orderHoldCommand() *cobra.Command {
	return a.whyVerb(cobra.Command{
		Use:   "hold",
		Short: "Put an order on hold that waits to be sent",
		Long: `Put an order on hold that waits to be sent: it is sent no more, by no clock and no
stock that comes, until a person releases or cancels it. An order that is on hold
already gets this for its reason, unless it waits for a person anyway. Nothing is
held that the warehouse has or may have: for that there is ferry order cancel. The
exit code is 0 when the order is on hold, 1 when it is too late.

The reason goes into the order's trail and into Temporal: keep personal data out.`,
		Example: `  ferry order hold --merchant acme --order SO-1042 --reason "asked the buyer"
  ferry order hold --merchant acme --order SO-1042 --reason fraud --actor clerk --output json
  ferry order release --merchant acme --order SO-1042`,
	}, a.holdOrder)
}

func (a *app) holdOrder(ctx context.Context, o foundOrder, e errand) (answerView, error) {
	r := workflows.CancelRequest{Reference: o.Reference, Reason: e.reason, Actor: e.actor}
	if err := r.Check(); err != nil {
		return answerView{}, &usageError{err}
	}
	// The ledger decides, under the order's lock: nothing that Temporal could add.
	by := workflows.ByOperator(e.actor)
	hold := relay.Hold{Reason: relay.HoldOperator, Fields: []relay.Problem{{Field: "reason", Value: e.reason, Message: "so says " + by}}}
	answer, err := o.ledger.HoldOrder(ctx, o.ID, hold, by)
	if err != nil {
		return answerView{}, err
	}
	if o.OrderDetail, err = o.ledger.Order(ctx, o.ID); err != nil {
		return answerView{}, err
	}
	if answer.Held {
		a.showInTemporal(ctx, o.owner)
	}
	words, done := holdAnswer(answer, o.OrderDetail)
	return o.answer(string(o.State), words, done), nil
}

// showInTemporal has the merchant's workflow begin the hold's own; it begins within
// minutes without, and the hold stands in any case.
func (a *app) showInTemporal(ctx context.Context, m store.Merchant) {
	var jobs workflows.JobAnswer
	err := a.askMerchant(ctx, m.ID, workflows.SyncNow, workflows.JobRequest{Connection: m.Warehouse.Name, Job: relay.SubmitOrders}, &jobs)
	if err != nil {
		a.say("the order is on hold; that it shows in Temporal may take some minutes: %v", err)
	}
}

// holdAnswer says what came of putting an order on hold, and whether it is.
func holdAnswer(answer store.HoldAnswer, d store.OrderDetail) (string, bool) {
	switch {
	case answer.Held:
		return "on hold until a person releases or cancels it", true
	case answer.State == relay.OrderHeld && answer.Reason == relay.HoldOperator:
		return "a person had put it on hold already; it is " + whereabouts(d), true
	case answer.State == relay.OrderHeld && d.Hold != nil && d.Hold.There:
		return "too late: " + whereabouts(d), false
	case answer.State == relay.OrderHeld:
		return "too late: it may be at the warehouse; it is " + whereabouts(d), false
	case answer.State == relay.OrderSubmitting || answer.State == relay.OrderInDoubt:
		return "too late: it is being handed over just now; ferry order cancel stops it as soon as the outcome is known", false
	case accepted(answer.State) || answer.State == relay.OrderCancelRequested:
		return fmt.Sprintf("too late: %s; ferry order cancel tells whether it can be stopped", whereabouts(d)), false
	}
	return "nothing to hold: it is " + whereabouts(d), false
}
