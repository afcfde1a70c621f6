package bergen

import (
	"bytes"
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
	"orderferry/connectors/bergen/simulator/wsdl"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testPassword = "p&<ss>wordsecret"
	testUser     = "API_USER"
	testAddress  = "www.northwind-demo.example"
	teeUPC       = "840011200013"
	longUPC      = "840011200020"
	nj2          = "BERGEN LOGISTICS NJ2"
	nj3          = "BERGEN LOGISTICS NJ3"
	number       = "SO100245"
	prefixed     = "ACME1ASO100245"
)

func login0() connectors.Credentials {
	return connectors.Credentials{"web_address": testAddress, "user_name": testUser, "password": testPassword}
}

// request is what the vendor saw.
type request struct {
	operation string
	header    http.Header
	body      string
	length    int64
}

// reply answers one request.
type reply func(w http.ResponseWriter, r *http.Request)

// vendor is a scripted service. Each operation has its replies in turn; the last
// one stays. Every request must be valid against the WSDL.
type vendor struct {
	t      testing.TB
	server *httptest.Server
	mu     sync.Mutex
	seen   []request
	script map[string][]reply
	tokens int
	log    vendortest.Log
}

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{t: t, script: make(map[string][]reply)}
	v.server = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.server.Close)
	return v
}

func (v *vendor) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body)) // for the reply
	operation := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("SOAPAction"), `"http://rex11.com/webmethods/`), `"`)
	if err := wsdl.Validate(body); err != nil {
		v.t.Errorf("%s is not valid against the WSDL: %v\n%s", operation, err, body)
	}
	v.mu.Lock()
	v.seen = append(v.seen, request{operation, r.Header, string(body), r.ContentLength})
	var next reply
	if list := v.script[operation]; len(list) > 0 {
		if next = list[0]; len(list) > 1 {
			v.script[operation] = list[1:]
		}
	}
	if next == nil && operation == getToken.name {
		v.tokens++
		next = says("AuthenticationTokenGet", fmt.Sprintf("TOKEN+%d/=", v.tokens))
	}
	v.mu.Unlock()
	if next == nil {
		next = faults("soap:Client", "Server did not recognize the value of HTTP Header SOAPAction: "+operation)
	}
	next(w, r)
}

// on scripts an operation.
func (v *vendor) on(o operation, replies ...reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.script[o.name] = replies
}

// requests lists what was asked of an operation; of all with the zero one.
func (v *vendor) requests(o operation) []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []request
	for _, r := range v.seen {
		if o.name == "" || r.operation == o.name {
			out = append(out, r)
		}
	}
	return out
}

// raw answers with the status and body.
func raw(status int, body string) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

const (
	envelopeHead = `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body>`
	envelopeTail = `</soap:Body></soap:Envelope>`
)

// result answers with the inside of an operation's result (section 2.2).
func says(operation, inside string) reply {
	return raw(200, envelopeHead+`<`+operation+`Response xmlns="http://rex11.com/webmethods/"><`+operation+`Result>`+inside+`</`+operation+`Result></`+operation+`Response>`+envelopeTail)
}

func (o operation) says(inside string) reply { return says(o.name, inside) }

// notes answers with notifications: code, severity, message, and so on.
func (o operation) notes(list ...any) reply { return o.says(notifications(list...)) }

func notifications(list ...any) string {
	var b strings.Builder
	b.WriteString("<Notifications>")
	for i := 0; i+2 < len(list); i += 3 {
		fmt.Fprintf(&b, "<Notification><ErrorCode>%v</ErrorCode><Severity>%v</Severity><Message>%v</Message></Notification>", list[i], list[i+1], list[i+2])
	}
	b.WriteString("</Notifications>")
	return b.String()
}

// faults answers with a soap:Fault (section 2.4).
func faults(code, text string) reply {
	return raw(500, envelopeHead+`<soap:Fault><faultcode>`+code+`</faultcode><faultstring>`+text+`</faultstring><detail /></soap:Fault>`+envelopeTail)
}

func (v *vendor) open(settings connectors.Values) *connection {
	v.t.Helper()
	return openAt(v.t, v.server.URL+"/ws/v3staging/publicapiws.asmx", &connectors.StaticVault{Credentials: login0()}, settings, &v.log)
}

func openAt(t testing.TB, base string, vault connectors.Vault, settings connectors.Values, log *vendortest.Log) *connection {
	t.Helper()
	all := connectors.Values{"requests_per_second": "1000", "warehouse": nj2, "ship_via": "UPS", "ship_service": "UPS GROUND - Commercial"}
	maps.Copy(all, settings)
	c := vendortest.Open(t, Connector(), connectors.Config{
		BaseURL: base, Mode: relay.ModeTest, Settings: all, Vault: vault, Log: log.Logger(),
	}, login0()).(*connection)
	c.client.backoff.First = time.Millisecond
	return c
}

// ageToken makes the token as old as one that is suspected.
func (c *connection) ageToken() { c.client.session.at = c.client.session.at.Add(-2 * youngToken) }

func mira() relay.Address {
	return relay.Address{
		Name: "Käufer Beispiel", Street1: "48 Juniper Way", Street2: "Apt 3", City: "Troy", State: "NY", Zip: "12180", Country: "US",
		Phone: "518-555-0142", Email: "buyer@example.test",
	}
}

func anOrder() connectors.WarehouseOrder {
	return connectors.WarehouseOrder{
		Token: "abcdefgh23456777", Reference: number, Number: "WEB-2025-000100245", ShipTo: mira(),
		PlacedAt: time.Date(2025, 3, 15, 1, 0, 0, 0, time.UTC), // the 14th in New York
		Items:    []relay.Item{{Code: teeUPC, Units: 2}, {Code: longUPC, Units: 1}},
	}
}

func prepared(t testing.TB, c *connection) connectors.Prepared {
	t.Helper()
	p, err := c.PrepareOrder(anOrder())
	require.NoError(t, err)
	return p
}

// requireSafe fails if an error or the log holds a secret or an address.
func requireSafe(t testing.TB, v *vendor, err error) {
	t.Helper()
	v.log.RequireSafe(t, err, testPassword, "wordsecret", testUser, testAddress, "TOKEN+", "Käufer", "Beispiel", "Juniper", "12180", "buyer@", "518-555")
}
