package bergen

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/bergen/simulator"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

// world is a connection to a simulator, which checks every request and answer
// against the WSDL.
type world struct {
	*connection
	t   *testing.T
	sim *simulator.Simulator
	log vendortest.Log
}

func simulated(t *testing.T, behaviour simulator.Behaviour, settings connectors.Values, progress ...simulator.Progress) *world {
	t.Helper()
	cfg := simulator.Config{
		Seed: 7, Accounts: []simulator.Account{{WebAddress: testAddress, UserName: testUser, Password: testPassword}}, Behaviour: behaviour,
	}
	if len(progress) > 0 {
		cfg.Progress = progress[0]
	}
	sim, err := simulator.New(cfg)
	require.NoError(t, err)
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		require.Empty(t, sim.Violations())
		require.NoError(t, sim.Close())
		server.Close()
	})
	for _, upc := range []string{teeUPC, longUPC} {
		require.NoError(t, sim.AddProduct(simulator.Product{UPC: upc, Style: "S-" + upc, Color: "navy", Size: "M"}))
		require.NoError(t, sim.SetStock(upc, "NJ2", 100))
	}
	w := &world{t: t, sim: sim}
	w.connection = openAt(t, server.URL+"/ws/v3staging/publicapiws.asmx", &connectors.StaticVault{Credentials: login0()}, settings, &w.log)
	return w
}

func (w *world) place(o connectors.WarehouseOrder) (connectors.Accepted, error) {
	w.t.Helper()
	p, err := w.PrepareOrder(o)
	require.NoError(w.t, err)
	return w.SubmitOrder(w.t.Context(), p)
}

func (w *world) submit() relay.WarehouseOrderID {
	w.t.Helper()
	got, err := w.place(anOrder())
	require.NoError(w.t, err)
	require.NotZero(w.t, got.AnswerWithin)
	return got.ID
}

func (w *world) pull(unanswered bool) connectors.OrderUpdate {
	w.t.Helper()
	return pullOnce(w.t, w.connection, connectors.OpenOrder{ID: number, AcceptedAt: time.Now(), Unanswered: unanswered})[0]
}

func (w *world) cancel(want connectors.CancelResult) {
	w.t.Helper()
	got, err := w.CancelOrder(w.t.Context(), number)
	require.NoError(w.t, err)
	require.Equal(w.t, want, got.Result, got.Evidence)
}

func TestSimulatorPendingImport(t *testing.T) {
	for _, form := range []simulator.AddStatusForm{simulator.AddStatusPayload, simulator.AddStatusNotifications, simulator.AddStatusBoth} {
		t.Run(string(form), func(t *testing.T) {
			w := simulated(t, simulator.Behaviour{ManualImports: true, AddStatus: form}, nil)
			require.Equal(t, relay.WarehouseOrderID(number), w.submit())
			require.Equal(t, connectors.Received, w.pull(true).Progress)
			require.Len(t, find(t, w.connection, anOrder())[0].Matches, 1)
			require.NoError(t, w.sim.Step(number)) // the import
			u := w.pull(true)
			require.Equal(t, connectors.InProgress, u.Progress)
			require.Equal(t, "New - Pending Printing", u.Status)
			ticket, ok := w.sim.Order(number)
			require.True(t, ok)
			require.Equal(t, "WEB-2025-000100245", ticket.PONumber)
			require.Equal(t, number, ticket.Order)
			require.Equal(t, nj2, ticket.Warehouse)
		})
	}
}

func TestSimulatorImportFails(t *testing.T) {
	w := simulated(t, simulator.Behaviour{UnknownUPCLater: true}, nil)
	o := anOrder()
	o.Items[1].Code = "999"
	_, err := w.place(o)
	require.NoError(t, err)
	u := w.pull(true)
	require.Equal(t, connectors.Refused, u.Progress)
	require.Equal(t, relay.HoldUnknownItem, u.Hold.Reason)
	require.Equal(t, "items[1].code", u.Hold.Fields[0].Field)
	w.cancel(connectors.CancelDone)
	// Mended and sent again, it has its old number.
	w.submit()
	require.Equal(t, connectors.InProgress, w.pull(true).Progress)
}

