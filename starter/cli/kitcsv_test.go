package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
)

func TestParseKits(t *testing.T) {
	f, faults := parseKits("k.csv", []byte("cart,units,component,sku\n,2,MUG,GIFT\nmain,1,BOX,GIFT\n,,,SOON\n,1,'=BOX,GIFT\n"), carts)
	require.Empty(t, faults)
	require.Equal(t, []relay.Kit{
		{SKU: "GIFT", Components: []relay.Component{{SKU: "MUG", Units: 2}, {SKU: "=BOX", Units: 1}}},
		{SKU: "GIFT", Cart: "main", Components: []relay.Component{{SKU: "BOX", Units: 1}}},
		{SKU: "SOON"},
	}, f.kits)
}

func TestParseKitsTellsEveryFault(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", []string{"k.csv:1:1: the file is empty: want the heading sku,component,units"}},
		"heading only":   {"sku,component,units\n", []string{"k.csv:1:1: no kits below the heading"}},
		"unknown column": {"sku,component,qty\n", []string{`k.csv:1:15: unknown column "qty": want sku, component, units and, if need be, cart, separated by commas`}},
		"all in one file": {"sku,component,units,cart\n,MUG,1,\nA,,1,\nB,MUG,,\nC,MUG,0,\nD,MUG,1.5,\nE,MUG,1000001,nowhere\nF,MUG,1,\nF,MUG,2,\nF,,,\nG,,,\nG,MUG,1,\nG,MUG,1,main\nG,,,\n", []string{
			"k.csv:2:1: sku: missing",
			"k.csv:3:3: component: missing",
			"k.csv:4:7: units: missing",
			`k.csv:5:7: units: "0": want a whole number from 1 to 1000000`,
			`k.csv:6:7: units: "1.5": want a whole number from 1 to 1000000`,
			`k.csv:7:15: cart: "nowhere" is no cart of this merchant: want one of [main outlet], or nothing for all carts`,
			`k.csv:9:3: component: "MUG" is on line 8 already`,
			`k.csv:10:1: sku: "F" is on line 8 already, and has no components here`,
			`k.csv:12:1: sku: "G" is on line 11 already, and has no components there`,
			`k.csv:14:1: sku: "G" is on line 11 already, and has no components here`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, faults := parseKits("k.csv", []byte(c.text), carts)
			require.Empty(t, f.kits)
			var got []string
			for _, f := range faults {
				got = append(got, f.Error())
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestKitExportIsReadByImport(t *testing.T) {
	cell := rapid.StringMatching(`[!-~äß][ -~äß]{0,8}[!-~äß]|[!-~ß]`)
	rapid.Check(t, func(t *rapid.T) {
		kits := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) relay.Kit {
			k := relay.Kit{SKU: relay.SKU(cell.Draw(t, "sku")), Cart: rapid.SampledFrom(append(carts, "")).Draw(t, "cart")}
			for _, c := range rapid.SliceOfNDistinct(cell, 0, 4, rapid.ID[string]).Draw(t, "components") {
				k.Components = append(k.Components, relay.Component{SKU: relay.SKU(c), Units: rapid.Int64Range(1, relay.MaxComponentUnits).Draw(t, "units")})
			}
			return k
		}), 1, 9, func(k relay.Kit) skuAt { return skuAt{k.SKU, k.Cart} }).Draw(t, "kits")
		var b bytes.Buffer
		require.NoError(t, exportedBy(t.Context(), (&app{}).kits(), &fakeMappings{kits: kits}, &b))
		f, faults := parseKits("k.csv", b.Bytes(), carts)
		require.Empty(t, faults)
		require.Equal(t, kits, f.kits)
	})
}
