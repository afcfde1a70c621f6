package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/store"
)

// aliases is the noun of aliases.
func (a *app) aliases() mappingNoun[relay.Alias] {
	return mappingNoun[relay.Alias]{
		app: a, kind: store.AliasMapping, several: "aliases", columns: []string{columnSKU, columnCode, columnCart},
		named: func(sku relay.SKU, cart relay.ConnectionName) relay.Alias { return relay.Alias{SKU: sku, Cart: cart} },
		edit:  mappingLedger.EditAliases, preview: mappingLedger.PreviewAliases,
		parse: func(file string, data []byte, carts []relay.ConnectionName) ([]relay.Alias, func(error) []merchantfile.Fault, []merchantfile.Fault) {
			list, faults := parseAliases(file, data, carts)
			return list, func(error) []merchantfile.Fault { return nil }, faults
		},
		view: viewAliases, rows: aliasRows,
	}
}

func (a *app) aliasCommand() *cobra.Command {
	group := a.group("alias", "Import, export, edit and explain aliases", "Import, export, edit and explain aliases: which item code of the warehouse a cart's SKU is.", `  ferry alias import --merchant acme aliases.csv
  ferry alias list --merchant acme
  ferry alias show --merchant acme CUP`)
	n := a.aliases()
	group.AddCommand(n.importVerb(cobra.Command{
		Short: "Add and change aliases from a CSV file",
		Long: `Add and change aliases from a CSV file, or from standard input for "-". Its heading
names the columns sku, item_code and, for aliases of one cart only, cart, in any
order. Orders that were held for want of an alias go on by themselves.

All faults are listed with their lines, and nothing is imported then. With
--dry-run nothing is imported either: it is told how many aliases would be added,
changed and removed, and which, as far as --limit allows.`,
		Example: `  ferry alias import --merchant acme aliases.csv
  ferry alias import --merchant acme --dry-run --replace aliases.csv`,
	}), n.listVerb(cobra.Command{
		Short: "List aliases",
		Example: `  ferry alias list --merchant acme
  ferry alias list --merchant acme --output json`,
	}), n.exportVerb(cobra.Command{
		Long: `Write aliases as CSV that ferry alias import reads: imported again unchanged, it
changes nothing. What a spreadsheet would take for a formula, or for a number in
scientific notation, has an apostrophe before it, which an import takes off. They are all of one moment, and are written as
they are read, however many.`,
		Example: `  ferry alias export --merchant acme`,
	}), a.aliasSetCommand(), n.removeVerb(cobra.Command{
		Long: `Remove aliases, in one transaction. Orders with such a SKU are held from then on,
unless another alias or a kit has it; what was sent stays as it is.

The exit code is 1 when one of them is not there; the others are removed.`,
		Example: `  ferry alias remove --merchant acme --sku CUP
  ferry alias remove --merchant acme --sku CUP --cart main`,
	}), a.aliasShowCommand(), n.historyVerb())
	return group
}

func (a *app) aliasSetCommand() *cobra.Command {
	var s mappingScope
	var al relay.Alias
	cmd := a.verb(cobra.Command{
		Use:   "set",
		Short: "Add or change one alias",
		Long: `Add or change one alias. Orders that were held for want of it go on by themselves.
Many are changed in one transaction, and under one version, by ferry alias import.`,
		Example: `  ferry alias set --merchant acme --sku CUP --code 4006380
  ferry alias set --merchant acme --sku CUP --code 4006399 --cart main`,
	}, func(ctx context.Context, _ []string) error {
		al.Cart = s.cart
		return a.aliases().set(ctx, s, al)
	})
	s.flags(cmd)
	cellFlag(cmd, &al.SKU, "sku", "the cart's SKU")
	cellFlag(cmd, &al.Code, "code", "the warehouse's item code")
	return cmd
}

func viewAliases(ctx context.Context, l mappingLedger, m store.Merchant) (result, error) {
	v := aliasesView{Merchant: m.ID, Version: m.MappingsVersion, Aliases: []aliasView{}}
	err := l.EachAlias(ctx, m.ID, func(al relay.Alias) error {
		v.Aliases = append(v.Aliases, aliasView(al))
		return nil
	})
	return v, err
}

type aliasesView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Version  int64            `json:"version"`
	Aliases  []aliasView      `json:"aliases"`
}

type aliasView struct {
	SKU  relay.SKU            `json:"sku"`
	Code relay.ItemCode       `json:"item_code"`
	Cart relay.ConnectionName `json:"cart"` // "" for every cart
}

