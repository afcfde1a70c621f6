package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
)

var small = shape{orders: 400, kills: 30, merchants: 6, restarts: 1, cuts: 1, temporals: 1, vendorEach: 1, life: time.Second}

func TestASeedDrawsTheSameAgain(t *testing.T) {
	require.Equal(t, newPlan(7, small), newPlan(7, small))
	require.NotEqual(t, newPlan(7, small).sales, newPlan(8, small).sales)
	require.Equal(t, newPlan(7, small).end(3), newPlan(7, small).end(3))
	require.NotEqual(t, newPlan(7, small).end(3), newPlan(7, small).end(4))
	more := small
	more.cuts, more.vendorEach = 5, 3
	require.Equal(t, newPlan(7, small).sales, newPlan(7, more).sales, "each concern draws for itself")
}

func TestLivesEndInEveryWay(t *testing.T) {
	p, ends := newPlan(1, small), map[string]int{}
	for i := range 200 {
		switch e := p.end(i); {
		case e.asked:
			ends["asked to stop"]++
		case e.random:
			ends["killed at random"]++
		default:
			ends["at a point"]++
		}
	}
	require.Len(t, ends, 3)
	require.Greater(t, ends["at a point"], 100)
}

func TestAPlanHasEverything(t *testing.T) {
	p := newPlan(1, small)
	fates, deeds, numbers := map[shop.Fate]int{}, map[deed]int{}, map[orderKey]bool{}
	for _, s := range p.sales {
		require.Less(t, s.at, small.kills)
		fates[s.fate]++
		deeds[s.then]++
		a := shop.Account{Merchant: merchantOf(s.merchant)}
		name := a.Merchant.Carts[s.n%len(a.Merchant.Carts)]
		numbers[orderKey{s.merchant, audit.Key{Cart: relay.ConnectionName(name), Number: a.Number(s.n)}}] = true
	}
	require.Len(t, numbers, small.orders, "no number twice")
	for _, f := range []shop.Fate{shop.Ships, shop.Late, shop.Short, shop.Coming, shop.Unknown} {
		require.NotZero(t, fates[f], f)
	}
	for _, d := range []deed{leave, voidIt, cancelIt, changeAddress, changeLine, holdAndRelease, holdAndCancel, cancelAndRegret, voidAndRestore} {
		require.NotZero(t, deeds[d], d)
	}
	kinds := map[string]int{}
	for _, f := range p.vendors {
		require.Less(t, f.at, small.kills)
		kinds[f.vendor+" "+f.Kind]++
		require.Contains(t, usersOf(f.vendor, small.merchants), f.merchant)
	}
	for _, v := range shop.Vendors() {
		for _, kind := range v.Faults {
			require.Equal(t, 1, kinds[v.Name+" "+kind.Name], kind)
		}
	}
	strays := map[stray]int{}
	for _, c := range p.changes {
		require.Less(t, c.at, small.kills)
		if c.what == compare {
			require.True(t, comparesBooks(c.merchant))
			strays[c.stray]++
		}
	}
	require.Len(t, strays, 3)
	require.Len(t, p.tricks, len(tricks()))
	require.Len(t, p.outages, 3)
	for _, o := range p.outages {
		require.Less(t, o.at, small.kills)
		require.LessOrEqual(t, o.lasts, 6*time.Second)
	}
}

// Comparing books and calling people make up for losses: each is done for merchants
// of every pairing, and as many have neither.
func TestEveryPairingHasMerchantsOfEachKind(t *testing.T) {
	n := 3 * len(pairings())
	dealt := map[string]map[int]bool{}
	for i := range n {
		kind := "neither"
		switch {
		case comparesBooks(i):
			require.False(t, callsPeople(i))
			kind = "books"
		case callsPeople(i):
			kind = "people"
		}
		if dealt[kind] == nil {
			dealt[kind] = map[int]bool{}
		}
		dealt[kind][i%len(pairings())] = true
	}
	require.Len(t, dealt, 3)
	for kind, all := range dealt {
		require.Len(t, all, len(pairings()), kind)
	}
}
