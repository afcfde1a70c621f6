package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxBody   = 8 << 20 // bytes of a request body
	maxTarget = 8 << 10 // bytes of a request target
)

// apiError is a refusal in one of the vendor's two shapes (wire/tradegecko.md section 6).
type apiError struct {
	status        int
	kind, message string
	errors        map[string][]string // the second shape, when not nil
}

func (e *apiError) Error() string { return strconv.Itoa(e.status) + " " + e.kind }

func notFound(k kind, id string) error {
	return &apiError{status: http.StatusNotFound, kind: "Not Found", message: "Couldn't find " + string(k) + " with id " + id}
}

func noRoute() error {
	return &apiError{status: http.StatusNotFound, kind: "Not Found", message: "No such endpoint"}
}

// endpoint is a collection, whatever its rows are.
type endpoint interface {
	singular() string
	permission() string
	index(b *books, q *query, d *document) (total int)
	member(b *books, id int64, q *query, d *document) error
	post(c *change, in *input) (id int64, err error)
	replace(c *change, id int64, in *input) (status int, err error)
	delete(c *change, id int64) error
	writable(method string) bool
}

func (r *resource[R]) singular() string   { return string(r.kind) }
func (r *resource[R]) permission() string { return r.right }

func (r *resource[R]) writable(method string) bool {
	switch method {
	case http.MethodPost:
		return r.create != nil
	case http.MethodPut:
		return r.update != nil
	default:
		return r.remove != nil
	}
}

func (r *resource[R]) index(b *books, q *query, d *document) int {
	rows, total := r.list(b, q)
	if r.sideload != nil {
		r.sideload(b, d, rows, q.include, true)
	}
	if r.show == nil {
		array(d, r.plural, rows)
		return total
	}
	shown := make([]any, len(rows))
	for i, x := range rows {
		shown[i] = r.show(b, x)
	}
	array(d, r.plural, shown)
	return total
}

func (r *resource[R]) member(b *books, id int64, q *query, d *document) error {
	x, err := r.table(b).get(id)
	if err != nil {
		return err
	}
	if r.sideload != nil {
		r.sideload(b, d, []R{x}, q.include, false)
	}
	if r.show != nil {
		d.object(string(r.kind), r.show(b, x))
	} else {
		d.object(string(r.kind), x)
	}
	return nil
}

func (r *resource[R]) post(c *change, in *input) (int64, error) {
	x, err := r.create(c, in)
	if err != nil {
		return 0, err
	}
	return x.rowID(), nil
}

func (r *resource[R]) replace(c *change, id int64, in *input) (int, error) {
	x, err := r.table(c.books).get(id)
	if err != nil {
		return 0, err
	}
	return r.put, r.update(c, x, in)
}

func (r *resource[R]) delete(c *change, id int64) error {
	x, err := r.table(c.books).get(id)
	if err != nil {
		return err
	}
	return r.remove(c, x)
}

// document is a JSON object that is written key by key.
type document struct {
	buf  *bytes.Buffer
	enc  *json.Encoder
	open bool
	err  error
}

func newDocument(buf *bytes.Buffer) *document { return &document{buf: buf, enc: json.NewEncoder(buf)} }

func (d *document) key(name string) {
	if d.open {
		d.buf.WriteByte(',')
	} else {
		d.buf.WriteByte('{')
		d.open = true
	}
	d.buf.WriteString(`"` + name + `":`)
}

func (d *document) value(v any) {
	if d.err == nil {
		if d.err = d.enc.Encode(v); d.err == nil {
			d.buf.Truncate(d.buf.Len() - 1) // the encoder's newline
		}
	}
}

func (d *document) object(name string, v any) {
	d.key(name)
	d.value(v)
}

func array[T any](d *document, name string, items []T) {
	d.key(name)
	d.buf.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			d.buf.WriteByte(',')
		}
		d.value(item)
	}
	d.buf.WriteByte(']')
}

func (d *document) end() error {
	if !d.open {
		d.buf.WriteByte('{')
	}
	d.buf.WriteByte('}')
	return d.err
}

