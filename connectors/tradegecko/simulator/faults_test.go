package simulator_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/simkit/simtest"
	"orderferry/connectors/tradegecko/simulator"
)

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		kind    simulator.FaultKind
		status  int // 0: no answer
		commits bool
		want    string
	}{
		{simulator.CommitThenTimeout, 0, true, ""},
		{simulator.CommitThenDrop, 0, true, ""},
		{simulator.CommitThen500, 500, true, "Internal Server Error"},
		{simulator.CommitThen502, 502, true, "<h1>502 Bad Gateway</h1>"},
		{simulator.CommitThen200, 200, true, "<h1>Down for maintenance</h1>"},
		{simulator.CommitThenDuplicate, 409, true, "Duplicate Idempotency"},
		{simulator.Timeout, 0, false, ""},
		{simulator.ResetBefore, 0, false, ""},
		{simulator.Fail500, 500, false, "Internal Server Error"},
		{simulator.Fail503, 503, false, "Service Unavailable"},
		{simulator.HTML502, 502, false, "<html>"},
		{simulator.HTML200, 200, false, "<h1>Down for maintenance</h1>"},
		{simulator.Redirect, 307, false, ""},
		{simulator.Throttle, 429, false, "Too Many Requests"},
		{simulator.ThrottleBare, 429, false, "Too Many Requests"},
		{simulator.WordsQuoted, 422, false, `\"fulfillment_line_items\":`},
		{simulator.Unauthorised, 401, false, `"unauthorized"`},
		{simulator.BrokenJSON, 201, true, `{"fulfillment_line_items":[`},
		{simulator.Empty2xx, 201, true, ""},
		{simulator.Slow, 201, true, `"fulfillment":{`},
		{simulator.DuplicateKey, 409, false, "Duplicate Idempotency"},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			s := stocked(t)
			o := s.order("SO-1", "RED-S:2")
			require.NoError(t, s.Inject(simulator.Fault{Kind: c.kind, Route: "fulfillments_create", Count: 1, Delay: time.Millisecond}))
			a, err := s.try("POST", "/fulfillments", fulfilment(o, "packed", "T", "1"))
			if c.status == 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, c.status, a.status)
				require.Contains(t, a.raw, c.want)
			}
			switch c.kind {
			case simulator.BrokenJSON:
				require.False(t, json.Valid([]byte(a.raw)))
			case simulator.Empty2xx, simulator.Redirect:
				require.Empty(t, a.raw)
			case simulator.Throttle:
				require.Equal(t, "0", a.header.Get("X-Rate-Limit-Remaining"))
			case simulator.ThrottleBare:
				require.NotContains(t, a.header, "X-Rate-Limit-Reset")
			}
			v, err := s.Order("acme", "SO-1")
			require.NoError(t, err)
			require.Equal(t, c.commits, len(v.Fulfillments) == 1)
			require.Equal(t, map[string]int64{string(c.kind): 1}, s.Stats().Faults)
			require.Equal(t, 201, s.do("POST", "/fulfillments", fulfilment(o, "packed", "T", "1")).status, "once is enough")
		})
	}
}

func TestPagesGoWrong(t *testing.T) {
	s := stocked(t)
	for i := range 7 {
		s.clock.Pass(time.Second)
		s.order(fmt.Sprintf("SO-%d", i), "RED-S:1")
	}
	page := func(n int, want ...any) {
		t.Helper()
		require.Equal(t, want, s.get(fmt.Sprintf("/orders?limit=3&page=%d&order=updated_at+asc&status[]=finalized", n)).column("orders", "order_number"))
	}
	require.NoError(t, s.Inject(simulator.Fault{Kind: simulator.RepeatedPage, Route: "orders_index", Count: 1}))
	page(1, "SO-0", "SO-1", "SO-2") // the first page is what it is
	page(2, "SO-0", "SO-1", "SO-2")
	page(2, "SO-3", "SO-4", "SO-5")
	require.NoError(t, s.Inject(simulator.Fault{Kind: simulator.ShiftedPage, Route: "orders_index", Count: 1}))
	page(3, "SO-5", "SO-6")
	page(3, "SO-6")
	require.Equal(t, map[string]int64{"repeated_page": 1, "shifted_page": 1}, s.Stats().Faults)
}

