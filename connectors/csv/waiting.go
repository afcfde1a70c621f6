package csv

import (
	"cmp"
	"maps"
	"slices"
)

// waitingGroup is a group that can't be told yet. It is kept whole: its file is put
// away like any other, and whatever becomes of that is nothing to it.
type waitingGroup struct {
	Name    string       `json:"n"` // of its file
	Mod     int64        `json:"m"` // and its time, ns since 1970
	Key     string       `json:"k"`
	Rows    []waitingRow `json:"r"`
	Torn    bool         `json:"t,omitempty"`
	Overdue bool         `json:"o,omitempty"`
	// Handed is when its order had been handed over last as it was read, in seconds since
	// 1970, for not every place tells more. 0: it is no answer, or was read by a release
	// that did not note this.
	Handed int64 `json:"h,omitempty"`
}

// waitingRow is a row of it. What is wrong with a bad one was noted when it was read.
type waitingRow struct {
	Line   int               `json:"l"`
	Values map[string]string `json:"v,omitempty"`
	Bad    bool              `json:"b,omitempty"`
}

// waitingOf is a group of which some rows are unfit to be told.
func waitingOf(f fileRef, g group, unfit []entry, overdue bool) waitingGroup {
	w := waitingGroup{Name: f.Name, Mod: f.Mod, Key: g.key, Torn: g.torn, Overdue: overdue, Handed: g.handed}
	for _, e := range g.rows {
		bad := len(e.faults) > 0 || slices.ContainsFunc(unfit, func(u entry) bool { return u.line == e.line && u.faults[0].field != "" })
		w.Rows = append(w.Rows, waitingRow{e.line, e.values, bad})
	}
	return w
}

// group is what was read, once more, and those rows of it that are bad by now: the
// profile may have changed since.
func (w waitingGroup) group(l *layout) (g group, bad []badRow) {
	g = group{key: w.Key, torn: w.Torn, waited: true}
	for _, r := range w.Rows {
		e := entry{line: r.Line, key: w.Key, values: r.Values}
		if r.Bad {
			e.fault("", "")
		} else if l.recheck(&e); len(e.faults) > 0 {
			bad = append(bad, badRow{Line: e.line, Message: clip(e.words(), 300)})
		}
		g.rows = append(g.rows, e)
	}
	return g, bad
}

func (w waitingGroup) file() fileRef { return fileRef{Name: w.Name, Mod: w.Mod} }

// says reports whether it says the same as another, of the same hand-over, wherever
// that stands.
func (w waitingGroup) says(o waitingGroup) bool {
	return w.Key == o.Key && w.Torn == o.Torn && w.Handed == o.Handed && slices.EqualFunc(w.Rows, o.Rows, func(a, b waitingRow) bool {
		return a.Bad == b.Bad && maps.Equal(a.Values, b.Values)
	})
}

// good reports whether there is anything in it to tell.
func (w waitingGroup) good() bool {
	return slices.ContainsFunc(w.Rows, func(r waitingRow) bool { return !r.Bad })
}

func (w waitingGroup) size() int {
	n := len(w.Name) + len(w.Key)
	for _, r := range w.Rows {
		n += 32 // of JSON
		for field, value := range r.Values {
			n += len(field) + len(value) + 6
		}
	}
	return n
}

// hasRoom reports whether one more group may wait. The cursor is bounded, and those
// that are overdue, which may wait for ever, take no room from the others.
func hasRoom(waiting []waitingGroup, w waitingGroup) bool {
	groups, size := 1, w.size()
	for _, o := range waiting {
		if o.Overdue == w.Overdue {
			groups, size = groups+1, size+o.size()
		}
	}
	return groups <= maxWaiting && size <= maxWaitingSize
}

// lastOf is the index of what was read last of an order and waits; -1 for none.
func lastOf(waiting []waitingGroup, key string) int {
	for i, w := range slices.Backward(waiting) {
		if w.Key == key {
			return i
		}
	}
	return -1
}

// wait keeps a group until it can be told, and notes what of it never can be. It is
// false where there is no room.
func (v *visit) wait(b *batch, f fileRef, g group, overdue bool) bool {
	unfit := v.unfit(b.l, f, g)
	w := waitingOf(f, g, unfit, overdue)
	others, before := slices.Clone(v.cur.Waiting), v.cur.Waiting
	known := !w.good()
	if i := lastOf(others, g.key); i >= 0 && b.l.kind == kindAcknowledgements {
		before = before[i:] // an answer may be given again after another
		if f.Told > 0 && others[i].Name == w.Name {
			others = slices.Delete(others, i, i+1) // of one file the last answer counts
		}
	}
	known = known || slices.ContainsFunc(before, w.says) // shipments that grew are read anew
	if !known && !hasRoom(others, w) {
		return false
	}
	for _, e := range unfit {
		v.bad(e)
	}
	if !known {
		v.cur.Waiting = append(others, w)
	}
	return true
}

