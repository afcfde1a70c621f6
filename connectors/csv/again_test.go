package csv

import (
	"context"
	"fmt"
	"io"
	"io/fs"
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

// declining is the profile of a partner who says declined for rejected.
const declining = `
extends: standard
acknowledgements:
  read: ["ack_*.csv"]
  columns: [order, {field: status, words: {refused: [rejected, declined]}}, message]
`

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
			mended := f.warehouse(connectors.Values{"profile": declining})
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
			d.source = f.warehouse(connectors.Values{"profile": declining})
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
			d.source = f.warehouse(connectors.Values{"profile": declining})
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
	d.source = f.warehouse(connectors.Values{"profile": declining})
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
	require.Equal(t, []string{"SO-2 accepted", "SO-1 rejected"}, told)
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
			require.Empty(t, d.f.names("out"))
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
			for n := range maxWaiting/2 + 20 {
				number := fmt.Sprintf("SO-%03d", n)
				d.handedOver(number)
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
			for n := range maxWaiting/2 + 20 {
				d.knows[relay.WarehouseOrderID(fmt.Sprintf("SO-%03d", n))] = true
			}
			told, _ = d.pull()
			require.Len(t, told, maxWaiting/2+20)
			d.pull()
			require.Equal(t, []string{c.file, "shp_9.csv"}, d.f.names("out/archive"))
		})
	}
}

// Promise 1: each is told once, also where another file says something of the order each
// time before it is written anew.
func TestFilesThatGrowInTurnsWhileTheyWait(t *testing.T) {
	d := newDoubts(t, "SO-1")
	for n := range 6 {
		for _, tracking := range []string{"1Z1", "1Z2"} {
			rows := []string{shipHeading, shipment("SO-1", tracking)}
			for i := range n {
				rows = append(rows, shipment("OTHER-1", fmt.Sprintf("%s-%d", tracking, i)))
			}
			d.f.write("out/shp_"+tracking+".csv", lines(rows...))
		}
		d.pull()
	}
	d.knows["SO-1"] = true
	told, _ := d.pull()
	require.Equal(t, []string{"SO-1 1Z1", "SO-1 1Z2"}, told)
}

// As many orders wait in it as may.
func TestFullFileThatGrowsWhileItWaits(t *testing.T) {
	d := newDoubts(t)
	text, want := "order,status,message\n", []string(nil)
	for n := range maxWaiting {
		number := fmt.Sprintf("SO-%03d", n)
		d.handedOver(number)
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
	for n := range maxWaiting {
		d.knows[relay.WarehouseOrderID(fmt.Sprintf("SO-%03d", n))] = true
	}
	told, _ = d.pull()
	require.Equal(t, append(want, "SO-000 rejected"), told)
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

// Promise 3: what could not be read when the file was shorter is read again, since the
// report of it ends with that version.
func TestBadRowOfAFileThatGrows(t *testing.T) {
	whole := lines(ackHeading, "OTHER-1,perhaps,", "OTHER-2,rejected,no", "OTHER-3,accepted,")
	half := whole[:strings.Index(whole, "cted,no")] // the partner is writing
	for name, pulls := range map[string]int{"at once": 1, "once it was put away": 2} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			d.f.write("out/ack_1.csv", half)
			for range pulls {
				_, unread := d.pull()
				require.Equal(t, []string{"ack_1.csv:2", "ack_1.csv:3"}, subjects(unread))
			}
			d.f.write("out/ack_1.csv", whole)
			told, unread := d.pull()
			require.Equal(t, []string{"OTHER-2 rejected", "OTHER-3 accepted"}, told)
			require.Contains(t, subjects(unread), "ack_1.csv:2")
			_, unread = d.pull()
			if pulls == 1 {
				require.Equal(t, []string{"ack_1.csv:2"}, subjects(unread))
				return
			}
			require.Equal(t, []string{"ack_1.csv:2", "ack_1.csv:3"}, subjects(unread), "each row is reported once")
			require.Equal(t, []string{"ack_1.csv"}, d.f.names("out/archive"))
		})
	}
}

