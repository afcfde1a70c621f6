package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// OrderSummary is an order without its address.
type OrderSummary struct {
	ID               relay.OrderID          `json:"-"`
	Merchant         relay.MerchantID       `json:"merchant"`
	Cart             relay.ConnectionName   `json:"cart"`
	Number           string                 `json:"number"`
	Reference        relay.Reference        `json:"reference"`
	State            relay.OrderState       `json:"state"`
	WarehouseOrderID relay.WarehouseOrderID `json:"warehouse_order_id,omitempty"`
	WarehouseStatus  string                 `json:"warehouse_status,omitempty"`
	Hold             *HoldSummary           `json:"hold,omitempty"`
	SkipReason       string                 `json:"skip_reason,omitempty"` // of a skipped order
	AcceptedAt       *time.Time             `json:"accepted_at,omitempty"` // by the warehouse that has it
	PlacedAt         time.Time              `json:"placed_at"`
	SeenAt           time.Time              `json:"seen_at"`
	UpdatedAt        time.Time              `json:"updated_at"`
	CancelAskedAt    *time.Time             `json:"cancel_asked_at,omitempty"`
	// AnswerDue is by when a warehouse that has only received the order should say yes or no.
	AnswerDue *time.Time `json:"answer_due,omitempty"`
	// RetryAt is when a new order may be sent that could not be, one in doubt is looked
	// for, or its warehouse is asked for a cancel; nil: at once.
	RetryAt *time.Time `json:"retry_at,omitempty"`
}

// HoldSummary is why an order waits.
type HoldSummary struct {
	Reason   relay.HoldReason `json:"reason"`
	Fields   []relay.Problem  `json:"fields,omitempty"`
	Code     string           `json:"code,omitempty"`
	Words    string           `json:"words,omitempty"` // the warehouse's own; may quote an address
	Since    time.Time        `json:"since"`           // of the first hold
	HeldAt   time.Time        `json:"held_at"`         // since when it is on hold for this reason: the last refusal
	Attempts int              `json:"attempts"`
	// There says that the warehouse has the order and is stuck with it: nothing of it is sent again.
	There bool `json:"there,omitempty"`
}

// Headline is one line without personal data.
func (h HoldSummary) Headline() string {
	return relay.Hold{Reason: h.Reason, Fields: h.Fields, Code: h.Code}.Headline()
}

// OrderQuery filters a list of orders. Zero fields do not filter.
type OrderQuery struct {
	Merchant relay.MerchantID
	States   []relay.OrderState
	Reason   relay.HoldReason
	// Unshipped: only orders that a warehouse has had since before then, and of which not all has left.
	Unshipped time.Time
	Cart      relay.ConnectionName
	Latest    bool          // those first that were seen last
	After     relay.OrderID // orders that come behind this one in the list
	Limit     int
}

// unshipped says of an order o that a warehouse has taken it, and that not all of it has left.
const unshipped = `o.state in ('at_warehouse', 'shipped') and o.answer_due is null and not (o.state = 'shipped' and o.ship_complete)`

const summaryColumns = `o.id, o.merchant_id, c.name, o.number, o.reference, o.state, coalesce(o.warehouse_order_id, ''), coalesce(o.warehouse_status, ''),
	o.hold_reason, o.hold_fields, coalesce(o.hold_code, ''), coalesce(o.hold_words, ''), o.first_held_at, o.held_at, o.hold_attempts, o.placed_at, o.created_at, o.updated_at, o.cancel_requested_at,
	case o.state when 'skipped' then coalesce(o.skip_reason, '') else '' end, o.answer_due, o.accepted_at,
	case o.state when 'new' then o.retry_at when 'in_doubt' then o.next_look_at when 'cancel_requested' then o.cancel_next_at end`

func scanSummary(row pgx.CollectableRow) (o OrderSummary, err error) {
	var reason *relay.HoldReason
	var fields []byte
	var h HoldSummary
	var since, heldAt *time.Time
	if err := row.Scan(&o.ID, &o.Merchant, &o.Cart, &o.Number, &o.Reference, &o.State, &o.WarehouseOrderID, &o.WarehouseStatus,
		&reason, &fields, &h.Code, &h.Words, &since, &heldAt, &h.Attempts, &o.PlacedAt, &o.SeenAt, &o.UpdatedAt, &o.CancelAskedAt, &o.SkipReason, &o.AnswerDue, &o.AcceptedAt, &o.RetryAt); err != nil {
		return o, err
	}
	if reason == nil {
		return o, nil
	}
	h.Reason, h.Since, h.HeldAt, h.There = *reason, fromNull(since), fromNull(heldAt), o.WarehouseOrderID != ""
	if fields != nil {
		if err := json.Unmarshal(fields, &h.Fields); err != nil {
			return o, err
		}
	}
	o.Hold = &h
	return o, nil
}

