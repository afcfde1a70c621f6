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

// The faults; simkit says what those do that vendors have in common.
const (
	CommitThenTimeout = simkit.CommitThenTimeout
	CommitThenDrop    = simkit.CommitThenDrop
	CommitThen500     = simkit.CommitThen500 // a soap:Server fault
	CommitThen502     = simkit.CommitThen502
	CommitThen200     = simkit.CommitThen200
	BrokenXML         = simkit.BrokenXML
	Empty2xx          = simkit.Empty2xx
	TimeoutNoCommit   = simkit.TimeoutNoCommit
	Error500          = simkit.Error500 // a soap:Server fault
	Error503          = simkit.Error503
	Error429          = simkit.Error429     // with Retry-After: RetryAfter
	Error429Bare      = simkit.Error429Bare // without Retry-After
	HTML502           = simkit.HTML502
	HTML200           = simkit.HTML200
	Redirect          = simkit.Redirect
	WordsQuoted       = simkit.WordsQuoted // a soap:Client fault
	ResetBefore       = simkit.ResetBefore
	Error401          = simkit.Error401
	Error403          = simkit.Error403
	Slow              = simkit.Slow

	ClientFault FaultKind = "soap_client_fault" // a soap:Client fault, nothing done
	BadToken    FaultKind = "bad_token"         // as though the token had ended; not for AuthenticationTokenGet
	// These befall only batches after the first, which are answered well and yet wrongly.
	RepeatedBatch FaultKind = "repeated_batch" // the batch before comes again
	ShiftedBatch  FaultKind = "shifted_batch"  // every row one place further down, as though one had come in front
)

const (
	defaultRetryAfter = 1 // second
	everyOperation    = "*"
)

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{CommitThenTimeout, CommitThenDrop, CommitThen500, CommitThen502, CommitThen200, BrokenXML, Empty2xx, TimeoutNoCommit, Error500,
		ClientFault, Error503, Error429, Error429Bare, HTML502, HTML200, Redirect, WordsQuoted, ResetBefore, Error401, Error403, BadToken, Slow,
		RepeatedBatch, ShiftedBatch}
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

// Inject arms a fault. Of several that fit a call the first one hits.
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
	if f.Operation != everyOperation && operationNamed(f.Operation) == nil {
		return fmt.Errorf("unknown operation %q: name one of the service's, or * for all", f.Operation)
	}
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("unknown kind %q: it is none of %q", f.Kind, FaultKinds())
	}
	if f.Account != "" && s.book(f.Account) == nil {
		return fmt.Errorf("unknown account %q", f.Account)
	}
	if f.Delay < 0 || f.RetryAfter < 0 {
		return errors.New("a delay is at least 0")
	}
	return nil
}

// ClearFaults disarms all faults.
func (s *Simulator) ClearFaults() { s.faults.Clear() }

// befalls says whether a kind makes sense for a call.
func befalls(k FaultKind, c *call) bool {
	switch k {
	case RepeatedBatch, ShiftedBatch:
		n, f := c.batchNumber()
		return f == nil && n > c.behaviour.firstBatch() && c.args.kid(methods, "batchNumber") != nil
	case BadToken:
		return c.op.token != ""
	}
	return true
}

// faultFor picks the fault that hits this call and counts it; the zero Fault is
// none. It bends the call where that is what the fault does.
func (s *Simulator) faultFor(c *call) Fault {
	account := ""
	if c.book != nil {
		account = c.book.Prefix
	}
	f, found := s.faults.Pick(func(f Fault) bool {
		return (f.Operation == everyOperation || f.Operation == c.op.name) && (f.Account == "" || f.Account == account) && befalls(f.Kind, c)
	})
	if found {
		s.tally.Befell(f.Kind)
	}
	switch f.Kind {
	case BadToken:
		c.book = nil
	case RepeatedBatch, ShiftedBatch:
		c.fault = f.Kind
	}
	return f
}

// refuse is the service's answer where a fault lets it do nothing.
func (c *call) refuse(w http.ResponseWriter, f Fault, k FaultKind) (simkit.Answer, bool) {
	switch k {
	case Error500:
		return faultReply(thrown("Timeout expired.")), true
	case ClientFault:
		return faultReply(unreadable("There is an error in XML document (1, 1).")), true
	case WordsQuoted:
		return faultReply(unreadable("%s", simkit.Quote(c.request, c.body))), true
	case Error503:
		return htmlReply(http.StatusServiceUnavailable, "Service Unavailable"), true
	case Error429, Error429Bare:
		if k == Error429 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		return htmlReply(http.StatusTooManyRequests, "Too Many Requests"), true
	case HTML502:
		return htmlReply(http.StatusBadGateway, "502 Bad Gateway"), true
	case HTML200:
		return htmlReply(http.StatusOK, "Down for maintenance"), true
	case Error401:
		return htmlReply(http.StatusUnauthorized, "401 - Unauthorized: Access is denied due to invalid credentials."), true
	case Error403:
		return htmlReply(http.StatusForbidden, "403 - Forbidden: Access is denied."), true
	}
	return simkit.Answer{}, false
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