// Nor does what was bad vanish with its file, be it read to its end or not.
func TestBadRowOfAFileThatIsTakenAway(t *testing.T) {
	for name, change := range map[string]func(f *folder){
		"taken away": func(f *folder) { f.remove("out/ack_1.csv") },
		"replaced":   func(f *folder) { f.write("out/ack_1.csv", lines(ackHeading, "OTHER-3,accepted,")) },
	} {
		for read, rows := range map[string]int{"read": 1, "half read": groupsAPage + 10} {
			t.Run(read+" and "+name, func(t *testing.T) {
				d := newDoubts(t)
				d.f.write("out/ack_1.csv", lines(ackHeading, "OTHER-1,perhaps,")+accepting("X", rows))
				_, _, more := d.page()
				require.Equal(t, rows > groupsAPage, more)
				change(d.f)
				for range 3 {
					_, unread := d.pull()
					require.Equal(t, []string{"ack_1.csv:2"}, subjects(unread))
				}
				d.f.remove("out/problems/ack_1.csv")
				_, unread := d.pull()
				require.Empty(t, unread)
			})
		}
	}
}

// Promise 1: a file that grows while it is read was read as far as it went when it was
// listed, and what is behind that is known as new.
func TestFileThatGrowsWhileItIsRead(t *testing.T) {
	f := newFolder(t)
	grown := false
	d := &depot{t: t, source: f.watched(func(step string) {
		if step == "csv open out" && !grown {
			grown = true
			f.write("out/ack_1.csv", lines(ackHeading, "SO-1,rejected,", "SO-2,rejected,"))
		}
	})}
	w := f.warehouse(nil)
	f.handOver(w, "SO-1", "aaaaaaaaaaaaaaaa")
	f.handOver(w, "SO-2", "aaaaaaaaaaaaaaaa")
	f.write("out/ack_1.csv", lines(ackHeading, "SO-1,rejected,"))
	u, _ := d.pull()
	require.Equal(t, []string{"SO-1"}, numbers(u))
	f.handOver(w, "SO-1", "bbbbbbbbbbbbbbbb")
	u, _ = d.pull()
	require.Equal(t, []string{"SO-2"}, numbers(u))
}

// One that is cut off meanwhile is read once it is listed as it is.
func TestFileThatIsCutOffWhileItIsRead(t *testing.T) {
	f := newFolder(t)
	cut := false
	d := &depot{t: t, source: f.watched(func(step string) {
		if step == "csv open out" && !cut {
			cut = true
			f.write("out/ack_1.csv", lines(ackHeading, "SO-1,rejected,"))
		}
	})}
	f.handOver(f.warehouse(nil), "SO-1", "aaaaaaaaaaaaaaaa")
	f.write("out/ack_1.csv", lines(ackHeading, "SO-1,rejected,", "SO-2,rejected,"))
	u, _ := d.pull()
	require.Empty(t, u)
	u, _ = d.pull()
	require.Equal(t, []string{"SO-1"}, numbers(u))
	d.pull()
	require.Equal(t, []string{"ack_1.csv"}, f.names("out/archive"))
}

