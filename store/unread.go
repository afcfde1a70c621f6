package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Unread is something that a system gave us and that could not be read.
type Unread struct {
	Subject string // what: a file's name, an object's id
	Line    int    // from 1; 0 where it has none
	Message string // what is wrong and what would be accepted, without personal data
}

// mostUnread keeps what a system can make us store of one job within bounds: the rest
// of a file of nothing but bad rows is told when the first of them are mended.
const mostUnread = 10_000

// RecordUnread writes what a job could not read, in the place of all that was
// noted of that job before. What stands still keeps the time since which it does.
func (s *Store) RecordUnread(ctx context.Context, connection ConnectionID, job relay.Job, list []Unread) error {
	type place struct {
		subject string
		line    int
	}
	var subjects, messages []string
	var lines []int32
	seen := make(map[place]int)
	for _, u := range list {
		at := place{plain(u.Subject), max(u.Line, 0)}
		if i, twice := seen[at]; twice {
			if message := plain(u.Message); len(messages[i]) < 500 && !strings.Contains(messages[i], message) {
				messages[i] += "; " + message
			}
			continue
		}
		if len(subjects) == mostUnread {
			break
		}
		seen[at] = len(subjects)
		subjects, lines, messages = append(subjects, at.subject), append(lines, int32(at.line)), append(messages, plain(u.Message))
	}
	err := s.begin(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			with q as (select * from unnest($3::text[], $4::int[], $5::text[]) as q(subject, line, message)),
			gone as (
				delete from unread u where connection_id = $1 and job = $2 and not exists (select from q where (q.subject, q.line) = (u.subject, u.line)))
			insert into unread (connection_id, job, subject, line, message) select $1, $2, subject, line, message from q
			on conflict (connection_id, job, subject, line) do update set message = excluded.message where unread.message <> excluded.message`,
			connection, job, subjects, lines, messages)
		return err
	})
	if err != nil {
		return fmt.Errorf("record what could not be read: %w", err)
	}
	return nil
}

// UnreadRow is what could not be read, and since when.
type UnreadRow struct {
	Connection relay.ConnectionName
	Job        relay.Job
	Unread
	Since time.Time
}

// Unread lists what a connection gave us that could not be read, by job, subject and line.
func (s *Store) Unread(ctx context.Context, merchant relay.MerchantID, connection relay.ConnectionName, limit int) ([]UnreadRow, error) {
	rows, err := s.pool.Query(ctx, `
		select c.name, u.job, u.subject, u.line, u.message, u.since from unread u join connections c on c.id = u.connection_id
		where c.merchant_id = $1 and c.name = $2 order by u.job, u.subject, u.line limit $3`, merchant, connection, limit)
	if err != nil {
		return nil, fmt.Errorf("list what could not be read: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (u UnreadRow, err error) {
		err = r.Scan(&u.Connection, &u.Job, &u.Subject, &u.Line, &u.Message, &u.Since)
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("list what could not be read: %w", err)
	}
	return list, nil
}
