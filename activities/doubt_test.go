package activities_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/activities"
	"orderferry/connectors"
	"orderferry/connectors/easypost"
	depotsim "orderferry/connectors/easypost/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// Promise 1 and 2: whatever becomes of the answer to an order, the warehouse has
// it once in the end, whether or not it can be searched.
func TestLostAnswers(t *testing.T) {
	for _, kind := range []depotsim.FaultKind{
		depotsim.CommitThenTimeout, depotsim.CommitThenDrop, depotsim.CommitThen500, depotsim.CommitThen502, depotsim.BrokenJSON, depotsim.Empty2xx,
		depotsim.Error500, depotsim.HTML502, depotsim.ResetBefore, depotsim.TimeoutNoCommit,
	} {
		for name, b := range map[string]depotsim.Behaviour{
			"":                    {},
			" no search or marks": {QueryUnsupported: true, DropDescription: true},
			" no search, a list that lags and is the wrong way round": {QueryUnsupported: true, ListDelay: 20 * time.Millisecond, OldestFirst: true},
		} {
			t.Run(string(kind)+name, func(t *testing.T) {
				w := newWorld(t, setup{behave: b, Options: activities.Options{
					Looks: []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond},
				}})
				other := w.sell() // must not be taken for the other one
				w.pull()
				w.submitUntil(other, relay.OrderAtWarehouse)
				number := w.sell()
				w.pull()
				w.inject(depotsim.Fault{Route: "create_order", Kind: kind, Delay: 50 * time.Millisecond})
				d := w.submitUntil(number, relay.OrderAtWarehouse)
				require.Len(t, w.books(), 2)
				require.NotEqual(t, w.order(other).WarehouseOrderID, d.WarehouseOrderID)
				_, ok := w.depot.Order(string(d.WarehouseOrderID))
				require.True(t, ok)
				require.Len(t, d.Submissions, 1, "never a second token")
				require.Contains(t, w.kinds(number), store.EventUnknown)
			})
		}
	}
}

// A warehouse that can't be searched far enough calls a person; release looks again.
func TestNobodyCanTell(t *testing.T) {
	w := newWorld(t, setup{
		depot: map[string]string{"page_size": "1", "lookup_pages": "1", "lookup_by_query": "false"},
	})
	others := []string{w.sell(), w.sell()}
	w.pull()
	for _, o := range others {
		w.submitUntil(o, relay.OrderAtWarehouse)
	}
	number := w.sell()
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Error500})
	d := w.submitUntil(number, relay.OrderHeld)
	require.Equal(t, relay.HoldUnknownOutcome, d.Hold.Reason)
	view := do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: d.ID, Key: "k", Now: time.Now()})
	require.Zero(t, view.Resend, "not by the clock")
	release := activities.ReleaseInput{Merchant: "acme", References: []relay.Reference{d.Reference}, Actor: "operator clerk"}
	require.Equal(t, 1, do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, release).Released)
	w.want(number, relay.OrderInDoubt)
	d = w.submitUntil(number, relay.OrderHeld)
	require.Len(t, w.books(), 2, "nothing was sent again on a guess")
	require.Len(t, d.Submissions, 1)
	require.Equal(t, "pending", w.cancel(number).Result, "nor called cancelled")
	w.submitUntil(number, relay.OrderHeld)
}

// The warehouse took one order twice: the oldest is kept, the others are
// cancelled, and somebody hears of it.
func TestTakenTwice(t *testing.T) {
	w := newWorld(t, setup{behave: depotsim.Behaviour{Timestamps: depotsim.Milliseconds}})
	number := w.sell()
	w.pull()
	w.atDepot(w.takenTwice())
	d := w.submitUntil(number, relay.OrderAtWarehouse)
	all := w.depot.Orders(depotsim.Production)
	require.Len(t, all, 2)
	kept, other := all[0], all[1]
	// Within one millisecond neither is the older.
	if kept.ID != string(d.WarehouseOrderID) && kept.CreatedAt.Truncate(time.Millisecond).Equal(other.CreatedAt.Truncate(time.Millisecond)) {
		kept, other = other, kept
	}
	require.Equal(t, kept.ID, string(d.WarehouseOrderID), "the oldest")
	require.NotEqual(t, depotsim.Refunded, kept.State)
	require.Equal(t, depotsim.Refunded, other.State)
	require.Equal(t, []string{"pending", "cancelled"}, w.duplicates(number))
	require.Contains(t, w.said.String(), "took an order more than once")
}

