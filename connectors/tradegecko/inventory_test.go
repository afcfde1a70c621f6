package tradegecko

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func levels(t *testing.T, c *connection, key string, targets ...connectors.StockTarget) []connectors.LevelOutcome {
	t.Helper()
	out, err := c.PushInventory(t.Context(), connectors.InventoryPush{Key: key, Targets: targets})
	require.NoError(t, err)
	require.Len(t, out, len(targets))
	return out
}

func target(sku relay.SKU, available, owed int64) connectors.StockTarget {
	return connectors.StockTarget{SKU: sku, Available: relay.Units(available), Owed: relay.Units(owed)}
}

func stockShop(t *testing.T) *shop {
	s := newShop(t)
	s.add("accounts", map[string]any{"id": 1, "name": "Acme", "primary_location_id": 31})
	s.add("variants", variantRow(1, "A", "10"), variantRow(2, "B", "5"), variantRow(3, "DUP", "1"), variantRow(4, "DUP", "2"),
		variantRow(5, "KIT", "0"), variantRow(6, "FREE", "0"), variantRow(7, "a", "99"))
	s.row("variants", 5)["composite"] = true
	s.row("variants", 6)["manage_stock"] = false
	return s
}

func TestLevelsAreAdjustedByTheDifference(t *testing.T) {
	s := stockShop(t)
	out := levels(t, s.open(nil), "inv-1",
		target("A", 4, 3), target("B", 9, 0), target("DUP", 1, 0), target("NONE", 1, 0), target("KIT", 7, 0), target("FREE", 7, 0), target("A", 1, 0))
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(10), After: relay.Units(7)}, out[0])
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(5), After: relay.Units(9)}, out[1])
	require.ErrorIs(t, out[2].Err, relay.Conflict)
	require.Contains(t, out[2].Err.Error(), "DUP")
	require.ErrorIs(t, out[3].Err, relay.NotFound)
	require.Equal(t, connectors.LevelOutcome{ByParts: true}, out[4], "a kit is left alone")
	require.Equal(t, connectors.LevelOutcome{}, out[5])
	require.ErrorIs(t, out[6].Err, relay.Invalid)
	require.Len(t, s.tables["stock_adjustments"], 1)
	a := s.tables["stock_adjustments"][0]
	require.Equal(t, "relay:inv-1", a["notes"])
	require.Equal(t, "shrinkage", a["reason"])
	require.EqualValues(t, 31, a["stock_location_id"])
	lines := s.tables["stock_adjustment_line_items"]
	require.Equal(t, "-3", lines[0]["quantity"])
	require.NotContains(t, lines[0], "price")
	require.Equal(t, "4", lines[1]["quantity"])
	require.Equal(t, "7.125", lines[1]["price"], "the average is 0, so the last cost")
}

func TestLevelsThatAreRightAreNotAdjusted(t *testing.T) {
	s := stockShop(t)
	out := levels(t, s.open(connectors.Values{"location": "31"}), "inv", target("A", 10, 0))
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(10), After: relay.Units(10)}, out[0])
	require.Zero(t, s.count("POST"))
	require.Zero(t, s.count("GET /accounts"))
}

func TestOtherFieldsCanBeTheSKU(t *testing.T) {
	s := stockShop(t)
	s.row("variants", 1)["upc"] = "0123"
	out := levels(t, s.open(connectors.Values{"sku_field": "upc"}), "inv", target("0123", 4, 0))
	require.NoError(t, out[0].Err)
	require.Equal(t, relay.Units(4), out[0].After)
}

func TestALooseSKUFilterIsNotBelieved(t *testing.T) {
	s := stockShop(t)
	s.ignore["sku"] = true
	out := levels(t, s.open(nil), "inv", target("A", 4, 0), target("x", 1, 0))
	require.NoError(t, out[0].Err)
	require.Equal(t, "99", s.row("variants", 7)["locations"].([]any)[0].(map[string]any)["stock_on_hand"])
	require.ErrorIs(t, out[1].Err, relay.NotFound)
}

