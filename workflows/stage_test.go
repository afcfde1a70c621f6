package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

// start is when every test begins: a Monday noon in UTC.
var start = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// stage runs one workflow on a clock that skips, with scripted steps, children
// and outside workflows, and notes what the workflow did.
type stage struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T

	// What the workflow did, in order. To be read on the stage's clock or after the run.
	steps    []step
	children []child
	signals  []sent
	attrs    []temporal.SearchAttributes // as they stood after each change
	updates  []temporal.SearchAttributeUpdate

	running map[string]bool // ids of children that are there already
	gone    map[string]bool // ids of workflows that can't be signalled

	mu      sync.Mutex // steps run beside the workflow
	scripts map[string]any
	tries   map[string]int
	turn    sync.Mutex // one script at a time

	onConnection map[string]string // connection -> activity at work on it
	overlaps     []string          // two at once on one connection
	together     bool              // two at once on two connections
}

// step is an activity that the workflow asked for.
type step struct {
	name       string
	at         time.Duration // since start
	in         any
	connection relay.ConnectionName // of a vendor's step
	options    workflow.ActivityOptions
}

type child struct {
	at      time.Duration
	name    string
	in      workflows.HoldInput
	options workflow.ChildWorkflowOptions
}

// sent is a signal to another workflow.
type sent struct {
	at       time.Duration
	workflow string
	name     string
	arg      any
}

// took is how long a step takes unless its test says otherwise.
const took = 2 * time.Second

func newStage(t *testing.T) *stage {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	s := &stage{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t,
		running: make(map[string]bool), gone: make(map[string]bool),
		scripts: make(map[string]any), tries: make(map[string]int), onConnection: make(map[string]string),
	}
	s.SetStartTime(start)
	s.SetTestTimeout(20 * time.Second)
	s.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&observer{stage: s}}})
	workflows.Register(s.TestWorkflowEnvironment)
	s.RegisterActivity(&activities.Activities{})
	s.SetOnActivityStartedListener(s.begun)
	s.SetOnActivityCompletedListener(func(info *activity.Info, _ converter.EncodedValue, _ error) { s.ended(info) })
	s.SetOnActivityCanceledListener(func(info *activity.Info) { s.ended(info) })
	s.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(
		func(_, id, _, name string, arg any) error {
			if s.gone[id] {
				return errors.New("no such workflow")
			}
			return nil
		})
	mocked(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) { return plan(), nil })
	mocked[activities.PauseInput, none](s, "SetPaused", nil)
	mocked[activities.JobInput, none](s, "ResumeConnections", nil)
	mocked[activities.CancelInput, activities.CancelOutcome](s, "CancelOrder", nil)
	mocked[activities.ReleaseInput, activities.ReleaseOutcome](s, "ReleaseOrders", nil)
	mocked[activities.ReleaseInput, activities.ReleaseOutcome](s, "ReleaseBySKU", nil)
	mocked[activities.RecheckInput, activities.RecheckOutcome](s, "RecheckHolds", nil)
	mocked[activities.HoldsInput, activities.HoldsOutput](s, "HoldsToStart", nil)
	mocked[activities.ViewInput, activities.HoldView](s, "ViewHold", nil)
	mocked[activities.ResendInput, activities.SubmitResult](s, "ResendHeld", nil)
	mocked[activities.JobInput, activities.PullOrdersResult](s, "PullOrders", nil)
	mocked[activities.JobInput, activities.SubmitResult](s, "SubmitOrders", nil)
	mocked[activities.PullShipmentsInput, activities.PullShipmentsResult](s, "PullShipments", nil)
	mocked[activities.JobInput, activities.PullInventoryResult](s, "PullInventory", nil)
	mocked[activities.JobInput, activities.PushResult](s, "PushShipments", nil)
	mocked[activities.JobInput, activities.PushResult](s, "PushInventory", nil)
	mocked[activities.JobInput, activities.Report](s, "CheckConnection", nil)
	mocked[activities.WatchInput, activities.WatchResult](s, "Watch", nil)
	mocked[activities.JobInput, activities.ReconcileResult](s, "Reconcile", nil)
	mocked[activities.CancelHeldInput, activities.CancelHeldOutcome](s, "CancelHeld", nil)
	mocked[activities.ReopenInput, activities.ReopenOutcome](s, "ReopenOrder", nil)
	return s
}

// none is the result of a step that has none.
type none = struct{}

