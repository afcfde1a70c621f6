package simulator

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/simkit/simtest"
)

func TestJournalBringsEverythingBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	w := newWorld(t, func(c *Config) {
		c.Journal = path
		c.Progress = Progress{ProcessAfter: time.Hour, ShipAfter: time.Hour}
	}).stocked()
	shipped, cancelled, open := w.order(lines(item(tote, 2))), w.order(lines(item(tote, 1))), w.order(lines(item(tote, 3), item(mug, 1)))
	require.NoError(t, w.sim.Ship(shipped))
	w.must(200, "DELETE", full+"/orders/"+cancelled, nil)
	gone := w.must(201, "POST", full+"/products", obj{"title": "x", "barcode": "gone"}).str("id")
	w.must(200, "DELETE", full+"/products/"+gone, nil)
	w.must(201, "POST", "/v2/webhooks", obj{"webhook": obj{"url": "http://127.0.0.1:1/hook", "webhook_secret": "s"}})
	address := w.must(201, "POST", "/v2/addresses", obj{"address": obj{"street1": "1 A St"}}).str("id")
	east := w.must(200, "GET", full+"/warehouses", nil).list("warehouses")[0]["id"]
	w.must(201, "POST", full+"/advanced_shipment_notices", obj{"warehouse_id": east})

	see := func() string {
		var all strings.Builder
		for _, p := range []string{full + "/orders", full + "/products", full + "/inventories", full + "/warehouses", "/v2/trackers",
			"/v2/webhooks", "/v2/addresses/" + address, full + "/advanced_shipment_notices", full + "/orders?query=8f3c1e77"} {
			all.Write(w.must(200, "GET", p, nil).raw)
		}
		for _, m := range modes() {
			fmt.Fprint(&all, w.sim.Orders(m), w.sim.Stock(m))
		}
		return all.String()
	}
	before := see()
	for range 2 { // once from the lines, once from the compacted file
		w.restart()
		require.Equal(t, before, see())
	}

	fresh := w.order()
	require.NotContains(t, before, fresh, "ids go on where they were")
	again := w.must(201, "POST", full+"/products", obj{"title": "x", "barcode": "again"}).str("id")
	require.NotEqual(t, gone, again)

	w.clock.Pass(150 * time.Minute)
	w.restart()
	o := w.must(200, "GET", full+"/orders/"+open, nil)
	require.Equal(t, "shipped", o.str("status"), "time went on while the process was down")
	require.EqualValues(t, newClock().Now().Add(2*time.Hour).Unix(), o.body["updated_at"], "at the time it was due")
}

func (w *world) restart() {
	simtest.Killed(w.t, w.cfg.Journal, w.Stop)
	w.start()
}

func TestUnwritableJournalIsNotHidden(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Journal = filepath.Join(t.TempDir(), "journal") }).stocked()
	require.NoError(t, w.sim.journal.Close(), "nothing can be written any more")
	for range 2 {
		require.Equal(t, "SIMULATOR.JOURNAL", w.must(500, "POST", full+"/orders", draft()).code())
	}
}

func TestJournalSurvivesATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	w := newWorld(t, func(c *Config) { c.Journal = path }).stocked()
	kept, torn := w.order(), w.order()
	raw, err := os.ReadFile(path)
	require.NoError(t, err, "answered changes are in the file before Close")
	require.Equal(t, byte('\n'), raw[len(raw)-1])

	for cut := 1; cut < 400; cut += 57 {
		require.NoError(t, os.WriteFile(path, raw[:len(raw)-cut], 0o600))
		sim, err := New(w.cfg)
		require.NoError(t, err)
		_, found := sim.Order(kept)
		require.True(t, found)
		_, found = sim.Order(torn)
		require.False(t, found)
		require.EqualValues(t, 2, sim.Stock(Production)[0].Reserved, "half an order promises nothing")
		require.NoError(t, sim.Close())
	}
}

func TestJournalRefusesWhatIsNotItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	cfg := testConfig(newClock())
	cfg.Journal = path
	sim, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, sim.Close())
	other := cfg
	other.Seed = 8
	_, err = New(other)
	require.ErrorContains(t, err, "other settings")

	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, line := range []string{"{\n", `{"mode":"odd"}` + "\n", `{"mode":"test","stock":[{"warehouse":9}]}` + "\n"} {
		require.NoError(t, os.WriteFile(path, append(raw[:len(raw):len(raw)], line...), 0o600))
		_, err = New(cfg)
		require.ErrorContains(t, err, "line", "damage in the middle is not passed over")
	}
}

func TestSameSeedSameAnswers(t *testing.T) {
	run := func(seed int64) string {
		w := newWorld(t, func(c *Config) { c.Seed = seed; c.Progress = Progress{PackagesEvery: 2} }).stocked()
		require.NoError(t, w.sim.Inject(Fault{Route: "create_order", Kind: Error503, Rate: 0.5}))
		var all strings.Builder
		for range 6 {
			a := w.call("POST", full+"/orders", draft(lines(item(tote, 1))))
			fmt.Fprintln(&all, a.status, string(a.raw), a.header.Get("X-Ep-Request-Uuid"))
		}
		for _, o := range w.sim.Orders(Production) {
			require.NoError(t, w.sim.Ship(o.ID))
		}
		all.Write(w.must(200, "GET", full+"/orders", nil).raw)
		all.Write(w.must(200, "GET", "/v2/trackers", nil).raw)
		return all.String()
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}

func TestTimedProgress(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Progress = Progress{ProcessAfter: time.Minute, ShipAfter: 2 * time.Minute, TransitAfter: time.Hour, DeliverAfter: time.Hour, PackagesEvery: 1}
	}).stocked()
	id := w.order(lines(item(tote, 7))) // the first of all is split in three, which leave apart
	see := func() (string, int, int) {
		o := w.must(200, "GET", full+"/orders/"+id, nil)
		return o.str("status"), len(o.list("picks")), len(o.list("trackers"))
	}
	expect := func(status string, picks, trackers int) {
		t.Helper()
		s, p, k := see()
		require.Equal(t, []any{status, picks, trackers}, []any{s, p, k})
	}
	expect("received", 0, 0)
	w.clock.Pass(time.Minute)
	expect("processing", 3, 0)
	w.clock.Pass(2 * time.Minute)
	expect("processing", 3, 1)
	w.clock.Pass(2 * time.Minute)
	expect("processing", 3, 2)
	w.clock.Pass(2 * time.Minute)
	expect("shipped", 3, 3)
	view := w.sim.Orders(Production)[0]
	require.EqualValues(t, 7, view.UnitsShipped)
	carriers := map[string]bool{}
	for _, p := range view.Packages {
		carriers[p.Carrier] = true
	}
	require.Len(t, carriers, 3)
	w.clock.Pass(3 * time.Hour)
	for _, tr := range w.must(200, "GET", "/v2/trackers", nil).list("trackers") {
		require.Equal(t, "delivered", tr["status"])
		require.Len(t, tr["tracking_details"], 3)
	}

	late := w.order()
	w.clock.Pass(time.Hour)
	w.must(422, "DELETE", full+"/orders/"+late, nil)
	require.NoError(t, w.sim.SetProgress(Progress{}))
	idle := w.order(lines(item(tote, 1)))
	w.clock.Pass(100 * time.Hour)
	require.Equal(t, "received", w.must(200, "GET", full+"/orders/"+idle, nil).str("status"))
	require.NoError(t, w.sim.SetProgress(Progress{ProcessAfter: time.Second}))
	require.Equal(t, "processing", w.must(200, "GET", full+"/orders/"+idle, nil).str("status"))
}

