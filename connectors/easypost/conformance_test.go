package easypost_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/connectortest"
	"orderferry/connectors/easypost"
	"orderferry/connectors/easypost/simulator"
	"orderferry/relay"
)

func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Subject{
		Connector:   easypost.Connector(),
		Path:        "/fulfillment/vendor/v2",
		Mode:        relay.ModeTest,
		Credentials: connectors.Credentials{"test_key": "canary-test-key"},
		Settings: connectors.Values{
			"page_size": "5", "check_addresses": "true", "lookup_pages": "50",
		},
		Start: func(t testing.TB) any { return newDepot(t) },
		Webhooks: &connectortest.Webhooks{
			Verify: func(secret string, h http.Header, body []byte) (string, error) {
				e, err := easypost.VerifyWebhook(secret, h, body)
				return e.ID, err
			},
			Sign: func(secret string, body []byte) http.Header {
				mac := hmac.New(sha256.New, []byte(secret))
				mac.Write(body)
				return http.Header{"X-Hmac-Signature": {"hmac-sha256-hex=" + hex.EncodeToString(mac.Sum(nil))}}
			},
			Body: `{"id":"evt_1","object":"Event","mode":"test","description":"fulfillment.order.updated","created_at":1767225600,"result":{"id":"order_1","mode":"test"}}`,
		},
		Except: map[string]string{
			"inventory source/negative and fractional levels": "EasyPost counts whole units from 0 on",
		},
	})
}

// depot is the simulator as the suite knows it.
type depot struct {
	sim *simulator.Simulator
	http.Handler
}

func newDepot(t testing.TB) *depot {
	sim, err := simulator.New(simulator.Config{
		Keys:      simulator.Keys{Production: "canary-production-key", Test: "canary-test-key"},
		Behaviour: simulator.Behaviour{ManualWebhooks: true}, Clock: time.Now,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return &depot{sim, sim.Handler()}
}

func (d *depot) Stock(code relay.ItemCode, q relay.Quantity) error {
	units, whole := q.Whole()
	if !whole {
		return fmt.Errorf("%s units: %w", q, errors.ErrUnsupported)
	}
	d.sim.AddProduct(string(code), "Product "+string(code))
	return d.sim.SetStock(string(code), "EAST", units)
}

func (d *depot) Orders() ([]connectortest.Held, error) {
	var out []connectortest.Held
	for _, o := range d.sim.Orders(simulator.Test) {
		h := connectortest.Held{ID: relay.WarehouseOrderID(o.ID), Cancelled: o.State == simulator.Refunded}
		a := o.Destination
		h.ShipTo = relay.Address{Name: a.Name, Company: a.Company, Street1: a.Street1, Street2: a.Street2, City: a.City,
			State: a.State, Zip: a.Zip, Country: a.Country, Phone: a.Phone, Email: a.Email}
		for _, l := range o.Lines {
			h.Items = append(h.Items, relay.Item{Code: relay.ItemCode(l.Barcode), Units: l.Units})
		}
		out = append(out, h)
	}
	return out, nil
}

func (d *depot) Ship(id relay.WarehouseOrderID, packages ...relay.Package) error {
	var out []simulator.Package
	for _, p := range packages {
		items := map[string]int64{}
		for _, i := range p.Items {
			items[string(i.Code)] += i.Units
		}
		out = append(out, simulator.Package{Carrier: p.Carrier, TrackingCode: p.TrackingNumber, Items: items})
	}
	return d.sim.Ship(string(id), out...)
}

func (d *depot) Pick(id relay.WarehouseOrderID) error { return d.sim.Step(string(id)) }
func (d *depot) Drop(id relay.WarehouseOrderID) error { return d.sim.CancelAtWarehouse(string(id)) }

func (d *depot) ForgetMarks() error {
	b := d.sim.Behaviour()
	b.DropDescription = true
	return d.sim.SetBehaviour(b)
}

func (d *depot) TurnPages(how string) error {
	kinds := map[string]simulator.FaultKind{"repeated": simulator.RepeatedPage, "shifted": simulator.ShiftedPage}
	f := simulator.Fault{Route: "list_orders", Kind: kinds[how], Rate: 1}
	if how == "repeated" {
		f.Rate, f.Count = 0, 2
	}
	return d.sim.Inject(f)
}
