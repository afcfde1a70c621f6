package bergen

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/bergen/simulator/wsdl"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// everyRequest has every operation that the client uses, with arguments.
func everyRequest(t testing.TB) map[string][]byte {
	c := newVendor(t).open(connectors.Values{"ship_via_account": "A1B2C3", "billing_option": "freight collect", "use_account_ups": "true"})
	o := anOrder()
	o.ShipTo.Country, o.ShipTo.State = "DE", "Bayern & Söhne <b>"
	o.ShipTo.Name, o.ShipTo.Company = "Señora Ejemplo ]]> \t\x01 Núm", "Ünïcode \U0001F4E6 & Co\uFFFE"
	o.Number = "#1001 \"quoted\" 'n' \x00\x0b"
	o.Renewed = 2
	p, err := c.PrepareOrder(o)
	require.NoError(t, err)
	token := "EXAMPLE+TOKEN/0000="
	return map[string][]byte{
		"token":   getToken.request("", testAddress, testUser, testPassword),
		"add":     addTicket.request(token, p.Body),
		"status":  getAddStatus.request(token, number),
		"cancel":  cancelTicket.request(token, number),
		"ticket":  getTicket.request(token, number),
		"boxes":   getBoxes.request(token, number),
		"boxesV2": getBoxesV2.request(token, number),
		"by ship": listByShipDate.request(token, "03/01/2025", "03/15/2025"),
		"by date": listByDate.request(token, "03/01/2025", "03/15/2025"),
		"batch":   getBatch.request(token, "1"),
		"changes": getChangesBatch.request(token, "03/01/2025 13:00:00", "1"),
		"upcs":    getByUPCs.request(token, []string{teeUPC, "<&\">"}),
	}
}

// Every request is valid against the WSDL, names, namespaces, case and order
// included. (Every request of every other test is checked as well.)
func TestEveryRequestIsValid(t *testing.T) {
	for name, body := range everyRequest(t) {
		require.NoError(t, wsdl.Validate(body), name)
	}
	// The check itself can fail: the commonest traps of section 2.5.
	add := string(everyRequest(t)["add"])
	for _, trap := range [][2]string{
		{`<AuthenticationString>`, `<authenticationString>`},
		{`PickTicket.xsd">NET`, `PickTicketDetails.xsd">NET`},
		{`CustomerOrder.xsd`, `PickTicket.xsd`},
		{`UPC xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd"`, `UPC xmlns="http://rex11.com/swpublicapi/PickTicket.xsd"`},
		{`FREIGHT COLLECT `, `FREIGHT COLLECT`},
	} {
		require.Contains(t, add, trap[0])
		require.Error(t, wsdl.Validate([]byte(strings.ReplaceAll(add, trap[0], trap[1]))), trap[1])
	}
}

// The ticket of section 7.5.
func TestTicketOnTheWire(t *testing.T) {
	v := newVendor(t)
	v.on(addTicket, addTicket.notes(0, "Success", "Data saved successfully"))
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.NoError(t, err)
	got := v.requests(addTicket)[0]
	require.Equal(t, `"http://rex11.com/webmethods/PickTicketAdd"`, got.header.Get("SOAPAction"))
	require.Equal(t, "text/xml; charset=utf-8", got.header.Get("Content-Type"))
	require.EqualValues(t, len(got.body), got.length, "never chunked")
	require.NotContains(t, got.body, "abcdefgh23456777", "the token of the submission is not sent")
	type element struct {
		XMLName xml.Name
		Text    string    `xml:",chardata"`
		Inside  []element `xml:",any"`
	}
	var envelope element
	require.NoError(t, xml.Unmarshal([]byte(got.body), &envelope))
	call := envelope.Inside[0].Inside[0]
	require.Equal(t, "TOKEN+1/=", call.Inside[0].Text)
	var lines []string
	var walk func(e element, depth int)
	walk = func(e element, depth int) {
		space := strings.TrimSuffix(strings.TrimPrefix(e.XMLName.Space, "http://rex11.com/swpublicapi/"), ".xsd")
		lines = append(lines, strings.Repeat(" ", depth)+space+" "+e.XMLName.Local+" "+e.Text)
		for _, in := range e.Inside {
			walk(in, depth+1)
		}
	}
	walk(call.Inside[1], 0)
	place := func(name string) string {
		return " PickTicket " + name + " \n" + strings.Join([]string{
			"  CustomerOrder FirstName Käufer", "  CustomerOrder LastName Beispiel", "  CustomerOrder CompanyName Käufer Beispiel",
			"  CustomerOrder Address1 48 Juniper Way", "  CustomerOrder Address2 Apt 3", "  CustomerOrder City Troy", "  CustomerOrder State NY",
			"  CustomerOrder Zip 12180", "  CustomerOrder Country United States", "  CustomerOrder Phone 518-555-0142", "  CustomerOrder Email buyer@example.test",
		}, "\n")
	}
	require.Equal(t, strings.Join([]string{
		"PickTicket PickTicket ",
		" PickTicket PickTicketNumber SO100245",
		" PickTicket WareHouse BERGEN LOGISTICS NJ2",
		" PickTicket OrderDate 03/14/2025",
		" PickTicket PaymentTerms NET",
		" PickTicket ShipVia UPS",
		" PickTicket BillingOption PREPAID",
		" PickTicket ShipService UPS GROUND - Commercial",
		" PickTicket CustomerPONumber WEB-2025-000100245",
		" PickTicket OrderNumber SO100245",
		" PickTicket UseAccountUPS 0",
		place("BillToAddress"),
		place("ShipToAddress"),
		" PickTicket LineItem ",
		"  PickTicketDetails UPC 840011200013",
		"  PickTicketDetails Quantity 2",
		" PickTicket LineItem ",
		"  PickTicketDetails UPC 840011200020",
		"  PickTicketDetails Quantity 1",
	}, "\n"), strings.Join(lines, "\n"))
	requireSafe(t, v, nil)
}

