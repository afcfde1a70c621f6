package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/store"
)

// SubmitResult counts what a run of SubmitOrders did.
type SubmitResult struct {
	Accepted  int `json:"accepted,omitempty"`
	Adopted   int `json:"adopted,omitempty"` // found at the warehouse after a lost reply
	Held      int `json:"held,omitempty"`
	InDoubt   int `json:"in_doubt,omitempty"`
	Unsent    int `json:"unsent,omitempty"`
	Cancelled int `json:"cancelled,omitempty"`
	// Stopped says that the warehouse refuses the credentials.
	Stopped bool `json:"stopped,omitempty"`
	// More says that orders are ready still.
	More bool `json:"more,omitempty"`
	// Next is when something waits to be done: a look, a retry, a cancel. Zero: nothing.
	Next time.Time `json:"next,omitzero"`
	// Holds says that orders on hold wait for their workflows.
	Holds bool `json:"holds,omitempty"`
	// Carts are to be told of cancels.
	Carts []relay.ConnectionName `json:"carts,omitempty"`
}

// SubmitOrders hands new orders to the warehouse, after cancels and after
// looking for those in doubt: the procedure that keeps promises 1 and 2.
func (a *Activities) SubmitOrders(ctx context.Context, in JobInput) (SubmitResult, error) {
	defer beat(ctx)()
	s, err := a.submitter(ctx, in, string(relay.SubmitOrders))
	if errors.Is(err, errStopped) {
		return SubmitResult{Stopped: true}, nil
	}
	if err != nil {
		return SubmitResult{}, err
	}
	if err := s.cancels(ctx); err != nil {
		return s.result, err
	}
	if _, err := s.store.TakeOver(ctx, s.conn.ID, s.owner, s.actor); err != nil {
		return s.result, err
	}
	size := 2 * s.opt.InFlight
	for !s.spent() && !s.halted && s.result.Accepted < turn {
		if err := s.lookForDoubtful(ctx, 0); err != nil {
			return s.result, err
		}
		began := time.Now()
		claimed, err := s.claim(ctx, store.ClaimQuery{Limit: size})
		if errors.Is(err, store.ErrPaused) { // since this step began, or while it was queued
			s.halted = true
			break
		}
		if err != nil {
			return s.result, err
		}
		if len(claimed.Submissions)+claimed.Held+claimed.Skipped == 0 {
			break
		}
		if err := s.send(ctx, claimed.Submissions); err != nil {
			return s.result, err
		}
		// About a second's worth at a time: what a crash leaves in doubt stays small.
		switch took := time.Since(began); {
		case took < 500*time.Millisecond:
			size = min(2*size, 512)
		case took > 2*time.Second:
			size = max(size/2, s.opt.InFlight)
		}
	}
	return s.finish(ctx)
}

// ResendInput names an order on hold.
type ResendInput struct {
	JobInput
	Order relay.OrderID `json:"order"`
	// Actor is who is named in the trail: "nightly resend", "operator clerk".
	Actor string `json:"actor"`
	// Clock says that nobody asked for it: what waits for a person stays on hold.
	Clock bool `json:"clock,omitempty"`
	// Reason is, where a person asked, why the order was on hold then: what somebody
	// put on hold for another since stays. "": whatever it is on hold for.
	Reason relay.HoldReason `json:"reason,omitempty"`
}

// reasons are those for which the order must be on hold still when its turn comes;
// none: whatever it is on hold for. A person may have put it on hold since its
// workflow looked: this step may have waited for hours.
func (in ResendInput) reasons() []relay.HoldReason {
	switch {
	case in.Clock:
		return relay.NightlyReasons()
	case in.Reason != "":
		return []relay.HoldReason{in.Reason}
	}
	return nil
}

