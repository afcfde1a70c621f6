package store_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/store/storetest"
)

func export(t *testing.T, s *store.Store, q store.ExportQuery) (string, store.ExportCounts) {
	t.Helper()
	var out bytes.Buffer
	counts, err := s.Export(t.Context(), q, &out)
	require.NoError(t, err)
	return out.String(), counts
}

// records reads an export, by kind.
func records(t *testing.T, out string) (byKind map[string][]map[string]any, kinds []string) {
	t.Helper()
	byKind = make(map[string][]map[string]any)
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		var r map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r), lines.Text())
		kind, ok := r["record"].(string)
		require.True(t, ok, lines.Text())
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
		byKind[kind] = append(byKind[kind], r)
	}
	require.NoError(t, lines.Err())
	return byKind, kinds
}

// private are strings of personal data that filled writes into the ledger.
var private = []string{"Some Six", "Example Street", "Springfield", "ZIP-9X", "555 0100", "buyer@example.com", "ops@example.com", "quoted words"}

func aPrivateOrder(n int) relay.CartOrder {
	o := anOrder(n)
	o.ShipTo.Zip, o.ShipTo.Phone, o.ShipTo.Email = "ZIP-9X", "+1 617 555 0100", "buyer@example.com"
	return o
}

// lacks says which of the strings are in an export, without the whole of it.
func lacks(t *testing.T, out string, list ...string) {
	t.Helper()
	for _, s := range list {
		require.False(t, strings.Contains(out, s), s)
	}
}

// filled is a ledger with something of every kind.
func filled(t *testing.T) *bench {
	b := newBench(t)
	var page []relay.CartOrder
	for n := range 6 {
		page = append(page, aPrivateOrder(n))
	}
	page[5].Problems = []relay.Problem{{Field: "ship_to.zip", Message: "quoted words: 1 Example Street"}}
	b.takeIn(page...)
	subs := b.claim("me")
	no := refused(subs[1])
	no.Refused.Words, no.Refused.Fields[0].Message = "quoted words: Some Six", "quoted words: 1 Example Street"
	late := refused(subs[2])
	late.Refused.Words = "quoted words: Springfield"
	b.record(accepted(subs[0]), no, late, unknown(subs[3]), unsent(subs[4]))
	_, err := b.Release(t.Context(), []relay.OrderID{subs[2].Order.ID}, "operator clerk", "try")
	require.NoError(t, err)
	b.progress(store.Progress{Order: subs[0].Order.ID, Complete: true, Packages: []relay.Package{parcel("1Z", item("MUG", 2)), parcel("2Z")}})
	b.tell()
	_, err = b.ImportAliases(t.Context(), "acme", []relay.Alias{{SKU: "MUG", Code: "400638"}, {SKU: "MUG", Code: "400639", Cart: "shop"}}, false, "operator clerk")
	require.NoError(t, err)
	b.editKits(store.KitEdit{Set: []relay.Kit{kit("GIFT", 2, "MUG", 1, "CAP")}, Actor: "operator clerk"})
	b.exec(`update merchants set alerts = '{"after": ["24h0m0s"], "email": ["ops@example.com"], "webhook": "https://hooks.test/made-up-key"}'`)
	b.exec(`update orders set late_edit = '{"ShipTo": {"name": "Some Six"}}' where id = $1`, subs[3].Order.ID)
	b.exec(`insert into inventory_levels values ($1, '400638', 'east', 12.5, 'on_hand', now())`, b.depot())
	b.exec(`insert into sent_levels values ($1, 'MUG', '', 10, 2.5, now(), null, null)`, b.cart("shop").ID)
	b.exec(`insert into alerts (merchant_id, cause, headline, since) values ('acme', 'hold/bad_address', '1 order on hold', now())`)
	b.exec(`insert into findings (merchant_id, connection_id, kind, subject, order_id) values ('acme', $1, 'drift', 'MUG', $2)`, b.depot(), subs[0].Order.ID)
	b.exec(`insert into reconciliations (merchant_id, connection_id, began_at, checked) values ('acme', $1, now(), 6)`, b.depot())
	return b
}

