package connectortest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"orderferry/relay"
)

// yard is a system made for the suite's own tests: a cart and a warehouse in
// one, which takes whatever it is sent.
type yard struct {
	mu     sync.Mutex
	seq    int64
	nextID int64
	orders []*yardOrder
	levels map[string]string
	held   []*yardHeld
	stock  map[string]relay.Quantity
	pages  string // how lists are spoilt
	turned map[string]bool
	forget bool
	http.ServeMux
}

type yardOrder struct {
	ID      int64         `json:"id"`
	Number  string        `json:"number"`
	Status  string        `json:"status"`
	Seq     int64         `json:"seq"` // rises with each change
	Placed  time.Time     `json:"placed"`
	Updated time.Time     `json:"updated"`
	ShipTo  relay.Address `json:"ship_to"`
	Lines   []yardLine    `json:"lines"`
	Parcels []yardParcel  `json:"parcels"`
}

type yardLine struct {
	ID       int64  `json:"id"`
	SKU      string `json:"sku"`
	Quantity string `json:"quantity"`
}

type yardParcel struct {
	ID       int64           `json:"id"`
	Key      string          `json:"key"`
	Tracking string          `json:"tracking"`
	Lines    map[int64]int64 `json:"lines"`
}

type yardHeld struct {
	ID       string          `json:"id"`
	Seq      int64           `json:"seq"`
	Token    string          `json:"token"`
	State    string          `json:"state"` // open, picked, cancelled, part, shipped
	Created  time.Time       `json:"created"`
	ShipTo   relay.Address   `json:"ship_to"`
	Items    []relay.Item    `json:"items"`
	Packages []relay.Package `json:"packages"`
}

const yardPage = 5

func newYard(testing.TB) *yard {
	y := &yard{levels: map[string]string{}, stock: map[string]relay.Quantity{}, nextID: 100, turned: map[string]bool{}}
	handle := func(pattern string, f func(r *http.Request, body []byte) (int, any)) {
		y.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			y.mu.Lock()
			defer y.mu.Unlock()
			var body json.RawMessage
			_ = json.NewDecoder(r.Body).Decode(&body)
			status, v := http.StatusUnauthorized, any(map[string]string{"error": "who is it?"})
			if r.Header.Get("Authorization") == "Bearer canary-yard-key" {
				status, v = f(r, body)
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		})
	}
	handle("GET /account", func(*http.Request, []byte) (int, any) { return 200, map[string]string{"account": "Yard"} })
	handle("GET /orders", y.listOrders)
	handle("GET /orders/{id}", func(r *http.Request, _ []byte) (int, any) {
		if o := y.order(r.PathValue("id")); o != nil {
			return 200, o
		}
		return 404, none
	})
	handle("POST /orders/{id}/void", func(r *http.Request, _ []byte) (int, any) {
		o := y.order(r.PathValue("id"))
		if o == nil {
			return 404, none
		}
		o.Status = "void"
		y.touch(o)
		return 200, o
	})
	handle("POST /orders/{id}/parcels", y.addParcel)
	handle("GET /levels", func(r *http.Request, _ []byte) (int, any) {
		out := map[string]string{}
		for _, s := range r.URL.Query()["sku"] {
			if l, ok := y.levels[s]; ok {
				out[s] = l
			}
		}
		return 200, map[string]any{"levels": out}
	})
	handle("POST /levels/{sku}", func(r *http.Request, body []byte) (int, any) { // by a difference; an unknown SKU is made
		var in struct{ By string }
		_ = json.Unmarshal(body, &in)
		by, err := relay.ParseQuantity(in.By)
		have, _ := relay.ParseQuantity(cmp.Or(y.levels[r.PathValue("sku")], "0"))
		if err != nil {
			return 422, none
		}
		y.levels[r.PathValue("sku")] = (have + by).String()
		return 200, map[string]string{"level": y.levels[r.PathValue("sku")]}
	})
	handle("POST /held", y.take)
	handle("GET /held", y.listHeld)
	handle("GET /held/{id}", func(r *http.Request, _ []byte) (int, any) {
		for _, h := range y.held {
			if h.ID == r.PathValue("id") {
				twice := *h // each package is told twice
				twice.Packages = append(slices.Clone(h.Packages), h.Packages...)
				return 200, twice
			}
		}
		return 404, none
	})
	handle("DELETE /held/{id}", func(r *http.Request, _ []byte) (int, any) {
		for _, h := range y.held {
			if h.ID == r.PathValue("id") && h.State == "open" {
				h.State = "cancelled"
			}
		}
		return 202, map[string]string{"status": "noted"}
	})
	handle("GET /stock", y.listStock)
	handle("GET /sites", func(*http.Request, []byte) (int, any) { return 200, map[string]any{"sites": []string{"A", "B"}} })
	handle("GET /address", func(r *http.Request, _ []byte) (int, any) {
		return 200, map[string]bool{"good": r.URL.Query().Get("zip") != ""}
	})
	handle("GET /parcels", func(r *http.Request, _ []byte) (int, any) {
		out := map[string]string{}
		for _, h := range y.held {
			for _, p := range h.Packages {
				if slices.Contains(r.URL.Query()["n"], p.TrackingNumber) {
					out[p.TrackingNumber] = "in_transit"
				}
			}
		}
		return 200, map[string]any{"parcels": out}
	})
	return y
}

