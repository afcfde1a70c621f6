// Package merchantfile reads merchant.yaml, the file in which an operator writes
// down a merchant, its carts and its warehouse. It reports every fault at once,
// each with its line and column, and never a credential's value.
package merchantfile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"orderferry/connectors"
	"orderferry/relay"
)

// File is what a merchant file says.
type File struct {
	Merchant relay.Merchant
	// Credentials of every connection, with ${NAME} replaced from the environment.
	Credentials map[relay.ConnectionName]connectors.Credentials
	// WebhookSecret signs what is posted about alerts; "" without a webhook.
	WebhookSecret string
	// Warnings are what will work, but not well.
	Warnings []Fault
}

// Fault is something wrong with the file. It never holds a credential's value.
type Fault struct {
	File         string // as it was given to Parse
	Line, Column int    // from 1
	Field        string // "warehouse.settings.service"; "" when it concerns the whole file
	Message      string
}

// Error prints "merchant.yaml:12:5: warehouse.settings.servce: unknown: want one of service".
func (f Fault) Error() string {
	s := fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column)
	if f.Field != "" {
		s += f.Field + ": "
	}
	return s + f.Message
}

// defaultWarehouse is the warehouse's name unless the file gives another.
const defaultWarehouse = "warehouse"

// Parse reads a merchant file. env looks up the variables that credentials
// name; registry lists the connectors there are. With any fault, only the
// Warnings of the File are of use. Faults and warnings are in the file's order.
func Parse(file string, data []byte, env func(string) (string, bool), registry []connectors.Connector) (File, []Fault) {
	r := &reader{file: file, env: env, registry: registry}
	var out File
	if root := r.tree(data); root != nil {
		out = r.merchant(root)
	}
	slices.SortStableFunc(r.faults, inFileOrder)
	slices.SortStableFunc(r.warnings, inFileOrder)
	if len(r.faults) > 0 {
		out = File{}
	}
	out.Warnings = r.warnings
	return out, r.faults
}

func inFileOrder(a, b Fault) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// reader reads one file and gathers what is wrong with it.
type reader struct {
	file     string
	env      func(string) (string, bool)
	registry []connectors.Connector
	clock    relay.ResendClock // the merchant's
	faults   []Fault
	warnings []Fault
}

func (r *reader) at(p place, field, format string, args ...any) Fault {
	return Fault{File: r.file, Line: p.line, Column: p.column, Field: field, Message: fmt.Sprintf(format, args...)}
}

func (r *reader) fault(p place, field, format string, args ...any) {
	r.faults = append(r.faults, r.at(p, field, format, args...))
}

func (r *reader) merchant(root *node) File {
	s := r.section(root, place{1, 1}, "", "id", "name", "zone", "resend_hour", "unaliased_skus", "carts", "warehouse", "alerts")
	m := relay.Merchant{
		ID:        r.merchantID(s),
		Resend:    r.resend(s),
		Unaliased: r.unaliased(s),
	}
	m.Name = s.textOr("name", string(m.ID))
	r.clock = m.Resend
	f := File{Credentials: map[relay.ConnectionName]connectors.Credentials{}}
	named := map[relay.ConnectionName]place{}
	keep := func(c connection) relay.Connection {
		if first, taken := named[c.Name]; taken && c.Name != "" {
			r.fault(c.at, c.path+".name", "%s is also the name of the connection on line %d", c.Name, first.line)
		} else {
			named[c.Name] = c.at
			f.Credentials[c.Name] = c.credentials
		}
		return c.Connection
	}
	carts, warehouse := r.carts(s), r.warehouse(s)
	for _, c := range carts {
		m.Carts = append(m.Carts, keep(c))
	}
	m.Warehouse = keep(warehouse)
	r.refuseLiveCarts(carts, warehouse)
	r.refuseClashes(carts)
	m.Alerts, f.WebhookSecret = r.alerts(s)
	f.Merchant = m
	return f
}

