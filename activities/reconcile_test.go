package activities_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	"orderferry/connectors/easypost"
	depotsim "orderferry/connectors/easypost/simulator"
	"orderferry/connectors/tradegecko"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// longAgo is a shop's clock that is hours behind: what happens there has stood
// for long when we see it.
func longAgo() time.Time { return time.Now().Add(-3 * time.Hour) }

// reconcile runs Reconcile until it has ended, and returns the last turn's result.
func (w *world) reconcile(in activities.JobInput) activities.ReconcileResult {
	w.t.Helper()
	var r activities.ReconcileResult
	w.until(func() bool {
		r = do[activities.ReconcileResult](w, w.acts.Reconcile, in)
		return !r.More
	}, func() {})
	return r
}

func (w *world) reconcileShop() activities.ReconcileResult {
	w.t.Helper()
	return w.reconcile(shopJob())
}

func (w *world) reconcileDepot() activities.ReconcileResult {
	w.t.Helper()
	return w.reconcile(depotJob())
}

// found lists findings as "kind subject mended", "kind subject open" or "kind subject gone".
func (w *world) found() []string {
	w.t.Helper()
	list, err := w.ledger.Findings(w.t.Context(), store.FindingQuery{Merchant: "acme", Closed: true, Limit: 100})
	require.NoError(w.t, err)
	out := []string{}
	for i := range list {
		f := list[len(list)-1-i]
		state := "open"
		switch {
		case f.Repaired:
			state = "mended"
		case f.ClosedAt != nil:
			state = "gone"
		}
		out = append(out, fmt.Sprintf("%s %s %s", f.Kind, f.Subject, state))
		require.NotContains(w.t, strings.ToLower(string(f.Detail)), strings.ToLower(buyerLast))
	}
	return out
}

// The warehouse's run forgets what ended more than a year ago.
func TestReconcileForgetsWhatEndedLongAgo(t *testing.T) {
	w := newWorld(t, setup{})
	for subject, days := range map[string]int{"CUP": 366, "MUG": 364} {
		w.exec(`insert into findings (merchant_id, connection_id, kind, subject, closed_at)
			select merchant_id, id, 'stock_drift', $1, now() - make_interval(days => $2) from connections where role = 'cart'`, subject, days)
	}
	w.reconcileShop()
	require.Len(t, w.found(), 2)
	w.reconcileDepot()
	require.Equal(t, []string{"stock_drift MUG gone"}, w.found())
}

func TestNothingDiffers(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo})
	w.stocked()
	var numbers []string
	for range 4 {
		numbers = append(numbers, w.sell())
	}
	w.pull()
	w.submit()
	require.NoError(t, w.depot.Ship(string(w.order(numbers[0]).WarehouseOrderID)))
	w.pullShipments()
	w.pushShipments()
	w.cancel(numbers[1])
	do[activities.PushResult](w, w.acts.PushInventory, shopJob())
	require.Equal(t, activities.ReconcileResult{Checked: 3 + 2 + 2}, w.reconcileShop(), "3 orders ready or void at the cart, 2 at the warehouse, 2 levels")
	require.Equal(t, activities.ReconcileResult{Checked: 4}, w.reconcileDepot())
	require.Empty(t, w.found())
	w.want(numbers[0], relay.OrderConfirmed)
}

// stocked has the levels of the warehouse read and told to the shop.
func (w *world) stocked() {
	w.t.Helper()
	do[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob())
	do[activities.PushResult](w, w.acts.PushInventory, shopJob())
}

// a. Paid but unknown: the ordinary pull passed an order over.
func TestPaidButUnknown(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo})
	known := w.sell()
	w.pull()
	missed := w.sell()
	cursor := w.cursor("orders")
	got := w.reconcileShop()
	require.Equal(t, activities.ReconcileResult{Checked: 2 + 2, Found: 1, Repaired: 1, Submit: true}, got)
	require.Equal(t, []string{"unknown_order SO-2 mended"}, w.found())
	require.Equal(t, cursor, w.cursor("orders"), "the ordinary pull goes on where it was")
	w.want(missed, relay.OrderNew)
	w.want(known, relay.OrderNew)
	require.Equal(t, 2, w.submit().Accepted)
	require.Zero(t, w.reconcileShop().Found)
	require.Len(t, w.found(), 1)
	require.Zero(t, w.pull().New)
	require.Len(t, w.books(), 2)
}

