package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"orderferry/connectors/simkit"
)

// Base paths of the two vendor surfaces.
const (
	fulfillmentBase = "/fulfillment/vendor/v2"
	shippingBase    = "/v2"
)

// route is one call of the API. In its path "{}" stands for an id.
type route struct {
	Name   string // for faults and Stats
	Method string
	path   []string
	single string // wraps the answer when Behaviour.WrapSingle is set
	handle func(*call) (int, any, *problem)
}

// call is one authenticated request.
type call struct {
	*Simulator
	request   *http.Request
	body      []byte
	ids       []string // what stood for each "{}"
	book      *book
	behaviour Behaviour
	render    render
	now       time.Time
}

// begin locks the books and makes the timed moves that are due. The caller unlocks.
func (c *call) begin() *book {
	c.mu.Lock()
	c.settle(c.now)
	return c.book
}

func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	shipping := strings.HasPrefix(r.URL.Path, shippingBase+"/")
	number := s.tally.Begin()
	s.mu.Lock()
	behaviour := s.behaviour
	s.stats.observe(r)
	s.mu.Unlock()
	form := behaviour.ErrorForm
	if shipping {
		form = ErrorObject // section 13: recorded
	}
	w.Header().Set("X-Ep-Request-Uuid", simkit.Identify(s.seed, "request", itoa(number)))

	found, ids, p := s.route(r)
	b, denied := s.authenticate(r)
	if denied != nil {
		p = denied
	}
	var body []byte
	if p == nil {
		body, p = readBody(r)
	}
	if p != nil {
		s.write(w, found, problemReply(p, form))
		return
	}
	c := &call{
		Simulator: s, request: r, body: body, ids: ids, book: b, behaviour: behaviour,
		render: render{behaviour: behaviour, mode: b.mode}, now: s.now(),
	}
	s.answer(w, c, found, form)
}

// answer runs the call, through a fault if one is due, and writes what came of it.
func (s *Simulator) answer(w http.ResponseWriter, c *call, found *route, form ErrorForm) {
	f := s.faultFor(c, found)
	s.write(w, found, simkit.Exchange{
		Writer: w, Request: c.request, Ended: s.life.Ended(), Cut: func() { s.tally.Answered(found.Name, 0) },
		Work: func() simkit.Answer { return c.run(found, form) }, Refuse: func(k FaultKind) (simkit.Answer, bool) { return c.refuse(w, f, k, form) },
	}.Through(f.Kind, f.Delay))
}

func (c *call) run(found *route, form ErrorForm) simkit.Answer {
	status, body, p := found.handle(c)
	if err := c.journal.Flush(); err != nil {
		return problemReply(&problem{Status: 500, Code: "SIMULATOR.JOURNAL", Message: err.Error()}, form)
	}
	bend := !found.shipping()
	if p != nil {
		if bend {
			p = c.behaviour.bend(p)
		}
		return problemReply(p, form)
	}
	if bend && c.behaviour.Created200 && status == http.StatusCreated {
		status = http.StatusOK
	}
	if status == http.StatusNoContent {
		return simkit.Answer{Status: status}
	}
	if found.single != "" && c.behaviour.WrapSingle {
		body = map[string]any{found.single: body}
	}
	contentType, raw := asJSON(body)
	return simkit.Answer{Status: status, ContentType: contentType, Body: raw}
}

func problemReply(p *problem, form ErrorForm) simkit.Answer {
	contentType, body := p.body(form)
	return simkit.Answer{Status: p.Status, ContentType: contentType, Body: body}
}

func (s *Simulator) write(w http.ResponseWriter, found *route, a simkit.Answer) {
	name := ""
	if found != nil {
		name = found.Name
	}
	s.tally.Answered(name, a.Status)
	a.Send(w)
}

// route finds the call. Trailing slashes make no difference and are not
// redirected (section 1); unknown paths are 404, wrong verbs 405 (section 10).
func (s *Simulator) route(r *http.Request) (*route, []string, *problem) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	known := false
	for i := range s.routes {
		ids, ok := s.routes[i].match(parts)
		if !ok {
			continue
		}
		if s.routes[i].Method == r.Method {
			return &s.routes[i], ids, nil
		}
		known = true
	}
	if known {
		return nil, nil, &problem{Status: http.StatusMethodNotAllowed, Code: "METHOD_NOT_ALLOWED", Message: "The verb is not allowed here."}
	}
	return nil, nil, notFound()
}

// shipping tells the shipping API, whose shapes are known, from fulfillment.
func (rt *route) shipping() bool { return "/"+rt.path[0] == shippingBase }

