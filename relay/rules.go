package relay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rules are how a merchant wants one cart's orders and stock to be treated.
// They are part of the merchant's file, and so have its settings version.
type Rules struct {
	Filter   Filter            `json:"filter,omitzero"`
	Methods  ShipMethods       `json:"ship_methods,omitzero"`
	Carriers map[string]string `json:"carriers,omitempty"` // warehouse's carrier -> what the cart accepts
	Stock    StockRules        `json:"stock,omitzero"`
}

// Filter says which of a cart's orders are to be shipped. An order that it
// leaves out is skipped with the reason. Words compare without regard to case
// and outer blanks. A list that is empty lets all pass.
type Filter struct {
	Statuses     []string  `json:"statuses,omitempty"`
	Payments     []string  `json:"payments,omitempty"`
	Tags         []string  `json:"tags,omitempty"`     // at least one of them
	NotTags      []string  `json:"not_tags,omitempty"` // none of them
	Locations    []string  `json:"locations,omitempty"`
	Countries    []string  `json:"countries,omitempty"` // ISO 3166-1 alpha-2
	NotCountries []string  `json:"not_countries,omitempty"`
	SKUs         []SKU     `json:"skus,omitempty"`     // every line is one of them
	NotSKUs      []SKU     `json:"not_skus,omitempty"` // no line is one of them
	Earliest     time.Time `json:"earliest,omitzero"`  // placed at or after it
}

// ShipMethods maps a cart's names for ways of shipping to the warehouse's services.
type ShipMethods struct {
	Map      map[ShipMethod]Service `json:"map,omitempty"` // names compare as FoldName has them
	Unmapped UnmappedMethod         `json:"unmapped,omitempty"`
}

// UnmappedMethod says what becomes of an order whose method is not in the map.
// An order without a method goes by the warehouse's default service.
type UnmappedMethod string

// The choices. "" is HoldUnmapped where the map names anything, else DefaultUnmapped.
const (
	HoldUnmapped    UnmappedMethod = "hold"
	DefaultUnmapped UnmappedMethod = "default" // the warehouse's default service
	PassUnmapped    UnmappedMethod = "pass"    // the method is taken to be the service
)

// StockRules say which of the warehouse's stock a cart is shown.
type StockRules struct {
	// Sites are the warehouse's sites whose stock is summed for the cart's own
	// location; nil: all that no other location has; empty: none, its stock is left alone.
	Sites []string `json:"sites,omitzero"`
	// Locations are further locations of the cart, each with the sites summed for
	// it; the key is the cart's id of the location. A site counts for one location only.
	// One without sites is left alone.
	Locations map[string][]string `json:"locations,omitempty"`
	// Floor: fewer units than this are shown as 0.
	Floor int64 `json:"floor,omitempty"`
	// Buffer units, and then BufferPercent of what is left, are kept back.
	Buffer        int64 `json:"buffer,omitempty"`
	BufferPercent int64 `json:"buffer_percent,omitempty"` // 0 to 100
}

// MaxStockRule is the most that a floor or a buffer may be.
const MaxStockRule = 1_000_000_000

// FoldName is the name of a ship method or a carrier as names are compared: in
// lower case, without outer blanks, and with one blank for each run of inner ones.
func FoldName[T ~string](name T) string {
	return strings.ToLower(strings.Join(strings.Fields(string(name)), " "))
}

// ParseUnmappedMethod refuses what is no UnmappedMethod.
func ParseUnmappedMethod(s string) (UnmappedMethod, error) {
	switch m := UnmappedMethod(s); m {
	case HoldUnmapped, DefaultUnmapped, PassUnmapped:
		return m, nil
	}
	return "", fmt.Errorf("%q: want %s, %s or %s", clip(s, 40), HoldUnmapped, DefaultUnmapped, PassUnmapped)
}

// ParseCountry reads a country's two letters, in either case.
func ParseCountry(s string) (string, error) {
	if c := countryCode(s); c != "" {
		return c, nil
	}
	return "", fmt.Errorf("country %q: want the two letters of ISO 3166-1, such as US", clip(s, 40))
}

// countryCode is s in upper case where it is two letters, else "".
func countryCode(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return s
}

