package simulator

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"orderferry/connectors/bergen/simulator/wsdl"
	"orderferry/connectors/simkit"
)

const (
	maxBody = 8 << 20
	xmlType = "text/xml; charset=utf-8"
)

// operation is one call of the service.
type operation struct {
	name  string
	token string // the exact name of the element that carries the token; "" needs none
	run   func(*call) (answer, *fault)
}

// answer is the inside of an operation's result.
type answer struct {
	notes   []note
	payload func(*writer) // nil: none
	text    *string       // of the token operation, whose result is no structure
}

// note is a notification (wire/bergen-rex11.md section 5).
type note struct {
	code     int
	severity string
	message  string
}

func notes(code int, severity, message string) answer {
	return answer{notes: []note{{code, severity, message}}}
}

// call is one request of a known operation.
type call struct {
	*Simulator
	op        *operation
	request   *http.Request
	body      []byte
	args      *element // the operation's element in the body
	book      *book
	behaviour Behaviour
	now       time.Time
	fault     FaultKind // of those that bend an answer
}

func (c *call) arg(name string) string { return c.args.value(methods, name) }

// begin locks the books and makes the timed moves that are due. The caller unlocks.
func (c *call) begin() *book {
	c.mu.Lock()
	c.settle(c.now)
	return c.book
}

// beginSettled is begin for lists, which show every move that is due.
func (c *call) beginSettled() *book {
	c.mu.Lock()
	for c.settle(c.now) {
	}
	return c.book
}

func faultReply(f *fault) simkit.Answer {
	return simkit.Answer{Status: http.StatusInternalServerError, ContentType: xmlType, Body: f.body()}
}

func htmlReply(status int, title string) simkit.Answer {
	return simkit.Answer{Status: status, ContentType: "text/html", Body: []byte(page(title))}
}

func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	s.tally.Begin()
	s.mu.Lock()
	s.stats.observe(r)
	behaviour := s.behaviour
	s.mu.Unlock()
	s.dress(w)
	if !strings.HasSuffix(strings.ToLower(r.URL.Path), "/publicapiws.asmx") {
		s.write(w, nil, htmlReply(http.StatusNotFound, "404 - File or directory not found."))
		return
	}
	if r.Method == http.MethodGet && strings.EqualFold(r.URL.RawQuery, "WSDL") {
		s.write(w, nil, simkit.Answer{Status: http.StatusOK, ContentType: xmlType, Body: []byte(wsdl.Document("http://" + r.Host + r.URL.Path))})
		return
	}
	if r.Method != http.MethodPost {
		s.write(w, nil, htmlReply(http.StatusMethodNotAllowed, "405 - HTTP verb used to access this page is not allowed."))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		s.write(w, nil, htmlReply(http.StatusRequestEntityTooLarge, "413 - Request body is too large."))
		return
	} else if err != nil {
		s.write(w, nil, faultReply(unreadable("%s", err)))
		return
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/xml") { // SOAP 1.2 has another type: we speak 1.1
		s.write(w, nil, htmlReply(http.StatusUnsupportedMediaType, "415 - Cannot process the message because the content type is not text/xml."))
		return
	}
	op, args, f := s.route(r, body)
	if f != nil {
		s.write(w, nil, faultReply(f))
		return
	}
	s.check(op.name+" request", body)
	c := &call{Simulator: s, op: op, request: r, body: body, args: args, behaviour: behaviour, now: s.now()}
	c.book = c.account()
	s.answer(w, c)
}

// dress sets the headers that every answer of the service has (section 2.2).
func (s *Simulator) dress(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "private, max-age=0")
	h.Set("Server", "Microsoft-IIS/7.5")
	h.Set("X-AspNet-Version", "4.0.30319")
	h.Set("X-Powered-By", "ASP.NET")
	h.Set("Date", s.now().Format(http.TimeFormat))
}

