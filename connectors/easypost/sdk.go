package easypost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	easypost "github.com/EasyPost/easypost-go/v4"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// adapter is the one way to the vendor's SDK, which serves the shipping API
// only. It guards against the defects of v4.6.0 that
// wire/easypost-fulfillment.md section 14.5 lists: a panic becomes an error
// (D1, D2), each call has its own SDK and HTTP client over the shared transport
// (D3), and the answer is kept beside the SDK's reading of it (D4, D7).
type adapter struct {
	fulfillment *client  // for its key, rate limit and patience
	base        *url.URL // ends with "/" (D8)
	transport   http.RoundTripper
}

// sdkCall makes one guarded call. The SDK never tries twice.
func sdkCall[T any](ctx context.Context, a *adapter, op string, call func(context.Context, *easypost.Client) (*T, error)) (*T, error) {
	key, err := a.fulfillment.ready(ctx, op)
	if err != nil {
		return nil, err
	}
	tap := &tap{transport: a.transport}
	sdk := &easypost.Client{
		APIKey:    key,
		BaseURL:   a.base,
		UserAgent: exchange.UserAgent,
		Timeout:   int(a.fulfillment.timeout / time.Millisecond),
		Client:    exchange.NewClient(tap),
	}
	out, err := guarded(func() (*T, error) { return call(ctx, sdk) })
	switch {
	case tap.answer.Status != 0 && !tap.answer.OK():
		return nil, readRefusal(op, withoutKey(tap.answer, key))
	case tap.answer.Status == 0 && err != nil:
		return nil, &relay.Error{Kind: relay.Unavailable, Op: op, Err: exchange.Describe(err)}
	case err != nil || out == nil:
		return nil, unreadable(op, relay.Unavailable, tap.answer)
	}
	return out, nil
}

// sdkRead is sdkCall for a call that may be repeated.
func sdkRead[T any](ctx context.Context, a *adapter, op string, call func(context.Context, *easypost.Client) (*T, error)) (out *T, err error) {
	err = a.fulfillment.backoff.Retry(ctx, func() error {
		out, err = sdkCall(ctx, a, op, call)
		return err
	})
	return out, err
}

var errPanicked = errors.New("the SDK panicked")

// guarded turns a panic of the SDK into an error.
func guarded[T any](call func() (T, error)) (out T, err error) {
	defer func() {
		if r := recover(); r != nil {
			var none T
			out, err = none, fmt.Errorf("%w: %T", errPanicked, r)
		}
	}()
	return call()
}

// tap keeps the answer of the one request that passes through it, since the
// SDK drops headers and, at times, the body. It bounds the body as well.
type tap struct {
	transport http.RoundTripper
	answer    exchange.Answer
}

func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.answer = exchange.Read(resp)
	if t.answer.Cut != nil && t.answer.OK() {
		return nil, t.answer.Cut
	}
	resp.Body = io.NopCloser(bytes.NewReader(t.answer.Body))
	return resp, nil
}

// sdkError builds the SDK's typed error from a refusal in the one envelope that
// the SDK reads without a panic.
func sdkError(r refusal) error {
	type inner struct {
		Code    string `json:"code,omitempty"`
		Field   string `json:"field,omitempty"`
		Message string `json:"message"`
	}
	faults := make([]inner, 0, len(r.faults))
	for _, f := range r.faults {
		faults = append(faults, inner{f.code, f.field, f.message})
	}
	body, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": r.code, "message": r.message, "errors": faults,
	}})
	if err != nil {
		return err
	}
	built, err := guarded(func() (error, error) {
		return easypost.BuildErrorFromResponse(&http.Response{
			StatusCode: r.answer.Status,
			Status:     fmt.Sprintf("%d %s", r.answer.Status, http.StatusText(r.answer.Status)),
			Body:       io.NopCloser(bytes.NewReader(body)),
		}), nil
	})
	if err != nil {
		return err
	}
	return built
}

