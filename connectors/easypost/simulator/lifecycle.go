package simulator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"orderferry/connectors/simkit"
)

// The functions here move orders and parcels. Their callers hold the mutex.

// Reasons why a warehouse person's request makes no sense.
var (
	ErrNotFound  = simkit.ErrNotFound
	ErrWrongStep = simkit.ErrWrongStep
)

// Package is a parcel to send with Ship.
type Package struct {
	// Items are units by barcode; nil means everything that has not left yet.
	Items   map[string]int64 `json:"items"`
	Carrier string           `json:"carrier"` // "" is chosen for you
	// TrackingCode "" is made up, from the seed. One that an earlier package has says
	// that this is more of the same parcel.
	TrackingCode string `json:"tracking_code"`
}

// moved is a copy of an order that may be changed and then committed.
func (o *order) moved(at time.Time) *order {
	next := *o
	next.Rev++
	if at.After(o.Updated) {
		next.Updated = at
	}
	next.Picks = slices.Clone(o.Picks)
	next.Reserved = slices.Clone(o.Reserved)
	return &next
}

func (s *Simulator) process(b *book, o *order, at time.Time) {
	next := o.moved(at)
	next.State, next.Processed = Processing, next.Updated
	next.Picks = plan(o, s.progress.PackagesEvery, next.Updated)
	s.commit(b, &change{Orders: []*order{next}})
	s.orderEvent(b, next, "fulfillment.order.updated", o.State)
}

// split says into how many packages an order goes, and whether they leave one by
// one: of the orders that are split, odd ones into three, and two after two apart.
func split(n int64, every int) (packages int, apart bool) {
	if every <= 0 || n%int64(every) != 0 {
		return 1, false
	}
	k := n / int64(every)
	return 2 + int(k%2), (k/2)%2 == 0
}

// plan divides an order's units over its packages, in line order.
func plan(o *order, every int, at time.Time) []pick {
	left := o.unshipped()
	var total int64
	for _, l := range left {
		total += l.Units
	}
	n, _ := split(o.N, every)
	packages := min(int64(n), total)
	var picks []pick
	for i := range packages {
		room := total*(i+1)/packages - total*i/packages
		p := pick{Created: at}
		for room > 0 {
			units := min(room, left[0].Units)
			p.Items = append(p.Items, line{left[0].ProductID, units})
			room -= units
			if left[0].Units -= units; left[0].Units == 0 {
				left = left[1:]
			}
		}
		picks = append(picks, p)
	}
	return picks
}

// shipPlanned sends the packed packages: all of them, or the next one.
func (s *Simulator) shipPlanned(b *book, o *order, at time.Time, all bool) {
	next := o.moved(at)
	var leaving []int
	for i, p := range next.Picks {
		if p.TrackerID == "" && (all || len(leaving) == 0) {
			leaving = append(leaving, i)
		}
	}
	s.send(b, o, next, leaving, nil)
}

// ship sends the given packages, repacking what had been packed otherwise.
func (s *Simulator) ship(b *book, o *order, at time.Time, packages []Package) error {
	next := o.moved(at)
	next.Picks = slices.DeleteFunc(next.Picks, func(p pick) bool { return p.TrackerID == "" })
	left := o.unshipped()
	var leaving []int
	for _, p := range packages {
		items, err := takeItems(b, &left, p.Items)
		if err != nil {
			return err
		}
		leaving = append(leaving, len(next.Picks))
		next.Picks = append(next.Picks, pick{Created: next.Updated, Items: items})
	}
	if len(left) > 0 {
		next.Picks = append(next.Picks, pick{Created: next.Updated, Items: left})
	}
	s.send(b, o, next, leaving, packages)
	return nil
}

// takeItems moves units from left into a package.
func takeItems(b *book, left *[]line, wanted map[string]int64) ([]line, error) {
	if wanted == nil {
		items := *left
		*left = nil
		if len(items) == 0 {
			return nil, fmt.Errorf("%w: everything has left", ErrWrongStep)
		}
		return items, nil
	}
	var items []line
	rest := slices.Clone(*left)
	for i := range rest {
		barcode := b.products[rest[i].ProductID].Barcode
		n := wanted[barcode]
		if n < 0 || n > rest[i].Units {
			return nil, fmt.Errorf("%w: %d units of an item of which %d are left", ErrWrongStep, n, rest[i].Units)
		}
		if n > 0 {
			items = append(items, line{rest[i].ProductID, n})
			rest[i].Units -= n
		}
	}
	if len(items) == 0 || len(items) != countPositive(wanted) {
		return nil, fmt.Errorf("%w: the package holds nothing, or items that are not left in the order", ErrWrongStep)
	}
	*left = slices.DeleteFunc(rest, func(l line) bool { return l.Units == 0 })
	return items, nil
}

