package csv

import "slices"

// seenFile is a file that was read.
type seenFile struct {
	fileRef
	Rows int  `json:"r"`
	Bad  bool `json:"b,omitempty"` // rows of it could not be
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
	for _, s := range slices.Backward(v.cur.Seen) {
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
// file, known by its name, size and time, is never read twice: partners mirror their
// folders, and put back what we had moved. Of another file with the same content
// the kind decides whether it can be news.
func (v *visit) repeats(k kind, r *fileRef) bool {
	var same []fileRef
	note := func(s fileRef) {
		if s.Hash == r.Hash && s.Size == r.Size {
			same = append(same, s)
		}
	}
	for _, s := range v.cur.Seen {
		note(s.fileRef)
	}
	for _, h := range v.cur.Held {
		note(h.fileRef)
	}
	switch {
	case len(same) == 0:
		return false
	case slices.ContainsFunc(same, func(s fileRef) bool { return s.Name == r.Name && s.Mod == r.Mod }):
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
