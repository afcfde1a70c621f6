package csv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	archiveFolder  = "archive"
	problemsFolder = "problems"

	maxSeen    = 128      // files that are known again
	maxLooks   = 2000     // files that were looked at once
	maxWaiting = 200      // groups that wait for the ledger, and as many that are overdue
	maxAside   = 8        // files that were begun and can't be read on
	maxBefore  = 8        // versions of a file in the archive that it may have grown from
	maxBad     = 50       // rows of a file that are reported one by one
	maxUnread  = 500      // rows and files that are reported at once
	filesAPage = 100      // files read in one page
	batchBytes = 32 << 20 // of files of changes that are read as one
	maxBatch   = 1000     // of them

	maxWaitingSize = 512 << 10 // bytes of groups that wait, and as many of those that are overdue
)

// inbox reads the files of some kinds that the partner writes.
type inbox struct {
	place   place
	folder  string
	layouts []*layout
	also    []*layout // whose problems are reported here, since their own answers can't hold them
	behind  []*layout // whose files go first: one that is not younger than such a file waits until that was put away
	janitor janitor
	settle  time.Duration // for which a file's size must stay the same
	now     func() time.Time

	mu    sync.Mutex
	batch *batch // being read: kept between pages, and surveyed anew where it is not
	// looks are those of the last visit. A cursor is not kept while a snapshot has
	// bad rows, and what follows it must settle all the same.
	looks []look
}

// cursor is how far an inbox has been read. Everything in it is bounded.
type cursor struct {
	position
	// Waiting are groups that can't be told yet, in the order in which they were read.
	Waiting []waitingGroup `json:"wait,omitempty"`
	// Aside is how far files were read that can't be read on now.
	Aside []position `json:"aside,omitempty"`
	// Done are files that were read to their end. They are put away once this
	// cursor comes back, for then our caller has committed what they held.
	Done  []doneFile `json:"done,omitempty"`
	Seen  []seenFile `json:"seen,omitempty"`
	Looks []look     `json:"looks,omitempty"`
	// Past is the last file that a read-only reading, which puts none away, came to
	// the end of.
	Past *fileRef `json:"past,omitempty"`
	// Of stock: where the last snapshot was put, and the time of the newest, in ns since 1970.
	Last   string `json:"last,omitempty"`
	Newest int64  `json:"newest,omitempty"`
	// Stands: what the stock being read does not name stands as it was.
	Stands bool `json:"stands,omitempty"`
	formerCursor
}

// position is what is being read, and how far that has come.
type position struct {
	// Reading are the files being read as one, and At where in them. With Base, the
	// last of them is the snapshot before.
	Reading []fileRef `json:"r,omitempty"`
	Base    bool      `json:"base,omitempty"`
	At      mark      `json:"at,omitzero"`
	Bad     []badRow  `json:"bad,omitempty"`
	More    int       `json:"more,omitempty"` // bad rows beyond those
}

// valid reports whether the parts of a cursor fit each other.
func (c *cursor) valid() bool {
	for _, p := range append(slices.Clip(c.Aside), c.position) {
		if p.At.File < 0 || p.At.At < 0 || p.At.File > 0 && p.At.File >= len(p.Reading) || p.Base && len(p.Reading) < 2 {
			return false
		}
		if slices.ContainsFunc(p.Bad, func(b badRow) bool { return b.File < 0 || b.File >= len(p.Reading) }) {
			return false
		}
	}
	return !slices.ContainsFunc(c.Aside, func(p position) bool { return len(p.Reading) != 1 }) &&
		!slices.ContainsFunc(c.Waiting, func(w waitingGroup) bool { return len(w.Rows) == 0 })
}

type badRow struct {
	File    int    `json:"f,omitempty"`
	Line    int    `json:"l"`
	Message string `json:"m"`
}

// general reports whether it is about rows that are not named.
func (b badRow) general() bool { return b.Line == 0 }

type doneFile struct {
	fileRef
	Bad      []badRow `json:"bad,omitempty"`
	More     int      `json:"more,omitempty"`
	Snapshot bool     `json:"snap,omitempty"`
	Missed   bool     `json:"missed,omitempty"` // it was put away or is gone, and these of its rows were never told
}

// look is a file that was seen with a size, and since when.
type look struct {
	fileRef
	Since int64 `json:"at"` // ms since 1970
}

// page is what a reading of the inbox gave.
type page struct {
	cursor  string
	more    bool
	unread  []connectors.Unread
	bad     bool // rows of what was read could not be
	nothing bool // there was no file to read
	stands  bool // what the files do not name stands as it was
}

