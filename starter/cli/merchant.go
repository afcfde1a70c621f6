package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// merchantLedger is what the ledger knows of merchants.
type merchantLedger interface {
	Merchant(ctx context.Context, id relay.MerchantID) (store.Merchant, error)
	Merchants(ctx context.Context) ([]store.Merchant, error)
	CountsByMerchant(ctx context.Context) ([]store.MerchantCounts, error)
}

func (a *app) merchantCommand() *cobra.Command {
	group := a.group("merchant", "Set up merchants, and pause, resume or sync them", "Set up merchants, and pause, resume or sync their jobs.", `  ferry merchant onboard --file merchant.yaml
  ferry merchant show --merchant acme`)
	group.AddCommand(a.onboardCommand(), a.merchantListCommand(), a.merchantShowCommand(),
		a.reconcileCommand(), a.findingsCommand(),
		a.jobsCommand("pause", workflows.Pause, "Pause a merchant or some of its jobs",
			`Pause a merchant, and nothing is pulled, submitted, pushed or resent; or pause the
jobs of one connection, or one job. Cancels still work. The answer lists the jobs.`,
			`  ferry merchant pause --merchant acme
  ferry merchant pause --merchant acme --connection main --job push_inventory`),
		a.jobsCommand("resume", workflows.Resume, "Let a merchant or some of its jobs run again",
			`Let a merchant or some of its jobs run again. Resuming a whole merchant also lets
connections work again that were stopped because their credentials were refused.`,
			`  ferry merchant resume --merchant acme
  ferry merchant resume --merchant acme --job pull_orders`),
		a.jobsCommand("sync", workflows.SyncNow, "Run a merchant's jobs now",
			`Run all jobs of a merchant now, or those of one connection, or one job. The answer
lists the jobs; they run one after the other. What is paused or stopped does not run:
the answer says so, and the exit code is 1.`,
			`  ferry merchant sync --merchant acme
  ferry merchant sync --merchant acme --job pull_orders`))
	return group
}

// merchant opens the ledger and reads a merchant in it.
func (a *app) merchant(ctx context.Context, id relay.MerchantID) (ledger, store.Merchant, error) {
	l, err := a.ledger(ctx)
	if err != nil {
		return nil, store.Merchant{}, err
	}
	m, err := known(ctx, l, id)
	return l, m, err
}

// ledgerOf opens the ledger for a list of one merchant, or, for "", of all.
func (a *app) ledgerOf(ctx context.Context, id relay.MerchantID) (ledger, error) {
	if id == "" {
		return a.ledger(ctx)
	}
	l, _, err := a.merchant(ctx, id)
	return l, err
}

// known reads a merchant, or says that there is none.
func known(ctx context.Context, l merchantLedger, id relay.MerchantID) (store.Merchant, error) {
	m, err := l.Merchant(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return m, fmt.Errorf("merchant %s: %w; ferry merchant list tells which there are", id, store.ErrNotFound)
	}
	return m, err
}

func (a *app) merchantListCommand() *cobra.Command {
	return a.verb(cobra.Command{
		Use:   "list",
		Short: "List merchants and how their orders stand",
		Example: `  ferry merchant list
  ferry merchant list --output json`,
	}, func(ctx context.Context, _ []string) error {
		l, err := a.ledger(ctx)
		if err != nil {
			return err
		}
		list, err := l.Merchants(ctx)
		if err != nil {
			return err
		}
		counts, err := l.CountsByMerchant(ctx)
		if err != nil {
			return err
		}
		v := merchantsView{Merchants: []merchantView{}}
		for _, m := range list {
			v.Merchants = append(v.Merchants, newMerchantView(m, counts, a.parts.now()))
		}
		a.pausedJobs(ctx, v.Merchants)
		return a.print(v)
	})
}

type merchantsView struct {
	Merchants []merchantView `json:"merchants"`
}

