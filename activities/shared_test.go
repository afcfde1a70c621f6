package activities_test

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	"orderferry/connectors"
	"orderferry/connectors/csv"
	"orderferry/connectors/tradegecko"
	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// brand is a merchant of a 3PL: its warehouse is one that other brands use as well.
type brand struct {
	*world
	m store.Merchant
}

func (w *world) brand(id relay.MerchantID, warehouse relay.Connection) brand {
	w.t.Helper()
	m := storetest.Merchant(id)
	warehouse.Name, warehouse.Mode = "depot", relay.ModeLive
	m.Warehouse = warehouse
	return brand{w, storetest.Save(w.t, w.ledger, m)}
}

// serve makes the steps work with a warehouse of another kind.
func (w *world) serve(kind connectors.Connector) {
	w.acts = activities.New(w.ledger, append(tradegecko.Connectors(), kind), http.DefaultTransport, slog.New(slog.NewTextHandler(w.said, nil)), w.opt)
	w.newEnv()
}

// order has the brand's cart show an order with a number that all brands use.
func (b brand) order() relay.OrderID {
	b.t.Helper()
	shop, _ := b.m.Connection("shop")
	_, err := b.ledger.TakeIn(b.t.Context(), shop, []relay.CartOrder{{
		ExternalID: "x", Number: "1042", PlacedAt: time.Now(), UpdatedAt: time.Now(),
		ShipTo: relay.Address{Name: "Some Six", Street1: "1 Example Street", City: "Springfield", State: "IL", Zip: "62701", Country: "US"},
		Lines:  []relay.Line{{ID: "1", SKU: relay.SKU(b.m.ID), Quantity: relay.Units(1)}},
	}}, "orders", "x", "test")
	require.NoError(b.t, err)
	found, err := b.ledger.FindOrders(b.t.Context(), b.m.ID, "1042")
	require.NoError(b.t, err)
	require.Len(b.t, found, 1)
	return found[0].ID
}

func (b brand) submitOnce() {
	do[activities.SubmitResult](b.world, b.acts.SubmitOrders, activities.JobInput{Merchant: b.m.ID, Connection: "depot"})
	b.leasesEnd()
}

// submitted submits until it is known where the order is.
func (b brand) submitted(id relay.OrderID) (d store.OrderDetail) {
	b.t.Helper()
	b.until(func() bool {
		var err error
		d, err = b.ledger.Order(b.t.Context(), id)
		require.NoError(b.t, err)
		return d.State == relay.OrderAtWarehouse || d.State == relay.OrderHeld
	}, b.submitOnce)
	return d
}

// Promise 1: two brands in one account that number their orders alike never take
// one order for both. The second waits for a person.
func TestBrandsOfOneWarehouse(t *testing.T) {
	l := &library{}
	w := newWorld(t, setup{})
	w.serve(l.connector("library"))
	at := relay.Connection{Connector: "library", BaseURL: "http://127.0.0.1", Settings: map[string]string{}}
	birch, cedar := w.brand("birch", at), w.brand("cedar", at)
	require.Equal(t, relay.OrderAtWarehouse, birch.submitted(birch.order()).State)
	d := cedar.submitted(cedar.order())
	require.Equal(t, relay.OrderHeld, d.State)
	require.Equal(t, relay.HoldUnknownOutcome, d.Hold.Reason)
	require.Len(t, l.orders, 1)
}

// files configures a warehouse on files below dir.
func files(t *testing.T, dir string, given connectors.Values) (connectors.Connector, relay.Connection) {
	kind := csv.Connectors()[0]
	settings, address, faults := kind.Configure("file://"+dir, given, nil)
	require.Empty(t, faults)
	return kind, relay.Connection{Connector: kind.Name, BaseURL: address, Settings: settings, Finders: kind.Finders()}
}

func TestBrandsOfOneFolder(t *testing.T) {
	dir := t.TempDir()
	kind, at := files(t, dir, nil)
	w := newWorld(t, setup{})
	w.serve(kind)
	birch, cedar := w.brand("birch", at), w.brand("cedar", at)
	first, second := birch.submitted(birch.order()), cedar.submitted(cedar.order())
	require.Equal(t, relay.OrderAtWarehouse, first.State)
	require.Equal(t, relay.OrderHeld, second.State)
	require.Equal(t, relay.HoldUnknownOutcome, second.Hold.Reason)
	written, err := filepath.Glob(filepath.Join(dir, "in", "*.csv"))
	require.NoError(t, err)
	require.Len(t, written, 1)
}

// Promise 1: the folders in which an order is looked for stay while it is in doubt.
func TestTheFoldersOfAnOrderInDoubtStay(t *testing.T) {
	dir := t.TempDir()
	kind, at := files(t, dir, nil)
	w := newWorld(t, setup{})
	w.serve(kind)
	birch := w.brand("birch", at)
	id := birch.order()
	birch.submitOnce()
	// Whoever sent it died before its outcome was written down.
	w.exec(`update submissions set state = 'in_doubt', resolved_at = null, warehouse_order_id = null`)
	w.exec(`update orders set state = 'in_doubt', next_look_at = now(), warehouse_order_id = null, accepted_at = null, answer_due = null where merchant_id = 'birch'`)
	_, elsewhere := files(t, dir, connectors.Values{"in_folder": "orders", "sent_folder": "copies"})
	m := birch.m.Merchant
	m.Warehouse.Settings, m.Warehouse.Finders = elsewhere.Settings, elsewhere.Finders
	_, err := w.ledger.SaveMerchant(t.Context(), m, nil)
	require.ErrorContains(t, err, "connection depot can't change its settings.in_folder")
	require.ErrorContains(t, err, "connection depot can't change its settings.sent_folder")
	require.Equal(t, relay.OrderAtWarehouse, birch.submitted(id).State, "it was found there")
}

// Promise 1: an order whose location changes at the shop comes to the cart of the
// account's other part as well. It is sent by the one that had it first.
func TestAnOrderOfADividedAccountIsSentByOneCart(t *testing.T) {
	w := newWorld(t, setup{})
	first := w.sell(mugs(1)...)
	w.pull()
	w.submitUntil(first, relay.OrderAtWarehouse)

	acme, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	birch := acme.Merchant
	birch.ID = "birch"
	_, err = w.ledger.SaveMerchant(t.Context(), birch, map[relay.ConnectionName]map[string]string{
		"shop": {"access_token": shopToken}, "depot": {"production_key": depotKey},
	})
	require.NoError(t, err)
	_, err = w.ledger.ImportAliases(t.Context(), "birch", []relay.Alias{{SKU: "MUG", Code: mugCode}}, true, "test")
	require.NoError(t, err)
	second := w.sell(mugs(1)...)
	do[activities.PullOrdersResult](w, w.acts.PullOrders, activities.JobInput{Merchant: "birch", Connection: "shop"})
	got := do[activities.SubmitResult](w, w.acts.SubmitOrders, activities.JobInput{Merchant: "birch", Connection: "depot"})
	require.Equal(t, 1, got.Accepted)
	require.Equal(t, 1, got.Held)
	require.Len(t, w.books(), 2)

	w.pull()
	require.Equal(t, 1, w.submit().Held)
	require.Equal(t, "bad_order: already_sent birch/shop "+second, w.want(second, relay.OrderHeld).Hold.Headline())
	require.Len(t, w.books(), 2, "each of the two orders once")
}
