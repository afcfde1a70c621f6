package csv

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"orderferry/relay"
)

const (
	defaultKept = "400"          // days
	leastKept   = 90             // days, if not for ever: longer than orders are looked for, watched or waited for
	pruneEvery  = 24 * time.Hour // an archive may be long, and a list of it slow
	pruneAtOnce = 200            // files of one folder, and orders
)

// checkKept accepts the setting keep_files.
func checkKept(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n != 0 && (n < leastKept || n > 36500) {
		return fmt.Errorf("%q: want a number of days from %d to 36500, or 0 for ever", s, leastKept)
	}
	return nil
}

// attic is a folder of files that nobody needs any more.
type attic struct {
	dir  string
	mine func(name string) bool // nil: all
}

// janitor removes files of the past, once a day: those of its attics, and what else
// the taker of a reading knows. What can't be removed stops nothing and is reported.
type janitor struct {
	keep   time.Duration // by the files' own times; 0: for ever
	attics []attic
	next   time.Time
}

// putBefore is how the name of a file begins and ends that numbered gave another.
var putBefore = regexp.MustCompile(`^(.+)~[0-9]+(\.[^.]*)?$`)

// named returns the name that a file had before it was put away.
func named(name string) string { return putBefore.ReplaceAllString(name, "$1$2") }

// prune removes what is older than the inbox keeps. The snapshot of stock that the
// next one is compared with stays.
func (v *visit) prune() error {
	j, now := &v.in.janitor, v.in.now()
	if j.keep == 0 || v.readOnly || now.Before(j.next) {
		return nil
	}
	before, all := now.Add(-j.keep), true
	for _, a := range j.attics {
		most, err := removeOld(v.fs, a, before, func(name string) bool { return v.in.at(v.cur.Last) == path.Join(a.dir, name) })
		if err != nil {
			return err
		}
		all = all && !most
	}
	if v.tidy != nil {
		most, err := v.tidy(v.fs, before)
		if err != nil {
			return err
		}
		all = all && !most
	}
	if all {
		j.next = now.Add(pruneEvery)
	}
	return nil
}

// removeOld removes the files of an attic that were last written before a time; most
// says that there are more than it removes at once.
func removeOld(f files, a attic, before time.Time, needed func(name string) bool) (most bool, err error) {
	list, err := f.list(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Promise 1: of the versions of a file the one that kept its name goes last, since
	// archived looks for others only where that is.
	others := make(map[string]int)
	for _, f := range list {
		if name := named(f.name); name != f.name {
			others[name]++
		}
	}
	removed := 0
	for _, old := range slices.Backward(list) { // by name: it is listed before the others
		switch {
		case !old.changed.Before(before), a.mine != nil && !a.mine(old.name), needed != nil && needed(old.name),
			others[old.name] > 0:
			continue
		case removed == pruneAtOnce:
			return true, nil
		}
		if err := f.remove(path.Join(a.dir, old.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if name := named(old.name); name != old.name {
			others[name]--
		}
		removed++
	}
	return false, nil
}

// forgetOld removes the copies of orders that were handed over before a time, and of
// which the ledger knows what became of them.
//
// Promise 1: as long as it does not know that an order was taken, the copy alone
// says that it was handed over.
func (o *outbox) forgetOld(f files, before time.Time, known func([]relay.WarehouseOrderID) ([]bool, error)) (most bool, err error) {
	all, err := f.folders(o.copies)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var old []relay.WarehouseOrderID
	for _, d := range all {
		if d.changed.Before(before) && numberForm.MatchString(d.name) { // it changes whenever a file is put into it
			old = append(old, relay.WarehouseOrderID(d.name))
		}
	}
	removed := 0
	for some := range slices.Chunk(old, pruneAtOnce) {
		settled, err := known(some)
		if err != nil {
			return false, err
		}
		for i, number := range some {
			switch {
			case !settled[i]:
				continue
			case removed == pruneAtOnce:
				return true, nil
			}
			if err := o.forgetOrder(f, string(number), before); err != nil {
				return false, err
			}
			removed++
		}
	}
	return false, nil
}

// forgetOrder removes the copies of one order, and their folder.
func (o *outbox) forgetOrder(f files, number string, before time.Time) error {
	group := path.Join(o.copies, number)
	for _, dir := range []string{path.Join(group, refusedFolder), group} {
		if _, err := removeOld(f, attic{dir: dir}, before, nil); err != nil {
			return err
		}
		left, err := f.list(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || len(left) > 0 {
			return err
		}
		if err := f.remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // another worker tidies too
			return err
		}
	}
	return nil
}
