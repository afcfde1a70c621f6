package activities_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

func mugs(n int) []shopsim.NewLine {
	return []shopsim.NewLine{{SKU: "MUG", Quantity: fmt.Sprint(n)}}
}

// shortOfMugs sells orders of so many mugs each, and has them refused: there are none.
func (w *world) shortOfMugs(orders ...int) (numbers []string) {
	w.t.Helper()
	require.NoError(w.t, w.depot.SetStock(mugCode, "EAST", 0))
	for _, n := range orders {
		numbers = append(numbers, w.sell(mugs(n)...))
	}
	w.pull()
	require.Equal(w.t, len(orders), w.submit().Held)
	for _, number := range numbers {
		require.Equal(w.t, relay.HoldInsufficientInventory, w.want(number, relay.OrderHeld).Hold.Reason)
	}
	return numbers
}

func (w *world) pullInventory() activities.PullInventoryResult {
	w.t.Helper()
	return do[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob())
}

func TestStockThatComesLetsOrdersGo(t *testing.T) {
	w := newWorld(t, setup{})
	numbers := w.shortOfMugs(2, 3, 1)
	require.Zero(t, w.pullInventory().Released)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 4))
	got := w.pullInventory()
	require.Equal(t, 2, got.Released, "the second wants more than is left")
	require.Equal(t, []relay.Reference{w.order(numbers[0]).Reference, w.order(numbers[2]).Reference}, got.Woken)
	require.Zero(t, w.pullInventory().Released)
	require.Equal(t, 2, w.submit().Accepted)
	w.want(numbers[1], relay.OrderHeld)

	// The figure may leave out what was just accepted, or not yet: nothing is promised twice.
	require.Zero(t, w.pullInventory().Released)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 30))
	require.Equal(t, 1, w.pullInventory().Released)
	require.Equal(t, 1, w.submit().Accepted)
}

func TestNothingGoesWhileTheMerchantIsPaused(t *testing.T) {
	w := newWorld(t, setup{})
	w.shortOfMugs(1)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 4))
	pause := func(paused bool) {
		do[struct{}](w, w.acts.SetPaused, activities.PauseInput{Merchant: "acme", Paused: paused})
	}
	pause(true)
	require.Zero(t, w.pullInventory().Released)
	pause(false)
	require.Equal(t, 1, w.pullInventory().Released)
}

// A figure that could not be read this time is of some earlier time.
func TestAReadingInPartLetsNothingGo(t *testing.T) {
	w := newWorld(t, setup{})
	w.shortOfMugs(1)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 4))
	garble := func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "inventories") {
			return false
		}
		answer := httptest.NewRecorder()
		w.depot.Handler().ServeHTTP(answer, r)
		_, _ = io.WriteString(rw, strings.Replace(answer.Body.String(), `"quantity":1000`, `"quantity":"many"`, 1))
		return true
	}
	w.wrap.Store(&garble)
	got := w.pullInventory()
	require.Positive(t, got.Levels)
	require.Zero(t, got.Released)
	w.wrap.Store(nil)
	require.Equal(t, 1, w.pullInventory().Released)
}

// However many go, only so many references enter Temporal.
func TestManyOrdersThatStockCovers(t *testing.T) {
	w := newWorld(t, setup{})
	m, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	cart, _ := m.Connection("shop")
	const many = 1100
	var orders []relay.CartOrder
	for n := range many {
		orders = append(orders, relay.CartOrder{
			ExternalID: relay.ExternalID(fmt.Sprint(n)), Number: fmt.Sprint("N", n), PlacedAt: time.Now(), UpdatedAt: time.Now(),
			Lines: []relay.Line{{ID: "1", SKU: "MUG", Quantity: relay.Units(1)}},
		})
	}
	_, err = w.ledger.TakeIn(t.Context(), cart, orders, "orders", "x", "test")
	require.NoError(t, err)
	w.exec(`update orders set state = 'held', hold_reason = 'insufficient_inventory', held_at = now(), first_held_at = now()`)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 5000))
	got := w.pullInventory()
	require.Equal(t, many, got.Released)
	require.Len(t, got.Woken, 200)
	require.Equal(t, relay.Reference("N0"), got.Woken[0])
}

