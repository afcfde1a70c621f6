package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clearLeftover makes sure that no server runs on data: one that outlived the process that started it is stopped.
// The caller holds the lock, so that such a server has no living owner.
func clearLeftover(ctx context.Context, data string) error {
	path := filepath.Join(data, "postmaster.pid")
	written, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, rest, _ := strings.Cut(string(written), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return nil // PostgreSQL judges broken files itself
	}
	if serves(pid, data) {
		return stopLeftover(ctx, pid, data)
	}
	if syscall.Kill(pid, 0) != nil {
		return nil // gone; PostgreSQL sees so too
	}
	// The number now belongs to some other process, on account of which PostgreSQL would refuse to start. Removing the
	// file would also take away its check for orphaned server processes that still use the old shared memory; but it
	// takes its own parent's number for a left-over one, and goes on to that check.
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"+rest), 0o600)
}

// stopLeftover asks a server that is not our child to stop, and waits until it has.
func stopLeftover(ctx context.Context, pid int, data string) error {
	for _, step := range shutdown[:2] { // never kill: its own children would be left behind
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop the PostgreSQL (process %d) that an earlier run left behind: %w", pid, err)
		}
		gone, err := poll(ctx, step.wait, func() bool { return !serves(pid, data) })
		if err != nil || gone {
			return err
		}
	}
	return fmt.Errorf("PostgreSQL (process %d) that an earlier run left behind does not stop", pid)
}

// poll asks until the answer is yes, or no longer than limit.
func poll(ctx context.Context, limit time.Duration, yes func() bool) (bool, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timeout.C:
			return false, nil
		case <-tick.C:
		}
	}
	return true, nil
}
