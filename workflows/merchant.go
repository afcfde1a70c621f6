package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// MerchantInput starts or continues a merchant's workflow.
type MerchantInput struct {
	Merchant relay.MerchantID `json:"merchant"`
	// State is carried from run to run; nil at the very start.
	State *MerchantState `json:"state,omitempty"`
}

// MerchantState is all that a merchant's workflow remembers. The ledger holds the rest.
type MerchantState struct {
	Plan   activities.Plan `json:"plan"`
	Paused bool            `json:"paused,omitempty"`
	// Jobs by "connection job".
	Jobs map[string]*JobState `json:"jobs"`
	// HoldsDue says that orders on hold may wait for their workflows.
	HoldsDue bool `json:"holds_due,omitempty"`
	// Recheck says that orders on hold for a mapping should be looked at.
	Recheck bool `json:"recheck,omitempty"`
	// RecheckAfter is where that look goes on; 0 when it is done.
	RecheckAfter relay.OrderID `json:"recheck_after,omitempty"`
	// Releases and Cancels are requests too large for the run that took them: they go on.
	Releases []ReleaseRequest    `json:"releases,omitempty"`
	Cancels  []CancelHeldRequest `json:"cancels,omitempty"`
	// PullFirst are carts to be read before anything is submitted: what was
	// cancelled there during a pause must not be sent.
	PullFirst []relay.ConnectionName `json:"pull_first,omitempty"`
	// WatchDue is when alerts are looked after next.
	WatchDue time.Time `json:"watch_due,omitzero"`
	// Unread are the signals that the last run left, the oldest of each name first.
	Unread []Signal `json:"unread,omitempty"`
}

// JobState is one job of one connection.
type JobState struct {
	Due    time.Time     `json:"due"`              // when it runs next
	Paused bool          `json:"paused,omitempty"` // by a person
	Fails  int           `json:"fails,omitempty"`  // runs that failed in a row
	Why    string        `json:"why,omitempty"`    // the last failure, in brief
	Since  time.Time     `json:"since,omitzero"`   // of the first of them
	Last   string        `json:"last,omitempty"`   // what the last run did
	After  relay.OrderID `json:"after,omitempty"`  // where a long reading goes on
}

// Merchant ferries one merchant's orders for as long as the merchant exists.
// Each connection has a lane of its own in which its jobs run one after the
// other; lanes wake each other, so that an order goes from cart to warehouse in
// one cycle.
func Merchant(ctx workflow.Context, in MerchantInput) error {
	m := &merchant{id: in.Merchant, state: in.State, began: workflow.Now(ctx), cares: cares(ctx)}
	if m.state == nil {
		m.state = &MerchantState{HoldsDue: true, Recheck: true}
	}
	if err := m.listen(ctx); err != nil {
		return err
	}
	if in.State == nil {
		if err := m.loadPlan(ctx); err != nil {
			return err
		}
	} else {
		m.fit(ctx, m.state.Jobs)
	}
	for {
		if err := m.ferry(ctx); err != nil {
			return err
		}
		if m.reload {
			m.reload = false
			if err := m.loadPlan(ctx); err != nil {
				return err
			}
		}
		// Once packed nothing may wait: a signal that came then would be lost.
		if m.full(ctx) && m.quiet(ctx) && m.pack() {
			return anew(ctx, MerchantWorkflow, MerchantInput{Merchant: m.id, State: m.state})
		}
	}
}

type merchant struct {
	id       relay.MerchantID
	state    *MerchantState
	began    time.Time
	cares    bool // this run has the form of changeCare
	reload   bool // the settings changed
	busy     int  // messages being handled
	inboxes  []workflow.ReceiveChannel
	children int // started in this run
	messages int // taken in this run
}

// Bounds of one run, well below the server's: 2,000 pending children, 10,000
// signals and 2,000 updates a run.
const (
	maxChildren = 300
	maxMessages = 1000
	// maxAge lets every merchant have the newest form within a day of a deploy.
	maxAge = 24 * time.Hour
)

