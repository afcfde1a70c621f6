package store_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
	"orderferry/store"
)

// giftMappings: a GIFT is two MUG and one CAP; other SKUs are their own codes.
var giftMappings = relay.NewMappings(nil, []relay.Kit{kit("GIFT", 2, "MUG", 1, "CAP")}).Under(relay.Merchant{Unaliased: relay.SendUnaliased})

// shipping brings an order with the given lines to the warehouse, translated with mappings.
func (b *bench) shipping(n int, mappings relay.Mappings, lines ...relay.Line) relay.OrderID {
	b.t.Helper()
	o := anOrder(n)
	o.Lines = lines
	b.takeIn(o)
	claimed, err := b.Claim(b.t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
		to, hold := mappings.Translate(o.Cart, o.CartOrder)
		return store.Claim{Hold: hold, Items: to.Items, Service: to.Service, Digest: sha256.Sum256([]byte(token))}, nil
	})
	require.NoError(b.t, err)
	require.Len(b.t, claimed.Submissions, 1)
	sub := claimed.Submissions[0]
	b.record(accepted(sub))
	return sub.Order.ID
}

func (b *bench) ship(id relay.OrderID, packages ...relay.Package) store.Recorded {
	b.t.Helper()
	return b.progress(store.Progress{Order: id, Packages: packages})
}

func TestAKitIsToldWhenItsLastPartLeaves(t *testing.T) {
	b := newBench(t)
	id := b.shipping(1, giftMappings, sku(1, "GIFT", 2))
	require.Equal(t, []string{"MUG 4 2", "CAP 2 1"}, list[string](b, `select code || ' ' || units || ' ' || per from submission_items order by position`))

	require.Equal(t, store.Recorded{Packages: 1}, b.ship(id, parcel("1Z", item("MUG", 3))), "a part of two kits: nothing to tell yet")
	require.NotNil(t, field(t, b.last(id), "parts"))
	b.want(id, relay.OrderShipped)
	require.Empty(t, b.toTell())
	require.Equal(t, store.Recorded{}, b.ship(id, parcel("1Z", item("MUG", 3))), "known already")

	require.Len(t, b.ship(id, parcel("2Z", item("CAP", 1))).Carts, 1)
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"2Z", "1Z"}, told[0].TrackingNumbers)
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}}, told[0].Lines)
	require.Zero(t, b.tell())

	b.ship(id, parcel("3Z", item("CAP", 1)), parcel("4Z", item("MUG", 1)))
	told = b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"4Z", "3Z"}, told[0].TrackingNumbers, "of one report, too")
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}}, told[0].Lines)
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)

	b.ship(id, parcel("5Z", item("MUG", 1)))
	require.Equal(t, "surplus", list[string](b, `select state from shipments order by id desc limit 1`)[0])
}

func TestAKitBesideAPlainLineOfItsPart(t *testing.T) {
	b := newBench(t)
	id := b.shipping(1, giftMappings, sku(1, "GIFT", 1), sku(2, "MUG", 1))
	b.ship(id, parcel("1Z", item("MUG", 1)))
	told := b.toTell()
	require.Len(t, told, 1, "it makes the plain line whole")
	require.Equal(t, []relay.ShippedLine{{Line: "2", Units: 1}}, told[0].Lines)
	b.ship(id, parcel("2Z", item("CAP", 1)))
	require.Len(t, b.toTell(), 1, "no mug of the kit has left")
	b.ship(id, parcel("3Z", item("MUG", 2)))
	told = b.toTell()
	require.Len(t, told, 2)
	require.Equal(t, []string{"3Z", "2Z"}, told[1].TrackingNumbers)
	require.Equal(t, 1, b.tell())
}

// No tracking number is lost, whatever becomes of the rest of the kit.
func TestWhatEndsAKitThatIsNeverWhole(t *testing.T) {
	for name, c := range map[string]struct {
		end     store.Progress
		lines   []relay.ShippedLine
		numbers []string
		state   relay.OrderState
	}{
		"the warehouse says that was all": {store.Progress{Complete: true}, []relay.ShippedLine{{Line: "1", Units: 1}}, []string{"1Z"}, relay.OrderConfirmed},
		"the rest is cancelled":           {store.Progress{Cancelled: true}, []relay.ShippedLine{{Line: "1", Units: 1}}, []string{"1Z"}, relay.OrderConfirmed},
		"a substitute is sent": {
			store.Progress{Complete: true, Packages: []relay.Package{parcel("2Z", item("HAT", 1))}},
			[]relay.ShippedLine{{Line: "1", Units: 2}, {Line: "2", Units: 1}}, []string{"1Z", "2Z"}, relay.OrderConfirmed,
		},
		"the rest comes in a parcel of unknown contents": {
			store.Progress{Complete: true, Packages: []relay.Package{parcel("2Z")}},
			[]relay.ShippedLine{{Line: "1", Units: 2}, {Line: "2", Units: 1}}, []string{"1Z", "2Z"}, relay.OrderConfirmed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.shipping(1, giftMappings, sku(1, "GIFT", 2), sku(2, "PEN", 1))
			b.ship(id, parcel("1Z", item("MUG", 2)))
			c.end.Order = id
			b.progress(c.end)
			told := b.toTell()
			require.Len(t, told, 1)
			require.Equal(t, c.numbers, told[0].TrackingNumbers)
			require.Equal(t, c.lines, told[0].Lines)
			require.Equal(t, 1, b.tell())
			b.want(id, c.state)
		})
	}
}

