package simulator

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultLimit = 50
	maxLimit     = 250
)

// query is what a list is asked for (wire/tradegecko.md sections 4.1 and 4.2).
type query struct {
	path    string
	raw     url.Values
	values  map[string][]string // filters without brackets; blank values are left out
	include map[string]bool
	limit   int
	page    int
	back    int    // rows that the page begins too early, by a fault
	column  string // to sort by; "" for the default
	down    bool
	ids     []int64 // nil: no ids filter
	// created and updated are inclusive bounds.
	created, updated span
	behaviour        Behaviour
}

type span struct{ from, to stamp }

func (s span) holds(at stamp) bool { return s.from <= at && at <= s.to }

func (s span) open() bool { return s.from == math.MinInt64 && s.to == math.MaxInt64 }

func badRequest(message string) error {
	return &apiError{status: http.StatusBadRequest, kind: "Bad Request", message: message}
}

func parseQuery(path string, raw url.Values, behaviour Behaviour) (*query, error) {
	q := &query{path: path, raw: raw, values: map[string][]string{}, include: map[string]bool{}, behaviour: behaviour,
		limit: defaultLimit, page: 1, created: span{math.MinInt64, math.MaxInt64}, updated: span{math.MinInt64, math.MaxInt64}}
	for key, values := range raw {
		name := strings.TrimSuffix(key, "[]")
		for _, v := range values {
			if strings.TrimSpace(v) != "" {
				q.values[name] = append(q.values[name], v)
			}
		}
	}
	for _, list := range q.values["include"] {
		for name := range strings.SplitSeq(list, ",") {
			q.include[strings.TrimSpace(name)] = true
		}
	}
	if err := q.parsePage(); err != nil {
		return nil, err
	}
	if v := q.values["order"]; v != nil {
		column, direction, _ := strings.Cut(strings.TrimSpace(v[0]), " ")
		q.column, q.down = column, strings.EqualFold(strings.TrimSpace(direction), "desc")
	}
	if _, given := q.values["ids"]; given {
		q.ids = q.ints("ids")
	}
	for name, bound := range map[string]*stamp{"created_at_min": &q.created.from, "created_at_max": &q.created.to,
		"updated_at_min": &q.updated.from, "updated_at_max": &q.updated.to} {
		v := q.values[name]
		if v == nil {
			continue
		}
		t, err := parseTime(v[0])
		if err != nil {
			return nil, badRequest(name + " " + err.Error())
		}
		if *bound = stampOf(t); strings.HasSuffix(name, "_min") && behaviour.MinExclusive {
			*bound++
		}
	}
	return q, nil
}

func (q *query) parsePage() error {
	if v := q.values["limit"]; v != nil {
		n, err := strconv.Atoi(v[0])
		if err != nil || n < 0 || n > maxLimit {
			return badRequest("limit must be between 0 and " + strconv.Itoa(maxLimit))
		}
		q.limit = n
	}
	if v := q.values["page"]; v != nil {
		n, err := strconv.Atoi(v[0])
		if err != nil || n < 1 || n > math.MaxInt32 {
			return badRequest("page must be at least 1")
		}
		q.page = n
	}
	return nil
}

