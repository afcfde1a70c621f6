package tradegecko

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func TestAnOrderIsTranslated(t *testing.T) {
	s := newShop(t)
	o := s.addOrder(1, day)
	o["order_line_item_ids"] = []any{11, 12, 13, 14}
	s.add("order_line_items",
		map[string]any{"id": 12, "order_id": 1, "variant_id": nil, "quantity": "1.0", "freeform": true, "label": "Air Express", "line_type": "shipping", "position": 1},
		map[string]any{"id": 13, "order_id": 1, "variant_id": 61001, "quantity": "1.0", "freeform": false, "shippable": false, "position": 2},
		map[string]any{"id": 14, "order_id": "1", "variant_id": 61001, "quantity": 3, "freeform": false, "shippable": true, "position": 3})
	got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
	require.Equal(t, relay.CartOrder{
		ExternalID: "1", Number: "SO1", PlacedAt: day, UpdatedAt: day, ShipMethod: "Air Express",
		ShipTo: relay.Address{Name: "Ann Example", Company: "Example Ltd", Street1: "1 Road", Street2: "Flat 2, Parnell",
			City: "Auckland", Zip: "01010", Country: "NZ", Email: "ann@example.test"},
		Lines: []relay.Line{
			{ID: "11", SKU: "RED-S", Name: "Shirt - Red S", Quantity: relay.Units(2)},
			{ID: "14", SKU: "RED-S", Name: "Shirt - Red S", Quantity: relay.Units(3)},
		},
		Traits: relay.Traits{Status: "finalized", Payment: "paid"},
	}, got["1"])
}

// A bundle's line keeps the bundle's own variant (wire/tradegecko.md section 8.8): its SKU
// must not go out as an item code that the warehouse never heard of.
func TestBundlesAreNamed(t *testing.T) {
	s := newShop(t)
	o := s.addOrder(1, day)
	o["order_line_item_ids"] = []any{11, 12}
	s.add("order_line_items", map[string]any{"id": 12, "order_id": 1, "variant_id": 61001, "quantity": "1.0", "position": 3})
	s.row("variants", 61001)["composite"] = true
	got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
	require.Equal(t, []relay.SKU{"RED-S"}, got["1"].Traits.Bundles)
	require.Len(t, got["1"].Lines, 2)
}

// A merchant may take a finalized order back to active, and a payment back (wire/tradegecko.md
// sections 9.1 and 11.2). The feed of ready orders is silent then: a watched order is told of.
func TestAWatchedOrderThatIsNotReadyAnyMore(t *testing.T) {
	for name, c := range map[string]struct {
		field, value, want string
		settings           connectors.Values
	}{
		"active again":                  {"status", "active", "status active", nil},
		"draft again":                   {"status", "draft", "status draft", nil},
		"unpaid again":                  {"payment_status", "unpaid", "payment unpaid", nil},
		"at another place":              {"stock_location_id", "32", "location 32", connectors.Values{"location": "31"}},
		"unpaid, and that is no matter": {"payment_status", "unpaid", "", connectors.Values{"payment": "any"}},
		"ready":                         {"status", "finalized", "", nil},
		"void":                          {"status", "void", "", nil},
		"shipped":                       {"fulfillment_status", "shipped", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			o := s.addOrder(1, day)
			o["stock_location_id"] = 31
			o[c.field], o["updated_at"] = c.value, wireTime(day.Add(time.Hour))
			page, err := s.open(c.settings).PullCancellations(t.Context(), connectors.CancellationsQuery{Limit: 10, Watch: []relay.ExternalID{"1"}})
			require.NoError(t, err)
			require.Equal(t, name == "void" || name == "shipped", len(page.Cancelled) == 1)
			if c.want == "" {
				require.Empty(t, page.Unready)
				return
			}
			require.Equal(t, []connectors.Unready{{ID: "1", Why: c.want, At: day.Add(time.Hour)}}, page.Unready)
		})
	}
}

