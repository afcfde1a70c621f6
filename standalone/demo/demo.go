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
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"orderferry/connectors"
	"orderferry/connectors/registry"
	"orderferry/relay"
	"orderferry/standalone/local"
	"orderferry/standalone/shop"
	"orderferry/store"
	"orderferry/workflows"
)

// Merchants are the demo's merchants and the name of the cart that each uses.
var merchants = []struct{ id, name, connector string }{
	{"acorn", "Acorn Outfitters (demo)", "quickbooks-commerce"},
	{"birch", "Birch & Sons (demo)", "tradegecko"},
}

// MerchantIDs lists the demo's merchants.
func MerchantIDs() []string {
	ids := make([]string, len(merchants))
	for i, m := range merchants {
		ids[i] = m.id
	}
	return ids
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
	for i, m := range merchants {
		if err := Onboard(ctx, ledger, temporal, Merchant(m.id, m.name, m.connector, cfg.Shops.CartURL, cfg.Shops.Warehouses[i].URL, Fast())); err != nil {
			return err
		}
	}
	if err := cfg.Shops.Stock(max(cfg.Orders, 100_000)); err != nil {
		return err
	}
	return d.run(ctx)
}

// Pace is how often the simulated merchants' jobs run.
type Pace struct{ Orders, Shipments, Inventory time.Duration }

// Fast is the demo's pace: a person is watching.
func Fast() Pace { return Pace{time.Second, time.Second, 5 * time.Second} }

// Merchant configures a simulated merchant as its merchant.yaml would.
func Merchant(id, name, cart, cartURL, warehouseURL string, pace Pace) Account {
	return Account{
		Merchant: relay.Merchant{
			ID: relay.MerchantID(id), Name: name, Unaliased: relay.HoldUnaliased,
			Resend: relay.ResendClock{Hour: relay.DefaultResendHour, Zone: relay.DefaultResendZone},
			Carts: []relay.Connection{{
				Name: "shop", Connector: cart, BaseURL: cartURL, Mode: relay.ModeLive,
				Settings: map[string]string{"overlap": "2s", "concurrency": "8"},
				Schedule: relay.Schedule{relay.PullOrders: relay.Every(pace.Orders)},
			}},
			Warehouse: relay.Connection{
				Name: "warehouse", Connector: "easypost", BaseURL: warehouseURL, Mode: relay.ModeLive,
				Settings: map[string]string{"requests_per_second": "1000"},
				Schedule: relay.Schedule{relay.PullShipments: relay.Every(pace.Shipments), relay.PullInventory: relay.Every(pace.Inventory)},
			},
		},
		Credentials: map[relay.ConnectionName]map[string]string{
			"shop":      {"access_token": shop.CartToken(id)},
			"warehouse": {"production_key": shop.WarehouseKey(id), "test_key": shop.WarehouseKey(id) + "-test"},
		},
	}
}

// Account is a merchant with its credentials.
type Account struct {
	relay.Merchant
	Credentials map[relay.ConnectionName]map[string]string
}

// Onboard stores a simulated merchant with its aliases and starts its workflow, or tells it of the change.
func Onboard(ctx context.Context, ledger *store.Store, temporal client.Client, a Account) error {
	if err := Save(ctx, ledger, a); err != nil {
		return err
	}
	_, err := temporal.SignalWithStartWorkflow(ctx, workflows.MerchantID(a.ID), workflows.SettingsChanged, workflows.JobRequest{Actor: "demo"},
		client.StartWorkflowOptions{
			TaskQueue: workflows.TaskQueue, StaticSummary: a.Name,
			WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		}, workflows.MerchantWorkflow, workflows.MerchantInput{Merchant: a.ID})
	if err != nil {
		return fmt.Errorf("start the workflow of %s: %w", a.ID, err)
	}
	return nil
}

// Save stores a simulated merchant with its aliases.
func Save(ctx context.Context, ledger *store.Store, a Account) error {
	complete := func(c *relay.Connection) error {
		for _, kind := range registry.All() {
			if kind.Name != c.Connector {
				continue
			}
			settings, url, faults := kind.Configure(c.BaseURL, c.Settings, connectors.Credentials(a.Credentials[c.Name]))
			if len(faults) > 0 {
				return fmt.Errorf("%s/%s: %w", a.ID, c.Name, faults[0])
			}
			c.Settings, c.BaseURL = settings, url
			return nil
		}
		return fmt.Errorf("%s/%s: no connector %s", a.ID, c.Name, c.Connector)
	}
	for i := range a.Carts {
		if err := complete(&a.Carts[i]); err != nil {
			return err
		}
	}
	if err := complete(&a.Warehouse); err != nil {
		return err
	}
	if _, err := ledger.SaveMerchant(ctx, a.Merchant, a.Credentials); err != nil {
		return err
	}
	_, err := ledger.ImportAliases(ctx, a.ID, shop.Aliases(), false, "demo")
	return err
}

type demo struct {
	Config
	ledger   *store.Store
	database *pgxpool.Pool // for the audit
	temporal client.Client
	began    time.Time
	sold     int
	voided   map[string]bool
}

