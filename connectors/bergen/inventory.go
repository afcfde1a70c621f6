package bergen

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

const (
	defaultLimit = 250    // item codes in a page, when the caller names no limit
	maxBatches   = 10_000 // of stock in one reading
	upcsAtOnce   = 100    // asked for by name in one request
	maxDoubtful  = 1000   // codes of each kind that a full reading asks for by name
	stockTries   = 3      // readings of all batches, while rows move
	sinceForm    = "01/02/2006 15:04:05"
	// overlap is how far before the last reading changes are asked for: the clocks
	// differ, and one hour of a November night comes twice in Eastern time.
	overlap = 2 * time.Hour
)

// position is the cursor of a reading.
type position struct {
	Full    time.Time `json:"full,omitzero"`  // when the last full reading that ended had begun
	Last    time.Time `json:"last,omitzero"`  // when the last reading of either kind that ended had begun
	Began   time.Time `json:"began,omitzero"` // when the one that goes on began; zero: none does
	Changes bool      `json:"changes,omitempty"`
	After   string    `json:"after,omitempty"` // the last code that was handed out
	Codes   int       `json:"codes,omitempty"` // how many the last full reading that ended had
	// Of is what is read, in short: with another address or other sites what was
	// read before counts for nothing.
	Of string `json:"of,omitempty"`
}

// readFrom names what this connection reads.
func (c *connection) readFrom() string {
	sum := sha256.Sum256([]byte(c.client.address + "\n" + strings.Join(c.sites, "\n")))
	return hex.EncodeToString(sum[:4])
}

func parsePosition(op, cursor string) (position, error) {
	var p position
	if cursor == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(cursor), &p); err != nil {
		return p, &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("the cursor is none of this connector's")}
	}
	return p, nil
}

func (p position) String() string {
	b, _ := json.Marshal(p) // times and texts always can be
	return string(b)
}

// reading is stock as it was read.
type reading struct {
	began   time.Time
	codes   []string // sorted
	levels  map[string]map[string]relay.Quantity
	gone    []string // codes that the service does not know any more
	partial bool
	unread  []connectors.Unread
}

// PullInventory returns the levels of the next item codes, in the order of the
// codes: actual less pending quantity, which may be negative (section 10.1).
// What waits in the staging area is not pending yet.
//
// The service lists stock warehouse by warehouse, so that one code may stand in
// any number of batches. All batches are read for the first page, and the pages
// handed out from that; where they are no longer at hand, from a new reading.
//
// A full reading is made as often as the settings say; those between ask for the
// codes that changed and read these anew by name, at all sites.
func (c *connection) PullInventory(ctx context.Context, q connectors.InventoryQuery) (connectors.InventoryPage, error) {
	const op = "pull inventory"
	p, err := parsePosition(op, q.Cursor)
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	if of := c.readFrom(); p.Of != of {
		p = position{Of: of}
	}
	if p.Began.IsZero() {
		p.Began = time.Now().UTC()
		p.Changes = !p.Full.IsZero() && p.Began.Sub(p.Full) < c.fullEvery
	}
	r, err := c.reading(ctx, op, p)
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	from := 0
	if p.After != "" {
		var past bool
		if from, past = slices.BinarySearch(r.codes, p.After); past {
			from++
		}
	}
	limit := q.Limit
	if limit < 1 {
		limit = defaultLimit
	}
	codes := r.codes[from:min(from+limit, len(r.codes))]
	page := connectors.InventoryPage{
		More: from+len(codes) < len(r.codes), Partial: r.partial, Changes: p.Changes, Unread: r.unread, Meaning: connectors.NetOfOrders,
	}
	for _, code := range codes {
		for site, quantity := range r.levels[code] {
			page.Levels = append(page.Levels, relay.InventoryLevel{Code: relay.ItemCode(code), Site: site, Quantity: quantity})
		}
	}
	relay.SortLevels(page.Levels)
	if page.More {
		p.After = codes[len(codes)-1]
		page.Cursor = p.String()
		return page, nil
	}
	next := position{Full: p.Full, Last: p.Began, Of: p.Of, Codes: p.Codes}
	if !p.Changes {
		next.Full, next.Codes = p.Began, len(r.codes)
		c.ended(r)
	}
	page.Cursor = next.String()
	return page, nil
}