// What a merchant's filter goes by (wire/tradegecko.md section 8.1). An order's
// tags may be absent, null, or two in one string (section 2.3).
func TestTraits(t *testing.T) {
	for name, c := range map[string]struct {
		tags any
		want []string
	}{
		"a list":        {[]any{"vip", " b2b "}, []string{"vip", "b2b"}},
		"two in one":    {[]any{"vip,b2b"}, []string{"vip", "b2b"}},
		"a string":      {"vip, b2b", []string{"vip", "b2b"}},
		"null":          {nil, nil},
		"an empty list": {[]any{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			o := s.addOrder(1, day)
			o["tags"], o["stock_location_id"], o["payment_status"] = c.tags, 31, "paid"
			got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
			require.Equal(t, relay.Traits{Status: "finalized", Payment: "paid", Location: "31", Tags: c.want}, got["1"].Traits)
		})
	}
}

func TestTheRecipientsNameComesFromTheFirstThatHasOne(t *testing.T) {
	for _, tt := range []struct {
		name, first, firm string
		contact           bool
		want, wantCompany string
	}{
		{"the address", "Ann", "Example Ltd", true, "Ann", "Example Ltd"},
		{"the attention line", "", "Example Ltd", true, "Example Ltd", ""},
		{"the contact", "", "", true, "The Contact", ""},
		{"the company", "", "", false, "Customer Inc", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			s.addOrder(1, day)
			a := s.row("addresses", 88001)
			a["first_name"], a["last_name"], a["company_name"] = tt.first, nil, tt.firm
			s.add("companies", map[string]any{"id": 5150, "name": "Customer Inc", "status": "active"})
			if tt.contact {
				s.add("contacts", map[string]any{"id": 77, "first_name": "The", "last_name": "Contact"})
			}
			got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
			require.Equal(t, tt.want, got["1"].ShipTo.Name)
			require.Equal(t, tt.wantCompany, got["1"].ShipTo.Company)
			require.Empty(t, got["1"].Problems)
		})
	}
}

func TestWhatCannotBeReadIsAProblemOfItsOrder(t *testing.T) {
	for _, tt := range []struct {
		name   string
		break_ func(s *shop, o map[string]any)
		field  string
	}{
		{"no address", func(_ *shop, o map[string]any) { o["shipping_address_id"] = nil }, "ship_to"},
		{"lost address", func(_ *shop, o map[string]any) { o["shipping_address_id"] = 404 }, "ship_to"},
		{"lost variant", func(s *shop, _ map[string]any) { s.row("order_line_items", 11)["variant_id"] = 404 }, "lines[0].sku"},
		{"lost line", func(_ *shop, o map[string]any) { o["order_line_item_ids"] = []any{11, 404} }, "lines"},
		{"odd quantity", func(s *shop, _ map[string]any) { s.row("order_line_items", 11)["quantity"] = "many" }, "lines[0].quantity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			tt.break_(s, s.addOrder(1, day))
			s.addOrder(2, day)
			got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
			require.Len(t, got, 2)
			require.Len(t, got["1"].Problems, 1)
			require.Equal(t, tt.field, got["1"].Problems[0].Field)
			require.Empty(t, got["2"].Problems)
		})
	}
}

func TestArchivedAddressesAndVariantsAreFound(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)
	s.row("addresses", 88001)["status"] = "archived"
	s.row("variants", 61001)["status"] = "archived"
	got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
	require.Empty(t, got["1"].Problems)
	require.Equal(t, relay.SKU("RED-S"), got["1"].Lines[0].SKU)
}

func TestWhatAMerchantShippedIsNotShippedAgain(t *testing.T) {
	s := newShop(t)
	o := s.addOrder(1, day)
	o["fulfillment_ids"], o["fulfillment_status"] = []any{5, 6}, "partial"
	s.row("order_line_items", 11)["quantity"] = "4.0"
	s.add("fulfillments",
		map[string]any{"id": 5, "order_id": 1, "status": "fulfilled", "notes": "by hand", "fulfillment_line_item_ids": []any{51}},
		map[string]any{"id": 6, "order_id": 1, "status": "fulfilled", "notes": "relay:ours", "fulfillment_line_item_ids": []any{61}})
	s.add("fulfillment_line_items",
		map[string]any{"id": 51, "fulfillment_id": 5, "order_line_item_id": 11, "quantity": "1.0"},
		map[string]any{"id": 61, "fulfillment_id": 6, "order_line_item_id": 11, "quantity": "2.0"})
	got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 100})
	require.Equal(t, relay.Units(3), got["1"].Lines[0].Quantity)
}

