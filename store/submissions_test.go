package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func TestClaim(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1), anOrder(2), anOrder(3))
	q := b.query("me")
	q.Limit = 2
	got, err := b.Claim(t.Context(), q, func(o relay.Order, token relay.Token) (store.Claim, error) {
		if o.Number == "SO-2" {
			return store.Claim{Hold: &relay.Hold{Reason: relay.HoldUnknownItem, Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG"}}}}, nil
		}
		return translate(o, token)
	})
	require.NoError(t, err)
	require.Equal(t, 1, got.Held)
	require.Len(t, got.Submissions, 1)
	sub := got.Submissions[0]
	require.Equal(t, relay.OrderSubmitting, sub.Order.State)
	require.Equal(t, time.Minute, sub.LeaseUntil.Sub(sub.OpenedAt).Round(time.Second))
	b.want(b.id(1), relay.OrderSubmitting)
	b.want(b.id(2), relay.OrderHeld)
	b.want(b.id(3), relay.OrderNew)

	d, err := b.Order(t.Context(), b.id(1))
	require.NoError(t, err)
	require.Len(t, d.Submissions, 1)
	require.Equal(t, sub.Items, d.Submissions[0].Items)
	require.Equal(t, sub.Token, d.Submissions[0].Token)
	require.Nil(t, d.Submissions[0].ResolvedAt)
	held, err := b.Order(t.Context(), b.id(2))
	require.NoError(t, err)
	require.Equal(t, "unknown_item: MUG (line 1)", held.Hold.Headline())

	require.Len(t, b.claim("you"), 1)
	require.Empty(t, b.claim("you"))
}

func TestAClaimThatCannotBePreparedClaimsNothing(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1), anOrder(2))
	_, err := b.Claim(t.Context(), b.query("me"), func(o relay.Order, token relay.Token) (store.Claim, error) {
		if o.Number == "SO-2" {
			return store.Claim{}, errors.New("no")
		}
		return translate(o, token)
	})
	require.ErrorContains(t, err, "prepare order SO-2")
	require.Empty(t, list[int64](b, `select id from submissions`))
	b.want(b.id(1), relay.OrderNew)
}

func TestClaimHeld(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	b.record(refused(sub))
	doubt := b.inDoubt(2)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: doubt.ID, Order: doubt.Order.ID, Hold: unknownOutcome()}}))
	b.want(doubt.Order.ID, relay.OrderHeld)
	b.takeIn(anOrder(3))

	q := b.query("me")
	q.Held = []relay.OrderID{sub.Order.ID, doubt.Order.ID, b.id(3)}
	got, err := b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.Len(t, got.Submissions, 1, "neither one that is not held nor one that the warehouse may have")
	require.Equal(t, sub.Order.ID, got.Submissions[0].Order.ID)
	require.NotEqual(t, sub.Token, got.Submissions[0].Token)
	q.Held = []relay.OrderID{}
	got, err = b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.Empty(t, got.Submissions)
}

// Promise 1: whatever the program does, the database allows one live submission.
func TestOneLiveSubmission(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	for _, state := range []string{"open", "in_doubt", "accepted"} {
		_, err := b.sql.Exec(t.Context(), `
			insert into submissions (order_id, warehouse_id, attempt, token, digest, aliases_version, settings_version, service, state, owner, opened_at, lease_until, resolved_at)
			select order_id, warehouse_id, attempt + 1, 'aaaaaaaaaaaaaaaa', digest, 0, 0, '', $2, '', now(), now(), case when $2 = 'accepted' then now() end
			from submissions where id = $1`, sub.ID, state)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "submissions_one_live", pg.ConstraintName)
	}
}

