package tradegecko

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"orderferry/connectors"
	"orderferry/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve opens a connection to a handler.
func serve(t *testing.T, h http.HandlerFunc) *connection {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return openAt(t, srv.URL, nil, &connectors.StaticVault{Credentials: connectors.Credentials{"access_token": "secret-token"}})
}

var read = request{op: "test read", path: "/things"}
var write = request{op: "test write", method: http.MethodPost, path: "/things", key: "k", body: map[string]int{"a": 1}}

func TestErrorsAreClassified(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body       string
		read, post relay.ErrorKind
		code       string
		words      string
	}{
		{400, `{"type":"Bad Request","message":"Required parameter missing: invoice"}`, relay.Invalid, relay.Invalid, "bad_request", "Required parameter missing: invoice"},
		{401, `{"type":"unauthorized","message":"no"}`, relay.Unauthorised, relay.Unauthorised, "unauthorized", "no"},
		{402, ``, relay.Unauthorised, relay.Unauthorised, "", "Payment Required"},
		{403, `{"error":"invalid_request","error_description":"spent"}`, relay.Unauthorised, relay.Unauthorised, "invalid_request", "spent"},
		{404, `{"type":"Not Found","message":"Couldn't find order with id 1"}`, relay.NotFound, relay.NotFound, "not_found", "Couldn't find order with id 1"},
		{409, `{"message":"taken"}`, relay.Conflict, relay.Conflict, "", "taken"},
		{400, `{"message":"Duplicate Idempotency Key header detected"}`, relay.Conflict, relay.Conflict, duplicateKey, "Duplicate Idempotency Key header detected"},
		{414, `x`, relay.Invalid, relay.Invalid, "", "Request URI Too Long"},
		{422, `{"errors":{"reason":["is bad"],"base":"no"},"message":"other"}`, relay.Invalid, relay.Invalid, "", "base no; reason is bad"},
		{422, `{"errors":[1],"type":{"a":1}}`, relay.Invalid, relay.Invalid, "", "Unprocessable Entity"},
		{500, `<html>`, relay.Unavailable, relay.Unknown, "", "Internal Server Error"},
		{503, `null`, relay.Unavailable, relay.Unknown, "", "Service Unavailable"},
		{302, ``, relay.Unavailable, relay.Unknown, "", "Found"},
		{200, `<html>`, relay.Unavailable, relay.Unknown, "", ""},
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		})
		for r, kind := range map[*request]relay.ErrorKind{&read: tt.read, &write: tt.post} {
			_, _, err := c.api.do(t.Context(), *r)
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, kind, e.Kind, "%d %s", tt.status, r.op)
			require.Equal(t, tt.status, e.Status)
			require.Equal(t, tt.code, e.Code)
			require.Equal(t, tt.words, e.Words)
			require.NotContains(t, err.Error(), "secret-token")
		}
	}
}

func TestReadsAreTriedAgainAndWritesAreNot(t *testing.T) {
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n := calls.Add(1); n < 3 {
			if n == 1 {
				drop(w)
				return
			}
			w.WriteHeader(500)
			return
		}
		_, _ = w.Write([]byte(`{"account":{"id":1}}`))
	})
	d, _, err := c.api.do(t.Context(), read)
	require.NoError(t, err)
	require.EqualValues(t, 1, d.Account.ID)
	require.EqualValues(t, 3, calls.Load())
	calls.Store(1)
	_, _, err = c.api.do(t.Context(), write)
	require.ErrorIs(t, err, relay.Unknown)
	require.EqualValues(t, 2, calls.Load())
}

// net/http repeats requests with an Idempotency-Key by itself when a kept-alive
// connection breaks. A write that the server saw must come to us instead.
func TestADroppedKeptAliveConnectionDoesNotRepeatAWrite(t *testing.T) {
	var posts atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
			require.Equal(t, "k", r.Header.Get("Idempotency-Key"))
			drop(w)
			return
		}
		_, _ = w.Write([]byte(`{}`))
	})
	_, _, err := c.api.do(t.Context(), read)
	require.NoError(t, err)
	_, _, err = c.api.do(t.Context(), write)
	require.ErrorIs(t, err, relay.Unknown)
	require.EqualValues(t, 1, posts.Load())
}

