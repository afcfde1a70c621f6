package easypost

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

var sent = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func lookupOf(orders ...connectors.WarehouseOrder) connectors.LookupQuery {
	q := connectors.LookupQuery{Owned: func(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
		held := make([]bool, len(ids))
		for i, id := range ids {
			held[i] = id == "order_owned"
		}
		return held, nil
	}}
	for i, o := range orders {
		at := sent.Add(time.Duration(i) * time.Second)
		q.Orders = append(q.Orders, connectors.LookupRequest{Order: o, SentFrom: at, SentTo: at.Add(time.Second)})
	}
	return q
}

// taken is the vendor's copy of anOrder.
func taken(id string, at time.Time, description any) obj {
	return obj{"id": id, "created_at": at.Unix(), "mode": "test", "description": description,
		"destination": obj{"name": "KILN SUPPLY", "street1": "500 SAMPLE AVE UNIT 4", "city": "SPRINGFIELD", "zip": "62701-1234", "country": "US"},
		"line_items":  arr{obj{"units": 2, "product": product("prod_a", toteCode)}, obj{"units": 1, "product": product("prod_b", capCode)}}}
}

func other(i int, at time.Time) obj {
	return obj{"id": fmt.Sprintf("order_other%03d", i), "created_at": at.Unix(), "description": "someone else's"}
}

// serveOrders scripts a list of orders and each order by itself.
func (v *vendor) serveOrders(rows []obj, firstPage int, ignorePage bool) {
	list := pages(rows, "orders", firstPage, ignorePage)
	v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("query") {
			says(400, `{"errors":{"code":"PARAMETER.INVALID"}}`)(w, r)
			return
		}
		list(w, r)
	})
	for _, o := range rows {
		v.on("GET /orders/"+o["id"].(string), says(200, doc(o)))
	}
}

func find(t *testing.T, c *connection, q connectors.LookupQuery) []connectors.Lookup {
	t.Helper()
	got, err := c.FindOrders(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, got, len(q.Orders))
	return got
}

func TestFindByQuery(t *testing.T) {
	v := newVendor(t)
	v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "8f3c1e77abcdefgh", r.URL.Query().Get("query"))
		says(200, doc(obj{"orders": arr{
			taken("order_2", sent.Add(time.Minute), "relay:8f3c1e77abcdefgh shop"), taken("order_1", sent, "RELAY:8F3C1E77ABCDEFGH"),
		}}))(w, r)
	})
	got := find(t, v.open(nil), lookupOf(anOrder()))
	require.Equal(t, []connectors.Match{{ID: "order_1", CreatedAt: sent, By: "token"}, {ID: "order_2", CreatedAt: sent.Add(time.Minute), By: "token"}}, got[0].Matches)
	require.Len(t, v.requests(""), 1)
}

func TestFindInTheListWhateverItsPaging(t *testing.T) {
	var rows []obj
	for i := range 25 {
		rows = append(rows, other(i, sent.Add(time.Hour-time.Duration(i)*time.Second)))
	}
	rows = append(rows, taken("order_mine", sent, "relay:8f3c1e77abcdefgh shop #1042"))
	for i := range 30 {
		rows = append(rows, other(100+i, sent.Add(-time.Hour-time.Duration(i)*time.Second)))
	}
	missing := anOrder()
	missing.Token = "zzzzzzzzzzzzzzzz"
	for name, tc := range map[string]struct {
		firstPage int
		ignore    bool
	}{"zero-based": {0, false}, "one-based": {1, false}, "page ignored": {0, true}} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.serveOrders(rows, tc.firstPage, tc.ignore)
			got := find(t, v.open(connectors.Values{"page_size": "10"}), lookupOf(anOrder(), missing))
			require.Len(t, got[0].Matches, 1)
			require.Equal(t, relay.WarehouseOrderID("order_mine"), got[0].Matches[0].ID)
			require.Empty(t, got[1].Matches)
			require.True(t, got[1].Certain)
			require.Less(t, len(v.requests("GET /orders")), 9, "stops at the first page that is old")
		})
	}
}

