package connectortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func orderSinkChecks() []check {
	return []check{
		{name: "preparing makes no request and gives the same bytes", run: preparePure},
		{name: "orders arrive whole, hostile ones or are refused", run: hostileOrders},
		{name: "another order for the same reference after a cancel", run: renewed},
		{name: "a refusal inside a success", run: func(t *trial) { t.refusedInside(submitCall) }},
	}
}

func preparePure(t *trial) {
	w := t.world()
	sink, other := use[connectors.OrderSink](w), w.open()
	o := w.order()
	items := fmt.Sprint(o.Items)
	mark := 0
	if w.wire != nil {
		mark = w.wire.mark()
	}
	first, err := sink.PrepareOrder(o)
	w.good(err)
	w.pass(time.Hour)
	second, err := other.(connectors.OrderSink).PrepareOrder(o)
	w.good(err)
	require.Equal(t, string(first.Body), string(second.Body), "an hour later, by another connection")
	require.Equal(t, o.Token, first.Token)
	require.Equal(t, items, fmt.Sprint(o.Items), "the order itself was changed")
	next := w.order()
	next.Number, next.ShipTo, next.Items, next.PlacedAt = o.Number, o.ShipTo, o.Items, o.PlacedAt
	third, err := sink.PrepareOrder(next)
	w.good(err)
	require.NotEqual(t, first.Digest(), third.Digest(), "the token or the reference has to be in the request")
	if w.wire != nil {
		require.Empty(t, w.wire.since(mark), "requests")
	}
	require.Empty(t, w.held(), "orders at the warehouse")
}

// whole sees that the warehouse holds all that the order says: of each field of
// the address at least every letter and digit, somewhere in the address.
func (w *world) whole(o connectors.WarehouseOrder, h Held) {
	want, got := map[string]int64{}, map[string]int64{}
	for _, i := range o.Items {
		want[strings.TrimSpace(string(i.Code))] += i.Units
	}
	for _, i := range h.Items {
		got[string(i.Code)] += i.Units
	}
	require.Equal(w.t, want, got, "items")
	arrived := bare(fields(h.ShipTo)...)
	for _, f := range fields(o.ShipTo) {
		if !strings.Contains(arrived, bare(f)) {
			w.t.Errorf("a field of the address of %d characters did not arrive whole: %.60q", len([]rune(f)), f)
		}
	}
}

func fields(a relay.Address) []string {
	return []string{a.Name, a.Company, a.Street1, a.Street2, a.City, a.State, a.Zip, a.Country, a.Phone, a.Email}
}

// bare keeps letters and digits.
func bare(texts ...string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToUpper(r)
		}
		return -1
	}, strings.Join(texts, ""))
}

