package csv

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"orderferry/relay"
)

// mark is a place in a batch of files: where a row begins.
type mark struct {
	File int   `json:"f,omitempty"`
	At   int64 `json:"a,omitempty"`
	Line int   `json:"l,omitempty"`
	Torn bool  `json:"t,omitempty"` // the row before it can't be read
}

// entry is a row as far as it could be read.
type entry struct {
	file   int
	line   int
	at     int64
	key    string // of the group it belongs to; "" when that can't be told
	head   bool   // it holds the record itself
	item   bool   // it holds a line of it
	values map[string]string
	faults []fault
}

// fault is what is wrong with a row: with one field of it, or, for "", with all of it.
type fault struct{ field, message string }

func (e entry) words() string {
	var parts []string
	for _, f := range e.faults {
		if f.field == "" {
			parts = append(parts, f.message)
		} else {
			parts = append(parts, f.field+": "+f.message)
		}
	}
	return strings.Join(parts, "; ")
}

func (e *entry) fault(field, message string) {
	e.faults = append(e.faults, fault{field, message})
}

// fails reports whether one of the fields, or all of the row, is wrong.
func (e entry) fails(fields ...string) bool {
	return slices.ContainsFunc(e.faults, func(f fault) bool { return f.field == "" || slices.Contains(fields, f.field) })
}

// table reads the entries of one file.
type table struct {
	l      *layout
	file   int
	rows   *scanner
	places [][]int // for each record, the cell of each column; -1 for none
	width  int     // cells of a heading
	odd    bool    // a cell of the heading holds what may be ends of lines
	head   entry   // the last record, for its lines
	ahead  *row    // was read already
	begun  bool    // a row of interest was met
}

// errHeading is a file that is not of its layout at all.
type errHeading struct{ error }

// newTable reads a file from a mark on.
func newTable(f io.ReadSeeker, l *layout, from mark) (*table, error) {
	t := &table{l: l, file: from.File, rows: newScanner(f, l.dialect, 0, 1)}
	if err := t.readHeading(); err != nil {
		return nil, err
	}
	if from.At > 0 {
		t.begun = true
		if _, err := f.Seek(from.At, io.SeekStart); err != nil {
			return nil, err
		}
		t.rows = newScanner(f, l.dialect, from.At, from.Line)
	}
	return t, nil
}

