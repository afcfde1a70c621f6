package localfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDir(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		uid  int
		want string
	}{
		"named":              {map[string]string{"ORDERFERRY_DATA": "/srv/ferry", "HOME": "/home/ann"}, 0, "/srv/ferry"},
		"root":               {map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/root"}, 0, "/var/lib/orderferry"},
		"XDG":                {map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/home/ann"}, 1000, "/x/orderferry"},
		"relative XDG":       {map[string]string{"XDG_DATA_HOME": "x", "HOME": "/home/ann"}, 1000, "/home/ann/.local/share/orderferry"},
		"home":               {map[string]string{"HOME": "/home/ann"}, 1000, "/home/ann/.local/share/orderferry"},
		"no home whatsoever": {nil, 1000, "orderferry"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, dir(func(k string) string { return c.env[k] }, c.uid))
		})
	}
}

func TestPath(t *testing.T) {
	require.Equal(t, "/srv/ferry/standalone.json", Path(func(string) string { return "/srv/ferry" }))
}

func TestWriteAndRead(t *testing.T) {
	d := t.TempDir()
	first := File{DatabaseURL: "postgres://ferry:secret@127.0.0.1:5555/orderferry", PID: 7}
	second := File{DatabaseURL: "postgres://ferry:other@127.0.0.1:5556/orderferry", KeyFile: "/k", TemporalAddress: "127.0.0.1:7233", Namespace: "default", UI: "http://127.0.0.1:8233", PID: 8}
	require.NoError(t, Write(d, first))
	require.NoError(t, Write(d, second))
	got, err := Read(In(d))
	require.NoError(t, err)
	require.Equal(t, second, got)

	info, err := os.Stat(In(d))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(d)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing half-written stays behind")
}

func TestReadNothing(t *testing.T) {
	_, err := Read(In(t.TempDir()))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestReadRefusesOtherFilesWithoutQuotingThem(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":  `{"database_url": "postgres://ferry:secret@`,
		"no object": `"secret"`,
		"too long":  `{"ui": "secret` + strings.Repeat("x", most) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), Name)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := Read(path)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestWriteWithoutDirectory(t *testing.T) {
	require.ErrorIs(t, Write(filepath.Join(t.TempDir(), "none"), File{}), fs.ErrNotExist)
}
