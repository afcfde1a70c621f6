package connectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

// call is one use of an ability, to be made under every fault.
type call struct {
	ability string
	begin   func(w *world) scene
}

// claims are what a call told, by subject: an order's id, an item code. "" is
// nothing claimed, which is never wrong; a subject left out is.
type claims map[string]string

// scene is a call that is ready to be made.
type scene struct {
	do func(ctx context.Context) (claims, []error)
	// effect is the system's own books of what the call changes; nil for reads.
	effect func() string
	// settle makes up for a call that failed; nil: do again.
	settle func(failed bool)
}

// most is how many of a call's requests are broken in turn.
const most = 12

// patience is how long a call may take by itself; promptly is how soon it
// returns once its context is cancelled.
const (
	patience = 20 * time.Minute
	promptly = 2 * time.Second
)

// faultChecks makes a check of each fault for a call.
func faultChecks(c call) []check {
	var out []check
	for _, f := range faults() {
		out = append(out, check{name: f.name, fault: true, run: func(t *trial) { t.underFault(c, f) }})
	}
	return out
}

// underFault makes the call once well, and then with each of its requests
// broken: alone, and with all that follow.
func (t *trial) underFault(c call, f fault) {
	clean := t.world()
	if clean.wire == nil {
		t.Inapplicable("no HTTP")
	}
	s := c.begin(clean)
	mark := clean.wire.mark()
	told, errs := s.do(clean.ctx())
	clean.saw(errs...)
	require.NoError(t, errors.Join(errs...), "without any fault")
	books := ""
	if s.effect != nil {
		books = s.effect()
	}
	n := len(clean.wire.since(mark))
	require.NotZero(t, n, "the call made no request")
	for i := range min(n, most) {
		for _, forever := range []bool{false, true} {
			t.broken(c, f, i, forever, told, books)
			if t.Failed() {
				return
			}
		}
	}
}

// broken makes the call with its i-th request broken and holds it against the
// call that went well.
func (t *trial) broken(c call, f fault, i int, forever bool, want claims, books string) {
	w := t.world()
	s := c.begin(w)
	at := fmt.Sprintf("request %d broken", i+1)
	if forever {
		at = fmt.Sprintf("broken from request %d on", i+1)
	}
	mark := w.wire.mark()
	w.wire.arm(&f, i, forever)
	ctx, cancel := context.WithCancel(w.ctx())
	defer cancel()
	if f.leaves {
		timer := time.AfterFunc(time.Second, cancel)
		defer timer.Stop()
	}
	start := time.Now()
	told, errs := s.do(ctx)
	took := time.Since(start)
	w.wire.disarm()
	w.saw(errs...)
	seen := w.wire.since(mark)
	err := errors.Join(errs...)
	switch {
	case f.leaves && err != nil && took > time.Second+promptly:
		t.Errorf("%s: returned %s after its context was cancelled", at, took-time.Second)
	case took > patience:
		t.Errorf("%s: took %s", at, took)
	}
	t.classified(at, f, errs, seen)
	t.sentOnce(at, seen)
	if err == nil {
		t.truthful(at, want, told)
		if s.effect != nil {
			require.Equal(t, books, s.effect(), "%s: no error, and yet the system's books differ", at)
		}
	}
	w.pass(10 * time.Minute)
	if s.settle != nil {
		s.settle(err != nil)
	} else if err != nil {
		told, errs = s.do(w.ctx())
		w.saw(errs...)
		require.NoError(t, errors.Join(errs...), "%s: again, without the fault", at)
		t.truthful(at+", then again", want, told)
	}
	if s.effect != nil && s.settle == nil {
		require.Equal(t, books, s.effect(), "%s, then again: the system's books differ", at)
	}
}

// classified judges the kinds of the errors by what was sent.
func (t *trial) classified(at string, f fault, errs []error, seen []request) {
	doubtful, wrote := false, false
	for _, r := range seen {
		doubtful = doubtful || (r.fault != nil && r.mayHaveHappened())
		wrote = wrote || r.mayHaveHappened()
	}
	throttled := false // or it is in doubt, which is more
	for part, err := range errs {
		if err == nil {
			continue
		}
		var e *relay.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: want a *relay.Error, got %T: %v", at, err, err)
			continue
		}
		if f.name == "words quoted" {
			continue // a definite no: whatever kind it is, here only its text counts
		}
		switch e.Kind {
		case relay.Unknown:
			throttled = true
			if !wrote {
				t.Errorf("%s: unknown outcome, though nothing can have happened: want unavailable: %v", at, err)
			}
		case relay.Unavailable, relay.Throttled:
			throttled = throttled || e.Kind == relay.Throttled
			if doubtful && part == 0 {
				t.Errorf("%s: %s, though the write may have happened: want unknown outcome: %v", at, e.Kind, err)
			}
			if e.Kind == relay.Throttled && e.After <= 0 {
				t.Errorf("%s: throttled without a time to come again: %v", at, err)
			}
			if e.Kind == relay.Throttled && f.name == "429 with delay" && (e.After < longPause/2 || e.After > 2*time.Hour) {
				t.Errorf("%s: throttled for %s, though the vendor said %s", at, e.After, longPause)
			}
		default:
			t.Errorf("%s: %s, which the vendor did not say: %v", at, e.Kind, err)
		}
	}
	if err := errors.Join(errs...); err != nil && strings.HasPrefix(f.name, "429") && !throttled {
		t.Errorf("%s: want an error of kind throttled, got %v", at, err)
	}
}

