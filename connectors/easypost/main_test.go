package easypost

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey  = "EZTKsecretfortests"
	fulfil   = "/fulfillment/vendor/v2"
	testID   = "order_00000000000000000000000000000b01"
	toteCode = "0700000000017"
	capCode  = "0700000000024"
)

// request is what the vendor saw.
type request struct {
	method, path string
	query        map[string][]string
	header       http.Header
	body         []byte
	length       int64
	chunked      bool
}

// vendor is a scripted server. Answers are chosen by "METHOD /path" below the
// fulfillment base, or by the whole path.
type vendor struct {
	t      *testing.T
	server *httptest.Server
	mu     sync.Mutex
	seen   []request
	routes map[string]http.HandlerFunc
	log    vendortest.Log
}

func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{t: t, routes: make(map[string]http.HandlerFunc)}
	v.server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.server.Close)
	return v
}

func (v *vendor) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.Path, fulfil)
	v.mu.Lock()
	v.seen = append(v.seen, request{r.Method, path, r.URL.Query(), r.Header, body, r.ContentLength, len(r.TransferEncoding) > 0})
	route := v.routes[r.Method+" "+path]
	v.mu.Unlock()
	if route == nil {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":{"code":"NOT_FOUND","message":"no such thing"}}`)
		return
	}
	route(w, r)
}

func (v *vendor) on(route string, h http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.routes[route] = h
}

func (v *vendor) requests(route string) []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []request
	for _, r := range v.seen {
		if route == "" || r.method+" "+r.path == route {
			out = append(out, r)
		}
	}
	return out
}

// says answers with the status and body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func (v *vendor) open(settings connectors.Values) *connection {
	v.t.Helper()
	return v.openWith(settings, connectors.Credentials{"test_key": testKey})
}

func (v *vendor) openWith(settings connectors.Values, credentials connectors.Credentials) *connection {
	v.t.Helper()
	all := connectors.Values{"requests_per_second": "1000"}
	maps.Copy(all, settings)
	c := vendortest.Open(v.t, Connector(), connectors.Config{
		BaseURL: v.server.URL + fulfil + "/", Mode: relay.ModeTest, Settings: all, Log: v.log.Logger(),
	}, credentials).(*connection)
	c.client.backoff.First = time.Millisecond
	return c
}

func basicAuth() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(testKey+":"))
}

func kiln() relay.Address {
	yes := true
	return relay.Address{
		Name: "Kiln Supply", Street1: "500 Sample Ave", Street2: "Unit 4", City: "Springfield", State: "IL",
		Zip: "62701", Country: "US", Email: "ops@example.test", Residential: &yes,
	}
}

func anOrder() connectors.WarehouseOrder {
	return connectors.WarehouseOrder{
		Token: "8f3c1e77abcdefgh", Reference: "1042", Number: "shop #1042", ShipTo: kiln(),
		Items: []relay.Item{{Code: toteCode, Units: 2}, {Code: capCode, Units: 1}},
	}
}

func prepared(t *testing.T, c *connection) connectors.Prepared {
	t.Helper()
	p, err := c.PrepareOrder(anOrder())
	require.NoError(t, err)
	return p
}

// doc renders JSON for a script.
func doc(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

type obj = map[string]any
type arr = []any

// requireSafe fails if an error or the log holds a secret or an address.
func requireSafe(t *testing.T, v *vendor, err error) {
	t.Helper()
	v.log.RequireSafe(t, err, testKey, base64.StdEncoding.EncodeToString([]byte(testKey+":")), "Kiln", "500 Sample", "62701", "ops@example")
}
