package tradegecko

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// variantsByID reads variants, those seen lately from memory: the same few
// products come back in most orders. Stock figures are never taken from here.
func (c *connection) variantsByID(ctx context.Context, op string, keys []id) (map[id]variant, error) {
	found := make(map[id]variant, len(keys))
	var missing []id
	for _, k := range unique(keys) {
		if v, ok := c.variants.get(k, time.Now()); ok {
			found[k] = v
		} else {
			missing = append(missing, k)
		}
	}
	got, err := byID(ctx, c.api, op, "/variants", missing, pickVariants)
	if err != nil {
		return nil, err
	}
	for k, v := range got {
		v.Locations = nil
		found[k] = v
		c.variants.put(v, time.Now())
	}
	return found, nil
}

func pickVariants(d *document) []variant { return d.Variants }

// variantCache holds the variants used last, each for a limited time. It is
// safe for concurrent use.
type variantCache struct {
	mu    sync.Mutex
	most  int
	keep  time.Duration
	byID  map[id]*list.Element
	order *list.List // of cachedVariant, used last first
}

type cachedVariant struct {
	variant variant
	until   time.Time
}

func newVariantCache(most int, keep time.Duration) *variantCache {
	return &variantCache{most: most, keep: keep, byID: make(map[id]*list.Element), order: list.New()}
}

func (c *variantCache) get(k id, now time.Time) (variant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[k]
	if !ok {
		return variant{}, false
	}
	held := e.Value.(cachedVariant)
	if now.After(held.until) {
		c.order.Remove(e)
		delete(c.byID, k)
		return variant{}, false
	}
	c.order.MoveToFront(e)
	return held.variant, true
}

func (c *variantCache) put(v variant, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byID[v.ID]; ok {
		c.order.Remove(e)
	}
	c.byID[v.ID] = c.order.PushFront(cachedVariant{variant: v, until: now.Add(c.keep)})
	for len(c.byID) > c.most {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byID, last.Value.(cachedVariant).variant.ID)
	}
}