func TestSimulatorRefuses(t *testing.T) {
	w := simulated(t, simulator.Behaviour{}, nil)
	o := anOrder()
	o.Service = "UPS/PIGEON"
	o.Items[1].Code = "999"
	_, err := w.place(o)
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, relay.Invalid, e.Kind)
	require.Equal(t, relay.HoldUnmappedShipMethod, e.Reason)
	require.Equal(t, "items[1].code", e.Fields[1].Field)
	require.Equal(t, "999", e.Fields[1].Value)
	require.Empty(t, w.sim.Orders(""))
}

// No stock is a status: the order is there, and is never sent again for it.
func TestSimulatorNoStock(t *testing.T) {
	w := simulated(t, simulator.Behaviour{}, nil)
	require.NoError(t, w.sim.SetStock(teeUPC, "NJ2", 1))
	w.submit()
	u := w.pull(true)
	require.Equal(t, connectors.InTrouble, u.Progress)
	require.Equal(t, relay.HoldInsufficientInventory, u.Hold.Reason)
	require.Equal(t, "CSR - No Stock", u.Status)
	_, err := w.place(anOrder())
	require.ErrorIs(t, err, relay.Conflict)
	require.Equal(t, []connectors.Match{{ID: number, By: "reference"}}, find(t, w.connection, anOrder())[0].Matches)
	require.Len(t, w.sim.Orders(""), 1)
	require.NoError(t, w.sim.SetStock(teeUPC, "NJ2", 100))
	require.Equal(t, connectors.InProgress, w.pull(false).Progress)
	require.NoError(t, w.sim.Hold(number))
	require.Equal(t, relay.HoldRejected, w.pull(false).Hold.Reason)
}

// Promise 1 and 2: after a lost reply the order is found, or surely is not there.
func TestSimulatorLostReplies(t *testing.T) {
	committed := []simulator.FaultKind{simulator.CommitThenTimeout, simulator.CommitThenDrop, simulator.CommitThen500, simulator.CommitThen502,
		simulator.CommitThen200, simulator.BrokenXML, simulator.Empty2xx}
	nothing := []simulator.FaultKind{simulator.TimeoutNoCommit, simulator.Error500, simulator.Error503, simulator.HTML502, simulator.HTML200,
		simulator.Redirect, simulator.ResetBefore}
	for taken, kinds := range map[bool][]simulator.FaultKind{true: committed, false: nothing} {
		for _, kind := range kinds {
			for _, staged := range []bool{true, false} {
				t.Run(fmt.Sprint(kind, "/staged=", staged), func(t *testing.T) {
					w := simulated(t, simulator.Behaviour{ManualImports: staged}, nil)
					require.NoError(t, w.sim.Inject(simulator.Fault{Operation: "PickTicketAdd", Kind: kind}))
					w.client.timeout = 300 * time.Millisecond
					_, err := w.place(anOrder())
					require.ErrorIs(t, err, relay.Unknown)
					w.client.timeout = 10 * time.Second
					got := find(t, w.connection, anOrder())[0]
					if taken {
						m := connectors.Match{ID: number, By: "reference"}
						if staged { // its yes or no is still to come
							m.AnswerWithin = time.Hour
						}
						require.Equal(t, []connectors.Match{m}, got.Matches)
						require.Len(t, w.sim.Orders(""), 1)
						return
					}
					require.Equal(t, connectors.Lookup{Certain: true}, got)
					w.submit()
					require.Len(t, w.sim.Orders(""), 1)
				})
			}
		}
	}
	for _, kind := range []simulator.FaultKind{simulator.ClientFault, simulator.WordsQuoted, simulator.Error429, simulator.Error429Bare, simulator.Error401, simulator.Error403} {
		w := simulated(t, simulator.Behaviour{}, nil)
		require.NoError(t, w.sim.Inject(simulator.Fault{Operation: "PickTicketAdd", Kind: kind}))
		_, err := w.place(anOrder())
		require.Error(t, err)
		require.NotErrorIs(t, err, relay.Unknown, "nothing was taken")
		require.Empty(t, w.sim.Orders(""))
	}
}