// ended keeps the codes of a full reading, and lets the levels go. A partial one
// proves of no code that it is gone, but of those that were asked for by name.
func (c *connection) ended(r *reading) {
	codes := make(map[string]struct{}, len(r.codes))
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.partial {
		maps.Copy(codes, c.codes)
		for _, code := range r.gone {
			delete(codes, code)
		}
	}
	for _, code := range r.codes {
		codes[code] = struct{}{}
	}
	c.codes = codes
	if c.stock == r {
		c.stock = nil
	}
}

// reading returns what was read for the first page, or reads it anew.
func (c *connection) reading(ctx context.Context, op string, p position) (*reading, error) {
	c.mu.Lock()
	r := c.stock
	c.mu.Unlock()
	if r != nil && r.began.Equal(p.Began) {
		return r, nil
	}
	s := newStock(c.counts)
	var err error
	if p.Changes {
		err = c.readChanges(ctx, op, p, &s)
	} else {
		err = c.readAll(ctx, op, p, &s)
	}
	if err != nil {
		return nil, err
	}
	r = s.reading(p.Began)
	c.mu.Lock()
	c.stock = r
	c.mu.Unlock()
	return r, nil
}

// readAll reads every batch. Rows move while they are read: when one comes in two
// batches, another may have slipped through between them, and all are read again.
// The codes that lack a site which others have, or that were there the last time,
// are asked for by name. A process that has just begun knows no names: fewer codes
// than the last time are then believed when another reading has no more.
func (c *connection) readAll(ctx context.Context, op string, p position, s *stock) error {
	for try := 1; ; try++ {
		*s = newStock(c.counts)
		whole, err := c.batches(ctx, op, getBatch, s.addRow)
		if err != nil {
			return err
		}
		if whole && !s.moved {
			break
		}
		if try == stockTries {
			s.partial = true
			break
		}
	}
	if len(s.levels) == 0 && len(s.sites) > 0 {
		return &relay.Error{Kind: relay.Invalid, Op: op, Err: errors.New("none of the warehouses that keep the account's stock is named in settings.sites or settings.warehouse")}
	}
	c.mu.Lock()
	known := c.codes
	c.mu.Unlock()
	lacking, unseen := s.lacking(), s.unseen(known)
	if len(lacking) > maxDoubtful {
		// The account does not list each product everywhere after all.
		c.log.Warn("stock is told for some warehouses only", "items", len(lacking))
		lacking = nil
	}
	if len(unseen) > maxDoubtful {
		c.log.Warn("stock is told of far fewer items than the last time", "items", len(s.seen), "missing", len(unseen))
		s.partial, unseen = true, unseen[:maxDoubtful] // the others have their turn in another reading
	}
	if _, err := c.readByName(ctx, op, slices.Concat(lacking, unseen), s); err != nil {
		return err
	}
	s.gone = slices.DeleteFunc(unseen, func(code string) bool { return s.seen[code] })
	s.partial = s.partial || (known == nil && len(s.levels) < p.Codes)
	return nil
}

// readChanges reads the codes that changed, at all sites.
func (c *connection) readChanges(ctx context.Context, op string, p position, s *stock) error {
	changed := make(map[string]bool)
	since := p.Last.Add(-overlap).In(c.eastern).Format(sinceForm)
	whole, err := c.batches(ctx, op, getChangesBatch, func(_ int, row itemXML) {
		if code := strings.TrimSpace(row.UPC); code != "" {
			changed[code] = true
		}
	}, since)
	if err != nil {
		return err
	}
	told, err := c.readByName(ctx, op, slices.Sorted(maps.Keys(changed)), s)
	s.partial = s.partial || !whole || told < len(changed)
	return err
}

// readByName adds the rows of the codes and returns how many of them were told.
func (c *connection) readByName(ctx context.Context, op string, codes []string, s *stock) (int, error) {
	told := 0
	for chunk := range slices.Chunk(codes, upcsAtOnce) {
		n, err := c.readChunk(ctx, op, chunk, s)
		if err != nil {
			return 0, err
		}
		told += n
	}
	return told, nil
}

