package connectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func orderSourceChecks() []check {
	return []check{
		{name: "orders are told as they were placed", run: toldAsPlaced},
		{name: "the limit is honoured", run: limitHonoured},
		{name: "equal time stamps at the watermark", run: equalStamps},
		{name: "rows that move while pages are read", run: movingRows},
		{name: "shifted and repeated pages", run: spoiltPages},
		{name: "our own writes move the stamp", run: ownWrites},
		{name: "a change is told again", run: changeToldAgain},
		{name: "any cursor goes on in another connection", run: cursorGoesOn},
		{name: "a foreign cursor is refused", run: foreignOrderCursor},
		{name: "known versions are left out", run: knownLeftOut},
		{name: "orders before the earliest date are left out", run: earliest},
		{name: "fields whose type changes between answers", run: changingTypes},
		{name: "ids above 2^53", run: bigIDs},
	}
}

// pull reads from a cursor to the end. every sees each page, and may act between two.
func (w *world) pull(q connectors.OrdersQuery, every func(connectors.OrdersPage)) (map[string]relay.CartOrder, string) {
	src := use[connectors.OrderSource](w)
	out := map[string]relay.CartOrder{}
	for range maxPages {
		page, err := src.PullOrders(w.ctx(), q)
		w.good(err)
		w.public("unread row", fmt.Sprint(page.Unread))
		for _, o := range page.Orders {
			out[o.Number] = o
		}
		if every != nil {
			every(page)
		}
		if q.Cursor = page.Cursor; !page.More {
			return out, q.Cursor
		}
	}
	w.t.Fatalf("%d pages of a few orders, and still there is more", maxPages)
	return nil, ""
}

// has fails the check when an order was passed over.
func (w *world) has(got map[string]relay.CartOrder, want []relay.CartOrder) {
	for _, o := range want {
		if _, ok := got[o.Number]; !ok {
			w.t.Errorf("order %s was passed over", o.Number)
		}
	}
}

func toldAsPlaced(t *trial) {
	w := t.world()
	want := w.place()
	w.pass(time.Second)
	got, _ := w.pull(connectors.OrdersQuery{Limit: 10}, nil)
	require.Len(t, got, 1)
	o := got[want.Number]
	require.Equal(t, want.ExternalID, o.ExternalID, "the cart's id")
	require.Equal(t, describe(want), describe(o))
	require.Equal(t, want.Lines[0].ID, o.Lines[0].ID, "the cart's id of the first line")
	require.False(t, o.PlacedAt.IsZero(), "when it was placed")
	require.False(t, o.PlacedAt.After(time.Now()), "placed in the future")
	require.False(t, o.UpdatedAt.IsZero(), "its version")
}

func limitHonoured(t *trial) {
	w := t.world()
	orders := w.placed(5)
	got, _ := w.pull(connectors.OrdersQuery{Limit: 2}, func(p connectors.OrdersPage) {
		require.LessOrEqual(t, len(p.Orders), 2, "orders in a page")
	})
	w.has(got, orders)
}

// equalStamps: the clock stands still, so all orders have one time stamp; some
// come after the list was read to its end, with the stamp that it ended with.
func equalStamps(t *trial) {
	w := t.world()
	first := w.placed(7)
	got, cursor := w.pull(connectors.OrdersQuery{Limit: 3}, nil)
	w.has(got, first)
	late := w.placed(2)
	got, cursor = w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 3}, nil)
	w.has(got, late)
	w.pass(time.Hour)
	last := w.placed(1)
	got, _ = w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 3}, nil)
	w.has(got, last)
}

// movingRows: between two pages an order that was told moves to the end, so that
// all that follow move up, and new ones come.
func movingRows(t *trial) {
	w := t.world()
	var orders []relay.CartOrder
	for range 12 {
		orders = append(orders, w.place())
		w.pass(2 * time.Second)
	}
	page := 0
	got, _ := w.pull(connectors.OrdersQuery{Limit: 3}, func(connectors.OrdersPage) {
		if page++; page > 4 {
			return
		}
		w.pass(2 * time.Second)
		w.done(at[Editor](w).EditOrder(orders[page-1].ExternalID, fmt.Sprint("Zyxcanary Mover", page)))
		orders = append(orders, w.place())
	})
	w.has(got, orders)
}

