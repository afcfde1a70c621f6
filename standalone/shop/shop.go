// Package shop runs the simulated shops and warehouses of a demo, a benchmark or
// the fault harness: one TradeGecko with an account a merchant, and one of
// everything else for each merchant that uses it. What they keep survives kill -9
// when they have a directory.
package shop

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	bergen "orderferry/connectors/bergen/simulator"
	files "orderferry/connectors/csv/simulator"
	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
)

// Merchant is a simulated merchant: which systems it uses.
type Merchant struct {
	ID        string
	Name      string   // for people; "" is the id
	Carts     []string // connectors: tradegecko or quickbooks-commerce, and csv-cart; each at most once
	Warehouse string   // connector: easypost, bergen or csv
	Kits      bool     // it sells kits too
}

// Plain are merchants with a TradeGecko and an EasyPost each.
func Plain(ids ...string) []Merchant {
	out := make([]Merchant, len(ids))
	for i, id := range ids {
		out[i] = Merchant{ID: id, Carts: []string{"tradegecko"}, Warehouse: "easypost"}
	}
	return out
}

// Config says how to run.
type Config struct {
	// Dir is for books and for the folders that partners exchange files in. "" keeps
	// books in memory, and files in a temporary directory.
	Dir       string
	Merchants []Merchant
	// FirstPort is the first of the loopback ports to use, when they are free; 0: any.
	FirstPort int
	Progress  Progress
	Seed      int64
	// AllShip sells only orders that can be shipped.
	AllShip bool
}

// Progress says how orders move at all warehouses.
type Progress struct {
	ProcessAfter  time.Duration // from the order's arrival to the next step
	ShipAfter     time.Duration // to the departure, and from one parcel to the next; 0: only when told to
	TransitAfter  time.Duration // of parcels, where the warehouse tells
	DeliverAfter  time.Duration
	PackagesEvery int // every n-th order goes in several packages; 0: one package
}

// Shops are the running simulators.
type Shops struct {
	Cart        *tradegecko.Simulator
	CartURL     string
	CartControl string
	Files       string     // directory in which partners exchange files
	Merchants   []*Account // in the order of Config

	temp       string // directory to be removed
	servers    []*http.Server
	simulators []simulator
}

// simulator is one that runs.
type simulator struct {
	vendor string
	befell func() map[string]int64
	calm   func() // disarms all faults
	close  func() error
}

// Account is a merchant with its accounts at the simulators.
type Account struct {
	Merchant
	Carts     []Cart
	Warehouse Warehouse
	AllShip   bool
}

// Open starts the simulators.
func Open(cfg Config) (_ *Shops, err error) {
	s := &Shops{}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	b := builder{Config: cfg, Shops: s, port: cfg.FirstPort}
	if err := b.folders(); err != nil {
		return nil, err
	}
	if err := b.tradegecko(); err != nil {
		return nil, err
	}
	for i, m := range cfg.Merchants {
		a := &Account{Merchant: m, AllShip: cfg.AllShip}
		for _, name := range m.Carts {
			c, err := b.cart(m.ID, name, cfg.Seed+int64(i))
			if err != nil {
				return nil, fmt.Errorf("start %s of %s: %w", name, m.ID, err)
			}
			a.Carts = append(a.Carts, c)
		}
		if a.Warehouse, err = b.warehouse(m.ID, m.Warehouse, cfg.Seed+int64(i)); err != nil {
			return nil, fmt.Errorf("start %s of %s: %w", m.Warehouse, m.ID, err)
		}
		s.Merchants = append(s.Merchants, a)
	}
	return s, nil
}

// builder starts simulators.
type builder struct {
	Config
	*Shops
	port int
}

func (b *builder) folders() (err error) {
	root := b.Dir
	if root == "" {
		if b.temp, err = os.MkdirTemp("", "orderferry-"); err != nil {
			return err
		}
		root = b.temp
	}
	b.Files, err = filepath.Abs(filepath.Join(root, "files"))
	return err
}