const okList = `<Notifications /><PickTicketStatus><ShipmentStatus><TicketId>ACME1ASO1</TicketId><TicketStatus>Delivered</TicketStatus><StatusCode>9</StatusCode><TrackingNumbers><string>1Z1</string><string>1Z2</string></TrackingNumbers></ShipmentStatus></PickTicketStatus>`

func listDocument(inside string) string {
	return envelopeHead + `<GetPickTicketStatusesByDateResponse xmlns="http://rex11.com/webmethods/">` + inside + `</GetPickTicketStatusesByDateResponse>` + envelopeTail
}

func TestDecodeIsTolerant(t *testing.T) {
	plain := listDocument(`<GetPickTicketStatusesByDateResult>` + okList + `</GetPickTicketStatusesByDateResult>`)
	for name, body := range map[string]string{
		"as recorded":          plain,
		"other prefixes":       strings.NewReplacer("soap:", "s:", "xmlns:soap", "xmlns:s").Replace(plain),
		"other namespaces":     strings.ReplaceAll(plain, "http://rex11.com/webmethods/", "urn:else"),
		"no declaration":       strings.TrimPrefix(plain, `<?xml version="1.0" encoding="utf-8"?>`),
		"byte order mark":      "\uFEFF" + plain,
		"indented":             strings.ReplaceAll(plain, "><", ">\n  <"),
		"header and strangers": strings.ReplaceAll(strings.ReplaceAll(plain, "<soap:Body>", "<soap:Header><x><Body/></x></soap:Header><soap:Body>"), "<StatusCode>", "<New><StatusCode/></New><StatusCode>"),
		"comments":             strings.ReplaceAll(plain, "<Ticket", "<!-- <Ticket> --><Ticket"),
		"no notifications":     strings.ReplaceAll(plain, "<Notifications />", ""),
	} {
		t.Run(name, func(t *testing.T) {
			var got listAnswer
			require.NoError(t, decode([]byte(body), listByDate, &got))
			require.Len(t, got.List.Rows, 1)
			require.Equal(t, rowXML{Ticket: "ACME1ASO1", Status: "Delivered", Tracking: []string{"1Z1", "1Z2"}}, got.List.Rows[0])
		})
	}
}

