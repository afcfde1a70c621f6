package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a worker's end is counted as. "+x" is something under way; the file descriptor is its report.
func TestHowLivesEndIsCounted(t *testing.T) {
	type counts struct{ atPoint, atRandom, idle, stopped, away, crashed int }
	for name, c := range map[string]struct {
		script string
		end    end
		want   counts
	}{
		"killed in mid work":          {"echo +x >&3; exec sleep 60", end{}, counts{atRandom: 1}},
		"killed at a point":           {"echo '!x' >&3; kill -KILL $$", end{after: forever}, counts{atPoint: 1}},
		"stopped in mid work":         {"trap 'exit 0' TERM; echo +x >&3; while :; do sleep .02; done", end{asked: true}, counts{stopped: 1}},
		"stopped, with an error":      {"trap 'exit 1' TERM; echo +x >&3; while :; do sleep .02; done", end{asked: true}, counts{crashed: 1}},
		"without what it stands on":   {"echo '=" + withoutServers + "' >&3; exit 1", end{after: forever}, counts{away: 1}},
		"with another error":          {"echo '=no key' >&3; exit 1", end{after: forever}, counts{crashed: 1}},
		"though nobody asked it to":   {"exit 0", end{after: forever}, counts{crashed: 1}},
		"in a panic, as its log says": {"exit 2", end{after: forever}, counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			crew := newCrew(plan{})
			crew.peace = false
			crew.command = func() *exec.Cmd { return exec.Command("sh", "-c", c.script) }
			crew.orders = func() orders { return orders{} }
			l := &life{crew: crew, end: c.end, busy: make(chan struct{}, 1), doom: make(chan struct{})}
			require.NoError(t, l.run(t.Context()))
			crew.bury(l)
			require.Equal(t, c.want, counts{crew.atPoint, crew.atRandom, crew.idle, crew.stopped, crew.away, len(crew.crashed)}, "%v", crew.crashed)
		})
	}
}

func TestCrashesAreFoundInTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "workers.log")
	require.NoError(t, os.WriteFile(log, []byte(`time=2026-03-01T06:00:00Z level=ERROR msg="Activity panic." WorkflowID=merchant/m01 PanicError="index out of range"
time=2026-03-01T06:00:00Z level=ERROR msg="Workflow panic" Error="[TMPRL1100] nondeterministic workflow"
time=2026-03-01T06:00:00Z level=ERROR msg="Workflow panic" Error="[TMPRL1101] Potential deadlock detected: workflow goroutine \"root\" didn't yield for over 1s"
time=2026-03-01T06:00:00Z level=WARN msg="a panic button was pressed"
panic: assignment to entry in nil map
fatal error: all goroutines are asleep - deadlock!
`), 0o600))
	found, err := crashes(log)
	require.NoError(t, err)
	require.Len(t, found, 4)
}
