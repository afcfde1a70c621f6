package easypost

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

const aToken = "aaaabbbbcccc2345"

// listAllOrders reads the list in as many turns as it takes.
func listAllOrders(t *testing.T, c *connection, since time.Time) (orders []connectors.ListedOrder, partial bool) {
	t.Helper()
	q := connectors.OrderListQuery{Since: since}
	for range 50 {
		page, err := c.ListOrders(t.Context(), q)
		require.NoError(t, err)
		orders = append(orders, page.Orders...)
		if !page.More {
			return orders, page.Partial
		}
		require.NotEqual(t, q.Cursor, page.Cursor)
		q.Cursor = page.Cursor
	}
	require.Fail(t, "a list without an end")
	return nil, false
}

func TestListOrders(t *testing.T) {
	v := newVendor(t)
	rows := []obj{
		{"id": "order_1", "created_at": sent.Unix(), "description": "relay:" + aToken + " SO-1042", "status": "received"},
		{"id": "order_2", "created_at": sent.Unix() - 1, "description": "RELAY:AAAABBBBCCCC2346", "status": "refunded"},
		{"id": "order_3", "created_at": sent.Unix() - 2, "description": "relay:aaaabbbbcccc2347 SO 7", "trackers": arr{tracker("7")}},
		{"id": "order_4", "created_at": sent.Unix() - 3, "description": "somebody else's"},
		{"id": "order_5", "created_at": sent.Unix() - 4, "description": nil},
		{"id": "order_6", "created_at": sent.Unix() - 5, "description": "relay:aaaabbbbcccc"},            // cut short
		{"id": "order_7", "created_at": sent.Unix() - 6, "description": "relay:" + aToken + "longer"},    // another program's
		{"id": "../orders", "created_at": sent.Unix() - 7, "description": "relay:" + aToken + " SO-666"}, // no id
	}
	v.serveOrders(rows[:7], 0, false)
	v.on("GET /orders", pages(rows, "orders", 0, false))
	got, partial := listAllOrders(t, v.open(nil), time.Time{})
	require.False(t, partial)
	require.Equal(t, []connectors.ListedOrder{
		{ID: "order_1", Token: aToken, Number: "SO-1042", CreatedAt: sent, Progress: connectors.InProgress},
		{ID: "order_2", Token: "aaaabbbbcccc2346", CreatedAt: sent.Add(-time.Second), Progress: connectors.Cancelled},
		{ID: "order_3", Token: "aaaabbbbcccc2347", Number: "SO 7", CreatedAt: sent.Add(-2 * time.Second), Progress: connectors.PartShipped},
	}, got)
	requireSafe(t, v, nil)
}

// ours is the n-th of a list of orders with our mark, newest first.
func ours(n int) obj {
	return obj{"id": fmt.Sprintf("order_%02d", n), "created_at": sent.Unix() - int64(n), "description": fmt.Sprintf("relay:aaaabbbbccccdd%02d", n)}
}

func someOfOurs(n int) (rows []obj) {
	for i := range n {
		rows = append(rows, ours(i))
	}
	return rows
}

// Whichever way a vendor pages, each order is told.
func TestListOrdersPages(t *testing.T) {
	for name, c := range map[string]struct {
		rows      int
		firstPage int
		ignore    bool
	}{
		"counts from zero":                 {25, 0, false},
		"counts from one":                  {25, 1, false},
		"the last page is full":            {30, 0, false},
		"one page, counted from one":       {7, 1, false},
		"no orders":                        {0, 0, false},
		"counts no pages, but rows":        {25, 0, true},
		"counts no pages, and has but one": {7, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on("GET /orders", pages(someOfOurs(c.rows), "orders", c.firstPage, c.ignore))
			got, partial := listAllOrders(t, v.open(connectors.Values{"page_size": "10"}), time.Time{})
			require.False(t, partial)
			seen := make(map[relay.WarehouseOrderID]bool)
			for _, o := range got {
				seen[o.ID] = true
			}
			require.Len(t, seen, c.rows)
		})
	}
}

