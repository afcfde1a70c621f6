package postgres_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestServerGoesDownWithAKilledProcess(t *testing.T) {
	dir := placeForServer(t)
	process, _ := startProcess(t, dir)
	written, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(written), "\n")
	_, err = strconv.Atoi(first)
	require.NoError(t, err)
	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join("/proc", first))
		return os.IsNotExist(err)
	}, 30*time.Second, 20*time.Millisecond)
	require.NoFileExists(t, filepath.Join(dir, "data", "postmaster.pid"), "it shut down properly")
}
