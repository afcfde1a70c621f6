package simulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"orderferry/connectors/simkit"
)

// FaultKind says what goes wrong.
type FaultKind = simkit.FaultKind

// The faults; simkit says what those do that vendors have in common.
const (
	CommitThenTimeout = simkit.CommitThenTimeout
	CommitThenDrop    = simkit.CommitThenDrop
	CommitThen500     = simkit.CommitThen500
	CommitThen502     = simkit.CommitThen502
	CommitThen200     = simkit.CommitThen200
	ResetBefore       = simkit.ResetBefore
	Fail500           = simkit.Error500
	Fail503           = simkit.Error503     // plain text
	HTML502           = simkit.HTML502      // a proxy's page
	HTML200           = simkit.HTML200      // another
	Redirect          = simkit.Redirect     // a proxy's too
	Throttle          = simkit.Error429     // until the window ends, or for Delay
	ThrottleBare      = simkit.Error429Bare // without the headers that say for how long
	WordsQuoted       = simkit.WordsQuoted  // a validation error
	Unauthorised      = simkit.Error401
	BrokenJSON        = simkit.BrokenJSON
	Empty2xx          = simkit.Empty2xx
	Slow              = simkit.Slow
	RepeatedPage      = simkit.RepeatedPage
	ShiftedPage       = simkit.ShiftedPage

	CommitThenDuplicate FaultKind = "commit_then_duplicate" // 409 Duplicate Idempotency, though it was the first
	Timeout             FaultKind = "timeout"               // nothing done; the connection drops, after Delay
	DuplicateKey        FaultKind = "duplicate_idempotency"
)

var faultKinds = [...]FaultKind{CommitThenTimeout, CommitThenDrop, CommitThen500, CommitThen502, CommitThen200, CommitThenDuplicate, Timeout,
	ResetBefore, Fail500, Fail503, HTML502, HTML200, Redirect, Throttle, ThrottleBare, WordsQuoted, Unauthorised, BrokenJSON, Empty2xx, Slow,
	DuplicateKey, RepeatedPage, ShiftedPage}

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind { return slices.Clone(faultKinds[:]) }

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

// Inject adds a fault; of several that match a request the first that happens wins.
func (s *Simulator) Inject(f Fault) error {
	err := s.checkFault(f)
	if err == nil {
		err = s.faults.Inject(f, simkit.Odds{Skip: f.Skip, Count: f.Count, Rate: f.Rate})
	}
	if err != nil {
		return fmt.Errorf("inject fault: %w", err)
	}
	return nil
}

func (s *Simulator) checkFault(f Fault) error {
	switch {
	case !slices.Contains(faultKinds[:], f.Kind):
		return fmt.Errorf("unknown kind %q: want one of %v", f.Kind, faultKinds)
	case !s.routeKnown(f.Route):
		return fmt.Errorf("unknown route %q", f.Route)
	case f.Account != "" && s.byName[f.Account] == nil:
		return fmt.Errorf("unknown account %q", f.Account)
	case f.Delay < 0:
		return errors.New("a delay is at least 0")
	}
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
	out := []Fault{}
	for f, left := range s.faults.All {
		f.Skip, f.Count = left.Skip, left.Count
		out = append(out, f)
	}
	return out
}

// ClearFaults takes all faults out.
func (s *Simulator) ClearFaults() { s.faults.Clear() }

// fault picks what befalls a request and counts it; the zero Fault is none. later
// says that the request is for a page after a list's first.
func (s *Simulator) fault(account string, t *target, method string, later bool) Fault {
	f, found := s.faults.Pick(func(f Fault) bool {
		return (f.Route == "*" || f.Route == t.group || f.Route == t.name) &&
			(f.Method == "" || strings.EqualFold(f.Method, method)) &&
			(f.Account == "" || f.Account == account) && (later || !f.Kind.NeedsPages())
	})
	if found {
		s.stats.Befell(f.Kind)
	}
	return f
}

