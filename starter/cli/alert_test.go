package cli

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/store"
)

// fakeAlerts is what a fake ledger was asked of alerts, and what it answers.
type fakeAlerts struct {
	query  store.AlertQuery
	closed string // "13 by operator clerk"
	tested []relay.MerchantID
	asked  int                   // how often messages were asked for
	answer store.AlertDelivery   // of the webhook
	more   []store.AlertDelivery // answers of later questions
	looked time.Time             // zero: a minute ago
}

// alertsOfAcme are two that are open and one that is closed.
func alertsOfAcme() []relay.Alert {
	began := noon.Add(-76 * time.Hour).In(berlin)
	return []relay.Alert{
		{ID: 13, Merchant: "acme", Cause: "order/SO-1042/changed_too_late", Level: 1, Headline: "order SO-1042 changed at the cart after it was submitted: ship_to.zip changed",
			Since: noon.Add(-time.Hour), OpenedAt: noon.Add(-58 * time.Minute), RaisedAt: noon.Add(-58 * time.Minute), SeenAt: noon},
		{ID: 12, Merchant: "acme", Cause: "hold/insufficient_inventory", Level: 2, Headline: "12 orders on hold for insufficient_inventory for more than 1 day, the oldest SO-1042 for 3d04h",
			Since: began, OpenedAt: began.Add(24 * time.Hour), RaisedAt: began.Add(72 * time.Hour), SeenAt: noon},
		{ID: 11, Merchant: "acme", Cause: "connection/main", Level: 1, Headline: "connection main is stopped for 5m: its credentials are refused",
			Since: began, OpenedAt: began, RaisedAt: began, SeenAt: began.Add(time.Hour), ClosedAt: began.Add(2 * time.Hour), ClosedBy: relay.Recovered},
	}
}

func (l *fakeLedger) Alerts(_ context.Context, q store.AlertQuery) ([]relay.Alert, error) {
	l.calls++
	l.alerts.query = q
	var out []relay.Alert
	for _, a := range alertsOfAcme() {
		if (q.Merchant == "" || q.Merchant == a.Merchant) && (q.Closed || a.ClosedAt.IsZero()) && len(out) < q.Limit {
			out = append(out, a)
		}
	}
	return out, nil
}

func (l *fakeLedger) Alert(_ context.Context, id int64) (relay.Alert, []store.AlertDelivery, error) {
	l.calls++
	for _, a := range append(alertsOfAcme(), relay.Alert{
		ID: 14, Merchant: "acme", Cause: "unread/warehouse", Level: 1, Headline: "2 things from warehouse could not be read, the first shp_1.csv line 3, for 1h00m",
		Since: noon.Add(-time.Hour), OpenedAt: noon, RaisedAt: noon, SeenAt: noon,
	}) {
		if a.ID == id {
			return a, []store.AlertDelivery{
				{Channel: relay.ByEmail, Key: "alert_A", News: relay.AlertOpened, CreatedAt: a.OpenedAt, Attempts: 1, SentAt: a.OpenedAt.Add(time.Second)},
				{Channel: relay.ByWebhook, Key: "alert_B", News: relay.AlertRaised, CreatedAt: a.RaisedAt, Attempts: 3, NextAt: noon.Add(time.Hour), Error: "post to the webhook: unavailable, HTTP 500"},
				{Channel: relay.ByEmail, Key: "alert_C", News: relay.AlertRaised, CreatedAt: a.RaisedAt, Attempts: 30, GaveUpAt: noon, Error: "send e-mail: unavailable: no mail server is configured: set ORDERFERRY_SMTP_URL"},
			}, nil
		}
	}
	return relay.Alert{}, nil, fmt.Errorf("alert %d: %w", id, store.ErrNotFound)
}

func (l *fakeLedger) Unread(_ context.Context, m relay.MerchantID, c relay.ConnectionName, limit int) ([]store.UnreadRow, error) {
	return []store.UnreadRow{
		{Connection: c, Job: relay.PullInventory, Unread: store.Unread{Subject: "inv_1.csv", Message: "want UTF-8"}, Since: noon.Add(-time.Minute).In(berlin)},
		{Connection: c, Job: relay.PullShipments, Unread: store.Unread{Subject: "shp_1.csv", Line: 3, Message: "quantity: want a whole number"}, Since: noon.Add(-time.Hour).In(berlin)},
	}, nil
}

func (l *fakeLedger) CloseAlert(_ context.Context, id int64, actor string) (relay.Alert, error) {
	l.calls++
	for _, a := range alertsOfAcme() {
		switch {
		case a.ID == id && a.Cause.ClosedByPeople():
			l.alerts.closed = fmt.Sprint(id, " by ", actor)
			a.ClosedAt, a.ClosedBy = noon, actor
			return a, nil
		case a.ID == id:
			return relay.Alert{}, fmt.Errorf("close alert %d: %w", id, store.ErrClosesItself)
		}
	}
	return relay.Alert{}, fmt.Errorf("close alert %d: %w", id, store.ErrNotFound)
}

func (l *fakeLedger) TestAlerts(_ context.Context, m relay.MerchantID) ([]int64, time.Time, error) {
	l.alerts.tested = append(l.alerts.tested, m)
	looked := l.alerts.looked
	if looked.IsZero() {
		looked = noon.Add(-time.Minute)
	}
	return []int64{7, 8}, looked, nil
}

func (l *fakeLedger) AlertDeliveries(_ context.Context, messages []int64) ([]store.AlertDelivery, error) {
	l.alerts.asked++
	post := store.AlertDelivery{ID: messages[1], Channel: relay.ByWebhook, Key: "alert_E", CreatedAt: noon, Attempts: 1, SentAt: noon.Add(time.Minute)}
	if l.alerts.answer.Channel != "" {
		post = l.alerts.answer
	}
	if len(l.alerts.more) > 0 {
		l.alerts.answer, l.alerts.more = l.alerts.more[0], l.alerts.more[1:]
	}
	return []store.AlertDelivery{{ID: messages[0], Channel: relay.ByEmail, Key: "alert_D", CreatedAt: noon, Attempts: 1, SentAt: noon.Add(time.Minute)}, post}, nil
}

func TestAlertList(t *testing.T) {
	w := answering(t)
	code, stdout, stderr := w.ferry(t, "alert", "list", "--limit", "1")
	require.Zero(t, code)
	require.Contains(t, stderr, "the first 1 are listed, and there are more")
	require.Equal(t, 2, strings.Count(stdout, "\n"))
	require.Equal(t, store.AlertQuery{Limit: 2}, w.ledger.alerts.query)

	w = answering(t)
	code, stdout, _ = w.ferry(t, "alert", "list", "--merchant", "zeta", "--output", "json")
	require.Zero(t, code)
	require.JSONEq(t, `{"alerts": [], "more": false}`, stdout)

	code, _, stderr = answering(t).ferry(t, "alert", "list", "--merchant", "nobody")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "merchant nobody: not found")
}

func TestAlertClose(t *testing.T) {
	w := answering(t)
	code, _, _ := w.ferry(t, "alert", "close", "--id", "13", "--actor", "ops")
	require.Zero(t, code)
	require.Equal(t, "13 by operator ops", w.ledger.alerts.closed)
	for id, says := range map[string]string{
		"12": "close alert 12: it closes by itself when its cause is gone; ferry alert show tells what to do about that",
		"99": "close alert 99: not found; ferry alert list --closed tells which there are",
	} {
		code, stdout, stderr := answering(t).ferry(t, "alert", "close", "--id", id)
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, says)
	}
	code, _, stderr := answering(t).ferry(t, "alert", "close", "--id", "13", "--actor", strings.Repeat("x", 61))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "at most 60 characters")
}