// Promise 3: what the partner writes anew at the very moment when the file is put away is
// read, and what was bad in it is still reported.
func TestFileThatIsReplacedWhileItIsPutAway(t *testing.T) {
	first := lines(ackHeading, "SO-1,rejected,")
	bad := lines(ackHeading, "SO-1,rejected,", "SO-9,perhaps,")
	for name, c := range map[string]struct {
		was, by                string
		news, unread, problems []string
	}{
		"another":      {first, lines(ackHeading, "SO-2,rejected,"), []string{"SO-2"}, nil, nil},
		"grown":        {first, first + "SO-2,rejected,\n", []string{"SO-2"}, nil, nil},
		"touched":      {first, first, nil, nil, nil},
		"had bad rows": {bad, lines(ackHeading, "SO-2,rejected,"), []string{"SO-2"}, []string{"ack_1.csv:3"}, []string{"ack_1.csv", "ack_1.csv.why"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			replaced := false
			d := &depot{t: t, source: f.watched(func(step string) {
				if strings.HasPrefix(step, "csv rename out/") && !replaced {
					replaced = true
					f.write("out/ack_1.csv", c.by)
				}
			})}
			f.write("out/ack_1.csv", c.was)
			u, _ := d.pull()
			require.Equal(t, []string{"SO-1"}, numbers(u))
			u, _ = d.pull()
			require.Equal(t, c.news, numbers(u))
			_, unread := d.pull()
			require.True(t, replaced)
			require.Equal(t, c.unread, subjects(unread))
			require.Equal(t, []string{"ack_1.csv"}, f.names("out/archive"))
			require.Equal(t, c.problems, f.names("out/problems"))
			require.Empty(t, f.names("out"))
		})
	}
}

// And where another comes even before that could be put back, that one is read.
func TestFileThatIsReplacedAgainAndAgain(t *testing.T) {
	f := newFolder(t)
	by := []string{"SO-2", "SO-3"}
	d := &depot{t: t, source: f.watched(func(step string) {
		if strings.HasPrefix(step, "csv rename out") && len(by) > 0 {
			f.write("out/ack_1.csv", lines(ackHeading, by[0]+",rejected,"))
			by = by[1:]
		}
	})}
	f.write("out/ack_1.csv", lines(ackHeading, "SO-1,rejected,"))
	u, _ := d.pull()
	require.Equal(t, []string{"SO-1"}, numbers(u))
	u, _ = d.pull()
	require.Equal(t, []string{"SO-3"}, numbers(u))
	d.pull()
	require.Empty(t, f.names("out"))
}

// Nor is it removed, where a mirror put the file back that lies in archive.
func TestFileThatIsReplacedWhileItIsRemoved(t *testing.T) {
	for name, left := range map[string]bool{"at once": false, "after a crash": true} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			mirrored := false
			d := &depot{t: t, source: f.watched(func(step string) {
				if mirrored && step == "csv rename out/archive" {
					mirrored = false
					f.write("out/ack_1.csv", lines(ackHeading, "SO-2,rejected,"))
				}
			})}
			text := lines(ackHeading, "SO-1,rejected,")
			f.write("out/ack_1.csv", text)
			mod := f.tick
			d.pull()
			d.pull()
			f.write("out/ack_1.csv", text)
			require.NoError(t, os.Chtimes(filepath.Join(f.dir, "out/ack_1.csv"), mod, mod))
			if left {
				f.write("out/archive/.ack_1.csv.part", text)
			}
			u, _ := d.pull()
			require.Empty(t, u)
			mirrored = true
			u, _ = d.pull()
			require.Equal(t, []string{"SO-2"}, numbers(u))
			d.pull()
			require.Empty(t, f.names("out"))
			require.Len(t, f.names("out/archive"), 2, "both, and nothing else")
		})
	}
}

// watcher is called before each step.
type watcher func(step string)

func (w watcher) Step(step string) (done func()) {
	w(step)
	return func() {}
}

// watched is a warehouse of whose steps a watcher is told.
func (f *folder) watched(w watcher) *stockedWarehouse {
	f.t.Helper()
	k := kindNamed(f.t, "csv")
	cfg := config(f.t, k, "file://"+f.dir, nil, nil)
	cfg.Watcher = w
	c, err := k.Open(cfg)
	require.NoError(f.t, err)
	return c.(*stockedWarehouse)
}

