package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// world is what a command under test acts on.
type world struct {
	env    map[string]string
	stdin  string
	ledger *fakeLedger
	engine *fakeEngine

	url, keyFile string         // the ledger was opened with
	options      client.Options // the engine was dialled with
	dialErr      error
	connectors   []connectors.Connector // nil: those that only describe themselves
	openErr      error
	before       int32
	made         bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{
		env: map[string]string{
			envDatabase: "postgres://ferry:secret@db.example/orderferry", envKeyFile: "/etc/orderferry/key.json", envAddress: "temporal.example:7233",
			"TEMPORAL_CONFIG_FILE": t.TempDir() + "/none.toml", "ORDERFERRY_DATA": t.TempDir(),
		},
		ledger: newFakeLedger(), engine: &fakeEngine{answers: map[string]any{}, errs: map[string]error{}, known: []string{"FerryMerchant"}},
		before: 1,
	}
}

// ferry runs the command and returns its exit code, stdout and stderr.
func (w *world) ferry(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	known := w.connectors
	if known == nil {
		known = testConnectors()
	}
	code = run(t.Context(), args, func(k string) string { return w.env[k] }, strings.NewReader(w.stdin), &out, &errs, parts{
		migrate: func(_ context.Context, url string) (int32, int32, error) {
			w.url = url
			return w.before, 1, w.openErr
		},
		makeKey: func(path string) (bool, error) {
			w.keyFile = path
			return w.made, nil
		},
		openLedger: func(_ context.Context, url, keyFile string) (ledger, error) {
			w.url, w.keyFile = url, keyFile
			return w.ledger, w.openErr
		},
		dialEngine: func(_ context.Context, o client.Options) (engine, error) {
			w.options = o
			return w.engine, w.dialErr
		},
		connectors: known,
		now:        func() time.Time { return noon },
		login:      func() string { return "clerk" },
	})
	require.Equal(t, w.ledger.opened(), w.ledger.closed, "the ledger is closed once")
	return code, out.String(), errs.String()
}

var (
	noon    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	berlin  = time.FixedZone("CET", 3600)
	evening = noon.Add(-18 * time.Hour).In(berlin) // as a database client elsewhere would return it
)

func testConnectors() []connectors.Connector {
	return []connectors.Connector{
		{
			Name: "shop", Title: "Shop", Role: connectors.Cart, BaseURL: "https://shop.example", Divisible: true,
			Credentials: []connectors.Setting{{Name: "token", Doc: "the access token", Required: true}},
			Advice:      map[relay.Job]time.Duration{relay.PullOrders: time.Minute},
			Open:        func(cfg connectors.Config) (connectors.Connection, error) { return &shopFront{cfg: cfg}, nil },
		},
		{
			Name: "depot", Title: "Depot", Role: connectors.Warehouse, BaseURL: "https://depot.example",
			Settings:    []connectors.Setting{{Name: "service", Doc: "the service for orders that name none"}},
			Credentials: []connectors.Setting{{Name: "key", Doc: "the API key", Required: true}},
			Open:        func(connectors.Config) (connectors.Connection, error) { return &depotFront{}, nil },
		},
		{
			Name: "csv", Title: "Files", Role: connectors.Warehouse, BaseURL: "https://files.example",
			Open: func(connectors.Config) (connectors.Connection, error) { return &depotFront{takes: true}, nil },
		},
	}
}

// fakeLedger holds two merchants and some orders.
type fakeLedger struct {
	merchants   []store.Merchant
	orders      []store.OrderDetail
	events      []store.Event // of the order on hold
	shipped     []store.Event // of the one that has shipped
	saved       relay.Merchant
	credentials map[relay.ConnectionName]map[string]string
	fakeMappings
	states  map[relay.ExternalID]relay.OrderState
	paused  []string
	refuses error // what it would not save a merchant for
	fakeTests
	alerts fakeAlerts
	fakeBooks
	calls       int
	closed      int
	query       store.OrderQuery
	exportQuery store.ExportQuery
	export      func(ctx context.Context, w io.Writer) (store.ExportCounts, error) // instead of what it exports
	heldBy      string                                                             // who put an order on hold, and why
	reread      func(*store.OrderDetail)                                           // what has happened to an order when it is read once more
}

