package csv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

const shipHeading = "order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity"

func shipment(order, tracking string) string {
	return order + ",UPS,," + tracking + ",,,,MUG,1"
}

func numbers(updates []connectors.OrderUpdate) (out []string) {
	for _, u := range updates {
		out = append(out, string(u.ID))
	}
	return out
}

func TestFileIsReadOnceItsSizeIsStable(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(connectors.Values{"settle": "10s"})
	now := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	w.warehouse.inbox.now = func() time.Time { return now }
	d := &depot{t: t, source: w}

	f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1")))
	looks := []struct {
		after time.Duration
		write string
		want  []string
	}{
		{0, "", nil},
		{9 * time.Second, "", nil},
		{9 * time.Second, lines(shipHeading, shipment("SO-1", "1Z1"), shipment("SO-2", "1Z2")), nil}, // it grew: from anew
		{9 * time.Second, "", nil},
		{time.Second, "", []string{"SO-1", "SO-2"}},
	}
	for i, l := range looks {
		now = now.Add(l.after)
		if l.write != "" {
			f.write("out/shp_1.csv", l.write)
		}
		updates, _ := d.pull()
		require.Equal(t, l.want, numbers(updates), "look %d", i)
	}
}

func TestFileIsPutAwayOnlyOnceItsPageIsCommitted(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", lines(shipHeading, shipment("SO-1", "1Z1")))
	w := f.warehouse(nil)
	first, err := w.PullShipments(t.Context(), connectors.ShipmentsQuery{})
	require.NoError(t, err)
	require.Len(t, first.Updates, 1)

	// The caller died before it committed: the page comes again.
	again, err := f.warehouse(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{})
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, []string{"shp_1.csv"}, f.names("out"))

	next, err := w.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: first.Cursor})
	require.NoError(t, err)
	require.Empty(t, next.Updates)
	require.Empty(t, f.names("out"))
	require.Equal(t, []string{"shp_1.csv"}, f.names("out/archive"))

	// And after it had been put away: nothing is read, and nothing is moved twice.
	next, err = w.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: first.Cursor})
	require.NoError(t, err)
	require.Empty(t, next.Updates)
}

func TestTheSameFileAgainIsAppliedOnce(t *testing.T) {
	f := newFolder(t)
	text := lines(shipHeading, shipment("SO-1", "1Z1"))
	f.write("out/shp_1.csv", text)
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, _ := d.pull()
	require.Len(t, updates, 1)
	f.write("out/shp_1_again.csv", text)
	updates, _ = d.pull()
	require.Empty(t, updates)
	f.write("out/shp_1.csv", text) // while that of the same name is in the archive
	updates, _ = d.pull()
	require.Empty(t, updates)
	d.pull()
	require.Equal(t, []string{"shp_1.csv", "shp_1_again.csv", "shp_1~1772874180000.csv"}, f.names("out/archive"))
}

func TestPagesOfManySmallAndOfHugeFiles(t *testing.T) {
	f := newFolder(t)
	for i := range 150 {
		f.write(fmt.Sprintf("in/ord_%03d.csv", i), lines("order,sku,quantity", fmt.Sprintf("A-%d,MUG,1", i)))
	}
	var b strings.Builder
	b.WriteString("order,sku,quantity\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "B-%d,MUG,1\nB-%d,CAP,2\n", i, i)
	}
	f.write("in/ord_huge.csv", b.String())
	c := &shop{t: t, source: f.open("csv-cart", nil).(connectors.OrderSource), limit: 40}
	orders, unread := c.pull()
	require.Empty(t, unread)
	require.Len(t, orders, 1150)
	seen := make(map[relay.ExternalID]bool)
	for i, o := range orders {
		require.False(t, seen[o.ExternalID], o.ExternalID)
		seen[o.ExternalID] = true
		if i >= 150 {
			require.Len(t, o.Lines, 2)
		}
	}
	c.pull()
	require.Empty(t, f.names("in"))
	require.Len(t, f.names("in/archive"), 151)
	require.Less(t, len(c.cursor), 64<<10, "the cursor is bounded")
}

// Whoever goes on with a page may be another process, and the file may have
// changed meanwhile: then it is read from its beginning.
func TestAnotherProcessGoesOn(t *testing.T) {
	f := newFolder(t)
	f.write("in/ord_1.csv", lines("order,sku,quantity", "A-1,MUG,1", "A-2,MUG,1", "A-3,MUG,1"))
	source := func() connectors.OrderSource { return f.open("csv-cart", nil).(connectors.OrderSource) }
	first, err := source().PullOrders(t.Context(), connectors.OrdersQuery{Limit: 1})
	require.NoError(t, err)
	require.True(t, first.More)
	second, err := source().PullOrders(t.Context(), connectors.OrdersQuery{Cursor: first.Cursor, Limit: 5})
	require.NoError(t, err)
	require.Equal(t, []relay.ExternalID{"A-2", "A-3"}, ids(second.Orders))

	f.write("in/ord_1.csv", lines("order,sku,quantity", "A-0,MUG,1", "A-1,MUG,1", "A-2,MUG,1", "A-3,MUG,1"))
	second, err = source().PullOrders(t.Context(), connectors.OrdersQuery{Cursor: first.Cursor, Limit: 5})
	require.NoError(t, err)
	require.Equal(t, []relay.ExternalID{"A-0", "A-1", "A-2", "A-3"}, ids(second.Orders))
}

