package exchange

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"orderferry/relay"
)

// MaxWords is how many bytes of a vendor's own words are kept.
const MaxWords = 2048

// masked is a cause under a text of ours.
type masked struct {
	text  string
	cause error
}

func (m *masked) Error() string { return m.text }
func (m *masked) Unwrap() error { return m.cause }

// Masked is a cause whose own text may quote the vendor: only the text given is
// printed, and errors.Is and As still find the cause.
func Masked(text string, cause error) error { return &masked{text, cause} }

// Unsent is the error of a request that was not sent, and why. A cause that is
// classified already stays as it is.
func Unsent(op, why string, cause error) error {
	var e *relay.Error
	if errors.As(cause, &e) {
		return cause
	}
	return &relay.Error{Kind: relay.Unavailable, Op: op, Err: Masked(why, cause)}
}

// Describe says what kind of failure of the network err is, without the words of
// the other side.
func Describe(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the address of the request is of no use here
	}
	return Masked(network(err), err)
}

func network(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out"
	case errors.As(err, &dns):
		return "host name not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &op) && op.Op == "dial":
		return "could not connect"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed early"
	}
	return "the exchange failed"
}

// KindIs reports whether err is of one of the kinds. No error is of none.
func KindIs(err error, kinds ...relay.ErrorKind) bool {
	return slices.ContainsFunc(kinds, func(k relay.ErrorKind) bool { return errors.Is(err, k) })
}

// WithKind is the error with another kind, as where a read's failure leaves the
// write before it in doubt. An error that is not classified stays as it is.
func WithKind(err error, kind relay.ErrorKind) error {
	var e *relay.Error
	if !errors.As(err, &e) {
		return err
	}
	again := *e
	again.Kind = kind
	return &again
}

// Clip bounds a text in bytes, at a character.
func Clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
