package simulator

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// table holds the rows of one kind, by id and in ascending order of id.
type table[R row] struct {
	kind kind
	byID map[int64]R
	list []R
}

func newTable[R row](k kind) *table[R] { return &table[R]{kind: k, byID: map[int64]R{}} }

// put adds a row or replaces the one with its id.
func (t *table[R]) put(r R) {
	id := r.rowID()
	_, known := t.byID[id]
	t.byID[id] = r
	if !known && (len(t.list) == 0 || t.list[len(t.list)-1].rowID() < id) {
		t.list = append(t.list, r)
		return
	}
	i, found := slices.BinarySearchFunc(t.list, id, func(r R, id int64) int { return cmp.Compare(r.rowID(), id) })
	if found {
		t.list[i] = r
	} else {
		t.list = slices.Insert(t.list, i, r)
	}
}

func (t *table[R]) drop(id int64) {
	delete(t.byID, id)
	if i, found := slices.BinarySearchFunc(t.list, id, func(r R, id int64) int { return cmp.Compare(r.rowID(), id) }); found {
		t.list = slices.Delete(t.list, i, i+1)
	}
}

// get finds a row, or returns the vendor's 404.
func (t *table[R]) get(id int64) (R, error) {
	r, ok := t.byID[id]
	if !ok {
		return r, notFound(t.kind, strconv.FormatInt(id, 10))
	}
	return r, nil
}

// books are all that one account holds. Everything below mu is guarded by it.
type books struct {
	sim     *Simulator
	account Account
	record  accountRecord

	mu              sync.RWMutex
	permissions     map[string]bool
	orders          *table[*order]
	lines           *table[*line]
	addresses       *table[*address]
	companies       *table[*company]
	contacts        *table[*contact]
	products        *table[*product]
	variants        *table[*variant]
	locations       *table[*location]
	fulfillments    *table[*fulfillment]
	fulfilledLines  *table[*fulfilledLine]
	adjustments     *table[*adjustment]
	adjustmentLines *table[*adjustmentLine]
	webhooks        *table[*webhook]

	timelines       [len(orderStatuses)][len(fulfillmentStatuses)]timeline
	ordersByNumber  map[string][]*order
	variantsBySKU   map[string][]*variant
	companiesByName map[string]*company
	grant           grant
	seen            map[string]seenKey
	seenOrder       []string // keys, oldest first

	rate rateWindow
}

func newBooks(s *Simulator, a Account) *books {
	b := &books{
		sim: s, account: a, permissions: map[string]bool{},
		orders: newTable[*order](kindOrder), lines: newTable[*line](kindLine), addresses: newTable[*address](kindAddress),
		companies: newTable[*company](kindCompany), contacts: newTable[*contact](kindContact),
		products: newTable[*product](kindProduct), variants: newTable[*variant](kindVariant),
		locations: newTable[*location](kindLocation), fulfillments: newTable[*fulfillment](kindFulfillment),
		fulfilledLines: newTable[*fulfilledLine](kindFulfilledLine), adjustments: newTable[*adjustment](kindAdjustment),
		adjustmentLines: newTable[*adjustmentLine](kindAdjustmentLine), webhooks: newTable[*webhook](kindWebhook),
		ordersByNumber: map[string][]*order{}, variantsBySKU: map[string][]*variant{}, companiesByName: map[string]*company{},
		grant: grant{Refresh: a.RefreshToken, Access: map[string]stamp{}}, seen: map[string]seenKey{},
	}
	for _, p := range a.Permissions {
		b.permissions[p] = true
	}
	return b
}

// primary is the location that is used where none is named.
func (b *books) primary() int64 {
	if len(b.locations.list) == 0 {
		return 0
	}
	return b.locations.list[0].ID
}

// change is one mutation. What it touches is settled, journalled as one line
// and told to webhooks by commit; until then nobody else sees the books.
type change struct {
	*books
	behaviour Behaviour
	now       stamp
	touched   []touched
	unsettled []*order
	events    []event
}

// touched is a changed object for the journal.
type touched struct {
	kind   string
	object any
}

// event is something a webhook may be registered for.
type event struct {
	name     string
	kind     kind
	id       int64
	orderID  int64
	resource string
}

// change runs f on the books and commits what it touched. f validates before it
// mutates, so that an error leaves no trace.
func (b *books) change(f func(*change) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.begin()
	if err := f(c); err != nil {
		return err
	}
	return c.commit()
}

// begin starts a change; the caller holds the lock.
func (b *books) begin() *change {
	behaviour := b.sim.behaviour()
	unit := time.Millisecond
	if behaviour.EqualStamps {
		unit = time.Second
	}
	return &change{books: b, behaviour: behaviour, now: stampOf(b.sim.cfg.Clock().Truncate(unit))}
}

// settleAll works out what follows for every touched order.
func (c *change) settleAll() {
	for _, o := range c.unsettled {
		c.settle(o)
	}
	c.unsettled = nil
}

