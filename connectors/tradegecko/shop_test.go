package tradegecko

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

// shop is a small scripted cart: tables of JSON rows behind the vendor's paging
// and filters, with a hook before every answer.
type shop struct {
	t   *testing.T
	url string

	mu           sync.Mutex
	tables       map[string][]map[string]any
	nextID       int64
	requests     []string // "GET /orders?..."
	exclusiveMin bool
	noPaging     bool                                              // answers without X-Pagination
	ignore       map[string]bool                                   // query parameters it does not know
	before       func(w http.ResponseWriter, r *http.Request) bool // true: it answered
	after        func(w http.ResponseWriter, r *http.Request) bool // after a write was done: true: it answered
	onPost       map[string]func(body map[string]any) (int, any)   // by path
	puts         func(path string) int                             // status of a PUT; nil: 204
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, tables: map[string][]map[string]any{}, nextID: 9_000_000, ignore: map[string]bool{}}
	for _, name := range []string{"orders", "order_line_items", "addresses", "variants", "contacts", "companies",
		"fulfillments", "fulfillment_line_items", "stock_adjustments", "locations"} {
		s.tables[name] = []map[string]any{}
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// open connects to the shop with a privileged token and quick back-off.
func (s *shop) open(settings connectors.Values) *connection {
	return openAt(s.t, s.url, settings, &connectors.StaticVault{Credentials: connectors.Credentials{"access_token": "token-1"}})
}

func openAt(t *testing.T, url string, settings connectors.Values, vault connectors.Vault) *connection {
	t.Helper()
	conn := vendortest.Open(t, Connectors()[0], connectors.Config{BaseURL: url, Settings: settings, Vault: vault}, nil)
	c, keeps := conn.(*connection)
	if !keeps {
		c = conn.(*voidingConnection).connection
	}
	c.api.backoff.First = time.Millisecond
	return c
}

func (s *shop) add(table string, rows ...map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables[table] = append(s.tables[table], rows...)
}

func (s *shop) row(table string, id int64) map[string]any {
	for _, r := range s.tables[table] {
		if num(r["id"]) == id {
			return r
		}
	}
	return nil
}

func (s *shop) count(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery)
	if s.before != nil && s.before(w, r) {
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodGet && len(parts) == 1:
		s.list(w, parts[0], r.URL.Query())
	case r.Method == http.MethodGet:
		s.member(w, parts[0], parts[1])
	case r.Method == http.MethodPost:
		s.post(w, r, parts[0])
	case r.Method == http.MethodPut:
		s.put(w, r, parts[0], parts[1])
	}
}

func (s *shop) list(w http.ResponseWriter, table string, q url.Values) {
	var rows []map[string]any
	for _, row := range s.tables[table] {
		if s.matches(row, q) {
			rows = append(rows, row)
		}
	}
	if col, dir, ok := strings.Cut(q.Get("order"), " "); ok && !s.ignore["order"] {
		slices.SortStableFunc(rows, func(a, b map[string]any) int {
			n := cmp.Or(strings.Compare(str(a[col]), str(b[col])), cmp.Compare(num(a["id"]), num(b["id"])))
			if dir == "desc" {
				return -n
			}
			return n
		})
	}
	limit, _ := strconv.Atoi(cmp.Or(q.Get("limit"), "50"))
	page, _ := strconv.Atoi(cmp.Or(q.Get("page"), "1"))
	if limit > 250 {
		reply(w, 400, map[string]any{"type": "Bad Request", "message": "limit"})
		return
	}
	pages := max(1, (len(rows)+limit-1)/limit)
	from, to := min((page-1)*limit, len(rows)), min(page*limit, len(rows))
	if !s.noPaging {
		w.Header().Set("X-Pagination", fmt.Sprintf(`{"total_records":%d,"total_pages":%d,"first_page":%t,"last_page":%t,"out_of_bounds":%t,"offset":%d}`,
			len(rows), pages, page == 1, page >= pages, page > pages, from))
	}
	doc := map[string]any{table: append([]map[string]any{}, rows[from:to]...)}
	if table == "fulfillments" {
		doc["fulfillment_line_items"] = s.tables["fulfillment_line_items"]
	}
	reply(w, 200, doc)
}

func (s *shop) matches(row map[string]any, q url.Values) bool {
	for name, values := range q {
		column := strings.TrimSuffix(name, "[]")
		if s.ignore[column] {
			continue
		}
		switch column {
		case "limit", "page", "order":
			continue
		case "updated_at_min":
			if c := strings.Compare(str(row["updated_at"]), values[0]); c < 0 || (c == 0 && s.exclusiveMin) {
				return false
			}
			continue
		case "updated_at_max":
			if c := strings.Compare(str(row["updated_at"]), values[0]); c > 0 || (c == 0 && s.exclusiveMin) {
				return false
			}
			continue
		case "created_at_min":
			if str(row["created_at"]) < values[0] {
				return false
			}
			continue
		case "ids":
			column = "id"
		}
		var any []string
		for _, v := range values {
			any = append(any, strings.Split(v, ",")...)
		}
		if !slices.Contains(any, str(row[column])) {
			return false
		}
	}
	// Archived rows are shown only when asked for.
	return row["status"] != "archived" || slices.Contains(q["status[]"], "archived")
}

