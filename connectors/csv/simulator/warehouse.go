package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Manner is how the warehouse works.
type Manner struct {
	Silent    bool // it acknowledges nothing: shipments are its only answer
	Deletes   bool // it removes the files that it has read; else they go to in/done
	ShipAfter int  // steps after which an order ships by itself; 0: only when Ship says so
	Parcels   int  // parcels that an order ships in by itself, at most; 0 stands for 1
	Stock     int  // it writes a snapshot of its stock every so many steps; 0: only when Snapshot says so
}

// WarehouseConfig is what a warehouse begins with.
type WarehouseConfig struct {
	Dir   string // holds in and out
	Books string // file of what it knows, outside in and out
	Seed  uint64
	// Clock tells when it ships. nil: time.Now.
	Clock  func() time.Time
	Manner Manner
	// Stock is what it has when its books are new.
	Stock map[string]int
	// Chance is how likely each fault is for each file, from 0 to 1.
	Chance map[Fault]float64
}

// Order is an order that the warehouse was handed. A number may be there twice:
// such a warehouse ships what it is handed.
type Order struct {
	Number  string
	File    string
	Name    string // of whom it goes to
	Street  string
	Zip     string
	Service string
	Items   map[string]int
	Left    map[string]int // not shipped yet
	State   string         // "open", "refused", "cancelled" or "shipped"
	Why     string         // of a refusal: "out_of_stock" or "unknown_sku"
	Step    int            // when it came
	Parcels []Parcel
}

// Parcel is what left in one box.
type Parcel struct {
	Tracking string
	Items    map[string]int
	At       time.Time
}

// Warehouse is a warehouse without an API. It is safe for concurrent use.
type Warehouse struct {
	mu     sync.Mutex
	desk   desk
	how    Manner
	clock  func() time.Time
	state  warehouseState
	orders ledger[handed, Order]
	read   readFiles
}

// handed is what tells orders apart.
type handed struct{ file, number string }

// warehouseState is what is under way.
type warehouseState struct {
	Step     int
	Number   int // of the last file written
	Parcel   int
	Stock    map[string]int
	Letters  []letter
	Mended   []letter   // to be sent when people have seen to the problems
	Answers  [][]string // acknowledgements of this step
	Shipping [][]string // and shipments
}

// warehouseChange is a line of the books: what is under way now, and what came or
// changed since the line before.
type warehouseChange struct {
	warehouseState
	Orders []*Order `json:",omitempty"`
	filesChange
}

// OpenWarehouse opens a warehouse and reads what it knew.
func OpenWarehouse(cfg WarehouseConfig) (*Warehouse, error) {
	w := &Warehouse{how: cfg.Manner, clock: cfg.Clock, desk: desk{
		dir: cfg.Dir, books: cfg.Books, from: "in", to: "out", seed: cfg.Seed, armed: make(map[Fault]int), chance: cfg.Chance,
	}}
	if w.clock == nil {
		w.clock = time.Now
	}
	w.read = newReadFiles()
	w.orders = newLedger(func(o *Order) handed { return handed{o.File, o.Number} })
	w.state.Stock = maps.Clone(cfg.Stock)
	if err := w.desk.load(w.recall); err != nil {
		return nil, fmt.Errorf("files warehouse: %w", err)
	}
	if w.state.Stock == nil {
		w.state.Stock = make(map[string]int)
	}
	return w, nil
}

// recall takes in a line of the books.
func (w *Warehouse) recall(line []byte) error {
	var c warehouseChange
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	w.state = c.warehouseState
	for _, o := range c.Orders {
		w.orders.recall(o)
	}
	w.read.recall(c.filesChange)
	return nil
}

// save notes what changed.
func (w *Warehouse) save() error {
	err := w.desk.note(warehouseChange{w.state, w.orders.changed, w.read.changed})
	if err == nil {
		w.orders.changed = nil
		w.read.noted()
	}
	return err
}

// Inject spoils the next n files that the warehouse writes.
func (w *Warehouse) Inject(f Fault, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.desk.inject(f, n)
}

// SetStock says how many of a SKU the warehouse has free.
func (w *Warehouse) SetStock(sku string, units int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Stock[sku] = units
	return w.save()
}

// Stock is what the warehouse has free.
func (w *Warehouse) Stock() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.state.Stock)
}

