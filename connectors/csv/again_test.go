package csv

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// Promise 1: what could not be read was said of what had been handed over by then, and
// refuses nothing that was handed over since, whatever time the file comes back with.
func TestProfileMendedAfterTheOrderWasHandedOverAgain(t *testing.T) {
	for name, moved := range map[string]bool{"moved back": true, "copied back": false} {
		t.Run(name, func(t *testing.T) {
			const text = "order,status,message\nSO-1,declined,\nSO-2,declined,\n"
			f := newFolder(t)
			w := f.warehouse(nil)
			d := &depot{t: t, source: w}
			f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
			f.handOver(w, "SO-2", "aaaaaaaaaaaaaaaa")
			f.write("out/ack_1.csv", text)
			d.pull()
			f.write("out/ack_2.csv", "order,status,message\nSO-1,rejected,\n") // said in our words then
			u, _ := d.pull()
			require.Equal(t, []string{"SO-1"}, numbers(u))
			f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
			d.source = f.warehouse(connectors.Values{"profile": `
extends: standard
acknowledgements:
  read: ["ack_*.csv"]
  columns: [order, {field: status, words: {refused: [rejected, declined]}}, message]
`})
			if moved {
				require.NoError(t, os.Rename(filepath.Join(f.dir, "out/problems/ack_1.csv"), filepath.Join(f.dir, "out/ack_1_again.csv")))
			} else {
				f.write("out/ack_1.csv", text)
			}
			u, _ = d.pull()
			require.Equal(t, []string{"SO-2"}, numbers(u), "SO-1 was declined before it was handed over again")
		})
	}
}

// Promise 3: of more bad rows than are named nobody knows which they were, and that is said.
func TestProfileMendedForMoreRowsThanAreNamed(t *testing.T) {
	for name, removedFirst := range map[string]bool{"dropped in again": false, "removed first": true} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			w := f.warehouse(nil)
			d := &depot{t: t, source: w}
			rows := []string{"order,status,message"}
			for n := range maxBad + 10 {
				number := fmt.Sprintf("SO-%03d", n)
				f.handOver(w, number, "aaaaaaaaaaaaaaaa")
				rows = append(rows, number+",declined,")
			}
			f.write("out/ack_1.csv", lines(rows...))
			u, unread := d.pull()
			require.Empty(t, u)
			require.Len(t, unread, maxBad)
			d.pull()
			d.source = f.warehouse(connectors.Values{"profile": `
extends: standard
acknowledgements:
  read: ["ack_*.csv"]
  columns: [order, {field: status, words: {refused: [rejected, declined]}}, message]
`})
			if removedFirst {
				f.remove("out/problems/ack_1.csv")
			}
			f.write("out/ack_1.csv", lines(rows...))
			u, _ = d.pull()
			require.Len(t, u, maxBad)
			if !removedFirst {
				f.remove("out/problems/ack_1.csv")
			}
			_, unread = d.pull()
			require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Message: fmt.Sprintf(notNamed, 10)}}, unread)
			require.NotContains(t, f.read("out/problems/ack_1.csv.why"), "Drop the mended file in first")
			f.remove("out/problems/ack_1.csv")
			f.write("out/ack_2.csv", lines(append(rows[:1:1], rows[maxBad+1:]...)...))
			u, _ = d.pull()
			require.Len(t, u, 10)
		})
	}
}

