package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/postgres"
	"orderferry/store/storetest"
)

// realLedger is a ledger in Postgres with one merchant.
type realLedger struct {
	t *testing.T
	*store.Store
	url, keyFile string
	m            store.Merchant
}

func newRealLedger(t *testing.T) *realLedger {
	ctx := context.Background() // it outlives the test's own, to be stopped
	dir, err := os.MkdirTemp("", "orderferry-cli-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711)) // run by root, the server's own user has to pass
	pg, err := postgres.Start(ctx, postgres.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pg.Stop(ctx)) })
	require.NoError(t, pg.CreateDatabase(ctx, "ledger"))
	l := &realLedger{t: t, url: pg.URL("ledger"), keyFile: filepath.Join(t.TempDir(), "key.json")}
	_, _, err = store.Migrate(ctx, l.url)
	require.NoError(t, err)
	keyring, err := store.EnsureKeyring(l.keyFile)
	require.NoError(t, err)
	l.Store, err = store.Open(ctx, l.url, keyring)
	require.NoError(t, err)
	t.Cleanup(l.Store.Close)
	l.m = storetest.Save(t, l.Store, storetest.Merchant("acme"))
	return l
}

// ferry runs a command on the ledger, and returns what it prints.
func (l *realLedger) ferry(args ...string) string {
	l.t.Helper()
	env := map[string]string{envDatabase: l.url, "ORDERFERRY_DATA": l.t.TempDir()}
	p := realParts()
	p.connectors = testConnectors()
	var stdout, stderr bytes.Buffer
	code := run(l.t.Context(), args, func(k string) string { return env[k] }, strings.NewReader(""), &stdout, &stderr, p)
	require.Zero(l.t, code, stderr.String())
	return stdout.String()
}

// order takes an order in and returns its number in the ledger.
func (l *realLedger) order(number string) relay.OrderID {
	l.t.Helper()
	cart, ok := l.m.Connection("shop")
	require.True(l.t, ok)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	_, err := l.TakeIn(l.t.Context(), cart, []relay.CartOrder{{
		ExternalID: relay.ExternalID(number), Number: number, PlacedAt: at, UpdatedAt: at,
		ShipTo: relay.Address{Name: "Some One", Street1: "12 Main Street", City: "Springfield", Country: "US"},
		Lines:  []relay.Line{{ID: "l1", SKU: "MUG", Quantity: relay.Units(2)}, {ID: "l2", SKU: "CAP", Quantity: relay.Units(1)}},
	}}, "orders", "after "+number, "job pull_orders")
	require.NoError(l.t, err)
	id, err := l.OrderByReference(l.t.Context(), "acme", relay.Reference(number))
	require.NoError(l.t, err)
	return id
}

// send opens a submission of the one order that is ready.
func (l *realLedger) send() store.Submission {
	l.t.Helper()
	claimed, err := l.Claim(l.t.Context(), store.ClaimQuery{Merchant: l.m, Owner: "me", Lease: time.Minute, Limit: 10, Actor: "job submit_orders"},
		func(o relay.Order, token relay.Token) (store.Claim, error) {
			var items []relay.OrderItem
			for _, line := range o.Lines {
				units, _ := line.Quantity.Whole()
				items = append(items, relay.OrderItem{Line: line.ID, SKU: line.SKU, Item: relay.Item{Code: relay.ItemCode("code-" + line.SKU), Units: units}})
			}
			return store.Claim{Items: items, Service: "Ground", Digest: sha256.Sum256([]byte(token))}, nil
		})
	require.NoError(l.t, err)
	require.Len(l.t, claimed.Submissions, 1)
	return claimed.Submissions[0]
}

func (l *realLedger) record(sub store.Submission, o store.Outcome) {
	l.t.Helper()
	o.Submission, o.Order, o.Send, o.Took = sub.ID, sub.Order.ID, sub.Sends, 1500*time.Millisecond
	require.NoError(l.t, l.RecordOutcomes(l.t.Context(), "job submit_orders", []store.Outcome{o}))
}

// told is what an order's history says, without times, digests and tokens.
func (l *realLedger) told(number string) []string {
	l.t.Helper()
	var v historyView
	require.NoError(l.t, json.Unmarshal([]byte(l.ferry("order", "history", "--merchant", "acme", "--order", number, "--output", "json")), &v))
	var out []string
	random := regexp.MustCompile(`\b([0-9a-f]{16}\.\.\.|[a-z2-7]{16}\b)`)
	for _, e := range v.Events {
		out = append(out, e.Actor+": "+random.ReplaceAllString(e.Sentence, "*"))
	}
	return out
}