func TestProgressHappensUnasked(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Clock = nil
		c.Progress = Progress{ProcessAfter: time.Millisecond, ShipAfter: time.Millisecond}
	}).stocked()
	got := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct {
			Description string
			Result      struct{ Status string }
		}
		_ = json.NewDecoder(r.Body).Decode(&e)
		got <- e.Description + " " + e.Result.Status
	}))
	defer hook.Close()
	w.must(201, "POST", "/v2/webhooks", obj{"webhook": obj{"url": hook.URL}})
	w.order()
	for _, want := range []string{"fulfillment.order.created received", "fulfillment.order.updated processing",
		"fulfillment.order.updated shipped", "tracker.created pre_transit"} {
		select {
		case s := <-got:
			require.Equal(t, want, s)
		case <-time.After(10 * time.Second):
			t.Fatal("no " + want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		kind    FaultKind
		commits bool
		check   func(t *testing.T, a answer, err error)
	}{
		{CommitThenTimeout, true, func(t *testing.T, a answer, err error) { require.Error(t, err) }},
		{CommitThenDrop, true, func(t *testing.T, a answer, err error) { require.Error(t, err) }},
		{CommitThen500, true, func(t *testing.T, a answer, err error) { require.Equal(t, 500, a.status) }},
		{CommitThen502, true, func(t *testing.T, a answer, err error) { require.Equal(t, "text/html", a.header.Get("Content-Type")) }},
		{CommitThen200, true, func(t *testing.T, a answer, err error) {
			require.Equal(t, 200, a.status)
			require.Contains(t, string(a.raw), "<h1>Down for maintenance</h1>")
		}},
		{BrokenJSON, true, func(t *testing.T, a answer, err error) {
			require.Equal(t, 201, a.status)
			require.False(t, json.Valid(a.raw))
		}},
		{Empty2xx, true, func(t *testing.T, a answer, err error) { require.Equal(t, 201, a.status); require.Empty(t, a.raw) }},
		{TimeoutNoCommit, false, func(t *testing.T, a answer, err error) { require.Error(t, err) }},
		{Error500, false, func(t *testing.T, a answer, err error) { require.Equal(t, 500, a.status) }},
		{Error503, false, func(t *testing.T, a answer, err error) { require.Equal(t, 503, a.status) }},
		{Error429, false, func(t *testing.T, a answer, err error) {
			require.Equal(t, 429, a.status)
			require.Equal(t, "1", a.header.Get("Retry-After"))
		}},
		{Error429Bare, false, func(t *testing.T, a answer, err error) {
			require.Equal(t, 429, a.status)
			require.NotContains(t, a.header, "Retry-After")
		}},
		{HTML502, false, func(t *testing.T, a answer, err error) { require.Equal(t, 502, a.status) }},
		{HTML200, false, func(t *testing.T, a answer, err error) { require.Equal(t, 200, a.status) }},
		{Redirect, false, func(t *testing.T, a answer, err error) {
			require.Equal(t, 307, a.status)
			require.Empty(t, a.raw)
		}},
		{WordsQuoted, false, func(t *testing.T, a answer, err error) {
			require.Equal(t, 400, a.status)
			require.Contains(t, a.body["errors"].(obj)["message"], `"line_items"`)
		}},
		{ResetBefore, false, func(t *testing.T, a answer, err error) { require.ErrorContains(t, err, "reset") }},
		{Error401, false, func(t *testing.T, a answer, err error) { require.Equal(t, 401, a.status) }},
		{Error402, false, func(t *testing.T, a answer, err error) { require.Equal(t, 402, a.status) }},
		{Error403, false, func(t *testing.T, a answer, err error) { require.Equal(t, 403, a.status) }},
		{Slow, true, func(t *testing.T, a answer, err error) { require.Equal(t, 201, a.status) }},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			w := newWorld(t).stocked()
			require.NoError(t, w.sim.Inject(Fault{Route: "create_order", Kind: c.kind, Delay: 20 * time.Millisecond}))
			w.must(200, "GET", full+"/orders", nil) // another route: untouched
			a, err := w.try("live-key", "POST", full+"/orders", draft())
			c.check(t, a, err)
			require.Equal(t, c.commits, len(w.sim.Orders(Production)) == 1)
			require.EqualValues(t, 1, w.sim.Stats().Faults[string(c.kind)])
			w.order() // once only
		})
	}
}

func TestFaultOutlastsNoClient(t *testing.T) {
	w := newWorld(t).stocked()
	require.NoError(t, w.sim.Inject(Fault{Route: "*", Kind: CommitThenTimeout, Delay: time.Minute}))
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", w.URL()+full+"/orders", strings.NewReader(`{}`))
	require.NoError(t, err)
	req.SetBasicAuth("live-key", "")
	_, err = w.send(req)
	require.ErrorIs(t, err, context.DeadlineExceeded) // and stop() returns, which waits for the handler
}

