package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/workflows"
)

// engine is what ferry asks of Temporal.
type engine interface {
	registrar
	waker
	asker
	viewer
	tester
	Close()
}

// registrar prepares a namespace.
type registrar interface {
	// Register adds the search attributes that the namespace lacks, waits until
	// they can be used, and names them.
	Register(ctx context.Context) (added []string, err error)
}

// waker starts a merchant's workflow or, where it runs, tells it of new settings.
type waker interface {
	Wake(ctx context.Context, m relay.MerchantID, actor string) error
}

// asker sends an update to a workflow and waits for its answer. errNoWorkflow
// when no such workflow runs.
type asker interface {
	Ask(ctx context.Context, workflow, message string, request, answer any) error
}

// viewer tells how a workflow is doing. errNoWorkflow when there never was one.
type viewer interface {
	View(ctx context.Context, workflow string) (workflowView, error)
	// Standing tells how a merchant's jobs stand. A worker must answer; errNoWorkflow
	// when none runs.
	Standing(ctx context.Context, m relay.MerchantID) (workflows.Standing, error)
}

// tester tests a connection on a worker.
type tester interface {
	Test(ctx context.Context, in workflows.CheckInput) (connectors.Report, error)
}

// workflowView is a workflow as the Temporal Web UI shows it.
type workflowView struct {
	ID        string     `json:"id"`
	Status    string     `json:"status,omitempty"` // "running", "completed", ...
	StartedAt *time.Time `json:"started_at,omitempty"`
	Details   string     `json:"details,omitempty"` // Markdown, by the workflow itself
	Problem   string     `json:"problem,omitempty"` // why some of it is missing

	missing bool // there never was one, or it was forgotten since
}

// errNoWorkflow says that no workflow with this id runs.
var errNoWorkflow = errors.New("no such workflow is running")

// temporalEngine is the engine on a Temporal cluster.
type temporalEngine struct {
	client    client.Client
	namespace string
}

func dialTemporal(ctx context.Context, o client.Options) (engine, error) {
	// The commands report what fails; the client's own log would repeat it.
	o.Logger = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.DialContext(ctx, o)
	if err != nil {
		return nil, err
	}
	return &temporalEngine{client: c, namespace: o.Namespace}, nil
}

func (e *temporalEngine) Close() { e.client.Close() }

func (e *temporalEngine) Register(ctx context.Context) ([]string, error) {
	operator := e.client.OperatorService()
	fail := func(err error) error {
		return fmt.Errorf("search attributes of namespace %s: %w (where operators may not add them, as in Temporal Cloud, add %s there and use --no-temporal)",
			e.namespace, err, strings.Join(attributeNames(), ", "))
	}
	known, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: e.namespace})
	if err != nil {
		return nil, fail(err)
	}
	want := workflows.SearchAttributes()
	missing := make(map[string]enums.IndexedValueType)
	for _, name := range attributeNames() {
		kind, there := known.GetCustomAttributes()[name]
		switch {
		case !there:
			missing[name] = want[name]
		case kind != want[name]:
			return nil, fail(fmt.Errorf("%s is of type %s there; want %s", name, kind, want[name]))
		}
	}
	if len(missing) > 0 {
		_, err = operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: e.namespace, SearchAttributes: missing})
		var already *serviceerror.AlreadyExists // another ferry migrate was quicker
		if err != nil && !errors.As(err, &already) {
			return nil, fail(err)
		}
	}
	var added []string
	for _, name := range attributeNames() {
		if _, ok := missing[name]; ok {
			added = append(added, name)
		}
	}
	return added, e.usable(ctx)
}

// usable waits until the server accepts the search attributes: it learns of new
// ones with a delay, and refuses to start workflows that bear them until then.
func (e *temporalEngine) usable(ctx context.Context) error {
	query := strings.Join(attributeNames(), " IS NULL OR ") + " IS NULL"
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := e.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: e.namespace, Query: query})
		var unknown *serviceerror.InvalidArgument
		if !errors.As(err, &unknown) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the search attributes of namespace %s: %w: %w", e.namespace, ctx.Err(), err)
		}
	}
}

func attributeNames() []string {
	var names []string
	for name := range workflows.SearchAttributes() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (e *temporalEngine) Wake(ctx context.Context, m relay.MerchantID, actor string) error {
	_, err := e.client.SignalWithStartWorkflow(ctx, workflows.MerchantID(m), workflows.SettingsChanged, workflows.JobRequest{Actor: actor},
		client.StartWorkflowOptions{
			TaskQueue:                workflows.TaskQueue,
			WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
			StaticSummary:            "orders of " + string(m),
			TypedSearchAttributes:    temporal.NewSearchAttributes(workflows.AttrMerchant.ValueSet(string(m))),
		}, workflows.MerchantWorkflow, workflows.MerchantInput{Merchant: m})
	if err != nil {
		return fmt.Errorf("start or tell workflow %s: %w", workflows.MerchantID(m), err)
	}
	return nil
}

func (e *temporalEngine) Ask(ctx context.Context, workflow, message string, request, answer any) error {
	h, err := e.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflow, UpdateName: message, Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = h.Get(ctx, answer)
	}
	return e.explain(ctx, fmt.Sprintf("ask workflow %s to %s", workflow, message), err,
		queue{workflows.TaskQueue, enums.TASK_QUEUE_TYPE_WORKFLOW})
}