// ResendHeld submits one order that is on hold. When it isn't on hold any more, nothing happens.
func (a *Activities) ResendHeld(ctx context.Context, in ResendInput) (SubmitResult, error) {
	defer beat(ctx)()
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return SubmitResult{}, err
	}
	in.Connection = m.StoredWarehouse().Name // the hold may be older than it
	s, err := a.submitter(ctx, in.JobInput, in.Actor)
	if errors.Is(err, errStopped) {
		return SubmitResult{Stopped: true}, nil
	}
	if err != nil {
		return SubmitResult{}, err
	}
	s.actor = in.Actor
	if !s.merchant.PausedAt.IsZero() {
		return SubmitResult{Stopped: true}, nil
	}
	if _, err := s.store.TakeOver(ctx, s.conn.ID, s.owner, s.actor); err != nil {
		return s.result, err
	}
	q := store.ClaimQuery{Limit: 1, Held: []relay.OrderID{in.Order}, Reasons: in.reasons()}
	claimed, err := s.claim(ctx, q)
	if errors.Is(err, store.ErrPaused) {
		return SubmitResult{Stopped: true}, nil
	}
	if err != nil {
		return s.result, err
	}
	if len(claimed.Submissions)+claimed.Held+claimed.Skipped == 0 {
		// It may be on hold because nobody knows whether the warehouse has it: then it is
		// looked for anew. Or others had it in hand just then, or its filter leaves it out:
		// then it goes the way of all that are ready.
		released, err := s.store.Release(ctx, []relay.OrderID{in.Order}, s.actor, "to be looked for or sent again", q.Reasons...)
		if err != nil || len(released) == 0 {
			return s.result, err
		}
		return s.result, s.lookForDoubtful(ctx, in.Order)
	}
	return s.result, s.send(ctx, claimed.Submissions)
}

// submitter is a run of SubmitOrders or ResendHeld.
type submitter struct {
	*job
	sink     connectors.OrderSink
	book     relay.Mappings
	owner    string
	prepared map[relay.OrderID]preparedOrder
	result   SubmitResult
	halted   bool // the warehouse does not take orders now
	// sendBy is when the lease of what is being sent ends, by this process's
	// monotonic clock: it was read before the lease began, so it is never later.
	sendBy time.Time
}

type preparedOrder struct {
	order   connectors.WarehouseOrder
	request connectors.Prepared
}

func (a *Activities) submitter(ctx context.Context, in JobInput, name string) (*submitter, error) {
	j, err := a.begin(ctx, in, name)
	if err != nil {
		return nil, err
	}
	sink, ok := j.vendor.(connectors.OrderSink)
	if !ok {
		return nil, &relay.Error{Kind: relay.Invalid, Op: "submit orders", Err: fmt.Errorf("connector %s takes no orders", j.conn.Connector)}
	}
	mappings, err := a.mappings(ctx, j.merchant)
	if err != nil {
		return nil, err
	}
	j.merchant.MappingsVersion = mappings.Version
	return &submitter{job: j, sink: sink, book: mappings, owner: owner(ctx), prepared: make(map[relay.OrderID]preparedOrder)}, nil
}

func (s *submitter) claim(ctx context.Context, q store.ClaimQuery) (store.Claimed, error) {
	q.Owner, q.Lease, q.Actor, q.Divisible = s.owner, s.opt.Lease, s.actor, s.divisible
	for {
		q.Merchant = s.merchant
		clear(s.prepared)
		s.sendBy = time.Now().Add(s.opt.Lease)
		claimed, err := s.store.Claim(ctx, q, s.claimFor)
		if errors.Is(err, store.ErrMappingsChanged) {
			if err := s.remap(ctx); err != nil {
				return claimed, err
			}
			continue
		}
		s.result.Held += claimed.Held
		return claimed, err
	}
}

// remap takes over mappings that were edited since this run began.
func (s *submitter) remap(ctx context.Context) error {
	m, err := s.store.Merchant(ctx, s.merchant.ID)
	if err != nil {
		return err
	}
	// The merchant's settings stay those with which the connection was opened.
	s.merchant.MappingsVersion = m.MappingsVersion
	if s.book, err = s.mappings(ctx, s.merchant); err != nil {
		return err
	}
	s.merchant.MappingsVersion = s.book.Version
	return nil
}

// prepare translates an order and renders the request, without any network.
func (s *submitter) prepare(o relay.Order, token relay.Token) (store.Claim, error) {
	ready, err := connectors.Prepare(s.sink, s.book, o, token)
	return s.keep(o, ready, err)
}

