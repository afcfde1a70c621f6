package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"orderferry/connectors/simkit"
)

// Control serves the warehouse people's surface; README.md lists its calls. It
// asks for no key, so mount it where only they can reach it, never beside Handler.
func (s *Simulator) Control() http.Handler {
	c := simkit.NewControl(maxBody)
	c.Create("POST /products", s.controlProduct)
	c.Handle("PUT /stock", s.controlStock)
	c.Handle("GET /stock", func(r *http.Request) (any, error) {
		return map[string]any{"stock": append([]StockView{}, s.Stock(modeOf(r))...)}, nil
	})
	c.Handle("GET /orders", s.controlOrders)
	c.Handle("GET /orders/{id}", func(r *http.Request) (any, error) { return s.moved(r, nil) })
	c.Handle("POST /orders/{id}/step", s.controlMove(s.Step))
	c.Handle("POST /orders/{id}/cancel", s.controlMove(s.CancelAtWarehouse))
	c.Handle("POST /orders/{id}/hold", s.controlMove(s.Hold))
	c.Handle("POST /orders/{id}/release", s.controlMove(s.Release))
	c.Handle("POST /orders/{id}/ship", s.controlShip)
	c.Handle("POST /orders/{id}/close", s.controlMove(s.CloseShort))
	c.Handle("POST /orders/{id}/relabel", s.controlRelabel)
	c.Handle("POST /trackers/{id}/step", s.controlTracker)
	c.Create("POST /faults", s.controlFault)
	c.Handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return simkit.Done(nil) })
	c.Handle("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	simkit.Setting(c, "/behaviour", s.behaviourCopy, s.SetBehaviour, (*Behaviour).json)
	simkit.Setting(c, "/progress", s.Progress, s.SetProgress, (*Progress).json)
	c.Handle("POST /webhooks/send", s.controlSend)
	return c
}

func (s *Simulator) controlProduct(r *http.Request) (any, error) {
	var in struct{ Barcode, Title string }
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	if in.Barcode == "" {
		return nil, errors.New("barcode: required")
	}
	if in.Title == "" {
		in.Title = in.Barcode
	}
	return map[string]string{"id": s.AddProduct(in.Barcode, in.Title)}, nil
}

func (s *Simulator) controlStock(r *http.Request) (any, error) {
	var in struct {
		Barcode   string `json:"barcode"`
		Warehouse string `json:"warehouse"`
		Quantity  int64  `json:"quantity"`
		Mode      Mode   `json:"mode,omitempty"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	where := modes()
	if in.Mode != "" {
		if in.Mode != Production && in.Mode != Test {
			return nil, fmt.Errorf("mode %q: %w", in.Mode, ErrNotFound)
		}
		where = []Mode{in.Mode}
	}
	return in, s.setStock(where, in.Barcode, in.Warehouse, in.Quantity)
}

// modeOf reads ?mode=, which is production unless said otherwise.
func modeOf(r *http.Request) Mode {
	if r.URL.Query().Get("mode") == string(Test) {
		return Test
	}
	return Production
}

func (s *Simulator) controlOrders(r *http.Request) (any, error) {
	state := State(r.URL.Query().Get("state"))
	out := []OrderView{}
	for _, o := range s.Orders(modeOf(r)) {
		if state == "" || o.State == state {
			out = append(out, o)
		}
	}
	return map[string]any{"orders": out}, nil
}

// moved shows the order of a move that worked.
func (s *Simulator) moved(r *http.Request, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	o, ok := s.Order(r.PathValue("id"))
	if !ok {
		return nil, ErrNotFound
	}
	return o, nil
}

func (s *Simulator) controlMove(move func(string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) { return s.moved(r, move(r.PathValue("id"))) }
}

func (s *Simulator) controlShip(r *http.Request) (any, error) {
	var in struct{ Packages []Package }
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return s.moved(r, s.Ship(r.PathValue("id"), in.Packages...))
}

func (s *Simulator) controlRelabel(r *http.Request) (any, error) {
	var in struct {
		Code string `json:"tracking_code"`
		With string `json:"with"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return s.moved(r, s.Relabel(r.PathValue("id"), in.Code, in.With))
}

func (s *Simulator) controlTracker(r *http.Request) (any, error) {
	var in struct{ Status string }
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return simkit.Done(s.StepTracker(r.PathValue("id"), in.Status))
}

func (s *Simulator) controlFault(r *http.Request) (any, error) {
	var in struct {
		Route      string
		Kind       FaultKind
		Mode       Mode
		Count      int
		Rate       float64
		Skip       int
		Delay      simkit.Duration
		RetryAfter int `json:"retry_after"`
	}
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	return simkit.Done(s.Inject(Fault{Route: in.Route, Kind: in.Kind, Mode: in.Mode, Count: in.Count, Rate: in.Rate,
		Skip: in.Skip, Delay: time.Duration(in.Delay), RetryAfter: in.RetryAfter}))
}

// behaviourCopy has maps of its own: the old ones are still being read.
func (s *Simulator) behaviourCopy() Behaviour {
	b := s.Behaviour()
	b.Statuses, b.Codes = maps.Clone(b.Statuses), maps.Clone(b.Codes)
	return b
}

func (s *Simulator) controlSend(r *http.Request) (any, error) {
	var in WebhookSend
	if err := simkit.Read(r, &in); err != nil {
		return nil, err
	}
	deliveries, err := s.SendWebhooks(r.Context(), in)
	return map[string]any{"deliveries": deliveries}, err
}

// behaviourJSON and progressJSON show durations as people write them.
type (
	plainBehaviour Behaviour
	behaviourJSON  struct {
		*plainBehaviour
		ListDelay *simkit.Duration `json:"list_delay"`
	}
	progressJSON struct {
		ProcessAfter  *simkit.Duration `json:"process_after"`
		ShipAfter     *simkit.Duration `json:"ship_after"`
		TransitAfter  *simkit.Duration `json:"transit_after"`
		DeliverAfter  *simkit.Duration `json:"deliver_after"`
		PackagesEvery *int             `json:"packages_every"`
	}
)

func (b *Behaviour) json() any {
	return &behaviourJSON{(*plainBehaviour)(b), (*simkit.Duration)(&b.ListDelay)}
}

func (p *Progress) json() any {
	return &progressJSON{(*simkit.Duration)(&p.ProcessAfter), (*simkit.Duration)(&p.ShipAfter),
		(*simkit.Duration)(&p.TransitAfter), (*simkit.Duration)(&p.DeliverAfter), &p.PackagesEvery}
}

// MarshalJSON writes list_delay like "2s".
func (b Behaviour) MarshalJSON() ([]byte, error) { return json.Marshal(b.json()) }

// MarshalJSON writes durations like "2s".
func (p Progress) MarshalJSON() ([]byte, error) { return json.Marshal(p.json()) }
