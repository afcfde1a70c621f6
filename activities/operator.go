package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// Plan is what a merchant's workflow needs to know of its settings. It holds no
// credentials and no addresses.
type Plan struct {
	Name    string `json:"name"`
	Version int64  `json:"version"`
	Paused  bool   `json:"paused,omitempty"`
	// PauseAsked is when the last pause or resume that counts was asked of the workflow.
	PauseAsked time.Time `json:"pause_asked,omitzero"`
	Lanes      []Lane    `json:"lanes"` // carts by name, then the warehouse
	// Watch is how often the merchant's alerts are looked after.
	Watch relay.Every `json:"watch,omitempty"`
}

// Lane is one connection's part of the plan.
type Lane struct {
	Connection relay.ConnectionName      `json:"connection"`
	Connector  string                    `json:"connector"`
	Warehouse  bool                      `json:"warehouse,omitempty"`
	Every      map[relay.Job]relay.Every `json:"every"`             // of all its jobs
	Stopped    string                    `json:"stopped,omitempty"` // why, when its credentials were refused
}

// LoadPlan reads a merchant's plan.
func (a *Activities) LoadPlan(ctx context.Context, in MerchantInput) (Plan, error) {
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Name: m.Name, Version: m.SettingsVersion, Paused: !m.PausedAt.IsZero(), PauseAsked: m.PauseAskedAt, Watch: m.Alerts.Interval()}
	for _, c := range m.Connections {
		l := Lane{Connection: c.Name, Connector: c.Connector, Warehouse: c.Role == "warehouse", Every: make(map[relay.Job]relay.Every), Stopped: c.StoppedReason}
		jobs := relay.CartJobs()
		if l.Warehouse {
			jobs = relay.WarehouseJobs()
		}
		for _, j := range jobs {
			l.Every[j] = c.Schedule.Of(j)
		}
		p.Lanes = append(p.Lanes, l)
	}
	return p, nil
}

// MerchantInput names a merchant.
type MerchantInput struct {
	Merchant relay.MerchantID `json:"merchant"`
}

// PauseInput pauses a merchant or lets it run.
type PauseInput struct {
	Merchant relay.MerchantID `json:"merchant"`
	Paused   bool             `json:"paused"`
	// Asked is when the merchant's workflow accepted it. Never the same twice.
	Asked time.Time `json:"asked,omitzero"`
}

// SetPaused notes in the ledger that a merchant is paused, so that nothing of it is
// resent meanwhile. One that comes behind what was asked for later is refused.
func (a *Activities) SetPaused(ctx context.Context, in PauseInput) error {
	stands, err := a.store.SetPausedAsked(ctx, in.Merchant, in.Paused, in.Asked)
	if err != nil {
		return err
	}
	if !stands {
		return &relay.Error{Op: "pause or resume", Kind: relay.Conflict, Code: "overtaken", Err: errors.New("another pause or resume was asked for later: it counts")}
	}
	return nil
}

// ResumeConnections lets a connection work again whose credentials were
// refused, or all of a merchant's when none is named.
func (a *Activities) ResumeConnections(ctx context.Context, in JobInput) error {
	return a.store.ResumeConnections(ctx, in.Merchant, in.Connection)
}

// CancelInput names an order to cancel, by reference.
type CancelInput struct {
	Merchant  relay.MerchantID `json:"merchant"`
	Reference relay.Reference  `json:"reference"`
	Actor     string           `json:"actor"`
	Reason    string           `json:"reason"`
	// Asked is when a workflow was asked for it. Zero: when it scheduled this step, as
	// workflows of the release before do not say.
	Asked time.Time `json:"asked,omitzero"`
}

// askedAt is when a step's wish was asked for.
func askedAt(ctx context.Context, asked time.Time) time.Time {
	if asked.IsZero() {
		return activity.GetInfo(ctx).ScheduledTime
	}
	return asked
}

// CancelOutcome is the true answer to a cancel.
type CancelOutcome struct {
	Reference relay.Reference `json:"reference"`
	// Result is one of "stopped_before_sending", "cancelled", "too_late",
	// "pending", "already_cancelled" and "reopened_since".
	Result  string `json:"result"`
	Answer  string `json:"answer"` // a sentence for people
	WasHeld bool   `json:"was_held,omitempty"`
	// Cart is to be told of the cancel; "" when it is not.
	Cart relay.ConnectionName `json:"cart,omitempty"`
}

