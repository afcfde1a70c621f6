// Package demo runs simulated merchants through Orderferry, shows how they
// fare, and holds what the shops and warehouses have in their own books against
// the ledger.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/local"
	"orderferry/standalone/shop"
	"orderferry/store"
)

// Merchants are the demo's: one with two carts into one warehouse, one with a
// warehouse of several sites that answers later, and one that knows only files.
func Merchants() []shop.Merchant {
	return []shop.Merchant{
		{ID: "acorn", Name: "Acorn Outfitters (demo)", Carts: []string{"tradegecko", "csv-cart"}, Warehouse: "easypost", Kits: true},
		{ID: "birch", Name: "Birch & Sons (demo)", Carts: []string{"quickbooks-commerce"}, Warehouse: "bergen", Kits: true},
		{ID: "cedar", Name: "Cedar Supply (demo)", Carts: []string{"csv-cart"}, Warehouse: "csv", Kits: true},
	}
}

// Config says what to run.
type Config struct {
	Instance local.Instance
	Shops    *shop.Shops
	// Orders is how many orders to run in all; 0: a steady flow without an end.
	Orders int
	// UntilIdle ends the demo when all orders have come to their end.
	UntilIdle bool
	Out       io.Writer
	Log       *slog.Logger
}

// flow is how many orders a second each merchant sells.
const flow = 5

// Run runs the demo until it is idle or ctx ends.
func Run(ctx context.Context, cfg Config) error {
	keyring, err := store.OpenKeyring(cfg.Instance.KeyFile)
	if err != nil {
		return err
	}
	ledger, err := store.Open(ctx, cfg.Instance.DatabaseURL, keyring)
	if err != nil {
		return err
	}
	defer ledger.Close()
	temporal, err := client.DialContext(ctx, cfg.Instance.Temporal)
	if err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	defer temporal.Close()
	database, err := pgxpool.New(ctx, cfg.Instance.DatabaseURL)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer database.Close()
	d := &demo{Config: cfg, ledger: ledger, database: database, temporal: temporal, began: time.Now()}
	for _, a := range cfg.Shops.Merchants {
		if err := Onboard(ctx, ledger, temporal, Merchant(a, Fast())); err != nil {
			return err
		}
	}
	if err := cfg.Shops.Stock(max(cfg.Orders, 100_000)); err != nil {
		return err
	}
	return d.run(ctx)
}

type demo struct {
	Config
	ledger   *store.Store
	database *pgxpool.Pool // for the audit
	temporal client.Client
	began    time.Time
	said     string // of the progress, last
	sold     int
	voided   map[audit.Key]bool
	waiting  map[string]int // merchants with backorders, and for how many rounds
}

