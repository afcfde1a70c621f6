package tradegecko

import (
	"context"

	"orderferry/relay"
)

const opReadOrders = "read orders"

// ReadOrders reads orders by id, whatever their status and however much of them
// was shipped: the feed of orders (section 11.2) leaves out what was.
func (c *connection) ReadOrders(ctx context.Context, orders []relay.ExternalID) ([]relay.CartOrder, error) {
	keys := make([]id, len(orders))
	for i, external := range orders {
		n, err := parseOrderID(opReadOrders, external)
		if err != nil {
			return nil, err
		}
		keys[i] = n
	}
	found, err := c.ordersByID(ctx, opReadOrders, keys)
	if err != nil {
		return nil, err
	}
	var live []order
	for _, o := range inOrder(unique(keys), found) {
		if !o.cancelled() {
			live = append(live, o)
		}
	}
	f, err := c.family(ctx, opReadOrders, live)
	if err != nil {
		return nil, err
	}
	var out []relay.CartOrder
	for _, o := range live {
		if !f.others[o.ID] {
			out = append(out, c.cartOrder(o, f))
		}
	}
	return out, nil
}
