package simulator

import (
	"net/http"
	"strings"
	"time"
)

// The shipping API's calls (section 13). Its shapes are recorded, so Behaviour
// does not bend them; its times are RFC 3339.

type shippingTracker struct {
	ID            string         `json:"id"`
	Object        string         `json:"object"`
	Mode          Mode           `json:"mode"`
	TrackingCode  string         `json:"tracking_code"`
	Carrier       string         `json:"carrier"`
	Status        string         `json:"status"`
	StatusDetail  string         `json:"status_detail"`
	CreatedAt     time.Time      `json:"created_at"`
	UpdatedAt     time.Time      `json:"updated_at"`
	EstDelivery   *time.Time     `json:"est_delivery_date"`
	SignedBy      *string        `json:"signed_by"`
	Weight        *float64       `json:"weight"`
	ShipmentID    *string        `json:"shipment_id"`
	PublicURL     string         `json:"public_url"`
	Fees          []any          `json:"fees"`
	Finalized     bool           `json:"finalized"`
	IsReturn      bool           `json:"is_return"`
	Details       []shippingScan `json:"tracking_details"`
	CarrierDetail carrierDetail  `json:"carrier_detail"`
}

type shippingScan struct {
	Object       string           `json:"object"`
	Message      string           `json:"message"`
	Description  string           `json:"description"`
	Status       string           `json:"status"`
	StatusDetail string           `json:"status_detail"`
	Datetime     time.Time        `json:"datetime"`
	Source       string           `json:"source"`
	CarrierCode  string           `json:"carrier_code"`
	Location     trackingLocation `json:"tracking_location"`
}

type trackingLocation struct {
	Object  string  `json:"object"`
	City    *string `json:"city"`
	State   *string `json:"state"`
	Country *string `json:"country"`
	Zip     *string `json:"zip"`
}

type carrierDetail struct {
	Object                      string  `json:"object"`
	Service                     *string `json:"service"`
	ContainerType               *string `json:"container_type"`
	EstDeliveryDateLocal        *string `json:"est_delivery_date_local"`
	EstDeliveryTimeLocal        *string `json:"est_delivery_time_local"`
	OriginLocation              *string `json:"origin_location"`
	OriginTrackingLocation      *string `json:"origin_tracking_location"`
	DestinationLocation         *string `json:"destination_location"`
	DestinationTrackingLocation *string `json:"destination_tracking_location"`
	GuaranteedDeliveryDate      *string `json:"guaranteed_delivery_date"`
	AlternateIdentifier         *string `json:"alternate_identifier"`
	InitialDeliveryAttempt      *string `json:"initial_delivery_attempt"`
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func shippingTrackerOf(t *tracker, mode Mode) *shippingTracker {
	w := &shippingTracker{
		ID: t.ID, Object: "Tracker", Mode: mode, TrackingCode: t.Code, Carrier: t.Carrier, Status: t.Status,
		StatusDetail: t.detail(), CreatedAt: second(t.Created), UpdatedAt: second(t.Updated), PublicURL: t.publicURL(),
		Fees: []any{}, Finalized: true,
		CarrierDetail: carrierDetail{Object: "CarrierDetail", Service: orNull(t.Service)},
	}
	if t.Status != "unknown" {
		w.EstDelivery = new(second(t.expected()))
	}
	for _, s := range t.Scans {
		w.Details = append(w.Details, shippingScan{
			Object: "TrackingDetail", Message: s.Message, Status: s.Status, StatusDetail: s.Detail,
			Datetime: second(s.At), Source: t.Carrier, Location: trackingLocation{Object: "TrackingLocation"},
		})
	}
	return w
}

// sameTrackerFor is how long a repeated create returns the tracker that is there.
const sameTrackerFor = 90 * 24 * time.Hour

func (c *call) createTracker() (int, any, *problem) {
	var req struct {
		Tracker struct {
			TrackingCode string `json:"tracking_code"`
			Carrier      string `json:"carrier"`
		} `json:"tracker"`
	}
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	code := strings.TrimSpace(req.Tracker.TrackingCode)
	if code == "" {
		return 0, nil, required("tracking_code")
	}
	b := c.begin()
	defer c.mu.Unlock()
	if t := b.trackerOf(code, req.Tracker.Carrier); t != nil && c.now.Sub(t.Created) < sameTrackerFor {
		return http.StatusOK, shippingTrackerOf(t, b.mode), nil
	}
	n, id := b.next("trk_")
	t := &tracker{
		N: n, ID: id, Created: c.now, Updated: c.now, Code: code,
		Carrier: req.Tracker.Carrier, Status: statusOfTestCode(code),
	}
	if t.Carrier == "" {
		t.Carrier = carrierOf(code)
	}
	t.Service, t.Scans = serviceOf(t.Carrier), []scan{newScan(c.now, t.Status)}
	c.commit(b, &change{Trackers: []*tracker{t}})
	c.trackerEvent(b, t, "tracker.created", "")
	return http.StatusCreated, shippingTrackerOf(t, b.mode), nil
}

// trackerOf finds the newest tracker of a code; an empty carrier matches all.
func (b *book) trackerOf(code, carrier string) *tracker {
	ids := b.byCode[code]
	for i := len(ids) - 1; i >= 0; i-- {
		if t := b.trackers[ids[i]]; carrier == "" || strings.EqualFold(t.Carrier, carrier) {
			return t
		}
	}
	return nil
}

func (c *call) getTracker() (int, any, *problem) {
	b := c.begin()
	t := c.settleTracker(b, c.ids[0], c.now)
	c.mu.Unlock()
	if t == nil {
		return 0, nil, notFound()
	}
	return http.StatusOK, shippingTrackerOf(t, c.book.mode), nil
}

// Page sizes of the shipping API.
const (
	defaultPageSize = 20
	maxPageSize     = 100
)

func (c *call) listTrackers() (int, any, *problem) {
	q := c.request.URL.Query()
	size := min(atoi(q.Get("page_size"), 1, defaultPageSize), maxPageSize)
	from, until, p := span(q.Get("start_datetime"), q.Get("end_datetime"))
	if p != nil {
		return 0, nil, p
	}
	code, carrier := q.Get("tracking_code"), q.Get("carrier")
	b := c.begin()
	older, newer := b.trackers[q.Get("before_id")], b.trackers[q.Get("after_id")]
	var source timeline[*tracker]
	if code != "" {
		for _, id := range b.byCode[code] {
			source.put(b.trackers[id])
		}
	} else {
		source = b.parcels
	}
	rows := source.newest(0, size+1, func(t *tracker) bool {
		return (older == nil || comparePlaces(t, older) < 0) && (newer == nil || comparePlaces(t, newer) > 0) &&
			(carrier == "" || strings.EqualFold(carrier, t.Carrier)) &&
			!t.Created.Before(from) && (until.IsZero() || t.Created.Before(until))
	})
	c.mu.Unlock()

	out := make([]*shippingTracker, 0, size)
	for _, t := range rows[:min(size, len(rows))] {
		out = append(out, shippingTrackerOf(t, b.mode))
	}
	return http.StatusOK, map[string]any{"trackers": out, "has_more": len(rows) > size}, nil
}

func span(start, end string) (from, until time.Time, p *problem) {
	for _, x := range []struct {
		name, text string
		into       *time.Time
	}{{"start_datetime", start, &from}, {"end_datetime", end, &until}} {
		if x.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, x.text)
		if err != nil {
			return from, until, invalid(x.name, "must be an RFC 3339 time")
		}
		*x.into = t
	}
	return from, until, nil
}