// takenTwice has the warehouse take the next order twice, and answer neither time.
func (w *world) takenTwice() func(http.ResponseWriter, *http.Request) bool {
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	var bodies atomic.Int32
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/orders") || bodies.Add(1) > 1 {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		for range 2 {
			again, err := http.NewRequestWithContext(r.Context(), r.Method, w.urls.depot+"/orders", strings.NewReader(string(body)))
			if err != nil {
				return false
			}
			again.Header = r.Header.Clone()
			answer, err := transport.RoundTrip(again)
			if err != nil {
				return false
			}
			answer.Body.Close()
		}
		rw.WriteHeader(http.StatusInternalServerError)
		return true
	}
}

// atDepot has requests of the warehouse answered by the first of some that does.
func (w *world) atDepot(answer ...func(http.ResponseWriter, *http.Request) bool) {
	first := func(rw http.ResponseWriter, r *http.Request) bool {
		return slices.ContainsFunc(answer, func(f func(http.ResponseWriter, *http.Request) bool) bool { return f(rw, r) })
	}
	w.wrap.Store(&first)
}

// mortal is a ledger that takes no more entries of trails from the moment on at
// which the warehouse is asked to cancel: as when the worker dies there.
func (w *world) mortal() (atCancel func(http.ResponseWriter, *http.Request) bool, dead func() bool) {
	var died atomic.Bool
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete && died.CompareAndSwap(false, true) {
			_, err := w.sql.Exec(r.Context(), `alter table order_events add constraint dead check (false) not valid`)
			assert.NoError(w.t, err)
		}
		return false
	}, died.Load
}

func (w *world) revive() {
	w.t.Helper()
	w.exec(`alter table order_events drop constraint dead`)
	w.newEnv()
}

// A worker that died once the second order was cancelled leaves no duplicate to be
// found: it was written down before.
func TestTakenTwiceThoughTheWorkerDied(t *testing.T) {
	w := newWorld(t, setup{behave: depotsim.Behaviour{Timestamps: depotsim.Milliseconds}})
	number := w.sell()
	w.pull()
	atCancel, dead := w.mortal()
	w.atDepot(w.takenTwice(), atCancel)
	w.until(dead, func() {
		_, err := try[activities.SubmitResult](w, w.acts.SubmitOrders, depotJob())
		require.Equal(t, dead(), err != nil)
		w.leasesEnd()
	})
	require.Len(t, w.books(), 1, "of two")
	require.Equal(t, []string{"pending"}, w.duplicates(number))
	w.revive()
	w.submitUntil(number, relay.OrderAtWarehouse)
	require.Equal(t, []string{"pending"}, w.duplicates(number), "for a person to see what became of it")
}

// duplicates are the answers to the cancels of an order's duplicates, as its trail has them.
func (w *world) duplicates(number string) (answers []string) {
	w.t.Helper()
	events, err := w.ledger.History(w.t.Context(), w.order(number).ID)
	require.NoError(w.t, err)
	for _, e := range events {
		var d struct{ Cancelled map[string]string }
		if e.Kind == store.EventDuplicate {
			require.NoError(w.t, json.Unmarshal(e.Detail, &d))
			answers = slices.AppendSeq(answers, maps.Values(d.Cancelled))
		}
	}
	return answers
}