// And where they come while a file that has them lies in problems: told or not, nobody knows.
func TestRowsThatWereNotNamedComeFirst(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	d := &depot{t: t, source: w}
	rows := []string{"order,status,message"}
	for n := range maxBad + 10 {
		number := fmt.Sprintf("SO-%03d", n)
		f.handOver(w, number, "aaaaaaaaaaaaaaaa")
		rows = append(rows, number+",declined,")
	}
	f.write("out/ack_1.csv", lines(rows...))
	d.pull()
	d.pull()
	d.source = f.warehouse(connectors.Values{"profile": `
extends: standard
acknowledgements:
  read: ["ack_*.csv"]
  columns: [order, {field: status, words: {refused: [rejected, declined]}}, message]
`})
	rest := lines(append(rows[:1:1], rows[maxBad+1:]...)...)
	f.write("out/ack_2.csv", rest)
	u, unread := d.pull()
	require.Empty(t, u)
	require.Contains(t, unread, connectors.Unread{Subject: "ack_2.csv", Line: 11, Message: "order: " + wantUnheard})
	d.pull()
	f.write("out/ack_1_mended.csv", lines(append(rows, "OTHER-1,rejected,")...))
	u, unread = d.pull()
	require.Len(t, u, maxBad+1)
	require.Contains(t, unread, connectors.Unread{Subject: "ack_1_mended.csv", Line: maxBad + 11, Message: "order: " + wantUnheard})
	d.pull()
	for _, name := range f.names("out/problems") {
		f.remove("out/problems/" + name)
	}
	f.write("out/ack_3.csv", rest)
	u, unread = d.pull()
	require.Len(t, u, 10)
	require.Empty(t, unread)
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

// And of an order that waits only since: what was told of it before is no news.
func TestFileThatGrowsByWhatWaits(t *testing.T) {
	d := newDoubts(t)
	w := d.f.warehouse(nil)
	const heading, first = "order,status,message", "SO-1,rejected,"
	d.f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	d.knows["SO-1"] = true
	d.f.write("out/ack_1.csv", lines(heading, first))
	told, _ := d.pull()
	require.Equal(t, []string{"SO-1 rejected"}, told)
	d.pull()
	d.f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
	d.knows["SO-1"] = false // as after a backup was restored
	d.f.write("out/ack_1.csv", lines(heading, first, "SO-1,perhaps,"))
	told, _ = d.pull()
	require.Empty(t, told)
	d.knows["SO-1"] = true
	told, unread := d.pull()
	require.Empty(t, told)
	require.Equal(t, []string{"ack_1.csv:3"}, subjects(unread))
}

// Promise 1: a mirror that keeps no times touches it, and nothing in it is news.
func TestFileThatIsTouchedWhileItWaits(t *testing.T) {
	for name, c := range map[string]struct{ file, text, first, then string }{
		"acknowledgements": {"ack_1.csv", lines("order,status,message", "OTHER-1,rejected,", "SO-1,accepted,"), "OTHER-1 rejected", "SO-1 accepted"},
		"shipments":        {"shp_1.csv", lines(shipHeading, shipment("OTHER-1", "1Z1"), shipment("SO-1", "1Z2")), "OTHER-1 1Z1", "SO-1 1Z2"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t, "SO-1")
			w := d.f.warehouse(nil)
			d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
			d.f.write("out/"+c.file, c.text)
			told, _ := d.pull()
			require.Equal(t, []string{c.first}, told)
			if c.file == "ack_1.csv" {
				d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
			}
			for range 2 {
				d.f.write("out/"+c.file, c.text)
				told, _ = d.pull()
				require.Empty(t, told)
			}
			d.knows["SO-1"] = true
			told, unread := d.pull()
			require.Equal(t, []string{c.then}, told)
			require.Empty(t, unread)
			d.pull()
			require.Equal(t, []string{c.file}, d.f.names("out/archive"))
		})
	}
}

// Also between two pages, of which the first told a part of what had waited.
func TestFileThatIsTouchedWhileItIsTakenUp(t *testing.T) {
	var waiting []string
	for n := range 60 {
		waiting = append(waiting, fmt.Sprintf("SO-%02d", n))
	}
	d := newDoubts(t, waiting...)
	w := d.f.warehouse(nil)
	d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
	text := "order,status,message\nOTHER-1,rejected,\n"
	for _, number := range waiting {
		text += number + ",accepted,\n"
	}
	d.f.write("out/ack_1.csv", text)
	told, _ := d.pull()
	require.Equal(t, []string{"OTHER-1 rejected"}, told)
	d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")

	long := "order,status,message\n"
	for n := range 2*groupsAPage - 50 { // leaves room for 50 in its second page
		long += fmt.Sprintf("OTHER-%d,accepted,\n", n+2)
	}
	d.f.write("out/ack_2.csv", long)
	for range 2 {
		p, err := d.f.warehouse(nil).PullShipments(t.Context(), d.q)
		require.NoError(t, err)
		require.Len(t, p.Updates, groupsAPage)
		require.True(t, p.More)
		d.q.Cursor = p.Cursor
		for _, number := range waiting {
			d.knows[relay.WarehouseOrderID(number)] = true
		}
	}
	d.f.write("out/ack_1.csv", text)
	told, _ = d.pull()
	require.Len(t, told, 10)
	require.NotContains(t, told, "OTHER-1 rejected")
}

// And where it is taken away people hear of it, and it may be put back.
func TestFileThatIsTakenAwayWhileItWaits(t *testing.T) {
	for name, back := range map[string]bool{"and put back": true, "for good": false} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			w := d.f.warehouse(nil)
			d.f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa") // long ago
			d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
			text := lines("order,status,message", "OTHER-1,rejected,", "SO-1,accepted,")
			d.f.write("out/ack_1.csv", text)
			written := d.f.tick
			told, _ := d.pull()
			require.Equal(t, []string{"OTHER-1 rejected"}, told)
			d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
			d.f.remove("out/ack_1.csv")
			for range 2 {
				_, unread := d.pull()
				require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 3, Message: "order: " + wantKnown + "; " + wantWaiting}}, unread)
			}
			if back {
				d.f.write("out/ack_1.csv", text)
				told, unread := d.pull()
				require.Empty(t, told)
				require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 3, Message: "order: " + wantKnown}}, unread)
			}
			d.knows["SO-1"] = true
			told, unread := d.pull()
			require.Equal(t, back, slices.Equal(told, []string{"SO-1 accepted"}))
			require.Equal(t, !back, len(told) == 0)
			var c cursor
			require.NoError(t, json.Unmarshal([]byte(d.q.Cursor), &c))
			require.Empty(t, c.Held)
			if back {
				require.Empty(t, unread)
				return
			}
			for range 2 { // until somebody sees to it
				require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 3, Message: wantBack}}, unread)
				told, unread = d.pull()
				require.Empty(t, told)
			}
			d.f.write("out/ack_1.csv", text)
			require.NoError(t, os.Chtimes(filepath.Join(d.f.dir, "out/ack_1.csv"), written, written))
			d.f.remove("out/problems/ack_1.csv")
			told, _ = d.pull()
			require.Equal(t, []string{"SO-1 accepted"}, told, "OTHER-1 was handed over again since")
			_, unread = d.pull()
			require.Empty(t, unread)
			require.Equal(t, []string{"ack_1.csv"}, d.f.names("out/archive"))
		})
	}
}

