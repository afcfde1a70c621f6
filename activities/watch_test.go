package activities_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"orderferry/activities"
	"orderferry/notify"
	"orderferry/relay"
	"orderferry/store"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// postbox is a mail server and a webhook on loopback that keep what they are
// given. The webhook verifies signatures by the reference library.
type postbox struct {
	mailer *notify.Mailer
	hook   string
	mailUp atomic.Bool
	answer atomic.Int64 // the webhook's status; 0 is 200
	onPost atomic.Pointer[func()]

	mu    sync.Mutex
	mails []letter
	posts []hookPost
}

type letter struct {
	to, subject, id, references, body string
}

type hookPost struct {
	id, body string
}

func (p *postbox) letters() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mails)
}

func (p *postbox) taken() []hookPost {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.posts)
}

func newPostbox(t *testing.T) *postbox {
	t.Helper()
	p := &postbox{}
	p.mailUp.Store(true)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &letterSession{box: p}, nil }))
	server.Domain = "mail.test"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends with the test
	}()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-done
	})
	p.mailer, err = notify.NewMailer("smtp://"+l.Addr().String(), "orderferry@example.com")
	require.NoError(t, err)
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	require.NoError(t, err)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		p.posts = append(p.posts, hookPost{r.Header.Get("webhook-id"), string(body)})
		p.mu.Unlock()
		if f := p.onPost.Load(); f != nil {
			(*f)()
		}
		if s := p.answer.Load(); s != 0 {
			w.WriteHeader(int(s))
		}
	}))
	t.Cleanup(hook.Close)
	p.hook = hook.URL
	return p
}

type letterSession struct {
	box *postbox
	to  string
}

func (s *letterSession) Mail(string, *smtp.MailOptions) error {
	if !s.box.mailUp.Load() {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.NoEnhancedCode, Message: "not now"}
	}
	return nil
}

func (s *letterSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *letterSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.mails = append(s.box.mails, letter{
		s.to, m.Header.Get("Subject"), m.Header.Get("Message-Id"), m.Header.Get("References"), strings.ReplaceAll(string(body), "=\r\n", ""),
	})
	return nil
}

func (*letterSession) Reset()        {}
func (*letterSession) Logout() error { return nil }

// newAlertWorld is a world whose merchant has people called by e-mail and webhook.
func newAlertWorld(t *testing.T, p *postbox) *world {
	t.Helper()
	opt := activities.Options{}
	if p != nil {
		opt.Mail = p.mailer
	}
	w := newWorld(t, setup{Options: opt})
	policy := relay.AlertPolicy{Email: []string{"ops@example.com"}, Every: relay.Every(time.Minute)}
	if p != nil {
		policy.Webhook = p.hook
		t.Cleanup(func() { // promise 6 holds for what people are told
			for _, s := range secrets() {
				for _, l := range p.letters() {
					require.NotContains(t, l.subject+l.body, s)
				}
				for _, h := range p.taken() {
					require.NotContains(t, h.body, s)
				}
			}
		})
	}
	m, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	m.Alerts = policy
	_, err = w.ledger.SaveMerchant(t.Context(), m.Merchant, map[relay.ConnectionName]map[string]string{store.AlertsSecret: {"secret": hookSecret}})
	require.NoError(t, err)
	return w
}

func (w *world) watch() activities.WatchResult {
	w.t.Helper()
	return do[activities.WatchResult](w, w.acts.Watch, activities.WatchInput{Merchant: "acme"})
}

// strand puts an order on hold, as orders of unknown items are.
func (w *world) strand() string {
	w.t.Helper()
	number := w.sell()
	w.exec(`delete from aliases`)
	w.exec(`update merchants set aliases_version = aliases_version + 1`)
	w.pull()
	w.submit()
	w.viewHold(w.want(number, relay.OrderHeld).ID) // its workflow is at work
	return number
}

func (w *world) age(by string) {
	w.t.Helper()
	w.exec(`update orders set first_held_at = now() - $1::interval where state = 'held'`, by)
}

// rest moves back by two days when people were last told of an alert.
func (w *world) rest() {
	w.t.Helper()
	w.exec(`update alerts set opened_at = opened_at - interval '2 days', raised_at = raised_at - interval '2 days'`)
}

