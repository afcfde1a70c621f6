package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// alertLedger is what the ledger knows of alerts.
type alertLedger interface {
	Alerts(ctx context.Context, q store.AlertQuery) ([]relay.Alert, error)
	Alert(ctx context.Context, id int64) (relay.Alert, []store.AlertDelivery, error)
	CloseAlert(ctx context.Context, id int64, actor string) (relay.Alert, error)
	TestAlerts(ctx context.Context, merchant relay.MerchantID) (messages []int64, looked time.Time, err error)
	AlertDeliveries(ctx context.Context, messages []int64) ([]store.AlertDelivery, error)
	Unread(ctx context.Context, merchant relay.MerchantID, connection relay.ConnectionName, limit int) ([]store.UnreadRow, error)
}

func (a *app) alertCommand() *cobra.Command {
	group := a.group("alert", "List, explain and close alerts, and try how they arrive", `List, explain and close alerts, and try how they arrive.

One alert is open a cause: orders on hold for too long, a connection that is
stopped, an order to which something happened that a person must know of, a job
that does not get on. It rises as it ages, and as more orders under its cause do; it
closes when its cause is gone.`, `  ferry alert list
  ferry alert show --id 12
  ferry alert test --merchant acme`)
	group.AddCommand(a.alertListCommand(), a.alertShowCommand(), a.alertCloseCommand(), a.alertTestCommand())
	return group
}

type alertView struct {
	ID       int64            `json:"id"`
	Merchant relay.MerchantID `json:"merchant"`
	Cause    relay.AlertCause `json:"cause"`
	Level    int              `json:"level"`
	Headline string           `json:"headline"` // without personal data
	Since    *time.Time       `json:"since"`    // of what it is about; of the oldest, where there are several
	OpenedAt *time.Time       `json:"opened_at"`
	RaisedAt *time.Time       `json:"raised_at"` // when it was last told of: opened or raised
	SeenAt   *time.Time       `json:"seen_at"`   // when its cause was last seen to stand
	ClosedAt *time.Time       `json:"closed_at,omitempty"`
	ClosedBy string           `json:"closed_by,omitempty"` // "recovered", or a person
}

func newAlertView(a relay.Alert) alertView {
	return alertView{
		ID: a.ID, Merchant: a.Merchant, Cause: a.Cause, Level: a.Level, Headline: a.Headline, Since: utc(a.Since), OpenedAt: utc(a.OpenedAt),
		RaisedAt: utc(a.RaisedAt), SeenAt: utc(a.SeenAt), ClosedAt: utc(a.ClosedAt), ClosedBy: a.ClosedBy,
	}
}

func (a *app) alertListCommand() *cobra.Command {
	var q store.AlertQuery
	cmd := a.verb(cobra.Command{
		Use:   "list",
		Short: "List the alerts that are open",
		Long: `List the alerts that are open, of one merchant or of all; with --closed also those
that are closed. The latest are first. Where nobody has looked for long, it says so.`,
		Example: `  ferry alert list
  ferry alert list --merchant acme --closed
  ferry alert list --output json`,
	}, func(ctx context.Context, _ []string) error { return a.listAlerts(ctx, q) })
	merchantFlag(cmd, &q.Merchant)
	cmd.Flags().BoolVar(&q.Closed, "closed", false, "also those that are closed")
	limitFlag(cmd, &q.Limit)
	return cmd
}

func (a *app) listAlerts(ctx context.Context, q store.AlertQuery) error {
	l, err := a.ledgerOf(ctx, q.Merchant)
	if err != nil {
		return err
	}
	list, more, err := limited(a, q.Limit, func(n int) ([]relay.Alert, error) {
		q.Limit = n
		return l.Alerts(ctx, q)
	})
	if err != nil {
		return err
	}
	v := alertsView{Alerts: []alertView{}, More: more, now: a.parts.now()}
	for _, al := range list {
		v.Alerts = append(v.Alerts, newAlertView(al))
	}
	merchants, err := l.Merchants(ctx)
	if err != nil {
		return err
	}
	for _, m := range merchants {
		if since := unwatched(m, v.now); since != nil && (q.Merchant == "" || q.Merchant == m.ID) {
			v.Unwatched = append(v.Unwatched, unwatchedView{m.ID, since})
		}
	}
	return a.print(v)
}