// What has just come to the cart is for the ordinary pull, and no alarm.
func TestFreshAtTheCartIsNoDifference(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	got := w.reconcileShop()
	require.Zero(t, got.Found)
	require.True(t, got.Submit)
	w.want(number, relay.OrderNew)
	require.NoError(t, w.shop.Void("acme", number))
	require.Zero(t, w.reconcileShop().Found)
	w.want(number, relay.OrderSendingCancelled)
	require.Empty(t, w.found())
}

// A worker that died between taking an order in and saying so says it after all.
func TestUnknownOrderIsToldThoughTheWorkerDied(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo})
	w.sell()
	w.exec(`alter table findings add constraint dead check (false)`)
	_, err := try[activities.ReconcileResult](w, w.acts.Reconcile, shopJob())
	require.Error(t, err)
	w.want("SO-1", relay.OrderNew)
	require.Empty(t, w.found())
	w.exec(`alter table findings drop constraint dead`)
	require.Equal(t, 1, w.reconcileShop().Repaired)
	require.Equal(t, []string{"unknown_order SO-1 mended"}, w.found())
}

func (w *world) cursor(name string) (value string) {
	w.t.Helper()
	require.NoError(w.t, w.sql.QueryRow(w.t.Context(), `
		select coalesce((select value from cursors k join connections c on c.id = k.connection_id where c.name = 'shop' and k.name = $1), '')`, name).Scan(&value))
	return value
}

// b. Cancelled at the cart, and the cart's feed did not tell.
func TestCancelMissed(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo, aliases: []relay.Alias{{SKU: "TOTE", Code: toteCode}}})
	tote := []shopsim.NewLine{{SKU: "TOTE", Quantity: "1"}}
	sent, held := w.sell(tote...), w.sell()
	w.pull()
	w.submit()
	fresh := w.sell(tote...)
	w.pull()
	w.want(sent, relay.OrderAtWarehouse)
	w.want(held, relay.OrderHeld)
	for _, number := range []string{sent, held, fresh} {
		require.NoError(t, w.shop.Void("acme", number))
	}
	w.deafFeed()
	got := w.reconcileShop()
	require.Equal(t, activities.ReconcileResult{Checked: 3, Found: 3, Repaired: 3, Submit: true, Woken: []relay.Reference{"SO-2"}}, got)
	require.Equal(t, []string{"cancel_missed SO-1 mended", "cancel_missed SO-2 mended", "cancel_missed SO-3 mended"}, w.found())
	w.want(fresh, relay.OrderSendingCancelled)
	w.want(held, relay.OrderSendingCancelled)
	require.Equal(t, 1, w.submit().Cancelled)
	w.want(sent, relay.OrderCancelled)
	require.Zero(t, w.reconcileShop().Found)
	require.Empty(t, w.books())
}

// deafFeed keeps void orders out of the shop's change feed: they are seen by id alone.
func (w *world) deafFeed() {
	deaf := func(rw http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		if r.URL.Path != "/orders" || q.Has("ids[]") || strings.Join(q["status[]"], " ") != "void deleted" {
			return false
		}
		_, _ = rw.Write([]byte(`{"orders":[],"meta":{"total":0}}`))
		return true
	}
	w.wrapShop.Store(&deaf)
}

