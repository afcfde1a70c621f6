package relay

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Package is one parcel as a warehouse reports it.
type Package struct {
	Carrier        string // the warehouse's carrier name, such as "USPS"
	Service        string // the carrier's service, if told
	TrackingNumber string // never empty
	TrackingURL    string
	TrackerID      string // the warehouse's id of the tracker, if it has one
	ShippedAt      time.Time
	// Items is what is inside; empty when the warehouse does not say.
	Items []Item
}

// Key identifies a package within its order: carrier and tracking number,
// without regard to case and blanks, so that the same parcel told twice is one.
func (p Package) Key() string {
	squeeze := func(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), "")) }
	return squeeze(p.Carrier) + ":" + squeeze(p.TrackingNumber)
}

// ShippedLine is how much of a cart line is in a shipment.
type ShippedLine struct {
	Line  LineID `json:"line"`
	Units int64  `json:"units"`
}

// Allocate spreads what is in a package over the cart lines it was ordered
// with: items of one code go to the lines that asked for that code, in the
// order's own order, up to what each still misses. shipped holds the units of
// each line that are in earlier shipments. Units beyond what was ordered, and
// codes that nobody ordered, come back as surplus: they are never told to a
// cart as one of its lines.
func Allocate(ordered []OrderItem, shipped map[LineID]int64, contents []Item) (lines []ShippedLine, surplus []Item) {
	left := make([]int64, len(ordered))
	used := make(map[LineID]int64, len(shipped))
	for i, o := range ordered {
		left[i] = o.Units
		// A line that appears twice (a kit's components) shares its shipped units in order.
		take := min(shipped[o.Line]-used[o.Line], left[i])
		if take > 0 {
			used[o.Line] += take
			left[i] -= take
		}
	}
	got := make(map[LineID]int64)
	var order []LineID
	for _, c := range contents {
		units := c.Units
		for i, o := range ordered {
			if units <= 0 { // a warehouse that reports less than nothing is not believed
				break
			}
			if o.Code != c.Code || left[i] <= 0 {
				continue
			}
			take := min(units, left[i])
			left[i] -= take
			units -= take
			if _, seen := got[o.Line]; !seen {
				order = append(order, o.Line)
			}
			got[o.Line] += take
		}
		if units > 0 {
			surplus = append(surplus, Item{Code: c.Code, Units: units})
		}
	}
	for _, l := range order {
		lines = append(lines, ShippedLine{Line: l, Units: got[l]})
	}
	return lines, surplus
}

// Remaining lists what of the order no shipment holds yet, in the order's own order.
func Remaining(ordered []OrderItem, shipped map[LineID]int64) []ShippedLine {
	total := make(map[LineID]int64)
	var order []LineID
	for _, o := range ordered {
		if _, seen := total[o.Line]; !seen {
			order = append(order, o.Line)
		}
		total[o.Line] += o.Units
	}
	var out []ShippedLine
	for _, l := range order {
		if n := total[l] - shipped[l]; n > 0 {
			out = append(out, ShippedLine{Line: l, Units: n})
		}
	}
	return out
}

// InventoryLevel is what a warehouse says it has of an item at one of its sites.
type InventoryLevel struct {
	Code     ItemCode
	Site     string // the warehouse's name of the site; "" when it has only one
	Quantity Quantity
}

// SortLevels orders levels by code and site, so that two readings compare.
func SortLevels(levels []InventoryLevel) {
	slices.SortFunc(levels, func(a, b InventoryLevel) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Site, b.Site))
	})
}
