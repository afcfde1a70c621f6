package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
	"orderferry/store"
)

// TestAnySequenceOfMoves does random things in a random order, as a slow
// network and a hurried operator might, and looks at every order after every
// step: it moved only as relay says it may, at most one submission of it is
// live, and the warehouse never got it twice.
func TestAnySequenceOfMoves(t *testing.T) {
	b := newBench(t)
	rapid.Check(t, func(rt *rapid.T) {
		// The trigger that keeps the trail append-only is off for a moment.
		b.exec(`do $$ begin set local session_replication_role = replica; truncate orders, order_events, cursors cascade; end $$`)
		m := model{b: b, rt: rt, before: make(map[relay.OrderID]relay.OrderState)}
		actions := map[string]func(*rapid.T){"": func(*rapid.T) { m.check() }}
		for name, f := range m.moves() {
			actions[name] = func(rt *rapid.T) { m.rt = rt; require.NoError(rt, f(), name) }
		}
		rt.Repeat(actions)
	})
}

type model struct {
	b      *bench
	rt     *rapid.T
	next   int
	subs   []store.Submission // all that were ever opened or read
	before map[relay.OrderID]relay.OrderState
	ids    []relay.OrderID
	// reopened is the order that a person had sent anew just now.
	reopened relay.OrderID
}

func (m *model) pick() relay.OrderID {
	if len(m.ids) == 0 {
		return 0
	}
	return rapid.SampledFrom(m.ids).Draw(m.rt, "order")
}

// some draws up to three of the submissions that there ever were, also old ones.
func (m *model) some() []store.Submission {
	if len(m.subs) == 0 {
		return nil
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(m.subs), 0, min(3, len(m.subs)), func(s store.Submission) relay.OrderID { return s.Order.ID }).Draw(m.rt, "submissions")
}

