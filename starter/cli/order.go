package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// orderLedger is what the ledger knows of orders.
type orderLedger interface {
	Orders(ctx context.Context, q store.OrderQuery) ([]store.OrderSummary, error)
	FindOrders(ctx context.Context, m relay.MerchantID, name string) ([]store.OrderSummary, error)
	OrderByReference(ctx context.Context, m relay.MerchantID, r relay.Reference) (relay.OrderID, error)
	Order(ctx context.Context, id relay.OrderID) (store.OrderDetail, error)
	History(ctx context.Context, id relay.OrderID) ([]store.Event, error)
}

func (a *app) orderCommand() *cobra.Command {
	group := a.group("order", "List, show, hold, cancel, release and reopen orders", "List, show, hold, cancel, release and reopen orders.", `  ferry order list --merchant acme --state held
  ferry order show --merchant acme --order SO-1042
  ferry order cancel --merchant acme --order SO-1042 --reason "buyer cancelled"`)
	group.AddCommand(a.orderListCommand(), a.orderShowCommand(), a.orderHistoryCommand(), a.orderHoldCommand(), a.orderCancelCommand(), a.orderReleaseCommand(), a.orderReopenCommand(), a.orderTestCommand())
	return group
}

func (a *app) orderListCommand() *cobra.Command {
	var q orderSearch
	var words bool
	cmd := a.verb(cobra.Command{
		Use:   "list",
		Short: "List orders",
		Long: `List a merchant's orders, those first that were seen first or, with --latest, last.
An order on hold tells the reason and what comes next, one that is skipped why the
cart's filter leaves it out, and one that is to be sent, looked for or cancelled when
that is, or why it waits. What a warehouse or a check wrote is shown with --words only,
for it may quote an address.

A list that is longer than --limit goes on with --after and its last order.`,
		Example: `  ferry order list --merchant acme
  ferry order list --merchant acme --latest --limit 20
  ferry order list --merchant acme --cart main --after SO-1042
  ferry order list --merchant acme --state new --state submitting
  ferry order list --merchant acme --state skipped
  ferry order list --merchant acme --unshipped
  ferry order list --merchant acme --reason insufficient_inventory --output json`,
	}, func(ctx context.Context, _ []string) error { return a.listOrders(ctx, q, words) })
	merchantFlag(cmd, &q.Merchant)
	cmd.Flags().Var(wordList(&q.States, relay.ParseOrderState, "state"), "state", "only orders in this state; may be repeated")
	cmd.Flags().Var(word(&q.Reason, relay.ParseHoldReason, "reason"), "reason", "only orders on hold for this reason")
	cmd.Flags().BoolVar(&q.unshipped, "unshipped", false, "only orders that their warehouse has for so long that people are called, and of which not all has left")
	cmd.Flags().Var(word(&q.Cart, relay.ParseConnectionName, "name"), "cart", "only orders of this cart")
	cmd.Flags().BoolVar(&q.Latest, "latest", false, "those first that were seen last")
	cmd.Flags().Var(word(&q.after, relay.ParseReference, "reference"), "after", "only orders behind the one with this `reference` in the list")
	cmd.Flags().BoolVar(&words, "words", false, "with the warehouse's own words on orders on hold; they may quote an address")
	limitFlag(cmd, &q.Limit)
	needs(cmd, "merchant")
	return cmd
}

// orderSearch is what orders are listed by.
type orderSearch struct {
	store.OrderQuery
	unshipped bool            // only those that their warehouse has for longer than the merchant lets it
	after     relay.Reference // only those behind this one
}

func (a *app) listOrders(ctx context.Context, q orderSearch, words bool) error {
	now := a.parts.now()
	var waits string
	asked := false
	list, more, err := ordersAs(ctx, a, q, func(o store.OrderSummary, m store.Merchant) orderView {
		v := newOrderView(o, m, now, words)
		if isDue(o.State) {
			if !asked {
				waits, asked = a.standstill(ctx, m), true
			}
			v.Waits = waits
		}
		return v
	})
	if err != nil {
		return err
	}
	if more {
		a.say("--after %s goes on behind them", list[len(list)-1].Reference)
	}
	return a.print(ordersView{list, more, now})
}

// isDue reports whether submit_orders is to do something about an order in this state:
// send it, look for it or have it cancelled.
func isDue(s relay.OrderState) bool {
	return s == relay.OrderNew || s == relay.OrderInDoubt || s == relay.OrderCancelRequested
}

