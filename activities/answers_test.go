package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	"orderferry/connectors"
	"orderferry/connectors/tradegecko"
	"orderferry/relay"
	"orderferry/store"
)

// bell notes whom it wakes.
type bell struct{ rung []string }

func (b *bell) Job(_ context.Context, m relay.MerchantID, c relay.ConnectionName, j relay.Job) error {
	b.rung = append(b.rung, fmt.Sprintf("%s %s %s", m, c, j))
	return nil
}

func (b *bell) Hold(_ context.Context, m relay.MerchantID, r relay.Reference) error {
	b.rung = append(b.rung, fmt.Sprintf("%s %s", m, r))
	return nil
}

func (b *bell) heard() []string {
	defer func() { b.rung = nil }()
	return b.rung
}

func (w *world) viewHold(id relay.OrderID) activities.HoldView {
	w.t.Helper()
	return do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: id, Key: "x", Now: time.Now()})
}

// EasyPost says that an order is on hold there: it is on hold here too, nothing of
// it is sent again, and it goes on by itself.
func TestAnOrderThatIsStuckAtTheWarehouse(t *testing.T) {
	b := &bell{}
	w := newWorld(t, setup{Options: activities.Options{Bell: b}})
	number := w.sell()
	w.pull()
	w.submit()
	d := w.want(number, relay.OrderAtWarehouse)
	there := string(d.WarehouseOrderID)
	require.NoError(t, w.depot.Hold(there))
	require.Equal(t, 1, w.pullShipments().Held)
	require.Equal(t, []string{"acme depot submit_orders"}, b.heard(), "the merchant's workflow begins the hold's")
	d = w.want(number, relay.OrderHeld)
	require.Equal(t, relay.HoldRejected, d.Hold.Reason)
	require.Equal(t, 0, w.pullShipments().Held, "once")

	require.True(t, w.watch().Submit, "should the wake-up be lost, this is the next")
	require.True(t, w.submit().Holds)
	view := w.viewHold(d.ID)
	require.True(t, view.There)
	require.NotEmpty(t, view.Status)
	require.Contains(t, view.Evidence, there)
	require.Zero(t, view.Resend)
	require.False(t, w.watch().Submit)
	require.False(t, w.submit().Holds)

	// Nothing lets it go, by any way.
	require.Equal(t, activities.SubmitResult{}, do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "operator"}))
	require.Zero(t, do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, activities.ReleaseInput{Merchant: "acme", Actor: "operator"}).Released)
	require.Zero(t, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, activities.RecheckInput{Merchant: "acme"}).Released)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 5000))
	require.Zero(t, do[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob()).Released)
	w.want(number, relay.OrderHeld)
	require.Len(t, w.books(), 1)

	require.NoError(t, w.depot.Release(there))
	w.pullShipments()
	require.Equal(t, []string{"acme " + string(d.Reference)}, b.heard(), "its workflow looks, and ends")
	w.want(number, relay.OrderAtWarehouse)
	require.NoError(t, w.depot.Hold(there))
	w.pullShipments()
	b.heard()
	require.NoError(t, errors.Join(w.depot.Release(there), w.depot.Ship(there)))
	require.Equal(t, 1, w.pullShipments().Packages)
	require.Equal(t, []string{"acme " + string(d.Reference)}, b.heard())
	require.Equal(t, 1, w.pushShipments().Confirmed)
	require.Len(t, w.depot.Orders("production"), 1, "it was sent once")
}

