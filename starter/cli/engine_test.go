package cli

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	querypb "go.temporal.io/api/query/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"orderferry/connectors"
	"orderferry/workflows"
)

func newTemporal(t *testing.T) (*temporalEngine, *mocks.Client) {
	t.Helper()
	c := mocks.NewClient(t)
	return &temporalEngine{client: c, namespace: "default"}, c
}

func TestWake(t *testing.T) {
	e, c := newTemporal(t)
	c.On("SignalWithStartWorkflow", mock.Anything, "merchant/acme", "settings-changed", workflows.JobRequest{Actor: "clerk"},
		mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
			return o.TaskQueue == "orderferry" && o.WorkflowIDConflictPolicy == enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING &&
				o.WorkflowIDReusePolicy == enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE && o.StaticSummary == "orders of acme" && o.TypedSearchAttributes.Size() == 1
		}), "Merchant", workflows.MerchantInput{Merchant: "acme"}).Return(nil, nil)
	require.NoError(t, e.Wake(t.Context(), "acme", "clerk"))
}

func TestAskWaitsForTheAnswer(t *testing.T) {
	e, c := newTemporal(t)
	h := mocks.NewWorkflowUpdateHandle(t)
	c.On("UpdateWorkflow", mock.Anything, client.UpdateWorkflowOptions{
		WorkflowID: "merchant/acme", UpdateName: "pause", Args: []any{workflows.JobRequest{}}, WaitForStage: client.WorkflowUpdateStageCompleted,
	}).Return(h, nil)
	h.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		args.Get(1).(*workflows.JobAnswer).Jobs = []string{"main pull_orders"}
	}).Return(nil)
	var answer workflows.JobAnswer
	require.NoError(t, e.Ask(t.Context(), "merchant/acme", "pause", workflows.JobRequest{}, &answer))
	require.Equal(t, []string{"main pull_orders"}, answer.Jobs)
}

func TestAskExplainsFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		says string
	}{
		"no workflow": {serviceerror.NewNotFound("workflow execution already completed"), "ask workflow hold/acme/1 to release: no such workflow is running"},
		"refused":     {temporal.NewApplicationError("actor: want at most 60 characters", "x"), "ask workflow hold/acme/1 to release: actor: want at most 60 characters"},
		"other":       {serviceerror.NewPermissionDenied("no", ""), "ask workflow hold/acme/1 to release: no"},
	} {
		t.Run(name, func(t *testing.T) {
			e, m := newTemporal(t)
			m.On("UpdateWorkflow", mock.Anything, mock.Anything).Return(nil, c.err)
			err := e.Ask(t.Context(), "hold/acme/1", "release", workflows.HoldRequest{}, nil)
			require.EqualError(t, err, c.says)
			require.Equal(t, name == "no workflow", errors.Is(err, errNoWorkflow))
		})
	}
}

func pollers(ago ...time.Duration) *workflowservice.DescribeTaskQueueResponse {
	r := &workflowservice.DescribeTaskQueueResponse{}
	for _, d := range ago {
		r.Pollers = append(r.Pollers, &taskqueuepb.PollerInfo{LastAccessTime: timestamppb.New(time.Now().Add(-d))})
	}
	return r
}

func TestNoAnswerTellsWhetherAWorkerIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		workflow, activity *workflowservice.DescribeTaskQueueResponse
		says               string
	}{
		"nobody":            {pollers(), pollers(), "no worker answers: none polls task queue orderferry;"},
		"gone":              {pollers(3 * time.Minute), pollers(), "no worker answers: none polls task queue orderferry;"},
		"other connectors":  {pollers(3*time.Minute, time.Second), pollers(), "no worker answers: none polls task queue orderferry/depot;"},
		"slow or overtaxed": {pollers(time.Second), pollers(time.Second), "no answer in time, though a worker is there"},
	} {
		t.Run(name, func(t *testing.T) {
			e, m := newTemporal(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			m.On("ExecuteWorkflow", mock.Anything, mock.Anything, "Check", mock.Anything).Run(func(mock.Arguments) { <-ctx.Done() }).Return(nil, context.DeadlineExceeded)
			m.On("DescribeTaskQueue", mock.Anything, "orderferry", enums.TASK_QUEUE_TYPE_WORKFLOW).Return(c.workflow, nil)
			m.On("DescribeTaskQueue", mock.Anything, "orderferry/depot", enums.TASK_QUEUE_TYPE_ACTIVITY).Return(c.activity, nil).Maybe()
			_, err := e.Test(ctx, workflows.CheckInput{Merchant: "acme", Connection: "warehouse", Connector: "depot"})
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestConnectionTestReplacesAnOlderOne(t *testing.T) {
	e, c := newTemporal(t)
	run := mocks.NewWorkflowRun(t)
	in := workflows.CheckInput{Merchant: "acme", Connection: "main", Connector: "shop"}
	c.On("ExecuteWorkflow", mock.Anything, mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
		return o.ID == "check/acme/main" && o.WorkflowIDConflictPolicy == enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING && o.WorkflowExecutionTimeout > 0
	}), "Check", in).Return(run, nil)
	run.On("Get", mock.Anything, mock.Anything).Run(func(args mock.Arguments) {
		args.Get(1).(*connectors.Report).Account = "Acme"
	}).Return(nil)
	r, err := e.Test(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, "Acme", r.Account)
}

// value is a query's answer.
type value struct{ details string }

func (value) HasValue() bool { return true }
func (v value) Get(to any) error {
	to.(*sdkpb.WorkflowMetadata).CurrentDetails = v.details
	return nil
}

func TestView(t *testing.T) {
	e, c := newTemporal(t)
	c.On("DescribeWorkflowExecution", mock.Anything, "merchant/acme", "").Return(&workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: "merchant/acme", RunId: "r"}, Status: enums.WORKFLOW_EXECUTION_STATUS_RUNNING, StartTime: timestamppb.New(noon),
		},
	}, nil)
	c.On("QueryWorkflow", mock.Anything, "merchant/acme", "r", "__temporal_workflow_metadata").Return(value{"**Acme**"}, nil).Once()
	v, err := e.View(t.Context(), "merchant/acme")
	require.NoError(t, err)
	require.Equal(t, workflowView{ID: "merchant/acme", Status: "running", StartedAt: &noon, Details: "**Acme**"}, v)

	// Without a worker the rest is told all the same.
	c.On("QueryWorkflow", mock.Anything, "merchant/acme", "r", "__temporal_workflow_metadata").Return(nil, serviceerror.NewUnavailable("no poller")).Once()
	v, err = e.View(t.Context(), "merchant/acme")
	require.NoError(t, err)
	require.Equal(t, "running", v.Status)
	require.Equal(t, "read its details: no poller", v.Problem)
}

