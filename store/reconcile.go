package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// FindingKind is a difference between the ledger and what a cart or a warehouse
// shows. The words are kept for ever.
type FindingKind string

// The discrepancies that a cart shows.
const (
	FindingUnknownOrder     FindingKind = "unknown_order"     // ready there for long, and not in the ledger
	FindingCancelMissed     FindingKind = "cancel_missed"     // cancelled there for long, and going on here
	FindingShippedElsewhere FindingKind = "shipped_elsewhere" // shipped there, though not by our warehouse, which has it
	FindingGoneAtCart       FindingKind = "gone_at_cart"      // the cart does not know it any more; our warehouse has it
	FindingNotReady         FindingKind = "not_ready_at_cart" // unlocked, unpaid or moved there since; our warehouse has it
	FindingUntold           FindingKind = "shipment_untold"   // shipped for long, and the cart did not take its tracking
	FindingNotConfirmed     FindingKind = "not_confirmed"     // the cart has all tracking, and the order had not ended
	FindingUnshipped        FindingKind = "unshipped_at_cart" // confirmed here for long, all of it told, and ready to ship there
	FindingStockDrift       FindingKind = "stock_drift"       // the cart shows another level than it was told, or takes none
)

// The discrepancies that a warehouse shows.
const (
	FindingUnconfirmed  FindingKind = "unconfirmed"             // there, and we did not know whether it was
	FindingUnexpected   FindingKind = "unexpected_at_warehouse" // there, and we believed that it was not
	FindingDuplicate    FindingKind = "duplicate"               // there twice
	FindingNotCancelled FindingKind = "not_cancelled"           // cancelled here, and going on there
	FindingForeign      FindingKind = "foreign_order"           // bears our mark and the number of an order, but nothing in the ledger sent it
	FindingUnread       FindingKind = "unread"                  // nobody looked for long what became of the orders there
	FindingStuck        FindingKind = "stuck"                   // what should have been done long ago was not
)

// Discrepancy is something in which the books differ.
type Discrepancy struct {
	Kind    FindingKind
	Subject string        // an order's reference, a warehouse's order id, a SKU
	Order   relay.OrderID // 0: of none
	Detail  map[string]any
	// Repaired says that it was mended there and then.
	Repaired bool
	// Event, when set, goes to the order's trail with EventDetail, unless the trail
	// says so already.
	Event       EventKind
	EventDetail any
}

// Finding is a discrepancy as the ledger keeps it. It holds no personal data.
type Finding struct {
	ID          int64                `json:"id"`
	Connection  relay.ConnectionName `json:"connection"`
	Kind        FindingKind          `json:"kind"`
	Subject     string               `json:"subject"`
	Reference   relay.Reference      `json:"reference,omitempty"` // of the order that it is about
	Detail      json.RawMessage      `json:"detail,omitempty"`
	FirstSeenAt time.Time            `json:"first_seen_at"`
	LastSeenAt  time.Time            `json:"last_seen_at"`
	ClosedAt    *time.Time           `json:"closed_at,omitempty"`
	Repaired    bool                 `json:"repaired"`
}

// RunID is the ledger's number of a run of reconciliation.
type RunID int64

// Reconciliation is one run of reconciliation over a connection.
type Reconciliation struct {
	ID         RunID                `json:"id"`
	Connection relay.ConnectionName `json:"connection"`
	BeganAt    time.Time            `json:"began_at"`
	EndedAt    *time.Time           `json:"ended_at,omitempty"` // nil while it goes on
	Checked    int                  `json:"checked"`            // orders and stock levels compared
	Found      int                  `json:"found"`              // discrepancies
	Repaired   int                  `json:"repaired"`           // of them
}

// ReconcileCursor names the cursor that holds how far a run has come.
const ReconcileCursor = "reconcile"

