package simulator

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Fault is something that partners do to files.
type Fault string

// The faults, each of a file that is written.
const (
	SameAgain     Fault = "same_again"      // the file comes again, under another name
	HalfWritten   Fault = "half_written"    // half of it is there until the next step
	BadRow        Fault = "bad_row"         // a row that can't be read stands in the middle
	DuplicateRows Fault = "duplicate_rows"  // each row stands there twice
	OutOfOrder    Fault = "out_of_order"    // its rows are in another order
	CRLF          Fault = "crlf"            // lines end as on Windows
	ByteOrderMark Fault = "byte_order_mark" // it begins with one
	Late          Fault = "late"            // it comes a few steps later
	lateBy              = 3                 // steps
)

// Faults lists every fault.
func Faults() []Fault {
	return []Fault{SameAgain, HalfWritten, BadRow, DuplicateRows, OutOfOrder, CRLF, ByteOrderMark, Late}
}

// desk is what both partners have: folders, books on the disk, and letters to write.
type desk struct {
	dir    string // holds in, out
	books  string // journal of what the partner knows: a line for each change
	from   string // folder that the partner reads
	to     string // and writes
	seed   uint64
	armed  map[Fault]int // files still to be spoilt
	chance map[Fault]float64
	befell map[Fault]int64 // files that were spoilt
}

// letter is a file to write, kept in the books until it is there.
type letter struct {
	Name    string
	Content []byte
	Due     int  // step from which it may be written
	Half    bool // half of it first
	Begun   bool
}

// Inject spoils the next n files.
func (d *desk) inject(f Fault, n int) { d.armed[f] = n }

// draw decides whether a file is spoilt, the same way each time it is asked.
func (d *desk) draw(f Fault, number int) bool {
	spoils := d.draws(f, number)
	if spoils {
		if d.befell == nil {
			d.befell = make(map[Fault]int64)
		}
		d.befell[f]++
	}
	return spoils
}

func (d *desk) draws(f Fault, number int) bool {
	if d.armed[f] > 0 {
		d.armed[f]--
		return true
	}
	p := d.chance[f]
	if p <= 0 {
		return false
	}
	var mix uint64
	for _, c := range f {
		mix = mix*31 + uint64(c)
	}
	return rand.New(rand.NewPCG(d.seed, mix^uint64(number)<<20)).Float64() < p
}

// compose makes the letters of one file: as it is, or spoilt. Of one with a bad row
// mended is what people send once they were told.
func (d *desk) compose(name string, number, step int, heading []string, rows [][]string) (letters, mended []letter, err error) {
	good := rows
	if d.draw(DuplicateRows, number) {
		var twice [][]string
		for _, r := range rows {
			twice = append(twice, r, r)
		}
		rows = twice
	}
	if d.draw(OutOfOrder, number) {
		rows = slices.Clone(rows)
		rand.New(rand.NewPCG(d.seed, uint64(number))).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	var b bytes.Buffer
	if d.draw(ByteOrderMark, number) {
		b.WriteString("\xef\xbb\xbf")
	}
	w := csv.NewWriter(&b)
	w.UseCRLF = d.draw(CRLF, number)
	bad := -1
	if d.draw(BadRow, number) {
		bad = len(rows) / 2
	}
	if bad >= 0 {
		rows = slices.Insert(slices.Clone(rows), bad, []string{"", "?"})
		var fine bytes.Buffer
		if err := csv.NewWriter(&fine).WriteAll(append([][]string{heading}, good...)); err != nil {
			return nil, nil, err
		}
		mended = []letter{{Name: strings.TrimSuffix(name, ".csv") + "_mended.csv", Content: fine.Bytes()}}
	}
	if err := w.WriteAll(append([][]string{heading}, rows...)); err != nil {
		return nil, nil, err
	}
	l := letter{Name: name, Content: b.Bytes(), Due: step, Half: d.draw(HalfWritten, number)}
	if d.draw(Late, number) {
		l.Due += lateBy
	}
	out := []letter{l}
	if d.draw(SameAgain, number) {
		again := l
		again.Name, again.Half = strings.TrimSuffix(name, ".csv")+"_again.csv", false
		out = append(out, again)
	}
	return out, mended, nil
}

// post writes the letters that are due, and returns those that are left.
func (d *desk) post(letters []letter, step int) ([]letter, error) {
	var left []letter
	for _, l := range letters {
		at := filepath.Join(d.dir, d.to, l.Name)
		switch {
		case l.Due > step:
			left = append(left, l)
		case l.Half && !l.Begun:
			if err := os.WriteFile(at, l.Content[:len(l.Content)/2], 0o644); err != nil {
				return nil, err
			}
			l.Begun = true
			left = append(left, l)
		case l.Half:
			if err := os.WriteFile(at, l.Content, 0o644); err != nil {
				return nil, err
			}
		default:
			if err := place(at, l.Content); err != nil {
				return nil, err
			}
		}
	}
	return left, nil
}

// place writes a file that is there as a whole or not at all.
func place(at string, content []byte) error {
	part := filepath.Join(filepath.Dir(at), "."+filepath.Base(at)+".tmp")
	if err := os.WriteFile(part, content, 0o644); err != nil {
		return err
	}
	return os.Rename(part, at)
}

// arrived lists the files that came, oldest first, leaving out hidden ones.
func (d *desk) arrived() ([]string, error) {
	all, err := os.ReadDir(filepath.Join(d.dir, d.from))
	if err != nil {
		return nil, err
	}
	type file struct {
		name string
		at   int64
	}
	var files []file
	for _, e := range all {
		i, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!i.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".")) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file{e.Name(), i.ModTime().UnixNano()})
	}
	slices.SortStableFunc(files, func(a, b file) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, f := range files {
		names = append(names, f.name)
	}
	return names, nil
}

