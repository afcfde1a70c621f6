package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

func (a *app) orderHistoryCommand() *cobra.Command {
	var n orderName
	var words bool
	cmd := a.verb(cobra.Command{
		Use:   "history",
		Short: "Show all that happened to an order",
		Long: `Show all that happened to an order, oldest first, with the time (UTC) and who did
it: when it was taken in, with which versions of aliases and settings it was
translated, each request to the warehouse with its body's digest and the answer,
looks for lost replies, holds and who released them, cancels, packages, and what
the cart was told.

As JSON it also has each attempt, package and hold by itself, and each event with
all its details. What a warehouse or a check wrote is shown with --words only, for
it may quote an address.`,
		Example: `  ferry order history --merchant acme --order SO-1042
  ferry order history --merchant acme --order SO-1042 --words
  ferry order history --merchant acme --order SO-1042 --output json`,
	}, func(ctx context.Context, _ []string) error { return a.showHistory(ctx, n, words) })
	n.flags(cmd)
	cmd.Flags().BoolVar(&words, "words", false, "with the warehouse's own words; they may quote the address")
	return cmd
}

func (a *app) showHistory(ctx context.Context, n orderName, words bool) error {
	l, m, err := a.merchant(ctx, n.merchant)
	if err != nil {
		return err
	}
	d, err := a.find(ctx, l, n)
	if err != nil {
		return err
	}
	events, err := l.History(ctx, d.ID)
	if err != nil {
		return err
	}
	return a.print(historyView{
		orderDetail: newOrderDetail(d, m, a.parts.now(), false, words),
		Holds:       holdsOf(events), Events: eventsOf(d, events),
	})
}

// historyView is the whole story of an order, without its address.
type historyView struct {
	orderDetail
	Holds  []pastHold  `json:"holds"`  // oldest first; the last may last still
	Events []eventView `json:"events"` // oldest first
}

type eventView struct {
	At       time.Time       `json:"at"`
	Kind     store.EventKind `json:"kind"`
	Actor    string          `json:"actor"`
	Sentence string          `json:"sentence"`         // for people; its words may change
	Detail   json.RawMessage `json:"detail,omitempty"` // differs from kind to kind
}

func eventsOf(d store.OrderDetail, events []store.Event) []eventView {
	s := newStory(d)
	out := make([]eventView, len(events))
	for i, e := range events {
		out[i] = eventView{At: e.At.UTC(), Kind: e.Kind, Actor: e.Actor, Sentence: s.tell(e), Detail: e.Detail}
	}
	return out
}

// pastHold is one stay on hold.
type pastHold struct {
	Reason   relay.HoldReason `json:"reason"`
	Headline string           `json:"headline"`
	Since    time.Time        `json:"since"`
	Until    *time.Time       `json:"until,omitempty"` // absent while it lasts
	EndedBy  string           `json:"ended_by,omitempty"`
	End      store.EventKind  `json:"end,omitempty"` // the event that ended it
}

// endsHold are the events that take an order off hold: another hold begins a
// stay of its own, a cancel that was asked for sets an order free in any case,
// and one that the warehouse turns out to show is looked for.
var endsHold = []store.EventKind{
	store.EventHeld, store.EventReleased, store.EventSubmitting, store.EventUnknown, store.EventAccepted, store.EventAdopted,
	store.EventCancelAsked, store.EventCancelledSending, store.EventSkipped,
}

func holdsOf(events []store.Event) []pastHold {
	holds := []pastHold{}
	for _, e := range events {
		if n := len(holds); n > 0 && holds[n-1].Until == nil && slices.Contains(endsHold, e.Kind) {
			holds[n-1].Until, holds[n-1].EndedBy, holds[n-1].End = utc(e.At), e.Actor, e.Kind
		}
		if e.Kind == store.EventHeld {
			h := pastHold{Since: e.At.UTC()}
			_ = json.Unmarshal(e.Detail, &h) // what can't be read is among the events as it is
			h.Headline = cmp.Or(h.Headline, string(h.Reason))
			holds = append(holds, h)
		}
	}
	return holds
}

func (v historyView) text(p *page) {
	pairs := [][2]string{
		{"order", string(v.Reference)},
		{"number", v.Number},
		{"merchant", string(v.Merchant)},
		{"cart", string(v.Cart)},
		{"state", string(v.State)},
		{"skipped because", v.SkipReason},
		{"warehouse order", string(v.WarehouseOrderID)},
	}
	if h := v.Hold; h != nil {
		pairs = append(pairs, [2]string{"on hold", h.Headline}, [2]string{"next", h.next()})
	}
	p.pairs(pairs...)
	p.gap()
	var rows [][]string
	for _, e := range v.Events {
		rows = append(rows, []string{stamp(e.At), e.Actor, e.Sentence})
	}
	p.table([]string{"AT", "BY", "WHAT"}, rows)
	rows = nil
	for _, s := range v.Submissions {
		for _, f := range s.Fields {
			rows = append(rows, []string{strconv.Itoa(s.Attempt), f.Field, f.Message})
		}
		if s.Words != nil {
			rows = append(rows, []string{strconv.Itoa(s.Attempt), "", *s.Words})
		}
	}
	p.section("what was answered", []string{"ATTEMPT", "FIELD", "WORDS"}, rows)
}
