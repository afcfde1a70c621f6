package easypost

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	fewLookups  = 5                // up to so many orders are searched for by token
	clockSlack  = 2 * time.Minute  // how far the vendor's clock may be behind ours (section 11.3)
	commitSlack = 10 * time.Minute // how long after a request an order may be stamped
	maxDoubts   = 50               // orders that are read one by one to compare their content
	leastMark   = len(markPrefix) + 8
)

// FindOrders looks for orders that may have been taken (section 11.3): by the
// token in their description, searching and then reading the newest orders back
// to two minutes before the first attempt; and where the vendor dropped the
// description, by destination, items and time.
func (c *connection) FindOrders(ctx context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	s := newSearch(q, func(o orderJSON) bool { return c.update(o).Progress == connectors.Cancelled })
	if err := c.searchByToken(ctx, s); err != nil {
		return nil, err
	}
	if s.settled() {
		return s.results(), nil
	}
	if err := c.searchList(ctx, s); err != nil {
		return nil, err
	}
	if err := c.searchContent(ctx, s, q.Owned); err != nil {
		return nil, err
	}
	return s.results(), nil
}

const lookupOp = "look up order"

// searchByToken uses the vendor's free-text search, which may or may not exist
// and may or may not cover descriptions: nothing found means nothing.
func (c *connection) searchByToken(ctx context.Context, s *search) error {
	if !c.byQuery || len(s.wanted) > fewLookups {
		return nil
	}
	for _, w := range s.wanted {
		query := c.client.window()
		query.Set("query", string(w.Order.Token))
		rows, _, err := readList[orderJSON](ctx, c.client, lookupOp, "orders", query)
		if exchange.KindIs(err, relay.Unauthorised, relay.Throttled) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			return nil // no such search here; the list will tell
		}
		honoured := len(rows) > 0
		for _, o := range rows {
			if err := c.wrongMode(lookupOp, o.Mode); err != nil {
				return err
			}
			s.matchToken(o)
			honoured = honoured && carries(string(o.Description), w.Order.Token)
		}
		// Only an answer that is about nothing else tells that these are all.
		w.settled = honoured
	}
	return nil
}

// searchList reads the newest orders. Whether they come newest first is not
// documented, so it is watched: only then may reading stop at an old one.
func (c *connection) searchList(ctx context.Context, s *search) error {
	horizon := s.horizon()
	var order newestFirst
	ended, joined, err := walk(ctx, c.client, lookupOp, "orders", c.lookupPages, orderID, func(rows []orderJSON) (bool, error) {
		for _, o := range rows {
			if err := c.wrongMode(lookupOp, o.Mode); err != nil {
				return false, err
			}
			order.see(o.CreatedAt.At)
			if !s.matchToken(o) {
				s.consider(o)
			}
		}
		return !order.past(horizon), nil
	})
	if err != nil {
		return err
	}
	for _, w := range s.wanted {
		// Promise 1: an order that slipped through between two pages would be sent once more.
		w.covered = joined && (ended || order.past(w.earliest()))
	}
	return nil
}

// newestFirst watches whether a list is sorted by falling creation time.
type newestFirst struct {
	last   time.Time
	broken bool // a row was newer than the one before it, or had no time
	fell   bool // a row was older than the one before it
}

func (n *newestFirst) see(at time.Time) {
	switch {
	case at.IsZero(), !n.last.IsZero() && at.After(n.last):
		n.broken = true
	case !n.last.IsZero() && at.Before(n.last):
		n.fell = true
	}
	n.last = at
}

// past reports whether all rows since t were surely read.
func (n *newestFirst) past(t time.Time) bool {
	return !n.broken && n.fell && n.last.Before(t)
}

// searchContent compares the orders that came without a description.
func (c *connection) searchContent(ctx context.Context, s *search, owned func(context.Context, []relay.WarehouseOrderID) ([]bool, error)) error {
	candidates, err := s.unowned(ctx, owned)
	if err != nil {
		return err
	}
	reads := 0
	for _, o := range candidates {
		like, unclear := s.compare(o)
		if len(like) == 0 && len(unclear) == 0 {
			continue
		}
		// A list may show less than the order itself: read it before believing it.
		if reads == maxDoubts {
			s.doubt(append(like, unclear...))
			continue
		}
		reads++
		full, err := c.readOrder(ctx, lookupOp, relay.WarehouseOrderID(o.ID))
		switch {
		case errors.Is(err, relay.NotFound):
			continue
		case ctx.Err() != nil, exchange.KindIs(err, relay.Unauthorised, relay.Throttled):
			return err
		case err != nil:
			s.doubt(append(like, unclear...))
			continue
		}
		if s.matchToken(full) || !dropped(string(full.Description)) {
			continue
		}
		like, unclear = s.compare(full)
		s.matchContent(full, like)
		s.doubt(unclear)
	}
	return nil
}

