package simulator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"orderferry/connectors/simkit"
)

// Simulator is a running stand-in for TradeGecko. It is safe for concurrent use.
type Simulator struct {
	cfg       Config
	switches  atomic.Pointer[Behaviour]
	endpoints map[string]endpoint
	books     []*books // in the order of the configuration
	byName    map[string]*books
	byToken   map[string]*books // privileged tokens
	sequences map[kind]*atomic.Int64
	life      *simkit.Life
	journal   *simkit.Journal[entry]
	faults    *simkit.Faults[Fault]
	stats     counters
	sender    *sender

	oauthMu sync.RWMutex
	access  map[string]*books   // OAuth access tokens
	codes   map[string]authCode // authorization codes
}

// New starts a simulator; the journal, if there is one, is read and compacted.
// Close it after the servers of its handlers.
func New(cfg Config) (*Simulator, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, fmt.Errorf("configure simulator: %w", err)
	}
	s := &Simulator{cfg: cfg, endpoints: endpoints(), byName: map[string]*books{}, byToken: map[string]*books{},
		sequences: map[kind]*atomic.Int64{}, access: map[string]*books{}, codes: map[string]authCode{},
		life: simkit.NewLife(), faults: simkit.NewFaults[Fault](cfg.Seed), stats: counters{Tally: simkit.NewTally()}}
	s.switches.Store(&cfg.Behaviour)
	dice := rand.New(rand.NewPCG(uint64(cfg.Seed), 1))
	for i, k := range numbered {
		n := &atomic.Int64{}
		n.Store(int64(i+1)*1_000_000 + dice.Int64N(900_000))
		s.sequences[k] = n
	}
	for _, a := range cfg.Accounts {
		b := newBooks(s, a)
		s.books = append(s.books, b)
		s.byName[a.Name] = b
		for _, t := range a.Tokens {
			s.byToken[t] = b
		}
	}
	if err := s.openJournal(cfg.Journal); err != nil {
		return nil, fmt.Errorf("open journal %s: %w", cfg.Journal, err)
	}
	s.sender = newSender(s)
	for _, b := range s.books {
		if err := b.found(); err != nil {
			return nil, errors.Join(fmt.Errorf("set up account %s: %w", b.account.Name, err), s.Close())
		}
	}
	return s, nil
}

// Close ends open answers and the webhook sender and closes the journal.
func (s *Simulator) Close() error {
	s.sender.stop()
	s.life.End()
	return s.journal.Close()
}

// SetBehaviour changes the switches while the simulator runs.
func (s *Simulator) SetBehaviour(b Behaviour) error {
	if err := b.check(); err != nil {
		return err
	}
	s.switches.Store(&b)
	return nil
}

func (s *Simulator) behaviour() Behaviour { return *s.switches.Load() }

func (s *Simulator) now() time.Time { return s.cfg.Clock() }

// next deals an id.
func (s *Simulator) next(k kind) int64 { return s.sequences[k].Add(1) }

// SkipIDs makes all ids from now on larger than n: beyond 2^53 a reader that
// takes numbers for floats gets them wrong.
func (s *Simulator) SkipIDs(n int64) {
	for k := range s.sequences {
		s.reserve(k, n)
	}
}

// reserve keeps an id from the journal from being dealt again.
func (s *Simulator) reserve(k kind, id int64) {
	if n := s.sequences[k]; n != nil && n.Load() < id {
		n.Store(id)
	}
}

// digest is a value that depends on the seed and the parts alone.
func (s *Simulator) digest(parts ...any) [sha256.Size]byte {
	return sha256.Sum256(fmt.Append(nil, append([]any{s.cfg.Seed, " "}, parts...)...))
}

// requestID is the UUID of a request, by its number.
func (s *Simulator) requestID(number int64) string {
	// splitmix64, twice: cheap, and the same under the same seed.
	n := uint64(s.cfg.Seed) + uint64(number)*0x9e3779b97f4a7c15
	hi, lo := mix(n), mix(n^0xd1b54a32d192ed03)
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xfff, lo>>48&0x3fff|0x8000, lo&0xffffffffffff)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// found gives a new account what every account has: ids and locations.
func (b *books) found() error {
	for token := range b.grant.Access {
		b.sim.access[token] = b
	}
	return b.change(func(c *change) error {
		if c.record.ID == 0 {
			app := c.sim.digest("application", c.account.AppID)
			c.books.record = accountRecord{ID: c.sim.next(kindAccount), UserID: c.sim.next(kindAccount), CurrencyID: c.sim.next(kindAccount),
				AppID: int64(app[0])<<8 | int64(app[1]) | 1, CreatedAt: c.now}
			c.touch(string(kindAccount), c.record)
			c.touch("grant", c.grant.clone())
		}
		for _, label := range c.account.Locations {
			c.location(label)
		}
		return nil
	})
}

// location finds the location with a label, or opens it.
func (c *change) location(label string) *location {
	for _, l := range c.locations.list {
		if l.Label == label {
			return l
		}
	}
	street, city, country := "1 Dock Road", "Singapore", "SG"
	l := &location{base: c.fresh(kindLocation), Label: label, Address1: &street, City: &city, Country: &country, HoldsStock: true, Status: statusActive}
	return add(c, c.locations, l)
}

// Handler is the vendor's API: resources, /oauth/token and /oauth/authorize.
func (s *Simulator) Handler() http.Handler { return http.HandlerFunc(s.serve) }
