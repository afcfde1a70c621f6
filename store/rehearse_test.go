package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// A rehearsal of an onboarding says what the onboarding would fail with, and leaves nothing behind.
func TestRehearseMerchant(t *testing.T) {
	b := newBench(t)
	_, err := b.Merchant(t.Context(), "fresh")
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, b.RehearseMerchant(t.Context(), storetest.Merchant("fresh"), nil))
	_, err = b.Merchant(t.Context(), "fresh")
	require.ErrorIs(t, err, store.ErrNotFound)

	before, err := b.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	renamed := storetest.Merchant("acme", "boutique")
	require.NoError(t, b.RehearseMerchant(t.Context(), renamed, nil))
	b.takeIn(anOrder(1))
	require.ErrorContains(t, b.RehearseMerchant(t.Context(), renamed, nil), "connection shop can't be taken away: 1 order")
	tested := storetest.Merchant("acme")
	tested.Carts[0].Mode = relay.ModeTest
	require.ErrorContains(t, b.RehearseMerchant(t.Context(), tested, nil), "connection shop can't change from mode live to test")
	after, err := b.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, before, after)
}