type merchantView struct {
	ID          relay.MerchantID `json:"id"`
	Name        string           `json:"name"`
	PausedAt    *time.Time       `json:"paused_at,omitempty"`
	PausedJobs  []string         `json:"paused_jobs,omitempty"`     // "connection job": jobs that are paused alone
	NoWorkflow  bool             `json:"no_workflow,omitempty"`     // none runs: nothing is done, and nobody is called
	Unwatched   *time.Time       `json:"unwatched_since,omitempty"` // since then nobody looked after its alerts, for too long
	Connections []connectionView `json:"connections"`
	Counts      store.Counts     `json:"counts"`
}

type connectionView struct {
	Name          relay.ConnectionName      `json:"name"`
	Role          string                    `json:"role"`
	Connector     string                    `json:"connector"`
	Mode          relay.Mode                `json:"mode"`
	BaseURL       string                    `json:"base_url"`
	Settings      map[string]string         `json:"settings"`
	Schedule      map[relay.Job]relay.Every `json:"schedule"`        // of all its jobs
	Rules         *relay.Rules              `json:"rules,omitempty"` // of a cart that has any
	StoppedAt     *time.Time                `json:"stopped_at,omitempty"`
	StoppedReason string                    `json:"stopped_reason,omitempty"`
}

func newMerchantView(m store.Merchant, counts []store.MerchantCounts, now time.Time) merchantView {
	v := merchantView{ID: m.ID, Name: m.Name, PausedAt: utc(m.PausedAt), Unwatched: unwatched(m, now), Connections: []connectionView{}, Counts: countsOf(m.ID, counts)}
	for _, c := range m.Connections {
		v.Connections = append(v.Connections, newConnectionView(c))
	}
	return v
}

// unwatched is since when nobody looked after a merchant's alerts; nil where somebody does.
func unwatched(m store.Merchant, now time.Time) *time.Time {
	if !m.Alerts.Unwatched(m.LookedAt, now) {
		return nil
	}
	return utc(m.LookedAt)
}

func newConnectionView(c store.Connection) connectionView {
	v := connectionView{
		Name: c.Name, Role: c.Role, Connector: c.Connector, Mode: c.Mode, BaseURL: c.BaseURL, Settings: c.Settings,
		Schedule: make(map[relay.Job]relay.Every), StoppedAt: utc(c.StoppedAt), StoppedReason: c.StoppedReason,
	}
	for _, j := range jobsOf(c.Role) {
		v.Schedule[j] = c.Schedule.Of(j)
	}
	if !reflect.ValueOf(c.Rules).IsZero() {
		v.Rules = &c.Rules
	}
	return v
}

func jobsOf(role string) []relay.Job {
	if role == "warehouse" {
		return relay.WarehouseJobs()
	}
	return relay.CartJobs()
}

// countsOf is a merchant's counts; one without orders has none listed.
func countsOf(id relay.MerchantID, counts []store.MerchantCounts) store.Counts {
	for _, c := range counts {
		if c.Merchant == id {
			return c.Counts
		}
	}
	return store.Counts{States: map[relay.OrderState]int64{}, Holds: map[relay.HoldReason]int64{}}
}

// state says in some words whether the merchant runs, and whether anybody would say
// so if it did not.
func (v merchantView) state() string {
	var words, stopped []string
	for _, c := range v.Connections {
		if c.StoppedAt != nil {
			stopped = append(stopped, string(c.Name))
		}
	}
	switch {
	case v.PausedAt != nil:
		words = append(words, "paused")
	case len(stopped) > 0:
		words = append(words, "stopped: "+strings.Join(stopped, ", "))
	}
	switch n := len(v.PausedJobs); {
	case v.NoWorkflow:
		words = append(words, "no workflow")
	case len(words) > 0:
	case n > 0:
		words = append(words, "running", relay.Many(n, "job")+" paused")
	default:
		words = append(words, "running")
	}
	if v.Unwatched != nil {
		words = append(words, "nobody looked since "+stampOf(v.Unwatched))
	}
	return strings.Join(words, ", ")
}

