package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const tns = `xmlns="http://rex11.com/webmethods/"`

func TestAnswersAreTheServicesByteForByte(t *testing.T) {
	w := newWorld(t).stocked()
	require.NoError(t, w.sim.SetStock(tee, "NJ2", 120))
	note := func(code, severity, message string) string {
		return `<Notifications><Notification><ErrorCode>` + code + `</ErrorCode><Severity>` + severity + `</Severity><Message>` + message +
			`</Message></Notification></Notifications>`
	}
	first := w.add(order("SO100245"))
	require.Equal(t, `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soap:Body>`+
		`<PickTicketAddResponse `+tns+`><PickTicketAddResult>`+note("0", "Success", "Data saved successfully")+`</PickTicketAddResult></PickTicketAddResponse>`+
		`</soap:Body></soap:Envelope>`, first.raw)
	for name, value := range map[string]string{
		"Cache-Control": "private, max-age=0", "Content-Type": "text/xml; charset=utf-8", "Server": "Microsoft-IIS/7.5",
		"X-Aspnet-Version": "4.0.30319", "X-Powered-By": "ASP.NET", "Content-Length": fmt.Sprint(len(first.raw)), "Date": "Fri, 14 Mar 2025 15:00:00 GMT",
	} {
		require.Equal(t, value, first.header.Get(name), name)
	}

	require.Equal(t, `<PickTicketAddResponse `+tns+`><PickTicketAddResult><Notifications>`+
		`<Notification><ErrorCode>61</ErrorCode><Severity>ShipServiceError</Severity><Message>PickTicket/ShipService is not valid</Message></Notification>`+
		`<Notification><ErrorCode>10</ErrorCode><Severity>StateError</Severity><Message>State for ShipToAddress is required for USA</Message></Notification>`+
		`</Notifications></PickTicketAddResult></PickTicketAddResponse>`,
		w.add(order("SO1", head("ShipService", "GADQ"), shipTo("State", ""))).inside())

	require.Equal(t, `<AuthenticationTokenGetResponse `+tns+`><AuthenticationTokenGetResult /></AuthenticationTokenGetResponse>`,
		w.ask("AuthenticationTokenGet", kv{"WebAddress", "www.northwind-demo.example"}, kv{"UserName", "API_USER"}, kv{"Password", "wrong"}).inside())
	require.Equal(t, `<AuthenticationTokenGetResponse `+tns+`><AuthenticationTokenGetResult>`+w.token+`</AuthenticationTokenGetResult></AuthenticationTokenGetResponse>`,
		w.ask("AuthenticationTokenGet", kv{"WebAddress", "www.northwind-demo.example"}, kv{"UserName", "API_USER"}, kv{"Password", "p&<w>"}).inside())

	require.Equal(t, `<GetPickTicketAddStatusResponse `+tns+`><GetPickTicketAddStatusResult><Notifications /><PickTicketStatus><PickTicketNumber>SO100245</PickTicketNumber>`+
		`<StatusCode>0</StatusCode><Status>Success</Status><StatusDetails>Data imported successfully</StatusDetails></PickTicketStatus></GetPickTicketAddStatusResult></GetPickTicketAddStatusResponse>`,
		w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", "SO100245"}).inside())
	require.Equal(t, `<GetPickTicketObjectByBarCodeResponse `+tns+`><GetPickTicketObjectByBarCodeResult>`+note("83", "BarCodeError", "BarCode doesn't exist")+
		`</GetPickTicketObjectByBarCodeResult></GetPickTicketObjectByBarCodeResponse>`, w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO9"}).inside())
	require.Equal(t, `<GetInventoryByUPCsResponse `+tns+`><GetInventoryByUPCsResult><Notifications /><Inventory>`+
		`<item><Warehouse>Bergen Logistics NJ2</Warehouse><WarehouseId>4</WarehouseId><Sku /><Style>TEE-01</Style><Color>navy</Color><Size>M</Size><Upc>840011200013</Upc><Description>Organic tee</Description><Price>39.5</Price><ActualQuantity>120</ActualQuantity><PendingQuantity>2</PendingQuantity></item>`+
		`<item><Warehouse>Bergen Logistics NJ3</Warehouse><WarehouseId>5</WarehouseId><Sku /><Style>TEE-01</Style><Color>navy</Color><Size>M</Size><Upc>840011200013</Upc><Description>Organic tee</Description><Price>39.5</Price><ActualQuantity>0</ActualQuantity><PendingQuantity>0</PendingQuantity></item>`+
		`</Inventory></GetInventoryByUPCsResult></GetInventoryByUPCsResponse>`,
		w.send("GetInventoryByUPCs", `<GetInventoryByUPCs `+tns+`><AuthenticationString>`+w.token+`</AuthenticationString><UPCs><string>`+tee+`</string><string>unknown</string></UPCs></GetInventoryByUPCs>`).inside())
	require.Equal(t, `<GetInventoryByStyleResponse `+tns+`><GetInventoryByStyleResult><Notifications /><Inventory /></GetInventoryByStyleResult></GetInventoryByStyleResponse>`,
		w.call("GetInventoryByStyle", kv{"style", "none"}).inside())
	require.Equal(t, `<CancelPickTicketResponse `+tns+`><CancelPickTicketResult>`+note("0", "Success", "PickTicket cancelled")+`</CancelPickTicketResult></CancelPickTicketResponse>`,
		w.call("CancelPickTicket", kv{"PickTicketId", "SO100245"}).inside())
}

// TestShippedTicketInBoxes compares with the sample of wire/bergen-rex11.md section
// 9.5, whose carton, dates and texts it repeats.
func TestShippedTicketInBoxes(t *testing.T) {
	w := newWorld(t).stocked()
	w.placed("SO100245", head("CustomerPONumber", "WEB-2025-000100245"))
	w.clock.Pass(3 * 24 * time.Hour)
	require.NoError(t, w.sim.Ship("SO100245", Package{Items: map[string]int64{tee: 2}, TrackingNumber: "1Z999AA10123456784"}, Package{}))
	got := w.ask("GetPickTicketObjectItemsInBoxesV2", kv{"authenticationString", w.login(w.cfg.Accounts[0])}, kv{"ptbarcode", "ACME1ASO100245"})

	const box2, co, pkg, ptd = `xmlns="http://rex11.com/swpublicapi/OutBoundPickTicketItemsInBoxesV2.xsd"`, `xmlns="http://rex11.com/swpublicapi/CustomerOrder.xsd"`,
		`xmlns="http://rex11.com/swpublicapi/OutBoundPackage.xsd"`, `xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd"`
	leaves := func(space string, pairs ...string) string {
		var b strings.Builder
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				fmt.Fprintf(&b, "<%s %s />", pairs[i], space)
				continue
			}
			fmt.Fprintf(&b, "<%s %s>%s</%s>", pairs[i], space, pairs[i+1], pairs[i])
		}
		return b.String()
	}
	require.True(t, strings.HasPrefix(got.inside(), `<GetPickTicketObjectItemsInBoxesV2Response `+tns+`><GetPickTicketObjectItemsInBoxesV2Result><Notifications /><PickTicket>`+
		leaves(box2, "PickTicketNumber", "ACME1ASO100245", "WareHouse", "BERGEN LOGISTICS NJ2", "OrderDate", "03/14/2025", "StartDate", "", "CancelDate", "",
			"ShipDate", "03/18/2025", "ActualShipDate", "03/17/2025", "ShipmentStatusCode", "900", "PaymentTerms", "NET", "ShipVia", "UPS", "DvPercentage", "10",
			"BillingOption", "PREPAID", "ShipService", "UPSGROUND-Commercial", "CustomerPoNumber", "WEB-2025-000100245", "OrderNumber", "SO100245", "UseAccountUps", "false")+
		`<ShipToAddress `+box2+`>`+
		leaves(co, "FirstName", "", "LastName", "", "CompanyName", "Dana Example", "Address1", "48 Juniper Way", "Address2", "Apt 3", "City", "Troy", "State", "NY",
			"Zip", "12180", "Country", "United States", "Non_US_Region", "", "Phone", "518-555-0142", "Fax", "", "Email", "dana@example.test")+
		`</ShipToAddress><PackageList `+box2+`><LineItems `+pkg+`>`+
		leaves(ptd, "Style", "TEE-01", "Description", "Organic tee", "Color", "navy", "Size", "M", "UPC", tee, "UnitPrice", "39.5", "Quantity", "2",
			"RequestedQuantity", "2", "ShippedQuantity", "2")+
		`</LineItems>`+leaves(pkg, "PackageWeight", "1.4", "Uom", "LB", "PackageId", "1", "TrackingNumber", "1Z999AA10123456784", "PackageLength", "12",
		"PackageWidth", "9", "PackageHeight", "3.5", "PackageType", "BOX", "PackageUniqueId", "7700001")+`</PackageList><PackageList `), got.inside())
	require.True(t, strings.HasSuffix(got.inside(), `</PackageList>`+
		leaves(box2, "Totalshipmentqty", "3", "ShipmentStatus", "Shipped Complete", "FreightCharge", "17.82", "MasterTrackingNumber", "1Z999AA10123456784")+
		`</PickTicket></GetPickTicketObjectItemsInBoxesV2Result></GetPickTicketObjectItemsInBoxesV2Response>`), got.inside())
}

