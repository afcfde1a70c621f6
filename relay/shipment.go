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
func (p Package) Key() string { return squeeze(p.Carrier) + ":" + squeeze(p.TrackingNumber) }

// Same reports whether two reports may be of one package of an order: by the same
// tracking number, and the same carrier where both tell it.
func (p Package) Same(other Package) bool {
	a, b := squeeze(p.Carrier), squeeze(other.Carrier)
	return squeeze(p.TrackingNumber) == squeeze(other.TrackingNumber) && (a == b || a == "" || b == "")
}

func squeeze(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), "")) }

// ShippedLine is how much of a cart line is in a shipment.
type ShippedLine struct {
	Line  LineID `json:"line"`
	Units int64  `json:"units"`
}

// Shipped is what of an order has left. The zero value is nothing.
type Shipped struct {
	// Lines are whole units of cart lines that shipments hold.
	Lines map[LineID]int64
	// Items are units of codes that packages of known contents hold of what was
	// ordered. Where there are kits it may be more than Lines account for: parts
	// of kits that have not left whole. What Lines account for may be missing.
	Items map[ItemCode]int64
}

// Add takes over what a package holds.
func (s *Shipped) Add(a Allocation) {
	if s.Lines == nil {
		s.Lines, s.Items = make(map[LineID]int64), make(map[ItemCode]int64)
	}
	for _, l := range a.Lines {
		s.Lines[l.Line] += l.Units
	}
	for _, it := range a.Items {
		s.Items[it.Code] += it.Units
	}
}

// Allocation is what a package holds of an order.
type Allocation struct {
	// Lines are the units of cart lines that are whole with this package, in the
	// order's own order: what a cart is told. A unit of a kit is whole when all
	// of its components have left, in however many packages.
	Lines []ShippedLine
	Items []Item // what was ordered of the package's contents, by code
	// Surplus is what is beyond the order: codes that nobody ordered and units
	// beyond those that were. It is never told to a cart as one of its lines.
	Surplus []Item
}

// Allocate spreads what is in a package over the cart lines that it was ordered
// with. Units of a code are alike: they go to whatever line is whole with them,
// in the order's own order, together with those that left in earlier packages
// and made no line whole.
func Allocate(ordered []OrderItem, shipped Shipped, contents []Item) (a Allocation) {
	t := newTally(ordered, shipped)
	for _, c := range contents {
		take := min(c.Units, t.room[c.Code])
		if take > 0 { // a warehouse that reports less than nothing is not believed
			t.room[c.Code] -= take
			t.loose[c.Code] += take
			a.Items = addItem(a.Items, c.Code, take)
		}
		if rest := c.Units - max(take, 0); c.Units > 0 && rest > 0 {
			a.Surplus = append(a.Surplus, Item{Code: c.Code, Units: rest})
		}
	}
	for _, l := range t.lines {
		n := l.left
		for _, p := range l.parts {
			n = min(n, t.loose[p.Code]/p.Units)
		}
		if n > 0 {
			t.take(l, n)
			a.Lines = append(a.Lines, ShippedLine{Line: l.id, Units: n})
		}
	}
	return a
}

// Remaining lists what of the order no shipment holds yet, in the order's own
// order. shipped holds whole units of lines.
func Remaining(ordered []OrderItem, shipped map[LineID]int64) []ShippedLine {
	var out []ShippedLine
	for _, l := range newTally(ordered, Shipped{Lines: shipped}).lines {
		if l.left > 0 {
			out = append(out, ShippedLine{Line: l.id, Units: l.left})
		}
	}
	return out
}

// Begun lists the units of kits of which a part has left, and not the whole.
func Begun(ordered []OrderItem, shipped Shipped) []ShippedLine {
	t := newTally(ordered, shipped)
	var out []ShippedLine
	for _, l := range t.lines {
		n := int64(0)
		for _, p := range l.parts {
			n = max(n, (t.loose[p.Code]+p.Units-1)/p.Units)
		}
		if n = min(n, l.left); n > 0 {
			t.take(l, n)
			out = append(out, ShippedLine{Line: l.id, Units: n})
		}
	}
	return out
}

// HasKits reports whether a unit of some line is more than one unit of a code.
func HasKits(ordered []OrderItem) bool {
	seen := make(map[LineID]bool, len(ordered))
	for _, o := range ordered {
		if o.Per > 1 || seen[o.Line] {
			return true
		}
		seen[o.Line] = true
	}
	return false
}

// Codes returns the codes that the given lines were ordered with.
func Codes(ordered []OrderItem, lines []ShippedLine) map[ItemCode]bool {
	of := make(map[LineID]bool, len(lines))
	for _, l := range lines {
		of[l.Line] = true
	}
	codes := make(map[ItemCode]bool)
	for _, o := range ordered {
		if of[o.Line] {
			codes[o.Code] = true
		}
	}
	return codes
}

// tally is how an order stands: what its lines miss, and which units of codes
// have left without making a line whole.
type tally struct {
	lines []tallyLine
	room  map[ItemCode]int64 // units that were ordered and have not left
	loose map[ItemCode]int64 // units that have left, for lines that are not whole
}

type tallyLine struct {
	id    LineID
	left  int64  // whole units that no shipment holds
	parts []Item // what a unit of the line is
}

func newTally(ordered []OrderItem, shipped Shipped) tally {
	t := tally{room: make(map[ItemCode]int64), loose: make(map[ItemCode]int64)}
	at := make(map[LineID]int, len(ordered))
	for _, o := range ordered {
		per := max(o.Per, 1)
		i, seen := at[o.Line]
		if !seen {
			i = len(t.lines)
			at[o.Line] = i
			t.lines = append(t.lines, tallyLine{id: o.Line, left: max(o.Units, 0) / per})
		}
		l := &t.lines[i]
		l.left = min(l.left, max(o.Units, 0)/per)
		l.parts = append(l.parts, Item{Code: o.Code, Units: per})
	}
	whole := make(map[ItemCode]int64) // units in lines that shipments hold
	for i := range t.lines {
		l := &t.lines[i]
		done := min(max(shipped.Lines[l.id], 0), l.left)
		for _, p := range l.parts {
			t.room[p.Code] += l.left * p.Units
			whole[p.Code] += done * p.Units
		}
		l.left -= done
	}
	for code, ordered := range t.room {
		gone := min(max(shipped.Items[code], whole[code]), ordered)
		t.room[code], t.loose[code] = ordered-gone, gone-whole[code]
	}
	return t
}

// addItem adds units of a code to a short list of items, each code once.
func addItem(items []Item, code ItemCode, units int64) []Item {
	if i := slices.IndexFunc(items, func(it Item) bool { return it.Code == code }); i >= 0 {
		items[i].Units += units
		return items
	}
	return append(items, Item{Code: code, Units: units})
}

// take makes units of a line whole, as far as there are loose ones for them.
func (t tally) take(l tallyLine, units int64) {
	for _, p := range l.parts {
		t.loose[p.Code] -= min(units*p.Units, t.loose[p.Code])
	}
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
