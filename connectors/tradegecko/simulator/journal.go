package simulator

import (
	"encoding/json"
	"errors"
	"fmt"

	"orderferry/connectors/simkit"
)

// entry is one line of the journal: the objects that a change left, each its kind
// and its JSON; a kind with a leading "-" means that the object was removed. The
// last state of an object wins. Objects are encoded while their books are locked,
// since commit flushes the journal before it lets go of them.
type entry struct {
	Account string   `json:"a"`
	Objects [][2]any `json:"o"` // when read, a string and a json.RawMessage
}

func entryOf(b *books, objects ...touched) entry {
	e := entry{Account: b.account.Name, Objects: make([][2]any, len(objects))}
	for i, t := range objects {
		object := t.object
		if v, ok := object.(*variant); ok && t.kind == "stock" {
			object = v.stockRecord()
		}
		e.Objects[i] = [2]any{t.kind, object}
	}
	return e
}

// UnmarshalJSON leaves the objects as JSON.
func (e *entry) UnmarshalJSON(line []byte) error {
	var read struct {
		Account string               `json:"a"`
		Objects [][2]json.RawMessage `json:"o"`
	}
	if err := json.Unmarshal(line, &read); err != nil {
		return err
	}
	e.Account = read.Account
	for _, o := range read.Objects {
		var k string
		if err := json.Unmarshal(o[0], &k); err != nil {
			return err
		}
		e.Objects = append(e.Objects, [2]any{k, o[1]})
	}
	return nil
}

func (v *variant) stockRecord() stockRecord {
	r := stockRecord{ID: v.ID, At: v.UpdatedAt, OnHand: make(map[int64]amount, len(v.shelves)), Average: v.MovingAverageCost}
	for at, s := range v.shelves {
		r.OnHand[at] = s.onHand
	}
	return r
}

// compositionRecord keeps the components of a bundle.
type compositionRecord struct {
	ID         int64       `json:"id"`
	Components []component `json:"components"`
}

// openJournal reads the file at path into the accounts' books.
func (s *Simulator) openJournal(path string) (err error) {
	s.journal, err = simkit.OpenJournal(path, nil, s.replay, func(write func(entry) error) error {
		for _, b := range s.books {
			b.link()
		}
		return s.snapshot(write)
	})
	return err
}

