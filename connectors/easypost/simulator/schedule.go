package simulator

import "time"

// mover is an order or a tracker that may move by itself.
type mover struct {
	mode Mode
	id   string
}

// settle makes timed moves that are due, but only some at a time: an order that is
// asked for by id is always settled. It reports whether more are waiting.
func (s *Simulator) settle(now time.Time) bool {
	return s.alarms.Settle(now, func(m mover) {
		b := s.books[m.mode]
		if b.trackers[m.id] != nil {
			s.settleTracker(b, m.id, now)
		} else {
			s.settleOrder(b, m.id, now)
		}
	})
}

func (s *Simulator) scheduleOrder(b *book, o *order) {
	if at, ok := s.orderDue(o); ok {
		s.alarms.Set(at, mover{b.mode, o.ID})
	}
}

func (s *Simulator) scheduleTracker(b *book, t *tracker) {
	if at, ok := s.trackerDue(t); ok {
		s.alarms.Set(at, mover{b.mode, t.ID})
	}
}

// reschedule begins afresh, after the books were read or Progress changed.
func (s *Simulator) reschedule() {
	s.alarms.Clear()
	for _, m := range modes() {
		b := s.books[m]
		for _, o := range b.byNewest.rows {
			s.scheduleOrder(b, o)
		}
		for _, t := range b.parcels.rows {
			s.scheduleTracker(b, t)
		}
	}
}

// tick makes timed moves, and so sends webhooks, while no requests come.
func (s *Simulator) tick() {
	for more := true; more; {
		s.mu.Lock()
		more = s.settle(s.now())
		s.mu.Unlock()
	}
	_ = s.journal.Flush() // the next request reports it
}