// refusedAndHandedOverAgain has ack_1.csv refuse OTHER-1, which is read in the first pull
// and put away in the second, and OTHER-1 be handed over anew after that many.
func (d *doubts) refusedAndHandedOverAgain(pulls int) (ack string) {
	w := d.f.warehouse(nil)
	d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
	ack = lines(ackHeading, "OTHER-1,rejected,")
	d.f.write("out/ack_1.csv", ack)
	for range pulls {
		d.pull()
	}
	d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
	return ack
}

// Promise 1: a file that grew is known however many others came between.
func TestFileThatGrowsAfterManyOthers(t *testing.T) {
	d := newDoubts(t)
	text := d.refusedAndHandedOverAgain(2)
	for n := range maxSeen {
		d.f.write(fmt.Sprintf("out/ack_x%d.csv", n), lines(ackHeading, fmt.Sprintf("OTHER-%d,accepted,", 1000+n)))
	}
	d.pull()
	d.f.write("out/ack_1.csv", text+"OTHER-2,accepted,\n")
	told, _ := d.pull()
	require.Equal(t, []string{"OTHER-2 accepted"}, told)
}

// Nor does it matter when it was not put away before it grew, and the others go first.
func TestFileThatGrowsBehindManyOthers(t *testing.T) {
	d := newDoubts(t)
	text := d.refusedAndHandedOverAgain(1)
	for n := range 2 * maxSeen {
		d.f.write(fmt.Sprintf("out/shp_%d.csv", n), lines(shipHeading, shipment("OTHER-9", fmt.Sprintf("1Z%d", n))))
	}
	d.f.write("out/ack_1.csv", text+"OTHER-2,accepted,\n")
	told, _ := d.pull()
	require.Len(t, told, 2*maxSeen+1)
	require.Contains(t, told, "OTHER-2 accepted")

	// It is known like any other then.
	d.f.write("out/ack_1.csv", text+"OTHER-2,accepted,\nOTHER-3,accepted,\n")
	told, _ = d.pull()
	require.Equal(t, []string{"OTHER-3 accepted"}, told)
}

// However many grow, the cursor is bounded, and a file that was read just now is known.
func TestManyFilesThatGrowAtOnce(t *testing.T) {
	d := newDoubts(t)
	grow := func(rows ...string) {
		for n := range 2 * maxSeen {
			d.f.write(fmt.Sprintf("out/ack_%d.csv", n), lines(append([]string{ackHeading, fmt.Sprintf("OTHER-%d,accepted,", n)}, rows...)...))
		}
	}
	grow()
	for range 2*maxSeen/filesAPage + 1 {
		d.page()
		grow("OTHER-9999,accepted,")
	}
	d.pull()
	d.pull()
	require.Less(t, len(d.q.Cursor), 32<<10)
	d.f.write("out/ack_1.csv", lines(ackHeading, "OTHER-1,accepted,", "OTHER-9999,accepted,", "OTHER-2,accepted,"))
	told, _ := d.pull()
	require.Equal(t, []string{"OTHER-2 accepted"}, told)
}

// A partner who always writes the same name: what is new is not compared with each
// version by itself.
func TestOneNameForEver(t *testing.T) {
	f := newFolder(t)
	opened := 0
	d := &depot{t: t, source: f.watched(func(step string) {
		if step == "csv open out" {
			opened++
		}
	})}
	for n := range 12 {
		opened = 0
		f.write("out/ack_1.csv", lines(ackHeading, fmt.Sprintf("OTHER-%02d,accepted,%s", n, strings.Repeat("x", n))))
		u, _ := d.pull()
		require.Len(t, u, 1)
		require.LessOrEqual(t, opened, 4, "whether it is the last one, the survey, the versions before, and the reading")
	}
}

