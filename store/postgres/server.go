package postgres

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"orderferry/store/lockfile"
)

const (
	loopback = "127.0.0.1"

	// superuser is the server's only role, made by initdb.
	superuser = "orderferry"

	// maintenance is the database that every server has.
	maintenance = "postgres"
)

// Config says how to run a server.
type Config struct {
	// Dir holds everything that belongs to the server; it is made if need be. Run by root, it and the folders above it
	// must let the unprivileged user pass whom the server then runs as (chmod o+x).
	Dir string

	// Bin is the folder of PostgreSQL's programs. Empty: what Find would find, else fetched from the internet.
	Bin string

	// Mirror is the Maven repository that programs are fetched from. Default: Maven Central.
	Mirror string

	// Timeout bounds the wait for the server to accept connections, recovery after a crash included. Default 2 minutes.
	Timeout time.Duration

	// Settings, each "name=value", come after our own and win over them. Only tests, whose data nobody misses, have any.
	Settings []string

	// Log gets what a person should know. The server's own log goes to Dir/postgres.log. Default: slog.Default().
	Log *slog.Logger
}

// A Server is a running PostgreSQL that belongs to this process.
type Server struct {
	lock     *lockfile.Lock
	log      *logFile
	process  *process
	port     int
	password string

	stopping sync.Once
	stopErr  error
}

// Start runs PostgreSQL on cfg.Dir and returns when it accepts connections. It fails, in one line, when another process
// uses the directory (lockfile.ErrHeld), when PostgreSQL can't be found (ErrNotInstalled) or when the data is of another
// major version (VersionError). A server that an earlier, killed process left running is stopped first.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	cfg.Dir = dir
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	cfg.Timeout = cmp.Or(cfg.Timeout, 2*time.Minute)
	cfg.Mirror = cmp.Or(cfg.Mirror, mavenCentral)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	lock, err := lockfile.Take(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	server, err := start(ctx, cfg, lock)
	if err != nil {
		lock.Release()
		return nil, fmt.Errorf("start PostgreSQL in %s: %w", dir, err)
	}
	return server, nil
}

func start(ctx context.Context, cfg Config, lock *lockfile.Lock) (*Server, error) {
	data := filepath.Join(cfg.Dir, "data")
	who, err := accountFor(data)
	if err != nil {
		return nil, err
	}
	if err := who.reaches(cfg.Dir); err != nil {
		return nil, err
	}
	inst, err := locate(ctx, cfg, data, who)
	if err != nil {
		return nil, err
	}
	if err := initialise(ctx, cfg.Dir, inst, who); err != nil {
		return nil, err
	}
	if err := clearLeftover(ctx, data); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(filepath.Join(cfg.Dir, "password"))
	if err != nil {
		return nil, fmt.Errorf("the data is there but not its password: %w", err)
	}
	log, err := openLog(filepath.Join(cfg.Dir, "postgres.log"), logLimit)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock, log: log, password: strings.TrimSpace(string(password))}
	if err := s.launch(ctx, cfg, inst, who); err != nil {
		log.Close()
		return nil, err
	}
	cfg.Log.Info("PostgreSQL is up", "version", inst.major, "port", s.port, "programs", inst.bin)
	return s, nil
}

// locate chooses the programs: those asked for, those on the machine that can open the data, or else fetched ones.
func locate(ctx context.Context, cfg Config, data string, who account) (installation, error) {
	major, err := dataMajor(data)
	if err != nil {
		return installation{}, err
	}
	if cfg.Bin != "" {
		inst, err := inspect(ctx, cfg.Bin)
		if err != nil {
			return installation{}, fmt.Errorf("no usable PostgreSQL in %s: %w", cfg.Bin, err)
		}
		return choose([]installation{inst}, major)
	}
	var found []installation
	for _, inst := range installed(ctx) {
		if who.reaches(inst.bin) == nil {
			found = append(found, inst)
		}
	}
	inst, missing := choose(found, major)
	if missing == nil {
		return inst, nil
	}
	if ctx.Err() != nil {
		return installation{}, ctx.Err() // and so nothing could be found
	}
	inst, err = fetch(ctx, cfg, major)
	if err != nil {
		return installation{}, fmt.Errorf("%w (fetching it failed: %w)", missing, err)
	}
	return inst, nil
}

// initialise makes the data directory if there is none. It appears under its name only when complete.
func initialise(ctx context.Context, dir string, inst installation, who account) error {
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	fresh := filepath.Join(dir, "data.new")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	for _, path := range []string{password, fresh} {
		if err := who.own(path); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(inst.bin, "initdb"),
		"--pgdata="+fresh, "--username="+superuser, "--pwfile="+password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions")
	cmd.Dir = fresh
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true}
	withParent(cmd.SysProcAttr)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	runtime.LockOSThread() // see process.run
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the data directory: %w: %s", err, lastLine(said.String()))
	}
	return os.Rename(fresh, data)
}

