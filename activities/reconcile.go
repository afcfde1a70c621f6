package activities

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"

	"orderferry/relay"
	"orderferry/store"
)

// ReconcileResult counts what a run of Reconcile did.
type ReconcileResult struct {
	// The counts are those of the whole run up to now, over all its turns.
	Checked  int `json:"checked,omitempty"`  // orders and levels that were compared
	Found    int `json:"found,omitempty"`    // discrepancies
	Repaired int `json:"repaired,omitempty"` // of them
	// Stopped says that the credentials are refused.
	Stopped bool `json:"stopped,omitempty"`
	// More says that the run goes on where it was left.
	More bool `json:"more,omitempty"`
	// Submit says that orders wait to be sent, looked for or cancelled.
	Submit bool `json:"submit,omitempty"`
	// Carts have something to be told.
	Carts []relay.ConnectionName `json:"carts,omitempty"`
	// Woken are references of orders whose holds ended; at most 200.
	Woken []relay.Reference `json:"woken,omitempty"`
}

const (
	// lookBack is how far back the books of a cart and a warehouse are compared:
	// what is older has shipped, or was found long ago.
	lookBack = 60 * 24 * time.Hour
	// abandoned is the age at which a run that never ended starts over.
	abandoned = 24 * time.Hour
	// unread is how long nobody may have looked what became of orders at a warehouse.
	unread = 24 * time.Hour
	// atOnce is how many orders or levels are compared at once.
	atOnce = 100
	// remembered is how long alerts that are closed, messages about them, findings that
	// are closed and runs that ended are kept.
	remembered = 365 * 24 * time.Hour
	// mostWoken bounds ReconcileResult.Woken. A hold that is not woken looks by itself.
	mostWoken = 200
)

// Reconcile holds the books of a cart or a warehouse against the ledger, mends
// what can be mended safely and reports the rest. What is younger than
// Options.Overdue is no difference yet: the other jobs are about it.
//
// After the ledger was restored from a backup it knows nothing of orders that
// it had sent since, and would send them again. Reconcile keeps them back: it
// finds them at the warehouse by their tokens, or where the tokens are lost by
// their numbers. It can do so only before they are sent: submit_orders is to be
// paused until the carts were pulled and the books compared.
func (a *Activities) Reconcile(ctx context.Context, in JobInput) (ReconcileResult, error) {
	var c reconciler
	stopped, err := a.on(ctx, in, relay.Reconcile, func(j *job) error {
		c.job = j
		if activity.GetInfo(ctx).Attempt > 1 {
			// An earlier try may have mended things and not come to report them.
			c.result.Submit = true
			c.tellCart()
		}
		if err := c.reconcile(ctx); !errors.Is(err, errRunEnded) {
			return err
		}
		return nil
	})
	c.result.Stopped = stopped
	return c.result, err
}

// reconciler is a turn of a run of Reconcile.
type reconciler struct {
	*job
	run      store.Reconciliation
	progress string // as the ledger has it
	result   ReconcileResult
}

// progress is how far a run has come: it is kept in the ledger between turns.
type progress struct {
	Comparison string `json:"comparison"`        // by name
	At         string `json:"at,omitempty"`      // where it goes on; "" from the start
	Partial    bool   `json:"partial,omitempty"` // something could not be seen whole
}

// comparison is one of the things that a run compares, a part at a time. A part
// that is compared twice does nothing twice.
type comparison struct {
	name    string // kept in the ledger
	compare func(ctx context.Context, at string) (part, error)
}

// part is what one part of a comparison found.
type part struct {
	checked       int
	discrepancies []store.Discrepancy
	more          bool
	at            string // with more: where the next part begins
	partial       bool   // the comparison can't see all: nothing follows from what it did not find
}

func (c *reconciler) comparisons() []comparison {
	if c.conn.Role == "warehouse" {
		return []comparison{{"listed", c.listedOrders}, {"stuck", c.stuckOrders}, {"unread", c.unreadOrders}}
	}
	return []comparison{
		{"orders", c.unknownOrders}, {"cancels", c.missedCancels}, {"shipments", c.untoldShipments}, {"confirmed", c.unconfirmedOrders}, {"levels", c.driftedLevels},
	}
}

func (c *reconciler) reconcile(ctx context.Context) (err error) {
	if c.run, c.progress, err = c.store.BeginReconciliation(ctx, c.conn, abandoned); err != nil {
		return err
	}
	var p progress
	if c.progress != "" && json.Unmarshal([]byte(c.progress), &p) != nil {
		p = progress{}
	}
	list := c.comparisons()
	i := slices.IndexFunc(list, func(k comparison) bool { return k.name == p.Comparison })
	if i < 0 { // a new run, or one that another release began
		i, p = 0, progress{Comparison: list[0].name}
	}
	for {
		found, err := list[i].compare(ctx, p.At)
		if err != nil {
			return err
		}
		p.At, p.Partial = found.at, p.Partial || found.partial
		if !found.more {
			p.At = ""
			if i++; i < len(list) {
				p.Comparison = list[i].name
			}
		}
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		c.progress = string(b)
		if err := c.record(ctx, store.Compared{
			Checked: found.checked, Discrepancies: found.discrepancies, Progress: c.progress, Ended: i == len(list), Partial: p.Partial,
		}); err != nil {
			return err
		}
		switch {
		case c.run.EndedAt != nil:
			c.log.Info("books compared", "checked", c.run.Checked, "found", c.run.Found, "repaired", c.run.Repaired)
			c.prune(ctx)
			return nil
		case c.spent():
			c.result.More = true
			return nil
		}
	}
}

// errRunEnded tells that another attempt of this step ended the run.
var errRunEnded = errors.New("the run has ended")

func (c *reconciler) record(ctx context.Context, part store.Compared) error {
	run, err := c.store.RecordCompared(ctx, c.conn, c.run.ID, c.actor, part)
	if errors.Is(err, store.ErrNotFound) {
		return errRunEnded
	}
	if err != nil {
		return err
	}
	c.run = run
	c.result.Checked, c.result.Found, c.result.Repaired = run.Checked, run.Found, run.Repaired
	return nil
}

// prune forgets what ended long ago, once for each merchant. What is left over, or
// fails, has its turn with the next run: the comparison stands all the same.
func (c *reconciler) prune(ctx context.Context) {
	if c.conn.Role != "warehouse" {
		return
	}
	for more := true; more && !c.spent(); {
		n, err := c.store.Prune(ctx, c.merchant.ID, remembered, 1000)
		if err != nil {
			c.log.Warn("could not delete what ended long ago; will try again with the next run", "error", err)
		}
		more = n > 0
	}
}

// overdue reports whether what has stood since a time is a difference.
func (c *reconciler) overdue(since time.Time) bool {
	return since.Before(c.run.BeganAt.Add(-c.opt.Overdue))
}

func (c *reconciler) tellCart() {
	if c.conn.Role == "cart" && len(c.result.Carts) == 0 {
		c.result.Carts = []relay.ConnectionName{c.conn.Name}
	}
}

// wake has the hold workflows of orders look again.
func (c *reconciler) wake(refs ...relay.Reference) {
	c.result.Woken = append(c.result.Woken, refs...)
	c.result.Woken = c.result.Woken[:min(len(c.result.Woken), mostWoken)]
}
