package faults

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	easypost "orderferry/connectors/easypost/simulator"
	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
	"orderferry/workflows"
)

// Orders that nothing in the ledger sent, at merchants whose books are compared:
// that is what finds them.

// compare has a merchant's books compared, with the stray order in them that is planned.
func (h *harness) compare(ctx context.Context, c change) {
	if listsOrders(c.merchant) {
		w := h.easypost(c.merchant)
		switch c.stray {
		case doubled:
			h.double(ctx, c.merchant, w)
		case foreign:
			h.intrude(ctx, c, w)
		case denied:
			h.deny(ctx, c.merchant, w)
		}
	}
	if h.ask(ctx, workflows.MerchantID(merchantID(c.merchant)), workflows.SyncNow, compareBooks, nil) == nil {
		h.count(booksCompared)
	}
}

// compareBooks is asked of merchants' workflows: the job runs only when it is named.
var compareBooks = workflows.JobRequest{Job: relay.Reconcile, Actor: "ops"}

func (h *harness) easypost(merchant int) *shop.EasyPost {
	return h.shops.Merchants[merchant].Warehouse.(*shop.EasyPost)
}

// double has the warehouse take the last order that it accepted once more, under
// the same token, as a proxy on the way might: it has to be cancelled, or it ships twice.
func (h *harness) double(ctx context.Context, merchant int, w *shop.EasyPost) {
	var token string
	err := h.database.QueryRow(ctx, `
		select s.token from submissions s join orders o on o.id = s.order_id where o.merchant_id = $1 and s.state = 'accepted' order by s.id desc limit 1`,
		merchantID(merchant)).Scan(&token)
	if err != nil {
		return // none yet, or an outage
	}
	h.slips.Lock()
	defer h.slips.Unlock()
	list := w.Orders(shop.Mode)
	at := slices.IndexFunc(list, func(o easypost.OrderView) bool { return strings.Contains(o.Description, token) })
	if at < 0 {
		return
	}
	h.slip(merchant, w, list[at], list[at].Description, h.planted, ordersDoubled)
}

// slip has the warehouse take an order, notes what it is called there, and counts it.
// A fault may have the warehouse take it twice.
func (h *harness) slip(merchant int, w *shop.EasyPost, o easypost.OrderView, description string, noted map[stranger]bool, what string) {
	ids, _ := w.Slip(o, description)
	if len(ids) == 0 { // a fault
		return
	}
	h.count(what)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		noted[stranger{merchant, id}] = true
		h.planted[stranger{merchant, id}] = true
	}
}

// intrude has another installation, with the warehouse's key, send an order that
// bears our mark and the number of one of ours that is not sent yet: that one has
// to wait for a person, and the stranger has to be left alone.
func (h *harness) intrude(ctx context.Context, c change, w *shop.EasyPost) {
	var number string
	err := h.database.QueryRow(ctx, `
		select number from orders where merchant_id = $1 and state in ('new', 'held') and warehouse_order_id is null order by id desc limit 1`,
		merchantID(c.merchant)).Scan(&number)
	if err != nil {
		return
	}
	h.slips.Lock()
	defer h.slips.Unlock()
	list := w.Orders(shop.Mode)
	if len(list) == 0 {
		return
	}
	token := make([]byte, 16)
	dice := rand.New(rand.NewPCG(h.Seed, c.token))
	for i := range token {
		token[i] = byte('a' + dice.IntN(26))
	}
	h.slip(c.merchant, w, list[0], fmt.Sprintf("relay:%s %s", token, number), h.strangers, strangersThere)
}

// deny has the warehouse take an order after all that it had refused: it has to be
// found by the token of the attempt that was refused, before it is sent again.
func (h *harness) deny(ctx context.Context, merchant int, w *shop.EasyPost) {
	s, token, ok := h.refused(ctx, merchant)
	if !ok {
		return
	}
	cart, o := h.order(s)
	h.slips.Lock()
	defer h.slips.Unlock()
	list := w.Orders(shop.Mode)
	if len(list) == 0 {
		return
	}
	taken, parts := list[0], shop.Parts(cart.Connection().Name)
	taken.Destination.Street1, taken.Lines = o.Street, nil
	for _, l := range o.Lines {
		for code, n := range parts[l.SKU] {
			taken.Lines = append(taken.Lines, easypost.ItemView{Barcode: code, Units: n * l.Units})
		}
	}
	for _, code := range []string{shop.LateCode, shop.ShortCode} { // whichever it was refused for
		h.deliver(merchant, code, 1)
	}
	h.slip(merchant, w, taken, fmt.Sprintf("relay:%s %s", token, o.Number), h.waiting, ordersTaken)
}

// refused is an order that a merchant's warehouse refused for want of stock, and
// the token under which it did so last.
func (h *harness) refused(ctx context.Context, merchant int) (sale, string, bool) {
	rows, err := h.database.Query(ctx, `
		select c.name, o.number, (select token from submissions s where s.order_id = o.id and s.state = 'rejected' order by s.id desc limit 1)
		from orders o join connections c on c.id = o.cart_id
		where o.merchant_id = $1 and o.state = 'held' and o.hold_reason = $2 and exists (select from submissions s where s.order_id = o.id and s.state = 'rejected')
		order by o.id desc`, merchantID(merchant), relay.HoldInsufficientInventory)
	if err != nil {
		return sale{}, "", false
	}
	var key audit.Key
	var token, last string
	var found sale
	_, err = pgx.ForEachRow(rows, []any{&key.Cart, &key.Number, &last}, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if s, ok := h.sales[orderKey{merchant, key}]; ok && s.then == leave { // it is refused as it was sold
			found, token = s, last
		}
		return nil
	})
	return found, token, err == nil && token != ""
}

// letAdopted has warehouses go on with orders that were taken after all, once the
// ledger knows them.
func (h *harness) letAdopted(ctx context.Context) {
	h.mu.Lock()
	waiting := maps.Clone(h.waiting)
	h.mu.Unlock()
	for s := range waiting {
		var known bool
		err := h.database.QueryRow(ctx, `
			select exists (select from orders where merchant_id = $1 and warehouse_order_id = $2 and state in ('at_warehouse', 'held'))`, merchantID(s.merchant), s.id).Scan(&known)
		if err != nil || !known || h.easypost(s.merchant).Release(s.id) != nil {
			continue
		}
		h.mu.Lock()
		delete(h.waiting, s)
		h.mu.Unlock()
	}
}

// stranger is a warehouse's order that the ledger did not send.
type stranger struct {
	merchant int
	id       string
}

// differences counts what the comparing of books found, by kind.
func (h *harness) differences(ctx context.Context) ([]Count, error) {
	rows, err := h.database.Query(ctx, `select 'difference found: ' || kind, count(*) from findings group by 1 order by 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Count])
}
