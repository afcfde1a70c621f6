package csv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"orderferry/connectors"
	"orderferry/relay"
)

const opPullInventory = "pull inventory"

// stock is the inventory of a warehouse that tells it by files.
type stock struct {
	inbox   *inbox
	meaning connectors.StockMeaning
}

// PullInventory reads the newest snapshot, or the files of changes, as the profile
// says. A reading is of one snapshot, or of all changes that wait, of which a later
// file goes before an earlier one. A snapshot leaves codes out that it does not
// name: they are unknown, or 0 where the profile says so and the snapshot before
// named them. Without a new file nothing has changed.
func (s *stock) PullInventory(ctx context.Context, q connectors.InventoryQuery) (connectors.InventoryPage, error) {
	out := connectors.InventoryPage{Meaning: s.meaning}
	take := func(l *layout, f fileRef, g group) []entry {
		before := f.put() // of the snapshot before this one, which does not name it any more
		g.torn = g.torn && !before
		levels, bad := l.levels(g)
		if before {
			for i := range levels {
				levels[i].Quantity = 0
			}
			bad = nil // it was reported then
		}
		out.Levels = append(out.Levels, levels...)
		return bad
	}
	p, err := s.inbox.visit(ctx, opPullInventory, q.Cursor, q.Limit, taker{take: take}, (*visit).snapshot)
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	out.Cursor, out.More, out.Unread, out.Partial, out.Changes = p.cursor, p.more, p.unread, p.bad, p.nothing || p.stands
	return out, nil
}

// levels reads the rows of one code: a level a site.
func (l *layout) levels(g group) (levels []relay.InventoryLevel, bad []entry) {
	type told struct {
		quantity relay.Quantity
		file     int
	}
	bySite := make(map[string]told)
	for _, e := range g.rows {
		q, err := l.parseQuantity(e.values["quantity"])
		if err != nil && !e.fails("quantity") {
			e.fault("quantity", err.Error())
		}
		site := e.values["site"]
		before, twice := bySite[site]
		if twice && before.file == e.file && before.quantity != q && len(e.faults) == 0 {
			e.fault("sku", fmt.Sprintf("%s is told twice, as %s and as %s", clip(g.key, 40), before.quantity, q))
		}
		if len(e.faults) > 0 {
			bad = append(bad, e)
			continue
		}
		bySite[site] = told{q, e.file}
	}
	if g.torn && len(bySite) > 0 {
		bad = append(bad, g.left("the level of "+clip(g.key, 40)))
	}
	if len(bad) > 0 {
		return nil, bad // half of what is known of a code is no level
	}
	for site, t := range bySite {
		levels = append(levels, relay.InventoryLevel{Code: relay.ItemCode(g.key), Site: site, Quantity: t.quantity})
	}
	relay.SortLevels(levels)
	return levels, nil
}

// snapshot reads on in a reading of stock, or begins one. What else waits when it
// ends is of the next one.
func (v *visit) snapshot() error {
	waiting, err := v.settled()
	if err != nil {
		return err
	}
	for len(v.cur.Reading) == 0 && len(waiting) > 0 {
		if waiting, err = v.choose(waiting); err != nil {
			return err
		}
	}
	if len(v.cur.Reading) > 0 {
		v.page.stands = v.cur.Stands
		if err := v.goOn(); err != nil {
			return err
		}
	}
	v.page.more = len(v.cur.Reading) > 0
	return nil
}

// choose begins to read the newest snapshot, or all changes, of the files that
// wait, and returns what it left.
func (v *visit) choose(waiting []file) ([]file, error) {
	newest := waiting[len(waiting)-1]
	l := v.in.layoutOf(newest.name)
	v.cur.Stands = l.changes
	if l.changes {
		n, size := 0, int64(0)
		for n < min(len(waiting), maxBatch) && (n == 0 || size+waiting[n].size <= batchBytes) {
			size += waiting[n].size
			n++
		}
		return waiting[n:], v.begin(waiting[:n], nil)
	}
	older := waiting[:len(waiting)-1]
	if newest.changed.UnixNano() < v.cur.Newest { // files out of order: the stock is newer than this
		v.cur.Done = append(v.cur.Done, doneFile{fileRef: refOf(newest)})
		return older, nil
	}
	base, err := v.base(l)
	if err != nil {
		return nil, err
	}
	if err := v.begin([]file{newest}, base); err != nil {
		return nil, err
	}
	if len(v.cur.Reading) > 0 || slices.ContainsFunc(v.cur.Done, func(d doneFile) bool { return d.Name == newest.name && len(d.Bad) == 0 }) {
		v.cur.Newest = newest.changed.UnixNano() // also where it says nothing new: what is older says less
	}
	return older, nil // it can't be read, or somebody took it away
}

// base finds the snapshot before, where what is missing now is 0. Where it is not
// to be had, nothing follows from what is missing.
func (v *visit) base(l *layout) (*fileRef, error) {
	if !l.missingZero || v.cur.Last == "" {
		return nil, nil
	}
	f, err := v.fs.stat(v.in.at(v.cur.Last))
	if errors.Is(err, fs.ErrNotExist) {
		v.cur.Stands = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ref := refOf(f)
	ref.Name = v.cur.Last
	return &ref, nil
}
