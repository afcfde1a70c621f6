package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ShopConfig is what a shop begins with.
type ShopConfig struct {
	Dir    string // holds in and out
	Books  string // file of what it knows, outside in and out
	Seed   uint64
	Chance map[Fault]float64 // how likely each fault is for each file
}

// Buyer is whom an order of the shop goes to.
type Buyer struct {
	Name, Street1, City, State, Zip, Country string
}

// Sale is an order of the shop.
type Sale struct {
	ID        string
	Number    string
	PlacedAt  time.Time
	Buyer     Buyer
	Method    string
	Items     []Item
	Cancelled bool // here
}

// Item is a line of a sale.
type Item struct {
	SKU   string
	Units int
}

// Told is a parcel that the shop was told of.
type Told struct {
	Order, Carrier, Tracking string
	Units                    map[string]int // by line's number
	Files                    []string       // that told it
}

// Shop is a shop that knows nothing but files. It is safe for concurrent use.
type Shop struct {
	mu         sync.Mutex
	desk       desk
	state      shopState
	sales      ledger[string, Sale]
	told       ledger[parcel, Told]
	read       readFiles
	cancels    []string // orders that it was told to cancel
	newCancels []string // since they were noted
}

// parcel is what tells parcels apart.
type parcel struct{ order, tracking string }

// shopState is what is under way.
type shopState struct {
	Step    int
	Number  int
	Levels  map[string]int
	Letters []letter
	Mended  []letter // to be sent when people have seen to the problems
}

// shopChange is a line of the books: what is under way now, and what came or
// changed since the line before.
type shopChange struct {
	shopState
	Sales   []*Sale  `json:",omitempty"`
	Told    []*Told  `json:",omitempty"`
	Cancels []string `json:",omitempty"`
	filesChange
}

// OpenShop opens a shop and reads what it knew.
func OpenShop(cfg ShopConfig) (*Shop, error) {
	s := &Shop{desk: desk{dir: cfg.Dir, books: cfg.Books, from: "out", to: "in", seed: cfg.Seed, armed: make(map[Fault]int), chance: cfg.Chance}}
	s.read = newReadFiles()
	s.sales = newLedger(func(o *Sale) string { return o.ID })
	s.told = newLedger(func(t *Told) parcel { return parcel{t.Order, t.Tracking} })
	if err := s.desk.load(s.recall); err != nil {
		return nil, fmt.Errorf("files shop: %w", err)
	}
	if s.state.Levels == nil {
		s.state.Levels = make(map[string]int)
	}
	return s, nil
}

// recall takes in a line of the books.
func (s *Shop) recall(line []byte) error {
	var c shopChange
	if err := json.Unmarshal(line, &c); err != nil {
		return err
	}
	s.state = c.shopState
	for _, o := range c.Sales {
		s.sales.recall(o)
	}
	for _, t := range c.Told {
		s.told.recall(t)
	}
	s.cancels = append(s.cancels, c.Cancels...)
	s.read.recall(c.filesChange)
	return nil
}

// save notes what changed.
func (s *Shop) save() error {
	err := s.desk.note(shopChange{s.state, s.sales.changed, s.told.changed, s.newCancels, s.read.changed})
	if err == nil {
		s.sales.changed, s.told.changed, s.newCancels = nil, nil, nil
		s.read.noted()
	}
	return err
}

// Inject spoils the next n files that the shop writes.
func (s *Shop) Inject(f Fault, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.desk.inject(f, n)
}

// Place takes sales, which are dropped as one file at the next step. One that was
// taken before is dropped anew, as it is now; cancelled, it stays so.
func (s *Shop) Place(sales ...Sale) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	heading := []string{"order", "order_number", "placed_at", "ship_method", "name", "street1", "city", "state", "zip", "country", "line", "sku", "quantity"}
	var rows [][]string
	for _, o := range sales {
		for i, it := range o.Items {
			rows = append(rows, []string{o.ID, o.Number, o.PlacedAt.UTC().Format(time.RFC3339), o.Method, o.Buyer.Name, o.Buyer.Street1, o.Buyer.City, o.Buyer.State, o.Buyer.Zip, o.Buyer.Country,
				strconv.Itoa(i + 1), it.SKU, strconv.Itoa(it.Units)})
		}
	}
	for _, o := range sales {
		if was := s.sales.at[o.ID]; was != nil {
			o.Cancelled = was.Cancelled
		}
		s.sales.put(&o)
	}
	return s.letter("ord", heading, rows)
}

