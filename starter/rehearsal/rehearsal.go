// Package rehearsal says what onboarding a merchant would do, without doing it:
// it tests the connections, reads the orders that the carts have ready, prepares
// each as it would be sent, and looks whether the warehouse has it already. It
// reads only; nothing is written at a vendor's or in the ledger, but for a token
// in use that had to be renewed.
package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/postal"
	"orderferry/relay"
	"orderferry/store"
)

// Ledger is what a rehearsal reads of the ledger.
type Ledger interface {
	// Merchant returns store.ErrNotFound for a merchant that is new.
	Merchant(ctx context.Context, id relay.MerchantID) (store.Merchant, error)
	Mappings(ctx context.Context, id relay.MerchantID) (relay.Mappings, error)
	CartOrderStates(ctx context.Context, cart store.ConnectionID, ids []relay.ExternalID) (map[relay.ExternalID]relay.OrderState, error)
	Owned(ctx context.Context, warehouse store.ConnectionID, ids []relay.WarehouseOrderID) ([]bool, error)
	StoredVault(c store.Connection) StoredVault
}

// StoredVault is a connection's credentials in the ledger; *store.Vault is one.
type StoredVault interface {
	Read(ctx context.Context) (map[string]string, error)
	Rotate(ctx context.Context, next func(context.Context, map[string]string) (map[string]string, error)) (map[string]string, error)
	// Onboarded reports whether a file that said just what is given was onboarded last.
	Onboarded(ctx context.Context, given map[string]string) (bool, error)
}

// Input says what to rehearse.
type Input struct {
	Merchant    relay.Merchant
	Credentials map[relay.ConnectionName]connectors.Credentials
	Connectors  []connectors.Connector
	Orders      int // most orders read of each cart, at least 1
	Now         time.Time
	// Say tells how far it has got; never nil.
	Say func(format string, args ...any)
}

// Report is what onboarding would do.
type Report struct {
	Connections []Connection `json:"connections"`
	Carts       []Cart       `json:"carts"`
}

// Connection is the test of one.
type Connection struct {
	Name      relay.ConnectionName `json:"name"`
	Role      connectors.Role      `json:"role"`
	Connector string               `json:"connector"`
	Mode      relay.Mode           `json:"mode"`               // by the merchant's file
	Answered  relay.Mode           `json:"answered,omitempty"` // by the vendor; "" when it does not tell
	Account   string               `json:"account,omitempty"`
	Details   []string             `json:"details,omitempty"`
	Missing   []string             `json:"missing,omitempty"`
	Error     string               `json:"error,omitempty"` // it could not be tested, and its orders not be read
}

// OtherMode reports whether the credentials are of another mode than the file says:
// test orders would be shipped, or real ones not.
func (c Connection) OtherMode() bool { return c.Answered != "" && c.Answered != c.Mode }

// Cart is what would become of the orders that a cart has ready.
type Cart struct {
	Name relay.ConnectionName `json:"name"`
	Read int                  `json:"read"`
	More bool                 `json:"more"` // there are more orders than were read
	// Send, Hold and Skip are how many would be sent at once, held and skipped.
	Send int `json:"send"`
	Hold int `json:"hold"`
	Skip int `json:"skip"`
	// Resend is how many of those that would be sent are in the ledger, on hold or skipped.
	Resend int `json:"resend"`
	// Known is how many are in the ledger already and would not be sent, by state.
	Known []Group `json:"known,omitempty"`
	// Skipped and Held are by cause; an order of several causes is among each.
	Skipped []Group `json:"skipped,omitempty"`
	Held    []Group `json:"held,omitempty"`
	// There is what the warehouse has already though the ledger does not know of
	// it: another integration sends these orders, and they would be sent twice.
	There []Group `json:"there,omitempty"`
	// Unchecked is how many would be sent that could not be looked for there.
	Unchecked int    `json:"unchecked"`
	Error     string `json:"error,omitempty"`
}

// Group is orders with something in common.
type Group struct {
	What   string   `json:"what"`
	Orders int      `json:"orders"`
	Some   []string `json:"some"` // numbers of the first of them
}

const mostExamples = 5

