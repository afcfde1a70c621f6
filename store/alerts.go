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
		if err := lockAlerts(ctx, tx, m.ID); err != nil {
			return err
		}
		// Compiling these statements costs more than it gives.
		if _, err := tx.Exec(ctx, `set local jit = off`); err != nil {
			return err
		}
		l := alertLook{m: m, contents: contents}
		var read time.Time
		// To be asked before anything is read. Of the sessions of other roles Postgres may tell nothing.
		err := tx.QueryRow(ctx, `
			select alerts_read_at, now(), greatest(now() - $2::interval, least(now(), (
				select min(xact_start) - interval '1 microsecond' from pg_stat_activity where datname = current_database() and backend_type = 'client backend')))
			from merchants where id = $1`, m.ID, trailOverlap).Scan(&read, &l.now, &l.whole)
		if err != nil {
			return notFound(err)
		}
		troubles, err := l.standing(ctx, tx)
		if err != nil {
			return err
		}
		for _, t := range more {
			least := stuckFor
			if kind, _, _ := t.Cause.Parts(); kind == relay.CausePaused { // somebody meant it
				least = time.Duration(l.m.Alerts.Ages()[0])
			}
			if age := l.now.Sub(t.Since); age >= least {
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
		_, err = tx.Exec(ctx, `update merchants set alerts_read_at = greatest(alerts_read_at, $2) where id = $1`, m.ID, l.now)
		return err
	})
	if err != nil {
		return AlertChange{}, fmt.Errorf("look after the alerts of %s: %w", m.ID, err)
	}
	return out, nil
}

// lockAlerts keeps others from opening, raising and closing a merchant's alerts. Not
// by the merchant's row: submissions are claimed under it meanwhile.
func lockAlerts(ctx context.Context, tx pgx.Tx, merchant relay.MerchantID) error {
	_, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('alerts/' || $1, 0))`, string(merchant))
	return err
}

// alertLook is one look at a merchant's alerts.
type alertLook struct {
	m   Merchant
	now time.Time // the database's
	// whole is just before the oldest transaction began that was under way: up to then the
	// look sees all. What it tells is told as of then, for of what has a later time, some
	// may be written yet; better that some is told twice.
	whole    time.Time
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
	ask := func(sql string, args ...any) { b.Queue(summedUp(sql), append([]any{l.m.ID, ages}, args...)...) }
	ask(heldSQL, relay.HoldUnknownOutcome)
	ask(stoppedSQL)
	ask(messagesSQL, l.m.Alerts.Channels())
	ask(findingsSQL)
	ask(cancelsSQL, stuckFor)
	ask(unreadSQL)
	if l.m.PausedAt.IsZero() { // all of this waits by design while the merchant is paused
		ask(readySQL, submitted)
		ask(inDoubtSQL, stuckFor)
		ask(shipmentsSQL, carts, told, l.contents)
		ask(cartCancelsSQL, carts, stuckFor)
		ask(unansweredSQL, stuckFor)
		ask(unshippedSQL, l.m.Alerts.MayStay(), stuckFor)
	}
	var list []relay.Trouble
	results := tx.SendBatch(ctx, b)
	defer results.Close()
	for range b.Len() {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		var t relay.Trouble
		_, err = pgx.ForEachRow(rows, []any{&t.Cause, &t.Count, &t.Oldest, &t.Since, &t.Risen, &t.LastRisen}, func() error {
			t.Level = max(l.m.Alerts.Level(l.now.Sub(t.Since)), 1) // what is a trouble before the first age is told at once
			list = append(list, t)
			t.LastRisen = nil // else the next row is read into the same names
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if level := l.m.Alerts.Level(l.now.Sub(l.m.PausedAt)); !l.m.PausedAt.IsZero() && level > 0 {
		list = append(list, relay.Trouble{Cause: relay.CausePaused, Level: level, Count: 1, Since: l.m.PausedAt})
	}
	slices.SortFunc(list, func(a, b relay.Trouble) int { return a.Since.Compare(b.Since) })
	return list, nil
}

// summedUp sums up items by cause: how many there are, the oldest, and which of
// them became a trouble or passed an age ($2) since their alert last said so. Each
// is computed once, though its times are asked for several times.
func summedUp(items string) string {
	return `
		with items (cause, name, since, troubled, id) as materialized (` + items + `
		), passed as materialized (
			select i.*, greatest(troubled, (select max(since + age) from unnest($2::interval[]) age where since + age <= now())) as at
			from items i where troubled <= now())
		select p.cause, count(*), (array_agg(p.name order by p.since, p.id))[1], min(p.since), count(*) filter (where p.at > a.raised_at),
			(array_agg(p.name order by p.at desc, p.id) filter (where p.at > a.raised_at))[:3]
		from passed p left join alerts a on a.merchant_id = $1 and a.cause = p.cause and a.closed_at is null group by p.cause`
}

// What may be troubled: under which cause, its name, since when it is as it is,
// from when on that is a trouble, and an order among those of one time.
const (
	// Orders on hold wait in peace until the first age, unless only a person can end
	// the hold. However old it is, an order joins an alert with this hold if it was on
	// hold for something else, or not at all, when that alert was last told of; being
	// refused anew every night is no news. Those that the warehouse has are another
	// thing, which is as old as the present hold.
	heldSQL = `
		select o.cause, o.reference, o.since, case o.hold_reason when $3 then o.held_at else greatest(o.since + ($2::interval[])[1], joined.at) end, o.id
		from (
			select id, reference, hold_reason, held_at,
				case when warehouse_order_id is null then 'hold/' || hold_reason else 'stuck/at_warehouse' end as cause,
				case when warehouse_order_id is null then coalesce(first_held_at, held_at) else held_at end as since
			from orders where merchant_id = $1 and state = 'held') o
		left join alerts a on a.merchant_id = $1 and a.cause = o.cause and a.closed_at is null
		left join lateral (
			select o.held_at as at where o.held_at > a.raised_at and o.hold_reason is distinct from (
				select e.detail ->> 'reason' from order_events e
				where e.order_id = o.id and e.at <= a.raised_at and e.kind in ('held', 'accepted', 'adopted', 'taken_after_all') order by e.id desc limit 1)) joined on true`
	stoppedSQL = `
		select 'connection/' || name, name, stopped_at, stopped_at, id from connections where merchant_id = $1 and removed_at is null and stopped_at is not null`
	// What could not be delivered is settled by the next message that could. Until then
	// it is one trouble, from the first that was given up: it is tried anew every day.
	messagesSQL = `
		select 'messages/' || channel, '', min(gave_up_at) over one, min(gave_up_at) over one, id from alert_messages g
		where merchant_id = $1 and gave_up_at is not null and not test and channel = any($3)
			and not exists (select from alert_messages l where l.merchant_id = g.merchant_id and l.channel = g.channel and l.id > g.id and l.sent_at is not null)
		window one as (partition by channel)`
	findingsSQL = `
		select 'finding/' || kind, subject, first_seen_at, first_seen_at, id
		from findings where merchant_id = $1 and closed_at is null and not repaired
			and connection_id in (select id from connections where removed_at is null) -- else no run will ever close it`
	cancelsSQL = `
		select 'stuck/cancel_requested', reference, cancel_requested_at, cancel_requested_at + $3::interval, id
		from orders where warehouse_id in (select id from connections where merchant_id = $1) and state = 'cancel_requested'`
	// An order is ready since it was taken in or last let go, whatever became of its
	// submissions: a resend by the clock lets it go too. Here and below no onboarding
	// gives anything its time anew, but the end of a pause does.
	readySQL = `
		select 'stuck/ready', o.reference, since, greatest(since, m.resumed_at) + $3::interval, o.id
		from merchants m join orders o on o.merchant_id = m.id cross join lateral (
			select greatest(o.created_at, min(e.at)) as since from order_events e
			where e.order_id = o.id and e.kind in ('released', 'unskipped', 'reopened', 'submitting')
				and e.id >= (select max(k.id) from order_events k where k.order_id = o.id and k.kind in ('held', 'skipped', 'reopened'))) l
		where m.id = $1 and o.state = 'new' and o.created_at < now() - $3::interval`
	// What is being sent for so long is in doubt too, though nobody has found it yet.
	inDoubtSQL = `
		select 'stuck/in_doubt', o.reference, o.updated_at, greatest(o.updated_at, m.resumed_at) + $3::interval, o.id
		from orders o join merchants m on m.id = o.merchant_id where o.merchant_id = $1 and o.state in ('in_doubt', 'submitting')`
	// A parcel with a part of a kit is to be told once that was settled, weeks later.
	shipmentsSQL = `
		select 'stuck/shipment', o.reference, since,
			greatest(since, m.resumed_at) + c.wait + case when s.assumed then $5::interval else interval '0' end, s.id
		from unnest($3::bigint[], $4::interval[]) as c(id, wait) join shipments s on s.cart_id = c.id and s.state = 'ready'
			join orders o on o.id = s.order_id join merchants m on m.id = $1 cross join lateral (
				select greatest(s.seen_at, max(e.at)) as since from order_events e
				where e.order_id = s.order_id and e.kind = 'contents_assumed' and e.detail @> '{"kits": true}') l`
	// A cart is told of a cancel once that has ended the order, and a warehouse may take
	// days to confirm it.
	cartCancelsSQL = `
		select 'stuck/cart_cancel', o.reference, since, greatest(since, m.resumed_at) + $4::interval, o.id
		from merchants m join orders o on o.merchant_id = m.id cross join lateral (
			select greatest(o.cancel_requested_at, max(e.at)) as since from order_events e where e.order_id = o.id and e.kind in ('cancelled', 'sending_cancelled')) l
		where m.id = $1 and o.cart_id = any($3) and o.cart_cancel_at is not null and o.state in ('cancelled', 'sending_cancelled')`
	// What a warehouse does through a pause is seen when it is asked again.
	unansweredSQL = `
		select 'unanswered/' || c.name, o.reference, o.answer_due, greatest(o.answer_due, m.resumed_at + $3::interval), o.id
		from merchants m join connections c on c.merchant_id = m.id join orders o on o.warehouse_id = c.id
		where m.id = $1 and o.answer_due < now() and o.state = 'at_warehouse'`
	unshippedSQL = `
		select 'unshipped/' || c.name, o.reference, o.accepted_at, greatest(o.accepted_at + $3::interval, m.resumed_at + $4::interval), o.id
		from merchants m join connections c on c.merchant_id = m.id join orders o on o.warehouse_id = c.id
		where m.id = $1 and o.accepted_at < now() - $3::interval and ` + unshipped
	unreadSQL = `
		select 'unread/' || c.name, u.subject || case u.line when 0 then '' else ' line ' || u.line end, u.since, u.since, u.id
		from connections c join unread u on u.connection_id = c.id where c.merchant_id = $1 and c.removed_at is null`
)

// trailOverlap is for how long before the last look trails are read again: an
// entry has the time at which its transaction began, and is seen when that ends. Those
// that write take less.
const trailOverlap = 10 * time.Minute

// happened names what an entry of a trail (e) tells of its order (o), and
// settled whether that needs nobody any more. cancelledSince is an order that a person
// cancelled after it, so that the cart is told, or that the cart itself cancelled.
const (
	cancelledSince = `o.cart_cancel_at is not null or coalesce(o.cart_cancelled_at > e.at, false)`

	happened = `case e.kind when 'cancelled' then 'cancelled_by_warehouse' when 'warehouse_status' then 'gone' else e.kind end`
	settled  = `case e.kind
		when 'back_at_cart' then (o.state not in ('cancelled', 'sending_cancelled', 'cancel_requested')
			and (o.cancel_requested_at is null or o.warehouse_order_id is not null)) or ` + cancelledSince + ` -- a cancel that waits for a look ends it yet
		when 'changed_too_late' then o.state in ('cancelled', 'sending_cancelled')
			or exists (select from order_events l where l.order_id = o.id and l.id > e.id and l.kind in ('changed_at_cart', 'changed_back'))
		when 'duplicate_found' then o.state in ('confirmed', 'cancelled', 'sending_cancelled')
			and not exists (select from jsonb_each_text(e.detail -> 'cancelled') as d(id, answer) where answer <> 'cancelled' and not exists (
				select from order_events l where l.order_id = o.id and l.id > e.id and l.kind = e.kind and l.detail -> 'cancelled' ->> d.id = 'cancelled'))
		when 'cancel_too_late' then o.state = 'cancelled'
		when 'taken_after_all' then o.state in ('confirmed', 'cancelled')
		when 'shipped_short' then not exists (select from jsonb_to_recordset(e.detail -> 'left') as l(line text, units bigint)
			where l.units > (select coalesce(sum(m.units), 0) from shipments s join shipment_lines m on m.shipment_id = s.id
				where s.order_id = o.id and m.line_id = l.line and s.seen_at > e.at))
		when 'cancelled' then o.state <> 'cancelled' or ` + cancelledSince + `
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
	var fresh []relay.Trouble
	var still []standingAlert
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
		// It falls without a word, and rises with one: not before people have had their
		// rest of what was told of it last, however many orders pass an age meanwhile.
		// But what only they can end is told of at once.
		told := again || (t.Risen > 0 || t.Level > a.Level) && (t.Cause == onlyPeople || l.now.Sub(a.RaisedAt) >= l.m.Alerts.Rest())
		if told {
			a.Level, a.Since, a.Headline = t.Level, t.Since, l.headline(t)
			notices = append(notices, relay.AlertNotice{Alert: a.Alert, News: relay.AlertRaised})
		} else {
			t.Level = min(t.Level, a.Level)
		}
		t.Risen, t.LastRisen = 0, nil
		still = append(still, standingAlert{t, told})
	}
	var gone []int64
	for cause, a := range open {
		switch byPeople := cause.ClosedByPeople(); {
		case stands[cause]:
		case byPeople && !a.settled:
			// An order's alert stands until it is settled or closed, and rises with its age.
			t := relay.Trouble{Cause: cause, Level: max(1, l.m.Alerts.Level(l.now.Sub(a.Since))), Since: a.Since}
			still = append(still, standingAlert{t, t.Level > a.Level})
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

// onlyPeople is the cause that nothing but a person ends.
var onlyPeople = relay.NewAlertCause(relay.CauseHold, string(relay.HoldUnknownOutcome))

// standingAlert is a trouble that has its alert, and whether this look tells of it.
type standingAlert struct {
	relay.Trouble
	told bool
}

func (l alertLook) headline(t relay.Trouble) string {
	return plain(t.Headline(l.m.Alerts.Ages()[0], l.now))
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
		insert into alerts as a (merchant_id, cause, level, headline, since, event_id, raised_at)
		select $1, c, v, h, s, nullif(e, 0), $7 from unnest($2::text[], $3::smallint[], $4::text[], $5::timestamptz[], $6::bigint[]) with ordinality as q(c, v, h, s, e, n) order by n
		returning `+alertColumns, l.m.ID, cause, level, headline, since, event, l.whole)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (relay.Alert, error) { return scanAlert(row) })
}

// keep writes how troubles stand that had their alerts, and closes the alerts of
// those that are gone.
func (l alertLook) keep(ctx context.Context, tx pgx.Tx, still []standingAlert, gone []int64) error {
	n := len(still)
	cause, headline := make([]string, n), make([]string, n)
	level, since, event, told := make([]int16, n), make([]time.Time, n), make([]int64, n), make([]bool, n)
	for i, t := range still {
		cause[i], level[i], since[i], event[i], told[i] = string(t.Cause), int16(t.Level), t.Since, t.Event, t.told
		if !t.Cause.ClosedByPeople() || t.Event != 0 {
			headline[i] = l.headline(t.Trouble)
		}
	}
	b := &pgx.Batch{}
	b.Queue(`
		update alerts a set level = q.v, headline = coalesce(nullif(q.h, ''), headline), since = q.s, event_id = coalesce(nullif(q.e, 0), event_id), seen_at = now(),
			raised_at = case when q.told then greatest(raised_at, $8) else raised_at end
		from unnest($2::text[], $3::smallint[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bool[]) as q(c, v, h, s, e, told)
		where a.merchant_id = $1 and a.cause = q.c and a.closed_at is null`, l.m.ID, cause, level, headline, since, event, told, l.whole)
	b.Queue(`update alerts set closed_at = now(), closed_by = $2 where id = any($1) and closed_at is null`, gone, relay.Recovered)
	return tx.SendBatch(ctx, b).Close()
}

// writeMessages writes one message a channel of the merchant with all the notices,
// and with what is open and was not told there, because the channel came later or gave
// up on the last message of it: that is said again once a rest, and not at every look
// to a receiver that refuses everything.
func writeMessages(ctx context.Context, tx pgx.Tx, m relay.Merchant, notices []relay.AlertNotice) error {
	n := len(notices)
	alert, news, level := make([]int64, n), make([]string, n), make([]int16, n)
	headline, since := make([]string, n), make([]time.Time, n)
	for i, x := range notices {
		alert[i], news[i], level[i], headline[i], since[i] = x.ID, string(x.News), int16(x.Level), x.Headline, x.Since
	}
	b := &pgx.Batch{}
	for _, channel := range m.Alerts.Channels() {
		b.Queue(`
			with told (alert_id, news, level, headline, since) as (
				select * from unnest($4::bigint[], $5::text[], $6::smallint[], $7::text[], $8::timestamptz[])
				union all
				select a.id, coalesce(last.news, 'opened'), a.level, a.headline, a.since
				from alerts a left join lateral (
					select n.news, g.created_at, g.gave_up_at from alert_notices n join alert_messages g on g.id = n.message_id
					where n.alert_id = a.id and g.channel = $2 order by g.id desc limit 1) last on true
				where a.merchant_id = $1 and a.closed_at is null and a.id <> all($4)
					and (last.news is null or (last.gave_up_at is not null and last.created_at <= now() - $9::interval))),
			m as (insert into alert_messages (merchant_id, channel, key) select $1, $2, $3 where exists (select from told) returning id)
			insert into alert_notices (message_id, alert_id, news, level, headline, since) select m.id, told.* from m, told`,
			m.ID, channel, newMessageKey(), alert, news, level, headline, since, m.Alerts.Rest())
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
