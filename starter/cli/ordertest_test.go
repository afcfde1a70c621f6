package cli

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/csv"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// fakeTests is a merchant for tests, and how its orders fare: a state each time one is looked for.
type fakeTests struct {
	tests store.Merchant
	fares []store.OrderSummary
	looks int
	names []string // what was looked for
}

func newFakeTests(warehouse store.Connection) fakeTests {
	cart := store.Connection{ID: 8, Merchant: "tests", Role: "cart", Connection: relay.Connection{
		Name: "files", Connector: "csv-cart", BaseURL: "https://files.example", Mode: relay.ModeTest, Settings: map[string]string{},
	}}
	warehouse.Merchant, warehouse.Mode = "tests", relay.ModeTest
	state := func(s relay.OrderState) store.OrderSummary {
		return store.OrderSummary{Merchant: "tests", Reference: "TEST-1", State: s, WarehouseOrderID: "60009"}
	}
	return fakeTests{
		tests: store.Merchant{
			Merchant:    relay.Merchant{ID: "tests", Carts: []relay.Connection{cart.Connection}, Warehouse: warehouse.Connection},
			Connections: []store.Connection{cart, warehouse},
		},
		fares: []store.OrderSummary{{}, {}, {Merchant: "tests", Reference: "TEST-1", State: relay.OrderNew}, state(relay.OrderAtWarehouse), state(relay.OrderShipped)},
	}
}

func (f *fakeTests) found(name string) ([]store.OrderSummary, error) {
	f.names = append(f.names, name)
	o := f.fares[min(f.looks, len(f.fares)-1)]
	f.looks++
	if o.State == "" {
		return nil, nil
	}
	return []store.OrderSummary{o}, nil
}

func TestTestOrderIsFollowed(t *testing.T) {
	w := answering(t)
	code, stdout, stderr := w.ferry(t, "order", "test", "--merchant", "tests", "--sku", "MUG=2", "--until", "shipped")
	require.Zero(t, code, stderr)
	require.Equal(t, "test order TEST-20261121-120000 (TEST-1) went well: shipped: 60009\nits story: ferry order history --merchant tests --order TEST-1\n", stdout)
	require.Equal(t, "order TEST-20261121-120000 lies where cart files finds it\nnew\nat_warehouse: 60009\nshipped: 60009\n", stderr)
	require.Equal(t, []string{`merchant/tests sync-now {"connection":"files","job":"pull_orders","actor":"clerk"}`}, w.engine.asked)

	// The last is seen at the first look: how many there are in the time depends on the machine.
	for name, c := range map[string]struct {
		last store.OrderSummary
		says string
	}{
		"held":     {store.OrderSummary{Reference: "TEST-1", State: relay.OrderHeld, Hold: &store.HoldSummary{Reason: relay.HoldUnknownItem}}, "stopped: held: unknown_item"},
		"skipped":  {store.OrderSummary{Reference: "TEST-1", State: relay.OrderSkipped, SkipReason: "country US"}, "stopped: skipped: country US"},
		"too slow": {store.OrderSummary{Reference: "TEST-1", State: relay.OrderNew}, "is new; it is not at_warehouse yet"},
		"nowhere":  {store.OrderSummary{}, "was not taken in: is merchant/tests running"},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			w.ledger.fares = []store.OrderSummary{{}, c.last}
			code, stdout, _ := w.ferry(t, "order", "test", "--merchant", "tests", "--sku", "MUG", "--timeout", "1200ms")
			require.Equal(t, exitFailed, code)
			require.Contains(t, stdout, c.says)
		})
	}
}

func TestTestOrderIsRefusedWhereItWouldShip(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		args   []string
		says   string
	}{
		"live":        {func(w *world) { w.ledger.tests.Warehouse.Mode = relay.ModeLive }, nil, "its warehouse warehouse is in mode live, and would ship the order"},
		"no files":    {func(w *world) { w.ledger.tests.Connections[0].Connector = "shop" }, nil, "has no cart on files, by which test orders come: add one under carts in its file, such as {name: tests, connector: csv-cart, mode: test, base_url:"},
		"same number": {func(w *world) { w.ledger.fares[0] = w.ledger.fares[3] }, []string{"--number", "T1"}, "--number T1: the merchant has an order of this number already"},
		"units":       {nil, []string{"--sku", "MUG=0"}, `--sku "MUG=0": want a SKU, or SKU=2 for two units`},
		"until":       {nil, []string{"--until", "held"}, "want at_warehouse, shipped or confirmed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			if c.change != nil {
				c.change(w)
			}
			code, _, stderr := w.ferry(t, append([]string{"order", "test", "--merchant", "tests", "--sku", "MUG"}, c.args...)...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, c.says)
			require.Empty(t, w.engine.asked)
		})
	}
	w := answering(t)
	w.engine.errs[workflows.SyncNow] = errors.New("not reached")
	code, _, stderr := w.ferry(t, "order", "test", "--merchant", "tests", "--sku", "MUG")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "not reached")
}

// What the command writes is what a cart on files reads.
func TestTestOrderIsReadByACartOnFiles(t *testing.T) {
	dir := t.TempDir()
	var cart connectors.Connector
	w := answering(t)
	for _, k := range csv.Connectors() {
		if k.Role == connectors.Cart {
			cart = k
		} else {
			w.connectors = append(testConnectors()[:2], k)
		}
	}
	settings, url, faults := cart.Configure("file://"+dir, connectors.Values{"settle": "0s"}, nil)
	require.Empty(t, faults)
	c := &w.ledger.tests.Connections[0]
	c.BaseURL, c.Settings = url, settings
	code, _, stderr := w.ferry(t, "order", "test", "--merchant", "tests", "--sku", "MUG=2", "--sku", "CUP", "--ship-method", "Ground")
	require.Zero(t, code, stderr)

	vendor, err := cart.Open(connectors.Config{Merchant: "tests", Name: "files", BaseURL: url, Mode: relay.ModeTest, Settings: settings,
		Vault: &connectors.StaticVault{}, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	page, err := vendor.(connectors.OrderSource).PullOrders(t.Context(), connectors.OrdersQuery{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, page.Unread)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	require.Len(t, page.Orders, 1, "%v", files)
	o := page.Orders[0]
	require.Equal(t, string(o.ExternalID), w.ledger.names[len(w.ledger.names)-1], "it is followed by the number that the cart gives it")
	require.Equal(t, "94102", o.ShipTo.Zip)
	require.Equal(t, relay.ShipMethod("Ground"), o.ShipMethod)
	require.WithinDuration(t, noon, o.PlacedAt, time.Second)
	require.Len(t, o.Lines, 2)
	require.Equal(t, relay.SKU("MUG"), o.Lines[0].SKU)
	require.Equal(t, relay.Units(2), o.Lines[0].Quantity)
	require.Empty(t, o.Problems)
}
