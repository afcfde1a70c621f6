package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
	"orderferry/store"
)

// Order is an order in the ledger.
type Order struct {
	ID               relay.OrderID
	Cart             relay.ConnectionName
	Number           string
	Reference        relay.Reference
	Tokens           []string // of its submissions
	State            relay.OrderState
	WarehouseOrderID relay.WarehouseOrderID
	Hold             relay.HoldReason // "" when it is not on hold
	PushError        string           // why the cart does not take its tracking; "" when nothing waits to be told
	CancelPlanned    bool             // the cart is to be told of its cancel (again), at a time that is set
	Trail            []store.EventKind
}

func (o Order) has(kind store.EventKind) bool { return slices.Contains(o.Trail, kind) }

// hasNow looks only at what happened since the order was reopened last.
func (o Order) hasNow(kind store.EventKind) bool {
	for _, k := range slices.Backward(o.Trail) {
		switch k {
		case kind:
			return true
		case store.EventReopened:
			return false
		}
	}
	return false
}

// Marks are what a warehouse may have been given to know the order by.
func (o Order) Marks() []string { return append([]string{string(o.Reference)}, o.Tokens...) }

// Querier is a connection or a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Ledger reads a merchant's orders. It reads the tables themselves: an auditor
// does not ask the code that is audited.
func Ledger(ctx context.Context, q Querier, merchant relay.MerchantID) ([]Order, error) {
	rows, err := q.Query(ctx, `
		select o.id, c.name, o.number, o.reference, array(select s.token from submissions s where s.order_id = o.id order by s.id),
			o.state, coalesce(o.warehouse_order_id, ''), coalesce(o.hold_reason, ''),
			coalesce((select string_agg(s.push_error, '; ' order by s.id) from shipments s where s.order_id = o.id and s.state = 'ready'), ''),
			o.cart_cancel_at is not null,
			array(select e.kind from order_events e where e.order_id = o.id order by e.id)
		from orders o join connections c on c.id = o.cart_id where o.merchant_id = $1 order by o.id`, merchant)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Order])
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return list, nil
}

// Alerts reads what became of a merchant's alerts, and the messages on a channel
// that tell it: that an alert opened or closed must be told, and what is told of
// one that rose.
func Alerts(ctx context.Context, q Querier, merchant relay.MerchantID, channel relay.AlertChannel) ([]News, error) {
	rows, err := q.Query(ctx, `
		with told as (
			select m.key, n.alert_id, n.news from alert_messages m join alert_notices n on n.message_id = m.id where m.merchant_id = $1 and m.channel = $2)
		select key, alert_id, news from told
		union all
		select '', a.id, w.news from alerts a cross join (values ('opened'), ('closed')) as w(news)
		where a.merchant_id = $1 and (w.news = 'opened' or a.closed_at is not null) and (a.id, w.news) not in (select alert_id, news from told)
		order by 2, 1`, merchant, channel)
	if err != nil {
		return nil, fmt.Errorf("read the alerts: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[News])
	if err != nil {
		return nil, fmt.Errorf("read the alerts: %w", err)
	}
	return list, nil
}
