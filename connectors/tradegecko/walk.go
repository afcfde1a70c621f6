package tradegecko

import (
	"encoding/json"
	"errors"
	"time"

	"orderferry/relay"
)

// step is how much of what was already read each request reads again. The
// vendor's timestamps have milliseconds; whether bounds are inclusive is
// unknown (wire/tradegecko.md section 4.2). A step covers both.
const step = time.Second

// cursor is where the reading of a changing list has got to.
type cursor struct {
	Since time.Time `json:"since,omitzero"` // all changes up to here were read
	Swept time.Time `json:"swept,omitzero"` // when the last full sweep began
	// Filter is what the list was filtered by. A new filter lets in rows that
	// changed long ago, so it starts over.
	Filter string `json:"filter,omitempty"`
	Walk   *walk  `json:"walk,omitempty"` // nil between two walks
}

// walk reads a list once, oldest change first, while rows keep changing and
// moving to its end.
//
// As a rule it asks for the first page from the newest change it saw, less a
// step: pages further on would shift under it. Only where so many rows changed
// in so short a span that this gets nowhere does it page: through that span
// alone, from the last page to the first, since a row that leaves the span then
// moves others into pages still to come, never past them.
type walk struct {
	Full    bool      `json:"full,omitempty"`
	Started time.Time `json:"started,omitzero"`
	Top     time.Time `json:"top,omitzero"` // newest change seen
	Min     time.Time `json:"min,omitzero"` // zero: from the beginning
	Max     time.Time `json:"max,omitzero"` // end of the span that is paged through; zero: no end
	Mode    walkMode  `json:"mode,omitempty"`
	Page    int       `json:"page,omitempty"`  // page to read, unless following
	Limit   int       `json:"limit,omitempty"` // rows per page, unless following
	First   id        `json:"first,omitempty"` // first row of the page before, when going up
}

type walkMode string

const (
	following walkMode = ""      // the first page from Min
	probing   walkMode = "probe" // the first page of a span, to learn how many there are
	goingDown walkMode = "down"  // from the last page to the first
	goingUp   walkMode = "up"    // from the second on: a server that does not count its pages
)

func parseCursor(op, s string) (cursor, error) {
	var c cursor
	if s == "" {
		return c, nil
	}
	if json.Unmarshal([]byte(s), &c) != nil {
		return cursor{}, &relay.Error{Op: op, Kind: relay.Invalid, Err: errors.New("the cursor is none of ours")}
	}
	return c, nil
}

func (c cursor) String() string {
	b, err := json.Marshal(c)
	if err != nil { // only a year beyond 9999 could cause it: start over
		return ""
	}
	return string(b)
}

// begin starts a walk where none is under way. sweepEvery 0 means never to sweep.
func (c *cursor) begin(filter string, now time.Time, overlap, sweepEvery time.Duration) {
	if c.Filter != filter {
		*c = cursor{Filter: filter}
	}
	if c.Walk != nil {
		return
	}
	c.Walk = &walk{Started: now}
	due := sweepEvery > 0 && !now.Before(c.Swept.Add(sweepEvery))
	if c.Since.IsZero() || due {
		c.Walk.Full = true
		return
	}
	c.Walk.Min = c.Since.Add(-overlap)
}

// end closes the walk. A timestamp from the future must not make us skip what
// changes until then.
func (c *cursor) end(now time.Time) {
	w := c.Walk
	top := w.Top
	if top.After(now) {
		top = now
	}
	if top.After(c.Since) {
		c.Since = top
	}
	if w.Full {
		c.Swept = w.Started
	}
	c.Walk = nil
}

// page returns the page to ask for, and fixes the page size while paging.
func (w *walk) page(limit int) int {
	if w.Mode == following {
		return 1
	}
	if w.Limit != limit { // pages of another size: number them anew
		w.Mode, w.Page, w.Limit, w.First = probing, 1, limit, 0
	}
	return w.Page
}

// next takes in a page and says whether the walk is over.
func (w *walk) next(rows []order, p paging) (over bool) {
	newest, ascending := newestOf(rows)
	if newest.After(w.Top) {
		w.Top = newest
	}
	switch w.Mode {
	case following:
		return w.follow(rows, p, newest, ascending)
	case probing:
		switch {
		case p.ended(len(rows)):
			return w.leave()
		case p.TotalPages > 1:
			w.Mode, w.Page = goingDown, min(p.TotalPages, maxPages)
		default:
			w.Mode, w.Page, w.First = goingUp, 2, rows[0].ID
		}
	case goingDown:
		w.Page--
		if w.Page < 1 {
			return w.leave()
		}
	case goingUp:
		if p.ended(len(rows)) || rows[0].ID == w.First || w.Page >= maxPages {
			return w.leave()
		}
		w.Page, w.First = w.Page+1, rows[0].ID
	default: // a cursor that somebody wrote by hand
		return w.leave()
	}
	return false
}

func (w *walk) follow(rows []order, p paging, newest time.Time, ascending bool) (over bool) {
	if p.ended(len(rows)) {
		return true
	}
	from := newest.Add(-step)
	if ascending && !newest.IsZero() && (w.Min.IsZero() || !from.Before(w.Min.Add(step))) {
		w.Min = from
		return false
	}
	w.Mode, w.Page, w.Limit = probing, 1, 0
	w.Max = time.Time{}
	if ascending && !newest.IsZero() {
		// The page ends less than two steps after Min; the span a step later.
		w.Max = w.Min.Add(3 * step)
	}
	return false
}

// leave ends the paging through a span.
func (w *walk) leave() (over bool) {
	if w.Max.IsZero() {
		return true // the span was all there is
	}
	w.Min = w.Max.Add(-step)
	w.Max, w.Mode, w.Page, w.Limit, w.First = time.Time{}, following, 0, 0, 0
	return false
}

// newestOf returns the newest change and whether the rows came oldest first.
// A row without a readable time says nothing.
func newestOf(rows []order) (newest time.Time, ascending bool) {
	ascending = true
	var last time.Time
	for _, r := range rows {
		t := r.UpdatedAt.Time
		if t.IsZero() {
			continue
		}
		if t.Before(last) {
			ascending = false
		}
		last = t
		if t.After(newest) {
			newest = t
		}
	}
	return newest, ascending
}
