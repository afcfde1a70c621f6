package tradegecko

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
)

const shopAccount = "shop"

// simulated starts the simulator with some stock and opens a connection to it.
func simulated(t *testing.T, cfg simulator.Config, settings connectors.Values) (*simulator.Simulator, *connection) {
	t.Helper()
	cfg.Accounts = []simulator.Account{{Name: shopAccount, Tokens: []string{"token"}}}
	sim, err := simulator.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(srv.Close)
	for _, sku := range []string{"RED-S", "RED-M"} {
		_, err := sim.AddVariant(shopAccount, simulator.NewVariant{SKU: sku, Stock: []simulator.Stock{{OnHand: "50"}}})
		require.NoError(t, err)
	}
	c := openAt(t, srv.URL, settings, &connectors.StaticVault{Credentials: connectors.Credentials{"access_token": "token"}})
	return sim, c
}

func place(t *testing.T, sim *simulator.Simulator, number string) simulator.OrderView {
	t.Helper()
	o, err := sim.AddOrder(shopAccount, simulator.NewOrder{
		Number: number, ShipMethod: "Air Express", Email: "ann@example.test",
		Lines:   []simulator.NewLine{{SKU: "RED-S", Quantity: "2"}, {SKU: "RED-M", Quantity: "1"}},
		Address: simulator.Address{FirstName: "Ann", LastName: "Example", Line1: "1 Road", City: "Auckland", Zip: "01010", CountryCode: "NZ"},
	})
	require.NoError(t, err)
	return o
}

func pushFor(o simulator.OrderView, key string) connectors.ShipmentPush {
	var lines []relay.ShippedLine
	for _, l := range o.Lines {
		if l.Ships {
			n, _ := strconv.ParseFloat(l.Ordered, 64)
			lines = append(lines, units(relay.LineID(strconv.FormatInt(l.ID, 10)), int64(n)))
		}
	}
	return parcel(key, relay.ExternalID(strconv.FormatInt(o.ID, 10)), "EX-"+key, lines...)
}

// behaviours are what the vendor's page leaves open; the connector has to do
// with all of them.
func behaviours() map[string]simulator.Behaviour {
	return map[string]simulator.Behaviour{
		"as the page says":  {},
		"204 on PUT":        {PutStatus: 204},
		"200 on PUT":        {PutStatus: 200},
		"exclusive bounds":  {MinExclusive: true},
		"replayed writes":   {ReplayIdempotent: true},
		"loose SKU filter":  {IgnoreSKUFilter: true},
		"frozen stamps":     {OrderStampFrozen: true},
		"over-fulfilment":   {AllowOverFulfil: true, AllowUnfinalized: true},
		"no sideloads":      {NoSideload: true},
		"equal stamps":      {EqualStamps: true, AllLocations: true},
		"void orders shown": {ListShowsVoid: true},
	}
}

func TestTheFerryWithTheSimulator(t *testing.T) {
	for name, b := range behaviours() {
		t.Run(name, func(t *testing.T) {
			sim, c := simulated(t, simulator.Config{Behaviour: b, RateLimit: -1}, nil)
			report, err := c.Check(t.Context())
			require.NoError(t, err)
			require.Empty(t, report.Missing)
			require.NotEmpty(t, report.Account)

			placed := map[relay.ExternalID]simulator.OrderView{}
			var pushes []connectors.ShipmentPush
			for i := range 7 {
				o := place(t, sim, fmt.Sprintf("SO-%d", i))
				placed[relay.ExternalID(strconv.FormatInt(o.ID, 10))] = o
				pushes = append(pushes, pushFor(o, fmt.Sprintf("k-%d", i)))
			}
			got, cursor := pullAll(t, c, "", connectors.OrdersQuery{Limit: 3})
			require.Len(t, got, 7)
			for id, o := range got {
				require.Empty(t, o.Problems)
				require.Equal(t, placed[id].Number, o.Number)
				require.Equal(t, relay.ShipMethod("Air Express"), o.ShipMethod)
				require.Equal(t, "Ann Example", o.ShipTo.Name)
				require.Equal(t, "NZ", o.ShipTo.Country)
				require.Len(t, o.Lines, 2)
			}

			require.NoError(t, sim.Void(shopAccount, "SO-0"))
			cancelled, err := c.PullCancellations(t.Context(), connectors.CancellationsQuery{Limit: 10, Watch: []relay.ExternalID{pushes[0].Order, "999999"}})
			require.NoError(t, err)
			require.Len(t, cancelled.Cancelled, 2)
			require.Equal(t, "void", cancelled.Cancelled[0].Status)
			require.Equal(t, "gone", cancelled.Cancelled[1].Status)

			_, err = sim.PackPart(shopAccount, "SO-1", nil)
			require.NoError(t, err)
			half := pushes[2]
			half.Lines = half.Lines[:1]
			pushes[2] = half
			out, err := c.PushShipments(t.Context(), pushes)
			require.NoError(t, err)
			require.ErrorIs(t, out[0].Err, relay.Rejected)
			for i, o := range out[1:] {
				require.NoError(t, o.Err, i+1)
				require.NotEmpty(t, o.CartID)
			}
			for i := 1; i < 7; i++ {
				o, err := sim.Order(shopAccount, fmt.Sprintf("SO-%d", i))
				require.NoError(t, err)
				require.Len(t, o.Fulfillments, 1)
				require.Equal(t, "fulfilled", o.Fulfillments[0].Status)
				require.Equal(t, pushes[i].TrackingNumber, o.Fulfillments[0].TrackingNumber)
			}
			again, err := c.PushShipments(t.Context(), pushes[1:])
			require.NoError(t, err)
			for i, o := range again {
				require.Equal(t, connectors.ShipmentOutcome{CartID: out[i+1].CartID, Found: true}, o)
			}

			// Only the half-shipped order is left, and it looks as before.
			left, _ := pullAll(t, c, cursor, connectors.OrdersQuery{Limit: 3})
			require.Contains(t, left, half.Order)
			require.Equal(t, got[half.Order].Digest(), left[half.Order].Digest())

			levels, err := c.PushInventory(t.Context(), connectors.InventoryPush{Key: "inv-1", Targets: []connectors.StockTarget{
				target("RED-S", 20, 2), target("RED-M", 90, 1), target("NONE", 1, 0)}})
			require.NoError(t, err)
			require.NoError(t, levels[0].Err)
			require.Equal(t, relay.Units(22), levels[0].After)
			require.Equal(t, relay.Units(91), levels[1].After)
			require.ErrorIs(t, levels[2].Err, relay.NotFound)
			stock, err := sim.Stock(shopAccount)
			require.NoError(t, err)
			for _, s := range stock {
				require.Equal(t, map[string]string{"RED-S": "22", "RED-M": "91"}[s.SKU], trimZero(s.OnHand))
			}
		})
	}
}

