package csv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// age sets the times of all that is below a folder, folders too.
func (f *folder) age(dir string, days int) {
	f.t.Helper()
	at := time.Now().AddDate(0, 0, -days)
	require.NoError(f.t, filepath.WalkDir(filepath.Join(f.dir, dir), func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(name, at, at)
	}))
}

func (f *folder) there(name string) bool {
	_, err := os.Lstat(filepath.Join(f.dir, name))
	return err == nil
}

func TestOldFilesAreRemoved(t *testing.T) {
	f := newFolder(t)
	for _, name := range []string{"shp_1.csv", "shp_1~2.csv", "ack_1.csv", "ours.txt", "inv_1.csv"} {
		require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "out/archive"), 0o755))
		f.write("out/archive/"+name, "x")
	}
	require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "out/problems"), 0o755))
	f.write("out/problems/shp_9.csv", "x")
	f.write("out/problems/shp_9.csv.why", "line 1: x\n")
	f.age("out", 101)
	f.write("out/archive/shp_new.csv", "x")
	require.NoError(t, os.Chtimes(filepath.Join(f.dir, "out/archive/shp_new.csv"), time.Now(), time.Now().AddDate(0, 0, -99)))
	pull := func(settings connectors.Values) {
		t.Helper()
		_, unread := (&depot{t: t, source: f.warehouse(settings)}).pull()
		require.Len(t, unread, 1, "of the file in problems")
	}
	pull(connectors.Values{"keep_files": "0"})
	require.Len(t, f.names("out/archive"), 6)
	pull(connectors.Values{"keep_files": "100"})
	// What is of no pattern of this reading is not ours, and what is in problems is people's.
	require.Equal(t, []string{"inv_1.csv", "ours.txt", "shp_new.csv"}, f.names("out/archive"))
	require.Len(t, f.names("out/problems"), 2)
}

// Promise 1: of a name that comes again the first version stays as long as others do, since
// that they are there is known by it. What the file says of what was refused is no news.
func TestFileThatGrowsAfterItsFirstVersionIsOld(t *testing.T) {
	f := newFolder(t)
	f.tick = time.Now().AddDate(0, 0, -50)
	keep := connectors.Values{"keep_files": "100"}
	w := f.warehouse(keep)
	d := &depot{t: t, source: w}
	put := func(text string) {
		t.Helper()
		f.write("out/ack_1.csv", text)
		d.pull()
		d.pull()
	}
	put(lines(ackHeading, "SO-9,accepted,"))
	f.age("out/archive", 101)
	f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	text := lines(ackHeading, "SO-1,rejected,")
	put(text)
	f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
	d.source = f.warehouse(keep)
	for n := range maxSeen {
		f.write(fmt.Sprintf("out/shp_%d.csv", n), lines(shipHeading, shipment("SO-9", fmt.Sprintf("1Z%d", n))))
	}
	d.pull()
	f.write("out/ack_1.csv", text+"SO-2,accepted,\n")
	u, _ := d.pull()
	require.Equal(t, []string{"SO-2"}, numbers(u))

	d.pull()
	f.age("out/archive", 101)
	d.source = f.warehouse(keep)
	d.pull()
	require.Empty(t, f.names("out/archive"), "all at once, where all are old")
}

// The snapshot that the next one is compared with is needed however old it is.
func TestLastSnapshotIsKept(t *testing.T) {
	f := newFolder(t)
	w, cursor := f.warehouse(connectors.Values{"profile": zeroProfile, "keep_files": "100"}), ""
	now := time.Now()
	w.stock.inbox.now = func() time.Time { return now }
	for i, rows := range []string{"A,1,", "A,1,\nB,1,"} {
		f.write(fmt.Sprintf("out/inv_%d.csv", i), "sku,quantity,site\n"+rows+"\n")
		reading(t, w, &cursor, 10)
	}
	reading(t, w, &cursor, 10)
	f.age("out/archive", 300)
	now = now.Add(pruneEvery)
	reading(t, w, &cursor, 10)
	require.Equal(t, []string{"inv_1.csv"}, f.names("out/archive"))
	f.write("out/inv_2.csv", lines("sku,quantity,site", "A,2,"))
	levels, _ := reading(t, w, &cursor, 10)
	require.Equal(t, []relay.InventoryLevel{level("A", "", 2), level("B", "", 0)}, levels)
}

