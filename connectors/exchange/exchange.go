package exchange

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"orderferry/relay"
)

const (
	// MaxBody is how many bytes of an answer are read.
	MaxBody = 32 << 20
	// UserAgent is what requests say they come from.
	UserAgent = "Orderferry"

	longestAdvice = time.Hour // what a Retry-After may ask for
)

// NewClient returns a client over the transport; nil means http.DefaultTransport.
// A redirect is an answer of its own: following one could send an order again,
// or a key elsewhere.
func NewClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Pace waits for the next turn. Its error says that nothing was sent.
func Pace(ctx context.Context, limiter *rate.Limiter, op string) error {
	if err := limiter.Wait(ctx); err != nil {
		return Unsent(op, "no time left in the rate limit", errors.Join(err, ctx.Err()))
	}
	return nil
}

// Answer is what came back, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // at most MaxBody bytes
	Cut    error  // why the body is not whole; nil when it is
}

// Do sends a request once and reads its answer. The error is a *relay.Error:
// InDoubt(write) where there was no answer, and Unavailable where surely no byte
// of the request has left.
func Do(client *http.Client, req *http.Request, op string, write bool) (Answer, error) {
	if err := req.Context().Err(); err != nil {
		return Answer{}, Unsent(op, network(err), err)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", UserAgent)
	}
	// Under their canonical names net/http takes these as leave to repeat a write by
	// itself after a dropped connection. Servers don't care about case.
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if key, ok := req.Header[name]; ok {
			delete(req.Header, name)
			req.Header[strings.ToLower(name)] = key
		}
	}
	var t trace
	res, err := client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), t.hooks())))
	if err != nil {
		e := &relay.Error{Kind: InDoubt(write), Op: op, Err: Describe(err)}
		if t.nothingLeft(err) {
			e.Kind = relay.Unavailable
		}
		return Answer{}, e
	}
	return Read(res), nil
}

// InDoubt is the kind of a failure after which the request may have been taken:
// Unknown for a write, and Unavailable for a read, which changes nothing.
func InDoubt(write bool) relay.ErrorKind {
	if write {
		return relay.Unknown
	}
	return relay.Unavailable
}

// Read reads an answer and closes its body.
func Read(res *http.Response) Answer {
	defer func() { _ = res.Body.Close() }()
	a := Answer{Status: res.StatusCode, Header: res.Header}
	var err error
	a.Body, err = io.ReadAll(io.LimitReader(res.Body, MaxBody+1))
	switch {
	case len(a.Body) > MaxBody:
		a.Body, a.Cut = a.Body[:MaxBody], fmt.Errorf("the answer is longer than %d bytes", MaxBody)
	case err != nil:
		a.Cut = Describe(err)
	}
	return a
}

// OK reports whether the status is one of success.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// Without returns the answer with its body redacted, for one whose words go to
// the ledger: a refusal may quote the request.
func (a Answer) Without(secrets ...string) Answer {
	a.Body = Redact(a.Body, secrets...)
	return a
}

// Redact puts "…" for every secret; an empty one is none.
func Redact(text []byte, secrets ...string) []byte {
	// One may be the beginning of another.
	longest := slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, s := range longest {
		if s != "" {
			text = bytes.ReplaceAll(text, []byte(s), []byte("…"))
		}
	}
	return text
}

// Words is the beginning of the body, as relay.Error.Words takes it.
func (a Answer) Words() string { return Clip(string(a.Body[:min(len(a.Body), MaxWords)]), MaxWords) }

// Failure is the error of an answer that is none of success, or that can't be
// read. A nil cause means that the status is the cause. With Throttled and
// Unavailable, After is what the vendor asked for, if it did.
func (a Answer) Failure(op string, kind relay.ErrorKind, cause error) *relay.Error {
	if cause == nil {
		cause = fmt.Errorf("the vendor answered %d", a.Status)
	}
	e := &relay.Error{Kind: kind, Op: op, Status: a.Status, Words: a.Words(), Err: cause}
	if kind == relay.Throttled || kind == relay.Unavailable {
		e.After = RetryAfter(a.Header, time.Now())
	}
	return e
}

// RetryAfter reads the header of that name, which has seconds or a date. It is at
// most an hour, and 0 when nothing usable was said.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if secs, err := strconv.ParseFloat(v, 64); err == nil && secs > 0 {
		return min(time.Duration(min(secs, 1e6)*float64(time.Second)), longestAdvice)
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return min(at.Sub(now), longestAdvice)
	}
	return 0
}

// trace watches how far a request got.
type trace struct{ asked, connected atomic.Bool }

func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	}
}

// nothingLeft reports whether the request surely never reached a connection.
// Once there is one, bytes may follow even after RoundTrip has returned.
func (t *trace) nothingLeft(err error) bool {
	if t.connected.Load() {
		return false
	}
	if t.asked.Load() {
		return true // DNS, refused, proxy, TLS, or given up while waiting for a connection
	}
	// A transport that does not tell what it did is believed only where its error is of dialling.
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}