// A name that never ends makes a long archive too: of what lies there, a new version is
// compared with the youngest alone.
func TestLongArchiveOfOneName(t *testing.T) {
	f := newFolder(t)
	opened := 0
	d := &depot{t: t, source: f.watched(func(step string) {
		if step == "csv open out/archive" {
			opened++
		}
	})}
	require.NoError(t, os.MkdirAll(filepath.Join(f.dir, "out/archive"), 0o755))
	f.write("out/archive/ack_1.csv", lines(ackHeading, "OTHER-000,accepted,"))
	last := ""
	for n := range 10 * maxBefore {
		last = lines(ackHeading, fmt.Sprintf("OTHER-%03d,accepted,", n+1))
		f.write(fmt.Sprintf("out/archive/ack_1~%03d.csv", n+1), last)
	}
	f.write("out/ack_1.csv", last+"OTHER-999,accepted,\n")
	u, _ := d.pull()
	require.Equal(t, []string{"OTHER-999"}, numbers(u))
	require.LessOrEqual(t, opened, maxBefore)
}

// accepting is rows that accept n orders, all of which the ledger knows.
func accepting(prefix string, n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf("OTHER-%s%03d,accepted,", prefix, i))
	}
	return lines(rows...)
}

// elsewhere is a profile that looks for acknowledgements under another name.
const elsewhere = "extends: standard\nacknowledgements: {read: [\"resp_*.csv\"], columns: [order, status]}\n"

// Promise 1: a file of which a part was told goes on where it was, whatever happens to it
// before it is read to its end.
func TestHalfReadFile(t *testing.T) {
	const german = "extends: standard\nacknowledgements: {read: [\"ack_*.csv\"], columns: [{field: order, heading: Auftrag}, status]}\n"
	for name, c := range map[string]struct {
		change func(d *doubts, text string)
		news   []string
	}{
		"touched":                 {func(d *doubts, text string) { d.f.write("out/ack_1.csv", text) }, nil},
		"grown":                   {func(d *doubts, text string) { d.f.write("out/ack_1.csv", text+"OTHER-Z,accepted,\n") }, []string{"OTHER-Z accepted"}},
		"taken away and put back": {func(d *doubts, text string) { d.f.remove("out/ack_1.csv"); d.pull(); d.f.write("out/ack_1.csv", text) }, nil},
		"without a pattern":       {func(d *doubts, _ string) { d.profile = elsewhere; d.pull(); d.profile = "" }, nil},
		"under another heading": {func(d *doubts, _ string) {
			d.profile = german
			for range 2 {
				_, unread := d.pull()
				require.Contains(d.t, subjects(unread), "ack_1.csv:1", "the rest does not wait in silence")
			}
			d.profile = ""
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			w := d.f.warehouse(nil)
			d.f.handOver(w, "OTHER-1", "aaaaaaaaaaaaaaaa")
			text := lines(ackHeading, "OTHER-1,rejected,", "OTHER-2,perhaps,") + accepting("X", groupsAPage+10)
			d.f.write("out/ack_1.csv", text)
			first, _, half := d.page()
			require.True(t, half)
			d.f.handOver(w, "OTHER-1", "bbbbbbbbbbbbbbbb")
			c.change(d, text)
			rest, unread := d.pull()
			more, _ := d.pull()
			require.Len(t, rest, groupsAPage+12-len(first)-1)
			require.Equal(t, c.news, more)
			require.NotContains(t, rest, "OTHER-1 rejected")
			require.Contains(t, subjects(unread), "ack_1.csv:3")
			d.pull()
			require.Contains(t, d.f.names("out/problems"), "ack_1.csv")
		})
	}
}

// So does each of two versions of it.
func TestHalfReadVersions(t *testing.T) {
	for name, c := range map[string]struct {
		first, second int // rows beyond a page
		prefix        string
		then          int // rows of what comes then
	}{
		"the first is put back": {10, 20, "A", 10},
		"the second grows":      {20, 10, "B", 30},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			write := func(prefix string, beyond int) {
				d.f.write("out/ack_1.csv", ackHeading+"\n"+accepting(prefix, groupsAPage+beyond))
			}
			write("A", c.first)
			d.page()
			write("B", c.second)
			told, _, _ := d.page()
			require.Len(t, told, groupsAPage)
			write(c.prefix, c.then)
			told, _ = d.pull()
			more, _ := d.pull()
			require.Len(t, append(told, more...), c.then)
		})
	}
}

