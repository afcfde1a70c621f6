package relay

import (
	"fmt"
	"slices"
)

// OrderState is where an order is on its way. The good way is new -> submitting
// -> at_warehouse -> shipped -> confirmed.
type OrderState string

// The states. In comments, what CartRover calls the same.
const (
	OrderNew              OrderState = "new"               // taken in, ready to be sent
	OrderSkipped          OrderState = "skipped"           // a filter left it out
	OrderHeld             OrderState = "held"              // waits, with a reason (error, on hold)
	OrderSubmitting       OrderState = "submitting"        // a submission is open
	OrderInDoubt          OrderState = "in_doubt"          // a submission's outcome is not known
	OrderAtWarehouse      OrderState = "at_warehouse"      // accepted (at_wms)
	OrderShipped          OrderState = "shipped"           // some or all packages left
	OrderConfirmed        OrderState = "confirmed"         // the cart has all tracking: the good end
	OrderCancelRequested  OrderState = "cancel_requested"  // the warehouse was or will be asked to cancel
	OrderSendingCancelled OrderState = "sending_cancelled" // cancelled before it was sent (Cancelled Sending To WMS)
	OrderCancelled        OrderState = "cancelled"         // cancelled at the warehouse (canceled)
)

// moves lists, for each state, the states an order may go to from there. What
// is not listed is refused, here and by the ledger.
var moves = map[OrderState][]OrderState{
	// In doubt: what we thought was never sent was seen at the warehouse. Held, of
	// a skipped one: the warehouse shows an order that may be it.
	OrderNew:        {OrderSubmitting, OrderInDoubt, OrderHeld, OrderSkipped, OrderSendingCancelled},
	OrderSkipped:    {OrderNew, OrderInDoubt, OrderHeld, OrderSendingCancelled},
	OrderHeld:       {OrderNew, OrderSubmitting, OrderInDoubt, OrderSkipped, OrderSendingCancelled, OrderAtWarehouse, OrderCancelRequested, OrderHeld},
	OrderSubmitting: {OrderAtWarehouse, OrderHeld, OrderInDoubt, OrderNew, OrderSendingCancelled, OrderCancelRequested},
	OrderInDoubt:    {OrderSubmitting, OrderAtWarehouse, OrderHeld, OrderSendingCancelled, OrderCancelRequested},
	// A warehouse may cancel by itself, and may ship what it was asked to cancel.
	OrderAtWarehouse:     {OrderShipped, OrderCancelRequested, OrderCancelled},
	OrderCancelRequested: {OrderCancelled, OrderAtWarehouse, OrderShipped},
	OrderShipped:         {OrderConfirmed},
	// One more package may turn up after we thought that the cart knew all.
	OrderConfirmed: {OrderShipped},
	// A parcel that left despite a cancel is told to the cart all the same.
	OrderCancelled:        {OrderShipped},
	OrderSendingCancelled: {},
}

// OrderStates lists every state.
func OrderStates() []OrderState {
	return []OrderState{
		OrderNew, OrderSkipped, OrderHeld, OrderSubmitting, OrderInDoubt, OrderAtWarehouse, OrderShipped,
		OrderConfirmed, OrderCancelRequested, OrderSendingCancelled, OrderCancelled,
	}
}

// ParseOrderState refuses a word that is no state and says which are.
func ParseOrderState(s string) (OrderState, error) {
	if _, ok := moves[OrderState(s)]; !ok {
		return "", fmt.Errorf("state %q: want one of %s", clip(s, 40), inWords(OrderStates()))
	}
	return OrderState(s), nil
}

// MayBecome reports whether an order in state s may move to state to.
func (s OrderState) MayBecome(to OrderState) bool { return slices.Contains(moves[s], to) }

// MovesInto lists the states from which an order may move to state to, in the
// order of OrderStates. The ledger guards its updates with it.
func MovesInto(to OrderState) []OrderState {
	var from []OrderState
	for _, s := range OrderStates() {
		if s.MayBecome(to) {
			from = append(from, s)
		}
	}
	return from
}

// Ended reports whether nothing more is expected to happen to the order by itself.
func (s OrderState) Ended() bool {
	switch s {
	case OrderConfirmed, OrderSendingCancelled, OrderCancelled, OrderSkipped:
		return true
	}
	return false
}

// reported lists the moves that only a warehouse's report makes. They are kept
// apart: no step of ours leads from a warehouse back to sending (promise 1), only
// its own word that it does not take an order which it had merely received.
var reported = map[OrderState][]OrderState{
	// On hold: refused, nothing of it will ship; or stuck, and the warehouse has it still.
	OrderAtWarehouse: {OrderHeld},
	OrderHeld:        {OrderShipped, OrderCancelled},
	// It refused the order once, and goes on with it after all.
	OrderNew:              {OrderAtWarehouse, OrderShipped},
	OrderSkipped:          {OrderAtWarehouse, OrderShipped},
	OrderSubmitting:       {OrderShipped},
	OrderInDoubt:          {OrderShipped},
	OrderSendingCancelled: {OrderCancelRequested, OrderShipped},
	OrderCancelled:        {OrderCancelRequested},
}

// MayBeReported reports whether a warehouse's word of an order in state s may
// move it to state to, as a step of ours or by that word alone.
func (s OrderState) MayBeReported(to OrderState) bool {
	return s.MayBecome(to) || slices.Contains(reported[s], to)
}

// MoveError is a refused move.
type MoveError struct {
	From, To OrderState
}

func (e *MoveError) Error() string {
	return fmt.Sprintf("an order that is %s can't become %s", e.From, e.To)
}

// Move changes the order's state, or returns a *MoveError and leaves it alone.
func (o *Order) Move(to OrderState) error {
	if !o.State.MayBecome(to) {
		return &MoveError{From: o.State, To: to}
	}
	o.State = to
	return nil
}

// MayReopen reports whether an order in state s may become new again because a
// person says so. It is no move: nothing that happens by itself leads back from
// a cancel (promise 1), and only the ledger's ReopenOrder asks.
func (s OrderState) MayReopen() bool {
	return s == OrderCancelled || s == OrderSendingCancelled
}