// keep keeps the request until it is sent.
func (s *submitter) keep(o relay.Order, ready connectors.Ready, err error) (store.Claim, error) {
	if err != nil || ready.Hold != nil {
		return store.Claim{Hold: ready.Hold}, err
	}
	s.prepared[o.ID] = preparedOrder{ready.Order, ready.Request}
	return store.Claim{Items: ready.Translated.Items, Service: ready.Translated.Service, Digest: ready.Request.Digest()}, nil
}

// send sends claimed orders, several at a time, and records every outcome in one transaction.
func (s *submitter) send(ctx context.Context, subs []store.Submission) error {
	if len(subs) == 0 {
		return nil
	}
	outcomes := make([]store.Outcome, len(subs))
	var g errgroup.Group
	g.SetLimit(s.opt.InFlight)
	for i, sub := range subs {
		g.Go(func() error {
			outcomes[i] = s.sendOne(ctx, sub)
			return nil
		})
	}
	_ = g.Wait() // outcomes carry the errors
	if err := s.record(ctx, outcomes); err != nil {
		return err
	}
	if err := s.cancelStrays(ctx, subs, outcomes); err != nil {
		return err
	}
	for _, o := range outcomes {
		switch {
		case o.Accepted != "":
			s.result.Accepted++
		case o.Refused != nil:
			s.result.Held++
		case o.Unsent:
			s.result.Unsent++
			s.halted = true
		default:
			s.result.InDoubt++
		}
	}
	return ctx.Err()
}

// record writes outcomes, and tries again through passing trouble of the
// database for as long as an outcome may be recorded.
func (s *submitter) record(ctx context.Context, outcomes []store.Outcome) error {
	// Also when ctx has ended: what was answered must be known.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), s.sendBy.Add(s.opt.grace()))
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		err := s.store.RecordOutcomes(ctx, s.actor, outcomes)
		if err == nil {
			return nil
		}
		s.log.Warn("could not record what the warehouse answered; trying again", "orders", len(outcomes), "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err // they are looked for instead
		}
	}
}

func (s *submitter) sendOne(ctx context.Context, sub store.Submission) store.Outcome {
	out := store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Send: sub.Sends}
	p := s.prepared[sub.Order.ID]
	// Promise 2: nothing is sent after the lease, so that a look after it can be certain.
	sendCtx, cancel := context.WithDeadline(ctx, s.sendBy)
	defer cancel()
	if hold := s.checkAddress(sendCtx, p.order.ShipTo); hold != nil {
		out.Refused, out.Why = hold, "the address check, before anything was sent"
		return out
	}
	began := time.Now()
	accepted, err := s.sink.SubmitOrder(sendCtx, p.request)
	out.Took = time.Since(began)
	if err == nil {
		out.Accepted, out.Status, out.AnswerWithin = accepted.ID, accepted.Status, accepted.AnswerWithin
		return out
	}
	e := &relay.Error{}
	if errors.As(err, &e) {
		out.Status, out.Why = e.Status, e.Error()
	}
	log := s.log.With("order", sub.Order.Reference, "error", err)
	if hold := connectors.HoldFor(err); hold != nil {
		log.Info("the warehouse refused an order", "reason", hold.Reason)
		out.Refused = hold
		return out
	}
	switch relay.KindOf(err) {
	case relay.Throttled:
		out.Unsent, out.Retry = true, e.After
	case relay.Unavailable:
		out.Unsent, out.Retry, out.Spent = true, s.opt.Retry, s.opt.Retries+1
		if ctx.Err() != nil { // we are stopping: no fault of the warehouse
			out.Retry, out.Spent = 0, 0
		}
	case relay.Unauthorised:
		out.Unsent, out.Retry = true, time.Second
		s.refused(ctx, err)
	default: // Unknown, and Conflict: it may be ours
		log.Warn("the outcome of a submission is not known; it will be looked for")
		out.Unknown = true
	}
	return out
}

