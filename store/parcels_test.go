package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
	"orderferry/store"
)

func lines(pairs ...int64) []relay.ShippedLine {
	var out []relay.ShippedLine
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, relay.ShippedLine{Line: relay.LineID(fmt.Sprint(pairs[i])), Units: pairs[i+1]})
	}
	return out
}

// A pick that grows, cartons whose lines come one by one, a parcel over two files: the
// cart is told of the rest as of a further shipment of the same number.
func TestAParcelThatGrows(t *testing.T) {
	for name, told := range map[string]bool{"after it was told": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.atWarehouse(1).Order.ID
			b.progress(store.Progress{Order: id, Working: true, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}})
			first := b.toTell()
			if told {
				b.tell()
			}
			grown := store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2), item("CAP", 1))}}
			require.Equal(t, store.Recorded{Carts: []store.ConnectionID{b.cart("shop").ID}}, b.progress(grown), "it is no new parcel")
			require.Equal(t, store.EventPackageGrew, b.kinds(id)[len(b.kinds(id))-1])
			require.Len(t, field(t, b.last(id), "contents"), 2)

			list := b.toTell()
			if !told {
				require.Equal(t, first[0], list[0], "the cart may be hearing of it just now")
				list = list[1:]
			}
			require.Len(t, list, 1)
			require.Equal(t, []string{"1Z"}, list[0].TrackingNumbers)
			require.Equal(t, lines(1, 1, 2, 1), list[0].Lines)
			require.NotEqual(t, first[0].Key, list[0].Key)
			require.Equal(t, 1, b.tell())
			b.want(id, relay.OrderConfirmed)
			require.Equal(t, store.Recorded{}, b.progress(grown), "known already")
			require.Equal(t, store.Recorded{}, b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 1)), parcel("1Z", item("CAP", 1))}}), "nor does it shrink")
			require.Equal(t, store.Recorded{}, b.progress(store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 7), item("PEN", 1))}}), "nothing more was ordered")
		})
	}
}

// The cart takes units off its stock with each shipment that it is told of: what it was
// sent is stale after each.
func TestStockOfAParcelThatGrows(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.exec(`insert into sent_levels (cart_id, sku, location, available, owed, sent_at) select cart_id, 'MUG', '', 5, 2, now() from orders`)
	for i, units := range []int64{1, 2} {
		b.progress(store.Progress{Order: id, Working: true, Packages: []relay.Package{parcel("1Z", item("MUG", units))}})
		b.tell()
		require.Equal(t, []int64{int64(-i - 1)}, list[int64](b, `select owed::bigint from sent_levels`))
	}
	require.Equal(t, []int64{2}, list[int64](b, `select sum(units)::bigint from shipment_lines`))
}

// A file of an order that ended brings the rest of a parcel.
func TestAParcelOfAConfirmedOrderGrows(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
	b.tell()
	b.want(id, relay.OrderConfirmed)
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("CAP", 1))}})
	require.Equal(t, lines(2, 1), b.toTell()[0].Lines)
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

// What a parcel of a kit's parts lacked turns up in it: its number is told once.
func TestAParcelWithAPartOfAKitGrows(t *testing.T) {
	b := newBench(t)
	id := b.shipping(1, giftMappings, sku(1, "GIFT", 2))
	b.ship(id, parcel("1Z", item("MUG", 2)))
	require.Empty(t, b.toTell())
	b.ship(id, parcel("1Z", item("MUG", 2), item("CAP", 1)))
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"1Z"}, told[0].TrackingNumbers)
	require.Equal(t, lines(1, 1), told[0].Lines)
	b.tell()
	b.ship(id, parcel("1Z", item("MUG", 3), item("CAP", 1)), parcel("2Z", item("CAP", 1)))
	require.Empty(t, b.toTell(), "a mug is missing")
	b.ship(id, parcel("1Z", item("MUG", 4), item("CAP", 1)), parcel("2Z", item("CAP", 1)))
	told = b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, []string{"1Z", "2Z"}, told[0].TrackingNumbers)
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

