package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/workflows"
)

// standing asks how the merchant's jobs stand.
func (s *stage) standing() workflows.Standing {
	s.t.Helper()
	v, err := s.QueryWorkflow("jobs")
	require.NoError(s.t, err)
	var out workflows.Standing
	require.NoError(s.t, v.Get(&out))
	return out
}

// job picks one job of one connection.
func job(t *testing.T, s workflows.Standing, c relay.ConnectionName, j relay.Job) workflows.JobStanding {
	t.Helper()
	for _, job := range s.Jobs {
		if job.Connection == c && job.Job == j {
			return job
		}
	}
	require.Fail(t, "no such job", "%s of %s", j, c)
	return workflows.JobStanding{}
}

func TestHowJobsStand(t *testing.T) {
	s := newStage(t)
	on(s, "LoadPlan", func(activities.MerchantInput) (activities.Plan, error) {
		p := plan()
		p.Lanes[0].Stopped = "outlet: unauthorised: 401"
		return p, nil
	})
	on(s, "PullShipments", func(activities.PullShipmentsInput) (activities.PullShipmentsResult, error) {
		return activities.PullShipmentsResult{}, temporal.NewNonRetryableApplicationError("the first fault\nand a second | one", "Unavailable", nil)
	})
	var now workflows.Standing
	var details string
	s.at(time.Hour, func() { s.ask("pause", workflows.JobRequest{Connection: "shop", Job: relay.PullOrders}) })
	s.at(2*time.Hour, func() { now, details = s.standing(), s.details() })
	s.runMerchant(3 * time.Hour)

	require.False(t, now.Paused)
	require.Len(t, now.Jobs, 12)
	paused := job(t, now, "shop", relay.PullOrders)
	require.True(t, paused.Paused)
	require.Equal(t, "pull_orders is paused", paused.Words())
	require.Zero(t, paused.Next, "a time that passes means nothing")
	require.Equal(t, "connection outlet is stopped: outlet: unauthorised: 401", job(t, now, "outlet", relay.PushShipments).Waits)
	require.Equal(t, "as soon as there is something", job(t, now, "shop", relay.PushShipments).When())
	require.Regexp(t, "^fails since .* times: the first fault; and a second [|] one$", job(t, now, "east", relay.PullShipments).State)
	require.Contains(t, details, `the first fault; and a second \| one |`, "a row stays a row")
	require.Contains(t, details, "| shop | pull_orders | 5m | not before it is resumed | pull_orders is paused |")
}

// Who asks for what can't come about is told so.
func TestAnswersSayWhatStandsStill(t *testing.T) {
	s := newStage(t)
	on(s, "ReleaseOrders", inTurn[activities.ReleaseInput](activities.ReleaseOutcome{Released: 2}))
	var goes, job, synced, whole, resumed, released *reply
	s.at(time.Hour, func() { goes = s.ask("release-orders", workflows.ReleaseRequest{All: true}) })
	s.at(2*time.Hour, func() { s.ask("pause", workflows.JobRequest{Connection: "east", Job: relay.SubmitOrders}) })
	s.at(2*time.Hour+time.Minute, func() {
		job = s.ask("release-orders", workflows.ReleaseRequest{All: true})
		synced = s.ask("sync-now", workflows.JobRequest{Connection: "east"})
	})
	s.at(3*time.Hour, func() { s.ask("pause", workflows.JobRequest{}) })
	s.at(3*time.Hour+time.Minute, func() {
		whole = s.ask("sync-now", workflows.JobRequest{Job: relay.PullInventory})
		resumed = s.ask("resume", workflows.JobRequest{Job: relay.SubmitOrders})
		released = s.ask("release-orders", workflows.ReleaseRequest{All: true})
	})
	s.runMerchant(4 * time.Hour)

	require.Equal(t, workflows.ReleaseAnswer{Released: 2}, goes.answer)
	require.Equal(t, workflows.ReleaseAnswer{Released: 2, Waits: "submit_orders is paused"}, job.answer)
	require.Equal(t, workflows.JobAnswer{
		Jobs:  []string{"east pull_shipments", "east submit_orders", "east pull_inventory"},
		Waits: map[string]string{"east submit_orders": "submit_orders is paused"},
	}, synced.answer)
	require.Equal(t, map[string]string{"east pull_inventory": "the merchant is paused"}, whole.answer.(workflows.JobAnswer).Waits)
	require.Equal(t, map[string]string{"east submit_orders": "the merchant is paused"}, resumed.answer.(workflows.JobAnswer).Waits)
	require.Equal(t, workflows.ReleaseAnswer{Released: 2, Waits: "the merchant is paused"}, released.answer)
}

// A misspelt field would leave a request that means more than was meant.
func TestMisspeltRequestsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		request any
		says    string
	}{
		{"pause", map[string]string{"conection": "east"}, `signal pause of 2026-03-02T12:08:00Z: unknown field "conection"; the fields are connection, job, actor`},
		{"pause", map[string]string{"job": "submit_order"}, `signal pause of 2026-03-02T12:08:00Z: job: job "submit_order": want`},
		{"pause", map[string]string{"connection": "west"}, `has no job "" on connection "west"`},
		{"pause", []byte("not JSON"), "signal pause of 2026-03-02T12:08:00Z: "},
		{"cancel-held", map[string]any{"all": true, "reson": "x"}, `unknown field "reson"; the fields are reason, references, sku, all, actor, why`},
		{"release-orders", map[string]any{"all": "yes"}, "the fields are reason, references, sku, all, actor"},
	} {
		t.Run(c.says, func(t *testing.T) {
			s := newStage(t)
			var asked *reply
			var now workflows.Standing
			var details string
			s.at(8*time.Minute, func() { s.SignalWorkflow(c.name, c.request) })
			s.at(8*time.Minute+30*time.Second, func() { now, details = s.standing(), s.details() })
			s.at(9*time.Minute, func() { asked = s.ask(c.name, c.request) })
			s.runMerchant(time.Hour)
			require.Contains(t, now.Refused.String(), c.says)
			require.Contains(t, details, "Not carried out: "+now.Refused.String())
			require.Error(t, errors.Join(asked.rejected, asked.err))
			require.Empty(t, s.named("SetPaused"))
			require.NotContains(t, s.details(), "is paused")
		})
	}
}

// What was refused is shown until it comes well.
func TestARefusalIsShownUntilTheSignalComesAgain(t *testing.T) {
	s := newStage(t)
	var other, again workflows.Standing
	s.at(8*time.Minute, func() { s.SignalWorkflow("sync-now", map[string]string{"jb": "pull_orders"}) })
	s.at(9*time.Minute, func() { s.SignalWorkflow("settings-changed", nil) })
	s.at(10*time.Minute, func() { other = s.standing() })
	s.at(11*time.Minute, func() { s.SignalWorkflow("sync-now", map[string]string{"job": "pull_orders"}) })
	s.at(12*time.Minute, func() { again = s.standing() })
	s.runMerchant(time.Hour)
	require.Equal(t, "sync-now", other.Refused.Signal)
	require.Nil(t, again.Refused)
}

// A run that began before misspelt requests were refused does what it did: its history says so.
func TestARunOfTheOldFormTakesWhatIsMisspelt(t *testing.T) {
	s := newStage(t)
	s.OnGetVersion("strict", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	s.at(8*time.Minute, func() { s.SignalWorkflow("pause", map[string]string{"conection": "east"}) })
	s.runMerchant(time.Hour)
	require.Len(t, s.named("SetPaused"), 1)
}
