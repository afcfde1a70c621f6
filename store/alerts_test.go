package store_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

// hookSecret is a secret of the form that webhooks want.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// newAlertBench is a bench whose merchant has people called by e-mail and webhook.
func newAlertBench(t testing.TB) *bench {
	b := newBench(t)
	b.called(relay.AlertPolicy{Email: []string{"ops@example.com"}, Webhook: "https://hooks.example.com/x"})
	return b
}

// called changes how people are called.
func (b *bench) called(p relay.AlertPolicy) {
	m := b.m.Merchant
	m.Alerts = p
	_, err := b.SaveMerchant(b.t.Context(), m, secrets{store.AlertsSecret: {"secret": hookSecret}})
	require.NoError(b.t, err)
	b.m, err = b.Merchant(b.t.Context(), m.ID)
	require.NoError(b.t, err)
}

// lookAfter looks after the alerts, and returns how many were opened, raised and closed.
func (b *bench) lookAfter() store.AlertChange {
	b.t.Helper()
	m, err := b.Merchant(b.t.Context(), b.m.ID)
	require.NoError(b.t, err)
	got, err := b.LookAfterAlerts(b.t.Context(), m, time.Hour)
	require.NoError(b.t, err)
	return got
}

func opened(n int) store.AlertChange { return store.AlertChange{Opened: n} }
func raised(n int) store.AlertChange { return store.AlertChange{Raised: n} }
func closed(n int) store.AlertChange { return store.AlertChange{Closed: n} }

// alerts are those that are open, by cause.
func (b *bench) alerts() map[relay.AlertCause]relay.Alert {
	b.t.Helper()
	list, err := b.Alerts(b.t.Context(), store.AlertQuery{Merchant: b.m.ID, Limit: 10_000})
	require.NoError(b.t, err)
	out := make(map[relay.AlertCause]relay.Alert)
	for _, a := range list {
		require.NotContains(b.t, out, a.Cause, "one is open a cause")
		out[a.Cause] = a
	}
	return out
}

// alert is the only alert that is open.
func (b *bench) alert() relay.Alert {
	b.t.Helper()
	all := b.alerts()
	require.Len(b.t, all, 1, "%v", all)
	for _, a := range all {
		return a
	}
	return relay.Alert{}
}

// putOnHold takes in orders and puts them on hold for a reason.
func (b *bench) putOnHold(reason relay.HoldReason, numbers ...int) {
	for _, n := range numbers {
		b.takeIn(anOrder(n))
		answer, err := b.HoldOrder(b.t.Context(), b.id(n), relay.Hold{Reason: reason}, "test")
		require.NoError(b.t, err)
		require.True(b.t, answer.Held)
	}
}

// age moves back since when orders are on hold.
func (b *bench) age(by string, numbers ...int) {
	for _, n := range numbers {
		b.exec(`update orders set held_at = now() - $2::interval, first_held_at = now() - $2::interval where id = $1`, b.id(n), by)
	}
}

// rest moves back when people were last told of the open alerts.
func (b *bench) rest(by string) {
	b.exec(`update alerts set opened_at = opened_at - $1::interval, raised_at = raised_at - $1::interval where closed_at is null`, by)
	b.exec(`update alert_messages set created_at = created_at - $1::interval, gave_up_at = gave_up_at - $1::interval`, by)
}

func TestAHoldRisesWithItsAgeAndEndsByItself(t *testing.T) {
	b := newAlertBench(t)
	b.putOnHold(relay.HoldInsufficientInventory, 1, 2, 3)
	b.putOnHold(relay.HoldBadAddress, 4)
	require.Zero(t, b.lookAfter(), "they are young")

	b.age("25 hours", 1, 2)
	require.Equal(t, opened(1), b.lookAfter())
	a := b.alert()
	require.Equal(t, relay.AlertCause("hold/insufficient_inventory"), a.Cause)
	require.Equal(t, 1, a.Level)
	require.Equal(t, "2 orders on hold for insufficient_inventory for more than 1 day, the oldest SO-1 for 1d01h", a.Headline)
	require.Zero(t, b.lookAfter(), "nothing is told twice")

	b.age("73 hours", 1)
	b.rest("2 days")
	require.Equal(t, raised(1), b.lookAfter())
	a = b.alert()
	require.Equal(t, 2, a.Level)
	require.Equal(t, "2 orders on hold for insufficient_inventory for more than 1 day, the oldest SO-1 for 3d01h", a.Headline)
	require.True(t, a.RaisedAt.After(a.OpenedAt))

	b.age("169 hours", 1, 2)
	b.rest("4 days")
	require.Equal(t, raised(1), b.lookAfter())
	require.Equal(t, 3, b.alert().Level)
	require.Zero(t, b.lookAfter())

	// The oldest go on: the level falls without a word, and rises again with one.
	b.age("26 hours", 2)
	released, err := b.Release(t.Context(), []relay.OrderID{b.id(1)}, "test", "test")
	require.NoError(t, err)
	require.Len(t, released, 1)
	require.Zero(t, b.lookAfter())
	require.Equal(t, 1, b.alert().Level)
	b.age("73 hours", 2)
	b.rest("2 days")
	require.Equal(t, raised(1), b.lookAfter())

	b.age("1 hour", 2)
	require.Equal(t, closed(1), b.lookAfter())
	require.Empty(t, b.alerts())
	all, err := b.Alerts(t.Context(), store.AlertQuery{Closed: true, Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, relay.Recovered, all[0].ClosedBy)
	require.Equal(t, a.ID, all[0].ID)
	require.False(t, all[0].ClosedAt.IsZero())

	b.age("25 hours", 2)
	require.Equal(t, opened(1), b.lookAfter(), "it may come again")
	require.NotEqual(t, a.ID, b.alert().ID)
}

// stuckThere has the warehouse put an order on hold that it has.
func (b *bench) stuckThere(n int) {
	b.exec(`update orders set state = 'held', hold_reason = 'rejected', held_at = now(), first_held_at = now() where id = $1`, b.atWarehouse(n).Order.ID)
}

// said is what the latest notice tells, of what closed only if that is all, whether or not it was sent.
func (b *bench) said() string {
	b.t.Helper()
	return list[string](b, `select news || ': ' || headline from alert_notices order by message_id desc, news desc limit 1`)[0]
}

// However old the oldest under a cause, whatever joins it is told of, and rises as if it were alone.
func TestAnOldTroubleHidesNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		old, others func(*bench) // make it a trouble of 60 days; and two others
		age         string       // makes the others, named in $1, older by $2
		told        []string     // at which ages people are called for them
		trouble     string
	}{
		"hold": {
			func(b *bench) { b.putOnHold(relay.HoldRejected, 1); b.age("60 days", 1) },
			func(b *bench) { b.putOnHold(relay.HoldRejected, 2, 3) },
			`update orders set held_at = held_at - $2::interval, first_held_at = first_held_at - $2::interval where id = any($1)`,
			[]string{"1", "3", "7"}, "3 orders on hold for rejected for more than 1 day, the oldest SO-1 for 60d"},
		"outcome that nobody knows": {
			func(b *bench) { b.putOnHold(relay.HoldUnknownOutcome, 1); b.age("60 days", 1) },
			func(b *bench) {
				b.putOnHold(relay.HoldUnknownOutcome, 2, 3)
				b.exec(`update orders set first_held_at = now() - interval '50 days' where id = any($1)`, []relay.OrderID{b.id(2), b.id(3)}) // for stock, before
			},
			`update orders set held_at = held_at - $2::interval, first_held_at = first_held_at - $2::interval where id = any($1)`,
			[]string{"0"}, "3 orders on hold because nobody knows whether the warehouse has them, the oldest SO-1 for 60d"},
		"stuck at the warehouse": {
			func(b *bench) { b.stuckThere(1); b.age("60 days", 1) },
			func(b *bench) { b.stuckThere(2); b.stuckThere(3) },
			`update orders set held_at = held_at - $2::interval, first_held_at = first_held_at - $2::interval where id = any($1)`,
			[]string{"1", "3", "7"}, "3 orders stuck at the warehouse, as it says itself, the oldest SO-1 for 60d"},
		"unshipped": {
			func(b *bench) { b.atWarehouse(1); b.exec(`update orders set accepted_at = now() - interval '60 days'`) },
			func(b *bench) { b.atWarehouse(2); b.atWarehouse(3) },
			`update orders set accepted_at = accepted_at - $2::interval where id = any($1)`,
			[]string{"5", "7"}, "3 orders at depot for long, and not all has left, the oldest SO-1 for 60d"},
		"ready": {
			func(b *bench) {
				b.takeIn(anOrder(1))
				b.exec(`update orders set created_at = now() - interval '60 days'`)
			},
			func(b *bench) { b.takeIn(anOrder(2), anOrder(3)) },
			`update orders set created_at = created_at - $2::interval where id = any($1)`,
			[]string{"1", "3", "7"}, "3 orders ready and not submitted for more than an hour, the oldest SO-1 for 60d"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAlertBench(t)
			c.old(b)
			require.Equal(t, opened(1), b.lookAfter())
			require.Equal(t, 3, b.alert().Level)
			b.rest("30 days")
			c.others(b)
			var told []string
			for day := range 30 {
				got := b.lookAfter()
				if got != (store.AlertChange{}) {
					require.Equal(t, raised(1), got)
					told = append(told, strconv.Itoa(day))
					require.Regexp(t, "^raised: "+c.trouble+`[^;]*; new or risen since this was last told: (SO-2, SO-3|SO-3, SO-2)$`, b.said())
				}
				require.Zero(t, b.lookAfter())
				require.NotContains(t, b.alert().Headline, ";", "that is news no more")
				b.exec(c.age, []relay.OrderID{b.id(2), b.id(3)}, "1 day")
				b.rest("1 day")
			}
			require.Equal(t, c.told, told)
		})
	}
}

