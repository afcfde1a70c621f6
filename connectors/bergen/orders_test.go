package bergen

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func TestNumberIsMadeOfTheReference(t *testing.T) {
	c := newVendor(t).open(nil)
	of := func(reference string, renewed int) string {
		return c.number(connectors.WarehouseOrder{Reference: relay.Reference(reference), Renewed: renewed})
	}
	require.Equal(t, "SO100245", of("SO100245", 0))
	require.Equal(t, "12345678901234", of("12345678901234", 0))
	require.Equal(t, "SO100245--r1", of("SO100245", 1))
	require.Equal(t, "SO100245--r12", of("SO100245", 12))
	seen := make(map[string]string)
	for i := range 20_000 {
		for renewed := range 2 {
			reference := fmt.Sprintf("LONG-ORDER-%08d", i)
			n := of(reference, renewed)
			require.Regexp(t, `^[A-Za-z0-9-]{14}$`, n)
			require.Equal(t, n, of(reference, renewed), "stable")
			require.Empty(t, seen[n])
			seen[n] = reference
		}
	}
	// Nothing but reference and renewals: the rest of an order may change.
	a, b := anOrder(), anOrder()
	b.Token, b.Number, b.Items, b.ShipTo.City, b.PlacedAt = "zzzz", "other", b.Items[:1], "Albany", time.Now()
	require.Equal(t, c.number(a), c.number(b))
	long := newVendor(t).open(connectors.Values{"number_length": "20"})
	require.Equal(t, "LONG-ORDER-00000001", long.number(connectors.WarehouseOrder{Reference: "LONG-ORDER-00000001"}))
}

func TestPrepareOrderIsStable(t *testing.T) {
	c := newVendor(t).open(nil)
	a, b := prepared(t, c), prepared(t, c)
	require.Equal(t, a.Digest(), b.Digest())
	require.NotContains(t, string(a.Body), "TOKEN", "the token of authentication is not part of it")
	o := anOrder()
	o.Items = []relay.Item{{Code: " " + teeUPC, Units: 1}, {Code: longUPC, Units: 1}, {Code: teeUPC + " ", Units: 1}}
	merged, err := c.PrepareOrder(o)
	require.NoError(t, err)
	require.Equal(t, a.Body, merged.Body)
}

func TestPrepareOrderRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*connectors.WarehouseOrder)
		reason relay.HoldReason
		field  string
	}{
		"no reference":    {func(o *connectors.WarehouseOrder) { o.Reference = "" }, relay.HoldBadOrder, "reference"},
		"odd reference":   {func(o *connectors.WarehouseOrder) { o.Reference = "SO 1" }, relay.HoldBadOrder, "reference"},
		"nothing to ship": {func(o *connectors.WarehouseOrder) { o.Items = nil }, relay.HoldBadOrder, "items"},
		"no code":         {func(o *connectors.WarehouseOrder) { o.Items[1].Code = " " }, relay.HoldUnknownItem, "items[1].code"},
		"odd code":        {func(o *connectors.WarehouseOrder) { o.Items[1].Code = "a\x01b" }, relay.HoldUnknownItem, "items[1].code"},
		"no units":        {func(o *connectors.WarehouseOrder) { o.Items[0].Units = 0 }, relay.HoldBadOrder, "items[0].units"},
		"too many units":  {func(o *connectors.WarehouseOrder) { o.Items[0].Units = maxUnits + 1 }, relay.HoldBadOrder, "items[0].units"},
		"no name":         {func(o *connectors.WarehouseOrder) { o.ShipTo.Name = " " }, relay.HoldBadAddress, "ship_to.name"},
		"no street":       {func(o *connectors.WarehouseOrder) { o.ShipTo.Street1 = "" }, relay.HoldBadAddress, "ship_to.street1"},
		"no city":         {func(o *connectors.WarehouseOrder) { o.ShipTo.City = "" }, relay.HoldBadAddress, "ship_to.city"},
		"no state":        {func(o *connectors.WarehouseOrder) { o.ShipTo.State = "" }, relay.HoldBadAddress, "ship_to.state"},
		"no zip":          {func(o *connectors.WarehouseOrder) { o.ShipTo.Zip = "" }, relay.HoldBadAddress, "ship_to.zip"},
		"no country":      {func(o *connectors.WarehouseOrder) { o.ShipTo.Country = "" }, relay.HoldBadAddress, "ship_to.country"},
		"odd country":     {func(o *connectors.WarehouseOrder) { o.ShipTo.Country = "Atlantis" }, relay.HoldBadAddress, "ship_to.country"},
		"no such country": {func(o *connectors.WarehouseOrder) { o.ShipTo.Country = "QX" }, relay.HoldBadAddress, "ship_to.country"},
		"half a service":  {func(o *connectors.WarehouseOrder) { o.Service = "UPS/" }, relay.HoldUnmappedShipMethod, "service"},
	} {
		t.Run(name, func(t *testing.T) {
			o := anOrder()
			tc.change(&o)
			_, err := newVendor(t).open(nil).PrepareOrder(o)
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, relay.Invalid, e.Kind)
			require.Equal(t, tc.reason, e.Reason)
			require.Equal(t, tc.field, e.Fields[0].Field)
			require.NotContains(t, err.Error(), "Juniper")
		})
	}
}

