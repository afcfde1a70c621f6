package store_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func TestAPageTwiceChangesNothing(t *testing.T) {
	b := newBench(t)
	page := []relay.CartOrder{anOrder(1), anOrder(2)}
	require.Equal(t, store.TakenIn{New: 2}, b.takeIn(page...))
	before := list[string](b, `select o::text from orders o order by id`)
	require.Equal(t, store.TakenIn{}, b.takeIn(page...))
	require.Equal(t, before, list[string](b, `select o::text from orders o order by id`))
	require.Equal(t, []store.EventKind{store.EventSeen}, b.kinds(b.id(1)))
	cursor, err := b.Cursor(t.Context(), b.cart("shop").ID, "orders")
	require.NoError(t, err)
	require.Equal(t, "after 2", cursor)
}

func TestAnEmptyPageMovesTheCursor(t *testing.T) {
	b := newBench(t)
	require.Equal(t, store.TakenIn{}, b.takeIn())
	cursor, err := b.Cursor(t.Context(), b.cart("shop").ID, "orders")
	require.NoError(t, err)
	require.Equal(t, "after 0", cursor)
	cursor, err = b.Cursor(t.Context(), b.cart("shop").ID, "another")
	require.NoError(t, err)
	require.Empty(t, cursor)
}

func TestAnOrderTwiceInAPageIsOne(t *testing.T) {
	b := newBench(t)
	older, newer := anOrder(1), anOrder(1)
	newer.UpdatedAt, newer.ShipMethod = placed.Add(time.Minute), "Express"
	for _, page := range [][]relay.CartOrder{{older, newer}, {newer, older}} {
		b.takeIn(page...)
		d, err := b.Order(t.Context(), b.id(1))
		require.NoError(t, err)
		require.Equal(t, relay.ShipMethod("Express"), d.ShipMethod)
	}
}

// The cursor never runs ahead of the orders: a page that can't be stored leaves it alone.
func TestCursorAndPageAreOneTransaction(t *testing.T) {
	b := newBench(t)
	bad := anOrder(2)
	bad.Lines[1].ID = bad.Lines[0].ID
	_, err := b.TakeIn(t.Context(), b.cart("shop"), []relay.CartOrder{anOrder(1), bad}, "orders", "behind", "test")
	require.Error(t, err)
	require.Empty(t, list[int64](b, `select id from orders`))
	require.Empty(t, list[string](b, `select value from cursors`))
}

func TestChangedBeforeSubmission(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	changed := anOrder(1)
	changed.UpdatedAt = placed.Add(time.Hour)
	changed.ShipTo.Street1 = "2 Example Street"
	changed.Lines = changed.Lines[:1]
	require.Equal(t, store.TakenIn{Changed: 1}, b.takeIn(changed))
	d, err := b.Order(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "2 Example Street", d.ShipTo.Street1)
	require.Equal(t, changed.Lines, d.Lines)
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventChangedAtCart}, b.kinds(id))

	// A page that was overtaken must not bring the old version back.
	require.Equal(t, store.TakenIn{}, b.takeIn(anOrder(1)))
	d, err = b.Order(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "2 Example Street", d.ShipTo.Street1)
}

func TestAChangeReleasesAHold(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	b.record(refused(sub))
	b.want(sub.Order.ID, relay.OrderHeld)
	changed := anOrder(1)
	changed.UpdatedAt, changed.ShipMethod = placed.Add(time.Hour), "Express"
	require.Equal(t, store.TakenIn{Changed: 1, Woken: []relay.OrderID{sub.Order.ID}}, b.takeIn(changed))
	b.want(sub.Order.ID, relay.OrderNew)

	// But not an operator's.
	answer, err := b.HoldOrder(t.Context(), sub.Order.ID, relay.Hold{Reason: relay.HoldOperator}, "operator clerk")
	require.NoError(t, err)
	require.True(t, answer.Held)
	changed.UpdatedAt, changed.ShipMethod = placed.Add(2*time.Hour), "Standard"
	require.Equal(t, store.TakenIn{Changed: 1}, b.takeIn(changed))
	b.want(sub.Order.ID, relay.OrderHeld)
}

