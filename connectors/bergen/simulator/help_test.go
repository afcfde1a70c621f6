package simulator

import (
	"encoding/xml"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors/simkit/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClock stands at eleven in the morning of 14 March 2025 in New York.
func newClock() *simtest.Clock {
	return simtest.NewClock(time.Date(2025, 3, 14, 15, 0, 0, 0, time.UTC))
}

const (
	tee  = "840011200013"
	long = "840011200020"
	nj2  = "BERGEN LOGISTICS NJ2"
	nj3  = "BERGEN LOGISTICS NJ3"
)

// world is a simulator behind real HTTP, with one session a account.
type world struct {
	*simtest.Stand
	t     testing.TB
	sim   *Simulator
	clock *simtest.Clock
	cfg   Config
	token string
	// products is how many loaded put there.
	products int
	// spoilt says that this test sends what the WSDL forbids.
	spoilt bool
}

func testConfig(c *simtest.Clock) Config {
	return Config{Seed: 7, Clock: c.Now, Accounts: []Account{
		{WebAddress: "www.northwind-demo.example", UserName: "API_USER", Password: "p&<w>"},
		{WebAddress: "www.other-demo.example", UserName: "API_USER", Password: "other", Prefix: "ZETA9B"},
	}}
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
	w.Stand = simtest.Start(w.t, w.sim)
}

func (w *world) stop() {
	if !w.spoilt {
		require.Empty(w.t, w.sim.Violations())
	}
	w.Stop()
}

// stocked gives every account two products, ten and five units of them in NJ2, and
// a token for the first.
func (w *world) stocked() *world {
	w.t.Helper()
	require.NoError(w.t, w.sim.AddProduct(Product{UPC: tee, Style: "TEE-01", Color: "navy", Size: "M", Description: "Organic tee", Price: 39.5}))
	require.NoError(w.t, w.sim.AddProduct(Product{UPC: long, Style: "TEE-02", Color: "white", Size: "L", Price: 41}))
	require.NoError(w.t, w.sim.SetStock(tee, "NJ2", 10))
	require.NoError(w.t, w.sim.SetStock(long, "NJ2", 5))
	w.token = w.login(w.cfg.Accounts[0])
	return w
}

func (w *world) login(a Account) string {
	w.t.Helper()
	return w.ask("AuthenticationTokenGet", kv{"WebAddress", a.WebAddress}, kv{"UserName", a.UserName}, kv{"Password", a.Password}).text("AuthenticationTokenGetResult")
}

// kv is a simple element of a request.
type kv struct{ name, value string }

func (e kv) xml() string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(e.value))
	return "<" + e.name + ">" + b.String() + "</" + e.name + ">"
}

func body(op string, args ...kv) string {
	var b strings.Builder
	for _, a := range args {
		b.WriteString(a.xml())
	}
	return `<` + op + ` xmlns="http://rex11.com/webmethods/">` + b.String() + `</` + op + `>`
}

func enveloped(inside string) string {
	return `<?xml version="1.0" encoding="utf-8"?>` + "\n" + `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">` +
		`<soap:Body>` + inside + `</soap:Body></soap:Envelope>`
}

// xmlNode is an answer, read by local names only.
type xmlNode struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Kids    []xmlNode `xml:",any"`
}

// reply is what came back.
type received struct {
	status int
	header http.Header
	raw    string
	root   xmlNode
}

// all returns the elements of a local name, wherever they are.
func (n xmlNode) all(name string) []xmlNode {
	var out []xmlNode
	for _, k := range n.Kids {
		if k.XMLName.Local == name {
			out = append(out, k)
		}
		out = append(out, k.all(name)...)
	}
	return out
}

func (n xmlNode) texts(name string) []string {
	var out []string
	for _, k := range n.all(name) {
		out = append(out, k.Text)
	}
	return out
}

// text is the first element of a name.
func (n xmlNode) text(name string) string {
	if ts := n.texts(name); len(ts) > 0 {
		return ts[0]
	}
	return ""
}

func (r received) all(name string) []xmlNode  { return r.root.all(name) }
func (r received) texts(name string) []string { return r.root.texts(name) }
func (r received) text(name string) string    { return r.root.text(name) }
func (r received) codes() []string            { return r.texts("ErrorCode") }
func (r received) inside() string {
	_, rest, _ := strings.Cut(r.raw, "<soap:Body>")
	in, _, _ := strings.Cut(rest, "</soap:Body>")
	return in
}

const endpoint = "/ws/v3prod/publicapiws.asmx"

func (w *world) post(op, message string) (received, error) {
	req, err := http.NewRequest(http.MethodPost, w.URL()+endpoint, strings.NewReader(message))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", `"http://rex11.com/webmethods/`+op+`"`)
	return w.do(req)
}

func (w *world) do(req *http.Request) (received, error) {
	a, err := w.Do(req)
	if err != nil {
		return received{}, err
	}
	r := received{status: a.Status, header: a.Header, raw: string(a.Raw)}
	_ = xml.Unmarshal(a.Raw, &r.root) // some answers are broken on purpose
	return r, nil
}