// dueNow lets messages that wait be tried at once.
func (w *world) dueNow() {
	w.t.Helper()
	w.exec(`update alert_messages set next_at = now()`)
}

func TestPeopleAreCalledAsAHoldAges(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	number := w.strand()
	require.Zero(t, w.watch())
	require.Equal(t, relay.Every(time.Minute), do[activities.Plan](w, w.acts.LoadPlan, activities.MerchantInput{Merchant: "acme"}).Watch)

	for level, by := range []string{"25 hours", "73 hours", "169 hours"} {
		w.age(by)
		w.rest()
		want := activities.WatchResult{Raised: 1, Sent: 2}
		if level == 0 {
			want = activities.WatchResult{Opened: 1, Sent: 2}
		}
		require.Equal(t, want, w.watch())
		require.Zero(t, w.watch(), "it is told once")
	}
	require.NoError(t, func() error {
		_, err := w.ledger.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "TOTE", Code: toteCode}, {SKU: "MUG", Code: mugCode}}, true, "test")
		return err
	}())
	_, err := w.ledger.Release(t.Context(), []relay.OrderID{w.order(number).ID}, "test", "test")
	require.NoError(t, err)
	require.Equal(t, activities.WatchResult{Closed: 1, Sent: 2, Submit: true}, w.watch())

	mails := p.letters()
	require.Len(t, mails, 4)
	for i, say := range []string{" for 1d01h", " for 3d01h", " for 7d01h", "over: 1 order on hold"} {
		require.Equal(t, "ops@example.com", mails[i].to)
		require.Contains(t, mails[i].subject, "[orderferry acme] ")
		require.Contains(t, mails[i].subject, say)
		if i > 0 {
			require.Equal(t, mails[0].id, mails[i].references, "they hang together")
		}
	}
	require.Contains(t, mails[0].body, "the oldest "+string(w.order(number).Reference))
	require.Contains(t, mails[0].body, "ferry hold list --merchant acme --reason unknown_item")
	posts := p.taken()
	require.Len(t, posts, 4)
	var got struct {
		Data struct {
			Merchant string
			Notices  []struct {
				News, Cause string
				Level       int
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(posts[2].body), &got))
	require.Equal(t, "acme", got.Data.Merchant)
	require.Equal(t, "raised hold/unknown_item 3", fmt.Sprint(got.Data.Notices[0].News, " ", got.Data.Notices[0].Cause, " ", got.Data.Notices[0].Level))
}

// A mail server that is down fails no step: its messages wait, and the others leave.
func TestMessagesThatAreNotTaken(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	w.strand()
	w.age("25 hours")
	p.mailUp.Store(false)
	require.Equal(t, activities.WatchResult{Opened: 1, Sent: 1, Failed: 1}, w.watch())
	require.Zero(t, w.watch(), "it waits")
	w.dueNow()
	require.Equal(t, activities.WatchResult{Failed: 1}, w.watch())
	deliveries := w.deliveries()
	require.Equal(t, 2, deliveries[0].Attempts)
	require.Contains(t, deliveries[0].Error, "send e-mail: unavailable, code 451")
	require.Greater(t, time.Until(deliveries[0].NextAt), time.Minute)
	p.mailUp.Store(true)
	w.dueNow()
	require.Equal(t, activities.WatchResult{Sent: 1}, w.watch())
	require.Len(t, p.letters(), 1)
	require.Len(t, p.taken(), 1)

	// What the webhook refuses for good is not posted again; the others hear of it.
	w.age("73 hours")
	w.rest()
	p.answer.Store(http.StatusGone)
	require.Equal(t, activities.WatchResult{Raised: 1, Sent: 1, Failed: 1}, w.watch())
	p.answer.Store(0)
	require.Equal(t, activities.WatchResult{Opened: 1, Sent: 2}, w.watch())
	require.Contains(t, p.letters()[2].subject, "1 message about alerts could not be delivered by webhook")
	require.Equal(t, activities.WatchResult{Closed: 1, Sent: 2}, w.watch(), "the later one was delivered")

	// A day is enough.
	w.age("169 hours")
	w.rest()
	p.answer.Store(http.StatusBadGateway)
	require.Equal(t, activities.WatchResult{Raised: 1, Sent: 1, Failed: 1}, w.watch())
	w.exec(`update alert_messages set created_at = now() - interval '25 hours', next_at = now() where sent_at is null and gave_up_at is null`)
	p.answer.Store(http.StatusServiceUnavailable)
	require.Equal(t, activities.WatchResult{Failed: 1}, w.watch())
	require.Equal(t, activities.WatchResult{Opened: 1, Sent: 1, Failed: 1}, w.watch())
}