// readChunk is readByName for one request. What an unknown UPC does to the others
// is not known (section 10.1): should they be refused together, they are asked
// for by halves.
func (c *connection) readChunk(ctx context.Context, op string, codes []string, s *stock) (int, error) {
	got, status, err := call[stockAnswer](ctx, c.client, op, getByUPCs, codes)
	if err != nil {
		return 0, err
	}
	if failures := got.failures(); len(failures) > 0 {
		if !itemWords.MatchString(wordsOf(failures)) {
			return 0, readError(op, status, failures)
		}
		if len(got.items()) == 0 && len(codes) == 1 {
			return 0, nil
		}
		if len(got.items()) == 0 {
			told, err := c.readChunk(ctx, op, codes[:len(codes)/2], s)
			if err != nil {
				return 0, err
			}
			more, err := c.readChunk(ctx, op, codes[len(codes)/2:], s)
			return told + more, err
		}
	}
	told := make(map[string]bool)
	for _, row := range got.items() {
		if code := strings.TrimSpace(row.UPC); slices.Contains(codes, code) {
			told[code] = true
			s.add(row)
		}
	}
	return len(told), nil
}

// batches reads batch after batch, to the number that the latest names. whole is
// false when one of them had nothing, though it was to be there: rows moved. That
// nothing changed may be told as one batch.
func (c *connection) batches(ctx context.Context, op string, o operation, each func(batch int, row itemXML), args ...any) (whole bool, err error) {
	whole = true
	for n := range maxBatches {
		got, status, err := c.batch(ctx, op, o, c.firstBatch+n, args...)
		if err != nil {
			return false, err
		}
		for _, row := range got.items() {
			each(n, row)
		}
		total, err := got.total()
		if err != nil {
			return false, &relay.Error{Kind: relay.Unavailable, Op: op, Status: status, Err: err}
		}
		if n < total && len(got.items()) == 0 {
			counted, err := c.counted(ctx, op, o, total, args...)
			if err != nil {
				return false, err
			}
			whole = counted && o.name == getChangesBatch.name && total == 1
		}
		if n+1 >= total {
			return whole, nil
		}
	}
	return false, &relay.Error{Kind: relay.Invalid, Op: op, Err: fmt.Errorf("more than %d batches of stock", maxBatches)}
}

func (c *connection) batch(ctx context.Context, op string, o operation, number int, args ...any) (stockAnswer, int, error) {
	got, status, err := call[stockAnswer](ctx, c.client, op, o, append(slices.Clone(args), strconv.Itoa(number))...)
	if err == nil && len(got.failures()) > 0 {
		err = readError(op, status, got.failures())
	}
	return got, status, err
}

// total is the number of batches. Without one nothing tells whether there are more.
func (a stockAnswer) total() (int, error) {
	text := strings.TrimSpace(a.Batches)
	if text == "" && len(a.items()) == 0 {
		return 0, nil
	}
	total, err := strconv.Atoi(text)
	if err != nil || (total < 1 && len(a.items()) > 0) {
		return 0, errors.New("the number of batches is missing or can't be read")
	}
	return total, nil
}

// counted fails when the batches are counted from the other number than the setting
// says: which it is, is not known (section 10.1), and one of them would never be read.
// sure is false when the service did not answer that.
func (c *connection) counted(ctx context.Context, op string, o operation, total int, args ...any) (sure bool, err error) {
	outside := total // of those that count from 1 the last
	if c.firstBatch == 1 {
		outside = 0
	}
	got, _, err := c.batch(ctx, op, o, outside, args...)
	switch {
	case stops(ctx, err):
		return false, err
	case err != nil:
		return answered(err), nil // there need not be such a batch
	case len(got.items()) == 0:
		return true, nil
	}
	return false, &relay.Error{Kind: relay.Invalid, Op: op, Err: fmt.Errorf("settings.first_batch is %d, and there is stock in batch %d, but none in one of those between: want %d",
		c.firstBatch, outside, 1-c.firstBatch)}
}