// d. Shipped or gone at the cart is no cancel once our warehouse has the order.
func TestShippedOrGoneAtTheCart(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo})
	shipped, gone, unsent := w.sell(), w.sell(), w.sell()
	w.pull()
	w.exec(`update orders set retry_at = now() + interval '1 hour' where number = $1`, unsent)
	w.submit()
	ids := map[string]string{}
	for _, number := range []string{shipped, gone, unsent} {
		ids[number] = w.external(number)
	}
	rewrite := func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/orders/"+ids[gone]:
			http.Error(rw, `{}`, http.StatusNotFound)
		case r.URL.Path == "/orders" && r.URL.Query().Has("ids[]"):
			body, _ := json.Marshal(map[string]any{"orders": []any{
				map[string]any{"id": json.Number(ids[shipped]), "status": "fulfilled", "fulfillment_status": "shipped"},
				map[string]any{"id": json.Number(ids[unsent]), "status": "fulfilled", "fulfillment_status": "shipped"},
			}})
			_, _ = rw.Write(body)
		default:
			return false
		}
		return true
	}
	w.wrapShop.Store(&rewrite)
	got := w.reconcileShop()
	require.ElementsMatch(t, []string{"shipped_elsewhere SO-1 open", "gone_at_cart SO-2 open"}, w.found()[:2])
	require.Equal(t, 2, got.Found-got.Repaired)
	w.want(shipped, relay.OrderAtWarehouse)
	w.want(gone, relay.OrderAtWarehouse)
	w.want(unsent, relay.OrderSendingCancelled)
	w.wrapShop.Store(nil)
	require.Zero(t, w.reconcileShop().Found)
	require.ElementsMatch(t, []string{"shipped_elsewhere SO-1 gone", "gone_at_cart SO-2 gone"}, w.found()[:2], "closed when it is not found again")
}

// An order that was unlocked at its cart while our warehouse has it ships unless
// somebody is called.
func TestNotReadyAtTheCartAnyMore(t *testing.T) {
	for name, clock := range map[string]func() time.Time{"for long": longAgo, "just now": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{clock: clock})
			number := w.sell()
			w.pull()
			w.submitUntil(number, relay.OrderAtWarehouse)
			require.NoError(t, w.shop.Revert("acme", number))
			w.pull()
			found := w.reconcileShop().Found
			if clock == nil {
				require.Zero(t, found, "somebody may be editing it")
				return
			}
			require.Equal(t, 1, found)
			require.Equal(t, []string{"not_ready_at_cart SO-1 open"}, w.found())
			w.want(number, relay.OrderAtWarehouse)
			require.NoError(t, w.shop.Finalize("acme", number))
			require.Zero(t, w.reconcileShop().Found)
			require.Equal(t, []string{"not_ready_at_cart SO-1 gone"}, w.found())
		})
	}
}

func (w *world) external(number string) (id string) {
	w.t.Helper()
	require.NoError(w.t, w.sql.QueryRow(w.t.Context(), `select external_id from orders where number = $1`, number).Scan(&id))
	return id
}

// c. Shipped but not told: it is tried again at once, and said until the cart has it.
func TestShippedButNotTold(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.submit()
	require.NoError(t, w.depot.Ship(string(w.order(number).WarehouseOrderID)))
	w.pullShipments()
	no := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			http.Error(rw, `{"errors":{"base":["not now"]}}`, http.StatusUnprocessableEntity)
		}
		return r.Method == http.MethodPost
	}
	w.wrapShop.Store(&no)
	require.Equal(t, 1, w.pushShipments().Failed)
	require.Contains(t, w.lastDetail(number), "HTTP 422", "the trail names the answer")
	w.wrapShop.Store(nil)
	require.Zero(t, w.pushShipments().Done, "it waits")
	require.Zero(t, w.reconcileShop().Found, "not for long")
	w.exec(`update shipments set seen_at = now() - interval '2 hours'`)
	got := w.reconcileShop()
	require.Equal(t, 1, got.Found)
	require.Zero(t, got.Repaired)
	require.Equal(t, []relay.ConnectionName{"shop"}, got.Carts)
	require.Equal(t, []string{"shipment_untold SO-1 open"}, w.found())
	require.Equal(t, activities.PushResult{Done: 1, Confirmed: 1}, w.pushShipments(), "due now")
	require.Zero(t, w.reconcileShop().Found)
	require.Equal(t, []string{"shipment_untold SO-1 gone"}, w.found())
}

func (w *world) lastDetail(number string) string {
	w.t.Helper()
	events, err := w.ledger.History(w.t.Context(), w.order(number).ID)
	require.NoError(w.t, err)
	return string(events[len(events)-1].Detail)
}

// c. The cart has all tracking, but the order did not end.
func TestToldButNotConfirmed(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.submit()
	require.NoError(t, w.depot.Ship(string(w.order(number).WarehouseOrderID)))
	w.pullShipments()
	w.pushShipments()
	w.exec(`update orders set state = 'shipped'`)
	require.Equal(t, 1, w.reconcileShop().Repaired)
	require.Equal(t, []string{"not_confirmed SO-1 mended"}, w.found())
	w.want(number, relay.OrderConfirmed)
	require.Zero(t, w.reconcileShop().Found)
}