// A cancel of such an order is asked of the warehouse, and the cart hears of it at once.
func TestCancelOfAnOrderThatIsStuckAtTheWarehouse(t *testing.T) {
	b := &bell{}
	w := newWorld(t, setup{Options: activities.Options{Bell: b}})
	number := w.sell()
	w.pull()
	w.submit()
	d := w.want(number, relay.OrderAtWarehouse)
	require.NoError(t, w.depot.Hold(string(d.WarehouseOrderID)))
	w.pullShipments()
	b.heard()
	out := do[activities.CancelOutcome](w, w.acts.CancelOrder, activities.CancelInput{Merchant: "acme", Reference: d.Reference, Actor: "operator", Reason: "because"})
	require.Equal(t, "cancelled", out.Result, out.Answer)
	require.True(t, out.WasHeld)
	w.want(number, relay.OrderCancelled)
	require.Empty(t, w.books())
	require.Equal(t, []string{"acme shop push_shipments"}, b.heard(), "also where a hold's workflow asked, which wakes no cart")
}

// late is a warehouse that only receives orders, and answers when it likes.
type late struct {
	mu     sync.Mutex // orders are sent several at a time
	within time.Duration
	pages  []connectors.ShipmentsPage // what it tells, a page a question; "" is the first cursor
	asked  []connectors.ShipmentsQuery
	sent   []connectors.WarehouseOrder
	looked []connectors.WarehouseOrder
	lost   bool // answers are lost: what is sent is there all the same
	find   []connectors.Match
	cancel connectors.CancelResult
}

func (l *late) Check(context.Context) (connectors.Report, error) { return connectors.Report{}, nil }

func (l *late) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	body, err := json.Marshal(o)
	return connectors.Prepared{Token: o.Token, Body: body}, err
}

// number is how it names an order: by our reference, and anew for each that it cancelled.
func number(o connectors.WarehouseOrder) relay.WarehouseOrderID {
	return relay.WarehouseOrderID(fmt.Sprintf("%s/%d", o.Reference, o.Renewed))
}

func (l *late) SubmitOrder(_ context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	var o connectors.WarehouseOrder
	if err := json.Unmarshal(p.Body, &o); err != nil {
		return connectors.Accepted{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, o)
	if l.lost {
		return connectors.Accepted{}, &relay.Error{Kind: relay.Unknown, Op: "submit order"}
	}
	return connectors.Accepted{ID: number(o), Status: 200, AnswerWithin: l.within}, nil
}

func (l *late) FindOrders(_ context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	out := make([]connectors.Lookup, len(q.Orders))
	for i, r := range q.Orders {
		l.looked = append(l.looked, r.Order)
		out[i] = connectors.Lookup{Matches: l.find, Certain: true}
	}
	return out, nil
}

func (l *late) CancelOrder(context.Context, relay.WarehouseOrderID) (connectors.CancelAnswer, error) {
	return connectors.CancelAnswer{Result: l.cancel}, nil
}

func (l *late) PullShipments(_ context.Context, q connectors.ShipmentsQuery) (connectors.ShipmentsPage, error) {
	l.asked = append(l.asked, q)
	if len(l.pages) == 0 {
		return connectors.ShipmentsPage{Cursor: q.Cursor}, nil
	}
	page := l.pages[0]
	l.pages = l.pages[1:]
	return page, nil
}

// tells has it tell something of an order at the next question.
func (l *late) tells(updates ...connectors.OrderUpdate) {
	l.pages = append(l.pages, connectors.ShipmentsPage{Updates: updates, Cursor: fmt.Sprint(len(l.asked))})
}

// newLateWorld is a world whose warehouse is late.
func newLateWorld(t *testing.T, l *late) (*world, *bell) {
	t.Helper()
	b := &bell{}
	w := newWorld(t, setup{Options: activities.Options{Bell: b}})
	kind := connectors.Connector{Name: "easypost", Role: connectors.Warehouse, Open: func(connectors.Config) (connectors.Connection, error) { return l, nil }}
	w.acts = activities.New(w.ledger, append(tradegecko.Connectors(), kind), http.DefaultTransport, slog.New(slog.NewJSONHandler(w.said, nil)), w.opt)
	w.newEnv()
	return w, b
}

// A warehouse that answers later is asked until it does; then its answer counts.
func TestAWarehouseThatAnswersLater(t *testing.T) {
	l := &late{within: time.Hour}
	w, _ := newLateWorld(t, l)
	one, two := w.sell(), w.sell()
	w.pull()
	require.Equal(t, 2, w.submit().Accepted)
	require.NotNil(t, w.want(one, relay.OrderAtWarehouse).AnswerDue)

	l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.InProgress}) // nothing new
	w.pullShipments()
	require.Len(t, l.asked, 1)
	require.Len(t, l.asked[0].Open, 2)
	require.True(t, l.asked[0].Open[0].Unanswered)
	require.NotNil(t, w.order(one).AnswerDue)

	w.exec(`update orders set answer_due = now() - interval '1 hour'`)
	require.Equal(t, 1, w.watch().Opened)
	require.Equal(t, activities.SubmitResult{}, w.submit(), "it is never sent again for that")

	l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.InProgress, Status: "imported"},
		connectors.OrderUpdate{ID: "SO-2/0", Progress: connectors.Refused, Status: "rejected", Hold: &relay.Hold{Reason: relay.HoldUnknownItem}})
	require.Equal(t, activities.PullShipmentsResult{Read: 2, Held: 1}, w.pullShipments())
	require.Nil(t, w.want(one, relay.OrderAtWarehouse).AnswerDue)
	require.Equal(t, relay.HoldUnknownItem, w.want(two, relay.OrderHeld).Hold.Reason)
	require.Equal(t, 1, w.watch().Closed)

	// It goes once more, under the same number.
	resent := do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: w.order(two).ID, Actor: "nightly resend"})
	require.Equal(t, 1, resent.Accepted)
	require.Len(t, l.sent, 3)
	require.EqualValues(t, "SO-2", l.sent[2].Reference)
	require.Zero(t, l.sent[2].Renewed)
	require.EqualValues(t, "SO-2/0", w.want(two, relay.OrderAtWarehouse).WarehouseOrderID)
}