// standstill says why a merchant's submit_orders does nothing for now; "" when it does.
func (a *app) standstill(ctx context.Context, m store.Merchant) string {
	if !m.PausedAt.IsZero() {
		return "the merchant is paused"
	}
	if w := m.StoredWarehouse(); !w.StoppedAt.IsZero() {
		return fmt.Sprintf("connection %s is stopped: %s", w.Name, w.StoppedReason)
	}
	s, err := a.standing(ctx, m.ID)
	if err != nil { // only the workflow knows of a single job
		a.say("whether submit_orders is paused is not known: %v", err)
	}
	for _, j := range s.Jobs {
		if j.Job == relay.SubmitOrders {
			return j.Waits
		}
	}
	return ""
}

// ordersAs reads orders of one merchant or, where none is asked for, of all, and
// makes a view of each. It says on stderr when there are more than asked for.
func ordersAs[V any](ctx context.Context, a *app, q orderSearch, view func(store.OrderSummary, store.Merchant) V) (views []V, more bool, err error) {
	l, err := a.ledgerOf(ctx, q.Merchant)
	if err != nil {
		return nil, false, err
	}
	merchants, err := l.Merchants(ctx)
	if err != nil {
		return nil, false, err
	}
	byID := make(map[relay.MerchantID]store.Merchant, len(merchants))
	for _, m := range merchants {
		byID[m.ID] = m
	}
	if q.unshipped {
		q.Unshipped = a.parts.now().Add(-byID[q.Merchant].Alerts.MayStay())
	}
	if q.after != "" {
		if q.After, err = l.OrderByReference(ctx, q.Merchant, q.after); err != nil {
			return nil, false, err
		}
	}
	list, more, err := limited(a, q.Limit, func(n int) ([]store.OrderSummary, error) {
		q.Limit = n
		return l.Orders(ctx, q.OrderQuery)
	})
	views = make([]V, len(list))
	for i, o := range list {
		views[i] = view(o, byID[o.Merchant])
	}
	return views, more, err
}

type ordersView struct {
	Orders []orderView `json:"orders"`
	More   bool        `json:"more"` // there are more than asked for

	now time.Time
}

// orderView is an order without its address.
type orderView struct {
	Merchant         relay.MerchantID       `json:"merchant"`
	Cart             relay.ConnectionName   `json:"cart"`
	Number           string                 `json:"number"`
	Reference        relay.Reference        `json:"reference"`
	State            relay.OrderState       `json:"state"`
	WarehouseOrderID relay.WarehouseOrderID `json:"warehouse_order_id,omitempty"`
	WarehouseStatus  string                 `json:"warehouse_status,omitempty"`
	Hold             *holdView              `json:"hold,omitempty"`
	SkipReason       string                 `json:"skip_reason,omitempty"` // why the cart's filter leaves it out
	PlacedAt         *time.Time             `json:"placed_at"`
	SeenAt           *time.Time             `json:"seen_at"`
	UpdatedAt        *time.Time             `json:"updated_at"`
	CancelAskedAt    *time.Time             `json:"cancel_asked_at,omitempty"`
	AcceptedAt       *time.Time             `json:"accepted_at,omitempty"` // by the warehouse
	// AnswerDue is by when a warehouse that has only received the order should say yes or no.
	AnswerDue *time.Time `json:"answer_due,omitempty"`
	// Waits is why an order is not sent, looked for or cancelled for now.
	Waits string `json:"waits,omitempty"`
	// RetryAt is when a new order may be sent that could not be, one in doubt is looked
	// for, or its warehouse is asked for a cancel.
	RetryAt *time.Time `json:"retry_at,omitempty"`
}

func newOrderView(o store.OrderSummary, m store.Merchant, now time.Time, words bool) orderView {
	v := orderView{
		Merchant: o.Merchant, Cart: o.Cart, Number: o.Number, Reference: o.Reference, State: o.State,
		WarehouseOrderID: o.WarehouseOrderID, WarehouseStatus: o.WarehouseStatus, SkipReason: o.SkipReason,
		PlacedAt: utc(o.PlacedAt), SeenAt: utc(o.SeenAt), UpdatedAt: utc(o.UpdatedAt), CancelAskedAt: utcOf(o.CancelAskedAt), AnswerDue: utcOf(o.AnswerDue), AcceptedAt: utcOf(o.AcceptedAt),
		RetryAt: utcOf(o.RetryAt),
	}
	if o.Hold != nil {
		v.Hold = newHoldView(*o.Hold, m, workflows.HoldID(o.Merchant, o.Reference), now, words)
	}
	return v
}

