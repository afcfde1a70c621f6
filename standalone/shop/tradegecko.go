package shop

import (
	"fmt"
	"math/big"

	"orderferry/connectors"
	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/standalone/audit"
)

// TradeGecko is an account with the TradeGecko simulator, which is QuickBooks Commerce too.
type TradeGecko struct {
	*tradegecko.Simulator
	account   string
	connector string
	url       string
}

// CartToken is the credential of a merchant at TradeGecko.
func CartToken(merchant string) string { return "demo-token-" + merchant }

// TradeGeckoConnection configures the cart of a merchant at an address.
func TradeGeckoConnection(connector, merchant, url string) Connection {
	return Connection{
		Connection: relay.Connection{
			Name: "shop", Connector: connector, BaseURL: url, Mode: relay.ModeLive, Settings: map[string]string{"overlap": "2s", "concurrency": "8"},
		},
		Credentials: connectors.Credentials{"access_token": CartToken(merchant)},
	}
}

// Connection is what merchant.yaml would say of it.
func (t *TradeGecko) Connection() Connection {
	return TradeGeckoConnection(t.connector, t.account, t.url)
}

func tradegeckoVendor() Vendor {
	v := Vendor{Name: "tradegecko", Routes: []string{
		"fulfillments_create", "fulfillments_update", "stock_adjustments_create", "orders_index", "orders_index", "line_items", "addresses", "variants", "order_actions", "*",
	}}
	for _, k := range tradegecko.FaultKinds() {
		kind := FaultKind{Name: string(k)}
		switch k {
		case tradegecko.DuplicateKey, tradegecko.CommitThenDuplicate: // only what bears an idempotency key
			kind.Routes = []string{"stock_adjustments_create", "fulfillments_create"}
		case tradegecko.RepeatedPage, tradegecko.ShiftedPage: // only lists have pages, and few have a second
			kind.Routes, kind.Rare = []string{"*"}, true
		case tradegecko.Unauthorised:
			kind.Stops = true
		}
		v.Faults = append(v.Faults, kind)
	}
	return v
}

// Vendor is TradeGecko.
func (t *TradeGecko) Vendor() Vendor { return tradegeckoVendor() }

// Inject arms a fault.
func (t *TradeGecko) Inject(f Fault) error {
	return t.Simulator.Inject(tradegecko.Fault{
		Kind: tradegecko.FaultKind(f.Kind), Route: f.Route, Account: t.account, Skip: f.Skip, Count: f.Count, Delay: f.Delay,
	})
}

// Offer adds variants.
func (t *TradeGecko) Offer(skus []string) error {
	for _, sku := range skus {
		if _, err := t.AddVariant(t.account, tradegecko.NewVariant{SKU: sku, Name: sku, IfAbsent: true}); err != nil {
			return err
		}
	}
	return nil
}

// Sell places orders.
func (t *TradeGecko) Sell(orders []Order) error {
	list := make([]tradegecko.NewOrder, len(orders))
	for i, o := range orders {
		list[i] = o.TradeGecko()
	}
	_, err := t.AddOrders(t.account, list, true)
	return err
}

// TradeGecko is the order as TradeGecko's simulator takes it.
func (o Order) TradeGecko() tradegecko.NewOrder {
	var lines []tradegecko.NewLine
	for _, l := range o.Lines {
		lines = append(lines, tradegecko.NewLine{SKU: l.SKU, Quantity: fmt.Sprint(l.Units)})
	}
	return tradegecko.NewOrder{
		Number: o.Number, Status: "finalized", Payment: "paid", Lines: lines, ShipMethod: ShipMethod, ShipPrice: "4.90", Address: o.address(o.Street),
	}
}

func (o Order) address(street string) tradegecko.Address {
	return tradegecko.Address{
		FirstName: "Sample", LastName: o.Buyer, Line1: street, City: "Springfield", State: "IL", Zip: "62701",
		Country: "United States", CountryCode: "US", Email: "buyer@example.test",
	}
}

// Void voids an order.
func (t *TradeGecko) Void(number string) error { return t.Simulator.Void(t.account, number) }

// Restore brings a void order back.
func (t *TradeGecko) Restore(number string) error { return t.Simulator.Restore(t.account, number) }

// Readdress changes an order's address. TradeGecko allows it in any status; of an
// order that it knows as shipped it comes too late for anybody.
func (t *TradeGecko) Readdress(o Order, street string) error {
	now, err := t.Order(t.account, o.Number)
	if err != nil {
		return err
	}
	if now.FulfillmentStatus == "shipped" {
		return fmt.Errorf("order %s has shipped", o.Number)
	}
	return t.ChangeAddress(t.account, o.Number, o.address(street))
}

// Recount takes an order back, edits it and finalizes it.
func (t *TradeGecko) Recount(o Order, sku string, units int64) error {
	if err := t.Revert(t.account, o.Number); err != nil {
		return err
	}
	if err := t.EditLine(t.account, o.Number, sku, fmt.Sprint(units)); err != nil {
		return err
	}
	return t.Finalize(t.account, o.Number)
}

// Mend has nothing to do: all that TradeGecko shows can be read.
func (t *TradeGecko) Mend(Order) error { return nil }

// Book is the shop's own.
func (t *TradeGecko) Book() (audit.Cart, error) {
	book := audit.Cart{Physical: true, Stock: make(audit.Units)}
	orders, err := t.Orders(t.account)
	if err != nil {
		return book, err
	}
	for _, o := range orders {
		c := audit.CartOrder{Number: o.Number, Status: o.Status, Cancelled: o.Status == "void" || o.Status == "deleted", Lines: make(audit.Units)}
		for _, l := range o.Lines {
			if l.Ships {
				c.Lines[l.SKU] += whole(l.Ordered)
			}
		}
		for _, f := range o.Fulfillments {
			if f.Status != "fulfilled" {
				continue
			}
			p := audit.Parcel{Tracking: f.TrackingNumber, Items: make(audit.Units)}
			for _, u := range f.Units {
				p.Items[u.SKU] += whole(u.Quantity)
			}
			c.Parcels = append(c.Parcels, p)
		}
		book.Orders = append(book.Orders, c)
	}
	stock, err := t.Simulator.Stock(t.account)
	for _, s := range stock {
		book.Stock[s.SKU] += whole(s.OnHand)
	}
	return book, err
}

// whole reads a decimal of the cart. A part of a unit is never sold here, and
// makes the figure one that nothing is equal to.
func whole(decimal string) int64 {
	if decimal == "" {
		return 0
	}
	r, ok := new(big.Rat).SetString(decimal)
	if !ok || !r.IsInt() {
		return -1
	}
	return r.Num().Int64()
}