// mocked lets a step be scripted.
func mocked[I, O any](s *stage, name string, script func(I) (O, error)) {
	if script != nil {
		s.scripts[name] = script
	}
	run := func(in I) (O, error) {
		s.mu.Lock()
		s.tries[name]++
		script, _ := s.scripts[name].(func(I) (O, error))
		s.mu.Unlock()
		if script == nil {
			var zero O
			return zero, nil
		}
		s.turn.Lock()
		defer s.turn.Unlock()
		return script(in)
	}
	call := s.OnActivity(name, mock.Anything, mock.Anything).After(took)
	if _, nothing := any(*new(O)).(none); nothing {
		call.Return(func(_ context.Context, in I) error { _, err := run(in); return err })
		return
	}
	call.Return(func(_ context.Context, in I) (O, error) { return run(in) })
}

// on scripts a step: what it answers to an input.
func on[I, O any](s *stage, name string, script func(I) (O, error)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[name] = script
}

// inTurn answers one after the other, and the last one for ever.
func inTurn[I, O any](answers ...O) func(I) (O, error) {
	i := -1
	return func(I) (O, error) {
		i = min(i+1, len(answers)-1)
		return answers[i], nil
	}
}

func (s *stage) begun(info *activity.Info, _ context.Context, args converter.EncodedValues) {
	var in activities.JobInput
	if args.Get(&in) != nil || in.Connection == "" || info.TaskQueue == workflows.TaskQueue {
		return
	}
	c := string(in.Connection)
	if other := s.onConnection[c]; other != "" && other != info.ActivityID {
		s.overlaps = append(s.overlaps, fmt.Sprintf("%s on %s at %s", info.ActivityType.Name, c, s.since()))
	}
	s.onConnection[c] = info.ActivityID
	s.together = s.together || len(s.onConnection) > 1
}

func (s *stage) ended(info *activity.Info) {
	for c, id := range s.onConnection {
		if id == info.ActivityID {
			delete(s.onConnection, c)
		}
	}
}

func (s *stage) since() time.Duration { return s.Now().Sub(start) }

// at calls f at a time since the start.
func (s *stage) at(d time.Duration, f func()) { s.RegisterDelayedCallback(f, d) }

// run runs the workflow until it ends, or for so long.
func (s *stage) run(d time.Duration, name string, in any) error {
	s.t.Helper()
	s.at(d, s.CancelWorkflow)
	s.ExecuteWorkflow(name, in)
	require.True(s.t, s.IsWorkflowCompleted(), "still running")
	return s.GetWorkflowError()
}

// runMerchant runs a merchant's workflow from its very start for so long.
func (s *stage) runMerchant(d time.Duration) {
	s.t.Helper()
	err := s.run(d, workflows.MerchantWorkflow, workflows.MerchantInput{Merchant: "acme"})
	require.True(s.t, temporal.IsCanceledError(err), "it ended by itself: %v", err)
}

// reply is the answer to an update.
type reply struct {
	rejected error
	done     bool
	at       time.Duration
	answer   any
	err      error
}

// ask sends an update.
func (s *stage) ask(name string, request any) *reply {
	r := &reply{}
	s.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { r.rejected = err },
		OnComplete: func(answer any, err error) { r.done, r.at, r.answer, r.err = true, s.since(), answer, err },
	}, request)
	return r
}

// details is what the Temporal Web UI shows now.
func (s *stage) details() string {
	s.t.Helper()
	v, err := s.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(s.t, err)
	var m sdkpb.WorkflowMetadata
	require.NoError(s.t, v.Get(&m))
	return m.GetCurrentDetails()
}

// named lists the steps of a name, of all connections or of some.
func (s *stage) named(name string, connections ...relay.ConnectionName) []step {
	var out []step
	for _, p := range s.steps {
		if p.name == name && (len(connections) == 0 || slices.Contains(connections, p.connection)) {
			out = append(out, p)
		}
	}
	return out
}

// between lists the steps of vendors that began in a span.
func (s *stage) between(from, to time.Duration) []string {
	var out []string
	for _, p := range s.steps {
		if p.at >= from && p.at < to && p.connection != "" {
			out = append(out, fmt.Sprintf("%s %s", p.connection, p.name))
		}
	}
	return out
}

// first is the first such step from a time on.
func (s *stage) first(name string, c relay.ConnectionName, from time.Duration) step {
	s.t.Helper()
	for _, p := range s.named(name, c) {
		if p.at >= from {
			return p
		}
	}
	require.Fail(s.t, "no such step", "%s on %s from %s on", name, c, from)
	return step{}
}

