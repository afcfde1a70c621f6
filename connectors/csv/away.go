package csv

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"orderferry/connectors"
)

// putAway moves the files that were done to where they belong: what they held is
// committed, since their cursor came back.
func (v *visit) putAway() error {
	for _, d := range v.cur.Done {
		folder := archiveFolder
		if len(d.Bad) > 0 {
			folder = problemsFolder
		}
		if err := v.fs.mkdir(v.in.at(folder)); err != nil {
			return err
		}
		to, err := v.moveTo(path.Join(v.in.folder, folder), d)
		if err != nil {
			return err
		}
		if d.Snapshot {
			last := strings.TrimPrefix(to, v.in.folder+"/")
			if last == "" { // moved already, and the cursor of that was lost
				if last, err = v.putBefore(folder, d.fileRef); err != nil {
					return err
				}
			}
			v.cur.Last = cmp.Or(last, v.cur.Last)
		}
	}
	v.cur.Done = nil
	return nil
}

// moveTo moves a file under a free name, and returns that; "" when the file is gone. Of
// one that was missed an empty file is put there, so that its rows are reported like
// others until somebody removes it.
func (v *visit) moveTo(folder string, d doneFile) (string, error) {
	if !d.Missed {
		there, err := v.look(&d)
		if err != nil {
			return "", err
		}
		// A mirror puts back what lies there: a second one is of no use.
		was, err := v.putBefore(path.Base(folder), d.fileRef)
		switch {
		case err != nil:
			return "", err
		case there && was != "":
			removed, err := v.removeRead(folder, d)
			if err == nil && !removed {
				return v.moveTo(folder, d)
			}
			return v.in.at(was), err
		case !there && (was != "" || !d.Missed):
			return "", nil
		}
	}
	for n := 1; n < 1000; n++ {
		to := path.Join(folder, d.putAs(n))
		if _, err := v.fs.stat(to); err == nil {
			if d.Missed && same(v.fs, to+reasonsSuffix, reasons(d)) == nil {
				return "", nil // noted already, and the cursor of that was lost
			}
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if len(d.Bad) > 0 {
			// First: a file in problems always says why it is there.
			if err := v.fs.create(to+reasonsSuffix, reasons(d)); err != nil {
				return "", err
			}
		}
		if d.Missed {
			return "", v.fs.create(to, nil)
		}
		moved, err := v.move(d, to)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case err == nil && !moved:
			return v.moveTo(folder, d)
		}
		return to, err
	}
	return "", fmt.Errorf("%s holds a thousand files named like %s: clear it", folder, d.Name)
}