// CancelOrder cancels an order wherever it is, and answers with the truth.
func (a *Activities) CancelOrder(ctx context.Context, in CancelInput) (CancelOutcome, error) {
	id, err := a.store.OrderByReference(ctx, in.Merchant, in.Reference)
	if err != nil {
		return CancelOutcome{}, err
	}
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return CancelOutcome{}, err
	}
	asked, err := a.store.RequestCancel(ctx, id, store.CancelAsk{
		Actor: in.Actor, Reason: in.Reason, Asked: askedAt(ctx, in.Asked), Tell: a.takeCancels(m),
	})
	if err != nil {
		return CancelOutcome{}, err
	}
	out := CancelOutcome{Reference: asked.Reference, Result: string(asked.Standing), WasHeld: asked.WasHeld}
	switch asked.Standing {
	case store.StoppedBeforeSending:
		out.Answer = "stopped before sending: the warehouse never had it"
	case store.AlreadyCancelled:
		out.Answer = "it was cancelled already"
	case store.ReopenedSince:
		out.Answer = "it was reopened after this was asked for, and goes on; ask again if it is to be cancelled"
	case store.TooLate:
		out.Answer = "too late: shipped, " + asked.Evidence
	case store.OnceKnown:
		out.Result, out.Answer = "pending", "it is being handed over just now; it is cancelled as soon as the outcome is known"
	case store.AskWarehouse:
		if out, err = a.cancelAtWarehouse(ctx, in, m, asked, out); err != nil {
			return out, err
		}
	}
	switch {
	case !asked.Tell || out.Result == "too_late":
	case out.Result == "pending":
		out.Answer += fmt.Sprintf("; once it is cancelled, %s is told", asked.Cart)
	default:
		out.Cart = asked.Cart
		out.Answer += fmt.Sprintf("; %s is told of the cancel", asked.Cart)
		if asked.WasHeld { // perhaps its hold's workflow asks, which wakes no cart
			a.ringJob(ctx, in.Merchant, asked.Cart, relay.PushShipments)
		}
	}
	return out, nil
}