// full reports whether it is time for a new run.
func (m *merchant) full(ctx workflow.Context) bool {
	return m.children >= maxChildren || m.messages >= maxMessages || workflow.GetInfo(ctx).GetContinueAsNewSuggested() || moved(ctx) || m.old(ctx)
}

// old reports whether the run has lasted long enough.
func (m *merchant) old(ctx workflow.Context) bool {
	return m.cares && workflow.Now(ctx).Sub(m.began) >= maxAge
}

// leaving reports whether the lanes should come to rest.
func (m *merchant) leaving(ctx workflow.Context) bool { return m.reload || m.full(ctx) }

// quiet reports whether no message is being handled or has to be. Signals that
// came since the run was full can wait for the next.
func (m *merchant) quiet(ctx workflow.Context) bool {
	return m.busy == 0 && !m.reload && !m.crowded() && workflow.AllHandlersFinished(ctx)
}

// ferry runs all lanes until the settings change or the run is full.
func (m *merchant) ferry(ctx workflow.Context) error {
	wg := workflow.NewWaitGroup(ctx)
	var failed error
	start := func(f func(workflow.Context) error) {
		wg.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer wg.Done()
			if err := f(ctx); err != nil && failed == nil {
				failed = err
			}
		})
	}
	for _, l := range m.state.Plan.Lanes {
		start(func(ctx workflow.Context) error { return m.lane(ctx, l) })
	}
	start(m.holds)
	if m.cares {
		start(m.watch)
	}
	m.show(ctx)
	wg.Wait(ctx)
	if failed != nil {
		return failed
	}
	return workflow.Await(ctx, func() bool { return m.quiet(ctx) || m.reload })
}

// loadPlan reads the settings and fits the job states to them.
func (m *merchant) loadPlan(ctx workflow.Context) error {
	var a *activities.Activities
	var p activities.Plan
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.LoadPlan, activities.MerchantInput{Merchant: m.id}).Get(ctx, &p); err != nil {
		return err
	}
	old := m.state.Jobs
	if old == nil {
		// From now on only this workflow pauses: what it knows is newer than what it read.
		m.state.Paused = p.Paused
	}
	m.state.Plan = p
	m.fit(ctx, old)
	// New settings take effect at once.
	now := workflow.Now(ctx)
	for _, l := range p.Lanes {
		for _, j := range m.jobsOf(l) {
			s := m.state.Jobs[jobKey(l.Connection, j)]
			s.Fails, s.Why, s.Since = 0, "", time.Time{}
			if next := now.Add(time.Duration(l.Every[j])); j != relay.Reconcile || s.Due.After(next) {
				s.Due = now
			}
		}
	}
	m.state.WatchDue = now
	return workflow.UpsertTypedSearchAttributes(ctx, AttrMerchant.ValueSet(string(m.id)))
}

// fit gives every job of the plan its state: an old one, or a new one that is
// due now. Books that were never compared can wait for their first turn.
func (m *merchant) fit(ctx workflow.Context, old map[string]*JobState) {
	m.state.Jobs = make(map[string]*JobState)
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			key := jobKey(l.Connection, j)
			s := old[key]
			if s == nil {
				s = &JobState{Due: workflow.Now(ctx)}
				if j == relay.Reconcile {
					s.Due = s.Due.Add(time.Duration(l.Every[j]))
				}
			}
			m.state.Jobs[key] = s
		}
	}
}

func jobKey(c relay.ConnectionName, j relay.Job) string { return string(c) + " " + string(j) }

// jobsOf lists the jobs of a lane, the most urgent first: tracking before fresh
// orders before inventory before the comparing of books.
func (m *merchant) jobsOf(l activities.Lane) []relay.Job {
	jobs := []relay.Job{relay.PushShipments, relay.PullOrders, relay.PushInventory}
	if l.Warehouse {
		jobs = []relay.Job{relay.PullShipments, relay.SubmitOrders, relay.PullInventory}
	}
	if _, planned := l.Every[relay.Reconcile]; planned && m.cares {
		jobs = append(jobs, relay.Reconcile)
	}
	return jobs
}

