package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// SubmissionID is the ledger's number of a submission.
type SubmissionID int64

// Submission is one attempt to hand an order to the warehouse that is open or in doubt.
type Submission struct {
	ID         SubmissionID
	Order      relay.Order
	Token      relay.Token
	Items      []relay.OrderItem
	Service    relay.Service
	OpenedAt   time.Time // never after the first byte left
	LeaseUntil time.Time // nothing is sent after it; by Postgres's clock
	// LeaseLeft is how much of the lease was left when the submission was read, by
	// Postgres's clock; negative when it has ended.
	LeaseLeft time.Duration
	// InDoubtFor is since when it is being looked for.
	InDoubtFor time.Duration
	Sends      int // how often it was sent, this time included
	Looks      int // how often it was looked for since it was last sent
}

// Claim is what is to become of an order that is about to be submitted.
type Claim struct {
	// Hold, when not nil, puts the order on hold instead.
	Hold *relay.Hold
	// Skip, when not "", says why the cart's filter leaves the order out: it is skipped instead.
	Skip    string
	Items   []relay.OrderItem
	Service relay.Service
	Digest  [32]byte // of the exact body
}

// ClaimQuery says which orders to claim and for whom.
type ClaimQuery struct {
	Merchant Merchant
	Owner    string        // who sends; a later attempt of the same activity has the same
	Lease    time.Duration // how long the owner may send
	Limit    int
	// Held names orders on hold to claim instead of new ones: those that are on hold
	// for one of Reasons still, where any are given.
	Held    []relay.OrderID
	Reasons []relay.HoldReason
	// Divisible names the connectors whose accounts may be divided among carts.
	Divisible []string
	// Actor is who is named in the trail.
	Actor string
}

// ErrSettingsChanged tells that the merchant was onboarded again since it was read.
var ErrSettingsChanged = errors.New("the merchant's settings changed meanwhile")

// ErrPaused tells that the merchant is paused: nothing is sent.
var ErrPaused = errors.New("the merchant is paused")

// Claimed is the outcome of a claim.
type Claimed struct {
	Submissions []Submission
	Held        int // orders that our own translation put on hold
	Skipped     int // orders that the filter leaves out
}

// Claim opens submissions: in one transaction it locks orders that are ready,
// asks prepare what to do with each, and moves them to submitting (or held)
// with a submission row each. prepare must not use the network. Promise 1: the
// partial unique index allows one live submission an order.
func (s *Store) Claim(ctx context.Context, q ClaimQuery, prepare func(o relay.Order, token relay.Token) (Claim, error)) (Claimed, error) {
	var out Claimed
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = Claimed{}
		// Nothing is claimed for a connection that is being replaced just now, nor once
		// a pause was answered. Nor with mappings that are being edited: an order that is
		// held for want of one is seen by those who look at holds after the edit.
		var settings, mappings int64
		var paused bool
		err := tx.QueryRow(ctx, `select settings_version, aliases_version, paused_at is not null from merchants where id = $1 for share`, q.Merchant.ID).
			Scan(&settings, &mappings, &paused)
		if err != nil {
			return notFound(err)
		}
		if paused {
			return ErrPaused
		}
		if settings != q.Merchant.SettingsVersion {
			return ErrSettingsChanged
		}
		if mappings != q.Merchant.MappingsVersion {
			return ErrMappingsChanged
		}
		orders, err := lockReady(ctx, tx, q)
		if err != nil || len(orders) == 0 {
			return err
		}
		if err := takeOverEdits(ctx, tx, q.Actor, orders); err != nil {
			return err
		}
		elsewhere, err := sentByOthers(ctx, tx, q.Divisible, orders)
		if err != nil {
			return err
		}
		var holds []holdRow
		var skips []verdict
		var claims []Claim
		for _, o := range orders {
			token := newToken()
			c, err := prepare(o, token)
			if err != nil {
				return fmt.Errorf("prepare order %s: %w", o.Reference, err)
			}
			if c.Skip != "" {
				skips = append(skips, verdict{o.ID, c.Skip})
				continue
			}
			if h, sent := elsewhere[o.ID]; sent {
				c.Hold = &h
			}
			if c.Hold != nil {
				holds = append(holds, holdRow{order: o.ID, hold: *c.Hold})
				continue
			}
			claims = append(claims, c)
			out.Submissions = append(out.Submissions, Submission{Order: o, Token: token, Items: c.Items, Service: c.Service, Sends: 1})
		}
		skipped, err := sift(ctx, tx, q.Actor, skips, "")
		if err != nil {
			return err
		}
		out.Held, out.Skipped = len(holds), skipped.skipped
		if err := openSubmissions(ctx, tx, q, out.Submissions, claims); err != nil {
			return err
		}
		return holdOrders(ctx, tx, q.Actor, holds)
	})
	if err != nil {
		return Claimed{}, fmt.Errorf("claim orders of %s: %w", q.Merchant.ID, err)
	}
	return out, nil
}

const orderColumns = `o.id, o.merchant_id, c.name, o.reference, o.state, o.external_id, o.number, o.placed_at, o.cart_updated_at, o.ship_method, o.ship_to, o.problems, o.traits,
	(select count(*) from submissions w where w.order_id = o.id and w.state = 'withdrawn')`

