package simkit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Journal appends changes to a file, one JSON line a change, in the order in which
// they happened and before the answers that tell of them are written. What was
// flushed survives the death of the process; it is not synced to the disk.
//
// It is safe for concurrent use. Changes are encoded in Flush: the caller leaves
// them alone once they are added, at least until it has flushed them.
type Journal[C any] struct {
	file *os.File // nil: memory only

	mu      sync.Mutex
	pending []C
	err     error // the first failure; everything after it is refused

	writing sync.Mutex
	closed  bool // guarded by writing
}

// OpenJournal replays the journal at path, if there is one, puts a new one in its
// place that holds only the state, and leaves it open for more. An empty path
// keeps nothing.
//
// The first line is head, which says what the journal fits: one that was begun
// with another head is refused. A nil head is left out. state is called after the
// replay and writes what there is.
func OpenJournal[C any](path string, head any, replay func(C) error, state func(write func(C) error) error) (*Journal[C], error) {
	if path == "" {
		return &Journal[C]{}, nil
	}
	if err := replayFile(path, head, replay); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".journal-*")
	if err != nil {
		return nil, err
	}
	if err = writeState(f, head, state); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return &Journal[C]{file: f}, nil
}

// replayFile applies a journal's changes. A last line without its end was being
// written when the process died: nobody was told of it, so it is dropped.
func replayFile[C any](path string, head any, apply func(C) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 1 && head != nil {
			err = checkHead(line, head)
		} else {
			err = applyLine(line, apply)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func checkHead(line []byte, head any) error {
	want, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if got := bytes.TrimSpace(line); !bytes.Equal(got, want) {
		return fmt.Errorf("it was begun with other settings: %s, not %s", got, want)
	}
	return nil
}

func applyLine[C any](line []byte, apply func(C) error) error {
	var c C
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	return apply(c)
}

func writeState[C any](f *os.File, head any, state func(write func(C) error) error) error {
	w := bufio.NewWriterSize(f, 1<<20)
	enc := json.NewEncoder(w)
	if head != nil {
		if err := enc.Encode(head); err != nil {
			return err
		}
	}
	if err := state(func(c C) error { return enc.Encode(c) }); err != nil {
		return err
	}
	return w.Flush()
}

// Add queues a change. Whoever guards the data puts the changes in order by
// adding them under its lock.
func (j *Journal[C]) Add(c C) {
	if j.file == nil {
		return
	}
	j.mu.Lock()
	j.pending = append(j.pending, c)
	j.mu.Unlock()
}

// Flush returns once every change added before the call is in the file. Callers
// that come together share one write. After a failure it fails for good: what is
// in memory and not in the file must not be told of.
func (j *Journal[C]) Flush() error {
	if j.file == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	return j.flush()
}

// flush is Flush for those who hold writing.
func (j *Journal[C]) flush() error {
	j.mu.Lock()
	batch, err := j.pending, j.err
	j.pending = nil
	j.mu.Unlock()
	if err != nil || len(batch) == 0 {
		return err
	}
	if err = j.write(batch); err != nil {
		err = fmt.Errorf("write journal: %w", err)
		j.mu.Lock()
		j.err = err
		j.mu.Unlock()
	}
	return err
}

func (j *Journal[C]) write(batch []C) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	for _, c := range batch {
		if err := enc.Encode(c); err != nil {
			return err
		}
	}
	_, err := j.file.Write(buf.Bytes())
	return err
}

// Close writes what is waiting and closes the file. What is added later can't be
// flushed. Closing again does nothing.
func (j *Journal[C]) Close() error {
	if j.file == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return errors.Join(j.flush(), j.file.Close())
}