func (rt *route) match(parts []string) ([]string, bool) {
	if len(parts) != len(rt.path) {
		return nil, false
	}
	for i := len(parts) - 1; i >= 0; i-- { // the ends differ most
		if rt.path[i] != "{}" && rt.path[i] != parts[i] {
			return nil, false
		}
	}
	var ids []string
	for i, p := range rt.path {
		if p == "{}" {
			ids = append(ids, parts[i])
		}
	}
	return ids, true
}

// authenticate reads the key from the Basic user name (section 1).
func (s *Simulator) authenticate(r *http.Request) (*book, *problem) {
	user, password, ok := r.BasicAuth()
	if !ok || user == "" {
		return nil, &problem{Status: http.StatusUnauthorized, Code: "UNAUTHORIZED", Message: "Authentication is required."}
	}
	mode, known := s.keys[user]
	s.mu.Lock()
	defer s.mu.Unlock()
	if password != "" {
		s.stats.Passwords++
	}
	if !known {
		s.stats.BadKeys++
		return nil, inactiveKey()
	}
	return s.books[mode], nil
}

func inactiveKey() *problem {
	return &problem{Status: http.StatusForbidden, Code: "APIKEY.INACTIVE", Message: "This api key is no longer active. Please use a different api key or reactivate this key."}
}

// decode reads a JSON body. Unknown fields are passed over (section 16).
func (c *call) decode(into any) *problem {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return badBody(nil)
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return badBody(err)
	}
	return nil
}

// deleted is the answer to a DELETE that worked.
func (c *call) deleted() (int, any, *problem) {
	if c.behaviour.EmptyDelete {
		return http.StatusNoContent, nil, nil
	}
	return http.StatusOK, struct{}{}, nil
}

func at(base, path string) []string {
	return strings.Split(strings.Trim(base+path, "/"), "/")
}

// vendorRoutes is the endpoint index of section 3 and the shipping subset of
// section 13.
func vendorRoutes() []route {
	rs := []route{
		{"create_order", "POST", at(fulfillmentBase, "/orders"), "order", (*call).createOrder},
		{"list_orders", "GET", at(fulfillmentBase, "/orders"), "", (*call).listOrders},
		{"get_order", "GET", at(fulfillmentBase, "/orders/{}"), "order", (*call).getOrder},
		{"update_order", "PATCH", at(fulfillmentBase, "/orders/{}"), "order", (*call).updateOrder},
		{"delete_order", "DELETE", at(fulfillmentBase, "/orders/{}"), "", (*call).deleteOrder},
		{"inventories", "GET", at(fulfillmentBase, "/inventories"), "", (*call).listInventories},
		{"warehouses", "GET", at(fulfillmentBase, "/warehouses"), "", (*call).listWarehouses},
		{"products", "POST", at(fulfillmentBase, "/products"), "product", (*call).createProduct},
		{"products", "GET", at(fulfillmentBase, "/products"), "", (*call).listProducts},
		{"products", "GET", at(fulfillmentBase, "/products/{}"), "product", (*call).getProduct},
		{"products", "PATCH", at(fulfillmentBase, "/products/{}"), "product", (*call).updateProduct},
		{"products", "DELETE", at(fulfillmentBase, "/products/{}"), "", (*call).deleteProduct},

		{"trackers", "POST", at(shippingBase, "/trackers"), "", (*call).createTracker},
		{"trackers", "GET", at(shippingBase, "/trackers"), "", (*call).listTrackers},
		{"trackers", "GET", at(shippingBase, "/trackers/{}"), "", (*call).getTracker},
		{"addresses", "POST", at(shippingBase, "/addresses"), "", (*call).createAddress},
		{"addresses", "POST", at(shippingBase, "/addresses/create_and_verify"), "", (*call).createVerifiedAddress},
		{"addresses", "GET", at(shippingBase, "/addresses/{}"), "", (*call).getAddress},
		{"addresses", "GET", at(shippingBase, "/addresses/{}/verify"), "", (*call).verifyAddress},
		{"webhooks", "POST", at(shippingBase, "/webhooks"), "", (*call).createWebhook},
		{"webhooks", "GET", at(shippingBase, "/webhooks"), "", (*call).listWebhooks},
		{"webhooks", "GET", at(shippingBase, "/webhooks/{}"), "", (*call).getWebhook},
		{"webhooks", "PATCH", at(shippingBase, "/webhooks/{}"), "", (*call).updateWebhook},
		{"webhooks", "DELETE", at(shippingBase, "/webhooks/{}"), "", (*call).deleteWebhook},
	}
	return append(rs, documentRoutes()...)
}
