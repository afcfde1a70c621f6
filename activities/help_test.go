package activities_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"orderferry/activities"
	"orderferry/connectors"
	"orderferry/connectors/easypost"
	depotsim "orderferry/connectors/easypost/simulator"
	"orderferry/connectors/tradegecko"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// What must never leave the ledger: the buyer, and the credentials.
const (
	buyerFirst, buyerLast = "Unmistakable", "Buyerson"
	buyerStreet           = "77 Marmalade Crescent"
	buyerEmail            = "wilhelmina.q@private.test"
	buyerPhone            = "212-555-0142"
	depotKey              = "EZAK-secret-of-the-depot"
	shopToken             = "secret-token-of-the-shop"
)

func secrets() []string {
	return []string{buyerFirst, buyerLast, buyerStreet, "Marmalade", buyerEmail, buyerPhone, "5550142", depotKey, shopToken}
}

const (
	toteCode = "0700000000017"
	mugCode  = "0700000000024"
)

// world is a merchant with a simulated shop and warehouse, each behind real
// HTTP, and a real ledger.
type world struct {
	t      *testing.T
	ledger *store.Store
	db     storetest.Database
	sql    *pgxpool.Pool
	shop   *shopsim.Simulator
	depot  *depotsim.Simulator
	acts   *activities.Activities
	env    *testsuite.TestActivityEnvironment
	opt    activities.Options
	urls   struct{ shop, depot string }
	// wrap, when set, answers the warehouse's requests before the simulator does.
	wrap atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	// wrapShop is the same for the shop.
	wrapShop atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	said     *lockedBuffer // logs, results and errors
	sold     int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type setup struct {
	activities.Options
	depot   map[string]string // settings of the warehouse connection
	shop    map[string]string
	behave  depotsim.Behaviour
	aliases []relay.Alias
	clock   func() time.Time // the shop's
}

// newWorld makes a world of the test's own, so the test runs beside others from here on.
func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, db: storetest.New(t), said: &lockedBuffer{}, opt: s.Options}
	if len(w.opt.Looks) == 0 {
		w.opt.Looks = []time.Duration{time.Millisecond, 2 * time.Millisecond}
	}
	w.ledger, w.sql = w.db.Open(t), w.db.Pool(t)
	t.Cleanup(w.nothingPrivateWasSaid)

	var err error
	w.shop, err = shopsim.New(shopsim.Config{Seed: 1, RateLimit: -1, Clock: s.clock, Accounts: []shopsim.Account{{Name: "acme", Tokens: []string{shopToken}}}})
	require.NoError(t, err)
	s.behave.ManualWebhooks = true
	var ticks atomic.Int64
	w.depot, err = depotsim.New(depotsim.Config{Seed: 1,
		// No two things happen in one millisecond.
		Clock: func() time.Time { return time.Now().Add(time.Duration(ticks.Add(1)) * time.Millisecond) },
		Keys:  depotsim.Keys{Production: depotKey, Test: depotKey + "-test"}, Behaviour: s.behave})
	require.NoError(t, err)
	serve := func(h http.Handler, wrap *atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]) string {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if f := wrap.Load(); f != nil && (*f)(rw, r) {
				return
			}
			h.ServeHTTP(rw, r)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	w.urls.shop = serve(w.shop.Handler(), &w.wrapShop)
	w.urls.depot = serve(w.depot.Handler(), &w.wrap) + "/fulfillment/vendor/v2"
	t.Cleanup(func() { require.NoError(t, errors.Join(w.shop.Close(), w.depot.Close())) })

	for code, sku := range map[string]string{toteCode: "TOTE", mugCode: "MUG"} {
		w.depot.AddProduct(code, sku)
		require.NoError(t, w.depot.SetStock(code, "EAST", 1000))
		_, err := w.shop.AddVariant("acme", shopsim.NewVariant{SKU: sku, Stock: []shopsim.Stock{{OnHand: "1000"}}})
		require.NoError(t, err)
	}
	w.onboard(s.shop, s.depot)
	aliases := s.aliases
	if aliases == nil {
		aliases = []relay.Alias{{SKU: "TOTE", Code: toteCode}, {SKU: "MUG", Code: mugCode}}
	}
	_, err = w.ledger.ImportAliases(t.Context(), "acme", aliases, true, "test")
	require.NoError(t, err)

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	log := slog.New(slog.NewJSONHandler(w.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.acts = activities.New(w.ledger, append(tradegecko.Connectors(), easypost.Connector()), transport, log, w.opt)
	w.newEnv()
	return w
}

// onboard stores the merchant.
func (w *world) onboard(shop, depot map[string]string) {
	w.t.Helper()
	m := storetest.Merchant("acme")
	m.Unaliased = relay.HoldUnaliased
	configure := func(kind connectors.Connector, c *relay.Connection, url string, settings map[string]string, defaults ...string) {
		given := connectors.Values{}
		for i := 0; i < len(defaults); i += 2 {
			given[defaults[i]] = defaults[i+1]
		}
		for k, v := range settings {
			given[k] = v
		}
		out, base, faults := kind.Configure(url, given, nil)
		require.Empty(w.t, faults)
		c.Connector, c.BaseURL, c.Settings = kind.Name, base, out
	}
	configure(tradegecko.Connectors()[0], &m.Carts[0], w.urls.shop, shop, "overlap", "1s")
	configure(easypost.Connector(), &m.Warehouse, w.urls.depot, depot, "requests_per_second", "1000")
	_, err := w.ledger.SaveMerchant(w.t.Context(), m, map[relay.ConnectionName]map[string]string{
		"shop": {"access_token": shopToken}, "depot": {"production_key": depotKey},
	})
	require.NoError(w.t, err)
}

// newEnv begins a new series of activities: the first has the id that the first
// of any series has, as a retried activity keeps its id.
func (w *world) newEnv() {
	var s testsuite.WorkflowTestSuite
	s.SetLogger(quiet{})
	w.env = s.NewTestActivityEnvironment()
	w.env.SetExecuteActivitiesInWorkflow(true)
	w.env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{activities.ErrorInterceptor()}})
	w.env.RegisterActivity(w.acts)
	w.env.RegisterActivityWithOptions(func(ctx context.Context) (string, error) {
		info := activity.GetInfo(ctx)
		return info.WorkflowExecution.RunID + "/" + info.ActivityID, nil
	}, activity.RegisterOptions{Name: "owner"})
}