// ints reads an integer filter, repeated or as a comma list; what is no number matches nothing.
func (q *query) ints(name string) []int64 {
	out := []int64{}
	for _, list := range q.values[name] {
		for v := range strings.SplitSeq(list, ",") {
			if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// words reads a filter of statuses or types, which older clients also write as a comma list.
func (q *query) words(name string) []string {
	var out []string
	for _, list := range q.values[name] {
		for v := range strings.SplitSeq(list, ",") {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

func (q *query) offset() int { return max(0, (q.page-1)*q.limit-q.back) }

// cut takes the asked page out of all matches.
func cut[R any](q *query, all []R) []R {
	from := min(q.offset(), len(all))
	return all[from:min(from+q.limit, len(all))]
}

// pageHeaders sets X-Pagination and Link (wire/tradegecko.md section 4.1).
func (q *query) pageHeaders(h http.Header, host string, total int) {
	pages := 0
	if q.limit > 0 {
		pages = (total + q.limit - 1) / q.limit
	}
	beyond := q.page > max(pages, 1)
	out := make([]byte, 0, 128)
	out = strconv.AppendInt(append(out, `{"total_records":`...), int64(total), 10)
	out = strconv.AppendInt(append(out, `,"total_pages":`...), int64(pages), 10)
	out = strconv.AppendBool(append(out, `,"first_page":`...), q.page == 1)
	out = strconv.AppendBool(append(out, `,"last_page":`...), q.page >= pages)
	out = strconv.AppendBool(append(out, `,"out_of_bounds":`...), beyond)
	out = strconv.AppendInt(append(out, `,"offset":`...), int64(q.offset()), 10)
	h["X-Pagination"] = []string{string(append(out, '}'))}

	var links []string
	link := func(page int, rel string) {
		v := make(url.Values, len(q.raw)+1)
		for name, values := range q.raw {
			v[name] = values
		}
		v.Set("page", strconv.Itoa(page))
		links = append(links, "<http://"+host+"/ajax"+q.path+"?"+v.Encode()+`>; rel="`+rel+`"`)
	}
	if q.page > 1 {
		link(1, "first")
		link(q.page-1, "prev")
	}
	if q.page < pages {
		link(q.page+1, "next")
		link(pages, "last")
	}
	if links != nil {
		h["Link"] = []string{strings.Join(links, ", ")}
	}
}

// keeps reports whether a row passes every filter of the query.
func (r *resource[R]) keeps(q *query) func(R) bool {
	var tests []func(R) bool
	if !q.created.open() {
		tests = append(tests, func(x R) bool { return q.created.holds(x.created()) })
	}
	if !q.updated.open() {
		tests = append(tests, func(x R) bool { return q.updated.holds(x.updated()) })
	}
	for name, field := range r.ints {
		if _, given := q.values[name]; given {
			wanted := q.ints(name)
			tests = append(tests, func(x R) bool { return slices.Contains(wanted, field(x)) })
		}
	}
	for name, field := range r.words {
		if _, given := q.values[name]; given {
			wanted := q.words(name)
			tests = append(tests, func(x R) bool { return slices.Contains(wanted, field(x)) })
		}
	}
	for name, field := range r.texts {
		if wanted := q.values[name]; wanted != nil {
			tests = append(tests, func(x R) bool { return slices.Contains(wanted, field(x)) })
		}
	}
	if v := q.values["q"]; v != nil && r.search != nil {
		wanted := strings.ToLower(v[0])
		tests = append(tests, func(x R) bool { return strings.Contains(strings.ToLower(r.search(x)), wanted) })
	}
	if _, given := q.values["status"]; !given && q.ids == nil && r.hidden != nil {
		tests = append(tests, func(x R) bool { return !r.hidden(x, q.behaviour) })
	}
	if len(tests) == 0 {
		return nil
	}
	return func(x R) bool {
		for _, test := range tests {
			if !test(x) {
				return false
			}
		}
		return true
	}
}

// list answers an index: the rows of the asked page, and how many there are in all.
func (r *resource[R]) list(b *books, q *query) (rows []R, total int) {
	if r.fast != nil && q.ids == nil {
		if rows, total, ok := r.fast(b, q); ok {
			return rows, total
		}
	}
	candidates := r.candidates(b, q)
	matches := candidates
	if keep := r.keeps(q); keep != nil {
		matches = nil
		for _, x := range candidates {
			if keep(x) {
				matches = append(matches, x)
			}
		}
	}
	return cut(q, r.sort(q, matches)), len(matches)
}

// candidates are the rows that may match, found through an index where there is
// one, in ascending order of id unless an index says otherwise.
func (r *resource[R]) candidates(b *books, q *query) []R {
	t := r.table(b)
	if q.ids != nil {
		slices.Sort(q.ids)
		var out []R
		for _, id := range slices.Compact(q.ids) {
			if x, ok := t.byID[id]; ok {
				out = append(out, x)
			}
		}
		return out
	}
	if r.narrow != nil {
		if out, ok := r.narrow(b, q); ok {
			return out
		}
	}
	return t.list
}

// sort orders the matches without touching the table they may be part of.
func (r *resource[R]) sort(q *query, rows []R) []R {
	column, down := q.column, q.down
	var by func(a, b R) int
	switch {
	case column == "updated_at":
		by = func(a, b R) int { return cmp.Compare(a.updated(), b.updated()) }
	case column == "name" && r.name != nil:
		by = func(a, b R) int { return strings.Compare(r.name(a), r.name(b)) }
	case column == "position" && r.position != nil:
		by = func(a, b R) int { return cmp.Compare(r.position(a), r.position(b)) }
	case column == "created_at":
		by = func(a, b R) int { return cmp.Compare(a.created(), b.created()) }
	case column == "id":
		by = func(R, R) int { return 0 }
	case r.position != nil:
		by, down = func(a, b R) int { return cmp.Compare(r.position(a), r.position(b)) }, false
	default:
		by, down = func(a, b R) int { return cmp.Compare(a.created(), b.created()) }, true
	}
	full := func(a, b R) int { return cmp.Or(by(a, b), cmp.Compare(a.rowID(), b.rowID())) }
	if down {
		up := full
		full = func(a, b R) int { return up(b, a) }
	}
	if slices.IsSortedFunc(rows, full) {
		return rows
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, full)
	return rows
}

// fastOrders walks orders by updated_at through the timelines, where nothing
// else has to be scanned than the asked stretch. beside holds the filters other
// than those on the two statuses.
func (b *books) fastOrders(q *query, beside *resource[*order]) (rows []*order, total int, ok bool) {
	if q.column != "updated_at" || q.down {
		return nil, 0, false
	}
	lines := b.timelinesOf(q)
	rest := *q // what the timelines do not answer
	rest.updated = span{math.MinInt64, math.MaxInt64}
	keep := beside.keeps(&rest)
	at, skip := q.updated.from, q.offset()
	var walks []*walk
	for _, t := range lines {
		walks = append(walks, t.from(at, math.MinInt64, 0))
		if keep == nil {
			n := t.size
			if q.updated.to < math.MaxInt64 {
				n = t.rank(q.updated.to+1, math.MinInt64)
			}
			total += max(n-t.rank(at, math.MinInt64), 0)
		}
	}
	if keep == nil && len(walks) == 1 {
		walks[0].skip(skip)
		skip = 0
	}
	for {
		o := earliest(walks)
		if o == nil || o.filedAt > q.updated.to || (keep == nil && len(rows) == q.limit) {
			return rows, total, true
		}
		if keep != nil {
			if !keep(o) {
				continue
			}
			total++
		}
		if skip > 0 {
			skip--
		} else if len(rows) < q.limit {
			rows = append(rows, o)
		}
	}
}

// timelinesOf are the timelines that the query's statuses name, without empty ones.
func (b *books) timelinesOf(q *query) []*timeline {
	statuses, shipped := q.words("status"), q.words("fulfillment_status")
	var out []*timeline
	for i, status := range orderStatuses {
		hidden := statuses == nil && hiddenOrder(status, q.behaviour)
		if hidden || statuses != nil && !slices.Contains(statuses, status) {
			continue
		}
		for j, s := range fulfillmentStatuses {
			if t := &b.timelines[i][j]; t.size > 0 && (shipped == nil || slices.Contains(shipped, s)) {
				out = append(out, t)
			}
		}
	}
	return out
}

// earliest takes the next order of all walks together.
func earliest(walks []*walk) *order {
	var first *walk
	var next *order
	for _, w := range walks {
		if o := w.order(); o != nil && (next == nil || o.filedBefore(next.filedAt, next.ID)) {
			first, next = w, o
		}
	}
	if first != nil {
		first.next()
	}
	return next
}

func hiddenOrder(status string, behaviour Behaviour) bool {
	return !behaviour.ListShowsVoid && (status == statusVoid || status == statusDeleted)
}
