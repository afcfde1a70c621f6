// Package simulator is two partners who exchange files, for tests, demonstrations
// and the fault harness: a warehouse that reads orders and writes acknowledgements,
// shipments and inventory, and a shop that drops orders and reads what it is told.
// Both know the layout that the connector calls standard, written from
// wire/csv-files.md and docs/csv.md, and share no code with the connector.
//
// They work when they are told to, by Step, and deterministically: the same orders
// and the same seed give the same files. All that they know is on the disk before
// anything follows from it, in a journal, so one that was killed goes on where it was.
package simulator