func TestReferences(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	same := func(n int) relay.CartOrder {
		o := anOrder(n)
		o.Number = "#1001"
		return o
	}
	b.takeIn(same(1), same(2))
	_, err := b.TakeIn(t.Context(), b.cart("outlet"), []relay.CartOrder{same(1), same(3)}, "orders", "x", "test")
	require.NoError(t, err)
	refs := list[string](b, `select reference from orders order by id`)
	require.Len(t, refs, 4)
	require.Equal(t, "1001", refs[0])
	for _, r := range refs[1:] {
		require.Regexp(t, `^1001-[0-9A-Z]{6}$`, r)
	}
	id, err := b.OrderByReference(t.Context(), "acme", relay.Reference(refs[3]))
	require.NoError(t, err)
	require.NotZero(t, id)
	_, err = b.OrderByReference(t.Context(), "acme", "NOBODY")
	require.ErrorIs(t, err, store.ErrNotFound)
	found, err := b.FindOrders(t.Context(), "acme", "#1001")
	require.NoError(t, err)
	require.Len(t, found, 4)
}

// Numbers that differ only in what a reference can't hold are different orders,
// and each is found by its full number and by its reference.
func TestNumbersThatDifferInWhatIsMappedAway(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	numbers := []string{"SO-7", "so-7", "SO/7", "SO 7", "#SO-7", " SO_7", "SÖ7", "SO-7/" + strings.Repeat("9", 60), "SO-7/" + strings.Repeat("9", 61)}
	var page []relay.CartOrder
	for n, number := range numbers {
		o := anOrder(n)
		o.Number = number
		page = append(page, o)
	}
	b.takeIn(page...)
	_, err := b.TakeIn(t.Context(), b.cart("outlet"), page, "orders", "x", "test")
	require.NoError(t, err)
	refs := list[string](b, `select reference from orders order by id`)
	require.Len(t, refs, 2*len(numbers))
	require.Equal(t, []int64{int64(len(refs))}, list[int64](b, `select count(distinct reference) from orders`))
	for i, ref := range refs {
		_, err := relay.ParseReference(ref)
		require.NoError(t, err)
		id, err := b.OrderByReference(t.Context(), "acme", relay.Reference(ref))
		require.NoError(t, err)
		for _, name := range []string{ref, strings.ToLower(ref), numbers[i%len(numbers)]} {
			found, err := b.FindOrders(t.Context(), "acme", name)
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(found, func(o store.OrderSummary) bool { return o.ID == id }), "%q finds %s", name, ref)
		}
	}
	// The same pages again give nothing another name.
	b.takeIn(page...)
	require.Equal(t, refs, list[string](b, `select reference from orders order by id`))
	// And the ledger itself refuses one reference for two.
	_, err = b.sql.Exec(t.Context(), `update orders set reference = $1 where reference = $2`, refs[0], refs[1])
	require.ErrorContains(t, err, "orders_merchant_id_reference_key")
}

// Two carts that take in equal numbers at once never get one reference.
func TestReferencesOfTwoCartsAtOnce(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	var wg sync.WaitGroup
	for _, name := range []relay.ConnectionName{"shop", "outlet"} {
		for from := range 4 {
			wg.Go(func() {
				var page []relay.CartOrder
				for i := range 25 {
					page = append(page, anOrder(from*25+i))
				}
				_, err := b.TakeIn(t.Context(), b.cart(name), page, "orders", "x", "test")
				assert.NoError(t, err)
			})
		}
	}
	wg.Wait()
	require.Equal(t, []int64{200}, list[int64](b, `select count(distinct reference) from orders`))
}

func TestKnown(t *testing.T) {
	b := newBench(t)
	o := anOrder(1)
	o.UpdatedAt = placed.Add(123456789 * time.Nanosecond) // more than Postgres keeps
	b.takeIn(o)
	known, err := b.Known(t.Context(), b.cart("shop").ID,
		[]relay.ExternalID{o.ExternalID, o.ExternalID, "nobody", o.ExternalID},
		[]time.Time{o.UpdatedAt, o.UpdatedAt.Add(-time.Hour), o.UpdatedAt, o.UpdatedAt.Add(time.Second)})
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, false, false}, known)
	known, err = b.Known(t.Context(), b.cart("shop").ID, nil, nil)
	require.NoError(t, err)
	require.Empty(t, known)
	require.Equal(t, store.TakenIn{}, b.takeIn(o))
}