func TestFindIsUncertainUnlessTheSpanWasRead(t *testing.T) {
	var rows []obj
	for i := range 60 {
		rows = append(rows, other(i, sent.Add(-24*time.Hour+time.Duration(i)*time.Second))) // oldest first
	}
	settings := connectors.Values{"page_size": "10", "lookup_pages": "3"}
	t.Run("oldest first, capped", func(t *testing.T) {
		v := newVendor(t)
		v.serveOrders(rows, 0, false)
		require.False(t, find(t, v.open(settings), lookupOf(anOrder()))[0].Certain)
		require.Len(t, v.requests("GET /orders"), 1+3)
	})
	t.Run("oldest first, read to the end", func(t *testing.T) {
		v := newVendor(t)
		v.serveOrders(rows, 0, false)
		require.True(t, find(t, v.open(connectors.Values{"page_size": "10"}), lookupOf(anOrder()))[0].Certain)
	})
	t.Run("newest first", func(t *testing.T) {
		v := newVendor(t)
		fallen := slices.Clone(rows)
		slices.Reverse(fallen)
		v.serveOrders(fallen, 0, false)
		require.True(t, find(t, v.open(settings), lookupOf(anOrder()))[0].Certain)
		require.Len(t, v.requests("GET /orders"), 1+1)
	})
	t.Run("an answer without a list", func(t *testing.T) {
		v := newVendor(t)
		v.on("GET /orders", says(200, `{}`))
		require.False(t, find(t, v.open(settings), lookupOf(anOrder()))[0].Certain)
	})
	t.Run("page and offset ignored", func(t *testing.T) {
		v := newVendor(t)
		v.on("GET /orders", says(200, doc(obj{"orders": rows[:10]})))
		require.False(t, find(t, v.open(connectors.Values{"page_size": "10"}), lookupOf(anOrder()))[0].Certain)
	})
	t.Run("offset ignored", func(t *testing.T) {
		v := newVendor(t)
		v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "offset=", "beyond=", 1)
			pages(rows[:25], "orders", 0, false)(w, r)
		})
		c := v.open(connectors.Values{"page_size": "10"})
		require.False(t, find(t, c, lookupOf(anOrder()))[0].Certain, "pages by number don't show what slips through between them")
		c.client.pageSize = 30
		require.True(t, find(t, c, lookupOf(anOrder()))[0].Certain, "one page has them all")
	})
	t.Run("offset ignored, and the first order leaves the list", func(t *testing.T) {
		v := newVendor(t)
		listed := rows[:25]
		v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "offset=", "beyond=", 1)
			pages(listed, "orders", 0, false)(w, r)
			listed = rows[1:25]
		})
		c := v.open(connectors.Values{"page_size": "10", "lookup_by_query": "false"})
		require.False(t, find(t, c, lookupOf(anOrder()))[0].Certain, "the same rows again are no end")
	})
	t.Run("no times", func(t *testing.T) {
		v := newVendor(t)
		bare := make([]obj, 40)
		for i := range bare {
			bare[i] = obj{"id": fmt.Sprint("order_", i), "description": "x"}
		}
		v.serveOrders(bare, 0, false)
		require.False(t, find(t, v.open(settings), lookupOf(anOrder()))[0].Certain)
	})
}

