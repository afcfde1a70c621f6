package csv

import (
	"path"
	"slices"
)

// seenFile is a file that was read.
type seenFile struct {
	fileRef
	Bad bool `json:"b,omitempty"` // rows of it could not be
	// Lines are those of the bad rows that were noted one by one, and More is how many
	// there were beyond them.
	Lines []int `json:"l,omitempty"`
	More  int   `json:"more,omitempty"`
	// Missed: by a former cursor, it was taken away or replaced before all of it could
	// be told. People were asked to have it put back.
	Missed bool `json:"missed,omitempty"`
	// Grew: the partner wrote on before it could be put away, and that was not read yet.
	// Nothing else says how much of the file was.
	Grew bool `json:"grew,omitempty"`
}

// toldBefore reports whether a file says nothing new, and notes what of it is not.
func (v *visit) toldBefore(k kind, r *fileRef) (again bool, err error) {
	if again = v.repeats(k, r); !again && !v.readOnly {
		// Promise 1: one too that is older than all that the cursor knows.
		was, err := v.putBefore(archiveFolder, *r)
		if err != nil {
			return false, err
		}
		again = was != ""
	}
	switch k {
	case kindOrders, kindShipments: // told again, their good rows harm nobody
		if again {
			mended, err := v.profileMended(*r)
			return !mended, err
		}
	case kindAcknowledgements:
		if !again {
			return false, v.grows(r)
		}
	}
	return again, err
}

// grows finds out how much of a file was read under the same name, before the partner
// wrote on, and whether what was bad in that still stands.
func (v *visit) grows(r *fileRef) error {
	var before []fileRef
	for _, s := range v.cur.Seen {
		if s.Name == r.Name && s.Size < r.Size {
			before = append(before, s.fileRef)
		}
	}
	if len(before) == 0 {
		var err error
		if before, err = v.archived(*r); err != nil {
			return err
		}
	}
	var err error
	if r.Told, err = longestHead(v.fs, v.in.at(r.Name), before); err != nil || r.Told == 0 {
		return err
	}
	if was := v.grewFrom(*r); len(was.Lines) > 0 {
		at, err := v.putBefore(problemsFolder, was.fileRef)
		r.Stands = at != ""
		return err
	}
	return nil
}

// archived lists the versions of a file that lie in the archive and are shorter. The
// archive may be long, and is looked through only for a name that comes again.
func (v *visit) archived(r fileRef) (out []fileRef, err error) {
	there, err := exists(v.fs, v.in.at(path.Join(archiveFolder, r.Name)))
	if !there || err != nil {
		return nil, err
	}
	all, err := v.fs.list(v.in.at(archiveFolder))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(f file) bool { return named(f.name) != named(r.Name) || f.size >= r.Size })
	slices.SortFunc(all, byTime)
	for _, f := range all[max(0, len(all)-maxBefore):] { // a partner may always write the same name
		was := refOf(f)
		if was.Hash, err = hashFile(v.fs, v.in.at(path.Join(archiveFolder, f.name))); err != nil {
			return nil, err
		}
		out = append(out, was)
	}
	return out, nil
}

// grewFrom is what a file was before the partner wrote on, as far as that is known.
func (v *visit) grewFrom(r fileRef) (was seenFile) {
	for _, s := range v.cur.Seen {
		if s.Name == r.Name && s.Size == r.Told {
			was = s
		}
	}
	return was
}

// grown leaves of a group what the partner wrote since the file was read before, and
// what could not be read then: half a row may be whole by now.
func (v *visit) grown(f fileRef, g *group) fileRef {
	was := v.grewFrom(f)
	g.rows = slices.DeleteFunc(g.rows, func(e entry) bool {
		return e.at < f.Told && !slices.Contains(was.Lines, e.line) || len(e.faults) > 0 && f.noted(e)
	})
	if last, ok := g.last(); ok && last.at < f.Told {
		f.Again, g.unheard = was.Mod, true
	}
	return f
}

// noted reports whether a bad row is said of the file as it was before.
func (r fileRef) noted(e entry) bool { return r.Stands && e.at < r.Told }

// repeats reports whether all that a file says was read before. A version of a
// file, known by its name, size and time, is never read twice, but where it was taken
// away before all of it could be told: partners mirror their folders, and put back what
// we had moved. Of another file with the same content
// the kind decides whether it can be news.
func (v *visit) repeats(k kind, r *fileRef) bool {
	var same []fileRef
	whole := false // this very version
	note := func(s fileRef, missed bool) {
		if s.Hash == r.Hash && s.Size == r.Size {
			same = append(same, s)
			whole = whole || s.Name == r.Name && s.Mod == r.Mod && !missed
		}
	}
	for _, s := range v.cur.Seen {
		note(s.fileRef, s.Missed)
	}
	switch {
	case len(same) == 0:
		return false
	case whole:
		return true
	case k == kindInventory: // stock comes back to figures that it had before: only the last says nothing new
		return slices.ContainsFunc(v.cur.Seen[max(0, len(v.cur.Seen)-1):], func(s seenFile) bool { return s.Hash == r.Hash })
	case k == kindCancels: // an order that was wanted again may be cancelled again; one that was not is cancelled already
		return false
	case k == kindAcknowledgements: // an order that was handed over again may be refused again: judge decides
		r.Again = same[len(same)-1].Mod
		return false
	}
	return true
}

// unheard reports whether what a group says in the end is news, though the file's
// content is not: it was bad wherever it was read before. The profile was mended since,
// or the ledger has learned of the order. first is the time of the first such file.
func (v *visit) unheard(r fileRef, g group) (first int64, ok bool) {
	last, ok := g.last()
	if !ok {
		return 0, false
	}
	for _, s := range v.cur.Seen {
		switch {
		case s.Hash != r.Hash || s.Size != r.Size:
		case !slices.Contains(s.Lines, last.line):
			return 0, false
		case first == 0 || s.Mod < first:
			first = s.Mod
		}
	}
	return first, first != 0
}

// unnamed is how many rows were bad, beyond those that are known one by one, when the
// content of a file was read before that is heard again, or that it has grown from.
func (v *visit) unnamed(r fileRef) (n int) {
	for _, s := range v.cur.Seen {
		if r.Again != 0 && s.Hash == r.Hash && s.Size == r.Size {
			n = max(n, s.More)
		}
	}
	if r.Told > 0 && !r.Stands {
		n = max(n, v.grewFrom(r).More)
	}
	return n
}

// readBefore reports whether this very version of a file was read.
func (v *visit) readBefore(r fileRef) bool {
	return slices.ContainsFunc(v.cur.Seen, func(s seenFile) bool {
		return s.Hash == r.Hash && s.Size == r.Size && s.Name == r.Name && s.Mod == r.Mod
	})
}

// profileMended reports whether a file of which rows could not be read is dropped
// in again, as where the profile was mended and not the file. A mirror, which puts
// the very version back that lies in problems, is not meant.
func (v *visit) profileMended(r fileRef) (bool, error) {
	i := slices.IndexFunc(v.cur.Seen, func(s seenFile) bool { return s.Bad && s.Hash == r.Hash && s.Size == r.Size })
	if i < 0 {
		return false, nil
	}
	was, err := v.putBefore(problemsFolder, r)
	return was == "", err
}
