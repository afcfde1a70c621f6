package easypost

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func catalogueOf(n int) []obj {
	var rows []obj
	for i := range n {
		rows = append(rows, product(fmt.Sprintf("prod_%03d", n-i), fmt.Sprintf("%013d", i)))
	}
	return rows
}

// serveStock answers for the products that are asked for: 10 at east, 5 at west.
func (v *vendor) serveStock(most int) {
	v.on("GET /inventories", func(w http.ResponseWriter, r *http.Request) {
		ids := r.URL.Query()["product_ids[]"]
		if len(ids) > most || len(ids) == 0 {
			says(414, ``)(w, r)
			return
		}
		var rows arr
		for _, id := range ids {
			rows = append(rows,
				obj{"product": obj{"id": id}, "warehouse": obj{"id": "wh_east"}, "quantity": 10},
				obj{"product_id": id, "warehouse_id": "wh_west", "quantity": "5"},
				obj{"product_id": id, "warehouse_id": "wh_shut", "quantity": 99})
		}
		says(200, doc(obj{"inventories": rows}))(w, r)
	})
}

func (v *vendor) serveSites() {
	v.on("GET /warehouses", says(200, doc(obj{"warehouses": arr{
		obj{"id": "wh_east", "name": "East", "disabled_at": nil, "mode": "test"},
		obj{"id": "wh_west", "short_name": "W", "disabled_at": 0},
		obj{"id": "wh_shut", "name": "Shut", "disabled_at": 1571000000},
	}})))
}

func pullAll(t *testing.T, c *connection, limit int) map[relay.ItemCode]map[string]string {
	t.Helper()
	out := make(map[relay.ItemCode]map[string]string)
	q := connectors.InventoryQuery{Limit: limit}
	for {
		page, err := c.PullInventory(t.Context(), q)
		require.NoError(t, err)
		codes := make(map[relay.ItemCode]bool)
		for _, l := range page.Levels {
			if !codes[l.Code] {
				require.NotContains(t, out, l.Code, "a code in two pages")
				codes[l.Code] = true
				out[l.Code] = make(map[string]string)
			}
			out[l.Code][l.Site] = l.Quantity.String()
		}
		require.LessOrEqual(t, len(codes), limit)
		if !page.More {
			require.Empty(t, page.Cursor)
			return out
		}
		q.Cursor = page.Cursor
	}
}

func TestInventoryOfSixtyProducts(t *testing.T) {
	for name, tc := range map[string]struct {
		firstPage int
		ignore    bool
	}{"zero-based": {0, false}, "one-based": {1, false}, "page ignored": {0, true}} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.serveSites()
			v.on("GET /products", pages(catalogueOf(60), "products", tc.firstPage, tc.ignore))
			v.serveStock(28)
			got := pullAll(t, v.open(connectors.Values{"page_size": "25"}), 37)
			require.Len(t, got, 60)
			for _, sites := range got {
				require.Equal(t, map[string]string{"wh_east": "10", "wh_west": "5"}, sites)
			}
			for _, r := range v.requests("GET /inventories") {
				require.ElementsMatch(t, []string{"product", "warehouse"}, r.query["includes[]"])
				require.LessOrEqual(t, len(r.query["product_ids[]"]), 25)
			}
		})
	}
}

func TestInventoryRows(t *testing.T) {
	v := newVendor(t)
	v.serveSites()
	v.on("GET /products", says(200, doc(obj{"products": arr{
		product("prod_1", "A"), product("prod_2", " B "), product("prod_3", "A"), product("prod_4", ""), product("", "C"),
		product("prod_5", "D"), product("prod_6", "E"), product("prod_1", "A"), product("prod_7", "F"), product("prod_8", "G"),
	}})))
	v.on("GET /inventories", says(200, doc(obj{"inventories": arr{
		obj{"product": product("prod_1", "A"), "warehouse_id": "wh_east", "quantity": 41},
		obj{"product": product("prod_1", "A"), "warehouse_id": "wh_east", "quantity": 40}, // twice
		obj{"product_id": "prod_3", "warehouse_id": "wh_east", "quantity": 1.5},           // same barcode
		obj{"product": obj{"barcode": "B"}, "warehouse": obj{"id": "wh_west"}, "quantity": -3},
		obj{"product_id": "prod_5", "warehouse_id": "wh_east", "quantity": "plenty"},
		obj{"product_id": "prod_6", "warehouse_id": "wh_new", "quantity": 2},
		obj{"product_id": "prod_7", "warehouse_id": "wh_east", "quantity": nil},
		obj{"product_id": "prod_8", "warehouse_id": "wh_east"},
		obj{"product_id": "prod_6", "warehouse": obj{"id": "wh_gone", "disabled_at": "2026-01-01T00:00:00Z"}, "quantity": 2},
	}})))
	unread, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{})
	require.NoError(t, err)
	const message = "the quantity is missing or no number; want a decimal with at most 4 places"
	require.Equal(t, []connectors.Unread{{Subject: "D", Message: message}, {Subject: "F", Message: message}, {Subject: "G", Message: message}}, unread.Unread)
	require.True(t, unread.Partial, "nothing follows from its absence")
	got := pullAll(t, v.open(nil), 100)
	require.Equal(t, map[relay.ItemCode]map[string]string{
		"A": {"wh_east": "41.5", "wh_west": "0"},
		"B": {"wh_east": "0", "wh_west": "-3"},
		"E": {"wh_east": "0", "wh_west": "0", "wh_new": "2"},
	}, got)

	c := v.open(connectors.Values{"sites": "wh_west", "quantity_means": "on_hand"})
	page, err := c.PullInventory(t.Context(), connectors.InventoryQuery{})
	require.NoError(t, err)
	require.Equal(t, connectors.OnHand, page.Meaning)
	require.Equal(t, []relay.InventoryLevel{{Code: "A", Site: "wh_west"}, {Code: "B", Site: "wh_west", Quantity: relay.Units(-3)},
		{Code: "D", Site: "wh_west"}, {Code: "E", Site: "wh_west"}, {Code: "F", Site: "wh_west"}, {Code: "G", Site: "wh_west"}}, page.Levels)

	_, err = v.open(connectors.Values{"sites": "wh_shut,wh_typo"}).PullInventory(t.Context(), connectors.InventoryQuery{})
	require.ErrorIs(t, err, relay.Invalid)
}

