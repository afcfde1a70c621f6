package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// pausedJob is a merchant that runs, all but for its submit_orders.
func pausedJob() workflows.Standing {
	return workflows.Standing{Jobs: []workflows.JobStanding{
		{Connection: "main", Job: relay.PullOrders},
		{Connection: "warehouse", Job: relay.SubmitOrders, Every: relay.Auto, Paused: true, Waits: "submit_orders is paused"},
	}}
}

// Promise 3: an order that stands still has a reason in words.
func TestANewOrderSaysWhenItGoes(t *testing.T) {
	again := noon.Add(time.Minute)
	for name, c := range map[string]struct {
		prepare func(*world)
		says    string
		stderr  string
	}{
		"it goes":           {func(*world) {}, "goes with the next batch", ""},
		"the merchant":      {func(w *world) { w.ledger.merchants[0].PausedAt = evening }, "waits: the merchant is paused", ""},
		"the job":           {func(w *world) { w.engine.jobs = pausedJob() }, "waits: submit_orders is paused", ""},
		"tried in vain":     {func(w *world) { w.ledger.orders[2].RetryAt = &again }, "could not be sent: again at 2026-11-21T12:01:00Z", ""},
		"Temporal is away":  {func(w *world) { w.dialErr = errors.New("refused") }, "goes with the next batch", "whether submit_orders is paused is not known: reach Temporal"},
		"no worker answers": {func(w *world) { w.engine.errs["jobs"] = errors.New("no worker answers") }, "goes with the next batch", "is not known: no worker answers"},
		"the warehouse is stopped": {func(w *world) {
			c := &w.ledger.merchants[0].Connections[1]
			c.StoppedAt, c.StoppedReason = evening, "HTTP 401"
		}, "waits: connection warehouse is stopped: HTTP 401", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{{"list"}, {"show", "--reference", "1043-7ZK2Q1"}} {
				w := answering(t)
				c.prepare(w)
				code, stdout, stderr := w.ferry(t, append([]string{"order", args[0], "--merchant", "acme"}, args[1:]...)...)
				require.Zero(t, code, stderr)
				require.Contains(t, stdout, c.says)
				require.Contains(t, stderr, c.stderr)
			}
		})
	}
}

// An order that is to be looked for or cancelled says when, or why not now.
func TestAnOrderInQuestionSaysWhatComesNext(t *testing.T) {
	next := noon.Add(time.Minute)
	for state, says := range map[relay.OrderState]string{
		relay.OrderInDoubt:         "whether it arrived is not known: to be looked for at the warehouse",
		relay.OrderCancelRequested: "to be cancelled at the warehouse",
	} {
		for _, args := range [][]string{{"list"}, {"show", "--reference", "1043-7ZK2Q1"}} {
			for when, prepare := range map[string]func(*world){
				"next at 2026-11-21T12:01:00Z":   func(*world) {},
				"waits: the merchant is paused":  func(w *world) { w.ledger.merchants[0].PausedAt = evening },
				"waits: submit_orders is paused": func(w *world) { w.engine.jobs = pausedJob() },
			} {
				w := answering(t)
				o := &w.ledger.orders[2].OrderSummary
				o.State, o.RetryAt = state, &next
				prepare(w)
				code, stdout, stderr := w.ferry(t, append([]string{"order", args[0], "--merchant", "acme"}, args[1:]...)...)
				require.Zero(t, code, stderr)
				require.Contains(t, stdout, says+", "+when)
			}
		}
	}
}

func TestAReleaseThatSendsNothingSaysSo(t *testing.T) {
	w := answering(t)
	w.engine.answers[workflows.ReleaseOrders] = workflows.ReleaseAnswer{Released: 1, Waits: "the merchant is paused"}
	code, stdout, stderr := w.ferry(t, "hold", "release", "--merchant", "acme", "--reason", "insufficient_inventory")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "they wait: the merchant is paused; ferry merchant resume --merchant acme lets them go\n")
	require.NotContains(t, stdout, "next batches")

	w = answering(t)
	w.engine.errs[workflows.Release] = errNoWorkflow
	w.engine.answers[workflows.ReleaseOrders] = workflows.ReleaseAnswer{Released: 1, Waits: "submit_orders is paused"}
	w.ledger.reread = func(o *store.OrderDetail) {
		if len(w.engine.asked) > 0 { // let go, as asked
			o.State, o.Hold = relay.OrderNew, nil
		}
	}
	code, stdout, stderr = w.ferry(t, "order", "release", "--merchant", "acme", "--order", "SO-1042")
	require.Equal(t, exitFailed, code, stderr)
	require.Equal(t, "SO-1042: let go, and waits: submit_orders is paused; ferry merchant resume --merchant acme lets it go\n", stdout)
}

func TestASyncOfWhatIsPausedSaysSo(t *testing.T) {
	w := answering(t)
	w.engine.answers[workflows.SyncNow] = workflows.JobAnswer{Jobs: []string{"main pull_orders", "warehouse submit_orders"}, Waits: map[string]string{"warehouse submit_orders": "submit_orders is paused"}}
	code, stdout, stderr := w.ferry(t, "merchant", "sync", "--merchant", "acme")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stderr)
	require.Equal(t, `sync of merchant acme: 2 jobs
  main pull_orders
  warehouse submit_orders: does not run, submit_orders is paused
ferry merchant resume --merchant acme lets what is paused or stopped run again
`, stdout)
}