// visit is one page's work.
type visit struct {
	in *inbox
	taker
	fs     files
	cur    cursor
	left   int                 // groups that the page may still hold
	waits  bool                // reading stopped before a group that can't be told yet
	behind []file              // that wait for files that go first
	barred []file              // that we may not open
	odd    []connectors.Unread // were half read by another profile
	page   page
}

// taker takes what is read.
type taker struct {
	take func(l *layout, f fileRef, g group) (bad []entry)
	// judge says what is to become of a group. nil: all are told.
	judge func(fs files, f fileRef, g group) (fate, error)
	// unfit are the rows of a group that take would not take. It comes with judge.
	unfit func(l *layout, f fileRef, g group) (bad []entry)
	// handed is waitingGroup.Handed as it would be now. It comes with judge.
	handed func(fs files, f fileRef, g group) (int64, error)
	// tidy removes what else is of the past, as much of it at once as is good; most says
	// that there is more. nil: nothing.
	tidy func(fs files, before time.Time) (most bool, err error)
	// readOnly leaves every file where it is. Its cursor is of such readings alone.
	readOnly bool
}

// fate is what becomes of a group.
type fate int

const (
	told    fate = iota
	later        // it can't be told yet
	overdue      // it can't be told yet, for so long that people are called
	never        // it says nothing new
	alien        // it is of an order that nobody here knows: people are called
	perhaps      // nobody knows whether it was told before: people are called
)

// What is wrong with an order that nobody here knows, with one that is overdue, with
// one that waits and has lost its file's pattern, and with one behind which all waits.
const (
	wantHanded  = "want the number of an order that was handed over here"
	wantRoom    = "want an order of which the ledger knows that it was handed over: as many as may wait for that do already, so this and all behind it wait with them. They go on by themselves as soon as there is room, a day after it was handed over at the latest"
	wantPattern = "this, or what was read before it of the same order, is of a file that no pattern of the profile has any more: it waits until one has"
	wantAnswer  = "want an answer to what was handed over last: this one was read before that. If it is meant for that too, put the row into a file of its own"
	wantKnown   = "want the number of an order that the ledger knows. This one was handed over here, and the ledger has not heard of it: wait until it has. If it never will, remove the order's folder in sent; one that is merely in doubt would then be sent again"
)

// What is wrong with acknowledgements of which nobody knows what of them was heard.
const (
	notNamed    = "when this was read before, %d rows more were bad than could be named, and they are not heard now. Remove this file first, and the one that was read before; then put them into one of their own"
	wantUnheard = "want an answer that was not heard before: a file here has it too, of whose bad rows not all are named, so nobody knows. If it was not, remove that file first, and put it into one of its own then"
)

// read reads a page of at most limit groups.
func (in *inbox) read(ctx context.Context, op, raw string, limit int, t taker) (page, error) {
	return in.visit(ctx, op, raw, limit, t, (*visit).stream)
}

func (in *inbox) visit(ctx context.Context, op, raw string, limit int, t taker, work func(*visit) error) (page, error) {
	in.mu.Lock() // a page is read at a time
	defer in.mu.Unlock()
	v := &visit{in: in, taker: t, left: max(limit, 1), page: page{nothing: true}}
	if raw != "" {
		if err := json.Unmarshal([]byte(raw), &v.cur); err != nil || !v.cur.valid() {
			return page{}, &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("the cursor is none of this connector's")}
		}
	}
	err := in.place.use(ctx, func(fs files) error {
		v.fs = fs
		if !v.readOnly {
			if err := v.putAway(); err != nil {
				return err
			}
		}
		if err := work(v); err != nil {
			return err
		}
		if err := v.report(); err != nil {
			return err
		}
		if err := v.prune(); err != nil {
			if ctx.Err() != nil {
				return err
			}
			v.page.unread = append(v.page.unread, connectors.Unread{Subject: "keep_files", Message: "old files can't be removed: " + err.Error()})
		}
		return nil
	})
	if err != nil {
		return page{}, failure(op, in.place, err)
	}
	b, err := json.Marshal(v.cur.shut())
	if err != nil { // only a field that JSON can't hold could cause it
		panic(err)
	}
	v.page.cursor = string(b)
	return v.page, nil
}

func (in *inbox) layoutOf(name string) *layout {
	for _, l := range in.layouts {
		if l.matches(name) {
			return l
		}
	}
	return nil
}

func (in *inbox) at(name string) string { return path.Join(in.folder, name) }

