package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"orderferry/store/lockfile"
	"orderferry/store/postgres"
)

func TestStartServesAndKeepsItsDataAcrossRuns(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	require.NoError(t, server.CreateDatabase(t.Context(), "ledger"))
	require.NoError(t, server.CreateDatabase(t.Context(), "ledger"), "a second time")
	execute(t, server.URL("ledger"), "CREATE TABLE orders (id text PRIMARY KEY)", "INSERT INTO orders VALUES ('SO-1')")
	url := server.URL("ledger")
	require.NoError(t, server.Err())
	require.NoError(t, server.Stop(t.Context()))
	require.NoError(t, server.Stop(t.Context()), "a second time")
	<-server.Done()

	server = startServer(t, dir)
	require.Equal(t, url, server.URL("ledger"), "the port and the password are remembered")
	require.Equal(t, "SO-1", one[string](t, server.URL("ledger"), "SELECT id FROM orders"))
}

func TestServerIsPrivateAndDurable(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	for setting, want := range map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "on", "full_page_writes": "on",
		"synchronous_commit": "on", "data_checksums": "on", "server_encoding": "UTF8", "TimeZone": "UTC",
		"password_encryption": "scram-sha-256",
	} {
		require.Equal(t, want, one[string](t, server.URL("postgres"), "SHOW "+setting), setting)
	}
	require.Equal(t, int64(0), one[int64](t, server.URL("postgres"),
		"SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'"))

	u, err := url.Parse(server.URL("postgres"))
	require.NoError(t, err)
	password, _ := u.User.Password()
	require.GreaterOrEqual(t, len(password), 26, "128 bits")
	u.User = url.UserPassword(u.User.Username(), "guess")
	_, err = pgx.Connect(t.Context(), u.String())
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "28P01", refused.Code)

	info, err := os.Stat(filepath.Join(dir, "password"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestSettingsWinOverOurOwn(t *testing.T) {
	server, err := postgres.Start(t.Context(), postgres.Config{Dir: placeForServer(t), Log: slog.New(slog.DiscardHandler),
		Settings: []string{"fsync=off", "max_connections=7"}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	for setting, want := range map[string]string{"fsync": "off", "max_connections": "7", "synchronous_commit": "on"} {
		require.Equal(t, want, one[string](t, server.URL("postgres"), "SHOW "+setting), setting)
	}
}

// Promise 6: what is in a row, or in a statement, stays out of the log.
func TestServerLogHoldsNoValues(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	execute(t, server.URL("postgres"), "CREATE TABLE people (email text PRIMARY KEY)", "INSERT INTO people VALUES ('ada@example.com')")
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO people VALUES ('ada@example.com')")
	require.Error(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO people VALUES ($1)", "ada@example.com")
	require.Error(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, server.Stop(t.Context()))

	log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "duplicate key value violates unique constraint")
	require.NotContains(t, string(log), "ada@example.com")
}

func TestOneDirectoryServesOneProcess(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	require.ErrorIs(t, err, lockfile.ErrHeld)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	require.Equal(t, int32(1), one[int32](t, server.URL("postgres"), "SELECT 1"), "the first is undisturbed")
}

func TestCommittedRowsOutliveAKilledProcess(t *testing.T) {
	dir := placeForServer(t)
	process, url := startProcess(t, dir)
	execute(t, url, "CREATE TABLE orders (id text PRIMARY KEY)", "INSERT INTO orders VALUES ('SO-1')")
	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())

	server := startServer(t, dir)
	require.Equal(t, "SO-1", one[string](t, server.URL("postgres"), "SELECT id FROM orders"))
}

func TestServerThatDiesIsNoticed(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	written, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(written), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	<-server.Done()
	require.ErrorContains(t, server.Err(), "signal: killed")
	require.NoError(t, server.Stop(t.Context()))

	startServer(t, dir)
}

func TestStartTakesAnotherPortWhenItsOwnIsTaken(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	port := server.Port()
	require.NoError(t, server.Stop(t.Context()))
	squatter, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err)
	defer squatter.Close()

	server = startServer(t, dir)
	require.NotEqual(t, port, server.Port())
	require.Equal(t, int32(1), one[int32](t, server.URL("postgres"), "SELECT 1"))
}

func TestStartMakesUpForAnInterruptedFirstRun(t *testing.T) {
	dir := placeForServer(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data.new", "base"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data.new", "PG_VERSION"), []byte("15\n"), 0o600))
	server := startServer(t, dir)
	require.Equal(t, int32(1), one[int32](t, server.URL("postgres"), "SELECT 1"))
	require.NoDirExists(t, filepath.Join(dir, "data.new"))
}

func TestStartThatIsCalledOffLeavesNothingBehind(t *testing.T) {
	dir := placeForServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := postgres.Start(ctx, postgres.Config{Dir: dir})
	require.ErrorIs(t, err, context.Canceled)
	startServer(t, dir)
}

func TestStartExplainsDataOfAnotherVersion(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	require.NoError(t, server.Stop(t.Context()))
	// A version that is neither installed nor to be had.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o600))
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	var mismatch *postgres.VersionError
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, 99, mismatch.Data)
	require.NotContains(t, err.Error(), "\n", "one line")
}

func TestStartExplainsABrokenServerInOneLine(t *testing.T) {
	dir := placeForServer(t)
	server := startServer(t, dir)
	require.NoError(t, server.Stop(t.Context()))
	require.NoError(t, os.Remove(filepath.Join(dir, "data", "global", "pg_control")))
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: dir})
	require.ErrorContains(t, err, "PostgreSQL ended (exit status")
	require.NotContains(t, err.Error(), "\n", "one line")
}

func startServer(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	began := time.Now()
	server, err := postgres.Start(t.Context(), postgres.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Logf("started in %v", time.Since(began))
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	return server
}

// startProcess runs a server under a process of its own.
func startProcess(t *testing.T, dir string) (process *exec.Cmd, url string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveDir+"="+dir)
	cmd.Stderr = t.Output()
	_, err := cmd.StdinPipe() // held open for as long as cmd lives
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, strings.TrimSpace(line)
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, conn.Close(t.Context()))
}

func one[T any](t *testing.T, url, query string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), query)
	require.NoError(t, err)
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, errors.Join(err, conn.Close(t.Context())))
	return value
}
