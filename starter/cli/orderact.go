package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) orderCancelCommand() *cobra.Command {
	return a.whyVerb(cobra.Command{
		Use:   "cancel",
		Short: "Cancel an order, wherever it is",
		Long: `Cancel an order, wherever it is, and print the true answer: stopped before sending,
cancelled at the warehouse, too late with the evidence, or pending when the
warehouse has not decided; then it is asked again by itself. The exit code is 0
when the order is cancelled, 1 when it is too late or pending.

The reason goes into the order's trail and into Temporal: keep personal data out.`,
		Example: `  ferry order cancel --merchant acme --order SO-1042 --reason "buyer cancelled"
  ferry order cancel --merchant acme --order 60001 --reason duplicate --actor clerk --output json`,
	}, a.cancelOrder)
}

// cancelAnswer is what a merchant's workflow answers to a cancel.
type cancelAnswer struct {
	Result string `json:"result"`
	Answer string `json:"answer"`
}

func (a *app) cancelOrder(ctx context.Context, o foundOrder, e errand) (answerView, error) {
	var out cancelAnswer
	r := workflows.CancelRequest{Reference: o.Reference, Reason: e.reason, Actor: e.actor}
	if err := a.askAbout(ctx, o, workflows.CancelOrder, r, &out); err != nil {
		return answerView{}, err
	}
	done := false
	switch out.Result {
	case "stopped_before_sending", "cancelled", "already_cancelled":
		done = true
	}
	return o.answer(out.Result, out.Answer, done), nil
}

func (a *app) orderReleaseCommand() *cobra.Command {
	return a.askVerb(cobra.Command{
		Use:   "release",
		Short: "Let an order on hold go, and submit it now",
		Long: `Let an order on hold go: submit it to the warehouse now, and print what came of it.
An order whose outcome is unknown is looked for first and never sent blindly. The
exit code is 0 when the warehouse has accepted the order, else 1.`,
		Example: `  ferry order release --merchant acme --order SO-1042
  ferry order release --merchant acme --order SO-1042 --actor clerk --output json`,
	}, &errand{}, a.releaseOrder)
}

func (a *app) releaseOrder(ctx context.Context, o foundOrder, by errand) (answerView, error) {
	r := workflows.HoldRequest{Actor: by.actor}
	if o.Hold != nil {
		r.Hold = o.Hold.Reason // no other that comes meanwhile
	}
	if err := r.Check(); err != nil {
		return answerView{}, &usageError{err}
	}
	e, err := a.engine(ctx)
	if err != nil {
		return answerView{}, err
	}
	var out workflows.HoldAnswer
	err = e.Ask(ctx, workflows.HoldID(o.Merchant, o.Reference), workflows.Release, r, &out)
	if errors.Is(err, errNoWorkflow) {
		out, err = a.releaseByMerchant(ctx, o, r)
	}
	return o.answer(string(out.State), out.Answer, accepted(out.State)), seeOrder(err)
}

// accepted reports whether the warehouse has the order, or had it and went on.
func accepted(s relay.OrderState) bool {
	switch s {
	case relay.OrderAtWarehouse, relay.OrderShipped, relay.OrderConfirmed:
		return true
	}
	return false
}

// releaseByMerchant answers where no workflow keeps the order's hold: either
// there is no hold, and the ledger knows where the order is; or the hold is so
// new that its workflow has not begun, and the merchant's can let it go.
func (a *app) releaseByMerchant(ctx context.Context, o foundOrder, r workflows.HoldRequest) (workflows.HoldAnswer, error) {
	// Read again: the hold may have ended since.
	d, err := o.ledger.Order(ctx, o.ID)
	if err != nil {
		return workflows.HoldAnswer{}, err
	}
	if d.State != relay.OrderHeld {
		return workflows.HoldAnswer{State: d.State, Answer: "not on hold: " + whereabouts(d)}, nil
	}
	var out workflows.ReleaseAnswer
	request := workflows.ReleaseRequest{References: []relay.Reference{d.Reference}, Actor: r.Actor}
	if err := a.askMerchant(ctx, d.Merchant, workflows.ReleaseOrders, request, &out); err != nil {
		return workflows.HoldAnswer{}, err
	}
	if d, err = o.ledger.Order(ctx, o.ID); err != nil {
		return workflows.HoldAnswer{}, err
	}
	if out.Released == 0 || d.State == relay.OrderHeld {
		return workflows.HoldAnswer{State: d.State, Answer: whereabouts(d)}, nil
	}
	if out.Waits != "" {
		return workflows.HoldAnswer{State: d.State, Answer: fmt.Sprintf("let go, and waits: %s; ferry merchant resume --merchant %s lets it go", out.Waits, d.Merchant)}, nil
	}
	return workflows.HoldAnswer{State: d.State, Answer: "let go; it is handed over with the next batch: " + whereabouts(d)}, nil
}

// whereabouts says in words where an order is, by the ledger.
func whereabouts(d store.OrderDetail) string {
	s := string(d.State)
	if d.State == relay.OrderHeld && d.Hold != nil {
		if d.Hold.There {
			return fmt.Sprintf("on hold, and the warehouse has it as %s: %s; cancel it there first", there(d.WarehouseOrderID, d.WarehouseStatus), d.Hold.Headline())
		}
		return "on hold: " + d.Hold.Headline()
	}
	if d.WarehouseOrderID != "" {
		s += ", warehouse order " + string(d.WarehouseOrderID)
	}
	return s
}