func TestMerchantListTellsOfPausedJobs(t *testing.T) {
	w := answering(t)
	w.ledger.merchants[0].Connections = w.ledger.merchants[0].Connections[1:] // the other is stopped
	w.ledger.merchants[0].Name = strings.Repeat("long ", 20)
	w.engine.jobs = pausedJob()
	_, stdout, stderr := w.ferry(t, "merchant", "list")
	require.Empty(t, stderr)
	require.Contains(t, stdout, "running, 1 job paused")
	require.Contains(t, stdout, "acme      long long long long long lo...  running")

	w = answering(t)
	w.engine.errs["jobs"] = errors.New("no worker answers")
	code, stdout, stderr := w.ferry(t, "merchant", "list")
	require.Zero(t, code)
	require.Contains(t, stdout, "acme")
	require.Equal(t, "which jobs are paused is not known of all: no worker answers\n", stderr)
}

// A merchant whose workflow somebody terminated calls nobody: it was its own watchman.
func TestAMerchantWithoutItsWorkflow(t *testing.T) {
	for name, asked := range map[string]string{"terminated": "jobs", "forgotten": "view"} {
		t.Run(name, func(t *testing.T) {
			ferry := func(args ...string) string {
				w := answering(t)
				w.ledger.merchants[0].Connections = w.ledger.merchants[0].Connections[1:] // the other is stopped
				w.engine.jobs = workflows.Standing{}
				w.engine.errs["jobs"], w.engine.errs[asked] = errNoWorkflow, errNoWorkflow
				code, stdout, stderr := w.ferry(t, args...)
				require.Zero(t, code)
				require.Empty(t, stderr)
				return stdout
			}
			list := ferry("merchant", "list")
			require.Regexp(t, `(?m)^acme .*  no workflow  `, list)
			require.Regexp(t, `(?m)^zeta .*  paused, no workflow  `, list)
			require.Contains(t, ferry("merchant", "list", "--output", "json"), `"no_workflow": true`)
			show := ferry("merchant", "show", "--merchant", "acme")
			require.Regexp(t, `(?m)^state +no workflow$`, show)
			require.Contains(t, show, "no such workflow is running")
		})
	}
}

// One that is stuck, or whose looks all fail, still answers.
func TestAMerchantThatNobodyLooksAfter(t *testing.T) {
	ferry := func(args ...string) string {
		w := answering(t)
		acme := &w.ledger.merchants[0]
		acme.Connections, acme.LookedAt = acme.Connections[1:], evening
		w.engine.jobs = workflows.Standing{}
		_, stdout, stderr := w.ferry(t, args...)
		require.Empty(t, stderr)
		return stdout
	}
	for _, args := range [][]string{{"merchant", "list"}, {"merchant", "show", "--merchant", "acme"}} {
		require.Contains(t, ferry(args...), "running, nobody looked since 2026-11-20T18:00:00Z")
		require.Contains(t, ferry(append(args, "--output", "json")...), `"unwatched_since": "2026-11-20T18:00:00Z"`)
	}
	alerts := ferry("alert", "list")
	require.Contains(t, alerts, "SO-1042")
	require.True(t, strings.HasSuffix(alerts, "nobody looked after the alerts of acme since 2026-11-20T18:00:00Z: ferry merchant show --merchant acme\n"), alerts)
	require.Contains(t, ferry("alert", "list", "--output", "json"), `"unwatched": [
    {
      "merchant": "acme",
      "since": "2026-11-20T18:00:00Z"
    }
  ]`)
	require.Equal(t, "no alerts are open\n", ferry("alert", "list", "--merchant", "zeta"), "it is another's")
}

func TestMerchantShowTellsOfARefusedSignal(t *testing.T) {
	w := answering(t)
	w.engine.jobs.Refused = &workflows.Refusal{Signal: "pause", At: noon, Why: `unknown field "conection"; the fields are connection, job, actor`}
	_, stdout, _ := w.ferry(t, "merchant", "show", "--merchant", "acme")
	require.Contains(t, stdout, `not carried out: signal pause of 2026-11-21T12:00:00Z: unknown field "conection"`)
}

func TestOrderListGoesOn(t *testing.T) {
	w := answering(t)
	code, _, stderr := w.ferry(t, "order", "list", "--merchant", "acme", "--cart", "main", "--latest", "--limit", "1", "--after", "so-1042")
	require.Zero(t, code, stderr)
	require.Equal(t, store.OrderQuery{Merchant: "acme", Cart: "main", Latest: true, After: 1, Limit: 2}, w.ledger.query)
	require.Contains(t, stderr, "--after SO-1042 goes on behind them\n")
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := newWorld(t).ferry(t, "--version")
	require.Zero(t, code, stderr)
	require.Regexp(t, `^ferry \S+.* go1\.\d+`, stdout)
}