// c. The cart lost what it had taken, or somebody voided it there: it is told
// nothing again, and that is said until it shows the order as shipped. What shipped
// short is open there, too.
func TestTheCartLostAFulfillment(t *testing.T) {
	w := newWorld(t, setup{})
	lost, short, kept := w.sell(), w.sell(), w.sell()
	w.pull()
	w.submit()
	for _, number := range []string{lost, kept} {
		require.NoError(t, w.depot.Ship(string(w.order(number).WarehouseOrderID)))
	}
	there := string(w.order(short).WarehouseOrderID)
	require.NoError(t, w.depot.Ship(there, depotsim.Package{Items: map[string]int64{mugCode: 1}}))
	require.NoError(t, w.depot.CloseShort(there))
	w.pullShipments()
	w.pushShipments()
	for _, number := range []string{lost, short, kept} {
		w.want(number, relay.OrderConfirmed)
	}
	o, err := w.shop.Order("acme", lost)
	require.NoError(t, err)
	for _, f := range o.Fulfillments {
		w.atShop(http.MethodDelete, fmt.Sprintf("/fulfillments/%d", f.ID), "")
	}
	require.Zero(t, w.reconcileShop().Found, "it was told just now, and may show it soon")

	w.opt.Overdue = time.Nanosecond
	w.use(w.with(w.opt))
	for range 2 { // also at the version that the first run took in
		require.Equal(t, 1, w.reconcileShop().Found)
		require.Equal(t, []string{"unshipped_at_cart SO-1 open"}, w.found())
	}
	require.Equal(t, activities.PushResult{}, w.pushShipments())
	w.want(lost, relay.OrderConfirmed)
	require.NoError(t, w.shop.ShipByHand("acme", lost, "1Z9"))
	require.Zero(t, w.reconcileShop().Found)
	require.Equal(t, []string{"unshipped_at_cart SO-1 gone"}, w.found())
}

// e. Somebody changed stock at the cart behind our back.
func TestStockDrift(t *testing.T) {
	w := newWorld(t, setup{})
	w.stocked()
	require.NoError(t, w.shop.SetStock("acme", "TOTE", shopsim.Stock{OnHand: "7"}))
	got := w.reconcileShop()
	require.Equal(t, activities.ReconcileResult{Checked: 2, Found: 1, Repaired: 1}, got)
	require.Equal(t, []string{"stock_drift TOTE mended"}, w.found())
	stock, err := w.shop.Stock("acme")
	require.NoError(t, err)
	for _, s := range stock {
		require.Contains(t, []string{"1000", "1000.0"}, s.OnHand, s.SKU)
	}
	list, err := w.ledger.Findings(t.Context(), store.FindingQuery{Merchant: "acme", Closed: true, Limit: 10})
	require.NoError(t, err)
	require.JSONEq(t, `{"was": "7", "is": "1000"}`, string(list[0].Detail))
	require.Zero(t, w.reconcileShop().Found)

	// A level that is to change anyway is no drift: push_inventory sees to it.
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 900))
	do[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob())
	require.Equal(t, activities.ReconcileResult{Checked: 1}, w.reconcileShop())
	require.Equal(t, 1, do[activities.PushResult](w, w.acts.PushInventory, shopJob()).Done)
}