func TestInventoryWithoutSites(t *testing.T) {
	v := newVendor(t)
	v.on("GET /products", says(200, doc(obj{"products": arr{product("prod_1", "A"), product("prod_2", "B")}})))
	v.on("GET /inventories", says(200, `{"inventories":null}`))
	require.Equal(t, map[relay.ItemCode]map[string]string{"A": {"": "0"}, "B": {"": "0"}}, pullAll(t, v.open(nil), 1))
}

func TestInventoryNeverInventsNoughts(t *testing.T) {
	for name, body := range map[string]string{
		"no list":             `{}`,
		"other products only": `{"inventories":[{"product_id":"prod_x","warehouse_id":"wh_east","quantity":1}]}`,
		"html":                `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.serveSites()
			v.on("GET /products", says(200, doc(obj{"products": arr{product("prod_1", "A")}})))
			v.on("GET /inventories", says(200, body))
			_, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{Limit: 5})
			require.ErrorIs(t, err, relay.Unavailable)
		})
	}
}

func TestInventoryCursorSurvivesChangesBetweenPages(t *testing.T) {
	v := newVendor(t)
	v.serveSites()
	v.on("GET /products", says(200, doc(obj{"products": arr{product("p1", "A"), product("p2", "B"), product("p3", "C")}})))
	v.serveStock(28)
	first, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{Limit: 2})
	require.NoError(t, err)
	require.True(t, first.More)
	// B goes, AA comes, and another worker reads the second page.
	v.on("GET /products", says(200, doc(obj{"products": arr{product("p1", "A"), product("p4", "AA"), product("p3", "C")}})))
	second, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{Limit: 2, Cursor: first.Cursor})
	require.NoError(t, err)
	require.False(t, second.More)
	for _, l := range second.Levels {
		require.Equal(t, relay.ItemCode("C"), l.Code)
	}
	_, err = v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{Cursor: "nonsense"})
	require.ErrorIs(t, err, relay.Invalid)
}

func TestInventoryRefusesTheOtherMode(t *testing.T) {
	v := newVendor(t)
	v.serveSites()
	v.on("GET /products", says(200, `{"products":[{"id":"p","barcode":"A","mode":"production"}]}`))
	_, err := v.open(nil).PullInventory(t.Context(), connectors.InventoryQuery{})
	require.ErrorIs(t, err, relay.Unauthorised)
}

func TestLimitThatCapsTheWholeListIsOvercomeByOffset(t *testing.T) {
	v := newVendor(t)
	v.serveSites()
	rows := catalogueOf(60)
	all := pages(rows, "products", 0, false)
	v.on("GET /products", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("page") != "0" { // limit bounds the total, so a second page is empty
			says(200, `{"products":[]}`)(w, r)
			return
		}
		all(w, r)
	})
	v.serveStock(28)
	require.Len(t, pullAll(t, v.open(connectors.Values{"page_size": "25"}), 100), 60)
}

func TestCheckAndSites(t *testing.T) {
	v := newVendor(t)
	v.serveSites()
	v.on("GET /products", says(200, doc(obj{"products": arr{product("p1", "A")}})))
	c := v.open(nil)
	report, err := c.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, relay.ModeTest, report.Mode)
	require.Empty(t, report.Missing)
	require.Contains(t, strings.Join(report.Details, "\n"), "Shut (wh_shut, disabled)")
	sites, err := c.Sites(t.Context())
	require.NoError(t, err)
	require.Equal(t, []connectors.Site{{ID: "wh_east", Name: "East"}, {ID: "wh_west", Name: "W"}}, sites, "a disabled one tells nothing")
	for _, r := range v.requests("") {
		require.Equal(t, http.MethodGet, r.method)
	}

	report, err = v.open(connectors.Values{"sites": "wh_typo"}).Check(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Missing, 2)

	v.on("GET /products", says(200, `{"products":[{"id":"p","mode":"production"}]}`))
	_, err = c.Check(t.Context())
	require.ErrorIs(t, err, relay.Unauthorised)
	v.on("GET /warehouses", says(403, `{"error":{"code":"APIKEY.INACTIVE","errors":[],"message":"m"}}`))
	_, err = c.Check(t.Context())
	require.ErrorIs(t, err, relay.Unauthorised)
}