func scanOrder(row pgx.CollectableRow, more ...any) (o relay.Order, err error) {
	var shipTo, problems []byte
	dest := append([]any{&o.ID, &o.Merchant, &o.Cart, &o.Reference, &o.State, &o.ExternalID, &o.Number, &o.PlacedAt, &o.UpdatedAt, &o.ShipMethod, &shipTo, &problems, &o.Traits, &o.Renewed}, more...)
	if err := row.Scan(dest...); err != nil {
		return o, err
	}
	if err := json.Unmarshal(shipTo, &o.ShipTo); err != nil {
		return o, err
	}
	if problems != nil {
		err = json.Unmarshal(problems, &o.Problems)
	}
	return o, err
}

func lockReady(ctx context.Context, tx pgx.Tx, q ClaimQuery) ([]relay.Order, error) {
	// No row of the plan but the order itself is locked; another claimer skips it.
	sql := `select ` + orderColumns + ` from orders o join connections c on c.id = o.cart_id
		where o.merchant_id = $1 and o.state = 'new' and (o.retry_at is null or o.retry_at <= now()) order by o.id limit $2 for update of o skip locked`
	args := []any{q.Merchant.ID, q.Limit}
	if q.Held != nil {
		sql = `select ` + orderColumns + ` from orders o join connections c on c.id = o.cart_id
			where o.merchant_id = $1 and o.state = 'held' and o.id = any($3) and (cardinality($4::text[]) = 0 or o.hold_reason = any($4))
				and not exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted'))
			order by o.id limit $2 for update of o skip locked`
		args = append(args, q.Held, orEmpty(q.Reasons))
	}
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	orders, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (relay.Order, error) { return scanOrder(r) })
	if err != nil {
		return nil, err
	}
	return orders, loadLines(ctx, tx, orders)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func loadLines(ctx context.Context, q querier, orders []relay.Order) error {
	if len(orders) == 0 {
		return nil
	}
	at := make(map[relay.OrderID]int, len(orders))
	ids := make([]int64, len(orders))
	for i, o := range orders {
		at[o.ID], ids[i] = i, int64(o.ID)
	}
	rows, err := q.Query(ctx, `select order_id, external_id, sku, name, quantity from order_lines where order_id = any($1) order by order_id, position`, ids)
	if err != nil {
		return err
	}
	var id relay.OrderID
	var l relay.Line
	_, err = pgx.ForEachRow(rows, []any{&id, &l.ID, &l.SKU, &l.Name, &l.Quantity}, func() error {
		o := &orders[at[id]]
		o.Lines = append(o.Lines, l)
		return nil
	})
	return err
}

func newToken() relay.Token { return relay.Token(strings.ToLower(rand.Text()[:16])) }

func openSubmissions(ctx context.Context, tx pgx.Tx, q ClaimQuery, subs []Submission, claims []Claim) error {
	n := len(subs)
	if n == 0 {
		return nil
	}
	orders, tokens, services, digests := make([]int64, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, sub := range subs {
		orders[i], tokens[i], services[i], digests[i] = int64(sub.Order.ID), string(sub.Token), string(sub.Service), claims[i].Digest[:]
	}
	warehouse := q.Merchant.StoredWarehouse().ID
	rows, err := tx.Query(ctx, `
		insert into submissions (order_id, warehouse_id, attempt, token, digest, aliases_version, settings_version, service, state, owner, opened_at, lease_until)
		select o, $1, 1 + coalesce((select max(attempt) from submissions p where p.order_id = o), 0), t, d, $2, $3, sv, 'open', $4,
			clock_timestamp(), clock_timestamp() + $5::interval
		from unnest($6::bigint[], $7::text[], $8::text[], $9::bytea[]) as q(o, t, sv, d)
		returning id, order_id, opened_at, lease_until`,
		warehouse, q.Merchant.MappingsVersion, q.Merchant.SettingsVersion, q.Owner, q.Lease, orders, tokens, services, digests)
	if err != nil {
		return err
	}
	at := make(map[relay.OrderID]*Submission, n)
	for i := range subs {
		at[subs[i].Order.ID] = &subs[i]
	}
	var row Submission
	var order relay.OrderID
	_, err = pgx.ForEachRow(rows, []any{&row.ID, &order, &row.OpenedAt, &row.LeaseUntil}, func() error {
		sub := at[order]
		sub.ID, sub.OpenedAt, sub.LeaseUntil = row.ID, row.OpenedAt, row.LeaseUntil
		sub.Order.State = relay.OrderSubmitting
		return nil
	})
	if err != nil {
		return err
	}
	var ids, units, per []int64
	var positions []int32
	var lines, skus, codes []string
	events := make([]newEvent, n)
	for i, sub := range subs {
		for p, it := range sub.Items {
			ids, positions, units = append(ids, int64(sub.ID)), append(positions, int32(p)), append(units, it.Units)
			lines, skus, codes, per = append(lines, string(it.Line)), append(skus, string(it.SKU)), append(codes, string(it.Code)), append(per, max(it.Per, 1))
		}
		events[i] = newEvent{sub.Order.ID, EventSubmitting, map[string]any{"submission": sub.ID, "token": sub.Token,
			"digest": fmt.Sprintf("%x", claims[i].Digest), "aliases_version": q.Merchant.MappingsVersion, "settings_version": q.Merchant.SettingsVersion}}
	}
	args, err := eventArgs(q.Actor, events)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`insert into submission_items (submission_id, position, line_id, sku, code, units, per)
		select * from unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])`, ids, positions, lines, skus, codes, units, per)
	b.Queue(`update orders set state = 'submitting', warehouse_id = $2, retry_at = null, `+clearHold+` where id = any($1)`, orders, warehouse)
	b.Queue(insertEventsSQL, args...)
	return tx.SendBatch(ctx, b).Close()
}

