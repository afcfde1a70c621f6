package simulator

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxViolations bounds what Violations keeps; Stats counts them all.
const maxViolations = 1000

// Stats counts since New.
type Stats struct {
	Total    int64            `json:"total"`    // requests, also refused ones
	Requests map[string]int64 `json:"requests"` // by operation
	Statuses map[int]int64    `json:"statuses"` // HTTP statuses; 0 stands for no answer
	Faults   map[string]int64 `json:"faults"`   // by kind

	Tokens    int64 `json:"tokens"`     // calls of AuthenticationTokenGet
	BadLogins int64 `json:"bad_logins"` // those with wrong credentials
	BadTokens int64 `json:"bad_tokens"` // calls without a good token

	NoSOAPAction int64 `json:"no_soap_action"` // posts without the header
	NotXML       int64 `json:"not_xml"`        // posts of another content type
	Chunked      int64 `json:"chunked"`        // requests without a Content-Length
	Violations   int64 `json:"violations"`     // messages that the WSDL forbids, answers too

	TicketsAccepted int64 `json:"tickets_accepted"`
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

// Violations lists the messages that were not valid against the WSDL, requests and
// answers, the first thousand. A simulator with Config.Lax finds none.
func (s *Simulator) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

func (st *Stats) observe(r *http.Request) {
	st.Total++
	if len(r.TransferEncoding) > 0 {
		st.Chunked++
	}
	if r.Method == http.MethodPost && r.Header.Get("SOAPAction") == "" {
		st.NoSOAPAction++
	}
	if r.Method == http.MethodPost && !strings.HasPrefix(r.Header.Get("Content-Type"), "text/xml") {
		st.NotXML++
	}
}

func (st *Stats) answered(op *operation, status int) {
	if op != nil {
		st.Requests[op.name]++
	}
	st.Statuses[status]++
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
