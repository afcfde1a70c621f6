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
	var n orderName
	r := workflows.CancelRequest{}
	cmd := a.verb(cobra.Command{
		Use:   "cancel",
		Short: "Cancel an order, wherever it is",
		Long: `Cancel an order, wherever it is, and print the true answer: stopped before sending,
cancelled at the warehouse, too late with the evidence, or pending when the
warehouse has not decided; then it is asked again by itself. The exit code is 0
when the order is cancelled, 1 when it is too late or pending.

The reason goes into the order's trail and into Temporal: keep personal data out.`,
		Example: `  ferry order cancel --merchant acme --order SO-1042 --reason "buyer cancelled"
  ferry order cancel --merchant acme --order 60001 --reason duplicate --actor clerk --output json`,
	}, func(ctx context.Context, _ []string) error { return a.cancelOrder(ctx, n, r) })
	n.flags(cmd)
	whyFlag(cmd, &r.Reason, "reason")
	actorFlag(cmd, &r.Actor)
	return cmd
}

// cancelAnswer is what a merchant's workflow answers to a cancel.
type cancelAnswer struct {
	Result string `json:"result"`
	Answer string `json:"answer"`
}

func (a *app) cancelOrder(ctx context.Context, n orderName, r workflows.CancelRequest) error {
	var out cancelAnswer
	d, err := a.askAbout(ctx, n, workflows.CancelOrder, &out, func(ref relay.Reference) checked {
		r.Reference, r.Actor = ref, a.actor(r.Actor)
		return r
	})
	if err != nil {
		return err
	}
	v := answerView{Merchant: n.merchant, Reference: d.Reference, Number: d.Number, Result: out.Result, Answer: out.Answer}
	switch out.Result {
	case "stopped_before_sending", "cancelled", "already_cancelled":
		v.Done = true
	}
	return a.conclude(v, v.Done)
}

// askAbout asks the merchant's workflow for something about one order.
func (a *app) askAbout(ctx context.Context, n orderName, message string, answer any, request func(relay.Reference) checked) (store.OrderDetail, error) {
	l, err := a.ledger(ctx)
	if err != nil {
		return store.OrderDetail{}, err
	}
	d, err := a.find(ctx, l, n)
	if err != nil {
		return d, err
	}
	r := request(d.Reference)
	if err := r.Check(); err != nil {
		return d, &usageError{err}
	}
	if err := a.askMerchant(ctx, n.merchant, message, r, answer); err != nil {
		return d, fmt.Errorf("%w (ferry order show tells where the order is)", err)
	}
	return d, nil
}

// answerView is the true answer to a cancel, release or reopening.
type answerView struct {
	Merchant  relay.MerchantID `json:"merchant"`
	Reference relay.Reference  `json:"reference"`
	Number    string           `json:"number"`
	// Result is, of a cancel, "stopped_before_sending", "cancelled",
	// "already_cancelled", "too_late" or "pending"; of a release, the order's
	// state; of a reopening, "reopened" or "refused".
	Result string `json:"result"`
	Answer string `json:"answer"` // a sentence for people
	Done   bool   `json:"done"`   // what was asked for came about
}

func (v answerView) text(p *page) { p.line("%s: %s", v.Reference, v.Answer) }

func (a *app) orderReleaseCommand() *cobra.Command {
	var n orderName
	r := workflows.HoldRequest{}
	cmd := a.verb(cobra.Command{
		Use:   "release",
		Short: "Let an order on hold go, and submit it now",
		Long: `Let an order on hold go: submit it to the warehouse now, and print what came of it.
An order whose outcome is unknown is looked for first and never sent blindly. The
exit code is 0 when the warehouse has accepted the order, else 1.`,
		Example: `  ferry order release --merchant acme --order SO-1042
  ferry order release --merchant acme --order SO-1042 --actor clerk --output json`,
	}, func(ctx context.Context, _ []string) error { return a.releaseOrder(ctx, n, r) })
	n.flags(cmd)
	actorFlag(cmd, &r.Actor)
	return cmd
}

func (a *app) releaseOrder(ctx context.Context, n orderName, r workflows.HoldRequest) error {
	r.Actor = a.actor(r.Actor)
	if err := r.Check(); err != nil {
		return &usageError{err}
	}
	l, err := a.ledger(ctx)
	if err != nil {
		return err
	}
	d, err := a.find(ctx, l, n)
	if err != nil {
		return err
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	var out workflows.HoldAnswer
	err = e.Ask(ctx, workflows.HoldID(n.merchant, d.Reference), workflows.Release, r, &out)
	if errors.Is(err, errNoWorkflow) {
		out, err = a.releaseByMerchant(ctx, l, d, r)
	}
	if err != nil {
		return fmt.Errorf("%w (ferry order show tells where the order is)", err)
	}
	v := answerView{
		Merchant: n.merchant, Reference: d.Reference, Number: d.Number,
		Result: string(out.State), Answer: out.Answer, Done: accepted(out.State),
	}
	return a.conclude(v, v.Done)
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
func (a *app) releaseByMerchant(ctx context.Context, l ledger, d store.OrderDetail, r workflows.HoldRequest) (workflows.HoldAnswer, error) {
	// Read again: the hold may have ended since.
	d, err := l.Order(ctx, d.ID)
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
	if d, err = l.Order(ctx, d.ID); err != nil {
		return workflows.HoldAnswer{}, err
	}
	if out.Released == 0 || d.State == relay.OrderHeld {
		return workflows.HoldAnswer{State: d.State, Answer: whereabouts(d)}, nil
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