// A workflow that was terminated would answer, as of when it ended.
func TestStandingOfAWorkflowThatHasEnded(t *testing.T) {
	e, c := newTemporal(t)
	asked := mock.MatchedBy(func(r *client.QueryWorkflowWithOptionsRequest) bool {
		return r.WorkflowID == "merchant/acme" && r.QueryType == workflows.Jobs && r.QueryRejectCondition == enums.QUERY_REJECT_CONDITION_NOT_OPEN
	})
	c.On("QueryWorkflowWithOptions", mock.Anything, asked).Return(&client.QueryWorkflowWithOptionsResponse{
		QueryRejected: &querypb.QueryRejected{Status: enums.WORKFLOW_EXECUTION_STATUS_TERMINATED},
	}, nil).Once()
	_, err := e.Standing(t.Context(), "acme")
	require.ErrorIs(t, err, errNoWorkflow)
}

// operator is a namespace's search attributes.
type operator struct {
	operatorservice.OperatorServiceClient
	has    map[string]enums.IndexedValueType
	added  map[string]enums.IndexedValueType
	addErr error
}

func (o *operator) ListSearchAttributes(context.Context, *operatorservice.ListSearchAttributesRequest, ...grpc.CallOption) (*operatorservice.ListSearchAttributesResponse, error) {
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: o.has}, nil
}

func (o *operator) AddSearchAttributes(_ context.Context, r *operatorservice.AddSearchAttributesRequest, _ ...grpc.CallOption) (*operatorservice.AddSearchAttributesResponse, error) {
	o.added = r.GetSearchAttributes()
	return &operatorservice.AddSearchAttributesResponse{}, o.addErr
}

func TestRegister(t *testing.T) {
	for name, c := range map[string]struct {
		operator operator
		added    int
	}{
		"none there":               {operator{}, 6},
		"some there":               {operator{has: map[string]enums.IndexedValueType{"FerryMerchant": enums.INDEXED_VALUE_TYPE_KEYWORD}}, 5},
		"all there":                {operator{has: workflows.SearchAttributes()}, 0},
		"added by another command": {operator{addErr: serviceerror.NewAlreadyExists("there")}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			e, m := newTemporal(t)
			m.On("OperatorService").Return(&c.operator)
			// The server learns of them a little later.
			m.On("CountWorkflow", mock.Anything, mock.Anything).Return(nil, serviceerror.NewInvalidArgument("FerryMerchant is not defined")).Once()
			m.On("CountWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.CountWorkflowExecutionsResponse{}, nil).Once()
			added, err := e.Register(t.Context())
			require.NoError(t, err)
			require.Len(t, added, c.added)
			require.Len(t, c.operator.added, c.added)
		})
	}
}

func TestRegisterFailures(t *testing.T) {
	for name, c := range map[string]struct {
		operator operator
		says     string
	}{
		"another type": {operator{has: map[string]enums.IndexedValueType{"FerryState": enums.INDEXED_VALUE_TYPE_TEXT}}, "FerryState is of type Text there; want Keyword"},
		"not allowed":  {operator{addErr: serviceerror.NewPermissionDenied("no", "")}, "use --no-temporal"},
	} {
		t.Run(name, func(t *testing.T) {
			e, m := newTemporal(t)
			m.On("OperatorService").Return(&c.operator)
			_, err := e.Register(t.Context())
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestRegisterDoesNotWaitForEver(t *testing.T) {
	e, m := newTemporal(t)
	m.On("OperatorService").Return(&operator{})
	ctx, cancel := context.WithCancel(t.Context())
	m.On("CountWorkflow", mock.Anything, mock.Anything).Run(func(mock.Arguments) { cancel() }).Return(nil, serviceerror.NewInvalidArgument("FerryMerchant is not defined"))
	_, err := e.Register(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "FerryMerchant is not defined")
}
