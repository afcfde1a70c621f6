package cli

import (
	"context"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
)

// skuAt is a SKU at a cart.
type skuAt struct {
	sku  relay.SKU
	cart relay.ConnectionName
}

// parseAliases reads CSV with the columns sku, item_code and, if need be, cart.
// It reports every fault with its line, and returns no aliases then. carts are
// the names that a cart may have.
func parseAliases(file string, data []byte, carts []relay.ConnectionName) ([]relay.Alias, []merchantfile.Fault) {
	r := newCSVReader(file, data, carts, columnSKU, columnCode)
	var list []relay.Alias
	seen := make(map[skuAt]int) // the line that an alias is on
	faults := r.each("aliases", func(row csvRow) {
		a := relay.Alias{SKU: relay.SKU(row.cells[columnSKU]), Code: relay.ItemCode(row.cells[columnCode]), Cart: relay.ConnectionName(row.cells[columnCart])}
		key := skuAt{a.SKU, a.Cart}
		if first, twice := seen[key]; twice {
			r.fault(row.line, 1, columnSKU, "%q is on line %d already", clip(string(a.SKU)), first)
			return
		}
		seen[key] = row.line
		list = append(list, a)
	})
	if len(faults) > 0 {
		return nil, faults
	}
	return list, nil
}

// aliasRows are the rows that parseAliases reads.
func aliasRows(ctx context.Context, l mappingLedger, m relay.MerchantID, row func(cells ...string) error) error {
	return l.EachAlias(ctx, m, func(a relay.Alias) error { return row(string(a.SKU), string(a.Code), string(a.Cart)) })
}