// What is foretold of the next resend is what happens at it.
func TestTheForecastComesTrue(t *testing.T) {
	w := newWorld(t, setup{})
	require.NoError(t, w.depot.SetStock(toteCode, "EAST", 0))
	var numbers []string
	for i := range 9 {
		numbers = append(numbers, w.sell(shopsim.NewLine{SKU: "MUG", Quantity: fmt.Sprint(1 + i%3)}, shopsim.NewLine{SKU: "TOTE", Quantity: fmt.Sprint(1 + i%2)}))
	}
	unknown := w.sell(shopsim.NewLine{SKU: "TOTE", Quantity: "1"})
	w.pull()
	require.Equal(t, 10, w.submit().Held)
	w.exec(`update orders set hold_reason = 'operator' where number = $1`, unknown)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 9))
	require.NoError(t, w.depot.SetStock(toteCode, "EAST", 7))
	// The stock is known, and no order goes early: each was just refused.
	w.exec(`update orders set held_at = now() + interval '1 hour' where state = 'held'`)
	require.Zero(t, w.pullInventory().Released)

	m, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	list, err := w.ledger.Forecast(t.Context(), m, relay.NewMappings([]relay.Alias{{SKU: "TOTE", Code: toteCode}, {SKU: "MUG", Code: mugCode}}, nil),
		time.Now(), func(r relay.Reference) string { return "hold/acme/" + string(r) })
	require.NoError(t, err)
	require.Len(t, list, len(numbers))
	accepted := 0
	for _, f := range list {
		got := do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: f.Order, Actor: "nightly resend"})
		require.Equal(t, len(f.Short) == 0, got.Accepted == 1, "%s: %v, but %+v", f.Reference, f.Short, got)
		accepted += got.Accepted
	}
	require.Positive(t, accepted)
	require.Less(t, accepted, len(list))
	w.want(unknown, relay.OrderHeld)
}

// refuseOrders has the warehouse refuse every order with this code.
func (w *world) refuseOrders(code string) {
	refuse := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		rw.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = fmt.Fprintf(rw, `{"errors":{"code":%q,"message":"no, not to %s of %s, Springfield; call %s"}}`, code, buyerLast, buyerStreet, buyerPhone)
		return true
	}
	w.wrap.Store(&refuse)
}

// New settings let those orders go that would be another request now, and only those.
func TestRecheckOfWhatTheWarehouseRefused(t *testing.T) {
	recheck := activities.RecheckInput{Merchant: "acme"}
	alias := func(w *world, sku relay.SKU, code relay.ItemCode) {
		_, err := w.ledger.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: sku, Code: code}}, false, "clerk")
		require.NoError(t, err)
	}
	service := func(w *world) { w.onboard(nil, map[string]string{"service": "express"}) }
	for name, c := range map[string]struct {
		code   string
		reason relay.HoldReason
		change func(*world)
		goes   bool
	}{
		"address, nothing new":      {"ADDRESS.INVALID", relay.HoldBadAddress, func(w *world) { w.onboard(nil, nil) }, false},
		"address, another service":  {"ADDRESS.INVALID", relay.HoldBadAddress, service, true},
		"rejected, nothing new":     {"COMPUTER.SAYS.NO", relay.HoldRejected, func(w *world) { w.onboard(nil, nil) }, false},
		"rejected, another service": {"COMPUTER.SAYS.NO", relay.HoldRejected, service, true},
		"service":                   {"SERVICE.UNKNOWN", relay.HoldUnmappedShipMethod, service, true},
		"item, another alias":       {"PRODUCT.UNKNOWN", relay.HoldUnknownItem, func(w *world) { alias(w, "MUG", "0700000000099") }, true},
		"item, an alias of others":  {"PRODUCT.UNKNOWN", relay.HoldUnknownItem, func(w *world) { alias(w, "HAT", "0700000000099") }, false},
		"stock, another alias":      {"NO.STOCK", relay.HoldInsufficientInventory, func(w *world) { alias(w, "MUG", "0700000000099") }, true},
		"stock, an alias of others": {"NO.STOCK", relay.HoldInsufficientInventory, func(w *world) { alias(w, "HAT", "0700000000099") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.refuseOrders(c.code)
			number := w.sell(mugs(1)...)
			w.pull()
			require.Equal(t, 1, w.submit().Held)
			d := w.want(number, relay.OrderHeld)
			require.Equal(t, c.reason, d.Hold.Reason)
			require.Zero(t, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck).Released)
			c.change(w)
			got := do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck)
			if !c.goes {
				require.Zero(t, got)
				w.want(number, relay.OrderHeld)
				return
			}
			require.Equal(t, []relay.Reference{d.Reference}, got.References)
			require.Equal(t, 1, w.submit().Held, "it is refused again")
			require.Zero(t, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck).Released, "once a change")
		})
	}
}

// What our own checks refused goes as soon as it passes them, and no sooner.
func TestRecheckOfWhatOurChecksRefused(t *testing.T) {
	w := newWorld(t, setup{aliases: []relay.Alias{{SKU: "TOTE", Code: toteCode}}})
	_, err := w.shop.AddOrder("acme", shopsim.NewOrder{Number: "NOWHERE", Lines: mugs(1), Address: shopsim.Address{
		FirstName: buyerFirst, LastName: buyerLast, City: "Springfield", State: "IL", Zip: "62701", CountryCode: "US"}})
	require.NoError(t, err)
	number := w.sell()
	w.pull()
	require.Equal(t, 2, w.submit().Held)
	_, err = w.ledger.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "MUG", Code: mugCode}}, false, "clerk")
	require.NoError(t, err)
	got := do[activities.RecheckOutcome](w, w.acts.RecheckHolds, activities.RecheckInput{Merchant: "acme"})
	require.Equal(t, []relay.Reference{w.order(number).Reference}, got.References, "the other has no street")
	last := w.want("NOWHERE", relay.OrderHeld)
	require.Empty(t, last.Submissions)
}

