package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "key-4711"

// serve starts a server, and returns its address and a client that is closed with it.
func serve(t *testing.T, h http.HandlerFunc) (string, *http.Client) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL, newClient(t)
}

func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return exchange.NewClient(transport)
}

func post(t *testing.T, ctx context.Context, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("an order"))
	require.NoError(t, err)
	return req
}

// raw answers with bytes that need not be HTTP.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatBecameOfARequest(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	failing := func(err error) *http.Client {
		return exchange.NewClient(transport(func(*http.Request) (*http.Response, error) { return nil, err }))
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc // nil: the url is asked
		url    string
		client *http.Client
		sent   bool // it may have been
		text   string
	}{
		"hung up":             {answer: raw(""), sent: true, text: "connection closed early"},
		"no HTTP":             {answer: raw("HTTP/9.9 " + secret + "\r\n\r\n"), sent: true, text: "the exchange failed"},
		"nobody listens":      {url: closed.URL, text: "connection refused"},
		"TLS":                 {url: tls.URL, text: "the exchange failed"},
		"a silent transport":  {url: closed.URL, client: failing(errors.New(secret)), sent: true, text: "the exchange failed"},
		"a dial":              {url: closed.URL, client: failing(&net.OpError{Op: "dial", Err: errors.New(secret)}), text: "could not connect"},
		"no such host":        {url: closed.URL, client: failing(&net.DNSError{Name: secret}), text: "host name not found"},
		"a connection's read": {url: closed.URL, client: failing(&net.OpError{Op: "read", Err: errors.New(secret)}), sent: true, text: "the exchange failed"},
	} {
		t.Run(name, func(t *testing.T) {
			url, client := tc.url, tc.client
			if tc.answer != nil {
				url, client = serve(t, tc.answer)
			}
			if client == nil {
				client = newClient(t)
			}
			for _, write := range []bool{true, false} {
				_, err := exchange.Do(client, post(t, t.Context(), url+"/?"+secret), "submit order", write)
				want := relay.Unavailable
				if tc.sent {
					want = exchange.InDoubt(write)
				}
				require.EqualError(t, err, fmt.Sprintf("submit order: %s: %s", want, tc.text))
			}
		})
	}
}

func TestACancelledRequestIsNotSent(t *testing.T) {
	var asked atomic.Int32
	url, client := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := exchange.Do(client, post(t, ctx, url), "submit order", true)
	require.ErrorIs(t, err, relay.Unavailable)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, asked.Load())
}

func TestSilenceIsInDoubt(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	url, client := serve(t, func(http.ResponseWriter, *http.Request) { close(entered); <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, err := exchange.Do(client, post(t, ctx, url), "submit order", true)
	require.EqualError(t, err, "submit order: unknown outcome: cancelled")
	require.ErrorIs(t, err, context.Canceled)
}

// Promise 1: a redirect is not followed, and a connection that breaks does not
// make net/http send a write again.
func TestARequestIsSentOnce(t *testing.T) {
	var asked atomic.Int32
	url, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1:
			require.Equal(t, exchange.UserAgent, r.UserAgent())
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		default:
			raw("")(w, r)
		}
	})
	a, err := exchange.Do(client, post(t, t.Context(), url), "submit order", true)
	require.NoError(t, err)
	require.Equal(t, http.StatusTemporaryRedirect, a.Status)
	require.False(t, a.OK())
	again := post(t, t.Context(), url)
	again.Header.Set("Idempotency-Key", "k")                  // which net/http takes as leave to repeat it
	_, err = exchange.Do(client, again, "submit order", true) // over the connection that was kept
	require.ErrorIs(t, err, relay.Unknown)
	require.EqualValues(t, 2, asked.Load())
}

func TestAnAnswerIsReadToABound(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		body   int
		cut    string
	}{
		"whole": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "yes") }, 3, ""},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, "yes")
		}, 3, "connection closed early"},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, exchange.MaxBody+1))
		}, exchange.MaxBody, "the answer is longer than 33554432 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			url, client := serve(t, tc.answer)
			a, err := exchange.Do(client, post(t, t.Context(), url), "submit order", true)
			require.NoError(t, err)
			require.True(t, a.OK())
			require.Len(t, a.Body, tc.body)
			if tc.cut == "" {
				require.NoError(t, a.Cut)
			} else {
				require.EqualError(t, a.Cut, tc.cut)
			}
		})
	}
}