func TestFaultCountSkipRateAndClear(t *testing.T) {
	w := newWorld(t)
	statuses := func(n int) (out []int) {
		for range n {
			out = append(out, w.call("GET", full+"/orders", nil).status)
		}
		return out
	}
	require.NoError(t, w.sim.Inject(Fault{Route: "list_orders", Kind: Error503, Count: 2, Skip: 1}))
	require.Equal(t, []int{200, 503, 503, 200}, statuses(4))
	require.NoError(t, w.sim.Inject(Fault{Route: "*", Kind: Error503, Rate: 0.5}))
	hits := 0
	for _, s := range statuses(200) {
		if s == 503 {
			hits++
		}
	}
	require.InDelta(t, 100, hits, 35)
	w.sim.ClearFaults()
	require.Equal(t, []int{200, 200}, statuses(2))
	for _, f := range []Fault{{Route: "x", Kind: Slow}, {Route: "*", Kind: "x"}, {Route: "*", Kind: Slow, Rate: 2}, {Route: "*", Kind: Slow, Mode: "x"}} {
		require.Error(t, w.sim.Inject(f))
	}
	require.NoError(t, w.sim.Inject(Fault{Route: "*", Kind: Error503, Mode: Test}))
	require.Equal(t, []int{200}, statuses(1))
}

func TestTrackersOfTheShippingAPI(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order()
	require.NoError(t, w.sim.Ship(id, Package{Carrier: "USPS", TrackingCode: "9400X"}))
	fulfilled := w.must(200, "GET", full+"/orders/"+id, nil).list("trackers")[0]
	tr := w.must(200, "GET", "/v2/trackers/"+fulfilled["id"].(string), nil)
	require.Equal(t, "2026-01-05T10:00:00Z", tr.str("created_at"))
	require.Equal(t, "pre_transit", tr.str("status"))
	same := w.must(200, "POST", "/v2/trackers", obj{"tracker": obj{"tracking_code": "9400X", "carrier": "USPS"}})
	require.Equal(t, fulfilled["id"], same.str("id"), "a repeated pair is the same tracker")
	for code, status := range map[string]string{"EZ1000000001": "pre_transit", "EZ4000000004": "delivered", "1Z999": "unknown"} {
		require.Equal(t, status, w.must(201, "POST", "/v2/trackers", obj{"tracker": obj{"tracking_code": code}}).str("status"))
	}
	w.must(422, "POST", "/v2/trackers", obj{"tracker": obj{}})
	require.NoError(t, w.sim.StepTracker(same.str("id"), ""))
	require.NoError(t, w.sim.StepTracker(same.str("id"), ""))
	require.Error(t, w.sim.StepTracker(same.str("id"), ""), "delivered is the end")
	require.Error(t, w.sim.StepTracker(same.str("id"), "lost in space"))
	require.NoError(t, w.sim.StepTracker(same.str("id"), "return_to_sender"))
	require.Equal(t, "return_to_sender", w.must(200, "GET", full+"/orders/"+id, nil).list("trackers")[0]["status"])

	seen := map[string]bool{}
	before := ""
	for range 10 {
		a := w.must(200, "GET", "/v2/trackers?page_size=3&before_id="+before, nil)
		for _, x := range a.list("trackers") {
			before = x["id"].(string)
			require.False(t, seen[before])
			seen[before] = true
		}
		if a.body["has_more"] == false {
			break
		}
	}
	require.Len(t, seen, 4)
	require.Len(t, w.must(200, "GET", "/v2/trackers?tracking_code=9400X&carrier=usps", nil).list("trackers"), 1)
	require.Empty(t, w.must(200, "GET", "/v2/trackers?start_datetime=2026-01-06T00:00:00Z", nil).list("trackers"))
	w.must(422, "GET", "/v2/trackers?end_datetime=yesterday", nil)
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	good := obj{"name": "Kiln Supply", "street1": "500 Sample Ave", "street2": "Unit 4", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}
	bad := obj{"street1": "000 unknown street", "city": "Not A City", "state": "ZZ", "zip": "00001", "country": "US"}
	plain := w.must(201, "POST", "/v2/addresses", obj{"address": good})
	require.Equal(t, obj{}, plain.body["verifications"])
	require.Equal(t, "500 Sample Ave", plain.str("street1"))

	a := w.must(201, "POST", "/v2/addresses", obj{"address": good, "verify": []string{"delivery"}})
	require.Equal(t, "500 SAMPLE AVE UNIT 4", a.str("street1"))
	require.Regexp(t, `^62701-\d{4}$`, a.str("zip"))
	require.Equal(t, true, a.body["residential"])
	require.Equal(t, true, a.body["verifications"].(obj)["delivery"].(obj)["success"])

	a = w.must(201, "POST", "/v2/addresses", obj{"address": bad, "verify": []string{"delivery"}})
	require.Equal(t, false, a.body["verifications"].(obj)["delivery"].(obj)["success"])
	for _, call := range []func() answer{
		func() answer {
			return w.must(422, "POST", "/v2/addresses", obj{"address": bad, "verify_strict": []string{"true"}})
		},
		func() answer { return w.must(422, "POST", "/v2/addresses/create_and_verify", obj{"address": bad}) },
		func() answer { return w.must(422, "GET", "/v2/addresses/"+a.str("id")+"/verify", nil) },
	} {
		require.Equal(t, "ADDRESS.VERIFY.FAILURE", call().code())
	}
	v := w.must(200, "GET", "/v2/addresses/"+plain.str("id")+"/verify", nil)
	require.Equal(t, "SPRINGFIELD", v.body["address"].(obj)["city"])
	w.must(404, "GET", "/v2/addresses/adr_0", nil)
	w.must(422, "POST", "/v2/addresses", obj{})
}

