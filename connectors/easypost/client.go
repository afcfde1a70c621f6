package easypost

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"orderferry/relay"
)

const (
	maxBody   = 32 << 20 // bytes of an answer that are read
	readTries = 3        // a read is tried so often; a write once
	longPause = 30 * time.Second
	userAgent = "Orderferry"
)

// client speaks HTTP to the fulfillment API. It is safe for concurrent use.
type client struct {
	base      string // without a trailing slash
	http      *http.Client
	key       func(ctx context.Context) (string, error)
	limiter   *rate.Limiter
	lists     chan struct{} // holds a token while a list is read: one at a time
	timeout   time.Duration // of one request, from the first byte to the last
	pause     time.Duration // before the second try of a read; doubled for the third
	pageSize  int
	firstPage int
}

// answer is what came back over HTTP, whatever its status.
type answer struct {
	status int
	header http.Header
	body   []byte
	cut    error // the body could not be read to its end
}

func (a answer) ok() bool { return a.status >= 200 && a.status <= 299 }

// hidden is a cause whose own text may quote the vendor: only a fixed text is printed.
type hidden struct {
	text  string
	cause error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.cause }

// ready waits for the rate limit and returns the key to use. Its errors mean
// that nothing was sent.
func (c *client) ready(ctx context.Context, op string) (string, error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return "", &relay.Error{Kind: relay.Unavailable, Op: op, Err: &hidden{"no time left in the rate limit", errors.Join(err, ctx.Err())}}
	}
	key, err := c.key(ctx)
	if err != nil {
		var e *relay.Error
		if errors.As(err, &e) {
			return "", err
		}
		return "", &relay.Error{Kind: relay.Unavailable, Op: op, Err: &hidden{"could not read the credentials", err}}
	}
	if err := ctx.Err(); err != nil {
		return "", &relay.Error{Kind: relay.Unavailable, Op: op, Err: err}
	}
	return key, nil
}

// send makes one request. When there is no answer, the error's kind is
// Unavailable if no byte of the request can have left, else Unknown.
func (c *client) send(ctx context.Context, op, method, path string, query url.Values, body []byte) (answer, error) {
	key, err := c.ready(ctx, op)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var t trace
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	// A bytes.Reader gives the request its Content-Length, so it is never chunked.
	var payload io.Reader
	if body != nil {
		payload = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.hooks()), method, target, payload)
	if err != nil {
		return answer{}, &relay.Error{Kind: relay.Unavailable, Op: op, Err: &hidden{"could not make the request", err}}
	}
	req.SetBasicAuth(key, "")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		kind := relay.Unknown
		if t.nothingLeft(err) {
			kind = relay.Unavailable
		}
		return answer{}, &relay.Error{Kind: kind, Op: op, Err: describe(err)}
	}
	return withoutKey(readAnswer(resp), key), nil
}

// withoutKey takes the key out of a refusal that quotes our request: its words go to the ledger.
func withoutKey(a answer, key string) answer {
	if !a.ok() {
		for _, form := range []string{key, base64.StdEncoding.EncodeToString([]byte(key + ":"))} {
			a.body = bytes.ReplaceAll(a.body, []byte(form), []byte("…"))
		}
	}
	return a
}

func readAnswer(resp *http.Response) answer {
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.cut = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(a.body) > maxBody {
		a.body, a.cut = a.body[:maxBody], errors.New("the answer is too long")
	}
	return a
}

// read makes a GET, again after a pause when it failed for a passing reason.
func (c *client) read(ctx context.Context, op, path string, query url.Values) (answer, error) {
	var a answer
	err := c.retry(ctx, func() error {
		var err error
		if a, err = c.send(ctx, op, http.MethodGet, path, query, nil); err != nil {
			return asRead(err)
		}
		if !a.ok() {
			return readRefusal(op, a)
		}
		if a.cut != nil {
			return &relay.Error{Kind: relay.Unavailable, Op: op, Status: a.status, Err: describe(a.cut)}
		}
		return nil
	})
	return a, err
}