// lane runs the jobs of one connection, one after the other.
func (m *merchant) lane(ctx workflow.Context, l activities.Lane) error {
	for !m.leaving(ctx) {
		j, wait := m.next(ctx, l)
		if j != "" {
			if err := m.run(ctx, l, j); err != nil {
				return err
			}
			m.show(ctx)
			continue
		}
		at := workflow.Now(ctx).Add(wait)
		woken := func() bool {
			if m.leaving(ctx) {
				return true
			}
			_, wait := m.next(ctx, l)
			return workflow.Now(ctx).Add(wait).Before(at)
		}
		_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
			Timeout:      wait,
			TimerOptions: workflow.TimerOptions{Summary: string(l.Connection) + ": until the next job"},
		}, woken)
		if err != nil {
			return err
		}
	}
	return nil
}

// next returns the job of the lane that has been due the longest, the most
// urgent of several, or how long until one is due. Urgency alone would let a job
// that is always due again, such as the reading of very many open orders, starve
// the others.
func (m *merchant) next(ctx workflow.Context, l activities.Lane) (relay.Job, time.Duration) {
	const idle = 24 * time.Hour
	if m.state.Paused || l.Stopped != "" {
		return "", idle
	}
	var first relay.Job
	now, wait := workflow.Now(ctx), idle
	for _, j := range m.jobsOf(l) {
		s := m.state.Jobs[jobKey(l.Connection, j)]
		if j == relay.SubmitOrders && m.pullsFirst() {
			continue
		}
		if until := s.Due.Sub(now); !s.Paused && until < wait {
			first, wait = j, until
		}
	}
	if wait > 0 {
		return "", wait
	}
	return first, 0
}

// pullsFirst reports whether a cart is to be read before anything is submitted.
// One that can't be read, since it is paused or refuses us, is not waited for.
func (m *merchant) pullsFirst() bool {
	return slices.ContainsFunc(m.state.Plan.Lanes, func(l activities.Lane) bool {
		s := m.state.Jobs[jobKey(l.Connection, relay.PullOrders)]
		return s != nil && !s.Paused && l.Stopped == "" && slices.Contains(m.state.PullFirst, l.Connection)
	})
}

// lookAround is how often a job that runs as soon as there is something to do
// looks anyway, should ever a wake-up have been missed.
const lookAround = time.Hour

// run runs one job once and plans its next run and those that follow from it.
func (m *merchant) run(ctx workflow.Context, l activities.Lane, j relay.Job) error {
	s := m.state.Jobs[jobKey(l.Connection, j)]
	every := time.Duration(l.Every[j])
	if every == 0 {
		every = lookAround
	}
	s.Due = workflow.Now(ctx).Add(every)
	in := activities.JobInput{Merchant: m.id, Connection: l.Connection}
	ctx = onVendor(ctx, m.id, l.Connector, j)
	first := j == relay.PullOrders && slices.Contains(m.state.PullFirst, l.Connection) // asked for before this run
	var err error
	switch j {
	case relay.PullOrders:
		err = m.pullOrders(ctx, l, s, in)
	case relay.SubmitOrders:
		err = m.submitOrders(ctx, l, s, in)
	case relay.PullShipments:
		err = m.pullShipments(ctx, l, s, in)
	case relay.PullInventory:
		err = m.pullInventory(ctx, l, s, in)
	case relay.Reconcile:
		err = m.reconcile(ctx, l, s, in)
	default:
		err = m.push(ctx, l, j, s, in)
	}
	if first { // a cart that does not answer holds nothing up
		m.state.PullFirst = slices.DeleteFunc(m.state.PullFirst, func(c relay.ConnectionName) bool { return c == l.Connection })
	}
	if err == nil {
		s.Fails, s.Why, s.Since = 0, "", time.Time{}
		return nil
	}
	if temporal.IsCanceledError(err) {
		return err
	}
	if s.Fails == 0 {
		s.Since = workflow.Now(ctx)
	}
	s.Fails, s.Why = s.Fails+1, brief(err)
	s.Due = workflow.Now(ctx).Add(min(time.Minute<<min(s.Fails-1, 4), 15*time.Minute))
	workflow.GetLogger(ctx).Error("a job fails", "merchant", m.id, "connection", l.Connection, "job", j, "fails", s.Fails, "why", s.Why)
	m.wakeAfter(ctx, j)
	return nil
}

