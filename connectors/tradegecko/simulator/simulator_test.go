package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors/simkit/simtest"
	"orderferry/connectors/tradegecko/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClock() *simtest.Clock {
	return simtest.NewClock(time.Date(2021, 3, 4, 5, 0, 0, 123456789, time.UTC))
}

// shop is a simulator behind real HTTP, with one account at hand.
type shop struct {
	*simulator.Simulator
	stand *simtest.Stand
	t     testing.TB
	clock *simtest.Clock
	token string
}

func config(c *simtest.Clock) simulator.Config {
	return simulator.Config{
		Seed: 7, Clock: c.Now, RateLimit: -1,
		Accounts: []simulator.Account{
			{Name: "acme", Tokens: []string{"acme-token"}, AppID: "app", AppSecret: "app-secret", RefreshToken: "first-refresh",
				Locations: []string{"Main Warehouse", "Second Warehouse"}},
			{Name: "other", Tokens: []string{"other-token"}, AppID: "app-2", AppSecret: "secret-2", RefreshToken: "other-refresh"},
		},
	}
}

func start(t testing.TB, cfg simulator.Config, c *simtest.Clock) *shop {
	t.Helper()
	sim, err := simulator.New(cfg)
	require.NoError(t, err)
	s := &shop{Simulator: sim, stand: simtest.Start(t, sim), t: t, clock: c, token: "acme-token"}
	t.Cleanup(s.stand.Stop)
	return s
}

func open(t testing.TB) *shop {
	c := newClock()
	return start(t, config(c), c)
}

// stocked is a shop with two SKUs.
func stocked(t testing.TB) *shop {
	s := open(t)
	s.variant("RED-S", "10")
	s.variant("RED-M", "5")
	return s
}

func (s *shop) variant(sku, onHand string) int64 {
	s.t.Helper()
	id, err := s.AddVariant("acme", simulator.NewVariant{SKU: sku, UPC: "0000" + sku, Stock: []simulator.Stock{{OnHand: onHand}}})
	require.NoError(s.t, err)
	return id
}

func (s *shop) order(number string, units ...string) simulator.OrderView {
	s.t.Helper()
	n := simulator.NewOrder{Number: number, Address: simulator.Address{FirstName: "Ann", LastName: "Example", Line1: "1 High St",
		City: "Springfield", Zip: "12345", Country: "US"}, ShipMethod: "Ground", ShipPrice: "4.5"}
	for _, u := range units {
		sku, quantity, _ := strings.Cut(u, ":")
		n.Lines = append(n.Lines, simulator.NewLine{SKU: sku, Quantity: quantity, Price: "20"})
	}
	o, err := s.AddOrder("acme", n)
	require.NoError(s.t, err)
	return o
}

type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (s *shop) try(method, path, body string, headers ...string) (answer, error) {
	request, err := http.NewRequest(method, s.stand.URL()+path, strings.NewReader(body))
	require.NoError(s.t, err)
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := s.stand.Do(request)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: got.Status, header: got.Header, raw: string(got.Raw)}
	_ = json.Unmarshal(got.Raw, &a.body) // some answers are not JSON on purpose
	return a, nil
}

func (s *shop) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	require.NoError(s.t, err)
	return a
}

func (s *shop) get(path string) answer {
	s.t.Helper()
	a := s.do("GET", path, "")
	require.Equal(s.t, 200, a.status, a.raw)
	return a
}

func (a answer) list(key string) []map[string]any {
	items, _ := a.body[key].([]any)
	out := make([]map[string]any, len(items))
	for i, item := range items {
		out[i], _ = item.(map[string]any)
	}
	return out
}

func (a answer) object(key string) map[string]any {
	o, _ := a.body[key].(map[string]any)
	return o
}

func (a answer) column(list, field string) []any {
	var out []any
	for _, row := range a.list(list) {
		out = append(out, row[field])
	}
	return out
}

func fulfilment(o simulator.OrderView, status, tracking string, quantities ...string) string {
	var lines []string
	for i, q := range quantities {
		if q != "" {
			lines = append(lines, fmt.Sprintf(`{"order_line_item_id":%d,"quantity":%q}`, o.Lines[i].ID, q))
		}
	}
	return fmt.Sprintf(`{"fulfillment":{"order_id":%d,"status":%q,"tracking_number":%q,"tracking_company":"Example Post","fulfillment_line_items":[%s]}}`,
		o.ID, status, tracking, strings.Join(lines, ","))
}

