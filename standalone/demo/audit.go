package demo

import (
	"context"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
)

// audit holds a merchant's books at the shop and at the warehouse against the
// ledger. It returns how many orders the warehouse has twice, and all that is wrong.
func (d *demo) audit(ctx context.Context, merchant string, w shop.Warehouse) (duplicates int, faults []string, err error) {
	books := audit.Books{Merchant: relay.MerchantID(merchant), Codes: make(map[string]string), Warehouse: w.Orders(shop.Mode)}
	for _, a := range shop.Aliases() {
		books.Codes[string(a.SKU)] = string(a.Code)
	}
	if books.Ledger, err = audit.Ledger(ctx, d.database, books.Merchant); err != nil {
		return 0, nil, err
	}
	if books.Cart, err = d.Shops.Cart.Orders(merchant); err != nil {
		return 0, nil, err
	}
	for _, f := range books.Check() {
		if f.Wrong == audit.Duplicated {
			duplicates++
		}
		faults = append(faults, f.String())
	}
	return duplicates, faults, nil
}
