package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	depotsim "orderferry/connectors/easypost/simulator"
	shopsim "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

func TestAnOrderGoesAllTheWay(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	require.Equal(t, activities.PullOrdersResult{New: 1}, w.pull())
	require.Equal(t, activities.PullOrdersResult{}, w.pull(), "the same again")
	require.Equal(t, activities.SubmitResult{Accepted: 1}, w.submit())
	require.Equal(t, activities.SubmitResult{}, w.submit())
	d := w.want(number, relay.OrderAtWarehouse)

	book, ok := w.depot.Order(string(d.WarehouseOrderID))
	require.True(t, ok)
	require.Equal(t, []depotsim.ItemView{{Barcode: toteCode, Units: 2}, {Barcode: mugCode, Units: 1}}, book.Lines)
	require.Equal(t, buyerFirst+" "+buyerLast, book.Name)
	require.Contains(t, book.Description, string(d.Submissions[0].Token))

	require.Equal(t, activities.PullShipmentsResult{Read: 1}, w.pullShipments())
	require.NoError(t, w.depot.Ship(string(d.WarehouseOrderID), depotsim.Package{Carrier: "UPS", TrackingCode: "1Z999"}))
	require.Equal(t, activities.PullShipmentsResult{Read: 1, Packages: 1, Carts: []relay.ConnectionName{"shop"}}, w.pullShipments())
	require.Equal(t, activities.PullShipmentsResult{Carts: []relay.ConnectionName{"shop"}}, w.pullShipments(), "it is still to be told")
	require.Equal(t, activities.PushResult{Done: 1, Confirmed: 1}, w.pushShipments())
	require.Equal(t, activities.PushResult{}, w.pushShipments())
	w.want(number, relay.OrderConfirmed)

	cart, err := w.shop.Order("acme", number)
	require.NoError(t, err)
	require.Len(t, cart.Fulfillments, 1)
	require.Equal(t, "1Z999", cart.Fulfillments[0].TrackingNumber)
	require.Equal(t, "shipped", cart.FulfillmentStatus)
	require.Equal(t, []store.EventKind{
		store.EventSeen, store.EventSubmitting, store.EventAccepted, store.EventWarehouseStatus,
		store.EventPackage, store.EventWarehouseStatus, store.EventTold, store.EventConfirmed,
	}, w.kinds(number))
	require.Equal(t, activities.PullOrdersResult{}, w.pull(), "our own tracking is no change")
}

func TestManyOrders(t *testing.T) {
	w := newWorld(t, setup{})
	for range 60 {
		w.sell()
	}
	require.Equal(t, 60, w.pull().New)
	require.Equal(t, 60, w.submit().Accepted)
	for _, o := range w.books() {
		require.NoError(t, w.depot.Ship(o.ID))
	}
	require.Equal(t, 60, w.pullShipments().Packages)
	require.Equal(t, 60, w.pushShipments().Confirmed)
	list, err := w.ledger.Orders(t.Context(), store.OrderQuery{States: []relay.OrderState{relay.OrderConfirmed}, Limit: 100})
	require.NoError(t, err)
	require.Len(t, list, 60)
}

func TestShortOfStock(t *testing.T) {
	w := newWorld(t, setup{})
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 0))
	number := w.sell()
	w.pull()
	require.Equal(t, activities.SubmitResult{Held: 1, Holds: true}, w.submit())
	d := w.want(number, relay.OrderHeld)
	require.Equal(t, relay.HoldInsufficientInventory, d.Hold.Reason)
	require.Empty(t, w.books())

	holds := do[activities.HoldsOutput](w, w.acts.HoldsToStart, activities.HoldsInput{Merchant: "acme"})
	require.Equal(t, activities.HoldsOutput{Warehouse: "depot", Connector: "easypost", Holds: []store.HeldOrder{{
		Order: d.ID, Reference: d.Reference, Reason: relay.HoldInsufficientInventory}}}, holds)
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	view := do[activities.HoldView](w, w.acts.ViewHold, activities.ViewInput{Order: d.ID, Key: "acme/SO-1", Now: now})
	require.Equal(t, relay.OrderHeld, view.State)
	require.Equal(t, 1, view.Attempts)
	require.True(t, view.Resend.After(now))
	require.Empty(t, do[activities.HoldsOutput](w, w.acts.HoldsToStart, activities.HoldsInput{Merchant: "acme"}).Holds, "its workflow is at work")

	resend := activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "nightly resend"}
	require.Equal(t, activities.SubmitResult{Held: 1}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
	require.Equal(t, 2, w.want(number, relay.OrderHeld).Hold.Attempts)
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 5))
	require.Equal(t, activities.SubmitResult{Accepted: 1}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
	w.want(number, relay.OrderAtWarehouse)
	require.Equal(t, activities.SubmitResult{}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend), "not on hold any more")
	require.Len(t, w.books(), 1)
}