// Whatever a spent token is answered with, no order is lost or sent twice.
func TestSimulatorSpentToken(t *testing.T) {
	for _, form := range []simulator.BadTokenForm{simulator.BadTokenNotification, simulator.BadTokenFault, simulator.BadTokenEmpty} {
		t.Run(string(form), func(t *testing.T) {
			w := simulated(t, simulator.Behaviour{BadToken: form}, nil)
			_, err := w.Check(t.Context())
			require.NoError(t, err)
			w.sim.ExpireTokens()
			w.ageToken()
			_, err = w.place(anOrder())
			if form != simulator.BadTokenNotification {
				require.ErrorIs(t, err, relay.Unknown)
				require.True(t, find(t, w.connection, anOrder())[0].Certain)
				w.submit()
			} else {
				require.NoError(t, err)
			}
			require.Len(t, w.sim.Orders(""), 1)
			w.sim.ExpireTokens()
			w.ageToken()
			require.Equal(t, connectors.InProgress, w.pull(false).Progress)
			w.sim.ExpireTokens()
			w.ageToken()
			w.cancel(map[bool]connectors.CancelResult{true: connectors.CancelDone, false: connectors.CancelPending}[form == simulator.BadTokenNotification])
			w.cancel(connectors.CancelDone)
		})
	}
}

func TestSimulatorDuplicate(t *testing.T) {
	w := simulated(t, simulator.Behaviour{}, nil)
	w.submit()
	_, err := w.place(anOrder())
	require.ErrorIs(t, err, relay.Conflict)
	require.Len(t, find(t, w.connection, anOrder())[0].Matches, 1)
	// After a cancel the order may be placed anew, by another number.
	w.cancel(connectors.CancelDone)
	require.Equal(t, connectors.Cancelled, w.pull(false).Progress)
	require.True(t, find(t, w.connection, anOrder())[0].Matches[0].Cancelled)
	again := anOrder()
	again.Renewed = 1
	got, err := w.place(again)
	require.NoError(t, err)
	require.Equal(t, relay.WarehouseOrderID("SO100245--r1"), got.ID)
	require.Len(t, find(t, w.connection, again)[0].Matches, 1)
	require.Len(t, w.sim.Orders(""), 2)
	// The number of somebody else's order is not adopted.
	other := anOrder()
	other.Renewed, other.Number = 1, "ANOTHER SHOP 1"
	_, err = w.place(other)
	require.ErrorIs(t, err, relay.Conflict)
	require.Equal(t, connectors.Lookup{}, find(t, w.connection, other)[0])
	// Nor that of another merchant of the account who numbers orders alike.
	for _, items := range [][]relay.Item{{{Code: anOrder().Items[0].Code, Units: 99}}, anOrder().Items[:1], append([]relay.Item{{Code: "other", Units: 1}}, anOrder().Items...)} {
		alike := again
		alike.Items = items
		require.Equal(t, connectors.Lookup{}, find(t, w.connection, alike)[0], items)
	}
}

