package demo

import (
	"context"
	"fmt"
	"strings"

	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/standalone/shop"
	"orderferry/store"
)

// audit holds a merchant's books at the shop and at the warehouse against the
// ledger. It returns how many orders the warehouse has twice, and all that is wrong.
func (d *demo) audit(ctx context.Context, merchant string, w shop.Warehouse) (duplicates int, faults []string, err error) {
	ours, err := d.ledger.Orders(ctx, store.OrderQuery{Merchant: relay.MerchantID(merchant), Limit: 1 << 30})
	if err != nil {
		return 0, nil, err
	}
	sold, err := d.Shops.Cart.Orders(merchant)
	if err != nil {
		return 0, nil, err
	}
	atCart := make(map[string]tradegecko.OrderView, len(sold))
	for _, o := range sold {
		atCart[o.Number] = o
	}
	// The description ends in the order number.
	there := make(map[string][]easypost.OrderView)
	for _, o := range w.Orders(shop.Mode) {
		number := o.Description[strings.LastIndexByte(o.Description, ' ')+1:]
		there[number] = append(there[number], o)
	}
	wrong := func(number, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s %s: %s", merchant, number, fmt.Sprintf(format, args...)))
	}
	for _, o := range ours {
		var live []easypost.OrderView
		for _, t := range there[o.Number] {
			if t.State != easypost.Refunded {
				live = append(live, t)
			}
		}
		delete(there, o.Number)
		if len(live) > 1 {
			duplicates++
			wrong(o.Number, "the warehouse has it %d times", len(live))
		}
		switch o.State {
		case relay.OrderConfirmed:
			checkConfirmed(o, live, atCart[o.Number], func(format string, args ...any) { wrong(o.Number, format, args...) })
		case relay.OrderHeld, relay.OrderSendingCancelled, relay.OrderCancelled:
			if len(live) > 0 {
				wrong(o.Number, "it is %s, but the warehouse has it as %s", o.State, live[0].ID)
			}
		default:
			wrong(o.Number, "it is still %s", o.State)
		}
		delete(atCart, o.Number)
	}
	for number := range there {
		wrong(number, "the warehouse has it, the ledger does not")
	}
	for number := range atCart {
		wrong(number, "the shop sold it, the ledger does not have it")
	}
	return duplicates, faults, nil
}

// checkConfirmed checks that all that was sold left once, and that the cart knows every parcel once.
func checkConfirmed(o store.OrderSummary, live []easypost.OrderView, cart tradegecko.OrderView, wrong func(string, ...any)) {
	if len(live) != 1 || live[0].ID != string(o.WarehouseOrderID) {
		wrong("it is confirmed as %s, but the warehouse has %d live orders", o.WarehouseOrderID, len(live))
		return
	}
	told := make(map[string]int)
	for _, f := range cart.Fulfillments {
		if f.Status == "fulfilled" {
			told[f.TrackingNumber]++
		}
	}
	for _, p := range live[0].Packages {
		if told[p.TrackingCode] != 1 {
			wrong("the cart knows parcel %s %d times", p.TrackingCode, told[p.TrackingCode])
		}
	}
	if cart.FulfillmentStatus != "shipped" {
		wrong("the cart calls it %s", cart.FulfillmentStatus)
	}
	for _, l := range cart.Lines {
		if l.Ships && l.Fulfilled != l.Ordered {
			wrong("of %s the cart has %s of %s", l.SKU, l.Fulfilled, l.Ordered)
		}
	}
}