// Orders lists what it was handed, in the order in which it came.
func (w *Warehouse) Orders() []Order {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Order, len(w.orders.all))
	for i, o := range w.orders.all {
		out[i] = *o
		out[i].Items, out[i].Left, out[i].Parcels = maps.Clone(o.Items), maps.Clone(o.Left), slices.Clone(o.Parcels)
	}
	return out
}

// Step reads what came, ships what is due and writes what there is to say.
func (w *Warehouse) Step() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.Step++
	if err := w.readAll(); err != nil {
		return err
	}
	if w.how.ShipAfter > 0 {
		for _, o := range w.orders.all {
			if o.State == "open" && w.state.Step-o.Step >= w.how.ShipAfter {
				w.shipAll(o)
			}
		}
	}
	if w.how.Stock > 0 && w.state.Step%w.how.Stock == 0 {
		if err := w.snapshot(); err != nil {
			return err
		}
	}
	return w.write()
}

func (w *Warehouse) readAll() error {
	names, err := w.desk.arrived()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !w.read.all[name] {
			rows, err := w.desk.table(name)
			if err != nil {
				return err
			}
			switch {
			case strings.HasPrefix(name, "ord_"):
				w.book(name, rows)
			case strings.HasPrefix(name, "can_"):
				w.cancel(rows)
			default:
				return fmt.Errorf("files warehouse: %s is no file for a warehouse", name)
			}
			w.read.note(name)
		} else if w.desk.done(name) {
			w.read.noteAgain(name)
		}
		// Booked for good before the file goes: a warehouse that dies here books it once.
		if err := w.save(); err != nil {
			return err
		}
		if err := w.desk.take(name, w.how.Deletes); err != nil {
			return err
		}
	}
	return nil
}

// book takes the orders of a file.
func (w *Warehouse) book(file string, rows []map[string]string) {
	var came []*Order
	for _, r := range rows {
		i := slices.IndexFunc(came, func(o *Order) bool { return o.Number == r["order"] })
		if i < 0 {
			came = append(came, &Order{Number: r["order"], File: file, Name: r["name"], Street: r["street1"], Zip: r["zip"], Service: r["ship_method"],
				Items: make(map[string]int), State: "open", Step: w.state.Step})
			i = len(came) - 1
		}
		n, err := strconv.Atoi(r["quantity"])
		if err != nil {
			came[i].State, came[i].Why = "refused", "rejected"
			continue
		}
		came[i].Items[r["sku"]] += n
	}
	for _, o := range came {
		// Receipts are numbered, so that two refusals of one order are in other words.
		words := fmt.Sprintf("receipt %d", len(w.orders.all)+1)
		for _, sku := range slices.Sorted(maps.Keys(o.Items)) {
			if have, known := w.state.Stock[sku]; !known {
				o.State, o.Why = "refused", "unknown_sku"
				words += ", no such product: " + sku
			} else if have < o.Items[sku] {
				o.State, o.Why = "refused", cmp.Or(o.Why, "out_of_stock")
				words += fmt.Sprintf(", %d of %s wanted and %d here", o.Items[sku], sku, have)
			}
		}
		if o.State == "open" {
			o.Left = maps.Clone(o.Items)
			for sku, n := range o.Items {
				w.state.Stock[sku] -= n
			}
		}
		w.orders.put(o)
		answer := "accepted"
		if o.State == "refused" {
			answer = o.Why
		}
		if !w.how.Silent || o.State == "refused" {
			w.state.Answers = append(w.state.Answers, []string{o.Number, answer, words})
		}
	}
}

// cancel stops orders of which nothing has left.
func (w *Warehouse) cancel(rows []map[string]string) {
	for _, r := range rows {
		for _, o := range w.orders.all {
			if o.Number == r["order"] && o.State == "open" && len(o.Parcels) == 0 {
				o.State = "cancelled"
				for sku, n := range o.Left {
					w.state.Stock[sku] += n
				}
				o.Left = nil
				w.orders.put(o)
				w.state.Answers = append(w.state.Answers, []string{o.Number, "cancelled", ""})
			}
		}
	}
}

// shipAll ships what is left of an order, in as many parcels as the manner has.
func (w *Warehouse) shipAll(o *Order) {
	for n := max(w.how.Parcels, 1); len(o.Left) > 0; n-- {
		items := maps.Clone(o.Left)
		if n > 1 && len(o.Left) > 1 { // one SKU a parcel, and the rest in the last
			first := slices.Sorted(maps.Keys(o.Left))[0]
			items = map[string]int{first: o.Left[first]}
		}
		w.ship(o, items)
	}
}