// pausedJobs notes which jobs are paused alone: their merchants' workflows know, where
// there are any. It says so when they don't answer; the rest is shown.
func (a *app) pausedJobs(ctx context.Context, list []merchantView) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, err := a.engine(ctx)
	errs := []error{err}
	if err == nil {
		errs = make([]error, len(list))
		var all sync.WaitGroup
		for i := range list {
			all.Go(func() {
				var s workflows.Standing
				s, errs[i] = e.Standing(ctx, list[i].ID)
				list[i].PausedJobs, list[i].NoWorkflow = pausedAlone(s), errors.Is(errs[i], errNoWorkflow)
			})
		}
		all.Wait()
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, errNoWorkflow) {
			a.say("which jobs are paused is not known of all: %v", err)
			return
		}
	}
}

// pausedAlone lists the jobs that are paused by themselves.
func pausedAlone(s workflows.Standing) (jobs []string) {
	for _, j := range s.Jobs {
		if j.Paused {
			jobs = append(jobs, fmt.Sprintf("%s %s", j.Connection, j.Job))
		}
	}
	return jobs
}

func (v merchantView) names(role string) string {
	var names []string
	for _, c := range v.Connections {
		if c.Role == role {
			names = append(names, fmt.Sprintf("%s (%s)", c.Name, c.Connector))
		}
	}
	return strings.Join(names, ", ")
}

func (v merchantsView) text(p *page) {
	if len(v.Merchants) == 0 {
		p.line("no merchants yet: ferry merchant onboard --file merchant.yaml takes one in")
		return
	}
	var rows [][]string
	for _, m := range v.Merchants {
		rows = append(rows, []string{
			string(m.ID), inCell(m.Name), m.state(), m.names("cart"), m.names("warehouse"),
			strconv.FormatInt(m.Counts.Unfinished, 10), strconv.FormatInt(m.Counts.States[relay.OrderHeld], 10),
		})
	}
	p.table([]string{"MERCHANT", "NAME", "STATE", "CARTS", "WAREHOUSE", "UNDER WAY", "ON HOLD"}, rows)
}

func (a *app) merchantShowCommand() *cobra.Command {
	var id relay.MerchantID
	cmd := a.verb(cobra.Command{
		Use:   "show",
		Short: "Show a merchant, its connections, orders and jobs",
		Long: `Show a merchant: its connections with settings and schedule, why a connection is
stopped, how many orders are in each state and on hold for each reason, and what
its workflow says of each job. Without an answer from Temporal the rest is shown.`,
		Example: `  ferry merchant show --merchant acme
  ferry merchant show --merchant acme --output json`,
	}, func(ctx context.Context, _ []string) error { return a.merchantShow(ctx, id) })
	merchantFlag(cmd, &id)
	needs(cmd, "merchant")
	return cmd
}

// patience is how long a look at the ledger waits for what Temporal might add.
const patience = 5 * time.Second

func (a *app) merchantShow(ctx context.Context, id relay.MerchantID) error {
	l, m, err := a.merchant(ctx, id)
	if err != nil {
		return err
	}
	counts, err := l.CountsByMerchant(ctx)
	if err != nil {
		return err
	}
	v := merchantDetail{
		merchantView: newMerchantView(m, counts, a.parts.now()), Resend: m.Resend, Unaliased: m.Unaliased, Alerts: newCalledView(m.Alerts),
		SettingsVersion: m.SettingsVersion, MappingsVersion: m.MappingsVersion, Workflow: a.view(ctx, workflows.MerchantID(id)),
	}
	v.NoWorkflow = v.Workflow.missing
	if v.Workflow.Problem == "" {
		s, err := a.standing(ctx, id)
		if err != nil {
			v.Workflow.Problem = err.Error()
		}
		v.Jobs, v.Refused, v.PausedJobs = orNone(s.Jobs), s.Refused, pausedAlone(s)
		v.NoWorkflow = errors.Is(err, errNoWorkflow)
	}
	return a.print(v)
}

// standing asks how a merchant's jobs stand, for as long as a person would like to wait for it.
func (a *app) standing(ctx context.Context, id relay.MerchantID) (workflows.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, err := a.engine(ctx)
	if err != nil {
		return workflows.Standing{}, err
	}
	return e.Standing(ctx, id)
}