// readHeading finds out which cell is which column.
func (t *table) readHeading() error {
	var first row
	var names []string
	if t.l.heading {
		var err error
		first, err = t.rows.next()
		if errors.Is(err, io.EOF) {
			return errHeading{errors.New("the file is empty: want a heading")}
		}
		if err != nil {
			return err
		}
		if first.err != nil {
			return errHeading{first.err}
		}
		for _, c := range first.cells {
			names = append(names, strings.ToLower(c))
			t.odd = t.odd || strings.ContainsFunc(c, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' })
		}
		t.width = len(names)
	}
	var missing string
	var wanted []string
	for _, r := range t.l.records {
		places := make([]int, len(r.columns))
		for i, c := range r.columns {
			places[i] = i
			if t.l.typed {
				places[i]++
			}
			if !t.l.heading {
				continue
			}
			places[i] = slices.Index(names, strings.ToLower(c.heading))
			if c.read && c.field != "" && (c.required || slices.Contains(fields[t.l.kind].need, c.field)) {
				wanted = append(wanted, c.heading)
				if places[i] < 0 {
					missing = cmp.Or(missing, c.heading)
				}
			}
		}
		t.places = append(t.places, places)
	}
	if missing != "" { // what stands there instead is not said: it may be an address
		return errHeading{fmt.Errorf("the heading has no %s: want %s%s", missing, clip(strings.Join(wanted, ", "), 150), t.l.dialect.doubt(first.cells, max(len(wanted), 2)))}
	}
	return nil
}

// swallowed is what is wrong with a file that has no row behind its heading; nil
// where it is merely empty.
func (t *table) swallowed() error {
	if !t.odd {
		return nil
	}
	return errHeading{errors.New("the heading goes on to the end of the file: want lines that end with LF, CRLF or CR, and quotes that are closed")}
}

// next returns the next entry, or io.EOF.
func (t *table) next() (entry, error) {
	r, err := t.row()
	if err != nil {
		return entry{}, err
	}
	e := entry{file: t.file, line: r.line, at: r.at}
	if r.err != nil {
		e.fault("", r.err.Error())
		return e, nil
	}
	kind, ok := t.record(r.cells)
	if !ok {
		e.fault("", "the row is of another type: want "+t.recordNames())
		e.key, e.values = t.head.key, t.head.values
		return e, nil
	}
	t.read(&e, r.cells, kind)
	return e, nil
}

// errBlank is a row of empty cells where it may have named a SKU that then were 0.
var errBlank = errors.New("all cells are empty, and what is not named is 0: want such rows at the end of the file only")

// row returns the next row that is of interest. One whose cells are all empty is not:
// spreadsheets leave such rows at a file's end.
func (t *table) row() (row, error) {
	if r := t.ahead; r != nil {
		t.ahead = nil
		return *r, nil
	}
	var blank *row // the first of those that stand before the row
	r, err := t.rows.next()
	for ; err == nil && (r.empty() || t.ignores(r)); r, err = t.rows.next() {
		if blank == nil && r.empty() && t.l.missingZero {
			blank = &row{line: r.line, at: r.at, err: errBlank}
		}
	}
	end := errors.Is(err, io.EOF)
	switch {
	case blank == nil, end && t.begun, err != nil && !end:
		t.begun = true
		return r, err
	case !end:
		t.ahead = &r
	}
	t.begun = true
	return *blank, nil
}

// empty reports whether no cell of a row holds anything.
func (r row) empty() bool {
	return r.err == nil && !slices.ContainsFunc(r.cells, func(s string) bool { return s != "" })
}

// ignores reports whether a row is of a type that the profile has skipped.
func (t *table) ignores(r row) bool {
	if r.err != nil {
		return false
	}
	kind, ok := t.record(r.cells)
	return ok && t.l.records[kind].ignore
}

func (t *table) record(cells []string) (int, bool) {
	if !t.l.typed {
		return 0, true
	}
	i := slices.IndexFunc(t.l.records, func(r record) bool { return strings.EqualFold(r.name, cells[0]) })
	return i, i >= 0
}

func (t *table) recordNames() string {
	var names []string
	for _, r := range t.l.records {
		names = append(names, r.name)
	}
	return strings.Join(names, " or ")
}

func (t *table) read(e *entry, cells []string, kind int) {
	rec := t.l.records[kind]
	e.head, e.item = !rec.line, rec.line || !t.l.typed
	e.values = make(map[string]string, len(rec.columns))
	for i, c := range rec.columns {
		at := t.places[kind][i]
		if c.field == "" || !c.read || at < 0 || at >= len(cells) || cells[at] == "" {
			continue
		}
		if before := e.values[c.field]; before != "" {
			e.values[c.field] = before + " " + cells[at] // a name in two cells
		} else {
			e.values[c.field] = cells[at]
		}
	}
	t.check(e, cells, rec)
	e.key = e.values[t.l.keyField()]
	if t.l.kind == kindAcknowledgements || t.l.kind == kindShipments {
		e.key = strings.ToUpper(e.key) // a number that we gave
	}
	switch {
	case !rec.line:
		t.head = *e
	case e.key == "" || e.key == t.head.key:
		e.key = t.head.key
		for _, f := range fields[t.l.kind].head { // so that it is known of which parcel it is
			if e.values[f] == "" {
				e.values[f] = t.head.values[f]
			}
		}
	}
	if e.key == "" && !e.fails(t.l.keyField()) {
		e.fault(t.l.keyField(), "missing")
	}
}

// check finds what is wrong with a row, whatever its kind.
func (t *table) check(e *entry, cells []string, rec record) {
	want := t.width
	if !t.l.heading {
		want = len(rec.columns)
		if t.l.typed {
			want++
		}
	}
	if len(cells) < want || slices.ContainsFunc(cells[want:], func(s string) bool { return s != "" }) {
		e.fault("", fmt.Sprintf("the row has %d cells: want %d%s", len(cells), want, t.l.dialect.doubt(cells, want)))
		return
	}
	for i, c := range rec.columns {
		v := e.values[c.field]
		switch {
		case c.field == "" || !c.read:
		case v == "" && (c.required || slices.Contains(fields[t.l.kind].need, c.field) && c.field != t.l.keyField()):
			e.fault(c.field, "missing")
		case identifiers[c.field] && relay.Scientific(v):
			e.fault(c.field, fmt.Sprintf("%s is in scientific notation, so that digits are lost: have the column saved as text", clip(v, 20)))
		case slices.ContainsFunc(rec.columns[:i], func(b column) bool { return b.field == c.field }):
		case isTime(c.field):
			if _, err := t.l.parseTime(c, v); err != nil {
				e.fault(c.field, err.Error())
			}
		case c.words != nil || c.other != "":
			if _, ok := c.word(v); !ok {
				// Which one it is is not said: it may be a piece of an address.
				e.fault(c.field, "no word of the profile: want "+clip(strings.Join(slices.Sorted(maps.Keys(c.words)), ", "), 200))
			}
		}
	}
}

// recheck finds what is wrong by this profile with a row that was good by another.
func (l *layout) recheck(e *entry) {
	for _, r := range l.records {
		for _, c := range r.columns {
			v := e.values[c.field]
			if c.field == "" || !c.read || v == "" {
				continue
			}
			if _, err := l.parseTime(c, v); isTime(c.field) && err != nil {
				e.fault(c.field, err.Error())
			} else if _, ok := c.word(v); (c.words != nil || c.other != "") && !ok {
				e.fault(c.field, "no word of the profile any more: want "+clip(strings.Join(slices.Sorted(maps.Keys(c.words)), ", "), 200))
			}
		}
	}
	if l.kind == kindShipments {
		if _, fault := l.item(*e); fault != nil {
			e.faults = append(e.faults, *fault)
		}
	}
}

func isTime(field string) bool { return strings.HasSuffix(field, "_at") }

// word translates a partner's word into ours; "" stays "".
func (c column) word(s string) (string, bool) {
	if w, ok := c.words[strings.ToLower(s)]; ok {
		return w, true
	}
	return c.other, c.other != "" || s == ""
}

// column is the one that holds a field when read; the zero column where none does.
func (l *layout) column(field string) column {
	for _, r := range l.records {
		for _, c := range r.columns {
			if c.field == field && c.read {
				return c
			}
		}
	}
	return column{}
}

// keyField is what rows that belong together have in common.
func (l *layout) keyField() string {
	if l.kind == kindInventory {
		return "sku"
	}
	return "order"
}

// group is the rows that belong together: of one order, or of one SKU.
type group struct {
	key  string
	from mark
	rows []entry
	torn bool // a row beside it could not be read, and may have been one of it
	// unheard: its file's content was read before, and this of it could not be.
	unheard bool
	// waited: it is news, which was found when it was read.
	waited bool
	handed int64 // of one that is to wait: see waitingGroup
}

// last is the last row that could be read.
func (g group) last() (e entry, ok bool) {
	for _, row := range g.rows {
		if len(row.faults) == 0 {
			e, ok = row, true
		}
	}
	return e, ok
}

// left is the entry that says what of a torn group is left out: half of it would be
// told as all.
func (g group) left(what string) entry {
	e := entry{file: g.rows[0].file, line: g.rows[0].line}
	e.fault("", what+" can't be told: a row beside can't be read, and may be a part of it; mend the file and drop it in again")
	return e
}

// groups reads a file group by group.
type groups struct {
	t      *table
	ahead  *entry
	torn   bool
	strays []entry // rows that belong to no group
}

func newGroups(f io.ReadSeeker, l *layout, from mark) (*groups, error) {
	t, err := newTable(f, l, from)
	if err != nil {
		return nil, err
	}
	return &groups{t: t, torn: from.Torn}, nil
}

// next returns the next rows with one key and where the group behind them begins.
// The error is io.EOF when there are none; strays may have been met all the same.
func (g *groups) next() (group, mark, error) {
	var out group
	for {
		e, err := g.peek()
		if errors.Is(err, io.EOF) && len(out.rows) > 0 {
			return out, mark{File: g.t.file, At: g.t.rows.at, Line: g.t.rows.line, Torn: g.torn}, nil
		}
		if err != nil {
			return group{}, mark{}, err
		}
		switch {
		case e.key == "":
			g.strays = append(g.strays, e)
			out.torn, g.torn = true, true
		case len(out.rows) > 0 && e.key != out.key:
			return out, mark{File: e.file, At: e.at, Line: e.line, Torn: g.torn}, nil
		default:
			if len(out.rows) == 0 {
				out.key, out.from, out.torn = e.key, mark{File: e.file, At: e.at, Line: e.line, Torn: g.torn}, g.torn
			}
			out.rows = append(out.rows, e)
			g.torn = false
		}
		g.ahead = nil
	}
}

func (g *groups) peek() (entry, error) {
	if g.ahead == nil {
		e, err := g.t.next()
		if err != nil {
			return entry{}, err
		}
		g.ahead = &e
	}
	return *g.ahead, nil
}

// writer renders records as a file.
type writer struct {
	l    *layout
	text []byte
}

func (l *layout) newWriter() *writer {
	w := &writer{l: l}
	if l.dialect.encoding == utf8BOM {
		w.text = append(w.text, byteOrderMark...)
	}
	if l.heading {
		var names []string
		for _, c := range l.records[0].columns {
			names = append(names, c.heading)
		}
		// Headings are of the profile, whose check has written them once.
		w.text, _ = l.dialect.append(w.text, names)
	}
	return w
}

// add writes a record with its lines: a row of the record and one a line, or, where
// rows are all alike, one a line that repeats the record. Faults name fields.
func (w *writer) add(head map[string]string, lines []map[string]string) []relay.Problem {
	var problems []relay.Problem
	if w.l.typed || lines == nil {
		problems = w.rows(head, false, -1)
	}
	for i, line := range lines {
		values := maps.Clone(head)
		maps.Copy(values, line)
		problems = append(problems, w.rows(values, w.l.typed, i)...)
	}
	return problems
}

// rows writes the rows of the records that hold lines, or of those that do not.
func (w *writer) rows(values map[string]string, line bool, n int) []relay.Problem {
	var problems []relay.Problem
	for _, r := range w.l.records {
		if r.line != line || r.ignore {
			continue
		}
		var cells []string
		if w.l.typed {
			cells = append(cells, r.name)
		}
		written := make(map[string]bool, len(r.columns))
		for _, c := range r.columns {
			cell := c.constant
			if c.field != "" && c.write && !written[c.field] {
				cell = values[c.field]
				if cell == "" {
					cell = c.constant
				}
				written[c.field] = true
				if c.required && cell == "" {
					problems = append(problems, relay.Problem{Field: fieldPath(c.field, n), Message: "the layout of the warehouse's files requires it"})
				}
				if c.most > 0 && utf8.RuneCountInString(cell) > c.most {
					problems = append(problems, relay.Problem{Field: fieldPath(c.field, n), Message: fmt.Sprintf("want at most %d characters", c.most)})
				}
				guarded, err := w.l.guarded(c, cell)
				if err != nil {
					problems = append(problems, relay.Problem{Field: fieldPath(c.field, n), Value: cell, Message: err.Error()})
				}
				cell = guarded
			}
			cells = append(cells, cell)
		}
		text, err := w.l.dialect.append(w.text, cells)
		var bad *cellError
		if errors.As(err, &bad) {
			at := bad.cell
			if w.l.typed {
				at--
			}
			field := "row"
			if at >= 0 && at < len(r.columns) {
				field = fieldPath(r.columns[at].field, n)
			}
			problems = append(problems, relay.Problem{Field: field, Message: bad.message})
			continue
		}
		if len(problems) == 0 { // others of the same file may be written
			w.text = text
		}
	}
	return problems
}

// fieldPath names a field as the rest of the program does.
func fieldPath(field string, line int) string {
	if line >= 0 && (field == "sku" || field == "quantity" || field == "name" || field == "line") {
		return fmt.Sprintf("lines[%d].%s", line, field)
	}
	return field
}
