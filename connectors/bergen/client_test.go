package bergen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/vendortest"
	"orderferry/relay"
)

var saved = addTicket.notes(0, "Success", "Data saved successfully")

func TestTokenIsAskedForOnceAndShared(t *testing.T) {
	v := newVendor(t)
	v.on(addTicket, saved)
	c := v.open(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Len(t, v.requests(getToken), 1)
	require.Contains(t, v.requests(getToken)[0].body, "<Password>p&amp;&lt;ss&gt;wordsecret</Password>")
	c.client.session.at = time.Now().Add(-11 * time.Minute)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.NoError(t, err)
	require.Len(t, v.requests(getToken), 2, "ten minutes are its life")
}

func TestChangedCredentialsAreUsedAtOnce(t *testing.T) {
	v := newVendor(t)
	v.on(addTicket, saved)
	vault := &connectors.StaticVault{Credentials: login0()}
	c := openAt(t, v.server.URL, vault, nil, &v.log)
	for _, password := range []string{testPassword, "other", "other"} {
		vault.Credentials = connectors.Credentials{"web_address": testAddress, "user_name": testUser, "password": password}
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.NoError(t, err)
	}
	require.Len(t, v.requests(getToken), 2)
	vault.Credentials = connectors.Credentials{"web_address": testAddress, "user_name": testUser}
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unauthorised)
}

// Section 6: wrong credentials are an empty or a missing result.
func TestRefusedCredentials(t *testing.T) {
	for name, answer := range map[string]reply{
		"empty":   says("AuthenticationTokenGet", ""),
		"missing": raw(200, envelopeHead+`<AuthenticationTokenGetResponse xmlns="http://rex11.com/webmethods/" />`+envelopeTail),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(getToken, answer)
			c := v.open(nil)
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.ErrorIs(t, err, relay.Unauthorised)
			_, err = c.Check(t.Context())
			require.ErrorIs(t, err, relay.Unauthorised)
			require.Empty(t, v.requests(addTicket))
			requireSafe(t, v, err)
		})
	}
}

// Section 6: what a spent token is answered with is not known.
func TestSpentTokenIsRenewedOnce(t *testing.T) {
	spent := map[string]func(operation) reply{
		"a notification that names it": func(o operation) reply { return o.notes(2, "AuthenticationError", "Authentication failed") },
		"an unexpected notification":   func(o operation) reply { return o.notes(99, "Oops", "Something") },
		"a client fault":               func(operation) reply { return faults("soap:Client", "Server was unable to read request.") },
		"a server fault":               func(operation) reply { return faults("soap:Server", "Server was unable. ---&gt; no such account") },
		"nothing":                      func(o operation) reply { return o.says("<Notifications />") },
	}
	for name, answer := range spent {
		t.Run("read/"+name, func(t *testing.T) {
			v := newVendor(t)
			v.on(getAddStatus, getAddStatus.says(`<PickTicketStatus><StatusCode>87</StatusCode></PickTicketStatus>`), answer(getAddStatus),
				getAddStatus.says(`<PickTicketStatus><StatusCode>87</StatusCode></PickTicketStatus>`))
			c := v.open(nil)
			for range 2 {
				s, _, err := c.staged(t.Context(), "x", number)
				require.NoError(t, err)
				require.Equal(t, waiting, s)
				c.ageToken()
			}
			require.Len(t, v.requests(getToken), 2)
			require.Contains(t, v.requests(getAddStatus)[2].body, "TOKEN+2/=")
		})
		t.Run("write/"+name, func(t *testing.T) {
			v := newVendor(t)
			v.on(addTicket, saved, answer(addTicket), saved)
			c := v.open(nil)
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.NoError(t, err)
			c.ageToken()
			_, err = c.SubmitOrder(t.Context(), prepared(t, c))
			if name == "a server fault" || name == "nothing" {
				// Promise 2: it may have been taken, so it is not sent again here.
				require.ErrorIs(t, err, relay.Unknown)
				require.Len(t, v.requests(addTicket), 2)
				_, err = c.SubmitOrder(t.Context(), prepared(t, c))
				require.NoError(t, err)
				require.Len(t, v.requests(getToken), 2, "the next one has a new token")
				return
			}
			require.NoError(t, err)
			require.Len(t, v.requests(addTicket), 3)
			require.Len(t, v.requests(getToken), 2)
		})
	}
}

