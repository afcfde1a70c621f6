package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// aStory is of an order that was sent twice and left in two packages.
func aStory() story {
	return newStory(store.OrderDetail{
		OrderSummary: store.OrderSummary{Cart: "main"},
		Lines:        []relay.Line{{ID: "l1", SKU: "MUG"}, {ID: "l2", SKU: "CAP"}},
		Submissions: []store.SubmissionDetail{{ID: 31, Attempt: 1}, {ID: 35, Attempt: 2, Service: "Ground", Items: []relay.OrderItem{
			{Line: "l1", SKU: "MUG", Item: relay.Item{Code: "4006381", Units: 2}}, {Line: "l2", SKU: "CAP", Item: relay.Item{Code: "4006381", Units: 1}},
		}}},
		Shipments: []store.ShipmentDetail{{ID: 7, Carrier: "UPS", TrackingNumber: "1Z9"}},
	})
}

func TestSentences(t *testing.T) {
	for _, c := range []struct {
		kind   store.EventKind
		detail string
		want   string
	}{
		{store.EventSeen, `{"version": "2026-03-04T05:06:07+01:00", "lines": 3}`, "taken in from cart main at version 2026-03-04T04:06:07Z, 3 lines"},
		{store.EventSeen, `{"lines": 1}`, "taken in from cart main, 1 line"},
		{store.EventChangedAtCart, `{"version": "2026-03-04T05:06:07Z"}`, "changed at the cart at version 2026-03-04T05:06:07Z, and taken over"},
		{store.EventBackAtCart, `{}`, "cancelled, and ready again at the cart for a person to decide"},
		{store.EventChangedTooLate, `{"version": "2026-03-04T05:06:07Z", "changes": [{"field": "lines[MUG].quantity", "was": "2", "is": "3"}, {"field": "ship_to.zip"}], "changes_in_all": 60}`,
			"changed at the cart at version 2026-03-04T05:06:07Z after it was handed over, and not taken over: lines[MUG].quantity: 2 -> 3; ship_to.zip changed; and 58 more"},
		{store.EventChangedBack, `{}`, "changed back at the cart to what was handed over"},
		{store.EventHeld, `{"reason": "rejected", "headline": "rejected (X)"}`, "on hold: rejected (X)"},
		{store.EventHeld, `{"reason": "warehouse_unreachable"}`, "on hold: warehouse_unreachable"},
		{store.EventReleased, `{"why": "stock came"}`, "released: stock came"},
		{store.EventReleased, ``, "released"},
		{store.EventSubmitting, `{"submission": 35, "token": "abcdefghij234567", "digest": "0123456789abcdef0123", "aliases_version": 7, "settings_version": 2}`,
			"translated with mappings version 7 and settings version 2: attempt 2 opened, token abcdefghij234567, body sha256 0123456789abcdef..., 3 x 4006381, service Ground"},
		{store.EventResubmitting, `{"submission": 31, "send": 2}`, "attempt 1 is sent again with the same token (send 2)"},
		{store.EventAccepted, `{"submission": 35, "send": 1, "status": 201, "took_ms": 840, "warehouse_order": "ord_1"}`,
			"attempt 2 was sent, and the warehouse took it: order ord_1 (HTTP 201, after 840ms)"},
		{store.EventAccepted, `{"submission": 99, "warehouse_order": "ord_1"}`, "submission 99 was sent, and the warehouse took it: order ord_1"},
		{store.EventAdopted, `{"submission": 31, "warehouse_order": "ord_1"}`, "attempt 1 was found at the warehouse: adopted order ord_1"},
		{store.EventAdopted, `{"submission": 31, "warehouse_order": "ord_1", "by": "token"}`, "attempt 1 was found at the warehouse by its token: adopted order ord_1"},
		{store.EventDuplicate, `{"cancelled": {"ord_3": "done", "ord_2": "pending"}}`,
			"the warehouse has it more than once; asked to cancel order ord_2: pending; order ord_3: done"},
		{store.EventRefused, `{"submission": 31, "status": 422, "took_ms": 1250, "why": "submit order: rejected", "headline": "bad_address: ship_to.zip"}`,
			"attempt 1 was sent, and refused (HTTP 422, after 1.25s): bad_address: ship_to.zip"},
		{store.EventRefused, `{"submission": 31, "why": "the address check, before anything was sent", "headline": "bad_address: ship_to.zip"}`,
			"attempt 1 was refused by the address check, before anything was sent: bad_address: ship_to.zip"},
		{store.EventUnknown, `{"submission": 31, "status": 504, "took_ms": 30000}`, "attempt 1 has no answer that tells (HTTP 504, after 30s): it will be looked for"},
		{store.EventUnknown, `{"submission": 31, "why": "whoever sent it is gone"}`, "attempt 1 has no answer that tells (whoever sent it is gone): it will be looked for"},
		{store.EventNotFound, `{"submission": 31, "again_s": 120}`, "attempt 1 was looked for at the warehouse: not there; looked for again in 2m"},
		{store.EventNotFound, `{"submission": 31, "absent": true}`, "attempt 1 was looked for at the warehouse: surely not there"},
		{store.EventNotFound, `{"submission": 31, "unsettled": true}`, "attempt 1 was looked for at the warehouse: that did not settle whether it is there"},
		{store.EventLookFailed, `{"submission": 31, "why": "find orders: unavailable, HTTP 503"}`,
			"attempt 1 could not be looked for at the warehouse (find orders: unavailable, HTTP 503): that is tried again until it can"},
		{store.EventUnsent, `{"submission": 31, "why": "submit order: unavailable: refused", "again_s": 10}`,
			"attempt 1 never left (submit order: unavailable: refused); sent again in 10s"},
		{store.EventPackage, `{"carrier": "UPS", "tracking_number": "1Z9", "contents": [{"line": "l1", "units": 2}, {"line": "l9", "units": 1}], "surplus": [{"code": "77", "units": 4}]}`,
			"package: UPS 1Z9, 2 x MUG, 1 x line l9, 4 x 77 beyond what was ordered"},
		{store.EventPackage, `{"carrier": "", "tracking_number": "1Z9"}`, "package: 1Z9, contents not told"},
		{store.EventAssumed, `{"contents": [{"line": "l1", "units": 2}]}`, "packages of untold contents stand for all that was left: 2 x MUG"},
		{store.EventPackage, `{"carrier": "UPS", "tracking_number": "1Z9", "parts": [{"code": "77", "units": 4}]}`, "package: UPS 1Z9, 4 x 77 of a kit, told with the rest of it"},
		{store.EventAssumed, `{"contents": [{"line": "l1", "units": 2}], "kits": true}`, "packages with a part of them stand for kits of which no more is expected: 2 x MUG"},
		{store.EventContentsTold, `{"carrier": "UPS", "tracking_number": "1Z9", "contents": [{"line": "l1", "units": 2}]}`, "contents told later of package: UPS 1Z9, 2 x MUG"},
		{store.EventPackageGrew, `{"carrier": "UPS", "tracking_number": "1Z9", "contents": [{"line": "l1", "units": 2}]}`, "more in package: UPS 1Z9, 2 x MUG"},
		{store.EventRelabelled, `{"carrier": "UPS", "tracking_number": "1Z9", "now": ["1Z8", "1Z7"], "told": true}`,
			"the warehouse names package UPS 1Z9 no more, and now 1Z8, 1Z7: the cart was told of the former"},
		{store.EventRelabelled, `{"carrier": "", "tracking_number": "1Z9", "now": ["1Z8"]}`, "the warehouse names package 1Z9 no more, and now 1Z8"},
		{store.EventShippedShort, `{"left": [{"line": "l1", "units": 2}], "asked": false}`, "shipped short: no more follows, and left are 2 x MUG"},
		{store.EventShippedShort, `{"left": [{"line": "l1", "units": 2}], "asked": true}`, "shipped short: no more follows, and left are 2 x MUG, as its cancel asked"},
		{store.EventAssumed, `{"contents": []}`, "nothing was left to ship that packages of untold contents could hold"},
		{store.EventWarehouseStatus, `{"status": "picked"}`, `the warehouse calls it "picked"`},
		{store.EventShippedAfterAll, `{"was": "cancel_requested"}`, "shipped after all, though it was cancel_requested"},
		{store.EventTold, `{"shipment": 7, "cart_shipment": "123"}`, "told the cart of UPS 1Z9 (fulfillment 123)"},
		{store.EventTold, `{"shipment": 8, "found": true}`, "the cart already had package 8"},
		{store.EventTellFailed, `{"shipment": 7, "error": "push shipment: unavailable, HTTP 503", "again_s": 60}`,
			"the cart did not take UPS 1Z9: push shipment: unavailable, HTTP 503; told again in 1m"},
		{store.EventConfirmed, ``, "confirmed: the cart has all tracking"},
		{store.EventCancelAsked, `{"reason": "buyer cancelled"}`, "a cancel was asked for: buyer cancelled"},
		{store.EventCancelledSending, ``, "cancelled before it was sent"},
		{store.EventCancelledSending, `{"reason": "twice"}`, "cancelled before it was sent: twice"},
		{store.EventCancelled, `{"evidence": "status refunded"}`, "cancelled at the warehouse: status refunded"},
		{store.EventCancelled, `{"status": "cancelled", "asked": false}`, "the warehouse cancelled it by itself: cancelled"},
		{store.EventCancelled, `{"status": "cancelled", "asked": true}`, "cancelled at the warehouse: cancelled"},
		{store.EventCancelTooLate, `{"evidence": "tracking 1Z9"}`, "too late to cancel: tracking 1Z9"},
		{store.EventCancelToldCart, `{"status": "void"}`, "told the cart that it is cancelled: void"},
		{store.EventCancelToldCart, `{"found": true}`, "the cart had cancelled it already"},
		{store.EventCancelTellFailed, `{"error": "cancel order: unavailable"}`, "the cart did not take the cancel: cancel order: unavailable"},
		{store.EventReopened, `{"was": "cancelled", "reason": "the buyer insists", "cancelled_warehouse_order": "ord_1"}`,
			"reopened, to be sent anew: the buyer insists (order ord_1 at the warehouse stays cancelled)"},
		{store.EventReopened, ``, "reopened, to be sent anew"},
		{store.EventCancelPending, `{"evidence": "HTTP 202"}`, "asked to cancel, the warehouse has not decided: HTTP 202"},
		// Nothing is hidden: what is not known here, or is not as expected, is shown as it is.
		{"of_a_later_release", `{"a": 1}`, `of_a_later_release {"a": 1}`},
		{"of_a_later_release", ``, `of_a_later_release`},
		{store.EventPackage, `{"contents": "many"}`, `package {"contents": "many"}`},
	} {
		require.Equal(t, c.want, aStory().tell(store.Event{Kind: c.kind, Detail: json.RawMessage(c.detail)}))
	}
}

