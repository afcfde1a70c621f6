package simkit

import (
	"sync"
	"time"
)

// Life is a simulator's time between New and Close. NewLife makes one.
type Life struct {
	ended chan struct{}
	once  sync.Once
	wait  sync.WaitGroup
}

// NewLife begins a life.
func NewLife() *Life { return &Life{ended: make(chan struct{})} }

// Ended is closed when the life ends.
func (l *Life) Ended() <-chan struct{} { return l.ended }

// Go runs f beside the requests. f returns soon after the life ends.
func (l *Life) Go(f func()) { l.wait.Go(f) }

// tickEvery is how late a timed move may be when nobody asks.
const tickEvery = 200 * time.Millisecond

// Tick calls settle five times a second, beside the requests, until the life ends.
func (l *Life) Tick(settle func()) {
	l.Go(func() {
		ticker := time.NewTicker(tickEvery)
		defer ticker.Stop()
		for {
			select {
			case <-l.ended:
				return
			case <-ticker.C:
				settle()
			}
		}
	})
}

// End ends open answers and background work, and waits for the latter. Ending
// again does nothing.
func (l *Life) End() {
	l.once.Do(func() { close(l.ended) })
	l.wait.Wait()
}