func spoiltPages(t *trial) {
	for _, how := range []string{"repeated", "shifted"} {
		w := t.world()
		w.done(at[PageTurner](w).TurnPages(how))
		var orders []relay.CartOrder
		for i := range 12 {
			orders = append(orders, w.place())
			if i%4 == 3 {
				w.pass(10 * time.Second)
			}
		}
		got, cursor := w.pull(connectors.OrdersQuery{Limit: 3}, nil)
		again, _ := w.pull(connectors.OrdersQuery{Limit: 3, Cursor: cursor}, nil)
		maps.Copy(got, again)
		w.has(got, orders)
	}
}

// ownWrites: what we tell the cart of a shipment changes its order's stamp. No
// order may be lost behind that, and the reading has to come to an end.
func ownWrites(t *trial) {
	w := t.world()
	if _, writes := w.conn.(connectors.ShipmentSink); !writes {
		t.Inapplicable("it writes nothing to orders")
	}
	orders := w.placed(6)
	_, cursor := w.pull(connectors.OrdersQuery{Limit: 2}, nil)
	for i, o := range orders[:4] {
		w.pass(time.Second)
		out := w.push(parcelOf(o, fmt.Sprint("k-", i), fmt.Sprint("TRACK", i), 1))
		require.NoError(t, out[0].Err)
	}
	late := w.placed(2)
	got, cursor := w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 2}, nil)
	w.has(got, late)
	// With nothing new, a ledger that knows every version is told nothing at all.
	w.pass(time.Hour)
	_, cursor = w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 2}, nil)
	got, _ = w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 2, Known: all}, nil)
	require.Empty(t, got, "orders that nobody touched are told anew")
}

// all says that every version is known.
func all(_ context.Context, stamps []connectors.Stamp) ([]bool, error) {
	out := make([]bool, len(stamps))
	for i := range out {
		out[i] = true
	}
	return out, nil
}

func changeToldAgain(t *trial) {
	w := t.world()
	o := w.place()
	got, cursor := w.pull(connectors.OrdersQuery{Limit: 10}, nil)
	before := got[o.Number].UpdatedAt
	w.pass(time.Minute)
	w.done(at[Editor](w).EditOrder(o.ExternalID, "Zyxcanary Newname"))
	got, _ = w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 10, Known: func(_ context.Context, stamps []connectors.Stamp) ([]bool, error) {
		out := make([]bool, len(stamps))
		for i, s := range stamps {
			out[i] = !s.UpdatedAt.After(before) // the ledger has the version before
		}
		return out, nil
	}}, nil)
	require.Contains(t, got, o.Number, "the change")
	require.Contains(t, got[o.Number].ShipTo.Name, "Newname")
	require.True(t, got[o.Number].UpdatedAt.After(before), "a later state has a later version")
}

// cursorGoesOn: a worker that dies between two pages leaves its cursor to another.
func cursorGoesOn(t *trial) {
	for stopAfter := range 4 {
		w := t.world()
		orders := w.placed(7)
		got, cursor := map[string]relay.CartOrder{}, ""
		for range stopAfter + 1 {
			page, err := use[connectors.OrderSource](w).PullOrders(w.ctx(), connectors.OrdersQuery{Cursor: cursor, Limit: 2})
			w.good(err)
			cursor = page.Cursor
			for _, o := range page.Orders {
				got[o.Number] = o
			}
		}
		w.conn = w.open()
		rest, _ := w.pull(connectors.OrdersQuery{Cursor: cursor, Limit: 2}, nil)
		maps.Copy(got, rest)
		w.has(got, orders)
	}
}

