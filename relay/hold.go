package relay

import (
	"fmt"
	"slices"
	"time"
)

// HoldReason says why an order waits.
type HoldReason string

// The reasons, and where each comes from.
const (
	HoldInsufficientInventory HoldReason = "insufficient_inventory" // the warehouse rejects for stock
	HoldUnknownItem           HoldReason = "unknown_item"           // our translation, or the warehouse
	HoldUnmappedShipMethod    HoldReason = "unmapped_ship_method"   // our translation, or the warehouse
	HoldKitWithoutComponents  HoldReason = "kit_without_components" // our translation
	HoldBadAddress            HoldReason = "bad_address"            // our checks, or the warehouse
	HoldBadOrder              HoldReason = "bad_order"              // our checks, or the warehouse
	HoldRejected              HoldReason = "rejected"               // any other refusal
	HoldWarehouseUnreachable  HoldReason = "warehouse_unreachable"  // retries spent
	HoldUnknownOutcome        HoldReason = "unknown_outcome"        // looked for it and still can't tell: a person must
	HoldOperator              HoldReason = "operator"               // a person
)

// HoldReasons lists every reason.
func HoldReasons() []HoldReason {
	return []HoldReason{
		HoldInsufficientInventory, HoldUnknownItem, HoldUnmappedShipMethod, HoldKitWithoutComponents, HoldBadAddress,
		HoldBadOrder, HoldRejected, HoldWarehouseUnreachable, HoldUnknownOutcome, HoldOperator,
	}
}

// ParseHoldReason refuses a word that is no reason and says which are.
func ParseHoldReason(s string) (HoldReason, error) {
	if !slices.Contains(HoldReasons(), HoldReason(s)) {
		return "", fmt.Errorf("hold reason %q: want one of %v", clip(s, 40), HoldReasons())
	}
	return HoldReason(s), nil
}

// ResendsNightly reports whether the 1:00 AM resend is a way out of the hold.
// An operator's hold is left to operators, and an unknown outcome must never be
// resent without a look (promise 2).
func (r HoldReason) ResendsNightly() bool {
	return r != HoldOperator && r != HoldUnknownOutcome
}

// Hold is why an order waits, since when, and what happens next.
type Hold struct {
	Reason HoldReason
	// Fields name what is wrong. Their messages may quote an address.
	Fields []Problem
	// Code and Words are the warehouse's answer: its code, and its own words (ledger only).
	Code  string
	Words string
	Since time.Time
	// Attempts counts refused submissions since the order was first held.
	Attempts int
}

// Headline is one line for people that holds no personal data: the reason, the
// vendor's code and the names of what is wrong.
func (h Hold) Headline() string {
	s := string(h.Reason)
	if h.Code != "" {
		s += " (" + h.Code + ")"
	}
	for i, f := range h.Fields {
		if i == 5 {
			return s + fmt.Sprintf(" and %d more", len(h.Fields)-i)
		}
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		s += sep + f.Field
		if f.Value != "" {
			s += " " + f.Value
		}
	}
	return s
}
