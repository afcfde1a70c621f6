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
	Refusals         []string         // of each parcel that the cart is still to be told of, all that it said to that
	Untold           []string         // the tracking numbers of these, and of what is told with them
	Trail            []store.EventKind
	Undone           bool // reopened when a person had asked for a cancel since they asked for that
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

// Key names the order.
func (o Order) Key() Key { return Key{o.Cart, o.Number} }

// Marks are what a warehouse may have been given to know the order by.
func (o Order) Marks() []string { return append([]string{string(o.Reference)}, o.Tokens...) }

// At lists the orders that a warehouse has of it, and did not cancel.
func (o Order) At(warehouse []WarehouseOrder) []WarehouseOrder {
	return slices.DeleteFunc(alive(warehouse), func(w WarehouseOrder) bool { return !slices.Contains(o.Marks(), w.Mark) })
}

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
			array(select coalesce((select string_agg(e.detail ->> 'error', '; ' order by e.id) from order_events e
					where e.order_id = o.id and e.kind = 'tell_failed' and (e.detail ->> 'shipment')::bigint = s.id), '')
				from shipments s where s.order_id = o.id and s.state = 'ready' order by s.id),
			array(select s.tracking_number from shipments s where s.order_id = o.id and s.state in ('ready', 'merged')),
			array(select e.kind from order_events e where e.order_id = o.id order by e.id),
			exists (select from order_events e join order_events c on c.order_id = e.order_id and c.id < e.id
				where e.order_id = o.id and e.kind = 'reopened' and c.kind = 'cancel_asked'
					and (c.detail ->> 'asked')::timestamptz > (e.detail ->> 'asked')::timestamptz)
		from orders o join connections c on c.id = o.cart_id
		where o.merchant_id = $1 order by o.id`, merchant)
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