// next is what comes next of an order that waits for a step of ours, and when.
func (v orderView) next() string {
	at := ""
	switch {
	case v.Waits != "":
		at = ", waits: " + v.Waits
	case v.RetryAt != nil:
		at = ", next at " + stampOf(v.RetryAt)
	}
	switch v.State {
	case relay.OrderNew:
		switch {
		case v.Waits != "":
			return "waits: " + v.Waits
		case v.RetryAt != nil:
			return "could not be sent: again at " + stampOf(v.RetryAt)
		}
		return "goes with the next batch"
	case relay.OrderInDoubt:
		return "whether it arrived is not known: to be looked for at the warehouse" + at
	case relay.OrderCancelRequested:
		return "to be cancelled at the warehouse" + at // which may take no cancels
	}
	return ""
}

// status is how the warehouse calls it, or that it has not answered yet.
func (v orderView) status() string {
	if v.State == relay.OrderNew { // no warehouse has it
		return ""
	}
	if v.AnswerDue == nil {
		return v.WarehouseStatus
	}
	s := "received, no answer yet, due " + stampOf(v.AnswerDue)
	if v.WarehouseStatus != "" {
		s += " (" + v.WarehouseStatus + ")"
	}
	return s
}

func (v ordersView) text(p *page) {
	if len(v.Orders) == 0 {
		p.line("no such orders")
		return
	}
	var rows [][]string
	for _, o := range v.Orders {
		what := cmp.Or(o.SkipReason, o.next(), o.status())
		if o.Hold != nil {
			what = o.Hold.brief + "; " + o.Hold.next()
		}
		rows = append(rows, []string{string(o.Reference), o.Number, string(o.Cart), string(o.State), string(o.WarehouseOrderID), age(v.now.Sub(*o.SeenAt)), what})
	}
	p.table([]string{"REFERENCE", "NUMBER", "CART", "STATE", "WAREHOUSE ORDER", "AGE", "STATUS OR REASON"}, rows)
	for _, o := range v.Orders {
		if o.Hold != nil {
			o.Hold.words(p, string(o.Reference))
		}
	}
}

func (a *app) orderShowCommand() *cobra.Command {
	var address bool
	cmd := a.showVerb(cobra.Command{
		Use:   "show",
		Short: "Show an order",
		Long: `Show an order: its state, why it is on hold or skipped and what comes next, its
lines, each attempt to hand it to the warehouse, and its packages. The address is personal
data, so it is shown with --address only; likewise what a warehouse or a check
wrote, with --words.`,
		Example: `  ferry order show --merchant acme --order SO-1042
  ferry order show --merchant acme --reference SO-1042 --address --output json`,
	}, func(ctx context.Context, o foundOrder, words bool) (result, error) {
		events, err := o.ledger.History(ctx, o.ID)
		if err != nil {
			return nil, err
		}
		v := newOrderDetail(o.OrderDetail, o.owner, a.parts.now(), address, words)
		if isDue(o.State) {
			v.Waits = a.standstill(ctx, o.owner)
		}
		v.Decisions = decisions(o.OrderDetail, events)
		return v, nil
	})
	cmd.Flags().BoolVar(&address, "address", false, "with the address, which is personal data")
	return cmd
}

type orderDetail struct {
	orderView
	ShipMethod  relay.ShipMethod         `json:"ship_method,omitempty"`
	ShipTo      *relay.Address           `json:"ship_to,omitempty"` // with --address
	Lines       []relay.Line             `json:"lines"`
	Submissions []store.SubmissionDetail `json:"submissions"`
	Shipments   []store.ShipmentDetail   `json:"shipments"`
	Decisions   []decisionView           `json:"decisions,omitempty"` // what waits for a person
}

