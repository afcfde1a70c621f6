package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// EventKind is what happened to an order. The words are kept for ever.
type EventKind string

// The kinds of event.
const (
	EventSeen             EventKind = "seen"              // taken in from the cart
	EventChangedAtCart    EventKind = "changed_at_cart"   // and taken over, before submission
	EventBackAtCart       EventKind = "back_at_cart"      // cancelled here, and ready again at the cart
	EventChangedTooLate   EventKind = "changed_too_late"  // changed at the cart after submission, with the differences
	EventChangedBack      EventKind = "changed_back"      // and then back to what was submitted
	EventSkipped          EventKind = "skipped"           // the cart's filter leaves it out, with the reason
	EventUnskipped        EventKind = "unskipped"         // it does so no more
	EventReopened         EventKind = "reopened"          // cancelled, and to be sent anew because a person says so
	EventHeld             EventKind = "held"              // with the reason
	EventReleased         EventKind = "released"          // from a hold
	EventSubmitting       EventKind = "submitting"        // a submission was opened
	EventResubmitting     EventKind = "resubmitting"      // the same submission is sent again, surely absent before
	EventAccepted         EventKind = "accepted"          // the warehouse took it
	EventAdopted          EventKind = "adopted"           // found at the warehouse after a lost reply
	EventDuplicate        EventKind = "duplicate_found"   // the warehouse took it more than once
	EventRefused          EventKind = "refused"           // the warehouse said no
	EventUnknown          EventKind = "outcome_unknown"   // no answer that tells
	EventNotFound         EventKind = "looked_not_found"  // looked for it in vain
	EventLookFailed       EventKind = "look_failed"       // the first of a row of looks that failed, with why
	EventUnsent           EventKind = "unsent"            // nothing left us
	EventPackage          EventKind = "package"           // a parcel, with carrier and number
	EventAssumed          EventKind = "contents_assumed"  // a parcel of untold contents stands for all that was left
	EventContentsTold     EventKind = "contents_told"     // of a parcel that was known without them
	EventPackageGrew      EventKind = "package_grew"      // more was in a parcel than was known
	EventRelabelled       EventKind = "relabelled"        // another parcel was named in the place of one
	EventShippedShort     EventKind = "shipped_short"     // no more follows, with the lines that are left
	EventWarehouseStatus  EventKind = "warehouse_status"  // the warehouse's word changed
	EventTold             EventKind = "told_cart"         // the cart has the tracking
	EventTellFailed       EventKind = "tell_failed"       // the cart did not take it
	EventConfirmed        EventKind = "confirmed"         // the cart has all tracking
	EventCancelAsked      EventKind = "cancel_asked"      // by a person or the cart
	EventCancelledSending EventKind = "sending_cancelled" // before it was sent
	EventCancelled        EventKind = "cancelled"         // at the warehouse
	EventCancelTooLate    EventKind = "cancel_too_late"   // with the evidence
	EventCancelPending    EventKind = "cancel_pending"    // the warehouse has not decided
	EventShippedAfterAll  EventKind = "shipped_after_all" // despite a cancel

	EventAcknowledged  EventKind = "acknowledged"    // a warehouse that had only received it has taken it
	EventTakenAfterAll EventKind = "taken_after_all" // the warehouse refused it, and goes on with it after all

	EventCancelToldCart   EventKind = "cancel_told_cart"   // the cart has a person's cancel
	EventCancelTellFailed EventKind = "cancel_tell_failed" // the cart did not take it
)

// Event is one entry of an order's trail.
type Event struct {
	At     time.Time
	Kind   EventKind
	Actor  string // "job pull_orders", "operator clerk", "cart main"
	Detail json.RawMessage
}

type newEvent struct {
	order  relay.OrderID
	kind   EventKind
	detail any // nil, or what JSON can hold
}

const insertEventsSQL = `
	insert into order_events (order_id, kind, actor, detail)
	select o, k, $3, nullif(d, '')::jsonb from unnest($1::bigint[], $2::text[], $4::text[]) with ordinality as e(o, k, d, n) order by n`

func eventArgs(actor string, events []newEvent) ([]any, error) {
	ids, kinds, details := make([]int64, len(events)), make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		ids[i], kinds[i] = int64(e.order), string(e.kind)
		if e.detail != nil {
			var err error
			if details[i], err = asJSON(e.detail); err != nil {
				return nil, fmt.Errorf("event %s: %w", e.kind, err)
			}
		}
	}
	return []any{ids, kinds, actor, details}, nil
}

func insertEvents(ctx context.Context, tx pgx.Tx, actor string, events []newEvent) error {
	if len(events) == 0 {
		return nil
	}
	args, err := eventArgs(actor, events)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertEventsSQL, args...)
	return err
}

// insertNews writes events, but for those that their orders' trails have word for word.
func insertNews(ctx context.Context, tx pgx.Tx, actor string, events []newEvent) error {
	if len(events) == 0 {
		return nil
	}
	args, err := eventArgs(actor, events)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into order_events (order_id, kind, actor, detail)
		select o, k, $3, detail from unnest($1::bigint[], $2::text[], $4::text[]) with ordinality as e(o, k, d, n) cross join lateral (select nullif(d, '')::jsonb as detail) j
		where not exists (select from order_events h where h.order_id = o and h.kind = k and h.detail is not distinct from j.detail) order by n`, args...)
	return err
}

// History returns an order's trail, oldest first.
func (s *Store) History(ctx context.Context, order relay.OrderID) ([]Event, error) {
	rows, err := s.pool.Query(ctx, `select at, kind, actor, detail from order_events where order_id = $1 order by id`, order)
	if err != nil {
		return nil, fmt.Errorf("read the trail: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Event, err error) {
		err = row.Scan(&e.At, &e.Kind, &e.Actor, &e.Detail)
		return e, err
	})
}