func TestSimulatorCancels(t *testing.T) {
	t.Run("a new one, twice", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		w.cancel(connectors.CancelDone)
		w.cancel(connectors.CancelDone)
		require.Equal(t, connectors.Cancelled, w.pull(false).Progress)
	})
	t.Run("while staged", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{ManualImports: true}, nil)
		w.submit()
		w.cancel(connectors.CancelDone)
		ticket, _ := w.sim.Order(number)
		require.Equal(t, "Cancelled", ticket.State)
	})
	t.Run("while staged, not to be", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{ManualImports: true, StagedCancel45: true}, nil)
		w.submit()
		w.cancel(connectors.CancelPending)
		require.NoError(t, w.sim.Step(number))
		w.cancel(connectors.CancelDone)
	})
	t.Run("the warehouse was faster", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		require.NoError(t, w.sim.Step(number))
		w.cancel(connectors.CancelTooLate)
		require.NoError(t, w.sim.Ship(number))
		got, err := w.CancelOrder(t.Context(), number)
		require.NoError(t, err)
		require.Equal(t, connectors.CancelTooLate, got.Result)
		require.Contains(t, got.Evidence, "tracking 1Z")
	})
	t.Run("said yes, did nothing", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{CancelIgnored: true}, nil)
		w.submit()
		w.cancel(connectors.CancelPending)
	})
	t.Run("by the warehouse", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		require.NoError(t, w.sim.CancelAtWarehouse(number))
		require.Equal(t, connectors.Cancelled, w.pull(false).Progress)
		w.cancel(connectors.CancelDone)
	})
	for _, kind := range []simulator.FaultKind{simulator.CommitThenDrop, simulator.CommitThen500, simulator.CommitThen200, simulator.BrokenXML, simulator.Empty2xx} {
		t.Run(string(kind), func(t *testing.T) {
			w := simulated(t, simulator.Behaviour{}, nil)
			w.submit()
			require.NoError(t, w.sim.Inject(simulator.Fault{Operation: "CancelPickTicket", Kind: kind}))
			w.cancel(connectors.CancelDone)
		})
	}
	t.Run("lost before", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		require.NoError(t, w.sim.Inject(simulator.Fault{Operation: "CancelPickTicket", Kind: simulator.ResetBefore}))
		w.cancel(connectors.CancelPending)
		w.cancel(connectors.CancelDone)
	})
}

func TestSimulatorCartons(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"plain": {}, "no prefix": {NoPrefix: true}, "null, unknown": {NullNotifications: true, UnknownFields: true}, "no master": {NoMasterTracking: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := simulated(t, behaviour, nil)
			w.submit()
			require.Equal(t, connectors.InProgress, w.pull(true).Progress)
			require.NoError(t, w.sim.Ship(number, simulator.Package{Items: map[string]int64{teeUPC: 1}, TrackingNumber: "1Z001"}))
			u := w.pull(false)
			require.Equal(t, connectors.PartShipped, u.Progress)
			require.Len(t, u.Packages, 1)
			require.Equal(t, []relay.Item{{Code: teeUPC, Units: 1}}, u.Packages[0].Items)
			day := func(at time.Time) string { return at.In(w.eastern).Format(time.DateOnly) }
			before := day(time.Now())
			require.NoError(t, w.sim.Ship(number, simulator.Package{Items: map[string]int64{teeUPC: 1, longUPC: 1}, TrackingNumber: "1Z002"}))
			after := day(time.Now()) // another one at midnight
			u = w.pull(false)
			require.Equal(t, connectors.FullShipped, u.Progress)
			require.Len(t, u.Packages, 2)
			require.Equal(t, "UPS:1Z001", u.Packages[0].Key())
			require.ElementsMatch(t, []relay.Item{{Code: teeUPC, Units: 1}, {Code: longUPC, Units: 1}}, u.Packages[1].Items)
			require.Contains(t, []string{before, after}, day(u.Packages[1].ShippedAt))
			w.cancel(connectors.CancelTooLate)
			for _, status := range []string{"Package in Transit", "Delivered", "Package Returned"} {
				require.NoError(t, w.sim.SetStatus(number, status))
				require.Equal(t, connectors.FullShipped, w.pull(false).Progress)
			}
		})
	}
	t.Run("tracking in the lists only", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{NoCartonTracking: true, NoMasterTracking: true}, nil)
		var open []connectors.OpenOrder
		for i := range 6 {
			o := anOrder()
			o.Reference = relay.Reference(fmt.Sprint("SO", i))
			got, err := w.place(o)
			require.NoError(t, err)
			open = append(open, connectors.OpenOrder{ID: got.ID})
		}
		require.NoError(t, w.sim.Ship("SO3", simulator.Package{TrackingNumber: "1Z777"}))
		u := pullOnce(t, w.connection, open...)[3]
		require.Equal(t, connectors.FullShipped, u.Progress)
		require.Equal(t, "UPS:1Z777", u.Packages[0].Key())
		u = pullOnce(t, w.connection, open[3])[0]
		require.Equal(t, connectors.FullShipped, u.Progress, "also when few are open")
		require.Equal(t, "UPS:1Z777", u.Packages[0].Key())
	})
	t.Run("no number anywhere", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		require.NoError(t, w.sim.Ship(number, simulator.Package{Untracked: true}))
		u := w.pull(false)
		require.Equal(t, connectors.InTrouble, u.Progress)
		require.Equal(t, "Shipped Complete", u.Status)
	})
}

