package activities_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// A pick that grows: the cart has all of it in the end, as two fulfilments of one
// number, also where the reply to the first was lost.
func TestAParcelThatGrows(t *testing.T) {
	l := &late{}
	w, _ := newLateWorld(t, l)
	sold := w.sell()
	w.pull()
	w.submit()
	shows := func(p connectors.Progress, packages ...relay.Package) {
		l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: p, Packages: packages})
		w.pullShipments()
	}
	holding := func(carrier, number string, items ...relay.Item) relay.Package {
		return relay.Package{Carrier: carrier, TrackingNumber: number, Items: items}
	}
	shows(connectors.PartShipped, holding("", "1Z", relay.Item{Code: toteCode, Units: 1}))
	require.Equal(t, 1, w.pushShipments().Done)
	shows(connectors.FullShipped, holding("USPS", "1Z", relay.Item{Code: toteCode, Units: 2}, relay.Item{Code: mugCode, Units: 1}))
	require.Equal(t, 1, w.pushShipments().Confirmed)
	w.want(sold, relay.OrderConfirmed)
	require.NotContains(t, w.kinds(sold), store.EventShippedShort)
	cart, err := w.shop.Order("acme", sold)
	require.NoError(t, err)
	require.Len(t, cart.Fulfillments, 2)
	for _, f := range cart.Fulfillments {
		require.Equal(t, "1Z", f.TrackingNumber)
	}
	for _, line := range cart.Lines {
		require.Equal(t, line.Ordered, line.Fulfilled)
	}
}

// What a warehouse tells of all parcels, and what files add, are not the same: only
// from the first is it known that another parcel took the place of one.
func TestAnotherParcelInThePlaceOfOne(t *testing.T) {
	for name, adds := range map[string]bool{"told by itself": true, "asked": false} {
		t.Run(name, func(t *testing.T) {
			l := &late{}
			w, _ := newLateWorld(t, l)
			sold := w.sell()
			w.pull()
			w.submit()
			for _, number := range []string{"1Z", "1R"} {
				l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.PartShipped, Adds: adds, Packages: []relay.Package{
					{TrackingNumber: number, Items: []relay.Item{{Code: toteCode, Units: 1}}},
				}})
				w.pullShipments()
				w.pushShipments()
			}
			if adds {
				require.NotContains(t, w.kinds(sold), store.EventRelabelled)
				require.Zero(t, w.watch())
				return
			}
			require.Contains(t, w.kinds(sold), store.EventRelabelled)
			require.Equal(t, 1, w.watch().Opened)
		})
	}
}

// EasyPost tells of trackers before it tells what was picked: the cart waits for that,
// and is told of a part when the rest is on back order.
func TestTrackersBeforePicks(t *testing.T) {
	w := newWorld(t, setup{})
	sold := w.sell()
	w.pull()
	d := w.submitUntil(sold, relay.OrderAtWarehouse)
	require.NoError(t, w.depot.SetBehaviour(depotsim.Behaviour{NoPicks: true}))
	require.NoError(t, w.depot.Ship(string(d.WarehouseOrderID), depotsim.Package{Items: map[string]int64{toteCode: 1}, TrackingCode: "1Z1"}))
	require.Equal(t, 1, w.pullShipments().Packages)
	require.Zero(t, w.pushShipments())

	require.NoError(t, w.depot.SetBehaviour(depotsim.Behaviour{}))
	require.Equal(t, []relay.ConnectionName{"shop"}, w.pullShipments().Carts)
	require.Equal(t, 1, w.pushShipments().Done)
	cart, err := w.shop.Order("acme", sold)
	require.NoError(t, err)
	require.Equal(t, []string{"1 of 2", "0 of 1"}, shipped(cart))

	require.NoError(t, w.depot.Ship(string(d.WarehouseOrderID), depotsim.Package{TrackingCode: "1Z2"}))
	w.pullShipments()
	require.Equal(t, 1, w.pushShipments().Confirmed)
	cart, err = w.shop.Order("acme", sold)
	require.NoError(t, err)
	require.Equal(t, []string{"2 of 2", "1 of 1"}, shipped(cart))
}

// shipped is how much of each line the cart knows as shipped.
func shipped(o shopsim.OrderView) (lines []string) {
	for _, l := range o.Lines {
		lines = append(lines, fmt.Sprintf("%v of %v", l.Fulfilled, l.Ordered))
	}
	return lines
}
