package simulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTokenIsReadFromOneElementOnly(t *testing.T) {
	w := newWorld(t).stocked()
	w.spoilt = true
	for _, op := range operations {
		if op.token == "" {
			continue
		}
		wrong := upperToken
		if op.token == upperToken {
			wrong = lowerToken
		}
		r := w.ask(op.name, kv{wrong, w.token}, kv{"batchNumber", "1"})
		require.Equal(t, []string{"2"}, r.codes(), "%s: %s", op.name, r.raw)
		require.Equal(t, []string{"Authentication failed"}, r.texts("Message"))
		r, err := w.post(op.name, enveloped(`<`+op.name+` xmlns="http://rex11.com/webmethods/"><`+op.token+` xmlns="urn:other">`+w.token+`</`+op.token+`></`+op.name+`>`))
		require.NoError(t, err)
		require.Equal(t, []string{"2"}, r.codes(), "%s: in another namespace it is none", op.name)
		r, err = w.post(op.name, enveloped(body(op.name, kv{op.token, w.token})))
		require.NoError(t, err)
		require.NotContains(t, r.codes(), "2", "%s: %s", op.name, r.raw)
	}
	require.EqualValues(t, 2*(len(operations)-1), w.sim.Stats().BadTokens)
}

func TestTokens(t *testing.T) {
	w := newWorld(t).stocked()
	require.Regexp(t, `^[A-Za-z0-9+/]{43}=$`, w.token)
	for name, a := range map[string]Account{
		"password":    {WebAddress: "www.northwind-demo.example", UserName: "API_USER", Password: "other"},
		"user":        {WebAddress: "www.northwind-demo.example", UserName: "api_user", Password: "p&<w>"},
		"web address": {WebAddress: "www.other-demo.example", UserName: "API_USER", Password: "p&<w>"},
		"nothing":     {},
	} {
		require.Empty(t, w.login(a), name)
	}
	require.EqualValues(t, 4, w.sim.Stats().BadLogins)
	works := func(token string) bool {
		return len(w.ask("GetInventory", kv{"AuthenticationString", token}).codes()) == 0
	}
	w.clock.Pass(time.Minute)
	later := w.login(w.cfg.Accounts[0])
	require.NotEqual(t, w.token, later)
	require.Equal(t, w.token[:20], later[:20], "tokens of one account begin alike")
	require.NotEqual(t, w.token[:20], w.login(w.cfg.Accounts[1])[:20])
	w.clock.Pass(29*time.Minute - time.Second)
	require.True(t, works(w.token))
	w.clock.Pass(time.Second)
	require.False(t, works(w.token), "after thirty minutes")
	require.True(t, works(later))
	forged := "A" + later[1:]
	require.False(t, works(forged))
	require.False(t, works(later[:40]))
	require.False(t, works(""))

	w.behave(func(b *Behaviour) { b.TokenLifetime = -1 })
	require.True(t, works(w.token))
	w.sim.ExpireTokens()
	require.False(t, works(w.token))
	require.False(t, works(later))
	require.True(t, works(w.login(w.cfg.Accounts[0])))

	w.behave(func(b *Behaviour) { b.BadToken = BadTokenEmpty })
	require.Contains(t, w.ask("GetInventory").raw, `<GetInventoryResult><Notifications /></GetInventoryResult>`)
	w.behave(func(b *Behaviour) { b.BadToken = BadTokenFault })
	r, err := w.post("GetInventory", enveloped(body("GetInventory")))
	require.NoError(t, err)
	require.Equal(t, 500, r.status)
	require.Equal(t, "soap:Server", r.text("faultcode"))
	require.Equal(t, "Server was unable to process request. ---> Authentication failed", r.text("faultstring"))
}

func TestAccountsAreApart(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Accounts[1].Warehouses = []string{nj3} }).stocked()
	require.NoError(t, w.sim.SetStock(tee, "NJ3", 4))
	w.placed("SO1", lines(tee, "10"))
	w.token = w.login(w.cfg.Accounts[1])
	require.Equal(t, []string{"83"}, w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "SO1"}).codes())
	require.Equal(t, []string{"83"}, w.call("GetPickTicketObjectByBarCode", kv{"ptbarcode", "ACME1ASO1"}).codes())
	require.Equal(t, []string{"12"}, w.add(order("SO1")).codes(), "it has nothing in NJ2")
	w.placed("SO1", head("WareHouse", nj3), lines(tee, "4"))
	require.Equal(t, StatusNew, w.state("ZETA9BSO1"))
	require.Equal(t, []string{"Bergen Logistics NJ3"}, w.call("GetInventoryByStyle", kv{"style", "TEE-01"}).texts("Warehouse"))
	require.NoError(t, w.sim.Ship("ZETA9BSO1"))
	require.Equal(t, StatusNew, w.state("ACME1ASO1"))
	require.Equal(t, StatusNew, w.state("SO1"), "without a prefix it is the first account's")
	require.Len(t, w.sim.Orders(""), 2)
	require.Len(t, w.sim.Orders("ZETA9B"), 1)
	require.Empty(t, w.sim.Orders("NOBODY"))
}

func TestConfigIsChecked(t *testing.T) {
	good := Account{WebAddress: "w", UserName: "u", Password: "p"}
	for want, cfg := range map[string]Config{
		"no account":       {},
		"web address":      {Accounts: []Account{{UserName: "u", Password: "p"}}},
		"not twice":        {Accounts: []Account{good, good}},
		"account prefix":   {Accounts: []Account{{WebAddress: "w", UserName: "u", Password: "p", Prefix: "ABC"}}},
		"warehouse \"NJ\"": {Accounts: []Account{{WebAddress: "w", UserName: "u", Password: "p", Warehouses: []string{"NJ"}}}},
		"negative":         {Accounts: []Account{good}, Progress: Progress{ShipAfter: -1}},
		"bad_token":        {Accounts: []Account{good}, Behaviour: Behaviour{BadToken: "shrug"}},
		"add_status":       {Accounts: []Account{good}, Behaviour: Behaviour{AddStatus: "shrug"}},
		"cancel_until":     {Accounts: []Account{good}, Behaviour: Behaviour{CancelUntil: "Delivered"}},
		"batch_size":       {Accounts: []Account{good}, Behaviour: Behaviour{BatchSize: -1}},
	} {
		_, err := New(cfg)
		require.ErrorContains(t, err, want)
	}
}
