// Package exchange makes single HTTP exchanges with a vendor, and sorts those
// that fail by the one question that decides what follows: may a write have
// happened? It knows no vendor. What an answer means is for the connector to say.
//
// Three rules hold for all that it returns. A request is sent once: no redirect
// is followed and nothing is repeated, unless Backoff.Retry was asked to. An
// answer is read to a bound. And errors print none of the other side's words,
// since vendors quote addresses and keys back; those go to relay.Error.Words.
package exchange