// table reads a file with a heading: a map for each row.
func (d *desk) table(name string) ([]map[string]string, error) {
	b, err := os.ReadFile(filepath.Join(d.dir, d.from, name))
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))))
	rows, err := r.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("%s: %w", name, errors.Join(err, errors.New("this is no file of the standard layout")))
	}
	var out []map[string]string
	for _, cells := range rows[1:] {
		m := make(map[string]string, len(cells))
		for i, c := range cells {
			m[rows[0][i]] = c
		}
		out = append(out, m)
	}
	return out, nil
}

// take moves a file that was read to done, or removes it.
func (d *desk) take(name string, deletes bool) error {
	at := filepath.Join(d.dir, d.from, name)
	if deletes {
		return os.Remove(at)
	}
	done := filepath.Join(d.dir, d.from, "done")
	if err := os.MkdirAll(done, 0o755); err != nil {
		return err
	}
	return os.Rename(at, filepath.Join(done, name))
}

// note adds a change to the books. What it costs does not grow with them.
func (d *desk) note(change any) error {
	b, err := json.Marshal(change)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.books, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(slices.Concat([]byte{'\n'}, b)) // first its end, so that no line goes on with half of another
	return errors.Join(err, f.Close())
}

// load makes the folders and reads the changes in the books. Half a line is a change
// that was never made: its writer died, and nothing had followed from it.
func (d *desk) load(change func(line []byte) error) error {
	for _, dir := range []string{d.from, d.to} {
		if err := os.MkdirAll(filepath.Join(d.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(d.books), 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(d.books)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		if !json.Valid(line) {
			continue
		}
		if err := change(line); err != nil {
			return err
		}
	}
	return nil
}

// readFiles are the names of files that were read, since a partner reads a name
// once, and of those that came again.
type readFiles struct {
	all     map[string]bool
	again   []string
	changed filesChange
}

// filesChange is what came since the line before.
type filesChange struct {
	Read  map[string]bool `json:",omitempty"`
	Again []string        `json:",omitempty"`
}

func newReadFiles() readFiles {
	return readFiles{all: make(map[string]bool), changed: filesChange{Read: make(map[string]bool)}}
}

func (r *readFiles) recall(c filesChange) {
	maps.Copy(r.all, c.Read)
	r.again = append(r.again, c.Again...)
}

func (r *readFiles) note(name string) { r.all[name], r.changed.Read[name] = true, true }

func (r *readFiles) noteAgain(name string) {
	r.again, r.changed.Again = append(r.again, name), append(r.changed.Again, name)
}

func (r *readFiles) noted() {
	clear(r.changed.Read)
	r.changed.Again = nil
}

// ledger is records by key, in the order in which they came, and those that
// changed since they were noted.
type ledger[K comparable, R any] struct {
	all     []*R
	key     func(*R) K
	at      map[K]*R
	changed []*R
}

func newLedger[K comparable, R any](key func(*R) K) ledger[K, R] {
	return ledger[K, R]{key: key, at: make(map[K]*R)}
}

// recall takes in a record as it was noted, and returns where it is.
func (l *ledger[K, R]) recall(r *R) *R {
	if was := l.at[l.key(r)]; was != nil {
		*was = *r
		return was
	}
	l.all, l.at[l.key(r)] = append(l.all, r), r
	return r
}

// put takes a new record, or notes that one changed.
func (l *ledger[K, R]) put(r *R) {
	r = l.recall(r)
	if !slices.Contains(l.changed, r) {
		l.changed = append(l.changed, r)
	}
}
