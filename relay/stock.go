package relay

import (
	"maps"
	"slices"
)

// CodeStock is what a warehouse says it has of one item code, and which units of
// that are no longer for sale.
type CodeStock struct {
	Levels []InventoryLevel // one a site
	Booked []Booked
}

// Booked are units of accepted orders that the warehouse's figure holds still.
type Booked struct {
	// Location is where the cart whose stock is shown has the orders, as Place
	// says; "" also for the orders of other carts.
	Location string
	Units    int64
}

// ShownLevel is what a cart shows of a SKU at one of its locations, and how that
// comes about.
type ShownLevel struct {
	Location string // "" is the cart's own
	Parts    []PartLevel
	// Known says that the warehouse tells of every part at this location. What is
	// not known is never shown, least of all as 0.
	Known bool
	// Whole is how many of the SKU the free units of its parts make.
	Whole int64
	// Available is Whole, or 0 where that is below the floor.
	Available int64
}

// PartLevel is what one location of a cart has of an item code. Free is Reported
// less Booked, less Moved, cut to whole units, less Kept, and never below 0.
type PartLevel struct {
	Item              // of which so many units make one of the SKU: more than 1 in kits
	Sites    []string // of the warehouse, whose figures are summed; none: nothing is known
	Reported Quantity // by the warehouse
	Booked   int64    // of orders that the cart has at this location
	Moved    Quantity // more that is booked, or short, at other locations of the cart than these have
	Kept     int64    // by the buffers
	Free     int64
}

// Show computes what a cart shows of a SKU that is made of the given parts, at
// its own location and, in the order of their ids, at the others.
//
// Which site an order leaves from is the warehouse's to decide. Its units are
// taken off where the cart has the order, those of other carts' orders off the
// cart's own location, and what a location can't bear off the others, its own
// first: all locations together never show more than there is.
//
// What is kept back is stock, so the buffers are taken off the parts; the floor
// is about what is shown, so it is held against the number of the SKU.
func (r StockRules) Show(parts []Item, stock map[ItemCode]CodeStock) []ShownLevel {
	places := r.places()
	out := make([]ShownLevel, len(places))
	for _, part := range parts {
		for i, level := range r.split(places, stock[part.Code]) {
			level.Item = part
			out[i].Parts = append(out[i].Parts, level)
		}
	}
	for i := range out {
		out[i].Location = places[i]
		out[i].conclude(r.Floor)
	}
	return out
}

// Place is the location that a cart's order counts for: the one it is at, if the
// rules name it, else the cart's own.
func (r StockRules) Place(location string) string {
	if _, named := r.Locations[location]; named {
		return location
	}
	return ""
}

// places are the cart's locations, its own first.
func (r StockRules) places() []string {
	return append([]string{""}, slices.Sorted(maps.Keys(r.Locations))...)
}

// placeOf is the index of the location for which a site counts, -1 for none.
// The first that names the site has it, so that no unit is shown twice.
func (r StockRules) placeOf(places []string, site string) int {
	if slices.Contains(r.Sites, site) {
		return 0
	}
	for i, p := range places {
		if i > 0 && slices.Contains(r.Locations[p], site) {
			return i
		}
	}
	if r.Sites == nil {
		return 0
	}
	return -1
}

// split gives each location its share of an item code.
func (r StockRules) split(places []string, s CodeStock) []PartLevel {
	out := make([]PartLevel, len(places))
	for _, l := range s.Levels {
		if i := r.placeOf(places, l.Site); i >= 0 {
			out[i].Sites = append(out[i].Sites, l.Site)
			out[i].Reported += l.Quantity
		}
	}
	for _, b := range s.Booked {
		out[max(slices.Index(places, b.Location), 0)].Booked += b.Units
	}
	free := make([]Quantity, len(out))
	var short Quantity
	for i, p := range out {
		free[i] = p.Reported - Quantity(p.Booked)*quantityScale
		short += max(-free[i], 0)
		free[i] = max(free[i], 0)
	}
	for i := range out {
		out[i].Moved = min(short, free[i])
		short -= out[i].Moved
		units, _ := (free[i] - out[i].Moved).Whole()
		out[i].Kept = r.kept(units)
		out[i].Free = units - out[i].Kept
	}
	return out
}

// kept is how many of the free units are kept back: the buffer, and then so many
// percent of the rest, rounded up.
func (r StockRules) kept(units int64) int64 {
	buffer := min(max(r.Buffer, 0), units)
	percent := min(max(r.BufferPercent, 0), 100)
	return buffer + ((units-buffer)*percent+99)/100
}

// conclude computes the number of the SKU from its parts.
func (l *ShownLevel) conclude(floor int64) {
	l.Known = len(l.Parts) > 0
	for i, p := range l.Parts {
		l.Known = l.Known && len(p.Sites) > 0
		if n := p.Free / max(p.Units, 1); i == 0 || n < l.Whole {
			l.Whole = n
		}
	}
	if l.Whole >= floor {
		l.Available = l.Whole
	}
}