func TestUnknownSKU(t *testing.T) {
	w := newWorld(t, setup{aliases: []relay.Alias{{SKU: "MUG", Code: mugCode}}})
	number := w.sell()
	w.pull()
	require.Equal(t, activities.SubmitResult{Held: 1, Holds: true}, w.submit())
	d := w.want(number, relay.OrderHeld)
	require.Equal(t, "unknown_item: TOTE (line 1)", d.Hold.Headline())

	recheck := activities.RecheckInput{Merchant: "acme"}
	require.Zero(t, do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck))
	_, err := w.ledger.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "TOTE", Code: toteCode}}, false, "clerk")
	require.NoError(t, err)
	got := do[activities.RecheckOutcome](w, w.acts.RecheckHolds, recheck)
	require.Equal(t, 1, got.Released)
	require.Equal(t, []relay.Reference{d.Reference}, got.References)
	require.Equal(t, 1, w.submit().Accepted)
	w.want(number, relay.OrderAtWarehouse)
}

func TestReleaseOrders(t *testing.T) {
	w := newWorld(t, setup{aliases: []relay.Alias{}})
	a, b := w.sell(), w.sell()
	w.pull()
	require.Equal(t, 2, w.submit().Held)
	in := activities.ReleaseInput{Merchant: "acme", Reason: relay.HoldOperator, Actor: "operator clerk"}
	require.Zero(t, do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, in).Released)
	in.References = []relay.Reference{w.order(a).Reference}
	require.Equal(t, 1, do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, in).Released)
	w.want(a, relay.OrderNew)
	w.want(b, relay.OrderHeld)
	in.References, in.Reason = nil, ""
	require.Equal(t, 1, do[activities.ReleaseOutcome](w, w.acts.ReleaseOrders, in).Released)
	w.want(b, relay.OrderNew)
}

func TestSeveralPackages(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	w.submit()
	id := string(w.want(number, relay.OrderAtWarehouse).WarehouseOrderID)
	require.NoError(t, w.depot.Ship(id, depotsim.Package{Items: map[string]int64{toteCode: 1}, TrackingCode: "1Z1"}))
	require.Equal(t, 1, w.pullShipments().Packages)
	require.Equal(t, 1, w.pushShipments().Done)
	w.want(number, relay.OrderShipped)
	require.NoError(t, w.depot.Ship(id, depotsim.Package{Items: map[string]int64{toteCode: 1}, TrackingCode: "1Z2"}, depotsim.Package{TrackingCode: "1Z3"}))
	require.Equal(t, 2, w.pullShipments().Packages)

	// The cart books both, but its answers are lost.
	require.NoError(t, w.shop.Inject(shopsim.Fault{Kind: shopsim.CommitThenTimeout, Route: "fulfillments", Method: "POST", Count: 2}))
	w.until(func() bool { return w.order(number).State == relay.OrderConfirmed }, func() {
		w.exec(`update shipments set next_push_at = now() where state = 'ready'`)
		_, _ = try[activities.PushResult](w, w.acts.PushShipments, shopJob())
	})
	cart, err := w.shop.Order("acme", number)
	require.NoError(t, err)
	var numbers []string
	for _, f := range cart.Fulfillments {
		numbers = append(numbers, f.TrackingNumber)
	}
	require.ElementsMatch(t, []string{"1Z1", "1Z2", "1Z3"}, numbers, "each once")
	for _, l := range cart.Lines {
		require.Equal(t, l.Ordered, l.Fulfilled)
	}
}

