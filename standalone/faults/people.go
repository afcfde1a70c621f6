package faults

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
	"orderferry/standalone/audit"
)

// trick is what goes wrong with a message to people.
type trick string

const (
	turnedAway trick = "turned away" // it is not read
	throttled  trick = "throttled"   // likewise, with a delay asked for
	unanswered trick = "unanswered"  // it is read, and the connection ends instead of an answer
	slow       trick = "slow"
)

func tricks() []trick { return []trick{turnedAway, throttled, unanswered, slow} }

// people get the messages about alerts, by a webhook on the loopback interface.
// What a message looks like is written here once more, on purpose.
type people struct {
	server  *http.Server
	address string
	key     []byte // of the signatures

	mu      sync.Mutex
	armed   []trick
	befell  map[trick]int64
	calmed  time.Time         // since then only messages that are written later are tricked, once
	tricked map[string]bool   // since then, by id
	read    map[string]letter // by id
	wrong   []audit.Finding
}

// letter is a message as it came first.
type letter struct {
	body     string
	merchant relay.MerchantID
	news     []audit.News
}

// newPeople listens on a free port.
func newPeople() (*people, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for messages: %w", err)
	}
	p := &people{
		address: "http://" + l.Addr().String() + "/alerts", key: []byte("what people and the worker share"),
		befell: make(map[trick]int64), tricked: make(map[string]bool), read: make(map[string]letter),
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go p.server.Serve(l) //nolint:errcheck // close ends it
	return p, nil
}

func (p *people) close() { _ = p.server.Close() }

// secret is the key as a merchant's file has it.
func (p *people) secret() string { return "whsec_" + base64.StdEncoding.EncodeToString(p.key) }

func (p *people) host() string {
	u, err := url.Parse(p.address)
	if err != nil {
		panic(err) // it is made of a listener's address
	}
	return u.Host
}

// arm plays a trick on the next message.
func (p *people) arm(t trick) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, t)
}

// calm disarms all tricks but one of each that was played on nobody yet. These are
// for messages that failed in no other way: what fails again waits for longer, each
// time, than anybody's patience lasts.
func (p *people) calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = slices.DeleteFunc(tricks(), func(t trick) bool { return p.befell[t] > 0 })
	p.calmed = time.Now()
}

// nextTrick is what goes wrong with a message; "" is nothing.
func (p *people) nextTrick(id, body string) trick {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.armed) == 0 {
		return ""
	}
	if !p.calmed.IsZero() {
		var m struct {
			Timestamp time.Time `json:"timestamp"`
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil || m.Timestamp.Before(p.calmed) || p.tricked[id] {
			return ""
		}
		p.tricked[id] = true
	}
	t := p.armed[0]
	p.armed = p.armed[1:]
	p.befell[t]++
	return t
}

func (p *people) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its sender died
	}
	t := p.nextTrick(r.Header.Get("Webhook-Id"), string(body))
	switch t {
	case turnedAway:
		w.WriteHeader(http.StatusBadGateway)
		return
	case throttled:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case slow:
		rest(r.Context(), 2*time.Second)
	}
	p.take(r.Header, string(body))
	if t == unanswered {
		panic(http.ErrAbortHandler)
	}
}

// take reads a message. One that comes again has to be the same, to the letter.
func (p *people) take(h http.Header, body string) {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	var m struct {
		Type string `json:"type"`
		Data struct {
			Merchant relay.MerchantID `json:"merchant"`
			Notices  []struct {
				News  relay.AlertNews `json:"news"`
				Alert int64           `json:"alert"`
			} `json:"notices"`
			More int `json:"more"`
		} `json:"data"`
	}
	err := json.Unmarshal([]byte(body), &m)
	p.mu.Lock()
	defer p.mu.Unlock()
	misled := func(format string, args ...any) {
		p.wrong = append(p.wrong, audit.Finding{Wrong: audit.Misled, Merchant: m.Data.Merchant, Subject: "message " + id, Words: fmt.Sprintf(format, args...)})
	}
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(id + "." + at + "." + body))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	sent, badTime := strconv.ParseInt(at, 10, 64)
	before, again := p.read[id]
	switch {
	case id == "" || err != nil || m.Type != "alerts" || len(m.Data.Notices) == 0 || m.Data.More != 0:
		misled("it can't be read: %v", err)
	case h.Get("Webhook-Signature") != want:
		misled("its signature is not of its id, time and body")
	case badTime != nil || time.Since(time.Unix(sent, 0)).Abs() > time.Minute:
		misled("its time is %q", at)
	case again && before.body != body:
		misled("it came twice, and was not the same")
	case !again:
		l := letter{body: body, merchant: m.Data.Merchant}
		for _, n := range m.Data.Notices {
			l.news = append(l.news, audit.News{Message: id, Alert: n.Alert, News: n.News})
		}
		p.read[id] = l
	}
}

