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
	var n orderName
	r := workflows.CancelRequest{}
	cmd := a.verb(cobra.Command{
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
	}, func(ctx context.Context, _ []string) error { return a.holdOrder(ctx, n, r) })
	n.flags(cmd)
	whyFlag(cmd, &r.Reason, "reason")
	actorFlag(cmd, &r.Actor)
	return cmd
}

func (a *app) holdOrder(ctx context.Context, n orderName, r workflows.CancelRequest) error {
	l, m, err := a.merchant(ctx, n.merchant)
	if err != nil {
		return err
	}
	d, err := a.find(ctx, l, n)
	if err != nil {
		return err
	}
	r.Reference, r.Actor = d.Reference, a.actor(r.Actor)
	if err := r.Check(); err != nil {
		return &usageError{err}
	}
	// The ledger decides, under the order's lock: nothing that Temporal could add.
	hold := relay.Hold{Reason: relay.HoldOperator, Fields: []relay.Problem{{Field: "reason", Value: r.Reason, Message: "so says " + workflows.ByOperator(r.Actor)}}}
	answer, err := l.HoldOrder(ctx, d.ID, hold, workflows.ByOperator(r.Actor))
	if err != nil {
		return err
	}
	if d, err = l.Order(ctx, d.ID); err != nil {
		return err
	}
	v := answerView{Merchant: n.merchant, Reference: d.Reference, Number: d.Number, Result: string(d.State)}
	v.Answer, v.Done = holdAnswer(answer, d)
	if answer.Held {
		a.showInTemporal(ctx, m)
	}
	return a.conclude(v, v.Done)
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