func TestShipBy(t *testing.T) {
	c := newVendor(t).open(nil)
	for service, want := range map[relay.Service][2]string{
		"":                            {"UPS", "UPS GROUND - Commercial"},
		"UPS/UPS GROUND - Commercial": {"UPS", "UPS GROUND - Commercial"},
		" FEDEX / 2 Day / Saturday ":  {"FEDEX", "2 Day / Saturday"},
		"UPS 2ND DAY AIR":             {"UPS", "UPS 2ND DAY AIR"},
	} {
		via, got := c.shipBy(service)
		require.Equal(t, want, [2]string{via, got})
	}
}

// The merchant's rules may name carrier and service for every ship method: then
// nothing is missing without defaults, and an order that needs them is held.
func TestWithoutDefaultsForShipping(t *testing.T) {
	held := func(c *connection, service relay.Service) string {
		o := anOrder()
		o.Service = service
		_, err := c.PrepareOrder(o)
		if err == nil {
			return ""
		}
		var e *relay.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, relay.HoldUnmappedShipMethod, e.Reason)
		require.Equal(t, "service", e.Fields[0].Field)
		require.Equal(t, string(service), e.Fields[0].Value)
		return e.Fields[0].Message
	}
	const want = "want carrier and service in the ship method, such as UPS/UPS GROUND - Commercial"
	for _, tc := range []struct {
		via, service string
		note         string
		holds        map[relay.Service]string
	}{
		{"UPS", "UPS GROUND - Commercial", "", map[relay.Service]string{"": "", "GADQ": "", "UPS/GADQ": "", "UPS/": want}},
		{"UPS", "", "without settings.ship_service an order is held that has no ship method",
			map[relay.Service]string{"": want + ", or settings.ship_service", "GADQ": "", "UPS/GADQ": "", "UPS/": want}},
		{"", "GADQ", "without settings.ship_via an order is held unless its ship method names carrier and service, such as UPS/UPS GROUND - Commercial",
			map[relay.Service]string{"": want + ", or settings.ship_via", "GADQ": want + ", or the carrier as settings.ship_via", "UPS/GADQ": "", "/GADQ": want}},
		{"", "", "without settings.ship_via and settings.ship_service an order is held unless its ship method names carrier and service, such as UPS/UPS GROUND - Commercial",
			map[relay.Service]string{"": want + ", or settings.ship_via and settings.ship_service", "UPS/GADQ": ""}},
	} {
		v := newVendor(t)
		v.on(getBatch, stockOf(getBatch, 1, item("Bergen Logistics NJ2", teeUPC, 1, 0)))
		v.on(getByUPCs, shelf(item("Bergen Logistics NJ2", teeUPC, 1, 0)))
		c := v.open(connectors.Values{"ship_via": tc.via, "ship_service": tc.service})
		report, err := c.Check(t.Context())
		require.NoError(t, err)
		require.Empty(t, report.Missing)
		note := report.Details[2:] // behind the warehouse and the count of items
		if tc.note == "" {
			require.Empty(t, note)
		} else {
			require.Equal(t, []string{tc.note}, note)
		}
		for service, message := range tc.holds {
			require.Equal(t, message, held(c, service), "%q with %q and %q", service, tc.via, tc.service)
		}
	}
}