// Trackers are told before picks: the contents come to a parcel that is known.
func TestContentsComeAfterTheParcel(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Working: true, Packages: []relay.Package{parcel("1Z")}})
	require.Empty(t, b.toTell())
	got := b.progress(store.Progress{Order: id, Working: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
	require.Equal(t, store.Recorded{Carts: []store.ConnectionID{b.cart("shop").ID}}, got)
	require.Equal(t, store.EventContentsTold, b.kinds(id)[len(b.kinds(id))-1])
	told := b.toTell()
	require.Len(t, told, 1)
	require.Equal(t, lines(1, 2), told[0].Lines)
	b.tell()

	// Nothing of it is unknown any more, so nothing is assumed.
	b.exec(`update shipments set seen_at = now() - interval '3 days'`)
	_, err := b.SettleOverdue(t.Context(), b.depot(), time.Hour, "test")
	require.NoError(t, err)
	require.Empty(t, b.toTell())
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2)), parcel("2Z", item("CAP", 1))}})
	require.Equal(t, lines(2, 1), b.toTell()[0].Lines)
	require.Equal(t, 1, b.tell())
}

func TestContentsComeWithTheLastWord(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Working: true, Packages: []relay.Package{parcel("1Z"), parcel("2Z"), parcel("3Z")}})
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2)), parcel("2Z", item("PEN", 1)), parcel("3Z", item("CAP", 1))}})
	told := b.toTell()
	require.Len(t, told, 2, "each has its own contents")
	require.Equal(t, lines(1, 2), told[0].Lines)
	require.Equal(t, lines(2, 1), told[1].Lines)
	require.Equal(t, []string{"ready", "surplus", "ready"}, list[string](b, `select state from shipments order by id`))
	require.Equal(t, 1, b.tell())
}

// In one page: the parcel has no number in the ledger yet.
func TestContentsComeInTheSamePage(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(
		store.Progress{Order: id, Packages: []relay.Package{parcel("1Z")}},
		store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}},
		store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}},
		store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("CAP", 1))}},
	)
	var all []relay.ShippedLine
	for _, s := range b.toTell() {
		require.Equal(t, []string{"1Z"}, s.TrackingNumbers)
		all = append(all, s.Lines...)
	}
	require.Equal(t, append(lines(1, 1), lines(1, 1, 2, 1)...)[:2], all[:2])
	require.Equal(t, 1, b.tell())
	b.want(id, relay.OrderConfirmed)
}

// Who carries a parcel may be known before or after the parcel is: it is one all the same.
func TestTheCarrierIsNotAlwaysTold(t *testing.T) {
	by := func(carrier string) relay.Package {
		p := parcel("1Z", item("MUG", 1))
		p.Carrier = carrier
		return p
	}
	for name, carriers := range map[string][]string{"comes later": {"", "USPS"}, "is lost": {"USPS", ""}, "comes and goes": {"", "USPS", "", "usps"}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			id := b.atWarehouse(1).Order.ID
			key := ""
			for i, carrier := range carriers {
				b.progress(store.Progress{Order: id, Working: true, Packages: []relay.Package{by(carrier)}})
				told := b.toTell()
				if i == 0 {
					require.Len(t, told, 1)
					key = told[0].Key
					b.tell()
				} else {
					require.Empty(t, told)
				}
			}
			require.Equal(t, []string{key}, list[string](b, `select package_key from shipments`))
			require.Equal(t, []string{"USPS"}, list[string](b, `select carrier from shipments`))
			require.Equal(t, 1, b.progress(store.Progress{Order: id, Packages: []relay.Package{by("UPS")}}).Packages, "another carrier's is another parcel")
		})
	}

	// A cart may have been told of it, and the reply be lost: it is told the same again.
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Packages: []relay.Package{by("")}})
	was := b.toTell()
	b.progress(store.Progress{Order: id, Packages: []relay.Package{by("USPS")}})
	require.Equal(t, was, b.toTell())
}

