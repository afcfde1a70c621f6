package connectortest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// maxPages is how many pages of a few rows are read before the suite takes a
// list to be without an end.
const maxPages = 200

// What the checks trade in. SKUs and item codes are alike: EANs with a leading zero.

func sku(n int) relay.SKU       { return relay.SKU(fmt.Sprintf("07000000%05d", n)) }
func code(n int) relay.ItemCode { return relay.ItemCode(sku(n)) }

// placed places orders of two lines each.
func (w *world) placed(n int) []relay.CartOrder {
	var out []relay.CartOrder
	for range n {
		out = append(out, w.place())
	}
	return out
}

func (w *world) place() relay.CartOrder {
	w.seed++
	o, err := at[Shop](w).PlaceOrder(relay.CartOrder{
		Number: fmt.Sprintf("SO-%04d", w.seed), ShipTo: canaryAddress(),
		Lines: []relay.Line{{SKU: sku(1), Quantity: relay.Units(2)}, {SKU: sku(2), Quantity: relay.Units(1)}},
	})
	w.done(err)
	require.Len(w.t, o.Lines, 2, "the placed order's lines")
	return o
}

func idsOf(orders []relay.CartOrder) []relay.ExternalID {
	var out []relay.ExternalID
	for _, o := range orders {
		out = append(out, o.ExternalID)
	}
	return out
}

// describe is an order as a claim: without time stamps and ids.
func describe(o relay.CartOrder) string {
	a := o.ShipTo
	out := []string{o.Number, a.Name, a.Company, a.Street1, a.Street2, a.City, a.State, a.Zip, a.Country, a.Phone, a.Email}
	for _, l := range o.Lines {
		out = append(out, fmt.Sprintf("%s x %s", l.Quantity, l.SKU))
	}
	return strings.Join(append(out, fmt.Sprint(o.Problems)), " | ")
}

// parcelOf is a push of so many units of an order's first line.
func parcelOf(o relay.CartOrder, key, tracking string, units int64) connectors.ShipmentPush {
	return connectors.ShipmentPush{
		Key: key, Order: o.ExternalID, Carrier: "USPS", Service: "Priority", TrackingNumber: tracking,
		TrackingURL: "https://track.example.test/" + tracking, ShippedAt: time.Now(),
		Lines: []relay.ShippedLine{{Line: o.Lines[0].ID, Units: units}},
	}
}

// push pushes and returns the outcomes; the batch itself must not fail.
func (w *world) push(pushes ...connectors.ShipmentPush) []connectors.ShipmentOutcome {
	out, err := use[connectors.ShipmentSink](w).PushShipments(w.ctx(), pushes)
	w.good(err)
	require.Len(w.t, out, len(pushes), "an outcome for each push")
	for _, o := range out {
		w.saw(o.Err)
	}
	return out
}

