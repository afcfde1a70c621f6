package csv

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"
)

// fileRef names a version of a file.
type fileRef struct {
	Name string `json:"n"`
	Size int64  `json:"s"`
	Mod  int64  `json:"m"` // ns since 1970
	Hash string `json:"h,omitempty"`
	// Again is the time of a file with the same content that was read before, where
	// some of what this one says may be news all the same; 0 for none.
	Again int64 `json:"g,omitempty"`
	// Told is how many bytes it had when it was read under this name, before the
	// partner wrote on: what they say was told.
	Told int64 `json:"o,omitempty"`
	// Stands: what was bad in those is reported as long as that version lies in problems.
	Stands bool `json:"p,omitempty"`
}

func refOf(f file) fileRef {
	return fileRef{Name: f.name, Size: f.size, Mod: f.changed.UnixNano()}
}

func (r fileRef) file() file { return file{r.Name, r.Size, time.Unix(0, r.Mod)} }

// put reports whether the file was put away: its name has a folder.
func (r fileRef) put() bool { return strings.Contains(r.Name, "/") }

func (r fileRef) is(f file) bool {
	return r.Name == f.name && r.Size == f.size && r.Mod == f.changed.UnixNano()
}

// run is a place where rows of one key follow each other. It is small, for a file
// may have millions.
type run struct {
	key  uint64 // of which it is a hash
	at   int64
	line int32
	file uint16
	torn bool
}

func (r run) mark() mark {
	return mark{File: int(r.file), At: r.at, Line: int(r.line), Torn: r.torn}
}

// batch is one or more files that are read as one, and what a first reading of
// all of them found: rows of one key that are not together, which are gathered at
// the first of them. Two keys of one hash would merely be looked at together. The
// memory it takes while it reads is 24 bytes a key, and then that of what is split.
type batch struct {
	dir   string
	l     *layout
	files []fileRef
	split map[uint64][]run
	// base says that the last file is the snapshot before: only what the others do
	// not name is read of it. keys, sorted, is what they name.
	base bool
	keys []uint64
	torn bool // and a row of the others can't be read, which may name anything
}

func hashKey(key string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, key) // a hash takes anything
	return h.Sum64()
}

// newBatch reads the files once and fills in their hashes.
func newBatch(fs files, dir string, l *layout, refs []fileRef, base bool) (*batch, error) {
	b := &batch{dir: dir, l: l, files: slices.Clone(refs), split: make(map[uint64][]run), base: base}
	var runs []run
	for i := range b.files {
		more, err := b.survey(fs, i, runs)
		if err != nil {
			return nil, err
		}
		runs = more
	}
	slices.SortFunc(runs, func(x, y run) int {
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.file, y.file), cmp.Compare(x.at, y.at))
	})
	for i := 0; i < len(runs); {
		n := i + 1
		for n < len(runs) && runs[n].key == runs[i].key {
			n++
		}
		same := runs[i:n]
		if base && !b.isBase(int(same[0].file)) {
			b.keys = append(b.keys, same[0].key)
			same = slices.DeleteFunc(same, func(r run) bool { return b.isBase(int(r.file)) })
		}
		if len(same) > 1 {
			b.split[same[0].key] = slices.Clone(same)
		}
		i = n
	}
	return b, nil
}

func (b *batch) isBase(file int) bool { return b.base && file == len(b.files)-1 }

// superseded reports whether a group of the snapshot before is, or may be, named anew.
func (b *batch) superseded(g group) bool {
	if !b.isBase(g.from.File) {
		return false
	}
	_, named := slices.BinarySearch(b.keys, hashKey(g.key))
	return named || b.torn
}

// survey reads one file to its end.
func (b *batch) survey(at files, i int, runs []run) ([]run, error) {
	f, err := b.open(at, i)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	g, err := newGroups(&tee{f, sum}, b.l, mark{File: i})
	if err != nil {
		return nil, err
	}
	for empty := true; ; empty = false {
		group, _, err := g.next()
		if errors.Is(err, io.EOF) && empty && len(g.strays) == 0 {
			if err := g.t.swallowed(); err != nil {
				return nil, err
			}
		}
		b.torn = b.torn || len(g.strays) > 0 && !b.isBase(i)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		g.strays = g.strays[:0]
		runs = append(runs, run{hashKey(group.key), group.from.At, int32(group.from.Line), uint16(i), group.from.Torn})
	}
	if f.at < f.size { // its hash would be that of no version
		return nil, fmt.Errorf("%s was cut off while it was read: %w", b.files[i].Name, fs.ErrNotExist)
	}
	b.files[i].Hash = hashOf(sum)
	return runs, nil
}

// open opens a file as long as it was when it was listed.
//
// Promise 1: what the partner writes on meanwhile is known as such when it is read.
func (b *batch) open(fs files, i int) (*headOf, error) {
	f, err := fs.open(b.dir + "/" + b.files[i].Name)
	if err != nil {
		return nil, err
	}
	return &headOf{f, b.files[i].Size, 0}, nil
}

// headOf is the first bytes of a file.
type headOf struct {
	io.ReadSeekCloser
	size, at int64
}

func (h *headOf) Read(p []byte) (int, error) {
	if h.at >= h.size {
		return 0, io.EOF
	}
	n, err := h.ReadSeekCloser.Read(p[:min(int64(len(p)), h.size-h.at)])
	h.at += int64(n)
	return n, err
}