// Orders that are deleted leave the list, and those behind them move up, past the
// edge of a page that is read next.
func TestFindWhileOrdersLeaveTheList(t *testing.T) {
	for name, c := range map[string]struct {
		leaving int
		covered bool
	}{"one for each page": {1, true}, "more than the pages overlap": {4, false}} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			var rows []obj
			for i := range 10 {
				rows = append(rows, other(i, sent.Add(time.Minute-time.Duration(i)*time.Second)))
			}
			rows = append(rows, taken("order_mine", sent, "relay:8f3c1e77abcdefgh shop #1042"))
			for i := range 22 {
				rows = append(rows, other(100+i, sent.Add(-time.Hour-time.Duration(i)*time.Second)))
			}
			v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
				pages(rows, "orders", 0, false)(w, r)
				rows = rows[c.leaving:]
			})
			absent := anOrder()
			absent.Token = "zzzzzzzzzzzzzzzz"
			got := find(t, v.open(connectors.Values{"page_size": "10", "lookup_by_query": "false"}), lookupOf(anOrder(), absent))
			require.Equal(t, c.covered, len(got[0].Matches) == 1)
			require.Equal(t, c.covered, got[0].Certain)
			require.Equal(t, c.covered, got[1].Certain)
		})
	}
}

// Promise 1: as many orders leave the list as come to it, so that a page that is
// given again ends with the row that it ended with before. That is no end.
func TestFindWhileOrdersLeaveTheListAndOthersCome(t *testing.T) {
	for name, ignored := range map[string][]string{"offset ignored": {"offset"}, "offset and page ignored": {"offset", "page"}} {
		for after := 1; after <= 4; after++ {
			for _, n := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s, %d after answer %d", name, n, after), func(t *testing.T) {
					var rows, fresh []obj
					for i := range 24 {
						rows = append(rows, other(i, sent.Add(time.Hour-time.Duration(i)*time.Second)))
					}
					rows = append(rows, taken("order_mine", sent, "relay:8f3c1e77abcdefgh shop #1042"))
					for i := range n {
						fresh = append(fresh, other(100+i, sent.Add(2*time.Hour-time.Duration(i)*time.Second)))
					}
					answers := 0
					v := newVendor(t)
					v.on("GET /orders", func(w http.ResponseWriter, r *http.Request) {
						query := r.URL.Query()
						for _, key := range ignored {
							query.Del(key)
						}
						r.URL.RawQuery = query.Encode()
						pages(rows, "orders", 0, false)(w, r)
						if answers++; answers == after {
							rows = slices.Concat(fresh, rows[n:])
						}
					})
					got := find(t, v.open(connectors.Values{"page_size": "10", "lookup_by_query": "false"}), lookupOf(anOrder()))[0]
					require.False(t, got.Certain && len(got.Matches) == 0, "the order is on the third page")
				})
			}
		}
	}
}

func TestFindByContentWhenDescriptionsAreDropped(t *testing.T) {
	v := newVendor(t)
	elsewhere := taken("order_elsewhere", sent, nil)
	elsewhere["destination"].(obj)["zip"] = "99999"
	fewer := taken("order_fewer", sent, "")
	fewer["line_items"] = fewer["line_items"].(arr)[:1]
	v.serveOrders([]obj{
		taken("order_late", sent.Add(time.Hour), nil),
		taken("order_mine", sent.Add(time.Second), nil),
		taken("order_owned", sent, nil),
		taken("order_described", sent, "PO#77"),
		elsewhere, fewer,
		taken("order_early", sent.Add(-time.Hour), nil),
	}, 0, false)
	got := find(t, v.open(nil), lookupOf(anOrder()))
	require.Equal(t, []connectors.Match{{ID: "order_mine", CreatedAt: sent.Add(time.Second), By: "content"}}, got[0].Matches)
}

func TestFindReadsTheOrderWhereTheListShowsLittle(t *testing.T) {
	v := newVendor(t)
	short := func(id string) obj { return obj{"id": id, "created_at": sent.Unix()} }
	v.on("GET /orders", says(200, doc(obj{"orders": arr{short("order_theirs"), short("order_mine"), short("order_masked")}})))
	v.on("GET /orders/order_theirs", says(200, doc(taken("order_theirs", sent, "PO#1"))))
	v.on("GET /orders/order_mine", says(200, doc(taken("order_mine", sent, "relay:8f3c1e77abcdefgh shop"))))
	v.on("GET /orders/order_masked", says(200, doc(short("order_masked"))))
	absent := anOrder()
	absent.Token = "zzzzzzzzzzzzzzzz"
	got := find(t, v.open(connectors.Values{"lookup_by_query": "false"}), lookupOf(anOrder(), absent))
	require.Equal(t, []connectors.Match{{ID: "order_mine", CreatedAt: sent, By: "token"}}, got[0].Matches)
	require.Empty(t, got[1].Matches)
	require.False(t, got[1].Certain, "one order can't be told apart")
}

