package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"orderferry/relay"
	"orderferry/standalone/demo"
	"orderferry/standalone/local"
	"orderferry/store"
	"orderferry/workflows"
)

// figures are what relaying cost.
type figures struct {
	took          time.Duration
	actions       actions
	historyBytes  int64
	databaseBytes int64
}

// actions count what Temporal Cloud bills, by kind.
type actions struct {
	starts, timers, activities, signals, updates, children, continued, attributes int
}

func (a actions) total() int {
	return a.starts + a.timers + a.activities + a.signals + a.updates + a.children + a.continued + a.attributes
}

// relayAll relays all orders of the shops with Orderferry and measures it.
func relayAll(ctx context.Context, in local.Instance, s shops, orders int, out io.Writer) (figures, error) {
	var f figures
	keyring, err := store.OpenKeyring(in.KeyFile)
	if err != nil {
		return f, err
	}
	ledger, err := store.Open(ctx, in.DatabaseURL, keyring)
	if err != nil {
		return f, err
	}
	defer ledger.Close()
	temporal, err := client.DialContext(ctx, in.Temporal)
	if err != nil {
		return f, err
	}
	defer temporal.Close()
	for i := range s.Merchants {
		if err := demo.Save(ctx, ledger, s.account(i)); err != nil {
			return f, err
		}
	}
	before, err := databaseSize(ctx, in.DatabaseURL)
	if err != nil {
		return f, err
	}
	began := time.Now()
	for i := range s.Merchants {
		if err := demo.Onboard(ctx, ledger, temporal, s.account(i)); err != nil {
			return f, err
		}
	}
	if err := awaitConfirmed(ctx, ledger, s.Orders, out); err != nil {
		return f, err
	}
	f.took = time.Since(began)
	after, err := databaseSize(ctx, in.DatabaseURL)
	if err != nil {
		return f, err
	}
	f.databaseBytes = after - before
	for _, m := range s.Merchants {
		if err := f.add(ctx, temporal, workflows.MerchantID(relay.MerchantID(m))); err != nil {
			return f, err
		}
		// It must not go on polling beside the next part.
		if err := temporal.TerminateWorkflow(ctx, workflows.MerchantID(relay.MerchantID(m)), "", "the measurement is over"); err != nil {
			return f, err
		}
	}
	return f, nil
}

func awaitConfirmed(ctx context.Context, ledger *store.Store, n int, out io.Writer) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for round := 0; ; round++ {
		list, err := ledger.CountsByMerchant(ctx)
		if err != nil {
			return err
		}
		var confirmed, held int64
		for _, c := range list {
			confirmed += c.States[relay.OrderConfirmed]
			held += c.States[relay.OrderHeld]
		}
		if confirmed == int64(n) {
			return nil
		}
		if held > 0 {
			return fmt.Errorf("%d orders are on hold: a bench has none", held)
		}
		if round%20 == 19 {
			fmt.Fprintf(out, "  %d confirmed\n", confirmed)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func databaseSize(ctx context.Context, url string) (int64, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var n int64
	err = conn.QueryRow(ctx, `select pg_database_size(current_database())`).Scan(&n)
	return n, err
}

// add counts the events of all runs of a workflow.
func (f *figures) add(ctx context.Context, temporal client.Client, id string) error {
	run := ""
	for {
		d, err := temporal.DescribeWorkflowExecution(ctx, id, run)
		if err != nil {
			return err
		}
		f.historyBytes += d.WorkflowExecutionInfo.HistorySizeBytes
		previous, err := f.count(ctx, temporal, id, d.WorkflowExecutionInfo.Execution)
		if err != nil || previous == "" {
			return err
		}
		run = previous
	}
}

func (f *figures) count(ctx context.Context, temporal client.Client, id string, run *commonpb.WorkflowExecution) (previous string, err error) {
	events := temporal.GetWorkflowHistory(ctx, id, run.RunId, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return "", err
		}
		switch e.EventType {
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			previous = e.GetWorkflowExecutionStartedEventAttributes().ContinuedExecutionRunId
			if previous == "" {
				f.actions.starts++
			}
		case enums.EVENT_TYPE_TIMER_STARTED:
			f.actions.timers++
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			f.actions.activities++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enums.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
			f.actions.signals++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
			f.actions.updates++
		case enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
			f.actions.children++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
			f.actions.continued++
		case enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
			f.actions.attributes++
		}
	}
	return previous, nil
}

// peakMemory is the most memory this process ever held resident, in bytes; 0 where the system does not tell.
func peakMemory() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "VmHWM:" {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			if err != nil {
				return 0
			}
			return kib * 1024
		}
	}
	return 0
}
