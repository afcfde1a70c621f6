package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

// reconcileLedger is what the ledger knows of how books compare.
type reconcileLedger interface {
	LastReconciliations(ctx context.Context, merchant relay.MerchantID) ([]store.Reconciliation, error)
	Findings(ctx context.Context, q store.FindingQuery) ([]store.Finding, error)
}

const reconcilePoll = 500 * time.Millisecond

func (a *app) reconcileCommand() *cobra.Command {
	var id relay.MerchantID
	var r workflows.JobRequest
	cmd := a.longVerb(cobra.Command{
		Use:   "reconcile",
		Short: "Compare the books of carts and warehouse with the ledger now",
		Long: `Compare the books of a merchant's carts and warehouse with the ledger now, wait for
the end, and print what differed. What can be repaired safely is repaired: orders that
were missed are taken in, cancels that were missed are carried out, stock that
drifted is set right, an order that is at the warehouse unbeknown to us is adopted,
and one that is there twice is cancelled. The rest is open until it is not found
again. The same is done once a day by itself.

It waits for 15 minutes, unless --timeout says otherwise. The comparison goes on
all the same; ferry merchant findings shows what came of it.`,
		Example: `  ferry merchant reconcile --merchant acme
  ferry merchant reconcile --merchant acme --connection main --timeout 1h`,
	}, aWhile, func(ctx context.Context, _ []string) error { return a.reconcile(ctx, id, r) })
	merchantFlag(cmd, &id)
	cmd.Flags().Var(word(&r.Connection, relay.ParseConnectionName, "name"), "connection", "only the books of this connection")
	actorFlag(cmd, &r.Actor)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) reconcile(ctx context.Context, id relay.MerchantID, r workflows.JobRequest) error {
	r.Job, r.Actor = relay.Reconcile, a.actor(r.Actor)
	l, m, err := a.merchant(ctx, id)
	if err != nil {
		return err
	}
	if !m.PausedAt.IsZero() {
		return fmt.Errorf("merchant %s is paused since %s, and nothing is compared until ferry merchant resume", id, stamp(m.PausedAt))
	}
	if r.Connection != "" {
		if _, err := connectionOf(m, r.Connection); err != nil {
			return err
		}
	}
	before, err := l.LastReconciliations(ctx, id)
	if err != nil {
		return err
	}
	if err := a.askToReconcile(ctx, id, r); err != nil {
		return err
	}
	v := reconcileView{Merchant: id}
	if err := v.wait(ctx, l, r.Connection, before); err != nil {
		return err
	}
	runs := make([]store.RunID, len(v.Runs))
	for i, run := range v.Runs {
		runs[i] = run.ID
	}
	if v.Findings, v.More, err = a.readFindings(ctx, l, store.FindingQuery{Merchant: id, Runs: runs, Closed: true, Limit: mostRows}); err != nil {
		return err
	}
	return a.conclude(v, len(v.Stopped) == 0)
}

// askToReconcile asks with less patience than there is for the comparison itself.
func (a *app) askToReconcile(ctx context.Context, id relay.MerchantID, r workflows.JobRequest) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var answer workflows.JobAnswer
	err := a.askMerchant(ctx, id, workflows.SyncNow, r, &answer)
	if err == nil {
		a.say("comparing the books; this may take minutes")
	}
	return err
}

// reconcileView is how books compared.
type reconcileView struct {
	Merchant relay.MerchantID       `json:"merchant"`
	Runs     []store.Reconciliation `json:"runs"`
	Stopped  []relay.ConnectionName `json:"stopped,omitempty"` // connections that refuse us, and can't be compared
	Findings []store.Finding        `json:"findings"`
	More     bool                   `json:"more"` // there are more than are listed
}

