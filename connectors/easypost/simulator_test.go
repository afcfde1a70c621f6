package easypost

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/easypost/simulator"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// simulated opens a connection to a simulator with the two products of anOrder in stock.
func simulated(t *testing.T, behaviour simulator.Behaviour, settings connectors.Values) (*connection, *simulator.Simulator) {
	t.Helper()
	behaviour.ManualWebhooks = true
	sim, err := simulator.New(simulator.Config{
		Seed: 7, Keys: simulator.Keys{Production: "EZAKsim", Test: testKey}, Behaviour: behaviour,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	for _, code := range []string{toteCode, capCode} {
		sim.AddProduct(code, "Product "+code)
		require.NoError(t, sim.SetStock(code, "EAST", 100))
	}
	v := &vendor{t: t, routes: make(map[string]http.HandlerFunc)}
	v.server = httptest.NewServer(sim.Handler())
	t.Cleanup(v.server.Close)
	return v.open(settings), sim
}

func submit(t *testing.T, c *connection) relay.WarehouseOrderID {
	t.Helper()
	got, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.NoError(t, err)
	return got.ID
}

func pull(t *testing.T, c *connection, id relay.WarehouseOrderID) connectors.OrderUpdate {
	t.Helper()
	page, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: id}}})
	require.NoError(t, err)
	require.Len(t, page.Updates, 1)
	return page.Updates[0]
}

func TestSimulatorRejects(t *testing.T) {
	for _, form := range []simulator.ErrorForm{
		simulator.ErrorsObject, simulator.ErrorsArray, simulator.ErrorsStrings, simulator.ErrorObject, simulator.ErrorString,
		simulator.CodeMessage, simulator.MessageOnly, simulator.EmptyBody, simulator.HTMLBody, simulator.TextBody,
	} {
		t.Run(string(form), func(t *testing.T) {
			mute := form == simulator.EmptyBody || form == simulator.HTMLBody
			reason := func(r relay.HoldReason) relay.HoldReason {
				if mute {
					return relay.HoldRejected
				}
				return r
			}
			c, sim := simulated(t, simulator.Behaviour{ErrorForm: form}, nil)
			require.NoError(t, sim.SetStock(capCode, "EAST", 0))
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, relay.Rejected, e.Kind)
			require.Equal(t, reason(relay.HoldInsufficientInventory), e.Reason)
			if form == simulator.ErrorsObject {
				require.Equal(t, "items[1].units", e.Fields[0].Field)
				require.Equal(t, capCode, e.Fields[0].Value)
			}

			o := anOrder()
			o.Items[0].Code = "0799999999999"
			p, err := c.PrepareOrder(o)
			require.NoError(t, err)
			_, err = c.SubmitOrder(t.Context(), p)
			require.ErrorAs(t, err, &e)
			require.Equal(t, reason(relay.HoldUnknownItem), e.Reason)

			require.Empty(t, sim.Orders(simulator.Test))
			require.NoError(t, sim.SetStock(capCode, "EAST", 1))
			submit(t, c) // the restock lets it through
			require.Len(t, sim.Orders(simulator.Test), 1)
			require.Empty(t, sim.Orders(simulator.Production))
		})
	}
}

