package tradegecko

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"time"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// refreshEarly is how long before its expiry a token is replaced, as the
// vendor's own helper does (wire/tradegecko.md section 3.2).
const refreshEarly = 30 * time.Second

// grant is the account's access: a privileged token that lasts, or an OAuth
// grant whose tokens rotate.
type grant struct {
	vault   connectors.Vault
	base    string
	http    *http.Client
	timeout time.Duration
}

// token returns a token other than the refused one, refreshing the grant if
// need be. A privileged token can't be refreshed.
func (g *grant) token(ctx context.Context, refused string) (string, error) {
	const op = "authorise"
	c, err := g.vault.Read(ctx)
	if err != nil {
		return "", vaultError(op, err)
	}
	if usable(c, refused) {
		return c["access_token"], nil
	}
	if c["refresh_token"] == "" {
		reason := "no access_token and no refresh_token"
		if c["access_token"] != "" {
			reason = "the access token was refused and there is no refresh_token"
		}
		return "", &relay.Error{Op: op, Kind: relay.Unauthorised, Err: errors.New(reason)}
	}
	if err := ctx.Err(); err != nil {
		return "", exchange.Unsent(op, "no time left to refresh the token", err)
	}
	// A refresh token is spent once it is sent: a caller who gives up must not
	// keep its successor from being stored.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*g.timeout)
	defer cancel()
	c, err = g.vault.Rotate(ctx, func(ctx context.Context, c connectors.Credentials) (connectors.Credentials, error) {
		if usable(c, refused) { // somebody else refreshed while we waited
			return c, nil
		}
		return g.refresh(ctx, c)
	})
	if err != nil {
		return "", vaultError(op, err)
	}
	return c["access_token"], nil
}

func usable(c connectors.Credentials, refused string) bool {
	t := c["access_token"]
	if t == "" || t == refused {
		return false
	}
	expires, err := time.Parse(time.RFC3339, c["expires_at"])
	return c["refresh_token"] == "" || err != nil || time.Now().Add(refreshEarly).Before(expires)
}

// refresh calls the token endpoint and returns the credentials with the new tokens
// in them. It does not count against the rate limit as far as we know.
func (g *grant) refresh(ctx context.Context, c connectors.Credentials) (connectors.Credentials, error) {
	const op = "refresh token"
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{
		"client_id": c["client_id"], "client_secret": c["client_secret"], "redirect_uri": c["redirect_uri"],
		"grant_type": "refresh_token", "refresh_token": c["refresh_token"],
	})
	if err != nil {
		return nil, &relay.Error{Op: op, Kind: relay.Invalid, Err: errors.New("the request can't be written")}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+"/oauth/token", bytes.NewReader(body))
	if err != nil {
		return nil, &relay.Error{Op: op, Kind: relay.Invalid, Err: errors.New("the request can't be written")}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	a, err := exchange.Do(g.http, req, op, false)
	switch {
	case err != nil:
		return nil, err
	case !a.OK():
		// Whatever the status, only a new consent helps (section 3.2).
		e := refusal(op, false, a)
		e.Kind, e.Fields = relay.Unauthorised, nil
		return nil, e
	case a.Cut != nil:
		return nil, &relay.Error{Op: op, Kind: relay.Unavailable, Status: a.Status, Err: a.Cut}
	}
	return renewed(op, c, a.Body)
}

func renewed(op string, c connectors.Credentials, reply []byte) (connectors.Credentials, error) {
	var t struct {
		Access    text `json:"access_token"`
		Refresh   text `json:"refresh_token"`
		ExpiresIn id   `json:"expires_in"`
	}
	if json.Unmarshal(reply, &t) != nil || t.Access == "" {
		return nil, unreadable(op, "token")
	}
	next := maps.Clone(c)
	next["access_token"] = string(t.Access)
	if t.Refresh != "" {
		next["refresh_token"] = string(t.Refresh)
	}
	delete(next, "expires_at")
	if t.ExpiresIn > 0 && t.ExpiresIn < 1<<31 {
		next["expires_at"] = time.Now().Add(time.Duration(t.ExpiresIn) * time.Second).UTC().Format(time.RFC3339)
	}
	return next, nil
}

// vaultError passes our own errors on; what else a vault says means that the
// credentials can't be had now.
func vaultError(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *relay.Error
	if errors.As(err, &e) {
		return err
	}
	return &relay.Error{Op: op, Kind: relay.Unavailable, Err: err}
}
