package bergen

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

// sampleV2 is the answer of section 9.5, of one carton among two.
const sampleV2 = `<Notifications /><PickTicket>` +
	`<PickTicketNumber xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">ACME1ASO100245</PickTicketNumber>` +
	`<ActualShipDate xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">03/17/2025</ActualShipDate>` +
	`<ShipVia xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">UPS</ShipVia>` +
	`<ShipService xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">UPSGROUND-Commercial</ShipService>` +
	`<CustomerPoNumber xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">WEB-2025-000100245</CustomerPoNumber>` +
	`<PackageList xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">` +
	`<LineItems xmlns="http://rex11.com/swpublicapi/OutBoundPackage.xsd"><UPC xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd">840011200013</UPC>` +
	`<Quantity xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd">2</Quantity><ShippedQuantity xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd">9</ShippedQuantity></LineItems>` +
	`<Uom xmlns="http://rex11.com/swpublicapi/OutBoundPackage.xsd">LB</Uom><TrackingNumber xmlns="http://rex11.com/swpublicapi/OutBoundPackage.xsd">1Z999AA10123456784</TrackingNumber></PackageList>` +
	`<PackageList xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">` +
	`<LineItems xmlns="http://rex11.com/swpublicapi/OutBoundPackage.xsd"><UPC xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd">840011200020</UPC>` +
	`<Quantity xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd">1</Quantity></LineItems>` +
	`<TrackingNumber xmlns="http://rex11.com/swpublicapi/OutBoundPackage.xsd">1Z999AA10123456793</TrackingNumber></PackageList>` +
	`<ShipmentStatus xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">Shipped Complete</ShipmentStatus>` +
	`<MasterTrackingNumber xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd">1Z999AA10123456784</MasterTrackingNumber></PickTicket>`

func noonOf(t *testing.T, month time.Month, day int) time.Time {
	eastern, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	return time.Date(2025, month, day, 12, 0, 0, 0, eastern)
}

func pullOnce(t *testing.T, c *connection, open ...connectors.OpenOrder) []connectors.OrderUpdate {
	t.Helper()
	page, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Open: open})
	require.NoError(t, err)
	require.Len(t, page.Updates, len(open))
	return page.Updates
}

func TestShippedWithCartons(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, ticket(getTicket, prefixed, "Shipped Complete", ""))
	v.on(getBoxesV2, getBoxesV2.says(sampleV2))
	u := pullOnce(t, v.open(nil), connectors.OpenOrder{ID: number})[0]
	require.Equal(t, connectors.FullShipped, u.Progress)
	require.Equal(t, "Shipped Complete", u.Status)
	at := noonOf(t, time.March, 17)
	require.Equal(t, []relay.Package{
		{Carrier: "UPS", Service: "UPSGROUND-Commercial", TrackingNumber: "1Z999AA10123456784", ShippedAt: at, Items: []relay.Item{{Code: teeUPC, Units: 2}}},
		{Carrier: "UPS", Service: "UPSGROUND-Commercial", TrackingNumber: "1Z999AA10123456793", ShippedAt: at, Items: []relay.Item{{Code: longUPC, Units: 1}}},
	}, u.Packages)
	require.Equal(t, "2025-03-17", u.Packages[0].ShippedAt.UTC().Format(time.DateOnly))
	require.Empty(t, v.requests(getBoxes), "the first view that tells all will do")
}