func (s *shop) member(w http.ResponseWriter, table, id string) {
	switch table {
	case "accounts", "users":
		reply(w, 200, map[string]any{strings.TrimSuffix(table, "s"): s.tables[table][0]})
		return
	}
	n, _ := strconv.ParseInt(id, 10, 64)
	if row := s.row(table, n); row != nil {
		reply(w, 200, map[string]any{strings.TrimSuffix(table, "s"): row})
		return
	}
	reply(w, 404, map[string]any{"type": "Not Found", "message": "Couldn't find it with id " + id})
}

func (s *shop) post(w http.ResponseWriter, r *http.Request, table string) {
	body := map[string]map[string]any{}
	require.NoError(s.t, json.NewDecoder(r.Body).Decode(&body))
	root := strings.TrimSuffix(table, "s")
	if f := s.onPost[table]; f != nil {
		if status, doc := f(body[root]); status != 0 {
			reply(w, status, doc)
			return
		}
	}
	row := body[root]
	row["id"] = s.newID()
	children := root + "_line_items"
	var lineIDs []any
	for _, l := range row[children].([]any) {
		line := l.(map[string]any)
		line["id"], line[root+"_id"] = s.newID(), row["id"]
		lineIDs = append(lineIDs, line["id"])
		s.tables[children] = append(s.tables[children], line)
		if table == "stock_adjustments" {
			s.move(num(line["variant_id"]), num(row["stock_location_id"]), str(line["quantity"]))
		}
	}
	delete(row, children)
	row[root+"_line_item_ids"] = lineIDs
	s.tables[table] = append(s.tables[table], row)
	if s.after != nil && s.after(w, r) {
		return
	}
	reply(w, 201, map[string]any{root: row})
}

// move changes a variant's stock at a location.
func (s *shop) move(variantID, locationID int64, delta string) {
	for _, at := range s.row("variants", variantID)["locations"].([]any) {
		at := at.(map[string]any)
		if num(at["location_id"]) == locationID {
			have, _ := relay.ParseQuantity(str(at["stock_on_hand"]))
			by, err := relay.ParseQuantity(delta)
			require.NoError(s.t, err)
			at["stock_on_hand"] = (have + by).String()
		}
	}
}

func (s *shop) put(w http.ResponseWriter, r *http.Request, table, id string) {
	body := map[string]map[string]any{}
	require.NoError(s.t, json.NewDecoder(r.Body).Decode(&body))
	n, _ := strconv.ParseInt(id, 10, 64)
	root := strings.TrimSuffix(table, "s")
	row := s.row(table, n)
	if row == nil {
		reply(w, 404, map[string]any{"type": "Not Found", "message": "gone"})
		return
	}
	maps.Copy(row, body[root])
	if s.after != nil && s.after(w, r) {
		return
	}
	if s.puts != nil && s.puts(r.URL.Path) == 200 {
		reply(w, 200, map[string]any{root: row})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *shop) newID() int64 { s.nextID++; return s.nextID }

func reply(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

func str(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func num(v any) int64 {
	n, _ := strconv.ParseInt(str(v), 10, 64)
	return n
}

// drop hangs up without an answer.
func drop(w http.ResponseWriter) { vendortest.HangUp(w, nil) }

var day = time.Date(2021, 3, 4, 5, 0, 0, 0, time.UTC)

// addOrder puts an order of one line, two units of RED-S, into the shop.
func (s *shop) addOrder(n int64, at time.Time) map[string]any {
	if s.row("variants", 61001) == nil {
		s.add("variants", variantRow(61001, "RED-S", "10"))
		s.add("addresses", map[string]any{"id": 88001, "first_name": "Ann", "last_name": "Example", "company_name": "Example Ltd",
			"address1": "1 Road", "address2": "Flat 2", "suburb": "Parnell", "city": "Auckland", "zip_code": "01010", "country": "New Zealand", "country_code": "nz"})
	}
	o := map[string]any{
		"id": n, "order_number": fmt.Sprintf("SO%d", n), "status": "finalized", "payment_status": "paid",
		"fulfillment_status": "unshipped", "created_at": wireTime(at), "updated_at": wireTime(at),
		"shipping_address_id": 88001, "billing_address_id": 88001, "company_id": 5150, "contact_id": 77,
		"order_line_item_ids": []any{n*10 + 1}, "fulfillment_ids": []any{}, "email": "ann@example.test",
	}
	s.add("orders", o)
	s.add("order_line_items", map[string]any{"id": n*10 + 1, "order_id": n, "variant_id": 61001, "quantity": "2.0", "position": 0, "freeform": false})
	return o
}

func variantRow(n int64, sku, onHand string) map[string]any {
	return map[string]any{"id": n, "sku": sku, "product_name": "Shirt", "name": "Red S", "status": "active", "manage_stock": true,
		"composite": nil, "moving_average_cost": "0", "last_cost_price": "7.125", "buy_price": "9.0",
		"locations": []any{map[string]any{"location_id": 31, "stock_on_hand": onHand, "committed": nil}}}
}

// pullAll pulls until there is no more, failing beyond a bound, and returns the
// orders by id and the last cursor.
func pullAll(t *testing.T, c *connection, cursor string, q connectors.OrdersQuery) (map[relay.ExternalID]relay.CartOrder, string) {
	t.Helper()
	got := map[relay.ExternalID]relay.CartOrder{}
	for range 500 {
		q.Cursor = cursor
		page, err := c.PullOrders(t.Context(), q)
		require.NoError(t, err)
		for _, o := range page.Orders {
			got[o.ExternalID] = o
		}
		cursor = page.Cursor
		if !page.More {
			return got, cursor
		}
	}
	t.Fatal("the walk does not end")
	return nil, ""
}