func (s *submitter) checkAddress(ctx context.Context, a relay.Address) *relay.Hold {
	checker, ok := s.vendor.(connectors.AddressChecker)
	if !ok {
		return nil
	}
	verdict, err := checker.CheckAddress(ctx, a)
	if err != nil || len(verdict.Problems) == 0 { // it fails open
		return nil
	}
	return &relay.Hold{Reason: relay.HoldBadAddress, Fields: verdict.Problems}
}

// skew is how far a warehouse's clock may be from ours.
const skew = 2 * time.Minute

// lookForDoubtful looks for submissions whose outcome is not known: adopts
// those that are there, sends those again that are surely not, and calls a
// person for the rest.
func (s *submitter) lookForDoubtful(ctx context.Context, only relay.OrderID) error {
	for !s.spent() && !s.halted {
		subs, err := s.store.InDoubt(ctx, s.conn.ID, only, 100)
		if err != nil || len(subs) == 0 {
			return err
		}
		found, err := s.find(ctx, subs)
		if err != nil {
			if s.refused(ctx, err) {
				s.halted = true
			}
			s.log.Warn("could not look for orders in doubt", "orders", len(subs), "error", err)
			looks := make([]store.Look, len(subs))
			for i, sub := range subs {
				looks[i] = store.Look{Submission: sub.ID, Order: sub.Order.ID, Send: sub.Sends, Again: 30 * time.Second, Failed: err.Error()}
				if sub.InDoubtFor > time.Hour {
					looks[i] = store.Look{Submission: sub.ID, Order: sub.Order.ID, Send: sub.Sends, Hold: undecided("the warehouse could not be searched")}
				}
			}
			return s.store.RecordLooks(ctx, s.actor, looks)
		}
		if err := s.settle(ctx, subs, found); err != nil {
			return err
		}
	}
	return nil
}

func (s *submitter) find(ctx context.Context, subs []store.Submission) ([]connectors.Lookup, error) {
	lookup, ok := s.vendor.(connectors.OrderLookup)
	if !ok {
		return make([]connectors.Lookup, len(subs)), nil // never certain
	}
	q := connectors.LookupQuery{Owned: func(ctx context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
		return s.store.Owned(ctx, s.conn.ID, ids)
	}}
	for _, sub := range subs {
		order, _ := connectors.OrderFor(sub.Order, sub.Token, relay.Translated{Items: sub.Items, Service: sub.Service})
		q.Orders = append(q.Orders, connectors.LookupRequest{
			Order: order, SentFrom: sub.OpenedAt.Add(-skew), SentTo: sub.LeaseUntil.Add(skew),
		})
	}
	found, err := lookup.FindOrders(ctx, q)
	if err == nil && len(found) != len(subs) {
		return nil, fmt.Errorf("look-up answered %d of %d", len(found), len(subs))
	}
	return found, err
}

func (s *submitter) settle(ctx context.Context, subs []store.Submission, found []connectors.Lookup) error {
	var adopted []store.Outcome
	var looks []store.Look
	var again []store.Submission
	for i, sub := range subs {
		f := found[i]
		look := store.Look{Submission: sub.ID, Order: sub.Order.ID, Send: sub.Sends}
		if len(f.Matches) > 0 {
			ours, extra, sure := ourMatch(f.Matches)
			if !sure {
				look.Hold = undecided("several orders there look like it")
				looks = append(looks, look)
				continue
			}
			if ours.By != "token" {
				contested, err := s.store.Contested(ctx, s.conn.ID, sub.Order.ID, ours.ID)
				if err != nil {
					return err
				}
				if contested {
					look.Hold = undecided("what is there under its number is, or may be, another order of ours")
					looks = append(looks, look)
					continue
				}
			}
			adopted = append(adopted, store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Accepted: ours.ID, AnswerWithin: ours.AnswerWithin, Adopted: true, By: ours.By})
			if err := s.cancelDuplicates(ctx, sub, extra); err != nil {
				return err
			}
			continue
		}
		switch {
		case sub.Looks < len(s.opt.Looks):
			look.Again = s.opt.Looks[sub.Looks]
		case sub.LeaseLeft+2*s.opt.grace() > 0:
			look.Again = sub.LeaseLeft + 2*s.opt.grace()
		case !f.Certain:
			look.Hold = undecided("looking for it could not settle it")
		case sub.Sends >= 2:
			look.Absent = &relay.Hold{Reason: relay.HoldWarehouseUnreachable, Fields: []relay.Problem{{
				Field: "submission", Message: "sent twice without an answer, and the warehouse does not have it",
			}}}
		default:
			again = append(again, sub)
			continue
		}
		looks = append(looks, look)
	}
	if len(adopted) > 0 {
		if err := s.store.RecordOutcomes(ctx, s.actor, adopted); err != nil {
			return err
		}
		s.result.Adopted += len(adopted)
	}
	if len(looks) > 0 {
		if err := s.store.RecordLooks(ctx, s.actor, looks); err != nil {
			return err
		}
	}
	return s.sendAgain(ctx, again)
}

