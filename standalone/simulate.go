package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/standalone/shop"
)

// simulateCommand runs the simulators alone: to try connectors by hand, and for
// a bench that wants them in a process of their own.
func simulateCommand(stdin io.Reader, stdout io.Writer) *cobra.Command {
	var cfg shop.Config
	var merchants, carts, warehouse string
	var orders int
	var every time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run the simulated shops and warehouses alone",
		Long: `Run the simulated shops and warehouses alone until stopped, and print where each
one listens and what its credentials are. The control surfaces are described in
connectors/tradegecko/simulator/README.md, connectors/easypost/simulator/README.md
and connectors/bergen/simulator/README.md; partners on files are folders.`,
		Example: `  standalone simulate --merchants acorn,birch --orders 100
  standalone simulate --carts csv-cart --warehouse bergen`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for id := range strings.SplitSeq(merchants, ",") {
				cfg.Merchants = append(cfg.Merchants, shop.Merchant{ID: id, Carts: strings.Split(carts, ","), Warehouse: warehouse})
			}
			cfg.Progress = shop.Progress{ProcessAfter: every, ShipAfter: every, PackagesEvery: 5}
			shops, err := shop.Open(cfg)
			if err != nil {
				return err
			}
			defer shops.Close()
			if err := shops.Stock(orders); err != nil {
				return err
			}
			for _, m := range cfg.Merchants {
				if err := shops.Sell(m.ID, 0, orders); err != nil {
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
	cmd.Flags().StringVar(&carts, "carts", "tradegecko", "carts of each: tradegecko or quickbooks-commerce, and csv-cart")
	cmd.Flags().StringVar(&warehouse, "warehouse", "easypost", "warehouse of each: easypost, bergen or csv")
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
		for _, a := range s.Merchants {
			line.Warehouses = append(line.Warehouses, a.Warehouse.Connection().BaseURL)
		}
		return json.NewEncoder(w).Encode(line)
	}
	fmt.Fprintf(w, "TradeGecko %s, control %s\n", s.CartURL, s.CartControl)
	for _, a := range s.Merchants {
		for _, system := range a.Systems() {
			c := system.Connection()
			fmt.Fprintf(w, "merchant %s: %s %s", a.ID, c.Connector, c.BaseURL)
			for _, name := range slices.Sorted(maps.Keys(c.Credentials)) {
				fmt.Fprintf(w, ", %s %s", name, c.Credentials[name])
			}
			if c.Control != "" {
				fmt.Fprintf(w, ", control %s", c.Control)
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}
