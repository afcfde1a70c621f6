package tradegecko

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	maxLimit    = 250              // rows per page; more is a 400 (wire/tradegecko.md section 4.1)
	maxIDs      = 100              // ids per request; too long a URI is a 414 (section 4.2)
	maxPages    = 10_000           // pages of one list
	longestWait = 15 * time.Second // for the rate limit; beyond it the caller is told to come again
)

// client speaks HTTP and JSON with one account. It is safe for concurrent use.
type client struct {
	base     string
	http     *http.Client
	grant    *grant
	quota    quota
	timeout  time.Duration // of one request
	pageSize int
	backoff  exchange.Backoff
	log      *slog.Logger
}

// request is one call. Without a body it is a GET.
type request struct {
	op     string // what it is for, in errors
	method string // "" is GET
	path   string
	query  url.Values
	body   any
	key    string // Idempotency-Key of a write
}

func (r request) write() bool { return r.method != "" && r.method != http.MethodGet }

// paging is the X-Pagination header (section 4.1).
type paging struct {
	told        bool
	TotalPages  int  `json:"total_pages"`
	LastPage    bool `json:"last_page"`
	OutOfBounds bool `json:"out_of_bounds"`
}

// ended applies the stop rule of section 4.1 to a page with so many rows.
func (p paging) ended(rows int) bool { return rows == 0 || p.LastPage || p.OutOfBounds }

// do sends a request and decodes its answer. Reads are tried again after
// server and network errors; writes never are: their caller has to look first.
func (c *client) do(ctx context.Context, r request) (d *document, p paging, err error) {
	if r.write() {
		return c.once(ctx, r)
	}
	err = c.backoff.Retry(ctx, func() error {
		d, p, err = c.once(ctx, r)
		return err
	})
	return d, p, err
}

func (c *client) once(ctx context.Context, r request) (*document, paging, error) {
	a, err := c.authorised(ctx, r)
	if err != nil {
		return nil, paging{}, err
	}
	if !a.OK() {
		return nil, paging{}, c.refused(r, a)
	}
	d := new(document)
	if len(bytes.TrimSpace(a.Body)) > 0 && json.Unmarshal(a.Body, d) != nil {
		e := unreadable(r.op, "JSON") // the decoder's own words could quote the body
		e.Status, e.Kind = a.Status, exchange.InDoubt(r.write())
		return nil, paging{}, e
	}
	return d, readPaging(a.Header), nil
}

// authorised sends the request with the current token, and once more with a new
// one if that is refused: a 401 means that nothing happened.
func (c *client) authorised(ctx context.Context, r request) (exchange.Answer, error) {
	token, err := c.grant.token(ctx, "")
	if err != nil {
		return exchange.Answer{}, err
	}
	a, err := c.send(ctx, r, token)
	if err != nil || a.Status != http.StatusUnauthorized {
		return a, err
	}
	fresh, err := c.grant.token(ctx, token)
	if errors.Is(err, relay.Unauthorised) {
		return exchange.Answer{}, withWordsOf(err, refusal(r.op, r.write(), a))
	}
	if err != nil {
		return exchange.Answer{}, err
	}
	return c.send(ctx, r, fresh)
}

// withWordsOf adds what the API itself said to a failed refresh that has no words.
func withWordsOf(err error, api *relay.Error) error {
	var e *relay.Error
	if errors.As(err, &e) && e.Status == 0 {
		api.Err = e.Err
		return api
	}
	return err
}

func (c *client) refused(r request, a exchange.Answer) error {
	e := refusal(r.op, r.write(), a)
	if e.Kind == relay.Throttled {
		e.After = c.quota.block(a.Header, time.Now())
	}
	return e
}

// send waits for the rate limit and sends the request once.
func (c *client) send(ctx context.Context, r request, token string) (exchange.Answer, error) {
	if err := c.admit(ctx, r.op); err != nil {
		return exchange.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.newRequest(ctx, r, token)
	if err != nil {
		return exchange.Answer{}, &relay.Error{Op: r.op, Kind: relay.Invalid, Err: errors.New("the request can't be written")}
	}
	start := time.Now()
	a, err := exchange.Do(c.http, req, r.op, r.write())
	if err != nil {
		return a, err
	}
	c.quota.learn(a.Header, time.Now())
	c.log.DebugContext(ctx, "tradegecko request", "method", req.Method, "path", r.path, "status", a.Status,
		"request_id", exchange.Clip(a.Header.Get("X-Request-Id"), 64), "took", time.Since(start))
	switch {
	case a.Status > 299: // a refusal that quotes our request must not take the token to the ledger
		a = a.Without(token)
	case a.Cut != nil:
		return a, &relay.Error{Op: r.op, Kind: exchange.InDoubt(r.write()), Status: a.Status, Err: a.Cut}
	}
	return a, nil
}

func (c *client) newRequest(ctx context.Context, r request, token string) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	return req, nil
}

// admit waits until the rate limit allows a request. A wait that is long, or
// longer than ctx allows, is a Throttled error at once.
func (c *client) admit(ctx context.Context, op string) error {
	for {
		wait := c.quota.take(time.Now())
		if wait <= 0 {
			return nil
		}
		if end, ok := ctx.Deadline(); wait > longestWait || (ok && time.Until(end) < wait) {
			return throttled(op, 0, wait)
		}
		if err := sleep(ctx, wait); err != nil {
			return exchange.Unsent(op, "no time left in the rate limit", err)
		}
	}
}

