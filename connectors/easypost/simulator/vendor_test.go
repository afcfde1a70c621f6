package simulator

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCreateOrderRefusesWhatThePageRefuses(t *testing.T) {
	w := newWorld(t).stocked()
	for name, c := range map[string]struct {
		edit  func(obj)
		code  string
		field string
	}{
		"no service":           {without("service"), "PARAMETER.REQUIRED", "service"},
		"unknown service":      {set("service", "teleport"), "PARAMETER.INVALID", "service"},
		"service first":        {func(o obj) { delete(o, "service"); delete(o, "destination") }, "PARAMETER.REQUIRED", "service"},
		"service of a number":  {set("service", 5), "PARAMETER.INVALID", "service"},
		"no destination":       {without("destination"), "PARAMETER.REQUIRED", "destination"},
		"no name":              {to("name", ""), "ADDRESS.INVALID", "destination.name"},
		"no street":            {to("street1", " "), "ADDRESS.INVALID", "destination.street1"},
		"no city":              {to("city", nil), "ADDRESS.INVALID", "destination.city"},
		"no state in the US":   {to("state", ""), "ADDRESS.INVALID", "destination.state"},
		"no zip in the US":     {to("zip", ""), "ADDRESS.INVALID", "destination.zip"},
		"country in full":      {to("country", "United States"), "ADDRESS.INVALID", "destination.country"},
		"no lines":             {lines(), "PARAMETER.REQUIRED", "line_items"},
		"no product":           {lines(obj{"units": 1}), "PARAMETER.REQUIRED", "line_items.0.product"},
		"unknown barcode":      {lines(item(tote, 1), item("nope", 1)), "PRODUCT.NOT_FOUND", "line_items.1.product.barcode"},
		"barcode without zero": {lines(item(tote[1:], 1)), "PRODUCT.NOT_FOUND", "line_items.0.product.barcode"},
		"unknown id":           {lines(obj{"product": obj{"id": "prod_0"}, "units": 1}), "PRODUCT.NOT_FOUND", "line_items.0.product.id"},
		"no units":             {lines(obj{"product": obj{"barcode": tote}}), "PARAMETER.REQUIRED", "line_items.0.units"},
		"zero units":           {lines(item(tote, 0)), "PARAMETER.INVALID", "line_items.0.units"},
		"half a unit":          {lines(item(tote, 1.5)), "PARAMETER.INVALID", "line_items.0.units"},
		"units in words":       {lines(item(tote, "two")), "PARAMETER.INVALID", "line_items.0.units"},
		"too many":             {lines(item(tote, 11)), "ORDER.INVENTORY.INSUFFICIENT", "line_items.0.units"},
		"one line short":       {lines(item(tote, 1), item(mug, 6)), "ORDER.INVENTORY.INSUFFICIENT", "line_items.1.units"},
		"lines summed":         {lines(item(tote, 6), item(tote, 5)), "ORDER.INVENTORY.INSUFFICIENT", "line_items.1.units"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.call("POST", full+"/orders", draft(c.edit))
			require.Equal(t, 422, a.status, "%s", a.raw)
			require.Equal(t, c.code, a.code())
			require.Equal(t, []string{c.field}, a.fields())
			require.Empty(t, w.sim.Orders(Production), "nothing is created")
		})
	}
	require.Equal(t, 400, w.call("POST", full+"/orders", "{").status)
	require.Equal(t, 400, w.call("POST", full+"/orders", "").status)
}