func (c *change) commit() error {
	c.settleAll()
	if len(c.touched) == 0 {
		return nil
	}
	c.sim.journal.Add(entryOf(c.books, c.touched...))
	if err := c.sim.journal.Flush(); err != nil {
		return err
	}
	c.sim.stats.mutations.Add(1)
	for _, e := range c.events {
		c.sim.sender.tell(c.books, e)
	}
	return nil
}

// touch marks an object as changed.
func (c *change) touch(k string, object any) {
	for _, t := range c.touched {
		if t.object == object && t.kind == k {
			return
		}
	}
	c.touched = append(c.touched, touched{k, object})
}

// fresh deals the base of a new row.
func (c *change) fresh(k kind) base {
	return base{ID: c.sim.next(k), CreatedAt: c.now, UpdatedAt: c.now}
}

// add files a new row and touches it.
func add[R row](c *change, t *table[R], r R) R {
	t.put(r)
	c.touch(string(t.kind), r)
	return r
}

func (c *change) tell(name string, k kind, id, orderID int64) {
	c.events = append(c.events, event{name: name, kind: k, id: id, orderID: orderID, resource: resourcePath(k)})
}

// touchOrder has an order settled and journalled; bump moves its updated_at.
func (c *change) touchOrder(o *order, bump bool) {
	if bump {
		o.UpdatedAt = c.now
	}
	c.touch(string(kindOrder), o)
	if !slices.Contains(c.unsettled, o) {
		c.unsettled = append(c.unsettled, o)
	}
}

// settle works out all that follows from an order's status, lines and
// fulfillments, and files it where the indexes find it.
func (c *change) settle(o *order) {
	before := o.Status
	o.sum()
	switch {
	case o.Status == statusFinalized && o.FulfillmentStatus == "shipped":
		o.Status = statusFulfilled
	case o.Status == statusFulfilled && o.FulfillmentStatus != "shipped":
		o.Status = statusFinalized
	}
	if o.Status != before {
		o.UpdatedAt = c.now
		if o.Status == statusFulfilled {
			c.tell("order.fulfilled", kindOrder, o.ID, 0)
		}
	}
	c.commitStock(o)
	c.file(o)
}

// sum derives the order's lists, statuses and total (wire/tradegecko.md section 9.1).
func (o *order) sum() {
	o.FulfillmentIDs = o.FulfillmentIDs[:0]
	o.TrackingNumber = nil
	o.LineIDs = o.LineIDs[:0]
	for _, l := range o.lines {
		o.LineIDs = append(o.LineIDs, l.ID)
		l.packed, l.fulfilled, l.FulfilledLineIDs = 0, 0, l.FulfilledLineIDs[:0]
	}
	for _, f := range o.fulfillments {
		if !f.live() {
			continue
		}
		o.FulfillmentIDs = append(o.FulfillmentIDs, f.ID)
		if f.TrackingNumber != nil {
			o.TrackingNumber = f.TrackingNumber
		}
		for _, fl := range f.lines {
			l := o.line(fl.OrderLineID)
			if l == nil {
				continue
			}
			l.FulfilledLineIDs = append(l.FulfilledLineIDs, fl.ID)
			l.packed += fl.Quantity
			if f.Status == statusFulfilled {
				l.fulfilled += fl.Quantity
			}
		}
	}
	var total, ordered, packed, shipped amount
	for _, l := range o.lines {
		total += l.value()
		if l.ships() {
			ordered += l.Quantity
			packed += min(l.packed, l.Quantity)
			shipped += min(l.fulfilled, l.Quantity)
		}
	}
	o.PackedStatus = packedStatuses[progress(packed, ordered)]
	o.FulfillmentStatus = fulfillmentStatuses[progress(shipped, ordered)]
	o.ShippabilityStatus = "shippable"
	o.Total = any(total)
	if len(o.lines) == 0 {
		o.Total = 0
	}
	o.CachedTotal, o.DueAt, o.TaxType = o.Total, o.ShipAt, o.TaxTreatment
	o.DefaultPriceTypeID, o.URL = o.DefaultPriceListID, o.SourceURL
}

func progress(done, whole amount) int {
	switch {
	case done <= 0:
		return 0
	case done < whole:
		return 1
	}
	return 2
}

func (o *order) line(id int64) *line {
	for _, l := range o.lines {
		if l.ID == id {
			return l
		}
	}
	return nil
}

// file puts the order where its statuses and stamp belong.
func (b *books) file(o *order) {
	status := slices.Index(orderStatuses[:], o.Status)
	shipped := slices.Index(fulfillmentStatuses[:], o.FulfillmentStatus)
	if o.filed != nil {
		o.filed.remove(o)
	}
	o.filed, o.filedAt = &b.timelines[status][shipped], o.UpdatedAt
	o.filed.insert(o)
}

// commitStock gives back what the order held and sets aside what it needs now.
func (b *books) commitStock(o *order) {
	for _, h := range o.commitments {
		h.variant.shelf(h.location).committed -= h.quantity
	}
	o.commitments = o.commitments[:0]
	if o.Status != statusActive && o.Status != statusFinalized {
		return
	}
	at := b.primary()
	if o.StockLocationID != nil {
		at = *o.StockLocationID
	}
	for _, l := range o.lines {
		if open := l.Quantity - l.fulfilled; l.ships() && open > 0 {
			b.parts(*l.VariantID, open, func(v *variant, n amount) {
				v.shelf(at).committed += n
				o.commitments = append(o.commitments, commitment{v, at, n})
			})
		}
	}
}

