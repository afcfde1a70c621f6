package csv

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// reading reads stock to the end of a reading.
func reading(t *testing.T, s connectors.InventorySource, cursor *string, limit int) (levels []relay.InventoryLevel, last connectors.InventoryPage) {
	t.Helper()
	partial := false
	named := make(map[relay.ItemCode]bool)
	for range 1000 {
		p, err := s.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: *cursor, Limit: limit})
		require.NoError(t, err)
		*cursor = p.Cursor
		here := make(map[relay.ItemCode]bool)
		for _, l := range p.Levels {
			require.False(t, named[l.Code], "%s is in two pages", l.Code)
			here[l.Code] = true
		}
		for code := range here {
			named[code] = true
		}
		levels = append(levels, p.Levels...)
		partial = partial || p.Partial
		if !p.More {
			p.Partial = partial
			return levels, p
		}
	}
	t.Fatal("the reading does not end")
	return nil, last
}

func level(code, site string, units int64) relay.InventoryLevel {
	return relay.InventoryLevel{Code: relay.ItemCode(code), Site: site, Quantity: relay.Units(units)}
}

func TestSnapshot(t *testing.T) {
	f := newFolder(t)
	f.write("out/inv_1.csv", lines("sku,quantity,site", "00564,5,EAST", "MUG,1,EAST", "CAP,-2,", "00564,7,WEST", "MUG,1,EAST"))
	w, cursor := f.warehouse(connectors.Values{"quantity_means": "on_hand"}), ""
	levels, p := reading(t, w, &cursor, 1)
	require.Equal(t, []relay.InventoryLevel{level("00564", "EAST", 5), level("00564", "WEST", 7), level("MUG", "EAST", 1), level("CAP", "", -2)}, levels)
	require.Equal(t, connectors.OnHand, p.Meaning)
	require.False(t, p.Partial)
	require.False(t, p.Changes, "a code that a snapshot does not name is unknown")

	// No new file: nothing changed, which is not the same as nothing there.
	levels, p = reading(t, w, &cursor, 10)
	require.Empty(t, levels)
	require.True(t, p.Changes)
	require.Equal(t, []string{"inv_1.csv"}, f.names("out/archive"))

	// Of several the newest counts; one that comes late is too old.
	f.write("out/inv_3.csv", lines("sku,quantity,site", "MUG,3,"))
	f.write("out/inv_2.csv", lines("sku,quantity,site", "MUG,2,"))
	levels, _ = reading(t, w, &cursor, 10)
	require.Equal(t, []relay.InventoryLevel{level("MUG", "", 2)}, levels)
	levels, p = reading(t, w, &cursor, 10)
	require.Empty(t, levels)
	require.True(t, p.Changes)
	reading(t, w, &cursor, 10)
	require.Equal(t, []string{"inv_1.csv", "inv_2.csv", "inv_3.csv"}, f.names("out/archive"))
}

func TestSnapshotWithBadRows(t *testing.T) {
	f := newFolder(t)
	f.write("out/inv_1.csv", lines("sku,quantity,site", "A,5,EAST", "B,five,EAST", "B,1,WEST", "C,1,EAST", "C,2,EAST", "1E+12,4,", ",4,", "D,1e3,", "E,1,"))
	w, cursor := f.warehouse(nil), ""
	levels, p := reading(t, w, &cursor, 2)
	require.Equal(t, []relay.InventoryLevel{level("A", "EAST", 5), level("E", "", 1)}, levels)
	require.True(t, p.Partial, "nothing follows from the absence of the others")
	require.Equal(t, []connectors.Unread{
		{Subject: "inv_1.csv", Line: 3, Message: "quantity: want a plain number with at most 4 decimals, such as 12"},
		{Subject: "inv_1.csv", Line: 6, Message: "sku: C is told twice, as 1 and as 2"},
		{Subject: "inv_1.csv", Line: 7, Message: "sku: 1E+12 is in scientific notation, so that digits are lost: have the column saved as text"},
		{Subject: "inv_1.csv", Line: 8, Message: "sku: missing"},
		{Subject: "inv_1.csv", Line: 9, Message: "quantity: want a plain number with at most 4 decimals, such as 12"},
	}, p.Unread)
}

