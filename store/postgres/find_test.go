package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindReturnsAFolderWithAllPrograms(t *testing.T) {
	bin, err := Find()
	require.NoError(t, err)
	for _, program := range []string{"postgres", "initdb", "pg_ctl"} {
		require.FileExists(t, filepath.Join(bin, program))
	}
}

func TestFindPassesOverLinksAndWrappersInPath(t *testing.T) {
	real, err := Find()
	require.NoError(t, err)
	lonely, linked := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(lonely, "postgres"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(real, "postgres"), filepath.Join(linked, "postgres")))
	t.Setenv("PATH", strings.Join([]string{lonely, linked}, string(filepath.ListSeparator)))

	found, err := Find()
	require.NoError(t, err)
	require.Equal(t, real, found)
}

func TestUsualPlacesPutTheNewestFirst(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "17", "16"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/lib/postgresql", version, "bin"), 0o755))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "opt/homebrew/opt/postgresql@18/bin"), 0o755))
	var versions []string
	for _, place := range usualPlaces(root) {
		versions = append(versions, filepath.Base(filepath.Dir(place)))
	}
	require.Equal(t, []string{"17", "16", "15", "9.6", "postgresql@18"}, versions)
}

func TestChoose(t *testing.T) {
	v15, v17 := installation{"/usr/lib/postgresql/15/bin", 15}, installation{"/usr/lib/postgresql/17/bin", 17}
	for name, c := range map[string]struct {
		found []installation
		data  int
		want  installation
		err   string
	}{
		"no data yet":            {found: []installation{v17, v15}, want: v17},
		"data of the preferred":  {found: []installation{v17, v15}, data: 17, want: v17},
		"data of another":        {found: []installation{v17, v15}, data: 15, want: v15},
		"data of none":           {found: []installation{v17, v15}, data: 16, err: "written by PostgreSQL 16 but PostgreSQL 17 is installed"},
		"nothing installed":      {err: "`apt-get install postgresql`"},
		"nothing for older data": {data: 15, err: "`brew install postgresql@17`"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := choose(c.found, c.data)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.NotContains(t, err.Error(), "\n", "one line")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestMajorOf(t *testing.T) {
	for answer, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (PostgreSQL) 9.6.24\n":                         9,
	} {
		got, err := majorOf(answer)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := majorOf("usage: postgres [OPTION]")
	require.Error(t, err)
}

func TestAccountMustReachTheDirectory(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	// Not to depend on what is above, the topmost folders are left out of this.
	closed := filepath.Join(root, "closed")
	inside := filepath.Join(closed, "inside")
	require.NoError(t, os.MkdirAll(inside, 0o755))
	stranger := account{name: "stranger", uid: 1 << 30, gid: 1 << 30, other: true}

	require.NoError(t, os.Chmod(closed, 0o700))
	err = stranger.reaches(inside)
	require.ErrorContains(t, err, "user stranger")
	require.ErrorContains(t, err, "`chmod o+x "+closed+"`")
	require.NoError(t, account{}.reaches(inside), "ourselves we let the system judge")

	for mode, passes := range map[os.FileMode]bool{0o711: true, 0o755: true, 0o770: false, 0o744: false} {
		require.NoError(t, os.Chmod(closed, mode))
		info, err := os.Stat(closed)
		require.NoError(t, err)
		require.Equal(t, passes, stranger.passes(info), mode)
	}
}

func TestLogFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postgres.log")
	log, err := openLog(path, 100)
	require.NoError(t, err)
	line := strings.Repeat("x", 29) + "\n"
	for range 50 {
		n, err := log.Write([]byte(line))
		require.NoError(t, err)
		require.Equal(t, len(line), n)
	}
	require.NoError(t, log.Close())
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Positive(t, info.Size())
		require.LessOrEqual(t, info.Size(), int64(100))
	}
	require.Equal(t, line, log.lastWords()[len(log.lastWords())-len(line):])

	again, err := openLog(path, 100)
	require.NoError(t, err)
	require.NotZero(t, again.size, "goes on where the last run left off")
	require.NoError(t, again.Close())
}
