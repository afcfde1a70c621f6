package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// aliasLedger is what the ledger knows of aliases.
type aliasLedger interface {
	Aliases(ctx context.Context, m relay.MerchantID) ([]relay.Alias, error)
	ImportAliases(ctx context.Context, m relay.MerchantID, list []relay.Alias, replace bool, actor string) (store.AliasChange, error)
}

func (a *app) aliasCommand() *cobra.Command {
	group := a.group("alias", "Import, export and list aliases", "Import, export and list aliases: which item code of the warehouse a cart's SKU is.", `  ferry alias import --merchant acme aliases.csv
  ferry alias list --merchant acme`)
	group.AddCommand(a.aliasImportCommand(), a.aliasListCommand("list", "List aliases", `  ferry alias list --merchant acme
  ferry alias list --merchant acme --output json`, func(v aliasesView) error { return a.print(v) }),
		a.aliasListCommand("export", "Write aliases as CSV", `  ferry alias export --merchant acme`, a.exportAliases))
	return group
}

type importRequest struct {
	merchant        relay.MerchantID
	replace, dryRun bool
	actor           string
}

func (a *app) aliasImportCommand() *cobra.Command {
	var r importRequest
	cmd := a.verb(cobra.Command{
		Use:   "import FILE",
		Short: "Add and change aliases from a CSV file",
		Long: `Add and change aliases from a CSV file, or from standard input for "-". Its heading
names the columns sku, item_code and, for aliases of one cart only, cart, in any
order. Orders that were held for want of an alias go on by themselves.

All faults are listed with their lines, and nothing is imported then.`,
		Example: `  ferry alias import --merchant acme aliases.csv
  ferry alias import --merchant acme --dry-run --replace aliases.csv`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one FILE, or - for standard input; got %d", len(args))
			}
			return nil
		},
	}, func(ctx context.Context, args []string) error { return a.importAliases(ctx, r, args[0]) })
	merchantFlag(cmd, &r.merchant)
	cmd.Flags().BoolVar(&r.replace, "replace", false, "remove the aliases that the file does not name")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "change nothing, and list what would be changed")
	actorFlag(cmd, &r.actor)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) importAliases(ctx context.Context, r importRequest, path string) error {
	name, data, err := a.read(path)
	if err != nil {
		return err
	}
	l, m, err := a.merchant(ctx, r.merchant)
	if err != nil {
		return err
	}
	rows, faults := parseAliases(name, data, cartNames(m))
	if len(faults) > 0 {
		return a.refuse(name, faults)
	}
	list := make([]relay.Alias, len(rows))
	for i, row := range rows {
		list[i] = row.Alias
	}
	if r.dryRun {
		old, err := l.Aliases(ctx, r.merchant)
		if err != nil {
			return err
		}
		return a.print(previewImport(m, old, list, r.replace))
	}
	// Before anything is written: orders that wait for these aliases must be told.
	if _, err := a.engine(ctx); err != nil {
		return err
	}
	c, err := l.ImportAliases(ctx, r.merchant, list, r.replace, workflows.ByOperator(a.actor(r.actor)))
	if err != nil {
		return err
	}
	// Even when nothing changed: an earlier import may have failed to say so.
	if err := a.wake(ctx, r.merchant, r.actor); err != nil {
		return fmt.Errorf("the aliases of %s are in the ledger, but its workflow does not know yet; run this again: %w", r.merchant, err)
	}
	return a.print(importView{Merchant: r.merchant, Added: c.Added, Changed: c.Changed, Unchanged: c.Unchanged, Removed: c.Removed, Version: c.Version})
}

func cartNames(m store.Merchant) []relay.ConnectionName {
	var names []relay.ConnectionName
	for _, c := range m.Carts {
		names = append(names, c.Name)
	}
	return names
}

type importView struct {
	Merchant  relay.MerchantID `json:"merchant"`
	DryRun    bool             `json:"dry_run"`
	Added     int              `json:"added"`
	Changed   int              `json:"changed"`
	Unchanged int              `json:"unchanged"`
	Removed   int              `json:"removed"`
	Version   int64            `json:"version"`           // of the merchant's aliases, afterwards
	Changes   []changeView     `json:"changes,omitempty"` // of a dry run
}

type changeView struct {
	Change string `json:"change"` // "added", "changed" or "removed"
	aliasView
	Was relay.ItemCode `json:"was,omitempty"` // the item code before
}

