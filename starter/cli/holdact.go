package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// heldSelection is how an operator names orders on hold of a merchant: one by
// one, or all that have something in common.
type heldSelection struct {
	merchant   relay.MerchantID
	orders     []string
	references []relay.Reference
	reason     relay.HoldReason
	sku        string
	all        bool
	dryRun     bool
}

func (s *heldSelection) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	merchantFlag(cmd, &s.merchant)
	f.StringArrayVar(&s.orders, "order", nil, "this order, by reference, full number or warehouse order id, as a `name`; may be repeated")
	f.Var(wordList(&s.references, relay.ParseReference, "reference"), "reference", "this order, by reference only, where --order names several; may be repeated")
	f.Var(word(&s.reason, relay.ParseHoldReason, "reason"), "reason", "orders on hold for this reason")
	f.StringVar(&s.sku, "sku", "", "orders with a line of this `SKU`, as the cart writes it")
	f.BoolVar(&s.all, "all", false, "orders on hold for any reason")
	f.BoolVar(&s.dryRun, "dry-run", false, "change nothing, and tell which orders are meant")
	needs(cmd, "merchant")
	needsOne(cmd, "order", "reference", "reason", "sku", "all")
	cmd.MarkFlagsMutuallyExclusive("order", "reason", "sku", "all")
	cmd.MarkFlagsMutuallyExclusive("reference", "reason", "sku", "all")
}

// request names the orders as the merchant's workflow wants them named.
func (a *app) request(ctx context.Context, l ledger, s heldSelection, actor string) (workflows.ReleaseRequest, error) {
	r := workflows.ReleaseRequest{References: s.references, Reason: s.reason, SKU: relay.SKU(s.sku), All: s.all, Actor: a.actor(actor)}
	for _, name := range s.orders {
		d, err := a.find(ctx, l, orderName{merchant: s.merchant, name: name})
		if err != nil {
			return r, err
		}
		r.References = append(r.References, d.Reference)
	}
	slices.Sort(r.References)
	r.References = slices.Compact(r.References)
	if err := r.Check(); err != nil {
		return r, &usageError{err}
	}
	return r, nil
}

// firstHeld is how many orders a preview lists.
const firstHeld = 10

// heldMeant says which orders on hold are meant, and how many they are.
type heldMeant struct {
	Merchant relay.MerchantID  `json:"merchant"`
	Orders   []relay.Reference `json:"orders,omitempty"`
	Reason   relay.HoldReason  `json:"reason,omitempty"`
	SKU      relay.SKU         `json:"sku,omitempty"`
	All      bool              `json:"all"`
	DryRun   bool              `json:"dry_run"`
	Held     int64             `json:"held"`            // on hold beforehand
	Unknown  int64             `json:"unknown"`         // of them, those that may be at the warehouse: they are looked for first
	There    int64             `json:"there"`           // of them, those that the warehouse has and is stuck with: never sent again, and cancelled there
	First    []heldView        `json:"first,omitempty"` // with dry_run: the oldest of them

	now time.Time
}

// meant makes a request of a selection, and counts the orders that it means.
func (a *app) meant(ctx context.Context, s heldSelection, actor string) (workflows.ReleaseRequest, heldMeant, error) {
	v := heldMeant{Merchant: s.merchant, DryRun: s.dryRun, now: a.parts.now()}
	l, m, err := a.merchant(ctx, s.merchant)
	if err != nil {
		return workflows.ReleaseRequest{}, v, err
	}
	r, err := a.request(ctx, l, s, actor)
	if err != nil {
		return r, v, err
	}
	v.Orders, v.Reason, v.SKU, v.All = r.References, r.Reason, r.SKU, r.All
	p, err := l.PreviewHeld(ctx, store.HeldQuery{Merchant: m.ID, References: r.References, Reason: r.Reason, SKU: r.SKU}, firstHeld)
	if err != nil {
		return r, v, err
	}
	v.Held, v.Unknown, v.There = p.Orders, p.Unknown, p.There
	if s.dryRun {
		for _, o := range p.First {
			v.First = append(v.First, newHeldView(o, m, v.now, false))
		}
	}
	return r, v, nil
}