func TestTicketRefusals(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Behaviour.MaxNumberLength = 14 }).stocked()
	w.placed("SO1")
	for name, c := range map[string]struct {
		edits []func(*draft)
		want  []string // code and message
	}{
		"no number":        {[]func(*draft){head("PickTicketNumber", "")}, []string{"12 PickTicket/PickTicketNumber is not valid"}},
		"number too long":  {[]func(*draft){head("PickTicketNumber", "SO1234567890123")}, []string{"12 PickTicket/PickTicketNumber is not valid"}},
		"taken":            {[]func(*draft){head("PickTicketNumber", "SO1")}, []string{"45 PickTicket already exists"}},
		"taken, prefixed":  {[]func(*draft){head("PickTicketNumber", "ACME1ASO1")}, []string{"45 PickTicket already exists"}},
		"unknown ship via": {[]func(*draft){head("ShipVia", "PIGEON")}, []string{"56 PickTicket/ShipVia is not valid", "61 PickTicket/ShipService is not valid"}},
		"no ship via":      {[]func(*draft){head("ShipVia", "")}, []string{"56 PickTicket/ShipVia is not valid", "61 PickTicket/ShipService is not valid"}},
		"other's service":  {[]func(*draft){head("ShipService", "FEDEX GROUND")}, []string{"61 PickTicket/ShipService is not valid"}},
		"strange building": {[]func(*draft){head("WareHouse", "BERGEN LOGISTICS HK")}, []string{"12 PickTicket/WareHouse is not valid"}},
		"no state, US":     {[]func(*draft){shipTo("State", "")}, []string{"10 State for ShipToAddress is required for USA"}},
		"no state, USA":    {[]func(*draft){shipTo("State", ""), shipTo("Country", "USA")}, []string{"10 State for ShipToAddress is required for USA"}},
		"no lines":         {[]func(*draft){lines()}, []string{"12 PickTicket/LineItem is not valid"}},
		"unknown UPC":      {[]func(*draft){lines(tee, "1", "nope", "1")}, []string{"33 PickTicket/LineItem/UPC[item 2] is not valid"}},
		"nothing of it":    {[]func(*draft){lines(tee, "0")}, []string{"32 PickTicket/LineItem/Quantity[item 1] is not valid"}},
		"half of it":       {[]func(*draft){lines(tee, "1.5")}, []string{"32 PickTicket/LineItem/Quantity[item 1] is not valid"}},
		"all at once": {[]func(*draft){head("ShipVia", "PIGEON"), shipTo("State", ""), lines("nope", "-1", tee, "0")}, []string{
			"56 PickTicket/ShipVia is not valid", "61 PickTicket/ShipService is not valid", "10 State for ShipToAddress is required for USA",
			"33 PickTicket/LineItem/UPC[item 1] is not valid", "32 PickTicket/LineItem/Quantity[item 1] is not valid",
			"32 PickTicket/LineItem/Quantity[item 2] is not valid"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.add(order("SO2", c.edits...))
			var got []string
			for i, m := range r.texts("Message") {
				got = append(got, r.codes()[i]+" "+m)
			}
			require.Equal(t, c.want, got)
			require.Len(t, w.sim.Orders(""), 1, "nothing is saved")
		})
	}
}