// stream tells what waited, and reads file after file, in the order of their times.
func (v *visit) stream() error {
	waiting, err := v.settled()
	if err != nil {
		return err
	}
	if err := v.offer(); err != nil {
		return err
	}
	for n := 0; v.left > 0 && !v.waits; {
		switch {
		case len(v.cur.Reading) > 0:
			if err := v.goOn(); err != nil {
				return err
			}
		case len(waiting) > 0 && n < filesAPage:
			if err := v.next(waiting[0]); err != nil {
				return err
			}
			waiting = waiting[1:]
			n++
		default:
			v.page.more = len(waiting) > 0
			return nil
		}
	}
	v.page.more = !v.waits && len(v.cur.Reading)+len(waiting) > 0
	return nil
}

// next begins a file, or goes on with one that was set aside.
func (v *visit) next(f file) error {
	begun, err := v.takeUp(f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // somebody took it away
	case barred(err):
		v.barred = append(v.barred, f)
		return nil
	case err != nil || begun:
		return err
	}
	return v.begin([]file{f}, nil)
}

// settled lists the files that may be read, oldest first, and notes what was seen
// of the others. What is being read is none of them.
func (v *visit) settled() ([]file, error) {
	all, err := v.fs.list(v.in.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &relay.Error{Kind: relay.Unavailable, Op: "list files", Err: fmt.Errorf("%s: there is no folder %s: make it, or name another in the settings", v.in.place, v.in.folder)}
	}
	if err != nil {
		return nil, err
	}
	if err := v.adopt(); err != nil {
		return nil, err
	}
	v.checkReading(all)
	now := v.in.now()
	var looks, own []look
	var out []file
	for _, f := range all {
		if v.in.layoutOf(f.name) == nil || slices.ContainsFunc(v.cur.Reading, func(r fileRef) bool { return r.Name == f.name }) {
			continue
		}
		if v.readOnly && v.cur.Past != nil && byTime(f, v.cur.Past.file()) <= 0 {
			continue
		}
		if !v.readOnly && slices.ContainsFunc(v.cur.Done, func(d doneFile) bool { return d.is(f) }) ||
			slices.ContainsFunc(v.cur.Held, func(h formerFile) bool { return h.Name == f.name }) {
			continue // adopted just now, or to be
		}
		l := look{refOf(f), now.UnixMilli()}
		for _, before := range [][]look{v.in.looks, v.cur.Looks} {
			if i := slices.IndexFunc(before, func(b look) bool { return b.is(f) }); i >= 0 {
				l.Since = min(l.Since, before[i].Since)
			}
		}
		if len(own) < maxLooks {
			own = append(own, l)
		}
		stable := now.UnixMilli()-l.Since >= v.in.settle.Milliseconds()
		if v.readOnly && now.Sub(f.changed) >= v.in.settle {
			stable = true // nobody keeps its looks, so it goes by the file's own time too
		}
		if stable && v.in.waits(f, all) {
			v.behind = append(v.behind, f)
			stable = false
		}
		if stable {
			out = append(out, f)
		} else if len(looks) < maxLooks {
			looks = append(looks, l)
		}
	}
	v.cur.Looks = looks
	if !v.readOnly {
		v.in.looks = own
	}
	slices.SortFunc(out, byTime)
	return out, nil
}

// byTime is the order in which files are read.
func byTime(a, b file) int {
	return cmp.Or(a.changed.Compare(b.changed), strings.Compare(a.name, b.name))
}

// foretell reads files, and then those that wait, of which it keeps nothing: they
// are told now, the first thousand rows beyond the page's limit, and again at each
// reading until they need not wait.
func (v *visit) foretell() error {
	if err := v.stream(); err != nil {
		return err
	}
	left := 1000
	for _, f := range v.behind[:min(len(v.behind), filesAPage)] {
		b, err := newBatch(v.fs, v.in.folder, v.in.layoutOf(f.name), []fileRef{refOf(f)}, false)
		var heading errHeading
		if errors.As(err, &heading) || errors.Is(err, fs.ErrNotExist) {
			continue // said when it is its turn
		}
		if err != nil {
			return err
		}
		_, _, err = b.read(v.fs, mark{}, func(g group) (verdict, error) {
			v.take(b.l, b.files[0], g)
			if left--; left <= 0 {
				return enough, nil
			}
			return goOn, nil
		}, func(entry) {})
		if err != nil {
			return err
		}
	}
	return nil
}

// waits reports whether a file that goes first is there and not younger than f. A
// cancel is of no use to anybody who does not know its order yet.
func (in *inbox) waits(f file, all []file) bool {
	return slices.ContainsFunc(all, func(first file) bool {
		return !f.changed.Before(first.changed) && slices.ContainsFunc(in.behind, func(l *layout) bool { return l.matches(first.name) })
	})
}

