package easypost

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/time/rate"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// client speaks HTTP to the fulfillment API. It is safe for concurrent use.
type client struct {
	base      string // without a trailing slash
	http      *http.Client
	key       func(ctx context.Context) (string, error)
	limiter   *rate.Limiter
	lists     chan struct{} // holds a token while a list is read: one at a time
	timeout   time.Duration // of one request, from the first byte to the last
	backoff   exchange.Backoff
	pageSize  int
	firstPage int
}

// ready waits for the rate limit and returns the key to use. Its errors mean
// that nothing was sent.
func (c *client) ready(ctx context.Context, op string) (string, error) {
	if err := exchange.Pace(ctx, c.limiter, op); err != nil {
		return "", err
	}
	key, err := c.key(ctx)
	if err != nil {
		return "", exchange.Unsent(op, "could not read the credentials", err)
	}
	return key, nil
}

// send makes one request. Without an answer, a write that may have been sent is Unknown.
func (c *client) send(ctx context.Context, op, method, path string, query url.Values, body []byte) (exchange.Answer, error) {
	key, err := c.ready(ctx, op)
	if err != nil {
		return exchange.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	// A bytes.Reader gives the request its Content-Length, so it is never chunked.
	var payload io.Reader
	if body != nil {
		payload = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, payload)
	if err != nil {
		return exchange.Answer{}, exchange.Unsent(op, "could not make the request", err)
	}
	req.SetBasicAuth(key, "")
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	a, err := exchange.Do(c.http, req, op, method != http.MethodGet)
	return withoutKey(a, key), err
}

// withoutKey takes the key out of a refusal that quotes our request: its words go to the ledger.
func withoutKey(a exchange.Answer, key string) exchange.Answer {
	if a.OK() {
		return a
	}
	return a.Without(key, base64.StdEncoding.EncodeToString([]byte(key+":")))
}

// read makes a GET, again after a pause when it failed for a passing reason.
func (c *client) read(ctx context.Context, op, path string, query url.Values) (exchange.Answer, error) {
	var a exchange.Answer
	err := c.backoff.Retry(ctx, func() (err error) {
		a, err = c.send(ctx, op, http.MethodGet, path, query, nil)
		switch {
		case err != nil:
			return err
		case !a.OK():
			return readRefusal(op, a)
		case a.Cut != nil:
			return a.Failure(op, relay.Unavailable, a.Cut)
		}
		return nil
	})
	return a, err
}

// readList makes one request for a list; listed is as decodeList says.
func readList[T any](ctx context.Context, c *client, op, key string, query url.Values) (rows []T, listed bool, err error) {
	select {
	case c.lists <- struct{}{}:
		defer func() { <-c.lists }()
	case <-ctx.Done():
		return nil, false, exchange.Unsent(op, "no time left to wait for another list", ctx.Err())
	}
	a, err := c.read(ctx, op, "/"+key, query)
	if err != nil {
		return nil, false, err
	}
	rows, listed, err = decodeList[T](a.Body, key)
	if err != nil {
		return nil, false, unreadable(op, relay.Unavailable, a)
	}
	return rows, listed, nil
}