// foreign are cursors that no connector wrote.
var foreign = []string{"\x00", "zyx", "{", "[]", strings.Repeat("9", 4000)}

// refusesCursors sees that each is refused as invalid, and that none panics or
// starts over, which would read the whole list at each poll for ever.
func (w *world) refusesCursors(try func(cursor string) error) {
	for _, c := range foreign {
		w.kind(try(c), relay.Invalid)
	}
}

func foreignOrderCursor(t *trial) {
	w := t.world()
	w.placed(2)
	w.refusesCursors(func(c string) error {
		_, err := use[connectors.OrderSource](w).PullOrders(w.ctx(), connectors.OrdersQuery{Cursor: c, Limit: 2})
		return err
	})
}

func knownLeftOut(t *trial) {
	w := t.world()
	orders := w.placed(4)
	known := orders[1].ExternalID
	told := map[relay.ExternalID]bool{}
	got, _ := w.pull(connectors.OrdersQuery{Limit: 10, Known: func(_ context.Context, stamps []connectors.Stamp) ([]bool, error) {
		out := make([]bool, len(stamps))
		for i, s := range stamps {
			out[i] = s.ID == known
			told[s.ID] = out[i]
		}
		return out, nil
	}}, nil)
	w.has(got, []relay.CartOrder{orders[0], orders[2], orders[3]})
	if _, asked := told[known]; asked {
		require.NotContains(t, got, orders[1].Number, "the ledger said that it knows this version")
	}
	w = t.world()
	w.placed(2)
	asked := false
	page, err := use[connectors.OrderSource](w).PullOrders(w.ctx(), connectors.OrdersQuery{Limit: 10, Known: func(context.Context, []connectors.Stamp) ([]bool, error) {
		asked = true
		return nil, errors.New("the ledger is away")
	}})
	w.saw(err)
	if asked {
		require.Error(t, err, "the ledger could not say what it knows")
	} else {
		require.Len(t, page.Orders, 2)
	}
}

func earliest(t *trial) {
	w := t.world()
	old := w.place()
	w.pass(48 * time.Hour)
	since := time.Now()
	w.pass(time.Hour)
	fresh := w.place()
	got, _ := w.pull(connectors.OrdersQuery{Limit: 10, Earliest: since}, nil)
	w.has(got, []relay.CartOrder{fresh})
	require.NotContains(t, got, old.Number)
}

func changingTypes(t *trial) {
	w := t.world()
	if w.wire == nil {
		t.Inapplicable("no HTTP")
	}
	orders := w.placed(3)
	want, _ := w.pull(connectors.OrdersQuery{Limit: 10}, nil)
	w.conn = w.open()
	w.wire.retype = true
	got, _ := w.pull(connectors.OrdersQuery{Limit: 10}, nil)
	w.has(got, orders)
	for n := range want {
		require.Equal(t, describe(want[n]), describe(got[n]))
		require.Equal(t, want[n].ExternalID, got[n].ExternalID)
	}
}

func bigIDs(t *trial) {
	w := t.world()
	w.done(at[BigNumbers](w).UseBigNumbers())
	orders := w.placed(3)
	got, _ := w.pull(connectors.OrdersQuery{Limit: 2}, nil)
	w.has(got, orders)
	for _, o := range orders {
		require.Equal(t, o.ExternalID, got[o.Number].ExternalID)
		require.Equal(t, o.Lines[0].ID, got[o.Number].Lines[0].ID)
	}
	if _, writes := w.conn.(connectors.ShipmentSink); writes {
		require.NoError(t, w.push(parcelOf(got[orders[2].Number], "k", "TRACK", 1))[0].Err)
		require.Contains(t, w.parcels(orders[2].ExternalID), "TRACK")
		require.Empty(t, w.parcels(orders[1].ExternalID), "its neighbour's id differs in the last digit")
	}
}

