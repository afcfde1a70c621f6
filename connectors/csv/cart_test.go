package csv

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func TestOrdersOfACart(t *testing.T) {
	f := newFolder(t)
	f.write("in/ord_1.csv", lines(
		"order,order_number,placed_at,ship_method,name,company,street1,street2,city,state,zip,country,phone,email,line,sku,item,quantity,status,payment,location,tags,ignored",
		"A-1,#1001,2026-03-07 09:30:00,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,01234,CA,+1 555,j@example.com,10,00564,Mug,2,open,paid,east,gift; rush,x",
		"A-1,#1001,2026-03-07 09:30:00,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,01234,CA,+1 555,j@example.com,11,=CAP,Cap,1.5,open,paid,east,gift; rush,x",
		"A-1,#1001,2026-03-07 09:30:00,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,01234,CA,+1 555,j@example.com,11,=CAP,Cap,1.5,open,paid,east,gift; rush,x"))
	c := &shop{t: t, source: f.open("csv-cart", nil).(connectors.OrderSource), limit: 10}
	orders, unread := c.pull()
	require.Empty(t, unread)
	require.Equal(t, []relay.CartOrder{{
		ExternalID: "A-1", Number: "#1001", PlacedAt: time.Date(2026, 3, 7, 9, 30, 0, 0, time.UTC), UpdatedAt: f.tick,
		ShipTo:     relay.Address{Name: "JOAN HARRY", Street1: "5050 Road N", City: "Waterloo", State: "ON", Zip: "01234", Country: "CA", Phone: "+1 555", Email: "j@example.com"},
		ShipMethod: "Ground",
		Lines: []relay.Line{
			{ID: "10/00564", SKU: "00564", Name: "Mug", Quantity: relay.Units(2)},
			{ID: "11/=CAP", SKU: "=CAP", Name: "Cap", Quantity: relay.Units(3) / 2},
		},
		Traits: relay.Traits{Status: "open", Payment: "paid", Location: "east", Tags: []string{"gift", "rush"}},
	}}, orders)
}

func TestOrderWhoseRowsAreNotTogether(t *testing.T) {
	for _, limit := range []int{1, 2, 10} {
		f := newFolder(t)
		f.write("in/ord_1.csv", lines("order,sku,quantity", "A-1,MUG,1", "A-2,MUG,1", "A-1,CAP,2", "A-3,MUG,1", "A-1,MUG,3", "A-2,MUG,1"))
		c := &shop{t: t, source: f.open("csv-cart", nil).(connectors.OrderSource), limit: limit}
		orders, unread := c.pull()
		require.Empty(t, unread)
		require.Equal(t, []relay.ExternalID{"A-1", "A-2", "A-3"}, ids(orders))
		require.Equal(t, []relay.Line{
			{ID: "/MUG", SKU: "MUG", Quantity: relay.Units(1)}, {ID: "/CAP", SKU: "CAP", Quantity: relay.Units(2)}, {ID: "2/MUG", SKU: "MUG", Quantity: relay.Units(3)},
		}, orders[0].Lines)
		require.Len(t, orders[1].Lines, 1, "the very same row twice is one row")
	}
}

// An order of which something can't be read is never shipped in part: it is taken
// in with its problems.
func TestOrdersWithBadRows(t *testing.T) {
	f := newFolder(t)
	f.write("in/ord_1.csv", lines("order,line,sku,quantity",
		"A-1,1,MUG,1",
		"A-2,1,MUG,two",
		"A-2,2,CAP,1",
		"A-3,1,MUG,1",
		`A-4,1,"MUG,1`,
		"A-5,1,MUG,1",
		"A-6,1,MUG,1",
		"A-6,1,CAP,1",
		",1,MUG,1",
		"9.4E+12,1,MUG,1",
		"TOTAL",
		"A-8,1,MUG,1"))
	c := &shop{t: t, source: f.open("csv-cart", nil).(connectors.OrderSource), limit: 2}
	orders, unread := c.pull()
	problems := make(map[relay.ExternalID]int)
	for _, o := range orders {
		problems[o.ExternalID] = len(o.Problems)
	}
	require.Equal(t, map[relay.ExternalID]int{
		"A-1": 0,
		"A-2": 1, // a quantity
		"A-3": 1, // the row behind it may have been a line of it
		"A-5": 1, // or the row before
		"A-6": 2, // one line told twice, and a row without an order behind it
		"A-8": 0,
	}, problems)
	require.Equal(t, []string{"ord_1.csv:3", "ord_1.csv:6", "ord_1.csv:9", "ord_1.csv:10", "ord_1.csv:11", "ord_1.csv:12"}, subjects(unread))

	// Mended, and dropped in again.
	f.write("in/ord_2.csv", lines("order,line,sku,quantity", "A-2,1,MUG,2", "A-2,2,CAP,1", "A-3,1,MUG,1", "A-4,1,MUG,1", "A-5,1,MUG,1"))
	before := orders
	orders, _ = c.pull()
	require.Equal(t, []relay.ExternalID{"A-2", "A-3", "A-4", "A-5"}, ids(orders))
	for _, o := range orders {
		require.Empty(t, o.Problems)
	}
	require.True(t, orders[0].UpdatedAt.After(before[1].UpdatedAt))
}