func TestFaultRoutes(t *testing.T) {
	s := stocked(t)
	require.Error(t, s.Inject(simulator.Fault{Kind: "gremlin", Route: "*"}))
	require.Error(t, s.Inject(simulator.Fault{Kind: simulator.Fail503, Route: "order_index"}))
	require.Error(t, s.Inject(simulator.Fault{Kind: simulator.Fail503, Route: "*", Rate: 2}))
	for _, route := range []string{"orders_index", "order_member", "line_items", "fulfillments_create", "fulfillments_update", "fulfillments_index",
		"variants", "stock_adjustments_create", "token", "*"} {
		require.NoError(t, s.Inject(simulator.Fault{Kind: simulator.Fail503, Route: route, Count: 1}), route)
	}
	require.Len(t, s.Faults(), 10)
	s.ClearFaults()
	require.NoError(t, s.Inject(simulator.Fault{Kind: simulator.Fail503, Route: "line_items", Skip: 1, Count: 1, Account: "acme", Method: "get"}))
	status := func() int { return s.do("GET", "/order_line_items", "").status }
	require.Equal(t, []int{200, 503, 200}, []int{status(), status(), status()})

	dice := func() []int {
		s := stocked(t)
		require.NoError(t, s.Inject(simulator.Fault{Kind: simulator.Fail503, Route: "*", Rate: 0.5}))
		var out []int
		for range 40 {
			out = append(out, s.do("GET", "/orders", "").status)
		}
		return out
	}
	first := dice()
	require.Equal(t, first, dice(), "the dice are seeded")
	require.Contains(t, first, 200)
	require.Contains(t, first, 503)
	stats := s.Stats()
	require.Equal(t, int64(3), stats.ByRoute["line_items_index"])
	require.Equal(t, int64(1), stats.ByStatus[503])
}

func TestSlowEndsWithTheClient(t *testing.T) {
	s := stocked(t)
	require.NoError(t, s.Inject(simulator.Fault{Kind: simulator.Slow, Route: "*", Delay: time.Hour}))
	s.stand.Client.Timeout = 20 * time.Millisecond
	_, err := s.try("GET", "/orders", "")
	require.Error(t, err) // and the server closes at the end of the test
}

func journalled(t *testing.T, path string, c *simtest.Clock) *shop {
	cfg := config(c)
	cfg.Journal = path
	return start(t, cfg, c)
}

func TestJournal(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "journal"), newClock()
	s := journalled(t, path, c)
	s.variant("RED-S", "10")
	s.variant("RED-M", "5")
	_, err := s.AddVariant("acme", simulator.NewVariant{SKU: "KIT", Components: []simulator.NewComponent{{SKU: "RED-M", Quantity: "2"}}})
	require.NoError(t, err)
	one := s.order("SO-1", "RED-S:2", "KIT:1")
	s.order("SO-2", "RED-S:1")
	require.NoError(t, s.Void("acme", "SO-2"))
	draft := s.order("SO-3", "RED-S:1")
	require.NoError(t, s.Revert("acme", "SO-3"))
	require.Equal(t, 204, s.do("DELETE", fmt.Sprintf("/order_line_items/%d", draft.Lines[1].ID), "").status)
	require.Equal(t, 201, s.do("POST", "/fulfillments", fulfilment(one, "fulfilled", "T1", "1", "1"), "Idempotency-Key", "k").status)
	require.Equal(t, 201, s.do("POST", "/fulfillments", fulfilment(one, "packed", "T2", "1")).status)
	require.Equal(t, 201, s.do("POST", "/webhooks", `{"webhook":{"event":"order.finalized","address":"http://127.0.0.1:1/x"}}`).status)
	token := s.do("POST", "/oauth/token", `{"client_id":"app","client_secret":"app-secret","refresh_token":"first-refresh","grant_type":"refresh_token"}`)
	require.Equal(t, 200, token.status)

	state := func(s *shop) []string {
		var out []string
		for _, path := range []string{"/orders?status=finalized,active,void", "/order_line_items", "/fulfillments", "/variants", "/stock_levels", "/addresses",
			"/companies", "/products", "/locations", "/webhooks", "/variants/composition", "/accounts/current", "/orders/available_identifiers"} {
			out = append(out, s.get(path).raw)
		}
		return out
	}
	before := state(s)
	// Another process reads what a kill would have left: the first one is not closed yet.
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	torn := filepath.Join(t.TempDir(), "torn")
	require.NoError(t, os.WriteFile(torn, append(left, `{"a":"acme","o":[["order",{"id":`...), 0o600))
	again := journalled(t, torn, c)
	require.Equal(t, before, state(again))
	require.Equal(t, 409, again.do("POST", "/fulfillments", fulfilment(one, "packed", "T", "1"), "Idempotency-Key", "k").status)
	again.token = token.body["access_token"].(string)
	require.Equal(t, 200, again.do("GET", "/orders", "").status)
	require.Equal(t, 401, again.do("POST", "/oauth/token", `{"client_id":"app","client_secret":"app-secret","refresh_token":"first-refresh","grant_type":"refresh_token"}`).status)

	compact, err := os.ReadFile(torn)
	require.NoError(t, err)
	require.Less(t, len(compact), len(left))
	views, err := again.AddOrders("acme", []simulator.NewOrder{{Number: "SO-1"}, {Number: "SO-4", Lines: []simulator.NewLine{{SKU: "RED-S", Quantity: "1"}}}}, true)
	require.NoError(t, err)
	require.Equal(t, one.ID, views[0].ID, "an order that is there stays")
	require.Greater(t, views[1].ID, draft.ID, "ids are not dealt twice")
	require.Greater(t, views[1].Lines[0].ID, draft.Lines[1].ID)
	third := start(t, func() simulator.Config { cfg := config(c); cfg.Journal = torn; return cfg }(), c)
	orders, err := third.Orders("acme")
	require.NoError(t, err)
	require.Len(t, orders, 4)
}

