package simkit_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors/simkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sums is data whose changes add up.
type sums map[string]int

type added struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

func (s sums) open(path string, head any) (*simkit.Journal[added], error) {
	return simkit.OpenJournal(path, head, func(a added) error { s[a.Name] += a.N; return nil }, func(write func(added) error) error {
		for name, n := range s {
			if err := write(added{name, n}); err != nil {
				return err
			}
		}
		return nil
	})
}

func kept(t *testing.T, path string) string {
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(raw)
}

func TestJournalIsReadBackAndMadeShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := sums{}.open(path, "head")
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			j.Add(added{"a", 1})
			require.NoError(t, j.Flush())
		})
	}
	all.Wait()
	before := kept(t, path)
	require.Len(t, before, len("\"head\"\n")+8*len("{\"name\":\"a\",\"n\":1}\n"), "what was flushed is in the file before Close")
	require.NoError(t, os.WriteFile(path, []byte(before+`{"name":"a","n":1`), 0o600))

	got := sums{}
	again, err := got.open(path, "head")
	require.NoError(t, err)
	require.Equal(t, sums{"a": 8}, got, "a torn line was never told of")
	require.Equal(t, "\"head\"\n{\"name\":\"a\",\"n\":8}\n", kept(t, path))
	require.NoError(t, again.Close())
	require.NoError(t, j.Close())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	require.NoError(t, err)
	require.Equal(t, []string{path}, left)
}

func TestJournalOfSomethingElseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.WriteFile(path, []byte("\"head\"\n{\n"), 0o600))
	_, err := sums{}.open(path, "hat")
	require.ErrorContains(t, err, `line 1: it was begun with other settings: "head", not "hat"`)
	_, err = sums{}.open(path, "head")
	require.ErrorContains(t, err, "line 2", "damage in the middle is not passed over")
	require.Equal(t, "\"head\"\n{\n", kept(t, path), "what was refused stays")
}

func TestJournalWithoutAHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.WriteFile(path, []byte("{\"name\":\"a\",\"n\":1}\n"), 0o600))
	got := sums{}
	j, err := got.open(path, nil)
	require.NoError(t, err)
	require.Equal(t, sums{"a": 1}, got)
	require.NoError(t, j.Close())
}

func TestJournalFailsForGood(t *testing.T) {
	j, err := sums{}.open(filepath.Join(t.TempDir(), "journal"), nil)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	require.NoError(t, j.Flush(), "nothing was added")
	j.Add(added{"a", 1})
	for range 2 {
		require.ErrorIs(t, j.Flush(), os.ErrClosed)
	}
	require.NoError(t, j.Close(), "once more")
}

func TestJournalInMemory(t *testing.T) {
	j, err := sums{}.open("", "head")
	require.NoError(t, err)
	j.Add(added{"a", 1})
	require.NoError(t, j.Flush())
	require.NoError(t, j.Close())
}
