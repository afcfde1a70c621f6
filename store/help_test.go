package store_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// bench is a ledger with one merchant.
type bench struct {
	t  testing.TB
	db storetest.Database
	*store.Store
	sql *pgxpool.Pool
	m   store.Merchant
}

// newBench makes a ledger of the test's own, so the test runs beside others from here on.
func newBench(t testing.TB, carts ...relay.ConnectionName) *bench {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	db := storetest.New(t)
	s := db.Open(t)
	return &bench{t: t, db: db, Store: s, sql: db.Pool(t), m: storetest.Save(t, s, storetest.Merchant("acme", carts...))}
}

func (b *bench) cart(name relay.ConnectionName) store.Connection {
	c, ok := b.m.Connection(name)
	require.True(b.t, ok)
	return c
}

func (b *bench) depot() store.ConnectionID { return b.m.StoredWarehouse().ID }

var placed = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// anOrder is the n-th order of a cart: two of MUG and one of CAP.
func anOrder(n int) relay.CartOrder {
	return relay.CartOrder{
		ExternalID: relay.ExternalID(fmt.Sprintf("ext-%d", n)), Number: fmt.Sprintf("SO-%d", n), PlacedAt: placed, UpdatedAt: placed,
		ShipTo: relay.Address{Name: "Some Six", Street1: "1 Example Street", City: "Springfield", Zip: "02134", Country: "US"},
		Lines:  []relay.Line{{ID: "1", SKU: "MUG", Quantity: relay.Units(2)}, {ID: "2", SKU: "CAP", Quantity: relay.Units(1)}},
	}
}

func (b *bench) takeIn(orders ...relay.CartOrder) store.TakenIn {
	got, err := b.TakeIn(b.t.Context(), b.cart("shop"), orders, "orders", fmt.Sprint("after ", len(orders)), "test")
	require.NoError(b.t, err)
	return got
}

func (b *bench) id(n int) relay.OrderID {
	var id relay.OrderID
	require.NoError(b.t, b.sql.QueryRow(b.t.Context(), `select id from orders where external_id = $1`, anOrder(n).ExternalID).Scan(&id))
	return id
}

func (b *bench) state(id relay.OrderID) relay.OrderState {
	d, err := b.Order(b.t.Context(), id)
	require.NoError(b.t, err)
	return d.State
}

func (b *bench) want(id relay.OrderID, state relay.OrderState) {
	b.t.Helper()
	require.Equal(b.t, state, b.state(id), "trail %v", b.kinds(id))
}

func (b *bench) kinds(id relay.OrderID) []store.EventKind {
	events, err := b.History(b.t.Context(), id)
	require.NoError(b.t, err)
	var kinds []store.EventKind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (b *bench) last(id relay.OrderID) store.Event {
	events, err := b.History(b.t.Context(), id)
	require.NoError(b.t, err)
	return events[len(events)-1]
}

// translate takes every line for an item of its own SKU.
func translate(o relay.Order, token relay.Token) (store.Claim, error) {
	var items []relay.OrderItem
	for _, l := range o.Lines {
		units, _ := l.Quantity.Whole()
		items = append(items, relay.OrderItem{Line: l.ID, SKU: l.SKU, Item: relay.Item{Code: relay.ItemCode(l.SKU), Units: units}})
	}
	return store.Claim{Items: items, Service: "standard", Digest: sha256.Sum256([]byte(token))}, nil
}

func (b *bench) query(owner string) store.ClaimQuery {
	return store.ClaimQuery{Merchant: b.m, Owner: owner, Lease: time.Minute, Limit: 100, Actor: "job submit_orders"}
}

func (b *bench) claim(owner string) []store.Submission {
	got, err := b.Claim(b.t.Context(), b.query(owner), translate)
	require.NoError(b.t, err)
	return got.Submissions
}

func (b *bench) record(outcomes ...store.Outcome) {
	b.t.Helper()
	require.NoError(b.t, b.RecordOutcomes(b.t.Context(), "test", outcomes))
}

// submitting takes in an order and opens its submission.
func (b *bench) submitting(n int) store.Submission {
	b.takeIn(anOrder(n))
	subs := b.claim("me")
	require.Len(b.t, subs, 1)
	return subs[0]
}

func accepted(sub store.Submission) store.Outcome {
	return store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: wid(sub), Status: 201}
}

func unknown(sub store.Submission) store.Outcome {
	return store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Unknown: true, Status: 500}
}

func refused(sub store.Submission) store.Outcome {
	return store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Status: 422,
		Refused: &relay.Hold{Reason: relay.HoldInsufficientInventory, Code: "NO_STOCK", Words: "none left", Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG"}}}}
}

func unsent(sub store.Submission) store.Outcome {
	return store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Unsent: true}
}

func wid(sub store.Submission) relay.WarehouseOrderID {
	return relay.WarehouseOrderID("W-" + string(sub.Token))
}

// atWarehouse brings an order to the warehouse.
func (b *bench) atWarehouse(n int) store.Submission {
	sub := b.submitting(n)
	b.record(accepted(sub))
	b.want(sub.Order.ID, relay.OrderAtWarehouse)
	return sub
}

// inDoubt brings an order into doubt; it is to be looked for at once.
func (b *bench) inDoubt(n int) store.Submission {
	sub := b.submitting(n)
	b.record(unknown(sub))
	b.want(sub.Order.ID, relay.OrderInDoubt)
	return sub
}

func unknownOutcome() *relay.Hold { return &relay.Hold{Reason: relay.HoldUnknownOutcome} }

func parcel(number string, items ...relay.Item) relay.Package {
	return relay.Package{Carrier: "USPS", Service: "Priority", TrackingNumber: number, TrackingURL: "http://track.test/" + number, Items: items}
}

func item(code relay.ItemCode, units int64) relay.Item { return relay.Item{Code: code, Units: units} }

func (b *bench) progress(reports ...store.Progress) store.Recorded {
	b.t.Helper()
	got, err := b.RecordProgress(b.t.Context(), "job pull_shipments", reports, store.Reading{})
	require.NoError(b.t, err)
	return got
}

func (b *bench) toTell() []store.ShipmentToTell {
	list, err := b.ShipmentsToTell(b.t.Context(), b.cart("shop").ID, 100)
	require.NoError(b.t, err)
	return list
}

// tell tells the cart of all there is, and returns how many orders that confirmed.
func (b *bench) tell() int {
	var told []store.Told
	for _, s := range b.toTell() {
		told = append(told, store.Told{Shipment: s.ID, Order: s.Order, CartID: fmt.Sprint("F", s.ID)})
	}
	n, err := b.RecordTold(b.t.Context(), "job push_shipments", told)
	require.NoError(b.t, err)
	return n
}

// exec spoils or looks at what the ledger keeps.
func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.sql.Exec(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
}

func list[T any](b *bench, sql string, args ...any) []T {
	b.t.Helper()
	rows, err := b.sql.Query(b.t.Context(), sql, args...)
	require.NoError(b.t, err)
	got, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(b.t, err)
	return got
}

func field(t testing.TB, e store.Event, name string) any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal(e.Detail, &m))
	return m[name]
}