// rateWindow counts the requests of one window (wire/tradegecko.md section 5.1).
type rateWindow struct {
	mu     sync.Mutex
	window int64
	used   int
}

// take counts a request; refused ones do not count.
func (w *rateWindow) take(now time.Time, limit int, length time.Duration) (left int, reset int64, ok bool) {
	seconds := int64(length / time.Second)
	window := now.Unix() / seconds
	reset = (window + 1) * seconds
	if limit < 0 {
		return defaultRateLimit - 1, reset, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if window != w.window {
		w.window, w.used = window, 0
	}
	if w.used >= limit {
		return 0, reset, false
	}
	w.used++
	return limit - w.used, reset, true
}

func rateHeaders(h http.Header, limit, left int, reset int64) {
	if limit < 0 {
		limit = defaultRateLimit
	}
	h["X-Rate-Limit-Limit"] = []string{strconv.Itoa(limit)}
	h["X-Rate-Limit-Remaining"] = []string{strconv.Itoa(left)}
	h["X-Rate-Limit-Reset"] = []string{strconv.FormatInt(reset, 10)}
}

// target is what a request is for.
type target struct {
	group    string // for faults: "orders", "line_items", "token"
	name     string // for faults and counts: "orders_index", "order_member"
	endpoint endpoint
	id       string // "" for the collection
	action   string
	special  string // "current", "composition", "stock_levels", "identifiers"
}

// groups are the collections whose name for faults differs from their path.
func groupOf(path string) string {
	if path == "order_line_items" {
		return "line_items"
	}
	return path
}

// find tells what a path is for; nil means nothing.
func (s *Simulator) find(method, path string) *target {
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".json")
	parts := strings.Split(path, "/")
	t := &target{group: groupOf(parts[0]), endpoint: s.endpoints[parts[0]]}
	switch {
	case len(parts) == 2 && parts[1] == "current" && (parts[0] == "accounts" || parts[0] == "users"):
		t.special, t.name = "current", parts[0]+"_current"
	case len(parts) <= 3 && strings.HasPrefix(path+"/", "variants/composition/"):
		t.special, t.name = "composition", "composition_index"
		if len(parts) == 3 {
			t.id = parts[2]
		}
	case len(parts) <= 2 && parts[0] == "stock_levels":
		t.special, t.name, t.endpoint = "stock_levels", "stock_levels_index", s.endpoints["variants"]
		if len(parts) == 2 {
			t.name, t.id = "stock_level_member", parts[1]
		}
	case len(parts) == 2 && parts[1] == "available_identifiers" && (parts[0] == "orders" || parts[0] == "stock_adjustments"):
		t.special, t.name = "identifiers", parts[0]+"_identifiers"
	case t.endpoint == nil:
		return nil
	case len(parts) == 1 && method == http.MethodGet:
		t.name = t.group + "_index"
	case len(parts) == 1 && method == http.MethodPost && t.endpoint.writable(method):
		t.name = t.group + "_create"
	case len(parts) == 2 && method == http.MethodGet:
		t.id, t.name = parts[1], t.singular()+"_member"
	case len(parts) == 2 && method == http.MethodPut && t.endpoint.writable(method):
		t.id, t.name = parts[1], t.group+"_update"
	case len(parts) == 2 && method == http.MethodDelete && t.endpoint.writable(method):
		t.id, t.name = parts[1], t.group+"_delete"
	case len(parts) == 4 && parts[0] == "orders" && parts[2] == "actions" && method == http.MethodPost:
		t.id, t.action, t.name = parts[1], parts[3], "order_actions"
	default:
		return nil
	}
	if t.special != "" && method != http.MethodGet {
		return nil
	}
	return t
}

func (t *target) singular() string {
	if t.group == "line_items" {
		return "line_item"
	}
	return t.endpoint.singular()
}

