package connectortest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// wire stands between the connector and the system: it counts requests, breaks
// some, and tells which changed something.
type wire struct {
	system http.Handler
	writes func(*http.Request) bool

	mu      sync.Mutex
	seen    []request
	fault   *fault // nil: all is well
	from    int    // index of the first request it hits
	forever bool
	// writesOnly lets reads pass until a write was hit.
	writesOnly bool
	before     func(request) // runs before each request is passed on, without the lock
	retype     bool          // scalars of JSON answers change their type
}

// request is one that came.
type request struct {
	method string
	path   string // with the query
	write  bool
	body   [sha256.Size]byte
	fault  *fault // that hit it
	status int    // that the system answered; 0 when it was not asked
	reply  []byte
	header http.Header
}

// mayHaveHappened reports whether the client can't know that nothing was done.
func (r request) mayHaveHappened() bool { return r.write && (r.fault == nil || !r.fault.sure) }

func newWire(system http.Handler, writes func(*http.Request) bool) *wire {
	if writes == nil {
		writes = func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }
	}
	return &wire{system: system, writes: writes}
}

// arm breaks the n-th request from now, or all from that one on.
func (w *wire) arm(f *fault, n int, forever bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.from, w.forever, w.writesOnly = f, len(w.seen)+n, forever, false
}

func (w *wire) disarm() { w.arm(nil, 0, false) }

// mark is where the next request will be, for since.
func (w *wire) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

// since lists the requests from a mark on.
func (w *wire) since(mark int) []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]request{}, w.seen[mark:]...)
}

// ServeHTTP passes a request on, or breaks it.
func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left
	}
	renew := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	renew()
	seen := request{method: r.Method, path: r.URL.RequestURI(), write: w.writes(r), body: sha256.Sum256(body)}
	renew()
	w.mu.Lock()
	n := len(w.seen)
	switch {
	case w.fault == nil:
	case w.writesOnly && seen.write:
		seen.fault, w.fault = w.fault, nil
	case !w.writesOnly && (n == w.from || (w.forever && n > w.from)):
		seen.fault = w.fault
	}
	before, retype := w.before, w.retype
	w.seen = append(w.seen, seen)
	w.mu.Unlock()
	if before != nil {
		before(seen)
	}
	rec := httptest.NewRecorder()
	if f := seen.fault; f == nil || f.passes {
		w.system.ServeHTTP(rec, r)
		w.mu.Lock()
		w.seen[n].status, w.seen[n].reply, w.seen[n].header = rec.Code, bytes.Clone(rec.Body.Bytes()), rec.Header().Clone()
		w.mu.Unlock()
	}
	if seen.fault != nil {
		seen.fault.answer(rw, r, rec, body)
		return
	}
	out := rec.Body.Bytes()
	if retype {
		out = retyped(out)
	}
	send(rw, rec, out)
}

// send answers what the system answered, with another body perhaps.
func send(rw http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
	for name, values := range rec.Header() {
		if name != "Content-Length" {
			rw.Header()[name] = values
		}
	}
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(body)
}

// fault is one way in which a request fails.
type fault struct {
	name   string
	passes bool // the system does what was asked
	sure   bool // the client can be sure that nothing was done
	// leaves says that the connector is cancelled while it waits.
	leaves bool
	answer func(rw http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder, body []byte)
}

// longPause is what a 429 with a delay asks for.
const longPause = 90 * time.Second

// elsewhere is where redirects lead.
const elsewhere = "/connectortest-elsewhere"