// run does the work with a fault around it.
func (x *exchange) run(f Fault, work func()) {
	kind := f.Kind
	switch kind {
	case Timeout:
		kind = simkit.TimeoutNoCommit
	case RepeatedPage, ShiftedPage:
		x.page = kind
	}
	made := func() simkit.Answer { return simkit.Answer{Status: x.status, Body: x.buf.Bytes()} }
	a := simkit.Exchange{
		Writer: x.writer, Request: x.request, Ended: x.sim.life.Ended(), Cut: func() { x.sim.stats.Answered(x.target.name, 0) },
		Work: func() simkit.Answer {
			work()
			x.spoil(f.Kind)
			return made()
		},
		Refuse: func(k FaultKind) (simkit.Answer, bool) {
			refused := x.refuse(k, f.Delay)
			return made(), refused
		},
	}.Through(kind, f.Delay)
	x.status = a.Status
	x.buf.Truncate(len(a.Body))
}

// refuse makes the answer of a fault that lets nothing be done; false if the kind
// is none such.
func (x *exchange) refuse(k FaultKind, delay time.Duration) bool {
	switch k {
	case Fail500:
		x.plain(http.StatusInternalServerError, "text/plain", "Internal Server Error")
	case Fail503:
		x.plain(http.StatusServiceUnavailable, "text/plain", "Service Unavailable")
	case HTML502:
		x.proxyPage(http.StatusBadGateway, "502 Bad Gateway")
	case HTML200:
		x.proxyPage(http.StatusOK, "Down for maintenance")
	case Throttle:
		x.throttle(delay)
	case ThrottleBare:
		x.bare()
		x.fail(tooMany())
	case WordsQuoted:
		body, err := io.ReadAll(io.LimitReader(x.request.Body, maxBody))
		if err != nil {
			body = nil // the client left
		}
		x.fail(&apiError{status: http.StatusUnprocessableEntity, errors: map[string][]string{"base": {simkit.Quote(x.request, body)}}})
	case Unauthorised:
		x.fail(&apiError{status: http.StatusUnauthorized, kind: "unauthorized", message: "The access token is invalid"})
	case DuplicateKey:
		x.fail(duplicateKey())
	default:
		return false
	}
	return true
}

// spoil changes the answer of work that was done, where only this vendor's would
// be so.
func (x *exchange) spoil(k FaultKind) {
	switch {
	case k == CommitThenDuplicate:
		x.fail(duplicateKey())
	case (k == BrokenJSON || k == Empty2xx) && x.status == http.StatusNoContent: // there shall be something to break
		x.status = http.StatusOK
		x.buf.WriteString("{}")
	}
}

func (x *exchange) plain(status int, media, text string) {
	x.buf.Reset()
	x.buf.WriteString(text)
	x.status = status
	x.header["Content-Type"] = []string{media}
	delete(x.header, "X-Pagination")
	delete(x.header, "Link")
}

// proxyPage answers with a proxy's page for people.
func (x *exchange) proxyPage(status int, title string) {
	x.bare()
	x.header.Del("X-Request-Id")
	x.plain(status, "text/html", "<html><head><title>"+title+"</title></head><body><h1>"+title+"</h1></body></html>")
}

// bare takes the rate headers out.
func (x *exchange) bare() {
	for _, name := range [...]string{"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"} {
		x.header.Del(name)
	}
}

func tooMany() error {
	return &apiError{status: http.StatusTooManyRequests, kind: "Too Many Requests", message: "Rate limit exceeded"}
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
	x.fail(tooMany())
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
	*simkit.Tally
	mutations, throttled, duplicates, overFulfils, webhooks, webhookErrs atomic.Int64
}

// Stats returns what was counted.
func (s *Simulator) Stats() Stats {
	c, all := &s.stats, s.stats.Counts()
	return Stats{Requests: all.Total, ByRoute: all.Requests, ByStatus: all.Statuses, Faults: all.Faults,
		Mutations: c.mutations.Load(), Throttled: c.throttled.Load(), Duplicates: c.duplicates.Load(),
		OverFulfils: c.overFulfils.Load(), Webhooks: c.webhooks.Load(), WebhookErrs: c.webhookErrs.Load()}
}
