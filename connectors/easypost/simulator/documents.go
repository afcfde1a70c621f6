package simulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"orderferry/connectors/simkit"
)

// Inbound notices, returns and their like (section 10), which the relay hardly
// touches: one kind of record, told apart by the prefix of its id.
const (
	noticeKind  = "asn_"
	inboundKind = "inb_"
	returnKind  = "return_"
	serialKind  = "sn_"
	bolKind     = "bol_"
)

// documentKind says which fields a kind keeps, and which it insists on.
type documentKind struct {
	prefix, plural, first string
	fields, lineFields    []string
	required              []string
	lines                 bool
}

func kindOf(prefix string) documentKind {
	switch prefix {
	case noticeKind:
		return documentKind{prefix: prefix, plural: "advanced_shipment_notices", first: "created",
			fields: []string{"warehouse_id", "comments", "estimated_delivery"}, required: []string{"warehouse_id"}}
	case inboundKind:
		return documentKind{prefix: prefix, plural: "inbound_packages", lines: true,
			fields: []string{"name", "comments", "tracking_code"}}
	case returnKind:
		return documentKind{prefix: prefix, plural: "order_returns", first: "created", lines: true,
			fields:     []string{"order_id", "destination_address", "origin_address"},
			lineFields: []string{"reason_type"}, required: []string{"order_id"}}
	case serialKind:
		return documentKind{prefix: prefix, fields: []string{"value"}, required: []string{"value"}}
	default:
		return documentKind{prefix: bolKind, lines: true,
			fields:     []string{"warehouse", "tracking_code", "estimated_delivery", "comments"},
			lineFields: []string{"pallets", "containers"}}
	}
}

func documentRoutes() []route {
	const notices = "/advanced_shipment_notices"
	const packages = notices + "/{}/inbound_packages"
	const returns = "/order_returns"
	inbound := func(method, path string, handle func(*call) (int, any, *problem)) route {
		return route{"inbound", method, at(fulfillmentBase, path), "", handle}
	}
	returning := func(method, path string, handle func(*call) (int, any, *problem)) route {
		return route{"returns", method, at(fulfillmentBase, path), "", handle}
	}
	return []route{
		inbound("POST", notices, creates(noticeKind)),
		inbound("GET", notices, lists(noticeKind)),
		inbound("GET", notices+"/{}", gets(noticeKind)),
		inbound("PATCH", notices+"/{}", patches(noticeKind)),
		inbound("DELETE", notices+"/{}", deletes(noticeKind)),
		inbound("PATCH", notices+"/{}/complete", (*call).completeNotice),
		inbound("POST", packages, creates(inboundKind)),
		inbound("GET", packages, lists(inboundKind)),
		inbound("GET", packages+"/{}", gets(inboundKind)),
		inbound("PATCH", packages+"/{}", patches(inboundKind)),
		inbound("DELETE", packages+"/{}", deletes(inboundKind)),
		inbound("POST", "/bols", creates(bolKind)),
		inbound("POST", "/products/{}/serial_numbers", creates(serialKind)),
		returning("POST", returns, creates(returnKind)),
		returning("GET", returns, lists(returnKind)),
		returning("GET", returns+"/{}", gets(returnKind)),
		returning("DELETE", returns+"/{}", deletes(returnKind)),
	}
}

func creates(prefix string) func(*call) (int, any, *problem) {
	kind := kindOf(prefix)
	return func(c *call) (int, any, *problem) {
		b := c.begin()
		defer c.mu.Unlock()
		d := &document{Kind: prefix, Created: c.now, Updated: c.now, Status: kind.first}
		if p := kind.fill(b, d, c.body); p != nil {
			return 0, nil, p
		}
		for _, f := range kind.required {
			if s := text(d.Fields[f]); s == "" {
				return 0, nil, required(f)
			}
		}
		if p := d.adopt(b, c.ids); p != nil {
			return 0, nil, p
		}
		d.N, d.ID = b.next(prefix)
		c.commit(b, &change{Documents: []*document{d}})
		return http.StatusCreated, c.document(b, d), nil
	}
}

