package simulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// journal is the file of changes: one JSON line a change, holding the changed
// objects; the last state of an object wins. It is written before a request is
// answered and not synced, so it survives a kill of the process, not of the machine.
type journal struct {
	mu   sync.Mutex
	file *os.File // nil: memory only
	size int64    // of the file, in whole lines
	buf  bytes.Buffer
}

// entry is one line of the journal. An object is its kind and its JSON; a kind
// with a leading "-" means that the object was removed.
type entry struct {
	Account string               `json:"a"`
	Objects [][2]json.RawMessage `json:"o"`
}

// append writes one change.
func (j *journal) append(account string, objects []touched) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	j.buf.Reset()
	if err := encodeEntry(&j.buf, account, objects); err != nil {
		return err
	}
	n, err := j.file.Write(j.buf.Bytes())
	if err != nil {
		// Take a torn line out again, or what follows could not be read.
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(n)
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

func encodeEntry(buf *bytes.Buffer, account string, objects []touched) error {
	enc := json.NewEncoder(buf)
	value := func(v any) error {
		err := enc.Encode(v)
		buf.Truncate(buf.Len() - 1) // the encoder's newline
		return err
	}
	buf.WriteString(`{"a":`)
	if err := value(account); err != nil {
		return err
	}
	buf.WriteString(`,"o":[`)
	for i, t := range objects {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.WriteString(`["` + t.kind + `",`)
		object := t.object
		if v, ok := object.(*variant); ok && t.kind == "stock" {
			object = v.stockRecord()
		}
		if err := value(object); err != nil {
			return fmt.Errorf("encode %s: %w", t.kind, err)
		}
		buf.WriteByte(']')
	}
	buf.WriteString("]}\n")
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

// openJournal reads the file at path into the accounts' books, rewrites it
// without what was overtaken, and leaves it open for appending. A last line
// without its newline was never answered for and is dropped.
func (s *Simulator) openJournal(path string) error {
	if path == "" {
		return nil
	}
	old, err := os.Open(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		err = s.replay(old)
		if err = errors.Join(err, old.Close()); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	for _, b := range s.books {
		b.link()
	}
	next, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err = s.snapshot(next); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return errors.Join(err, next.Close())
	}
	info, err := next.Stat()
	if err != nil {
		return errors.Join(err, next.Close())
	}
	s.journal.file, s.journal.size = next, info.Size()
	return nil
}

func (s *Simulator) replay(r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a torn line, or nothing
		}
		if err != nil {
			return err
		}
		if err := s.replayLine(text); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func (s *Simulator) replayLine(text []byte) error {
	var e entry
	if err := json.Unmarshal(text, &e); err != nil {
		return err
	}
	b := s.byName[e.Account]
	if b == nil {
		return fmt.Errorf("account %q is not configured", e.Account)
	}
	for _, o := range e.Objects {
		var k string
		if err := json.Unmarshal(o[0], &k); err != nil {
			return err
		}
		if err := b.load(k, o[1]); err != nil {
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
func (s *Simulator) snapshot(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	var buf bytes.Buffer
	for _, b := range s.books {
		write := func(k string, object any) error {
			buf.Reset()
			if err := encodeEntry(&buf, b.account.Name, []touched{{k, object}}); err != nil {
				return err
			}
			_, err := out.Write(buf.Bytes())
			return err
		}
		if b.record.ID == 0 {
			continue // nothing happened in this account yet
		}
		if err := b.each(write); err != nil {
			return err
		}
	}
	return out.Flush()
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
