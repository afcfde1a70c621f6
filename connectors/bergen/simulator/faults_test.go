package simulator

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestEveryFault says of each kind what the client sees and whether the ticket was taken.
func TestEveryFault(t *testing.T) {
	for kind, want := range map[FaultKind]struct {
		saved  bool
		status int    // 0: no answer
		body   string // is in the answer
	}{
		CommitThenTimeout: {true, 0, ""},
		CommitThenDrop:    {true, 0, ""},
		CommitThen500:     {true, 500, "<faultcode>soap:Server</faultcode><faultstring>Server was unable to process request. ---&gt; "},
		CommitThen502:     {true, 502, "<h2>502 Bad Gateway</h2>"},
		CommitThen200:     {true, 200, "Down for maintenance"},
		BrokenXML:         {true, 200, "<soap:Envelope"},
		Empty2xx:          {true, 200, ""},
		TimeoutNoCommit:   {false, 0, ""},
		Error500:          {false, 500, "<faultcode>soap:Server</faultcode>"},
		ClientFault:       {false, 500, "<faultcode>soap:Client</faultcode>"},
		Error503:          {false, 503, "Service Unavailable"},
		Error429:          {false, 429, "Too Many Requests"},
		Error429Bare:      {false, 429, "Too Many Requests"},
		HTML502:           {false, 502, "<h2>502 Bad Gateway</h2>"},
		HTML200:           {false, 200, "Down for maintenance"},
		Redirect:          {false, 307, ""},
		WordsQuoted:       {false, 500, "<faultcode>soap:Client</faultcode><faultstring>Server was unable to read request. ---&gt; can't take "},
		ResetBefore:       {false, 0, ""},
		Error401:          {false, 401, "401"},
		Error403:          {false, 403, "403"},
		BadToken:          {false, 200, "<ErrorCode>2</ErrorCode>"},
		Slow:              {true, 200, "Data saved successfully"},
		RepeatedBatch:     {true, 200, "Data saved successfully"}, // it befalls batches only
		ShiftedBatch:      {true, 200, "Data saved successfully"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t).stocked()
			require.NoError(t, w.sim.Inject(Fault{Operation: "PickTicketAdd", Kind: kind, Delay: 50 * time.Millisecond, RetryAfter: 7}))
			r, err := w.post("PickTicketAdd", enveloped(order("SO1").xml(w.token)))
			if want.status == 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, want.status, r.status)
				require.Contains(t, r.raw, want.body)
			}
			require.Len(t, w.sim.Orders(""), map[bool]int{true: 1}[want.saved])
			if kind == BrokenXML {
				require.NotContains(t, r.raw, "</soap:Envelope>")
			}
			require.Equal(t, map[bool]string{true: "7"}[kind == Error429], r.header.Get("Retry-After"))
			if kind != RepeatedBatch && kind != ShiftedBatch {
				require.Equal(t, map[string]int64{string(kind): 1}, w.sim.Stats().Faults)
				again, err := w.post("PickTicketAdd", enveloped(order("SO2").xml(w.token)))
				require.NoError(t, err)
				require.Equal(t, []string{"0"}, again.codes(), "it hits once")
			}
		})
	}
	require.Len(t, FaultKinds(), 24)
}

func TestWhomFaultsHit(t *testing.T) {
	w := newWorld(t).stocked()
	other := w.login(w.cfg.Accounts[1])
	get := func(token string) int {
		r, err := w.post("GetInventory", enveloped(body("GetInventory", kv{"AuthenticationString", token})))
		require.NoError(t, err)
		return r.status
	}
	require.NoError(t, w.sim.Inject(Fault{Operation: "*", Kind: Error503, Account: "ZETA9B", Count: 2, Skip: 1}))
	require.Equal(t, []int{200, 200, 503, 200, 503, 200}, []int{get(w.token), get(other), get(other), get(w.token), get(other), get(other)})
	require.NoError(t, w.sim.Inject(Fault{Operation: "*", Kind: Error503, Rate: 0.5}))
	hit := 0
	for range 100 {
		if get(w.token) == 503 {
			hit++
		}
	}
	require.InDelta(t, 50, hit, 20)
	w.sim.ClearFaults()
	require.Equal(t, 200, get(w.token))
	for want, f := range map[string]Fault{
		"unknown operation": {Operation: "create_order", Kind: Error503},
		"unknown kind":      {Operation: "*", Kind: "meteor"},
		"unknown account":   {Operation: "*", Kind: Error503, Account: "NOBODY"},
		"numbers":           {Operation: "*", Kind: Error503, Rate: 2},
	} {
		require.ErrorContains(t, w.sim.Inject(f), want)
	}
}

func TestCloseEndsOpenAnswers(t *testing.T) {
	w := newWorld(t).stocked()
	require.NoError(t, w.sim.Inject(Fault{Operation: "*", Kind: CommitThenTimeout, Delay: time.Hour}))
	answered := make(chan error)
	go func() {
		_, err := w.post("PickTicketAdd", enveloped(order("SO1").xml(w.token)))
		answered <- err
	}()
	require.Eventually(t, func() bool { return len(w.sim.Orders("")) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, w.sim.Close())
	require.Error(t, <-answered)
}

// TestHostileRequestsAreAnswered sends nonsense to every operation: each gets an
// answer (a panic would cut the connection) and the simulator lives on.
func TestHostileRequestsAreAnswered(t *testing.T) {
	w := newWorld(t).stocked()
	w.spoilt = true
	for _, op := range operations {
		for _, inside := range []string{
			"", "<", "\xff\xfe", "&bomb;", strings.Repeat("<a>", 20_000), strings.Repeat("<a/> ", 5_000), "<PickTicket/>",
			`<PickTicket xmlns="http://rex11.com/swpublicapi/PickTicket.xsd"><LineItem/><LineItem><Quantity xmlns="http://rex11.com/swpublicapi/PickTicketDetails.xsd">1e308</Quantity></LineItem></PickTicket>`,
			"<batchNumber>99999999999</batchNumber>", "<batchNumber>-2147483648</batchNumber>", "<batchNumber>2147483647</batchNumber>",
			"<products/><UPCs><x/></UPCs><product/>", "<StartDate>99/99/9999</StartDate><FromDateTime>0</FromDateTime>", "<ptbarcode>ACME1A</ptbarcode>",
			"<StartDate>1/1/0001</StartDate><EndDate>12/31/9999</EndDate><fromDateTime>1/1/0001</fromDateTime>",
		} {
			r, err := w.post(op.name, enveloped(`<`+op.name+` `+tns+`><`+op.token+`x/><`+max(op.token, "x")+`>`+w.token+`</`+max(op.token, "x")+`>`+inside+`</`+op.name+`>`))
			require.NoError(t, err, "%s %.50q", op.name, inside)
			require.Contains(t, []int{200, 500}, r.status)
			require.Contains(t, r.raw, "</soap:Envelope>")
		}
	}
	req, err := http.NewRequest(http.MethodPost, w.URL()+endpoint, io.MultiReader(strings.NewReader(strings.Repeat(" ", maxBody)), strings.NewReader(" ")))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "text/xml")
	if r, err := w.do(req); err == nil { // the server may close before all is sent
		require.Equal(t, http.StatusRequestEntityTooLarge, r.status)
	} else {
		require.False(t, errors.Is(err, io.EOF), err)
	}
	w.placed("SO1")
}
