package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind string

// The faults. Those whose name begins with "commit_then" do what was asked first,
// as do BrokenXML and Empty2xx: the client cannot know.
const (
	CommitThenTimeout FaultKind = "commit_then_timeout" // no answer until the client leaves, or Delay has passed
	CommitThenDrop    FaultKind = "commit_then_drop"    // the connection ends instead of an answer
	CommitThen500     FaultKind = "commit_then_500"     // a soap:Server fault
	CommitThen502     FaultKind = "commit_then_html_502"
	BrokenXML         FaultKind = "broken_xml" // 200 with half a body
	Empty2xx          FaultKind = "empty_2xx"  // 200 with no body
	TimeoutNoCommit   FaultKind = "timeout_without_commit"
	Error500          FaultKind = "500_without_commit" // a soap:Server fault
	ClientFault       FaultKind = "soap_client_fault"  // a soap:Client fault, nothing done
	Error503          FaultKind = "503"
	Error429          FaultKind = "429"      // with Retry-After: RetryAfter
	Error429Bare      FaultKind = "429_bare" // without Retry-After
	HTML502           FaultKind = "html_502"
	HTML200           FaultKind = "html_200" // a page for people instead of an answer
	ResetBefore       FaultKind = "reset_before_commit"
	Error401          FaultKind = "401"
	Error403          FaultKind = "403"
	BadToken          FaultKind = "bad_token" // as though the token had ended; not for AuthenticationTokenGet
	Slow              FaultKind = "slow"      // Delay, then all is well
	// These befall only batches after the first, which are answered well and yet wrongly.
	RepeatedBatch FaultKind = "repeated_batch" // the batch before comes again
	ShiftedBatch  FaultKind = "shifted_batch"  // every row one place further down, as though one had come in front
)

const (
	defaultFaultDelay = 30 * time.Second
	maxFaultDelay     = 10 * time.Minute
	defaultRetryAfter = 1 // second
	everyOperation    = "*"
)

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{CommitThenTimeout, CommitThenDrop, CommitThen500, CommitThen502, BrokenXML, Empty2xx, TimeoutNoCommit, Error500,
		ClientFault, Error503, Error429, Error429Bare, HTML502, HTML200, ResetBefore, Error401, Error403, BadToken, Slow, RepeatedBatch, ShiftedBatch}
}

// Fault breaks calls of an operation.
type Fault struct {
	Operation string // PickTicketAdd and so on, or "*" for all
	Kind      FaultKind
	Account   string // prefix; "" for all, and for calls without a good token
	// Count is how many calls it hits. With neither Count nor Rate it hits one;
	// with a Rate and no Count it never ends.
	Count int
	// Rate is the chance, from 0 to 1, that it hits a call; 0 means always.
	Rate float64
	// Skip lets so many calls of the operation pass first.
	Skip int
	// Delay is how long Slow and the timeouts take; 0 means 30 seconds.
	Delay time.Duration
	// RetryAfter is in seconds; 0 means 1.
	RetryAfter int
}

type armedFault struct {
	Fault
	endless bool
	chance  *rand.Rand
}

// Inject arms a fault. Of several that fit a call the first one hits.
func (s *Simulator) Inject(f Fault) error {
	if err := s.checkFault(&f); err != nil {
		return fmt.Errorf("inject fault: %w", err)
	}
	f.Delay = min(f.Delay, maxFaultDelay)
	if f.Delay == 0 {
		f.Delay = defaultFaultDelay
	}
	if f.RetryAfter == 0 {
		f.RetryAfter = defaultRetryAfter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed++
	a := &armedFault{Fault: f, chance: rand.New(rand.NewPCG(uint64(s.seed), uint64(s.armed)))}
	if f.Count == 0 {
		a.Count, a.endless = 1, f.Rate > 0
	}
	s.faults = append(s.faults, a)
	return nil
}

func (s *Simulator) checkFault(f *Fault) error {
	if f.Operation != everyOperation && operationNamed(f.Operation) == nil {
		return fmt.Errorf("unknown operation %q: name one of the service's, or * for all", f.Operation)
	}
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("unknown kind %q: it is none of %q", f.Kind, FaultKinds())
	}
	if f.Account != "" && s.book(f.Account) == nil {
		return fmt.Errorf("unknown account %q", f.Account)
	}
	if f.Count < 0 || f.Skip < 0 || f.Delay < 0 || f.RetryAfter < 0 || f.Rate < 0 || f.Rate > 1 {
		return errors.New("numbers are at least 0, the rate at most 1")
	}
	return nil
}

