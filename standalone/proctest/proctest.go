// Package proctest is for tests that run processes: where they keep their data,
// and what they say.
package proctest

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"syscall"
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

// Port is a port of 127.0.0.1 at which nobody listens until the test does, and at which nobody else does while the
// test runs: it stays bound, for a free port that is let go may be another process's the next moment.
func Port(t testing.TB) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	syscall.CloseOnExec(fd)
	require.NoError(t, syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)) // as net.Listen has it
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	at, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return at.(*syscall.SockaddrInet4).Port
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
