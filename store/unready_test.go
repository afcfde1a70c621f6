package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// Promise 1: what may be at the warehouse is left alone, and so is what was taken in
// since.
func TestNoteUnready(t *testing.T) {
	b := newBench(t)
	sending := b.submitting(9)
	b.takeIn(anOrder(1), anOrder(2), anOrder(3))
	note := func(n int, at time.Time) store.Filtered {
		got, err := b.NoteUnready(t.Context(), b.cart("shop"), []store.Unready{{ID: anOrder(n).ExternalID, Why: "status active", At: at}}, "job pull_orders")
		require.NoError(t, err)
		return got
	}
	at := anOrder(1).UpdatedAt
	require.Equal(t, store.Filtered{Skipped: 1}, note(1, at.Add(time.Minute)))
	require.Equal(t, store.Filtered{}, note(1, at.Add(time.Minute)), "the same again")
	require.Equal(t, store.Filtered{}, note(2, anOrder(2).UpdatedAt.Add(-time.Second)), "of an older version")
	require.Equal(t, store.Filtered{}, note(9, at.Add(time.Hour)))
	b.want(sending.Order.ID, relay.OrderSubmitting)

	known, err := b.Known(t.Context(), b.cart("shop").ID, []relay.ExternalID{anOrder(1).ExternalID, anOrder(2).ExternalID}, []time.Time{at, anOrder(2).UpdatedAt})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true}, known, "it is read again when it is ready, whatever its version")
	got := b.takeIn(anOrder(1))
	require.Equal(t, 1, got.Unskipped)
}
