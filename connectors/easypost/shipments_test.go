package easypost

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

func product(id, code string) obj { return obj{"id": id, "barcode": code} }

func lines() arr {
	return arr{
		obj{"units": 2, "product": product("prod_a", toteCode)},
		obj{"units": "1", "product": product("prod_b", capCode)},
	}
}

func tracker(code string) obj {
	return obj{"id": "trk_" + code, "tracking_code": code, "carrier": "USPS", "status": "pre_transit", "created_at": 1571050000}
}

func voided(t obj) obj {
	t["status"] = "cancelled"
	return t
}

func pick(t any, codes ...obj) obj {
	var entries arr
	for _, c := range codes {
		entries = append(entries, obj{"id": "inv", "product": c})
	}
	return obj{"id": "pick", "tracker": t, "inventories": entries, "updated_at": 1571060000}
}

func anUpdate(t *testing.T, order obj) connectors.OrderUpdate {
	t.Helper()
	v := newVendor(t)
	order["id"] = testID
	v.on("GET /orders/"+testID, says(200, doc(order)))
	page, err := v.open(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: testID}}})
	require.NoError(t, err)
	require.Len(t, page.Updates, 1)
	require.Equal(t, relay.WarehouseOrderID(testID), page.Updates[0].ID)
	return page.Updates[0]
}

func TestProgress(t *testing.T) {
	tote, cp := product("prod_a", toteCode), product("prod_b", capCode)
	for name, tc := range map[string]struct {
		order obj
		want  connectors.Progress
		count int
	}{
		"fresh":                          {obj{"status": "received", "picks": nil}, connectors.InProgress, 0},
		"unknown word":                   {obj{"status": "zorp"}, connectors.InProgress, 0},
		"no status":                      {obj{}, connectors.InProgress, 0},
		"shipped word alone":             {obj{"status": "shipped"}, connectors.InTrouble, 0},
		"shipped, and no tracking yet":   {obj{"status": "Shipped", "line_items": lines(), "picks": arr{pick(nil, tote, tote, cp)}, "trackers": arr{}}, connectors.InTrouble, 0},
		"a label that was voided":        {obj{"status": "processing", "line_items": lines(), "trackers": arr{voided(tracker("1"))}}, connectors.InProgress, 0},
		"another took its place":         {obj{"status": "shipped", "line_items": lines(), "trackers": arr{voided(tracker("1")), tracker("2")}}, connectors.FullShipped, 1},
		"its pick waits for another":     {obj{"status": "shipped", "line_items": lines(), "trackers": arr{voided(tracker("1")), tracker("2")}, "picks": arr{pick(obj{"id": "trk_1"}, tote), pick(tracker("2"), tote, cp)}}, connectors.PartShipped, 1},
		"nothing says how many units":    {obj{"status": "processing", "line_items": arr{obj{"product": tote, "units": nil}, obj{"product": cp}}, "trackers": arr{tracker("1")}}, connectors.PartShipped, 1},
		"on hold":                        {obj{"status": "ON_HOLD"}, connectors.InTrouble, 0},
		"backordered":                    {obj{"status": "backordered"}, connectors.InTrouble, 0},
		"refunded":                       {obj{"status": "Refunded"}, connectors.Cancelled, 0},
		"refunded but tracked":           {obj{"status": "refunded", "trackers": arr{tracker("1")}}, connectors.PartShipped, 1},
		"blank code":                     {obj{"status": "canceled", "trackers": arr{obj{"tracking_code": " "}}}, connectors.Cancelled, 0},
		"trackers only, unknown word":    {obj{"status": "zorp", "line_items": lines(), "trackers": arr{tracker("1")}}, connectors.PartShipped, 1},
		"trackers only, shipped":         {obj{"status": "Shipped", "line_items": lines(), "trackers": arr{tracker("1")}}, connectors.FullShipped, 1},
		"first of two picks":             {obj{"status": "zorp", "line_items": lines(), "picks": arr{pick(tracker("1"), tote), pick(nil, tote, cp)}}, connectors.PartShipped, 1},
		"a pick waits, though 'shipped'": {obj{"status": "shipped", "line_items": lines(), "picks": arr{pick(tracker("1"), tote), pick(nil, tote, cp)}}, connectors.PartShipped, 1},
		"both picks, renamed status":     {obj{"status": "zorp", "line_items": lines(), "picks": arr{pick(tracker("1"), tote), pick(tracker("2"), tote, cp)}}, connectors.FullShipped, 2},
		"on hold but tracked":            {obj{"status": "on_hold", "line_items": lines(), "picks": arr{pick(tracker("1"), tote)}}, connectors.PartShipped, 1},
	} {
		t.Run(name, func(t *testing.T) {
			u := anUpdate(t, tc.order)
			require.Equal(t, tc.want, u.Progress)
			require.Len(t, u.Packages, tc.count)
		})
	}
}

