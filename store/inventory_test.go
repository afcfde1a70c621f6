package store_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

func level(code relay.ItemCode, site string, n int64) relay.InventoryLevel {
	return relay.InventoryLevel{Code: code, Site: site, Quantity: relay.Units(n)}
}

// reading records a whole reading of the warehouse's stock that begins now.
func (b *bench) reading(meaning string, levels ...relay.InventoryLevel) int {
	b.t.Helper()
	var now time.Time
	require.NoError(b.t, b.sql.QueryRow(b.t.Context(), `select clock_timestamp()`).Scan(&now))
	n, err := b.RecordLevels(b.t.Context(), b.depot(), levels, meaning, now)
	require.NoError(b.t, err)
	var codes []relay.ItemCode
	for _, l := range levels {
		codes = append(codes, l.Code)
	}
	require.NoError(b.t, b.RecordLevelsRead(b.t.Context(), b.depot(), store.LevelsReading{Began: now, Codes: codes}))
	return n
}

// now is the ledger's clock.
func (b *bench) now() (at time.Time) {
	b.t.Helper()
	require.NoError(b.t, b.sql.QueryRow(b.t.Context(), `select clock_timestamp()`).Scan(&at))
	return at
}

// reload reads the merchant anew, after its mappings changed.
func (b *bench) reload() {
	b.t.Helper()
	var err error
	b.m, err = b.Merchant(b.t.Context(), b.m.ID)
	require.NoError(b.t, err)
}

// rules are the stock rules of a cart from now on.
func (b *bench) rules(cart relay.ConnectionName, r relay.StockRules) {
	for i := range b.m.Connections {
		if b.m.Connections[i].Name == cart {
			b.m.Connections[i].Rules.Stock = r
		}
	}
}

// levels computes all levels of a cart.
func (b *bench) levels(cart relay.ConnectionName, keep func(store.CartLevel) bool) []store.CartLevel {
	b.t.Helper()
	m, err := b.Mappings(b.t.Context(), b.m.ID)
	require.NoError(b.t, err)
	q := store.CartLevelsQuery{Merchant: b.m, Mappings: m.Under(b.m.Merchant), Cart: b.cart(cart), Limit: 100, Keep: keep}
	page, err := b.CartLevels(b.t.Context(), q)
	require.NoError(b.t, err)
	require.False(b.t, page.More)
	return page.Levels
}

// toSend is what a cart is to be told now, by SKU and, behind "@", location.
func (b *bench) toSend(cart relay.ConnectionName) map[relay.SKU]store.LevelToSend {
	b.t.Helper()
	out := make(map[relay.SKU]store.LevelToSend)
	for _, l := range b.levels(cart, store.CartLevel.Due) {
		t := l.ToSend()
		t.LastSent = time.Time{}
		key := l.SKU
		if l.Location != "" {
			key += relay.SKU("@" + l.Location)
		}
		out[key] = t
	}
	return out
}

func (b *bench) sent(cart relay.ConnectionName, mistake string) {
	b.t.Helper()
	var list []store.LevelSent
	for _, l := range b.levels(cart, store.CartLevel.Due) {
		list = append(list, store.LevelSent{LevelToSend: l.ToSend(), Error: mistake, Retry: time.Hour})
	}
	b.recordSent(cart, list)
}

// begin begins a push of levels that may take an hour.
func (b *bench) begin(cart relay.ConnectionName, levels []store.LevelToSend) store.StockPush {
	b.t.Helper()
	push, err := b.BeginPush(b.t.Context(), b.cart(cart).ID, levels, time.Hour)
	require.NoError(b.t, err)
	return push
}

func (b *bench) recordSent(cart relay.ConnectionName, list []store.LevelSent) {
	b.t.Helper()
	levels := make([]store.LevelToSend, len(list))
	for i, l := range list {
		levels[i] = l.LevelToSend
	}
	again, err := b.RecordSent(b.t.Context(), b.cart(cart).ID, b.begin(cart, levels), list)
	require.NoError(b.t, err)
	require.False(b.t, again)
}