// parcels are the packages in the cart's books.
func (w *world) parcels(id relay.ExternalID) string {
	list, err := at[Parcels](w).Parcels(id)
	w.done(err)
	var out []string
	for _, p := range list {
		var units []string
		for _, s := range slices.Sorted(maps.Keys(p.Units)) {
			units = append(units, fmt.Sprintf("%d x %s", p.Units[s], s))
		}
		out = append(out, fmt.Sprintf("%s shipped %t: %s", p.TrackingNumber, p.Shipped, strings.Join(units, ", ")))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (w *world) voided(id relay.ExternalID) bool {
	v, err := at[Voider](w).Voided(id)
	w.done(err)
	return v
}

func (w *world) level(s relay.SKU) string {
	q, known, err := at[Shelf](w).Level(s)
	w.done(err)
	if !known {
		return "unknown"
	}
	return q.String()
}

// stocked puts plenty of two items into the warehouse.
func (w *world) stocked() {
	for n := 1; n <= 2; n++ {
		w.done(at[Depot](w).Stock(code(n), relay.Units(500)))
	}
}

// order is one that a warehouse takes, with a token and a number of its own.
func (w *world) order() connectors.WarehouseOrder {
	w.seed++
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	n, token := w.seed, []byte("tokenofthesuitea")
	for i := len(token) - 1; n > 0; i-- {
		token[i] = letters[n%len(letters)]
		n /= len(letters)
	}
	return connectors.WarehouseOrder{
		Token: relay.Token(token), Reference: relay.Reference(fmt.Sprintf("R%04d", w.seed)), Number: fmt.Sprintf("SO-%04d", w.seed),
		ShipTo: canaryAddress(), Items: []relay.Item{{Code: code(1), Units: 2}, {Code: code(2), Units: 1}}, PlacedAt: time.Now(),
	}
}

// submit has the warehouse take an order.
func (w *world) submit(o connectors.WarehouseOrder) relay.WarehouseOrderID {
	sink := use[connectors.OrderSink](w)
	p, err := sink.PrepareOrder(o)
	w.good(err)
	a, err := sink.SubmitOrder(w.ctx(), p)
	w.good(err)
	require.NotEmpty(w.t, a.ID, "an accepted order has an id")
	w.takeIn()
	return a.ID
}

// takeIn lets a warehouse that takes its time look through what it received.
func (w *world) takeIn() {
	if d, ok := w.system.(Desk); ok {
		w.done(d.TakeIn())
	}
}

// held are the warehouse's books.
func (w *world) held() []Held {
	list, err := at[Depot](w).Orders()
	w.done(err)
	return list
}

// heldAs is the order with an id.
func (w *world) heldAs(id relay.WarehouseOrderID) Held {
	for _, h := range w.held() {
		if h.ID == id {
			return h
		}
	}
	w.t.Fatalf("the warehouse has no order %s", id)
	return Held{}
}

// depot is the books as a text, without ids.
func (w *world) depot() string {
	var out []string
	for _, h := range w.held() {
		out = append(out, fmt.Sprintf("%s: %v, cancelled %t", bare(fields(h.ShipTo)...), h.Items, h.Cancelled))
	}
	return strings.Join(out, "; ")
}

// parcel is a package of one unit of the first item.
func parcel(n int) relay.Package {
	return relay.Package{Carrier: "USPS", TrackingNumber: fmt.Sprintf("94001%05d", n), Items: []relay.Item{{Code: code(1), Units: 1}}}
}

// rest is a package of all that parcels 1 and 2 leave of an order.
func rest(n int) relay.Package {
	p := parcel(n)
	p.Items = []relay.Item{{Code: code(2), Units: 1}}
	return p
}

func (w *world) ship(id relay.WarehouseOrderID, packages ...relay.Package) {
	w.done(at[Dock](w).Ship(id, packages...))
}

// updates pulls until there is no more and returns what became of each order,
// packages added up, and the last cursor.
func (w *world) updates(cursor string, open ...relay.WarehouseOrderID) (map[relay.WarehouseOrderID]connectors.OrderUpdate, string) {
	q := connectors.ShipmentsQuery{Cursor: cursor}
	for _, id := range open {
		q.Open = append(q.Open, connectors.OpenOrder{ID: id, AcceptedAt: time.Now()})
	}
	src := use[connectors.ShipmentSource](w)
	out := map[relay.WarehouseOrderID]connectors.OrderUpdate{}
	for range maxPages {
		page, err := src.PullShipments(w.ctx(), q)
		w.good(err)
		for _, u := range page.Updates {
			w.public("unread row", fmt.Sprint(page.Unread))
			require.LessOrEqual(w.t, len([]rune(u.Status)), 64, "a status")
			if u.Adds {
				u.Packages = append(slices.Clone(out[u.ID].Packages), u.Packages...)
			}
			out[u.ID] = u
		}
		if q.Cursor = page.Cursor; !page.More {
			return out, q.Cursor
		}
	}
	w.t.Fatalf("the pull of shipments does not end")
	return nil, ""
}

// describeUpdate is an update as a claim.
func describeUpdate(u connectors.OrderUpdate) string {
	var keys []string
	for _, p := range u.Packages {
		keys = append(keys, fmt.Sprint(p.Key(), p.Items))
	}
	slices.Sort(keys)
	return fmt.Sprint(u.Progress, keys)
}

// pullLevels reads the whole of a warehouse's stock; partial says that codes may be missing.
func (w *world) pullLevels(ctx context.Context, limit int) (told claims, partial bool, err error) {
	src := use[connectors.InventorySource](w)
	told, cursor := claims{}, ""
	for range maxPages {
		page, err := src.PullInventory(ctx, connectors.InventoryQuery{Cursor: cursor, Limit: limit})
		if err != nil {
			return told, partial, err
		}
		require.Contains(w.t, []connectors.StockMeaning{connectors.NetOfOrders, connectors.OnHand}, page.Meaning, "what the quantities mean")
		partial = partial || page.Partial
		codes := map[relay.ItemCode]relay.Quantity{}
		for _, l := range page.Levels {
			codes[l.Code] += l.Quantity
		}
		require.LessOrEqual(w.t, len(codes), limit, "codes in a page")
		for c, q := range codes {
			_, twice := told[string(c)]
			require.False(w.t, twice, "%s is in two pages", c)
			told[string(c)] = q.String()
		}
		if cursor = page.Cursor; !page.More {
			return told, partial, nil
		}
	}
	w.t.Fatalf("the pull of inventory does not end")
	return nil, false, nil
}

// nobodys says that the ledger holds none of the warehouse orders.
func nobodys(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
	return make([]bool, len(ids)), nil
}