// search is the state of one look-up.
type search struct {
	wanted     []*want
	candidates map[text]orderJSON // without a description, by id
}

// want is one order that is looked for.
type want struct {
	connectors.LookupRequest
	to      destinationBody
	items   map[string]relay.Quantity
	matches []connectors.Match
	settled bool // found, and nothing more can be found
	// cancelled tells of an order that it will not ship.
	cancelled func(orderJSON) bool
	covered   bool // the whole span was read
	doubted   bool // an order was seen that may or may not be this one
}

func newSearch(q connectors.LookupQuery, cancelled func(orderJSON) bool) *search {
	s := &search{candidates: make(map[text]orderJSON)}
	for _, r := range q.Orders {
		w := &want{cancelled: cancelled, LookupRequest: r, to: destination(r.Order.ShipTo), items: make(map[string]relay.Quantity)}
		for _, it := range r.Order.Items {
			w.items[strings.TrimSpace(string(it.Code))] += relay.Units(min(max(it.Units, 0), maxUnits))
		}
		s.wanted = append(s.wanted, w)
	}
	return s
}

func (w *want) earliest() time.Time { return w.SentFrom.Add(-clockSlack) }

// within reports whether an order of that time may be ours; one without a time may.
func (w *want) within(at time.Time) bool {
	return at.IsZero() || (!at.Before(w.earliest()) && (w.SentTo.IsZero() || !at.After(w.SentTo.Add(commitSlack))))
}

func (w *want) byToken() bool {
	return slices.ContainsFunc(w.matches, func(m connectors.Match) bool { return m.By == "token" })
}

func (w *want) add(o orderJSON, by string) {
	id := relay.WarehouseOrderID(o.ID)
	if !slices.ContainsFunc(w.matches, func(m connectors.Match) bool { return m.ID == id }) {
		w.matches = append(w.matches, connectors.Match{ID: id, CreatedAt: o.CreatedAt.At, By: by, Cancelled: w.cancelled(o)})
	}
}

func (s *search) settled() bool {
	return !slices.ContainsFunc(s.wanted, func(w *want) bool { return !w.settled })
}

// horizon is the time back to which the list has to be read.
func (s *search) horizon() time.Time {
	var t time.Time
	for _, w := range s.wanted {
		if e := w.earliest(); !w.settled && (t.IsZero() || e.Before(t)) {
			t = e
		}
	}
	return t
}

// carries reports whether a description bears the token's mark. A vendor may
// cut descriptions short, so the beginning of the mark is taken for it from
// eight characters of the token on.
func carries(description string, t relay.Token) bool {
	d, m := strings.ToLower(description), strings.ToLower(mark(t))
	if strings.HasPrefix(m, d) {
		return len(d) >= leastMark
	}
	for from := 0; ; {
		i := strings.Index(d[from:], m)
		if i < 0 {
			return false
		}
		from += i + len(m)
		if from == len(d) || !isWord(d[from]) {
			return true
		}
	}
}

func isWord(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }

// dropped reports whether a description is absent or cut too short to tell.
func dropped(description string) bool {
	d := strings.ToLower(description)
	return d == "" || (len(d) < leastMark && (strings.HasPrefix(markPrefix, d) || strings.HasPrefix(d, markPrefix)))
}

// matchToken files the order under the request whose token it bears.
func (s *search) matchToken(o orderJSON) bool {
	if !idForm.MatchString(string(o.ID)) {
		return false
	}
	for _, w := range s.wanted {
		if carries(string(o.Description), w.Order.Token) {
			w.add(o, "token")
			return true
		}
	}
	return false
}

// consider keeps an order for comparison if its description tells nothing.
func (s *search) consider(o orderJSON) {
	if !dropped(string(o.Description)) || !idForm.MatchString(string(o.ID)) {
		return
	}
	if slices.ContainsFunc(s.wanted, func(w *want) bool { return !w.settled && w.within(o.CreatedAt.At) }) {
		s.candidates[o.ID] = o
	}
}

