// Package lockfile keeps two processes from using the same directory or file at once.
package lockfile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A Lock is held until Release, or until the process that took it ends in whatever way: the kernel frees it, so a
// killed process leaves nothing to clean up.
type Lock struct {
	file *os.File
}

// ErrHeld is returned by Take, wrapped, when another process (or another Take in this one) holds the lock.
var ErrHeld = errors.New("already in use")

// Take creates path if need be and locks it without waiting. The file stays behind after Release; only the lock on it
// counts, so it must not be deleted.
func Take(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return claim(file)
	}
	defer file.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, fmt.Errorf("%s: %w%s", path, ErrHeld, holder(file))
}

// claim writes who holds the lock, for the message that the next comer gets.
func claim(file *os.File) (*Lock, error) {
	err := file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("write lock: %w", err)
	}
	return &Lock{file: file}, nil
}

func holder(file *os.File) string {
	written := make([]byte, 20)
	n, _ := file.ReadAt(written, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(written[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" by process %d", pid)
}

// Release frees the lock. It may be called twice.
func (l *Lock) Release() {
	// Closing the only descriptor frees the lock: os.File opens close-on-exec, so no child shares it.
	_ = l.file.Close()
}
