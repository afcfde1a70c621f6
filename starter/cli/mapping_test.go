package cli

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// fakeMappings are a merchant's aliases and kits. Edits are noted, not made.
type fakeMappings struct {
	aliases    []relay.Alias
	kits       []relay.Kit
	aliasEdits []store.AliasEdit
	kitEdits   []store.KitEdit
	refuse     error // of kits
}

func (f *fakeMappings) EachAlias(_ context.Context, _ relay.MerchantID, do func(relay.Alias) error) error {
	for _, a := range f.aliases {
		if err := do(a); err != nil {
			return err
		}
	}
	return nil
}

func (f *fakeMappings) EditAliases(_ context.Context, _ relay.MerchantID, e store.AliasEdit) (store.MappingCounts, error) {
	f.aliasEdits = append(f.aliasEdits, e)
	if len(e.Remove) > 0 {
		return store.MappingCounts{Removed: 1, Unchanged: len(e.Remove) - 1, Version: 6}, nil
	}
	return store.MappingCounts{Added: 1, Changed: min(1, len(e.Set)-1), Unchanged: max(0, len(e.Set)-2), Version: 6}, nil
}

func (f *fakeMappings) PreviewAliases(_ context.Context, _ relay.MerchantID, _ store.AliasEdit, first int) (store.MappingPreview, error) {
	change := func(cart relay.ConnectionName, sku relay.SKU, before, after string) store.MappingChange {
		return store.MappingChange{Kind: store.AliasMapping, Cart: cart, SKU: sku, Before: before, After: after}
	}
	all := []store.MappingChange{
		change("", "CUP", "4006380", "4006388"), change("main", "CUP", "4006399", ""), change("", "CUP2", "", "4006380"),
		change("", "MUG", "", "4006381"), change("", `MUG "L", blue`, "4006381", ""),
	}
	return store.MappingPreview{
		MappingCounts: store.MappingCounts{Added: 2, Changed: 1, Removed: 2, Version: 6}, Changes: all[:min(first, len(all))],
	}, nil
}

func (f *fakeMappings) Kits(context.Context, relay.MerchantID) ([]relay.Kit, error) {
	return f.kits, nil
}

func (f *fakeMappings) EditKits(_ context.Context, _ relay.MerchantID, e store.KitEdit) (store.MappingCounts, error) {
	if f.refuse != nil {
		return store.MappingCounts{}, f.refuse
	}
	f.kitEdits = append(f.kitEdits, e)
	if len(e.Remove) > 0 {
		return store.MappingCounts{Removed: 1, Version: 6}, nil
	}
	return store.MappingCounts{Added: len(e.Set), Version: 6}, nil
}

func (f *fakeMappings) PreviewKits(context.Context, relay.MerchantID, store.KitEdit, int) (store.MappingPreview, error) {
	return store.MappingPreview{
		MappingCounts: store.MappingCounts{Added: 1, Removed: 1, Version: 6},
		Changes: []store.MappingChange{
			{Kind: store.KitMapping, SKU: "GIFT", After: "1 x BOX, 2 x MUG"}, {Kind: store.KitMapping, SKU: "SOON", Cart: "main", Before: "(no components)"},
		},
	}, f.refuse
}

func (f *fakeMappings) Mappings(context.Context, relay.MerchantID) (relay.Mappings, error) {
	t := relay.NewMappings(f.aliases, f.kits)
	t.Version = 5
	return t, nil
}

func (f *fakeMappings) MappingHistory(_ context.Context, q store.MappingQuery, _ int) ([]store.MappingChange, error) {
	if q.Version == 6 { // the first of a removal is there
		if q.Kind == store.KitMapping {
			return []store.MappingChange{{Kind: q.Kind, SKU: f.kitEdits[0].Remove[0].SKU}}, nil
		}
		return []store.MappingChange{{Kind: q.Kind, SKU: f.aliasEdits[0].Remove[0].SKU}}, nil
	}
	c := store.MappingChange{Kind: q.Kind, SKU: "CUP", Version: 5, At: evening, Actor: "operator clerk", Before: "4006370", After: "4006380"}
	if q.Kind == store.KitMapping {
		c.SKU, c.Before, c.After = "GIFT", "(no components)", "1 x BOX, 2 x CUP"
	}
	first := c
	first.Version, first.Cart, first.After, first.Before = 4, "main", first.Before, ""
	return []store.MappingChange{c, first}, nil
}

func (f *fakeMappings) MappingVersions(_ context.Context, _ relay.MerchantID, versions []int64) ([]store.MappingVersion, error) {
	var out []store.MappingVersion
	for _, v := range versions {
		out = append(out, store.MappingVersion{Version: v, Kind: store.AliasMapping, Changes: 3, At: evening, Actor: "operator clerk"})
	}
	return out, nil
}

func TestImportAliases(t *testing.T) {
	files(t)
	w := answering(t)
	code, _, stderr := w.ferry(t, "alias", "import", "--merchant", "acme", "--replace", "aliases.csv")
	require.Zero(t, code, stderr)
	require.Equal(t, []store.AliasEdit{{
		Set: []relay.Alias{{SKU: "MUG", Code: "4006381"}, {SKU: "CUP", Code: "4006388"}, {SKU: "CUP2", Code: "4006380"}}, Replace: true, Actor: "operator clerk",
	}}, w.ledger.aliasEdits)
	require.Equal(t, []string{"acme by clerk"}, w.engine.woken)
	require.Empty(t, w.keyFile, "aliases need no key")
}

// Each edit of one mapping or a few is one transaction, and wakes the orders that wait.
func TestEditsOfMappings(t *testing.T) {
	for name, c := range map[string]struct {
		args    string
		aliases []store.AliasEdit
		kits    []store.KitEdit
		code    int
	}{
		"set an alias":         {args: "alias set --sku =CUP --code 9 --cart main", aliases: []store.AliasEdit{{Set: []relay.Alias{{SKU: "=CUP", Code: "9", Cart: "main"}}, Actor: "operator clerk"}}},
		"remove an alias":      {args: "alias remove --sku CUP", aliases: []store.AliasEdit{{Remove: []relay.Alias{{SKU: "CUP"}}, Actor: "operator clerk"}}},
		"remove some, not all": {args: "alias remove --sku A,B --sku C --cart main", aliases: []store.AliasEdit{{Remove: []relay.Alias{{SKU: "A,B", Cart: "main"}, {SKU: "C", Cart: "main"}}, Actor: "operator clerk"}}, code: exitFailed},
		"set a kit": {args: "kit set --sku GIFT --component A=B=2 --component BOX --actor ops", kits: []store.KitEdit{{
			Set: []relay.Kit{{SKU: "GIFT", Components: []relay.Component{{SKU: "A=B", Units: 2}, {SKU: "BOX", Units: 1}}}}, Actor: "operator ops",
		}}},
		"set an empty kit": {args: "kit set --sku GIFT --empty", kits: []store.KitEdit{{Set: []relay.Kit{{SKU: "GIFT"}}, Actor: "operator clerk"}}},
		"remove a kit":     {args: "kit remove --sku GIFT --cart main", kits: []store.KitEdit{{Remove: []relay.Kit{{SKU: "GIFT", Cart: "main"}}, Actor: "operator clerk"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			code, stdout, stderr := w.ferry(t, append(strings.Fields(c.args), "--merchant", "acme")...)
			require.Equal(t, c.code, code, stderr)
			require.NotEmpty(t, stdout)
			require.Equal(t, c.aliases, w.ledger.aliasEdits)
			require.Equal(t, c.kits, w.ledger.kitEdits)
			require.Len(t, w.engine.woken, 1)
		})
	}
}

func TestEditsOfMappingsThatAreRefused(t *testing.T) {
	for args, says := range map[string]string{
		"alias set --sku CUP --code 9 --cart nowhere":        "--cart nowhere: no cart of merchant acme; it has [main]",
		"alias set --sku CUP":                                `required flag(s) "code" not set`,
		"alias remove --cart main":                           `required flag(s) "sku" not set`,
		"alias show":                                         "want one SKU",
		"kit set --sku GIFT":                                 "at least one of the flags in the group [component empty] is required",
		"kit set --sku GIFT --component MUG=0":               `"0": want a whole number from 1 to 1000000`,
		"kit set --sku GIFT --component =2":                  "want SKU=UNITS, such as MUG=2",
		"kit set --sku GIFT --component MUG=many":            `"many": want a whole number`,
		"kit set --sku GIFT --component MUG --component MUG": "kit GIFT: component MUG is named twice",
		"kit set --sku GIFT --component MUG --empty":         "none of the others can be",
		"alias history --version 0":                          "want a version, 1 or more",
	} {
		t.Run(args, func(t *testing.T) {
			w := answering(t)
			code, stdout, stderr := w.ferry(t, append(strings.Fields(args), "--merchant", "acme")...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, says)
			require.Empty(t, stdout)
			require.Empty(t, w.engine.woken)
			require.Empty(t, w.ledger.aliasEdits)
			require.Empty(t, w.ledger.kitEdits)
		})
	}
}

// What was to be removed and is not there is named: a typing error, most likely.
func TestRemoveNamesWhatIsNotThere(t *testing.T) {
	for _, noun := range []string{"alias", "kit"} {
		w := answering(t)
		code, stdout, stderr := w.ferry(t, noun, "remove", "--merchant", "acme", "--sku", "NOPE", "--sku", "CUP", "--sku", "CUP", "--output", "json")
		require.Equal(t, exitFailed, code)
		require.Equal(t, "NOPE is not there\n", stderr)
		require.Contains(t, stdout, `"not_there": [
    "NOPE"
  ]`)
	}
}

func TestDryRunsOfImportsChangeNothing(t *testing.T) {
	files(t)
	w := answering(t)
	code, stdout, stderr := w.ferry(t, "alias", "import", "--merchant", "acme", "--dry-run", "--limit", "2", "aliases.csv")
	require.Zero(t, code)
	require.Contains(t, stdout, "would be 2 added, 1 changed, 2 removed")
	require.NotContains(t, stdout, "CUP2")
	require.Contains(t, stderr, "the first 2 are listed, and there are more")
	require.Empty(t, w.ledger.aliasEdits)
	require.Empty(t, w.engine.woken)
}

// One wrong column is a fault in every row.
func TestImportsListTheFirstFaults(t *testing.T) {
	w := answering(t)
	w.stdin = "sku,item_code,cart\n" + strings.Repeat("A,1,outlet\n", 1000)
	code, _, stderr := w.ferry(t, "alias", "import", "--merchant", "acme", "-")
	require.Equal(t, exitUsage, code)
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	require.Len(t, lines, 102)
	require.Equal(t, []string{"and 900 faults more", "ferry: stdin: 1000 faults; nothing was changed"}, lines[100:])
}

func TestImportsRefuseFaultyFiles(t *testing.T) {
	w := answering(t)
	w.stdin = "sku,item_code,cart\nA,1,outlet\nB,\n"
	code, stdout, stderr := w.ferry(t, "alias", "import", "--merchant", "acme", "-")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Equal(t, `stdin:2:5: cart: "outlet" is no cart of this merchant: want one of [main], or nothing for all carts
stdin:3:1: 2 cells: want 3, as in the heading
ferry: stdin: 2 faults; nothing was changed
`, stderr)
	require.Empty(t, w.ledger.aliasEdits)
	require.Empty(t, w.engine.woken)
}

// Kits of kits are told at the lines that bring them about: of the kit, or of
// the component that becomes one.
func TestImportTellsKitsOfKitsByLine(t *testing.T) {
	files(t)
	require.NoError(t, os.WriteFile("kits.csv", []byte("sku,component,units\nGIFT,MUG,2\nGIFT,SET,1\nSET,CUP,1\nSET,BOX,1\n"), 0o600))
	for _, args := range [][]string{{"kit", "import", "--merchant", "acme", "kits.csv"}, {"kit", "import", "--merchant", "acme", "--dry-run", "kits.csv"}} {
		w := answering(t)
		w.ledger.refuse = &store.NestedKitsError{Nested: relay.NestedKits([]relay.Kit{
			{SKU: "GIFT", Components: []relay.Component{{SKU: "MUG", Units: 2}, {SKU: "SET", Units: 1}}},
			{SKU: "OLD", Components: []relay.Component{{SKU: "SET", Units: 1}}},
			{SKU: "SET", Components: []relay.Component{{SKU: "CUP", Units: 1}}},
		})}
		code, stdout, stderr := w.ferry(t, args...)
		require.Equal(t, exitUsage, code)
		require.Empty(t, stdout)
		require.Equal(t, `kits.csv:3:1: component: GIFT holds SET, which is a kit itself: GIFT -> SET
kits.csv:4:1: sku: OLD holds SET, which is a kit itself: OLD -> SET
ferry: kits.csv: 2 faults; nothing was changed
`, stderr)
		require.Empty(t, w.engine.woken)
	}
}
