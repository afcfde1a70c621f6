package activities_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// moment is a point in an order's life at which somebody cancels it.
type moment struct {
	given setup
	// reach brings the order there. For a cancel in the middle of a step it calls
	// cancel itself; else the cancel follows.
	reach func(w *world, number string, cancel func())
	// answer is what a person hears at once; end and live are where it all ends,
	// and how many orders the warehouse then has.
	answer string
	end    relay.OrderState
	live   int
	// word is the trail's last word on the cancel.
	word store.EventKind
	// shut says that the cart can't cancel the order any more.
	shut bool
	// others are orders that the warehouse has before.
	others int
}

// onRequest calls f once, at the first request of the kind, before the warehouse
// sees it or after it answered, which answer is on its way only when f returns.
func (w *world) onRequest(method string, after bool, f func()) {
	var once sync.Once
	hook := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.HasSuffix(r.URL.Path, "/orders") {
			return false
		}
		if after {
			w.depot.Handler().ServeHTTP(rw, r)
		}
		once.Do(f)
		return after
	}
	w.wrap.Store(&hook)
}

// beside is the same world for somebody who acts while an activity is under way.
func (w *world) beside() *world {
	o := &world{t: w.t, ledger: w.ledger, db: w.db, sql: w.sql, shop: w.shop, depot: w.depot, acts: w.acts, opt: w.opt, urls: w.urls, said: w.said}
	o.newEnv()
	return o
}

// atWarehouse has an order pulled and accepted.
func (w *world) atWarehouse(number string) string {
	w.t.Helper()
	w.pull()
	return string(w.submitUntil(number, relay.OrderAtWarehouse).WarehouseOrderID)
}

// doubtful has an order sent with a fault, and not to be looked for as yet.
func (w *world) doubtful(number string, kind depotsim.FaultKind) {
	w.t.Helper()
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: kind})
	w.inject(depotsim.Fault{Route: "list_orders", Kind: depotsim.Error503, Count: 1000})
	w.submit()
	w.want(number, relay.OrderInDoubt)
}

