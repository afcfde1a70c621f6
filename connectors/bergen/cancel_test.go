package bergen

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

func TestCancel(t *testing.T) {
	taken := cancelTicket.notes(0, "Success", "PickTicket cancelled")
	cannot := cancelTicket.notes(45, "PickTicketError", "PickTicket can not be cancelled")
	unknown := cancelTicket.notes(45, "PickTicketError", "PickTicket does not exist")
	both := cancelTicket.notes(45, "PickTicketError", "PickTicket can not be cancelled", 45, "PickTicketError", "PickTicket does not exist")
	is := func(status string) reply { return ticket(getTicket, prefixed, status, "") }
	left := ticket(getTicket, prefixed, "Shipped Complete", "<PackageList><TrackingNumber>1Z9</TrackingNumber></PackageList>")
	for name, tc := range map[string]struct {
		answer, staging, ticket reply
		want                    connectors.CancelResult
		evidence                string
	}{
		"done":                         {taken, notStagedYet, is("Cancelled"), connectors.CancelDone, "cancel taken, status Cancelled"},
		"done, but without effect":     {taken, notStagedYet, is("New - Pending Printing"), connectors.CancelPending, "cancel taken, status New - Pending Printing"},
		"done too late":                {taken, notStagedYet, left, connectors.CancelTooLate, "cancel taken, status Shipped Complete, tracking 1Z9"},
		"done while staged":            {taken, addStatus(1, "Cancelled", ""), notThere(getTicket), connectors.CancelDone, "cancel taken, cancelled before it was imported"},
		"done, and gone":               {taken, notStagedYet, notThere(getTicket), connectors.CancelDone, "cancel taken, the warehouse does not know the ticket"},
		"done, and staged still":       {taken, pendingImport, notThere(getTicket), connectors.CancelPending, "cancel taken, it waits to be imported"},
		"done, staging silent":         {taken, getAddStatus.says(""), notThere(getTicket), connectors.CancelPending, "cancel taken, the ticket is not to be seen now"},
		"refused":                      {cannot, notStagedYet, is("Picking in Process"), connectors.CancelTooLate, "cancel refused with code 45, status Picking in Process"},
		"refused, shipped":             {cannot, notStagedYet, left, connectors.CancelTooLate, "cancel refused with code 45, status Shipped Complete, tracking 1Z9"},
		"refused, it is cancelled":     {cannot, notStagedYet, is("Cancelled"), connectors.CancelDone, "cancel refused with code 45, status Cancelled"},
		"refused while staged":         {cannot, pendingImport, notThere(getTicket), connectors.CancelPending, "cancel refused with code 45, it waits to be imported"},
		"refused, and not there":       {cannot, notStagedYet, notThere(getTicket), connectors.CancelPending, "cancel refused with code 45, the ticket is not to be seen now"},
		"does not exist":               {unknown, notStagedYet, notThere(getTicket), connectors.CancelDone, "cancel answered with code 45, no such ticket, the warehouse does not know the ticket"},
		"does not exist, staged still": {unknown, pendingImport, notThere(getTicket), connectors.CancelPending, "cancel answered with code 45, no such ticket, it waits to be imported"},
		"does not exist, failed":       {unknown, addStatus(1, "Error", "Failed"), notThere(getTicket), connectors.CancelDone, "cancel answered with code 45, no such ticket, its import failed, so nothing of it will ship"},
		"does not exist, but does":     {unknown, notStagedYet, is("QA in Progress"), connectors.CancelPending, "cancel answered with code 45, no such ticket, status QA in Progress"},
		"both texts at once":           {both, notStagedYet, is("QA in Progress"), connectors.CancelTooLate, "cancel answered with code 45, no such ticket, status QA in Progress"},
		"no answer, cancelled":         {vendortest.HangUp, notStagedYet, is("Cancelled"), connectors.CancelDone, "no answer to the cancel, status Cancelled"},
		"no answer, going on":          {vendortest.HangUp, notStagedYet, is("QA in Progress"), connectors.CancelPending, "no answer to the cancel, status QA in Progress"},
		"empty answer":                 {cancelTicket.says(""), notStagedYet, is("QA in Progress"), connectors.CancelPending, "no answer to the cancel, status QA in Progress"},
		"server fault, shipped":        {faults("soap:Server", "x"), notStagedYet, left, connectors.CancelTooLate, "no answer to the cancel, status Shipped Complete, tracking 1Z9"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(cancelTicket, tc.answer)
			v.on(getAddStatus, tc.staging)
			v.on(getTicket, tc.ticket)
			got, err := v.open(nil).CancelOrder(t.Context(), number)
			require.NoError(t, err)
			require.Equal(t, connectors.CancelAnswer{Result: tc.want, Evidence: tc.evidence}, got)
			require.Len(t, v.requests(cancelTicket), 1)
			require.Contains(t, v.requests(cancelTicket)[0].body, "<PickTicketId>SO100245<")
		})
	}
	t.Run("errors", func(t *testing.T) {
		v := newVendor(t)
		v.on(cancelTicket, cancelTicket.notes(9, "Odd", "48 Juniper Way"))
		_, err := v.open(nil).CancelOrder(t.Context(), number)
		require.ErrorIs(t, err, relay.Unavailable)
		requireSafe(t, v, err)
		_, err = v.open(nil).CancelOrder(t.Context(), "a b")
		require.ErrorIs(t, err, relay.Invalid)
		v.on(cancelTicket, cancelTicket.notes(0, "Success", ""))
		v.on(getAddStatus, vendortest.HangUp)
		_, err = v.open(nil).CancelOrder(t.Context(), number)
		require.ErrorIs(t, err, relay.Unknown, "not confirmed is not done")
		v.on(cancelTicket, cancelTicket.notes(45, "PickTicketError", "PickTicket can not be cancelled"))
		_, err = v.open(nil).CancelOrder(t.Context(), number)
		require.ErrorIs(t, err, relay.Unavailable, "it was not")
	})
}