// Promise 6: what is shown of the warehouse's words has nothing of the buyer in it.
func TestTheWarehousesWordsAreShownScrubbed(t *testing.T) {
	for code, want := range map[string]string{
		"COMPUTER.SAYS.NO": `{"errors":{"code":"COMPUTER.SAYS.NO","message":"no, not to … of …; call …"}}`,
		"ADDRESS.INVALID":  "",
	} {
		t.Run(code, func(t *testing.T) {
			w := newWorld(t, setup{})
			w.refuseOrders(code)
			number := w.sell()
			w.pull()
			w.submit()
			d := w.want(number, relay.OrderHeld)
			require.Contains(t, d.Hold.Words, buyerLast, "the ledger has them")
			view := do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: d.ID, Key: "k", Now: time.Now()})
			require.Equal(t, want, view.Words)
		})
	}
}

func TestAnUnreachableWarehouseIsTriedSoonerThanAtNight(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.exec(`update orders set state = 'held', hold_reason = 'warehouse_unreachable', held_at = now(), first_held_at = now(), hold_attempts = 1`)
	d := w.order(number)
	at := func(now time.Time) time.Time {
		return do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: d.ID, Key: "k", Now: now}).Resend
	}
	first := at(d.Hold.HeldAt)
	require.True(t, first.After(d.Hold.HeldAt))
	require.False(t, first.After(d.Hold.HeldAt.Add(30*time.Minute)))
	require.True(t, first.Equal(at(d.Hold.HeldAt.Add(time.Second))), "whenever it is asked")
}

func TestCancelHeld(t *testing.T) {
	w := newWorld(t, setup{aliases: []relay.Alias{{SKU: "TOTE", Code: toteCode}}})
	mug, both, tote := w.sell(mugs(1)...), w.sell(shopsim.NewLine{SKU: "MUG", Quantity: "2"}, shopsim.NewLine{SKU: "TOTE", Quantity: "1"}), w.sell(shopsim.NewLine{SKU: "TOTE", Quantity: "1"})
	w.pull()
	w.inject(depotsim.Fault{Route: "create_order", Kind: depotsim.Error503})
	w.submit()
	w.want(tote, relay.OrderInDoubt)
	// A person was called for it: nobody knows whether the warehouse has it.
	sub := w.order(tote)
	w.exec(`update orders set state = 'held', hold_reason = 'unknown_outcome', held_at = now(), first_held_at = now() where id = $1`, sub.ID)

	in := activities.CancelHeldInput{ReleaseInput: activities.ReleaseInput{Merchant: "acme", SKU: "HAT", Actor: "operator clerk"}, Why: "discontinued"}
	require.Zero(t, do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in))
	in.SKU = "MUG"
	got := do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in)
	require.Equal(t, 2, got.Stopped)
	require.ElementsMatch(t, []relay.Reference{w.order(mug).Reference, w.order(both).Reference}, got.References)
	for _, number := range []string{mug, both} {
		w.want(number, relay.OrderSendingCancelled)
	}
	w.want(tote, relay.OrderHeld)

	in.SKU = ""
	got = do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in)
	require.Equal(t, 1, got.Pending)
	require.Zero(t, got.Stopped)
	w.want(tote, relay.OrderInDoubt)
	d := w.submitUntil(tote, relay.OrderSendingCancelled)
	require.NotNil(t, d.CancelAskedAt, "looked for, and surely not there")
	require.Empty(t, w.books())
	require.Zero(t, do[activities.CancelHeldOutcome](w, w.acts.CancelHeld, in))
}

func TestReleaseBySKU(t *testing.T) {
	w := newWorld(t, setup{aliases: []relay.Alias{}})
	mug, tote := w.sell(mugs(1)...), w.sell(shopsim.NewLine{SKU: "TOTE", Quantity: "1"})
	w.pull()
	require.Equal(t, 2, w.submit().Held)
	in := activities.ReleaseInput{Merchant: "acme", SKU: "TOTE", Actor: "operator clerk"}
	require.Equal(t, activities.ReleaseOutcome{Released: 1, References: []relay.Reference{w.order(tote).Reference}},
		do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, in))
	w.want(mug, relay.OrderHeld)
	w.want(tote, relay.OrderNew)
	require.Equal(t, store.EventReleased, w.kinds(tote)[len(w.kinds(tote))-1])
}
