package csv

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors"
	"orderferry/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is a place on this machine.
type folder struct {
	t    *testing.T
	dir  string
	tick time.Time // of the next file that is written
}

func newFolder(t *testing.T) *folder {
	f := &folder{t: t, dir: t.TempDir(), tick: time.Date(2026, 3, 7, 9, 0, 0, 0, time.UTC)}
	for _, d := range []string{"in", "out"} {
		require.NoError(t, os.Mkdir(filepath.Join(f.dir, d), 0o755))
	}
	return f
}

// write puts a file there, each a minute younger than the one before.
func (f *folder) write(name, text string) {
	f.t.Helper()
	p := filepath.Join(f.dir, name)
	require.NoError(f.t, os.WriteFile(p, []byte(text), 0o644)) // also the server of sftp tests reads it
	f.tick = f.tick.Add(time.Minute)
	require.NoError(f.t, os.Chtimes(p, f.tick, f.tick))
}

func (f *folder) read(name string) string {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	require.NoError(f.t, err)
	return string(b)
}

// names lists the files of a folder, without folders.
func (f *folder) names(dir string) []string {
	f.t.Helper()
	all, err := os.ReadDir(filepath.Join(f.dir, dir))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(f.t, err)
	var out []string
	for _, e := range all {
		if !e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

func (f *folder) remove(name string) {
	f.t.Helper()
	require.NoError(f.t, os.Remove(filepath.Join(f.dir, name)))
}

// config is what a connection is opened with; given settings go before those of a
// test, which reads files at once.
func config(t *testing.T, kind connectors.Connector, address string, given connectors.Values, secrets connectors.Credentials) connectors.Config {
	t.Helper()
	settings := connectors.Values{"settle": "0s", "keep_files": "0"} // files of tests have times of their own
	maps.Copy(settings, given)
	values, base, faults := kind.Configure(address, settings, secrets)
	require.Empty(t, faults)
	return connectors.Config{Merchant: "acme", Name: "files", BaseURL: base, Mode: relay.ModeTest, Settings: values, Vault: &connectors.StaticVault{Credentials: secrets}}
}

func kindNamed(t *testing.T, name string) connectors.Connector {
	t.Helper()
	i := slices.IndexFunc(Connectors(), func(c connectors.Connector) bool { return c.Name == name })
	require.GreaterOrEqual(t, i, 0)
	return Connectors()[i]
}

func (f *folder) open(kind string, given connectors.Values) connectors.Connection {
	f.t.Helper()
	k := kindNamed(f.t, kind)
	c, err := k.Open(config(f.t, k, "file://"+f.dir, given, nil))
	require.NoError(f.t, err)
	return c
}

func (f *folder) warehouse(given connectors.Values) *stockedWarehouse {
	f.t.Helper()
	return f.open("csv", given).(*stockedWarehouse)
}

// depot is a warehouse whose shipments are pulled, as the ledger does it: the
// cursor is kept once a page was taken.
type depot struct {
	t      *testing.T
	source connectors.ShipmentSource
	cursor string
}

// pull reads all pages.
func (d *depot) pull() (updates []connectors.OrderUpdate, unread []connectors.Unread) {
	d.t.Helper()
	for range 1000 {
		p, err := d.source.PullShipments(d.t.Context(), connectors.ShipmentsQuery{Cursor: d.cursor})
		require.NoError(d.t, err)
		d.cursor = p.Cursor
		updates = append(updates, p.Updates...)
		if !p.More {
			return updates, p.Unread
		}
	}
	d.t.Fatal("the pages do not end")
	return nil, nil
}

// shop is a cart whose orders are pulled.
type shop struct {
	t      *testing.T
	source connectors.OrderSource
	cursor string
	limit  int
}

func (s *shop) pull() (orders []relay.CartOrder, unread []connectors.Unread) {
	s.t.Helper()
	for range 1000 {
		p, err := s.source.PullOrders(s.t.Context(), connectors.OrdersQuery{Cursor: s.cursor, Limit: max(s.limit, 1)})
		require.NoError(s.t, err)
		require.LessOrEqual(s.t, len(p.Orders), max(s.limit, 1))
		s.cursor = p.Cursor
		orders = append(orders, p.Orders...)
		if !p.More {
			return orders, p.Unread
		}
	}
	s.t.Fatal("the pages do not end")
	return nil, nil
}

func anOrder(reference string) connectors.WarehouseOrder {
	return connectors.WarehouseOrder{
		Token: relay.Token("abcdefghijklmnop"), Reference: relay.Reference(reference), Number: "#" + reference, Service: "Ground",
		PlacedAt: time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC),
		ShipTo:   relay.Address{Name: "JOAN HARRY", Street1: "5050 Road N", City: "Waterloo", State: "ON", Zip: "N1N 1N1", Country: "CA", Phone: "555-666-7777"},
		Items:    []relay.Item{{Code: "13358A", Units: 16}, {Code: "00564", Units: 6}},
	}
}

func lines(rows ...string) string { return strings.Join(rows, "\n") + "\n" }

func subjects(unread []connectors.Unread) []string {
	var out []string
	for _, u := range unread {
		out = append(out, fmt.Sprintf("%s:%d", u.Subject, u.Line))
	}
	return out
}