// Every order must be seen once the walk is over, whatever the page size, the
// meaning of _min and the timestamps.
func TestTheWalkSeesEveryOrder(t *testing.T) {
	spacings := map[string]func(i int64) time.Duration{
		"a minute apart": func(i int64) time.Duration { return time.Duration(i) * time.Minute },
		"all at once":    func(int64) time.Duration { return 0 },
		"in lumps":       func(i int64) time.Duration { return time.Duration(i/9) * 700 * time.Millisecond },
		"a second apart": func(i int64) time.Duration { return time.Duration(i) * time.Second },
	}
	for name, spacing := range spacings {
		for _, limit := range []int{1, 3, 7, 250} {
			for _, odd := range []string{"", "exclusive", "no header", "no order", "exclusive and no header"} {
				t.Run(fmt.Sprintf("%s, %d a page %s", name, limit, odd), func(t *testing.T) {
					s := newShop(t)
					s.exclusiveMin = strings.Contains(odd, "exclusive")
					s.noPaging = strings.Contains(odd, "no header")
					s.ignore["order"] = odd == "no order"
					for i := range int64(20) {
						s.addOrder(100+i, day.Add(spacing(i)))
					}
					c := s.open(nil)
					got, cursor := pullAll(t, c, "", connectors.OrdersQuery{Limit: limit})
					require.Len(t, got, 20)
					s.addOrder(999, day.Add(spacing(19)))
					got, _ = pullAll(t, c, cursor, connectors.OrdersQuery{Limit: limit})
					require.Contains(t, got, relay.ExternalID("999"), "the timestamp of the watermark")
				})
			}
		}
	}
}

// While the walk is under way, orders that were read leave the list and others
// move to its end; none may be passed over.
func TestTheWalkSurvivesShiftingPages(t *testing.T) {
	for name, gap := range map[string]time.Duration{"spread": time.Minute, "all at once": 0} {
		for _, leave := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, leave %t", name, leave), func(t *testing.T) {
				s := newShop(t)
				for i := range int64(40) {
					s.addOrder(100+i, day.Add(time.Duration(i)*gap))
				}
				n := int64(0)
				s.before = func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/orders" && n < 20 {
						o := s.row("orders", 100+n)
						n++
						if leave {
							o["status"] = "fulfilled"
						} else {
							o["updated_at"] = wireTime(day.Add(time.Duration(1000+n) * time.Minute))
						}
					}
					return false
				}
				got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 5})
				for i := range int64(40) {
					o := s.row("orders", 100+i)
					if o["status"] == "finalized" {
						require.Contains(t, got, relay.ExternalID(fmt.Sprint(100+i)))
					}
				}
			})
		}
	}
}

func TestAPollReadsFromTheWatermarkAndSkipsWhatIsKnown(t *testing.T) {
	s := newShop(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	s.addOrder(1, now.Add(-time.Hour))
	s.addOrder(2, now.Add(-time.Minute))
	c := s.open(nil)
	known := func(_ context.Context, stamps []connectors.Stamp) ([]bool, error) {
		out := make([]bool, len(stamps))
		for i, st := range stamps {
			out[i] = st.ID == "2" && st.UpdatedAt.Equal(now.Add(-time.Minute))
		}
		return out, nil
	}
	got, cursor := pullAll(t, c, "", connectors.OrdersQuery{Limit: 10, Known: known})
	require.Len(t, got, 1)
	lines := s.count("GET /order_line_items")
	page, err := c.PullOrders(t.Context(), connectors.OrdersQuery{Cursor: cursor, Limit: 10, Known: known})
	require.NoError(t, err)
	require.Empty(t, page.Orders)
	require.False(t, page.More)
	require.Equal(t, lines, s.count("GET /order_line_items"), "children of a known order are not fetched")
	last := s.requests[len(s.requests)-1]
	require.Contains(t, last, "updated_at_min="+strings.ReplaceAll(wireTime(now.Add(-time.Minute-5*time.Minute)), ":", "%3A"))
}

func TestAFullSweepIsMadeNowAndThen(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)
	c := s.open(nil)
	_, text := pullAll(t, c, "", connectors.OrdersQuery{Limit: 10})
	cur, err := parseCursor("test", text)
	require.NoError(t, err)
	cur.Swept = cur.Swept.Add(-24 * time.Hour)
	_, _ = pullAll(t, c, cur.String(), connectors.OrdersQuery{Limit: 10})
	i := slices.IndexFunc(s.requests[1:], func(r string) bool { return strings.HasPrefix(r, "GET /orders?") })
	require.NotContains(t, s.requests[1+i], "updated_at_min")
}

