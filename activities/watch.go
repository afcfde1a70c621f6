package activities

import (
	"context"
	"errors"
	"strings"
	"time"

	"orderferry/notify"
	"orderferry/relay"
	"orderferry/store"
)

// WatchResult counts what a run of Watch did.
type WatchResult struct {
	Opened int `json:"opened,omitempty"`
	Raised int `json:"raised,omitempty"`
	Closed int `json:"closed,omitempty"`
	Sent   int `json:"sent,omitempty"`   // messages that were delivered
	Failed int `json:"failed,omitempty"` // and that were not: they are tried again
	// Submit says that orders are due to be sent, looked for or cancelled, Carts are
	// due to be told something, and Holds wait for their workflows: should a wake-up
	// have been lost, this is the next. Workflows of the release before know of holds
	// by Submit only.
	Submit bool                   `json:"submit,omitempty"`
	Carts  []relay.ConnectionName `json:"carts,omitempty"`
	Holds  bool                   `json:"holds,omitempty"`
}

// WatchInput names a merchant, and what of it the ledger can't tell.
type WatchInput struct {
	Merchant relay.MerchantID `json:"merchant"`
	Failing  []FailingJob     `json:"failing,omitempty"`
	Paused   []PausedJob      `json:"paused,omitempty"`
}

// FailingJob is a job whose last runs failed.
type FailingJob struct {
	Connection relay.ConnectionName `json:"connection"`
	Job        relay.Job            `json:"job"`
	Since      time.Time            `json:"since"`
	Fails      int                  `json:"fails"`
	Why        string               `json:"why"` // the last failure, in brief
}

// PausedJob is a job that a person paused by itself, or with its connection.
type PausedJob struct {
	Connection relay.ConnectionName `json:"connection"`
	Job        relay.Job            `json:"job"`
	Since      time.Time            `json:"since"`
}

// Watch looks in the ledger for what people should know, opens, raises and
// closes alerts, and sends the messages that are due.
func (a *Activities) Watch(ctx context.Context, in WatchInput) (WatchResult, error) {
	defer beat(ctx)()
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return WatchResult{}, err
	}
	var jobs []relay.Trouble
	for _, f := range in.Failing {
		jobs = append(jobs, relay.Trouble{
			Cause: relay.NewAlertCause(relay.CauseJob, string(f.Connection), string(f.Job)), Count: int64(f.Fails), Since: f.Since, Fault: f.Why,
		})
	}
	for _, p := range in.Paused {
		jobs = append(jobs, relay.Trouble{Cause: relay.NewAlertCause(relay.CausePaused, string(p.Connection), string(p.Job)), Count: 1, Since: p.Since})
	}
	changed, err := a.store.LookAfterAlerts(ctx, m, a.opt.Contents, jobs...)
	if err != nil {
		return WatchResult{}, err
	}
	r := WatchResult{Opened: changed.Opened, Raised: changed.Raised, Closed: changed.Closed}
	if r.Opened+r.Raised > 0 {
		a.log.Error("alerts were raised: ferry alert list tells them", "merchant", m.ID, "opened", r.Opened, "raised", r.Raised)
	}
	if r.Carts, err = a.store.CartsToTell(ctx, m.ID); err != nil {
		return r, err
	}
	waiting, err := a.store.Waiting(ctx, m.ID)
	if err != nil {
		return r, err
	}
	holds, err := a.store.HoldsToStart(ctx, m.ID, 0, 1)
	if err != nil {
		return r, err
	}
	r.Holds = len(holds) > 0
	r.Submit = waiting.Due(time.Now()) || r.Holds
	return r, a.sendAlerts(ctx, m, &r)
}

// alertLease is for how long a message is kept for whoever sends it: longer than
// sending may take. Then it comes again, with the same key.
func (o Options) alertLease() time.Duration { return o.Tell * 3 / 2 }

// alertTries bounds how long a message is tried, from its first hour on every hour.
const alertTries = 24 * time.Hour

// sendAlerts sends the messages that are due, oldest first. A channel that
// fails rests until the next look, so that its other messages wait no less and
// keep nobody waiting.
func (a *Activities) sendAlerts(ctx context.Context, m store.Merchant, r *WatchResult) error {
	var resting []relay.AlertChannel
	for deadline := time.Now().Add(a.opt.Budget); time.Now().Before(deadline); {
		msg, ok, err := a.store.ClaimAlertMessage(ctx, m.ID, resting, a.opt.alertLease())
		if err != nil || !ok {
			return err
		}
		sent, err := a.sendAlert(ctx, m, msg)
		if ctx.Err() != nil {
			return ctx.Err() // we are stopping: no fault of the receiver
		}
		out := store.AlertSent{Message: msg, Delivered: sent}
		if err == nil {
			r.Sent++
		} else {
			r.Failed++
			out.Error, out.Again = inWords(err), backOff(msg.Attempts-1, time.Minute, time.Hour)
			var e *relay.Error
			if errors.As(err, &e) {
				out.Again = max(out.Again, e.After)
			}
			final := errors.Is(err, relay.Rejected)
			// Who tries a channel wants its answer, not patience.
			out.GiveUp = final || msg.Test || time.Since(msg.At)+out.Again > alertTries
			if !final {
				resting = append(resting, msg.Channel)
			}
			a.warnOfMessage(m.ID, msg, out.GiveUp, err)
		}
		if err := a.store.RecordAlertSent(context.WithoutCancel(ctx), out); err != nil {
			return err
		}
	}
	return nil
}

// warnOfMessage logs a message that was not delivered; that there is no mail
// server, once.
func (a *Activities) warnOfMessage(m relay.MerchantID, msg relay.AlertMessage, gaveUp bool, err error) {
	warn := func() {
		a.log.Warn("a message about alerts was not delivered", "merchant", m, "channel", msg.Channel, "attempt", msg.Attempts, "gave_up", gaveUp, "error", err)
	}
	if errors.Is(err, errNoMailServer) {
		a.noMail.Do(warn)
		return
	}
	warn()
}

// errNoMailServer says what to do where recipients are named in vain.
var errNoMailServer = &relay.Error{Kind: relay.Unavailable, Op: "send e-mail", Err: errors.New("no mail server is configured: set ORDERFERRY_SMTP_URL")}

// sendAlert sends a message by its channel, and returns which recipients of an
// e-mail got it.
func (a *Activities) sendAlert(ctx context.Context, m store.Merchant, msg relay.AlertMessage) (delivered []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.opt.Tell)
	defer cancel()
	policy := m.Alerts
	switch {
	case msg.Channel == relay.ByEmail && len(policy.Email) > 0:
		if a.opt.Mail == nil {
			return nil, errNoMailServer
		}
		return a.opt.Mail.Send(ctx, policy.Email, msg)
	case msg.Channel == relay.ByWebhook && policy.Webhook != "":
		secret, err := a.store.WebhookSecret(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		return nil, notify.Webhook{Transport: a.transport}.Post(ctx, policy.Webhook, secret, msg)
	}
	return nil, &relay.Error{Kind: relay.Rejected, Op: "tell of alerts", Err: errors.New("the merchant's file names nobody by " + string(msg.Channel) + " any more")}
}

// inWords is an error with what the server wrote: for the ledger only.
func inWords(err error) string {
	var e *relay.Error
	if errors.As(err, &e) && e.Words != "" {
		return err.Error() + ": " + strings.TrimSpace(e.Words)
	}
	return err.Error()
}