func moments() map[string]moment {
	blind := setup{depot: map[string]string{"page_size": "1", "lookup_pages": "1", "lookup_by_query": "false"}}
	pulled := func(f func(w *world, number string, cancel func())) func(*world, string, func()) {
		return func(w *world, number string, cancel func()) {
			w.pull()
			f(w, number, cancel)
		}
	}
	return map[string]moment{
		"before it is claimed": {
			reach:  pulled(func(*world, string, func()) {}),
			answer: "stopped_before_sending", end: relay.OrderSendingCancelled, word: store.EventCancelledSending,
		},
		"between claim and send": {
			reach: pulled(func(w *world, _ string, cancel func()) {
				w.onRequest(http.MethodPost, false, cancel)
				w.submit()
			}),
			answer: "pending", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"after it is accepted, before that is recorded": {
			reach: pulled(func(w *world, _ string, cancel func()) {
				w.onRequest(http.MethodPost, true, cancel)
				w.submit()
			}),
			answer: "pending", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"after the worker died that sent it": {
			reach:  pulled(func(w *world, _ string, _ func()) { w.sendAndDie("somebody else", time.Millisecond) }),
			answer: "pending", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"while it is refused": {
			reach: pulled(func(w *world, _ string, cancel func()) {
				require.NoError(w.t, w.depot.SetStock(mugCode, "EAST", 0))
				w.onRequest(http.MethodPost, true, cancel)
				w.submit()
			}),
			answer: "pending", end: relay.OrderSendingCancelled, word: store.EventCancelledSending,
		},
		"in doubt, and it is there": {
			reach:  func(w *world, number string, _ func()) { w.doubtful(number, depotsim.CommitThen500) },
			answer: "pending", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"in doubt, and it is not there": {
			reach:  func(w *world, number string, _ func()) { w.doubtful(number, depotsim.Error500) },
			answer: "pending", end: relay.OrderSendingCancelled, word: store.EventCancelledSending,
		},
		"while it is looked for and found": {
			reach: func(w *world, number string, cancel func()) {
				w.doubtful(number, depotsim.CommitThen500)
				w.depot.ClearFaults()
				w.onRequest(http.MethodGet, true, cancel)
				w.hurry()
				w.submit()
			},
			answer: "pending", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"while it is looked for in vain": {
			reach: func(w *world, number string, cancel func()) {
				w.doubtful(number, depotsim.Error500)
				w.depot.ClearFaults()
				w.onRequest(http.MethodGet, true, cancel)
				w.hurry()
				w.submit()
			},
			answer: "pending", end: relay.OrderSendingCancelled, word: store.EventCancelledSending,
		},
		"on hold by our translation": {
			given: setup{aliases: []relay.Alias{}},
			reach: pulled(func(w *world, number string, _ func()) {
				w.submit()
				w.want(number, relay.OrderHeld)
			}),
			answer: "stopped_before_sending", end: relay.OrderSendingCancelled, word: store.EventCancelledSending,
		},
		"on hold by a refusal": {
			reach: pulled(func(w *world, number string, _ func()) {
				require.NoError(w.t, w.depot.SetStock(mugCode, "EAST", 0))
				w.submit()
				w.want(number, relay.OrderHeld)
			}),
			answer: "stopped_before_sending", end: relay.OrderSendingCancelled, word: store.EventCancelledSending,
		},
		// Nobody can tell, so nobody says that it is cancelled: a person is called again.
		"on hold, its outcome unknown": {
			given: blind, others: 2, // more than can be looked through
			reach: func(w *world, number string, _ func()) {
				w.pull()
				w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Error500})
				w.submitUntil(number, relay.OrderHeld)
			},
			answer: "pending", end: relay.OrderHeld, live: 2, word: store.EventHeld,
		},
		"at the warehouse": {
			reach:  func(w *world, number string, _ func()) { w.atWarehouse(number) },
			answer: "cancelled", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"at a warehouse that does not answer": {
			reach: func(w *world, number string, _ func()) {
				w.atWarehouse(number)
				w.inject(depotsim.Fault{Route: "delete_order", Kind: depotsim.Error503, Count: 1})
				w.inject(depotsim.Fault{Route: "get_order", Kind: depotsim.Error503, Count: 10})
			},
			answer: "pending", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"when the warehouse has begun, and will ship it": {
			reach: func(w *world, number string, cancel func()) {
				id := w.atWarehouse(number)
				require.NoError(w.t, w.depot.Step(id))
				cancel()
				w.submit()
				require.NoError(w.t, w.depot.Ship(id))
			},
			answer: "pending", end: relay.OrderConfirmed, live: 1, word: store.EventCancelTooLate,
		},
		"after the warehouse cancelled it by itself": {
			reach: func(w *world, number string, _ func()) {
				require.NoError(w.t, w.depot.CancelAtWarehouse(w.atWarehouse(number)))
				w.pullShipments()
				w.want(number, relay.OrderCancelled)
			},
			answer: "already_cancelled", end: relay.OrderCancelled, word: store.EventCancelled,
		},
		"shipped in part": {
			reach: func(w *world, number string, _ func()) {
				require.NoError(w.t, w.depot.Ship(w.atWarehouse(number), depotsim.Package{Items: map[string]int64{toteCode: 1}, TrackingCode: "1Z1"}))
				w.pullShipments()
			},
			answer: "too_late", end: relay.OrderShipped, live: 1, word: store.EventCancelTooLate,
		},
		"shipped": {
			reach: func(w *world, number string, _ func()) {
				require.NoError(w.t, w.depot.Ship(w.atWarehouse(number)))
				w.pullShipments()
			},
			answer: "too_late", end: relay.OrderConfirmed, live: 1, word: store.EventCancelTooLate,
		},
		"confirmed": {
			reach: func(w *world, number string, _ func()) {
				require.NoError(w.t, w.depot.Ship(w.atWarehouse(number)))
				w.pullShipments()
				w.pushShipments()
				w.want(number, relay.OrderConfirmed)
			},
			answer: "too_late", end: relay.OrderConfirmed, live: 1, word: store.EventCancelTooLate, shut: true,
		},
		"cancelled before": {
			reach: func(w *world, number string, _ func()) {
				w.atWarehouse(number)
				w.cancel(number)
			},
			answer: "already_cancelled", end: relay.OrderCancelled, word: store.EventCancelled,
		},
	}
}

// hurry makes all that waits for its time due now.
func (w *world) hurry() {
	for _, column := range []string{"next_look_at", "cancel_next_at", "retry_at", "cart_cancel_at"} {
		w.exec(`update orders set ` + column + ` = now() where ` + column + ` > now()`)
	}
}

// round runs every job once, as the merchant's workflow does in the course of time.
func (w *world) round() {
	w.t.Helper()
	w.leasesEnd()
	w.hurry()
	w.submit()
	w.pullShipments()
	w.pull()
	w.pushShipments()
}

// cancels are who may cancel an order.
var cancels = map[string]func(w *world, number string){
	"operator": func(w *world, number string) { w.cancel(number) },
	"void at the cart": func(w *world, number string) {
		require.NoError(w.t, w.shop.Void("acme", number))
		w.pull()
	},
	"deleted at the cart": func(w *world, number string) {
		require.NoError(w.t, w.shop.Revert("acme", number))
		o, err := w.shop.Order("acme", number)
		require.NoError(w.t, err)
		w.atShop(http.MethodPut, fmt.Sprintf("/orders/%d", o.ID), `{"order":{"status":"draft"}}`)
		require.NoError(w.t, w.shop.DeleteDraft("acme", number))
		w.pull()
	},
}

// atShop does what a person does in the shop by its own API.
func (w *world) atShop(method, path, body string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.urls.shop+path, strings.NewReader(body))
	require.NoError(w.t, err)
	r.Header.Set("Authorization", "Bearer "+shopToken)
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(r)
	require.NoError(w.t, err)
	require.NoError(w.t, res.Body.Close())
	require.Less(w.t, res.StatusCode, 300)
}

// Promise 4: at whatever moment and by whomever an order is cancelled, the
// answer is true, the end is the right one, the warehouse has nothing that we
// called cancelled, the trail tells it, and a cart that did not know is told.
func TestCancelAtEveryMoment(t *testing.T) {
	for name, m := range moments() {
		for who, cancel := range cancels {
			t.Run(name+", by "+who, func(t *testing.T) {
				w := newWorld(t, m.given)
				for range m.others {
					w.atWarehouse(w.sell())
				}
				number := w.sell()
				var answers []string
				done := false
				m.reach(w, number, func() {
					done = true
					b := w.beside()
					if who == "operator" {
						answers = append(answers, b.cancel(number).Result)
						return
					}
					cancel(b, number)
				})
				switch {
				case done:
				case who == "operator":
					answers = append(answers, w.cancel(number).Result)
				case m.shut:
					require.Error(t, w.shop.Void("acme", number), "the cart does not let them")
					return
				default:
					if name == "cancelled before" { // by us, and the cart has not heard of it yet
						w.pushShipments()
						require.Equal(t, "void", w.atCart(number))
						require.Zero(t, w.pull().Cancelled, "our own void is no new cancel")
						return
					}
					cancel(w, number)
				}
				if who == "operator" {
					require.Equal(t, []string{m.answer}, answers)
				}
				w.wrap.Store(nil)
				w.depot.ClearFaults()
				end := m.end
				if end == relay.OrderConfirmed && who != "operator" {
					end = relay.OrderShipped // a cart takes no tracking for what it cancelled
				}
				w.until(func() bool { return w.order(number).State == end && !w.open(number) }, w.round)
				w.round()
				d := w.want(number, end)
				require.Len(t, w.books(), m.live)
				require.LessOrEqual(t, len(d.Submissions), 1, "never sent twice")

				events, err := w.ledger.History(t.Context(), d.ID)
				require.NoError(t, err)
				actor := "cart shop"
				if who == "operator" {
					actor = "operator clerk"
				}
				at := slices.IndexFunc(events, func(e store.Event) bool { return e.Kind == store.EventCancelAsked && e.Actor == actor })
				require.GreaterOrEqual(t, at, 0, "%v", w.kinds(number))
				require.Contains(t, w.kinds(number), m.word)
				if m.answer != "already_cancelled" {
					require.Contains(t, w.kinds(number)[at:], m.word)
				}
				cancelled := m.end == relay.OrderCancelled || m.end == relay.OrderSendingCancelled
				told := slices.Contains(w.kinds(number), store.EventCancelToldCart)
				require.Equal(t, cancelled && who == "operator", told)
				if who == "operator" {
					require.Equal(t, cancelled, w.atCart(number) == "void")
					again := w.cancel(number).Result
					require.Equal(t, cancelled, again == "already_cancelled", again)
				}
			})
		}
	}
}

// open reports whether something about the order is still to be done by itself.
func (w *world) open(number string) bool {
	var n int
	require.NoError(w.t, w.sql.QueryRow(w.t.Context(), `
		select count(*) from orders where number = $1 and state in ('cancelled', 'sending_cancelled') and cart_cancel_at is not null`, number).Scan(&n))
	return n > 0
}

// atCart is the cart's status of an order.
func (w *world) atCart(number string) string {
	w.t.Helper()
	o, err := w.shop.Order("acme", number)
	require.NoError(w.t, err)
	return o.Status
}

func TestACancelIsToldToTheCart(t *testing.T) {
	t.Run("and said so", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		got := w.cancel(number)
		require.Equal(t, relay.ConnectionName("shop"), got.Cart)
		require.Contains(t, got.Answer, "shop is told of the cancel")
		require.Equal(t, activities.PushResult{Done: 1}, w.pushShipments())
		require.Equal(t, "void", w.atCart(number))
		require.Equal(t, activities.PushResult{}, w.pushShipments())
		require.Zero(t, w.pull().Cancelled)
		require.Equal(t, []store.EventKind{store.EventSeen, store.EventCancelAsked, store.EventCancelledSending, store.EventCancelToldCart}, w.kinds(number))
	})
	t.Run("through a lost answer", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.cancel(number)
		require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.CommitThenTimeout, Route: "order_actions", Count: 1}))
		require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.Fail503, Route: "order_member", Count: 3}))
		got := w.pushShipments()
		require.Equal(t, 1, got.Failed)
		require.WithinDuration(t, time.Now().Add(time.Minute), got.Next, 30*time.Second)
		require.Equal(t, "void", w.atCart(number), "though nobody knows")
		require.Equal(t, store.EventCancelTellFailed, w.kinds(number)[3])
		reopened := do[activities.ReopenOutcome](w, w.acts.ReopenOrder, w.reopenInput(number))
		require.False(t, reopened.Reopened, reopened.Answer)
		require.Zero(t, w.pull().Cancelled, "seen in the feed first")
		require.Equal(t, store.EventCancelToldCart, w.kinds(number)[4])
		w.hurry()
		require.Equal(t, activities.PushResult{}, w.pushShipments())
	})
	t.Run("that ships it", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.cancel(number)
		_, err := w.shop.PackPart("acme", number, nil)
		require.NoError(t, err)
		got := w.pushShipments()
		require.Equal(t, 1, got.Failed)
		require.WithinDuration(t, time.Now().Add(24*time.Hour), got.Next, time.Hour)
		require.Equal(t, "finalized", w.atCart(number))
		require.Contains(t, strings.Join(history(w, w.order(number).ID), "\n"), "packed or shipped")
	})
	t.Run("that refuses our token", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.cancel(number)
		require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.Unauthorised, Route: "order_actions", Count: 1}))
		require.True(t, w.pushShipments().Stopped)
		require.NotContains(t, w.kinds(number), store.EventCancelTellFailed, "no fault of this order")
		require.NoError(t, w.ledger.ResumeConnections(t.Context(), "acme", "shop"))
		w.hurry()
		require.Equal(t, activities.PushResult{Done: 1}, w.pushShipments())
	})
	t.Run("beside parcels that it does not take", func(t *testing.T) {
		w := newWorld(t, setup{})
		other := w.sell()
		require.NoError(t, w.depot.Ship(w.atWarehouse(other)))
		w.pullShipments()
		number := w.sell()
		w.pull()
		w.cancel(number)
		require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.Fail503, Route: "fulfillments_create", Count: 1}))
		got := w.pushShipments()
		require.Equal(t, 1, got.Failed)
		require.Equal(t, 1, got.Done)
		require.Equal(t, "void", w.atCart(number))
	})
	t.Run("unless it is to be left alone", func(t *testing.T) {
		w := newWorld(t, setup{shop: map[string]string{"cancels": "keep"}})
		number := w.sell()
		w.pull()
		got := w.cancel(number)
		require.Empty(t, got.Cart)
		require.NotContains(t, got.Answer, "shop")
		require.Equal(t, activities.PushResult{}, w.pushShipments())
		require.Equal(t, "finalized", w.atCart(number))
		require.Equal(t, activities.SubmitResult{}, w.submit())
	})
	t.Run("when the warehouse has answered at last", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.atWarehouse(number)
		w.inject(depotsim.Fault{Route: "delete_order", Kind: depotsim.Error503, Count: 1})
		w.inject(depotsim.Fault{Route: "get_order", Kind: depotsim.Error503, Count: 10})
		got := w.cancel(number)
		require.Contains(t, got.Answer, "once it is cancelled, shop is told")
		require.Empty(t, got.Cart)
		require.Equal(t, activities.PushResult{}, w.pushShipments(), "it may ship after all")
		w.depot.ClearFaults()
		w.hurry()
		require.Equal(t, activities.SubmitResult{Cancelled: 1, Carts: []relay.ConnectionName{"shop"}}, w.submit())
		require.Equal(t, 1, w.pushShipments().Done)
		require.Equal(t, "void", w.atCart(number))
	})
}