// inbox is a webhook receiver.
type inbox struct {
	*httptest.Server
	mu     sync.Mutex
	ids    []string
	bodies []obj
	refuse int // answers 500 so often first
	signed bool
}

func newInbox(t *testing.T, secret string) *inbox {
	in := &inbox{signed: true}
	in.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(raw)
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.refuse > 0 {
			in.refuse--
			rw.WriteHeader(500)
			return
		}
		in.signed = in.signed && r.Header.Get("X-Hmac-Signature") == "hmac-sha256-hex="+hex.EncodeToString(mac.Sum(nil))
		var e obj
		_ = json.Unmarshal(raw, &e)
		in.ids = append(in.ids, e["id"].(string))
		in.bodies = append(in.bodies, e)
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) have(n int) func() bool {
	return func() bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		return len(in.ids) >= n
	}
}

func TestWebhooks(t *testing.T) {
	w := newWorld(t).stocked()
	in := newInbox(t, "secret")
	in.refuse = 1
	h := w.must(201, "POST", "/v2/webhooks", obj{"webhook": obj{"url": in.URL}})
	require.Regexp(t, "^hook_", h.str("id"))
	w.must(201, "PATCH", "/v2/webhooks/"+h.str("id"), obj{"webhook": obj{"webhook_secret": "secret"}})
	require.NotContains(t, string(w.must(200, "GET", "/v2/webhooks", nil).raw), "secret")
	w.must(422, "POST", "/v2/webhooks", obj{"webhook": obj{}})

	id := w.order()
	require.NoError(t, w.sim.Step(id))
	require.NoError(t, w.sim.Ship(id))
	require.Eventually(t, in.have(4), 10*time.Second, 5*time.Millisecond)
	in.mu.Lock()
	require.True(t, in.signed)
	shipped := in.bodies[2]
	in.mu.Unlock()
	require.Equal(t, "fulfillment.order.updated", shipped["description"])
	require.Equal(t, "production", shipped["mode"])
	require.Equal(t, obj{"status": "processing"}, shipped["previous_attributes"])
	require.Len(t, shipped["result"].(obj)["trackers"], 1)
	require.EqualValues(t, 1, w.sim.Stats().WebhooksFailed)

	w.must(200, "DELETE", "/v2/webhooks/"+h.str("id"), nil)
	w.must(404, "GET", "/v2/webhooks/"+h.str("id"), nil)
	sent := w.ctl(200, "POST", "/webhooks/send", obj{"subject": id, "last": 3, "url": in.URL, "secret": "secret", "copies": 2, "shuffle": true})
	require.Len(t, sent.list("deliveries"), 6)
	in.mu.Lock()
	require.True(t, in.signed)
	counts := map[string]int{}
	for _, e := range in.ids[4:] {
		counts[e]++
	}
	in.mu.Unlock()
	require.Len(t, counts, 3)
	for _, n := range counts {
		require.Equal(t, 2, n)
	}
	w.ctl(404, "POST", "/webhooks/send", obj{"subject": "order_0", "url": in.URL})
	w.ctl(400, "POST", "/webhooks/send", obj{"subject": id, "url": "nowhere"})
}

