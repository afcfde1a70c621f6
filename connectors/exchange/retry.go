package exchange

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"orderferry/relay"
)

// Tries is how often a read is tried. A write is tried once: what became of it
// is looked up before it is sent again.
const Tries = 3

// Backoff is how long a read that failed is waited with.
type Backoff struct {
	First time.Duration // at most, before the second try; twice as long before the third
	// Longest is the longest wait that a vendor may ask for. The caller can wait
	// for more better than we can.
	Longest time.Duration
}

// Retry tries up to Tries times, while the failure is Unavailable or Throttled
// and ctx lasts beyond the next wait.
func (b Backoff) Retry(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || n == Tries || ctx.Err() != nil {
			return err
		}
		var e *relay.Error
		if !errors.As(err, &e) || (e.Kind != relay.Unavailable && e.Kind != relay.Throttled) || e.After > b.Longest {
			return err
		}
		wait := b.First << (n - 1)
		wait = max(e.After, wait/2+rand.N(wait/2+1))
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