// asRead turns the Unknown of a failed exchange into Unavailable: a read changes nothing.
func asRead(err error) error {
	var e *relay.Error
	if errors.As(err, &e) && e.Kind == relay.Unknown {
		again := *e
		again.Kind = relay.Unavailable
		return &again
	}
	return err
}

// retry tries up to readTries times while the failure may pass.
func (c *client) retry(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == readTries {
			return err
		}
		var e *relay.Error
		if !errors.As(err, &e) || (e.Kind != relay.Unavailable && e.Kind != relay.Throttled) {
			return err
		}
		if e.After > longPause {
			return err // the caller can wait better than we can
		}
		wait := c.pause << (n - 1)
		wait = max(e.After, wait/2+rand.N(wait/2+1))
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// readList makes one request for a list; listed is as decodeList says.
func readList[T any](ctx context.Context, c *client, op, key string, query url.Values) (rows []T, listed bool, err error) {
	select {
	case c.lists <- struct{}{}:
		defer func() { <-c.lists }()
	case <-ctx.Done():
		return nil, false, &relay.Error{Kind: relay.Unavailable, Op: op, Err: ctx.Err()}
	}
	a, err := c.read(ctx, op, "/"+key, query)
	if err != nil {
		return nil, false, err
	}
	rows, listed, err = decodeList[T](a.body, key)
	if err != nil {
		return nil, false, unreadable(op, relay.Unavailable, a)
	}
	return rows, listed, nil
}

// window is the query of one page: limit and per_page always go together
// (wire/easypost-fulfillment.md section 4).
func (c *client) window() url.Values {
	n := strconv.Itoa(c.pageSize)
	return url.Values{"limit": {n}, "per_page": {n}}
}

// walk reads a list page by page and hands each row over once, by id. It works
// whether the vendor counts pages from zero or from one, and when it ignores
// page: then, and when a full page was the last, it tries to go on by offset.
// each returns false to stop. complete says that the list came to its end.
func walk[T any](ctx context.Context, c *client, op, key string, maxPages int, id func(T) string, each func([]T) (bool, error)) (complete bool, err error) {
	seen := make(map[string]bool)
	var full, ignored, byOffset bool
	listedAll := true
	for page, asked := c.firstPage, 0; asked < maxPages; asked++ {
		query := c.window()
		query.Set("page", strconv.Itoa(page))
		if byOffset {
			query.Set("page", strconv.Itoa(c.firstPage))
			query.Set("offset", strconv.Itoa(len(seen)))
		}
		rows, listed, err := readList[T](ctx, c, op, key, query)
		if err != nil {
			return false, err
		}
		listedAll = listedAll && listed
		full = full || len(rows) >= c.pageSize
		var fresh []T
		for _, row := range rows {
			if k := id(row); k != "" && !seen[k] {
				seen[k] = true
				fresh = append(fresh, row)
			}
		}
		if len(fresh) > 0 {
			more, err := each(fresh)
			if err != nil || !more {
				return false, err
			}
			page++
			continue
		}
		switch turn := page - c.firstPage; {
		case byOffset:
			return listedAll && (!ignored || len(rows) == 0), nil
		case turn == 0, turn == 1 && len(rows) > 0:
			page++ // nothing under the first number, or the first page again: it may count from one
		case full:
			ignored, byOffset = len(rows) >= c.pageSize, true
		default:
			return listedAll, nil
		}
	}
	return false, nil
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
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

// describe says what kind of failure it was without the words of the other side.
func describe(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the address of the request is of no use here
	}
	var op *net.OpError
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return &hidden{"cancelled", err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &hidden{"timed out", err}
	case errors.As(err, &dns):
		return &hidden{"host name not found", err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &hidden{"connection refused", err}
	case errors.As(err, &op) && op.Op == "dial":
		return &hidden{"could not connect", err}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &hidden{"connection reset", err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &hidden{"connection closed early", err}
	}
	return &hidden{"the exchange failed", err}
}