func TestAChangedFilterStartsOver(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day.Add(-48*time.Hour))["payment_status"] = "unpaid"
	s.addOrder(2, day)
	got, cursor := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 10})
	require.Len(t, got, 1)
	got, _ = pullAll(t, s.open(connectors.Values{"payment": "any"}), cursor, connectors.OrdersQuery{Limit: 10})
	require.Contains(t, got, relay.ExternalID("1"))
}

func TestFiltersThatAServerIgnoresStillHold(t *testing.T) {
	s := newShop(t)
	for _, name := range []string{"status", "payment_status", "fulfillment_status", "stock_location_id", "created_at_min"} {
		s.ignore[name] = true
	}
	s.addOrder(1, day)
	s.addOrder(2, day)["status"] = "void"
	s.addOrder(3, day)["payment_status"] = "unpaid"
	s.addOrder(4, day)["fulfillment_status"] = "shipped"
	s.addOrder(5, day)["stock_location_id"] = 32
	s.addOrder(6, day.Add(-time.Hour))
	got, _ := pullAll(t, s.open(connectors.Values{"location": "31"}), "", connectors.OrdersQuery{Limit: 10, Earliest: day})
	require.Len(t, got, 1)
	require.Contains(t, got, relay.ExternalID("1"))
}

func TestAnAnswerWithoutOrdersIsNoEmptyPage(t *testing.T) {
	for _, body := range []string{`{}`, `{"orders":null}`, `<html>login</html>`, ``, `{"orders":[{"id":null}]}`} {
		s := newShop(t)
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(body))
			return true
		}
		_, err := s.open(nil).PullOrders(t.Context(), connectors.OrdersQuery{Limit: 10})
		require.ErrorIs(t, err, relay.Unavailable, body)
	}
}

func TestABadCursorIsRefused(t *testing.T) {
	s := newShop(t)
	_, err := s.open(nil).PullOrders(t.Context(), connectors.OrdersQuery{Limit: 10, Cursor: "page 2"})
	require.ErrorIs(t, err, relay.Invalid)
}

func TestManyOrdersAreReadInBatches(t *testing.T) {
	s := newShop(t)
	for i := range int64(250) {
		s.addOrder(1000+i, day.Add(time.Duration(i)*time.Minute))
	}
	got, _ := pullAll(t, s.open(nil), "", connectors.OrdersQuery{Limit: 250})
	require.Len(t, got, 250)
	for _, o := range got {
		require.Empty(t, o.Problems)
		require.Len(t, o.Lines, 1)
	}
	require.LessOrEqual(t, len(s.requests), 6)
	for _, r := range s.requests {
		require.Less(t, len(r), 8192)
	}
}

func TestCancellations(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)["status"] = "void"
	s.addOrder(2, day)
	s.addOrder(3, day)["status"] = "deleted"
	s.addOrder(5, day)
	c := s.open(nil)
	page, err := c.PullCancellations(t.Context(), connectors.CancellationsQuery{Limit: 10, Watch: []relay.ExternalID{"1", "2", "4"}})
	require.NoError(t, err)
	require.False(t, page.More)
	status := map[relay.ExternalID]string{}
	for _, x := range page.Cancelled {
		status[x.ID] = x.Status
	}
	require.Equal(t, map[relay.ExternalID]string{"1": "void", "3": "deleted", "4": "gone"}, status)
	require.Len(t, page.Cancelled, 3)

	// A void that does not move the timestamp is seen by watching.
	s.row("orders", 5)["status"] = "void"
	s.row("orders", 5)["updated_at"] = wireTime(day.Add(-time.Hour))
	page, err = c.PullCancellations(t.Context(), connectors.CancellationsQuery{Cursor: page.Cursor, Limit: 10, Watch: []relay.ExternalID{"5", "2"}})
	require.NoError(t, err)
	require.Contains(t, page.Cancelled, connectors.Cancellation{ID: "5", Status: "void", At: day.Add(-time.Hour)})
}

func TestAWatchedOrderThatAListHidesIsNotGone(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)["status"] = "on_hold" // a status that nobody told us of
	page, err := s.open(nil).PullCancellations(t.Context(), connectors.CancellationsQuery{Limit: 10, Watch: []relay.ExternalID{"1"}})
	require.NoError(t, err)
	require.Empty(t, page.Cancelled)
}
