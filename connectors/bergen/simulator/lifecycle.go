package simulator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"orderferry/connectors/simkit"
)

// The functions here move tickets. Their callers hold the mutex.

// Reasons why a warehouse person's request makes no sense.
var (
	ErrNotFound  = simkit.ErrNotFound
	ErrWrongStep = simkit.ErrWrongStep
)

// Package is a carton to send with Ship.
type Package struct {
	// Items are units by UPC; nil means everything that has not left yet.
	Items map[string]int64 `json:"items"`
	// TrackingNumber "" is made up, from the seed. One that an earlier carton has says
	// that this is more of the same parcel.
	TrackingNumber string `json:"tracking_number"`
	Untracked      bool   `json:"untracked"` // the carton has no tracking number
}

// importTicket takes a ticket out of the staging area: it fails, or it is new, or
// it waits for stock (wire/bergen-rex11.md section 12.4).
func (s *Simulator) importTicket(b *book, t *ticket, at time.Time) {
	next := t.moved(at)
	next.Updated = at
	if next.Failed = s.importFault(b, t); next.Failed == "" {
		next.Imported = at
		s.admit(b, next)
	}
	s.commit(b, &change{Tickets: []*ticket{next}})
}

// importFault says why a ticket can't be imported.
func (s *Simulator) importFault(b *book, t *ticket) string {
	if s.behaviour.FailImport != "" {
		return s.behaviour.FailImport
	}
	for i, l := range t.Lines {
		if b.live(l.UPC) == nil {
			return fmt.Sprintf("PickTicket/LineItem/UPC[item %d] is not valid", i+1)
		}
	}
	return ""
}

// admit makes next new if its building has the stock, which is then promised to
// it; else it waits, and nothing is promised.
func (s *Simulator) admit(b *book, next *ticket) {
	next.HeldFrom = ""
	if next.Reserved = b.enough(next); next.Reserved {
		next.Status = StatusNew
	} else {
		next.Status = StatusNoStock
	}
}

// recheck lets tickets that wait for stock have it, oldest first.
func (s *Simulator) recheck(b *book, at time.Time) {
	if s.behaviour.NoRecheck {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(b.short)) {
		if next := b.tickets[n-1].moved(at); b.enough(next) {
			s.admit(b, next)
			s.commit(b, &change{Tickets: []*ticket{next}})
		}
	}
}

// setStatus moves a ticket along. Whoever picks has found the goods, so a ticket
// that waited for them has them now: then more is promised than the books have.
func (s *Simulator) setStatus(b *book, t *ticket, status string, at time.Time) {
	next := t.moved(at)
	next.Status, next.HeldFrom = status, ""
	if !withCSR(status) {
		next.Reserved = true
	} else if status == StatusNoStock {
		next.Reserved = false
	}
	s.commit(b, &change{Tickets: []*ticket{next}})
}

// split says into how many cartons a ticket goes, and whether they leave one by
// one: of the tickets that are split, odd ones into three, and two after two apart.
func split(n int64, every int) (cartons int, apart bool) {
	if every <= 0 || n%int64(every) != 0 {
		return 1, false
	}
	k := n / int64(every)
	return 2 + int(k%2), (k/2)%2 == 0
}

// plan divides what has not left over the cartons still to be sent, in line order.
func plan(t *ticket, every int) (packages []Package, apart bool) {
	rest := t.left()
	var total int64
	for _, u := range rest {
		total += u.Quantity
	}
	n, apart := split(t.N, every)
	cartons := min(max(1, int64(n-len(t.Cartons))), total)
	for i := range cartons {
		room := total*(i+1)/cartons - total*i/cartons
		p := Package{Items: map[string]int64{}}
		for room > 0 {
			take := min(room, rest[0].Quantity)
			p.Items[rest[0].UPC] += take
			room -= take
			if rest[0].Quantity -= take; rest[0].Quantity == 0 {
				rest = rest[1:]
			}
		}
		packages = append(packages, p)
	}
	return packages, apart
}

