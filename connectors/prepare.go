package connectors

import (
	"errors"

	"orderferry/postal"
	"orderferry/relay"
)

// OrderFor puts a cart order in the warehouse's terms: its address with ISO
// codes, its items merged. What the address lacks comes back as problems.
func OrderFor(o relay.Order, token relay.Token, t relay.Translated) (WarehouseOrder, []relay.Problem) {
	to, problems := postal.Normalise(o.ShipTo)
	return WarehouseOrder{
		Token: token, Reference: o.Reference, Number: o.Number, ShipTo: to, Service: t.Service,
		Items: relay.MergeItems(t.Items), PlacedAt: o.PlacedAt, Renewed: o.Renewed,
	}, problems
}

// Ready is an order that is ready to be sent, or why it is not.
type Ready struct {
	Hold       *relay.Hold // what stands in the way; the rest is empty then
	Translated relay.Translated
	Order      WarehouseOrder
	Request    Prepared
}

// Prepare translates an order and renders the exact request, without any
// network: what is sent, and what a dry run says would be sent, is made here.
func Prepare(sink OrderSink, m relay.Mappings, o relay.Order, token relay.Token) (Ready, error) {
	translated, hold := m.Translate(o.Cart, o.CartOrder)
	if hold != nil {
		return Ready{Hold: hold}, nil
	}
	return Render(sink, o, token, translated)
}

// Render renders the request for an order that is translated.
func Render(sink OrderSink, o relay.Order, token relay.Token, t relay.Translated) (Ready, error) {
	order, problems := OrderFor(o, token, t)
	if len(problems) > 0 {
		return Ready{Hold: &relay.Hold{Reason: relay.HoldBadAddress, Fields: problems}}, nil
	}
	request, err := sink.PrepareOrder(order)
	if hold := HoldFor(err); hold != nil {
		return Ready{Hold: hold}, nil
	}
	return Ready{Translated: t, Order: order, Request: request}, err
}

// HoldFor makes a hold of a definite refusal; nil for any other error.
func HoldFor(err error) *relay.Hold {
	var e *relay.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Kind {
	case relay.Rejected, relay.Invalid, relay.NotFound:
	default:
		return nil
	}
	reason := e.Reason
	if reason == "" {
		reason = relay.HoldRejected
	}
	return &relay.Hold{Reason: reason, Fields: e.Fields, Code: e.Code, Words: e.Words}
}