// preview tells what would be done to how many of the orders that are meant.
func (v heldMeant) preview(p *page, done string, acted int64) {
	p.line("would be %s: %s", done, v.of(acted))
	if v.Unknown > 0 {
		p.line("%d of them may be at the warehouse, and would be looked for first", v.Unknown)
	}
	if len(v.First) > 0 {
		p.gap()
		holdsTable(p, v.First, v.now)
	}
	if more := v.Held - int64(len(v.First)); more > 0 {
		p.line("and %d more", more)
	}
}

// of says how many of the orders that were meant are acted on.
func (v heldMeant) of(acted int64) string {
	if n := len(v.Orders); n > 0 {
		s := fmt.Sprintf("%d of %s of merchant %s", acted, relay.Many(n, "named order"), v.Merchant)
		if int(v.Held) < n {
			s += fmt.Sprintf("; %d not on hold", n-int(v.Held))
		}
		return s
	}
	return fmt.Sprintf("%d of %s of merchant %s %s", acted, relay.Many(v.Held, "order"), v.Merchant, v.why())
}

// why says what the orders have in common.
func (v heldMeant) why() string {
	switch {
	case v.Reason != "":
		return "on hold for " + string(v.Reason)
	case v.SKU != "":
		return "on hold with a line of " + string(v.SKU)
	}
	return "on hold"
}

// asNamed reports whether every order that was named was acted on.
func (v heldMeant) asNamed(acted int, more bool) bool {
	return len(v.Orders) == 0 || more || acted == len(v.Orders)
}

func (a *app) holdReleaseCommand() *cobra.Command {
	var s heldSelection
	var actor string
	cmd := a.verb(cobra.Command{
		Use:   "release",
		Short: "Let orders on hold go",
		Long: `Let orders of a merchant go that are on hold: those named, those on hold for a
reason, those with a line of a SKU, or, with --all, all of them, those that people
put on hold included. They are submitted with the next batches; while the merchant or
submit_orders is paused, or the warehouse's connection stopped, they wait, and the
answer says so. An order whose
outcome is unknown is looked for first and never sent blindly; one that the
warehouse has and is stuck with is not released. With --dry-run nothing is done: it
is told how many orders are meant, and the first of them.

The exit code is 1 when an order that was named is not on hold.`,
		Example: `  ferry hold release --merchant acme --reason insufficient_inventory --dry-run
  ferry hold release --merchant acme --reason insufficient_inventory
  ferry hold release --merchant acme --sku MUG
  ferry hold release --merchant acme --order SO-1042 --actor clerk`,
	}, func(ctx context.Context, _ []string) error { return a.releaseHolds(ctx, s, actor) })
	s.flags(cmd)
	actorFlag(cmd, &actor)
	return cmd
}

func (a *app) releaseHolds(ctx context.Context, s heldSelection, actor string) error {
	r, meant, err := a.meant(ctx, s, actor)
	if err != nil {
		return err
	}
	v := releaseView{heldMeant: meant}
	if s.dryRun {
		return a.conclude(v, meant.asNamed(int(meant.Held-meant.There), false))
	}
	var answer workflows.ReleaseAnswer
	if err := a.askMerchant(ctx, s.merchant, workflows.ReleaseOrders, r, &answer); err != nil {
		return fmt.Errorf("%w (ferry hold list tells what is still on hold)", err)
	}
	v.Released, v.More, v.Waits = answer.Released, answer.More, answer.Waits
	return a.conclude(v, v.asNamed(v.Released, v.More))
}

type releaseView struct {
	heldMeant
	Released int    `json:"released"`        // 0 with dry_run
	More     bool   `json:"more"`            // others are being released still
	Waits    string `json:"waits,omitempty"` // why those released are not sent for now
}

