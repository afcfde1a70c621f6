package simulator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/text/unicode/norm"
)

// Bounds of webhook delivery.
const (
	maxQueued      = 10_000 // events waiting; more are dropped and counted
	maxCopies      = 100
	sendTimeout    = 10 * time.Second
	sendTries      = 3
	sendPause      = 200 * time.Millisecond // doubled from try to try
	gatherFor      = 100 * time.Millisecond // before a shuffle, so that there is something to shuffle
	maxWebhookRead = 64 << 10               // of a receiver's answer
)

// sender delivers events one after the other. What waits when the simulator ends
// is lost: webhooks are a hint.
type sender struct {
	client *http.Client
	ctx    context.Context
	stop   context.CancelFunc
	wake   chan struct{}

	mu    sync.Mutex
	queue []event
}

func newSender() *sender {
	ctx, stop := context.WithCancel(context.Background())
	return &sender{
		client: &http.Client{
			Timeout:       sendTimeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		ctx: ctx, stop: stop, wake: make(chan struct{}, 1),
	}
}

func (d *sender) put(e event) bool {
	d.mu.Lock()
	room := len(d.queue) < maxQueued
	if room {
		d.queue = append(d.queue, e)
	}
	d.mu.Unlock()
	d.nudge()
	return room
}

// nudge wakes the sender.
func (d *sender) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *sender) take() []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	batch := d.queue
	d.queue = nil
	return batch
}

func (d *sender) run(s *Simulator) {
	defer d.client.CloseIdleConnections()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.wake:
		}
		behaviour := s.Behaviour()
		if behaviour.ReorderWebhooks && !wait(d.ctx, gatherFor) {
			return
		}
		batch := copies(d.take(), behaviour.WebhookCopies)
		if behaviour.ReorderWebhooks {
			s.shuffle(batch)
		}
		if s.journal.Flush() != nil { // nobody is told of what is not kept
			continue
		}
		for _, e := range batch {
			s.deliver(e, behaviour)
		}
	}
}

func (s *Simulator) shuffle(batch []event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chance.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
}

func copies(events []event, n int) []event {
	if n <= 1 {
		return events
	}
	var out []event
	for _, e := range events {
		for range n {
			out = append(out, e)
		}
	}
	return out
}

// deliver sends an event to everyone who listens, trying again on anything but 2xx.
func (s *Simulator) deliver(e event, behaviour Behaviour) {
	s.mu.Lock()
	b := s.books[e.mode]
	hooks := b.listeners.newest(0, len(b.listeners.rows), nil)
	s.mu.Unlock()
	for _, h := range hooks {
		pause := sendPause
		for try := 1; ; try++ {
			d := s.sender.post(s.sender.ctx, h.URL, h.Secret, e, behaviour, s.seed)
			s.countDelivery(d)
			if d.ok() || try == sendTries || !wait(s.sender.ctx, pause) {
				break
			}
			pause *= 2
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Delivery is what became of one webhook request.
type Delivery struct {
	EventID     string `json:"event_id"`
	Description string `json:"description"`
	Status      int    `json:"status"` // HTTP status; 0 if there was no answer
	Error       string `json:"error,omitempty"`
}

func (d Delivery) ok() bool { return d.Status >= 200 && d.Status < 300 }

// post sends one event, signed where there is a secret: HMAC-SHA256 over the raw
// body with the NFKD-normalised secret (section 12). Credentials in the URL become
// Basic auth.
func (d *sender) post(ctx context.Context, to, secret string, e event, behaviour Behaviour, seed int64) Delivery {
	out := Delivery{EventID: e.id, Description: e.description}
	body := e.body(behaviour, seed, withoutUser(to))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		out.Error = "the URL is not usable"
		return out
	}
	req.Header.Set("Content-Type", "application/json")
	if secret != "" {
		mac := hmac.New(sha256.New, []byte(norm.NFKD.String(secret)))
		mac.Write(body)
		req.Header.Set("X-Hmac-Signature", "hmac-sha256-hex="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := d.client.Do(req)
	if err != nil {
		var failed *url.Error // its own text has the URL, which may hold credentials
		if errors.As(err, &failed) {
			err = failed.Err
		}
		out.Error = err.Error()
		return out
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxWebhookRead))
	out.Status = resp.StatusCode
	return out
}

func withoutUser(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

func (s *Simulator) countDelivery(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.ok() {
		s.stats.WebhooksDelivered++
	} else {
		s.stats.WebhooksFailed++
	}
}

// WebhookSend asks for past events to be sent, now, once more.
type WebhookSend struct {
	Mode    Mode   `json:"mode"`    // "" with a Subject: the mode that has it; else Production
	Subject string `json:"subject"` // order or tracker id; "" for all
	Last    int    `json:"last"`    // most events, the newest; 0 means 1
	URL     string `json:"url"`
	Secret  string `json:"secret"` // "" sends them unsigned
	Copies  int    `json:"copies"` // each so many times; 0 means once
	Shuffle bool   `json:"shuffle"`
}

// SendWebhooks posts events to one URL and waits for the answers, whether or not
// anything is registered there. An order without recent events sends its present
// state as fulfillment.order.updated.
func (s *Simulator) SendWebhooks(ctx context.Context, w WebhookSend) ([]Delivery, error) {
	if u, err := url.Parse(w.URL); err != nil || u.Host == "" {
		return nil, errors.New("send webhooks: url must be an absolute URL")
	}
	if w.Last < 0 || w.Last > maxEvents || w.Copies < 0 || w.Copies > maxCopies {
		return nil, fmt.Errorf("send webhooks: at most %d events and %d copies", maxEvents, maxCopies)
	}
	s.mu.Lock()
	events, err := s.eventsFor(w)
	behaviour := s.behaviour
	s.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("send webhooks: %w", err)
	}
	if err := s.journal.Flush(); err != nil {
		return nil, err
	}
	batch := copies(events, w.Copies)
	if w.Shuffle {
		s.shuffle(batch)
	}
	out := make([]Delivery, len(batch))
	for i, e := range batch {
		out[i] = s.sender.post(ctx, w.URL, w.Secret, e, behaviour, s.seed)
		s.countDelivery(out[i])
	}
	return out, ctx.Err()
}

func (s *Simulator) eventsFor(w WebhookSend) ([]event, error) {
	b := s.books[w.Mode]
	if b == nil && w.Mode != "" {
		return nil, fmt.Errorf("mode %q: %w", w.Mode, ErrNotFound)
	}
	if b == nil {
		b = s.books[Production]
		if found, _ := s.holder(w.Subject); found != nil {
			b = found
		}
	}
	events := b.recent(w.Subject, max(1, w.Last))
	if o := b.orders[w.Subject]; len(events) == 0 && o != nil {
		events = []event{{
			id: part("evt_", o.ID, o.Rev), description: "fulfillment.order.updated", mode: b.mode, at: o.Updated,
			subject: o.ID, order: new(b.snapshot(o)),
		}}
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("events: %w", ErrNotFound)
	}
	return events, nil
}

// holder finds the book that has an order or tracker.
func (s *Simulator) holder(id string) (*book, bool) {
	for _, m := range modes() {
		if b := s.books[m]; b.orders[id] != nil || b.trackers[id] != nil {
			return b, true
		}
	}
	return nil, false
}