// started notes a simulator that runs.
func (b *builder) started(vendor string, befell func() map[string]int64, sim interface {
	ClearFaults()
	Close() error
}) {
	b.simulators = append(b.simulators, simulator{vendor, befell, sim.ClearFaults, sim.Close})
}

// journal is the file of a simulator's books; "" keeps them in memory.
func (b *builder) journal(name string) string {
	if b.Dir == "" {
		return ""
	}
	return filepath.Join(b.Dir, name+".journal")
}

func (b *builder) tradegecko() (err error) {
	var accounts []tradegecko.Account
	for _, m := range b.Config.Merchants {
		accounts = append(accounts, tradegecko.Account{Name: m.ID, Tokens: []string{CartToken(m.ID)}})
	}
	// The vendor's 300 requests in 5 minutes would make a demo of hours.
	b.Cart, err = tradegecko.New(tradegecko.Config{Seed: b.Seed, Accounts: accounts, Journal: b.journal("tradegecko"), RateLimit: 100_000_000})
	if err != nil {
		return err
	}
	b.started("tradegecko", func() map[string]int64 { return b.Cart.Stats().Faults }, b.Cart)
	b.CartURL, b.CartControl, err = b.serve(b.Cart)
	return err
}

func (b *builder) cart(merchant, connector string, seed int64) (Cart, error) {
	switch connector {
	case "tradegecko", "quickbooks-commerce":
		return &TradeGecko{Simulator: b.Cart, account: merchant, connector: connector, url: b.CartURL}, nil
	case "csv-cart":
		dir := filepath.Join(b.Files, merchant, "outlet")
		s, err := openFileShop(dir, filepath.Join(dir, "books.json"), seed)
		if err != nil {
			return nil, err
		}
		b.started("csv-cart", s.befell, s)
		return s, nil
	}
	return nil, fmt.Errorf("no simulator of a cart %s", connector)
}

func (b *builder) warehouse(merchant, connector string, seed int64) (Warehouse, error) {
	switch p := b.Progress; connector {
	case "easypost":
		sim, err := easypost.New(easypost.Config{
			Seed: seed, Journal: b.journal("easypost-" + merchant),
			Keys: easypost.Keys{Production: WarehouseKey(merchant), Test: WarehouseKey(merchant) + "-test"},
			Progress: easypost.Progress{
				ProcessAfter: p.ProcessAfter, ShipAfter: p.ShipAfter, TransitAfter: p.TransitAfter, DeliverAfter: p.DeliverAfter, PackagesEvery: p.PackagesEvery,
			},
		})
		if err != nil {
			return nil, err
		}
		b.started("easypost", func() map[string]int64 { return sim.Stats().Faults }, sim)
		e := &EasyPost{Simulator: sim, merchant: merchant}
		e.URL, e.ControlURL, err = b.serve(sim)
		e.URL += "/fulfillment/vendor/v2"
		return e, err
	case "bergen":
		login := bergenAccount(merchant)
		sim, err := bergen.New(bergen.Config{
			Seed: seed, Accounts: []bergen.Account{login}, Journal: b.journal("bergen-" + merchant),
			Behaviour: bergen.Behaviour{BatchSize: 20}, // so that stock comes in several
			Progress:  bergen.Progress{ImportAfter: p.ProcessAfter, PrintAfter: p.ProcessAfter, ShipAfter: p.ShipAfter, CartonsEvery: p.PackagesEvery},
		})
		if err != nil {
			return nil, err
		}
		b.started("bergen", func() map[string]int64 { return sim.Stats().Faults }, sim)
		w := &Bergen{Simulator: sim, login: login}
		w.url, w.ControlURL, err = b.serve(sim)
		w.url += "/ws/v3prod/publicapiws.asmx"
		return w, err
	case "csv":
		dir := filepath.Join(b.Files, merchant, "warehouse")
		how := files.Manner{ShipAfter: int((p.ProcessAfter + p.ShipAfter) / step), Stock: int(stockEvery / step), Parcels: 1}
		if p.PackagesEvery > 0 {
			how.Parcels = 2
		}
		w, err := openFileWarehouse(dir, filepath.Join(dir, "books.json"), seed, how)
		if err != nil {
			return nil, err
		}
		b.started("csv", w.befell, w)
		return w, nil
	}
	return nil, fmt.Errorf("no simulator of a warehouse %s", connector)
}

