package notify_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"orderferry/notify"
	"orderferry/relay"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

var began = time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)

func message() relay.AlertMessage {
	return relay.AlertMessage{Merchant: "acme", Key: "alert_KEY", At: began.Add(time.Hour), Count: 3, Notices: []relay.AlertNotice{
		{News: relay.AlertOpened, Alert: relay.Alert{ID: 7, Merchant: "acme", Cause: "connection/shop", Level: 1, Headline: "connection shop is stopped", Since: began, OpenedAt: began}},
		{News: relay.AlertClosed, Alert: relay.Alert{ID: 8, Merchant: "acme", Cause: "paused", Level: 2, Headline: "the merchant is paused", Since: began, OpenedAt: began,
			ClosedAt: began.Add(time.Minute), ClosedBy: relay.Recovered}},
	}}
}

// A receiver that verifies by the reference library takes what is posted.
func TestPostIsSignedAsStandardWebhooksHasIt(t *testing.T) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	var bodies []string
	var headers []http.Header
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		bodies, headers = append(bodies, string(body)), append(headers, r.Header)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer receiver.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	webhook := notify.Webhook{Transport: transport}
	for range 2 {
		require.NoError(t, webhook.Post(t.Context(), receiver.URL+"/hook?token=x", secret, message()))
	}
	require.Equal(t, bodies[0], bodies[1])
	require.Equal(t, "alert_KEY", headers[0].Get("webhook-id"))
	require.Equal(t, headers[0].Get("webhook-id"), headers[1].Get("webhook-id"))
	require.Equal(t, "application/json", headers[0].Get("Content-Type"))
	require.JSONEq(t, `{
		"type": "alerts", "timestamp": "2026-03-01T06:00:00Z",
		"data": {"merchant": "acme", "more": 1, "notices": [
			{"news": "opened", "alert": 7, "cause": "connection/shop", "level": 1, "headline": "connection shop is stopped",
			 "since": "2026-03-01T05:00:00Z", "opened_at": "2026-03-01T05:00:00Z",
			 "next": "Nothing runs on this connection until it is resumed; orders wait and are not lost.",
			 "commands": ["ferry connection test --merchant acme --connection shop", "ferry merchant onboard --file merchant.yaml", "ferry merchant resume --merchant acme"]},
			{"news": "closed", "alert": 8, "cause": "paused", "level": 2, "headline": "the merchant is paused", "since": "2026-03-01T05:00:00Z",
			 "opened_at": "2026-03-01T05:00:00Z", "closed_at": "2026-03-01T05:01:00Z", "closed_by": "recovered"}]}}`, bodies[0])

	test := relay.AlertMessage{Merchant: "acme", Key: "alert_TEST", Test: true, At: began}
	require.NoError(t, webhook.Post(t.Context(), receiver.URL, secret, test))
	var got struct{ Type string }
	require.NoError(t, json.Unmarshal([]byte(bodies[2]), &got))
	require.Equal(t, "alerts.test", got.Type)

	// Signed with another secret it is refused, and what is refused is not posted again.
	err = webhook.Post(t.Context(), receiver.URL, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", message())
	require.ErrorIs(t, err, relay.Rejected)
	require.Len(t, bodies, 3)
}

func TestPostThatIsNotTaken(t *testing.T) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for status, kind := range map[int]relay.ErrorKind{
		301: relay.Unavailable, 307: relay.Unavailable,
		400: relay.Rejected, 401: relay.Rejected, 404: relay.Rejected, 410: relay.Rejected,
		408: relay.Unavailable, 425: relay.Unavailable, 429: relay.Throttled,
		500: relay.Unavailable, 502: relay.Unavailable, 503: relay.Throttled,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			posts := 0
			receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				posts++
				w.Header().Set("Location", "/elsewhere")
				w.Header().Set("Retry-After", "90")
				w.WriteHeader(status)
			}))
			defer receiver.Close()
			err := notify.Webhook{Transport: transport}.Post(t.Context(), receiver.URL+"/token-in-path", secret, message())
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, kind, e.Kind)
			require.Equal(t, status, e.Status)
			require.Equal(t, 1, posts, "no redirect is followed")
			if kind == relay.Throttled {
				require.Equal(t, 90*time.Second, e.After)
			}
			require.NotContains(t, err.Error(), "token-in-path")
		})
	}
}

func TestPostThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		address, secret string
		kind            relay.ErrorKind
	}{
		"nobody listens": {"http://127.0.0.1:1/token-in-path", secret, relay.Unavailable},
		"no secret":      {"http://127.0.0.1:1/token-in-path", "", relay.Unauthorised},
		"bad secret":     {"http://127.0.0.1:1/token-in-path", "hush", relay.Unauthorised},
		"bad address":    {"http://token-in-path\x7f", secret, relay.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			err := notify.Webhook{}.Post(t.Context(), c.address, c.secret, message())
			require.ErrorIs(t, err, c.kind)
			require.NotContains(t, err.Error(), "token-in-path")
			require.NotContains(t, err.Error(), "hush")
		})
	}
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }))
	defer gone.Close()
	err := notify.Webhook{Transport: gone.Client().Transport}.Post(t.Context(), gone.URL, secret, message())
	require.ErrorIs(t, err, relay.Unavailable)
	var unwrapped *relay.Error
	require.True(t, errors.As(err, &unwrapped))
	require.Zero(t, unwrapped.Status)
}