func TestAddresses(t *testing.T) {
	for name, tc := range map[string]struct {
		form string
		in   relay.Address
		want addressBody
	}{
		"a company": {"name", relay.Address{Name: "Señora  Ejemplo Núm", Company: "Acme", Street1: "1 A\nSt", City: "Troy", State: "NY", Zip: "12180", Country: "us"},
			addressBody{FirstName: "Señora Ejemplo", LastName: "Núm", Company: "Acme", Address1: "1 A St", City: "Troy", State: "NY", Zip: "12180", Country: "United States"}},
		"one name": {"code", relay.Address{Name: "Cher", Street1: "1 A St", City: "Troy", State: "NY", Zip: "12180", Country: "US"},
			addressBody{FirstName: "Cher", Company: "Cher", Address1: "1 A St", City: "Troy", State: "NY", Zip: "12180", Country: "US"}},
		"abroad": {"name", relay.Address{Name: "Jo Doe", Street1: "1 Rue", City: "Montréal", State: "QC", Zip: "H2X 1Y4", Country: "CA"},
			addressBody{FirstName: "Jo", LastName: "Doe", Company: "Jo Doe", Address1: "1 Rue", City: "Montréal", Region: "QC", Zip: "H2X 1Y4", Country: "Canada"}},
		"no region": {"name", relay.Address{Company: "Limited", Street1: "1 Road", City: "Hong Kong", Country: "DE"},
			addressBody{Company: "Limited", Address1: "1 Road", City: "Hong Kong", Country: "Germany"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := newVendor(t).open(connectors.Values{"country_form": tc.form}).address(tc.in)
			require.Empty(t, problems)
			require.Equal(t, tc.want, got)
		})
	}
	// The vendor names no limits; a merchant who met one sets it.
	limited := newVendor(t).open(connectors.Values{"address_limits": "company 8"})
	_, problems := limited.address(mira())
	require.Equal(t, "ship_to.company", problems[0].Field, "a private person stands there too")
	long := mira()
	long.Street1 = strings.Repeat("long ", 200) + "end"
	got, problems := newVendor(t).open(nil).address(long)
	require.Empty(t, problems)
	require.Equal(t, long.Street1, got.Address1, "nothing is cut off silently")
}

func TestAcceptedMeansReceived(t *testing.T) {
	for name, answer := range map[string]reply{
		"success":        saved,
		"other words":    addTicket.notes(0, "", "ok"),
		"no code":        addTicket.says("<Notifications><Notification><Severity>Success</Severity></Notification></Notifications>"),
		"pending import": addTicket.notes(87, "PendingImport", "Pending import"),
		"v2 id":          addTicket.says(notifications(0, "Success", "Data saved successfully") + "<PickTicketId>0</PickTicketId>"),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(addTicket, answer)
			c := v.open(connectors.Values{"answer_within": "90m"})
			got, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.NoError(t, err)
			require.Equal(t, connectors.Accepted{ID: number, Status: 200, AnswerWithin: 90 * time.Minute}, got)
		})
	}
}

