package activities_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"

	depotsim "orderferry/connectors/easypost/simulator"
)

// A kit from the order to the tracking number: held while nobody knows what it
// is made of, sent as its components, told when the last of them has left.
func TestAKitOnItsWay(t *testing.T) {
	w := newWorld(t, setup{})
	_, err := w.shop.AddVariant("acme", shopsim.NewVariant{SKU: "GIFT", Stock: []shopsim.Stock{{OnHand: "0"}}})
	require.NoError(t, err)
	number := w.sell(shopsim.NewLine{SKU: "GIFT", Quantity: "2"})
	w.pull()
	require.Equal(t, 1, w.submit().Held)
	require.Equal(t, relay.HoldUnknownItem, w.want(number, relay.OrderHeld).Hold.Reason)

	recheck := func() int {
		return do[activities.RecheckOutcome](w, w.acts.RecheckHolds, activities.RecheckInput{Merchant: "acme"}).Released
	}
	edit := func(parts ...relay.Component) {
		_, err := w.ledger.EditKits(t.Context(), "acme", store.KitEdit{Set: []relay.Kit{{SKU: "GIFT", Components: parts}}, Actor: "operator clerk"})
		require.NoError(t, err)
	}
	edit()
	require.Zero(t, recheck(), "its components are not known yet")
	require.Equal(t, 1, do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: w.order(number).ID, Actor: "nightly resend"}).Held)
	require.Equal(t, relay.HoldKitWithoutComponents, w.want(number, relay.OrderHeld).Hold.Reason)
	edit(relay.Component{SKU: "TOTE", Units: 2}, relay.Component{SKU: "MUG", Units: 1})
	require.Equal(t, 1, recheck())
	require.Equal(t, 1, w.submit().Accepted)
	d := w.want(number, relay.OrderAtWarehouse)
	require.Equal(t, int64(3), d.Submissions[len(d.Submissions)-1].MappingsVersion)
	id := string(d.WarehouseOrderID)
	require.Equal(t, []relay.Item{{Code: mugCode, Units: 2}, {Code: toteCode, Units: 4}}, relay.MergeItems(d.Submissions[len(d.Submissions)-1].Items))

	require.NoError(t, w.depot.Ship(id, depotsim.Package{Items: map[string]int64{toteCode: 4}, TrackingCode: "1Z1"}))
	require.Equal(t, 1, w.pullShipments().Packages)
	require.Zero(t, w.pushShipments().Done, "no kit is whole")
	require.NoError(t, w.depot.Ship(id, depotsim.Package{Items: map[string]int64{mugCode: 2}, TrackingCode: "1Z2"}))
	require.Equal(t, 1, w.pullShipments().Packages)
	require.Equal(t, 1, w.pushShipments().Done)
	w.want(number, relay.OrderConfirmed)
	cart, err := w.shop.Order("acme", number)
	require.NoError(t, err)
	require.Len(t, cart.Fulfillments, 1)
	require.Equal(t, "1Z2, 1Z1", cart.Fulfillments[0].TrackingNumber)
	require.Equal(t, cart.Lines[0].Ordered, cart.Lines[0].Fulfilled)
}

// Orders go on that were refused with a kit of other components.
func TestAKitThatChangesIsAnotherRequest(t *testing.T) {
	w := newWorld(t, setup{})
	edit := func(units int64) {
		_, err := w.ledger.EditKits(t.Context(), "acme", store.KitEdit{Set: []relay.Kit{{SKU: "MUG", Components: []relay.Component{{SKU: "TOTE", Units: units}}}}, Actor: "operator clerk"})
		require.NoError(t, err)
	}
	edit(2000) // of 1000
	number := w.sell(shopsim.NewLine{SKU: "MUG", Quantity: "1"})
	w.pull()
	require.Equal(t, 1, w.submit().Held)
	require.Equal(t, relay.HoldInsufficientInventory, w.want(number, relay.OrderHeld).Hold.Reason)
	recheck := activities.RecheckInput{Merchant: "acme"}
	require.Zero(t, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck).Released)
	edit(2)
	require.Equal(t, 1, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck).Released)
	require.Equal(t, 1, w.submit().Accepted)
	w.want(number, relay.OrderAtWarehouse)
}

// The service that the cart's method is mapped to is part of what is sent.
func TestTheShipMethodGoesAlong(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.exec(`update orders set ship_method = 'Air'`)
	w.exec(`update connections set rules = '{"ship_methods": {"map": {"Sea": "PRIORITY"}}}' where name = 'shop'`)
	w.exec(`update merchants set settings_version = settings_version + 1`)
	require.Equal(t, 1, w.submit().Held)
	require.Equal(t, "unmapped_ship_method: ship_method Air", w.want(number, relay.OrderHeld).Hold.Headline())
	w.exec(`update connections set rules = '{"ship_methods": {"map": {"air": "PRIORITY"}}}' where name = 'shop'`)
	w.exec(`update merchants set settings_version = settings_version + 1`)
	require.Equal(t, 1, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, activities.RecheckInput{Merchant: "acme"}).Released)
	require.Equal(t, 1, w.submit().Accepted)
	d := w.want(number, relay.OrderAtWarehouse)
	require.Equal(t, relay.Service("PRIORITY"), relay.Service(d.Submissions[len(d.Submissions)-1].Service))
}

// A version is read once, whatever runs; the next one is read.
func TestMappingsAreReadOnceAVersion(t *testing.T) {
	w := newWorld(t, setup{})
	first := w.sell()
	w.pull()
	require.Equal(t, 1, w.submit().Accepted)
	w.want(first, relay.OrderAtWarehouse)
	w.exec(`delete from aliases`) // behind everybody's back: under the same version
	w.sell()
	w.pull()
	require.Equal(t, 1, w.submit().Accepted)
	w.exec(`update merchants set aliases_version = aliases_version + 1`)
	w.sell()
	w.pull()
	require.Equal(t, 1, w.submit().Held)
}

// A worker that outlives the restoring of a backup has mappings that the ledger
// knows nothing of: they are read anew.
func TestMappingsOfARestoredLedger(t *testing.T) {
	w := newWorld(t, setup{})
	w.exec(`update merchants set aliases_version = aliases_version + 1`)
	w.sell()
	w.pull()
	require.Equal(t, 1, w.submit().Accepted)
	w.exec(`update merchants set aliases_version = aliases_version - 1`)
	w.exec(`delete from aliases`)
	w.sell()
	w.pull()
	require.Equal(t, 1, w.submit().Held)
}

// A run that began before an edit goes on with what was edited: else it would
// hold orders for want of an alias that is there, after all who wait for it were
// looked at.
func TestAnEditWhileOrdersAreSent(t *testing.T) {
	w := newWorld(t, setup{Options: activities.Options{InFlight: 1}, aliases: []relay.Alias{{SKU: "TOTE", Code: toteCode}}})
	for range 2 {
		w.sell(shopsim.NewLine{SKU: "TOTE", Quantity: "1"})
	}
	late := w.sell(shopsim.NewLine{SKU: "MUG", Quantity: "1"})
	w.pull()
	var once sync.Once
	edit := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			once.Do(func() {
				_, err := w.ledger.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "MUG", Code: mugCode}}, false, "clerk")
				require.NoError(t, err)
			})
		}
		return false
	}
	w.wrap.Store(&edit)
	got := w.submit()
	require.Equal(t, 3, got.Accepted, "%+v", got)
	require.Equal(t, int64(2), w.want(late, relay.OrderAtWarehouse).Submissions[0].MappingsVersion)
}