func TestALostAdjustmentIsNotPostedTwice(t *testing.T) {
	for name, committed := range map[string]bool{"committed": true, "not committed": false} {
		t.Run(name, func(t *testing.T) {
			s := stockShop(t)
			hang := func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					drop(w)
				}
				return r.Method == http.MethodPost
			}
			if committed {
				s.after = hang
			} else {
				s.before = hang
			}
			c := s.open(nil)
			out := levels(t, c, "inv", target("A", 4, 0))
			require.Equal(t, 1, s.count("POST"))
			if committed {
				require.Equal(t, connectors.LevelOutcome{Before: relay.Units(10), After: relay.Units(4)}, out[0])
			} else {
				require.ErrorIs(t, out[0].Err, relay.Unknown)
				require.Equal(t, relay.Units(10), out[0].After)
			}
			s.mu.Lock()
			s.before, s.after = nil, nil
			s.mu.Unlock()
			out = levels(t, c, "inv", target("A", 4, 0))
			require.NoError(t, out[0].Err)
			require.Equal(t, relay.Units(4), out[0].After)
			require.Len(t, s.tables["stock_adjustments"], 1)
		})
	}
}

// The first try was taken, its reply lost, and then a sale moved the stock: the
// key is refused, and the adjustment is found by its note. It is not for this
// push to say what is right now.
func TestADuplicateAdjustmentIsFoundByItsNote(t *testing.T) {
	s := stockShop(t)
	s.add("stock_adjustments", map[string]any{"id": 50, "notes": "relay:inv", "stock_location_id": 31, "created_at": wireTime(day)})
	s.onPost = map[string]func(map[string]any) (int, any){"stock_adjustments": func(map[string]any) (int, any) {
		return 409, map[string]any{"type": "Conflict", "message": "Duplicate Idempotency Key header detected"}
	}}
	out := levels(t, s.open(nil), "inv", target("A", 4, 0))
	require.ErrorIs(t, out[0].Err, relay.Unavailable)
	require.Equal(t, relay.Units(10), out[0].After)
	require.Equal(t, 1, s.count("POST"))
}

// at is a target at a further location.
func at(location string, t connectors.StockTarget) connectors.StockTarget {
	t.Location = location
	return t
}

func TestLevelsOfSeveralLocations(t *testing.T) {
	s := stockShop(t)
	s.add("locations", map[string]any{"id": 31, "label": "Main"}, map[string]any{"id": 32, "label": "West"})
	shelf := s.row("variants", 1)
	shelf["locations"] = append(shelf["locations"].([]any), map[string]any{"location_id": 32, "stock_on_hand": "3"})
	c := s.open(nil)
	out := levels(t, c, "inv", target("A", 4, 3), at("32", target("A", 5, 1)), target("B", 5, 0), at("99", target("A", 1, 0)), at("31", target("B", 1, 0)), at("west", target("A", 1, 0)))
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(10), After: relay.Units(7)}, out[0])
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(3), After: relay.Units(6)}, out[1])
	require.Equal(t, connectors.LevelOutcome{Before: relay.Units(5), After: relay.Units(5)}, out[2])
	require.ErrorIs(t, out[3].Err, relay.Invalid, "the account has no such location")
	require.Contains(t, out[3].Err.Error(), `field location "99"`)
	require.ErrorIs(t, out[4].Err, relay.Invalid, "a further location that is the primary one: a level twice")
	require.ErrorIs(t, out[5].Err, relay.Invalid)
	require.Len(t, s.tables["stock_adjustments"], 2)
	for i, location := range []int{31, 32} {
		require.EqualValues(t, location, s.tables["stock_adjustments"][i]["stock_location_id"])
	}
	require.Equal(t, "relay:inv", s.tables["stock_adjustments"][0]["notes"])
	require.Equal(t, "relay:inv:at32", s.tables["stock_adjustments"][1]["notes"], "a key of its own")
	levels(t, c, "inv-2", target("A", 4, 3), at("32", target("A", 5, 1)))
	require.Len(t, s.tables["stock_adjustments"], 2, "all is right")
}

