package connectortest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocs keeps docs/conformance.md, one table of what the connectors' own
// tests keep in their testdata.
func TestDocs(t *testing.T) {
	files, err := filepath.Glob("../*/testdata/conformance-*.md")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var names, checks, reasons []string
	cells := map[string]map[string]string{} // by check and connector
	put := func(check, connector, cell string) {
		if cells[check] == nil {
			cells[check] = map[string]string{}
			checks = append(checks, check)
		}
		cells[check][connector] = cell
	}
	absent := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "conformance-"), ".md")
		names = append(names, name)
		for line := range strings.Lines(string(text)) {
			row := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
			if _, why, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(line, "- ") {
				if r := fmt.Sprintf("- %s, under faults: %s", name, strings.TrimSpace(why)); !slices.Contains(reasons, r) {
					reasons = append(reasons, r)
				}
			}
			switch {
			case !strings.HasPrefix(line, "| ") || row[0] == "Ability":
			case len(row) == 2 && strings.HasSuffix(row[1], "absent"), len(row) == 3 && row[2] == "absent":
				absent[row[0]+"/"+name] = true
			case len(row) == 3:
				result, why, inapplicable := strings.Cut(row[2], ": ")
				put(row[0]+"/"+row[1], name, result)
				if inapplicable {
					reasons = append(reasons, fmt.Sprintf("- %s, %s, %s: %s", name, row[0], row[1], why))
				}
			default:
				passed := 0
				for _, cell := range row[1:] {
					if cell == "pass" {
						passed++
					}
				}
				cell := fmt.Sprintf("%d of %d", passed, len(row)-1)
				if passed == 0 {
					cell = "n/a"
				}
				put(row[0]+"/under faults", name, cell)
			}
		}
	}
	// In the order of the suite.
	var order []string
	for _, a := range abilities(Subject{}) {
		if !slices.Contains(order, a.name) {
			order = append(order, a.name)
		}
	}
	slices.SortStableFunc(checks, func(a, b string) int {
		rank := func(check string) int {
			ability, _, _ := strings.Cut(check, "/")
			return slices.Index(order, ability)
		}
		return rank(a) - rank(b)
	})
	var b strings.Builder
	b.WriteString("# What every connector was held against\n\n" +
		"Written by the tests from the tables that each connector's own test keeps; [connector.md](connector.md) says how. An ability that a connector lacks\n" +
		"is absent; n/a is a check that the system can't show, for the reason below. Under faults: of the ways in which a request fails, those that the ability\n" +
		"was made under, each request of a call in turn.\n\n")
	fmt.Fprintf(&b, "| Ability | Check | %s |\n|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, check := range checks {
		ability, what, _ := strings.Cut(check, "/")
		fmt.Fprintf(&b, "| %s | %s |", ability, what)
		for _, n := range names {
			cell := cells[check][n]
			if absent[ability+"/"+n] {
				cell = "absent"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nNot applicable:\n\n%s\n", strings.Join(reasons, "\n"))
	const page = "../../docs/conformance.md"
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(b.String()), 0o644))
		return
	}
	kept, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(kept), "run go test ./connectors/connectortest -run TestDocs -update")
}
