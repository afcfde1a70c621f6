package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) holdForecastCommand() *cobra.Command {
	var id relay.MerchantID
	var limit int
	cmd := a.verb(cobra.Command{
		Use:   "forecast",
		Short: "Tell what is resent next, and what today's stock covers",
		Long: `Tell which orders on hold are sent again by the clock, and when: all of them at the
merchant's next resend hour, over some ten minutes, those that could not reach the
warehouse also sooner. Of each it is told whether the stock that the warehouse last
reported covers it, after all that is promised to others and to those before it, or
what is short. What an order was refused for besides stock may stand all the same.
The totals are of all these orders, however few are listed.`,
		Example: `  ferry hold forecast --merchant acme
  ferry hold forecast --merchant acme --output json`,
	}, func(ctx context.Context, _ []string) error { return a.forecast(ctx, id, limit) })
	merchantFlag(cmd, &id)
	limitFlag(cmd, &limit)
	needs(cmd, "merchant")
	return cmd
}

func (a *app) forecast(ctx context.Context, id relay.MerchantID, limit int) error {
	l, m, err := a.merchant(ctx, id)
	if err != nil {
		return err
	}
	mappings, err := translation(ctx, l, m)
	if err != nil {
		return err
	}
	now := a.parts.now()
	list, err := l.Forecast(ctx, m, mappings, now, func(r relay.Reference) string { return workflows.HoldID(id, r) })
	if err != nil {
		return err
	}
	stock, err := l.Stock(ctx, m, mappings)
	if err != nil {
		return err
	}
	from, err := m.Resend.Next(now, 0)
	if err != nil {
		return err
	}
	v := newForecastView(m, list, stock)
	v.From, v.To = from.UTC(), from.Add(relay.ResendStagger).UTC()
	if len(v.Orders) > limit {
		v.Orders, v.More = v.Orders[:limit], true
		a.sayMore(limit)
	}
	return a.print(v)
}

// What stock lets expect of a resend.
const (
	expectCovered = "covered" // today's stock covers the order
	expectShort   = "short"   // it does not
	expectUnknown = "unknown" // the warehouse names some of it not at all, and what it names is covered
	expectKept    = "kept"    // our own checks keep it before it is sent
)

type forecastView struct {
	Merchant relay.MerchantID `json:"merchant"`
	Paused   bool             `json:"paused"` // nothing is sent before the merchant is resumed
	From     time.Time        `json:"from"`   // of the next resend hour
	To       time.Time        `json:"to"`
	Totals   forecastTotals   `json:"totals"`
	Orders   []forecastOrder  `json:"orders"` // in the order in which they are sent
	Items    []forecastItem   `json:"items"`
	More     bool             `json:"more"` // there are more orders than asked for
}

type forecastTotals struct {
	Orders  int `json:"orders"`
	Covered int `json:"covered"`
	Short   int `json:"short"`
	Unknown int `json:"unknown"`
	Kept    int `json:"kept"`
}

type forecastOrder struct {
	Reference relay.Reference      `json:"reference"`
	Number    string               `json:"number"`
	Cart      relay.ConnectionName `json:"cart"`
	Reason    relay.HoldReason     `json:"reason"`
	Headline  string               `json:"headline"`
	ResendAt  time.Time            `json:"resend_at"`
	Expect    string               `json:"expect"`             // "covered", "short", "unknown" or "kept"
	Short     []store.Shortage     `json:"short,omitempty"`    // with "short" and "unknown"
	KeptFor   string               `json:"kept_for,omitempty"` // with "kept"
}

// forecastItem is what all these orders together need of an item code.
type forecastItem struct {
	Code     relay.ItemCode `json:"code"`
	SKUs     []relay.SKU    `json:"skus"`
	Needed   int64          `json:"needed"`
	Covered  int64          `json:"covered"`  // of it, by orders that are covered
	Reported relay.Quantity `json:"reported"` // by the warehouse, over its sites
	Free     int64          `json:"free"`     // of it, promised to no other order
	Missing  int64          `json:"missing"`  // units that would have to come for all orders to be covered
	Unknown  bool           `json:"unknown"`  // the warehouse names no such code
}

