package relay

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrorKind says what a failure means for the order it met. A connector decides
// it once; nobody parses messages afterwards. A kind is itself an error, so
// errors.Is(err, relay.Throttled) asks for it.
type ErrorKind string

// The kinds, and what follows from each.
const (
	// Invalid: what we sent can't be accepted as it stands. Not retried; the order is held.
	Invalid ErrorKind = "invalid"
	// NotFound: the thing named does not exist there. Not retried.
	NotFound ErrorKind = "not found"
	// Rejected: a business answer, such as no stock. Not an alarm; the order is held.
	Rejected ErrorKind = "rejected"
	// Conflict: already there or already used. Read back; success if it is ours.
	Conflict ErrorKind = "conflict"
	// Throttled: nothing happened; try again after Error.After.
	Throttled ErrorKind = "throttled"
	// Unavailable: nothing happened, or nothing could have: refused, DNS, a failed read. Retried.
	Unavailable ErrorKind = "unavailable"
	// Unknown: a write may or may not have happened. Looked up before anything else.
	Unknown ErrorKind = "unknown outcome"
	// Unauthorised: the credentials are not accepted. The connection stops and says so.
	Unauthorised ErrorKind = "unauthorised"
)

// Error makes a kind usable as a target of errors.Is.
func (k ErrorKind) Error() string { return string(k) }

// Problem names a field that is wrong and says what would be accepted.
type Problem struct {
	// Field is a path in our words: "ship_to.zip", "lines[2].sku".
	Field string `json:"field"`
	// Value is the offending SKU, item code or method, when it is no personal data; else empty.
	Value string `json:"value,omitempty"`
	// Message is for a person. It may quote an address, so it stays in the ledger.
	Message string `json:"message"`
}

// Error is what a connector returns for every failure.
//
// Error() holds no vendor text, since vendors quote addresses back: it is safe
// for logs and for Temporal. Words and the messages of Fields go to the ledger only.
type Error struct {
	Kind   ErrorKind
	Op     string        // what was tried: "submit order", "pull orders"
	Status int           // HTTP status, 0 when there was no answer
	Code   string        // the vendor's machine-readable code, if it has one
	Reason HoldReason    // for Invalid and Rejected: why the order is held
	Fields []Problem     // for Invalid and Rejected: what is wrong
	After  time.Duration // for Throttled: how long to wait
	Words  string        // the vendor's own words, at most 2 kB; may hold personal data
	Err    error         // the cause, free of bodies and credentials
}

// Error names the operation, the kind, the status, the code and the fields.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	b.WriteString(string(e.Kind))
	if e.Reason != "" {
		fmt.Fprintf(&b, " (%s)", e.Reason)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ", HTTP %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, ", code %s", e.Code)
	}
	for i, f := range e.Fields {
		if i == 5 {
			fmt.Fprintf(&b, ", and %d more fields", len(e.Fields)-i)
			break
		}
		fmt.Fprintf(&b, ", field %s", f.Field)
		if f.Value != "" {
			fmt.Fprintf(&b, " %q", f.Value)
		}
	}
	if e.After > 0 {
		fmt.Fprintf(&b, ", again after %s", e.After)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(ErrorKind)
	return ok && k == e.Kind
}

// KindOf returns the kind of the first *Error in err's chain, or a bare kind
// that was returned as an error. An error that no connector classified is
// Unknown: we must not assume that nothing happened.
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var k ErrorKind
	if errors.As(err, &k) {
		return k
	}
	return Unknown
}
