package simkit

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Answer is what a request is answered with, made but not yet written.
type Answer struct {
	Status      int
	ContentType string // "": the answer has none
	Body        []byte
}

// Send writes the answer.
func (a Answer) Send(w http.ResponseWriter) {
	if a.ContentType != "" {
		w.Header().Set("Content-Type", a.ContentType)
	} else {
		w.Header()["Content-Type"] = nil // net/http shall not guess one
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that left is its own affair
}

// Exchange is a request that a fault may befall.
type Exchange struct {
	Writer  http.ResponseWriter
	Request *http.Request
	// Ended is closed when nobody may wait any longer; nil never is.
	Ended <-chan struct{}
	// Work does what was asked for and makes the answer.
	Work func() Answer
	// Refuse makes the answer that the vendor gives of a kind without doing
	// anything; false if it has none. It has one of Error500, HTML502 and HTML200 if it
	// has CommitThen500, CommitThen502 and CommitThen200.
	Refuse func(FaultKind) (Answer, bool)
	// Cut hears that the connection ends without an answer.
	Cut func()
}

// Through answers the request through a fault, which takes delay where its kind is
// one that waits; "" is none. Where the fault leaves the client without an answer,
// it ends the request and does not return.
func (x Exchange) Through(kind FaultKind, delay time.Duration) Answer {
	switch kind {
	case Slow:
		if !x.Linger(delay) {
			x.Drop()
		}
	case TimeoutNoCommit:
		x.Linger(delay)
		x.Drop()
	case ResetBefore:
		x.reset()
	case Redirect:
		x.Writer.Header().Set("Location", elsewhere)
		return Answer{Status: http.StatusTemporaryRedirect} // one that asks for the request's body too
	}
	if a, refused := x.Refuse(kind); refused {
		return a
	}
	a := x.Work()
	switch kind {
	case CommitThenTimeout:
		x.Linger(delay)
		x.Drop()
	case CommitThenDrop:
		x.Drop()
	case CommitThen500:
		a, _ = x.Refuse(Error500)
	case CommitThen502:
		a, _ = x.Refuse(HTML502)
	case CommitThen200:
		a, _ = x.Refuse(HTML200)
	case BrokenJSON, BrokenXML:
		a.Body = a.Body[:len(a.Body)/2]
	case Empty2xx:
		a.Body = nil
	}
	return a
}

// elsewhere is where redirects lead: a path that no vendor has.
const elsewhere = "/elsewhere"

// Quote is the words of a refusal that quotes the request, credentials and all, with
// characters in it that do harm where they are shown or stored as they are. They are
// longer than anybody should keep.
func Quote(r *http.Request, body []byte) string {
	return fmt.Sprintf("can't take \x00\x1b[2J\u202e%s %s with %v of %s%s", r.Method, r.URL, r.Header, body, strings.Repeat(", “…”", 1<<12))
}

// Linger waits; it reports false if the client left or the simulator ended.
func (x Exchange) Linger(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.Request.Context().Done():
	case <-x.Ended:
	}
	return false
}

// Drop ends the connection without an answer. It does not return.
func (x Exchange) Drop() {
	x.Cut()
	panic(http.ErrAbortHandler) // net/http's own way to cut a connection
}

// reset ends the connection so that the client sees a reset. It does not return.
func (x Exchange) reset() {
	conn, _, err := http.NewResponseController(x.Writer).Hijack()
	if err != nil {
		x.Drop() // HTTP/2, or a recorder in a test
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	x.Cut() // first: a client that has seen the reset may look at the counts
	_ = conn.Close()
	panic(http.ErrAbortHandler)
}
