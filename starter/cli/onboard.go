package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) onboardCommand() *cobra.Command {
	var file, actor string
	cmd := a.verb(cobra.Command{
		Use:   "onboard",
		Short: "Take in a merchant from its file, or update it",
		Long: `Take in a merchant from its file: the merchant, its carts, its warehouse and their
credentials, which are sealed. Orders start to flow at once. Onboarding again
updates: new settings and credentials take effect at once, connections that were
stopped work again, and a connection that the file no longer names is removed.

All faults of the file are listed with their lines, and nothing is changed then.
A credential may be written as ${NAME}; it is read from the environment.`,
		Example: `  ferry merchant onboard --file merchant.yaml
  ferry merchant onboard -f -`,
	}, func(ctx context.Context, _ []string) error { return a.onboard(ctx, file, actor) })
	cmd.Flags().StringVarP(&file, "file", "f", "", "the merchant's `file`; - for standard input")
	actorFlag(cmd, &actor)
	needs(cmd, "file")
	return cmd
}

func (a *app) onboard(ctx context.Context, path, actor string) error {
	name, data, err := a.read(path)
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
	// Before anything is written: the ledger alone would start nothing.
	if _, err := a.engine(ctx); err != nil {
		return err
	}
	credentials := make(map[relay.ConnectionName]map[string]string)
	for c, values := range f.Credentials {
		credentials[c] = values
	}
	if f.WebhookSecret != "" {
		credentials[store.AlertsSecret] = map[string]string{"secret": f.WebhookSecret}
	}
	v := onboardView{Merchant: f.Merchant.ID, Workflow: workflows.MerchantID(f.Merchant.ID), Connections: connectionsOf(f.Merchant), Warnings: len(f.Warnings)}
	if v.Created, err = l.SaveMerchant(ctx, f.Merchant, credentials); err != nil {
		return err
	}
	if err := a.wake(ctx, f.Merchant.ID, actor); err != nil {
		return fmt.Errorf("merchant %s is in the ledger, but its workflow does not know yet; run this again: %w", f.Merchant.ID, err)
	}
	return a.print(v)
}

// wake starts a merchant's workflow, or tells it of new settings.
func (a *app) wake(ctx context.Context, m relay.MerchantID, actor string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	return e.Wake(ctx, m, a.actor(actor))
}

// refuse lists the faults of a file.
func (a *app) refuse(name string, faults []merchantfile.Fault) error {
	for _, f := range faults {
		a.say("%v", f)
	}
	return usagef("%s: %s; nothing was changed", name, relay.Many(len(faults), "fault"))
}

type onboardView struct {
	Merchant    relay.MerchantID `json:"merchant"`
	Created     bool             `json:"created"`
	Workflow    string           `json:"workflow"`
	Connections []onboardedView  `json:"connections"`
	Warnings    int              `json:"warnings"`
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
	for _, c := range v.Connections {
		p.line("test it: ferry connection test --merchant %s --connection %s", v.Merchant, c.Name)
	}
}