func TestWebhookCopiesAndOrder(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Behaviour = Behaviour{WebhookCopies: 2, ReorderWebhooks: true, TrackersOn: TrackersOnGet}
	}).stocked()
	in := newInbox(t, "")
	in.signed = true
	w.must(201, "POST", "/v2/webhooks", obj{"webhook": obj{"url": in.URL}})
	id := w.order()
	require.NoError(t, w.sim.Ship(id))
	require.Eventually(t, in.have(6), 10*time.Second, 5*time.Millisecond)
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, e := range in.bodies {
		if e["description"] == "fulfillment.order.updated" {
			require.Empty(t, e["result"].(obj)["trackers"])
		}
	}
}

func TestControl(t *testing.T) {
	w := newWorld(t)
	w.ctl(201, "POST", "/products", obj{"barcode": tote, "title": "Tote"})
	w.ctl(400, "POST", "/products", obj{"title": "Tote"})
	w.ctl(200, "PUT", "/stock", obj{"barcode": tote, "warehouse": "west", "quantity": 4})
	w.ctl(404, "PUT", "/stock", obj{"barcode": tote, "warehouse": "moon", "quantity": 4})
	w.ctl(400, "PUT", "/stock", obj{"barcode": tote, "quantity": -1})
	w.ctl(400, "PUT", "/stock", obj{"barcod": tote})
	w.ctl(200, "PUT", "/stock", obj{"barcode": tote, "quantity": 1, "mode": "test"})
	id := w.order()
	require.Equal(t, "on_hold", w.ctl(200, "POST", "/orders/"+id+"/hold", nil).str("state"))
	require.Equal(t, "received", w.ctl(200, "POST", "/orders/"+id+"/release", nil).str("state"))
	require.Equal(t, "processing", w.ctl(200, "POST", "/orders/"+id+"/step", nil).str("state"))
	o := w.ctl(200, "POST", "/orders/"+id+"/ship", obj{"packages": []any{
		obj{"items": obj{tote: 1}, "carrier": "UPS", "tracking_code": "1Z1"}, obj{"carrier": "FedEx"}}})
	require.Equal(t, "shipped", o.str("state"))
	require.Len(t, o.list("packages"), 2)
	w.ctl(409, "POST", "/orders/"+id+"/cancel", nil)
	w.ctl(409, "POST", "/orders/"+id+"/close", nil)
	o = w.ctl(200, "POST", "/orders/"+id+"/relabel", obj{"tracking_code": "1Z1", "with": "1Z2"})
	require.Equal(t, "1Z2", o.list("packages")[0]["tracking_code"])
	w.ctl(404, "POST", "/orders/order_0/step", nil)
	w.ctl(200, "POST", "/trackers/"+o.list("packages")[0]["tracker_id"].(string)+"/step", obj{"status": "delivered"})
	require.Len(t, w.ctl(200, "GET", "/orders?state=shipped", nil).list("orders"), 1)
	require.Empty(t, w.ctl(200, "GET", "/orders?mode=test", nil).list("orders"))
	require.Equal(t, id, w.ctl(200, "GET", "/orders/"+id, nil).str("id"))

	w.ctl(201, "POST", "/faults", obj{"route": "*", "kind": "429", "retry_after": 7, "delay": "1s"})
	require.Equal(t, "7", w.call("GET", full+"/orders", nil).header.Get("Retry-After"))
	w.ctl(400, "POST", "/faults", obj{"route": "*", "kind": "nonsense"})
	w.ctl(200, "DELETE", "/faults", nil)

	b := w.ctl(200, "PUT", "/behaviour", obj{"one_based_pages": true, "list_delay": "3s", "statuses": obj{"shipped": "blorp"}})
	require.Equal(t, true, b.body["one_based_pages"])
	b = w.ctl(200, "PUT", "/behaviour", obj{"ignore_page": true})
	require.Equal(t, "3s", b.body["list_delay"], "unnamed switches stay")
	require.Equal(t, true, w.ctl(200, "GET", "/behaviour", nil).body["one_based_pages"])
	w.ctl(400, "PUT", "/behaviour", obj{"error_form": "riddle"})
	p := w.ctl(200, "PUT", "/progress", obj{"process_after": "5s", "packages_every": 3})
	require.Equal(t, "5s", p.body["process_after"])
	require.Equal(t, Progress{ProcessAfter: 5 * time.Second, PackagesEvery: 3}, w.sim.Progress())
	stats := w.ctl(200, "GET", "/stats", nil)
	require.EqualValues(t, 1, stats.body["requests"].(obj)["create_order"])
	require.EqualValues(t, 1, stats.body["faults"].(obj)["429"])
}