// hostileOrders are what carts let people type, and more.
func hostileOrders(t *trial) {
	long := func(n int) string { return strings.Repeat("long ", n/5) + "end" }
	address := func(change func(*relay.Address)) func(*connectors.WarehouseOrder) {
		return func(o *connectors.WarehouseOrder) { change(&o.ShipTo) }
	}
	for name, change := range map[string]func(*connectors.WarehouseOrder){
		"nothing odd":       func(*connectors.WarehouseOrder) {},
		"unknown item":      func(o *connectors.WarehouseOrder) { o.Items[0].Code = "0799999999999" },
		"too little stock":  func(o *connectors.WarehouseOrder) { o.Items[0].Units = 5000 },
		"nothing at all":    func(o *connectors.WarehouseOrder) { *o = connectors.WarehouseOrder{Token: o.Token} },
		"no token":          func(o *connectors.WarehouseOrder) { o.Token = "" },
		"no items":          func(o *connectors.WarehouseOrder) { o.Items = nil },
		"no code":           func(o *connectors.WarehouseOrder) { o.Items[0].Code = "" },
		"no units":          func(o *connectors.WarehouseOrder) { o.Items[0].Units = 0 },
		"minus units":       func(o *connectors.WarehouseOrder) { o.Items[0].Units = -2 },
		"endless units":     func(o *connectors.WarehouseOrder) { o.Items[0].Units = 1 << 62 },
		"500 items":         func(o *connectors.WarehouseOrder) { o.Items = manyItems(500) },
		"number of 5,000":   func(o *connectors.WarehouseOrder) { o.Number = long(5000) },
		"number of signs":   func(o *connectors.WarehouseOrder) { o.Number = "#\x00\x1b[2J\"'<&>\r\n,;|\\ ☃ 🚢" },
		"service of signs":  func(o *connectors.WarehouseOrder) { o.Service = "\x00\"<&>" },
		"code of signs":     func(o *connectors.WarehouseOrder) { o.Items[0].Code = "\x00\"<&>,;☃" },
		"no address":        address(func(a *relay.Address) { *a = relay.Address{} }),
		"no street":         address(func(a *relay.Address) { a.Street1 = "" }),
		"no country":        address(func(a *relay.Address) { a.Country = "" }),
		"country in words":  address(func(a *relay.Address) { a.Country = "United States of America" }),
		"name of 36":        address(func(a *relay.Address) { a.Name = "Zyxcanary " + strings.Repeat("N", 26) }),
		"name of 5,000":     address(func(a *relay.Address) { a.Name = "Zyxcanary " + long(5000) }),
		"street of 41":      address(func(a *relay.Address) { a.Street1 = "4711 Zyxcanary " + strings.Repeat("S", 26) }),
		"street of 300":     address(func(a *relay.Address) { a.Street1 = "4711 Zyxcanary " + long(300) }),
		"street 2 of 300":   address(func(a *relay.Address) { a.Street2 = long(300) }),
		"city of 300":       address(func(a *relay.Address) { a.City = long(300) }),
		"zip of 60":         address(func(a *relay.Address) { a.Zip = strings.Repeat("123456", 10) }),
		"phone of 300":      address(func(a *relay.Address) { a.Phone = canaryPhone + " x " + strings.Repeat("7", 300) }),
		"e-mail of 300":     address(func(a *relay.Address) { a.Email = strings.Repeat("zyxcanary", 33) + "@example.test" }),
		"markup":            address(func(a *relay.Address) { a.Name = `Zyxcanary <b>"O'Quill" & Söns]]></b> {{.}} %s ${x}` }),
		"quotes and commas": address(func(a *relay.Address) { a.Street1 = `4711, "Zyxcanary"; Lane|4	'x'` }),
		"controls":          address(func(a *relay.Address) { a.Name = "Zyxcanary\x00\x07\x1b[31m\u202e Quill\r\nBcc: x" }),
		"formula":           address(func(a *relay.Address) { a.Name = "=Zyxcanary(1)" }),
		"other scripts":     address(func(a *relay.Address) { a.Name, a.City = "Zyxcanary 山田 Øå", "Łódź Αθήνα" }),
		"emoji":             address(func(a *relay.Address) { a.Name = "Zyxcanary 👩‍👩‍👧‍👦🚢 Quill" }),
	} {
		w := t.world()
		w.stocked()
		for n := range 500 {
			if n > 1 && name == "500 items" {
				w.done(at[Depot](w).Stock(code(n+1), relay.Units(5)))
			}
		}
		o := w.order()
		change(&o)
		t.hostile(w, name, o)
		if t.Failed() {
			return
		}
	}
}

func manyItems(n int) []relay.Item {
	var out []relay.Item
	for i := range n {
		out = append(out, relay.Item{Code: code(i + 1), Units: 1})
	}
	return out
}

// hostile sees that an order is refused in words, or arrives whole.
func (t *trial) hostile(w *world, name string, o connectors.WarehouseOrder) {
	sink := use[connectors.OrderSink](w)
	p, err := sink.PrepareOrder(o)
	w.saw(err)
	if err == nil {
		var a connectors.Accepted
		if a, err = sink.SubmitOrder(w.ctx(), p); err == nil {
			w.takeIn()
			if len(w.held()) == 0 && a.AnswerWithin > 0 {
				return // received, and refused later, in words
			}
			w.whole(o, w.heldAs(a.ID))
			if t.Failed() {
				t.Errorf("%s: accepted, and cut", name)
			}
			return
		}
		w.saw(err)
	}
	require.NotEqual(t, "nothing odd", name, "an ordinary order was refused: %v", err)
	var e *relay.Error
	require.ErrorAs(t, err, &e, name)
	require.Contains(t, []relay.ErrorKind{relay.Invalid, relay.Rejected}, e.Kind, "%s: %v", name, err)
	require.NotEmpty(t, e.Reason, "%s: the reason to hold it for: %v", name, err)
	if e.Kind == relay.Invalid {
		require.NotEmpty(t, e.Fields, "%s: the field that is wrong: %v", name, err)
	}
	require.Empty(t, w.held(), "%s: refused, and at the warehouse all the same", name)
}

