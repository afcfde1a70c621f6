package activities_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

// rule onboards the merchant again, with rules for its cart.
func (w *world) rule(r relay.Rules) {
	w.t.Helper()
	m, err := w.ledger.Merchant(w.t.Context(), "acme")
	require.NoError(w.t, err)
	m.Carts[0].Rules = r
	_, err = w.ledger.SaveMerchant(w.t.Context(), m.Merchant, map[relay.ConnectionName]map[string]string{
		"shop": {"access_token": shopToken}, "depot": {"production_key": depotKey},
	})
	require.NoError(w.t, err)
}

func (w *world) filter(f relay.Filter) {
	w.t.Helper()
	w.rule(relay.Rules{Filter: f})
}

// sellTo places an order with tags, to a country as the shop writes it.
func (w *world) sellTo(country, code string, tags ...string) string {
	w.t.Helper()
	w.sold++
	number := "SO-T" + string(rune('A'+w.sold))
	_, err := w.shop.AddOrder("acme", shopsim.NewOrder{Number: number, Tags: tags, Lines: []shopsim.NewLine{{SKU: "TOTE", Quantity: "1"}}, Address: shopsim.Address{
		FirstName: buyerFirst, LastName: buyerLast, Line1: buyerStreet, City: "Springfield", State: "IL", Zip: "62701", Country: country, CountryCode: code,
	}})
	require.NoError(w.t, err)
	return number
}

func TestAFilteredOrderIsNotSentUntilTheFilterLetsItGo(t *testing.T) {
	w := newWorld(t, setup{})
	w.filter(relay.Filter{Tags: []string{"vip"}})
	vip, other := w.sellTo("United States", "US", "VIP"), w.sellTo("United States", "US", "b2b")
	require.Equal(t, activities.PullOrdersResult{New: 1, Skipped: 1}, w.pull())
	require.Equal(t, activities.SubmitResult{Accepted: 1}, w.submit())
	require.Equal(t, activities.PullOrdersResult{}, w.pull(), "the same again")
	w.want(vip, relay.OrderAtWarehouse)
	require.Equal(t, "no tag vip", w.want(other, relay.OrderSkipped).SkipReason)

	w.filter(relay.Filter{NotTags: []string{"vip"}})
	require.Equal(t, activities.PullOrdersResult{Changed: 1, Unskipped: 1}, w.pull())
	w.want(vip, relay.OrderAtWarehouse)
	require.Equal(t, activities.SubmitResult{Accepted: 1}, w.submit())
	w.want(other, relay.OrderAtWarehouse)
	require.Len(t, w.books(), 2)
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSkipped, store.EventUnskipped, store.EventSubmitting, store.EventAccepted}, w.kinds(other)[:5])
}

// A country goes by its code, also where the shop has its name only.
func TestTheFilterKnowsCountriesByName(t *testing.T) {
	w := newWorld(t, setup{})
	w.filter(relay.Filter{NotCountries: []string{"DE"}})
	german, swiss := w.sellTo("Deutschland", ""), w.sellTo("Switzerland", "")
	require.Equal(t, activities.PullOrdersResult{New: 1, Skipped: 1}, w.pull())
	require.Equal(t, "country DE is left out", w.want(german, relay.OrderSkipped).SkipReason)
	w.want(swiss, relay.OrderNew)
}

// An order that was left out for long was often shipped, or cancelled, in
// another way: the cart is asked before it is let go.
func TestWhatWasShippedElsewhereMeanwhileIsNotSent(t *testing.T) {
	w := newWorld(t, setup{})
	w.filter(relay.Filter{Tags: []string{"ours"}})
	elsewhere, void, wanted := w.sellTo("United States", "US"), w.sellTo("United States", "US"), w.sellTo("United States", "US")
	require.Equal(t, 3, w.pull().Skipped)
	require.NoError(t, w.shop.ShipByHand("acme", elsewhere, "1Z-by-hand"))
	require.NoError(t, w.shop.Void("acme", void))

	w.filter(relay.Filter{})
	r := w.pull()
	require.Equal(t, 1, r.Unskipped)
	w.want(elsewhere, relay.OrderSendingCancelled)
	w.want(void, relay.OrderSendingCancelled)
	require.Equal(t, activities.SubmitResult{Accepted: 1}, w.submit())
	w.want(wanted, relay.OrderAtWarehouse)
	require.Len(t, w.books(), 1)
}