// e. A level that the cart does not take is said until it does. SKUs that it does
// not sell, and failures that may pass, are not.
func TestStockThatTheCartRefuses(t *testing.T) {
	w := newWorld(t, setup{aliases: []relay.Alias{{SKU: "TOTE", Code: toteCode}, {SKU: "MUG", Code: mugCode}, {SKU: "NOT-SOLD", Code: mugCode}}})
	w.stocked()
	drift := func(onHand string) {
		require.NoError(t, w.shop.SetStock("acme", "TOTE", shopsim.Stock{OnHand: onHand}))
	}
	var status atomic.Int32
	no := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || status.Load() == 0 {
			return false
		}
		http.Error(rw, `{"errors":{"base":["not now"]}}`, int(status.Load()))
		return true
	}
	w.wrapShop.Store(&no)

	drift("7")
	status.Store(http.StatusServiceUnavailable)
	require.Zero(t, w.reconcileShop().Found, "it may pass")
	require.Equal(t, 1, w.reconcileShop().Found, "it did not")
	require.Equal(t, []string{"stock_drift TOTE open"}, w.found())
	status.Store(0)
	require.Zero(t, w.reconcileShop().Found, "it took it")
	require.Equal(t, []string{"stock_drift TOTE gone"}, w.found())

	drift("8")
	status.Store(http.StatusUnprocessableEntity)
	for range 2 {
		got := w.reconcileShop()
		require.Equal(t, 1, got.Found)
		require.Zero(t, got.Repaired)
		require.Equal(t, []string{"stock_drift TOTE gone", "stock_drift TOTE open"}, w.found())
	}
	status.Store(0)
	w.exec(`update sent_levels set retry_at = now()`)
	require.Equal(t, 1, do[activities.PushResult](w, w.acts.PushInventory, shopJob()).Done)
	require.Zero(t, w.reconcileShop().Found)
	require.Equal(t, []string{"stock_drift TOTE gone", "stock_drift TOTE gone"}, w.found())
}

// f. Accepted, and the ledger forgot: the state of a submission as a backup of
// that moment has it. Promise 1: it is not sent again.
func TestTheLedgerForgotAnAcceptance(t *testing.T) {
	for name, forget := range map[string]string{
		"as unsent": `update submissions set state = 'unsent'`,
		"as absent": `update submissions set state = 'absent'`,
		"refused":   `update submissions set state = 'rejected'`,
		"open":      `update submissions set state = 'open', resolved_at = null, lease_until = now() - interval '2 hours'`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			w.pull()
			w.submit()
			there := w.want(number, relay.OrderAtWarehouse).WarehouseOrderID
			w.exec(forget)
			w.exec(`update orders set state = 'new', warehouse_order_id = null, warehouse_id = null, accepted_at = null`)
			want := "unexpected_at_warehouse " + string(there) + " mended"
			switch name {
			case "refused": // and it would be resent in the night
				w.exec(`update orders set state = 'held', hold_reason = 'insufficient_inventory', held_at = now(), first_held_at = now()`)
			case "open":
				w.exec(`update orders set state = 'submitting'`)
				want = "stuck SO-1 open"
			}
			got := w.reconcileDepot()
			require.Equal(t, 1, got.Found)
			require.True(t, got.Submit)
			require.Equal(t, []string{want}, w.found())
			if name == "refused" {
				require.Equal(t, []relay.Reference{"SO-1"}, got.Woken)
			}
			d := w.submitUntil(number, relay.OrderAtWarehouse)
			require.Equal(t, there, d.WarehouseOrderID)
			require.Len(t, d.Submissions, 1)
			require.Len(t, w.depot.Orders(depotsim.Production), 1, "never sent again")
			require.Zero(t, w.reconcileDepot().Found)
		})
	}
}

// f. In doubt, and on hold for a person, though the warehouse shows it by now.
func TestUnknownOutcomeIsSettledByTheList(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.CommitThen500})
	w.inject(depotsim.Fault{Route: "list_orders", Kind: depotsim.Error503, Count: 1000})
	w.submit()
	w.want(number, relay.OrderInDoubt)
	w.exec(`update orders set state = 'held', hold_reason = 'unknown_outcome', held_at = now(), first_held_at = now()`)
	w.depot.ClearFaults()
	got := w.reconcileDepot()
	require.Equal(t, activities.ReconcileResult{Checked: 1, Found: 1, Repaired: 1, Submit: true, Woken: []relay.Reference{"SO-1"}}, got)
	require.Equal(t, "unconfirmed "+w.books()[0].ID+" mended", w.found()[0])
	w.submitUntil(number, relay.OrderAtWarehouse)
	require.Zero(t, w.reconcileDepot().Found)
	require.Len(t, w.books(), 1)
}

