package bergen

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// youngToken is the age up to which a token is not suspected when an answer is odd.
const youngToken = time.Minute

// client speaks SOAP over HTTP. It is safe for concurrent use.
type client struct {
	address string
	http    *http.Client
	limiter *rate.Limiter
	timeout time.Duration // of one request, from the first byte to the last
	backoff exchange.Backoff
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
		return login{}, exchange.Unsent(op, "could not read the credentials", err)
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
		return "", time.Time{}, exchange.Unsent(op, "no time left to wait for the token", ctx.Err())
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
		if err = c.backoff.Retry(ctx, login); err == nil {
			err = try()
		}
	} else {
		err = c.backoff.Retry(ctx, func() error {
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
		return old || f.refusesToken()
	case errors.Is(err, errNoResult):
		return old
	case err != nil:
		return false
	case got.blank():
		return old
	case refusesToken(got):
		return true
	}
	return old && slices.ContainsFunc(got.failures(), func(n notice) bool { return !n.expected() })
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
	var f *faultXML
	if errors.As(err, &f) && f.client() && f.refusesToken() {
		return &relay.Error{Kind: relay.Unauthorised, Op: op, Status: status, Code: f.code(), Words: exchange.Clip(f.String, exchange.MaxWords), Err: errNotAccepted}
	}
	if err != nil {
		return err
	}
	if !refusesToken(got) {
		return nil
	}
	e := noticeError(op, relay.Unauthorised, status, got.notices())
	e.Err = errNotAccepted
	return e
}

var errNotAccepted = errors.New("the token that was just given is not accepted")

// exchange makes one request. Its errors are classified for the operation: what
// leaves open whether a write was taken is Unknown, and Unavailable for a read.
func (c *client) exchange(ctx context.Context, op string, o operation, into any, token string, args ...any) (int, error) {
	a, err := c.post(ctx, op, o, o.request(token, args...))
	if err != nil {
		return 0, err
	}
	// A vendor's words go to the ledger, and a refusal may quote the request. The
	// answer to a login is the one that has to hold a token.
	secrets := secretsOf(token, args)
	quiet := a.Without(secrets...)
	if token != "" {
		a = quiet
	}
	if a.Status == http.StatusTooManyRequests {
		e := quiet.Failure(op, relay.Throttled, nil)
		e.After = cmp.Or(e.After, unsaidPause)
		return a.Status, e
	}
	if err = a.Cut; err == nil {
		err = decode(a.Body, o, into)
	}
	inDoubt := exchange.InDoubt(o.write)
	var f *faultXML
	switch {
	case errors.As(err, &f):
		f.String = string(exchange.Redact([]byte(f.String), secrets...))
		return a.Status, f.err(op, inDoubt, a.Status)
	case a.OK() && err == nil:
		return a.Status, nil
	case a.OK():
		return a.Status, quiet.Failure(op, inDoubt, err)
	case a.Status >= 400 && a.Status < 500 && a.Status != http.StatusRequestTimeout:
		// The web server or something before it: the request did not come through.
		// That says nothing of the credentials, which travel inside.
		return a.Status, quiet.Failure(op, relay.Unavailable, nil)
	}
	return a.Status, quiet.Failure(op, inDoubt, nil)
}

// secretsOf lists what must not be quoted of a request, also as XML writes it:
// its token, or the credentials that ask for one.
func secretsOf(token string, args []any) []string {
	secrets := []string{token}
	if token == "" {
		for _, arg := range args {
			secrets = append(secrets, fmt.Sprint(arg))
		}
	}
	for _, s := range secrets {
		var escaped bytes.Buffer
		_ = xml.EscapeText(&escaped, []byte(s)) // a buffer takes all
		secrets = append(secrets, escaped.String())
	}
	return secrets
}

// post sends one request.
func (c *client) post(ctx context.Context, op string, o operation, body []byte) (exchange.Answer, error) {
	if err := exchange.Pace(ctx, c.limiter, op); err != nil {
		return exchange.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	// A bytes.Reader gives the request its Content-Length, so it is never chunked.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address, bytes.NewReader(body))
	if err != nil {
		return exchange.Answer{}, exchange.Unsent(op, "could not make the request", err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	req.Header.Set("SOAPAction", o.action())
	return exchange.Do(c.http, req, op, o.write)
}