// sentOnce sees that no write that may have happened was sent again.
func (t *trial) sentOnce(at string, seen []request) {
	type write struct {
		method, path string
		body         [32]byte
	}
	doubtful := map[write]bool{}
	for _, r := range seen {
		k := write{r.method, r.path, r.body}
		if r.write && doubtful[k] {
			t.x.note(&t.x.twice, fmt.Sprintf("%s: %s: %s %s", t.name, at, r.method, r.path))
		}
		if r.path == elsewhere {
			t.Errorf("%s: the redirect was followed", at)
		}
		doubtful[k] = doubtful[k] || (r.fault != nil && r.mayHaveHappened())
	}
}

// truthful holds what was told against what is so.
func (t *trial) truthful(at string, want, told claims) {
	if told == nil {
		return // nothing at all is claimed
	}
	for _, subject := range slices.Sorted(maps.Keys(want)) {
		got, named := told[subject]
		switch {
		case !named:
			t.Errorf("%s: nothing was said of %s, without an error", at, subject)
		case got != "" && got != want[subject]:
			t.Errorf("%s: %s is told as %q, and is %q", at, subject, got, want[subject])
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(told)) {
		if _, known := want[subject]; !known {
			t.Errorf("%s: %s is told, which is not there", at, subject)
		}
	}
}

// calls lists one call of every ability.
func calls() []call {
	return []call{
		{required, checkCall},
		{"order source", pullOrdersCall},
		{"cancellation source", pullCancellationsCall},
		{"shipment sink", pushShipmentsCall},
		{"order reader", readOrdersCall},
		{"cancel sink", pushCancelsCall},
		{"inventory sink", pushInventoryCall},
		{"order sink", submitCall},
		{"order look-up", findCall},
		{"order list", listCall},
		{"cancel", cancelCall},
		{"shipment source", pullShipmentsCall},
		{"inventory source", pullInventoryCall},
		{"sites", sitesCall},
		{"address check", addressCall},
		{"package tracking", trackCall},
	}
}

func checkCall(w *world) scene {
	return scene{do: func(ctx context.Context) (claims, []error) {
		r, err := w.conn.Check(ctx)
		return claims{"account": r.Account, "mode": string(r.Mode), "missing": strings.Join(r.Missing, "; ")}, []error{err}
	}}
}

func pullOrdersCall(w *world) scene {
	w.placed(3)
	src := use[connectors.OrderSource](w)
	return scene{do: func(ctx context.Context) (claims, []error) {
		told, cursor := claims{}, ""
		for range maxPages {
			page, err := src.PullOrders(ctx, connectors.OrdersQuery{Cursor: cursor, Limit: 10})
			if err != nil {
				return told, []error{err}
			}
			for _, o := range page.Orders {
				told[o.Number] = describe(o)
			}
			if cursor = page.Cursor; !page.More {
				break
			}
		}
		return told, nil
	}}
}

func pullCancellationsCall(w *world) scene {
	orders := w.placed(2)
	w.done(at[Voider](w).VoidOrder(orders[0].ExternalID))
	src := use[connectors.CancellationSource](w)
	return scene{do: func(ctx context.Context) (claims, []error) {
		page, err := src.PullCancellations(ctx, connectors.CancellationsQuery{Limit: 10, Watch: idsOf(orders)})
		told := claims{}
		for _, c := range page.Cancelled {
			told[string(c.ID)] = c.Status
		}
		return told, []error{err}
	}}
}

func pushShipmentsCall(w *world) scene {
	o := w.placed(1)[0]
	pushes := []connectors.ShipmentPush{parcelOf(o, "k-1", "TRACK1", 1)}
	sink := use[connectors.ShipmentSink](w)
	return scene{
		do: func(ctx context.Context) (claims, []error) {
			out, err := sink.PushShipments(ctx, pushes)
			return nil, w.outcomes(err, len(pushes), len(out), func(i int) error { return out[i].Err })
		},
		effect: func() string { return w.parcels(o.ExternalID) },
	}
}

// readOrdersCall reads two orders, one of which we have shipped. Gone is what the
// cart says of an order, never what a request that failed says.
func readOrdersCall(w *world) scene {
	orders := w.placed(2)
	w.shipWhole(orders[0], "TRACK1")
	reader := use[connectors.OrderReader](w)
	return scene{do: func(ctx context.Context) (claims, []error) {
		got, err := reader.ReadOrders(ctx, idsOf(orders))
		told := claims{}
		for _, o := range got {
			told[o.Number] = describe(o)
		}
		return told, []error{err}
	}}
}

// outcomes lists the errors of a batch's parts, and after them the batch's own.
// The calls here have one part.
func (w *world) outcomes(err error, want, got int, of func(int) error) []error {
	if want != got {
		w.t.Errorf("%d outcomes for %d parts, with error %v", got, want, err)
		return []error{err}
	}
	var errs []error
	for i := range got {
		errs = append(errs, of(i))
	}
	if err != nil && errors.Join(errs...) == nil {
		w.t.Errorf("the batch failed, and none of its parts did: %v", err)
	}
	return append(errs, err)
}

func pushCancelsCall(w *world) scene {
	o := w.placed(1)[0]
	sink := use[connectors.CancelSink](w)
	return scene{
		do: func(ctx context.Context) (claims, []error) {
			out, err := sink.PushCancels(ctx, []connectors.CancelPush{{Key: "c-1", Order: o.ExternalID}})
			return nil, w.outcomes(err, 1, len(out), func(i int) error { return out[i].Err })
		},
		effect: func() string { return fmt.Sprint("voided ", w.voided(o.ExternalID)) },
	}
}

func pushInventoryCall(w *world) scene {
	w.done(at[Shelf](w).SetLevel(sku(1), relay.Units(5)))
	w.done(at[Shelf](w).SetLevel(sku(2), relay.Units(6)))
	push := connectors.InventoryPush{Key: "inv-1", Targets: []connectors.StockTarget{{SKU: sku(1), Available: relay.Units(9)}}}
	sink := use[connectors.InventorySink](w)
	return scene{
		do: func(ctx context.Context) (claims, []error) {
			out, err := sink.PushInventory(ctx, push)
			return nil, w.outcomes(err, 1, len(out), func(i int) error { return out[i].Err })
		},
		effect: func() string { return fmt.Sprint(w.level(sku(1)), " and ", w.level(sku(2))) },
	}
}

func submitCall(w *world) scene {
	w.stocked()
	o := w.order()
	sink := use[connectors.OrderSink](w)
	p, err := sink.PrepareOrder(o)
	w.good(err)
	from := time.Now()
	return scene{
		do: func(ctx context.Context) (claims, []error) {
			_, err := sink.SubmitOrder(ctx, p)
			w.takeIn()
			return nil, []error{err}
		},
		effect: func() string { return w.depot() },
		// It is never sent again on a guess: it is looked for, and found if it is there.
		settle: func(failed bool) {
			look, ok := w.conn.(connectors.OrderLookup)
			if !ok {
				return
			}
			held := len(w.held())
			require.LessOrEqual(w.t, held, 1, "one call made several orders")
			got, err := look.FindOrders(w.ctx(), connectors.LookupQuery{Orders: []connectors.LookupRequest{{Order: o, SentFrom: from, SentTo: time.Now()}}, Owned: nobodys})
			w.good(err)
			require.Len(w.t, got, 1)
			require.Len(w.t, got[0].Matches, held, "the look-up finds what is there")
			require.True(w.t, held == 1 || got[0].Certain, "with the whole list read, the order's absence is certain")
		},
	}
}

func findCall(w *world) scene {
	w.stocked()
	there, absent := w.order(), w.order()
	w.submit(there)
	look := use[connectors.OrderLookup](w)
	from := time.Now()
	return scene{do: func(ctx context.Context) (claims, []error) {
		got, err := look.FindOrders(ctx, connectors.LookupQuery{Owned: nobodys, Orders: []connectors.LookupRequest{
			{Order: there, SentFrom: from, SentTo: time.Now()}, {Order: absent, SentFrom: from, SentTo: time.Now()},
		}})
		if err != nil {
			return nil, []error{err}
		}
		require.Len(w.t, got, 2)
		return claims{there.Number: finding(got[0]), absent.Number: finding(got[1])}, nil
	}}
}

// finding is what a look-up claims.
func finding(l connectors.Lookup) string {
	switch {
	case len(l.Matches) > 0:
		var ids []string
		for _, m := range l.Matches {
			ids = append(ids, string(m.ID))
		}
		return "found " + strings.Join(ids, ", ")
	case l.Certain:
		return "surely absent"
	}
	return ""
}

func listCall(w *world) scene {
	w.stocked()
	for range 2 {
		w.submit(w.order())
	}
	list := use[connectors.OrderLister](w)
	return scene{do: func(ctx context.Context) (claims, []error) {
		told, cursor := claims{}, ""
		for range maxPages {
			page, err := list.ListOrders(ctx, connectors.OrderListQuery{Cursor: cursor})
			if err != nil {
				return nil, []error{err}
			}
			for _, o := range page.Orders {
				told[string(o.ID)] = string(o.Token)
			}
			if cursor = page.Cursor; !page.More {
				if page.Partial {
					told = nil
				}
				break
			}
		}
		return told, nil
	}}
}

func cancelCall(w *world) scene {
	w.stocked()
	id := w.submit(w.order())
	c := use[connectors.Canceller](w)
	return scene{
		do: func(ctx context.Context) (claims, []error) {
			a, err := c.CancelOrder(ctx, id)
			w.public("cancel's evidence", a.Evidence)
			told := string(a.Result)
			if a.Result == connectors.CancelPending {
				told = "" // nothing is said of how it ends
			}
			return claims{"order": told}, []error{err}
		},
		// Asked again, it is cancelled: a cancel that went astray is no cancel.
		settle: func(bool) {
			_, err := c.CancelOrder(w.ctx(), id)
			w.good(err)
			w.takeIn()
			require.True(w.t, w.held()[0].Cancelled, "the order is cancelled in the end")
		},
	}
}

func pullShipmentsCall(w *world) scene {
	w.stocked()
	var open []connectors.OpenOrder
	for range 3 {
		open = append(open, connectors.OpenOrder{ID: w.submit(w.order()), AcceptedAt: time.Now()})
	}
	w.ship(open[1].ID, parcel(1))
	w.ship(open[2].ID, parcel(2), parcel(3))
	src := use[connectors.ShipmentSource](w)
	return scene{do: func(ctx context.Context) (claims, []error) {
		told, cursor := claims{}, ""
		for _, o := range open {
			told[string(o.ID)] = ""
		}
		for range maxPages {
			page, err := src.PullShipments(ctx, connectors.ShipmentsQuery{Cursor: cursor, Open: open})
			if err != nil {
				return nil, []error{err}
			}
			for _, u := range page.Updates {
				if u.Progress != connectors.InProgress && u.Progress != connectors.Received || len(u.Packages) > 0 {
					told[string(u.ID)] = describeUpdate(u)
				}
			}
			if cursor = page.Cursor; !page.More {
				break
			}
		}
		return told, nil
	}}
}

func pullInventoryCall(w *world) scene {
	for i := range 3 {
		w.done(at[Depot](w).Stock(code(i+1), relay.Units(int64(10*i))))
	}
	return scene{do: func(ctx context.Context) (claims, []error) {
		told, partial, err := w.pullLevels(ctx, 2)
		if partial {
			for i := range 3 {
				if _, ok := told[string(code(i+1))]; !ok {
					told[string(code(i+1))] = ""
				}
			}
		}
		return told, []error{err}
	}}
}

func sitesCall(w *world) scene {
	return scene{do: func(ctx context.Context) (claims, []error) {
		sites, err := use[connectors.SiteLister](w).Sites(ctx)
		told := claims{}
		for _, s := range sites {
			told[s.ID] = s.Name
		}
		return told, []error{err}
	}}
}

func addressCall(w *world) scene {
	return scene{do: func(ctx context.Context) (claims, []error) {
		v, err := use[connectors.AddressChecker](w).CheckAddress(ctx, canaryAddress())
		if len(v.Problems) > 0 { // it fails open: a check that failed finds nothing wrong
			return claims{"address": "bad"}, []error{err}
		}
		return claims{"address": "good"}, []error{err}
	}}
}

func trackCall(w *world) scene {
	w.stocked()
	w.ship(w.submit(w.order()), parcel(1), parcel(2))
	packages := []relay.Package{parcel(1), parcel(2)}
	return scene{do: func(ctx context.Context) (claims, []error) {
		got, err := use[connectors.PackageTracker](w).TrackPackages(ctx, packages)
		if err != nil {
			return nil, []error{err}
		}
		require.Len(w.t, got, len(packages))
		told := claims{}
		for i, g := range got {
			w.saw(g.Err)
			told[packages[i].Key()] = g.Status
		}
		return told, nil
	}}
}