var none = map[string]string{"error": "no such thing"}

func (y *yard) id() int64 { y.nextID++; return y.nextID }

func (y *yard) touch(o *yardOrder) {
	y.seq++
	o.Seq, o.Updated = y.seq, time.Now().UTC()
}

func (y *yard) order(id string) *yardOrder {
	for _, o := range y.orders {
		if strconv.FormatInt(o.ID, 10) == id {
			return o
		}
	}
	return nil
}

// page cuts a page out of rows that are sorted by rank: those behind "after", or
// from "offset" on. Pages behind the first may be spoilt.
func page[R any](y *yard, r *http.Request, rows []R, rank func(R) int64) map[string]any {
	q := r.URL.Query()
	after, _ := strconv.ParseInt(q.Get("after"), 10, 64)
	limit, _ := strconv.Atoi(q.Get("limit"))
	from, _ := strconv.Atoi(q.Get("offset"))
	if !q.Has("offset") {
		for from < len(rows) && rank(rows[from]) <= after {
			from++
		}
		once := r.URL.Path + q.Get("after")
		switch {
		case from == 0:
		case y.pages == "repeated" && !y.turned[once]:
			y.turned[once] = true
			from = max(0, from-limit)
		case y.pages == "shifted" && limit > 1:
			from--
		}
	}
	from = min(from, len(rows))
	to := min(from+limit, len(rows))
	return map[string]any{"rows": append([]R{}, rows[from:to]...), "more": to < len(rows), "total": len(rows)}
}

func (y *yard) listOrders(r *http.Request, _ []byte) (int, any) {
	rows := slices.SortedFunc(slices.Values(y.orders), func(a, b *yardOrder) int { return cmp.Compare(a.Seq, b.Seq) })
	return 200, page(y, r, rows, func(o *yardOrder) int64 { return o.Seq })
}

func (y *yard) listHeld(r *http.Request, _ []byte) (int, any) {
	return 200, page(y, r, y.held, func(h *yardHeld) int64 { return h.Seq })
}

func (y *yard) listStock(r *http.Request, _ []byte) (int, any) {
	type row struct {
		Rank  int64  `json:"rank"`
		Code  string `json:"code"`
		Level string `json:"level"`
	}
	var rows []row
	for _, code := range slices.Sorted(maps.Keys(y.stock)) {
		level := y.stock[code]
		for _, h := range y.held {
			for _, i := range h.Items {
				if string(i.Code) == code && h.State != "cancelled" {
					level -= relay.Units(i.Units)
				}
			}
		}
		n, _ := strconv.ParseInt(code, 10, 64)
		rows = append(rows, row{n, code, level.String()})
	}
	return 200, page(y, r, rows, func(r row) int64 { return r.Rank })
}

func (y *yard) addParcel(r *http.Request, body []byte) (int, any) {
	o := y.order(r.PathValue("id"))
	if o == nil {
		return 404, none
	}
	var p yardParcel
	if json.Unmarshal(body, &p) != nil {
		return 422, none
	}
	p.ID = y.id()
	o.Parcels = append(o.Parcels, p)
	y.touch(o)
	return 201, p
}

func (y *yard) take(_ *http.Request, body []byte) (int, any) {
	var h yardHeld
	if json.Unmarshal(body, &h) != nil {
		return 422, none
	}
	for _, i := range h.Items {
		if have, ok := y.stock[string(i.Code)]; !ok || have < relay.Quantity(i.Units)*relay.Units(1) {
			return 422, map[string]string{"error": "not in stock"}
		}
	}
	y.seq++
	h.ID, h.Seq, h.State, h.Created = fmt.Sprint("H", y.id()), y.seq, "open", time.Now().UTC()
	if y.forget {
		h.Token = ""
	}
	y.held = append(y.held, &h)
	return 201, h
}

// The system as the suite knows it.

func (y *yard) lock() func() { y.mu.Lock(); return y.mu.Unlock }

