package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// part is a second merchant that reads the same account, such as another country's,
// and what claims its orders.
func (b *bench) part(page ...relay.CartOrder) func() store.Claimed {
	b.t.Helper()
	m := storetest.Save(b.t, b.Store, storetest.Merchant("birch"))
	shop, _ := m.Connection("shop")
	_, err := b.TakeIn(b.t.Context(), shop, page, "orders", "read", "test")
	require.NoError(b.t, err)
	return func() store.Claimed {
		q := b.query("part")
		q.Merchant, q.Divisible = m, []string{"tradegecko"}
		got, err := b.Claim(b.t.Context(), q, translate)
		require.NoError(b.t, err)
		return got
	}
}

func TestAnOrderThatMovesToAnotherPartOfItsAccount(t *testing.T) {
	b := newBench(t)
	other := func(change func(*relay.CartOrder)) relay.CartOrder {
		o := anOrder(1)
		change(&o)
		return o
	}
	sub := b.atWarehouse(1)
	claim := b.part(anOrder(1), other(func(o *relay.CartOrder) { o.ExternalID = "ext-2" }))
	got := claim()
	require.Len(t, got.Submissions, 1)
	require.Equal(t, relay.ExternalID("ext-2"), got.Submissions[0].Order.ExternalID)
	require.Equal(t, 1, got.Held)
	ids := list[relay.OrderID](b, `select id from orders where merchant_id = 'birch' and external_id = 'ext-1'`)
	require.Len(t, ids, 1)
	d, err := b.Order(t.Context(), ids[0])
	require.NoError(t, err)
	require.Equal(t, "bad_order: already_sent acme/shop SO-1", d.Hold.Headline())

	resend := func() store.Claimed {
		q := b.query("resend")
		m, err := b.Merchant(t.Context(), "birch")
		require.NoError(t, err)
		q.Merchant, q.Held, q.Divisible = m, ids, []string{"tradegecko"}
		got, err := b.Claim(t.Context(), q, translate)
		require.NoError(t, err)
		return got
	}
	require.Equal(t, 1, resend().Held, "as long as the first warehouse has it")
	_, err = b.RequestCancel(t.Context(), sub.Order.ID, store.CancelAsk{Actor: "operator clerk"})
	require.NoError(t, err)
	require.Equal(t, 1, resend().Held, "it is only asked to cancel")
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: sub.Order.ID, Done: true, Evidence: "cancelled"}}))
	b.want(sub.Order.ID, relay.OrderCancelled)
	require.Len(t, resend().Submissions, 1, "nobody has it any more")
}

func TestWhatIsNotTheSameOrder(t *testing.T) {
	for name, c := range map[string]struct {
		order func(*relay.CartOrder)
		first func(*bench, store.Submission)
		same  bool
	}{
		"it is the same": {same: true},
		"another id":     {order: func(o *relay.CartOrder) { o.ExternalID = "ext-9" }},
		"another time":   {order: func(o *relay.CartOrder) { o.PlacedAt = o.PlacedAt.Add(time.Second) }},
		"another address": {first: func(b *bench, _ store.Submission) {
			b.exec(`update connections set base_url = 'http://elsewhere.test'`)
		}},
		"a shop on files": {first: func(b *bench, _ store.Submission) { b.exec(`update connections set connector = 'csv'`) }},
		"it was refused":  {first: func(b *bench, sub store.Submission) { b.record(refused(sub)) }},
		"it may be there": {first: func(b *bench, sub store.Submission) { b.record(unknown(sub)) }, same: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			sub := b.submitting(1)
			o := anOrder(1)
			if c.order != nil {
				c.order(&o)
			}
			if c.first != nil {
				c.first(b, sub)
			}
			claim := b.part(o)
			got := claim()
			require.Equal(t, c.same, len(got.Submissions) == 0)
			require.Equal(t, c.same, got.Held == 1)
		})
	}
}

func TestTwoPartsClaimAtOnce(t *testing.T) {
	b := newBench(t)
	var page []relay.CartOrder
	for n := range 40 {
		page = append(page, anOrder(n))
	}
	b.takeIn(page...)
	claim := b.part(page...)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { claim() })
		wg.Go(func() {
			q := b.query("me")
			q.Limit, q.Divisible = 15, []string{"tradegecko"}
			_, err := b.Claim(t.Context(), q, translate)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	claim()
	for range 3 {
		q := b.query("me")
		q.Limit, q.Divisible = 15, []string{"tradegecko"}
		_, err := b.Claim(t.Context(), q, translate)
		require.NoError(t, err)
	}
	require.Equal(t, []int64{40}, list[int64](b, `select count(distinct o.external_id) from submissions s join orders o on o.id = s.order_id`))
	require.Equal(t, []int64{40}, list[int64](b, `select count(*) from submissions`), "each is sent by one of them")
	require.Equal(t, []int64{40}, list[int64](b, `select count(*) from orders where state = 'held'`))
}