func (m *model) moves() map[string]func() error {
	b := m.b
	ctx := b.t.Context()
	return map[string]func() error{
		"take in": func() error {
			m.next++
			_, err := b.TakeIn(ctx, b.cart("shop"), []relay.CartOrder{anOrder(m.next)}, "orders", "x", "model")
			return err
		},
		"change": func() error {
			if m.next == 0 {
				return nil
			}
			o := anOrder(rapid.IntRange(1, m.next).Draw(m.rt, "n"))
			o.UpdatedAt = placed.Add(time.Duration(rapid.IntRange(0, 9).Draw(m.rt, "version")) * time.Minute)
			o.ShipMethod = relay.ShipMethod(fmt.Sprint("method at ", o.UpdatedAt))
			_, err := b.TakeIn(ctx, b.cart("shop"), []relay.CartOrder{o}, "orders", "x", "model")
			return err
		},
		"claim": func() error {
			b.exec(`update orders set retry_at = null`)
			claimed, err := b.Claim(ctx, b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
				if rapid.IntRange(0, 4).Draw(m.rt, "fate") == 0 {
					return store.Claim{Hold: &relay.Hold{Reason: relay.HoldUnknownItem}}, nil
				}
				return translate(o, token)
			})
			m.subs = append(m.subs, claimed.Submissions...)
			return err
		},
		"resend": func() error {
			q := b.query("nightly")
			q.Held = []relay.OrderID{m.pick()}
			claimed, err := b.Claim(ctx, q, translate)
			m.subs = append(m.subs, claimed.Submissions...)
			return err
		},
		"outcomes": func() error {
			var outcomes []store.Outcome
			for _, s := range m.some() {
				o := rapid.SampledFrom([]func(store.Submission) store.Outcome{accepted, refused, unknown, unsent}).Draw(m.rt, "outcome")(s)
				if o.Unsent {
					o.Spent = rapid.IntRange(0, 2).Draw(m.rt, "spent")
				}
				if rapid.IntRange(0, 9).Draw(m.rt, "confused") == 0 && o.Accepted != "" {
					o.Accepted, o.Adopted = "W-same", rapid.Bool().Draw(m.rt, "adopted")
				}
				outcomes = append(outcomes, o)
			}
			return b.RecordOutcomes(ctx, "model", outcomes)
		},
		"take over": func() error {
			_, err := b.TakeOver(ctx, b.depot(), rapid.SampledFrom([]string{"me", "nightly", "nobody"}).Draw(m.rt, "owner"), "model")
			return err
		},
		"look": func() error {
			var looks []store.Look
			for _, s := range m.some() {
				l := store.Look{Submission: s.ID, Order: s.Order.ID}
				switch rapid.IntRange(0, 2).Draw(m.rt, "look") {
				case 0:
					l.Again = time.Nanosecond
				case 1:
					l.Hold = unknownOutcome()
				case 2:
					l.Absent = &relay.Hold{Reason: relay.HoldWarehouseUnreachable}
				}
				looks = append(looks, l)
			}
			return b.RecordLooks(ctx, "model", looks)
		},
		"shown": func() error {
			var list []store.Shown
			for _, s := range m.some() {
				list = append(list, store.Shown{Submission: s.ID, WarehouseOrderID: wid(s)})
			}
			_, err := b.DoubtShown(ctx, "model", list)
			return err
		},
		"send again": func() error {
			_, err := b.Reopen(ctx, m.some(), "me", time.Minute, "model")
			return err
		},
		"release": func() error {
			_, err := b.Release(ctx, []relay.OrderID{m.pick(), m.pick()}, "model", "again")
			return err
		},
		"hold": func() error {
			_, err := b.HoldOrder(ctx, m.pick(), relay.Hold{Reason: relay.HoldOperator}, "model")
			return err
		},
		"cancel": func() error {
			if id := m.pick(); id != 0 {
				ask := store.CancelAsk{Actor: "model", Reason: "because", AtCart: rapid.Bool().Draw(m.rt, "at the cart")}
				if rapid.Bool().Draw(m.rt, "tell") {
					ask.Tell = []store.ConnectionID{b.cart("shop").ID}
				}
				_, err := b.RequestCancel(ctx, id, ask)
				return err
			}
			return nil
		},
		"reopen": func() error {
			m.reopened = m.pick()
			if m.reopened == 0 {
				return nil
			}
			_, err := b.ReopenOrder(ctx, m.reopened, "model", "after all")
			return err
		},
		"tell of cancels": func() error {
			list, err := b.ClaimCancelsToTell(ctx, b.cart("shop").ID, time.Nanosecond, 2)
			var told []store.CancelTold
			for _, c := range list {
				o := rapid.SampledFrom([]store.CancelTold{{Status: "void"}, {Error: "no"}, {Error: "who knows", Unknown: true}, {Untried: true}}).Draw(m.rt, "told")
				o.Order = c.Order
				told = append(told, o)
			}
			return errors.Join(err, b.RecordCancelsTold(ctx, "model", told))
		},
		"cancel answered": func() error {
			r := store.CancelResult{Order: m.pick(), Again: time.Nanosecond}
			r.Done = rapid.Bool().Draw(m.rt, "done")
			r.TooLate = !r.Done && rapid.Bool().Draw(m.rt, "too late")
			return b.RecordCancels(ctx, "model", []store.CancelResult{r})
		},
		"progress": func() error {
			open, err := b.OpenOrders(ctx, b.depot(), 0, 10)
			if err != nil || len(open) == 0 {
				return err
			}
			o := rapid.SampledFrom(open).Draw(m.rt, "open")
			r := store.Progress{Order: o.ID, Complete: rapid.Bool().Draw(m.rt, "complete"), Status: rapid.SampledFrom([]string{"", "a", "b"}).Draw(m.rt, "status")}
			switch rapid.IntRange(0, 4).Draw(m.rt, "kind") {
			case 0:
				r.Cancelled = true
			case 1:
				r.Gone = true
			case 2:
				r.Packages = append(r.Packages, parcel(fmt.Sprint(rapid.IntRange(0, 2).Draw(m.rt, "number"))))
			case 3:
				r.Packages = append(r.Packages, parcel(fmt.Sprint(rapid.IntRange(3, 6).Draw(m.rt, "number")),
					item(rapid.SampledFrom([]relay.ItemCode{"MUG", "CAP", "PEN"}).Draw(m.rt, "code"), int64(rapid.IntRange(1, 3).Draw(m.rt, "units")))))
			}
			_, err = b.RecordProgress(ctx, "model", []store.Progress{r})
			return err
		},
		"tell": func() error {
			list, err := b.ShipmentsToTell(ctx, b.cart("shop").ID, 2)
			if err != nil {
				return err
			}
			var told []store.Told
			for _, s := range list {
				o := store.Told{Shipment: s.ID, Order: s.Order, CartID: "F"}
				if rapid.IntRange(0, 3).Draw(m.rt, "refused") == 0 {
					o.Error = "no"
				}
				told = append(told, o)
			}
			_, err = b.RecordTold(ctx, "model", told)
			return err
		},
	}
}

