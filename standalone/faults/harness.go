package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/demo"
	"orderferry/standalone/shop"
	"orderferry/standalone/temporal"
	"orderferry/store"
	"orderferry/store/postgres"
	"orderferry/workflows"
)

// Config says what to run.
type Config struct {
	Orders, Kills, Merchants, Workers int
	// How often Postgres is restarted and cut off and Temporal restarted, and how
	// often each kind of vendor fault is armed at each vendor.
	Restarts, Cuts, Temporals, VendorEach int

	// Life is how long workers are at work before they are killed, on average:
	// long enough that orders get somewhere between kills.
	Life time.Duration

	Seed uint64
	Dir  string // everything lives in a new directory below it
	Keep bool   // the directory
	// Command runs a worker: this program again.
	Command func() *exec.Cmd
	Pace    demo.Pace
	// Patience is how long at the end nothing may move before what is left is called stuck.
	Patience time.Duration
	Out      io.Writer
	Log      *slog.Logger
}

// workerOptions are shorter than a worker's defaults, which would make a run of
// days: what is waited for is the same.
func workerOptions() activities.Options {
	return activities.Options{
		Looks: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, Lease: 10 * time.Second,
		Retries: 5, Retry: time.Second, Track: 30 * time.Second,
		Overdue: 10 * time.Second, // for the merchants whose books are compared
		Tell:    10 * time.Second,
	}
}

// harness is a run.
type harness struct {
	Config
	plan     plan
	dir      string
	keyFile  string
	address  string // the ledger's address, not through the proxy
	began    time.Time
	proxy    *proxy
	shops    *shop.Shops
	people   *people
	ledger   *store.Store
	database *pgxpool.Pool // for the audit: not through the proxy
	temporal client.Client
	crew     *crew

	serverMu sync.Mutex // of the two servers, which are replaced
	pg       *postgres.Server
	engine   *temporal.Server
	engineAt temporal.Config

	deeds sync.WaitGroup // what people do
	slips sync.Mutex     // one stray order at a time

	mu       sync.Mutex
	sold     int
	outages  map[trouble]int
	versions map[orderKey][]audit.Content
	answers  map[orderKey][]string
	reopened map[orderKey]bool
	wishes   map[orderKey]audit.Wish
	underWay map[*underWay]bool // deeds that have no answer yet
	sales    map[orderKey]sale
	// planted are the orders that warehouses have though no worker sent them: strangers
	// are none of ours, and waiting go on once they are known to be.
	planted   map[stranger]bool
	strangers map[stranger]bool
	waiting   map[stranger]bool
	done      map[string]int64 // what people did, by what is printed of it
	seen      []audit.Finding  // what was wrong for a while
}

type orderKey struct {
	merchant int
	audit.Key
}

func merchantID(i int) relay.MerchantID { return relay.MerchantID(fmt.Sprintf("m%02d", i+1)) }

// Run runs the harness, prints what came of it, and returns an error when
// anything is wrong in the end.
func Run(ctx context.Context, cfg Config) (_ Tally, err error) {
	fail := func(err error) (Tally, error) { return Tally{}, err }
	h := &harness{
		Config: cfg, began: time.Now(), outages: make(map[trouble]int),
		versions: make(map[orderKey][]audit.Content), answers: make(map[orderKey][]string), sales: make(map[orderKey]sale),
		reopened: make(map[orderKey]bool), wishes: make(map[orderKey]audit.Wish), underWay: make(map[*underWay]bool),
		strangers: make(map[stranger]bool), planted: make(map[stranger]bool), waiting: make(map[stranger]bool), done: make(map[string]int64),
	}
	h.plan = newPlan(cfg.Seed, shape{
		orders: cfg.Orders, kills: cfg.Kills, merchants: cfg.Merchants,
		restarts: cfg.Restarts, cuts: cfg.Cuts, temporals: cfg.Temporals, vendorEach: cfg.VendorEach,
		life: cfg.Life,
	})
	h.sayf("seed %d: %d orders, %d kills, %d merchants, %d workers", cfg.Seed, cfg.Orders, cfg.Kills, cfg.Merchants, cfg.Workers)
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return fail(err)
	}
	if h.dir, err = os.MkdirTemp(cfg.Dir, "faults-"); err != nil {
		return fail(err)
	}
	// The private Postgres' own user has to pass.
	if err := os.Chmod(h.dir, 0o711); err != nil {
		return fail(err)
	}
	defer func() {
		if !cfg.Keep {
			_ = os.RemoveAll(h.dir)
		}
	}()
	var closers []func()
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}()
	if err := h.open(ctx, func(f func()) { closers = append(closers, f) }); err != nil {
		return fail(err)
	}
	h.sayf("everything is up in %s after %.1f s", h.dir, time.Since(h.began).Seconds())
	findings, err := h.run(ctx)
	if err != nil {
		return fail(err)
	}
	t, err := h.tally(ctx, findings)
	if err != nil {
		return fail(err)
	}
	return t, h.report(ctx, t)
}

