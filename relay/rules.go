package relay

import "time"

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
	Map      map[ShipMethod]Service `json:"map,omitempty"` // names without regard to case and outer blanks
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
	// location; empty: all.
	Sites []string `json:"sites,omitempty"`
	// Locations are further locations of the cart, each with the sites summed for
	// it; the key is the cart's id of the location. A site counts for one location only.
	Locations map[string][]string `json:"locations,omitempty"`
	// Floor: fewer units than this are shown as 0.
	Floor int64 `json:"floor,omitempty"`
	// Buffer units, and then BufferPercent of what is left, are kept back.
	Buffer        int64 `json:"buffer,omitempty"`
	BufferPercent int64 `json:"buffer_percent,omitempty"` // 0 to 100
}

// Service returns the warehouse's service for a cart's method, "" for the
// warehouse's default. ok is false when the order is to be held for it.
func (s ShipMethods) Service(m ShipMethod) (service Service, ok bool) {
	return "", true
}

// Skips says in words why the filter leaves an order out; "" when it does not.
func (f Filter) Skips(o CartOrder) string {
	return ""
}
