package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

// cupRules are the stock rules of the cart whose numbers are explained.
var cupRules = relay.StockRules{Floor: 3, Buffer: 2, BufferPercent: 10, Locations: map[string][]string{"32": {"WEST"}}}

func shownLevels(sku relay.SKU, parts []relay.Item, missing ...relay.SKU) []store.CartLevel {
	shown := cupRules.Show(parts, map[relay.ItemCode]relay.CodeStock{
		"4006399": {Levels: []relay.InventoryLevel{{Site: "EAST", Quantity: relay.Units(30)}, {Site: "WEST", Quantity: relay.Units(5)}},
			Booked: []relay.Booked{{Location: "32", Units: 6}, {Units: 4}}},
		"4006400": {Levels: []relay.InventoryLevel{{Site: "EAST", Quantity: relay.Units(8)}}},
	})
	var out []store.CartLevel
	for _, l := range shown {
		out = append(out, store.CartLevel{SKU: sku, ShownLevel: l, Missing: missing})
	}
	return out
}

// cartLevels are levels of every kind: to be sent, as sent, refused, not known.
func cartLevels() []store.CartLevel {
	cup := shownLevels("CUP", []relay.Item{{Code: "4006399", Units: 1}})
	cup[0].Owed = 4
	cup[0].Sent = &store.SentLevel{Available: relay.Units(24), Owed: relay.Units(4), At: evening}
	cup[1].Sent = &store.SentLevel{At: evening, Error: `push inventory: invalid, field location "32"`, RetryAt: noon.Add(6 * time.Hour), Waits: true}
	gift := shownLevels("GIFT", []relay.Item{{Code: "4006399", Units: 2}, {Code: "4006400", Units: 1}})
	gift[0].Sent = &store.SentLevel{Available: relay.Units(5), Owed: relay.Units(-1), At: evening}
	soon := shownLevels("SOON", nil, "LID")[:1]
	return slices.Concat(cup, gift, soon, shownLevels("TRAY", nil)[:1])
}

func (l *fakeLedger) StockStory(_ context.Context, m store.Merchant, mappings relay.Mappings, carts []store.Connection, name string, orders int) (store.StockStory, error) {
	l.calls++
	if name == "PEN" {
		return store.StockStory{}, fmt.Errorf("explain the stock of %q: %w", name, store.ErrNotFound)
	}
	cart := carts[0]
	cart.Rules.Stock = cupRules
	byName := func(sku relay.SKU) store.CartStory {
		s := store.CartStory{Cart: cart, SKU: sku}
		s.Mapping, _ = mappings.Lookup(cart.Name, sku)
		for _, lv := range cartLevels() {
			if lv.SKU == sku {
				s.Levels = append(s.Levels, lv)
			}
		}
		return s
	}
	booked := []store.BookedOrder{
		{Code: "4006399", Reference: "SO-1001", Cart: "main", Location: "32", State: relay.OrderAtWarehouse, Units: 6},
		{Code: "4006399", Reference: "SO-1002", Cart: "outlet", State: relay.OrderShipped, Units: 5, LeftOut: 1},
	}
	return store.StockStory{
		Codes: []store.CodeStory{
			{Code: "4006399", StandsAsOf: noon.Add(-30 * time.Minute).In(berlin), Booked: store.OrderUnits{Orders: 3, Units: 10}, LeftOut: store.OrderUnits{Orders: 1, Units: 1},
				Orders: booked[:min(orders, 2)], Sites: []store.SiteStory{
					{Site: "EAST", Quantity: relay.Units(30), Meaning: "on_hand", ChangedAt: evening}, {Site: "WEST", Quantity: relay.Units(5), Meaning: "on_hand", ChangedAt: evening}}},
			{Code: "4006400", StandsAsOf: noon.Add(-30 * time.Minute), Sites: []store.SiteStory{{Site: "EAST", Quantity: relay.Units(8), Meaning: "on_hand", ChangedAt: evening}}},
			{Code: "4006401"},
		},
		Carts: []store.CartStory{byName("CUP"), byName("GIFT"), byName("SOON")},
	}, nil
}

