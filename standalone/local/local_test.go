package local_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/standalone/local"
	"orderferry/standalone/proctest"
	"orderferry/starter/localfile"
	"orderferry/store/lockfile"
)

// ferry finds one instance in a data directory: a second must not take its place there.
func TestASecondInstanceOnADataDirectoryIsRefused(t *testing.T) {
	dir := proctest.DataDir(t)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	work := errors.New("it ran")
	err := local.Run(t.Context(), local.Config{Dir: dir, Log: log}, func(ctx context.Context, in local.Instance) error {
		demo := local.Config{Dir: filepath.Join(dir, "demo"), Announce: dir, Log: log}
		err := local.Run(ctx, demo, func(context.Context, local.Instance) error { return work })
		require.ErrorIs(t, err, lockfile.ErrHeld)
		require.ErrorContains(t, err, "want one standalone there, with or without --demo")
		require.NoDirExists(t, filepath.Join(demo.Dir, "postgres"), "nothing was begun")
		found, err := localfile.Read(localfile.In(dir))
		require.NoError(t, err)
		require.Equal(t, in.DatabaseURL, found.DatabaseURL, "ferry finds the first")
		return work
	})
	require.ErrorIs(t, err, work)
	require.NoFileExists(t, localfile.In(dir))
}