func TestListOrdersStopsAtOldOnes(t *testing.T) {
	v := newVendor(t)
	v.on("GET /orders", pages(someOfOurs(60), "orders", 0, false))
	got, partial := listAllOrders(t, v.open(connectors.Values{"page_size": "10"}), sent.Add(-15*time.Second))
	require.False(t, partial)
	require.Len(t, got, 18, "the second page begins with two rows of the first")
	require.Len(t, v.requests("GET /orders"), 2)
}

// Orders that come while the list is read push others to the next page.
func TestListOrdersWhileMoreCome(t *testing.T) {
	v := newVendor(t)
	rows := someOfOurs(30)
	v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		pages(rows, "orders", 0, false)(w, r)
		fresh := len(rows)
		rows = append([]obj{{"id": fmt.Sprintf("order_new%d", fresh), "created_at": sent.Unix() + int64(fresh), "description": "another's"}}, rows...)
	})
	got, _ := listAllOrders(t, v.open(connectors.Values{"page_size": "10"}), time.Time{})
	seen := make(map[relay.WarehouseOrderID]bool)
	for _, o := range got {
		seen[o.ID] = true
	}
	require.Len(t, seen, 30)
}

// Orders that are deleted leave the list between two turns.
func TestListOrdersWhileSomeLeave(t *testing.T) {
	for name, c := range map[string]struct {
		leaving int
		partial bool
	}{"one each turn": {1, false}, "more than the pages overlap": {4, true}} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			rows := someOfOurs(30)
			v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
				pages(rows, "orders", 0, false)(w, r)
				rows = rows[min(c.leaving, len(rows)):]
			})
			got, partial := listAllOrders(t, v.open(connectors.Values{"page_size": "10"}), time.Time{})
			require.Equal(t, c.partial, partial)
			seen := make(map[relay.WarehouseOrderID]bool)
			for _, o := range got {
				seen[o.ID] = true
			}
			require.Equal(t, c.partial, len(seen) < 30)
		})
	}
}

func TestListOrdersThatIsNoList(t *testing.T) {
	for _, body := range []string{`{}`, `{"data":[]}`, `{"message":"maintenance"}`} {
		v := newVendor(t)
		v.on("GET /orders", says(200, body))
		_, partial := listAllOrders(t, v.open(nil), time.Time{})
		require.True(t, partial, body)
	}
}

func TestListOrdersThatCannotBePaged(t *testing.T) {
	v := newVendor(t)
	rows := someOfOurs(10)
	v.on("GET /orders", says(200, doc(obj{"orders": rows})))
	got, partial := listAllOrders(t, v.open(connectors.Values{"page_size": "10"}), time.Time{})
	require.True(t, partial, "there may be more")
	require.NotEmpty(t, got)
}

func TestListOrdersRefusals(t *testing.T) {
	v := newVendor(t)
	c := v.open(nil)
	_, err := c.ListOrders(t.Context(), connectors.OrderListQuery{Cursor: "7"})
	require.ErrorIs(t, err, relay.Invalid)
	v.on("GET /orders", says(401, `{}`))
	_, err = c.ListOrders(t.Context(), connectors.OrderListQuery{})
	require.ErrorIs(t, err, relay.Unauthorised)
	v.on("GET /orders", says(200, doc(obj{"orders": arr{obj{"id": "order_1", "mode": "production", "description": "relay:" + aToken}}})))
	_, err = c.ListOrders(t.Context(), connectors.OrderListQuery{})
	require.ErrorIs(t, err, relay.Unauthorised, "of the other mode")
	v.on("GET /orders", says(200, `<html>`))
	_, err = c.ListOrders(t.Context(), connectors.OrderListQuery{})
	require.ErrorIs(t, err, relay.Unavailable)
	requireSafe(t, v, err)
}
