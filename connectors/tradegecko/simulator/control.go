package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Control is the control surface: what a merchant does, faults, switches and
// counts, as JSON. It asks for no token; serve it on a port of its own.
func (s *Simulator) Control() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			out, err := f(r)
			if err != nil {
				answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			answer(w, http.StatusOK, out)
		})
	}
	onOrder := func(action string, f func(r *http.Request, account, number string) (any, error)) {
		handle("POST /accounts/{account}/orders/{number}/"+action, func(r *http.Request) (any, error) {
			return f(r, r.PathValue("account"), r.PathValue("number"))
		})
	}
	plain := func(f func(account, number string) error) func(*http.Request, string, string) (any, error) {
		return func(_ *http.Request, account, number string) (any, error) {
			if err := f(account, number); err != nil {
				return nil, err
			}
			return s.Order(account, number)
		}
	}
	onOrder("finalize", plain(s.Finalize))
	onOrder("revert", plain(s.Revert))
	onOrder("void", plain(s.Void))
	onOrder("restore", plain(s.Restore))
	onOrder("delete", plain(s.DeleteDraft))
	onOrder("pack", s.controlPack)
	onOrder("ship", s.controlShip)
	onOrder("edit", s.controlEdit)
	onOrder("address", s.controlAddress)
	handle("POST /accounts/{account}/orders", s.controlOrders)
	handle("GET /accounts/{account}/orders", func(r *http.Request) (any, error) { return s.Orders(r.PathValue("account")) })
	handle("GET /accounts/{account}/orders/{number}", func(r *http.Request) (any, error) {
		return s.Order(r.PathValue("account"), r.PathValue("number"))
	})
	handle("POST /accounts/{account}/variants", s.controlVariant)
	handle("POST /accounts/{account}/variants/{sku}/archive", func(r *http.Request) (any, error) {
		return done(s.ArchiveVariant(r.PathValue("account"), r.PathValue("sku")))
	})
	handle("GET /accounts/{account}/stock", func(r *http.Request) (any, error) { return s.Stock(r.PathValue("account")) })
	handle("PUT /accounts/{account}/stock/{sku}", s.controlStock)
	handle("POST /accounts/{account}/locations", s.controlLocation)
	handle("POST /accounts/{account}/expire-tokens", func(r *http.Request) (any, error) {
		return done(s.ExpireTokens(r.PathValue("account")))
	})
	handle("POST /skip-ids", s.controlSkip)
	handle("POST /faults", s.controlFault)
	handle("GET /faults", func(*http.Request) (any, error) { return s.Faults(), nil })
	handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return done(nil) })
	handle("GET /behaviour", func(*http.Request) (any, error) { return s.behaviour(), nil })
	handle("PATCH /behaviour", s.controlBehaviour)
	handle("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away is its own affair
}

func done(err error) (any, error) { return map[string]bool{"ok": err == nil}, err }

const maxControl = 256 << 20 // bytes of a control body: a hundred thousand orders

func decode(r *http.Request, into any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxControl+1))
	switch {
	case err != nil:
		return fmt.Errorf("read body: %w", err)
	case len(data) > maxControl:
		return errors.New("the body is too large")
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("parse body: %w", err)
	}
	return nil
}

// controlOrders takes one order, or {"orders": [...], "if_absent": true}.
func (s *Simulator) controlOrders(r *http.Request) (any, error) {
	var asked struct {
		NewOrder
		Orders   []NewOrder `json:"orders"`
		IfAbsent bool       `json:"if_absent"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if asked.Orders == nil {
		asked.Orders = []NewOrder{asked.NewOrder}
	}
	return s.AddOrders(r.PathValue("account"), asked.Orders, asked.IfAbsent)
}

func (s *Simulator) controlPack(r *http.Request, account, number string) (any, error) {
	var asked struct {
		Units []Units `json:"units"`
	}
	if r.ContentLength != 0 {
		if err := decode(r, &asked); err != nil {
			return nil, err
		}
	}
	if _, err := s.PackPart(account, number, asked.Units); err != nil {
		return nil, err
	}
	return s.Order(account, number)
}

func (s *Simulator) controlShip(r *http.Request, account, number string) (any, error) {
	var asked struct {
		TrackingNumber string `json:"tracking_number"`
	}
	if r.ContentLength != 0 {
		if err := decode(r, &asked); err != nil {
			return nil, err
		}
	}
	if err := s.ShipByHand(account, number, asked.TrackingNumber); err != nil {
		return nil, err
	}
	return s.Order(account, number)
}

func (s *Simulator) controlSkip(r *http.Request) (any, error) {
	var asked struct {
		Above int64 `json:"above"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	s.SkipIDs(asked.Above)
	return done(nil)
}

func (s *Simulator) controlEdit(r *http.Request, account, number string) (any, error) {
	var asked Units
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if err := s.EditLine(account, number, asked.SKU, asked.Quantity); err != nil {
		return nil, err
	}
	return s.Order(account, number)
}

func (s *Simulator) controlAddress(r *http.Request, account, number string) (any, error) {
	var to Address
	if err := decode(r, &to); err != nil {
		return nil, err
	}
	if err := s.ChangeAddress(account, number, to); err != nil {
		return nil, err
	}
	return s.Order(account, number)
}

func (s *Simulator) controlVariant(r *http.Request) (any, error) {
	var asked NewVariant
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	id, err := s.AddVariant(r.PathValue("account"), asked)
	return map[string]int64{"id": id}, err
}

func (s *Simulator) controlStock(r *http.Request) (any, error) {
	var asked Stock
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	return done(s.SetStock(r.PathValue("account"), r.PathValue("sku"), asked))
}

func (s *Simulator) controlLocation(r *http.Request) (any, error) {
	var asked struct {
		Label string `json:"label"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if asked.Label == "" {
		return nil, errors.New("want a label")
	}
	id, err := s.AddLocation(r.PathValue("account"), asked.Label)
	return map[string]int64{"id": id}, err
}

// controlFault takes a fault whose delay may be written "250ms" in delay_text.
func (s *Simulator) controlFault(r *http.Request) (any, error) {
	var asked struct {
		Fault
		DelayText string `json:"delay_text"`
	}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if asked.DelayText != "" {
		d, err := time.ParseDuration(asked.DelayText)
		if err != nil {
			return nil, err
		}
		asked.Delay = d
	}
	return done(s.Inject(asked.Fault))
}

// controlBehaviour changes the switches that are sent and shows all of them.
func (s *Simulator) controlBehaviour(r *http.Request) (any, error) {
	next := s.behaviour()
	if err := decode(r, &next); err != nil {
		return nil, err
	}
	return next, s.SetBehaviour(next)
}