// Orders lists orders in the order in which they were seen, or against it.
func (s *Store) Orders(ctx context.Context, q OrderQuery) ([]OrderSummary, error) {
	behind, direction, after := ">", "asc", q.After
	if q.Latest {
		behind, direction, after = "<", "desc", cmp.Or(q.After, math.MaxInt64)
	}
	rows, err := s.pool.Query(ctx, `
		select `+summaryColumns+` from orders o join connections c on c.id = o.cart_id
		where ($1 = '' or o.merchant_id = $1) and ($2::text[] is null or o.state = any($2)) and ($3 = '' or o.hold_reason = $3) and o.id `+behind+` $4 and ($7 = '' or c.name = $7)
			and ($6::timestamptz is null or o.accepted_at < $6 and `+unshipped+`)
		order by o.id `+direction+` limit $5`, string(q.Merchant), q.States, string(q.Reason), after, q.Limit, nullTime(q.Unshipped), string(q.Cart))
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return pgx.CollectRows(rows, scanSummary)
}

// FindOrders returns the orders of a merchant that go by a name: their
// reference, their full number, or the warehouse's id of them.
func (s *Store) FindOrders(ctx context.Context, merchant relay.MerchantID, name string) ([]OrderSummary, error) {
	rows, err := s.pool.Query(ctx, `
		select `+summaryColumns+` from orders o join connections c on c.id = o.cart_id
		where o.merchant_id = $1 and (o.reference = upper($2) or o.number = $2 or o.warehouse_order_id = $2) order by o.id limit 20`, merchant, name)
	if err != nil {
		return nil, fmt.Errorf("find order: %w", err)
	}
	return pgx.CollectRows(rows, scanSummary)
}

// OrderDetail is all the ledger knows of an order.
type OrderDetail struct {
	OrderSummary
	ShipTo      relay.Address      `json:"ship_to"`
	ShipMethod  relay.ShipMethod   `json:"ship_method,omitempty"`
	Lines       []relay.Line       `json:"lines"`
	Submissions []SubmissionDetail `json:"submissions"`
	Shipments   []ShipmentDetail   `json:"shipments"`
}

// SubmissionDetail is one attempt to hand the order over.
type SubmissionDetail struct {
	ID              SubmissionID      `json:"id"`
	Attempt         int               `json:"attempt"`
	State           string            `json:"state"`
	Token           relay.Token       `json:"token"`
	Digest          string            `json:"digest"` // of the exact body: SHA-256 in hex
	Service         relay.Service     `json:"service,omitempty"`
	MappingsVersion int64             `json:"aliases_version"`
	SettingsVersion int64             `json:"settings_version"`
	Sends           int               `json:"sends"`
	OpenedAt        time.Time         `json:"opened_at"`
	ResolvedAt      *time.Time        `json:"resolved_at,omitempty"`
	Status          *int              `json:"http_status,omitempty"`
	WarehouseOrder  *string           `json:"warehouse_order_id,omitempty"`
	Code            *string           `json:"code,omitempty"`          // of a refusal
	Fields          []relay.Problem   `json:"answer_fields,omitempty"` // of a refusal: what is wrong; may quote an address
	Words           *string           `json:"answer_words,omitempty"`  // of a refusal: the warehouse's own; may quote an address
	Items           []relay.OrderItem `json:"items"`
}

// ShipmentDetail is one package.
type ShipmentDetail struct {
	ID             int64      `json:"id"`
	Carrier        string     `json:"carrier"`
	Service        string     `json:"service,omitempty"`
	TrackingNumber string     `json:"tracking_number"`
	TrackingURL    string     `json:"tracking_url,omitempty"`
	State          string     `json:"state"`
	SeenAt         time.Time  `json:"seen_at"`
	ToldAt         *time.Time `json:"told_at,omitempty"`
	CartShipmentID *string    `json:"cart_shipment_id,omitempty"`
	PushError      *string    `json:"push_error,omitempty"`
	NextPushAt     *time.Time `json:"next_push_at,omitempty"`
	DeliveryStatus *string    `json:"delivery_status,omitempty"`
	MergedInto     *int64     `json:"merged_into,omitempty"` // told to the cart together with that one
	Assumed        bool       `json:"assumed,omitempty"`     // its contents were not told: it stands for all that was left

	Lines []relay.ShippedLine `json:"lines,omitempty"` // what is in it
}

