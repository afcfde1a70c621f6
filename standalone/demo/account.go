package demo

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"orderferry/connectors"
	"orderferry/connectors/registry"
	"orderferry/relay"
	"orderferry/standalone/shop"
	"orderferry/store"
	"orderferry/workflows"
)

// Pace is how often the simulated merchants' jobs run.
type Pace struct{ Orders, Shipments, Inventory time.Duration }

// Fast is the demo's pace: a person is watching.
func Fast() Pace { return Pace{time.Second, time.Second, 5 * time.Second} }

// Account is a merchant with its credentials and mappings.
type Account struct {
	relay.Merchant
	Credentials map[relay.ConnectionName]map[string]string
	Aliases     []relay.Alias
	Kits        []relay.Kit
}

// Merchant configures a simulated merchant as its merchant.yaml would.
func Merchant(a *shop.Account, pace Pace) Account {
	var carts []shop.Connection
	for _, c := range a.Carts {
		carts = append(carts, c.Connection())
	}
	return Configure(a.Merchant, carts, a.Warehouse.Connection(), pace)
}

// Configure configures a simulated merchant by its connections.
func Configure(m shop.Merchant, carts []shop.Connection, warehouse shop.Connection, pace Pace) Account {
	a := Account{
		Merchant: relay.Merchant{
			ID: relay.MerchantID(m.ID), Name: m.Name, Unaliased: relay.HoldUnaliased,
			Resend:    relay.ResendClock{Hour: relay.DefaultResendHour, Zone: relay.DefaultResendZone},
			Warehouse: warehouse.Connection,
		},
		Credentials: map[relay.ConnectionName]map[string]string{warehouse.Name: warehouse.Credentials},
		Aliases:     m.Aliases(), Kits: m.KitList(),
	}
	if a.Name == "" {
		a.Name = m.ID
	}
	a.Warehouse.Schedule = relay.Schedule{relay.PullShipments: relay.Every(pace.Shipments), relay.PullInventory: relay.Every(pace.Inventory)}
	for _, c := range carts {
		c.Schedule = relay.Schedule{relay.PullOrders: relay.Every(pace.Orders)}
		c.Rules.Methods.Map = map[relay.ShipMethod]relay.Service{shop.ShipMethod: warehouse.Service}
		a.Carts = append(a.Carts, c.Connection)
		a.Credentials[c.Name] = c.Credentials
	}
	return a
}

// Onboard stores a simulated merchant with its mappings and starts its workflow, or tells it of the change.
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

// Save stores a simulated merchant with its mappings.
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
	if _, err := ledger.ImportAliases(ctx, a.ID, a.Aliases, false, "demo"); err != nil {
		return err
	}
	_, err := ledger.EditKits(ctx, a.ID, store.KitEdit{Set: a.Kits, Actor: "demo"})
	return err
}
