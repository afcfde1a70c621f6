package cli

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// fakeBooks is how books compared, as the ledger keeps it.
type fakeBooks struct {
	reads   int // of the last runs: the first is before anything was asked
	later   int // how many reads after that show nothing new
	running bool
	asked   store.FindingQuery
}

func (b *fakeBooks) LastReconciliations(context.Context, relay.MerchantID) ([]store.Reconciliation, error) {
	b.reads++
	ended := evening.Add(time.Minute)
	runs := []store.Reconciliation{
		{ID: 3, Connection: "main", BeganAt: evening, EndedAt: &ended, Checked: 12},
		{ID: 4, Connection: "warehouse", BeganAt: evening, EndedAt: &ended, Checked: 1200, Found: 3, Repaired: 1},
	}
	if b.running {
		runs[0].EndedAt = nil
	}
	if b.reads > 1+b.later {
		now := noon.In(berlin)
		for i := range runs {
			if runs[i].EndedAt != nil {
				runs[i].ID += 2
			}
			runs[i].EndedAt = &now
		}
	}
	return runs, nil
}

func (b *fakeBooks) Findings(_ context.Context, q store.FindingQuery) ([]store.Finding, error) {
	b.asked = q
	closed := evening.Add(time.Minute)
	list := []store.Finding{
		{ID: 9, Connection: "warehouse", Kind: store.FindingForeign, Subject: "60099", Reference: "SO-1042", Detail: json.RawMessage(`{"held": true, "order": "new"}`),
			FirstSeenAt: evening, LastSeenAt: noon.In(berlin)},
		{ID: 8, Connection: "warehouse", Kind: store.FindingUntold, Subject: "1043", Reference: "1043", Detail: json.RawMessage(`{"attempts": 3, "parcels": 1, "error": ""}`),
			FirstSeenAt: evening, LastSeenAt: evening, ClosedAt: &closed},
		{ID: 7, Connection: "main", Kind: store.FindingStockDrift, Subject: "MUG\x1b[31m", Detail: json.RawMessage(`{"was": "3", "is": "5"}`),
			FirstSeenAt: evening, LastSeenAt: evening, ClosedAt: &closed, Repaired: true},
	}
	if !q.Closed {
		list = list[:1]
	}
	return list, nil
}

func TestReconcileAsksAndWaits(t *testing.T) {
	w := answering(t)
	w.ledger.later = 1
	w.ledger.merchants[0].Connections[0].StoppedAt = time.Time{}
	code, stdout, stderr := w.ferry(t, "merchant", "reconcile", "--merchant", "acme", "--connection", "main")
	require.Zero(t, code, stderr)
	require.Equal(t, []string{`merchant/acme sync-now {"connection":"main","job":"reconcile","actor":"clerk"}`}, w.engine.asked)
	require.Equal(t, 3, w.ledger.reads, "read until there is a new run")
	require.Equal(t, []store.RunID{5}, w.ledger.asked.Runs)
	require.True(t, w.ledger.asked.Closed, "what was repaired is told")
	require.NotContains(t, stdout, "\nwarehouse  2026-11-21T12", "only what was asked for")
}

// A run that is under way is waited for: the workflow goes on with it.
func TestReconcileWaitsForTheRunUnderWay(t *testing.T) {
	w := answering(t)
	w.ledger.running = true
	code, _, stderr := w.ferry(t, "merchant", "reconcile", "--merchant", "acme")
	require.Zero(t, code, stderr)
	require.Equal(t, []store.RunID{3, 6}, w.ledger.asked.Runs)
}

func TestReconcileThatDoesNotEnd(t *testing.T) {
	w := answering(t)
	w.ledger.later = 1 << 30
	w.ledger.merchants[0].Connections[0].StoppedAt = time.Time{}
	code, stdout, stderr := w.ferry(t, "merchant", "reconcile", "--merchant", "acme", "--timeout", "50ms")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "wait until main, warehouse is compared (ferry merchant show tells how its jobs are doing)")
	require.Contains(t, stderr, "--timeout allows more")
	require.Empty(t, stdout)
}

func TestReconcileOfAStoppedConnection(t *testing.T) {
	w := answering(t)
	w.ledger.later = 1 << 30
	code, stdout, stderr := w.ferry(t, "merchant", "reconcile", "--merchant", "acme", "--connection", "main")
	require.Equal(t, exitFailed, code, stderr)
	require.Contains(t, stdout, "main refuses the credentials and was not compared")
}

func TestReconcileRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		that func(*world)
		says string
	}{
		"paused":             {[]string{"--merchant", "zeta"}, nil, "merchant zeta is paused since 2026-11-20T18:00:00Z, and nothing is compared until ferry merchant resume"},
		"no such merchant":   {[]string{"--merchant", "nobody"}, nil, "merchant nobody: not found"},
		"no such connection": {[]string{"--merchant", "acme", "--connection", "west"}, nil, "it has main, warehouse"},
		"no workflow":        {[]string{"--merchant", "acme"}, func(w *world) { w.engine.errs[workflows.SyncNow] = errNoWorkflow }, "ferry merchant onboard starts it"},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			if c.that != nil {
				c.that(w)
			}
			code, stdout, stderr := w.ferry(t, append([]string{"merchant", "reconcile"}, c.args...)...)
			require.Equal(t, exitFailed, code)
			require.Contains(t, stderr, c.says)
			require.Empty(t, stdout)
		})
	}
}

func TestFindingsAreOpenOnesUnlessClosedOnesAreAskedFor(t *testing.T) {
	w := answering(t)
	code, _, stderr := w.ferry(t, "merchant", "findings", "--merchant", "acme", "--limit", "7")
	require.Zero(t, code, stderr)
	require.Equal(t, store.FindingQuery{Merchant: "acme", Limit: 7 + 1}, w.ledger.asked, "one more tells whether there are more")
	code, _, stderr = answering(t).ferry(t, "merchant", "findings", "--merchant", "acme", "--limit", "2", "--closed")
	require.Zero(t, code)
	require.Contains(t, stderr, "the first 2 are listed, and there are more")
	code, _, _ = w.ferry(t, "merchant", "findings", "--merchant", "acme", "--limit", "0")
	require.Equal(t, exitUsage, code)
}