func (s *Simulator) replay(e entry) error {
	b := s.byName[e.Account]
	if b == nil {
		return fmt.Errorf("account %q is not configured", e.Account)
	}
	for _, o := range e.Objects {
		k, data := o[0].(string), o[1].(json.RawMessage)
		if err := b.load(k, data); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

// load takes one object from the journal.
func (b *books) load(k string, data []byte) error {
	switch k {
	case string(kindOrder):
		return load(b, b.orders, &order{}, data)
	case string(kindLine):
		return load(b, b.lines, &line{}, data)
	case string(kindAddress):
		return load(b, b.addresses, &address{}, data)
	case string(kindCompany):
		return load(b, b.companies, &company{}, data)
	case string(kindContact):
		return load(b, b.contacts, &contact{}, data)
	case string(kindProduct):
		return load(b, b.products, &product{}, data)
	case string(kindVariant):
		return b.loadVariant(data)
	case string(kindLocation):
		return load(b, b.locations, &location{}, data)
	case string(kindFulfillment):
		return load(b, b.fulfillments, &fulfillment{}, data)
	case string(kindFulfilledLine):
		return load(b, b.fulfilledLines, &fulfilledLine{}, data)
	case string(kindAdjustment):
		return load(b, b.adjustments, &adjustment{}, data)
	case string(kindAdjustmentLine):
		return load(b, b.adjustmentLines, &adjustmentLine{}, data)
	case string(kindWebhook):
		return load(b, b.webhooks, &webhook{}, data)
	case "-" + string(kindLine):
		return unload(b, b.lines, data)
	case "-" + string(kindFulfilledLine):
		return unload(b, b.fulfilledLines, data)
	case "-" + string(kindWebhook):
		return unload(b, b.webhooks, data)
	case string(kindAccount):
		err := json.Unmarshal(data, &b.record)
		b.sim.reserve(kindAccount, b.record.ID)
		return err
	case "ids":
		var ids map[kind]int64
		err := json.Unmarshal(data, &ids)
		for k, id := range ids {
			b.sim.reserve(k, id)
		}
		return err
	case "grant":
		b.grant = grant{}
		return json.Unmarshal(data, &b.grant)
	case "key":
		var seen seenKey
		if err := json.Unmarshal(data, &seen); err != nil {
			return err
		}
		b.remember(seen)
		return nil
	case "stock":
		return b.loadStock(data)
	case "composition":
		var c compositionRecord
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		if v := b.variants.byID[c.ID]; v != nil {
			v.components = c.Components
		}
		return nil
	}
	return errors.New("unknown kind")
}

func load[R row](b *books, t *table[R], r R, data []byte) error {
	if err := json.Unmarshal(data, r); err != nil {
		return err
	}
	b.sim.reserve(t.kind, r.rowID())
	t.put(r)
	return nil
}

func unload[R row](b *books, t *table[R], data []byte) error {
	var gone base
	if err := json.Unmarshal(data, &gone); err != nil {
		return err
	}
	b.sim.reserve(t.kind, gone.ID)
	t.drop(gone.ID)
	return nil
}

// loadVariant keeps the stock and components that other records brought.
func (b *books) loadVariant(data []byte) error {
	v := &variant{}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if old := b.variants.byID[v.ID]; old != nil {
		v.shelves, v.components = old.shelves, old.components
	}
	b.sim.reserve(kindVariant, v.ID)
	b.variants.put(v)
	return nil
}

func (b *books) loadStock(data []byte) error {
	var r stockRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	v := b.variants.byID[r.ID]
	if v == nil {
		return fmt.Errorf("of unknown variant %d", r.ID)
	}
	v.UpdatedAt, v.MovingAverageCost = r.At, r.Average
	for at, n := range r.OnHand {
		v.shelf(at).onHand = n
	}
	return nil
}

// link makes all links, indexes and sums again after a load.
func (b *books) link() {
	for _, v := range b.variants.list {
		b.indexSKU(v, nil)
	}
	for _, c := range b.companies.list {
		c.AddressIDs, c.ContactIDs = []int64{}, []int64{}
		if b.companiesByName[c.Name] == nil {
			b.companiesByName[c.Name] = c
		}
	}
	for _, a := range b.addresses.list {
		if c := b.companies.byID[a.CompanyID]; c != nil {
			c.AddressIDs = append(c.AddressIDs, a.ID)
		}
	}
	for _, p := range b.contacts.list {
		if c := b.companies.byID[p.CompanyID]; c != nil {
			c.ContactIDs = append(c.ContactIDs, p.ID)
		}
	}
	for _, l := range b.lines.list {
		if o := b.orders.byID[l.OrderID]; o != nil {
			o.lines = append(o.lines, l)
		}
	}
	for _, fl := range b.fulfilledLines.list {
		if f := b.fulfillments.byID[fl.FulfillmentID]; f != nil {
			f.lines = append(f.lines, fl)
		}
	}
	for _, f := range b.fulfillments.list {
		if o := b.orders.byID[f.OrderID]; o != nil {
			o.fulfillments = append(o.fulfillments, f)
		}
	}
	for _, l := range b.adjustmentLines.list {
		if a := b.adjustments.byID[l.StockAdjustmentID]; a != nil {
			a.lines = append(a.lines, l)
		}
	}
	for _, o := range b.orders.list {
		o.sortLines()
		b.ordersByNumber[o.OrderNumber] = append(b.ordersByNumber[o.OrderNumber], o)
		o.sum()
		b.commitStock(o)
		b.file(o)
	}
}

// snapshot writes every object once.
func (s *Simulator) snapshot(write func(entry) error) error {
	for _, b := range s.books {
		if b.record.ID == 0 {
			continue // nothing happened in this account yet
		}
		err := b.each(func(k string, object any) error { return write(entryOf(b, touched{k, object})) })
		if err != nil {
			return err
		}
	}
	return nil
}

// each calls write with every object of the books, parents first.
func (b *books) each(write func(string, any) error) error {
	ids := map[kind]int64{}
	for k, n := range b.sim.sequences {
		ids[k] = n.Load()
	}
	err := errors.Join(write(string(kindAccount), b.record), write("ids", ids), write("grant", b.grant))
	for _, v := range b.variants.list {
		err = errors.Join(err, write(string(kindVariant), v), write("stock", v))
		if len(v.components) > 0 {
			err = errors.Join(err, write("composition", compositionRecord{v.ID, v.components}))
		}
	}
	for _, key := range b.seenOrder {
		err = errors.Join(err, write("key", b.seen[key]))
	}
	return errors.Join(err,
		eachRow(b.locations, write), eachRow(b.companies, write), eachRow(b.addresses, write), eachRow(b.contacts, write),
		eachRow(b.products, write), eachRow(b.orders, write), eachRow(b.lines, write), eachRow(b.fulfillments, write),
		eachRow(b.fulfilledLines, write), eachRow(b.adjustments, write), eachRow(b.adjustmentLines, write), eachRow(b.webhooks, write))
}

func eachRow[R row](t *table[R], write func(string, any) error) error {
	for _, r := range t.list {
		if err := write(string(t.kind), r); err != nil {
			return err
		}
	}
	return nil
}
