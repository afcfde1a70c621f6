package relay_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

// allMoves writes every move down a second time: a new one is a decision, not a slip.
var allMoves = map[relay.OrderState]string{
	relay.OrderNew:              "[skipped held submitting in_doubt sending_cancelled]",
	relay.OrderSkipped:          "[new held in_doubt sending_cancelled]",
	relay.OrderHeld:             "[new skipped held submitting in_doubt at_warehouse cancel_requested sending_cancelled]",
	relay.OrderSubmitting:       "[new held in_doubt at_warehouse cancel_requested sending_cancelled]",
	relay.OrderInDoubt:          "[held submitting at_warehouse cancel_requested sending_cancelled]",
	relay.OrderAtWarehouse:      "[shipped cancel_requested cancelled]",
	relay.OrderShipped:          "[confirmed]",
	relay.OrderConfirmed:        "[shipped]",
	relay.OrderCancelRequested:  "[at_warehouse shipped cancelled]",
	relay.OrderSendingCancelled: "[]",
	relay.OrderCancelled:        "[shipped]",
}

// allReported are the moves that a warehouse's word alone makes, beside those above.
var allReported = map[relay.OrderState]string{
	relay.OrderNew:              "[at_warehouse shipped]",
	relay.OrderSkipped:          "[at_warehouse shipped]",
	relay.OrderHeld:             "[shipped cancelled]",
	relay.OrderSubmitting:       "[shipped]",
	relay.OrderInDoubt:          "[shipped]",
	relay.OrderAtWarehouse:      "[held]",
	relay.OrderSendingCancelled: "[shipped cancel_requested]",
	relay.OrderCancelled:        "[cancel_requested]",
}

func TestReportedMoves(t *testing.T) {
	for _, from := range relay.OrderStates() {
		var to []relay.OrderState
		for _, s := range relay.OrderStates() {
			if from.MayBecome(s) {
				require.True(t, from.MayBeReported(s), "%s -> %s", from, s)
			} else if from.MayBeReported(s) {
				to = append(to, s)
			}
		}
		want := allReported[from]
		if want == "" {
			want = "[]"
		}
		require.Equal(t, want, text(to), "from %s", from)
	}
	require.False(t, relay.OrderState("lost").MayBeReported(relay.OrderHeld))
}

// Promise 1: one word of a warehouse leads back to sending, that it does not take
// what it had received; and of what has shipped there is no such word.
func TestOnlyARefusalLeadsBack(t *testing.T) {
	sending := []relay.OrderState{relay.OrderNew, relay.OrderHeld, relay.OrderSubmitting, relay.OrderInDoubt, relay.OrderSkipped}
	for _, from := range []relay.OrderState{
		relay.OrderAtWarehouse, relay.OrderCancelRequested, relay.OrderShipped, relay.OrderConfirmed, relay.OrderCancelled, relay.OrderSendingCancelled,
	} {
		for _, to := range sending {
			require.Equal(t, from == relay.OrderAtWarehouse && to == relay.OrderHeld, from.MayBeReported(to), "%s -> %s", from, to)
		}
	}
}

func TestMoves(t *testing.T) {
	require.Len(t, allMoves, len(relay.OrderStates()))
	for _, from := range relay.OrderStates() {
		var to []relay.OrderState
		for _, s := range relay.OrderStates() {
			o := relay.Order{State: from}
			err := o.Move(s)
			if from.MayBecome(s) {
				require.NoError(t, err)
				require.Equal(t, s, o.State)
				to = append(to, s)
				continue
			}
			var refused *relay.MoveError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, relay.MoveError{From: from, To: s}, *refused)
			require.Equal(t, from, o.State, "a refused move changes nothing")
		}
		require.Equal(t, allMoves[from], text(to), "from %s", from)
	}
}