// wait waits until every connection has a run that ended since the runs before.
// One that was under way already is waited for instead of a new one.
func (v *reconcileView) wait(ctx context.Context, l ledger, only relay.ConnectionName, before []store.Reconciliation) error {
	last := make(map[relay.ConnectionName]store.Reconciliation, len(before))
	for _, r := range before {
		last[r.Connection] = r
	}
	tick := time.NewTicker(reconcilePoll)
	defer tick.Stop()
	for {
		m, err := l.Merchant(ctx, v.Merchant)
		if err != nil {
			return err
		}
		now, err := l.LastReconciliations(ctx, v.Merchant)
		if err != nil {
			return err
		}
		v.Runs, v.Stopped = []store.Reconciliation{}, nil
		var waiting []string
		for _, c := range m.Connections {
			i := slices.IndexFunc(now, func(r store.Reconciliation) bool { return r.Connection == c.Name })
			switch {
			case only != "" && only != c.Name:
			case i >= 0 && now[i].EndedAt != nil && (now[i].ID != last[c.Name].ID || last[c.Name].EndedAt == nil):
				v.Runs = append(v.Runs, inUTC(now[i]))
			case !c.StoppedAt.IsZero():
				v.Stopped = append(v.Stopped, c.Name)
			default:
				waiting = append(waiting, string(c.Name))
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is compared (ferry merchant show tells how its jobs are doing): %w", strings.Join(waiting, ", "), ctx.Err())
		}
	}
}

func inUTC(r store.Reconciliation) store.Reconciliation {
	r.BeganAt, r.EndedAt = r.BeganAt.UTC(), utcOf(r.EndedAt)
	return r
}

func (a *app) readFindings(ctx context.Context, l ledger, q store.FindingQuery) ([]store.Finding, bool, error) {
	list, more, err := limited(a, q.Limit, func(n int) ([]store.Finding, error) {
		q.Limit = n
		return l.Findings(ctx, q)
	})
	if err != nil {
		return nil, false, err
	}
	for i := range list {
		f := &list[i]
		f.FirstSeenAt, f.LastSeenAt, f.ClosedAt = f.FirstSeenAt.UTC(), f.LastSeenAt.UTC(), utcOf(f.ClosedAt)
	}
	return orNone(list), more, nil
}

func (v reconcileView) text(p *page) {
	for _, c := range v.Stopped {
		p.line("%s refuses the credentials and was not compared: ferry merchant show tells more", c)
	}
	runRows(p, v.Runs)
	if len(v.Findings) == 0 {
		p.line("nothing differs")
		return
	}
	findingRows(p, "what differed", v.Findings)
}

func runRows(p *page, runs []store.Reconciliation) {
	var rows [][]string
	for _, r := range runs {
		ended := "under way"
		if r.EndedAt != nil {
			ended = stampOf(r.EndedAt)
		}
		rows = append(rows, []string{string(r.Connection), stamp(r.BeganAt), ended, strconv.Itoa(r.Checked), strconv.Itoa(r.Found), strconv.Itoa(r.Repaired)})
	}
	p.table([]string{"CONNECTION", "BEGAN", "ENDED", "COMPARED", "DIFFERED", "REPAIRED"}, rows)
}

func findingRows(p *page, title string, list []store.Finding) {
	var rows [][]string
	for _, f := range list {
		state := "open"
		switch {
		case f.Repaired:
			state = "repaired"
		case f.ClosedAt != nil:
			state = "gone"
		}
		rows = append(rows, []string{string(f.Connection), string(f.Kind), f.Subject, string(f.Reference), state, stamp(f.FirstSeenAt), detailText(f.Detail)})
	}
	p.section(title, []string{"CONNECTION", "FINDING", "SUBJECT", "ORDER", "STATE", "SINCE", "DETAIL"}, rows)
}

// detailText writes a finding's detail as words: "was 3, is 5".
func detailText(detail json.RawMessage) string {
	var fields map[string]any
	if json.Unmarshal(detail, &fields) != nil {
		return ""
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] != "" {
			words = append(words, fmt.Sprint(strings.ReplaceAll(name, "_", " "), " ", fields[name]))
		}
	}
	return strings.Join(words, ", ")
}

func (a *app) findingsCommand() *cobra.Command {
	q := store.FindingQuery{}
	cmd := a.verb(cobra.Command{
		Use:   "findings",
		Short: "List what differs between the books of carts, warehouse and ledger",
		Long: `List the last comparison of each connection, and what it found that could not be
repaired and stands still. With --closed, also what was repaired or was not found
again.`,
		Example: `  ferry merchant findings --merchant acme
  ferry merchant findings --merchant acme --closed --limit 500`,
	}, func(ctx context.Context, _ []string) error { return a.findings(ctx, q) })
	merchantFlag(cmd, &q.Merchant)
	cmd.Flags().BoolVar(&q.Closed, "closed", false, "also what was repaired, or was not found again")
	limitFlag(cmd, &q.Limit)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) findings(ctx context.Context, q store.FindingQuery) error {
	l, _, err := a.merchant(ctx, q.Merchant)
	if err != nil {
		return err
	}
	v := findingsView{Merchant: q.Merchant, Runs: []store.Reconciliation{}}
	runs, err := l.LastReconciliations(ctx, q.Merchant)
	if err != nil {
		return err
	}
	for _, r := range runs {
		v.Runs = append(v.Runs, inUTC(r))
	}
	if v.Findings, v.More, err = a.readFindings(ctx, l, q); err != nil {
		return err
	}
	return a.print(v)
}

// findingsView is what differs, and when that was last looked at.
type findingsView struct {
	Merchant relay.MerchantID       `json:"merchant"`
	Runs     []store.Reconciliation `json:"runs"`
	Findings []store.Finding        `json:"findings"`
	More     bool                   `json:"more"` // there are more than asked for
}

func (v findingsView) text(p *page) {
	if len(v.Runs) == 0 {
		p.line("no books were compared yet: ferry merchant reconcile does it now")
		return
	}
	runRows(p, v.Runs)
	if len(v.Findings) == 0 {
		p.line("nothing differs")
		return
	}
	findingRows(p, "findings", v.Findings)
}