func countPositive(m map[string]int64) (n int) {
	for _, v := range m {
		if v > 0 {
			n++
		}
	}
	return n
}

// send gives the leaving picks of next their trackers, takes their units from
// stock and commits it all as one change. packages, if given, runs along leaving.
func (s *Simulator) send(b *book, o, next *order, leaving []int, packages []Package) {
	c := &change{Orders: []*order{next}}
	touched := map[[2]string]*stockRecord{}
	number := b.counts["trk_"]
	for k, i := range leaving {
		var want Package
		if packages != nil {
			want = packages[k]
		}
		number++
		t := b.newParcel(next, number, i, want)
		next.Picks[i].TrackerID, next.Picks[i].Shipped = t.ID, next.Updated
		c.Trackers = append(c.Trackers, t)
		for _, item := range next.Picks[i].Items {
			b.unstock(next, item, touched)
		}
	}
	for _, r := range touched {
		c.Stock = append(c.Stock, *r)
	}
	slices.SortFunc(c.Stock, func(a, b stockRecord) int {
		return cmp.Or(cmp.Compare(a.ProductID, b.ProductID), cmp.Compare(a.Warehouse, b.Warehouse))
	})
	next.State, next.LastShip = Processing, next.Updated
	if next.Processed.IsZero() {
		next.Processed = next.Updated
	}
	if len(next.unshipped()) == 0 {
		next.State = Shipped
	}
	s.commit(b, c)
	s.orderEvent(b, next, "fulfillment.order.updated", o.State)
	for _, t := range c.Trackers {
		s.trackerEvent(b, t, "tracker.created", "")
	}
}

// closeShort ends an order of which a part has left: the rest never will, and its
// stock is free again.
func (s *Simulator) closeShort(b *book, o *order, at time.Time) error {
	if o.State != Processing || o.LastShip.IsZero() {
		return fmt.Errorf("%w: %s", ErrWrongStep, o.State)
	}
	next := o.moved(at)
	next.State, next.Reserved = Shipped, nil
	next.Picks = slices.DeleteFunc(next.Picks, func(p pick) bool { return p.TrackerID == "" })
	s.commit(b, &change{Orders: []*order{next}})
	s.orderEvent(b, next, "fulfillment.order.updated", o.State)
	return nil
}

// relabel voids the label of a parcel and gives it another. The order shows the
// trackers of both.
func (s *Simulator) relabel(b *book, o *order, at time.Time, code, with string) error {
	i := slices.IndexFunc(o.Picks, func(p pick) bool { return p.TrackerID != "" && b.trackers[p.TrackerID].Code == code })
	if i < 0 {
		return fmt.Errorf("tracking code %s: %w", code, ErrNotFound)
	}
	old := b.trackers[o.Picks[i].TrackerID]
	s.advance(b, old, at, "cancelled")
	next := o.moved(at)
	t := b.newParcel(next, b.counts["trk_"]+1, i, Package{Carrier: old.Carrier, TrackingCode: with})
	next.Picks[i].TrackerID = t.ID
	next.Voided = append(slices.Clone(o.Voided), old.ID)
	s.commit(b, &change{Orders: []*order{next}, Trackers: []*tracker{t}})
	s.orderEvent(b, next, "fulfillment.order.updated", o.State)
	s.trackerEvent(b, t, "tracker.created", "")
	return nil
}

// unstock takes shipped units from where they were promised.
func (b *book) unstock(next *order, item line, touched map[[2]string]*stockRecord) {
	left := item.Units
	for i := range next.Reserved {
		r := &next.Reserved[i]
		if r.ProductID != item.ProductID || left == 0 {
			continue
		}
		n := min(left, r.Units)
		r.Units -= n
		left -= n
		key := [2]string{r.ProductID, b.warehouses[r.Warehouse].ID}
		if touched[key] == nil {
			touched[key] = &stockRecord{r.ProductID, r.Warehouse, b.levels(r.ProductID)[r.Warehouse].onHand}
		}
		touched[key].OnHand = max(0, touched[key].OnHand-n)
	}
	next.Reserved = slices.DeleteFunc(next.Reserved, func(r reservation) bool { return r.Units == 0 })
}

