package simulator

import (
	"container/heap"
	"time"
)

// alarm is when something may move by itself. An alarm whose order has moved
// otherwise in the meantime does nothing.
type alarm struct {
	at   time.Time
	mode Mode
	id   string // order or tracker
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

// settleBatch bounds how many timed moves one request pays for. An order that is
// asked for by id is always settled.
const settleBatch = 500

// settle makes timed moves that are due. It reports whether more are waiting.
func (s *Simulator) settle(now time.Time) bool {
	for range settleBatch {
		if len(s.alarms) == 0 || s.alarms[0].at.After(now) {
			return false
		}
		a := heap.Pop(&s.alarms).(alarm)
		b := s.books[a.mode]
		if b.trackers[a.id] != nil {
			s.settleTracker(b, a.id, now)
		} else {
			s.settleOrder(b, a.id, now)
		}
	}
	return true
}

func (s *Simulator) scheduleOrder(b *book, o *order) {
	if at, ok := s.orderDue(o); ok {
		heap.Push(&s.alarms, alarm{at, b.mode, o.ID})
	}
}

func (s *Simulator) scheduleTracker(b *book, t *tracker) {
	if at, ok := s.trackerDue(t); ok {
		heap.Push(&s.alarms, alarm{at, b.mode, t.ID})
	}
}

// reschedule begins afresh, after the books were read or Progress changed.
func (s *Simulator) reschedule() {
	s.alarms = nil
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

// tickEvery is how late a timed move may be when nobody asks.
const tickEvery = 200 * time.Millisecond

// tick makes timed moves, and so sends webhooks, while no requests come.
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
