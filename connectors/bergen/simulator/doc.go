// Package simulator is Bergen Logistics' Rex11 public API (SOAP, v3) as a real
// HTTP server for tests, demonstrations and benchmarks. It is written from
// wire/bergen-rex11.md and the service's WSDL (package wsdl) and shares no code
// with the connector, so that the two can disagree.
//
// The service's surface (Simulator.Handler) lives under
// /ws/v3prod/publicapiws.asmx and /ws/v3staging/publicapiws.asmx. A second surface
// (Simulator.Control), to be mounted on another port, plays the warehouse people:
// it sets stock, imports, picks, packs, ships, holds and cancels tickets, injects
// faults and shows the books. Both are deterministic under a seed and a clock.
//
// README.md has the control surface with curl examples.
package simulator