// A refusal that turns out wrong: the order is adopted back, and people are called.
func TestAWrongRefusal(t *testing.T) {
	l := &late{within: time.Hour}
	w, b := newLateWorld(t, l)
	sold := w.sell()
	w.pull()
	w.submit()
	l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.Refused})
	w.pullShipments()
	w.want(sold, relay.OrderHeld)
	require.Equal(t, []string{"acme depot submit_orders"}, b.heard())
	w.watch()

	// It tells by itself: nothing is open any more.
	l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.PartShipped, Adds: true, Packages: []relay.Package{{TrackingNumber: "1Z", Items: []relay.Item{{Code: toteCode, Units: 2}}}}},
		connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.FullShipped, Adds: true, Packages: []relay.Package{{TrackingNumber: "2Z", Items: []relay.Item{{Code: mugCode, Units: 1}}}}},
		connectors.OrderUpdate{ID: "SO-nobody", Progress: connectors.FullShipped})
	got := w.pullShipments()
	require.Empty(t, l.asked[len(l.asked)-1].Open)
	require.Equal(t, 2, got.Packages)
	w.want(sold, relay.OrderShipped)
	require.Equal(t, []string{"acme SO-1"}, b.heard())
	require.Equal(t, 1, w.watch().Opened)
	require.Equal(t, 1, w.pushShipments().Confirmed)
}

// A file may tell what was so before the order was sent again. What was taken is
// not sent once more for it; what a warehouse is asked, it answers as of now.
func TestARefusalOfWhatWasTaken(t *testing.T) {
	for name, news := range map[string]bool{"told by itself": true, "asked": false} {
		t.Run(name, func(t *testing.T) {
			l := &late{within: time.Hour}
			w, _ := newLateWorld(t, l)
			sold := w.sell()
			w.pull()
			w.submit()
			l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.InProgress, Status: "accepted", Adds: news})
			w.pullShipments()
			l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.Refused, Status: "rejected", Adds: news})
			require.Equal(t, 1, w.pullShipments().Held)
			require.Equal(t, news, w.want(sold, relay.OrderHeld).Hold.There)
			do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: w.order(sold).ID, Actor: "nightly resend"})
			if news {
				require.Len(t, l.sent, 1)
			} else {
				require.Len(t, l.sent, 2)
			}
		})
	}
}

