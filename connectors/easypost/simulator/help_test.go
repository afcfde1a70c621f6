package simulator

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors/simkit/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClock() *simtest.Clock { return simtest.NewClock(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)) }

// world is a simulator behind real HTTP.
type world struct {
	*simtest.Stand
	t     testing.TB
	sim   *Simulator
	clock *simtest.Clock
	cfg   Config
}

const (
	tote = "0700000000017"
	mug  = "0700000000024"
	full = "/fulfillment/vendor/v2"
)

func testConfig(c *simtest.Clock) Config {
	return Config{Seed: 7, Keys: Keys{Production: "live-key", Test: "test-key"}, Clock: c.Now}
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	c := newClock()
	cfg := testConfig(c)
	for _, f := range change {
		f(&cfg)
	}
	w := &world{t: t, clock: c, cfg: cfg}
	w.start()
	t.Cleanup(func() { w.Stop() })
	return w
}

func (w *world) start() {
	var err error
	w.sim, err = New(w.cfg)
	require.NoError(w.t, err)
	w.Stand = simtest.Start(w.t, w.sim)
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
	req, err := http.NewRequest(method, w.URL()+path, r)
	require.NoError(w.t, err)
	if key != "" {
		req.SetBasicAuth(key, "")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return w.send(req)
}

func (w *world) send(req *http.Request) (answer, error) {
	got, err := w.Do(req)
	if err != nil {
		return answer{}, err
	}
	return decoded(got.Status, got.Header, got.Raw), nil
}

func decoded(status int, header http.Header, raw []byte) answer {
	a := answer{status: status, header: header, raw: raw}
	_ = json.Unmarshal(raw, &a.body) // some bodies are broken on purpose
	return a
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
	return decoded(status, nil, w.Control(status, method, path, body))
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
