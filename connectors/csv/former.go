package csv

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
)

// formerCursor is what else a cursor holds that was written while a file of which
// something waited stayed where it was. It is turned into groups that wait.
type formerCursor struct {
	Held  []formerFile  `json:"held,omitempty"`
	Later []formerGroup `json:"later,omitempty"` // of what is being read
}

// formerFile was read to its end but for some groups.
type formerFile struct {
	doneFile
	Groups []formerGroup `json:"later"`
}

// formerGroup is where such a group begins.
type formerGroup struct {
	mark
	Overdue bool  `json:"o,omitempty"`
	Told    int64 `json:"told,omitempty"` // how much of its file was told of before
}

// shut makes the former release refuse a cursor of which it would lose something: it
// takes no file to be held without a group. While a deploy goes on, or where it is taken
// back, its workers pull no answers here; only those of this release tell what waits.
func (c cursor) shut() cursor {
	if len(c.Waiting)+len(c.Aside) > 0 {
		c.Held = append(slices.Clip(c.Held), formerFile{})
	}
	return c
}

// wantBack is wrong with rows of a file that is not there any more, and was when the
// former cursor was written.
const wantBack = "this could not be told before the file was taken away or replaced: put the row into a file of its own"

// adopt reads what waits by a former cursor, and has its files put away.
//
// Promise 3: what is not there any more to be read is told to people.
func (v *visit) adopt() error {
	v.cur.Held = slices.DeleteFunc(v.cur.Held, func(h formerFile) bool { return len(h.Groups) == 0 })
	if len(v.cur.Held)+len(v.cur.Later) == 0 {
		return nil
	}
	var kept []formerFile
	for _, h := range v.cur.Held {
		d := h.doneFile
		bad, err := v.adoptGroups(d.fileRef, h.Groups)
		switch {
		case barred(err):
			v.barred, kept = append(v.barred, d.file()), append(kept, h)
			continue
		case errors.Is(err, fs.ErrNotExist):
			d.Missed = true
			for _, l := range h.Groups {
				bad = append(bad, badRow{Line: l.Line, Message: wantBack})
			}
		case err != nil:
			return err
		default:
			if now, err := v.fs.stat(v.in.at(d.Name)); err == nil && now.size == d.Size {
				d.Mod = now.changed.UnixNano() // it may have been touched
			}
		}
		d.Bad = append(d.Bad, bad...)
		inOrder(d.Bad)
		v.done(d)
	}
	v.cur.Held = kept
	if len(v.cur.Later) > 0 && len(v.cur.Reading) == 1 {
		bad, err := v.adoptGroups(v.cur.Reading[0], v.cur.Later)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.forget() // should it come back, it is read from its beginning
		case err != nil:
			return err
		}
		v.cur.Bad = append(v.cur.Bad, bad...)
	}
	v.cur.Later = nil
	slices.SortStableFunc(v.cur.Waiting, func(a, b waitingGroup) int { return cmp.Or(cmp.Compare(a.Mod, b.Mod), cmp.Compare(a.Name, b.Name)) })
	return nil
}

// adoptGroups reads groups of a file, and returns those rows of them that are bad. It
// is fs.ErrNotExist where the file is not what it was.
func (v *visit) adoptGroups(f fileRef, groups []formerGroup) (bad []badRow, err error) {
	l := v.in.layoutOf(f.Name)
	if l == nil {
		return nil, fs.ErrNotExist
	}
	b, err := newBatch(v.fs, v.in.folder, l, []fileRef{f}, false)
	var heading errHeading
	if errors.As(err, &heading) || err == nil && b.files[0].Hash != f.Hash {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	_, _, err = b.read(v.fs, mark{}, func(g group) (verdict, error) {
		i := slices.IndexFunc(groups, func(l formerGroup) bool { return l.At == g.from.At })
		if i < 0 {
			return goOn, nil // it was told
		}
		g.rows = slices.DeleteFunc(g.rows, func(e entry) bool { return e.at < groups[i].Told })
		unfit := v.unfit(l, f, g)
		for _, e := range unfit {
			bad = append(bad, badRow{Line: e.line, Message: clip(e.words(), 300)})
		}
		if w := waitingOf(f, g, unfit, groups[i].Overdue); w.good() {
			v.cur.Waiting = append(v.cur.Waiting, w)
		}
		return goOn, nil
	}, func(entry) {})
	return bad, err
}
