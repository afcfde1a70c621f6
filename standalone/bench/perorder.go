package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/standalone/local"
)

const perOrderQueue = "bench/per-order"

// perOrder are the steps of the yardstick: one order each.
type perOrder struct{ vendors []vendor }

type perOrderInput struct {
	Merchant int
	Order    relay.CartOrder
}

type perOrderSent struct {
	ID    relay.WarehouseOrderID
	Items []relay.OrderItem
	At    time.Time
}

var errNotShipped = errors.New("not shipped yet")

func (p *perOrder) Submit(ctx context.Context, in perOrderInput) (perOrderSent, error) {
	s, err := p.vendors[in.Merchant].submitOne(ctx, in.Order)
	return perOrderSent{s.id, s.items, s.at}, err
}

func (p *perOrder) Packages(ctx context.Context, in perOrderInput, s perOrderSent) ([]relay.Package, error) {
	page, err := p.vendors[in.Merchant].shipments.PullShipments(ctx, connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: s.ID, AcceptedAt: s.At}}})
	if err != nil {
		return nil, err
	}
	for _, u := range page.Updates {
		if u.Progress == connectors.FullShipped {
			return u.Packages, nil
		}
	}
	return nil, errNotShipped
}

func (p *perOrder) Tell(ctx context.Context, in perOrderInput, s perOrderSent, packages []relay.Package) error {
	var pushes []connectors.ShipmentPush
	var already relay.Shipped
	for n, pkg := range packages {
		contents := relay.Allocate(s.Items, already, pkg.Items)
		already.Add(contents)
		pushes = append(pushes, connectors.ShipmentPush{
			Key: fmt.Sprintf("%s-%d", in.Order.ExternalID, n), Order: in.Order.ExternalID, Carrier: pkg.Carrier, TrackingNumber: pkg.TrackingNumber,
			TrackingURL: pkg.TrackingURL, ShippedAt: s.At, Lines: contents.Lines,
		})
	}
	outcomes, err := p.vendors[in.Merchant].tracking.PushShipments(ctx, pushes)
	for _, o := range outcomes {
		err = errors.Join(err, o.Err)
	}
	return err
}

func perOrderWorkflow(ctx workflow.Context, in perOrderInput) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 1},
	})
	var p *perOrder
	var s perOrderSent
	if err := workflow.ExecuteActivity(ctx, p.Submit, in).Get(ctx, &s); err != nil {
		return err
	}
	var packages []relay.Package
	if err := workflow.ExecuteActivity(ctx, p.Packages, in, s).Get(ctx, &packages); err != nil {
		return err
	}
	return workflow.ExecuteActivity(ctx, p.Tell, in, s, packages).Get(ctx, nil)
}

// workflowPerOrder relays all orders of the shops with one workflow each.
func workflowPerOrder(ctx context.Context, in local.Instance, s shops, log *slog.Logger) (time.Duration, error) {
	options := in.Temporal
	options.Logger = sdklog.NewStructuredLogger(log)
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	p := &perOrder{}
	for i := range s.Merchants {
		v, err := open(s.account(i), log)
		if err != nil {
			return 0, err
		}
		p.vendors = append(p.vendors, v)
	}
	w := worker.New(c, perOrderQueue, worker.Options{})
	w.RegisterWorkflow(perOrderWorkflow)
	w.RegisterActivity(p)
	if err := w.Start(); err != nil {
		return 0, err
	}
	defer w.Stop()
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range p.vendors {
		for pages := p.vendors[i].pages(); pages.more; {
			orders, err := pages.next(ctx)
			if err != nil {
				return 0, err
			}
			for _, o := range orders {
				g.Go(func() error {
					run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
						ID: fmt.Sprintf("bench/%s/%s", s.Merchants[i], o.ExternalID), TaskQueue: perOrderQueue,
					}, perOrderWorkflow, perOrderInput{Merchant: i, Order: o})
					if err != nil {
						return err
					}
					return run.Get(ctx, nil)
				})
			}
		}
	}
	err = g.Wait()
	return time.Since(began), err
}