func TestMovesInto(t *testing.T) {
	for _, to := range relay.OrderStates() {
		into := relay.MovesInto(to)
		for _, from := range relay.OrderStates() {
			require.Equal(t, from.MayBecome(to), slices.Contains(into, from), "%s -> %s", from, to)
		}
	}
	require.Equal(t, "[held submitting in_doubt cancel_requested]", text(relay.MovesInto(relay.OrderAtWarehouse)))
	require.Empty(t, relay.MovesInto("lost"))
}

// reachable lists the states that an order may come to from one.
func reachable(from relay.OrderState) map[relay.OrderState]bool {
	seen := map[relay.OrderState]bool{}
	var walk func(relay.OrderState)
	walk = func(s relay.OrderState) {
		for _, to := range relay.OrderStates() {
			if s.MayBecome(to) && !seen[to] {
				seen[to] = true
				walk(to)
			}
		}
	}
	walk(from)
	return seen
}

// Promise 1: once a warehouse has an order, no way leads back to sending it.
func TestNoWayBackFromAWarehouse(t *testing.T) {
	for _, from := range []relay.OrderState{
		relay.OrderAtWarehouse, relay.OrderCancelRequested, relay.OrderShipped, relay.OrderConfirmed, relay.OrderCancelled,
		relay.OrderSendingCancelled,
	} {
		for _, to := range []relay.OrderState{relay.OrderNew, relay.OrderHeld, relay.OrderSubmitting, relay.OrderInDoubt, relay.OrderSkipped} {
			require.False(t, reachable(from)[to], "%s ... %s", from, to)
		}
	}
}

// The one way back is a person's, from a cancel, and no move.
func TestReopen(t *testing.T) {
	for _, from := range relay.OrderStates() {
		require.Equal(t, from == relay.OrderCancelled || from == relay.OrderSendingCancelled, from.MayReopen(), from)
		require.False(t, from.MayReopen() && from.MayBecome(relay.OrderNew), from)
	}
}

// Promise 3: from everywhere that is not an end, an end can be reached.
func TestEveryWayEnds(t *testing.T) {
	for _, s := range relay.OrderStates() {
		if s.Ended() {
			continue
		}
		ends := slices.ContainsFunc(relay.OrderStates(), func(to relay.OrderState) bool { return to.Ended() && reachable(s)[to] })
		require.True(t, ends, s)
	}
}

func TestUnknownStatesDoNotMove(t *testing.T) {
	for _, s := range append(relay.OrderStates(), "lost") {
		require.False(t, relay.OrderState("lost").MayBecome(s))
		require.False(t, s.MayBecome("lost"))
	}
	require.False(t, relay.OrderState("lost").Ended())
}

func TestMoveErrorSaysBothStates(t *testing.T) {
	require.EqualError(t, &relay.MoveError{From: relay.OrderShipped, To: relay.OrderNew}, "an order that is shipped can't become new")
}

// FuzzMoves: whatever is asked for in whatever order, an order is always in a
// state that there is, and one that a warehouse had is never sent again.
func FuzzMoves(f *testing.F) {
	f.Add([]byte{3, 5, 6, 7})
	f.Add([]byte{2, 2, 3, 4, 8, 10, 6, 7, 6, 0, 3})
	f.Fuzz(func(t *testing.T, wishes []byte) {
		states := append(relay.OrderStates(), "lost")
		o := relay.Order{State: relay.OrderNew}
		had := false
		for _, w := range wishes {
			before, to := o.State, states[int(w)%len(states)]
			err := o.Move(to)
			require.Equal(t, before.MayBecome(to), err == nil)
			if err != nil {
				require.Equal(t, before, o.State)
			}
			_, err = relay.ParseOrderState(string(o.State))
			require.NoError(t, err)
			had = had || o.State == relay.OrderAtWarehouse
			if had {
				require.NotContains(t, []relay.OrderState{relay.OrderNew, relay.OrderHeld, relay.OrderSubmitting, relay.OrderInDoubt}, o.State)
			}
		}
	})
}
