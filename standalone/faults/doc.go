// Package faults breaks everything while orders flow, and then audits: workers
// are separate processes that are killed at named points and at random,
// Postgres is restarted and cut off, Temporal is restarted, and the simulated
// vendors fail in every way they know.
package faults
