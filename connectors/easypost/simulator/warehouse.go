package simulator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"orderferry/connectors/simkit"
)

// The methods here are what people at the warehouse do. They take effect, and
// reach the journal, before they return.

// AddProduct puts a product in both modes' catalogues and returns its id, which is
// the same in both. A barcode that is already there keeps its id and gets the title.
func (s *Simulator) AddProduct(barcode, title string) string {
	s.mu.Lock()
	now := s.now()
	id := "prod_" + simkit.Identify(s.seed, "prod_", barcode)
	for _, m := range modes() {
		id = s.addProduct(s.books[m], id, barcode, title, now)
	}
	s.mu.Unlock()
	_ = s.journal.Flush() // the next request reports it
	return id
}

func (s *Simulator) addProduct(b *book, id, barcode, title string, now time.Time) string {
	p := product{ID: id, Barcode: barcode, Title: title, Type: "merchandise", OriginCountry: "US", Created: now, Updated: now,
		Weight: dimension{"6", "OZ"}, Price: dimension{"18", "USD"}}
	old := b.byBarcode[barcode]
	if old == nil {
		old = b.products[id] // deleted earlier: it comes back
	}
	if old != nil {
		p = *old
		p.Title, p.Barcode, p.Deleted = title, barcode, false
	}
	if old == nil || *old != p {
		s.commit(b, &change{Products: []*product{&p}})
	}
	return p.ID
}

// SetStock says how many units of a barcode physically lie in a warehouse (short
// name or id; "" is the first), in both modes. Accepted orders keep their share.
func (s *Simulator) SetStock(barcode, warehouse string, quantity int64) error {
	return s.setStock(modes(), barcode, warehouse, quantity)
}

func (s *Simulator) setStock(in []Mode, barcode, warehouse string, quantity int64) error {
	if quantity < 0 {
		return fmt.Errorf("set stock: %d units: not less than nothing", quantity)
	}
	found := false
	s.mu.Lock()
	for _, m := range in {
		b := s.books[m]
		if w, p := b.warehouseNamed(warehouse), b.byBarcode[barcode]; w >= 0 && p != nil {
			s.commit(b, &change{Stock: []stockRecord{{p.ID, w, quantity}}})
			found = true
		}
	}
	s.mu.Unlock()
	if !found {
		return fmt.Errorf("set stock of %q at %q: product or warehouse: %w", barcode, warehouse, ErrNotFound)
	}
	return s.journal.Flush()
}

