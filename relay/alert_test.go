package relay_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

const day = 24 * time.Hour

func TestAlertPolicyDefaults(t *testing.T) {
	var p relay.AlertPolicy
	require.Equal(t, []relay.Age{relay.Age(day), relay.Age(3 * day), relay.Age(7 * day)}, p.Ages())
	require.Equal(t, relay.Every(5*time.Minute), p.Interval())
	require.Equal(t, 5*day, p.MayStay())
	require.Empty(t, p.Channels())
	for age, level := range map[time.Duration]int{-1: 0, 0: 0, day - 1: 0, day: 1, 3*day - 1: 1, 3 * day: 2, 7 * day: 3, 900 * day: 3} {
		require.Equal(t, level, p.Level(age), age)
	}
	b, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(b))
}

// A look that is late is no trouble yet: workers are restarted, and deploys take minutes.
func TestWhenNobodyLooks(t *testing.T) {
	looked := time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)
	for every, after := range map[time.Duration]time.Duration{0: 15 * time.Minute, 10 * time.Second: 15 * time.Minute, 6 * time.Minute: 18 * time.Minute} {
		p := relay.AlertPolicy{Every: relay.Every(every)}
		require.False(t, p.Unwatched(looked, looked.Add(after)), every)
		require.True(t, p.Unwatched(looked, looked.Add(after+1)), every)
	}
}

// People rest for a day from what they know, and for less where they want to know sooner.
func TestHowLongPeopleRest(t *testing.T) {
	require.Equal(t, day, relay.AlertPolicy{}.Rest())
	require.Equal(t, day, relay.AlertPolicy{After: []relay.Age{relay.Age(3 * day)}}.Rest())
	require.Equal(t, time.Hour, relay.AlertPolicy{After: []relay.Age{relay.Age(time.Hour), relay.Age(day)}}.Rest())
}

func TestAlertPolicyAsJSON(t *testing.T) {
	p := relay.AlertPolicy{After: []relay.Age{relay.Age(time.Minute), relay.Age(day)}, Unshipped: relay.Age(2 * day), Every: relay.Every(time.Minute), Email: []string{"ops@example.com"}, Webhook: "https://x.test/"}
	b, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, `{"after": ["1m", "24h"], "unshipped": "48h", "every": "1m", "email": ["ops@example.com"], "webhook": "https://x.test/"}`, string(b))
	var back relay.AlertPolicy
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, p, back)
	require.Equal(t, []relay.AlertChannel{relay.ByEmail, relay.ByWebhook}, p.Channels())
	require.Equal(t, 1, p.Level(time.Hour))
	require.ErrorContains(t, json.Unmarshal([]byte(`{"after": ["1s"]}`), &back), "want a duration from 1m to 8760h")
}

func TestAges(t *testing.T) {
	for in, want := range map[string][2]string{
		"1m": {"1 minute", "1m"}, "90m": {"90 minutes", "1h30m"}, "1h": {"1 hour", "1h00m"}, "24h": {"1 day", "1d00h"}, "72h": {"3 days", "3d00h"},
		"26h": {"26 hours", "1d02h"}, "90s": {"90s", "1m"}, "8760h": {"365 days", "365d00h"},
	} {
		a, err := relay.ParseAge(in)
		require.NoError(t, err, in)
		require.Equal(t, want, [2]string{a.Words(), a.Since()}, in)
	}
	require.Equal(t, "0m", relay.Age(-time.Hour).Since())
	for _, in := range []string{"", "59s", "8761h", "1d", "-1h", "3", strings.Repeat("9", 500) + "h"} {
		_, err := relay.ParseAge(in)
		require.ErrorContains(t, err, "want a duration from 1m to 8760h", in)
		require.Less(t, len(err.Error()), 200)
	}
	for _, in := range []string{"", "9s", "169h", "auto"} {
		_, err := relay.ParseAlertEvery(in)
		require.ErrorContains(t, err, "want a duration from 10s to 168h", in)
	}
	every, err := relay.ParseAlertEvery("10s")
	require.NoError(t, err)
	require.Equal(t, relay.Every(10*time.Second), every)
}

