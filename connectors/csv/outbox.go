package csv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"orderferry/relay"
)

// outbox hands files over to the partner, each once.
//
// A copy of each file is kept in a folder that the partner does not touch. A file
// is written in three steps: under a hidden name in the partner's folder; then the
// copy; then the hidden one is renamed. So it was handed over if it is there, or if
// there is a copy and no hidden one: also after the partner took it away, and after
// a crash at any line (wire/csv-files.md section 1: the name is the key).
type outbox struct {
	place  place
	folder string // the partner's
	copies string
}

// letter is a file to hand over.
type letter struct {
	// group is the folder of the copy, below copies: what is written for one order
	// lies together. "" is copies itself.
	group   string
	name    string
	content []byte
	// alone says that nothing else may have been handed over in the group.
	alone bool
}

// anotherHanded is what a letter meets that must be alone in its group.
var errAnotherHanded = errors.New("the order was handed over under another name")

// hand writes a file, unless it was handed over. A file of this name with other
// content is a Conflict.
func (o *outbox) hand(ctx context.Context, op string, l letter) (found bool, err error) {
	err = o.place.use(ctx, func(fs files) error {
		found, err = o.handOver(fs, l)
		return err
	})
	if errors.Is(err, errAnotherHanded) || errors.Is(err, errOther) {
		return false, &relay.Error{Kind: relay.Conflict, Op: op, Err: err}
	}
	return found, failure(op, o.place, err)
}

var errOther = errors.New("a file of this name has other content")

func (o *outbox) handOver(f files, l letter) (found bool, err error) {
	to, part, kept := o.paths(l)
	if l.alone {
		others, err := o.handed(f, l.group)
		if err != nil {
			return false, err
		}
		for _, other := range others {
			if other.name != l.name {
				return false, fmt.Errorf("%w: %s", errAnotherHanded, other.name)
			}
		}
	}
	was, err := o.find(f, l)
	if err != nil {
		return false, err
	}
	if was != "" {
		return true, same(f, was, l.content)
	}
	for _, dir := range []string{o.folder, path.Dir(kept)} {
		if err := f.mkdir(dir); err != nil {
			return false, err
		}
	}
	if begun, err := exists(f, part); err != nil {
		return false, err
	} else if begun {
		// Promise 1: a copy without its hidden file says that it was handed over, so
		// that of an earlier try goes before create replaces the hidden one.
		if err := f.remove(kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	if err := f.create(part, l.content); err != nil {
		return false, err
	}
	if err := o.keep(f, kept, l.content); err != nil {
		return false, err
	}
	err = f.rename(part, to)
	if errors.Is(err, fs.ErrExist) {
		if err := same(f, to, l.content); err != nil {
			return false, err
		}
		return true, f.remove(part)
	}
	return false, err
}

func (o *outbox) paths(l letter) (to, part, kept string) {
	to = path.Join(o.folder, l.name)
	return to, partName(to), path.Join(o.copies, l.group, l.name)
}

// keep writes the copy, in the place of one that belongs to nothing handed over.
func (o *outbox) keep(f files, kept string, content []byte) error {
	part := partName(kept)
	if err := f.create(part, content); err != nil {
		return err
	}
	err := f.rename(part, kept)
	if errors.Is(err, fs.ErrExist) {
		if err := f.remove(kept); err != nil {
			return err
		}
		err = f.rename(part, kept)
	}
	var u *unsure
	if errors.As(err, &u) {
		err = u.error // nothing was handed over by it
	}
	return err
}

// find returns where the file, or its copy, shows that it was handed over; "" when
// it was not.
func (o *outbox) find(f files, l letter) (string, error) {
	to, part, kept := o.paths(l)
	if there, err := exists(f, to); there || err != nil {
		return to, err
	}
	if there, err := exists(f, kept); !there || err != nil {
		return "", err
	}
	if there, err := exists(f, part); there || err != nil {
		return "", err
	}
	// Between the two looks it may have been renamed: then it was, all the same.
	return kept, nil
}

func exists(f files, name string) (bool, error) {
	_, err := f.stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// same compares a file with what is to be written.
func same(f files, name string, content []byte) error {
	r, err := f.open(name)
	if errors.Is(err, errNoFile) {
		return fmt.Errorf("%w: %s", errOther, name)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, int64(len(content))+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(b, content) {
		return fmt.Errorf("%w: %s", errOther, name)
	}
	return nil
}

// handedOver is a file that was handed over.
type handedOver struct {
	name string
	at   time.Time
}

// handed lists what was handed over in a group, by the copies.
func (o *outbox) handed(f files, group string) ([]handedOver, error) {
	all, err := f.list(path.Join(o.copies, group))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []handedOver
	for _, c := range all {
		was, err := o.find(f, letter{group: group, name: c.name})
		if err != nil {
			return nil, err
		}
		if was != "" {
			out = append(out, handedOver{c.name, c.changed})
		}
	}
	return out, nil
}

// refusedFolder, below a group, takes the copies of what the partner refused, so
// that the order may be handed over again.
const refusedFolder = "refused"

// refused lists what was put aside of a group.
func (o *outbox) refused(f files, group string) ([]handedOver, error) {
	return o.handed(f, path.Join(group, refusedFolder))
}

// refuse notes that the partner does not take what was handed over in a group.
func (o *outbox) refuse(f files, group string) error {
	list, err := o.handed(f, group)
	if err != nil || len(list) == 0 {
		return err
	}
	to := path.Join(o.copies, group, refusedFolder)
	if err := f.mkdir(to); err != nil {
		return err
	}
	for _, h := range list {
		from := path.Join(o.copies, group, h.name)
		err := f.rename(from, path.Join(to, h.name))
		if errors.Is(err, fs.ErrExist) {
			// A rename in two steps ended between them: a name is of one submission.
			err = f.remove(from)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