// BeginReconciliation returns the run that is under way on a connection and how
// far it has come, or a new one. A run that was begun longer ago than abandoned
// starts over: what it compared says nothing of now.
func (s *Store) BeginReconciliation(ctx context.Context, c Connection, abandoned time.Duration) (run Reconciliation, progress string, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		run, progress = Reconciliation{Connection: c.Name}, ""
		if _, err := tx.Exec(ctx, `
			delete from reconciliations where connection_id = $1 and ended_at is null and began_at < now() - $2::interval`, c.ID, abandoned); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			select r.id, r.began_at, r.checked, r.found, r.repaired, coalesce(k.value, '') from reconciliations r
				left join cursors k on k.connection_id = r.connection_id and k.name = $2
			where r.connection_id = $1 and r.ended_at is null for update of r`, c.ID, ReconcileCursor).
			Scan(&run.ID, &run.BeganAt, &run.Checked, &run.Found, &run.Repaired, &progress)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := tx.QueryRow(ctx, `insert into reconciliations (merchant_id, connection_id) values ($1, $2) returning id, began_at`, c.Merchant, c.ID).
			Scan(&run.ID, &run.BeganAt); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, setCursorSQL, c.ID, ReconcileCursor, "")
		return err
	})
	if err != nil {
		return Reconciliation{}, "", fmt.Errorf("begin to reconcile %s/%s: %w", c.Merchant, c.Name, err)
	}
	return run, progress, nil
}

// Compared is what a part of a run compared and found.
type Compared struct {
	Checked       int
	Discrepancies []Discrepancy
	// Progress is where the run goes on.
	Progress string
	// Ended says that nothing is left to compare. Discrepancies that the run did
	// not meet again are closed then, unless Partial says that it could not see all.
	Ended, Partial bool
}

// RecordCompared writes what a part of a run found and how far the run has
// come, in one transaction: what is written twice counts once. It returns the
// run as it stands. ErrNotFound when the run has ended.
func (s *Store) RecordCompared(ctx context.Context, c Connection, run RunID, actor string, part Compared) (Reconciliation, error) {
	var out Reconciliation
	err := s.begin(ctx, func(tx pgx.Tx) error {
		out = Reconciliation{ID: run, Connection: c.Name}
		if err := tx.QueryRow(ctx, `select began_at from reconciliations where id = $1 and ended_at is null for update`, run).Scan(&out.BeganAt); err != nil {
			return notFound(err)
		}
		found, repaired, err := recordDiscrepancies(ctx, tx, c, run, actor, part.Discrepancies)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `
			update reconciliations set checked = checked + $2, found = found + $3, repaired = repaired + $4, ended_at = case when $5 then now() end
			where id = $1 returning ended_at, checked, found, repaired`, run, part.Checked, found, repaired, part.Ended).
			Scan(&out.EndedAt, &out.Checked, &out.Found, &out.Repaired); err != nil {
			return err
		}
		if part.Ended && !part.Partial {
			if _, err := tx.Exec(ctx, `
				update findings set closed_at = now() where connection_id = $1 and closed_at is null and reconciliation_id is distinct from $2`, c.ID, run); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, setCursorSQL, c.ID, ReconcileCursor, part.Progress)
		return err
	})
	if err != nil {
		return Reconciliation{}, fmt.Errorf("record what was compared of %s/%s: %w", c.Merchant, c.Name, err)
	}
	return out, nil
}

// recordDiscrepancies writes discrepancies, and counts those that the run had not
// found before and those that are mended now.
func recordDiscrepancies(ctx context.Context, tx pgx.Tx, c Connection, run RunID, actor string, list []Discrepancy) (found, repaired int, err error) {
	n := len(list)
	if n == 0 {
		return 0, 0, nil
	}
	type key struct {
		kind    FindingKind
		subject string
	}
	byKey := make(map[key]Discrepancy, n)
	kinds, subjects, orders, details, mended := make([]string, n), make([]string, n), make([]int64, n), make([]string, n), make([]bool, n)
	for i, d := range list {
		d.Subject = plain(d.Subject)
		byKey[key{d.Kind, d.Subject}] = d
		kinds[i], subjects[i], orders[i], mended[i] = string(d.Kind), d.Subject, int64(d.Order), d.Repaired
		if details[i], err = asJSON(d.Detail); err != nil {
			return 0, 0, err
		}
	}
	rows, err := tx.Query(ctx, `
		with q as (
			select distinct on (kind, subject) * from unnest($4::text[], $5::text[], $6::bigint[], $7::text[], $8::boolean[])
				with ordinality as q(kind, subject, ord, detail, mended, n) order by kind, subject, n desc),
		was as (
			select f.id, f.kind, f.subject, f.reconciliation_id is distinct from $3 as counts from findings f join q using (kind, subject)
			where f.connection_id = $2 and f.closed_at is null for update of f),
		seen as (
			update findings f set reconciliation_id = $3, last_seen_at = now(), detail = q.detail::jsonb, order_id = coalesce(nullif(q.ord, 0), f.order_id),
				repaired = q.mended, closed_at = case when q.mended then now() end
			from was join q using (kind, subject) where f.id = was.id returning f.kind, f.subject, was.counts, f.repaired),
		made as (
			insert into findings (merchant_id, connection_id, reconciliation_id, kind, subject, order_id, detail, repaired, closed_at)
			select $1, $2, $3, kind, subject, nullif(ord, 0), detail::jsonb, mended, case when mended then now() end from q
			where not exists (select from was where (was.kind, was.subject) = (q.kind, q.subject))
			on conflict (reconciliation_id, kind, subject) do nothing returning kind, subject, true, repaired)
		select * from seen union all select * from made order by 1, 2`,
		c.Merchant, c.ID, run, kinds, subjects, orders, details, mended)
	if err != nil {
		return 0, 0, err
	}
	var k key
	var counts, isMended bool
	var events []newEvent
	_, err = pgx.ForEachRow(rows, []any{&k.kind, &k.subject, &counts, &isMended}, func() error {
		if counts {
			found++
		}
		if isMended {
			repaired++
		}
		if d := byKey[k]; d.Event != "" {
			events = append(events, newEvent{d.Order, d.Event, d.EventDetail})
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	return found, repaired, insertNews(ctx, tx, actor, events)
}

// LastReconciliations returns the last run of each connection of a merchant, by
// name; connections without one have none.
func (s *Store) LastReconciliations(ctx context.Context, merchant relay.MerchantID) ([]Reconciliation, error) {
	rows, err := s.pool.Query(ctx, `
		select r.id, c.name, r.began_at, r.ended_at, r.checked, r.found, r.repaired
		from connections c cross join lateral (select * from reconciliations r where r.connection_id = c.id order by r.id desc limit 1) r
		where c.merchant_id = $1 and c.removed_at is null order by c.name`, merchant)
	if err != nil {
		return nil, fmt.Errorf("read reconciliations: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Reconciliation])
}

// FindingQuery says which findings to list.
type FindingQuery struct {
	Merchant relay.MerchantID
	Runs     []RunID // those that these runs saw last; nil: of any run
	Closed   bool    // closed ones as well
	Limit    int
}

// Findings lists what reconciliation found, the newest first.
func (s *Store) Findings(ctx context.Context, q FindingQuery) ([]Finding, error) {
	var runs []int64
	for _, r := range q.Runs {
		runs = append(runs, int64(r))
	}
	rows, err := s.pool.Query(ctx, `
		select f.id, c.name, f.kind, f.subject, coalesce(o.reference, ''), f.detail, f.first_seen_at, f.last_seen_at, f.closed_at, f.repaired
		from findings f join connections c on c.id = f.connection_id left join orders o on o.id = f.order_id
		where f.merchant_id = $1 and ($2::bigint[] is null or f.reconciliation_id = any($2)) and ($3 or f.closed_at is null) order by f.id desc limit $4`,
		q.Merchant, runs, q.Closed, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Finding])
}