func (l *fakeLedger) opened() int {
	if l.calls > 0 || l.closed > 0 {
		return 1
	}
	return 0
}

func newFakeLedger() *fakeLedger {
	cart := store.Connection{ID: 1, Merchant: "acme", Role: "cart", Connection: relay.Connection{
		Name: "main", Connector: "shop", BaseURL: "https://shop.example", Mode: relay.ModeLive, Settings: map[string]string{},
		Schedule: relay.Schedule{relay.PullOrders: relay.Every(2 * time.Minute)},
	}, StoppedAt: evening, StoppedReason: "the shop refuses the credentials (HTTP 401)"}
	warehouse := store.Connection{ID: 2, Merchant: "acme", Role: "warehouse", Connection: relay.Connection{
		Name: "warehouse", Connector: "depot", BaseURL: "https://depot.example", Mode: relay.ModeLive, Settings: map[string]string{"service": "ground"},
	}}
	acme := store.Merchant{
		Merchant: relay.Merchant{
			ID: "acme", Name: "Acme, Inc.", Resend: relay.ResendClock{Hour: 1, Zone: relay.DefaultResendZone}, Unaliased: relay.HoldUnaliased,
			Carts: []relay.Connection{cart.Connection}, Warehouse: warehouse.Connection,
			Alerts: relay.AlertPolicy{Email: []string{"ops@example.com"}, Webhook: "https://hooks.example.com/x"},
		},
		SettingsVersion: 3, MappingsVersion: 5, LookedAt: noon.Add(-15 * time.Minute).In(berlin), Connections: []store.Connection{cart, warehouse},
	}
	zeta := acme
	zeta.Alerts = relay.AlertPolicy{}
	zeta.ID, zeta.Name, zeta.PausedAt = "zeta", "Zeta \x1b[31mRed", evening
	zeta.Connections = []store.Connection{warehouse}
	status := 422
	rejected := "held at the carrier"
	code, words := "E17", "Not enough MUG for 12 Main Street"
	shipped := noon.Add(-time.Hour).In(berlin)
	number, told := "S-9", shipped.Add(10*time.Minute)
	due := noon.Add(3 * time.Hour).In(berlin)
	return &fakeLedger{
		merchants: []store.Merchant{acme, zeta},
		fakeTests: newFakeTests(warehouse),
		orders: []store.OrderDetail{
			{
				OrderSummary: store.OrderSummary{
					ID: 1, Merchant: "acme", Cart: "main", Number: "#SO-1042", Reference: "SO-1042", State: relay.OrderHeld,
					PlacedAt: evening, SeenAt: evening.Add(5 * time.Minute), UpdatedAt: evening.Add(6 * time.Minute),
					Hold: &store.HoldSummary{
						Reason: relay.HoldInsufficientInventory, Code: "E17", Since: evening.Add(6 * time.Minute), HeldAt: noon.Add(-2 * time.Hour), Attempts: 2,
						Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG", Message: "none left for 12 Main Street"}},
						Words:  "Not enough MUG for 12 Main Street",
					},
				},
				ShipTo:     relay.Address{Name: "Some One", Street1: "12 Main Street", City: "Springfield", State: "OR", Zip: "97477", Country: "US", Phone: "+1 541 555 0100"},
				ShipMethod: "Standard",
				Lines:      []relay.Line{{ID: "l1", SKU: "MUG", Name: "Mug,\tblue", Quantity: relay.Units(2)}},
				Submissions: []store.SubmissionDetail{{
					ID: 31, Attempt: 1, State: "rejected", Token: "abcdefghij234567", Digest: "00ff", Service: "Ground", MappingsVersion: 5, SettingsVersion: 3, Sends: 1,
					OpenedAt: evening.Add(6 * time.Minute), ResolvedAt: &told, Status: &status, Code: &code, Words: &words,
					Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG", Message: "none left for 12 Main Street"}},
					Items:  []relay.OrderItem{{Line: "l1", SKU: "MUG", Item: relay.Item{Code: "4006381", Units: 2}}},
				}},
			},
			{
				OrderSummary: store.OrderSummary{
					ID: 2, Merchant: "acme", Cart: "main", Number: "1043", Reference: "1043", State: relay.OrderShipped, WarehouseOrderID: "60002", WarehouseStatus: "shipped",
					PlacedAt: evening, SeenAt: evening, UpdatedAt: shipped,
				},
				Lines: []relay.Line{{ID: "l1", SKU: "CUP", Quantity: relay.Units(1)}},
				Shipments: []store.ShipmentDetail{{
					ID: 5, Carrier: "USPS", TrackingNumber: "9400", State: "told", SeenAt: shipped, ToldAt: &told, CartShipmentID: &number, DeliveryStatus: &rejected,
					Lines: []relay.ShippedLine{{Line: "l1", Units: 1}},
				}},
			},
			{OrderSummary: store.OrderSummary{ID: 3, Merchant: "acme", Cart: "outlet", Number: "1043", Reference: "1043-7ZK2Q1", State: relay.OrderNew, PlacedAt: evening, SeenAt: evening, UpdatedAt: evening}},
			{OrderSummary: store.OrderSummary{
				ID: 4, Merchant: "zeta", Cart: "main", Number: "Z1", Reference: "Z1", State: relay.OrderHeld, PlacedAt: evening, SeenAt: evening, UpdatedAt: evening,
				Hold: &store.HoldSummary{Reason: relay.HoldWarehouseUnreachable, Since: noon.Add(-50 * time.Hour), Attempts: 1},
			}},
			{OrderSummary: store.OrderSummary{
				ID: 5, Merchant: "acme", Cart: "main", Number: "1044", Reference: "1044", State: relay.OrderHeld, PlacedAt: evening, SeenAt: evening, UpdatedAt: evening,
				Hold: &store.HoldSummary{Reason: relay.HoldUnknownOutcome, Since: noon.Add(-30 * time.Second)},
			}},
			{OrderSummary: store.OrderSummary{
				ID: 6, Merchant: "zeta", Cart: "main", Number: "Z2", Reference: "Z2", State: relay.OrderHeld, PlacedAt: evening, SeenAt: evening, UpdatedAt: evening,
				WarehouseOrderID: "PT-6", WarehouseStatus: "CSR - No Stock",
				Hold: &store.HoldSummary{Reason: relay.HoldInsufficientInventory, Since: noon.Add(-5 * time.Hour), HeldAt: noon.Add(-5 * time.Hour), There: true},
			}, Lines: []relay.Line{{ID: "l1", SKU: "CUP", Quantity: relay.Units(1)}}},
			{OrderSummary: store.OrderSummary{
				ID: 7, Merchant: "zeta", Cart: "main", Number: "Z3", Reference: "Z3", State: relay.OrderAtWarehouse, PlacedAt: evening, SeenAt: evening, UpdatedAt: evening,
				WarehouseOrderID: "PT-7", WarehouseStatus: "pending import", AnswerDue: &due, AcceptedAt: &evening,
			}},
		},
		fakeMappings: fakeMappings{
			aliases: []relay.Alias{{SKU: "CUP", Code: "4006380"}, {SKU: "CUP", Code: "4006399", Cart: "main"}, {SKU: `MUG "L", blue`, Code: "4006381"}},
			kits: []relay.Kit{
				{SKU: "GIFT", Components: []relay.Component{{SKU: "BOX", Units: 1}, {SKU: "CUP", Units: 2}}},
				{SKU: "SOON", Cart: "main"},
			},
		},
		events: []store.Event{
			{At: evening, Kind: store.EventSeen, Actor: "job pull_orders", Detail: json.RawMessage(`{"version": "2026-11-20T17:59:00Z", "lines": 1}`)},
			{At: evening.Add(6 * time.Minute), Kind: store.EventSubmitting, Actor: "job submit_orders", Detail: json.RawMessage(
				`{"submission": 31, "token": "abcdefghij234567", "digest": "00ff00ff00ff00ff00ff", "aliases_version": 5, "settings_version": 3}`)},
			{At: evening.Add(7 * time.Minute), Kind: store.EventRefused, Actor: "job submit_orders", Detail: json.RawMessage(
				`{"submission": 31, "send": 1, "status": 422, "took_ms": 1250, "code": "E17", "headline": "insufficient_inventory (E17): MUG (line 1)"}`)},
			{At: evening.Add(7 * time.Minute), Kind: store.EventHeld, Actor: "job submit_orders", Detail: json.RawMessage(
				`{"reason": "insufficient_inventory", "headline": "insufficient_inventory (E17): MUG (line 1)"}`)},
			{At: noon.Add(-3 * time.Hour), Kind: store.EventReleased, Actor: "operator ops", Detail: json.RawMessage(`{"why": "a pallet came in"}`)},
			{At: noon.Add(-2 * time.Hour), Kind: store.EventHeld, Actor: "job submit_orders", Detail: json.RawMessage(
				`{"reason": "insufficient_inventory", "headline": "insufficient_inventory (E17): MUG (line 1)"}`)},
			{At: noon.Add(-time.Hour), Kind: "told_a_later_release", Actor: "job later", Detail: json.RawMessage(`{"what": "new"}`)},
		},
		shipped: []store.Event{
			{At: shipped, Kind: store.EventPackage, Actor: "job pull_shipments", Detail: json.RawMessage(
				`{"carrier": "USPS", "tracking_number": "9400", "contents": [{"line": "l1", "units": 1}]}`)},
			{At: shipped.Add(time.Minute), Kind: store.EventTellFailed, Actor: "job push_shipments", Detail: json.RawMessage(
				`{"shipment": 5, "error": "push shipment: unavailable, HTTP 503", "again_s": 60}`)},
			{At: told, Kind: store.EventTold, Actor: "job push_shipments", Detail: json.RawMessage(`{"shipment": 5, "cart_shipment": "S-9"}`)},
			{At: told, Kind: store.EventConfirmed, Actor: "job push_shipments"},
		},
	}
}