// ParseEarliest reads a date, which means the first moment of that day in the
// clock's zone, or a time stamp with its zone.
func (c ResendClock) ParseEarliest(s string) (time.Time, error) {
	loc, err := c.location()
	if err != nil {
		return time.Time{}, err
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		y, m, d := day.Date()
		if at, ok := firstShown(y, m, d, 0, loc); ok {
			return at.UTC(), nil
		}
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q: want a date or a time, such as 2026-11-01 or 2026-11-01T08:00:00Z", clip(s, 40))
}

// Service returns the warehouse's service for a cart's method, "" for the
// warehouse's default. ok is false when the order is to be held for it.
func (s ShipMethods) Service(m ShipMethod) (service Service, ok bool) {
	want := FoldName(m)
	if want == "" {
		return "", true
	}
	for name, service := range s.Map {
		if FoldName(name) == want {
			return service, true
		}
	}
	switch s.Unmapped {
	case DefaultUnmapped:
		return "", true
	case PassUnmapped:
		return Service(strings.TrimSpace(string(m))), true
	case "":
		return "", len(s.Map) == 0
	}
	return "", false
}

// Carrier returns what the cart is told of a warehouse's carrier: what the map
// has for it, names compared as FoldName has them, or its own name.
func (r Rules) Carrier(carrier string) string {
	want := FoldName(carrier)
	for name, told := range r.Carriers {
		if FoldName(name) == want {
			return told
		}
	}
	return carrier
}

// Skips says in words why the filter leaves an order out, or that its cart does not
// have it ready any more; "" when neither does.
// The words hold no personal data.
//
// A status, payment, location, tag or date that the cart does not tell is none
// of those that are wanted; where traits are unknown none is asked for. A country
// that is no code, and what the connector could not read, is not judged: such an
// order is held for it instead, where somebody sees it.
func (f Filter) Skips(o CartOrder) string { return strings.Join(f.Reasons(o), "; ") }

// Reasons are what Skips tells, one by one.
func (f Filter) Reasons(o CartOrder) []string {
	if o.Traits.Unknown {
		f.Statuses, f.Payments, f.Locations, f.Tags = nil, nil, nil, nil
	}
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if o.Traits.Unready != "" { // whatever the filter: the cart tells of it again once it is ready
		say("not ready at the cart any more: %s", clip(o.Traits.Unready, 60))
	}
	wants := func(what, is string, list []string) {
		if len(list) > 0 && !listed(list, is) {
			say("%s %s, not %s", what, cmp.Or(clip(strings.TrimSpace(is), 40), "unknown"), anyOf(list))
		}
	}
	wants("status", o.Traits.Status, f.Statuses)
	wants("payment", o.Traits.Payment, f.Payments)
	if len(f.Tags) > 0 && !slices.ContainsFunc(o.Traits.Tags, func(t string) bool { return listed(f.Tags, t) }) {
		say("no tag %s", anyOf(f.Tags))
	}
	for _, t := range f.NotTags {
		if listed(o.Traits.Tags, t) {
			say("tag %s is left out", clip(t, 40))
		}
	}
	wants("location", o.Traits.Location, f.Locations)
	if c := cmp.Or(o.Traits.Country, countryCode(o.ShipTo.Country)); c != "" && !o.unread("ship_to") {
		wants("country", c, f.Countries)
		if listed(f.NotCountries, c) {
			say("country %s is left out", c)
		}
	}
	if !o.unread("lines") {
		f.skipsLines(o.Lines, say)
	}
	switch {
	case !o.PlacedAt.Before(f.Earliest):
	case o.PlacedAt.IsZero():
		say("placed at an unknown time, not from %s on", f.Earliest.UTC().Format(time.RFC3339))
	default:
		say("placed %s, before %s", o.PlacedAt.UTC().Format(time.RFC3339), f.Earliest.UTC().Format(time.RFC3339))
	}
	return why
}

// skipsLines names the first few SKUs that are not wanted. A line without a SKU
// is none of them: its order is held for it.
func (f Filter) skipsLines(lines []Line, say func(string, ...any)) {
	const most = 3
	var said []SKU
	for _, l := range lines {
		if strings.TrimSpace(string(l.SKU)) == "" || len(said) == most || listed(said, l.SKU) {
			continue
		}
		switch {
		case listed(f.NotSKUs, l.SKU):
			say("SKU %s is left out", clip(string(l.SKU), 60))
		case len(f.SKUs) > 0 && !listed(f.SKUs, l.SKU):
			say("SKU %s, not %s", clip(string(l.SKU), 60), anyOf(f.SKUs))
		default:
			continue
		}
		said = append(said, l.SKU)
	}
}

// Apart reports whether no order passes both filters, as its cart shows it at one time.
// Only what people divide a shop by counts: a status or a payment comes to be another by itself.
func (f Filter) Apart(other Filter) bool {
	return disjoint(f.Locations, other.Locations) || allListed(other.NotTags, f.Tags) || allListed(f.NotTags, other.Tags)
}

// disjoint reports whether two lists ask for different words. An empty one asks for none.
func disjoint(a, b []string) bool {
	return len(a) > 0 && len(b) > 0 && !slices.ContainsFunc(a, func(w string) bool { return listed(b, w) })
}

// allListed reports whether there are words, and a list has each.
func allListed(list, words []string) bool {
	return len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return !listed(list, w) })
}

// unread reports whether the connector could not read something of a part of the order.
func (o CartOrder) unread(part string) bool {
	return slices.ContainsFunc(o.Problems, func(p Problem) bool { return strings.HasPrefix(p.Field, part) })
}

// listed reports whether a list has a word.
func listed[T ~string](list []T, word T) bool {
	want := strings.TrimSpace(string(word))
	return want != "" && slices.ContainsFunc(list, func(w T) bool { return strings.EqualFold(strings.TrimSpace(string(w)), want) })
}

// anyOf is a list in words: "paid", "US or CA", and of a long one the beginning.
func anyOf[T ~string](list []T) string {
	const most = 4
	var words []string
	for _, w := range list[:min(len(list), most)] {
		words = append(words, clip(strings.TrimSpace(string(w)), 40))
	}
	last := len(words) - 1
	switch more := len(list) - most; {
	case more > 0:
		return fmt.Sprintf("%s or %d more", strings.Join(words, ", "), more)
	case last > 0:
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return strings.Join(words, "")
}