// cancel gives the stock back. The caller has seen that nothing left.
func (s *Simulator) cancel(b *book, o *order, at time.Time, byClient bool) {
	next := o.moved(at)
	next.State, next.HeldFrom, next.Reserved, next.Deleted = Refunded, "", nil, byClient
	s.commit(b, &change{Orders: []*order{next}})
	s.orderEvent(b, next, "fulfillment.order.refunded", o.State)
}

func (s *Simulator) hold(b *book, o *order, at time.Time) error {
	if o.State != Received && o.State != Processing {
		return fmt.Errorf("hold: %w: %s", ErrWrongStep, o.State)
	}
	next := o.moved(at)
	next.State, next.HeldFrom = OnHold, o.State
	s.commit(b, &change{Orders: []*order{next}})
	s.orderEvent(b, next, "fulfillment.order.updated", o.State)
	return nil
}

func (s *Simulator) release(b *book, o *order, at time.Time) error {
	if o.State != OnHold {
		return fmt.Errorf("release: %w: %s", ErrWrongStep, o.State)
	}
	next := o.moved(at)
	next.State, next.HeldFrom = o.HeldFrom, ""
	s.commit(b, &change{Orders: []*order{next}})
	s.orderEvent(b, next, "fulfillment.order.updated", o.State)
	return nil
}

// step moves an order on by one: received -> processing -> shipped (package by
// package where they leave apart), or off its hold.
func (s *Simulator) step(b *book, o *order, at time.Time) error {
	switch o.State {
	case Received:
		s.process(b, o, at)
	case Processing:
		_, apart := split(o.N, s.progress.PackagesEvery)
		s.shipPlanned(b, o, at, !apart)
	case OnHold:
		return s.release(b, o, at)
	default:
		return fmt.Errorf("step: %w: %s", ErrWrongStep, o.State)
	}
	return nil
}

// due says when an order moves by itself.
func (s *Simulator) orderDue(o *order) (time.Time, bool) {
	switch {
	case o.State == Received && s.progress.ProcessAfter > 0:
		return o.Created.Add(s.progress.ProcessAfter), true
	case o.State == Processing && s.progress.ShipAfter > 0:
		from := o.Processed
		if o.LastShip.After(from) {
			from = o.LastShip
		}
		return from.Add(s.progress.ShipAfter), true
	}
	return time.Time{}, false
}

func (s *Simulator) trackerDue(t *tracker) (time.Time, bool) {
	switch {
	case t.OrderID == "": // codes that a client made up are moved only by hand
	case t.Status == "pre_transit" && s.progress.TransitAfter > 0:
		return t.Created.Add(s.progress.TransitAfter), true
	case t.Status == "in_transit" && s.progress.DeliverAfter > 0:
		return t.Updated.Add(s.progress.DeliverAfter), true
	}
	return time.Time{}, false
}

// settleOrder makes the timed moves of one order that are due, at the times when
// they were, and returns the order as it then is.
func (s *Simulator) settleOrder(b *book, id string, now time.Time) *order {
	for {
		o := b.orders[id]
		if o == nil {
			return nil
		}
		at, ok := s.orderDue(o)
		if !ok || at.After(now) || s.step(b, o, at) != nil {
			return o
		}
	}
}

func (s *Simulator) settleTracker(b *book, id string, now time.Time) *tracker {
	for {
		t := b.trackers[id]
		if t == nil {
			return nil
		}
		at, ok := s.trackerDue(t)
		if !ok || at.After(now) {
			return t
		}
		s.advance(b, t, at, followingStatus(t.Status))
	}
}

// followingStatus is the parcel's next step; "" after the last.
func followingStatus(status string) string {
	switch status {
	case "unknown":
		return "pre_transit"
	case "pre_transit":
		return "in_transit"
	case "in_transit", "out_for_delivery", "available_for_pickup":
		return "delivered"
	}
	return ""
}

func (s *Simulator) advance(b *book, t *tracker, at time.Time, status string) {
	next := *t
	next.Rev++
	if at.After(t.Updated) {
		next.Updated = at
	}
	next.Status = status
	next.Scans = append(slices.Clone(t.Scans), newScan(next.Updated, status))
	s.commit(b, &change{Trackers: []*tracker{&next}})
	s.trackerEvent(b, &next, "tracker.updated", t.Status)
}
