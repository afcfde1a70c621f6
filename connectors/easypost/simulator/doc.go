// Package simulator is EasyPost Fulfillment, and the part of EasyPost's shipping
// API that goes with it, as a real HTTP server for tests, demonstrations and
// benchmarks. It is written from wire/easypost-fulfillment.md and shares no code
// with the connector, so that the two can disagree.
//
// The vendor's surface (Simulator.Handler) lives under /fulfillment/vendor/v2 and
// /v2. A second surface (Simulator.Control), to be mounted on another port, plays
// the warehouse people: it sets stock, packs, ships and cancels orders, injects
// faults and shows the books. Both are deterministic under a seed and a clock.
//
// README.md has the control surface with curl examples.
package simulator