// Promise 1: a copy goes only when it is old and the ledger knows what became of the
// order, for else it alone says that the order was handed over.
func TestOldProofsAreRemoved(t *testing.T) {
	s := newSSHD(t)
	here := newFolder(t)
	for name, c := range map[string]struct {
		f    *folder
		open func(connectors.Values) *stockedWarehouse
	}{"folder": {here, here.warehouse}, "sftp": {s.folder, s.warehouse}} {
		t.Run(name, func(t *testing.T) {
			f, w := c.f, c.open(connectors.Values{"keep_files": "100"})
			for _, number := range []string{"SO-1", "SO-2", "SO-3", "SO-4"} {
				_, err := submit(t, w, anOrder(number))
				require.NoError(t, err)
				f.remove("in/ord_" + number + "_abcdefghijklmnop.csv")
			}
			_, err := w.CancelOrder(t.Context(), "SO-1")
			require.NoError(t, err)
			f.write("out/ack_1.csv", lines("order,status,message", "SO-2,rejected,"))
			d := &depot{t: t, source: w}
			d.pull()
			d.pull()
			f.age("sent", 101)
			require.NoError(t, os.Chtimes(filepath.Join(f.dir, "sent/SO-4"), time.Now(), time.Now()))
			q := connectors.ShipmentsQuery{Cursor: d.cursor, Known: func(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
				require.Equal(t, []relay.WarehouseOrderID{"SO-1", "SO-2", "SO-3"}, ids)
				return []bool{true, true, false}, nil
			}}
			w = c.open(connectors.Values{"keep_files": "100"})
			p, err := w.PullShipments(t.Context(), q)
			require.NoError(t, err)
			require.Empty(t, p.Unread)
			require.False(t, f.there("sent/SO-1"))
			require.False(t, f.there("sent/SO-2"))
			require.Empty(t, f.names("sent/cancels"))
			require.Len(t, find(t, w, anOrder("SO-3")).Matches, 1)
			require.Len(t, find(t, w, anOrder("SO-4")).Matches, 1)
		})
	}
}

func TestOldCopiesOfACartAreRemoved(t *testing.T) {
	f := newFolder(t)
	c := f.open("csv-cart", connectors.Values{"keep_files": "100"})
	for _, key := range []string{"old", "new"} {
		out, err := c.(connectors.ShipmentSink).PushShipments(t.Context(), []connectors.ShipmentPush{
			{Key: key, Order: "A-1", TrackingNumber: "1Z" + key, Lines: []relay.ShippedLine{{Line: "/MUG", Units: 1}}}})
		require.NoError(t, err)
		require.NoError(t, out[0].Err)
		if key == "old" {
			f.age("sent", 101)
		}
	}
	orders := &shop{t: t, source: c.(connectors.OrderSource)}
	_, err := orders.source.PullOrders(t.Context(), connectors.OrdersQuery{Limit: 1, ReadOnly: true})
	require.NoError(t, err)
	require.Len(t, f.names("sent"), 2, "what only looks removes nothing")
	orders.pull()
	require.Equal(t, []string{"shp_new.csv"}, f.names("sent"))
}

// What can't be removed keeps no order waiting, and people hear of it.
func TestOldFilesThatCantBeRemoved(t *testing.T) {
	f := newFolder(t)
	require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "sent/SO-1/mine"), 0o755))
	f.age("sent", 101)
	f.write("out/ack_1.csv", lines("order,status,message", "SO-9,accepted,"))
	p, err := f.warehouse(connectors.Values{"keep_files": "100"}).PullShipments(t.Context(), connectors.ShipmentsQuery{
		Known: func(context.Context, []relay.WarehouseOrderID) ([]bool, error) { return []bool{true}, nil }})
	require.NoError(t, err)
	require.Equal(t, []string{"SO-9"}, numbers(p.Updates))
	require.Len(t, p.Unread, 1)
	require.Equal(t, "keep_files", p.Unread[0].Subject)
	require.Contains(t, p.Unread[0].Message, "old files can't be removed: ")
}

func TestForHowLongFilesAreKept(t *testing.T) {
	k := kindNamed(t, "csv")
	cfg := config(t, k, "file://"+t.TempDir(), nil, nil)
	delete(cfg.Settings, "keep_files") // as of a connection from before there was the setting
	c, err := k.Open(cfg)
	require.NoError(t, err)
	require.Equal(t, 400*24*time.Hour, c.(*stockedWarehouse).warehouse.inbox.janitor.keep)
	for s, good := range map[string]bool{"0": true, "90": true, "400": true, "89": false, "-1": false, "for ever": false, "36501": false} {
		require.Equal(t, good, checkKept(s) == nil, s)
	}
}
