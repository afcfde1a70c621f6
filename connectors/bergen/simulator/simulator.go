package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the service's clock is US Eastern, also where the system has no zones

	"orderferry/connectors/simkit"
)

// Simulator is the service with its accounts. It is safe for concurrent use.
type Simulator struct {
	clock    func() time.Time
	eastern  *time.Location
	life     *simkit.Life
	journal  *simkit.Journal[*change]
	faults   *simkit.Faults[Fault]
	tally    *simkit.Tally
	seed     int64
	lax      bool
	services map[string]shipVia

	mu         sync.Mutex // guards what follows; never held while encoding or writing
	books      []*book    // in the order of Config.Accounts
	behaviour  Behaviour
	progress   Progress
	epoch      int64 // counts ExpireTokens
	alarms     simkit.Alarms[mover]
	stats      Stats // without the tally's Counts
	violations []string
}

// New makes a simulator and, where cfg names a journal, reads back what an earlier
// one left there. Close it.
func New(cfg Config) (*Simulator, error) {
	cfg.Accounts = slices.Clone(cfg.Accounts)
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("bergen simulator: %w", err)
	}
	s, err := newSimulator(cfg)
	if err != nil {
		return nil, fmt.Errorf("bergen simulator: %w", err)
	}
	if err := s.load(cfg); err != nil {
		return nil, fmt.Errorf("bergen simulator: journal %s: %w", cfg.Journal, err)
	}
	s.reschedule()
	if cfg.Clock == nil {
		s.life.Tick(s.tick)
	}
	return s, nil
}

const prefixLength = 6 // four letters, digit, letter (wire/bergen-rex11.md section 7.4)

// complete fills in what an account leaves to us, and refuses what can't be.
func (cfg *Config) complete() error {
	if len(cfg.Accounts) == 0 {
		return errors.New("no account: the service can't be reached without one")
	}
	names, logins := map[string]bool{}, map[[2]string]bool{}
	for i := range cfg.Accounts {
		a := &cfg.Accounts[i]
		if a.Prefix == "" {
			a.Prefix = fmt.Sprintf("ACME%dA", i+1)
		}
		if len(a.Prefix) != prefixLength || names[a.Prefix] {
			return fmt.Errorf("account prefix %q: give each account its own, of %d characters", a.Prefix, prefixLength)
		}
		if a.WebAddress == "" || a.UserName == "" || a.Password == "" || logins[[2]string{a.WebAddress, a.UserName}] {
			return fmt.Errorf("account %s: web address, user name and password are needed, the first two together not twice", a.Prefix)
		}
		names[a.Prefix], logins[[2]string{a.WebAddress, a.UserName}] = true, true
		if a.Warehouses == nil {
			a.Warehouses = []string{companyName + " NJ2", companyName + " NJ3"}
		}
		for j, w := range a.Warehouses {
			if warehouseID(w) == 0 || slices.Contains(a.Warehouses[:j], w) {
				return fmt.Errorf("account %s: warehouse %q is none of %q, or there twice", a.Prefix, w, warehouses)
			}
		}
	}
	return errors.Join(cfg.Behaviour.check(), cfg.Progress.check())
}

func newSimulator(cfg Config) (*Simulator, error) {
	eastern, err := time.LoadLocation("America/New_York") // section 11
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		clock: cfg.Clock, eastern: eastern, life: simkit.NewLife(), faults: simkit.NewFaults[Fault](cfg.Seed), tally: simkit.NewTally(),
		seed: cfg.Seed, lax: cfg.Lax, services: map[string]shipVia{}, behaviour: cfg.Behaviour, progress: cfg.Progress,
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	table := cfg.ShipServices
	if table == nil {
		table = DefaultShipServices()
	}
	for via, services := range table {
		known := shipVia{}
		for _, name := range services {
			known[strings.ToLower(name)] = true
		}
		s.services[strings.ToLower(via)] = known
	}
	for _, a := range cfg.Accounts {
		s.books = append(s.books, newBook(cfg.Seed, a))
	}
	return s, nil
}

// shipVia is a carrier's services, in small letters.
type shipVia map[string]bool

// journalHead is the journal's first line. Tracking numbers depend on the seed and
// changes name their account, so it only fits the configuration it was begun with.
type journalHead struct {
	Journal  string   `json:"journal"`
	Version  int      `json:"version"`
	Seed     int64    `json:"seed"`
	Accounts []string `json:"accounts"` // prefixes
}

func (s *Simulator) load(cfg Config) (err error) {
	head := journalHead{Journal: "bergen simulator", Version: 1, Seed: cfg.Seed}
	for _, b := range s.books {
		head.Accounts = append(head.Accounts, b.Prefix)
	}
	s.journal, err = simkit.OpenJournal(cfg.Journal, head, s.replay, s.everything)
	return err
}

// replay applies a change that the journal has.
func (s *Simulator) replay(c *change) error {
	b := s.book(c.Account)
	if b == nil {
		return fmt.Errorf("unknown account %q", c.Account)
	}
	if err := c.check(b); err != nil {
		return err
	}
	b.apply(c)
	return nil
}

// everything writes all books.
func (s *Simulator) everything(write func(*change) error) error {
	for _, b := range s.books {
		for c := range b.everything {
			if err := write(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// book finds an account by its prefix; nil is none.
func (s *Simulator) book(account string) *book {
	i := slices.IndexFunc(s.books, func(b *book) bool { return b.Prefix == account })
	if i < 0 {
		return nil
	}
	return s.books[i]
}

// Close ends open answers and background work and closes the journal. It does not
// close listeners: whoever mounted the handlers does.
func (s *Simulator) Close() error {
	s.life.End()
	return s.journal.Close()
}

// Handler serves the SOAP service; any path that ends in publicapiws.asmx will do.
func (s *Simulator) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Simulator) now() time.Time { return s.clock().UTC().Round(0) }

// commit puts a change in the books and queues it for the journal. The caller
// holds the mutex, and flushes the journal before it tells anyone.
func (s *Simulator) commit(b *book, c *change) {
	c.Account = b.Prefix
	b.apply(c)
	s.journal.Add(c)
	for _, t := range c.Tickets {
		s.scheduleTicket(b, t)
	}
	for _, p := range c.Products {
		s.scheduleProduct(b, p)
	}
}