func TestOrderOnTheWire(t *testing.T) {
	s := stocked(t)
	o := s.order("SO-1", "RED-S:2", "RED-M:1")
	got := s.get(fmt.Sprintf("/orders/%d?include=order_line_items,shipping_address,billing_address,company", o.ID))
	order := got.object("order")
	for field, want := range map[string]any{
		"order_number": "SO-1", "status": "finalized", "payment_status": "paid", "packed_status": "unpacked", "fulfillment_status": "unshipped",
		"total": "64.5", "cached_total": "64.5", "issued_at": "2021-03-04", "ship_at": nil, "notes": nil, "fulfillment_ids": []any{}, "tags": []any{},
		"created_at": "2021-03-04T05:00:00.123Z",
	} {
		require.Equal(t, want, order[field], field)
	}
	lines := got.list("order_line_items")
	require.Len(t, lines, 3)
	require.Equal(t, "2.0", lines[0]["quantity"])
	require.Equal(t, "20.0", lines[0]["price"])
	require.Nil(t, lines[0]["label"])
	require.Equal(t, "shipping", lines[2]["line_type"])
	require.Equal(t, "Ground", lines[2]["label"])
	require.Nil(t, lines[2]["variant_id"])
	require.Len(t, got.list("addresses"), 1, "one address for shipping and billing")
	require.Equal(t, "US", got.list("addresses")[0]["country_code"])
	require.Equal(t, "Ann Example", got.list("companies")[0]["name"])

	index := s.get("/orders?include=order_line_items&status[]=finalized")
	require.NotContains(t, index.body, "order_line_items", "the order index ignores include")
	require.Equal(t, lines[0]["id"], s.get(fmt.Sprintf("/order_line_items?order_id=%d,999", o.ID)).list("order_line_items")[0]["id"])

	bare := s.order("SO-2", "RED-S:1")
	require.NoError(t, s.Revert("acme", "SO-2"))
	for _, l := range bare.Lines {
		require.Equal(t, 204, s.do("DELETE", fmt.Sprintf("/order_line_items/%d", l.ID), "").status)
	}
	empty := s.get(fmt.Sprintf("/orders/%d.json", bare.ID))
	require.Contains(t, empty.raw, `"total":0,`)
	require.Equal(t, []any{}, empty.object("order")["order_line_item_ids"])
}

func TestStockOnTheWire(t *testing.T) {
	s := stocked(t)
	idle := s.variant("IDLE", "0")
	s.order("SO-1", "RED-S:2")
	red := s.get("/variants?sku=RED-S").list("variants")[0]
	require.Equal(t, "10", red["stock_on_hand"])
	require.Equal(t, "2", red["committed_stock"])
	require.Equal(t, "8", red["available_stock"])
	place := red["locations"].([]any)[0].(map[string]any)
	require.Equal(t, "2", place["committed"])
	none := s.get(fmt.Sprintf("/variants/%d", idle)).object("variant")
	require.Nil(t, none["locations"].([]any)[0].(map[string]any)["committed"])
	require.Contains(t, s.get(fmt.Sprintf("/stock_levels/%d", idle)).raw, `"committed":0,"incoming":0`)
	require.Len(t, s.get(fmt.Sprintf("/stock_levels?ids[]=%d", idle)).list("stock_levels"), 1)

	_, err := s.AddVariant("acme", simulator.NewVariant{SKU: "KIT", Components: []simulator.NewComponent{{SKU: "RED-S", Quantity: "2"}, {SKU: "RED-M", Quantity: "1"}}})
	require.NoError(t, err)
	kit := s.get("/variants?sku=KIT").list("variants")[0]
	require.Equal(t, true, kit["composite"])
	require.Equal(t, "5", kit["stock_on_hand"])
	parts := s.get(fmt.Sprintf("/variants/composition/%.0f?include=component", kit["id"]))
	require.Equal(t, []any{"RED-S", "RED-M"}, parts.column("composition", "component_sku"))
	require.Len(t, parts.list("variants"), 2)
	o := s.order("SO-KIT", "KIT:1")
	require.Equal(t, 201, s.do("POST", "/fulfillments", fulfilment(o, "fulfilled", "T", "1")).status)
	require.Equal(t, "8", s.get("/variants?sku=RED-S").list("variants")[0]["stock_on_hand"])
}