// stockEvery is how often a warehouse on files tells its stock.
const stockEvery = 5 * time.Second

// serve serves a simulator's two sides on loopback.
func (b *builder) serve(sim interface {
	Handler() http.Handler
	Control() http.Handler
}) (address, control string, err error) {
	if address, err = b.listen(sim.Handler()); err != nil {
		return "", "", err
	}
	control, err = b.listen(sim.Control())
	return address, control, err
}

func (b *builder) listen(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)))
	if err != nil && b.port != 0 {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", fmt.Errorf("start a simulator: %w", err)
	}
	if b.port != 0 {
		b.port++
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	b.servers = append(b.servers, server)
	go server.Serve(l) //nolint:errcheck // Close ends it
	return "http://" + l.Addr().String(), nil
}

// Close stops the simulators.
func (s *Shops) Close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	for _, sim := range s.simulators {
		errs = append(errs, sim.close())
	}
	if s.temp != "" {
		errs = append(errs, os.RemoveAll(s.temp))
	}
	return errors.Join(errs...)
}

// Account returns a merchant by its id; nil when there is none.
func (s *Shops) Account(merchant string) *Account {
	i := slices.IndexFunc(s.Merchants, func(a *Account) bool { return a.ID == merchant })
	if i < 0 {
		return nil
	}
	return s.Merchants[i]
}

// EasyPost is a merchant's warehouse, which has to be one.
func (s *Shops) EasyPost(merchant string) *EasyPost { return s.Account(merchant).Warehouse.(*EasyPost) }

// Stock fills shops and warehouses: enough of everything for n orders a merchant,
// and none of what is sold out. Harmless twice.
func (s *Shops) Stock(n int) error {
	for _, a := range s.Merchants {
		if err := a.Warehouse.Stock(goods(int64(10*n + 1000))); err != nil {
			return err
		}
		for _, c := range a.Carts {
			if err := c.Offer(skus()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sell places a merchant's orders from the n-th up to and without the m-th.
// Those that are there already are left alone.
func (s *Shops) Sell(merchant string, n, m int) error {
	return s.Account(merchant).Sell(n, m)
}

// Hosts lists the vendors' names by the host and port of their addresses.
func (s *Shops) Hosts() map[string]string {
	out := make(map[string]string)
	for _, a := range s.Merchants {
		for _, c := range a.Systems() {
			if u, err := url.Parse(c.Connection().BaseURL); err == nil && u.Host != "" {
				out[u.Host] = c.Vendor().Name
			}
		}
	}
	return out
}

// Befell counts the faults that befell somebody, by vendor and kind; those of
// the vendors in use that befell nobody are 0.
func (s *Shops) Befell() map[string]int64 {
	out := make(map[string]int64)
	for _, v := range Vendors() {
		for _, sim := range s.simulators {
			if sim.vendor != v.Name {
				continue
			}
			befell := sim.befell()
			for _, k := range v.Faults {
				out[v.Name+" "+k.Name] += befell[k.Name]
			}
		}
	}
	return out
}

// ClearFaults disarms all faults.
func (s *Shops) ClearFaults() {
	for _, sim := range s.simulators {
		sim.calm()
	}
}

// Systems are the merchant's carts and its warehouse.
func (a *Account) Systems() []System {
	var out []System
	for _, c := range a.Carts {
		out = append(out, c)
	}
	return append(out, a.Warehouse)
}
