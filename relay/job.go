package relay

import (
	"fmt"
	"slices"
	"strings"
)

// Job is one of the repeating steps.
type Job string

// The jobs. CartJobs and WarehouseJobs say which belong to what.
const (
	PullOrders    Job = "pull_orders"    // cart -> us
	SubmitOrders  Job = "submit_orders"  // us -> warehouse
	PullShipments Job = "pull_shipments" // warehouse -> us
	PullInventory Job = "pull_inventory" // warehouse -> us
	PushShipments Job = "push_shipments" // us -> cart
	PushInventory Job = "push_inventory" // us -> cart
	// Reconcile holds a cart's or the warehouse's books against the ledger; every connection has it.
	Reconcile Job = "reconcile"
)

// Jobs lists every job, in the order in which an order meets them.
func Jobs() []Job {
	return []Job{PullOrders, SubmitOrders, PullShipments, PushShipments, PullInventory, PushInventory, Reconcile}
}

// CartJobs lists the jobs of a cart connection.
func CartJobs() []Job { return []Job{PullOrders, PushShipments, PushInventory, Reconcile} }

// WarehouseJobs lists the jobs of the warehouse connection.
func WarehouseJobs() []Job { return []Job{SubmitOrders, PullShipments, PullInventory, Reconcile} }

// inWords lists words for people.
func inWords[T ~string](words []T) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return strings.Join(list, ", ")
}

// ParseJob refuses a word that is no job and says which are.
func ParseJob(s string) (Job, error) {
	if !slices.Contains(Jobs(), Job(s)) {
		return "", fmt.Errorf("job %q: want one of %s", clip(s, 40), inWords(Jobs()))
	}
	return Job(s), nil
}
