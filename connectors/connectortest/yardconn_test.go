package connectortest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"orderferry/connectors"
	"orderferry/relay"
)

// A connector to the yard that passes every check, and that can be broken: each
// broken("...") is one mistake that real connectors make.

type yardClient struct {
	cfg     connectors.Config
	http    *http.Client
	mistake string

	busy    sync.Mutex
	handles []string                        // cursors kept in memory
	seen    map[string]relay.CartOrder      // orders told before
	sent    map[string]string               // warehouse ids by reference
	levels  map[string]bool                 // keys of stock pushes
	asked   map[relay.WarehouseOrderID]bool // cancels that were done
}

type (
	yardCart  struct{ *yardClient }
	yardDepot struct{ *yardClient }
)

// yardSubject is the yard's cart or its warehouse, with one mistake or none ("").
func yardSubject(role connectors.Role, mistake string) Subject {
	broken := func(m string) bool { return m == mistake }
	setting := connectors.Setting{Name: "page", Default: "5", Doc: "Rows that are asked for in one page.", Check: connectors.IntBetween(1, 100)}
	title := "Yard"
	switch {
	case broken("no title"):
		title = ""
	case broken("bad default"):
		setting.Default = "0"
	case broken("takes any setting"):
		setting.Check = func(string) error { return nil }
	}
	s := Subject{
		Connector: connectors.Connector{
			Name: "yard-" + string(role), Title: title, Role: role, BaseURL: "http://" + host,
			Settings:    []connectors.Setting{setting},
			Credentials: []connectors.Setting{{Name: "key", Doc: "Key of the account."}},
			Open: func(cfg connectors.Config) (connectors.Connection, error) {
				c := &yardClient{cfg: cfg, mistake: mistake, seen: map[string]relay.CartOrder{}, sent: map[string]string{},
					levels: map[string]bool{}, asked: map[relay.WarehouseOrderID]bool{}}
				c.http = &http.Client{Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
					if broken("follows redirects") {
						return nil
					}
					return http.ErrUseLastResponse
				}}
				if broken("asks while opening") {
					_ = c.get(context.Background(), "open", "/account", nil, nil)
				}
				if role == connectors.Cart {
					return yardCart{c}, nil
				}
				return yardDepot{c}, nil
			},
		},
		Settings: connectors.Values{"page": "5"},
		Mode:     relay.ModeLive, Credentials: connectors.Credentials{"key": "canary-yard-key"},
		Start: func(t testing.TB) any { return newYard(t) },
	}
	if role == connectors.Warehouse {
		calls := 0
		s.Webhooks = &Webhooks{
			Body: `{"id":"event-1"}`,
			Sign: func(secret string, body []byte) http.Header {
				return http.Header{"Signature": {secret + "=" + string(body)}}
			},
			Verify: func(secret string, h http.Header, body []byte) (string, error) {
				good := secret != "" && h.Get("Signature") == secret+"="+string(body)
				if broken("compares half a signature") {
					good = secret != "" && strings.HasPrefix(h.Get("Signature"), secret)
				}
				if !good {
					return "", &relay.Error{Kind: relay.Unauthorised, Op: "verify"}
				}
				switch calls++; {
				case broken("names no event"):
					return "", nil
				case broken("numbers events by itself"):
					return fmt.Sprint(calls), nil
				}
				return "event-1", nil
			},
		}
	}
	return s
}

func (c *yardClient) broken(mistake string) bool { return c.mistake == mistake }

func (c *yardClient) get(ctx context.Context, op, path string, q url.Values, out any) error {
	var err error
	for range 2 { // a read is tried twice
		if err = c.do(ctx, op, http.MethodGet, path+"?"+q.Encode(), nil, out); relay.KindOf(err) != relay.Unavailable || ctx.Err() != nil {
			break
		}
	}
	return err
}