// renewed: an order that the warehouse cancelled is sent anew on purpose, and is
// another order there.
func renewed(t *trial) {
	w := t.world()
	w.stocked()
	o := w.order()
	first := w.submit(o)
	w.done(at[Floor](w).Drop(first))
	next := o
	next.Token, next.Renewed = "renewedrenewedaa", 1
	second := w.submit(next)
	require.NotEqual(t, first, second, "another order has another id")
	require.Len(t, w.held(), 2)
	require.True(t, w.heldAs(first).Cancelled)
	require.False(t, w.heldAs(second).Cancelled)
	if look, ok := w.conn.(connectors.OrderLookup); ok {
		got, err := look.FindOrders(w.ctx(), connectors.LookupQuery{Owned: nobodys, Orders: []connectors.LookupRequest{
			{Order: next, SentFrom: time.Now().Add(-time.Minute), SentTo: time.Now()},
		}})
		w.good(err)
		require.Len(t, got[0].Matches, 1, "the cancelled one is another order")
		require.Equal(t, second, got[0].Matches[0].ID)
	}
}

func orderLookupChecks() []check {
	return []check{
		{name: "what is there is found, and what is not is surely absent", run: found},
		{name: "an order that was taken twice is found twice", run: foundTwice},
		{name: "absent is certain only when all was read", run: absentIsCertain},
		{name: "a cancelled order says so", run: foundCancelled},
		{name: "found by what is in it", run: foundByContent},
	}
}

func (w *world) find(orders ...connectors.WarehouseOrder) []connectors.Lookup {
	return w.findOwned(nobodys, orders...)
}

func (w *world) findOwned(owned func(context.Context, []relay.WarehouseOrderID) ([]bool, error), orders ...connectors.WarehouseOrder) []connectors.Lookup {
	q := connectors.LookupQuery{Owned: owned}
	for _, o := range orders {
		q.Orders = append(q.Orders, connectors.LookupRequest{Order: o, SentFrom: time.Now().Add(-time.Minute), SentTo: time.Now()})
	}
	got, err := use[connectors.OrderLookup](w).FindOrders(w.ctx(), q)
	w.good(err)
	require.Len(w.t, got, len(orders), "an answer for each order")
	return got
}

func found(t *trial) {
	w := t.world()
	w.stocked()
	var orders []connectors.WarehouseOrder
	var ids []relay.WarehouseOrderID
	for i := range 8 { // so many that a search one by one is not all
		o := w.order()
		orders, ids = append(orders, o), append(ids, "")
		if i%2 == 0 {
			ids[i] = w.submit(o)
		}
	}
	for i, l := range w.find(orders...) {
		if ids[i] == "" {
			require.Empty(t, l.Matches, "order %d was never sent", i)
			require.True(t, l.Certain, "order %d was never sent", i)
			continue
		}
		require.Len(t, l.Matches, 1, "order %d", i)
		require.Equal(t, ids[i], l.Matches[0].ID)
		require.Contains(t, []string{"token", "reference", "content"}, l.Matches[0].By)
		require.False(t, l.Matches[0].Cancelled)
	}
	require.Len(t, w.find(orders[0])[0].Matches, 1, "asked for alone")
}