// Order reads one order whole. ErrNotFound when there is none.
func (s *Store) Order(ctx context.Context, id relay.OrderID) (OrderDetail, error) {
	fail := func(err error) (OrderDetail, error) {
		return OrderDetail{}, fmt.Errorf("read order: %w", notFound(err))
	}
	rows, err := s.pool.Query(ctx, `select `+summaryColumns+` from orders o join connections c on c.id = o.cart_id where o.id = $1`, id)
	if err != nil {
		return fail(err)
	}
	summary, err := pgx.CollectExactlyOneRow(rows, scanSummary)
	if err != nil {
		return fail(err)
	}
	d := OrderDetail{OrderSummary: summary}
	orders := []relay.Order{{ID: id}}
	if err := loadLines(ctx, s.pool, orders); err != nil {
		return fail(err)
	}
	d.Lines = orders[0].Lines
	var shipTo []byte
	if err := s.pool.QueryRow(ctx, `select ship_to, ship_method from orders where id = $1`, id).Scan(&shipTo, &d.ShipMethod); err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(shipTo, &d.ShipTo); err != nil {
		return fail(err)
	}
	rows, err = s.pool.Query(ctx, `
		select id, attempt, state, token, encode(digest, 'hex'), service, aliases_version, settings_version, sends, opened_at, resolved_at, http_status,
			warehouse_order_id, code, answer_fields, answer_words,
			(select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('line', line_id, 'sku', sku, 'code', code, 'units', units, 'per', nullif(per, 1))) order by position), '[]')
				from submission_items i where i.submission_id = s.id)
		from submissions s where order_id = $1 order by attempt`, id)
	if err != nil {
		return fail(err)
	}
	if d.Submissions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[SubmissionDetail]); err != nil {
		return fail(err)
	}
	rows, err = s.pool.Query(ctx, `
		select id, carrier, service, tracking_number, tracking_url, state, seen_at, told_at, cart_shipment_id, push_error, next_push_at, delivery_status,
			merged_into, assumed, (select jsonb_agg(jsonb_build_object('line', line_id, 'units', units) order by line_id) from shipment_lines l where l.shipment_id = s.id)
		from shipments s where order_id = $1 order by id`, id)
	if err != nil {
		return fail(err)
	}
	if d.Shipments, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ShipmentDetail]); err != nil {
		return fail(err)
	}
	return d, nil
}

// Counts is how many orders there are in each state, and on hold for each reason.
type Counts struct {
	States     map[relay.OrderState]int64 `json:"states"`
	Holds      map[relay.HoldReason]int64 `json:"holds"`
	Unfinished int64                      `json:"unfinished"` // neither ended nor held
}

func newCounts() Counts {
	return Counts{States: make(map[relay.OrderState]int64), Holds: make(map[relay.HoldReason]int64)}
}

func (c *Counts) add(state relay.OrderState, reason relay.HoldReason, n int64) {
	c.States[state] += n
	if reason != "" {
		c.Holds[reason] += n
	}
	if !state.Ended() && state != relay.OrderHeld {
		c.Unfinished += n
	}
}

// MerchantCounts is the Counts of one merchant.
type MerchantCounts struct {
	Merchant relay.MerchantID
	Counts
}

// CountsByMerchant counts the orders of every merchant that has any, by id.
func (s *Store) CountsByMerchant(ctx context.Context) ([]MerchantCounts, error) {
	return s.counts(ctx, `select merchant_id, state, coalesce(hold_reason, ''), count(*) from orders group by 1, 2, 3 order by 1`)
}

// CountsUnderWay counts the orders of every merchant that have not ended, by id.
// Those that have become ever more, and this is asked for again and again.
func (s *Store) CountsUnderWay(ctx context.Context) ([]MerchantCounts, error) {
	return s.counts(ctx, `
		select m.id, coalesce(o.state, 'new'), coalesce(o.hold_reason, ''), count(o.state)
		from merchants m left join orders o on o.merchant_id = m.id and o.state not in ('skipped', 'confirmed', 'sending_cancelled', 'cancelled')
		group by 1, 2, 3 order by 1`)
}

func (s *Store) counts(ctx context.Context, sql string) ([]MerchantCounts, error) {
	rows, err := s.pool.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("count orders: %w", err)
	}
	var list []MerchantCounts
	var merchant relay.MerchantID
	var state relay.OrderState
	var reason relay.HoldReason
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&merchant, &state, &reason, &n}, func() error {
		if len(list) == 0 || list[len(list)-1].Merchant != merchant {
			list = append(list, MerchantCounts{merchant, newCounts()})
		}
		list[len(list)-1].add(state, reason, n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count orders: %w", err)
	}
	return list, nil
}

// OrderByReference finds an order by its reference. ErrNotFound when there is none.
func (s *Store) OrderByReference(ctx context.Context, merchant relay.MerchantID, reference relay.Reference) (relay.OrderID, error) {
	var id relay.OrderID
	err := s.pool.QueryRow(ctx, `select id from orders where merchant_id = $1 and reference = $2`, merchant, reference).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("order %s of %s: %w", reference, merchant, notFound(err))
	}
	return id, nil
}

// References returns the references of orders, by id.
func (s *Store) References(ctx context.Context, ids []relay.OrderID) ([]relay.Reference, error) {
	rows, err := s.pool.Query(ctx, `select reference from orders where id = any($1) order by id`, ids)
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[relay.Reference])
}