func TestWhoIsCalled(t *testing.T) {
	for _, s := range []string{"ops@example.com", "a.b+c@x-y.test"} {
		require.NoError(t, relay.CheckEmail(s), s)
	}
	for _, s := range []string{"", "ops", "Ops <ops@example.com>", "a@b.test, c@d.test", "a b@c.test", "a@b.test\nBcc: c@d.test", strings.Repeat("a", 255) + "@b.test"} {
		require.ErrorContains(t, relay.CheckEmail(s), "want an e-mail address", s)
	}
	for _, s := range []string{"https://hooks.example.com/a?b=c", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:1/x"} {
		require.NoError(t, relay.CheckWebhook(s), s)
	}
	for _, s := range []string{"", "hooks.example.com", "http://hooks.example.com/hush", "ftp://x.test/hush", "https:///hush", "https://user:hush@x.test", "https://x.test/#hush", "http://127.0.0.1.example.com/hush", "https://x\x7f/hush"} {
		err := relay.CheckWebhook(s)
		require.ErrorContains(t, err, "want an https address", s)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestWebhookSecret(t *testing.T) {
	key, err := relay.ParseWebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	require.Len(t, key, 24)
	for _, s := range []string{"", "hush", "whsec_", "whsec_hush!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_aHVzaA==", "whsec_" + strings.Repeat("aHVz", 22)} {
		_, err := relay.ParseWebhookSecret(s)
		require.ErrorContains(t, err, "want whsec_", s)
		require.NotContains(t, err.Error(), "hush")
		require.NotContains(t, err.Error(), "aHVz")
	}
}

func TestAlertCauses(t *testing.T) {
	c := relay.NewAlertCause(relay.CauseOrder, "SO-1042", relay.OrderBackAtCart)
	require.Equal(t, relay.AlertCause("order/SO-1042/back_at_cart"), c)
	kind, subject, what := c.Parts()
	require.Equal(t, []string{"order", "SO-1042", "back_at_cart"}, []string{kind, subject, what})
	require.True(t, c.ClosedByPeople())
	require.False(t, relay.NewAlertCause(relay.CauseHold, "bad_address").ClosedByPeople())
	kind, subject, what = relay.AlertCause(relay.CausePaused).Parts()
	require.Equal(t, []string{"paused", "", ""}, []string{kind, subject, what})
}

// causes are all that an alert may be about.
func causes() []relay.AlertCause {
	list := []relay.AlertCause{"connection/shop", "job/shop/pull_orders", "messages/email", "finding/stock_drift", relay.CausePaused, "paused/shop/pull_orders", "unanswered/depot", "unread/depot", "unshipped/depot"}
	for _, r := range relay.HoldReasons() {
		list = append(list, relay.NewAlertCause(relay.CauseHold, string(r)))
	}
	for _, s := range []string{relay.StuckReady, relay.StuckInDoubt, relay.StuckCancel, relay.StuckShipment, relay.StuckCartCancel, relay.StuckThere} {
		list = append(list, relay.NewAlertCause(relay.CauseStuck, s))
	}
	for _, w := range []string{
		relay.OrderBackAtCart, relay.OrderChangedTooLate, relay.OrderDuplicateFound, relay.OrderCancelTooLate, relay.OrderShippedAfterAll,
		relay.OrderCancelledByWarehouse, relay.OrderGone, relay.OrderTakenAfterAll, relay.OrderShippedShort, relay.OrderRelabelled,
	} {
		list = append(list, relay.NewAlertCause(relay.CauseOrder, "SO-1042", w))
	}
	return list
}

// They are kept in the ledger, and receivers of posts act on them.
func TestCausesNeverChange(t *testing.T) {
	require.Equal(t, "[connection/shop job/shop/pull_orders messages/email finding/stock_drift paused paused/shop/pull_orders unanswered/depot unread/depot unshipped/depot hold/insufficient_inventory hold/unknown_item hold/unmapped_ship_method "+
		"hold/kit_without_components hold/bad_address hold/bad_order hold/rejected hold/warehouse_unreachable hold/unknown_outcome hold/operator "+
		"stuck/ready stuck/in_doubt stuck/cancel_requested stuck/shipment stuck/cart_cancel stuck/at_warehouse order/SO-1042/back_at_cart order/SO-1042/changed_too_late "+
		"order/SO-1042/duplicate_found order/SO-1042/cancel_too_late order/SO-1042/shipped_after_all order/SO-1042/cancelled_by_warehouse order/SO-1042/gone order/SO-1042/taken_after_all "+
		"order/SO-1042/shipped_short order/SO-1042/relabelled]",
		text(causes()))
}

// Whoever is called finds the cause in the page's table, and from there what to type.
func TestTheOperationsPageKnowsEveryCause(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for _, c := range causes() {
		kind, subject, what := c.Parts()
		switch {
		case kind == relay.CauseOrder:
			subject = ".../" + what
		case subject != "" && kind != relay.CauseHold && kind != relay.CauseStuck:
			subject = "..."
		}
		name := strings.TrimSuffix(kind+"/"+subject, "/")
		require.Regexp(t, "(?m)^\\|[^|]*\\|[^|]*`"+regexp.QuoteMeta(name)+"`.*\\|.*\\|$", string(page), "of cause %s", c)
	}
}

func TestEveryAlertSaysWhatNext(t *testing.T) {
	for _, c := range causes() {
		advice := relay.Alert{ID: 12, Merchant: "acme", Cause: c}.Advice()
		require.NotEmpty(t, advice.Next, c)
		require.NotEmpty(t, advice.Commands, c)
		kind, subject, _ := c.Parts()
		headline := relay.Trouble{Cause: c, Level: 1, Count: 2, Oldest: "SO-1", Since: placedAt}.Headline(relay.Age(day), placedAt.Add(26*time.Hour))
		require.NotContains(t, headline, "/", "%s is said in words", c)
		if kind == relay.CauseOrder {
			require.Contains(t, headline, "order "+subject+" ")
		}
		require.Regexp(t, "--merchant acme|--id 12", advice.Commands[0])
	}
}

var placedAt = time.Date(2026, 3, 1, 5, 0, 0, 0, time.UTC)

// Whom an alert is told of again for is said by name: the oldest may be an old story.
func TestHeadlineOfFurtherTroubles(t *testing.T) {
	trouble := relay.Trouble{Cause: "hold/rejected", Count: 3, Oldest: "SO-1", Since: placedAt}
	headline := func() string { return trouble.Headline(relay.Age(day), placedAt.Add(30*day)) }
	const still = "3 orders on hold for rejected for more than 1 day, the oldest SO-1 for 30d00h"
	require.Equal(t, still, headline())
	trouble.Risen, trouble.LastRisen = 2, []string{"SO-3", "SO-2"}
	require.Equal(t, still+"; new or risen since this was last told: SO-3, SO-2", headline())
	trouble.Risen = 9
	require.Equal(t, still+"; new or risen since this was last told: SO-3, SO-2 and 7 more", headline())
	trouble = relay.Trouble{Cause: "connection/shop", Count: 1, Oldest: "shop", Since: placedAt, Risen: 1, LastRisen: []string{"shop"}}
	require.Equal(t, "connection shop is stopped for 30d00h: its credentials are refused", headline(), "it is about nothing else")
}

func TestManyChangesAreCut(t *testing.T) {
	why := make([]relay.Difference, 5)
	for i := range why {
		why[i].Field = string(rune('a' + i))
	}
	trouble := relay.Trouble{Cause: relay.NewAlertCause(relay.CauseOrder, "SO-1", relay.OrderChangedTooLate), Why: why}
	require.Equal(t, "order SO-1 changed at the cart after it was submitted: a changed, b changed, c changed and 2 more", trouble.Headline(0, time.Time{}))
}

// A cart writes its SKUs as it likes: they forge no line of a message.
func TestHeadlinesAreOneLine(t *testing.T) {
	why := []relay.Difference{{Field: "lines[MUG\r\nBcc: x@example.com\n\n  curl\u202e].quantity", Was: "1", Is: "2"}}
	trouble := relay.Trouble{Cause: relay.NewAlertCause(relay.CauseOrder, "SO-1", relay.OrderChangedTooLate), Why: why}
	require.Equal(t, "order SO-1 changed at the cart after it was submitted: lines[MUG  Bcc: x@example.com    curl].quantity: 1 -> 2", trouble.Headline(0, time.Time{}))
}

func FuzzAges(f *testing.F) {
	f.Add("72h")
	f.Add("1m0.5s")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := relay.ParseAge(s)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, a, relay.MinAlertAge)
		require.LessOrEqual(t, a, relay.MaxAlertAge)
		back, err := relay.ParseAge(a.String())
		require.NoError(t, err)
		require.Equal(t, a, back)
		require.NotEmpty(t, a.Words())
		require.NotEmpty(t, a.Since())
	})
}