// passes lets time pass for orders, and for the people who were told of them.
func (b *bench) passes(time string) {
	b.exec(`alter table order_events disable trigger all`)
	b.exec(`update order_events set at = at - $1::interval`, time)
	b.exec(`update orders set created_at = created_at - $1::interval, updated_at = updated_at - $1::interval, held_at = held_at - $1::interval, first_held_at = first_held_at - $1::interval,
		accepted_at = accepted_at - $1::interval, answer_due = answer_due - $1::interval, cancel_requested_at = cancel_requested_at - $1::interval`, time)
	b.exec(`update merchants set paused_at = paused_at - $1::interval, resumed_at = resumed_at - $1::interval`, time)
	b.rest(time)
}

// An order that was told of is told of under what it is on hold for now, however old
// it is; but not for each night on which it is refused for the same.
func TestAnOldHoldForAnotherReason(t *testing.T) {
	b := newAlertBench(t)
	id := func() relay.OrderID { return b.id(2) }
	hold := func(reason relay.HoldReason) {
		answer, err := b.HoldOrder(t.Context(), id(), relay.Hold{Reason: reason}, "test")
		require.NoError(t, err)
		require.True(t, answer.Held)
	}
	b.putOnHold(relay.HoldUnknownItem, 1)
	b.putOnHold(relay.HoldInsufficientInventory, 2)
	b.passes("20 days")
	require.Equal(t, opened(2), b.lookAfter())
	b.passes("10 days")
	require.Zero(t, b.lookAfter())

	hold(relay.HoldUnknownItem)
	require.Equal(t, store.AlertChange{Raised: 1, Closed: 1}, b.lookAfter())
	require.Contains(t, b.said(), "raised: 2 orders on hold for unknown_item for more than 1 day, the oldest SO-1 for 30d00h; new or risen since this was last told: SO-2")
	require.Zero(t, b.lookAfter())
	for range 3 {
		b.passes("25 hours")
		sub := b.resent(id())
		require.Zero(t, b.lookAfter())
		b.record(store.Outcome{Submission: sub.ID, Order: id(), Refused: &relay.Hold{Reason: relay.HoldUnknownItem}})
		require.Zero(t, b.lookAfter())
	}

	sub := b.resent(id())
	b.record(accepted(sub))
	b.passes("1 hour")
	b.putOnHold(relay.HoldUnknownItem, 3)
	b.passes("25 hours")
	require.Equal(t, raised(1), b.lookAfter(), "another one")
	b.passes("25 hours")
	require.Zero(t, b.lookAfter())
	o := notTaken(sub)
	o.Submission = sub.ID
	b.progress(o)
	b.want(id(), relay.OrderHeld)
	require.Equal(t, raised(1), b.lookAfter(), "it was at the warehouse, and was refused after all")
	require.Contains(t, b.said(), "told: SO-2")
}

// That an order waited for something else, long before, makes it no older there.
func TestStuckThereAfterAnEarlierHold(t *testing.T) {
	b := newAlertBench(t)
	b.putOnHold(relay.HoldInsufficientInventory, 1)
	b.passes("20 days")
	sub := b.resent(b.id(1))
	b.record(accepted(sub))
	b.progress(noStock(sub))
	b.want(b.id(1), relay.OrderHeld)
	require.Zero(t, b.lookAfter())
	b.passes("25 hours")
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, 1, b.alert().Level)
	require.Equal(t, "1 order stuck at the warehouse, as it says itself, the oldest SO-1 for 1d01h", b.alert().Headline)
}

// An order that only a person can let go calls them whenever it comes.
func TestAnUnknownOutcomeIsToldAtOnce(t *testing.T) {
	b := newAlertBench(t)
	b.putOnHold(relay.HoldUnknownOutcome, 1)
	require.Equal(t, opened(1), b.lookAfter())
	b.exec(`update orders set held_at = held_at - interval '10 minutes', first_held_at = first_held_at - interval '10 minutes'`)
	b.rest("10 minutes")
	require.Zero(t, b.lookAfter())
	b.putOnHold(relay.HoldUnknownOutcome, 2)
	require.Equal(t, raised(1), b.lookAfter())
	require.Zero(t, b.lookAfter())
}

// Hundreds of orders that pass an age one after the other call people once a day.
func TestAnAlertIsToldOnceADay(t *testing.T) {
	b := newAlertBench(t)
	const n = 500
	orders := make([]relay.CartOrder, n)
	for i := range orders {
		orders[i] = anOrder(i + 1)
	}
	b.takeIn(orders...)
	b.exec(`
		update orders set state = 'held', hold_reason = 'insufficient_inventory', held_at = now(), first_held_at = now() - interval '1 day' + n * interval '1000 seconds'
		from (select id as order_id, row_number() over (order by id) as n from orders) q where id = order_id`)
	var news store.AlertChange
	for range 6 * 4 {
		got := b.lookAfter()
		news.Opened, news.Raised, news.Closed = news.Opened+got.Opened, news.Raised+got.Raised, news.Closed+got.Closed
		b.exec(`update orders set first_held_at = first_held_at - interval '6 hours'`)
		b.rest("6 hours")
	}
	require.Equal(t, store.AlertChange{Opened: 1, Raised: 5}, news)
	require.Regexp(t, `^raised: \d+ orders on hold for insufficient_inventory for more than 1 day, the oldest SO-1 for \S+; new or risen since this was last told: SO-\d+, SO-\d+, SO-\d+ and \d+ more$`, b.said())
}

