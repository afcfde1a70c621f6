// Package workflows is the process: one long-lived workflow a merchant, whose
// timers trigger the steps, and one workflow for each order on hold. It keeps
// no ledger: Postgres does. Nothing in it is personal data.
package workflows
