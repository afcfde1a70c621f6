package csv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/csv/simulator"
	"orderferry/relay"
)

// ferry is a ledger in memory that relays between a shop and a warehouse on files.
type ferry struct {
	t       *testing.T
	dice    *rand.Rand
	now     time.Time
	shop    *simulator.Shop
	depot   *simulator.Warehouse
	openers [2]func() connectors.Connection // cart, warehouse

	cart      connectors.Connection
	warehouse connectors.Connection
	cursors   map[string]string
	orders    map[relay.ExternalID]*ferried
	byID      map[relay.WarehouseOrderID]*ferried
	levels    map[relay.ItemCode]relay.Quantity
	unread    int
}

type ferried struct {
	relay.CartOrder
	sent    bool
	parcels map[string]bool
	state   connectors.Progress
}

func newFerry(t *testing.T, chance map[simulator.Fault]float64, manner simulator.Manner) *ferry {
	shopSide, depotSide := newFolder(t), newFolder(t)
	f := &ferry{t: t, dice: rand.New(rand.NewPCG(7, 7)), now: time.Now(), cursors: make(map[string]string),
		orders: make(map[relay.ExternalID]*ferried), byID: make(map[relay.WarehouseOrderID]*ferried), levels: make(map[relay.ItemCode]relay.Quantity)}
	var err error
	f.shop, err = simulator.OpenShop(simulator.ShopConfig{Dir: shopSide.dir, Books: filepath.Join(shopSide.dir, "books", "shop.json"), Seed: 1, Chance: chance})
	require.NoError(t, err)
	f.depot, err = simulator.OpenWarehouse(simulator.WarehouseConfig{Dir: depotSide.dir, Books: filepath.Join(depotSide.dir, "books", "depot.json"), Seed: 2, Chance: chance,
		Manner: manner, Stock: map[string]int{"MUG": 1000, "00564": 1000}})
	require.NoError(t, err)
	clock := func() time.Time { return f.now }
	settle := connectors.Values{"settle": "10s"}
	f.openers = [2]func() connectors.Connection{
		func() connectors.Connection {
			c := shopSide.open("csv-cart", settle)
			for _, in := range inboxesOf(c) {
				in.now = clock
			}
			return c
		},
		func() connectors.Connection {
			c := depotSide.open("csv", settle)
			for _, in := range inboxesOf(c) {
				in.now = clock
			}
			return c
		},
	}
	f.reopen()
	return f
}

func inboxesOf(c connectors.Connection) []*inbox {
	if w, ok := c.(*stockedWarehouse); ok {
		return w.inboxes
	}
	return c.(interface{ readers() []*inbox }).readers()
}

func (b *base) readers() []*inbox { return b.inboxes }

func (f *ferry) reopen() { f.cart, f.warehouse = f.openers[0](), f.openers[1]() }

// commits reports whether the ledger keeps what it did: at times the process dies
// first, and another one goes on.
func (f *ferry) commits() bool {
	if f.dice.Float64() < 0.8 {
		return true
	}
	f.reopen()
	return false
}

func (f *ferry) round() {
	f.now = f.now.Add(6 * time.Second)
	require.NoError(f.t, f.shop.Step())
	f.pullOrders()
	f.submit()
	require.NoError(f.t, f.depot.Step())
	f.pullShipments()
	f.pullInventory()
}

func (f *ferry) pullOrders() {
	for more := true; more; {
		p, err := f.cart.(connectors.OrderSource).PullOrders(f.t.Context(), connectors.OrdersQuery{Cursor: f.cursors["orders"], Limit: 7})
		require.NoError(f.t, err)
		f.unread += len(p.Unread)
		for _, o := range p.Orders {
			k := f.orders[o.ExternalID]
			switch {
			case k == nil:
				f.orders[o.ExternalID] = &ferried{CartOrder: o, parcels: make(map[string]bool)}
			case !o.UpdatedAt.Before(k.UpdatedAt) && !k.sent:
				k.CartOrder = o
			case !o.UpdatedAt.Before(k.UpdatedAt) && len(o.Problems) == 0:
				require.Equal(f.t, k.CartOrder.Digest(), o.Digest(), "an order that comes again is no other order")
			}
		}
		if f.commits() {
			f.cursors["orders"], more = p.Cursor, p.More
		}
	}
}