func TestCreateOrderAcceptsWhatThePageAccepts(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.sim.AddProduct(tote, "Canvas tote, olive")
	for name, edit := range map[string]func(obj){
		"service in capitals":     set("service", "Standard"),
		"expedited":               set("service", "expedited"),
		"company only":            func(o obj) { to("name", "")(o); to("company", "Acme")(o) },
		"no state abroad":         func(o obj) { to("country", "IE")(o); to("state", "")(o); to("zip", "")(o) },
		"product by id":           lines(obj{"product": obj{"id": id, "title": "x"}, "units": 1}),
		"units 1.0":               lines(obj{"product": obj{"barcode": tote}, "units": 1.0}),
		"duplicate lines":         lines(item(tote, 1), item(tote, 1)),
		"unknown fields":          set("external_id", "SO-1042"),
		"options and description": set("shipment_options", obj{"delivery_confirmation": "SIGNATURE", "insurance": true}),
	} {
		t.Run(name, func(t *testing.T) {
			a := w.must(201, "POST", full+"/orders/", draft(edit))
			require.NotContains(t, a.body, "external_id", "not echoed")
			require.Equal(t, "received", a.str("status"))
			require.Equal(t, "production", a.str("mode"))
			require.Regexp(t, `^order_[0-9a-f]{32}$`, a.str("id"))
			require.EqualValues(t, w.clock.Now().Unix(), a.body["created_at"])
			w.must(200, "DELETE", full+"/orders/"+a.str("id"), nil)
		})
	}
}

func TestAuthentication(t *testing.T) {
	w := newWorld(t).stocked()
	for _, path := range []string{full + "/orders", "/v2/trackers"} {
		a, err := w.try("", "GET", path, nil)
		require.NoError(t, err)
		require.Equal(t, 401, a.status)
		a, err = w.try("wrong", "GET", path, nil)
		require.NoError(t, err)
		require.Equal(t, 403, a.status)
		require.Equal(t, "APIKEY.INACTIVE", a.code())
	}
	require.Zero(t, w.sim.Stats().Passwords)
	req, err := http.NewRequest("GET", w.URL()+full+"/orders", nil)
	require.NoError(t, err)
	req.SetBasicAuth("live-key", "oops")
	a, err := w.send(req)
	require.NoError(t, err)
	require.Equal(t, 200, a.status)
	require.EqualValues(t, 1, w.sim.Stats().Passwords)
	require.EqualValues(t, 2, w.sim.Stats().BadKeys)
}

func TestModesAreApart(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order()
	a, err := w.try("test-key", "GET", full+"/orders/"+id, nil)
	require.NoError(t, err)
	require.Equal(t, 404, a.status)
	a, err = w.try("test-key", "POST", full+"/orders", draft(lines(item(tote, 10))))
	require.NoError(t, err)
	require.Equal(t, 201, a.status, "the other mode's stock is untouched: %s", a.raw)
	require.Equal(t, "test", a.str("mode"))
	require.Len(t, w.sim.Orders(Production), 1)
	require.Len(t, w.sim.Orders(Test), 1)
}

func TestUnknownPathsAndVerbs(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, 404, w.call("GET", full+"/rates", nil).status)
	require.Equal(t, 404, w.call("GET", "/", nil).status)
	a := w.call("PUT", full+"/orders", obj{})
	require.Equal(t, 405, a.status)
	require.Equal(t, "METHOD_NOT_ALLOWED", a.code())
	require.Equal(t, 200, w.call("GET", full+"/orders/", nil).status, "not redirected")
}