// The profile may change between two pages too.
func TestAnotherProfileGoesOn(t *testing.T) {
	f := newFolder(t)
	f.write("in/ord_1.csv", lines("order,sku,quantity", "A-1,MUG,1", "A-2,MUG,1"))
	first, err := f.open("csv-cart", nil).(connectors.OrderSource).PullOrders(t.Context(), connectors.OrdersQuery{Limit: 1})
	require.NoError(t, err)
	next, err := f.open("csv-cart", connectors.Values{"profile": "35up"}).(connectors.OrderSource).PullOrders(t.Context(), connectors.OrdersQuery{Cursor: first.Cursor, Limit: 1})
	require.NoError(t, err)
	require.Empty(t, next.Orders)
	require.False(t, next.More)
}

func ids(orders []relay.CartOrder) (out []relay.ExternalID) {
	for _, o := range orders {
		out = append(out, o.ExternalID)
	}
	return out
}

func TestFileThatIsNoneOfItsLayout(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", lines("order,number", "SO-1,1Z1"))
	f.write("out/shp_2.csv", "")
	f.write("out/shp_3.csv", lines(shipHeading, shipment("SO-3", "1Z3")))
	f.write("out/other.txt", "no business of ours")
	d := &depot{t: t, source: f.warehouse(nil)}
	updates, unread := d.pull()
	require.Equal(t, []string{"SO-3"}, numbers(updates))
	require.Equal(t, []connectors.Unread{
		{Subject: "shp_1.csv", Line: 1, Message: "the heading has no tracking: want order, tracking"},
		{Subject: "shp_2.csv", Line: 1, Message: "the file is empty: want a heading"},
	}, unread)
	_, again := d.pull()
	require.Equal(t, unread, again)
	require.Equal(t, []string{"other.txt"}, f.names("out"))
}

// "CSV (Macintosh)" ends lines with CR alone.
func TestFilesWhoseLinesEndWithCR(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", strings.ReplaceAll(lines(shipHeading, shipment("SO-1", "1Z1"), shipment("SO-2", "1Z2")), "\n", "\r"))
	updates, unread := (&depot{t: t, source: f.warehouse(nil)}).pull()
	require.Equal(t, []string{"SO-1", "SO-2"}, numbers(updates))
	require.Empty(t, unread)
	orders, _ := pullOrders(t, "standard", "ord_1.csv", "order,sku,quantity\rA-1,MUG,1\rA-2,MUG,1\r")
	require.Len(t, orders, 2)
}

// A file that says something, and of which nothing is understood, is no empty one.
func TestAHeadingThatSwallowsItsRows(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", "order,tracking,\"note\nSO-1,1Z1,\"\n")
	f.write("out/shp_2.csv", "order,tracking,note\u2028SO-2,1Z2,x")
	f.write("out/shp_3.csv", "order,tracking,\"ship\ndate\"\nSO-3,1Z3,\n")
	f.write("out/shp_4.csv", "order,tracking\n\n")
	updates, unread := (&depot{t: t, source: f.warehouse(nil)}).pull()
	require.Equal(t, []string{"SO-3"}, numbers(updates))
	require.Equal(t, []string{"shp_1.csv:1", "shp_2.csv:1"}, subjects(unread))
	require.Equal(t, "the heading goes on to the end of the file: want lines that end with LF, CRLF or CR, and quotes that are closed", unread[0].Message)
}

// What can't be read says what would be accepted, and asks about the separator
// where the file looks as if it had another one.
func TestReasonsSayWhatIsWanted(t *testing.T) {
	f := newFolder(t)
	f.write("out/shp_1.csv", "order;carrier;tracking\nSO-1;UPS;1Z1\n")
	f.write("out/shp_2.csv", "order\ttracking\nSO-1\t1Z1\n")
	f.write("out/shp_3.csv", "order,tracking,sku\nSO-1;1Z1;MUG\n")
	_, unread := (&depot{t: t, source: f.warehouse(nil)}).pull()
	var messages []string
	for _, u := range unread {
		messages = append(messages, u.Message)
	}
	require.Equal(t, []string{
		"the heading has no order: want order, tracking; is it separator: semicolon?",
		"the heading has no order: want order, tracking; is it separator: tab?",
		"the row has 1 cells: want 3; is it separator: semicolon?",
	}, messages)
}