func TestExport(t *testing.T) {
	b := filled(t)
	storetest.Save(t, b.Store, storetest.Merchant("other"))
	out, counts := export(t, b.Store, store.ExportQuery{Merchant: "acme", Addresses: true})
	got, kinds := records(t, out)
	require.Equal(t, []string{"export", "merchant", "connection", "alias", "kit", "mapping_change", "order", "submission", "shipment", "event", "level", "cart_level",
		"alert", "finding", "reconciliation", "end"}, kinds)
	for kind, n := range counts {
		require.Len(t, got[kind], int(n), kind)
		require.Equal(t, float64(n), got["end"][0]["counts"].(map[string]any)[kind])
	}
	require.Equal(t, map[string]any{"record": "export", "format": "orderferry-export", "version": 1.0, "merchant": "acme", "addresses": true}, got["export"][0])
	require.Len(t, got["connection"], 2)
	require.Len(t, got["alias"], 2)
	require.Len(t, got["mapping_change"], 3)
	require.Equal(t, []any{map[string]any{"sku": "CAP", "units": 1.0}, map[string]any{"sku": "MUG", "units": 2.0}}, got["kit"][0]["components"])
	require.Len(t, got["order"], 6)
	lacks(t, out, "made-up", "credentials")
	for _, s := range private {
		require.Contains(t, out, s, "it is there to be missed in the other test")
	}

	// What an order's records say is what the ledger says.
	first := got["order"][0]
	d, err := b.Order(t.Context(), b.id(0))
	require.NoError(t, err)
	require.Equal(t, string(d.Reference), first["reference"])
	require.Equal(t, string(d.State), first["state"])
	require.Equal(t, "2026-03-04T05:06:07+00:00", first["placed_at"])
	require.Equal(t, "Some Six", first["ship_to"].(map[string]any)["name"])
	require.Equal(t, []any{map[string]any{"id": "1", "sku": "MUG", "quantity": 2.0}, map[string]any{"id": "2", "sku": "CAP", "quantity": 1.0}}, first["lines"])
	sub := got["submission"][0]
	require.Equal(t, d.Submissions[0].Digest, sub["digest"])
	require.Equal(t, first["reference"], sub["order"])
	require.Equal(t, []any{map[string]any{"line": "1", "sku": "MUG", "code": "MUG", "units": 2.0}, map[string]any{"line": "2", "sku": "CAP", "code": "CAP", "units": 1.0}}, sub["items"])
	require.Equal(t, "1Z", got["shipment"][0]["tracking_number"])
	require.Equal(t, []any{map[string]any{"line": "1", "units": 2.0}}, got["shipment"][0]["lines"])
	var trail []store.EventKind
	for _, e := range got["event"] {
		if e["order"] == first["reference"] {
			trail = append(trail, store.EventKind(e["kind"].(string)))
		}
	}
	require.Equal(t, b.kinds(d.ID), trail)
	require.Equal(t, 12.5, got["level"][0]["quantity"])
	require.Equal(t, first["reference"], got["finding"][0]["order"])
}

func TestExportWithoutAddresses(t *testing.T) {
	b := filled(t)
	out, _ := export(t, b.Store, store.ExportQuery{Merchant: "acme"})
	lacks(t, out, append(private, "ship_to\":", "late_edit", "hook")...)
	got, _ := records(t, out)
	require.Equal(t, []any{map[string]any{"field": "lines[0].sku", "value": "MUG"}}, got["order"][1]["hold_fields"], "what is wrong is told")
	require.Equal(t, []any{map[string]any{"field": "ship_to.zip"}}, got["order"][5]["problems"])
	require.Equal(t, "NO_STOCK", got["submission"][1]["code"])
}

func TestExportSince(t *testing.T) {
	b := filled(t)
	b.exec(`alter table order_events disable trigger order_events_append_only`)
	b.exec(`update order_events set at = '2026-01-01'`)
	b.exec(`update orders set updated_at = '2026-01-01'`)
	b.exec(`insert into alerts (merchant_id, cause, headline, since, closed_at, closed_by) values ('acme', 'old', 'old', '2026-01-01', '2026-01-02', 'ops')`)
	b.exec(`update orders set updated_at = '2026-02-02' where id = $1`, b.id(0))
	b.exec(`update order_events set at = '2026-02-02' where order_id = $1`, b.id(1))
	out, counts := export(t, b.Store, store.ExportQuery{Merchant: "acme", Since: time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)})
	got, _ := records(t, out)
	require.Equal(t, "2026-02-02T00:00:00+00:00", got["export"][0]["since"])
	require.EqualValues(t, 2, counts["order"])
	require.EqualValues(t, 2, counts["submission"])
	require.EqualValues(t, 2, counts["shipment"])
	require.Len(t, got["event"], len(b.kinds(b.id(0)))+len(b.kinds(b.id(1))), "all of their events")
	require.Len(t, got["alert"], 1)
	require.Len(t, got["alias"], 2)
}