func TestOrderLife(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order(lines(item(tote, 2), item(mug, 1)))
	get := func() answer { return w.must(200, "GET", full+"/orders/"+id, nil) }
	require.Empty(t, get().list("picks"))

	require.NoError(t, w.sim.Step(id))
	o := get()
	require.Equal(t, "processing", o.str("status"))
	require.Len(t, o.list("picks"), 1)
	require.Nil(t, o.list("picks")[0]["tracker"])
	require.Empty(t, o.list("trackers"))

	w.clock.Pass(time.Hour)
	require.NoError(t, w.sim.Ship(id, Package{Items: map[string]int64{tote: 1}, Carrier: "UPS", TrackingCode: "1Z1"}))
	o = get()
	require.Equal(t, "processing", o.str("status"), "one package is still here")
	require.Len(t, o.list("trackers"), 1)
	require.Len(t, o.list("picks"), 2)

	require.ErrorIs(t, w.sim.Ship(id, Package{Items: map[string]int64{tote: 2}}), ErrWrongStep)
	require.ErrorIs(t, w.sim.Ship(id, Package{Items: map[string]int64{"nope": 1}}), ErrWrongStep)
	require.ErrorIs(t, w.sim.CancelAtWarehouse(id), ErrWrongStep)
	require.NoError(t, w.sim.Ship(id))
	o = get()
	require.Equal(t, "shipped", o.str("status"))
	require.Len(t, o.list("trackers"), 2)
	require.Len(t, o.list("picks")[1]["inventories"], 2, "an entry a unit")
	require.ErrorIs(t, w.sim.Ship(id), ErrWrongStep)
	require.Equal(t, 422, w.call("DELETE", full+"/orders/"+id, nil).status)

	view := w.sim.Orders(Production)[0]
	require.EqualValues(t, 3, view.UnitsShipped)
	require.Equal(t, []StockView{
		{view2id(w, tote), tote, "EAST", 8, 0}, {view2id(w, tote), tote, "WEST", 0, 0},
		{view2id(w, mug), mug, "EAST", 0, 0}, {view2id(w, mug), mug, "WEST", 4, 0},
	}, w.sim.Stock(Production))
	found := w.must(200, "GET", full+"/orders?query=1Z1", nil).list("orders")
	require.Equal(t, id, found[0]["id"])
}

func view2id(w *world, barcode string) string {
	return w.sim.AddProduct(barcode, map[string]string{tote: "Canvas tote, olive", mug: "Mug"}[barcode])
}

func TestCancel(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order(lines(item(tote, 10)))
	require.Equal(t, 422, w.call("POST", full+"/orders", draft()).status)
	a := w.must(200, "DELETE", full+"/orders/"+id, nil)
	require.JSONEq(t, "{}", string(a.raw))
	require.Equal(t, "refunded", w.must(200, "GET", full+"/orders/"+id, nil).str("status"))
	require.Equal(t, "ORDER.NOT_CANCELLABLE", w.must(422, "DELETE", full+"/orders/"+id, nil).code())
	w.order() // the stock is free again

	picked := w.order()
	require.NoError(t, w.sim.Step(picked))
	w.must(422, "DELETE", full+"/orders/"+picked, nil)
	require.NoError(t, w.sim.CancelAtWarehouse(picked))
	require.Equal(t, "refunded", w.must(200, "GET", full+"/orders/"+picked, nil).str("status"))

	w.behave(func(b *Behaviour) { b.GoneAfterDelete, b.EmptyDelete = true, true })
	w.must(404, "GET", full+"/orders/"+id, nil)
	w.must(404, "DELETE", full+"/orders/"+id, nil)
	require.Len(t, w.must(200, "GET", full+"/orders", nil).list("orders"), 2, "the warehouse's cancel stays")
	held := w.order()
	require.NoError(t, w.sim.Hold(held))
	require.Equal(t, "on_hold", w.must(200, "GET", full+"/orders/"+held, nil).str("status"))
	require.Empty(t, w.must(204, "DELETE", full+"/orders/"+held, nil).raw)
}

func TestPatchOrder(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order(lines(item(tote, 8)))
	a := w.must(200, "PATCH", full+"/orders/"+id, obj{"destination": obj{"name": "Robin Example"}, "description": "other"})
	d := a.body["destination"].(obj)
	require.Equal(t, "Robin Example", d["name"])
	require.Equal(t, "500 Sample Ave", d["street1"], "nested objects are merged")
	require.Equal(t, "other", a.str("description"))
	require.Len(t, a.list("line_items"), 1)
	w.must(200, "PATCH", full+"/orders/"+id, obj{"line_items": []any{item(tote, 10)}})
	w.must(422, "PATCH", full+"/orders/"+id, obj{"line_items": []any{item(tote, 11)}})
	w.must(422, "PATCH", full+"/orders/"+id, obj{"destination": obj{"zip": ""}})
	require.EqualValues(t, 10, w.sim.Stock(Production)[0].Reserved)
	require.NotEmpty(t, w.must(200, "GET", full+"/orders?query=other", nil).list("orders"))
	require.Empty(t, w.must(200, "GET", full+"/orders?query=8f3c1e77", nil).list("orders"), "the old text is not found")
	require.NoError(t, w.sim.Step(id))
	w.must(422, "PATCH", full+"/orders/"+id, obj{"description": "late"})
}

