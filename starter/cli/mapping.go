package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
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
	MappingVersions(ctx context.Context, m relay.MerchantID, versions []int64) ([]store.MappingVersion, error)
}

// translation reads a merchant's mappings as its orders are translated with.
func translation(ctx context.Context, l mappingLedger, m store.Merchant) (relay.Mappings, error) {
	t, err := l.Mappings(ctx, m.ID)
	return t.Under(m.Merchant), err
}

// mappingNoun is a noun whose verbs edit one kind of mappings, and what they
// need to know of it.
type mappingNoun[M relay.Alias | relay.Kit] struct {
	*app
	kind    store.MappingKind // the noun itself
	several string            // of it: "aliases"
	columns []string          // the heading of its files

	// named is a mapping of which only the name matters, as for its removal.
	named   func(relay.SKU, relay.ConnectionName) M
	edit    func(mappingLedger, context.Context, relay.MerchantID, store.MappingEdit[M]) (store.MappingCounts, error)
	preview func(mappingLedger, context.Context, relay.MerchantID, store.MappingEdit[M], int) (store.MappingPreview, error)
	// parse reads a file. blame tells where in it an error of edit or preview comes
	// from: of no line when it does not come from the file.
	parse func(file string, data []byte, carts []relay.ConnectionName) (list []M, blame func(error) []merchantfile.Fault, faults []merchantfile.Fault)
	// view is the list of all, and rows are the cells of its file.
	view func(ctx context.Context, l mappingLedger, m store.Merchant) (result, error)
	rows func(ctx context.Context, l mappingLedger, m relay.MerchantID, row func(cells ...string) error) error
}

// importVerb reads mappings from a file.
func (n mappingNoun[M]) importVerb(c cobra.Command) *cobra.Command {
	var r importRequest
	c.Use, c.Args = "import FILE", oneFile
	cmd := n.longVerb(c, aWhile, func(ctx context.Context, args []string) error { return n.importFile(ctx, r, args[0]) })
	merchantFlag(cmd, &r.merchant)
	cmd.Flags().BoolVar(&r.replace, "replace", false, "remove the "+n.several+" that the file does not name")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "change nothing, and list what would be changed")
	limitFlag(cmd, &r.limit)
	cmd.Flags().Lookup("limit").Usage = fmt.Sprintf("most changes that a dry run lists, up to %d", mostRows)
	actorFlag(cmd, &r.actor)
	needs(cmd, "merchant")
	return cmd
}

// importRequest is an import of mappings from a file.
type importRequest struct {
	merchant        relay.MerchantID
	replace, dryRun bool
	limit           int // of the changes that a dry run lists
	actor           string
}

// oneFile is the argument of an import.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one FILE, or - for standard input; got %d", len(args))
	}
	return nil
}

func (n mappingNoun[M]) importFile(ctx context.Context, r importRequest, path string) error {
	name, data, err := n.read(path)
	if err != nil {
		return err
	}
	l, m, err := n.merchant(ctx, r.merchant)
	if err != nil {
		return err
	}
	list, blame, faults := n.parse(name, data, cartNames(m))
	if len(faults) > 0 {
		return n.refuse(name, faults)
	}
	var v importView
	e := store.MappingEdit[M]{Set: list, Replace: r.replace}
	if r.dryRun {
		v, err = n.foresee(ctx, l, r.merchant, e, r.limit)
	} else {
		v, err = n.apply(ctx, l, r.merchant, e, r.actor)
	}
	if faults := blame(err); len(faults) > 0 {
		return n.refuse(name, faults)
	}
	if err != nil {
		return err
	}
	return n.print(v)
}

// foresee tells what an edit would change.
func (n mappingNoun[M]) foresee(ctx context.Context, l mappingLedger, id relay.MerchantID, e store.MappingEdit[M], limit int) (importView, error) {
	p, err := n.preview(l, ctx, id, e, limit)
	if err != nil {
		return importView{}, err
	}
	v := newImportView(id, n.several, p)
	v.DryRun = true
	if v.More = v.Added+v.Changed+v.Removed > len(v.Changes); v.More {
		n.sayMore(len(v.Changes))
	}
	return v, nil
}

// apply changes mappings and tells the merchant's workflow, so that orders which
// wait for them go on.
func (n mappingNoun[M]) apply(ctx context.Context, l mappingLedger, id relay.MerchantID, e store.MappingEdit[M], actor string) (importView, error) {
	// Before anything is written: orders that wait must be told.
	if _, err := n.engine(ctx); err != nil {
		return importView{}, err
	}
	e.Actor = workflows.ByOperator(n.actor(actor))
	c, err := n.edit(l, ctx, id, e)
	if err != nil {
		return importView{}, err
	}
	// Even when nothing changed: an earlier edit may have failed to say so.
	if err := n.wake(ctx, id, actor); err != nil {
		return importView{}, fmt.Errorf("the %s of %s are in the ledger, but its workflow does not know yet; run this again: %w", n.several, id, err)
	}
	return newImportView(id, n.several, store.MappingPreview{MappingCounts: c}), nil
}