// unowned lists the candidates that belong to no order of ours, oldest first.
func (s *search) unowned(ctx context.Context, owned func(context.Context, []relay.WarehouseOrderID) ([]bool, error)) ([]orderJSON, error) {
	if len(s.candidates) == 0 {
		return nil, nil
	}
	var list []orderJSON
	for _, o := range s.candidates {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b orderJSON) int {
		if n := a.CreatedAt.At.Compare(b.CreatedAt.At); n != 0 {
			return n
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	if owned == nil {
		return list, nil
	}
	ids := make([]relay.WarehouseOrderID, len(list))
	for i, o := range list {
		ids[i] = relay.WarehouseOrderID(o.ID)
	}
	held, err := owned(ctx, ids)
	if err != nil {
		return nil, err
	}
	var free []orderJSON
	for i, o := range list {
		if i >= len(held) || !held[i] {
			free = append(free, o)
		}
	}
	return free, nil
}

// compare tells which requests the order is like, and for which it shows too little to say.
func (s *search) compare(o orderJSON) (like, unclear []*want) {
	for _, w := range s.wanted {
		if w.settled || w.byToken() || !w.within(o.CreatedAt.At) {
			continue
		}
		switch w.compare(o) {
		case same:
			like = append(like, w)
		case unsure:
			unclear = append(unclear, w)
		}
	}
	return like, unclear
}

// matchContent files the order under one request only: of several that ask for
// the same goods to the same place, each gets one, and what is left over goes
// to the first. Else two requests would adopt one order.
func (s *search) matchContent(o orderJSON, like []*want) {
	if len(like) == 0 {
		return
	}
	to := like[0]
	for _, w := range like {
		if len(w.matches) < len(to.matches) || (len(w.matches) == len(to.matches) && w.SentFrom.Before(to.SentFrom)) {
			to = w
		}
	}
	to.add(o, "content")
}

func (s *search) doubt(wants []*want) {
	for _, w := range wants {
		w.doubted = true
	}
}

func (s *search) results() []connectors.Lookup {
	out := make([]connectors.Lookup, len(s.wanted))
	for i, w := range s.wanted {
		slices.SortStableFunc(w.matches, func(a, b connectors.Match) int { return a.CreatedAt.Compare(b.CreatedAt) })
		out[i] = connectors.Lookup{Matches: w.matches, Certain: w.settled || (w.covered && !w.doubted)}
	}
	return out
}

// likeness is the result of a comparison.
type likeness int

const (
	differs likeness = iota
	unsure           // nothing contradicts, but too little is shown
	same
)

func (w *want) compare(o orderJSON) likeness {
	return min(w.compareLines(o), w.compareDestination(o.Destination))
}

func (w *want) compareLines(o orderJSON) likeness {
	if len(o.Lines) == 0 {
		return unsure
	}
	names := barcodesOf(o)
	got := make(map[string]relay.Quantity)
	for _, l := range o.Lines {
		code := barcode(l.Product, l.ProductID, names)
		if code == "" || l.Units.Bad || !l.Units.Set {
			return unsure
		}
		got[string(code)] += l.Units.Value
	}
	if len(got) != len(w.items) {
		return differs
	}
	for code, units := range w.items {
		if got[code] != units {
			return differs
		}
	}
	return same
}

func (w *want) compareDestination(d *destinationJSON) likeness {
	if d == nil {
		return unsure
	}
	country := string(d.Country)
	if len(country) != 2 {
		country = "" // a name says nothing about a code
	}
	for _, pair := range []struct{ ours, theirs string }{
		{w.to.Country, country},
		{w.to.City, string(d.City)},
		{firstOf(w.to.Name, w.to.Company), firstOf(string(d.Name), string(d.Company))},
	} {
		a, b := bare(pair.ours), bare(pair.theirs)
		if a != "" && b != "" && a != b {
			return differs
		}
	}
	// A vendor may write ZIP+4 for ZIP, fold street2 into street1 and abbreviate.
	zip := likePrefix(bare(w.to.Zip), bare(string(d.Zip)), 5)
	street := likePrefix(bare(w.to.Street1+w.to.Street2), bare(string(d.Street1+d.Street2)), 5)
	if zip == differs || street == differs {
		return differs
	}
	return max(zip, street)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// likePrefix compares the first n characters; a shorter text is compared whole.
func likePrefix(a, b string, n int) likeness {
	if a == "" || b == "" {
		return unsure
	}
	ra, rb := []rune(a), []rune(b)
	if string(ra[:min(n, len(ra))]) == string(rb[:min(n, len(rb))]) {
		return same
	}
	return differs
}

// bare keeps letters and digits, in upper case.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToUpper(r)
		}
		return -1
	}, s)
}