// exchange is one request and the answer that is being made for it.
type exchange struct {
	sim       *Simulator
	number    int64 // of the request, from 1
	books     *books
	target    *target
	request   *http.Request
	writer    http.ResponseWriter
	header    http.Header // the writer's
	behaviour Behaviour
	page      FaultKind // what befalls the page that was asked for; "" for nothing
	buf       bytes.Buffer
	status    int
}

func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{sim: s, number: s.stats.Begin(), request: r, writer: w, header: w.Header(), behaviour: s.behaviour()}
	x.header["X-Request-Id"] = []string{s.requestID(x.number)}
	x.header["Content-Type"] = []string{"application/json; charset=utf-8"}
	x.header["Cache-Control"] = []string{"no-cache, no-store"}
	switch strings.TrimRight(r.URL.Path, "/") {
	case "/oauth/token":
		x.target = &target{group: "token", name: "token"}
		x.run(s.fault("", x.target, r.Method, false), x.token)
	case "/oauth/authorize":
		x.target = &target{group: "authorize", name: "authorize"}
		x.authorize()
	default:
		x.api()
	}
	x.send(w)
}

// api answers a resource request: token, rate, fault, then the work.
func (x *exchange) api() {
	s, r := x.sim, x.request
	x.target = s.find(r.Method, r.URL.Path)
	if x.books = s.bearer(r); x.books == nil {
		x.fail(&apiError{status: http.StatusUnauthorized, kind: "unauthorized", message: "The access token is invalid"})
		return
	}
	left, reset, ok := x.books.rate.take(s.now(), s.cfg.RateLimit, s.cfg.Window)
	rateHeaders(x.header, s.cfg.RateLimit, left, reset)
	if !ok {
		s.stats.throttled.Add(1)
		x.fail(tooMany())
		return
	}
	if x.books.account.Lapsed {
		x.fail(&apiError{status: http.StatusPaymentRequired, kind: "Payment Required", message: "The subscription has lapsed"})
		return
	}
	if len(r.RequestURI) > maxTarget {
		x.fail(&apiError{status: http.StatusRequestURITooLong, kind: "Request-URI Too Long", message: "The request URI is too long"})
		return
	}
	if x.target == nil {
		x.target = &target{group: "unknown", name: "unknown"}
		x.fail(noRoute())
		return
	}
	x.run(s.fault(x.books.account.Name, x.target, r.Method, laterPage(r)), x.work)
}

// laterPage reports whether a request is for a page after a list's first.
func laterPage(r *http.Request) bool {
	n, err := strconv.Atoi(r.URL.Query().Get("page"))
	return err == nil && n > 1 && r.Method == http.MethodGet
}

// work does what the request asks.
func (x *exchange) work() {
	var err error
	switch {
	case x.request.Method == http.MethodGet:
		err = x.read()
	case !x.books.permissions[x.target.endpoint.permission()]:
		err = &apiError{status: http.StatusForbidden, kind: "Forbidden", message: "You are not permitted to do this"}
	default:
		err = x.write()
	}
	if err != nil {
		x.fail(err)
	}
}

func (x *exchange) fail(err error) {
	x.buf.Reset()
	var refusal *apiError
	if !errors.As(err, &refusal) {
		refusal = &apiError{status: http.StatusInternalServerError, kind: "Internal Server Error", message: "Something went wrong"}
		x.sim.cfg.Log.Error("simulator failed", "error", err)
	}
	x.status = refusal.status
	d := newDocument(&x.buf)
	if refusal.errors != nil {
		d.object("errors", refusal.errors)
	} else {
		d.object("type", refusal.kind)
		d.object("message", refusal.message)
	}
	_ = d.end() // strings always encode
}

func (x *exchange) send(w http.ResponseWriter) {
	name := "unknown"
	if x.target != nil {
		name = x.target.name
	}
	x.sim.stats.Answered(name, x.status)
	if x.status == http.StatusNoContent {
		x.header.Del("Content-Type")
		w.WriteHeader(x.status)
		return
	}
	x.header["Content-Length"] = []string{strconv.Itoa(x.buf.Len())}
	w.WriteHeader(x.status)
	_, _ = w.Write(x.buf.Bytes()) // a client that went away is its own affair
}