func TestTwoClaimersShareNoOrder(t *testing.T) {
	b := newBench(t)
	other := b.db.Open(t)
	var page []relay.CartOrder
	for i := range 120 {
		page = append(page, anOrder(i))
	}
	b.takeIn(page...)
	var mu sync.Mutex
	seen := make(map[relay.OrderID]string)
	var wg sync.WaitGroup
	for i := range 8 {
		s, owner := b.Store, fmt.Sprint("owner ", i)
		if i%2 == 1 {
			s = other
		}
		wg.Go(func() {
			for {
				q := b.query(owner)
				q.Limit = 7
				got, err := s.Claim(t.Context(), q, translate)
				if !assert.NoError(t, err) || len(got.Submissions) == 0 {
					return
				}
				mu.Lock()
				for _, sub := range got.Submissions {
					assert.NotContains(t, seen, sub.Order.ID)
					seen[sub.Order.ID] = owner
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	// A claimer that met only locked orders may have left some.
	for _, sub := range b.claim("last") {
		require.NotContains(t, seen, sub.Order.ID)
		seen[sub.Order.ID] = "last"
	}
	require.Len(t, seen, 120)
	require.Equal(t, []int64{120}, list[int64](b, `select count(*) from submissions`))
}

func TestOutcomes(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1), anOrder(2), anOrder(3), anOrder(4))
	subs := b.claim("me")
	doubt := unknown(subs[2])
	doubt.Look = time.Hour
	back := unsent(subs[3])
	back.Retry, back.Spent = time.Minute, 3
	all := []store.Outcome{accepted(subs[0]), refused(subs[1]), doubt, back}
	b.record(all...)
	trails := func() (all [][]store.EventKind) {
		for _, s := range subs {
			all = append(all, b.kinds(s.Order.ID))
		}
		return all
	}
	before := trails()
	b.record(all...)
	require.Equal(t, before, trails(), "an outcome that comes twice changes nothing")

	b.want(subs[0].Order.ID, relay.OrderAtWarehouse)
	b.want(subs[1].Order.ID, relay.OrderHeld)
	b.want(subs[2].Order.ID, relay.OrderInDoubt)
	b.want(subs[3].Order.ID, relay.OrderNew)
	require.Equal(t, []string{"accepted", "rejected", "in_doubt", "unsent"}, list[string](b, `select state from submissions order by id`))
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventAccepted}, before[0])
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventRefused, store.EventHeld}, before[1])
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventUnknown}, before[2])
	require.Equal(t, []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventUnsent}, before[3])

	d, err := b.Order(t.Context(), subs[0].Order.ID)
	require.NoError(t, err)
	require.Equal(t, wid(subs[0]), d.WarehouseOrderID)
	require.Equal(t, 201, *d.Submissions[0].Status)
	held, err := b.Order(t.Context(), subs[1].Order.ID)
	require.NoError(t, err)
	require.Equal(t, "none left", held.Hold.Words)
	require.Equal(t, 1, held.Hold.Attempts)
	require.NotContains(t, string(b.last(subs[1].Order.ID).Detail), "none left")

	w, err := b.Waiting(t.Context(), "acme")
	require.NoError(t, err)
	require.Zero(t, w.Ready, "it waits for its retry")
	require.WithinDuration(t, time.Now().Add(time.Hour), w.NextLook, time.Minute)
	require.WithinDuration(t, time.Now().Add(time.Minute), w.NextRetry, 30*time.Second)
	require.Zero(t, w.NextCancel)
	owned, err := b.Owned(t.Context(), b.depot(), []relay.WarehouseOrderID{wid(subs[1]), wid(subs[0])})
	require.NoError(t, err)
	require.Equal(t, []bool{false, true}, owned)
}

func TestUnsentInARowIsHeld(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	id := b.id(1)
	fail := func(spent int) {
		b.exec(`update orders set retry_at = null where id = $1`, id)
		subs := b.claim("me")
		require.Len(t, subs, 1)
		o := unsent(subs[0])
		o.Retry, o.Spent = 10*time.Second, spent
		b.record(o)
	}
	for i, pause := range []float64{10, 20} {
		fail(3)
		b.want(id, relay.OrderNew)
		require.Equal(t, []int32{int32(i + 1)}, list[int32](b, `select send_failures from orders`))
		require.InDelta(t, pause, list[float64](b, `select extract(epoch from retry_at - updated_at)::float8 from orders`)[0], 0.01, "the pauses double")
	}
	fail(0) // merely throttled: does not count
	require.Equal(t, []int32{2}, list[int32](b, `select send_failures from orders`))
	fail(3)
	b.want(id, relay.OrderHeld)
	require.Equal(t, store.EventHeld, b.last(id).Kind)
	require.Equal(t, "warehouse_unreachable", field(t, b.last(id), "reason"))
	got, err := b.Release(t.Context(), []relay.OrderID{id}, "operator clerk", "try")
	require.NoError(t, err)
	require.Equal(t, []relay.OrderID{id}, got)
	require.Len(t, b.claim("me"), 1, "at once")
}