// A lost answer: what the look adopts was only received as well.
func TestAdoptedAndNotAnswered(t *testing.T) {
	l := &late{lost: true, find: []connectors.Match{{ID: "SO-1/0", By: "reference", AnswerWithin: time.Hour}}}
	w, _ := newLateWorld(t, l)
	sold := w.sell()
	w.pull()
	w.submitUntil(sold, relay.OrderAtWarehouse)
	require.NotNil(t, w.order(sold).AnswerDue)
	require.Len(t, l.sent, 1)
}

// A number is used once: an order that was accepted and cancelled goes under
// another, and one submission has one number, however often it is sent or looked for.
func TestEachLifeHasItsNumber(t *testing.T) {
	l := &late{cancel: connectors.CancelDone}
	w, _ := newLateWorld(t, l)
	sold := w.sell()
	w.pull()
	w.submit()
	d := w.want(sold, relay.OrderAtWarehouse)
	do[activities.CancelOutcome](w, w.acts.CancelOrder, activities.CancelInput{Merchant: "acme", Reference: d.Reference, Actor: "operator"})
	w.want(sold, relay.OrderCancelled)
	w.exec(`update orders set cart_cancel_at = null`)
	require.True(t, do[activities.ReopenOutcome](w, w.acts.ReopenOrder, activities.ReopenInput{Merchant: "acme", Reference: d.Reference, Actor: "operator"}).Reopened)
	l.lost = true
	overdue := func() {
		w.exec(`update orders set next_look_at = now() where state = 'in_doubt'`)
		w.exec(`update submissions set lease_until = now() - interval '1 hour'`)
		w.submit()
	}
	w.until(func() bool { return len(l.sent) == 3 }, overdue)
	l.find = []connectors.Match{{ID: "SO-1/1", By: "reference"}}
	w.until(func() bool { return w.order(sold).State == relay.OrderAtWarehouse }, overdue)
	var lives []int
	for _, o := range append(l.sent, l.looked...) {
		lives = append(lives, o.Renewed)
	}
	require.Zero(t, lives[0])
	require.NotContains(t, lives[1:], 0)
	require.Equal(t, l.sent[1], l.sent[2], "sent again as it was")
	require.NotEmpty(t, l.looked)
	for _, o := range l.looked {
		o.PlacedAt = o.PlacedAt.UTC()
		require.Equal(t, l.sent[1], o, "looked for as it was sent")
	}
}

