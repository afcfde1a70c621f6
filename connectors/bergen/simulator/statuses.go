package simulator

import (
	"slices"
	"strings"
)

// The statuses that the simulator itself sets; the other values of the
// enumeration are reached with SetStatus (wire/bergen-rex11.md section 7.3).
const (
	StatusNew              = "New - Pending Printing"
	StatusPrinted          = "Printed - Pending Picking"
	StatusShippedComplete  = "Shipped Complete"
	StatusPartiallyShipped = "Approved - Partially Shipped"
	StatusNoStock          = "CSR - No Stock"
	StatusOnHold           = "CSR hold- per customer request"
	StatusCancelled        = "Cancelled"
)

// path is how a ticket usually goes (section 12.6). "Picked" is followed by two
// spaces, as the service writes it.
var path = []string{
	StatusNew, StatusPrinted, "Picking in Process", "Picked  - Pending QA Check", "QA Pass - Pending Packing",
	"Packed - Pending Shipping", "UPS Label Done", StatusShippedComplete,
}

// codes are the enumeration's statuses with their numbers. Only 370 is known;
// the others are choices (section 12.6).
var codes = map[string]int{
	StatusNew: 100, StatusPrinted: 200, "Picking in Process": 210, "Picked  - Pending QA Check": 220, "QA Pass - Pending Packing": 300,
	"Packed - Pending Shipping": 400, "UPS Label Done": 500, StatusShippedComplete: 900, StatusPartiallyShipped: 800, StatusCancelled: 999,
	StatusNoStock: 370, "CSR\t- Pending CSR Check": 360, StatusOnHold: 365, "Short PT - Pending Picker Check": 350,
	"QA in Progress": 230, "QA Failed - Incorrect Items": 240, "QA Failed - Too Many Items": 241, "QA Failed - Missing Items": 242,
	"QA Pass-Incorrect Items-Pending Packing": 301, "QA Pass-Too Many Items-Pending Packing": 302, "QA Pass-Missing Items-Pending Packing": 303,
	"Packing in Progress": 310, "Packed - Pending Invoice": 410, "Payment Done": 420, "Pending Shipping": 430,
	"Pending UPS Processing": 510, "Pending UPS Upload": 520, "UPS Upload Done": 530, "UPS Upload Done With Warning": 531,
	"UPS Upload Failed": 540, "World Ship": 550, "World Ship - Import": 551,
	"Shipped Via Truck": 910, "Billing Info Received": 920, "Package in Transit": 930, "Partial Delivery": 940, "Delivered": 950,
	"Package Returned": 960, "Cross-docked": 970, "Warehouse Transfer Done": 980,
}

// Statuses lists every status that the service knows, by name.
func Statuses() []string {
	out := make([]string, 0, len(codes))
	for s := range codes {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// gone are the statuses of a ticket that has left the building.
func gone(status string) bool {
	return codes[status] >= codes[StatusShippedComplete] && status != StatusCancelled
}

// withCSR tells tickets that customer service has.
func withCSR(status string) bool { return strings.HasPrefix(status, "CSR") }

// cancellable says whether a client may still cancel (section 12.6).
func (b *Behaviour) cancellable(status string) bool {
	until := max(0, slices.Index(path, b.CancelUntil))
	at := slices.Index(path, status)
	return withCSR(status) || (at >= 0 && at <= until)
}

// shown is a status as the wire has it.
func (b *Behaviour) shown(status string) string {
	if s, ok := b.Statuses[status]; ok {
		return s
	}
	return status
}

func (b *Behaviour) code(status string) int {
	if c, ok := b.Codes[status]; ok {
		return c
	}
	return codes[status]
}
