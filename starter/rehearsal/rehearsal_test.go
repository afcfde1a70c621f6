package rehearsal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/csv"
	"orderferry/relay"
	"orderferry/starter/rehearsal"
	"orderferry/store"
)

// nobody is a ledger that knows no merchant.
type nobody struct{ rehearsal.Ledger }

func (nobody) Merchant(context.Context, relay.MerchantID) (store.Merchant, error) {
	return store.Merchant{}, store.ErrNotFound
}

func (nobody) Mappings(context.Context, relay.MerchantID) (relay.Mappings, error) {
	return relay.Mappings{}, store.ErrNotFound
}

// Promise 1: files that a rehearsal put away would be read by nobody.
func TestNothingIsMovedInFoldersHoweverManyPagesAreRead(t *testing.T) {
	dir := t.TempDir()
	for _, folder := range []string{"shop/in", "shop/out", "depot/in", "depot/out"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, folder), 0o750))
	}
	for f := range 3 {
		text := "order,placed_at,name,street1,city,state,zip,country,sku,quantity\n"
		for n := range 120 {
			text += fmt.Sprintf("SO-%d-%d,2026-11-02T09:30:00Z,Clerk,1 Test Street,Los Angeles,CA,90001,US,MUG,1\n", f, n)
		}
		name, settled := filepath.Join(dir, fmt.Sprintf("shop/in/ord_%d.csv", f)), time.Now().Add(-time.Hour)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o640))
		require.NoError(t, os.Chtimes(name, settled, settled))
	}
	in := rehearsal.Input{
		Merchant: relay.Merchant{ID: "acme", Unaliased: relay.SendUnaliased}, Connectors: csv.Connectors(), Orders: 1000,
		Now: time.Now(), Say: func(string, ...any) {},
	}
	open := func(i int, name, folder string, given connectors.Values) relay.Connection {
		settings, address, faults := in.Connectors[i].Configure("file://"+filepath.Join(dir, folder), given, nil)
		require.Empty(t, faults)
		return relay.Connection{Name: relay.ConnectionName(name), Connector: in.Connectors[i].Name, BaseURL: address, Mode: relay.ModeTest, Settings: settings}
	}
	in.Merchant.Warehouse = open(0, "depot", "depot", connectors.Values{"service": "Ground"})
	in.Merchant.Carts = []relay.Connection{open(1, "shop", "shop", nil)}
	before := tree(t, dir)
	report, err := rehearsal.Run(t.Context(), nobody{}, in)
	require.NoError(t, err)
	require.True(t, report.Clean(), "%+v", report)
	require.Equal(t, 360, report.Carts[0].Read)
	require.Equal(t, 360, report.Carts[0].Send)
	require.Equal(t, before, tree(t, dir))
}

// door is a connection that is to be closed.
type door struct {
	closed *int
	check  error
}

func (d door) Check(context.Context) (connectors.Report, error) { return connectors.Report{}, d.check }
func (d door) Close() error                                     { *d.closed++; return nil }

func TestEveryConnectionIsClosed(t *testing.T) {
	closed := 0
	kind := func(name string, check error) connectors.Connector {
		return connectors.Connector{Name: name, Open: func(connectors.Config) (connectors.Connection, error) { return door{&closed, check}, nil }}
	}
	report, err := rehearsal.Run(t.Context(), nobody{}, rehearsal.Input{
		Merchant: relay.Merchant{
			ID: "acme", Warehouse: relay.Connection{Name: "depot", Connector: "works"},
			Carts: []relay.Connection{{Name: "shop", Connector: "works"}, {Name: "outlet", Connector: "fails"}},
		},
		Connectors: []connectors.Connector{kind("works", nil), kind("fails", errors.New("refused"))}, Orders: 1, Now: time.Now(), Say: func(string, ...any) {},
	})
	require.NoError(t, err)
	require.Len(t, report.Connections, 3)
	require.False(t, report.Clean())
	require.Equal(t, 3, closed, "also the one whose test failed")
}

// named is a cart whose account answers by a name.
type named string

func (n named) Check(context.Context) (connectors.Report, error) {
	return connectors.Report{Account: string(n)}, nil
}

// Promise 1: one shop by two tokens is one shop.
func TestTwoCartsThatAnswerAsOneAccount(t *testing.T) {
	shop := connectors.Connector{
		Name: "shop", Settings: []connectors.Setting{{Name: "location", Parts: true}},
		Open: func(cfg connectors.Config) (connectors.Connection, error) { return named("Acme Goods"), nil },
	}
	for name, c := range map[string]struct {
		first, second relay.Connection
		clean         bool
	}{
		"one account":    {relay.Connection{}, relay.Connection{}, false},
		"all and a part": {relay.Connection{}, relay.Connection{Settings: map[string]string{"location": "31"}}, false},
		"parts of it":    {relay.Connection{Settings: map[string]string{"location": "30"}}, relay.Connection{Settings: map[string]string{"location": "31"}}, true},
		"by filters of files": {
			relay.Connection{Rules: relay.Rules{Filter: relay.Filter{Locations: []string{"30"}}}},
			relay.Connection{Rules: relay.Rules{Filter: relay.Filter{Locations: []string{"31"}}}}, false,
		},
		"on another server": {relay.Connection{}, relay.Connection{BaseURL: "https://eu.shop.example"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.first.Name, c.second.Name, c.first.Connector, c.second.Connector = "main", "outlet", "shop", "shop"
			report, err := rehearsal.Run(t.Context(), nobody{}, rehearsal.Input{
				Merchant:   relay.Merchant{ID: "acme", Carts: []relay.Connection{c.first, c.second}, Warehouse: relay.Connection{Name: "depot", Connector: "shop"}},
				Connectors: []connectors.Connector{shop}, Orders: 1, Now: time.Now(), Say: func(string, ...any) {},
			})
			require.NoError(t, err)
			require.Empty(t, report.Connections[0].Missing)
			if c.clean {
				require.Empty(t, report.Connections[1].Missing)
				return
			}
			require.Equal(t, []string{"an account of its own: Acme Goods answers to cart main as well, and every order would be shipped twice: " +
				"want one cart an account, or another settings.location at each"}, report.Connections[1].Missing)
			require.False(t, report.Clean())
		})
	}
}

// tree lists all that is below a folder.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	}))
	return names
}
