package simkit

import (
	"maps"
	"sync"
)

// Counts are of requests, since the simulator began.
type Counts struct {
	Total    int64            `json:"total"`    // requests, also refused ones
	Requests map[string]int64 `json:"requests"` // answered ones, or cut off, by the name of what was asked for
	Statuses map[int]int64    `json:"statuses"` // HTTP statuses; 0 stands for no answer
	Faults   map[string]int64 `json:"faults"`   // by kind
}

// Tally keeps Counts. It is safe for concurrent use.
type Tally struct {
	mu     sync.Mutex
	counts Counts
}

// NewTally stands at nothing.
func NewTally() *Tally {
	return &Tally{counts: Counts{Requests: map[string]int64{}, Statuses: map[int]int64{}, Faults: map[string]int64{}}}
}

// Begin counts a request that came in, and returns its number, from 1.
func (t *Tally) Begin() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Total++
	return t.counts.Total
}

// Answered counts an answer, or with status 0 that there was none. name is what was
// asked for; "" if nothing that there is.
func (t *Tally) Answered(name string, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name != "" {
		t.counts.Requests[name]++
	}
	t.counts.Statuses[status]++
}

// Befell counts a fault.
func (t *Tally) Befell(k FaultKind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Faults[string(k)]++
}

// Counts returns a copy.
func (t *Tally) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.counts
	out.Requests, out.Statuses, out.Faults = maps.Clone(out.Requests), maps.Clone(out.Statuses), maps.Clone(out.Faults)
	return out
}