// A row of which nobody knows whose it is may be another site of the code beside it,
// or all that there is of one that the snapshot before named.
func TestNoLevelIsToldBesideARowOfNobodys(t *testing.T) {
	f := newFolder(t)
	w, cursor := f.warehouse(connectors.Values{"profile": zeroProfile}), ""
	f.write("out/inv_1.csv", lines("sku,quantity,site", "A,5,EAST", "A,7,WEST", "B,1,EAST", "C,1,EAST"))
	reading(t, w, &cursor, 10)
	f.write("out/inv_2.csv", lines("sku,quantity,site", "B,2,EAST", "A,4,EAST", "A,6,W\xe9st"))
	levels, p := reading(t, w, &cursor, 10)
	require.Equal(t, []relay.InventoryLevel{level("B", "EAST", 2)}, levels)
	require.True(t, p.Partial)
	require.Equal(t, []string{"inv_2.csv:3", "inv_2.csv:4"}, subjects(p.Unread))
}

const zeroProfile = `
extends: standard
inventory:
  read: ["inv_*.csv"]
  missing: zero
  columns: [sku, quantity, site]
`

func TestWhatASnapshotLeavesOutIsZeroWhereItIsSaid(t *testing.T) {
	f := newFolder(t)
	w, cursor := f.warehouse(connectors.Values{"profile": zeroProfile}), ""
	f.write("out/inv_1.csv", lines("sku,quantity,site", "A,5,EAST", "B,5,EAST", "C,5,EAST", "C,5,WEST", "bad"))
	levels, p := reading(t, w, &cursor, 1)
	require.Len(t, levels, 4, "nothing was told before it")
	require.True(t, p.Partial)
	reading(t, w, &cursor, 1)
	f.write("out/inv_2.csv", lines("sku,quantity,site", "B,4,EAST", "D,1,EAST"))
	levels, p = reading(t, w, &cursor, 1)
	require.Equal(t, []relay.InventoryLevel{level("B", "EAST", 4), level("D", "EAST", 1), level("A", "EAST", 0), level("C", "EAST", 0), level("C", "WEST", 0)}, levels)
	require.False(t, p.Partial)
	require.False(t, p.Changes)

	// The snapshot before was taken away: nothing follows from what is missing.
	reading(t, w, &cursor, 1)
	f.remove("out/archive/inv_2.csv")
	f.write("out/inv_3.csv", lines("sku,quantity,site", "D,1,EAST"))
	levels, p = reading(t, w, &cursor, 1)
	require.Len(t, levels, 1)
	require.True(t, p.Changes)
}

// A row of empty cells may have named a SKU that would be 0 then. At the end of what a
// spreadsheet wrote it is nothing.
func TestEmptyRowsWhereWhatIsMissingIsZero(t *testing.T) {
	const heading = "sku,quantity,site"
	for name, c := range map[string]struct {
		rows   []string
		levels []relay.InventoryLevel
		unread []string
	}{
		"at the end":     {[]string{"MUG,40,", ",,", ",,"}, []relay.InventoryLevel{level("MUG", "", 40), level("CAP", "", 0)}, nil},
		"in between":     {[]string{"CUP,9,", "MUG,40,", ",,", ",,", "HAT,3,"}, []relay.InventoryLevel{level("CUP", "", 9)}, []string{"inv_2.csv:3", "inv_2.csv:4", "inv_2.csv:6"}},
		"nothing else":   {[]string{",,", ",,"}, nil, []string{"inv_2.csv:2"}},
		"at the heading": {[]string{",,", "MUG,40,", "HAT,3,"}, []relay.InventoryLevel{level("HAT", "", 3)}, []string{"inv_2.csv:2", "inv_2.csv:3"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			w, cursor := f.warehouse(connectors.Values{"profile": zeroProfile}), ""
			f.write("out/inv_1.csv", lines(heading, "MUG,41,", "CAP,7,"))
			reading(t, w, &cursor, 10)
			f.write("out/inv_2.csv", lines(append([]string{heading}, c.rows...)...))
			levels, p := reading(t, w, &cursor, 1)
			require.Equal(t, c.levels, levels)
			require.Equal(t, c.unread, subjects(p.Unread))
			require.Equal(t, c.unread != nil, p.Partial)
		})
	}
}

