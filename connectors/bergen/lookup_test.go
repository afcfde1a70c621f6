package bergen

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// addStatus answers with a staging status (section 7.6).
func addStatus(code any, status, details string) reply {
	return getAddStatus.says(fmt.Sprintf(`<Notifications /><PickTicketStatus><PickTicketNumber>SO100245</PickTicketNumber><StatusCode>%v</StatusCode><Status>%s</Status><StatusDetails>%s</StatusDetails></PickTicketStatus>`, code, status, details))
}

// ticket answers with a ticket in a status.
func ticket(o operation, no, status, inside string) reply {
	return o.says(`<Notifications /><PickTicket><PickTicketNumber>` + no + `</PickTicketNumber><CustomerPONumber>WEB-2025-000100245</CustomerPONumber><OrderNumber>SO100245</OrderNumber>` + inside + `<ShipmentStatus>` + status + `</ShipmentStatus></PickTicket>`)
}

func notThere(o operation) reply { return o.notes(83, "BarCodeError", "BarCode doesn't exist") }

var (
	pendingImport = addStatus(87, "PendingImport", "Pending import")
	notStagedYet  = getAddStatus.notes(45, "PickTicketError", "PickTicket does not exist")
)

// The values of GetPickTicketAddStatus are not known: these are what the sister
// operation says (section 10.2), in either place, and guesses beside them.
func TestStages(t *testing.T) {
	for name, tc := range map[string]struct {
		answer reply
		want   stage
		reason relay.HoldReason
	}{
		"pending":                 {pendingImport, waiting, ""},
		"pending, notified":       {getAddStatus.notes(87, "PendingImport", "Pending import"), waiting, ""},
		"pending without a code":  {addStatus(0, "pending import", ""), waiting, ""},
		"success":                 {addStatus(0, "Success", "Data saved successfully"), imported, ""},
		"success, notified":       {getAddStatus.notes(0, "Success", "Data saved successfully"), imported, ""},
		"imported":                {addStatus(0, "Imported", ""), imported, ""},
		"status of the ticket":    {addStatus(100, "New - Pending Printing", ""), imported, ""},
		"no stock":                {addStatus(370, "CSR - No Stock", ""), imported, ""},
		"failed":                  {addStatus(1, "Error", "Failed: PickTicket/LineItem/UPC[item 2] is not valid"), importFailed, relay.HoldUnknownItem},
		"failed, notified":        {getAddStatus.notes(1, "Error", "Failed: State for ShipToAddress is required"), importFailed, relay.HoldBadAddress},
		"failed by an item":       {addStatus(1, "Failed", "UPC 1 does not exist"), importFailed, relay.HoldUnknownItem},
		"failed, upc severity":    {getAddStatus.notes(33, "UpcCodeError", "unknown"), importFailed, relay.HoldUnknownItem},
		"failed by cancel date":   {addStatus(1, "Error", "Failed: CancelDate cancelled is not valid"), importFailed, relay.HoldRejected},
		"does not exist":          {notStagedYet, notStaged, ""},
		"not found":               {addStatus(41, "Error", "Pick ticket not found"), notStaged, ""},
		"invalid number":          {getAddStatus.notes(41, "InvalidPickTicketError", "Invalid PickTicket number"), notStaged, ""},
		"code 83":                 {notThere(getAddStatus), notStaged, ""},
		"cancelled":               {addStatus(1, "Withdrawn", "PickTicket cancelled"), withdrawn, ""},
		"silence":                 {getAddStatus.says("<Notifications />"), silent, ""},
		"an empty status":         {addStatus(0, "", ""), silent, ""},
		"a status of its own":     {addStatus(0, "Queued", ""), unclear, ""},
		"a code and a status too": {addStatus(7, "Queued", ""), unclear, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(getAddStatus, tc.answer)
			got, said, err := v.open(nil).staged(t.Context(), "x", number)
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			if tc.want == importFailed {
				require.Equal(t, tc.reason, judge(said, nil).reason)
			}
		})
	}
	v := newVendor(t)
	v.on(getAddStatus, getAddStatus.notes(500, "Oops", "try later"))
	_, _, err := v.open(nil).staged(t.Context(), "x", number)
	require.ErrorIs(t, err, relay.Unavailable, "it says nothing of the ticket")
}

// An import that failed for want of something speaks like one that is not known:
// that is no absence, or the order would be sent once more.
func TestImportsThatFailForWantOfSomething(t *testing.T) {
	for _, said := range []string{
		"Failed: PickTicket/ShipVia not found",
		"PickTicket/ShipVia not found",
		"Failed: PickTicket/ShipService is unknown",
		"Failed: PickTicket/WareHouse does not exist",
		"Failed: product not found for PickTicket SO100245",
		"Failed: bar code 840011200013 not found",
		"Failed: Unknown item in ticket",
		"Failed: PickTicket SO100245 customer account number is unknown",
		"PickTicket number SO100245 [item 2] not found",
	} {
		v := newVendor(t)
		v.on(getAddStatus, addStatus(1, "Error", said))
		v.on(getTicket, notThere(getTicket))
		c := v.open(nil)
		u := pullOnce(t, c, connectors.OpenOrder{ID: number, Unanswered: true})[0]
		require.Equal(t, connectors.Refused, u.Progress, said)
		got := find(t, c, anOrder())[0]
		require.Len(t, got.Matches, 1, said)
		require.True(t, got.Matches[0].Cancelled, said)
	}
}

func find(t *testing.T, c *connection, orders ...connectors.WarehouseOrder) []connectors.Lookup {
	t.Helper()
	q := connectors.LookupQuery{}
	for _, o := range orders {
		q.Orders = append(q.Orders, connectors.LookupRequest{Order: o, SentFrom: time.Now().Add(-time.Minute), SentTo: time.Now()})
	}
	got, err := c.FindOrders(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, got, len(orders))
	return got
}

func TestFindOrders(t *testing.T) {
	match := func(cancelled bool, answer time.Duration) connectors.Lookup {
		return connectors.Lookup{Matches: []connectors.Match{{ID: number, By: "reference", Cancelled: cancelled, AnswerWithin: answer}}}
	}
	other := getTicket.says(`<PickTicket><PickTicketNumber>ACME1ASO100245</PickTicketNumber><CustomerPONumber>ANOTHER</CustomerPONumber><ShipmentStatus>Picking in Process</ShipmentStatus></PickTicket>`)
	absent := connectors.Lookup{Certain: true}
	for name, tc := range map[string]struct {
		staging, ticket reply
		want            connectors.Lookup
	}{
		"waits to be imported":       {pendingImport, notThere(getTicket), match(false, time.Hour)},
		"imported":                   {addStatus(0, "Success", ""), ticket(getTicket, prefixed, "New - Pending Printing", ""), match(false, 0)},
		"imported, staging forgot":   {notStagedYet, ticket(getTicket, prefixed, "CSR - No Stock", ""), match(false, 0)},
		"imported, and slow to show": {addStatus(0, "Success", ""), notThere(getTicket), match(false, time.Hour)},
		"without a prefix":           {notStagedYet, ticket(getTicket, number, "Delivered", ""), match(false, 0)},
		"cancelled":                  {notStagedYet, ticket(getTicket, prefixed, "Cancelled", ""), match(true, 0)},
		"import failed":              {addStatus(1, "Error", "Failed: no"), notThere(getTicket), match(true, time.Hour)},
		"both say no":                {notStagedYet, notThere(getTicket), absent},
		"staging is silent":          {getAddStatus.says(""), notThere(getTicket), connectors.Lookup{}},
		"staging is not understood":  {addStatus(7, "Queued", ""), notThere(getTicket), connectors.Lookup{}},
		"somebody else's order":      {notStagedYet, other, connectors.Lookup{}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(getAddStatus, tc.staging)
			v.on(getTicket, tc.ticket)
			require.Equal(t, tc.want, find(t, v.open(nil), anOrder())[0])
			require.Contains(t, v.requests(getAddStatus)[0].body, "<pickTicketNumber>SO100245<")
		})
	}
	t.Run("silence may be set to mean absent", func(t *testing.T) {
		v := newVendor(t)
		v.on(getAddStatus, getAddStatus.says(""))
		v.on(getTicket, notThere(getTicket))
		require.Equal(t, absent, find(t, v.open(connectors.Values{"silence_means_absent": "true"}), anOrder())[0])
	})
}

