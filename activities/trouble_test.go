package activities_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

func TestRefusedKeysStopTheConnection(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Error401, Count: 1})
	w.submit()
	w.want(number, relay.OrderNew)
	stopped := func() string {
		plan := do[activities.Plan](w, w.acts.LoadPlan, activities.MerchantInput{Merchant: "acme"})
		return plan.Lanes[1].Stopped
	}
	require.Contains(t, stopped(), "unauthorised")
	require.Equal(t, activities.SubmitResult{Stopped: true}, w.submit())
	require.Equal(t, activities.PullShipmentsResult{Stopped: true}, w.pullShipments())
	require.Equal(t, activities.PullInventoryResult{Stopped: true}, do[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob()))
	require.Empty(t, w.books())
	require.NoError(t, w.ledger.ResumeConnections(t.Context(), "acme", "depot"))
	require.Empty(t, stopped())
	w.exec(`update orders set retry_at = null`)
	require.Equal(t, 1, w.submit().Accepted)

	require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.Unauthorised, Route: "*", Count: 1}))
	require.True(t, w.pull().Stopped)
	require.True(t, w.pull().Stopped)
	require.Equal(t, activities.PushResult{Stopped: true}, w.pushShipments())
	require.Equal(t, activities.PushResult{Stopped: true}, do[activities.PushResult](w, w.acts.PushInventory, shopJob()))
}

func TestThrottled(t *testing.T) {
	w := newWorld(t, setup{Options: activities.Options{Retries: 1}})
	number := w.sell()
	w.pull()
	for range 3 {
		w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Error429, RetryAfter: 30})
		got := w.submit()
		require.Equal(t, 1, got.Unsent)
		require.WithinDuration(t, time.Now().Add(30*time.Second), got.Next, 20*time.Second)
		w.want(number, relay.OrderNew)
		w.exec(`update orders set retry_at = null`)
	}
	require.Equal(t, 1, w.submit().Accepted, "however often: nobody's fault")
}

func TestWarehouseDown(t *testing.T) {
	w := newWorld(t, setup{Options: activities.Options{Retries: 2, Retry: time.Millisecond}})
	number := w.sell()
	w.pull()
	up := w.urls.depot
	w.urls.depot = "http://127.0.0.1:1/fulfillment/vendor/v2" // nobody listens there
	w.onboard(nil, nil)
	got := w.submit()
	require.Equal(t, 1, got.Unsent)
	require.False(t, got.Next.IsZero())
	w.want(number, relay.OrderNew)
	d := w.submitUntil(number, relay.OrderHeld)
	require.Equal(t, relay.HoldWarehouseUnreachable, d.Hold.Reason)
	require.Len(t, d.Submissions, 3, "the first and two more")
	w.urls.depot = up
	w.onboard(nil, nil)
	resend := activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "nightly resend"}
	require.Equal(t, 1, do[activities.SubmitResult](w, w.acts.ResendHeld, resend).Accepted)
	require.Len(t, w.books(), 1)
}

func TestAFailedReadIsRetried(t *testing.T) {
	w := newWorld(t, setup{})
	w.sell()
	require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.Fail503, Route: "*"}))
	_, err := try[activities.PullOrdersResult](w, w.acts.PullOrders, shopJob())
	kind, retried := kindOf(t, err)
	require.Equal(t, string(relay.Unavailable), kind)
	require.True(t, retried)
	w.shop.ClearFaults()
	require.Equal(t, 1, w.pull().New)
}

