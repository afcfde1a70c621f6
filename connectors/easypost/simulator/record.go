package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"orderferry/connectors/simkit"
)

// Records are what the books and the journal hold. A record is never changed once
// it is in the books: a change puts a new copy in its place, so that answers can
// be rendered from old copies without a lock.

// State is where the warehouse has got to with an order. The vendor's own words
// are unknown; these are the wire page's (section 8), and Behaviour.Statuses
// renames them on the wire.
type State string

// The states.
const (
	Received   State = "received"
	Processing State = "processing" // picks exist; some packages may have left
	Shipped    State = "shipped"    // all units have left
	Refunded   State = "refunded"   // cancelled
	OnHold     State = "on_hold"
)

type order struct {
	N         int64         `json:"n"`
	Rev       int           `json:"rev"`
	ID        string        `json:"id"`
	Created   time.Time     `json:"created"`
	Updated   time.Time     `json:"updated"`
	Processed time.Time     `json:"processed,omitzero"`
	LastShip  time.Time     `json:"last_ship,omitzero"`
	State     State         `json:"state"`
	HeldFrom  State         `json:"held_from,omitempty"`
	Deleted   bool          `json:"deleted,omitempty"` // cancelled by the client, not by the warehouse
	Request   orderRequest  `json:"request"`
	Lines     []line        `json:"lines"`
	Reserved  []reservation `json:"reserved,omitempty"` // promised, not yet shipped
	Picks     []pick        `json:"picks,omitempty"`
	Voided    []string      `json:"voided,omitempty"` // ids of trackers whose label another one replaced
}

func (o *order) place() (time.Time, string) { return o.Created, o.ID }

// line is an order line whose product was found.
type line struct {
	ProductID string `json:"product_id"`
	Units     int64  `json:"units"`
}

// reservation is stock of one building promised to an order.
type reservation struct {
	ProductID string `json:"product_id"`
	Warehouse int    `json:"warehouse"`
	Units     int64  `json:"units"`
}

// pick is one package; it has left once it has a tracker.
type pick struct {
	Created   time.Time `json:"created"`
	Shipped   time.Time `json:"shipped,omitzero"`
	Items     []line    `json:"items"`
	TrackerID string    `json:"tracker_id,omitempty"`
}

type product struct {
	N              int64     `json:"n"`
	ID             string    `json:"id"`
	Created        time.Time `json:"created"`
	Updated        time.Time `json:"updated"`
	Deleted        bool      `json:"deleted,omitempty"`
	Title          string    `json:"title"`
	Barcode        string    `json:"barcode"`
	Type           string    `json:"type"`
	OriginCountry  string    `json:"origin_country"`
	HSCode         string    `json:"hs_code"`
	SerialTracking bool      `json:"requires_serial_tracking"`
	Length         dimension `json:"length,omitzero"`
	Width          dimension `json:"width,omitzero"`
	Height         dimension `json:"height,omitzero"`
	Weight         dimension `json:"weight,omitzero"`
	Price          dimension `json:"price,omitzero"`
}

func (p *product) place() (time.Time, string) { return p.Created, p.ID }

type dimension struct {
	Value json.Number `json:"value"`
	Unit  string      `json:"unit"`
}

type stockRecord struct {
	ProductID string `json:"product_id"`
	Warehouse int    `json:"warehouse"`
	OnHand    int64  `json:"on_hand"`
}

type tracker struct {
	N       int64     `json:"n"`
	Rev     int       `json:"rev"`
	ID      string    `json:"id"`
	OrderID string    `json:"order_id,omitempty"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Code    string    `json:"code"`
	Carrier string    `json:"carrier"`
	Service string    `json:"service,omitempty"`
	Status  string    `json:"status"`
	Scans   []scan    `json:"scans"`
}

func (t *tracker) place() (time.Time, string) { return t.Created, t.ID }

type scan struct {
	At      time.Time `json:"at"`
	Status  string    `json:"status"`
	Detail  string    `json:"detail"`
	Message string    `json:"message"`
}

type address struct {
	N        int64       `json:"n"`
	ID       string      `json:"id"`
	Created  time.Time   `json:"created"`
	Address  destination `json:"address"`
	Verified verdict     `json:"verified,omitempty"`
}

type hook struct {
	N       int64     `json:"n"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Deleted bool      `json:"deleted,omitempty"`
	URL     string    `json:"url"`
	Secret  string    `json:"secret,omitempty"`
}