// quiet is a Temporal logger that says nothing.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// try runs an activity and keeps what it says.
func try[Out any](w *world, f any, in any) (Out, error) {
	var out Out
	encoded, err := w.env.ExecuteActivity(f, in)
	if err == nil && encoded.HasValue() {
		err = encoded.Get(&out)
	}
	b, jsonErr := json.Marshal(out)
	require.NoError(w.t, jsonErr)
	for e := err; e != nil; e = errors.Unwrap(e) {
		fmt.Fprintf(w.said, "error %v\n", e)
	}
	fmt.Fprintf(w.said, "result %s\n", b)
	return out, err
}

func do[Out any](w *world, f any, in any) Out {
	w.t.Helper()
	out, err := try[Out](w, f, in)
	require.NoError(w.t, err)
	return out
}

func shopJob() activities.JobInput {
	return activities.JobInput{Merchant: "acme", Connection: "shop"}
}

func depotJob() activities.JobInput {
	return activities.JobInput{Merchant: "acme", Connection: "depot"}
}

func (w *world) pull() activities.PullOrdersResult {
	w.t.Helper()
	return do[activities.PullOrdersResult](w, w.acts.PullOrders, shopJob())
}

func (w *world) submit() activities.SubmitResult {
	w.t.Helper()
	return do[activities.SubmitResult](w, w.acts.SubmitOrders, depotJob())
}

func (w *world) pullShipments() activities.PullShipmentsResult {
	w.t.Helper()
	return do[activities.PullShipmentsResult](w, w.acts.PullShipments, activities.PullShipmentsInput{JobInput: depotJob()})
}

func (w *world) pushShipments() activities.PushResult {
	w.t.Helper()
	return do[activities.PushResult](w, w.acts.PushShipments, shopJob())
}

// pushLevels leaves out when levels are looked at next anyway.
func (w *world) pushLevels(in activities.JobInput) activities.PushResult {
	w.t.Helper()
	return butNextLook(w.t, do[activities.PushResult](w, w.acts.PushInventory, in))
}

