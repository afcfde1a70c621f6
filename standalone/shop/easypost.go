package shop

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"orderferry/connectors"
	easypost "orderferry/connectors/easypost/simulator"
	"orderferry/relay"
	"orderferry/standalone/audit"
)

// Mode is the mode in which the simulated merchants work.
const Mode = easypost.Production

// EasyPost is an account with EasyPost Fulfillment: a simulator of its own.
type EasyPost struct {
	*easypost.Simulator
	merchant   string
	URL        string
	ControlURL string
}

// WarehouseKey is the credential of a merchant at EasyPost.
func WarehouseKey(merchant string) string { return "demo-key-" + merchant }

// EasyPostConnection configures the warehouse of a merchant at an address.
func EasyPostConnection(merchant, url string) Connection {
	return Connection{
		Connection: relay.Connection{
			Name: "warehouse", Connector: "easypost", BaseURL: url, Mode: relay.ModeLive, Settings: map[string]string{"requests_per_second": "1000"},
		},
		Credentials: connectors.Credentials{"production_key": WarehouseKey(merchant), "test_key": WarehouseKey(merchant) + "-test"},
		Service:     "standard",
	}
}

// Connection is what merchant.yaml would say of it.
func (e *EasyPost) Connection() Connection {
	c := EasyPostConnection(e.merchant, e.URL)
	c.Control = e.ControlURL
	return c
}

func easypostVendor() Vendor {
	v := Vendor{Name: "easypost", Routes: []string{
		"create_order", "create_order", "delete_order", "list_orders", "list_orders", "get_order", "inventories", "products", "*",
	}}
	for _, k := range easypost.FaultKinds() {
		kind := FaultKind{Name: string(k)}
		switch k {
		case easypost.RepeatedPage, easypost.ShiftedPage: // only lists have pages, and few have a second
			kind.Routes, kind.Rare = []string{"*"}, true
		case easypost.Error401, easypost.Error402, easypost.Error403:
			kind.Stops = true
		}
		v.Faults = append(v.Faults, kind)
	}
	return v
}

// Vendor is EasyPost.
func (e *EasyPost) Vendor() Vendor { return easypostVendor() }

// Inject arms a fault.
func (e *EasyPost) Inject(f Fault) error {
	return e.Simulator.Inject(easypost.Fault{
		Kind: easypost.FaultKind(f.Kind), Route: f.Route, Mode: Mode, Skip: f.Skip, Count: f.Count, Delay: f.Delay,
	})
}

// Stock adds products.
func (e *EasyPost) Stock(units map[string]int64) error {
	known := make(map[string]bool)
	for _, s := range e.Simulator.Stock(Mode) {
		known[s.Barcode] = true
	}
	for code, n := range units {
		e.AddProduct(code, "Product "+code)
		if n == 0 || known[code] {
			continue
		}
		if err := e.SetStock(code, "", n); err != nil {
			return err
		}
	}
	return nil
}

// Deliver brings units to where the product is.
func (e *EasyPost) Deliver(code string, units int64) error {
	for _, s := range e.Simulator.Stock(Mode) {
		if s.Barcode == code {
			return e.SetStock(code, s.Warehouse, s.OnHand+units)
		}
	}
	return e.SetStock(code, "", units)
}

// Slip has another program with the merchant's key place an order: like one that
// is there, and described as it says. It waits on hold, so that it ships no sooner
// than somebody has seen it. It returns the ids under which the warehouse has it
// now; a fault may make them none.
func (e *EasyPost) Slip(like easypost.OrderView, description string) (ids []string, err error) {
	type (
		product struct {
			Barcode string `json:"barcode"`
		}
		line struct {
			Product product `json:"product"`
			Units   int64   `json:"units"`
		}
	)
	var lines []line
	for _, l := range like.Lines {
		lines = append(lines, line{product{l.Barcode}, l.Units})
	}
	body, err := json.Marshal(map[string]any{
		"service": like.Service, "description": description, "destination": like.Destination, "line_items": lines,
	})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, e.URL+"/orders", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(WarehouseKey(e.merchant), "")
	// Nothing moves by itself until it is on hold.
	pace := e.Progress()
	if err := e.SetProgress(easypost.Progress{PackagesEvery: pace.PackagesEvery}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.SetProgress(pace)) }()
	there := make(map[string]bool)
	for _, o := range e.Orders(Mode) {
		there[o.ID] = true
	}
	if answer, err := http.DefaultClient.Do(r); err == nil {
		answer.Body.Close()
	}
	for _, o := range e.Orders(Mode) { // the answer may have been lost
		if there[o.ID] || o.Description != description {
			continue
		}
		ids = append(ids, o.ID)
		err = errors.Join(err, e.Hold(o.ID)) // not of one that was found and cancelled already
	}
	return ids, err
}

// Backorders is none: orders without stock are refused.
func (e *EasyPost) Backorders(string) (int64, bool) { return 0, false }

// Book is the warehouse's own.
func (e *EasyPost) Book() ([]audit.WarehouseOrder, audit.Units) {
	var orders []audit.WarehouseOrder
	for _, o := range e.Orders(Mode) {
		// The description is our mark with the token, and the cart's number.
		mark, number, _ := strings.Cut(o.Description, " ")
		w := audit.WarehouseOrder{
			ID: o.ID, Mark: strings.TrimPrefix(mark, "relay:"), Number: number, Cancelled: o.State == easypost.Refunded, Street: o.Street, Units: units(o.Lines),
		}
		for _, p := range o.Packages {
			if p.TrackerID != "" {
				w.Parcels = append(w.Parcels, audit.Parcel{Tracking: p.TrackingCode, Items: units(p.Items)})
			}
		}
		orders = append(orders, w)
	}
	free := make(audit.Units)
	for _, s := range e.Simulator.Stock(Mode) {
		free[s.Barcode] += max(0, s.OnHand-s.Reserved)
	}
	return orders, free
}

func units(items []easypost.ItemView) audit.Units {
	out := make(audit.Units)
	for _, i := range items {
		out[i.Barcode] += i.Units
	}
	return out
}
