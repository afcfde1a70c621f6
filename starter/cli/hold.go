package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) holdCommand() *cobra.Command {
	group := a.group("hold", "List, forecast, release and cancel orders on hold", "List orders on hold, tell what becomes of them, and release or cancel them together.", `  ferry hold list --merchant acme
  ferry hold show --merchant acme --order SO-1042
  ferry hold forecast --merchant acme
  ferry hold release --merchant acme --reason insufficient_inventory --dry-run`)
	group.AddCommand(a.holdListCommand(), a.holdShowCommand(), a.holdForecastCommand(), a.holdReleaseCommand(), a.holdCancelCommand())
	return group
}

// holdLedger is what the ledger knows of orders on hold and of stock.
type holdLedger interface {
	PreviewHeld(ctx context.Context, q store.HeldQuery, first int) (store.HeldPreview, error)
	Stock(ctx context.Context, m store.Merchant, mappings relay.Mappings) (store.Stock, error)
	HoldOrder(ctx context.Context, order relay.OrderID, hold relay.Hold, actor string) (store.HoldAnswer, error)
	Forecast(ctx context.Context, m store.Merchant, mappings relay.Mappings, now time.Time, key func(relay.Reference) string) ([]store.Forecast, error)
}

// What comes next for an order on hold.
const (
	nextResend = "resend" // sent again at a time
	nextPerson = "person" // only a person can end the hold
	nextResume = "resume" // nothing is sent while the merchant is paused
	nextThere  = "there"  // the warehouse has it, and is stuck with it: nothing is sent again
)

// holdView is why an order waits, and what comes next.
type holdView struct {
	Reason   relay.HoldReason `json:"reason"`
	Headline string           `json:"headline"` // without personal data
	Code     string           `json:"code,omitempty"`
	Since    *time.Time       `json:"since"`             // of the first hold
	HeldAt   *time.Time       `json:"held_at,omitempty"` // of the present hold: the last refusal
	Attempts int              `json:"attempts"`
	Next     string           `json:"next"` // "resend", "person", "resume" or "there"
	NextAt   *time.Time       `json:"next_at,omitempty"`
	Fields   []relay.Problem  `json:"fields,omitempty"` // with --words
	Words    string           `json:"words,omitempty"`  // with --words: the warehouse's own

	brief string // the headline without the warehouse's code, for tables
}

// newHoldView tells the next resend as the hold's workflow does: by the
// merchant's clock and the workflow's id.
func newHoldView(h store.HoldSummary, m store.Merchant, key string, now time.Time, words bool) *holdView {
	brief := h
	brief.Code = ""
	v := &holdView{brief: brief.Headline(), Reason: h.Reason, Headline: h.Headline(), Code: h.Code, Since: utc(h.Since), HeldAt: utc(h.HeldAt), Attempts: h.Attempts, Next: nextPerson}
	// A clock that can't be read is refused at onboarding; such a hold is left to people.
	switch at, err := h.NextResend(m.Resend, key, now); {
	case h.There:
		v.Next = nextThere
	case err != nil || at.IsZero():
	case m.PausedAt.IsZero():
		v.Next, v.NextAt = nextResend, utc(at)
	default:
		v.Next = nextResume
	}
	if words {
		v.Fields, v.Words = h.Fields, h.Words
	}
	return v
}

// next says in words what comes next.
func (v holdView) next() string {
	switch v.Next {
	case nextResend:
		return "sent again at " + stampOf(v.NextAt)
	case nextResume:
		return "waits until the merchant is resumed"
	case nextThere:
		return "the warehouse has it: never sent again, goes on by itself"
	}
	return "a person must release or cancel it"
}

// words prints what a warehouse or a check wrote about the named order, where it was asked for.
func (v holdView) words(p *page, name string) {
	for _, f := range v.Fields {
		p.line("%s: %s: %s", name, f.Field, f.Message)
	}
	if v.Words != "" {
		p.line("%s: the warehouse: %s", name, v.Words)
	}
}

