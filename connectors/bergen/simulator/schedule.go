package simulator

import (
	"container/heap"
	"time"
)

// alarm is when something may move by itself. An alarm whose ticket or product has
// moved otherwise in the meantime does nothing.
type alarm struct {
	at     time.Time
	book   *book
	ticket int64  // N, or 0
	upc    string // of a queued product, or ""
}

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }
func (a *alarms) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

func (s *Simulator) alarm(at time.Time, b *book, ticket int64, upc string) {
	heap.Push(&s.alarms, alarm{at, b, ticket, upc})
}

// settleBatch bounds how many timed moves one request pays for. A ticket that is
// asked for by number is always settled.
const settleBatch = 500

// settle makes timed moves that are due. It reports whether more are waiting.
func (s *Simulator) settle(now time.Time) bool {
	for range settleBatch {
		if len(s.alarms) == 0 || s.alarms[0].at.After(now) {
			return false
		}
		a := heap.Pop(&s.alarms).(alarm)
		if a.ticket > 0 {
			s.settleTicket(a.book, a.book.tickets[a.ticket-1], now)
		} else {
			s.settleProduct(a.book, a.upc, now)
		}
	}
	return true
}

// reschedule begins afresh, after the books were read or Progress changed.
func (s *Simulator) reschedule() {
	s.alarms = nil
	for _, b := range s.books {
		for _, t := range b.tickets {
			if at, ok := s.ticketDue(t); ok {
				s.alarm(at, b, t.N, "")
			}
		}
		for _, p := range b.products {
			if at, ok := s.productDue(p); ok {
				s.alarm(at, b, 0, p.UPC)
			}
		}
	}
}

// tickEvery is how late a timed move may be when nobody asks.
const tickEvery = 200 * time.Millisecond

// tick makes timed moves while no requests come.
func (s *Simulator) tick() {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-ticker.C:
		}
		for more := true; more; {
			s.mu.Lock()
			more = s.settle(s.now())
			s.mu.Unlock()
		}
		_ = s.journal.flush() // the next request reports it
	}
}