func TestSimulatorLostReplyIsFoundAgain(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"plain":                 {},
		"query unsupported":     {QueryUnsupported: true},
		"description dropped":   {DropDescription: true},
		"neither":               {DropDescription: true, QueryUnsupported: true},
		"pages from one":        {QueryUnsupported: true, OneBasedPages: true},
		"page ignored":          {QueryUnsupported: true, IgnorePage: true},
		"limit caps the total":  {QueryUnsupported: true, LimitCapsTotal: true},
		"rfc3339, wrapped":      {DropDescription: true, Timestamps: simulator.RFC3339, WrapSingle: true},
		"milliseconds, unknown": {QueryUnsupported: true, Timestamps: simulator.Milliseconds, UnknownFields: true, NullArrays: true},
	} {
		for _, kind := range []simulator.FaultKind{
			simulator.CommitThenTimeout, simulator.CommitThenDrop, simulator.CommitThen500, simulator.CommitThen502, simulator.CommitThen200,
			simulator.BrokenJSON, simulator.Empty2xx, simulator.Error500, simulator.HTML200, simulator.Redirect, simulator.ResetBefore,
		} {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				c, sim := simulated(t, behaviour, connectors.Values{"page_size": "5"})
				o := anOrder()
				o.Token = "zzzzzzzzzzzzzzzz"
				o.Items = []relay.Item{{Code: toteCode, Units: 1}}
				for range 12 { // others around it
					p, err := c.PrepareOrder(o)
					require.NoError(t, err)
					_, err = c.SubmitOrder(t.Context(), p)
					require.NoError(t, err)
				}
				require.NoError(t, sim.Inject(simulator.Fault{Route: "create_order", Kind: kind}))
				if kind == simulator.CommitThenTimeout {
					c.client.timeout = 500 * time.Millisecond // for which it waits
				}
				from := time.Now()
				_, err := c.SubmitOrder(t.Context(), prepared(t, c))
				require.ErrorIs(t, err, relay.Unknown)
				c.client.timeout = 10 * time.Second

				got := find(t, c, connectors.LookupQuery{
					Orders: []connectors.LookupRequest{{Order: anOrder(), SentFrom: from, SentTo: time.Now()}},
					Owned: func(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
						return make([]bool, len(ids)), nil
					},
				})[0]
				taken := !slices.Contains([]simulator.FaultKind{simulator.Error500, simulator.HTML200, simulator.Redirect, simulator.ResetBefore}, kind)
				if !taken {
					require.Empty(t, got.Matches)
					require.Len(t, sim.Orders(simulator.Test), 12)
					require.True(t, got.Certain)
					return
				}
				books := sim.Orders(simulator.Test)
				require.Len(t, books, 13)
				require.Len(t, got.Matches, 1)
				require.Equal(t, relay.WarehouseOrderID(books[12].ID), got.Matches[0].ID)
			})
		}
	}
}

func TestSimulatorListsOrders(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"plain": {}, "limit caps the total": {LimitCapsTotal: true}, "offset ignored": {IgnoreOffset: true}, "page ignored": {IgnorePage: true},
		"pages from one, offset ignored": {OneBasedPages: true, IgnoreOffset: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := simulated(t, behaviour, connectors.Values{"page_size": "5"})
			for i := range 13 {
				o := anOrder()
				o.Token = relay.Token(fmt.Sprintf("aaaabbbbccccdd%02d", i))
				p, err := c.PrepareOrder(o)
				require.NoError(t, err)
				_, err = c.SubmitOrder(t.Context(), p)
				require.NoError(t, err)
			}
			got, partial := listAllOrders(t, c, time.Time{})
			require.False(t, partial)
			tokens := make(map[relay.Token]bool)
			for _, o := range got {
				tokens[o.Token] = true
			}
			require.Len(t, tokens, 13)
		})
	}
}

func TestSimulatorSplitShipment(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"plain":            {},
		"renamed statuses": {Statuses: map[string]string{"received": "glim", "processing": "zorp", "shipped": "blorp"}},
		"picks only":       {NoTrackerArray: true},
		"quantities":       {PickQuantities: true, Timestamps: simulator.DigitString},
		"null, wrapped":    {NullArrays: true, WrapSingle: true, UnknownFields: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, sim := simulated(t, behaviour, nil)
			id := submit(t, c)
			require.Equal(t, connectors.InProgress, pull(t, c, id).Progress)
			seen := make(map[string][]relay.Item)
			for i, code := range []string{toteCode, capCode, toteCode} {
				require.NoError(t, sim.Ship(string(id), simulator.Package{Items: map[string]int64{code: 1}, Carrier: "USPS", TrackingCode: fmt.Sprint("9400", i)}))
				u := pull(t, c, id)
				require.Len(t, u.Packages, i+1)
				want := connectors.PartShipped
				if i == 2 {
					want = connectors.FullShipped
				}
				require.Equal(t, want, u.Progress)
				for _, p := range u.Packages {
					seen[p.Key()] = p.Items
				}
			}
			require.Equal(t, map[string][]relay.Item{
				"USPS:94000": {{Code: toteCode, Units: 1}}, "USPS:94001": {{Code: capCode, Units: 1}}, "USPS:94002": {{Code: toteCode, Units: 1}},
			}, seen)
			answer, err := c.CancelOrder(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, connectors.CancelTooLate, answer.Result)

			tracked, err := c.TrackPackages(t.Context(), pull(t, c, id).Packages)
			require.NoError(t, err)
			for _, tr := range tracked {
				require.NoError(t, tr.Err)
				require.Equal(t, "pre_transit", tr.Status)
			}
		})
	}
}

