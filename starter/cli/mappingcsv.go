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

// The columns of files of mappings.
const (
	columnSKU       = "sku"
	columnCode      = "item_code"
	columnComponent = "component"
	columnUnits     = "units"
	columnCart      = "cart"
)

// mostCell bounds a SKU or an item code, in bytes.
const mostCell = 255

// csvReader reads CSV whose heading names the needed columns and, if need be,
// cart, in any order. It notes every fault with its line, and goes on.
type csvReader struct {
	file    string
	needed  []string
	filled  []string               // of them, those that are filled in every row
	carts   []relay.ConnectionName // the names that a cart may have
	csv     *csv.Reader
	columns []string
	faults  []merchantfile.Fault
}

// csvRow is a row and where its cells are.
type csvRow struct {
	line  int
	cells map[string]string
	at    map[string]int // the column of a cell, in its line
}

func newCSVReader(file string, data []byte, carts []relay.ConnectionName, needed ...string) *csvReader {
	r := &csvReader{file: file, carts: carts, needed: needed, filled: needed}
	// Spreadsheets put a byte order mark first.
	r.csv = csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.csv.FieldsPerRecord = -1 // counted here, to go on after a fault
	r.csv.ReuseRecord = true
	return r
}

// each calls keep for each row that can be read. what names what the rows are.
func (r *csvReader) each(what string, keep func(csvRow)) []merchantfile.Fault {
	if r.heading() {
		rows := 0
		for {
			row, more := r.row()
			if !more {
				break
			}
			if row.line > 0 {
				rows++
				keep(row)
			}
		}
		if rows == 0 && len(r.faults) == 0 {
			r.fault(1, 1, "", "no %s below the heading", what)
		}
	}
	slices.SortStableFunc(r.faults, func(a, b merchantfile.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.faults
}

func (r *csvReader) fault(line, column int, field, format string, args ...any) {
	r.faults = append(r.faults, merchantfile.Fault{File: r.file, Line: line, Column: column, Field: field, Message: fmt.Sprintf(format, args...)})
}

// next reads a record; it is false at the end. A record that is no CSV is a fault, and nil.
func (r *csvReader) next() ([]string, bool) {
	record, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, false
	}
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		switch {
		case errors.Is(bad.Err, csv.ErrQuote): // where it began: what follows may be swallowed down to the end of the file
			r.fault(bad.StartLine, 1, "", "a quote that is not closed, or one within a quoted cell: want that one twice")
		case errors.Is(bad.Err, csv.ErrBareQuote):
			r.fault(bad.Line, max(bad.Column, 1), "", "a quote within a cell: want the cell in quotes, and the quote within it twice")
		default:
			r.fault(bad.Line, max(bad.Column, 1), "", "not CSV: %v", bad.Err)
		}
		return nil, true
	}
	return record, err == nil // the bytes are in memory: there is no other error
}

func (r *csvReader) heading() bool {
	record, ok := r.next()
	if !ok {
		r.fault(1, 1, "", "the file is empty: want the heading %s", strings.Join(r.needed, ","))
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
		case name != columnCart && !slices.Contains(r.needed, name):
			r.fault(line, column, "", "unknown column %q: want %s and, if need be, %s, separated by commas", clip(name), strings.Join(r.needed, ", "), columnCart)
		}
		r.columns = append(r.columns, name)
	}
	for _, name := range r.needed {
		if len(r.faults) == 0 && !slices.Contains(r.columns, name) {
			r.fault(1, 1, "", "the heading lacks the column %s", name)
		}
	}
	return len(r.faults) == 0
}

// row reads a row; it is false at the end. One without a line holds nothing, or a fault.
func (r *csvReader) row() (csvRow, bool) {
	record, ok := r.next()
	if record == nil || blank(record) {
		return csvRow{}, ok
	}
	line, _ := r.csv.FieldPos(0)
	if len(record) != len(r.columns) {
		r.fault(line, 1, "", "%d cells: want %d, as in the heading", len(record), len(r.columns))
		return csvRow{}, true
	}
	row := csvRow{line: line, cells: make(map[string]string, len(record)), at: make(map[string]int, len(record))}
	before := len(r.faults)
	for i, name := range r.columns {
		text := plainCell(strings.TrimSpace(record[i]))
		at, column := r.csv.FieldPos(i)
		row.cells[name], row.at[name] = text, column
		switch {
		case text == "" && slices.Contains(r.filled, name):
			r.fault(at, column, name, "missing")
		case relay.Scientific(strings.TrimSpace(record[i])) && name != columnCart:
			r.fault(at, column, name, "%q is in scientific notation, so that digits are lost: have the column saved as text; a code that is meant so has an apostrophe before it", clip(text))
		case name != columnCart:
			if why := checkCell(text); why != "" {
				r.fault(at, column, name, "%s", why)
			}
		case text != "" && !slices.Contains(r.carts, relay.ConnectionName(text)):
			r.fault(at, column, name, "%q is no cart of this merchant: want one of %v, or nothing for all carts", clip(text), r.carts)
		}
	}
	if len(r.faults) > before {
		return csvRow{}, true
	}
	return row, true
}

// need notes what else is missing of a row, and reports whether nothing is.
func (r *csvReader) need(row csvRow, columns ...string) bool {
	ok := true
	for _, name := range columns {
		if row.cells[name] == "" {
			r.fault(row.line, row.at[name], name, "missing")
			ok = false
		}
	}
	return ok
}

// blank reports whether a record holds nothing: spreadsheets write such rows at the end.
func blank(record []string) bool {
	return !slices.ContainsFunc(record, func(cell string) bool { return strings.TrimSpace(cell) != "" })
}

// checkCell says what is wrong with a SKU or an item code; "" when nothing is.
func checkCell(text string) string {
	switch {
	case len(text) > mostCell:
		return fmt.Sprintf("%d bytes: want at most %d", len(text), mostCell)
	case !utf8.ValidString(text):
		return "not UTF-8: save the file as UTF-8"
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("%q holds a control character", clip(text))
	}
	return ""
}

// clip bounds what a message quotes.
func clip(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// writeCSV writes a heading, and below it the rows that each gives as they come.
func writeCSV(w io.Writer, heading []string, each func(row func(cells ...string) error) error) error {
	out := csv.NewWriter(w)
	if err := out.Write(heading); err != nil {
		return err
	}
	err := each(func(cells ...string) error {
		for i := range cells {
			cells[i] = safeCell(cells[i])
		}
		return out.Write(cells)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

// A cell that a spreadsheet would take for a formula, or for a number that it may
// shorten, is written with an apostrophe before it, and read without: a SKU comes from
// a cart, where others may write it.
func safeCell(text string) string {
	if misread(text) {
		return "'" + text
	}
	return text
}

func plainCell(text string) string {
	if strings.HasPrefix(text, "'") && misread(text) {
		return text[1:]
	}
	return text
}

// misread reports whether text, without the apostrophes before it, begins as a formula
// does or is a number in scientific notation.
func misread(text string) bool {
	rest := strings.TrimLeft(text, "'")
	return rest != "" && strings.ContainsRune("=+-@", rune(rest[0])) || relay.Scientific(rest)
}
