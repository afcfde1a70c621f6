package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// mappingLedger is what the ledger knows of aliases and kits.
type mappingLedger interface {
	EachAlias(ctx context.Context, m relay.MerchantID, f func(relay.Alias) error) error
	EditAliases(ctx context.Context, m relay.MerchantID, e store.AliasEdit) (store.MappingCounts, error)
	PreviewAliases(ctx context.Context, m relay.MerchantID, e store.AliasEdit, first int) (store.MappingPreview, error)
	Kits(ctx context.Context, m relay.MerchantID) ([]relay.Kit, error)
	EditKits(ctx context.Context, m relay.MerchantID, e store.KitEdit) (store.MappingCounts, error)
	PreviewKits(ctx context.Context, m relay.MerchantID, e store.KitEdit, first int) (store.MappingPreview, error)
	Mappings(ctx context.Context, m relay.MerchantID) (relay.Mappings, error)
	MappingHistory(ctx context.Context, q store.MappingQuery, limit int) ([]store.MappingChange, error)
}

// translation reads a merchant's mappings as its orders are translated with.
func translation(ctx context.Context, l mappingLedger, m store.Merchant) (relay.Mappings, error) {
	t, err := l.Mappings(ctx, m.ID)
	return t.Under(m.Merchant), err
}

// importRequest is an import of aliases or kits from a file.
type importRequest struct {
	merchant         relay.MerchantID
	replace, preview bool
	limit            int // of the changes that a preview lists
	actor            string
}

// importFlags are those of an import of what ("aliases").
func importFlags(cmd *cobra.Command, r *importRequest, what string) {
	merchantFlag(cmd, &r.merchant)
	cmd.Flags().BoolVar(&r.replace, "replace", false, "remove the "+what+" that the file does not name")
	cmd.Flags().BoolVar(&r.preview, "preview", false, "change nothing, and list what would be changed")
	// Its name elsewhere, and here before there were previews of kits.
	cmd.Flags().BoolVar(&r.preview, "dry-run", false, "the same as --preview")
	limitFlag(cmd, &r.limit)
	cmd.Flags().Lookup("limit").Usage = fmt.Sprintf("most changes that a preview lists, up to %d", mostRows)
	actorFlag(cmd, &r.actor)
	needs(cmd, "merchant")
}

// oneFile is the argument of an import.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one FILE, or - for standard input; got %d", len(args))
	}
	return nil
}

// edit changes mappings and tells the merchant's workflow, so that orders which
// wait for them go on.
func (a *app) edit(ctx context.Context, id relay.MerchantID, what, actor string, change func(actor string) (store.MappingCounts, error)) (importView, error) {
	// Before anything is written: orders that wait must be told.
	if _, err := a.engine(ctx); err != nil {
		return importView{}, err
	}
	c, err := change(workflows.ByOperator(a.actor(actor)))
	if err != nil {
		return importView{}, err
	}
	// Even when nothing changed: an earlier edit may have failed to say so.
	if err := a.wake(ctx, id, actor); err != nil {
		return importView{}, fmt.Errorf("the %s of %s are in the ledger, but its workflow does not know yet; run this again: %w", what, id, err)
	}
	return newImportView(id, what, store.MappingPreview{MappingCounts: c}), nil
}

// remove is an edit that removes. What is not there is told, and the exit code is 1 then.
func (a *app) remove(ctx context.Context, id relay.MerchantID, what, actor string, change func(actor string) (store.MappingCounts, error)) error {
	v, err := a.edit(ctx, id, what, actor, change)
	if err != nil {
		return err
	}
	if v.Unchanged > 0 {
		a.say("%d of them are not there", v.Unchanged)
	}
	return a.conclude(v, v.Unchanged == 0)
}

// cartFlag names the cart whose mapping it is.
func cartFlag(cmd *cobra.Command, to *relay.ConnectionName) {
	cmd.Flags().Var(word(to, relay.ParseConnectionName, "name"), "cart", "only of this cart (default: of all carts)")
}