func TestEveryKindOfEventHasASentence(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../store/events.go", nil, 0)
	require.NoError(t, err)
	kinds := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := v.Type.(*ast.Ident); ok && name.Name == "EventKind" {
			kinds++
			kind, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			require.Contains(t, sentences, store.EventKind(kind))
		}
		return false
	})
	require.Len(t, sentences, kinds)
}

func TestHoldsOfAHistory(t *testing.T) {
	holds := holdsOf(newFakeLedger().events)
	require.Len(t, holds, 2)
	require.Equal(t, relay.HoldInsufficientInventory, holds[0].Reason)
	require.Equal(t, store.EventReleased, holds[0].End)
	require.Equal(t, "operator ops", holds[0].EndedBy)
	require.Equal(t, noon.Add(-3*time.Hour), *holds[0].Until)
	require.Nil(t, holds[1].Until, "it lasts")

	held := store.Event{At: evening, Kind: store.EventHeld, Detail: json.RawMessage(`{"reason": "operator"}`)}
	other := store.Event{At: noon, Kind: store.EventHeld, Detail: json.RawMessage(`{"reason": "rejected"}`)}
	for _, end := range endsHold {
		holds := holdsOf([]store.Event{held, {At: noon, Kind: end}, other})
		require.Equal(t, end, holds[0].End)
		require.Equal(t, noon, *holds[0].Until)
		require.Equal(t, "operator", holds[0].Headline)
		require.Equal(t, relay.HoldRejected, holds[len(holds)-1].Reason)
	}
}