func TestPaging(t *testing.T) {
	w := newWorld(t).stocked()
	var want []string
	for range 7 {
		w.clock.Pass(time.Second)
		want = append([]string{w.order(lines(item(tote, 1)))}, want...)
	}
	ids := func(query string) []string {
		var out []string
		for _, o := range w.must(200, "GET", full+"/orders?"+query, nil).list("orders") {
			out = append(out, o["id"].(string))
		}
		return out
	}
	require.Equal(t, want, ids(""), "newest first")
	require.Equal(t, want[:3], ids("limit=3&per_page=3"))
	require.Equal(t, want[3:6], ids("limit=3&per_page=3&page=1"))
	require.Equal(t, want[6:], ids("limit=3&per_page=3&page=2"))
	require.Empty(t, ids("limit=3&per_page=3&page=3"))
	require.Equal(t, want[:2], ids("limit=3&per_page=2"))
	require.Equal(t, want[:2], ids("limit=2&per_page=5"))
	require.Equal(t, want[4:], ids("offset=1&page=1&per_page=3"))
	require.Equal(t, want, ids("page=-1&per_page=x&limit=0&offset=y"), "nonsense counts as absent")
	require.Empty(t, ids("page=999999999999&per_page=300&offset=9999999999999999999"))

	w.behave(func(b *Behaviour) { b.OneBasedPages = true })
	require.Equal(t, want[:3], ids("limit=3&per_page=3&page=0"))
	require.Equal(t, want[:3], ids("limit=3&per_page=3&page=1"))
	require.Equal(t, want[3:6], ids("limit=3&per_page=3&page=2"))
	w.behave(func(b *Behaviour) { b.OneBasedPages, b.LimitCapsTotal = false, true })
	require.Empty(t, ids("limit=3&per_page=3&page=1"))
	require.Equal(t, want[2:4], ids("limit=4&per_page=2&page=1"))
	require.Equal(t, want[3:6], ids("limit=3&per_page=3&offset=3"))
	w.behave(func(b *Behaviour) { b.LimitCapsTotal, b.IgnoreOffset = false, true })
	require.Equal(t, want[3:6], ids("limit=3&per_page=3&page=1&offset=3"))
	w.behave(func(b *Behaviour) { b.IgnoreOffset, b.IgnorePage = false, true })
	require.Equal(t, want[:3], ids("limit=3&per_page=3&page=2"))
	w.behave(func(b *Behaviour) { b.IgnorePage, b.ListDelay = false, 3*time.Second })
	require.Equal(t, want[3:], ids(""), "young orders are not listed yet")
	require.Equal(t, want[5:], ids("limit=2&per_page=2&page=1"))
	w.must(200, "GET", full+"/orders/"+want[0], nil)
}

func TestPagesGoWrong(t *testing.T) {
	w := newWorld(t).stocked()
	var want []string
	for range 7 {
		w.clock.Pass(time.Second)
		want = append([]string{w.order(lines(item(tote, 1)))}, want...)
	}
	page := func(n int) []string {
		var out []string
		for _, o := range w.must(200, "GET", full+"/orders?limit=3&per_page=3&page="+strconv.Itoa(n), nil).list("orders") {
			out = append(out, o["id"].(string))
		}
		return out
	}
	require.NoError(t, w.sim.Inject(Fault{Route: "list_orders", Kind: RepeatedPage, Count: 1}))
	require.Equal(t, want[:3], page(0), "the first page is what it is")
	require.Equal(t, want[:3], page(1))
	require.Equal(t, want[3:6], page(1), "once only")
	require.NoError(t, w.sim.Inject(Fault{Route: "list_orders", Kind: ShiftedPage, Count: 1}))
	require.Equal(t, want[5:7], page(2))
	require.Equal(t, want[6:], page(2))
	require.Equal(t, map[string]int64{"repeated_page": 1, "shifted_page": 1}, w.sim.Stats().Faults)
}