func TestFindOrdersAsksForTheRenewedNumber(t *testing.T) {
	v := newVendor(t)
	v.on(getAddStatus, notStagedYet)
	v.on(getTicket, notThere(getTicket))
	o := anOrder()
	o.Renewed = 1
	require.True(t, find(t, v.open(nil), o)[0].Certain)
	require.Contains(t, v.requests(getTicket)[0].body, "<ptbarcode>SO100245--r1<")
}

// What a spent token is answered with is not known: absence counts only with a new one.
func TestAbsenceIsAskedWithANewToken(t *testing.T) {
	v := newVendor(t)
	v.on(getAddStatus, notStagedYet)
	v.on(getTicket, notThere(getTicket))
	c := v.open(nil)
	find(t, c, anOrder())
	c.ageToken()
	find(t, c, anOrder())
	require.Len(t, v.requests(getToken), 2)
	require.Contains(t, v.requests(getTicket)[1].body, "TOKEN+2/=")
}

func TestOneOrderThatCannotBeReadKeepsNobodyWaiting(t *testing.T) {
	v := newVendor(t)
	broken := faults("soap:Server", "no")
	v.on(getAddStatus, broken, broken, broken, notStagedYet)
	v.on(getTicket, notThere(getTicket))
	a, b := anOrder(), anOrder()
	b.Reference = "SO2"
	got := find(t, v.open(nil), a, b)
	require.Equal(t, connectors.Lookup{}, got[0])
	require.True(t, got[1].Certain)

	v.on(getAddStatus, broken)
	_, err := v.open(nil).FindOrders(t.Context(), connectors.LookupQuery{Orders: []connectors.LookupRequest{{Order: a}, {Order: b}}})
	require.ErrorIs(t, err, relay.Unavailable, "an outage is one")
	requireSafe(t, v, err)
}

// Section 7.4: never by the tail alone.
func TestPrefixRule(t *testing.T) {
	open := func(prefix string) *connection {
		return newVendor(t).open(connectors.Values{"account_prefix": prefix})
	}
	require.True(t, open("").ours("SO100245", "", number))
	require.True(t, open("").ours(" acme1aso100245 ", "", number))
	require.False(t, open("").ours("ACME1ASO100245", "9SO100245", number), "the order number tells")
	require.False(t, open("").ours("ACME1ASO100246", "", number))
	require.False(t, open("").ours("ACME-1A-LONGER-SO100245", "", number))
	require.False(t, open("").ours("", "", number))
	require.True(t, open("acme1a").ours("ACME1ASO100245", "", number))
	require.False(t, open("ZETA9B").ours("ACME1ASO100245", number, number))
	c := open("")
	require.Empty(t, c.listed("ACME1A123"), "not learned yet")
	require.True(t, c.ours("ACME1A123", "123", "123"))
	require.Equal(t, "123", c.listed("acme1a123"))
	require.Equal(t, "9123", c.listed("ACME1A9123"))
	require.Empty(t, c.listed("ZETA9B123"))
	require.Empty(t, c.listed("ACME1A"))
	require.False(t, c.ours("ACME1A9123", "", "123"), "the head is not the prefix")
}

func TestTicketOfAnotherIsNotRead(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, ticket(getTicket, "ACME1ASO999999", "Delivered", ""))
	_, err := v.open(nil).read(t.Context(), "x", getTicket, number)
	require.ErrorIs(t, err, relay.Unavailable)
	require.ErrorIs(t, err, errOther)
}
