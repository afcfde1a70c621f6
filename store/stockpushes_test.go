package store_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/store"
)

// Of two pushes of a SKU that overlap nobody knows which wrote last: it is told
// again, whoever ends last.
func TestPushesThatOverlap(t *testing.T) {
	for name, firstEndsLast := range map[string]bool{"the later one ends first": true, "the earlier one ends first": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.reading("available", level("CAP", "", 20), level("MUG", "", 10))
			shop := b.cart("shop").ID
			all := b.levels("shop", store.CartLevel.Due)
			require.Len(t, all, 2)
			hat, mug := all[0].ToSend(), all[1].ToSend()
			first := b.begin("shop", []store.LevelToSend{hat, mug})
			b.reading("available", level("CAP", "", 20), level("MUG", "", 8))
			fresh := b.levels("shop", store.CartLevel.Due)[1].ToSend()
			second := b.begin("shop", []store.LevelToSend{fresh})
			end := func(push store.StockPush, want bool, levels ...store.LevelToSend) {
				t.Helper()
				sent := make([]store.LevelSent, len(levels))
				for i, l := range levels {
					sent[i].LevelToSend = l
				}
				again, err := b.RecordSent(t.Context(), shop, push, sent)
				require.NoError(t, err)
				require.Equal(t, want, again)
			}
			if firstEndsLast {
				end(second, false, fresh)
				require.NotContains(t, b.toSend("shop"), fresh.SKU)
				end(first, true, hat, mug)
			} else {
				end(first, true, hat, mug)
				end(second, true, fresh)
			}
			due := b.toSend("shop")
			require.Equal(t, fresh.Available, due[fresh.SKU].Available)
			require.Negative(t, due[fresh.SKU].Moved)
			b.sent("shop", "")
			require.Empty(t, b.toSend("shop"))
		})
	}
}

// Of pushes of a SKU that begin at once at most the last to end is believed.
func TestPushesThatBeginAtOnce(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 10))
	shop := b.cart("shop").ID
	mug := b.levels("shop", store.CartLevel.Due)[0].ToSend()
	for range 50 {
		var pushes [2]store.StockPush
		var errs [2]error
		var wg sync.WaitGroup
		for i := range pushes {
			wg.Go(func() { pushes[i], errs[i] = b.BeginPush(t.Context(), shop, []store.LevelToSend{mug}, time.Hour) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs[:]...))
		overtaken := list[bool](b, `select overtaken from stock_pushes order by overtaken`)
		require.Len(t, overtaken, 2)
		require.True(t, overtaken[1], "neither knows of the other")
		b.exec(`delete from stock_pushes`)
	}
}

// Pushes of other SKUs, or to other carts, do not disturb one another.
func TestPushesThatDoNotMeet(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("CAP", "", 20), level("MUG", "", 10))
	all := b.levels("shop", store.CartLevel.Due)
	first := b.begin("shop", []store.LevelToSend{all[0].ToSend()})
	_, err := b.BeginPush(t.Context(), b.depot(), []store.LevelToSend{all[0].ToSend()}, time.Hour)
	require.NoError(t, err)
	second := b.begin("shop", []store.LevelToSend{all[1].ToSend()})
	for i, push := range []store.StockPush{first, second} {
		again, err := b.RecordSent(t.Context(), b.cart("shop").ID, push, []store.LevelSent{{LevelToSend: all[i].ToSend()}})
		require.NoError(t, err)
		require.False(t, again)
	}
	require.Empty(t, b.toSend("shop"))
}

// A push whose worker died may have written until its time was over.
func TestAPushThatNeverEnded(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("CAP", "", 20), level("MUG", "", 10))
	shop := b.cart("shop").ID
	mug := b.levels("shop", store.CartLevel.Due)[1].ToSend()
	dead := b.begin("shop", []store.LevelToSend{mug})
	b.sent("shop", "") // by the worker that took its place
	require.Empty(t, b.toSend("shop"))
	next, err := b.GiveUpPushes(t.Context(), shop)
	require.NoError(t, err)
	require.WithinDuration(t, b.now().Add(time.Hour), next, time.Minute)
	require.Empty(t, b.toSend("shop"))

	b.exec(`update stock_pushes set ends_at = now()`)
	next, err = b.GiveUpPushes(t.Context(), shop)
	require.NoError(t, err)
	require.Zero(t, next)
	due := b.toSend("shop")
	require.Len(t, due, 1)
	require.Contains(t, due, mug.SKU)
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))

	// Should it live after all, nobody believes it.
	again, err := b.RecordSent(t.Context(), shop, dead, []store.LevelSent{{LevelToSend: mug}})
	require.NoError(t, err)
	require.True(t, again)
	require.Len(t, b.toSend("shop"), 1)
}

// A shipment that is told while stock is sent moves the cart's stock behind it.
func TestStockThatMovesDuringAPush(t *testing.T) {
	b := newBench(t)
	b.reading("available", level("MUG", "", 10))
	b.sent("shop", "")
	moves := func() { b.exec(`update sent_levels set owed = least(owed, 0) - 1`) } // as RecordTold has it
	moves()
	mug := b.levels("shop", store.CartLevel.Due)[0].ToSend()
	push := b.begin("shop", []store.LevelToSend{mug})
	moves()
	again, err := b.RecordSent(t.Context(), b.cart("shop").ID, push, []store.LevelSent{{LevelToSend: mug}})
	require.NoError(t, err)
	require.True(t, again)
	require.Len(t, b.toSend("shop"), 1)
	b.sent("shop", "")
	require.Empty(t, b.toSend("shop"))
}
