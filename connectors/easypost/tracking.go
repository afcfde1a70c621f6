package easypost

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	easypost "github.com/EasyPost/easypost-go/v4"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// The choices of the setting track.
const (
	trackKnown  = "known"
	trackCreate = "create"
	trackOff    = "off"
)

// hopeless is how long a tracker in failure or error is still looked at (section 15).
const hopeless = 7 * 24 * time.Hour

// trackerStatuses are the vendor's ten words (section 13).
func trackerStatuses() []string {
	return []string{
		"unknown", "pre_transit", "in_transit", "out_for_delivery", "delivered", "available_for_pickup",
		"return_to_sender", "failure", "cancelled", "error",
	}
}

// TrackPackages asks the shipping API for each package's tracker. Without a
// tracker of its own a package's Err is of kind NotFound, unless the setting
// track lets one be made; with track off, every Tracking is empty.
func (c *connection) TrackPackages(ctx context.Context, packages []relay.Package) ([]connectors.Tracking, error) {
	out := make([]connectors.Tracking, len(packages))
	if c.track == trackOff {
		return out, nil
	}
	for i, p := range packages {
		t, err := c.trackerOf(ctx, p)
		if ctx.Err() != nil || exchange.KindIs(err, relay.Unauthorised, relay.Throttled) {
			if err == nil {
				err = &relay.Error{Kind: relay.Unavailable, Op: "track packages", Err: ctx.Err()}
			}
			return nil, err
		}
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i] = tracking(t, time.Now())
	}
	return out, nil
}

func (c *connection) trackerOf(ctx context.Context, p relay.Package) (*easypost.Tracker, error) {
	var t *easypost.Tracker
	var err error
	switch {
	case idForm.MatchString(p.TrackerID):
		t, err = c.sdk.tracker(ctx, p.TrackerID)
	case c.track == trackCreate:
		t, err = c.sdk.createTracker(ctx, p.TrackingNumber, p.Carrier)
	default:
		t, err = c.sdk.findTracker(ctx, p.TrackingNumber, p.Carrier)
	}
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, &relay.Error{Kind: relay.NotFound, Op: "track packages", Err: errors.New("the account has no tracker of this package")}
	}
	if err := c.otherMode("track packages", t.Mode); err != nil {
		return nil, err
	}
	return t, nil
}

// otherMode is wrongMode for one object of the shipping API among many: it
// spoils that object only.
func (c *connection) otherMode(op, mode string) error {
	err := c.wrongMode(op, text(mode))
	var e *relay.Error
	if errors.As(err, &e) {
		e.Kind = relay.Invalid
	}
	return err
}

func tracking(t *easypost.Tracker, now time.Time) connectors.Tracking {
	out := connectors.Tracking{Status: strings.ToLower(t.Status), URL: webLink(t.PublicURL)}
	if !slices.Contains(trackerStatuses(), out.Status) {
		out.Status = "unknown"
	}
	switch out.Status {
	case "delivered", "return_to_sender", "cancelled":
		out.Ended = true
	case "failure", "error":
		out.Ended = t.UpdatedAt != nil && now.Sub(t.UpdatedAt.AsTime()) > hopeless
	}
	return out
}

// CheckAddress verifies the address for delivery. It fails open: an order is
// not held because the check could not be made.
func (c *connection) CheckAddress(ctx context.Context, a relay.Address) (connectors.AddressVerdict, error) {
	if !c.checkAddresses {
		return connectors.AddressVerdict{}, nil
	}
	found, err := c.sdk.verify(ctx, a)
	if err == nil {
		err = c.otherMode("check address", found.Mode)
	}
	if err != nil {
		c.log.Warn("address check could not be made", "error", err)
		return connectors.AddressVerdict{}, nil
	}
	return verdict(found), nil
}

func verdict(found *easypost.Address) connectors.AddressVerdict {
	var v connectors.AddressVerdict
	if found.Verifications == nil || found.Verifications.Delivery == nil {
		return v // not verified: no verdict
	}
	delivery := found.Verifications.Delivery
	if !delivery.Success {
		v.Problems = deliveryProblems(delivery.Errors)
		return v
	}
	return v
}

func deliveryProblems(faults []*easypost.AddressVerificationFieldError) []relay.Problem {
	var out []relay.Problem
	for _, f := range faults {
		if f == nil || len(out) == maxFaults {
			continue
		}
		field := "ship_to"
		if name := wordOr(f.Field, ""); name != "" && name != "address" {
			field += "." + name
		}
		message := f.Message
		if message == "" {
			message = f.Code
		}
		if f.Suggestion != "" {
			message += "; suggested: " + f.Suggestion
		}
		out = append(out, relay.Problem{Field: field, Message: exchange.Clip(message, maxMessage)})
	}
	if len(out) == 0 {
		out = append(out, relay.Problem{Field: "ship_to", Message: "the address could not be verified"})
	}
	return out
}
