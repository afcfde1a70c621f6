package connectortest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func requiredChecks() []check {
	return []check{
		{name: "names itself", run: namesItself},
		{name: "settings are documented and their defaults good", run: settingsAreGood},
		{name: "bad settings are refused by name", run: badSettingsAreRefused},
		{name: "opening makes no request", run: openMakesNoRequest},
		{name: "the connection test says what answered", run: checkSaysWhatAnswered},
		{name: "wrong credentials are unauthorised", run: wrongCredentials},
		{name: "used by many at once", run: usedByMany},
	}
}

// wholeRunChecks judge all that the checks before them did.
func wholeRunChecks() []check {
	judge := func(list func(*examiner) []string, clean string) func(*trial) {
		return func(t *trial) { require.Empty(t, list(t.x), clean) }
	}
	return []check{
		{name: "no secret and no address in errors, logs and reports", run: judge(func(x *examiner) []string { return x.told }, "what the errors and logs held")},
		{name: "every error is classified", run: judge(func(x *examiner) []string { return x.odd }, "want errors of type *relay.Error")},
		{name: "no write is sent twice by one call", run: judge(func(x *examiner) []string { return x.twice }, "sent again though they may have happened")},
		{name: "no goroutine is left behind", run: judge(func(x *examiner) []string { return x.leaks }, "still running")},
		{name: "every request takes the given transport to the given address", run: judge(func(x *examiner) []string { return x.strays }, "dialled")},
	}
}

func namesItself(t *trial) {
	c := t.x.subject.Connector
	require.Regexp(t, `^[a-z0-9]+(-[a-z0-9]+)*$`, c.Name, "the name in merchant.yaml")
	require.NotEmpty(t, c.Title, "the title for people")
	require.Contains(t, []connectors.Role{connectors.Cart, connectors.Warehouse}, c.Role)
	w := t.world()
	_, pulls := w.conn.(connectors.OrderSource)
	_, takes := w.conn.(connectors.OrderSink)
	require.Equal(t, c.Role == connectors.Cart, pulls, "a cart is an order source, and nothing else is")
	require.Equal(t, c.Role == connectors.Warehouse, takes, "a warehouse is an order sink, and nothing else is")
}

func settingsAreGood(t *trial) {
	c := t.x.subject.Connector
	for section, schema := range map[string][]connectors.Setting{"settings": c.Settings, "credentials": c.Credentials} {
		seen := map[string]bool{}
		for _, s := range schema {
			name := section + "." + s.Name
			require.Regexp(t, `^[a-z][a-z0-9_]*$`, s.Name, name)
			require.False(t, seen[s.Name], "%s is there twice", name)
			seen[s.Name] = true
			require.Greater(t, len(s.Doc), 10, "%s: say what it is", name)
			require.True(t, strings.HasSuffix(s.Doc, "."), "%s: a sentence ends with a full stop", name)
			if s.Required {
				require.Empty(t, s.Default, "%s is required, so its default is never used", name)
			}
			if s.Default != "" && s.Check != nil {
				require.NoError(t, s.Check(s.Default), "the default of %s", name)
			}
			if section == "credentials" {
				require.Empty(t, s.Default, "%s: a secret has no default", name)
			}
		}
	}
}

// nonsense holds a value that every Check refuses at least one of.
var nonsense = []string{"\x00", "zyx nonsense ☃", "-1", "://", "99999999999999999999", " "}

func badSettingsAreRefused(t *trial) {
	c, s := t.x.subject.Connector, t.x.subject
	refused := func(field string, settings connectors.Values, credentials connectors.Credentials) bool {
		_, _, faults := c.Configure("http://"+host, settings, credentials)
		for _, f := range faults {
			if f.Field == field {
				require.NotEmpty(t, f.Message, "%s: say what would be accepted", field)
				return true
			}
		}
		return false
	}
	with := func(name, value string) connectors.Values {
		out := connectors.Values{name: value}
		for k, v := range s.Settings {
			if k != name {
				out[k] = v
			}
		}
		return out
	}
	require.True(t, refused("settings.no_such_setting", with("no_such_setting", "1"), s.Credentials))
	for _, one := range c.Settings {
		if one.Required {
			require.True(t, refused("settings."+one.Name, with(one.Name, ""), s.Credentials), "%s is required", one.Name)
		}
		if one.Check == nil {
			continue
		}
		bad := false
		for _, v := range nonsense {
			bad = bad || refused("settings."+one.Name, with(one.Name, v), s.Credentials)
		}
		require.True(t, bad, "settings.%s has a Check, and takes all of %q", one.Name, nonsense)
	}
}

func openMakesNoRequest(t *trial) {
	w := t.world()
	w.open()
	w.pass(patience)
	if w.wire == nil {
		t.Inapplicable("no HTTP")
	}
	require.Empty(t, w.wire.since(0))
}

func checkSaysWhatAnswered(t *trial) {
	w := t.world()
	r, err := w.conn.Check(w.ctx())
	w.good(err)
	w.public("connection report", fmt.Sprintf("%+v", r))
	require.NotEmpty(t, r.Account+string(r.Mode), "the account or the mode that answered")
	require.Contains(t, []relay.Mode{"", t.x.subject.Mode}, r.Mode, "the mode")
	if w.wire != nil {
		for _, q := range w.wire.since(0) {
			require.False(t, q.write, "the connection test changes nothing: %s %s", q.method, q.path)
		}
	}
}

func wrongCredentials(t *trial) {
	if len(t.x.subject.Credentials) == 0 {
		t.Inapplicable("it has no credentials")
	}
	for name := range t.x.subject.Credentials {
		for _, value := range []string{"wrong-" + canary, ""} {
			w := t.world()
			wrong := connectors.Credentials{}
			for k, v := range t.x.subject.Credentials {
				wrong[k] = v
			}
			if wrong[name] = value; value == "" {
				delete(wrong, name)
			}
			w.config.Vault = &connectors.StaticVault{Credentials: wrong}
			_, err := w.open().Check(w.ctx())
			w.kind(err, relay.Unauthorised)
		}
	}
}

// usedByMany is for the race detector, and for locks that are never given back.
func usedByMany(t *trial) {
	w := t.world()
	var many sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		many.Go(func() { _, errs[i] = w.conn.Check(context.WithoutCancel(w.ctx())) })
	}
	many.Wait()
	for _, err := range errs {
		w.good(err)
	}
}
