package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/store"
)

// kits is the noun of kits.
func (a *app) kits() mappingNoun[relay.Kit] {
	return mappingNoun[relay.Kit]{
		app: a, kind: store.KitMapping, several: "kits", columns: []string{columnSKU, columnComponent, columnUnits, columnCart},
		named: func(sku relay.SKU, cart relay.ConnectionName) relay.Kit { return relay.Kit{SKU: sku, Cart: cart} },
		edit:  mappingLedger.EditKits, preview: mappingLedger.PreviewKits,
		parse: func(file string, data []byte, carts []relay.ConnectionName) ([]relay.Kit, func(error) []merchantfile.Fault, []merchantfile.Fault) {
			f, faults := parseKits(file, data, carts)
			return f.kits, f.blame, faults
		},
		view: viewKits, rows: kitRows,
	}
}

func (a *app) kitCommand() *cobra.Command {
	group := a.group("kit", "Import, export and edit kits", "Import, export and edit kits: SKUs that are shipped as other SKUs, so many of each.", `  ferry kit set --merchant acme --sku GIFT --component MUG=2 --component BOX
  ferry kit import --merchant acme kits.csv
  ferry kit list --merchant acme`)
	n := a.kits()
	group.AddCommand(n.importVerb(cobra.Command{
		Short: "Add and change kits from a CSV file",
		Long: `Add and change kits from a CSV file, or from standard input for "-". Its heading
names the columns sku, component, units and, for kits of one cart only, cart, in any
order. There is a row for each component; one without component and units stands
for a kit of which only the SKU is known, and whose orders are held. The components
of a kit that the file names are those in the file.

A component is a SKU like any other, and goes through aliases; it can't be a kit
itself. All faults are listed with their lines, and nothing is imported then. With
--dry-run nothing is imported either: it is told how many kits would be added,
changed and removed, and which, as far as --limit allows.`,
		Example: `  ferry kit import --merchant acme kits.csv
  ferry kit import --merchant acme --dry-run --replace kits.csv`,
	}), n.listVerb(cobra.Command{
		Short: "List kits and what they hold",
		Example: `  ferry kit list --merchant acme
  ferry kit list --merchant acme --output json`,
	}), n.exportVerb(cobra.Command{
		Long: `Write kits as CSV that ferry kit import reads: imported again unchanged, it changes
nothing. What a spreadsheet would take for a formula, or for a number in scientific
notation, has an apostrophe before it, which an import takes off.`,
		Example: `  ferry kit export --merchant acme`,
	}), a.kitSetCommand(), n.removeVerb(cobra.Command{
		Long: `Remove kits, in one transaction. Their SKUs are then what an alias says; without
one, orders with them are held. What was sent stays as it is.

The exit code is 1 when one of them is not there; the others are removed.`,
		Example: `  ferry kit remove --merchant acme --sku GIFT`,
	}), n.historyVerb())
	return group
}

func (a *app) kitSetCommand() *cobra.Command {
	var s mappingScope
	var k relay.Kit
	var empty bool
	cmd := a.verb(cobra.Command{
		Use:   "set",
		Short: "Add or change one kit",
		Long: `Add or change one kit. Its components are those that are named, SKU=UNITS or only
the SKU for one unit of it; what follows the last "=" is the number of units. Orders
that were held for want of components go on by themselves.`,
		Example: `  ferry kit set --merchant acme --sku GIFT --component MUG=2 --component BOX
  ferry kit set --merchant acme --sku SOON --empty`,
	}, func(ctx context.Context, _ []string) error {
		k.Cart = s.cart
		if err := k.Check(); err != nil {
			return &usageError{err}
		}
		err := a.kits().set(ctx, s, k)
		var nested *store.NestedKitsError
		if errors.As(err, &nested) {
			return usagef("%w; nothing was changed", err)
		}
		return err
	})
	s.flags(cmd)
	cellFlag(cmd, &k.SKU, "sku", "the cart's SKU")
	cellsFlag(cmd, &k.Components, parseComponent, "component", "SKU=UNITS", "what a unit of the kit holds; may be given several times")
	cmd.Flags().BoolVar(&empty, "empty", false, "a kit whose components are not known yet: its orders are held")
	cmd.MarkFlagsMutuallyExclusive("component", "empty")
	cmd.MarkFlagsOneRequired("component", "empty")
	return cmd
}

func parseComponent(s string) (c relay.Component, err error) {
	sku, units := s, "1"
	if i := strings.LastIndex(s, "="); i >= 0 {
		sku, units = s[:i], s[i+1:]
	}
	if c.SKU, err = parseCell[relay.SKU](sku); err != nil {
		return c, fmt.Errorf("%w: want SKU=UNITS, such as MUG=2", err)
	}
	c.Units, err = parseUnits(strings.TrimSpace(units))
	return c, err
}

func viewKits(ctx context.Context, l mappingLedger, m store.Merchant) (result, error) {
	list, err := l.Kits(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	v := kitsView{Merchant: m.ID, Version: m.MappingsVersion, Kits: []kitView{}, list: list}
	for _, k := range list {
		w := kitView{SKU: k.SKU, Cart: k.Cart, Components: []componentView{}}
		for _, c := range k.Components {
			w.Components = append(w.Components, componentView(c))
		}
		v.Kits = append(v.Kits, w)
	}
	return v, nil
}

type kitsView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Version  int64            `json:"version"`
	Kits     []kitView        `json:"kits"`

	list []relay.Kit
}

type kitView struct {
	SKU        relay.SKU            `json:"sku"`
	Components []componentView      `json:"components"`
	Cart       relay.ConnectionName `json:"cart"` // "" for every cart
}

type componentView struct {
	SKU   relay.SKU `json:"sku"`
	Units int64     `json:"units"`
}

func (v kitsView) text(p *page) {
	if len(v.list) == 0 {
		p.line("merchant %s has no kits", v.Merchant)
		return
	}
	var rows [][]string
	for _, k := range v.list {
		rows = append(rows, []string{string(k.SKU), k.Contents(), orAll(k.Cart)})
	}
	p.table([]string{"SKU", "COMPONENTS", "CART"}, rows)
}