func TestCancellationsByFile(t *testing.T) {
	f := newFolder(t)
	f.write("in/can_1.csv", lines("order", "A-1", "A-2", "9E+21"))
	c := f.open("csv-cart", nil)
	source := c.(connectors.CancellationSource)
	p, err := source.PullCancellations(t.Context(), connectors.CancellationsQuery{Limit: 10, Watch: []relay.ExternalID{"A-9"}})
	require.NoError(t, err)
	require.Equal(t, []connectors.Cancellation{{ID: "A-1", Status: "cancelled", At: f.tick}, {ID: "A-2", Status: "cancelled", At: f.tick}}, p.Cancelled)
	p, err = source.PullCancellations(t.Context(), connectors.CancellationsQuery{Limit: 10, Cursor: p.Cursor})
	require.NoError(t, err)
	require.Empty(t, p.Cancelled)
	// The answer has no room for it, so the orders' has.
	_, unread := (&shop{t: t, source: c.(connectors.OrderSource), limit: 1}).pull()
	require.Equal(t, []string{"can_1.csv:4"}, subjects(unread))
}

func TestCartIsTold(t *testing.T) {
	f := newFolder(t)
	c := f.open("csv-cart", nil)
	pushes := []connectors.ShipmentPush{
		{Key: "k:1", Order: "A-1", Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z1", ShippedAt: time.Date(2026, 3, 8, 10, 0, 0, 0, time.UTC),
			Lines: []relay.ShippedLine{{Line: "10/00564", Units: 2}, {Line: "11/CAP", Units: 1}}},
		{Key: "k:2", Order: "A-1", Carrier: "UPS", TrackingNumber: "1Z2", Lines: []relay.ShippedLine{{Line: "10/00564", Units: 1}}},
	}
	out, err := c.(connectors.ShipmentSink).PushShipments(t.Context(), pushes)
	require.NoError(t, err)
	require.Equal(t, []connectors.ShipmentOutcome{{CartID: "shp_k_1.csv"}, {CartID: "shp_k_2.csv"}}, out)
	require.Equal(t, "order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity\r\n"+
		"A-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,10,00564,2\r\nA-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,11,CAP,1\r\n", f.read("out/shp_k_1.csv"))
	f.remove("out/shp_k_1.csv") // the shop took it
	out, err = c.(connectors.ShipmentSink).PushShipments(t.Context(), pushes)
	require.NoError(t, err)
	require.Equal(t, []connectors.ShipmentOutcome{{CartID: "shp_k_1.csv", Found: true}, {CartID: "shp_k_2.csv", Found: true}}, out)
	require.Equal(t, []string{"shp_k_2.csv"}, f.names("out"))

	targets := []connectors.StockTarget{{SKU: "00564", Available: relay.Units(5), Owed: relay.Units(2)}, {SKU: "MUG", Location: "east", Available: relay.Units(0)}}
	for range 2 {
		levels, err := c.(connectors.InventorySink).PushInventory(t.Context(), connectors.InventoryPush{Key: "s1", Targets: targets})
		require.NoError(t, err)
		require.Equal(t, []connectors.LevelOutcome{{Before: relay.Units(5), After: relay.Units(5)}, {}}, levels)
	}
	require.Equal(t, "sku,quantity,site,location\r\n00564,5,,\r\nMUG,0,,east\r\n", f.read("out/inv_s1.csv"))

	for i := range 2 {
		cancels, err := c.(connectors.CancelSink).PushCancels(t.Context(), []connectors.CancelPush{{Key: "c1", Order: "A-1"}})
		require.NoError(t, err)
		require.Equal(t, []connectors.CancelPushOutcome{{Status: "cancelled", Found: i == 1}}, cancels)
	}
	require.Equal(t, []string{"can_c1.csv", "inv_s1.csv", "shp_k_2.csv"}, f.names("out"))
}