func TestJournalRefusesWhatItCannotRead(t *testing.T) {
	for name, text := range map[string]string{
		"unknown account": `{"a":"nobody","o":[]}` + "\n",
		"unknown kind":    `{"a":"acme","o":[["dream",{}]]}` + "\n",
		"broken inside":   `{"a":"acme","o":[["order",` + "\n" + `{"a":"acme","o":[]}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			cfg := config(newClock())
			cfg.Journal = path
			_, err := simulator.New(cfg)
			require.ErrorContains(t, err, "line 1")
		})
	}
}

func TestSameSeedSameAnswers(t *testing.T) {
	play := func() []string {
		s := stocked(t)
		o := s.order("SO-1", "RED-S:2")
		a := s.do("POST", "/fulfillments", fulfilment(o, "packed", "T", "1"))
		b := s.do("POST", "/oauth/token", `{"client_id":"app","client_secret":"app-secret","refresh_token":"first-refresh","grant_type":"refresh_token"}`)
		return []string{a.raw, b.raw, a.header.Get("X-Request-Id"), s.get("/orders").raw}
	}
	require.Equal(t, play(), play())
}

func TestWebhooks(t *testing.T) {
	type call struct {
		signed bool
		body   map[string]any
		id     string
	}
	calls := make(chan call, 10)
	var status atomic.Int64
	status.Store(http.StatusInternalServerError)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("app-secret"))
		mac.Write(data)
		got := call{signed: r.Header.Get("X-Gecko-Signature") == base64.StdEncoding.EncodeToString(mac.Sum(nil)), id: r.Header.Get("X-Gecko-Delivery")}
		_ = json.Unmarshal(data, &got.body)
		w.WriteHeader(int(status.Swap(http.StatusOK)))
		calls <- got
	}))
	defer receiver.Close()
	s := stocked(t)
	require.NoError(t, s.SetBehaviour(simulator.Behaviour{WebhookRetry: time.Millisecond}))
	hook := func(event string) answer {
		return s.do("POST", "/webhooks", fmt.Sprintf(`{"webhook":{"event":%q,"address":%q}}`, event, receiver.URL))
	}
	require.Equal(t, 422, hook("order.update").status)
	require.Equal(t, 201, hook("fulfillment.create").status)
	o := s.order("SO-1", "RED-S:2")
	made := s.do("POST", "/fulfillments", fulfilment(o, "packed", "T", "1"))
	first, second := <-calls, <-calls
	require.True(t, first.signed)
	require.Equal(t, first, second, "a refused delivery comes again")
	require.Equal(t, "fulfillment.create", first.body["event"])
	require.InDelta(t, o.ID, first.body["order_id"], 0)
	require.Equal(t, fmt.Sprintf("https://api.tradegecko.com/fulfillments/%.0f.json", made.object("fulfillment")["id"]), first.body["resource_url"])
	status.Store(http.StatusGone)
	s.do("POST", "/fulfillments", fulfilment(o, "packed", "T", "1"))
	<-calls
	require.Eventually(t, func() bool { return len(s.get("/webhooks").list("webhooks")) == 0 }, 5*time.Second, time.Millisecond, "410 deletes the webhook")
}

func TestControl(t *testing.T) {
	s := open(t)
	call := func(method, path, body string, want int) string {
		t.Helper()
		return string(s.stand.Control(want, method, path, body))
	}
	call("POST", "/accounts/acme/locations", `{"label":"Overflow"}`, 200)
	call("POST", "/accounts/acme/variants", `{"sku":"RED-S","upc":"012345678905","stock":[{"on_hand":"10"},{"location":"Overflow","on_hand":"2"}]}`, 200)
	call("POST", "/accounts/acme/variants", `{"sku":"RED-S","if_absent":true}`, 200)
	batch := `{"if_absent":true,"orders":[{"number":"SO-1","status":"draft","ship_method":"Ground","lines":[{"sku":"RED-S","quantity":"3"}],"address":{"address1":"1 High St"}}]}`
	require.Contains(t, call("POST", "/accounts/acme/orders", batch, 200), `"status":"draft"`)
	call("POST", "/accounts/acme/orders", batch, 200)
	call("POST", "/accounts/acme/orders", `{"number":"SO-2","lines":[{"sku":"RED-S","quantity":"1"}],"address":{"address1":"2 High St"}}`, 200)
	call("POST", "/accounts/acme/orders/SO-1/edit", `{"sku":"RED-S","quantity":"2"}`, 200)
	require.Contains(t, call("POST", "/accounts/acme/orders/SO-1/finalize", "", 200), `"status":"finalized"`)
	require.Contains(t, call("POST", "/accounts/acme/orders/SO-1/pack", `{"units":[{"sku":"RED-S","quantity":"1"}]}`, 200), `"packed_status":"partial"`)
	call("POST", "/accounts/acme/orders/SO-1/pack", "", 200)
	call("POST", "/accounts/acme/orders/SO-2/address", `{"address1":"3 High St"}`, 200)
	require.Contains(t, call("POST", "/accounts/acme/orders/SO-2/void", "", 200), `"status":"void"`)
	call("POST", "/accounts/acme/orders/SO-2/void", "", 400)
	require.Contains(t, call("GET", "/accounts/acme/orders", "", 200), `"number":"SO-2"`)
	require.Contains(t, call("GET", "/accounts/acme/orders/SO-1", "", 200), `"packed":"2"`)
	call("PUT", "/accounts/acme/stock/RED-S", `{"on_hand":"7.5"}`, 200)
	require.Contains(t, call("GET", "/accounts/acme/stock", "", 200), `"on_hand":"7.5","committed":"2","available":"5.5"`)
	call("POST", "/accounts/acme/variants/RED-S/archive", "", 200)
	require.Empty(t, s.get("/variants").list("variants"))
	call("POST", "/faults", `{"kind":"503","route":"orders_index","count":1,"delay_text":"5ms"}`, 200)
	require.Contains(t, call("GET", "/faults", "", 200), `"kind":"503"`)
	require.Equal(t, 503, s.do("GET", "/orders", "").status)
	call("POST", "/faults", `{"kind":"nothing","route":"*"}`, 400)
	call("DELETE", "/faults", "", 200)
	require.Contains(t, call("PATCH", "/behaviour", `{"list_shows_void":true}`, 200), `"list_shows_void":true`)
	require.Contains(t, call("GET", "/stats", "", 200), `"503":1`)
	call("POST", "/skip-ids", `{"above":9007199254740993}`, 200)
	big := call("POST", "/accounts/acme/orders", `{"number":"SO-3","lines":[{"sku":"RED-S","quantity":"1"}],"address":{"address1":"4 High St"}}`, 200)
	require.Contains(t, big, `"id":9007199254740994`)
	require.Contains(t, call("POST", "/accounts/acme/orders/SO-3/ship", `{"tracking_number":"EX1"}`, 200), `"tracking_number":"EX1"`)
	call("POST", "/accounts/acme/orders/SO-3/ship", "", 400)
	call("POST", "/accounts/acme/expire-tokens", "", 200)
	call("GET", "/accounts/nobody/orders", "", 400)
	call("POST", "/accounts/acme/orders", `{`, 400)
}
