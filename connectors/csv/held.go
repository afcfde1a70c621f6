package csv

import (
	"cmp"
	"slices"
	"strings"
)

// laterGroup is a group that can't be told yet, and where it begins.
type laterGroup struct {
	Key string `json:"k"`
	mark
	Overdue bool `json:"o,omitempty"`
	// Told is how much of its file was told of before: what the group says there is no news.
	Told int64 `json:"told,omitempty"`
}

// heldFile is a file of which groups can't be told yet. It stays where it is.
type heldFile struct {
	doneFile
	Rows   int          `json:"rows,omitempty"` // applied
	Groups []laterGroup `json:"later"`
	Gone   bool         `json:"gone,omitempty"` // it was taken away or replaced
}

// takeUp reads those groups of the next held file that could not be told before. What
// is being read is set aside meanwhile, and what waits of that is held too.
//
// Promise 3: it may wait for just those groups, and nobody else would read them.
func (v *visit) takeUp() error {
	f, aside, batch := v.again[0], v.cur.position, v.in.batch
	v.again = v.again[1:]
	if len(aside.Later) > 0 {
		v.hold(heldFile{doneFile: doneFile{fileRef: aside.Reading[0]}, Groups: aside.Later})
	}
	i := slices.IndexFunc(v.cur.Held, func(h heldFile) bool { return h.is(f) })
	h := v.cur.Held[i]
	v.cur.Held = slices.Delete(v.cur.Held, i, i+1)
	v.cur.position = position{Reading: []fileRef{h.fileRef}, At: h.Groups[0].mark, Bad: h.Bad, More: h.More, Rows: h.Rows, Only: h.Groups}
	if err := v.goOn(); err != nil {
		return err
	}
	if v.left <= 0 && len(v.cur.Reading) > 0 {
		v.again = append(v.again, f) // the page ended before it did
	}
	v.leave()
	if len(aside.Later) > 0 {
		v.cur.Held = slices.DeleteFunc(v.cur.Held, func(h heldFile) bool { return h.fileRef == aside.Reading[0] })
	}
	v.cur.position, v.in.batch = aside, batch
	v.waits = v.waits && len(v.again) > 0
	return nil
}

// hold keeps a file where it is until its groups can be told.
func (v *visit) hold(h heldFile) {
	v.cur.Held = append(v.cur.Held, h)
	slices.SortFunc(v.cur.Held, func(a, b heldFile) int { return cmp.Or(cmp.Compare(a.Mod, b.Mod), strings.Compare(a.Name, b.Name)) })
}

// mayHold reports whether one more group may wait. The cursor is bounded, and those
// that are overdue, which may wait for ever, take no room from the others.
func (v *visit) mayHold(overdue bool) bool {
	alike := func(groups []laterGroup) (n int) {
		for _, l := range groups {
			if l.Overdue == overdue {
				n++
			}
		}
		return n
	}
	begun := alike(v.cur.Later)
	groups, files := begun, 0
	for _, h := range v.cur.Held {
		if n := alike(h.Groups); n > 0 {
			groups += n
			files++
		}
	}
	return groups < maxLater && (begun > 0 || files < maxHeld)
}

// waitsBefore reports whether what an earlier place says under a key waits, and for
// how long: what comes behind must not go before it. told: nothing does.
func (v *visit) waitsBefore(f fileRef, key string) fate {
	before := slices.Clone(v.cur.Later)
	for _, h := range v.cur.Held {
		if cmp.Or(cmp.Compare(h.Mod, f.Mod), strings.Compare(h.Name, f.Name)) < 0 {
			before = append(before, h.Groups...)
		}
	}
	i := slices.IndexFunc(before, func(l laterGroup) bool { return strings.EqualFold(l.Key, key) })
	switch {
	case i < 0:
		return told
	case before[i].Overdue:
		return overdue
	}
	return later
}

// checkHeld looks which of the held files were taken away, or are shorter and so others
// by now; begin finds that out of those that merely changed. One may be put back, and
// what was told of it must not be told again then: it stays as long as it would wait.
//
// Promise 3: what could be told since, had it not been taken away, is told to people.
func (v *visit) checkHeld(all []file) error {
	var kept []heldFile
	for _, h := range v.cur.Held {
		i := slices.IndexFunc(all, func(f file) bool { return f.name == h.Name })
		h.Gone = i < 0 || all[i].size < h.Size
		if v.in.layoutOf(h.Name) == nil {
			continue
		}
		if h.Gone {
			groups, err := v.waiting(h)
			if err != nil {
				return err
			}
			for _, l := range h.Groups {
				if !slices.ContainsFunc(groups, func(w laterGroup) bool { return w.At == l.At }) {
					h.Bad = append(h.Bad, badRow{Line: l.Line, Message: wantBack})
				}
			}
			if h.Groups = groups; len(groups) == 0 {
				v.missed(h, h.Bad)
				continue
			}
		}
		kept = append(kept, h)
	}
	v.cur.Held = kept
	return nil
}

