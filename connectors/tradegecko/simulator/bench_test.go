package simulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/tradegecko/simulator"
)

const benchOrders = 100_000

// BenchmarkIndexAndFulfil walks a hundred thousand orders as a relay does: a
// page of ten with their lines, then a fulfillment created and shipped for each.
// It reports handled requests a second, without the network.
func BenchmarkIndexAndFulfil(b *testing.B) {
	c := newClock()
	cfg := config(c)
	cfg.Journal = filepath.Join(b.TempDir(), "journal")
	s := start(b, cfg, c)
	s.variant("RED-S", "1000000")
	batch := make([]simulator.NewOrder, benchOrders)
	for i := range batch {
		batch[i] = simulator.NewOrder{Number: fmt.Sprintf("SO-%06d", i), Lines: []simulator.NewLine{{SKU: "RED-S", Quantity: "1"}},
			Address: simulator.Address{FirstName: fmt.Sprint("Ann ", i), Line1: "1 High St", Country: "US"}}
	}
	orders, err := s.AddOrders("acme", batch, false)
	require.NoError(b, err)
	handler, requests := s.Handler(), 0
	call := func(method, path, body string, want int) {
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer acme-token")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request)
		if w.Code != want {
			b.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		requests++
	}
	firstID := s.fulfilmentID(orders[0])
	next := 1
	for b.Loop() {
		if next+10 > len(orders) {
			b.Fatal("out of orders")
		}
		call(http.MethodGet, "/orders?status[]=finalized&fulfillment_status[]=unshipped&fulfillment_status[]=partial&updated_at_min=2021-03-04T05:00:00Z&order=updated_at+asc&limit=10", "", 200)
		call(http.MethodGet, fmt.Sprintf("/order_line_items?order_id=%d&limit=250", orders[next].ID), "", 200)
		for _, o := range orders[next : next+10] {
			call(http.MethodPost, "/fulfillments", fulfilment(o, "packed", "T", "1"), 201)
			call(http.MethodGet, fmt.Sprintf("/fulfillments?order_id=%d&limit=250", o.ID), "", 200)
			call(http.MethodPut, fmt.Sprintf("/fulfillments/%d", firstID+int64(next)), `{"fulfillment":{"status":"fulfilled"}}`, 200)
			next++
		}
	}
	b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "requests/s")
}

// fulfilmentID packs an order and returns the fulfillment's id; later ones follow it.
func (s *shop) fulfilmentID(o simulator.OrderView) int64 {
	id, err := s.PackPart("acme", o.Number, nil)
	require.NoError(s.t, err)
	return id
}
