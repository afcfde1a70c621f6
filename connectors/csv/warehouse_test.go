package csv

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

const orderFile = "ord_SO-1_abcdefghijklmnop.csv"

func submit(t *testing.T, w *stockedWarehouse, o connectors.WarehouseOrder) (connectors.Accepted, error) {
	t.Helper()
	p, err := w.PrepareOrder(o)
	require.NoError(t, err)
	return w.SubmitOrder(t.Context(), p)
}

func find(t *testing.T, w *stockedWarehouse, o connectors.WarehouseOrder) connectors.Lookup {
	t.Helper()
	found, err := w.FindOrders(t.Context(), connectors.LookupQuery{Orders: []connectors.LookupRequest{{Order: o}}})
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func TestOrderIsHandedOverOnceAndOnlyReceived(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(connectors.Values{"answer_within": "6h"})
	require.Equal(t, connectors.Lookup{Certain: true}, find(t, w, anOrder("SO-1")))
	got, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Equal(t, connectors.Accepted{ID: "SO-1", AnswerWithin: 6 * time.Hour}, got)
	require.Equal(t, []string{orderFile}, f.names("in"))
	require.Equal(t, lines(
		"order,order_number,placed_at,ship_method,name,company,street1,street2,city,state,zip,country,phone,email,line,sku,item,quantity,status,payment,location,tags\r",
		"SO-1,#SO-1,2026-03-07T00:00:00Z,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,N1N 1N1,CA,555-666-7777,,1,13358A,,16,,,,\r",
		"SO-1,#SO-1,2026-03-07T00:00:00Z,Ground,JOAN HARRY,,5050 Road N,,Waterloo,ON,N1N 1N1,CA,555-666-7777,,2,00564,,6,,,,\r"), f.read("in/"+orderFile))

	again, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.Equal(t, "token", find(t, w, anOrder("SO-1")).Matches[0].By)

	// The warehouse took it away, and has said nothing: it is never written again.
	f.remove("in/" + orderFile)
	again, err = submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.Empty(t, f.names("in"))
	l := find(t, w, anOrder("SO-1"))
	require.Equal(t, relay.WarehouseOrderID("SO-1"), l.Matches[0].ID)
	require.False(t, l.Matches[0].CreatedAt.IsZero())
}

func TestOtherContentUnderTheSameKeyIsAConflict(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	changed := anOrder("SO-1")
	changed.Items[0].Units = 17
	_, err = submit(t, w, changed)
	require.ErrorIs(t, err, relay.Conflict)
	f.remove("in/" + orderFile) // also when only the copy is left
	_, err = submit(t, w, changed)
	require.ErrorIs(t, err, relay.Conflict)
	require.Empty(t, f.names("in"))
}

// A ledger that was restored from a backup gives an order another token.
func TestOrderUnderAnotherTokenIsFoundByItsNumber(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	other := anOrder("SO-1")
	other.Token = "zzzzzzzzzzzzzzzz"
	_, err = submit(t, w, other)
	require.ErrorIs(t, err, relay.Conflict)
	require.Equal(t, []string{orderFile}, f.names("in"))
	l := find(t, w, other)
	require.Equal(t, "reference", l.Matches[0].By)
	require.Equal(t, relay.WarehouseOrderID("SO-1"), l.Matches[0].ID)
}

func TestRenewedOrderHasAnotherNumberAndFile(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	renewed := anOrder("SO-1")
	renewed.Renewed, renewed.Token = 1, "zzzzzzzzzzzzzzzz"
	got, err := submit(t, w, renewed)
	require.NoError(t, err)
	require.Equal(t, relay.WarehouseOrderID("SO-1_2"), got.ID)
	require.Equal(t, []string{"ord_SO-1_2_zzzzzzzzzzzzzzzz.csv", orderFile}, f.names("in"))
	require.Contains(t, f.read("in/ord_SO-1_2_zzzzzzzzzzzzzzzz.csv"), "\nSO-1_2,#SO-1,")
}

// A crash may come between any two steps of handing a file over.
func TestCrashWhileHandingOver(t *testing.T) {
	hidden, copied := filepath.Join("in", "."+orderFile+".part"), filepath.Join("sent", "SO-1", orderFile)
	for name, c := range map[string]struct {
		there  map[string]string // file -> what it holds; "=" for the order's text
		handed bool
	}{
		"nothing was done":        {nil, false},
		"half a hidden file":      {map[string]string{hidden: "order,or"}, false},
		"the hidden file":         {map[string]string{hidden: "="}, false},
		"and the copy":            {map[string]string{hidden: "=", copied: "="}, false},
		"and an older copy":       {map[string]string{hidden: "=", copied: "of another try"}, false},
		"renamed":                 {map[string]string{filepath.Join("in", orderFile): "=", copied: "="}, true},
		"renamed in two steps":    {map[string]string{filepath.Join("in", orderFile): "=", hidden: "=", copied: "="}, true},
		"renamed, and taken away": {map[string]string{copied: "="}, true},
		"the copy was cleared":    {map[string]string{filepath.Join("in", orderFile): "="}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			w := f.warehouse(nil)
			p, err := w.PrepareOrder(anOrder("SO-1"))
			require.NoError(t, err)
			var r request
			require.NoError(t, json.Unmarshal(p.Body, &r))
			require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "sent", "SO-1"), 0o755))
			for at, text := range c.there {
				f.write(at, strings.Replace(text, "=", string(r.Content), 1))
			}
			l := find(t, w, anOrder("SO-1"))
			require.Equal(t, c.handed, len(l.Matches) == 1)
			require.True(t, l.Certain)
			before := f.names("in")
			_, err = w.SubmitOrder(t.Context(), p)
			require.NoError(t, err)
			if c.handed {
				require.Equal(t, before, f.names("in"), "it was written again")
				return
			}
			require.Equal(t, []string{orderFile}, f.names("in"))
			require.Equal(t, string(r.Content), f.read("in/"+orderFile))
			require.Equal(t, string(r.Content), f.read(copied))
			require.Len(t, find(t, w, anOrder("SO-1")).Matches, 1)
		})
	}
}