func levelOf(sku relay.SKU, available, owed int64) store.LevelToSend {
	return store.LevelToSend{SKU: sku, Available: relay.Units(available), Owed: relay.Units(owed)}
}

func levelAt(location string, l store.LevelToSend) store.LevelToSend {
	l.Location = location
	return l
}

func TestLevelsAreWrittenWhenTheyChange(t *testing.T) {
	b := newBench(t)
	require.Equal(t, 2, b.reading("available", level("MUG", "E", 5), level("MUG", "W", 7)))
	require.Equal(t, 0, b.reading("available", level("MUG", "E", 5), level("MUG", "W", 7)))
	require.Equal(t, levelOf("MUG", 12, 0), b.toSend("shop")["MUG"])
	require.Equal(t, 0, b.reading("available", level("MUG", "E", 4), level("MUG", "W", 7), level("MUG", "E", 5)), "told twice")
	// A building that closed does not sell.
	require.Equal(t, 1, b.reading("available", level("MUG", "E", 5)))
	require.Equal(t, levelOf("MUG", 5, 0), b.toSend("shop")["MUG"])
	require.Equal(t, 1, b.reading("on_hand", level("MUG", "E", 5)))
	// What the warehouse does not name any more is not known, and so not sent.
	require.Equal(t, 1, b.reading("on_hand", level("CAP", "E", 1)))
	require.NotContains(t, b.toSend("shop"), relay.SKU("MUG"))
}

func TestOnlyChangesAreSent(t *testing.T) {
	b := newBench(t)
	lastSent := func(sku relay.SKU) time.Time {
		for _, l := range b.levels("shop", nil) {
			if l.SKU == sku {
				return l.ToSend().LastSent
			}
		}
		return time.Time{}
	}
	b.reading("available", level("MUG", "", 5), level("CAP", "", -3))
	require.Zero(t, lastSent("MUG"))
	require.Equal(t, map[relay.SKU]store.LevelToSend{"MUG": levelOf("MUG", 5, 0), "CAP": levelOf("CAP", 0, 0)}, b.toSend("shop"))
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
	first := lastSent("MUG")
	require.NotZero(t, first)

	b.reading("available", level("MUG", "", 4))
	require.Len(t, b.toSend("shop"), 1)
	b.sent("shop", "no such SKU")
	require.True(t, lastSent("MUG").After(first), "a push of the same figures would be another one")
	require.Empty(t, b.toSend("shop"), "not before its retry")
	b.exec(`update sent_levels set retry_at = now() where error is not null`)
	require.Len(t, b.toSend("shop"), 1)
	b.sent("shop", "no such SKU")
	b.reading("available", level("MUG", "", 3))
	require.Len(t, b.toSend("shop"), 1, "unless the figure changes")
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
	b.recordSent("shop", nil)
	require.Zero(t, list[int64](b, `select count(*) from cart_levels where owed >= 0`)[0], "that is for workers of the release before")
}

// What the cart was told of and the warehouse does not name any more stays as it
// is there, and can be seen.
func TestWhatIsNotKnownIsNotSent(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 5), level("CAP", "", 1))
	b.sent("shop", "")
	b.reading("available", level("CAP", "", 1))
	require.Empty(t, b.toSend("shop"))
	all := b.levels("shop", nil)
	require.Len(t, all, 2)
	require.Equal(t, relay.SKU("MUG"), all[1].SKU)
	require.False(t, all[1].Known)
	require.False(t, all[1].Differs())
	require.False(t, all[1].Stands())
	require.Equal(t, relay.Units(5), all[1].Sent.Available)
}

