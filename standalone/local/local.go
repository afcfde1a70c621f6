// Package local runs all of Orderferry in one process, for one machine, under
// one data directory: a private Postgres, an embedded Temporal with its Web UI,
// the migrations and a worker. It survives kill -9.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"orderferry/activities"
	"orderferry/standalone/temporal"
	"orderferry/starter/localfile"
	"orderferry/store"
	"orderferry/store/lockfile"
	"orderferry/store/postgres"
	"orderferry/worker/process"
	"orderferry/workflows"
)

// Config says how to run.
type Config struct {
	Dir string // everything lives below it
	// DatabaseURL uses that Postgres instead of a private one.
	DatabaseURL string
	Activities  activities.Options
	Log         *slog.Logger
	// Progress gets a line for each thing that has started; nil: silence.
	Progress func(format string, args ...any)
	// Announce is the directory where ferry finds this instance; "" means Dir.
	Announce string
}

// EnvDatabase names a Postgres to use instead of a private one.
const EnvDatabase = "ORDERFERRY_DATABASE_URL"

// Instance is what is running.
type Instance struct {
	DatabaseURL string
	KeyFile     string
	Temporal    client.Options
	UI          string // address of the Temporal Web UI
	Health      string // address of /healthz, /readyz and /metrics
	Dir         string
}

// Run starts everything, calls work, and stops everything when work returns,
// ctx ends, or a part fails.
func Run(ctx context.Context, cfg Config, work func(context.Context, Instance) error) error {
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	if cfg.Announce == "" {
		cfg.Announce = cfg.Dir
	}
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	// ferry finds one instance there: the demo's, which lives in a directory below, or the other.
	alone, err := lockfile.Take(filepath.Join(cfg.Announce, "standalone.lock"))
	if errors.Is(err, lockfile.ErrHeld) {
		return fmt.Errorf("data directory: %w: want one standalone there, with or without --demo; stop that one, or give this one another with --data", err)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	defer alone.Release()
	in := Instance{Dir: cfg.Dir, KeyFile: filepath.Join(cfg.Dir, "key.json"), DatabaseURL: cfg.DatabaseURL}
	lost := make(<-chan struct{})
	if in.DatabaseURL == "" {
		began := time.Now()
		pg, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(cfg.Dir, "postgres"), Log: cfg.Log})
		if err != nil {
			return err
		}
		defer stopWithin(20*time.Second, pg.Stop)
		if err := pg.CreateDatabase(ctx, "orderferry"); err != nil {
			return err
		}
		in.DatabaseURL, lost = pg.URL("orderferry"), pg.Done()
		cfg.Progress("Postgres is up on 127.0.0.1:%d (%s)", pg.Port(), since(began))
	}
	before, after, err := store.Migrate(ctx, in.DatabaseURL)
	if err != nil {
		return err
	}
	if before != after {
		cfg.Progress("the ledger's schema went from version %d to %d", before, after)
	}
	if _, err := store.EnsureKeyring(in.KeyFile); err != nil {
		return err
	}
	ports, err := rememberPorts(filepath.Join(cfg.Dir, "ports.json"))
	if err != nil {
		return err
	}
	began := time.Now()
	server, err := temporal.Start(ctx, temporal.Config{
		File: filepath.Join(cfg.Dir, "temporal.db"), FrontendPort: ports.Temporal, UIPort: ports.UI,
		SearchAttributes: workflows.SearchAttributes(), Log: cfg.Log,
	})
	if err != nil {
		return err
	}
	defer server.Stop()
	in.Temporal, in.UI = client.Options{HostPort: server.Address(), Namespace: client.DefaultNamespace}, server.UIAddress()
	cfg.Progress("Temporal is up on %s, its Web UI on %s (%s)", server.Address(), in.UI, since(began))

	g, ctx := errgroup.WithContext(ctx)
	ctx, finish := context.WithCancel(ctx)
	defer finish()
	g.Go(func() error {
		select {
		case <-lost:
			return errors.New("the private Postgres ended by itself; its log is in " + filepath.Join(cfg.Dir, "postgres", "postgres.log"))
		case <-ctx.Done():
			return nil
		}
	})
	ready := make(chan string, 1)
	g.Go(func() error {
		return process.Run(ctx, process.Config{
			DatabaseURL: in.DatabaseURL, KeyFile: in.KeyFile, Temporal: in.Temporal, Activities: cfg.Activities, Log: cfg.Log,
			Listen: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.Health)),
		}, func(listen string) { ready <- listen })
	})
	err = begin(ctx, cfg, in, ready, work)
	finish()
	if failed := g.Wait(); failed != nil {
		err = failed
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// begin announces the instance once its worker is up, and does the work.
func begin(ctx context.Context, cfg Config, in Instance, ready <-chan string, work func(context.Context, Instance) error) error {
	select {
	case in.Health = <-ready:
	case <-ctx.Done():
		return nil
	}
	if err := announce(cfg.Announce, in); err != nil {
		return err
	}
	defer os.Remove(localfile.In(cfg.Announce))
	return work(ctx, in)
}

func stopWithin(d time.Duration, stop func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := stop(ctx); err != nil {
		slog.Error("could not stop Postgres", "error", err)
	}
}

func since(t time.Time) time.Duration { return time.Since(t).Round(10 * time.Millisecond) }

// announce lets ferry on the same machine find this instance.
func announce(dir string, in Instance) error {
	return localfile.Write(dir, localfile.File{
		DatabaseURL: in.DatabaseURL, KeyFile: in.KeyFile, TemporalAddress: in.Temporal.HostPort, Namespace: in.Temporal.Namespace,
		UI: in.UI, PID: os.Getpid(),
	})
}

// ports are kept from start to start, so that open pages and commands go on working.
type ports struct {
	Temporal int `json:"temporal"`
	UI       int `json:"ui"`
	Health   int `json:"health"`
}

func rememberPorts(path string) (ports, error) {
	p := ports{Temporal: 7233, UI: 8233, Health: 9090}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("remembered ports: %w", err)
	}
	for _, port := range []*int{&p.Temporal, &p.UI, &p.Health} {
		if *port, err = free(*port); err != nil {
			return p, err
		}
	}
	if b, err = json.Marshal(p); err != nil {
		return p, err
	}
	return p, os.WriteFile(path, b, 0o600)
}

// free returns the port if nobody listens on it, else some other.
func free(port int) (int, error) {
	for _, p := range []int{port, 0} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			continue
		}
		got := l.Addr().(*net.TCPAddr).Port
		return got, l.Close()
	}
	return 0, errors.New("no free port on 127.0.0.1")
}