// What a warehouse tells of a parcel grows, comes late, or changes.
func TestSimulatorParcelsThatChange(t *testing.T) {
	one := func(upc, tracking string) simulator.Package {
		return simulator.Package{Items: map[string]int64{upc: 1}, TrackingNumber: tracking}
	}
	t.Run("more in the same parcel", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		require.NoError(t, w.sim.Ship(number, one(teeUPC, "1Z1")))
		require.Equal(t, []relay.Item{{Code: teeUPC, Units: 1}}, w.pull(false).Packages[0].Items)
		require.NoError(t, w.sim.Ship(number, one(teeUPC, "1Z1")))
		u := w.pull(false)
		require.Len(t, u.Packages, 1)
		require.Equal(t, []relay.Item{{Code: teeUPC, Units: 2}}, u.Packages[0].Items)
	})
	t.Run("contents later", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{NoCartonContents: true}, nil)
		w.submit()
		require.NoError(t, w.sim.Ship(number, one(teeUPC, "1Z1")))
		require.Empty(t, w.pull(false).Packages[0].Items)
		require.NoError(t, w.sim.SetBehaviour(simulator.Behaviour{}))
		require.Equal(t, []relay.Item{{Code: teeUPC, Units: 1}}, w.pull(false).Packages[0].Items)
	})
	t.Run("short, and with another label", func(t *testing.T) {
		w := simulated(t, simulator.Behaviour{}, nil)
		w.submit()
		require.ErrorIs(t, w.sim.CloseShort(number), simulator.ErrWrongStep, "nothing has left")
		require.NoError(t, w.sim.Ship(number, one(teeUPC, "1Z1")))
		require.Equal(t, connectors.PartShipped, w.pull(false).Progress)
		require.NoError(t, w.sim.CloseShort(number))
		require.ErrorIs(t, w.sim.Relabel(number, "1Z9", "1Z2"), simulator.ErrNotFound)
		require.NoError(t, w.sim.Relabel(number, "1Z1", "1Z2"))
		u := w.pull(false)
		require.Equal(t, connectors.FullShipped, u.Progress)
		require.Len(t, u.Packages, 1)
		require.Equal(t, "1Z2", u.Packages[0].TrackingNumber)
		require.Equal(t, []relay.Item{{Code: teeUPC, Units: 1}}, u.Packages[0].Items)
	})
}

// Every status of the vendor's list, as the service itself writes it.
func TestSimulatorStatuses(t *testing.T) {
	for _, status := range simulator.Statuses() {
		require.NotEqual(t, unknownStatus, classOf(status), "%q", status)
		require.NotEqual(t, unknownStatus, classOf(" "+strings.ToUpper(status)), "%q", status)
	}
	require.Len(t, simulator.Statuses(), 40)
}