func cancellationSourceChecks() []check {
	return []check{
		{name: "cancelled orders are told", run: cancelledTold},
		{name: "watched orders are looked at", run: watchedLookedAt},
		{name: "live orders are not told", run: liveNotTold},
		{name: "a foreign cursor is refused", run: foreignCancelCursor},
	}
}

func (w *world) cancellations(q connectors.CancellationsQuery) (map[relay.ExternalID]string, string) {
	out := map[relay.ExternalID]string{}
	for range maxPages {
		page, err := use[connectors.CancellationSource](w).PullCancellations(w.ctx(), q)
		w.good(err)
		for _, c := range page.Cancelled {
			require.NotEmpty(w.t, c.Status, "the cart's word for it")
			out[c.ID] = c.Status
		}
		if q.Cursor = page.Cursor; !page.More {
			return out, q.Cursor
		}
	}
	w.t.Fatalf("the pull of cancellations does not end")
	return nil, ""
}

func cancelledTold(t *trial) {
	w := t.world()
	orders := w.placed(7)
	_, read := w.pull(connectors.OrdersQuery{Limit: 10}, nil) // a cancel is of an order that the ledger knows
	w.pull(connectors.OrdersQuery{Cursor: read, Limit: 10}, nil)
	for _, o := range orders[:5] {
		w.done(at[Voider](w).VoidOrder(o.ExternalID))
	}
	got, cursor := w.cancellations(connectors.CancellationsQuery{Limit: 2})
	for _, o := range orders[:5] {
		require.Contains(t, got, o.ExternalID, "a cancelled order was passed over")
	}
	w.done(at[Voider](w).VoidOrder(orders[5].ExternalID)) // at the same instant
	w.conn = w.open()
	got, _ = w.cancellations(connectors.CancellationsQuery{Cursor: cursor, Limit: 2})
	require.Contains(t, got, orders[5].ExternalID)
	require.NotContains(t, got, orders[6].ExternalID)
}

// watchedLookedAt: what a feed may miss is found by id.
func watchedLookedAt(t *trial) {
	w := t.world()
	orders := w.placed(3)
	_, cursor := w.cancellations(connectors.CancellationsQuery{Limit: 10})
	w.done(at[Voider](w).VoidOrder(orders[0].ExternalID))
	w.done(at[Packer](w).ShipByHand(orders[1].ExternalID, "BYHAND"))
	w.pass(48 * time.Hour)
	_, cursor = w.cancellations(connectors.CancellationsQuery{Cursor: cursor, Limit: 10}) // the feed is past them
	gone := relay.ExternalID("999999999")
	got, _ := w.cancellations(connectors.CancellationsQuery{Cursor: cursor, Limit: 10, Watch: append(idsOf(orders), gone)})
	require.Contains(t, got, orders[0].ExternalID)
	require.Equal(t, connectors.ShippedElsewhere, got[orders[1].ExternalID])
	require.Equal(t, connectors.GoneAtCart, got[gone])
	require.NotContains(t, got, orders[2].ExternalID)
}

func liveNotTold(t *trial) {
	w := t.world()
	orders := w.placed(3)
	w.pass(time.Minute)
	w.done(at[Editor](w).EditOrder(orders[0].ExternalID, "Zyxcanary Newname"))
	got, _ := w.cancellations(connectors.CancellationsQuery{Limit: 10, Watch: idsOf(orders)})
	require.Empty(t, got)
}

func foreignCancelCursor(t *trial) {
	w := t.world()
	w.refusesCursors(func(c string) error {
		_, err := use[connectors.CancellationSource](w).PullCancellations(w.ctx(), connectors.CancellationsQuery{Cursor: c, Limit: 2})
		return err
	})
}

func shipmentSinkChecks() []check {
	return []check{
		{name: "each package is told once", run: eachPackageOnce},
		{name: "outcomes are in the order of the pushes", run: outcomesInOrder},
		{name: "a repeated push is found, not told twice", run: repeatedPush},
		{name: "what a person shipped is found", run: shippedByHand},
		{name: "more than was ordered is never told", run: overFulfilment},
		{name: "an order that the cart does not have", run: unknownOrderPushed},
		{name: "a cancelled order is not shipped", run: cancelledOrderPushed},
		{name: "a refusal inside a success", run: refusedPush},
	}
}