func (a *adapter) tracker(ctx context.Context, id string) (*easypost.Tracker, error) {
	return sdkRead(ctx, a, "read tracker", func(ctx context.Context, c *easypost.Client) (*easypost.Tracker, error) {
		return c.GetTrackerWithContext(ctx, id)
	})
}

// findTracker returns nil when the account has no tracker for the number.
func (a *adapter) findTracker(ctx context.Context, number, carrier string) (*easypost.Tracker, error) {
	list, err := sdkRead(ctx, a, "find tracker", func(ctx context.Context, c *easypost.Client) (*easypost.ListTrackersResult, error) {
		return c.ListTrackersWithContext(ctx, &easypost.ListTrackersOptions{TrackingCode: number, Carrier: carrier, PageSize: 20})
	})
	if err != nil {
		return nil, err
	}
	for _, t := range list.Trackers {
		if t != nil && squeeze(t.TrackingCode) == squeeze(number) {
			return t, nil
		}
	}
	return nil, nil
}

// createTracker returns the account's tracker of the pair if there is one
// already; a new one may be billed (section 13).
func (a *adapter) createTracker(ctx context.Context, number, carrier string) (*easypost.Tracker, error) {
	return sdkCall(ctx, a, "create tracker", func(ctx context.Context, c *easypost.Client) (*easypost.Tracker, error) {
		return c.CreateTrackerWithContext(ctx, &easypost.CreateTrackerOptions{TrackingCode: number, Carrier: carrier})
	})
}

func (a *adapter) verify(ctx context.Context, in relay.Address) (*easypost.Address, error) {
	return sdkCall(ctx, a, "check address", func(ctx context.Context, c *easypost.Client) (*easypost.Address, error) {
		return c.CreateAddressWithContext(ctx, &easypost.Address{
			Name: in.Name, Company: in.Company, Street1: in.Street1, Street2: in.Street2, City: in.City,
			State: in.State, Zip: in.Zip, Country: in.Country, Phone: in.Phone, Email: in.Email,
		}, &easypost.CreateAddressOptions{Verify: []string{"delivery"}})
	})
}

func (a *adapter) webhooks(ctx context.Context) ([]*easypost.Webhook, error) {
	list, err := sdkRead(ctx, a, "list webhooks", func(ctx context.Context, c *easypost.Client) (*[]*easypost.Webhook, error) {
		hooks, err := c.ListWebhooksWithContext(ctx)
		return &hooks, err
	})
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func (a *adapter) createWebhook(ctx context.Context, address, secret string) (*easypost.Webhook, error) {
	return sdkCall(ctx, a, "create webhook", func(ctx context.Context, c *easypost.Client) (*easypost.Webhook, error) {
		return c.CreateWebhookWithDetailsWithContext(ctx, &easypost.CreateUpdateWebhookOptions{URL: address, WebhookSecret: secret})
	})
}

func (a *adapter) updateWebhook(ctx context.Context, id, address, secret string) (*easypost.Webhook, error) {
	return sdkCall(ctx, a, "update webhook", func(ctx context.Context, c *easypost.Client) (*easypost.Webhook, error) {
		return c.UpdateWebhookWithContext(ctx, id, &easypost.CreateUpdateWebhookOptions{URL: address, WebhookSecret: secret})
	})
}

// signed checks the signature of an event. The SDK then decodes the body and
// stumbles over the integer times of fulfillment orders, so any error other
// than its two about signatures (and a panic) means that the signature was good.
func signed(secret, signature string, body []byte) error {
	headers := map[string]any{}
	if signature != "" {
		headers["X-Hmac-Signature"] = signature // a string, under exactly this name
	}
	_, err := guarded(func() (*easypost.Event, error) {
		return (&easypost.Client{}).ValidateWebhookWithContext(context.Background(), body, headers, secret)
	})
	var missing *easypost.MissingWebhookSignatureErrorType
	var mismatch *easypost.MismatchWebhookSignatureErrorType
	if errors.As(err, &missing) || errors.As(err, &mismatch) || errors.Is(err, errPanicked) {
		return err
	}
	return nil
}
