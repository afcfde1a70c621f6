package deploys_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"

	"orderferry/relay"
	"orderferry/standalone/demo"
	"orderferry/standalone/proctest"
	"orderferry/standalone/shop"
	"orderferry/standalone/temporal"
	"orderferry/store"
	"orderferry/store/postgres"
	"orderferry/worker/process"
	"orderferry/workflows"
)

// yard is what workers of any build connect to: Postgres, Temporal, shops and
// warehouses that go on while builds come and go.
type yard struct {
	t        *testing.T
	dir      string
	database string
	keyFile  string
	address  string
	client   client.Client
	ledger   *store.Store
	shops    *shop.Shops
	sold     atomic.Int64 // of each merchant
	quiet    func()       // ends the selling
}

func newYard(t *testing.T) *yard {
	y := &yard{t: t, dir: proctest.DataDir(t)}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	pg, err := postgres.Start(t.Context(), postgres.Config{Dir: filepath.Join(y.dir, "postgres"), Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Stop(context.Background())) })
	require.NoError(t, pg.CreateDatabase(t.Context(), "orderferry"))
	y.database = pg.URL("orderferry")
	_, _, err = store.Migrate(t.Context(), y.database)
	require.NoError(t, err)
	y.keyFile = filepath.Join(y.dir, "key.json")
	_, err = store.EnsureKeyring(y.keyFile)
	require.NoError(t, err)
	keyring, err := store.OpenKeyring(y.keyFile)
	require.NoError(t, err)
	y.ledger, err = store.Open(t.Context(), y.database, keyring)
	require.NoError(t, err)
	t.Cleanup(y.ledger.Close)
	server, err := temporal.Start(t.Context(), temporal.Config{
		File: filepath.Join(y.dir, "temporal.db"), SearchAttributes: workflows.SearchAttributes(), Log: log,
		DynamicConfig: map[string]any{ // for clocks that skip
			"frontend.WorkflowTimeSkippingEnabled": true,
			"history.timerProcessorMaxTimeShift":   20 * time.Millisecond,
		},
	})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	y.address = server.Address()
	y.client, err = client.Dial(client.Options{HostPort: y.address, Logger: sdklog.NewStructuredLogger(log)})
	require.NoError(t, err)
	t.Cleanup(y.client.Close)
	y.shops, err = shop.Open(shop.Config{
		Merchants: shop.Plain(merchants()...), Seed: 11, AllShip: true,
		Progress: shop.Progress{ProcessAfter: 200 * time.Millisecond, ShipAfter: 200 * time.Millisecond, PackagesEvery: 4},
	})
	require.NoError(t, err)
	t.Cleanup(func() { y.shops.Close() })
	require.NoError(t, y.shops.Stock(5000))
	for _, a := range y.shops.Merchants {
		require.NoError(t, demo.Onboard(t.Context(), y.ledger, y.client, demo.Merchant(a, demo.Fast())))
	}
	y.sell()
	return y
}

func merchants() []string { return []string{"acorn", "birch"} }

// sell goes on selling, a few orders a second, until quiet is called.
func (y *yard) sell() {
	ctx, stop := context.WithCancel(y.t.Context())
	ended := make(chan error, 1)
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
			n := int(y.sold.Load())
			for _, id := range merchants() {
				if err := y.shops.Sell(id, n, n+3); err != nil {
					ended <- err
					return
				}
			}
			y.sold.Add(3)
		}
	}()
	y.quiet = func() {
		stop()
		require.NoError(y.t, <-ended)
	}
	y.t.Cleanup(stop)
}

// crew is a running worker process.
type crew struct {
	*exec.Cmd
	y    *yard
	name string
	said *proctest.Output
}

func (y *yard) hire(name, binary string, env ...string) *crew {
	c := &crew{Cmd: exec.Command(binary), y: y, name: name, said: proctest.NewOutput()}
	c.Env = append(os.Environ(), "DATABASE_URL="+y.database, "ORDERFERRY_KEY_FILE="+y.keyFile, "TEMPORAL_ADDRESS="+y.address,
		"ORDERFERRY_LISTEN=127.0.0.1:0", "ORDERFERRY_LOOK_AGAIN=200ms,500ms")
	c.Env = append(c.Env, env...)
	c.Stdout, c.Stderr = c.said, c.said
	require.NoError(y.t, c.Start())
	y.t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		if y.t.Failed() {
			y.t.Logf("worker %s:\n%s", name, c.said)
		}
	})
	c.said.Await(y.t, "the worker is up")
	return c
}

