package cli

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/store"
)

func TestExportToAFile(t *testing.T) {
	for name, unpack := range map[string]func(io.Reader) (io.Reader, error){
		"acme.jsonl":    func(r io.Reader) (io.Reader, error) { return r, nil },
		"acme.jsonl.gz": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			require.NoError(t, os.WriteFile(name, []byte("an older export"), 0o644))
			w := answering(t)
			code, stdout, stderr := w.ferry(t, "export", "--merchant", "acme", "--out", name, "--addresses", "--since", "2026-11-01", "--output", "json")
			require.Zero(t, code, stderr)
			require.Equal(t, store.ExportQuery{Merchant: "acme", Addresses: true, Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}, w.ledger.exportQuery)

			info, err := os.Stat(name)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode())
			raw, err := os.ReadFile(name)
			require.NoError(t, err)
			var v exportView
			require.NoError(t, json.Unmarshal([]byte(stdout), &v))
			require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(raw)), v.SHA256)
			require.Equal(t, store.ExportCounts{"export": 1, "order": 1}, v.Records)
			f, err := os.Open(name)
			require.NoError(t, err)
			defer f.Close()
			r, err := unpack(f)
			require.NoError(t, err)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, exported, string(got))
			requireFiles(t, name)
		})
	}
}

func requireFiles(t *testing.T, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	var there []string
	for _, e := range entries {
		there = append(there, e.Name())
	}
	require.Equal(t, names, there)
}

func TestExportToStdout(t *testing.T) {
	code, stdout, stderr := answering(t).ferry(t, "export", "--merchant", "acme")
	require.Zero(t, code, stderr)
	require.Equal(t, exported, stdout)
	require.Equal(t, fmt.Sprintf("3 records of merchant acme, 1 order among them; sha256 %x\n", sha256.Sum256([]byte(exported))), stderr)
}

// What fails in the middle leaves the older file as it was, and no part of a new one.
func TestExportThatFails(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("acme.jsonl", []byte("an older export"), 0o600))
	w := answering(t)
	w.ledger.export = func(_ context.Context, out io.Writer) (store.ExportCounts, error) {
		_, err := io.WriteString(out, `{"record":"export"}`)
		return nil, errors.Join(err, errors.New("the database went away"))
	}
	code, stdout, stderr := w.ferry(t, "export", "--merchant", "acme", "--out", "acme.jsonl")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "the database went away")
	requireFiles(t, "acme.jsonl")
	old, err := os.ReadFile("acme.jsonl")
	require.NoError(t, err)
	require.Equal(t, "an older export", string(old))

	code, _, stderr = answering(t).ferry(t, "export", "--merchant", "acme", "--out", "none/acme.jsonl")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--out none/acme.jsonl: ")
	require.NoError(t, os.Mkdir("folder", 0o700))
	code, _, stderr = answering(t).ferry(t, "export", "--merchant", "acme", "--out", "folder")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--out folder: want a file")
	require.NoError(t, os.Remove("folder"))
	code, _, stderr = answering(t).ferry(t, "export", "--merchant", "nobody", "--out", "nobody.jsonl")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "merchant nobody: not found")
	requireFiles(t, "acme.jsonl")
	code, _, stderr = answering(t).ferry(t, "export", "--merchant", "acme", "--since", "yesterday")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--since")
}

// An export has no time limit but one that was asked for.
func TestExportTakesItsTime(t *testing.T) {
	limit := func(args ...string) time.Duration {
		w := answering(t)
		var left time.Duration
		w.ledger.export = func(ctx context.Context, out io.Writer) (store.ExportCounts, error) {
			end, ok := ctx.Deadline()
			require.True(t, ok)
			left = time.Until(end)
			_, err := io.WriteString(out, exported)
			return store.ExportCounts{}, err
		}
		code, _, stderr := w.ferry(t, append([]string{"export", "--merchant", "acme"}, args...)...)
		require.Zero(t, code, stderr)
		return left
	}
	require.Greater(t, limit(), 10*365*24*time.Hour)
	require.LessOrEqual(t, limit("--timeout", "90s"), 90*time.Second)
}

func TestExportTellsHowFarItIs(t *testing.T) {
	var stderr, out writerOf
	clock := noon
	p := progress{w: &out, app: &app{stderr: &stderr, parts: parts{now: func() time.Time { return clock }}}, said: noon}
	write := func(s string) {
		_, err := io.WriteString(&p, s)
		require.NoError(t, err)
	}
	write("{}\n{}\n")
	require.Empty(t, stderr)
	clock = clock.Add(10 * time.Second)
	write("{}\n{")
	require.Equal(t, "3 records so far\n", string(stderr))
	write("}\n")
	require.Equal(t, "3 records so far\n", string(stderr))
	require.Equal(t, "{}\n{}\n{}\n{}\n", string(out))
}

type writerOf []byte

func (w *writerOf) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}
