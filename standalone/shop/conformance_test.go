package shop_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/connectortest"
	"orderferry/standalone/shop"
)

// shown says of each fault of the conformance suite which kinds of the simulators
// show it, and of one that none shows why.
var shown = map[string]struct {
	kinds []string // each vendor that speaks HTTP has one of them
	not   string
}{
	"reply lost":     {kinds: []string{"commit_then_drop"}},
	"reset before":   {kinds: []string{"reset_before_commit"}},
	"5xx after":      {kinds: []string{"commit_then_500"}},
	"5xx before":     {kinds: []string{"500_without_commit"}},
	"502 page":       {kinds: []string{"commit_then_html_502"}},
	"200 page":       {kinds: []string{"commit_then_html_200"}},
	"half a body":    {kinds: []string{"broken_json", "broken_xml"}},
	"empty 2xx":      {kinds: []string{"empty_2xx"}},
	"429 with delay": {kinds: []string{"429"}},
	"429 bare":       {kinds: []string{"429_bare"}},
	"redirect":       {kinds: []string{"redirect"}},
	"no answer":      {kinds: []string{"commit_then_timeout"}},
	"cancelled":      {not: "the caller goes away, whatever the vendor does: workers that are killed or told to stop in mid request show it"},
	"words quoted":   {kinds: []string{"words_quoted"}},
}

// overFiles are the vendors that speak no HTTP: files have faults of their own.
var overFiles = []string{"csv", "csv-cart"}

func TestVendorsFailInEveryWayOfTheConformanceSuite(t *testing.T) {
	require.ElementsMatch(t, connectortest.Faults(), slices.Collect(maps.Keys(shown)))
	var files []string
	for _, v := range shop.Vendors() {
		var kinds []string
		for _, k := range v.Faults {
			kinds = append(kinds, k.Name)
		}
		if slices.Contains(overFiles, v.Name) {
			files = append(files, v.Name)
			require.NotContains(t, kinds, "redirect", v.Name)
			continue
		}
		for name, by := range shown {
			if by.not != "" {
				require.Empty(t, by.kinds, name)
				continue
			}
			require.True(t, slices.ContainsFunc(by.kinds, func(k string) bool { return slices.Contains(kinds, k) }),
				"%s: %q is shown by any of %q, and its kinds are %q", v.Name, name, by.kinds, kinds)
		}
	}
	require.ElementsMatch(t, overFiles, files)
}
