package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// ClaimAlertMessage takes the oldest message of a merchant that is due, on any
// channel but those named, and keeps others from it for lease: an attempt that
// is not recorded by then counts as lost, and the message comes again with the
// same key. It reports false when there is none.
func (s *Store) ClaimAlertMessage(ctx context.Context, merchant relay.MerchantID, except []relay.AlertChannel, lease time.Duration) (relay.AlertMessage, bool, error) {
	m := relay.AlertMessage{Merchant: merchant}
	err := s.begin(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			update alert_messages m set attempts = attempts + 1, next_at = now() + $3::interval
			where id = (select id from alert_messages where merchant_id = $1 and next_at <= now() and sent_at is null and gave_up_at is null and channel <> all($2)
				order by id limit 1 for update skip locked)
			returning id, channel, key, test, created_at, attempts, delivered`, merchant, orEmpty(except), lease).
			Scan(&m.ID, &m.Channel, &m.Key, &m.Test, &m.At, &m.Attempts, &m.Delivered)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			select a.id, a.merchant_id, a.cause, n.level, n.headline, n.since, a.opened_at, a.closed_at, coalesce(a.closed_by, ''), n.news, count(*) over ()
			from alert_notices n join alerts a on a.id = n.alert_id where n.message_id = $1 order by a.id limit $2`, m.ID, relay.MostNotices)
		if err != nil {
			return err
		}
		m.Notices, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n relay.AlertNotice, err error) {
			var closed *time.Time
			err = row.Scan(&n.ID, &n.Merchant, &n.Cause, &n.Level, &n.Headline, &n.Since, &n.OpenedAt, &closed, &n.ClosedBy, &n.News, &m.Count)
			if n.News == relay.AlertClosed { // what came after a notice is not for its message to tell
				n.ClosedAt = fromNull(closed)
			} else {
				n.ClosedBy = ""
			}
			return n, err
		})
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			with first as (
				select min(f.message_id) as id from alert_notices n join alert_notices f on f.alert_id = n.alert_id
					join alert_messages c on c.id = f.message_id and c.channel = $2
				where n.message_id = $1 group by n.alert_id)
			select coalesce((select o.key from alert_messages o where o.id = (select min(id) from first having min(id) = max(id)) and o.id < $1), '')`,
			m.ID, m.Channel).Scan(&m.Answers)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return relay.AlertMessage{}, false, nil
	}
	if err != nil {
		return relay.AlertMessage{}, false, fmt.Errorf("claim a message about alerts: %w", err)
	}
	return m, true, nil
}

// AlertSent is what came of an attempt to send a message.
type AlertSent struct {
	Message relay.AlertMessage
	// Delivered are recipients who got it with this attempt.
	Delivered []string
	// Error says why not all got it; it is tried again after Again, or not when GiveUp.
	Error  string
	Again  time.Duration
	GiveUp bool
}

// RecordAlertSent writes what came of an attempt, unless a later one is under way.
func (s *Store) RecordAlertSent(ctx context.Context, r AlertSent) error {
	_, err := s.pool.Exec(ctx, `
		update alert_messages set delivered = delivered || $3::text[], error = nullif($4, ''), next_at = now() + $5::interval,
			sent_at = case when $4 = '' then now() end, gave_up_at = case when $4 <> '' and $6 then now() end
		where id = $1 and attempts = $2 and sent_at is null and gave_up_at is null`,
		r.Message.ID, r.Message.Attempts, orEmpty(r.Delivered), plain(r.Error), r.Again, r.GiveUp)
	if err != nil {
		return fmt.Errorf("record a message about alerts: %w", err)
	}
	return nil
}

// orEmpty is an array that is never null, for where null means something else.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// AlertQuery filters a list of alerts. Zero fields do not filter.
type AlertQuery struct {
	Merchant relay.MerchantID
	Closed   bool // also those that are closed
	Limit    int
}

// Alerts lists alerts, open ones first, then the latest.
func (s *Store) Alerts(ctx context.Context, q AlertQuery) ([]relay.Alert, error) {
	rows, err := s.pool.Query(ctx, `
		select `+alertColumns+` from alerts a where ($1 = '' or a.merchant_id = $1) and ($2 or a.closed_at is null)
		order by a.closed_at is not null, a.id desc limit $3`, string(q.Merchant), q.Closed, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (relay.Alert, error) { return scanAlert(row) })
}

// AlertDelivery is how a message stands.
type AlertDelivery struct {
	ID        int64
	Channel   relay.AlertChannel
	Key       string
	News      relay.AlertNews // of the alert that was asked about; "" for a test
	CreatedAt time.Time
	Attempts  int
	NextAt    time.Time // of the next attempt, while neither of the following
	SentAt    time.Time
	GaveUpAt  time.Time
	Error     string // of the last attempt; may quote a recipient
}

const deliveryColumns = `m.id, m.channel, m.key, m.created_at, m.attempts, m.next_at, m.sent_at, m.gave_up_at, coalesce(m.error, '')`

func scanDelivery(row pgx.CollectableRow, more ...any) (d AlertDelivery, err error) {
	var sent, gaveUp *time.Time
	err = row.Scan(append([]any{&d.ID, &d.Channel, &d.Key, &d.CreatedAt, &d.Attempts, &d.NextAt, &sent, &gaveUp, &d.Error}, more...)...)
	d.SentAt, d.GaveUpAt = fromNull(sent), fromNull(gaveUp)
	return d, err
}

// Alert reads an alert with the messages that told of it, oldest first.
func (s *Store) Alert(ctx context.Context, id int64) (relay.Alert, []AlertDelivery, error) {
	rows, err := s.pool.Query(ctx, `select `+alertColumns+` from alerts a where a.id = $1`, id)
	if err != nil {
		return relay.Alert{}, nil, fmt.Errorf("read alert %d: %w", id, err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (relay.Alert, error) { return scanAlert(row) })
	if err != nil {
		return relay.Alert{}, nil, fmt.Errorf("alert %d: %w", id, notFound(err))
	}
	rows, err = s.pool.Query(ctx, `
		select `+deliveryColumns+`, n.news from alert_notices n join alert_messages m on m.id = n.message_id where n.alert_id = $1 order by m.id`, id)
	if err != nil {
		return relay.Alert{}, nil, fmt.Errorf("read alert %d: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d AlertDelivery, err error) {
		var news relay.AlertNews
		d, err = scanDelivery(row, &news)
		d.News = news
		return d, err
	})
	if err != nil {
		return relay.Alert{}, nil, fmt.Errorf("read alert %d: %w", id, err)
	}
	return a, list, nil
}

// ErrClosesItself is returned for an alert whose cause stands: closed by a
// person it would open again at the next look.
var ErrClosesItself = errors.New("it closes by itself when its cause is gone")

// CloseAlert closes an alert about an order because a person says so, and has
// the others told. One that is closed already stays as it is.
func (s *Store) CloseAlert(ctx context.Context, id int64, actor string) (relay.Alert, error) {
	var a relay.Alert
	err := s.begin(ctx, func(tx pgx.Tx) error {
		var merchant relay.MerchantID
		if err := tx.QueryRow(ctx, `select merchant_id from alerts where id = $1`, id).Scan(&merchant); err != nil {
			return notFound(err)
		}
		if err := lockAlerts(ctx, tx, merchant); err != nil { // or a look under way would close it, and tell that, once more
			return err
		}
		rows, err := tx.Query(ctx, `select `+alertColumns+` from alerts a where a.id = $1`, id)
		if err != nil {
			return err
		}
		a, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (relay.Alert, error) { return scanAlert(row) })
		switch {
		case err != nil:
			return notFound(err)
		case !a.ClosedAt.IsZero():
			return nil
		case !a.Cause.ClosedByPeople():
			return ErrClosesItself
		}
		a.ClosedBy = actor
		if err := tx.QueryRow(ctx, `update alerts set closed_at = now(), closed_by = $2 where id = $1 returning closed_at`, id, actor).Scan(&a.ClosedAt); err != nil {
			return err
		}
		m := relay.Merchant{ID: a.Merchant}
		if err := tx.QueryRow(ctx, `select alerts from merchants where id = $1`, a.Merchant).Scan(&m.Alerts); err != nil {
			return err
		}
		return writeMessages(ctx, tx, m, []relay.AlertNotice{{Alert: a, News: relay.AlertClosed}})
	})
	if err != nil {
		return relay.Alert{}, fmt.Errorf("close alert %d: %w", id, err)
	}
	return a, nil
}

// TestAlerts writes a message on every channel of a merchant that is about no
// alert, and says when the merchant's alerts were last looked after: messages
// leave at the next look.
func (s *Store) TestAlerts(ctx context.Context, merchant relay.MerchantID) (messages []int64, looked time.Time, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		messages = nil
		var policy relay.AlertPolicy
		if err := tx.QueryRow(ctx, `select alerts, alerts_read_at from merchants where id = $1`, merchant).Scan(&policy, &looked); err != nil {
			return notFound(err)
		}
		for _, channel := range policy.Channels() {
			var id int64
			if err := tx.QueryRow(ctx, `insert into alert_messages (merchant_id, channel, key, test) values ($1, $2, $3, true) returning id`,
				merchant, channel, newMessageKey()).Scan(&id); err != nil {
				return err
			}
			messages = append(messages, id)
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("test the alerts of %s: %w", merchant, err)
	}
	return messages, looked, nil
}

// AlertDeliveries tells how messages stand, in order of id.
func (s *Store) AlertDeliveries(ctx context.Context, messages []int64) ([]AlertDelivery, error) {
	rows, err := s.pool.Query(ctx, `select `+deliveryColumns+` from alert_messages m where m.id = any($1) order by m.id`, messages)
	if err != nil {
		return nil, fmt.Errorf("read messages about alerts: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (AlertDelivery, error) { return scanDelivery(row) })
}