func pathID(k kind, text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, notFound(k, strconv.Quote(text[:min(len(text), 40)]))
	}
	return id, nil
}

// read answers a GET.
func (x *exchange) read() error {
	values, err := url.ParseQuery(x.request.URL.RawQuery)
	if err != nil {
		return badRequest("Malformed query")
	}
	q, err := parseQuery(strings.TrimSuffix(x.request.URL.Path, "/"), values, x.behaviour)
	if err != nil {
		return err
	}
	switch x.page {
	case RepeatedPage:
		q.back = q.limit
	case ShiftedPage:
		q.back = 1
	}
	x.books.mu.RLock()
	defer x.books.mu.RUnlock()
	d := newDocument(&x.buf)
	x.status = http.StatusOK
	if x.target.special != "" {
		err = x.readSpecial(q, d)
	} else if x.target.id == "" {
		q.pageHeaders(x.header, x.request.Host, x.target.endpoint.index(x.books, q, d))
	} else {
		var id int64
		if id, err = pathID(kind(x.target.endpoint.singular()), x.target.id); err == nil {
			err = x.target.endpoint.member(x.books, id, q, d)
		}
	}
	if err != nil {
		return err
	}
	return d.end()
}

func (x *exchange) readSpecial(q *query, d *document) error {
	b := x.books
	switch x.target.special {
	case "current":
		if x.target.group == "accounts" {
			d.object("account", b.showAccount())
		} else {
			d.object("user", b.showUser())
		}
	case "identifiers":
		identifier := fmt.Sprintf("SO%04d", len(b.orders.list)+1)
		if x.target.group == "stock_adjustments" {
			identifier = fmt.Sprintf("SA%04d", len(b.adjustments.list)+1)
		}
		d.object("identifier", identifier)
	case "stock_levels":
		return x.readLevels(q, d)
	case "composition":
		return x.readComposition(q, d)
	}
	return nil
}

func (x *exchange) readLevels(q *query, d *document) error {
	if x.target.id != "" {
		id, err := pathID("stock_level", x.target.id)
		if err != nil {
			return err
		}
		v := x.books.variants.byID[id]
		if v == nil {
			return notFound("stock_level", x.target.id)
		}
		d.object("stock_level", x.books.showLevel(v))
		return nil
	}
	rows, total := variants().list(x.books, q)
	levels := make([]stockLevel, len(rows))
	for i, v := range rows {
		levels[i] = x.books.showLevel(v)
	}
	array(d, "stock_levels", levels)
	q.pageHeaders(x.header, x.request.Host, total)
	return nil
}

func (x *exchange) readComposition(q *query, d *document) error {
	rows, err := x.books.compositions(q, x.target.id)
	if err != nil {
		return err
	}
	page := cut(q, rows)
	if q.include["bundle"] || q.include["component"] {
		var shown []any
		known := map[int64]bool{}
		side := func(wanted bool, id int64) {
			if v := x.books.variants.byID[id]; wanted && v != nil && !known[id] {
				known[id] = true
				shown = append(shown, x.books.showVariant(v))
			}
		}
		for _, row := range page {
			side(q.include["bundle"], row.BundleID)
			side(q.include["component"], row.ComponentID)
		}
		array(d, "variants", shown)
	}
	array(d, "composition", page)
	q.pageHeaders(x.header, x.request.Host, len(rows))
	return nil
}

