package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	easypost "orderferry/connectors/easypost/simulator"
	"orderferry/standalone/shop"
)

// simulateCommand runs the simulators alone: to try connectors by hand, and for
// a bench that wants them in a process of their own.
func simulateCommand(stdin io.Reader, stdout io.Writer) *cobra.Command {
	var cfg shop.Config
	var merchants string
	var orders int
	var every time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run the simulated shops and warehouses alone",
		Long: `Run the simulated shops and warehouses alone until stopped, and print where each
one listens and what its credentials are. The control surfaces are described in
connectors/tradegecko/simulator/README.md and connectors/easypost/simulator/README.md.`,
		Example: "  standalone simulate --merchants acorn,birch --orders 100",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Merchants = strings.Split(merchants, ",")
			cfg.Progress = easypost.Progress{ProcessAfter: every, ShipAfter: every, PackagesEvery: 5}
			shops, err := shop.Open(cfg)
			if err != nil {
				return err
			}
			defer shops.Close()
			if err := shops.Stock(orders); err != nil {
				return err
			}
			for _, m := range cfg.Merchants {
				if err := shops.Sell(m, 0, orders); err != nil {
					return err
				}
			}
			if err := printShops(stdout, shops, asJSON); err != nil {
				return err
			}
			ended := make(chan struct{})
			if asJSON { // whoever started it holds the other end
				go func() { _, _ = io.Copy(io.Discard, stdin); close(ended) }()
			}
			select {
			case <-cmd.Context().Done():
			case <-ended:
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&merchants, "merchants", "acorn", "merchants, separated by commas")
	cmd.Flags().StringVar(&cfg.Dir, "journal", "", "directory to keep what happens in; empty: memory only")
	cmd.Flags().IntVar(&cfg.FirstPort, "first-port", 8240, "first of the loopback ports to use; 0: any")
	cmd.Flags().IntVar(&orders, "orders", 0, "orders to sell for each merchant at the start")
	cmd.Flags().DurationVar(&every, "every", time.Second, "how long the warehouse takes for each step")
	cmd.Flags().BoolVar(&cfg.AllShip, "all-ship", false, "sell no orders that are short of stock, unknown or cancelled")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON, and stop when standard input ends")
	return cmd
}

func printShops(w io.Writer, s *shop.Shops, asJSON bool) error {
	if asJSON {
		line := struct {
			CartURL    string   `json:"cart_url"`
			Warehouses []string `json:"warehouse_urls"`
		}{CartURL: s.CartURL}
		for _, e := range s.Warehouses {
			line.Warehouses = append(line.Warehouses, e.URL)
		}
		return json.NewEncoder(w).Encode(line)
	}
	fmt.Fprintf(w, "TradeGecko %s, control %s\n", s.CartURL, s.CartControl)
	for _, e := range s.Warehouses {
		fmt.Fprintf(w, "merchant %s: cart token %s; EasyPost %s, key %s, control %s\n", e.Merchant, shop.CartToken(e.Merchant), e.URL, shop.WarehouseKey(e.Merchant), e.ControlURL)
	}
	return nil
}
