package workflows

import "go.temporal.io/sdk/workflow"

// Change ids and their predicates live in this file. Histories saved in
// testdata must replay for ever: any change to the order, kind or type of
// commands needs a gate here, made with workflow.GetVersion, and in the same
// commit a saved history from before and one from after.
//
// A gate is read once, when a run begins: a run keeps the form that it began
// with, and the next run has the newest. A worker that is told to hold changes
// back (ORDERFERRY_HOLD_BACK) begins runs in the form of the release before, so
// that workers of that release can take them over.

// changeCare: merchants look after their alerts and compare books, let orders
// go when stock comes, tell carts of cancels, and read carts before they submit
// after a pause.
const changeCare = "care"

// changePauses: of pauses and resumes of a merchant the one that was asked for last
// counts, in whatever order their steps end.
const changePauses = "pauses"

// changeStrict: a merchant's messages with a field that there is not are refused.
// They were carried out without it: a misspelt "connection" paused the whole merchant.
const changeStrict = "strict"

// Newest reports whether the release before this one does not know a change.
func Newest(change string) bool {
	switch change {
	case changeCare, changePauses, changeStrict:
		return true
	}
	return false
}

func cares(ctx workflow.Context) bool { return has(ctx, changeCare) }

func ordersPauses(ctx workflow.Context) bool { return has(ctx, changePauses) }

func strict(ctx workflow.Context) bool { return has(ctx, changeStrict) }

func has(ctx workflow.Context, change string) bool {
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) >= 1
}

// moved reports whether the deployment that runs this workflow has been replaced
// by another: it is time for a new run, which begins there. Always false where
// workers are not versioned.
func moved(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetTargetWorkerDeploymentVersionChanged()
}

// anew ends a run and begins the next, on the newest deployment.
func anew(ctx workflow.Context, name string, in any) error {
	return workflow.NewContinueAsNewErrorWithOptions(ctx, workflow.ContinueAsNewErrorOptions{
		InitialVersioningBehavior: workflow.ContinueAsNewVersioningBehaviorAutoUpgrade,
	}, name, in)
}