func TestNewTokenThatIsRefusedStopsTheConnection(t *testing.T) {
	v := newVendor(t)
	v.on(addTicket, addTicket.notes(2, "AuthenticationError", "Authentication failed"))
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unauthorised)
	require.Len(t, v.requests(addTicket), 1)
	requireSafe(t, v, err)
}

// Section 6: neither code nor words of a token that is not accepted are known.
// Only what can't be anything else may stop a connection.
func TestOnlyAnAnswerAboutTheTokenStopsTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		said    []any // code, severity, message, and so on
		refused bool
	}{
		"as we think":              {[]any{2, "AuthenticationError", "Authentication failed"}, true},
		"by its class":             {[]any{99, "TokenExpired", "Log in again"}, true},
		"by its class, code seen":  {[]any{1, "AuthenticationError", "Failed: PickTicket was not read"}, true},
		"by its words":             {[]any{99, "Error", "Invalid authentication string"}, true},
		"by the name, code seen":   {[]any{12, "DataNotValid", "AuthenticationString is not valid"}, true},
		"by the element's name":    {[]any{13, "DataNotValid", "AuthenticationString is not valid"}, true},
		"expired":                  {[]any{99, "", "The security token has expired"}, true},
		"twice":                    {[]any{2, "AuthenticationError", "Authentication failed", 99, "Error", "Unauthorized"}, true},
		"no code at all":           {[]any{"x", "Error", "User is not authorized"}, true},
		"a service":                {[]any{61, "ShipServiceError", "This account is not authorized for GADQ"}, false},
		"a service, another code":  {[]any{62, "Error", "PickTicket/ShipService is not authorized for this account"}, false},
		"a carrier's account":      {[]any{63, "ShipViaAccountError", "UPS: unauthorized"}, false},
		"a part of the ticket":     {[]any{64, "AuthorizationNumberError", "PickTicket/AuthorizationNumber is not valid"}, false},
		"an item":                  {[]any{33, "UpcCodeError", "PickTicket/LineItem/UPC[item 1] holds an invalid token"}, false},
		"an item, in its words":    {[]any{99, "Error", "Style AUTHENTICATED-01 is not valid"}, false},
		"a failed import":          {[]any{1, "Error", "Failed: not authorized to change what is in use"}, false},
		"a ticket's state":         {[]any{46, "PickTicketError", "Unauthorized once it is printed"}, false},
		"the token among others":   {[]any{2, "AuthenticationError", "Authentication failed", 56, "ShipViaError", "PickTicket/ShipVia is not valid"}, false},
		"the token beside success": {[]any{2, "AuthenticationError", "Authentication failed", 0, "Success", "Data saved successfully"}, false},
		"success":                  {[]any{0, "Success", "Authenticated and saved: was unauthorized"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			for _, o := range []operation{addTicket, getBatch} {
				v.on(o, o.notes(tc.said...))
			}
			c := v.open(nil)
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.Equal(t, tc.refused, errors.Is(err, relay.Unauthorised), "%v", err)
			_, err = c.Check(t.Context())
			require.Equal(t, tc.refused, errors.Is(err, relay.Unauthorised), "%v", err)
			require.Len(t, v.requests(addTicket), 1)
			requireSafe(t, v, err)
		})
	}
}

// What a fault says of a token that is young renews it only where it is the service that speaks of it.
func TestFaultsThatNameTheToken(t *testing.T) {
	for said, renewed := range map[string]bool{
		"Authentication failed": true,
		"Server was unable to process request. ---&gt; Authentication failed":                                                      true,
		"Server was unable to process request. ---&gt; Object reference not set to an instance of an object.":                      false,
		"Server was unable to process request. ---&gt; Unauthorized change of PickTicket":                                          false,
		"Server was unable to read request. ---&gt; There is an error in XML document (1, 2). ---&gt; '&amp;' is an invalid token": false,
		"Server did not recognize the value of HTTP Header SOAPAction: not authorized":                                             false,
	} {
		v := newVendor(t)
		v.on(getAddStatus, getAddStatus.notes(87, "PendingImport", "Pending import"), faults("soap:Client", said), getAddStatus.notes(87, "PendingImport", "Pending import"))
		c := v.open(nil)
		_, _, err := c.staged(t.Context(), "x", number)
		require.NoError(t, err)
		_, _, err = c.staged(t.Context(), "x", number)
		require.Equal(t, renewed, err == nil, "%s: %v", said, err)
		if renewed {
			require.Len(t, v.requests(getToken), 2, said)
		} else {
			require.Len(t, v.requests(getToken), 1, said)
		}
	}
}

