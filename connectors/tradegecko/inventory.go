package tradegecko

import (
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
	maxSKUQuery     = 4000 // bytes of SKUs in one request's target
)

// PushInventory brings the location's physical stock to Available + Owed: the
// cart itself subtracts what its open orders have committed. Levels can't be
// set, so it posts the difference as a stock adjustment
// (wire/tradegecko.md section 11.5). Kits and variants whose stock is not
// managed are left alone: their Before and After are the same.
//
// A shipment that the cart books between the read and the adjustment makes the
// difference stale; the vendor has no lock. After is what was read afterwards.
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
	c        *connection
	push     connectors.InventoryPush
	location int64
	out      []connectors.LevelOutcome
	settled  []bool
}

// change is one line of an adjustment.
type change struct {
	target  int // index of the target
	variant variant
	before  relay.Quantity
	want    relay.Quantity
}

func (s *stockPush) run(ctx context.Context) (err error) {
	if len(s.push.Targets) == 0 {
		return nil
	}
	if s.location, err = s.c.stockLocation(ctx); err != nil {
		return err
	}
	bySKU, err := s.c.variantsBySKU(ctx, s.push.Targets)
	if err != nil {
		return err
	}
	// Chunks are cut from the targets, not from the changes, so that a retry,
	// with some levels right by then, cuts them alike and repeats their keys.
	for from := 0; from < len(s.push.Targets); from += adjustmentLines {
		key := s.push.Key
		if len(s.push.Targets) > adjustmentLines {
			key = fmt.Sprintf("%s:%d", key, from/adjustmentLines+1)
		}
		changes := s.changes(from, min(from+adjustmentLines, len(s.push.Targets)), bySKU)
		if err := s.adjust(ctx, key, changes); err != nil {
			return err
		}
	}
	return nil
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
	if d.Account == nil || d.Account.PrimaryLocationID <= 0 {
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

// changes settles the targets that need no adjustment and returns the others.
func (s *stockPush) changes(from, to int, bySKU map[relay.SKU][]variant) []change {
	var out []change
	for i := from; i < to; i++ {
		t := s.push.Targets[i]
		v, err := pick(s.push.Targets[:i], t.SKU, bySKU)
		if err != nil {
			s.settle(i, connectors.LevelOutcome{Err: err})
			continue
		}
		level, err := v.onHand(s.location)
		if err != nil {
			s.settle(i, connectors.LevelOutcome{Err: err})
			continue
		}
		want := t.Available + t.Owed
		if level == want || !v.ManageStock.or(true) || v.Composite.or(false) {
			s.settle(i, connectors.LevelOutcome{Before: level, After: level})
			continue
		}
		out = append(out, change{target: i, variant: v, before: level, want: want})
	}
	return out
}

// pick returns the one variant of a SKU. It refuses to guess between several,
// and a SKU that an earlier target named already.
func pick(earlier []connectors.StockTarget, given relay.SKU, bySKU map[relay.SKU][]variant) (variant, error) {
	sku := trimmed(given)
	refuse := func(kind relay.ErrorKind, message string) (variant, error) {
		return variant{}, &relay.Error{Op: opPushInventory, Kind: kind, Fields: []relay.Problem{{
			Field: "sku", Value: string(sku), Message: message,
		}}}
	}
	if sku == "" {
		return refuse(relay.Invalid, "a level needs a SKU")
	}
	for _, t := range earlier {
		if trimmed(t.SKU) == sku {
			return refuse(relay.Invalid, "the push names this SKU twice")
		}
	}
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
func (s *stockPush) adjust(ctx context.Context, key string, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	_, _, err := s.c.api.do(ctx, request{
		op: "create stock adjustment", method: http.MethodPost, path: "/stock_adjustments",
		key: key + ":adjust", body: adjustmentBody{Adjustment: s.adjustment(key, changes)},
	})
	var e *relay.Error
	switch {
	case err == nil:
		return s.verify(ctx, changes, nil)
	case inDoubt(err):
		return s.verify(ctx, changes, s.lookForAdjustment(ctx, key, err))
	case errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity && len(changes) > 1:
		half := len(changes) / 2
		if err := s.adjust(ctx, key+":a", changes[:half]); err != nil {
			return err
		}
		return s.adjust(ctx, key+":b", changes[half:])
	}
	for _, ch := range changes {
		s.settle(ch.target, connectors.LevelOutcome{Before: ch.before, After: ch.before, Err: err})
	}
	if stopsAll(err) {
		return err
	}
	return nil
}

func (s *stockPush) adjustment(key string, changes []change) adjustmentWrite {
	w := adjustmentWrite{Reason: s.c.reason, Notes: mark(key), LocationID: s.location}
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
func (s *stockPush) lookForAdjustment(ctx context.Context, key string, cause error) error {
	query := url.Values{"stock_location_id": {id(s.location).String()}, "order": {"created_at desc"}}
	rows, _, err := listPage(ctx, s.c.api, request{op: opPushInventory, path: "/stock_adjustments", query: query}, 1, s.c.api.pageSize,
		func(d *document) []adjustment { return d.Adjustments })
	if err == nil {
		for _, a := range rows {
			if hasMark(string(a.Notes), key) {
				return nil
			}
		}
	}
	return cause
}

// verify reads the levels again and settles the changes. With a doubt, those
// whose level is not what was wanted stay unknown: the difference is never
// posted a second time on a guess.
func (s *stockPush) verify(ctx context.Context, changes []change, doubtful error) error {
	keys := make([]id, len(changes))
	for i, ch := range changes {
		keys[i] = ch.variant.ID
	}
	now, err := byID(ctx, s.c.api, opPushInventory, "/variants", keys, pickVariants)
	for _, ch := range changes {
		o := connectors.LevelOutcome{Before: ch.before, After: ch.want}
		level, known := ch.before, false
		if v, ok := now[ch.variant.ID]; err == nil && ok {
			l, levelErr := v.onHand(s.location)
			level, known = l, levelErr == nil
		}
		switch {
		case known:
			o.After = level
			if doubtful != nil && level != ch.want {
				o.Err = doubt(opPushInventory, doubtful)
			}
		case doubtful != nil:
			o.After, o.Err = ch.before, doubt(opPushInventory, doubtful)
		}
		s.settle(ch.target, o)
	}
	return nil
}

func trimmed(s relay.SKU) relay.SKU { return relay.SKU(strings.TrimSpace(string(s))) }