func (f *ferry) submit() {
	for id, o := range f.orders {
		if o.sent || len(o.Problems) > 0 {
			continue
		}
		wo := connectors.WarehouseOrder{Token: relay.Token(fmt.Sprintf("%016s", "t")), Reference: relay.Reference(id), Number: o.Number, ShipTo: o.ShipTo, PlacedAt: o.PlacedAt, Service: relay.Service(o.ShipMethod)}
		for _, l := range o.Lines {
			n, _ := l.Quantity.Whole()
			wo.Items = append(wo.Items, relay.Item{Code: relay.ItemCode(l.SKU), Units: n})
		}
		p, err := f.warehouse.(connectors.OrderSink).PrepareOrder(wo)
		require.NoError(f.t, err)
		accepted, err := f.warehouse.(connectors.OrderSink).SubmitOrder(f.t.Context(), p)
		require.NoError(f.t, err)
		if f.commits() {
			o.sent, f.byID[accepted.ID] = true, o
		}
	}
}

func (f *ferry) pullShipments() {
	for more := true; more; {
		p, err := f.warehouse.(connectors.ShipmentSource).PullShipments(f.t.Context(), connectors.ShipmentsQuery{Cursor: f.cursors["shipments"], Known: f.known})
		require.NoError(f.t, err)
		f.unread += len(p.Unread)
		for _, u := range p.Updates {
			o := f.byID[u.ID]
			require.NotNil(f.t, o, u.ID)
			if o.state == "" || u.Progress != connectors.InProgress {
				o.state = u.Progress
			}
			f.told(o, u.Packages)
		}
		if f.commits() {
			f.cursors["shipments"], more = p.Cursor, p.More
		}
	}
}

func (f *ferry) known(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
	out := make([]bool, len(ids))
	for i, id := range ids {
		out[i] = f.byID[id] != nil
	}
	return out, nil
}

// told tells the cart of parcels that are new.
func (f *ferry) told(o *ferried, packages []relay.Package) {
	for _, p := range packages {
		if o.parcels[p.Key()] {
			continue
		}
		o.parcels[p.Key()] = true
		var lines []relay.ShippedLine
		for _, it := range p.Items {
			for _, l := range o.Lines {
				if string(l.SKU) == string(it.Code) { // which stands in one line alone
					lines = append(lines, relay.ShippedLine{Line: l.ID, Units: it.Units})
				}
			}
		}
		push := []connectors.ShipmentPush{{Key: string(o.ExternalID) + ":" + p.TrackingNumber, Order: o.ExternalID, Carrier: p.Carrier, TrackingNumber: p.TrackingNumber, ShippedAt: p.ShippedAt, Lines: lines}}
		for range 1 + f.dice.IntN(2) { // at times the answer is lost
			out, err := f.cart.(connectors.ShipmentSink).PushShipments(f.t.Context(), push)
			require.NoError(f.t, err)
			require.NoError(f.t, out[0].Err)
		}
	}
}

func (f *ferry) pullInventory() {
	for more := true; more; {
		p, err := f.warehouse.(connectors.InventorySource).PullInventory(f.t.Context(), connectors.InventoryQuery{Cursor: f.cursors["inventory"], Limit: 1})
		require.NoError(f.t, err)
		for _, l := range p.Levels {
			f.levels[l.Code] = l.Quantity
		}
		if f.commits() {
			f.cursors["inventory"], more = p.Cursor, p.More
		}
	}
}