type holdRow struct {
	order   relay.OrderID
	hold    relay.Hold
	refused bool // by the warehouse
}

// holdOrders puts orders on hold. One whose cancel was asked for meanwhile ends
// as cancelled before sending instead, unless a submission of it is in doubt:
// only when nothing of it can be at the warehouse.
func holdOrders(ctx context.Context, tx pgx.Tx, actor string, holds []holdRow) error {
	n := len(holds)
	if n == 0 {
		return nil
	}
	ids, reasons, codes, words, fields, details := make([]int64, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	refused := make([]bool, n)
	for i, h := range holds {
		var err error
		if fields[i], err = asJSON(h.hold.Fields); err != nil {
			return err
		}
		if details[i], err = asJSON(map[string]any{"reason": h.hold.Reason, "headline": h.hold.Headline()}); err != nil {
			return err
		}
		ids[i], reasons[i], codes[i], words[i] = int64(h.order), string(h.hold.Reason), plain(h.hold.Code), plain(h.hold.Words)
		refused[i] = h.refused
	}
	_, err := tx.Exec(ctx, `
		with h as (
			select q.*, o.cancel_requested_at is not null
				and not exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted')) as stop
			from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $8::text[], $9::boolean[]) as q(id, r, c, w, f, d, refused) join orders o on o.id = q.id),
		u as (
			update orders o set
				state = case when stop then 'sending_cancelled' else 'held' end,
				hold_reason = case when not stop then r end, held_at = case when not stop then now() end,
				hold_fields = f::jsonb, hold_code = nullif(c, ''), hold_words = nullif(w, ''), hold_workflow_at = null,
				first_held_at = coalesce(first_held_at, now()), hold_attempts = hold_attempts + h.refused::int, next_look_at = null, looks = 0, skip_reason = null, updated_at = now()
			from h where o.id = h.id and o.state = any($6) returning o.id, o.state, h.d)
		insert into order_events (order_id, kind, actor, detail) select id, state, $7, case state when 'held' then d::jsonb end from u order by id`,
		ids, reasons, codes, words, fields, into(relay.OrderHeld), actor, details, refused)
	return err
}

// Outcome is what became of a submission that was sent, or was about to be.
type Outcome struct {
	Submission SubmissionID
	Order      relay.OrderID
	// Send is which send of the submission this is the outcome of; 0: whichever
	// was last. Promise 1: when it was sent again meanwhile, only a yes counts; a
	// no to an earlier send says nothing of the later one.
	Send int
	// Exactly one of the following is set.
	Accepted relay.WarehouseOrderID
	Refused  *relay.Hold
	Unknown  bool
	Unsent   bool // nothing left us; may be sent anew after Retry

	// AnswerWithin is, with Accepted and not 0, how soon the warehouse, which has
	// only received it, is expected to say yes or no.
	AnswerWithin time.Duration

	Adopted bool          // with Accepted: found at the warehouse, not answered
	By      string        // with Adopted: "token", "reference" or "content"
	Status  int           // HTTP status of the answer; 0 for none
	Took    time.Duration // until the answer, or until there was none; 0: not known
	Why     string        // what went wrong, without personal data: it goes to the trail
	Look    time.Duration // with Unknown: until the first look
	Retry   time.Duration // with Unsent; with Spent it doubles with every such failure in a row
	// Spent is, with Unsent, how many such failures in a row put the order on
	// hold as warehouse_unreachable. 0: never, since it was merely throttled.
	Spent int
}

// answer is what the trail keeps of a request's answer. Never the warehouse's
// words, which may quote an address.
type answer struct {
	Submission SubmissionID           `json:"submission"`
	Send       int                    `json:"send,omitempty"`
	Status     int                    `json:"status,omitempty"`
	Took       int64                  `json:"took_ms,omitempty"`
	Accepted   relay.WarehouseOrderID `json:"warehouse_order,omitempty"`
	By         string                 `json:"by,omitempty"`
	Within     int64                  `json:"answer_s,omitempty"` // the warehouse has only received it, and answers within
	Code       string                 `json:"code,omitempty"`
	Headline   string                 `json:"headline,omitempty"`
	Why        string                 `json:"why,omitempty"`
}

// answers renders what the trail keeps of each outcome.
func answers(outcomes []Outcome) ([]string, error) {
	out := make([]string, len(outcomes))
	for i, o := range outcomes {
		a := answer{Submission: o.Submission, Send: o.Send, Status: o.Status, Took: o.Took.Milliseconds(), Accepted: o.Accepted, By: o.By, Within: int64(o.AnswerWithin.Seconds()), Why: o.Why}
		if o.Refused != nil {
			a.Code, a.Headline = o.Refused.Code, o.Refused.Headline()
		}
		var err error
		if out[i], err = asJSON(a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RecordOutcomes writes what became of submissions, in one transaction. An
// outcome of a submission that was resolved meanwhile changes nothing.
func (s *Store) RecordOutcomes(ctx context.Context, actor string, outcomes []Outcome) error {
	err := s.begin(ctx, func(tx pgx.Tx) error { return recordOutcomes(ctx, tx, actor, outcomes) })
	if violates(err, "orders_one_warehouse_order") && len(outcomes) > 1 {
		// One of them claims a warehouse order that another order owns. Record each
		// by itself, so that it does not take the others down.
		for _, o := range outcomes {
			if err := s.RecordOutcomes(ctx, actor, []Outcome{o}); err != nil {
				return err
			}
		}
		return nil
	}
	if violates(err, "orders_one_warehouse_order") {
		o := outcomes[0]
		if o.Adopted { // to look again would find the same
			return s.RecordLooks(ctx, actor, []Look{{Submission: o.Submission, Order: o.Order, Hold: &relay.Hold{
				Reason: relay.HoldUnknownOutcome, Fields: []relay.Problem{{
					Field: "submission", Value: string(o.Accepted), Message: "what was found at the warehouse belongs to another order",
				}},
			}}})
		}
		return s.RecordOutcomes(ctx, actor, []Outcome{{Submission: o.Submission, Order: o.Order, Unknown: true, Status: o.Status, Took: o.Took,
			Why: fmt.Sprintf("its answer names warehouse order %s, which belongs to another order", o.Accepted)}})
	}
	if err != nil {
		return fmt.Errorf("record submissions: %w", err)
	}
	return nil
}

func recordOutcomes(ctx context.Context, tx pgx.Tx, actor string, outcomes []Outcome) error {
	var acc, refused, unk, uns []Outcome
	for _, o := range outcomes {
		switch {
		case o.Accepted != "":
			acc = append(acc, o)
		case o.Refused != nil:
			refused = append(refused, o)
		case o.Unsent && o.Send > 1:
			// An earlier send may have got there: it keeps its token, and is looked for.
			o.Look = o.Retry
			unk = append(unk, o)
		case o.Unsent:
			uns = append(uns, o)
		default:
			unk = append(unk, o)
		}
	}
	subs := make([]int64, len(outcomes))
	for i, o := range outcomes {
		subs[i] = int64(o.Submission)
	}
	// First, so that a cancel that was asked for just now is seen by all that follows.
	if err := lockOrdersOf(ctx, tx, subs); err != nil {
		return err
	}
	if err := recordAccepted(ctx, tx, actor, acc); err != nil {
		return err
	}
	if err := recordRefused(ctx, tx, actor, refused); err != nil {
		return err
	}
	if err := recordUnknown(ctx, tx, actor, unk); err != nil {
		return err
	}
	return recordUnsent(ctx, tx, actor, uns)
}

// lockOrdersOf locks the orders of submissions. All who change submissions lock
// orders first, so that none waits for another who waits for it.
func lockOrdersOf(ctx context.Context, tx pgx.Tx, subs []int64) error {
	_, err := tx.Exec(ctx, `
		select from orders where id in (select order_id from submissions where id = any($1)) order by id for no key update`, subs)
	return err
}

func recordAccepted(ctx context.Context, tx pgx.Tx, actor string, acc []Outcome) error {
	n := len(acc)
	if n == 0 {
		return nil
	}
	subs, ids, status, kinds, within := make([]int64, n), make([]string, n), make([]int32, n), make([]string, n), make([]time.Duration, n)
	details, err := answers(acc)
	if err != nil {
		return err
	}
	for i, o := range acc {
		subs[i], ids[i], status[i], kinds[i], within[i] = int64(o.Submission), string(o.Accepted), int32(o.Status), string(EventAccepted), o.AnswerWithin
		if o.Adopted {
			kinds[i] = string(EventAdopted)
		}
	}
	var resolved, moved int
	err = tx.QueryRow(ctx, `
		with q as (select * from unnest($1::bigint[], $2::text[], $3::int[], $4::text[], $7::text[], $8::interval[]) as q(sub, wid, status, kind, detail, within)),
		s as (
			update submissions s set state = 'accepted', warehouse_order_id = q.wid, resolved_at = now(), http_status = nullif(q.status, 0) from q
			where s.id = q.sub and s.state in ('open', 'in_doubt') returning s.order_id, s.warehouse_id, q.wid, q.kind, q.detail, q.within),
		u as (
			update orders o set state = case when cancel_requested_at is null then 'at_warehouse' else 'cancel_requested' end,
				cancel_next_at = case when cancel_requested_at is null then null else now() end,
				warehouse_id = s.warehouse_id, warehouse_order_id = s.wid, accepted_at = now(), next_look_at = null, looks = 0, send_failures = 0,
				answer_due = case when s.within > interval '0' then now() + s.within end,
				`+clearHold+`
			from s where o.id = s.order_id and o.state = any($5) returning o.id, s.kind, s.detail),
		e as (insert into order_events (order_id, kind, actor, detail) select id, kind, $6, detail::jsonb from u)
		select (select count(*) from s), (select count(*) from u)`,
		subs, ids, status, kinds, into(relay.OrderAtWarehouse), actor, details, within).Scan(&resolved, &moved)
	if err != nil {
		return err
	}
	if resolved != moved {
		return fmt.Errorf("%d submissions were accepted, but only %d orders could become at_warehouse", resolved, moved)
	}
	return nil
}

// recordRefused ends submissions and puts their orders on hold. The warehouse's
// words stay with the submission, also when the hold has ended.
func recordRefused(ctx context.Context, tx pgx.Tx, actor string, refused []Outcome) error {
	n := len(refused)
	if n == 0 {
		return nil
	}
	subs, sends, status := make([]int64, n), make([]int32, n), make([]int32, n)
	codes, words, fields := make([]string, n), make([]string, n), make([]*string, n)
	details, err := answers(refused)
	if err != nil {
		return err
	}
	for i, o := range refused {
		subs[i], sends[i], status[i], codes[i], words[i] = int64(o.Submission), int32(o.Send), int32(o.Status), plain(o.Refused.Code), plain(o.Refused.Words)
		if len(o.Refused.Fields) == 0 {
			continue
		}
		list, err := asJSON(o.Refused.Fields)
		if err != nil {
			return err
		}
		fields[i] = &list
	}
	rows, err := tx.Query(ctx, `
		with q as (select * from unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
			as q(sub, send, status, code, words, fields, detail)),
		s as (
			update submissions s set state = 'rejected', resolved_at = now(), http_status = nullif(q.status, 0), code = nullif(q.code, ''),
				answer_words = nullif(q.words, ''), answer_fields = q.fields::jsonb
			from q where s.id = q.sub and s.state in ('open', 'in_doubt') and q.send in (0, s.sends) returning s.id, s.order_id, q.detail),
		e as (insert into order_events (order_id, kind, actor, detail) select order_id, 'refused', $8, detail::jsonb from s)
		select id from s`, subs, sends, status, codes, words, fields, details, actor)
	if err != nil {
		return err
	}
	live, err := pgx.CollectRows(rows, pgx.RowTo[SubmissionID])
	if err != nil {
		return err
	}
	resolved := make(map[SubmissionID]bool, len(live))
	for _, id := range live {
		resolved[id] = true
	}
	var holds []holdRow
	for _, o := range refused {
		if resolved[o.Submission] {
			holds = append(holds, holdRow{order: o.Order, hold: *o.Refused, refused: true})
		}
	}
	return holdOrders(ctx, tx, actor, holds)
}

func recordUnknown(ctx context.Context, tx pgx.Tx, actor string, unk []Outcome) error {
	n := len(unk)
	if n == 0 {
		return nil
	}
	details, err := answers(unk)
	if err != nil {
		return err
	}
	subs, sends, looks, status := make([]int64, n), make([]int32, n), make([]time.Duration, n), make([]int32, n)
	for i, o := range unk {
		subs[i], sends[i], looks[i], status[i] = int64(o.Submission), int32(o.Send), o.Look, int32(o.Status)
	}
	_, err = tx.Exec(ctx, `
		with q as (select * from unnest($1::bigint[], $2::interval[], $3::int[], $6::int[], $7::text[]) as q(sub, look, status, send, detail)),
		s as (
			update submissions s set state = 'in_doubt', http_status = nullif(q.status, 0) from q
			where s.id = q.sub and s.state = 'open' and q.send in (0, s.sends) returning s.order_id, q.look, q.detail),
		u as (
			update orders o set state = 'in_doubt', next_look_at = now() + s.look, looks = 0, updated_at = now()
			from s where o.id = s.order_id and o.state = any($4) returning o.id, s.detail)
		insert into order_events (order_id, kind, actor, detail) select id, 'outcome_unknown', $5, detail::jsonb from u`,
		subs, looks, status, into(relay.OrderInDoubt), actor, sends, details)
	return err
}

func recordUnsent(ctx context.Context, tx pgx.Tx, actor string, uns []Outcome) error {
	n := len(uns)
	if n == 0 {
		return nil
	}
	details, err := answers(uns)
	if err != nil {
		return err
	}
	subs, sends, retry, spent := make([]int64, n), make([]int32, n), make([]time.Duration, n), make([]int32, n)
	for i, o := range uns {
		subs[i], sends[i], retry[i], spent[i] = int64(o.Submission), int32(o.Send), o.Retry, int32(o.Spent)
	}
	_, err = tx.Exec(ctx, `
		with q as (select * from unnest($1::bigint[], $2::interval[], $3::int[], $5::int[], $6::text[]) as q(sub, retry, spent, send, detail)),
		s as (
			update submissions s set state = 'unsent', resolved_at = now() from q
			where s.id = q.sub and s.state = 'open' and q.send in (0, s.sends) returning s.order_id, q.retry, q.spent, q.detail),
		u as (
			update orders o set
				state = case when cancel_requested_at is not null then 'sending_cancelled' when s.spent > 0 and send_failures + 1 >= s.spent then 'held' else 'new' end,
				hold_reason = case when cancel_requested_at is null and s.spent > 0 and send_failures + 1 >= s.spent then 'warehouse_unreachable' end,
				held_at = case when cancel_requested_at is null and s.spent > 0 and send_failures + 1 >= s.spent then now() end,
				first_held_at = case when cancel_requested_at is null and s.spent > 0 and send_failures + 1 >= s.spent then coalesce(first_held_at, now()) else first_held_at end,
				send_failures = case when s.spent = 0 then send_failures when send_failures + 1 >= s.spent then 0 else send_failures + 1 end,
				retry_at = now() + s.retry * case when s.spent = 0 then 1 else 2 ^ send_failures end, updated_at = now()
			from s where o.id = s.order_id and o.state = 'submitting' returning o.id, o.state, extract(epoch from o.retry_at - now())::bigint as again, s.detail)
		insert into order_events (order_id, kind, actor, detail)
		select id, e.kind, $4, e.detail from u cross join lateral (values
			(1, 'unsent', u.detail::jsonb || case u.state when 'new' then jsonb_build_object('again_s', u.again) else '{}' end),
			(2, 'held', '{"reason": "warehouse_unreachable", "headline": "warehouse_unreachable"}'), (2, 'sending_cancelled', null)) as e(n, kind, detail)
		where e.n = 1 or e.kind = u.state order by id, e.n`,
		subs, retry, spent, actor, sends, details)
	return err
}

// TakeOver marks submissions in doubt that are open and that nobody sends any
// more: those of an earlier attempt of owner, and those whose lease has ended.
// It returns how many. A worker that finds an open submission that it did not
// write treats its outcome as unknown.
func (s *Store) TakeOver(ctx context.Context, warehouse ConnectionID, owner, actor string) (int, error) {
	var n int
	err := s.begin(ctx, func(tx pgx.Tx) error {
		n = 0
		rows, err := tx.Query(ctx, `
			select o.id from submissions s join orders o on o.id = s.order_id
			where s.warehouse_id = $1 and s.state = 'open' and (s.owner = $2 or s.lease_until < now()) for no key update of o skip locked`, warehouse, owner)
		if err != nil {
			return err
		}
		orders, err := pgx.CollectRows(rows, pgx.RowTo[relay.OrderID])
		if err != nil || len(orders) == 0 {
			return err
		}
		// Once more under the lock: one may have been sent again meanwhile.
		rows, err = tx.Query(ctx, `
			select id from submissions where order_id = any($3) and warehouse_id = $1 and state = 'open' and (owner = $2 or lease_until < now()) for update`,
			warehouse, owner, orders)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[SubmissionID])
		if err != nil {
			return err
		}
		n = len(ids)
		unknown := make([]Outcome, n)
		for i, id := range ids {
			unknown[i] = Outcome{Submission: id, Unknown: true, Why: "whoever sent it is gone"}
		}
		return recordUnknown(ctx, tx, actor, unknown)
	})
	if err != nil {
		return 0, fmt.Errorf("take over open submissions: %w", err)
	}
	return n, nil
}

// InDoubt returns submissions in doubt that are due to be looked for, the
// longest waiting first: those of one order, or of all when only is 0.
func (s *Store) InDoubt(ctx context.Context, warehouse ConnectionID, only relay.OrderID, limit int) ([]Submission, error) {
	rows, err := s.pool.Query(ctx, `
		select `+orderColumns+`, (select count(*) from submissions w where w.order_id = o.id and w.state = 'withdrawn' and w.attempt < s.attempt),
			s.id, s.token, s.service, s.opened_at, s.lease_until, s.lease_until - clock_timestamp(), now() - o.updated_at, s.sends, o.looks
		from orders o join connections c on c.id = o.cart_id join submissions s on s.order_id = o.id and s.state = 'in_doubt'
		where s.warehouse_id = $1 and o.state = 'in_doubt' and o.next_look_at <= now() and $3::bigint in (0, o.id) order by o.next_look_at limit $2`, warehouse, limit, only)
	if err != nil {
		return nil, fmt.Errorf("read orders in doubt: %w", err)
	}
	var subs []Submission
	var orders []relay.Order
	var renewed int
	subs, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (sub Submission, err error) {
		sub.Order, err = scanOrder(r, &renewed, &sub.ID, &sub.Token, &sub.Service, &sub.OpenedAt, &sub.LeaseUntil, &sub.LeaseLeft, &sub.InDoubtFor, &sub.Sends, &sub.Looks)
		sub.Order.Renewed = renewed // as when it was claimed
		return sub, err
	})
	if err != nil {
		return nil, fmt.Errorf("read orders in doubt: %w", err)
	}
	at := make(map[SubmissionID]int, len(subs))
	ids := make([]int64, len(subs))
	for i, sub := range subs {
		orders = append(orders, sub.Order)
		at[sub.ID], ids[i] = i, int64(sub.ID)
	}
	if err := loadLines(ctx, s.pool, orders); err != nil {
		return nil, fmt.Errorf("read orders in doubt: %w", err)
	}
	for i := range subs {
		subs[i].Order = orders[i]
	}
	rows, err = s.pool.Query(ctx, `
		select submission_id, line_id, sku, code, units, case when per > 1 then per else 0 end from submission_items where submission_id = any($1) order by submission_id, position`, ids)
	if err != nil {
		return nil, fmt.Errorf("read orders in doubt: %w", err)
	}
	var id SubmissionID
	var it relay.OrderItem
	_, err = pgx.ForEachRow(rows, []any{&id, &it.Line, &it.SKU, &it.Code, &it.Units, &it.Per}, func() error {
		subs[at[id]].Items = append(subs[at[id]].Items, it)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read orders in doubt: %w", err)
	}
	return subs, nil
}

// Look is the result of a look for a submission in doubt that did not find it.
type Look struct {
	Submission SubmissionID
	Order      relay.OrderID
	Send       int // the last send before the look; 0: whichever
	// Exactly one of the following is set.
	Again  time.Duration // look again after this
	Failed string        // with Again: why the look itself failed, without personal data; it does not count
	Hold   *relay.Hold   // keep the submission in doubt and call a person
	Absent *relay.Hold   // close the submission: surely not there; and hold the order
}

// trail is what the trail keeps of a look: that it was not found and when it is
// looked for again, that it is surely absent, or that nobody can tell.
func (l Look) trail() map[string]any {
	d := map[string]any{"submission": l.Submission}
	switch {
	case l.Hold != nil:
		d["unsettled"] = true
	case l.Absent != nil:
		d["absent"] = true
	default:
		d["again_s"] = int64(l.Again.Seconds())
	}
	return d
}

// lockDoubtful locks the orders of those submissions that are in doubt still.
func lockDoubtful(ctx context.Context, tx pgx.Tx, subs []int64) (map[SubmissionID]doubtful, error) {
	if err := lockOrdersOf(ctx, tx, subs); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		select s.id, s.sends, o.id, o.cancel_requested_at is not null,
			coalesce((select e.kind from order_events e where e.order_id = o.id order by e.id desc limit 1), '')
		from submissions s join orders o on o.id = s.order_id
		where s.id = any($1) and s.state = 'in_doubt' and o.state = 'in_doubt' order by o.id for update of s`, subs)
	if err != nil {
		return nil, err
	}
	out := make(map[SubmissionID]doubtful)
	var id SubmissionID
	var d doubtful
	_, err = pgx.ForEachRow(rows, []any{&id, &d.sends, &d.order, &d.cancel, &d.last}, func() error { out[id] = d; return nil })
	return out, err
}

type doubtful struct {
	order  relay.OrderID
	sends  int
	cancel bool // was asked for
	last   EventKind
}

// RecordLooks writes what looks in vain lead to.
func (s *Store) RecordLooks(ctx context.Context, actor string, looks []Look) error {
	err := s.begin(ctx, func(tx pgx.Tx) error {
		var ids []int64
		var again []time.Duration
		var counts []bool
		var holds []holdRow
		var absent []int64
		events := make([]newEvent, 0, len(looks))
		subs := make([]int64, len(looks))
		for i, l := range looks {
			subs[i] = int64(l.Submission)
		}
		still, err := lockDoubtful(ctx, tx, subs)
		if err != nil {
			return err
		}
		for _, l := range looks {
			d, ok := still[l.Submission]
			if !ok || (l.Send != 0 && l.Send != d.sends) {
				continue // settled, or sent again, meanwhile
			}
			switch {
			case l.Failed == "":
				events = append(events, newEvent{l.Order, EventNotFound, l.trail()})
			case d.last != EventLookFailed: // else the trail would grow by one every half a minute
				events = append(events, newEvent{l.Order, EventLookFailed, map[string]any{"submission": l.Submission, "why": l.Failed}})
			}
			switch {
			case l.Hold != nil:
				holds = append(holds, holdRow{order: l.Order, hold: *l.Hold})
			case l.Absent != nil:
				absent = append(absent, int64(l.Submission))
				holds = append(holds, holdRow{order: l.Order, hold: *l.Absent})
			default:
				ids, again, counts = append(ids, int64(l.Order)), append(again, l.Again), append(counts, l.Failed == "")
			}
		}
		if err := insertEvents(ctx, tx, actor, events); err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(`update orders o set looks = looks + q.counts::int, next_look_at = now() + q.again
			from unnest($1::bigint[], $2::interval[], $3::boolean[]) as q(id, again, counts) where o.id = q.id and o.state = 'in_doubt'`, ids, again, counts)
		b.Queue(`update submissions set state = 'absent', resolved_at = now() where id = any($1) and state = 'in_doubt'`, absent)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		return holdOrders(ctx, tx, actor, holds)
	})
	if err != nil {
		return fmt.Errorf("record looks: %w", err)
	}
	return nil
}

// Reopen opens submissions of one merchant again that were looked for and are surely
// absent: they are sent once more with the same token. It returns those that are open
// now, with new leases; one whose cancel was asked for ends as cancelled before sending.
// ErrPaused, and they stay in doubt, while the merchant is paused.
func (s *Store) Reopen(ctx context.Context, subs []Submission, owner string, lease time.Duration, actor string) ([]Submission, error) {
	ids := make([]int64, len(subs))
	at := make(map[SubmissionID]Submission, len(subs))
	for i, sub := range subs {
		ids[i], at[sub.ID] = int64(sub.ID), sub
	}
	var out []Submission
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = nil
		var paused bool
		err := tx.QueryRow(ctx, `
			select coalesce(bool_or(paused), false) from (
				select paused_at is not null as paused from merchants
				where id in (select o.merchant_id from submissions s join orders o on o.id = s.order_id where s.id = any($1)) for share) m`, ids).Scan(&paused)
		if err != nil {
			return err
		}
		if paused {
			return ErrPaused
		}
		still, err := lockDoubtful(ctx, tx, ids)
		if err != nil {
			return err
		}
		var again, absent []int64
		var cancelled []relay.OrderID
		for id, d := range still {
			if d.sends != at[id].Sends {
				continue // Promise 2: it was sent again since we looked
			}
			if d.cancel {
				absent, cancelled = append(absent, int64(id)), append(cancelled, d.order)
				continue
			}
			again = append(again, int64(id))
		}
		if _, err := tx.Exec(ctx, `update submissions set state = 'absent', resolved_at = now() where id = any($1)`, absent); err != nil {
			return err
		}
		if err := cancelSending(ctx, tx, actor, cancelled, "surely not at the warehouse"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			with s as (
				update submissions set state = 'open', owner = $2, sends = sends + 1, lease_until = clock_timestamp() + $3::interval
				where id = any($1) returning id, order_id, lease_until, sends),
			u as (update orders o set state = 'submitting', next_look_at = null, looks = 0, updated_at = now() from s where o.id = s.order_id)
			select id, lease_until, sends from s order by id`, again, owner, lease)
		if err != nil {
			return err
		}
		var row Submission
		var events []newEvent
		_, err = pgx.ForEachRow(rows, []any{&row.ID, &row.LeaseUntil, &row.Sends}, func() error {
			sub := at[row.ID]
			sub.LeaseUntil, sub.Sends, sub.Looks = row.LeaseUntil, row.Sends, 0
			out = append(out, sub)
			events = append(events, newEvent{sub.Order.ID, EventResubmitting, map[string]any{"submission": sub.ID, "send": sub.Sends}})
			return nil
		})
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, actor, events)
	})
	if err != nil {
		return nil, fmt.Errorf("reopen submissions: %w", err)
	}
	return out, nil
}