// sayf prints a line.
func (h *harness) sayf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.Out, format+"\n", args...)
}

// count counts something that people did.
func (h *harness) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done[what]++
}

// wrong notes what was wrong while it lasted.
func (h *harness) wrong(f audit.Finding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, f)
}

// open starts all but the workers.
func (h *harness) open(ctx context.Context, later func(func())) (err error) {
	if h.pg, err = postgres.Start(ctx, h.postgresConfig()); err != nil {
		return err
	}
	later(func() {
		stop, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		h.serverMu.Lock()
		defer h.serverMu.Unlock()
		_ = h.pg.Stop(stop) // what it held was looked at already
	})
	if err := h.pg.CreateDatabase(ctx, "orderferry"); err != nil {
		return err
	}
	h.address = h.pg.URL("orderferry")
	if _, _, err := store.Migrate(ctx, h.address); err != nil {
		return err
	}
	h.keyFile = filepath.Join(h.dir, "key.json")
	keyring, err := store.EnsureKeyring(h.keyFile)
	if err != nil {
		return err
	}
	if h.ledger, err = store.Open(ctx, h.address, keyring); err != nil {
		return err
	}
	later(h.ledger.Close)
	if h.database, err = pgxpool.New(ctx, h.address); err != nil {
		return err
	}
	later(h.database.Close)
	if h.proxy, err = newProxy(fmt.Sprintf("127.0.0.1:%d", h.pg.Port())); err != nil {
		return err
	}
	later(func() { _ = h.proxy.close() })

	h.engineAt = temporal.Config{File: filepath.Join(h.dir, "temporal.db"), SearchAttributes: workflows.SearchAttributes(),
		Log: slog.New(slog.DiscardHandler)} // it complains of each restart
	if h.engine, err = temporal.Start(ctx, h.engineAt); err != nil {
		return err
	}
	later(func() {
		h.serverMu.Lock()
		defer h.serverMu.Unlock()
		h.engine.Stop()
	})
	if err := h.rememberPorts(); err != nil {
		return err
	}
	if h.temporal, err = client.DialContext(ctx, client.Options{HostPort: h.engine.Address(), Logger: quiet{}}); err != nil {
		return err
	}
	later(h.temporal.Close)
	if h.people, err = newPeople(); err != nil {
		return err
	}
	later(h.people.close)
	return h.openShops(ctx, later)
}

func (h *harness) postgresConfig() postgres.Config {
	return postgres.Config{Dir: filepath.Join(h.dir, "postgres"), Log: h.Log}
}

// rememberPorts has Temporal come back where it was.
func (h *harness) rememberPorts() error {
	ui, err := url.Parse(h.engine.UIAddress())
	if err != nil {
		return err
	}
	if _, err := fmt.Sscan(ui.Port(), &h.engineAt.UIPort); err != nil {
		return err
	}
	at, err := url.Parse("tcp://" + h.engine.Address())
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(at.Port(), &h.engineAt.FrontendPort)
	return err
}

