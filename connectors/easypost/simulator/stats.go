package simulator

import (
	"maps"
	"net/http"
	"strings"
)

// Stats counts since New.
type Stats struct {
	Total    int64            `json:"total"`    // requests, also refused ones
	Requests map[string]int64 `json:"requests"` // by route, without those refused for their key or path
	Statuses map[int]int64    `json:"statuses"` // answers; 0 stands for none
	Faults   map[string]int64 `json:"faults"`   // by kind

	BadKeys   int64 `json:"bad_keys"`
	Passwords int64 `json:"passwords"` // requests whose Basic password was not empty (section 1)
	Chunked   int64 `json:"chunked"`   // requests without a Content-Length
	NotJSON   int64 `json:"not_json"`  // POST and PATCH with a body of another type

	OrdersAccepted    int64 `json:"orders_accepted"`
	WebhooksDelivered int64 `json:"webhooks_delivered"`
	WebhooksFailed    int64 `json:"webhooks_failed"`  // tries without a 2xx
	WebhooksDropped   int64 `json:"webhooks_dropped"` // too many were waiting
}

func newStats() Stats {
	return Stats{Requests: map[string]int64{}, Statuses: map[int]int64{}, Faults: map[string]int64{}}
}

// Stats returns a copy of the counts.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Requests, out.Statuses, out.Faults = maps.Clone(out.Requests), maps.Clone(out.Statuses), maps.Clone(out.Faults)
	return out
}

func (st *Stats) observe(r *http.Request) {
	st.Total++
	if len(r.TransferEncoding) > 0 {
		st.Chunked++
	}
	if (r.Method == http.MethodPost || r.Method == http.MethodPatch) && r.ContentLength != 0 &&
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		st.NotJSON++
	}
}

func (st *Stats) answered(found *route, status int) {
	if found != nil {
		st.Requests[found.Name]++
	}
	st.Statuses[status]++
}