func TestAgesAreTheMerchants(t *testing.T) {
	b := newAlertBench(t)
	b.called(relay.AlertPolicy{After: []relay.Age{relay.Age(time.Minute), relay.Age(90 * time.Minute)}})
	b.putOnHold(relay.HoldOperator, 1)
	b.age("2 minutes", 1)
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, "1 order on hold for operator for more than 1 minute, the oldest SO-1 for 2m", b.alert().Headline)
	b.age("91 minutes", 1)
	b.rest("90 minutes")
	require.Equal(t, raised(1), b.lookAfter(), "who is told after a minute need not rest for a day")
	require.Equal(t, "1 order on hold for operator for more than 1 minute, the oldest SO-1 for 1h31m", b.alert().Headline)
	b.age("400 days", 1)
	require.Zero(t, b.lookAfter())
}

// Each cause opens one alert, which closes when the cause is gone.
func TestTroublesThatStand(t *testing.T) {
	held := func(reason relay.HoldReason) func(*bench) { return func(b *bench) { b.putOnHold(reason, 1, 2) } }
	const clear = `update orders set state = 'skipped', skip_reason = 'no', hold_reason = null, held_at = null`
	for name, c := range map[string]struct {
		cause    relay.AlertCause
		headline string
		level    int
		make     func(*bench)
		young    string // leaves the trouble as it is, but too young
		old      string // makes it old enough
		over     string // ends it
	}{
		"unknown outcome, at once": {"hold/unknown_outcome", "2 orders on hold because nobody knows whether the warehouse has them, the oldest SO-1 for 0m", 1,
			held(relay.HoldUnknownOutcome), "", "select", clear},
		"unknown outcome, for days": {"hold/unknown_outcome", "2 orders on hold because nobody knows whether the warehouse has them, the oldest SO-2 for 3d02h", 2,
			held(relay.HoldUnknownOutcome), "", "update orders set first_held_at = now() - interval '74 hours' where number = 'SO-2'", clear},
		"connection": {"connection/shop", "connection shop is stopped for 2m: its credentials are refused", 1,
			func(b *bench) {
				require.NoError(b.t, b.StopConnection(b.t.Context(), b.cart("shop").ID, b.m.SettingsVersion, "HTTP 401"))
			}, "",
			"update connections set stopped_at = now() - interval '2 minutes' where stopped_at is not null", "update connections set stopped_at = null, stopped_reason = null"},
		"connection, for days": {"connection/depot", "connection depot is stopped for 8d00h: its credentials are refused", 3,
			func(b *bench) {
				require.NoError(b.t, b.StopConnection(b.t.Context(), b.depot(), b.m.SettingsVersion, "HTTP 401"))
			}, "",
			"update connections set stopped_at = now() - interval '8 days' where stopped_at is not null", "update connections set stopped_at = null, stopped_reason = null"},
		"paused": {"paused", "the merchant is paused for 1d01h", 1,
			func(b *bench) { require.NoError(b.t, b.SetPaused(b.t.Context(), "acme", true)) }, "update merchants set paused_at = now() - interval '23 hours'",
			"update merchants set paused_at = now() - interval '25 hours'", "update merchants set paused_at = null"},
		"ready": {"stuck/ready", "2 orders ready and not submitted for more than an hour, the oldest SO-2 for 2h00m", 1,
			func(b *bench) { b.takeIn(anOrder(1), anOrder(2)) }, "update orders set created_at = now() - interval '59 minutes'",
			"update orders set created_at = now() - interval '61 minutes' * case number when 'SO-2' then 120 / 61.0 else 1 end", "update orders set state = 'skipped', skip_reason = 'no'"},
		"ready since its release": {"stuck/ready", "1 order ready and not submitted for more than an hour, the oldest SO-1 for 0m", 1,
			func(b *bench) {
				b.putOnHold(relay.HoldOperator, 1)
				_, err := b.Release(b.t.Context(), []relay.OrderID{b.id(1)}, "test", "test")
				require.NoError(b.t, err)
			}, "update orders set created_at = now() - interval '9 days'", "", "update orders set state = 'skipped', skip_reason = 'no'"},
		"in doubt": {"stuck/in_doubt", "1 order in doubt for more than an hour, the oldest SO-1 for 1h01m", 1,
			func(b *bench) { b.inDoubt(1) }, "update orders set updated_at = now() - interval '59 minutes'",
			"update orders set updated_at = now() - interval '61 minutes'", "update orders set state = 'skipped', skip_reason = 'no', next_look_at = null"},
		"being sent, by nobody": {"stuck/in_doubt", "1 order in doubt for more than an hour, the oldest SO-1 for 1h01m", 1,
			func(b *bench) { b.submitting(1) }, "update orders set updated_at = now() - interval '59 minutes'",
			"update orders set updated_at = now() - interval '61 minutes'", "update orders set state = 'skipped', skip_reason = 'no'"},
		"cancel": {"stuck/cancel_requested", "1 cancel not decided by the warehouse for more than an hour, the oldest SO-1 for 1d02h", 1,
			func(b *bench) {
				sub := b.atWarehouse(1)
				b.exec(`update orders set state = 'cancel_requested', cancel_requested_at = now(), cancel_next_at = now() where id = $1`, sub.Order.ID)
			}, "update orders set cancel_requested_at = now() - interval '59 minutes'", "update orders set cancel_requested_at = now() - interval '26 hours'",
			"update orders set state = 'cancelled'"},
		"parcel": {"stuck/shipment", "1 parcel not taken by the cart for more than an hour, the oldest SO-1 for 1h01m", 1,
			func(b *bench) {
				sub := b.atWarehouse(1)
				b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
			}, "update shipments set seen_at = now() - interval '59 minutes'", "update shipments set seen_at = now() - interval '61 minutes'",
			"update shipments set state = 'told', told_at = now()"},
		"parcel of untold contents": {"stuck/shipment", "1 parcel not taken by the cart for more than an hour, the oldest SO-1 for 2h01m", 1,
			func(b *bench) {
				sub := b.atWarehouse(1)
				b.progress(store.Progress{Order: sub.Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z")}})
			}, "update shipments set seen_at = now() - interval '119 minutes'", "update shipments set seen_at = now() - interval '121 minutes'",
			"update shipments set state = 'told', told_at = now()"},
		"cancel untold": {"stuck/cart_cancel", "1 cancel not taken by the cart for more than an hour, the oldest SO-1 for 1h01m", 1,
			func(b *bench) {
				b.takeIn(anOrder(1))
				b.exec(`update orders set state = 'sending_cancelled', cancel_requested_at = now(), cart_cancel_at = now()`)
			}, "", "update orders set cancel_requested_at = now() - interval '61 minutes'", "update orders set cart_cancel_at = null, cart_cancelled_at = now()"},
		"finding": {"finding/stock_drift", "comparing the books found 2 differences of kind stock_drift, the oldest MUG for 5m", 1,
			func(b *bench) {
				b.exec(`insert into findings (merchant_id, connection_id, kind, subject, first_seen_at)
					select 'acme', $1, 'stock_drift', s, now() - d from (values ('CAP', interval '4 minutes'), ('MUG', interval '5 minutes')) as v(s, d)`, b.cart("shop").ID)
				b.exec(`insert into findings (merchant_id, connection_id, kind, subject, closed_at, repaired) values ('acme', $1, 'unconfirmed', 'SO-1', now(), true)`, b.depot())
			}, "", "select", "update findings set closed_at = now() where closed_at is null"},
		"messages": {"messages/email", "1 message about alerts could not be delivered by email", 1,
			func(b *bench) {
				b.exec(`insert into alert_messages (merchant_id, channel, key, gave_up_at, test) values
					('acme', 'email', 'a', now(), true), ('acme', 'webhook', 'b', now(), false), ('acme', 'webhook', 'c', null, false)`)
				b.exec(`update alert_messages set sent_at = now() where key = 'c'`)
			}, "", "insert into alert_messages (merchant_id, channel, key, gave_up_at) values ('acme', 'email', 'd', now())",
			"update alert_messages set sent_at = now() where gave_up_at is null"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAlertBench(t)
			c.make(b)
			if c.young != "" {
				b.exec(c.young)
				require.Zero(t, b.lookAfter())
			}
			if c.old == "" {
				b.exec(`alter table order_events disable trigger all`)
				b.exec(`update order_events set at = now() - interval '61 minutes' where kind = 'released'`)
				c.headline = strings.Replace(c.headline, "0m", "1h01m", 1)
			} else {
				b.exec(c.old)
			}
			require.Equal(t, opened(1), b.lookAfter())
			require.Zero(t, b.lookAfter())
			a := b.alert()
			require.Equal(t, c.cause, a.Cause)
			require.Equal(t, c.headline, a.Headline)
			require.Equal(t, c.level, a.Level)
			require.NotEmpty(t, a.Advice().Next)
			_, err := b.CloseAlert(t.Context(), a.ID, "operator clerk")
			require.ErrorIs(t, err, store.ErrClosesItself)

			b.exec(c.over)
			require.Equal(t, closed(1), b.lookAfter())
			require.Empty(t, b.alerts())
		})
	}
}

// What waits by design is no trouble.
func TestWhatWaitsByDesign(t *testing.T) {
	b := newAlertBench(t)
	b.takeIn(anOrder(1))
	b.exec(`update orders set created_at = now() - interval '2 hours'`)
	pause := func(paused bool) {
		stands, err := b.SetPausedAsked(t.Context(), "acme", paused, time.Now())
		require.NoError(t, err)
		require.True(t, stands)
	}
	pause(true)
	require.Zero(t, b.lookAfter(), "the merchant is paused")
	pause(false)
	require.Zero(t, b.lookAfter(), "it was resumed just now")
	b.exec(`update merchants set resumed_at = now() - interval '61 minutes'`)
	require.Equal(t, opened(1), b.lookAfter())
	pause(false)
	require.Zero(t, b.lookAfter(), "it ran already")
	require.Len(t, b.alerts(), 1)
	for _, paused := range []bool{true, false} { // by a workflow in the form of an earlier release
		require.NoError(t, b.SetPaused(t.Context(), "acme", paused))
	}
	require.Equal(t, closed(1), b.lookAfter(), "it was resumed just now")
	b.exec(`update merchants set resumed_at = now() - interval '61 minutes'`)
	require.Equal(t, opened(1), b.lookAfter())

	b.m.Warehouse.Schedule[relay.SubmitOrders] = relay.Every(2 * time.Hour)
	b.called(b.m.Alerts)
	require.Equal(t, closed(1), b.lookAfter(), "orders are submitted every two hours only")

	b.m.Carts[0].Schedule[relay.PushShipments] = relay.Every(24 * time.Hour)
	b.called(b.m.Alerts)
	b.exec(`update orders set state = 'skipped', skip_reason = 'no'`)
	sub := b.atWarehouse(2)
	b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
	b.exec(`update merchants set resumed_at = now() - interval '26 hours'`)
	b.exec(`update shipments set seen_at = now() - interval '24 hours'`)
	require.Zero(t, b.lookAfter(), "the cart is told once a day only")
	b.exec(`update shipments set seen_at = now() - interval '26 hours'`)
	require.Equal(t, opened(1), b.lookAfter())
}

// Parts of a kit wait for two weeks: their cart has its time to take them from then on.
func TestPartsOfAKitThatAreToldLate(t *testing.T) {
	b := newAlertBench(t)
	b.ship(b.shipping(1, giftMappings, sku(1, "GIFT", 1)), parcel("1Z", item("MUG", 2)))
	b.exec(`update shipments set seen_at = now() - interval '15 days'`)
	require.Zero(t, b.lookAfter())
	_, err := b.SettleOverdue(t.Context(), b.depot(), time.Hour, "test")
	require.NoError(t, err)
	require.Len(t, b.toTell(), 1)
	require.Zero(t, b.lookAfter())
	b.passes("61 minutes")
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, "1 parcel not taken by the cart for more than an hour, the oldest SO-1 for 1h01m", b.alert().Headline)
}