// refuseLiveCarts refuses a shop that sells beside a warehouse that ships nothing:
// its orders would be marked as shipped, and its stock be what the test has.
func (r *reader) refuseLiveCarts(carts []connection, warehouse connection) {
	for _, c := range carts {
		if c.Mode == relay.ModeLive && warehouse.Mode == relay.ModeTest {
			r.fault(c.modeAt, c.path+".mode", "live, and the warehouse is in mode test: the shop would be told of parcels that do not exist, and of the test's stock. "+
				"Want mode test here too, for an account that is only for tests, or a live warehouse")
		}
	}
}

// refuseClashes refuses two carts of one account that would ship the same orders, or
// set the same stock.
func (r *reader) refuseClashes(carts []connection) {
	for i, c := range carts {
		for _, before := range carts[:i] {
			if !c.whole || !before.whole || !maps.Equal(c.credentials, before.credentials) {
				continue
			}
			if clash := c.kind.Clash(c.Connection, before.Connection); clash != "" {
				r.fault(c.at, c.path, "the same account as the cart on line %d, and %s", before.at.line, clash)
				break
			}
		}
	}
}

func (r *reader) merchantID(s section) relay.MerchantID {
	t, ok := s.text("id")
	if !ok {
		s.missing("id", "the merchant's short name, such as acme")
		return ""
	}
	id, err := relay.ParseMerchantID(t.text)
	if err != nil {
		r.fault(t.place, s.field("id"), "%v", err)
	}
	return id
}

func (r *reader) resend(s section) relay.ResendClock {
	c := relay.ResendClock{Hour: relay.DefaultResendHour, Zone: relay.DefaultResendZone}
	if t, ok := s.text("resend_hour"); ok {
		hour, err := strconv.Atoi(t.text)
		if err != nil || hour < 0 || hour > 23 {
			r.fault(t.place, s.field("resend_hour"), "%q: want a whole number from 0 to 23", short(t.text))
		} else {
			c.Hour = hour
		}
	}
	if t, ok := s.text("zone"); ok {
		c.Zone = t.text
		if err := c.Check(); err != nil {
			r.fault(t.place, s.field("zone"), "%v", err)
		}
	}
	return c
}

func (r *reader) unaliased(s section) relay.UnaliasedSKU {
	t, ok := s.text("unaliased_skus")
	if !ok {
		return relay.HoldUnaliased
	}
	switch u := relay.UnaliasedSKU(t.text); u {
	case relay.HoldUnaliased, relay.SendUnaliased:
		return u
	}
	r.fault(t.place, s.field("unaliased_skus"), "%q: want %s or %s", short(t.text), relay.HoldUnaliased, relay.SendUnaliased)
	return ""
}

func (r *reader) carts(s section) []connection {
	e, ok := s.entry("carts")
	if !ok {
		s.missing("carts", "a list of one cart or more")
		return nil
	}
	if e.value.kind == refused {
		return nil
	}
	if e.value.kind != sequence || len(e.value.items) == 0 {
		r.fault(e.place, s.field("carts"), "want a list of one cart or more, got %s", e.value)
		return nil
	}
	var out []connection
	for i, item := range e.value.items {
		path := fmt.Sprintf("carts[%d]", i)
		out = append(out, r.connection(item, item.place, path, connectors.Cart))
	}
	return out
}

func (r *reader) warehouse(s section) connection {
	e, ok := s.entry("warehouse")
	if !ok {
		s.missing("warehouse", "the connection that orders are submitted to")
		return connection{}
	}
	return r.connection(e.value, e.place, "warehouse", connectors.Warehouse)
}

// short bounds what a fault quotes.
func short(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

func wantOneOf[T ~string](words []T) string {
	text := make([]string, len(words))
	for i, w := range words {
		text[i] = string(w)
	}
	if len(text) == 0 {
		return "there are none"
	}
	return "want one of " + strings.Join(text, ", ")
}
