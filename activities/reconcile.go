package activities

import (
	"context"

	"orderferry/relay"
)

// ReconcileResult counts what a run of Reconcile did.
type ReconcileResult struct {
	Checked  int `json:"checked,omitempty"`  // orders and levels that were compared
	Found    int `json:"found,omitempty"`    // differences
	Repaired int `json:"repaired,omitempty"` // of them
	// Stopped says that the credentials are refused.
	Stopped bool `json:"stopped,omitempty"`
	// More says that the run goes on where it was left.
	More bool `json:"more,omitempty"`
	// Submit says that orders wait to be sent, looked for or cancelled.
	Submit bool `json:"submit,omitempty"`
	// Carts have something to be told.
	Carts []relay.ConnectionName `json:"carts,omitempty"`
	// Woken are references of orders whose holds ended; at most 200.
	Woken []relay.Reference `json:"woken,omitempty"`
}

// Reconcile holds the books of a cart or a warehouse against the ledger, mends
// what can be mended safely and reports the rest.
func (a *Activities) Reconcile(ctx context.Context, in JobInput) (ReconcileResult, error) {
	return ReconcileResult{}, nil
}