// What a warehouse tells of a parcel grows, comes late, or changes.
func TestSimulatorParcelsThatChange(t *testing.T) {
	one := func(code, tracking string) simulator.Package {
		return simulator.Package{Items: map[string]int64{code: 1}, Carrier: "USPS", TrackingCode: tracking}
	}
	t.Run("more in the same parcel", func(t *testing.T) {
		c, sim := simulated(t, simulator.Behaviour{}, nil)
		id := submit(t, c)
		require.NoError(t, sim.Ship(string(id), one(toteCode, "9400")))
		require.Equal(t, []relay.Item{{Code: toteCode, Units: 1}}, pull(t, c, id).Packages[0].Items)
		require.NoError(t, sim.Ship(string(id), one(capCode, "9400")))
		u := pull(t, c, id)
		require.Len(t, u.Packages, 1)
		require.Equal(t, []relay.Item{{Code: toteCode, Units: 1}, {Code: capCode, Units: 1}}, u.Packages[0].Items)
	})
	t.Run("contents later", func(t *testing.T) {
		c, sim := simulated(t, simulator.Behaviour{NoPicks: true}, nil)
		id := submit(t, c)
		require.NoError(t, sim.Ship(string(id), one(toteCode, "9400")))
		require.Empty(t, pull(t, c, id).Packages[0].Items)
		require.NoError(t, sim.SetBehaviour(simulator.Behaviour{ManualWebhooks: true}))
		require.Equal(t, []relay.Item{{Code: toteCode, Units: 1}}, pull(t, c, id).Packages[0].Items)
	})
	t.Run("short, and with another label", func(t *testing.T) {
		c, sim := simulated(t, simulator.Behaviour{}, nil)
		id := submit(t, c)
		require.ErrorIs(t, sim.CloseShort(string(id)), simulator.ErrWrongStep, "nothing has left")
		require.NoError(t, sim.Ship(string(id), one(toteCode, "9400")))
		require.Equal(t, connectors.PartShipped, pull(t, c, id).Progress)
		require.NoError(t, sim.CloseShort(string(id)))
		require.ErrorIs(t, sim.Relabel(string(id), "9499", "9401"), simulator.ErrNotFound)
		require.NoError(t, sim.Relabel(string(id), "9400", "9401"))
		u := pull(t, c, id)
		require.Equal(t, connectors.FullShipped, u.Progress)
		require.Len(t, u.Packages, 1, "the other label was voided")
		require.Equal(t, "9401", u.Packages[0].TrackingNumber)
		require.Equal(t, []relay.Item{{Code: toteCode, Units: 1}}, u.Packages[0].Items)
	})
	t.Run("a label that was voided", func(t *testing.T) {
		c, sim := simulated(t, simulator.Behaviour{}, nil)
		id := submit(t, c)
		require.NoError(t, sim.Ship(string(id), one(toteCode, "9400")))
		require.NoError(t, sim.StepTracker(pull(t, c, id).Packages[0].TrackerID, "cancelled"))
		u := pull(t, c, id)
		require.Empty(t, u.Packages)
		require.Equal(t, connectors.InProgress, u.Progress)
	})
	t.Run("tracking by webhook alone", func(t *testing.T) {
		c, sim := simulated(t, simulator.Behaviour{TrackersOn: simulator.TrackersOnWebhook}, nil)
		id := submit(t, c)
		require.NoError(t, sim.Ship(string(id)))
		require.Equal(t, connectors.InTrouble, pull(t, c, id).Progress)
	})
}

func TestSimulatorManyOpenOrders(t *testing.T) {
	c, sim := simulated(t, simulator.Behaviour{OneBasedPages: true}, connectors.Values{"page_size": "3"})
	var open []connectors.OpenOrder
	for range 10 {
		open = append(open, connectors.OpenOrder{ID: submit(t, c)})
	}
	require.NoError(t, sim.Ship(string(open[0].ID)))
	page, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Open: append(open, connectors.OpenOrder{ID: "order_unknown"})})
	require.NoError(t, err)
	require.Len(t, page.Updates, 11)
	require.Equal(t, connectors.FullShipped, page.Updates[0].Progress)
	require.Equal(t, connectors.InProgress, page.Updates[5].Progress)
	require.Equal(t, connectors.Gone, page.Updates[10].Progress)
}

