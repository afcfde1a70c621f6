package simulator

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func (c *call) createOrder() (int, any, *problem) {
	var req orderRequest
	if p := c.decode(&req); p != nil {
		return 0, nil, p
	}
	if p := req.check(); p != nil {
		return 0, nil, p
	}
	b := c.begin()
	o, p := b.newOrder(req)
	if p != nil {
		c.mu.Unlock()
		return 0, nil, p
	}
	o.Created, o.Updated = c.now, c.now
	c.commit(b, &change{Orders: []*order{o}})
	c.orderEvent(b, o, "fulfillment.order.created", "")
	c.stats.OrdersAccepted++
	snapshot := b.snapshot(o)
	c.mu.Unlock()
	return http.StatusCreated, c.render.order(snapshot), nil
}

// newOrder finds the products and promises the stock: for the whole order, or the
// order is refused whole (section 11.2).
func (b *book) newOrder(req orderRequest) (*order, *problem) {
	lines, p := req.resolve(b)
	if p != nil {
		return nil, p
	}
	reserved, p := allocate(b, lines)
	if p != nil {
		return nil, p
	}
	n, id := b.next("order_")
	return &order{N: n, ID: id, State: Received, Request: req, Lines: lines, Reserved: reserved}, nil
}

// gone says that an order answers 404 and is in no list.
func (c *call) gone(o *order) bool { return o.Deleted && c.behaviour.GoneAfterDelete }

func (c *call) listed() func(*order) bool {
	if !c.behaviour.GoneAfterDelete && c.behaviour.ListDelay == 0 {
		return nil
	}
	newest := c.now.Add(-c.behaviour.ListDelay)
	return func(o *order) bool { return !c.gone(o) && !o.Created.After(newest) }
}

func (c *call) listOrders() (int, any, *problem) {
	query := c.request.URL.Query()
	skip, n := c.behaviour.page(query)
	b := c.begin()
	var rows []*order
	if text := strings.TrimSpace(query.Get("query")); text != "" && !c.behaviour.QueryUnsupported {
		found := b.search(text, c.listed(), !c.behaviour.DropDescription)
		rows = found.page(skip, n, nil, c.behaviour.OldestFirst)
	} else {
		rows = b.byNewest.page(skip, n, c.listed(), c.behaviour.OldestFirst)
	}
	snapshots := b.snapshots(rows)
	c.mu.Unlock()

	orders := make([]*wireOrder, len(snapshots))
	for i, s := range snapshots {
		orders[i] = c.render.order(s)
	}
	return http.StatusOK, map[string]any{"orders": array(c.render, orders)}, nil
}

func (c *call) getOrder() (int, any, *problem) {
	b := c.begin()
	o := c.settleOrder(b, c.ids[0], c.now)
	if o == nil || c.gone(o) {
		c.mu.Unlock()
		return 0, nil, notFound()
	}
	snapshot := b.snapshot(o)
	c.mu.Unlock()
	return http.StatusOK, c.render.order(snapshot), nil
}

func (c *call) updateOrder() (int, any, *problem) {
	b := c.begin()
	defer c.mu.Unlock()
	o := c.settleOrder(b, c.ids[0], c.now)
	if o == nil || c.gone(o) {
		return 0, nil, notFound()
	}
	if o.State != Received {
		return 0, nil, tooLate("The order can no longer be changed.")
	}
	req, newLines, err := o.Request.merged(c.body)
	if err != nil {
		return 0, nil, badBody(err)
	}
	if p := req.check(); p != nil {
		return 0, nil, p
	}
	next := o.moved(c.now)
	next.Request = req
	if newLines {
		// Its own stock is free for the new version of the order.
		b.reserve(o.Reserved, -1)
		again, p := b.newOrder(req)
		b.reserve(o.Reserved, +1)
		if p != nil {
			return 0, nil, p
		}
		next.Lines, next.Reserved = again.Lines, again.Reserved
	}
	c.commit(b, &change{Orders: []*order{next}})
	c.orderEvent(b, next, "fulfillment.order.updated", o.State)
	return http.StatusOK, c.render.order(b.snapshot(next)), nil
}

// deleteOrder cancels (section 8.1). A held order can still be cancelled if it had
// not been picked.
func (c *call) deleteOrder() (int, any, *problem) {
	b := c.begin()
	defer c.mu.Unlock()
	o := c.settleOrder(b, c.ids[0], c.now)
	if o == nil || c.gone(o) {
		return 0, nil, notFound()
	}
	if !c.cancellable(o) {
		return 0, nil, tooLate("The order can no longer be cancelled.")
	}
	c.cancel(b, o, c.now, true)
	return c.deleted()
}

func (c *call) cancellable(o *order) bool {
	stage := o.State
	if stage == OnHold {
		stage = o.HeldFrom
	}
	return stage == Received || (stage == Processing && c.behaviour.CancelWhileOpen && o.LastShip.IsZero())
}

// Page sizes of section 4.
const (
	defaultPerPage = 20
	maxPerPage     = 300
)

// page reads the paging parameters: offset is applied before paging, and limit
// caps what one answer returns, or all that the pages from the offset on hold.
// Values that make no sense count as absent.
func (b Behaviour) page(q url.Values) (skip, n int) {
	perPage := min(atoi(q.Get("per_page"), 1, defaultPerPage), maxPerPage)
	limit := atoi(q.Get("limit"), 1, maxOffset)
	page := atoi(q.Get("page"), 0, 0)
	if b.OneBasedPages {
		page = max(0, page-1)
	}
	if b.IgnorePage {
		page = 0
	}
	offset := atoi(q.Get("offset"), 0, 0)
	if b.IgnoreOffset {
		offset = 0
	}
	left := limit
	if b.LimitCapsTotal {
		left = max(0, limit-page*perPage)
	}
	return offset + page*perPage, min(perPage, left)
}

// maxOffset keeps products of page numbers far from overflow.
const maxOffset = 1 << 30

func atoi(s string, least, otherwise int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < least {
		return otherwise
	}
	return min(n, maxOffset)
}