// route finds the operation: by the body's element, and by the SOAPAction too
// where there is one (section 2.2).
func (s *Simulator) route(r *http.Request, body []byte) (*operation, *element, *fault) {
	action, sent := strings.Trim(r.Header.Get("SOAPAction"), `"`), len(r.Header.Values("SOAPAction")) > 0
	unknown := &fault{client: true, reason: "Server did not recognize the value of HTTP Header SOAPAction: " + action + "."}
	if sent && operationNamed(strings.TrimPrefix(action, methods)) == nil {
		return nil, nil, unknown
	}
	root, f := parse(body)
	if f != nil {
		return nil, nil, f
	}
	inside := root.kid(soapSpace, "Body")
	if root.name.Local != "Envelope" || root.name.Space != soapSpace || inside == nil || len(inside.kids) == 0 {
		return nil, nil, unreadable("There is an error in XML document (1, 1). ---> a SOAP 1.1 envelope with a body was expected.")
	}
	args := &inside.kids[0]
	op := operationNamed(args.name.Local)
	if op == nil || args.name.Space != methods || (sent && action != methods+op.name) {
		return nil, nil, unknown
	}
	return op, args, nil
}

func operationNamed(name string) *operation {
	i := slices.IndexFunc(operations, func(op *operation) bool { return op.name == name })
	if i < 0 {
		return nil
	}
	return operations[i]
}

// answer runs the call, through a fault if one is due, and writes what came of it.
func (s *Simulator) answer(w http.ResponseWriter, c *call) {
	f := s.faultFor(c)
	s.write(w, c.op, simkit.Exchange{
		Writer: w, Request: c.request, Ended: s.life.Ended(), Cut: func() { s.tally.Answered(c.op.name, 0) },
		Work: c.reply, Refuse: func(k FaultKind) (simkit.Answer, bool) { return c.refuse(w, f, k) },
	}.Through(f.Kind, f.Delay))
}

// reply does what the call asks for.
func (c *call) reply() simkit.Answer {
	a, f := c.perform()
	rep := simkit.Answer{Status: http.StatusOK, ContentType: xmlType}
	if f != nil {
		rep = faultReply(f)
	} else {
		rep.Body = c.envelope(a)
	}
	if !c.behaviour.UnknownFields {
		c.check(c.op.name+" answer", rep.Body)
	}
	if err := c.journal.Flush(); err != nil {
		return faultReply(thrown("the simulator's journal: " + err.Error()))
	}
	return rep
}

func (c *call) perform() (answer, *fault) {
	if c.op.token != "" && c.book == nil {
		c.mu.Lock()
		c.stats.BadTokens++
		c.mu.Unlock()
		return c.behaviour.badToken()
	}
	return c.op.run(c)
}

func (c *call) envelope(a answer) []byte {
	w := newWriter(envelopeStart)
	w.start(methods, c.op.name+"Response")
	if a.text != nil {
		w.leaf(methods, c.op.name+"Result", *a.text)
	} else {
		w.start(methods, c.op.name+"Result")
		a.write(w, c.behaviour)
		w.end()
	}
	w.end()
	w.raw(envelopeEnd)
	return w.buf
}

// write writes the inside of a result. A failure has no payload.
func (a answer) write(w *writer, b Behaviour) {
	if len(a.notes) > 0 || !b.NullNotifications {
		w.start(methods, "Notifications")
		for _, n := range a.notes {
			w.start(methods, "Notification")
			w.leaf(methods, "ErrorCode", itoa(int64(n.code)))
			w.leaf(methods, "Severity", n.severity)
			w.leaf(methods, "Message", n.message)
			w.end()
		}
		w.end()
	}
	if b.UnknownFields {
		w.leaf(methods, "ServerVersion", "simulated") // as a v2 fixture has a PickTicketId that no WSDL knows (section 7.4)
	}
	if a.payload != nil {
		a.payload(w)
	}
}

// check notes what is wrong with a message by the WSDL.
func (s *Simulator) check(what string, message []byte) {
	if s.lax {
		return
	}
	if err := wsdl.Validate(message); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Violations++
		if len(s.violations) < maxViolations {
			s.violations = append(s.violations, what+": "+err.Error())
		}
	}
}

func (s *Simulator) write(w http.ResponseWriter, op *operation, a simkit.Answer) {
	name := ""
	if op != nil {
		name = op.name
	}
	s.tally.Answered(name, a.Status)
	w.Header().Set("Content-Length", itoa(int64(len(a.Body))))
	a.Send(w)
}

func page(title string) string {
	return "<!DOCTYPE html>\r\n<html><head><title>" + title + "</title></head>\r\n<body><h2>" + title + "</h2></body></html>\r\n"
}
