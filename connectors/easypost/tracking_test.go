package easypost

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	sdk "github.com/EasyPost/easypost-go/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

func TestTrackPackages(t *testing.T) {
	v := newVendor(t)
	v.on("GET /v2/trackers/trk_1", says(200, `{"id":"trk_1","mode":"test","status":"delivered","public_url":"https://track.example.test/1","est_delivery_date":"2026-03-01T00:00:00Z"}`))
	v.on("GET /v2/trackers/trk_2", says(200, `{"id":"trk_2","mode":"production","status":"delivered"}`))
	v.on("GET /v2/trackers/trk_3", says(200, `{"id":"trk_3","status":"failure","updated_at":"2020-01-01T00:00:00Z"}`))
	v.on("GET /v2/trackers/trk_4", says(200, `{"id":"trk_4","status":"zorp"}`))
	v.on("GET /v2/trackers/trk_5", says(503, `{}`))
	v.on("GET /v2/trackers/trk_6", says(200, ``))
	v.on("GET /v2/trackers", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tracking_code") == "9400" {
			says(200, `{"trackers":[{"id":"trk_9","tracking_code":"9400","status":"in_transit"}],"has_more":false}`)(w, r)
			return
		}
		says(200, `{"trackers":[]}`)(w, r)
	})
	v.on("POST /v2/trackers", says(201, `{"id":"trk_8","tracking_code":"1Z","status":"pre_transit"}`))
	packages := []relay.Package{{TrackerID: "trk_1"}, {TrackerID: "trk_2"}, {TrackerID: "trk_3"}, {TrackerID: "trk_4"}, {TrackerID: "trk_5"},
		{TrackerID: "trk_6"}, {TrackingNumber: "9400", Carrier: "USPS"}, {TrackingNumber: "1Z", Carrier: "UPS"}}

	got, err := v.open(nil).TrackPackages(t.Context(), packages)
	require.NoError(t, err)
	require.Equal(t, connectors.Tracking{Status: "delivered", Ended: true, URL: "https://track.example.test/1"}, got[0])
	require.ErrorIs(t, got[1].Err, relay.Invalid)
	require.Equal(t, connectors.Tracking{Status: "failure", Ended: true}, got[2])
	require.Equal(t, connectors.Tracking{Status: "unknown"}, got[3])
	require.ErrorIs(t, got[4].Err, relay.Unavailable)
	require.ErrorIs(t, got[5].Err, relay.Unavailable)
	require.Equal(t, connectors.Tracking{Status: "in_transit"}, got[6])
	require.ErrorIs(t, got[7].Err, relay.NotFound)
	require.Empty(t, v.requests("POST /v2/trackers"))
	require.Equal(t, basicAuth(), v.requests("GET /v2/trackers/trk_1")[0].header.Get("Authorization"))
	require.Len(t, v.requests("GET /v2/trackers/trk_5"), exchange.Tries)

	got, err = v.open(connectors.Values{"track": "create"}).TrackPackages(t.Context(), packages[7:])
	require.NoError(t, err)
	require.Equal(t, "pre_transit", got[0].Status)
	require.JSONEq(t, `{"tracker":{"tracking_code":"1Z","carrier":"UPS"}}`, string(v.requests("POST /v2/trackers")[0].body))

	before := len(v.requests(""))
	got, err = v.open(connectors.Values{"track": "off"}).TrackPackages(t.Context(), packages)
	require.NoError(t, err)
	require.Equal(t, make([]connectors.Tracking, len(packages)), got)
	require.Len(t, v.requests(""), before)

	v.on("GET /v2/trackers", says(403, `{"error":{"code":"APIKEY.INACTIVE","errors":[],"message":"m"}}`))
	_, err = v.open(nil).TrackPackages(t.Context(), packages[7:]) // the SDK panics on a failed list
	require.ErrorIs(t, err, relay.Unauthorised)
	var typed *sdk.ForbiddenError
	require.ErrorAs(t, err, &typed)
}

func TestSDKAnswersThatPanicGiveErrors(t *testing.T) {
	for _, body := range []string{`{}`, `{"message":"x"}`, `{"errors":{"code":"X"}}`, `{"error":null}`, `{"error":"x"}`, `<html>`, ``, `{"error":{"errors":["a"]}}`} {
		v := newVendor(t)
		v.on("GET /v2/trackers/trk_1", says(503, body))
		_, err := v.open(nil).sdk.tracker(t.Context(), "trk_1")
		var e *relay.Error
		require.ErrorAs(t, err, &e, body)
		require.Equal(t, relay.Unavailable, e.Kind)
		require.Equal(t, 503, e.Status)
		var typed *sdk.ServiceUnavailableError
		require.ErrorAs(t, err, &typed)
	}
}

