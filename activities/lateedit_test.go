package activities_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// editAddress has the buyer move house at the shop.
func (w *world) editAddress(number string) {
	w.t.Helper()
	require.NoError(w.t, w.shop.ChangeAddress("acme", number, shopsim.Address{FirstName: buyerFirst, LastName: buyerLast, Line1: "1 " + buyerStreet,
		City: "Springfield", State: "IL", Zip: "62701", CountryCode: "US", Email: buyerEmail}))
}

// left is an order that left the warehouse, of which the ledger knows, and the shop does not.
func (w *world) left() string {
	w.t.Helper()
	number := w.sell()
	w.pull()
	w.submit()
	require.NoError(w.t, w.depot.Ship(string(w.order(number).WarehouseOrderID), depotsim.Package{Carrier: "UPS", TrackingCode: "1Z999"}))
	w.pullShipments()
	return number
}

// An edit between the last listing and the telling of the tracking, which takes the
// order out of the shop's listings.
func TestAnEditThatNoListingTells(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.left()
	w.editAddress(number)
	require.Equal(t, activities.PushResult{Done: 1, Confirmed: 1, TooLate: 1}, w.pushShipments())
	kinds := w.kinds(number)
	require.Equal(t, []store.EventKind{store.EventChangedTooLate, store.EventTold, store.EventConfirmed}, kinds[len(kinds)-3:])
	require.Contains(t, strings.Join(history(w, w.order(number).ID), "\n"), `"field": "ship_to.street1"`)
	require.Equal(t, activities.PullOrdersResult{}, w.pull(), "the shop lists it no more")
	require.Equal(t, kinds, w.kinds(number))
}

// While the shop can't be asked, an order is not confirmed; and then its parcel is
// found there, not told twice.
func TestTheShopIsAskedBeforeAnOrderIsConfirmed(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.left()
	told := false // the shop has the fulfillment
	broken := func(rw http.ResponseWriter, r *http.Request) bool {
		told = told || r.Method != http.MethodGet
		if told && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/orders") {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	w.wrapShop.Store(&broken)
	_, err := try[activities.PushResult](w, w.acts.PushShipments, shopJob())
	require.Error(t, err)
	w.want(number, relay.OrderShipped)
	require.False(t, slices.Contains(w.kinds(number), store.EventTold))
	w.wrapShop.Store(nil)

	w.editAddress(number)
	require.Equal(t, activities.PushResult{Done: 1, Confirmed: 1, TooLate: 1}, w.pushShipments())
	cart, err := w.shop.Order("acme", number)
	require.NoError(t, err)
	require.Len(t, cart.Fulfillments, 1)
}
