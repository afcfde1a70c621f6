package simulator

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// loaded has products in two warehouses, so twice as many inventory rows, all in stock.
func loaded(t testing.TB, products int, change ...func(*Config)) *world {
	w := newWorld(t, append([]func(*Config){func(c *Config) { c.Lax = true; c.Accounts = c.Accounts[:1] }}, change...)...)
	for i := range products {
		upc := fmt.Sprintf("8400112%05d", i)
		require.NoError(t, w.sim.AddProduct(Product{UPC: upc, Style: fmt.Sprint("S", i), Color: "navy", Size: "M", Description: "Organic tee", Price: 39.5}))
		require.NoError(t, w.sim.SetStock(upc, "NJ2", 1000))
	}
	w.token = w.login(w.cfg.Accounts[0])
	w.products = products
	return w
}

// quick posts without reading the answer as XML, and returns its length.
func (w *world) quick(op, message string) int {
	req, err := http.NewRequest(http.MethodPost, w.URL()+endpoint, strings.NewReader(message))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", `"http://rex11.com/webmethods/`+op+`"`)
	resp, err := w.Client.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	require.Equal(w.t, 200, resp.StatusCode)
	n, err := io.Copy(io.Discard, resp.Body)
	require.NoError(w.t, err)
	return int(n)
}

func (w *world) load(tickets int) {
	for i := range tickets {
		upc := fmt.Sprintf("8400112%05d", i%w.products)
		w.quick("PickTicketAdd", enveloped(order(fmt.Sprint("SO", i), lines(upc, "1")).xml(w.token)))
	}
}

// day puts tickets through a journalled simulator, reads all inventory both ways,
// ships, lists, and starts again on what is left. It reports how long each took.
func (w *world) day(tickets, batches int, report func(what string, took time.Duration)) {
	timed := func(what string, f func()) {
		from := time.Now()
		f()
		report(what, time.Since(from))
	}
	timed("add", func() { w.load(tickets) })
	timed("inventory", func() { w.quick("GetInventory", enveloped(body("GetInventory", kv{upperToken, w.token}))) })
	timed("batches", func() {
		for i := range batches {
			w.quick("GetInventoryByBatch", enveloped(body("GetInventoryByBatch", kv{lowerToken, w.token}, kv{"batchNumber", fmt.Sprint(i + 1)})))
		}
	})
	timed("ship", func() {
		for _, o := range w.sim.Orders("") {
			require.NoError(w.t, w.sim.Ship(o.Number))
		}
	})
	timed("list", func() {
		w.quick("GetPickTicketStatusesByShipDate", enveloped(body("GetPickTicketStatusesByShipDate", kv{upperToken, w.token}, kv{"StartDate", "03/14/2025"}, kv{"EndDate", "03/14/2025"})))
	})
	timed("restart", w.restart)
}

func journalled(t testing.TB) func(*Config) {
	return func(c *Config) { c.Journal = filepath.Join(t.TempDir(), "journal") }
}

func TestDayInSmall(t *testing.T) {
	w := loaded(t, 500, journalled(t))
	w.day(600, 2, func(string, time.Duration) {})
	require.Len(t, w.sim.Stock(""), 1000)
	orders := w.sim.Orders("")
	require.Len(t, orders, 600)
	require.Equal(t, StatusShippedComplete, orders[599].State)
}

// BenchmarkDay is 10,000 tickets against 50,000 inventory rows, with a journal.
func BenchmarkDay(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		w := loaded(b, 25_000, journalled(b))
		b.StartTimer()
		w.day(10_000, 100, func(what string, took time.Duration) { b.ReportMetric(took.Seconds(), what+"-s") })
	}
}

func BenchmarkPickTicketAdd(b *testing.B) {
	w := loaded(b, 25_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w.quick("PickTicketAdd", enveloped(order(fmt.Sprint("B", i), lines(fmt.Sprintf("8400112%05d", i%25_000), "1")).xml(w.token)))
	}
}

func BenchmarkInventory(b *testing.B) {
	w := loaded(b, 25_000)
	message := enveloped(body("GetInventory", kv{upperToken, w.token}))
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(w.quick("GetInventory", message)))
	}
}

func BenchmarkInventoryBatch(b *testing.B) {
	w := loaded(b, 25_000)
	message := enveloped(body("GetInventoryByBatch", kv{lowerToken, w.token}, kv{"batchNumber", "50"}))
	b.ReportAllocs()
	for b.Loop() {
		w.quick("GetInventoryByBatch", message)
	}
}

func BenchmarkStatusList(b *testing.B) {
	w := loaded(b, 25_000)
	w.load(10_000)
	message := enveloped(body("GetPickTicketStatusesByDate", kv{upperToken, w.token}, kv{"StartDate", "03/14/2025"}, kv{"EndDate", "03/14/2025"}))
	b.ReportAllocs()
	for b.Loop() {
		w.quick("GetPickTicketStatusesByDate", message)
	}
}