// One warehouse order belongs to one of ours: who claims another's is looked
// for, and takes nobody down with it.
func TestAWarehouseOrderOfAnother(t *testing.T) {
	b := newBench(t)
	first := b.atWarehouse(1)
	b.takeIn(anOrder(2), anOrder(3))
	subs := b.claim("me")
	thief := accepted(subs[0])
	thief.Accepted = wid(first)
	b.record(thief, accepted(subs[1]))
	b.want(subs[0].Order.ID, relay.OrderInDoubt)
	b.want(subs[1].Order.ID, relay.OrderAtWarehouse)

	// Found again as another's: a person must look.
	thief.Adopted = true
	b.record(thief)
	b.want(subs[0].Order.ID, relay.OrderHeld)
	d, err := b.Order(t.Context(), subs[0].Order.ID)
	require.NoError(t, err)
	require.Equal(t, relay.HoldUnknownOutcome, d.Hold.Reason)
	require.Equal(t, "in_doubt", d.Submissions[0].State)

	// Two of one batch with one id: the first has it.
	b.takeIn(anOrder(4), anOrder(5))
	subs = b.claim("me")
	thief = accepted(subs[1])
	thief.Accepted = wid(subs[0])
	b.record(accepted(subs[0]), thief)
	b.want(subs[0].Order.ID, relay.OrderAtWarehouse)
	b.want(subs[1].Order.ID, relay.OrderInDoubt)
}

func TestTakeOver(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	n, err := b.TakeOver(t.Context(), b.depot(), "another", "test")
	require.NoError(t, err)
	require.Zero(t, n, "it is being sent")
	n, err = b.TakeOver(t.Context(), b.depot(), "me", "test")
	require.NoError(t, err)
	require.Equal(t, 1, n, "an earlier attempt of ours is over")
	b.want(sub.Order.ID, relay.OrderInDoubt)

	b.takeIn(anOrder(2))
	q := b.query("gone")
	q.Lease = -time.Second
	claimed, err := b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	n, err = b.TakeOver(t.Context(), b.depot(), "another", "test")
	require.NoError(t, err)
	require.Equal(t, 1, n, "the lease is over")

	// The answer was there all the time: it is worth more than a doubt.
	late := claimed.Submissions[0]
	b.record(accepted(late), unknown(sub))
	b.want(late.Order.ID, relay.OrderAtWarehouse)
	b.want(sub.Order.ID, relay.OrderInDoubt)
	// What nobody sent is a doubt still: an earlier try may have been sent.
	b.record(unsent(sub))
	b.want(sub.Order.ID, relay.OrderInDoubt)
	b.record(refused(sub))
	b.want(sub.Order.ID, relay.OrderHeld)
}

