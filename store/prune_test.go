package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// What ended more than a year ago goes, a part at a time; what is open, or that
// something open refers to, stays.
func TestPrune(t *testing.T) {
	const year = 365 * 24 * time.Hour
	b := newAlertBench(t)
	prune := func(limit int) int {
		n, err := b.Prune(t.Context(), "acme", year, limit)
		require.NoError(t, err)
		return n
	}
	count := func(table string) int { return list[int](b, `select count(*)::int from `+table)[0] }
	counts := func() [5]int {
		return [5]int{count("alerts"), count("alert_messages"), count("alert_notices"), count("findings"), count("reconciliations")}
	}
	look := func() {
		_, err := b.LookAfterAlerts(t.Context(), b.m, time.Hour)
		require.NoError(t, err)
	}
	compare := func(subjects ...string) {
		part := store.Compared{Ended: true}
		for _, s := range subjects {
			part.Discrepancies = append(part.Discrepancies, store.Discrepancy{Kind: store.FindingStockDrift, Subject: s})
		}
		_, err := b.RecordCompared(t.Context(), b.cart("shop"), b.begun().ID, "job reconcile", part)
		require.NoError(t, err)
	}
	compare("CUP", "MUG", "CAP")
	look()
	compare()
	look()
	compare("HAT")
	look()
	require.Equal(t, 4, count("findings"))
	require.Equal(t, 2, count("alerts"), "one is open")
	b.exec(`update alert_messages set sent_at = now()`)
	messages, notices := count("alert_messages"), count("alert_notices")
	require.Zero(t, prune(100), "all of it is young")

	for _, sql := range []string{
		`update alerts set closed_at = closed_at - interval '366 days'`, `update alert_messages set created_at = created_at - interval '366 days'`,
		`update findings set closed_at = closed_at - interval '366 days'`, `update reconciliations set ended_at = ended_at - interval '366 days'`,
	} {
		b.exec(sql)
	}
	_, err := b.Prune(t.Context(), storetest.Save(t, b.Store, storetest.Merchant("birch")).ID, year, 100)
	require.NoError(t, err)
	require.Equal(t, [5]int{2, messages, notices, 4, 3}, counts(), "another merchant's")
	for prune(1) > 0 {
	}
	require.Equal(t, [5]int{1, 2, 2, 1, 1}, counts(), "what is open, the last message on each channel, the last run")
	require.Contains(t, b.alerts(), relay.NewAlertCause("finding", string(store.FindingStockDrift)), "it is open")
	look()
	require.Len(t, b.alerts(), 1)
}