// foundTwice: a lost reply was taken for a failure, once, and the request sent
// again. Where the vendor refuses that, there is one.
func foundTwice(t *trial) {
	w := t.world()
	w.stocked()
	o := w.order()
	first := w.submit(o)
	w.pass(time.Second)
	sink := use[connectors.OrderSink](w)
	p, err := sink.PrepareOrder(o)
	w.good(err)
	again, err := sink.SubmitOrder(w.ctx(), p)
	w.saw(err)
	w.takeIn()
	var ids []relay.WarehouseOrderID
	for _, m := range w.find(o)[0].Matches {
		ids = append(ids, m.ID)
	}
	if len(w.held()) == 1 {
		require.Equal(t, []relay.WarehouseOrderID{first}, ids)
		return
	}
	w.good(err)
	require.Equal(t, []relay.WarehouseOrderID{first, again.ID}, ids, "both, the oldest first")
}

// absentIsCertain: the list turns its pages under the reader, and the order that
// is looked for is far down.
func absentIsCertain(t *trial) {
	for _, how := range []string{"", "repeated", "shifted"} {
		w := t.world()
		if _, turns := w.system.(PageTurner); how != "" && !turns {
			break // nothing of it is paged
		}
		w.stocked()
		var orders []connectors.WarehouseOrder
		var ids []relay.WarehouseOrderID
		for range 13 {
			orders = append(orders, w.order())
			ids = append(ids, w.submit(orders[len(orders)-1]))
		}
		if how != "" {
			w.done(at[PageTurner](w).TurnPages(how))
		}
		for _, alone := range []bool{true, false} {
			for _, far := range []int{0, 12} { // whichever end the list begins with
				ask := []connectors.WarehouseOrder{orders[far]}
				for range 7 {
					if !alone {
						ask = append(ask, w.order())
					}
				}
				got := w.find(ask...)[0]
				if len(got.Matches) == 0 {
					require.False(t, got.Certain, "pages %s: it is there", how)
					continue
				}
				require.Equal(t, ids[far], got.Matches[0].ID)
			}
		}
	}
}

func foundCancelled(t *trial) {
	w := t.world()
	w.stocked()
	o := w.order()
	w.done(at[Floor](w).Drop(w.submit(o)))
	got := w.find(o)[0]
	require.Len(t, got.Matches, 1)
	require.True(t, got.Matches[0].Cancelled, "it will not ship")
}

// foundByContent: the vendor lost the mark. Another order with the same contents
// that is somebody's is never taken for it.
func foundByContent(t *trial) {
	w := t.world()
	w.done(at[Forgetter](w).ForgetMarks())
	w.stocked()
	o, twin := w.order(), w.order()
	other := w.order()
	other.ShipTo.Street1, other.ShipTo.Zip = "1 Elsewhere Street", "90210"
	theirs := w.submit(twin)
	w.submit(other)
	owned := func(_ context.Context, ids []relay.WarehouseOrderID) ([]bool, error) {
		out := make([]bool, len(ids))
		for i, id := range ids {
			out[i] = id == theirs
		}
		return out, nil
	}
	require.Empty(t, w.findOwned(owned, o)[0].Matches, "the one that is there is another order's")
	id := w.submit(o)
	got := w.findOwned(owned, o)[0]
	require.Len(t, got.Matches, 1)
	require.Equal(t, connectors.Match{ID: id, CreatedAt: got.Matches[0].CreatedAt, By: "content"}, got.Matches[0])
}

func orderListerChecks() []check {
	return []check{
		{name: "every order with our mark is listed", run: listed},
		{name: "orders that come while it is read", run: listedWhileTheyCome},
		{name: "shifted and repeated pages", run: listedSpoilt},
		{name: "a foreign cursor is refused", run: func(t *trial) {
			w := t.world()
			w.refusesCursors(func(c string) error {
				_, err := use[connectors.OrderLister](w).ListOrders(w.ctx(), connectors.OrderListQuery{Cursor: c})
				return err
			})
		}},
	}
}

// list reads the whole list; between acts between two pages.
func (w *world) list(between func()) (map[relay.WarehouseOrderID]connectors.ListedOrder, bool) {
	q := connectors.OrderListQuery{Since: time.Now().Add(-24 * time.Hour)}
	out := map[relay.WarehouseOrderID]connectors.ListedOrder{}
	for range maxPages {
		page, err := use[connectors.OrderLister](w).ListOrders(w.ctx(), q)
		w.good(err)
		for _, o := range page.Orders {
			out[o.ID] = o
		}
		if q.Cursor = page.Cursor; !page.More {
			return out, page.Partial
		}
		if between != nil {
			between()
		}
		w.conn = w.open()
	}
	w.t.Fatalf("the list of orders does not end")
	return nil, false
}