func (h *hook) place() (time.Time, string) { return h.Created, h.ID }

// document is an inbound notice, an inbound package, a return, a serial number or
// a bill of lading: things the relay hardly touches, all kept in one way.
type document struct {
	N       int64                      `json:"n"`
	Kind    string                     `json:"kind"`
	ID      string                     `json:"id"`
	Parent  string                     `json:"parent,omitempty"`
	Created time.Time                  `json:"created"`
	Updated time.Time                  `json:"updated"`
	Status  string                     `json:"status,omitempty"`
	Deleted bool                       `json:"deleted,omitempty"`
	Fields  map[string]json.RawMessage `json:"fields,omitempty"` // as sent, known names only
	Lines   []documentLine             `json:"lines,omitempty"`
}

func (d *document) place() (time.Time, string) { return d.Created, d.ID }

type documentLine struct {
	ProductID string                     `json:"product_id"`
	Units     int64                      `json:"units"`
	Received  int64                      `json:"received,omitempty"`
	Fields    map[string]json.RawMessage `json:"fields,omitempty"`
}

// change is one mutation: everything in it happens or nothing does, also in the
// journal, where it is one line. For every object the last change wins.
type change struct {
	Mode      Mode             `json:"mode"`
	Orders    []*order         `json:"orders,omitempty"`
	Products  []*product       `json:"products,omitempty"`
	Stock     []stockRecord    `json:"stock,omitempty"`
	Trackers  []*tracker       `json:"trackers,omitempty"`
	Addresses []*address       `json:"addresses,omitempty"`
	Hooks     []*hook          `json:"hooks,omitempty"`
	Documents []*document      `json:"documents,omitempty"`
	Counts    map[string]int64 `json:"counts,omitempty"` // how many ids of each prefix were given out
}

// check refuses a change, read from a journal, that the books would stumble over.
func (c *change) check(warehouses int) error {
	for _, s := range c.Stock {
		if s.Warehouse < 0 || s.Warehouse >= warehouses {
			return fmt.Errorf("stock of %s: no warehouse %d", s.ProductID, s.Warehouse)
		}
	}
	for _, o := range c.Orders {
		for _, r := range o.Reserved {
			if r.Warehouse < 0 || r.Warehouse >= warehouses {
				return fmt.Errorf("order %s: no warehouse %d", o.ID, r.Warehouse)
			}
		}
	}
	return nil
}

// part is the id of something inside a record, such as its second line.
func part(prefix, parent string, indexes ...int) string {
	b := append(make([]byte, 0, 64), parent...)
	for _, i := range indexes {
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(i), 10)
	}
	return prefix + simkit.Identify(0, prefix, string(b))
}

// unshipped returns the units of each product that have not left, in line order.
func (o *order) unshipped() []line {
	var left []line
	for _, l := range o.Lines {
		if i := slices.IndexFunc(left, func(x line) bool { return x.ProductID == l.ProductID }); i >= 0 {
			left[i].Units += l.Units
			continue
		}
		left = append(left, l)
	}
	for _, p := range o.Picks {
		if p.TrackerID == "" {
			continue
		}
		for _, item := range p.Items {
			if i := slices.IndexFunc(left, func(x line) bool { return x.ProductID == item.ProductID }); i >= 0 {
				left[i].Units -= item.Units
			}
		}
	}
	return slices.DeleteFunc(left, func(x line) bool { return x.Units <= 0 })
}