func TestConcurrentOrdersNeverOversell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	w := newWorld(t, func(c *Config) { c.Journal = path }).stocked()
	require.NoError(t, w.sim.SetStock(tote, "WEST", 40))
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]bool{}
	for range 8 {
		wg.Go(func() {
			for range 10 {
				a, err := w.try("live-key", "POST", full+"/orders", draft(lines(item(tote, 1))))
				if err == nil && a.status == 201 {
					mu.Lock()
					got[a.str("id")] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, got, 50, "10 and 40 were there")
	w.restart()
	require.Len(t, w.sim.Orders(Production), 50)
	require.EqualValues(t, 10, w.sim.Stock(Production)[0].Reserved)
}

func TestSplit(t *testing.T) {
	type answer struct {
		n     int
		apart bool
	}
	want := map[int64]answer{1: {1, false}, 2: {3, true}, 4: {2, false}, 6: {3, false}, 8: {2, true}, 10: {3, true}, 11: {1, false}}
	for order, w := range want {
		n, apart := split(order, 2)
		require.Equal(t, w, answer{n, apart}, "order %d", order)
	}
	o := &order{N: 1, Lines: []line{{"a", 1}, {"b", 4}}}
	require.Equal(t, []pick{{Items: []line{{"a", 1}}}, {Items: []line{{"b", 2}}}, {Items: []line{{"b", 2}}}}, plan(o, 1, time.Time{}))
	o.Lines = o.Lines[:1]
	require.Len(t, plan(o, 1, time.Time{}), 1, "a unit is not cut")
}

func BenchmarkCreateAndGet(b *testing.B) {
	for name, journal := range map[string]string{"memory": "", "journal": filepath.Join(b.TempDir(), "journal")} {
		b.Run(name, func(b *testing.B) { benchmarkCreateAndGet(b, journal) })
	}
}

// benchmarkCreateAndGet asks without a network, with 100,000 orders in the books.
func benchmarkCreateAndGet(b *testing.B, journal string) {
	const held = 100_000
	w := newWorld(b, func(c *Config) {
		c.Clock, c.Journal = nil, journal
		c.Progress = Progress{ProcessAfter: time.Hour, ShipAfter: time.Hour}
	}).stocked()
	require.NoError(b, w.sim.SetStock(tote, "EAST", 1<<40))
	handler := w.sim.Handler()
	raw, err := json.Marshal(draft())
	require.NoError(b, err)
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth("live-key", "")
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		return rec
	}
	for range held {
		ask("POST", full+"/orders", string(raw))
	}
	for b.Loop() {
		rec := ask("POST", full+"/orders", string(raw))
		var o struct{ ID string }
		if json.Unmarshal(rec.Body.Bytes(), &o) != nil || ask("GET", full+"/orders/"+o.ID, "").Code != 200 {
			b.Fatal(rec.Body.String())
		}
	}
}

func BenchmarkNewestPage(b *testing.B) {
	w := newWorld(b).stocked()
	require.NoError(b, w.sim.SetStock(tote, "EAST", 1<<40))
	for range 1000 {
		w.order()
	}
	for b.Loop() {
		w.must(200, "GET", full+"/orders?limit=50&per_page=50", nil)
	}
}