func TestAWriteThatNeverLeftIsUnavailable(t *testing.T) {
	vault := &connectors.StaticVault{Credentials: connectors.Credentials{"access_token": "x"}}
	_, _, err := openAt(t, "http://127.0.0.1:1", nil, vault).api.do(t.Context(), write) // nobody listens there
	require.ErrorIs(t, err, relay.Unavailable)

	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	tls.Config.ErrorLog = nil
	_, _, err = openAt(t, tls.URL, nil, vault).api.do(t.Context(), write)
	require.ErrorIs(t, err, relay.Unavailable)
}

// A transport that does not tell what it did gets no benefit of the doubt.
func TestAnUnknownTransportFailureOfAWriteIsUnknown(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) {})
	c.api.http.Transport = failing{}
	_, _, err := c.api.do(t.Context(), write)
	require.ErrorIs(t, err, relay.Unknown)
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("reset") }

func TestACancelledCallEndsAtOnce(t *testing.T) {
	entered := make(chan struct{}, 1)
	release := make(chan struct{})
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, _, err := c.api.do(ctx, write)
	require.ErrorIs(t, err, relay.Unknown)
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.PullOrders(ctx, connectors.OrdersQuery{Limit: 5})
	require.ErrorIs(t, err, relay.Unavailable)
}

func TestThe429IsHonoured(t *testing.T) {
	for _, tt := range []struct {
		name     string
		header   map[string]string
		from, to time.Duration
	}{
		{"reset", map[string]string{"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(time.Now().Unix() + 200)}, 190 * time.Second, 201 * time.Second},
		{"retry-after", map[string]string{"Retry-After": "7", "X-Rate-Limit-Reset": str(time.Now().Unix() + 200)}, 7 * time.Second, 7 * time.Second},
		{"nothing", nil, time.Minute, time.Minute},
		{"nonsense", map[string]string{"Retry-After": "soon", "X-Rate-Limit-Reset": "99999999999999"}, 305 * time.Second, 305 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				for k, v := range tt.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(429)
			})
			_, _, err := c.api.do(t.Context(), read)
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, relay.Throttled, e.Kind)
			require.GreaterOrEqual(t, e.After, tt.from)
			require.LessOrEqual(t, e.After, tt.to)
			require.EqualValues(t, 1, calls.Load())
			if tt.from > longestWait {
				_, _, err = c.api.do(t.Context(), write)
				require.ErrorIs(t, err, relay.Throttled, "the whole connection stays away")
				require.EqualValues(t, 1, calls.Load())
			}
		})
	}
}

func TestAUsedUpQuotaIsWaitedForWhenShort(t *testing.T) {
	usedUp := func(window time.Duration) (*connection, *atomic.Int32) {
		var calls atomic.Int32
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) == 1 {
				now := time.Now()
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat)) // not a second later
				w.Header().Set("X-Rate-Limit-Remaining", "0")
				w.Header().Set("X-Rate-Limit-Reset", str(now.Add(window).Unix()))
			}
			_, _ = w.Write([]byte(`{}`))
		})
		_, _, err := c.api.do(t.Context(), read)
		require.NoError(t, err)
		return c, &calls
	}
	began := time.Now()
	c, calls := usedUp(time.Second)
	_, _, err := c.api.do(t.Context(), read)
	require.NoError(t, err)
	require.EqualValues(t, 2, calls.Load())
	require.GreaterOrEqual(t, time.Since(began), time.Second)

	c, calls = usedUp(longestWait)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, _, err = c.api.do(short, read)
	require.ErrorIs(t, err, relay.Throttled)
	require.EqualValues(t, 1, calls.Load(), "a caller in a hurry is told at once")
}

func TestTheQuotaIsSharedAndCountsDown(t *testing.T) {
	now := time.Now()
	header := func(remaining string, reset int64) http.Header {
		return http.Header{"X-Rate-Limit-Remaining": {remaining}, "X-Rate-Limit-Reset": {str(reset)}, "Date": {now.UTC().Format(http.TimeFormat)}}
	}
	var q quota
	require.Zero(t, q.take(now), "nothing told, nothing limited")
	q.learn(header("2", now.Unix()+100), now)
	require.Zero(t, q.take(now))
	q.learn(header("2", now.Unix()+100), now) // a late answer of the same window
	require.Zero(t, q.take(now))
	require.Positive(t, q.take(now))
	q.learn(header("299", now.Unix()-200), now) // one of the window before
	require.Positive(t, q.take(now))
	q.learn(header("299", now.Unix()+400), now)
	require.Zero(t, q.take(now))
}

