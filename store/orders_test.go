package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// A list is read page by page, in either direction, of all carts or of one.
func TestOrdersAreListedByPages(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	for n := range 5 {
		b.takeIn(anOrder(n))
	}
	outlet := anOrder(9)
	_, err := b.TakeIn(t.Context(), b.cart("outlet"), []relay.CartOrder{outlet}, "orders", "after", "test")
	require.NoError(t, err)

	pages := func(q store.OrderQuery) (numbers []string) {
		q.Merchant, q.Limit = "acme", 2
		for {
			page, err := b.Orders(t.Context(), q)
			require.NoError(t, err)
			for _, o := range page {
				numbers = append(numbers, o.Number)
			}
			if len(page) < q.Limit {
				return numbers
			}
			q.After = page[len(page)-1].ID
		}
	}
	require.Equal(t, []string{"SO-0", "SO-1", "SO-2", "SO-3", "SO-4", "SO-9"}, pages(store.OrderQuery{}))
	require.Equal(t, []string{"SO-9", "SO-4", "SO-3", "SO-2", "SO-1", "SO-0"}, pages(store.OrderQuery{Latest: true}))
	require.Equal(t, []string{"SO-4", "SO-3", "SO-2", "SO-1", "SO-0"}, pages(store.OrderQuery{Latest: true, Cart: "shop"}))
	require.Equal(t, []string{"SO-9"}, pages(store.OrderQuery{Cart: "outlet"}))
	require.Empty(t, pages(store.OrderQuery{Cart: "other"}))
}