func TestInDoubt(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	later := b.submitting(2)
	o := unknown(later)
	o.Look = time.Hour
	b.record(o)

	due, err := b.InDoubt(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	got := due[0]
	require.Equal(t, sub.ID, got.ID)
	require.Equal(t, sub.Token, got.Token)
	require.Equal(t, sub.Items, got.Items)
	require.Equal(t, sub.Service, got.Service)
	require.Equal(t, sub.Order.Lines, got.Order.Lines)
	require.Equal(t, sub.Order.ShipTo, got.Order.ShipTo)
	require.True(t, sub.OpenedAt.Equal(got.OpenedAt))
	require.Zero(t, got.Looks)

	look := func(l store.Look) {
		l.Submission, l.Order = sub.ID, sub.Order.ID
		require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{l}))
	}
	look(store.Look{Again: time.Nanosecond})
	look(store.Look{Again: time.Nanosecond, Failed: "find orders: unavailable"})
	due, err = b.InDoubt(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, 1, due[0].Looks, "a look that failed does not count")
	look(store.Look{Again: 90 * time.Minute})
	due, err = b.InDoubt(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	require.InDelta(t, 5400, list[float64](b, `select extract(epoch from next_look_at - now())::float8 from orders where id = $1`, sub.Order.ID)[0], 60)
	require.WithinDuration(t, time.Now().Add(90*time.Minute), *b.summary(sub.Order.ID).RetryAt, time.Minute)
}

func TestReopenSendsTheSameToken(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	open, err := b.Reopen(t.Context(), []store.Submission{sub}, "you", time.Minute, "test")
	require.NoError(t, err)
	require.Len(t, open, 1)
	require.Equal(t, sub.Token, open[0].Token)
	require.Equal(t, 2, open[0].Sends)
	require.True(t, open[0].LeaseUntil.After(sub.LeaseUntil))
	b.want(sub.Order.ID, relay.OrderSubmitting)
	require.Equal(t, store.EventResubmitting, b.last(sub.Order.ID).Kind)

	again, err := b.Reopen(t.Context(), []store.Submission{sub}, "third", time.Minute, "test")
	require.NoError(t, err)
	require.Empty(t, again, "it is open already")
	// A look that was overtaken must not put it on hold while it is being sent.
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Absent: unknownOutcome()}}))
	b.want(sub.Order.ID, relay.OrderSubmitting)
	require.Equal(t, store.EventResubmitting, b.last(sub.Order.ID).Kind)
	b.record(accepted(open[0]))
	b.want(sub.Order.ID, relay.OrderAtWarehouse)
	none, err := b.Reopen(t.Context(), nil, "you", time.Minute, "test")
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAbsentIsHeldAndSentAnew(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID,
		Absent: &relay.Hold{Reason: relay.HoldWarehouseUnreachable}}}))
	b.want(sub.Order.ID, relay.OrderHeld)
	require.Equal(t, []string{"absent"}, list[string](b, `select state from submissions`))
	q := b.query("you")
	q.Held = []relay.OrderID{sub.Order.ID}
	got, err := b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.NotEqual(t, sub.Token, got.Submissions[0].Token)
	require.Equal(t, []int32{1, 2}, list[int32](b, `select attempt from submissions order by id`))
}

// Promise 2: an order whose outcome nobody knows is looked for again, never sent again.
func TestReleaseOfAnUnknownOutcome(t *testing.T) {
	b := newBench(t)
	sub := b.inDoubt(1)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Hold: unknownOutcome()}}))
	b.want(sub.Order.ID, relay.OrderHeld)
	got, err := b.Release(t.Context(), []relay.OrderID{sub.Order.ID, sub.Order.ID, 99}, "operator clerk", "look again")
	require.NoError(t, err)
	require.Equal(t, []relay.OrderID{sub.Order.ID}, got)
	b.want(sub.Order.ID, relay.OrderInDoubt)
	due, err := b.InDoubt(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: "found", Adopted: true})
	b.want(sub.Order.ID, relay.OrderAtWarehouse)
	require.Equal(t, store.EventAdopted, b.last(sub.Order.ID).Kind)
	require.NoError(t, b.RecordDuplicates(t.Context(), "test", sub.Order.ID, map[relay.WarehouseOrderID]string{"W-2": "cancelled"}))
	require.Equal(t, store.EventDuplicate, b.last(sub.Order.ID).Kind)
}

