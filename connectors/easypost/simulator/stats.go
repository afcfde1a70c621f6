package simulator

import (
	"net/http"
	"strings"

	"orderferry/connectors/simkit"
)

// Stats counts since New.
type Stats struct {
	simkit.Counts // requests by route, without those refused for their path

	BadKeys   int64 `json:"bad_keys"`
	Passwords int64 `json:"passwords"` // requests whose Basic password was not empty (section 1)
	Chunked   int64 `json:"chunked"`   // requests without a Content-Length
	NotJSON   int64 `json:"not_json"`  // POST and PATCH with a body of another type

	OrdersAccepted    int64 `json:"orders_accepted"`
	WebhooksDelivered int64 `json:"webhooks_delivered"`
	WebhooksFailed    int64 `json:"webhooks_failed"`  // tries without a 2xx
	WebhooksDropped   int64 `json:"webhooks_dropped"` // too many were waiting
}

// Stats returns a copy of the counts.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Counts = s.tally.Counts()
	return out
}

func (st *Stats) observe(r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		st.Chunked++
	}
	if (r.Method == http.MethodPost || r.Method == http.MethodPatch) && r.ContentLength != 0 &&
		!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		st.NotJSON++
	}
}