// ClearFaults disarms all faults.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// befalls says whether the kind makes sense for a call.
func (k FaultKind) befalls(c *call) bool {
	switch k {
	case RepeatedBatch, ShiftedBatch:
		n, f := c.batchNumber()
		return f == nil && n > c.behaviour.firstBatch() && c.args.kid(methods, "batchNumber") != nil
	case BadToken:
		return c.op.token != ""
	}
	return true
}

// faultFor picks the fault that hits this call, if any, and counts it.
func (s *Simulator) faultFor(c *call) *Fault {
	account := ""
	if c.book != nil {
		account = c.book.Prefix
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.faults {
		if (a.Operation != everyOperation && a.Operation != c.op.name) || (a.Account != "" && a.Account != account) || !a.Kind.befalls(c) {
			continue
		}
		if a.Skip > 0 {
			a.Skip--
			continue
		}
		if a.Rate > 0 && a.chance.Float64() >= a.Rate {
			continue
		}
		if !a.endless {
			if a.Count--; a.Count == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		s.stats.Faults[string(a.Kind)]++
		return new(a.Fault)
	}
	return nil
}

// before plays the faults that come before anything is done. It reports whether
// the call goes on.
func (s *Simulator) before(w http.ResponseWriter, c *call, f *Fault) bool {
	refuse := func(rep reply) bool {
		s.write(w, c.op, rep)
		return false
	}
	html := func(status int, title string) bool { return refuse(reply{status, "text/html", []byte(page(title))}) }
	switch f.Kind {
	case Slow:
		return s.linger(c.request, f.Delay) || s.drop(c.op)
	case TimeoutNoCommit:
		s.linger(c.request, f.Delay)
		return s.drop(c.op)
	case ResetBefore:
		s.reset(w, c.op)
		return false
	case Error500:
		return refuse(faultReply(thrown("Timeout expired.")))
	case ClientFault:
		return refuse(faultReply(unreadable("There is an error in XML document (1, 1).")))
	case Error503:
		return html(http.StatusServiceUnavailable, "Service Unavailable")
	case Error429:
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		return html(http.StatusTooManyRequests, "Too Many Requests")
	case Error429Bare:
		return html(http.StatusTooManyRequests, "Too Many Requests")
	case HTML502:
		return html(http.StatusBadGateway, "502 Bad Gateway")
	case HTML200:
		return html(http.StatusOK, "Down for maintenance")
	case Error401:
		return html(http.StatusUnauthorized, "401 - Unauthorized: Access is denied due to invalid credentials.")
	case Error403:
		return html(http.StatusForbidden, "403 - Forbidden: Access is denied.")
	case BadToken:
		c.book = nil
	case RepeatedBatch, ShiftedBatch:
		c.fault = f.Kind
	}
	return true
}

// back is by how many rows a faulty batch begins too early.
func (c *call) back(size int) int {
	switch c.fault {
	case RepeatedBatch:
		return size
	case ShiftedBatch:
		return 1
	}
	return 0
}

// after plays the faults that come once it is done. It reports whether rep is
// still to be written.
func (s *Simulator) after(w http.ResponseWriter, c *call, f *Fault, rep *reply) bool {
	switch f.Kind {
	case CommitThenTimeout:
		s.linger(c.request, f.Delay)
		return s.drop(c.op)
	case CommitThenDrop:
		return s.drop(c.op)
	case CommitThen500:
		*rep = faultReply(thrown("Timeout expired."))
	case CommitThen502:
		*rep = reply{http.StatusBadGateway, "text/html", []byte(page("502 Bad Gateway"))}
	case BrokenXML:
		rep.body = rep.body[:len(rep.body)/2]
	case Empty2xx:
		*rep = reply{http.StatusOK, xmlType, nil}
	}
	return true
}

// linger waits; it reports false if the client left or the simulator was closed.
func (s *Simulator) linger(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.done:
	}
	return false
}

// drop ends the connection without an answer.
func (s *Simulator) drop(op *operation) bool {
	s.mu.Lock()
	s.stats.answered(op, 0)
	s.mu.Unlock()
	panic(http.ErrAbortHandler) // net/http's own way to cut a connection
}

// reset ends the connection so that the client sees a reset.
func (s *Simulator) reset(w http.ResponseWriter, op *operation) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.drop(op) // HTTP/2, or a recorder in a test
	}
	s.mu.Lock()
	s.stats.answered(op, 0)
	s.mu.Unlock()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