// do makes one request.
func (c *yardClient) do(ctx context.Context, op, method, path string, in, out any) error {
	write := method != http.MethodGet
	fail := func(kind relay.ErrorKind, status int, words string, err error) error {
		return &relay.Error{Kind: kind, Op: op, Status: status, Words: words, Err: err}
	}
	doubt := relay.Unavailable
	if write {
		doubt = relay.Unknown
	}
	vault, err := c.cfg.Vault.Read(ctx)
	if err != nil {
		return fail(relay.Unavailable, 0, "", err)
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return fail(relay.Invalid, 0, "", err)
		}
	}
	patience := 30 * time.Second
	if c.broken("waits for an hour") {
		patience = time.Hour
	}
	if c.broken("can't be cancelled") {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if ctx.Err() != nil {
		return fail(relay.Unavailable, 0, "", errors.New("no time left"))
	}
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return fail(relay.Invalid, 0, "", errors.New("no such address"))
	}
	req.Header.Set("Authorization", "Bearer "+vault["key"])
	res, err := c.http.Do(req)
	if err != nil {
		if c.broken("takes a hang-up for a refusal") && errors.Is(err, io.EOF) {
			return fail(relay.Rejected, 0, "", nil)
		}
		return fail(doubt, 0, "", errors.New("the exchange failed"))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	words := strings.ReplaceAll(string(answer), vault["key"], "…")
	switch status := res.StatusCode; {
	case status == 401 && c.broken("takes a bad key for bad weather"):
		return fail(relay.Unavailable, status, words, nil)
	case status == 401:
		return fail(relay.Unauthorised, status, words, nil)
	case status == 404:
		return fail(relay.NotFound, status, words, nil)
	case status == 429 && c.broken("throttled without a time"):
		return fail(relay.Throttled, status, words, nil)
	case status == 429:
		after, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		if after == 0 || c.broken("knows better when to come again") {
			after = 1
		}
		return &relay.Error{Kind: relay.Throttled, Op: op, Status: status, After: time.Duration(after) * time.Second}
	case status >= 500 && c.broken("takes 5xx for a refusal"):
		return fail(relay.Rejected, status, words, nil)
	case status >= 500 || status < 200 || status >= 300 && status < 400:
		return fail(doubt, status, words, nil)
	case status >= 400 && len(answer) > 300 && c.broken("stumbles over long words"):
		panic("index out of range")
	case status >= 400 && c.broken("quotes the vendor"):
		return fail(relay.Invalid, status, words, errors.New(words))
	case status >= 400:
		return fail(relay.Invalid, status, words, nil)
	case err != nil && c.broken("takes half a body for a refusal"):
		return fail(relay.Invalid, status, "", nil)
	case err != nil:
		return fail(doubt, status, "", errors.New("half a body"))
	case len(answer) == 0 && c.broken("takes an empty answer for a refusal"):
		return fail(relay.Invalid, status, "", nil)
	case len(answer) > 0 && answer[0] == '<' && c.broken("takes a page for a refusal"):
		return fail(relay.Invalid, status, "", nil)
	case json.Unmarshal(answer, out) != nil && len(answer) > 0 || len(answer) == 0:
		if out == nil && len(answer) > 0 && answer[0] != '<' {
			return nil
		}
		return fail(doubt, status, "", errors.New("unreadable"))
	}
	return nil
}

// number and decimal take what JSON may write them as.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(v)
	return err
}

type word string

func (w *word) UnmarshalJSON(b []byte) error { *w = word(strings.Trim(string(b), `"`)); return nil }

func (c *yardClient) Check(ctx context.Context) (connectors.Report, error) {
	if c.broken("one at a time") {
		if !c.busy.TryLock() {
			return connectors.Report{}, &relay.Error{Kind: relay.Unavailable, Op: "check"}
		}
		defer c.busy.Unlock()
	}
	if c.broken("phones home") {
		if res, err := c.http.Get("http://telemetry.example.test/"); err == nil {
			_ = res.Body.Close()
		}
	}
	if c.broken("leaves a goroutine") {
		go time.Sleep(time.Hour)
	}
	var out struct{ Account string }
	if err := c.get(ctx, "check", "/account", nil, &out); err != nil {
		return connectors.Report{}, err
	}
	if out.Account == "" {
		return connectors.Report{}, unreadableYard("check")
	}
	if c.broken("says nothing of the account") {
		return connectors.Report{}, nil
	}
	return connectors.Report{Account: out.Account}, nil
}

func unreadableYard(op string) error {
	return &relay.Error{Kind: relay.Unavailable, Op: op, Err: errors.New("unreadable")}
}

func bad(op string) error {
	return &relay.Error{Kind: relay.Invalid, Op: op, Fields: []relay.Problem{{Field: "cursor", Message: "none of ours"}}}
}

// rows reads a page of a list.
func rows[R any](ctx context.Context, c *yardClient, op, path string, q url.Values) (list []R, more bool, total int, err error) {
	var out struct {
		Rows  *[]R
		More  bool
		Total number
	}
	if err := c.get(ctx, op, path, q, &out); err != nil {
		return nil, false, 0, err
	}
	if out.Rows == nil {
		return nil, false, 0, unreadableYard(op)
	}
	return *out.Rows, out.More, int(out.Total), nil
}

// place is where the reading of a list has got to.
type place struct {
	After  int64     `json:"after"`
	Offset int       `json:"offset,omitempty"`
	Total  int       `json:"total,omitempty"`
	Top    time.Time `json:"top,omitzero"` // the mistake of going by time
}

func (c *yardClient) parse(op, cursor, lenient string) (p place, err error) {
	if cursor == "" {
		return p, nil
	}
	if c.keeps(op) {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 || n >= len(c.handles) {
			return p, bad(op)
		}
		cursor = c.handles[n]
	}
	if json.Unmarshal([]byte(cursor), &p) != nil {
		if c.broken(lenient) {
			return place{}, nil
		}
		return p, bad(op)
	}
	return p, nil
}

func (c *yardClient) keeps(op string) bool {
	return c.broken("keeps cursors in memory") && op == "pull orders" || c.broken("keeps stock cursors in memory") && op == "pull inventory"
}

