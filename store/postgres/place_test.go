package postgres_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// placeForServer makes a directory for a server. t.TempDir won't do: to root it gives one that no other user may enter.
func placeForServer(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "orderferry-postgres-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}