func TestExportOfNobody(t *testing.T) {
	var out bytes.Buffer
	_, err := newBench(t).Export(t.Context(), store.ExportQuery{Merchant: "nobody"}, &out)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.Empty(t, out.Bytes())
}

// thousands makes a ledger whose export is far larger than what lies in buffers.
func thousands(t *testing.T) (b *bench, orders int) {
	b = newBench(t)
	const page, pages = 500, 6
	for p := range pages {
		list := make([]relay.CartOrder, page)
		for i := range list {
			list[i] = aPrivateOrder(p*page + i)
			list[i].Lines[0].Name = strings.Repeat("mug ", 500)
		}
		b.takeIn(list...)
	}
	return b, page * pages
}

func TestExportOfThousands(t *testing.T) {
	b, orders := thousands(t)
	q := store.ExportQuery{Merchant: "acme"}
	out, counts := export(t, b.Store, q)
	require.EqualValues(t, orders, counts["order"])
	got, _ := records(t, out)
	numbers := make(map[any]bool)
	for _, o := range got["order"] {
		numbers[o["number"]] = true
	}
	require.Len(t, numbers, orders, "every order, once")
	require.Len(t, got["event"], orders)
	lacks(t, out, private...)
	again, _ := export(t, b.Store, q)
	require.True(t, out == again, "the same ledger gives the same bytes")

	// A writer that has had enough ends it.
	full := errors.New("no space left")
	_, err := b.Export(t.Context(), q, writerFunc(func([]byte) (int, error) { return 0, full }))
	require.ErrorIs(t, err, full)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = b.Export(ctx, q, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	require.ErrorIs(t, err, context.Canceled)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// The database's answer is held back until the writer has seen its beginning: an
// export that gathered rows before it writes them would wait for ever.
func TestExportStreams(t *testing.T) {
	b, orders := thousands(t)
	gate := newGate(t, b.db.URL, 512<<10)
	s, err := store.Open(t.Context(), gate.url, nil)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	written := 0
	counts, err := s.Export(ctx, store.ExportQuery{Merchant: "acme"}, writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte(`"record":"order"`)) {
			gate.open()
		}
		written += len(p)
		return len(p), nil
	}))
	require.NoError(t, err)
	require.EqualValues(t, orders, counts["order"])
	require.Greater(t, written, 4*(512<<10), "most of it came after the gate was opened")
}

// gate stands between a ledger and Postgres and lets so many bytes of answers
// pass, and the others only when it is opened.
type gate struct {
	url  string
	open func()
}

func newGate(t *testing.T, database string, pass int64) gate {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	opened := make(chan struct{})
	open := sync.OnceFunc(func() { close(opened) })
	var conns sync.WaitGroup
	t.Cleanup(func() {
		open()
		require.NoError(t, listener.Close())
		conns.Wait()
	})
	server := u.Host
	conns.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			postgres, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				return
			}
			conns.Go(func() {
				io.Copy(postgres, client)
				postgres.Close()
			})
			conns.Go(func() {
				io.CopyN(client, postgres, pass)
				<-opened
				io.Copy(client, postgres)
				client.Close()
			})
		}
	})
	u.Host = listener.Addr().String()
	return gate{u.String(), open}
}

func TestExportIsOneMoment(t *testing.T) {
	b, orders := thousands(t)
	once := sync.OnceFunc(func() { b.takeIn(anOrder(1_000_000)) })
	counts, err := b.Export(t.Context(), store.ExportQuery{Merchant: "acme"}, writerFunc(func(p []byte) (int, error) {
		once()
		return len(p), nil
	}))
	require.NoError(t, err)
	b.id(1_000_000)
	require.EqualValues(t, orders, counts["order"])
	require.EqualValues(t, orders, counts["event"], "an order that came meanwhile is in none of it")
}
