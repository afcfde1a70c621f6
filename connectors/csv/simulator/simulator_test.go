package simulator

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)

func openWarehouse(t *testing.T, dir string, how Manner) *Warehouse {
	t.Helper()
	w, err := OpenWarehouse(WarehouseConfig{Dir: dir, Books: filepath.Join(dir, "books.json"), Seed: 7, Manner: how,
		Clock: func() time.Time { return noon }, Stock: map[string]int{"MUG": 5, "CAP": 1}})
	require.NoError(t, err)
	return w
}

const heading = "order,name,zip,ship_method,sku,quantity\n"

func hand(t *testing.T, dir, name, rows string) {
	t.Helper()
	require.NoError(t, place(filepath.Join(dir, "in", name), []byte(heading+rows)))
}

// files reads what was written so far.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	names, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	require.NoError(t, err)
	for _, n := range names {
		b, err := os.ReadFile(n)
		require.NoError(t, err)
		out[filepath.Base(n)] = string(b)
	}
	return out
}

func TestWarehouseBooksShipsAndCounts(t *testing.T) {
	dir := t.TempDir()
	w := openWarehouse(t, dir, Manner{})
	hand(t, dir, "ord_1.csv", "SO-1,Joan,01234,Ground,MUG,2\nSO-1,Joan,01234,Ground,CAP,1\nSO-2,Joan,01234,Ground,CAP,1\nSO-3,Joan,01234,Ground,HAT,1\n")
	require.NoError(t, w.Step())
	require.Equal(t, map[string]string{"ack_000001.csv": "order,status,message\nSO-1,accepted,receipt 1\nSO-2,out_of_stock,\"receipt 2, 1 of CAP wanted and 0 here\"\nSO-3,unknown_sku,\"receipt 3, no such product: HAT\"\n"}, files(t, filepath.Join(dir, "out")))
	require.Equal(t, map[string]int{"MUG": 3, "CAP": 0}, w.Stock())

	require.ErrorContains(t, w.Ship("SO-1", map[string]int{"MUG": 3}), "has 2 of MUG left")
	require.NoError(t, w.Ship("SO-1", map[string]int{"MUG": 1}))

	// It dies, and another one goes on.
	w = openWarehouse(t, dir, Manner{})
	require.NoError(t, w.Ship("SO-1", nil))
	require.Error(t, w.Ship("SO-2", nil))
	require.NoError(t, w.Snapshot())
	require.NoError(t, w.Step())
	got := files(t, filepath.Join(dir, "out"))
	require.Equal(t, "sku,quantity,site\nCAP,0,MAIN\nMUG,3,MAIN\n", got["inv_000002.csv"])
	require.Equal(t, "order,carrier,service,tracking,tracking_url,shipped_at,line,sku,quantity\n"+
		"SO-1,UPS,Ground,1Z00000007000001,,2026-03-07T12:00:00Z,,MUG,1\n"+
		"SO-1,UPS,Ground,1Z00000007000002,,2026-03-07T12:00:00Z,,CAP,1\nSO-1,UPS,Ground,1Z00000007000002,,2026-03-07T12:00:00Z,,MUG,1\n", got["shp_000003.csv"])
	require.Equal(t, "shipped", w.Orders()[0].State)

	// The same number in another file is shipped again, as such a warehouse would.
	hand(t, dir, "ord_2.csv", "SO-1,Joan,01234,Ground,MUG,1\n")
	require.NoError(t, w.Step())
	require.Len(t, w.Orders(), 4)
	quiet, err := w.Quiet()
	require.NoError(t, err)
	require.True(t, quiet)
}

