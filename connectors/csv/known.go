package csv

import "slices"

// seenFile is a file that was read.
type seenFile struct {
	fileRef
	Rows int  `json:"r"`
	Bad  bool `json:"b,omitempty"` // rows of it could not be
	// Lines are those of the bad rows that were noted one by one, and More is how many
	// there were beyond them.
	Lines []int `json:"l,omitempty"`
	More  int   `json:"more,omitempty"`
	// Missed: it was taken away or replaced before all of it could be told.
	Missed bool `json:"missed,omitempty"`
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
			r.Told, err = v.told(*r)
		}
	}
	return again, err
}

// told is how much of a file was read under the same name, before the partner
// wrote on.
func (v *visit) told(r fileRef) (int64, error) {
	var before []fileRef
	for _, s := range v.cur.Seen {
		before = append(before, s.fileRef)
	}
	for _, h := range v.cur.Held {
		before = append(before, h.fileRef)
	}
	for _, s := range slices.Backward(before) {
		if s.Name != r.Name || s.Size >= r.Size {
			continue
		}
		head, err := hashHead(v.fs, v.in.at(r.Name), s.Size)
		if err != nil || head == s.Hash {
			return s.Size, err
		}
	}
	return 0, nil
}

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
	for _, h := range v.cur.Held {
		note(h.fileRef, false)
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
// content of a file was read before that is heard again.
func (v *visit) unnamed(r fileRef) (n int) {
	for _, s := range v.cur.Seen {
		if r.Again != 0 && s.Hash == r.Hash && s.Size == r.Size {
			n = max(n, s.More)
		}
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
