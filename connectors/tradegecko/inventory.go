package tradegecko

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	opPushInventory = "push inventory"
	adjustmentLines = 100  // lines of one stock adjustment
	adjustments     = 3    // of one level, while something else moves it
	maxSKUQuery     = 4000 // bytes of SKUs in one request's target
)

// PushInventory brings a location's physical stock to Available + Owed: the cart
// itself subtracts what its open orders have committed. A target's location is
// the id of one of the account's; "" is the configured one or, without it, the
// account's primary one. Levels can't be set, so it posts the difference as a
// stock adjustment, one a location (wire/tradegecko.md section 11.5). Kits and
// variants whose stock is not managed are left alone: their Before and After are
// the same.
//
// What the cart books between the read and the adjustment makes the difference
// stale, and the vendor has no lock. So the levels are read afterwards, and those
// that are not what was wanted are adjusted again, twice at most; then they are
// given up as Unavailable, to be tried later. After is what was read last.
func (c *connection) PushInventory(ctx context.Context, push connectors.InventoryPush) ([]connectors.LevelOutcome, error) {
	s := stockPush{c: c, push: push, out: make([]connectors.LevelOutcome, len(push.Targets)), settled: make([]bool, len(push.Targets))}
	err := s.run(ctx)
	if err != nil {
		for i := range s.out {
			if !s.settled[i] {
				s.out[i].Err = notTried(opPushInventory, err)
			}
		}
	}
	return s.out, err
}

// stockPush is one push under way.
type stockPush struct {
	c       *connection
	push    connectors.InventoryPush
	out     []connectors.LevelOutcome
	settled []bool
}

// change is one line of an adjustment.
type change struct {
	target  int // index of the target
	variant variant
	first   relay.Quantity // before the first adjustment
	before  relay.Quantity
	want    relay.Quantity
}

// adjusting is what adjustments of one location have in common.
type adjusting struct {
	key      string
	location int64
	round    int // 1: the first
}

func (s *stockPush) run(ctx context.Context) error {
	if len(s.push.Targets) == 0 {
		return nil
	}
	locations, err := s.locations(ctx)
	if err != nil {
		return err
	}
	bySKU, err := s.c.variantsBySKU(ctx, s.push.Targets)
	if err != nil {
		return err
	}
	var order []int64 // of first appearance
	targets := make(map[int64][]int)
	for i, location := range locations {
		if s.settled[i] {
			continue
		}
		if targets[location] == nil {
			order = append(order, location)
		}
		targets[location] = append(targets[location], i)
	}
	for n, location := range order {
		// Chunks are cut from the targets, not from the changes, so that a retry,
		// with some levels right by then, cuts them alike and repeats their keys.
		all := targets[location]
		for from := 0; from < len(all); from += adjustmentLines {
			a := adjusting{key: s.push.Key, location: location, round: 1}
			if n > 0 {
				a.key = fmt.Sprintf("%s:at%d", a.key, location)
			}
			if len(all) > adjustmentLines {
				a.key = fmt.Sprintf("%s:%d", a.key, from/adjustmentLines+1)
			}
			chunk := all[from:min(from+adjustmentLines, len(all))]
			if err := s.adjust(ctx, a, s.changes(location, chunk, all[:from], bySKU)); err != nil {
				return err
			}
		}
	}
	return nil
}

// locations finds each target's location, and settles the targets whose location
// the account does not have: stock would seem to be 0 there, and be refused.
func (s *stockPush) locations(ctx context.Context) ([]int64, error) {
	out := make([]int64, len(s.push.Targets))
	var own int64
	var known map[string]int64
	for i, t := range s.push.Targets {
		var err error
		switch {
		case t.Location == "" && own == 0:
			own, err = s.c.stockLocation(ctx)
		case t.Location != "" && known == nil:
			known, err = s.c.locationIDs(ctx)
		}
		if err != nil {
			return nil, err
		}
		if out[i] = own; t.Location != "" {
			out[i] = known[t.Location]
		}
		if out[i] == 0 {
			s.settle(i, connectors.LevelOutcome{Err: &relay.Error{Op: opPushInventory, Kind: relay.Invalid, Fields: []relay.Problem{{
				Field: "location", Value: t.Location,
				Message: "want the number of one of the account's locations: " + strings.Join(slices.Sorted(maps.Keys(known)), ", "),
			}}}})
		}
	}
	return out, nil
}

func (c *connection) locationIDs(ctx context.Context) (map[string]int64, error) {
	rows, err := listAll(ctx, c.api, request{op: opPushInventory, path: "/locations", query: url.Values{"order": {"created_at asc"}}},
		func(d *document) []location { return d.Locations })
	if err != nil {
		return nil, err
	}
	ids := make(map[string]int64, len(rows))
	for _, l := range rows {
		ids[l.ID.String()] = int64(l.ID)
	}
	return ids, nil
}

