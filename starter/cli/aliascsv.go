package cli

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
)

// The columns of an alias file.
const (
	columnSKU  = "sku"
	columnCode = "item_code"
	columnCart = "cart"
)

// mostCell bounds a SKU or an item code, in bytes.
const mostCell = 255

// aliasRow is an alias and the line that it is on.
type aliasRow struct {
	relay.Alias
	line int
}

// parseAliases reads CSV with a heading that names the columns sku, item_code
// and, if need be, cart, in any order. It reports every fault with its line, and
// returns no rows then. carts are the names that a cart may have.
func parseAliases(file string, data []byte, carts []relay.ConnectionName) ([]aliasRow, []merchantfile.Fault) {
	r := &aliasReader{file: file, carts: carts, seen: make(map[aliasKey]int)}
	// Spreadsheets put a byte order mark first.
	r.csv = csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.csv.FieldsPerRecord = -1 // counted here, to go on after a fault
	r.csv.ReuseRecord = true
	if r.heading() {
		for r.row() {
		}
		if len(r.rows) == 0 && len(r.faults) == 0 {
			r.fault(1, 1, "", "no aliases below the heading")
		}
	}
	slices.SortStableFunc(r.faults, func(a, b merchantfile.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(r.faults) > 0 {
		return nil, r.faults
	}
	return r.rows, nil
}

type aliasKey struct {
	sku  relay.SKU
	cart relay.ConnectionName
}

type aliasReader struct {
	file    string
	carts   []relay.ConnectionName
	csv     *csv.Reader
	columns []string
	seen    map[aliasKey]int // the line an alias is on
	rows    []aliasRow
	faults  []merchantfile.Fault
}

func (r *aliasReader) fault(line, column int, field, format string, args ...any) {
	r.faults = append(r.faults, merchantfile.Fault{File: r.file, Line: line, Column: column, Field: field, Message: fmt.Sprintf(format, args...)})
}

// next reads a record; it is false at the end. A record that is no CSV is a fault, and nil.
func (r *aliasReader) next() ([]string, bool) {
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, false
	}
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		r.fault(bad.Line, max(bad.Column, 1), "", "%v", bad.Err)
		return nil, true
	}
	return record, err == nil // the bytes are in memory: there is no other error
}

func (r *aliasReader) heading() bool {
	record, ok := r.next()
	if !ok {
		r.fault(1, 1, "", "the file is empty: want the heading %s,%s", columnSKU, columnCode)
	}
	if record == nil {
		return false
	}
	for i, cell := range record {
		name := strings.ToLower(strings.TrimSpace(cell))
		line, column := r.csv.FieldPos(i)
		switch {
		case slices.Contains(r.columns, name):
			r.fault(line, column, "", "column %q is there twice", clip(name))
		case !slices.Contains([]string{columnSKU, columnCode, columnCart}, name):
			r.fault(line, column, "", "unknown column %q: want %s, %s and, if need be, %s, separated by commas", clip(name), columnSKU, columnCode, columnCart)
		}
		r.columns = append(r.columns, name)
	}
	for _, name := range []string{columnSKU, columnCode} {
		if len(r.faults) == 0 && !slices.Contains(r.columns, name) {
			r.fault(1, 1, "", "the heading lacks the column %s", name)
		}
	}
	return len(r.faults) == 0
}

// row reads a row; it is false at the end.
func (r *aliasReader) row() bool {
	record, ok := r.next()
	if record == nil || blank(record) {
		return ok
	}
	line, _ := r.csv.FieldPos(0)
	if len(record) != len(r.columns) {
		r.fault(line, 1, "", "%d cells: want %d, as in the heading", len(record), len(r.columns))
		return true
	}
	row, before := aliasRow{line: line}, len(r.faults)
	for i, name := range r.columns {
		cell := r.cell(i, name, strings.TrimSpace(record[i]))
		switch name {
		case columnSKU:
			row.SKU = relay.SKU(cell)
		case columnCode:
			row.Code = relay.ItemCode(cell)
		case columnCart:
			row.Cart = relay.ConnectionName(cell)
		}
	}
	if len(r.faults) == before {
		r.keep(row)
	}
	return true
}

// blank reports whether a record holds nothing: spreadsheets write such rows at the end.
func blank(record []string) bool {
	return !slices.ContainsFunc(record, func(cell string) bool { return strings.TrimSpace(cell) != "" })
}

func (r *aliasReader) cell(i int, name, text string) string {
	line, column := r.csv.FieldPos(i)
	switch {
	case name == columnCart:
		if text != "" && !slices.Contains(r.carts, relay.ConnectionName(text)) {
			r.fault(line, column, name, "%q is no cart of this merchant: want one of %v, or nothing for all carts", clip(text), r.carts)
		}
	case text == "":
		r.fault(line, column, name, "missing")
	case len(text) > mostCell:
		r.fault(line, column, name, "%d bytes: want at most %d", len(text), mostCell)
	case !utf8.ValidString(text):
		r.fault(line, column, name, "not UTF-8: save the file as UTF-8")
	case strings.ContainsFunc(text, unicode.IsControl):
		r.fault(line, column, name, "%q holds a control character", clip(text))
	}
	return text
}

func (r *aliasReader) keep(row aliasRow) {
	key := aliasKey{row.SKU, row.Cart}
	if first, twice := r.seen[key]; twice {
		r.fault(row.line, 1, columnSKU, "%q is on line %d already", clip(string(row.SKU)), first)
		return
	}
	r.seen[key] = row.line
	r.rows = append(r.rows, row)
}

// clip bounds what a message quotes.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// writeAliases writes what parseAliases reads.
func writeAliases(w io.Writer, list []relay.Alias) error {
	out := csv.NewWriter(w)
	records := [][]string{{columnSKU, columnCode, columnCart}}
	for _, a := range list {
		records = append(records, []string{string(a.SKU), string(a.Code), string(a.Cart)})
	}
	return out.WriteAll(records)
}