// takeCancels lists the merchant's carts that take cancels.
func (a *Activities) takeCancels(m store.Merchant) []store.ConnectionID {
	var ids []store.ConnectionID
	for _, c := range m.Connections {
		if c.Role != "cart" {
			continue
		}
		v, err := a.connect(m, c)
		if err != nil { // a cancel is not kept waiting for it
			a.log.Warn("could not see whether a cart takes cancels; it is not told", "merchant", m.ID, "connection", c.Name, "error", err)
			continue
		}
		if _, ok := v.(connectors.CancelSink); ok {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func (a *Activities) cancelAtWarehouse(ctx context.Context, in CancelInput, m store.Merchant, asked store.CancelRequest, out CancelOutcome) (CancelOutcome, error) {
	pending := func(why string) CancelOutcome {
		out.Result, out.Answer = "pending", fmt.Sprintf("at the warehouse as %s since %s; %s", asked.WarehouseOrderID, asked.Since.UTC().Format(time.RFC3339), why)
		return out
	}
	j, err := a.begin(ctx, JobInput{in.Merchant, m.StoredWarehouse().Name}, "cancel_order")
	if errors.Is(err, errStopped) {
		return pending("the connection is stopped, and the cancel waits for it"), nil
	}
	if err != nil {
		return out, err
	}
	c, ok := j.vendor.(connectors.Canceller)
	if !ok {
		return pending("this warehouse can't cancel by itself: ask a person there"), nil
	}
	r := j.cancelOne(ctx, c, store.CancelDue{Order: asked.Order, WarehouseOrderID: asked.WarehouseOrderID})
	if err := a.store.RecordCancels(ctx, in.Actor, []store.CancelResult{r}); err != nil {
		return out, err
	}
	switch {
	case r.Done:
		out.Result, out.Answer = "cancelled", fmt.Sprintf("cancelled at the warehouse, %s (%s)", asked.WarehouseOrderID, r.Evidence)
	case r.TooLate:
		out.Result, out.Answer = "too_late", fmt.Sprintf("too late: at the warehouse as %s since %s (%s)", asked.WarehouseOrderID, asked.Since.UTC().Format(time.RFC3339), r.Evidence)
	default:
		out = pending("the warehouse has not decided (" + r.Evidence + "), and is asked again")
	}
	return out, nil
}

// ReleaseInput says which orders on hold to let go: those with a reason, or by reference.
type ReleaseInput struct {
	Merchant   relay.MerchantID  `json:"merchant"`
	Reason     relay.HoldReason  `json:"reason,omitempty"`     // "" with no references: every reason
	References []relay.Reference `json:"references,omitempty"` // takes precedence
	SKU        relay.SKU         `json:"sku,omitempty"`        // only orders with a line of it
	Actor      string            `json:"actor"`
}

// ReleaseOutcome says which orders were let go.
type ReleaseOutcome struct {
	Released   int               `json:"released"`
	References []relay.Reference `json:"references,omitempty"` // at most 200: whose hold workflows should look again
	More       bool              `json:"more,omitempty"`
}

// heldAtOnce is how many orders on hold are let go or cancelled at once.
const heldAtOnce = 200

// reasons are those for which an order must be on hold still when its turn comes.
func (in ReleaseInput) reasons() []relay.HoldReason {
	if q := in.query(); q.Reason != "" {
		return []relay.HoldReason{q.Reason}
	}
	return nil
}

func (in ReleaseInput) query() store.HeldQuery {
	if len(in.References) > 0 {
		return store.HeldQuery{Merchant: in.Merchant, References: in.References}
	}
	return store.HeldQuery{Merchant: in.Merchant, Reason: in.Reason, SKU: in.SKU}
}

// ReleaseOrders lets orders on hold go, 200 at a time, but none that the warehouse has.
func (a *Activities) ReleaseOrders(ctx context.Context, in ReleaseInput) (ReleaseOutcome, error) {
	q := in.query()
	q.Here = true
	held, err := a.store.HeldOrders(ctx, q, heldAtOnce)
	if err != nil {
		return ReleaseOutcome{}, err
	}
	return a.release(ctx, held, in.Actor, "released", len(held) == heldAtOnce, in.reasons()...)
}

// ReleaseBySKU is ReleaseOrders under a name that workers of the release before do
// not know: these would not see the SKU, and let every order on hold go.
func (a *Activities) ReleaseBySKU(ctx context.Context, in ReleaseInput) (ReleaseOutcome, error) {
	return a.ReleaseOrders(ctx, in)
}

func (a *Activities) release(ctx context.Context, ids []relay.OrderID, actor, why string, more bool, reasons ...relay.HoldReason) (ReleaseOutcome, error) {
	if len(ids) == 0 {
		return ReleaseOutcome{}, nil
	}
	released, err := a.store.Release(ctx, ids, actor, why, reasons...)
	if err != nil {
		return ReleaseOutcome{}, err
	}
	refs, err := a.store.References(ctx, released)
	return ReleaseOutcome{Released: len(released), References: refs, More: more}, err
}

// CancelHeldInput says which orders on hold to cancel, as ReleaseInput does.
type CancelHeldInput struct {
	ReleaseInput
	Why   string    `json:"why"`
	Asked time.Time `json:"asked,omitzero"` // as CancelInput's
}

// CancelHeldOutcome says what became of a batch.
type CancelHeldOutcome struct {
	Stopped    int                    `json:"stopped"`              // cancelled before sending
	Pending    int                    `json:"pending,omitempty"`    // at the warehouse, or perhaps: asked for, or looked for first
	References []relay.Reference      `json:"references,omitempty"` // at most 200: whose hold workflows should look again
	Carts      []relay.ConnectionName `json:"carts,omitempty"`      // to be told
	More       bool                   `json:"more,omitempty"`
}

// CancelHeld cancels orders on hold, 200 at a time. Those that are at the
// warehouse are cancelled there; those that may be are looked for first.
func (a *Activities) CancelHeld(ctx context.Context, in CancelHeldInput) (CancelHeldOutcome, error) {
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return CancelHeldOutcome{}, err
	}
	held, err := a.store.HeldOrders(ctx, in.query(), heldAtOnce)
	if err != nil || len(held) == 0 {
		return CancelHeldOutcome{}, err
	}
	asked, err := a.store.CancelHeld(ctx, held, store.CancelAsk{
		Actor: in.Actor, Reason: in.Why, Asked: askedAt(ctx, in.Asked), Tell: a.takeCancels(m),
	}, in.reasons()...)
	out := CancelHeldOutcome{More: len(held) == heldAtOnce}
	for _, r := range asked {
		out.References = append(out.References, r.Reference)
		if r.Standing != store.StoppedBeforeSending {
			out.Pending++
			continue
		}
		out.Stopped++
		if r.Tell && !slices.Contains(out.Carts, r.Cart) {
			out.Carts = append(out.Carts, r.Cart)
		}
	}
	return out, err
}

// RecheckInput says where a run of RecheckHolds goes on.
type RecheckInput struct {
	Merchant relay.MerchantID `json:"merchant"`
	After    relay.OrderID    `json:"after,omitempty"`
}

// RecheckOutcome says which orders were let go.
type RecheckOutcome struct {
	ReleaseOutcome
	After relay.OrderID `json:"after,omitempty"` // where to go on; 0 when all were seen
}

// RecheckHolds lets those orders go that new settings or aliases have mended. It
// prepares each as it would be sent; nothing is sent.
func (a *Activities) RecheckHolds(ctx context.Context, in RecheckInput) (RecheckOutcome, error) {
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return RecheckOutcome{}, err
	}
	orders, err := a.store.HeldFor(ctx, in.Merchant, rechecked, in.After, heldAtOnce)
	if err != nil {
		return RecheckOutcome{}, err
	}
	free, err := a.mended(ctx, m, orders)
	if err != nil {
		return RecheckOutcome{}, err
	}
	out := RecheckOutcome{}
	if len(orders) == heldAtOnce {
		out.After = orders[len(orders)-1].ID
	}
	out.ReleaseOutcome, err = a.release(ctx, free, "settings", "the setting or mapping that it waited for is there", false, rechecked...)
	return out, err
}

// HoldsInput says where a list of holds goes on.
type HoldsInput struct {
	Merchant relay.MerchantID `json:"merchant"`
	After    relay.OrderID    `json:"after,omitempty"`
}

// HoldsOutput lists orders on hold that have no workflow yet.
type HoldsOutput struct {
	Warehouse relay.ConnectionName `json:"warehouse"`
	Connector string               `json:"connector"`
	Holds     []HeldOrder          `json:"holds,omitempty"`
	More      bool                 `json:"more,omitempty"`
}

// HoldsToStart lists orders on hold that have no workflow yet.
func (a *Activities) HoldsToStart(ctx context.Context, in HoldsInput) (HoldsOutput, error) {
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return HoldsOutput{}, err
	}
	holds, err := a.store.HoldsToStart(ctx, in.Merchant, in.After, 100)
	w := m.StoredWarehouse()
	return HoldsOutput{Warehouse: w.Name, Connector: w.Connector, Holds: holds, More: len(holds) == 100}, err
}

