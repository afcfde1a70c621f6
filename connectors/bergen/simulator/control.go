package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Control serves the warehouse people's surface; README.md lists its calls. It
// asks for no credentials, so mount it where only they can reach it, never beside Handler.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /products", s.controlProduct)
	mux.HandleFunc("PUT /stock", s.controlStock)
	mux.HandleFunc("GET /stock", func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusOK, map[string]any{"stock": append([]StockView{}, s.Stock(r.URL.Query().Get("account"))...)})
	})
	mux.HandleFunc("GET /tickets", s.controlTickets)
	mux.HandleFunc("GET /tickets/{number}", func(w http.ResponseWriter, r *http.Request) { s.sayTicket(w, r.PathValue("number")) })
	mux.HandleFunc("POST /tickets/{number}/step", s.controlMove(s.Step))
	mux.HandleFunc("POST /tickets/{number}/cancel", s.controlMove(s.CancelAtWarehouse))
	mux.HandleFunc("POST /tickets/{number}/hold", s.controlMove(s.Hold))
	mux.HandleFunc("POST /tickets/{number}/release", s.controlMove(s.Release))
	mux.HandleFunc("POST /tickets/{number}/ship", s.controlShip)
	mux.HandleFunc("POST /tickets/{number}/status", s.controlStatus)
	mux.HandleFunc("POST /tickets/{number}/fail", s.controlFail)
	mux.HandleFunc("POST /receipts/{id}/receive", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Receive(r.PathValue("id")); err != nil {
			complain(w, err)
			return
		}
		say(w, http.StatusOK, struct{}{})
	})
	mux.HandleFunc("DELETE /tokens", func(w http.ResponseWriter, _ *http.Request) {
		s.ExpireTokens()
		say(w, http.StatusOK, struct{}{})
	})
	mux.HandleFunc("POST /faults", s.controlFault)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		say(w, http.StatusOK, struct{}{})
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("GET /violations", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, map[string]any{"violations": append([]string{}, s.Violations()...)})
	})
	mux.HandleFunc("GET /behaviour", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Behaviour()) })
	mux.HandleFunc("PUT /behaviour", s.controlBehaviour)
	mux.HandleFunc("GET /progress", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Progress()) })
	mux.HandleFunc("PUT /progress", s.controlProgress)
	return mux
}

func say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that left is its own affair
}

func complain(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, ErrWrongStep):
		status = http.StatusConflict
	}
	say(w, status, map[string]string{"error": err.Error()})
}

// hear reads a control request's body; an empty one leaves v as it is. It refuses
// fields that mean nothing, so that a slip of the pen is noticed.
func hear(w http.ResponseWriter, r *http.Request, v any) bool {
	if r.ContentLength == 0 {
		return true
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		complain(w, fmt.Errorf("body: %w", err))
		return false
	}
	return true
}

// duration is one that is written like "1m30s" in JSON.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func (s *Simulator) controlProduct(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Product
		Account string `json:"account"`
	}
	if !hear(w, r, &in) {
		return
	}
	if err := s.addProduct(in.Account, in.Product); err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusCreated, in)
}

func (s *Simulator) controlStock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Account   string `json:"account"`
		UPC       string `json:"upc"`
		Warehouse string `json:"warehouse"`
		Quantity  int64  `json:"quantity"`
	}
	if !hear(w, r, &in) {
		return
	}
	if err := s.setStock(in.Account, in.UPC, in.Warehouse, in.Quantity); err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusOK, in)
}

func (s *Simulator) controlTickets(w http.ResponseWriter, r *http.Request) {
	state := r.URL.Query().Get("state")
	out := slices.DeleteFunc(s.Orders(r.URL.Query().Get("account")), func(v TicketView) bool { return state != "" && v.State != state })
	say(w, http.StatusOK, map[string]any{"tickets": append([]TicketView{}, out...)})
}

func (s *Simulator) sayTicket(w http.ResponseWriter, number string) {
	v, ok := s.Order(number)
	if !ok {
		complain(w, fmt.Errorf("ticket %s: %w", number, ErrNotFound))
		return
	}
	say(w, http.StatusOK, v)
}

func (s *Simulator) controlMove(move func(string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.moved(w, r, move(r.PathValue("number"))) }
}

// moved shows the ticket of a move that worked.
func (s *Simulator) moved(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		complain(w, err)
		return
	}
	s.sayTicket(w, r.PathValue("number"))
}

func (s *Simulator) controlShip(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Packages []Package `json:"packages"`
	}
	if hear(w, r, &in) {
		s.moved(w, r, s.Ship(r.PathValue("number"), in.Packages...))
	}
}

func (s *Simulator) controlStatus(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Status string `json:"status"`
	}
	if hear(w, r, &in) {
		s.moved(w, r, s.SetStatus(r.PathValue("number"), in.Status))
	}
}

func (s *Simulator) controlFail(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Reason string `json:"reason"`
	}
	if hear(w, r, &in) {
		s.moved(w, r, s.FailImport(r.PathValue("number"), in.Reason))
	}
}

func (s *Simulator) controlFault(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Operation  string    `json:"operation"`
		Kind       FaultKind `json:"kind"`
		Account    string    `json:"account"`
		Count      int       `json:"count"`
		Rate       float64   `json:"rate"`
		Skip       int       `json:"skip"`
		Delay      duration  `json:"delay"`
		RetryAfter int       `json:"retry_after"`
	}
	if !hear(w, r, &in) {
		return
	}
	err := s.Inject(Fault{Operation: in.Operation, Kind: in.Kind, Account: in.Account, Count: in.Count, Rate: in.Rate,
		Skip: in.Skip, Delay: time.Duration(in.Delay), RetryAfter: in.RetryAfter})
	if err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusCreated, struct{}{})
}

// controlBehaviour changes the switches that are named and leaves the others.
func (s *Simulator) controlBehaviour(w http.ResponseWriter, r *http.Request) {
	b := s.Behaviour()
	b.Statuses, b.Codes = maps.Clone(b.Statuses), maps.Clone(b.Codes) // the old ones are still being read
	if !hear(w, r, b.json()) {
		return
	}
	if err := s.SetBehaviour(b); err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusOK, s.Behaviour())
}

func (s *Simulator) controlProgress(w http.ResponseWriter, r *http.Request) {
	p := s.Progress()
	if !hear(w, r, p.json()) {
		return
	}
	if err := s.SetProgress(p); err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusOK, s.Progress())
}

// behaviourJSON and progressJSON show durations as people write them.
type (
	plainBehaviour Behaviour
	behaviourJSON  struct {
		*plainBehaviour
		TokenLifetime *duration `json:"token_lifetime"`
	}
	progressJSON struct {
		ImportAfter  *duration `json:"import_after"`
		ProductAfter *duration `json:"product_after"`
		PrintAfter   *duration `json:"print_after"`
		ShipAfter    *duration `json:"ship_after"`
		CartonsEvery *int      `json:"cartons_every"`
	}
)

func (b *Behaviour) json() *behaviourJSON {
	return &behaviourJSON{(*plainBehaviour)(b), (*duration)(&b.TokenLifetime)}
}

func (p *Progress) json() *progressJSON {
	return &progressJSON{(*duration)(&p.ImportAfter), (*duration)(&p.ProductAfter),
		(*duration)(&p.PrintAfter), (*duration)(&p.ShipAfter), &p.CartonsEvery}
}

// MarshalJSON writes token_lifetime like "30m0s".
func (b Behaviour) MarshalJSON() ([]byte, error) { return json.Marshal(b.json()) }

// MarshalJSON writes durations like "2s".
func (p Progress) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }
