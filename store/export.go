package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// ExportFormat and ExportVersion name what Export writes. A version stays
// readable: what is added to records does not change it.
const (
	ExportFormat  = "orderferry-export"
	ExportVersion = 1
)

// ExportQuery says what to export.
type ExportQuery struct {
	Merchant relay.MerchantID
	// Addresses adds the personal data: addresses, and what warehouses, checks
	// and operators' mail settings may hold of them.
	Addresses bool
	// Since leaves out orders to which nothing happened since then, with all that
	// belongs to them, and alerts and findings that were closed before. Zero: all.
	Since time.Time
}

// ExportCounts is how many records of each kind were written.
type ExportCounts map[string]int64

// Export writes what the ledger holds of a merchant as JSON Lines: one record a
// line, of the kind that its field "record" names, as it all was at one moment.
// The same ledger gives the same bytes. Nothing is held in memory but a row.
//
//	export          first: format, version, merchant, and what was asked for
//	merchant        its settings; connection, alias, kit: likewise. Never credentials
//	mapping_change  who changed which alias or kit when, and what it was before
//	order           with lines, and with its hold or its cancel
//	submission      an attempt to hand an order over, with items, digest and answer
//	shipment        a package, with contents and what the cart was told; items where the order has kits
//	event           an entry of an order's trail, oldest first within the order
//	level           what the warehouse last reported of an item code
//	cart_level      what a cart was last told of a SKU
//	alert, finding, reconciliation
//	end             last: how many records of each kind came before
//
// Orders, connections and the like are named by reference and name; "id" is the
// number by which events name submissions and shipments. Times are RFC 3339 in
// UTC, quantities decimals, and what is empty is left out. Personal data is
// there only when it is asked for: ship_to, late_edit, hold_words, answer_words,
// the messages of problems, and e-mail addresses of alerts.
//
// ErrNotFound when there is no such merchant; nothing was written then.
func (s *Store) Export(ctx context.Context, q ExportQuery, w io.Writer) (ExportCounts, error) {
	var counts ExportCounts
	// One snapshot: an order and its submissions belong together.
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		// A slow reader at the other end is no runaway statement.
		if _, err := tx.Exec(ctx, `set local timezone = 'UTC'; set local statement_timeout = 0`); err != nil {
			return err
		}
		counts, err = export(ctx, tx, q, w)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("export merchant %s: %w", q.Merchant, err)
	}
	return counts, nil
}

func export(ctx context.Context, tx pgx.Tx, q ExportQuery, w io.Writer) (ExportCounts, error) {
	out := bufio.NewWriterSize(w, 64<<10)
	args := pgx.NamedArgs{
		"merchant": q.Merchant, "addresses": q.Addresses, "since": nullTime(q.Since), "format": ExportFormat, "version": ExportVersion,
	}
	counts := make(ExportCounts, len(exported))
	for _, k := range exported {
		n, err := exportRecords(ctx, tx, k.sql, args, out)
		if err != nil {
			return nil, fmt.Errorf("%s records: %w", k.record, err)
		}
		if n == 0 && k.record == "export" {
			return nil, ErrNotFound
		}
		counts[k.record] = n
	}
	end, err := json.Marshal(struct {
		Record string       `json:"record"`
		Counts ExportCounts `json:"counts"`
	}{"end", counts})
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(append(end, '\n')); err != nil {
		return nil, err
	}
	return counts, out.Flush()
}