// view looks at a workflow for as long as a person would like to wait for it.
func (a *app) view(ctx context.Context, workflow string) workflowView {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e, err := a.engine(ctx)
	if err != nil {
		return workflowView{ID: workflow, Problem: err.Error()}
	}
	v, err := e.View(ctx, workflow)
	switch {
	case errors.Is(err, errNoWorkflow):
		return workflowView{ID: workflow, Problem: errNoWorkflow.Error(), missing: true}
	case err != nil:
		return workflowView{ID: workflow, Problem: err.Error()}
	}
	return v
}

type merchantDetail struct {
	merchantView
	Resend          relay.ResendClock  `json:"resend"`
	Unaliased       relay.UnaliasedSKU `json:"unaliased_skus"`
	Alerts          calledView         `json:"alerts"`
	SettingsVersion int64              `json:"settings_version"`
	MappingsVersion int64              `json:"aliases_version"`
	Workflow        workflowView       `json:"workflow"`
	// Jobs is how they stand, and Refused a signal that was not carried out: by the workflow.
	Jobs    []workflows.JobStanding `json:"jobs,omitempty"`
	Refused *workflows.Refusal      `json:"refused,omitempty"`
}

// calledView is when people are called, and how; not at which addresses, which
// may hold a token.
type calledView struct {
	After     []relay.Age `json:"after"`     // ages at which a trouble rises to a level
	Unshipped relay.Age   `json:"unshipped"` // for how long a warehouse may have an order
	Every     relay.Every `json:"every"`     // how often it is looked
	Emails    int         `json:"emails"`
	Webhook   string      `json:"webhook,omitempty"` // its host
}

func newCalledView(p relay.AlertPolicy) calledView {
	v := calledView{After: p.Ages(), Unshipped: relay.Age(p.MayStay()), Every: p.Interval(), Emails: len(p.Email)}
	if u, err := url.Parse(p.Webhook); err == nil { // onboarding let no other in
		v.Webhook = u.Host
	}
	return v
}

func (v calledView) words() string {
	var to, after []string
	if v.Emails > 0 {
		to = append(to, relay.Many(v.Emails, "e-mail recipient"))
	}
	if v.Webhook != "" {
		to = append(to, "a webhook at "+v.Webhook)
	}
	if len(to) == 0 {
		return "nobody: they are only listed (ferry alert list)"
	}
	for _, a := range v.After {
		after = append(after, a.Words())
	}
	return strings.Join(to, " and ") + ", after " + strings.Join(after, ", ")
}

func (v merchantDetail) text(p *page) {
	p.pairs(
		[2]string{"merchant", string(v.ID)},
		[2]string{"name", v.Name},
		[2]string{"state", v.state()},
		[2]string{"paused since", stampOf(v.PausedAt)},
		[2]string{"held orders resent", fmt.Sprintf("at %02d:00 %s", v.Resend.Hour, v.Resend.Zone)},
		[2]string{"alerts go to", v.Alerts.words()},
		[2]string{"unaliased SKUs", string(v.Unaliased)},
		[2]string{"settings version", strconv.FormatInt(v.SettingsVersion, 10)},
		[2]string{"mappings version", strconv.FormatInt(v.MappingsVersion, 10)},
	)
	for _, c := range v.Connections {
		c.text(p)
	}
	v.counts(p)
	p.gap()
	p.line("workflow %s %s", v.Workflow.ID, v.Workflow.Status)
	p.pairs([2]string{"  since", stampOf(v.Workflow.StartedAt)}, [2]string{"  problem", v.Workflow.Problem})
	if v.Refused != nil {
		p.line("  not carried out: %s", v.Refused)
	}
	var rows [][]string
	for _, j := range v.Jobs {
		rows = append(rows, []string{string(j.Connection), string(j.Job), j.Every.String(), j.When(), j.Words()})
	}
	p.section("jobs", []string{"CONNECTION", "JOB", "EVERY", "NEXT", "STATE"}, rows)
}

