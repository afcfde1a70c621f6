package tradegecko

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

const opPullCancellations = "pull cancellations"

// everyStatus makes a list show all orders: without it, lists may leave out the
// void and the deleted (wire/tradegecko.md section 4.4).
func everyStatus() []string {
	return []string{"draft", "active", "finalized", "fulfilled", "void", "deleted"}
}

// PullCancellations reads the orders that became void or deleted, and looks at
// the watched ones by id (section 11.3): that voiding moves an order's
// timestamp is unknown. A watched order that the cart does not know any more is
// reported as "gone". One that a merchant unlocked, or whose payment was taken back
// (sections 9.1 and 11.2), is unready: the feed of ready orders is silent about it.
func (c *connection) PullCancellations(ctx context.Context, q connectors.CancellationsQuery) (connectors.CancellationsPage, error) {
	cur, err := parseCursor(opPullCancellations, q.Cursor)
	if err != nil {
		return connectors.CancellationsPage{}, err
	}
	var watch []id
	for _, external := range q.Watch {
		n, err := parseOrderID(opPullCancellations, external)
		if err != nil {
			return connectors.CancellationsPage{}, err
		}
		watch = append(watch, n)
	}
	filter := url.Values{"status[]": {"void", "deleted"}}
	cur.begin(filter.Encode(), time.Now(), c.overlap, 0)
	rows, over, err := c.walkPage(ctx, opPullCancellations, &cur, filter, q.Limit)
	if err != nil {
		return connectors.CancellationsPage{}, err
	}
	watched, err := c.ordersByID(ctx, opPullCancellations, watch)
	if err != nil {
		return connectors.CancellationsPage{}, err
	}
	if over {
		cur.end(time.Now())
	}
	return connectors.CancellationsPage{
		Cancelled: cancellations(rows, watch, watched), Unready: c.unreadyOf(watch, watched), Cursor: cur.String(), More: !over,
	}, nil
}

func (c *connection) unreadyOf(watch []id, watched map[id]order) []connectors.Unready {
	var out []connectors.Unready
	for _, o := range inOrder(unique(watch), watched) {
		if why := c.unready(o); why != "" && !o.cancelled() && o.FulfillmentStatus != "shipped" {
			out = append(out, connectors.Unready{ID: externalID(o.ID), Why: why, At: o.UpdatedAt.Time})
		}
	}
	return out
}

func cancellations(rows []order, watch []id, watched map[id]order) []connectors.Cancellation {
	var out []connectors.Cancellation
	seen := make(map[id]bool)
	for _, o := range slices.Concat(rows, inOrder(watch, watched)) {
		if !seen[o.ID] && o.cancelled() {
			seen[o.ID] = true
			out = append(out, connectors.Cancellation{ID: externalID(o.ID), Status: string(o.Status), At: o.UpdatedAt.Time})
		}
	}
	for _, w := range unique(watch) {
		if len(watched) == 0 {
			break // not one of them is known here: rather the wrong account than that all are gone
		}
		if o, known := watched[w]; known && !seen[w] && o.FulfillmentStatus == "shipped" {
			// A watched order has not left our warehouse: somebody shipped it in another way.
			out = append(out, connectors.Cancellation{ID: externalID(w), Status: connectors.ShippedElsewhere, At: o.UpdatedAt.Time})
			continue
		}
		if _, known := watched[w]; !known && !seen[w] {
			out = append(out, connectors.Cancellation{ID: externalID(w), Status: connectors.GoneAtCart, At: time.Now().UTC()})
		}
	}
	return out
}

func inOrder(keys []id, byID map[id]order) []order {
	var out []order
	for _, k := range keys {
		if o, ok := byID[k]; ok {
			out = append(out, o)
		}
	}
	return out
}

func (o order) cancelled() bool { return o.Status == "void" || o.Status == "deleted" }

// ordersByID reads orders whatever their status. One that a list leaves out is
// asked for by itself, so that only the server's own 404 means that it is gone.
func (c *connection) ordersByID(ctx context.Context, op string, keys []id) (map[id]order, error) {
	keys = unique(keys)
	found := make(map[id]order, len(keys))
	for batch := range slices.Chunk(keys, maxIDs) {
		query := url.Values{"ids[]": nil, "status[]": everyStatus(), "order": {"created_at asc"}}
		for _, k := range batch {
			query.Add("ids[]", k.String())
		}
		rows, err := listAll(ctx, c.api, request{op: op, path: "/orders", query: query}, func(d *document) []order { return d.Orders })
		if err != nil {
			return nil, err
		}
		for _, o := range rows {
			found[o.ID] = o
		}
	}
	for _, k := range keys {
		if _, ok := found[k]; ok {
			continue
		}
		d, _, err := c.api.do(ctx, request{op: op, path: "/orders/" + k.String()})
		var e *relay.Error
		if errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if d.Order == nil || d.Order.ID != k {
			return nil, unreadable(op, "order")
		}
		found[k] = *d.Order
	}
	return found, nil
}
