package shop

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	files "orderferry/connectors/csv/simulator"
	"orderferry/relay"
	"orderferry/standalone/audit"
)

// A step of partners who exchange files.
const step = 300 * time.Millisecond

// partner is what shops and warehouses on files have in common.
type partner struct {
	dir  string // holds in and out
	name string // of the vendor
	stop chan struct{}
	idle sync.WaitGroup

	mu     sync.Mutex
	failed error // the first
}

// run has a partner work until it is closed.
func (p *partner) run(work func() error) {
	p.stop = make(chan struct{})
	p.idle.Go(func() {
		t := time.NewTicker(step)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if err := work(); err != nil {
					p.mu.Lock()
					if p.failed == nil {
						p.failed = fmt.Errorf("%s in %s: %w", p.name, p.dir, err)
					}
					p.mu.Unlock()
					return
				}
			case <-p.stop:
				return
			}
		}
	})
}

func (p *partner) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Close ends the work.
func (p *partner) Close() error {
	close(p.stop)
	p.idle.Wait()
	return p.err()
}

// counted names faults as the vendor does.
func counted(befell map[files.Fault]int64) map[string]int64 {
	out := make(map[string]int64, len(befell))
	for f, n := range befell {
		out[string(f)] = n
	}
	return out
}

func (p *partner) address() string { return "file://" + p.dir }

// fileVendor knows the faults of files: of any that it writes.
func fileVendor(name string) Vendor {
	v := Vendor{Name: name, Routes: []string{"*"}}
	for _, f := range files.Faults() {
		v.Faults = append(v.Faults, FaultKind{Name: string(f), Rare: true})
	}
	return v
}

func shopVendor() Vendor    { return fileVendor("csv-cart") }
func partnerVendor() Vendor { return fileVendor("csv") }

// FileShop is a shop that drops files of orders.
type FileShop struct {
	*files.Shop
	partner
}

func openFileShop(dir, books string, seed int64) (*FileShop, error) {
	s := &FileShop{partner: partner{dir: dir, name: "csv-cart"}}
	var err error
	if s.Shop, err = files.OpenShop(files.ShopConfig{Dir: dir, Books: books, Seed: uint64(seed)}); err != nil {
		return nil, err
	}
	s.run(s.Step)
	return s, nil
}

func (s *FileShop) befell() map[string]int64 { return counted(s.Befell()) }

// Connection is what merchant.yaml would say of it.
func (s *FileShop) Connection() Connection {
	return Connection{Connection: relay.Connection{
		Name: outlet, Connector: "csv-cart", BaseURL: s.address(), Mode: relay.ModeLive, Settings: map[string]string{"settle": "1s"},
	}}
}

// Vendor is a shop on files.
func (s *FileShop) Vendor() Vendor { return shopVendor() }

// Inject arms a fault.
func (s *FileShop) Inject(f Fault) error {
	s.Shop.Inject(files.Fault(f.Kind), max(f.Count, 1))
	return nil
}

// Offer has nothing to do: a shop on files shows what it is told of.
func (s *FileShop) Offer([]string) error { return nil }

