package tradegecko

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func parcel(key string, order relay.ExternalID, tracking string, lines ...relay.ShippedLine) connectors.ShipmentPush {
	return connectors.ShipmentPush{
		Key: key, Order: order, Carrier: "Example Post", Service: "Express", TrackingNumber: tracking,
		TrackingURL: "https://track.example/" + tracking, ShippedAt: day, Lines: lines,
	}
}

func units(line relay.LineID, n int64) relay.ShippedLine {
	return relay.ShippedLine{Line: line, Units: n}
}

// fulfil puts a fulfillment of one line into the shop.
func (s *shop) fulfil(n, order, line int64, quantity, status, tracking, notes string) {
	s.add("fulfillments", map[string]any{"id": n, "order_id": order, "status": status, "tracking_number": tracking,
		"notes": notes, "fulfillment_line_item_ids": []any{n*10 + 1}})
	s.add("fulfillment_line_items", map[string]any{"id": n*10 + 1, "fulfillment_id": n, "order_line_item_id": line, "quantity": quantity})
}

func pushOne(t *testing.T, c *connection, p connectors.ShipmentPush) connectors.ShipmentOutcome {
	t.Helper()
	out, _ := c.PushShipments(t.Context(), []connectors.ShipmentPush{p})
	require.Len(t, out, 1)
	return out[0]
}

func TestAShipmentIsPackedAndThenFulfilled(t *testing.T) {
	for _, putStatus := range []int{200, 204} {
		s := newShop(t)
		s.addOrder(1, day)
		s.puts = func(string) int { return putStatus }
		var keys []string
		s.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet {
				keys = append(keys, r.Header.Get("Idempotency-Key"))
			}
			return false
		}
		c := s.open(nil)
		got := pushOne(t, c, parcel("k-1", "1", "EX1", units("11", 2)))
		require.NoError(t, got.Err)
		require.False(t, got.Found)
		f := s.tables["fulfillments"][0]
		require.Equal(t, got.CartID, str(f["id"]))
		require.Equal(t, "fulfilled", f["status"])
		require.Equal(t, "EX1", f["tracking_number"])
		require.Equal(t, "Example Post", f["tracking_company"])
		require.Equal(t, wireTime(day), f["shipped_at"])
		require.Equal(t, "relay:k-1", f["notes"])
		require.Len(t, keys, 2)
		require.NotEqual(t, keys[0], keys[1])
		for _, k := range keys {
			require.True(t, strings.HasPrefix(k, "k-1:"), k)
		}
		again := pushOne(t, c, parcel("k-1", "1", "EX1", units("11", 2)))
		require.Equal(t, connectors.ShipmentOutcome{CartID: got.CartID, Found: true}, again)
		require.Len(t, s.tables["fulfillments"], 1)
	}
}

func TestAShipmentInOneStep(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)
	got := pushOne(t, s.open(connectors.Values{"create_fulfilled": "true"}), parcel("k", "1", "EX1", units("11", 2)))
	require.NoError(t, got.Err)
	require.Equal(t, "fulfilled", s.tables["fulfillments"][0]["status"])
	require.Zero(t, s.count("PUT"))
}

func TestSeveralPackagesOfSeveralOrders(t *testing.T) {
	s := newShop(t)
	var pushes []connectors.ShipmentPush
	for _, o := range []string{"1", "2", "3", "4", "5", "6"} {
		s.addOrder(num(o), day)
		line := relay.LineID(o + "1")
		pushes = append(pushes, parcel("a-"+o, relay.ExternalID(o), "A"+o, units(line, 1)), parcel("b-"+o, relay.ExternalID(o), "B"+o, units(line, 1)),
			parcel("c-"+o, relay.ExternalID(o), "C"+o, units(line, 1)))
	}
	out, err := s.open(nil).PushShipments(t.Context(), pushes)
	require.NoError(t, err)
	for i, o := range out {
		if i%3 < 2 {
			require.NoError(t, o.Err)
		} else {
			require.ErrorIs(t, o.Err, relay.Conflict, "a third unit was never ordered")
		}
	}
	require.Len(t, s.tables["fulfillments"], 12)
	require.Equal(t, 3, s.count("GET /orders")+s.count("GET /order_line_items")+s.count("GET /fulfillments?"))
}

