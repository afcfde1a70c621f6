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
// as do BrokenJSON and Empty2xx: the client cannot know.
const (
	CommitThenTimeout FaultKind = "commit_then_timeout" // no answer until the client leaves, or Delay has passed
	CommitThenDrop    FaultKind = "commit_then_drop"    // the connection ends instead of an answer
	CommitThen500     FaultKind = "commit_then_500"
	CommitThen502     FaultKind = "commit_then_html_502"
	BrokenJSON        FaultKind = "broken_json" // 2xx with half a body
	Empty2xx          FaultKind = "empty_2xx"   // 2xx with no body
	TimeoutNoCommit   FaultKind = "timeout_without_commit"
	Error500          FaultKind = "500_without_commit"
	Error503          FaultKind = "503"
	Error429          FaultKind = "429"      // with Retry-After: RetryAfter
	Error429Bare      FaultKind = "429_bare" // without Retry-After
	HTML502           FaultKind = "html_502"
	ResetBefore       FaultKind = "reset_before_commit"
	Error401          FaultKind = "401"
	Error402          FaultKind = "402"
	Error403          FaultKind = "403"
	Slow              FaultKind = "slow" // Delay, then all is well
	// These befall only pages after a list's first, which are answered well and yet wrongly.
	RepeatedPage FaultKind = "repeated_page" // the page before comes again
	ShiftedPage  FaultKind = "shifted_page"  // every row one place further down, as though one had come in front
)

const (
	defaultFaultDelay = 30 * time.Second
	maxFaultDelay     = 10 * time.Minute
	defaultRetryAfter = 1 // second
	everyRoute        = "*"
)

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{CommitThenTimeout, CommitThenDrop, CommitThen500, CommitThen502, BrokenJSON, Empty2xx,
		TimeoutNoCommit, Error500, Error503, Error429, Error429Bare, HTML502, ResetBefore, Error401, Error402, Error403, Slow, RepeatedPage, ShiftedPage}
}

// Fault breaks requests of a route.
type Fault struct {
	// Route is create_order, get_order, list_orders, update_order, delete_order,
	// inventories, products, warehouses, trackers, addresses, webhooks, inbound,
	// returns, or "*" for all.
	Route string
	Kind  FaultKind
	Mode  Mode // "" for both
	// Count is how many requests it hits. With neither Count nor Rate it hits one;
	// with a Rate and no Count it never ends.
	Count int
	// Rate is the chance, from 0 to 1, that it hits a request; 0 means always.
	Rate float64
	// Skip lets so many requests of the route pass first.
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

// Inject arms a fault. Of several that fit a request the first one hits.
func (s *Simulator) Inject(f Fault) error {
	if err := f.check(s.routes); err != nil {
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
	a := &armedFault{Fault: f, chance: rand.New(rand.NewPCG(uint64(s.seed), uint64(s.armed)+1))}
	if f.Count == 0 {
		a.Count, a.endless = 1, f.Rate > 0
	}
	s.faults = append(s.faults, a)
	return nil
}

func (f *Fault) check(routes []route) error {
	if f.Route != everyRoute && !slices.ContainsFunc(routes, func(r route) bool { return r.Name == f.Route }) {
		return fmt.Errorf("unknown route %q", f.Route)
	}
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("unknown kind %q", f.Kind)
	}
	if f.Mode != "" && f.Mode != Production && f.Mode != Test {
		return fmt.Errorf("unknown mode %q", f.Mode)
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

// needsPages reports whether the fault befalls only pages after a list's first.
func (k FaultKind) needsPages() bool { return k == RepeatedPage || k == ShiftedPage }

// faultFor picks the fault that hits this request, if any, and counts it. later
// says that the request is for a page after a list's first.
func (s *Simulator) faultFor(route string, mode Mode, later bool) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.faults {
		if (a.Route != everyRoute && a.Route != route) || (a.Mode != "" && a.Mode != mode) || (a.Kind.needsPages() && !later) {
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
// the request goes on.
func (s *Simulator) before(w http.ResponseWriter, c *call, f *Fault, form ErrorForm, found *route) bool {
	refuse := func(p *problem) bool {
		s.write(w, found, problemReply(p, form))
		return false
	}
	switch f.Kind {
	case Slow:
		return s.linger(c.request, f.Delay) || s.drop(found)
	case TimeoutNoCommit:
		s.linger(c.request, f.Delay)
		return s.drop(found)
	case ResetBefore:
		s.reset(w, found)
		return false
	case Error500:
		return refuse(internalError())
	case Error503:
		return refuse(&problem{Status: 503, Code: "SERVICE.UNAVAILABLE", Message: "The service is not available. Try again later."})
	case Error429:
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		return refuse(rateLimited())
	case Error429Bare:
		return refuse(rateLimited())
	case HTML502:
		s.write(w, found, badGateway())
		return false
	case Error401:
		return refuse(&problem{Status: 401, Code: "UNAUTHORIZED", Message: "Authentication is required."})
	case Error402:
		return refuse(&problem{Status: 402, Code: "PAYMENT_REQUIRED", Message: "The account has a billing problem."})
	case Error403:
		return refuse(inactiveKey())
	case RepeatedPage:
		c.turnBack(func(n int) int { return n })
	case ShiftedPage:
		c.turnBack(func(int) int { return 1 })
	}
	return true
}

// later reports whether the request is for a page after a list's first.
func (c *call) later() bool {
	skip, _ := c.behaviour.page(c.request.URL.Query())
	return c.request.Method == http.MethodGet && skip > 0
}

// turnBack has a list begin earlier than was asked for, by as many rows as rows
// says of a page's length.
func (c *call) turnBack(rows func(n int) int) {
	q := c.request.URL.Query()
	skip, n := c.behaviour.page(q)
	q.Set("offset", strconv.Itoa(max(0, skip-rows(n))))
	q.Del("page")
	c.request.URL.RawQuery = q.Encode()
}

// after plays the faults that come once it is done. It reports whether rep is
// still to be written.
func (s *Simulator) after(w http.ResponseWriter, c *call, f *Fault, form ErrorForm, found *route, rep *reply) bool {
	switch f.Kind {
	case CommitThenTimeout:
		s.linger(c.request, f.Delay)
		return s.drop(found)
	case CommitThenDrop:
		return s.drop(found)
	case CommitThen500:
		*rep = problemReply(internalError(), form)
	case CommitThen502:
		*rep = badGateway()
	case BrokenJSON:
		rep.body = rep.body[:len(rep.body)/2]
	case Empty2xx:
		rep.body = nil
	}
	return true
}

func internalError() *problem {
	return &problem{Status: 500, Code: "INTERNAL_SERVER_ERROR", Message: "Something went wrong on our side."}
}

func rateLimited() *problem {
	return &problem{Status: 429, Code: "RATE_LIMITED", Message: "Too many requests."}
}

func badGateway() reply {
	return reply{502, "text/html", []byte("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n")}
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
func (s *Simulator) drop(found *route) bool {
	s.mu.Lock()
	s.stats.answered(found, 0)
	s.mu.Unlock()
	panic(http.ErrAbortHandler) // net/http's own way to cut a connection
}

// reset ends the connection so that the client sees a reset.
func (s *Simulator) reset(w http.ResponseWriter, found *route) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.drop(found) // HTTP/2, or a recorder in a test
	}
	s.mu.Lock()
	s.stats.answered(found, 0)
	s.mu.Unlock()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