// faults are what befalls every request of every ability, once and for ever.
func faults() []fault {
	say := func(status int, kind, body string) func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder, []byte) {
		return func(rw http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder, _ []byte) {
			rw.Header().Set("Content-Type", kind)
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, body)
		}
	}
	hangUp := func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder, []byte) {
		panic(http.ErrAbortHandler) // net/http's own way to cut a connection
	}
	hang := func(_ http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder, _ []byte) {
		<-r.Context().Done()
	}
	page := "<html><head><title>Zyxcanary Quill, 502 Bad Gateway</title></head><body><h1>502</h1></body></html>"
	return []fault{
		{name: "reply lost", passes: true, answer: hangUp},
		{name: "reset before", answer: hangUp},
		{name: "5xx after", passes: true, answer: say(500, "text/plain", "Internal Server Error")},
		{name: "5xx before", answer: say(500, "application/json", `{"message":"Internal Server Error"}`)},
		{name: "502 page", passes: true, answer: say(502, "text/html", page)},
		{name: "200 page", passes: true, answer: say(200, "text/html", page)},
		{name: "half a body", passes: true, answer: half},
		{name: "empty 2xx", passes: true, answer: say(200, "application/json", "")},
		{name: "429 with delay", sure: true, answer: func(rw http.ResponseWriter, r *http.Request, rec *httptest.ResponseRecorder, body []byte) {
			rw.Header().Set("Retry-After", fmt.Sprint(longPause.Seconds()))
			say(429, "application/json", `{"message":"slow down"}`)(rw, r, rec, body)
		}},
		{name: "429 bare", sure: true, answer: say(429, "application/json", `{"message":"slow down"}`)},
		{name: "redirect", answer: func(rw http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder, _ []byte) {
			http.Redirect(rw, r, elsewhere, http.StatusTemporaryRedirect)
		}},
		{name: "no answer", passes: true, answer: hang},
		{name: "cancelled", leaves: true, answer: hang},
		{name: "words quoted", sure: true, answer: quote},
	}
}

// half answers with half of the body, and a length that promises all of it.
func half(rw http.ResponseWriter, _ *http.Request, rec *httptest.ResponseRecorder, _ []byte) {
	out := rec.Body.Bytes()
	if rec.Code == http.StatusNoContent || len(out) < 2 {
		rec.Code, out = http.StatusOK, []byte("{}")
	}
	rw.Header().Set("Content-Length", fmt.Sprint(len(out)))
	send(rw, rec, out[:len(out)/2])
	_ = http.NewResponseController(rw).Flush()
	panic(http.ErrAbortHandler)
}

// quote refuses and quotes the request, headers and all, as vendors do.
func quote(rw http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder, body []byte) {
	words := fmt.Sprintf("can't take %s of Zyxcanary Quill, 4711 Zyxcanary Lane, with %v", body, r.Header)
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(rw).Encode(map[string]any{
		"code": words, "message": words, "type": words, "error": map[string]any{"code": words, "message": words},
		"errors": map[string]any{"zyxcanary@example.test": []string{words}},
	})
}

// refusedInside are answers that say no under a status that says yes.
func refusedInside() []fault {
	var out []fault
	for name, body := range map[string]string{
		"errors":  `{"errors":{"base":["Not enough stock"]}}`,
		"list":    `{"errors":[{"code":"STOCK","message":"Not enough stock"}]}`,
		"error":   `{"error":{"code":"STOCK","message":"Not enough stock"}}`,
		"success": `{"success":false,"message":"Not enough stock"}`,
	} {
		out = append(out, fault{name: name, sure: true, answer: func(rw http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder, _ []byte) {
			if strings.Contains(r.Header.Get("Content-Type"), "xml") {
				rw.Header().Set("Content-Type", "text/xml; charset=utf-8")
				_, _ = io.WriteString(rw, `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">`+
					`<soap:Body><soap:Fault><faultcode>soap:Server</faultcode><faultstring>Not enough stock</faultstring></soap:Fault></soap:Body></soap:Envelope>`)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, body)
		}})
	}
	return out
}

// retyped turns the numbers of a JSON text into strings, and strings that are
// whole numbers into numbers: fields whose type differs from one answer to another. What is no JSON stays.
func retyped(body []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return body
	}
	out, err := json.Marshal(retype(v))
	if err != nil {
		return body
	}
	return out
}

func retype(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = retype(v[k])
		}
	case []any:
		for i := range v {
			v[i] = retype(v[i])
		}
	case json.Number:
		return v.String()
	case string:
		if n, ok := new(big.Int).SetString(v, 10); ok && n.String() == v {
			return json.Number(v)
		}
	}
	return v
}

// onWrite breaks the next request that changes something.
func (w *wire) onWrite(f *fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault, w.from, w.forever, w.writesOnly = f, len(w.seen), false, true
}

// answerOf answers what was answered once before, and does nothing.
func answerOf(r request) *fault {
	return &fault{name: "answer without effect", answer: func(rw http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder, _ []byte) {
		rec := httptest.NewRecorder()
		rec.Code = r.status
		maps.Copy(rec.Header(), r.header)
		send(rw, rec, r.reply)
	}}
}