func TestWhatTheCartHasAlreadyIsFoundOrAdopted(t *testing.T) {
	for _, tt := range []struct {
		name          string
		given         func(s *shop)
		found         bool
		writes        int
		kind          relay.ErrorKind
		notesKeep     string
		wantedTracker string
	}{
		{"shipped by a person", func(s *shop) { s.fulfil(7, 1, 11, "2.0", "fulfilled", "ex 1", "") }, true, 0, "", "", "ex 1"},
		{"shipped by a person without tracking", func(s *shop) { s.fulfil(7, 1, 11, "2.0", "fulfilled", "", "by hand") }, false, 1, "", "by hand", "EX1"},
		{"packed by a person", func(s *shop) { s.fulfil(7, 1, 11, "2.0", "packed", "", "by hand") }, false, 1, "", "by hand", "EX1"},
		{"packed by us before a crash", func(s *shop) { s.fulfil(7, 1, 11, "2.0", "packed", "EX1", "relay:k") }, false, 1, "", "relay:k", "EX1"},
		{"packed otherwise", func(s *shop) { s.fulfil(7, 1, 11, "1.0", "packed", "", "") }, false, 0, relay.Conflict, "", ""},
		{"shipped under another number", func(s *shop) { s.fulfil(7, 1, 11, "2.0", "fulfilled", "OTHER", "") }, false, 0, relay.Conflict, "", "OTHER"},
		{"of another push", func(s *shop) { s.fulfil(7, 1, 11, "2.0", "packed", "EX1", "relay:k-2") }, false, 0, relay.Conflict, "relay:k-2", "EX1"},
		{"void, but told before", func(s *shop) {
			s.fulfil(7, 1, 11, "2.0", "fulfilled", "EX1", "relay:k")
			s.row("orders", 1)["status"] = "void"
		}, true, 0, "", "", "EX1"},
		{"void", func(s *shop) { s.row("orders", 1)["status"] = "void" }, false, 0, relay.Rejected, "", ""},
		{"deleted", func(s *shop) { s.row("orders", 1)["status"] = "deleted" }, false, 0, relay.Rejected, "", ""},
		{"no such order", func(s *shop) { s.tables["orders"] = nil }, false, 0, relay.NotFound, "", ""},
		{"line taken out", func(s *shop) {
			s.tables["order_line_items"] = []map[string]any{}
			s.row("orders", 1)["order_line_item_ids"] = []any{}
		}, false, 0, relay.Invalid, "", ""},
		{"unreadable", func(s *shop) { s.fulfil(7, 1, 11, "?", "packed", "", "") }, false, 0, relay.Unavailable, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.addOrder(1, day)
			tt.given(s)
			got := pushOne(t, s.open(nil), parcel("k", "1", "EX1", units("11", 2)))
			require.Equal(t, tt.writes, s.count("POST")+s.count("PUT"))
			require.Equal(t, tt.found, got.Found)
			if tt.kind != "" {
				require.ErrorIs(t, got.Err, tt.kind)
				return
			}
			require.NoError(t, got.Err)
			require.Equal(t, "7", got.CartID)
			f := s.row("fulfillments", 7)
			require.Equal(t, "fulfilled", f["status"])
			require.Equal(t, tt.wantedTracker, f["tracking_number"])
			require.Contains(t, f["notes"], tt.notesKeep)
		})
	}
}

func TestALostReplyIsLookedUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		answer func(w http.ResponseWriter)
	}{
		{"dropped after POST", http.MethodPost, drop},
		{"dropped after PUT", http.MethodPut, drop},
		{"502 after POST", http.MethodPost, func(w http.ResponseWriter) { w.WriteHeader(502); _, _ = w.Write([]byte("<html>bad gateway</html>")) }},
		{"503 after PUT", http.MethodPut, func(w http.ResponseWriter) { w.WriteHeader(503) }},
		{"HTML after POST", http.MethodPost, func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }},
		{"empty after POST", http.MethodPost, func(w http.ResponseWriter) { w.WriteHeader(201) }},
		{"duplicate key after POST", http.MethodPost, func(w http.ResponseWriter) {
			reply(w, 409, map[string]any{"type": "Conflict", "message": "Duplicate Idempotency Key header detected"})
		}},
		{"duplicate key after PUT", http.MethodPut, func(w http.ResponseWriter) {
			reply(w, 400, map[string]any{"message": "Duplicate Idempotency Key header detected"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.addOrder(1, day)
			done := false
			s.after = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != tt.method || done {
					return false
				}
				done = true
				tt.answer(w)
				return true
			}
			got := pushOne(t, s.open(nil), parcel("k", "1", "EX1", units("11", 2)))
			require.NoError(t, got.Err)
			require.Len(t, s.tables["fulfillments"], 1)
			require.Equal(t, 1, s.count("POST"))
			require.Equal(t, 1, s.count("PUT"))
			require.Equal(t, "fulfilled", s.tables["fulfillments"][0]["status"])
		})
	}
}

func TestAWriteThatCannotBeFoundStaysUnknown(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"dropped": drop,
		"500":     func(w http.ResponseWriter) { w.WriteHeader(500) },
		"duplicate": func(w http.ResponseWriter) {
			reply(w, 409, map[string]any{"type": "Conflict", "message": "Duplicate Idempotency Key header detected"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.addOrder(1, day)
			s.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					answer(w)
				}
				return r.Method == http.MethodPost
			}
			out, err := s.open(nil).PushShipments(t.Context(), []connectors.ShipmentPush{
				parcel("k", "1", "EX1", units("11", 1)), parcel("k2", "1", "EX2", units("11", 1)),
			})
			require.NoError(t, err)
			require.ErrorIs(t, out[0].Err, relay.Unknown)
			require.ErrorIs(t, out[1].Err, relay.Unavailable, "not tried while the order is in doubt")
			require.Equal(t, 1, s.count("POST"), "not posted twice on a guess")
		})
	}
}

func TestAThrottledWriteStopsTheRest(t *testing.T) {
	s := newShop(t)
	var pushes []connectors.ShipmentPush
	for _, o := range []string{"1", "2", "3"} {
		s.addOrder(num(o), day)
		pushes = append(pushes, parcel("k-"+o, relay.ExternalID(o), "T"+o, units(relay.LineID(o+"1"), 2)))
	}
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.Header().Set("X-Rate-Limit-Reset", str(time.Now().Add(100*time.Second).Unix()))
			reply(w, 429, map[string]any{"type": "Too Many Requests"})
		}
		return r.Method == http.MethodPost
	}
	out, err := s.open(connectors.Values{"concurrency": "1"}).PushShipments(t.Context(), pushes)
	require.ErrorIs(t, err, relay.Throttled)
	require.ErrorIs(t, out[0].Err, relay.Throttled)
	require.ErrorIs(t, out[1].Err, relay.Unavailable)
	require.ErrorIs(t, out[2].Err, relay.Unavailable)
	require.Equal(t, 1, s.count("POST"))
}

func TestARefusedShipmentNamesItsFieldsWithoutWords(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)
	s.onPost = map[string]func(map[string]any) (int, any){"fulfillments": func(map[string]any) (int, any) {
		return 422, map[string]any{"errors": map[string]any{"quantity": []any{"ann@example.test is over"}, "base": "no"}}
	}}
	got := pushOne(t, s.open(nil), parcel("k", "1", "EX1", units("11", 2)))
	var e *relay.Error
	require.ErrorAs(t, got.Err, &e)
	require.Equal(t, relay.Invalid, e.Kind)
	require.Len(t, e.Fields, 2)
	require.NotContains(t, e.Error(), "ann@")
}