// While both releases run, what a worker of the one before told a cart counts.
func TestWhatOldWorkersToldCounts(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 5))
	b.exec(`insert into cart_levels (cart_id, sku, available, owed, sent_at) values ($1, 'MUG', 5, 0, now())`, b.cart("shop").ID)
	require.Empty(t, b.toSend("shop"))
	b.exec(`update cart_levels set available = 4`)
	require.Equal(t, levelOf("MUG", 5, 0), b.toSend("shop")["MUG"])
	b.sent("shop", "")
	require.Empty(t, list[int64](b, `select 1::bigint from cart_levels where owed >= 0`), "should the release before come back, it tells the cart anew")
	b.exec(`update cart_levels set owed = -1`) // as when it has told a shipment
	require.Contains(t, b.toSend("shop"), relay.SKU("MUG"))
}

// What a warehouse has only received is not set aside there yet: its figure holds
// the units still, however late it was read.
func TestAFigureHoldsWhatWasOnlyReceived(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 10))
	sub := b.received(1) // two mugs
	b.reading("available", level("MUG", "", 10))
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"])
	b.progress(working(sub))
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"], "taken after the reading")
	b.reading("available", level("MUG", "", 8))
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"], "taken before the reading")
}

// What a cart shows is right at every step of an order, whichever way the
// warehouse counts and whenever its figures were read: never more than may be
// sold. At the end of the table, cart = available + owed, as a cart has it that
// keeps physical stock and subtracts its own open orders.
func TestAvailableAndOwed(t *testing.T) {
	for _, meaning := range []string{"available", "on_hand"} {
		t.Run(meaning, func(t *testing.T) {
			b := newBench(t, "shop", "outlet")
			check := func(step string, available, owed int64) {
				t.Helper()
				require.Equal(t, levelOf("MUG", available, owed), b.toSend("shop")["MUG"], step)
				require.Equal(t, levelOf("MUG", available, 0), b.toSend("outlet")["MUG"], step)
			}
			net := func(onHand, booked int64) {
				if meaning == "available" {
					onHand -= booked
				}
				b.reading(meaning, level("MUG", "", onHand))
			}
			net(10, 0)
			check("at first", 10, 0)
			sub := b.atWarehouse(1) // two mugs
			check("accepted after the reading", 8, 2)
			net(10, 2)
			check("accepted before the reading", 8, 2)
			b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}})
			check("one shipped after the reading", 8, 2)
			net(9, 1)
			check("one shipped before the reading", 8, 2)
			b.tell()
			check("and told", 8, 1)
			b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("2Z", item("MUG", 1), item("CAP", 1))}})
			b.tell()
			b.want(sub.Order.ID, relay.OrderConfirmed)
			check("ended after the reading", 8, 0)
			net(8, 0)
			check("ended before the reading", 8, 0)
		})
	}
}

// A cart that is told of a parcel takes it off its stock by itself. The warehouse
// had set it aside before we knew, so the figures are what they were, and the
// cart's are not.
func TestAFigureIsSentAgainOnceAParcelWasTold(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1) // two mugs
	b.reading("available", level("MUG", "", 8))
	b.sent("shop", "")
	b.record(accepted(sub))
	b.progress(store.Progress{Order: sub.Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
	require.Equal(t, 1, b.tell())
	b.reading("available", level("MUG", "", 8))
	moved := levelOf("MUG", 8, 0)
	moved.Moved = relay.Units(-1)
	require.Equal(t, moved, b.toSend("shop")["MUG"])
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
}

// A cart does not subtract an order that it has cancelled: what left for it all
// the same must not be sold once more.
func TestWhatTheCartCancelledIsNotOwed(t *testing.T) {
	b := newBench(t)
	sub := b.atWarehouse(1)
	b.reading("available", level("MUG", "", 8))
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"])
	_, err := b.RequestCancel(t.Context(), sub.Order.ID, store.CancelAsk{Actor: "cart shop", Reason: "void", AtCart: true})
	require.NoError(t, err)
	require.Equal(t, levelOf("MUG", 8, 0), b.toSend("shop")["MUG"], "not decided")
	b.progress(store.Progress{Order: sub.Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
	b.want(sub.Order.ID, relay.OrderShipped)
	require.Equal(t, levelOf("MUG", 8, 0), b.toSend("shop")["MUG"], "it left all the same")
}

func TestCancelledOrdersAreNotOwed(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 10))
	sub := b.atWarehouse(1)
	b.cancel(sub.Order.ID)
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"], "not decided")
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: sub.Order.ID, Done: true}}))
	require.Equal(t, levelOf("MUG", 10, 0), b.toSend("shop")["MUG"])
}