// A fault may say the same of a token that was just given.
func TestAFaultThatRefusesAFreshToken(t *testing.T) {
	v := newVendor(t)
	v.on(addTicket, faults("soap:Client", "Authentication failed"))
	c := v.open(nil)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unauthorised)
	require.Len(t, v.requests(getToken), 1)
	requireSafe(t, v, err)
}

// A refusal that is about the order does not renew a token that is young.
func TestYoungTokenIsNotSuspected(t *testing.T) {
	v := newVendor(t)
	v.on(addTicket, addTicket.notes(33, "UpcCodeError", "PickTicket/LineItem/UPC[item 1] is not valid"))
	c := v.open(nil)
	for range 3 {
		_, err := c.SubmitOrder(t.Context(), prepared(t, c))
		require.ErrorIs(t, err, relay.Invalid)
	}
	require.Len(t, v.requests(getToken), 1)
	require.Len(t, v.requests(addTicket), 3)
}

// What becomes of an exchange that failed, for a write and for a read.
func TestExchangesThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		answer      reply
		write, read relay.ErrorKind
	}{
		"hung up":      {vendortest.HangUp, relay.Unknown, relay.Unavailable},
		"server fault": {faults("soap:Server", "Server was unable to process request. ---&gt; Käufer Beispiel"), relay.Unknown, relay.Unavailable},
		"client fault": {faults("soap:Client", "Server was unable to read request. ---&gt; 48 Juniper Way"), relay.Invalid, relay.Invalid},
		"html 502":     {raw(502, "<html><body>Käufer Beispiel</body></html>"), relay.Unknown, relay.Unavailable},
		"html 200":     {raw(200, "<!DOCTYPE html><html></html>"), relay.Unknown, relay.Unavailable},
		"empty 200":    {raw(200, ""), relay.Unknown, relay.Unavailable},
		"empty 500":    {raw(500, ""), relay.Unknown, relay.Unavailable},
		"503":          {raw(503, "busy"), relay.Unknown, relay.Unavailable},
		"408":          {raw(408, ""), relay.Unknown, relay.Unavailable},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, relay.Unknown, relay.Unavailable},
		"404":             {raw(404, "<html></html>"), relay.Unavailable, relay.Unavailable},
		"403":             {raw(403, "<html></html>"), relay.Unavailable, relay.Unavailable},
		"throttled":       {raw(429, "slow down"), relay.Throttled, relay.Throttled},
		"half an answer":  {raw(200, envelopeHead+`<PickTicketAddResponse><PickTicketAddResult><Notifications><Notification><ErrorCode>0`), relay.Unknown, relay.Unavailable},
		"other operation": {says("Other", "<Notifications />"), relay.Unknown, relay.Unavailable},
		"promised more": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write([]byte(envelopeHead))
		}, relay.Unknown, relay.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.on(addTicket, tc.answer)
			v.on(getTicket, tc.answer)
			c := v.open(nil)
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			require.Equal(t, tc.write, relay.KindOf(err), "%v", err)
			require.Len(t, v.requests(addTicket), 1, "a write is sent once")
			requireSafe(t, v, err)
			c.client.session.token = "" // a fresh one is not suspected
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = c.read(short, "read", getTicket, number)
			require.Equal(t, tc.read, relay.KindOf(err), "%v", err)
			requireSafe(t, v, err)
		})
	}
}

