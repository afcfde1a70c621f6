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
	group := a.group("hold", "List orders on hold, and release them together", "List orders on hold, and release them together.", `  ferry hold list --merchant acme
  ferry hold release --merchant acme --reason insufficient_inventory --dry-run`)
	group.AddCommand(a.holdListCommand(), a.holdReleaseCommand())
	return group
}

// What comes next for an order on hold.
const (
	nextResend = "resend" // sent again at a time
	nextPerson = "person" // only a person can end the hold
	nextResume = "resume" // nothing is sent while the merchant is paused
)

// holdView is why an order waits, and what comes next.
type holdView struct {
	Reason   relay.HoldReason `json:"reason"`
	Headline string           `json:"headline"` // without personal data
	Code     string           `json:"code,omitempty"`
	Since    *time.Time       `json:"since"` // of the first hold
	Attempts int              `json:"attempts"`
	Next     string           `json:"next"` // "resend", "person" or "resume"
	NextAt   *time.Time       `json:"next_at,omitempty"`
	Fields   []relay.Problem  `json:"fields,omitempty"` // with --words
	Words    string           `json:"words,omitempty"`  // with --words: the warehouse's own
}

// newHoldView computes the next resend as the hold's workflow does, from the
// merchant's clock and the workflow's id as the key of the stagger.
func newHoldView(h store.HoldSummary, m store.Merchant, key string, now time.Time, words bool) *holdView {
	v := &holdView{Reason: h.Reason, Headline: h.Headline(), Code: h.Code, Since: utc(h.Since), Attempts: h.Attempts, Next: nextPerson}
	if h.Reason.ResendsNightly() {
		v.Next = nextResume
		// A clock that can't be read is refused at onboarding; such a hold is left to people.
		if at, err := m.Resend.Next(now, relay.Stagger(key)); err != nil {
			v.Next = nextPerson
		} else if m.PausedAt.IsZero() {
			v.Next, v.NextAt = nextResend, utc(at)
		}
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
the warehouse refused, and what comes next and when. What a warehouse or a check
wrote is shown with --words only, for it may quote an address.`,
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
	if err := checkLimit(q.Limit); err != nil {
		return err
	}
	l, err := a.ledger(ctx)
	if err != nil {
		return err
	}
	if q.Merchant != "" {
		if _, err := known(ctx, l, q.Merchant); err != nil {
			return err
		}
	}
	merchants, err := l.Merchants(ctx)
	if err != nil {
		return err
	}
	byID := make(map[relay.MerchantID]store.Merchant, len(merchants))
	for _, m := range merchants {
		byID[m.ID] = m
	}
	list, more, err := a.readOrders(ctx, l, q)
	if err != nil {
		return err
	}
	v := holdsView{Holds: []heldView{}, More: more, now: a.parts.now()}
	for _, o := range list {
		if o.Hold == nil { // the ledger's constraints rule it out
			continue
		}
		v.Holds = append(v.Holds, heldView{
			Merchant: o.Merchant, Reference: o.Reference, Number: o.Number, Cart: o.Cart,
			holdView: *newHoldView(*o.Hold, byID[o.Merchant], workflows.HoldID(o.Merchant, o.Reference), v.now, words),
		})
	}
	return a.print(v)
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
}

func (v holdsView) text(p *page) {
	if len(v.Holds) == 0 {
		p.line("no orders are on hold")
		return
	}
	var rows [][]string
	for _, h := range v.Holds {
		since := ""
		if h.Since != nil {
			since = age(v.now.Sub(*h.Since))
		}
		rows = append(rows, []string{string(h.Merchant), string(h.Reference), h.Headline, since, strconv.Itoa(h.Attempts), h.next()})
	}
	p.table([]string{"MERCHANT", "ORDER", "ON HOLD FOR", "AGE", "REFUSED", "NEXT"}, rows)
	for _, h := range v.Holds {
		h.words(p, string(h.Reference))
	}
}

func (a *app) holdReleaseCommand() *cobra.Command {
	var id relay.MerchantID
	var r workflows.ReleaseRequest
	var dryRun bool
	cmd := a.verb(cobra.Command{
		Use:   "release",
		Short: "Let orders on hold go",
		Long: `Let all orders of a merchant go that are on hold for a reason, or, with --all, for
any reason, those that people put on hold included. They are submitted with the
next batches. An order whose outcome is unknown is looked for first and never
sent blindly. With --dry-run it is only told how many there are.`,
		Example: `  ferry hold release --merchant acme --reason insufficient_inventory --dry-run
  ferry hold release --merchant acme --reason insufficient_inventory
  ferry hold release --merchant acme --all --actor clerk`,
	}, func(ctx context.Context, _ []string) error { return a.releaseHolds(ctx, id, r, dryRun) })
	merchantFlag(cmd, &id)
	cmd.Flags().Var(word(&r.Reason, relay.ParseHoldReason, "reason"), "reason", "orders on hold for this reason")
	cmd.Flags().BoolVar(&r.All, "all", false, "orders on hold for any reason")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing, and tell how many there are")
	actorFlag(cmd, &r.Actor)
	needs(cmd, "merchant")
	cmd.MarkFlagsOneRequired("reason", "all")
	cmd.MarkFlagsMutuallyExclusive("reason", "all")
	return cmd
}

func (a *app) releaseHolds(ctx context.Context, id relay.MerchantID, r workflows.ReleaseRequest, dryRun bool) error {
	r.Actor = a.actor(r.Actor)
	if err := r.Check(); err != nil {
		return &usageError{err}
	}
	l, err := a.ledger(ctx)
	if err != nil {
		return err
	}
	if _, err := known(ctx, l, id); err != nil {
		return err
	}
	counts, err := l.CountsByMerchant(ctx)
	if err != nil {
		return err
	}
	v := releaseView{Merchant: id, Reason: r.Reason, All: r.All, DryRun: dryRun, Held: held(countsOf(id, counts), r.Reason)}
	if dryRun {
		return a.print(v)
	}
	var answer workflows.ReleaseAnswer
	if err := a.askMerchant(ctx, id, workflows.ReleaseOrders, r, &answer); err != nil {
		return fmt.Errorf("%w (ferry hold list tells what is still on hold)", err)
	}
	v.Released, v.More = answer.Released, answer.More
	return a.print(v)
}

// held counts the orders on hold for a reason, or for any.
func held(c store.Counts, reason relay.HoldReason) int64 {
	if reason != "" {
		return c.Holds[reason]
	}
	return c.States[relay.OrderHeld]
}

type releaseView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Reason   relay.HoldReason `json:"reason,omitempty"`
	All      bool             `json:"all"`
	DryRun   bool             `json:"dry_run"`
	Held     int64            `json:"held"`     // beforehand
	Released int              `json:"released"` // 0 with dry_run
	More     bool             `json:"more"`     // others are being released still
}

func (v releaseView) text(p *page) {
	why := "on hold"
	if v.Reason != "" {
		why += " for " + string(v.Reason)
	}
	if v.DryRun {
		p.line("%s of merchant %s would be released: %s", count(v.Held, "order"), v.Merchant, why)
		return
	}
	p.line("%s of merchant %s released; %d had been %s", count(v.Released, "order"), v.Merchant, v.Held, why)
	if v.More {
		p.line("the others are being released still")
	}
}