func TestAliasesDecideWhatIsSent(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	_, err := b.ImportAliases(t.Context(), "acme", []relay.Alias{
		{SKU: "mug-blue", Code: "MUG"}, {SKU: "mug-blue", Code: "CAP", Cart: "outlet"}, {SKU: "b", Code: "MUG"}, {SKU: "never", Code: "NAMED"},
	}, false, "clerk")
	require.NoError(t, err)
	b.reading("available", level("MUG", "", 5), level("CAP", "", 7))
	send := func(cart relay.ConnectionName) map[relay.SKU]int64 {
		out := make(map[relay.SKU]int64)
		for sku, l := range b.toSend(cart) {
			out[sku], _ = l.Available.Whole()
		}
		return out
	}
	require.Equal(t, map[relay.SKU]int64{"mug-blue": 5, "b": 5, "MUG": 5, "CAP": 7}, send("shop"))
	require.Equal(t, map[relay.SKU]int64{"mug-blue": 7, "b": 5, "MUG": 5, "CAP": 7}, send("outlet"))
	b.m.Unaliased = relay.HoldUnaliased
	require.Equal(t, map[relay.SKU]int64{"mug-blue": 5, "b": 5}, send("shop"))
}

// Pages go through all SKUs, whether something is kept of them or not.
func TestPagesOfLevels(t *testing.T) {
	b := newBench(t)
	_, err := b.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "B", Code: "MUG"}, {SKU: "D", Code: "MUG", Cart: "shop"}, {SKU: "Z", Code: "MUG", Cart: "other"}}, false, "clerk")
	require.NoError(t, err)
	_, err = b.EditKits(t.Context(), "acme", store.KitEdit{Set: []relay.Kit{{SKU: "C", Components: []relay.Component{{SKU: "MUG", Units: 2}}}}, Actor: "clerk"})
	require.NoError(t, err)
	b.reading("available", level("MUG", "E", 5), level("MUG", "W", 1), level("A", "", 3))
	m, err := b.Mappings(t.Context(), "acme")
	require.NoError(t, err)
	for _, size := range []int{1, 2, 100} {
		q := store.CartLevelsQuery{Merchant: b.m, Mappings: m.Under(b.m.Merchant), Cart: b.cart("shop"), Limit: size, Keep: func(l store.CartLevel) bool { return l.SKU != "B" }}
		got := make(map[relay.SKU]int64)
		for more := true; more; {
			page, err := b.CartLevels(t.Context(), q)
			require.NoError(t, err)
			for _, l := range page.Levels {
				require.NotContains(t, got, l.SKU)
				got[l.SKU] = l.Available
			}
			require.LessOrEqual(t, len(page.Levels), size)
			q.After, more = page.After, page.More
		}
		require.Equal(t, map[relay.SKU]int64{"A": 3, "C": 3, "D": 6, "MUG": 6}, got, "pages of %d", size)
	}
}

// kit is one MUG and two of CAP, and what the warehouse is asked for when it is ordered.
func (b *bench) kit(sku relay.SKU) {
	b.t.Helper()
	_, err := b.EditKits(b.t.Context(), "acme", store.KitEdit{Set: []relay.Kit{{SKU: sku, Components: []relay.Component{{SKU: "MUG", Units: 1}, {SKU: "CAP", Units: 2}}}}, Actor: "clerk"})
	require.NoError(b.t, err)
	b.reload()
}