// An order that the merchant unlocked must not be sent by the next resend. It goes by
// itself when the cart has it ready again.
func TestAnOrderThatIsNotReadyAnyMoreWaitsForItsCart(t *testing.T) {
	w := newWorld(t, setup{})
	require.NoError(t, w.depot.SetStock(toteCode, "EAST", 0))
	onHold := w.sellTo("United States", "US")
	require.Equal(t, 1, w.pull().New)
	require.Equal(t, 1, w.submit().Held)
	require.NoError(t, w.depot.SetStock(toteCode, "EAST", 100))
	waiting := w.sellTo("United States", "US")
	require.Equal(t, 1, w.pull().New)
	require.NoError(t, w.shop.Revert("acme", onHold))
	require.NoError(t, w.shop.Revert("acme", waiting))

	r := w.pull()
	require.Equal(t, 2, r.Skipped)
	require.Equal(t, []relay.Reference{w.order(onHold).Reference}, r.Woken)
	require.Equal(t, activities.PullOrdersResult{}, w.pull(), "the same again")
	w.filter(relay.Filter{NotTags: []string{"theirs"}})
	require.Zero(t, w.pull().Unskipped, "no filter lets it go")
	require.Zero(t, w.submit())
	require.Empty(t, w.books())
	for _, number := range []string{onHold, waiting} {
		require.Equal(t, "not ready at the cart any more: status active", w.want(number, relay.OrderSkipped).SkipReason)
		require.NoError(t, w.shop.Finalize("acme", number))
	}
	require.Equal(t, 2, w.pull().Unskipped)
	require.Equal(t, 2, w.submit().Accepted)
	require.Len(t, w.books(), 2)
}

// The filter is applied at the last moment, too: no order slips through between
// the onboarding and the next pull.
func TestAClaimGoesByThePresentFilter(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sellTo("United States", "US")
	require.Equal(t, 1, w.pull().New)
	w.filter(relay.Filter{Countries: []string{"CA"}})
	require.Equal(t, activities.SubmitResult{}, w.submit())
	require.Equal(t, "country US, not CA", w.want(number, relay.OrderSkipped).SkipReason)
	require.Empty(t, w.books())
	require.Equal(t, activities.PullOrdersResult{}, w.pull(), "it is judged the same")
}

func TestAHeldOrderThatTheFilterLeavesOut(t *testing.T) {
	w := newWorld(t, setup{})
	hold := func() store.OrderDetail {
		require.NoError(t, w.depot.SetStock(toteCode, "EAST", 0))
		number := w.sellTo("United States", "US")
		w.pull()
		require.Equal(t, 1, w.submit().Held)
		return w.want(number, relay.OrderHeld)
	}
	first := hold()
	w.filter(relay.Filter{Countries: []string{"CA"}})
	r := w.pull()
	require.Equal(t, 1, r.Skipped)
	require.Equal(t, []relay.Reference{first.Reference}, r.Woken)
	view := do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: first.ID, Key: "k"})
	require.Equal(t, relay.OrderSkipped, view.State)

	// At its resend, where no pull came before.
	w.filter(relay.Filter{})
	w.pull()
	w.submit()
	require.Equal(t, relay.OrderHeld, w.order(first.Number).State)
	w.filter(relay.Filter{Countries: []string{"CA"}})
	require.NoError(t, w.depot.SetStock(toteCode, "EAST", 10))
	require.Equal(t, activities.SubmitResult{}, do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: first.ID, Actor: "nightly resend"}))
	w.want(first.Number, relay.OrderSkipped)
	require.Empty(t, w.books())
}

