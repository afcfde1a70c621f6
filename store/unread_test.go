package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

func (b *bench) unread(connection relay.ConnectionName) []store.UnreadRow {
	b.t.Helper()
	rows, err := b.Unread(b.t.Context(), b.m.ID, connection, 100)
	require.NoError(b.t, err)
	return rows
}

func (b *bench) recordUnread(job relay.Job, rows ...store.Unread) {
	b.t.Helper()
	require.NoError(b.t, b.RecordUnread(b.t.Context(), b.depot(), job, rows))
}

// What stands keeps its time, what is gone is forgotten, and jobs are apart.
func TestUnread(t *testing.T) {
	b := newBench(t)
	bad := store.Unread{Subject: "shp_1.csv", Line: 3, Message: "quantity: want a whole number"}
	worse := store.Unread{Subject: "shp_1.csv", Line: 7, Message: "tracking: want all its digits"}
	file := store.Unread{Subject: "inv_1.csv", Message: "want UTF-8"}
	b.recordUnread(relay.PullShipments, bad, worse)
	b.recordUnread(relay.PullInventory, file)
	b.exec(`update unread set since = '2026-01-01'`)

	worse.Message = "tracking: want a number"
	b.recordUnread(relay.PullShipments, worse, store.Unread{Subject: "shp_2.csv", Line: 1, Message: "want 5 columns"})
	rows := b.unread("depot")
	require.Len(t, rows, 3)
	require.Equal(t, []relay.Job{relay.PullInventory, relay.PullShipments, relay.PullShipments}, []relay.Job{rows[0].Job, rows[1].Job, rows[2].Job})
	require.Equal(t, file, rows[0].Unread)
	require.Equal(t, worse, rows[1].Unread, "it tells what is wrong now")
	require.Equal(t, 2026, rows[1].Since.Year())
	require.Equal(t, time.January, rows[1].Since.Month(), "and since when something was")
	require.WithinDuration(t, time.Now(), rows[2].Since, time.Minute)

	b.recordUnread(relay.PullShipments)
	require.Len(t, b.unread("depot"), 1)
	require.Empty(t, b.unread("shop"))
}

// A vendor's text is hostile, and a file may be nothing but bad rows.
func TestUnreadIsBounded(t *testing.T) {
	b := newBench(t)
	b.recordUnread(relay.PullShipments,
		store.Unread{Subject: "a\x00\xff.csv", Line: -1, Message: "b\x00"}, store.Unread{Subject: "a\xff.csv", Message: "c"}, store.Unread{Subject: "a\xff.csv", Message: "c"})
	require.Equal(t, []store.UnreadRow{{Connection: "depot", Job: relay.PullShipments, Unread: store.Unread{Subject: "a?.csv", Message: "b; c"}, Since: b.unread("depot")[0].Since}}, b.unread("depot"))

	many := make([]store.Unread, 12_000)
	for i := range many {
		many[i] = store.Unread{Subject: "x", Line: i + 1, Message: strings.Repeat("y", 10)}
	}
	b.recordUnread(relay.PullShipments, many...)
	require.Equal(t, 10_000, list[int](b, `select count(*)::int from unread`)[0])
}

func TestAlertOfWhatCouldNotBeRead(t *testing.T) {
	b := newAlertBench(t)
	b.recordUnread(relay.PullShipments, store.Unread{Subject: "shp_1.csv", Line: 3, Message: "x"}, store.Unread{Subject: "shp_1.csv", Line: 4, Message: "x"})
	b.recordUnread(relay.PullInventory, store.Unread{Subject: "inv_1.csv", Message: "x"})
	b.exec(`update unread set since = now() - interval '2 hours' where line = 3`)
	require.Equal(t, opened(1), b.lookAfter(), "one a connection")
	a := b.alert()
	require.Equal(t, relay.AlertCause("unread/depot"), a.Cause)
	require.Equal(t, "3 things from depot could not be read, the first shp_1.csv line 3, for 2h00m", a.Headline)
	require.Zero(t, b.lookAfter())
	b.recordUnread(relay.PullShipments)
	require.Zero(t, b.lookAfter())
	require.Equal(t, "1 thing from depot could not be read, the first inv_1.csv, for 0m", b.alert().Headline)
	b.recordUnread(relay.PullInventory)
	require.Equal(t, closed(1), b.lookAfter())
}

