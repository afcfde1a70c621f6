package activities

import (
	"context"
	"fmt"
	"time"

	"orderferry/relay"
	"orderferry/store"
)

// ReopenInput names a cancelled order to send anew, by reference.
type ReopenInput struct {
	Merchant  relay.MerchantID `json:"merchant"`
	Reference relay.Reference  `json:"reference"`
	Actor     string           `json:"actor"`
	Reason    string           `json:"reason"`
	Asked     time.Time        `json:"asked,omitzero"` // as CancelInput's
}

// ReopenOutcome is the true answer.
type ReopenOutcome struct {
	Answer   string `json:"answer"` // a sentence for people
	Reopened bool   `json:"reopened,omitempty"`
}

// ReopenOrder has a cancelled order sent anew, with the content that its cart
// told last, or says why not.
func (a *Activities) ReopenOrder(ctx context.Context, in ReopenInput) (ReopenOutcome, error) {
	id, err := a.store.OrderByReference(ctx, in.Merchant, in.Reference)
	if err != nil {
		return ReopenOutcome{}, err
	}
	r, err := a.store.ReopenOrder(ctx, id, store.ReopenAsk{Actor: in.Actor, Reason: in.Reason, Asked: askedAt(ctx, in.Asked)})
	if err != nil {
		return ReopenOutcome{}, err
	}
	out := ReopenOutcome{Reopened: r.Standing == store.Reopened || r.Standing == store.AlreadyReopened}
	switch r.Standing {
	case store.Reopened:
		out.Answer = "reopened: it is handed over anew, as " + string(r.Cart) + " tells it now"
		if r.WarehouseOrderID != "" {
			out.Answer += fmt.Sprintf("; the warehouse cancelled %s before", r.WarehouseOrderID)
		}
	case store.AlreadyReopened:
		out.Answer = "it was reopened already: it is " + string(r.State)
	case store.NotCancelled:
		out.Answer = fmt.Sprintf("not cancelled: it is %s, and there is nothing to reopen", r.State)
	case store.CancelUnconfirmed:
		out.Answer = fmt.Sprintf("not yet: it is %s, and a cancel of it has no answer; it can be reopened once the warehouse has confirmed the cancel", r.State)
	case store.CancelledAtCart:
		out.Answer = fmt.Sprintf("no: as far as we know it is cancelled at %s too; make it ready there first, or enter it there as a new order", r.Cart)
	case store.TellingCart:
		out.Answer = fmt.Sprintf("no: %s is just being told of the cancel; make the order ready there again, or enter it there as a new order", r.Cart)
	case store.CancelledSince:
		out.Answer = "no: it was cancelled after this was asked for, and stays so; ask again if it is to be sent"
	case store.CartTakenAway:
		out.Answer = fmt.Sprintf("no: its cart %s was taken away, and nobody would tell it of the parcels; onboard the merchant with it again first", r.Cart)
	}
	return out, nil
}