// How the cancel of a duplicate stands is said once, and the last answer is what counts.
func TestDuplicatesAreSaidOnce(t *testing.T) {
	b := newAlertBench(t)
	sub := b.atWarehouse(1)
	before := b.kinds(sub.Order.ID)
	for _, answer := range []string{"pending", "pending", "cancelled"} {
		require.NoError(t, b.RecordDuplicates(t.Context(), "test", sub.Order.ID, map[relay.WarehouseOrderID]string{"W-2": answer}))
	}
	require.Equal(t, append(before, store.EventDuplicate, store.EventDuplicate), b.kinds(sub.Order.ID))
	b.exec(`update orders set state = 'confirmed'`)
	require.Zero(t, b.lookAfter(), "it came to a good end before anybody was called")
}

// Many workers at once, each doing whatever comes: no order is ever in two
// hands, and none is lost.
func TestManyWorkersAtOnce(t *testing.T) {
	b := newBench(t)
	const orders, workers = 60, 10
	var page []relay.CartOrder
	for i := range orders {
		page = append(page, anOrder(i))
	}
	b.takeIn(page...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for step := range 40 {
				if err := randomStep(b, r, fmt.Sprint("worker ", w), page); !assert.NoError(t, err, "step %d", step) {
					return
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, list[int64](b, `select order_id from submissions where state in ('open', 'in_doubt', 'accepted') group by 1 having count(*) > 1`))
	require.Empty(t, list[int64](b, `select id from orders o where (state in ('submitting', 'in_doubt', 'at_warehouse', 'cancel_requested'))
		<> exists (select from submissions s where s.order_id = o.id and s.state in ('open', 'in_doubt', 'accepted'))`))
	require.Equal(t, []int64{orders}, list[int64](b, `select count(*) from orders`))
	require.Empty(t, list[int64](b, `select order_id from order_events where kind in ('accepted', 'adopted') group by 1 having count(*) > 1`), "nothing is accepted twice")
}

func randomStep(b *bench, r *rand.Rand, owner string, page []relay.CartOrder) error {
	ctx := b.t.Context()
	switch r.IntN(6) {
	case 0:
		_, err := b.TakeIn(ctx, b.cart("shop"), page, "orders", owner, owner)
		return err
	case 1:
		ids, err := b.HeldOrders(ctx, store.HeldQuery{Merchant: "acme"}, 5)
		if err != nil {
			return err
		}
		_, err = b.Release(ctx, ids, owner, "again")
		return err
	case 2:
		if _, err := b.TakeOver(ctx, b.depot(), owner, owner); err != nil {
			return err
		}
		subs, err := b.InDoubt(ctx, b.depot(), 0, 5)
		if err != nil {
			return err
		}
		subs, err = b.Reopen(ctx, subs, owner, time.Minute, owner)
		if err != nil {
			return err
		}
		return recordRandomly(b, r, owner, subs)
	case 3:
		subs, err := b.InDoubt(ctx, b.depot(), 0, 5)
		if err != nil {
			return err
		}
		var looks []store.Look
		for _, s := range subs {
			looks = append(looks, store.Look{Submission: s.ID, Order: s.Order.ID, Absent: &relay.Hold{Reason: relay.HoldRejected}})
		}
		return b.RecordLooks(ctx, owner, looks)
	default:
		q := b.query(owner)
		q.Limit = 1 + r.IntN(10)
		claimed, err := b.Claim(ctx, q, translate)
		if err != nil {
			return err
		}
		return recordRandomly(b, r, owner, claimed.Submissions)
	}
}

func recordRandomly(b *bench, r *rand.Rand, owner string, subs []store.Submission) error {
	var outcomes []store.Outcome
	for _, s := range subs {
		outcomes = append(outcomes, []func(store.Submission) store.Outcome{accepted, refused, unknown, unsent}[r.IntN(4)](s))
	}
	r.Shuffle(len(outcomes), func(i, j int) { outcomes[i], outcomes[j] = outcomes[j], outcomes[i] })
	return b.RecordOutcomes(b.t.Context(), owner, outcomes)
}

// Promise 1: what was found out about an earlier send says nothing of a later one.
func TestOutcomesAndLooksAreOfTheirSend(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: 1, Unknown: true})
	first, err := b.InDoubt(t.Context(), b.depot(), 0, 10)
	require.NoError(t, err)
	require.Len(t, first, 1)
	open, err := b.Reopen(t.Context(), first, "second", time.Minute, "test")
	require.NoError(t, err)
	require.Len(t, open, 1)

	// The first sender wakes up: nothing of what it has to say counts any more.
	b.record(
		store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: 1, Unsent: true},
		store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: 1, Refused: unknownOutcome()},
	)
	b.want(sub.Order.ID, relay.OrderSubmitting)

	// The second send is in doubt too. A look that began before it must not send a third.
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: 2, Unknown: true})
	again, err := b.Reopen(t.Context(), first, "third", time.Minute, "test")
	require.NoError(t, err)
	require.Empty(t, again)
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Send: 1, Absent: unknownOutcome()}}))
	b.want(sub.Order.ID, relay.OrderInDoubt)

	// A second send that never left us leaves the first one in doubt, with its token.
	second, err := b.InDoubt(t.Context(), b.depot(), sub.Order.ID, 10)
	require.NoError(t, err)
	require.Len(t, second, 1)
	open, err = b.Reopen(t.Context(), second, "third", time.Minute, "test")
	require.NoError(t, err)
	require.Len(t, open, 1)
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: 3, Unsent: true})
	b.want(sub.Order.ID, relay.OrderInDoubt)
	// And a yes counts whenever it comes.
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: 1, Accepted: "W-1"})
	b.want(sub.Order.ID, relay.OrderAtWarehouse)
}

