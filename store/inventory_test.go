package store_test

import (
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
	require.NoError(b.t, b.RecordLevelsRead(b.t.Context(), b.depot(), codes, now))
	return n
}

func (b *bench) toSend(cart relay.ConnectionName) map[relay.SKU]store.LevelToSend {
	b.t.Helper()
	got, err := b.LevelsToSend(b.t.Context(), b.m, b.cart(cart).ID, cart, 100)
	require.NoError(b.t, err)
	out := make(map[relay.SKU]store.LevelToSend)
	for _, l := range got {
		out[l.SKU] = l
	}
	return out
}

func (b *bench) sent(cart relay.ConnectionName, mistake string) {
	b.t.Helper()
	var list []store.LevelSent
	for _, l := range b.toSend(cart) {
		list = append(list, store.LevelSent{LevelToSend: l, Error: mistake, Retry: time.Hour})
	}
	require.NoError(b.t, b.RecordSent(b.t.Context(), b.cart(cart).ID, list))
}

func levelOf(sku relay.SKU, available, owed int64) store.LevelToSend {
	return store.LevelToSend{SKU: sku, Code: relay.ItemCode(sku), Available: relay.Units(available), Owed: relay.Units(owed)}
}

func TestLevelsAreWrittenWhenTheyChange(t *testing.T) {
	b := newBench(t)
	require.Equal(t, 2, b.reading("available", level("MUG", "E", 5), level("MUG", "W", 7)))
	require.Equal(t, 0, b.reading("available", level("MUG", "E", 5), level("MUG", "W", 7)))
	require.Equal(t, levelOf("MUG", 12, 0), b.toSend("shop")["MUG"])
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
	last, err := b.LastSent(t.Context(), b.cart("shop").ID)
	require.NoError(t, err)
	require.Zero(t, last)
	b.reading("available", level("MUG", "", 5), level("CAP", "", -3))
	require.Equal(t, map[relay.SKU]store.LevelToSend{"MUG": levelOf("MUG", 5, 0), "CAP": levelOf("CAP", 0, 0)}, b.toSend("shop"))
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
	last, err = b.LastSent(t.Context(), b.cart("shop").ID)
	require.NoError(t, err)
	require.False(t, last.IsZero())

	b.reading("available", level("MUG", "", 4))
	require.Len(t, b.toSend("shop"), 1)
	b.sent("shop", "no such SKU")
	require.Empty(t, b.toSend("shop"), "not before its retry")
	b.exec(`update cart_levels set retry_at = now() where error is not null`)
	require.Len(t, b.toSend("shop"), 1)
	b.sent("shop", "no such SKU")
	b.reading("available", level("MUG", "", 3))
	require.Len(t, b.toSend("shop"), 1, "unless the figure changes")
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
	require.NoError(t, b.RecordSent(t.Context(), b.cart("shop").ID, nil))
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
	require.Equal(t, levelOf("MUG", 8, 0), b.toSend("shop")["MUG"])
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
	few, err := b.LevelsToSend(t.Context(), b.m, b.cart("shop").ID, "shop", 1)
	require.NoError(t, err)
	require.Len(t, few, 1)
}