// look reports whether a file that was read is still there as it was, but for its time.
// One that grew is read once more. One that is gone, or another, was missed if rows of it
// were bad; but a snapshot of stock gives way to the next.
//
// Promise 3: a bad row may be the only answer to an order.
func (v *visit) look(d *doneFile) (there bool, err error) {
	now, err := v.fs.stat(v.in.at(d.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err == nil && d.is(now) {
		return true, nil
	}
	head := ""
	if err == nil && now.size >= d.Size {
		if head, err = hashHead(v.fs, v.in.at(d.Name), d.Size); err != nil && !barred(err) && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	i := slices.IndexFunc(v.cur.Seen, func(s seenFile) bool {
		return s.Name == d.Name && s.Size == d.Size && s.Mod == d.Mod && s.Hash == d.Hash
	})
	switch l := v.in.layoutOf(d.Name); {
	case head == "" || head != d.Hash:
		d.Missed = len(d.Bad) > 0 && l != nil && l.kind != kindInventory
	case now.size == d.Size: // what it says was said by its new time
		d.Mod = now.changed.UnixNano()
		if i >= 0 {
			v.cur.Seen[i].Mod = d.Mod
		}
		return true, nil
	case i >= 0:
		v.cur.Seen[i].Grew = true
	}
	return false, nil
}

// move gives a file that was read another name. What the partner wrote in its place since
// it was looked at goes back, and moved is false.
//
// Promise 1: that is still to be read, unless yet another took its place by then.
func (v *visit) move(d doneFile, to string) (moved bool, err error) {
	from := v.in.at(d.Name)
	if err := v.fs.rename(from, to); err != nil {
		return false, err
	}
	if moved, err = v.isAt(to, d); moved || err != nil {
		return moved, err
	}
	if err := v.fs.rename(to, from); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return false, nil
}

// removeRead removes a file that was read. A name of its own shows first that it is that.
func (v *visit) removeRead(folder string, d doneFile) (removed bool, err error) {
	own := partName(path.Join(folder, d.Name))
	if removed, err = v.move(d, own); errors.Is(err, fs.ErrExist) { // of a visit that ended here
		if err := v.fs.remove(own); err != nil {
			return false, err
		}
		removed, err = v.move(d, own)
	}
	if err != nil || !removed {
		return false, err
	}
	return true, v.fs.remove(own)
}

// isAt reports whether what was put under a name is the file that was read. Of the same
// size, its content decides: a server may give it another time as it is renamed.
func (v *visit) isAt(name string, d doneFile) (bool, error) {
	now, err := v.fs.stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil // somebody took it already
	case err != nil || now.size != d.Size:
		return false, err
	case now.changed.UnixNano() == d.Mod:
		return true, nil
	}
	hash, err := hashFile(v.fs, name)
	return hash == d.Hash, err
}

// putAs is the nth name to put a file under: its own, and then with its time, so
// that a partner who always writes the same name never runs out of them.
func (r fileRef) putAs(n int) string {
	if n == 1 {
		return r.Name
	}
	ext := path.Ext(r.Name)
	return fmt.Sprintf("%s~%d%s", strings.TrimSuffix(r.Name, ext), time.Unix(0, r.Mod).UnixMilli()+int64(n-2), ext)
}

// putBefore returns the name in a folder, below the inbox's, under which a version
// of a file was put away; "" for none.
func (v *visit) putBefore(folder string, r fileRef) (string, error) {
	for n := 1; n < 1000; n++ {
		at := path.Join(folder, r.putAs(n))
		f, err := v.fs.stat(v.in.at(at))
		switch {
		case n > 1 && errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", err
		case err == nil && f.size == r.Size && f.changed.UnixNano() == r.Mod:
			if hash, err := hashFile(v.fs, v.in.at(at)); err != nil || hash == r.Hash {
				return at, err
			}
		}
	}
	return "", nil
}

// reasonsSuffix ends the name of what stands beside a file in problems.
const reasonsSuffix = ".why"

// reasons lists the bad rows, for people and for reasonsOf.
func reasons(d doneFile) []byte {
	var b strings.Builder
	switch {
	case d.Missed:
		fmt.Fprintf(&b, "These rows of the file of %s were not told. It lies in archive, unless it was taken away. Put them into a file of their own first; remove this one then.\n", time.Unix(0, d.Mod).UTC().Format(time.RFC3339Nano))
	case !slices.ContainsFunc(d.Bad, badRow.general):
		b.WriteString("Drop the mended file in first, as a whole; remove this one then.\n")
	}
	for _, r := range d.Bad {
		fmt.Fprintf(&b, "line %d: %s\n", r.Line, strings.Join(strings.Fields(r.Message), " "))
	}
	if d.More > 0 {
		fmt.Fprintf(&b, "line 0: and %d more rows\n", d.More)
	}
	return []byte(b.String())
}

// report lists all that could not be read and still stands: the files in
// problems until somebody removes them, and the rows of what is being read.
func (v *visit) report() error {
	all, err := v.fs.list(v.in.at(problemsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := make(map[string]bool, len(all))
	for _, f := range all {
		there[f.name] = true
	}
	u := unreadList{list: v.odd}
	for _, f := range v.barred {
		u.add(f.name, 0, "it can't be opened: want a regular file that we may read")
	}
	for _, f := range all {
		data, beside := strings.CutSuffix(f.name, reasonsSuffix)
		switch {
		case !slices.ContainsFunc(slices.Concat(v.in.layouts, v.in.also), func(l *layout) bool { return l.matches(named(data)) }):
		case beside && !there[data]:
			// Its file was removed: that settles it.
			if v.readOnly {
				continue
			}
			if err := v.fs.remove(path.Join(v.in.at(problemsFolder), f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case !beside && !there[f.name+reasonsSuffix]:
			u.add(f.name, 0, "the file is in "+v.in.at(problemsFolder)+" and nothing says why: look at it, and remove it")
		case !beside:
			if err := v.reportReasons(&u, f.name); err != nil {
				return err
			}
		}
	}
	for _, d := range v.cur.Done {
		for _, b := range d.Bad {
			u.add(d.Name, b.Line, b.Message)
		}
	}
	inOrder(v.cur.Bad)
	for _, b := range v.cur.Bad {
		u.add(v.cur.Reading[b.File].Name, b.Line, b.Message)
	}
	// What waits for long is said too, or it would wait in silence.
	behind := make(map[string]bool)
	for _, w := range v.cur.Waiting {
		behind[w.Key] = behind[w.Key] || v.in.layoutOf(w.Name) == nil
		switch {
		case behind[w.Key]:
			u.add(w.Name, w.Rows[0].Line, wantPattern)
		case w.Overdue:
			u.add(w.Name, w.Rows[0].Line, "order: "+wantKnown)
		}
	}
	if v.waits {
		u.add(v.cur.Reading[0].Name, v.cur.At.Line, wantRoom)
	}
	v.page.unread = u.list
	return nil
}

// mostReasons is how many bytes of a file of reasons are read.
const mostReasons = 1 << 20

func (v *visit) reportReasons(u *unreadList, name string) error {
	bad, err := v.in.reasonsOf(v.fs, name)
	if barred(err) {
		u.add(name, 0, "what is beside it can't be opened, and would say why: look at it, and remove it")
		return nil
	}
	for _, b := range bad {
		u.add(name, b.Line, b.Message)
	}
	return err
}

// reasonsOf reads which rows of a file in problems are bad; none where somebody
// removed the reasons just now.
func (in *inbox) reasonsOf(f files, name string) (bad []badRow, err error) {
	r, err := f.open(path.Join(in.at(problemsFolder), name+reasonsSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	lines := bufio.NewScanner(io.LimitReader(r, mostReasons))
	lines.Buffer(nil, mostReasons+1) // the partner may write there: no line is too long
	for lines.Scan() {
		head, message, _ := strings.Cut(lines.Text(), ": ")
		var line int
		if _, err := fmt.Sscanf(head, "line %d", &line); err == nil {
			bad = append(bad, badRow{Line: line, Message: message})
		}
	}
	return bad, lines.Err()
}

// unreadList collects what can't be read, one entry a line of a file.
type unreadList struct {
	list []connectors.Unread
	at   map[connectors.Unread]int
}

func (u *unreadList) add(subject string, line int, message string) {
	if u.at == nil {
		u.at = make(map[connectors.Unread]int)
	}
	key := connectors.Unread{Subject: subject, Line: line}
	if i, ok := u.at[key]; ok {
		if !strings.Contains(u.list[i].Message, message) {
			u.list[i].Message += "; " + message
		}
		return
	}
	if len(u.list) == maxUnread {
		u.list[maxUnread-1] = connectors.Unread{Subject: "(more)", Message: "there are more problems than are listed here: see the folder " + problemsFolder}
		return
	}
	u.at[key] = len(u.list)
	u.list = append(u.list, connectors.Unread{Subject: subject, Line: line, Message: message})
}