func (w *world) deliveries() []store.AlertDelivery {
	w.t.Helper()
	open, err := w.ledger.Alerts(w.t.Context(), store.AlertQuery{Limit: 1})
	require.NoError(w.t, err)
	_, list, err := w.ledger.Alert(w.t.Context(), open[0].ID)
	require.NoError(w.t, err)
	return list
}

// A worker that dies between sending and recording sends the same again: the
// same key and the same words, so that receivers may drop it.
func TestACrashAfterSendingRepeatsTheSame(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	w.strand()
	w.age("25 hours")
	gone := func() { w.exec(`alter table alert_messages rename to elsewhere`) } // nothing can be recorded any more
	p.onPost.Store(&gone)
	_, err := try[activities.WatchResult](w, w.acts.Watch, activities.WatchInput{Merchant: "acme"})
	require.Error(t, err)
	p.onPost.Store(nil)
	w.exec(`alter table elsewhere rename to alert_messages`)
	require.Zero(t, w.watch(), "as far as anybody knows, it is being sent")
	w.exec(`update alert_messages set next_at = now(), sent_at = null, delivered = '{}'`) // as if the mail's were lost too
	require.Equal(t, activities.WatchResult{Sent: 2}, w.watch())

	posts, mails := p.taken(), p.letters()
	require.Len(t, posts, 2)
	require.NotEmpty(t, posts[0].id)
	require.Equal(t, posts[0], posts[1])
	require.Len(t, mails, 2)
	require.Equal(t, mails[0], mails[1])
	require.NotContains(t, mails[0].id, posts[0].id)
}

