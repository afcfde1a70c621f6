package cli

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// What a warehouse says later is told as it was, on a real ledger.
func TestHistoryOfAWarehouseThatAnswersLater(t *testing.T) {
	l := newRealLedger(t)
	id := l.order("SO-1")
	sub := l.send()
	l.record(sub, store.Outcome{Accepted: "PT-1", Status: 200, AnswerWithin: 4 * time.Hour})
	require.Contains(t, l.ferry("order", "list", "--merchant", "acme"), "received, no answer yet, due ")
	tell := func(p store.Progress) {
		t.Helper()
		p.Order, p.WarehouseOrderID = id, "PT-1"
		_, err := l.RecordProgress(t.Context(), "job pull_shipments", []store.Progress{p}, store.Reading{})
		require.NoError(t, err)
	}
	tell(store.Progress{Status: "imported", Working: true})
	tell(store.Progress{Status: "CSR", Stuck: &relay.Hold{Reason: relay.HoldInsufficientInventory, Code: "CSR", Words: "short for 12 Main Street"}})
	require.Contains(t, l.ferry("hold", "list"), "the warehouse has it as PT-1 (CSR): never sent again, goes on by itself")
	var v holdDetail
	require.NoError(t, json.Unmarshal([]byte(l.ferry("hold", "show", "--merchant", "acme", "--order", "SO-1", "--output", "json")), &v))
	require.Equal(t, nextThere, v.Next)
	require.Equal(t, "short for …", v.Words)
	tell(store.Progress{Status: "open", Working: true})
	tell(store.Progress{Submission: sub.ID, Status: "rejected", Refused: &relay.Hold{Reason: relay.HoldRejected, Code: "E9"}})
	tell(store.Progress{Status: "open", Working: true})
	require.Equal(t, []string{
		"job submit_orders: attempt 1 was sent, and the warehouse received it: order PT-1 (HTTP 200, after 1.5s); its yes or no is due in 4h00m",
		"job pull_shipments: the warehouse took what it had received: imported",
		`job pull_shipments: the warehouse calls it "imported"`,
		"job pull_shipments: on hold: insufficient_inventory (CSR) (the warehouse has it as PT-1 and is stuck with it: nothing is sent again)",
		`job pull_shipments: the warehouse calls it "CSR"`,
		"job pull_shipments: released: the warehouse goes on with it",
		`job pull_shipments: the warehouse calls it "open"`,
		"job pull_shipments: the warehouse does not take attempt 1, which it had received as order PT-1: rejected (E9)",
		"job pull_shipments: on hold: rejected (E9)",
		"job pull_shipments: the warehouse goes on with order PT-1, which it had refused; it was held here",
		`job pull_shipments: the warehouse calls it "open"`,
	}, l.told("SO-1")[2:])
}

// A person's hold, on a real ledger and without Temporal.
func TestOrderHoldOnARealLedger(t *testing.T) {
	l := newRealLedger(t)
	l.order("SO-1")
	require.Equal(t, "SO-1: on hold until a person releases or cancels it\n", l.ferry("order", "hold", "--merchant", "acme", "--order", "SO-1", "--reason", "ask first", "--actor", "ops"))
	require.Equal(t, []string{"operator ops: on hold: operator: ask first"}, l.told("SO-1")[1:])
	require.Contains(t, l.ferry("hold", "list"), "a person must release or cancel it")
}
