// Package storetest gives tests a real ledger: one private PostgreSQL for a
// test binary, and a fresh, migrated database for each test.
package storetest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/postgres"
)

// Main is the body of a TestMain: it starts PostgreSQL, runs the tests, stops
// PostgreSQL, and fails when goroutines are left over. Where PostgreSQL is not
// installed it says in one line what to install.
func Main(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "orderferry-store-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // run by root, the server's own user has to pass
		return fail(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	pg, err := postgres.Start(context.Background(), postgres.Config{Dir: dir, Log: quiet})
	if err != nil {
		return fail(err)
	}
	server.Store(&testServer{Server: pg})
	code = m.Run()
	if err := pg.Stop(context.Background()); err != nil {
		return fail(err)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			return fail(err)
		}
	}
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "storetest:", err)
	return 1
}

// server is set once, by Main.
var server atomic.Pointer[testServer]

type testServer struct {
	*postgres.Server
	template    sync.Once
	templateErr error
	databases   atomic.Int64
}

const template = "template_ledger"

// migrated makes the database that the others are copied from.
func (s *testServer) migrated(ctx context.Context) error {
	s.template.Do(func() {
		if s.templateErr = s.CreateDatabase(ctx, template); s.templateErr == nil {
			_, _, s.templateErr = store.Migrate(ctx, s.URL(template))
		}
	})
	return s.templateErr
}

// Database is one test's database with its key file.
type Database struct {
	URL     string
	KeyFile string
}

// Empty makes a database without a schema.
func Empty(t testing.TB) Database { return create(t, "template1") }

// New makes a migrated database. It is dropped when the test ends.
func New(t testing.TB) Database {
	t.Helper()
	s := server.Load()
	require.NotNil(t, s, "TestMain must call storetest.Main")
	require.NoError(t, s.migrated(context.Background()))
	return create(t, template)
}

func create(t testing.TB, from string) Database {
	t.Helper()
	s := server.Load()
	require.NotNil(t, s, "TestMain must call storetest.Main")
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	s.admin(t, "create database "+name+" template "+from)
	t.Cleanup(func() { s.admin(t, "drop database "+name+" with (force)") })
	return Database{URL: s.URL(name), KeyFile: filepath.Join(t.TempDir(), "key.json")}
}

func (s *testServer) admin(t testing.TB, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

// Open opens the ledger. Several may be open on one database, as several workers have it.
func (d Database) Open(t testing.TB) *store.Store {
	t.Helper()
	key, err := store.EnsureKeyring(d.KeyFile)
	require.NoError(t, err)
	s, err := store.Open(context.Background(), d.URL, key)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// Pool gives plain SQL, to look at or to spoil what the ledger keeps.
func (d Database) Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), d.URL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// Open opens a ledger on a database of its own.
func Open(t testing.TB) *store.Store {
	t.Helper()
	return New(t).Open(t)
}

// Merchant is a simple merchant: carts of the given names (none: one called
// "shop"), and a warehouse called "depot".
func Merchant(id relay.MerchantID, carts ...relay.ConnectionName) relay.Merchant {
	if len(carts) == 0 {
		carts = []relay.ConnectionName{"shop"}
	}
	m := relay.Merchant{
		ID: id, Name: strings.ToUpper(string(id)), Unaliased: relay.SendUnaliased,
		Resend:    relay.ResendClock{Hour: relay.DefaultResendHour, Zone: relay.DefaultResendZone},
		Warehouse: connection("depot", "easypost"),
	}
	for _, name := range carts {
		m.Carts = append(m.Carts, connection(name, "tradegecko"))
	}
	return m
}

func connection(name relay.ConnectionName, connector string) relay.Connection {
	return relay.Connection{
		Name: name, Connector: connector, BaseURL: "http://" + string(name) + ".test", Mode: relay.ModeLive,
		Settings: map[string]string{}, Schedule: relay.Schedule{relay.PullShipments: relay.Every(time.Minute)},
	}
}

// Save stores a merchant with a made-up credential for each connection, and reads it back.
func Save(t testing.TB, s *store.Store, m relay.Merchant) store.Merchant {
	t.Helper()
	credentials := map[relay.ConnectionName]map[string]string{m.Warehouse.Name: {"key": "made-up key"}}
	for _, c := range m.Carts {
		credentials[c.Name] = map[string]string{"token": "made-up token"}
	}
	_, err := s.SaveMerchant(context.Background(), m, credentials)
	require.NoError(t, err)
	saved, err := s.Merchant(context.Background(), m.ID)
	require.NoError(t, err)
	return saved
}