func (c *yardClient) write(op string, p place) string {
	b, _ := json.Marshal(p)
	if c.keeps(op) {
		c.handles = append(c.handles, string(b))
		return strconv.Itoa(len(c.handles) - 1)
	}
	return string(b)
}

type orderRow struct {
	ID      number
	Number  word
	Status  string
	Seq     number
	Placed  time.Time
	Updated time.Time
	ShipTo  addressRow `json:"ship_to"`
	Lines   []struct {
		ID       number
		SKU      word
		Quantity word
	}
	Parcels []struct {
		ID       number
		Key      string
		Tracking word
		Lines    map[string]number
	}
}

type addressRow struct {
	Name, Street1, Street2, City, State, Zip, Country, Phone, Email word
}

func (a addressRow) address() relay.Address {
	return relay.Address{Name: string(a.Name), Street1: string(a.Street1), Street2: string(a.Street2), City: string(a.City), State: string(a.State),
		Zip: string(a.Zip), Country: string(a.Country), Phone: string(a.Phone), Email: string(a.Email)}
}

func (c yardCart) order(r orderRow) relay.CartOrder {
	o := relay.CartOrder{ExternalID: external(int64(r.ID)), Number: string(r.Number), PlacedAt: r.Placed, UpdatedAt: r.Updated, ShipTo: r.ShipTo.address()}
	if c.broken("forgets the second line of the street") {
		o.ShipTo.Street2 = ""
	}
	if c.broken("takes numbers for floats") {
		o.ExternalID = external(int64(float64(r.ID)))
	}
	for _, l := range r.Lines {
		q, err := relay.ParseQuantity(string(l.Quantity))
		if err != nil {
			o.Problems = append(o.Problems, relay.Problem{Field: "lines", Message: "want a quantity"})
		}
		o.Lines = append(o.Lines, relay.Line{ID: relay.LineID(fmt.Sprint(int64(l.ID))), SKU: relay.SKU(l.SKU), Quantity: q})
	}
	return o
}

func (c yardCart) PullOrders(ctx context.Context, q connectors.OrdersQuery) (connectors.OrdersPage, error) {
	const op = "pull orders"
	at, err := c.parse(op, q.Cursor, "starts over at a foreign cursor")
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	limit := q.Limit
	if c.broken("asks for one too many") {
		limit++
	}
	query := url.Values{"after": {fmt.Sprint(at.After)}, "limit": {fmt.Sprint(limit)}}
	if c.broken("counts rows") && at.Offset > 0 {
		query.Set("offset", fmt.Sprint(at.Offset))
	}
	list, more, _, err := rows[orderRow](ctx, c.yardClient, op, "/orders", query)
	if err != nil {
		return connectors.OrdersPage{}, err
	}
	if c.broken("believes in types") {
		if _, _, _, err := rows[struct{ ID int64 }](ctx, c.yardClient, op, "/orders", query); err != nil {
			return connectors.OrdersPage{}, err
		}
	}
	var out connectors.OrdersPage
	var newest time.Time
	chases := false
	for _, r := range list {
		if c.broken("jumps over repeated pages") && int64(r.Seq) <= at.After {
			at.After += int64(len(list))
			break
		}
		at.After, at.Offset = max(at.After, int64(r.Seq)), at.Offset+1
		if r.Updated.After(newest) {
			newest = r.Updated
		}
		chases = chases || len(r.Parcels) > 0 && c.broken("chases its own writes")
		if r.Status != "open" || r.Placed.Before(q.Earliest) && !c.broken("knows no earliest date") ||
			(c.broken("goes by time") && !r.Updated.After(at.Top)) {
			continue
		}
		o := c.order(r)
		if old, ok := c.seen[o.Number]; ok && c.broken("remembers orders") {
			o = old
		}
		c.seen[o.Number] = o
		out.Orders = append(out.Orders, o)
	}
	if out.More = more; !more {
		at.Top, at.Offset = newest, 0
	}
	if out.Cursor = c.write(op, at); chases {
		out.Cursor, out.More = q.Cursor, true
	}
	if q.Known == nil || len(out.Orders) == 0 {
		return out, nil
	}
	var stamps []connectors.Stamp
	for _, o := range out.Orders {
		stamps = append(stamps, connectors.Stamp{ID: o.ExternalID, UpdatedAt: o.UpdatedAt})
	}
	known, err := q.Known(ctx, stamps)
	if err != nil {
		if c.broken("passes on whatever it gets") {
			return connectors.OrdersPage{}, err
		}
		return connectors.OrdersPage{}, &relay.Error{Kind: relay.Unavailable, Op: op, Err: err}
	}
	if !c.broken("asks and does not listen") {
		var fresh []relay.CartOrder
		for i, o := range out.Orders {
			if !known[i] {
				fresh = append(fresh, o)
			}
		}
		out.Orders = fresh
	}
	return out, nil
}