// ViewInput names an order and the present time.
type ViewInput struct {
	Order relay.OrderID `json:"order"`
	Key   string        `json:"key"` // spreads the resends of a merchant's orders
	Now   time.Time     `json:"now"`
}

// HoldView is what a hold workflow shows. It holds no personal data.
type HoldView struct {
	State    relay.OrderState `json:"state"`
	Reason   relay.HoldReason `json:"reason,omitempty"`
	Headline string           `json:"headline,omitempty"`
	Since    time.Time        `json:"since,omitzero"`
	Attempts int              `json:"attempts,omitempty"`
	Resend   time.Time        `json:"resend,omitzero"` // when it is sent again; zero: not by the clock
	// There says that the warehouse has it and is stuck with it: it is never sent
	// again. Status is the warehouse's own word for that, scrubbed as Words are.
	There    bool   `json:"there,omitempty"`
	Status   string `json:"status,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	// Words are the warehouse's own, scrubbed of the order's address; "" when it is
	// the address that they are about.
	Words string `json:"words,omitempty"`
}

// ViewHold reads an order for its hold workflow, and notes that the workflow is at work.
func (a *Activities) ViewHold(ctx context.Context, in ViewInput) (HoldView, error) {
	v, err := a.store.ViewHold(ctx, in.Order)
	if err != nil {
		return HoldView{}, err
	}
	out := HoldView{State: v.State, Evidence: v.Evidence}
	if v.Hold == nil {
		return out, nil
	}
	out.Reason, out.Headline, out.Since, out.Attempts = v.Hold.Reason, v.Hold.Headline(), v.Hold.Since, v.Hold.Attempts
	if out.There = v.Hold.There; out.There {
		out.Status = relay.Scrub(v.Status, v.ShipTo)
	}
	// Promise 6: what is said of an address quotes it in ways that nobody foresees.
	if out.Reason != relay.HoldBadAddress {
		out.Words = relay.Scrub(v.Hold.Words, v.ShipTo)
	}
	out.Resend, err = v.Hold.NextResend(v.Resend, in.Key, in.Now)
	return out, err
}

// Report is what a connection test found.
type Report = connectors.Report

// HeldOrder names an order on hold.
type HeldOrder = store.HeldOrder

// CheckConnection is the connection test.
func (a *Activities) CheckConnection(ctx context.Context, in JobInput) (Report, error) {
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return Report{}, err
	}
	c, ok := m.Connection(in.Connection)
	if !ok {
		return Report{}, fmt.Errorf("connection %s/%s: %w", in.Merchant, in.Connection, store.ErrNotFound)
	}
	v, err := a.connect(m, c)
	if err != nil {
		return Report{}, err
	}
	return v.Check(ctx)
}
