//go:build !linux

package postgres

import (
	"context"
	"strconv"
	"strings"
	"syscall"
)

// withParent does nothing here: only Linux can tie a child's life to its parent's. A server that outlives us is
// stopped by the next Start.
func withParent(*syscall.SysProcAttr) {}

// serves tells whether pid is a PostgreSQL server on the directory data, going by the command line that Start gives
// its servers.
func serves(pid int, data string) bool {
	command, err := output(context.Background(), "ps", "-o", "command=", "-p", strconv.Itoa(pid))
	return err == nil && strings.Contains(command, "postgres") && strings.Contains(command, "-D "+data)
}
