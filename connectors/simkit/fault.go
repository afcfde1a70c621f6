package simkit

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// FaultKind says what goes wrong with a request. A simulator may have kinds of its
// own beside these.
type FaultKind string

// The kinds that vendors have in common. Those whose name begins with
// "commit_then" do what was asked first, as do the broken and empty answers: the
// client cannot know.
const (
	CommitThenTimeout FaultKind = "commit_then_timeout" // no answer until the client leaves, or the fault's delay has passed
	CommitThenDrop    FaultKind = "commit_then_drop"    // the connection ends instead of an answer
	CommitThen500     FaultKind = "commit_then_500"
	CommitThen502     FaultKind = "commit_then_html_502"
	CommitThen200     FaultKind = "commit_then_html_200"
	BrokenJSON        FaultKind = "broken_json" // half a body
	BrokenXML         FaultKind = "broken_xml"  // half a body
	Empty2xx          FaultKind = "empty_2xx"   // 2xx with no body
	TimeoutNoCommit   FaultKind = "timeout_without_commit"
	Error500          FaultKind = "500_without_commit"
	Error503          FaultKind = "503"
	Error429          FaultKind = "429"      // with a delay
	Error429Bare      FaultKind = "429_bare" // without one
	HTML502           FaultKind = "html_502"
	HTML200           FaultKind = "html_200"     // a page for people instead of an answer
	Redirect          FaultKind = "redirect"     // to where nobody takes anything
	WordsQuoted       FaultKind = "words_quoted" // a refusal that says Quote
	ResetBefore       FaultKind = "reset_before_commit"
	Error401          FaultKind = "401"
	Error402          FaultKind = "402"
	Error403          FaultKind = "403"
	Slow              FaultKind = "slow" // the fault's delay, then all is well
	// These befall only pages after a list's first, which are answered well and yet wrongly.
	RepeatedPage FaultKind = "repeated_page" // the page before comes again
	ShiftedPage  FaultKind = "shifted_page"  // every row one place further down, as though one had come in front
)

// NeedsPages reports whether the fault befalls only pages after a list's first.
func (k FaultKind) NeedsPages() bool { return k == RepeatedPage || k == ShiftedPage }

// Odds say which of the requests that a fault is meant for it befalls.
type Odds struct {
	Skip  int     // so many pass first
	Count int     // it befalls so many and is over; 0 means no end
	Rate  float64 // the chance of each, from 0 to 1, by seeded dice; 0 means always
}

// OrOnce makes odds that say neither how often nor how likely mean one request.
func (o Odds) OrOnce() Odds {
	if o.Count == 0 && o.Rate == 0 {
		o.Count = 1
	}
	return o
}

const (
	defaultDelay = 30 * time.Second
	longestDelay = 10 * time.Minute
)

// FaultDelay bounds how long a fault takes: 0 means 30 seconds, and ten minutes
// are the most.
func FaultDelay(asked time.Duration) time.Duration {
	if asked == 0 {
		return defaultDelay
	}
	return min(asked, longestDelay)
}

// Faults are the faults that were injected, each with its odds and its own seeded
// dice. F is the vendor's own fault: its kind, and the requests it is meant for.
// They are safe for concurrent use.
type Faults[F any] struct {
	seed uint64

	mu    sync.Mutex
	dealt uint64 // faults ever injected: the next one's dice
	armed []*armedFault[F]
}

type armedFault[F any] struct {
	fault F
	odds  Odds
	dice  *rand.Rand
}

// NewFaults has no faults yet.
func NewFaults[F any](seed int64) *Faults[F] { return &Faults[F]{seed: uint64(seed)} }

// Inject arms a fault.
func (f *Faults[F]) Inject(fault F, odds Odds) error {
	if odds.Skip < 0 || odds.Count < 0 || odds.Rate < 0 || odds.Rate > 1 {
		return errors.New("the numbers of a fault are at least 0, its rate at most 1")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dealt++
	f.armed = append(f.armed, &armedFault[F]{fault, odds, rand.New(rand.NewPCG(f.seed, f.dealt))})
	return nil
}

// Pick returns the fault that befalls a request: of those meant for it the first
// whose odds say so.
func (f *Faults[F]) Pick(meant func(F) bool) (fault F, found bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.armed {
		if !meant(a.fault) {
			continue
		}
		if a.odds.Skip > 0 {
			a.odds.Skip--
			continue
		}
		if a.odds.Rate > 0 && a.dice.Float64() >= a.odds.Rate {
			continue
		}
		if a.odds.Count > 0 {
			if a.odds.Count--; a.odds.Count == 0 {
				f.armed = append(f.armed[:i:i], f.armed[i+1:]...)
			}
		}
		return a.fault, true
	}
	return fault, false
}

// All yields the faults that may still happen, with what is left of their odds.
func (f *Faults[F]) All(yield func(F, Odds) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.armed {
		if !yield(a.fault, a.odds) {
			return
		}
	}
}

// Clear disarms all faults.
func (f *Faults[F]) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = nil
}
