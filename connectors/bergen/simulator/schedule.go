package simulator

import "time"

// mover is what may move by itself: a ticket, or a queued product.
type mover struct {
	book   *book
	ticket int64  // N, or 0
	upc    string // of a queued product, or ""
}

// settle makes timed moves that are due, but only some at a time: a ticket that is
// asked for by number is always settled. It reports whether more are waiting.
func (s *Simulator) settle(now time.Time) bool {
	return s.alarms.Settle(now, func(m mover) {
		if m.ticket > 0 {
			s.settleTicket(m.book, m.book.tickets[m.ticket-1], now)
		} else {
			s.settleProduct(m.book, m.upc, now)
		}
	})
}

func (s *Simulator) scheduleTicket(b *book, t *ticket) {
	if at, ok := s.ticketDue(t); ok {
		s.alarms.Set(at, mover{book: b, ticket: t.N})
	}
}

func (s *Simulator) scheduleProduct(b *book, p *product) {
	if at, ok := s.productDue(p); ok {
		s.alarms.Set(at, mover{book: b, upc: p.UPC})
	}
}

// reschedule begins afresh, after the books were read or Progress changed.
func (s *Simulator) reschedule() {
	s.alarms.Clear()
	for _, b := range s.books {
		for _, t := range b.tickets {
			s.scheduleTicket(b, t)
		}
		for _, p := range b.products {
			s.scheduleProduct(b, p)
		}
	}
}

// tick makes timed moves while no requests come.
func (s *Simulator) tick() {
	for more := true; more; {
		s.mu.Lock()
		more = s.settle(s.now())
		s.mu.Unlock()
	}
	_ = s.journal.Flush() // the next request reports it
}
