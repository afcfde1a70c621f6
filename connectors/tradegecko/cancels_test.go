package tradegecko

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
)

func cancelFor(o simulator.OrderView) connectors.CancelPush {
	return connectors.CancelPush{Key: "c-" + strconv.FormatInt(o.ID, 10), Order: externalID(id(o.ID))}
}

func pushCancels(t *testing.T, c *connection, orders ...simulator.OrderView) ([]connectors.CancelPushOutcome, error) {
	t.Helper()
	var pushes []connectors.CancelPush
	for _, o := range orders {
		pushes = append(pushes, cancelFor(o))
	}
	out, err := (&voidingConnection{c}).PushCancels(t.Context(), pushes)
	require.Len(t, out, len(orders))
	return out, err
}

func statusOf(t *testing.T, sim *simulator.Simulator, number string) string {
	t.Helper()
	o, err := sim.Order(shopAccount, number)
	require.NoError(t, err)
	return o.Status
}

func TestACancelVoidsTheOrder(t *testing.T) {
	for name, b := range behaviours() {
		t.Run(name, func(t *testing.T) {
			sim, c := simulated(t, simulator.Config{Behaviour: b, RateLimit: -1}, nil)
			one, other := place(t, sim, "SO-1"), place(t, sim, "SO-2")
			out, err := pushCancels(t, c, one)
			require.NoError(t, err)
			require.Equal(t, []connectors.CancelPushOutcome{{Status: "void"}}, out)
			require.Equal(t, "void", statusOf(t, sim, "SO-1"))
			require.Equal(t, "finalized", statusOf(t, sim, "SO-2"), "%d is another order", other.ID)

			out, err = pushCancels(t, c, one)
			require.NoError(t, err)
			require.Equal(t, []connectors.CancelPushOutcome{{Status: "void", Found: true}}, out)
		})
	}
}

// What is cancelled there already, or gone, counts as told; what is being
// shipped there is left alone.
func TestACancelOfWhatTheCartHasDecided(t *testing.T) {
	for name, c := range map[string]struct {
		given func(t *testing.T, sim *simulator.Simulator, c *connection, o simulator.OrderView)
		want  connectors.CancelPushOutcome
		kind  relay.ErrorKind
		still string
	}{
		"void": {func(t *testing.T, sim *simulator.Simulator, _ *connection, _ simulator.OrderView) {
			require.NoError(t, sim.Void(shopAccount, "SO-1"))
		},
			connectors.CancelPushOutcome{Status: "void", Found: true}, "", "void"},
		"reverted, not deleted": {func(t *testing.T, sim *simulator.Simulator, _ *connection, _ simulator.OrderView) {
			require.NoError(t, sim.Revert(shopAccount, "SO-1"))
		},
			connectors.CancelPushOutcome{Status: "void"}, "", "void"},
		"packed": {func(t *testing.T, sim *simulator.Simulator, _ *connection, _ simulator.OrderView) {
			_, err := sim.PackPart(shopAccount, "SO-1", nil)
			require.NoError(t, err)
		}, connectors.CancelPushOutcome{}, relay.Conflict, "finalized"},
		"shipped in part": {func(t *testing.T, _ *simulator.Simulator, c *connection, o simulator.OrderView) {
			half := pushFor(o, "k")
			half.Lines = half.Lines[:1]
			require.NoError(t, pushOne(t, c, half).Err)
		}, connectors.CancelPushOutcome{}, relay.Conflict, "finalized"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, conn := simulated(t, simulator.Config{RateLimit: -1}, nil)
			o := place(t, sim, "SO-1")
			c.given(t, sim, conn, o)
			out, err := pushCancels(t, conn, o)
			require.NoError(t, err)
			if c.kind != "" {
				require.ErrorIs(t, out[0].Err, c.kind)
				require.Contains(t, out[0].Err.Error(), "packed or shipped")
			} else {
				require.Equal(t, c.want, out[0])
			}
			require.Equal(t, c.still, statusOf(t, sim, "SO-1"))
		})
	}
	t.Run("gone", func(t *testing.T) {
		sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
		out, err := pushCancels(t, c, simulator.OrderView{ID: 999_999}, place(t, sim, "SO-1"))
		require.NoError(t, err)
		require.Equal(t, []connectors.CancelPushOutcome{{Status: "gone", Found: true}, {Status: "void"}}, out)
	})
	t.Run("no number", func(t *testing.T) {
		_, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
		out, err := (&voidingConnection{c}).PushCancels(t.Context(), []connectors.CancelPush{{Key: "k", Order: "SO-1"}})
		require.NoError(t, err)
		require.ErrorIs(t, out[0].Err, relay.Invalid)
	})
}