func TestFindGivesAnOrderToOneRequestOnly(t *testing.T) {
	twin := anOrder()
	twin.Token = "zzzzzzzzzzzzzzzz"
	v := newVendor(t)
	v.serveOrders([]obj{taken("order_b", sent.Add(time.Second), nil), taken("order_a", sent, nil)}, 0, false)
	got := find(t, v.open(nil), lookupOf(anOrder(), twin))
	require.Equal(t, []connectors.Match{{ID: "order_a", CreatedAt: sent, By: "content"}}, got[0].Matches)
	require.Equal(t, []connectors.Match{{ID: "order_b", CreatedAt: sent.Add(time.Second), By: "content"}}, got[1].Matches)

	v = newVendor(t)
	v.serveOrders([]obj{taken("order_a", sent, nil)}, 0, false)
	got = find(t, v.open(nil), lookupOf(anOrder(), twin))
	require.Len(t, got[0].Matches, 1)
	require.Empty(t, got[1].Matches)
}

func TestCarries(t *testing.T) {
	const token = relay.Token("8f3c1e77abcdefgh")
	for description, want := range map[string]bool{
		"relay:8f3c1e77abcdefgh shop #1042": true,
		"relay:8f3c1e77abcdefgh":            true,
		"note: RELAY:8F3C1E77ABCDEFGH, x":   true,
		"relay:8f3c1e77ab":                  true, // cut short by the vendor
		"relay:8f3c":                        false,
		"relay:8f3c1e77abcdefghi":           false,
		"8f3c1e77abcdefgh":                  false,
		"":                                  false,
	} {
		require.Equal(t, want, carries(description, token), description)
	}
	require.True(t, dropped(""))
	require.True(t, dropped("relay:8f3"))
	require.False(t, dropped("PO#1"))
	require.False(t, dropped("relay:8f3c1e77ab"))
}

func TestFindStops(t *testing.T) {
	v := newVendor(t)
	v.on("GET /orders", says(403, `{}`))
	_, err := v.open(nil).FindOrders(t.Context(), lookupOf(anOrder()))
	require.ErrorIs(t, err, relay.Unauthorised)
	v.on("GET /orders", says(200, `{"orders":[{"id":"order_1","mode":"production","description":"relay:8f3c1e77abcdefgh"}]}`))
	_, err = v.open(nil).FindOrders(t.Context(), lookupOf(anOrder()))
	require.ErrorIs(t, err, relay.Unauthorised)
	v.on("GET /orders", says(503, `{}`))
	_, err = v.open(nil).FindOrders(t.Context(), lookupOf(anOrder()))
	require.ErrorIs(t, err, relay.Unavailable)
	none, err := v.open(nil).FindOrders(t.Context(), connectors.LookupQuery{})
	require.NoError(t, err)
	require.Empty(t, none)
}

// A cancelled order is told as such: the one that will ship must be kept.
func TestFindTellsOfCancelledOnes(t *testing.T) {
	v := newVendor(t)
	cancelled := taken("order_first", sent, mark(anOrder().Token)+" 1042")
	cancelled["status"] = "refunded"
	v.serveOrders([]obj{taken("order_second", sent.Add(time.Second), mark(anOrder().Token)+" 1042"), cancelled}, 0, false)
	found := find(t, v.open(nil), lookupOf(anOrder()))
	require.Len(t, found[0].Matches, 2)
	require.True(t, found[0].Matches[0].Cancelled)
	require.False(t, found[0].Matches[1].Cancelled)
}
