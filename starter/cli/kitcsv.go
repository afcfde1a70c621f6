package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"orderferry/relay"
	"orderferry/starter/merchantfile"
	"orderferry/store"
)

// kitFile is a file of kits, and where in it they are.
type kitFile struct {
	name  string
	kits  []relay.Kit
	lines map[skuAt]int  // the first line of a kit
	parts map[partAt]int // the line of a component
}

type partAt struct {
	skuAt
	component relay.SKU
}

// parseKits reads CSV with the columns sku, component, units and, if need be,
// cart: a row for each component, and one without component and units for a kit
// that has none. It reports every fault with its line, and returns no kits then.
func parseKits(file string, data []byte, carts []relay.ConnectionName) (kitFile, []merchantfile.Fault) {
	r := newCSVReader(file, data, carts, columnSKU, columnComponent, columnUnits)
	r.filled = []string{columnSKU}
	f := kitFile{name: file, lines: make(map[skuAt]int), parts: make(map[partAt]int)}
	at := make(map[skuAt]int)
	empty := make(map[skuAt]int) // the line that says that a kit has no components
	faults := r.each("kits", func(row csvRow) {
		key := skuAt{relay.SKU(row.cells[columnSKU]), relay.ConnectionName(row.cells[columnCart])}
		c := relay.Component{SKU: relay.SKU(row.cells[columnComponent])}
		first, known := f.lines[key]
		none := c.SKU == "" && row.cells[columnUnits] == ""
		switch line, said := empty[key]; {
		case none && known:
			r.fault(row.line, 1, columnSKU, "%q is on line %d already, and has no components here", clip(string(key.sku)), first)
			return
		case said:
			r.fault(row.line, 1, columnSKU, "%q is on line %d already, and has no components there", clip(string(key.sku)), line)
			return
		case none:
			empty[key] = row.line
		case !r.need(row, columnComponent, columnUnits):
			return
		default:
			var err error
			if c.Units, err = parseUnits(row.cells[columnUnits]); err != nil {
				r.fault(row.line, row.at[columnUnits], columnUnits, "%v", err)
				return
			}
			part := partAt{key, c.SKU}
			if line, twice := f.parts[part]; twice {
				r.fault(row.line, row.at[columnComponent], columnComponent, "%q is on line %d already", clip(string(c.SKU)), line)
				return
			}
			f.parts[part] = row.line
		}
		if !known {
			f.lines[key], at[key] = row.line, len(f.kits)
			f.kits = append(f.kits, relay.Kit{SKU: key.sku, Cart: key.cart})
		}
		if !none {
			k := &f.kits[at[key]]
			k.Components = append(k.Components, c)
		}
	})
	if len(faults) > 0 {
		return kitFile{}, faults
	}
	return f, nil
}

func parseUnits(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > relay.MaxComponentUnits {
		return 0, fmt.Errorf("%q: want a whole number from 1 to %d", clip(s), relay.MaxComponentUnits)
	}
	return n, nil
}

// blame tells of kits of kits at the lines of the file that bring them about.
func (f kitFile) blame(err error) []merchantfile.Fault {
	var e *store.NestedKitsError
	if !errors.As(err, &e) {
		return nil
	}
	var out []merchantfile.Fault
	for _, n := range e.Nested {
		line, field := f.parts[partAt{skuAt{n.Kit.SKU, n.Kit.Cart}, n.Component}], columnComponent
		if line == 0 { // the kit is in the ledger: the file makes a component of it a kit
			field = columnSKU
			for key, at := range f.lines {
				if key.sku == n.Component && (line == 0 || at < line) {
					line = at
				}
			}
		}
		out = append(out, merchantfile.Fault{File: f.name, Line: max(line, 1), Column: 1, Field: field, Message: n.String()})
	}
	slices.SortStableFunc(out, func(a, b merchantfile.Fault) int { return a.Line - b.Line })
	return out
}

// kitRows are the rows that parseKits reads.
func kitRows(ctx context.Context, l mappingLedger, m relay.MerchantID, row func(cells ...string) error) error {
	list, err := l.Kits(ctx, m)
	if err != nil {
		return err
	}
	for _, k := range list {
		components := k.Components
		if len(components) == 0 { // of the kit only its SKU is known
			components = []relay.Component{{}}
		}
		for _, c := range components {
			units := ""
			if c.Units > 0 {
				units = strconv.FormatInt(c.Units, 10)
			}
			if err := row(string(k.SKU), string(c.SKU), units, string(k.Cart)); err != nil {
				return err
			}
		}
	}
	return nil
}