// f. Taken twice, unseen: the second is cancelled, or reported when it is gone.
func TestDuplicateAtTheWarehouse(t *testing.T) {
	for name, shipped := range map[string]bool{"waiting": false, "shipped": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			w.pull()
			w.sendTwice()
			w.submit()
			ours := w.want(number, relay.OrderAtWarehouse).WarehouseOrderID
			var other depotsim.OrderView
			for _, o := range w.books() {
				if o.ID != string(ours) {
					other = o
				}
			}
			require.Len(t, w.books(), 2)
			if shipped {
				require.NoError(t, w.depot.Ship(other.ID))
			}
			got := w.reconcileDepot()
			require.Equal(t, 1, got.Found)
			require.Contains(t, w.kinds(number), store.EventDuplicate)
			w.want(number, relay.OrderAtWarehouse)
			if shipped {
				require.Equal(t, []string{"too_late"}, w.duplicates(number))
				require.Zero(t, got.Repaired)
				require.Equal(t, []string{"duplicate " + other.ID + " open"}, w.found())
				trail := w.kinds(number)
				require.Equal(t, 1, w.reconcileDepot().Found)
				require.Equal(t, trail, w.kinds(number), "said once")
				return
			}
			require.Equal(t, 1, got.Repaired)
			require.Equal(t, []string{"pending", "cancelled"}, w.duplicates(number))
			require.Equal(t, []string{"duplicate " + other.ID + " mended"}, w.found())
			require.Len(t, w.books(), 1)
			require.Equal(t, string(ours), w.books()[0].ID)
			require.Zero(t, w.reconcileDepot().Found)
		})
	}
}

// f. A worker that died once it had cancelled leaves nothing to be found: it was
// written down before.
func TestUnwantedAtTheWarehouseThoughTheWorkerDied(t *testing.T) {
	for kind, last := range map[store.FindingKind]store.EventKind{
		store.FindingDuplicate: store.EventDuplicate, store.FindingNotCancelled: store.EventCancelPending,
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			w.pull()
			if kind == store.FindingDuplicate {
				w.sendTwice()
			}
			w.submit()
			if kind == store.FindingNotCancelled {
				w.exec(`update orders set state = 'cancelled', cancel_requested_at = now()`)
				w.exec(`update submissions set state = 'withdrawn'`)
			}
			there := len(w.books())
			atCancel, dead := w.mortal()
			w.atDepot(atCancel)
			_, err := try[activities.ReconcileResult](w, w.acts.Reconcile, depotJob())
			require.Error(t, err)
			require.True(t, dead())
			require.Len(t, w.books(), there-1)
			trail := w.kinds(number)
			require.Equal(t, last, trail[len(trail)-1])
			w.revive()
			got := w.reconcileDepot()
			require.Equal(t, 1, got.Found, "by the run that died")
			require.Zero(t, got.Repaired, "as far as anybody knows")
			require.Len(t, w.found(), 1)
			require.Equal(t, trail, w.kinds(number))
			require.Zero(t, w.reconcileDepot().Found)
		})
	}
}

// sendTwice has the warehouse get the next order twice.
func (w *world) sendTwice() {
	var done atomic.Bool
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	twice := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/orders") || !done.CompareAndSwap(false, true) {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		again, err := http.NewRequestWithContext(r.Context(), r.Method, w.urls.depot+"/orders", bytes.NewReader(body))
		if err != nil {
			return false
		}
		again.Header = r.Header.Clone()
		if answer, err := transport.RoundTrip(again); err == nil {
			answer.Body.Close()
		}
		return false
	}
	w.wrap.Store(&twice)
}

// f. Cancelled here, and going on there.
func TestCancelThatTheWarehouseForgot(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.submit()
	there := string(w.order(number).WarehouseOrderID)
	w.exec(`update orders set state = 'cancelled', cancel_requested_at = now()`)
	w.exec(`update submissions set state = 'withdrawn'`)
	require.Equal(t, 1, w.reconcileDepot().Repaired)
	require.Equal(t, []string{"not_cancelled " + there + " mended"}, w.found())
	require.Empty(t, w.books())
	w.want(number, relay.OrderCancelled)
	require.Zero(t, w.reconcileDepot().Found)
}

