package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
		b.onboard(relay.Filter{})
		m := model{b: b, rt: rt, before: make(map[relay.OrderID]relay.OrderState)}
		actions := map[string]func(*rapid.T){"": func(*rapid.T) { m.check() }}
		for name, f := range m.moves() {
			for n := range 1 + m.often(name) {
				actions[fmt.Sprint(name, strings.Repeat(" again", n))] = func(rt *rapid.T) { m.rt = rt; require.NoError(rt, f(), name) }
			}
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
	reported bool                   // a warehouse told of an order just now
	there    map[relay.OrderID]bool // on hold, and at the warehouse
	asked    []store.Progress       // what was asked about last
}

// often is how many times more than others a move is made: else few orders would
// come to a warehouse, and fewer yet get on there.
func (m *model) often(name string) int {
	return map[string]int{"take in": 2, "ferry": 3, "progress": 7, "release": 1}[name]
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

// tagged is the n-th order as its cart might show it.
func (m *model) tagged(n int) relay.CartOrder {
	return tagged(n, rapid.SampledFrom([]string{"vip", "drop", "b2b"}).Draw(m.rt, "tag"))
}

func (m *model) moves() map[string]func() error {
	b := m.b
	ctx := b.t.Context()
	return map[string]func() error{
		"take in": func() error {
			m.next++
			_, err := b.TakeIn(ctx, b.cart("shop"), []relay.CartOrder{m.tagged(m.next)}, "orders", "x", "model")
			return err
		},
		"change": func() error {
			if m.next == 0 {
				return nil
			}
			o := m.tagged(rapid.IntRange(1, m.next).Draw(m.rt, "n"))
			o.UpdatedAt = placed.Add(time.Duration(rapid.IntRange(0, 9).Draw(m.rt, "version")) * time.Minute)
			if rapid.Bool().Draw(m.rt, "what ships") {
				o.ShipMethod = relay.ShipMethod(fmt.Sprint("method at ", o.UpdatedAt))
			}
			_, err := b.TakeIn(ctx, b.cart("shop"), []relay.CartOrder{o}, "orders", "x", "model")
			return err
		},
		"onboard": func() error {
			b.onboard(rapid.SampledFrom([]relay.Filter{{}, onlyVIP, noDrop}).Draw(m.rt, "filter"))
			return nil
		},
		"filter": func() error {
			page, done, err := b.NextToFilter(ctx, b.cart("shop").ID, rapid.IntRange(1, 3).Draw(m.rt, "limit"))
			if err != nil || done {
				return err
			}
			_, err = b.ApplyFilter(ctx, b.cart("shop").ID, page, "model")
			return err
		},
		"claim": func() error {
			b.exec(`update orders set retry_at = null`)
			claimed, err := b.Claim(ctx, b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
				if why := b.cart("shop").Rules.Filter.Skips(o.CartOrder); why != "" {
					return store.Claim{Skip: why}, nil
				}
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
				if o.Accepted != "" && rapid.Bool().Draw(m.rt, "only received") {
					o.AnswerWithin = time.Hour
				}
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
		// What is at a warehouse is where reports begin: a good way there in one step.
		"ferry": func() error {
			claimed, err := b.Claim(ctx, b.query("me"), translate)
			if err != nil {
				return err
			}
			m.subs = append(m.subs, claimed.Submissions...)
			m.check()
			var outcomes []store.Outcome
			for _, s := range claimed.Submissions {
				o := accepted(s)
				if rapid.Bool().Draw(m.rt, "only received") {
					o.AnswerWithin = time.Hour
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
			id := m.pick()
			if id == 0 {
				return nil
			}
			_, err := b.HoldOrder(ctx, id, relay.Hold{Reason: relay.HoldOperator}, "model")
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
			_, err := b.ReopenOrder(ctx, m.reopened, store.ReopenAsk{Actor: "model", Reason: "after all"})
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
			if err != nil {
				return err
			}
			// A warehouse may tell of anything that it ever had.
			var reports []store.Progress
			for _, o := range open {
				reports = append(reports, store.Progress{Order: o.ID, Submission: o.Submission, WarehouseOrderID: o.WarehouseOrderID})
			}
			// And the answer to an earlier question may come late.
			reports, m.asked = append(reports, m.asked...), reports
			had := list[relay.WarehouseOrderID](b, `select warehouse_order_id from submissions where warehouse_order_id is not null group by 1 order by min(id)`)
			at, err := b.OrdersAt(ctx, b.depot(), had)
			if err != nil {
				return err
			}
			for _, wid := range had {
				reports = append(reports, store.Progress{Order: at[wid], WarehouseOrderID: wid})
			}
			if len(reports) == 0 {
				return nil
			}
			r := rapid.SampledFrom(reports).Draw(m.rt, "report")
			r.Complete, r.Status = rapid.Bool().Draw(m.rt, "complete"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(m.rt, "status")
			hold := &relay.Hold{Reason: rapid.SampledFrom([]relay.HoldReason{relay.HoldInsufficientInventory, relay.HoldRejected}).Draw(m.rt, "reason")}
			switch rapid.IntRange(0, 9).Draw(m.rt, "kind") {
			case 0:
				r.Cancelled = true
			case 1:
				r.Gone = true
			case 2, 3:
				// A parcel may be told with and without its contents and its carrier, and of another size each time.
				p := parcel(fmt.Sprint(rapid.IntRange(0, 4).Draw(m.rt, "number")))
				for range rapid.IntRange(0, 2).Draw(m.rt, "codes") {
					p.Items = append(p.Items, item(rapid.SampledFrom([]relay.ItemCode{"MUG", "CAP", "PEN"}).Draw(m.rt, "code"), int64(rapid.IntRange(1, 3).Draw(m.rt, "units"))))
				}
				if rapid.Bool().Draw(m.rt, "no carrier") {
					p.Carrier = ""
				}
				r.Packages, r.Full = append(r.Packages, p), rapid.Bool().Draw(m.rt, "full")
				r.Settle = rapid.IntRange(0, 3).Draw(m.rt, "settle") == 0
			case 4, 5:
				r.Stuck, r.Complete = hold, false
			case 6, 7:
				r.Refused, r.Complete = hold, false
			case 8:
				r.Working = true
			}
			m.reported = true
			_, err = b.RecordProgress(ctx, "model", []store.Progress{r}, store.Reading{})
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
		there bool
	}
	rows, err := b.sql.Query(b.t.Context(), `select id, state, state = 'held' and warehouse_order_id is not null from orders order by id`)
	require.NoError(m.rt, err)
	now, there := make(map[relay.OrderID]relay.OrderState), make(map[relay.OrderID]bool)
	m.ids = m.ids[:0]
	for rows.Next() {
		var r row
		require.NoError(m.rt, rows.Scan(&r.id, &r.state, &r.there))
		now[r.id], there[r.id] = r.state, r.there
		m.ids = append(m.ids, r.id)
	}
	require.NoError(m.rt, rows.Err())
	for id, state := range now {
		was, known := m.before[id]
		switch {
		case !known:
			require.Contains(m.rt, []relay.OrderState{relay.OrderNew, relay.OrderSkipped}, state)
		case m.reopened == id && was.MayReopen() && state == relay.OrderNew: // only ever by that move
		// Promise 1: what the warehouse has is sent again after its own refusal only, which is a step of its own.
		case m.there[id] && slices.Contains([]relay.OrderState{relay.OrderNew, relay.OrderSubmitting, relay.OrderInDoubt, relay.OrderSkipped, relay.OrderSendingCancelled}, state):
			require.Failf(m.rt, "sent though the warehouse has it", "order %d: %s -> %s, trail %v", id, was, state, b.kinds(id))
		case m.reported && was.MayBeReported(state):
		case was != state && !was.MayBecome(state):
			require.Failf(m.rt, "illegal move", "order %d: %s -> %s, trail %v", id, was, state, b.kinds(id))
		}
	}
	m.before, m.there, m.reopened, m.reported = now, there, 0, false
	require.Empty(m.rt, b.inconsistencies())
	require.Empty(m.rt, list[int64](b, `select order_id from order_events where kind in ('accepted', 'adopted') group by 1
		having count(*) > 1 + (select count(*) from order_events r where r.order_id = order_events.order_id
			and (r.kind = 'reopened' or (r.kind = 'refused' and r.detail @> '{"received": true}')))`), "accepted once a life, unless it was only received")
	require.Empty(m.rt, list[int64](b, `
		select i.submission_id from submission_items i join submissions s on s.id = i.submission_id and s.state in ('accepted', 'withdrawn')
			and not exists (select from submissions l where l.order_id = s.order_id and l.attempt > s.attempt and l.state in ('accepted', 'withdrawn'))
		group by i.submission_id, i.line_id, s.order_id having sum(i.units) < (select coalesce(sum(l.units), 0) from shipment_lines l join shipments sh on sh.id = l.shipment_id
			where sh.order_id = s.order_id and l.line_id = i.line_id)`), "no line is shipped more often than it was ordered")
	require.Empty(m.rt, list[string](b, `
		select o.state || ' with ' || s.package_key || ' ' || s.state || ' of ' || count(l.line_id) from shipments s join orders o on o.id = s.order_id
			left join shipment_lines l on l.shipment_id = s.id
		group by o.id, s.id having case
			when s.state in ('ready', 'told') then count(l.line_id) = 0
			when s.state in ('waiting', 'merged', 'surplus') then count(l.line_id) > 0 or (s.state = 'waiting' and o.state = 'confirmed') end`), "what is told has lines, and nothing else has")
	require.Empty(m.rt, list[string](b, `select s.package_key from shipments s join shipments f on f.order_id = s.order_id and f.tracking_number = s.tracking_number
			and f.carrier = s.carrier and f.id < s.id and position(f.package_key in s.package_key) = 0`), "a parcel is told under one key, and more of it under keys that begin with it")
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
			when o.state = 'held' and o.warehouse_order_id is not null then count(*) filter (where s.state = 'accepted') = 1
			when o.state = 'held' then count(s.id) = 0 or (o.hold_reason = 'unknown_outcome' and count(*) filter (where s.state = 'in_doubt') = 1)
			else true end`)
}
