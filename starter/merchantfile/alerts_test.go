package merchantfile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
)

const alerting = small + `alerts:
  after: [1h, 24h]
  unshipped: 48h
  every: 30s
  email: [ops@example.com, night@example.com]
  webhook: {url: "https://hooks.example.com/ferry", secret: "${ALERT_SECRET}"}
`

const hookSecret = "whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaA=="

func parseAlerts(text string) (merchantfile.File, []merchantfile.Fault) {
	return merchantfile.Parse("merchant.yaml", []byte(text), func(name string) (string, bool) {
		if name == "ALERT_SECRET" {
			return hookSecret, true
		}
		return env(name)
	}, registry())
}

func TestParseAlerts(t *testing.T) {
	f, faults := parseAlerts(alerting)
	require.Empty(t, faults)
	require.Equal(t, relay.AlertPolicy{
		After: []relay.Age{relay.Age(time.Hour), relay.Age(24 * time.Hour)}, Unshipped: relay.Age(48 * time.Hour), Every: relay.Every(30 * time.Second),
		Email: []string{"ops@example.com", "night@example.com"}, Webhook: "https://hooks.example.com/ferry",
	}, f.Merchant.Alerts)
	require.Equal(t, hookSecret, f.WebhookSecret)

	for _, text := range []string{small, small + "alerts:\n", small + "alerts: {}\n"} {
		f, faults = parseAlerts(text)
		require.Empty(t, faults)
		require.Zero(t, f.Merchant.Alerts)
		require.Empty(t, f.WebhookSecret)
	}
}

func TestFaultsOfAlerts(t *testing.T) {
	for name, c := range map[string]struct {
		old, now string
		want     []string
	}{
		"unknown":          {"every: 30s", "evry: 30s", []string{"merchant.yaml:13:3: alerts.evry: unknown: want one of after, unshipped, every, email, webhook"}},
		"not rising":       {"[1h, 24h]", "[1h, 24h, 24h]", []string{`merchant.yaml:11:20: alerts.after[2]: 24h: want more than 24h before it: the ages rise`}},
		"too young":        {"[1h, 24h]", "[30s]", []string{`merchant.yaml:11:11: alerts.after[0]: "30s": want a duration from 1m to 8760h, such as 72h`}},
		"no ages":          {"[1h, 24h]", "[]", []string{"merchant.yaml:11:3: alerts.after: want a list of 1 to 9"}},
		"ten ages":         {"[1h, 24h]", "[1h, 2h, 3h, 4h, 5h, 6h, 7h, 8h, 9h, 10h]", []string{"merchant.yaml:11:3: alerts.after: want a list of 1 to 9"}},
		"age is no list":   {"[1h, 24h]", "24h", []string{"merchant.yaml:11:3: alerts.after: want a list of 1 to 9"}},
		"age is a mapping": {"[1h, 24h]", "[1h, {a: b}]", []string{"merchant.yaml:11:16: alerts.after[1]: want text, got a mapping"}},
		"unshipped soon":   {"unshipped: 48h", "unshipped: 1s", []string{`merchant.yaml:12:14: alerts.unshipped: "1s": want a duration from 1m to 8760h, such as 72h`}},
		"too often":        {"every: 30s", "every: 9s", []string{`merchant.yaml:13:10: alerts.every: "9s": want a duration from 10s to 168h, such as 5m`}},
		"bad recipient":    {"night@example.com", "night", []string{`merchant.yaml:14:28: alerts.email[1]: "night": want an e-mail address, such as ops@example.com`}},
		"same recipient":   {"night@example.com", "ops@example.com", []string{`merchant.yaml:14:28: alerts.email[1]: "ops@example.com" is listed twice`}},
		"webhook is text":  {`{url: "https://hooks.example.com/ferry", secret: "${ALERT_SECRET}"}`, "https://x.test", []string{"merchant.yaml:15:3: alerts.webhook: want a mapping, got text"}},
		"webhook in clear": {"https://hooks", "http://hooks", []string{"merchant.yaml:15:18: alerts.webhook.url: want an https address without a user, such as https://hooks.example.com/orderferry; http only to this machine"}},
		"no url":           {`url: "https://hooks.example.com/ferry", `, "", []string{"merchant.yaml:15:3: alerts.webhook.url: missing: the address that news is posted to"}},
		"no secret":        {`, secret: "${ALERT_SECRET}"`, "", []string{"merchant.yaml:15:3: alerts.webhook.secret: missing: what the posts are signed with, such as ${ACME_ALERT_SECRET}"}},
		"bad secret": {"${ALERT_SECRET}", "hush", []string{
			"merchant.yaml:15:61: alerts.webhook.secret: want whsec_ and then 24 to 64 bytes in base64: openssl rand -base64 32 makes such bytes"}},
		"unset variable": {"${ALERT_SECRET}", "${NONE}", []string{"merchant.yaml:15:61: alerts.webhook.secret: environment variable NONE is not set"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(alerting, c.old))
			f, faults := parseAlerts(strings.Replace(alerting, c.old, c.now, 1))
			require.Equal(t, c.want, printed(faults))
			require.Empty(t, f.WebhookSecret)
			for _, fault := range faults {
				require.NotContains(t, fault.Error(), "hush")
				require.NotContains(t, fault.Error(), "aHVz")
			}
		})
	}
	_, faults := parseAlerts(small + "alerts: ops@example.com\n")
	require.Equal(t, []string{"merchant.yaml:10:1: alerts: want a mapping, got text"}, printed(faults))
}
