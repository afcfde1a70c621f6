package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Unready is an order that its cart does not have ready to be shipped any more.
type Unready struct {
	ID  relay.ExternalID
	Why string
	At  time.Time // of that version of the order
}

// NoteUnready skips those of a cart's orders that wait to be sent or are on hold,
// with the reason. TakeIn lets them go once the cart has them ready again. Promise 1:
// what is or may be at the warehouse is left alone, and so is what a later version
// was taken in of.
func (s *Store) NoteUnready(ctx context.Context, cart Connection, list []Unready, actor string) (Filtered, error) {
	var out Filtered
	if len(list) == 0 {
		return out, nil
	}
	ids, at, why := make([]string, len(list)), make([]time.Time, len(list)), make(map[relay.ExternalID]string, len(list))
	for i, u := range list {
		ids[i], at[i], why[u.ID] = string(u.ID), stored(u.At), plain(u.Why)
	}
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = Filtered{}
		f, err := filterOf(ctx, tx, cart)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			select `+orderColumns+` from orders o join connections c on c.id = o.cart_id join unnest($2::text[], $3::timestamptz[]) as q(id, at) on q.id = o.external_id
			where o.cart_id = $1 and o.state in ('new', 'held', 'skipped') and o.cart_updated_at <= q.at order by o.id for update of o`, cart.ID, ids, at)
		if err != nil {
			return err
		}
		orders, err := collectOrders(ctx, tx, rows)
		if err != nil {
			return err
		}
		var noted []int64
		var traits []string
		var verdicts []verdict
		for _, o := range orders {
			o.Traits.Unready = why[o.ExternalID]
			t, err := asJSON(o.Traits)
			if err != nil {
				return err
			}
			noted, traits = append(noted, int64(o.ID)), append(traits, t)
			verdicts = append(verdicts, verdict{o.ID, f.Skips(o.CartOrder)})
		}
		if err := noteTraits(ctx, tx, noted, traits); err != nil {
			return err
		}
		done, err := sift(ctx, tx, actor, verdicts, "")
		out = Filtered{Skipped: done.skipped, Woken: done.woken}
		return err
	})
	if err != nil {
		return Filtered{}, fmt.Errorf("note orders of %s/%s that are not ready: %w", cart.Merchant, cart.Name, err)
	}
	return out, nil
}