func (w *world) reopenInput(number string) activities.ReopenInput {
	return activities.ReopenInput{Merchant: "acme", Reference: w.order(number).Reference, Actor: "operator clerk", Reason: "the buyer wants it after all"}
}

// An order that comes back to life at its cart is sent anew only when a person
// says so, with what the cart tells now.
func TestReopenOrder(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	first := w.atWarehouse(number)
	reopen := func() activities.ReopenOutcome {
		return do[activities.ReopenOutcome](w, w.acts.ReopenOrder, w.reopenInput(number))
	}
	require.Contains(t, reopen().Answer, "not cancelled")
	require.NoError(t, w.shop.Void("acme", number))
	w.pull()
	require.Contains(t, reopen().Answer, "once the warehouse has confirmed the cancel")
	w.submit()
	w.want(number, relay.OrderCancelled)
	require.Contains(t, reopen().Answer, "cancelled at shop too")

	require.NoError(t, w.shop.Restore("acme", number))
	other := shopsim.Address{FirstName: buyerFirst, LastName: buyerLast, Line1: "1 " + buyerStreet, City: "Springfield", State: "IL", Zip: "62701", CountryCode: "US", Email: buyerEmail}
	require.NoError(t, w.shop.ChangeAddress("acme", number, other))
	w.until(func() bool { return slices.Contains(w.kinds(number), store.EventBackAtCart) }, func() { w.pull() })
	require.Equal(t, activities.SubmitResult{}, w.submit(), "never a silent resend")
	w.want(number, relay.OrderCancelled)

	got := reopen()
	require.True(t, got.Reopened)
	require.Contains(t, got.Answer, "cancelled "+first+" before")
	again := reopen()
	require.True(t, again.Reopened, "harmless twice, and a lost answer wakes the warehouse all the same")
	require.Contains(t, again.Answer, "already")
	require.Equal(t, 1, w.submit().Accepted)
	d := w.want(number, relay.OrderAtWarehouse)
	require.NotEqual(t, first, string(d.WarehouseOrderID))
	require.Len(t, d.Submissions, 2)
	book, ok := w.depot.Order(string(d.WarehouseOrderID))
	require.True(t, ok)
	require.Contains(t, book.Street, "1 "+buyerStreet)
	w.pullShipments()
	w.want(number, relay.OrderAtWarehouse)

	require.NoError(t, w.depot.Ship(string(d.WarehouseOrderID)))
	w.pullShipments()
	require.Equal(t, activities.PushResult{Done: 1, Confirmed: 1}, w.pushShipments())

	_, err := try[activities.ReopenOutcome](w, w.acts.ReopenOrder, activities.ReopenInput{Merchant: "acme", Reference: "X"})
	kind, _ := kindOf(t, err)
	require.Equal(t, activities.ErrorMissing, kind)
}