func TestCartThatCantBeReached(t *testing.T) {
	f := newFolder(t)
	c := f.open("csv-cart", nil).(connectors.ShipmentSink)
	require.NoError(t, os.RemoveAll(f.dir))
	out, err := c.PushShipments(t.Context(), []connectors.ShipmentPush{
		{Key: "1", Order: "A-1", TrackingNumber: "1Z1", Lines: []relay.ShippedLine{{Line: "/MUG", Units: 1}}},
		{Key: "2", Order: "A-1", TrackingNumber: "1Z2", Lines: []relay.ShippedLine{{Line: "/MUG", Units: 1}}},
	})
	require.ErrorIs(t, err, relay.Unavailable)
	require.Len(t, out, 2)
	for _, o := range out {
		require.ErrorIs(t, o.Err, relay.Unavailable)
	}
}

// What a connection can do is what its profile has.
func TestAbilitiesAreThoseOfTheProfile(t *testing.T) {
	f := newFolder(t)
	for profile, want := range map[string]struct{ stock, cancels bool }{
		"standard": {true, true}, "dropstream": {true, false}, "35up": {false, false},
		"extends: 35up\ncancels: {write: 'can_{key}.csv', columns: [order]}": {false, true},
	} {
		c := f.open("csv-cart", connectors.Values{"profile": profile})
		_, stock := c.(connectors.InventorySink)
		_, cancels := c.(connectors.CancelSink)
		require.Equal(t, want.stock, stock, profile)
		require.Equal(t, want.cancels, cancels, profile)
		w := f.open("csv", connectors.Values{"profile": profile})
		_, stock = w.(connectors.InventorySource)
		require.Equal(t, want.stock, stock, profile)
	}
}

// An order that was wanted again may be cancelled again, in a file like the first.
func TestSecondCancelInTheSameWords(t *testing.T) {
	f := newFolder(t)
	source, cursor := f.open("csv-cart", nil).(connectors.CancellationSource), ""
	pull := func() int {
		p, err := source.PullCancellations(t.Context(), connectors.CancellationsQuery{Cursor: cursor, Limit: 10})
		require.NoError(t, err)
		cursor = p.Cursor
		return len(p.Cancelled)
	}
	f.write("in/can_1.csv", lines("order", "A-1"))
	written := f.tick
	require.Equal(t, 1, pull())
	require.Zero(t, pull())
	f.write("in/can_1.csv", lines("order", "A-1"))
	require.Equal(t, 1, pull())
	require.Zero(t, pull())
	f.write("in/can_1.csv", lines("order", "A-1"))
	require.NoError(t, os.Chtimes(f.dir+"/in/can_1.csv", written, written))
	require.Zero(t, pull(), "it is the very file, put back")
}

// A cancel is read before the orders of the same pull, and of no use for one that
// nobody knows yet: it is told again until what was dropped before it was read.
func TestCancelWaitsForItsOrder(t *testing.T) {
	f := newFolder(t)
	c := f.open("csv-cart", nil)
	orders, cancels := &shop{t: t, source: c.(connectors.OrderSource), limit: 10}, ""
	pull := func() (out []relay.ExternalID) {
		p, err := c.(connectors.CancellationSource).PullCancellations(t.Context(), connectors.CancellationsQuery{Cursor: cancels, Limit: 10})
		require.NoError(t, err)
		cancels = p.Cursor
		for _, c := range p.Cancelled {
			out = append(out, c.ID)
		}
		return out
	}
	f.write("in/can_1.csv", lines("order", "A-1"))
	f.write("in/ord_1.csv", lines("order,sku,quantity", "A-2,MUG,1"))
	f.write("in/can_2.csv", lines("order", "A-2"))
	require.Equal(t, []relay.ExternalID{"A-1", "A-2"}, pull())
	require.Equal(t, []relay.ExternalID{"A-2"}, pull(), "what was dropped before the order is told once")
	got, _ := orders.pull()
	require.Len(t, got, 1)
	orders.pull() // which puts the file away
	require.Equal(t, []relay.ExternalID{"A-2"}, pull())
	require.Empty(t, pull())
}

// steps is told of steps with files.
type steps []string

func (s *steps) Step(name string) (done func()) {
	*s = append(*s, "before "+name)
	return func() { *s = append(*s, "after "+name) }
}

func TestAWatcherIsToldOfSteps(t *testing.T) {
	f := newFolder(t)
	k := kindNamed(t, "csv")
	cfg := config(t, k, "file://"+f.dir, nil, nil)
	var told steps
	cfg.Watcher = &told
	c, err := k.Open(cfg)
	require.NoError(t, err)
	_, err = c.(connectors.Canceller).CancelOrder(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, steps{
		"before csv create in", "after csv create in", "before csv create sent", "after csv create sent",
		"before csv rename sent", "after csv rename sent", "before csv rename in", "after csv rename in",
	}, told)
}
