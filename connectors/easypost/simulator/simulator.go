package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"orderferry/connectors/simkit"
)

// Simulator is one EasyPost account. It is safe for concurrent use.
type Simulator struct {
	keys    map[string]Mode
	clock   func() time.Time
	life    *simkit.Life
	journal *simkit.Journal[*change]
	faults  *simkit.Faults[Fault]
	tally   *simkit.Tally
	sender  *sender
	routes  []route
	seed    int64

	mu        sync.Mutex // guards what follows; never held while encoding or writing
	books     map[Mode]*book
	behaviour Behaviour
	progress  Progress
	alarms    simkit.Alarms[mover]
	stats     Stats      // without the tally's Counts
	chance    *rand.Rand // shuffles webhooks
}

// New makes a simulator and, where cfg names a journal, reads back what an earlier
// one left there. Close it.
func New(cfg Config) (*Simulator, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("easypost simulator: %w", err)
	}
	s := newSimulator(cfg)
	if err := s.load(cfg); err != nil {
		return nil, fmt.Errorf("easypost simulator: journal %s: %w", cfg.Journal, err)
	}
	s.reschedule()
	s.life.Go(func() { s.sender.run(s) })
	if cfg.Clock == nil {
		s.life.Tick(s.tick)
	}
	return s, nil
}

func (cfg *Config) check() error {
	if cfg.Keys.Production == cfg.Keys.Test {
		return errors.New("the production key and the test key must differ")
	}
	names := map[string]bool{}
	for _, w := range cfg.Warehouses {
		if w.ShortName == "" || names[w.ShortName] {
			return fmt.Errorf("warehouse short name %q is empty or not unique", w.ShortName)
		}
		names[w.ShortName] = true
	}
	return errors.Join(cfg.Behaviour.check(), cfg.Progress.check())
}

func newSimulator(cfg Config) *Simulator {
	s := &Simulator{
		keys: map[string]Mode{}, clock: cfg.Clock, life: simkit.NewLife(), faults: simkit.NewFaults[Fault](cfg.Seed), tally: simkit.NewTally(),
		sender: newSender(), routes: vendorRoutes(), seed: cfg.Seed,
		books: map[Mode]*book{}, behaviour: cfg.Behaviour, progress: cfg.Progress, chance: rand.New(rand.NewPCG(uint64(cfg.Seed), 0)),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	for mode, key := range map[Mode]string{Production: cfg.Keys.Production, Test: cfg.Keys.Test} {
		if key != "" {
			s.keys[key] = mode
		}
		s.books[mode] = newBook(cfg.Seed, mode, cfg.warehouses())
	}
	return s
}

func (cfg *Config) warehouses() []Warehouse {
	if len(cfg.Warehouses) > 0 {
		return cfg.Warehouses
	}
	return []Warehouse{{ShortName: "EAST", Name: "East Coast"}, {ShortName: "WEST", Name: "West Coast"}}
}

// journalHead is the journal's first line. Ids depend on the seed and stock on the
// order of the warehouses, so it only fits the configuration it was begun with.
type journalHead struct {
	Journal    string   `json:"journal"`
	Version    int      `json:"version"`
	Seed       int64    `json:"seed"`
	Warehouses []string `json:"warehouses"`
}

func (s *Simulator) load(cfg Config) (err error) {
	head := journalHead{Journal: "easypost simulator", Version: 1, Seed: cfg.Seed}
	for _, w := range cfg.warehouses() {
		head.Warehouses = append(head.Warehouses, w.ShortName)
	}
	s.journal, err = simkit.OpenJournal(cfg.Journal, head, s.replay, s.everything)
	return err
}

// replay applies a change that the journal has.
func (s *Simulator) replay(c *change) error {
	b := s.books[c.Mode]
	if b == nil {
		return fmt.Errorf("unknown mode %q", c.Mode)
	}
	if err := c.check(len(b.warehouses)); err != nil {
		return err
	}
	b.apply(c)
	return nil
}

// everything writes both books.
func (s *Simulator) everything(write func(*change) error) error {
	for _, m := range modes() {
		for c := range s.books[m].everything {
			if err := write(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends open answers and background work and closes the journal. It does not
// close listeners: whoever mounted the handlers does.
func (s *Simulator) Close() error {
	s.sender.stop()
	s.life.End()
	return s.journal.Close()
}

// Handler serves the vendor's two surfaces, /fulfillment/vendor/v2/ and /v2/.
func (s *Simulator) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Simulator) now() time.Time { return s.clock().UTC().Round(0) }

// commit puts a change in the books and queues it for the journal. The caller
// holds the mutex, and flushes the journal before it tells anyone.
func (s *Simulator) commit(b *book, c *change) {
	c.Mode = b.mode
	b.apply(c)
	s.journal.Add(c)
	for _, o := range c.Orders {
		s.scheduleOrder(b, o)
	}
	for _, t := range c.Trackers {
		s.scheduleTracker(b, t)
	}
}
