package simulator

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FaultKind says what goes wrong.
type FaultKind string

// The faults. Those that commit do the work and then spoil the answer; the
// others answer without doing it.
const (
	CommitThenTimeout   FaultKind = "commit_then_timeout" // the connection drops, after Delay
	CommitThen500       FaultKind = "commit_then_500"
	CommitThenDuplicate FaultKind = "commit_then_duplicate" // 409 Duplicate Idempotency, though it was the first
	Timeout             FaultKind = "timeout"               // the connection drops, after Delay
	Fail500             FaultKind = "500_without_commit"
	Fail503             FaultKind = "503"      // plain text
	HTML502             FaultKind = "html_502" // a proxy's page
	Throttle            FaultKind = "429"      // until the window ends, or for Delay
	Unauthorised        FaultKind = "401"
	BrokenJSON          FaultKind = "broken_json" // does the work; the answer is cut in half
	Slow                FaultKind = "slow"        // does the work after Delay
	DuplicateKey        FaultKind = "duplicate_idempotency"
	// These befall only pages after a list's first, which are answered well and yet wrongly.
	RepeatedPage FaultKind = "repeated_page" // the page before comes again
	ShiftedPage  FaultKind = "shifted_page"  // every row one place further down, as though one had come in front
)

var faultKinds = [...]FaultKind{CommitThenTimeout, CommitThen500, CommitThenDuplicate, Timeout, Fail500, Fail503, HTML502, Throttle,
	Unauthorised, BrokenJSON, Slow, DuplicateKey, RepeatedPage, ShiftedPage}

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind { return slices.Clone(faultKinds[:]) }

// needsPages reports whether the fault befalls only pages after a list's first.
func (k FaultKind) needsPages() bool { return k == RepeatedPage || k == ShiftedPage }

// Fault is something that goes wrong with requests that match.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Route is "*", a group ("orders", "line_items", "variants", "fulfillments",
	// "token", ...) or one operation ("orders_index", "order_member",
	// "fulfillments_create", "fulfillments_update", "order_actions", ...).
	Route   string `json:"route"`
	Method  string `json:"method,omitempty"`  // "" for all
	Account string `json:"account,omitempty"` // "" for all; the token endpoint knows none
	Skip    int    `json:"skip,omitempty"`    // matching requests to let pass first
	Count   int    `json:"count,omitempty"`   // how often it happens; 0 for no end
	// Rate is the chance of each matching request, by seeded dice; 0 means 1.
	Rate  float64       `json:"rate,omitempty"`
	Delay time.Duration `json:"delay,omitempty"`
}

// faults are the injected faults; the first that matches and happens wins.
type faults struct {
	mu    sync.Mutex
	seed  uint64
	dealt uint64
	live  []*liveFault
}

type liveFault struct {
	Fault
	dice *rand.Rand
}

// Inject adds a fault.
func (s *Simulator) Inject(f Fault) error {
	switch {
	case !slices.Contains(faultKinds[:], f.Kind):
		return fmt.Errorf("inject fault: unknown kind %q: want one of %v", f.Kind, faultKinds)
	case !s.routeKnown(f.Route):
		return fmt.Errorf("inject fault: unknown route %q", f.Route)
	case f.Rate < 0 || f.Rate > 1 || f.Count < 0 || f.Skip < 0 || f.Delay < 0:
		return fmt.Errorf("inject fault: want a rate from 0 to 1, and a count, skip and delay that are not negative")
	case f.Account != "" && s.byName[f.Account] == nil:
		return fmt.Errorf("inject fault: unknown account %q", f.Account)
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.dealt++
	s.faults.live = append(s.faults.live, &liveFault{f, rand.New(rand.NewPCG(s.faults.seed, s.faults.dealt))})
	return nil
}

// routeKnown keeps a misspelt route from being a fault that never happens.
func (s *Simulator) routeKnown(route string) bool {
	if route == "*" || slices.Contains([]string{"token", "accounts", "users", "accounts_current", "users_current", "stock_levels",
		"stock_levels_index", "stock_level_member", "composition_index", "orders_identifiers", "stock_adjustments_identifiers", "order_actions"}, route) {
		return true
	}
	for path := range s.endpoints {
		group := groupOf(path)
		t := target{group: group, endpoint: s.endpoints[path]}
		names := []string{group, group + "_index", group + "_create", group + "_update", group + "_delete", t.singular() + "_member"}
		if slices.Contains(names, route) {
			return true
		}
	}
	return false
}

// Faults are the faults that may still happen.
func (s *Simulator) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make([]Fault, len(s.faults.live))
	for i, f := range s.faults.live {
		out[i] = f.Fault
	}
	return out
}

// ClearFaults takes all faults out.
func (s *Simulator) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.live = nil
}

// pick returns the fault that befalls a request; the zero Fault is none. later
// says that the request is for a page after a list's first.
func (f *faults) pick(account string, t *target, method string, later bool) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, live := range f.live {
		if !live.matches(account, t, method) || (live.Kind.needsPages() && !later) {
			continue
		}
		if live.Skip > 0 {
			live.Skip--
			continue
		}
		if live.Rate > 0 && live.dice.Float64() >= live.Rate {
			continue
		}
		if live.Count > 0 {
			if live.Count--; live.Count == 0 {
				f.live = slices.Delete(f.live, i, i+1)
			}
		}
		return live.Fault
	}
	return Fault{}
}

