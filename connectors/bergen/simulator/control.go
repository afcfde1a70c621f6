package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"orderferry/connectors/simkit"
)

// Control serves the warehouse people's surface; README.md lists its calls. It
// asks for no credentials, so mount it where only they can reach it, never beside Handler.
func (s *Simulator) Control() http.Handler {
	c := simkit.NewControl(maxBody)
	c.Create("POST /products", s.controlProduct)
	c.Handle("PUT /stock", s.controlStock)
	c.Handle("GET /stock", func(r *http.Request) (any, error) {
		return map[string]any{"stock": append([]StockView{}, s.Stock(r.URL.Query().Get("account"))...)}, nil
	})
	c.Handle("GET /tickets", s.controlTickets)
	c.Handle("GET /tickets/{number}", func(r *http.Request) (any, error) { return s.moved(r, nil) })
	c.Handle("POST /tickets/{number}/step", s.controlMove(s.Step))
	c.Handle("POST /tickets/{number}/cancel", s.controlMove(s.CancelAtWarehouse))
	c.Handle("POST /tickets/{number}/hold", s.controlMove(s.Hold))
	c.Handle("POST /tickets/{number}/release", s.controlMove(s.Release))
	c.Handle("POST /tickets/{number}/ship", s.controlShip)
	c.Handle("POST /tickets/{number}/close", s.controlMove(s.CloseShort))
	c.Handle("POST /tickets/{number}/relabel", s.controlRelabel)
	c.Handle("POST /tickets/{number}/status", s.controlStatus)
	c.Handle("POST /tickets/{number}/fail", s.controlFail)
	c.Handle("POST /receipts/{id}/receive", func(r *http.Request) (any, error) { return simkit.Done(s.Receive(r.PathValue("id"))) })
	c.Handle("DELETE /tokens", func(*http.Request) (any, error) { s.ExpireTokens(); return simkit.Done(nil) })
	c.Create("POST /faults", s.controlFault)
	c.Handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return simkit.Done(nil) })
	c.Handle("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	c.Handle("GET /violations", func(*http.Request) (any, error) {
		return map[string]any{"violations": append([]string{}, s.Violations()...)}, nil
	})
	simkit.Setting(c, "/behaviour", s.behaviourCopy, s.SetBehaviour, (*Behaviour).json)
	simkit.Setting(c, "/progress", s.Progress, s.SetProgress, (*Progress).json)
	return c
}

func (s *Simulator) controlProduct(r *http.Request) (any, error) {
	var in struct {
		Product
		Account string `json:"account"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return in, s.addProduct(in.Account, in.Product)
}

func (s *Simulator) controlStock(r *http.Request) (any, error) {
	var in struct {
		Account   string `json:"account"`
		UPC       string `json:"upc"`
		Warehouse string `json:"warehouse"`
		Quantity  int64  `json:"quantity"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return in, s.setStock(in.Account, in.UPC, in.Warehouse, in.Quantity)
}

func (s *Simulator) controlTickets(r *http.Request) (any, error) {
	state := r.URL.Query().Get("state")
	out := slices.DeleteFunc(s.Orders(r.URL.Query().Get("account")), func(v TicketView) bool { return state != "" && v.State != state })
	return map[string]any{"tickets": append([]TicketView{}, out...)}, nil
}

// moved shows the ticket of a move that worked.
func (s *Simulator) moved(r *http.Request, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	number := r.PathValue("number")
	v, ok := s.Order(number)
	if !ok {
		return nil, fmt.Errorf("ticket %s: %w", number, ErrNotFound)
	}
	return v, nil
}

func (s *Simulator) controlMove(move func(string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) { return s.moved(r, move(r.PathValue("number"))) }
}

func (s *Simulator) controlShip(r *http.Request) (any, error) {
	var in struct {
		Packages []Package `json:"packages"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return s.moved(r, s.Ship(r.PathValue("number"), in.Packages...))
}

func (s *Simulator) controlRelabel(r *http.Request) (any, error) {
	var in struct {
		Tracking string `json:"tracking_number"`
		With     string `json:"with"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return s.moved(r, s.Relabel(r.PathValue("number"), in.Tracking, in.With))
}

func (s *Simulator) controlStatus(r *http.Request) (any, error) {
	var in struct {
		Status string `json:"status"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return s.moved(r, s.SetStatus(r.PathValue("number"), in.Status))
}

func (s *Simulator) controlFail(r *http.Request) (any, error) {
	var in struct {
		Reason string `json:"reason"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return s.moved(r, s.FailImport(r.PathValue("number"), in.Reason))
}

func (s *Simulator) controlFault(r *http.Request) (any, error) {
	var in struct {
		Operation  string          `json:"operation"`
		Kind       FaultKind       `json:"kind"`
		Account    string          `json:"account"`
		Count      int             `json:"count"`
		Rate       float64         `json:"rate"`
		Skip       int             `json:"skip"`
		Delay      simkit.Duration `json:"delay"`
		RetryAfter int             `json:"retry_after"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return simkit.Done(s.Inject(Fault{Operation: in.Operation, Kind: in.Kind, Account: in.Account, Count: in.Count, Rate: in.Rate,
		Skip: in.Skip, Delay: time.Duration(in.Delay), RetryAfter: in.RetryAfter}))
}

// behaviourCopy has maps of its own: the old ones are still being read.
func (s *Simulator) behaviourCopy() Behaviour {
	b := s.Behaviour()
	b.Statuses, b.Codes = maps.Clone(b.Statuses), maps.Clone(b.Codes)
	return b
}

// behaviourJSON and progressJSON show durations as people write them.
type (
	plainBehaviour Behaviour
	behaviourJSON  struct {
		*plainBehaviour
		TokenLifetime *simkit.Duration `json:"token_lifetime"`
	}
	progressJSON struct {
		ImportAfter  *simkit.Duration `json:"import_after"`
		ProductAfter *simkit.Duration `json:"product_after"`
		PrintAfter   *simkit.Duration `json:"print_after"`
		ShipAfter    *simkit.Duration `json:"ship_after"`
		CartonsEvery *int             `json:"cartons_every"`
	}
)

func (b *Behaviour) json() any {
	return &behaviourJSON{(*plainBehaviour)(b), (*simkit.Duration)(&b.TokenLifetime)}
}

func (p *Progress) json() any {
	return &progressJSON{(*simkit.Duration)(&p.ImportAfter), (*simkit.Duration)(&p.ProductAfter),
		(*simkit.Duration)(&p.PrintAfter), (*simkit.Duration)(&p.ShipAfter), &p.CartonsEvery}
}

// MarshalJSON writes token_lifetime like "30m0s".
func (b Behaviour) MarshalJSON() ([]byte, error) { return json.Marshal(b.json()) }

// MarshalJSON writes durations like "2s".
func (p Progress) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }
