package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
)

var carts = []relay.ConnectionName{"main", "outlet"}

func TestParseAliases(t *testing.T) {
	want := []relay.Alias{{SKU: "MUG, blue", Code: "0400"}, {SKU: "CUP", Code: "0401", Cart: "main"}, {SKU: "CUP", Code: "0402"}}
	for name, text := range map[string]string{
		"plain":          "sku,item_code,cart\n\"MUG, blue\",0400,\nCUP,0401,main\nCUP,0402,\n",
		"other order":    "cart,item_code,sku\n,0400,\"MUG, blue\"\nmain,0401,CUP\n,0402,CUP\n",
		"Windows":        "\xef\xbb\xbfSKU,Item_Code,Cart\r\n\"MUG, blue\",0400,\r\nCUP,0401,main\r\nCUP,0402,\r\n",
		"blanks":         " sku , item_code,cart \n\n\"MUG, blue \", 0400 ,\nCUP,0401, main\n,,\nCUP,0402,",
		"quoted heading": "\"sku\",\"item_code\",\"cart\"\n\"MUG, blue\",\"0400\",\"\"\nCUP,0401,main\nCUP,0402,",
	} {
		t.Run(name, func(t *testing.T) {
			got, faults := parseAliases("a.csv", []byte(text), carts)
			require.Empty(t, faults)
			require.Equal(t, want, got)
		})
	}
}

func TestParseAliasesTellsEveryFault(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", []string{"a.csv:1:1: the file is empty: want the heading sku,item_code"}},
		"heading only":   {"sku,item_code\n", []string{"a.csv:1:1: no aliases below the heading"}},
		"semicolons":     {"sku;item_code\nA;1\n", []string{`a.csv:1:1: unknown column "sku;item_code": want sku, item_code and, if need be, cart, separated by commas`}},
		"unknown column": {"sku,item_code,crat\nA,1,main\n", []string{`a.csv:1:15: unknown column "crat": want sku, item_code and, if need be, cart, separated by commas`}},
		"column twice":   {"sku,item_code,sku\n", []string{`a.csv:1:15: column "sku" is there twice`}},
		"column missing": {"sku,cart\nA,main\n", []string{"a.csv:1:1: the heading lacks the column item_code"}},
		"all in one file": {"sku,item_code,cart\n,1,\nA,,nowhere\nB,2\nC,3,main,4\nD,4,\nD,5,\nE,\"5\x00\",\n" + long + ",6,\nF,\xff,\nG,\"7\n\n8\",\nD,9,main\nD,9,main\n", []string{
			"a.csv:2:1: sku: missing",
			"a.csv:3:3: item_code: missing",
			`a.csv:3:4: cart: "nowhere" is no cart of this merchant: want one of [main outlet], or nothing for all carts`,
			"a.csv:4:1: 2 cells: want 3, as in the heading",
			"a.csv:5:1: 4 cells: want 3, as in the heading",
			`a.csv:7:1: sku: "D" is on line 6 already`,
			`a.csv:8:3: item_code: "5\x00" holds a control character`,
			"a.csv:9:1: sku: 256 bytes: want at most 255",
			"a.csv:10:3: item_code: not UTF-8: save the file as UTF-8",
			`a.csv:11:3: item_code: "7\n\n8" holds a control character`,
			`a.csv:15:1: sku: "D" is on line 14 already`,
		}},
		"bad quotes, and on": {"sku,item_code\nA\"B,1\nB,\n\"C,2\nD,3\n", []string{
			"a.csv:2:2: a quote within a cell: want the cell in quotes, and the quote within it twice",
			"a.csv:3:3: item_code: missing",
			"a.csv:4:1: a quote that is not closed, or one within a quoted cell: want that one twice",
		}},
		"digits lost": {"sku,item_code\nTOTE-09,9.4E+21\n1.5E3,0400\n", []string{
			`a.csv:2:9: item_code: "9.4E+21" is in scientific notation, so that digits are lost: have the column saved as text; a code that is meant so has an apostrophe before it`,
			`a.csv:3:1: sku: "1.5E3" is in scientific notation, so that digits are lost: have the column saved as text; a code that is meant so has an apostrophe before it`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			list, faults := parseAliases("a.csv", []byte(c.text), carts)
			require.Empty(t, list)
			var got []string
			for _, f := range faults {
				got = append(got, f.Error())
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestExportIsReadByImport(t *testing.T) {
	cell := rapid.OneOf(rapid.StringMatching(`[!-~äß][ -~äß]{0,20}[!-~äß]|[!-~ß]`), rapid.StringMatching(`'{0,2}[0-9]\.[0-9]E\+?[0-9]`))
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) relay.Alias {
			return relay.Alias{
				SKU: relay.SKU(cell.Draw(t, "sku")), Code: relay.ItemCode(cell.Draw(t, "code")),
				Cart: rapid.SampledFrom(append(carts, "")).Draw(t, "cart"),
			}
		}), 1, 20, func(a relay.Alias) skuAt { return skuAt{a.SKU, a.Cart} }).Draw(t, "list")
		var b bytes.Buffer
		require.NoError(t, exportedBy(t.Context(), (&app{}).aliases(), &fakeMappings{aliases: list}, &b))
		written, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
		require.NoError(t, err)
		for _, cell := range slices.Concat(written...) {
			require.NotRegexp(t, "^[=+@-]", cell, "a spreadsheet would take it for a formula")
		}
		got, faults := parseAliases("a.csv", b.Bytes(), carts)
		require.Empty(t, faults)
		require.Equal(t, list, got)
	})
}

// exportedBy writes what a ledger has as an export does.
func exportedBy[M relay.Alias | relay.Kit](ctx context.Context, n mappingNoun[M], l mappingLedger, w io.Writer) error {
	return writeCSV(w, n.columns, func(row func(cells ...string) error) error { return n.rows(ctx, l, "acme", row) })
}

func FuzzParseAliases(f *testing.F) {
	f.Add([]byte("sku,item_code,cart\nA,1,main\n"))
	f.Add([]byte("\xef\xbb\xbfsku,item_code\r\n\"A\"\"\",1\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, faults := parseAliases("a.csv", data, carts)
		require.NotEqual(t, len(rows) == 0, len(faults) == 0, "either aliases or faults")
		for _, r := range rows {
			require.Equal(t, relay.SKU(strings.TrimSpace(string(r.SKU))), r.SKU)
			require.NotEmpty(t, r.Code)
		}
	})
}

// BenchmarkAliasFile100k reads and writes a file of 100,000 aliases.
func BenchmarkAliasFile100k(b *testing.B) {
	const many = 100_000
	var file bytes.Buffer
	ledger := &fakeMappings{}
	for i := range many {
		ledger.aliases = append(ledger.aliases, relay.Alias{SKU: relay.SKU(fmt.Sprintf("SKU-%06d", i)), Code: relay.ItemCode(fmt.Sprintf("%013d", i))})
	}
	b.ReportAllocs()
	for b.Loop() {
		file.Reset()
		require.NoError(b, exportedBy(b.Context(), (&app{}).aliases(), ledger, &file))
		list, faults := parseAliases("a.csv", file.Bytes(), carts)
		require.Empty(b, faults)
		require.Len(b, list, many)
	}
}