// checkReading looks whether the files being read changed meanwhile, or are none of
// the profile's any more.
func (v *visit) checkReading(all []file) {
	for _, r := range v.cur.Reading {
		if !r.put() && (!slices.ContainsFunc(all, r.is) || v.in.layoutOf(r.Name) == nil) {
			v.setAside()
			return
		}
	}
}

func (v *visit) forget() { v.cur.position = position{} }

// begin surveys files to be read as one, with the snapshot before them if that is
// given. A file that was read before, and one that is not of its layout at all, is
// done at once.
func (v *visit) begin(list []file, base *fileRef) error {
	refs := make([]fileRef, len(list))
	for i, f := range list {
		refs[i] = refOf(f)
	}
	if base != nil {
		refs = append(refs, *base)
	}
	b, err := newBatch(v.fs, v.in.folder, v.in.layoutOf(list[0].name), refs, base != nil)
	var heading errHeading
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // somebody took it away
	case barred(err) && len(list) == 1:
		v.barred = append(v.barred, list[0]) // it keeps no other waiting
		return nil
	case errors.As(err, &heading), barred(err):
		if len(list) > 1 { // which one is it?
			for _, f := range list {
				if err := v.begin([]file{f}, nil); err != nil || len(v.cur.Reading) > 0 {
					return err
				}
			}
			return nil
		}
		for i := range list {
			if refs[i].Hash, err = hashFile(v.fs, v.in.at(refs[i].Name)); err != nil {
				return err
			}
			if v.readBefore(refs[i]) { // and lies in problems
				v.finish(doneFile{fileRef: refs[i]})
				continue
			}
			v.done(doneFile{fileRef: refs[i], Bad: []badRow{{Line: 1, Message: heading.Error()}}})
			v.page.bad = true
		}
		return nil
	case err != nil:
		return err
	}
	var fresh []file
	for i := range list {
		again, err := v.toldBefore(b.l.kind, &b.files[i])
		if err != nil {
			return err
		}
		if again {
			v.finish(doneFile{fileRef: b.files[i]})
		} else {
			fresh = append(fresh, list[i])
		}
	}
	if len(fresh) < len(list) {
		if len(fresh) > 0 {
			return v.begin(fresh, base)
		}
		return nil
	}
	v.cur.Reading, v.cur.Base, v.cur.At = b.files, base != nil, mark{}
	v.in.batch = b
	return nil
}

// barred reports whether a file may not be opened.
func barred(err error) bool { return errors.Is(err, fs.ErrPermission) || errors.Is(err, errNoFile) }

// done notes that a file was read to its end.
func (v *visit) done(d doneFile) {
	v.finish(d)
	v.see(d)
}

// see notes what a file says, by which it is known when it comes again.
func (v *visit) see(d doneFile) {
	seen := seenFile{fileRef: d.fileRef, Bad: len(d.Bad) > 0, More: d.More, Missed: d.Missed}
	for _, b := range d.Bad {
		seen.Lines = append(seen.Lines, b.Line)
	}
	for i := range v.cur.Seen {
		if v.cur.Seen[i].Name == d.Name {
			v.cur.Seen[i].Grew = false
		}
	}
	v.cur.Seen = append(v.cur.Seen, seen)
	for len(v.cur.Seen) > maxSeen {
		// Promise 1: those that grew stay, unless they come to be half of all.
		i := max(0, slices.IndexFunc(v.cur.Seen[:maxSeen/2], func(s seenFile) bool { return !s.Grew }))
		v.cur.Seen = slices.Delete(v.cur.Seen, i, i+1)
	}
}

// finish has a file put away, or, in a read-only reading, passed over from now on.
func (v *visit) finish(d doneFile) {
	if v.readOnly {
		v.cur.Past = &d.fileRef
		if len(d.Bad) == 0 || len(v.cur.Done) >= filesAPage {
			return // those with bad rows are kept to be reported
		}
	}
	v.cur.Done = append(v.cur.Done, d)
}

