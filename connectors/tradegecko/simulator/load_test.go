package simulator_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"orderferry/connectors/tradegecko/simulator"
)

// Many clients at once: no line is ever shipped beyond what was ordered, and
// stock adds up.
func TestManyClients(t *testing.T) {
	c := newClock()
	cfg := config(c)
	cfg.Journal = filepath.Join(t.TempDir(), "journal")
	s := start(t, cfg, c)
	s.variant("RED-S", "1000")
	var orders []simulator.OrderView
	for i := range 20 {
		orders = append(orders, s.order(fmt.Sprintf("SO-%02d", i), "RED-S:3"))
	}
	var g errgroup.Group
	for range 6 {
		g.Go(func() error {
			for i, o := range orders {
				if _, err := s.try("POST", "/fulfillments", fulfilment(o, "fulfilled", "T", "1")); err != nil {
					return err
				}
				if _, err := s.try("GET", "/orders?order=updated_at+asc&status[]=finalized&limit=5", ""); err != nil {
					return err
				}
				if _, err := s.try("GET", "/variants?sku=RED-S", ""); err != nil {
					return err
				}
				if i%5 == 0 {
					if _, err := s.Orders("acme"); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	books, err := s.Orders("acme")
	require.NoError(t, err)
	for _, o := range books {
		require.Equal(t, "fulfilled", o.Status)
		require.Equal(t, "3", o.Lines[0].Fulfilled)
		require.Len(t, o.Fulfillments, 3)
	}
	stock, err := s.Stock("acme")
	require.NoError(t, err)
	require.Equal(t, "940", stock[0].OnHand)
	require.Equal(t, "0", stock[0].Committed)
	require.Equal(t, int64(60), s.Stats().OverFulfils)
}

// Whatever a client sends, it gets an answer below 500.
func TestOddRequests(t *testing.T) {
	s := stocked(t)
	o := s.order("SO-1", "RED-S:2")
	for _, path := range []string{"/", "//", "/orders//5", "/.json", "/orders/-1", "/orders/99999999999999999999", "/orders/1/actions", "/variants/composition/x",
		"/variants/composition/1/2", "/stock_levels/x", "/orders?page=0", "/orders?page=x", "/orders?limit=-1", "/orders?ids=,,", "/orders?order=;drop", "/orders?%zz",
		"/orders?order=updated_at+asc&page=2000000000&limit=250", "/order_line_items?order_status=finalized", "/addresses?company_id=x"} {
		a := s.do("GET", path, "")
		require.Less(t, a.status, 500, path)
	}
	bodies := []string{"", "null", "[]", `""`, `{"fulfillment":null}`, `{"fulfillment":[]}`, `{"fulfillment":{"order_id":{}}}`,
		`{"fulfillment":{"order_id":1e99}}`, `{"fulfillment":{"fulfillment_line_items":5,"order_id":%d}}`,
		`{"fulfillment":{"fulfillment_line_items":[null,{}],"order_id":%d}}`,
		`{"fulfillment":{"fulfillment_line_items":[{"order_line_item_id":"x","quantity":"1e5"}],"order_id":"%d"}}`,
		`{"fulfillment":{"fulfillment_line_items":[{"quantity":"99999999999999999999"}],"order_id":%d}}`,
		`{"fulfillment":{"shipped_at":"never","packed_at":[],"notes":{},"stock_location_id":0,"order_id":%d}}`}
	for _, body := range bodies {
		if strings.Contains(body, "%d") {
			body = fmt.Sprintf(body, o.ID)
		}
		a := s.do("POST", "/fulfillments", body)
		require.GreaterOrEqual(t, a.status, 400, body)
		require.Less(t, a.status, 500, body)
		b := s.do("POST", "/oauth/token", body)
		require.GreaterOrEqual(t, b.status, 400, body)
		require.Less(t, b.status, 500, body)
	}
	require.Equal(t, 413, s.do("POST", "/orders", strings.Repeat(" ", 9<<20)).status)
	v, err := s.Order("acme", "SO-1")
	require.NoError(t, err)
	require.Empty(t, v.Fulfillments)
}

// Accounts that change at once share the journal's writes: whichever of them
// writes takes the others' changes along.
func TestAccountsShareTheJournal(t *testing.T) {
	c := newClock()
	cfg := config(c)
	cfg.Journal = filepath.Join(t.TempDir(), "journal")
	s := start(t, cfg, c)
	var g errgroup.Group
	for _, a := range cfg.Accounts {
		_, err := s.AddVariant(a.Name, simulator.NewVariant{SKU: "RED-S", Stock: []simulator.Stock{{OnHand: "1000"}}})
		require.NoError(t, err)
		for worker := range 3 {
			g.Go(func() error {
				for i := range 20 {
					n := simulator.NewOrder{Number: fmt.Sprint(worker, "-", i), Lines: []simulator.NewLine{{SKU: "RED-S", Quantity: "1"}}}
					if _, err := s.AddOrder(a.Name, n); err != nil {
						return err
					}
					if err := s.Void(a.Name, n.Number); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	require.NoError(t, g.Wait())
	see := func(s *shop) (all []simulator.OrderView) {
		for _, a := range cfg.Accounts {
			orders, err := s.Orders(a.Name)
			require.NoError(t, err)
			require.Len(t, orders, 60)
			all = append(all, orders...)
		}
		return all
	}
	before := see(s)
	require.NoError(t, s.Close())
	require.Equal(t, before, see(start(t, cfg, c)))
}