// mappingScope is whose mappings are edited, and by whom.
type mappingScope struct {
	merchant relay.MerchantID
	cart     relay.ConnectionName // "" for all carts
	actor    string
}

func (s *mappingScope) flags(cmd *cobra.Command) {
	merchantFlag(cmd, &s.merchant)
	cmd.Flags().Var(word(&s.cart, relay.ParseConnectionName, "name"), "cart", "only of this cart (default: of all carts)")
	actorFlag(cmd, &s.actor)
	needs(cmd, "merchant")
}

// set adds or changes one mapping.
func (n mappingNoun[M]) set(ctx context.Context, s mappingScope, mapping M) error {
	l, m, err := n.merchant(ctx, s.merchant)
	if err != nil {
		return err
	}
	if s.cart != "" && !slices.Contains(cartNames(m), s.cart) {
		return usagef("--cart %s: no cart of merchant %s; it has %v", s.cart, m.ID, cartNames(m))
	}
	v, err := n.apply(ctx, l, s.merchant, store.MappingEdit[M]{Set: []M{mapping}}, s.actor)
	if err != nil {
		return err
	}
	return n.print(v)
}

// removeVerb removes mappings by SKU. What is not there is told, and the exit code is 1 then.
func (n mappingNoun[M]) removeVerb(c cobra.Command) *cobra.Command {
	var s mappingScope
	var skus []relay.SKU
	c.Use, c.Short = "remove", "Remove "+n.several
	cmd := n.verb(c, func(ctx context.Context, _ []string) error {
		l, _, err := n.merchant(ctx, s.merchant)
		if err != nil {
			return err
		}
		slices.Sort(skus)
		skus = slices.Compact(skus)
		var e store.MappingEdit[M]
		for _, sku := range skus {
			e.Remove = append(e.Remove, n.named(sku, s.cart))
		}
		v, err := n.apply(ctx, l, s.merchant, e, s.actor)
		if err != nil {
			return err
		}
		if v.NotThere, err = n.notThere(ctx, l, s.merchant, skus, v); err != nil {
			return err
		}
		for _, sku := range v.NotThere {
			n.say("%s is not there", sku)
		}
		return n.conclude(v, len(v.NotThere) == 0)
	})
	s.flags(cmd)
	cellsFlag(cmd, &skus, parseCell[relay.SKU], "sku", "text", "the cart's SKU; may be given several times")
	needs(cmd, "sku")
	return cmd
}

// notThere names the SKUs of a removal that nothing was removed of, by what its version brought.
func (n mappingNoun[M]) notThere(ctx context.Context, l mappingLedger, id relay.MerchantID, skus []relay.SKU, v importView) ([]relay.SKU, error) {
	var removed []store.MappingChange
	if v.Removed > 0 {
		var err error
		if removed, err = l.MappingHistory(ctx, store.MappingQuery{Merchant: id, Kind: n.kind, Version: v.Version}, len(skus)); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(skus), func(sku relay.SKU) bool {
		return slices.ContainsFunc(removed, func(c store.MappingChange) bool { return c.SKU == sku })
	}), nil
}

// listVerb lists all mappings.
func (n mappingNoun[M]) listVerb(c cobra.Command) *cobra.Command {
	var id relay.MerchantID
	c.Use = "list"
	cmd := n.verb(c, func(ctx context.Context, _ []string) error { return n.list(ctx, id) })
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}

func (n mappingNoun[M]) list(ctx context.Context, id relay.MerchantID) error {
	l, m, err := n.merchant(ctx, id)
	if err != nil {
		return err
	}
	v, err := n.view(ctx, l, m)
	if err != nil {
		return err
	}
	return n.print(v)
}

// exportVerb writes the CSV that an import reads; as JSON, what list writes.
func (n mappingNoun[M]) exportVerb(c cobra.Command) *cobra.Command {
	var id relay.MerchantID
	c.Use, c.Short = "export", "Write "+n.several+" as CSV"
	cmd := n.longVerb(c, noLimit, func(ctx context.Context, _ []string) error {
		if n.output == jsonOut {
			return n.list(ctx, id)
		}
		l, _, err := n.merchant(ctx, id)
		if err != nil {
			return err
		}
		err = writeCSV(n.stdout, n.columns, func(row func(cells ...string) error) error { return n.rows(ctx, l, id, row) })
		if err != nil {
			return fmt.Errorf("export %s: %w", n.several, err)
		}
		return nil
	})
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
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