func TestNothingIsWrittenOverAnotherFile(t *testing.T) {
	f := newFolder(t)
	for _, link := range []bool{false, true} {
		f.write("in/a", "a")
		f.write("in/b", "b")
		err := (&local{f.dir}).use(t.Context(), func(fs files) error {
			if link {
				return linkFree(fs.(*localFiles).root, "in/a", "in/b")
			}
			return fs.rename("in/a", "in/b")
		})
		require.ErrorIs(t, err, os.ErrExist)
		require.Equal(t, "b", f.read("in/b"))
		require.Equal(t, "a", f.read("in/a"))
	}
}

func TestNothingLeadsOutOfTheFolder(t *testing.T) {
	f := newFolder(t)
	outside := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(f.dir, "way")))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
	err := (&local{f.dir}).use(t.Context(), func(fs files) error {
		_, err := fs.open("way/secret")
		require.Error(t, err)
		require.Error(t, fs.create("../x", nil))
		require.Error(t, fs.create("way/x", nil))
		return nil
	})
	require.NoError(t, err)
	k := kindNamed(t, "csv")
	for _, bad := range []string{"../in", "/in", "in/../../x", "./in"} {
		_, _, faults := k.Configure("file:///srv", connectors.Values{"in_folder": bad}, nil)
		require.Len(t, faults, 1, bad)
	}
}