func listed(t *trial) {
	w := t.world()
	w.stocked()
	sent := map[relay.WarehouseOrderID]connectors.WarehouseOrder{}
	for range 12 {
		o := w.order()
		sent[w.submit(o)] = o
		w.pass(time.Second)
	}
	got, partial := w.list(nil)
	require.False(t, partial, "the list can be read to its end")
	for id, o := range sent {
		require.Contains(t, got, id)
		require.Equal(t, o.Token, got[id].Token)
		require.NotEmpty(t, got[id].Progress)
	}
}

func listedWhileTheyCome(t *trial) {
	w := t.world()
	w.stocked()
	var sent []relay.WarehouseOrderID
	for range 12 {
		sent = append(sent, w.submit(w.order()))
		w.pass(time.Second)
	}
	comes := 0
	got, partial := w.list(func() {
		if comes++; comes < 4 {
			w.pass(time.Second)
			w.submit(w.order())
		}
	})
	for _, id := range sent {
		if _, ok := got[id]; !ok && !partial {
			t.Errorf("order %s was passed over", id)
		}
	}
}

func listedSpoilt(t *trial) {
	for _, how := range []string{"repeated", "shifted"} {
		w := t.world()
		w.stocked()
		var sent []relay.WarehouseOrderID
		for range 12 {
			sent = append(sent, w.submit(w.order()))
		}
		w.done(at[PageTurner](w).TurnPages(how))
		got, partial := w.list(nil)
		again, _ := w.list(nil)
		for _, id := range sent {
			_, once := got[id]
			_, twice := again[id]
			require.True(t, once || twice || partial, "order %s was passed over in pages that are %s", id, how)
		}
	}
}

func cancellerChecks() []check {
	return []check{
		{name: "done, and harmless twice", run: cancelDone},
		{name: "too late", run: cancelTooLate},
		{name: "pending until the warehouse decides", run: cancelPending},
		{name: "a cancel without effect is not reported done", run: cancelIgnored},
	}
}

func (w *world) cancel(id relay.WarehouseOrderID) connectors.CancelResult {
	a, err := use[connectors.Canceller](w).CancelOrder(w.ctx(), id)
	w.good(err)
	w.public("cancel's evidence", a.Evidence)
	require.NotEmpty(w.t, a.Evidence, "what shows it")
	return a.Result
}

func cancelDone(t *trial) {
	w := t.world()
	w.stocked()
	id, other := w.submit(w.order()), w.submit(w.order())
	require.Equal(t, connectors.CancelDone, w.cancel(id))
	require.True(t, w.heldAs(id).Cancelled)
	require.Equal(t, connectors.CancelDone, w.cancel(id))
	require.False(t, w.heldAs(other).Cancelled, "another order")
}

func cancelTooLate(t *trial) {
	w := t.world()
	w.stocked()
	id := w.submit(w.order())
	w.ship(id, parcel(1), parcel(2), rest(3))
	require.Equal(t, connectors.CancelTooLate, w.cancel(id))
	require.False(t, w.heldAs(id).Cancelled)
}

func cancelPending(t *trial) {
	w := t.world()
	w.stocked()
	id := w.submit(w.order())
	w.done(at[Floor](w).Pick(id))
	require.Equal(t, connectors.CancelPending, w.cancel(id))
	w.done(at[Floor](w).Drop(id))
	require.Equal(t, connectors.CancelDone, w.cancel(id))
}