func TestListsTakeAtMost300(t *testing.T) {
	w := newWorld(t)
	for i := range 310 {
		w.sim.AddProduct(fmt.Sprintf("b%03d", i), "thing")
	}
	count := func(query string) int { return len(w.must(200, "GET", full+"/products?"+query, nil).list("products")) }
	require.Equal(t, 20, count(""))
	require.Equal(t, 20, count("limit=100"), "one alone is not enough")
	require.Equal(t, 300, count("limit=1000&per_page=1000"))
	seen := map[string]bool{}
	for page := range 4 {
		for _, p := range w.must(200, "GET", fmt.Sprintf("%s/products?limit=100&per_page=100&page=%d", full, page), nil).list("products") {
			require.False(t, seen[p["id"].(string)])
			seen[p["id"].(string)] = true
		}
	}
	require.Len(t, seen, 310, "all of one second, each once")
}

func TestQuery(t *testing.T) {
	w := newWorld(t).stocked()
	a := w.order(set("description", "relay:aaaa shop #1"))
	w.clock.Pass(time.Second)
	b := w.order(set("description", "relay:bbbb shop #2"))
	ids := func(q string) (out []string) {
		for _, o := range w.must(200, "GET", full+"/orders?query="+url.QueryEscape(q), nil).list("orders") {
			out = append(out, o["id"].(string))
		}
		return out
	}
	require.Equal(t, []string{a}, ids("relay:aaaa"))
	require.Equal(t, []string{b}, ids("BBBB"))
	require.Equal(t, []string{b, a}, ids("shop"))
	require.Equal(t, []string{a}, ids("shop #1"))
	require.Equal(t, []string{b}, ids(b))
	require.Empty(t, ids("relay:cccc"))
	w.behave(func(x *Behaviour) { x.QueryUnsupported = true })
	require.Equal(t, []string{b, a}, ids("relay:cccc"), "passed over")
	w.behave(func(x *Behaviour) { x.QueryUnsupported, x.DropDescription = false, true })
	require.Empty(t, ids("relay:aaaa"))
	require.Nil(t, w.must(200, "GET", full+"/orders/"+a, nil).body["description"])
	require.Equal(t, "relay:aaaa shop #1", w.sim.Orders(Production)[0].Description, "the books know")
}

func TestProducts(t *testing.T) {
	w := newWorld(t)
	body := obj{"title": "Canvas tote", "barcode": tote, "type": "merchandise", "origin_country": "US", "hs_code": "4202.92.3031",
		"length": obj{"value": 12, "unit": "IN"}, "weight": obj{"value": "6.5"}, "price": obj{"value": 18}}
	p := w.must(201, "POST", full+"/products", body)
	require.Equal(t, obj{"value": 6.5, "unit": "OZ"}, p.body["weight"])
	dup := w.must(422, "POST", full+"/products/", body)
	require.Equal(t, "PRODUCT.BARCODE.DUPLICATE", dup.code())
	id := p.str("id")
	require.Equal(t, "Tote", w.must(200, "PATCH", full+"/products/"+id, obj{"title": "Tote"}).str("title"))
	require.Equal(t, tote, w.must(200, "GET", full+"/products/"+id, nil).str("barcode"))
	other := w.must(201, "POST", full+"/products", obj{"title": "Mug", "barcode": mug}).str("id")
	w.must(422, "PATCH", full+"/products/"+other, obj{"barcode": tote})
	w.must(422, "POST", full+"/products", obj{"title": "x"})
	w.must(422, "POST", full+"/products", obj{"title": "x", "barcode": "y", "weight": obj{"value": "heavy"}})
	w.must(200, "DELETE", full+"/products/"+id, nil)
	w.must(404, "GET", full+"/products/"+id, nil)
	require.Len(t, w.must(200, "GET", full+"/products", nil).list("products"), 1)
	w.must(201, "POST", full+"/products", body)
}

