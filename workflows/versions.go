package workflows

// Change ids and their predicates live in this file. Histories saved in
// testdata must replay for ever: any change to the order, kind or type of
// commands needs a gate here, made with workflow.GetVersion, and in the same
// commit a saved history from before and one from after.
//
// There is none yet: testdata holds histories of the first form.
