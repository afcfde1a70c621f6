package easypost

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	listOrdersOp = "list orders"
	maxListPages = 10_000 // more is a list without an end
)

// listCursor is how far the list of orders was read. The list is read in turns,
// minutes apart: orders that come meanwhile push those on a page to the next, so
// some are read twice and none is passed over.
type listCursor struct {
	Page int `json:"page"` // counted from the first
	// First is the first order of the page before: the same again means that the
	// vendor counts pages from one, or does not count them at all.
	First string `json:"first,omitempty"`
	// Offset is how many rows were read of a list whose pages are not counted.
	Offset int `json:"offset,omitempty"`
}

// ListOrders reads one page of all orders and returns those with our mark in
// their description. What it takes for granted of the list is as little as walk does.
func (c *connection) ListOrders(ctx context.Context, q connectors.OrderListQuery) (connectors.OrderListPage, error) {
	var cur listCursor
	if q.Cursor != "" && json.Unmarshal([]byte(q.Cursor), &cur) != nil {
		return connectors.OrderListPage{}, &relay.Error{Kind: relay.Invalid, Op: listOrdersOp, Err: errors.New("the cursor is none of ours")}
	}
	rows, _, err := readList[orderJSON](ctx, c.client, listOrdersOp, "orders", c.pageQuery(cur))
	if err != nil {
		return connectors.OrderListPage{}, err
	}
	page := connectors.OrderListPage{}
	var order newestFirst
	for _, o := range rows {
		if err := c.wrongMode(listOrdersOp, o.Mode); err != nil {
			return connectors.OrderListPage{}, err
		}
		order.see(o.CreatedAt.At)
		if token, number, ok := readMark(string(o.Description)); ok && idForm.MatchString(string(o.ID)) {
			page.Orders = append(page.Orders, connectors.ListedOrder{
				ID: relay.WarehouseOrderID(o.ID), Token: token, Number: number, CreatedAt: o.CreatedAt.At, Progress: c.update(o).Progress,
			})
		}
	}
	if order.past(q.Since) {
		return page, nil
	}
	page.More, page.Partial = cur.next(rows, c.client.pageSize)
	if page.More {
		b, err := json.Marshal(cur)
		if err != nil {
			return connectors.OrderListPage{}, &relay.Error{Kind: relay.Invalid, Op: listOrdersOp, Err: err}
		}
		page.Cursor = string(b)
	}
	return page, nil
}

func (c *connection) pageQuery(cur listCursor) url.Values {
	query := c.client.window()
	query.Set("page", strconv.Itoa(c.client.firstPage+cur.Page))
	if cur.Offset > 0 {
		query.Set("page", strconv.Itoa(c.client.firstPage))
		query.Set("offset", strconv.Itoa(cur.Offset))
	}
	return query
}

// next moves the cursor behind a page, and says whether there is more to read
// and, if not, whether the end was out of reach.
func (l *listCursor) next(rows []orderJSON, size int) (more, partial bool) {
	if len(rows) == 0 {
		// Nothing under the first number: it may count from one.
		first := l.Page == 0 && l.Offset == 0
		l.Page++
		return first, false
	}
	first := string(rows[0].ID)
	again := first == l.First
	l.First = first
	switch full := len(rows) >= size; {
	case l.Offset > 0 && again:
		return false, true // neither pages nor offsets are heeded
	case l.Offset > 0:
		l.Offset += len(rows)
	case again && l.Page > 1 && full:
		l.Offset = len(rows)
	case again && l.Page > 1:
		return false, false // the whole list is on one page
	}
	l.Page++
	return l.Page < maxListPages, l.Page >= maxListPages
}

// tokenMark finds a whole token of ours: 16 characters, as the ledger makes it.
var tokenMark = regexp.MustCompile(`(?i)` + markPrefix + `([a-z0-9]{16})(?:[^a-z0-9]|$)`)

// readMark reads what description wrote: the token, and the order's number after it.
func readMark(description string) (token relay.Token, number string, ok bool) {
	at := tokenMark.FindStringSubmatchIndex(description)
	if at == nil {
		return "", "", false
	}
	return relay.Token(strings.ToLower(description[at[2]:at[3]])), strings.TrimSpace(description[at[3]:]), true
}