func TestPagingAndFilters(t *testing.T) {
	s := stocked(t)
	var orders []simulator.OrderView
	for i := range 12 {
		s.clock.Pass(time.Second)
		orders = append(orders, s.order(fmt.Sprintf("SO-%02d", i), "RED-S:1"))
	}
	require.NoError(t, s.Void("acme", "SO-03"))
	require.NoError(t, s.Revert("acme", "SO-04"))
	page := func(query, wantHeader string, want ...any) {
		t.Helper()
		a := s.get("/orders?" + query)
		require.Equal(t, want, a.column("orders", "order_number"), query)
		if wantHeader != "" {
			require.Equal(t, wantHeader, a.header.Get("X-Pagination"), query)
		}
	}
	page("limit=5&page=2&order=created_at+asc&status[]=finalized&status[]=void&status=active",
		`{"total_records":12,"total_pages":3,"first_page":false,"last_page":false,"out_of_bounds":false,"offset":5}`,
		"SO-05", "SO-06", "SO-07", "SO-08", "SO-09")
	page("limit=0", `{"total_records":11,"total_pages":0,"first_page":true,"last_page":true,"out_of_bounds":false,"offset":0}`)
	page("limit=5&page=9", `{"total_records":11,"total_pages":3,"first_page":false,"last_page":true,"out_of_bounds":true,"offset":40}`)
	page("limit=2", "", "SO-11", "SO-10")
	page("status[]=void&status[]=deleted", "", "SO-03")
	page(fmt.Sprintf("ids=%d,%d&order=id+asc", orders[3].ID, orders[1].ID), "", "SO-01", "SO-03")
	page("status[]=finalized&fulfillment_status[]=unshipped&fulfillment_status[]=partial&updated_at_min=2021-03-04T05:00:11Z&order=updated_at+asc&limit=250&notes=&unknown=1",
		`{"total_records":2,"total_pages":1,"first_page":true,"last_page":true,"out_of_bounds":false,"offset":0}`, "SO-10", "SO-11")
	page("status[]=finalized&order=updated_at+asc&limit=3&page=4",
		`{"total_records":10,"total_pages":4,"first_page":false,"last_page":true,"out_of_bounds":false,"offset":9}`, "SO-11")
	page("order=updated_at+asc&limit=250&status=active,void", "", "SO-03", "SO-04")
	page("order=updated_at+asc&limit=2&page=2&payment_status=paid&status[]=finalized", "", "SO-02", "SO-05")
	page("order_number=SO-07", "", "SO-07")
	page("q=so-08", "", "SO-08")
	page("company_id=1", "")
	page("created_at_max=2021-03-04T05:00:01.123Z", "", "SO-00")

	first := s.get("/orders?limit=5")
	require.Contains(t, first.header.Get("Link"), `/ajax/orders?limit=5&page=2>; rel="next"`)
	require.Contains(t, first.header.Get("Link"), `/ajax/orders?limit=5&page=3>; rel="last"`)
	require.NotContains(t, first.header.Get("Link"), "prev")
	require.Equal(t, 400, s.do("GET", "/orders?limit=251", "").status)
	require.Equal(t, 400, s.do("GET", "/orders?updated_at_min=soon", "").status)
	require.Equal(t, 414, s.do("GET", "/orders?ids="+strings.Repeat("1,", 5000), "").status)

	require.NoError(t, s.SetBehaviour(simulator.Behaviour{ListShowsVoid: true, MinExclusive: true, IgnoreSKUFilter: true}))
	require.Contains(t, s.get("/orders?limit=250").column("orders", "order_number"), "SO-03")
	require.Empty(t, s.get("/orders?created_at_min=2021-03-04T05:00:12.123Z").list("orders"))
	require.Len(t, s.get("/variants?sku=RED-S").list("variants"), 2)
}

