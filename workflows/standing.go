package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
)

// Standing is how a merchant's jobs stand: the answer to the query Jobs.
type Standing struct {
	Paused  bool          `json:"paused,omitempty"` // the whole merchant
	Jobs    []JobStanding `json:"jobs"`
	Refused *Refusal      `json:"refused,omitempty"`
}

// Refusal is a signal that was not carried out.
type Refusal struct {
	Signal string    `json:"signal"`
	At     time.Time `json:"at"`
	Why    string    `json:"why"`
}

func (r Refusal) String() string {
	return fmt.Sprintf("signal %s of %s: %s", r.Signal, r.At.UTC().Format(time.RFC3339), r.Why)
}

// JobStanding is how one job of one connection stands.
type JobStanding struct {
	Connection relay.ConnectionName `json:"connection"`
	Job        relay.Job            `json:"job"`
	Every      relay.Every          `json:"every"`
	Next       time.Time            `json:"next,omitzero"`    // zero: when there is something to do, or not while it waits
	Paused     bool                 `json:"paused,omitempty"` // by a person, this job alone
	Waits      string               `json:"waits,omitempty"`  // why it does not run, however due it is
	State      string               `json:"state,omitempty"`  // what the last run did, or since when and why it fails
}

func (m *merchant) standing() (Standing, error) {
	out := Standing{Paused: m.state.Paused, Jobs: []JobStanding{}, Refused: m.state.Refused}
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			s := m.state.Jobs[jobKey(l.Connection, j)]
			job := JobStanding{Connection: l.Connection, Job: j, Every: l.Every[j], Paused: s.Paused, Waits: m.waits(l, j), State: s.Last}
			if n, failing := s.failing(); failing {
				job.State = fmt.Sprintf("fails since %s, %s: %s", s.Since.UTC().Format(time.RFC3339), relay.Many(n, "time"), oneLine(s.Why))
			}
			if job.Waits == "" && job.Every != relay.Auto {
				job.Next = s.Due.UTC()
			}
			out.Jobs = append(out.Jobs, job)
		}
	}
	return out, nil
}

// waits says why a job does not run, however due it is; "" for one that does.
func (m *merchant) waits(l activities.Lane, j relay.Job) string {
	s := m.state.Jobs[jobKey(l.Connection, j)]
	switch {
	case m.state.Paused:
		return "the merchant is paused"
	case l.Stopped != "" && !m.reload: // a plan that is to be read anew may say otherwise
		return fmt.Sprintf("connection %s is stopped: %s", l.Connection, oneLine(l.Stopped))
	case s != nil && s.Paused:
		return string(j) + " is paused"
	}
	return ""
}

// waiting says of each of these jobs that does not run why; nil when all do.
func (m *merchant) waiting(jobs []string) map[string]string {
	var out map[string]string
	for _, l := range m.state.Plan.Lanes {
		for _, j := range m.jobsOf(l) {
			key := jobKey(l.Connection, j)
			why := m.waits(l, j)
			if why == "" || !slices.Contains(jobs, key) {
				continue
			}
			if out == nil {
				out = make(map[string]string)
			}
			out[key] = why
		}
	}
	return out
}

// show tells in the Temporal Web UI what the merchant is doing.
func (m *merchant) show(ctx workflow.Context) {
	now, _ := m.standing() // it has no error to give
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**", m.state.Plan.Name)
	if now.Paused {
		b.WriteString(" is paused: `ferry merchant resume` lets it run")
	}
	if now.Refused != nil {
		fmt.Fprintf(&b, "\n\nNot carried out: %s", now.Refused)
	}
	b.WriteString("\n\n| connection | job | every | next | state |\n|---|---|---|---|---|\n")
	for _, j := range now.Jobs {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", j.Connection, j.Job, j.Every, j.When(), strings.ReplaceAll(j.Words(), "|", "\\|"))
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

// When says when the job runs next.
func (j JobStanding) When() string {
	switch {
	case j.Waits != "":
		return "not before it is resumed"
	case j.Every == relay.Auto:
		return "as soon as there is something"
	}
	return j.Next.UTC().Format(time.RFC3339)
}

// Words says how the job stands: why it does not run, else what the last run did.
func (j JobStanding) Words() string {
	if j.Waits != "" {
		return j.Waits
	}
	return j.State
}

// oneLine keeps an error of several lines from breaking a table's row.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }
