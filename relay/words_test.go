package relay_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

// The words are kept in the ledger and in histories: a changed one would orphan what is there.
func TestWordsNeverChange(t *testing.T) {
	require.Equal(t, "[pull_orders submit_orders pull_shipments push_shipments pull_inventory push_inventory reconcile]", text(relay.Jobs()))
	require.Equal(t, "[new skipped held submitting in_doubt at_warehouse shipped confirmed cancel_requested sending_cancelled cancelled]",
		text(relay.OrderStates()))
	require.Equal(t, "[insufficient_inventory unknown_item unmapped_ship_method kit_without_components bad_address bad_order rejected "+
		"warehouse_unreachable unknown_outcome operator]", text(relay.HoldReasons()))
	require.Equal(t, "[live test]", text([]relay.Mode{relay.ModeLive, relay.ModeTest}))
	require.Equal(t, "[hold as_is]", text([]relay.UnaliasedSKU{relay.HoldUnaliased, relay.SendUnaliased}))
}

func text[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(w))
	}
	return "[" + b.String() + "]"
}

func TestEveryJobIsACartsOrAWarehouses(t *testing.T) {
	// Both have books to compare; every other job belongs to one of them.
	both := append(relay.CartJobs(), relay.WarehouseJobs()...)
	require.ElementsMatch(t, append(relay.Jobs(), relay.Reconcile), both)
}