// check holds the ledger against what relay allows.
func (m *model) check() {
	b := m.b
	type row struct {
		id    relay.OrderID
		state relay.OrderState
	}
	rows, err := b.sql.Query(b.t.Context(), `select id, state from orders order by id`)
	require.NoError(m.rt, err)
	now := make(map[relay.OrderID]relay.OrderState)
	m.ids = m.ids[:0]
	for rows.Next() {
		var r row
		require.NoError(m.rt, rows.Scan(&r.id, &r.state))
		now[r.id] = r.state
		m.ids = append(m.ids, r.id)
	}
	require.NoError(m.rt, rows.Err())
	for id, state := range now {
		was, known := m.before[id]
		switch {
		case !known:
			require.Equal(m.rt, relay.OrderNew, state)
		case m.reopened == id && was.MayReopen() && state == relay.OrderNew: // only ever by that move
		case was != state && !was.MayBecome(state):
			require.Failf(m.rt, "illegal move", "order %d: %s -> %s, trail %v", id, was, state, b.kinds(id))
		}
	}
	m.before, m.reopened = now, 0
	require.Empty(m.rt, b.inconsistencies())
	require.Empty(m.rt, list[int64](b, `select order_id from order_events where kind in ('accepted', 'adopted') group by 1
		having count(*) > 1 + (select count(*) from order_events r where r.order_id = order_events.order_id and r.kind = 'reopened')`), "accepted once a life")
	require.Empty(m.rt, list[int64](b, `
		select i.submission_id from submission_items i join submissions s on s.id = i.submission_id and s.state in ('accepted', 'withdrawn')
			and not exists (select from submissions l where l.order_id = s.order_id and l.attempt > s.attempt and l.state in ('accepted', 'withdrawn'))
		group by i.submission_id, i.line_id, s.order_id having sum(i.units) < (select coalesce(sum(l.units), 0) from shipment_lines l join shipments sh on sh.id = l.shipment_id
			where sh.order_id = s.order_id and l.line_id = i.line_id)`), "no line is shipped more often than it was ordered")
}

// inconsistencies lists orders whose state and submissions do not fit together.
func (b *bench) inconsistencies() []string {
	return list[string](b, `
		select o.state || ' with a submission ' || coalesce(string_agg(s.state, ','), 'of none') from orders o left join submissions s on s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted')
		group by o.id, o.state having not case
			when o.state = 'submitting' then count(*) filter (where s.state = 'open') = 1
			when o.state = 'in_doubt' then count(*) filter (where s.state = 'in_doubt') = 1
			when o.state in ('at_warehouse', 'cancel_requested') then count(*) filter (where s.state = 'accepted') = 1
			when o.state in ('new', 'skipped', 'sending_cancelled', 'cancelled') then count(s.id) = 0
			when o.state = 'held' then count(s.id) = 0 or (o.hold_reason = 'unknown_outcome' and count(*) filter (where s.state = 'in_doubt') = 1)
			else true end`)
}
