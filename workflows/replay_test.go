package workflows_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"orderferry/workflows"
)

// histories are those of workflows that ran, recorded (record_test.go) from
// standalone --demo and from the tests of standalone/deploys: a hold of a year on a
// clock that skips, and of a merchant with 5,000 holds and 10,100 signals the runs
// that begin holds, do both, and take the most signals. They are never recorded
// anew: what ran then must go on now.
func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// Promise 5: old runs keep running after a deploy.
func TestSavedHistoriesReplay(t *testing.T) {
	for _, file := range histories(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{})
			require.NoError(t, err)
			workflows.Register(r)
			quiet := log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(quiet, file))
		})
	}
}

// Promise 6: what the demo's shops know of their buyers is in no history.
func TestNoPersonalDataInSavedHistories(t *testing.T) {
	for _, file := range histories(t) {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		var h any
		require.NoError(t, json.Unmarshal(b, &h))
		seen := 0
		eachText(h, func(s string) {
			seen++
			for _, personal := range []string{"Buyer ", "Example Street", "@example.test", "password", "access_token", "api_key"} {
				require.False(t, strings.Contains(s, personal), "%s: %q in %q", file, personal, s)
			}
		})
		require.Greater(t, seen, 50)
	}
}

// eachText calls f with every text in a JSON value, also with those in base64, as payloads are.
func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
		if b, err := base64.StdEncoding.DecodeString(v); err == nil {
			f(string(b))
		}
	case []any:
		for _, e := range v {
			eachText(e, f)
		}
	case map[string]any:
		for k, e := range v {
			f(k)
			eachText(e, f)
		}
	}
}
