package cli

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store/storetest"
)

// An order that a cart's filter leaves out is listed with the reason, and so are
// the rules that say so.
func TestSkippedOrdersSayWhy(t *testing.T) {
	l := newRealLedger(t)
	m := l.m.Merchant
	m.Carts[0].Rules = relay.Rules{
		Filter:   relay.Filter{Countries: []string{"CA", "GB"}, Earliest: time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)},
		Methods:  relay.ShipMethods{Map: map[relay.ShipMethod]relay.Service{"Express": "AIR"}, Unmapped: relay.PassUnmapped},
		Carriers: map[string]string{"USPS": "Post"},
		Stock:    relay.StockRules{Sites: []string{"EAST"}, Locations: map[string][]string{"12": {"WEST", "NORTH"}}, Floor: 3},
	}
	l.m = storetest.Save(t, l.Store, m)
	l.order("SO-1")

	table := l.ferry("order", "list", "--merchant", "acme", "--state", "skipped")
	require.Regexp(t, `SO-1 .*skipped .*country US, not CA or GB`, table)
	var list struct {
		Orders []struct {
			State      relay.OrderState
			SkipReason string `json:"skip_reason"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(l.ferry("order", "list", "--merchant", "acme", "--output", "json")), &list))
	require.Len(t, list.Orders, 1)
	require.Equal(t, relay.OrderSkipped, list.Orders[0].State)
	require.Equal(t, "country US, not CA or GB", list.Orders[0].SkipReason)

	require.Regexp(t, `skipped because +country US, not CA or GB\n`, l.ferry("order", "show", "--merchant", "acme", "--order", "SO-1"))
	history := l.ferry("order", "history", "--merchant", "acme", "--order", "SO-1")
	require.Regexp(t, `skipped because +country US, not CA or GB\n`, history)
	require.Regexp(t, `job pull_orders +skipped, for the cart's filter leaves it out: country US, not CA or GB\n`, history)

	shown := l.ferry("merchant", "show", "--merchant", "acme")
	for _, row := range []string{
		`filter.countries +CA, GB`, `filter.earliest +2026-01-01T08:00:00Z`, `ship_methods.Express +AIR`, `ship_methods.unmapped +pass`, `carriers.USPS +Post`,
		`stock.sites +EAST`, `stock.locations.12 +WEST, NORTH`, `stock.floor +3`, `skipped +1`,
	} {
		require.Regexp(t, "(?m)^ *"+row+"$", shown)
	}
	require.NotContains(t, shown, "stock.buffer", "what the file does not say")

	// Let go, it has no reason any more.
	m.Carts[0].Rules = relay.Rules{}
	l.m = storetest.Save(t, l.Store, m)
	cart, _ := l.m.Connection(m.Carts[0].Name)
	page, _, err := l.NextToFilter(t.Context(), cart.ID, 10)
	require.NoError(t, err)
	_, err = l.ApplyFilter(t.Context(), cart.ID, page, "job pull_orders")
	require.NoError(t, err)
	require.Regexp(t, `skipped no more: the filter changed\n`, l.ferry("order", "history", "--merchant", "acme", "--order", "SO-1"))
	require.NotContains(t, l.ferry("order", "show", "--merchant", "acme", "--order", "SO-1"), "skipped")
	require.NotContains(t, l.ferry("merchant", "show", "--merchant", "acme", "--output", "json"), `"rules"`)
}

func TestALongRuleIsCutShort(t *testing.T) {
	f := relay.Filter{}
	for range 10 {
		f.SKUs = append(f.SKUs, "MUG")
	}
	require.Contains(t, rulesText(relay.Rules{Filter: f}), [2]string{"  filter.skus", "MUG, MUG, MUG, MUG, MUG, MUG, MUG, MUG, and 2 more"})
}

func TestAnEmptyListOfSitesIsShown(t *testing.T) {
	rows := rulesText(relay.Rules{Stock: relay.StockRules{Sites: []string{}, Locations: map[string][]string{"12": {}}}})
	require.Contains(t, rows, [2]string{"  stock.sites", "none"})
	require.Contains(t, rows, [2]string{"  stock.locations.12", "none"})
	require.Contains(t, rulesText(relay.Rules{}), [2]string{"  stock.sites", ""})
}

// Every command that names an order takes its reference, in either case, and its
// full number; and lists what a number of several orders may mean.
func TestAnOrderGoesByReferenceAndByFullNumber(t *testing.T) {
	for _, verb := range []string{"show", "history"} {
		for _, name := range []string{"SO-1042", "so-1042", "#SO-1042", " #SO-1042 "} {
			w := answering(t)
			code, stdout, stderr := w.ferry(t, "order", verb, "--merchant", "acme", "--order", name)
			require.Zero(t, code, stderr)
			require.Regexp(t, `order +SO-1042\n`, stdout)
		}
	}
	for _, verb := range [][]string{{"show"}, {"history"}, {"cancel", "--reason", "r"}, {"release"}, {"reopen", "--reason", "r"}} {
		w := answering(t)
		args := append([]string{"order", verb[0], "--merchant", "acme"}, verb[1:]...)
		code, _, stderr := w.ferry(t, append(args, "--order", "1043")...)
		require.Equal(t, 2, code)
		require.Contains(t, stderr, "--reference 1043  number 1043, cart main, shipped")
		require.Contains(t, stderr, "--reference 1043-7ZK2Q1  number 1043, cart outlet, new")
		require.Contains(t, stderr, `order "1043" of merchant acme names 2 orders: say which with --reference`)
	}
	code, stdout, stderr := answering(t).ferry(t, "order", "show", "--merchant", "acme", "--reference", "1043-7zk2q1")
	require.Zero(t, code, stderr)
	require.Regexp(t, `order +1043-7ZK2Q1\n`, stdout)
}