// waiting are those groups of a held file that still can't be told.
func (v *visit) waiting(h heldFile) (out []laterGroup, err error) {
	for _, l := range h.Groups {
		becomes, err := v.judged(h.fileRef, group{key: l.Key, from: l.mark})
		if err != nil {
			return nil, err
		}
		if l.Overdue = becomes == overdue; l.Overdue || becomes == later {
			out = append(out, l)
		}
	}
	return out, nil
}

// What is wrong with rows of a file that is not there any more.
const (
	wantWaiting = "the file was taken away or replaced while it waited: have it put back as it was"
	wantBack    = "this could not be told before the file was taken away or replaced: have it put back as it was, or put the row into a file of its own"
)

// missed notes a file that was taken away or replaced before its groups could be told:
// should it come back, they are not heard yet, and the others are. People are told of
// some of its rows until they have seen to that.
func (v *visit) missed(h heldFile, tell []badRow) {
	h.Missed = true
	d := h.doneFile
	for _, l := range h.Groups {
		d.Bad = append(slices.Clip(d.Bad), badRow{Line: l.Line})
	}
	v.see(d, h.Rows)
	if len(tell) > 0 {
		inOrder(tell)
		h.Bad = tell
		v.finish(h.doneFile)
	}
}

// replace drops what is held under the name of a file that does not merely grow: it
// would wait for what it was itself before. A file of shipments that grew tells all anew.
func (v *visit) replace(b *batch) {
	v.cur.Held = slices.DeleteFunc(v.cur.Held, func(h heldFile) bool {
		if h.Name != b.files[0].Name || h.Size == b.files[0].Told {
			return false
		}
		var tell []badRow
		for _, l := range h.Groups {
			if l.Overdue && (b.l.kind == kindAcknowledgements || h.Size > b.files[0].Size) {
				tell = append(tell, badRow{Line: l.Line, Message: wantBack})
			}
		}
		v.missed(h, tell)
		return true
	})
}

// touched reports whether a file is one of which something waits, and merely has
// another time now. What was told of it must not be told again.
func (v *visit) touched(r fileRef) bool {
	i := slices.IndexFunc(v.cur.Held, func(h heldFile) bool { return h.Name == r.Name && h.Size == r.Size && h.Hash == r.Hash })
	if i < 0 {
		return false
	}
	h := v.cur.Held[i]
	v.cur.Held = slices.Delete(v.cur.Held, i, i+1)
	h.Mod = r.Mod
	v.hold(h)
	return true
}

// waitsIn reports whether a group waits already in what a file was before it grew.
func (v *visit) waitsIn(f fileRef, g group) bool {
	return slices.ContainsFunc(v.cur.Held, func(h heldFile) bool {
		return h.Name == f.Name && h.Size == f.Told && slices.ContainsFunc(h.Groups, func(l laterGroup) bool { return l.At == g.from.At })
	})
}

// grown adds to what was read of a file what was bad in it when the partner wrote on
// while something of it waited, and returns what still does.
//
// Promise 1: read anew as a whole, it would refuse orders that were handed over since.
func (v *visit) grown(d *doneFile) []laterGroup {
	i := slices.IndexFunc(v.cur.Held, func(h heldFile) bool { return h.Name == d.Name })
	if i < 0 {
		return nil
	}
	h := v.cur.Held[i]
	v.cur.Held = slices.Delete(v.cur.Held, i, i+1)
	news := slices.DeleteFunc(d.Bad, func(b badRow) bool { return slices.Contains(h.Bad, b) })
	d.Bad, d.More = append(slices.Clone(h.Bad), news...), d.More+h.More
	if extra := len(d.Bad) - maxBad; extra > 0 {
		d.Bad, d.More = d.Bad[:maxBad], d.More+extra
	}
	return slices.Clone(h.Groups)
}

// leave stops reading. A file that was taken up is held again for what is left of it.
func (v *visit) leave() {
	if v.cur.Only != nil {
		inOrder(v.cur.Bad)
		h := heldFile{doneFile: doneFile{fileRef: v.cur.Reading[0], Bad: v.cur.Bad, More: v.cur.More}, Rows: v.cur.Rows, Groups: slices.Clone(v.cur.Later)}
		for _, l := range v.cur.Only {
			if l.At >= v.cur.At.At {
				h.Groups = append(h.Groups, l)
			}
		}
		if len(h.Groups) > 0 {
			v.hold(h)
		} else {
			v.done(h.doneFile, h.Rows)
		}
	}
	v.forget()
}
