package workflows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// listen sets up the merchant's messages. Each is a signal, which gets no
// answer, and an update, which gets a true one; both go through one handler
// and are harmless twice.
func (m *merchant) listen(ctx workflow.Context) error {
	return errors.Join(
		message(ctx, m, CancelOrder, CancelRequest.Check, m.cancelOrder),
		message(ctx, m, ReleaseOrders, ReleaseRequest.Check, whenever(m.releaseOrders)),
		message(ctx, m, CancelHeld, CancelHeldRequest.Check, m.cancelHeld),
		message(ctx, m, ReopenOrder, ReopenRequest.Check, m.reopenOrder),
		message(ctx, m, SyncNow, JobRequest.Check, whenever(m.syncNow)),
		message(ctx, m, Pause, JobRequest.Check, whenever(m.pause)),
		message(ctx, m, Resume, JobRequest.Check, whenever(m.resume)),
		message(ctx, m, SettingsChanged, JobRequest.Check, whenever(m.settingsChanged)),
	)
}

// handler carries out a message that was asked for at a time.
type handler[Q, A any] func(ctx workflow.Context, q Q, asked time.Time) (A, error)

// whenever is a handler that goes by the state alone.
func whenever[Q, A any](handle func(workflow.Context, Q) (A, error)) handler[Q, A] {
	return func(ctx workflow.Context, q Q, _ time.Time) (A, error) { return handle(ctx, q) }
}

func message[Q, A any](ctx workflow.Context, m *merchant, name string, check func(Q) error, handle handler[Q, A]) error {
	taken := func(ctx workflow.Context, q Q) (A, error) {
		asked := after(ctx, m.state.Asked)
		m.state.Asked = asked
		m.busy++
		m.messages++
		defer func() { m.busy-- }()
		if m.state.Plan.Version == 0 { // the very first messages wait for the plan
			if err := workflow.Await(ctx, func() bool { return m.state.Plan.Version != 0 }); err != nil {
				var none A
				return none, err
			}
		}
		return handle(ctx, q, asked)
	}
	inbox := workflow.GetSignalChannel(ctx, name)
	m.inboxes = append(m.inboxes, inbox)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			// Not Receive: a signal that it was handed and has not taken yet is nowhere to be seen, and a new run would lose it.
			err := workflow.Await(ctx, func() bool { return m.unread(inbox) && (!m.full(ctx) || m.crowded()) })
			if err != nil {
				return // the workflow was cancelled
			}
			request, ok := m.read(inbox)
			if !ok {
				m.refused(ctx, name, errors.New("want JSON"))
				continue
			}
			q, err := decode(request, m.strict, check)
			if err != nil {
				m.refused(ctx, name, err)
				continue
			}
			if _, err := taken(ctx, q); err != nil {
				m.refused(ctx, name, err)
				continue
			}
			if r := m.state.Refused; r != nil && r.Signal == name { // it came again, and well
				m.state.Refused = nil
				m.show(ctx)
			}
		}
	})
	update := func(ctx workflow.Context, request json.RawMessage) (A, error) {
		q, err := decode(request, m.strict, check)
		if err != nil { // the validator saw to it that there is none
			var none A
			return none, err
		}
		return taken(ctx, q)
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, name, update, workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, request json.RawMessage) error {
		_, err := decode(request, m.strict, check)
		return err
	}})
}

// refused shows a signal that was not carried out: whoever sent it gets no answer.
func (m *merchant) refused(ctx workflow.Context, name string, why error) {
	workflow.GetLogger(ctx).Warn("a signal was refused", "merchant", m.id, "signal", name, "error", why)
	m.state.Refused = &Refusal{Signal: name, At: workflow.Now(ctx), Why: oneLine(brief(why))}
	m.show(ctx)
}

// Signal is one that no run has read yet.
type Signal struct {
	Name    string          `json:"name"`
	Request json.RawMessage `json:"request,omitempty"`
}

// maxUnread bounds the signals that are carried to the next run, in bytes; the
// server takes 2 MiB.
const maxUnread = 1 << 20