func TestInventory(t *testing.T) {
	w := newWorld(t, setup{})
	stock := func(sku string) string {
		list, err := w.shop.Stock("acme")
		require.NoError(t, err)
		for _, s := range list {
			if s.SKU == sku {
				return s.OnHand + " on hand, " + s.Available + " available"
			}
		}
		return "none"
	}
	pull := func() activities.PullInventoryResult {
		return do[activities.PullInventoryResult](w, w.acts.PullInventory, depotJob())
	}
	push := func() activities.PushResult { return w.pushLevels(shopJob()) }

	require.NoError(t, w.depot.SetStock(mugCode, "WEST", 10))
	first := pull()
	require.Equal(t, first.Levels, first.Changed)
	require.Zero(t, pull().Changed)
	require.Equal(t, activities.PushResult{Done: 2}, push())
	require.Equal(t, activities.PushResult{}, push(), "nothing changed")
	require.Equal(t, "1010 on hand, 1010 available", stock("MUG"))

	number := w.sell()
	w.pull()
	w.submit()
	require.Equal(t, "1010 on hand, 1009 available", stock("MUG"))
	pull()
	push()
	require.Equal(t, "1010 on hand, 1009 available", stock("MUG"), "the cart keeps physical stock, and subtracts its own orders")

	require.NoError(t, w.depot.Ship(string(w.order(number).WarehouseOrderID)))
	w.pullShipments()
	push()
	require.Equal(t, "1010 on hand, 1009 available", stock("MUG"), "the cart does not know that it has left")
	w.pushShipments()
	require.Equal(t, "1009 on hand, 1009 available", stock("MUG"))
	pull()
	push()
	require.Equal(t, "1009 on hand, 1009 available", stock("MUG"))

	// A SKU that the cart does not have takes nothing down with it.
	_, err := w.ledger.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "GHOST", Code: mugCode}}, false, "clerk")
	require.NoError(t, err)
	require.NoError(t, w.depot.SetStock(mugCode, "WEST", 0))
	require.Equal(t, 1, pull().Changed)
	got := push()
	require.Equal(t, 1, got.Failed)
	require.Equal(t, "999 on hand, 999 available", stock("MUG"))
	require.Zero(t, push().Failed, "not before a day is over")
}

