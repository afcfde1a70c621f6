package easypost

import (
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/EasyPost/easypost-go/v4"
	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

// Every envelope of wire/easypost-fulfillment.md section 11.1, and worse.
func TestParseRefusalReadsEveryEnvelope(t *testing.T) {
	for name, tc := range map[string]struct {
		body, code, message string
		faults              []fault
	}{
		"errors object":        {`{"errors":{"code":"A.B","message":"m","errors":[{"field":"f","message":"x","suggestion":"s"}]}}`, "A.B", "m", []fault{{"", "f", "x"}}},
		"errors object, field": {`{"errors":{"code":"A.B","message":"m","field":"zip"}}`, "A.B", "m", []fault{{"A.B", "zip", "m"}}},
		"errors of objects":    {`{"errors":[{"code":"A","field":"f","message":"x"},{"code":"B","message":"y"}]}`, "A", "x; y", []fault{{"A", "f", "x"}, {"B", "", "y"}}},
		"errors of strings":    {`{"errors":["x","y"]}`, "", "x; y", []fault{{"", "", "x"}, {"", "", "y"}}},
		"errors by field":      {`{"errors":{"zip":["is short","is odd"],"city":"is blank"}}`, "", "is blank; is short, is odd", []fault{{"", "city", "is blank"}, {"", "zip", "is short, is odd"}}},
		"errors string":        {`{"errors":"x"}`, "", "x", nil},
		"error object":         {`{"error":{"code":"A","message":["m",{"k":"n"}],"errors":["x"]}}`, "A", "m, n", []fault{{"", "", "x"}}},
		"error string":         {`{"error":"x"}`, "", "x", nil},
		"error null":           {`{"error":null}`, "", "", nil},
		"errors null, error":   {`{"errors":null,"error":"x"}`, "", "x", nil},
		"bare code, message":   {`{"code":"A","message":"m"}`, "A", "m", nil},
		"bare with errors":     {`{"code":"A","message":"m","errors":[{"field":"f","message":"x"}]}`, "A", "m", []fault{{"", "f", "x"}}},
		"message":              {`{"message":"m"}`, "", "m", nil},
		"rails":                {`{"status":500,"error":"Internal Server Error"}`, "", "Internal Server Error", nil},
		"code of words":        {`{"errors":{"code":"500 Sample Ave","message":"m"}}`, "", "m", nil},
		"array":                {`["x"]`, "", "x", []fault{{"", "", "x"}}},
		"string":               {`"x"`, "", "x", nil},
		"number":               {`12`, "", "", nil},
		"empty":                {``, "", "", nil},
		"empty object":         {`{}`, "", "", nil},
		"html":                 {"<html>stock</html>", "", "", nil},
		"plain":                {"12 things wrong", "", "12 things wrong", nil},
		"half":                 {`{"errors":{"code`, "", `{"errors":{"code`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 422, 429, 500, 502, 503, 504, 302, 599} {
				r := parseRefusal(exchange.Answer{Status: status, Header: http.Header{}, Body: []byte(tc.body)})
				require.Equal(t, tc.code, r.code)
				require.Equal(t, tc.message, r.message)
				require.Equal(t, tc.faults, r.faults)
				var api *sdk.APIError
				require.ErrorAs(t, sdkError(r), &api)
				require.Equal(t, status, api.StatusCode)
				require.NotEmpty(t, relay.KindOf(readRefusal("x", exchange.Answer{Status: status, Body: []byte(tc.body)})))
			}
		})
	}
}