type alertsView struct {
	Alerts []alertView `json:"alerts"`
	More   bool        `json:"more"` // there are more than asked for
	// Unwatched are merchants whose alerts nobody looks after: what is listed of them
	// may be long over, and what is wrong now is not there.
	Unwatched []unwatchedView `json:"unwatched,omitempty"`

	now time.Time
}

type unwatchedView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Since    *time.Time       `json:"since"`
}

func (v alertsView) text(p *page) {
	defer func() {
		for _, u := range v.Unwatched {
			p.line("nobody looked after the alerts of %[1]s since %[2]s: ferry merchant show --merchant %[1]s", u.Merchant, stampOf(u.Since))
		}
	}()
	if len(v.Alerts) == 0 {
		p.line("no alerts are open")
		return
	}
	var rows [][]string
	for _, al := range v.Alerts {
		state := "open"
		if al.ClosedAt != nil {
			state = "closed " + stampOf(al.ClosedAt)
		}
		rows = append(rows, []string{
			strconv.FormatInt(al.ID, 10), string(al.Merchant), strconv.Itoa(al.Level), age(v.now.Sub(*al.OpenedAt)), state, al.Headline,
		})
	}
	p.table([]string{"ALERT", "MERCHANT", "LEVEL", "AGE", "STATE", "WHAT"}, rows)
}

// alertFlag is the number of an alert.
func alertFlag(cmd *cobra.Command, to *int64) {
	cmd.Flags().Var(&numberFlag[int64]{to, math.MaxInt64, "a number, as ferry alert list tells it", "number"}, "id", "the alert's number, as ferry alert list tells it")
	needs(cmd, "id")
}

func (a *app) alertShowCommand() *cobra.Command {
	var id int64
	cmd := a.verb(cobra.Command{
		Use:   "show",
		Short: "Show an alert, what to do about it, and who was told",
		Long: `Show an alert: what it is about, what happens next by itself, what to type, and
how each message that told of it was delivered. An alert about what could not be read
lists it, line by line.`,
		Example: `  ferry alert show --id 12
  ferry alert show --id 12 --output json`,
	}, func(ctx context.Context, _ []string) error {
		l, err := a.ledger(ctx)
		if err != nil {
			return err
		}
		al, messages, err := l.Alert(ctx, id)
		if err != nil {
			return alertError(err)
		}
		advice := al.Advice()
		v := alertDetail{alertView: newAlertView(al), Next: advice.Next, Commands: orNone(advice.Commands), Messages: []messageView{}}
		for _, m := range messages {
			v.Messages = append(v.Messages, newMessageView(m))
		}
		if v.Unread, err = unread(ctx, l, al); err != nil {
			return err
		}
		return a.print(v)
	})
	alertFlag(cmd, &id)
	return cmd
}

// mostUnread is how many things that could not be read are listed; the headline counts them all.
const mostUnread = 200

// unread lists what could not be read, of an alert about that.
func unread(ctx context.Context, l alertLedger, al relay.Alert) ([]unreadView, error) {
	kind, connection, _ := al.Cause.Parts()
	if kind != relay.CauseUnread || !al.ClosedAt.IsZero() {
		return nil, nil
	}
	rows, err := l.Unread(ctx, al.Merchant, relay.ConnectionName(connection), mostUnread)
	var list []unreadView
	for _, r := range rows {
		list = append(list, unreadView{r.Job, r.Subject, r.Line, r.Message, utc(r.Since)})
	}
	return list, err
}

func alertError(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w; ferry alert list --closed tells which there are", err)
	case errors.Is(err, store.ErrClosesItself):
		return fmt.Errorf("%w; ferry alert show tells what to do about that", err)
	}
	return err
}