// A run that began before the merchant was onboarded again claims nothing.
func TestClaimAfterOnboarding(t *testing.T) {
	b := newBench(t)
	b.takeIn(anOrder(1))
	stale, err := b.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	_, err = b.SaveMerchant(t.Context(), stale.Merchant, nil)
	require.NoError(t, err)
	_, err = b.Claim(t.Context(), store.ClaimQuery{Merchant: stale, Owner: "me", Lease: time.Minute, Limit: 10, Actor: "test"},
		func(relay.Order, relay.Token) (store.Claim, error) { panic("nothing is prepared") })
	require.ErrorIs(t, err, store.ErrSettingsChanged)
}

// Nobody would follow orders on a connection that is gone, and one that is
// looked for must be looked for where it was sent.
func TestOnboardingStrandsNoOrder(t *testing.T) {
	b := newBench(t)
	m, err := b.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	save := func(change func(*relay.Merchant)) error {
		next := m.Merchant
		next.Carts = slices.Clone(next.Carts)
		change(&next)
		_, err := b.SaveMerchant(t.Context(), next, nil)
		return err
	}
	moved := func(next *relay.Merchant) { next.Warehouse.BaseURL = "https://elsewhere.example" }
	replaced := func(next *relay.Merchant) { next.Warehouse.Name = "another" }
	tested := func(next *relay.Merchant) { next.Warehouse.Mode = relay.ModeTest }
	sub := b.submitting(1)
	require.ErrorContains(t, save(moved), "base_url")
	require.ErrorContains(t, save(replaced), "can't be taken away")
	require.ErrorContains(t, save(tested), "mode")
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: "W-1"})
	require.NoError(t, save(moved), "the vendor may move")
	require.ErrorContains(t, save(replaced), "can't be taken away")
}

// Once a pause was answered nothing is claimed or sent again, whatever began before it.
func TestNothingIsSentWhileTheMerchantIsPaused(t *testing.T) {
	b := newBench(t)
	doubtful := b.inDoubt(1)
	b.takeIn(anOrder(2))
	require.NoError(t, b.SetPaused(t.Context(), "acme", true))
	_, err := b.Claim(t.Context(), b.query("me"), translate)
	require.ErrorIs(t, err, store.ErrPaused)
	_, err = b.Reopen(t.Context(), []store.Submission{doubtful}, "me", time.Minute, "test")
	require.ErrorIs(t, err, store.ErrPaused)
	b.want(doubtful.Order.ID, relay.OrderInDoubt)
	require.NoError(t, b.SetPaused(t.Context(), "acme", false))
	require.Len(t, b.claim("me"), 1)
	again, err := b.Reopen(t.Context(), []store.Submission{doubtful}, "me", time.Minute, "test")
	require.NoError(t, err)
	require.Len(t, again, 1)
}