// leave stops a worker as a deploy does.
func (c *crew) leave() {
	require.NoError(c.y.t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(c.y.t, c.Wait(), c.said.String())
}

// steady fails if the worker could not go on with a workflow.
func (c *crew) steady() {
	for _, sign := range []string{"TMPRL1100", "nondeterminis", "Workflow panic", "missing version"} {
		require.NotContains(c.y.t, c.said.String(), sign, "worker %s", c.name)
	}
}

func (y *yard) confirmed() (n int64) {
	counts, err := y.ledger.CountsByMerchant(y.t.Context())
	require.NoError(y.t, err)
	for _, c := range counts {
		n += c.States[relay.OrderConfirmed]
	}
	return n
}

// more waits until so many more orders have come to their end.
func (y *yard) more(n int64, why string) {
	want := y.confirmed() + n
	require.Eventually(y.t, func() bool { return y.confirmed() >= want }, 2*time.Minute, 200*time.Millisecond, why)
	y.t.Logf("%s: %d confirmed", why, want)
}

// settle ends the selling, waits for every order to be confirmed, and holds the
// warehouses' books against what was sold: each order is there once.
func (y *yard) settle() {
	y.quiet()
	all := y.sold.Load() * int64(len(merchants()))
	require.Eventually(y.t, func() bool { return y.confirmed() == all }, 2*time.Minute, 200*time.Millisecond)
	for _, id := range merchants() {
		there := make(map[string]int)
		for _, o := range y.shops.EasyPost(id).Orders(shop.Mode) {
			there[o.Description[strings.LastIndexByte(o.Description, ' ')+1:]]++
		}
		require.Len(y.t, there, int(y.sold.Load()))
		for number, n := range there {
			require.Equal(y.t, 1, n, "order %s", number)
		}
	}
	y.t.Logf("%d orders, each once", all)
}

// history reads the current run of a merchant.
func (y *yard) history(merchant string) *history.History { return y.run("merchant/"+merchant, "") }

// run reads a run of a workflow; "" is the current one.
func (y *yard) run(id, run string) *history.History {
	var h history.History
	for events := y.client.GetWorkflowHistory(y.t.Context(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		e, err := events.Next()
		require.NoError(y.t, err)
		h.Events = append(h.Events, e)
	}
	return &h
}

// cares reports whether a run was begun in the newest form.
func cares(h *history.History) bool {
	for _, e := range h.Events {
		if m := e.GetMarkerRecordedEventAttributes(); m.GetMarkerName() == "Version" {
			var change string
			var version int
			_ = converter.GetDefaultDataConverter().FromPayloads(m.Details["change-id"], &change)
			_ = converter.GetDefaultDataConverter().FromPayloads(m.Details["version"], &version)
			if workflows.Newest(change) && version > 0 {
				return true
			}
		}
	}
	return false
}

// renew brings a merchant to its next run, as a day does, with a thousand messages.
func (y *yard) renew(merchant string) {
	id := "merchant/" + merchant
	before, err := y.client.DescribeWorkflowExecution(y.t.Context(), id, "")
	require.NoError(y.t, err)
	for range 1000 {
		require.NoError(y.t, y.client.SignalWorkflow(y.t.Context(), id, "", workflows.SyncNow, workflows.JobRequest{Job: relay.SubmitOrders}))
	}
	require.Eventually(y.t, func() bool {
		now, err := y.client.DescribeWorkflowExecution(y.t.Context(), id, "")
		return err == nil && now.WorkflowExecutionInfo.Execution.RunId != before.WorkflowExecutionInfo.Execution.RunId
	}, time.Minute, 200*time.Millisecond, "the next run of %s", merchant)
}

// build makes a worker of the source in dir.
func build(t *testing.T, dir, pkg, name string) string {
	out := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	return out
}

// release unpacks the source of an earlier release.
func release(t *testing.T, archive string) string {
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	dir := t.TempDir()
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		require.NoError(t, err)
		require.True(t, filepath.IsLocal(h.Name), h.Name)
		path := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			require.NoError(t, os.MkdirAll(path, 0o755))
			continue
		}
		var b bytes.Buffer
		_, err = io.Copy(&b, files)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
}

// replayer is added to an earlier release: it replays the histories that it is given.
const replayer = `package main

import (
	"fmt"
	"os"

	"go.temporal.io/sdk/worker"

	"orderferry/workflows"
)

func main() {
	for _, file := range os.Args[1:] {
		r := worker.NewWorkflowReplayer()
		workflows.Register(r)
		if err := r.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
			fmt.Println(file, err)
			os.Exit(1)
		}
	}
}
`

// Promise 5: builds follow each other under load, and nothing is lost. The
// release before and this one work side by side, this one is rolled back and
// forward again, and only then begins runs in its own form.
func TestRollingDeploy(t *testing.T) {
	source := release(t, "testdata/release-1.tar.gz")
	before := build(t, source, "./worker", "before")
	now := build(t, "../..", "./worker", "now")
	y := newYard(t)
	const holdBack = process.EnvHoldBack + "=true"

	old := []*crew{y.hire("before 1", before), y.hire("before 2", before)}
	y.more(60, "the release before works")
	held := []*crew{y.hire("now 1, held back", now, holdBack), y.hire("now 2, held back", now, holdBack)}
	y.more(60, "both work at once")
	old[0].leave()
	require.NoError(t, old[1].Process.Kill()) // it did not even say goodbye
	_ = old[1].Wait()
	y.more(30, "this one works alone, in the form of the release before")
	for _, id := range merchants() {
		y.renew(id)
	}
	y.more(30, "also in runs that it began")

	back := y.hire("before, rolled back to", before)
	for _, c := range held {
		c.leave()
	}
	y.more(60, "the release before takes over again")
	var files []string
	for _, id := range merchants() {
		h := y.history(id)
		require.False(t, cares(h), "%s runs in the form of the release before", id)
		files = append(files, save(t, h))
	}

	forward := y.hire("now", now)
	back.leave()
	y.more(30, "this one again, without holding back")
	for _, id := range merchants() {
		y.renew(id)
	}
	y.more(30, "in its own form")
	y.settle()
	for _, c := range append(append(old, held...), back, forward) {
		c.steady()
	}
	var own []string
	for _, id := range merchants() {
		h := y.history(id)
		require.True(t, cares(h), "%s runs in the form of this release", id)
		own = append(own, save(t, h))
	}

	t.Run("replay", func(t *testing.T) {
		for _, file := range append(files, own...) {
			r := sdkworker.NewWorkflowReplayer()
			workflows.Register(r)
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)), file))
		}
	})
	// What was written while changes were held back can be rolled back; what was
	// written afterwards can't, which is why they are held back.
	t.Run("rollback replay", func(t *testing.T) {
		require.NoError(t, os.MkdirAll(filepath.Join(source, "replay"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(source, "replay", "main.go"), []byte(replayer), 0o644))
		replay := build(t, source, "./replay", "replay")
		said, err := exec.Command(replay, files...).CombinedOutput()
		require.NoError(t, err, string(said))
		said, err = exec.Command(replay, own...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(said), "TMPRL1100", "it says so, and does not go its own way")
	})
}

