package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

func TestPackagesOverSeveralReports(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	id, cart := sub.Order.ID, b.cart("shop").ID
	first, second := parcel("1Z", item("MUG", 1)), parcel("2Z", item("MUG", 1), item("CAP", 1))
	report := store.Progress{Order: id, Status: "processing", Packages: []relay.Package{first}}
	require.Equal(t, store.Recorded{Packages: 1, Carts: []store.ConnectionID{cart}}, b.progress(report))
	kinds := b.kinds(id)
	require.Equal(t, store.Recorded{}, b.progress(report), "known already")
	require.Equal(t, kinds, b.kinds(id))
	b.want(id, relay.OrderShipped)
	require.Equal(t, 0, b.tell())
	b.want(id, relay.OrderShipped)

	report = store.Progress{Order: id, Status: "shipped", Packages: []relay.Package{second, first}}
	require.Equal(t, 1, b.progress(report).Packages)
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"2Z"}, told[0].TrackingNumbers)
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}, {Line: "2", Units: 1}}, told[0].Lines)
	require.Equal(t, anOrder(1).ExternalID, told[0].ExternalID)
	require.False(t, told[0].ShippedAt.IsZero(), "when it was seen")
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
	require.Zero(t, b.tell())

	// One more turns up after all: nothing of it was ordered.
	b.progress(store.Progress{Order: id, Status: "shipped", Packages: []relay.Package{first, second, parcel("3Z", item("MUG", 1))}})
	require.Empty(t, b.toTell())
	require.Equal(t, []string{"told", "told", "surplus"}, list[string](b, `select state from shipments order by id`))
	b.want(id, relay.OrderConfirmed)
}

func TestContentsUnknown(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	one, two, three := parcel("1Z"), parcel("2Z"), parcel("3Z", item("CAP", 1))
	got := b.progress(store.Progress{Order: id, Packages: []relay.Package{one}})
	require.Equal(t, store.Recorded{Packages: 1}, got, "nothing to tell yet")
	require.Empty(t, b.toTell())
	b.progress(store.Progress{Order: id, Packages: []relay.Package{one, two, three}})
	require.Len(t, b.toTell(), 1)
	require.Zero(t, b.tell())
	b.want(id, relay.OrderShipped)

	got = b.progress(store.Progress{Order: id, Complete: true})
	require.Equal(t, []store.ConnectionID{b.cart("shop").ID}, got.Carts)
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"1Z", "2Z"}, told[0].TrackingNumbers)
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 2}}, told[0].Lines)
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
	require.Equal(t, store.Recorded{}, b.progress(store.Progress{Order: id, Complete: true}))
}

func TestContentsUnknownOfACompleteReport(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z"), parcel("2Z")}})
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 2}, {Line: "2", Units: 1}}, told[0].Lines)
	require.Equal(t, 1, b.tell())
}

func TestUnknownContentsAreSettledInTheEnd(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z")}})
	got, err := b.SettleOverdue(t.Context(), b.depot(), time.Hour, "test")
	require.NoError(t, err)
	require.Equal(t, store.Recorded{}, got)
	b.exec(`update shipments set seen_at = now() - interval '61 minutes'`)
	got, err = b.SettleOverdue(t.Context(), b.depot(), time.Hour, "test")
	require.NoError(t, err)
	require.Len(t, got.Carts, 1)
	require.Zero(t, b.tell())
	b.want(id, relay.OrderShipped)

	// The cart knows, but the warehouse has not said that this was all: it is asked on.
	b.progress(store.Progress{Order: id, Status: "partially_shipped", Packages: []relay.Package{parcel("1Z")}})
	open, err := b.OpenOrders(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Len(t, open, 1)
	b.exec(`update shipments set seen_at = now() - interval '15 days'`)
	_, err = b.SettleOverdue(t.Context(), b.depot(), time.Hour, "test")
	require.NoError(t, err)
	b.want(id, relay.OrderConfirmed)
}

func TestSurplus(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 5), item("PEN", 1))}})
	told := b.toTell()
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 2}}, told[0].Lines, "never more than was ordered")
	require.Len(t, field(t, b.last(id), "surplus"), 2)
}

func TestCancelledAtTheWarehouse(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	id := sub.Order.ID
	require.Equal(t, store.Recorded{Cancelled: 1, Alarms: 1}, b.progress(store.Progress{Order: id, Status: "refunded", Cancelled: true}), "nobody asked for it")
	b.want(id, relay.OrderCancelled)
	require.Equal(t, []string{"withdrawn"}, list[string](b, `select state from submissions`))
	require.Equal(t, store.Recorded{}, b.progress(store.Progress{Order: id, Status: "refunded", Cancelled: true}))

	// A parcel that left all the same is told.
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}})
	b.want(id, relay.OrderShipped)
	require.Contains(t, b.kinds(id), store.EventShippedAfterAll)
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

// What a warehouse does not know any more is cancelled only when we asked for it.
func TestGoneFromTheWarehouse(t *testing.T) {
	b := newBench(t)
	lost, asked := b.atWarehouse(1).Order.ID, b.atWarehouse(2).Order.ID
	b.cancel(asked)
	reports := []store.Progress{{Order: lost, Gone: true}, {Order: asked, Gone: true}}
	require.Equal(t, store.Recorded{Cancelled: 1, Alarms: 1}, b.progress(reports...))
	b.want(lost, relay.OrderAtWarehouse)
	b.want(asked, relay.OrderCancelled)
	require.Zero(t, b.progress(reports...).Alarms, "an alarm once")
}