func eachPackageOnce(t *trial) {
	w := t.world()
	o := w.place()
	second := parcelOf(o, "k-2", "TRACK2", 1)
	second.Lines = append(second.Lines, relay.ShippedLine{Line: o.Lines[1].ID, Units: 1})
	for _, out := range w.push(parcelOf(o, "k-1", "TRACK1", 1), second) {
		require.NoError(t, out.Err)
		require.NotEmpty(t, out.CartID)
		require.False(t, out.Found)
	}
	require.Equal(t, fmt.Sprintf("TRACK1 shipped true: 1 x %s; TRACK2 shipped true: 1 x %s, 1 x %s", sku(1), sku(1), sku(2)), w.parcels(o.ExternalID))
}

func outcomesInOrder(t *trial) {
	w := t.world()
	var pushes []connectors.ShipmentPush
	orders := w.placed(4)
	for i := range 4 {
		o := orders[3-i]
		pushes = append(pushes, parcelOf(o, fmt.Sprint("k-", i), fmt.Sprint("TRACK", i), 1))
	}
	pushes[2].Lines[0].Line = "999999999" // one can't be told; the others are all the same
	for i, out := range w.push(pushes...) {
		if i == 2 {
			require.Error(t, out.Err, "the order has no such line")
			continue
		}
		require.NoError(t, out.Err)
		require.Contains(t, w.parcels(pushes[i].Order), pushes[i].TrackingNumber)
	}
}

func repeatedPush(t *trial) {
	w := t.world()
	o := w.place()
	p := parcelOf(o, "k-1", "TRACK1", 1)
	first := w.push(p)[0]
	require.NoError(t, first.Err)
	books := w.parcels(o.ExternalID)
	w.pass(time.Hour)
	w.conn = w.open()
	second := w.push(p)[0]
	require.NoError(t, second.Err)
	require.True(t, second.Found, "it was there already")
	require.Equal(t, first.CartID, second.CartID)
	require.Equal(t, books, w.parcels(o.ExternalID), "the same package told twice counts once")
	more := w.push(parcelOf(o, "k-2", "TRACK1", 1))[0]
	require.NoError(t, more.Err)
	require.False(t, more.Found, "what turned up in a package later is told under its number, and a key of its own")
	require.Equal(t, books+"; "+books, w.parcels(o.ExternalID))
}

func shippedByHand(t *trial) {
	w := t.world()
	o := w.place()
	w.done(at[Packer](w).ShipByHand(o.ExternalID, "BYHAND"))
	books := w.parcels(o.ExternalID)
	p := parcelOf(o, "k-1", "byhand", 2)
	p.Lines = append(p.Lines, relay.ShippedLine{Line: o.Lines[1].ID, Units: 1})
	out := w.push(p)[0]
	require.NoError(t, out.Err)
	require.True(t, out.Found)
	require.Equal(t, books, w.parcels(o.ExternalID))
}

// overFulfilment: vendors take more than was ordered without a word.
func overFulfilment(t *trial) {
	w := t.world()
	o := w.place()
	require.NoError(t, w.push(parcelOf(o, "k-1", "TRACK1", 2))[0].Err)
	books := w.parcels(o.ExternalID)
	require.Error(t, w.push(parcelOf(o, "k-2", "TRACK2", 1))[0].Err, "all of that line has shipped")
	require.Equal(t, books, w.parcels(o.ExternalID), "the cart was told of more than was ordered")
}

func unknownOrderPushed(t *trial) {
	w := t.world()
	o := w.place()
	lost := parcelOf(o, "k-1", "TRACK1", 1)
	lost.Order = "999999999"
	out := w.push(lost, parcelOf(o, "k-2", "TRACK2", 1))
	w.kind(out[0].Err, relay.NotFound)
	require.NoError(t, out[1].Err)
}

