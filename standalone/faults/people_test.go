package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/notify"
	"orderferry/relay"
	"orderferry/standalone/audit"
)

// Once peace is made a message fails at most once, for what fails again rests for minutes.
func TestCalmPeopleAreTrickyOnlyOnce(t *testing.T) {
	p, err := newPeople()
	require.NoError(t, err)
	defer p.close()
	msg := relay.AlertMessage{Merchant: "m02", Key: "alert_a", At: time.Now(), Count: 1, Notices: []relay.AlertNotice{{
		Alert: relay.Alert{ID: 7, Merchant: "m02", Cause: "hold/bad_address", Level: 1, Headline: "2 orders"}, News: relay.AlertOpened,
	}}}
	post := func() error { return notify.Webhook{}.Post(t.Context(), p.address, p.secret(), msg) }
	p.calm()
	require.NoError(t, post(), "it was written before")
	msg.Key, msg.At = "alert_b", time.Now()
	require.Error(t, post(), "a trick that was played on nobody yet")
	require.NoError(t, post(), "the same again")
	msg.Key = "alert_c"
	require.Error(t, post(), "and another")
}

// People take what the real sender sends, once, whatever befalls it on the way, and
// notice a message that is not what it should be.
func TestPeopleReadMessages(t *testing.T) {
	p, err := newPeople()
	require.NoError(t, err)
	defer p.close()
	msg := relay.AlertMessage{Merchant: "m02", Key: "alert_a", At: time.Now(), Count: 1, Notices: []relay.AlertNotice{{
		Alert: relay.Alert{ID: 7, Merchant: "m02", Cause: "hold/bad_address", Level: 1, Headline: "2 orders"}, News: relay.AlertOpened,
	}}}
	post := func(secret string) error { return notify.Webhook{}.Post(t.Context(), p.address, secret, msg) }

	for _, what := range []trick{turnedAway, throttled} {
		p.arm(what)
		require.Error(t, post(p.secret()))
		require.Empty(t, p.got("m02"), "%s: it was not read", what)
	}
	p.arm(unanswered)
	require.Error(t, post(p.secret()))
	heard := map[audit.News]bool{{Message: "alert_a", Alert: 7, News: relay.AlertOpened}: true}
	require.Equal(t, heard, p.got("m02"))
	require.NoError(t, post(p.secret()), "the same again")
	require.Equal(t, heard, p.got("m02"))
	require.Empty(t, p.got("m05"))
	require.Empty(t, p.misled())

	msg.Notices[0].Headline = "3 orders"
	require.NoError(t, post(p.secret()))
	require.Len(t, p.misled(), 1, "another message under the same id")
	msg.Key = "alert_b"
	require.NoError(t, post("whsec_"+"c29tZWJvZHkgZWxzZSBzaWducyB3aXRoIHRoaXMg"))
	require.Len(t, p.misled(), 2, "signed by somebody else")
	for _, f := range p.misled() {
		require.Equal(t, audit.Misled, f.Wrong)
		require.Equal(t, relay.MerchantID("m02"), f.Merchant)
	}
	messages, befell := p.counts()
	require.Equal(t, 1, messages)
	require.Equal(t, map[string]int64{"people turned away": 1, "people throttled": 1, "people unanswered": 1, "people slow": 0}, befell)
}