func TestWarehouseCancels(t *testing.T) {
	dir := t.TempDir()
	w := openWarehouse(t, dir, Manner{Deletes: true})
	hand(t, dir, "ord_1.csv", "SO-1,Joan,01234,Ground,MUG,2\nSO-2,Joan,01234,Ground,MUG,1\n")
	require.NoError(t, w.Step())
	require.NoError(t, w.Ship("SO-2", nil))
	require.NoError(t, place(filepath.Join(dir, "in", "can_1.csv"), []byte("order\nSO-1\nSO-2\n")))
	require.NoError(t, w.Step())
	require.Equal(t, []string{"cancelled", "shipped"}, []string{w.Orders()[0].State, w.Orders()[1].State})
	require.Equal(t, 4, w.Stock()["MUG"])
	require.Equal(t, "order,status,message\nSO-1,cancelled,\n", files(t, filepath.Join(dir, "out"))["ack_000002.csv"])
	require.Empty(t, files(t, filepath.Join(dir, "in")))
	_, err := os.Stat(filepath.Join(dir, "in", "done"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestFaults(t *testing.T) {
	const plain = "order,status,message\nSO-1,accepted,receipt 1\nSO-2,accepted,receipt 2\n"
	for fault, want := range map[Fault]map[string]string{
		SameAgain:     {"ack_000001.csv": plain, "ack_000001_again.csv": plain},
		HalfWritten:   {"ack_000001.csv": plain[:len(plain)/2]},
		BadRow:        {"ack_000001.csv": "order,status,message\nSO-1,accepted,receipt 1\n,?\nSO-2,accepted,receipt 2\n"},
		DuplicateRows: {"ack_000001.csv": "order,status,message\nSO-1,accepted,receipt 1\nSO-1,accepted,receipt 1\nSO-2,accepted,receipt 2\nSO-2,accepted,receipt 2\n"},
		CRLF:          {"ack_000001.csv": "order,status,message\r\nSO-1,accepted,receipt 1\r\nSO-2,accepted,receipt 2\r\n"},
		ByteOrderMark: {"ack_000001.csv": "\xef\xbb\xbf" + plain},
		Late:          {},
	} {
		t.Run(string(fault), func(t *testing.T) {
			dir := t.TempDir()
			w := openWarehouse(t, dir, Manner{})
			w.Inject(fault, 1)
			hand(t, dir, "ord_1.csv", "SO-1,Joan,01234,Ground,MUG,1\nSO-2,Joan,01234,Ground,MUG,1\n")
			require.NoError(t, w.Step())
			require.Equal(t, want, files(t, filepath.Join(dir, "out")))
			for range lateBy {
				require.NoError(t, w.Step())
			}
			if fault == HalfWritten || fault == Late {
				require.Equal(t, map[string]string{"ack_000001.csv": plain}, files(t, filepath.Join(dir, "out")))
			}
			quiet, err := w.Quiet()
			require.NoError(t, err)
			require.True(t, quiet)
		})
	}
}

// The same orders and the same seed give the same files.
func TestDeterminism(t *testing.T) {
	chance := make(map[Fault]float64)
	for _, f := range Faults() {
		chance[f] = 0.5
	}
	run := func() map[string]string {
		dir := t.TempDir()
		w, err := OpenWarehouse(WarehouseConfig{Dir: dir, Books: filepath.Join(dir, "books.json"), Seed: 7, Chance: chance, Stock: map[string]int{"MUG": 50},
			Clock: func() time.Time { return noon }, Manner: Manner{ShipAfter: 1, Stock: 2}})
		require.NoError(t, err)
		for i := range 8 {
			hand(t, dir, "ord_"+string(rune('a'+i))+".csv", "SO-"+string(rune('a'+i))+",Joan,01234,Ground,MUG,1\n")
			require.NoError(t, w.Step())
		}
		return files(t, filepath.Join(dir, "out"))
	}
	require.Equal(t, run(), run())
}

func TestShop(t *testing.T) {
	dir := t.TempDir()
	open := func() *Shop {
		s, err := OpenShop(ShopConfig{Dir: dir, Books: filepath.Join(dir, "books.json"), Seed: 7})
		require.NoError(t, err)
		return s
	}
	s := open()
	require.NoError(t, s.Place(Sale{ID: "A-1", Number: "#1", PlacedAt: noon, Method: "Ground", Buyer: Buyer{Name: "Joan, H.", Zip: "01234"}, Items: []Item{{"MUG", 2}}}))
	require.Error(t, s.Cancel("A-2"))
	require.NoError(t, s.Cancel("A-1"))
	s = open()
	require.True(t, s.Sales()[0].Cancelled)
	require.NoError(t, s.Step())
	require.Equal(t, map[string]string{
		"ord_000001.csv": "order,order_number,placed_at,ship_method,name,street1,city,state,zip,country,line,sku,quantity\nA-1,#1,2026-03-07T12:00:00Z,Ground,\"Joan, H.\",,,,01234,,1,MUG,2\n",
		"can_000002.csv": "order\nA-1\n",
	}, files(t, filepath.Join(dir, "in")))
	require.True(t, s.Sales()[0].Cancelled)

	for name, text := range map[string]string{
		"shp_k1.csv": "order,carrier,tracking,line,sku,quantity\r\nA-1,UPS,1Z1,1,MUG,2\r\n", "shp_k2.csv": "order,carrier,tracking,line,sku,quantity\nA-1,UPS,1Z1,1,MUG,2\n",
		"inv_k3.csv": "sku,quantity\nMUG,4\n", "can_k4.csv": "order\nA-1\n",
	} {
		require.NoError(t, place(filepath.Join(dir, "out", name), []byte(text)))
	}
	require.NoError(t, s.Step())
	require.NoError(t, open().Step())
	require.Equal(t, []Told{{Order: "A-1", Carrier: "UPS", Tracking: "1Z1", Units: map[string]int{"1": 4}, Files: s.Told()[0].Files}}, open().Told())
	require.ElementsMatch(t, []string{"shp_k1.csv", "shp_k2.csv"}, s.Told()[0].Files)
	require.Equal(t, map[string]int{"MUG": 4}, s.Levels())
	require.Equal(t, []string{"A-1"}, s.Cancels())
}

// A partner may die at any byte that it writes: one who goes on knows what the whole
// lines of the books say, and comes to the same end.
func TestBooksThatEndAnywhere(t *testing.T) {
	open := func(dir string) *Shop {
		s, err := OpenShop(ShopConfig{Dir: dir, Books: filepath.Join(dir, "books.json"), Seed: 7})
		require.NoError(t, err)
		return s
	}
	whole := t.TempDir()
	s := open(whole)
	require.NoError(t, s.Place(Sale{ID: "A-1", PlacedAt: noon, Items: []Item{{"MUG", 2}}}))
	require.NoError(t, s.Place(Sale{ID: "A-2", PlacedAt: noon, Items: []Item{{"MUG", 1}}}))
	require.NoError(t, s.Cancel("A-1"))
	books, err := os.ReadFile(filepath.Join(whole, "books.json"))
	require.NoError(t, err)
	for n := 0; n <= len(books); n += 5 {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "books.json"), books[:n], 0o600))
		s := open(dir)
		for i, id := range []string{"A-1", "A-2"} {
			if len(s.Sales()) == i {
				require.NoError(t, s.Place(Sale{ID: id, PlacedAt: noon, Items: []Item{{"MUG", 2 - i}}}))
			}
		}
		if s := open(dir); !s.Sales()[0].Cancelled {
			require.NoError(t, s.Cancel("A-1"))
		}
		s = open(dir)
		require.Equal(t, []bool{true, false}, []bool{s.Sales()[0].Cancelled, s.Sales()[1].Cancelled})
		require.NoError(t, s.Step())
		require.Len(t, files(t, filepath.Join(dir, "in")), 3)
	}
}