func (f *ferry) settled() bool {
	for _, o := range f.orders {
		if !o.sent {
			return false
		}
	}
	a, err := f.shop.Quiet()
	require.NoError(f.t, err)
	b, err := f.depot.Quiet()
	require.NoError(f.t, err)
	return a && b && len(f.orders) == len(f.shop.Sales()) && len(f.shop.Told()) == f.parcels()
}

func (f *ferry) parcels() (n int) {
	for _, o := range f.depot.Orders() {
		n += len(o.Parcels)
	}
	return n
}

// Everything that partners do to files, and a process that dies between any two
// pages: every order is handed over once, shipped once and told once.
func TestRelayByFilesUnderFaults(t *testing.T) {
	all := make(map[simulator.Fault]float64)
	for _, f := range simulator.Faults() {
		all[f] = 0.3
	}
	for name, c := range map[string]struct {
		chance map[simulator.Fault]float64
		manner simulator.Manner
	}{
		"no faults":                 {nil, simulator.Manner{ShipAfter: 2}},
		"all faults":                {all, simulator.Manner{ShipAfter: 2, Parcels: 2, Stock: 5}},
		"all faults, files deleted": {all, simulator.Manner{ShipAfter: 1, Parcels: 2, Deletes: true, Silent: true, Stock: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFerry(t, c.chance, c.manner)
			const orders = 30
			placed := 0
			for round := 0; placed < orders || !f.settled(); round++ {
				require.Less(t, round, 300, "it does not come to rest")
				if placed < orders && round%2 == 0 {
					var sales []simulator.Sale
					for range 6 {
						placed++
						sales = append(sales, simulator.Sale{ID: fmt.Sprintf("A-%d", placed), Number: fmt.Sprintf("#%d", placed), PlacedAt: time.Date(2026, 3, 7, 9, placed, 0, 0, time.UTC), Method: "Ground",
							Buyer: simulator.Buyer{Name: "Joan Harry", Street1: "5050 Road N", City: "Waterloo", State: "ON", Zip: "01234", Country: "CA"},
							Items: []simulator.Item{{SKU: "00564", Units: 1 + placed%3}, {SKU: "MUG", Units: 2}}})
					}
					require.NoError(t, f.shop.Place(sales...))
				}
				f.round()
				if round%10 == 9 {
					_, err := f.shop.SeeToProblems()
					require.NoError(t, err)
					_, err = f.depot.SeeToProblems()
					require.NoError(t, err)
				}
			}
			f.audit(orders)
			require.Equal(t, c.chance != nil, f.unread > 0)
			if c.manner.Stock > 0 {
				require.NoError(t, f.depot.Snapshot())
				for range 10 {
					f.round()
				}
				for sku, n := range f.depot.Stock() {
					require.Equal(t, relay.Units(int64(n)), f.levels[relay.ItemCode(sku)])
				}
			}
		})
	}
}

func (f *ferry) audit(orders int) {
	f.t.Helper()
	handed := make(map[string]int)
	for _, o := range f.depot.Orders() {
		handed[o.Number]++
		require.Equal(f.t, "shipped", o.State, o.Number)
		require.Equal(f.t, "01234", o.Zip)
	}
	require.Len(f.t, handed, orders)
	for number, n := range handed {
		require.Equal(f.t, 1, n, number)
	}
	units := make(map[string]map[string]int)
	for _, p := range f.shop.Told() {
		require.Len(f.t, p.Files, 1, "%s was told twice", p.Tracking)
		if units[p.Order] == nil {
			units[p.Order] = make(map[string]int)
		}
		for line, n := range p.Units {
			units[p.Order][line] += n
		}
	}
	for _, s := range f.shop.Sales() {
		for i, it := range s.Items {
			require.Equal(f.t, it.Units, units[s.ID][fmt.Sprint(i+1)], "%s line %d", s.ID, i+1)
		}
	}
}