// offer tells what waits of orders that the ledger knows by now. What is said of one
// order is told in the order in which it was read. All that may wait fits a page.
//
// Promise 1: what was read before an order was handed over anew is no answer to that.
//
// Promise 3: what can't be told any more is put where people see it.
func (v *visit) offer() error {
	var kept []waitingGroup
	for _, w := range v.cur.Waiting {
		l := v.in.layoutOf(w.Name)
		if l == nil {
			kept = append(kept, w) // and is reported
			continue
		}
		g, bad := w.group(l)
		becomes, err := v.judge(v.fs, w.file(), g)
		if err != nil {
			return err
		}
		if i := lastOf(kept, w.Key); i >= 0 {
			becomes = kept[i].fate()
		}
		late := w
		late.Overdue = becomes == overdue
		anew := false
		if becomes == told || w.Handed == 0 {
			last, err := v.handed(v.fs, w.file(), g)
			if err != nil {
				return err
			}
			late.Handed = cmp.Or(w.Handed, last)
			anew = last > late.Handed
		}
		switch {
		case anew:
			v.giveUp(w, w.all(wantAnswer))
		case becomes == told:
			v.take(l, w.file(), g)
			v.giveUp(w, bad)
			v.left--
		case becomes == later, late.Overdue && (w.Overdue || hasRoom(kept, late)):
			kept = append(kept, late)
		case late.Overdue:
			v.giveUp(w, w.all(wantKnown))
		default:
			v.giveUp(w, w.all(wantHanded))
		}
	}
	v.cur.Waiting = kept
	return nil
}

func (w waitingGroup) fate() fate {
	if w.Overdue {
		return overdue
	}
	return later
}

// all are its rows, but for those that were reported when it was read.
func (w waitingGroup) all(why string) (bad []badRow) {
	for _, r := range w.Rows {
		if !r.Bad {
			bad = append(bad, badRow{Line: r.Line, Message: "order: " + why})
		}
	}
	return bad
}

// giveUp has people told of rows that waited in vain.
func (v *visit) giveUp(w waitingGroup, bad []badRow) {
	if len(bad) == 0 {
		return
	}
	i := slices.IndexFunc(v.cur.Done, func(d doneFile) bool { return d.Missed && d.Name == w.Name && d.Mod == w.Mod })
	if i < 0 {
		i = len(v.cur.Done)
		v.cur.Done = append(v.cur.Done, doneFile{fileRef: w.file(), Missed: true})
	}
	d := &v.cur.Done[i]
	d.Bad = append(d.Bad, bad...)
	if extra := len(d.Bad) - maxBad; extra > 0 {
		d.Bad, d.More = d.Bad[:maxBad], d.More+extra
	}
}

// setAside stops reading a file that can't be read on: it may not be opened, the
// profile has no pattern for it any more, or it was touched, replaced or taken away.
//
// Promise 1: what was told of it is not told again if it comes back.
func (v *visit) setAside() {
	if v.judge != nil && len(v.cur.Reading) == 1 {
		p := v.cur.position
		if len(p.Bad) > 0 { // Promise 3: it may never come back
			v.cur.Done = append(v.cur.Done, doneFile{fileRef: p.Reading[0], Bad: p.Bad, More: p.More, Missed: true})
			p.Bad, p.More = nil, 0
		}
		v.cur.Aside = append(v.cur.Aside, p)
		v.cur.Aside = v.cur.Aside[max(0, len(v.cur.Aside)-maxAside):]
	}
	v.forget()
}

// takeUp goes on with a file that was set aside, if what was to be read of it is
// unchanged. What the partner wrote on is read behind that.
func (v *visit) takeUp(f file) (bool, error) {
	for i, p := range slices.Backward(v.cur.Aside) {
		r := p.Reading[0]
		if r.Name != f.name || r.Size > f.size {
			continue
		}
		head, err := hashHead(v.fs, v.in.at(f.name), r.Size)
		if err != nil {
			return false, err
		}
		if head != r.Hash {
			continue // another version, which may be put back
		}
		v.cur.Aside = slices.Delete(slices.Clone(v.cur.Aside), i, i+1)
		if r.Size == f.size {
			r.Mod = f.changed.UnixNano()
		}
		p.Reading = []fileRef{r}
		v.cur.position = p
		return true, nil
	}
	return false, nil
}