func TestCancelledContextWritesNothing(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	p, err := w.PrepareOrder(anOrder("SO-1"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.SubmitOrder(ctx, p)
	require.ErrorIs(t, err, relay.Unavailable)
	require.Empty(t, f.names("in"))
	require.Equal(t, connectors.Lookup{Certain: true}, find(t, w, anOrder("SO-1")))
}

func TestAcknowledgements(t *testing.T) {
	f := newFolder(t)
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,accepted,", "SO-2,REJECTED,no such customer", "so-3,out_of_stock,MUG", "SO-4,cancelled,", "SO-5,backordered,MUG", "SO-6,perhaps,"))
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	require.Equal(t, []connectors.OrderUpdate{
		{ID: "SO-1", Progress: connectors.InProgress, Status: "accepted", Adds: true},
		{ID: "SO-2", Progress: connectors.Refused, Status: "REJECTED", Adds: true, Hold: &relay.Hold{Reason: relay.HoldRejected, Code: "REJECTED", Words: "no such customer"}},
		{ID: "SO-3", Progress: connectors.Refused, Status: "out_of_stock", Adds: true, Hold: &relay.Hold{Reason: relay.HoldInsufficientInventory, Code: "out_of_stock", Words: "MUG"}},
		{ID: "SO-4", Progress: connectors.Cancelled, Status: "cancelled", Adds: true},
		{ID: "SO-5", Progress: connectors.InTrouble, Status: "backordered", Adds: true, Hold: &relay.Hold{Reason: relay.HoldRejected, Code: "backordered", Words: "MUG"}},
	}, updates)
	require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 7, Message: `status: no word of the profile`}}, unread)
}

// A refused order may be handed over again, as another submission.
func TestRefusedOrderIsHandedOverAnew(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,rejected,"))
	d := &depot{t: t, source: w}
	updates, _ := d.pull()
	require.Equal(t, connectors.Refused, updates[0].Progress)
	next := anOrder("SO-1")
	next.Token = "zzzzzzzzzzzzzzzz"
	_, err = submit(t, w, next)
	require.NoError(t, err)
	require.Contains(t, f.names("in"), "ord_SO-1_zzzzzzzzzzzzzzzz.csv")
	require.Equal(t, "token", find(t, w, next).Matches[0].By)
}

func TestOrdersThatNoFileCanHold(t *testing.T) {
	w := newFolder(t).warehouse(nil)
	for name, c := range map[string]struct {
		change func(*connectors.WarehouseOrder)
		field  string
		reason relay.HoldReason
	}{
		"no items":   {func(o *connectors.WarehouseOrder) { o.Items = nil }, "order", relay.HoldBadOrder},
		"no code":    {func(o *connectors.WarehouseOrder) { o.Items[1].Code = " " }, "lines[1]", relay.HoldBadOrder},
		"no units":   {func(o *connectors.WarehouseOrder) { o.Items[0].Units = 0 }, "lines[0]", relay.HoldBadOrder},
		"no text":    {func(o *connectors.WarehouseOrder) { o.ShipTo.City = "a\x00b" }, "ship_to.city", relay.HoldBadAddress},
		"a bell":     {func(o *connectors.WarehouseOrder) { o.Number = "\a" }, "number", relay.HoldBadOrder},
		"no UTF-8":   {func(o *connectors.WarehouseOrder) { o.ShipTo.Name = "\xff" }, "ship_to.name", relay.HoldBadAddress},
		"a bad path": {func(o *connectors.WarehouseOrder) { o.Reference = "../SO-1" }, "order", relay.HoldBadOrder},
	} {
		o := anOrder("SO-1")
		c.change(&o)
		_, err := w.PrepareOrder(o)
		var refused *relay.Error
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, relay.Invalid, refused.Kind)
		require.Equal(t, c.field, refused.Fields[0].Field, name)
		require.Equal(t, c.reason, refused.Reason, name)
	}
}