// Promise 3: what was bad in it does not vanish with it.
func TestBadRowOfAFileThatIsTakenAway(t *testing.T) {
	d := newDoubts(t, "SO-1")
	d.f.write("out/ack_1.csv", lines("order,status,message", "SO-1,accepted,", "OTHER-1,perhaps,"))
	_, unread := d.pull()
	require.Equal(t, []string{"ack_1.csv:3"}, subjects(unread))
	d.f.remove("out/ack_1.csv")
	d.pull()
	d.knows["SO-1"] = true
	for range 2 {
		_, unread = d.pull()
		require.Equal(t, []string{"ack_1.csv:2", "ack_1.csv:3"}, subjects(unread))
	}
	d.f.remove("out/problems/ack_1.csv")
	_, unread = d.pull()
	require.Empty(t, unread)
}

// Promise 1: what was told of one that was replaced, and comes back, is not told again;
// and promise 3: what was not told is reported.
func TestFileThatIsReplacedWhileItWaits(t *testing.T) {
	for name, other := range map[string]string{
		"by a shorter one": lines("order,status,message", "OTHER-9,accepted,"),
		"by a longer one":  lines("order,status,message", "OTHER-9,accepted,", "OTHER-8,accepted,", "OTHER-7,accepted,"),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			w := d.f.warehouse(nil)
			d.f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa") // long ago
			d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
			text := lines("order,status,message", "OTHER-1,rejected,", "SO-1,accepted,")
			d.f.write("out/ack_1.csv", text)
			written := d.f.tick
			told, _ := d.pull()
			require.Equal(t, []string{"OTHER-1 rejected"}, told)
			d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
			d.f.write("out/ack_1.csv", other)
			told, _ = d.pull()
			require.Contains(t, told, "OTHER-9 accepted")
			for range 2 {
				_, unread := d.pull()
				require.Equal(t, []connectors.Unread{{Subject: "ack_1.csv", Line: 3, Message: wantBack}}, unread)
			}
			d.knows["SO-1"] = true
			d.f.write("out/ack_1.csv", text)
			require.NoError(t, os.Chtimes(filepath.Join(d.f.dir, "out/ack_1.csv"), written, written))
			told, _ = d.pull()
			require.Equal(t, []string{"SO-1 accepted"}, told)
		})
	}
}

// Promise 3: what was waiting in it does not wait for itself once it is written anew.
func TestFileThatIsReadAnewWhileManyWaitInIt(t *testing.T) {
	for name, c := range map[string]struct {
		file, heading string
		row           func(number string) string
	}{
		"shipments that grew":        {"shp_1.csv", shipHeading, func(number string) string { return shipment(number, "1Z"+number) }},
		"acknowledgements, reversed": {"ack_1.csv", "order,status,message", func(number string) string { return number + ",accepted," }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			rows := []string{c.heading}
			for n := range maxLater/2 + 20 {
				number := fmt.Sprintf("SO-%03d", n)
				sent := filepath.Join(d.f.dir, "sent", number)
				require.NoError(t, os.MkdirAll(sent, 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(sent, orderFile), nil, 0o644)) // just now
				rows = append(rows, c.row(number))
			}
			d.f.write("out/"+c.file, lines(rows...))
			told, _ := d.pull()
			require.Empty(t, told)
			rows = append(rows, c.row("OTHER-1"))
			if c.file == "ack_1.csv" {
				slices.Reverse(rows[1:])
			}
			d.f.write("out/"+c.file, lines(rows...))
			d.f.write("out/shp_9.csv", lines(shipHeading, shipment("OTHER-2", "1Z9")))
			told, _ = d.pull()
			require.Len(t, told, 2)
			for n := range maxLater/2 + 20 {
				d.knows[relay.WarehouseOrderID(fmt.Sprintf("SO-%03d", n))] = true
			}
			told, _ = d.pull()
			require.Len(t, told, maxLater/2+20)
			d.pull()
			require.Equal(t, []string{c.file, "shp_9.csv"}, d.f.names("out/archive"))
		})
	}
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
