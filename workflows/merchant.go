package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

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
	// PauseAsked is when the last pause or resume of the whole merchant was accepted,
	// and PauseSet when the one was that Paused is of.
	PauseAsked time.Time `json:"pause_asked,omitzero"`
	PauseSet   time.Time `json:"pause_set,omitzero"`
	// Asked is when the last message was taken: of no two is it the same.
	Asked time.Time `json:"asked,omitzero"`
	// Jobs by "connection job".
	Jobs map[string]*JobState `json:"jobs"`
	// HoldsDue says that orders on hold may wait for their workflows.
	HoldsDue bool `json:"holds_due,omitempty"`
	// Recheck says that orders on hold for a mapping should be looked at.
	Recheck bool `json:"recheck,omitempty"`
	// RecheckAfter is where that look goes on; 0 when it is done.
	RecheckAfter relay.OrderID `json:"recheck_after,omitempty"`
	// Releases and Cancels are requests too large for the run that took them: they go on.
	Releases []ReleaseRequest  `json:"releases,omitempty"`
	Cancels  []CancelHeldAsked `json:"cancels,omitempty"`
	// PullFirst are carts to be read before anything is submitted: what was
	// cancelled there during a pause must not be sent.
	PullFirst []relay.ConnectionName `json:"pull_first,omitempty"`
	// WatchDue is when alerts are looked after next.
	WatchDue time.Time `json:"watch_due,omitzero"`
	// Unread are the signals that the last run left, the oldest of each name first.
	Unread []Signal `json:"unread,omitempty"`
	// Refused is the last signal that was not carried out, until one of its name is.
	Refused *Refusal `json:"refused,omitempty"`
}

// CancelHeldAsked is a request to cancel orders on hold, and when it was taken.
type CancelHeldAsked struct {
	CancelHeldRequest
	Asked time.Time `json:"asked,omitzero"`
}

// JobState is one job of one connection.
type JobState struct {
	Due      time.Time     `json:"due"`                // when it runs next
	Paused   bool          `json:"paused,omitempty"`   // by a person
	PausedAt time.Time     `json:"paused_at,omitzero"` // since when
	Fails    int           `json:"fails,omitempty"`    // runs that failed in a row, since the settings were read: they pace it
	Before   int           `json:"before,omitempty"`   // and those of the same row before that
	Why      string        `json:"why,omitempty"`      // the last failure, in brief
	Since    time.Time     `json:"since,omitzero"`     // of the first of the row; zero when it does not fail
	Last     string        `json:"last,omitempty"`     // what the last run did
	After    relay.OrderID `json:"after,omitempty"`    // where a long reading goes on
}

// failing reports whether the job fails, and how many runs have in a row.
func (s *JobState) failing() (int, bool) { return s.Before + s.Fails, !s.Since.IsZero() }

// recovered ends a row of failures.
func (s *JobState) recovered() {
	s.Fails = 0
	s.forget()
}

// forget ends a row of failures for those who are told of it. The pace stays: a
// run's history goes by it.
func (s *JobState) forget() { s.Before, s.Why, s.Since = 0, "", time.Time{} }

// pause keeps since when it lasts, however often it is asked for.
func (s *JobState) pause(at time.Time) {
	if !s.Paused {
		s.Paused, s.PausedAt = true, at
	}
}

// resume ends a pause, and what failed before it is an old story.
func (s *JobState) resume() {
	if s.Paused {
		s.Paused, s.PausedAt = false, time.Time{}
		s.forget()
	}
}

// Merchant ferries one merchant's orders for as long as the merchant exists.
// Each connection has a lane of its own in which its jobs run one after the
// other; lanes wake each other, so that an order goes from cart to warehouse in
// one cycle.
func Merchant(ctx workflow.Context, in MerchantInput) error {
	m := &merchant{id: in.Merchant, state: in.State, began: workflow.Now(ctx), cares: cares(ctx), ordersPauses: ordersPauses(ctx), strict: strict(ctx)}
	if m.state == nil {
		m.state = &MerchantState{HoldsDue: true, Recheck: true}
	}
	m.unreadBytes = m.unreadSize()
	if err := m.listen(ctx); err != nil {
		return err
	}
	if err := workflow.SetQueryHandler(ctx, Jobs, m.standing); err != nil {
		return err
	}
	if in.State == nil {
		if err := m.loadPlan(ctx); err != nil {
			return err
		}
	} else {
		m.fit(ctx, m.state.Jobs)
	}
	if m.cares {
		workflow.Go(ctx, m.watch)
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
	id           relay.MerchantID
	state        *MerchantState
	began        time.Time
	cares        bool // this run has the form of changeCare
	ordersPauses bool // and that of changePauses
	strict       bool // and that of changeStrict
	unreadBytes  int
	reload       bool // the settings changed
	busy         int  // messages being handled
	inboxes      []workflow.ReceiveChannel
	children     int // started in this run
	messages     int // taken in this run
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
		m.state.Paused, m.state.PauseAsked = p.Paused, p.PauseAsked
	}
	m.state.Plan = p
	m.fit(ctx, old)
	// New settings take effect at once.
	now := workflow.Now(ctx)
	for _, l := range p.Lanes {
		for _, j := range m.jobsOf(l) {
			s := m.state.Jobs[jobKey(l.Connection, j)]
			// They mend nothing by themselves: a job that fails goes on failing until a
			// run of it succeeds. A connection that has stopped has an alert of its own.
			if n, failing := s.failing(); failing && l.Stopped == "" {
				s.Before, s.Fails = n, 0
			} else {
				s.recovered()
			}
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
			if s.Paused && s.PausedAt.IsZero() { // the release before did not say since when
				s.PausedAt = workflow.Now(ctx)
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
		s.recovered()
		return nil
	}
	if temporal.IsCanceledError(err) {
		return err
	}
	if _, already := s.failing(); !already {
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
	if r.Packages+r.Cancelled+r.Held > 0 {
		s.Last = fmt.Sprintf("%d open orders read, %d new packages, %d cancelled there", r.Read, r.Packages, r.Cancelled)
		if r.Held > 0 {
			s.Last += fmt.Sprintf(", %d put on hold", r.Held)
		}
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
		s.Last = fmt.Sprintf("%d told, %d failed", r.Done, r.Failed)
		if j == relay.PushShipments {
			s.Last += fmt.Sprintf(", %d orders confirmed", r.Confirmed)
		}
	}
	switch {
	case r.More:
		s.Due = workflow.Now(ctx)
	case !r.Next.IsZero() && r.Next.Before(s.Due):
		s.Due = later(r.Next, workflow.Now(ctx).Add(time.Second))
	}
	return nil
}

// wake makes a job run now that runs as soon as there is something to do. One
// with an interval of its own keeps it.
func (m *merchant) wake(ctx workflow.Context, c relay.ConnectionName, j relay.Job) {
	for _, l := range m.state.Plan.Lanes {
		if l.Connection != c || l.Every[j] != relay.Auto {
			continue
		}
		// One that fails comes when its pause is over, however much waits for it.
		if s := m.state.Jobs[jobKey(c, j)]; !m.cares || s.Fails == 0 {
			s.Due = workflow.Now(ctx)
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
