// Command rec is temporary.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"orderferry/workflows"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func save(c client.Client, id, run, file string) string {
	var h history.History
	for it := c.GetWorkflowHistory(context.Background(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		check(err)
		h.Events = append(h.Events, e)
	}
	b, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(&h)
	check(err)
	check(os.WriteFile(file, append(b, '\n'), 0o644))
	last := h.Events[len(h.Events)-1]
	fmt.Println(file, len(h.Events), last.EventType, len(b))
	return last.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
}

func main() {
	ctx := context.Background()
	c, err := client.Dial(client.Options{HostPort: os.Args[1]})
	check(err)
	l, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{})
	check(err)
	for _, x := range l.Executions {
		fmt.Println(x.Execution.WorkflowId, x.Execution.RunId, x.Status, x.HistoryLength)
	}
	if len(os.Args) < 3 {
		return
	}
	id := os.Args[2]
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	check(err)
	run := d.WorkflowExecutionInfo.Execution.RunId
	for i := range 1600 {
		r := workflows.JobRequest{Connection: "nowhere"}
		if i%400 == 399 {
			r = workflows.JobRequest{Job: "pull_inventory"}
		}
		check(c.SignalWorkflow(ctx, id, "", workflows.SyncNow, r))
		if i == 800 {
			check(c.SignalWorkflow(ctx, id, "", workflows.Pause, workflows.JobRequest{Job: "push_inventory"}))
		}
	}
	check(c.SignalWorkflow(ctx, id, "", workflows.CancelOrder, workflows.CancelRequest{Reference: "NO-SUCH", Actor: "h9"}))
	time.Sleep(20 * time.Second)
	for i := 1; run != ""; i++ {
		run = save(c, id, run, fmt.Sprintf("/tmp/h9-run%d.json", i))
	}
}