// cartOf refuses a cart that the merchant does not have.
func cartOf(m store.Merchant, cart relay.ConnectionName) error {
	if cart == "" {
		return nil
	}
	for _, c := range m.Carts {
		if c.Name == cart {
			return nil
		}
	}
	return usagef("--cart %s: no cart of merchant %s; it has %v", cart, m.ID, cartNames(m))
}

// cellFlag is a SKU or an item code given as a flag.
func cellFlag[T ~string](cmd *cobra.Command, to *T, name, usage string) {
	cmd.Flags().Var(word(to, parseCell[T], "text"), name, usage)
	needs(cmd, name)
}

// cellsFlag are SKUs given as flags, or what is made of them. They may hold commas.
func cellsFlag[T any](cmd *cobra.Command, to *[]T, parse func(string) (T, error), name, kind, usage string) {
	cmd.Flags().Var(&eachFlag[T]{to, parse, kind}, name, usage)
}

// eachFlag is a flag that may be given several times, each time for one value.
type eachFlag[T any] struct {
	to    *[]T
	parse func(string) (T, error)
	kind  string
}

func (f *eachFlag[T]) String() string { return "" }
func (f *eachFlag[T]) Type() string   { return f.kind }
func (f *eachFlag[T]) Set(s string) error {
	v, err := f.parse(s)
	if err == nil {
		*f.to = append(*f.to, v)
	}
	return err
}

func parseCell[T ~string](s string) (T, error) {
	text := strings.TrimSpace(s)
	if text == "" {
		return "", errors.New("want a text that is not empty")
	}
	if why := checkCell(text); why != "" {
		return "", errors.New(why)
	}
	return T(text), nil
}

func cartNames(m store.Merchant) []relay.ConnectionName {
	var names []relay.ConnectionName
	for _, c := range m.Carts {
		names = append(names, c.Name)
	}
	return names
}

// importView tells what an edit of mappings changed, or would change.
type importView struct {
	Merchant  relay.MerchantID `json:"merchant"`
	DryRun    bool             `json:"dry_run"`
	Added     int              `json:"added"`
	Changed   int              `json:"changed"`
	Unchanged int              `json:"unchanged"`
	Removed   int              `json:"removed"`
	Version   int64            `json:"version"`           // of the merchant's mappings, afterwards
	Changes   []changeView     `json:"changes,omitempty"` // of a preview: the first of them
	More      bool             `json:"more,omitempty"`    // there are more than those

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

// printPreview prints what an edit would change.
func (a *app) printPreview(id relay.MerchantID, what string, p store.MappingPreview) error {
	v := newImportView(id, what, p)
	v.DryRun = true
	if v.More = v.Added+v.Changed+v.Removed > len(v.Changes); v.More {
		a.sayMore(len(v.Changes))
	}
	return a.print(v)
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

// mappingHistoryCommand lists changes of one kind of mappings.
func (a *app) mappingHistoryCommand(kind store.MappingKind, what string) *cobra.Command {
	q := store.MappingQuery{Kind: kind}
	var limit int
	cmd := a.verb(cobra.Command{
		Use:   "history",
		Short: "List who changed which " + string(kind) + " when",
		Long: `List the changes of ` + what + `, the latest first: who made them when, and what was
before and after. Aliases and kits have one version together: each import or edit
that changes anything raises it by one, and each attempt to hand an order over
keeps the version that it was translated with (ferry order history).`,
		Example: `  ferry ` + string(kind) + ` history --merchant acme
  ferry ` + string(kind) + ` history --merchant acme --sku CUP --output json`,
	}, func(ctx context.Context, _ []string) error {
		l, m, err := a.merchant(ctx, q.Merchant)
		if err != nil {
			return err
		}
		list, more, err := limited(a, limit, func(limit int) ([]store.MappingChange, error) { return l.MappingHistory(ctx, q, limit) })
		if err != nil {
			return err
		}
		v := mappingHistoryView{Merchant: m.ID, Version: m.AliasesVersion, Changes: []mappingChangeView{}, More: more, what: what}
		for _, c := range list {
			v.Changes = append(v.Changes, mappingChangeView{c.Version, c.At.UTC(), c.Actor, c.Change(), c.SKU, c.Cart, c.Before, c.After})
		}
		return a.print(v)
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

	what string
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