func (a *app) holdListCommand() *cobra.Command {
	q := store.OrderQuery{States: []relay.OrderState{relay.OrderHeld}}
	var words bool
	cmd := a.verb(cobra.Command{
		Use:   "list",
		Short: "List orders on hold, and what comes next",
		Long: `List orders on hold, of one merchant or of all: the reason, since when, how often
the warehouse refused, and what comes next and when. An order that the warehouse has
and is stuck with is on hold too, and is never sent again. What a warehouse or a
check wrote is shown with --words only, for it may quote an address.`,
		Example: `  ferry hold list
  ferry hold list --merchant acme --reason bad_address --words
  ferry hold list --output json`,
	}, func(ctx context.Context, _ []string) error { return a.listHolds(ctx, q, words) })
	merchantFlag(cmd, &q.Merchant)
	cmd.Flags().Var(word(&q.Reason, relay.ParseHoldReason, "reason"), "reason", "only orders on hold for this reason")
	cmd.Flags().BoolVar(&words, "words", false, "with the warehouse's own words; they may quote an address")
	limitFlag(cmd, &q.Limit)
	return cmd
}

func (a *app) listHolds(ctx context.Context, q store.OrderQuery, words bool) error {
	now := a.parts.now()
	list, more, err := ordersAs(ctx, a, orderSearch{OrderQuery: q}, func(o store.OrderSummary, m store.Merchant) heldView { return newHeldView(o, m, now, words) })
	if err != nil {
		return err
	}
	return a.print(holdsView{list, more, now})
}

type holdsView struct {
	Holds []heldView `json:"holds"`
	More  bool       `json:"more"` // there are more than asked for

	now time.Time
}

type heldView struct {
	Merchant  relay.MerchantID     `json:"merchant"`
	Reference relay.Reference      `json:"reference"`
	Number    string               `json:"number"`
	Cart      relay.ConnectionName `json:"cart"`
	holdView
	// With next "there": what the warehouse has, and its own word for how it stands.
	WarehouseOrderID relay.WarehouseOrderID `json:"warehouse_order_id,omitempty"`
	WarehouseStatus  string                 `json:"warehouse_status,omitempty"`
}

// newHeldView is of an order on hold: the ledger's constraints rule out one without a reason.
func newHeldView(o store.OrderSummary, m store.Merchant, now time.Time, words bool) heldView {
	v := heldView{
		Merchant: o.Merchant, Reference: o.Reference, Number: o.Number, Cart: o.Cart,
		holdView: *newHoldView(*o.Hold, m, workflows.HoldID(o.Merchant, o.Reference), now, words),
	}
	if o.Hold.There {
		v.WarehouseOrderID, v.WarehouseStatus = o.WarehouseOrderID, o.WarehouseStatus
	}
	return v
}

// next says in words what comes next.
func (v heldView) next() string {
	if v.Next == nextThere {
		return "the warehouse has it as " + there(v.WarehouseOrderID, v.WarehouseStatus) + ": never sent again, goes on by itself"
	}
	return v.holdView.next()
}

// there names an order as a warehouse does, and how it stands there.
func there(id relay.WarehouseOrderID, status string) string {
	if status == "" {
		return string(id)
	}
	return fmt.Sprintf("%s (%s)", id, status)
}

func (v holdsView) text(p *page) {
	if len(v.Holds) == 0 {
		p.line("no orders are on hold")
		return
	}
	holdsTable(p, v.Holds, v.now)
	for _, h := range v.Holds {
		h.words(p, string(h.Reference))
	}
}

func holdsTable(p *page, holds []heldView, now time.Time) {
	var rows [][]string
	for _, h := range holds {
		rows = append(rows, []string{string(h.Merchant), string(h.Reference), h.brief, h.age(now), strconv.Itoa(h.Attempts), h.next()})
	}
	p.table([]string{"MERCHANT", "ORDER", "ON HOLD FOR", "AGE", "REFUSED", "NEXT"}, rows)
}

// age is how long the order has been on hold.
func (v holdView) age(now time.Time) string {
	if v.Since == nil {
		return ""
	}
	return age(now.Sub(*v.Since))
}
