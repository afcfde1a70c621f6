package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// Each deletes up to $3 rows of a merchant ($1) that ended longer ago than $2.
// Orders, their submissions and their trails are kept for ever.
const (
	pruneAlertsSQL = `
		with gone as (select id from alerts where merchant_id = $1 and closed_at < now() - $2::interval order by id limit $3 for update skip locked),
			told as (delete from alert_notices where alert_id in (select id from gone))
		delete from alerts where id in (select id from gone)`
	// Messages of an alert that is open hang together, and the last of a channel says whether it works.
	pruneMessagesSQL = `
		delete from alert_messages where id in (
			select id from alert_messages m where merchant_id = $1 and created_at < now() - $2::interval and (sent_at is not null or gave_up_at is not null)
				and not exists (select from alert_notices n where n.message_id = m.id)
				and exists (select from alert_messages l where l.merchant_id = m.merchant_id and l.channel = m.channel and l.id > m.id)
			order by id limit $3 for update skip locked)`
	pruneFindingsSQL = `
		delete from findings where id in (
			select id from findings where merchant_id = $1 and closed_at < now() - $2::interval order by id limit $3 for update skip locked)`
	// The last run of a connection says when its books were compared.
	pruneReconciliationsSQL = `
		delete from reconciliations where id in (
			select id from reconciliations r where merchant_id = $1 and ended_at < now() - $2::interval
				and exists (select from reconciliations l where l.connection_id = r.connection_id and l.id > r.id)
				and not exists (select from findings f where f.reconciliation_id = r.id)
			order by id limit $3 for update skip locked)`
)

// Prune deletes alerts, messages, findings and runs of reconciliation of a merchant
// that ended longer ago than age, of each kind up to limit, and returns how many. What
// something that is kept refers to is kept as well.
func (s *Store) Prune(ctx context.Context, merchant relay.MerchantID, age time.Duration, limit int) (n int, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		n = 0
		for _, sql := range []string{pruneAlertsSQL, pruneMessagesSQL, pruneFindingsSQL, pruneReconciliationsSQL} {
			tag, err := tx.Exec(ctx, sql, merchant, age, limit)
			if err != nil {
				return err
			}
			n += int(tag.RowsAffected())
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune what ended long ago of %s: %w", merchant, err)
	}
	return n, nil
}
