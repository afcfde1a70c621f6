package shop

import (
	"strings"

	"orderferry/connectors"
	bergen "orderferry/connectors/bergen/simulator"
	"orderferry/relay"
	"orderferry/standalone/audit"
)

// Bergen is an account with Bergen Logistics: a simulator of its own, since stock
// is brought to all accounts of one.
type Bergen struct {
	*bergen.Simulator
	login      bergen.Account
	url        string
	ControlURL string
}

func bergenAccount(merchant string) bergen.Account {
	return bergen.Account{
		WebAddress: merchant + ".example.test", UserName: "api-" + merchant, Password: "demo-password-" + merchant, Prefix: "DEMO1A",
		Warehouses: []string{"BERGEN LOGISTICS NJ2", "BERGEN LOGISTICS NJ3"},
	}
}

// Connection is what merchant.yaml would say of it: orders leave from one of two
// sites, and the stock of both counts.
func (b *Bergen) Connection() Connection {
	return Connection{
		Connection: relay.Connection{
			Name: "warehouse", Connector: "bergen", BaseURL: b.url, Mode: relay.ModeLive,
			Settings: map[string]string{
				"warehouse": b.login.Warehouses[0], "sites": "all", "requests_per_second": "1000", "order_reads": "1000", "number_length": "24",
			},
		},
		Credentials: connectors.Credentials{"web_address": b.login.WebAddress, "user_name": b.login.UserName, "password": b.login.Password},
		Control:     b.ControlURL,
		Service:     "UPS/UPS GROUND - Commercial",
	}
}

func bergenVendor() Vendor {
	v := Vendor{Name: "bergen", Routes: []string{
		"PickTicketAdd", "PickTicketAdd", "CancelPickTicket", "GetPickTicketAddStatus", "GetPickTicketObjectByBarCode", "AuthenticationTokenGet",
		"GetPickTicketStatusesByDate", "GetInventoryByBatch", "*",
	}}
	for _, k := range bergen.FaultKinds() {
		kind := FaultKind{Name: string(k)}
		switch k {
		case bergen.BadToken: // only what needs one
			kind.Routes = []string{"*", "PickTicketAdd", "CancelPickTicket", "GetPickTicketObjectByBarCode"}
		case bergen.RepeatedBatch, bergen.ShiftedBatch: // only batches after the first
			kind.Routes, kind.Rare = []string{"*"}, true
		case bergen.Error401, bergen.Error403:
			kind.Stops = true
		}
		v.Faults = append(v.Faults, kind)
	}
	return v
}

// Vendor is Bergen.
func (b *Bergen) Vendor() Vendor { return bergenVendor() }

// Inject arms a fault.
func (b *Bergen) Inject(f Fault) error {
	return b.Simulator.Inject(bergen.Fault{
		Kind: bergen.FaultKind(f.Kind), Operation: f.Route, Skip: f.Skip, Count: f.Count, Delay: f.Delay,
	})
}

// Stock adds products: most lie where orders leave from, and a few at the other site.
func (b *Bergen) Stock(units map[string]int64) error {
	const elsewhere = 100
	known := make(map[string]bool)
	for _, s := range b.Simulator.Stock(b.login.Prefix) {
		known[s.UPC] = true
	}
	for code, n := range units {
		if err := b.AddProduct(bergen.Product{UPC: code, SKU: code, Style: "DEMO", Color: "plain", Size: code}); err != nil {
			return err
		}
		if n == 0 || known[code] {
			continue
		}
		for i, more := range []int64{n, elsewhere} {
			if err := b.SetStock(code, b.login.Warehouses[i], more); err != nil {
				return err
			}
		}
	}
	return nil
}

// Deliver brings units to where orders leave from.
func (b *Bergen) Deliver(code string, units int64) error {
	for _, s := range b.Simulator.Stock(b.login.Prefix) {
		if s.UPC == code && s.Warehouse == b.login.Warehouses[0] {
			units += s.OnHand
		}
	}
	return b.SetStock(code, b.login.Warehouses[0], units)
}

// Backorders counts the units that tickets without stock wait for.
func (b *Bergen) Backorders(code string) (n int64, keeps bool) {
	for _, o := range b.Orders(b.login.Prefix) {
		if o.State == bergen.StatusNoStock {
			n += bergenUnits(o.Lines)[code]
		}
	}
	return n, true
}

// Book is the warehouse's own.
func (b *Bergen) Book() ([]audit.WarehouseOrder, audit.Units) {
	var orders []audit.WarehouseOrder
	for _, o := range b.Orders(b.login.Prefix) {
		reference, _, _ := strings.Cut(o.Number, "--r") // that of a renewed order
		w := audit.WarehouseOrder{
			ID: o.Number, Mark: reference, Number: o.PONumber, Cancelled: o.State == bergen.StatusCancelled || o.State == bergen.StateFailed,
			Street: o.Street, Units: bergenUnits(o.Lines),
		}
		for _, c := range o.Cartons {
			w.Parcels = append(w.Parcels, audit.Parcel{Tracking: c.TrackingNumber, Items: bergenUnits(c.Items)})
		}
		orders = append(orders, w)
	}
	free := make(audit.Units)
	for _, s := range b.Simulator.Stock(b.login.Prefix) {
		free[s.UPC] += s.OnHand - s.Pending
	}
	return orders, free
}

func bergenUnits(items []bergen.ItemView) audit.Units {
	out := make(audit.Units)
	for _, i := range items {
		out[i.UPC] += i.Units
	}
	return out
}