type aliasView struct {
	SKU  relay.SKU            `json:"sku"`
	Code relay.ItemCode       `json:"item_code"`
	Cart relay.ConnectionName `json:"cart"` // "" for every cart
}

// previewImport compares a file with the ledger's aliases.
func previewImport(m store.Merchant, old, list []relay.Alias, replace bool) importView {
	v := importView{Merchant: m.ID, DryRun: true, Version: m.AliasesVersion}
	was := make(map[aliasKey]relay.ItemCode, len(old))
	for _, a := range old {
		was[aliasKey{a.SKU, a.Cart}] = a.Code
	}
	stays := make(map[aliasKey]bool, len(list))
	for _, a := range list {
		key := aliasKey{a.SKU, a.Cart}
		stays[key] = true
		switch code, there := was[key]; {
		case !there:
			v.Added++
			v.Changes = append(v.Changes, changeView{Change: "added", aliasView: aliasView(a)})
		case code != a.Code:
			v.Changed++
			v.Changes = append(v.Changes, changeView{Change: "changed", aliasView: aliasView(a), Was: code})
		default:
			v.Unchanged++
		}
	}
	for _, a := range old {
		if replace && !stays[aliasKey{a.SKU, a.Cart}] {
			v.Removed++
			v.Changes = append(v.Changes, changeView{Change: "removed", aliasView: aliasView(a), Was: a.Code})
		}
	}
	if len(v.Changes) > 0 {
		v.Version++
	}
	slices.SortFunc(v.Changes, func(a, b changeView) int { return cmp.Or(cmp.Compare(a.SKU, b.SKU), cmp.Compare(a.Cart, b.Cart)) })
	return v
}

func (v importView) text(p *page) {
	var rows [][]string
	for _, c := range v.Changes {
		rows = append(rows, []string{c.Change, string(c.SKU), string(c.Code), string(c.Was), string(c.Cart)})
	}
	p.table([]string{"CHANGE", "SKU", "ITEM CODE", "WAS", "CART"}, rows)
	would := ""
	if v.DryRun {
		would = "would be "
	}
	p.line("aliases of %s: %s%d added, %d changed, %d removed; %d unchanged", v.Merchant, would, v.Added, v.Changed, v.Removed, v.Unchanged)
}

// aliasListCommand reads all aliases, for list and export.
func (a *app) aliasListCommand(use, short, example string, show func(aliasesView) error) *cobra.Command {
	var id relay.MerchantID
	cmd := a.verb(cobra.Command{Use: use, Short: short, Example: example}, func(ctx context.Context, _ []string) error {
		l, m, err := a.merchant(ctx, id)
		if err != nil {
			return err
		}
		list, err := l.Aliases(ctx, id)
		if err != nil {
			return err
		}
		return show(newAliasesView(m, list))
	})
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}

type aliasesView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Version  int64            `json:"version"`
	Aliases  []aliasView      `json:"aliases"`
}

func newAliasesView(m store.Merchant, list []relay.Alias) aliasesView {
	v := aliasesView{Merchant: m.ID, Version: m.AliasesVersion, Aliases: []aliasView{}}
	for _, a := range list {
		v.Aliases = append(v.Aliases, aliasView(a))
	}
	return v
}

func (v aliasesView) text(p *page) {
	if len(v.Aliases) == 0 {
		p.line("merchant %s has no aliases", v.Merchant)
		return
	}
	var rows [][]string
	for _, a := range v.Aliases {
		cart := string(a.Cart)
		if cart == "" {
			cart = "(all)"
		}
		rows = append(rows, []string{string(a.SKU), string(a.Code), cart})
	}
	p.table([]string{"SKU", "ITEM CODE", "CART"}, rows)
}

// exportAliases writes the CSV that import reads; as JSON, what list writes.
func (a *app) exportAliases(v aliasesView) error {
	if a.output == jsonOut {
		return a.print(v)
	}
	list := make([]relay.Alias, len(v.Aliases))
	for i, x := range v.Aliases {
		list[i] = relay.Alias(x)
	}
	var b bytes.Buffer
	if err := writeAliases(&b, list); err != nil {
		return fmt.Errorf("export aliases: %w", err)
	}
	if _, err := a.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("export aliases: %w", err)
	}
	return nil
}
