package store_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// busyLedger is a merchant with 50,000 item codes at two sites, 200,000 orders of
// two lines that have ended, and 10,000 at the warehouse.
func busyLedger(b *bench) {
	cart, depot := b.cart("shop").ID, b.depot()
	b.exec(`insert into inventory_levels select $1, 'SKU-' || lpad(n::text, 6, '0'), site, n % 100, 'available', now()
		from generate_series(1, 50000) n, unnest(array['E', 'W']) site`, depot)
	b.exec(`insert into orders (merchant_id, cart_id, external_id, number, reference, state, placed_at, cart_updated_at, digest, ship_to, ship_method,
			warehouse_id, warehouse_order_id, accepted_at, ship_complete, updated_at)
		select 'acme', $1, n::text, n::text, n::text, case when n <= 200000 then 'confirmed' else 'at_warehouse' end, now(), now(), '', '{}', '',
			$2, 'W-' || n, now(), n <= 200000, now() - case when n <= 200000 then interval '2 hours' else interval '0' end
		from generate_series(1, 210000) n`, cart, depot)
	b.exec(`insert into submissions (order_id, warehouse_id, attempt, token, digest, aliases_version, settings_version, service, state, owner, opened_at, lease_until, resolved_at, warehouse_order_id)
		select id, $1, 1, translate(lpad(id::text, 16, 'a'), '0189', 'bcde'), '', 0, 0, '', 'accepted', '', now(), now(), now() - interval '2 hours', warehouse_order_id from orders`, depot)
	b.exec(`insert into submission_items (submission_id, position, line_id, sku, code, units)
		select s.id, p, p::text, 'SKU-' || lpad((1 + (s.id * 7 + p * 13) % 50000)::text, 6, '0'), 'SKU-' || lpad((1 + (s.id * 7 + p * 13) % 50000)::text, 6, '0'), 2
		from submissions s, generate_series(1, 2) p`)
	b.exec(`analyze`)
	require.NoError(b.t, b.RecordLevelsRead(b.t.Context(), depot, store.LevelsReading{Began: b.now()}))
}

// BenchmarkCartLevels computes all levels of a cart, as each push of stock does.
func BenchmarkCartLevels(bm *testing.B) {
	b := newBench(bm)
	busyLedger(b)
	m, err := b.Mappings(bm.Context(), "acme")
	require.NoError(bm, err)
	q := store.CartLevelsQuery{Merchant: b.m, Mappings: m.Under(b.m.Merchant), Cart: b.cart("shop"), Limit: 10000, Keep: store.CartLevel.Due}
	for bm.Loop() {
		due, q := 0, q
		for more := true; more; {
			page, err := b.CartLevels(bm.Context(), q)
			require.NoError(bm, err)
			due, q.After, more = due+len(page.Levels), page.After, page.More
		}
		require.Equal(bm, 50000, due)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	bm.ReportMetric(float64(mem.Sys)/1e6, "MB-process")
}

// BenchmarkStock reads what the whole warehouse has free, as each reading of stock does.
func BenchmarkStock(bm *testing.B) {
	b := newBench(bm)
	busyLedger(b)
	m, err := b.Mappings(bm.Context(), "acme")
	require.NoError(bm, err)
	for bm.Loop() {
		stock, err := b.Stock(bm.Context(), b.m, m)
		require.NoError(bm, err)
		require.Len(bm, stock, 50000)
	}
}

// BenchmarkRecordLevels records a reading of 50,000 levels of which 100 have changed.
func BenchmarkRecordLevels(bm *testing.B) {
	b := newBench(bm)
	busyLedger(b)
	for round := int64(1); bm.Loop(); round++ {
		began := b.now()
		var codes []relay.ItemCode
		changed := 0
		for from := int64(0); from < 50000; from += 1000 {
			var page []relay.InventoryLevel
			for n := from + 1; n <= from+1000; n++ {
				code := relay.ItemCode(fmt.Sprintf("SKU-%06d", n))
				codes = append(codes, code)
				quantity := n % 100
				if n%500 == 0 {
					quantity = 1000 + round
				}
				page = append(page, level(code, "E", quantity), level(code, "W", n%100))
			}
			n, err := b.RecordLevels(bm.Context(), b.depot(), page, "available", b.now())
			require.NoError(bm, err)
			changed += n
		}
		require.Equal(bm, 100, changed)
		require.NoError(bm, b.RecordLevelsRead(bm.Context(), b.depot(), store.LevelsReading{Began: began, Codes: codes}))
	}
}
