// Package relay says what orders, lines, shipments, stock levels, aliases and
// holds are, which moves an order may make, and what kinds of error there are.
// It knows no vendor, no database and no network, and imports nothing but the
// standard library.
package relay