type alertDetail struct {
	alertView
	Next     string        `json:"next"`             // what happens by itself
	Commands []string      `json:"commands"`         // first to look, then to act
	Unread   []unreadView  `json:"unread,omitempty"` // of an alert about what could not be read: the first 200
	Messages []messageView `json:"messages"`
}

// unreadView is something that a connection gave us and that could not be read.
type unreadView struct {
	Job     relay.Job  `json:"job"`
	Subject string     `json:"subject"`        // a file's name, an object's id
	Line    int        `json:"line,omitempty"` // from 1
	Message string     `json:"message"`        // what is wrong, and what would be accepted
	Since   *time.Time `json:"since"`
}

type messageView struct {
	Channel   relay.AlertChannel `json:"channel"`
	News      relay.AlertNews    `json:"news,omitempty"`
	Key       string             `json:"key"` // of every try: Message-ID and webhook-id hold it
	Result    string             `json:"result"`
	CreatedAt *time.Time         `json:"created_at"`
	Attempts  int                `json:"attempts"`
	NextAt    *time.Time         `json:"next_at,omitempty"` // while it waits
	SentAt    *time.Time         `json:"sent_at,omitempty"`
	GaveUpAt  *time.Time         `json:"gave_up_at,omitempty"`
	Error     string             `json:"error,omitempty"` // of the last attempt; may quote a recipient
}

// What became of a message.
const (
	messageDelivered = "delivered"
	messageFailed    = "failed" // for good
	messageWaiting   = "waiting"
)

func newMessageView(d store.AlertDelivery) messageView {
	v := messageView{
		Channel: d.Channel, News: d.News, Key: d.Key, Result: messageWaiting, CreatedAt: utc(d.CreatedAt), Attempts: d.Attempts,
		SentAt: utc(d.SentAt), GaveUpAt: utc(d.GaveUpAt), Error: d.Error,
	}
	switch {
	case v.SentAt != nil:
		v.Result = messageDelivered
	case v.GaveUpAt != nil:
		v.Result = messageFailed
	default:
		v.NextAt = utc(d.NextAt)
	}
	return v
}

func (v messageView) row() []string {
	when := v.SentAt
	if v.GaveUpAt != nil {
		when = v.GaveUpAt
	}
	if v.NextAt != nil {
		when = v.NextAt
	}
	return []string{string(v.Channel), string(v.News), v.Result, stampOf(when), strconv.Itoa(v.Attempts), v.Error}
}

func (v alertDetail) text(p *page) {
	p.pairs(
		[2]string{"alert", strconv.FormatInt(v.ID, 10)},
		[2]string{"merchant", string(v.Merchant)},
		[2]string{"what", v.Headline},
		[2]string{"cause", string(v.Cause)},
		[2]string{"level", strconv.Itoa(v.Level)},
		[2]string{"since", stampOf(v.Since)},
		[2]string{"opened", stampOf(v.OpenedAt)},
		[2]string{"raised", stampOf(v.RaisedAt)},
		[2]string{"last seen", stampOf(v.SeenAt)},
		[2]string{"closed", stampOf(v.ClosedAt)},
		[2]string{"closed by", v.ClosedBy},
		[2]string{"what next", v.Next},
	)
	if v.ClosedAt == nil && len(v.Commands) > 0 {
		p.gap()
		p.line("to look, and to act")
		for _, c := range v.Commands {
			p.line("  %s", c)
		}
	}
	var rows [][]string
	for _, u := range v.Unread {
		line := ""
		if u.Line > 0 {
			line = strconv.Itoa(u.Line)
		}
		rows = append(rows, []string{string(u.Job), u.Subject, line, u.Message, stampOf(u.Since)})
	}
	p.section("what could not be read", []string{"JOB", "SUBJECT", "LINE", "WHAT IS WRONG", "SINCE"}, rows)
	rows = nil
	for _, m := range v.Messages {
		rows = append(rows, m.row())
	}
	p.section("who was told", []string{"CHANNEL", "NEWS", "RESULT", "AT", "TRIES", "LAST ERROR"}, rows)
}