// A reopened order is looked for by its new token alone: the one that the
// warehouse cancelled before is never taken for it, however alike.
func TestAReopenedOrderIsNotTakenForTheCancelledOne(t *testing.T) {
	w := newWorld(t, setup{behave: depotsim.Behaviour{QueryUnsupported: true, DropDescription: true}, shop: map[string]string{"cancels": "keep"}})
	number := w.sell()
	first := w.atWarehouse(number)
	require.Equal(t, "cancelled", w.cancel(number).Result)
	require.True(t, do[activities.ReopenOutcome](w, w.acts.ReopenOrder, w.reopenInput(number)).Reopened)
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Error500})
	d := w.submitUntil(number, relay.OrderAtWarehouse)
	require.NotEqual(t, first, string(d.WarehouseOrderID))
	require.Len(t, w.books(), 1)
}

// An edit that comes while nobody knows whether the warehouse has the order is
// taken over when it does not, however far the cart's feed has gone on.
func TestAnEditWhileInDoubt(t *testing.T) {
	edit := func(w *world, number string) {
		w.editAddress(number)
		w.until(func() bool { return slices.Contains(w.kinds(number), store.EventChangedTooLate) }, func() { w.pull() })
		require.Zero(w.t, w.pull().TooLate, "an alarm once")
	}
	t.Run("the warehouse has it", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.doubtful(number, depotsim.CommitThen500)
		edit(w, number)
		w.depot.ClearFaults()
		w.hurry()
		w.submitUntil(number, relay.OrderAtWarehouse)
		require.Zero(t, w.pull().TooLate, "said already")
		require.Equal(t, buyerStreet, w.books()[0].Street)
		require.Contains(t, strings.Join(history(w, w.order(number).ID), "\n"), `"field": "ship_to.street1"`)
	})
	t.Run("the warehouse refuses it", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		require.NoError(t, w.depot.SetStock(mugCode, "EAST", 0))
		w.onRequest(http.MethodPost, false, func() { edit(w.beside(), number) })
		w.submit()
		w.wrap.Store(nil)
		d := w.want(number, relay.OrderHeld)
		got := w.pull()
		require.Equal(t, activities.PullOrdersResult{Changed: 1, Woken: []relay.Reference{d.Reference}}, got)
		require.NoError(t, w.depot.SetStock(mugCode, "EAST", 9))
		w.submitUntil(number, relay.OrderAtWarehouse)
		require.Equal(t, "1 "+buyerStreet, w.books()[0].Street)
	})
}