// stops reports whether an error is none of the batch that was asked for.
func stops(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || exchange.KindIs(err, relay.Unauthorised, relay.Throttled))
}

// answered reports whether the error of a read is what the service answered: a failure,
// a fault or nothing at all.
func answered(err error) bool {
	var fault *faultXML
	return errors.Is(err, errFailure) || errors.Is(err, errNoResult) || errors.As(err, &fault)
}

// stock gathers rows.
type stock struct {
	counts   func(site string) bool
	levels   map[string]map[string]relay.Quantity // by code and site
	sites    map[string]bool                      // seen, whether they count or not
	seen     map[string]bool                      // codes, likewise
	bad      map[string]string                    // what is wrong, by code
	nameless int                                  // rows without a UPC
	batch    map[itemKey]int                      // which a row was in
	moved    bool                                 // a row was in two batches
	gone     []string
	partial  bool
}

// itemKey is what one row of stock is about.
type itemKey struct{ warehouse, sku, style, color, size, upc string }

func newStock(counts func(string) bool) stock {
	return stock{
		counts: counts, levels: make(map[string]map[string]relay.Quantity), sites: make(map[string]bool),
		seen: make(map[string]bool), bad: make(map[string]string), batch: make(map[itemKey]int),
	}
}

// addRow adds a row of a batch.
func (s *stock) addRow(batch int, row itemXML) {
	key := itemKey{canonical(row.Warehouse), row.SKU, row.Style, row.Color, row.Size, row.UPC}
	if before, again := s.batch[key]; again && before != batch {
		s.moved = true
	}
	s.batch[key] = batch
	s.add(row)
}

func (s *stock) add(row itemXML) {
	code, site := strings.TrimSpace(row.UPC), canonical(row.Warehouse)
	if code == "" {
		s.nameless++
		return
	}
	s.seen[code], s.sites[site] = true, true
	if !s.counts(site) {
		return
	}
	actual, err := relay.ParseQuantity(cmp.Or(strings.TrimSpace(row.Actual), "0"))
	pending, err2 := relay.ParseQuantity(cmp.Or(strings.TrimSpace(row.Pending), "0"))
	if err != nil || err2 != nil || site == "" {
		s.bad[code] = "want a warehouse and whole numbers as ActualQuantity and PendingQuantity"
		return
	}
	if s.levels[code] == nil {
		s.levels[code] = make(map[string]relay.Quantity)
	}
	// Each product comes once a warehouse; of two rows, which rows that move make
	// of one, the smaller sells nothing that is not there.
	if have, twice := s.levels[code][site]; !twice || actual-pending < have {
		s.levels[code][site] = actual - pending
	}
}

// lacking are the codes that lack a site which counts and others have.
func (s *stock) lacking() []string {
	wanted := 0
	for site := range s.sites {
		if s.counts(site) {
			wanted++
		}
	}
	var out []string
	for code := range s.seen {
		if len(s.levels[code]) < wanted && s.bad[code] == "" {
			out = append(out, code)
		}
	}
	slices.Sort(out)
	return out
}

// unseen are those of the codes that did not come.
func (s *stock) unseen(known map[string]struct{}) []string {
	var out []string
	for code := range known {
		if !s.seen[code] {
			out = append(out, code)
		}
	}
	slices.Sort(out)
	return out
}

// reading is what was gathered, without the codes of which a figure can't be read.
func (s *stock) reading(began time.Time) *reading {
	r := &reading{began: began, levels: s.levels, gone: s.gone, partial: s.partial || len(s.bad) > 0}
	for _, code := range slices.Sorted(maps.Keys(s.bad)) {
		delete(s.levels, code)
		if len(r.unread) < maxProblems {
			r.unread = append(r.unread, connectors.Unread{Subject: code, Message: s.bad[code]})
		}
	}
	if s.nameless > 0 {
		r.unread = append(r.unread, connectors.Unread{Subject: "items without a UPC",
			Message: fmt.Sprintf("%d rows of stock have no UPC, and no order can name them: have Bergen add it", s.nameless)})
	}
	r.codes = slices.Sorted(maps.Keys(s.levels))
	return r
}