func TestDeletedProductStaysOnItsOrders(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order()
	w.must(200, "DELETE", full+"/products/"+view2id(w, tote), nil)
	line := w.must(200, "GET", full+"/orders/"+id, nil).list("line_items")[0]
	require.Equal(t, tote, line["product"].(obj)["barcode"])
	require.Equal(t, "PRODUCT.NOT_FOUND", w.must(422, "POST", full+"/orders", draft()).code())
	require.NoError(t, w.sim.Ship(id))
}

func TestInventories(t *testing.T) {
	w := newWorld(t).stocked()
	w.order(lines(item(tote, 3)))
	toteID, mugID := view2id(w, tote), view2id(w, mug)
	sum := func(a answer, id string) (n float64) {
		for _, r := range a.list("inventories") {
			if r["product_id"] == id {
				n += r["quantity"].(float64)
			}
		}
		return n
	}
	a := w.must(200, "GET", full+"/inventories", nil)
	require.Len(t, a.list("inventories"), 4, "a row a product a building")
	require.EqualValues(t, 7, sum(a, toteID))
	require.EqualValues(t, 5, sum(a, mugID))
	for _, query := range []string{"product_ids[]=", "product_ids%5B%5D=", "product_ids="} {
		a = w.must(200, "GET", full+"/inventories?limit=1&per_page=1&"+query+toteID, nil)
		require.Len(t, a.list("inventories"), 2, "paging is off: %s", query)
	}
	a = w.must(200, "GET", full+"/inventories?includes[]=product&includes[]=warehouse&product_ids[]="+mugID, nil)
	row := a.list("inventories")[0]
	require.Equal(t, mug, row["product"].(obj)["barcode"])
	require.NotContains(t, row, "product_id")
	require.Contains(t, row["warehouse"], "short_name")
	w.must(422, "GET", full+"/inventories?includes[]=everything", nil)
	require.Equal(t, 414, w.call("GET", full+"/inventories?"+strings.Repeat("product_ids[]=x&", 29), nil).status)
	require.Len(t, w.must(200, "GET", full+"/inventories?limit=3&per_page=3&page=1", nil).list("inventories"), 1)

	w.behave(func(b *Behaviour) { b.QuantityOnHand = true })
	require.EqualValues(t, 10, sum(w.must(200, "GET", full+"/inventories", nil), toteID))
	w.behave(func(b *Behaviour) { b.HideZeroRows = true })
	require.Len(t, w.must(200, "GET", full+"/inventories", nil).list("inventories"), 2)
	require.Len(t, w.must(200, "GET", full+"/inventories?per_page=1&page=1", nil).list("inventories"), 1)
	warehouses := w.must(200, "GET", full+"/warehouses/", nil).list("warehouses")
	require.Len(t, warehouses, 2)
	require.Nil(t, warehouses[0]["disabled_at"])
}

func TestDisabledWarehousePromisesNothing(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Warehouses = []Warehouse{{ShortName: "OLD", Disabled: true}, {ShortName: "NEW"}}
	})
	w.sim.AddProduct(tote, "Tote")
	require.NoError(t, w.sim.SetStock(tote, "OLD", 9))
	require.NoError(t, w.sim.SetStock(tote, "NEW", 1))
	w.must(422, "POST", full+"/orders", draft(lines(item(tote, 2))))
	w.order(lines(item(tote, 1)))
	require.NotNil(t, w.must(200, "GET", full+"/warehouses", nil).list("warehouses")[0]["disabled_at"])
}

func TestStockComesFromSeveralWarehouses(t *testing.T) {
	w := newWorld(t).stocked()
	require.NoError(t, w.sim.SetStock(tote, "WEST", 5))
	id := w.order(lines(item(tote, 13), item(mug, 5)))
	require.NoError(t, w.sim.Ship(id))
	for _, s := range w.sim.Stock(Production) {
		require.Zero(t, s.Reserved)
		if s.Warehouse == "WEST" && s.Barcode == tote {
			require.EqualValues(t, 2, s.OnHand)
		} else {
			require.Zero(t, s.OnHand)
		}
	}
}

