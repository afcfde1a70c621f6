package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/starter/rehearsal"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) onboardCommand() *cobra.Command {
	var r onboardRequest
	cmd := a.verb(cobra.Command{
		Use:   "onboard",
		Short: "Take in a merchant from its file, or update it",
		Long: `Take in a merchant from its file: the merchant, its carts, its warehouse and their
credentials, which are sealed. Orders start to flow at once. Onboarding again
updates: new settings and credentials take effect at once, a connection that was
stopped works again if those that it is given are others, and one that the file no
longer names is removed.

With --dry-run nothing is changed: the connections are tested, the orders that
the carts have ready are read and prepared as they would be sent, and the answer
says which would go, be skipped or be held, which the warehouse has already, from
another integration, and what the onboarding itself would be refused for. The exit
code is 1 when something should be seen to first.

A merchant goes live when its warehouse is first onboarded in mode live: that
takes --yes, and an earliest date of orders for each cart, from the file's filter
or by --earliest, so that a shop's past is not shipped again. The date stays until
the file or --earliest names another. A cart that comes later needs one, too.

A live cart takes a live warehouse, and an account is one cart of one merchant.

All faults of the file are listed with their lines, and nothing is changed then.
A credential may be written as ${NAME}; it is read from the environment.`,
		Example: `  ferry merchant onboard --file merchant.yaml --dry-run
  ferry merchant onboard --file merchant.yaml --yes --earliest 2026-11-01
  ferry merchant onboard -f -`,
	}, func(ctx context.Context, _ []string) error { return a.onboard(ctx, r) })
	f := cmd.Flags()
	f.StringVarP(&r.file, "file", "f", "", "the merchant's `file`; - for standard input")
	f.BoolVar(&r.dryRun, "dry-run", false, "change nothing, and say what would become of the orders")
	f.IntVar(&r.orders, "orders", 1000, "with --dry-run, the most `orders` to read of each cart")
	f.BoolVar(&r.yes, "yes", false, "go live: orders are sent to a live warehouse from now on")
	f.BoolVar(&r.paused, "paused", false, "take it in paused: nothing runs until ferry merchant resume")
	f.StringVar(&r.earliest, "earliest", "", "leave out orders placed before this `date`, at carts whose filter in the file names none")
	actorFlag(cmd, &r.actor)
	needs(cmd, "file")
	return cmd
}

type onboardRequest struct {
	file, actor, earliest string
	dryRun, yes, paused   bool
	orders                int
}