// cancelIgnored: the answer is that of a cancel that was done, and nothing was.
func cancelIgnored(t *trial) {
	done := t.world()
	if done.wire == nil {
		t.Inapplicable("no HTTP")
	}
	done.stocked()
	id := done.submit(done.order())
	mark := done.wire.mark()
	require.Equal(t, connectors.CancelDone, done.cancel(id))
	w := t.world()
	w.stocked()
	id = w.submit(w.order())
	for _, r := range done.wire.since(mark) {
		if r.write {
			w.wire.onWrite(answerOf(r))
			break
		}
	}
	a, err := use[connectors.Canceller](w).CancelOrder(w.ctx(), id)
	w.saw(err)
	require.False(t, w.heldAs(id).Cancelled)
	require.NotEqual(t, connectors.CancelDone, a.Result, "the order will ship")
}

func shipmentSourceChecks() []check {
	return []check{
		{name: "packages and progress are told as they come", run: packagesTold},
		{name: "a package told twice counts once", run: packageOnce},
		{name: "a cancel by the warehouse", run: warehouseCancels},
		{name: "an order that it does not know", run: unknownOpen},
		{name: "many open orders, each in its turn", run: manyOpen},
		{name: "a foreign cursor does no harm", run: foreignShipmentCursor},
	}
}

func packagesTold(t *trial) {
	w := t.world()
	w.stocked()
	id := w.submit(w.order())
	got, cursor := w.updates("", id)
	require.Empty(t, got[id].Packages)
	require.NotContains(t, []connectors.Progress{connectors.Cancelled, connectors.Gone, connectors.FullShipped, connectors.PartShipped, connectors.Refused}, got[id].Progress)
	told := map[string]relay.Package{}
	for i, p := range []relay.Package{parcel(1), parcel(2), rest(3)} {
		w.pass(time.Minute)
		w.ship(id, p)
		w.conn = w.open()
		got, cursor = w.updates(cursor, id)
		u := got[id]
		for _, p := range u.Packages {
			told[p.TrackingNumber] = p
		}
		require.Len(t, told, i+1, "packages known so far")
		require.Contains(t, told, p.TrackingNumber)
		if items := told[p.TrackingNumber].Items; len(items) > 0 {
			require.Equal(t, p.Items, items, "what is inside")
		}
		want := connectors.PartShipped
		if i == 2 && !u.Adds { // a file tells of a parcel, and not of what is left
			want = connectors.FullShipped
		}
		require.Equal(t, want, u.Progress)
	}
}

func packageOnce(t *trial) {
	w := t.world()
	w.stocked()
	id := w.submit(w.order())
	w.ship(id, parcel(1), parcel(2))
	first, cursor := w.updates("", id)
	require.Len(t, first[id].Packages, 2)
	w.conn = w.open()
	again, _ := w.updates("", id) // the page was told, and the cursor not stored
	require.Equal(t, describeUpdate(first[id]), describeUpdate(again[id]))
	later, _ := w.updates(cursor, id)
	for _, p := range later[id].Packages {
		require.Contains(t, describeUpdate(first[id]), p.Key(), "a package that was never shipped")
	}
	keys := map[string]bool{}
	for _, p := range again[id].Packages {
		require.False(t, keys[p.Key()], "package %s is there twice", p.Key())
		keys[p.Key()] = true
	}
}

func warehouseCancels(t *trial) {
	w := t.world()
	w.stocked()
	id, other := w.submit(w.order()), w.submit(w.order())
	w.done(at[Floor](w).Drop(id))
	got, _ := w.updates("", id, other)
	require.Contains(t, []connectors.Progress{connectors.Cancelled, connectors.Gone}, got[id].Progress)
	require.NotContains(t, []connectors.Progress{connectors.Cancelled, connectors.Gone}, got[other].Progress)
}

// unknownOpen: nothing is told of an order that the warehouse does not know, but
// that it does not. Other orders are told all the same.
func unknownOpen(t *trial) {
	w := t.world()
	w.stocked()
	id := w.submit(w.order())
	w.ship(id, parcel(1))
	got, _ := w.updates("", id, "order-999999999")
	require.NotEmpty(t, got[id].Packages)
	u := got["order-999999999"]
	require.Empty(t, u.Packages)
	require.Contains(t, []connectors.Progress{"", connectors.Gone, connectors.InProgress, connectors.Received}, u.Progress)
}

