package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

const kits = "kits"

func (a *app) kitCommand() *cobra.Command {
	group := a.group("kit", "Import, export and edit kits", "Import, export and edit kits: SKUs that are shipped as other SKUs, so many of each.", `  ferry kit set --merchant acme --sku GIFT --component MUG=2 --component BOX
  ferry kit import --merchant acme kits.csv
  ferry kit list --merchant acme`)
	group.AddCommand(a.kitImportCommand(), a.kitListCommand(), a.kitExportCommand(), a.kitSetCommand(), a.kitRemoveCommand(),
		a.mappingHistoryCommand(store.KitMapping, kits))
	return group
}

func (a *app) kitImportCommand() *cobra.Command {
	var r importRequest
	cmd := a.longVerb(cobra.Command{
		Use:   "import FILE",
		Short: "Add and change kits from a CSV file",
		Long: `Add and change kits from a CSV file, or from standard input for "-". Its heading
names the columns sku, component, units and, for kits of one cart only, cart, in any
order. There is a row for each component; one without component and units stands
for a kit of which only the SKU is known, and whose orders are held. The components
of a kit that the file names are those in the file.

A component is a SKU like any other, and goes through aliases; it can't be a kit
itself. All faults are listed with their lines, and nothing is imported then. With
--preview nothing is imported either: it is told how many kits would be added,
changed and removed, and which, as far as --limit allows.`,
		Example: `  ferry kit import --merchant acme kits.csv
  ferry kit import --merchant acme --preview --replace kits.csv`,
		Args: oneFile,
	}, aWhile, func(ctx context.Context, args []string) error { return a.importKits(ctx, r, args[0]) })
	importFlags(cmd, &r, kits)
	return cmd
}

func (a *app) importKits(ctx context.Context, r importRequest, path string) error {
	name, data, err := a.read(path)
	if err != nil {
		return err
	}
	l, m, err := a.merchant(ctx, r.merchant)
	if err != nil {
		return err
	}
	f, faults := parseKits(name, data, cartNames(m))
	if len(faults) > 0 {
		return a.refuse(name, faults)
	}
	e := store.KitEdit{Set: f.kits, Replace: r.replace}
	if r.preview {
		var p store.MappingPreview
		if p, err = l.PreviewKits(ctx, r.merchant, e, r.limit); err == nil {
			return a.printPreview(r.merchant, kits, p)
		}
	} else {
		err = a.editKits(ctx, l, r.merchant, r.actor, e)
	}
	var nested *store.NestedKitsError
	if errors.As(err, &nested) {
		return a.refuse(name, f.faults(nested))
	}
	return err
}

func (a *app) editKits(ctx context.Context, l mappingLedger, id relay.MerchantID, actor string, e store.KitEdit) error {
	v, err := a.edit(ctx, id, kits, actor, func(by string) (store.MappingCounts, error) {
		e.Actor = by
		return l.EditKits(ctx, id, e)
	})
	if err != nil {
		return err
	}
	return a.print(v)
}