func TestParseNames(t *testing.T) {
	for _, s := range []string{"a", "0", "acme", "acme-2", "a--b", strings.Repeat("a", 40), "2026"} {
		id, err := relay.ParseMerchantID(s)
		require.NoError(t, err, s)
		require.Equal(t, relay.MerchantID(s), id)
		name, err := relay.ParseConnectionName(s)
		require.NoError(t, err, s)
		require.Equal(t, relay.ConnectionName(s), name)
	}
	for _, s := range []string{
		"", " ", "-", "-a", "a-", "A", "Acme", "a b", "a_b", "a.b", "a/b", "../a", "é", "acme\n", "\nacme", "a\x00",
		strings.Repeat("a", 41), strings.Repeat("a", 10_000),
	} {
		_, err := relay.ParseMerchantID(s)
		require.Error(t, err, s)
		require.Less(t, len(err.Error()), 300)
		_, err = relay.ParseConnectionName(s)
		require.Error(t, err, s)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestParseMode(t *testing.T) {
	for in, want := range map[string]relay.Mode{"live": relay.ModeLive, "production": relay.ModeLive, "test": relay.ModeTest} {
		m, err := relay.ParseMode(in)
		require.NoError(t, err)
		require.Equal(t, want, m)
	}
	for _, s := range []string{"", "Live", "prod", "sandbox", " test"} {
		_, err := relay.ParseMode(s)
		require.ErrorContains(t, err, "want live or test", s)
	}
}

func TestParseWords(t *testing.T) {
	for _, j := range relay.Jobs() {
		got, err := relay.ParseJob(string(j))
		require.NoError(t, err)
		require.Equal(t, j, got)
	}
	for _, h := range relay.HoldReasons() {
		got, err := relay.ParseHoldReason(string(h))
		require.NoError(t, err)
		require.Equal(t, h, got)
	}
	for _, s := range relay.OrderStates() {
		got, err := relay.ParseOrderState(string(s))
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	for _, s := range []string{"", "NEW", "new ", "canceled", "pull orders", strings.Repeat("x", 10_000)} {
		_, err := relay.ParseJob(s)
		require.ErrorContains(t, err, "pull_orders")
		_, err = relay.ParseHoldReason(s)
		require.ErrorContains(t, err, "bad_address")
		_, err = relay.ParseOrderState(s)
		require.ErrorContains(t, err, "in_doubt")
		require.Less(t, len(err.Error()), 300)
	}
}

func TestParseEvery(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1s": time.Second, "90s": 90 * time.Second, "1.5s": 1500 * time.Millisecond, "5m": 5 * time.Minute,
		"1h30m": 90 * time.Minute, "168h": 168 * time.Hour,
	} {
		for _, j := range relay.Jobs() {
			e, err := relay.ParseEvery(j, in)
			require.NoError(t, err, in)
			require.Equal(t, relay.Every(want), e)
		}
	}
	for _, in := range []string{
		"", "0", "0s", "5", "-5m", "999ms", "1ns", "168h0m1s", "9999999h", "AUTO", "Auto", " 5m", "5 m", "5min", "1d", "nan", strings.Repeat("9", 1000) + "h",
	} {
		_, err := relay.ParseEvery(relay.PushInventory, in)
		require.Error(t, err, in)
		require.Less(t, len(err.Error()), 250)
		var e relay.Every
		require.Error(t, e.UnmarshalText([]byte(in)), in)
		require.Zero(t, e, in)
	}
}

// Only what we do ourselves can tell us that there is something to do.
func TestAutoIsForOurOwnNews(t *testing.T) {
	for _, j := range relay.Jobs() {
		e, err := relay.ParseEvery(j, "auto")
		switch j {
		case relay.SubmitOrders, relay.PushShipments, relay.PushInventory:
			require.NoError(t, err, j)
			require.Equal(t, relay.Auto, e)
			require.Equal(t, relay.Auto, relay.DefaultEvery(j))
		default:
			require.ErrorContains(t, err, "nothing tells us", j)
			require.GreaterOrEqual(t, relay.DefaultEvery(j), relay.MinEvery)
		}
	}
}

func TestScheduleOf(t *testing.T) {
	var none relay.Schedule
	require.Equal(t, relay.Every(5*time.Minute), none.Of(relay.PullOrders))
	require.Equal(t, relay.Every(15*time.Minute), none.Of(relay.PullShipments))
	require.Equal(t, relay.Every(60*time.Minute), none.Of(relay.PullInventory))
	s := relay.Schedule{relay.PullOrders: relay.Every(time.Minute), relay.SubmitOrders: relay.Auto}
	require.Equal(t, relay.Every(time.Minute), s.Of(relay.PullOrders))
	require.Equal(t, relay.Auto, s.Of(relay.SubmitOrders))
	require.Equal(t, relay.Auto, s.Of(relay.PushShipments))
}

func TestEveryPrintsItsShortestForm(t *testing.T) {
	for in, want := range map[string]string{
		"24h0m0s": "24h", "168h": "168h", "5m0s": "5m", "300s": "5m", "90s": "90s", "1m30s": "90s", "1h30m": "90m", "1h0m1s": "3601s", "1.5s": "1.5s", "auto": "auto",
	} {
		e, err := relay.ParseEvery(relay.SubmitOrders, in)
		require.NoError(t, err)
		require.Equal(t, want, e.String())
		back, err := relay.ParseEvery(relay.SubmitOrders, want)
		require.NoError(t, err)
		require.Equal(t, e, back)
	}
}

func TestScheduleAsJSON(t *testing.T) {
	s := relay.Schedule{relay.PullOrders: relay.Every(90 * time.Second), relay.SubmitOrders: relay.Auto}
	b, err := json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, `{"pull_orders":"90s","submit_orders":"auto"}`, string(b))
	var back relay.Schedule
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, s, back)
}

// People count lines from 1, and look for what is wrong by its name.
func TestHeadlineNamesLinesAsPeopleDo(t *testing.T) {
	for want, p := range map[string]relay.Problem{
		"NOBODY-KNOWS-1 (line 3)":       {Field: "lines[2].sku", Value: "NOBODY-KNOWS-1"},
		"line 1, sku":                   {Field: "lines[0].sku"},
		"0799999999999 (item 4)":        {Field: "items[3].code", Value: "0799999999999"},
		"0799999999999 (item 4, units)": {Field: "items[3].units", Value: "0799999999999"},
		"0.5 (line 12, quantity)":       {Field: "lines[11].quantity", Value: "0.5"},
		"item 1":                        {Field: "items[0]"},
		"ship_method Sea":               {Field: "ship_method", Value: "Sea"},
		"lines[99999999].sku MUG":       {Field: "lines[99999999].sku", Value: "MUG"},
		"quantity":                      {Field: "quantity"},
	} {
		require.Equal(t, "rejected: "+want, relay.Hold{Reason: relay.HoldRejected, Fields: []relay.Problem{p}}.Headline())
	}
}