func (e *temporalEngine) Test(ctx context.Context, in workflows.CheckInput) (connectors.Report, error) {
	var r connectors.Report
	id := fmt.Sprintf("check/%s/%s", in.Merchant, in.Connection)
	run, err := e.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                workflows.TaskQueue,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING, // nobody waits for an older test
		WorkflowExecutionTimeout: 5 * time.Minute,                                      // longer than the test's own bounds
		StaticSummary:            fmt.Sprintf("test of connection %s of %s", in.Connection, in.Merchant),
		TypedSearchAttributes:    temporal.NewSearchAttributes(workflows.AttrMerchant.ValueSet(string(in.Merchant))),
	}, workflows.CheckWorkflow, in)
	if err == nil {
		err = run.Get(ctx, &r)
	}
	return r, e.explain(ctx, fmt.Sprintf("test connection %s of %s", in.Connection, in.Merchant), err,
		queue{workflows.TaskQueue, enums.TASK_QUEUE_TYPE_WORKFLOW},
		queue{workflows.ConnectorQueue(in.Connector), enums.TASK_QUEUE_TYPE_ACTIVITY})
}

func (e *temporalEngine) View(ctx context.Context, workflow string) (workflowView, error) {
	v := workflowView{ID: workflow}
	d, err := e.client.DescribeWorkflowExecution(ctx, workflow, "")
	if err != nil {
		return v, e.explain(ctx, "look at workflow "+workflow, err)
	}
	info := d.GetWorkflowExecutionInfo()
	v.Status, v.StartedAt = strings.ToLower(info.GetStatus().String()), utc(info.GetStartTime().AsTime())
	if v.Details, err = e.details(ctx, info.GetExecution()); err != nil {
		v.Problem = e.explain(ctx, "read its details", err, queue{workflows.TaskQueue, enums.TASK_QUEUE_TYPE_WORKFLOW}).Error()
	}
	return v, nil
}

func (e *temporalEngine) Standing(ctx context.Context, m relay.MerchantID) (workflows.Standing, error) {
	var s workflows.Standing
	what := "ask workflow " + workflows.MerchantID(m) + " how its jobs stand"
	r, err := e.client.QueryWorkflowWithOptions(ctx, &client.QueryWorkflowWithOptionsRequest{
		WorkflowID: workflows.MerchantID(m), QueryType: workflows.Jobs,
		QueryRejectCondition: enums.QUERY_REJECT_CONDITION_NOT_OPEN, // one that has ended would say how they stood
	})
	switch {
	case err == nil && r.QueryRejected != nil:
		return s, fmt.Errorf("%s: %w", what, errNoWorkflow)
	case err == nil:
		err = r.QueryResult.Get(&s)
	}
	return s, e.explain(ctx, what, err, queue{workflows.TaskQueue, enums.TASK_QUEUE_TYPE_WORKFLOW})
}

// details is what the workflow itself says that it is doing. A worker must answer.
func (e *temporalEngine) details(ctx context.Context, run *commonpb.WorkflowExecution) (string, error) {
	value, err := e.client.QueryWorkflow(ctx, run.GetWorkflowId(), run.GetRunId(), "__temporal_workflow_metadata")
	if err != nil {
		return "", err
	}
	var m sdkpb.WorkflowMetadata
	err = value.Get(&m)
	return m.GetCurrentDetails(), err
}

// queue is a task queue that a worker has to poll for an answer to come.
type queue struct {
	name string
	kind enums.TaskQueueType
}

// explain turns Temporal's errors into words for operators.
func (e *temporalEngine) explain(ctx context.Context, what string, err error, queues ...queue) error {
	var missing *serviceerror.NotFound
	var app *temporal.ApplicationError
	var late *temporal.TimeoutError
	var unanswered *client.WorkflowUpdateServiceTimeoutOrCanceledError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return fmt.Errorf("%s: %w", what, errNoWorkflow)
	case errors.As(err, &app):
		return fmt.Errorf("%s: %s", what, app.Message())
	case ctx.Err() != nil || errors.As(err, &late) || errors.As(err, &unanswered):
		return e.noAnswer(ctx, what, queues)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// noAnswer says why no answer came, as far as can be told.
func (e *temporalEngine) noAnswer(ctx context.Context, what string, queues []queue) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w; the request may still be carried out", what, ctx.Err())
	}
	// The time is up, but a person is owed the reason.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	for _, q := range queues {
		d, err := e.client.DescribeTaskQueue(ctx, q.name, q.kind)
		if err != nil {
			return fmt.Errorf("%s: no answer in time, and Temporal does not tell whether a worker is there: %w", what, err)
		}
		polled := false
		for _, p := range d.GetPollers() {
			polled = polled || time.Since(p.GetLastAccessTime().AsTime()) < pollerGone
		}
		if !polled {
			return fmt.Errorf("%s: no worker answers: none polls task queue %s; start worker or standalone. The request may be carried out once one is there", what, q.name)
		}
	}
	return fmt.Errorf("%s: no answer in time, though a worker is there; the request may still be carried out (--timeout allows more)", what)
}

// pollerGone is when a worker that was not heard of counts as gone: a poll lasts a minute at most.
const pollerGone = 90 * time.Second