func (c yardCart) PullCancellations(ctx context.Context, q connectors.CancellationsQuery) (connectors.CancellationsPage, error) {
	const op = "pull cancellations"
	at, err := c.parse(op, q.Cursor, "starts over at a foreign cursor of cancels")
	if err != nil {
		return connectors.CancellationsPage{}, err
	}
	list, more, _, err := rows[orderRow](ctx, c.yardClient, op, "/orders", url.Values{"after": {fmt.Sprint(at.After)}, "limit": {fmt.Sprint(q.Limit)}})
	if err != nil {
		return connectors.CancellationsPage{}, err
	}
	found := map[relay.ExternalID]string{}
	for _, r := range list {
		at.After = max(at.After, int64(r.Seq))
		if r.Status == "void" && !c.broken("has no feed of cancels") {
			found[external(int64(r.ID))] = r.Status
		}
	}
	for _, id := range q.Watch {
		if c.broken("watches nothing") {
			break
		}
		r, err := c.read(ctx, op, id)
		switch {
		case errors.Is(err, relay.NotFound):
			found[id] = connectors.GoneAtCart
		case err != nil:
			return connectors.CancellationsPage{}, err
		case r.Status == "void":
			found[id] = r.Status
		case len(r.Parcels) > 0:
			found[id] = connectors.ShippedElsewhere
		case c.broken("takes a change for a cancel") && !r.Updated.Equal(r.Placed):
			found[id] = "changed"
		}
	}
	page := connectors.CancellationsPage{Cursor: c.write(op, at), More: more}
	for id, status := range found {
		page.Cancelled = append(page.Cancelled, connectors.Cancellation{ID: id, Status: status})
	}
	return page, nil
}

func (c *yardClient) read(ctx context.Context, op string, id relay.ExternalID) (orderRow, error) {
	var r orderRow
	if err := c.get(ctx, op, "/orders/"+url.PathEscape(string(id)), nil, &r); err != nil {
		return r, err
	}
	if external(int64(r.ID)) != id {
		return r, unreadableYard(op)
	}
	return r, nil
}

func (c yardCart) PushShipments(ctx context.Context, pushes []connectors.ShipmentPush) ([]connectors.ShipmentOutcome, error) {
	out := make([]connectors.ShipmentOutcome, len(pushes))
	var first error
	for i, p := range pushes {
		if out[i] = c.pushOne(ctx, p); relay.KindOf(out[i].Err) == relay.Throttled && out[i].Err != nil {
			first = cmp.Or(first, out[i].Err)
		}
	}
	if c.broken("mixes up outcomes") && len(out) > 2 {
		slices.Reverse(out)
	}
	return out, first
}

func (c yardCart) pushOne(ctx context.Context, p connectors.ShipmentPush) connectors.ShipmentOutcome {
	const op = "push shipments"
	fail := func(err error) connectors.ShipmentOutcome { return connectors.ShipmentOutcome{Err: err} }
	no := func(kind relay.ErrorKind) connectors.ShipmentOutcome { return fail(&relay.Error{Kind: kind, Op: op}) }
	r, err := c.read(ctx, op, p.Order)
	if errors.Is(err, relay.NotFound) && c.broken("takes a missing order for a bad one") {
		return no(relay.Invalid)
	}
	if err != nil {
		return fail(err)
	}
	if out, found := c.told(r, p); found {
		return out
	}
	if r.Status == "void" && !c.broken("ships what was cancelled") {
		return no(relay.Rejected)
	}
	left := map[string]int64{}
	for _, l := range r.Lines {
		q, _ := relay.ParseQuantity(string(l.Quantity))
		left[fmt.Sprint(int64(l.ID))], _ = q.Whole()
	}
	for _, have := range r.Parcels {
		for line, n := range have.Lines {
			left[line] -= int64(n)
		}
	}
	lines := map[string]int64{}
	for i, l := range p.Lines {
		if i > 0 && c.broken("tells the first line only") {
			break
		}
		n, known := left[string(l.Line)]
		if !known {
			return no(relay.Invalid)
		}
		if n < l.Units && !c.broken("tells more than was ordered") {
			return no(relay.Conflict)
		}
		lines[string(l.Line)] = l.Units
	}
	var made struct{ ID number }
	body := map[string]any{"key": p.Key, "tracking": p.TrackingNumber, "lines": lines}
	err = c.do(ctx, op, http.MethodPost, "/orders/"+string(p.Order)+"/parcels", body, &made)
	if err == nil && (made.ID > 0 || c.broken("believes in the status of a shipment")) {
		return connectors.ShipmentOutcome{CartID: fmt.Sprint(int64(made.ID))}
	}
	if kind := relay.KindOf(err); err != nil && kind != relay.Unknown {
		return fail(err)
	}
	if again, readErr := c.read(ctx, op, p.Order); readErr == nil {
		if out, found := c.told(again, p); found {
			out.Found = false
			return out
		}
	}
	return no(relay.Unknown)
}