// Clean reports whether onboarding can be advised: all that was asked answered, in
// the mode that was meant, and no order is at the warehouse already.
func (r Report) Clean() bool {
	for _, c := range r.Connections {
		if c.Error != "" || len(c.Missing) > 0 || c.OtherMode() {
			return false
		}
	}
	for _, c := range r.Carts {
		if c.Error != "" || len(c.There) > 0 {
			return false
		}
	}
	return true
}

// Run rehearses. What one connection can't answer is in its part of the report;
// an error means that the ledger could not be read.
func Run(ctx context.Context, ledger Ledger, in Input) (Report, error) {
	r := rehearsal{Input: in, ledger: ledger}
	defer r.close()
	var err error
	if r.stored, err = ledger.Merchant(ctx, in.Merchant.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return Report{}, err
	}
	if r.mappings, err = ledger.Mappings(ctx, in.Merchant.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return Report{}, err
	}
	r.mappings = r.mappings.Under(in.Merchant)
	var report Report
	warehouse := r.open(ctx, in.Merchant.Warehouse, connectors.Warehouse)
	accounts := make(map[string][]relay.Connection) // carts, by the account that answered
	for _, c := range in.Merchant.Carts {
		cart := r.open(ctx, c, connectors.Cart)
		if account := cart.report.Account; account != "" {
			cart.report.Missing = append(cart.report.Missing, r.sharedAccount(c, account, accounts[account])...)
			accounts[account] = append(accounts[account], c)
		}
		cart.report.Missing = append(cart.report.Missing, unknownSites(c.Rules.Stock, warehouse.sites)...)
		report.Connections = append(report.Connections, cart.report)
		if cart.vendor == nil || warehouse.vendor == nil {
			report.Carts = append(report.Carts, Cart{Name: c.Name, Error: "not read: a connection does not answer"})
			continue
		}
		found, err := r.cart(ctx, c, cart.vendor, warehouse.vendor)
		if err != nil {
			return Report{}, err
		}
		report.Carts = append(report.Carts, found)
	}
	report.Connections = append(report.Connections, warehouse.report)
	return report, nil
}

type rehearsal struct {
	Input
	ledger   Ledger
	stored   store.Merchant // zero for a new merchant
	mappings relay.Mappings
	opened   []io.Closer
}

func (r *rehearsal) close() {
	for _, c := range r.opened {
		if err := c.Close(); err != nil {
			r.Say("close a connection: %v", err)
		}
	}
}

type tested struct {
	vendor connectors.Connection // nil when it does not answer
	report Connection
	sites  []connectors.Site // none where it does not list them
}

func (r *rehearsal) open(ctx context.Context, c relay.Connection, role connectors.Role) tested {
	t := tested{report: Connection{Name: c.Name, Role: role, Connector: c.Connector, Mode: c.Mode}}
	r.Say("testing %s (%s, %s)", c.Name, c.Connector, c.Mode)
	vendor, err := r.connect(ctx, c)
	if err != nil {
		t.report.Error = err.Error()
		return t
	}
	answer, err := vendor.Check(ctx)
	t.report.Account, t.report.Details, t.report.Missing = answer.Account, answer.Details, answer.Missing
	if err != nil {
		t.report.Error = err.Error()
		return t
	}
	t.vendor, t.report.Answered = vendor, answer.Mode
	if w, ok := vendor.(connectors.SiteLister); ok {
		if t.sites, err = w.Sites(ctx); err != nil {
			r.Say("could not list the sites of %s: %v", c.Name, err)
		}
	}
	return t
}

// sharedAccount says that a cart's account answered to another one of the merchant's
// carts, too, and that they clash, whatever the credentials. Promise 1: each order would
// be shipped twice.
func (r *rehearsal) sharedAccount(c relay.Connection, account string, before []relay.Connection) []string {
	kind := r.Connectors[r.connector(c.Connector)] // it has answered
	for _, other := range before {
		if clash := kind.Clash(c, other); clash != "" {
			return []string{fmt.Sprintf("an account of its own: %s answers to cart %s as well, and %s", account, other.Name, clash)}
		}
	}
	return nil
}

