package wsdl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	tns = `xmlns="http://rex11.com/webmethods/"`
	pt  = `xmlns="http://rex11.com/swpublicapi/PickTicket.xsd"`
	ptd = `xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd"`
)

// TestSamples holds the samples of wire/bergen-rex11.md, which testdata has as the
// page has them but for the addressee.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.xml")
	require.NoError(t, err)
	require.Len(t, files, 15)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, Validate(raw), file)
	}
}

func TestEnvelopes(t *testing.T) {
	cancel := `<CancelPickTicket ` + tns + `><AuthenticationString>t</AuthenticationString><PickTicketId>SO1</PickTicketId></CancelPickTicket>`
	in := func(body string) string {
		return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">` + body + `</s:Envelope>`
	}
	require.NoError(t, Validate([]byte(in(`<s:Body>`+cancel+`</s:Body>`))))
	require.NoError(t, Validate([]byte(in(`<s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring><detail /></s:Fault></s:Body>`))))
	for name, message := range map[string]string{
		"no body":       in(``),
		"empty body":    in(`<s:Body/>`),
		"two in a body": in(`<s:Body>` + cancel + cancel + `</s:Body>`),
		"a header":      in(`<s:Header/><s:Body>` + cancel + `</s:Body>`),
		"not ours":      in(`<s:Body><x xmlns="http://example.test/"/></s:Body>`),
		"unknown call":  in(`<s:Body><PickTicketPut ` + tns + `/></s:Body>`),
		"not XML":       `<s:Envelope`,
		"nothing":       ``,
		"SOAP 1.2":      strings.Replace(in(`<s:Body>`+cancel+`</s:Body>`), "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope", 1),
	} {
		require.Error(t, Validate([]byte(message)), name)
	}
}

// TestTraps holds what a client gets wrong most easily (sections 2.5, 3, 4, 7).
func TestTraps(t *testing.T) {
	ticket := func(inside string) string {
		return `<PickTicketAdd ` + tns + `><AuthenticationString>t</AuthenticationString><PickTicket ` + pt + `>` + inside + `</PickTicket></PickTicketAdd>`
	}
	const required = `<WareHouse>BERGEN LOGISTICS NJ2</WareHouse><PaymentTerms>NET</PaymentTerms><BillingOption>FREIGHT COLLECT </BillingOption>`
	status := func(s string) string {
		return `<GetPickTickesByStatusAndCreateDate ` + tns + `><pickTicketStatus>` + s + `</pickTicketStatus></GetPickTickesByStatusAndCreateDate>`
	}
	for name, c := range map[string]struct {
		message string
		wrong   string // is in the error; "" is valid
	}{
		"a ticket":                   {ticket(required), ""},
		"lower-case token":           {`<GetInventory ` + tns + `><authenticationString>t</authenticationString></GetInventory>`, "unexpected child element authenticationString"},
		"upper-case token":           {`<GetPickTicketAddStatus ` + tns + `><AuthenticationString>t</AuthenticationString></GetPickTicketAddStatus>`, "unexpected child element AuthenticationString"},
		"ticket in the wrong space":  {`<PickTicketAdd ` + tns + `><PickTicket>` + required + `</PickTicket></PickTicketAdd>`, "unexpected child element PickTicket"},
		"line in the wrong space":    {ticket(required + `<LineItem><UPC>1</UPC></LineItem>`), "unexpected child element UPC"},
		"a line":                     {ticket(required + `<LineItem><UPC ` + ptd + `>1</UPC><Quantity ` + ptd + `>2</Quantity></LineItem>`), ""},
		"quantity in words":          {ticket(required + `<LineItem><Quantity ` + ptd + `>two</Quantity></LineItem>`), "Quantity"},
		"wrong order":                {ticket(`<PaymentTerms>NET</PaymentTerms><WareHouse>BERGEN LOGISTICS NJ2</WareHouse><BillingOption>PREPAID</BillingOption>`), "PaymentTerms"},
		"twice":                      {ticket(required + `<OrderNumber>1</OrderNumber><OrderNumber>2</OrderNumber>`), "OrderNumber"},
		"required is missing":        {ticket(`<WareHouse>BERGEN LOGISTICS NJ2</WareHouse><PaymentTerms>NET</PaymentTerms>`), "PickTicket"},
		"warehouse as inventory has": {ticket(strings.Replace(required, "BERGEN LOGISTICS NJ2", "Bergen Logistics NJ2", 1)), "enumeration"},
		"trimmed billing option":     {ticket(strings.Replace(required, "COLLECT ", "COLLECT", 1)), "enumeration"},
		"no batch number":            {`<GetInventoryByBatch ` + tns + `/>`, "GetInventoryByBatch"},
		"batch number in words":      {`<GetInventoryByBatch ` + tns + `><batchNumber>one</batchNumber></GetInventoryByBatch>`, "batchNumber"},
		"two spaces after Picked":    {status("Picked  - Pending QA Check"), ""},
		"one space after Picked":     {status("Picked - Pending QA Check"), "facet"},
		"tab after CSR":              {status("CSR\t- Pending CSR Check"), ""},
		"space after CSR":            {status("CSR - Pending CSR Check"), "facet"},
		"ordinary status":            {status("CSR hold- per customer request"), ""},
		"unknown status":             {status("Shipped"), "facet"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Validate([]byte(c.message))
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
		})
	}
}

func TestAllThatIsWrongIsSaid(t *testing.T) {
	err := Validate([]byte(`<GetInventoryByBatch ` + tns + `><AuthenticationString>t</AuthenticationString><batchNumber>one</batchNumber></GetInventoryByBatch>`))
	require.Contains(t, err.Error(), "AuthenticationString")
	require.GreaterOrEqual(t, strings.Count(err.Error(), "\n"), 1, err.Error())
}

func TestHopelessMessagesAreCutShort(t *testing.T) {
	err := Validate([]byte(`<GetInventory ` + tns + `>` + strings.Repeat("<a/>", 1000) + `</GetInventory>`))
	require.Equal(t, maxErrors, 1+strings.Count(err.Error(), "\n"))
}

func TestDocumentIsTheServicesOwn(t *testing.T) {
	d := Document("http://127.0.0.1:8080/ws/v3prod/publicapiws.asmx")
	require.Equal(t, 4, strings.Count(d, `location="http://127.0.0.1:8080/ws/v3prod/publicapiws.asmx"`))
	require.Contains(t, d, `value="Picked  - Pending QA Check"`)
	require.Contains(t, d, `value="CSR&#9;- Pending CSR Check"`)
	require.NotContains(t, d, `value="CSR - Pending CSR Check"`)
}

func BenchmarkValidate(b *testing.B) {
	raw, err := os.ReadFile("testdata/7.5-pick-ticket-add.xml")
	require.NoError(b, err)
	require.NoError(b, Validate(raw))
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		_ = Validate(raw)
	}
}
