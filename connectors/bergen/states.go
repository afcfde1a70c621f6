package bergen

import (
	"cmp"
	"strings"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// class is what a status of a ticket means for us (section 7.3).
type class int

const (
	unknownStatus class = iota
	atWork              // open, picked, packed, labelled
	partShipped
	shipped
	cancelled
	noStock
	stuck // a person there has to do something, or it ended without a shipment
)

// classOf reads one of the 40 statuses without regard to case and white space:
// the service itself writes one with two blanks and one with a tab.
func classOf(status string) class {
	switch strings.ToLower(collapse(status)) {
	case "new - pending printing", "printed - pending picking", "picking in process", "picked - pending qa check",
		"qa in progress", "qa pass - pending packing", "qa pass-incorrect items-pending packing",
		"qa pass-too many items-pending packing", "qa pass-missing items-pending packing", "packing in progress",
		"packed - pending invoice", "packed - pending shipping", "payment done", "pending shipping",
		"pending ups processing", "pending ups upload", "ups label done", "ups upload done",
		"ups upload done with warning", "ups upload failed", "world ship", "world ship - import":
		return atWork
	case "approved - partially shipped":
		return partShipped
	case "shipped complete", "shipped via truck",
		// What the carrier has of it; "partial delivery" is of parcels that have all left.
		"billing info received", "package in transit", "partial delivery", "delivered", "package returned":
		return shipped
	case "cancelled":
		return cancelled
	case "csr - no stock":
		return noStock
	case "csr - pending csr check", "csr hold- per customer request", "short pt - pending picker check",
		"qa failed - incorrect items", "qa failed - too many items", "qa failed - missing items",
		"cross-docked", "warehouse transfer done": // closed, and no customer got it
		return stuck
	}
	return unknownStatus
}

// progressOf is the update that a status alone tells, without packages.
func progressOf(id relay.WarehouseOrderID, status string) connectors.OrderUpdate {
	// "" would say that nothing is known of it, and the ticket is there.
	u := connectors.OrderUpdate{ID: id, Status: cmp.Or(exchange.Clip(collapse(status), maxStatus), "without a status"), Progress: connectors.InProgress}
	switch classOf(status) {
	case cancelled:
		u.Progress = connectors.Cancelled
	case noStock:
		u.Progress, u.Hold = connectors.InTrouble, trouble(relay.HoldInsufficientInventory, u.Status, "Bergen has too little stock for it: it goes on when there is more, or when Bergen's customer service releases it")
	case stuck:
		u.Progress, u.Hold = connectors.InTrouble, trouble(relay.HoldRejected, u.Status, "it is stuck at the warehouse: ask Bergen's customer service")
	}
	return u
}

func trouble(reason relay.HoldReason, status, message string) *relay.Hold {
	return &relay.Hold{Reason: reason, Fields: []relay.Problem{{Field: "status", Value: status, Message: message}}, Words: status}
}
