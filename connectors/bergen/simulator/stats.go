package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"orderferry/connectors/simkit"
)

// maxViolations bounds what Violations keeps; Stats counts them all.
const maxViolations = 1000

// Stats counts since New.
type Stats struct {
	simkit.Counts // requests by operation

	Tokens    int64 `json:"tokens"`     // calls of AuthenticationTokenGet
	BadLogins int64 `json:"bad_logins"` // those with wrong credentials
	BadTokens int64 `json:"bad_tokens"` // calls without a good token

	NoSOAPAction int64 `json:"no_soap_action"` // posts without the header
	NotXML       int64 `json:"not_xml"`        // posts of another content type
	Chunked      int64 `json:"chunked"`        // requests without a Content-Length
	Violations   int64 `json:"violations"`     // messages that the WSDL forbids, answers too

	TicketsAccepted int64 `json:"tickets_accepted"`
}

// Stats returns a copy of the counts.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Counts = s.tally.Counts()
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

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