// compositions are the parts of the bundles that a query or a path names.
func (b *books) compositions(q *query, member string) ([]composition, error) {
	bundles := b.variants.list
	if member != "" {
		id, err := pathID(kindVariant, member)
		if err != nil {
			return nil, err
		}
		v, err := b.variants.get(id)
		if err != nil {
			return nil, err
		}
		bundles = []*variant{v}
	} else if q.ids != nil {
		bundles = find(b.variants, q.ids)
	} else if skus := q.values["sku"]; skus != nil {
		bundles = nil
		for _, sku := range skus {
			bundles = append(bundles, b.variantsBySKU[sku]...)
		}
	}
	wanted := map[int64]bool{}
	for _, id := range q.ints("component_id") {
		wanted[id] = true
	}
	var out []composition
	for _, v := range bundles {
		for _, part := range v.components {
			p := b.variants.byID[part.VariantID]
			if p != nil && (len(wanted) == 0 || wanted[p.ID]) {
				out = append(out, composition{BundleID: v.ID, BundleSKU: v.SKU, ComponentID: p.ID, ComponentSKU: p.SKU, Quantity: part.Quantity})
			}
		}
	}
	return out, nil
}

// body reads the object below the root key; the key itself is required.
func (x *exchange) body(root string, optional bool) (*input, error) {
	data, err := io.ReadAll(io.LimitReader(x.request.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, badRequest("The body could not be read")
	case len(data) > maxBody:
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, kind: "Request Entity Too Large", message: "The body is too large"}
	case len(bytes.TrimSpace(data)) == 0 && optional:
		return &input{}, nil
	}
	var whole map[string]json.RawMessage
	if len(bytes.TrimSpace(data)) > 0 && json.Unmarshal(data, &whole) != nil {
		return nil, badRequest("The body is not valid JSON")
	}
	in := &input{}
	raw := whole[root]
	if json.Unmarshal(raw, &in.fields) != nil || len(in.fields) == 0 {
		if optional && raw == nil {
			return &input{}, nil
		}
		return nil, badRequest("Required parameter missing: " + root)
	}
	return in, nil
}

// actionRoots are the root keys of the bodies of order actions.
func actionRoot(action string) string {
	switch action {
	case "invoice":
		return "invoice"
	case "pay":
		return "payment"
	}
	return "fulfillment"
}

// write answers a POST, PUT or DELETE. The body is read before the books are locked.
func (x *exchange) write() error {
	t := x.target
	var in *input
	var err error
	switch {
	case t.action != "":
		in, err = x.body(actionRoot(t.action), true)
	case x.request.Method != http.MethodDelete:
		in, err = x.body(t.endpoint.singular(), false)
	}
	if err != nil {
		return err
	}
	var id int64
	if t.id != "" {
		if id, err = pathID(kind(t.endpoint.singular()), t.id); err != nil {
			return err
		}
	}
	b := x.books
	b.mu.Lock()
	defer b.mu.Unlock()
	key := x.request.Header.Get("Idempotency-Key")
	if x.request.Method == http.MethodDelete {
		key = ""
	}
	if seen, repeated := b.recall(key); repeated {
		x.sim.stats.duplicates.Add(1)
		return x.repeat(seen)
	}
	c := b.begin()
	if err := x.do(c, id, in); err != nil {
		return err
	}
	if key != "" {
		seen := seenKey{Key: key, At: stampOf(x.sim.now())}
		if x.behaviour.ReplayIdempotent {
			seen.Status, seen.Body = x.status, x.buf.String()
		}
		b.remember(seen)
		c.touch("key", seen)
	}
	return c.commit()
}

// do changes the books and writes the answer from their new state.
func (x *exchange) do(c *change, id int64, in *input) error {
	t, q := x.target, &query{include: map[string]bool{}, behaviour: x.behaviour}
	d := newDocument(&x.buf)
	switch {
	case t.action != "":
		return x.doAction(c, id, in, d)
	case x.request.Method == http.MethodPost:
		made, err := t.endpoint.post(c, in)
		if err != nil {
			return err
		}
		id, x.status = made, http.StatusCreated
	case x.request.Method == http.MethodPut:
		status, err := t.endpoint.replace(c, id, in)
		if err != nil {
			return err
		}
		if x.status = x.behaviour.PutStatus; x.status == 0 {
			x.status = max(status, http.StatusOK)
			if status == 0 {
				x.status = http.StatusNoContent
			}
		}
	default:
		x.status = http.StatusNoContent
		return t.endpoint.delete(c, id)
	}
	c.settleAll()
	if x.status == http.StatusNoContent {
		return nil
	}
	if err := t.endpoint.member(c.books, id, q, d); err != nil {
		return err
	}
	return d.end()
}