func TestAFailureHoldsItsWordsWithoutSecrets(t *testing.T) {
	a := exchange.Answer{
		Status: 503, Header: http.Header{"Retry-After": {"7"}},
		Body: []byte("no " + secret + " é" + strings.Repeat("é", exchange.MaxWords)),
	}
	e := a.Without(secret, "").Failure("pull orders", relay.Unavailable, nil)
	require.EqualError(t, e, "pull orders: unavailable, HTTP 503, again after 7s: the vendor answered 503")
	require.True(t, strings.HasPrefix(e.Words, "no … é"), e.Words[:20])
	require.LessOrEqual(t, len(e.Words), exchange.MaxWords)
	require.NotContains(t, e.Words, "\uFFFD")
	require.Contains(t, string(a.Body), secret, "the answer itself is as it was")

	e = a.Failure("submit order", relay.Unknown, io.EOF)
	require.Zero(t, e.After, "a write in doubt is looked up, not sent again")
	require.ErrorIs(t, e, io.EOF)
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                              0,
		"3":                             3 * time.Second,
		"0.5":                           500 * time.Millisecond,
		"0":                             0,
		"-3":                            0,
		"NaN":                           0,
		"1e300":                         time.Hour,
		"soon":                          0,
		"Sun, 01 Mar 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 01 Mar 2026 11:00:30 GMT": 0,
		"Sun, 01 Mar 2099 11:00:30 GMT": time.Hour,
	} {
		require.Equal(t, want, exchange.RetryAfter(http.Header{"Retry-After": {v}}, now), v)
	}
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := rate.NewLimiter(1, 1)
		began := time.Now()
		for range 3 {
			require.NoError(t, exchange.Pace(t.Context(), limiter, "pull orders"))
		}
		require.Equal(t, 2*time.Second, time.Since(began))
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		require.EqualError(t, exchange.Pace(short, limiter, "pull orders"), "pull orders: unavailable: no time left in the rate limit")
	})
}

func TestRetry(t *testing.T) {
	backoff := exchange.Backoff{First: time.Second, Longest: 30 * time.Second}
	failure := func(kind relay.ErrorKind, after time.Duration) error {
		return fmt.Errorf("page 2: %w", &relay.Error{Kind: kind, After: after})
	}
	for name, tc := range map[string]struct {
		err      error
		tries    int
		from, to time.Duration
	}{
		"unavailable":        {failure(relay.Unavailable, 0), exchange.Tries, 1500 * time.Millisecond, 3 * time.Second},
		"throttled":          {failure(relay.Throttled, 5*time.Second), exchange.Tries, 10 * time.Second, 10 * time.Second},
		"throttled for long": {failure(relay.Throttled, time.Minute), 1, 0, 0},
		"in doubt":           {failure(relay.Unknown, 0), 1, 0, 0},
		"in doubt behind":    {&relay.Error{Kind: relay.Unknown, Err: failure(relay.Unavailable, 0)}, 1, 0, 0},
		"not classified":     {io.EOF, 1, 0, 0},
		"none":               {nil, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, tries := time.Now(), 0
				err := backoff.Retry(t.Context(), func() error { tries++; return tc.err })
				require.Equal(t, tc.err, err)
				require.Equal(t, tc.tries, tries)
				require.GreaterOrEqual(t, time.Since(began), tc.from)
				require.LessOrEqual(t, time.Since(began), tc.to)
			})
		})
	}
	t.Run("a caller in a hurry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began, tries := time.Now(), 0
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			err := backoff.Retry(ctx, func() error { tries++; return failure(relay.Throttled, 5*time.Second) })
			require.ErrorIs(t, err, relay.Throttled)
			require.Equal(t, 1, tries)
			require.Zero(t, time.Since(began))
		})
	})
	t.Run("a caller who leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			err := backoff.Retry(ctx, func() error { tries++; return failure(relay.Unavailable, 0) })
			require.ErrorIs(t, err, relay.Unavailable)
			require.Equal(t, 1, tries)
		})
	})
}

func TestKinds(t *testing.T) {
	e := fmt.Errorf("order 7: %w", &relay.Error{Kind: relay.Unavailable, Op: "look", Status: 503, Err: io.EOF})
	require.True(t, exchange.KindIs(e, relay.Throttled, relay.Unavailable))
	require.False(t, exchange.KindIs(e, relay.Throttled))
	require.False(t, exchange.KindIs(nil, relay.Unknown))
	doubt := exchange.WithKind(e, relay.Unknown)
	require.EqualError(t, doubt, "look: unknown outcome, HTTP 503: EOF")
	require.ErrorIs(t, e, relay.Unavailable, "the first is as it was")
	require.Equal(t, io.EOF, exchange.WithKind(io.EOF, relay.Unknown))
}

func TestUnsent(t *testing.T) {
	err := exchange.Unsent("pull orders", "could not read the credentials", errors.New(secret))
	require.EqualError(t, err, "pull orders: unavailable: could not read the credentials")
	stopped := &relay.Error{Kind: relay.Unauthorised}
	require.ErrorIs(t, exchange.Unsent("pull orders", "could not read the credentials", stopped), relay.Unauthorised)
	require.ErrorIs(t, exchange.Masked("the page can't be read", io.EOF), io.EOF)
}
