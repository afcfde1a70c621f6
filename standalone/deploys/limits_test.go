package deploys_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"orderferry/relay"
	"orderferry/standalone/shop"
	"orderferry/workflows"
)

// A merchant's worst morning, on a real server: more orders are on hold
// than the 2,000 pending children that the server bears, and somebody's script
// sends more than the 10,000 signals that it takes in one run.
// When the mapping comes, every order goes, and no hold is left behind.
func TestTheServersLimits(t *testing.T) {
	const holds, signals = 2100, 10_100
	y := newYard(t)
	y.quiet()
	merchant := relay.MerchantID(merchants()[0])
	sold := int(y.sold.Load())
	crew := y.hire("1", build(t, "../..", "./worker", "worker"))
	all := int64(sold * len(merchants()))
	require.Eventually(t, func() bool { return y.confirmed() == all }, time.Minute, 100*time.Millisecond)

	list, err := y.ledger.Aliases(t.Context(), merchant)
	require.NoError(t, err)
	_, err = y.ledger.ImportAliases(t.Context(), merchant, nil, true, "ops")
	require.NoError(t, err)
	require.NoError(t, y.shops.Sell(string(merchant), sold, sold+holds))
	began := time.Now()
	open := func() int64 {
		r, err := y.client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Query: `WorkflowType = "` + workflows.HoldWorkflow + `" AND ExecutionStatus = "Running"`,
		})
		require.NoError(t, err)
		return r.Count
	}
	require.Eventually(t, func() bool { return open() == holds }, 10*time.Minute, time.Second, "each has its workflow")
	t.Logf("%d holds have their workflows after %s", holds, time.Since(began))

	began = time.Now()
	var g errgroup.Group
	// With many more at once, 100 come before the worker has answered a task. The
	// server takes that task back, and once histories are too long to be read
	// meanwhile, all are taken back until the flood ends.
	g.SetLimit(4)
	id := workflows.MerchantID(merchant)
	for range signals {
		g.Go(func() error {
			return y.client.SignalWorkflow(t.Context(), id, "", workflows.SyncNow, workflows.JobRequest{Connection: "shop", Job: relay.PushShipments})
		})
	}
	require.NoError(t, g.Wait(), "the server refused none, for they came to several runs")
	t.Logf("%d signals after %s", signals, time.Since(began))

	began = time.Now()
	_, err = y.ledger.ImportAliases(t.Context(), merchant, list, false, "ops")
	require.NoError(t, err)
	require.NoError(t, y.client.SignalWorkflow(t.Context(), id, "", workflows.SettingsChanged, nil))
	require.Eventually(t, func() bool { return y.confirmed() == all+holds }, 10*time.Minute, time.Second, "every order goes")
	require.Eventually(t, func() bool { return open() == 0 }, 5*time.Minute, time.Second, "no hold is left behind")
	t.Logf("all gone after %s", time.Since(began))
	crew.steady()
	require.Len(t, y.shops.EasyPost(string(merchant)).Orders(shop.Mode), sold+holds)
}
