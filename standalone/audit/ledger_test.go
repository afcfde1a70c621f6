package audit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// The ledger lets no reopening undo a cancel that was asked for after it; the auditor
// does not rely on that.
func TestAReopeningThatUndidACancel(t *testing.T) {
	db := storetest.New(t)
	s, pool := db.Open(t), db.Pool(t)
	m := storetest.Save(t, s, storetest.Merchant("acme", shopName))
	cart, _ := m.Connection(shopName)
	_, err := s.TakeIn(t.Context(), cart, []relay.CartOrder{{
		ExternalID: "1", Number: number, UpdatedAt: time.Now(), Lines: []relay.Line{{ID: "1", SKU: "MUG", Quantity: relay.Units(1)}},
	}}, "orders", "1", "test")
	require.NoError(t, err)
	undone := func() bool {
		orders, err := Ledger(t.Context(), pool, m.ID)
		require.NoError(t, err)
		require.Len(t, orders, 1)
		return orders[0].Undone
	}
	id, now := relay.OrderID(1), time.Now()
	cancel := func(after time.Duration) {
		_, err := s.RequestCancel(t.Context(), id, store.CancelAsk{Actor: "operator clerk", Reason: "no", Asked: now.Add(after)})
		require.NoError(t, err)
	}
	cancel(0)
	cancel(2 * time.Second)
	_, err = s.ReopenOrder(t.Context(), id, store.ReopenAsk{Actor: "operator clerk", Reason: "yes", Asked: now.Add(time.Second)})
	require.NoError(t, err)
	require.False(t, undone(), "it was refused")
	_, err = s.ReopenOrder(t.Context(), id, store.ReopenAsk{Actor: "operator clerk", Reason: "yes", Asked: now.Add(3 * time.Second)})
	require.NoError(t, err)
	cancel(4 * time.Second)
	require.False(t, undone(), "that is another life's")
	_, err = pool.Exec(t.Context(), `
		insert into order_events (order_id, kind, actor, detail) values ($1, 'reopened', 'operator clerk', jsonb_build_object('asked', $2::timestamptz))`, id, now.Add(time.Second))
	require.NoError(t, err)
	require.True(t, undone())
}