func TestTicketsThatAreAccepted(t *testing.T) {
	w := newWorld(t).stocked()
	for name, edits := range map[string][]func(*draft){
		"service in other case":      {head("ShipService", "UPS GROUND - COMMERCIAL")},
		"via in other case":          {head("ShipVia", "ups")},
		"no state abroad":            {shipTo("State", ""), shipTo("Country", "IE")},
		"one line's quantity as 1.0": {lines(tee, "1.0")},
		"one item on two lines":      {lines(tee, "1", tee, "1")},
		"more than there is":         {lines(tee, "11")},
	} {
		t.Run(name, func(t *testing.T) { w.placed("SO"+name, edits...) })
	}
	require.EqualValues(t, 6, w.sim.Stats().TicketsAccepted)
}

// TestServerIsLenient holds section 2.5: prefixes and order don't matter, required
// elements may be missing, what is in the wrong namespace is not seen.
func TestServerIsLenient(t *testing.T) {
	w := newWorld(t).stocked()
	w.spoilt = true
	send := func(number, rest string) received {
		return w.send("PickTicketAdd", `<m:PickTicketAdd xmlns:m="http://rex11.com/webmethods/" xmlns:p="http://rex11.com/swpublicapi/PickTicket.xsd" xmlns:d="http://rex11.com/swpublicapi/PickTicketDetails.xsd">`+
			`<p:PickTicket><p:ShipService>GADQ</p:ShipService><p:ShipVia>GALETRIANGLE</p:ShipVia><p:LineItem><d:Quantity>1</d:Quantity><d:UPC>`+tee+`</d:UPC></p:LineItem>`+
			`<p:PickTicketNumber>`+number+`</p:PickTicketNumber>`+rest+`</p:PickTicket><m:AuthenticationString>`+w.token+`</m:AuthenticationString></m:PickTicketAdd>`)
	}
	require.Equal(t, []string{"12"}, send("SO1", "").codes(), "without a warehouse it is the first of the list, which this account has not")
	require.Equal(t, []string{"0"}, send("SO2", `<p:WareHouse>`+nj2+`</p:WareHouse>`).codes())
	o, _ := w.sim.Order("SO2")
	require.Equal(t, "PENDING", o.Fields["PaymentTerms"])
	require.Equal(t, "FREIGHT COLLECT ", o.Fields["BillingOption"])
	require.Equal(t, []string{"0"}, send("SO3", `<p:WareHouse>`+nj3+`</p:WareHouse><m:OrderNumber>X</m:OrderNumber><p:ordernumber>Y</p:ordernumber>`).codes())
	o, _ = w.sim.Order("SO3")
	require.Empty(t, o.Order)
	require.EqualValues(t, 3, w.sim.Stats().Violations, "and yet each is a violation")
	require.Contains(t, w.sim.Violations()[0], "PickTicketAdd request: ")
}