// A vendor that sends NULs and broken UTF-8 must not stop its own feed.
func TestHostileText(t *testing.T) {
	b := newBench(t)
	o := anOrder(1)
	o.Number, o.ShipMethod, o.ShipTo.Name = "A\x00\xff1", "fast\x00", "Some\x00 \\u0000 Roe"
	o.Lines[0].SKU, o.Lines[0].Name = "M\x00UG", "a \xff mug"
	o.Problems = []relay.Problem{{Field: "x", Message: "bad\x00"}}
	require.Equal(t, store.TakenIn{New: 1}, b.takeIn(o))
	d, err := b.Order(t.Context(), b.id(1))
	require.NoError(t, err)
	require.Equal(t, "A?1", d.Number)
	require.Equal(t, `Some \u0000 Roe`, d.ShipTo.Name)
	require.Equal(t, relay.SKU("MUG"), d.Lines[0].SKU)

	sub := b.claim("me")[0]
	hold := refused(sub)
	hold.Refused.Words, hold.Refused.Code, hold.Refused.Fields[0].Message = "no\x00ne", "E\x00", "\x00"
	b.record(hold)
	_, err = b.Release(t.Context(), []relay.OrderID{sub.Order.ID}, "test", "why")
	require.NoError(t, err)
	sub = b.claim("me")[0]
	b.record(accepted(sub))
	p := parcel("1Z\x00")
	p.Service, p.TrackingURL, p.Items = "\xff", "\x00", []relay.Item{item("MUG", 2), item("x\x00", 1)}
	got := b.progress(store.Progress{Order: sub.Order.ID, Status: "sh\x00ipped", Packages: []relay.Package{p}})
	require.Equal(t, 1, got.Packages)
	require.Zero(t, b.progress(store.Progress{Order: sub.Order.ID, Status: "sh\x00ipped", Packages: []relay.Package{p}}).Packages)
}

func TestOrderReadBackIsTheOrderThatWentIn(t *testing.T) {
	b := newBench(t)
	yes := true
	o := anOrder(1)
	o.ShipTo.Residential = &yes
	o.Lines[0].Quantity = 15_000 // 1.5
	o.Problems = []relay.Problem{{Field: "a", Value: "b", Message: "c"}}
	b.takeIn(o)
	sub := b.claim("me")[0]
	sub.Order.PlacedAt, sub.Order.UpdatedAt = sub.Order.PlacedAt.UTC(), sub.Order.UpdatedAt.UTC()
	require.Equal(t, o, sub.Order.CartOrder)
	require.Equal(t, o.Digest(), sub.Order.Digest())
}

// A page that was read before the merchant was onboarded anew is taken in only
// where it is of the same account still.
func TestAPageOfAnEarlierOnboarding(t *testing.T) {
	test := storetest.Merchant("acme", "shop", "outlet")
	for i := range test.Carts {
		test.Carts[i].Mode = relay.ModeTest
	}
	test.Warehouse.Mode = relay.ModeTest
	moved := storetest.Merchant("acme", "shop", "outlet")
	moved.Carts[0].BaseURL = "https://other.example.test"
	for name, next := range map[string]relay.Merchant{
		"taken away": storetest.Merchant("acme", "outlet"), "another mode": test, "another address": moved,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "shop", "outlet")
			before := b.cart("shop")
			b.m = storetest.Save(t, b.Store, next)
			_, err := b.TakeIn(t.Context(), before, []relay.CartOrder{anOrder(1)}, "orders", "x", "test")
			require.ErrorIs(t, err, store.ErrSettingsChanged)
			require.Empty(t, b.claim("me"))
			at, err := b.Cursor(t.Context(), before.ID, "orders")
			require.NoError(t, err)
			require.Empty(t, at)
		})
	}
	b := newBench(t)
	before := b.cart("shop")
	b.m = storetest.Save(t, b.Store, storetest.Merchant("acme"))
	_, err := b.TakeIn(t.Context(), before, []relay.CartOrder{anOrder(1)}, "orders", "x", "test")
	require.NoError(t, err, "it is the same account")
}