// An hour without news does not make a kit whole: the rest may be on back order.
func TestAPartOfAKitWaitsForTwoWeeks(t *testing.T) {
	b := newBench(t)
	id := b.shipping(1, giftMappings, sku(1, "GIFT", 1), sku(2, "PEN", 1))
	overdue := func() {
		_, err := b.SettleOverdue(t.Context(), b.depot(), time.Hour, "test")
		require.NoError(t, err)
	}
	b.ship(id, parcel("1Z", item("MUG", 2)))
	b.exec(`update shipments set seen_at = now() - interval '13 days'`)
	overdue()
	require.Empty(t, b.toTell())
	b.exec(`update shipments set seen_at = now() - interval '15 days'`)
	overdue()
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []relay.ShippedLine{{Line: "1", Units: 1}}, told[0].Lines, "and not what has nothing to do with it")
	b.tell()
	overdue()
	b.want(id, relay.OrderShipped)
	b.ship(id, parcel("2Z", item("PEN", 1)))
	require.Equal(t, 1, b.tell(), "the rest of the order is told when it leaves")
	b.want(id, relay.OrderConfirmed)

	// Of a parcel of unknown contents beside it an hour is enough.
	id = b.shipping(2, giftMappings, sku(1, "GIFT", 1))
	b.ship(id, parcel("3Z", item("MUG", 2)), parcel("4Z"))
	b.exec(`update shipments set seen_at = now() - interval '61 minutes' where order_id = $1`, id)
	overdue()
	told = b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"3Z", "4Z"}, told[0].TrackingNumbers)
}

// Over any split of kits and plain lines into packages, reported in any order
// and in any batches, and told now or later: each tracking number is told once,
// no line is told beyond what was ordered, and all of it in the end.
func TestEveryTrackingNumberIsToldOnce(t *testing.T) {
	b := newBench(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		mappings := relay.NewMappings([]relay.Alias{{SKU: "RED", Code: "MUG"}}, []relay.Kit{
			kit("GIFT", 2, "MUG", 1, "CAP"), kit("SET", 1, "RED", 1, "PEN"), kit("PAIR", 2, "CAP"), kit("BOTH", 1, "MUG", 1, "RED"),
		}).Under(relay.Merchant{Unaliased: relay.SendUnaliased})
		var lines []relay.Line
		for i, s := range rapid.SliceOfN(rapid.SampledFrom([]relay.SKU{"GIFT", "SET", "PAIR", "BOTH", "MUG", "CAP", "PEN"}), 1, 4).Draw(rt, "skus") {
			lines = append(lines, sku(i+1, s, rapid.Int64Range(1, 3).Draw(rt, "units")))
		}
		n++
		id := b.shipping(n, mappings, lines...)
		to, hold := mappings.Translate("shop", relay.CartOrder{Lines: lines})
		require.Nil(rt, hold)

		told, seen := make(map[relay.LineID]int64), make(map[string]int)
		tell := func() {
			for _, s := range b.toTell() {
				for _, number := range s.TrackingNumbers {
					seen[number]++
				}
				for _, l := range s.Lines {
					told[l.Line] += l.Units
				}
			}
			b.tell()
		}
		left := relay.MergeItems(to.Items)
		var report []relay.Package
		packages := 0
		for len(left) > 0 {
			var in []relay.Item
			for range rapid.IntRange(1, 2).Draw(rt, "codes") {
				if len(left) == 0 {
					break
				}
				i := rapid.IntRange(0, len(left)-1).Draw(rt, "code")
				units := rapid.Int64Range(1, left[i].Units).Draw(rt, "portion")
				in = append(in, relay.Item{Code: left[i].Code, Units: units})
				if left[i].Units -= units; left[i].Units == 0 {
					left = slices.Delete(left, i, i+1)
				}
			}
			if rapid.IntRange(0, 4).Draw(rt, "surplus") == 0 {
				in = append(in, relay.Item{Code: "NEVER ORDERED", Units: 1})
			}
			packages++
			report = append(report, parcel(fmt.Sprintf("%d-%d", n, packages), in...))
			if rapid.Bool().Draw(rt, "reported") || len(left) == 0 {
				b.ship(id, report...) // with all that was reported before
			}
			if rapid.Bool().Draw(rt, "told") {
				tell()
			}
			for _, l := range lines {
				units, _ := l.Quantity.Whole()
				require.LessOrEqual(rt, told[l.ID], units)
			}
		}
		tell()
		for _, l := range lines {
			units, _ := l.Quantity.Whole()
			require.Equal(rt, units, told[l.ID], "line %s", l.ID)
		}
		require.Len(rt, seen, packages)
		for number, times := range seen {
			require.Equal(rt, 1, times, number)
		}
		require.Equal(rt, relay.OrderConfirmed, b.state(id))
	})
}