// inputs are the inputs of the steps of a name.
func inputs[I any](s *stage, name string) []I {
	var out []I
	for _, p := range s.named(name) {
		out = append(out, p.in.(I))
	}
	return out
}

func times(steps []step) []time.Duration {
	out := make([]time.Duration, len(steps))
	for i, p := range steps {
		out[i] = p.at
	}
	return out
}

// continued is the input of the next run.
func continued[I any](t *testing.T, err error) I {
	t.Helper()
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &again)
	var in I
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
	return in
}

// plan is the merchant of most tests: two carts and a warehouse, all with default intervals.
func plan() activities.Plan {
	lane := func(c relay.ConnectionName, connector string, warehouse bool, jobs []relay.Job) activities.Lane {
		l := activities.Lane{Connection: c, Connector: connector, Warehouse: warehouse, Every: make(map[relay.Job]relay.Every)}
		for _, j := range jobs {
			l.Every[j] = relay.DefaultEvery(j)
		}
		return l
	}
	return activities.Plan{Name: "Acme Goods", Version: 3, Lanes: []activities.Lane{
		lane("outlet", "tradegecko", false, relay.CartJobs()),
		lane("shop", "tradegecko", false, relay.CartJobs()),
		lane("east", "easypost", true, relay.WarehouseJobs()),
	}}
}

// every sets an interval in a plan.
func every(p activities.Plan, c relay.ConnectionName, j relay.Job, d time.Duration) activities.Plan {
	for _, l := range p.Lanes {
		if l.Connection == c {
			l.Every[j] = relay.Every(d)
		}
	}
	return p
}

// observer sees what the workflow asks of Temporal.
type observer struct {
	interceptor.WorkerInterceptorBase
	stage *stage
}

func (o *observer) InterceptWorkflow(ctx workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &inbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, o.stage}
}

type inbound struct {
	interceptor.WorkflowInboundInterceptorBase
	stage *stage
}

func (i *inbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return i.Next.Init(&outbound{interceptor.WorkflowOutboundInterceptorBase{Next: next}, i.stage})
}

type outbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	stage *stage
}

func (o *outbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	s := o.stage
	p := step{name: name, at: workflow.Now(ctx).Sub(start), in: args[0], options: workflow.GetActivityOptions(ctx)}
	if b, err := json.Marshal(args[0]); err == nil && p.options.TaskQueue != workflows.TaskQueue {
		var in activities.JobInput
		if json.Unmarshal(b, &in) == nil {
			p.connection = in.Connection
		}
	}
	s.steps = append(s.steps, p)
	return o.Next.ExecuteActivity(ctx, name, args...)
}

func (o *outbound) SignalExternalWorkflow(ctx workflow.Context, id, run, name string, arg any) workflow.Future {
	o.stage.signals = append(o.stage.signals, sent{workflow.Now(ctx).Sub(start), id, name, arg})
	return o.Next.SignalExternalWorkflow(ctx, id, run, name, arg)
}

func (o *outbound) UpsertTypedSearchAttributes(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) error {
	o.stage.updates = append(o.stage.updates, updates...)
	o.stage.attrs = append(o.stage.attrs, temporal.NewSearchAttributes(o.stage.updates...))
	return o.Next.UpsertTypedSearchAttributes(ctx, updates...)
}

func (o *outbound) ExecuteChildWorkflow(ctx workflow.Context, name string, args ...any) workflow.ChildWorkflowFuture {
	s := o.stage
	options := workflow.GetChildWorkflowOptions(ctx)
	s.children = append(s.children, child{workflow.Now(ctx).Sub(start), name, args[0].(workflows.HoldInput), options})
	var err error
	if s.running[options.WorkflowID] {
		err = &temporal.ChildWorkflowExecutionAlreadyStartedError{}
	}
	started, set := workflow.NewFuture(ctx)
	set.Set(workflow.Execution{ID: options.WorkflowID}, err)
	never, _ := workflow.NewFuture(ctx)
	return startedChild{never, started}
}

// startedChild is a child that began, or that was refused, and never ends.
type startedChild struct {
	workflow.Future
	started workflow.Future
}

func (c startedChild) GetChildWorkflowExecution() workflow.Future { return c.started }

func (c startedChild) SignalChildWorkflow(workflow.Context, string, any) workflow.Future {
	return c.started
}