// A substitute was sent, or codes are written in another way: the cart hears of the parcel.
func TestAllIsSurplus(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("PEN", 3))}})
	require.Empty(t, b.toTell())
	b.progress(store.Progress{Order: id, Complete: true})
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

func TestShippedInsteadOfCancelled(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.cancel(id)
	b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}})
	b.want(id, relay.OrderShipped)
	require.Contains(t, b.kinds(id), store.EventShippedAfterAll)
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, TooLate: true}}))
	b.want(id, relay.OrderShipped)
	due, err := b.CancelsDue(t.Context(), b.depot(), 10)
	require.NoError(t, err)
	require.Empty(t, due)
}

// The rest of a part-shipped order is cancelled: nothing more will come, and the order ends.
func TestTheRestIsCancelled(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	one := parcel("1Z", item("MUG", 1))
	b.progress(store.Progress{Order: id, Packages: []relay.Package{one}})
	b.tell()
	b.progress(store.Progress{Order: id, Cancelled: true, Packages: []relay.Package{one}})
	b.want(id, relay.OrderConfirmed)
}

func TestOpenOrders(t *testing.T) {
	b := newBench(t)
	a, c, d := b.atWarehouse(1), b.atWarehouse(2), b.atWarehouse(3)
	b.submitting(4)
	b.progress(
		store.Progress{Order: a.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}},
		store.Progress{Order: c.Order.ID, Complete: true, Packages: []relay.Package{parcel("2Z", item("MUG", 1))}},
	)
	open, err := b.OpenOrders(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Len(t, open, 2)
	require.Equal(t, a.Order.ID, open[0].ID)
	require.Equal(t, wid(d), open[1].WarehouseOrderID)
	require.False(t, open[1].AcceptedAt.IsZero())
	open, err = b.OpenOrders(t.Context(), b.depot(), a.Order.ID, 10)
	require.NoError(t, err)
	require.Len(t, open, 1)
}

func TestTelling(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	cart := b.cart("shop").ID
	ready, next, err := b.Telling(t.Context(), cart)
	require.NoError(t, err)
	require.False(t, ready)
	require.Zero(t, next)
	b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 1)), parcel("2Z", item("MUG", 1))}})
	told := b.toTell()
	require.Len(t, told, 2)
	_, err = b.RecordTold(t.Context(), "test", []store.Told{
		{Shipment: told[0].ID, Order: id, CartID: "F1", Found: true},
		{Shipment: told[1].ID, Order: id, Error: "unavailable", Retry: 90 * time.Second},
	})
	require.NoError(t, err)
	require.Equal(t, []store.EventKind{store.EventTold, store.EventTellFailed}, b.kinds(id)[len(b.kinds(id))-2:])
	require.Empty(t, b.toTell())
	ready, next, err = b.Telling(t.Context(), cart)
	require.NoError(t, err)
	require.False(t, ready)
	require.WithinDuration(t, time.Now().Add(90*time.Second), next, 30*time.Second)
	b.exec(`update shipments set next_push_at = now() where state = 'ready'`)
	again := b.toTell()
	require.Len(t, again, 1)
	require.Equal(t, 1, again[0].Attempts)

	// The order is complete only after all was told: that confirms it.
	require.Zero(t, b.tell())
	b.want(id, relay.OrderShipped)
	kinds := b.kinds(id)
	_, err = b.RecordTold(t.Context(), "test", []store.Told{{Shipment: told[0].ID, Order: id, CartID: "F1"}})
	require.NoError(t, err)
	require.Equal(t, kinds, b.kinds(id), "told twice is told once")
	b.progress(store.Progress{Order: id, Complete: true})
	b.want(id, relay.OrderConfirmed)
	n, err := b.RecordTold(t.Context(), "test", nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// The last parcel is told while the warehouse says that it was the last: one of
// the two must see that the order has ended.
func TestToldAndCompleteAtOnce(t *testing.T) {
	b := newBench(t)
	for n := range 40 {
		id := b.atWarehouse(n).Order.ID
		b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel(fmt.Sprint(n), item("MUG", 1))}})
		told := b.toTell()
		require.Len(t, told, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := b.RecordTold(t.Context(), "test", []store.Told{{Shipment: told[0].ID, Order: id, CartID: "F"}})
			assert.NoError(t, err)
		})
		wg.Go(func() {
			_, err := b.RecordProgress(t.Context(), "test", []store.Progress{{Order: id, Complete: true}}, store.Reading{})
			assert.NoError(t, err)
		})
		wg.Wait()
		b.want(id, relay.OrderConfirmed)
	}
}

func TestParcelsOnTheirWay(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}})
	due, err := b.ParcelsToTrack(t.Context(), b.depot(), time.Hour, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	due, err = b.ParcelsToTrack(t.Context(), b.depot(), -time.Minute, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.NoError(t, b.RecordTracked(t.Context(), nil))
	require.NoError(t, b.RecordTracked(t.Context(), []store.Tracked{{ID: due[0].ID, Status: "in_transit"}}))
	require.NoError(t, b.RecordTracked(t.Context(), []store.Tracked{{ID: due[0].ID, URL: "http://t.test", Ended: true}}))
	d, err := b.Order(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "in_transit", *d.Shipments[0].DeliveryStatus)
	require.Equal(t, "http://t.test", d.Shipments[0].TrackingURL)
	due, err = b.ParcelsToTrack(t.Context(), b.depot(), -time.Minute, 10)
	require.NoError(t, err)
	require.Empty(t, due)
}