// Of orders on hold only those go by the clock whose reason it may end.
func TestClaimHeldForReasons(t *testing.T) {
	b := newBench(t)
	sub := b.submitting(1)
	b.record(refused(sub))
	answer, err := b.HoldOrder(t.Context(), sub.Order.ID, relay.Hold{Reason: relay.HoldOperator}, "operator clerk")
	require.NoError(t, err)
	require.True(t, answer.Held)
	q := b.query("me")
	q.Held, q.Reasons = []relay.OrderID{sub.Order.ID}, relay.NightlyReasons()
	got, err := b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.Empty(t, got.Submissions)
	q.Reasons = nil // a person asked
	got, err = b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.Len(t, got.Submissions, 1)
}

// Only a warehouse refuses: a hold of our own, or for want of an answer, counts for nothing.
func TestAttemptsAreTheWarehousesRefusals(t *testing.T) {
	b := newBench(t)
	attempts := func() int {
		d, err := b.Order(t.Context(), b.id(1))
		require.NoError(t, err)
		return d.Hold.Attempts
	}
	b.takeIn(anOrder(1))
	_, err := b.Claim(t.Context(), b.query("me"), func(relay.Order, relay.Token) (store.Claim, error) {
		return store.Claim{Hold: &relay.Hold{Reason: relay.HoldUnknownItem}}, nil
	})
	require.NoError(t, err)
	require.Zero(t, attempts())
	again := func() store.Submission {
		q := b.query("me")
		q.Held = []relay.OrderID{b.id(1)}
		got, err := b.Claim(t.Context(), q, translate)
		require.NoError(t, err)
		require.Len(t, got.Submissions, 1)
		return got.Submissions[0]
	}
	out := unsent(again())
	out.Spent = 1
	b.record(out)
	require.Zero(t, attempts(), "it was not reached")
	b.record(refused(again()))
	require.Equal(t, 1, attempts())
}

// Merchants who share an account may number their orders alike: what is found, but
// not by its token, is not taken from the other.
func TestContested(t *testing.T) {
	b := newBench(t)
	other := storetest.Save(t, b.Store, storetest.Merchant("birch"))
	shop, _ := other.Connection("shop")
	_, err := b.TakeIn(t.Context(), shop, []relay.CartOrder{anOrder(1)}, "orders", "x", "test")
	require.NoError(t, err)
	mine := b.submitting(2)
	contested := func(id relay.WarehouseOrderID) bool {
		got, err := b.Contested(t.Context(), b.depot(), mine.Order.ID, id)
		require.NoError(t, err)
		return got
	}
	require.False(t, contested("W-1"))
	b.record(accepted(mine))
	require.False(t, contested(wid(mine)), "it is its own")

	q := b.query("me")
	q.Merchant = other
	theirs, err := b.Claim(t.Context(), q, translate)
	require.NoError(t, err)
	require.Len(t, theirs.Submissions, 1)
	require.False(t, contested("W-1"), "it bears another number")
	b.exec(`update orders set reference = 'SO-2' where merchant_id = 'birch'`)
	require.True(t, contested("W-1"), "it may be what is being sent for the other")
	sub := theirs.Submissions[0]
	b.record(unknown(sub))
	require.NoError(t, b.RecordLooks(t.Context(), "test", []store.Look{{Submission: sub.ID, Order: sub.Order.ID, Hold: unknownOutcome()}}))
	b.want(sub.Order.ID, relay.OrderHeld)
	require.True(t, contested("W-1"), "nobody knows what became of the other")
	b.record(store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: "W-1"})
	require.True(t, contested("W-1"))
	require.False(t, contested("W-2"), "the other has its own by now")
	b.exec(`update connections set base_url = 'https://elsewhere.example.test' where merchant_id = 'birch'`)
	require.False(t, contested("W-1"), "another account")
}