func save(t *testing.T, h *history.History) string {
	b, err := protojson.Marshal(h)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "history.json")
	require.NoError(t, os.WriteFile(file, b, 0o644))
	return file
}

// With Temporal's worker versioning, a merchant's run stays with its build until
// another one is made current, and then goes on there; and back again.
func TestVersionedDeploy(t *testing.T) {
	now := build(t, "../..", "./worker", "now")
	y := newYard(t)
	const deployment = "ferry"
	versioned := func(build string) *crew {
		return y.hire("build "+build, now, process.EnvDeployment+"="+deployment, process.EnvBuild+"="+build)
	}
	current := func(build string) {
		require.Eventually(t, func() bool {
			_, err := y.client.WorkerDeploymentClient().GetHandle(deployment).SetCurrentVersion(t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
			if err != nil {
				t.Log(err)
			}
			return err == nil
		}, time.Minute, 500*time.Millisecond, "build %s becomes current", build)
	}
	on := func(build string) {
		require.Eventually(t, func() bool {
			for _, id := range merchants() {
				d, err := y.client.DescribeWorkflowExecution(t.Context(), "merchant/"+id, "")
				if err != nil || d.WorkflowExecutionInfo.GetVersioningInfo().GetDeploymentVersion().GetBuildId() != build {
					return false
				}
				require.Equal(t, enums.VERSIONING_BEHAVIOR_PINNED, d.WorkflowExecutionInfo.GetVersioningInfo().GetBehavior())
			}
			return true
		}, time.Minute, 200*time.Millisecond, "all merchants run on build %s", build)
	}
	one := versioned("1")
	current("1")
	y.more(60, "build 1 works")
	on("1")
	two := versioned("2")
	y.more(60, "build 2 stands by")
	on("1")
	current("2")
	on("2")
	one.leave()
	y.more(60, "build 2 works")
	one = versioned("1")
	current("1")
	on("1")
	two.leave()
	y.more(60, "rolled back to build 1")
	y.settle()
	one.steady()
	two.steady()
}

// A deployment that is half said is refused.
func TestBadDeploySettings(t *testing.T) {
	for _, c := range []struct{ name, value, says string }{
		{process.EnvDeployment, "ferry", "want both, or neither"},
		{process.EnvBuild, "1", "want both, or neither"},
		{process.EnvHoldBack, "maybe", "want true or false"},
	} {
		env := map[string]string{process.EnvDatabase: "postgres://x", process.EnvKeyFile: "k", c.name: c.value}
		_, err := process.FromEnv(func(k string) string { return env[k] }, slog.Default())
		require.ErrorContains(t, err, c.says, fmt.Sprint(c))
	}
}