func trimZero(s string) string {
	q, err := relay.ParseQuantity(s)
	if err != nil {
		return s
	}
	return q.String()
}

// Whatever goes wrong with a write, after enough tries the cart has the parcel
// once and the right level.
func TestWritesUnderFaultsHappenOnce(t *testing.T) {
	for _, kind := range []simulator.FaultKind{simulator.CommitThenTimeout, simulator.CommitThenDrop, simulator.CommitThen500, simulator.CommitThen502,
		simulator.CommitThen200, simulator.CommitThenDuplicate, simulator.Timeout, simulator.ResetBefore, simulator.Fail500, simulator.Fail503,
		simulator.HTML502, simulator.HTML200, simulator.Redirect, simulator.BrokenJSON, simulator.Empty2xx, simulator.DuplicateKey} {
		for _, route := range []string{"fulfillments_create", "fulfillments_update", "stock_adjustments_create"} {
			t.Run(string(kind)+" on "+route, func(t *testing.T) {
				sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
				o := place(t, sim, "SO-1")
				require.NoError(t, sim.Inject(simulator.Fault{Kind: kind, Route: route, Count: 1}))
				for range 4 {
					out, _ := c.PushShipments(t.Context(), []connectors.ShipmentPush{pushFor(o, "k")})
					if out[0].Err == nil {
						break
					}
					require.Contains(t, []relay.ErrorKind{relay.Unknown, relay.Unavailable}, relay.KindOf(out[0].Err))
				}
				for range 4 {
					out, _ := c.PushInventory(t.Context(), connectors.InventoryPush{Key: "inv", Targets: []connectors.StockTarget{target("RED-S", 7, 0)}})
					if out[0].Err == nil {
						break
					}
					require.Contains(t, []relay.ErrorKind{relay.Unknown, relay.Unavailable}, relay.KindOf(out[0].Err))
				}
				now, err := sim.Order(shopAccount, "SO-1")
				require.NoError(t, err)
				require.Len(t, now.Fulfillments, 1)
				require.Equal(t, "fulfilled", now.Fulfillments[0].Status)
				stock, err := sim.Stock(shopAccount)
				require.NoError(t, err)
				require.Equal(t, "7", trimZero(stock[0].OnHand))
			})
		}
	}
}

func TestReadsUnderFaults(t *testing.T) {
	for _, kind := range []simulator.FaultKind{simulator.Timeout, simulator.ResetBefore, simulator.Fail500, simulator.Fail503, simulator.HTML502,
		simulator.HTML200, simulator.Redirect, simulator.BrokenJSON} {
		t.Run(string(kind), func(t *testing.T) {
			sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
			place(t, sim, "SO-1")
			require.NoError(t, sim.Inject(simulator.Fault{Kind: kind, Route: "*", Count: 2}))
			got, _ := pullAll(t, c, "", connectors.OrdersQuery{Limit: 10})
			require.Len(t, got, 1)
			require.NoError(t, sim.Inject(simulator.Fault{Kind: kind, Route: "*"}))
			_, err := c.PullOrders(t.Context(), connectors.OrdersQuery{Limit: 10})
			require.ErrorIs(t, err, relay.Unavailable)
		})
	}
}

// What is booked between our reading and our adjustment would go unseen if the
// level could not be read again: it is in doubt, and told again later.
func TestALevelThatCanNotBeVerified(t *testing.T) {
	sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
	place(t, sim, "SO-1")
	require.NoError(t, sim.Inject(simulator.Fault{Kind: simulator.Fail503, Route: "variants", Skip: 1, Count: 10}))
	push := func(key string) connectors.LevelOutcome {
		out, err := c.PushInventory(t.Context(), connectors.InventoryPush{Key: key, Targets: []connectors.StockTarget{target("RED-S", 7, 0)}})
		require.NoError(t, err)
		return out[0]
	}
	require.ErrorIs(t, push("first").Err, relay.Unknown)
	stock, err := sim.Stock(shopAccount)
	require.NoError(t, err)
	require.Equal(t, "7", trimZero(stock[0].OnHand), "it was taken")
	sim.ClearFaults()
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(7), After: relay.Units(7)}, push("second"))
}

func TestTheSimulatorsRateLimit(t *testing.T) {
	// Windows are aligned to the epoch: this one does not end while the test runs.
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	sim, c := simulated(t, simulator.Config{RateLimit: 3, Window: 24 * time.Hour, Clock: func() time.Time { return noon }}, nil)
	place(t, sim, "SO-1")
	_, err := c.PullOrders(t.Context(), connectors.OrdersQuery{Limit: 10})
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, relay.Throttled, e.Kind)
	require.Positive(t, e.After)
}