func (f *liveFault) matches(account string, t *target, method string) bool {
	return (f.Route == "*" || f.Route == t.group || f.Route == t.name) &&
		(f.Method == "" || strings.EqualFold(f.Method, method)) &&
		(f.Account == "" || f.Account == account)
}

// run does the work with a fault around it.
func (x *exchange) run(f Fault, work func()) {
	if f.Kind == "" {
		work()
		return
	}
	x.sim.stats.fault(f.Kind)
	switch f.Kind {
	case Timeout:
		x.drop(f.Delay)
	case Fail500:
		x.plain(http.StatusInternalServerError, "text/plain", "Internal Server Error")
	case Fail503:
		x.plain(http.StatusServiceUnavailable, "text/plain", "Service Unavailable")
	case HTML502:
		for _, name := range [...]string{"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "X-Request-Id"} {
			x.header.Del(name)
		}
		x.plain(http.StatusBadGateway, "text/html", "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>")
	case Throttle:
		x.throttle(f.Delay)
	case Unauthorised:
		x.fail(&apiError{status: http.StatusUnauthorized, kind: "unauthorized", message: "The access token is invalid"})
	case DuplicateKey:
		x.fail(duplicateKey())
	case Slow:
		x.wait(f.Delay)
		work()
	case RepeatedPage, ShiftedPage:
		x.page = f.Kind
		work()
	default:
		work()
		x.spoil(f)
	}
}

// spoil replaces the answer of work that was done.
func (x *exchange) spoil(f Fault) {
	switch f.Kind {
	case CommitThenTimeout:
		x.drop(f.Delay)
	case CommitThen500:
		x.plain(http.StatusInternalServerError, "text/plain", "Internal Server Error")
	case CommitThenDuplicate:
		x.fail(duplicateKey())
	case BrokenJSON:
		if x.status == http.StatusNoContent {
			x.status = http.StatusOK
			x.buf.WriteString(`{"`)
		}
		x.buf.Truncate(x.buf.Len() / 2)
	}
}

// drop closes the connection without an answer.
func (x *exchange) drop(after time.Duration) {
	x.wait(after)
	x.sim.stats.count(x.target.name, 0)
	panic(http.ErrAbortHandler)
}

func (x *exchange) plain(status int, media, text string) {
	x.buf.Reset()
	x.buf.WriteString(text)
	x.status = status
	x.header["Content-Type"] = []string{media}
	delete(x.header, "X-Pagination")
	delete(x.header, "Link")
}

func (x *exchange) throttle(wait time.Duration) {
	now := x.sim.now()
	seconds := int64(x.sim.cfg.Window / time.Second)
	reset := (now.Unix()/seconds + 1) * seconds
	if wait > 0 {
		reset = now.Add(wait + time.Second - 1).Unix()
	}
	if x.books != nil { // the token endpoint has no rate headers
		rateHeaders(x.header, x.sim.cfg.RateLimit, 0, reset)
	}
	x.fail(&apiError{status: http.StatusTooManyRequests, kind: "Too Many Requests", message: "Rate limit exceeded"})
}

// wait lets time pass, but no longer than the client stays.
func (x *exchange) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.request.Context().Done():
	}
}

// Stats are counts since the start.
type Stats struct {
	Requests    int64            `json:"requests"`
	ByRoute     map[string]int64 `json:"by_route"`
	ByStatus    map[int]int64    `json:"by_status"` // 0: the connection was dropped
	Faults      map[string]int64 `json:"faults"`    // by kind
	Mutations   int64            `json:"mutations"`
	Throttled   int64            `json:"throttled"`    // refused over the rate limit, without faults
	Duplicates  int64            `json:"duplicates"`   // repeated idempotency keys
	OverFulfils int64            `json:"over_fulfils"` // refused for more than was left
	Webhooks    int64            `json:"webhooks"`     // delivered
	WebhookErrs int64            `json:"webhook_errors"`
}

type counters struct {
	mu                                                                   sync.Mutex
	requests                                                             int64
	byRoute                                                              map[string]int64
	byStatus                                                             map[int]int64
	faults                                                               map[string]int64
	mutations, throttled, duplicates, overFulfils, webhooks, webhookErrs atomic.Int64
}

func (c *counters) count(route string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byRoute == nil {
		c.byRoute, c.byStatus = map[string]int64{}, map[int]int64{}
	}
	c.requests++
	c.byRoute[route]++
	c.byStatus[status]++
}

func (c *counters) fault(k FaultKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults == nil {
		c.faults = map[string]int64{}
	}
	c.faults[string(k)]++
}

// Stats returns what was counted.
func (s *Simulator) Stats() Stats {
	c := &s.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Requests: c.requests, ByRoute: maps.Clone(c.byRoute), ByStatus: maps.Clone(c.byStatus), Faults: maps.Clone(c.faults),
		Mutations: c.mutations.Load(), Throttled: c.throttled.Load(), Duplicates: c.duplicates.Load(),
		OverFulfils: c.overFulfils.Load(), Webhooks: c.webhooks.Load(), WebhookErrs: c.webhookErrs.Load()}
}
