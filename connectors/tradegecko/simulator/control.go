package simulator

import (
	"errors"
	"net/http"
	"time"

	"orderferry/connectors/simkit"
)

// Control is the control surface: what a merchant does, faults, switches and
// counts, as JSON. It asks for no token; serve it on a port of its own.
func (s *Simulator) Control() http.Handler {
	c := simkit.NewControl(maxControl)
	onOrder := func(action string, f func(r *http.Request, account, number string) (any, error)) {
		c.Handle("POST /accounts/{account}/orders/{number}/"+action, func(r *http.Request) (any, error) {
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
	c.Handle("POST /accounts/{account}/orders", s.controlOrders)
	c.Handle("GET /accounts/{account}/orders", func(r *http.Request) (any, error) { return s.Orders(r.PathValue("account")) })
	c.Handle("GET /accounts/{account}/orders/{number}", func(r *http.Request) (any, error) {
		return s.Order(r.PathValue("account"), r.PathValue("number"))
	})
	c.Handle("POST /accounts/{account}/variants", s.controlVariant)
	c.Handle("POST /accounts/{account}/variants/{sku}/archive", func(r *http.Request) (any, error) {
		return done(s.ArchiveVariant(r.PathValue("account"), r.PathValue("sku")))
	})
	c.Handle("GET /accounts/{account}/stock", func(r *http.Request) (any, error) { return s.Stock(r.PathValue("account")) })
	c.Handle("PUT /accounts/{account}/stock/{sku}", s.controlStock)
	c.Handle("POST /accounts/{account}/locations", s.controlLocation)
	c.Handle("POST /accounts/{account}/expire-tokens", func(r *http.Request) (any, error) {
		return done(s.ExpireTokens(r.PathValue("account")))
	})
	c.Handle("POST /skip-ids", s.controlSkip)
	c.Handle("POST /faults", s.controlFault)
	c.Handle("GET /faults", func(*http.Request) (any, error) { return s.Faults(), nil })
	c.Handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return done(nil) })
	c.Handle("GET /behaviour", func(*http.Request) (any, error) { return s.behaviour(), nil })
	c.Handle("PATCH /behaviour", s.controlBehaviour)
	c.Handle("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	return c
}

func done(err error) (any, error) { return map[string]bool{"ok": err == nil}, err }

const maxControl = 256 << 20 // bytes of a control body: a hundred thousand orders

// controlOrders takes one order, or {"orders": [...], "if_absent": true}.
func (s *Simulator) controlOrders(r *http.Request) (any, error) {
	var asked struct {
		NewOrder
		Orders   []NewOrder `json:"orders"`
		IfAbsent bool       `json:"if_absent"`
	}
	if err := simkit.Read(r, &asked); err != nil {
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
	if err := simkit.Read(r, &asked); err != nil {
		return nil, err
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
	if err := simkit.Read(r, &asked); err != nil {
		return nil, err
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
	if err := simkit.Read(r, &asked); err != nil {
		return nil, err
	}
	s.SkipIDs(asked.Above)
	return done(nil)
}

func (s *Simulator) controlEdit(r *http.Request, account, number string) (any, error) {
	var asked Units
	if err := simkit.Read(r, &asked); err != nil {
		return nil, err
	}
	if err := s.EditLine(account, number, asked.SKU, asked.Quantity); err != nil {
		return nil, err
	}
	return s.Order(account, number)
}

func (s *Simulator) controlAddress(r *http.Request, account, number string) (any, error) {
	var to Address
	if err := simkit.Read(r, &to); err != nil {
		return nil, err
	}
	if err := s.ChangeAddress(account, number, to); err != nil {
		return nil, err
	}
	return s.Order(account, number)
}

func (s *Simulator) controlVariant(r *http.Request) (any, error) {
	var asked NewVariant
	if err := simkit.Read(r, &asked); err != nil {
		return nil, err
	}
	id, err := s.AddVariant(r.PathValue("account"), asked)
	return map[string]int64{"id": id}, err
}

func (s *Simulator) controlStock(r *http.Request) (any, error) {
	var asked Stock
	if err := simkit.Read(r, &asked); err != nil {
		return nil, err
	}
	return done(s.SetStock(r.PathValue("account"), r.PathValue("sku"), asked))
}

func (s *Simulator) controlLocation(r *http.Request) (any, error) {
	var asked struct {
		Label string `json:"label"`
	}
	if err := simkit.Read(r, &asked); err != nil {
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
	if err := simkit.Read(r, &asked); err != nil {
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
	if err := simkit.Read(r, &next); err != nil {
		return nil, err
	}
	return next, s.SetBehaviour(next)
}