// Where the cartons are not in V2, the other views are looked at; a view that
// fails for the moment is waited for.
func TestViewsOfCartons(t *testing.T) {
	carton := func(no, upc string) string {
		line := ""
		if upc != "" {
			line = "<LineItems><UPC>" + upc + "</UPC><Quantity>1</Quantity></LineItems>"
		}
		return "<PackageList>" + line + "<TrackingNumber>" + no + "</TrackingNumber></PackageList>"
	}
	plain := func(inside string) reply { return ticket(getTicket, prefixed, "Shipped Complete", inside) }
	v1 := func(inside string) reply { return ticket(getBoxes, prefixed, "Shipped Complete", inside) }
	v2 := func(inside string) reply { return ticket(getBoxesV2, prefixed, "Shipped Complete", inside) }
	missing := faults("soap:Client", "Server did not recognize the value of HTTP Header SOAPAction")
	for name, tc := range map[string]struct {
		v2, v1, plain reply
		want          []string // tracking number and contents
	}{
		"v2":                              {v2(carton("1Z2", teeUPC)), v1(carton("1Z1", teeUPC)), plain(""), []string{"1Z2 [{840011200013 1}]"}},
		"v2 is not there":                 {missing, v1(carton("1Z1", teeUPC)), plain(""), []string{"1Z1 [{840011200013 1}]"}},
		"v2 knows no ticket":              {notThere(getBoxesV2), v1(carton("1Z1", teeUPC)), plain(""), []string{"1Z1 [{840011200013 1}]"}},
		"v2 breaks on it":                 {faults("soap:Server", "null"), v1(carton("1Z1", teeUPC)), plain(""), []string{"1Z1 [{840011200013 1}]"}},
		"v2 says something else":          {getBoxesV2.notes(1, "Error", "Failed: no"), v1(carton("1Z1", teeUPC)), plain(""), []string{"1Z1 [{840011200013 1}]"}},
		"v2 without contents":             {v2(carton("1Z1", "")), v1(carton("1Z1", teeUPC)), plain(""), []string{"1Z1 [{840011200013 1}]"}},
		"no contents anywhere":            {v2(carton("1Z1", "")), v1(carton("1Z1", "")), plain(""), []string{"1Z1 []"}},
		"only the ticket has cartons":     {v2(""), v1(""), plain(carton("1Z0", teeUPC)), []string{"1Z0 [{840011200013 1}]"}},
		"the master number alone":         {v2("<MasterTrackingNumber>1ZM</MasterTrackingNumber>"), v1(""), plain(""), []string{"1ZM []"}},
		"a number of 2013":                {v2(""), v1(""), plain("<TrackingNumber>1ZT</TrackingNumber>"), []string{"1ZT []"}},
		"no number at all":                {v2(""), v1(""), plain(""), nil},
		"by truck":                        {v2("<BolNumber>BOL7</BolNumber>"), v1(""), plain(""), []string{"BOL7 []"}},
		"cartons by the master number":    {v2("<MasterTrackingNumber>1ZM</MasterTrackingNumber>" + carton("", teeUPC) + carton("", longUPC)), v1(""), plain(""), []string{"1ZM [{840011200013 1} {840011200020 1}]"}},
		"one carton without a number":     {v2(carton("1Z2", teeUPC) + carton("", longUPC)), v1(""), plain(""), []string{"1Z2 [{840011200013 1} {840011200020 1}]"}},
		"two cartons with one number":     {v2(carton("1Z2", teeUPC) + carton("1z 2", teeUPC)), v1(""), plain(""), []string{"1Z2 [{840011200013 2}]"}},
		"contents that can't be made out": {v2(strings.Replace(carton("1Z2", teeUPC), "<Quantity>1<", "<Quantity>1.5<", 1)), v1(""), plain(""), []string{"1Z2 []"}},
		"contents without a code":         {v2(carton("1Z2", " ")), v1(""), plain(""), []string{"1Z2 []"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(getBoxesV2, tc.v2)
			v.on(getBoxes, tc.v1)
			v.on(getTicket, tc.plain)
			u := pullOnce(t, v.open(nil), connectors.OpenOrder{ID: number})[0]
			var got []string
			for _, p := range u.Packages {
				got = append(got, fmt.Sprint(p.TrackingNumber, " ", p.Items))
			}
			require.Equal(t, tc.want, got)
			want := connectors.FullShipped
			if len(tc.want) == 0 {
				want = connectors.InTrouble // there is nothing to tell a cart, and a person has to know
				require.Equal(t, relay.HoldRejected, u.Hold.Reason)
				require.Contains(t, u.Hold.Fields[0].Message, "left without a tracking number")
			}
			require.Equal(t, want, u.Progress)
		})
	}
	t.Run("v2 is down", func(t *testing.T) {
		v := newVendor(t)
		v.on(getBoxesV2, vendortest.HangUp)
		v.on(getBoxes, v1(carton("1Z1", "")))
		v.on(getTicket, plain(""))
		_, err := v.open(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: number}}})
		require.ErrorIs(t, err, relay.Unavailable, "what a cart is told of a parcel can't be mended")
	})
}

