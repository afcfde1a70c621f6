package simkit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors/simkit"
)

// rolls says which of n requests the only fault befalls.
func rolls(t *testing.T, seed int64, n int, odds simkit.Odds) []int {
	f := simkit.NewFaults[string](seed)
	require.NoError(t, f.Inject("x", odds))
	var hit []int
	for i := range n {
		if _, found := f.Pick(func(string) bool { return true }); found {
			hit = append(hit, i)
		}
	}
	return hit
}

func TestOdds(t *testing.T) {
	for name, c := range map[string]struct {
		odds simkit.Odds
		want []int
	}{
		"always":         {simkit.Odds{}, []int{0, 1, 2, 3, 4}},
		"once":           {simkit.Odds{}.OrOnce(), []int{0}},
		"twice":          {simkit.Odds{Count: 2}.OrOnce(), []int{0, 1}},
		"the third":      {simkit.Odds{Skip: 2, Count: 1}, []int{2}},
		"from the third": {simkit.Odds{Skip: 2, Rate: 1}.OrOnce(), []int{2, 3, 4}},
	} {
		require.Equal(t, c.want, rolls(t, 7, 5, c.odds), name)
	}
	half := rolls(t, 7, 100, simkit.Odds{Rate: 0.5})
	require.InDelta(t, 50, len(half), 20)
	require.Equal(t, half, rolls(t, 7, 100, simkit.Odds{Rate: 0.5}), "the dice are seeded")
	require.NotEqual(t, half, rolls(t, 8, 100, simkit.Odds{Rate: 0.5}))
	for _, bad := range []simkit.Odds{{Skip: -1}, {Count: -1}, {Rate: -0.1}, {Rate: 1.1}} {
		require.ErrorContains(t, simkit.NewFaults[string](7).Inject("x", bad), "at least 0", "%+v", bad)
	}
}

func TestTheFirstFaultThatIsMeantHits(t *testing.T) {
	f := simkit.NewFaults[string](7)
	for _, name := range []string{"other", "first", "second"} {
		require.NoError(t, f.Inject(name, simkit.Odds{Count: 1, Skip: len(name) - len("other")}))
	}
	pick := func() string {
		got, _ := f.Pick(func(name string) bool { return name != "other" })
		return got
	}
	require.Equal(t, []string{"first", "", "second", ""}, []string{pick(), pick(), pick(), pick()})
	left := map[string]simkit.Odds{}
	for name, odds := range f.All {
		left[name] = odds
	}
	require.Equal(t, map[string]simkit.Odds{"other": {Count: 1}}, left)
	f.Clear()
	_, found := f.Pick(func(string) bool { return true })
	require.False(t, found)
}

func TestFaultDelay(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{0: 30 * time.Second, time.Second: time.Second, time.Hour: 10 * time.Minute} {
		require.Equal(t, want, simkit.FaultDelay(asked))
	}
}
