package connectortest

import (
	"fmt"
	"slices"
	"strings"

	"orderferry/connectors"
)

// Table prints results as two tables in Markdown: what was checked, and what
// every call was made under.
func Table(c connectors.Connector, results []Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s (%s)\n\n| Ability | Check | Result |\n|---|---|---|\n", c.Name, c.Role)
	var abilities []string // with faults, in their order
	outcomes := map[string]map[string]Result{}
	for _, r := range results {
		if !r.Fault {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Ability, r.Check, said(r))
			continue
		}
		if outcomes[r.Ability] == nil {
			abilities = append(abilities, r.Ability)
			outcomes[r.Ability] = map[string]Result{}
		}
		outcomes[r.Ability][r.Check] = r
	}
	names := Faults()
	fmt.Fprintf(&b, "\nEvery request of a call fails in turn, alone and with all that follow it:\n\n| Ability | %s |\n|---|%s\n",
		strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	reasons := map[string]bool{}
	for _, a := range abilities {
		row := []string{a}
		for _, n := range names {
			r := outcomes[a][n]
			row = append(row, string(r.Outcome))
			if r.Outcome == Inapplicable {
				reasons[a+": "+strings.Join(r.Words, "; ")] = true
			}
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	var list []string
	for r := range reasons {
		list = append(list, r)
	}
	slices.Sort(list)
	for i, r := range list {
		if i == 0 {
			b.WriteString("\nn/a:\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", r)
	}
	return b.String()
}

// Faults names the ways in which requests fail: the columns of the second table.
func Faults() []string {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	return names
}

func said(r Result) string {
	if r.Outcome == Inapplicable {
		return fmt.Sprintf("n/a: %s", strings.Join(r.Words, "; "))
	}
	return string(r.Outcome)
}
