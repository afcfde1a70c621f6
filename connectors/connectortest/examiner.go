package connectortest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// examiner runs checks on a subject and remembers what the last checks judge.
type examiner struct {
	subject   Subject
	sample    connectors.Connection // open, never used: it shows the abilities
	abilities []ability

	mu     sync.Mutex
	leaks  []string // goroutines left behind
	told   []string // errors and logs that held a secret or an address
	strays []string // requests past the given transport
	twice  []string // writes that one call sent twice
	odd    []string // errors that no connector classified
}

func newExaminer(t *testing.T, s Subject) *examiner {
	x := &examiner{subject: s, abilities: abilities(s)}
	known := map[string]bool{}
	for _, a := range x.abilities {
		known[a.name+"/*"] = true
		for _, c := range a.checks {
			known[c.String()] = true
		}
	}
	for name, why := range s.Except {
		require.True(t, known[name], "Except names %q, which is no check", name)
		require.NotEmpty(t, why, "Except of %s says no reason", name)
	}
	first := x.run(t, check{run: func(t *trial) { x.sample = t.world().conn }})
	require.Empty(t, first.Words, "no connection can be opened")
	return x
}

// note adds to one of the lists that the last checks judge.
func (x *examiner) note(list *[]string, words string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, have := range *list {
		if have == words {
			return
		}
	}
	if len(*list) < 20 {
		*list = append(*list, words)
	}
}

// run makes one check in a bubble of its own.
func (x *examiner) run(t *testing.T, c check) (r Result) {
	r = Result{Ability: c.ability, Check: c.name, Fault: c.fault, Outcome: Inapplicable}
	if why := x.subject.exception(c); why != "" {
		r.Words = []string{why}
		return r
	}
	ct := &trial{x: x, name: c.String()}
	defer func() {
		if p := recover(); p != nil { // the bubble's own: everybody waits for somebody
			ct.failures = append(ct.failures, fmt.Sprint(p))
		}
		switch {
		case len(ct.failures) > 0:
			r.Outcome, r.Words = Failed, ct.failures
		case ct.inapplicable != "":
			r.Words = []string{ct.inapplicable}
		default:
			r.Outcome = Passed
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		ct.TB = t
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer ct.guard()
			c.run(ct)
		}()
		<-done
		ct.end()
		for _, stack := range othersInBubble() {
			x.note(&x.leaks, fmt.Sprintf("%s: %s", c, stack))
			time.Sleep(1000 * time.Hour) // those that end by themselves; the bubble does not end before them
		}
	})
	return r
}

// othersInBubble lists the stacks of the caller's bubble but its own and those
// of synctest itself.
func othersInBubble() []string {
	own, rest, _ := strings.Cut(stacks(), "\n\n")
	bubble := regexp.MustCompile(`synctest bubble \d+\]`).FindString(own)
	var out []string
	for stack := range strings.SplitSeq(rest, "\n\n") {
		head, calls, _ := strings.Cut(stack, "\n")
		if bubble != "" && strings.Contains(head, bubble) && !strings.Contains(calls, "testingSynctestTest(") && !strings.Contains(calls, "synctest.Run(") {
			out = append(out, stack)
		}
	}
	return out
}

// stacks are those of all goroutines, the caller's first.
func stacks() string {
	for buf := make([]byte, 64<<10); ; buf = make([]byte, 2*len(buf)) {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return string(buf[:n])
		}
	}
}

// trial is what a check is run with. It gathers failures instead of failing a test,
// so that the suite's own tests can see it fail.
type trial struct {
	testing.TB
	x    *examiner
	name string

	mu           sync.Mutex
	failures     []string
	inapplicable string
	cleanups     []func()
}

// guard turns a panic of a check, or of the connector in it, into a failure.
func (t *trial) guard() {
	if p := recover(); p != nil {
		t.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}

// end lets go of all that the check started.
func (t *trial) end() {
	for len(t.cleanups) > 0 {
		last := t.cleanups[len(t.cleanups)-1]
		t.cleanups = t.cleanups[:len(t.cleanups)-1]
		last()
	}
	synctest.Wait()
}

// Inapplicable ends the check: the system can't show it.
func (t *trial) Inapplicable(why string) {
	t.inapplicable = why
	runtime.Goexit()
}

// Errorf keeps a failure.
func (t *trial) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// FailNow ends the check.
func (t *trial) FailNow() { runtime.Goexit() }

// The rest of testing.TB, over the two above.

func (t *trial) Error(args ...any)                 { t.Errorf("%s", fmt.Sprint(args...)) }
func (t *trial) Fatal(args ...any)                 { t.Error(args...); t.FailNow() }
func (t *trial) Fatalf(format string, args ...any) { t.Errorf(format, args...); t.FailNow() }
func (t *trial) Fail()                             { t.Errorf("failed") }
func (t *trial) Failed() bool                      { t.mu.Lock(); defer t.mu.Unlock(); return len(t.failures) > 0 }
func (t *trial) Skip(args ...any)                  { t.Fatal("a check may not be skipped") }
func (t *trial) Skipf(string, ...any)              { t.Fatal("a check may not be skipped") }
func (t *trial) SkipNow()                          { t.Fatal("a check may not be skipped") }
func (t *trial) Name() string                      { return t.name }
func (t *trial) Helper()                           {}

// Cleanup runs f when the check ends.
func (t *trial) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// world is one system with one connection to it.
type world struct {
	t      *trial
	system any
	wire   *wire // nil for a system without HTTP
	config connectors.Config
	conn   connectors.Connection
	log    *journal
	seed   int // of tokens and numbers
}

// world starts a new system and opens a connection to it.
func (t *trial) world() *world {
	w := &world{t: t, log: &journal{x: t.x, check: t.name}}
	w.system = t.x.subject.Start(t)
	n := newNetwork()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		if c, err = n.Dial(ctx, network, addr); err != nil && ctx.Err() == nil {
			t.x.note(&t.x.strays, t.name+": "+addr)
		}
		return c, err
	}}
	if h, ok := w.system.(http.Handler); ok {
		w.wire = newWire(h, t.x.subject.Writes)
		server := &http.Server{Handler: w.wire, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(n)
		}()
		t.Cleanup(func() {
			transport.CloseIdleConnections()
			_ = server.Close()
			<-served
		})
	}
	settings := connectors.Values{}
	for _, more := range []connectors.Values{t.x.subject.Settings, settingsOf(w.system)} {
		for name, v := range more {
			settings[name] = v
		}
	}
	kind, address := t.x.subject.Connector, "http://"+host+t.x.subject.Path
	if l, ok := w.system.(Located); ok {
		address = l.BaseURL()
	}
	full, base, faults := kind.Configure(address, settings, t.x.subject.Credentials)
	require.Empty(t, faults, "the subject's settings and credentials are refused")
	w.config = connectors.Config{
		Merchant: "acme", Name: "main", BaseURL: base, Mode: t.x.subject.Mode, Settings: full,
		Vault:     &connectors.StaticVault{Credentials: t.x.subject.Credentials},
		Transport: transport, Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	w.conn = w.open()
	return w
}

