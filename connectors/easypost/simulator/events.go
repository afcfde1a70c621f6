package simulator

import (
	"slices"
	"time"

	"orderferry/connectors/simkit"
)

// event is news for webhooks, with the records as they were when it happened.
type event struct {
	id          string
	description string
	mode        Mode
	at          time.Time
	subject     string // id of the order or tracker
	previous    map[string]any
	order       *orderSnapshot
	tracker     *tracker
}

// maxEvents is how many past events a mode keeps for SendWebhooks.
const maxEvents = 1000

// orderEvent tells of an order. The event's id comes from the order's revision, so
// it is never given out twice, not even after a restart.
func (s *Simulator) orderEvent(b *book, o *order, description string, before State) {
	e := event{
		id: part("evt_", o.ID, o.Rev), description: description, mode: b.mode, at: o.Updated,
		subject: o.ID, order: new(b.snapshot(o)),
	}
	if before != "" && before != o.State {
		e.previous = map[string]any{"status": string(before)}
	}
	s.publish(b, e)
}

func (s *Simulator) trackerEvent(b *book, t *tracker, description, before string) {
	e := event{
		id: part("evt_", t.ID, t.Rev), description: description, mode: b.mode, at: t.Updated,
		subject: t.ID, tracker: t,
	}
	if before != "" {
		e.previous = map[string]any{"status": before}
	}
	s.publish(b, e)
}

// publish keeps the event, and queues it if anyone listens. The caller holds the mutex.
func (s *Simulator) publish(b *book, e event) {
	if len(b.events) >= 2*maxEvents {
		b.events = append(b.events[:0], b.events[maxEvents:]...)
	}
	b.events = append(b.events, e)
	if s.behaviour.ManualWebhooks || len(b.listeners.rows) == 0 {
		return
	}
	if !s.sender.put(e) {
		s.stats.WebhooksDropped++
	}
}

// recent returns the newest events of a subject ("" for all), oldest first.
func (b *book) recent(subject string, most int) []event {
	var out []event
	for i := len(b.events) - 1; i >= 0 && len(out) < most; i-- {
		if subject == "" || b.events[i].subject == subject {
			out = append(out, b.events[i])
		}
	}
	slices.Reverse(out)
	return out
}

type wireEvent struct {
	ID                 string         `json:"id"`
	Object             string         `json:"object"`
	Mode               Mode           `json:"mode"`
	Description        string         `json:"description"`
	CreatedAt          time.Time      `json:"created_at"`
	UpdatedAt          time.Time      `json:"updated_at"`
	PreviousAttributes map[string]any `json:"previous_attributes"`
	PendingURLs        []string       `json:"pending_urls"`
	CompletedURLs      []string       `json:"completed_urls"`
	Status             string         `json:"status"`
	UserID             string         `json:"user_id"`
	Result             any            `json:"result"`
}

// body renders an event for one URL (section 12).
func (e event) body(behaviour Behaviour, seed int64, url string) []byte {
	w := wireEvent{
		ID: e.id, Object: "Event", Mode: e.mode, Description: e.description, CreatedAt: second(e.at), UpdatedAt: second(e.at),
		PreviousAttributes: map[string]any{}, PendingURLs: []string{url}, CompletedURLs: []string{}, Status: "pending",
		UserID: "user_" + simkit.Identify(seed, "user"),
	}
	r := render{behaviour: behaviour, mode: e.mode, webhook: true}
	for name, value := range e.previous {
		if status, ok := value.(string); ok && e.order != nil {
			value = r.status(State(status))
		}
		w.PreviousAttributes[name] = value
	}
	if e.order != nil {
		w.Result = r.order(*e.order)
	} else {
		w.Result = shippingTrackerOf(e.tracker, e.mode)
	}
	_, body := asJSON(w)
	return body
}