// The warehouse says that this was all, and its parcels hold less than was ordered.
func TestShippedShort(t *testing.T) {
	short := func(b *bench, end store.Progress) relay.OrderID {
		id := b.atWarehouse(1).Order.ID
		end.Order, end.Packages = id, []relay.Package{parcel("1Z", item("MUG", 1))}
		b.progress(end)
		return id
	}
	for name, c := range map[string]struct {
		end    store.Progress
		cancel bool
		alert  bool
	}{
		"complete":             {store.Progress{Complete: true}, false, true},
		"the rest is given up": {store.Progress{Cancelled: true}, false, true},
		"as a person wanted":   {store.Progress{Cancelled: true}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAlertBench(t)
			id := b.atWarehouse(1).Order.ID
			if c.cancel {
				b.cancel(id)
			}
			c.end.Order, c.end.Packages = id, []relay.Package{parcel("1Z", item("MUG", 1))}
			b.progress(c.end)
			require.Equal(t, !c.alert, field(t, b.event(id, store.EventShippedShort), "asked"))
			require.Len(t, field(t, b.event(id, store.EventShippedShort), "left"), 2)
			require.Equal(t, 1, b.tell())
			b.want(id, relay.OrderConfirmed)
			b.lookAfter()
			if c.alert {
				require.Contains(t, b.alerts(), relay.AlertCause("order/SO-1/shipped_short"))
			} else {
				require.NotContains(t, b.alerts(), relay.AlertCause("order/SO-1/shipped_short"))
			}
			kinds := b.kinds(id)
			b.progress(c.end)
			require.Equal(t, kinds, b.kinds(id), "said once")
		})
	}

	// The rest leaves after all, and nobody is needed any more.
	b := newAlertBench(t)
	id := short(b, store.Progress{Complete: true})
	b.lookAfter()
	rest := store.Progress{Order: id, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}}
	b.progress(rest)
	b.lookAfter()
	require.Contains(t, b.alerts(), relay.AlertCause("order/SO-1/shipped_short"), "a cap is missing still")
	rest.Packages = append(rest.Packages, parcel("2Z", item("CAP", 1)))
	b.progress(rest)
	require.Equal(t, store.AlertChange{Closed: 1}, b.lookAfter())
}

// That an order is complete is no short shipment where contents are not known, or none
// of it has left yet.
func TestNotShippedShort(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Complete: true})
	b.progress(store.Progress{Order: id, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 1)), parcel("2Z")}})
	require.NotContains(t, b.kinds(id), store.EventShippedShort)
	other := b.atWarehouse(2).Order.ID
	b.progress(store.Progress{Order: other, Complete: true})
	require.Equal(t, 1, b.progress(store.Progress{Order: other, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}}).Alarms, "said when it is known")
}

// A warehouse that tells of all its parcels has another one in the place of one that was known.
func TestRelabelled(t *testing.T) {
	for name, c := range map[string]struct {
		full, told, event, alert bool
		now                      []relay.Package
	}{
		"told":                     {true, true, true, true, []relay.Package{parcel("1R", item("MUG", 1))}},
		"not told yet":             {true, false, true, false, []relay.Package{parcel("1R")}},
		"news only":                {false, true, false, false, []relay.Package{parcel("1R", item("MUG", 1))}},
		"no other in its place":    {true, true, false, false, nil},
		"only without its carrier": {true, true, false, false, []relay.Package{{TrackingNumber: "1Z"}, parcel("2Z", item("CAP", 1))}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAlertBench(t)
			id := b.atWarehouse(1).Order.ID
			first := parcel("1Z")
			if c.told {
				first = parcel("1Z", item("MUG", 1))
			}
			b.progress(store.Progress{Order: id, Full: true, Packages: []relay.Package{first}})
			b.tell()
			got := b.progress(store.Progress{Order: id, Full: c.full, Packages: c.now})
			require.Equal(t, c.alert, got.Alarms == 1)
			require.Equal(t, c.event, slices.Contains(b.kinds(id), store.EventRelabelled))
			if c.event {
				e := b.event(id, store.EventRelabelled)
				require.Equal(t, "1Z", field(t, e, "tracking_number"))
				require.Equal(t, c.told, field(t, e, "told"))
			}
			b.lookAfter()
			_, called := b.alerts()["order/SO-1/relabelled"]
			require.Equal(t, c.alert, called)
			if c.event { // once, also when one more comes
				kinds := b.kinds(id)
				b.progress(store.Progress{Order: id, Full: true, Packages: append(c.now, parcel("3R", item("CAP", 1)))})
				require.Equal(t, append(kinds, store.EventPackage), b.kinds(id))
			}
		})
	}
}