// lockedVault is a vault for several goroutines. Reads go on while a rotation is
// under way, as they do in a database.
type lockedVault struct {
	rotating sync.Mutex
	mu       sync.Mutex
	inner    connectors.StaticVault
	fail     error
	arrive   func() // called after each read
}

func (v *lockedVault) Read(ctx context.Context) (connectors.Credentials, error) {
	v.mu.Lock()
	c, err := v.inner.Read(ctx)
	v.mu.Unlock()
	if v.arrive != nil {
		v.arrive()
	}
	return c, err
}

func (v *lockedVault) Rotate(ctx context.Context, next func(context.Context, connectors.Credentials) (connectors.Credentials, error)) (connectors.Credentials, error) {
	v.rotating.Lock()
	defer v.rotating.Unlock()
	if v.fail != nil {
		return nil, v.fail
	}
	v.mu.Lock()
	now, err := v.inner.Read(ctx)
	v.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c, err := next(ctx, now)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.inner.Credentials = c
	return c, nil
}

// barrier holds everyone back until so many have come.
func barrier(n int) func() {
	var mu sync.Mutex
	open := make(chan struct{})
	return func() {
		mu.Lock()
		if n--; n == 0 {
			close(open)
		}
		mu.Unlock()
		<-open
	}
}

// grants is an API whose tokens rotate: a refresh token is good for one use.
type grants struct {
	mu              sync.Mutex
	access, refresh string
	refreshed       int
	fail            func(w http.ResponseWriter) bool
}

func (g *grants) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.URL.Path != "/oauth/token" {
		if r.Header.Get("Authorization") != "Bearer "+g.access {
			reply(w, 401, map[string]any{"type": "unauthorized", "message": "token"})
			return
		}
		reply(w, 200, map[string]any{"account": map[string]any{"id": 1, "name": "Acme"}})
		return
	}
	if g.fail != nil && g.fail(w) {
		return
	}
	body := make([]byte, 4096)
	n, _ := r.Body.Read(body)
	if !strings.Contains(string(body[:n]), `"refresh_token":"`+g.refresh+`"`) {
		reply(w, 401, map[string]any{"error": "invalid_request", "error_description": "spent"})
		return
	}
	g.refreshed++
	g.access, g.refresh = g.access+"+", g.refresh+"+"
	reply(w, 200, map[string]any{"access_token": g.access, "refresh_token": g.refresh, "expires_in": 7200, "token_type": "bearer"})
}

func oauth(t *testing.T, g *grants, expires time.Time) (*connection, *lockedVault) {
	t.Helper()
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	v := &lockedVault{inner: connectors.StaticVault{Credentials: connectors.Credentials{
		"client_id": "id", "client_secret": "hush", "redirect_uri": "https://relay.example/cb",
		"access_token": "a", "refresh_token": "r", "expires_at": expires.Format(time.RFC3339),
	}}}
	return openAt(t, srv.URL, nil, v), v
}

func TestTokensRotateOnceUnderARace(t *testing.T) {
	for name, expires := range map[string]time.Time{
		"refused":      time.Now().Add(time.Hour),
		"about to end": time.Now().Add(20 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			g := &grants{access: "a", refresh: "r"}
			if name == "refused" {
				g.access = "revoked"
			}
			c, v := oauth(t, g, expires)
			errs := make([]error, 16)
			// All of them hold the old token before the first one refreshes.
			v.arrive = barrier(len(errs))
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { _, _, errs[i] = c.api.do(t.Context(), read) })
			}
			wg.Wait()
			require.NoError(t, errors.Join(errs...))
			require.Equal(t, 1, g.refreshed)
			held, err := v.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, g.access, held["access_token"])
			require.Equal(t, "r+", held["refresh_token"])
			require.Equal(t, "hush", held["client_secret"])
			at, err := time.Parse(time.RFC3339, held["expires_at"])
			require.NoError(t, err)
			require.WithinDuration(t, time.Now().Add(2*time.Hour), at, time.Minute)
		})
	}
}

