// Package simulator is a stand-in for the TradeGecko (QuickBooks Commerce) REST
// API: a real HTTP server with orders, stock, fulfillments, webhooks, OAuth,
// rate limits and faults, written from wire/tradegecko.md alone. It shares no
// code with the connector it tests. The same requests under the same seed and
// clock give the same ids, tokens and faults.
package simulator