func TestFaults(t *testing.T) {
	w := newWorld(t).stocked()
	w.spoilt = true
	good := order("SO1").xml(w.token)
	for name, c := range map[string]struct{ action, message, want string }{
		"not XML":           {"PickTicketAdd", "<a><b></a>", "soap:Client Server was unable to read request. ---> There is an error in XML document (1, "},
		"nothing":           {"PickTicketAdd", "", "soap:Client Server was unable to read request. ---> There is an error in XML document (0, 0). ---> Root element is missing."},
		"no envelope":       {"PickTicketAdd", good, "soap:Client Server was unable to read request."},
		"unknown warehouse": {"PickTicketAdd", enveloped(order("SO1", head("WareHouse", "Bergen Logistics NJ2")).xml(w.token)), "soap:Client Server was unable to read request. ---> There is an error in XML document (1, 1). ---> Instance validation error: 'Bergen Logistics NJ2' is not a valid value for PickTicketWareHouse."},
		"quantity in words": {"PickTicketAdd", enveloped(order("SO1", lines(tee, "two")).xml(w.token)), "soap:Client Server was unable to read request."},
		"quantity NaN":      {"PickTicketAdd", enveloped(order("SO1", lines(tee, "NaN")).xml(w.token)), "soap:Client Server was unable to read request."},
		"batch in words":    {"GetInventoryByBatch", enveloped(body("GetInventoryByBatch", kv{"authenticationString", w.token}, kv{"batchNumber", "one"})), "soap:Client Server was unable to read request."},
		"unknown action":    {"PickTicketPut", enveloped(good), "soap:Client Server did not recognize the value of HTTP Header SOAPAction: http://rex11.com/webmethods/PickTicketPut."},
		"another action":    {"CancelPickTicket", enveloped(good), "soap:Client Server did not recognize the value of HTTP Header SOAPAction: http://rex11.com/webmethods/CancelPickTicket."},
		"no date":           {"GetPickTicketStatusesByDate", enveloped(body("GetPickTicketStatusesByDate", kv{"AuthenticationString", w.token}, kv{"StartDate", "2025-03-14"}, kv{"EndDate", "03/14/2025"})), "soap:Server Server was unable to process request. ---> String was not recognized as a valid DateTime."},
		"collapsed status":  {"GetPickTickesByStatusAndCreateDate", enveloped(body("GetPickTickesByStatusAndCreateDate", kv{"AuthenticationString", w.token}, kv{"pickTicketStatus", "Picked - Pending QA Check"}, kv{"startDate", "03/14/2025"}, kv{"endDate", "03/14/2025"})), "soap:Client Server was unable to read request."},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := w.post(c.action, c.message)
			require.NoError(t, err)
			require.Equal(t, 500, r.status)
			require.Equal(t, "text/xml; charset=utf-8", r.header.Get("Content-Type"))
			require.Contains(t, r.text("faultcode")+" "+r.text("faultstring"), c.want)
			require.Contains(t, r.raw, "<detail /></soap:Fault>")
			require.Empty(t, w.sim.Orders(""))
		})
	}
}

func TestSOAPActionMayBeMissing(t *testing.T) {
	w := newWorld(t).stocked()
	req, err := http.NewRequest(http.MethodPost, w.URL()+"/ws/v3staging/PublicAPIWS.asmx", strings.NewReader(enveloped(order("SO1").xml(w.token))))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "text/xml")
	r, err := w.do(req)
	require.NoError(t, err)
	require.Equal(t, []string{"0"}, r.codes())
	require.EqualValues(t, 1, w.sim.Stats().NoSOAPAction)
}

func TestOtherRequests(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		method, path, contentType string
		status                    int
	}{
		"elsewhere":   {"POST", "/ws/v3prod/other.asmx", "text/xml", 404},
		"GET binding": {"GET", endpoint + "/GetInventory", "", 404},
		"no POST":     {"GET", endpoint, "", 405},
		"SOAP 1.2":    {"POST", endpoint, "application/soap+xml", 415},
		"WSDL":        {"GET", endpoint + "?WSDL", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, w.URL()+c.path, nil)
			require.NoError(t, err)
			req.Header.Set("Content-Type", c.contentType)
			r, err := w.do(req)
			require.NoError(t, err)
			require.Equal(t, c.status, r.status)
			if name == "WSDL" {
				require.Contains(t, r.raw, `<soap:address location="`+w.URL()+endpoint+`"/>`)
			}
		})
	}
}

