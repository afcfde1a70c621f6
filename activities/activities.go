// Package activities holds the steps of the process, one meaningful step each:
// they take ids and limits, work through the ledger in batches, and return
// counts and short lists of ids. It is the one place that turns errors into
// Temporal's.
package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"orderferry/connectors"
	"orderferry/notify"
	"orderferry/relay"
	"orderferry/store"
)

// Options are the settings of the steps. The zero value of a field means its default.
type Options struct {
	// InFlight is how many requests of one step run at once. Default 8. A
	// connection's own rate limit holds all the same.
	InFlight int
	// Budget is how long one run of a step works before it reports and lets
	// others have their turn. Default 30 s.
	Budget time.Duration
	// Lease bounds when a claimed order may be sent; after it, the order is
	// looked for. Default 1 min.
	Lease time.Duration
	// Looks are the pauses before an order in doubt is looked for again. Default
	// 5 s, 30 s, 2 min, 10 min.
	Looks []time.Duration
	// Retries is how many times in a row an order that never left us is sent
	// again before it is held as warehouse_unreachable. The pauses begin with
	// Retry and double. Default 8 from 5 s on: about 20 minutes.
	Retries int
	Retry   time.Duration
	// Contents is how long a parcel of unknown contents waits for its order to be
	// complete before it is taken to be all that is left. Default 1 h.
	Contents time.Duration
	// Track is how often a parcel on its way is looked at. Default 1 h.
	Track time.Duration
	// Overdue is for how long books may differ before Reconcile says so. Default 1 h.
	Overdue time.Duration
	// Tell bounds an attempt to send a message about alerts. Default 2 min.
	Tell time.Duration
	// Mail sends e-mail about alerts. nil: no mail server is configured.
	Mail *notify.Mailer
	// Bell wakes workflows that a step's result does not reach. nil: they look by themselves.
	Bell Bell
	// Watcher is told of steps with files. nil: nobody is.
	Watcher connectors.Watcher
}

// grace is how long after its lease the outcome of a submission may still be
// recorded. Only then may the order be sent again or given up: an answer that
// came in time is never overtaken. 15 s of a lease of 1 min.
func (o Options) grace() time.Duration { return o.Lease / 4 }

// ParseLooks reads pauses such as "5s,30s,2m,10m". An empty text means the default.
func ParseLooks(s string) ([]time.Duration, error) {
	if s == "" {
		return nil, nil
	}
	var out []time.Duration
	for part := range strings.SplitSeq(s, ",") {
		d, err := time.ParseDuration(strings.TrimSpace(part))
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%q: want pauses such as 5s,30s,2m,10m", s)
		}
		out = append(out, d)
	}
	return out, nil
}

func (o Options) withDefaults() Options {
	if o.InFlight < 1 {
		o.InFlight = 8
	}
	if o.Budget <= 0 {
		o.Budget = 30 * time.Second
	}
	if o.Lease <= 0 {
		o.Lease = time.Minute
	}
	if len(o.Looks) == 0 {
		o.Looks = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
	}
	if o.Retries < 1 {
		o.Retries = 8
	}
	if o.Retry <= 0 {
		o.Retry = 5 * time.Second
	}
	if o.Contents <= 0 {
		o.Contents = time.Hour
	}
	if o.Track <= 0 {
		o.Track = time.Hour
	}
	if o.Overdue <= 0 {
		o.Overdue = time.Hour
	}
	if o.Tell <= 0 {
		o.Tell = 2 * time.Minute
	}
	return o
}

// Activities are the steps. Safe for concurrent use.
type Activities struct {
	store     *store.Store
	registry  map[string]connectors.Connector
	divisible []string // names those of the registry whose accounts may be divided
	transport http.RoundTripper
	log       *slog.Logger
	opt       Options
	noMail    sync.Once // it was logged that there is no mail server

	books *mappingBooks

	mu   sync.Mutex
	open map[store.ConnectionID]openConnection
}

// openConnection is kept between steps for its rate limit and caches; it is
// opened anew when the merchant's settings change.
type openConnection struct {
	version int64
	connectors.Connection
}

// New makes the steps. The transport carries all requests to vendors.
func New(s *store.Store, registry []connectors.Connector, transport http.RoundTripper, log *slog.Logger, opt Options) *Activities {
	byName := make(map[string]connectors.Connector, len(registry))
	var divisible []string
	for _, c := range registry {
		byName[c.Name] = c
		if c.Divisible {
			divisible = append(divisible, c.Name)
		}
	}
	return &Activities{
		store: s, registry: byName, divisible: divisible, transport: transport, log: log, opt: opt.withDefaults(),
		open: make(map[store.ConnectionID]openConnection), books: newMappingBooks(mostMappings),
	}
}

// JobInput names a connection of a merchant on which a step works.
type JobInput struct {
	Merchant   relay.MerchantID     `json:"merchant"`
	Connection relay.ConnectionName `json:"connection"`
}

