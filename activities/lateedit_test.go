package activities_test

import (
	"net/http"
	"slices"
	"strconv"
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

// What the shop will not show for good does not keep other parcels waiting: the order
// is told and asked about again later, and people see why.
func TestOrdersThatTheShopWillNotShowAreToldAgain(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.left()
	refuse := func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/addresses") {
			return false
		}
		rw.WriteHeader(http.StatusUnprocessableEntity)
		return true
	}
	w.wrapShop.Store(&refuse)
	r := w.pushShipments()
	require.Equal(t, 1, r.Failed)
	require.False(t, r.Next.IsZero())
	kinds := w.kinds(number)
	require.Equal(t, store.EventTellFailed, kinds[len(kinds)-1])
	w.want(number, relay.OrderShipped)
	w.wrapShop.Store(nil)
	w.exec(`update shipments set next_push_at = now()`)
	require.Equal(t, activities.PushResult{Done: 1, Confirmed: 1}, w.pushShipments())
}

// Of one batch: an order in two parcels, and one that the shop refuses.
func TestTheShopIsAskedOnlyAboutWhatItTook(t *testing.T) {
	w := newWorld(t, setup{})
	two, void := w.sell(), w.sell()
	w.pull()
	w.submit()
	for _, number := range []string{two, void} {
		id := string(w.order(number).WarehouseOrderID)
		require.NoError(t, w.depot.Ship(id, depotsim.Package{Carrier: "UPS", TrackingCode: "1Z1" + number, Items: map[string]int64{toteCode: 2}}))
		require.NoError(t, w.depot.Ship(id, depotsim.Package{Carrier: "UPS", TrackingCode: "1Z2" + number, Items: map[string]int64{mugCode: 1}}))
	}
	w.pullShipments()
	require.NoError(t, w.shop.Void("acme", void))
	w.editAddress(two)
	w.editAddress(void)
	asked := ""
	watch := func(_ http.ResponseWriter, r *http.Request) bool {
		if asked != "" || r.Method != http.MethodGet {
			asked += " " + r.Method + r.URL.RequestURI()
		}
		return false
	}
	w.wrapShop.Store(&watch)
	atShop := func(number string) string {
		o, err := w.shop.Order("acme", number)
		require.NoError(t, err)
		return strconv.FormatInt(o.ID, 10)
	}
	r := w.pushShipments()
	require.Equal(t, []int{2, 2, 1, 1}, []int{r.Done, r.Failed, r.Confirmed, r.TooLate})
	require.Contains(t, asked, "ids%5B%5D="+atShop(two))
	require.NotContains(t, asked, "ids%5B%5D="+atShop(void))
	require.Contains(t, w.kinds(two), store.EventChangedTooLate)
	require.NotContains(t, w.kinds(void), store.EventChangedTooLate)
}