// A general message above, and what is wrong in the inner errors.
func TestRefusalsThatTellInside(t *testing.T) {
	for body, want := range map[string]relay.HoldReason{
		`{"errors":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"destination.zip","message":"is invalid"}]}}`:             relay.HoldBadAddress,
		`{"errors":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"line_items.0.product.barcode","message":"is wrong"}]}}`:  relay.HoldUnknownItem,
		`{"error":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"line_items.0.units","message":"not enough inventory"}]}}`: relay.HoldInsufficientInventory,
		`{"errors":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"line_items.0.product","message":"out of stock"}]}}`:      relay.HoldInsufficientInventory,
		`{"errors":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"line_items.1","code":"PRODUCT.UNKNOWN"}]}}`:              relay.HoldUnknownItem,
		`{"errors":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"service","message":"is not offered"}]}}`:                 relay.HoldUnmappedShipMethod,
		`{"errors":{"code":"PARAMETER.INVALID","message":"Unable to process","errors":[{"field":"line_items.0.units","message":"must be whole"}]}}`:       relay.HoldRejected,
		`{"errors":{"message":"Unable to process","errors":["come later",{"field":"destination.city","message":"is blank"}]}}`:                            relay.HoldBadAddress,
	} {
		v := newVendor(t)
		v.on("POST /orders", says(422, body))
		c := v.open(nil)
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		hold := connectors.HoldFor(err)
		require.NotNil(t, hold, body)
		require.Equal(t, want, hold.Reason, body)
	}
}

func TestParseRefusalIsBounded(t *testing.T) {
	deep := strings.Repeat(`{"message":[`, 2000) + `"x"` + strings.Repeat(`]}`, 2000)
	r := parseRefusal(exchange.Answer{Status: 422, Body: []byte(`{"errors":[` + strings.Repeat(`"é`+strings.Repeat("y", 2000)+`",`, 500) + deep + `]}`)})
	require.Len(t, r.faults, maxFaults)
	require.LessOrEqual(t, len(r.faults[0].message), maxMessage)
	require.LessOrEqual(t, len(r.message), exchange.MaxWords)
	require.LessOrEqual(t, len(r.answer.Words()), exchange.MaxWords)
}

func TestReadsAreRetriedAndWritesAreNot(t *testing.T) {
	v := newVendor(t)
	n := 0
	v.on("GET /orders/"+testID, func(w http.ResponseWriter, r *http.Request) {
		n++ // requests come one after the other
		switch n {
		case 1:
			vendortest.HangUp(w, r)
		case 2:
			w.Header().Set("Retry-After", "0.001")
			w.WriteHeader(429)
		default:
			says(200, `{"id":"`+testID+`"}`)(w, r)
		}
	})
	c := v.open(nil)
	_, err := c.readOrder(t.Context(), "read", testID)
	require.NoError(t, err)
	require.Equal(t, 3, n)

	v.on("GET /orders/"+testID, says(503, `{}`))
	before := len(v.requests(""))
	_, err = c.readOrder(t.Context(), "read", testID)
	require.ErrorIs(t, err, relay.Unavailable)
	require.Len(t, v.requests(""), before+exchange.Tries)

	v.on("GET /orders/"+testID, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(429)
	})
	before = len(v.requests(""))
	_, err = c.readOrder(t.Context(), "read", testID)
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 2*time.Minute, e.After)
	require.Len(t, v.requests(""), before+1)

	v.on("POST /orders", says(503, `{}`))
	_, err = c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unknown)
	require.Len(t, v.requests("POST /orders"), 1)
}

func FuzzParseRefusal(f *testing.F) {
	for _, seed := range []string{`{"errors":{"code":"A","message":"m","errors":[{"field":"line_items.0.units"}]}}`, `{"errors":["x"]}`, `<html>`, `{}`, ``} {
		f.Add(422, []byte(seed))
	}
	t0 := tokens{stock: []string{"STOCK"}, item: []string{"PRODUCT"}}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := exchange.Answer{Status: status, Body: body}
		err := t0.orderRefusal("submit", a, []string{toteCode})
		var e *relay.Error
		require.ErrorAs(t, err, &e)
		require.LessOrEqual(t, len(e.Words), exchange.MaxWords)
		require.NotContains(t, err.Error(), "\n")
		require.NotEmpty(t, relay.KindOf(readRefusal("read", a)))
	})
}
