package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/activities"
	"orderferry/connectors"
	"orderferry/connectors/tradegecko"
	"orderferry/relay"
)

// library is a warehouse with a field for our reference, which it wants unique:
// an order that it has is refused as a conflict. What it answers may get lost.
type library struct {
	mu     sync.Mutex
	orders []connectors.Match // in the order of their coming
	refs   []relay.Reference
	blind  bool // can't be searched
	lags   bool // searches show nothing, until an order is refused as a conflict
	lose   int  // so many answers, after the order was taken
	broken int  // so many requests, before
}

func (l *library) connector(name string) connectors.Connector {
	return connectors.Connector{Name: name, Role: connectors.Warehouse, BaseURL: "http://127.0.0.1", Open: func(connectors.Config) (connectors.Connection, error) {
		if l.blind {
			return shelf{l}, nil
		}
		return struct {
			shelf
			catalogue
		}{shelf{l}, catalogue{l}}, nil
	}}
}

type shelf struct{ *library }

func (shelf) Check(context.Context) (connectors.Report, error) { return connectors.Report{}, nil }

func (shelf) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	return connectors.Prepared{Token: o.Token, Body: []byte(o.Reference)}, nil
}

func (s shelf) SubmitOrder(_ context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unknown := &relay.Error{Kind: relay.Unknown, Op: "submit order", Err: errors.New("the answer was lost")}
	if s.broken > 0 {
		s.broken--
		return connectors.Accepted{}, unknown
	}
	ref := relay.Reference(p.Body)
	if slices.Contains(s.refs, ref) {
		s.lags = false
		return connectors.Accepted{}, &relay.Error{Kind: relay.Conflict, Op: "submit order", Status: http.StatusConflict}
	}
	id := relay.WarehouseOrderID("wo-" + string(ref))
	s.orders, s.refs = append(s.orders, connectors.Match{ID: id, CreatedAt: time.Now(), By: "reference"}), append(s.refs, ref)
	if s.lose > 0 {
		s.lose--
		return connectors.Accepted{}, unknown
	}
	return connectors.Accepted{ID: id, Status: http.StatusCreated}, nil
}

type catalogue struct{ *library }

func (c catalogue) FindOrders(_ context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]connectors.Lookup, len(q.Orders))
	for i, o := range q.Orders {
		out[i].Certain = true
		if at := slices.Index(c.refs, o.Order.Reference); at >= 0 && !c.lags {
			out[i].Matches = []connectors.Match{c.orders[at]}
		}
	}
	return out, nil
}

// Promises 1 and 2 hold for a warehouse with a reference field, and for one that
// tells nothing of what it has. (EasyPost has but free text: see TestLostAnswers.)
func TestWarehousesWithAReferenceOrWithNothing(t *testing.T) {
	open := func(t *testing.T, l *library) *world {
		w := newWorld(t, setup{})
		name := "library"
		w.exec(`update connections set connector = $1 where role = 'warehouse'`, name)
		w.acts = activities.New(w.ledger, append(tradegecko.Connectors(), l.connector(name)), http.DefaultTransport, slog.New(slog.NewTextHandler(w.said, nil)), w.opt)
		w.newEnv()
		return w
	}
	t.Run("reference, lost answer", func(t *testing.T) {
		l := &library{lose: 1}
		w := open(t, l)
		number := w.sell()
		w.pull()
		d := w.submitUntil(number, relay.OrderAtWarehouse)
		require.Equal(t, relay.WarehouseOrderID("wo-"+string(d.Reference)), d.WarehouseOrderID)
		require.Len(t, l.orders, 1)
		require.Len(t, d.Submissions, 1)
	})
	t.Run("reference, lost request", func(t *testing.T) {
		l := &library{broken: 1}
		w := open(t, l)
		number := w.sell()
		w.pull()
		d := w.submitUntil(number, relay.OrderAtWarehouse)
		require.Len(t, l.orders, 1)
		require.Equal(t, 2, d.Submissions[0].Sends, "surely absent, and sent again with the same token")
	})
	t.Run("reference, conflict with our own", func(t *testing.T) {
		// It has the order though its search does not show it yet: sent again, it is
		// refused as a conflict, and that is read back and ours.
		l := &library{lose: 1, lags: true}
		w := open(t, l)
		number := w.sell()
		w.pull()
		d := w.submitUntil(number, relay.OrderAtWarehouse)
		require.Len(t, l.orders, 1)
		require.Len(t, d.Submissions, 1)
		require.Equal(t, 2, d.Submissions[0].Sends)
		require.False(t, l.lags)
	})
	t.Run("nothing, lost answer", func(t *testing.T) {
		l := &library{lose: 1, blind: true}
		w := open(t, l)
		number := w.sell()
		w.pull()
		d := w.submitUntil(number, relay.OrderHeld)
		require.Equal(t, relay.HoldUnknownOutcome, d.Hold.Reason, "a person is called; it is never sent again on a guess")
		require.Len(t, l.orders, 1)
	})
}
