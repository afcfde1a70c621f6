package simulator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// webhookEvents are those of wire/tradegecko.md section 12.
var webhookEvents = [...]string{"account.update", "address.create", "address.update", "channel.destroy", "company.create", "company.update",
	"company.destroy", "contact.create", "contact.update", "document_theme.update", "fulfillment.create", "fulfillment.fulfilled",
	"fulfillment_return.create", "fulfillment_return.received", "image.create", "invoice.create", "invoice.destroy", "location.create",
	"location.update", "order.create", "order.finalized", "order.fulfilled", "payment.create", "procurement.create", "product.create",
	"product.destroy", "purchase_order.create", "purchase_order.received", "stock_adjustment.create", "stock_transfer.create",
	"variant.create", "variant.stock_level_update"}

const (
	deliveryTimeout = 10 * time.Second
	failingLife     = 3 * 24 * time.Hour
	maxPending      = 10_000 // deliveries; beyond it new ones are dropped
)

// notice is the body of a delivery.
type notice struct {
	ObjectID    int64  `json:"object_id"`
	Event       string `json:"event"`
	Timestamp   int64  `json:"timestamp"`
	ResourceURL string `json:"resource_url"`
	OrderID     int64  `json:"order_id,omitempty"`
}

type delivery struct {
	books    *books
	hook     int64
	address  string
	id       string
	body     []byte
	attempts int
	due      time.Time
}

// sender delivers webhooks one after the other; what waits is not kept over a restart.
type sender struct {
	sim    *Simulator
	client *http.Client
	stop   context.CancelFunc
	wake   chan struct{}

	mu      sync.Mutex
	pending []delivery
	dealt   int64
}

func newSender(s *Simulator) *sender {
	ctx, stop := context.WithCancel(context.Background())
	out := &sender{sim: s, stop: stop, wake: make(chan struct{}, 1),
		client: &http.Client{Timeout: deliveryTimeout, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.life.Go(func() { out.run(ctx) })
	return out
}

func resourcePath(k kind) string {
	switch k {
	case kindAddress:
		return "addresses"
	case kindCompany:
		return "companies"
	}
	return string(k) + "s"
}

// tell queues an event for the webhooks that are registered for it; the caller holds the books.
func (s *sender) tell(b *books, e event) {
	for _, w := range b.webhooks.list {
		if w.Event != e.name {
			continue
		}
		now := s.sim.now()
		body, err := json.Marshal(notice{ObjectID: e.id, Event: e.name, Timestamp: now.Unix(), OrderID: e.orderID,
			ResourceURL: fmt.Sprintf("https://api.tradegecko.com/%s/%d.json", e.resource, e.id)})
		if err != nil {
			continue // ids and words always encode
		}
		s.mu.Lock()
		if len(s.pending) < maxPending {
			s.dealt++
			id := s.sim.digest("delivery", b.account.Name, s.dealt)
			s.pending = append(s.pending, delivery{books: b, hook: w.ID, address: w.Address, id: hex.EncodeToString(id[:16]), body: body, due: time.Now()})
		}
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

func (s *sender) run(ctx context.Context) {
	for {
		d, wait, found := s.next()
		if found && wait <= 0 {
			s.deliver(ctx, d)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		if !found {
			wait = time.Hour
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// next takes the delivery that is due first, if it is due; else says how long to wait.
func (s *sender) next() (d delivery, wait time.Duration, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := -1
	for i := range s.pending {
		if first < 0 || s.pending[i].due.Before(s.pending[first].due) {
			first = i
		}
	}
	if first < 0 {
		return d, 0, false
	}
	d = s.pending[first]
	if wait = time.Until(d.due); wait <= 0 {
		s.pending = append(s.pending[:first], s.pending[first+1:]...)
	}
	return d, wait, true
}

// deliver sends once: 200 to 399 is delivered, 410 deletes the webhook, anything
// else is tried again with Sidekiq's back-off (wire/tradegecko.md section 12).
func (s *sender) deliver(ctx context.Context, d delivery) {
	status := s.post(ctx, d)
	switch {
	case ctx.Err() != nil:
		return
	case status >= 200 && status < 400:
		s.sim.stats.webhooks.Add(1)
	default:
		s.sim.stats.webhookErrs.Add(1)
	}
	if !s.judge(d, status) {
		return
	}
	base := s.sim.behaviour().WebhookRetry
	if base == 0 {
		base = defaultRetry
	}
	n := time.Duration(d.attempts)
	d.attempts++
	d.due = time.Now().Add(base + base*n*n*n*n/15)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, d)
}

func (s *sender) post(ctx context.Context, d delivery) (status int) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.address, bytes.NewReader(d.body))
	if err != nil {
		return 0
	}
	mac := hmac.New(sha256.New, []byte(d.books.account.AppSecret))
	mac.Write(d.body)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Gecko-Delivery", d.id)
	request.Header.Set("X-Gecko-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	response, err := s.client.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<16)) // only the status counts
	return response.StatusCode
}

// judge keeps the webhook's record and reports whether to try again.
func (s *sender) judge(d delivery, status int) (again bool) {
	err := d.books.change(func(c *change) error {
		w := c.books.webhooks.byID[d.hook]
		switch {
		case w == nil:
		case status >= 200 && status < 400:
			w.failingSince = 0
		case status == http.StatusGone:
			return c.removeWebhook(w)
		case w.failingSince == 0:
			w.failingSince, again = c.now, true
		case c.now.time().Sub(w.failingSince.time()) >= failingLife:
			return c.removeWebhook(w)
		default:
			again = true
		}
		return nil
	})
	if err != nil {
		s.sim.cfg.Log.Error("webhook record failed", "error", err)
	}
	if again {
		s.sim.cfg.Log.Warn("webhook refused", "webhook", d.hook, "status", status)
	}
	return again
}