// adopt finds what the document belongs to.
func (d *document) adopt(b *book, ids []string) *problem {
	switch d.Kind {
	case inboundKind:
		d.Parent = ids[0]
		if b.liveDocument(noticeKind, "", ids[0]) == nil {
			return notFound()
		}
	case serialKind:
		d.Parent = ids[0]
		if b.findProduct(productRef{ID: ids[0]}) == nil {
			return notFound()
		}
	case returnKind:
		d.Parent = text(d.Fields["order_id"])
		if b.orders[d.Parent] == nil {
			return invalid("order_id", "no such order")
		}
	case noticeKind:
		if b.warehouseNamed(text(d.Fields["warehouse_id"])) < 0 {
			return invalid("warehouse_id", "no such warehouse")
		}
	}
	return nil
}

// fill lays a body's known fields over a document.
func (k documentKind) fill(b *book, d *document, body []byte) *problem {
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(body, &sent); err != nil {
		return badBody(err)
	}
	fields := maps.Clone(d.Fields)
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	for _, name := range k.fields {
		if v, ok := sent[name]; ok {
			fields[name] = v
		}
	}
	d.Fields = fields
	if raw, ok := sent["line_items"]; ok && k.lines {
		lines, p := k.readLines(b, raw)
		if p != nil {
			return p
		}
		d.Lines = lines
	}
	return nil
}