// ourMatch picks the match that is our order, and those to cancel beside it: of
// the ones that bear its token the oldest that will ship. Others merely look
// like it, and nothing is cancelled on a likeness: with no token and several
// alike it is not sure.
func ourMatch(matches []connectors.Match) (ours connectors.Match, extra []connectors.Match, sure bool) {
	list := slices.DeleteFunc(slices.Clone(matches), func(m connectors.Match) bool { return m.By == "content" })
	if len(list) == 0 {
		return matches[0], nil, len(matches) == 1
	}
	ours = list[max(0, slices.IndexFunc(list, func(m connectors.Match) bool { return !m.Cancelled }))]
	extra = slices.DeleteFunc(list, func(m connectors.Match) bool { return m.Cancelled || m.ID == ours.ID })
	return ours, extra, true
}

// undecided calls a person for an order of which nobody knows whether the warehouse has it.
func undecided(why string) *relay.Hold {
	return &relay.Hold{Reason: relay.HoldUnknownOutcome, Fields: []relay.Problem{{
		Field:   "submission",
		Message: "no answer says whether the warehouse has this order, and " + why + ": see there, then release (looks again) or cancel",
	}}}
}

// sendAgain sends orders that are surely not at the warehouse, with the same tokens.
func (s *submitter) sendAgain(ctx context.Context, subs []store.Submission) error {
	if len(subs) == 0 {
		return nil
	}
	s.sendBy = time.Now().Add(s.opt.Lease)
	open, err := s.store.Reopen(ctx, subs, s.owner, s.opt.Lease, s.actor)
	if errors.Is(err, store.ErrPaused) { // they stay in doubt
		s.halted = true
		return nil
	}
	if err != nil {
		return err
	}
	clear(s.prepared)
	var ready []store.Submission
	var back []store.Outcome
	for _, sub := range open {
		rendered, err := connectors.Render(s.sink, sub.Order, sub.Token, relay.Translated{Items: sub.Items, Service: sub.Service})
		if claim, err := s.keep(sub.Order, rendered, err); err != nil || claim.Hold != nil {
			// Settings changed meanwhile. Nothing of it is at the warehouse, so it starts anew and is held with the reason.
			back = append(back, store.Outcome{Submission: sub.ID, Order: sub.Order.ID, Unsent: true})
			continue
		}
		ready = append(ready, sub)
	}
	if len(back) > 0 {
		if err := s.store.RecordOutcomes(ctx, s.actor, back); err != nil {
			return err
		}
	}
	return s.send(ctx, ready)
}

// cancelDuplicates cancels all but the oldest of several warehouse orders that
// are one order of ours, and raises an alarm.
func (s *submitter) cancelDuplicates(ctx context.Context, sub store.Submission, extra []connectors.Match) error {
	if len(extra) == 0 {
		return nil
	}
	canceller, able := s.vendor.(connectors.Canceller)
	words := string(connectors.CancelPending)
	if !able {
		words = cantCancel
	}
	answers := make(map[relay.WarehouseOrderID]string, len(extra))
	for _, m := range extra {
		answers[m.ID] = words
	}
	// First it is written: once cancelled, they are no duplicates to whoever looks
	// after we died, and nobody would ever be called.
	if err := s.store.RecordDuplicates(ctx, s.actor, sub.Order.ID, answers); err != nil {
		return err
	}
	if able {
		for _, m := range extra {
			answer, err := canceller.CancelOrder(ctx, m.ID)
			answers[m.ID] = string(answer.Result)
			if err != nil {
				answers[m.ID] = err.Error()
			}
		}
	}
	s.log.Error("the warehouse took an order more than once; all but the oldest were cancelled", "order", sub.Order.Reference, "answers", answers)
	return s.store.RecordDuplicates(ctx, s.actor, sub.Order.ID, answers)
}