func (c connectionView) text(p *page) {
	p.gap()
	p.line("%s %s", c.Role, c.Name)
	rows := [][2]string{
		{"  connector", c.Connector},
		{"  mode", string(c.Mode)},
		{"  address", c.BaseURL},
		{"  stopped since", stampOf(c.StoppedAt)},
		{"  stopped because", c.StoppedReason},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		rows = append(rows, [2]string{"  settings." + name, c.Settings[name]})
	}
	if c.Rules != nil {
		rows = append(rows, rulesText(*c.Rules)...)
	}
	for _, j := range jobsOf(c.Role) {
		every := c.Schedule[j].String()
		if c.Schedule[j] == relay.Auto {
			every = "as soon as there is something"
		}
		rows = append(rows, [2]string{"  " + string(j), every})
	}
	p.pairs(rows...)
}

func (v merchantView) counts(p *page) {
	var states, holds [][]string
	for _, s := range relay.OrderStates() {
		if n := v.Counts.States[s]; n > 0 {
			states = append(states, []string{string(s), strconv.FormatInt(n, 10)})
		}
	}
	for _, r := range relay.HoldReasons() {
		if n := v.Counts.Holds[r]; n > 0 {
			holds = append(holds, []string{string(r), strconv.FormatInt(n, 10)})
		}
	}
	p.section("orders by state", []string{"STATE", "ORDERS"}, states)
	p.section("on hold by reason", []string{"REASON", "ORDERS"}, holds)
}

// jobsCommand is pause, resume or sync.
func (a *app) jobsCommand(verb, message, short, long, example string) *cobra.Command {
	var id relay.MerchantID
	var r workflows.JobRequest
	cmd := a.verb(cobra.Command{Use: verb, Short: short, Long: long, Example: example}, func(ctx context.Context, _ []string) error {
		return a.askJobs(ctx, verb, message, id, r)
	})
	merchantFlag(cmd, &id)
	cmd.Flags().Var(word(&r.Connection, relay.ParseConnectionName, "name"), "connection", "only jobs of this connection")
	cmd.Flags().Var(word(&r.Job, relay.ParseJob, "job"), "job", "only this job, such as pull_orders")
	actorFlag(cmd, &r.Actor)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) askJobs(ctx context.Context, verb, message string, id relay.MerchantID, r workflows.JobRequest) error {
	r.Actor = a.actor(r.Actor)
	_, m, err := a.merchant(ctx, id)
	if err != nil {
		return err
	}
	if r.Connection != "" {
		if _, err := connectionOf(m, r.Connection); err != nil {
			return err
		}
	}
	var answer workflows.JobAnswer
	if err := a.askMerchant(ctx, id, message, r, &answer); err != nil {
		return err
	}
	v := jobsView{Merchant: id, Asked: verb, Jobs: orNone(answer.Jobs), Waits: answer.Waits}
	return a.conclude(v, len(v.Waits) == 0)
}

// checked is a request that says itself whether it could be carried out.
type checked interface{ Check() error }

// askMerchant asks the workflow of a merchant that the ledger holds, and waits for its answer.
func (a *app) askMerchant(ctx context.Context, id relay.MerchantID, message string, request checked, answer any) error {
	if err := request.Check(); err != nil {
		return &usageError{err}
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	err = e.Ask(ctx, workflows.MerchantID(id), message, request, answer)
	if errors.Is(err, errNoWorkflow) {
		return fmt.Errorf("%w; ferry merchant onboard starts it", err)
	}
	return err
}

type jobsView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Asked    string           `json:"asked"` // "pause", "resume" or "sync"
	Jobs     []string         `json:"jobs"`  // "connection job"
	// Waits says of jobs that do not run all the same why, by job.
	Waits map[string]string `json:"waits,omitempty"`
}

func (v jobsView) text(p *page) {
	p.line("%s of merchant %s: %s", v.Asked, v.Merchant, relay.Many(len(v.Jobs), "job"))
	for _, j := range v.Jobs {
		if why := v.Waits[j]; why != "" {
			j += ": does not run, " + why
		}
		p.line("  %s", j)
	}
	if len(v.Waits) > 0 {
		p.line("ferry merchant resume --merchant %s lets what is paused or stopped run again", v.Merchant)
	}
}
