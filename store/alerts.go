package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// AlertsSecret is the name by which SaveMerchant is given the secret of a
// merchant's webhook, among the credentials: no connection can have it.
const AlertsSecret relay.ConnectionName = ":alerts"

// saveAlerts writes how a merchant's people are called. Where no secret is
// given, the one in use stays for as long as there is a webhook.
func (s *Store) saveAlerts(ctx context.Context, tx pgx.Tx, m relay.Merchant, secret map[string]string) error {
	var sealed []byte
	if len(secret) > 0 {
		var err error
		if sealed, err = s.keyring.seal(string(m.ID), string(AlertsSecret), secret); err != nil {
			return err
		}
	}
	policy, err := asJSON(m.Alerts)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		update merchants set alerts = $2::jsonb, alerts_secret = case when $3 then coalesce($4, alerts_secret) end where id = $1`,
		m.ID, policy, m.Alerts.Webhook != "", sealed)
	return err
}

// WebhookSecret opens the secret of a merchant's webhook; "" when none was given.
func (s *Store) WebhookSecret(ctx context.Context, merchant relay.MerchantID) (string, error) {
	var sealed []byte
	if err := s.pool.QueryRow(ctx, `select alerts_secret from merchants where id = $1`, merchant).Scan(&sealed); err != nil {
		return "", fmt.Errorf("read the webhook's secret of %s: %w", merchant, notFound(err))
	}
	if sealed == nil {
		return "", nil
	}
	c, err := s.keyring.open(string(merchant), string(AlertsSecret), sealed)
	return c["secret"], err
}

// AlertChange counts what a look at the alerts changed.
type AlertChange struct {
	Opened, Raised, Closed int
}

// LookAfterAlerts opens, raises and closes a merchant's alerts as the ledger
// stands now, and writes what is to be said of it, one message a channel. Those
// that look at once take turns. contents is how long a parcel of untold contents
// waits by design; more are troubles that stand now and that the ledger can't see.
func (s *Store) LookAfterAlerts(ctx context.Context, m Merchant, contents time.Duration, more ...relay.Trouble) (AlertChange, error) {
	var out AlertChange
	err := s.begin(ctx, func(tx pgx.Tx) error {
		// Not the merchant's row: submissions are claimed under it meanwhile.
		if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('alerts/' || $1, 0))`, string(m.ID)); err != nil {
			return err
		}
		var read, now time.Time
		if err := tx.QueryRow(ctx, `select alerts_read_at, now() from merchants where id = $1`, m.ID).Scan(&read, &now); err != nil {
			return notFound(err)
		}
		l := alertLook{m: m, now: now, contents: contents}
		troubles, err := l.standing(ctx, tx)
		if err != nil {
			return err
		}
		for _, t := range more {
			if age := now.Sub(t.Since); age >= stuckFor {
				t.Level = max(l.m.Alerts.Level(age), 1)
				troubles = append(troubles, t)
			}
		}
		raised, err := l.fromTrails(ctx, tx, read)
		if err != nil {
			return err
		}
		open, err := openAlerts(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		notices, err := l.write(ctx, tx, open, append(troubles, raised...))
		if err != nil {
			return err
		}
		out = AlertChange{}
		for _, n := range notices {
			switch n.News {
			case relay.AlertOpened:
				out.Opened++
			case relay.AlertRaised:
				out.Raised++
			case relay.AlertClosed:
				out.Closed++
			}
		}
		if err := writeMessages(ctx, tx, m.Merchant, notices); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update merchants set alerts_read_at = greatest(alerts_read_at, $2) where id = $1`, m.ID, now)
		return err
	})
	if err != nil {
		return AlertChange{}, fmt.Errorf("look after the alerts of %s: %w", m.ID, err)
	}
	return out, nil
}

// alertLook is one look at a merchant's alerts.
type alertLook struct {
	m        Merchant
	now      time.Time // the database's
	contents time.Duration
}

// stuckFor is how long something may wait that a job should have moved.
const stuckFor = time.Hour

// standing reads the troubles that stand now, as the ledger tells them.
func (l alertLook) standing(ctx context.Context, tx pgx.Tx) ([]relay.Trouble, error) {
	var ages []time.Duration
	for _, a := range l.m.Alerts.Ages() {
		ages = append(ages, time.Duration(a))
	}
	var carts []int64
	var told []time.Duration
	for _, c := range l.m.Connections {
		if c.Role == "cart" {
			carts, told = append(carts, int64(c.ID)), append(told, stuckFor+time.Duration(c.Schedule.Of(relay.PushShipments)))
		}
	}
	submitted := stuckFor + time.Duration(l.m.StoredWarehouse().Schedule.Of(relay.SubmitOrders))
	b := &pgx.Batch{}
	b.Queue(heldSQL, l.m.ID, ages, relay.HoldUnknownOutcome)
	b.Queue(stoppedSQL, l.m.ID)
	b.Queue(messagesSQL, l.m.ID, l.m.Alerts.Channels())
	b.Queue(findingsSQL, l.m.ID)
	b.Queue(cancelsSQL, l.m.ID, stuckFor)
	b.Queue(unreadSQL, l.m.ID)
	if l.m.PausedAt.IsZero() { // all of this waits by design while the merchant is paused
		b.Queue(readySQL, l.m.ID, submitted)
		b.Queue(inDoubtSQL, l.m.ID, stuckFor)
		b.Queue(shipmentsSQL, l.m.ID, carts, told, l.contents)
		b.Queue(cartCancelsSQL, l.m.ID, carts, stuckFor)
		b.Queue(unansweredSQL, l.m.ID)
		b.Queue(unshippedSQL, l.m.ID, l.m.Alerts.MayStay())
	}
	out := make(map[relay.AlertCause]relay.Trouble)
	results := tx.SendBatch(ctx, b)
	defer results.Close()
	for range b.Len() {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		var t relay.Trouble
		_, err = pgx.ForEachRow(rows, []any{&t.Cause, &t.Level, &t.Count, &t.Oldest, &t.Since}, func() error {
			if first, ok := out[t.Cause]; ok { // the first is of the highest level
				if t.Cause == relay.NewAlertCause(relay.CauseHold, string(relay.HoldUnknownOutcome)) {
					first.Count += t.Count
					out[t.Cause] = first
				}
				return nil
			}
			if kind, _, _ := t.Cause.Parts(); kind != relay.CauseHold {
				t.Level = l.m.Alerts.Level(l.now.Sub(t.Since))
			}
			t.Level = max(t.Level, 1) // these are told at once
			out[t.Cause] = t
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]relay.Trouble, 0, len(out)+1)
	for _, t := range out {
		list = append(list, t)
	}
	if level := l.m.Alerts.Level(l.now.Sub(l.m.PausedAt)); !l.m.PausedAt.IsZero() && level > 0 {
		list = append(list, relay.Trouble{Cause: relay.CausePaused, Level: level, Count: 1, Since: l.m.PausedAt})
	}
	slices.SortFunc(list, func(a, b relay.Trouble) int { return a.Since.Compare(b.Since) })
	return list, nil
}

// The troubles, each with its cause, level, count, oldest and since when. A level
// of 0 is computed from the age.
const (
	// Orders on hold, from the highest level down; those below the first age wait
	// in peace, unless only a person can end the hold. Those that the warehouse has
	// are another thing.
	heldSQL = `
		select case when warehouse_order_id is null then 'hold/' || hold_reason else 'stuck/at_warehouse' end as cause, width_bucket(now() - since, $2::interval[]) as level, count(*), (array_agg(reference order by since, id))[1], min(since)
		from (select *, coalesce(first_held_at, held_at) as since from orders where merchant_id = $1 and state = 'held') o
		where since <= now() - ($2::interval[])[1] or hold_reason = $3 group by cause, 2 order by 2 desc`
	stoppedSQL = `
		select 'connection/' || name, 0, 1, name, stopped_at from connections where merchant_id = $1 and removed_at is null and stopped_at is not null`
	// What could not be delivered is settled by the next message that could.
	messagesSQL = `
		select 'messages/' || channel, 0, count(*), '', min(gave_up_at) from alert_messages g
		where merchant_id = $1 and gave_up_at is not null and not test and channel = any($2)
			and not exists (select from alert_messages l where l.merchant_id = g.merchant_id and l.channel = g.channel and l.id > g.id and l.sent_at is not null)
		group by channel`
	findingsSQL = `
		select 'finding/' || kind, 0, count(*), (array_agg(subject order by first_seen_at, id))[1], min(first_seen_at)
		from findings where merchant_id = $1 and closed_at is null and not repaired
			and connection_id in (select id from connections where removed_at is null) -- else no run will ever close it
		group by kind`
	cancelsSQL = `
		select 'stuck/cancel_requested', 0, count(*), (array_agg(reference order by cancel_requested_at, id))[1], min(cancel_requested_at)
		from orders where warehouse_id in (select id from connections where merchant_id = $1) and state = 'cancel_requested' and cancel_requested_at < now() - $2::interval
		having count(*) > 0`
	// An order is ready since it was taken in or let go, whatever became of its
	// submissions. New settings, or an end of a pause, give it its time anew.
	readySQL = `
		select 'stuck/ready', 0, count(*), (array_agg(reference order by since, r.id))[1], min(since)
		from (
			select id, merchant_id, reference, case when first_held_at is null then created_at else coalesce(
				(select max(e.at) from order_events e where e.order_id = o.id and e.kind in ('released', 'reopened')), updated_at) end as since
			from orders o where merchant_id = $1 and state = 'new' and created_at < now() - $2::interval) r
		join merchants m on m.id = r.merchant_id
		where greatest(since, m.updated_at) < now() - $2::interval having count(*) > 0`
	inDoubtSQL = `
		select 'stuck/in_doubt', 0, count(*), (array_agg(reference order by o.updated_at, o.id))[1], min(o.updated_at)
		from orders o join merchants m on m.id = o.merchant_id
		where o.merchant_id = $1 and o.state = 'in_doubt' and greatest(o.updated_at, m.updated_at) < now() - $2::interval having count(*) > 0`
	shipmentsSQL = `
		select 'stuck/shipment', 0, count(*), (array_agg(o.reference order by s.seen_at, s.id))[1], min(s.seen_at)
		from unnest($2::bigint[], $3::interval[]) as c(id, wait) join shipments s on s.cart_id = c.id and s.state = 'ready'
			join orders o on o.id = s.order_id join merchants m on m.id = $1
		where greatest(s.seen_at, m.updated_at) < now() - c.wait - case when s.assumed then $4::interval else interval '0' end having count(*) > 0`
	cartCancelsSQL = `
		select 'stuck/cart_cancel', 0, count(*), (array_agg(reference order by cancel_requested_at, o.id))[1], min(coalesce(cancel_requested_at, o.updated_at))
		from orders o join merchants m on m.id = o.merchant_id
		where o.merchant_id = $1 and o.cart_id = any($2) and o.cart_cancel_at is not null and o.state in ('cancelled', 'sending_cancelled')
			and greatest(coalesce(o.cancel_requested_at, o.updated_at), m.updated_at) < now() - $3::interval having count(*) > 0`
	unansweredSQL = `
		select 'unanswered/' || c.name, 0, count(*), (array_agg(o.reference order by o.answer_due, o.id))[1], min(o.answer_due)
		from connections c join orders o on o.warehouse_id = c.id where c.merchant_id = $1 and o.answer_due < now() and o.state = 'at_warehouse' group by c.name`
	unshippedSQL = `
		select 'unshipped/' || c.name, 0, count(*), (array_agg(o.reference order by o.accepted_at, o.id))[1], min(o.accepted_at)
		from connections c join orders o on o.warehouse_id = c.id where c.merchant_id = $1 and o.accepted_at < now() - $2::interval and ` + unshipped + ` group by c.name`
	unreadSQL = `
		select 'unread/' || c.name, 0, count(*), (array_agg(u.subject || case u.line when 0 then '' else ' line ' || u.line end order by u.since, u.subject, u.line))[1], min(u.since)
		from connections c join unread u on u.connection_id = c.id where c.merchant_id = $1 and c.removed_at is null group by c.name`
)

// trailOverlap is for how long before the last look trails are read again: an
// entry has the time at which its transaction began, and is seen when that ends.
const trailOverlap = 10 * time.Minute

// happened names what an entry of a trail (e) tells of its order (o), and
// settled whether that needs nobody any more.
const (
	happened = `case e.kind when 'cancelled' then 'cancelled_by_warehouse' when 'warehouse_status' then 'gone' else e.kind end`
	settled  = `case e.kind
		when 'back_at_cart' then o.state not in ('cancelled', 'sending_cancelled', 'cancel_requested', 'submitting', 'in_doubt')
			or o.cart_cancel_at is not null or coalesce(o.cart_cancelled_at > e.at, false) -- a person cancelled it once more
		when 'changed_too_late' then o.state in ('cancelled', 'sending_cancelled')
			or exists (select from order_events l where l.order_id = o.id and l.id > e.id and l.kind in ('changed_at_cart', 'changed_back'))
		when 'duplicate_found' then o.state in ('confirmed', 'cancelled', 'sending_cancelled')
			and not exists (select from jsonb_each_text(e.detail -> 'cancelled') as d(id, answer) where answer <> 'cancelled')
		when 'cancel_too_late' then o.state = 'cancelled'
		when 'taken_after_all' then o.state in ('confirmed', 'cancelled')
		when 'shipped_short' then not exists (select from jsonb_to_recordset(e.detail -> 'left') as l(line text, units bigint)
			where l.units > (select coalesce(sum(m.units), 0) from shipments s join shipment_lines m on m.shipment_id = s.id
				where s.order_id = o.id and m.line_id = l.line and s.seen_at > e.at))
		when 'cancelled' then o.state <> 'cancelled'
		when 'warehouse_status' then o.warehouse_status is distinct from 'gone' or (o.state not in ('at_warehouse', 'cancel_requested') and (o.state <> 'held' or o.warehouse_order_id is null))
		else false end` // shipped_after_all: the parcel is out; relabelled: the old number is
)

// fromTrails reads what happened to orders since the last look that people must
// know of. What was told once is not told again, even after a person closed it;
// nor what a person was told who asked for the cancel.
func (l alertLook) fromTrails(ctx context.Context, tx pgx.Tx, since time.Time) ([]relay.Trouble, error) {
	rows, err := tx.Query(ctx, `
		select cause, 1, 1, reference, at, id, coalesce(changes, '[]')
		from (
			select distinct on (o.id, `+happened+`) 'order/' || o.reference || '/' || `+happened+` as cause, o.reference, e.at, e.id, e.detail -> 'changes' as changes
			from order_events e join orders o on o.id = e.order_id
			where e.at >= $2 and o.merchant_id = $1
				and (e.kind in ('back_at_cart', 'changed_too_late', 'duplicate_found', 'cancel_too_late', 'shipped_after_all', 'taken_after_all')
					or (e.kind = 'cancelled' and e.detail @> '{"asked": false}') or (e.kind = 'warehouse_status' and e.detail @> '{"status": "gone"}')
					or (e.kind = 'shipped_short' and e.detail @> '{"asked": false}') or (e.kind = 'relabelled' and e.detail @> '{"told": true}'))
				and not (e.kind = 'cancel_too_late' and e.actor like 'operator%')
				and not (`+settled+`)
			order by o.id, `+happened+`, e.id desc) q
		where not exists (select from alerts a where a.merchant_id = $1 and a.cause = q.cause and a.event_id >= q.id)
		order by id`, l.m.ID, since.Add(-trailOverlap))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t relay.Trouble, err error) {
		var changes []byte
		if err := row.Scan(&t.Cause, &t.Level, &t.Count, &t.Oldest, &t.Since, &t.Event, &changes); err != nil {
			return t, err
		}
		return t, json.Unmarshal(changes, &t.Why)
	})
}

// openAlert is an alert that is open, and whether it is about an order that
// needs nobody any more.
type openAlert struct {
	relay.Alert
	settled bool
}

func openAlerts(ctx context.Context, tx pgx.Tx, merchant relay.MerchantID) (map[relay.AlertCause]openAlert, error) {
	rows, err := tx.Query(ctx, `
		select `+alertColumns+`, a.event_id is not null and `+settled+`
		from alerts a left join order_events e on e.id = a.event_id left join orders o on o.id = e.order_id
		where a.merchant_id = $1 and a.closed_at is null`, merchant)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a openAlert, err error) {
		a.Alert, err = scanAlert(row, &a.settled)
		return a, err
	})
	out := make(map[relay.AlertCause]openAlert, len(list))
	for _, a := range list {
		out[a.Cause] = a
	}
	return out, err
}

// write compares troubles with the open alerts, writes what changed, and
// returns the news, oldest alerts first.
func (l alertLook) write(ctx context.Context, tx pgx.Tx, open map[relay.AlertCause]openAlert, troubles []relay.Trouble) ([]relay.AlertNotice, error) {
	var fresh, still []relay.Trouble
	var notices []relay.AlertNotice
	stands := make(map[relay.AlertCause]bool, len(troubles))
	for _, t := range troubles {
		stands[t.Cause] = true
		a, ok := open[t.Cause]
		if !ok {
			fresh = append(fresh, t)
			continue
		}
		again := t.Event != 0 // the same happened to the order once more: that is news too
		if again {
			t.Level, t.Since = a.Level, a.Since
		}
		still = append(still, t)
		if again || t.Level > a.Level {
			a.Level, a.Since, a.Headline = t.Level, t.Since, l.headline(t)
			notices = append(notices, relay.AlertNotice{Alert: a.Alert, News: relay.AlertRaised})
		}
	}
	var gone []int64
	for cause, a := range open {
		switch byPeople := cause.ClosedByPeople(); {
		case stands[cause]:
		case byPeople && !a.settled:
			// An order's alert stands until it is settled or closed, and rises with its age.
			t := relay.Trouble{Cause: cause, Level: max(1, l.m.Alerts.Level(l.now.Sub(a.Since))), Since: a.Since}
			still = append(still, t)
			if t.Level > a.Level {
				a.Level = t.Level
				notices = append(notices, relay.AlertNotice{Alert: a.Alert, News: relay.AlertRaised})
			}
		default:
			gone = append(gone, a.ID)
			notices = append(notices, relay.AlertNotice{Alert: a.Alert, News: relay.AlertClosed})
		}
	}
	if err := l.keep(ctx, tx, still, gone); err != nil {
		return nil, err
	}
	opened, err := l.insert(ctx, tx, fresh)
	if err != nil {
		return nil, err
	}
	for _, a := range opened {
		notices = append(notices, relay.AlertNotice{Alert: a, News: relay.AlertOpened})
	}
	slices.SortFunc(notices, func(a, b relay.AlertNotice) int { return int(a.ID - b.ID) })
	return notices, nil
}

func (l alertLook) headline(t relay.Trouble) string {
	ages := l.m.Alerts.Ages()
	return plain(t.Headline(ages[min(t.Level, len(ages))-1], l.now))
}

// insert opens alerts.
func (l alertLook) insert(ctx context.Context, tx pgx.Tx, fresh []relay.Trouble) ([]relay.Alert, error) {
	n := len(fresh)
	if n == 0 {
		return nil, nil
	}
	cause, headline := make([]string, n), make([]string, n)
	level, since, event := make([]int16, n), make([]time.Time, n), make([]int64, n)
	for i, t := range fresh {
		cause[i], level[i], headline[i], since[i], event[i] = plain(string(t.Cause)), int16(t.Level), l.headline(t), t.Since, t.Event
	}
	rows, err := tx.Query(ctx, `
		insert into alerts as a (merchant_id, cause, level, headline, since, event_id)
		select $1, c, v, h, s, nullif(e, 0) from unnest($2::text[], $3::smallint[], $4::text[], $5::timestamptz[], $6::bigint[]) with ordinality as q(c, v, h, s, e, n) order by n
		returning `+alertColumns, l.m.ID, cause, level, headline, since, event)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (relay.Alert, error) { return scanAlert(row) })
}

// keep writes how troubles stand that had their alerts, and closes the alerts of
// those that are gone.
func (l alertLook) keep(ctx context.Context, tx pgx.Tx, still []relay.Trouble, gone []int64) error {
	n := len(still)
	cause, headline := make([]string, n), make([]string, n)
	level, since, event := make([]int16, n), make([]time.Time, n), make([]int64, n)
	for i, t := range still {
		cause[i], level[i], since[i], event[i] = string(t.Cause), int16(t.Level), t.Since, t.Event
		if !t.Cause.ClosedByPeople() || t.Event != 0 {
			headline[i] = l.headline(t)
		}
	}
	b := &pgx.Batch{}
	b.Queue(`
		update alerts a set level = q.v, headline = coalesce(nullif(q.h, ''), headline), since = q.s, event_id = coalesce(nullif(q.e, 0), event_id), seen_at = now(),
			raised_at = case when q.v > level then now() else raised_at end
		from unnest($2::text[], $3::smallint[], $4::text[], $5::timestamptz[], $6::bigint[]) as q(c, v, h, s, e)
		where a.merchant_id = $1 and a.cause = q.c and a.closed_at is null`, l.m.ID, cause, level, headline, since, event)
	b.Queue(`update alerts set closed_at = now(), closed_by = $2 where id = any($1) and closed_at is null`, gone, relay.Recovered)
	return tx.SendBatch(ctx, b).Close()
}

// writeMessages writes one message a channel of the merchant with all the notices.
func writeMessages(ctx context.Context, tx pgx.Tx, m relay.Merchant, notices []relay.AlertNotice) error {
	n := len(notices)
	if n == 0 {
		return nil
	}
	alert, news, level := make([]int64, n), make([]string, n), make([]int16, n)
	headline, since := make([]string, n), make([]time.Time, n)
	for i, x := range notices {
		alert[i], news[i], level[i], headline[i], since[i] = x.ID, string(x.News), int16(x.Level), x.Headline, x.Since
	}
	b := &pgx.Batch{}
	for _, channel := range m.Alerts.Channels() {
		b.Queue(`
			with m as (insert into alert_messages (merchant_id, channel, key) values ($1, $2, $3) returning id)
			insert into alert_notices (message_id, alert_id, news, level, headline, since)
			select m.id, q.* from m, unnest($4::bigint[], $5::text[], $6::smallint[], $7::text[], $8::timestamptz[]) as q`,
			m.ID, channel, newMessageKey(), alert, news, level, headline, since)
	}
	return tx.SendBatch(ctx, b).Close()
}

// newMessageKey names a message: it is told to receivers and says nothing.
func newMessageKey() string { return "alert_" + rand.Text() }

const alertColumns = `a.id, a.merchant_id, a.cause, a.level, a.headline, a.since, a.opened_at, a.raised_at, a.seen_at, a.closed_at, coalesce(a.closed_by, '')`

func scanAlert(row pgx.CollectableRow, more ...any) (a relay.Alert, err error) {
	var closed *time.Time
	err = row.Scan(append([]any{&a.ID, &a.Merchant, &a.Cause, &a.Level, &a.Headline, &a.Since, &a.OpenedAt, &a.RaisedAt, &a.SeenAt, &closed, &a.ClosedBy}, more...)...)
	a.ClosedAt = fromNull(closed)
	return a, err
}
