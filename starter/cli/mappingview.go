package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
)

// importView tells what an edit of mappings changed, or would change.
type importView struct {
	Merchant  relay.MerchantID `json:"merchant"`
	DryRun    bool             `json:"dry_run"`
	Added     int              `json:"added"`
	Changed   int              `json:"changed"`
	Unchanged int              `json:"unchanged"`
	Removed   int              `json:"removed"`
	Version   int64            `json:"version"`             // of the merchant's mappings, afterwards
	Changes   []changeView     `json:"changes,omitempty"`   // of a dry run: the first of them
	More      bool             `json:"more,omitempty"`      // there are more than those
	NotThere  []relay.SKU      `json:"not_there,omitempty"` // were to be removed

	what string
}

type changeView struct {
	Change string `json:"change"` // "added", "changed" or "removed"
	mappedView
	Was string `json:"was,omitempty"` // the item code or the components before
}

// mappedView is an alias or a kit.
type mappedView struct {
	SKU        relay.SKU            `json:"sku"`
	Code       string               `json:"item_code,omitempty"`  // of an alias
	Components string               `json:"components,omitempty"` // of a kit: "1 x BOX, 2 x CUP"
	Cart       relay.ConnectionName `json:"cart"`                 // "" for every cart
}

func newImportView(id relay.MerchantID, what string, p store.MappingPreview) importView {
	v := importView{
		Merchant: id, Added: p.Added, Changed: p.Changed, Unchanged: p.Unchanged, Removed: p.Removed, Version: p.Version, what: what,
	}
	for _, c := range p.Changes {
		is := c.After
		if is == "" {
			is = c.Before
		}
		w := changeView{Change: c.Change(), mappedView: mappedView{SKU: c.SKU, Cart: c.Cart}, Was: c.Before}
		if c.Kind == store.KitMapping {
			w.Components = is
		} else {
			w.Code = is
		}
		v.Changes = append(v.Changes, w)
	}
	return v
}

func (v importView) text(p *page) {
	is := "ITEM CODE"
	var rows [][]string
	for _, c := range v.Changes {
		if c.Components != "" {
			is = "COMPONENTS"
		}
		rows = append(rows, []string{c.Change, string(c.SKU), c.Code + c.Components, c.Was, string(c.Cart)})
	}
	p.table([]string{"CHANGE", "SKU", is, "WAS", "CART"}, rows)
	would := ""
	if v.DryRun {
		would = "would be "
	}
	p.line("%s of %s: %s%d added, %d changed, %d removed; %d unchanged", v.what, v.Merchant, would, v.Added, v.Changed, v.Removed, v.Unchanged)
}

// historyVerb lists changes of mappings.
func (n mappingNoun[M]) historyVerb() *cobra.Command {
	q := store.MappingQuery{Kind: n.kind}
	var limit int
	cmd := n.verb(cobra.Command{
		Use:   "history",
		Short: "List who changed which " + string(n.kind) + " when",
		Long: `List the changes of ` + n.several + `, the latest first: who made them when, and what was
before and after. Aliases and kits have one version together: each import or edit
that changes anything raises it by one, and each attempt to hand an order over
keeps the version that it was translated with (ferry order history).`,
		Example: `  ferry ` + string(n.kind) + ` history --merchant acme
  ferry ` + string(n.kind) + ` history --merchant acme --sku CUP --output json`,
	}, func(ctx context.Context, _ []string) error {
		l, m, err := n.merchant(ctx, q.Merchant)
		if err != nil {
			return err
		}
		list, more, err := limited(n.app, limit, func(limit int) ([]store.MappingChange, error) { return l.MappingHistory(ctx, q, limit) })
		if err != nil {
			return err
		}
		v := mappingHistoryView{Merchant: m.ID, Version: m.MappingsVersion, Changes: []mappingChangeView{}, More: more, what: n.several, ofVersion: q.Version > 0}
		for _, c := range list {
			v.Changes = append(v.Changes, mappingChangeView{c.Version, c.At.UTC(), c.Actor, c.Change(), c.SKU, c.Cart, c.Before, c.After})
		}
		return n.print(v)
	})
	merchantFlag(cmd, &q.Merchant)
	cmd.Flags().Var(word(&q.SKU, parseCell[relay.SKU], "text"), "sku", "only changes of this SKU")
	cmd.Flags().Var(&numberFlag[int64]{&q.Version, 1 << 62, "a version, 1 or more", "number"}, "version", "only what this version brought")
	limitFlag(cmd, &limit)
	needs(cmd, "merchant")
	return cmd
}

type mappingHistoryView struct {
	Merchant relay.MerchantID    `json:"merchant"`
	Version  int64               `json:"version"` // of the merchant's mappings now
	Changes  []mappingChangeView `json:"changes"` // the latest first
	More     bool                `json:"more"`

	what      string
	ofVersion bool // only changes of one were asked for
}

type mappingChangeView struct {
	Version int64                `json:"version"`
	At      time.Time            `json:"at"`
	Actor   string               `json:"actor"`
	Change  string               `json:"change"` // "added", "changed" or "removed"
	SKU     relay.SKU            `json:"sku"`
	Cart    relay.ConnectionName `json:"cart"` // "" for every cart
	Was     string               `json:"was,omitempty"`
	Is      string               `json:"is,omitempty"`
}

func (v mappingHistoryView) text(p *page) {
	if len(v.Changes) == 0 {
		p.line("no such change of %s of merchant %s", v.what, v.Merchant)
		if v.ofVersion {
			p.line("a version is of aliases or of kits: look with ferry alias history and ferry kit history")
		}
		return
	}
	var rows [][]string
	for _, c := range v.Changes {
		rows = append(rows, []string{strconv.FormatInt(c.Version, 10), stamp(c.At), c.Actor, c.Change, string(c.SKU), orAll(c.Cart), c.Was, c.Is})
	}
	p.table([]string{"VERSION", "AT", "BY", "CHANGE", "SKU", "CART", "WAS", "IS"}, rows)
}

// orAll names a cart, or says that it is all of them.
func orAll(cart relay.ConnectionName) string {
	if cart == "" {
		return "(all)"
	}
	return string(cart)
}