// Section 7.3.
func TestStatuses(t *testing.T) {
	hold := func(u connectors.OrderUpdate) relay.HoldReason {
		if u.Hold == nil {
			return ""
		}
		require.Equal(t, "status", u.Hold.Fields[0].Field)
		require.Equal(t, u.Status, u.Hold.Fields[0].Value)
		return u.Hold.Reason
	}
	for status, want := range map[string]struct {
		progress connectors.Progress
		reason   relay.HoldReason
	}{
		"New - Pending Printing":          {connectors.InProgress, ""},
		"Picked  - Pending QA Check":      {connectors.InProgress, ""},
		"picked - PENDING qa check":       {connectors.InProgress, ""},
		"UPS Label Done":                  {connectors.InProgress, ""},
		"Cancelled":                       {connectors.Cancelled, ""},
		"CSR - No Stock":                  {connectors.InTrouble, relay.HoldInsufficientInventory},
		"CSR\t- Pending CSR Check":        {connectors.InTrouble, relay.HoldRejected},
		"CSR hold- per customer request":  {connectors.InTrouble, relay.HoldRejected},
		"Short PT - Pending Picker Check": {connectors.InTrouble, relay.HoldRejected},
		"QA Failed - Missing Items":       {connectors.InTrouble, relay.HoldRejected},
		"Warehouse Transfer Done":         {connectors.InTrouble, relay.HoldRejected},
		"Cancel Requested":                {connectors.InProgress, ""},
		"":                                {connectors.InProgress, ""},
	} {
		t.Run(status, func(t *testing.T) {
			v := newVendor(t)
			v.on(getTicket, ticket(getTicket, prefixed, status,
				// Section 7.4: set long before anything ships.
				"<LineItems><UPC>840011200013</UPC><ShippedQuantity>2</ShippedQuantity></LineItems><PackageList><TrackingNumber>1Z</TrackingNumber></PackageList>"))
			u := pullOnce(t, v.open(nil), connectors.OpenOrder{ID: number})[0]
			require.Equal(t, want.progress, u.Progress)
			require.Equal(t, want.reason, hold(u))
			require.Empty(t, u.Packages, "nothing has left")
		})
	}
	left := 0
	for _, status := range []string{"Shipped Complete", "Shipped Via Truck", "Billing Info Received", "Package in Transit", "Partial Delivery", "Delivered", "Package Returned", "Approved - Partially Shipped"} {
		v := newVendor(t)
		inside := "<PackageList><TrackingNumber>1Z</TrackingNumber><LineItems><UPC>1</UPC><Quantity>1</Quantity></LineItems></PackageList><PackageList><LineItems><UPC>2</UPC><Quantity>1</Quantity></LineItems></PackageList>"
		v.on(getTicket, ticket(getTicket, prefixed, status, inside))
		v.on(getBoxesV2, ticket(getBoxesV2, prefixed, status, inside))
		u := pullOnce(t, v.open(nil), connectors.OpenOrder{ID: number})[0]
		require.Len(t, u.Packages, 1, status)
		if u.Progress == connectors.PartShipped {
			require.Equal(t, []relay.Item{{Code: "1", Units: 1}}, u.Packages[0].Items, "the other carton has not left")
			continue
		}
		require.Equal(t, connectors.FullShipped, u.Progress, status)
		left++
	}
	require.Equal(t, 7, left)
}

func TestBeforeTheImport(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		staging    reply
		unanswered bool
		accepted   time.Time
		want       connectors.Progress
	}{
		"pending":                   {pendingImport, true, now, connectors.Received},
		"imported, slow to show":    {addStatus(0, "Success", ""), true, now, connectors.Received},
		"not understood":            {addStatus(3, "Queued", ""), true, now, connectors.Received},
		"silent":                    {getAddStatus.says(""), true, now.Add(-9 * time.Hour), connectors.Received},
		"not there yet":             {notStagedYet, true, now, connectors.Received},
		"not there for long":        {notStagedYet, true, now.Add(-2 * time.Hour), connectors.Gone},
		"cancelled there":           {addStatus(1, "Cancelled", ""), true, now, connectors.Cancelled},
		"failed":                    {addStatus(1, "Error", "Failed: PickTicket/LineItem/UPC[item 2] is not valid"), true, now, connectors.Refused},
		"answered, and not there":   {notStagedYet, false, now, connectors.Gone},
		"answered, and silent":      {getAddStatus.says(""), false, now, connectors.InProgress},
		"answered, pending again":   {pendingImport, false, now, connectors.InProgress},
		"answered, failed: no more": {addStatus(1, "Error", "Failed"), false, now, connectors.Gone},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(getAddStatus, tc.staging)
			v.on(getTicket, notThere(getTicket))
			u := pullOnce(t, v.open(nil), connectors.OpenOrder{ID: number, AcceptedAt: tc.accepted, Unanswered: tc.unanswered})[0]
			require.Equal(t, tc.want, u.Progress)
			if tc.want != connectors.Refused {
				require.Nil(t, u.Hold)
				return
			}
			require.Equal(t, relay.HoldUnknownItem, u.Hold.Reason)
			require.Equal(t, "1", u.Hold.Code)
			require.Equal(t, "items[1].code", u.Hold.Fields[0].Field)
			require.Contains(t, u.Hold.Words, "UPC[item 2]")
		})
	}
}

