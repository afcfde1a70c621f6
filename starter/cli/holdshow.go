package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderferry/relay"
	"orderferry/store"
	"orderferry/workflows"
)

func (a *app) holdShowCommand() *cobra.Command {
	cmd := a.showVerb(cobra.Command{
		Use:   "show",
		Short: "Show why an order is on hold, and what would end it",
		Long: `Show all there is to know of an order on hold: the reason, since when, how often
and when last it was refused, what the warehouse wrote, what comes next and when,
what would end the hold and the commands for it, what stock the warehouse reports
of what the order needs, and what the hold's workflow says. The warehouse's words
are scrubbed of the order's address; --words shows them as they came. Without an
answer from Temporal the rest is shown.`,
		Example: `  ferry hold show --merchant acme --order SO-1042
  ferry hold show --merchant acme --reference SO-1042 --words --output json`,
	}, a.showHold)
	cmd.Flags().Lookup("words").Usage = "with the warehouse's words as they came; they may quote the address"
	return cmd
}

func (a *app) showHold(ctx context.Context, o foundOrder, words bool) (result, error) {
	d, m := o.OrderDetail, o.owner
	if d.Hold == nil {
		return nil, fmt.Errorf("order %s of merchant %s is not on hold: %s (ferry order show tells more)", d.Reference, d.Merchant, whereabouts(d))
	}
	mappings, err := translation(ctx, o.ledger, m)
	if err != nil {
		return nil, err
	}
	stock, err := o.ledger.Stock(ctx, m, mappings)
	if err != nil {
		return nil, err
	}
	v := holdDetail{
		heldView: newHeldView(d.OrderSummary, m, a.parts.now(), words), Ends: ends(*d.Hold), Stock: []neededStock{},
		Commands: remedies(d, m), Workflow: a.view(ctx, workflows.HoldID(d.Merchant, d.Reference)), now: a.parts.now(),
	}
	if !words {
		v.Words = relay.Scrub(d.Hold.Words, d.ShipTo)
	}
	to, _ := mappings.Translate(d.Cart, relay.CartOrder{Lines: d.Lines}) // what stands in the way is in the headline
	for _, it := range relay.MergeItems(to.Items) {
		v.Stock = append(v.Stock, newNeededStock(it, to.Items, stock))
	}
	return v, nil
}

type holdDetail struct {
	heldView
	Ends     []string      `json:"ends"`  // what would end the hold
	Stock    []neededStock `json:"stock"` // of what the order needs; empty when it can't be translated
	Commands []string      `json:"commands"`
	Workflow workflowView  `json:"workflow"`

	now time.Time
}

// neededStock is what a warehouse has of something that an order needs.
type neededStock struct {
	Code     relay.ItemCode `json:"code"`
	SKUs     []relay.SKU    `json:"skus"`
	Needed   int64          `json:"needed"`
	Reported relay.Quantity `json:"reported"` // by the warehouse, over its sites; 0 with unknown
	Free     int64          `json:"free"`     // of it, promised to no other order
	Unknown  bool           `json:"unknown"`  // the warehouse names no such code
	Changed  *time.Time     `json:"changed_at,omitempty"`
}

func newNeededStock(it relay.Item, items []relay.OrderItem, stock store.Stock) neededStock {
	s, known := stock[it.Code]
	n := neededStock{Code: it.Code, Needed: it.Units, Reported: s.Reported, Free: s.Free, Unknown: !known, Changed: utc(s.ChangedAt)}
	for _, line := range items {
		if line.Code == it.Code && !slices.Contains(n.SKUs, line.SKU) {
			n.SKUs = append(n.SKUs, line.SKU)
		}
	}
	return n
}

// covered says in words whether there is enough.
func (n neededStock) covered() string {
	switch {
	case n.Unknown:
		return "not named by the warehouse"
	case n.Free < n.Needed:
		return fmt.Sprintf("%d short", n.Needed-n.Free)
	}
	return "yes"
}

// ends lists what would end a hold, the likeliest first.
func ends(h store.HoldSummary) []string {
	if h.There {
		return []string{"the warehouse goes on with it, ships it or cancels it: nothing is sent again", "a cancel, which the warehouse is asked for"}
	}
	var list []string
	r := h.Reason
	switch r {
	case relay.HoldInsufficientInventory:
		list = append(list, "a reading of the warehouse's stock that covers the whole order and shows a new figure for some of it")
	case relay.HoldUnknownItem:
		list = append(list, "an alias for what is named")
	case relay.HoldKitWithoutComponents:
		list = append(list, "components for the kit that is named")
	case relay.HoldUnmappedShipMethod:
		list = append(list, "a setting of the warehouse connection that gives another service")
	case relay.HoldUnknownOutcome:
		return []string{"a release: it is looked for again, and never sent blindly", "a cancel: it is looked for, and cancelled where it is"}
	case relay.HoldOperator:
		return []string{"a release", "a cancel"}
	case relay.HoldBadAddress, relay.HoldBadOrder:
		list = append(list, "a change at the cart")
	}
	switch r {
	case relay.HoldBadAddress, relay.HoldBadOrder, relay.HoldRejected, relay.HoldInsufficientInventory:
		list = append(list, "settings, aliases or kits under which another request would be sent")
	}
	return append(list, "the next resend, when the warehouse accepts it", "a release, when the warehouse accepts it", "a cancel")
}

