// Package shop runs the simulated shops and warehouses of a demo or benchmark:
// one TradeGecko with an account a merchant, and one EasyPost a merchant. What
// they keep survives kill -9 when they have a directory.
package shop

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
)

// Config says how to run.
type Config struct {
	Dir       string // for journals; "" keeps everything in memory
	Merchants []string
	// FirstPort is the first of the loopback ports to use, when they are free; 0: any.
	FirstPort int
	Progress  easypost.Progress
	Seed      int64
	// AllShip sells only orders that can be shipped.
	AllShip bool
}

// Shops are the running simulators.
type Shops struct {
	Cart        *tradegecko.Simulator
	CartURL     string
	CartControl string
	Warehouses  []Warehouse // in the order of the merchants
	servers     []*http.Server
	allShip     bool
}

// Warehouse is one merchant's warehouse.
type Warehouse struct {
	Merchant string
	*easypost.Simulator
	URL        string
	ControlURL string
}

// CartToken and WarehouseKey are the credentials of a merchant at its simulators.
func CartToken(merchant string) string    { return "demo-token-" + merchant }
func WarehouseKey(merchant string) string { return "demo-key-" + merchant }

// Open starts the simulators.
func Open(cfg Config) (_ *Shops, err error) {
	s := &Shops{allShip: cfg.AllShip}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	journal := func(name string) string {
		if cfg.Dir == "" {
			return ""
		}
		return filepath.Join(cfg.Dir, name+".journal")
	}
	var accounts []tradegecko.Account
	for _, m := range cfg.Merchants {
		accounts = append(accounts, tradegecko.Account{Name: m, Tokens: []string{CartToken(m)}})
	}
	// The vendor's 300 requests in 5 minutes would make a demo of hours.
	s.Cart, err = tradegecko.New(tradegecko.Config{Seed: cfg.Seed, Accounts: accounts, Journal: journal("tradegecko"), RateLimit: 100_000_000})
	if err != nil {
		return nil, err
	}
	port := cfg.FirstPort
	serve := func(h http.Handler) (string, error) {
		l, err := listen(port)
		if err != nil {
			return "", err
		}
		if port != 0 {
			port++
		}
		server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		s.servers = append(s.servers, server)
		go server.Serve(l) //nolint:errcheck // Close ends it
		return "http://" + l.Addr().String(), nil
	}
	if s.CartURL, err = serve(s.Cart.Handler()); err != nil {
		return nil, err
	}
	if s.CartControl, err = serve(s.Cart.Control()); err != nil {
		return nil, err
	}
	for i, m := range cfg.Merchants {
		w := Warehouse{Merchant: m}
		w.Simulator, err = easypost.New(easypost.Config{
			Seed: cfg.Seed + int64(i), Journal: journal("easypost-" + m), Progress: cfg.Progress,
			Keys: easypost.Keys{Production: WarehouseKey(m), Test: WarehouseKey(m) + "-test"},
		})
		if err != nil {
			return nil, err
		}
		s.Warehouses = append(s.Warehouses, w)
		last := &s.Warehouses[len(s.Warehouses)-1]
		if last.URL, err = serve(w.Handler()); err != nil {
			return nil, err
		}
		last.URL += "/fulfillment/vendor/v2"
		if last.ControlURL, err = serve(w.Control()); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func listen(port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil && port != 0 {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("start a simulator: %w", err)
	}
	return l, nil
}

// Close stops the simulators.
func (s *Shops) Close() error {
	var errs []error
	for _, w := range s.Warehouses {
		errs = append(errs, w.Simulator.Close())
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	if s.Cart != nil {
		errs = append(errs, s.Cart.Close())
	}
	return errors.Join(errs...)
}