// resume returns the batch that is being read; nil when its files are not those
// that were surveyed, so that it begins anew.
func (v *visit) resume() (*batch, error) {
	if b := v.in.batch; b != nil && slices.Equal(b.files, v.cur.Reading) && b.base == v.cur.Base {
		return b, nil
	}
	b, err := newBatch(v.fs, v.in.folder, v.in.layoutOf(v.cur.Reading[0].Name), v.cur.Reading, v.cur.Base)
	var heading errHeading
	switch {
	case errors.As(err, &heading) && v.judge != nil:
		v.odd = append(v.odd, connectors.Unread{Subject: v.cur.Reading[0].Name, Line: 1, Message: heading.Error() + ". By the profile before, a part of the file was read: the rest waits for one that reads it"})
		return nil, nil
	case errors.As(err, &heading), errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if !slices.Equal(b.files, v.cur.Reading) {
		return nil, nil
	}
	v.in.batch = b
	return b, nil
}

// goOn reads on in the batch.
func (v *visit) goOn() error {
	b, err := v.resume()
	begun := false
	if err == nil && b != nil {
		v.page.nothing = false
		err = v.readOn(b, &begun)
	}
	switch {
	case barred(err) && !begun: // it keeps no other waiting
		v.barred = append(v.barred, v.cur.Reading[0].file())
		v.setAside()
		return nil
	case err == nil && b == nil:
		v.setAside()
	}
	return err
}

// readOn reads what the page holds of the batch; begun says that something was.
func (v *visit) readOn(b *batch, begun *bool) error {
	next, over, err := b.read(v.fs, v.cur.At, func(g group) (verdict, error) {
		*begun = true
		return v.apply(b, g)
	}, func(e entry) {
		*begun = true
		if f := b.files[e.file]; f.Again == 0 && !f.noted(e) { // else noted when it was read first
			v.bad(e)
		}
	})
	if err != nil {
		return err
	}
	v.cur.At = next
	if over {
		v.end(b)
	}
	return nil
}

func (v *visit) apply(b *batch, g group) (verdict, error) {
	f := b.files[g.from.File]
	if f.Told > 0 {
		if f = v.grown(f, &g); len(g.rows) == 0 {
			return goOn, nil
		}
	}
	becomes, err := v.judged(f, &g)
	switch {
	case err != nil:
		return goOn, err
	case becomes == never:
		return v.count(), nil // to find that out may have taken questions
	case becomes == perhaps:
		return v.reject(g, wantUnheard), nil
	case becomes == alien:
		return v.reject(g, wantHanded), nil
	case (becomes == later || becomes == overdue) && v.wait(b, f, g, becomes == overdue):
		return goOn, nil
	case becomes == overdue, becomes == later && waitingOf(f, g, nil, false).size() > maxWaitingSize: // it must not stop all behind it
		return v.reject(g, wantKnown), nil
	case becomes == later:
		v.waits = true
		return notYet, nil
	}
	for _, e := range v.take(b.l, f, g) {
		v.bad(e)
	}
	return v.count(), nil
}

// reject notes that no row of a group can be told.
func (v *visit) reject(g group, why string) verdict {
	for _, e := range g.rows {
		e.fault("order", why)
		v.bad(e)
	}
	return v.count()
}

// count takes one of the groups that the page may hold.
func (v *visit) count() verdict {
	if v.left--; v.left <= 0 {
		return enough
	}
	return goOn
}

// judged is what becomes of a group. Of one that is to wait, it notes what was handed
// over by now.
func (v *visit) judged(f fileRef, g *group) (fate, error) {
	if v.judge == nil {
		return told, nil
	}
	if f.Again != 0 {
		if first, ok := v.unheard(f, *g); ok {
			f.Again, g.unheard = first, true
		}
	}
	becomes, err := v.judge(v.fs, f, *g)
	if i := lastOf(v.cur.Waiting, g.key); i >= 0 && (becomes == told || becomes == later || becomes == overdue) {
		becomes = v.cur.Waiting[i].fate() // what comes behind must not go before it
	}
	if err == nil && (becomes == later || becomes == overdue) {
		g.handed, err = v.handed(v.fs, f, *g)
	}
	return becomes, err
}

// bad notes a row that could not be read.
func (v *visit) bad(e entry) {
	v.page.bad = true
	if len(v.cur.Bad) >= maxBad {
		v.cur.More++
		return
	}
	v.cur.Bad = append(v.cur.Bad, badRow{e.file, e.line, clip(e.words(), 300)})
}

func inOrder(bad []badRow) {
	slices.SortStableFunc(bad, func(a, b badRow) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
}

// end notes that the batch was read to its end.
func (v *visit) end(b *batch) {
	inOrder(v.cur.Bad)
	for i, f := range b.files {
		if f.put() {
			continue
		}
		d := doneFile{fileRef: f, Snapshot: b.l.kind == kindInventory && !b.l.changes}
		for _, r := range v.cur.Bad {
			if r.File == i {
				d.Bad = append(d.Bad, r)
			}
		}
		if len(d.Bad) > 0 {
			d.More = v.cur.More
		}
		if n := v.unnamed(f); n > 0 {
			d.Bad = append(d.Bad, badRow{Message: fmt.Sprintf(notNamed, n)})
		}
		v.done(d)
	}
	v.in.batch = nil
	v.forget()
}