func cancelledOrderPushed(t *trial) {
	w := t.world()
	o := w.place()
	w.done(at[Voider](w).VoidOrder(o.ExternalID))
	require.Error(t, w.push(parcelOf(o, "k-1", "TRACK1", 1))[0].Err)
	require.Empty(t, w.parcels(o.ExternalID))
}

// refusedPush: 200 with a failed item inside is no success.
func refusedPush(t *trial) {
	t.refusedInside(pushShipmentsCall)
}

// refusedInside makes a call whose first write is refused under a success
// status: no error may hide that, and the books show that nothing was done.
func (t *trial) refusedInside(begin func(*world) scene) {
	for _, f := range refusedInside() {
		w := t.world()
		if w.wire == nil {
			t.Inapplicable("no HTTP")
		}
		s := begin(w)
		before := s.effect()
		w.wire.onWrite(&f)
		_, errs := s.do(w.ctx())
		w.saw(errs...)
		if s.effect() == before {
			require.Error(t, errors.Join(errs...), "the answer was 200 with %q inside, and nothing was done", f.name)
		}
	}
}

func orderReaderChecks() []check {
	return []check{
		{name: "an order that we shipped is told as it is now", run: shippedReadNow},
		{name: "cancelled orders, and those that are gone, are left out", run: cancelledNotRead},
		{name: "what others shipped is left out", run: othersNotRead},
	}
}

// read reads orders by id.
func (w *world) read(ids ...relay.ExternalID) map[relay.ExternalID]relay.CartOrder {
	list, err := use[connectors.OrderReader](w).ReadOrders(w.ctx(), ids)
	w.good(err)
	out := map[relay.ExternalID]relay.CartOrder{}
	for _, o := range list {
		require.NotContains(w.t, out, o.ExternalID, "an order is told twice")
		out[o.ExternalID] = o
	}
	return out
}

// shipWhole tells the cart of all of an order, in one package of ours.
func (w *world) shipWhole(o relay.CartOrder, tracking string) {
	p := parcelOf(o, "k-"+tracking, tracking, 2)
	p.Lines = append(p.Lines, relay.ShippedLine{Line: o.Lines[1].ID, Units: 1})
	require.NoError(w.t, w.push(p)[0].Err)
}

// shippedReadNow: nobody pulls between the edit and the push. The lines are those
// that were placed: our own packages take nothing off them.
func shippedReadNow(t *trial) {
	w := t.world()
	orders := w.placed(3)
	pulled, _ := w.pull(connectors.OrdersQuery{Limit: 10}, nil)
	w.has(pulled, orders)
	w.pass(time.Minute)
	w.done(at[Editor](w).EditOrder(orders[0].ExternalID, "Zyxcanary Newname"))
	w.shipWhole(orders[0], "TRACK1")
	require.NoError(t, w.push(parcelOf(orders[1], "k-2", "TRACK2", 1))[0].Err)
	got := w.read(idsOf(orders)...)
	require.Len(t, got, 3)
	for i, want := range orders {
		o := got[want.ExternalID]
		require.Equal(t, want.Number, o.Number)
		require.Len(t, o.Lines, len(want.Lines), "lines of order %d", i+1)
		for n, l := range want.Lines {
			have := o.Lines[n]
			require.Equal(t, []any{l.ID, l.SKU, l.Quantity}, []any{have.ID, have.SKU, have.Quantity}, "line %d of order %d", n+1, i+1)
		}
		require.False(t, o.UpdatedAt.Before(pulled[want.Number].UpdatedAt), "a later state has no earlier version")
		if i > 0 {
			require.Equal(t, describe(pulled[want.Number]), describe(o), "nobody edited order %d", i+1)
		}
	}
	require.Contains(t, got[orders[0].ExternalID].ShipTo.Name, "Newname")
}