// remedies are the commands that may end a hold.
func remedies(d store.OrderDetail, m store.Merchant) []string {
	named := fmt.Sprintf("--merchant %s --reference %s", d.Merchant, d.Reference)
	cancel := "ferry order cancel " + named + ` --reason "why"`
	if d.Hold.There {
		return []string{fmt.Sprintf("ferry merchant sync --merchant %s --connection %s --job pull_shipments", d.Merchant, m.Warehouse.Name), cancel}
	}
	list := []string{"ferry order release " + named, cancel}
	switch d.Hold.Reason {
	case relay.HoldInsufficientInventory:
		list = append(list, fmt.Sprintf("ferry merchant sync --merchant %s --connection %s --job pull_inventory", d.Merchant, m.Warehouse.Name))
	case relay.HoldUnknownItem:
		list = append(list, fmt.Sprintf("ferry alias import --merchant %s aliases.csv", d.Merchant))
	case relay.HoldKitWithoutComponents:
		list = append(list, fmt.Sprintf("ferry kit import --merchant %s kits.csv", d.Merchant))
	case relay.HoldUnmappedShipMethod, relay.HoldRejected:
		list = append(list, "ferry merchant onboard --file merchant.yaml")
	case relay.HoldBadAddress, relay.HoldBadOrder:
		list = append(list, "ferry order show "+named+" --address --words", fmt.Sprintf("ferry merchant sync --merchant %s --connection %s --job pull_orders", d.Merchant, d.Cart))
	case relay.HoldWarehouseUnreachable, relay.HoldUnknownOutcome:
		list = append(list, fmt.Sprintf("ferry connection test --merchant %s --connection %s", d.Merchant, m.Warehouse.Name))
	}
	if !m.PausedAt.IsZero() {
		list = append(list, fmt.Sprintf("ferry merchant resume --merchant %s", d.Merchant))
	}
	return list
}

func (v holdDetail) text(p *page) {
	refused, last, stuck := relay.Many(v.Attempts, "time"), stampOf(v.HeldAt), ""
	if v.Next == nextThere { // nothing was refused
		refused, last, stuck = "", "", last
	}
	p.pairs(
		[2]string{"order", string(v.Reference)},
		[2]string{"number", v.Number},
		[2]string{"merchant", string(v.Merchant)},
		[2]string{"cart", string(v.Cart)},
		[2]string{"on hold", v.Headline},
		[2]string{"since", stampOf(v.Since)},
		[2]string{"age", v.age(v.now)},
		[2]string{"refused", refused},
		[2]string{"last refused", last},
		[2]string{"stuck since", stuck},
		[2]string{"next", v.next()},
		[2]string{"warehouse order", string(v.WarehouseOrderID)},
		[2]string{"warehouse status", v.WarehouseStatus},
		[2]string{"the warehouse", v.Words},
	)
	for _, f := range v.Fields {
		p.line("%s: %s", f.Field, f.Message)
	}
	p.list("what would end it", v.Ends)
	var rows [][]string
	for _, s := range v.Stock {
		rows = append(rows, []string{string(s.Code), join(s.SKUs), strconv.FormatInt(s.Needed, 10), s.Reported.String(), strconv.FormatInt(s.Free, 10), s.covered(), stampOf(s.Changed)})
	}
	p.section("stock", []string{"CODE", "SKUS", "NEEDED", "REPORTED", "FREE", "COVERED", "FIGURE OF"}, rows)
	p.list("commands", v.Commands)
	p.gap()
	p.line("workflow %s %s", v.Workflow.ID, v.Workflow.Status)
	p.pairs([2]string{"  since", stampOf(v.Workflow.StartedAt)}, [2]string{"  last", v.Workflow.last()}, [2]string{"  problem", v.Workflow.Problem})
}

// last is what came of the last resend, by a hold's workflow: what else it tells
// for the Web UI, the ledger told already.
func (v workflowView) last() string {
	for line := range strings.Lines(v.Details) {
		if s, found := strings.CutPrefix(line, "- last: "); found {
			return strings.TrimSpace(s)
		}
	}
	return ""
}

// list prints lines below a title, after a gap.
func (p *page) list(title string, lines []string) {
	p.gap()
	p.line("%s", title)
	for _, l := range lines {
		p.line("  %s", l)
	}
}
