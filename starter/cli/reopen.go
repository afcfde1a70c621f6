package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) orderReopenCommand() *cobra.Command {
	return a.whyVerb(cobra.Command{
		Use:   "reopen",
		Short: "Send a cancelled order anew",
		Long: `Send a cancelled order anew, with the content that its cart tells now: as a new
attempt, with a new token. It has to be ready at its cart, and the warehouse has to
have confirmed the cancel, for what it cancelled is not watched any more. The exit
code is 0 when the order is on its way again, else 1.

The reason goes into the order's trail and into Temporal: keep personal data out.`,
		Example: `  ferry order reopen --merchant acme --order SO-1042 --reason "the buyer wants it after all"
  ferry order reopen --merchant acme --order 60001 --reason mistaken --actor clerk --output json`,
	}, a.reopenOrder)
}

// reopenAnswer is what a merchant's workflow answers to a reopening.
type reopenAnswer struct {
	Answer   string `json:"answer"`
	Reopened bool   `json:"reopened"`
}

func (a *app) reopenOrder(ctx context.Context, o foundOrder, e errand) (answerView, error) {
	var out reopenAnswer
	r := workflows.ReopenRequest{Reference: o.Reference, Reason: e.reason, Actor: e.actor}
	if err := a.askAbout(ctx, o, workflows.ReopenOrder, r, &out); err != nil {
		return answerView{}, err
	}
	result := "refused"
	if out.Reopened {
		result = "reopened"
	}
	return o.answer(result, out.Answer, out.Reopened), nil
}

// decisionView is what a cart or a warehouse says of an order that waits for a person to decide.
type decisionView struct {
	Kind         store.EventKind     `json:"kind"`
	At           time.Time           `json:"at"`
	Changes      []relay.Difference  `json:"changes,omitempty"` // at most 50
	ChangesInAll int                 `json:"changes_in_all,omitempty"`
	Left         []relay.ShippedLine `json:"left,omitempty"` // what did not leave
	Next         string              `json:"next"`
	left         []string            // in words
}

// decisions are what the trail leaves open for a person.
func decisions(d store.OrderDetail, events []store.Event) []decisionView {
	open := make(map[store.EventKind]store.Event)
	for _, e := range events {
		switch e.Kind {
		case store.EventChangedTooLate, store.EventBackAtCart, store.EventShippedShort:
			open[e.Kind] = e
		case store.EventChangedBack, store.EventChangedAtCart:
			delete(open, store.EventChangedTooLate)
		case store.EventCancelAsked, store.EventCancelToldCart:
			delete(open, store.EventBackAtCart)
		case store.EventReopened:
			clear(open)
		}
	}
	if d.State.MayReopen() { // then what was submitted is no matter any more
		delete(open, store.EventChangedTooLate)
	}
	var out []decisionView
	for _, kind := range []store.EventKind{store.EventChangedTooLate, store.EventBackAtCart, store.EventShippedShort} {
		if e, ok := open[kind]; ok {
			v := decisionView{Next: nextAfter(kind, d)}
			_ = json.Unmarshal(e.Detail, &v) // an older event tells no changes
			v.Kind, v.At = kind, e.At.UTC()
			if kind == store.EventShippedShort {
				if v.Left = leftSince(v, d.Shipments); len(v.Left) == 0 || d.CancelAskedAt != nil {
					continue
				}
				v.left = newStory(d).contents(v.Left)
			}
			out = append(out, v)
		}
	}
	return out
}

// leftSince is what has not left after it was said to be left.
func leftSince(v decisionView, shipments []store.ShipmentDetail) []relay.ShippedLine {
	left := slices.Clone(v.Left)
	for _, s := range shipments {
		if !s.SeenAt.After(v.At) {
			continue
		}
		for _, l := range s.Lines {
			if i := slices.IndexFunc(left, func(missing relay.ShippedLine) bool { return missing.Line == l.Line }); i >= 0 {
				left[i].Units -= l.Units
			}
		}
	}
	return slices.DeleteFunc(left, func(l relay.ShippedLine) bool { return l.Units <= 0 })
}

// nextAfter says what a person can do about it.
func nextAfter(kind store.EventKind, d store.OrderDetail) string {
	verb := func(v string) string {
		return fmt.Sprintf("`ferry order %s --merchant %s --reference %s --reason ...`", v, d.Merchant, d.Reference)
	}
	switch {
	case kind == store.EventBackAtCart && d.State.MayReopen():
		return verb("reopen") + " sends it anew; " + verb("cancel") + " leaves it cancelled, and tells a cart that takes cancels"
	case kind == store.EventBackAtCart:
		return "its cart took its cancel back; see where the order ends, then decide"
	case kind == store.EventShippedShort:
		return "nothing more is sent: ask the warehouse, and refund the rest or send it as a new order"
	}
	switch d.State {
	case relay.OrderShipped, relay.OrderConfirmed:
		return "it has left as it was submitted: settle the difference with the buyer"
	case relay.OrderSubmitting, relay.OrderInDoubt, relay.OrderHeld:
		return "taken over by itself, should the warehouse not have the order"
	}
	return verb("cancel") + " and enter it anew at the cart, or accept it as it was submitted"
}

func (v decisionView) text(p *page) {
	title := map[store.EventKind]string{
		store.EventChangedTooLate: "changed at the cart after it was submitted",
		store.EventBackAtCart:     "cancelled, and ready again at the cart",
		store.EventShippedShort:   "shipped short",
	}[v.Kind]
	p.gap()
	p.line("%s, seen %s", title, stamp(v.At))
	for _, c := range v.Changes {
		p.line("  %s", c)
	}
	if more := v.ChangesInAll - len(v.Changes); more > 0 {
		p.line("  and %d more", more)
	}
	for _, l := range v.left {
		p.line("  %s did not leave", l)
	}
	p.line("  next: %s", v.Next)
}
