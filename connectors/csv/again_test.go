package csv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// Promise 1: a mirror puts back a refusal that is older than all that the cursor knows.
func TestRefusalThatComesBackLate(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	_, err := submit(t, w, anOrder("SO-1"))
	require.NoError(t, err)
	f.remove("in/" + orderFile)
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,rejected,no"))
	mod := f.tick
	u, _ := d.pull()
	require.Len(t, u, 1)
	d.pull()
	again := anOrder("SO-1")
	again.Token = "zzzzzzzzzzzzzzzz"
	_, err = submit(t, w, again)
	require.NoError(t, err)
	for i := range 130 {
		f.write(fmt.Sprintf("out/ack_x%d.csv", i), lines("order,status,message", fmt.Sprintf("X-%d,accepted,", i)))
	}
	d.pull()
	d.pull()
	f.write("out/ack_1.csv", lines("order,status,message", "SO-1,rejected,no"))
	require.NoError(t, os.Chtimes(filepath.Join(f.dir, "out/ack_1.csv"), mod, mod))
	u, _ = d.pull()
	require.Empty(t, u, "a refusal from before the second hand-over is told of it")
}

// The profile is mended, and not the file: it is dropped in again as it was.
func TestProfileMendedInsteadOfTheFile(t *testing.T) {
	f := newFolder(t)
	d := &depot{t: t, source: f.warehouse(nil)}
	f.write("out/shp_1.csv", lines("Auftrag,tracking", "SO-1,1Z1"))
	_, unread := d.pull()
	require.NotEmpty(t, unread)
	d.pull()
	require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, f.names("out/problems"))
	d.source = f.warehouse(connectors.Values{"profile": "extends: standard\nshipments:\n  read: [\"shp_*.csv\"]\n  columns:\n    - {field: order, heading: Auftrag}\n    - {field: tracking}\n"})
	require.NoError(t, os.Rename(filepath.Join(f.dir, "out/problems/shp_1.csv"), filepath.Join(f.dir, "out/shp_1.csv")))
	u, _ := d.pull()
	d.pull()
	require.Len(t, u, 1, "the parcel is lost")
}

// Of acknowledgements, what could not be read before is heard then, and nothing else.
func TestProfileMendedInsteadOfTheAcknowledgements(t *testing.T) {
	for name, removedFirst := range map[string]bool{"dropped in again": false, "removed first": true} {
		t.Run(name, func(t *testing.T) {
			const text = "order,status,message\nSO-1,rejected,\nSO-2,declined,\n"
			f := newFolder(t)
			w := f.warehouse(nil)
			d := &depot{t: t, source: w}
			f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
			f.handOver(w, "SO-2", "aaaaaaaaaaaaaaaa")
			f.write("out/ack_1.csv", text)
			u, unread := d.pull()
			require.Equal(t, []string{"SO-1"}, numbers(u))
			require.Equal(t, []string{"ack_1.csv:3"}, subjects(unread))
			d.pull()
			mended := f.warehouse(connectors.Values{"profile": `
extends: standard
acknowledgements:
  read: ["ack_*.csv"]
  columns: [order, {field: status, words: {refused: [rejected, declined]}}, message]
`})
			d.source = mended
			if removedFirst {
				f.remove("out/problems/ack_1.csv")
			}
			f.write("out/ack_1.csv", text)
			f.handOver(mended, "SO-1", "bbbbbbbbbbbbbbbb")
			u, _ = d.pull()
			require.Equal(t, []string{"SO-2"}, numbers(u), "SO-1 was refused before it was handed over again")
			u, _ = d.pull()
			require.Empty(t, u)
		})
	}
}

// A snapshot was put away, and the cursor behind it lost: it is still what the next one is compared with.
func TestLastSnapshotAfterACrash(t *testing.T) {
	f := newFolder(t)
	profile := "extends: standard\ninventory:\n  read: [\"inv_*.csv\"]\n  tells: snapshot\n  missing: zero\n  columns: [sku, quantity]\n"
	w := f.warehouse(connectors.Values{"profile": profile})
	cursor := ""
	pull := func(keep bool) []string {
		var out []string
		for {
			p, err := w.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: cursor, Limit: 100})
			require.NoError(t, err)
			for _, l := range p.Levels {
				out = append(out, fmt.Sprint(l.Code, "=", l.Quantity))
			}
			if keep {
				cursor = p.Cursor
			}
			if !p.More || !keep {
				return out
			}
		}
	}
	f.write("out/inv_1.csv", lines("sku,quantity", "A,1"))
	require.Equal(t, []string{"A=1"}, pull(true))
	pull(true)
	f.write("out/inv_2.csv", lines("sku,quantity", "A,1", "B,2"))
	require.Contains(t, pull(true), "B=2")
	pull(false) // puts inv_2 away; its cursor is lost
	f.write("out/inv_3.csv", lines("sku,quantity", "A,1"))
	require.Contains(t, pull(true), "B=0")
}

// A partner may write the same name for ever.
func TestNamesInTheArchiveNeverRunOut(t *testing.T) {
	f := newFolder(t)
	d := &depot{t: t, source: f.warehouse(nil)}
	require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "out/archive"), 0o755))
	f.write("out/archive/shp_a.csv", "x")
	for n := 2; n < 1000; n++ {
		f.write(fmt.Sprintf("out/archive/shp_a~%d.csv", n), "x")
	}
	f.write("out/shp_a.csv", lines("order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity", "SO-1,UPS,,1Z1,,,,,"))
	u, _ := d.pull()
	require.Len(t, u, 1)
	f.write("out/shp_2.csv", lines("order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity", "SO-2,UPS,,1Z2,,,,,"))
	u, _ = d.pull()
	require.Equal(t, []string{"SO-2"}, numbers(u))
}

