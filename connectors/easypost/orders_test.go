package easypost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/EasyPost/easypost-go/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"orderferry/connectors"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

func TestPrepareOrderIsTheBodyOfSection6(t *testing.T) {
	c := newVendor(t).open(nil)
	p := prepared(t, c)
	require.Equal(t, `{"service":"standard","description":"relay:8f3c1e77abcdefgh shop #1042",`+
		`"destination":{"name":"Kiln Supply","street1":"500 Sample Ave","street2":"Unit 4","city":"Springfield",`+
		`"state":"IL","zip":"62701","country":"US","email":"ops@example.test","residential":true},`+
		`"line_items":[{"product":{"barcode":"0700000000017"},"units":2},{"product":{"barcode":"0700000000024"},"units":1}]}`,
		string(p.Body))
	require.Equal(t, p.Digest(), prepared(t, c).Digest())
}

// The vendor names no limits; a merchant who met one sets it, and nothing is cut off.
func TestPrepareOrderWithinLimits(t *testing.T) {
	c := newVendor(t).open(connectors.Values{"address_limits": "street1 10, street2 20, city 11"})
	o := anOrder()
	o.ShipTo.Street1, o.ShipTo.Street2 = "500 Sample Ave", "Unit 4"
	p, err := c.PrepareOrder(o)
	require.NoError(t, err)
	require.Contains(t, string(p.Body), `"street1":"500 Sample","street2":"Ave, Unit 4"`)

	o.ShipTo.City = "Springfields"
	_, err = c.PrepareOrder(o)
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, relay.HoldBadAddress, e.Reason)
	require.Equal(t, []relay.Problem{{Field: "ship_to.city", Message: "has 12 characters: the warehouse takes 11, and nothing is cut off"}}, e.Fields)
}

func TestPrepareOrderTidies(t *testing.T) {
	c := newVendor(t).open(nil)
	o := anOrder()
	o.Service = "Expedited"
	o.Number = "Bestellung Nr. ü42\n" + strings.Repeat("x", 80)
	o.ShipTo.State, o.ShipTo.Country, o.ShipTo.Residential = " NY ", "us", nil
	o.Items = []relay.Item{{Code: " 007 ", Units: 1}, {Code: "<b>", Units: 1}, {Code: "007", Units: 2}}
	p, err := c.PrepareOrder(o)
	require.NoError(t, err)
	body := string(p.Body)
	require.Contains(t, body, `"service":"expedited"`)
	require.Contains(t, body, `"state":"NY"`)
	require.Contains(t, body, `"country":"US"`)
	require.NotContains(t, body, "residential")
	require.Contains(t, body, `"line_items":[{"product":{"barcode":"007"},"units":3},{"product":{"barcode":"<b>"},"units":1}]`)
	require.Contains(t, body, `"description":"relay:8f3c1e77abcdefgh Bestellung Nr. ?42 xxx`)
	var b orderBody
	require.NoError(t, decode(p.Body, &b))
	require.Len(t, b.Description, maxDescription)
}

