package bergen

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	maxBody   = 32 << 20 // bytes of an answer that are read
	readTries = 3        // a read is tried so often; a write once
	longPause = 30 * time.Second
	userAgent = "Orderferry"
	// youngToken is the age up to which a token is not suspected when an answer is odd.
	youngToken = time.Minute
)

// client speaks SOAP over HTTP. It is safe for concurrent use.
type client struct {
	address string
	http    *http.Client
	limiter *rate.Limiter
	timeout time.Duration // of one request, from the first byte to the last
	pause   time.Duration // before the second try of a read; doubled for the third
	session *session
}

// session holds the token of one connection (section 6).
type session struct {
	vault connectors.Vault
	life  time.Duration
	lock  chan struct{} // full while somebody reads or renews the rest
	token string
	of    login
	at    time.Time
}

// login is what a token is asked for with.
type login struct{ webAddress, userName, password string }

// account is the name of the account within its web address, which is a
// credential: northwind of www.northwind.atworkweb.com.
func (l login) account() string {
	name := strings.ToLower(l.webAddress)
	if _, rest, ok := strings.Cut(name, "://"); ok {
		name = rest
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "www."), ".")
	return name
}

func newSession(vault connectors.Vault, life time.Duration) *session {
	return &session{vault: vault, life: life, lock: make(chan struct{}, 1)}
}

// credentials reads them anew each time, so that changed ones are used at once.
func (s *session) credentials(ctx context.Context, op string) (login, error) {
	read, err := s.vault.Read(ctx)
	if err != nil {
		var e *relay.Error
		if errors.As(err, &e) {
			return login{}, err
		}
		return login{}, &relay.Error{Kind: relay.Unavailable, Op: op, Err: &hidden{"could not read the credentials", err}}
	}
	l := login{strings.TrimSpace(read["web_address"]), strings.TrimSpace(read["user_name"]), read["password"]}
	if l.webAddress == "" || l.userName == "" || l.password == "" {
		return l, &relay.Error{Kind: relay.Unauthorised, Op: op, Err: errors.New("no credential web_address, user_name or password")}
	}
	return l, nil
}

// token returns a token no older than atMost, and since when we have it. A zero
// time says that it was asked for just now.
func (c *client) token(ctx context.Context, op string, atMost time.Duration) (string, time.Time, error) {
	s := c.session
	who, err := s.credentials(ctx, op)
	if err != nil {
		return "", time.Time{}, err
	}
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return "", time.Time{}, &relay.Error{Kind: relay.Unavailable, Op: op, Err: ctx.Err()}
	}
	if s.token != "" && s.of == who && time.Since(s.at) < min(s.life, atMost) {
		return s.token, s.at, nil
	}
	s.token = ""
	token, err := c.logIn(ctx, op, who)
	if err != nil {
		return "", time.Time{}, err
	}
	s.token, s.of, s.at = token, who, time.Now()
	return token, time.Time{}, nil
}

// newToken returns a token that was asked for within the last minute.
func (c *client) newToken(ctx context.Context, op string) (string, error) {
	token, _, err := c.token(ctx, op, youngToken)
	return token, err
}

// forget drops the token, unless it was renewed meanwhile.
func (c *client) forget(ctx context.Context, token string) {
	select {
	case c.session.lock <- struct{}{}:
		if c.session.token == token {
			c.session.token = ""
		}
		<-c.session.lock
	case <-ctx.Done(): // it grows old by itself
	}
}

// logIn asks for a token. What is wrong with the credentials is not told: the
// result is empty or missing (section 6).
func (c *client) logIn(ctx context.Context, op string, who login) (string, error) {
	var got tokenAnswer
	status, err := c.exchange(ctx, op, getToken, &got, "", who.webAddress, who.userName, who.password)
	if err != nil && !errors.Is(err, errNoResult) {
		return "", err
	}
	token := strings.TrimSpace(got.Text)
	if token == "" {
		return "", &relay.Error{Kind: relay.Unauthorised, Op: op, Status: status,
			Err: errors.New("no token is given for this account web address, API user name and password")}
	}
	return token, nil
}

// answerer is the result of an operation that takes a token.
type answerer interface {
	notices() []notice
	failures() []notice
	blank() bool // it says nothing at all
}

// call makes one request and decodes its result, whose notices are the caller's
// to judge. Reads are tried again. What looks like a spent token is met with a
// new one, once: for a read whenever its answer is odd; for a write only when
// its answer shows that nothing was taken (section 6).
func call[T answerer](ctx context.Context, c *client, op string, o operation, args ...any) (T, int, error) {
	var got T
	var status int
	once := func(token string) error {
		var fresh T
		var err error
		status, err = c.exchange(ctx, op, o, &fresh, token, args...)
		got = fresh
		return err
	}
	var token string
	var since time.Time
	login := func() (err error) {
		token, since, err = c.token(ctx, op, c.session.life)
		return err
	}
	try := func() error {
		err := once(token)
		if since.IsZero() || !suspect(since, got, err) {
			return err
		}
		c.forget(ctx, token)
		if o.write && !untaken(got, err) {
			return err
		}
		if err := login(); err != nil {
			return err
		}
		return once(token)
	}
	var err error
	if o.write {
		// Asking for the token is a read, whatever it is for.
		if err = c.retry(ctx, login); err == nil {
			err = try()
		}
	} else {
		err = c.retry(ctx, func() error {
			if err := login(); err != nil {
				return err
			}
			return try()
		})
	}
	return got, status, refused(op, status, got, err)
}

