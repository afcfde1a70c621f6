package simulator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a hand-moved time.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a simulator behind real HTTP.
type world struct {
	t       testing.TB
	sim     *Simulator
	clock   *clock
	vendor  *httptest.Server
	control *httptest.Server
	client  *http.Client
	cfg     Config
}

const (
	tote = "0700000000017"
	mug  = "0700000000024"
	full = "/fulfillment/vendor/v2"
)

func testConfig(c *clock) Config {
	return Config{Seed: 7, Keys: Keys{Production: "live-key", Test: "test-key"}, Clock: c.now}
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	c := newClock()
	cfg := testConfig(c)
	for _, f := range change {
		f(&cfg)
	}
	w := &world{t: t, clock: c, cfg: cfg}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	var err error
	w.sim, err = New(w.cfg)
	require.NoError(w.t, err)
	w.vendor, w.control = httptest.NewServer(w.sim.Handler()), httptest.NewServer(w.sim.Control())
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
}

func (w *world) stop() {
	w.client.CloseIdleConnections()
	require.NoError(w.t, w.sim.Close())
	w.vendor.Close()
	w.control.Close()
}

func (w *world) stocked() *world {
	w.sim.AddProduct(tote, "Canvas tote, olive")
	w.sim.AddProduct(mug, "Mug")
	require.NoError(w.t, w.sim.SetStock(tote, "EAST", 10))
	require.NoError(w.t, w.sim.SetStock(mug, "WEST", 5))
	return w
}

type obj = map[string]any

// answer is a decoded reply.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   obj
}

func (a answer) list(name string) []obj {
	var out []obj
	xs, _ := a.body[name].([]any)
	for _, x := range xs {
		out = append(out, x.(obj))
	}
	return out
}

func (a answer) str(name string) string { s, _ := a.body[name].(string); return s }

func (a answer) code() string {
	for _, key := range []string{"errors", "error"} {
		if e, ok := a.body[key].(obj); ok {
			return e["code"].(string)
		}
	}
	return ""
}

func (a answer) fields() []string {
	var out []string
	e, _ := a.body["errors"].(obj)
	xs, _ := e["errors"].([]any)
	for _, x := range xs {
		out = append(out, x.(obj)["field"].(string))
	}
	return out
}

func (w *world) try(key, method, path string, body any) (answer, error) {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(w.t, err)
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, w.vendor.URL+path, r)
	require.NoError(w.t, err)
	if key != "" {
		req.SetBasicAuth(key, "")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return do(w.client, req)
}

func do(client *http.Client, req *http.Request) (answer, error) {
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: raw}
	_ = json.Unmarshal(raw, &a.body) // some bodies are broken on purpose
	return a, nil
}

func (w *world) call(method, path string, body any) answer {
	w.t.Helper()
	a, err := w.try("live-key", method, path, body)
	require.NoError(w.t, err)
	return a
}

func (w *world) must(status int, method, path string, body any) answer {
	w.t.Helper()
	a := w.call(method, path, body)
	require.Equal(w.t, status, a.status, "%s %s: %s", method, path, a.raw)
	return a
}

func (w *world) ctl(status int, method, path string, body any) answer {
	w.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(w.t, err)
	if body == nil {
		raw = nil
	}
	req, err := http.NewRequest(method, w.control.URL+path, bytes.NewReader(raw))
	require.NoError(w.t, err)
	a, err := do(w.client, req)
	require.NoError(w.t, err)
	require.Equal(w.t, status, a.status, "%s %s: %s", method, path, a.raw)
	return a
}

func item(barcode string, units any) obj {
	return obj{"product": obj{"barcode": barcode}, "units": units}
}

// draft is a good order, changed by edits.
func draft(edits ...func(obj)) obj {
	o := obj{
		"service": "standard", "description": "relay:8f3c1e77 shop #1042",
		"destination": obj{"name": "Kiln Supply", "street1": "500 Sample Ave", "city": "Springfield",
			"state": "IL", "zip": "62701", "country": "US"},
		"line_items": []any{item(tote, 2)},
	}
	for _, edit := range edits {
		edit(o)
	}
	return o
}

func set(name string, v any) func(obj) { return func(o obj) { o[name] = v } }
func without(name string) func(obj)    { return func(o obj) { delete(o, name) } }
func lines(items ...any) func(obj)     { return set("line_items", items) }
func to(name string, v any) func(obj) {
	return func(o obj) { o["destination"].(obj)[name] = v }
}

func (w *world) order(edits ...func(obj)) string {
	w.t.Helper()
	return w.must(201, "POST", full+"/orders", draft(edits...)).str("id")
}

func (w *world) behave(f func(*Behaviour)) {
	w.t.Helper()
	b := w.sim.Behaviour()
	f(&b)
	require.NoError(w.t, w.sim.SetBehaviour(b))
}
