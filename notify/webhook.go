package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"orderferry/relay"
)

// Webhook posts messages as Standard Webhooks has it
// (github.com/standard-webhooks/standard-webhooks): the headers webhook-id,
// webhook-timestamp and webhook-signature, an HMAC-SHA256 over the three of
// id, timestamp and body. Safe for concurrent use.
type Webhook struct {
	// Transport carries the requests; nil means Go's default.
	Transport http.RoundTripper
}

// webhookTimeout bounds one post, its answer included.
const webhookTimeout = 20 * time.Second

// Post posts a message. Any 2xx is success; a redirect is not followed. Its error
// is a *relay.Error: Rejected for answers that stay the same (4xx but 408, 425
// and 429), Throttled with the delay that was asked for, else Unavailable.
// It names no address: that may hold a token.
func (w Webhook) Post(ctx context.Context, address, secret string, msg relay.AlertMessage) error {
	const op = "post to the webhook"
	key, err := relay.ParseWebhookSecret(secret)
	if err != nil {
		return &relay.Error{Kind: relay.Unauthorised, Op: op, Err: fmt.Errorf("its secret: %w", err)}
	}
	body, err := json.Marshal(newPost(msg))
	if err != nil {
		return &relay.Error{Kind: relay.Rejected, Op: op, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &relay.Error{Kind: relay.Rejected, Op: op, Err: errors.New("its address is none")}
	}
	at := strconv.FormatInt(time.Now().Unix(), 10) // of this try: receivers refuse old ones
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "orderferry")
	r.Header.Set("Webhook-Id", msg.Key)
	r.Header.Set("Webhook-Timestamp", at)
	r.Header.Set("Webhook-Signature", "v1,"+sign(key, msg.Key, at, body))
	client := http.Client{
		Transport:     w.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return &relay.Error{Kind: relay.Unavailable, Op: op, Err: withoutAddress(err)}
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // so that the connection can be used again
	if answer.StatusCode/100 == 2 {
		return nil
	}
	return refusal(op, answer)
}

func sign(key []byte, id, at string, body []byte) string {
	h := hmac.New(sha256.New, key)
	fmt.Fprintf(h, "%s.%s.%s", id, at, body)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// withoutAddress is the cause of a failed request.
func withoutAddress(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

func refusal(op string, answer *http.Response) error {
	e := &relay.Error{Kind: relay.Unavailable, Op: op, Status: answer.StatusCode}
	switch s := answer.StatusCode; {
	case s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable:
		if after, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && after > 0 {
			e.Kind, e.After = relay.Throttled, min(time.Duration(after), 24*3600)*time.Second
		}
	case s == http.StatusRequestTimeout || s == http.StatusTooEarly:
	case s/100 == 4:
		e.Kind = relay.Rejected
	}
	return e
}

// post is the body: the outer form is that of Standard Webhooks.
type post struct {
	Type      string    `json:"type"` // "alerts" or "alerts.test"
	Timestamp time.Time `json:"timestamp"`
	Data      postData  `json:"data"`
}

type postData struct {
	Merchant relay.MerchantID `json:"merchant"`
	Notices  []postNotice     `json:"notices"`
	More     int              `json:"more"` // notices that are not listed
}

type postNotice struct {
	News     relay.AlertNews  `json:"news"` // "opened", "raised" or "closed"
	Alert    int64            `json:"alert"`
	Cause    relay.AlertCause `json:"cause"`
	Level    int              `json:"level"`
	Headline string           `json:"headline"`
	Since    time.Time        `json:"since"`
	OpenedAt time.Time        `json:"opened_at"`
	ClosedAt *time.Time       `json:"closed_at,omitempty"`
	ClosedBy string           `json:"closed_by,omitempty"`
	Next     string           `json:"next,omitempty"`
	Commands []string         `json:"commands,omitempty"`
}

func newPost(m relay.AlertMessage) post {
	p := post{Type: "alerts", Timestamp: m.At.UTC(), Data: postData{Merchant: m.Merchant, Notices: []postNotice{}, More: m.Count - len(m.Notices)}}
	if m.Test {
		p.Type = "alerts.test"
	}
	for _, n := range m.Notices {
		v := postNotice{
			News: n.News, Alert: n.ID, Cause: n.Cause, Level: n.Level, Headline: n.Headline, Since: n.Since.UTC(), OpenedAt: n.OpenedAt.UTC(),
			ClosedBy: n.ClosedBy,
		}
		if n.News == relay.AlertClosed {
			at := n.ClosedAt.UTC()
			v.ClosedAt = &at
		} else {
			advice := n.Advice()
			v.Next, v.Commands = advice.Next, advice.Commands
		}
		p.Data.Notices = append(p.Data.Notices, v)
	}
	return p
}