func TestPrepareOrderRefuses(t *testing.T) {
	c := newVendor(t).open(nil)
	for name, tc := range map[string]struct {
		change func(*connectors.WarehouseOrder)
		reason relay.HoldReason
		field  string
	}{
		"country name":    {func(o *connectors.WarehouseOrder) { o.ShipTo.Country = "United States" }, relay.HoldBadAddress, "ship_to.country"},
		"no country":      {func(o *connectors.WarehouseOrder) { o.ShipTo.Country = "" }, relay.HoldBadAddress, "ship_to.country"},
		"no name":         {func(o *connectors.WarehouseOrder) { o.ShipTo.Name = " " }, relay.HoldBadAddress, "ship_to.name"},
		"no street":       {func(o *connectors.WarehouseOrder) { o.ShipTo.Street1 = "" }, relay.HoldBadAddress, "ship_to.street1"},
		"no city":         {func(o *connectors.WarehouseOrder) { o.ShipTo.City = "" }, relay.HoldBadAddress, "ship_to.city"},
		"no state":        {func(o *connectors.WarehouseOrder) { o.ShipTo.State = "" }, relay.HoldBadAddress, "ship_to.state"},
		"no zip":          {func(o *connectors.WarehouseOrder) { o.ShipTo.Zip = "" }, relay.HoldBadAddress, "ship_to.zip"},
		"no units":        {func(o *connectors.WarehouseOrder) { o.Items[1].Units = 0 }, relay.HoldBadOrder, "items[1].units"},
		"negative units":  {func(o *connectors.WarehouseOrder) { o.Items[0].Units = -1 }, relay.HoldBadOrder, "items[0].units"},
		"no code":         {func(o *connectors.WarehouseOrder) { o.Items[0].Code = " " }, relay.HoldUnknownItem, "items[0].code"},
		"broken code":     {func(o *connectors.WarehouseOrder) { o.Items[0].Code = "a\xff" }, relay.HoldUnknownItem, "items[0].code"},
		"no items":        {func(o *connectors.WarehouseOrder) { o.Items = nil }, relay.HoldBadOrder, "items"},
		"no token":        {func(o *connectors.WarehouseOrder) { o.Token = "" }, relay.HoldBadOrder, "token"},
		"token of blanks": {func(o *connectors.WarehouseOrder) { o.Token = "a b" }, relay.HoldBadOrder, "token"},
	} {
		t.Run(name, func(t *testing.T) {
			o := anOrder()
			tc.change(&o)
			_, err := c.PrepareOrder(o)
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, relay.Invalid, e.Kind)
			require.Equal(t, tc.reason, e.Reason)
			require.Equal(t, tc.field, e.Fields[0].Field)
		})
	}
	abroad := anOrder()
	abroad.ShipTo.Country, abroad.ShipTo.State, abroad.ShipTo.Zip, abroad.ShipTo.Name, abroad.ShipTo.Company = "IE", "", "", "", "Example Ltd"
	_, err := c.PrepareOrder(abroad)
	require.NoError(t, err)
}

func TestSubmitOrderOnTheWire(t *testing.T) {
	v := newVendor(t)
	v.on("POST /orders", says(201, `{"id":"`+testID+`","mode":"test","created_at":1571000100,"new":{"x":[1]},"line_items":null}`))
	c := v.open(nil)
	p := prepared(t, c)
	got, err := c.SubmitOrder(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, connectors.Accepted{ID: testID, Status: 201}, got)
	r := v.requests("POST /orders")
	require.Len(t, r, 1)
	require.Equal(t, basicAuth(), r[0].header.Get("Authorization"))
	require.Equal(t, "application/json", r[0].header.Get("Content-Type"))
	require.Equal(t, int64(len(p.Body)), r[0].length)
	require.False(t, r[0].chunked)
	require.Equal(t, string(p.Body), string(r[0].body))
	requireSafe(t, v, nil)
}

func TestSubmitOrderAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   relay.ErrorKind
		reason relay.HoldReason
	}{
		"wrapped":            {200, `{"order":{"id":"` + testID + `"}}`, "", ""},
		"integer mode":       {200, `{"id":"` + testID + `","mode":null}`, "", ""},
		"empty body":         {201, ``, relay.Unknown, ""},
		"empty object":       {201, `{}`, relay.Unknown, ""},
		"html":               {200, `<html>welcome</html>`, relay.Unknown, ""},
		"null id":            {200, `{"id":null}`, relay.Unknown, ""},
		"id is a path":       {200, `{"id":"../orders"}`, relay.Unknown, ""},
		"cut off":            {201, `{"id":"order_0000`, relay.Unknown, ""},
		"other mode":         {201, `{"id":"` + testID + `","mode":"production"}`, relay.Unknown, ""},
		"redirect":           {307, ``, relay.Unknown, ""},
		"408":                {408, `{}`, relay.Unknown, ""},
		"500":                {500, `{"errors":{"code":"ORDER.INVENTORY.INSUFFICIENT"}}`, relay.Unknown, ""},
		"502 html":           {502, `<h1>Bad gateway</h1>`, relay.Unknown, ""},
		"503":                {503, `{}`, relay.Unknown, ""},
		"429":                {429, `{}`, relay.Throttled, ""},
		"401":                {401, `{"errors":{"code":"UNAUTHORIZED"}}`, relay.Unauthorised, ""},
		"402":                {402, ``, relay.Unauthorised, ""},
		"403":                {403, `{"error":{"code":"APIKEY.INACTIVE","errors":[],"message":"inactive"}}`, relay.Unauthorised, ""},
		"stock":              {422, `{"errors":{"code":"ORDER.INVENTORY.INSUFFICIENT","message":"product short"}}`, relay.Rejected, relay.HoldInsufficientInventory},
		"stock by message":   {400, `{"message":"Not enough units of this product"}`, relay.Rejected, relay.HoldInsufficientInventory},
		"item":               {422, `{"errors":{"code":"PRODUCT.NOT_FOUND","message":"x"}}`, relay.Rejected, relay.HoldUnknownItem},
		"item as 404":        {404, `{"errors":{"code":"PRODUCT.NOT_FOUND"}}`, relay.Rejected, relay.HoldUnknownItem},
		"address":            {422, `{"errors":{"code":"ADDRESS.INVALID"}}`, relay.Rejected, relay.HoldBadAddress},
		"service":            {422, `{"errors":{"code":"SERVICE.UNKNOWN"}}`, relay.Rejected, relay.HoldUnmappedShipMethod},
		"code before words":  {409, `{"errors":{"code":"SERVICE.UNKNOWN","message":"out of stock"}}`, relay.Rejected, relay.HoldUnmappedShipMethod},
		"other":              {422, `{"errors":{"code":"PARAMETER.REQUIRED","message":"something"}}`, relay.Rejected, relay.HoldRejected},
		"nothing but status": {400, ``, relay.Rejected, relay.HoldRejected},
		"html page":          {422, `<html><style>state</style></html>`, relay.Rejected, relay.HoldRejected},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on("POST /orders", says(tc.status, tc.body))
			c := v.open(nil)
			got, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.Len(t, v.requests(""), 1)
			requireSafe(t, v, err)
			if tc.kind == "" {
				require.NoError(t, err)
				require.Equal(t, relay.WarehouseOrderID(testID), got.ID)
				return
			}
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.kind, e.Kind, err)
			require.Equal(t, tc.reason, e.Reason)
			require.Equal(t, tc.status, e.Status)
			if tc.kind == relay.Throttled {
				require.Positive(t, e.After)
			}
		})
	}
}

func TestSubmitOrderNamesWhatIsWrong(t *testing.T) {
	v := newVendor(t)
	v.on("POST /orders", says(422, `{"errors":{"code":"ORDER.INVENTORY.INSUFFICIENT","message":"short for Kiln Supply",
		"errors":[{"field":"line_items.1.units","message":"1 wanted, 0 on hand"},{"field":"destination.zip","message":"62701?"},
		{"field":"line_items[0].product.barcode","message":"?"},"plain words",{"field":"<script>","message":"x"}]}}`))
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, []relay.Problem{
		{Field: "items[1].units", Value: capCode, Message: "1 wanted, 0 on hand"},
		{Field: "ship_to.zip", Message: "62701?"},
		{Field: "items[0].code", Value: toteCode, Message: "?"},
		{Field: "order", Message: "plain words"},
		{Field: "order", Message: "x"},
	}, e.Fields)
	require.Equal(t, "ORDER.INVENTORY.INSUFFICIENT", e.Code)
	require.Contains(t, e.Words, "short for Kiln Supply")
	requireSafe(t, v, err)

	var typed *sdk.InvalidRequestError
	require.ErrorAs(t, err, &typed)
	var api *sdk.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, "ORDER.INVENTORY.INSUFFICIENT", api.Code)
	require.Equal(t, 422, api.StatusCode)
	require.Len(t, api.Errors, 5)
}