// told finds the package among those that the cart has.
func (c yardCart) told(r orderRow, p connectors.ShipmentPush) (connectors.ShipmentOutcome, bool) {
	for _, have := range r.Parcels {
		byHand := have.Key == "" && strings.EqualFold(string(have.Tracking), p.TrackingNumber) && !c.broken("knows only its own packages")
		if have.Key == p.Key || byHand {
			return connectors.ShipmentOutcome{CartID: fmt.Sprint(int64(have.ID)), Found: !c.broken("never says that it was there") || byHand}, true
		}
	}
	return connectors.ShipmentOutcome{}, false
}

func (c yardCart) ReadOrders(ctx context.Context, ids []relay.ExternalID) ([]relay.CartOrder, error) {
	const op = "read orders"
	var out []relay.CartOrder
	for _, id := range ids {
		r, err := c.read(ctx, op, id)
		if errors.Is(err, relay.NotFound) || err == nil && r.Status == "void" && !c.broken("reads what was cancelled") {
			continue
		}
		if err != nil {
			return nil, err
		}
		o, others := c.order(r), false
		for _, p := range r.Parcels {
			others = others || p.Key == ""
			for i, l := range o.Lines {
				if c.broken("takes its own packages off the lines") {
					o.Lines[i].Quantity -= relay.Units(int64(p.Lines[string(l.ID)]))
				}
			}
		}
		if old, ok := c.seen[o.Number]; ok && c.broken("reads what it remembers") {
			o = old
		}
		if !others || c.broken("reads what others shipped") {
			out = append(out, o)
		}
	}
	return out, nil
}

func (c yardCart) PushCancels(ctx context.Context, pushes []connectors.CancelPush) ([]connectors.CancelPushOutcome, error) {
	out := make([]connectors.CancelPushOutcome, len(pushes))
	for i, p := range pushes {
		out[i] = c.cancelOne(ctx, p)
	}
	return out, nil
}

func (c yardCart) cancelOne(ctx context.Context, p connectors.CancelPush) connectors.CancelPushOutcome {
	const op = "push cancels"
	fail := func(err error) connectors.CancelPushOutcome { return connectors.CancelPushOutcome{Err: err} }
	r, err := c.read(ctx, op, p.Order)
	switch {
	case errors.Is(err, relay.NotFound):
		return connectors.CancelPushOutcome{Status: connectors.GoneAtCart, Found: true}
	case err != nil:
		return fail(err)
	case r.Status == "void":
		return connectors.CancelPushOutcome{Status: r.Status, Found: !c.broken("never says that it was cancelled")}
	case len(r.Parcels) > 0 && c.broken("takes a shipped order for a bad one"):
		return fail(&relay.Error{Kind: relay.Invalid, Op: op})
	case len(r.Parcels) > 0:
		return fail(&relay.Error{Kind: relay.Conflict, Op: op})
	}
	err = c.do(ctx, op, http.MethodPost, "/orders/"+string(p.Order)+"/void", nil, nil)
	if err != nil && relay.KindOf(err) != relay.Unknown {
		return fail(err)
	}
	if err == nil && c.broken("believes in the status of a cancel") {
		return connectors.CancelPushOutcome{Status: "void"}
	}
	again, readErr := c.read(ctx, op, p.Order)
	switch {
	case readErr == nil && again.Status == "void" && c.broken("has no word for a cancel"):
		return connectors.CancelPushOutcome{}
	case readErr == nil && again.Status == "void":
		return connectors.CancelPushOutcome{Status: "void"}
	}
	return fail(&relay.Error{Kind: relay.Unknown, Op: op})
}

func (c yardCart) PushInventory(ctx context.Context, push connectors.InventoryPush) ([]connectors.LevelOutcome, error) {
	const op = "push inventory"
	out := make([]connectors.LevelOutcome, len(push.Targets))
	good := true
	for i, t := range push.Targets {
		out[i] = c.setLevel(ctx, op, push.Key, t)
		good = good && out[i].Err == nil
	}
	c.levels[push.Key] = good
	return out, nil
}