func (m *merchant) unread(inbox workflow.ReceiveChannel) bool {
	return inbox.Len() > 0 || slices.ContainsFunc(m.state.Unread, named(inbox))
}

func named(inbox workflow.ReceiveChannel) func(Signal) bool {
	return func(s Signal) bool { return s.Name == inbox.Name() }
}

// read takes the oldest unread signal, the last run's before those of this one.
func (m *merchant) read(inbox workflow.ReceiveChannel) (request json.RawMessage, ok bool) {
	if i := slices.IndexFunc(m.state.Unread, named(inbox)); i >= 0 {
		request = m.state.Unread[i].Request
		m.unreadBytes -= m.state.Unread[i].size()
		m.state.Unread = slices.Delete(m.state.Unread, i, i+1)
		return request, true
	}
	ok = inbox.ReceiveAsync(&request)
	return request, ok
}

// decode reads a message's request. No request at all is an empty one. Strictly, a
// field that there is not is refused: without it the request would mean more.
func decode[Q any](request json.RawMessage, strictly bool, check func(Q) error) (q Q, err error) {
	if len(request) > 0 {
		d := json.NewDecoder(bytes.NewReader(request))
		if strictly {
			d.DisallowUnknownFields()
		}
		if err := d.Decode(&q); err != nil {
			return q, fmt.Errorf("%s; the fields are %s", strings.TrimPrefix(err.Error(), "json: "), strings.Join(fields[Q](), ", "))
		}
	}
	return q, check(q)
}

// fields lists the fields of a request.
func fields[Q any]() (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Q]()) {
		if !f.Anonymous {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// crowded reports whether more waits than a new run can be given: some of it
// has to be handled in this one, however full.
func (m *merchant) crowded() bool { return m.unreadBytes > maxUnread }

func (m *merchant) unreadSize() int {
	size := 0
	for _, s := range m.state.Unread {
		size += s.size()
	}
	return size
}

func (s Signal) size() int { return len(s.Name) + len(s.Request) }

// pack puts the unread signals into the state, and reports whether they all fit.
func (m *merchant) pack() bool {
	for _, inbox := range m.inboxes {
		for inbox.Len() > 0 {
			if m.crowded() {
				return false
			}
			var request json.RawMessage
			if inbox.ReceiveAsync(&request) && (len(request) == 0 || json.Valid(request)) {
				s := Signal{inbox.Name(), request}
				m.state.Unread = append(m.state.Unread, s)
				m.unreadBytes += s.size()
			}
		}
	}
	return !m.crowded()
}

func (m *merchant) cancelOrder(ctx workflow.Context, r CancelRequest, asked time.Time) (activities.CancelOutcome, error) {
	var out activities.CancelOutcome
	ref, err := relay.ParseReference(string(r.Reference))
	if err != nil {
		return out, err
	}
	var a *activities.Activities
	err = workflow.ExecuteActivity(onCancel(ctx, m.id, m.warehouse().Connector), a.CancelOrder, activities.CancelInput{
		Merchant: m.id, Reference: ref, Actor: ByOperator(r.Actor), Reason: r.Reason, Asked: asked,
	}).Get(ctx, &out)
	if err != nil {
		return out, err
	}
	if out.WasHeld {
		m.tellHolds(ctx, []relay.Reference{out.Reference})
	}
	if out.Result == "pending" {
		m.wakeWarehouse(ctx)
	}
	if m.cares && out.Cart != "" {
		m.wake(ctx, out.Cart, relay.PushShipments)
	}
	return out, nil
}

// reopenOrder has a cancelled order sent anew, if it may be.
func (m *merchant) reopenOrder(ctx workflow.Context, r ReopenRequest, asked time.Time) (activities.ReopenOutcome, error) {
	var out activities.ReopenOutcome
	if err := m.knows(); err != nil {
		return out, err
	}
	ref, err := relay.ParseReference(string(r.Reference))
	if err != nil {
		return out, err
	}
	var a *activities.Activities
	err = workflow.ExecuteActivity(onLedger(ctx, m.id), a.ReopenOrder, activities.ReopenInput{
		Merchant: m.id, Reference: ref, Actor: ByOperator(r.Actor), Reason: r.Reason, Asked: asked,
	}).Get(ctx, &out)
	if err == nil && out.Reopened {
		m.wakeWarehouse(ctx)
	}
	return out, err
}

func (m *merchant) warehouse() activities.Lane {
	for _, l := range m.state.Plan.Lanes {
		if l.Warehouse {
			return l
		}
	}
	return activities.Lane{}
}

func (m *merchant) releaseOrders(ctx workflow.Context, r ReleaseRequest) (ReleaseAnswer, error) {
	var answer ReleaseAnswer
	if r.SKU != "" {
		if err := m.knows(); err != nil {
			return answer, err
		}
	}
	for {
		out, err := m.release(ctx, r)
		answer.Released += out.Released
		if answer.Released > 0 {
			answer.Waits = m.waits(m.warehouse(), relay.SubmitOrders)
		}
		if err != nil || !out.More {
			return answer, err
		}
		if m.full(ctx) { // a hundred thousand orders are too many for one run
			m.state.Releases = append(m.state.Releases, r)
			answer.More = true
			return answer, nil
		}
	}
}

// release lets up to 200 orders go.
func (m *merchant) release(ctx workflow.Context, r ReleaseRequest) (activities.ReleaseOutcome, error) {
	var a *activities.Activities
	var out activities.ReleaseOutcome
	step := a.ReleaseOrders
	if r.SKU != "" {
		step = a.ReleaseBySKU
	}
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), step, m.selection(r)).Get(ctx, &out); err != nil {
		return out, err
	}
	m.tellHolds(ctx, out.References)
	if out.Released > 0 {
		m.wakeWarehouse(ctx)
	}
	out.More = out.More && out.Released > 0
	return out, nil
}

