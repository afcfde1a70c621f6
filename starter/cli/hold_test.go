package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (l *fakeLedger) PreviewHeld(_ context.Context, q store.HeldQuery, first int) (store.HeldPreview, error) {
	l.calls++
	var p store.HeldPreview
	for _, o := range l.orders {
		if o.Merchant != q.Merchant || o.State != relay.OrderHeld || q.Reason != "" && o.Hold.Reason != q.Reason ||
			len(q.References) > 0 && !slices.Contains(q.References, o.Reference) ||
			q.SKU != "" && !slices.ContainsFunc(o.Lines, func(l relay.Line) bool { return l.SKU == q.SKU }) {
			continue
		}
		p.Orders++
		if o.Hold.Reason == relay.HoldUnknownOutcome {
			p.Unknown++
		}
		if o.Hold.There {
			p.There++
		}
		if len(p.First) < first {
			p.First = append(p.First, o.OrderSummary)
		}
	}
	return p, nil
}

// HoldOrder does as the ledger does: what waits to be sent is put on hold.
func (l *fakeLedger) HoldOrder(_ context.Context, id relay.OrderID, hold relay.Hold, actor string) (store.HoldAnswer, error) {
	for i := range l.orders {
		o := &l.orders[i]
		if o.ID != id {
			continue
		}
		a := store.HoldAnswer{State: o.State}
		if o.Hold != nil {
			a.Reason = o.Hold.Reason
		}
		if a.Held = o.State == relay.OrderNew || (o.State == relay.OrderHeld && a.Reason.ResendsNightly() && !o.Hold.There); a.Held {
			l.heldBy = actor + ": " + hold.Headline()
			o.State, o.Hold = relay.OrderHeld, &store.HoldSummary{Reason: hold.Reason, Fields: hold.Fields, Since: noon, HeldAt: noon}
		}
		return a, nil
	}
	return store.HoldAnswer{}, store.ErrNotFound
}

func (l *fakeLedger) Stock(context.Context, store.Merchant, relay.Mappings) (store.Stock, error) {
	return store.Stock{
		"4006381": {Reported: relay.Units(5), Free: 1, ChangedAt: evening},
		"4006380": {Reported: relay.Units(9), Free: 9, ChangedAt: evening},
	}, nil
}