func (v aliasesView) text(p *page) {
	if len(v.Aliases) == 0 {
		p.line("merchant %s has no aliases", v.Merchant)
		return
	}
	var rows [][]string
	for _, a := range v.Aliases {
		rows = append(rows, []string{string(a.SKU), string(a.Code), orAll(a.Cart)})
	}
	p.table([]string{"SKU", "ITEM CODE", "CART"}, rows)
}

func (a *app) aliasShowCommand() *cobra.Command {
	var id relay.MerchantID
	cmd := a.verb(cobra.Command{
		Use:   "show SKU",
		Short: "Explain what a SKU stands for at each cart",
		Long: `Explain what a SKU stands for at each cart: an alias's item code, a kit's components
with theirs, or nothing, so that its orders are held. What is mapped for one cart
goes before what is mapped for all, and there a kit before an alias.`,
		Example: `  ferry alias show --merchant acme CUP
  ferry alias show --merchant acme GIFT --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one SKU; got %d", len(args))
			}
			_, err := parseCell[relay.SKU](args[0])
			return err
		},
	}, func(ctx context.Context, args []string) error {
		l, m, err := a.merchant(ctx, id)
		if err != nil {
			return err
		}
		t, err := translation(ctx, l, m)
		if err != nil {
			return err
		}
		return a.print(newMeaningView(m, t, relay.SKU(args[0])))
	})
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}

// What a SKU is.
const (
	isAlias   = "alias"
	isKit     = "kit"
	isAsIs    = "as_is"   // the merchant's unaliased SKUs pass as item codes
	isUnknown = "unknown" // its orders are held
)

type meaningView struct {
	Merchant relay.MerchantID `json:"merchant"`
	SKU      relay.SKU        `json:"sku"`
	Version  int64            `json:"version"` // of the merchant's mappings
	Carts    []cartMeaning    `json:"carts"`
}

type cartMeaning struct {
	Cart       relay.ConnectionName `json:"cart"`
	Is         string               `json:"is"`                   // "alias", "kit", "as_is" or "unknown"
	Of         relay.ConnectionName `json:"of"`                   // whose alias or kit it is; "" of all carts
	Code       relay.ItemCode       `json:"item_code,omitempty"`  // of an alias or a SKU as it is
	Components []componentMeaning   `json:"components,omitempty"` // of a kit
}

type componentMeaning struct {
	SKU   relay.SKU      `json:"sku"`
	Units int64          `json:"units"`
	Code  relay.ItemCode `json:"item_code,omitempty"` // "" where it has none: orders of the kit are held
}

func newMeaningView(m store.Merchant, t relay.Mappings, sku relay.SKU) meaningView {
	v := meaningView{Merchant: m.ID, SKU: sku, Version: t.Version, Carts: []cartMeaning{}}
	for _, cart := range cartNames(m) {
		found, ok := t.Lookup(cart, sku)
		c := cartMeaning{Cart: cart, Is: isAlias, Of: found.Cart, Code: found.Code}
		switch {
		case !ok:
			c.Is, c.Code = isUnknown, ""
		case found.AsIs:
			c.Is = isAsIs
		case found.Kit != nil:
			c.Is = isKit
			for _, part := range found.Kit.Components {
				c.Components = append(c.Components, componentMeaning{part.SKU, part.Units, codeOf(t, cart, part.SKU)})
			}
		}
		v.Carts = append(v.Carts, c)
	}
	return v
}

func codeOf(t relay.Mappings, cart relay.ConnectionName, component relay.SKU) relay.ItemCode {
	if m, ok := t.Lookup(cart, component); ok {
		return m.Code
	}
	return ""
}

func (v meaningView) text(p *page) {
	var rows [][]string
	for _, c := range v.Carts {
		of := orAll(c.Of)
		switch {
		case c.Is == isUnknown:
			rows = append(rows, []string{string(c.Cart), "", "nothing: its orders are held", "", ""})
		case c.Is == isAsIs:
			rows = append(rows, []string{string(c.Cart), "", "its own item code", "1", string(c.Code)})
		case c.Is == isAlias:
			rows = append(rows, []string{string(c.Cart), of, "alias", "1", string(c.Code)})
		case len(c.Components) == 0:
			rows = append(rows, []string{string(c.Cart), of, "kit without components: its orders are held", "", ""})
		}
		for _, part := range c.Components {
			code := string(part.Code)
			if code == "" {
				code = "none: orders of the kit are held"
			}
			rows = append(rows, []string{string(c.Cart), of, "kit of " + string(part.SKU), strconv.FormatInt(part.Units, 10), code})
		}
	}
	p.table([]string{"CART", "MAPPED FOR", "STANDS FOR", "UNITS", "ITEM CODE"}, rows)
}