// parts calls each for the stock that a quantity of a variant is made of: itself,
// or the components of a composite. Variants whose stock is not managed have none.
func (b *books) parts(variantID int64, quantity amount, each func(*variant, amount)) {
	v := b.variants.byID[variantID]
	if v == nil {
		return
	}
	if len(v.components) == 0 {
		if v.ManageStock {
			each(v, quantity)
		}
		return
	}
	for _, part := range v.components {
		if p := b.variants.byID[part.VariantID]; p != nil && p.ManageStock {
			each(p, quantity.times(part.Quantity))
		}
	}
}

func (v *variant) shelf(at int64) *shelf {
	s := v.shelves[at]
	if s == nil {
		if v.shelves == nil {
			v.shelves = map[int64]*shelf{}
		}
		s = &shelf{}
		v.shelves[at] = s
	}
	return s
}

// moveStock changes what is on hand.
func (c *change) moveStock(v *variant, at int64, by amount) {
	v.shelf(at).onHand += by
	c.touchStock(v)
}

func (c *change) touchStock(v *variant) {
	v.UpdatedAt = c.now
	known := len(c.touched)
	if c.touch("stock", v); len(c.touched) == known {
		return
	}
	c.tell("variant.stock_level_update", kindVariant, v.ID, 0)
}

// stock is the variant's stock at each location that shows it, by location id.
// A composite has as many as its scarcest component makes.
func (b *books) stock(v *variant, everywhere bool) (ids []int64, at map[int64]shelf) {
	at = map[int64]shelf{}
	for _, l := range b.locations.list {
		if len(v.components) > 0 {
			ids, at[l.ID] = append(ids, l.ID), b.bundled(v, l.ID)
			continue
		}
		s := v.shelves[l.ID]
		if s == nil && !everywhere {
			continue
		}
		ids = append(ids, l.ID)
		if s != nil {
			at[l.ID] = *s
		}
	}
	return ids, at
}

// bundled is the stock of a composite at a location, in whole bundles.
func (b *books) bundled(v *variant, location int64) shelf {
	var out shelf
	for i, part := range v.components {
		p := b.variants.byID[part.VariantID]
		if p == nil || part.Quantity <= 0 {
			continue
		}
		var s shelf
		if held := p.shelves[location]; held != nil {
			s = *held
		}
		n := s.onHand / part.Quantity * one
		if i == 0 || n < out.onHand {
			out.onHand = n
		}
	}
	return out
}

// showVariant is a copy with the numbers that follow from stock and prices.
func (b *books) showVariant(v *variant) any {
	shown := *v
	ids, at := b.stock(v, b.sim.behaviour().AllLocations)
	shown.Locations = []variantLocation{}
	shown.StockLevels, shown.CommittedStockLevels = map[string]any{}, map[string]any{}
	var hand, committed amount
	for _, id := range ids {
		s := at[id]
		hand, committed = hand+s.onHand, committed+s.committed
		place := variantLocation{LocationID: id, StockOnHand: level(s.onHand), Committed: nullLevel(s.committed),
			Available: level(s.onHand - s.committed)}
		shown.Locations = append(shown.Locations, place)
		key := strconv.FormatInt(id, 10)
		shown.StockLevels[key] = mixed(s.onHand)
		if s.committed != 0 {
			shown.CommittedStockLevels[key] = mixed(s.committed)
		}
	}
	shown.StockOnHand, shown.CommittedStock, shown.AvailableStock = level(hand), level(committed), level(hand-committed)
	shown.Prices = map[string]*amount{"buy": v.BuyPrice, "retail": v.RetailPrice, "wholesale": v.WholesalePrice}
	shown.VariantPrices = []variantPrice{{"buy", v.BuyPrice}, {"retail", v.RetailPrice}, {"wholesale", v.WholesalePrice}}
	return &shown
}

// mixed is how the deprecated maps write stock: a string, or the number 0.
func mixed(a amount) any {
	if a == 0 {
		return 0
	}
	return a
}

func (b *books) showLevel(v *variant) stockLevel {
	ids, at := b.stock(v, true)
	out := stockLevel{VariantID: v.ID, Locations: []levelLocation{}}
	for _, id := range ids {
		s := at[id]
		out.StockOnHand += level(s.onHand)
		out.CommittedStock += level(s.committed)
		out.Locations = append(out.Locations, levelLocation{LocationID: id, StockOnHand: level(s.onHand), Committed: zeroLevel(s.committed)})
	}
	out.AvailableStock = out.StockOnHand - out.CommittedStock
	return out
}

func (b *books) showProduct(p *product) any {
	shown := *p
	for _, id := range p.VariantIDs {
		if v := b.variants.byID[id]; v != nil {
			for _, s := range v.shelves {
				shown.Quantity += level(s.onHand)
			}
		}
	}
	return &shown
}