// shipPlanned sends the planned cartons: all of them, or the next one.
func (s *Simulator) shipPlanned(b *book, t *ticket, at time.Time) error {
	packages, apart := plan(t, s.progress.CartonsEvery)
	if apart && len(packages) > 1 {
		packages = packages[:1]
	}
	return s.ship(b, t, at, packages)
}

// ship sends cartons: their units leave the stock, and the ticket is shipped, in
// part while something is left.
func (s *Simulator) ship(b *book, t *ticket, at time.Time, packages []Package) error {
	next := t.moved(at)
	c := &change{Tickets: []*ticket{next}, Cartons: b.cartons}
	rest := t.left()
	sent := map[string]int64{}
	for _, p := range packages {
		items, err := take(&rest, p.Items)
		if err != nil {
			return err
		}
		c.Cartons++
		tracking := p.TrackingNumber
		if tracking == "" && !p.Untracked {
			tracking = b.tracking(t.Fields["ShipVia"], c.Cartons)
		}
		next.Cartons = append(next.Cartons, carton{ID: firstCarton + c.Cartons, Left: next.Updated, Tracking: tracking, Items: items})
		for _, u := range items {
			sent[u.UPC] += u.Quantity
		}
	}
	w := b.building(t.warehouse())
	for _, upc := range slices.Sorted(maps.Keys(sent)) {
		if w >= 0 { // goods that were found somewhere else leave no stock here
			onHand := max(0, b.levels(upc)[w].onHand-sent[upc])
			c.Stock = append(c.Stock, stockRecord{upc, b.Warehouses[w], onHand, next.Updated})
		}
	}
	next.Status, next.HeldFrom, next.Shipped = StatusPartiallyShipped, "", next.Updated
	if len(rest) == 0 {
		next.Status = StatusShippedComplete
	}
	s.commit(b, c)
	return nil
}

// closeShort ends a ticket of which a part has left: the rest never will.
func (s *Simulator) closeShort(b *book, t *ticket, at time.Time) error {
	if t.Status != StatusPartiallyShipped {
		return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
	}
	next := t.moved(at)
	next.Status, next.Reserved = StatusShippedComplete, false
	s.commit(b, &change{Tickets: []*ticket{next}})
	return nil
}

// relabel gives cartons another tracking number.
func (s *Simulator) relabel(b *book, t *ticket, at time.Time, tracking, with string) error {
	next := t.moved(at)
	found := false
	for i := range next.Cartons {
		if next.Cartons[i].Tracking == tracking {
			next.Cartons[i].Tracking, found = with, true
		}
	}
	if !found {
		return fmt.Errorf("tracking number %s: %w", tracking, ErrNotFound)
	}
	s.commit(b, &change{Tickets: []*ticket{next}})
	return nil
}

// take moves units from rest into a carton.
func take(rest *[]units, wanted map[string]int64) ([]units, error) {
	if len(*rest) == 0 {
		return nil, fmt.Errorf("%w: everything has left", ErrWrongStep)
	}
	if wanted == nil {
		all := *rest
		*rest = nil
		return all, nil
	}
	var items []units
	after := slices.Clone(*rest)
	for _, upc := range slices.Sorted(maps.Keys(wanted)) {
		i := slices.IndexFunc(after, func(u units) bool { return u.UPC == upc })
		if i < 0 || wanted[upc] <= 0 || wanted[upc] > after[i].Quantity {
			return nil, fmt.Errorf("%w: %d units of %s are not left in the ticket", ErrWrongStep, wanted[upc], upc)
		}
		items = append(items, units{upc, wanted[upc]})
		after[i].Quantity -= wanted[upc]
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: the carton holds nothing", ErrWrongStep)
	}
	*rest = slices.DeleteFunc(after, func(u units) bool { return u.Quantity == 0 })
	return items, nil
}

