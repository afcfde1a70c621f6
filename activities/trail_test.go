package activities_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// Each request to the warehouse leaves its answer in the trail.
func TestTrailHasTheAnswers(t *testing.T) {
	w := newWorld(t, setup{Options: activities.Options{Looks: []time.Duration{5 * time.Millisecond}}})
	number := w.sell()
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.CommitThen502})
	d := w.submitUntil(number, relay.OrderAtWarehouse)
	type answer struct {
		Submission store.SubmissionID
		Send       int
		Status     int
		Took       int64 `json:"took_ms"`
		Why        string
		By         string
		Order      relay.WarehouseOrderID `json:"warehouse_order"`
	}
	detail := func(number string, kind store.EventKind) (a answer) {
		events, err := w.ledger.History(t.Context(), w.order(number).ID)
		require.NoError(t, err)
		for _, e := range events {
			if e.Kind == kind {
				require.NoError(t, json.Unmarshal(e.Detail, &a))
				return a
			}
		}
		require.Fail(t, "no such event", "%s: %v", kind, w.kinds(number))
		return a
	}
	id := d.Submissions[0].ID
	got := detail(number, store.EventUnknown)
	require.Equal(t, answer{Submission: id, Send: 1, Status: 502, Took: got.Took, Why: got.Why}, got)
	require.Contains(t, got.Why, "unknown outcome")
	require.Equal(t, answer{Submission: id, By: "token", Order: d.WarehouseOrderID}, detail(number, store.EventAdopted))

	slow := w.sell()
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Slow, Delay: 20 * time.Millisecond})
	w.submitUntil(slow, relay.OrderAtWarehouse)
	got = detail(slow, store.EventAccepted)
	require.GreaterOrEqual(t, got.Took, int64(20))
	require.NotZero(t, got.Status)
	require.Equal(t, 1, got.Send)
}
