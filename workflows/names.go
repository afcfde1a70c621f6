package workflows

import (
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"orderferry/relay"
)

// Names on the wire. A rename would orphan running workflows and operators'
// scripts: testdata/names.golden lists them all.
const (
	MerchantWorkflow = "Merchant"
	HoldWorkflow     = "Hold"
	CheckWorkflow    = "Check"

	// To a merchant's workflow, each as a signal (no answer) and as an update (a true answer).
	CancelOrder     = "cancel-order"
	ReleaseOrders   = "release-orders"
	CancelHeld      = "cancel-held"
	ReopenOrder     = "reopen-order"
	SyncNow         = "sync-now"
	Pause           = "pause"
	Resume          = "resume"
	SettingsChanged = "settings-changed"
	// Jobs is a query: how its jobs stand.
	Jobs = "jobs"

	// To a hold's workflow, likewise.
	Release = "release"
	Cancel  = "cancel"
	// Look is a signal only: something else may have ended the hold.
	Look = "look"
)

// TaskQueue is where workflows run, and the steps that need only the ledger.
const TaskQueue = "orderferry"

// ConnectorQueue is where the steps of a connector run, so that a sick vendor
// can't take another's slots.
func ConnectorQueue(connector string) string { return TaskQueue + "/" + connector }

// AlertsQueue is where alerts are looked after and sent: a mail server that
// hangs takes nobody else's slots.
const AlertsQueue = TaskQueue + "/alerts"

// MerchantID is the id of a merchant's workflow.
func MerchantID(m relay.MerchantID) string { return "merchant/" + string(m) }

// HoldID is the id of the workflow of an order on hold.
func HoldID(m relay.MerchantID, r relay.Reference) string {
	return "hold/" + string(m) + "/" + string(r)
}

// Search attributes, to find workflows in the Temporal Web UI and with temporal.
var (
	AttrMerchant   = temporal.NewSearchAttributeKeyKeyword("FerryMerchant")
	AttrOrder      = temporal.NewSearchAttributeKeyKeyword("FerryOrder")
	AttrHoldReason = temporal.NewSearchAttributeKeyKeyword("FerryHoldReason")
	AttrState      = temporal.NewSearchAttributeKeyKeyword("FerryState")
	AttrNextResend = temporal.NewSearchAttributeKeyTime("FerryNextResend")
	AttrHeldSince  = temporal.NewSearchAttributeKeyTime("FerryHeldSince")
)

// SearchAttributes lists the search attributes that a namespace must know.
func SearchAttributes() map[string]enums.IndexedValueType {
	out := make(map[string]enums.IndexedValueType)
	for _, k := range []temporal.SearchAttributeKey{AttrMerchant, AttrOrder, AttrHoldReason, AttrState, AttrNextResend, AttrHeldSince} {
		out[k.GetName()] = k.GetValueType()
	}
	return out
}

// Register registers the workflows, and says what becomes of their runs when a
// versioned deployment is replaced.
//
// A merchant's run stays with the build that began it. It has a task every few
// minutes, sees there that another build is current, and ends for a new run on
// that one: it needs no gate, and the old build may go after some minutes. A hold
// sleeps for up to a day; the old build would have to stay for so long, so holds
// move at once and rely on gates. A check takes seconds.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Merchant, workflow.RegisterOptions{Name: MerchantWorkflow, VersioningBehavior: workflow.VersioningBehaviorPinned})
	r.RegisterWorkflowWithOptions(Hold, workflow.RegisterOptions{Name: HoldWorkflow, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade})
	r.RegisterWorkflowWithOptions(Check, workflow.RegisterOptions{Name: CheckWorkflow, VersioningBehavior: workflow.VersioningBehaviorPinned})
}