// Nobody has asked the warehouse yet when a pause ends.
func TestWhatAWarehouseIsAskedAfterAPause(t *testing.T) {
	b := newAlertBench(t)
	b.received(1)
	b.atWarehouse(2)
	require.NoError(t, b.SetPaused(t.Context(), "acme", true))
	b.passes("20 hours")
	require.Zero(t, b.lookAfter())
	require.NoError(t, b.SetPaused(t.Context(), "acme", false))
	require.Zero(t, b.lookAfter())
	b.passes("61 minutes")
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, "1 order received by depot without its yes or no in time, the oldest SO-1 overdue for 20h01m", b.alert().Headline)

	b.passes("5 days")
	require.Equal(t, store.AlertChange{Opened: 1, Raised: 1}, b.lookAfter())
	require.Contains(t, b.alerts(), relay.AlertCause("unshipped/depot"))
	require.NoError(t, b.SetPaused(t.Context(), "acme", true))
	require.Equal(t, closed(2), b.lookAfter())
	require.NoError(t, b.SetPaused(t.Context(), "acme", false))
	require.Zero(t, b.lookAfter())
	b.passes("61 minutes")
	require.Equal(t, opened(2), b.lookAfter())
}

// A cart is told of a cancel when the warehouse has confirmed it, however late that is.
func TestCartCancelAfterALateAnswer(t *testing.T) {
	b := newAlertBench(t)
	id := b.atWarehouse(1).Order.ID
	b.cancelAndTell(id)
	b.passes("2 days")
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, relay.AlertCause("stuck/cancel_requested"), b.alert().Cause)
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, Done: true}}))
	require.Equal(t, closed(1), b.lookAfter())
	b.passes("61 minutes")
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, "1 cancel not taken by the cart for more than an hour, the oldest SO-1 for 1h01m", b.alert().Headline)
}

// A merchant's file may be applied every half an hour: what is stuck calls people all the same.
func TestOnboardingSilencesNothing(t *testing.T) {
	b := newAlertBench(t)
	b.inDoubt(1)
	sub := b.atWarehouse(2)
	b.progress(store.Progress{Order: sub.Order.ID, Packages: []relay.Package{parcel("1Z", item("MUG", 2))}})
	b.takeIn(anOrder(3), anOrder(4))
	b.exec(`update orders set state = 'sending_cancelled', cancel_requested_at = now() - interval '30 days', cart_cancel_at = now() where id = $1`, b.id(4))
	b.exec(`update orders set created_at = now() - interval '30 days', updated_at = now() - interval '30 days'`)
	b.exec(`update shipments set seen_at = now() - interval '30 days'`)
	b.m = storetest.Save(t, b.Store, b.m.Merchant)
	require.Equal(t, opened(4), b.lookAfter())
	b.m = storetest.Save(t, b.Store, b.m.Merchant)
	require.Zero(t, b.lookAfter())
}