func TestMissingFolderAndForeignCursor(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(connectors.Values{"out_folder": "elsewhere"})
	_, err := w.PullShipments(t.Context(), connectors.ShipmentsQuery{})
	require.ErrorIs(t, err, relay.Unavailable)
	require.ErrorContains(t, err, "there is no folder elsewhere")
	for _, foreign := range []string{"page 2", `{"at":{"f":3}}`, `{"bad":[{"f":0,"l":1}]}`, `{"r":[{"n":"a"}],"base":true}`, `{"at":{"a":-1}}`} {
		_, err = w.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: foreign})
		require.ErrorIs(t, err, relay.Invalid, foreign)
	}
}

// tree lists all that is below a folder, with the times of the files.
func (f *folder) tree() (names []string) {
	f.t.Helper()
	require.NoError(f.t, filepath.WalkDir(f.dir, func(name string, d os.DirEntry, err error) error {
		require.NoError(f.t, err)
		i, err := d.Info()
		if err == nil && !d.IsDir() {
			name += i.ModTime().String()
		}
		names = append(names, name)
		return err
	}))
	return names
}

// A reading beside the ordinary one, such as a rehearsal's, reads what has settled,
// to the end, and moves and marks nothing; the ordinary one reads it all the same.
func TestReadOnlyReading(t *testing.T) {
	f := newFolder(t)
	files := filesAPage + 5
	for i := range files {
		f.write(fmt.Sprintf("in/ord_%03d.csv", i), lines("order,sku,quantity", fmt.Sprintf("A-%d,MUG,1", i), fmt.Sprintf("B-%d,MUG,1", i)))
	}
	f.write("in/ord_bad.csv", lines("order,sku,quantity", "C-1,MUG,1", ",MUG,1"))
	f.write("in/ord_none.csv", "")
	f.tick = time.Now().Add(-5 * time.Second).Add(-time.Minute)
	f.write("in/ord_new.csv", lines("order,sku,quantity", "NEW-1,MUG,1")) // perhaps half of it
	// What somebody had removed is settled only by the ordinary reading.
	require.NoError(t, os.Mkdir(filepath.Join(f.dir, "in/problems"), 0o755))
	f.write("in/problems/ord_x.csv.why", "line 1: x\n")
	before := f.tree()
	kind := connectors.Values{"settle": "1h"} // longer than the test takes anywhere
	source := f.open("csv-cart", kind).(connectors.OrderSource)
	q := connectors.OrdersQuery{Limit: 7, ReadOnly: true}
	seen, pages := make(map[relay.ExternalID]bool), 0
	var unread []connectors.Unread
	for more := true; more; pages++ {
		require.Less(t, pages, 1000)
		if pages%2 == 1 { // in another process
			source = f.open("csv-cart", kind).(connectors.OrderSource)
		}
		p, err := source.PullOrders(t.Context(), q)
		require.NoError(t, err)
		for _, o := range p.Orders {
			require.False(t, seen[o.ExternalID], "%s is told twice", o.ExternalID)
			seen[o.ExternalID] = true
		}
		require.Less(t, len(p.Cursor), 32<<10, "the cursor is bounded")
		more, unread, q.Cursor = p.More, p.Unread, p.Cursor
	}
	require.Len(t, seen, 2*files+1)
	require.Equal(t, []string{"ord_bad.csv:3", "ord_none.csv:1"}, subjects(unread))
	require.Equal(t, before, f.tree())

	// The ordinary reading begins where it was; and that of a comparison, to which its
	// own cursor is given again and again, moves nothing either.
	c := &shop{t: t, source: f.open("csv-cart", nil).(connectors.OrderSource), limit: 100}
	orders, _ := c.pull()
	require.Len(t, orders, 2*files+2)
	before = f.tree()
	_, err := source.PullOrders(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, before, f.tree())
}

// A huge file is read in pages, in memory that does not grow with its text.
func TestHugeFile(t *testing.T) {
	const rows = 250_000
	f := newFolder(t)
	file, err := os.Create(filepath.Join(f.dir, "out", "inv_1.csv"))
	require.NoError(t, err)
	_, err = file.WriteString("sku,quantity,site\n")
	require.NoError(t, err)
	pad := strings.Repeat("X", 60)
	for i := 0; i < rows; i += 10000 {
		var b strings.Builder
		for j := i; j < i+10000; j++ {
			fmt.Fprintf(&b, "SKU-%08d-%s,%d,EAST\n", j, pad, j%100)
		}
		_, err = file.WriteString(b.String())
		require.NoError(t, err)
	}
	require.NoError(t, file.Close())
	w := f.warehouse(nil)
	var cursor string
	var most uint64
	levels, pages := 0, 0
	for more := true; more; pages++ {
		p, err := w.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: cursor, Limit: 20000})
		require.NoError(t, err)
		require.LessOrEqual(t, len(p.Levels), 20000)
		levels += len(p.Levels)
		cursor, more = p.Cursor, p.More
		if pages%10 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
	}
	require.Equal(t, rows, levels)
	require.LessOrEqual(t, pages, rows/20000+1)
	require.Less(t, most, uint64(16<<20), "the file has 22 MB")
}