// The test tells the true answer of every channel.
func TestAlertTest(t *testing.T) {
	w := answering(t)
	waiting := store.AlertDelivery{Channel: relay.ByWebhook, NextAt: noon}
	failed := store.AlertDelivery{Channel: relay.ByWebhook, Attempts: 1, GaveUpAt: noon, Error: "post to the webhook: rejected, HTTP 410"}
	w.ledger.alerts.answer, w.ledger.alerts.more = waiting, []store.AlertDelivery{failed}
	code, stdout, stderr := w.ferry(t, "alert", "test", "--merchant", "acme")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "email: delivered at 2026-11-21T12:01:00Z\nwebhook: failed: post to the webhook: rejected, HTTP 410\n", stdout)
	require.Contains(t, stderr, "a worker looks at alerts every 5m, next at about 2026-11-21T12:04:00Z")
	require.Equal(t, []relay.MerchantID{"acme"}, w.ledger.alerts.tested)
	require.Equal(t, 2, w.ledger.alerts.asked)

	w = answering(t)
	w.ledger.alerts.answer = waiting
	code, stdout, _ = w.ferry(t, "alert", "test", "--merchant", "acme", "--timeout", "50ms")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "webhook: not sent yet: it leaves at about 2026-11-21T12:04:00Z, when a worker runs\n")

	// A look that is overdue is not said to come in the past.
	w = answering(t)
	w.ledger.alerts.answer, w.ledger.alerts.looked = failed, noon.Add(-time.Hour)
	_, _, stderr = w.ferry(t, "alert", "test", "--merchant", "acme")
	require.Contains(t, stderr, "next at about 2026-11-21T12:00:00Z")

	w = answering(t)
	code, stdout, stderr = w.ferry(t, "alert", "test", "--merchant", "zeta")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "its file names nobody")
	require.Empty(t, w.ledger.alerts.tested)
}

// What alerts tell people to type can be typed.
func TestAdviceIsOfCommands(t *testing.T) {
	causes := []relay.AlertCause{"connection/main", "messages/email", "finding/stock_drift", relay.CausePaused}
	for _, r := range relay.HoldReasons() {
		causes = append(causes, relay.NewAlertCause(relay.CauseHold, string(r)))
	}
	for _, s := range []string{relay.StuckReady, relay.StuckInDoubt, relay.StuckCancel, relay.StuckShipment, relay.StuckCartCancel} {
		causes = append(causes, relay.NewAlertCause(relay.CauseStuck, s))
	}
	for _, what := range []string{relay.OrderBackAtCart, relay.OrderChangedTooLate, relay.OrderGone} {
		causes = append(causes, relay.NewAlertCause(relay.CauseOrder, "SO-1042", what))
	}
	for _, c := range causes {
		for _, line := range (relay.Alert{ID: 13, Merchant: "acme", Cause: c}).Advice().Commands {
			words := shellWords(t, line)
			require.Equal(t, "ferry", words[0])
			files(t)
			code, _, stderr := answering(t).ferry(t, words[1:]...)
			require.NotEqual(t, exitUsage, code, "%s: %s", line, stderr)
		}
	}
}

func TestOnboardKeepsTheWebhookSecret(t *testing.T) {
	w := answering(t)
	w.env["ALERT_SECRET"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	w.stdin = merchantYAML + "alerts:\n  email: [ops@example.com]\n  webhook: {url: \"https://hooks.example.com/x\", secret: \"${ALERT_SECRET}\"}\n"
	code, stdout, stderr := w.ferry(t, "merchant", "onboard", "--file", "-")
	require.Zero(t, code, stderr)
	require.Equal(t, map[string]string{"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, w.ledger.credentials[store.AlertsSecret])
	require.Equal(t, []string{"ops@example.com"}, w.ledger.saved.Alerts.Email)
	require.NotContains(t, stdout+stderr, "whsec_M")
	_, faults := merchantfile.Parse("m", []byte(w.stdin), func(string) (string, bool) { return "", false }, testConnectors())
	require.NotEmpty(t, faults)
}