func newOrderDetail(d store.OrderDetail, m store.Merchant, now time.Time, address, words bool) orderDetail {
	v := orderDetail{
		orderView: newOrderView(d.OrderSummary, m, now, words), ShipMethod: d.ShipMethod,
		Lines: orNone(d.Lines), Submissions: orNone(slices.Clone(d.Submissions)), Shipments: orNone(slices.Clone(d.Shipments)),
	}
	for i := range v.Submissions {
		s := &v.Submissions[i]
		s.OpenedAt, s.ResolvedAt = s.OpenedAt.UTC(), utcOf(s.ResolvedAt)
		if !words {
			s.Fields, s.Words = nil, nil
		}
	}
	for i := range v.Shipments {
		s := &v.Shipments[i]
		s.SeenAt, s.ToldAt, s.NextPushAt = s.SeenAt.UTC(), utcOf(s.ToldAt), utcOf(s.NextPushAt)
	}
	if address {
		v.ShipTo = &d.ShipTo
	}
	return v
}

func (v orderDetail) text(p *page) {
	p.pairs(
		[2]string{"order", string(v.Reference)},
		[2]string{"number", v.Number},
		[2]string{"merchant", string(v.Merchant)},
		[2]string{"cart", string(v.Cart)},
		[2]string{"state", string(v.State)},
		[2]string{"next", v.next()},
		[2]string{"skipped because", v.SkipReason},
		[2]string{"warehouse order", string(v.WarehouseOrderID)},
		[2]string{"warehouse status", v.status()},
		[2]string{"ship method", string(v.ShipMethod)},
		[2]string{"placed", stampOf(v.PlacedAt)},
		[2]string{"seen", stampOf(v.SeenAt)},
		[2]string{"at warehouse since", stampOf(v.AcceptedAt)},
		[2]string{"changed", stampOf(v.UpdatedAt)},
		[2]string{"cancel asked", stampOf(v.CancelAskedAt)},
	)
	if h := v.Hold; h != nil {
		p.gap()
		p.pairs(
			[2]string{"on hold", h.Headline},
			[2]string{"since", stampOf(h.Since)},
			[2]string{"refused", relay.Many(h.Attempts, "time")},
			[2]string{"next", h.next()},
		)
		h.words(p, string(v.Reference))
	}
	for _, q := range v.Decisions {
		q.text(p)
	}
	if v.ShipTo != nil {
		p.gap()
		addressText(p, *v.ShipTo)
	}
	v.tables(p)
}

func addressText(p *page, a relay.Address) {
	p.pairs(
		[2]string{"name", a.Name}, [2]string{"company", a.Company}, [2]string{"street", a.Street1}, [2]string{"", a.Street2},
		[2]string{"city", a.City}, [2]string{"state", a.State}, [2]string{"zip", a.Zip}, [2]string{"country", a.Country},
		[2]string{"phone", a.Phone}, [2]string{"e-mail", a.Email},
	)
}

func (v orderDetail) tables(p *page) {
	var lines, submissions, shipments [][]string
	for _, l := range v.Lines {
		lines = append(lines, []string{string(l.SKU), l.Quantity.String(), l.Name})
	}
	for _, s := range v.Submissions {
		const most = 3 // items in a row; --output json has all
		var items []string
		for _, i := range s.Items[:min(len(s.Items), most)] {
			items = append(items, fmt.Sprintf("%d x %s", i.Units, i.Code))
		}
		if n := len(s.Items) - most; n > 0 {
			items = append(items, fmt.Sprintf("%d more", n))
		}
		took := ""
		if s.ResolvedAt != nil {
			took = age(s.ResolvedAt.Sub(s.OpenedAt))
		}
		submissions = append(submissions, []string{strconv.Itoa(s.Attempt), s.State, stamp(s.OpenedAt), took, string(s.Token), strings.Join(items, ", ")})
	}
	for _, s := range v.Shipments {
		delivery := ""
		if s.DeliveryStatus != nil {
			delivery = *s.DeliveryStatus
		}
		shipments = append(shipments, []string{s.Carrier, s.TrackingNumber, s.State, stamp(s.SeenAt), stampOf(s.ToldAt), delivery})
	}
	p.section("lines", []string{"SKU", "QUANTITY", "NAME"}, lines)
	p.section("submissions", []string{"ATTEMPT", "STATE", "OPENED", "TOOK", "TOKEN", "ITEMS"}, submissions)
	p.section("packages", []string{"CARRIER", "TRACKING NUMBER", "STATE", "SEEN", "CART TOLD", "DELIVERY"}, shipments)
}