// Each hold that a filter ends is told; so a run stops where there are many.
func TestAFilterGoesOnOverRuns(t *testing.T) {
	w := newWorld(t, setup{})
	w.sell()
	w.pull()
	w.exec(`insert into orders (merchant_id, cart_id, external_id, number, reference, state, placed_at, cart_updated_at, digest, ship_to, ship_method, traits, hold_reason, held_at)
		select merchant_id, cart_id, 1000000 + n, 'X-' || n, 'X-' || n, 'held', placed_at, cart_updated_at, digest, ship_to, '', traits, 'rejected', now()
		from generate_series(1, 450) n, (select * from orders limit 1) o`)
	w.exec(`update orders set state = 'sending_cancelled' where state = 'new'`)
	w.filter(relay.Filter{Statuses: []string{"paid"}})
	skipped, runs := 0, 0
	for more := true; more; runs++ {
		r := w.pull()
		require.LessOrEqual(t, len(r.Woken), 200)
		skipped, more = skipped+r.Skipped, r.More
	}
	require.Equal(t, 450, skipped)
	require.Equal(t, 4, runs)
}

// Orders come in though the cart does not say whether the skipped ones are
// wanted; and these wait until it does.
func TestACartThatCannotBeAskedKeepsNoNewOrderWaiting(t *testing.T) {
	w := newWorld(t, setup{})
	w.filter(relay.Filter{Tags: []string{"vip"}})
	old := w.sellTo("United States", "US")
	w.pull()
	w.filter(relay.Filter{})
	fresh := w.sellTo("United States", "US")
	broken := func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/orders") || r.URL.Query().Get("ids[]") == "" {
			return false
		}
		http.Error(rw, "not now", http.StatusServiceUnavailable)
		return true
	}
	w.wrapShop.Store(&broken)
	_, err := try[activities.PullOrdersResult](w, w.acts.PullOrders, shopJob())
	require.Error(t, err)
	w.want(fresh, relay.OrderNew)
	w.want(old, relay.OrderSkipped)
	w.wrapShop.Store(nil)
	require.Equal(t, 1, w.pull().Unskipped)
	w.want(old, relay.OrderNew)
}

// The cart hears the carrier's name that it accepts; and the parcel stays the
// same parcel when the name is changed.
func TestCarriersOnTheWayBack(t *testing.T) {
	w := newWorld(t, setup{})
	w.rule(relay.Rules{Carriers: map[string]string{"ups": "United Parcel Service"}})
	number := w.sell()
	w.pull()
	w.submit()
	id := string(w.order(number).WarehouseOrderID)
	require.NoError(t, w.depot.Ship(id, depotsim.Package{Carrier: "UPS", TrackingCode: "1Z999", Items: map[string]int64{toteCode: 2}}))
	require.NoError(t, w.depot.Ship(id, depotsim.Package{Carrier: "FedEx", TrackingCode: "7999", Items: map[string]int64{mugCode: 1}}))
	w.pullShipments()
	require.Equal(t, 1, w.pushShipments().Confirmed)
	cart, err := w.shop.Order("acme", number)
	require.NoError(t, err)
	told := map[string]string{}
	for _, f := range cart.Fulfillments {
		told[f.TrackingNumber] = f.Carrier
	}
	require.Equal(t, map[string]string{"1Z999": "United Parcel Service", "7999": "FedEx"}, told)

	// Told again under another name, as after a lost answer and an onboarding: it is there already.
	w.rule(relay.Rules{Carriers: map[string]string{"UPS": "UPS Ground"}})
	w.exec(`update shipments set state = 'ready', told_at = null where state = 'told'`)
	w.exec(`update orders set state = 'shipped' where state = 'confirmed'`)
	w.pushShipments()
	again, err := w.shop.Order("acme", number)
	require.NoError(t, err)
	require.Len(t, again.Fulfillments, len(cart.Fulfillments))
}

// A skipped order is in the ledger: comparing books finds nothing of it, and
// takes one in that was missed as what the filter says it is.
func TestComparingBooksKnowsSkippedOrders(t *testing.T) {
	w := newWorld(t, setup{clock: longAgo})
	w.filter(relay.Filter{Tags: []string{"vip"}})
	skipped := w.sellTo("United States", "US")
	w.pull()
	w.reconcileShop()
	require.Empty(t, w.found())
	missed := w.sellTo("United States", "US")
	w.reconcileShop()
	require.Equal(t, []string{"unknown_order " + missed + " mended"}, w.found())
	w.want(skipped, relay.OrderSkipped)
	w.want(missed, relay.OrderSkipped)
	require.Equal(t, activities.SubmitResult{}, w.submit())
	w.reconcileDepot()
	require.Len(t, w.found(), 1)
}