// Cancel drops a cancel at the next step.
func (s *Shop) Cancel(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.sales.at[id]
	if o == nil {
		return fmt.Errorf("there is no order %s", id)
	}
	o.Cancelled = true
	s.sales.put(o)
	return s.letter("can", []string{"order"}, [][]string{{id}})
}

func (s *Shop) letter(kind string, heading []string, rows [][]string) error {
	s.state.Number++
	letters, mended, err := s.desk.compose(fmt.Sprintf("%s_%06d.csv", kind, s.state.Number), s.state.Number, s.state.Step, heading, rows)
	if err != nil {
		return err
	}
	s.state.Letters = append(s.state.Letters, letters...)
	s.state.Mended = append(s.state.Mended, mended...)
	return s.save()
}

// Step drops what is due and reads what the shop is told.
func (s *Shop) Step() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Step++
	if len(s.state.Letters) > 0 { // else nothing but the step has changed
		left, err := s.desk.post(s.state.Letters, s.state.Step)
		if err != nil {
			return err
		}
		s.state.Letters = left
		if err := s.save(); err != nil {
			return err
		}
	}
	names, err := s.desk.arrived()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !s.read.all[name] {
			rows, err := s.desk.table(name)
			if err != nil {
				return err
			}
			if err := s.hear(name, rows); err != nil {
				return err
			}
			s.read.note(name)
		} else if s.desk.done(name) {
			s.read.noteAgain(name)
		}
		if err := s.save(); err != nil {
			return err
		}
		if err := s.desk.take(name, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *Shop) hear(name string, rows []map[string]string) error {
	for _, r := range rows {
		switch {
		case strings.HasPrefix(name, "shp_"):
			n, err := strconv.Atoi(r["quantity"])
			if err != nil {
				return fmt.Errorf("%s: quantity %q", name, r["quantity"])
			}
			s.ship(name, r, n)
		case strings.HasPrefix(name, "inv_"):
			n, err := strconv.Atoi(r["quantity"])
			if err != nil {
				return fmt.Errorf("%s: quantity %q", name, r["quantity"])
			}
			s.state.Levels[r["sku"]] = n
		case strings.HasPrefix(name, "can_"):
			s.cancels, s.newCancels = append(s.cancels, r["order"]), append(s.newCancels, r["order"])
		default:
			return fmt.Errorf("files shop: %s is no file for a shop", name)
		}
	}
	return nil
}

func (s *Shop) ship(file string, r map[string]string, units int) {
	t := s.told.at[parcel{r["order"], r["tracking"]}]
	if t == nil {
		t = &Told{Order: r["order"], Carrier: r["carrier"], Tracking: r["tracking"], Units: make(map[string]int)}
	}
	t.Units[r["line"]] += units
	if !slices.Contains(t.Files, file) {
		t.Files = append(t.Files, file)
	}
	s.told.put(t)
}

// Sales lists the shop's orders.
func (s *Shop) Sales() []Sale {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Sale, len(s.sales.all))
	for i, o := range s.sales.all {
		out[i] = *o
	}
	return out
}

// Told lists the parcels that the shop was told of.
func (s *Shop) Told() []Told {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Told, len(s.told.all))
	for i, t := range s.told.all {
		out[i] = *t
		out[i].Units, out[i].Files = maps.Clone(t.Units), slices.Clone(t.Files)
	}
	return out
}

// Levels is the stock that the shop shows.
func (s *Shop) Levels() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.state.Levels)
}

// Cancels lists the orders that the shop was told to cancel.
func (s *Shop) Cancels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cancels)
}

// Quiet reports whether the shop has nothing more to drop or to read.
func (s *Shop) Quiet() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, err := s.desk.arrived()
	return len(names)+len(s.state.Letters) == 0, err
}

// SeeToProblems does what people do who find files in the folder of problems: they
// remove them, and send mended ones with the next step. It returns how many.
func (s *Shop) SeeToProblems() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := clearFolder(filepath.Join(s.desk.dir, "in", "problems"))
	if n > 0 {
		s.state.Letters, s.state.Mended = append(s.state.Letters, s.state.Mended...), nil
		err = errors.Join(err, s.save())
	}
	return n, err
}

func clearFolder(dir string) (int, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range all {
		err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
	}
	return len(all), err
}
