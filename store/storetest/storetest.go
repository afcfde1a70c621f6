// Package storetest gives tests a real ledger: one private PostgreSQL for a
// test binary, and a fresh, migrated database for each test.
package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	if err := parallel(); err != nil {
		return fail(err)
	}
	ctx := context.Background()
	dir, err := place()
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	pg, err := postgres.Start(ctx, postgres.Config{Dir: dir, Log: slog.New(slog.DiscardHandler), Settings: []string{
		// It never outlives the tests.
		"fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_compression=off",
		"max_connections=1000", // of many tests at a time
	}})
	if err != nil {
		return fail(err)
	}
	s, err := newServer(ctx, pg)
	if err != nil {
		return fail(errors.Join(err, pg.Stop(ctx)))
	}
	server.Store(s)
	code = m.Run()
	s.admin.Close()
	if err := pg.Stop(ctx); err != nil {
		return fail(err)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			return fail(err)
		}
	}
	return code
}

// parallel has twice as many tests run at a time as there are processors, unless -parallel says otherwise: they wait,
// for the server and for leases to end, as long as they compute.
func parallel() error {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if told {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "storetest:", err)
	return 1
}

// server is set once, by Main.
var server atomic.Pointer[testServer]

type testServer struct {
	*postgres.Server
	// admin makes and drops databases.
	admin *pgxpool.Pool
	// copying has a database copied file by file, ten times as fast here as by way of the write-ahead log. PostgreSQL 14
	// knows no other way and so no word for it.
	copying     string
	template    sync.Once
	templateErr error
	databases   atomic.Int64
}

func newServer(ctx context.Context, pg *postgres.Server) (*testServer, error) {
	admin, err := pgxpool.New(ctx, pg.URL("postgres"))
	if err != nil {
		return nil, err
	}
	s := &testServer{Server: pg, admin: admin}
	const strategy = `select case when current_setting('server_version_num')::int >= 150000 then ' strategy file_copy' else '' end`
	if err := admin.QueryRow(ctx, strategy).Scan(&s.copying); err != nil {
		admin.Close()
		return nil, err
	}
	return s, nil
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
	s.exec(t, "create database "+name+" template "+from+s.copying)
	t.Cleanup(func() { s.exec(t, "drop database "+name+" with (force)") })
	return Database{URL: s.URL(name), KeyFile: filepath.Join(t.TempDir(), "key.json")}
}

func (s *testServer) exec(t testing.TB, sql string) {
	t.Helper()
	_, err := s.admin.Exec(context.Background(), sql)
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