func TestWhatIsNotThere(t *testing.T) {
	w := newWorld(t, setup{})
	for name, run := range map[string]func() error{
		"merchant": func() error {
			_, err := try[activities.Plan](w, w.acts.LoadPlan, activities.MerchantInput{Merchant: "nobody"})
			return err
		},
		"connection": func() error {
			_, err := try[activities.SubmitResult](w, w.acts.SubmitOrders, activities.JobInput{Merchant: "acme", Connection: "nowhere"})
			return err
		},
		"order": func() error {
			_, err := try[activities.CancelOutcome](w, w.acts.CancelOrder, activities.CancelInput{Merchant: "acme", Reference: "X"})
			return err
		},
		"hold": func() error {
			_, err := try[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: 99})
			return err
		},
	} {
		kind, retried := kindOf(t, run())
		require.Equal(t, activities.ErrorMissing, kind, name)
		require.False(t, retried, name)
	}
	_, err := try[activities.SubmitResult](w, w.acts.SubmitOrders, shopJob())
	kind, retried := kindOf(t, err)
	require.Equal(t, string(relay.Invalid), kind)
	require.False(t, retried)
}

// What becomes of every kind of error on its way to Temporal.
func TestErrors(t *testing.T) {
	w := newWorld(t, setup{})
	var now error
	w.env.RegisterActivityWithOptions(func(context.Context) error { return now }, activity.RegisterOptions{Name: "fail"})
	private := fmt.Sprint(buyerFirst, " ", buyerStreet, " ", buyerEmail)
	for _, c := range []struct {
		err     error
		kind    string
		retried bool
	}{
		{&relay.Error{Kind: relay.Invalid, Words: private}, "invalid", false},
		{&relay.Error{Kind: relay.NotFound, Words: private}, "not found", false},
		{&relay.Error{Kind: relay.Rejected, Words: private, Fields: []relay.Problem{{Field: "ship_to.zip", Message: private}}}, "rejected", false},
		{&relay.Error{Kind: relay.Conflict, Words: private}, "conflict", false},
		{&relay.Error{Kind: relay.Unauthorised, Words: private}, "unauthorised", false},
		{&relay.Error{Kind: relay.Throttled, After: 90 * time.Second, Words: private}, "throttled", true},
		{&relay.Error{Kind: relay.Unavailable, Words: private}, "unavailable", true},
		{fmt.Errorf("pull: %w", &relay.Error{Kind: relay.Unknown, Words: private}), "unknown outcome", true},
		{fmt.Errorf("order 7: %w", store.ErrNotFound), activities.ErrorMissing, false},
		{fmt.Errorf("odd"), activities.ErrorDatabase, true},
	} {
		now = c.err
		_, err := try[struct{}](w, "fail", nil)
		kind, retried := kindOf(t, err)
		require.Equal(t, c.kind, kind)
		require.Equal(t, c.retried, retried, kind)
		require.NotContains(t, err.Error(), buyerFirst)
	}
}

// The database quotes rows in its errors; they go no further.
func TestDatabaseErrorsQuoteNoRow(t *testing.T) {
	w := newWorld(t, setup{})
	w.sell()
	w.exec(`alter table orders add constraint no_addresses check (ship_to ->> 'name' is null)`)
	_, err := try[activities.PullOrdersResult](w, w.acts.PullOrders, shopJob())
	kind, retried := kindOf(t, err)
	require.Equal(t, activities.ErrorDatabase, kind)
	require.True(t, retried)
	require.Contains(t, err.Error(), "SQLSTATE 23514 no_addresses")
	w.exec(`alter table orders drop constraint no_addresses`)
	require.Equal(t, 1, w.pull().New)
}

