package deploys_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"orderferry/relay"
	"orderferry/standalone/shop"
	"orderferry/workflows"
)

// An order on hold for a year, on a real server whose clock skips to the hold's
// next timer: it is sent again each night once, at 1:00 AM on the clock of the
// zone, also on both nights when that clock changes, and over several runs. When
// stock comes it is shipped once.
func TestAHoldOfAYear(t *testing.T) {
	const year = 366 * 24 * time.Hour // both changes are in it, whenever it begins
	y := newYard(t)
	y.quiet()
	merchant := merchants()[0]
	crew := y.hire("1", build(t, "../..", "./worker", "worker"))
	sold := int(y.sold.Load())
	account := y.shops.Account(merchant)
	cart, order := account.Order(sold, shop.Short)
	require.NoError(t, cart.Sell([]shop.Order{order}))
	id := workflows.HoldID(relay.MerchantID(merchant), relay.Reference(order.Number))
	require.Eventually(t, func() bool {
		_, err := y.client.DescribeWorkflowExecution(t.Context(), id, "")
		return err == nil
	}, time.Minute, 100*time.Millisecond, "it is on hold")
	first, err := y.client.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)

	began := time.Now()
	_, err = y.client.WorkflowService().UpdateWorkflowExecutionOptions(t.Context(), &workflowservice.UpdateWorkflowExecutionOptionsRequest{
		Namespace:         "default",
		WorkflowExecution: &common.WorkflowExecution{WorkflowId: id},
		WorkflowExecutionOptions: &workflow.WorkflowExecutionOptions{TimeSkippingConfig: &common.TimeSkippingConfig{
			Enabled: true, MaxSessionSkipCount: 1000,
			FastForwardConfig: &common.FastForwardConfig{Id: "a year", Duration: durationpb.New(year)},
		}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"time_skipping_config"}},
	})
	require.NoError(t, err)
	var runs []*history.History
	require.Eventually(t, func() bool {
		runs = y.chain(id, first.WorkflowExecutionInfo.Execution.RunId)
		for _, e := range runs[len(runs)-1].Events {
			if e.GetWorkflowExecutionTimeSkippingTransitionedEventAttributes().GetDisabledAfterFastForward() {
				return true
			}
		}
		return false
	}, 5*time.Minute, time.Second, "the year is over")
	t.Logf("a year in %d runs, after %s", len(runs), time.Since(began))

	zone, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	var nights []time.Time
	for _, h := range runs {
		for _, e := range h.Events {
			if e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == "ResendHeld" {
				nights = append(nights, e.EventTime.AsTime().In(zone))
			}
		}
	}
	require.InDelta(t, 366, len(nights), 1)
	changes := make(map[time.Duration]int)
	for i, at := range nights {
		require.Equal(t, 1, at.Hour(), "%s", at)
		require.Less(t, at.Minute(), 12, "%s", at)
		if i > 0 {
			before := nights[i-1]
			require.Equal(t, before.AddDate(0, 0, 1).Format(time.DateOnly), at.Format(time.DateOnly))
			if d := at.Sub(before).Round(time.Minute); d != 24*time.Hour {
				changes[d]++
			}
		}
	}
	require.Equal(t, map[time.Duration]int{23 * time.Hour: 1, 25 * time.Hour: 1}, changes)

	require.NoError(t, y.shops.EasyPost(merchant).Deliver(shop.ShortCode, 5))
	all := int64(sold*len(merchants()) + 1)
	require.Eventually(t, func() bool { return y.confirmed() == all }, time.Minute, 100*time.Millisecond, "it goes when stock comes")
	require.Len(t, y.shops.EasyPost(merchant).Orders(shop.Mode), sold+1, "once")
	require.Eventually(t, func() bool {
		d, err := y.client.DescribeWorkflowExecution(t.Context(), id, "")
		return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}, time.Minute, 100*time.Millisecond, "the hold is over")
	crew.steady()
}

// chain reads the runs of a workflow from one on.
func (y *yard) chain(id, run string) (runs []*history.History) {
	for run != "" {
		h := y.run(id, run)
		runs = append(runs, h)
		run = h.Events[len(h.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	return runs
}
