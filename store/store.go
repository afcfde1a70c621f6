// Package store is the ledger: every order, submission, shipment, stock level
// and mapping, with an append-only trail of events, in Postgres through pgx. A
// method is one transaction that means something; batches, never a query an order.
package store

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"

	"orderferry/relay"
)

//go:embed migrations/*.sql
var migrations embed.FS

const versionTable = "schema_version"

// Migrate brings the database up to date, under an advisory lock, and returns
// the schema version before and after.
func Migrate(ctx context.Context, url string) (before, after int32, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, 0, fmt.Errorf("connect to the database: %w", redact(err))
	}
	defer conn.Close(context.WithoutCancel(ctx))
	m, err := migrator(ctx, conn)
	if err != nil {
		return 0, 0, err
	}
	if before, err = m.GetCurrentVersion(ctx); err != nil {
		return 0, 0, fmt.Errorf("read the schema version: %w", err)
	}
	if err := m.Migrate(ctx); err != nil {
		return before, before, fmt.Errorf("migrate the database: %w", err)
	}
	return before, int32(len(m.Migrations)), nil
}

func migrator(ctx context.Context, conn *pgx.Conn) (*migrate.Migrator, error) {
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	if err := m.LoadMigrations(files); err != nil {
		return nil, fmt.Errorf("load migrations: %w", err)
	}
	return m, nil
}

// Store is the ledger. Safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	keyring *Keyring
}

// Option changes how the ledger is opened.
type Option func(*pgxpool.Config)

// WithTracer has a tracer hear of every statement and batch. nil: none.
func WithTracer(t pgx.QueryTracer) Option {
	return func(c *pgxpool.Config) { c.ConnConfig.Tracer = t }
}

// Open connects to the ledger and refuses one whose schema is older than this
// program. The keyring opens sealed credentials; nil is enough for those who
// never read or write them.
func Open(ctx context.Context, url string, keyring *Keyring, options ...Option) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", redact(err))
	}
	for _, o := range options {
		o(cfg)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", redact(err))
	}
	s := &Store{pool: pool, keyring: keyring}
	if err := s.checkVersion(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) checkVersion(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", redact(err))
	}
	defer conn.Release()
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	var version int
	err = conn.QueryRow(ctx, "select version from "+versionTable).Scan(&version)
	if isCode(err, "42P01") || (err == nil && version < len(entries)) {
		return fmt.Errorf("the database schema is at version %d and this program needs %d: run ferry migrate", version, len(entries))
	}
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	return nil
}

// Close waits for connections to be given back and closes them.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// ErrNotFound is returned for a merchant, connection or order that the ledger does not hold.
var ErrNotFound = errors.New("not found")

// begin runs f in a transaction. Postgres breaks a deadlock by undoing one of
// the transactions; that one is run again, so f must start from nothing.
func (s *Store) begin(ctx context.Context, f func(pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, s.pool, f)
		if try == 5 || !isCode(err, "40P01") {
			return err
		}
	}
}

func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// violates reports whether err is a breach of the named constraint or unique index.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// redact drops pgx's connection errors' details: they may quote the address with its password.
func redact(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return errors.New("not a Postgres address such as postgres://user@host:5432/database")
	}
	return err
}

// plain drops what Postgres can't hold in a text: a vendor that sends a NUL
// must not stop the page that it came in.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "")
}

// noNUL takes escaped NULs out of JSON, which jsonb can't hold either. The first
// pair keeps an escaped backslash before "u0000" from being taken for one.
var noNUL = strings.NewReplacer(`\\`, `\\`, `\u0000`, ``)

// asJSON renders a value for a jsonb column.
func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return noNUL.Replace(string(b)), err
}

// into lists the states that may become to, for guards.
func into(to relay.OrderState) []relay.OrderState { return relay.MovesInto(to) }

// Now is the time by the database's clock, which all workers share.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err = s.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("read the ledger's clock: %w", err)
	}
	return now, nil
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func fromNull(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