// unknownSites says which sites of a cart's stock rules a warehouse does not have:
// nothing would be shown of them, and nobody told.
func unknownSites(rules relay.StockRules, sites []connectors.Site) []string {
	if len(sites) == 0 {
		return nil
	}
	var known, out []string
	for _, s := range sites {
		known = append(known, s.ID)
	}
	named := slices.Clone(rules.Sites)
	for _, location := range slices.Sorted(maps.Keys(rules.Locations)) {
		named = append(named, rules.Locations[location]...)
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			out = append(out, fmt.Sprintf("stock names site %s, whose levels the warehouse does not tell: want one of %s", name, strings.Join(known, ", ")))
		}
	}
	return out
}

// connector is the index of a connector; -1 where there is none of that name.
func (r *rehearsal) connector(name string) int {
	return slices.IndexFunc(r.Connectors, func(k connectors.Connector) bool { return k.Name == name })
}

func (r *rehearsal) connect(ctx context.Context, c relay.Connection) (connectors.Connection, error) {
	i := r.connector(c.Connector)
	if i < 0 {
		return nil, fmt.Errorf("no connector %s", c.Connector)
	}
	vault, err := r.vault(ctx, c)
	if err != nil {
		return nil, err
	}
	vendor, err := r.Connectors[i].Open(connectors.Config{
		Merchant: r.Merchant.ID, Name: c.Name, BaseURL: c.BaseURL, Mode: c.Mode, Settings: c.Settings, Vault: vault, Log: slog.New(slog.DiscardHandler),
	})
	if c, ok := vendor.(io.Closer); ok && err == nil {
		r.opened = append(r.opened, c)
	}
	return vendor, err
}

// cart reads what a cart has ready and says what would become of it.
func (r *rehearsal) cart(ctx context.Context, c relay.Connection, cart, warehouse connectors.Connection) (Cart, error) {
	out := Cart{Name: c.Name}
	source, ok := cart.(connectors.OrderSource)
	sink, takes := warehouse.(connectors.OrderSink)
	if !ok || !takes {
		out.Error = "not read: no orders come from this cart, or go to this warehouse"
		return out, nil
	}
	s := sorter{rehearsal: r, cart: c, sink: sink, out: &out, known: newGroups(), skipped: newGroups(), held: newGroups(), there: newGroups()}
	seen := make(map[relay.ExternalID]bool)
	for cursor := ""; ; {
		page, err := source.PullOrders(ctx, connectors.OrdersQuery{Cursor: cursor, Limit: min(250, r.Orders-out.Read), ReadOnly: true})
		if err != nil {
			out.Error = err.Error()
			break
		}
		var fresh []relay.CartOrder
		for _, o := range page.Orders {
			if !seen[o.ExternalID] {
				seen[o.ExternalID] = true
				fresh = append(fresh, o)
			}
		}
		if err := s.sort(ctx, fresh); err != nil {
			return Cart{}, err
		}
		out.Read += len(fresh)
		r.Say("read %d orders of %s", out.Read, c.Name)
		if out.More = page.More; !page.More || out.Read >= r.Orders {
			break
		}
		if page.Cursor == cursor {
			out.Error = "the connector gave the same cursor twice"
			break
		}
		cursor = page.Cursor
	}
	s.lookFor(ctx, warehouse)
	out.Known, out.Skipped, out.Held, out.There = s.known.list(), s.skipped.list(), s.held.list(), s.there.list()
	return out, nil
}

// sorter sorts the orders of a cart by what would become of them.
type sorter struct {
	*rehearsal
	cart                        relay.Connection
	sink                        connectors.OrderSink
	out                         *Cart
	known, skipped, held, there groups
	send                        []connectors.WarehouseOrder // those that the ledger does not know
}

// anyToken is in the place of a token where nothing is sent.
const anyToken relay.Token = "aaaaaaaaaaaaaaaa"