// The parts of kits that were ordered are booked, whole kits are owed, and what
// has left of them in part is off the shelf.
func TestKitsInStock(t *testing.T) {
	for _, meaning := range []string{"available", "on_hand"} {
		t.Run(meaning, func(t *testing.T) {
			b := newBench(t)
			b.kit("SET")
			check := func(step string, mug, caps, set, owed int64) {
				t.Helper()
				want := map[relay.SKU]store.LevelToSend{"MUG": levelOf("MUG", mug, 0), "CAP": levelOf("CAP", caps, 0), "SET": levelOf("SET", set, owed)}
				require.Equal(t, want, b.toSend("shop"), step)
			}
			net := func(mugs, caps, bookedMugs, bookedCaps int64) {
				if meaning == "available" {
					mugs, caps = mugs-bookedMugs, caps-bookedCaps
				}
				b.reading(meaning, level("MUG", "", mugs), level("CAP", "", caps))
			}
			net(10, 11, 0, 0)
			check("at first", 10, 11, 5, 0)
			o := anOrder(1)
			o.Lines = []relay.Line{{ID: "1", SKU: "SET", Quantity: relay.Units(3)}}
			b.takeIn(o)
			m, err := b.Mappings(t.Context(), "acme")
			require.NoError(t, err)
			claimed, err := b.Claim(t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
				out, hold := m.Under(b.m.Merchant).Translate(o.Cart, o.CartOrder)
				require.Nil(t, hold)
				return store.Claim{Items: out.Items, Digest: sha256.Sum256([]byte(token))}, nil
			})
			require.NoError(t, err)
			require.Len(t, claimed.Submissions, 1)
			sub := claimed.Submissions[0]
			b.record(accepted(sub))
			check("accepted after the reading", 7, 5, 2, 3)
			net(10, 11, 3, 6)
			check("accepted before the reading", 7, 5, 2, 3)
			b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("CAP", 5), item("MUG", 1))}})
			check("parts of three have left, and one whole", 7, 5, 2, 3)
			net(9, 6, 2, 1)
			check("and were read to have left", 7, 5, 2, 3)
			b.tell()
			check("the cart knows the whole one", 7, 5, 2, 2)
			b.progress(store.Progress{Order: sub.Order.ID, Complete: true, Packages: []relay.Package{parcel("2Z", item("CAP", 1), item("MUG", 2))}})
			b.tell()
			b.want(sub.Order.ID, relay.OrderConfirmed)
			check("all has left", 7, 5, 2, 0)
			net(7, 5, 0, 0)
			check("and was read to have left", 7, 5, 2, 0)
		})
	}
}

func TestKitsThatAreNotSent(t *testing.T) {
	b := newBench(t)
	b.kit("SET")
	_, err := b.EditKits(t.Context(), "acme", store.KitEdit{Set: []relay.Kit{{SKU: "EMPTY"}}, Actor: "clerk"})
	require.NoError(t, err)
	b.reading("available", level("MUG", "", 10))
	require.Equal(t, map[relay.SKU]store.LevelToSend{"MUG": levelOf("MUG", 10, 0)}, b.toSend("shop"), "nobody knows how many caps there are")
	b.m.Unaliased = relay.HoldUnaliased
	b.m.Merchant.Unaliased = relay.HoldUnaliased
	all := b.levels("shop", nil)
	require.Len(t, all, 2)
	require.Equal(t, []relay.SKU{"CAP", "MUG"}, all[1].Missing, "no aliases")
}

// A SKU of the cart is owed what was ordered of it, however many SKUs are one code.
func TestWhatIsOwedIsOwedOnce(t *testing.T) {
	b := newBench(t)
	_, err := b.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "mug-2", Code: "MUG"}}, false, "clerk")
	require.NoError(t, err)
	b.reload()
	b.reading("available", level("MUG", "", 10))
	b.atWarehouse(1) // two of MUG
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"])
	require.Equal(t, levelOf("mug-2", 8, 0), b.toSend("shop")["mug-2"])
}