func (l *fakeLedger) Forecast(_ context.Context, m store.Merchant, _ relay.Mappings, now time.Time, key func(relay.Reference) string) ([]store.Forecast, error) {
	if m.ID != "acme" {
		return nil, nil
	}
	item := func(sku relay.SKU, code relay.ItemCode, units int64) []relay.OrderItem {
		return []relay.OrderItem{{Line: "1", SKU: sku, Item: relay.Item{Code: code, Units: units}}}
	}
	list := []store.Forecast{
		{Reference: "1051", Hold: store.HoldSummary{Reason: relay.HoldWarehouseUnreachable, Since: now.Add(-time.Minute), HeldAt: now.Add(-time.Minute)}, Items: item("CUP", "4006380", 3)},
		{Reference: "SO-1042", Hold: *l.orders[0].Hold, Items: item("MUG", "4006381", 2), Short: []store.Shortage{{Code: "4006381", Needed: 2, Free: 1}}},
		{Reference: "1052", Hold: store.HoldSummary{Reason: relay.HoldRejected, Code: "E9"}, Items: item("MUG BLUE", "4006381", 1)},
		{Reference: "1053", Hold: store.HoldSummary{Reason: relay.HoldInsufficientInventory}, Items: item("HAT", "4006399", 1), Short: []store.Shortage{{Code: "4006399", Needed: 1, Unknown: true}}},
		{Reference: "1054", Hold: store.HoldSummary{Reason: relay.HoldUnknownItem}, Kept: &relay.Hold{Reason: relay.HoldUnknownItem, Fields: []relay.Problem{{Field: "lines[0].sku", Value: "GONE"}}}},
	}
	for i := range list {
		f := &list[i]
		f.Cart, f.Number = "main", "#"+string(f.Reference)
		var err error
		if f.Resend, err = f.Hold.NextResend(m.Resend, key(f.Reference), now); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// What is asked of the merchant's workflow, however orders are named.
func TestHoldRequests(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		asked string
	}{
		"release by order": {[]string{"release", "--order", "#SO-1042", "--order", "1044", "--order", "so-1042"},
			`merchant/acme release-orders {"references":["1044","SO-1042"],"actor":"clerk"}`},
		"release by reference": {[]string{"release", "--reference", "1044"}, `merchant/acme release-orders {"references":["1044"],"actor":"clerk"}`},
		"release by SKU":       {[]string{"release", "--sku", "MUG, blue", "--actor", "ops"}, `merchant/acme release-orders {"sku":"MUG, blue","actor":"ops"}`},
		"cancel by reason": {[]string{"cancel", "--reason", "bad_address", "--why", "nobody lives there"},
			`merchant/acme cancel-held {"reason":"bad_address","actor":"clerk","why":"nobody lives there"}`},
		"cancel all": {[]string{"cancel", "--all", "--why", "closing down"}, `merchant/acme cancel-held {"all":true,"actor":"clerk","why":"closing down"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			w.engine.answers[workflows.ReleaseOrders] = workflows.ReleaseAnswer{Released: len(c.args[1:]) / 2}
			_, _, stderr := w.ferry(t, append([]string{"hold", c.args[0], "--merchant", "acme"}, c.args[1:]...)...)
			require.Empty(t, stderr)
			require.Equal(t, []string{c.asked}, w.engine.asked)
		})
	}
}

// A preview changes nothing, and tells what would be meant.
func TestHoldPreviews(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
		code int
	}{
		"release":          {[]string{"release", "--all"}, "would be released: 2 of 2 orders of merchant acme on hold\n1 of them may be at the warehouse, and would be looked for first\n", exitDone},
		"cancel by SKU":    {[]string{"cancel", "--sku", "MUG", "--why", "x"}, "would be cancelled: 1 of 1 order of merchant acme on hold with a line of MUG\n\nMERCHANT", exitDone},
		"named":            {[]string{"release", "--reference", "1044"}, "would be released: 1 of 1 named order of merchant acme\n", exitDone},
		"named, not held":  {[]string{"release", "--order", "60002"}, "would be released: 0 of 1 named order of merchant acme; 1 not on hold\n", exitFailed},
		"none for a cause": {[]string{"cancel", "--reason", "operator", "--why", "x"}, "would be cancelled: 0 of 0 orders of merchant acme on hold for operator\n", exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			code, stdout, stderr := w.ferry(t, append([]string{"hold", c.args[0], "--merchant", "acme", "--dry-run"}, c.args[1:]...)...)
			require.Equal(t, c.code, code, stderr)
			require.True(t, strings.HasPrefix(stdout, c.says), stdout)
			require.Empty(t, w.engine.asked)
		})
	}
	w := answering(t)
	for range 30 {
		w.ledger.orders = append(w.ledger.orders, w.ledger.orders[0])
	}
	_, stdout, _ := w.ferry(t, "hold", "release", "--merchant", "acme", "--reason", "insufficient_inventory", "--dry-run")
	require.Contains(t, stdout, "would be released: 31 of 31 orders of merchant acme on hold")
	require.Contains(t, stdout, "\nand 21 more\n")
}

// The answer is the truth, and the exit code says whether it is what was asked for.
func TestHoldAnswersThatAreNotAsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		answer any
		code   int
		says   string
	}{
		"one was not on hold": {[]string{"release", "--order", "60002", "--order", "1044"}, workflows.ReleaseAnswer{Released: 1}, exitFailed,
			"released: 1 of 2 named orders of merchant acme; 1 not on hold\nthey go with the next batches; ferry hold list tells which the warehouse refuses again\n"},
		"more to come": {[]string{"release", "--all"}, workflows.ReleaseAnswer{Released: 1, More: true}, exitDone,
			"released: 1 of 2 orders of merchant acme on hold\nthe others are being released still\nthey go with the next batches; ferry hold list tells which the warehouse refuses again\n"},
		"pending": {[]string{"cancel", "--all", "--why", "x"}, workflows.CancelHeldAnswer{Stopped: 1, Pending: 1}, exitFailed,
			"stopped before sending: 1 of 2 orders of merchant acme on hold\nto be cancelled at the warehouse, after a look where nobody knows whether it has it: 1 order (ferry order show tells how it stands)\n"},
		"all stopped": {[]string{"cancel", "--all", "--why", "x"}, workflows.CancelHeldAnswer{Stopped: 2, More: true}, exitDone,
			"stopped before sending: 2 of 2 orders of merchant acme on hold\nthe others are being cancelled still\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			w.engine.answers[workflows.ReleaseOrders], w.engine.answers[workflows.CancelHeld] = c.answer, c.answer
			code, stdout, stderr := w.ferry(t, append([]string{"hold", c.args[0], "--merchant", "acme"}, c.args[1:]...)...)
			require.Empty(t, stderr)
			require.Equal(t, c.code, code)
			require.Equal(t, c.says, stdout)
		})
	}
}

func TestBadUsageOfHolds(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no why":           {[]string{"cancel", "--all"}, `required flag(s) "why" not set`},
		"too long a why":   {[]string{"cancel", "--all", "--why", strings.Repeat("x", 201)}, "at most 200 characters"},
		"two at once":      {[]string{"release", "--all", "--sku", "MUG"}, "none of the others can be"},
		"order and reason": {[]string{"release", "--reference", "1044", "--reason", "operator"}, "none of the others can be"},
		"too many":         {append([]string{"release"}, manyReferences(201)...), "want at most 200 at once"},
		"several orders":   {[]string{"cancel", "--order", "1043", "--why", "x"}, "--reference 1043-7ZK2Q1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			code, stdout, stderr := w.ferry(t, append([]string{"hold", c.args[0], "--merchant", "acme"}, c.args[1:]...)...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, stderr, c.says)
			require.Empty(t, stdout)
			require.Empty(t, w.engine.asked)
		})
	}
}

func manyReferences(n int) (args []string) {
	for i := range n {
		args = append(args, "--reference", "R"+strings.Repeat("A", i%10)+strings.Repeat("B", i/10%10)+strings.Repeat("C", i/100))
	}
	return args
}

func TestHoldShow(t *testing.T) {
	t.Run("scrubbed, unless it is asked for", func(t *testing.T) {
		_, stdout, _ := answering(t).ferry(t, "hold", "show", "--merchant", "acme", "--order", "SO-1042")
		require.Contains(t, stdout, "the warehouse  Not enough MUG for …\n")
		require.NotContains(t, stdout, "Main")
		_, stdout, _ = answering(t).ferry(t, "hold", "show", "--merchant", "acme", "--order", "SO-1042", "--words")
		require.Contains(t, stdout, "the warehouse  Not enough MUG for 12 Main Street\nlines[0].sku: none left for 12 Main Street\n")
	})
	t.Run("stock", func(t *testing.T) {
		for _, output := range []string{"table", "json"} {
			w := answering(t)
			w.ledger.aliases = []relay.Alias{{SKU: "MUG", Code: "4006381"}, {SKU: "CUP", Code: "4006380"}, {SKU: "HAT", Code: "4006399"}}
			w.ledger.orders[0].Lines = []relay.Line{
				{ID: "l1", SKU: "MUG", Quantity: relay.Units(2)}, {ID: "l2", SKU: "CUP", Quantity: relay.Units(1)}, {ID: "l3", SKU: "HAT", Quantity: relay.Units(1)}}
			_, stdout, _ := w.ferry(t, "hold", "show", "--merchant", "acme", "--order", "SO-1042", "--output", output)
			matchGolden(t, "testdata/hold-show-stock."+output, stdout)
		}
	})
	t.Run("without Temporal", func(t *testing.T) {
		w := answering(t)
		w.dialErr = context.DeadlineExceeded
		code, stdout, _ := w.ferry(t, "hold", "show", "--merchant", "acme", "--order", "1044")
		require.Zero(t, code)
		require.Contains(t, stdout, "problem  reach Temporal")
		require.Contains(t, stdout, "a release: it is looked for again, and never sent blindly")
	})
	t.Run("not on hold", func(t *testing.T) {
		code, stdout, stderr := answering(t).ferry(t, "hold", "show", "--merchant", "acme", "--order", "60002")
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "order 1043 of merchant acme is not on hold: shipped, warehouse order 60002")
	})
}

// Every command that a hold names is one that ferry takes, and every hold says what would end it.
func TestRemediesAreCommands(t *testing.T) {
	for _, r := range relay.HoldReasons() {
		require.NotEmpty(t, ends(store.HoldSummary{Reason: r}), r)
		require.NotEmpty(t, ends(store.HoldSummary{Reason: r, There: true}), r)
		files(t)
		w := answering(t)
		d := w.ledger.orders[0]
		d.Hold = &store.HoldSummary{Reason: r}
		m := w.ledger.merchants[0]
		m.PausedAt = evening
		for _, line := range remedies(d, m) {
			w := answering(t)
			code, _, stderr := w.ferry(t, shellWords(t, line)[1:]...)
			require.Zero(t, code, "%s: %s%s", r, line, stderr)
		}
	}
}

func TestHoldForecast(t *testing.T) {
	_, stdout, _ := answering(t).ferry(t, "hold", "forecast", "--merchant", "acme")
	require.Contains(t, stdout, "5 orders of merchant acme on hold, next resent from 2026-11-22T09:00:00Z to 2026-11-22T09:10:00Z\n")
	require.Contains(t, stdout, "2 covered by today's stock, 1 short, 1 not known, 1 kept by our own checks\n")
	require.Contains(t, stdout, "1 of 4006381 short")

	_, stdout, stderr := answering(t).ferry(t, "hold", "forecast", "--merchant", "acme", "--limit", "1", "--output", "json")
	require.Contains(t, stderr, "the first 1 are listed, and there are more")
	require.Contains(t, stdout, `"more": true`)
	require.Contains(t, stdout, `"orders": 5`, "the totals are of all")

	_, stdout, _ = answering(t).ferry(t, "hold", "forecast", "--merchant", "zeta")
	require.Equal(t, "merchant zeta is paused: nothing is sent before it is resumed\nno order of merchant zeta is sent again by the clock\n", stdout)
}

// The time that ferry tells is the time at which the hold's workflow resends,
// be it at night or sooner.
func TestNextResend(t *testing.T) {
	m := newFakeLedger().merchants[0]
	for _, r := range []relay.HoldReason{relay.HoldRejected, relay.HoldWarehouseUnreachable} {
		h := store.HoldSummary{Reason: r, Since: noon.Add(-time.Minute), HeldAt: noon.Add(-time.Minute)}
		v := newHoldView(h, m, workflows.HoldID("acme", "SO-1042"), noon, false)
		want, err := h.NextResend(m.Resend, "hold/acme/SO-1042", noon)
		require.NoError(t, err)
		require.Equal(t, nextResend, v.Next)
		require.True(t, want.Equal(*v.NextAt))
		require.Equal(t, r == relay.HoldWarehouseUnreachable, v.NextAt.Before(noon.Add(time.Hour)))
	}
}

func TestHoldViewOfAClockThatCanNotBeRead(t *testing.T) {
	v := newHoldView(store.HoldSummary{Reason: relay.HoldRejected}, store.Merchant{}, "hold/acme/1", noon, false)
	require.Equal(t, nextPerson, v.Next)
	require.Nil(t, v.NextAt)
}

// A person's hold is written in the ledger, whatever becomes of Temporal.
func TestOrderHold(t *testing.T) {
	hold := func(w *world, order string) (int, string, string) {
		return w.ferry(t, "order", "hold", "--merchant", "acme", "--reference", order, "--reason", "ask first", "--actor", "ops")
	}
	w := answering(t)
	code, stdout, stderr := hold(w, "1043-7ZK2Q1")
	require.Zero(t, code, stderr)
	require.Equal(t, "1043-7ZK2Q1: on hold until a person releases or cancels it\n", stdout)
	require.Equal(t, "operator ops: operator: ask first", w.ledger.heldBy)
	require.Equal(t, []string{`merchant/acme sync-now {"connection":"warehouse","job":"submit_orders"}`}, w.engine.asked, "so that its workflow begins")

	w = answering(t)
	w.dialErr = errors.New("refused")
	code, _, stderr = hold(w, "1043-7ZK2Q1")
	require.Zero(t, code)
	require.Contains(t, stderr, "the order is on hold; that it shows in Temporal may take some minutes")

	for name, c := range map[string]struct {
		order, says string
		change      func(*store.OrderDetail)
	}{
		"may be there": {"1044", "too late: it may be at the warehouse; it is on hold: unknown_outcome", nil},
		"shipped":      {"1043", "too late: shipped, warehouse order 60002; ferry order cancel tells whether it can be stopped", nil},
		"stuck there": {"SO-1042", "too late: on hold, and the warehouse has it as W-1 (no stock): insufficient_inventory (E17): MUG (line 1); cancel it there first", func(o *store.OrderDetail) {
			o.WarehouseOrderID, o.WarehouseStatus, o.Hold.There = "W-1", "no stock", true
		}},
		"being sent":        {"1043-7ZK2Q1", "too late: it is being handed over just now; ferry order cancel stops it as soon as the outcome is known", func(o *store.OrderDetail) { o.State = relay.OrderSubmitting }},
		"cancelled already": {"1043-7ZK2Q1", "nothing to hold: it is sending_cancelled", func(o *store.OrderDetail) { o.State = relay.OrderSendingCancelled }},
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(t)
			for i := range w.ledger.orders {
				if o := &w.ledger.orders[i]; string(o.Reference) == c.order && c.change != nil {
					c.change(o)
				}
			}
			code, stdout, _ := hold(w, c.order)
			require.Equal(t, exitFailed, code)
			require.Equal(t, c.order+": "+c.says+"\n", stdout)
			require.Empty(t, w.engine.asked)
		})
	}
	w = answering(t)
	o := &w.ledger.orders[2]
	o.State, o.Hold = relay.OrderHeld, &store.HoldSummary{Reason: relay.HoldOperator, Fields: []relay.Problem{{Field: "reason", Value: "ask first"}}}
	code, stdout, _ = hold(w, "1043-7ZK2Q1")
	require.Zero(t, code)
	require.Equal(t, "1043-7ZK2Q1: a person had put it on hold already; it is on hold: operator: ask first\n", stdout)
}

// What the warehouse has is not released, and the answer says so.
func TestReleaseOfWhatTheWarehouseHas(t *testing.T) {
	w := answering(t)
	w.engine.answers[workflows.ReleaseOrders] = workflows.ReleaseAnswer{}
	code, stdout, _ := w.ferry(t, "hold", "release", "--merchant", "zeta", "--order", "Z2")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "released: 0 of 1 named order of merchant zeta\n1 order at the warehouse already, and stuck there: not released; cancel there first (ferry hold show tells more)\n", stdout)

	w = answering(t)
	w.engine.errs[workflows.Release] = errNoWorkflow
	w.engine.answers[workflows.ReleaseOrders] = workflows.ReleaseAnswer{}
	code, stdout, _ = w.ferry(t, "order", "release", "--merchant", "zeta", "--order", "Z2")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "Z2: on hold, and the warehouse has it as PT-6 (CSR - No Stock): insufficient_inventory; cancel it there first\n", stdout)

	code, stdout, _ = answering(t).ferry(t, "hold", "cancel", "--merchant", "zeta", "--order", "Z2", "--why", "x", "--dry-run")
	require.Zero(t, code)
	require.Contains(t, stdout, "1 of them are at the warehouse, which would be asked to cancel them")
}
