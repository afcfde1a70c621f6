// Package temporal runs a Temporal server with its Web UI inside this process, on one SQLite file, for one machine.
// Both listen on the loopback interface only, and neither asks anything of any other host.
//
// A Temporal server of a later release may lay its tables out differently, and none can convert a SQLite file: before
// go.temporal.io/server is upgraded, its schema/sqlite folder must be compared. Where Temporal has to outlive that,
// use a cluster.
package temporal