// Units are taken off, and owed, where the cart has the order.
func TestLocationsOfACart(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	b.rules("shop", relay.StockRules{Locations: map[string][]string{"32": {"W"}, "33": nil}})
	b.rules("outlet", relay.StockRules{Sites: []string{"W"}, Buffer: 1})
	b.reading("available", level("MUG", "E", 10), level("MUG", "W", 5))
	check := func(step string, own, west, outlet store.LevelToSend) {
		t.Helper()
		got := b.toSend("shop")
		require.Equal(t, own, got["MUG"], step)
		require.Equal(t, levelAt("32", west), got["MUG@32"], step)
		require.NotContains(t, got, relay.SKU("MUG@33"), step)
		require.Equal(t, outlet, b.toSend("outlet")["MUG"], step)
	}
	check("at first", levelOf("MUG", 10, 0), levelOf("MUG", 5, 0), levelOf("MUG", 4, 0))
	at := func(n int, location string) {
		o := anOrder(n)
		o.Traits.Location = location
		b.takeIn(o)
		subs := b.claim("me")
		require.Len(t, subs, 1)
		b.record(accepted(subs[0]))
	}
	at(1, "32")
	check("at the further location", levelOf("MUG", 10, 0), levelOf("MUG", 3, 2), levelOf("MUG", 2, 0))
	at(2, "31")
	check("at the own one", levelOf("MUG", 8, 2), levelOf("MUG", 3, 2), levelOf("MUG", 0, 0))
	at(3, "33")
	check("at one that shows nothing", levelOf("MUG", 6, 2), levelOf("MUG", 3, 2), levelOf("MUG", 0, 0))
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
	b.exec(`update orders set state = 'cancelled' where external_id = 'ext-1'`)
	require.Equal(t, map[relay.SKU]store.LevelToSend{"MUG@32": levelAt("32", levelOf("MUG", 5, 0))}, b.toSend("shop"), "only what changed")
	// A location that the rules name no more is not told anything.
	b.rules("shop", relay.StockRules{})
	require.Equal(t, levelOf("MUG", 11, 4), b.toSend("shop")["MUG"])
	for _, l := range b.levels("shop", nil) {
		require.Equal(t, l.Location == "", l.Known, l.Location)
	}
}

// An order that the warehouse is stuck with is on its shelf all the same.
func TestOrdersHeldAtTheWarehouseAreBooked(t *testing.T) {
	b := newBench(t)
	b.reading("on_hand", level("MUG", "", 10))
	sub := b.atWarehouse(1)
	b.exec(`update orders set state = 'held', hold_reason = 'rejected', held_at = now(), first_held_at = now() where id = $1`, sub.Order.ID)
	require.Equal(t, levelOf("MUG", 8, 2), b.toSend("shop")["MUG"])
}

// A reading of only what changed forgets nothing, and all that it did not name
// stands as of its beginning, however long it took.
func TestReadingsOfChanges(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 10), level("CAP", "", 4))
	b.atWarehouse(1) // two of MUG, one of CAP
	began := b.now()
	b.atWarehouse(2)
	// The warehouse had set the first order aside; the second it may or may not have.
	n, err := b.RecordLevels(t.Context(), b.depot(), []relay.InventoryLevel{level("CAP", "", 3)}, "available", b.now())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, levelOf("MUG", 6, 4), b.toSend("shop")["MUG"], "the reading has not ended")
	require.NoError(t, b.RecordLevelsRead(t.Context(), b.depot(), store.LevelsReading{Began: began, Place: "7"}))
	require.Equal(t, levelOf("CAP", 3, 2), b.toSend("shop")["CAP"], "read after both")
	require.Equal(t, levelOf("MUG", 8, 4), b.toSend("shop")["MUG"], "still 10, with the first order, and without the second")
	at, err := b.StockCursor(t.Context(), b.depot())
	require.NoError(t, err)
	require.Equal(t, store.StockCursor{Place: "7"}, at)

	under := store.StockCursor{Place: "8", Began: began}
	require.NoError(t, b.SetStockCursor(t.Context(), b.depot(), under))
	at, err = b.StockCursor(t.Context(), b.depot())
	require.NoError(t, err)
	require.True(t, at.Began.Equal(began))
	require.Equal(t, "8", at.Place)
}