// ship sends one parcel.
func (w *Warehouse) ship(o *Order, items map[string]int) {
	w.state.Parcel++
	p := Parcel{Tracking: fmt.Sprintf("1Z%08d%06d", w.desk.seed%100_000_000, w.state.Parcel), Items: items, At: w.clock().UTC().Truncate(time.Second)}
	o.Parcels = append(o.Parcels, p)
	w.orders.put(o)
	for _, sku := range slices.Sorted(maps.Keys(items)) {
		if o.Left[sku] -= items[sku]; o.Left[sku] <= 0 {
			delete(o.Left, sku)
		}
		w.state.Shipping = append(w.state.Shipping, []string{o.Number, "UPS", o.Service, p.Tracking, "", p.At.Format(time.RFC3339), "", sku, strconv.Itoa(items[sku])})
	}
	if len(o.Left) == 0 {
		o.State = "shipped"
	}
}

// Ship sends one parcel of an order: the given units, or, for nil, all that is
// left. The file that says so is written by the next step.
func (w *Warehouse) Ship(number string, items map[string]int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.orders.all {
		if o.Number != number || o.State != "open" {
			continue
		}
		if items == nil {
			items = o.Left
		}
		for sku, n := range items {
			if n < 1 || o.Left[sku] < n {
				return fmt.Errorf("order %s has %d of %s left, not %d", number, o.Left[sku], sku, n)
			}
		}
		w.ship(o, maps.Clone(items))
		return w.save()
	}
	return fmt.Errorf("there is no open order %s", number)
}

// Snapshot has the next step write all stock.
func (w *Warehouse) Snapshot() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.snapshot(); err != nil {
		return err
	}
	return w.save()
}

func (w *Warehouse) snapshot() error {
	var rows [][]string
	for _, sku := range slices.Sorted(maps.Keys(w.state.Stock)) {
		rows = append(rows, []string{sku, strconv.Itoa(w.state.Stock[sku]), "MAIN"})
	}
	return w.letter("inv", []string{"sku", "quantity", "site"}, rows)
}

func (w *Warehouse) letter(kind string, heading []string, rows [][]string) error {
	w.state.Number++
	letters, mended, err := w.desk.compose(fmt.Sprintf("%s_%06d.csv", kind, w.state.Number), w.state.Number, w.state.Step, heading, rows)
	w.state.Letters = append(w.state.Letters, letters...)
	if kind != "ack" { // people remove the bad one first here, and then its good rows are not to be sent again
		w.state.Mended = append(w.state.Mended, mended...)
	}
	return err
}

// write puts into files what was noted, and posts what is due.
func (w *Warehouse) write() error {
	if len(w.state.Answers) > 0 {
		if err := w.letter("ack", []string{"order", "status", "message"}, w.state.Answers); err != nil {
			return err
		}
	}
	if len(w.state.Shipping) > 0 {
		heading := []string{"order", "carrier", "service", "tracking", "tracking_url", "shipped_at", "line", "sku", "quantity"}
		if err := w.letter("shp", heading, w.state.Shipping); err != nil {
			return err
		}
	}
	w.state.Answers, w.state.Shipping = nil, nil
	if len(w.state.Letters) == 0 {
		return nil // nothing but the step has changed
	}
	if err := w.save(); err != nil {
		return err
	}
	left, err := w.desk.post(w.state.Letters, w.state.Step)
	if err != nil {
		return err
	}
	w.state.Letters = left
	return w.save()
}

// Quiet reports whether the warehouse has nothing more to read, to ship or to say.
func (w *Warehouse) Quiet() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, err := w.desk.arrived()
	busy := len(names) > 0 || len(w.state.Letters)+len(w.state.Answers)+len(w.state.Shipping) > 0 ||
		w.how.ShipAfter > 0 && slices.ContainsFunc(w.orders.all, func(o *Order) bool { return o.State == "open" })
	return !busy, err
}

// SeeToProblems does what people do who find files in the folder of problems: they
// remove them, and send mended ones with the next step. It returns how many.
func (w *Warehouse) SeeToProblems() (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := clearFolder(filepath.Join(w.desk.dir, "out", "problems"))
	if n > 0 {
		w.state.Letters, w.state.Mended = append(w.state.Letters, w.state.Mended...), nil
		err = errors.Join(err, w.save())
	}
	return n, err
}