func settingsOf(system any) connectors.Values {
	if c, ok := system.(Configured); ok {
		return c.Settings()
	}
	return nil
}

// open makes another connection to the same system: it remembers nothing.
func (w *world) open() connectors.Connection {
	c, err := w.t.x.subject.Connector.Open(w.config)
	require.NoError(w.t, err, "open a connection")
	return c
}

// pass lets time pass, on the bubble's clock.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

// ctx ends with the check.
func (w *world) ctx() context.Context { return w.t.Context() }

// use gives the connection as one of its abilities.
func use[A any](w *world) A {
	a, ok := w.conn.(A)
	if !ok {
		w.t.Fatalf("the connection is no %T", (*A)(nil))
	}
	return a
}

// at gives the system as one of the interfaces that the check needs.
func at[S any](w *world) S {
	s, ok := w.system.(S)
	if !ok {
		w.t.Fatalf("the subject's system is no %s: add the methods, or say in Except why it can't be shown",
			strings.TrimPrefix(fmt.Sprintf("%T", (*S)(nil)), "*"))
	}
	return s
}

// done fails the check when the system refused to do something.
func (w *world) done(err error) {
	require.NoError(w.t, err, "at the simulated system")
}

// good fails the check for an error of the connector.
func (w *world) good(err error) {
	w.saw(err)
	require.NoError(w.t, err)
}

// saw looks at an error for what must never be in one.
func (w *world) saw(errs ...error) {
	for _, err := range errs {
		if err == nil {
			continue
		}
		w.public("error", fmt.Sprintf("%v %+v %#v", err, err, err.Error()))
		var e *relay.Error
		if !errors.As(err, &e) {
			w.t.x.note(&w.t.x.odd, fmt.Sprintf("%s: %T: %v", w.t.name, err, err))
			continue
		}
		w.t.x.secret(w.t.name+": words", fmt.Sprint(e.Words, e.Fields))
	}
}

// kind fails the check unless err is of one of the kinds.
func (w *world) kind(err error, kinds ...relay.ErrorKind) {
	w.saw(err)
	for _, k := range kinds {
		if errors.Is(err, k) {
			return
		}
	}
	w.t.Fatalf("want an error of kind %v, got %v", kinds, err)
}

// public judges a text that anybody may read.
func (w *world) public(what, text string) {
	w.t.x.secret(w.t.name+": "+what, text)
	if s := strings.ToLower(text); strings.Contains(s, canary) || strings.Contains(s, canaryPhone) {
		w.t.x.note(&w.t.x.told, fmt.Sprintf("%s: an address is in an %s", w.t.name, what))
	}
}

// secret judges a text that may hold addresses, but no credentials.
func (x *examiner) secret(what, text string) {
	for _, s := range x.subject.secrets() {
		for _, form := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s + ":"))} {
			if strings.Contains(text, form) {
				x.note(&x.told, what+": a credential")
			}
		}
	}
}

// journal is a log that is judged line by line.
type journal struct {
	x     *examiner
	check string
}

// Write takes a line of the log.
func (j *journal) Write(line []byte) (int, error) {
	j.x.secret(j.check+": log", string(line))
	if s := bytes.ToLower(line); bytes.Contains(s, []byte(canary)) || bytes.Contains(s, []byte(canaryPhone)) {
		j.x.note(&j.x.told, j.check+": an address is in the log")
	}
	return len(line), nil
}

// What no error, log or report may hold.
const (
	canary      = "zyxcanary"
	canaryPhone = "217 555 0142"
)

func canaryAddress() relay.Address {
	return relay.Address{
		Name: "Zyxcanary Quill", Street1: "4711 Zyxcanary Lane", Street2: "Unit 9", City: "Springfield", State: "IL",
		Zip: "62701", Country: "US", Phone: "217 555 0142", Email: "zyxcanary@example.test",
	}
}