// exportRecords writes the lines that a statement renders, each as it arrives.
func exportRecords(ctx context.Context, tx pgx.Tx, sql string, args pgx.NamedArgs, out *bufio.Writer) (n int64, err error) {
	rows, err := tx.Query(ctx, `select json_strip_nulls(record)::text from (`+sql+`) as r(record)`, args)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for ; rows.Next(); n++ {
		if _, err := out.Write(rows.RawValues()[0]); err != nil {
			return n, err
		}
		if err := out.WriteByte('\n'); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}

const (
	// exportedOrders joins a record's order to it, and leaves out orders to which nothing happened.
	exportedOrders = `o.merchant_id = @merchant and (@since::timestamptz is null or o.updated_at >= @since
		or exists (select from order_events changed where changed.order_id = o.id and changed.at >= @since))`

	// exportedProblems renders a list of problems, whose messages may quote an address.
	exportedProblems = `(select json_agg(case when @addresses then p else p - 'message' end order by n) from jsonb_array_elements(%s) with ordinality as l(p, n))`
)

// problems renders a column that holds a list of problems, or null.
func problems(column string) string {
	return fmt.Sprintf(exportedProblems, `case jsonb_typeof(`+column+`) when 'array' then `+column+` end`)
}

// exported has the kinds of record in the order in which they are written. Every
// column is named: a new one with personal data must not slip out.
var exported = []struct{ record, sql string }{
	{"export", `
		select json_build_object('record', 'export', 'format', @format::text, 'version', @version::int, 'merchant', id,
			'addresses', @addresses::boolean, 'since', @since::timestamptz)
		from merchants where id = @merchant`},
	{"merchant", `
		select json_build_object('record', 'merchant', 'id', id, 'name', name, 'resend_hour', resend_hour, 'resend_zone', resend_zone, 'unaliased', unaliased,
			'settings_version', settings_version, 'aliases_version', aliases_version, 'paused_at', paused_at, 'created_at', created_at, 'updated_at', updated_at,
			'alerts', alerts - case when @addresses then array['webhook'] else array['webhook', 'email'] end) -- a webhook's address often holds its key
		from merchants where id = @merchant`},
	{"connection", `
		select json_build_object('record', 'connection', 'name', name, 'role', role, 'connector', connector, 'base_url', base_url, 'mode', mode,
			'settings', settings, 'schedule', schedule, 'rules', rules, 'stopped_at', stopped_at, 'stopped_reason', stopped_reason, 'removed_at', removed_at)
		from connections where merchant_id = @merchant order by id`},
	{"alias", `
		select json_build_object('record', 'alias', 'cart', nullif(cart, ''), 'sku', sku, 'item_code', code, 'version', version,
			'changed_at', changed_at, 'changed_by', changed_by)
		from aliases where merchant_id = @merchant order by cart, sku`},
	{"kit", `
		select json_build_object('record', 'kit', 'cart', nullif(k.cart, ''), 'sku', k.sku, 'version', k.version,
			'changed_at', k.changed_at, 'changed_by', k.changed_by,
			'components', (select coalesce(json_agg(json_build_object('sku', c.component, 'units', c.units) order by c.component), '[]')
				from kit_components c where (c.merchant_id, c.cart, c.sku) = (k.merchant_id, k.cart, k.sku)))
		from kits k where k.merchant_id = @merchant order by k.cart, k.sku`},
	{"mapping_change", `
		select json_build_object('record', 'mapping_change', 'version', version, 'at', at, 'actor', actor, 'kind', kind, 'cart', nullif(cart, ''), 'sku', sku,
			'before', before, 'after', after)
		from mapping_changes where merchant_id = @merchant and (@since::timestamptz is null or at >= @since) order by id`},
	{"order", `
		select json_build_object('record', 'order', 'reference', o.reference, 'number', o.number, 'cart', c.name, 'external_id', o.external_id, 'state', o.state,
			'placed_at', o.placed_at, 'cart_updated_at', o.cart_updated_at, 'seen_at', o.created_at, 'updated_at', o.updated_at,
			'digest', encode(o.digest, 'hex'), 'ship_method', nullif(o.ship_method, ''), 'ship_to', case when @addresses then o.ship_to end,
			'traits', o.traits, 'skip_reason', o.skip_reason,
			'problems', ` + problems("o.problems") + `,
			'lines', (select json_agg(json_build_object('id', l.external_id, 'sku', l.sku, 'name', nullif(l.name, ''), 'quantity', trim_scale(l.quantity)) order by l.position)
				from order_lines l where l.order_id = o.id),
			'warehouse', w.name, 'warehouse_order_id', o.warehouse_order_id, 'warehouse_status', o.warehouse_status, 'accepted_at', o.accepted_at, 'answer_due', o.answer_due,
			'ship_complete', o.ship_complete, 'hold_reason', o.hold_reason, 'hold_fields', ` + problems("o.hold_fields") + `, 'hold_code', o.hold_code,
			'hold_words', case when @addresses then o.hold_words end, 'held_at', o.held_at, 'first_held_at', o.first_held_at, 'hold_attempts', o.hold_attempts,
			'next_look_at', o.next_look_at, 'looks', o.looks, 'retry_at', o.retry_at, 'send_failures', o.send_failures,
			'cancel_requested_at', o.cancel_requested_at, 'cancel_requested_by', o.cancel_requested_by, 'cancel_reason', o.cancel_reason, 'cancel_next_at', o.cancel_next_at,
			'cart_cancel_at', o.cart_cancel_at, 'cart_cancel_attempts', o.cart_cancel_attempts, 'cart_cancel_sent_at', o.cart_cancel_sent_at,
			'cart_cancel_error', o.cart_cancel_error,
			'cart_cancelled_at', o.cart_cancelled_at, 'late_edit', case when @addresses then o.late_edit end)
		from orders o join connections c on c.id = o.cart_id left join connections w on w.id = o.warehouse_id
		where ` + exportedOrders + ` order by o.id`},
	{"submission", `
		select json_build_object('record', 'submission', 'id', s.id, 'order', o.reference, 'attempt', s.attempt, 'warehouse', w.name, 'state', s.state,
			'token', s.token, 'digest', encode(s.digest, 'hex'), 'aliases_version', s.aliases_version, 'settings_version', s.settings_version,
			'service', nullif(s.service, ''), 'sends', s.sends, 'opened_at', s.opened_at, 'lease_until', s.lease_until, 'resolved_at', s.resolved_at,
			'http_status', s.http_status, 'code', s.code, 'warehouse_order_id', s.warehouse_order_id,
			'answer_fields', ` + problems("s.answer_fields") + `, 'answer_words', case when @addresses then s.answer_words end,
			'items', (select json_agg(json_build_object('line', i.line_id, 'sku', i.sku, 'code', i.code, 'units', i.units, 'per', nullif(i.per, 1)) order by i.position)
				from submission_items i where i.submission_id = s.id))
		from submissions s join orders o on o.id = s.order_id join connections w on w.id = s.warehouse_id
		where ` + exportedOrders + ` order by s.id`},
	{"shipment", `
		select json_build_object('record', 'shipment', 'id', s.id, 'order', o.reference, 'cart', c.name, 'carrier', s.carrier, 'service', nullif(s.service, ''),
			'tracking_number', s.tracking_number, 'tracking_url', nullif(s.tracking_url, ''), 'tracker_id', nullif(s.tracker_id, ''), 'shipped_at', s.shipped_at,
			'seen_at', s.seen_at, 'state', s.state, 'merged_into', s.merged_into, 'assumed', s.assumed, 'told_at', s.told_at, 'cart_shipment_id', s.cart_shipment_id,
			'push_attempts', s.push_attempts, 'push_error', s.push_error, 'next_push_at', s.next_push_at,
			'delivery_status', s.delivery_status, 'delivery_ended', s.delivery_ended, 'tracked_at', s.tracked_at,
			'lines', (select json_agg(json_build_object('line', l.line_id, 'units', l.units) order by l.line_id) from shipment_lines l where l.shipment_id = s.id),
			'items', (select json_agg(json_build_object('code', i.code, 'units', i.units) order by i.code) from shipment_items i where i.shipment_id = s.id))
		from shipments s join orders o on o.id = s.order_id join connections c on c.id = s.cart_id
		where ` + exportedOrders + ` order by s.id`},
	{"event", `
		select json_build_object('record', 'event', 'order', o.reference, 'at', e.at, 'kind', e.kind, 'actor', e.actor, 'detail', e.detail)
		from orders o join order_events e on e.order_id = o.id
		where ` + exportedOrders + ` order by o.id, e.id`},
	{"level", `
		select json_build_object('record', 'level', 'warehouse', w.name, 'code', l.code, 'site', nullif(l.site, ''), 'quantity', trim_scale(l.quantity),
			'meaning', l.meaning, 'observed_at', l.observed_at)
		from inventory_levels l join connections w on w.id = l.warehouse_id
		where w.merchant_id = @merchant order by l.warehouse_id, l.code, l.site`},
	{"cart_level", `
		select json_build_object('record', 'cart_level', 'cart', c.name, 'sku', l.sku, 'location', nullif(l.location, ''),
			'available', trim_scale(l.available), 'owed', trim_scale(l.owed), 'sent_at', l.sent_at, 'error', l.error, 'retry_at', l.retry_at)
		from sent_levels l join connections c on c.id = l.cart_id
		where c.merchant_id = @merchant order by l.cart_id, l.sku, l.location`},
	{"unread", `
		select json_build_object('record', 'unread', 'connection', c.name, 'job', u.job, 'subject', u.subject, 'line', nullif(u.line, 0), 'message', u.message, 'since', u.since)
		from unread u join connections c on c.id = u.connection_id
		where c.merchant_id = @merchant order by u.connection_id, u.job, u.subject, u.line`},
	{"alert", `
		select json_build_object('record', 'alert', 'cause', cause, 'level', level, 'headline', headline, 'since', since, 'opened_at', opened_at,
			'raised_at', raised_at, 'seen_at', seen_at, 'closed_at', closed_at, 'closed_by', closed_by)
		from alerts where merchant_id = @merchant and (@since::timestamptz is null or closed_at is null or closed_at >= @since) order by id`},
	{"finding", `
		select json_build_object('record', 'finding', 'connection', c.name, 'kind', f.kind, 'subject', f.subject, 'order', o.reference, 'detail', f.detail,
			'first_seen_at', f.first_seen_at, 'last_seen_at', f.last_seen_at, 'closed_at', f.closed_at, 'repaired', f.repaired)
		from findings f join connections c on c.id = f.connection_id left join orders o on o.id = f.order_id
		where f.merchant_id = @merchant and (@since::timestamptz is null or f.closed_at is null or f.closed_at >= @since) order by f.id`},
	{"reconciliation", `
		select json_build_object('record', 'reconciliation', 'connection', c.name, 'began_at', r.began_at, 'ended_at', r.ended_at,
			'checked', r.checked, 'found', r.found, 'repaired', r.repaired)
		from reconciliations r join connections c on c.id = r.connection_id
		where r.merchant_id = @merchant and (@since::timestamptz is null or r.ended_at is null or r.ended_at >= @since) order by r.id`},
}