func (c yardCart) setLevel(ctx context.Context, op, key string, t connectors.StockTarget) connectors.LevelOutcome {
	want := t.Available + t.Owed
	if c.broken("counts in whole units") {
		n, _ := want.Whole()
		want = relay.Units(n)
	}
	if c.levels[key] && c.broken("believes that a repeat changes nothing") {
		return connectors.LevelOutcome{After: want}
	}
	have, known, err := c.readLevel(ctx, op, t.SKU)
	if err != nil {
		return connectors.LevelOutcome{Err: err}
	}
	if !known && !c.broken("makes unknown SKUs") {
		return connectors.LevelOutcome{Err: &relay.Error{Kind: relay.NotFound, Op: op}}
	}
	o := connectors.LevelOutcome{Before: have, After: want}
	if c.broken("forgets what was there") {
		o.Before = 0
	}
	if have == want || want == 0 && c.broken("takes 0 for nothing to say") {
		return o
	}
	var said struct{ Level word }
	by := map[string]string{"by": (want - have).String()}
	write := func() error {
		return c.do(ctx, op, http.MethodPost, "/levels/"+url.PathEscape(string(t.SKU)), by, &said)
	}
	err = write()
	if relay.KindOf(err) == relay.Unknown && err != nil && c.broken("sends a doubtful write again") {
		if now, _, readErr := c.readLevel(ctx, op, t.SKU); readErr == nil && now != want {
			err = write()
		}
	}
	if err != nil && relay.KindOf(err) != relay.Unknown {
		o.Err = err
		return o
	}
	if err == nil && (c.broken("does not look after its write") && said.Level != "" || c.broken("believes in the status of a level") && said.Level == "") {
		return o
	}
	now, _, readErr := c.readLevel(ctx, op, t.SKU)
	if readErr != nil || err != nil && now != want || err == nil && said.Level == "" && now != want {
		o.Err = &relay.Error{Kind: relay.Unknown, Op: op}
		return o
	}
	o.After = now
	return o
}

func (c yardCart) readLevel(ctx context.Context, op string, s relay.SKU) (relay.Quantity, bool, error) {
	var out struct{ Levels map[string]word }
	if err := c.get(ctx, op, "/levels", url.Values{"sku": {string(s)}}, &out); err != nil {
		return 0, false, err
	}
	if out.Levels == nil {
		return 0, false, unreadableYard(op)
	}
	text, known := out.Levels[string(s)]
	if !known {
		return 0, false, nil
	}
	q, err := relay.ParseQuantity(string(text))
	if err != nil {
		return 0, true, unreadableYard(op)
	}
	return q, true, nil
}

// The warehouse.

type heldRow struct {
	ID       string
	Seq      number
	Token    string
	State    string
	Created  time.Time
	ShipTo   relay.Address `json:"ship_to"`
	Items    []relay.Item
	Packages []relay.Package
}

func (c yardDepot) PrepareOrder(o connectors.WarehouseOrder) (connectors.Prepared, error) {
	refuse := func(reason relay.HoldReason, field string) (connectors.Prepared, error) {
		return connectors.Prepared{}, &relay.Error{Kind: relay.Invalid, Op: "prepare order", Reason: reason, Fields: []relay.Problem{{Field: field, Message: "want another"}}}
	}
	if o.Token == "" {
		return refuse(relay.HoldBadOrder, "token")
	}
	if len(o.Items) == 0 {
		return refuse(relay.HoldBadOrder, "items")
	}
	for _, i := range o.Items {
		if i.Units < 1 || i.Units > 1_000_000 {
			return refuse(relay.HoldBadOrder, "items")
		}
	}
	if o.ShipTo.Street1 == "" || len(o.ShipTo.Country) != 2 {
		return refuse(relay.HoldBadAddress, "ship_to")
	}
	if c.broken("cuts long streets") {
		o.ShipTo.Street1 = o.ShipTo.Street1[:min(35, len(o.ShipTo.Street1))]
	}
	body := map[string]any{"token": o.Token, "ship_to": o.ShipTo, "items": o.Items, "reference": o.Reference}
	if c.broken("stamps its requests") {
		body["sent"] = time.Now()
	}
	b, err := json.Marshal(body)
	if err != nil {
		return refuse(relay.HoldBadOrder, "order")
	}
	return connectors.Prepared{Token: o.Token, Body: b}, nil
}

func (c yardDepot) SubmitOrder(ctx context.Context, p connectors.Prepared) (connectors.Accepted, error) {
	const op = "submit order"
	var in struct{ Reference string }
	_ = json.Unmarshal(p.Body, &in)
	if id := c.sent[in.Reference]; id != "" && c.broken("takes a reference for an order") {
		return connectors.Accepted{ID: relay.WarehouseOrderID(id)}, nil
	}
	var made heldRow
	err := c.do(ctx, op, http.MethodPost, "/held", json.RawMessage(p.Body), &made)
	var e *relay.Error
	if errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity {
		e.Kind, e.Reason = relay.Rejected, relay.HoldInsufficientInventory
		if c.broken("refuses without a reason") {
			e.Reason = ""
		}
	}
	if err != nil {
		return connectors.Accepted{}, err
	}
	if made.ID == "" && !c.broken("believes in the status of an order") {
		return connectors.Accepted{}, &relay.Error{Kind: relay.Unknown, Op: op}
	}
	c.sent[in.Reference] = made.ID
	return connectors.Accepted{ID: relay.WarehouseOrderID(made.ID)}, nil
}

// everyHeld reads the whole list, page by page.
func (c yardDepot) everyHeld(ctx context.Context, op string) (list []heldRow, err error) {
	after := int64(0)
	for {
		page, more, _, err := rows[heldRow](ctx, c.yardClient, op, "/held", url.Values{"after": {fmt.Sprint(after)}, "limit": {fmt.Sprint(yardPage)}})
		if err != nil {
			return nil, err
		}
		for _, h := range page {
			if int64(h.Seq) > after {
				after = int64(h.Seq)
				list = append(list, h)
			}
		}
		if !more || c.broken("looks at one page") {
			return list, nil
		}
	}
}