func manyOpen(t *trial) {
	w := t.world()
	w.stocked()
	var ids []relay.WarehouseOrderID
	for i := range 15 {
		ids = append(ids, w.submit(w.order()))
		if i%3 == 0 {
			w.ship(ids[i], parcel(i))
		}
	}
	told, cursor := map[relay.WarehouseOrderID]map[string]bool{}, ""
	for _, id := range ids {
		told[id] = map[string]bool{}
	}
	for range 5 {
		var got map[relay.WarehouseOrderID]connectors.OrderUpdate
		got, cursor = w.updates(cursor, ids...)
		for id, u := range got {
			for _, p := range u.Packages {
				told[id][p.Key()] = true
			}
		}
	}
	for i, id := range ids {
		want := 0
		if i%3 == 0 {
			want = 1
		}
		require.Len(t, told[id], want, "packages of order %d", i)
	}
}

// foreignShipmentCursor: whatever stands in the cursor, an order's packages are
// told or the cursor is refused.
func foreignShipmentCursor(t *trial) {
	w := t.world()
	w.stocked()
	id := w.submit(w.order())
	w.ship(id, parcel(1))
	for _, c := range foreign {
		page, err := use[connectors.ShipmentSource](w).PullShipments(w.ctx(), connectors.ShipmentsQuery{Cursor: c, Open: []connectors.OpenOrder{{ID: id}}})
		if err != nil {
			w.kind(err, relay.Invalid)
			continue
		}
		require.Len(t, page.Updates, 1)
		require.NotEmpty(t, page.Updates[0].Packages)
	}
}

func inventorySourceChecks() []check {
	return []check{
		{name: "each code once, with its level", run: levelsTold},
		{name: "codes that come and go between pages", run: codesComeAndGo},
		{name: "negative and fractional levels", run: oddLevelsTold},
		{name: "accepted orders and the meaning of the figure", run: levelMeaning},
		{name: "any cursor goes on in another connection", run: levelsGoOn},
		{name: "a foreign cursor is refused", run: func(t *trial) {
			w := t.world()
			w.stocked()
			w.refusesCursors(func(c string) error {
				_, err := use[connectors.InventorySource](w).PullInventory(w.ctx(), connectors.InventoryQuery{Cursor: c, Limit: 5})
				return err
			})
		}},
	}
}

// levels reads all stock; the reading must be whole.
func (w *world) levels(limit int) claims {
	told, partial, err := w.pullLevels(w.ctx(), limit)
	w.good(err)
	require.False(w.t, partial, "codes are missing")
	return told
}

func levelsTold(t *trial) {
	w := t.world()
	want := claims{}
	for i := range 23 {
		w.done(at[Depot](w).Stock(code(i+1), relay.Units(int64(i))))
		want[string(code(i+1))] = fmt.Sprint(i)
	}
	for _, limit := range []int{1, 10, 23, 500} {
		w.conn = w.open()
		require.Equal(t, want, w.levels(limit), "in pages of %d", limit)
	}
}

func codesComeAndGo(t *trial) {
	w := t.world()
	want := claims{}
	for i := range 10 {
		w.done(at[Depot](w).Stock(code(2*i+2), relay.Units(7)))
		want[string(code(2*i+2))] = "7"
	}
	src := use[connectors.InventorySource](w)
	got, cursor := claims{}, ""
	for n := range maxPages {
		page, err := src.PullInventory(w.ctx(), connectors.InventoryQuery{Cursor: cursor, Limit: 3})
		w.good(err)
		codes := map[relay.ItemCode]relay.Quantity{}
		for _, l := range page.Levels {
			codes[l.Code] += l.Quantity
		}
		for c, q := range codes {
			require.NotContains(t, got, string(c), "in two pages")
			got[string(c)] = q.String()
		}
		if cursor = page.Cursor; !page.More {
			break
		}
		w.pass(20 * time.Minute)
		w.done(at[Depot](w).Stock(code(2*n+1), relay.Units(7)))
	}
	for c, q := range want {
		require.Equal(t, q, got[c], "%s was there all the time", c)
	}
}

func oddLevelsTold(t *trial) {
	w := t.world()
	want := claims{}
	for i, level := range []string{"-3", "2.5"} {
		q, err := relay.ParseQuantity(level)
		require.NoError(t, err)
		w.done(at[Depot](w).Stock(code(i+1), q))
		want[string(code(i+1))] = level
	}
	require.Equal(t, want, w.levels(10))
}

