package temporal_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"orderferry/standalone/temporal"
)

func TestServerRunsWorkflowsAndShowsThemInTheWebUI(t *testing.T) {
	server := startServer(t, temporal.Config{
		File:             filepath.Join(t.TempDir(), "temporal.db"),
		Namespace:        "orderferry",
		SearchAttributes: map[string]enumspb.IndexedValueType{"merchant": enumspb.INDEXED_VALUE_TYPE_KEYWORD},
	})
	c := dial(t, server, "orderferry")
	w := worker.New(c, "orderferry", worker.Options{})
	w.RegisterWorkflowWithOptions(waitForGo, workflow.RegisterOptions{Name: "wait-for-go"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	merchant := sdktemporal.NewSearchAttributeKeyKeyword("merchant")
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "merchant/acme", TaskQueue: "orderferry",
		TypedSearchAttributes: sdktemporal.NewSearchAttributes(merchant.ValueSet("acme")),
		Priority:              sdktemporal.Priority{PriorityKey: 1, FairnessKey: "acme"},
	}, "wait-for-go")
	require.NoError(t, err)

	handle, err := c.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: "merchant/acme", UpdateName: "go", WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	require.NoError(t, err)
	require.NoError(t, handle.Get(t.Context(), nil))
	require.NoError(t, run.Get(t.Context(), nil))

	require.Eventually(t, func() bool {
		var found struct {
			Executions []struct{ Execution struct{ WorkflowID string } }
		}
		getJSON(t, server.UIAddress()+"/api/v1/namespaces/orderferry/workflows?query="+url.QueryEscape("merchant = 'acme'"), &found)
		return len(found.Executions) == 1 && found.Executions[0].Execution.WorkflowID == "merchant/acme"
	}, time.Minute, 50*time.Millisecond)
}

// waitForGo ends when it is told to.
func waitForGo(ctx workflow.Context) error {
	told := false
	err := workflow.SetUpdateHandler(ctx, "go", func(workflow.Context) error {
		told = true
		return nil
	})
	if err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return told && workflow.AllHandlersFinished(ctx) })
}

func startServer(t *testing.T, cfg temporal.Config) *temporal.Server {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	began := time.Now()
	server, err := temporal.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Logf("started in %v", time.Since(began))
	t.Cleanup(server.Stop)
	return server
}

func dial(t *testing.T, server *temporal.Server, namespace string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: server.Address(), Namespace: namespace,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, address string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	return do(t, request)
}

func do(t *testing.T, request *http.Request) (*http.Response, []byte) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, body
}

func getJSON(t *testing.T, address string, into any) {
	t.Helper()
	response, body := get(t, address)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	require.NoError(t, json.Unmarshal(body, into))
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	return listener, listener.Addr().(*net.TCPAddr).Port
}