func TestSubmitOrderFindsTheBarcodeInTheMessage(t *testing.T) {
	v := newVendor(t)
	v.on("POST /orders", says(422, `{"errors":["no product with barcode `+capCode+`"]}`))
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, relay.HoldUnknownItem, e.Reason)
	require.Equal(t, relay.Problem{Field: "items[1].code", Value: capCode, Message: "no product with barcode " + capCode}, e.Fields[1])
}

func TestSubmitOrderHonoursRetryAfter(t *testing.T) {
	v := newVendor(t)
	v.on("POST /orders", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Ep-Request-Uuid", "0a1b-2c3d")
		w.WriteHeader(429)
	})
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	var e *relay.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 7*time.Second, e.After)
	require.Contains(t, err.Error(), "0a1b-2c3d")
	var typed *sdk.RateLimitError
	require.ErrorAs(t, err, &typed)
}

// transportFunc lets a test stand between the client and the network.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSubmitOrderKnowsWhetherAByteLeft(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		v := newVendor(t)
		c := v.open(nil)
		c.client.base = "http://127.0.0.1:1" // nobody listens there
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unavailable)
		require.Contains(t, err.Error(), "refused")
	})
	t.Run("no such host", func(t *testing.T) {
		v := newVendor(t)
		c := v.open(nil)
		c.client.base = "http://nowhere.invalid"
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unavailable)
	})
	t.Run("TLS handshake", func(t *testing.T) {
		v := newVendor(t)
		c := v.open(nil)
		c.client.base = strings.Replace(v.server.URL, "http:", "https:", 1)
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unavailable)
		require.Empty(t, v.requests(""))
	})
	t.Run("hung up", func(t *testing.T) {
		v := newVendor(t)
		v.on("POST /orders", vendortest.HangUp)
		c := v.open(nil)
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unknown)
		require.Len(t, v.requests("POST /orders"), 1)
		requireSafe(t, v, err)
	})
	t.Run("timeout after commit", func(t *testing.T) {
		v := newVendor(t)
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		v.on("POST /orders", func(http.ResponseWriter, *http.Request) { <-release })
		c := v.open(nil)
		c.client.timeout = 50 * time.Millisecond
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Contains(t, err.Error(), "timed out")
	})
	t.Run("body breaks off", func(t *testing.T) {
		v := newVendor(t)
		v.on("POST /orders", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(201)
			fmt.Fprint(w, `{"id":"`+testID+`"}`)
		})
		c := v.open(nil)
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unknown)
	})
	t.Run("cancelled before", func(t *testing.T) {
		v := newVendor(t)
		c := v.open(nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.SubmitOrder(ctx, prepared(t, c))
		require.ErrorIs(t, err, relay.Unavailable)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, v.requests(""))
	})
	t.Run("no room in the rate limit", func(t *testing.T) {
		v := newVendor(t)
		v.on("POST /orders", says(201, `{"id":"`+testID+`"}`))
		c := v.open(connectors.Values{"requests_per_second": "1"})
		c.client.limiter.SetLimit(rate.Every(time.Hour)) // longer than the test takes anywhere
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = c.SubmitOrder(ctx, prepared(t, c))
		require.ErrorIs(t, err, relay.Unavailable)
		require.Len(t, v.requests(""), 1)
	})
	t.Run("a transport that tells nothing", func(t *testing.T) {
		v := newVendor(t)
		c := v.open(nil)
		c.client.http.Transport = transportFunc(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("reply lost, said: Kiln Supply")
		})
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unknown)
		requireSafe(t, v, err)
		c.client.http.Transport = transportFunc(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
		})
		_, err = c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Unavailable)
	})
}

