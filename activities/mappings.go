package activities

import (
	"context"
	"sync"

	"orderferry/relay"
	"orderferry/store"
)

// mostMappings bounds how many aliases, kits and components are kept in memory
// over all merchants: some 200 MB of them.
const mostMappings = 1_000_000

// mappingBooks keep merchants' aliases and kits, so that a version of them is
// read once. Of what comes to too many, the longest unused goes.
type mappingBooks struct {
	most int

	mu    sync.Mutex
	books map[relay.MerchantID]*mappingBook
	uses  int64
}

type mappingBook struct {
	// Held while the ledger is read: of several steps that need a version, one
	// reads it and the others wait.
	reading sync.Mutex
	kept    relay.Mappings
	known   bool

	// Under the lock of all books.
	size int
	last int64 // which use was the last
}

func newMappingBooks(most int) *mappingBooks {
	return &mappingBooks{most: most, books: make(map[relay.MerchantID]*mappingBook)}
}

func (b *mappingBooks) of(m relay.MerchantID) *mappingBook {
	b.mu.Lock()
	defer b.mu.Unlock()
	book, ok := b.books[m]
	if !ok {
		book = &mappingBook{}
		b.books[m] = book
	}
	b.uses++
	book.last = b.uses
	return book
}

// grown notes how large a book has become, and drops others when all are too large.
func (b *mappingBooks) grown(m relay.MerchantID, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for id, book := range b.books {
		if id == m {
			book.size = size
		}
		total += book.size
	}
	for total > b.most && len(b.books) > 1 {
		oldest := m
		for id, book := range b.books {
			if id != m && (oldest == m || book.last < b.books[oldest].last) {
				oldest = id
			}
		}
		total -= b.books[oldest].size
		delete(b.books, oldest) // whoever uses it has it still
	}
}

// mappings returns a merchant's mappings under its rules, as new as m or newer:
// what is of another version is read anew, also where that is a later one, of a
// ledger that has been restored from a backup since.
func (a *Activities) mappings(ctx context.Context, m store.Merchant) (relay.Mappings, error) {
	book := a.books.of(m.ID)
	book.reading.Lock()
	defer book.reading.Unlock()
	if !book.known || book.kept.Version != m.MappingsVersion {
		read, err := a.store.Mappings(ctx, m.ID)
		if err != nil {
			return relay.Mappings{}, err
		}
		book.kept, book.known = read, true
		a.books.grown(m.ID, read.Size())
	}
	return book.kept.Under(m.Merchant), nil
}