// An order is ready since it was let go, not since it was taken in; what then becomes of its submissions changes nothing.
func TestSinceWhenAnOrderIsReady(t *testing.T) {
	hold := func(b *bench) { b.putOnHold(relay.HoldInsufficientInventory, 1) }
	unsent := func(b *bench, held ...relay.OrderID) {
		q := b.query("me")
		q.Held = held
		got, err := b.Claim(b.t.Context(), q, translate)
		require.NoError(b.t, err)
		require.Len(b.t, got.Submissions, 1)
		b.record(unsent(got.Submissions[0]))
	}
	for name, c := range map[string]struct{ keep, let func(*bench) }{
		"released": {hold, func(b *bench) {
			_, err := b.Release(b.t.Context(), []relay.OrderID{b.id(1)}, "test", "test")
			require.NoError(b.t, err)
		}},
		"resent, and nothing left us": {hold, func(b *bench) { unsent(b, b.id(1)) }},
		"passed by the filter": {func(b *bench) {
			b.onboard(onlyVIP)
			b.takeIn(tagged(1))
		}, func(b *bench) {
			b.onboard(relay.Filter{})
			b.filter(10)
		}},
		"reopened": {func(b *bench) {
			hold(b)
			b.cancel(b.id(1))
		}, func(b *bench) { b.reopen(b.id(1)) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAlertBench(t)
			c.keep(b)
			b.passes("20 hours")
			c.let(b)
			b.want(b.id(1), relay.OrderNew)
			require.Zero(t, b.lookAfter())
			b.passes("59 minutes")
			unsent(b)
			require.Zero(t, b.lookAfter())
			b.passes("2 minutes")
			require.Equal(t, opened(1), b.lookAfter())
			require.Equal(t, "1 order ready and not submitted for more than an hour, the oldest SO-1 for 1h01m", b.alert().Headline)
		})
	}
}

// happen writes an entry into the trail of an order.
func (b *bench) happen(n int, kind store.EventKind, actor, detail string) {
	b.exec(`insert into order_events (order_id, kind, actor, detail) values ($1, $2, $3, $4::jsonb)`, b.id(n), kind, actor, detail)
}

// What happens to orders and needs a person raises an alert, until it needs nobody any more.
func TestTroublesOfOrders(t *testing.T) {
	const job = "job pull_shipments"
	for name, c := range map[string]struct {
		kind     store.EventKind
		actor    string
		detail   string
		what     string // "" for no alert
		headline string
		over     string // settles it; "" for only a person
	}{
		"back at cart": {store.EventBackAtCart, "job pull_orders", `{}`, "back_at_cart", "is cancelled here and ready again at the cart", `update orders set state = 'new', warehouse_order_id = null`},
		"changed too late": {store.EventChangedTooLate, "job pull_orders", `{"changes": [{"field": "lines[MUG].quantity", "was": "2", "is": "3"}, {"field": "ship_to.zip"}]}`,
			"changed_too_late", "changed at the cart after it was submitted: lines[MUG].quantity: 2 -> 3, ship_to.zip changed",
			`insert into order_events (order_id, kind, actor) select id, 'changed_back', 'test' from orders`},
		"changed too late, and cancelled": {store.EventChangedTooLate, "job pull_orders", `{}`, "changed_too_late", "changed at the cart after it was submitted",
			`update orders set state = 'cancelled'`},
		"duplicate, cancelled": {store.EventDuplicate, "job submit_orders", `{"cancelled": {"W-2": "cancelled"}}`, "duplicate_found", "was taken by the warehouse more than once",
			`update orders set state = 'confirmed'`},
		"duplicate, not cancelled": {store.EventDuplicate, "job submit_orders", `{"cancelled": {"W-2": "too_late"}}`, "duplicate_found", "was taken by the warehouse more than once", ""},
		"too late for the cart":    {store.EventCancelTooLate, "cart shop", `{}`, "cancel_too_late", "is shipped though it was cancelled: too late", `update orders set state = 'cancelled'`},
		"too late, late":           {store.EventCancelTooLate, "job submit_orders", `{}`, "cancel_too_late", "is shipped though it was cancelled: too late", ""},
		"too late, told":           {store.EventCancelTooLate, "operator clerk", `{}`, "", "", ""},
		"shipped after all":        {store.EventShippedAfterAll, job, `{"was": "cancelled"}`, "shipped_after_all", "was shipped despite a cancel", ""},
		"shipped short": {store.EventShippedShort, job, `{"left": [{"line": "1", "units": 1}], "asked": false}`, "shipped_short",
			"is shipped short: the warehouse says that no more follows, and not all of it left", `with s as (
				insert into shipments (order_id, cart_id, package_key, carrier, service, tracking_number, tracking_url, tracker_id, state, seen_at)
				select id, cart_id, ':1Z', '', '', '1Z', '', '', 'ready', now() + interval '1 minute' from orders returning id)
				insert into shipment_lines select id, '1', 1 from s`},
		"shipped short as asked": {store.EventShippedShort, job, `{"left": [{"line": "1", "units": 1}], "asked": true}`, "", "", ""},
		"relabelled": {store.EventRelabelled, job, `{"tracking_number": "1Z", "told": true}`, "relabelled",
			"has another tracking number than the cart was told: the warehouse names a new parcel, and the old one no more", ""},
		"relabelled before it was told": {store.EventRelabelled, job, `{"tracking_number": "1Z", "told": false}`, "", "", ""},
		"cancelled unasked":             {store.EventCancelled, job, `{"asked": false}`, "cancelled_by_warehouse", "was cancelled by the warehouse unasked", `update orders set state = 'shipped'`},
		"cancelled as asked":            {store.EventCancelled, job, `{"asked": true}`, "", "", ""},
		"gone":                          {store.EventWarehouseStatus, job, `{"status": "gone"}`, "gone", "is not known to the warehouse any more", `update orders set warehouse_status = 'processing'`},
		"another status":                {store.EventWarehouseStatus, job, `{"status": "processing"}`, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newAlertBench(t)
			sub := b.atWarehouse(1)
			was := map[string]string{"back_at_cart": "cancelled", "cancelled_by_warehouse": "cancelled"}[c.what]
			b.exec(`update orders set state = coalesce(nullif($2, ''), state), warehouse_status = 'gone' where id = $1`, sub.Order.ID, was)
			b.happen(1, c.kind, c.actor, c.detail)
			if c.what == "" {
				require.Zero(t, b.lookAfter())
				return
			}
			require.Equal(t, opened(1), b.lookAfter())
			require.Zero(t, b.lookAfter(), "it is read again, and told once")
			a := b.alert()
			require.Equal(t, relay.AlertCause("order/SO-1/"+c.what), a.Cause)
			require.Equal(t, "order SO-1 "+c.headline, a.Headline)
			require.NotEmpty(t, a.Advice().Next)

			b.exec(`update alerts set since = since - interval '74 hours'`)
			require.Equal(t, raised(1), b.lookAfter(), "nobody saw to it")
			require.Equal(t, 2, b.alert().Level)

			if c.over != "" {
				b.exec(c.over)
				require.Equal(t, closed(1), b.lookAfter())
				require.Zero(t, b.lookAfter())
				return
			}
			got, err := b.CloseAlert(t.Context(), a.ID, "operator clerk")
			require.NoError(t, err)
			require.Equal(t, "operator clerk", got.ClosedBy)
			again, err := b.CloseAlert(t.Context(), a.ID, "operator else")
			require.NoError(t, err)
			require.Equal(t, got.ClosedAt, again.ClosedAt)
			require.Equal(t, "operator clerk", again.ClosedBy, "the first one closed it")
			require.Zero(t, b.lookAfter(), "what a person has seen to stays closed")
			b.happen(1, c.kind, c.actor, c.detail)
			require.Equal(t, opened(1), b.lookAfter(), "but it may happen again")
			b.happen(1, c.kind, c.actor, c.detail)
			require.Equal(t, raised(1), b.lookAfter(), "which is news as well")
		})
	}
}