// stockLocation is the configured location or the account's primary one.
func (c *connection) stockLocation(ctx context.Context) (int64, error) {
	if c.location != 0 {
		return c.location, nil
	}
	d, _, err := c.api.do(ctx, request{op: opPushInventory, path: "/accounts/current"})
	if err != nil {
		return 0, err
	}
	if d.Account == nil || d.Account.ID == 0 {
		return 0, unreadable(opPushInventory, "account")
	}
	if d.Account.PrimaryLocationID <= 0 {
		return 0, &relay.Error{Op: opPushInventory, Kind: relay.Invalid, Code: "no_location",
			Err: errors.New("the account has no primary location: set location")}
	}
	return int64(d.Account.PrimaryLocationID), nil
}

// variantsBySKU finds the variants that carry the targets' SKUs. SKUs are not
// unique, and a server may take the filter loosely or not know it: what it
// answers is compared, not believed.
func (c *connection) variantsBySKU(ctx context.Context, targets []connectors.StockTarget) (map[relay.SKU][]variant, error) {
	bySKU := make(map[relay.SKU][]variant, len(targets))
	for _, t := range targets {
		bySKU[trimmed(t.SKU)] = nil
	}
	delete(bySKU, "")
	seen := make(map[id]bool)
	for _, filter := range c.skuFilters(bySKU) {
		filter.Set("order", "created_at asc")
		rows, err := listAll(ctx, c.api, request{op: opPushInventory, path: "/variants", query: filter}, pickVariants)
		if err != nil {
			return nil, err
		}
		for _, v := range rows {
			sku := v.code(c.skuField)
			if _, asked := bySKU[sku]; asked && !seen[v.ID] && v.Status != "archived" {
				seen[v.ID] = true
				bySKU[sku] = append(bySKU[sku], v)
			}
		}
	}
	return bySKU, nil
}

// skuFilters is one filter per request. Only the SKU can be filtered by; for
// the other fields the whole catalogue is read.
func (c *connection) skuFilters(skus map[relay.SKU][]variant) []url.Values {
	if len(skus) == 0 {
		return nil
	}
	if c.skuField != "sku" {
		return []url.Values{{}}
	}
	var out []url.Values
	size := 0
	for _, sku := range slices.Sorted(maps.Keys(skus)) {
		n := len("sku%5B%5D=&") + len(url.QueryEscape(string(sku)))
		if len(out) == 0 || size+n > maxSKUQuery || len(out[len(out)-1]["sku[]"]) == maxIDs {
			out, size = append(out, url.Values{}), 0
		}
		out[len(out)-1].Add("sku[]", string(sku))
		size += n
	}
	return out
}

// changes settles the targets of a location that need no adjustment and returns
// the others. earlier are the targets of the same location in chunks before.
func (s *stockPush) changes(location int64, targets, earlier []int, bySKU map[relay.SKU][]variant) []change {
	named := make(map[relay.SKU]bool, len(earlier)+len(targets))
	for _, i := range earlier {
		named[trimmed(s.push.Targets[i].SKU)] = true
	}
	var out []change
	for _, i := range targets {
		t := s.push.Targets[i]
		v, err := pick(named, t.SKU, bySKU)
		if err != nil {
			s.settle(i, connectors.LevelOutcome{Err: err})
			continue
		}
		level, err := v.onHand(location)
		if err != nil {
			s.settle(i, connectors.LevelOutcome{Err: err})
			continue
		}
		want := t.Available + t.Owed
		composite := v.Composite.or(false)
		if level == want || !v.ManageStock.or(true) || composite {
			s.settle(i, connectors.LevelOutcome{Before: level, After: level, ByParts: composite})
			continue
		}
		out = append(out, change{target: i, variant: v, first: level, before: level, want: want})
	}
	return out
}

// pick returns the one variant of a SKU, and notes that it was named. It refuses
// to guess between several, and a SKU that was named already: the rules may name
// the connection's own location as a further one.
func pick(named map[relay.SKU]bool, given relay.SKU, bySKU map[relay.SKU][]variant) (variant, error) {
	sku := trimmed(given)
	refuse := func(kind relay.ErrorKind, message string) (variant, error) {
		return variant{}, &relay.Error{Op: opPushInventory, Kind: kind, Fields: []relay.Problem{{
			Field: "sku", Value: string(sku), Message: message,
		}}}
	}
	if sku == "" {
		return refuse(relay.Invalid, "a level needs a SKU")
	}
	if named[sku] {
		return refuse(relay.Invalid, "the push names this SKU twice at one location")
	}
	named[sku] = true
	switch found := bySKU[sku]; len(found) {
	case 0:
		return refuse(relay.NotFound, "the cart has no active variant with this SKU")
	case 1:
		return found[0], nil
	default:
		var which []string
		for _, v := range found[:min(len(found), 5)] {
			which = append(which, v.ID.String())
		}
		return refuse(relay.Conflict, "the cart has several variants with this SKU ("+strings.Join(which, ", ")+"): make it unique there")
	}
}

// onHand is the variant's physical stock at a location; none told is 0.
func (v variant) onHand(location int64) (relay.Quantity, error) {
	for _, at := range v.Locations {
		if int64(at.LocationID) != location {
			continue
		}
		n, err := at.StockOnHand.quantity()
		switch {
		case errors.Is(err, errNoNumber):
			return 0, nil
		case err != nil:
			return 0, unreadable(opPushInventory, "stock level")
		}
		return n, nil
	}
	return 0, nil
}

