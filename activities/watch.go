package activities

import "context"

// WatchResult counts what a run of Watch did.
type WatchResult struct {
	Opened int `json:"opened,omitempty"`
	Raised int `json:"raised,omitempty"`
	Closed int `json:"closed,omitempty"`
	Sent   int `json:"sent,omitempty"`   // notices that were delivered
	Failed int `json:"failed,omitempty"` // and that were not: they are tried again
}

// Watch looks in the ledger for what people should know, opens, raises and
// closes alerts, and sends the notices that are due.
func (a *Activities) Watch(ctx context.Context, in MerchantInput) (WatchResult, error) {
	return WatchResult{}, nil
}