// The walk by updated_at through the timelines must agree with a plain sort.
func TestWalkAgreesWithSort(t *testing.T) {
	s := stocked(t)
	for i := range 300 {
		if i%3 == 0 {
			s.clock.Pass(time.Millisecond)
		}
		s.order(fmt.Sprintf("SO-%03d", i), "RED-S:1")
	}
	for i := 0; i < 300; i += 7 {
		s.clock.Pass(time.Millisecond)
		require.NoError(t, s.Revert("acme", fmt.Sprintf("SO-%03d", i)))
	}
	for i := 3; i < 300; i += 11 {
		require.NoError(t, s.Void("acme", fmt.Sprintf("SO-%03d", i)))
	}
	for _, filter := range []string{"", "status[]=finalized&status[]=active&", "status[]=void&", "stock_location_id=1&", "status[]=finalized&payment_status=paid&"} {
		var up, down []any
		for page := 1; ; page++ {
			a := s.get(fmt.Sprintf("/orders?%sorder=updated_at+asc&limit=17&page=%d", filter, page))
			up = append(up, a.column("orders", "id")...)
			b := s.get(fmt.Sprintf("/orders?%sorder=updated_at+desc&limit=17&page=%d", filter, page))
			down = append(down, b.column("orders", "id")...)
			require.Equal(t, a.header.Get("X-Pagination"), b.header.Get("X-Pagination"))
			if strings.Contains(a.header.Get("X-Pagination"), `"last_page":true`) {
				break
			}
		}
		slices.Reverse(down)
		require.Equal(t, up, down, filter)
	}
}

func TestShipping(t *testing.T) {
	s := stocked(t)
	o := s.order("SO-1", "RED-S:2", "RED-M:1")
	s.clock.Pass(time.Second)
	made := s.do("POST", "/fulfillments/", fulfilment(o, "packed", "T1", "2"))
	require.Equal(t, 201, made.status, made.raw)
	f := made.object("fulfillment")
	require.Equal(t, "packed", f["status"])
	require.Nil(t, f["shipped_at"])
	require.Equal(t, "2021-03-04", f["packed_at"])
	require.Equal(t, "1.0", f["exchange_rate"])
	require.Equal(t, map[string]any{}, f["receipt"])
	item := made.list("fulfillment_line_items")[0]
	require.Equal(t, "2.0", item["quantity"])
	require.Equal(t, "RED-S", item["variant_sku"])
	require.Nil(t, item["base_price"])
	v, err := s.Order("acme", "SO-1")
	require.NoError(t, err)
	require.Equal(t, []string{"finalized", "partial", "unshipped"}, []string{v.Status, v.PackedStatus, v.FulfillmentStatus})
	require.True(t, v.UpdatedAt.After(o.UpdatedAt), "a fulfillment moves its order's stamp")

	path := fmt.Sprintf("/fulfillments/%.0f", f["id"])
	put := s.do("PUT", path, `{"fulfillment":{"status":"fulfilled","tracking_number":"T2","order_id":1}}`)
	require.Equal(t, 200, put.status)
	require.Equal(t, "2021-03-04T05:00:01.123Z", put.object("fulfillment")["shipped_at"])
	require.Len(t, put.list("fulfillment_line_items"), 1)
	stock, err := s.Stock("acme")
	require.NoError(t, err)
	require.Equal(t, "8", stock[0].OnHand)
	require.Equal(t, "0", stock[0].Committed)

	over := s.do("POST", "/fulfillments", fulfilment(o, "fulfilled", "T3", "1"))
	require.Equal(t, 422, over.status)
	require.Contains(t, over.object("errors"), "quantity")
	require.Equal(t, int64(1), s.Stats().OverFulfils)
	require.Equal(t, 201, s.do("POST", "/fulfillments", fulfilment(o, "fulfilled", "T3", "", "1")).status)
	v, err = s.Order("acme", "SO-1")
	require.NoError(t, err)
	require.Equal(t, []string{"fulfilled", "packed", "shipped"}, []string{v.Status, v.PackedStatus, v.FulfillmentStatus})
	require.Equal(t, "T2", v.Fulfillments[0].TrackingNumber)
	require.Equal(t, []simulator.Units{{SKU: "RED-M", Quantity: "1"}}, v.Fulfillments[1].Units)
	require.Error(t, s.Void("acme", "SO-1"))

	list := s.get(fmt.Sprintf("/fulfillments?order_id=%d&status[]=packed&status[]=fulfilled", o.ID))
	require.Len(t, list.list("fulfillments"), 2)
	require.Len(t, list.list("fulfillment_line_items"), 2, "line items are sideloaded unasked")
	require.Equal(t, 204, s.do("DELETE", path, "").status)
	v, err = s.Order("acme", "SO-1")
	require.NoError(t, err)
	require.Equal(t, []string{"finalized", "partial", "void"}, []string{v.Status, v.FulfillmentStatus, v.Fulfillments[0].Status})
	stock, err = s.Stock("acme")
	require.NoError(t, err)
	require.Equal(t, "10", stock[0].OnHand)
	require.Equal(t, "2", stock[0].Committed)
}

