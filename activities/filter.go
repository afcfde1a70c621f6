package activities

import (
	"context"
	"time"

	"orderferry/connectors"
	"orderferry/postal"
	"orderferry/relay"
	"orderferry/store"
)

// filteredAtOnce is how many orders a changed filter is applied to in one
// transaction. Not more than mostWoken, so that every hold that ends hears of it.
const filteredAtOnce = mostWoken

// applyFilter holds a cart's orders that were not sent against its filter, when
// the merchant's settings changed since that was last done. It reports whether
// there is more to do than one run should.
func (j *job) applyFilter(ctx context.Context, r *PullOrdersResult) (more bool, err error) {
	// At most half of the time: new orders do not wait for old ones.
	until := time.Now().Add(j.opt.Budget / 2)
	var woken []relay.OrderID
	for more = true; time.Now().Before(until) && len(woken) == 0; {
		page, done, err := j.store.NextToFilter(ctx, j.conn.ID, filteredAtOnce)
		if err != nil {
			return more, err
		}
		if done {
			more = false
			break
		}
		if err := j.askWhetherWanted(ctx, page.Passing, r); err != nil {
			return more, err
		}
		applied, err := j.store.ApplyFilter(ctx, j.conn.ID, page, j.actor)
		if err != nil {
			return more, err
		}
		r.Skipped, r.Unskipped = r.Skipped+applied.Skipped, r.Unskipped+applied.Unskipped
		woken = applied.Woken
	}
	return more, j.wake(ctx, r, woken)
}

// askWhetherWanted has the cart say which of the orders it cancelled, shipped in
// another way or took back while they were skipped, and cancels all but the last: an order that was
// left out for weeks was often shipped from elsewhere.
func (j *job) askWhetherWanted(ctx context.Context, orders []relay.ExternalID, r *PullOrdersResult) error {
	source, ok := j.vendor.(connectors.CancellationSource)
	if !ok || len(orders) == 0 {
		return nil
	}
	// From where the ordinary pull is: what its feed tells is its own affair.
	cursor, err := j.store.Cursor(ctx, j.conn.ID, cancellationsCursor)
	if err != nil {
		return err
	}
	page, err := source.PullCancellations(ctx, connectors.CancellationsQuery{Cursor: cursor, Limit: pageSize, Watch: orders})
	if err != nil {
		return err
	}
	woken, err := j.cancelAll(ctx, page.Cancelled, r)
	if err != nil {
		return err
	}
	if _, err := j.noteUnready(ctx, page.Unready, r); err != nil { // skipped they are: nobody is to be woken
		return err
	}
	return j.wake(ctx, r, woken)
}

// judged notes on orders from a cart what filters go by and the cart does not
// tell as such: the country's code, where the address has a name.
func judged(orders []relay.CartOrder) []relay.CartOrder {
	for i := range orders {
		if code, known := postal.Country(orders[i].ShipTo.Country); known {
			orders[i].Traits.Country = code
		}
	}
	return orders
}

// skips says why the filter of an order's cart leaves it out, "" when it does not.
func (s *submitter) skips(o relay.Order) string {
	c, _ := s.merchant.Connection(o.Cart)
	return c.Rules.Filter.Skips(o.CartOrder)
}

// claimFor is what becomes of an order that is ready to be sent.
func (s *submitter) claimFor(o relay.Order, token relay.Token) (store.Claim, error) {
	if why := s.skips(o); why != "" {
		return store.Claim{Skip: why}, nil
	}
	return s.prepare(o, token)
}