// row is a row of a list.
func row(no, status string, tracking ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<ShipmentStatus><TicketId>%s</TicketId><TicketStatus>%s</TicketStatus><StatusCode>1</StatusCode><TrackingNumbers>", no, status)
	for _, n := range tracking {
		b.WriteString("<string>" + n + "</string>")
	}
	b.WriteString("</TrackingNumbers></ShipmentStatus>")
	return b.String()
}

func list(o operation, rows ...string) reply {
	return o.says("<Notifications /><PickTicketStatus>" + strings.Join(rows, "") + "</PickTicketStatus>")
}

// anyTicket answers to each number with a ticket in the same status.
func anyTicket(o operation, status, inside string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(bodyOf(r), "<ptbarcode>")
		no, _, _ := strings.Cut(after, "<")
		o.says(`<PickTicket><PickTicketNumber>ACME1A`+no+`</PickTicketNumber>`+inside+`<ShipmentStatus>`+status+`</ShipmentStatus></PickTicket>`)(w, r)
	}
}

func bodyOf(r *http.Request) string {
	b, _ := io.ReadAll(r.Body)
	return string(b)
}

func openOrders(n int) []connectors.OpenOrder {
	var out []connectors.OpenOrder
	for i := range n {
		out = append(out, connectors.OpenOrder{ID: relay.WarehouseOrderID(fmt.Sprintf("SO%04d", i))})
	}
	return out
}

func TestListsSpareReads(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, anyTicket(getTicket, "New - Pending Printing", ""))
	v.on(getBoxesV2, anyTicket(getBoxesV2, "Shipped Complete", ""))
	v.on(getBoxes, anyTicket(getBoxes, "Shipped Complete", ""))
	v.on(listByDate, list(listByDate, row("ACME1ASO0001", "CSR - No Stock"), row("ACME1ASO0002", "Cancelled"), row("ACME1ASO0003", "Picking in Process"),
		row("ZETA9BSO0004", "Cancelled"), row("9SO0004", "Cancelled"), row("ACME1A9SO0004", "Cancelled"), row("ACME1ASO0005", "Packing in Progress"), row("ACME1ASO0007", "Zorp")))
	v.on(listByShipDate, list(listByShipDate, row("ACME1ASO0005", "Shipped Complete", "1Z5", " 1Z6 "), row("ACME1ASO0005", "Shipped Complete", "1Z5", "1Z6")))
	c := v.open(connectors.Values{"account_prefix": "ACME1A"})
	days := func() string {
		now := time.Now().In(c.eastern)
		return "<StartDate>" + now.AddDate(0, 0, -4).Format(dateForm) + "</StartDate><EndDate>" + now.AddDate(0, 0, 1).Format(dateForm) + "</EndDate>"
	}
	before := days()
	got := make(map[relay.WarehouseOrderID]connectors.OrderUpdate)
	for _, u := range pullOnce(t, c, openOrders(8)...) {
		got[u.ID] = u
	}
	require.Equal(t, relay.HoldInsufficientInventory, got["SO0001"].Hold.Reason)
	require.Equal(t, connectors.Cancelled, got["SO0002"].Progress)
	require.Equal(t, "Picking in Process", got["SO0003"].Status)
	require.Equal(t, "New - Pending Printing", got["SO0004"].Status, "other accounts' and other orders' rows are not ours")
	require.Equal(t, connectors.FullShipped, got["SO0005"].Progress)
	require.Len(t, got["SO0005"].Packages, 2, "the numbers of the list, where no carton has one")
	require.Equal(t, "New - Pending Printing", got["SO0007"].Status, "an unknown status: the ticket itself tells more")
	for _, r := range v.requests(getTicket) {
		for _, spared := range []string{"SO0001<", "SO0002<", "SO0003<"} {
			require.NotContains(t, r.body, spared)
		}
	}
	if body := v.requests(listByShipDate)[0].body; !strings.Contains(body, before) { // midnight came between
		require.Contains(t, body, days())
	}
}

func TestPrefixIsLearnedBeforeTheLists(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, anyTicket(getTicket, "New - Pending Printing", ""))
	v.on(listByDate, list(listByDate, row("ACME1ASO0003", "Picking in Process")))
	v.on(listByShipDate, list(listByShipDate))
	got := pullOnce(t, v.open(nil), openOrders(6)...)
	require.Equal(t, "Picking in Process", got[3].Status)
	require.Len(t, v.requests(getTicket), 5, "one to learn, one spared")
}