// settings suit a small machine and never trade durability for speed.
func settings(port int) []string {
	return []string{
		"listen_addresses=" + loopback,
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=", // the loopback interface is enough, and has no limit on the length of a path
		"cluster_name=orderferry",
		"max_connections=100",
		"shared_buffers=128MB",
		"max_wal_size=512MB",
		"wal_compression=on",
		"fsync=on",
		"full_page_writes=on",
		"synchronous_commit=on",
		"password_encryption=scram-sha-256",
		"random_page_cost=1.1",
		"jit=off", // costs more than it gives on short statements
		"timezone=UTC",
		"log_timezone=UTC",
		"lc_messages=C",
		"logging_collector=off",
		"log_destination=stderr",
		"log_line_prefix=%m [%p] ",
		"log_checkpoints=off",
		// Promise 6: neither a row's values (in an error's detail) nor a statement's get into the log.
		"log_error_verbosity=terse",
		"log_min_error_statement=panic",
		"log_parameter_max_length=0",
		"log_parameter_max_length_on_error=0",
	}
}

// attempts bounds how often a server that ends while it starts is tried again. It may have lost a race for its port, or
// orphans of a killed server may still be leaving.
const attempts = 4

func (s *Server) launch(ctx context.Context, cfg Config, inst installation, who account) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := s.tryLaunch(ctx, cfg, inst, who)
		if err == nil || ctx.Err() != nil || attempt == attempts {
			return err
		}
		if _, err := poll(ctx, time.Second, func() bool { return false }); err != nil {
			return err
		}
	}
}

func (s *Server) tryLaunch(ctx context.Context, cfg Config, inst installation, who account) error {
	remembered := filepath.Join(cfg.Dir, "port")
	port, err := choosePort(remembered)
	if err != nil {
		return err
	}
	data := filepath.Join(cfg.Dir, "data")
	args := []string{"-D", data}
	for _, setting := range slices.Concat(settings(port), cfg.Settings) {
		args = append(args, "-c", setting)
	}
	s.port = port
	s.process, err = launch(filepath.Join(inst.bin, "postgres"), args, who, data, s.log)
	if err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.process.stop(ctx.Done()))
	}
	if err := os.WriteFile(remembered, []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return errors.Join(err, s.process.stop(ctx.Done()))
	}
	return nil
}

// choosePort returns the last run's port if it is free, for the sake of anyone who noted it down, else any free one.
func choosePort(remembered string) (int, error) {
	written, err := os.ReadFile(remembered)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	port, err := strconv.ParseUint(strings.TrimSpace(string(written)), 10, 16)
	if err != nil || port == 0 {
		return freePort()
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort(loopback, strconv.FormatUint(port, 10)))
	if err != nil {
		return freePort()
	}
	return int(port), listener.Close()
}

// ready waits until the server lets us in. That the password works both ways (SCRAM) also proves that it is ours.
func (s *Server) ready(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.knock(ctx)
		if err == nil {
			return nil
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "28P01" {
			return errors.New("PostgreSQL refuses the password kept beside its data")
		}
		select {
		case <-s.process.done:
			return s.Err()
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL is not ready: %w: %s", ctx.Err(), lastLine(s.log.lastWords()))
		case <-tick.C:
		}
	}
}

func (s *Server) knock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(maintenance))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}

// URL returns the connection string of a database. It contains the password: it must not be logged.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable", // never leaves the machine
	}
	return u.String()
}

// Port returns the port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// CreateDatabase makes a database unless it is there already.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL(maintenance))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var exists *pgconn.PgError
	if errors.As(err, &exists) && exists.Code == "42P04" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Done is closed when the server has ended, be it by Stop or by itself; Err tells how.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// Err tells how the server has ended: what its process returned and the last line of its log. It is nil before Done.
func (s *Server) Err() error {
	select {
	case <-s.process.done:
		return fmt.Errorf("PostgreSQL ended (%v): %s", s.process.cmd.ProcessState, lastLine(s.log.lastWords()))
	default:
		return nil
	}
}

// Stop shuts the server down: connections are broken off, everything is written to disk. It takes 45 seconds at most;
// when ctx ends, it hurries, at the price of a recovery at the next start. It may be called twice.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		s.stopErr = s.process.stop(ctx.Done())
		s.log.Close()
		s.lock.Release()
	})
	return s.stopErr
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
