package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Simulator is one EasyPost account. It is safe for concurrent use.
type Simulator struct {
	keys  map[string]Mode
	clock func() time.Time
	done  chan struct{}
	wait  sync.WaitGroup
	once  sync.Once

	journal *journal
	sender  *sender
	routes  []route

	mu        sync.Mutex // guards what follows; never held while encoding or writing
	books     map[Mode]*book
	behaviour Behaviour
	progress  Progress
	alarms    alarms
	faults    []*armedFault
	armed     int64 // faults ever injected, which seeds the next one's chance
	seed      int64
	stats     Stats
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
	s.wait.Go(func() { s.sender.run(s) })
	if cfg.Clock == nil {
		s.wait.Go(s.tick)
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
		keys: map[string]Mode{}, clock: cfg.Clock, done: make(chan struct{}),
		journal: &journal{}, sender: newSender(), routes: vendorRoutes(),
		books: map[Mode]*book{}, behaviour: cfg.Behaviour, progress: cfg.Progress,
		seed: cfg.Seed, stats: newStats(), chance: rand.New(rand.NewPCG(uint64(cfg.Seed), 1)),
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

func (s *Simulator) load(cfg Config) error {
	if cfg.Journal == "" {
		return nil
	}
	head := journalHead{Journal: "easypost simulator", Version: journalVersion, Seed: cfg.Seed}
	for _, w := range cfg.warehouses() {
		head.Warehouses = append(head.Warehouses, w.ShortName)
	}
	err := readJournal(cfg.Journal, head, func(c *change) error {
		b := s.books[c.Mode]
		if b == nil {
			return fmt.Errorf("unknown mode %q", c.Mode)
		}
		if err := c.check(len(b.warehouses)); err != nil {
			return err
		}
		b.apply(c)
		return nil
	})
	if err != nil {
		return err
	}
	s.journal, err = openJournal(cfg.Journal, head, []*book{s.books[Production], s.books[Test]})
	return err
}

// Close ends open answers and background work and closes the journal. It does not
// close listeners: whoever mounted the handlers does.
func (s *Simulator) Close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		s.sender.stop()
		s.wait.Wait()
		err = s.journal.close()
	})
	return err
}

// Handler serves the vendor's two surfaces, /fulfillment/vendor/v2/ and /v2/.
func (s *Simulator) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Simulator) now() time.Time { return s.clock().UTC().Round(0) }

// commit puts a change in the books and queues it for the journal. The caller
// holds the mutex, and flushes the journal before it tells anyone.
func (s *Simulator) commit(b *book, c *change) {
	c.Mode = b.mode
	b.apply(c)
	s.journal.add(c)
	for _, o := range c.Orders {
		s.scheduleOrder(b, o)
	}
	for _, t := range c.Trackers {
		s.scheduleTracker(b, t)
	}
}