func (c yardDepot) FindOrders(ctx context.Context, q connectors.LookupQuery) ([]connectors.Lookup, error) {
	const op = "look up order"
	list, err := c.everyHeld(ctx, op)
	if err != nil {
		return nil, err
	}
	out := make([]connectors.Lookup, len(q.Orders))
	for i, r := range q.Orders {
		out[i].Certain = true
		if i >= 5 && c.broken("looks for five at most") {
			out[i].Certain = false
			continue
		}
		for _, h := range list {
			by := "token"
			if h.Token != string(r.Order.Token) {
				owned, err := q.Owned(ctx, []relay.WarehouseOrderID{relay.WarehouseOrderID(h.ID)})
				if err != nil {
					return nil, err
				}
				if h.Token != "" || owned[0] && !c.broken("takes others' orders") || h.ShipTo.Street1 != r.Order.ShipTo.Street1 {
					continue
				}
				by = "content"
			}
			if len(out[i].Matches) > 0 && c.broken("stops at the first match") {
				continue
			}
			out[i].Matches = append(out[i].Matches, connectors.Match{ID: relay.WarehouseOrderID(h.ID), CreatedAt: h.Created, By: by,
				Cancelled: h.State == "cancelled" && !c.broken("finds no cancelled orders")})
		}
	}
	return out, nil
}

func (c yardDepot) ListOrders(ctx context.Context, q connectors.OrderListQuery) (connectors.OrderListPage, error) {
	const op = "list orders"
	at, err := c.parse(op, q.Cursor, "starts over at a foreign cursor of the list")
	if err != nil {
		return connectors.OrderListPage{}, err
	}
	list, more, total, err := rows[heldRow](ctx, c.yardClient, op, "/held", url.Values{"after": {fmt.Sprint(at.After)}, "limit": {fmt.Sprint(yardPage)}})
	if err != nil {
		return connectors.OrderListPage{}, err
	}
	if at.Total != 0 && total != at.Total && c.broken("stops when the list grows") {
		return connectors.OrderListPage{}, nil
	}
	at.Total = total
	var page connectors.OrderListPage
	for _, h := range list {
		if c.broken("jumps over repeated pages of the list") && int64(h.Seq) <= at.After {
			at.After += int64(len(list))
			break
		}
		at.After = max(at.After, int64(h.Seq))
		o := connectors.ListedOrder{ID: relay.WarehouseOrderID(h.ID), Token: relay.Token(h.Token), CreatedAt: h.Created, Progress: progress(h)}
		if c.broken("lists no progress") {
			o.Progress = ""
		}
		page.Orders = append(page.Orders, o)
	}
	page.Cursor, page.More = c.write(op, at), more
	return page, nil
}

func progress(h heldRow) connectors.Progress {
	switch h.State {
	case "cancelled":
		return connectors.Cancelled
	case "part":
		return connectors.PartShipped
	case "shipped":
		return connectors.FullShipped
	}
	return connectors.InProgress
}

func (c yardDepot) one(ctx context.Context, op string, id relay.WarehouseOrderID) (heldRow, error) {
	var h heldRow
	if err := c.get(ctx, op, "/held/"+url.PathEscape(string(id)), nil, &h); err != nil {
		return h, err
	}
	if h.ID != string(id) {
		return h, unreadableYard(op)
	}
	return h, nil
}

func (c yardDepot) CancelOrder(ctx context.Context, id relay.WarehouseOrderID) (connectors.CancelAnswer, error) {
	const op = "cancel order"
	err := c.do(ctx, op, http.MethodDelete, "/held/"+string(id), nil, nil)
	if err != nil && relay.KindOf(err) != relay.Unknown {
		return connectors.CancelAnswer{}, err
	}
	h, readErr := c.one(ctx, op, id)
	if readErr != nil {
		return connectors.CancelAnswer{}, &relay.Error{Kind: relay.Unknown, Op: op, Err: readErr}
	}
	a := connectors.CancelAnswer{Result: connectors.CancelPending, Evidence: "state " + h.State}
	switch {
	case c.asked[id] && c.broken("can't cancel what is cancelled"):
		a.Result = connectors.CancelTooLate
	case h.State == "cancelled", err == nil && h.State == "open" && c.broken("believes in the answer to a cancel"):
		a.Result = connectors.CancelDone
		c.asked[id] = true
	case len(h.Packages) > 0 && !c.broken("hopes for what has shipped"):
		a.Result = connectors.CancelTooLate
	case h.State == "picked" && c.broken("gives up at once"):
		a.Result = connectors.CancelTooLate
	}
	return a, nil
}

