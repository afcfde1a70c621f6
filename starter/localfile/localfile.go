// Package localfile is how the commands on one machine find the standalone that
// runs there: it writes a small JSON file into its data directory, and ferry reads it.
package localfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Name is the file's name within the data directory.
const Name = "standalone.json"

// EnvData names the data directory.
const EnvData = "ORDERFERRY_DATA"

// most bounds what Read takes in.
const most = 64 << 10

// File says where a running standalone's parts are. The database address holds a
// password, so only the file's owner may read it.
type File struct {
	DatabaseURL     string `json:"database_url"`
	KeyFile         string `json:"key_file"`
	TemporalAddress string `json:"temporal_address"` // host:port
	Namespace       string `json:"namespace"`
	UI              string `json:"ui"`  // address of the Temporal Web UI
	PID             int    `json:"pid"` // of the process that wrote it
}

// Dir is the data directory: $ORDERFERRY_DATA, else /var/lib/orderferry for
// root, else $XDG_DATA_HOME/orderferry, else ~/.local/share/orderferry. Without a
// home directory it is "orderferry" below the working directory.
func Dir(env func(string) string) string { return dir(env, os.Geteuid()) }

func dir(env func(string) string, uid int) string {
	if d := env(EnvData); d != "" {
		return d
	}
	if uid == 0 {
		return "/var/lib/orderferry"
	}
	// A relative XDG_DATA_HOME is invalid and to be ignored, says the XDG base directory specification.
	if d := env("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "orderferry")
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "orderferry")
	}
	return "orderferry"
}

// In is the file's path within a data directory.
func In(dir string) string { return filepath.Join(dir, Name) }

// Path is the file's path within the default data directory.
func Path(env func(string) string) string { return In(Dir(env)) }

// Read reads the file at path. Where there is none, the error is fs.ErrNotExist.
func Read(path string) (File, error) {
	r, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", path, err)
	}
	var f File
	// The decoder's own message could quote the file, and with it a password.
	if len(b) > most || json.Unmarshal(b, &f) != nil {
		return File{}, fmt.Errorf("read %s: not a file that standalone wrote; start standalone again", path)
	}
	return f, nil
}

// Write puts the file into a data directory that exists, for its owner only. A
// reader sees the old file or the new one, never a part.
func Write(dir string, f File) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", Name, err)
	}
	if err := write(dir, append(b, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", In(dir), err)
	}
	return nil
}

func write(dir string, b []byte) error {
	t, err := os.CreateTemp(dir, ".standalone-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	if err = errors.Join(err, t.Sync(), t.Close()); err == nil {
		err = os.Rename(t.Name(), In(dir))
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.Name()))
	}
	return nil
}