func TestPlanAndPause(t *testing.T) {
	w := newWorld(t, setup{})
	in := activities.MerchantInput{Merchant: "acme"}
	plan := do[activities.Plan](w, w.acts.LoadPlan, in)
	require.Len(t, plan.Lanes, 2)
	require.Equal(t, relay.ConnectionName("shop"), plan.Lanes[0].Connection)
	require.True(t, plan.Lanes[1].Warehouse)
	require.Len(t, plan.Lanes[0].Every, 4)
	do[struct{}](w, w.acts.SetPaused, activities.PauseInput{Merchant: "acme", Paused: true})
	require.True(t, do[activities.Plan](w, w.acts.LoadPlan, in).Paused)
	resend := activities.ResendInput{JobInput: depotJob(), Order: 1, Actor: "nightly resend"}
	require.Equal(t, activities.SubmitResult{Stopped: true}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
}

// The clock of a hold whose workflow did not hear of it ends no person's hold.
func TestTheNightlyResendLeavesAPersonsHold(t *testing.T) {
	w := newWorld(t, setup{})
	number, d := w.sellOut()
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 5))
	answer, err := w.ledger.HoldOrder(t.Context(), d.ID, relay.Hold{Reason: relay.HoldOperator}, "operator clerk")
	require.NoError(t, err)
	require.True(t, answer.Held)
	resend := activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "nightly resend", Clock: true}
	require.Equal(t, activities.SubmitResult{}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
	require.Equal(t, relay.HoldOperator, w.want(number, relay.OrderHeld).Hold.Reason)
	require.Empty(t, w.books())
	resend.Actor, resend.Clock = "operator clerk", false
	require.Equal(t, activities.SubmitResult{Accepted: 1}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
}

// Nor does a release that waited for its turn, or whose worker died, while a person
// put the order on hold: it was of the hold that there was before.
func TestAReleaseLeavesALaterHold(t *testing.T) {
	w := newWorld(t, setup{})
	number, d := w.sellOut()
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 5))
	resend := activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "operator one", Reason: d.Hold.Reason}
	answer, err := w.ledger.HoldOrder(t.Context(), d.ID, relay.Hold{Reason: relay.HoldOperator}, "operator two")
	require.NoError(t, err)
	require.True(t, answer.Held)
	require.Equal(t, activities.SubmitResult{}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
	require.Equal(t, relay.HoldOperator, w.want(number, relay.OrderHeld).Hold.Reason)
	require.Empty(t, w.books())
	resend.Reason = relay.HoldOperator
	require.Equal(t, activities.SubmitResult{Accepted: 1}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
}

// An order whose row others have in hand just then is not passed over: a person's
// release would be lost, and the clock comes back a day later.
func TestAResendWaitsForWhoeverHasTheOrder(t *testing.T) {
	for name, clock := range map[string]bool{"asked for": false, "by the clock": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, setup{})
			require.NoError(t, w.depot.SetStock(mugCode, "EAST", 0))
			number := w.sell()
			w.pull()
			w.submit()
			d := w.want(number, relay.OrderHeld)
			tx, err := w.sql.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(context.Background()) }()
			_, err = tx.Exec(t.Context(), `select from orders where id = $1 for update`, d.ID)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				_, err := try[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "test", Clock: clock})
				done <- err
			}()
			require.Eventually(t, func() bool {
				var waits bool
				err := w.sql.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waits)
				return err == nil && waits
			}, time.Minute, 2*time.Millisecond)
			require.NoError(t, tx.Rollback(t.Context()))
			require.NoError(t, <-done)
			w.want(number, relay.OrderNew)
		})
	}
}

// A person can let go what the filter leaves out by now: it is skipped with the reason.
func TestAPersonReleasesWhatTheFilterLeavesOut(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sellTo("United States", "US")
	w.pull()
	d := w.want(number, relay.OrderNew)
	_, err := w.ledger.HoldOrder(t.Context(), d.ID, relay.Hold{Reason: relay.HoldOperator}, "operator clerk")
	require.NoError(t, err)
	w.filter(relay.Filter{Countries: []string{"CA"}})
	w.pull()
	w.want(number, relay.OrderHeld)
	do[activities.SubmitResult](w, w.acts.ResendHeld, activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "operator clerk"})
	w.want(number, relay.OrderNew)
	w.submit()
	w.want(number, relay.OrderSkipped)
}

// A step that was queued, or is tried again, when the merchant is paused sends nothing.
func TestNothingIsSubmittedWhilePaused(t *testing.T) {
	w := newWorld(t, setup{})
	number := w.sell()
	w.pull()
	require.NoError(t, w.ledger.SetPaused(t.Context(), "acme", true))
	require.False(t, w.submit().More, "it is not tried again at once")
	w.want(number, relay.OrderNew)
	require.Empty(t, w.books())
	require.NoError(t, w.ledger.SetPaused(t.Context(), "acme", false))
	require.Equal(t, 1, w.submit().Accepted)
}

// A hold's workflow outlives the warehouse that it knows: it resends to the one there is.
func TestAResendAfterTheWarehouseChanged(t *testing.T) {
	w := newWorld(t, setup{})
	number, d := w.sellOut()
	require.NoError(t, w.depot.SetStock(mugCode, "EAST", 5))
	m, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	m.Warehouse.Name = "annex"
	_, err = w.ledger.SaveMerchant(t.Context(), m.Merchant, map[relay.ConnectionName]map[string]string{
		"shop": {"access_token": shopToken}, "annex": {"production_key": depotKey},
	})
	require.NoError(t, err)
	resend := activities.ResendInput{JobInput: depotJob(), Order: d.ID, Actor: "nightly resend", Clock: true}
	require.Equal(t, activities.SubmitResult{Accepted: 1}, do[activities.SubmitResult](w, w.acts.ResendHeld, resend))
	w.want(number, relay.OrderAtWarehouse)
}