func (a *app) kitSetCommand() *cobra.Command {
	var id relay.MerchantID
	var k relay.Kit
	var empty bool
	var actor string
	cmd := a.verb(cobra.Command{
		Use:   "set",
		Short: "Add or change one kit",
		Long: `Add or change one kit. Its components are those that are named, SKU=UNITS or only
the SKU for one unit of it; what follows the last "=" is the number of units. Orders
that were held for want of components go on by themselves.`,
		Example: `  ferry kit set --merchant acme --sku GIFT --component MUG=2 --component BOX
  ferry kit set --merchant acme --sku SOON --empty`,
	}, func(ctx context.Context, _ []string) error {
		l, m, err := a.merchant(ctx, id)
		if err != nil {
			return err
		}
		if err := cartOf(m, k.Cart); err != nil {
			return err
		}
		if err := k.Check(); err != nil {
			return &usageError{err}
		}
		err = a.editKits(ctx, l, id, actor, store.KitEdit{Set: []relay.Kit{k}})
		var nested *store.NestedKitsError
		if errors.As(err, &nested) {
			return &usageError{fmt.Errorf("%w; nothing was changed", err)}
		}
		return err
	})
	merchantFlag(cmd, &id)
	cellFlag(cmd, &k.SKU, "sku", "the cart's SKU")
	cellsFlag(cmd, &k.Components, parseComponent, "component", "SKU=UNITS", "what a unit of the kit holds; may be given several times")
	cmd.Flags().BoolVar(&empty, "empty", false, "a kit whose components are not known yet: its orders are held")
	cmd.MarkFlagsMutuallyExclusive("component", "empty")
	cmd.MarkFlagsOneRequired("component", "empty")
	cartFlag(cmd, &k.Cart)
	actorFlag(cmd, &actor)
	needs(cmd, "merchant")
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

func (a *app) kitRemoveCommand() *cobra.Command {
	var id relay.MerchantID
	var skus []relay.SKU
	var cart relay.ConnectionName
	var actor string
	cmd := a.verb(cobra.Command{
		Use:   "remove",
		Short: "Remove kits",
		Long: `Remove kits, in one transaction. Their SKUs are then what an alias says; without
one, orders with them are held. What was sent stays as it is.

The exit code is 1 when one of them is not there; the others are removed.`,
		Example: `  ferry kit remove --merchant acme --sku GIFT`,
	}, func(ctx context.Context, _ []string) error {
		l, _, err := a.merchant(ctx, id)
		if err != nil {
			return err
		}
		e := store.KitEdit{}
		for _, sku := range skus {
			e.Remove = append(e.Remove, relay.Kit{SKU: sku, Cart: cart})
		}
		return a.remove(ctx, id, kits, actor, func(by string) (store.MappingCounts, error) {
			e.Actor = by
			return l.EditKits(ctx, id, e)
		})
	})
	merchantFlag(cmd, &id)
	cellsFlag(cmd, &skus, parseCell[relay.SKU], "sku", "text", "the cart's SKU; may be given several times")
	cartFlag(cmd, &cart)
	actorFlag(cmd, &actor)
	needs(cmd, "merchant", "sku")
	return cmd
}

func (a *app) kitListCommand() *cobra.Command {
	var id relay.MerchantID
	cmd := a.verb(cobra.Command{Use: "list", Short: "List kits and what they hold", Example: `  ferry kit list --merchant acme
  ferry kit list --merchant acme --output json`}, func(ctx context.Context, _ []string) error {
		v, err := a.kits(ctx, id)
		if err != nil {
			return err
		}
		return a.print(v)
	})
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) kits(ctx context.Context, id relay.MerchantID) (kitsView, error) {
	l, m, err := a.merchant(ctx, id)
	if err != nil {
		return kitsView{}, err
	}
	list, err := l.Kits(ctx, id)
	if err != nil {
		return kitsView{}, err
	}
	v := kitsView{Merchant: m.ID, Version: m.AliasesVersion, Kits: []kitView{}, list: list}
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

func (a *app) kitExportCommand() *cobra.Command {
	var id relay.MerchantID
	cmd := a.longVerb(cobra.Command{
		Use:   "export",
		Short: "Write kits as CSV",
		Long: `Write kits as CSV that ferry kit import reads: imported again unchanged, it changes
nothing. What a spreadsheet would take for a formula has an apostrophe before it,
which an import takes off.`,
		Example: `  ferry kit export --merchant acme`,
	}, noLimit, func(ctx context.Context, _ []string) error {
		v, err := a.kits(ctx, id)
		if err != nil {
			return err
		}
		if a.output == jsonOut {
			return a.print(v)
		}
		if err := writeKits(a.stdout, v.list); err != nil {
			return fmt.Errorf("export kits: %w", err)
		}
		return nil
	})
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}
