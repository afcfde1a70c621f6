package simulator

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
	"slices"
	"sync"
)

// journal appends changes to a file, in the order in which they happened, before
// the answers that tell of them are written. What was flushed survives the death
// of the process; it is not synced to the disk.
type journal struct {
	file *os.File // nil: memory only

	mu      sync.Mutex
	pending []*change
	err     error // the first failure; everything after it is refused

	writing sync.Mutex
}

const journalVersion = 1

// journalHead is the first line. Tracking numbers depend on the seed and changes
// name their account, so a journal only fits the configuration it was begun with.
type journalHead struct {
	Journal  string   `json:"journal"`
	Version  int      `json:"version"`
	Seed     int64    `json:"seed"`
	Accounts []string `json:"accounts"` // prefixes
}

// add queues a change. The caller holds the Simulator's mutex, which puts the
// changes in order.
func (j *journal) add(c *change) {
	if j.file == nil {
		return
	}
	j.mu.Lock()
	j.pending = append(j.pending, c)
	j.mu.Unlock()
}

// flush returns once every change added before the call is in the file. Callers
// that come together share one write.
func (j *journal) flush() error {
	if j.file == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	batch, err := j.pending, j.err
	j.pending = nil
	j.mu.Unlock()
	if err != nil || len(batch) == 0 {
		return err
	}
	if err := j.write(batch); err != nil {
		err = fmt.Errorf("write journal: %w", err)
		j.mu.Lock()
		j.err = err
		j.mu.Unlock()
		return err
	}
	return nil
}

func (j *journal) write(batch []*change) error {
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

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return errors.Join(j.flush(), j.file.Close())
}

// readJournal applies a journal's changes. A last line without its end was being
// written when the process died: nobody was told of it, so it is dropped.
func readJournal(path string, head journalHead, apply func(*change) error) error {
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
		if n == 1 {
			err = checkHead(line, head)
		} else {
			err = applyLine(line, apply)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func checkHead(line []byte, want journalHead) error {
	var got journalHead
	if err := json.Unmarshal(line, &got); err != nil {
		return err
	}
	if got.Journal != want.Journal || got.Version != want.Version || got.Seed != want.Seed ||
		!slices.Equal(got.Accounts, want.Accounts) {
		return fmt.Errorf("it was begun with other settings: %+v, not %+v", got, want)
	}
	return nil
}

func applyLine(line []byte, apply func(*change) error) error {
	var c change
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	return apply(&c)
}

// openJournal writes the state as a new, short journal, puts it in the place of
// the old one, and leaves it open for more.
func openJournal(path string, head journalHead, books []*book) (*journal, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".journal-*")
	if err != nil {
		return nil, err
	}
	if err := writeState(f, head, books); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return &journal{file: f}, nil
}

func writeState(f *os.File, head journalHead, books []*book) error {
	w := bufio.NewWriterSize(f, 1<<20)
	enc := json.NewEncoder(w)
	if err := enc.Encode(head); err != nil {
		return err
	}
	for _, b := range books {
		for c := range b.everything {
			if err := enc.Encode(c); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}
