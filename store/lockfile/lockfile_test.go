package lockfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/store/lockfile"
)

func TestTakeRefusesASecondHolderUntilReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := lockfile.Take(path)
	require.NoError(t, err)

	_, err = lockfile.Take(path)
	require.ErrorIs(t, err, lockfile.ErrHeld)
	require.ErrorContains(t, err, fmt.Sprintf("by process %d", os.Getpid()))

	first.Release()
	first.Release()
	second, err := lockfile.Take(path)
	require.NoError(t, err)
	second.Release()
}

func TestTakeSaysWhyALockCannotBeMade(t *testing.T) {
	_, err := lockfile.Take(filepath.Join(t.TempDir(), "missing", "lock"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