// f. Cancelled here, reopened and sent anew, and the first going on there: the
// order must not ship twice.
func TestTheFirstLifeGoesOnAtTheWarehouse(t *testing.T) {
	for _, sent := range []bool{false, true} {
		t.Run(fmt.Sprintf("sent anew %t", sent), func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			first := w.atWarehouse(number)
			// As if the warehouse had confirmed a cancel that it did not keep.
			w.exec(`update orders set state = 'cancelled', cancel_requested_at = now()`)
			w.exec(`update submissions set state = 'withdrawn'`)
			require.True(t, do[activities.ReopenOutcome](w, w.acts.ReopenOrder, w.reopenInput(number)).Reopened)
			kind := "not_cancelled "
			if sent {
				kind = "duplicate "
				require.Equal(t, 1, w.submit().Accepted)
			}
			require.Equal(t, 1, w.reconcileDepot().Repaired)
			require.Equal(t, []string{kind + first + " mended"}, w.found())
			w.submit()
			require.Len(t, w.books(), 1)
			require.Equal(t, string(w.want(number, relay.OrderAtWarehouse).WarehouseOrderID), w.books()[0].ID)
		})
	}
}

// The ledger was restored from a backup that is older than the submission: even
// the token is lost. What goes by the order's number at the warehouse keeps the
// order back until a person has looked.
func TestTheLedgerForgotASubmission(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.submit()
	there := string(w.order(number).WarehouseOrderID)
	w.forget(number)
	fresh := w.sell()
	w.pull()
	got := w.reconcileDepot()
	require.Equal(t, activities.ReconcileResult{Checked: 1, Found: 1, Submit: true}, got)
	require.Equal(t, []string{"foreign_order " + there + " open"}, w.found())
	d := w.want(number, relay.OrderHeld)
	require.Equal(t, relay.HoldUnknownOutcome, d.Hold.Reason)
	require.Equal(t, there, d.Hold.Fields[0].Value)
	require.Equal(t, 1, w.submit().Accepted)
	w.want(fresh, relay.OrderAtWarehouse)
	require.Len(t, w.books(), 2, "the other was not sent again")
	require.Equal(t, 1, w.reconcileDepot().Found, "it waits for a person still")

	// A person looked, cancelled the one there, and lets ours go.
	require.NoError(t, w.depot.CancelAtWarehouse(there))
	release := activities.ReleaseInput{Merchant: "acme", References: []relay.Reference{d.Reference}, Actor: "operator clerk"}
	require.Equal(t, 1, do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, release).Released)
	require.Equal(t, 1, w.submit().Accepted)
	require.Zero(t, w.reconcileDepot().Found)
	require.Equal(t, []string{"foreign_order " + there + " gone"}, w.found())
}

// What comes too late for it: the order was sent again before the books were
// compared. Nothing of a stranger is cancelled on its number; it is reported.
func TestSentAgainBeforeTheBooksWereCompared(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.submit()
	first := string(w.order(number).WarehouseOrderID)
	w.forget(number)
	require.Equal(t, 1, w.submit().Accepted)
	require.Len(t, w.books(), 2, "nothing could know")
	got := w.reconcileDepot()
	require.Equal(t, 1, got.Found)
	require.Zero(t, got.Repaired)
	require.Equal(t, []string{"foreign_order " + first + " open"}, w.found())
	w.want(number, relay.OrderAtWarehouse)
	require.Len(t, w.books(), 2)
}

// forget takes an order's submission out of the ledger.
func (w *world) forget(number string) {
	w.t.Helper()
	id := w.order(number).ID
	w.exec(`delete from submission_items where submission_id in (select id from submissions where order_id = $1)`, id)
	w.exec(`delete from submissions where order_id = $1`, id)
	w.exec(`update orders set state = 'new', warehouse_order_id = null, warehouse_id = null, accepted_at = null where id = $1`, id)
}