func (x *exchange) doAction(c *change, id int64, details *input, d *document) error {
	o, err := c.orders.get(id)
	if err != nil {
		return err
	}
	made, err := c.act(o, x.target.action, details)
	if err != nil {
		return err
	}
	c.settleAll()
	x.status = http.StatusCreated
	if made != nil {
		array(d, "fulfillment_line_items", made.lines)
		d.object("fulfillment", made)
	} else {
		d.object("order", o)
	}
	return d.end()
}

const keyLife = 24 * time.Hour

// recall looks for a used key that has not expired.
func (b *books) recall(key string) (seenKey, bool) {
	if key == "" {
		return seenKey{}, false
	}
	seen, ok := b.seen[key]
	return seen, ok && b.sim.now().Sub(seen.At.time()) < keyLife
}

// remember stores a key and forgets those that have expired.
func (b *books) remember(seen seenKey) {
	for len(b.seenOrder) > 0 {
		oldest := b.seen[b.seenOrder[0]]
		if seen.At.time().Sub(oldest.At.time()) < keyLife {
			break
		}
		delete(b.seen, b.seenOrder[0])
		b.seenOrder = b.seenOrder[1:]
	}
	b.seen[seen.Key] = seen
	b.seenOrder = append(b.seenOrder, seen.Key)
}

// repeat answers a used key: with the first answer, or with a conflict.
func (x *exchange) repeat(seen seenKey) error {
	if !x.behaviour.ReplayIdempotent || seen.Status == 0 {
		return duplicateKey()
	}
	x.status = seen.Status
	x.buf.WriteString(seen.Body)
	return nil
}

func duplicateKey() error {
	return &apiError{status: http.StatusConflict, kind: "Conflict", message: "Duplicate Idempotency Key header detected"}
}

func (b *books) showAccount() map[string]any {
	locations := []int64{}
	for _, l := range b.locations.list {
		if l.Status == statusActive {
			locations = append(locations, l.ID)
		}
	}
	return map[string]any{
		"id": b.record.ID, "name": b.account.Name, "country": "SG", "time_zone": "Asia/Singapore", "industry": nil, "website": nil,
		"contact_email": "owner@example.test", "contact_phone": nil, "contact_mobile": nil, "tax_number": "", "tax_label": "GST",
		"tax_number_label": "GST Number", "default_tax_treatment": "exclusive", "default_currency_id": b.record.CurrencyID,
		"default_payment_term_id": nil, "default_payment_method_id": nil, "primary_location_id": b.primary(),
		"primary_billing_location_id": b.primary(), "billing_contact_id": b.record.UserID, "default_sales_order_tax_type_id": nil,
		"default_purchase_order_tax_type_id": nil, "default_tax_exempt_id": nil, "default_order_price_list_id": "retail",
		"default_purchase_order_price_list_id": "buy", "default_sales_ledger_account_on": "product", "stock_level_warn": true,
		"location_ids": locations, "user_ids": []int64{b.record.UserID}, "created_at": b.record.CreatedAt, "updated_at": b.record.CreatedAt,
	}
}

func (b *books) showUser() map[string]any {
	return map[string]any{
		"id": b.record.UserID, "account_id": b.record.ID, "login_id": b.record.UserID, "account_name": b.account.Name,
		"first_name": "Robin", "last_name": "Sample", "email": "robin@example.test", "phone_number": nil, "mobile": nil, "position": nil,
		"location": nil, "avatar_url": nil, "status": statusActive, "last_sign_in_at": b.record.CreatedAt, "billing_contact": true,
		"notification_email": true, "sales_report_email": true, "action_items_email": "weekly", "permissions": b.account.Permissions,
		"created_at": b.record.CreatedAt, "updated_at": b.record.CreatedAt,
	}
}