func TestSimulatorManyOpenOrders(t *testing.T) {
	w := simulated(t, simulator.Behaviour{}, nil)
	var open []connectors.OpenOrder
	for i := range 30 {
		o := anOrder()
		o.Reference, o.Items = relay.Reference(fmt.Sprint("N", i)), []relay.Item{{Code: teeUPC, Units: 1}}
		got, err := w.place(o)
		require.NoError(t, err)
		open = append(open, connectors.OpenOrder{ID: got.ID, AcceptedAt: time.Now(), Unanswered: true})
		if i%3 == 0 {
			require.NoError(t, w.sim.Ship(string(got.ID)))
		}
	}
	before := w.sim.Stats().Total
	for i, u := range pullOnce(t, w.connection, open...) {
		want := connectors.InProgress
		if i%3 == 0 {
			want = connectors.FullShipped
			require.Equal(t, []relay.Item{{Code: teeUPC, Units: 1}}, u.Packages[0].Items)
		}
		require.Equal(t, want, u.Progress, u.ID)
		require.NotEmpty(t, u.Status)
	}
	require.LessOrEqual(t, w.sim.Stats().Total-before, int64(2+10+3), "two lists, a read for each that shipped, and the prefix")
}

func TestSimulatorInventory(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"plain": {BatchSize: 7}, "from nought": {BatchSize: 7, FirstBatch0: true}, "one batch": {}, "unknown UPCs refused": {BatchSize: 7, UnknownUPCRefused: true},
	} {
		t.Run(name, func(t *testing.T) {
			settings := connectors.Values{"sites": "all"}
			if behaviour.FirstBatch0 {
				settings["first_batch"] = "0"
			}
			w := simulated(t, behaviour, settings)
			for i := range 30 {
				upc := fmt.Sprintf("U%03d", i)
				require.NoError(t, w.sim.AddProduct(simulator.Product{UPC: upc, Style: upc, Color: "red", Size: "M"}))
				require.NoError(t, w.sim.SetStock(upc, "NJ2", int64(i)))
			}
			w.submit()
			got, last := drain(t, w.connection, "", 5)
			require.Len(t, got, 64, "32 products at two sites")
			require.Equal(t, "98", got[teeUPC+" "+nj2], "net of the order")
			require.Equal(t, "0", got[teeUPC+" "+nj3])
			require.Equal(t, "29", got["U029 "+nj2])
			require.False(t, last.Partial)
			require.NoError(t, w.sim.SetStock("U003", "NJ3", 77))
			got, last = drain(t, w.connection, last.Cursor, 5)
			require.True(t, last.Changes)
			require.False(t, last.Partial)
			require.Equal(t, "77", got["U003 "+nj3])
			require.Equal(t, "3", got["U003 "+nj2])
		})
	}
	for _, kind := range []simulator.FaultKind{simulator.RepeatedBatch, simulator.ShiftedBatch} {
		t.Run(string(kind), func(t *testing.T) {
			w := simulated(t, simulator.Behaviour{BatchSize: 10}, connectors.Values{"sites": "all"})
			for i := range 20 {
				require.NoError(t, w.sim.AddProduct(simulator.Product{UPC: fmt.Sprintf("U%03d", i), Style: "X", Color: "red", Size: fmt.Sprint(i)}))
			}
			require.NoError(t, w.sim.Inject(simulator.Fault{Operation: "GetInventoryByBatch", Kind: kind}))
			got, last := drain(t, w.connection, "", 100)
			require.Len(t, got, 44)
			require.False(t, last.Partial)
		})
	}
}

func TestSimulatorCheck(t *testing.T) {
	w := simulated(t, simulator.Behaviour{}, nil)
	report, err := w.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "northwind-demo", report.Account)
	require.Empty(t, report.Missing)
	require.Contains(t, report.Details, "warehouse "+nj3)
	w.client.session.vault = &connectors.StaticVault{Credentials: connectors.Credentials{"web_address": testAddress, "user_name": testUser, "password": "wrong"}}
	_, err = w.Check(t.Context())
	require.ErrorIs(t, err, relay.Unauthorised)
}