// cancel gives the stock back. The caller has seen that nothing left.
func (s *Simulator) cancel(b *book, t *ticket, at time.Time, byClient bool) {
	next := t.moved(at)
	next.Status, next.HeldFrom, next.Reserved, next.ByClient = StatusCancelled, "", false, byClient
	if next.Imported.IsZero() {
		next.Imported = at // it leaves the staging area as a cancelled ticket
	}
	s.commit(b, &change{Tickets: []*ticket{next}})
	s.recheck(b, at)
}

// step moves a ticket on by one: imported, along the usual path, its last step the
// departure (carton by carton where they leave apart), or off its hold.
func (s *Simulator) step(b *book, t *ticket, at time.Time) error {
	at = maxTime(at, t.Updated)
	switch i := slices.Index(path, t.Status); {
	case t.Failed != "":
		return fmt.Errorf("%w: the import failed: %s", ErrWrongStep, t.Failed)
	case t.Imported.IsZero():
		s.importTicket(b, t, at)
		return nil
	case t.Status == StatusPartiallyShipped, i == len(path)-2:
		return s.shipPlanned(b, t, at)
	case i >= 0 && i < len(path)-2:
		s.setStatus(b, t, path[i+1], at)
		return nil
	case withCSR(t.Status):
		return s.release(b, t, at)
	}
	return fmt.Errorf("%w: %s", ErrWrongStep, t.Status)
}

// hold gives a ticket of which nothing has left to customer service.
func (s *Simulator) hold(b *book, t *ticket, at time.Time) error {
	if t.Imported.IsZero() || withCSR(t.Status) || gone(t.Status) || len(t.Cartons) > 0 || t.Status == StatusCancelled {
		return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
	}
	next := t.moved(at)
	next.Status, next.HeldFrom = StatusOnHold, t.Status
	s.commit(b, &change{Tickets: []*ticket{next}})
	return nil
}

// release takes a ticket from customer service: back to where it was, or, for
// want of stock, once there is some.
func (s *Simulator) release(b *book, t *ticket, at time.Time) error {
	if !withCSR(t.Status) {
		return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
	}
	next := t.moved(at)
	switch {
	case t.HeldFrom != "":
		next.Status, next.HeldFrom = t.HeldFrom, ""
	case t.Reserved:
		next.Status = StatusNew
	case !b.enough(next):
		return fmt.Errorf("%w: there is not enough stock", ErrWrongStep)
	default:
		s.admit(b, next)
	}
	s.commit(b, &change{Tickets: []*ticket{next}})
	return nil
}

// ticketDue says when a ticket moves by itself.
func (s *Simulator) ticketDue(t *ticket) (time.Time, bool) {
	switch {
	case t.Failed != "":
	case t.Imported.IsZero():
		return t.Accepted.Add(s.progress.ImportAfter), !s.behaviour.ManualImports
	case t.Status == StatusNew:
		return t.Updated.Add(s.progress.PrintAfter), s.progress.PrintAfter > 0
	case t.Status == StatusPrinted, t.Status == StatusPartiallyShipped:
		return t.Updated.Add(s.progress.ShipAfter), s.progress.ShipAfter > 0
	}
	return time.Time{}, false
}

// settleTicket makes the timed moves of one ticket that are due, at the times when
// they were, and returns the ticket as it then is.
func (s *Simulator) settleTicket(b *book, t *ticket, now time.Time) *ticket {
	for {
		at, ok := s.ticketDue(t)
		if !ok || at.After(now) {
			return t
		}
		switch {
		case t.Imported.IsZero():
			s.importTicket(b, t, at)
		case t.Status == StatusNew:
			s.setStatus(b, t, StatusPrinted, at)
		default:
			if s.shipPlanned(b, t, at) != nil {
				return t
			}
		}
		t = b.tickets[t.N-1]
	}
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
