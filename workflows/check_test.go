package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

var toCheck = workflows.CheckInput{Merchant: "acme", Connection: "east", Connector: "easypost"}

func TestCheckReportsWhatAnswered(t *testing.T) {
	s := newStage(t)
	want := activities.Report{Account: "Acme Goods", Mode: relay.ModeTest, Details: []string{"2 warehouses"}, Missing: []string{"trackers"}}
	on(s, "CheckConnection", inTurn[activities.JobInput](want))
	require.NoError(t, s.run(time.Hour, workflows.CheckWorkflow, toCheck))
	var got activities.Report
	require.NoError(t, s.GetWorkflowResult(&got))
	require.Equal(t, want, got)
	require.Equal(t, []activities.JobInput{{Merchant: "acme", Connection: "east"}}, inputs[activities.JobInput](s, "CheckConnection"))
	o := s.steps[0].options
	require.Equal(t, "orderferry/easypost", o.TaskQueue)
	require.Equal(t, 2*time.Minute, o.ScheduleToCloseTimeout)
	require.Equal(t, temporal.Priority{PriorityKey: 1, FairnessKey: "acme"}, o.Priority)
}

func TestCheckIsTriedOnceMoreAndThenSaysWhy(t *testing.T) {
	s := newStage(t)
	on(s, "CheckConnection", func(activities.JobInput) (activities.Report, error) {
		return activities.Report{}, temporal.NewApplicationError("check: refused", string(relay.Unavailable))
	})
	var app *temporal.ApplicationError
	require.ErrorAs(t, s.run(time.Hour, workflows.CheckWorkflow, toCheck), &app)
	require.Equal(t, "check: refused", app.Message())
	require.Equal(t, 2, s.tries["CheckConnection"])
}