// onOrder lets a person act on an order, in whichever mode has it.
func (s *Simulator) onOrder(id, verb string, act func(*book, *order, time.Time) error) error {
	s.mu.Lock()
	now := s.now()
	err := ErrNotFound
	for _, m := range modes() {
		if o := s.settleOrder(s.books[m], id, now); o != nil {
			err = act(s.books[m], o, now)
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s order %s: %w", verb, id, err)
	}
	return s.journal.Flush()
}

// Step moves an order on by one: received -> processing -> shipped, package by
// package where Progress.PackagesEvery lets them leave apart; or off its hold.
func (s *Simulator) Step(orderID string) error { return s.onOrder(orderID, "step", s.step) }

// Ship sends packages of an order, packing it first if need be. Without packages
// everything that has not left goes in one.
func (s *Simulator) Ship(orderID string, packages ...Package) error {
	if len(packages) == 0 {
		packages = []Package{{}}
	}
	return s.onOrder(orderID, "ship", func(b *book, o *order, now time.Time) error {
		if o.State != Received && o.State != Processing {
			return fmt.Errorf("%w: %s", ErrWrongStep, o.State)
		}
		return s.ship(b, o, now, packages)
	})
}

// CloseShort ends an order of which a part has left: the rest never will.
func (s *Simulator) CloseShort(orderID string) error {
	return s.onOrder(orderID, "close", s.closeShort)
}

// Relabel voids the label with a tracking code and gives the parcel another; with
// "" one that is made up, from the seed.
func (s *Simulator) Relabel(orderID, code, with string) error {
	return s.onOrder(orderID, "relabel", func(b *book, o *order, now time.Time) error { return s.relabel(b, o, now, code, with) })
}

// CancelAtWarehouse cancels an order of which nothing has left, also a picked one.
func (s *Simulator) CancelAtWarehouse(orderID string) error {
	return s.onOrder(orderID, "cancel", func(b *book, o *order, now time.Time) error {
		if o.State == Refunded || !o.LastShip.IsZero() {
			return fmt.Errorf("%w: %s", ErrWrongStep, o.State)
		}
		s.cancel(b, o, now, false)
		return nil
	})
}

// Hold puts an order on hold; Step or Release takes it off.
func (s *Simulator) Hold(orderID string) error { return s.onOrder(orderID, "hold", s.hold) }

// Release takes an order off its hold.
func (s *Simulator) Release(orderID string) error { return s.onOrder(orderID, "release", s.release) }

// StepTracker moves a parcel (by tracker id) to a status, or with "" to the next
// of unknown, pre_transit, in_transit, delivered.
func (s *Simulator) StepTracker(trackerID, status string) error {
	s.mu.Lock()
	err := ErrNotFound
	now := s.now()
	for _, m := range modes() {
		t := s.settleTracker(s.books[m], trackerID, now)
		if t == nil {
			continue
		}
		if status == "" {
			status = followingStatus(t.Status)
		}
		if err = nil; !isTrackerStatus(status) {
			err = fmt.Errorf("%w: from %s to %q", ErrWrongStep, t.Status, status)
			break
		}
		s.advance(s.books[m], t, now, status)
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("step tracker %s: %w", trackerID, err)
	}
	return s.journal.Flush()
}

// SetBehaviour replaces the switches.
func (s *Simulator) SetBehaviour(b Behaviour) error {
	if err := b.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
	return nil
}

// Behaviour returns the switches as they are.
func (s *Simulator) Behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// SetProgress changes how orders move by themselves, also those that are there.
func (s *Simulator) SetProgress(p Progress) error {
	if err := p.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := s.now(); s.settle(now); {
	}
	s.progress = p
	s.reschedule()
	return nil
}

// Progress returns how orders move by themselves.
func (s *Simulator) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

// OrderView is an order as the warehouse's own books have it, whatever Behaviour
// shows on the wire.
type OrderView struct {
	ID           string        `json:"id"`
	Mode         Mode          `json:"mode"`
	State        State         `json:"state"`
	ByClient     bool          `json:"cancelled_by_client,omitempty"`
	CreatedAt    time.Time     `json:"created_at"`
	UpdatedAt    time.Time     `json:"updated_at"`
	Service      string        `json:"service"`
	Description  string        `json:"description"`
	Name         string        `json:"name"`
	Street       string        `json:"street"` // the first line of the destination
	Destination  Destination   `json:"destination"`
	Lines        []ItemView    `json:"lines"` // as sent, duplicates apart
	Packages     []PackageView `json:"packages"`
	UnitsShipped int64         `json:"units_shipped"`
}

// Destination is where an order goes, as it was sent.
type Destination struct {
	Name    string `json:"name,omitempty"`
	Company string `json:"company,omitempty"`
	Street1 string `json:"street1,omitempty"`
	Street2 string `json:"street2,omitempty"`
	City    string `json:"city,omitempty"`
	State   string `json:"state,omitempty"`
	Zip     string `json:"zip,omitempty"`
	Country string `json:"country,omitempty"`
	Phone   string `json:"phone,omitempty"`
	Email   string `json:"email,omitempty"`
}

// ItemView is units of a product.
type ItemView struct {
	Barcode string `json:"barcode"`
	Units   int64  `json:"units"`
}

// PackageView is a parcel; ShippedAt is zero until it leaves.
type PackageView struct {
	TrackerID    string     `json:"tracker_id"`
	Carrier      string     `json:"carrier"`
	TrackingCode string     `json:"tracking_code"`
	Status       string     `json:"status"`
	ShippedAt    time.Time  `json:"shipped_at,omitzero"`
	Items        []ItemView `json:"items"`
}

// Orders returns a mode's books, oldest first, after the timed moves that are due.
func (s *Simulator) Orders(mode Mode) []OrderView {
	s.mu.Lock()
	b := s.books[mode]
	if b == nil {
		s.mu.Unlock()
		return nil
	}
	for now := s.now(); s.settle(now); {
	}
	snapshots := b.snapshots(b.byNewest.rows)
	s.mu.Unlock()
	_ = s.journal.Flush() // the next request reports it
	slices.SortStableFunc(snapshots, func(x, y orderSnapshot) int { return cmp.Compare(x.order.N, y.order.N) })
	out := make([]OrderView, len(snapshots))
	for i, snap := range snapshots {
		out[i] = snap.view(mode)
	}
	return out
}

// Order returns one order of the books, of either mode.
func (s *Simulator) Order(id string) (OrderView, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range modes() {
		if o := s.settleOrder(s.books[m], id, s.now()); o != nil {
			return s.books[m].snapshot(o).view(m), true
		}
	}
	return OrderView{}, false
}

func (s orderSnapshot) view(mode Mode) OrderView {
	o := s.order
	v := OrderView{
		ID: o.ID, Mode: mode, State: o.State, ByClient: o.Deleted, CreatedAt: o.Created, UpdatedAt: o.Updated,
		Service: o.Request.Service, Description: o.Request.description(), Name: o.Request.Destination.Name, Street: o.Request.Destination.Street1,
		Lines: s.items(o.Lines),
	}
	d := o.Request.Destination
	v.Destination = Destination{Name: d.Name, Company: d.Company, Street1: d.Street1, Street2: d.Street2, City: d.City,
		State: d.State, Zip: d.Zip, Country: d.Country, Phone: d.Phone, Email: d.Email}
	for i, p := range o.Picks {
		pv := PackageView{ShippedAt: p.Shipped, Items: s.items(p.Items)}
		if t := s.trackers[i]; t != nil {
			pv.TrackerID, pv.Carrier, pv.TrackingCode, pv.Status = t.ID, t.Carrier, t.Code, t.Status
			for _, item := range p.Items {
				v.UnitsShipped += item.Units
			}
		}
		v.Packages = append(v.Packages, pv)
	}
	return v
}

func (s orderSnapshot) items(lines []line) []ItemView {
	out := make([]ItemView, len(lines))
	for i, l := range lines {
		out[i] = ItemView{s.products[l.ProductID].Barcode, l.Units}
	}
	return out
}

// StockView is what lies in a warehouse and how much of it is promised.
type StockView struct {
	ProductID string `json:"product_id"`
	Barcode   string `json:"barcode"`
	Warehouse string `json:"warehouse"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
}

// Stock returns a mode's stock, by barcode and warehouse.
func (s *Simulator) Stock(mode Mode) []StockView {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.books[mode]
	if b == nil {
		return nil
	}
	for now := s.now(); s.settle(now); {
	}
	var out []StockView
	for _, p := range b.catalogue.rows {
		for w, l := range b.levels(p.ID) {
			out = append(out, StockView{p.ID, p.Barcode, b.warehouses[w].ShortName, l.onHand, l.reserved})
		}
	}
	slices.SortStableFunc(out, func(x, y StockView) int { return cmp.Compare(x.Barcode, y.Barcode) })
	return out
}
