// Package simkit is what the simulated vendors in connectors/<system>/simulator
// share: the journal that outlives a kill, the clockwork of timed moves, faults
// by seeded odds, the counts, and the surface that people steer them by. It knows
// no vendor: what a request means and what an answer looks like is the
// simulator's own. The connectors never import it, so that a simulator can
// still disagree with the connector it proves.
//
// Package simtest has what the simulators' tests share.
package simkit