func TestSwitchesBendTheWire(t *testing.T) {
	w := newWorld(t).stocked()
	id := w.order()
	require.NoError(t, w.sim.Ship(id))
	get := func() obj { return w.must(200, "GET", full+"/orders/"+id, nil).body }
	for name, c := range map[string]struct {
		bend  func(*Behaviour)
		check func(t *testing.T, o obj)
	}{
		"milliseconds": {func(b *Behaviour) { b.Timestamps = Milliseconds }, func(t *testing.T, o obj) { require.Greater(t, o["created_at"], 1e12) }},
		"digits":       {func(b *Behaviour) { b.Timestamps = DigitString }, func(t *testing.T, o obj) { require.Regexp(t, `^\d{10}$`, o["created_at"]) }},
		"rfc 3339":     {func(b *Behaviour) { b.Timestamps = RFC3339 }, func(t *testing.T, o obj) { require.Equal(t, "2026-01-05T10:00:00Z", o["created_at"]) }},
		"null arrays":  {func(b *Behaviour) { b.NullArrays = true }, func(t *testing.T, o obj) { require.Nil(t, o["returns"]); require.Contains(t, o, "returns") }},
		"more fields":  {func(b *Behaviour) { b.UnknownFields = true }, func(t *testing.T, o obj) { require.Contains(t, o, "future_field") }},
		"wrapped":      {func(b *Behaviour) { b.WrapSingle = true }, func(t *testing.T, o obj) { require.Equal(t, id, o["order"].(obj)["id"]) }},
		"renamed":      {func(b *Behaviour) { b.Statuses = map[string]string{"shipped": "blorp"} }, func(t *testing.T, o obj) { require.Equal(t, "blorp", o["status"]) }},
		"no array": {func(b *Behaviour) { b.NoTrackerArray = true }, func(t *testing.T, o obj) {
			require.Empty(t, o["trackers"])
			require.NotNil(t, o["picks"].([]any)[0].(obj)["tracker"])
		}},
		"no picks": {func(b *Behaviour) { b.NoPicks = true }, func(t *testing.T, o obj) { require.Empty(t, o["picks"]); require.Len(t, o["trackers"], 1) }},
		"webhook only": {func(b *Behaviour) { b.TrackersOn = TrackersOnWebhook }, func(t *testing.T, o obj) {
			require.Empty(t, o["trackers"])
			require.Nil(t, o["picks"].([]any)[0].(obj)["tracker"])
		}},
		"quantities": {func(b *Behaviour) { b.PickQuantities = true }, func(t *testing.T, o obj) {
			entries := o["picks"].([]any)[0].(obj)["inventories"].([]any)
			require.Len(t, entries, 1)
			require.EqualValues(t, 2, entries[0].(obj)["quantity"])
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w.behave(c.bend)
			defer func() { require.NoError(t, w.sim.SetBehaviour(Behaviour{})) }()
			c.check(t, get())
		})
	}
	require.Error(t, w.sim.SetBehaviour(Behaviour{ErrorForm: "riddle"}))
	require.Error(t, w.sim.SetBehaviour(Behaviour{RefusalStatus: 200}))
}

func TestSwitchesBendTheRules(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Behaviour = Behaviour{Created200: true, CancelWhileOpen: true, OldestFirst: true, RefusalStatus: 409,
			Codes: map[string]string{"ORDER.INVENTORY.INSUFFICIENT": "OUT.OF.STOCK"}}
	}).stocked()
	first := w.must(200, "POST", full+"/orders", draft()).str("id")
	w.clock.Pass(time.Second)
	second := w.must(200, "POST", full+"/orders", draft()).str("id")
	orders := w.must(200, "GET", full+"/orders", nil).list("orders")
	require.Equal(t, []any{first, second}, []any{orders[0]["id"], orders[1]["id"]})
	require.Equal(t, "OUT.OF.STOCK", w.must(409, "POST", full+"/orders", draft(lines(item(tote, 99)))).code())
	require.NoError(t, w.sim.Step(first))
	w.must(200, "DELETE", full+"/orders/"+first, nil)
	require.NoError(t, w.sim.Ship(second, Package{Items: map[string]int64{tote: 1}}))
	w.must(409, "DELETE", full+"/orders/"+second, nil)
}