func (y *yard) TurnPages(how string) error { defer y.lock()(); y.pages = how; return nil }
func (y *yard) UseBigNumbers() error       { defer y.lock()(); y.nextID = 1 << 53; return nil }
func (y *yard) ForgetMarks() error         { defer y.lock()(); y.forget = true; return nil }

func (y *yard) PlaceOrder(o relay.CartOrder) (relay.CartOrder, error) {
	defer y.lock()()
	row := &yardOrder{ID: y.id(), Number: o.Number, Status: "open", Placed: time.Now().UTC(), ShipTo: o.ShipTo}
	o.ExternalID = external(row.ID)
	o.Lines = slices.Clone(o.Lines)
	for i, l := range o.Lines {
		id := y.id()
		row.Lines = append(row.Lines, yardLine{id, string(l.SKU), l.Quantity.String()})
		o.Lines[i].ID = relay.LineID(strconv.FormatInt(id, 10))
	}
	y.orders = append(y.orders, row)
	y.touch(row)
	return o, nil
}

func external(id int64) relay.ExternalID { return relay.ExternalID(strconv.FormatInt(id, 10)) }

func (y *yard) EditOrder(id relay.ExternalID, name string) error {
	defer y.lock()()
	o := y.order(string(id))
	o.ShipTo.Name = name
	y.touch(o)
	return nil
}

func (y *yard) VoidOrder(id relay.ExternalID) error {
	defer y.lock()()
	o := y.order(string(id))
	o.Status = "void"
	y.touch(o)
	return nil
}

func (y *yard) Voided(id relay.ExternalID) (bool, error) {
	defer y.lock()()
	return y.order(string(id)).Status == "void", nil
}

func (y *yard) ShipByHand(id relay.ExternalID, tracking string) error {
	defer y.lock()()
	o := y.order(string(id))
	p := yardParcel{ID: y.id(), Tracking: tracking, Lines: map[int64]int64{}}
	for _, l := range o.Lines {
		p.Lines[l.ID], _ = strconv.ParseInt(l.Quantity, 10, 64)
	}
	o.Parcels = append(o.Parcels, p)
	y.touch(o)
	return nil
}

func (y *yard) Parcels(id relay.ExternalID) ([]Parcel, error) {
	defer y.lock()()
	o := y.order(string(id))
	var out []Parcel
	for _, p := range o.Parcels {
		units := map[relay.SKU]int64{}
		for _, l := range o.Lines {
			if n := p.Lines[l.ID]; n > 0 {
				units[relay.SKU(l.SKU)] += n
			}
		}
		out = append(out, Parcel{TrackingNumber: p.Tracking, Shipped: true, Units: units})
	}
	return out, nil
}

func (y *yard) SetLevel(s relay.SKU, q relay.Quantity) error {
	defer y.lock()()
	y.levels[string(s)] = q.String()
	return nil
}

func (y *yard) Level(s relay.SKU) (relay.Quantity, bool, error) {
	defer y.lock()()
	l, ok := y.levels[string(s)]
	if !ok {
		return 0, false, nil
	}
	q, err := relay.ParseQuantity(l)
	return q, true, err
}

func (y *yard) Stock(c relay.ItemCode, q relay.Quantity) error {
	defer y.lock()()
	y.stock[string(c)] = q
	return nil
}

func (y *yard) Orders() ([]Held, error) {
	defer y.lock()()
	var out []Held
	for _, h := range y.held {
		out = append(out, Held{ID: relay.WarehouseOrderID(h.ID), ShipTo: h.ShipTo, Items: h.Items, Cancelled: h.State == "cancelled"})
	}
	return out, nil
}

func (y *yard) set(id relay.WarehouseOrderID, change func(*yardHeld)) error {
	defer y.lock()()
	for _, h := range y.held {
		if h.ID == string(id) {
			change(h)
			return nil
		}
	}
	return fmt.Errorf("no order %s", id)
}

func (y *yard) Ship(id relay.WarehouseOrderID, packages ...relay.Package) error {
	return y.set(id, func(h *yardHeld) {
		h.Packages = append(h.Packages, packages...)
		left := int64(0)
		for _, i := range h.Items {
			left += i.Units
		}
		for _, p := range h.Packages {
			for _, i := range p.Items {
				left -= i.Units
			}
		}
		if h.State = "part"; left <= 0 {
			h.State = "shipped"
		}
	})
}

func (y *yard) Pick(id relay.WarehouseOrderID) error {
	return y.set(id, func(h *yardHeld) { h.State = "picked" })
}

func (y *yard) Drop(id relay.WarehouseOrderID) error {
	return y.set(id, func(h *yardHeld) { h.State = "cancelled" })
}