func TestAlertOfWhatIsNotAnswered(t *testing.T) {
	b := newAlertBench(t)
	one, two, three := b.received(1), b.received(2), b.received(3)
	require.Zero(t, b.lookAfter(), "they are not due")
	b.exec(`update orders set answer_due = now() - interval '3 hours' where id = $1`, one.Order.ID)
	b.exec(`update orders set answer_due = now() - interval '1 minute' where id = $1`, two.Order.ID)
	require.Equal(t, opened(1), b.lookAfter())
	a := b.alert()
	require.Equal(t, relay.AlertCause("unanswered/depot"), a.Cause)
	require.Equal(t, "2 orders received by depot without its yes or no in time, the oldest SO-1 overdue for 3h00m", a.Headline)
	require.False(t, a.Cause.ClosedByPeople())
	require.Empty(t, b.claim("me"), "nothing is sent again for it")

	b.progress(working(one), notTaken(two))
	require.Equal(t, closed(1), b.lookAfter())
	b.exec(`update orders set answer_due = now() - interval '1 minute' where id = $1`, three.Order.ID)
	require.NoError(t, b.SetPaused(t.Context(), b.m.ID, true))
	require.Zero(t, b.lookAfter(), "nobody reads answers while the merchant is paused")
	require.NoError(t, b.SetPaused(t.Context(), b.m.ID, false))
	require.Zero(t, b.lookAfter(), "it was resumed just now")
	b.passes("61 minutes")
	require.Equal(t, opened(1), b.lookAfter())
	b.cancel(three.Order.ID)
	require.Equal(t, closed(1), b.lookAfter(), "its cancel is what is waited for now")
}

// A warehouse that took orders and lets them lie is asked about them.
func TestAlertOfWhatDoesNotShip(t *testing.T) {
	b := newBench(t)
	b.called(relay.AlertPolicy{Unshipped: relay.Age(48 * time.Hour)})
	one, two, three, four := b.atWarehouse(1), b.atWarehouse(2), b.atWarehouse(3), b.received(4)
	late := func(hours int, subs ...store.Submission) {
		for _, s := range subs {
			b.exec(`update orders set accepted_at = now() - make_interval(hours => $2) where id = $1`, s.Order.ID, hours)
		}
	}
	late(47, one, two, three, four)
	require.Zero(t, b.lookAfter())
	listed := func() (references []relay.Reference) {
		list, err := b.Orders(t.Context(), store.OrderQuery{Merchant: b.m.ID, Unshipped: time.Now().Add(-b.m.Alerts.MayStay()), Limit: 10})
		require.NoError(t, err)
		for _, o := range list {
			references = append(references, o.Reference)
		}
		return references
	}
	require.Empty(t, listed())

	late(50, one, two, three, four) // the fourth is only received: another alert
	require.Equal(t, opened(1), b.lookAfter())
	a := b.alert()
	require.Equal(t, relay.AlertCause("unshipped/depot"), a.Cause)
	require.Equal(t, "3 orders at depot for long, and not all has left, the oldest SO-1 for 2d02h", a.Headline)
	require.Equal(t, []relay.Reference{"SO-1", "SO-2", "SO-3"}, listed())

	b.progress(shippedAll(one), tells(two, store.Progress{Status: "part", Packages: []relay.Package{parcel("1Z2", item("MUG", 1))}}))
	require.Zero(t, b.lookAfter())
	require.Equal(t, "2 orders at depot for long, and not all has left, the oldest SO-2 for 2d02h", b.alert().Headline)
	require.Equal(t, []relay.Reference{"SO-2", "SO-3"}, listed())
	b.progress(tells(two, store.Progress{Complete: true, Packages: []relay.Package{parcel("1Z3", item("MUG", 1), item("CAP", 1))}}))
	b.cancel(three.Order.ID)
	require.Equal(t, closed(1), b.lookAfter(), "its cancel is what is waited for now")
}

// Orders that the warehouse is stuck with are no orders that are sent again.
func TestAlertOfWhatIsStuckThere(t *testing.T) {
	b := newAlertBench(t)
	b.putOnHold(relay.HoldInsufficientInventory, 1)
	sub := b.atWarehouse(2)
	b.progress(noStock(sub))
	require.Zero(t, b.lookAfter(), "they are young")
	b.age("25 hours", 1, 2)
	require.Equal(t, opened(2), b.lookAfter())
	require.Equal(t, "1 order stuck at the warehouse, as it says itself, the oldest SO-2 for 1d01h", b.alerts()["stuck/at_warehouse"].Headline)
	require.Equal(t, "1 order on hold for insufficient_inventory for more than 1 day, the oldest SO-1 for 1d01h", b.alerts()["hold/insufficient_inventory"].Headline)
	b.age("73 hours", 1, 2)
	b.rest("2 days")
	require.Equal(t, raised(2), b.lookAfter())
	b.progress(working(sub))
	require.Equal(t, closed(1), b.lookAfter())
}

func TestAlertOfWhatIsTakenAfterAll(t *testing.T) {
	b := newAlertBench(t)
	sub := b.received(1)
	b.lookAfter()
	b.progress(notTaken(sub))
	require.Zero(t, b.lookAfter())
	b.progress(working(sub))
	require.Equal(t, opened(1), b.lookAfter())
	require.Equal(t, "order SO-1 was refused by the warehouse, which goes on with it after all", b.alert().Headline)
	b.progress(shippedAll(sub))
	require.Zero(t, b.lookAfter())
	b.tell()
	require.Equal(t, closed(1), b.lookAfter())
}