func (l *fakeLedger) Merchant(_ context.Context, id relay.MerchantID) (store.Merchant, error) {
	l.calls++
	for _, m := range append(l.merchants, l.tests) {
		if m.ID == id {
			return m, nil
		}
	}
	return store.Merchant{}, fmt.Errorf("merchant %s: %w", id, store.ErrNotFound)
}

func (l *fakeLedger) Merchants(context.Context) ([]store.Merchant, error) {
	l.calls++
	return l.merchants, nil
}

func (l *fakeLedger) CountsByMerchant(context.Context) ([]store.MerchantCounts, error) {
	return []store.MerchantCounts{{Merchant: "acme", Counts: store.Counts{
		States:     map[relay.OrderState]int64{relay.OrderNew: 1, relay.OrderHeld: 2, relay.OrderShipped: 1},
		Holds:      map[relay.HoldReason]int64{relay.HoldInsufficientInventory: 1, relay.HoldUnknownOutcome: 1},
		Unfinished: 2,
	}}}, nil
}

func (l *fakeLedger) SaveMerchant(_ context.Context, m relay.Merchant, c map[relay.ConnectionName]map[string]string) (bool, error) {
	l.calls++
	created := l.saved.ID == ""
	l.saved, l.credentials = m, c
	return created, nil
}

