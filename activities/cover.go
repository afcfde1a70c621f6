package activities

import (
	"bytes"
	"context"
	"fmt"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// coveredAtOnce is how many orders on hold for stock are looked at in one transaction.
const coveredAtOnce = 500

// releaseCovered lets orders on hold go that the stock which was just read
// covers, all of them: to leave some for the next reading would keep them
// waiting for an hour. The workflows of the first 200 are told at once; each of
// the others looks by itself at its next resend, or when its order is refused
// again, and ends then.
func (j *job) releaseCovered(ctx context.Context, r *PullInventoryResult) error {
	// The reading took its time: mappings and the pause are as they are now.
	m, err := j.store.Merchant(ctx, j.merchant.ID)
	if err != nil {
		return err
	}
	mappings, err := j.mappings(ctx, m)
	if err != nil {
		return err
	}
	for q := (store.CoveredQuery{Merchant: m, Mappings: mappings, Limit: coveredAtOnce, Actor: j.actor}); ; {
		page, err := j.store.ReleaseCovered(ctx, q)
		if err != nil {
			return err
		}
		r.Released += len(page.Released)
		r.Woken = append(r.Woken, page.Released[:min(len(page.Released), mostWoken-len(r.Woken))]...)
		if !page.More {
			return nil
		}
		q.After = page.Next
	}
}

// rechecked are the reasons for which new settings or mappings can mend an order:
// they change what would be sent.
var rechecked = []relay.HoldReason{
	relay.HoldUnknownItem, relay.HoldUnmappedShipMethod, relay.HoldKitWithoutComponents, relay.HoldBadAddress, relay.HoldBadOrder,
	relay.HoldRejected, relay.HoldInsufficientInventory,
}

// mended returns those orders that could be sent now and could not be before:
// what our own checks refused passes them, and what the warehouse refused would
// be another request. Each is prepared as it would be sent; nothing is sent.
func (a *Activities) mended(ctx context.Context, m store.Merchant, orders []store.Rechecked) ([]relay.OrderID, error) {
	if len(orders) == 0 {
		return nil, nil
	}
	mappings, err := a.mappings(ctx, m)
	if err != nil {
		return nil, err
	}
	warehouse := m.StoredWarehouse()
	vendor, err := a.connect(m, warehouse)
	if err != nil {
		return nil, err
	}
	sink, ok := vendor.(connectors.OrderSink)
	if !ok {
		return nil, &relay.Error{Kind: relay.Invalid, Op: "recheck holds", Err: fmt.Errorf("connector %s takes no orders", warehouse.Connector)}
	}
	s := &submitter{job: &job{Activities: a}, sink: sink, book: mappings, prepared: make(map[relay.OrderID]preparedOrder)}
	var ids []relay.OrderID
	for _, o := range orders {
		token := o.Token
		if token == "" {
			token = anyToken
		}
		claim, err := s.prepare(o.Order, token)
		if err != nil {
			return nil, fmt.Errorf("prepare order %s: %w", o.Reference, err)
		}
		if claim.Hold == nil && !bytes.Equal(claim.Digest[:], o.Digest) {
			ids = append(ids, o.ID)
		}
	}
	return ids, nil
}

// anyToken is in the place of a token where nothing is sent.
const anyToken relay.Token = "aaaaaaaaaaaaaaaa"
