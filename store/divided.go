package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// sentByOthers finds those of the orders that another cart of the same account, of
// whichever merchant, has sent: an order moves from one cart's part of an account
// to another's when its location or tags change at the shop. Promise 1: as long as a
// warehouse has it, or may have it, no other one gets it. The same order is one with
// the same id and creation at the same address, of carts of the named connectors.
//
// The orders' own rows are locked already, and here those that they are at the other
// carts: of two that claim one order at once, the second waits and sees.
func sentByOthers(ctx context.Context, tx pgx.Tx, connectors []string, orders []relay.Order) (map[relay.OrderID]relay.Hold, error) {
	ids := make([]int64, len(orders))
	for i, o := range orders {
		ids[i] = int64(o.ID)
	}
	rows, err := tx.Query(ctx, `
		select o.id, other.id, format('%s/%s %s', other.merchant_id, oc.name, other.reference)
		from orders o join connections c on c.id = o.cart_id and c.connector = any($2)
			join orders other on other.external_id = o.external_id and other.placed_at = o.placed_at and other.cart_id <> o.cart_id
			join connections oc on oc.id = other.cart_id and oc.connector = any($2) and oc.base_url = c.base_url
		where o.id = any($1) order by other.id for share of other`, ids, connectors)
	if err != nil {
		return nil, err
	}
	type twin struct {
		order, other relay.OrderID
		name         string
	}
	var twins []twin
	var others []relay.OrderID
	var t twin
	_, err = pgx.ForEachRow(rows, []any{&t.order, &t.other, &t.name}, func() error {
		twins, others = append(twins, t), append(others, t.other)
		return nil
	})
	if err != nil || len(twins) == 0 {
		return nil, err
	}
	// A statement of its own, so that it sees what became of those that it waited for.
	live, err := liveSubmissions(ctx, tx, others)
	if err != nil {
		return nil, err
	}
	holds := make(map[relay.OrderID]relay.Hold)
	for _, t := range twins {
		if live[t.other] {
			holds[t.order] = relay.Hold{Reason: relay.HoldBadOrder, Fields: []relay.Problem{{
				Field: "already_sent", Value: t.name,
				Message: fmt.Sprintf("this order of the account was sent by another cart (%s); cancel it there before it is sent from here", t.name),
			}}}
		}
	}
	return holds, nil
}