func (s *stockPush) settle(i int, o connectors.LevelOutcome) {
	s.out[i], s.settled[i] = o, true
}

// adjust posts the changes as one adjustment. One that is refused is cut in
// two, so that a single bad line does not keep the others from being told. The
// error is one that concerns the whole push.
func (s *stockPush) adjust(ctx context.Context, a adjusting, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	_, _, err := s.c.api.do(ctx, request{
		op: "create stock adjustment", method: http.MethodPost, path: "/stock_adjustments",
		key: a.key + ":adjust", body: adjustmentBody{Adjustment: s.adjustment(a, changes)},
	})
	var e *relay.Error
	switch {
	case err == nil:
		return s.verify(ctx, a, changes, nil)
	case inDoubt(err):
		return s.verify(ctx, a, changes, s.lookForAdjustment(ctx, a, err))
	case errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity && len(changes) > 1:
		half := len(changes) / 2
		first, second := a, a
		first.key, second.key = a.key+":a", a.key+":b"
		if err := s.adjust(ctx, first, changes[:half]); err != nil {
			return err
		}
		return s.adjust(ctx, second, changes[half:])
	}
	for _, ch := range changes {
		s.settle(ch.target, connectors.LevelOutcome{Before: ch.first, After: ch.before, Err: err})
	}
	if stopsAll(err) {
		return err
	}
	return nil
}

func (s *stockPush) adjustment(a adjusting, changes []change) adjustmentWrite {
	w := adjustmentWrite{Reason: s.c.reason, Notes: mark(a.key), LocationID: a.location}
	for _, ch := range changes {
		delta := ch.want - ch.before
		line := adjustmentLineWrite{VariantID: int64(ch.variant.ID), Quantity: delta.String()}
		if delta > 0 { // required then; otherwise the vendor takes the average cost
			line.Price = ch.variant.cost(s.c.price)
		}
		w.Lines = append(w.Lines, line)
	}
	return w
}

// cost is the unit cost to book added stock at: the first that is known and
// above 0, from the chosen one on (section 11.5).
func (v variant) cost(from string) string {
	chain := []struct {
		name string
		cost decimal
	}{{"moving_average", v.MovingAverageCost}, {"last_cost", v.LastCostPrice}, {"buy", v.BuyPrice}}
	reached := false
	for _, step := range chain {
		if reached = reached || step.name == from; reached && step.cost.positive() {
			return string(step.cost)
		}
	}
	return "0"
}

// lookForAdjustment returns nil when the adjustment is there despite the error.
func (s *stockPush) lookForAdjustment(ctx context.Context, a adjusting, cause error) error {
	query := url.Values{"stock_location_id": {id(a.location).String()}, "order": {"created_at desc"}}
	rows, _, err := listPage(ctx, s.c.api, request{op: opPushInventory, path: "/stock_adjustments", query: query}, 1, s.c.api.pageSize,
		func(d *document) []adjustment { return d.Adjustments })
	if err == nil {
		for _, found := range rows {
			if hasMark(string(found.Notes), a.key) {
				return nil
			}
		}
	}
	return cause
}

// verify reads the levels again, settles those that are what was wanted, and has
// the others adjusted once more. With a doubt, those whose level is not what was
// wanted stay unknown: the difference is never posted a second time on a guess.
func (s *stockPush) verify(ctx context.Context, a adjusting, changes []change, doubtful error) error {
	keys := make([]id, len(changes))
	for i, ch := range changes {
		keys[i] = ch.variant.ID
	}
	now, err := byID(ctx, s.c.api, opPushInventory, "/variants", keys, pickVariants)
	var moved []change
	for _, ch := range changes {
		level, known := ch.before, false
		if v, ok := now[ch.variant.ID]; err == nil && ok {
			l, levelErr := v.onHand(a.location)
			level, known = l, levelErr == nil
		}
		o := connectors.LevelOutcome{Before: ch.first, After: level}
		switch {
		case known && level == ch.want:
		case doubtful != nil:
			o.Err = doubt(opPushInventory, doubtful)
		case relay.KindOf(err) == relay.Throttled:
			o.Err = err
		case !known: // it was taken; but what was booked meanwhile would not be seen
			o.Err = doubt(opPushInventory, cmp.Or(err, errors.New("the cart does not show the level after it was adjusted")))
		case level == ch.before || a.round == adjustments:
			// As if nothing had been adjusted: the answer may be an old one, and a
			// second difference on top of the first would be wrong for good.
			o.Err = &relay.Error{Op: opPushInventory, Kind: relay.Unavailable, Code: "level_moves",
				Err: fmt.Errorf("the cart shows %s after it was adjusted to %s", level, ch.want)}
		default:
			ch.before = level
			moved = append(moved, ch)
			continue
		}
		s.settle(ch.target, o)
	}
	a.round++
	a.key = fmt.Sprintf("%s:r%d", a.key, a.round)
	return s.adjust(ctx, a, moved)
}

func trimmed(s relay.SKU) relay.SKU { return relay.SKU(strings.TrimSpace(string(s))) }