func (h *harness) openShops(ctx context.Context, later func(func())) error {
	merchants := make([]shop.Merchant, h.Merchants)
	for i := range merchants {
		merchants[i] = merchantOf(i)
	}
	var err error
	h.shops, err = shop.Open(shop.Config{
		Merchants: merchants, Seed: int64(h.Seed),
		// Slow enough that a cancel may come in time, or too late.
		Progress: shop.Progress{ProcessAfter: 2 * time.Second, ShipAfter: time.Second, PackagesEvery: 5},
	})
	if err != nil {
		return err
	}
	later(func() { _ = h.shops.Close() })
	if err := h.shops.Stock(h.Orders); err != nil {
		return err
	}
	aliases, err := h.shops.AddLate()
	if err != nil {
		return err
	}
	for i := range h.Merchants {
		if err := h.onboard(ctx, i); err != nil {
			return err
		}
		if _, err := h.ledger.ImportAliases(ctx, merchantID(i), aliases, false, "harness"); err != nil {
			return err
		}
	}
	return nil
}

// account configures a merchant. Its pages are short, so that lists have several,
// and so are its pauses.
func (h *harness) account(i int) demo.Account {
	a := demo.Merchant(h.shops.Merchants[i], h.Pace)
	own := map[string]map[string]string{
		// What a page hid is found again within the run.
		"tradegecko": {"page_size": "20", "timeout": "5s", "sweep_every": "1m"},
		"easypost":   {"page_size": "20", "timeout": "5s"},
		"bergen":     {"timeout": "5s", "full_inventory_every": "20s"},
	}
	own["quickbooks-commerce"] = own["tradegecko"]
	for j := range a.Carts {
		maps.Copy(a.Carts[j].Settings, own[a.Carts[j].Connector])
	}
	maps.Copy(a.Warehouse.Settings, own[a.Warehouse.Connector])
	if callsPeople(i) {
		a.Alerts = h.people.policy()
		a.Credentials[store.AlertsSecret] = map[string]string{"secret": h.people.secret()}
	}
	return a
}

func (h *harness) onboard(ctx context.Context, i int) error {
	return demo.Onboard(ctx, h.ledger, h.temporal, h.account(i))
}

// orders tells a worker where everything is.
func (h *harness) orders() orders {
	at, err := url.Parse(h.address)
	if err != nil {
		panic(err) // it is made by url.URL
	}
	at.Host = h.proxy.addr()
	hosts := h.shops.Hosts()
	hosts[h.people.host()] = "people"
	return orders{
		DatabaseURL: at.String(), KeyFile: h.keyFile, Temporal: fmt.Sprintf("127.0.0.1:%d", h.engineAt.FrontendPort),
		Activities: workerOptions(), Vendors: hosts,
	}
}

// run lets orders flow and breaks things until all kills are done, then makes
// peace, waits until all has settled, and audits.
func (h *harness) run(parent context.Context) ([]audit.Finding, error) {
	log, err := os.OpenFile(h.workersLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	h.crew = newCrew(h.plan)
	h.crew.command, h.crew.stderr = h.Command, log
	h.crew.orders = h.orders

	g, ctx := errgroup.WithContext(parent)
	ctx, finish := context.WithCancel(ctx)
	defer finish()
	for range h.Workers {
		g.Go(func() error { return h.crew.run(ctx) })
	}
	g.Go(func() error { return h.operate(ctx) })
	g.Go(func() error { return h.tell(ctx) })
	var findings []audit.Finding
	g.Go(func() error {
		defer finish()
		if err := h.direct(ctx); err != nil {
			return err
		}
		var err error
		findings, err = h.settle(ctx)
		return err
	})
	err = g.Wait()
	h.deeds.Wait()
	if parent.Err() != nil {
		err = errors.New("stopped before the end")
	}
	return findings, err
}

func (h *harness) workersLog() string { return filepath.Join(h.dir, "workers.log") }

// quiet keeps the harness's own client from logging outages that it makes.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