func TestListsThatFailAreDoneWithout(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, anyTicket(getTicket, "New - Pending Printing", ""))
	v.on(listByDate, listByDate.notes(12, "DataNotValid", "range too long"))
	v.on(listByShipDate, faults("soap:Server", "timeout"))
	for _, u := range pullOnce(t, v.open(nil), openOrders(6)...) {
		require.Equal(t, "New - Pending Printing", u.Status)
	}
}

func TestReadsHaveTurns(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, anyTicket(getTicket, "New - Pending Printing", ""))
	v.on(getBoxesV2, anyTicket(getBoxesV2, "Shipped Complete", "<PackageList><TrackingNumber>1Z</TrackingNumber><LineItems><UPC>1</UPC><Quantity>1</Quantity></LineItems></PackageList>"))
	v.on(listByDate, list(listByDate))
	var rows []string
	for i := range 20 {
		rows = append(rows, row(fmt.Sprintf("ACME1ASO%04d", i), "Shipped Complete"))
	}
	v.on(listByShipDate, list(listByShipDate, rows...))
	c := v.open(connectors.Values{"order_reads": "8", "account_prefix": "ACME1A"})
	open := openOrders(60)
	shipped, seen := make(map[relay.WarehouseOrderID]bool), make(map[relay.WarehouseOrderID]bool)
	cursor := ""
	for turn := range 60 {
		page, err := c.PullShipments(t.Context(), connectors.ShipmentsQuery{Cursor: cursor, Open: open})
		require.NoError(t, err)
		require.Len(t, page.Updates, 60)
		read := 0
		for _, u := range page.Updates {
			if u.Progress == connectors.FullShipped {
				shipped[u.ID] = true
			}
			if u.Status != "" {
				seen[u.ID] = true
				read++
			}
		}
		require.Equal(t, 8, read, "turn %d", turn)
		require.NotEqual(t, cursor, page.Cursor)
		cursor = page.Cursor
	}
	require.Len(t, shipped, 20, "those that shipped come first, and all have their turn")
	require.Len(t, seen, 60, "and so have all the others")
}

func TestOneOrderThatFailsKeepsNobodyWaiting(t *testing.T) {
	v := newVendor(t)
	fine, broken := anyTicket(getTicket, "New - Pending Printing", ""), faults("soap:Server", "Käufer")
	v.on(getTicket, func(w http.ResponseWriter, r *http.Request) {
		body := bodyOf(r)
		r.Body = io.NopCloser(strings.NewReader(body))
		if strings.Contains(body, "SO0001<") {
			broken(w, r)
			return
		}
		fine(w, r)
	})
	got := pullOnce(t, v.open(nil), openOrders(3)...)
	require.Equal(t, connectors.OrderUpdate{ID: "SO0001", Progress: connectors.InProgress}, got[1])
	require.NotEmpty(t, got[2].Status)
	requireSafe(t, v, nil)

	v.on(getTicket, broken)
	_, err := v.open(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{Open: openOrders(3)})
	require.ErrorIs(t, err, relay.Unavailable)
	_, err = v.open(nil).PullShipments(t.Context(), connectors.ShipmentsQuery{Open: []connectors.OpenOrder{{ID: "order/1"}}})
	require.ErrorIs(t, err, relay.Invalid)
	require.Empty(t, pullOnce(t, v.open(nil)))
}

func TestGoneIsBelievedWithANewTokenOnly(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, anyTicket(getTicket, "New - Pending Printing", ""), notThere(getTicket), anyTicket(getTicket, "New - Pending Printing", ""))
	v.on(getAddStatus, notStagedYet)
	c := v.open(nil)
	require.Equal(t, connectors.InProgress, pullOnce(t, c, openOrders(1)...)[0].Progress)
	c.ageToken()
	require.Equal(t, connectors.InProgress, pullOnce(t, c, openOrders(1)...)[0].Progress)
	require.Len(t, v.requests(getToken), 2)
}

func TestDates(t *testing.T) {
	eastern, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for _, s := range []string{"03/17/2025", "3/17/2025", " 03/17/2025 ", "3/17/2025 12:32:50 PM", "03/17/2025 23:59:59", "2025-03-17"} {
		require.Equal(t, noonOf(t, time.March, 17), dayOf(s, eastern), s)
	}
	for _, s := range []string{"", "soon", "01/01/1900", "17/03/2025", "13/45/2025"} {
		require.True(t, dayOf(s, eastern).IsZero(), s)
	}
}