func (m *merchant) selection(r ReleaseRequest) activities.ReleaseInput {
	return activities.ReleaseInput{Merchant: m.id, Reason: r.Reason, References: r.References, SKU: r.SKU, Actor: ByOperator(r.Actor)}
}

// cancelHeld cancels orders on hold, however many.
func (m *merchant) cancelHeld(ctx workflow.Context, r CancelHeldRequest, asked time.Time) (CancelHeldAnswer, error) {
	var answer CancelHeldAnswer
	if err := m.knows(); err != nil {
		return answer, err
	}
	c := CancelHeldAsked{r, asked}
	for {
		out, err := m.cancelSome(ctx, c)
		answer.Stopped, answer.Pending = answer.Stopped+out.Stopped, answer.Pending+out.Pending
		if err != nil || !out.More {
			return answer, err
		}
		if m.full(ctx) {
			m.state.Cancels = append(m.state.Cancels, c)
			answer.More = true
			return answer, nil
		}
	}
}

// cancelSome cancels up to 200 orders on hold.
func (m *merchant) cancelSome(ctx workflow.Context, c CancelHeldAsked) (activities.CancelHeldOutcome, error) {
	var a *activities.Activities
	var out activities.CancelHeldOutcome
	in := activities.CancelHeldInput{ReleaseInput: m.selection(c.ReleaseRequest), Why: c.Why, Asked: c.Asked}
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.CancelHeld, in).Get(ctx, &out); err != nil {
		return out, err
	}
	m.tellHolds(ctx, out.References)
	if out.Pending > 0 {
		m.wakeWarehouse(ctx)
	}
	m.wakeCarts(ctx, relay.PushShipments, out.Carts)
	out.More = out.More && out.Stopped+out.Pending > 0
	return out, nil
}

// each calls f for every job that a request means, and lists them. A job in
// unless has to be named by the request.
func (m *merchant) each(r JobRequest, f func(*JobState), unless ...relay.Job) (JobAnswer, error) {
	answer := JobAnswer{Jobs: []string{}}
	for _, l := range m.state.Plan.Lanes {
		if r.Connection != "" && r.Connection != l.Connection {
			continue
		}
		for _, j := range m.jobsOf(l) {
			if r.Job != j && (r.Job != "" || slices.Contains(unless, j)) {
				continue
			}
			key := jobKey(l.Connection, j)
			f(m.state.Jobs[key])
			answer.Jobs = append(answer.Jobs, key)
		}
	}
	if len(answer.Jobs) == 0 {
		return answer, fmt.Errorf("merchant %s has no job %q on connection %q", m.id, r.Job, r.Connection)
	}
	return answer, nil
}

