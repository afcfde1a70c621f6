package workflows

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"orderferry/relay"
)

// CancelRequest asks a merchant's workflow to cancel an order.
type CancelRequest struct {
	Reference relay.Reference `json:"reference"`
	Reason    string          `json:"reason,omitempty"`
	Actor     string          `json:"actor,omitempty"` // who asks; "" for an unnamed operator
}

// Check refuses a request that could not be carried out, naming the field.
func (r CancelRequest) Check() error {
	if _, err := relay.ParseReference(string(r.Reference)); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	return checkWords(r.Reason, r.Actor)
}

// ReopenRequest asks a merchant's workflow to send a cancelled order anew.
type ReopenRequest struct {
	Reference relay.Reference `json:"reference"`
	Reason    string          `json:"reason,omitempty"`
	Actor     string          `json:"actor,omitempty"` // who asks; "" for an unnamed operator
}

// Check refuses a request that could not be carried out, naming the field.
func (r ReopenRequest) Check() error { return CancelRequest(r).Check() }

// ReleaseRequest asks a merchant's workflow to let orders on hold go.
type ReleaseRequest struct {
	Reason     relay.HoldReason  `json:"reason,omitempty"`     // all orders on hold for it
	References []relay.Reference `json:"references,omitempty"` // or these; at most 200
	SKU        relay.SKU         `json:"sku,omitempty"`        // or those with a line of this SKU
	All        bool              `json:"all,omitempty"`        // or all, to be said in so many words
	Actor      string            `json:"actor,omitempty"`
}

// Check refuses a request that could not be carried out, naming the field.
func (r ReleaseRequest) Check() error {
	given := 0
	if r.Reason != "" {
		given++
		if _, err := relay.ParseHoldReason(string(r.Reason)); err != nil {
			return fmt.Errorf("reason: %w", err)
		}
	}
	if len(r.References) > 0 {
		given++
	}
	if r.SKU != "" {
		given++
		if len(r.SKU) > 200 || !utf8.ValidString(string(r.SKU)) {
			return errors.New("sku: want at most 200 characters")
		}
	}
	if r.All {
		given++
	}
	if given != 1 {
		return errors.New("want exactly one of reason, references, sku and all")
	}
	if len(r.References) > 200 {
		return fmt.Errorf("references: %d of them; want at most 200 at once", len(r.References))
	}
	for _, ref := range r.References {
		if _, err := relay.ParseReference(string(ref)); err != nil {
			return fmt.Errorf("references: %w", err)
		}
	}
	return checkWords("", r.Actor)
}

// ReleaseAnswer counts the orders let go.
type ReleaseAnswer struct {
	Released int `json:"released"`
	// Waits says why those let go are not sent for now; "" when they go with the next batches.
	Waits string `json:"waits,omitempty"`
	// More says that they were too many for one go: the rest follows by itself.
	More bool `json:"more,omitempty"`
}

// CancelHeldRequest asks a merchant's workflow to cancel orders on hold. It
// names them as a ReleaseRequest does.
type CancelHeldRequest struct {
	ReleaseRequest
	Why string `json:"why,omitempty"` // for the trail
}

// Check refuses a request that could not be carried out, naming the field.
func (r CancelHeldRequest) Check() error {
	return errors.Join(r.ReleaseRequest.Check(), checkWords(r.Why, ""))
}

// CancelHeldAnswer counts the orders cancelled.
type CancelHeldAnswer struct {
	Stopped int `json:"stopped"` // before they were sent
	// Pending may be at the warehouse already: they are looked for, and cancelled where they are.
	Pending int `json:"pending,omitempty"`
	// More says that they were too many for one go: the rest follows by itself.
	More bool `json:"more,omitempty"`
}

// JobRequest names jobs, for sync-now, pause and resume. Empty fields mean all.
type JobRequest struct {
	Connection relay.ConnectionName `json:"connection,omitempty"`
	Job        relay.Job            `json:"job,omitempty"`
	Actor      string               `json:"actor,omitempty"`
}

// whole reports whether it is about the merchant and not one of its connections or jobs.
func (r JobRequest) whole() bool { return r.Connection == "" && r.Job == "" }

// Check refuses a request that could not be carried out, naming the field.
func (r JobRequest) Check() error {
	if r.Connection != "" {
		if _, err := relay.ParseConnectionName(string(r.Connection)); err != nil {
			return fmt.Errorf("connection: %w", err)
		}
	}
	if r.Job != "" {
		if _, err := relay.ParseJob(string(r.Job)); err != nil {
			return fmt.Errorf("job: %w", err)
		}
	}
	return checkWords("", r.Actor)
}

// JobAnswer lists the jobs that a request applied to, as "connection job".
type JobAnswer struct {
	Jobs []string `json:"jobs"`
	// Waits says of those that do not run why, by job: of a sync or a resume.
	Waits map[string]string `json:"waits,omitempty"`
}

// HoldRequest asks a hold's workflow to release or cancel its order.
type HoldRequest struct {
	Reason string `json:"reason,omitempty"`
	Actor  string `json:"actor,omitempty"`
	// Hold is the hold that a release is to end: no other is ended by it. "" is the one
	// that the workflow knew of when it was asked.
	Hold relay.HoldReason `json:"hold,omitempty"`
}

// Check refuses a request that could not be carried out, naming the field.
func (r HoldRequest) Check() error {
	if r.Hold != "" {
		if _, err := relay.ParseHoldReason(string(r.Hold)); err != nil {
			return fmt.Errorf("hold: %w", err)
		}
	}
	return checkWords(r.Reason, r.Actor)
}

// HoldAnswer is the truth about a release or cancel of one order.
type HoldAnswer struct {
	State  relay.OrderState `json:"state"`
	Answer string           `json:"answer"` // a sentence for people
}

// What operators write enters Temporal: keep it short, and leave out people.
func checkWords(reason, actor string) error {
	switch {
	case len(reason) > 200 || !utf8.ValidString(reason):
		return errors.New("reason: want at most 200 characters, and no personal data")
	case len(actor) > 60 || !utf8.ValidString(actor):
		return errors.New("actor: want at most 60 characters")
	}
	return nil
}

// ByOperator names a person as trails do; "" is an unnamed operator.
func ByOperator(actor string) string {
	if actor == "" {
		return "operator"
	}
	return "operator " + actor
}