// Pages are read until there are no more; the cursor goes behind what was stored,
// and what could not be read is told as of the last page.
func TestShipmentsInPages(t *testing.T) {
	l := &late{}
	w, _ := newLateWorld(t, l)
	sold := w.sell()
	w.pull()
	w.submit()
	bad := connectors.Unread{Subject: "shp_2.csv", Line: 3, Message: "quantity: want a whole number"}
	part := func(tracking string, code relay.ItemCode, units int64, p connectors.Progress) connectors.OrderUpdate {
		return connectors.OrderUpdate{ID: "SO-1/0", Progress: p, Adds: true, Packages: []relay.Package{{TrackingNumber: tracking, Items: []relay.Item{{Code: code, Units: units}}}}}
	}
	l.pages = []connectors.ShipmentsPage{
		{Cursor: "a", More: true, Updates: []connectors.OrderUpdate{part("1Z", toteCode, 2, connectors.PartShipped)}, Unread: []connectors.Unread{bad, {Subject: "shp_1.csv"}}},
		{Cursor: "b", Updates: []connectors.OrderUpdate{part("2Z", mugCode, 1, connectors.FullShipped)}, Unread: []connectors.Unread{bad}},
	}
	require.Equal(t, 2, w.pullShipments().Packages)
	require.Equal(t, []string{"", "a"}, []string{l.asked[0].Cursor, l.asked[1].Cursor})
	require.Equal(t, l.asked[0].Open, l.asked[1].Open, "with the same open orders")
	w.want(sold, relay.OrderShipped)
	rows, err := w.ledger.Unread(t.Context(), "acme", "depot", 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, store.Unread(bad), rows[0].Unread)
	require.Equal(t, relay.PullShipments, rows[0].Job)
	require.Equal(t, 1, w.watch().Opened)

	// Told again by a warehouse that does not remember.
	l.pages = []connectors.ShipmentsPage{{Cursor: "c", Updates: []connectors.OrderUpdate{part("1Z", toteCode, 2, connectors.PartShipped)}}}
	require.Zero(t, w.pullShipments().Packages)
	require.Equal(t, "b", l.asked[2].Cursor)
	require.Equal(t, 1, w.watch().Closed)

	l.pages = []connectors.ShipmentsPage{{Cursor: "c", More: true}}
	_, err = try[activities.PullShipmentsResult](w, w.acts.PullShipments, activities.PullShipmentsInput{JobInput: depotJob()})
	require.ErrorContains(t, err, "the same cursor twice")
}

// A run that has had its time goes on at once where it was, also at the start.
func TestShipmentsInTurns(t *testing.T) {
	l := &late{}
	w, _ := newLateWorld(t, l)
	w.opt.Budget = time.Nanosecond
	kind := connectors.Connector{Name: "easypost", Role: connectors.Warehouse, Open: func(connectors.Config) (connectors.Connection, error) { return l, nil }}
	w.acts = activities.New(w.ledger, append(tradegecko.Connectors(), kind), http.DefaultTransport, slog.New(slog.DiscardHandler), w.opt)
	w.newEnv()
	l.pages = []connectors.ShipmentsPage{{Cursor: "a", More: true}, {Cursor: "b"}}
	in := activities.PullShipmentsInput{JobInput: depotJob()}
	first := do[activities.PullShipmentsResult](w, w.acts.PullShipments, in)
	require.NotZero(t, first.After, "it comes at once")
	in.After = first.After
	require.Zero(t, do[activities.PullShipmentsResult](w, w.acts.PullShipments, in).After)
	require.Equal(t, []string{"", "a"}, []string{l.asked[0].Cursor, l.asked[1].Cursor})
}

// Cancels of a reason cancel none that is on hold for another by then, and one
// that the warehouse has is asked for there.
func TestCancelHeldThere(t *testing.T) {
	l := &late{cancel: connectors.CancelPending}
	w, _ := newLateWorld(t, l)
	stuck, waits := w.sell(), w.sell()
	w.pull()
	w.submit()
	l.tells(connectors.OrderUpdate{ID: "SO-1/0", Progress: connectors.InTrouble, Status: "no stock", Hold: &relay.Hold{Reason: relay.HoldInsufficientInventory}},
		connectors.OrderUpdate{ID: "SO-2/0", Progress: connectors.Refused, Hold: &relay.Hold{Reason: relay.HoldInsufficientInventory}})
	require.Equal(t, 2, w.pullShipments().Held)
	in := activities.CancelHeldInput{ReleaseInput: activities.ReleaseInput{Merchant: "acme", Reason: relay.HoldInsufficientInventory, Actor: "operator"}, Why: "because"}
	out := do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in)
	slices.Sort(out.References)
	require.Equal(t, activities.CancelHeldOutcome{Stopped: 1, Pending: 1, References: []relay.Reference{"SO-1", "SO-2"}, Carts: []relay.ConnectionName{"shop"}}, out)
	w.want(stuck, relay.OrderCancelRequested)
	w.want(waits, relay.OrderSendingCancelled)
}