func (d *demo) run(ctx context.Context) error {
	fmt.Fprintf(d.Out, "\nTemporal Web UI  %s/namespaces/default/workflows\nHealth, metrics  http://%s/metrics\n"+
		"The shops' books %s/orders?account=acorn\nFiles exchanged  %s\nIn another shell  go run ./starter merchant list;  go run ./starter hold list\n\n",
		d.Instance.UI, d.Instance.Health, d.Shops.CartControl, d.Shops.Files)
	d.voided, d.waiting = make(map[audit.Key]bool), make(map[string]int)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	if d.Orders > 0 {
		if err := d.sell(d.Orders); err != nil {
			return err
		}
	} else if err := d.resume(); err != nil {
		return err
	}
	for {
		if d.Orders == 0 {
			if err := d.sell(d.sold + flow*len(d.Shops.Merchants)); err != nil {
				return err
			}
		}
		if err := d.voidHeld(ctx); err != nil {
			return ended(ctx, err)
		}
		if err := d.deliver(); err != nil {
			return err
		}
		idle, err := d.progress(ctx)
		if err != nil {
			return ended(ctx, err)
		}
		if idle && d.UntilIdle {
			return d.summary(ctx, tick.C)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// share is how many of n orders the i-th merchant sells.
func (d *demo) share(n, i int) int {
	all := len(d.Shops.Merchants)
	return (n + all - 1 - i) / all
}

// sell sells up to n orders in all.
func (d *demo) sell(n int) error {
	for i, a := range d.Shops.Merchants {
		if err := a.Sell(d.share(d.sold, i), d.share(n, i)); err != nil {
			return err
		}
	}
	d.sold = n
	return nil
}

// resume goes on with a steady flow where an earlier run left it.
func (d *demo) resume() error {
	for _, a := range d.Shops.Merchants {
		for _, c := range a.Carts {
			book, err := c.Book()
			if err != nil {
				return err
			}
			d.sold += len(book.Orders)
		}
	}
	return nil
}

// voidHeld cancels at the cart, once they are on hold, the orders that are made for it.
func (d *demo) voidHeld(ctx context.Context) error {
	for i, a := range d.Shops.Merchants {
		for n := range d.share(d.sold, i) {
			if a.Fate(n) != shop.Void {
				continue
			}
			c, o := a.Order(n, shop.Void)
			cart := c.Connection().Name
			key := audit.Key{Cart: relay.ConnectionName(a.ID) + "/" + cart, Number: o.Number}
			if d.voided[key] {
				continue
			}
			found, err := d.ledger.FindOrders(ctx, relay.MerchantID(a.ID), o.Number)
			if err != nil {
				return err
			}
			for _, f := range found {
				switch {
				case f.Cart != cart:
				case f.State == relay.OrderHeld:
					// A shop on files may have to try again; an earlier run may have done so.
					d.voided[key] = c.Void(o.Number) == nil
				case f.State.Ended(): // by an earlier run
					d.voided[key] = true
				}
			}
		}
	}
	return nil
}

// deliver brings to warehouses, a few seconds later, what they accepted orders
// for without having it.
func (d *demo) deliver() error {
	const rounds = 5
	for _, a := range d.Shops.Merchants {
		units, _ := a.Warehouse.Backorders(shop.ShortCode)
		if units == 0 {
			d.waiting[a.ID] = 0
			continue
		}
		if d.waiting[a.ID]++; d.waiting[a.ID] < rounds {
			continue
		}
		d.waiting[a.ID] = 0
		if err := a.Warehouse.Deliver(shop.ShortCode, units); err != nil {
			return err
		}
	}
	return nil
}

// expected counts the orders that stay on hold and those that end cancelled.
func (d *demo) expected() (held, cancelled int64) {
	for i, a := range d.Shops.Merchants {
		_, backorders := a.Warehouse.Backorders(shop.ShortCode)
		for n := range d.share(d.sold, i) {
			switch a.Fate(n) {
			case shop.Short:
				if !backorders {
					held++
				}
			case shop.Unknown:
				held++
			case shop.Void:
				cancelled++
			}
		}
	}
	return held, cancelled
}

// progress prints a line where something has moved, and reports whether every order
// has come to its end.
func (d *demo) progress(ctx context.Context) (idle bool, err error) {
	c, err := d.counts(ctx)
	if err != nil {
		return false, err
	}
	var total int64
	for _, n := range c.States {
		total += n
	}
	line := fmt.Sprintf("sold %d  taken in %d  at the warehouse %d  shipped %d  confirmed %d  on hold %d  in doubt %d  cancelled %d",
		d.sold, total, c.States[relay.OrderAtWarehouse], c.States[relay.OrderShipped], c.States[relay.OrderConfirmed],
		c.States[relay.OrderHeld], c.States[relay.OrderInDoubt], c.States[relay.OrderSendingCancelled]+c.States[relay.OrderCancelled])
	if line != d.said {
		d.said = line
		fmt.Fprintf(d.Out, "%5.0fs  %s\n", time.Since(d.began).Seconds(), line)
	}
	held, cancelled := d.expected()
	return total == int64(d.sold) && c.Unfinished == 0 && c.States[relay.OrderHeld] <= held &&
		c.States[relay.OrderSendingCancelled]+c.States[relay.OrderCancelled] >= cancelled, nil
}

func (d *demo) counts(ctx context.Context) (store.Counts, error) {
	sum := store.Counts{States: make(map[relay.OrderState]int64), Holds: make(map[relay.HoldReason]int64)}
	list, err := d.ledger.CountsByMerchant(ctx)
	if err != nil {
		return sum, err
	}
	for _, c := range list {
		for s, n := range c.States {
			sum.States[s] += n
		}
		for r, n := range c.Holds {
			sum.Holds[r] += n
		}
		sum.Unfinished += c.Unfinished
	}
	return sum, nil
}

// summary prints how orders ended, and what the audit found.
func (d *demo) summary(ctx context.Context, tick <-chan time.Time) error {
	books, findings, err := d.audit(ctx, tick)
	if err != nil {
		return ended(ctx, err)
	}
	c, err := d.counts(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	var duplicates int64
	for _, f := range findings {
		if f.Wrong == audit.Duplicated {
			duplicates++
		}
	}
	row := func(name string, n int64) { fmt.Fprintf(d.Out, "%-44s %8d\n", name, n) }
	fmt.Fprintln(d.Out)
	row("relayed (accepted by a warehouse)", c.States[relay.OrderConfirmed]+c.States[relay.OrderShipped]+c.States[relay.OrderAtWarehouse]+c.States[relay.OrderCancelled])
	row("confirmed (the cart has all tracking)", c.States[relay.OrderConfirmed])
	for _, r := range relay.HoldReasons() {
		if n := c.Holds[r]; n > 0 {
			row("held: "+string(r), n)
		}
	}
	row("cancelled", c.States[relay.OrderSendingCancelled]+c.States[relay.OrderCancelled])
	row("duplicates", duplicates)
	for _, b := range books {
		row("in the books of "+b.name, b.orders)
	}
	fmt.Fprintf(d.Out, "%-44s %8.1f\n", "seconds", time.Since(d.began).Seconds())
	for _, f := range findings {
		fmt.Fprintln(d.Out, "WRONG:", f)
	}
	if len(findings) > 0 {
		return errors.New("the books of the shops and warehouses do not agree with the ledger")
	}
	return nil
}