// Section 5.1 and 7.4, and the likes of them.
func TestRefusedOrders(t *testing.T) {
	for name, tc := range map[string]struct {
		answer reply
		kind   relay.ErrorKind
		reason relay.HoldReason
		code   string
		fields []relay.Problem
	}{
		"ship via":     {addTicket.notes(56, "ShipViaError", "PickTicket/ShipVia is not valid"), relay.Invalid, relay.HoldUnmappedShipMethod, "56", []relay.Problem{{Field: "service", Message: "PickTicket/ShipVia is not valid"}}},
		"ship service": {addTicket.notes(61, "ShipServiceError", "PickTicket/ShipService is not valid"), relay.Invalid, relay.HoldUnmappedShipMethod, "61", []relay.Problem{{Field: "service", Message: "PickTicket/ShipService is not valid"}}},
		"state":        {addTicket.notes(10, "StateError", "State for ShipToAddress is required for USA"), relay.Invalid, relay.HoldBadAddress, "10", []relay.Problem{{Field: "ship_to.state", Message: "State for ShipToAddress is required for USA"}}},
		"country":      {addTicket.notes(12, "DataNotValid", "PickTicket/ShipToAddress/Country is not valid"), relay.Invalid, relay.HoldBadAddress, "12", []relay.Problem{{Field: "ship_to.country", Message: "PickTicket/ShipToAddress/Country is not valid"}}},
		"several": {addTicket.notes(61, "ShipServiceError", "PickTicket/ShipService is not valid", 10, "StateError", "State for ShipToAddress is required for USA",
			33, "UpcCodeError", "PickTicket/LineItem/UPC[item 2] is not valid"), relay.Invalid, relay.HoldUnmappedShipMethod, "61",
			[]relay.Problem{{Field: "service", Message: "PickTicket/ShipService is not valid"}, {Field: "ship_to.state", Message: "State for ShipToAddress is required for USA"},
				{Field: "items[1].code", Value: longUPC, Message: "PickTicket/LineItem/UPC[item 2] is not valid"}}},
		"unknown upc":      {addTicket.notes(33, "UpcCodeError", "PickTicket/LineItem/UPC[item 1] is not valid"), relay.Invalid, relay.HoldUnknownItem, "33", []relay.Problem{{Field: "items[0].code", Value: teeUPC, Message: "PickTicket/LineItem/UPC[item 1] is not valid"}}},
		"item that is not": {addTicket.notes(33, "UpcCodeError", "PickTicket/LineItem/UPC[item 9] is not valid"), relay.Invalid, relay.HoldUnknownItem, "33", []relay.Problem{{Field: "items[8].code", Message: "PickTicket/LineItem/UPC[item 9] is not valid"}}},
		"quantity":         {addTicket.notes(12, "DataNotValid", "PickTicket/LineItem/Quantity[item 2] is not valid"), relay.Invalid, relay.HoldBadOrder, "12", []relay.Problem{{Field: "items[1].units", Value: longUPC, Message: "PickTicket/LineItem/Quantity[item 2] is not valid"}}},
		"number":           {addTicket.notes(12, "DataNotValid", "PickTicket/PickTicketNumber is not valid"), relay.Invalid, relay.HoldBadOrder, "12", []relay.Problem{{Field: "reference", Message: "PickTicket/PickTicketNumber is not valid"}}},
		"stock":            {addTicket.notes(70, "StockError", "Insufficient stock [item 1]"), relay.Invalid, relay.HoldInsufficientInventory, "70", []relay.Problem{{Field: "items[0].units", Value: teeUPC, Message: "Insufficient stock [item 1]"}}},
		"unknown code":     {addTicket.notes(999, "Whatever", "No"), relay.Rejected, relay.HoldRejected, "999", []relay.Problem{{Field: "order", Message: "No"}}},
		"no number":        {addTicket.notes("x", "Whatever", "No"), relay.Rejected, relay.HoldRejected, "", []relay.Problem{{Field: "order", Message: "No"}}},
		"client fault":     {faults("soap:Client", "Instance validation error"), relay.Invalid, relay.HoldRejected, "soap:Client", nil},
		"duplicate":        {addTicket.notes(45, "PickTicketError", "PickTicket already exists"), relay.Conflict, "", "45", nil},
		"duplicate beside": {addTicket.notes(61, "ShipServiceError", "no", 45, "PickTicketError", "Duplicate PickTicketNumber"), relay.Conflict, "", "45", nil},
		"yes and no":       {addTicket.notes(0, "Success", "Data saved successfully", 61, "ShipServiceError", "no"), relay.Unknown, "", "61", nil},
		// Promise 1: not a yes. A spent token may be answered so.
		"nothing": {addTicket.says("<Notifications />"), relay.Unknown, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(addTicket, tc.answer)
			c := v.open(nil)
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.kind, e.Kind)
			require.Equal(t, tc.reason, e.Reason)
			require.Equal(t, tc.code, e.Code)
			require.Equal(t, tc.fields, e.Fields)
			require.Len(t, v.requests(addTicket), 1)
			requireSafe(t, v, err)
		})
	}
}

func TestSubmitOrderTakesOnlyItsOwnBody(t *testing.T) {
	v := newVendor(t)
	for _, body := range []string{"", "{}", "<PickTicket/>", `<PickTicket xmlns="http://rex11.com/swpublicapi/PickTicket.xsd"><PickTicketNumber>a/b</PickTicketNumber></PickTicket>`} {
		_, err := v.open(nil).SubmitOrder(t.Context(), connectors.Prepared{Body: []byte(body)})
		require.ErrorIs(t, err, relay.Invalid)
	}
	require.Empty(t, v.requests(operation{}))
}