func cancelledNotRead(t *trial) {
	w := t.world()
	orders := w.placed(3)
	gone := relay.ExternalID("999999999")
	w.done(at[Voider](w).VoidOrder(orders[1].ExternalID))
	got := w.read(append(idsOf(orders), gone)...)
	require.Len(t, got, 2)
	require.Contains(t, got, orders[0].ExternalID)
	require.Contains(t, got, orders[2].ExternalID)
	require.Empty(t, w.read(orders[1].ExternalID, gone), "with nothing to tell, nothing is told and nothing has failed")
}

// othersNotRead: also where we shipped a part of it, and others the rest.
func othersNotRead(t *trial) {
	w := t.world()
	orders := w.placed(3)
	require.NoError(t, w.push(parcelOf(orders[1], "k-1", "TRACK1", 1))[0].Err)
	for _, o := range orders[:2] {
		w.done(at[Packer](w).ShipByHand(o.ExternalID, "BYHAND"))
	}
	got := w.read(idsOf(orders)...)
	require.Len(t, got, 1)
	require.Contains(t, got, orders[2].ExternalID, "nobody shipped anything of it")
}

func cancelSinkChecks() []check {
	return []check{
		{name: "an order is cancelled", run: cancelPushed},
		{name: "cancelled already, or gone", run: cancelPushedTwice},
		{name: "an order that ships is a conflict", run: cancelPushedShipping},
		{name: "a cancel without effect is not reported done", run: func(t *trial) { t.refusedInside(pushCancelsCall) }},
	}
}

func (w *world) pushCancel(key string, id relay.ExternalID) connectors.CancelPushOutcome {
	out, err := use[connectors.CancelSink](w).PushCancels(w.ctx(), []connectors.CancelPush{{Key: key, Order: id}})
	w.good(err)
	require.Len(w.t, out, 1)
	w.saw(out[0].Err)
	return out[0]
}

func cancelPushed(t *trial) {
	w := t.world()
	orders := w.placed(2)
	out := w.pushCancel("c-1", orders[0].ExternalID)
	require.NoError(t, out.Err)
	require.False(t, out.Found)
	require.NotEmpty(t, out.Status)
	require.True(t, w.voided(orders[0].ExternalID))
	require.False(t, w.voided(orders[1].ExternalID))
}

func cancelPushedTwice(t *trial) {
	w := t.world()
	o := w.place()
	require.NoError(t, w.pushCancel("c-1", o.ExternalID).Err)
	again := w.pushCancel("c-1", o.ExternalID)
	require.NoError(t, again.Err)
	require.True(t, again.Found)
	gone := w.pushCancel("c-2", "999999999")
	require.NoError(t, gone.Err)
	require.Equal(t, connectors.GoneAtCart, gone.Status)
}

func cancelPushedShipping(t *trial) {
	w := t.world()
	o := w.place()
	w.done(at[Packer](w).ShipByHand(o.ExternalID, "BYHAND"))
	w.kind(w.pushCancel("c-1", o.ExternalID).Err, relay.Conflict)
	require.False(t, w.voided(o.ExternalID))
}

func inventorySinkChecks() []check {
	return []check{
		{name: "levels are set, and no others", run: levelsSet},
		{name: "what was there before is told", run: levelsBefore},
		{name: "a repeated push changes nothing", run: levelsTwice},
		{name: "an unknown SKU is reported and not made", run: unknownSKU},
		{name: "negative and fractional levels", run: oddLevels},
		{name: "a sale between the read and the write", run: levelRace},
		{name: "a refusal inside a success", run: func(t *trial) { t.refusedInside(pushInventoryCall) }},
	}
}

func (w *world) pushLevels(key string, targets ...connectors.StockTarget) []connectors.LevelOutcome {
	out, err := use[connectors.InventorySink](w).PushInventory(w.ctx(), connectors.InventoryPush{Key: key, Targets: targets})
	w.good(err)
	require.Len(w.t, out, len(targets), "an outcome for each target")
	for _, o := range out {
		w.saw(o.Err)
	}
	return out
}