func (l *fakeLedger) Orders(_ context.Context, q store.OrderQuery) ([]store.OrderSummary, error) {
	l.calls++
	l.query = q
	var out []store.OrderSummary
	for _, o := range l.orders {
		if (q.Merchant == "" || o.Merchant == q.Merchant) && (len(q.States) == 0 || slices.Contains(q.States, o.State)) &&
			(q.Reason == "" || o.Hold != nil && o.Hold.Reason == q.Reason) && len(out) < q.Limit {
			out = append(out, o.OrderSummary)
		}
	}
	return out, nil
}

func (l *fakeLedger) FindOrders(_ context.Context, m relay.MerchantID, name string) ([]store.OrderSummary, error) {
	l.calls++
	if m == l.tests.ID {
		return l.found(name)
	}
	var out []store.OrderSummary
	for _, o := range l.orders {
		if o.Merchant == m && (string(o.Reference) == strings.ToUpper(name) || o.Number == name || string(o.WarehouseOrderID) == name) {
			out = append(out, o.OrderSummary)
		}
	}
	return out, nil
}

func (l *fakeLedger) OrderByReference(_ context.Context, m relay.MerchantID, r relay.Reference) (relay.OrderID, error) {
	l.calls++
	for _, o := range l.orders {
		if o.Merchant == m && o.Reference == r {
			return o.ID, nil
		}
	}
	return 0, fmt.Errorf("order %s of %s: %w", r, m, store.ErrNotFound)
}