func butNextLook(t testing.TB, r activities.PushResult) activities.PushResult {
	t.Helper()
	require.WithinDuration(t, time.Now().Add(5*time.Minute), r.Next, time.Minute)
	r.Next = time.Time{}
	return r
}

// nothingPrivateWasSaid is promise 6, checked at the end of every test.
func (w *world) nothingPrivateWasSaid() {
	said := w.said.String()
	for _, s := range secrets() {
		if i := strings.Index(strings.ToLower(said), strings.ToLower(s)); i >= 0 {
			w.t.Errorf("%q was said: ...%s", s, said[max(0, i-300):min(len(said), i+100)])
		}
	}
}

// sell places an order of totes at the shop and returns its number.
func (w *world) sell(lines ...shopsim.NewLine) string {
	w.t.Helper()
	w.sold++
	if lines == nil {
		lines = []shopsim.NewLine{{SKU: "TOTE", Quantity: "2"}, {SKU: "MUG", Quantity: "1"}}
	}
	number := "SO-" + strconv.Itoa(w.sold)
	_, err := w.shop.AddOrder("acme", shopsim.NewOrder{Number: number, Lines: lines, Address: shopsim.Address{
		FirstName: buyerFirst, LastName: buyerLast, Line1: buyerStreet, City: "Springfield", State: "IL", Zip: "62701",
		Country: "United States", CountryCode: "US", Email: buyerEmail, Phone: buyerPhone,
	}, Email: buyerEmail, Phone: buyerPhone})
	require.NoError(w.t, err)
	return number
}

// order returns what the ledger knows of an order.
func (w *world) order(number string) store.OrderDetail {
	w.t.Helper()
	found, err := w.ledger.FindOrders(w.t.Context(), "acme", number)
	require.NoError(w.t, err)
	require.Len(w.t, found, 1)
	d, err := w.ledger.Order(w.t.Context(), found[0].ID)
	require.NoError(w.t, err)
	return d
}

func (w *world) want(number string, state relay.OrderState) store.OrderDetail {
	w.t.Helper()
	d := w.order(number)
	require.Equal(w.t, state, d.State, "%v", w.kinds(number))
	return d
}

// sellOut has an order go on hold, because a mug of it is sold out.
func (w *world) sellOut() (number string, d store.OrderDetail) {
	w.t.Helper()
	require.NoError(w.t, w.depot.SetStock(mugCode, "EAST", 0))
	number = w.sell()
	w.pull()
	w.submit()
	return number, w.want(number, relay.OrderHeld)
}

func (w *world) kinds(number string) []store.EventKind {
	events, err := w.ledger.History(w.t.Context(), w.order(number).ID)
	require.NoError(w.t, err)
	var kinds []store.EventKind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// books are the orders that the warehouse has and has not cancelled.
func (w *world) books() []depotsim.OrderView {
	var live []depotsim.OrderView
	for _, o := range w.depot.Orders(depotsim.Production) {
		if o.State != depotsim.Refunded {
			live = append(live, o)
		}
	}
	return live
}

// until repeats step until done says so.
func (w *world) until(done func() bool, step func()) {
	w.t.Helper()
	end := time.After(time.Minute)
	for !done() {
		step()
		select {
		case <-end:
			w.t.Fatalf("it never came to that; said: %s", w.said.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// submitUntil submits until the order is in a state, while leases end.
func (w *world) submitUntil(number string, state relay.OrderState) store.OrderDetail {
	w.t.Helper()
	w.until(func() bool { return w.order(number).State == state }, func() {
		w.submit()
		w.leasesEnd()
	})
	return w.order(number)
}

// leasesEnd has the time pass in which what was sent may still be on its way to the warehouse. (On a busy machine
// a lease so short that a test can wait for it ends before anything is sent.)
func (w *world) leasesEnd() {
	w.exec(`update submissions set lease_until = now() - interval '1 minute' where state = 'in_doubt' and lease_until > now() - interval '1 minute'`)
	w.exec(`update orders set next_look_at = now() where state = 'in_doubt' and next_look_at > now() + interval '10 seconds'`)
}

func (w *world) inject(f depotsim.Fault) {
	w.t.Helper()
	require.NoError(w.t, w.depot.Inject(f))
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.sql.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// kindOf is the type of an activity's error, and whether it is retried.
func kindOf(t *testing.T, err error) (kind string, retried bool) {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return app.Type(), !app.NonRetryable()
}