// What lies in problems and can't be read stops nothing.
func TestReasonsThatCantBeRead(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "out/problems"), 0o755))
	f.write("out/problems/ack_1.csv", lines("order,status,message", "SO-1,rejected,"))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(f.dir, "out/problems/ack_1.csv.why")))
	_, err := w.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: d.cursor})
	require.NoError(t, err)
}

// Promise 1: a partner who writes on in the same file repeats what was told of an order that was handed over again since.
func TestFileThatGrows(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	f.handOver(w, "SO-2", "aaaaaaaaaaaaaaaa")
	for i, c := range []struct{ rows, news []string }{
		{nil, nil},
		{[]string{"SO-1,rejected,"}, []string{"SO-1"}},
		{[]string{"SO-1,rejected,", "SO-2,rejected,"}, []string{"SO-2"}},
		{[]string{"SO-1,rejected,", "SO-2,rejected,", "SO-1,rejected,"}, []string{"SO-1"}}, // a second refusal
	} {
		f.write("out/ack_1.csv", lines(append([]string{"order,status,message"}, c.rows...)...))
		u, _ := d.pull()
		require.Equal(t, c.news, numbers(u))
		d.pull()
		if len(c.news) > 0 {
			f.handOver(w, c.news[0], relay.Token(strings.Repeat("bcde"[i:i+1], 16)))
		}
	}
}

// And while something that it tells waits for the ledger.
func TestFileThatGrowsWhileItWaits(t *testing.T) {
	d := newDoubts(t, "SO-1", "SO-2")
	w := d.f.warehouse(nil)
	const heading, first, bad = "order,status,message", "OTHER-1,rejected,", "OTHER-2,perhaps,"
	d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
	d.f.write("out/ack_1.csv", lines(heading, first, "SO-1,accepted,", bad))
	told, _ := d.pull()
	require.Equal(t, []string{"OTHER-1 rejected"}, told)
	d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
	d.f.write("out/ack_1.csv", lines(heading, first, "SO-1,accepted,", bad, "SO-2,accepted,", "OTHER-3,accepted,"))
	told, unread := d.pull()
	require.Equal(t, []string{"OTHER-3 accepted"}, told)
	require.Equal(t, []string{"ack_1.csv:4"}, subjects(unread))
	d.f.write("out/ack_1.csv", lines(heading, first, "SO-1,accepted,", bad, "SO-2,accepted,", "OTHER-3,accepted,", "SO-1,rejected,"))
	told, _ = d.pull()
	require.Empty(t, told)
	d.knows["SO-1"], d.knows["SO-2"] = true, true
	told, unread = d.pull()
	require.Equal(t, []string{"SO-1 rejected", "SO-2 accepted"}, told)
	require.Equal(t, []string{"ack_1.csv:4"}, subjects(unread))
	told, _ = d.pull()
	require.Empty(t, told)
	require.Equal(t, []string{"ack_1.csv", "ack_1.csv.why"}, d.f.names("out/problems"))
}

// As many orders wait in it as may.
func TestFullFileThatGrowsWhileItWaits(t *testing.T) {
	d := newDoubts(t)
	text, want := "order,status,message\n", []string{"SO-000 rejected"}
	for n := range maxLater {
		number := fmt.Sprintf("SO-%03d", n)
		sent := filepath.Join(d.f.dir, "sent", number)
		require.NoError(t, os.MkdirAll(sent, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(sent, orderFile), nil, 0o644)) // just now
		text += number + ",accepted,\n"
		if n > 0 {
			want = append(want, number+" accepted")
		}
	}
	d.f.write("out/ack_1.csv", text)
	told, _ := d.pull()
	require.Empty(t, told)
	d.f.write("out/ack_1.csv", text+"SO-000,rejected,\nOTHER-1,accepted,\n")
	told, _ = d.pull()
	require.Equal(t, []string{"OTHER-1 accepted"}, told)
	for n := range maxLater {
		d.knows[relay.WarehouseOrderID(fmt.Sprintf("SO-%03d", n))] = true
	}
	told, _ = d.pull()
	require.Equal(t, want, told)
}

// A mirror puts back a file that is no such file at all.
func TestProblemThatComesBack(t *testing.T) {
	f := newFolder(t)
	d := &depot{t: t, source: f.warehouse(nil)}
	f.write("out/shp_1.csv", lines("Auftrag,tracking", "SO-1,1Z1"))
	mod := f.tick
	d.pull()
	d.pull()
	for range 3 {
		f.write("out/shp_1.csv", lines("Auftrag,tracking", "SO-1,1Z1"))
		require.NoError(t, os.Chtimes(filepath.Join(f.dir, "out/shp_1.csv"), mod, mod))
		d.pull()
		d.pull()
	}
	require.Equal(t, []string{"shp_1.csv", "shp_1.csv.why"}, f.names("out/problems"))
	f.write("out/shp_1_copy.csv", lines("Auftrag,tracking", "SO-1,1Z1"))
	d.pull()
	d.pull()
	require.Contains(t, f.names("out/problems"), "shp_1_copy.csv")
}

// A mirror of more files than the cursor knows is not read again.
func TestMirrorOfManyFiles(t *testing.T) {
	f := newFolder(t)
	d := &depot{t: t, source: f.warehouse(nil)}
	start := f.tick
	for round := range 3 {
		f.tick = start
		for i := range 150 {
			f.write(fmt.Sprintf("out/ack_%d.csv", i), lines("order,status,message", fmt.Sprintf("X-%d,accepted,", i)))
		}
		u, _ := d.pull()
		if round > 0 {
			require.Empty(t, u)
		}
		d.pull()
		require.Len(t, f.names("out/archive"), 150)
	}
}