// Owned tells for each warehouse order whether an order of ours has it, or had
// it before it was cancelled and reopened, through this connection or another one to the same system: merchants may share an account.
func (s *Store) Owned(ctx context.Context, warehouse ConnectionID, ids []relay.WarehouseOrderID) ([]bool, error) {
	rows, err := s.pool.Query(ctx, `
		with same as (
			select c.id from connections c join connections me on me.id = $1 and (c.connector, c.base_url, c.mode) = (me.connector, me.base_url, me.mode))
		select exists (select from orders o where o.warehouse_id in (select id from same) and o.warehouse_order_id = q.id)
			or exists (select from submissions s where s.warehouse_id in (select id from same) and s.warehouse_order_id = q.id)
		from unnest($2::text[]) with ordinality as q(id, n) order by n`, warehouse, ids)
	if err != nil {
		return nil, fmt.Errorf("look up warehouse orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[bool])
}

// Contested reports whether a warehouse order that was found for an order, not by
// its token, may be another order's: merchants may share an account and number their
// orders alike. Promise 1: it is when that one has it, or had it, and while that
// one is itself being sent or looked for there under the same reference.
func (s *Store) Contested(ctx context.Context, warehouse ConnectionID, order relay.OrderID, id relay.WarehouseOrderID) (contested bool, err error) {
	err = s.pool.QueryRow(ctx, `
		with same as (
			select c.id, c.merchant_id from connections c join connections me on me.id = $1 and (c.connector, c.base_url, c.mode) = (me.connector, me.base_url, me.mode))
		select exists (select from orders o where o.id <> $2 and o.warehouse_id in (select id from same) and o.warehouse_order_id = $3)
			or exists (select from submissions s where s.order_id <> $2 and s.warehouse_id in (select id from same) and s.warehouse_order_id = $3)
			or exists (select from orders o where o.id <> $2 and o.merchant_id in (select merchant_id from same) and o.warehouse_id in (select id from same)
				and o.reference = (select reference from orders where id = $2)
				and exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt')))`,
		warehouse, order, id).Scan(&contested)
	if err != nil {
		return false, fmt.Errorf("look up a warehouse order: %w", err)
	}
	return contested, nil
}

// RecordDuplicates notes warehouse orders beyond the first that are the same
// order of ours, and how their cancels stand. What the trail says already is not
// said again.
func (s *Store) RecordDuplicates(ctx context.Context, actor string, order relay.OrderID, answers map[relay.WarehouseOrderID]string) error {
	err := s.begin(ctx, func(tx pgx.Tx) error {
		return insertNews(ctx, tx, actor, []newEvent{{order, EventDuplicate, map[string]any{"cancelled": answers}}})
	})
	if err != nil {
		return fmt.Errorf("record duplicates: %w", err)
	}
	return nil
}

// Waiting counts what a merchant's warehouse has before it, and says when the
// next thing is due.
type Waiting struct {
	Ready      int       // new orders that may be sent now
	NextRetry  time.Time // when a new order that must wait may be sent; zero: none
	NextLook   time.Time // when an order in doubt is to be looked for; zero: none
	NextCancel time.Time // when the warehouse is to be asked to cancel; zero: none
}

// Due reports whether anything may be done now.
func (w Waiting) Due(now time.Time) bool {
	past := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	return w.Ready > 0 || past(w.NextRetry) || past(w.NextLook) || past(w.NextCancel)
}

// Waiting looks at a merchant's queue.
func (s *Store) Waiting(ctx context.Context, merchant relay.MerchantID) (Waiting, error) {
	var w Waiting
	var retry, look, cancel *time.Time
	err := s.pool.QueryRow(ctx, `
		select (select count(*) from (select from orders where merchant_id = $1 and state = 'new' and (retry_at is null or retry_at <= now()) limit 1000) as r),
			(select min(retry_at) from orders where merchant_id = $1 and state = 'new' and retry_at > now()),
			(select min(next_look_at) from orders where merchant_id = $1 and state = 'in_doubt'),
			(select min(cancel_next_at) from orders o join connections c on c.id = o.warehouse_id where c.merchant_id = $1 and o.state = 'cancel_requested')`,
		merchant).Scan(&w.Ready, &retry, &look, &cancel)
	if err != nil {
		return w, fmt.Errorf("look at the queue of %s: %w", merchant, err)
	}
	w.NextRetry, w.NextLook, w.NextCancel = fromNull(retry), fromNull(look), fromNull(cancel)
	return w, nil
}