// What a step costs on the disk does not grow with what is in the books.
func TestBooksGrowByWhatChanges(t *testing.T) {
	dir := t.TempDir()
	w := openWarehouse(t, dir, Manner{})
	size := func() int64 {
		i, err := os.Stat(filepath.Join(dir, "books.json"))
		require.NoError(t, err)
		return i.Size()
	}
	var first, last int64
	for i := range 200 {
		before := int64(0)
		if i > 0 {
			before = size()
		}
		hand(t, dir, fmt.Sprintf("ord_%03d.csv", i), fmt.Sprintf("SO-%03d,Joan,01234,Ground,HAT,1\n", i))
		require.NoError(t, w.Step())
		last = size() - before
		if i == 0 {
			first = last
		}
	}
	require.Less(t, last, 2*first)
	before := size()
	require.NoError(t, w.Step())
	require.Equal(t, before, size(), "nothing happened")
	require.Equal(t, w.Orders(), openWarehouse(t, dir, Manner{}).Orders())
}

func TestPeopleSeeToProblems(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenShop(ShopConfig{Dir: dir, Books: filepath.Join(dir, "books.json"), Seed: 7})
	require.NoError(t, err)
	s.Inject(BadRow, 1)
	require.NoError(t, s.Place(Sale{ID: "A-1", PlacedAt: noon, Items: []Item{{"MUG", 2}, {"CAP", 1}}}))
	require.NoError(t, s.Step())
	n, err := s.SeeToProblems()
	require.NoError(t, err)
	require.Zero(t, n, "nobody has complained")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "in", "problems"), 0o755))
	require.NoError(t, os.Rename(filepath.Join(dir, "in", "ord_000001.csv"), filepath.Join(dir, "in", "problems", "ord_000001.csv")))
	n, err = s.SeeToProblems()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, s.Step())
	require.Contains(t, files(t, filepath.Join(dir, "in"))["ord_000001_mended.csv"], "\nA-1,,2026-03-07T12:00:00Z,,,,,,,,1,MUG,2\nA-1,,")
}