// cantCancel stands in for the answer of a warehouse that takes no cancels.
const cantCancel = "this warehouse can't cancel: ask a person there"

// cancelStrays cancels what the warehouse accepted though another send of the
// same order had been accepted before: its yes came too late to count.
func (s *submitter) cancelStrays(ctx context.Context, subs []store.Submission, outcomes []store.Outcome) error {
	var accepted []relay.WarehouseOrderID
	var of []store.Submission
	for i, o := range outcomes {
		if o.Accepted != "" {
			accepted, of = append(accepted, o.Accepted), append(of, subs[i])
		}
	}
	if len(accepted) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	owned, err := s.store.Owned(ctx, s.conn.ID, accepted)
	if err != nil {
		s.log.Error("could not check that accepted orders are ours alone: one that the ledger does not hold must be cancelled by hand", "warehouse_orders", accepted, "error", err)
		return err
	}
	for i, id := range accepted {
		if !owned[i] {
			if err := s.cancelDuplicates(ctx, of[i], []connectors.Match{{ID: id, By: "answer"}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancels asks the warehouse to cancel what is to be cancelled.
func (s *submitter) cancels(ctx context.Context) error {
	c, ok := s.vendor.(connectors.Canceller)
	for !s.spent() {
		due, err := s.store.CancelsDue(ctx, s.conn.ID, 50)
		if err != nil || len(due) == 0 {
			return err
		}
		results := make([]store.CancelResult, len(due))
		for i, d := range due {
			if !ok {
				results[i] = store.CancelResult{Order: d.Order, Evidence: "this warehouse can't cancel by itself: ask a person there", Again: 24 * time.Hour}
				continue
			}
			results[i] = s.cancelOne(ctx, c, d)
		}
		if err := s.store.RecordCancels(ctx, s.actor, results); err != nil {
			return err
		}
		for _, r := range results {
			if r.Done {
				s.result.Cancelled++
			}
		}
	}
	return nil
}

func (j *job) cancelOne(ctx context.Context, c connectors.Canceller, d store.CancelDue) store.CancelResult {
	answer, err := c.CancelOrder(ctx, d.WarehouseOrderID)
	r := store.CancelResult{Order: d.Order, WarehouseOrderID: d.WarehouseOrderID, Evidence: answer.Evidence, Again: 5 * time.Minute}
	switch {
	case err != nil:
		j.log.Warn("could not cancel at the warehouse; will ask again", "order", d.Order, "error", err)
		r.Evidence, r.Again = err.Error(), time.Minute
		j.refused(ctx, err)
	case answer.Result == connectors.CancelDone:
		r.Done = true
	case answer.Result == connectors.CancelTooLate:
		r.TooLate = true
	}
	return r
}

// finish looks at what is left.
func (s *submitter) finish(ctx context.Context) (SubmitResult, error) {
	w, err := s.store.Waiting(ctx, s.merchant.ID)
	if err != nil {
		return s.result, err
	}
	s.result.More = w.Ready > 0 && !s.halted
	for _, t := range []time.Time{w.NextRetry, w.NextLook, w.NextCancel} {
		if !t.IsZero() && (s.result.Next.IsZero() || t.Before(s.result.Next)) {
			s.result.Next = t
		}
	}
	if soon := time.Now().Add(10 * time.Second); w.Ready > 0 && s.halted && (s.result.Next.IsZero() || s.result.Next.After(soon)) {
		s.result.Next = soon
	}
	holds, err := s.store.HoldsToStart(ctx, s.merchant.ID, 0, 1)
	if err != nil {
		return s.result, err
	}
	s.result.Holds = len(holds) > 0
	s.result.Carts, err = s.store.CartsToTell(ctx, s.merchant.ID)
	return s.result, err
}
