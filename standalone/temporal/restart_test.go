package temporal_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"orderferry/standalone/temporal"
	"orderferry/store/lockfile"
)

func TestWorkflowsOutliveAKilledProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	server, address := startProcess(t, file)
	c, err := client.DialContext(t.Context(), client.Options{HostPort: address})
	require.NoError(t, err)
	_, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "hold/acme/SO-1", TaskQueue: "orderferry"}, "await-release")
	require.NoError(t, err)
	require.NoError(t, c.SignalWorkflow(t.Context(), "hold/acme/SO-1", "", "release", "by operator"))
	c.Close()
	require.NoError(t, server.Process.Kill())
	require.Error(t, server.Wait())

	again := startServer(t, temporal.Config{File: file})
	c = dial(t, again, "default")
	w := worker.New(c, "orderferry", worker.Options{})
	w.RegisterWorkflowWithOptions(awaitRelease, workflow.RegisterOptions{Name: "await-release"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	var how string
	require.NoError(t, c.GetWorkflow(t.Context(), "hold/acme/SO-1", "").Get(t.Context(), &how))
	require.Equal(t, "by operator", how)
}

func awaitRelease(ctx workflow.Context) (string, error) {
	var how string
	workflow.GetSignalChannel(ctx, "release").Receive(ctx, &how)
	return how, nil
}

// startProcess runs a server in a process of its own.
func startProcess(t *testing.T, file string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveFile+"="+file)
	cmd.Stderr = t.Output()
	_, err := cmd.StdinPipe() // held open for as long as cmd lives
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, strings.TrimSpace(address)
}

func TestNamespaceFollowsTheConfigFromStartToStart(t *testing.T) {
	const (
		keyword = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		date    = enumspb.INDEXED_VALUE_TYPE_DATETIME
	)
	file := filepath.Join(t.TempDir(), "temporal.db")
	first := startServer(t, temporal.Config{
		File:             file,
		SearchAttributes: map[string]enumspb.IndexedValueType{"merchant": keyword},
	})
	require.Equal(t, 7*24*time.Hour, retention(t, first))
	first.Stop()
	first.Stop()

	second := startServer(t, temporal.Config{
		File:             file,
		Retention:        48 * time.Hour,
		SearchAttributes: map[string]enumspb.IndexedValueType{"merchant": keyword, "order": keyword, "nextStep": date},
	})
	require.Equal(t, 48*time.Hour, retention(t, second))
	require.Equal(t, map[string]enumspb.IndexedValueType{"merchant": keyword, "order": keyword, "nextStep": date}, searchAttributes(t, second))
	second.Stop()

	_, err := temporal.Start(t.Context(), temporal.Config{
		File:             file,
		SearchAttributes: map[string]enumspb.IndexedValueType{"merchant": date},
	})
	require.ErrorContains(t, err, "search attribute merchant is a Keyword and can't become a Datetime")

	third := startServer(t, temporal.Config{File: file})
	require.Len(t, searchAttributes(t, third), 3, "none is forgotten")
}

func TestStartRefusesMoreSearchAttributesThanThereIsRoomFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	text := func(names ...string) map[string]enumspb.IndexedValueType {
		all := map[string]enumspb.IndexedValueType{}
		for _, name := range names {
			all[name] = enumspb.INDEXED_VALUE_TYPE_TEXT
		}
		return all
	}
	_, err := temporal.Start(t.Context(), temporal.Config{File: file, SearchAttributes: text("a", "b", "c", "d")})
	require.ErrorContains(t, err, "cannot have more than 3 search attributes of type Text")

	startServer(t, temporal.Config{File: file, SearchAttributes: text("a", "b", "c")}).Stop()
	_, err = temporal.Start(t.Context(), temporal.Config{File: file, SearchAttributes: text("d")})
	require.ErrorContains(t, err, "no room for another Text search attribute: d")
}

func TestOneFileServesOneServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	server := startServer(t, temporal.Config{File: file})
	_, err := temporal.Start(t.Context(), temporal.Config{File: file})
	require.ErrorIs(t, err, lockfile.ErrHeld)
	require.Equal(t, 7*24*time.Hour, retention(t, server), "the first is undisturbed")
}

func TestStartTakesAnyPathAndAnEmptyFile(t *testing.T) {
	// What a process leaves that was killed before it had laid out the file; under a name that URIs would misread.
	file := filepath.Join(t.TempDir(), "a b?c#d%41&e.db")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	startServer(t, temporal.Config{File: file}).Stop()

	info, err := os.Stat(file)
	require.NoError(t, err)
	require.NotZero(t, info.Size())
	names, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*"))
	require.NoError(t, err)
	for _, name := range names {
		require.True(t, strings.HasPrefix(name, file), name)
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

func retention(t *testing.T, server *temporal.Server) time.Duration {
	t.Helper()
	described, err := dial(t, server, "default").WorkflowService().DescribeNamespace(t.Context(),
		&workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	return described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
}

func searchAttributes(t *testing.T, server *temporal.Server) map[string]enumspb.IndexedValueType {
	t.Helper()
	listed, err := dial(t, server, "default").OperatorService().ListSearchAttributes(t.Context(),
		&operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	return listed.GetCustomAttributes()
}
