package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A point is a place where a worker may be killed: before and after each
// request to a vendor, before and after each statement to the ledger that
// stands alone, and within, before the commit and after the commit of each
// transaction. Statements are named by the exported method of package store
// that issued them:
//
//	before POST easypost /orders        after GET tradegecko /orders
//	before POST bergen PickTicketAdd    after csv rename in
//	before Store.Cursor                 after Store.Cursor
//	before begin Store.Claim            within Store.Claim
//	before commit Store.Claim           after commit Store.Claim

// aim says at which point a worker is to die. It dies at the first that comes.
type aim struct {
	// After is how long it works first.
	After time.Duration `json:"after,omitempty"`
	// Point, at its N-th time. "": at none in particular.
	Point string `json:"point,omitempty"`
	N     int    `json:"n,omitempty"`
	// Fresh makes it die at a point that is not in Known, after Skip such points.
	Fresh bool     `json:"fresh,omitempty"`
	Known []string `json:"known,omitempty"` // where workers died before
	Skip  int      `json:"skip,omitempty"`
	// Dangerous limits Fresh to dangerous points, for as long as picky.
	Dangerous bool `json:"dangerous,omitempty"`
}

// points are what a worker passes. Each pass is reported before anything else
// happens, in one write of one line, so that it is known even after a SIGKILL:
// "+name" when something begins there, "-name" when it ends, ".name" for what
// lies between, "!name" for the point of death.
type points struct {
	report io.Writer
	die    func()

	from time.Time // when it may die

	mu     sync.Mutex
	aim    aim
	passed map[string]int // since then
	known  map[string]bool
}

// picky is how long a worker waits for a dangerous point before it takes any.
const picky = 3 * time.Second

func newPoints(report io.Writer, a aim, die func()) *points {
	p := &points{report: report, die: die, from: time.Now().Add(a.After), aim: a, passed: make(map[string]int), known: make(map[string]bool)}
	for _, k := range a.Known {
		p.known[k] = true
	}
	return p
}

// pass reports that the worker is at a point, and kills it if it is to die there.
func (p *points) pass(mark byte, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.report, "%c%s\n", mark, name) // whoever reads it may be gone; then so are we
	if p.dies(name) {
		_, _ = fmt.Fprintf(p.report, "!%s\n", name)
		p.die()
	}
}

func (p *points) dies(name string) bool {
	late := time.Since(p.from)
	if late < 0 {
		return false
	}
	p.passed[name]++
	if name == p.aim.Point && p.passed[name] == p.aim.N {
		return true
	}
	if !p.aim.Fresh || p.known[name] || (p.aim.Dangerous && !dangerous(name) && late < picky) {
		return false
	}
	p.aim.Skip--
	return p.aim.Skip < 0
}

// risky are the steps between which an order could be lost or sent twice, or
// something be told twice.
var risky = []string{
	"POST easypost /orders", "DELETE easypost /orders/{id}", "POST tradegecko", "PUT tradegecko",
	"POST bergen PickTicketAdd", "POST bergen CancelPickTicket", "csv create in", "csv create sent", "csv rename in", "csv-cart rename out",
	"Store.Claim", "Store.RecordOutcomes", "Store.Reopen", "Store.RecordLooks", "Store.TakeOver", "Store.RecordProgress", "Store.RecordTold",
	"Store.RecordSent", "Store.RecordCancels", "Store.RequestCancels", "Store.TakeIn", "Store.Release", "Store.RecordDuplicates",
	"Store.ReopenOrder", "Store.CancelHeld", "Store.DoubtShown", "Store.HoldSuspects", "Store.RecordCompared",
	"POST people", "Store.ClaimAlertMessage", "Store.RecordAlertSent",
}

// dangerous reports whether a point lies at a risky step.
func dangerous(point string) bool {
	return slices.ContainsFunc(risky, func(step string) bool { return liesAt(point, step) })
}

func liesAt(point, step string) bool {
	return strings.HasSuffix(point, " "+step) || (strings.HasPrefix(step, "P") && strings.Contains(point, " "+step+" "))
}

// transport passes a point before and after each request to a vendor.
type transport struct {
	http.RoundTripper
	*points
	vendors map[string]string // by host and port
}

// ids are parts of paths that differ from order to order.
var ids = regexp.MustCompile(`/(\d+|[a-z]+_[0-9a-zA-Z-]*\d[0-9a-zA-Z-]*)(/|$)`)

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	vendor := t.vendors[r.URL.Host]
	path := strings.TrimPrefix(ids.ReplaceAllString(r.URL.Path, "/{id}$2"), "/fulfillment/vendor/v2")
	if action := r.Header.Get("SOAPAction"); action != "" { // all calls have one path
		path = strings.Trim(action[strings.LastIndexByte(action, '/')+1:], `"`)
	}
	name := fmt.Sprintf("%s %s %s", r.Method, vendor, path)
	t.pass('+', "before "+name)
	response, err := t.RoundTripper.RoundTrip(r)
	t.pass('-', "after "+name)
	return response, err
}

// Step passes a point before and after each step with files.
func (p *points) Step(name string) (done func()) {
	p.pass('+', "before "+name)
	return func() { p.pass('-', "after "+name) }
}

// tracer passes points around each statement and each batch of the ledger.
type tracer struct{ *points }

// traced is a statement that is under way.
type traced struct {
	method string
	end    string // what its end is called; "" when it has no point of its own
	opens  bool   // it begins a transaction
}

type tracedKey struct{}

func (t tracer) start(ctx context.Context, conn *pgx.Conn, sql string) context.Context {
	method := storeMethod()
	if method == "" { // opening the ledger
		return ctx
	}
	s := traced{method: method}
	switch {
	case strings.HasPrefix(sql, "begin"): // some say how they are isolated
		t.pass('+', "before begin "+method)
		s.opens = true
	case sql == "commit":
		t.pass('.', "before commit "+method)
		s.end = "after commit "
	case sql == "rollback":
		s.end = "after rollback "
	case conn.PgConn().TxStatus() == 'I':
		t.pass('+', "before "+method)
		s.end = "after "
	default:
		t.pass('.', "within "+method)
	}
	return context.WithValue(ctx, tracedKey{}, s)
}

func (t tracer) end(ctx context.Context, err error) {
	s, ok := ctx.Value(tracedKey{}).(traced)
	if ok && s.opens && err != nil {
		s.end = "after failing to begin "
	}
	if ok && s.end != "" {
		t.pass('-', s.end+s.method)
	}
}

func (t tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return t.start(ctx, conn, data.SQL)
}

func (t tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	t.end(ctx, data.Err)
}

func (t tracer) TraceBatchStart(ctx context.Context, conn *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return t.start(ctx, conn, "")
}

func (t tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (t tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	t.end(ctx, data.Err)
}

var exported = regexp.MustCompile(`^orderferry/store\.\(\*([A-Z]\w*)\)\.([A-Z]\w*)`)

// storeMethod names the innermost exported method of package store that is being run.
func storeMethod() string {
	var pcs [48]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	for {
		f, more := frames.Next()
		if m := exported.FindStringSubmatch(f.Function); m != nil {
			return m[1] + "." + m[2]
		}
		if !more {
			return ""
		}
	}
}