// wakeAfter wakes the jobs that follow from one that failed: it may have done a
// part of its work.
func (m *merchant) wakeAfter(ctx workflow.Context, j relay.Job) {
	next, follows := map[relay.Job]relay.Job{
		relay.PullOrders: relay.SubmitOrders, relay.PullShipments: relay.PushShipments, relay.PullInventory: relay.PushInventory,
	}[j]
	if !follows {
		return
	}
	for _, l := range m.state.Plan.Lanes {
		if slices.Contains(m.jobsOf(l), next) {
			m.wake(ctx, l.Connection, next)
		}
	}
}

func (m *merchant) pullOrders(ctx workflow.Context, l activities.Lane, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	var r activities.PullOrdersResult
	if err := workflow.ExecuteActivity(ctx, a.PullOrders, in).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	if r.More {
		s.Due = workflow.Now(ctx)
	}
	if r.Again || r.New+r.Changed+r.Cancelled+len(r.Woken) > 0 {
		s.Last = fmt.Sprintf("%d new, %d changed, %d cancelled", r.New, r.Changed, r.Cancelled)
		m.wakeWarehouse(ctx)
	}
	m.tellHolds(ctx, r.Woken)
	return nil
}

func (m *merchant) submitOrders(ctx workflow.Context, l activities.Lane, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	var r activities.SubmitResult
	if err := workflow.ExecuteActivity(ctx, a.SubmitOrders, in).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	if r.Accepted+r.Adopted+r.Held+r.InDoubt+r.Unsent+r.Cancelled > 0 {
		s.Last = fmt.Sprintf("%d accepted, %d adopted, %d held, %d in doubt, %d unsent, %d cancelled", r.Accepted, r.Adopted, r.Held, r.InDoubt, r.Unsent, r.Cancelled)
	}
	switch {
	case r.More:
		s.Due = workflow.Now(ctx)
	case !r.Next.IsZero() && r.Next.Before(s.Due):
		// Not before a second has passed: a clock a little off must not spin.
		s.Due = later(r.Next, workflow.Now(ctx).Add(time.Second))
	}
	if r.Holds {
		m.state.HoldsDue = true
	}
	if m.cares {
		m.wakeCarts(ctx, relay.PushShipments, r.Carts)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *merchant) pullShipments(ctx workflow.Context, l activities.Lane, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	var r activities.PullShipmentsResult
	if err := workflow.ExecuteActivity(ctx, a.PullShipments, activities.PullShipmentsInput{JobInput: in, After: s.After}).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	if s.After = r.After; r.After != 0 {
		s.Due = workflow.Now(ctx)
	}
	if r.Packages+r.Cancelled > 0 {
		s.Last = fmt.Sprintf("%d open orders read, %d new packages, %d cancelled there", r.Read, r.Packages, r.Cancelled)
	}
	m.wakeCarts(ctx, relay.PushShipments, r.Carts)
	return nil
}

func (m *merchant) pullInventory(ctx workflow.Context, l activities.Lane, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	var r activities.PullInventoryResult
	if err := workflow.ExecuteActivity(ctx, a.PullInventory, in).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	s.Last = fmt.Sprintf("%d levels read, %d changed", r.Levels, r.Changed)
	if m.cares && r.Released > 0 {
		s.Last += fmt.Sprintf(", %d orders on hold let go", r.Released)
		m.wakeWarehouse(ctx)
		m.tellHolds(ctx, r.Woken)
	}
	if r.Changed == 0 {
		return nil
	}
	for _, c := range m.state.Plan.Lanes {
		if !c.Warehouse {
			m.wake(ctx, c.Connection, relay.PushInventory)
		}
	}
	return nil
}

func (m *merchant) push(ctx workflow.Context, l activities.Lane, j relay.Job, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	step := a.PushShipments
	if j == relay.PushInventory {
		step = a.PushInventory
	}
	var r activities.PushResult
	if err := workflow.ExecuteActivity(ctx, step, in).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	if r.Done+r.Failed > 0 {
		s.Last = fmt.Sprintf("%d told, %d failed, %d orders confirmed", r.Done, r.Failed, r.Confirmed)
	}
	switch {
	case r.More:
		s.Due = workflow.Now(ctx)
	case !r.Next.IsZero() && r.Next.Before(s.Due):
		s.Due = later(r.Next, workflow.Now(ctx).Add(time.Second))
	}
	return nil
}

// reconcile compares the books of a connection, and lets the other jobs act on
// what was mended.
func (m *merchant) reconcile(ctx workflow.Context, l activities.Lane, s *JobState, in activities.JobInput) error {
	var a *activities.Activities
	var r activities.ReconcileResult
	if err := workflow.ExecuteActivity(ctx, a.Reconcile, in).Get(ctx, &r); err != nil {
		return err
	}
	m.stopped(ctx, l, r.Stopped)
	s.Last = fmt.Sprintf("%d compared, %d differ, %d mended", r.Checked, r.Found, r.Repaired)
	if r.More {
		s.Due = workflow.Now(ctx)
	}
	if r.Submit {
		m.wakeWarehouse(ctx)
	}
	m.wakeCarts(ctx, relay.PushShipments, r.Carts)
	m.wakeCarts(ctx, relay.PushInventory, r.Carts)
	m.tellHolds(ctx, r.Woken)
	return nil
}

// watchEvery is how often alerts are looked after unless the plan says otherwise.
const watchEvery = 5 * time.Minute

// watch looks after the merchant's alerts, also while it is paused: a connection
// that has stopped is what people are to be called for.
func (m *merchant) watch(ctx workflow.Context) error {
	for !m.leaving(ctx) {
		now := workflow.Now(ctx)
		if wait := m.state.WatchDue.Sub(now); wait > 0 {
			_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
				Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: "until alerts are looked after"},
			}, func() bool { return m.leaving(ctx) || m.state.WatchDue.Before(now.Add(wait)) })
			if err != nil {
				return err
			}
			continue
		}
		every := time.Duration(m.state.Plan.Watch)
		if every <= 0 {
			every = watchEvery
		}
		m.state.WatchDue = now.Add(every)
		var a *activities.Activities
		var r activities.WatchResult
		err := workflow.ExecuteActivity(onAlerts(ctx, m.id), a.Watch, activities.WatchInput{Merchant: m.id, Failing: m.failing()}).Get(ctx, &r)
		if temporal.IsCanceledError(err) {
			return err
		}
		if err != nil {
			workflow.GetLogger(ctx).Error("alerts can't be looked after; will try again", "merchant", m.id, "why", brief(err))
		}
		if r.Submit {
			m.wakeWarehouse(ctx)
		}
		m.wakeCarts(ctx, relay.PushShipments, r.Carts)
	}
	return nil
}