// Between the reading and the adjustment somebody sells, receives or counts.
func TestALevelThatMovesWhileItIsAdjusted(t *testing.T) {
	for name, c := range map[string]struct {
		moves []string // before each adjustment in turn
		after int64
		posts int
		err   error
	}{
		"once":                                 {[]string{"-2"}, 4, 2, nil},
		"twice":                                {[]string{"-2", "5"}, 4, 3, nil},
		"for as long as it is tried":           {[]string{"-2", "5", "-1"}, 3, 3, relay.Unavailable},
		"by just what it was to be changed by": {[]string{"6"}, 10, 1, relay.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := stockShop(t)
			moves := c.moves
			s.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost && len(moves) > 0 {
					s.move(1, 31, moves[0])
					moves = moves[1:]
				}
				return false
			}
			out := levels(t, s.open(nil), "inv", target("A", 4, 0), target("B", 9, 0))
			require.Equal(t, c.posts, s.count("POST"))
			require.Equal(t, relay.Units(10), out[0].Before)
			require.Equal(t, relay.Units(c.after), out[0].After)
			if c.err != nil {
				require.ErrorIs(t, out[0].Err, c.err)
			} else {
				require.NoError(t, out[0].Err)
			}
			require.Equal(t, connectors.LevelOutcome{Before: relay.Units(5), After: relay.Units(9)}, out[1], "that of others is not adjusted again")
			require.Empty(t, moves)

			// Under the next push's key it is brought to what is wanted then.
			out = levels(t, s.open(nil), "inv-2", target("A", 4, 0))
			require.NoError(t, out[0].Err)
			require.Equal(t, relay.Units(4), out[0].After)
		})
	}
}

func TestABadLineDoesNotKeepTheOthers(t *testing.T) {
	s := stockShop(t)
	s.onPost = map[string]func(map[string]any) (int, any){"stock_adjustments": func(body map[string]any) (int, any) {
		for _, l := range body["stock_adjustment_line_items"].([]any) {
			if num(l.(map[string]any)["variant_id"]) == 2 {
				return 422, map[string]any{"errors": map[string]any{"base": []any{"no"}}}
			}
		}
		return 0, nil
	}}
	out := levels(t, s.open(nil), "inv", target("A", 4, 0), target("B", 4, 0), target("a", 4, 0))
	require.NoError(t, out[0].Err)
	require.ErrorIs(t, out[1].Err, relay.Invalid)
	require.NoError(t, out[2].Err)
	require.Equal(t, relay.Units(4), out[2].After)
}

func TestManyLevelsAreCutIntoAdjustments(t *testing.T) {
	s := stockShop(t)
	var targets []connectors.StockTarget
	for i := range int64(250) {
		sku := fmt.Sprintf("SKU-%03d-%s", i, strings.Repeat("x", 40))
		s.add("variants", variantRow(1000+i, sku, "1"))
		targets = append(targets, target(relay.SKU(sku), i, 0))
	}
	keys := map[string]bool{}
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		require.Less(t, len(r.URL.String()), 8192)
		if r.Method == http.MethodPost {
			keys[r.Header.Get("Idempotency-Key")] = true
		}
		return false
	}
	for i, o := range levels(t, s.open(nil), "inv", targets...) {
		require.NoError(t, o.Err)
		require.Equal(t, targets[i].Available, o.After)
	}
	require.Equal(t, map[string]bool{"inv:1:adjust": true, "inv:2:adjust": true, "inv:3:adjust": true}, keys)
}

func TestAStockPushThatIsCutShortSaysWhatWasNotTried(t *testing.T) {
	s := stockShop(t)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			reply(w, 403, map[string]any{"type": "Forbidden", "message": "no"})
		}
		return r.Method == http.MethodPost
	}
	var targets []connectors.StockTarget
	for i := range int64(150) {
		sku := fmt.Sprintf("S%d", i)
		s.add("variants", variantRow(1000+i, sku, "1"))
		targets = append(targets, target(relay.SKU(sku), 5, 0))
	}
	out, err := s.open(nil).PushInventory(t.Context(), connectors.InventoryPush{Key: "inv", Targets: targets})
	require.ErrorIs(t, err, relay.Unauthorised)
	require.ErrorIs(t, out[0].Err, relay.Unauthorised)
	require.ErrorIs(t, out[149].Err, relay.Unavailable)
}