func TestWorkersAtOnceSendEachMessageOnce(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	w.strand()
	w.age("25 hours")
	var envs []*testsuite.TestActivityEnvironment
	for range 4 {
		w.newEnv()
		envs = append(envs, w.env)
	}
	var g sync.WaitGroup
	for _, env := range envs {
		g.Go(func() {
			for range 2 {
				if _, err := env.ExecuteActivity(w.acts.Watch, activities.WatchInput{Merchant: "acme"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	require.Len(t, p.letters(), 1)
	require.Len(t, p.taken(), 1)
}

// Hundreds of alerts at once are one message a channel.
func TestManyAlertsAreOneMessageEach(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	w.sell()
	w.pull()
	w.exec(`insert into orders (merchant_id, cart_id, external_id, number, reference, state, placed_at, cart_updated_at, digest, ship_to, ship_method)
		select merchant_id, cart_id, 'more-' || n, 'M-' || n, 'M-' || n, state, placed_at, cart_updated_at, digest, ship_to, ship_method from orders, generate_series(1, 499) as n`)
	w.exec(`insert into order_events (order_id, kind, actor) select id, 'changed_too_late', 'test' from orders`)
	require.Equal(t, activities.WatchResult{Opened: 500, Sent: 2, Submit: true}, w.watch())
	require.Len(t, p.letters(), 1)
	require.Equal(t, "[orderferry acme] 500 alerts: 500 opened", p.letters()[0].subject)
	require.Equal(t, 500, strings.Count(p.letters()[0].body, "changed at the cart after it was submitted"))
	require.Len(t, p.taken(), 1)
	require.Equal(t, 500, strings.Count(p.taken()[0].body, `"news":"opened"`))
}

// Recipients without a mail server: the alert stands, and everybody is told what to set.
func TestNoMailServer(t *testing.T) {
	w := newAlertWorld(t, nil)
	w.strand()
	w.age("25 hours")
	require.Equal(t, activities.WatchResult{Opened: 1, Failed: 1}, w.watch())
	w.dueNow()
	require.Equal(t, activities.WatchResult{Failed: 1}, w.watch())
	require.Equal(t, "send e-mail: unavailable: no mail server is configured: set ORDERFERRY_SMTP_URL", w.deliveries()[0].Error)
	require.Equal(t, 1, strings.Count(w.said.String(), "a message about alerts was not delivered"), "it is logged once")
	require.NotContains(t, w.said.String(), "ops@example.com")
}

// A person who tries the channels gets each one's answer, of one try.
func TestATestTellsTheTruth(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	p.answer.Store(http.StatusInternalServerError)
	messages, _, err := w.ledger.TestAlerts(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, activities.WatchResult{Sent: 1, Failed: 1}, w.watch())
	got, err := w.ledger.AlertDeliveries(t.Context(), messages)
	require.NoError(t, err)
	require.False(t, got[0].SentAt.IsZero())
	require.False(t, got[1].GaveUpAt.IsZero())
	require.Equal(t, "post to the webhook: unavailable, HTTP 500", got[1].Error)
	require.Equal(t, "[orderferry acme] test: alerts arrive here", p.letters()[0].subject)
	require.Contains(t, p.taken()[0].body, `"type":"alerts.test"`)
	require.Zero(t, w.watch())
}

// Somebody who is not named any more is not called.
func TestAChannelThatIsTakenAway(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	w.strand()
	w.age("25 hours")
	m, err := w.ledger.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	_, err = w.ledger.LookAfterAlerts(t.Context(), m, time.Hour)
	require.NoError(t, err)
	m.Alerts.Webhook = ""
	_, err = w.ledger.SaveMerchant(t.Context(), m.Merchant, nil)
	require.NoError(t, err)
	require.Equal(t, activities.WatchResult{Sent: 1, Failed: 1}, w.watch())
	require.Empty(t, p.taken())
	require.Contains(t, w.deliveries()[1].Error, "names nobody by webhook any more")
	require.Zero(t, w.watch(), "and nobody is told of that")
}

func TestWatchOfNobody(t *testing.T) {
	w := newAlertWorld(t, nil)
	_, err := try[activities.WatchResult](w, w.acts.Watch, activities.WatchInput{Merchant: "nobody"})
	kind, retried := kindOf(t, err)
	require.Equal(t, activities.ErrorMissing, kind)
	require.False(t, retried)
}

// The workflow tells of jobs that fail; people are called after an hour.
func TestPeopleAreCalledForAJobThatFails(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	look := func(since time.Duration) activities.WatchResult {
		in := activities.WatchInput{Merchant: "acme"}
		if since > 0 {
			in.Failing = []activities.FailingJob{{
				Connection: "shop", Job: relay.PullOrders, Since: time.Now().Add(-since), Fails: 7, Why: "pull orders: unavailable, HTTP 503",
			}}
		}
		return do[activities.WatchResult](w, w.acts.Watch, in)
	}
	require.Zero(t, look(50*time.Minute))
	require.Equal(t, activities.WatchResult{Opened: 1, Sent: 2}, look(61*time.Minute))
	require.Zero(t, look(2*time.Hour))
	w.rest()
	require.Equal(t, activities.WatchResult{Raised: 1, Sent: 2}, look(73*time.Hour))
	require.Equal(t, activities.WatchResult{Closed: 1, Sent: 2}, look(0))
	mail := p.letters()[0]
	require.Contains(t, mail.body, "pull_orders of connection shop fails for 1h01m: pull orders: unavailable, HTTP 503")
	require.Contains(t, mail.body, "ferry connection test --merchant acme --connection shop")
}

// And of jobs that a person paused; people are called as for a merchant that is paused.
func TestPeopleAreCalledForAForgottenPause(t *testing.T) {
	p := newPostbox(t)
	w := newAlertWorld(t, p)
	look := func(paused ...time.Duration) activities.WatchResult {
		in := activities.WatchInput{Merchant: "acme"}
		for _, d := range paused {
			in.Paused = append(in.Paused, activities.PausedJob{Connection: "shop", Job: relay.PullOrders, Since: time.Now().Add(-d)})
		}
		return do[activities.WatchResult](w, w.acts.Watch, in)
	}
	require.Zero(t, look(23*time.Hour))
	require.Equal(t, activities.WatchResult{Opened: 1, Sent: 2}, look(25*time.Hour))
	require.Equal(t, activities.WatchResult{Closed: 1, Sent: 2}, look())
	mail := p.letters()[0]
	require.Contains(t, mail.body, "pull_orders of connection shop is paused for 1d01h")
	require.Contains(t, mail.body, "ferry merchant resume --merchant acme --connection shop --job pull_orders")
}