// levelMeaning: an accepted order has to lower a figure that leaves orders out,
// and not one that does not: else stock is sold twice, or never.
func levelMeaning(t *trial) {
	w := t.world()
	w.stocked()
	page, err := use[connectors.InventorySource](w).PullInventory(w.ctx(), connectors.InventoryQuery{Limit: 10})
	w.good(err)
	o := w.order()
	w.submit(o)
	w.pass(time.Hour)
	want := "500"
	if page.Meaning == connectors.NetOfOrders {
		want = "498"
	}
	require.Equal(t, want, w.levels(10)[string(code(1))], "two of 500 are promised, and the figure is said to be %q", page.Meaning)
}

func levelsGoOn(t *trial) {
	w := t.world()
	for i := range 7 {
		w.done(at[Depot](w).Stock(code(i+1), relay.Units(7)))
	}
	got, cursor := map[relay.ItemCode]bool{}, ""
	for range maxPages {
		w.conn = w.open()
		page, err := use[connectors.InventorySource](w).PullInventory(w.ctx(), connectors.InventoryQuery{Cursor: cursor, Limit: 2})
		w.good(err)
		for _, l := range page.Levels {
			got[l.Code] = true
		}
		if cursor = page.Cursor; !page.More {
			break
		}
	}
	require.Len(t, got, 7)
}

func siteListerChecks() []check {
	return []check{{name: "every level's site is listed", run: func(t *trial) {
		w := t.world()
		sites, err := use[connectors.SiteLister](w).Sites(w.ctx())
		w.good(err)
		known := map[string]bool{}
		for _, s := range sites {
			require.NotEmpty(t, s.ID)
			require.False(t, known[s.ID], "site %s is there twice", s.ID)
			known[s.ID] = true
		}
		if src, ok := w.conn.(connectors.InventorySource); ok {
			w.stocked()
			page, err := src.PullInventory(w.ctx(), connectors.InventoryQuery{Limit: 10})
			w.good(err)
			for _, l := range page.Levels {
				require.True(t, known[l.Site] || len(sites) == 0, "the level of %s is at site %q, which is not listed", l.Code, l.Site)
			}
		}
	}}}
}

func addressCheckerChecks() []check {
	return []check{{name: "a good address has no problem, a bad one is named", run: func(t *trial) {
		w := t.world()
		check := use[connectors.AddressChecker](w)
		v, err := check.CheckAddress(w.ctx(), canaryAddress())
		w.good(err)
		require.Empty(t, v.Problems)
		bad := canaryAddress()
		bad.Street1, bad.City, bad.Zip = "unknown", "nowhere", ""
		v, err = check.CheckAddress(w.ctx(), bad)
		w.good(err)
		require.NotEmpty(t, v.Problems)
		for _, p := range v.Problems {
			require.True(t, strings.HasPrefix(p.Field, "ship_to"), "a problem of the field %q", p.Field)
			require.NotEmpty(t, p.Message)
		}
	}}}
}

func packageTrackerChecks() []check {
	return []check{{name: "each package in its place", run: func(t *trial) {
		w := t.world()
		w.stocked()
		id := w.submit(w.order())
		w.ship(id, parcel(1))
		w.ship(w.submit(w.order()), parcel(2))
		packages := []relay.Package{parcel(1), parcel(2)}
		packages = append(packages[:1:1], append([]relay.Package{{Carrier: "USPS", TrackingNumber: "NOSUCH"}}, packages[1:]...)...)
		got, err := use[connectors.PackageTracker](w).TrackPackages(w.ctx(), packages)
		w.good(err)
		require.Len(t, got, 3)
		require.NotEmpty(t, got[0].Status)
		require.NotEmpty(t, got[2].Status)
		w.saw(got[1].Err)
		require.True(t, errors.Is(got[1].Err, relay.NotFound) || got[1].Status == "unknown", "a package that nobody has")
		require.NoError(t, errors.Join(got[0].Err, got[2].Err))
	}}}
}
