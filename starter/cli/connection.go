package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) connectionCommand() *cobra.Command {
	group := a.group("connection", "Test connections to carts and warehouses", "Test connections to carts and warehouses.",
		"  ferry connection test --merchant acme --connection main")
	var in workflows.CheckInput
	test := a.verb(cobra.Command{
		Use:   "test",
		Short: "Test a connection",
		Long: `Test a connection with its stored credentials: which account and mode answer, and
which rights or settings are missing. Credentials of another mode than the
merchant's file says count as missing. Nothing is changed there. The test runs on
a worker. The exit code is 1 when something is missing.`,
		Example: `  ferry connection test --merchant acme --connection main
  ferry connection test --merchant acme --connection warehouse --timeout 2m`,
	}, func(ctx context.Context, _ []string) error { return a.testConnection(ctx, in) })
	merchantFlag(test, &in.Merchant)
	test.Flags().Var(word(&in.Connection, relay.ParseConnectionName, "name"), "connection", "the connection's name")
	needs(test, "merchant", "connection")
	group.AddCommand(test)
	return group
}

func (a *app) testConnection(ctx context.Context, in workflows.CheckInput) error {
	_, m, err := a.merchant(ctx, in.Merchant)
	if err != nil {
		return err
	}
	c, err := connectionOf(m, in.Connection)
	if err != nil {
		return err
	}
	in.Connector = c.Connector
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	r, err := e.Test(ctx, in)
	if err != nil {
		return err
	}
	if r.Mode != "" && r.Mode != c.Mode {
		r.Missing = append(r.Missing, fmt.Sprintf("credentials of mode %s: they answered as %s (onboard with these, or with mode %s)", c.Mode, r.Mode, r.Mode))
	}
	return a.conclude(newTestView(in, r), len(r.Missing) == 0)
}

// connectionOf finds a merchant's connection, or says which there are.
func connectionOf(m store.Merchant, name relay.ConnectionName) (store.Connection, error) {
	c, ok := m.Connection(name)
	if ok {
		return c, nil
	}
	var names []string
	for _, c := range m.Connections {
		names = append(names, string(c.Name))
	}
	return c, fmt.Errorf("connection %s of merchant %s: %w; it has %s", name, m.ID, store.ErrNotFound, strings.Join(names, ", "))
}

type testView struct {
	Merchant   relay.MerchantID     `json:"merchant"`
	Connection relay.ConnectionName `json:"connection"`
	Connector  string               `json:"connector"`
	Account    string               `json:"account"`
	Mode       relay.Mode           `json:"mode,omitempty"`
	Details    []string             `json:"details"`
	Missing    []string             `json:"missing"`
}

func newTestView(in workflows.CheckInput, r connectors.Report) testView {
	return testView{in.Merchant, in.Connection, in.Connector, r.Account, r.Mode, orNone(r.Details), orNone(r.Missing)}
}

func (v testView) text(p *page) {
	result := "works"
	if len(v.Missing) > 0 {
		result = "answers, but something is missing"
	}
	p.line("connection %s of merchant %s %s", v.Connection, v.Merchant, result)
	p.pairs([2]string{"  connector", v.Connector}, [2]string{"  account", v.Account}, [2]string{"  mode", string(v.Mode)})
	for _, d := range v.Details {
		p.line("  %s", d)
	}
	for _, m := range v.Missing {
		p.line("  missing: %s", m)
	}
}
