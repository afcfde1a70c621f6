//go:build record

package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestRecord saves histories of real workflows, such as those of standalone
// --demo, as testdata/histories/<name>.json: of their current runs, or of a run
// that is named. A file that is there already stays:
//
//	TEMPORAL_ADDRESS=127.0.0.1:7233 RECORD='merchant/acorn=merchant-2,hold/acorn/D-000017@<run id>=hold-2' go test -tags record -run TestRecord ./workflows
func TestRecord(t *testing.T) {
	c, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS")})
	require.NoError(t, err)
	defer c.Close()
	for pair := range strings.SplitSeq(os.Getenv("RECORD"), ",") {
		of, name, ok := strings.Cut(pair, "=")
		require.True(t, ok, "%q: want workflow=name or workflow@run=name", pair)
		id, run, _ := strings.Cut(of, "@")
		var h history.History
		for events := c.GetWorkflowHistory(t.Context(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			e, err := events.Next()
			require.NoError(t, err)
			h.Events = append(h.Events, e)
		}
		b, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(&h)
		require.NoError(t, err)
		f, err := os.OpenFile(filepath.Join("testdata", "histories", name+".json"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		require.NoError(t, err)
		_, err = f.Write(append(b, '\n'))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		t.Logf("%s: %d events", name, len(h.Events))
	}
}