// A cancel waits until it is known whether the warehouse has the order. Its cart calls
// it ready again meanwhile, and says so once: people are called however long it waits.
func TestBackAtCartBeforeItsCancelIsDecided(t *testing.T) {
	b := newAlertBench(t)
	sub := b.inDoubt(1)
	id := sub.Order.ID
	_, err := b.RequestCancels(t.Context(), []relay.OrderID{id}, store.CancelAsk{Actor: "cart shop", Reason: "void", AtCart: true})
	require.NoError(t, err)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: id, Hold: unknownOutcome()}}))
	b.want(id, relay.OrderHeld)
	require.Equal(t, 1, b.takeIn(edited(60, "")).Back)
	require.Equal(t, opened(2), b.lookAfter())
	const back = relay.AlertCause("order/SO-1/back_at_cart")
	require.Contains(t, b.alerts(), back)
	require.Contains(t, b.alerts(), relay.AlertCause("hold/unknown_outcome"))

	b.record(store.Outcome{Submission: sub.ID, Order: id, Accepted: wid(sub), Adopted: true})
	b.want(id, relay.OrderCancelRequested)
	require.Equal(t, closed(1), b.lookAfter())
	require.NoError(t, b.RecordCancels(t.Context(), "test", []store.CancelResult{{Order: id, Done: true}}))
	require.Zero(t, b.lookAfter())
	require.Equal(t, back, b.alert().Cause)
	require.Equal(t, store.Reopened, b.reopen(id).Standing)
	require.Equal(t, closed(1), b.lookAfter())
	b.claim("me")
	require.Zero(t, b.lookAfter(), "it is on its way again, and nobody wants it cancelled")
}

// The warehouse cancelled an order by itself, and a person lets it be: the cart is
// told of that, and nobody is called any more.
func TestAPersonAgreesWithTheWarehousesCancel(t *testing.T) {
	b := newAlertBench(t)
	id := b.atWarehouse(1).Order.ID
	b.exec(`update orders set state = 'cancelled' where id = $1`, id)
	b.happen(1, store.EventCancelled, "job pull_shipments", `{"asked": false}`)
	require.Equal(t, opened(1), b.lookAfter())
	require.True(t, b.cancelAndTell(id).Tell)
	require.Equal(t, closed(1), b.lookAfter())
	b.exec(`update orders set cart_cancel_at = null, cart_cancelled_at = now()`)
	require.Zero(t, b.lookAfter(), "the cart took it")
}

// Numbers are given before transactions end: one that ends later may have written a lower one.
func TestNothingIsMissedInTrails(t *testing.T) {
	b := newAlertBench(t)
	b.atWarehouse(1)
	b.atWarehouse(2)
	slow, err := b.sql.Begin(t.Context())
	require.NoError(t, err)
	_, err = slow.Exec(t.Context(), `insert into order_events (order_id, kind, actor) values ($1, 'shipped_after_all', 'test')`, b.id(1))
	require.NoError(t, err)
	b.happen(2, store.EventShippedAfterAll, "test", `{}`)
	require.Equal(t, opened(1), b.lookAfter())
	require.NoError(t, slow.Commit(t.Context()))
	require.Equal(t, opened(1), b.lookAfter())
	require.Len(t, b.alerts(), 2)
	b.exec(`update merchants set alerts_read_at = now() + interval '11 minutes'`)
	b.happen(1, store.EventDuplicate, "test", `{}`)
	require.Zero(t, b.lookAfter(), "what was read is not read for ever")
}

// A hold has the time at which its transaction began, and is seen when that ends: what
// a look did not see it did not tell.
func TestAHoldThatIsBeingWrittenDuringALook(t *testing.T) {
	slowly := func(b *bench, id relay.OrderID, reason relay.HoldReason) (end func()) {
		slow, err := b.sql.Begin(b.t.Context())
		require.NoError(b.t, err)
		_, err = slow.Exec(b.t.Context(), `select now()`)
		require.NoError(b.t, err)
		return func() {
			_, err := slow.Exec(b.t.Context(), `
				with u as (update orders set state = 'held', hold_reason = $2, held_at = now(), first_held_at = coalesce(first_held_at, now()) where id = $1)
				insert into order_events (order_id, kind, actor, detail) values ($1, 'held', 'test', jsonb_build_object('reason', $2::text))`, id, reason)
			require.NoError(b.t, err)
			require.NoError(b.t, slow.Commit(b.t.Context()))
		}
	}
	t.Run("told at once", func(t *testing.T) {
		b := newAlertBench(t)
		b.putOnHold(relay.HoldUnknownOutcome, 1)
		b.takeIn(anOrder(2))
		end := slowly(b, b.id(2), relay.HoldUnknownOutcome)
		require.Equal(t, opened(1), b.lookAfter())
		end()
		require.Equal(t, raised(1), b.lookAfter())
		require.Contains(t, b.said(), "told: SO-2")
		require.Zero(t, b.lookAfter())

		b.takeIn(anOrder(3))
		end = slowly(b, b.id(3), relay.HoldUnknownOutcome)
		b.putOnHold(relay.HoldUnknownOutcome, 4)
		require.Equal(t, raised(1), b.lookAfter())
		require.NotContains(t, b.said(), "SO-3")
		end()
		require.Equal(t, raised(1), b.lookAfter())
		require.Contains(t, b.said(), "SO-3")
		require.Zero(t, b.lookAfter())
	})
	t.Run("an old one for another reason", func(t *testing.T) {
		b := newAlertBench(t)
		b.putOnHold(relay.HoldUnknownItem, 1)
		b.putOnHold(relay.HoldInsufficientInventory, 2)
		b.passes("20 days")
		end := slowly(b, b.id(2), relay.HoldUnknownItem)
		require.Equal(t, opened(2), b.lookAfter())
		end()
		require.Equal(t, closed(1), b.lookAfter())
		b.passes("25 hours")
		require.Equal(t, raised(1), b.lookAfter())
		require.Contains(t, b.said(), "told: SO-2")
		b.passes("25 hours")
		require.Zero(t, b.lookAfter())
	})
}

// Looks of several workers at once open one alert a cause, and tell it once a channel.
func TestLooksAtOnce(t *testing.T) {
	b := newAlertBench(t)
	b.putOnHold(relay.HoldUnknownOutcome, 1)
	b.putOnHold(relay.HoldBadAddress, 2)
	b.age("30 hours", 2)
	b.takeIn(anOrder(3))
	b.happen(3, store.EventShippedAfterAll, "test", `{}`)
	var g sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 8 {
		g.Go(func() {
			for range 3 {
				got, err := b.LookAfterAlerts(t.Context(), b.m, time.Hour)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				total += got.Opened
				mu.Unlock()
			}
		})
	}
	g.Wait()
	require.Equal(t, 3, total)
	require.Len(t, b.alerts(), 3)
	require.Equal(t, []string{"email", "webhook"}, list[string](b, `select channel from alert_messages order by 1`))
	require.Equal(t, []int64{6}, list[int64](b, `select count(*) from alert_notices`))
}

