package tradegecko

import (
	"context"
	"errors"
	"net/http"

	"orderferry/connectors"
	"orderferry/relay"
)

const opPushCancels = "push cancels"

// voidingConnection is a connection whose merchant lets us void orders.
type voidingConnection struct{ *connection }

// PushCancels voids orders, one after the other (wire/tradegecko.md section
// 10.3). What the action answers is unknown, so each order is read again and the
// cart's own status decides.
func (c *voidingConnection) PushCancels(ctx context.Context, pushes []connectors.CancelPush) ([]connectors.CancelPushOutcome, error) {
	out := make([]connectors.CancelPushOutcome, len(pushes))
	ids := make([]id, len(pushes))
	for i, p := range pushes {
		ids[i], out[i].Err = parseOrderID(opPushCancels, p.Order)
	}
	orders, shipping, err := c.cancelBooks(ctx, unique(ids))
	for i, p := range pushes {
		switch {
		case out[i].Err != nil:
		case err != nil:
			out[i].Err = notTried(opPushCancels, err)
		default:
			o, known := orders[ids[i]]
			if out[i] = c.voidOne(ctx, o, known, shipping[ids[i]], p.Key); stopsAll(out[i].Err) {
				err = out[i].Err
			}
		}
	}
	return out, err
}

// cancelBooks reads the orders, and what the cart has packed or shipped of them.
func (c *voidingConnection) cancelBooks(ctx context.Context, keys []id) (map[id]order, map[id][]*fulfillment, error) {
	orders, err := c.ordersByID(ctx, opPushCancels, keys)
	if err != nil {
		return nil, nil, err
	}
	shipping, err := c.fulfillments(ctx, opPushCancels, keys)
	return orders, shipping, err
}

func (c *voidingConnection) voidOne(ctx context.Context, o order, known bool, shipping []*fulfillment, key string) connectors.CancelPushOutcome {
	switch {
	case !known:
		return connectors.CancelPushOutcome{Status: connectors.GoneAtCart, Found: true}
	case o.cancelled():
		return connectors.CancelPushOutcome{Status: string(o.Status), Found: true}
	case len(shipping) > 0 || o.FulfillmentStatus == "partial" || o.FulfillmentStatus == "shipped":
		return connectors.CancelPushOutcome{Err: &relay.Error{
			Op: opPushCancels, Kind: relay.Conflict, Code: "order_shipping",
			Err: errors.New("the cart has packed or shipped some of it: undo that there and void the order, or leave it"),
		}}
	}
	_, _, err := c.api.do(ctx, request{
		op: "void order", method: http.MethodPost, path: "/orders/" + o.ID.String() + "/actions/void", key: writeKey(key, "void", o),
	})
	if stopsAll(err) { // nothing happened
		return connectors.CancelPushOutcome{Err: err}
	}
	// Whatever was answered: a refusal may mean that somebody else was quicker.
	now, readErr := c.orderStatus(ctx, o.ID)
	switch {
	case readErr != nil && (err == nil || inDoubt(err)):
		return connectors.CancelPushOutcome{Err: doubt(opPushCancels, readErr)}
	case readErr != nil:
		return connectors.CancelPushOutcome{Err: err}
	case now.cancelled() || now.Status == connectors.GoneAtCart:
		return connectors.CancelPushOutcome{Status: string(now.Status)}
	case err != nil && inDoubt(err):
		return connectors.CancelPushOutcome{Err: doubt(opPushCancels, err)}
	case err != nil:
		return connectors.CancelPushOutcome{Err: err}
	}
	return connectors.CancelPushOutcome{Err: &relay.Error{
		Op: opPushCancels, Kind: relay.Rejected, Code: "not_void", Words: "the cart accepted the cancel but does not show it",
	}}
}

// orderStatus reads one order; one that the cart does not know is gone.
func (c *voidingConnection) orderStatus(ctx context.Context, n id) (order, error) {
	d, _, err := c.api.do(ctx, request{op: opPushCancels, path: "/orders/" + n.String()})
	switch {
	case errors.Is(err, relay.NotFound):
		return order{ID: n, Status: connectors.GoneAtCart}, nil
	case err != nil:
		return order{}, err
	case d.Order == nil || d.Order.ID != n:
		return order{}, unreadable(opPushCancels, "order")
	}
	return *d.Order, nil
}
