package bergen

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// CancelOrder asks for the cancel and, whatever the answer, reads what became of
// the ticket (section 8).
func (c *connection) CancelOrder(ctx context.Context, id relay.WarehouseOrderID) (connectors.CancelAnswer, error) {
	const op, taken = "cancel order", "cancel taken"
	if err := checkID(op, id); err != nil {
		return connectors.CancelAnswer{}, err
	}
	got, status, err := call[writeAnswer](ctx, c.client, op, cancelTicket, string(id))
	if err != nil && !errors.Is(err, relay.Unknown) {
		return connectors.CancelAnswer{}, err
	}
	failures := got.failures()
	var said string
	var refused bool
	switch {
	case err != nil, got.blank():
		said = "no answer to the cancel"
	case len(failures) == 0:
		said = taken
	case !allOf(failures, codeTicket):
		return connectors.CancelAnswer{}, readError(op, status, failures)
	default:
		// One code for both answers, so the text decides; "can not" without a reason
		// to doubt it is final.
		unknown := saysAbsent(failures)
		refused = !unknown || strings.Contains(strings.ToLower(wordsOf(failures)), "can not be cancelled")
		said = "cancel refused with code 45"
		if unknown {
			said = "cancel answered with code 45, no such ticket"
		}
	}
	s, err := c.lookAfresh(ctx, op, string(id))
	if err != nil {
		if len(failures) == 0 { // it may have been cancelled, which the look's own kind would deny
			err = exchange.WithKind(err, relay.Unknown)
		}
		return connectors.CancelAnswer{}, err
	}
	answer := func(r connectors.CancelResult, format string, args ...any) (connectors.CancelAnswer, error) {
		return connectors.CancelAnswer{Result: r, Evidence: said + ", " + fmt.Sprintf(format, args...)}, nil
	}
	if t := s.ticket; t != nil {
		state := plainStatus(t.Status)
		switch classOf(t.Status) {
		case cancelled:
			return answer(connectors.CancelDone, "status %s", state)
		case shipped, partShipped:
			return answer(connectors.CancelTooLate, "status %s, tracking %s", state, firstTracking(t))
		}
		if refused {
			return answer(connectors.CancelTooLate, "status %s", state)
		}
		return answer(connectors.CancelPending, "status %s", state)
	}
	switch s.stage {
	case withdrawn:
		return answer(connectors.CancelDone, "cancelled before it was imported")
	case importFailed:
		return answer(connectors.CancelDone, "its import failed, so nothing of it will ship")
	case notStaged:
		if !refused {
			return answer(connectors.CancelDone, "the warehouse does not know the ticket")
		}
	case waiting:
		return answer(connectors.CancelPending, "it waits to be imported")
	}
	return answer(connectors.CancelPending, "the ticket is not to be seen now")
}

func allOf(list []notice, code int) bool {
	for _, n := range list {
		if got, ok := n.number(); !ok || got != code {
			return false
		}
	}
	return true
}

// firstTracking is one of the ticket's tracking numbers, for people.
func firstTracking(t *ticketXML) string {
	for _, p := range packagesOf(t, nil, nil) {
		return plainStatus(p.TrackingNumber)
	}
	return "not told"
}