// g. and h. Nobody looked, and nothing moves.
func TestUnreadAndStuck(t *testing.T) {
	w := newWorld(t, setup{})
	cancelling, doubtful := w.sell(), w.sell()
	w.pull()
	w.submit()
	w.exec(`update orders set accepted_at = now() - interval '2 days'`)
	w.exec(`update orders set state = 'cancel_requested', cancel_requested_at = now(), cancel_next_at = null where number = $1`, cancelling)
	w.exec(`update submissions set state = 'in_doubt', resolved_at = null where order_id = (select id from orders where number = $1)`, doubtful)
	w.exec(`update orders set state = 'in_doubt', next_look_at = now() - interval '2 hours', warehouse_order_id = null where number = $1`, doubtful)
	w.inject(depotsim.Fault{Route: "list_orders", Kind: depotsim.Error503, Count: 1000})
	_, err := try[activities.ReconcileResult](w, w.acts.Reconcile, depotJob())
	require.Error(t, err)
	w.depot.ClearFaults()
	// Not to be told by the list.
	blind := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/orders") {
			return false
		}
		_, _ = rw.Write([]byte(`{"orders":[]}`))
		return true
	}
	w.wrap.Store(&blind)
	got := w.reconcileDepot()
	require.Equal(t, activities.ReconcileResult{Checked: 3, Found: 3, Submit: true}, got)
	require.Equal(t, []string{"stuck SO-1 open", "stuck SO-2 open", "unread pull_shipments open"}, w.found())
	w.wrap.Store(nil)
	w.submitUntil(doubtful, relay.OrderAtWarehouse)
	w.want(cancelling, relay.OrderCancelled)
	w.pullShipments()
	require.Zero(t, w.reconcileDepot().Found)
	require.Equal(t, []string{"stuck SO-1 gone", "stuck SO-2 gone", "unread pull_shipments gone"}, w.found())
	require.Len(t, w.books(), 1)
}

// A turn that has had its time leaves the rest to the next, and nothing is
// counted twice or passed over.
func TestReconcileInTurns(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo, depot: map[string]string{"page_size": "2"}, shop: map[string]string{"page_size": "2"}})
	usual := w.acts
	for range 7 {
		w.sell()
	}
	w.use(w.hasty())
	turns := 0
	var r activities.ReconcileResult
	for more := true; more; turns++ {
		r = do[activities.ReconcileResult](w, w.acts.Reconcile, shopJob())
		more = r.More
	}
	require.Greater(t, turns, 5)
	require.Equal(t, 7, r.Repaired)
	require.Len(t, w.found(), 7)
	w.use(usual)
	require.Equal(t, 7, w.submit().Accepted)
	w.exec(`update submissions set state = 'unsent'`)
	w.exec(`update orders set state = 'new', warehouse_order_id = null`)
	w.use(w.hasty())
	require.True(t, do[activities.ReconcileResult](w, w.acts.Reconcile, depotJob()).More)
	require.Equal(t, 7, w.reconcileDepot().Repaired)
	require.Len(t, w.found(), 14)
	runs, err := w.ledger.LastReconciliations(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, runs, 2)
	for _, run := range runs {
		require.NotNil(t, run.EndedAt)
		require.Equal(t, 7, run.Found)
	}
	w.use(usual)
	require.Equal(t, 7, w.submit().Adopted)
	require.Len(t, w.books(), 7)
}

// hasty are steps whose time is always up at once.
func (w *world) hasty() *activities.Activities {
	opt := w.opt
	opt.Budget = time.Nanosecond
	return w.with(opt)
}

// with are steps with other options.
func (w *world) with(opt activities.Options) *activities.Activities {
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return activities.New(w.ledger, append(tradegecko.Connectors(), easypost.Connector()), transport, slog.New(slog.NewJSONHandler(w.said, nil)), opt)
}

func (w *world) use(a *activities.Activities) {
	w.acts = a
	w.newEnv()
}

func TestReconcileWithRefusedCredentials(t *testing.T) {
	w := newWorld(t, setup{})
	require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.Unauthorised, Route: "*", Count: 1}))
	require.Equal(t, activities.ReconcileResult{Stopped: true}, w.reconcileShop())
	require.Equal(t, activities.ReconcileResult{Stopped: true}, w.reconcileShop(), "until somebody resumes it")
	w.inject(depotsim.Fault{Route: "*", Kind: depotsim.Error401, Count: 1})
	require.Equal(t, activities.ReconcileResult{Stopped: true}, w.reconcileDepot())
	plan := do[activities.Plan](w, w.acts.LoadPlan, activities.MerchantInput{Merchant: "acme"})
	require.NotEmpty(t, plan.Lanes[0].Stopped)
	require.NotEmpty(t, plan.Lanes[1].Stopped)
	require.Empty(t, w.found())
}
