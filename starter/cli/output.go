package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"orderferry/relay"
)

// format is how results are printed.
type format string

const (
	table   format = "table"
	jsonOut format = "json"
)

func parseFormat(s string) (format, error) {
	switch f := format(s); f {
	case table, jsonOut:
		return f, nil
	}
	return "", fmt.Errorf("want table or json")
}

// result is what a command prints: as JSON, in which its fields are a contract,
// or as text for people.
type result interface{ text(*page) }

// conclude prints a result, and fails when it says that what was asked for did
// not, or not wholly, come about.
func (a *app) conclude(r result, done bool) error {
	if err := a.print(r); err != nil || done {
		return err
	}
	return errNotAsAsked
}

// print writes a result to stdout, whole or, when it can't be made, not at all.
func (a *app) print(r result) error {
	var b bytes.Buffer
	if a.output == jsonOut {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	} else {
		r.text(&page{&b})
	}
	if _, err := a.stdout.Write(b.Bytes()); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// page is text for people. What it prints may come from carts and warehouses,
// so nothing reaches the terminal that could control it.
type page struct{ b *bytes.Buffer }

func (p *page) line(format string, args ...any) {
	fmt.Fprintln(p.b, clean(fmt.Sprintf(format, args...)))
}

func (p *page) gap() { p.b.WriteByte('\n') }

// table prints rows below a heading, or nothing where there are no rows.
func (p *page) table(heading []string, rows [][]string) {
	if len(rows) > 0 {
		p.columns(append([][]string{heading}, rows...))
	}
}

// section is a table with a title, after a gap.
func (p *page) section(title string, heading []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.gap()
	p.line("%s", title)
	p.table(heading, rows)
}

// pairs prints names and values, without those that have none.
func (p *page) pairs(list ...[2]string) {
	var rows [][]string
	for _, l := range list {
		if l[1] != "" {
			rows = append(rows, []string{l[0], l[1]})
		}
	}
	p.columns(rows)
}

func (p *page) columns(rows [][]string) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = clean(c)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush() // into memory: it can't fail
	for line := range strings.Lines(b.String()) {
		p.b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

// inCell cuts a long name for a table.
func inCell(s string) string {
	const most = 30
	if r := []rune(s); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return s
}

// clean replaces what a terminal would act on, and what would break a line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, s)
}

// stamp prints a time; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func stampOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return stamp(*t)
}

// utc is a time for JSON, so that it does not depend on where ferry runs; nil for none.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

func utcOf(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return utc(*t)
}

// age prints how long ago something was, in two units at most.
func age(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", max(d, 0)/time.Second)
	}
	return relay.Age(d).Since()
}

func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