func TestHeadlineHasNoWords(t *testing.T) {
	h := relay.Hold{Reason: relay.HoldUnknownItem, Code: "E7", Words: "Some One, 1 Main St", Fields: []relay.Problem{
		{Field: "lines[0].sku", Value: "MUG", Message: "Some One"}, {Field: "ship_to.zip", Message: "90001"},
	}}
	require.Equal(t, "unknown_item (E7): MUG (line 1), ship_to.zip", h.Headline())
	require.Equal(t, "operator", relay.Hold{Reason: relay.HoldOperator}.Headline())
	asked := []relay.Problem{{Field: "reason", Value: "ask the buyer", Message: "so says operator clerk"}}
	require.Equal(t, "operator: ask the buyer", relay.Hold{Reason: relay.HoldOperator, Fields: asked}.Headline())
	h = relay.Hold{Reason: relay.HoldBadOrder, Fields: make([]relay.Problem, 7)}
	for i := range h.Fields {
		h.Fields[i].Field = string(rune('a' + i))
	}
	require.Equal(t, "bad_order: a, b, c, d, e and 2 more", h.Headline())
}

// Promise 2: neither what a person stopped nor what may have been sent goes out by itself.
func TestWhatResendsNightly(t *testing.T) {
	for _, r := range relay.HoldReasons() {
		want := r != relay.HoldOperator && r != relay.HoldUnknownOutcome
		require.Equal(t, want, r.ResendsNightly(), r)
	}
}

func FuzzParseNames(f *testing.F) {
	for _, s := range []string{"acme", "-", "a-", "A", "é", strings.Repeat("a", 41)} {
		f.Add(s)
	}
	form := regexp.MustCompile(`\A[a-z0-9-]{1,40}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		id, idErr := relay.ParseMerchantID(s)
		name, nameErr := relay.ParseConnectionName(s)
		require.Equal(t, idErr == nil, nameErr == nil)
		want := form.MatchString(s) && s[0] != '-' && s[len(s)-1] != '-'
		require.Equal(t, want, idErr == nil)
		if want {
			require.Equal(t, s, string(id))
			require.Equal(t, s, string(name))
		}
	})
}

func FuzzParseWords(f *testing.F) {
	for _, s := range []string{"held", "operator", "pull_orders", "live", "production", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, err := relay.ParseOrderState(s)
		require.Equal(t, slices.Contains(relay.OrderStates(), relay.OrderState(s)), err == nil)
		_, err = relay.ParseHoldReason(s)
		require.Equal(t, slices.Contains(relay.HoldReasons(), relay.HoldReason(s)), err == nil)
		_, err = relay.ParseJob(s)
		require.Equal(t, slices.Contains(relay.Jobs(), relay.Job(s)), err == nil)
		_, err = relay.ParseMode(s)
		require.Equal(t, s == "live" || s == "test" || s == "production", err == nil)
	})
}

// FuzzParseEvery: what is accepted is in bounds and reads back from what is printed.
func FuzzParseEvery(f *testing.F) {
	for _, s := range []string{"auto", "5m", "1.5h", "-1s", "1ns", "168h", "1h1h", "+3s", "µs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, j := range relay.Jobs() {
			e, err := relay.ParseEvery(j, s)
			if err != nil {
				continue
			}
			if s != "auto" {
				require.GreaterOrEqual(t, e, relay.MinEvery)
				require.LessOrEqual(t, e, relay.MaxEvery)
			}
			again, err := relay.ParseEvery(j, e.String())
			require.NoError(t, err)
			require.Equal(t, e, again)
			b, err := e.MarshalText()
			require.NoError(t, err)
			var back relay.Every
			require.NoError(t, back.UnmarshalText(b))
			require.Equal(t, e, back)
		}
		var e relay.Every
		if e.UnmarshalText([]byte(s)) == nil && e != relay.Auto {
			require.GreaterOrEqual(t, e, relay.MinEvery)
			require.LessOrEqual(t, e, relay.MaxEvery)
		}
	})
}