// quota is the account's rate limit as the vendor's headers tell it (section
// 5.1). It limits nothing until a header says so.
type quota struct {
	mu        sync.Mutex
	window    int64     // the vendor's reset time of the window, epoch seconds
	until     time.Time // the same on our clock
	remaining int
}

// take uses up one request, or says how long to wait.
func (q *quota) take(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !now.Before(q.until) {
		return 0
	}
	if q.remaining > 0 {
		q.remaining--
		return 0
	}
	return q.until.Sub(now)
}

// learn takes in an answer's headers. Answers come out of order: within a
// window the lowest number counts, and an older window is no news.
func (q *quota) learn(h http.Header, now time.Time) {
	remaining, err1 := strconv.Atoi(h.Get("X-Rate-Limit-Remaining"))
	reset, err2 := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64)
	if err1 != nil || err2 != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	running := now.Before(q.until)
	switch {
	case running && reset < q.window:
		return
	case running && reset == q.window:
		remaining = min(remaining, q.remaining)
	}
	q.window, q.remaining, q.until = reset, remaining, now.Add(untilReset(h, now))
}

// block notes a 429 and returns how long to stay away: Retry-After if there is
// one, though none was ever seen, else the reset, else a minute.
func (q *quota) block(h http.Header, now time.Time) time.Duration {
	after := max(cmp.Or(exchange.RetryAfter(h, now), untilReset(h, now), time.Minute), time.Second)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remaining, q.until = 0, now.Add(after)
	if reset, err := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64); err == nil {
		q.window = reset
	}
	return after
}

// untilReset is how long the window still runs, by the vendor's own clock where
// it tells it. It is at most a window of 300 s and a little.
func untilReset(h http.Header, now time.Time) time.Duration {
	reset, err := strconv.ParseInt(h.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	secs := reset - now.Unix()
	return time.Duration(min(max(secs, 0), 305)) * time.Second
}

func readPaging(h http.Header) paging {
	var p paging
	s := h.Get("X-Pagination")
	if s == "" || json.Unmarshal([]byte(s), &p) != nil {
		return paging{}
	}
	p.told = true
	return p
}

// row is anything with an id.
type row interface{ key() id }

// listAll reads all pages of a collection, each row once. rows picks the array out
// of the answer; an answer without it is an error, not an empty page.
func listAll[T row](ctx context.Context, c *client, r request, rows func(*document) []T) ([]T, error) {
	var all []T
	seen := make(map[id]bool)
	for page := 1; page <= maxPages; page++ {
		got, p, err := listPage(ctx, c, r, page, c.pageSize, rows)
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, row := range got {
			if !seen[row.key()] {
				seen[row.key()] = true
				all = append(all, row)
			}
		}
		// A page of nothing new ends it too, should a server ignore the page number.
		if p.ended(len(got)) || len(all) == before {
			return all, nil
		}
	}
	return nil, unreadable(r.op, "last page")
}

func listPage[T row](ctx context.Context, c *client, r request, page, limit int, rows func(*document) []T) ([]T, paging, error) {
	q := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(limit)}}
	for name, values := range r.query {
		q[name] = values
	}
	r.query = q
	d, p, err := c.do(ctx, r)
	if err != nil {
		return nil, paging{}, err
	}
	got := rows(d)
	if got == nil {
		return nil, paging{}, unreadable(r.op, strings.TrimPrefix(r.path, "/"))
	}
	return got, p, nil
}

// within reads the rows whose filter matches any of the given ids, in batches.
func within[T row](ctx context.Context, c *client, r request, filter string, keys []id, rows func(*document) []T) ([]T, error) {
	var all []T
	for batch := range slices.Chunk(keys, maxIDs) {
		q := url.Values{filter: {joined(batch)}, "order": {"created_at asc"}}
		for name, values := range r.query {
			q[name] = values
		}
		got, err := listAll(ctx, c, request{op: r.op, path: r.path, query: q}, rows)
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	return all, nil
}

// byID reads rows by their ids. What is left out of the first answer is asked
// for among the archived, which lists hide by default (section 4.4). Rows that
// do not exist are absent from the result.
func byID[T row](ctx context.Context, c *client, op, path string, keys []id, rows func(*document) []T) (map[id]T, error) {
	found := make(map[id]T, len(keys))
	for _, query := range []url.Values{nil, {"status[]": {"archived"}}} {
		missing := slices.DeleteFunc(unique(keys), func(k id) bool { _, ok := found[k]; return ok })
		if len(missing) == 0 {
			break
		}
		got, err := within(ctx, c, request{op: op, path: path, query: query}, "ids", missing, rows)
		if err != nil {
			return nil, err
		}
		for _, row := range got {
			found[row.key()] = row
		}
	}
	return found, nil
}

// unique returns the ids above 0 in ascending order, each once.
func unique(keys []id) []id {
	out := slices.DeleteFunc(slices.Clone(keys), func(k id) bool { return k <= 0 })
	slices.Sort(out)
	return slices.Compact(out)
}

// joined is the comma form that integer filters take (section 4.2).
func joined(keys []id) string {
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k.String())
	}
	return b.String()
}
