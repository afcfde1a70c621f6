package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/starter/rehearsal"
	"orderferry/store"
	"orderferry/workflows"
)

// testOrder is an order that an operator makes up.
type testOrder struct {
	merchant relay.MerchantID
	items    []string // SKU or SKU=units
	number   string
	method   string
	until    relay.OrderState
	to       relay.Address
	actor    string
}

func (a *app) orderTestCommand() *cobra.Command {
	r := testOrder{until: relay.OrderAtWarehouse}
	cmd := a.verb(cobra.Command{
		Use:   "test",
		Short: "Send an order that is only a test, and follow it",
		Long: `Send an order that is only a test, and follow it until it has come as far as asked.
It is put as a file where a csv-cart of the merchant finds its orders, and goes the
way of every order from there. Only a merchant whose warehouse is in test mode may
be tested so: a live warehouse would ship it. Its carts have mode: test as well, or
its file is refused. The address is a public building's unless another is given.

Each step is printed as it comes. The exit code is 1 when the order is held,
skipped or cancelled, or has not come as far within the time given.`,
		Example: `  ferry order test --merchant tests --sku MUG
  ferry order test --merchant tests --sku MUG=2 --sku CUP --until shipped --timeout 15m`,
	}, func(ctx context.Context, _ []string) error { return a.testOrder(ctx, r) })
	merchantFlag(cmd, &r.merchant)
	f := cmd.Flags()
	f.StringArrayVar(&r.items, "sku", nil, "a `SKU` of the cart to order, SKU=2 for two units; may be repeated")
	f.StringVar(&r.number, "number", "", "the order's `number`; TEST- and the time unless given")
	f.StringVar(&r.method, "ship-method", "", "the cart's `name` of the way of shipping")
	f.Var(word(&r.until, parseMilestone, "state"), "until", "at_warehouse, shipped or confirmed")
	f.StringVar(&r.to.Name, "name", "Test Order", "`name` of the recipient")
	f.StringVar(&r.to.Street1, "street", "1 Dr Carlton B Goodlett Pl", "`street` of the recipient")
	f.StringVar(&r.to.City, "city", "San Francisco", "`city` of the recipient")
	f.StringVar(&r.to.State, "state", "CA", "`state` of the recipient")
	f.StringVar(&r.to.Zip, "zip", "94102", "postal `code` of the recipient")
	f.StringVar(&r.to.Country, "country", "US", "`country` of the recipient")
	actorFlag(cmd, &r.actor)
	needs(cmd, "merchant", "sku")
	return cmd
}

// milestones are the states that a test may wait for, in their order.
var milestones = []relay.OrderState{relay.OrderAtWarehouse, relay.OrderShipped, relay.OrderConfirmed}

func parseMilestone(s string) (relay.OrderState, error) {
	if !slices.Contains(milestones, relay.OrderState(s)) {
		return "", errors.New("want " + oneOf(milestones))
	}
	return relay.OrderState(s), nil
}

func (a *app) testOrder(ctx context.Context, r testOrder) error {
	items, err := parseItems(r.items)
	if err != nil {
		return err
	}
	l, err := a.vault(ctx)
	if err != nil {
		return err
	}
	m, err := known(ctx, l, r.merchant)
	if err != nil {
		return err
	}
	if m.Warehouse.Mode != relay.ModeTest {
		return usagef("merchant %s: its warehouse %s is in mode %s, and would ship the order: want mode: test in its file, or a merchant of its own for tests",
			m.ID, m.Warehouse.Name, m.Warehouse.Mode)
	}
	cart, err := fileCart(m)
	if err != nil {
		return err
	}
	now := a.parts.now()
	if r.number == "" {
		r.number = "TEST-" + now.UTC().Format("20060102-150405")
	}
	if same, err := l.FindOrders(ctx, m.ID, r.number); err != nil || len(same) > 0 {
		if err == nil {
			err = usagef("--number %s: the merchant has an order of this number already", r.number)
		}
		return err
	}
	id, err := a.drop(ctx, l, cart, connectors.WarehouseOrder{
		Token: "test", Reference: relay.NewReference(cart.Name, "", r.number, 0), Number: r.number,
		ShipTo: r.to, Service: relay.Service(r.method), Items: items, PlacedAt: now,
	})
	if err != nil {
		return fmt.Errorf("put the order where cart %s finds it: %w", cart.Name, err)
	}
	a.say("order %s lies where cart %s finds it", r.number, cart.Name)
	var jobs workflows.JobAnswer
	if err := a.askMerchant(ctx, m.ID, workflows.SyncNow, workflows.JobRequest{Connection: cart.Name, Job: relay.PullOrders, Actor: a.actor(r.actor)}, &jobs); err != nil {
		return err
	}
	return a.follow(ctx, l, m.ID, string(id), r)
}

// parseItems reads "MUG" and "MUG=2".
func parseItems(list []string) ([]relay.Item, error) {
	var out []relay.Item
	for _, s := range list {
		sku, units, counted := strings.Cut(s, "=")
		n := int64(1)
		if counted {
			var err error
			if n, err = strconv.ParseInt(units, 10, 32); err != nil || n < 1 {
				return nil, usagef("--sku %q: want a SKU, or SKU=2 for two units", s)
			}
		}
		if sku = strings.TrimSpace(sku); sku == "" {
			return nil, usagef("--sku %q: want a SKU, or SKU=2 for two units", s)
		}
		out = append(out, relay.Item{Code: relay.ItemCode(sku), Units: n})
	}
	return out, nil
}