// failing lists the jobs whose last runs failed: the ledger does not know.
func (m *merchant) failing() []activities.FailingJob {
	var list []activities.FailingJob
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			if s := m.state.Jobs[jobKey(l.Connection, j)]; s.Fails > 0 && !s.Paused && l.Stopped == "" {
				list = append(list, activities.FailingJob{Connection: l.Connection, Job: j, Since: s.Since, Fails: s.Fails, Why: s.Why})
			}
		}
	}
	return list
}

// wake makes a job run now that runs as soon as there is something to do. One
// with an interval of its own keeps it.
func (m *merchant) wake(ctx workflow.Context, c relay.ConnectionName, j relay.Job) {
	for _, l := range m.state.Plan.Lanes {
		if l.Connection == c && l.Every[j] == relay.Auto {
			m.state.Jobs[jobKey(c, j)].Due = workflow.Now(ctx)
		}
	}
}

func (m *merchant) wakeCarts(ctx workflow.Context, j relay.Job, carts []relay.ConnectionName) {
	for _, c := range carts {
		m.wake(ctx, c, j)
	}
}

func (m *merchant) wakeWarehouse(ctx workflow.Context) {
	for _, l := range m.state.Plan.Lanes {
		if l.Warehouse {
			m.wake(ctx, l.Connection, relay.SubmitOrders)
		}
	}
}

