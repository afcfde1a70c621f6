package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

// orderName is how an operator names an order.
type orderName struct {
	merchant  relay.MerchantID
	name      string
	reference relay.Reference
}

func (n *orderName) flags(cmd *cobra.Command) {
	merchantFlag(cmd, &n.merchant)
	cmd.Flags().StringVar(&n.name, "order", "", "the order's reference, full number or warehouse order id, as a `name`")
	cmd.Flags().Var(word(&n.reference, relay.ParseReference, "reference"), "reference", "the order's reference only, where --order names several")
	needs(cmd, "merchant")
	needsOne(cmd, "order", "reference")
	cmd.MarkFlagsMutuallyExclusive("order", "reference")
}

// find reads the one order with this name. A name of several orders is refused:
// none of them is better than the others, least of all for a cancel.
func (a *app) find(ctx context.Context, l ledger, n orderName) (store.OrderDetail, error) {
	if n.reference != "" {
		id, err := l.OrderByReference(ctx, n.merchant, n.reference)
		if err != nil {
			return store.OrderDetail{}, err
		}
		return l.Order(ctx, id)
	}
	name := strings.TrimSpace(n.name)
	list, err := l.FindOrders(ctx, n.merchant, name)
	if err != nil {
		return store.OrderDetail{}, err
	}
	switch len(list) {
	case 0:
		if _, err := known(ctx, l, n.merchant); err != nil {
			return store.OrderDetail{}, err
		}
		return store.OrderDetail{}, fmt.Errorf("order %q of merchant %s: %w", clip(name), n.merchant, store.ErrNotFound)
	case 1:
		return l.Order(ctx, list[0].ID)
	}
	for _, o := range list {
		a.say("  --reference %s  number %s, cart %s, %s, placed %s", o.Reference, o.Number, o.Cart, o.State, stamp(o.PlacedAt))
	}
	return store.OrderDetail{}, usagef("order %q of merchant %s names %s: say which with --reference", clip(name), n.merchant, relay.Many(len(list), "order"))
}

// foundOrder is the one order that an operator named.
type foundOrder struct {
	store.OrderDetail
	owner  store.Merchant
	ledger ledger
}

// order opens the ledger and finds an order in it.
func (a *app) order(ctx context.Context, n orderName) (foundOrder, error) {
	l, m, err := a.merchant(ctx, n.merchant)
	if err != nil {
		return foundOrder{}, err
	}
	d, err := a.find(ctx, l, n)
	return foundOrder{d, m, l}, err
}

// showVerb shows the order that is named; words, what the warehouse wrote of it.
func (a *app) showVerb(c cobra.Command, show func(ctx context.Context, o foundOrder, words bool) (result, error)) *cobra.Command {
	var n orderName
	var words bool
	cmd := a.verb(c, func(ctx context.Context, _ []string) error {
		o, err := a.order(ctx, n)
		if err != nil {
			return err
		}
		v, err := show(ctx, o, words)
		if err != nil {
			return err
		}
		return a.print(v)
	})
	n.flags(cmd)
	cmd.Flags().BoolVar(&words, "words", false, "with the warehouse's own words; they may quote the address")
	return cmd
}

// errand is who asks for something, and why.
type errand struct{ reason, actor string }

// askVerb asks for something about the order that is named, and prints the true answer.
func (a *app) askVerb(c cobra.Command, e *errand, ask func(context.Context, foundOrder, errand) (answerView, error)) *cobra.Command {
	var n orderName
	cmd := a.verb(c, func(ctx context.Context, _ []string) error {
		o, err := a.order(ctx, n)
		if err != nil {
			return err
		}
		v, err := ask(ctx, o, errand{e.reason, a.actor(e.actor)})
		if err != nil {
			return err
		}
		return a.conclude(v, v.Done)
	})
	n.flags(cmd)
	actorFlag(cmd, &e.actor)
	return cmd
}

// whyVerb is an askVerb that needs a reason.
func (a *app) whyVerb(c cobra.Command, ask func(context.Context, foundOrder, errand) (answerView, error)) *cobra.Command {
	var e errand
	cmd := a.askVerb(c, &e, ask)
	whyFlag(cmd, &e.reason, "reason")
	return cmd
}

// askAbout asks the merchant's workflow for something about one order.
func (a *app) askAbout(ctx context.Context, o foundOrder, message string, request checked, answer any) error {
	if err := request.Check(); err != nil {
		return &usageError{err}
	}
	return seeOrder(a.askMerchant(ctx, o.Merchant, message, request, answer))
}

// seeOrder adds to an error where to look after it.
func seeOrder(err error) error {
	if err != nil {
		return fmt.Errorf("%w (ferry order show tells where the order is)", err)
	}
	return nil
}

// answerView is the true answer to a cancel, release, hold or reopening.
type answerView struct {
	Merchant  relay.MerchantID `json:"merchant"`
	Reference relay.Reference  `json:"reference"`
	Number    string           `json:"number"`
	// Result is, of a cancel, "stopped_before_sending", "cancelled",
	// "already_cancelled", "too_late", "pending" or "reopened_since"; of a release or a hold, the
	// order's state; of a reopening, "reopened" or "refused".
	Result string `json:"result"`
	Answer string `json:"answer"` // a sentence for people
	Done   bool   `json:"done"`   // what was asked for came about
}

func (o foundOrder) answer(result, answer string, done bool) answerView {
	return answerView{o.Merchant, o.Reference, o.Number, result, answer, done}
}

func (v answerView) text(p *page) { p.line("%s: %s", v.Reference, v.Answer) }