// send posts the inside of a body and wants HTTP 200.
func (w *world) send(op, inside string) received {
	w.t.Helper()
	r, err := w.post(op, enveloped(inside))
	require.NoError(w.t, err)
	require.Equal(w.t, 200, r.status, "%s: %s", op, r.raw)
	return r
}

func (w *world) ask(op string, args ...kv) received {
	w.t.Helper()
	return w.send(op, body(op, args...))
}

// call asks with the token, in the element that the operation wants it in.
func (w *world) call(op string, args ...kv) received {
	w.t.Helper()
	return w.ask(op, append([]kv{{operationNamed(op).token, w.token}}, args...)...)
}

// draft is a pick ticket that can be changed before it is sent.
type draft struct {
	head   []kv // direct children before the addresses, in the WSDL's order
	shipTo []kv
	lines  [][]kv
}

// order is a good draft for a number.
func order(number string, edits ...func(*draft)) *draft {
	d := &draft{
		head: []kv{
			{"PickTicketNumber", number}, {"WareHouse", nj2}, {"OrderDate", "03/14/2025"}, {"PaymentTerms", "NET"}, {"ShipVia", "UPS"},
			{"BillingOption", "PREPAID"}, {"ShipService", "UPS GROUND - Commercial"}, {"CustomerPONumber", "WEB-2025-" + number},
			{"OrderNumber", number}, {"UseAccountUPS", "0"},
		},
		shipTo: []kv{
			{"FirstName", "Dana"}, {"LastName", "Example"}, {"CompanyName", "Dana Example"}, {"Address1", "48 Juniper Way"}, {"Address2", "Apt 3"},
			{"City", "Troy"}, {"State", "NY"}, {"Zip", "12180"}, {"Country", "US"}, {"Phone", "518-555-0142"}, {"Email", "dana@example.test"},
		},
		lines: [][]kv{{{"UPC", tee}, {"UnitPrice", "39.5"}, {"Quantity", "2"}}, {{"UPC", long}, {"Quantity", "1"}}},
	}
	for _, edit := range edits {
		edit(d)
	}
	return d
}

func replace(list []kv, name, value string) []kv {
	var out []kv
	for _, e := range list {
		if e.name == name {
			e.value = value
		}
		if e.name != name || value != "" {
			out = append(out, e)
		}
	}
	return out
}

// head changes a direct child; "" takes it away.
func head(name, value string) func(*draft) {
	return func(d *draft) { d.head = replace(d.head, name, value) }
}

func shipTo(name, value string) func(*draft) {
	return func(d *draft) { d.shipTo = replace(d.shipTo, name, value) }
}

// lines gives the draft lines of UPC and quantity in turn.
func lines(pairs ...string) func(*draft) {
	return func(d *draft) {
		d.lines = nil
		for i := 0; i < len(pairs); i += 2 {
			d.lines = append(d.lines, []kv{{"UPC", pairs[i]}, {"Quantity", pairs[i+1]}})
		}
	}
}

func inSpace(space string, list []kv) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(strings.Replace(e.xml(), "<"+e.name+">", `<`+e.name+` xmlns="http://rex11.com/swpublicapi/`+space+`">`, 1))
	}
	return b.String()
}

func (d *draft) xml(token string) string {
	var b strings.Builder
	b.WriteString(`<PickTicketAdd xmlns="http://rex11.com/webmethods/">` + kv{"AuthenticationString", token}.xml())
	b.WriteString(`<PickTicket xmlns="http://rex11.com/swpublicapi/PickTicket.xsd">`)
	for _, e := range d.head {
		b.WriteString(e.xml())
	}
	b.WriteString(`<ShipToAddress>` + inSpace("CustomerOrder.xsd", d.shipTo) + `</ShipToAddress>`)
	for _, l := range d.lines {
		b.WriteString(`<LineItem>` + inSpace("PickTicketDetails.xsd", l) + `</LineItem>`)
	}
	b.WriteString(`</PickTicket></PickTicketAdd>`)
	return b.String()
}

// add sends a draft and returns the error codes, "0" for accepted.
func (w *world) add(d *draft) received {
	w.t.Helper()
	return w.send("PickTicketAdd", d.xml(w.token))
}

// placed sends a good draft.
func (w *world) placed(number string, edits ...func(*draft)) string {
	w.t.Helper()
	r := w.add(order(number, edits...))
	require.Equal(w.t, []string{"0"}, r.codes(), r.raw)
	return number
}

func (w *world) state(number string) string {
	w.t.Helper()
	v, ok := w.sim.Order(number)
	require.True(w.t, ok, number)
	return v.State
}

func (w *world) behave(f func(*Behaviour)) {
	w.t.Helper()
	b := w.sim.Behaviour()
	f(&b)
	require.NoError(w.t, w.sim.SetBehaviour(b))
}
