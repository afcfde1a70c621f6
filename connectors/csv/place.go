package csv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"orderferry/relay"
)

// place is where files are exchanged. Names in it have slashes.
type place interface {
	// use calls f with the place's files. What f gets is good until it returns.
	use(ctx context.Context, f func(files) error) error
	String() string
	Close() error
}

// files are what one visit to a place can do there. Their errors satisfy
// errors.Is with fs.ErrNotExist, fs.ErrExist and fs.ErrPermission where that is
// what the place said.
type files interface {
	list(dir string) ([]file, error)
	folders(dir string) ([]file, error) // those in it that are not hidden
	// stat follows no link: one takes its name as a file does.
	stat(name string) (file, error)
	open(name string) (io.ReadSeekCloser, error)
	// create writes a new file, and has it on the disk where the server can be asked
	// for it. What had its name is removed before, and no link is followed: the
	// partner, who may put one there, can't have it written over another file.
	create(name string, content []byte) error
	// rename gives a file a name that is free, or fails with fs.ErrExist. An
	// *unsure error says that it may have happened.
	rename(from, to string) error
	mkdir(dir string) error   // with those above it; one that exists is fine
	remove(name string) error // of a folder, an empty one
}

// file is a regular file as a list shows it.
type file struct {
	name    string // without its folder
	size    int64
	changed time.Time
}

// unsure is a failure after which a write may have happened.
type unsure struct{ error }

func (e *unsure) Unwrap() error { return e.error }

// checkAddress accepts the address of a folder.
func checkAddress(s string) error {
	_, err := parseAddress(s)
	return err
}

func parseAddress(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.User != nil, u.RawQuery != "", u.Fragment != "":
	case u.Scheme == "file" && u.Host == "" && path.IsAbs(u.Path):
		return u, nil
	case u.Scheme == "sftp" && u.Hostname() != "":
		return u, nil
	}
	return nil, errors.New("want the address of a folder without user, query or fragment, such as file:///srv/warehouse or sftp://files.example.com:22/warehouse")
}

// listed leaves out what is no file to be read: folders, links, hidden and
// half-written files, and names that could lead elsewhere.
func listed(all []fs.FileInfo) []file { return chosen(all, fs.FileMode.IsRegular) }

// chosen lists what is of a kind, by name.
func chosen(all []fs.FileInfo, kind func(fs.FileMode) bool) []file {
	var out []file
	for _, i := range all {
		n := i.Name()
		if kind(i.Mode()) && !strings.HasPrefix(n, ".") && !strings.ContainsFunc(n, func(c rune) bool { return c < ' ' || c == '/' || c == '\\' || c == 0x7f }) {
			out = append(out, file{n, i.Size(), i.ModTime()})
		}
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return out
}

// partName is the name of a file while it is written: hidden, in the same folder,
// and of no pattern that asks for a suffix.
func partName(name string) string { return path.Join(path.Dir(name), "."+path.Base(name)+".part") }

// failure classifies what stopped a visit, unless a connector's error did.
func failure(op string, where fmt.Stringer, err error) error {
	var known *relay.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	kind := relay.Unavailable
	var u *unsure
	if errors.As(err, &u) {
		kind = relay.Unknown
	}
	return &relay.Error{Kind: kind, Op: op, Err: fmt.Errorf("%s: %w", where, err)}
}

// local is a folder of this machine. Nothing in it leads out of it: os.Root
// refuses names and links that do.
type local struct{ dir string }

func (l *local) String() string { return l.dir }

func (l *local) Close() error { return nil }

func (l *local) use(ctx context.Context, f func(files) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return fmt.Errorf("open the folder: %w", err)
	}
	defer root.Close()
	return f(&localFiles{ctx, root})
}

type localFiles struct {
	ctx  context.Context
	root *os.Root
}

func (l *localFiles) list(dir string) ([]file, error) {
	all, err := l.readDir(dir)
	return listed(all), err
}

func (l *localFiles) folders(dir string) ([]file, error) {
	all, err := l.readDir(dir)
	return chosen(all, fs.FileMode.IsDir), err
}

func (l *localFiles) readDir(dir string) ([]fs.FileInfo, error) {
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	d, err := l.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdir(-1)
}

func (l *localFiles) stat(name string) (file, error) {
	i, err := l.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return file{}, err
	}
	return file{i.Name(), i.Size(), i.ModTime()}, nil
}

// errNoFile is a link, or another thing that is no file, under a file's name.
var errNoFile = errors.New("this is no regular file")

func (l *localFiles) open(name string) (io.ReadSeekCloser, error) {
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	named, err := l.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() { // not even opened: a pipe would wait for a writer
		return nil, &fs.PathError{Op: "open", Path: name, Err: errNoFile}
	}
	f, err := l.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if opened, err := f.Stat(); err != nil || !os.SameFile(named, opened) { // it was swapped meanwhile
		return nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: errNoFile}, err, f.Close())
	}
	return f, nil
}

func (l *localFiles) create(name string, content []byte) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	create := func() (*os.File, error) {
		return l.root.OpenFile(filepath.FromSlash(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	}
	f, err := create()
	if errors.Is(err, fs.ErrExist) {
		if err := l.remove(name); err != nil {
			return err
		}
		f, err = create()
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (l *localFiles) rename(from, to string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if err := renameFree(l.root, filepath.FromSlash(from), filepath.FromSlash(to)); err != nil {
		return err
	}
	// Only now does the new name outlive the machine.
	for _, dir := range []string{path.Dir(to), path.Dir(from)} {
		if err := l.sync(dir); err != nil {
			return &unsure{err}
		}
	}
	return nil
}

func (l *localFiles) sync(dir string) error {
	d, err := l.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (l *localFiles) mkdir(dir string) error { return l.root.MkdirAll(filepath.FromSlash(dir), 0o750) }

func (l *localFiles) remove(name string) error { return l.root.Remove(filepath.FromSlash(name)) }

// linkFree renames in two steps, of which the first refuses a name that is taken.
// It is the way of OpenSSH's server too.
func linkFree(root *os.Root, from, to string) error {
	if err := root.Link(from, to); err != nil {
		return err
	}
	if err := root.Remove(from); err != nil {
		return &unsure{err}
	}
	return nil
}