func TestChanges(t *testing.T) {
	f := newFolder(t)
	w, cursor := f.warehouse(connectors.Values{"profile": "extends: standard\ninventory: {read: ['inv_*.csv'], tells: changes, columns: [sku, quantity]}"}), ""
	f.write("out/inv_1.csv", lines("sku,quantity", "A,5", "B,5"))
	f.write("out/inv_2.csv", lines("sku,quantity", "C,1", "A,4"))
	f.write("out/inv_3.csv", lines("sku,quantity", "A,3"))
	levels, p := reading(t, w, &cursor, 1)
	require.Equal(t, []relay.InventoryLevel{level("A", "", 3), level("B", "", 5), level("C", "", 1)}, levels, "the later file counts")
	require.True(t, p.Changes)
	reading(t, w, &cursor, 1)
	require.Len(t, f.names("out/archive"), 3)
}

// Stock comes back to figures that it had before, in a file of the same content.
func TestAnEarlierFigureComesBack(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(nil)
	cursor := ""
	pull := func() []relay.InventoryLevel {
		p, err := w.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: cursor, Limit: 10})
		require.NoError(t, err)
		cursor = p.Cursor
		return p.Levels
	}
	five, four := lines("sku,quantity", "MUG,5"), lines("sku,quantity", "MUG,4")
	for i, c := range []struct {
		text string
		want relay.Quantity
	}{{five, relay.Units(5)}, {four, relay.Units(4)}, {five, relay.Units(5)}} {
		f.write(fmt.Sprintf("out/inv_%d.csv", i), c.text)
		levels := pull()
		require.Len(t, levels, 1)
		require.Equal(t, c.want, levels[0].Quantity)
		require.Empty(t, pull())
	}
	f.write("out/inv_again.csv", five)
	require.Empty(t, pull(), "it says nothing new")
}

// A snapshot with a bad row is read again until there is another, since nobody
// keeps the cursor behind it; and that one settles all the same.
func TestABadSnapshotGivesWayToTheNext(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(connectors.Values{"settle": "10s"})
	now := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	w.stock.inbox.now = func() time.Time { return now }
	cursor := ""
	pull := func() connectors.InventoryPage {
		now = now.Add(11 * time.Second)
		p, err := w.PullInventory(t.Context(), connectors.InventoryQuery{Cursor: cursor, Limit: 10})
		require.NoError(t, err)
		if !p.Partial {
			cursor = p.Cursor
		}
		return p
	}
	f.write("out/inv_1.csv", lines("sku,quantity", "CUP,1", "MUG,5"))
	pull()
	require.Len(t, pull().Levels, 2)
	f.write("out/inv_2.csv", lines("sku,quantity", "CUP,2", "MUG,many"))
	pull()
	for range 3 {
		p := pull()
		require.True(t, p.Partial)
		require.Len(t, p.Unread, 1)
	}
	f.write("out/inv_3.csv", lines("sku,quantity", "CUP,1", "MUG,5")) // as it was at first
	pull()
	p := pull()
	require.False(t, p.Partial)
	pull()
	p = pull()
	require.Empty(t, p.Unread)
	require.Empty(t, f.names("out"), "all are put away")
}