func TestDecodeRefusesWhatIsNoAnswer(t *testing.T) {
	whole := listDocument(`<GetPickTicketStatusesByDateResult>` + okList + `</GetPickTicketStatusesByDateResult>`)
	deep := strings.Repeat("<a>", 100_000) + strings.Repeat("</a>", 100_000)
	for name, tc := range map[string]struct {
		body string
		want error
	}{
		"empty":          {"", errUnreadable},
		"text":           {"Service Unavailable", errUnreadable},
		"html":           {"<!DOCTYPE html><html><body>Down for maintenance</body></html>", errUnreadable},
		"html as xml":    {"<html><body><p>Down</p></body></html>", errUnreadable},
		"json":           {`{"error":"no"}`, errUnreadable},
		"half":           {whole[:len(whole)/2], errUnreadable},
		"end lost":       {strings.TrimSuffix(whole, "</soap:Envelope>"), errUnreadable},
		"other answer":   {strings.ReplaceAll(whole, "StatusesByDate", "StatusesByShipDate"), errUnreadable},
		"no result":      {listDocument(""), errNoResult},
		"latin1":         {strings.ReplaceAll(whole, `encoding="utf-8"`, `encoding="iso-8859-1"`), errUnreadable},
		"utf-16":         {strings.ReplaceAll(whole, `encoding="utf-8"`, `encoding="utf-16"`), errUnreadable},
		"bad utf-8":      {strings.ReplaceAll(whole, "Delivered", "Deli\xffvered"), errUnreadable},
		"control":        {strings.ReplaceAll(whole, "Delivered", "Deli\x02vered"), errUnreadable},
		"entity":         {strings.ReplaceAll(whole, "Delivered", "&lol;"), errUnreadable},
		"entity defined": {`<!DOCTYPE x [<!ENTITY lol SYSTEM "file:///etc/passwd">]>` + strings.ReplaceAll(whole, "Delivered", "&lol;"), errUnreadable},
		"deep":           {strings.ReplaceAll(whole, "Delivered", deep), nil},
		"deep beside":    {strings.ReplaceAll(whole, "<soap:Body>", "<soap:Body>"+deep), nil},
		"mismatched":     {strings.ReplaceAll(whole, "</TicketId>", "</TicketID>"), errUnreadable},
		"two documents":  {whole + "<", errUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			var got listAnswer
			require.ErrorIs(t, decode([]byte(tc.body), listByDate, &got), tc.want)
		})
	}
}

func TestDecodeReadsFaults(t *testing.T) {
	for code, client := range map[string]bool{"soap:Client": true, "s:Client": true, "Client": true, "soap:Sender": true, " soap:Server ": false, "": false, "soap:VersionMismatch": true} {
		body := envelopeHead + `<soap:Fault><faultcode>` + code + `</faultcode><faultstring>Server was unable. ---&gt; Käufer at 48 Juniper Way</faultstring></soap:Fault>` + envelopeTail
		err := decode([]byte(body), listByDate, &listAnswer{})
		var f *faultXML
		require.ErrorAs(t, err, &f, code)
		require.Equal(t, client, f.client(), code)
		require.NotContains(t, err.Error(), "Käufer")
	}
}

func TestHugeAnswerIsCut(t *testing.T) {
	v := newVendor(t)
	huge := listDocument(`<GetPickTicketStatusesByDateResult>` + strings.Repeat(" ", exchange.MaxBody) + `</GetPickTicketStatusesByDateResult>`)
	v.on(addTicket, raw(200, huge))
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unknown)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(listDocument(`<GetPickTicketStatusesByDateResult>` + okList + `</GetPickTicketStatusesByDateResult>`)))
	f.Add([]byte(envelopeHead + `<soap:Fault><faultcode>soap:Client</faultcode></soap:Fault>` + envelopeTail))
	f.Add([]byte(envelopeHead + `<GetPickTicketStatusesByDateResponse><GetPickTicketStatusesByDateResult>` + notifications(61, "ShipServiceError", "PickTicket/ShipService [item 1] is not valid") +
		`<PickTicketStatus><StatusCode>87</StatusCode></PickTicketStatus><PickTicket><PackageList><LineItems><UPC>1</UPC><Quantity>1e9</Quantity></LineItems><TrackingNumber>1Z</TrackingNumber></PackageList><ShipmentStatus>Shipped Complete</ShipmentStatus><ActualShipDate>3/17/2025</ActualShipDate></PickTicket><Inventory><item><Upc>1</Upc><ActualQuantity>-9</ActualQuantity></item></Inventory></GetPickTicketStatusesByDateResult></GetPickTicketStatusesByDateResponse>` + envelopeTail))
	eastern, err := time.LoadLocation("America/New_York")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		var list listAnswer
		if err := decode(body, listByDate, &list); err != nil {
			var fault *faultXML
			require.True(t, errors.Is(err, errUnreadable) || errors.Is(err, errNoResult) || errors.As(err, &fault))
		}
		var status statusAnswer
		_ = decode(body, listByDate, &status)
		_, said := readStage(status)
		_ = judge(said, nil)
		_ = judge(status.failures(), []string{teeUPC})
		var ticket ticketAnswer
		if _ = decode(body, listByDate, &ticket); ticket.Ticket != nil {
			for _, p := range packagesOf(ticket.Ticket, []string{"1Z"}, eastern) {
				require.NotEmpty(t, p.TrackingNumber)
			}
			_ = ticket.Ticket.tells()
			_ = progressOf("x", ticket.Ticket.Status)
		}
		var items stockAnswer
		_ = decode(body, listByDate, &items)
		s := newStock(func(string) bool { return true })
		for _, row := range items.items() {
			s.addRow(0, row)
		}
		_ = s.reading(time.Time{})
	})
}
