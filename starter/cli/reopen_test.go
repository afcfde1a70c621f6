package cli

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func TestReopenOrder(t *testing.T) {
	w := answering(t)
	code, stdout, stderr := w.ferry(t, "order", "reopen", "--merchant", "acme", "--order", "60002", "--reason", "after all")
	require.Zero(t, code, stderr)
	require.Equal(t, "1043: reopened: it is handed over anew, as main tells it now\n", stdout)
	require.Equal(t, []string{`merchant/acme reopen-order {"reference":"1043","reason":"after all","actor":"clerk"}`}, w.engine.asked)

	w = answering(t)
	w.engine.answers[workflows.ReopenOrder] = map[string]any{"answer": "no: as far as we know it is cancelled at main too"}
	code, stdout, _ = w.ferry(t, "order", "reopen", "--merchant", "acme", "--order", "60002", "--reason", "after all")
	require.Equal(t, 1, code, "not as asked")
	require.Equal(t, "1043: no: as far as we know it is cancelled at main too\n", stdout)

	w = answering(t)
	w.engine.errs[workflows.ReopenOrder] = errors.New("no answer")
	code, _, stderr = w.ferry(t, "order", "reopen", "--merchant", "acme", "--order", "60002", "--reason", "after all")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "ferry order show tells where the order is")

	code, _, stderr = answering(t).ferry(t, "order", "reopen", "--merchant", "acme", "--order", "60002")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "reason")
}

// What the cart says of an order, and waits for a person to decide, is shown
// with what to do; what was decided is not shown any more.
func TestDecisions(t *testing.T) {
	tooLate := store.Event{At: evening, Kind: store.EventChangedTooLate, Detail: json.RawMessage(
		`{"version": "2026-11-20T17:59:00Z", "changes": [{"field": "lines[MUG].quantity", "was": "2", "is": "3"}, {"field": "ship_to.zip"}], "changes_in_all": 60}`)}
	old := store.Event{At: evening, Kind: store.EventChangedTooLate, Detail: json.RawMessage(`{"version": "2026-11-20T17:59:00Z"}`)}
	back := store.Event{At: evening, Kind: store.EventBackAtCart, Detail: json.RawMessage(`{"version": "2026-11-20T17:59:00Z"}`)}
	short := store.Event{At: evening, Kind: store.EventShippedShort, Detail: json.RawMessage(`{"left": [{"line": "9", "units": 2}], "asked": false}`)}
	event := func(k store.EventKind) store.Event { return store.Event{At: noon, Kind: k} }
	for name, c := range map[string]struct {
		state  relay.OrderState
		events []store.Event
		says   []string
		silent bool
	}{
		"nothing":          {state: relay.OrderAtWarehouse, events: []store.Event{event(store.EventSeen)}, silent: true},
		"changed too late": {relay.OrderAtWarehouse, []store.Event{tooLate}, []string{"changed at the cart after it was submitted", "  lines[MUG].quantity: 2 -> 3\n", "  ship_to.zip changed\n", "  and 58 more\n", "`ferry order cancel --merchant acme --reference 1043 --reason ...` and enter it anew"}, false},
		"an older event":   {relay.OrderAtWarehouse, []store.Event{old}, []string{"changed at the cart after it was submitted", "next: "}, false},
		"after it left":    {relay.OrderConfirmed, []store.Event{tooLate}, []string{"settle the difference with the buyer"}, false},
		"in doubt":         {relay.OrderInDoubt, []store.Event{tooLate}, []string{"taken over by itself"}, false},
		"shipped short":    {relay.OrderConfirmed, []store.Event{short}, []string{"shipped short, seen ", "  2 x line 9 did not leave\n", "refund the rest"}, false},
		"changed back":     {relay.OrderAtWarehouse, []store.Event{tooLate, event(store.EventChangedBack)}, nil, true},
		"taken over":       {relay.OrderAtWarehouse, []store.Event{tooLate, event(store.EventChangedAtCart)}, nil, true},
		"cancelled":        {relay.OrderCancelled, []store.Event{tooLate}, nil, true},
		"back":             {relay.OrderCancelled, []store.Event{tooLate, back}, []string{"cancelled, and ready again at the cart", "`ferry order reopen --merchant acme --reference 1043 --reason ...` sends it anew"}, false},
		"back meanwhile":   {relay.OrderCancelRequested, []store.Event{back}, []string{"took its cancel back"}, false},
		"back and left":    {relay.OrderCancelled, []store.Event{back, event(store.EventCancelAsked)}, nil, true},
		"reopened":         {relay.OrderNew, []store.Event{tooLate, back, event(store.EventReopened)}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			w.ledger.orders[1].State, w.ledger.shipped = c.state, c.events
			code, stdout, stderr := w.ferry(t, "order", "show", "--merchant", "acme", "--order", "60002")
			require.Zero(t, code, stderr)
			for _, s := range c.says {
				require.Contains(t, stdout, s)
			}
			require.Equal(t, !c.silent, len(decisions(w.ledger.orders[1], c.events)) > 0)
			if c.silent {
				require.NotContains(t, stdout, "next: ")
			}
		})
	}
}

// What was said to be left and left after all is nothing to decide; nor is what its
// cancel asked for.
func TestWhatLeftAfterAllIsNoDecision(t *testing.T) {
	short := []store.Event{{At: evening, Kind: store.EventShippedShort, Detail: json.RawMessage(`{"left": [{"line": "1", "units": 2}, {"line": "2", "units": 1}]}`)}}
	parcel := func(at time.Time, line relay.LineID, units int64) store.ShipmentDetail {
		return store.ShipmentDetail{SeenAt: at, Lines: []relay.ShippedLine{{Line: line, Units: units}}}
	}
	d := store.OrderDetail{Shipments: []store.ShipmentDetail{parcel(evening, "1", 3), parcel(noon, "1", 1), parcel(noon, "2", 1)}}
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}}, decisions(d, short)[0].Left)
	d.CancelAskedAt = &noon
	require.Empty(t, decisions(d, short))
	d.CancelAskedAt = nil
	d.Shipments = append(d.Shipments, parcel(noon, "1", 1))
	require.Empty(t, decisions(d, short))
}
