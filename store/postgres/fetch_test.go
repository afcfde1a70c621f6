package postgres

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFetchUsesWhatWasFetchedBefore(t *testing.T) {
	real, err := Find()
	require.NoError(t, err)
	dir := t.TempDir()
	home := filepath.Join(dir, "programs", string(fetchable[0]))
	require.NoError(t, os.MkdirAll(home, 0o755))
	require.NoError(t, os.Symlink(real, filepath.Join(home, "bin")))

	inst, err := fetch(t.Context(), Config{Dir: dir}, 0)
	require.NoError(t, err)
	require.Equal(t, real, inst.bin)
}

func TestFetchSaysWhyItFailedAndLeavesNothingBehind(t *testing.T) {
	mirror := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(http.DefaultClient.CloseIdleConnections) // the library's client
	t.Cleanup(mirror.Close)
	dir := t.TempDir()

	_, err := fetch(t.Context(), Config{Dir: dir, Mirror: mirror.URL, Log: slog.New(slog.DiscardHandler)}, 16)
	require.ErrorContains(t, err, "no version found matching 16")
	require.NotContains(t, err.Error(), "\n", "one line")
	left, err := os.ReadDir(filepath.Join(dir, "programs"))
	require.NoError(t, err)
	require.Empty(t, left)
}