func (a *app) onboard(ctx context.Context, r onboardRequest) error {
	if r.orders < 1 {
		return usagef("--orders %d: want 1 or more", r.orders)
	}
	name, data, err := a.read(r.file)
	if err != nil {
		return err
	}
	env := func(name string) (string, bool) { return lookup(a.env).LookupEnv(name) }
	f, faults := merchantfile.Parse(name, data, env, a.parts.connectors)
	for _, w := range f.Warnings {
		a.say("%v (warning)", w)
	}
	if len(faults) > 0 {
		return a.refuse(name, faults)
	}
	l, err := a.vault(ctx)
	if err != nil {
		return err
	}
	before, err := l.Merchant(ctx, f.Merchant.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := a.limit(r, before, &f.Merchant); err != nil {
		return err
	}
	refused, err := a.refusals(ctx, l, before, f)
	if err != nil {
		return err
	}
	goesLive := f.Merchant.Warehouse.Mode == relay.ModeLive && before.Warehouse.Mode != relay.ModeLive
	if r.dryRun {
		r.yes = goesLive // in the command that comes next
		return a.rehearse(ctx, l, f, r, refused)
	}
	if len(refused) > 0 {
		return usagef("%s; nothing was changed", strings.Join(refused, "; "))
	}
	if goesLive && !r.yes {
		return usagef("merchant %s would go live: its orders would be sent to %s for real; look with --dry-run, then say --yes; nothing was changed",
			f.Merchant.ID, f.Merchant.Warehouse.Name)
	}
	// Before anything is written: the ledger alone would start nothing.
	if _, err := a.engine(ctx); err != nil {
		return err
	}
	v := onboardView{Merchant: f.Merchant.ID, Workflow: workflows.MerchantID(f.Merchant.ID), Connections: connectionsOf(f.Merchant), Warnings: len(f.Warnings)}
	// Where it runs, before its settings change, and by its workflow: that reads
	// only at its start whether it is paused. A new one runs once it is woken.
	if r.paused && before.ID != "" {
		var jobs workflows.JobAnswer
		err := a.askMerchant(ctx, f.Merchant.ID, workflows.Pause, workflows.JobRequest{Actor: a.actor(r.actor)}, &jobs)
		if errors.Is(err, errNoWorkflow) { // one that begins reads the ledger
			err = l.SetPaused(ctx, f.Merchant.ID, true)
		}
		if err != nil {
			return err
		}
	}
	if v.Created, err = l.SaveMerchant(ctx, f.Merchant, secretsOf(f)); err != nil {
		return err
	}
	if r.paused && before.ID == "" {
		if err := l.SetPaused(ctx, f.Merchant.ID, true); err != nil {
			return err
		}
	}
	v.Paused = r.paused || !before.PausedAt.IsZero()
	if !v.Created {
		now, err := l.Merchant(ctx, f.Merchant.ID)
		if err != nil {
			return err
		}
		for _, c := range now.Connections {
			if !c.StoppedAt.IsZero() {
				v.Stopped = append(v.Stopped, c.Name)
			}
		}
	}
	if err := a.wake(ctx, f.Merchant.ID, r.actor); err != nil {
		return fmt.Errorf("merchant %s is in the ledger, but its workflow does not know yet; run this again: %w", f.Merchant.ID, err)
	}
	return a.print(v)
}

// limit gives carts whose filter names no earliest date the one of the flag, or
// else the one that they had: forgetting the flag must not ship a shop's past.
func (a *app) limit(r onboardRequest, before store.Merchant, m *relay.Merchant) error {
	var flag time.Time
	if r.earliest != "" {
		var err error
		if flag, err = m.Resend.ParseEarliest(r.earliest); err != nil {
			return usagef("--earliest %w", err)
		}
	}
	for i := range m.Carts {
		f := &m.Carts[i].Rules.Filter
		had, _ := before.Connection(m.Carts[i].Name)
		switch {
		case !f.Earliest.IsZero():
		case !flag.IsZero():
			f.Earliest = flag
		case !had.Rules.Filter.Earliest.IsZero():
			f.Earliest = had.Rules.Filter.Earliest
			a.say("cart %s keeps its earliest date of orders, %s: another goes into filter.earliest or --earliest", m.Carts[i].Name, f.Earliest.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// secretsOf are what the ledger seals of a file.
func secretsOf(f merchantfile.File) map[relay.ConnectionName]map[string]string {
	out := make(map[relay.ConnectionName]map[string]string)
	for c, values := range f.Credentials {
		out[c] = values
	}
	if f.WebhookSecret != "" {
		out[store.AlertsSecret] = map[string]string{"secret": f.WebhookSecret}
	}
	return out
}

// refusals are what an onboarding is refused for, whatever a person says to it; the
// ledger may have more (store.Store.RehearseMerchant).
func (a *app) refusals(ctx context.Context, l ledger, before store.Merchant, f merchantfile.File) ([]string, error) {
	taken, err := a.takenAccounts(ctx, l, f)
	if err != nil {
		return nil, err
	}
	return append(undated(before, f.Merchant), taken...), nil
}

// undated names the carts whose past would be shipped: those without an earliest
// date of orders that are to be live. Who is live already stays so.
func undated(before store.Merchant, m relay.Merchant) (out []string) {
	if m.Warehouse.Mode != relay.ModeLive {
		return nil
	}
	already := before.Warehouse.Mode == relay.ModeLive
	for _, c := range m.Carts {
		_, known := before.Connection(c.Name)
		if c.Rules.Filter.Earliest.IsZero() && !(already && known) {
			out = append(out, fmt.Sprintf("merchant %s would go live with cart %s, which has no earliest date of orders: want filter.earliest in the file or --earliest, such as --earliest 2026-11-01",
				m.ID, c.Name))
		}
	}
	return out
}

// takenAccounts names the carts that clash with one of another merchant. Promise 1: each
// of their orders would be shipped by both.
func (a *app) takenAccounts(ctx context.Context, l ledger, f merchantfile.File) (out []string, err error) {
	merchants, err := l.Merchants(ctx)
	if err != nil {
		return nil, err
	}
	for _, other := range merchants {
		if other.ID == f.Merchant.ID {
			continue // the file takes the place of its own carts
		}
		for _, taken := range other.Connections {
			for _, c := range f.Merchant.Carts {
				clash := a.connector(c.Connector).Clash(c, taken.Connection)
				if taken.Role != string(connectors.Cart) || clash == "" {
					continue
				}
				same, err := sameCredentials(ctx, l.StoredVault(taken), f.Credentials[c.Name])
				if err != nil { // of a key file that is gone, say: that must not keep all others out
					a.say("could not compare cart %s with cart %s of merchant %s: %v", c.Name, taken.Name, other.ID, err)
				}
				if same {
					out = append(out, fmt.Sprintf("cart %s is the same account as cart %s of merchant %s, and %s", c.Name, taken.Name, other.ID, clash))
				}
			}
		}
	}
	return out, nil
}

// sameCredentials reports whether a connection was onboarded with what is given, or
// uses it now: tokens rotate.
func sameCredentials(ctx context.Context, v rehearsal.StoredVault, given map[string]string) (bool, error) {
	if same, err := v.Onboarded(ctx, given); same || err != nil {
		return same, err
	}
	inUse, err := v.Read(ctx)
	return err == nil && maps.Equal(inUse, given), err
}

// connector is the one of that name, which is there: the file was read by it.
func (a *app) connector(name string) connectors.Connector {
	i := slices.IndexFunc(a.parts.connectors, func(k connectors.Connector) bool { return k.Name == name })
	return a.parts.connectors[i]
}

// wake starts a merchant's workflow, or tells it of new settings.
func (a *app) wake(ctx context.Context, m relay.MerchantID, actor string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	return e.Wake(ctx, m, a.actor(actor))
}

// mostFaults bounds the faults that are listed: a wrong column has one in each row.
const mostFaults = 100

// refuse lists the faults of a file.
func (a *app) refuse(name string, faults []merchantfile.Fault) error {
	for _, f := range faults[:min(len(faults), mostFaults)] {
		a.say("%v", f)
	}
	if more := len(faults) - mostFaults; more > 0 {
		a.say("and %s more", relay.Many(more, "fault"))
	}
	return usagef("%s: %s; nothing was changed", name, relay.Many(len(faults), "fault"))
}

type onboardView struct {
	Merchant    relay.MerchantID `json:"merchant"`
	Created     bool             `json:"created"`
	Workflow    string           `json:"workflow"`
	Paused      bool             `json:"paused,omitempty"`
	Connections []onboardedView  `json:"connections"`
	// Stopped are connections that refused their credentials, which the file has still.
	Stopped  []relay.ConnectionName `json:"stopped,omitempty"`
	Warnings int                    `json:"warnings"`
}

type onboardedView struct {
	Name      relay.ConnectionName `json:"name"`
	Role      string               `json:"role"`
	Connector string               `json:"connector"`
	Mode      relay.Mode           `json:"mode"`
}

func connectionsOf(m relay.Merchant) []onboardedView {
	var out []onboardedView
	for _, c := range m.Carts {
		out = append(out, onboardedView{c.Name, "cart", c.Connector, c.Mode})
	}
	return append(out, onboardedView{m.Warehouse.Name, "warehouse", m.Warehouse.Connector, m.Warehouse.Mode})
}

func (v onboardView) text(p *page) {
	done := "updated"
	if v.Created {
		done = "taken in"
	}
	var list []string
	for _, c := range v.Connections {
		list = append(list, fmt.Sprintf("%s %s (%s, %s)", c.Role, c.Name, c.Connector, c.Mode))
	}
	p.line("merchant %s was %s: %s", v.Merchant, done, strings.Join(list, ", "))
	p.line("its workflow is %s", v.Workflow)
	if v.Paused {
		p.line("it is paused: ferry merchant resume --merchant %s", v.Merchant)
	}
	for _, c := range v.Stopped {
		p.line("%s is still stopped, for it refused these credentials: mend them in the file, or try them again by ferry merchant resume --merchant %s --connection %s", c, v.Merchant, c)
	}
	for _, c := range v.Connections {
		p.line("test it: ferry connection test --merchant %s --connection %s", v.Merchant, c.Name)
	}
}
