package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"orderferry/connectors/simkit"
)

// FaultKind is what goes wrong.
type FaultKind = simkit.FaultKind

// The faults; simkit says what they do.
const (
	CommitThenTimeout = simkit.CommitThenTimeout
	CommitThenDrop    = simkit.CommitThenDrop
	CommitThen500     = simkit.CommitThen500
	CommitThen502     = simkit.CommitThen502
	CommitThen200     = simkit.CommitThen200
	BrokenJSON        = simkit.BrokenJSON
	Empty2xx          = simkit.Empty2xx
	TimeoutNoCommit   = simkit.TimeoutNoCommit
	Error500          = simkit.Error500
	Error503          = simkit.Error503
	Error429          = simkit.Error429     // with Retry-After: RetryAfter
	Error429Bare      = simkit.Error429Bare // without Retry-After
	HTML502           = simkit.HTML502
	HTML200           = simkit.HTML200
	Redirect          = simkit.Redirect
	WordsQuoted       = simkit.WordsQuoted // a 400
	ResetBefore       = simkit.ResetBefore
	Error401          = simkit.Error401
	Error402          = simkit.Error402
	Error403          = simkit.Error403
	Slow              = simkit.Slow
	RepeatedPage      = simkit.RepeatedPage
	ShiftedPage       = simkit.ShiftedPage
)

const (
	defaultRetryAfter = 1 // second
	everyRoute        = "*"
)

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{CommitThenTimeout, CommitThenDrop, CommitThen500, CommitThen502, CommitThen200, BrokenJSON, Empty2xx,
		TimeoutNoCommit, Error500, Error503, Error429, Error429Bare, HTML502, HTML200, Redirect, WordsQuoted, ResetBefore, Error401, Error402, Error403,
		Slow, RepeatedPage, ShiftedPage}
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

// Inject arms a fault. Of several that fit a request the first one hits.
func (s *Simulator) Inject(f Fault) error {
	err := s.checkFault(f)
	if err == nil {
		f.Delay, f.RetryAfter = simkit.FaultDelay(f.Delay), cmp.Or(f.RetryAfter, defaultRetryAfter)
		err = s.faults.Inject(f, simkit.Odds{Skip: f.Skip, Count: f.Count, Rate: f.Rate}.OrOnce())
	}
	if err != nil {
		return fmt.Errorf("inject fault: %w", err)
	}
	return nil
}

func (s *Simulator) checkFault(f Fault) error {
	if f.Route != everyRoute && !slices.ContainsFunc(s.routes, func(r route) bool { return r.Name == f.Route }) {
		return fmt.Errorf("unknown route %q", f.Route)
	}
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("unknown kind %q: it is none of %q", f.Kind, FaultKinds())
	}
	if f.Mode != "" && f.Mode != Production && f.Mode != Test {
		return fmt.Errorf("unknown mode %q", f.Mode)
	}
	if f.Delay < 0 || f.RetryAfter < 0 {
		return errors.New("a delay is at least 0")
	}
	return nil
}

// ClearFaults disarms all faults.
func (s *Simulator) ClearFaults() { s.faults.Clear() }

// faultFor picks the fault that hits this request and counts it; the zero Fault is
// none. It bends the request where that is what the fault does.
func (s *Simulator) faultFor(c *call, found *route) Fault {
	later := c.later()
	f, hit := s.faults.Pick(func(f Fault) bool {
		return (f.Route == everyRoute || f.Route == found.Name) && (f.Mode == "" || f.Mode == c.book.mode) && (later || !f.Kind.NeedsPages())
	})
	if hit {
		s.tally.Befell(f.Kind)
	}
	switch f.Kind {
	case RepeatedPage:
		c.turnBack(func(n int) int { return n })
	case ShiftedPage:
		c.turnBack(func(int) int { return 1 })
	}
	return f
}

// refuse is the vendor's answer where a fault lets it do nothing.
func (c *call) refuse(w http.ResponseWriter, f Fault, k FaultKind, form ErrorForm) (simkit.Answer, bool) {
	var p *problem
	switch k {
	case Error500:
		p = &problem{Status: 500, Code: "INTERNAL_SERVER_ERROR", Message: "Something went wrong on our side."}
	case Error503:
		p = &problem{Status: 503, Code: "SERVICE.UNAVAILABLE", Message: "The service is not available. Try again later."}
	case Error429, Error429Bare:
		if k == Error429 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		p = &problem{Status: 429, Code: "RATE_LIMITED", Message: "Too many requests."}
	case Error401:
		p = &problem{Status: 401, Code: "UNAUTHORIZED", Message: "Authentication is required."}
	case Error402:
		p = &problem{Status: 402, Code: "PAYMENT_REQUIRED", Message: "The account has a billing problem."}
	case Error403:
		p = inactiveKey()
	case WordsQuoted:
		words := simkit.Quote(c.request, c.body)
		p = &problem{Status: 400, Code: "PARAMETER.INVALID", Message: words, Fields: []fieldProblem{{Field: "order", Message: words}}}
	case HTML502:
		return htmlReply(http.StatusBadGateway, "502 Bad Gateway"), true
	case HTML200:
		return htmlReply(http.StatusOK, "Down for maintenance"), true
	default:
		return simkit.Answer{}, false
	}
	return problemReply(p, form), true
}

// htmlReply is a page for people.
func htmlReply(status int, title string) simkit.Answer {
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title + "</h1></center>\r\n</body>\r\n</html>\r\n"
	return simkit.Answer{Status: status, ContentType: "text/html", Body: []byte(page)}
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