// A worker died between sending an order and writing the answer down. Its
// activity's next attempt takes over at once, any other when the lease is over.
func TestKilledBetweenSendingAndRecording(t *testing.T) {
	for name, same := range map[string]bool{"next attempt": true, "another worker": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			w.pull()
			w.newEnv()
			owner := do[string](w, "owner", nil)
			lease := time.Hour
			if !same {
				owner, lease = "somebody else", time.Millisecond
			}
			w.sendAndDie(owner, lease)
			w.want(number, relay.OrderSubmitting)
			w.newEnv()
			got := w.submit()
			w.until(func() bool { return w.order(number).State == relay.OrderAtWarehouse }, func() { got = w.submit() })
			require.Equal(t, 1, got.Adopted)
			require.Len(t, w.books(), 1)
			require.Equal(t, []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventUnknown, store.EventAdopted}, w.kinds(number))
		})
	}
	t.Run("while it still may send", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.sendAndDie("somebody else", time.Hour)
		require.Equal(t, activities.SubmitResult{}, w.submit())
		w.want(number, relay.OrderSubmitting)
		require.Len(t, w.books(), 1)
	})
}

// sendAndDie claims and sends the one order as a worker does, and forgets the answer.
func (w *world) sendAndDie(owner string, lease time.Duration) {
	w.t.Helper()
	ctx := w.t.Context()
	m, err := w.ledger.Merchant(ctx, "acme")
	require.NoError(w.t, err)
	depot := m.StoredWarehouse()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	conn, err := easypost.Connector().Open(connectors.Config{
		Merchant: "acme", Name: "depot", BaseURL: depot.BaseURL, Mode: depot.Mode, Settings: depot.Settings, Transport: transport,
		Vault: &connectors.StaticVault{Credentials: connectors.Credentials{"production_key": depotKey}},
	})
	require.NoError(w.t, err)
	sink := conn.(connectors.OrderSink)
	var request connectors.Prepared
	aliases := relay.NewMappings([]relay.Alias{{SKU: "TOTE", Code: toteCode}, {SKU: "MUG", Code: mugCode}}, nil)
	_, err = w.ledger.Claim(ctx, store.ClaimQuery{Merchant: m, Owner: owner, Lease: lease, Limit: 1, Actor: "job submit_orders"},
		func(o relay.Order, token relay.Token) (store.Claim, error) {
			to, hold := aliases.Translate(o.Cart, o.CartOrder)
			require.Nil(w.t, hold)
			var err error
			request, err = sink.PrepareOrder(connectors.WarehouseOrder{Token: token, Reference: o.Reference, Number: o.Number, ShipTo: o.ShipTo,
				Items: relay.MergeItems(to.Items), PlacedAt: o.PlacedAt})
			return store.Claim{Items: to.Items, Digest: request.Digest()}, err
		})
	require.NoError(w.t, err)
	_, err = sink.SubmitOrder(context.WithoutCancel(ctx), request)
	require.NoError(w.t, err)
}

// Cancels that come while an order is in doubt get the true answer.
func TestCancelInDoubt(t *testing.T) {
	for kind, end := range map[depotsim.FaultKind]relay.OrderState{
		depotsim.CommitThen500: relay.OrderCancelled,        // it was there
		depotsim.Error500:      relay.OrderSendingCancelled, // it never was
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			w.pull()
			w.inject(depotsim.Fault{Route: "create_order", Kind: kind})
			// The search fails too, until the cancel has come.
			w.inject(depotsim.Fault{Route: "list_orders", Kind: depotsim.Error503, Count: 100})
			w.submit()
			w.want(number, relay.OrderInDoubt)
			require.Contains(t, w.kinds(number), store.EventLookFailed)
			got := w.cancel(number)
			require.Equal(t, "pending", got.Result)
			w.depot.ClearFaults()
			w.exec(`update orders set next_look_at = now()`)
			w.submitUntil(number, end)
			require.Empty(t, w.books())
		})
	}
}

func (w *world) cancel(number string) activities.CancelOutcome {
	w.t.Helper()
	return do[activities.CancelOutcome](w, w.acts.CancelOrder, w.cancelInput(number))
}

func (w *world) cancelInput(number string) activities.CancelInput {
	return activities.CancelInput{Merchant: "acme", Reference: w.order(number).Reference, Actor: "operator clerk", Reason: "buyer cancelled"}
}