func TestSixteenSDKCallsAtOnce(t *testing.T) {
	v := newVendor(t)
	for i := range 16 {
		v.on(fmt.Sprint("GET /v2/trackers/trk_", i), says(200, fmt.Sprintf(`{"id":"trk_%d","status":"in_transit"}`, i)))
	}
	c := v.open(nil)
	var g errgroup.Group
	for i := range 16 {
		g.Go(func() error {
			got, err := c.sdk.tracker(t.Context(), fmt.Sprint("trk_", i))
			if err == nil && got.ID != fmt.Sprint("trk_", i) {
				err = fmt.Errorf("asked for trk_%d, got %s", i, got.ID)
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
}

func TestSDKCallStopsWithItsContext(t *testing.T) {
	v := newVendor(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	v.on("GET /v2/trackers/trk_1", func(http.ResponseWriter, *http.Request) { <-release })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := v.open(nil).TrackPackages(ctx, []relay.Package{{TrackerID: "trk_1"}})
	require.ErrorIs(t, err, relay.Unavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestCheckAddress(t *testing.T) {
	v := newVendor(t)
	verdict, err := v.open(nil).CheckAddress(t.Context(), kiln())
	require.NoError(t, err)
	require.Zero(t, verdict)
	require.Empty(t, v.requests(""))

	c := v.open(connectors.Values{"check_addresses": "true"})
	v.on("POST /v2/addresses", says(201, `{"id":"adr_1","mode":"test","street1":"500 SAMPLE AVE UNIT 4","city":"SPRINGFIELD","state":"IL","zip":"62701-1234","country":"US","residential":false,
		"verifications":{"delivery":{"success":true,"errors":[],"details":{"latitude":1.5}}}}`))
	verdict, err = c.CheckAddress(t.Context(), kiln())
	require.NoError(t, err)
	require.Empty(t, verdict.Problems)
	require.Contains(t, string(v.requests("POST /v2/addresses")[0].body), `"verify":["delivery"]`)

	v.on("POST /v2/addresses", says(201, `{"verifications":{"delivery":{"success":false,"errors":[{"code":"E.ADDRESS.NOT_FOUND","field":"address","message":"Address not found","suggestion":null},{"code":"E.ZIP","field":"zip","message":"bad","suggestion":"62702"}]}}}`))
	verdict, err = c.CheckAddress(t.Context(), kiln())
	require.NoError(t, err)
	require.Equal(t, []relay.Problem{{Field: "ship_to", Message: "Address not found"}, {Field: "ship_to.zip", Message: "bad; suggested: 62702"}}, verdict.Problems)

	for _, h := range []http.HandlerFunc{says(500, `{}`), says(422, `{"error":{"code":"ADDRESS.VERIFY.FAILURE","message":"500 Sample Ave"}}`), says(201, `{"verifications":{}}`), says(200, ``), vendortest.HangUp} {
		v.on("POST /v2/addresses", h)
		verdict, err = c.CheckAddress(t.Context(), kiln())
		require.NoError(t, err)
		require.Zero(t, verdict)
	}
	requireSafe(t, v, nil)
}

func sign(secret, body string) http.Header {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return http.Header{"X-Hmac-Signature": {"hmac-sha256-hex=" + hex.EncodeToString(m.Sum(nil))}}
}

func TestVerifyWebhook(t *testing.T) {
	order := doc(obj{"id": "evt_1", "object": "Event", "mode": "test", "description": "fulfillment.order.updated", "created_at": "2026-01-05T10:00:00Z",
		"result": obj{"id": testID, "object": "Order", "created_at": 1571000100, "status": "shipped", "trackers": arr{tracker("1")}, "line_items": arr{}}})
	e, err := VerifyWebhook("s3cret", sign("s3cret", order), []byte(order))
	require.NoError(t, err)
	require.Equal(t, "evt_1", e.ID)
	require.Equal(t, relay.ModeTest, e.Mode)
	require.Equal(t, "fulfillment.order.updated", e.Type)
	require.Equal(t, relay.WarehouseOrderID(testID), e.OrderID)
	require.Len(t, e.Packages, 1)

	again, err := VerifyWebhook("s3cret", sign("s3cret", order), []byte(order))
	require.NoError(t, err)
	require.Equal(t, e, again)

	for name, h := range map[string]http.Header{"wrong": sign("other", order), "missing": {}, "empty": {"X-Hmac-Signature": {""}}} {
		_, err := VerifyWebhook("s3cret", h, []byte(order))
		require.ErrorIs(t, err, relay.Unauthorised, name)
	}
	_, err = VerifyWebhook("", sign("", order), []byte(order))
	require.ErrorIs(t, err, relay.Unauthorised)
	var mismatch *sdk.MismatchWebhookSignatureErrorType
	_, err = VerifyWebhook("x", sign("y", order), []byte(order))
	require.ErrorAs(t, err, &mismatch)

	for body, want := range map[string]Event{
		`{"id":"evt_2","mode":"production","description":"fulfillment.order.refunded","result":{"id":"` + testID + `","trackers":[],"picks":null}}`: {ID: "evt_2", Mode: relay.ModeLive, Type: OrderRefunded, OrderID: testID},
		`{"id":"evt_3","description":"tracker.created","result":{"id":"trk_1","tracking_code":"1","carrier":"USPS","created_at":"x"}}`:              {ID: "evt_3", Type: "tracker.created", Packages: []relay.Package{{Carrier: "USPS", TrackingNumber: "1", TrackerID: "trk_1"}}},
		`{"id":"evt_4","mode":"odd","description":"batch.created","result":"x"}`:                                                                    {ID: "evt_4", Mode: "odd", Type: "batch.created"},
		`{"id":"evt_5","result":null}`: {ID: "evt_5"},
	} {
		got, err := VerifyWebhook("s", sign("s", body), []byte(body))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, body := range []string{``, `{}`, `[]`, `<x>`} {
		_, err := VerifyWebhook("s", sign("s", body), []byte(body))
		require.ErrorIs(t, err, relay.Invalid, body)
	}
}

func TestRegisterWebhookTwiceMakesOne(t *testing.T) {
	v := newVendor(t)
	const address = "https://relay.example.test/hooks/easypost"
	hooks := arr{obj{"id": "hook_9", "url": address, "mode": "production"}, obj{"id": "hook_8", "url": address + "/x", "mode": "test"}}
	v.on("GET /v2/webhooks", func(w http.ResponseWriter, r *http.Request) { says(200, doc(obj{"webhooks": hooks}))(w, r) })
	v.on("POST /v2/webhooks", func(w http.ResponseWriter, r *http.Request) {
		made := obj{"id": "hook_1", "url": address, "mode": "test"}
		hooks = append(hooks, made)
		says(201, doc(made))(w, r)
	})
	v.on("PATCH /v2/webhooks/hook_1", says(201, `{"id":"hook_1"}`))
	c := v.open(nil)
	for range 3 {
		id, err := c.RegisterWebhook(t.Context(), address, "s3cret")
		require.NoError(t, err)
		require.Equal(t, "hook_1", id)
	}
	require.Len(t, v.requests("POST /v2/webhooks"), 1)
	require.JSONEq(t, `{"webhook":{"url":"`+address+`","webhook_secret":"s3cret"}}`, string(v.requests("POST /v2/webhooks")[0].body))
	require.Len(t, v.requests("PATCH /v2/webhooks/hook_1"), 2)
	_, err := c.RegisterWebhook(t.Context(), "relay", "s")
	require.ErrorIs(t, err, relay.Invalid)
	_, err = c.RegisterWebhook(t.Context(), address, "")
	require.ErrorIs(t, err, relay.Invalid)
}

func TestConnector(t *testing.T) {
	c := Connector()
	values, base, faults := c.Configure("", connectors.Values{}, connectors.Credentials{})
	require.Empty(t, faults)
	require.Equal(t, "https://api.easypost.com/fulfillment/vendor/v2", base)
	for _, s := range c.Settings {
		require.NotEmpty(t, s.Doc, s.Name)
		if s.Check != nil && s.Default != "" {
			require.NoError(t, s.Check(s.Default), s.Name)
		}
	}
	conn, err := c.Open(connectors.Config{BaseURL: base, Mode: relay.ModeLive, Settings: values, Vault: &connectors.StaticVault{}})
	require.NoError(t, err)
	require.Equal(t, "https://api.easypost.com/v2/", conn.(*connection).sdk.base.String())
	for given, want := range map[string]string{"http://127.0.0.1:9/x/y": "http://127.0.0.1:9/x/y/", "http://127.0.0.1:9/x/y/": "http://127.0.0.1:9/x/y/"} {
		u, err := shippingBase(base, given)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	u, err := shippingBase("http://127.0.0.1:9/other", "")
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:9/v2/", u.String())
	_, err = c.Open(connectors.Config{BaseURL: base, Settings: values, Vault: &connectors.StaticVault{}})
	require.Error(t, err)

	_, _, faults = c.Configure("", connectors.Values{
		"inventory_chunk": "29", "page_size": "301", "requests_per_second": "0", "timeout": "1ms", "quantity_means": "x",
		"track": "maybe", "stock_tokens": ",", "shipping_base_url": "api", "check_addresses": "yes",
	}, nil)
	require.Len(t, faults, 9)

	var (
		_ connectors.OrderSink       = conn.(*connection)
		_ connectors.OrderLookup     = conn.(*connection)
		_ connectors.Canceller       = conn.(*connection)
		_ connectors.ShipmentSource  = conn.(*connection)
		_ connectors.InventorySource = conn.(*connection)
		_ connectors.SiteLister      = conn.(*connection)
		_ connectors.AddressChecker  = conn.(*connection)
		_ connectors.PackageTracker  = conn.(*connection)
	)
}