// stopped takes note that a connection's credentials are refused.
func (m *merchant) stopped(ctx workflow.Context, l activities.Lane, stopped bool) {
	if !stopped {
		return
	}
	workflow.GetLogger(ctx).Error("a connection stopped: its credentials are refused", "merchant", m.id, "connection", l.Connection)
	m.reload = true // the plan tells why
}

// tellHolds lets hold workflows look at orders that something else moved, 200
// at a time: the server refuses more than 2,000 pending signals.
func (m *merchant) tellHolds(ctx workflow.Context, refs []relay.Reference) {
	for batch := range slices.Chunk(refs, 200) {
		futures := make([]workflow.Future, len(batch))
		for i, r := range batch {
			futures[i] = workflow.SignalExternalWorkflow(ctx, HoldID(m.id, r), "", Look, nil)
		}
		for _, f := range futures {
			// A hold that has ended already needs no telling.
			_ = f.Get(ctx, nil)
		}
	}
}

// holds starts a workflow for every order on hold that has none, lets orders go
// whose mapping has come, and goes on with large releases.
func (m *merchant) holds(ctx workflow.Context) error {
	due := func() bool {
		return m.state.HoldsDue || m.state.Recheck || m.state.RecheckAfter != 0 || len(m.state.Releases)+len(m.state.Cancels) > 0
	}
	for {
		err := workflow.Await(ctx, func() bool { return m.leaving(ctx) || due() })
		if err != nil || m.leaving(ctx) {
			return err
		}
		var pause time.Duration
		again, err := m.tend(ctx)
		switch {
		case temporal.IsCanceledError(err):
			return err
		case err != nil:
			workflow.GetLogger(ctx).Error("holds can't be looked after; will try again", "merchant", m.id, "why", brief(err))
			pause = time.Minute
		case again:
			// The workflow of an earlier hold is about to end; then the new hold gets its own.
			pause = 15 * time.Second
		default:
			continue
		}
		if _, err := workflow.AwaitWithTimeout(ctx, pause, func() bool { return m.leaving(ctx) }); err != nil {
			return err
		}
	}
}

// tend does one step of what holds need, and reports whether to come again in a little while.
func (m *merchant) tend(ctx workflow.Context) (again bool, err error) {
	switch {
	case m.state.Recheck || m.state.RecheckAfter != 0:
		return false, m.recheck(ctx)
	case len(m.state.Releases) > 0:
		out, err := m.release(ctx, m.state.Releases[0])
		if err == nil && !out.More {
			m.state.Releases = m.state.Releases[1:]
		}
		return false, err
	case len(m.state.Cancels) > 0:
		out, err := m.cancelSome(ctx, m.state.Cancels[0])
		if err == nil && !out.More {
			m.state.Cancels = m.state.Cancels[1:]
		}
		return false, err
	}
	m.state.HoldsDue = false
	again, err = m.startHolds(ctx)
	if again || err != nil {
		m.state.HoldsDue = true
	}
	return again, err
}

