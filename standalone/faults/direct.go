package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
	"orderferry/standalone/temporal"
	"orderferry/store/postgres"
	"orderferry/workflows"
)

// calm waits until every merchant's jobs run.
func (h *harness) calm(ctx context.Context) error {
	for {
		var running int
		if err := h.database.QueryRow(ctx, `select count(*) from cursors where name = 'orders'`).Scan(&running); err != nil {
			return err
		}
		if running >= h.Merchants {
			return nil
		}
		if !rest(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// direct carries out the plan, kill by kill, until all kills are done, or work has come
// to a standstill, and all is whole again. What people do to orders may still go on.
func (h *harness) direct(ctx context.Context) error {
	if err := h.calm(ctx); err != nil {
		return err
	}
	h.sayf("%s  all merchants' jobs run; now the workers are killed", h.since())
	h.crew.war()
	outages := make(chan outage, len(h.plan.outages))
	broken := make(chan error, 1)
	var whole sync.WaitGroup
	defer whole.Wait()
	whole.Go(func() {
		for o := range outages {
			if err := h.cause(ctx, o); err != nil {
				select {
				case broken <- err:
				default:
				}
			}
		}
	})
	defer close(outages)
	left := h.plan
	for {
		now := h.crew.kills()
		for ; len(left.sales) > 0 && left.sales[0].at <= now; left.sales = left.sales[1:] {
			s := left.sales[0]
			if err := h.sell(s); err != nil {
				return err
			}
			if s.then != leave {
				h.deed(s.merchant, audit.Deed{Subject: h.key(s).Number, Words: string(s.then)}, func() { h.do(ctx, s) })
			}
		}
		for ; len(left.vendors) > 0 && left.vendors[0].at <= now; left.vendors = left.vendors[1:] {
			if err := h.arm(left.vendors[0]); err != nil {
				return err
			}
		}
		for ; len(left.changes) > 0 && left.changes[0].at <= now; left.changes = left.changes[1:] {
			c := left.changes[0]
			h.deed(c.merchant, audit.Deed{Subject: string(merchantID(c.merchant)), Words: string(c.what)}, func() { h.change(ctx, c) })
		}
		for ; len(left.tricks) > 0 && left.tricks[0].at <= now; left.tricks = left.tricks[1:] {
			h.people.arm(left.tricks[0].what)
		}
		for ; len(left.outages) > 0 && left.outages[0].at <= now; left.outages = left.outages[1:] {
			outages <- left.outages[0]
		}
		if now >= h.Kills {
			h.crew.makePeace()
			return h.everyKind(ctx)
		}
		select {
		case <-h.crew.killed:
		case <-time.After(standstill):
			h.sayf("%s  no worker was killed at work for %s: they find nothing to do", h.since(), standstill)
			h.crew.makePeace()
			return h.everyKind(ctx)
		case err := <-broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (h *harness) sell(s sale) error {
	cart, o := h.order(s)
	h.mu.Lock()
	h.versions[h.key(s)] = []audit.Content{o.Content()}
	h.sales[h.key(s)] = s
	h.sold++
	h.mu.Unlock()
	return cart.Sell([]shop.Order{o})
}

// order is what is sold, and the cart that sells it.
func (h *harness) order(s sale) (shop.Cart, shop.Order) {
	return h.shops.Merchants[s.merchant].Order(s.n, s.fate)
}

// key names the order of a sale.
func (h *harness) key(s sale) orderKey {
	cart, o := h.order(s)
	return orderKey{s.merchant, audit.Key{Cart: cart.Connection().Name, Number: o.Number}}
}

// do does to an order what is planned, some time after its sale.
func (h *harness) do(ctx context.Context, s sale) {
	if !rest(ctx, s.after) {
		return
	}
	cart, o := h.order(s)
	switch s.then {
	case voidIt:
		h.wish(s, audit.Wish{Cancel: true})
		h.atCart(ctx, ordersVoided, func() error { return cart.Void(o.Number) })
	case cancelIt:
		h.cancel(ctx, s)
	case holdAndRelease, holdAndCancel:
		h.hold(ctx, s)
	case cancelAndRegret:
		h.regret(ctx, s)
	case voidAndRestore:
		h.revive(ctx, s, cart, o)
	case changeAddress:
		const street = "1 Elsewhere Avenue"
		next := o
		next.Street = street
		h.version(s, next.Content())
		if !h.atCart(ctx, ordersReaddressed, func() error { return cart.Readdress(o, street) }) {
			h.unversion(s)
		}
	case changeLine:
		sku, units := o.Lines[0].SKU, int64(4)
		next := o
		next.Lines = append([]shop.Line{{SKU: sku, Units: units}}, o.Lines[1:]...)
		h.version(s, next.Content())
		if !h.atCart(ctx, ordersRecounted, func() error { return cart.Recount(o, sku, units) }) {
			h.unversion(s)
		}
	}
}

// atCart changes an order at its cart, as soon as the cart is free to, and counts
// it. A cart refuses what comes too late: the order has shipped, or is void.
func (h *harness) atCart(ctx context.Context, what string, change func() error) (done bool) {
	err := change()
	for errors.Is(err, shop.ErrOnItsWay) && rest(ctx, time.Second) {
		err = change()
	}
	if err != nil {
		what += tooLateAtCart
	}
	h.count(what)
	return err == nil
}

// version notes what an order asks for from now on.
func (h *harness) version(s sale, c audit.Content) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.key(s)
	h.versions[key] = append(h.versions[key], c)
}

// unversion takes the last version back: the cart allows it no more.
func (h *harness) unversion(s sale) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.key(s)
	h.versions[key] = h.versions[key][:len(h.versions[key])-1]
}

// rest waits; it reports false when ctx ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// arm arms a vendor's fault.
func (h *harness) arm(f vendorFault) error {
	for _, system := range h.shops.Merchants[f.merchant].Systems() {
		if system.Vendor().Name == f.vendor {
			return system.Inject(f.Fault)
		}
	}
	return fmt.Errorf("merchant %s has no %s", merchantID(f.merchant), f.vendor)
}

// everyKind arms the kinds of vendor faults that befell nobody, since what they
// were to spoil did not happen, and waits a while for them.
func (h *harness) everyKind(ctx context.Context) error {
	deadline := time.Now().Add(30 * time.Second)
	for first := true; ; first = false {
		missing := 0
		befell := h.shops.Befell()
		for _, v := range shop.Vendors() {
			for _, kind := range v.Faults {
				if n, used := befell[v.Name+" "+kind.Name]; n > 0 || !used {
					continue
				}
				missing++
				if !first {
					continue
				}
				users := usersOf(v.Name, h.Merchants)
				for _, m := range users[:min(3, len(users))] {
					f := vendorFault{merchant: m, vendor: v.Name, Fault: shop.Fault{Kind: kind.Name, Route: "*", Count: 1, Delay: time.Second}}
					if kind.Routes != nil {
						f.Route = kind.Routes[0]
					}
					h.deliver(m, shop.LateCode, 1) // the cart is to be told
					if err := h.arm(f); err != nil {
						return err
					}
				}
			}
		}
		if missing == 0 || time.Now().After(deadline) {
			return nil
		}
		if !rest(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// change carries out what happens at a merchant's besides sales.
func (h *harness) change(ctx context.Context, c change) {
	own := workflows.MerchantID(merchantID(c.merchant))
	switch c.what {
	case deliver:
		h.deliver(c.merchant, shop.LateCode, c.units)
	case release:
		_ = h.ask(ctx, own, workflows.ReleaseOrders, workflows.ReleaseRequest{Reason: relay.HoldInsufficientInventory, Actor: "ops"}, nil)
	case addAlias:
		h.addAlias(ctx, c.merchant)
	case onboard:
		_ = h.onboard(ctx, c.merchant)
	case pause:
		_ = h.ask(ctx, own, workflows.Pause, workflows.JobRequest{Actor: "ops"}, nil)
		rest(ctx, 3*time.Second)
		for h.ask(ctx, own, workflows.Resume, workflows.JobRequest{Actor: "ops"}, nil) != nil && rest(ctx, time.Second) {
		}
	case compare:
		h.compare(ctx, c)
	case syncNow:
		_ = h.ask(ctx, own, workflows.SyncNow, workflows.JobRequest{Actor: "ops"}, nil)
	}
}

// deliver brings units to a warehouse.
func (h *harness) deliver(merchant int, code string, units int64) {
	h.mu.Lock() // two deliveries at once would be one
	defer h.mu.Unlock()
	_ = h.shops.Merchants[merchant].Warehouse.Deliver(code, units) // the item is there
}

// addAlias tells what the SKU is that nobody knew, and says so, until both are done.
func (h *harness) addAlias(ctx context.Context, merchant int) {
	m := merchantID(merchant)
	for ctx.Err() == nil {
		_, err := h.ledger.ImportAliases(ctx, m, shop.LateAlias(), false, "ops")
		if err == nil {
			err = h.temporal.SignalWorkflow(ctx, workflows.MerchantID(m), "", workflows.SettingsChanged, workflows.JobRequest{Actor: "ops"})
		}
		if err == nil || !rest(ctx, time.Second) {
			return
		}
	}
}

// cause makes an outage, and ends it.
func (h *harness) cause(ctx context.Context, o outage) error {
	h.mu.Lock()
	h.outages[o.what]++
	h.mu.Unlock()
	switch o.what {
	case postgresCut:
		h.proxy.cut(o.how)
		rest(ctx, o.lasts)
		h.proxy.mend()
	case postgresRestart:
		h.serverMu.Lock()
		defer h.serverMu.Unlock()
		stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
		if o.rough {
			cancel() // broken off: it recovers from its log
		}
		_ = h.pg.Stop(stop)
		cancel()
		rest(ctx, o.lasts/4)
		port := h.pg.Port()
		next, err := postgres.Start(context.WithoutCancel(ctx), h.postgresConfig())
		if err != nil {
			return err
		}
		if h.pg = next; next.Port() != port {
			return fmt.Errorf("a restarted Postgres has port %d instead of %d: somebody took it", next.Port(), port)
		}
	case temporalRestart:
		h.serverMu.Lock()
		defer h.serverMu.Unlock()
		h.engine.Stop()
		rest(ctx, o.lasts/2)
		next, err := temporal.Start(context.WithoutCancel(ctx), h.engineAt)
		if err != nil {
			return err
		}
		h.engine = next
	}
	return nil
}

func sum[K comparable](counts map[K]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
