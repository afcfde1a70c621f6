package cli

import (
	"encoding/csv"
	"io"

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

// aliasWriter writes what parseAliases reads, an alias at a time.
type aliasWriter struct{ csv *csv.Writer }

func newAliasWriter(w io.Writer) (aliasWriter, error) {
	out := csv.NewWriter(w)
	return aliasWriter{out}, out.Write([]string{columnSKU, columnCode, columnCart})
}

func (w aliasWriter) write(a relay.Alias) error {
	return w.csv.Write([]string{safeCell(string(a.SKU)), safeCell(string(a.Code)), string(a.Cart)})
}

func (w aliasWriter) close() error {
	w.csv.Flush()
	return w.csv.Error()
}