// recheck looks at one page of the orders on hold for a mapping.
func (m *merchant) recheck(ctx workflow.Context) error {
	if m.state.Recheck { // from the start, also when the settings changed midway
		m.state.Recheck, m.state.RecheckAfter = false, 0
	}
	var a *activities.Activities
	var out activities.RecheckOutcome
	in := activities.RecheckInput{Merchant: m.id, After: m.state.RecheckAfter}
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.RecheckHolds, in).Get(ctx, &out); err != nil {
		m.state.Recheck = true
		return err
	}
	m.state.RecheckAfter = out.After
	m.tellHolds(ctx, out.References)
	if out.Released > 0 {
		m.wakeWarehouse(ctx)
	}
	return nil
}

// startHolds starts the missing workflows, and reports whether some must wait for
// the end of an earlier one, or for the next run.
func (m *merchant) startHolds(ctx workflow.Context) (again bool, err error) {
	var a *activities.Activities
	for in := (activities.HoldsInput{Merchant: m.id}); ; {
		var out activities.HoldsOutput
		if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.HoldsToStart, in).Get(ctx, &out); err != nil {
			return again, err
		}
		var begun []func() (running bool, err error)
		for i, h := range out.Holds {
			begun = append(begun, m.startHold(ctx, HoldInput{
				Merchant: m.id, Order: h.Order, Reference: h.Reference, Warehouse: out.Warehouse, Connector: out.Connector, Reason: h.Reason,
			}))
			if m.cares && i < len(out.Holds)-1 {
				continue // a page at once; one by one took a minute for every 600
			}
			var failed error
			for _, wait := range begun {
				running, err := wait()
				again, failed = again || running, cmp.Or(failed, err)
			}
			if failed != nil {
				return again, failed
			}
			begun, in.After = nil, h.Order
		}
		if !out.More {
			return again, nil
		}
		if m.full(ctx) {
			return true, nil
		}
	}
}

// startHold starts the workflow of one hold. What it returns waits until it has
// begun, as every run has to: a child that has not would be lost in a continue-as-new.
func (m *merchant) startHold(ctx workflow.Context, h HoldInput) (begun func() (running bool, err error)) {
	m.children++
	childCtx := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            HoldID(m.id, h.Reference),
		TaskQueue:             TaskQueue,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         fmt.Sprintf("%s on hold: %s", h.Reference, h.Reason),
		Priority:              priority(m.id, priorityResend),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			AttrMerchant.ValueSet(string(m.id)), AttrOrder.ValueSet(string(h.Reference)),
			AttrHoldReason.ValueSet(string(h.Reason)), AttrState.ValueSet(string(relay.OrderHeld))),
	})
	child := workflow.ExecuteChildWorkflow(childCtx, HoldWorkflow, h)
	return func() (bool, error) {
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		var already *temporal.ChildWorkflowExecutionAlreadyStartedError
		if errors.As(err, &already) {
			m.tellHolds(ctx, []relay.Reference{h.Reference})
			return true, nil
		}
		return false, err
	}
}

// show tells in the Temporal Web UI what the merchant is doing.
func (m *merchant) show(ctx workflow.Context) {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**", m.state.Plan.Name)
	if m.state.Paused {
		b.WriteString(" is paused: `ferry merchant resume` lets it run")
	}
	b.WriteString("\n\n| connection | job | every | next | state |\n|---|---|---|---|---|\n")
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			s := m.state.Jobs[jobKey(l.Connection, j)]
			state := s.Last
			switch {
			case l.Stopped != "":
				state = "stopped: " + l.Stopped
			case s.Paused:
				state = "paused"
			case s.Fails > 0:
				state = fmt.Sprintf("fails since %s, %d times: %s", s.Since.UTC().Format(time.RFC3339), s.Fails, s.Why)
			}
			next := s.Due.UTC().Format(time.RFC3339)
			if l.Every[j] == relay.Auto {
				next = "as soon as there is something"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", l.Connection, j, l.Every[j], next, state)
		}
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

// brief is an error in few words, without personal data: activities made sure of that.
func brief(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		return "timed out (" + timeout.TimeoutType().String() + ")"
	}
	return err.Error()
}