// suspect reports whether an answer may come from a token that is spent. What
// such a token is answered with is not known (section 6): a notification, a
// fault, or nothing.
func suspect(since time.Time, got answerer, err error) bool {
	old := time.Since(since) > youngToken
	var f *faultXML
	switch {
	case errors.As(err, &f):
		return old || namesAuthentication(f.String)
	case errors.Is(err, errNoResult):
		return old
	case err != nil:
		return false
	case got.blank():
		return old
	}
	for _, n := range got.failures() {
		if namesAuthentication(n.words()) || (old && !n.expected()) {
			return true
		}
	}
	return false
}

// untaken reports whether an answer shows that a write was not accepted.
func untaken(got answerer, err error) bool {
	var f *faultXML
	if errors.As(err, &f) {
		return f.client()
	}
	return err == nil && len(got.failures()) > 0 && len(got.failures()) == len(got.notices())
}

// refused makes an error of an answer that says that the token is not accepted.
func refused(op string, status int, got answerer, err error) error {
	if err != nil {
		return err
	}
	for _, n := range got.failures() {
		if namesAuthentication(n.words()) {
			e := noticeError(op, relay.Unauthorised, status, got.failures())
			e.Err = errors.New("the token that was just given is not accepted")
			return e
		}
	}
	return nil
}

// exchange makes one request. Its errors are classified for the operation: what
// leaves open whether a write was taken is Unknown, and Unavailable for a read.
func (c *client) exchange(ctx context.Context, op string, o operation, into any, token string, args ...any) (int, error) {
	kind := relay.Unavailable
	if o.write {
		kind = relay.Unknown
	}
	a, err := c.post(ctx, op, o, o.request(token, args...))
	if err != nil {
		if kindIs(err, relay.Unknown) {
			err = withKind(err, kind)
		}
		return 0, err
	}
	// A vendor's words go to the ledger, and a refusal may quote the request.
	secrets := []string{token}
	if token == "" {
		secrets = nil
		for _, arg := range args {
			secrets = append(secrets, fmt.Sprint(arg))
		}
	} else {
		a.body = hide(a.body, secrets)
	}
	if a.status == http.StatusTooManyRequests {
		a.body = hide(a.body, secrets)
		return a.status, a.err(op, relay.Throttled, nil)
	}
	if a.cut == nil {
		err = decode(a.body, o, into)
	} else {
		err = describe(a.cut)
	}
	var f *faultXML
	switch {
	case errors.As(err, &f):
		f.String = string(hide([]byte(f.String), secrets))
		return a.status, f.err(op, kind, a.status)
	case a.ok() && err == nil:
		return a.status, nil
	}
	a.body = hide(a.body, secrets)
	switch {
	case a.status >= 400 && a.status < 500 && a.status != http.StatusRequestTimeout:
		// The web server or something before it: the request did not come through.
		// That says nothing of the credentials, which travel inside.
		return a.status, a.err(op, relay.Unavailable, nil)
	case a.ok():
		return a.status, a.err(op, kind, err)
	}
	return a.status, a.err(op, kind, nil)
}

// hide puts "…" for every secret, also as XML writes it.
func hide(text []byte, secrets []string) []byte {
	for _, s := range secrets {
		var escaped bytes.Buffer
		_ = xml.EscapeText(&escaped, []byte(s))
		for _, form := range [][]byte{[]byte(s), escaped.Bytes()} {
			if len(form) > 0 {
				text = bytes.ReplaceAll(text, form, []byte("…"))
			}
		}
	}
	return text
}

// withKind is the error with another kind.
func withKind(err error, kind relay.ErrorKind) error {
	var e *relay.Error
	if !errors.As(err, &e) {
		return err
	}
	again := *e
	again.Kind = kind
	return &again
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

// post sends one request. When there is no answer, the error's kind is
// Unavailable if no byte of the request can have left, else Unknown.
func (c *client) post(ctx context.Context, op string, o operation, body []byte) (answer, error) {
	if err := c.limiter.Wait(ctx); err != nil {
		return answer{}, &relay.Error{Kind: relay.Unavailable, Op: op, Err: &hidden{"no time left in the rate limit", errors.Join(err, ctx.Err())}}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var t trace
	// A bytes.Reader gives the request its Content-Length, so it is never chunked.
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.hooks()), http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return answer{}, &relay.Error{Kind: relay.Unavailable, Op: op, Err: &hidden{"could not make the request", err}}
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", o.action())
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		kind := relay.Unknown
		if t.nothingLeft(err) {
			kind = relay.Unavailable
		}
		return answer{}, &relay.Error{Kind: kind, Op: op, Err: describe(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.cut = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(a.body) > maxBody {
		a.body, a.cut = nil, errors.New("the answer is too long")
	}
	return a, nil
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