// Words go to the ledger: a page that quotes the request must not take secrets there.
func TestSecretsAreTakenOutOfWords(t *testing.T) {
	for name, status := range map[string]int{"page": 502, "refusal": 404, "throttled": 429, "in a success": 200} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			quote := func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				_, _ = io.Copy(w, r.Body)
			}
			v.on(addTicket, quote, func(w http.ResponseWriter, r *http.Request) {
				addTicket.notes(61, "ShipServiceError", "TOKEN+1/= UPS GROUND")(w, r)
			})
			v.on(getTicket, quote)
			c := v.open(nil)
			for range 2 {
				_, err := c.SubmitOrder(t.Context(), prepared(t, c))
				var e *relay.Error
				require.ErrorAs(t, err, &e)
				require.NotEmpty(t, e.Words)
				require.NotContains(t, fmt.Sprint(e.Words, e.Fields), "TOKEN")
			}
			v.on(getToken, quote)
			c.client.session.token = ""
			_, err := c.SubmitOrder(t.Context(), prepared(t, c))
			var e *relay.Error
			require.ErrorAs(t, err, &e)
			for _, secret := range []string{testPassword, "p&amp;", "wordsecret", testUser, testAddress} {
				require.NotContains(t, e.Words, secret)
			}
		})
	}
}

func TestNothingLeftIsUnavailable(t *testing.T) {
	v := newVendor(t)
	c := v.open(nil)
	v.on(addTicket, saved)
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	require.NoError(t, err) // the token is here
	v.server.Close()
	c.client.http.CloseIdleConnections()
	_, err = c.SubmitOrder(t.Context(), prepared(t, c))
	require.ErrorIs(t, err, relay.Unavailable)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.SubmitOrder(over, prepared(t, c))
	require.ErrorIs(t, err, relay.Unavailable)
}

func TestSilenceEndsAfterTheTimeout(t *testing.T) {
	v := newVendor(t)
	release := make(chan struct{})
	v.on(addTicket, func(http.ResponseWriter, *http.Request) { <-release })
	c := v.open(nil)
	c.client.timeout = 50 * time.Millisecond
	_, err := c.SubmitOrder(t.Context(), prepared(t, c))
	close(release)
	require.ErrorIs(t, err, relay.Unknown)
}

func TestReadsAreTriedAgain(t *testing.T) {
	v := newVendor(t)
	v.on(getTicket, raw(503, ""), vendortest.HangUp, getTicket.says(`<PickTicket><PickTicketNumber>SO100245</PickTicketNumber></PickTicket>`))
	got, err := v.open(nil).read(t.Context(), "read", getTicket, number)
	require.NoError(t, err)
	require.Equal(t, number, got.Number)
	require.Len(t, v.requests(getTicket), 3)
}

// Nothing in an answer tells staging and production apart, so the address must.
func TestModeAndAddress(t *testing.T) {
	open := func(mode relay.Mode, base string) error {
		values, base, bad := Connector().Configure(base, connectors.Values{"warehouse": nj2}, login0())
		require.Empty(t, bad)
		_, err := Connector().Open(connectors.Config{BaseURL: base, Mode: mode, Settings: values, Vault: &connectors.StaticVault{}})
		return err
	}
	require.NoError(t, open(relay.ModeLive, ""))
	require.NoError(t, open(relay.ModeTest, Staging))
	require.NoError(t, open(relay.ModeTest, "http://127.0.0.1:8099/soap"))
	require.ErrorContains(t, open(relay.ModeTest, ""), Staging)
	require.ErrorContains(t, open(relay.ModeLive, strings.ToUpper(Staging[:8])+Staging[8:]), "mode test")
	require.Error(t, open("demo", Staging))
}

func TestSettingsAreChecked(t *testing.T) {
	_, _, bad := Connector().Configure("", connectors.Values{
		"warehouse": "Somewhere", "sites": "nj", "billing_option": "later", "account_prefix": "A-1", "number_length": "8",
	}, connectors.Credentials{"web_address": "x"})
	var fields []string
	for _, f := range bad {
		fields = append(fields, f.Field)
	}
	require.ElementsMatch(t, []string{"settings.warehouse", "settings.sites", "settings.billing_option", "settings.account_prefix", "settings.number_length",
		"credentials.user_name", "credentials.password"}, fields)
	_, _, bad = Connector().Configure("", connectors.Values{"warehouse": " bergen logistics  nj2 ", "sites": "Bergen Logistics NJ2, BERGEN LOGISTICS HK"}, login0())
	require.Empty(t, bad)
	for _, s := range Connector().Settings {
		require.NotEmpty(t, s.Doc)
		if s.Check != nil && s.Default != "" {
			require.NoError(t, s.Check(s.Default), s.Name)
		}
	}
}
