package faults

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/standalone/proctest"
)

// TestMain makes the test binary a worker when the harness runs it as one.
func TestMain(m *testing.M) {
	if told := os.Getenv(ordersVariable); told != "" {
		if err := work(context.Background(), told, os.NewFile(reportFile, "report")); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// seedVariable repeats a run of TestFaults.
const seedVariable = "ORDERFERRY_FAULTS_SEED"

func seed(t *testing.T) uint64 {
	if s := os.Getenv(seedVariable); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, seedVariable)
		return n
	}
	return rand.Uint64N(1e9) + 1
}

// The short form of "standalone faults": nothing is lost, nothing is sent twice
// and nothing is silent, whatever breaks.
func TestFaults(t *testing.T) {
	tally, err := Run(t.Context(), Config{
		Orders: 360, Kills: 38, Merchants: 18, Workers: 4, Restarts: 1, Cuts: 1, Temporals: 1, VendorEach: 1, Life: 1500 * time.Millisecond,
		Seed: seed(t), Dir: proctest.DataDir(t), Pace: pace, Patience: time.Minute, Out: t.Output(),
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
		Command: func() *exec.Cmd {
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.Command(self)
			cmd.Env = os.Environ()
			return cmd
		},
	})
	require.NoError(t, err)
	// All of it happened.
	require.Equal(t, 360, tally.Orders)
	require.GreaterOrEqual(t, tally.AtPoints+tally.AtRandom, 38)
	require.Greater(t, tally.Hit, 10)
	for _, c := range tally.Outages {
		require.NotZero(t, c.N, c.Name)
	}
	done := make(map[string]int64)
	for _, c := range tally.Deeds {
		done[c.Name] = c.N
	}
	for _, what := range []string{ordersHeld, ordersReopened, ordersVoided, ordersReaddressed, ordersRecounted, booksCompared, messagesSent} {
		require.NotZero(t, done[what], what)
	}
	// A fault befalls a request that is made, and in a short run not all are: how
	// many kinds befell depends on how busy the machine is, but none is spared.
	kinds := make(map[string]int)
	for _, c := range tally.VendorFaults {
		vendor, _, _ := strings.Cut(c.Name, " ")
		kinds[vendor] += int(min(c.N, 1))
	}
	require.NotEmpty(t, kinds)
	for vendor, n := range kinds {
		require.Positive(t, n, "faults of %s", vendor)
	}
}