func target(n int, available relay.Quantity) connectors.StockTarget {
	return connectors.StockTarget{SKU: sku(n), Available: available}
}

func (w *world) shelved(levels ...int64) {
	for i, n := range levels {
		w.done(at[Shelf](w).SetLevel(sku(i+1), relay.Units(n)))
	}
}

func levelsSet(t *trial) {
	w := t.world()
	w.shelved(5, 6, 7)
	out := w.pushLevels("inv-1", target(2, relay.Units(9)), target(1, relay.Units(0)))
	for i, after := range []int64{9, 0} {
		require.NoError(t, out[i].Err)
		require.Equal(t, relay.Units(after), out[i].After)
	}
	require.Equal(t, []string{"0", "9", "7"}, []string{w.level(sku(1)), w.level(sku(2)), w.level(sku(3))})
}

func levelsBefore(t *trial) {
	w := t.world()
	w.shelved(5, 6)
	out := w.pushLevels("inv-1", target(2, relay.Units(9)), target(1, relay.Units(4)))
	require.Equal(t, []relay.Quantity{relay.Units(6), relay.Units(5)}, []relay.Quantity{out[0].Before, out[1].Before})
}

func levelsTwice(t *trial) {
	w := t.world()
	w.shelved(5)
	for range 2 {
		out := w.pushLevels("inv-1", target(1, relay.Units(9)))
		require.NoError(t, out[0].Err)
		require.Equal(t, "9", w.level(sku(1)))
	}
	// A sale, and then the same push again, as after a crash: it says what is so.
	w.done(at[Shelf](w).SetLevel(sku(1), relay.Units(8)))
	out := w.pushLevels("inv-1", target(1, relay.Units(9)))
	if out[0].Err == nil {
		require.Equal(t, w.level(sku(1)), out[0].After.String())
	}
}

func unknownSKU(t *trial) {
	w := t.world()
	w.shelved(5)
	out := w.pushLevels("inv-1", connectors.StockTarget{SKU: "NO-SUCH-SKU", Available: relay.Units(3)}, target(1, relay.Units(9)))
	w.kind(out[0].Err, relay.NotFound)
	require.NoError(t, out[1].Err)
	require.Equal(t, "9", w.level(sku(1)))
	require.Equal(t, "unknown", w.level("NO-SUCH-SKU"))
}

// oddLevels: a level is set exactly, or refused and left as it was.
func oddLevels(t *trial) {
	for _, level := range []string{"-3", "2.5", "-0.25", "0.0001", "1000000"} {
		w := t.world()
		w.shelved(5, 6)
		q, err := relay.ParseQuantity(level)
		require.NoError(t, err)
		out := w.pushLevels("inv-1", target(1, q), target(2, relay.Units(1)))
		if out[0].Err == nil {
			require.Equal(t, level, w.level(sku(1)))
			require.Equal(t, level, out[0].After.String())
		} else {
			require.Equal(t, "5", w.level(sku(1)), "refused, and changed all the same")
		}
		require.NoError(t, out[1].Err, "one level that is refused does not keep the others")
		require.Equal(t, "1", w.level(sku(2)))
	}
}

// levelRace: a sale comes between the connector's look and its write. Where the
// vendor has no lock, what is told afterwards has to be what is so.
func levelRace(t *trial) {
	w := t.world()
	if w.wire == nil {
		t.Inapplicable("no HTTP")
	}
	w.shelved(5)
	sold := false
	w.wire.before = func(r request) {
		if r.write && !sold {
			sold = true
			w.done(at[Shelf](w).SetLevel(sku(1), relay.Units(3)))
		}
	}
	out := w.pushLevels("inv-1", target(1, relay.Units(9)))
	require.True(t, sold, "the push wrote nothing")
	if out[0].Err == nil {
		require.Equal(t, w.level(sku(1)), out[0].After.String(), "the level that was told is not the level that is")
	}
}