// An order that is stuck says why, as far as its status tells.
func TestTrouble(t *testing.T) {
	for status, want := range map[string]relay.Hold{
		"ON_HOLD":                   {Reason: relay.HoldRejected, Code: "ON_HOLD"},
		"backordered":               {Reason: relay.HoldInsufficientInventory, Code: "backordered"},
		"on hold: <Dana Example> x": {Reason: relay.HoldRejected, Code: "unreadable"}, // it goes where no name may
	} {
		u := anUpdate(t, obj{"status": status})
		require.Equal(t, &want, u.Hold)
		require.Equal(t, status, u.Status)
	}
	bare := anUpdate(t, obj{"status": "Delivered"}).Hold
	require.Equal(t, relay.HoldRejected, bare.Reason)
	require.Contains(t, bare.Fields[0].Message, "left without a tracking number")
	require.Nil(t, anUpdate(t, obj{"status": "received"}).Hold)
}

func TestPackagesAreTheUnionOfTrackersAndPicks(t *testing.T) {
	tote := product("prod_a", toteCode)
	first := tracker("1")
	delete(first, "carrier") // told with its carrier elsewhere
	u := anUpdate(t, obj{"updated_at": 1571090000, "status": "x", "line_items": lines(),
		"trackers": arr{
			obj{"tracking_code": "1", "carrier": "USPS", "public_url": "https://track.example.test/1", "carrier_detail": obj{"service": "Priority"}},
			obj{"tracking_code": "3", "carrier": "UPS", "public_url": "javascript:x"},
		},
		"picks": arr{
			pick(first, tote, product("prod_b", capCode)),
			pick(obj{"id": "trk_1"}, tote), // by id: more in the same parcel
			obj{"tracker": tracker("2"), "inventories": arr{obj{"product_id": "prod_a", "quantity": 4}, obj{"product_id": "prod_b", "units": "2"}, obj{"product": tote, "quantity": -1}}},
			obj{"tracker": tracker("4"), "inventories": arr{obj{"product_id": "prod_zzz"}, obj{"product": tote}}},
		}})
	require.Equal(t, []relay.Package{
		{Carrier: "USPS", Service: "Priority", TrackingNumber: "1", TrackingURL: "https://track.example.test/1", TrackerID: "trk_1",
			ShippedAt: time.Unix(1571050000, 0).UTC(), Items: []relay.Item{{Code: toteCode, Units: 2}, {Code: capCode, Units: 1}}},
		{Carrier: "UPS", TrackingNumber: "3", ShippedAt: time.Unix(1571090000, 0).UTC()},
		{Carrier: "USPS", TrackingNumber: "2", TrackerID: "trk_2", ShippedAt: time.Unix(1571050000, 0).UTC(),
			Items: []relay.Item{{Code: toteCode, Units: 4}, {Code: capCode, Units: 2}}},
		{Carrier: "USPS", TrackingNumber: "4", TrackerID: "trk_4", ShippedAt: time.Unix(1571050000, 0).UTC()},
	}, u.Packages)
}

func TestSplitShipmentOverThreeUpdates(t *testing.T) {
	tote, cp := product("prod_a", toteCode), product("prod_b", capCode)
	picks := arr{pick(nil, tote), pick(nil, tote), pick(nil, cp)}
	seen := make(map[string][]relay.Item)
	for i := range 3 {
		picks[i].(obj)["tracker"] = tracker(strconv.Itoa(i))
		u := anUpdate(t, obj{"status": fmt.Sprint("word", i), "line_items": lines(), "picks": picks, "trackers": arr{}})
		require.Len(t, u.Packages, i+1)
		for _, p := range u.Packages {
			if had, ok := seen[p.Key()]; ok {
				require.Equal(t, had, p.Items)
			}
			seen[p.Key()] = p.Items
		}
		want := connectors.PartShipped
		if i == 2 {
			want = connectors.FullShipped
		}
		require.Equal(t, want, u.Progress)
	}
	require.Len(t, seen, 3)
}

func TestManyPackagesTakeNoTime(t *testing.T) {
	var trackers, picks arr
	for i := range 20000 {
		trackers = append(trackers, obj{"id": fmt.Sprint("trk_x", i)}, tracker(strconv.Itoa(i)))
		picks = append(picks, pick(obj{"id": fmt.Sprint("trk_", i)}, product("p", strconv.Itoa(i))))
	}
	var o orderJSON
	require.NoError(t, decode([]byte(doc(obj{"id": testID, "trackers": trackers, "picks": picks})), &o))
	start := time.Now()
	require.Len(t, packages(o), 20000)
	require.Less(t, time.Since(start), 5*time.Second)
}

// pages serves rows as a list with limit, offset and page; with ignorePage every page is the first.
func pages(rows []obj, key string, firstPage int, ignorePage bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		size, _ := strconv.Atoi(q.Get("per_page"))
		page, _ := strconv.Atoi(q.Get("page"))
		offset, _ := strconv.Atoi(q.Get("offset"))
		from := offset
		if !ignorePage {
			from += max(page-firstPage, 0) * size
		}
		from = min(from, len(rows))
		fmt.Fprint(w, doc(obj{key: rows[from:min(from+size, len(rows))]}))
	}
}