// A carrier by another name makes no other parcel of a number, where all are told.
func TestTheCarrierIsRenamed(t *testing.T) {
	b := newBench(t)
	id := b.atWarehouse(1).Order.ID
	b.progress(store.Progress{Order: id, Working: true, Full: true, Packages: []relay.Package{parcel("1Z", item("MUG", 1))}})
	b.tell()
	kinds := b.kinds(id)
	ground := parcel("1Z", item("MUG", 1))
	ground.Carrier = "USPS Ground"
	require.Equal(t, store.Recorded{}, b.progress(store.Progress{Order: id, Working: true, Full: true, Packages: []relay.Package{ground}}))
	require.Equal(t, kinds, b.kinds(id))
	both := b.progress(store.Progress{Order: id, Working: true, Full: true, Packages: []relay.Package{parcel("1Z", item("MUG", 1)), ground}})
	require.Equal(t, 1, both.Packages, "two carriers may have one number")
}

// However little by little it is known what is in which parcel, and whatever was told
// meanwhile: in the end the cart knows of each line what the parcels hold, and at no
// time more.
func TestWhateverIsKnownLater(t *testing.T) {
	b := newBench(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		mappings := relay.NewMappings(nil, []relay.Kit{kit("GIFT", 2, "MUG", 1, "CAP")}).Under(relay.Merchant{Unaliased: relay.SendUnaliased})
		var ordered []relay.Line
		for i, s := range rapid.SliceOfN(rapid.SampledFrom([]relay.SKU{"GIFT", "MUG", "CAP", "PEN"}), 1, 3).Draw(rt, "skus") {
			ordered = append(ordered, sku(i+1, s, rapid.Int64Range(1, 3).Draw(rt, "units")))
		}
		n++
		id := b.shipping(n, mappings, ordered...)
		to, hold := mappings.Translate("shop", relay.CartOrder{Lines: ordered})
		require.Nil(rt, hold)

		// Each unit is in one of three parcels.
		truth := make([]map[relay.ItemCode]int64, 3)
		for i := range truth {
			truth[i] = make(map[relay.ItemCode]int64)
		}
		for _, it := range relay.MergeItems(to.Items) {
			for range it.Units {
				truth[rapid.IntRange(0, 2).Draw(rt, "in")][it.Code]++
			}
		}
		codes := []relay.ItemCode{"CAP", "MUG", "PEN"}
		seen := make([]map[relay.ItemCode]int64, 3) // what the warehouse says by now; nil: nothing of the parcel
		report := func() {
			var packages []relay.Package
			for i, s := range seen {
				if s == nil {
					continue
				}
				p := parcel(fmt.Sprintf("%d-%d", n, i))
				if rapid.IntRange(0, 3).Draw(rt, "carrier") == 0 {
					p.Carrier = ""
				}
				for _, code := range codes {
					if s[code] > 0 {
						p.Items = append(p.Items, item(code, s[code]))
					}
				}
				packages = append(packages, p)
			}
			b.progress(store.Progress{Order: id, Working: true, Full: true, Packages: packages})
		}
		told := make(map[relay.LineID]int64)
		keys := make(map[string]bool)
		tell := func() {
			for _, s := range b.toTell() {
				require.False(rt, keys[s.Key], "%s is told once", s.Key)
				keys[s.Key] = true
				for _, l := range s.Lines {
					told[l.Line] += l.Units
				}
			}
			b.tell()
			for _, l := range ordered {
				units, _ := l.Quantity.Whole()
				require.LessOrEqual(rt, told[l.ID], units)
			}
		}
		for range rapid.IntRange(1, 5).Draw(rt, "reports") {
			i := rapid.IntRange(0, 2).Draw(rt, "parcel")
			if seen[i] == nil {
				seen[i] = make(map[relay.ItemCode]int64)
			}
			for _, code := range codes {
				if more := truth[i][code] - seen[i][code]; more > 0 {
					seen[i][code] += rapid.Int64Range(0, more).Draw(rt, "more")
				}
			}
			report()
			if rapid.Bool().Draw(rt, "tell") {
				tell()
			}
		}
		for i := range truth {
			if len(truth[i]) > 0 || seen[i] != nil {
				seen[i] = truth[i]
			}
		}
		report()
		b.progress(store.Progress{Order: id, Complete: true})
		tell()
		for _, l := range ordered {
			units, _ := l.Quantity.Whole()
			require.Equal(rt, units, told[l.ID], "line %s", l.ID)
		}
		require.NotContains(rt, b.kinds(id), store.EventShippedShort)
		require.NotContains(rt, b.kinds(id), store.EventRelabelled)
		require.Equal(rt, relay.OrderConfirmed, b.state(id))
	})
}