func TestErrorForms(t *testing.T) {
	w := newWorld(t)
	for form, want := range map[ErrorForm]string{
		ErrorsObject:  `{"errors":{"code":"NOT_FOUND","errors":[],"message":"The requested resource could not be found."}}`,
		ErrorsArray:   `{"errors":[{"code":"NOT_FOUND","message":"The requested resource could not be found."}]}`,
		ErrorsStrings: `{"errors":["NOT_FOUND: The requested resource could not be found."]}`,
		ErrorObject:   `{"error":{"code":"NOT_FOUND","errors":[],"message":"The requested resource could not be found."}}`,
		ErrorString:   `{"error":"NOT_FOUND: The requested resource could not be found."}`,
		CodeMessage:   `{"code":"NOT_FOUND","message":"The requested resource could not be found."}`,
		MessageOnly:   `{"message":"NOT_FOUND: The requested resource could not be found."}`,
		EmptyBody:     ``,
		HTMLBody:      "<html><body><h1>NOT_FOUND: The requested resource could not be found.</h1></body></html>\n",
		TextBody:      "NOT_FOUND: The requested resource could not be found.\n",
	} {
		w.behave(func(b *Behaviour) { b.ErrorForm = form })
		require.Equal(t, want, string(w.must(404, "GET", full+"/orders/order_0", nil).raw), string(form))
		require.Equal(t, "NOT_FOUND", w.must(404, "GET", "/v2/trackers/trk_0", nil).code(), "the shipping API's form is known")
	}
}

func TestInboundAndReturns(t *testing.T) {
	w := newWorld(t).stocked()
	east := w.must(200, "GET", full+"/warehouses", nil).list("warehouses")[0]["id"]
	notices := full + "/advanced_shipment_notices"
	w.must(422, "POST", notices, obj{"comments": "no warehouse"})
	asn := w.must(201, "POST", notices, obj{"warehouse_id": east, "comments": "pallet", "estimated_delivery": "2026-02-01"}).str("id")
	pkg := w.must(201, "POST", notices+"/"+asn+"/inbound_packages",
		obj{"name": "box 1", "line_items": []any{obj{"product": obj{"barcode": tote}, "units": 30}}}).str("id")
	w.must(200, "PATCH", notices+"/"+asn+"/inbound_packages/"+pkg, obj{"comments": "fragile"})
	w.must(404, "GET", notices+"/asn_0/inbound_packages/"+pkg, nil)
	for range 2 {
		require.Equal(t, "completed", w.must(200, "PATCH", notices+"/"+asn+"/complete", nil).str("status"))
	}
	require.EqualValues(t, 40, w.sim.Stock(Production)[0].OnHand, "taken in once")
	got := w.must(200, "GET", notices+"/"+asn+"/inbound_packages", nil).list("inbound_packages")
	require.EqualValues(t, 30, got[0]["line_items"].([]any)[0].(obj)["received_units"])

	id := w.order()
	require.NoError(t, w.sim.Ship(id))
	ret := w.must(201, "POST", full+"/order_returns", obj{"order_id": id, "line_items": []any{
		obj{"product_id": view2id(w, tote), "units": 1, "reason_type": "wrong_size"}}})
	require.Equal(t, id, ret.body["order"].(obj)["id"])
	require.Len(t, w.must(200, "GET", full+"/orders/"+id, nil).list("returns"), 1)
	w.must(200, "DELETE", full+"/order_returns/"+ret.str("id"), nil)
	require.Empty(t, w.must(200, "GET", full+"/orders/"+id, nil).list("returns"))
	require.Empty(t, w.must(200, "GET", full+"/order_returns", nil).list("order_returns"))
	w.must(201, "POST", full+"/products/"+view2id(w, tote)+"/serial_numbers", obj{"value": "SN1"})
	w.must(201, "POST", full+"/bols", obj{"warehouse": obj{"id": east}, "line_items": []any{item(tote, 1)}})
}
