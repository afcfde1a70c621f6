package easypost

import (
	"context"
	"net/url"
	"slices"
	"strconv"
)

// listCursor is how far a list was read. It goes by offset, each answer beginning with
// the last rows of the one before: when rows leave the list meanwhile, those behind
// move up, and one that moves past the edge of a page is on neither. Where offsets
// are not heeded it goes by page numbers. How EasyPost pages is not documented
// (wire/easypost-fulfillment.md section 4), so no answer's length ends a list.
//
// ListOrders hands it out, so it is JSON.
type listCursor struct {
	Page   int    `json:"page"` // counted from the setting's first
	Offset int    `json:"offset,omitempty"`
	First  string `json:"first,omitempty"` // the first row of the latest answer by offset
	// Tail are the last rows of the latest answer: the next by offset begins with them.
	Tail   []string `json:"tail,omitempty"`
	ByPage bool     `json:"by_page,omitempty"`
	Full   bool     `json:"full,omitempty"` // the first answer was
	Asked  int      `json:"asked,omitempty"`
	// Gap says that rows may be missing: one answer did not join on to the one
	// before, or the end was out of reach.
	Gap bool `json:"gap,omitempty"`
	// Unsure says that nothing shows whether rows slipped through.
	Unsure bool `json:"unsure,omitempty"`
}

// window is the query of one page: limit and per_page always go together.
func (c *client) window() url.Values {
	n := strconv.Itoa(c.pageSize)
	return url.Values{"limit": {n}, "per_page": {n}}
}

func (c *client) windowAt(at listCursor) url.Values {
	query := c.window()
	query.Set("page", strconv.Itoa(c.firstPage+at.Page))
	if at.Offset > 0 {
		query.Set("offset", strconv.Itoa(at.Offset))
	}
	return query
}

// overlap is how many rows of an answer the next one repeats. One less may leave
// the list in between, and the two still join.
func overlap(rows int) int { return 1 + rows/10 }

// next moves behind an answer with rows of these ids, of which so many were asked
// for, and reports whether there may be more.
func (l *listCursor) next(ids []string, size int) bool {
	l.Asked++
	if len(l.Tail) == 0 {
		return l.begin(ids, size)
	}
	if l.ByPage {
		return l.nextPage(ids)
	}
	at := slices.Index(ids, l.last())
	switch {
	case len(ids) == 0: // the list got so much shorter, or this is no way to read it
		l.Unsure = true
		l.turnPage()
		return true
	case slices.Contains(ids, l.First): // the rows of the answer before again: offsets are not heeded
		l.turnPage()
		return true
	case at < 0:
		l.Gap = true
	case at == len(ids)-1 && at < len(l.Tail): // nothing but what the answer before ended with
		return false
	}
	l.advance(ids)
	return true
}

// last is the row that was read last.
func (l *listCursor) last() string { return l.Tail[len(l.Tail)-1] }

func (l *listCursor) advance(ids []string) {
	fresh := len(ids) - overlap(len(ids))
	l.Offset += fresh
	l.First, l.Tail = ids[0], ids[fresh:]
}

// begin is next for the first rows.
func (l *listCursor) begin(ids []string, size int) bool {
	if len(ids) == 0 {
		l.Page++
		return l.Page == 1 // nothing under the first number: it may count from one
	}
	l.Full = len(ids) >= size
	if l.advance(ids); l.Offset == 0 {
		l.turnPage()
	}
	return true
}

func (l *listCursor) turnPage() {
	l.ByPage, l.Offset = true, 0
	l.Page++
}

// nextPage is next where offsets are not heeded.
func (l *listCursor) nextPage(ids []string) bool {
	switch {
	case len(ids) == 0:
		l.Unsure = l.Unsure || l.Full
		return false
	case ids[0] == l.First && l.Page == 1: // the second number may still be that of the first page
	case ids[0] == l.First || ids[len(ids)-1] == l.last():
		// Neither pages nor offsets are heeded, or, where it was the second page, it can't be
		// told: also of a list of just two full pages that gives the last one again behind its
		// end. It is never called whole then, and comparing books stays partial.
		l.Gap = l.Gap || (l.Full && (ids[0] == l.First || l.Page <= 2))
		return false
	default:
		l.Tail, l.Unsure = ids[len(ids)-1:], true
	}
	l.Page++
	return true
}

// walk reads a list and hands each row over once, by id; each returns false to
// stop. ended says that the list came to its end without a gap; joined that what
// was handed over is surely all that the list had, as far as it was read.
func walk[T any](ctx context.Context, c *client, op, key string, maxPages int, id func(T) string, each func([]T) (bool, error)) (ended, joined bool, err error) {
	var at listCursor
	seen := make(map[string]bool)
	listedAll := true
	for more := true; more; {
		if at.Asked == maxPages {
			return false, !at.Gap && !at.Unsure, nil
		}
		rows, listed, err := readList[T](ctx, c, op, key, c.windowAt(at))
		if err != nil {
			return false, false, err
		}
		listedAll = listedAll && listed
		var ids []string
		var fresh []T
		for _, row := range rows {
			k := id(row)
			if k == "" {
				continue
			}
			if ids = append(ids, k); !seen[k] {
				seen[k] = true
				fresh = append(fresh, row)
			}
		}
		more = at.next(ids, c.pageSize)
		if len(fresh) == 0 {
			continue
		}
		if goOn, err := each(fresh); err != nil || !goOn {
			return false, !at.Gap && !at.Unsure, err
		}
	}
	return listedAll && !at.Gap, !at.Gap && !at.Unsure, nil
}
