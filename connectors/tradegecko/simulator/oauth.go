package simulator

import (
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	accessLife = 7200 * time.Second // wire/tradegecko.md section 3.2
	codeLife   = 10 * time.Minute
)

// authCode is an authorization code that has not been used.
type authCode struct {
	books *books
	until time.Time
}

func (g grant) clone() grant {
	g.Access = maps.Clone(g.Access)
	return g
}

// bearer finds the account of a request's token; nil when the token is no good.
func (s *Simulator) bearer(r *http.Request) *books {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil
	}
	if b := s.byToken[token]; b != nil {
		return b
	}
	s.oauthMu.RLock()
	b := s.access[token]
	s.oauthMu.RUnlock()
	if b == nil {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if until, ok := b.grant.Access[token]; !ok || until <= stampOf(s.now()) {
		return nil
	}
	return b
}

// refuseToken is an error of the token endpoint, which has a shape of its own.
func (x *exchange) refuseToken(status int, code, description string) {
	x.status = status
	d := newDocument(&x.buf)
	d.object("error", code)
	d.object("error_description", description)
	_ = d.end() // strings always encode
}

// token is POST /oauth/token.
func (x *exchange) token() {
	if x.request.Method != http.MethodPost {
		x.fail(noRoute())
		return
	}
	form, err := x.tokenForm()
	if err != nil {
		x.refuseToken(http.StatusBadRequest, "invalid_request", "The request is malformed")
		return
	}
	var own []*books
	for _, b := range x.sim.books {
		if b.account.AppID != "" && b.account.AppID == form["client_id"] && same(b.account.AppSecret, form["client_secret"]) {
			own = append(own, b)
		}
	}
	if own == nil {
		x.refuseToken(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
		return
	}
	switch form["grant_type"] {
	case "refresh_token":
		for _, b := range own {
			if x.refresh(b, form["refresh_token"]) {
				return
			}
		}
		x.refuseToken(http.StatusUnauthorized, "invalid_request", "The refresh token is invalid or was used before")
	case "authorization_code":
		x.redeem(own, form["code"])
	default:
		x.refuseToken(http.StatusBadRequest, "unsupported_grant_type", "The grant type is not supported")
	}
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// tokenForm reads a JSON or form body.
func (x *exchange) tokenForm() (map[string]string, error) {
	data, err := io.ReadAll(io.LimitReader(x.request.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	form := map[string]string{}
	if media, _, _ := mime.ParseMediaType(x.request.Header.Get("Content-Type")); media == "application/x-www-form-urlencoded" {
		values, err := url.ParseQuery(string(data))
		for name := range values {
			form[name] = values.Get(name)
		}
		return form, err
	}
	err = json.Unmarshal(data, &form)
	return form, err
}

// refresh spends a refresh token; false when it is not the account's.
func (x *exchange) refresh(b *books, token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if token == "" || !same(b.grant.Refresh, token) {
		return false
	}
	x.issue(b)
	return true
}

// redeem turns an authorization code into a grant, which ends the one before.
func (x *exchange) redeem(own []*books, code string) {
	s := x.sim
	s.oauthMu.Lock()
	issued, ok := s.codes[code]
	delete(s.codes, code)
	s.oauthMu.Unlock()
	for _, b := range own {
		if ok && b == issued.books && s.now().Before(issued.until) {
			b.mu.Lock()
			defer b.mu.Unlock()
			x.issue(b)
			return
		}
	}
	x.refuseToken(http.StatusUnauthorized, "invalid_grant", "The authorization code is invalid or expired")
}

// issue deals new tokens; the caller holds the lock of the books.
func (x *exchange) issue(b *books) {
	s, now := x.sim, x.sim.now()
	next := b.grant.clone()
	if next.Access == nil {
		next.Access = map[string]stamp{}
	}
	next.Issued++
	for token, until := range next.Access {
		if until <= stampOf(now) {
			delete(next.Access, token)
			s.setAccess(token, nil)
		}
	}
	access := s.digest("access", b.account.Name, next.Issued)
	refresh := s.digest("refresh", b.account.Name, next.Issued)
	token := hex.EncodeToString(access[:])
	next.Refresh = hex.EncodeToString(refresh[:])
	next.Access[token] = stampOf(now.Add(accessLife))
	c := b.begin()
	c.touch("grant", &next)
	if err := c.commit(); err != nil {
		x.fail(err)
		return
	}
	b.grant = next
	s.setAccess(token, b)
	d := newDocument(&x.buf)
	d.object("access_token", token)
	d.object("token_type", "bearer")
	d.object("expires_in", int(accessLife/time.Second))
	d.object("refresh_token", next.Refresh)
	d.object("scope", "public")
	d.object("created_at", now.Unix())
	_ = d.end() // strings and numbers always encode
	x.status = http.StatusOK
}

func (s *Simulator) setAccess(token string, b *books) {
	s.oauthMu.Lock()
	defer s.oauthMu.Unlock()
	if b == nil {
		delete(s.access, token)
		return
	}
	s.access[token] = b
}

// authorize is GET /oauth/authorize: consent is given at once. Where several
// accounts share an application, ?account= names the one that consents.
func (x *exchange) authorize() {
	q := x.request.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if x.request.Method != http.MethodGet || q.Get("response_type") != "code" || err != nil || back.Host == "" {
		x.refuseToken(http.StatusBadRequest, "invalid_request", "Want GET with response_type=code and a redirect_uri")
		return
	}
	for _, b := range x.sim.books {
		if b.account.AppID == "" || b.account.AppID != q.Get("client_id") || q.Has("account") && q.Get("account") != b.account.Name {
			continue
		}
		s := x.sim
		s.oauthMu.Lock()
		sum := s.digest("code", b.account.Name, x.number, len(s.codes))
		code := hex.EncodeToString(sum[:16])
		for old, c := range s.codes {
			if !s.now().Before(c.until) {
				delete(s.codes, old)
			}
		}
		s.codes[code] = authCode{books: b, until: s.now().Add(codeLife)}
		s.oauthMu.Unlock()
		values := back.Query()
		values.Set("code", code)
		back.RawQuery = values.Encode()
		x.header["Location"] = []string{back.String()}
		x.status = http.StatusFound
		return
	}
	x.refuseToken(http.StatusUnauthorized, "invalid_client", "The client is unknown")
}
