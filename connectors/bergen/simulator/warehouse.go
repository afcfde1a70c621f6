package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The methods here are what people at the warehouse do. They take effect, and
// reach the journal, before they return.

// AddProduct puts a product in the style master of every account, or changes it.
func (s *Simulator) AddProduct(p Product) error { return s.addProduct("", p) }

func (s *Simulator) addProduct(account string, p Product) error {
	if p.UPC == "" {
		return errors.New("add product: give it a UPC")
	}
	return s.inBooks(account, "add product "+p.UPC, func(b *book, now time.Time) error {
		next := product{Product: p, Live: true}
		if old := b.products[p.UPC]; old != nil {
			if next.N = old.N; old.Live && old.Product == p && old.Queued == nil {
				return nil
			}
		} else {
			next.N = int64(len(b.products)) + 1
		}
		s.commit(b, &change{Products: []*product{&next}})
		return nil
	})
}

// SetStock says how many units of a UPC physically lie in a warehouse ("BERGEN
// LOGISTICS NJ2", "NJ2"; "" is an account's first), in every account that has both.
// Tickets keep what they were promised, and those that wait for stock may get it.
func (s *Simulator) SetStock(upc, warehouse string, quantity int64) error {
	return s.setStock("", upc, warehouse, quantity)
}

func (s *Simulator) setStock(account, upc, warehouse string, quantity int64) error {
	if quantity < 0 {
		return fmt.Errorf("set stock: %d units: not less than nothing", quantity)
	}
	found := false
	verb := fmt.Sprintf("set stock of %q at %q", upc, warehouse)
	err := s.inBooks(account, verb, func(b *book, now time.Time) error {
		w := b.building(warehouse)
		if w < 0 || b.live(upc) == nil {
			return nil
		}
		found = true
		s.commit(b, &change{Stock: []stockRecord{{upc, b.Warehouses[w], quantity, now}}})
		s.recheck(b, now)
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%s: product or warehouse: %w", verb, ErrNotFound)
	}
	return err
}

// inBooks acts on an account's book, or with "" on all.
func (s *Simulator) inBooks(account, verb string, act func(*book, time.Time) error) error {
	s.mu.Lock()
	now := s.now()
	for s.settle(now) {
	}
	err := fmt.Errorf("account %q: %w", account, ErrNotFound)
	for _, b := range s.books {
		if account == "" || b.Prefix == account {
			if err = act(b, now); err != nil {
				break
			}
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return s.journal.Flush()
}

// onTicket lets a person act on the newest ticket of a number. With the prefix the
// number says which account's; without it the first account's that has it.
func (s *Simulator) onTicket(number, verb string, act func(*book, *ticket, time.Time) error) error {
	s.mu.Lock()
	now := s.now()
	err := ErrNotFound
	if b, t := s.find(number, now); t != nil {
		err = act(b, t, maxTime(now, t.Updated))
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s ticket %s: %w", verb, number, err)
	}
	return s.journal.Flush()
}

// find looks a number up in all books, its timed moves made.
func (s *Simulator) find(number string, now time.Time) (*book, *ticket) {
	prefixed := func(b *book) bool { return strings.HasPrefix(number, b.Prefix) }
	books := slices.Clone(s.books)
	slices.SortStableFunc(books, func(x, y *book) int {
		switch {
		case prefixed(x) && !prefixed(y):
			return -1
		case prefixed(y) && !prefixed(x):
			return 1
		}
		return 0
	})
	for _, b := range books {
		if t := b.find(number); t != nil {
			return b, s.settleTicket(b, t, now)
		}
	}
	return nil, nil
}

// Step moves a ticket on by one: imported, along the usual path of statuses, its
// last step the departure (carton by carton where Progress.CartonsEvery lets them
// leave apart), or off its hold.
func (s *Simulator) Step(number string) error { return s.onTicket(number, "step", s.step) }

// Ship sends cartons of a ticket, however far the warehouse has got with it.
// Without packages everything that has not left goes in one.
func (s *Simulator) Ship(number string, packages ...Package) error {
	if len(packages) == 0 {
		packages = []Package{{}}
	}
	return s.onTicket(number, "ship", func(b *book, t *ticket, now time.Time) error {
		if t.Imported.IsZero() || t.Status == StatusCancelled || withCSR(t.Status) {
			return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
		}
		return s.ship(b, t, now, packages)
	})
}

// CloseShort ends a ticket of which a part has left: the rest never will.
func (s *Simulator) CloseShort(number string) error {
	return s.onTicket(number, "close", s.closeShort)
}

// Relabel gives the cartons with a tracking number another.
func (s *Simulator) Relabel(number, tracking, with string) error {
	return s.onTicket(number, "relabel", func(b *book, t *ticket, now time.Time) error { return s.relabel(b, t, now, tracking, with) })
}

// CancelAtWarehouse cancels a ticket of which nothing has left, also a picked one.
func (s *Simulator) CancelAtWarehouse(number string) error {
	return s.onTicket(number, "cancel", func(b *book, t *ticket, now time.Time) error {
		if t.Failed != "" || t.Status == StatusCancelled || len(t.Cartons) > 0 {
			return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
		}
		s.cancel(b, t, now, false)
		return nil
	})
}

// Hold gives a ticket of which nothing has left to customer service; Step or
// Release takes it back.
func (s *Simulator) Hold(number string) error { return s.onTicket(number, "hold", s.hold) }

// Release takes a ticket from customer service, one without stock if there now is some.
func (s *Simulator) Release(number string) error { return s.onTicket(number, "release", s.release) }

// SetStatus gives an imported ticket any status of the service's enumeration; see
// Statuses. One that tells of a departure sends first what has not left.
func (s *Simulator) SetStatus(number, status string) error {
	return s.onTicket(number, "set status of", func(b *book, t *ticket, now time.Time) error {
		if _, known := codes[status]; !known {
			return fmt.Errorf("status %q: %w: it is none of %q", status, ErrNotFound, Statuses())
		}
		switch {
		case t.Imported.IsZero() || t.Status == StatusCancelled:
			return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
		case status == StatusCancelled && len(t.Cartons) == 0:
			s.cancel(b, t, now, false)
			return nil
		case status == StatusCancelled, !gone(status) && len(t.Cartons) > 0 && status != StatusPartiallyShipped:
			return fmt.Errorf("%w: something has left", ErrWrongStep)
		case status == StatusPartiallyShipped && len(t.Cartons) == 0:
			return fmt.Errorf("%w: nothing has left: ship a part", ErrWrongStep)
		case gone(status) && len(t.left()) > 0:
			if err := s.ship(b, t, now, []Package{{}}); err != nil {
				return err
			}
			t = b.tickets[t.N-1]
		}
		if t.Status != status {
			s.setStatus(b, t, status, now)
		}
		return nil
	})
}

// FailImport makes the import of a staged ticket fail.
func (s *Simulator) FailImport(number, reason string) error {
	return s.onTicket(number, "fail import of", func(b *book, t *ticket, now time.Time) error {
		if !t.Imported.IsZero() || t.Failed != "" {
			return fmt.Errorf("%w: %s", ErrWrongStep, t.shownState())
		}
		next := t.moved(now)
		if next.Failed = reason; reason == "" {
			next.Failed = "the ticket is not valid"
		}
		s.commit(b, &change{Tickets: []*ticket{next}})
		return nil
	})
}

// SetBehaviour replaces the switches.
func (s *Simulator) SetBehaviour(b Behaviour) error {
	if err := b.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := s.now(); s.settle(now); {
	}
	s.behaviour = b
	s.reschedule()
	return nil
}

// Behaviour returns the switches as they are.
func (s *Simulator) Behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behaviour
}

// SetProgress changes how tickets move by themselves, also those that are there.
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

// Progress returns how tickets move by themselves.
func (s *Simulator) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}