func (v releaseView) text(p *page) {
	if v.DryRun {
		v.preview(p, "released", v.Held-v.There)
		v.stuck(p)
		return
	}
	p.line("released: %s", v.of(int64(v.Released)))
	v.stuck(p)
	if v.More {
		p.line("the others are being released still")
	}
	switch {
	case v.Released == 0:
	case v.Waits != "":
		p.line("they wait: %s; ferry merchant resume --merchant %s lets them go", v.Waits, v.Merchant)
	default:
		p.line("they go with the next batches; ferry hold list tells which the warehouse refuses again")
	}
}

// stuck tells of orders that are not released because the warehouse has them.
func (v releaseView) stuck(p *page) {
	if v.There > 0 {
		p.line("%s at the warehouse already, and stuck there: not released; cancel there first (ferry hold show tells more)", relay.Many(v.There, "order"))
	}
}

func (a *app) holdCancelCommand() *cobra.Command {
	var s heldSelection
	var actor, why string
	cmd := a.verb(cobra.Command{
		Use:   "cancel",
		Short: "Cancel orders on hold",
		Long: `Cancel orders of a merchant that are on hold, named as for ferry hold release. They
are stopped before sending. An order that may be at the warehouse is looked for
first, and cancelled where it is; one that is there is asked for. Until then its
cancel is pending. With --dry-run nothing is done: it is told how many orders are meant, and the first of them.

--reason chooses orders by what they are on hold for; --why says why they are
cancelled. It goes into the orders' trails and into Temporal: keep personal data
out. The exit code is 1 when cancels are pending, or an order that was named was
not on hold.`,
		Example: `  ferry hold cancel --merchant acme --sku MUG --why discontinued --dry-run
  ferry hold cancel --merchant acme --sku MUG --why discontinued
  ferry hold cancel --merchant acme --order SO-1042 --why "buyer cancelled" --actor clerk`,
	}, func(ctx context.Context, _ []string) error { return a.cancelHolds(ctx, s, why, actor) })
	s.flags(cmd)
	whyFlag(cmd, &why, "why")
	actorFlag(cmd, &actor)
	return cmd
}

func (a *app) cancelHolds(ctx context.Context, s heldSelection, why, actor string) error {
	named, meant, err := a.meant(ctx, s, actor)
	if err != nil {
		return err
	}
	r := workflows.CancelHeldRequest{ReleaseRequest: named, Why: why}
	if err := r.Check(); err != nil {
		return &usageError{err}
	}
	v := cancelHeldView{heldMeant: meant, Why: why}
	if s.dryRun {
		return a.conclude(v, meant.asNamed(int(meant.Held), false))
	}
	var answer workflows.CancelHeldAnswer
	if err := a.askMerchant(ctx, s.merchant, workflows.CancelHeld, r, &answer); err != nil {
		return fmt.Errorf("%w (ferry hold list tells what is still on hold)", err)
	}
	v.Stopped, v.Pending, v.More = answer.Stopped, answer.Pending, answer.More
	return a.conclude(v, v.Pending == 0 && v.asNamed(v.Stopped, v.More))
}

type cancelHeldView struct {
	heldMeant
	Why     string `json:"why"`
	Stopped int    `json:"stopped"` // before sending; 0 with dry_run
	Pending int    `json:"pending"` // are or may be at the warehouse: looked for, and cancelled where they are
	More    bool   `json:"more"`    // others are being cancelled still
}

func (v cancelHeldView) text(p *page) {
	if v.DryRun {
		v.preview(p, "cancelled", v.Held)
		if v.There > 0 {
			p.line("%d of them are at the warehouse, which would be asked to cancel them", v.There)
		}
		return
	}
	p.line("stopped before sending: %s", v.of(int64(v.Stopped)))
	if v.Pending > 0 {
		p.line("to be cancelled at the warehouse, after a look where nobody knows whether it has it: %s (ferry order show tells how it stands)", relay.Many(v.Pending, "order"))
	}
	if v.More {
		p.line("the others are being cancelled still")
	}
}
