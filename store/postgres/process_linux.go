package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// withParent makes the server go down when the thread that started it does: see process.run.
func withParent(attr *syscall.SysProcAttr) {
	attr.Pdeathsig = syscall.SIGINT // a fast shutdown
}

// serves tells whether pid is a PostgreSQL server on the directory data. A postmaster makes its data directory its
// working directory, and keeps to it.
func serves(pid int, data string) bool {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	command, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil || !strings.HasPrefix(string(command), "postgres") {
		return false
	}
	cwd, err := os.Readlink(filepath.Join(proc, "cwd"))
	if err != nil {
		return false
	}
	real, err := filepath.EvalSymlinks(data)
	return err == nil && cwd == real
}