// Whatever goes wrong, after enough tries the order is void, and no outcome said
// so before it was.
func TestCancelsUnderFaults(t *testing.T) {
	for _, kind := range []simulator.FaultKind{simulator.CommitThenTimeout, simulator.CommitThenDrop, simulator.CommitThen500, simulator.CommitThen502,
		simulator.CommitThen200, simulator.CommitThenDuplicate, simulator.Timeout, simulator.ResetBefore, simulator.Fail500, simulator.Fail503,
		simulator.HTML502, simulator.HTML200, simulator.Redirect, simulator.BrokenJSON, simulator.Empty2xx, simulator.DuplicateKey} {
		t.Run(string(kind), func(t *testing.T) {
			sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
			o := place(t, sim, "SO-1")
			require.NoError(t, sim.Inject(simulator.Fault{Kind: kind, Route: "order_actions", Count: 1}))
			told := false
			for range 3 {
				out, _ := pushCancels(t, c, o)
				if told = out[0].Err == nil; told {
					break
				}
				require.Equal(t, relay.Unknown, relay.KindOf(out[0].Err))
				require.Equal(t, "finalized", statusOf(t, sim, "SO-1"), "a void that happened is seen in the same try")
			}
			require.True(t, told)
			require.Equal(t, "void", statusOf(t, sim, "SO-1"))
		})
	}
}

// A void whose effect can't be looked at stays unknown: it is not called done.
func TestACancelThatCannotBeReadBackIsUnknown(t *testing.T) {
	sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
	o := place(t, sim, "SO-1")
	require.NoError(t, sim.Inject(simulator.Fault{Kind: simulator.Fail503, Route: "order_member", Count: 3}))
	out, err := pushCancels(t, c, o)
	require.NoError(t, err)
	require.ErrorIs(t, out[0].Err, relay.Unknown)
	out, err = pushCancels(t, c, o)
	require.NoError(t, err)
	require.Equal(t, connectors.CancelPushOutcome{Status: "void", Found: true}, out[0])
}

func TestAFailureOfAllStopsTheCancels(t *testing.T) {
	for name, c := range map[string]struct {
		fault simulator.Fault
		kind  relay.ErrorKind
	}{
		"throttled":          {simulator.Fault{Kind: simulator.Throttle, Route: "order_actions", Count: 1, Delay: time.Hour}, relay.Throttled},
		"unauthorised":       {simulator.Fault{Kind: simulator.Unauthorised, Route: "order_actions", Count: 2}, relay.Unauthorised},
		"books unreadable":   {simulator.Fault{Kind: simulator.Fail500, Route: "orders_index"}, relay.Unavailable},
		"token not let in":   {simulator.Fault{Kind: simulator.Unauthorised, Route: "*"}, relay.Unauthorised},
		"parcels unreadable": {simulator.Fault{Kind: simulator.HTML502, Route: "fulfillments_index"}, relay.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			sim, conn := simulated(t, simulator.Config{RateLimit: -1}, nil)
			one, two := place(t, sim, "SO-1"), place(t, sim, "SO-2")
			require.NoError(t, sim.Inject(c.fault))
			out, err := pushCancels(t, conn, one, two)
			require.ErrorIs(t, err, c.kind)
			require.Error(t, out[0].Err)
			require.ErrorIs(t, out[1].Err, relay.Unavailable, "not tried")
			require.Equal(t, "finalized", statusOf(t, sim, "SO-1"))
			require.Equal(t, "finalized", statusOf(t, sim, "SO-2"))
		})
	}
}

// The ability is there only where the merchant wants it.
func TestCancelsAreKeptOrVoided(t *testing.T) {
	for setting, takes := range map[string]bool{"": true, "void": true, "keep": false} {
		settings := connectors.Values{}
		if setting != "" {
			settings["cancels"] = setting
		}
		full, base, faults := Connectors()[0].Configure("", settings, nil)
		require.Empty(t, faults)
		conn, err := Connectors()[0].Open(connectors.Config{BaseURL: base, Settings: full, Vault: &connectors.StaticVault{}})
		require.NoError(t, err)
		_, ok := conn.(connectors.CancelSink)
		require.Equal(t, takes, ok, setting)
		_, ok = conn.(connectors.ShipmentSink)
		require.True(t, ok)
	}
	_, _, faults := Connectors()[0].Configure("", connectors.Values{"cancels": "perhaps"}, nil)
	require.NotEmpty(t, faults)
}