// job is a step at work on one connection.
type job struct {
	*Activities
	merchant store.Merchant
	conn     store.Connection
	vendor   connectors.Connection
	actor    string
	log      *slog.Logger
	deadline time.Time
}

// errStopped tells that the connection is stopped: its credentials were refused.
var errStopped = errors.New("connection stopped")

func (a *Activities) begin(ctx context.Context, in JobInput, name string) (*job, error) {
	m, err := a.store.Merchant(ctx, in.Merchant)
	if err != nil {
		return nil, err
	}
	c, ok := m.Connection(in.Connection)
	if !ok {
		return nil, fmt.Errorf("connection %s/%s: %w", in.Merchant, in.Connection, store.ErrNotFound)
	}
	j := &job{
		Activities: a, merchant: m, conn: c, actor: "job " + name, deadline: time.Now().Add(a.opt.Budget),
		log: a.log.With("merchant", in.Merchant, "connection", in.Connection, "job", name),
	}
	if !c.StoppedAt.IsZero() {
		return j, errStopped
	}
	j.vendor, err = a.connect(m, c)
	return j, err
}

// on works on a connection, and reports whether it is stopped, or stops because
// its credentials are refused: then there is no error.
func (a *Activities) on(ctx context.Context, in JobInput, name relay.Job, work func(*job) error) (stopped bool, err error) {
	defer beat(ctx)()
	j, err := a.begin(ctx, in, string(name))
	if err == nil {
		if err = work(j); j.refused(ctx, err) {
			return true, nil
		}
	}
	if errors.Is(err, errStopped) {
		return true, nil
	}
	return false, err
}

func (a *Activities) connect(m store.Merchant, c store.Connection) (connectors.Connection, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o, ok := a.open[c.ID]; ok && o.version == m.SettingsVersion {
		return o.Connection, nil
	}
	kind, ok := a.registry[c.Connector]
	if !ok {
		return nil, &relay.Error{Kind: relay.Invalid, Op: "open connection", Err: fmt.Errorf("this worker has no connector %q", c.Connector)}
	}
	v, err := kind.Open(connectors.Config{
		Merchant: m.ID, Name: c.Name, BaseURL: c.BaseURL, Mode: c.Mode, Settings: connectors.Values(c.Settings),
		Vault: &vault{Vault: a.store.Vault(c)}, Transport: a.transport, Watcher: a.opt.Watcher,
		Log: a.log, // connectors add the merchant and the connection themselves
	})
	if err != nil {
		return nil, err
	}
	a.open[c.ID] = openConnection{m.SettingsVersion, v}
	return v, nil
}

// vault gives connectors the ledger's vault. It keeps what it read for a few
// seconds, so that not every request costs a query; a connector that is refused
// with a stale token rotates, and rotation always reads anew.
type vault struct {
	*store.Vault
	mu   sync.Mutex
	kept connectors.Credentials
	at   time.Time
}

const keepCredentials = 5 * time.Second

func (v *vault) Read(ctx context.Context) (connectors.Credentials, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kept != nil && time.Since(v.at) < keepCredentials {
		return maps.Clone(v.kept), nil
	}
	c, err := v.Vault.Read(ctx)
	if err != nil {
		return nil, err
	}
	v.kept, v.at = connectors.Credentials(c), time.Now()
	return maps.Clone(v.kept), nil
}

func (v *vault) Rotate(ctx context.Context, next func(context.Context, connectors.Credentials) (connectors.Credentials, error)) (connectors.Credentials, error) {
	c, err := v.Vault.Rotate(ctx, func(ctx context.Context, old map[string]string) (map[string]string, error) {
		fresh, err := next(ctx, connectors.Credentials(old))
		return map[string]string(fresh), err
	})
	v.mu.Lock()
	v.kept = nil
	v.mu.Unlock()
	return connectors.Credentials(c), err
}

// spent reports whether the step has had its turn.
func (j *job) spent() bool { return time.Now().After(j.deadline) }

// refused stops the connection when err says that its credentials are not
// accepted, and reports whether it did.
func (j *job) refused(ctx context.Context, err error) bool {
	if !errors.Is(err, relay.Unauthorised) {
		return false
	}
	j.log.Error("the credentials are refused; the connection stops until it is onboarded with others or resumed", "error", err)
	if serr := j.store.StopConnection(context.WithoutCancel(ctx), j.conn.ID, j.merchant.SettingsVersion, err.Error()); serr != nil {
		j.log.Error("could not mark the connection stopped", "error", serr)
	}
	return true
}

// beat tells Temporal that the step is alive until the returned function is called.
func beat(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(3 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				activity.RecordHeartbeat(ctx)
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// owner names whoever opens submissions in this activity: a later attempt of
// the same activity has the same name and may take them over at once.
func owner(ctx context.Context) string {
	info := activity.GetInfo(ctx)
	return info.WorkflowExecution.RunID + "/" + info.ActivityID
}
