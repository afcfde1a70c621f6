// Package proctest is for tests that run processes: where they keep their data,
// and what they say.
package proctest

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// DataDir is a data directory that the private Postgres' own user may enter.
func DataDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "orderferry-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

// Output keeps what a process says, and hands it on line by line. Use NewOutput.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
	rest string // of a line whose end is still to come
	seen chan string
}

// NewOutput makes an Output.
func NewOutput() *Output { return &Output{seen: make(chan string, 10_000)} }

// Write takes what the process says.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	lines := strings.Split(o.rest+string(b), "\n")
	o.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		select {
		case o.seen <- line:
		default: // nobody waits for so much
		}
	}
	return len(b), nil
}

// String is all that was said.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await waits for a line that holds a word.
func (o *Output) Await(t testing.TB, word string) {
	late := time.After(3 * time.Minute)
	for {
		select {
		case line := <-o.seen:
			if strings.Contains(line, word) {
				return
			}
		case <-late:
			t.Fatalf("no %q in:\n%s", word, o)
		}
	}
}