// Sell drops a file of orders.
func (s *FileShop) Sell(orders []Order) error {
	known := make(map[string]bool)
	for _, o := range s.Sales() {
		known[o.ID] = true
	}
	var fresh []files.Sale
	for _, o := range orders {
		if !known[o.Number] {
			fresh = append(fresh, o.sale())
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return s.Place(fresh...)
}

func (o Order) sale() files.Sale {
	sale := files.Sale{
		ID: o.Number, Number: o.Number, PlacedAt: time.Now(), Method: ShipMethod,
		Buyer: files.Buyer{Name: "Sample " + o.Buyer, Street1: o.Street, City: "Springfield", State: "IL", Zip: "62701", Country: "US"},
	}
	for _, l := range o.Lines {
		sale.Items = append(sale.Items, files.Item{SKU: l.SKU, Units: int(l.Units)})
	}
	return sale
}

// Void drops a cancel.
func (s *FileShop) Void(number string) error {
	if slices.ContainsFunc(s.Told(), func(t files.Told) bool { return t.Order == number }) {
		return fmt.Errorf("order %s has shipped", number)
	}
	if s.Dropping() {
		return ErrOnItsWay
	}
	return s.Cancel(number)
}

// ErrOnItsWay refuses, for now, what would overtake a file that is still to be dropped: of
// two files the later counts.
var ErrOnItsWay = errors.New("a file is still on its way")

// Readdress drops the order anew.
func (s *FileShop) Readdress(o Order, street string) error {
	o.Street = street
	return s.Mend(o)
}

// Recount drops the order anew.
func (s *FileShop) Recount(o Order, sku string, units int64) error {
	o.Lines = slices.Clone(o.Lines)
	for i := range o.Lines {
		if o.Lines[i].SKU == sku {
			o.Lines[i].Units = units
		}
	}
	return s.Mend(o)
}

// Mend drops the order anew.
func (s *FileShop) Mend(o Order) error {
	if s.Dropping() {
		return ErrOnItsWay
	}
	return s.Place(o.sale())
}

// Book is the shop's own. An order that was dropped again counts as it was last.
func (s *FileShop) Book() (audit.Cart, error) {
	book := audit.Cart{Stock: make(audit.Units)}
	at := make(map[string]int)
	sales := make(map[string]files.Sale)
	for _, o := range s.Sales() {
		i, again := at[o.ID]
		if !again {
			i = len(book.Orders)
			at[o.ID], book.Orders = i, append(book.Orders, audit.CartOrder{Number: o.Number, Status: "open"})
		}
		b := &book.Orders[i]
		b.Lines = make(audit.Units)
		for _, it := range o.Items {
			b.Lines[it.SKU] += int64(it.Units)
		}
		if o.Cancelled {
			b.Cancelled, b.Status = true, "cancelled"
		}
		sales[o.ID] = o
	}
	for _, number := range s.Cancels() {
		if i, ok := at[number]; ok {
			book.Orders[i].Cancelled, book.Orders[i].Status = true, "cancelled"
		}
	}
	again := s.Again()
	for _, t := range s.Told() {
		i, ok := at[t.Order]
		if !ok {
			return book, fmt.Errorf("the shop in %s was told of order %s, which it never sold", s.dir, t.Order)
		}
		p := audit.Parcel{Tracking: t.Tracking, Items: make(audit.Units)}
		for line, n := range t.Units {
			k, err := strconv.Atoi(line)
			if err != nil || k < 1 || k > len(sales[t.Order].Items) {
				return book, fmt.Errorf("the shop in %s was told of line %q of order %s", s.dir, line, t.Order)
			}
			p.Items[sales[t.Order].Items[k-1].SKU] += int64(n)
		}
		b := &book.Orders[i]
		b.Parcels = append(b.Parcels, p)
		twice := len(t.Files) - 1 // each file tells it again
		for _, name := range t.Files {
			if slices.Contains(again, name) {
				twice++
			}
		}
		for range twice {
			b.Parcels = append(b.Parcels, audit.Parcel{Tracking: t.Tracking})
		}
	}
	for sku, n := range s.Levels() {
		book.Stock[sku] = int64(n)
	}
	return book, s.err()
}

// FileWarehouse is a warehouse without an API.
type FileWarehouse struct {
	*files.Warehouse
	partner
}

func openFileWarehouse(dir, books string, seed int64, how files.Manner) (*FileWarehouse, error) {
	w := &FileWarehouse{partner: partner{dir: dir, name: "csv"}}
	var err error
	if w.Warehouse, err = files.OpenWarehouse(files.WarehouseConfig{Dir: dir, Books: books, Seed: uint64(seed), Manner: how}); err != nil {
		return nil, err
	}
	w.run(w.Step)
	return w, nil
}

func (w *FileWarehouse) befell() map[string]int64 { return counted(w.Befell()) }

// Connection is what merchant.yaml would say of it.
func (w *FileWarehouse) Connection() Connection {
	return Connection{
		Connection: relay.Connection{
			Name: "warehouse", Connector: "csv", BaseURL: w.address(), Mode: relay.ModeLive, Settings: map[string]string{"settle": "1s"},
		},
		Service: "Ground",
	}
}

// Vendor is a warehouse on files.
func (w *FileWarehouse) Vendor() Vendor { return partnerVendor() }

// Inject arms a fault.
func (w *FileWarehouse) Inject(f Fault) error {
	w.Warehouse.Inject(files.Fault(f.Kind), max(f.Count, 1))
	return nil
}

// Stock brings items that the warehouse does not know.
func (w *FileWarehouse) Stock(units map[string]int64) error {
	known := w.Warehouse.Stock()
	for code, n := range units {
		if _, ok := known[code]; ok {
			continue
		}
		if err := w.SetStock(code, int(n)); err != nil {
			return err
		}
	}
	return nil
}

// Deliver brings more units of an item.
func (w *FileWarehouse) Deliver(code string, units int64) error {
	return w.SetStock(code, w.Warehouse.Stock()[code]+int(units))
}

// Backorders is none: orders without stock are refused.
func (w *FileWarehouse) Backorders(string) (int64, bool) { return 0, false }

// Book is the warehouse's own. An order whose file was handed over again is there
// twice, though the warehouse looks at the names of files and ships it once.
func (w *FileWarehouse) Book() ([]audit.WarehouseOrder, audit.Units) {
	var orders []audit.WarehouseOrder
	again := w.Again()
	for _, o := range w.Orders() {
		reference, _, _ := strings.Cut(o.Number, "_") // that of a renewed order
		b := audit.WarehouseOrder{
			ID: o.Number, Mark: reference, Number: o.Number, Cancelled: o.State == "cancelled" || o.State == "refused", Street: o.Street, Units: fileUnits(o.Items),
		}
		for _, p := range o.Parcels {
			b.Parcels = append(b.Parcels, audit.Parcel{Tracking: p.Tracking, Items: fileUnits(p.Items)})
		}
		orders = append(orders, b)
		if slices.Contains(again, o.File) {
			orders = append(orders, b)
		}
	}
	return orders, fileUnits(w.Warehouse.Stock())
}

func fileUnits(items map[string]int) audit.Units {
	out := make(audit.Units)
	for sku, n := range items {
		out[sku] += int64(n)
	}
	return out
}