// A vendor that quotes the buyer and our key in everything it says is quoted nowhere but in the ledger.
func TestVendorsWordsStayInTheLedger(t *testing.T) {
	private := fmt.Sprintf("%s %s of %s, %s %s with key %s and %s", buyerFirst, buyerLast, buyerStreet, buyerEmail, buyerPhone, depotKey, shopToken)
	for name, c := range map[string]struct {
		status int
		body   string
		end    relay.OrderState
	}{
		"refused":   {422, `{"errors":{"code":"ORDER.ADDRESS.INVALID","message":"no such ADDRESS: ` + private + `","errors":[{"field":"destination","message":"` + private + `"}]}}`, relay.OrderHeld},
		"unclear":   {500, private, relay.OrderInDoubt},
		"throttled": {429, private, relay.OrderNew},
		"not json":  {201, `{"id": "` + private, relay.OrderInDoubt},
		"key":       {401, `{"error":"` + private + `"}`, relay.OrderNew},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			number := w.sell()
			w.pull()
			rude := func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					rw.WriteHeader(c.status)
					_, _ = rw.Write([]byte(c.body))
				} else {
					rw.WriteHeader(http.StatusBadRequest)
					_, _ = rw.Write([]byte(private))
				}
				return true
			}
			w.wrap.Store(&rude)
			w.wrapShop.Store(&rude)
			w.submit()
			d := w.want(number, c.end)
			if d.Hold != nil {
				require.Contains(t, d.Hold.Words, buyerLast, "the ledger has them")
				view := do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: d.ID, Key: "k", Now: time.Now()})
				require.NotContains(t, view.Headline, buyerLast)
			}
			_, _ = try[activities.SubmitResult](w, w.acts.SubmitOrders, depotJob())
			_, _ = try[activities.PullShipmentsResult](w, w.acts.PullShipments, activities.PullShipmentsInput{JobInput: depotJob()})
			_, _ = try[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob())
			_, _ = try[activities.PullOrdersResult](w, w.acts.PullOrders, shopJob())
			_, _ = try[activities.CancelOutcome](w, w.acts.CancelOrder, activities.CancelInput{Merchant: "acme", Reference: d.Reference, Actor: "a"})
			for _, e := range history(w, d.ID) {
				for _, s := range secrets() {
					require.NotContains(t, strings.ToLower(e), strings.ToLower(s))
				}
			}
		})
	}
}

func history(w *world, id relay.OrderID) (list []string) {
	events, err := w.ledger.History(w.t.Context(), id)
	require.NoError(w.t, err)
	for _, e := range events {
		list = append(list, string(e.Kind)+" "+string(e.Detail))
	}
	return list
}

func TestCancels(t *testing.T) {
	t.Run("before it is sent", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		got := w.cancel(number)
		require.Equal(t, "stopped_before_sending", got.Result)
		require.Equal(t, "already_cancelled", w.cancel(number).Result)
		require.Equal(t, activities.SubmitResult{Carts: []relay.ConnectionName{"shop"}}, w.submit(), "nothing but to tell the cart")
		require.Empty(t, w.books())
	})
	t.Run("before it is picked", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.submit()
		got := w.cancel(number)
		require.Equal(t, "cancelled", got.Result, got.Answer)
		w.want(number, relay.OrderCancelled)
		require.Empty(t, w.books())
		require.Equal(t, "already_cancelled", w.cancel(number).Result)
	})
	t.Run("after it is picked", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.submit()
		id := string(w.order(number).WarehouseOrderID)
		require.NoError(t, w.depot.Step(id))
		got := w.cancel(number)
		require.NotEqual(t, "cancelled", got.Result, got.Answer)
		require.NoError(t, w.depot.Ship(id))
		w.pullShipments()
		w.want(number, relay.OrderShipped)
		got = w.cancel(number)
		require.Equal(t, "too_late", got.Result)
		require.Contains(t, got.Answer, "shipped")
	})
	t.Run("of a held one", func(t *testing.T) {
		w := newWorld(t, setup{aliases: []relay.Alias{}})
		number := w.sell()
		w.pull()
		w.submit()
		got := w.cancel(number)
		require.Equal(t, "stopped_before_sending", got.Result)
		require.True(t, got.WasHeld)
	})
	t.Run("while the warehouse is deaf", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.submit()
		w.inject(depotsim.Fault{Route: "delete_order", Kind: depotsim.Error503, Count: 1})
		w.inject(depotsim.Fault{Route: "get_order", Kind: depotsim.Error503, Count: 10})
		require.Equal(t, "pending", w.cancel(number).Result)
		w.want(number, relay.OrderCancelRequested)
		w.depot.ClearFaults()
		w.exec(`update orders set cancel_next_at = now()`)
		require.Equal(t, 1, w.submit().Cancelled)
		w.want(number, relay.OrderCancelled)
	})
	t.Run("while the connection is stopped", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.submit()
		m, err := w.ledger.Merchant(t.Context(), "acme")
		require.NoError(t, err)
		require.NoError(t, w.ledger.StopConnection(t.Context(), m.StoredWarehouse().ID, m.SettingsVersion, "key"))
		got := w.cancel(number)
		require.Equal(t, "pending", got.Result)
		require.Contains(t, got.Answer, "stopped")
	})
}