func (m *merchant) syncNow(ctx workflow.Context, r JobRequest) (JobAnswer, error) {
	now := workflow.Now(ctx)
	defer m.show(ctx)
	// Comparing books is not ferrying: it runs when it is named.
	answer, err := m.each(r, func(s *JobState) { s.Due = now }, relay.Reconcile)
	answer.Waits = m.waiting(answer.Jobs)
	return answer, err
}

func (m *merchant) pause(ctx workflow.Context, r JobRequest) (JobAnswer, error) {
	defer m.show(ctx)
	if !r.whole() {
		now := workflow.Now(ctx)
		return m.each(r, func(s *JobState) { s.pause(now) })
	}
	return m.setPaused(ctx, r, true, m.askPause(ctx))
}

// resume also lets connections work again whose credentials were refused: a
// person says that they are right now.
func (m *merchant) resume(ctx workflow.Context, r JobRequest) (JobAnswer, error) {
	defer m.show(ctx)
	var asked time.Time
	if r.whole() {
		asked = m.askPause(ctx)
	}
	var a *activities.Activities
	in := activities.JobInput{Merchant: m.id, Connection: r.Connection}
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.ResumeConnections, in).Get(ctx, nil); err != nil {
		return JobAnswer{}, err
	}
	m.reload = true
	if !r.whole() {
		answer, err := m.each(r, (*JobState).resume)
		if err == nil {
			_, err = m.syncNow(ctx, r)
		}
		answer.Waits = m.waiting(answer.Jobs)
		return answer, err
	}
	return m.setPaused(ctx, r, false, asked)
}

// askPause gives a pause or resume of the whole merchant its moment, later than
// that of any before. Their steps may end in another order, as when a worker dies in
// one: the moment decides which counts. Zero in a run of the form before.
func (m *merchant) askPause(ctx workflow.Context) time.Time {
	if !m.ordersPauses {
		return time.Time{}
	}
	m.state.PauseAsked = after(ctx, m.state.PauseAsked)
	return m.state.PauseAsked
}

// after is now, or the first moment after the last one.
func after(ctx workflow.Context, last time.Time) time.Time {
	at := workflow.Now(ctx).UTC().Truncate(time.Microsecond) // as the ledger keeps it
	if !at.After(last) {
		at = last.Add(time.Microsecond)
	}
	return at
}

func (m *merchant) setPaused(ctx workflow.Context, r JobRequest, paused bool, asked time.Time) (JobAnswer, error) {
	var a *activities.Activities
	in := activities.PauseInput{Merchant: m.id, Paused: paused, Asked: asked}
	if err := workflow.ExecuteActivity(onLedger(ctx, m.id), a.SetPaused, in).Get(ctx, nil); err != nil {
		return JobAnswer{}, err
	}
	if !m.ordersPauses || !asked.Before(m.state.PauseSet) {
		m.state.Paused, m.state.PauseSet = paused, asked
		if !paused && m.cares {
			m.pullFirst(ctx)
		}
	}
	return m.each(r, func(s *JobState) {
		if !paused {
			s.resume()
		}
	})
}

// pullFirst has every cart read before anything is submitted again.
func (m *merchant) pullFirst(ctx workflow.Context) {
	m.state.PullFirst = nil
	for _, l := range m.state.Plan.Lanes {
		if !l.Warehouse {
			m.state.PullFirst = append(m.state.PullFirst, l.Connection)
			m.state.Jobs[jobKey(l.Connection, relay.PullOrders)].Due = workflow.Now(ctx)
		}
	}
}

// settingsChanged reads the plan anew and looks at orders on hold for a mapping.
func (m *merchant) settingsChanged(_ workflow.Context, r JobRequest) (JobAnswer, error) {
	m.reload, m.state.Recheck = true, true
	return m.each(r, func(*JobState) {})
}