// What the ledger's trail keeps is what the sentences tell.
func TestHistoryOfARealLedger(t *testing.T) {
	l := newRealLedger(t)
	ctx := t.Context()
	id := l.order("SO-1")
	sub := l.send()
	l.record(sub, store.Outcome{Status: 422, Refused: &relay.Hold{
		Reason: relay.HoldInsufficientInventory, Code: "E17", Words: "none for 12 Main Street", Fields: []relay.Problem{{Field: "lines[0].sku", Value: "MUG"}},
	}})
	edit, err := l.EditAliases(ctx, "acme", store.AliasEdit{Set: []relay.Alias{{SKU: "HAT", Code: "4006399"}, {SKU: "CUP", Code: "4006380"}}, Actor: "operator clerk"})
	require.NoError(t, err)
	l.m.MappingsVersion = edit.Version
	_, err = l.Release(ctx, []relay.OrderID{id}, "operator ops", "a pallet came in")
	require.NoError(t, err)
	sub = l.send()
	l.record(sub, store.Outcome{Unknown: true, Status: 504, Why: "submit order: unknown outcome, HTTP 504"})
	require.NoError(t, l.RecordLooks(ctx, "job submit_orders", []store.Look{{Submission: sub.ID, Order: id, Again: 2 * time.Minute}}))
	open, err := l.Reopen(ctx, []store.Submission{sub}, "me", time.Minute, "job submit_orders")
	require.NoError(t, err)
	require.Len(t, open, 1)
	l.record(open[0], store.Outcome{Accepted: "ord_1", Status: 201})
	_, err = l.RecordProgress(ctx, "job pull_shipments", []store.Progress{{Order: id, Status: "shipped", Complete: true, Packages: []relay.Package{
		{Carrier: "UPS", TrackingNumber: "1Z1", Items: []relay.Item{{Code: "code-MUG", Units: 2}}}, {Carrier: "UPS", TrackingNumber: "1Z2"},
	}}}, store.Reading{})
	require.NoError(t, err)
	cart, _ := l.m.Connection("shop")
	tell, err := l.ShipmentsToTell(ctx, cart.ID, 10)
	require.NoError(t, err)
	require.Len(t, tell, 2)
	for _, told := range [][]store.Told{
		{{Shipment: tell[0].ID, Order: id, CartID: "F1"}, {Shipment: tell[1].ID, Order: id, Error: "push shipment: unavailable, HTTP 503", Retry: time.Minute}},
		{{Shipment: tell[1].ID, Order: id, CartID: "F2", Found: true}},
	} {
		_, err = l.RecordTold(ctx, "job push_shipments", told)
		require.NoError(t, err)
	}
	require.Equal(t, []string{
		"job pull_orders: taken in from cart shop at version 2026-03-04T05:06:07Z, 2 lines",
		"job submit_orders: translated with mappings version 0 and settings version 1: attempt 1 opened, token *, body sha256 *, 2 x code-MUG, 1 x code-CAP, service Ground",
		"job submit_orders: attempt 1 was sent, and refused (HTTP 422, after 1.5s): insufficient_inventory (E17): MUG (line 1)",
		"job submit_orders: on hold: insufficient_inventory (E17): MUG (line 1)",
		"operator ops: released: a pallet came in",
		"job submit_orders: translated with mappings version 1 and settings version 1: attempt 2 opened, token *, body sha256 *, 2 x code-MUG, 1 x code-CAP, service Ground",
		"job submit_orders: attempt 2 has no answer that tells (submit order: unknown outcome, HTTP 504, after 1.5s): it will be looked for",
		"job submit_orders: attempt 2 was looked for at the warehouse: not there; looked for again in 2m",
		"job submit_orders: attempt 2 is sent again with the same token (send 2)",
		"job submit_orders: attempt 2 was sent, and the warehouse took it: order ord_1 (HTTP 201, after 1.5s)",
		"job pull_shipments: package: UPS 1Z1, 2 x MUG",
		"job pull_shipments: package: UPS 1Z2, contents not told",
		"job pull_shipments: packages of untold contents stand for all that was left: 1 x CAP",
		`job pull_shipments: the warehouse calls it "shipped"`,
		"job push_shipments: told the cart of UPS 1Z1 (fulfillment F1)",
		"job push_shipments: the cart did not take UPS 1Z2: push shipment: unavailable, HTTP 503; told again in 1m",
		"job push_shipments: the cart already had UPS 1Z2 (fulfillment F2)",
		"job push_shipments: confirmed: the cart has all tracking",
	}, l.told("SO-1"))
	require.Equal(t, l.told("SO-1"), l.told("ord_1"), "by the warehouse's name of it, too")

	args := []string{"order", "history", "--merchant", "acme", "--order", "SO-1"}
	require.Regexp(t, `\n1 +20\S+Z +operator clerk +2 alias changes +ferry alias history --merchant acme --version 1\n$`, l.ferry(args...), "what brought the version")
	require.Contains(t, l.ferry("kit", "history", "--merchant", "acme", "--version", "1"), "no such change of kits of merchant acme\na version is of aliases or of kits")
	require.NotContains(t, l.ferry(args...), "Main Street")
	require.Contains(t, l.ferry(append(args, "--words")...), "none for 12 Main Street", "though the hold has ended")
	require.NotContains(t, l.ferry(append(args, "--output", "json")...), "Main Street")

	two := l.order("SO-2")
	l.record(l.send(), store.Outcome{Unsent: true, Why: "submit order: unavailable: refused", Retry: 10 * time.Second})
	_, err = l.RequestCancel(ctx, two, store.CancelAsk{Actor: "operator ops", Reason: "buyer cancelled"})
	require.NoError(t, err)
	require.Equal(t, []string{
		"job submit_orders: attempt 1 never left (submit order: unavailable: refused, after 1.5s); sent again in 10s",
		"operator ops: a cancel was asked for: buyer cancelled",
		"operator ops: cancelled before it was sent: buyer cancelled",
	}, l.told("SO-2")[2:])

	// The whole merchant, through the same command as operators type.
	file := filepath.Join(t.TempDir(), "acme.jsonl")
	var v exportView
	require.NoError(t, json.Unmarshal([]byte(l.ferry("export", "--merchant", "acme", "--out", file, "--output", "json")), &v))
	require.EqualValues(t, 2, v.Records["order"])
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	all, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Contains(t, string(all), `"tracking_number":"1Z2"`)
	require.NotContains(t, string(all), "Main Street")
	require.Equal(t, string(all), l.ferry("export", "--merchant", "acme"))
}