func TestFiguresBeyondAllBoundsAreCut(t *testing.T) {
	b := newBench(t)
	most, _ := relay.MaxQuantity.Whole()
	b.reading("available", level("MUG", "E", most), level("MUG", "W", most))
	require.Equal(t, levelOf("MUG", most, 0), b.toSend("shop")["MUG"])
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
}

func (b *bench) story(name string, orders int) store.StockStory {
	b.t.Helper()
	m, err := b.Mappings(b.t.Context(), b.m.ID)
	require.NoError(b.t, err)
	got, err := b.StockStory(b.t.Context(), b.m, m.Under(b.m.Merchant), b.m.Connections[:1], name, orders)
	require.NoError(b.t, err)
	return got
}

// What is told of a number is what it was made from.
func TestANumberIsExplained(t *testing.T) {
	b := newBench(t)
	_, err := b.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "mug-2", Code: "MUG"}}, false, "clerk")
	require.NoError(t, err)
	b.kit("SET")
	b.rules("shop", relay.StockRules{Buffer: 1, Locations: map[string][]string{"32": {"W"}}})
	b.atWarehouse(1) // two of MUG, one of CAP
	b.reading("available", level("MUG", "E", 10), level("MUG", "W", 4))
	read := b.now()
	b.atWarehouse(2)
	b.atWarehouse(3)
	b.sent("shop", "")

	s := b.story("MUG", 1)
	require.Len(t, s.Codes, 2)
	require.Equal(t, relay.ItemCode("CAP"), s.Codes[0].Code)
	require.Empty(t, s.Codes[0].Sites, "not named")
	mug := s.Codes[1]
	require.Len(t, mug.Sites, 2)
	require.Equal(t, store.SiteStory{Site: "E", Quantity: relay.Units(10), Meaning: "available", ChangedAt: mug.Sites[0].ChangedAt}, mug.Sites[0])
	require.True(t, mug.StandsAsOf.Before(read))
	require.Equal(t, store.OrderUnits{Orders: 2, Units: 4}, mug.Booked)
	require.Equal(t, store.OrderUnits{Orders: 1, Units: 2}, mug.LeftOut)
	require.Equal(t, []store.BookedOrder{{Code: "MUG", Reference: "SO-2", Cart: "shop", State: relay.OrderAtWarehouse, Units: 2}}, mug.Orders, "the first")
	var skus []relay.SKU
	for _, c := range s.Carts {
		skus = append(skus, c.SKU)
		require.Len(t, c.Levels, 2)
	}
	require.Equal(t, []relay.SKU{"MUG", "SET", "mug-2"}, skus, "all that is made of it")
	own := s.Carts[0].Levels[0]
	require.EqualValues(t, 5, own.Available, "10 less 4 booked less 1 kept")
	require.EqualValues(t, 6, own.Owed)
	require.Equal(t, relay.Units(5), own.Sent.Available)
	require.True(t, own.Stands())
	require.Equal(t, "SET", string(s.Carts[1].Mapping.Kit.SKU))
	require.False(t, s.Carts[1].Levels[0].Known)

	s = b.story("mug-2", 10)
	require.Len(t, s.Carts, 1, "a SKU is itself")
	require.Len(t, s.Codes, 1)
	s = b.story("CAP", 10)
	require.Equal(t, relay.SKU("SET"), s.Carts[0].SKU, "a part of a kit, though the warehouse does not name it")
	m, err := b.Mappings(t.Context(), b.m.ID)
	require.NoError(t, err)
	_, err = b.StockStory(t.Context(), b.m, m.Under(b.m.Merchant), b.m.Connections[:1], "nothing", 10)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// A cart that keeps no stock of a kit takes its orders off the parts.