func (l *fakeLedger) Order(_ context.Context, id relay.OrderID) (store.OrderDetail, error) {
	for i := range l.orders {
		if o := &l.orders[i]; o.ID == id {
			read := *o
			if l.reread != nil {
				l.reread(o)
			}
			return read, nil
		}
	}
	return store.OrderDetail{}, store.ErrNotFound
}

func (l *fakeLedger) History(_ context.Context, id relay.OrderID) ([]store.Event, error) {
	if id == 2 {
		return l.shipped, nil
	}
	return l.events, nil
}

// exported is what the fake ledger exports of a merchant.
const exported = `{"record":"export","format":"orderferry-export","version":1}
{"record":"order","reference":"SO-1042"}
{"record":"end","counts":{"export":1,"order":1}}
`

func (l *fakeLedger) Export(ctx context.Context, q store.ExportQuery, w io.Writer) (store.ExportCounts, error) {
	l.exportQuery = q
	if l.export != nil {
		return l.export(ctx, w)
	}
	_, err := io.WriteString(w, exported)
	return store.ExportCounts{"export": 1, "order": 1}, err
}

func (l *fakeLedger) Close() { l.closed++ }

// fakeEngine answers as told, and notes what it was asked.
type fakeEngine struct {
	answers map[string]any // by message
	errs    map[string]error
	asked   []string // "workflow message request"
	woken   []string
	tested  []workflows.CheckInput
	report  connectors.Report
	view    workflowView
	jobs    workflows.Standing
	known   []string
	wait    bool // answer nothing until the time is up
}

func (e *fakeEngine) Register(context.Context) ([]string, error) {
	return e.known, e.errs["register"]
}

func (e *fakeEngine) Wake(_ context.Context, m relay.MerchantID, actor string) error {
	e.woken = append(e.woken, string(m)+" by "+actor)
	return e.errs["wake"]
}

func (e *fakeEngine) Ask(ctx context.Context, workflow, message string, request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	e.asked = append(e.asked, fmt.Sprintf("%s %s %s", workflow, message, b))
	if e.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := e.errs[message]; err != nil {
		return fmt.Errorf("ask workflow %s to %s: %w", workflow, message, err)
	}
	// Through JSON, as between real processes.
	if b, err = json.Marshal(e.answers[message]); err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

func (e *fakeEngine) View(context.Context, string) (workflowView, error) {
	return e.view, e.errs["view"]
}

func (e *fakeEngine) Standing(context.Context, relay.MerchantID) (workflows.Standing, error) {
	return e.jobs, e.errs["jobs"]
}

func (e *fakeEngine) Test(_ context.Context, in workflows.CheckInput) (connectors.Report, error) {
	e.tested = append(e.tested, in)
	return e.report, e.errs["test"]
}

func (e *fakeEngine) Close() {}