func TestSubmitOrderWithoutKey(t *testing.T) {
	v := newVendor(t)
	c := v.openWith(nil, connectors.Credentials{"production_key": "EZAKother"})
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unauthorised)
	require.Contains(t, err.Error(), "test_key")
	_, err = c.Check(t.Context())
	require.ErrorIs(t, err, relay.Unauthorised)
	require.Empty(t, v.requests(""))
}

func TestCancelOrder(t *testing.T) {
	order := func(status, more string) http.HandlerFunc {
		return says(200, `{"id":"`+testID+`","status":"`+status+`"`+more+`}`)
	}
	tracked := `,"trackers":[{"tracking_code":"9400","carrier":"USPS"}]`
	for name, tc := range map[string]struct {
		remove, get http.HandlerFunc
		result      connectors.CancelResult
		evidence    string
		kind        relay.ErrorKind
	}{
		"refunded":                 {says(200, `{}`), order("Refunded", ""), connectors.CancelDone, "status Refunded", ""},
		"no content, then gone":    {says(204, ``), says(404, ``), connectors.CancelDone, "gone", ""},
		"gone for good":            {says(200, ``), says(410, `<html>`), connectors.CancelDone, "gone", ""},
		"repeated":                 {says(404, ``), says(404, ``), connectors.CancelDone, "gone", ""},
		"denied, order at work":    {says(404, `<html>no such route`), order("processing", `,"picks":[{"inventories":[{"product":{"barcode":"1"}}]}]`), connectors.CancelPending, "404, status processing", ""},
		"denied, but cancelled":    {says(410, ``), order("refunded", ""), connectors.CancelDone, "410, status refunded", ""},
		"picked":                   {says(422, `{"errors":{"code":"ORDER.NOT_CANCELLABLE"}}`), order("processing", ""), connectors.CancelPending, "ORDER.NOT_CANCELLABLE, status processing", ""},
		"shipped":                  {says(422, ``), order("shipped", tracked), connectors.CancelTooLate, "tracking 9400", ""},
		"cancelled, yet shipped":   {says(200, ``), order("cancelled", tracked), connectors.CancelTooLate, "tracking 9400", ""},
		"asked, undecided":         {says(202, ``), order("received", ""), connectors.CancelPending, "status received", ""},
		"no answer, but cancelled": {vendortest.HangUp, order("canceled", ""), connectors.CancelDone, "no answer", ""},
		"500, but cancelled":       {says(500, ``), order("voided", ""), connectors.CancelDone, "500", ""},
		"throttled":                {says(429, ``), nil, "", "", relay.Throttled},
		"bad key":                  {says(403, ``), nil, "", "", relay.Unauthorised},
		"can't look":               {says(200, ``), says(500, ``), "", "", relay.Unknown},
		"status with words":        {says(200, ``), order("waiting for <Kiln Supply>", ""), connectors.CancelPending, "status unreadable", ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.serveSites()
			v.on("DELETE /orders/"+testID, tc.remove)
			v.on("GET /orders/"+testID, tc.get)
			got, err := v.open(nil).CancelOrder(t.Context(), testID)
			requireSafe(t, v, err)
			require.Len(t, v.requests("DELETE /orders/"+testID), 1)
			require.Empty(t, v.requests("DELETE /orders/" + testID)[0].body)
			if tc.kind != "" {
				require.ErrorIs(t, err, tc.kind)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.result, got.Result)
			require.Contains(t, got.Evidence, tc.evidence)
		})
	}
	v := newVendor(t)
	for _, id := range []relay.WarehouseOrderID{"", "..", "a/b", "a?x=1"} {
		_, err := v.open(nil).CancelOrder(t.Context(), id)
		require.ErrorIs(t, err, relay.Invalid)
	}
	require.Empty(t, v.requests(""))
}
