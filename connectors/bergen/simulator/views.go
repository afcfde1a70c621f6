package simulator

import (
	"cmp"
	"slices"
	"time"
)

// States of a ticket that no status tells: before its import, and when that failed.
const (
	StateStaged = "staged"
	StateFailed = "failed"
)

// TicketView is a ticket as the warehouse's own books have it, whatever Behaviour
// shows on the wire.
type TicketView struct {
	Account    string    `json:"account"` // its prefix
	Number     string    `json:"number"`  // as sent
	State      string    `json:"state"`   // StateStaged, StateFailed, or a status
	Reason     string    `json:"reason,omitempty"`
	ByClient   bool      `json:"cancelled_by_client,omitempty"`
	AcceptedAt time.Time `json:"accepted_at"`
	ImportedAt time.Time `json:"imported_at,omitzero"`
	UpdatedAt  time.Time `json:"updated_at"`
	Warehouse  string    `json:"warehouse"`
	ShipVia    string    `json:"ship_via"`
	Service    string    `json:"service"`
	PONumber   string    `json:"po_number"`
	Order      string    `json:"order_number"`
	Company    string    `json:"company"` // of the ship-to address
	Street     string    `json:"street"`
	// ShipTo are the elements of that address, by name, as sent.
	ShipTo  map[string]string `json:"ship_to"`
	Lines   []ItemView        `json:"lines"` // as sent, duplicates apart
	Cartons []CartonView      `json:"cartons"`
	// UnitsShipped are those in cartons; Reserved says that the others are promised.
	UnitsShipped int64 `json:"units_shipped"`
	Reserved     bool  `json:"reserved"`
	// Fields are the simple elements of the request, by name, as sent.
	Fields map[string]string `json:"fields"`
}

// ItemView is units of a product.
type ItemView struct {
	UPC   string `json:"upc"`
	Units int64  `json:"units"`
}

// CartonView is a carton that has left.
type CartonView struct {
	TrackingNumber string     `json:"tracking_number"`
	LeftAt         time.Time  `json:"left_at"`
	Items          []ItemView `json:"items"`
}

// Orders returns the tickets of an account (its prefix; "" is all), oldest first,
// after the timed moves that are due. Of a number that was accepted twice both are there.
func (s *Simulator) Orders(account string) []TicketView {
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := s.now(); s.settle(now); {
	}
	var out []TicketView
	for _, b := range s.books {
		if account == "" || b.Prefix == account {
			for _, t := range b.tickets {
				out = append(out, t.view(b.Prefix))
			}
		}
	}
	slices.SortStableFunc(out, func(x, y TicketView) int { return x.AcceptedAt.Compare(y.AcceptedAt) })
	return out
}

// Order returns the newest ticket of a number, with or without an account's prefix.
func (s *Simulator) Order(number string) (TicketView, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, t := s.find(number, s.now())
	if t == nil {
		return TicketView{}, false
	}
	return t.view(b.Prefix), true
}

func (t *ticket) view(account string) TicketView {
	v := TicketView{
		Account: account, Number: t.Number, State: t.shownState(), Reason: t.Failed, ByClient: t.ByClient,
		AcceptedAt: t.Accepted, ImportedAt: t.Imported, UpdatedAt: t.Updated,
		Warehouse: t.warehouse(), ShipVia: t.Fields["ShipVia"], Service: t.Fields["ShipService"],
		PONumber: t.Fields["CustomerPONumber"], Order: t.Fields["OrderNumber"],
		Company: t.ShipTo["CompanyName"], Street: t.ShipTo["Address1"], ShipTo: t.ShipTo, Reserved: t.Reserved, Fields: t.Fields,
	}
	for _, l := range t.Lines {
		v.Lines = append(v.Lines, ItemView{l.UPC, l.Quantity})
	}
	for _, c := range t.Cartons {
		cv := CartonView{TrackingNumber: c.Tracking, LeftAt: c.Left}
		for _, u := range c.Items {
			cv.Items = append(cv.Items, ItemView{u.UPC, u.Quantity})
			v.UnitsShipped += u.Quantity
		}
		v.Cartons = append(v.Cartons, cv)
	}
	return v
}

// StockView is what lies in a warehouse and how much of it is promised.
type StockView struct {
	Account   string `json:"account"`
	UPC       string `json:"upc"`
	Warehouse string `json:"warehouse"`
	OnHand    int64  `json:"on_hand"`
	Pending   int64  `json:"pending"`
}

// Stock returns the stock of an account (its prefix; "" is all), by UPC and warehouse.
func (s *Simulator) Stock(account string) []StockView {
	s.mu.Lock()
	defer s.mu.Unlock()
	for now := s.now(); s.settle(now); {
	}
	var out []StockView
	for _, b := range s.books {
		if account != "" && b.Prefix != account {
			continue
		}
		for _, r := range b.rows(b.listed, nil) {
			out = append(out, StockView{b.Prefix, r.product.UPC, r.warehouse, r.level.onHand, r.level.pending})
		}
	}
	slices.SortStableFunc(out, func(x, y StockView) int {
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(x.UPC, y.UPC))
	})
	return out
}