// A person closes an alert while a look is about to: that is told once, of whoever did it.
func TestOneClosesAnAlert(t *testing.T) {
	b := newAlertBench(t)
	b.atWarehouse(1)
	b.happen(1, store.EventShippedAfterAll, "test", `{}`)
	require.Equal(t, opened(1), b.lookAfter())
	id := b.alert().ID
	look, err := b.sql.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = look.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = look.Exec(t.Context(), `select pg_advisory_xact_lock(hashtextextended('alerts/acme', 0))`)
	require.NoError(t, err)
	var a relay.Alert
	done := make(chan error, 1)
	go func() {
		var err error
		a, err = b.CloseAlert(t.Context(), id, "operator clerk")
		done <- err
	}()
	b.waiting(1)
	_, err = look.Exec(t.Context(), `update alerts set closed_at = now(), closed_by = 'recovered'`)
	require.NoError(t, err)
	require.NoError(t, look.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Equal(t, relay.Recovered, a.ClosedBy)
	require.Equal(t, []string{"opened", "opened"}, list[string](b, `select news from alert_notices`))
}

func (b *bench) claimMessage(except ...relay.AlertChannel) (relay.AlertMessage, bool) {
	b.t.Helper()
	m, ok, err := b.ClaimAlertMessage(b.t.Context(), b.m.ID, except, time.Minute)
	require.NoError(b.t, err)
	return m, ok
}

func TestMessagesAreSentByOneAtATime(t *testing.T) {
	b := newAlertBench(t)
	_, ok := b.claimMessage()
	require.False(t, ok)
	b.putOnHold(relay.HoldUnknownOutcome, 1)
	require.Equal(t, opened(1), b.lookAfter())

	mail, ok := b.claimMessage()
	require.True(t, ok)
	require.Equal(t, relay.ByEmail, mail.Channel)
	require.Equal(t, 1, mail.Attempts)
	require.Equal(t, 1, mail.Count)
	require.Equal(t, relay.AlertOpened, mail.Notices[0].News)
	require.Equal(t, b.alert().Headline, mail.Notices[0].Headline)
	_, ok = b.claimMessage(relay.ByWebhook)
	require.False(t, ok, "somebody sends it")
	post, ok := b.claimMessage()
	require.True(t, ok)
	require.Equal(t, relay.ByWebhook, post.Channel)
	require.NotEqual(t, mail.Key, post.Key)

	// Its sender died: it comes again, the same, and what the dead one says late counts for nothing.
	b.exec(`update alert_messages set next_at = now() where id = $1`, mail.ID)
	again, ok := b.claimMessage()
	require.True(t, ok)
	require.Equal(t, mail.Key, again.Key)
	require.Equal(t, mail.Notices, again.Notices)
	require.Equal(t, 2, again.Attempts)
	ctx := t.Context()
	require.NoError(t, b.RecordAlertSent(ctx, store.AlertSent{Message: mail, Error: "late", GiveUp: true}))
	require.NoError(t, b.RecordAlertSent(ctx, store.AlertSent{Message: again, Error: "busy", Again: time.Hour, Delivered: []string{"ops@example.com"}}))
	_, ok = b.claimMessage()
	require.False(t, ok, "it waits")
	b.exec(`update alert_messages set next_at = now() where id = $1`, mail.ID)
	third, ok := b.claimMessage()
	require.True(t, ok)
	require.Equal(t, []string{"ops@example.com"}, third.Delivered)
	require.NoError(t, b.RecordAlertSent(ctx, store.AlertSent{Message: third}))
	require.NoError(t, b.RecordAlertSent(ctx, store.AlertSent{Message: post, Error: "410", GiveUp: true}))

	_, deliveries, err := b.Alert(ctx, b.alert().ID)
	require.NoError(t, err)
	require.Len(t, deliveries, 2)
	require.Empty(t, deliveries[0].Error)
	require.False(t, deliveries[0].SentAt.IsZero())
	require.Equal(t, 3, deliveries[0].Attempts)
	require.Equal(t, "410", deliveries[1].Error)
	require.False(t, deliveries[1].GaveUpAt.IsZero())
	_, _, err = b.Alert(ctx, 999)
	require.ErrorIs(t, err, store.ErrNotFound)

	// That a message could not be delivered is an alert of its own.
	require.Equal(t, opened(1), b.lookAfter())
	require.Contains(t, b.alerts(), relay.AlertCause("messages/webhook"))
}

// Who is named after an alert opened, and after its last age, is told of it all the same.
func TestAChannelThatCameLater(t *testing.T) {
	b := newBench(t)
	b.putOnHold(relay.HoldBadAddress, 1)
	b.passes("20 days")
	require.Equal(t, opened(1), b.lookAfter())
	_, ok := b.claimMessage()
	require.False(t, ok)
	for _, c := range []struct {
		policy  relay.AlertPolicy
		channel relay.AlertChannel
	}{
		{relay.AlertPolicy{Email: []string{"ops@example.com"}}, relay.ByEmail},
		{relay.AlertPolicy{Email: []string{"ops@example.com"}, Webhook: "https://hooks.example.com/x"}, relay.ByWebhook},
	} {
		b.called(c.policy)
		require.Zero(t, b.lookAfter(), "nothing changed")
		m, ok := b.claimMessage()
		require.True(t, ok)
		require.Equal(t, c.channel, m.Channel)
		require.Len(t, m.Notices, 1)
		require.Equal(t, relay.AlertOpened, m.Notices[0].News)
		require.Equal(t, 3, m.Notices[0].Level)
		require.Equal(t, "1 order on hold for bad_address for more than 1 day, the oldest SO-1 for 20d00h", m.Notices[0].Headline)
		require.Zero(t, b.lookAfter())
		_, ok = b.claimMessage()
		require.False(t, ok, "it is told once, and the others are not told again")
	}
}

// News that a channel gave up on are told on it again, once a rest, until they are
// taken; that this fails again and again is no news.
func TestWhatWasGivenUpIsToldAgain(t *testing.T) {
	b := newAlertBench(t)
	b.called(relay.AlertPolicy{After: []relay.Age{relay.Age(time.Hour)}, Webhook: "https://hooks.example.com/x"})
	told := func(change store.AlertChange, words string, news ...string) {
		t.Helper()
		require.Equal(t, change, b.lookAfter())
		var got []string
		m, ok := b.claimMessage()
		for _, n := range m.Notices {
			got = append(got, string(n.News)+" "+string(n.Cause))
		}
		require.Equal(t, news, got)
		if !ok {
			return
		}
		require.NoError(t, b.RecordAlertSent(t.Context(), store.AlertSent{Message: m, Error: words, GiveUp: words != ""}))
		_, ok = b.claimMessage()
		require.False(t, ok, "it is one message")
	}
	b.putOnHold(relay.HoldBadAddress, 1)
	b.passes("2 hours")
	told(opened(1), "", "opened hold/bad_address")
	b.putOnHold(relay.HoldBadAddress, 2)
	b.passes("1 hour")
	told(raised(1), "410", "raised hold/bad_address")
	told(opened(1), "410", "opened messages/webhook")
	told(store.AlertChange{}, "")
	b.passes("1 hour")
	told(raised(1), "410", "raised hold/bad_address", "raised messages/webhook")
	for range 3 {
		told(store.AlertChange{}, "")
		b.passes("1 hour")
		told(store.AlertChange{}, "410", "raised hold/bad_address", "raised messages/webhook")
	}
	b.passes("1 hour")
	told(store.AlertChange{}, "", "raised hold/bad_address", "raised messages/webhook")
	told(closed(1), "", "closed messages/webhook")
	b.passes("1 day")
	told(store.AlertChange{}, "")
}

// A message answers the one that opened its alerts, where it is one.
func TestMessagesOfOneAlertHangTogether(t *testing.T) {
	b := newAlertBench(t)
	b.called(relay.AlertPolicy{Email: []string{"ops@example.com"}})
	b.putOnHold(relay.HoldBadAddress, 1)
	b.putOnHold(relay.HoldRejected, 2)
	b.age("25 hours", 1, 2)
	b.lookAfter()
	first, _ := b.claimMessage()
	require.Equal(t, 2, first.Count)
	require.Empty(t, first.Answers)
	b.age("73 hours", 1)
	b.rest("2 days")
	b.lookAfter()
	raised, _ := b.claimMessage()
	require.Equal(t, first.Key, raised.Answers)
	b.putOnHold(relay.HoldBadOrder, 3)
	b.age("25 hours", 3)
	b.lookAfter()
	other, _ := b.claimMessage()
	require.Empty(t, other.Answers)
	b.exec(`update orders set first_held_at = now()`)
	b.lookAfter()
	over, _ := b.claimMessage()
	require.Equal(t, 3, over.Count)
	require.Empty(t, over.Answers, "its alerts were opened by two")
	require.Equal(t, relay.Recovered, over.Notices[0].ClosedBy)
	require.Equal(t, relay.AlertClosed, over.Notices[0].News)
}

// Hundreds of alerts at once are one message a channel.
func TestManyAlertsAreOneMessage(t *testing.T) {
	b := newAlertBench(t)
	const n = relay.MostNotices + 200
	orders := make([]relay.CartOrder, n)
	for i := range orders {
		orders[i] = anOrder(i)
	}
	b.takeIn(orders...)
	b.exec(`insert into order_events (order_id, kind, actor) select id, 'shipped_after_all', 'test' from orders`)
	require.Equal(t, opened(n), b.lookAfter())
	m, ok := b.claimMessage()
	require.True(t, ok)
	require.Equal(t, n, m.Count)
	require.Len(t, m.Notices, relay.MostNotices)
	_, ok = b.claimMessage(m.Channel)
	require.True(t, ok)
	_, ok = b.claimMessage()
	require.False(t, ok)
}

func TestAlertsHoldNoPersonalData(t *testing.T) {
	b := newAlertBench(t)
	o := anOrder(1)
	o.ShipTo = relay.Address{Name: "Unmistakable Buyerson", Street1: "77 Marmalade Crescent", City: "Marmalade", Zip: "02134", Country: "US", Email: "w@private.test", Phone: "2125550142"}
	b.takeIn(o)
	answer, err := b.HoldOrder(t.Context(), b.id(1), relay.Hold{Reason: relay.HoldUnknownOutcome, Words: "no Marmalade Crescent", Fields: []relay.Problem{{Field: "ship_to.zip", Message: "77 Marmalade Crescent"}}}, "test")
	require.NoError(t, err)
	require.True(t, answer.Held)
	b.happen(1, store.EventChangedTooLate, "test", `{"changes": [{"field": "ship_to.name"}]}`)
	require.Equal(t, opened(2), b.lookAfter())
	said := strings.Join(slices.Concat(list[string](b, `select a::text from alerts a`), list[string](b, `select n::text from alert_notices n`), list[string](b, `select m::text from alert_messages m`)), "\n")
	m, _ := b.claimMessage()
	said += fmt.Sprintf("%+v", m)
	require.Contains(t, said, "ship_to.name changed")
	for _, private := range []string{"Unmistakable", "Buyerson", "Marmalade", "w@private", "2125550142"} {
		require.NotContains(t, said, private)
	}
}

func TestAlertPolicyIsKept(t *testing.T) {
	b := newBench(t)
	require.Zero(t, b.m.Alerts)
	p := relay.AlertPolicy{
		After: []relay.Age{relay.Age(time.Hour), relay.Age(90 * time.Minute)}, Every: relay.Every(time.Minute),
		Email: []string{"ops@example.com"}, Webhook: "https://hooks.example.com/x",
	}
	b.called(p)
	require.Equal(t, p, b.m.Alerts)
	secret, err := b.WebhookSecret(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, hookSecret, secret)
	sealed := list[[]byte](b, `select alerts_secret from merchants`)[0]
	require.NotContains(t, string(sealed), "whsec")

	// It stays for as long as there is a webhook, and can't be moved to another merchant.
	m := b.m.Merchant
	_, err = b.SaveMerchant(t.Context(), m, nil)
	require.NoError(t, err)
	secret, err = b.WebhookSecret(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, hookSecret, secret)
	storetest.Save(t, b.Store, storetest.Merchant("zeta"))
	b.exec(`update merchants set alerts_secret = $1 where id = 'zeta'`, sealed)
	_, err = b.WebhookSecret(t.Context(), "zeta")
	require.ErrorContains(t, err, "does not fit")
	m.Alerts.Webhook = ""
	_, err = b.SaveMerchant(t.Context(), m, nil)
	require.NoError(t, err)
	secret, err = b.WebhookSecret(t.Context(), "acme")
	require.NoError(t, err)
	require.Empty(t, secret)
	_, err = b.WebhookSecret(t.Context(), "nobody")
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestTestMessages(t *testing.T) {
	b := newAlertBench(t)
	messages, looked, err := b.TestAlerts(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, messages, 2)
	require.WithinDuration(t, time.Now(), looked, time.Minute)
	m, ok := b.claimMessage()
	require.True(t, ok)
	require.True(t, m.Test)
	require.Zero(t, m.Count)
	require.NoError(t, b.RecordAlertSent(t.Context(), store.AlertSent{Message: m, Error: "no", GiveUp: true}))
	got, err := b.AlertDeliveries(t.Context(), messages)
	require.NoError(t, err)
	require.Equal(t, relay.ByEmail, got[0].Channel)
	require.Equal(t, "no", got[0].Error)
	require.False(t, got[0].GaveUpAt.IsZero())
	require.True(t, got[1].GaveUpAt.IsZero())
	require.Zero(t, b.lookAfter(), "a test that failed was told to who asked for it")
	_, _, err = b.TestAlerts(t.Context(), "nobody")
	require.ErrorIs(t, err, store.ErrNotFound)
}

// No run will ever close what was found on a connection that was taken away.
func TestFindingsOfAConnectionThatWasTakenAway(t *testing.T) {
	b := newBench(t, "shop", "outlet")
	shop := b.cart("shop")
	_, err := b.RecordCompared(t.Context(), shop, b.begun().ID, "job reconcile", store.Compared{
		Ended: true, Discrepancies: []store.Discrepancy{{Kind: store.FindingUntold, Subject: "SO-1"}}})
	require.NoError(t, err)
	look := func() store.AlertChange {
		change, err := b.LookAfterAlerts(t.Context(), b.m, time.Hour)
		require.NoError(t, err)
		return change
	}
	require.Equal(t, store.AlertChange{Opened: 1}, look())
	b.m = storetest.Save(t, b.Store, storetest.Merchant("acme", "outlet"))
	require.Equal(t, store.AlertChange{Closed: 1}, look())
}