func TestKitsThatTheCartKeepsByParts(t *testing.T) {
	b := newBench(t)
	b.kit("SET")
	b.reading("available", level("MUG", "", 10), level("CAP", "", 20))
	var list []store.LevelSent
	for _, l := range b.levels("shop", store.CartLevel.Due) {
		list = append(list, store.LevelSent{LevelToSend: l.ToSend(), ByParts: l.SKU == "SET"})
	}
	b.recordSent("shop", list)
	o := anOrder(1)
	o.Lines = []relay.Line{{ID: "1", SKU: "SET", Quantity: relay.Units(3)}, {ID: "2", SKU: "MUG", Quantity: relay.Units(1)}}
	b.takeIn(o)
	m, err := b.Mappings(t.Context(), "acme")
	require.NoError(t, err)
	claimed, err := b.Claim(t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
		out, _ := m.Under(b.m.Merchant).Translate(o.Cart, o.CartOrder)
		return store.Claim{Items: out.Items, Digest: sha256.Sum256([]byte(token))}, nil
	})
	require.NoError(t, err)
	b.record(accepted(claimed.Submissions[0]))
	require.Equal(t, map[relay.SKU]store.LevelToSend{"MUG": levelOf("MUG", 6, 4), "CAP": levelOf("CAP", 14, 6), "SET": levelOf("SET", 6, 3)}, b.toSend("shop"))
	b.sent("shop", "")
	b.progress(store.Progress{Order: claimed.Submissions[0].Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 4), item("CAP", 6))}})
	b.tell()
	want := map[relay.SKU]store.LevelToSend{"MUG": levelOf("MUG", 6, 0), "CAP": levelOf("CAP", 14, 0), "SET": levelOf("SET", 6, 0)}
	for sku, l := range want {
		l.Moved = relay.Units(-1)
		want[sku] = l
	}
	require.Equal(t, want, b.toSend("shop"))
}

// A worker that was taken for dead writes its page late: what was read since stands.
func TestALevelOfAnEarlierReading(t *testing.T) {
	b := newBench(t)
	record := func(at time.Time, levels ...relay.InventoryLevel) error {
		_, err := b.RecordLevels(t.Context(), b.depot(), levels, "available", at)
		return err
	}
	b.reading("available", level("MUG", "E", 9), level("CAP", "E", 4))
	late := b.now()
	require.NoError(t, record(b.now(), level("MUG", "E", 0)), "another reading is under way")
	require.ErrorIs(t, record(late, level("MUG", "E", 9)), store.ErrReadOn)
	require.ErrorIs(t, record(late, level("MUG", "W", 9)), store.ErrReadOn, "nor is a site of it closed")
	require.NoError(t, record(late, level("CAP", "E", 4)), "nothing newer is known of it")
	b.reading("available", level("MUG", "E", 0), level("CAP", "E", 4))
	require.ErrorIs(t, record(late, level("CAP", "E", 5)), store.ErrReadOn, "a whole reading has found it unchanged")
	require.ErrorIs(t, b.RecordLevelsRead(t.Context(), b.depot(), store.LevelsReading{Began: late, Codes: []relay.ItemCode{"CAP"}}), store.ErrReadOn, "nor does it end after that one")
	require.Equal(t, levelOf("MUG", 0, 0), b.toSend("shop")["MUG"])
	require.Equal(t, levelOf("CAP", 4, 0), b.toSend("shop")["CAP"])
}