func (l *fakeLedger) CartLevels(_ context.Context, q store.CartLevelsQuery) (store.CartLevelsPage, error) {
	l.calls++
	var page store.CartLevelsPage
	for _, lv := range cartLevels() {
		if lv.SKU > q.After && q.Keep(lv) {
			page.Levels = append(page.Levels, lv)
		}
	}
	// Two pages, the second without anything.
	page.More, page.After = q.After == "", "TRAY"
	return page, nil
}

func TestInventoryOfNothing(t *testing.T) {
	w := newWorld(t)
	code, stdout, stderr := w.ferry(t, "inventory", "show", "--merchant", "acme", "PEN")
	require.Equal(t, exitFailed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, `"PEN" is no SKU of merchant acme that is mapped, and no item code that its warehouse names`)
	code, _, stderr = newWorld(t).ferry(t, "inventory", "show", "--merchant", "acme", "--cart", "west", "CUP")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "cart west of merchant acme: not found; it has main")
	for _, output := range []string{"table", "json"} {
		code, stdout, _ = newWorld(t).ferry(t, "inventory", "list", "--merchant", "zeta", "--output", output)
		require.Zero(t, code)
		if output == "table" {
			require.Equal(t, "no such levels\n", stdout)
		} else {
			require.JSONEq(t, `{"levels": [], "more": false}`, stdout)
		}
	}
}

func TestInventoryListEndsAtItsLimit(t *testing.T) {
	for limit := 1; limit <= 7; limit++ {
		code, stdout, stderr := newWorld(t).ferry(t, "inventory", "list", "--merchant", "acme", "--limit", fmt.Sprint(limit), "--output", "json")
		require.Zero(t, code)
		var got struct {
			Levels []listedLevel `json:"levels"`
			More   bool          `json:"more"`
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &got))
		require.Len(t, got.Levels, min(limit, 6))
		require.Equal(t, limit < 6, got.More)
		require.Equal(t, limit < 6, strings.Contains(stderr, "and there are more"))
	}
	_, stdout, _ := newWorld(t).ferry(t, "inventory", "list", "--merchant", "acme", "--differs")
	require.Equal(t, 3, strings.Count(stdout, "\n"), stdout)
	require.Contains(t, stdout, "and a shipment since")
}

// What a real ledger holds is explained from end to end.
func TestInventoryOfARealLedger(t *testing.T) {
	l := newRealLedger(t)
	warehouse := l.m.StoredWarehouse().ID
	began := time.Now().Add(-time.Minute)
	_, err := l.RecordLevels(t.Context(), warehouse, []relay.InventoryLevel{{Code: "code-MUG", Site: "EAST", Quantity: relay.Units(10)}}, "available", began)
	require.NoError(t, err)
	require.NoError(t, l.RecordLevelsRead(t.Context(), warehouse, store.LevelsReading{Began: began}))
	_, err = l.EditAliases(t.Context(), "acme", store.AliasEdit{Set: []relay.Alias{{SKU: "MUG", Code: "code-MUG"}}, Actor: "ops"})
	require.NoError(t, err)
	l.m, err = l.Merchant(t.Context(), "acme")
	require.NoError(t, err)
	l.order("SO-1")
	l.record(l.send(), store.Outcome{Accepted: "ord_1", Status: 201})
	got := l.ferry("inventory", "show", "--merchant", "acme", "MUG")
	require.Contains(t, got, "subtracted: 2 of 1 order; left out of the figures already: 0 of 0 orders")
	require.Contains(t, got, "SO-1")
	require.Contains(t, got, "8 available, 2 owed")
	require.Contains(t, got, "code-MUG: 10 at EAST, less 2 booked: 8 free")
	require.Contains(t, got, "sent with the next push of stock")
	require.Contains(t, l.ferry("inventory", "list", "--merchant", "acme", "--differs"), "MUG")
	require.Equal(t, "no such levels\n", l.ferry("inventory", "list", "--merchant", "acme", "--errors"))
}
