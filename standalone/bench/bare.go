package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"orderferry/connectors"
	"orderferry/connectors/registry"
	"orderferry/relay"
	"orderferry/standalone/demo"
	"orderferry/standalone/shop"
)

// inFlight is the steps' own concurrency (activities.Options.InFlight).
const inFlight = 8

// vendor is a merchant's two open connections.
type vendor struct {
	source    connectors.OrderSource
	tracking  connectors.ShipmentSink
	sink      connectors.OrderSink
	shipments connectors.ShipmentSource
	mappings  relay.Mappings
}

// pages reads all orders of the cart, each once, and hands on page after page.
type pages struct {
	source connectors.OrderSource
	query  connectors.OrdersQuery
	seen   map[relay.ExternalID]bool
	more   bool
}

func (v vendor) pages() *pages {
	p := &pages{source: v.source, seen: make(map[relay.ExternalID]bool), more: true}
	p.query = connectors.OrdersQuery{Limit: 250, Known: func(_ context.Context, stamps []connectors.Stamp) ([]bool, error) {
		known := make([]bool, len(stamps))
		for i, s := range stamps {
			known[i] = p.seen[s.ID]
		}
		return known, nil
	}}
	return p
}

func (p *pages) next(ctx context.Context) ([]relay.CartOrder, error) {
	page, err := p.source.PullOrders(ctx, p.query)
	if err != nil {
		return nil, err
	}
	p.query.Cursor, p.more = page.Cursor, page.More
	for _, o := range page.Orders {
		p.seen[o.ExternalID] = true
	}
	return page.Orders, nil
}

func open(a demo.Account, log *slog.Logger) (vendor, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	dial := func(c relay.Connection) (connectors.Connection, error) {
		for _, kind := range registry.All() {
			if kind.Name != c.Connector {
				continue
			}
			secrets := connectors.Credentials(a.Credentials[c.Name])
			settings, url, faults := kind.Configure(c.BaseURL, c.Settings, secrets)
			if len(faults) > 0 {
				return nil, faults[0]
			}
			return kind.Open(connectors.Config{
				Merchant: a.ID, Name: c.Name, BaseURL: url, Mode: c.Mode, Settings: settings,
				Vault: &connectors.StaticVault{Credentials: secrets}, Transport: transport, Log: log,
			})
		}
		return nil, fmt.Errorf("no connector %s", c.Connector)
	}
	cart, err := dial(a.Carts[0])
	if err != nil {
		return vendor{}, err
	}
	warehouse, err := dial(a.Warehouse)
	if err != nil {
		return vendor{}, err
	}
	return vendor{
		source: cart.(connectors.OrderSource), tracking: cart.(connectors.ShipmentSink),
		sink: warehouse.(connectors.OrderSink), shipments: warehouse.(connectors.ShipmentSource),
		mappings: relay.NewMappings(shop.Aliases(), nil),
	}, nil
}

// bareLoop relays everything with nothing but the connectors: what a script
// would do that may lose or double any order.
func bareLoop(ctx context.Context, s shops, log *slog.Logger) (time.Duration, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range s.Merchants {
		g.Go(func() error {
			v, err := open(s.account(i), log)
			if err != nil {
				return err
			}
			return v.loop(ctx)
		})
	}
	err := g.Wait()
	return time.Since(began), err
}

type sent struct {
	id    relay.WarehouseOrderID
	order relay.CartOrder
	items []relay.OrderItem
	at    time.Time
}

func (v vendor) loop(ctx context.Context) error {
	pages := v.pages()
	open := make(map[relay.WarehouseOrderID]sent)
	for pages.more || len(open) > 0 {
		if pages.more {
			orders, err := pages.next(ctx)
			if err != nil {
				return err
			}
			if err := v.submit(ctx, orders, open); err != nil {
				return err
			}
		}
		if err := v.track(ctx, open); err != nil {
			return err
		}
	}
	return nil
}

func (v vendor) submit(ctx context.Context, orders []relay.CartOrder, open map[relay.WarehouseOrderID]sent) error {
	done := make([]sent, len(orders))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for i, o := range orders {
		g.Go(func() error {
			var err error
			done[i], err = v.submitOne(ctx, o)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range done {
		open[d.id] = d
	}
	return nil
}

func (v vendor) submitOne(ctx context.Context, o relay.CartOrder) (sent, error) {
	to, hold := v.mappings.Translate("shop", o)
	if hold != nil {
		return sent{}, fmt.Errorf("order %s: %s", o.Number, hold.Headline())
	}
	p, err := v.sink.PrepareOrder(connectors.WarehouseOrder{
		Token: "bareloopbareloop", Number: o.Number, ShipTo: o.ShipTo, Service: to.Service, Items: relay.MergeItems(to.Items), PlacedAt: o.PlacedAt,
	})
	if err != nil {
		return sent{}, err
	}
	accepted, err := v.sink.SubmitOrder(ctx, p)
	return sent{accepted.ID, o, to.Items, time.Now()}, err
}

func (v vendor) track(ctx context.Context, open map[relay.WarehouseOrderID]sent) error {
	var query connectors.ShipmentsQuery
	for id, s := range open {
		query.Open = append(query.Open, connectors.OpenOrder{ID: id, AcceptedAt: s.at})
		if len(query.Open) == 500 {
			break
		}
	}
	if len(query.Open) == 0 {
		return nil
	}
	page, err := v.shipments.PullShipments(ctx, query)
	if err != nil {
		return err
	}
	var pushes []connectors.ShipmentPush
	var shipped []relay.WarehouseOrderID
	for _, u := range page.Updates {
		s, ok := open[u.ID]
		if !ok || u.Progress != connectors.FullShipped {
			continue
		}
		shipped = append(shipped, u.ID)
		var already relay.Shipped
		for n, p := range u.Packages {
			in := relay.Allocate(s.items, already, p.Items)
			already.Add(in)
			pushes = append(pushes, connectors.ShipmentPush{
				Key: fmt.Sprintf("%s-%d", s.order.ExternalID, n), Order: s.order.ExternalID, Carrier: p.Carrier, TrackingNumber: p.TrackingNumber,
				TrackingURL: p.TrackingURL, ShippedAt: time.Now(), Lines: in.Lines,
			})
		}
	}
	for len(pushes) > 0 {
		n := min(len(pushes), 200)
		outcomes, err := v.tracking.PushShipments(ctx, pushes[:n])
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			if o.Err != nil {
				return o.Err
			}
		}
		pushes = pushes[n:]
	}
	for _, id := range shipped {
		delete(open, id)
	}
	return nil
}
