package tradegecko

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
)

// The feed does not tell of an order that has shipped; asked for by its id, it
// shows the quantity that a merchant changed before, and the line that was taken out.
func TestAnOrderThatShippedIsReadWithItsEditedLines(t *testing.T) {
	sim, c := simulated(t, simulator.Config{RateLimit: -1}, nil)
	o := place(t, sim, "SO-1")
	id := relay.ExternalID(strconv.FormatInt(o.ID, 10))
	pulled, cursor := pullAll(t, c, "", connectors.OrdersQuery{Limit: 10})
	require.Len(t, pulled[id].Lines, 2)

	require.NoError(t, sim.Revert(shopAccount, "SO-1"))
	require.NoError(t, sim.EditLine(shopAccount, "SO-1", "RED-S", "5"))
	require.NoError(t, sim.EditLine(shopAccount, "SO-1", "RED-M", "0"))
	require.NoError(t, sim.Finalize(shopAccount, "SO-1"))
	now, err := sim.Order(shopAccount, "SO-1")
	require.NoError(t, err)
	require.NoError(t, pushOne(t, c, pushFor(now, "k-1")).Err)
	later, _ := pullAll(t, c, cursor, connectors.OrdersQuery{Limit: 10})
	require.NotContains(t, later, id, "the feed is silent")

	got, err := c.ReadOrders(t.Context(), []relay.ExternalID{id})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Empty(t, got[0].Problems)
	want := pulled[id].Lines[:1]
	want[0].Quantity = relay.Units(5)
	require.Equal(t, want, got[0].Lines)
	require.Equal(t, pulled[id].ShipTo, got[0].ShipTo)
	require.Equal(t, pulled[id].ShipMethod, got[0].ShipMethod)
}

func TestAnOrderIDOfAnotherCartIsRefused(t *testing.T) {
	s := newShop(t)
	for _, bad := range []relay.ExternalID{"", "SO-1", "0", "-1", "9223372036854775808"} {
		got, err := s.open(nil).ReadOrders(t.Context(), []relay.ExternalID{"1", bad})
		require.ErrorIs(t, err, relay.Invalid)
		require.Empty(t, got)
		var e *relay.Error
		require.True(t, errors.As(err, &e))
		require.Len(t, e.Fields, 1)
		require.Equal(t, "order", e.Fields[0].Field)
	}
	require.Zero(t, s.count("GET"), "nothing is asked for with a bad id")
}

// A list may leave out an order that is there: only the cart's own 404 for the
// order itself means that it is gone.
func TestAnOrderThatAListLeavesOutIsReadByItself(t *testing.T) {
	s := newShop(t)
	s.addOrder(1, day)
	s.addOrder(2, day)
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/orders" {
			return false
		}
		reply(w, http.StatusOK, map[string]any{"orders": []any{s.row("orders", 2)}})
		return true
	}
	got, err := s.open(nil).ReadOrders(t.Context(), []relay.ExternalID{"3", "2", "1", "2"})
	require.NoError(t, err)
	var ids []relay.ExternalID
	for _, o := range got {
		ids = append(ids, o.ExternalID)
	}
	slices.Sort(ids)
	require.Equal(t, []relay.ExternalID{"1", "2"}, ids)
	require.Equal(t, 1, s.count("GET /orders/1?"))
	require.Equal(t, 1, s.count("GET /orders/3?"))
}

// An answer that does not say which fulfillments an order has must not pass for one
// of an order that nobody shipped.
func TestFulfillmentsThatAnOrderDoesNotNameAreAskedFor(t *testing.T) {
	s := newShop(t)
	delete(s.addOrder(1, day), "fulfillment_ids")
	s.addOrder(2, day)["fulfillment_ids"] = nil
	delete(s.addOrder(3, day), "fulfillment_ids")
	s.fulfil(501, 1, 11, "1", "fulfilled", "BYHAND", "")
	s.fulfil(502, 2, 21, "1", "fulfilled", "BYHAND", "left at the door")
	s.fulfil(503, 3, 31, "1", "fulfilled", "TRACK1", "relay:k-1")
	got, err := s.open(nil).ReadOrders(t.Context(), []relay.ExternalID{"1", "2", "3"})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, relay.ExternalID("3"), got[0].ExternalID)
	require.Equal(t, relay.Units(2), got[0].Lines[0].Quantity, "our own package takes nothing off")
}