type shippingWebhook struct {
	ID         string     `json:"id"`
	Object     string     `json:"object"`
	Mode       Mode       `json:"mode"`
	URL        string     `json:"url"`
	CreatedAt  time.Time  `json:"created_at"`
	DisabledAt *time.Time `json:"disabled_at"`
}

func (c *call) webhook(h *hook) shippingWebhook {
	return shippingWebhook{ID: h.ID, Object: "Webhook", Mode: c.book.mode, URL: h.URL, CreatedAt: second(h.Created)}
}

type webhookRequest struct {
	Webhook struct {
		URL    *string `json:"url"`
		Secret *string `json:"webhook_secret"`
	} `json:"webhook"`
}

func (r *webhookRequest) on(h *hook) *problem {
	if r.Webhook.URL != nil {
		if !strings.HasPrefix(*r.Webhook.URL, "http://") && !strings.HasPrefix(*r.Webhook.URL, "https://") {
			return invalid("url", "must be an http or https URL")
		}
		h.URL = *r.Webhook.URL
	}
	if r.Webhook.Secret != nil {
		h.Secret = *r.Webhook.Secret
	}
	if h.URL == "" {
		return required("url")
	}
	return nil
}

func (c *call) createWebhook() (int, any, *problem) {
	var req webhookRequest
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	h := &hook{Created: c.now}
	if p := req.on(h); p != nil {
		return 0, nil, p
	}
	b := c.begin()
	defer c.mu.Unlock()
	h.N, h.ID = b.next("hook_")
	c.commit(b, &change{Hooks: []*hook{h}})
	return http.StatusCreated, c.webhook(h), nil
}

func (c *call) listWebhooks() (int, any, *problem) {
	b := c.begin()
	rows := b.listeners.newest(0, len(b.listeners.rows), nil)
	c.mu.Unlock()
	out := make([]shippingWebhook, len(rows))
	for i, h := range rows {
		out[i] = c.webhook(h)
	}
	return http.StatusOK, map[string]any{"webhooks": out}, nil
}

func (b *book) liveHook(id string) *hook {
	if h := b.hooks[id]; h != nil && !h.Deleted {
		return h
	}
	return nil
}

func (c *call) getWebhook() (int, any, *problem) {
	h := c.begin().liveHook(c.ids[0])
	c.mu.Unlock()
	if h == nil {
		return 0, nil, notFound()
	}
	return http.StatusOK, c.webhook(h), nil
}

// updateWebhook answers 201, as was recorded.
func (c *call) updateWebhook() (int, any, *problem) {
	var req webhookRequest
	if len(c.body) > 0 {
		if p := c.decode(&req); p != nil {
			return 0, nil, p
		}
	}
	b := c.begin()
	defer c.mu.Unlock()
	old := b.liveHook(c.ids[0])
	if old == nil {
		return 0, nil, notFound()
	}
	next := *old
	if p := req.on(&next); p != nil {
		return 0, nil, p
	}
	c.commit(b, &change{Hooks: []*hook{&next}})
	return http.StatusCreated, c.webhook(&next), nil
}

func (c *call) deleteWebhook() (int, any, *problem) {
	b := c.begin()
	defer c.mu.Unlock()
	old := b.liveHook(c.ids[0])
	if old == nil {
		return 0, nil, notFound()
	}
	next := *old
	next.Deleted = true
	c.commit(b, &change{Hooks: []*hook{&next}})
	return http.StatusOK, struct{}{}, nil
}