func TestPullManyReadsTheListFirst(t *testing.T) {
	v := newVendor(t)
	var rows []obj
	var open []connectors.OpenOrder
	for i := range 30 {
		id := fmt.Sprintf("order_%02d", i)
		row := obj{"id": id, "created_at": 1571000100 - i, "status": "received", "picks": arr{}}
		if i == 7 {
			row = obj{"id": id, "created_at": 1571000100 - i, "status": "shipped"} // a short form
			v.on("GET /orders/"+id, says(200, doc(obj{"id": id, "trackers": arr{tracker("7")}})))
		}
		if i == 9 {
			row["status"] = "shipped" // a form without trackers
			v.on("GET /orders/"+id, says(200, doc(obj{"id": id, "trackers": arr{tracker("9")}})))
		}
		rows = append(rows, row)
		open = append(open, connectors.OpenOrder{ID: relay.WarehouseOrderID(id)})
	}
	v.on("GET /orders", pages(rows, "orders", 0, false))
	open = append(open, connectors.OpenOrder{ID: "order_lost"}, connectors.OpenOrder{ID: "order_sick"})
	v.on("GET /orders/order_sick", says(500, ``))
	c := v.open(connectors.Values{"page_size": "10"})
	page, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Open: open})
	require.NoError(t, err)
	require.Len(t, page.Updates, 32)
	for i, u := range page.Updates {
		require.Equal(t, open[i].ID, u.ID)
		switch u.ID {
		case "order_07", "order_09":
			require.Equal(t, connectors.PartShipped, u.Progress)
		case "order_lost":
			require.Equal(t, connectors.Gone, u.Progress)
		default:
			require.Equal(t, connectors.InProgress, u.Progress)
		}
	}
	require.LessOrEqual(t, len(v.requests("GET /orders")), 2+2*32/10)
	require.Len(t, v.requests("GET /orders/order_03"), 0)
}

func TestPullTakesTurnsWhenThereAreTooMany(t *testing.T) {
	v := newVendor(t)
	v.on("GET /orders", says(200, `{"orders":[]}`))
	var open []connectors.OpenOrder
	for i := range 10 {
		id := fmt.Sprintf("order_%02d", i)
		open = append(open, connectors.OpenOrder{ID: relay.WarehouseOrderID(id)})
		v.on("GET /orders/"+id, says(200, doc(obj{"id": id, "status": "x"})))
	}
	c := v.open(connectors.Values{"order_reads": "4"})
	q := connectors.ShipmentsQuery{Open: open}
	for range 3 {
		page, err := c.PullShipments(t.Context(), q)
		require.NoError(t, err)
		require.Len(t, page.Updates, 10)
		q.Cursor = page.Cursor
	}
	for _, o := range open {
		require.NotEmpty(t, v.requests("GET /orders/"+string(o.ID)), o.ID)
	}
}

func TestPullGivesUpOnASickVendor(t *testing.T) {
	v := newVendor(t)
	v.on("GET /orders", says(200, `{"orders":[]}`))
	var open []connectors.OpenOrder
	for i := range 20 {
		id := fmt.Sprintf("order_%02d", i)
		open = append(open, connectors.OpenOrder{ID: relay.WarehouseOrderID(id)})
		v.on("GET /orders/"+id, says(503, ``))
	}
	c := v.open(nil)
	_, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Open: open})
	require.ErrorIs(t, err, relay.Unavailable)
	require.Len(t, v.requests(""), 2+maxFailures*exchange.Tries)

	// Throttled on the way: what was read is reported, the rest has its turn next.
	v.on("GET /orders/order_00", says(200, `{"id":"order_00"}`))
	v.on("GET /orders/order_01", says(429, ``))
	page, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Open: open})
	require.NoError(t, err)
	require.Len(t, page.Updates, 20)
	require.Equal(t, "order_00", page.Cursor)
}

func TestGoneIsDoubtedWhenTheWholeAPIIs(t *testing.T) {
	v := newVendor(t) // answers 404 to all
	c := v.open(nil)
	q := connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: testID}}}
	_, err := c.PullShipments(t.Context(), q)
	require.ErrorIs(t, err, relay.Unavailable)
	_, err = c.CancelOrder(t.Context(), testID)
	require.ErrorIs(t, err, relay.Unavailable)

	v.serveSites()
	page, err := c.PullShipments(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, connectors.Gone, page.Updates[0].Progress)
}

func TestPullRefusesTheOtherMode(t *testing.T) {
	for _, body := range []obj{
		{"mode": "production"},
		{"mode": "test", "trackers": arr{obj{"tracking_code": "1", "mode": "production"}}},
		{"picks": arr{obj{"mode": "sandbox"}}},
	} {
		v := newVendor(t)
		body["id"] = testID
		v.on("GET /orders/"+testID, says(200, doc(body)))
		_, err := v.open(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: testID}}})
		require.ErrorIs(t, err, relay.Unauthorised)
	}
}

func TestPullFailsWhenNothingCouldBeRead(t *testing.T) {
	v := newVendor(t)
	v.on("GET /orders/"+testID, says(200, `<html>maintenance</html>`))
	_, err := v.open(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: testID}}})
	require.ErrorIs(t, err, relay.Unavailable)
}