func TestStaging(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Progress.ImportAfter = 30 * time.Second }).stocked()
	status := func(number string) string {
		r := w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", number})
		return strings.Join([]string{r.text("StatusCode"), r.text("Status"), r.text("StatusDetails")}, " ")
	}
	w.placed("SO1")
	require.Equal(t, "87 PendingImport Pending import", status("SO1"))
	require.Equal(t, []string{"83"}, w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO1"}).codes())
	require.Empty(t, w.call("GetPickTicketsByOrderNumber", kv{"orderNumber", "SO1"}).texts("string"))
	require.EqualValues(t, 0, w.sim.Stock("ACME1A")[0].Pending, "nothing is promised yet")
	require.Equal(t, []string{"45"}, w.add(order("SO1")).codes(), "the number is taken all the same")
	require.Equal(t, []string{"45"}, w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", "SO9"}).codes())

	w.clock.Pass(29 * time.Second)
	require.Equal(t, StateStaged, w.state("SO1"))
	w.clock.Pass(time.Second)
	require.Equal(t, "0 Success Data imported successfully", status("SO1"))
	require.Equal(t, []string{"ACME1ASO1"}, w.call("GetPickTicketsByOrderNumber", kv{"orderNumber", "SO1"}).texts("string"))
	require.EqualValues(t, 2, w.sim.Stock("ACME1A")[0].Pending)

	w.behave(func(b *Behaviour) { b.UnknownUPCLater = true })
	w.placed("SO2", lines(tee, "1", "later", "1"))
	w.clock.Pass(time.Minute)
	require.Equal(t, "1 Error Failed: PickTicket/LineItem/UPC[item 2] is not valid", status("SO2"))
	require.Equal(t, []string{"45"}, w.call("CancelPickTicket", kv{"PickTicketId", "SO2"}).codes())
	require.NoError(t, w.sim.AddProduct(Product{UPC: "later"}))
	w.placed("SO2", lines(tee, "1", "later", "1"))
	w.clock.Pass(time.Minute)
	require.Equal(t, "0 Success Data imported successfully", status("SO2"), "a number whose import failed is free")
	require.Equal(t, []string{"later"}, w.sim.shortOf("SO2"))

	w.behave(func(b *Behaviour) { b.FailImport, b.AddStatus = "the database is full", AddStatusNotifications })
	w.placed("SO3")
	w.clock.Pass(time.Minute)
	r := w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", "SO3"})
	require.Equal(t, []string{"Failed: the database is full"}, r.texts("Message"))
	require.Empty(t, r.all("PickTicketStatus"))
	w.behave(func(b *Behaviour) { b.FailImport, b.AddStatus, b.StagedUnknown = "", AddStatusBoth, true })
	w.placed("SO4")
	require.Equal(t, []string{"45"}, w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", "SO4"}).codes())
	w.clock.Pass(time.Minute)
	r = w.call("GetPickTicketAddStatus", kv{"pickTicketNumber", "SO4"})
	require.Equal(t, []string{"0"}, r.codes())
	require.Equal(t, "Success", r.text("Status"))

	w.behave(func(b *Behaviour) { b.ManualImports = true })
	w.placed("SO5")
	w.placed("SO6")
	w.clock.Pass(time.Hour)
	require.Equal(t, StateStaged, w.state("SO5"))
	require.NoError(t, w.sim.Step("SO5"))
	require.NotEqual(t, StateStaged, w.state("SO5"))
	require.NoError(t, w.sim.FailImport("SO6", "no such customer"))
	require.Equal(t, StateFailed, w.state("SO6"))
	require.ErrorIs(t, w.sim.FailImport("SO5", "late"), ErrWrongStep)
}

// shortOf lists what a ticket that waits for stock lacks.
func (s *Simulator) shortOf(number string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, t := s.find(number, s.now())
	var out []string
	for _, u := range t.left() {
		if l := b.levels(u.UPC)[b.building(t.warehouse())]; t.Status == StatusNoStock && l.onHand-l.pending < u.Quantity {
			out = append(out, u.UPC)
		}
	}
	return out
}

func TestStagedTicketsCanBeCancelled(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Progress.ImportAfter = time.Minute }).stocked()
	w.placed("SO1")
	require.Equal(t, []string{"0"}, w.call("CancelPickTicket", kv{"PickTicketId", "SO1"}).codes())
	w.clock.Pass(10 * time.Minute)
	require.Equal(t, "Cancelled", w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO1"}).text("ShipmentStatus"))
	w.behave(func(b *Behaviour) { b.StagedCancel45 = true })
	w.placed("SO2")
	r := w.call("CancelPickTicket", kv{"PickTicketId", "SO2"})
	require.Equal(t, []string{"PickTicket does not exist"}, r.texts("Message"))
	w.clock.Pass(10 * time.Minute)
	require.Equal(t, StatusNew, w.state("SO2"))
}

func TestNoStockIsAStatus(t *testing.T) {
	w := newWorld(t).stocked()
	w.placed("SO1", lines(tee, "8", long, "1"))
	w.placed("SO2", lines(tee, "3", long, "1"))
	w.placed("SO3", lines(tee, "4"))
	w.placed("SO4", lines(tee, "2"))
	r := w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO2"})
	require.Equal(t, "CSR - No Stock", r.text("ShipmentStatus"))
	require.Equal(t, "370", r.text("ShipmentStatusCode"))
	require.Equal(t, []string{"3", "1"}, r.texts("ShippedQuantity"), "shipped as asked, from the start")
	require.Equal(t, []string{"3", "1"}, r.texts("RequestedQuantity"))
	require.Equal(t, StatusNew, w.state("SO4"), "there is enough for a smaller one")
	require.EqualValues(t, 10, w.sim.Stock("ACME1A")[0].Pending, "a ticket without stock promises nothing")
	require.Empty(t, w.call("GetPickTicketStatusesByShipDate", kv{"StartDate", "03/14/2025"}, kv{"EndDate", "03/14/2025"}).texts("TicketId"))

	require.NoError(t, w.sim.SetStock(tee, "NJ3", 50))
	require.Equal(t, StatusNoStock, w.state("SO2"), "stock elsewhere does not help")
	require.ErrorIs(t, w.sim.Release("SO2"), ErrWrongStep)
	require.ErrorIs(t, w.sim.Ship("SO2"), ErrWrongStep)
	require.NoError(t, w.sim.SetStock(tee, "NJ2", 13))
	require.Equal(t, StatusNew, w.state("SO2"), "first come, first served")
	require.Equal(t, StatusNoStock, w.state("SO3"))
	require.Equal(t, []string{"0"}, w.call("CancelPickTicket", kv{"PickTicketId", "SO1"}).codes())
	require.Equal(t, StatusNew, w.state("SO3"), "what is given back helps too")

	w.behave(func(b *Behaviour) { b.NoRecheck = true })
	w.placed("SO5", lines(tee, "9"))
	require.NoError(t, w.sim.SetStock(tee, "NJ2", 90))
	require.Equal(t, StatusNoStock, w.state("SO5"))
	require.NoError(t, w.sim.Release("SO5"))
	require.Equal(t, StatusNew, w.state("SO5"))
	w.placed("SO6", lines(tee, "900"))
	require.NoError(t, w.sim.SetStatus("SO6", "Picking in Process"))
	require.Equal(t, []string{"918"}, w.call("GetInventoryByStyle", kv{"style", "tee-01"}).texts("PendingQuantity")[:1], "more than there is")
}

func TestCancelRules(t *testing.T) {
	w := newWorld(t).stocked()
	cancel := func(number string) string {
		return w.call("CancelPickTicket", kv{"PickTicketId", number}).text("Message")
	}
	const yes, no, unknown = "PickTicket cancelled", "PickTicket can not be cancelled", "PickTicket does not exist"
	require.Equal(t, unknown, cancel("SO9"))
	require.Equal(t, unknown, cancel(""))
	require.Equal(t, yes, cancel("ACME1A"+w.placed("SO1")))
	require.Equal(t, no, cancel("SO1"), "twice")
	require.Equal(t, []string{"45"}, w.add(order("SO1")).codes(), "the number stays taken")
	w.behave(func(b *Behaviour) { b.CancelTwice, b.ReuseCancelled = true, true })
	require.Equal(t, yes, cancel("SO1"))
	w.placed("SO1")
	require.Equal(t, StatusNew, w.state("SO1"))

	require.NoError(t, w.sim.Step("SO1"))
	require.Equal(t, no, cancel("SO1"), "it is printed")
	w.behave(func(b *Behaviour) { b.CancelUntil = "Picking in Process" })
	require.NoError(t, w.sim.Step("SO1"))
	require.NoError(t, w.sim.Hold("SO1"))
	require.NoError(t, w.sim.Release("SO1"))
	require.Equal(t, yes, cancel("SO1"))
	require.NoError(t, w.sim.Hold(w.placed("SO2")))
	require.Equal(t, yes, cancel("SO2"), "customer service has it")
	require.EqualValues(t, 0, w.sim.Stock("ACME1A")[0].Pending)

	w.behave(func(b *Behaviour) { b.CancelIgnored = true })
	require.Equal(t, yes, cancel(w.placed("SO3")))
	require.Equal(t, StatusNew, w.state("SO3"))
	require.NoError(t, w.sim.Ship("SO3"))
	require.ErrorIs(t, w.sim.CancelAtWarehouse("SO3"), ErrWrongStep)
	require.NoError(t, w.sim.CancelAtWarehouse(w.placed("SO4")))
	o, _ := w.sim.Order("SO4")
	require.Equal(t, StatusCancelled, o.State)
	require.False(t, o.ByClient)
}

func TestUsualPathAndEveryStatus(t *testing.T) {
	w := newWorld(t).stocked()
	require.NoError(t, w.sim.SetStock(tee, "NJ2", 1000))
	n := w.placed("SO1", lines(tee, "1"))
	for _, want := range path {
		r := w.call("GetPickTicketObjectItemsInBoxes", kv{"ptbarcode", n})
		require.Equal(t, want, r.text("ShipmentStatus"))
		require.Equal(t, fmt.Sprint(codes[want]), r.text("ShipmentStatusCode"))
		if want != StatusShippedComplete {
			require.NoError(t, w.sim.Step(n))
		}
	}
	require.ErrorIs(t, w.sim.Step(n), ErrWrongStep)
	require.Len(t, Statuses(), 40)
	for i, status := range Statuses() {
		if status == StatusPartiallyShipped {
			continue
		}
		n := w.placed(fmt.Sprint("S", i), lines(tee, "1"))
		require.NoError(t, w.sim.SetStatus(n, status))
		r := w.call("GetPickTickesByStatusAndCreateDate", kv{"pickTicketStatus", status}, kv{"startDate", "03/14/2025"}, kv{"endDate", "03/14/2025"})
		require.Contains(t, r.texts("string"), "ACME1A"+n, "%q", status)
		o, _ := w.sim.Order(n)
		require.Equal(t, gone(status), o.UnitsShipped == 1, "%q", status)
	}
	require.ErrorIs(t, w.sim.SetStatus(n, StatusNew), ErrWrongStep, "it has left")
	require.ErrorIs(t, w.sim.SetStatus(n, StatusPartiallyShipped+"?"), ErrNotFound)

	w.behave(func(b *Behaviour) {
		b.Statuses, b.Codes = map[string]string{StatusShippedComplete: "Out the door"}, map[string]int{StatusShippedComplete: 7}
	})
	r := w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", n})
	require.Equal(t, "Out the door", r.text("ShipmentStatus"))
	require.Equal(t, "7", r.text("ShipmentStatusCode"))
}

func TestCartons(t *testing.T) {
	w := newWorld(t).stocked()
	n := w.placed("SO1")
	require.NoError(t, w.sim.Ship(n, Package{Items: map[string]int64{tee: 1}}, Package{Items: map[string]int64{long: 1}, Untracked: true}))
	r := w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", n})
	require.Equal(t, StatusPartiallyShipped, r.text("ShipmentStatus"))
	require.Len(t, r.all("PackageList"), 2)
	require.Len(t, r.texts("TrackingNumber"), 1, "one has none")
	require.Equal(t, []string{"1", "1", "1", "1"}, r.texts("ShippedQuantity"), "two cartons, two lines: what has left")
	require.EqualValues(t, 9, w.sim.Stock("ACME1A")[0].OnHand)
	require.EqualValues(t, 1, w.sim.Stock("ACME1A")[0].Pending)
	require.ErrorIs(t, w.sim.Ship(n, Package{Items: map[string]int64{tee: 2}}), ErrWrongStep)
	require.ErrorIs(t, w.sim.SetStatus(n, StatusCancelled), ErrWrongStep)

	require.NoError(t, w.sim.Ship(n))
	list := func() xmlNode {
		return w.call("GetPickTicketStatusesByShipDate", kv{"StartDate", "03/14/2025"}, kv{"EndDate", "03/14/2025"}).root
	}
	require.Len(t, list().texts("string"), 2)
	r = w.call("GetPickTicketObjectItemsInBoxesV2", kv{"ptbarcode", n})
	require.Equal(t, StatusShippedComplete, r.text("ShipmentStatus"))
	require.Len(t, r.all("PackageList"), 3)
	require.Regexp(t, `^1Z[0-9A-F]{16}$`, r.text("MasterTrackingNumber"))
	ids := r.texts("PackageUniqueId")
	require.Equal(t, []string{"7700001", "7700002", "7700003"}, ids)

	w.behave(func(b *Behaviour) { b.NoCartonTracking, b.NoMasterTracking = true, true })
	require.Empty(t, append(w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", n}).texts("TrackingNumber"),
		w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", n}).texts("MasterTrackingNumber")...))
	require.Len(t, list().texts("string"), 2, "only in the list")
	w.behave(func(b *Behaviour) { b.NoListTracking = true })
	require.Len(t, list().all("TrackingNumbers"), 1)
	require.Empty(t, list().texts("string"))

	require.NoError(t, w.sim.Ship(w.placed("SO2", head("ShipVia", "USPS"), head("ShipService", "USPS FIRST CLASS"))))
	o, _ := w.sim.Order("SO2")
	require.Regexp(t, `^[1-9][0-9]{11}$`, o.Cartons[0].TrackingNumber)
}

func TestTimedProgress(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Progress = Progress{ImportAfter: time.Minute, PrintAfter: time.Hour, ShipAfter: time.Hour, CartonsEvery: 1}
	}).stocked()
	first, second := w.placed("SO1"), w.placed("SO2")
	w.clock.Pass(time.Minute)
	require.Equal(t, StatusNew, w.state(first))
	w.clock.Pass(time.Hour)
	require.Equal(t, StatusPrinted, w.state(first))
	w.clock.Pass(time.Hour)
	require.Equal(t, StatusPartiallyShipped, w.state(first), "its cartons leave one after the other")
	w.clock.Pass(3 * time.Hour)
	o, _ := w.sim.Order(first)
	require.Equal(t, StatusShippedComplete, o.State)
	require.Len(t, o.Cartons, 3)
	require.Equal(t, newClock().Now().Add(4*time.Hour+time.Minute), o.Cartons[2].LeftAt, "at the time it was due, not when somebody looked")
	require.EqualValues(t, 3, o.UnitsShipped)
	o, _ = w.sim.Order(second)
	require.Len(t, o.Cartons, 2)
	require.Equal(t, o.Cartons[0].LeftAt, o.Cartons[1].LeftAt)
}

func TestDateRanges(t *testing.T) {
	w := newWorld(t).stocked()
	ship := func(number string, at time.Time) {
		w.clock.Pass(at.Sub(w.clock.Now()))
		w.token = w.login(w.cfg.Accounts[0])
		require.NoError(t, w.sim.Ship(w.placed(number, lines(tee, "1"))))
	}
	ship("SO1", time.Date(2025, 3, 15, 3, 59, 59, 0, time.UTC)) // the last second of the 14th in New York
	ship("SO2", time.Date(2025, 3, 15, 4, 0, 0, 0, time.UTC))
	ship("SO3", time.Date(2025, 3, 16, 12, 0, 0, 0, time.UTC))
	list := func(op, from, to string) []string {
		return w.call(op, kv{"StartDate", from}, kv{"EndDate", to}).texts("TicketId")
	}
	const byShip, byDate = "GetPickTicketStatusesByShipDate", "GetPickTicketStatusesByDate"
	require.Equal(t, []string{"ACME1ASO1"}, list(byShip, "03/14/2025", "03/14/2025"))
	require.Equal(t, []string{"ACME1ASO1", "ACME1ASO2"}, list(byShip, "3/14/2025", "3/15/2025"))
	require.Equal(t, []string{"ACME1ASO2"}, list(byShip, "03/14/2025 23:59:59 ", "03/15/2025 00:00")[1:])
	require.Empty(t, list(byShip, "03/17/2025", "03/20/2025"))
	w.behave(func(b *Behaviour) { b.EndDateExclusive = true })
	require.Empty(t, list(byShip, "03/14/2025", "03/14/2025"))
	require.Equal(t, []string{"ACME1ASO1"}, list(byShip, "03/14/2025", "03/15/2025"))

	w.behave(func(b *Behaviour) { b.EndDateExclusive, b.MaxRangeDays = false, 7 })
	require.Len(t, list(byShip, "03/10/2025", "03/17/2025"), 3)
	require.Equal(t, []string{"12"}, w.call(byShip, kv{"StartDate", "03/10/2025"}, kv{"EndDate", "03/18/2025"}).codes())

	open := w.placed("SO4", lines(tee, "1")) // imported on the 16th, planned for the 20th
	w.clock.Pass(24 * time.Hour)
	w.token = w.login(w.cfg.Accounts[0])
	require.NoError(t, w.sim.Step(open))
	require.Equal(t, []string{"ACME1ASO4"}, list(byDate, "03/17/2025", "03/17/2025"))
	w.behave(func(b *Behaviour) { b.ByDateCreated = true })
	require.Equal(t, []string{"ACME1ASO3", "ACME1ASO4"}, list(byDate, "03/16/2025", "03/17/2025"))
	require.Empty(t, list(byShip, "03/20/2025", "03/20/2025"))
	w.behave(func(b *Behaviour) { b.ByPlannedDate, b.NoPrefix = true, true })
	require.Equal(t, []string{"SO4"}, list(byShip, "03/20/2025", "03/20/2025"))
}

func TestDuplicatesMayBeAccepted(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Behaviour.AcceptDuplicates = true }).stocked()
	w.placed("SO1")
	w.placed("SO1")
	require.Equal(t, []string{"ACME1ASO1", "ACME1ASO1"}, w.call("GetPickTicketsByOrderNumber", kv{"orderNumber", "SO1"}).texts("string"))
	require.Len(t, w.sim.Orders("ACME1A"), 2)
	require.NoError(t, w.sim.Ship("SO1"))
	require.Equal(t, StatusNew, w.sim.Orders("")[0].State, "the newest has shipped")
}

func TestEcho(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Behaviour.KeepNames = true }).stocked()
	w.placed("SO1", head("UseAccountUPS", "1"), shipTo("Country", "FR"), shipTo("State", ""))
	r := w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO1"})
	require.Equal(t, "true", r.text("UseAccountUPS"))
	require.Equal(t, "FR", r.text("Country"))
	require.Equal(t, "Dana", r.text("FirstName"))
	w.behave(func(b *Behaviour) { b.UnknownFields, b.NullNotifications = true, true })
	r = w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO1"})
	require.Equal(t, "simulated", r.text("ServerVersion"))
	require.Empty(t, r.all("Notifications"))
}
