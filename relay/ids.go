package relay

import (
	"fmt"
	"regexp"
)

// Names and numbers that must not be mixed up.
type (
	// MerchantID names a merchant: 1 to 40 characters of a-z, 0-9 and "-".
	MerchantID string
	// ConnectionName names one cart or warehouse of a merchant, unique within
	// that merchant and written like a MerchantID.
	ConnectionName string
	// OrderID is the ledger's own number of an order. It says nothing to a person.
	OrderID int64
	// ExternalID is the id that a cart gave its order. Opaque; never shown as the order number.
	ExternalID string
	// LineID is the id that a cart gave a line of its order, unique within the order.
	LineID string
	// WarehouseOrderID is the id that a warehouse gave an order it accepted, unique per connection.
	WarehouseOrderID string
	// SKU is what a cart calls a product.
	SKU string
	// ItemCode is what a warehouse calls a product (EasyPost: barcode; Bergen: UPC).
	ItemCode string
	// ShipMethod is what a cart calls a way of shipping.
	ShipMethod string
	// Service is what a warehouse calls a way of shipping.
	Service string
	// Token marks one submission in whatever free text or reference field the
	// warehouse stores, so that the order can be found again after a lost reply.
	// 16 characters of a-z and 2-7.
	Token string
)

// Mode tells production from test. A connection has one; an object of the other is refused.
type Mode string

// The two modes a connection may be in.
const (
	ModeLive Mode = "live"
	ModeTest Mode = "test"
)

// ParseMode accepts "live" (or its synonym "production") and "test".
func ParseMode(s string) (Mode, error) {
	switch s {
	case "live", "production":
		return ModeLive, nil
	case "test":
		return ModeTest, nil
	}
	return "", fmt.Errorf("mode %q: want live or test", clip(s, 40))
}

var nameForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`)

// ParseMerchantID refuses anything but 1 to 40 characters of a-z, 0-9 and
// inner "-": the id becomes part of workflow ids, addresses and file names.
func ParseMerchantID(s string) (MerchantID, error) {
	if !nameForm.MatchString(s) {
		return "", fmt.Errorf("merchant id %q: want 1 to 40 characters of a-z, 0-9 and inner -", clip(s, 40))
	}
	return MerchantID(s), nil
}

// ParseConnectionName refuses what ParseMerchantID refuses.
func ParseConnectionName(s string) (ConnectionName, error) {
	if !nameForm.MatchString(s) {
		return "", fmt.Errorf("connection name %q: want 1 to 40 characters of a-z, 0-9 and inner -", clip(s, 40))
	}
	return ConnectionName(s), nil
}
