package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

func (a *app) orderHistoryCommand() *cobra.Command {
	return a.showVerb(cobra.Command{
		Use:   "history",
		Short: "Show all that happened to an order",
		Long: `Show all that happened to an order, oldest first, with the time (UTC) and who did
it: when it was taken in, with which versions of mappings and settings it was
translated, each request to the warehouse with its body's digest and the answer,
looks for lost replies, holds and who released them, cancels, packages, and what
the cart was told. Below is who brought about those versions of the mappings when.

As JSON it also has each attempt, package and hold by itself, and each event with
all its details. What a warehouse or a check wrote is shown with --words only, for
it may quote an address.`,
		Example: `  ferry order history --merchant acme --order SO-1042
  ferry order history --merchant acme --order SO-1042 --words
  ferry order history --merchant acme --order SO-1042 --output json`,
	}, a.history)
}

func (a *app) history(ctx context.Context, o foundOrder, words bool) (result, error) {
	events, err := o.ledger.History(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	var versions []int64
	for _, s := range o.Submissions {
		versions = append(versions, s.MappingsVersion)
	}
	mappings, err := o.ledger.MappingVersions(ctx, o.Merchant, versions)
	if err != nil {
		return nil, err
	}
	for i := range mappings {
		mappings[i].At = mappings[i].At.UTC()
	}
	return historyView{
		orderDetail: newOrderDetail(o.OrderDetail, o.owner, a.parts.now(), false, words),
		Holds:       holdsOf(events), Events: eventsOf(o.OrderDetail, events), Mappings: orNone(mappings),
	}, nil
}

// historyView is the whole story of an order, without its address.
type historyView struct {
	orderDetail
	Holds  []pastHold  `json:"holds"`  // oldest first; the last may last still
	Events []eventView `json:"events"` // oldest first
	// Mappings are the versions of mappings that attempts were translated with, and who brought them about.
	Mappings []store.MappingVersion `json:"mappings"`
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
	rows = nil
	for _, m := range v.Mappings {
		version := strconv.FormatInt(m.Version, 10)
		see := fmt.Sprintf("ferry %s history --merchant %s --version %s", m.Kind, v.Merchant, version)
		rows = append(rows, []string{version, stamp(m.At), m.Actor, relay.Many(m.Changes, string(m.Kind)+" change"), see})
	}
	p.section("mappings that it was translated with", []string{"VERSION", "SINCE", "BY", "BROUGHT", "SEE"}, rows)
}