func (k documentKind) readLines(b *book, raw json.RawMessage) ([]documentLine, *problem) {
	var sent []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sent); err != nil {
		return nil, invalid("line_items", "must be an array of objects")
	}
	var lines []documentLine
	for i, s := range sent {
		field := "line_items." + strconv.Itoa(i)
		ref := productRef{ID: text(s["product_id"])}
		if len(s["product"]) > 0 {
			if err := json.Unmarshal(s["product"], &ref); err != nil {
				return nil, badBody(err)
			}
		}
		p := b.findProduct(ref)
		if p == nil {
			return nil, &problem{Status: 422, Code: "PRODUCT.NOT_FOUND", Message: "No such product.",
				Fields: []fieldProblem{{Field: field + ".product", Message: "not found"}}}
		}
		units, bad := readUnits(s["units"], field+".units")
		if bad != nil {
			return nil, bad
		}
		l := documentLine{ProductID: p.ID, Units: units, Fields: map[string]json.RawMessage{}}
		for _, name := range k.lineFields {
			if v, ok := s[name]; ok {
				l.Fields[name] = v
			}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// text reads a JSON string; "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// liveDocument finds a document of a kind; parent "" matches all.
func (b *book) liveDocument(kind, parent, id string) *document {
	d := b.documents[id]
	if d == nil || d.Deleted || d.Kind != kind || (parent != "" && d.Parent != parent) {
		return nil
	}
	return d
}

// named finds the document that a path such as /{notice}/inbound_packages/{package} means.
func (c *call) named(b *book, kind string) *document {
	if kind == inboundKind {
		return b.liveDocument(kind, c.ids[0], c.ids[1])
	}
	return b.liveDocument(kind, "", c.ids[0])
}

func lists(prefix string) func(*call) (int, any, *problem) {
	kind := kindOf(prefix)
	return func(c *call) (int, any, *problem) {
		skip, n := c.behaviour.page(c.request.URL.Query())
		b := c.begin()
		defer c.mu.Unlock()
		rows := b.papers.newest(skip, n, func(d *document) bool {
			return d.Kind == prefix && (prefix != inboundKind || d.Parent == c.ids[0])
		})
		out := make([]map[string]any, len(rows))
		for i, d := range rows {
			out[i] = c.document(b, d)
		}
		return http.StatusOK, map[string]any{kind.plural: array(c.render, out)}, nil
	}
}

func gets(prefix string) func(*call) (int, any, *problem) {
	return func(c *call) (int, any, *problem) {
		b := c.begin()
		defer c.mu.Unlock()
		d := c.named(b, prefix)
		if d == nil {
			return 0, nil, notFound()
		}
		return http.StatusOK, c.document(b, d), nil
	}
}

func patches(prefix string) func(*call) (int, any, *problem) {
	kind := kindOf(prefix)
	return func(c *call) (int, any, *problem) {
		b := c.begin()
		defer c.mu.Unlock()
		old := c.named(b, prefix)
		if old == nil {
			return 0, nil, notFound()
		}
		next := *old
		next.Updated = c.now
		if p := kind.fill(b, &next, c.body); p != nil {
			return 0, nil, p
		}
		c.commit(b, &change{Documents: []*document{&next}})
		return http.StatusOK, c.document(b, &next), nil
	}
}

func deletes(prefix string) func(*call) (int, any, *problem) {
	return func(c *call) (int, any, *problem) {
		b := c.begin()
		defer c.mu.Unlock()
		old := c.named(b, prefix)
		if old == nil {
			return 0, nil, notFound()
		}
		next := *old
		next.Deleted, next.Updated = true, c.now
		c.commit(b, &change{Documents: []*document{&next}})
		return c.deleted()
	}
}

// completeNotice takes the announced units into the notice's warehouse, once.
func (c *call) completeNotice() (int, any, *problem) {
	b := c.begin()
	defer c.mu.Unlock()
	old := b.liveDocument(noticeKind, "", c.ids[0])
	if old == nil {
		return 0, nil, notFound()
	}
	if old.Status == "completed" {
		return http.StatusOK, c.document(b, old), nil
	}
	next := *old
	next.Status, next.Updated = "completed", c.now
	ch := &change{Documents: []*document{&next}}
	warehouse := b.warehouseNamed(text(next.Fields["warehouse_id"]))
	arrived := map[string]int64{}
	for _, d := range b.papers.rows {
		if d.Kind != inboundKind || d.Parent != next.ID {
			continue
		}
		in := *d
		in.Updated, in.Lines = c.now, slices.Clone(d.Lines)
		for i, l := range in.Lines {
			in.Lines[i].Received = l.Units
			arrived[l.ProductID] += l.Units
		}
		ch.Documents = append(ch.Documents, &in)
	}
	for _, id := range slices.Sorted(maps.Keys(arrived)) {
		ch.Stock = append(ch.Stock, stockRecord{id, warehouse, b.levels(id)[warehouse].onHand + arrived[id]})
	}
	c.commit(b, ch)
	return http.StatusOK, c.document(b, &next), nil
}

// document renders one; the caller holds the mutex.
func (c *call) document(b *book, d *document) map[string]any {
	out := map[string]any{
		"id": d.ID, "mode": b.mode, "created_at": c.render.stamp(d.Created), "updated_at": c.render.stamp(d.Updated),
	}
	for name, v := range d.Fields {
		out[name] = v
	}
	if d.Status != "" {
		out["status"] = d.Status
	}
	if kindOf(d.Kind).lines {
		out["line_items"] = array(c.render, c.documentLines(b, d))
	}
	switch d.Kind {
	case noticeKind:
		if i := b.warehouseNamed(text(d.Fields["warehouse_id"])); i >= 0 {
			out["warehouse"] = c.render.warehouse(b.warehouses[i])
		}
		out["url"] = "https://track.example.test/" + d.ID
	case serialKind:
		out["product"] = c.render.product(b.products[d.Parent])
	case returnKind:
		out["order"] = c.render.order(b.snapshot(b.orders[d.Parent]))
		out["label_url"] = "https://track.example.test/" + d.ID + ".png"
		out["tracking_code"], out["tracker"] = trackingCode("USPS", "trk_"+simkit.Identify(b.seed, d.ID)), nil
	}
	return out
}

func (c *call) documentLines(b *book, d *document) []map[string]any {
	out := make([]map[string]any, len(d.Lines))
	for i, l := range d.Lines {
		out[i] = map[string]any{
			"id": part("li_", d.ID, i), "mode": b.mode, "created_at": c.render.stamp(d.Created),
			"updated_at": c.render.stamp(d.Updated), "product": c.render.product(b.products[l.ProductID]), "units": l.Units,
		}
		if d.Kind == inboundKind {
			out[i]["received_units"] = l.Received
		}
		for name, v := range l.Fields {
			out[i][name] = v
		}
	}
	return out
}