func newForecastView(m store.Merchant, list []store.Forecast, stock store.Stock) forecastView {
	v := forecastView{Merchant: m.ID, Paused: !m.PausedAt.IsZero(), Orders: []forecastOrder{}, Totals: forecastTotals{Orders: len(list)}}
	items := make(map[relay.ItemCode]*forecastItem)
	for _, f := range list {
		o := forecastOrder{
			Reference: f.Reference, Number: f.Number, Cart: f.Cart, Reason: f.Hold.Reason, Headline: f.Hold.Headline(),
			ResendAt: f.Resend.UTC(), Expect: expectCovered, Short: f.Short,
		}
		switch {
		case f.Kept != nil:
			o.Expect, o.KeptFor = expectKept, f.Kept.Headline()
			v.Totals.Kept++
		case len(f.Short) == 0:
			v.Totals.Covered++
		case !slices.ContainsFunc(f.Short, func(s store.Shortage) bool { return !s.Unknown }):
			o.Expect = expectUnknown
			v.Totals.Unknown++
		default:
			o.Expect = expectShort
			v.Totals.Short++
		}
		v.Orders = append(v.Orders, o)
		for _, it := range f.Items {
			t := items[it.Code]
			if t == nil {
				level, known := stock[it.Code]
				t = &forecastItem{Code: it.Code, Reported: level.Reported, Free: level.Free, Unknown: !known}
				items[it.Code] = t
			}
			t.Needed += it.Units
			if o.Expect == expectCovered {
				t.Covered += it.Units
			}
			if !slices.Contains(t.SKUs, it.SKU) {
				t.SKUs = append(t.SKUs, it.SKU)
			}
		}
	}
	v.Items = []forecastItem{}
	for _, code := range slices.Sorted(maps.Keys(items)) {
		t := items[code]
		slices.Sort(t.SKUs)
		t.Missing = max(t.Needed-t.Free, 0)
		v.Items = append(v.Items, *t)
	}
	return v
}

func (v forecastView) text(p *page) {
	if v.Paused {
		p.line("merchant %s is paused: nothing is sent before it is resumed", v.Merchant)
	}
	if v.Totals.Orders == 0 {
		p.line("no order of merchant %s is sent again by the clock", v.Merchant)
		return
	}
	p.line("%s of merchant %s on hold, next resent from %s to %s", relay.Many(v.Totals.Orders, "order"), v.Merchant, stamp(v.From), stamp(v.To))
	p.line("%d covered by today's stock, %d short, %d not known, %d kept by our own checks", v.Totals.Covered, v.Totals.Short, v.Totals.Unknown, v.Totals.Kept)
	var rows [][]string
	for _, o := range v.Orders {
		rows = append(rows, []string{stamp(o.ResendAt), string(o.Reference), o.Headline, o.expectation()})
	}
	p.gap()
	p.table([]string{"RESENT AT", "ORDER", "ON HOLD FOR", "BY TODAY'S STOCK"}, rows)
	rows = nil
	for _, t := range v.Items {
		reported, free := t.Reported.String(), strconv.FormatInt(t.Free, 10)
		if t.Unknown {
			reported, free = "not named", ""
		}
		rows = append(rows, []string{string(t.Code), join(t.SKUs), strconv.FormatInt(t.Needed, 10), strconv.FormatInt(t.Covered, 10), reported, free, strconv.FormatInt(t.Missing, 10)})
	}
	p.section("items", []string{"CODE", "SKUS", "NEEDED", "COVERED", "REPORTED", "FREE", "MISSING"}, rows)
}

func join[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}

// expectation says in words what stock lets expect.
func (o forecastOrder) expectation() string {
	switch o.Expect {
	case expectCovered:
		if o.Reason == relay.HoldBadAddress || o.Reason == relay.HoldBadOrder || o.Reason == relay.HoldRejected {
			return "covered; what it was refused for may stand"
		}
		return "covered"
	case expectKept:
		if o.KeptFor == o.Headline {
			return "kept by our own checks"
		}
		return "kept by our own checks: " + o.KeptFor
	}
	var parts []string
	for _, s := range o.Short {
		if s.Unknown {
			parts = append(parts, fmt.Sprintf("the warehouse names no %s", s.Code))
		} else {
			parts = append(parts, fmt.Sprintf("%d of %s short", s.Needed-s.Free, s.Code))
		}
	}
	return strings.Join(parts, ", ")
}