// got is what a merchant's people have heard.
func (p *people) got(m relay.MerchantID) map[audit.News]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := make(map[audit.News]bool)
	for _, l := range p.read {
		if l.merchant != m {
			continue
		}
		for _, n := range l.news {
			news[n] = true
		}
	}
	return news
}

// misled is all that was wrong with messages.
func (p *people) misled() []audit.Finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrong)
}

// counts are the messages that came, and what befell them.
func (p *people) counts() (messages int, befell map[string]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	befell = make(map[string]int64)
	for _, t := range tricks() {
		befell["people "+string(t)] = p.befell[t]
	}
	return len(p.read), befell
}

// alertEvery is how often alerts are looked after: the least that is accepted.
const alertEvery = relay.MinAlertEvery

// callsPeople reports whether the i-th merchant has its people called: a third of
// all. A look at alerts makes up for wake-ups that were lost; that of the others comes
// only every five minutes, so that they show such a loss for as long.
func callsPeople(i int) bool { return turn(i) == 1 }

// comparesBooks reports whether the books of the i-th merchant are compared:
// another third, for that mends what else would be found to be lost.
func comparesBooks(i int) bool { return turn(i) == 0 }

// turn deals the merchants into three, each with all pairings of systems.
func turn(i int) int { return (i + i/len(pairings())) % 3 }

// policy is how a merchant's people are called: soon.
func (p *people) policy() relay.AlertPolicy {
	return relay.AlertPolicy{
		After: []relay.Age{relay.MinAlertAge, 2 * relay.MinAlertAge, 5 * relay.MinAlertAge}, Every: alertEvery, Webhook: p.address,
	}
}

// calls adds to books what people are to be told of alerts, and what they heard.
func (h *harness) calls(ctx context.Context, b *audit.Books, i int) (err error) {
	if !callsPeople(i) {
		return nil
	}
	b.Got = h.people.got(b.Merchant) // first: the ledger has what is told before it is
	b.News, err = audit.Alerts(ctx, h.database, b.Merchant, relay.ByWebhook)
	return err
}

// uncalled finds the orders on hold for which people should have been called by
// now, and no alert is open.
func (h *harness) uncalled(ctx context.Context, i int) ([]audit.Finding, error) {
	if !callsPeople(i) {
		return nil, nil
	}
	m := merchantID(i)
	rows, err := h.database.Query(ctx, `
		select o.reference, o.hold_reason from orders o
		where o.merchant_id = $1 and o.state = 'held' and o.warehouse_order_id is null and coalesce(o.first_held_at, o.held_at) < now() - $2::interval
			and not exists (select from alerts a where a.merchant_id = o.merchant_id and a.cause = 'hold/' || o.hold_reason and a.closed_at is null)
		order by o.id`, m, time.Duration(h.people.policy().After[0])+time.Duration(alertEvery))
	if err != nil {
		return nil, err
	}
	var reference, reason string
	var out []audit.Finding
	_, err = pgx.ForEachRow(rows, []any{&reference, &reason}, func() error {
		out = append(out, audit.Finding{Wrong: audit.NotCalled, Merchant: m, Subject: reference,
			Words: fmt.Sprintf("it is on hold (%s) for longer than %s, and no alert is open", reason, h.people.policy().After[0])})
		return nil
	})
	return out, err
}
