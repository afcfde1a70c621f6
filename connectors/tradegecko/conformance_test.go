package tradegecko_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/connectortest"
	"orderferry/connectors/tradegecko"
	"orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
)

// Each name of the one API meets what wire/tradegecko.md leaves unknown in
// another form; both meet a vendor that takes more than was ordered.
func TestConformance(t *testing.T) {
	for i, behaviour := range []simulator.Behaviour{
		{AllowOverFulfil: true, AllowUnfinalized: true, EqualStamps: true},
		{AllowOverFulfil: true, AllowUnfinalized: true, PutStatus: 204, MinExclusive: true, ReplayIdempotent: true, NoSideload: true,
			IgnoreSKUFilter: true, ListShowsVoid: true, OrderStampFrozen: true},
	} {
		connector := tradegecko.Connectors()[i]
		t.Run(connector.Name, func(t *testing.T) {
			connectortest.Run(t, connectortest.Subject{
				Connector:   connector,
				Mode:        relay.ModeLive,
				Credentials: connectors.Credentials{"access_token": "canary-privileged-token"},
				Start:       func(t testing.TB) any { return newShop(t, behaviour) },
			})
		})
	}
}

const account = "shop"

// shop is the simulator as the suite knows it.
type shop struct {
	sim     *simulator.Simulator
	numbers map[relay.ExternalID]string // the control side goes by order numbers
	http.Handler
}

func newShop(t testing.TB, b simulator.Behaviour) *shop {
	sim, err := simulator.New(simulator.Config{
		Accounts:  []simulator.Account{{Name: account, Tokens: []string{"canary-privileged-token"}}},
		RateLimit: -1, Behaviour: b, Clock: time.Now,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return &shop{sim: sim, numbers: map[relay.ExternalID]string{}, Handler: sim.Handler()}
}

func external(id int64) relay.ExternalID { return relay.ExternalID(strconv.FormatInt(id, 10)) }

func (s *shop) PlaceOrder(o relay.CartOrder) (relay.CartOrder, error) {
	n := simulator.NewOrder{Number: o.Number, Address: toAddress(o.ShipTo), Email: o.ShipTo.Email, Phone: o.ShipTo.Phone}
	for _, l := range o.Lines {
		if _, err := s.sim.AddVariant(account, simulator.NewVariant{SKU: string(l.SKU), IfAbsent: true, Stock: []simulator.Stock{{OnHand: "100"}}}); err != nil {
			return o, err
		}
		n.Lines = append(n.Lines, simulator.NewLine{SKU: string(l.SKU), Quantity: l.Quantity.String()})
	}
	view, err := s.sim.AddOrder(account, n)
	if err != nil {
		return o, err
	}
	o.ExternalID, o.UpdatedAt = external(view.ID), view.UpdatedAt
	for i, l := range view.Lines {
		o.Lines[i].ID = relay.LineID(strconv.FormatInt(l.ID, 10))
	}
	s.numbers[o.ExternalID] = o.Number
	return o, nil
}

func toAddress(a relay.Address) simulator.Address {
	first, last, _ := strings.Cut(a.Name, " ")
	return simulator.Address{FirstName: first, LastName: last, Company: a.Company, Line1: a.Street1, Line2: a.Street2,
		City: a.City, State: a.State, Zip: a.Zip, CountryCode: a.Country, Phone: a.Phone, Email: a.Email}
}

func (s *shop) EditOrder(id relay.ExternalID, name string) error {
	return s.sim.ChangeAddress(account, s.numbers[id], toAddress(relay.Address{
		Name: name, Street1: "1 Zyxcanary Street", City: "Springfield", State: "IL", Zip: "62701", Country: "US",
	}))
}

func (s *shop) VoidOrder(id relay.ExternalID) error { return s.sim.Void(account, s.numbers[id]) }

func (s *shop) Voided(id relay.ExternalID) (bool, error) {
	o, err := s.sim.Order(account, s.numbers[id])
	return o.Status == "void", err
}

func (s *shop) ShipByHand(id relay.ExternalID, tracking string) error {
	return s.sim.ShipByHand(account, s.numbers[id], tracking)
}

func (s *shop) Parcels(id relay.ExternalID) ([]connectortest.Parcel, error) {
	o, err := s.sim.Order(account, s.numbers[id])
	if err != nil {
		return nil, err
	}
	var out []connectortest.Parcel
	for _, f := range o.Fulfillments {
		if f.Status != "packed" && f.Status != "fulfilled" {
			continue
		}
		p := connectortest.Parcel{TrackingNumber: f.TrackingNumber, Shipped: f.Status == "fulfilled", Units: map[relay.SKU]int64{}}
		for _, u := range f.Units {
			q, err := relay.ParseQuantity(u.Quantity)
			if err != nil {
				return nil, err
			}
			n, _ := q.Whole()
			p.Units[relay.SKU(u.SKU)] += n
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *shop) SetLevel(sku relay.SKU, level relay.Quantity) error {
	if _, err := s.sim.AddVariant(account, simulator.NewVariant{SKU: string(sku), IfAbsent: true}); err != nil {
		return err
	}
	return s.sim.SetStock(account, string(sku), simulator.Stock{OnHand: level.String()})
}

func (s *shop) Level(sku relay.SKU) (relay.Quantity, bool, error) {
	stock, err := s.sim.Stock(account)
	for _, v := range stock {
		if v.SKU == string(sku) {
			q, bad := relay.ParseQuantity(v.OnHand)
			return q, true, cmp.Or(err, bad)
		}
	}
	return 0, false, err
}

func (s *shop) TurnPages(how string) error {
	switch how {
	case "repeated":
		return s.sim.Inject(simulator.Fault{Kind: simulator.RepeatedPage, Route: "orders_index", Count: 2})
	case "shifted":
		return s.sim.Inject(simulator.Fault{Kind: simulator.ShiftedPage, Route: "orders_index"})
	}
	return fmt.Errorf("pages %s: %w", how, errors.ErrUnsupported)
}

func (s *shop) UseBigNumbers() error {
	s.sim.SkipIDs(1<<53 + 1)
	return nil
}
