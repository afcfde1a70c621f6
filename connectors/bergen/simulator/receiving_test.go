package simulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const rt = `xmlns="http://rex11.com/swpublicapi/ReceivingTicket.xsd"`

func receiptXML(token, po, country string, item ...kv) string {
	return `<ReceivingTicketAdd ` + tns + `>` + kv{upperToken, token}.xml() + `<receivingTicket ` + rt + `><ReceivingStatus>Draft</ReceivingStatus><ReceivingStatusCode>0</ReceivingStatusCode>` +
		`<Shipmentitemslist>` + inSpace("ReceivingTicketItems.xsd", item) + `</Shipmentitemslist><ShipmentTypelist>OPENTOHANG</ShipmentTypelist>` +
		`<Warehouse>` + nj2 + `</Warehouse><CustomerPO>` + po + `</CustomerPO><TrackingNumbers>1Z1</TrackingNumbers><TrackingNumbers>1Z2</TrackingNumbers><ExpectedDate>3/20/2025</ExpectedDate>` +
		`<SupplierDetails>` + inSpace("CustomerOrder.xsd", []kv{{"CompanyName", "Mill"}, {"State", "NJ"}, {"Country", country}}) + `</SupplierDetails><Carrier>UPS</Carrier></receivingTicket></ReceivingTicketAdd>`
}

func receiptItem(size, quantity string) []kv {
	return []kv{{"Style", "TEE-01"}, {"Color", "Navy"}, {"UPC", tee}, {"Size", size}, {"ExpectedQuantity", quantity}, {"ActualQuantity", "0"}, {"DamagedQuantity", "0"},
		{"UnitCost", "4.5"}, {"ProductMSRP", "39.5"}, {"ShipmentType", "OPENTOHANG"}}
}

// received announces goods and returns the receiving ticket's number.
func (w *world) received(po, quantity string) string {
	w.t.Helper()
	r := w.send("ReceivingTicketAdd", receiptXML(w.token, po, "USA", receiptItem("M", quantity)...))
	require.Equal(w.t, []string{"Data saved successfully."}, r.texts("Message"), r.raw)
	return r.text("ReceivingTicketId")
}

func TestReceiving(t *testing.T) {
	w := newWorld(t, journalled(t), func(c *Config) { c.Progress.ImportAfter = 30 * time.Second }).stocked()
	r := w.send("ReceivingTicketAdd", receiptXML(w.token, "PO-1", "", receiptItem("", "5")...))
	require.Equal(t, []string{"12", "32"}, r.codes())
	require.Contains(t, r.raw, "<ReceivingTicketId />")
	id := w.received("PO-1", "5")
	require.Equal(t, "WHRTN000001", id)
	status := func() string {
		r := w.call("GetReceivingTicketAddStatus", kv{"receivingTicketId", id})
		return r.text("StatusCode") + " " + r.text("TicketStatus")
	}
	read := func() received { return w.call("GetReceivingTicketObjectByTicketNo", kv{"AsnTicketNumber", id}) }
	require.Equal(t, "87 PendingImport", status())
	require.Equal(t, `<GetReceivingTicketObjectByTicketNoResponse `+tns+`><GetReceivingTicketObjectByTicketNoResult><Notifications><Notification><ErrorCode>41</ErrorCode>`+
		`<Severity>InvalidAsnError</Severity><Message>Invalid ASN Ticket number</Message></Notification></Notifications><ReceivingTicketByTicketNo /></GetReceivingTicketObjectByTicketNoResult></GetReceivingTicketObjectByTicketNoResponse>`, read().inside())
	w.clock.Pass(30 * time.Second)
	require.Equal(t, "0 Success", status())
	r = read()
	for name, want := range map[string]string{
		"ReceivingStatus": "Draft", "ReceivingStatusCode": "100", "CreatedDate": "3/14/2025 11:00:30 AM", "Style": "tee-01", "Color": "navy", "Size": "m", "Carrier": "ups",
		"ShipmentType": "NA", "State": "", "Country": "United States", "UnitCost": "4.5", "ActualQuantity": "0", "ExpectedDate": "3/20/2025",
	} {
		require.Equal(t, want, r.text(name), name)
	}
	require.Equal(t, []string{"1Z1", "1Z2"}, r.texts("TrackingNumbers"))
	w.restart()
	require.Equal(t, r.raw, read().raw)

	w.placed("SO1", lines(tee, "12"))
	w.clock.Pass(time.Minute)
	require.Equal(t, StatusNoStock, w.state("SO1"))
	require.NoError(t, w.sim.Receive(id))
	require.ErrorIs(t, w.sim.Receive(id), ErrWrongStep)
	require.ErrorIs(t, w.sim.Receive("WHRTN9"), ErrNotFound)
	require.Equal(t, StatusNew, w.state("SO1"), "the goods help those who wait")
	require.EqualValues(t, 15, w.sim.Stock("ACME1A")[0].OnHand)
	r = read()
	require.Equal(t, "AddedToInventory", r.text("ReceivingStatus"))
	require.Equal(t, "5", r.text("ActualQuantity"))
	require.Equal(t, "03/14/2025 11:01:30", r.text("AddedToInventoryDate"))

	days := func(start, end string) []kv { return []kv{{start, "03/14/2025"}, {end, "03/14/2025"}} }
	require.Equal(t, []string{id}, w.call("GetReceivingTicketsByPO", kv{"customerPO", "PO-1"}).texts("string"))
	require.Empty(t, w.call("GetReceivingTicketsByPO", kv{"customerPO", "PO-2"}).texts("string"))
	require.Equal(t, []string{id}, w.call("GetReceivingTicketsByStatusAndCreateDate", append([]kv{{"receivingTicketStatus", "AddedToInventory"}}, days("startDate", "endDate")...)...).texts("string"))
	require.Empty(t, w.call("GetReceivingTicketsByStatusAndCreateDate", append([]kv{{"receivingTicketStatus", "Draft"}}, days("startDate", "endDate")...)...).texts("string"))
	require.Equal(t, []string{"600"}, w.call("GetReceivingStatusesByDate", days("StartDate", "EndDate")...).texts("StatusCode"))
	f, err := w.post("GetReceivingStatusesByDateConfigurable", enveloped(body("GetReceivingStatusesByDateConfigurable", append(append([]kv{{upperToken, w.token}}, days("StartDate", "EndDate")...), kv{"dateType", "1"})...)))
	require.NoError(t, err)
	require.Equal(t, "Server was unable to process request. ---> This simulator does not know the values of dateType.", f.text("faultstring"))
}

func TestAllOperationsOfTheWSDLAreThere(t *testing.T) {
	require.Len(t, operations, 28)
}