func TestCancels(t *testing.T) {
	f := newFolder(t)
	answer, err := f.warehouse(nil).CancelOrder(t.Context(), "SO-1")
	require.NoError(t, err)
	require.Equal(t, connectors.CancelPending, answer.Result)
	require.Equal(t, "asked by the file can_SO-1.csv; the warehouse has not answered", answer.Evidence)
	_, err = f.warehouse(nil).CancelOrder(t.Context(), "SO-1") // harmless twice
	require.NoError(t, err)
	require.Equal(t, []string{"can_SO-1.csv"}, f.names("in"))
	require.Equal(t, "order\r\nSO-1\r\n", f.read("in/can_SO-1.csv"))

	// Where the profile has no cancels a person must be asked, and that is what it says.
	answer, err = f.warehouse(connectors.Values{"profile": "dropstream"}).CancelOrder(t.Context(), "SO-2")
	require.NoError(t, err)
	require.Equal(t, connectors.CancelPending, answer.Result)
	require.Contains(t, answer.Evidence, "Ask a person there to stop order SO-2")
	require.Equal(t, []string{"can_SO-1.csv"}, f.names("in"))
}

func TestShipments(t *testing.T) {
	f := newFolder(t)
	// Two parcels of one order whose rows are mixed, a row that stands there twice, and a later part.
	f.write("out/shp_1.csv", lines("order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity",
		"SO-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,1,13358A,2",
		"SO-1,UPS,Ground,1Z2,,2026-03-08T10:00:00Z,1,13358A,1",
		"SO-2,USPS,,00940,https://t.example/00940,,,MUG,1",
		"SO-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,2,00564,6",
		"SO-1,UPS,Ground,1Z1,,2026-03-08T10:00:00Z,2,00564,6"))
	f.write("out/shp_2.csv", lines("order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity",
		"SO-1,UPS,Ground,1Z3,,2026-03-09T10:00:00Z,1,13358A,13"))
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	require.Empty(t, unread)
	at := time.Date(2026, 3, 8, 10, 0, 0, 0, time.UTC)
	require.Equal(t, []connectors.OrderUpdate{
		{ID: "SO-1", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{
			{Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z1", ShippedAt: at, Items: []relay.Item{{Code: "13358A", Units: 2}, {Code: "00564", Units: 6}}},
			{Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z2", ShippedAt: at, Items: []relay.Item{{Code: "13358A", Units: 1}}},
		}},
		{ID: "SO-2", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{
			{Carrier: "USPS", TrackingNumber: "00940", TrackingURL: "https://t.example/00940", ShippedAt: f.tick.Add(-time.Minute), Items: []relay.Item{{Code: "MUG", Units: 1}}},
		}},
		{ID: "SO-1", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{
			{Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z3", ShippedAt: at.AddDate(0, 0, 1), Items: []relay.Item{{Code: "13358A", Units: 13}}},
		}},
	}, updates)
}

func TestBadRowsLoseNoGoodOnes(t *testing.T) {
	f := newFolder(t)
	heading := "order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity"
	f.write("out/shp_1.csv", lines(heading,
		"SO-1,UPS,,1Z1,,,,MUG,1",
		"SO-2,USPS,,9.4001E+21,,,,MUG,1",
		`SO-3,UPS,"1Z3,,,,MUG,1`, // a quote that is never closed
		"SO-4,UPS,,1Z4,,,,MUG,none",
		"SO-4,UPS,,1Z4,,,,CAP,1", // the same parcel: half of it is not told
		"SO-4,UPS,,1Z5,,,,CAP,1",
		"SO-5,UPS",
		"SO-6,UPS,,1Z6,,tomorrow,,MUG,1",
		"SO-7,UPS,,1Z7,,,,MUG,1"))
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	told := func(updates []connectors.OrderUpdate) (out []string) {
		for _, u := range updates {
			for _, p := range u.Packages {
				out = append(out, string(u.ID)+" "+p.TrackingNumber)
			}
		}
		return out
	}
	require.Equal(t, []string{"SO-1 1Z1", "SO-4 1Z5", "SO-7 1Z7"}, told(updates))
	want := []connectors.Unread{
		{Subject: "shp_1.csv", Line: 3, Message: "tracking: 9.4001E+21 is in scientific notation, so that digits are lost: have the column saved as text"},
		{Subject: "shp_1.csv", Line: 4, Message: "a quote is not closed"},
		{Subject: "shp_1.csv", Line: 5, Message: "quantity: want a whole number, 1 or more"},
		{Subject: "shp_1.csv", Line: 8, Message: "the row has 2 cells: want 9"},
		{Subject: "shp_1.csv", Line: 9, Message: "shipped_at: want an ISO 8601 time such as 2026-03-07T09:30:00Z"},
	}
	require.ElementsMatch(t, want, unread)

	// It is kept, with the reasons beside it, and reported until somebody removes it.
	require.Equal(t, []string{"shp_1.csv"}, f.names("out"), "nobody has committed the page yet")
	for range 2 {
		updates, unread = d.pull()
		require.Empty(t, updates)
		require.ElementsMatch(t, want, unread)
		require.Empty(t, f.names("out"))
		require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, f.names("out/problems"))
	}

	// Mended and dropped in again: what was taken comes again, and harms nobody.
	f.write("out/shp_1.csv", lines(heading, "SO-1,UPS,,1Z1,,,,MUG,1", "SO-2,USPS,,9400100000000000000000,,,,MUG,1"))
	updates, unread = d.pull()
	require.Equal(t, []string{"SO-1 1Z1", "SO-2 9400100000000000000000"}, told(updates))
	require.ElementsMatch(t, want, unread)
	f.remove("out/problems/shp_1.csv")
	updates, unread = d.pull()
	require.Empty(t, updates)
	require.Empty(t, unread)
	require.Empty(t, f.names("out/problems"))
	require.Equal(t, []string{"shp_1.csv"}, f.names("out/archive"))
}

func TestParcelsThatTellTheOrderIsComplete(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", lines("order,tracking,done", "SO-1,1Z1,no", "SO-2,1Z2,yes"))
	d := &depot{t: t, source: f.warehouse(connectors.Values{"profile": `
extends: standard
shipments:
  read: ["shp_*.csv"]
  columns: [order, tracking, {field: complete, heading: done, words: {complete: ["yes"], partial: ["no"]}}]
`})}
	updates, unread := d.pull()
	require.Empty(t, unread)
	require.Equal(t, connectors.PartShipped, updates[0].Progress)
	require.Equal(t, connectors.FullShipped, updates[1].Progress)

	f = newFolder(t)
	f.write("out/shp_1.csv", lines("order,tracking", "SO-1,1Z1"))
	d = &depot{t: t, source: f.warehouse(connectors.Values{"profile": `
extends: standard
shipments: {read: ["shp_*.csv"], whole_orders: true, columns: [order, tracking]}
`})}
	updates, _ = d.pull()
	require.Equal(t, connectors.FullShipped, updates[0].Progress)
}

// A crash between handing an order over and writing that down leaves it in doubt.
// What files tell of it meanwhile waits until the ledger has found it.
func TestNothingIsToldOfAnOrderInDoubt(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	f.write("out/ack_1.csv", lines("order,status,message", "OTHER-1,accepted,", "SO-1,accepted,", "OTHER-2,accepted,"))
	f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1")))
	ledger := false
	q := connectors.ShipmentsQuery{Known: func(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
		require.Equal(t, []relay.WarehouseOrderID{"SO-1"}, ids, "only of what we handed over")
		return []bool{ledger}, nil
	}}
	pull := func() []string {
		t.Helper()
		p, err := w.PullShipments(t.Context(), q)
		require.NoError(t, err)
		require.False(t, p.More)
		q.Cursor = p.Cursor
		return numbers(p.Updates)
	}
	require.Equal(t, []string{"OTHER-1"}, pull())
	require.Empty(t, pull())
	require.Equal(t, []string{"ack_1.csv", "shp_1.csv"}, f.names("out"))
	ledger = true
	require.Equal(t, []string{"SO-1", "OTHER-2", "SO-1"}, pull())

	// One that is open is known without asking.
	f.write("out/shp_2.csv", lines(shipHeading, shipment("SO-1", "1Z2")))
	q.Open, ledger = []connectors.OpenOrder{{ID: "SO-1"}}, false
	require.Equal(t, []string{"SO-1"}, pull())
}
