package easypost

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// OrderRefunded is the type of the event that tells of an order undone; the
// others of an order are "fulfillment.order.created" and ".updated".
const OrderRefunded = "fulfillment.order.refunded"

// Event is what a webhook tells. Events are hints: they come late, twice and in
// any order (wire/easypost-fulfillment.md section 12), so the order is read
// again; only the packages are worth keeping, as that reading may lack them.
type Event struct {
	ID   string     // repeats of an event have the same
	Mode relay.Mode // "" when the event names none
	Type string     // "fulfillment.order.updated", "tracker.updated", ...
	At   time.Time  // when it was created; zero when not told
	// OrderID is the order that a fulfillment.order event is about, else "".
	OrderID relay.WarehouseOrderID
	// Packages are those of the order, or the one that a tracker event is about.
	Packages []relay.Package
}

// VerifyWebhook checks the signature of a delivery and reads the event. A
// missing or wrong signature is of kind Unauthorised, an unreadable body of
// kind Invalid. The caller compares Event.Mode with the connection's.
func VerifyWebhook(secret string, header http.Header, body []byte) (Event, error) {
	const op = "verify webhook"
	if secret == "" { // anyone can sign with the empty secret
		return Event{}, &relay.Error{Kind: relay.Unauthorised, Op: op, Err: errors.New("no webhook secret is set")}
	}
	if len(body) > exchange.MaxBody {
		return Event{}, &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("the event is too long")}
	}
	if err := signed(secret, header.Get("X-Hmac-Signature"), body); err != nil {
		return Event{}, &relay.Error{Kind: relay.Unauthorised, Op: op, Err: exchange.Masked("the signature is missing or wrong", err)}
	}
	var raw struct {
		ID          text       `json:"id"`
		Mode        text       `json:"mode"`
		Description text       `json:"description"`
		CreatedAt   stamp      `json:"created_at"`
		Result      resultJSON `json:"result"`
	}
	if err := decode(body, &raw); err != nil || raw.ID == "" {
		return Event{}, &relay.Error{Kind: relay.Invalid, Op: op, Err: errUnreadable}
	}
	e := Event{ID: string(raw.ID), Type: string(raw.Description), At: raw.CreatedAt.At}
	if raw.Mode != "" {
		e.Mode = modeOf(raw.Mode)
	}
	switch {
	case strings.HasPrefix(e.Type, "fulfillment.order."):
		if idForm.MatchString(string(raw.Result.order.ID)) {
			e.OrderID = relay.WarehouseOrderID(raw.Result.order.ID)
		}
		e.Packages = packages(raw.Result.order)
	case strings.HasPrefix(e.Type, "tracker.") && raw.Result.tracker.TrackingCode != "" && !raw.Result.tracker.voided():
		e.Packages = []relay.Package{raw.Result.tracker.toPackage()}
	}
	return e, nil
}

// resultJSON is an event's result, which is an order or a tracker.
type resultJSON struct {
	order   orderJSON
	tracker trackerJSON
}

func (r *resultJSON) UnmarshalJSON(b []byte) error {
	// A result of another kind leaves both empty; the event is then of no use, not an error.
	_ = decode(b, &r.order)
	_ = decode(b, &r.tracker)
	return nil
}

// RegisterWebhook makes the account send its events to the address, signed with
// the secret, and returns the webhook's id. An address that is registered
// already is given the secret again, and enabled, instead of a second webhook:
// harmless twice.
func (c *connection) RegisterWebhook(ctx context.Context, address, secret string) (string, error) {
	const op = "register webhook"
	if u, err := url.Parse(address); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return "", &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("want the http or https address that EasyPost can reach")}
	}
	if secret == "" {
		return "", &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("want a secret, so that events can be verified")}
	}
	hooks, err := c.sdk.webhooks(ctx)
	if err != nil {
		return "", err
	}
	for _, h := range hooks {
		if h == nil || h.URL != address || c.wrongMode(op, text(h.Mode)) != nil || !idForm.MatchString(h.ID) {
			continue
		}
		if _, err := c.sdk.updateWebhook(ctx, h.ID, address, secret); err != nil {
			return "", err
		}
		return h.ID, nil
	}
	made, err := c.sdk.createWebhook(ctx, address, secret)
	if err != nil {
		return "", err
	}
	if err := c.wrongMode(op, text(made.Mode)); err != nil {
		return "", err
	}
	return made.ID, nil
}
