package bergen_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/bergen"
	"orderferry/connectors/bergen/simulator"
	"orderferry/connectors/connectortest"
	"orderferry/relay"
)

const (
	canaryAddress  = "www.canary-demo.example"
	canaryUser     = "CANARY_USER"
	canaryPassword = "canary-password"
)

func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Subject{
		Connector:   bergen.Connector(),
		Path:        "/ws/v3staging/publicapiws.asmx",
		Mode:        relay.ModeTest,
		Credentials: connectors.Credentials{"web_address": canaryAddress, "user_name": canaryUser, "password": canaryPassword},
		Names:       []string{"web_address", "user_name"},
		Settings:    connectors.Values{"warehouse": "BERGEN LOGISTICS NJ2", "ship_via": "UPS", "ship_service": "UPS GROUND - Commercial"},
		Start:       func(t testing.TB) any { return newDepot(t) },
		// All calls are POSTs; these two change something.
		Writes: func(r *http.Request) bool {
			action := r.Header.Get("SOAPAction")
			return strings.Contains(action, "PickTicketAdd") && !strings.Contains(action, "Status") || strings.Contains(action, "CancelPickTicket")
		},
		Except: map[string]string{
			"cancel/pending until the warehouse decides":      "Bergen answers at once: a ticket that is being picked can't be cancelled",
			"inventory source/negative and fractional levels": "the simulator's stock is whole and not below 0",
			"order look-up/found by what is in it":            "a ticket's number is ours and its identity: no mark can be lost",
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
		Accounts: []simulator.Account{{WebAddress: canaryAddress, UserName: canaryUser, Password: canaryPassword}}, Clock: time.Now,
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
	if err := d.sim.AddProduct(simulator.Product{UPC: string(code), Style: "S" + string(code), Color: "navy", Size: "M"}); err != nil {
		return err
	}
	return d.sim.SetStock(string(code), "NJ2", units)
}

func (d *depot) Orders() ([]connectortest.Held, error) {
	var out []connectortest.Held
	for _, o := range d.sim.Orders("") {
		a := o.ShipTo
		h := connectortest.Held{
			ID: relay.WarehouseOrderID(o.Number), Cancelled: o.State == simulator.StatusCancelled,
			ShipTo: relay.Address{Name: a["FirstName"] + " " + a["LastName"], Company: a["CompanyName"], Street1: a["Address1"], Street2: a["Address2"],
				City: a["City"], State: a["State"] + a["Non_US_Region"], Zip: a["Zip"], Country: country(a["Country"]), Phone: a["Phone"], Email: a["Email"]},
		}
		for _, l := range o.Lines {
			h.Items = append(h.Items, relay.Item{Code: relay.ItemCode(l.UPC), Units: l.Units})
		}
		out = append(out, h)
	}
	return out, nil
}

// country is the code that the suite's orders have: Bergen is sent the name.
func country(name string) string {
	if strings.EqualFold(name, "United States") {
		return "US"
	}
	return name
}

func (d *depot) Ship(id relay.WarehouseOrderID, packages ...relay.Package) error {
	var out []simulator.Package
	for _, p := range packages {
		items := map[string]int64{}
		for _, i := range p.Items {
			items[string(i.Code)] += i.Units
		}
		out = append(out, simulator.Package{TrackingNumber: p.TrackingNumber, Items: items})
	}
	return d.sim.Ship(string(id), out...)
}

func (d *depot) Pick(id relay.WarehouseOrderID) error { return d.sim.Step(string(id)) }
func (d *depot) Drop(id relay.WarehouseOrderID) error { return d.sim.CancelAtWarehouse(string(id)) }
