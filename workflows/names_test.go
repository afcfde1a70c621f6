package workflows_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/workflows"
)

// Names are wire format: workflows that run, saved histories and operators'
// scripts use them. A name may be added to the golden file; what is there stays.
func TestNamesAreTheGoldenOnes(t *testing.T) {
	golden, err := os.ReadFile("testdata/names.golden")
	require.NoError(t, err)
	require.Equal(t, strings.Split(strings.TrimSpace(string(golden)), "\n"), names(t))
}

// names lists all that is registered, listened to, run and set.
func names(t *testing.T) []string {
	var r registered
	workflows.Register(&r)
	out := slices.Clone(r)
	for kind, list := range map[string][]string{
		"Merchant signal and update": heard(t, workflows.MerchantWorkflow, first),
		"Hold signal and update":     heard(t, workflows.HoldWorkflow, heldOrder),
		"Hold signal":                {workflows.Look},
		"Merchant query":             {workflows.Jobs}, // TestHowJobsStand
	} {
		for _, name := range list {
			out = append(out, kind+" "+name)
		}
	}
	a := reflect.TypeFor[*activities.Activities]()
	for m := range a.Methods() {
		out = append(out, "activity "+m.Name)
	}
	for name, kind := range workflows.SearchAttributes() {
		out = append(out, fmt.Sprintf("search attribute %s %s", name, kind))
	}
	for _, queue := range []string{workflows.TaskQueue, workflows.AlertsQueue, workflows.ConnectorQueue("<connector>")} {
		out = append(out, "task queue "+queue)
	}
	for _, id := range []string{workflows.MerchantID("<merchant>"), workflows.HoldID("<merchant>", "<reference>")} {
		out = append(out, "workflow id "+id)
	}
	slices.Sort(out)
	return out
}

// heard lists the updates that a running workflow takes; each is a signal too
// (TestSignalsDoWhatUpdatesDo, TestHoldsTakeSignalsToo).
func heard(t *testing.T, name string, in any) []string {
	s := newStage(t)
	var r *reply
	s.at(took/2, func() { r = s.ask("no such update", workflows.JobRequest{}) })
	_ = s.run(took, name, in)
	require.ErrorContains(t, r.rejected, "KnownUpdates=[")
	_, list, _ := strings.Cut(r.rejected.Error(), "KnownUpdates=[")
	return strings.Fields(strings.TrimSuffix(list, "]"))
}

// registered collects the names of registered workflows.
type registered []string

func (r *registered) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	*r = append(*r, "workflow "+o.Name)
}

func (r *registered) RegisterWorkflow(any) { *r = append(*r, "workflow without a name") }

func (r *registered) RegisterDynamicWorkflow(any, workflow.DynamicRegisterOptions) {
	*r = append(*r, "workflow of any name")
}
