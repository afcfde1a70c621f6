package faults

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
)

// What people ask for is open until they have an answer, and then no more.
func TestADeedIsOpenUntilItIsDone(t *testing.T) {
	h := &harness{underWay: make(map[*underWay]bool)}
	open := func(merchant int) []audit.Deed {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.undone(merchant)
	}
	cancel, pause := audit.Deed{Subject: "SO-1042", Words: "cancel"}, audit.Deed{Subject: "m01", Words: "pause"}
	answer, answers := make(chan struct{}), make(chan struct{})
	h.deed(0, pause, func() { <-answers })
	h.deed(0, cancel, func() { <-answer })
	h.deed(1, cancel, func() { <-answers })
	require.Equal(t, []audit.Deed{cancel, pause}, open(0))
	require.Equal(t, []audit.Deed{cancel}, open(1))
	close(answer)
	require.Eventually(t, func() bool { return len(open(0)) == 1 }, patience, patience/1000)
	require.Equal(t, []audit.Deed{pause}, open(0))
	close(answers)
	h.deeds.Wait()
	require.Empty(t, append(open(0), open(1)...))
}

// What was asked for stays so, whatever was asked for before or after.
func TestWishesAddUp(t *testing.T) {
	h := &harness{wishes: make(map[orderKey]audit.Wish)}
	var err error
	h.shops, err = shop.Open(shop.Config{Merchants: []shop.Merchant{merchantOf(0)}})
	require.NoError(t, err)
	defer h.shops.Close()
	s := sale{n: 1}
	h.wish(s, audit.Wish{Cancel: true})
	h.wish(s, audit.Wish{Reopen: true})
	h.wish(s, audit.Wish{Cancel: true})
	require.Equal(t, map[audit.Key]audit.Wish{h.key(s).Key: {Cancel: true, Reopen: true}}, of(0, h.wishes))
	require.Empty(t, of(1, h.wishes))
}