func (d *demo) run(ctx context.Context) error {
	fmt.Fprintf(d.Out, "\nTemporal Web UI  %s/namespaces/default/workflows\nHealth, metrics  http://%s/metrics\n"+
		"The shops' books %s/orders?account=acorn\nIn another shell  go run ./starter merchant list;  go run ./starter hold list\n\n",
		d.Instance.UI, d.Instance.Health, d.Shops.CartControl)
	d.voided = make(map[string]bool)
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
			if err := d.sell(d.sold + flow*len(merchants)); err != nil {
				return err
			}
		}
		if err := d.voidHeld(ctx); err != nil {
			return ended(ctx, err)
		}
		idle, err := d.progress(ctx)
		if err != nil {
			return ended(ctx, err)
		}
		if idle && d.UntilIdle {
			return d.summary(ctx)
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
func share(n, i int) int { return (n + len(merchants) - 1 - i) / len(merchants) }

// sell sells up to n orders in all.
func (d *demo) sell(n int) error {
	for i, m := range merchants {
		if err := d.Shops.Sell(m.id, share(d.sold, i), share(n, i)); err != nil {
			return err
		}
	}
	d.sold = n
	return nil
}

// resume goes on with a steady flow where an earlier run left it.
func (d *demo) resume() error {
	for _, m := range merchants {
		orders, err := d.Shops.Cart.Orders(m.id)
		if err != nil {
			return err
		}
		d.sold += len(orders)
	}
	return nil
}

// voidHeld cancels at the cart, once they are on hold, the orders that are made for it.
func (d *demo) voidHeld(ctx context.Context) error {
	for i, m := range merchants {
		for n := range share(d.sold, i) {
			if shop.FateOf(n) != shop.Void || d.voided[m.id+shop.Number(n)] {
				continue
			}
			found, err := d.ledger.FindOrders(ctx, relay.MerchantID(m.id), shop.Number(n))
			if err != nil {
				return err
			}
			if len(found) == 0 || (found[0].State != relay.OrderHeld && found[0].State != relay.OrderSendingCancelled) {
				continue
			}
			if o, err := d.Shops.Cart.Order(m.id, shop.Number(n)); err != nil {
				return err
			} else if o.Status != "void" {
				if err := d.Shops.Cart.Void(m.id, shop.Number(n)); err != nil {
					return err
				}
			}
			d.voided[m.id+shop.Number(n)] = true
		}
	}
	return nil
}

// expected counts the orders that stay on hold and those that end cancelled.
func (d *demo) expected() (held, cancelled int64) {
	for i := range merchants {
		for n := range share(d.sold, i) {
			switch shop.FateOf(n) {
			case shop.Short, shop.Unknown:
				held++
			case shop.Void:
				cancelled++
			}
		}
	}
	return held, cancelled
}

// progress prints a line and reports whether every order has come to its end.
func (d *demo) progress(ctx context.Context) (idle bool, err error) {
	c, err := d.counts(ctx)
	if err != nil {
		return false, err
	}
	var total int64
	for _, n := range c.States {
		total += n
	}
	fmt.Fprintf(d.Out, "%5.0fs  sold %d  taken in %d  at the warehouse %d  shipped %d  confirmed %d  on hold %d  in doubt %d  cancelled %d\n",
		time.Since(d.began).Seconds(), d.sold, total, c.States[relay.OrderAtWarehouse], c.States[relay.OrderShipped], c.States[relay.OrderConfirmed],
		c.States[relay.OrderHeld], c.States[relay.OrderInDoubt], c.States[relay.OrderSendingCancelled]+c.States[relay.OrderCancelled])
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

func (d *demo) summary(ctx context.Context) error {
	c, err := d.counts(ctx)
	if err != nil {
		return err
	}
	var faults []string
	var duplicates int
	for i, m := range merchants {
		twice, f, err := d.audit(ctx, m.id, d.Shops.Warehouses[i])
		if err != nil {
			return err
		}
		duplicates += twice
		faults = append(faults, f...)
	}
	row := func(name string, n int64) { fmt.Fprintf(d.Out, "%-36s %8d\n", name, n) }
	fmt.Fprintln(d.Out)
	row("relayed (accepted by a warehouse)", c.States[relay.OrderConfirmed]+c.States[relay.OrderShipped]+c.States[relay.OrderAtWarehouse]+c.States[relay.OrderCancelled])
	row("confirmed (the cart has all tracking)", c.States[relay.OrderConfirmed])
	for _, r := range relay.HoldReasons() {
		if n := c.Holds[r]; n > 0 {
			row("held: "+string(r), n)
		}
	}
	row("cancelled", c.States[relay.OrderSendingCancelled]+c.States[relay.OrderCancelled])
	row("duplicates", int64(duplicates))
	fmt.Fprintf(d.Out, "%-36s %8.1f\n", "seconds", time.Since(d.began).Seconds())
	for _, f := range faults {
		fmt.Fprintln(d.Out, "WRONG:", f)
	}
	if len(faults) > 0 {
		return errors.New("the books of the shops and warehouses do not agree with the ledger")
	}
	return nil
}