func (h *headOf) Seek(offset int64, whence int) (at int64, err error) {
	h.at, err = h.ReadSeekCloser.Seek(offset, whence)
	return h.at, err
}

// eachGroup reads a file to its end, if it is there and of its layout.
func eachGroup(f files, name string, l *layout, take func(group)) error {
	r, err := f.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	g, err := newGroups(r, l, mark{})
	for err == nil {
		var next group
		if next, _, err = g.next(); err == nil {
			take(next)
		}
		g.strays = g.strays[:0]
	}
	var heading errHeading
	if errors.Is(err, io.EOF) || errors.As(err, &heading) {
		return nil
	}
	return err
}

// tee notes what is read. Nobody seeks in it.
type tee struct {
	io.ReadSeeker
	to io.Writer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadSeeker.Read(p)
	_, _ = t.to.Write(p[:n]) // a hash takes anything
	return n, err
}

// hash reads a file that is of no layout, to know it again.
func hashFile(fs files, name string) (string, error) { return hashHead(fs, name, math.MaxInt64) }

// hashHead is of at most so many bytes.
func hashHead(fs files, name string, most int64) (string, error) {
	f, err := fs.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, most)); err != nil {
		return "", err
	}
	return hashOf(sum), nil
}

func hashOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)[:16]) }

// longestHead is the size of the longest of some versions with which a file begins; 0
// for none.
func longestHead(fs files, name string, versions []fileRef) (size int64, err error) {
	if len(versions) == 0 {
		return 0, nil
	}
	f, err := fs.open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum, at := sha256.New(), int64(0)
	slices.SortFunc(versions, func(a, b fileRef) int { return cmp.Compare(a.Size, b.Size) })
	for _, was := range versions {
		n, err := io.CopyN(sum, f, was.Size-at)
		if at += n; errors.Is(err, io.EOF) {
			break // it is shorter by now
		}
		if err != nil {
			return 0, err
		}
		if hashOf(sum) == was.Hash {
			size = was.Size
		}
	}
	return size, nil
}

// verdict says how to go on behind a group.
type verdict int

const (
	goOn   verdict = iota
	enough         // it was the last of this page
	notYet         // it was not taken: the next page begins with it
)

// read gives the groups from a mark on to take, until that has enough, and returns
// where to go on; over says that there is nothing more. Rows of no group go to stray.
func (b *batch) read(fs files, from mark, take func(group) (verdict, error), stray func(entry)) (next mark, over bool, err error) {
	for i := from.File; i < len(b.files); i++ {
		next, stopped, err := b.readFile(fs, from, take, stray)
		if err != nil || stopped {
			return next, false, err
		}
		from = mark{File: i + 1}
	}
	return from, true, nil
}

func (b *batch) readFile(fs files, from mark, take func(group) (verdict, error), stray func(entry)) (mark, bool, error) {
	f, err := b.open(fs, from.File)
	if err != nil {
		return mark{}, false, err
	}
	defer f.Close()
	g, err := newGroups(f, b.l, from)
	if err != nil {
		return mark{}, false, err
	}
	note := func(before int64) {
		for _, e := range g.strays {
			if !b.isBase(from.File) && e.at < before {
				stray(e)
			}
		}
		g.strays = g.strays[:0]
	}
	for {
		group, next, err := g.next()
		if errors.Is(err, io.EOF) {
			note(math.MaxInt64)
			return mark{}, false, nil
		}
		if err != nil {
			return mark{}, false, err
		}
		v := goOn
		if !b.superseded(group) {
			if v, err = b.give(fs, group, take); err != nil {
				return mark{}, false, err
			}
		}
		if v == notYet { // what is behind its beginning is met again
			note(group.from.At)
			return group.from, true, nil
		}
		note(math.MaxInt64)
		if v == enough {
			return next, true, nil
		}
	}
}

// give gives a group with all that is of its key to take, if this is the first of it.
func (b *batch) give(fs files, g group, take func(group) (verdict, error)) (verdict, error) {
	first, err := b.gather(fs, &g)
	if err != nil || !first {
		return goOn, err
	}
	return take(g)
}

// gather adds to a group what else of its key is in the batch, and reports
// whether this is the first of it.
func (b *batch) gather(fs files, g *group) (first bool, err error) {
	runs := b.split[hashKey(g.key)]
	for _, r := range runs {
		if int(r.file) == g.from.File && r.at == g.from.At {
			first = true
			continue
		}
		if !first {
			own, err := b.rowsAt(fs, r.mark())
			if err != nil {
				return false, err
			}
			if own.key == g.key {
				return false, nil // its rows went with an earlier one
			}
			continue
		}
		more, err := b.rowsAt(fs, r.mark())
		if err != nil {
			return false, err
		}
		if more.key == g.key {
			g.rows = append(g.rows, more.rows...)
			g.torn = g.torn || more.torn
		}
	}
	return true, nil
}

// rowsAt reads the group that begins at a mark.
func (b *batch) rowsAt(fs files, at mark) (group, error) {
	f, err := b.open(fs, at.File)
	if err != nil {
		return group{}, err
	}
	defer f.Close()
	g, err := newGroups(f, b.l, at)
	if err != nil {
		return group{}, err
	}
	out, _, err := g.next()
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s changed while it was read", b.files[at.File].Name)
	}
	return out, err
}