func TestRefusals(t *testing.T) {
	s := stocked(t)
	o := s.order("SO-1", "RED-S:2")
	draft, err := s.AddOrder("acme", simulator.NewOrder{Number: "SO-D", Status: "draft", Lines: []simulator.NewLine{{SKU: "RED-S", Quantity: "1"}}})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"not found":     {"GET", "/orders/12345", "", 404, `{"type":"Not Found","message":"Couldn't find order with id 12345"}`},
		"not a number":  {"GET", "/orders/abc", "", 404, `Couldn't find order`},
		"no such path":  {"GET", "/nothing", "", 404, `"type":"Not Found"`},
		"no update":     {"PUT", "/stock_adjustments/1", "{}", 404, `"type":"Not Found"`},
		"no root":       {"POST", "/fulfillments", `{"order_id":1}`, 400, `{"type":"Bad Request","message":"Required parameter missing: fulfillment"}`},
		"not JSON":      {"POST", "/fulfillments", `{`, 400, "not valid JSON"},
		"no lines":      {"POST", "/fulfillments", fulfilment(o, "packed", "T"), 422, `{"errors":{"base":["Cannot create or update a Fulfillment without line items"]}}`},
		"not finalized": {"POST", "/fulfillments", fulfilment(draft, "packed", "T", "1"), 422, `{"errors":{"base":["Order must be finalized"]}}`},
		"foreign line":  {"POST", "/fulfillments", strings.Replace(fulfilment(o, "packed", "T", "1"), fmt.Sprint(o.Lines[0].ID), fmt.Sprint(draft.Lines[0].ID), 1), 422, `order_line_item_id`},
		"bad status":    {"POST", "/fulfillments", fulfilment(o, "shipped", "T", "1"), 422, `"status":["is not included in the list"]`},
		"bad reason":    {"POST", "/stock_adjustments", `{"stock_adjustment":{"reason":"because"}}`, 422, `"reason":["is not included in the list"]`},
		"no price":      {"POST", "/stock_adjustments", `{"stock_adjustment":{"reason":"damaged","stock_adjustment_line_items":[{"variant_id":1,"quantity":"x"}]}}`, 422, `variant_id`},
		"set fulfilled": {"PUT", fmt.Sprintf("/orders/%d", o.ID), `{"order":{"status":"fulfilled"}}`, 422, `"status"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.do(c.method, c.path, c.body)
			require.Equal(t, c.status, a.status, a.raw)
			require.Contains(t, a.raw, c.want)
			require.NotEmpty(t, a.header.Get("X-Rate-Limit-Limit"))
			require.NotEmpty(t, a.header.Get("X-Request-Id"))
		})
	}
	s.token = "wrong"
	require.Contains(t, s.do("GET", "/orders", "").raw, `"type":"unauthorized"`)
	s.token = "other-token"
	require.Equal(t, 404, s.do("GET", fmt.Sprintf("/orders/%d", o.ID), "").status, "another account's order")
	require.Empty(t, s.get("/orders").list("orders"))
	require.Equal(t, "other", s.get("/accounts/current").object("account")["name"])
	require.Contains(t, s.get("/users/current/").object("user")["permissions"], "write_orders")
}

func TestStatusMoves(t *testing.T) {
	s := stocked(t)
	_, err := s.AddOrder("acme", simulator.NewOrder{Number: "SO-1", Status: "draft", Lines: []simulator.NewLine{{SKU: "RED-S", Quantity: "3"}}})
	require.NoError(t, err)
	committed := func() string {
		stock, err := s.Stock("acme")
		require.NoError(t, err)
		return stock[0].Committed
	}
	require.Equal(t, "0", committed())
	require.NoError(t, s.EditLine("acme", "SO-1", "RED-S", "4"))
	require.NoError(t, s.Finalize("acme", "SO-1"))
	require.Equal(t, "4", committed())
	require.Error(t, s.EditLine("acme", "SO-1", "RED-S", "1"))
	require.Error(t, s.DeleteDraft("acme", "SO-1"))
	_, err = s.PackPart("acme", "SO-1", []simulator.Units{{SKU: "RED-S", Quantity: "1"}})
	require.NoError(t, err)
	require.Error(t, s.Revert("acme", "SO-1"))
	require.NoError(t, s.Void("acme", "SO-1"))
	require.Equal(t, "0", committed())
	v, err := s.Order("acme", "SO-1")
	require.NoError(t, err)
	require.Equal(t, "void", v.Status)
	require.Equal(t, "deleted", v.Fulfillments[0].Status)
	require.Error(t, s.Void("acme", "SO-1"))

	o := s.order("SO-2", "RED-S:2")
	act := s.do("POST", fmt.Sprintf("/orders/%d/actions/pack", o.ID), `{"fulfillment":{"tracking_number":"TP"}}`)
	require.Equal(t, 201, act.status, act.raw)
	require.Equal(t, "TP", act.object("fulfillment")["tracking_number"])
	require.Equal(t, 201, s.do("POST", fmt.Sprintf("/orders/%d/actions/fulfil", o.ID), "").status)
	v, err = s.Order("acme", "SO-2")
	require.NoError(t, err)
	require.Equal(t, "fulfilled", v.Status)
	require.Len(t, v.Fulfillments, 1)
	require.Equal(t, 422, s.do("POST", fmt.Sprintf("/orders/%d/actions/void", o.ID), "").status)
	require.Equal(t, 404, s.do("POST", fmt.Sprintf("/orders/%d/actions/dance", o.ID), "").status)
}

func TestStockAdjustment(t *testing.T) {
	s := stocked(t)
	red := s.get("/variants?sku=RED-S").list("variants")[0]["id"]
	blue := s.variant("BLUE", "0")
	body := fmt.Sprintf(`{"stock_adjustment":{"reason":"shrinkage","notes":"sync","stock_adjustment_line_items":[
		{"variant_id":%.0f,"quantity":"-3"},{"variant_id":%d,"quantity":4,"price":"12.5"}]}}`, red, blue)
	a := s.do("POST", "/stock_adjustments", body)
	require.Equal(t, 201, a.status, a.raw)
	require.Equal(t, "SA0001", a.object("stock_adjustment")["adjustment_number"])
	require.Equal(t, "1.0", a.object("stock_adjustment")["cached_quantity"])
	require.Equal(t, "50.0", a.object("stock_adjustment")["cached_total"])
	require.Equal(t, "7", s.get("/variants?sku=RED-S").list("variants")[0]["stock_on_hand"])
	got := s.get("/variants?sku=BLUE").list("variants")[0]
	require.Equal(t, "4", got["stock_on_hand"])
	require.Equal(t, "12.5", got["moving_average_cost"])
	line := fmt.Sprintf(`{"stock_adjustment_line_item":{"stock_adjustment_id":%.0f,"variant_id":%d,"quantity":"4","price":"2.5"}}`, a.object("stock_adjustment")["id"], blue)
	require.Equal(t, 201, s.do("POST", "/stock_adjustment_line_items", line).status)
	require.Equal(t, "7.5", s.get("/variants?sku=BLUE").list("variants")[0]["moving_average_cost"])
	require.Equal(t, 500, s.do("POST", "/stock_adjustment_line_items", `{"stock_adjustment_line_item":{"variant_id":1}}`).status)
	require.Equal(t, 204, s.do("DELETE", fmt.Sprintf("/stock_adjustments/%.0f", a.object("stock_adjustment")["id"]), "").status)
	require.Equal(t, "10", s.get("/variants?sku=RED-S").list("variants")[0]["stock_on_hand"])
	require.Equal(t, 204, s.do("PUT", fmt.Sprintf("/variants/%d", blue), `{"variant":{"stock_on_hand":"99"}}`).status)
	require.Equal(t, "0", s.get("/variants?sku=BLUE").list("variants")[0]["stock_on_hand"], "stock cannot be set")
}

func TestIdempotency(t *testing.T) {
	s := stocked(t)
	o := s.order("SO-1", "RED-S:5")
	body := fulfilment(o, "packed", "T", "1")
	require.Equal(t, 201, s.do("POST", "/fulfillments", body, "Idempotency-Key", "k1").status)
	again := s.do("POST", "/fulfillments", body, "Idempotency-Key", "k1")
	require.Equal(t, 409, again.status)
	require.Equal(t, "Duplicate Idempotency Key header detected", again.body["message"])
	require.Equal(t, 422, s.do("POST", "/fulfillments", fulfilment(o, "packed", "T", "9"), "Idempotency-Key", "k2").status)
	require.Equal(t, 201, s.do("POST", "/fulfillments", body, "Idempotency-Key", "k2").status, "a refusal does not use the key up")
	require.NoError(t, s.SetBehaviour(simulator.Behaviour{ReplayIdempotent: true}))
	first := s.do("POST", "/fulfillments", body, "Idempotency-Key", "k3")
	second := s.do("POST", "/fulfillments", body, "Idempotency-Key", "k3")
	require.Equal(t, 201, second.status)
	require.Equal(t, first.raw, second.raw)
	s.clock.Pass(25 * time.Hour)
	require.Equal(t, 201, s.do("POST", "/fulfillments", body, "Idempotency-Key", "k1").status, "keys live a day")
	require.Len(t, s.get(fmt.Sprintf("/fulfillments?order_id=%d", o.ID)).list("fulfillments"), 4)
}

func TestRateWindow(t *testing.T) {
	c := newClock()
	cfg := config(c)
	cfg.RateLimit = 3
	s := start(t, cfg, c)
	for left := 2; left >= 0; left-- {
		a := s.get("/accounts/current")
		require.Equal(t, fmt.Sprint(left), a.header.Get("X-Rate-Limit-Remaining"))
		require.Equal(t, "3", a.header.Get("X-Rate-Limit-Limit"))
		require.Equal(t, fmt.Sprint(time.Date(2021, 3, 4, 5, 5, 0, 0, time.UTC).Unix()), a.header.Get("X-Rate-Limit-Reset"))
	}
	refused := s.do("GET", "/orders", "")
	require.Equal(t, 429, refused.status)
	require.Equal(t, "0", refused.header.Get("X-Rate-Limit-Remaining"))
	require.Equal(t, "Too Many Requests", refused.body["type"])
	require.Empty(t, refused.header.Get("Retry-After"))
	s.token = "other-token"
	require.Equal(t, "2", s.get("/orders").header.Get("X-Rate-Limit-Remaining"), "each account has its own window")
	s.token = "acme-token"
	c.Pass(5 * time.Minute)
	require.Equal(t, "2", s.get("/orders").header.Get("X-Rate-Limit-Remaining"))
}

func TestOAuth(t *testing.T) {
	s := stocked(t)
	refresh := func(token string) answer {
		return s.do("POST", "/oauth/token", fmt.Sprintf(`{"client_id":"app","client_secret":"app-secret","redirect_uri":"https://relay.example/cb","refresh_token":%q,"grant_type":"refresh_token"}`, token))
	}
	first := refresh("first-refresh")
	require.Equal(t, 200, first.status, first.raw)
	require.InDelta(t, 7200, first.body["expires_in"], 0)
	require.Equal(t, "bearer", first.body["token_type"])
	require.Empty(t, first.header.Get("X-Rate-Limit-Limit"))
	s.token = first.body["access_token"].(string)
	require.Equal(t, "acme", s.get("/accounts/current").object("account")["name"])

	spent := refresh("first-refresh")
	require.Equal(t, 401, spent.status)
	require.Equal(t, "invalid_request", spent.body["error"])
	second := refresh(first.body["refresh_token"].(string))
	require.Equal(t, 200, second.status)
	require.NotEqual(t, first.body["refresh_token"], second.body["refresh_token"])

	s.clock.Pass(2*time.Hour + time.Second)
	require.Equal(t, 401, s.do("GET", "/orders", "").status, "access tokens expire")
	third := refresh(second.body["refresh_token"].(string))
	s.token = third.body["access_token"].(string)
	require.Len(t, s.get("/variants").list("variants"), 2)
	require.NoError(t, s.ExpireTokens("acme"))
	require.Equal(t, 401, s.do("GET", "/orders", "").status)

	consent := s.do("GET", "/oauth/authorize?response_type=code&client_id=app&redirect_uri=https%3A%2F%2Frelay.example%2Fcb", "")
	require.Equal(t, 302, consent.status)
	_, code, _ := strings.Cut(consent.header.Get("Location"), "code=")
	redeem := "grant_type=authorization_code&client_id=app&client_secret=app-secret&code=" + code
	granted := s.do("POST", "/oauth/token", redeem, "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, 200, granted.status, granted.raw)
	require.Equal(t, 401, s.do("POST", "/oauth/token", redeem, "Content-Type", "application/x-www-form-urlencoded").status, "a code works once")
	require.Equal(t, 401, refresh(third.body["refresh_token"].(string)).status, "a new grant ends the one before")
	require.Equal(t, "invalid_client", s.do("POST", "/oauth/token", `{"client_id":"app","client_secret":"no"}`).body["error"])
}

func TestSwitches(t *testing.T) {
	s := stocked(t)
	o := s.order("SO-1", "RED-S:2")
	require.NoError(t, s.SetBehaviour(simulator.Behaviour{AllowOverFulfil: true, OrderStampFrozen: true, NoSideload: true, PutStatus: 204, KeepShippedAtNull: true, AllLocations: true}))
	s.clock.Pass(time.Minute)
	a := s.do("POST", "/fulfillments", fulfilment(o, "packed", "T", "3"))
	require.Equal(t, 201, a.status)
	require.NotContains(t, a.body, "fulfillment_line_items")
	v, err := s.Order("acme", "SO-1")
	require.NoError(t, err)
	require.Equal(t, o.UpdatedAt, v.UpdatedAt)
	put := s.do("PUT", fmt.Sprintf("/fulfillments/%.0f", a.object("fulfillment")["id"]), `{"fulfillment":{"status":"fulfilled"}}`)
	require.Equal(t, 204, put.status)
	require.Empty(t, put.raw)
	require.Len(t, s.get("/variants?sku=RED-S").list("variants")[0]["locations"], 2)
	require.NoError(t, s.SetBehaviour(simulator.Behaviour{EqualStamps: true, AllowUnfinalized: true, RefuseFulfilledCreate: true, PutStatus: 200}))
	one, two := s.order("SO-2", "RED-S:1"), s.order("SO-3", "RED-S:1")
	s.clock.Pass(time.Millisecond)
	require.Equal(t, one.UpdatedAt, two.UpdatedAt)
	require.NoError(t, s.Void("acme", "SO-2"))
	require.Equal(t, 422, s.do("POST", "/fulfillments", fulfilment(one, "fulfilled", "T", "1")).status)
	require.Equal(t, 201, s.do("POST", "/fulfillments", fulfilment(one, "packed", "T", "1")).status)
	require.Equal(t, 200, s.do("PUT", fmt.Sprintf("/orders/%d", two.ID), `{"order":{"notes":"x & y"}}`).status)
	require.Contains(t, s.get(fmt.Sprintf("/orders/%d", two.ID)).raw, `x \u0026 y`)
	require.Error(t, s.SetBehaviour(simulator.Behaviour{PutStatus: 201}))
}

func TestCreateThroughTheAPI(t *testing.T) {
	s := stocked(t)
	red := s.get("/variants?sku=RED-S").list("variants")[0]["id"]
	a := s.do("POST", "/orders", fmt.Sprintf(`{"order":{"status":"finalized","issued_at":"21-02-2018","company":{"name":"New Co"},
		"shipping_address":{"address1":"1 Road","country":"nz"},"order_line_items":[{"variant_id":%.0f,"quantity":1},{"freeform":true,"label":"Gift","price":"1.25","quantity":"2"}]}}`, red))
	require.Equal(t, 201, a.status, a.raw)
	o := a.object("order")
	require.Equal(t, "2018-02-21", o["issued_at"])
	require.Equal(t, "12.5", o["total"])
	require.Equal(t, o["shipping_address_id"], o["billing_address_id"])
	path := fmt.Sprintf("/addresses/%.0f", o["shipping_address_id"])
	put := s.do("PUT", path, `{"address":{"city":"Auckland"}}`)
	require.Equal(t, 200, put.status)
	require.Equal(t, "NZ", put.object("address")["country_code"])
	require.Equal(t, 204, s.do("DELETE", path, "").status)
	require.Empty(t, s.get("/addresses").list("addresses"))
	require.Len(t, s.get("/addresses?status=archived").list("addresses"), 1)
	bad := s.do("POST", "/orders", `{"order":{"notes":"x"}}`)
	require.Equal(t, 422, bad.status)
	require.Contains(t, bad.object("errors"), "company_id")
	require.Equal(t, 201, s.do("POST", "/contacts", fmt.Sprintf(`{"contact":{"company_id":%.0f,"first_name":"Bo"}}`, o["company_id"])).status)
	require.Len(t, s.get(fmt.Sprintf("/companies/%.0f", o["company_id"])).object("company")["contact_ids"], 1)
	require.Len(t, s.get("/products?include=variants").list("variants"), 2)
	require.Len(t, s.get("/locations?limit=250").list("locations"), 2)
	require.Equal(t, "SO0002", s.get("/orders/available_identifiers?type=order_number").body["identifier"])
}