// One that may not be opened any more keeps no other waiting, and is read on once it may.
func TestHalfReadFileThatCantBeOpened(t *testing.T) {
	for name, anew := range map[string]bool{"in the same process": false, "in another": true} {
		t.Run(name, func(t *testing.T) {
			d := newDoubts(t)
			d.f.write("out/ack_1.csv", ackHeading+"\n"+accepting("X", groupsAPage+10))
			w := d.f.warehouse(nil)
			p, err := w.PullShipments(t.Context(), d.q)
			require.NoError(t, err)
			if anew {
				w = d.f.warehouse(nil)
			}
			w.warehouse.inbox.place = &locked{w.warehouse.inbox.place, "out/ack_1.csv"}
			d.f.write("out/shp_1.csv", lines(shipHeading, shipment("OTHER-1", "1Z1")))
			d.q.Cursor = p.Cursor
			p, err = w.PullShipments(t.Context(), d.q)
			require.NoError(t, err)
			require.Equal(t, []string{"OTHER-1"}, numbers(p.Updates))
			require.Equal(t, []string{"ack_1.csv:0"}, subjects(p.Unread))
			d.q.Cursor = p.Cursor
			p, err = w.PullShipments(t.Context(), d.q)
			require.NoError(t, err)
			require.Equal(t, []string{"ack_1.csv:0"}, subjects(p.Unread))
			d.q.Cursor = p.Cursor
			told, unread := d.pull()
			require.Len(t, told, 10)
			require.Empty(t, unread)
		})
	}
}

// locked is a place with a file that may not be opened.
type locked struct {
	place
	name string
}

func (l *locked) use(ctx context.Context, f func(files) error) error {
	return l.place.use(ctx, func(at files) error { return f(&lockedFiles{at, l.name}) })
}

type lockedFiles struct {
	files
	name string
}

func (l *lockedFiles) open(name string) (io.ReadSeekCloser, error) {
	if name == l.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return l.files.open(name)
}

// What lies in problems is read once, and not at each page.
func TestProblemsAreReadOnce(t *testing.T) {
	f := newFolder(t)
	opened := 0
	d := &depot{t: t, source: f.watched(func(step string) {
		if step == "csv open out/problems" {
			opened++
		}
	})}
	f.write("out/ack_1.csv", lines(ackHeading, "OTHER-1,rejected,", "OTHER-2,perhaps,"))
	d.pull()
	d.pull()
	for n, want := range []int{3, 1, 1} { // the file, its reasons, and these again for the report
		opened = 0
		f.write(fmt.Sprintf("out/ack_%d.csv", n+2), lines(ackHeading, "OTHER-1,rejected,", fmt.Sprintf("OTHER-%d,accepted,", n+3)))
		u, _ := d.pull()
		require.Equal(t, []string{fmt.Sprintf("OTHER-%d", n+3)}, numbers(u))
		require.Equal(t, want, opened)
	}
}

// All that lies in problems is reported, also under the name that it was given there.
func TestSecondProblemOfOneName(t *testing.T) {
	d := newDoubts(t)
	d.profile = "extends: standard\nacknowledgements:\n  read: [\"ack.csv\"]\n  columns: [order, {field: status, words: {accepted: [accepted], refused: [rejected]}}, message]\n"
	for n := range 2 {
		d.f.write("out/ack.csv", lines(ackHeading, fmt.Sprintf("OTHER-%d,perhaps,", n)))
		d.pull()
		d.pull()
	}
	_, unread := d.pull()
	require.Len(t, unread, 2)
}