func (c yardDepot) PullShipments(ctx context.Context, q connectors.ShipmentsQuery) (connectors.ShipmentsPage, error) {
	const op = "pull shipments"
	if len(q.Cursor) > 1000 && c.broken("stumbles over a foreign cursor") {
		panic("index out of range")
	}
	var page connectors.ShipmentsPage
	for i, o := range q.Open {
		h, err := c.one(ctx, op, o.ID)
		if errors.Is(err, relay.NotFound) && !c.broken("fails for one that is gone") {
			page.Updates = append(page.Updates, connectors.OrderUpdate{ID: o.ID, Progress: connectors.Gone})
			continue
		}
		if err != nil {
			return connectors.ShipmentsPage{}, err
		}
		if i >= 10 && c.broken("reads ten orders") {
			continue
		}
		u := connectors.OrderUpdate{ID: o.ID, Progress: progress(h), Status: h.State}
		have := map[string]bool{}
		for _, p := range h.Packages {
			if have[p.Key()] && !c.broken("counts packages twice") {
				continue
			}
			have[p.Key()] = true
			u.Packages = append(u.Packages, p)
		}
		switch {
		case c.broken("takes a part for all") && u.Progress == connectors.PartShipped:
			u.Progress = connectors.FullShipped
		case c.broken("misses cancels") && u.Progress == connectors.Cancelled:
			u.Progress = connectors.InProgress
		}
		page.Updates = append(page.Updates, u)
	}
	return page, nil
}

func (c yardDepot) PullInventory(ctx context.Context, q connectors.InventoryQuery) (connectors.InventoryPage, error) {
	const op = "pull inventory"
	at, err := c.parse(op, q.Cursor, "starts over at a foreign cursor of stock")
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	query := url.Values{"after": {fmt.Sprint(at.After)}, "limit": {fmt.Sprint(q.Limit)}}
	if c.broken("counts codes") {
		query.Set("offset", fmt.Sprint(at.Offset))
	}
	list, more, _, err := rows[struct {
		Rank  number
		Code  word
		Level word
	}](ctx, c.yardClient, op, "/stock", query)
	if err != nil {
		return connectors.InventoryPage{}, err
	}
	page := connectors.InventoryPage{Meaning: connectors.NetOfOrders, More: more}
	if c.broken("calls it on hand") {
		page.Meaning = connectors.OnHand
	}
	for _, r := range list {
		at.After, at.Offset = max(at.After, int64(r.Rank)), at.Offset+1
		level, err := relay.ParseQuantity(string(r.Level))
		if err != nil {
			return connectors.InventoryPage{}, unreadableYard(op)
		}
		if level < 0 && c.broken("knows no less than nothing") {
			level = 0
		}
		if level == 0 && c.broken("leaves out what is sold out") {
			continue
		}
		page.Levels = append(page.Levels, relay.InventoryLevel{Code: relay.ItemCode(r.Code), Site: "A", Quantity: level})
	}
	page.Cursor = c.write(op, at)
	return page, nil
}

func (c yardDepot) Sites(ctx context.Context) ([]connectors.Site, error) {
	var out struct{ Sites []string }
	if err := c.get(ctx, "sites", "/sites", nil, &out); err != nil {
		return nil, err
	}
	if out.Sites == nil {
		return nil, unreadableYard("sites")
	}
	var list []connectors.Site
	for _, s := range out.Sites {
		if s != "A" || !c.broken("lists half of the sites") {
			list = append(list, connectors.Site{ID: s, Name: s})
		}
	}
	return list, nil
}

func (c yardDepot) CheckAddress(ctx context.Context, a relay.Address) (connectors.AddressVerdict, error) {
	var out struct{ Good *bool }
	if err := c.get(ctx, "check address", "/address", url.Values{"zip": {a.Zip}}, &out); err != nil {
		return connectors.AddressVerdict{}, err
	}
	if out.Good == nil {
		return connectors.AddressVerdict{}, unreadableYard("check address")
	}
	if *out.Good || c.broken("finds every address good") {
		return connectors.AddressVerdict{}, nil
	}
	return connectors.AddressVerdict{Problems: []relay.Problem{{Field: "ship_to.zip", Message: "want a postal code"}}}, nil
}

func (c yardDepot) TrackPackages(ctx context.Context, packages []relay.Package) ([]connectors.Tracking, error) {
	q := url.Values{}
	for _, p := range packages {
		q.Add("n", p.TrackingNumber)
	}
	var found struct{ Parcels map[string]string }
	if err := c.get(ctx, "track", "/parcels", q, &found); err != nil {
		return nil, err
	}
	if found.Parcels == nil {
		return nil, unreadableYard("track")
	}
	out := make([]connectors.Tracking, len(packages))
	for i, p := range packages {
		if out[i].Status = found.Parcels[p.TrackingNumber]; out[i].Status == "" {
			out[i].Err = &relay.Error{Kind: relay.NotFound, Op: "track"}
		}
	}
	if c.broken("leaves out unknown packages") {
		out = slices.DeleteFunc(out, func(t connectors.Tracking) bool { return t.Err != nil })
	}
	return out, nil
}
