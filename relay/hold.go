package relay

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
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
		return "", fmt.Errorf("hold reason %q: want one of %s", clip(s, 40), inWords(HoldReasons()))
	}
	return HoldReason(s), nil
}

// ResendsNightly reports whether the 1:00 AM resend is a way out of the hold.
// An operator's hold is left to operators, and an unknown outcome must never be
// resent without a look (promise 2).
func (r HoldReason) ResendsNightly() bool {
	return r != HoldOperator && r != HoldUnknownOutcome
}

// NightlyReasons lists the reasons for which the 1:00 AM resend is a way out.
func NightlyReasons() []HoldReason {
	return slices.DeleteFunc(HoldReasons(), func(r HoldReason) bool { return !r.ResendsNightly() })
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
	// Attempts counts how often the warehouse refused the order since it was first held.
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
		s += sep + h.named(f)
	}
	return s
}

// inOrder finds a line of the cart's order, or an item of the warehouse's, by its index.
var inOrder = regexp.MustCompile(`^(line|item)s\[(\d{1,6})\](?:\.(.+))?$`)

// named tells what is wrong as people do: lines by their number, from 1.
func (h Hold) named(p Problem) string {
	what := p.Field
	if m := inOrder.FindStringSubmatch(p.Field); m != nil {
		i, _ := strconv.Atoi(m[2]) // at most six digits
		what = fmt.Sprintf("%s %d", m[1], i+1)
		switch {
		case m[3] == "", p.Value != "" && (m[3] == "sku" || m[3] == "code"):
		default:
			what += ", " + m[3]
		}
		if p.Value != "" {
			return fmt.Sprintf("%s (%s)", p.Value, what)
		}
		return what
	}
	switch {
	case p.Value == "":
		return what
	case h.Reason == HoldOperator: // what the operator wrote
		return p.Value
	}
	return what + " " + p.Value
}
