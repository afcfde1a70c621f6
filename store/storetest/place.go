package storetest

import (
	"os"
	"path/filepath"
	"syscall"
	"time"

	"orderferry/store/lockfile"
)

const (
	memory = "/dev/shm"
	prefix = "orderferry-store-"

	// room is what a server may take: half a gigabyte of write-ahead log, and some ten megabytes a database in use.
	room = 2 << 30
)

// place makes the server's directory. It is in memory where that has room: a database is hundreds of small files, and
// a disk takes ten times as long to make them, fsync or not. TMPDIR, when set, decides instead.
func place() (string, error) {
	parent := os.Getenv("TMPDIR")
	var free syscall.Statfs_t
	if parent == "" && syscall.Statfs(memory, &free) == nil && uint64(free.Bavail)*uint64(free.Bsize) >= room {
		parent = memory
		sweep(memory)
	}
	dir, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) // run by root, the server's own user has to pass
}

// sweep removes what killed test binaries left in a directory: servers whose lock nobody holds, but for those so new
// that they may not have come to take it.
func sweep(parent string) {
	left, _ := filepath.Glob(filepath.Join(parent, prefix+"*"))
	for _, dir := range left {
		if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if lock, err := lockfile.Take(filepath.Join(dir, "lock")); err == nil {
			_ = os.RemoveAll(dir)
			lock.Release()
		}
	}
}
