package storetest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/store/lockfile"
)

func TestSweepRemovesOnlyWhatNobodyUses(t *testing.T) {
	parent := t.TempDir()
	server := func(name string, age time.Duration) string {
		dir := filepath.Join(parent, name)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
		began := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(dir, began, began))
		return dir
	}
	left, young, other := server(prefix+"1", time.Hour), server(prefix+"2", 0), server("other", time.Hour)
	used := server(prefix+"3", time.Hour)
	lock, err := lockfile.Take(filepath.Join(used, "lock"))
	require.NoError(t, err)
	t.Cleanup(lock.Release)
	hourAgo := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(used, hourAgo, hourAgo))

	sweep(parent)
	require.NoDirExists(t, left)
	for _, dir := range []string{young, other, used} {
		require.DirExists(t, dir)
	}
}