func TestVoidAtTheCart(t *testing.T) {
	t.Run("before it is sent", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		require.NoError(t, w.shop.Void("acme", number))
		require.Equal(t, 1, w.pull().Cancelled)
		w.want(number, relay.OrderSendingCancelled)
		require.Zero(t, w.pull().Cancelled, "heard once")
	})
	t.Run("of a held one", func(t *testing.T) {
		w := newWorld(t, setup{aliases: []relay.Alias{}})
		number := w.sell()
		w.pull()
		w.submit()
		d := w.want(number, relay.OrderHeld)
		require.NoError(t, w.shop.Void("acme", number))
		require.Equal(t, []relay.Reference{d.Reference}, w.pull().Woken)
		w.want(number, relay.OrderSendingCancelled)
	})
	t.Run("after it is sent", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.submit()
		require.NoError(t, w.shop.Void("acme", number))
		require.Equal(t, 1, w.pull().Cancelled)
		w.want(number, relay.OrderCancelRequested)
		require.Equal(t, 1, w.submit().Cancelled)
		w.want(number, relay.OrderCancelled)
		require.Empty(t, w.books())
		require.Zero(t, w.pull().Cancelled)
	})
	t.Run("after it has shipped", func(t *testing.T) {
		w := newWorld(t, setup{})
		number := w.sell()
		w.pull()
		w.submit()
		require.NoError(t, w.depot.Ship(string(w.order(number).WarehouseOrderID)))
		w.pullShipments()
		require.NoError(t, w.shop.Void("acme", number))
		require.Equal(t, 1, w.pull().Cancelled)
		kinds := w.kinds(number)
		require.Contains(t, kinds, store.EventCancelTooLate)
		w.pull()
		require.Equal(t, kinds, w.kinds(number), "said once, not at every poll")
	})
}

func TestChangedAtTheCart(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	other := shopsim.Address{FirstName: buyerFirst, LastName: buyerLast, Line1: "1 " + buyerStreet, City: "Springfield", State: "IL", Zip: "62701", CountryCode: "US", Email: buyerEmail}
	require.NoError(t, w.shop.ChangeAddress("acme", number, other))
	w.until(func() bool { return strings.HasPrefix(w.order(number).ShipTo.Street1, "1 ") }, func() { w.pull() })
	require.Equal(t, 1, w.submit().Accepted)
	other.Line1 = "2 " + buyerStreet
	require.NoError(t, w.shop.ChangeAddress("acme", number, other))
	w.until(func() bool { return strings.Contains(fmt.Sprint(w.kinds(number)), string(store.EventChangedTooLate)) }, func() { w.pull() })
	require.Zero(t, w.pull().TooLate, "an alarm once")
}

func TestCheckConnection(t *testing.T) {
	w := newWorld(t, setup{})
	for _, job := range []activities.JobInput{shopJob(), depotJob()} {
		do[any](w, w.acts.CheckConnection, job)
	}
	w.inject(depotsim.Fault{Route: "*", Kind: depotsim.Error401, Count: 1})
	_, err := try[any](w, w.acts.CheckConnection, depotJob())
	kind, _ := kindOf(t, err)
	require.Equal(t, string(relay.Unauthorised), kind)
}