func TestAFailedRefreshIsClassified(t *testing.T) {
	for name, tt := range map[string]struct {
		fail func(w http.ResponseWriter) bool
		kind relay.ErrorKind
	}{
		"spent": {func(w http.ResponseWriter) bool {
			reply(w, 401, map[string]any{"error": "invalid_request", "error_description": "spent hush"})
			return true
		}, relay.Unauthorised},
		"400":     {func(w http.ResponseWriter) bool { w.WriteHeader(400); return true }, relay.Unauthorised},
		"dropped": {func(w http.ResponseWriter) bool { drop(w); return true }, relay.Unavailable},
		"HTML":    {func(w http.ResponseWriter) bool { _, _ = w.Write([]byte("<html>")); return true }, relay.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			g := &grants{access: "other", refresh: "r", fail: tt.fail}
			c, v := oauth(t, g, time.Now().Add(time.Hour))
			_, _, err := c.api.do(t.Context(), write)
			require.ErrorIs(t, err, tt.kind)
			require.NotContains(t, err.Error(), "hush")
			held, _ := v.Read(t.Context())
			require.Equal(t, "r", held["refresh_token"])
		})
	}
}

func TestARefreshOutlivesItsCaller(t *testing.T) {
	g := &grants{access: "other", refresh: "r"}
	c, v := oauth(t, g, time.Now().Add(-time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	g.fail = func(http.ResponseWriter) bool { cancel(); return false }
	_, _, err := c.api.do(ctx, read)
	require.Error(t, err)
	held, _ := v.Read(t.Context())
	require.Equal(t, "r+", held["refresh_token"], "the spent token's successor is kept")
}

func TestAVaultThatCannotStoreIsUnavailable(t *testing.T) {
	g := &grants{access: "other", refresh: "r"}
	c, v := oauth(t, g, time.Now().Add(time.Hour))
	v.fail = errors.New("disk full")
	_, _, err := c.api.do(t.Context(), read)
	require.ErrorIs(t, err, relay.Unavailable)
}

func TestARefusedPrivilegedTokenIsUnauthorised(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 401, map[string]any{"type": "unauthorized", "message": "no"})
	})
	_, err := c.Check(t.Context())
	require.ErrorIs(t, err, relay.Unauthorised)
	none := openAt(t, "http://127.0.0.1:1", nil, &connectors.StaticVault{})
	_, err = none.Check(t.Context())
	require.ErrorIs(t, err, relay.Unauthorised)
}

func TestTwoNamesOfOneAPI(t *testing.T) {
	kinds := Connectors()
	require.Len(t, kinds, 2)
	for _, kind := range kinds {
		_, base, faults := kind.Configure("", nil, nil)
		require.Empty(t, faults)
		require.Equal(t, "https://api.tradegecko.com", base)
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	s := newShop(t)
	s.add("accounts", map[string]any{"id": 1, "name": "Acme", "time_zone": "Asia/Singapore", "primary_location_id": 31})
	s.add("locations", map[string]any{"id": 31, "label": "Main", "holds_stock": true})
	s.add("users", map[string]any{"permissions": []any{"write_orders"}})
	r, err := s.open(connectors.Values{"location": "32"}).Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Acme", r.Account)
	require.Len(t, r.Missing, 2)
	require.Contains(t, r.Missing[0], "location 32")
	require.Contains(t, r.Missing[1], "write_stocks")
	s.row("locations", 31)
	s.tables["users"][0]["permissions"] = []any{"write_orders", "write_stocks"}
	r, err = s.open(nil).Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, r.Missing)
	require.Equal(t, relay.Mode(""), r.Mode)
}

func TestSettingsAreChecked(t *testing.T) {
	kind := Connectors()[0]
	_, _, faults := kind.Configure("", connectors.Values{
		"location": "main", "statuses": "void", "payment": "maybe", "page_size": "251", "adjustment_reason": "theft",
	}, connectors.Credentials{"expires_at": "tomorrow", "redirect_uri": "x"})
	require.Len(t, faults, 7)
}