func (s *sorter) sort(ctx context.Context, page []relay.CartOrder) error {
	ids := make([]relay.ExternalID, len(page))
	for i, o := range page {
		ids[i] = o.ExternalID
	}
	states := map[relay.ExternalID]relay.OrderState{}
	if stored, ok := s.stored.Connection(s.cart.Name); ok {
		var err error
		if states, err = s.ledger.CartOrderStates(ctx, stored.ID, ids); err != nil {
			return err
		}
	}
	for _, o := range page {
		state, known := states[o.ExternalID]
		if known && state != relay.OrderNew && state != relay.OrderHeld && state != relay.OrderSkipped {
			s.known.add(o.Number, string(state))
			continue
		}
		if code, known := postal.Country(o.ShipTo.Country); known {
			o.Traits.Country = code
		}
		if why := skips(s.cart.Rules.Filter, o); len(why) > 0 {
			s.out.Skip++
			s.skipped.add(o.Number, why...)
			continue
		}
		order := relay.Order{Merchant: s.Merchant.ID, Cart: s.cart.Name, Reference: relay.NewReference(s.cart.Name, o.ExternalID, o.Number, 0), CartOrder: o}
		ready, err := connectors.Prepare(s.sink, s.mappings, order, anyToken)
		switch {
		case err != nil:
			s.out.Hold++
			s.held.add(o.Number, err.Error())
		case ready.Hold != nil:
			s.out.Hold++
			holds := s.mappings.Obstacles(s.cart.Name, o)
			if len(holds) == 0 { // of the address or the warehouse, once it is translated
				holds = []relay.Hold{*ready.Hold}
			}
			s.held.add(o.Number, causes(holds)...)
		default:
			s.out.Send++
			if known {
				s.out.Resend++
			}
			s.send = append(s.send, ready.Order)
		}
	}
	return nil
}

// skips names what a filter leaves an order out for, the same for all orders of
// one cause, whenever each of them was placed.
func skips(f relay.Filter, o relay.CartOrder) []string {
	var out []string
	if !o.PlacedAt.IsZero() && o.PlacedAt.Before(f.Earliest) {
		out, f.Earliest = append(out, "placed before "+f.Earliest.UTC().Format(time.RFC3339)), time.Time{}
	}
	return append(out, f.Reasons(o)...)
}

// causes names what stands in an order's way, the same for all orders of one
// cause: the reason with the value ("unknown_item TEE-S") or else the field
// ("bad_address ship_to.zip").
func causes(holds []relay.Hold) []string {
	var out []string
	for _, h := range holds {
		if len(h.Fields) == 0 {
			out = append(out, h.Headline())
		}
		for _, f := range h.Fields {
			what := string(h.Reason) + " " + cmp.Or(f.Value, f.Field)
			if !slices.Contains(out, what) {
				out = append(out, what)
			}
		}
	}
	return out
}

// lookFor looks whether the warehouse has orders already that would be sent.
func (s *sorter) lookFor(ctx context.Context, warehouse connectors.Connection) {
	if len(s.send) == 0 {
		return
	}
	lookup, ok := warehouse.(connectors.OrderLookup)
	if !ok {
		s.out.Unchecked = len(s.send)
		return
	}
	stored := s.stored.StoredWarehouse().ID
	q := connectors.LookupQuery{Owned: func(ctx context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
		return s.ledger.Owned(ctx, stored, ids)
	}}
	for _, o := range s.send {
		q.Orders = append(q.Orders, connectors.LookupRequest{Order: o, SentFrom: o.PlacedAt, SentTo: s.Now})
	}
	s.Say("looking for %d orders at %s", len(s.send), s.Merchant.Warehouse.Name)
	found, err := lookup.FindOrders(ctx, q)
	if err != nil || len(found) != len(s.send) {
		s.out.Unchecked = len(s.send)
		s.Say("could not look for orders at the warehouse: %v", err)
		return
	}
	for i, f := range found {
		live := slices.DeleteFunc(slices.Clone(f.Matches), func(m connectors.Match) bool { return m.Cancelled })
		switch {
		case len(live) > 0:
			s.there.add(s.send[i].Number, "found there by "+live[0].By)
		case !f.Certain:
			s.out.Unchecked++
		}
	}
}

// groups counts orders by what they have in common.
type groups struct{ of map[string]*Group }

func newGroups() groups { return groups{make(map[string]*Group)} }

// add counts an order to each of its groups.
func (g groups) add(number string, whats ...string) {
	for _, what := range whats {
		e := g.of[what]
		if e == nil {
			e = &Group{What: what}
			g.of[what] = e
		}
		e.Orders++
		if len(e.Some) < mostExamples {
			e.Some = append(e.Some, number)
		}
	}
}

// list returns the groups, the largest first.
func (g groups) list() []Group {
	var out []Group
	for _, e := range g.of {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Group) int { return cmp.Or(cmp.Compare(b.Orders, a.Orders), cmp.Compare(a.What, b.What)) })
	return out
}
