package relay

import (
	"cmp"
	"fmt"
	"slices"
)

// Difference is one thing in which two forms of an order differ. It holds no
// personal data: of an address, of names and of what could not be read it names
// the field only.
type Difference struct {
	Field string `json:"field"`         // "lines[MUG].quantity", "lines[MUG]", "ship_to.zip", "ship_method"
	Was   string `json:"was,omitempty"` // "" for a line that was added, and where values are not told
	Is    string `json:"is,omitempty"`  // "" for a line that was removed, and where values are not told
}

// String says it in words: "lines[MUG].quantity: 2 -> 3", "lines[CAP] added: 1",
// "ship_to.zip changed".
func (d Difference) String() string {
	switch {
	case d.Was == "" && d.Is == "":
		return d.Field + " changed"
	case d.Was == "":
		return d.Field + " added: " + d.Is
	case d.Is == "":
		return d.Field + " removed: " + d.Was
	}
	return d.Field + ": " + d.Was + " -> " + d.Is
}

// Differences lists in what two forms of an order differ, as far as it would be
// shipped: none exactly when their digests are the same. Line ids tell which
// lines are the same one, and are taken to be unique in an order.
func Differences(was, now CartOrder) []Difference {
	var out []Difference
	out = appendValue(out, "number", was.Number, now.Number)
	out = appendValue(out, "ship_method", string(was.ShipMethod), string(now.ShipMethod))
	out = appendLines(out, was.Lines, now.Lines)
	out = appendAddress(out, was.ShipTo, now.ShipTo)
	if !slices.Equal(was.Problems, now.Problems) {
		out = append(out, Difference{Field: "problems"})
	}
	return out
}

// appendValue notes a value that changed, in words that are short.
func appendValue(out []Difference, field, was, is string) []Difference {
	if was == is {
		return out
	}
	return append(out, Difference{field, orNone(was), orNone(is)})
}

func orNone(s string) string { return cmp.Or(clip(s, 60), "(none)") }

func appendLines(out []Difference, was, now []Line) []Difference {
	label := lineLabels(was, now)
	before := make(map[LineID]Line, len(was))
	for _, l := range was {
		before[l.ID] = l
	}
	kept := make(map[LineID]bool, len(now))
	for _, l := range now {
		b, ok := before[l.ID]
		kept[l.ID] = true
		if !ok {
			out = append(out, Difference{Field: label(l), Is: l.Quantity.String()})
			continue
		}
		name := label(b)
		out = appendValue(out, name+".sku", string(b.SKU), string(l.SKU))
		out = appendValue(out, name+".quantity", b.Quantity.String(), l.Quantity.String())
		if b.Name != l.Name { // it may be what a buyer had engraved
			out = append(out, Difference{Field: name + ".name"})
		}
	}
	for _, l := range was {
		if !kept[l.ID] {
			out = append(out, Difference{Field: label(l), Was: l.Quantity.String()})
		}
	}
	return out
}

// lineLabels names lines by SKU, and with the line's id where that is not enough.
func lineLabels(forms ...[]Line) func(Line) string {
	ids := make(map[SKU]LineID)
	shared := make(map[SKU]bool)
	for _, lines := range forms {
		for _, l := range lines {
			id, ok := ids[l.SKU]
			shared[l.SKU] = shared[l.SKU] || (ok && id != l.ID)
			ids[l.SKU] = l.ID
		}
	}
	return func(l Line) string {
		switch {
		case l.SKU == "":
			return fmt.Sprintf("lines[#%s]", clip(string(l.ID), 40))
		case shared[l.SKU]:
			return fmt.Sprintf("lines[%s #%s]", clip(string(l.SKU), 60), clip(string(l.ID), 40))
		}
		return fmt.Sprintf("lines[%s]", clip(string(l.SKU), 60))
	}
}

func appendAddress(out []Difference, was, now Address) []Difference {
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"name", was.Name != now.Name},
		{"company", was.Company != now.Company},
		{"street1", was.Street1 != now.Street1},
		{"street2", was.Street2 != now.Street2},
		{"city", was.City != now.City},
		{"state", was.State != now.State},
		{"zip", was.Zip != now.Zip},
		{"country", was.Country != now.Country},
		{"phone", was.Phone != now.Phone},
		{"email", was.Email != now.Email},
		{"residential", (was.Residential == nil) != (now.Residential == nil) || was.Residential != nil && *was.Residential != *now.Residential},
	} {
		if f.changed {
			out = append(out, Difference{Field: "ship_to." + f.name})
		}
	}
	return out
}