func TestSimulatorCancel(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{"plain": {}, "gone": {GoneAfterDelete: true}, "no content": {EmptyDelete: true}} {
		t.Run(name, func(t *testing.T) {
			c, sim := simulated(t, behaviour, nil)
			id := submit(t, c)
			for range 2 {
				answer, err := c.CancelOrder(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, connectors.CancelDone, answer.Result)
			}
			progress := pull(t, c, id).Progress
			require.Contains(t, []connectors.Progress{connectors.Cancelled, connectors.Gone}, progress)

			id = submit(t, c)
			require.NoError(t, sim.Step(string(id)))
			answer, err := c.CancelOrder(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, connectors.CancelPending, answer.Result)
			require.NoError(t, sim.CancelAtWarehouse(string(id)))
			require.Contains(t, []connectors.Progress{connectors.Cancelled, connectors.Gone}, pull(t, c, id).Progress)

			id = submit(t, c)
			require.NoError(t, sim.Inject(simulator.Fault{Route: "delete_order", Kind: simulator.CommitThenDrop}))
			answer, err = c.CancelOrder(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, connectors.CancelDone, answer.Result)

			id = submit(t, c)
			require.NoError(t, sim.Hold(string(id)))
			require.Equal(t, connectors.InTrouble, pull(t, c, id).Progress)
		})
	}
}

func TestSimulatorInventory(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"plain": {}, "pages from one": {OneBasedPages: true}, "page ignored": {IgnorePage: true}, "no zero rows": {HideZeroRows: true, NullArrays: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, sim := simulated(t, behaviour, connectors.Values{"page_size": "20", "inventory_chunk": "28"})
			for i := range 58 {
				code := fmt.Sprintf("08%011d", i)
				sim.AddProduct(code, "More")
				require.NoError(t, sim.SetStock(code, "WEST", int64(i)))
			}
			submit(t, c)
			sites, err := c.Sites(t.Context())
			require.NoError(t, err)
			require.Len(t, sites, 2)
			got := pullAll(t, c, 33)
			require.Len(t, got, 60)
			require.Equal(t, "98", got[toteCode][sites[0].ID], "net of the order")
			require.Equal(t, "0", got[toteCode][sites[1].ID])
			require.Equal(t, "57", got["0800000000057"][sites[1].ID])
			report, err := c.Check(t.Context())
			require.NoError(t, err)
			require.Empty(t, report.Missing)
		})
	}
}

func TestSimulatorWebhookAndAddress(t *testing.T) {
	c, sim := simulated(t, simulator.Behaviour{TrackersOn: simulator.TrackersOnWebhook}, connectors.Values{"check_addresses": "true"})
	events := make(chan Event, 20)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := exchange.Read(&http.Response{Body: r.Body})
		if e, err := VerifyWebhook("s3cret", r.Header, a.Body); err == nil {
			events <- e
		} else {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(hook.Close)
	for range 2 {
		_, err := c.RegisterWebhook(t.Context(), hook.URL, "s3cret")
		require.NoError(t, err)
	}
	id := submit(t, c)
	require.NoError(t, sim.Ship(string(id), simulator.Package{Carrier: "USPS", TrackingCode: "9400"}))
	require.Empty(t, pull(t, c, id).Packages)
	_, err := sim.SendWebhooks(t.Context(), simulator.WebhookSend{Subject: string(id), URL: hook.URL, Secret: "s3cret"})
	require.NoError(t, err)
	close(events)
	var packages []relay.Package
	for e := range events {
		require.Equal(t, relay.ModeTest, e.Mode)
		if e.OrderID == id {
			packages = append(packages, e.Packages...)
		}
	}
	require.NotEmpty(t, packages)
	require.Equal(t, "9400", packages[0].TrackingNumber)

	verdict, err := c.CheckAddress(t.Context(), kiln())
	require.NoError(t, err)
	require.Empty(t, verdict.Problems)
}