func (a *app) alertCloseCommand() *cobra.Command {
	var id int64
	var actor string
	cmd := a.verb(cobra.Command{
		Use:   "close",
		Short: "Close an alert about an order that was seen to",
		Long: `Close an alert about an order that a person has seen to. The others are told. Any
other alert closes by itself when its cause is gone.`,
		Example: `  ferry alert close --id 13
  ferry alert close --id 13 --actor clerk`,
	}, func(ctx context.Context, _ []string) error {
		r := workflows.HoldRequest{Actor: a.actor(actor)} // the bounds of an actor are the same wherever one acts
		if err := r.Check(); err != nil {
			return &usageError{err}
		}
		l, err := a.ledger(ctx)
		if err != nil {
			return err
		}
		al, err := l.CloseAlert(ctx, id, workflows.ByOperator(r.Actor))
		if err != nil {
			return alertError(err)
		}
		return a.print(closedView{newAlertView(al)})
	})
	alertFlag(cmd, &id)
	actorFlag(cmd, &actor)
	return cmd
}

type closedView struct{ alertView }

func (v closedView) text(p *page) {
	p.line("alert %d is closed by %s: %s", v.ID, v.ClosedBy, v.Headline)
}

func (a *app) alertTestCommand() *cobra.Command {
	var id relay.MerchantID
	cmd := a.longVerb(cobra.Command{
		Use:   "test",
		Short: "Send a test through every channel of a merchant",
		Long: `Send a test through every channel that the merchant's file names, and tell how each
was delivered. A worker sends it at its next look at the alerts, which may be
minutes away. It waits for 15 minutes, unless --timeout says otherwise; it is sent
all the same later. The exit code is 1 when not every channel has delivered.`,
		Example: `  ferry alert test --merchant acme
  ferry alert test --merchant acme --timeout 1h`,
	}, aWhile, func(ctx context.Context, _ []string) error { return a.testAlerts(ctx, id) })
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) testAlerts(ctx context.Context, id relay.MerchantID) error {
	l, m, err := a.merchant(ctx, id)
	if err != nil {
		return err
	}
	if len(m.Alerts.Channels()) == 0 {
		return usagef("merchant %s: its file names nobody: want email or webhook in the section alerts", id)
	}
	messages, looked, err := l.TestAlerts(ctx, id)
	if err != nil {
		return err
	}
	next := looked.Add(time.Duration(m.Alerts.Interval()))
	if now := a.parts.now(); next.Before(now) { // overdue: it runs at any moment, or nothing does
		next = now
	}
	a.say("a worker looks at alerts every %s, next at about %s", m.Alerts.Interval(), stamp(next))
	v := alertTestView{Merchant: id, NextLook: utc(next)}
	if err := v.wait(ctx, l, messages); err != nil {
		return err
	}
	return a.conclude(v, !slices.ContainsFunc(v.Messages, func(m messageView) bool { return m.Result != messageDelivered }))
}

type alertTestView struct {
	Merchant relay.MerchantID `json:"merchant"`
	NextLook *time.Time       `json:"next_look"` // about when messages leave
	Messages []messageView    `json:"messages"`
}

// wait asks the ledger until all messages have their answer, or the time is up.
func (v *alertTestView) wait(ctx context.Context, l alertLedger, messages []int64) error {
	for {
		list, err := l.AlertDeliveries(context.WithoutCancel(ctx), messages)
		if err != nil {
			return err
		}
		v.Messages = []messageView{}
		for _, d := range list {
			v.Messages = append(v.Messages, newMessageView(d))
		}
		if !slices.ContainsFunc(v.Messages, func(m messageView) bool { return m.Result == messageWaiting }) {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil // what is not answered yet is shown as waiting
		}
	}
}

func (v alertTestView) text(p *page) {
	for _, m := range v.Messages {
		switch m.Result {
		case messageDelivered:
			p.line("%s: delivered at %s", m.Channel, stampOf(m.SentAt))
		case messageFailed:
			p.line("%s: failed: %s", m.Channel, m.Error)
		default:
			p.line("%s: not sent yet: it leaves at about %s, when a worker runs%s", m.Channel, stampOf(v.NextLook), because(m.Error))
		}
	}
}
