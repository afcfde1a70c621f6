package easypost

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"orderferry/connectors"
	"orderferry/relay"
)

const (
	listOrdersOp = "list orders"
	maxListPages = 10_000 // more is a list without an end
)

// ListOrders reads one page of all orders and returns those with our mark in
// their description. It is read in turns, minutes apart, so that orders which come
// or leave meanwhile are the rule: some are read twice, and one that slips through
// is only to be feared where offsets are not heeded.
func (c *connection) ListOrders(ctx context.Context, q connectors.OrderListQuery) (connectors.OrderListPage, error) {
	var at listCursor
	if q.Cursor != "" && json.Unmarshal([]byte(q.Cursor), &at) != nil {
		return connectors.OrderListPage{}, &relay.Error{Kind: relay.Invalid, Op: listOrdersOp, Err: errors.New("the cursor is none of ours")}
	}
	rows, listed, err := readList[orderJSON](ctx, c.client, listOrdersOp, "orders", c.client.windowAt(at))
	if err != nil {
		return connectors.OrderListPage{}, err
	}
	page := connectors.OrderListPage{}
	var order newestFirst
	var ids []string
	for _, o := range rows {
		if err := c.wrongMode(listOrdersOp, o.Mode); err != nil {
			return connectors.OrderListPage{}, err
		}
		order.see(o.CreatedAt.At)
		if o.ID != "" {
			ids = append(ids, string(o.ID))
		}
		if slices.Contains(at.Tail, string(o.ID)) {
			continue // told with the page before
		}
		if token, number, ok := readMark(string(o.Description)); ok && idForm.MatchString(string(o.ID)) {
			page.Orders = append(page.Orders, connectors.ListedOrder{
				ID: relay.WarehouseOrderID(o.ID), Token: token, Number: number, CreatedAt: o.CreatedAt.At, Progress: c.update(o).Progress,
			})
		}
	}
	more := at.next(ids, c.client.pageSize)
	at.Gap = at.Gap || !listed || (more && at.Asked >= maxListPages)
	page.Partial = at.Gap
	if page.More = more && at.Asked < maxListPages && !order.past(q.Since); page.More {
		b, err := json.Marshal(at)
		if err != nil {
			return connectors.OrderListPage{}, &relay.Error{Kind: relay.Invalid, Op: listOrdersOp, Err: err}
		}
		page.Cursor = string(b)
	}
	return page, nil
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