// fileCart is the merchant's first cart that reads orders from files.
func fileCart(m store.Merchant) (store.Connection, error) {
	for _, c := range m.Connections {
		if c.Role == "cart" && c.Connector == "csv-cart" {
			return c, nil
		}
	}
	return store.Connection{}, usagef("merchant %s has no cart on files, by which test orders come: add one under carts in its file, such as {name: tests, connector: csv-cart, mode: test, base_url: \"file:///srv/ferry/tests\"}", m.ID)
}

// drop writes the order as the file of a warehouse: where such a warehouse
// would read its orders, this cart reads its own.
func (a *app) drop(ctx context.Context, l ledger, cart store.Connection, o connectors.WarehouseOrder) (relay.WarehouseOrderID, error) {
	i := slices.IndexFunc(a.parts.connectors, func(k connectors.Connector) bool { return k.Name == "csv" })
	if i < 0 {
		return "", fmt.Errorf("no connector csv")
	}
	kind := a.parts.connectors[i]
	settings := connectors.Values{}
	for _, s := range kind.Settings {
		if v, ok := cart.Settings[s.Name]; ok {
			settings[s.Name] = v
		}
	}
	vault := rehearsal.InUse(l.StoredVault(cart))
	credentials, err := vault.Read(ctx)
	if err != nil {
		return "", err
	}
	complete, url, faults := kind.Configure(cart.BaseURL, settings, credentials)
	if len(faults) > 0 {
		return "", faults[0]
	}
	vendor, err := kind.Open(connectors.Config{Merchant: cart.Merchant, Name: cart.Name, BaseURL: url, Mode: cart.Mode, Settings: complete, Vault: vault})
	if err != nil {
		return "", err
	}
	if c, ok := vendor.(io.Closer); ok {
		defer c.Close() //nolint:errcheck // what was written is known by then
	}
	sink, ok := vendor.(connectors.OrderSink)
	if !ok {
		return "", fmt.Errorf("connector %s writes no orders", kind.Name)
	}
	request, err := sink.PrepareOrder(o)
	if err != nil {
		return "", err
	}
	accepted, err := sink.SubmitOrder(ctx, request)
	return accepted.ID, err
}

// follow prints each step of the order until it has come as far as asked, or
// can't by itself.
func (a *app) follow(ctx context.Context, l ledger, m relay.MerchantID, number string, r testOrder) error {
	v := testOrderView{Merchant: m, Number: r.number, Until: r.until}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := l.FindOrders(ctx, m, number)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if len(found) == 1 && found[0].State != v.State {
			o := found[0]
			v.Reference, v.State, v.WarehouseOrderID, v.SkipReason = o.Reference, o.State, o.WarehouseOrderID, o.SkipReason
			if v.Hold = ""; o.Hold != nil {
				v.Hold = o.Hold.Headline()
			}
			a.say("%s", v.step())
		}
		reached := slices.Index(milestones, v.State)
		v.Done = reached >= 0 && reached >= slices.Index(milestones, r.until)
		switch v.State {
		case relay.OrderHeld, relay.OrderSkipped, relay.OrderCancelled, relay.OrderSendingCancelled:
			return a.conclude(v, false)
		}
		if v.Done {
			return a.conclude(v, true)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			v.Waited = true
			return a.conclude(v, false)
		}
	}
}

type testOrderView struct {
	Merchant         relay.MerchantID       `json:"merchant"`
	Number           string                 `json:"number"`
	Reference        relay.Reference        `json:"reference,omitempty"`
	State            relay.OrderState       `json:"state,omitempty"`
	WarehouseOrderID relay.WarehouseOrderID `json:"warehouse_order_id,omitempty"`
	Hold             string                 `json:"hold,omitempty"`
	SkipReason       string                 `json:"skip_reason,omitempty"`
	Until            relay.OrderState       `json:"until"`
	Done             bool                   `json:"done"`
	Waited           bool                   `json:"waited,omitempty"` // the time ran out first
}

func (v testOrderView) step() string {
	s := string(v.State)
	for _, more := range []string{v.Hold, v.SkipReason, string(v.WarehouseOrderID)} {
		if more != "" {
			s += ": " + more
		}
	}
	return s
}

func (v testOrderView) text(p *page) {
	switch {
	case v.State == "":
		p.line("test order %s was not taken in: is %s running, and not paused? ferry merchant show --merchant %s", v.Number, workflows.MerchantID(v.Merchant), v.Merchant)
		return
	case v.Done:
		p.line("test order %s (%s) went well: %s", v.Number, v.Reference, v.step())
	case v.Waited:
		p.line("test order %s (%s) is %s; it is not %s yet: look again, or give more --timeout", v.Number, v.Reference, v.step(), v.Until)
	default:
		p.line("test order %s (%s) stopped: %s", v.Number, v.Reference, v.step())
	}
	p.line("its story: ferry order history --merchant %s --order %s", v.Merchant, v.Reference)
}