// The step of a cancel whose worker died goes on after a person had the order reopened.
func TestACancelThatComesAfterALaterReopening(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	in := w.cancelInput(number)
	in.Asked = time.Now().Add(-time.Minute)
	require.Equal(t, "stopped_before_sending", w.cancel(number).Result)
	got := do[activities.ReopenOutcome](w, w.acts.ReopenOrder, activities.ReopenInput{Merchant: "acme", Reference: in.Reference, Actor: "operator clerk", Reason: "they want it after all"})
	require.True(t, got.Reopened)
	late := do[activities.CancelOutcome](w, w.acts.CancelOrder, in)
	require.Equal(t, "reopened_since", late.Result)
	require.Empty(t, late.Cart)
	w.want(number, relay.OrderNew)
}

// So does the step of a reopening after a person had the order cancelled: what they
// were answered stays true.
func TestAReopeningThatComesAfterALaterCancel(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	require.Equal(t, "stopped_before_sending", w.cancel(number).Result)
	in := w.reopenInput(number)
	in.Asked = time.Now().Add(-time.Minute)
	late := do[activities.ReopenOutcome](w, w.acts.ReopenOrder, in)
	require.Equal(t, activities.ReopenOutcome{Answer: "no: it was cancelled after this was asked for, and stays so; ask again if it is to be sent"}, late)
	w.want(number, relay.OrderSendingCancelled)
}

// The same of a cancel of many: it leaves alone what was reopened since.
func TestACancelOfManyThatComesAfterALaterReopening(t *testing.T) {
	w := newWorld(t, setup{})
	number, _ := w.sellOut()
	w.exec(`insert into order_events (order_id, kind, actor, detail) select id, 'reopened', 'operator clerk', jsonb_build_object('asked', now() + interval '1 minute') from orders`)
	in := activities.CancelHeldInput{ReleaseInput: activities.ReleaseInput{Merchant: "acme", Actor: "operator clerk"}, Why: "discontinued"}
	require.Zero(t, do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in))
	w.want(number, relay.OrderHeld)
	in.Asked = time.Now().Add(2 * time.Minute)
	require.Equal(t, 1, do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in).Stopped)
}
