package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Control serves the warehouse people's surface; README.md lists its calls. It
// asks for no key, so mount it where only they can reach it, never beside Handler.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /products", s.controlProduct)
	mux.HandleFunc("PUT /stock", s.controlStock)
	mux.HandleFunc("GET /stock", func(w http.ResponseWriter, r *http.Request) {
		say(w, http.StatusOK, map[string]any{"stock": append([]StockView{}, s.Stock(modeOf(r))...)})
	})
	mux.HandleFunc("GET /orders", s.controlOrders)
	mux.HandleFunc("GET /orders/{id}", s.controlOrder)
	mux.HandleFunc("POST /orders/{id}/step", s.controlMove(s.Step))
	mux.HandleFunc("POST /orders/{id}/cancel", s.controlMove(s.CancelAtWarehouse))
	mux.HandleFunc("POST /orders/{id}/hold", s.controlMove(s.Hold))
	mux.HandleFunc("POST /orders/{id}/release", s.controlMove(s.Release))
	mux.HandleFunc("POST /orders/{id}/ship", s.controlShip)
	mux.HandleFunc("POST /trackers/{id}/step", s.controlTracker)
	mux.HandleFunc("POST /faults", s.controlFault)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		say(w, http.StatusOK, struct{}{})
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("GET /behaviour", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Behaviour()) })
	mux.HandleFunc("PUT /behaviour", s.controlBehaviour)
	mux.HandleFunc("GET /progress", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, s.Progress()) })
	mux.HandleFunc("PUT /progress", s.controlProgress)
	mux.HandleFunc("POST /webhooks/send", s.controlSend)
	return mux
}

func say(w http.ResponseWriter, status int, v any) {
	contentType, body := asJSON(v)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
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
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

func (s *Simulator) controlProduct(w http.ResponseWriter, r *http.Request) {
	var in struct{ Barcode, Title string }
	if !hear(w, r, &in) {
		return
	}
	if in.Barcode == "" {
		complain(w, errors.New("barcode: required"))
		return
	}
	if in.Title == "" {
		in.Title = in.Barcode
	}
	say(w, http.StatusCreated, map[string]string{"id": s.AddProduct(in.Barcode, in.Title)})
}

func (s *Simulator) controlStock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Barcode   string `json:"barcode"`
		Warehouse string `json:"warehouse"`
		Quantity  int64  `json:"quantity"`
		Mode      Mode   `json:"mode,omitempty"`
	}
	if !hear(w, r, &in) {
		return
	}
	where := modes()
	if in.Mode != "" {
		if in.Mode != Production && in.Mode != Test {
			complain(w, fmt.Errorf("mode %q: %w", in.Mode, ErrNotFound))
			return
		}
		where = []Mode{in.Mode}
	}
	if err := s.setStock(where, in.Barcode, in.Warehouse, in.Quantity); err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusOK, in)
}

// modeOf reads ?mode=, which is production unless said otherwise.
func modeOf(r *http.Request) Mode {
	if r.URL.Query().Get("mode") == string(Test) {
		return Test
	}
	return Production
}

func (s *Simulator) controlOrders(w http.ResponseWriter, r *http.Request) {
	state := State(r.URL.Query().Get("state"))
	out := []OrderView{}
	for _, o := range s.Orders(modeOf(r)) {
		if state == "" || o.State == state {
			out = append(out, o)
		}
	}
	say(w, http.StatusOK, map[string]any{"orders": out})
}

func (s *Simulator) controlOrder(w http.ResponseWriter, r *http.Request) {
	s.sayOrder(w, r.PathValue("id"))
}

func (s *Simulator) sayOrder(w http.ResponseWriter, id string) {
	o, ok := s.Order(id)
	if !ok {
		complain(w, ErrNotFound)
		return
	}
	say(w, http.StatusOK, o)
}

func (s *Simulator) controlMove(move func(string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := move(r.PathValue("id")); err != nil {
			complain(w, err)
			return
		}
		s.sayOrder(w, r.PathValue("id"))
	}
}

func (s *Simulator) controlShip(w http.ResponseWriter, r *http.Request) {
	var in struct{ Packages []Package }
	if !hear(w, r, &in) {
		return
	}
	if err := s.Ship(r.PathValue("id"), in.Packages...); err != nil {
		complain(w, err)
		return
	}
	s.sayOrder(w, r.PathValue("id"))
}

func (s *Simulator) controlTracker(w http.ResponseWriter, r *http.Request) {
	var in struct{ Status string }
	if !hear(w, r, &in) {
		return
	}
	if err := s.StepTracker(r.PathValue("id"), in.Status); err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusOK, struct{}{})
}

func (s *Simulator) controlFault(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Route      string
		Kind       FaultKind
		Mode       Mode
		Count      int
		Rate       float64
		Skip       int
		Delay      duration
		RetryAfter int `json:"retry_after"`
	}
	if !hear(w, r, &in) {
		return
	}
	err := s.Inject(Fault{Route: in.Route, Kind: in.Kind, Mode: in.Mode, Count: in.Count, Rate: in.Rate,
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

func (s *Simulator) controlSend(w http.ResponseWriter, r *http.Request) {
	var in WebhookSend
	if !hear(w, r, &in) {
		return
	}
	deliveries, err := s.SendWebhooks(r.Context(), in)
	if err != nil {
		complain(w, err)
		return
	}
	say(w, http.StatusOK, map[string]any{"deliveries": deliveries})
}

// behaviourJSON and progressJSON show durations as people write them.
type (
	plainBehaviour Behaviour
	behaviourJSON  struct {
		*plainBehaviour
		ListDelay *duration `json:"list_delay"`
	}
	progressJSON struct {
		ProcessAfter  *duration `json:"process_after"`
		ShipAfter     *duration `json:"ship_after"`
		TransitAfter  *duration `json:"transit_after"`
		DeliverAfter  *duration `json:"deliver_after"`
		PackagesEvery *int      `json:"packages_every"`
	}
)

func (b *Behaviour) json() *behaviourJSON {
	return &behaviourJSON{(*plainBehaviour)(b), (*duration)(&b.ListDelay)}
}

func (p *Progress) json() *progressJSON {
	return &progressJSON{(*duration)(&p.ProcessAfter), (*duration)(&p.ShipAfter),
		(*duration)(&p.TransitAfter), (*duration)(&p.DeliverAfter), &p.PackagesEvery}
}

// MarshalJSON writes list_delay like "2s".
func (b Behaviour) MarshalJSON() ([]byte, error) { return json.Marshal(b.json()) }

// MarshalJSON writes durations like "2s".
func (p Progress) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }
