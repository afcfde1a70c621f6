package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
	"orderferry/workflows"

	easypost "orderferry/connectors/easypost/simulator"
)

// Orders that nothing in the ledger sent, at merchants whose books are compared:
// that is what finds them.

// lister is the i-th merchant's warehouse if it lists what came from us; nil: it does not.
func (h *harness) lister(i int) *shop.EasyPost {
	w, _ := h.shops.Merchants[i].Warehouse.(*shop.EasyPost)
	return w
}

// compare has a merchant's books compared, with a stray order in them if that is planned.
func (h *harness) compare(ctx context.Context, c change) {
	if w := h.lister(c.merchant); w != nil {
		switch c.stray {
		case doubled:
			h.double(ctx, c.merchant, w)
		case foreign:
			h.intrude(ctx, c, w)
		}
	}
	if h.ask(ctx, workflows.MerchantID(merchantID(c.merchant)), workflows.SyncNow, compareBooks, nil) == nil {
		h.count(booksCompared)
	}
}

// compareBooks is asked of merchants' workflows: the job runs only when it is named.
var compareBooks = workflows.JobRequest{Job: relay.Reconcile, Actor: "ops"}

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
	if ids, _ := w.Slip(list[at], list[at].Description); len(ids) > 0 {
		h.count(ordersDoubled)
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
	ids, _ := w.Slip(list[0], fmt.Sprintf("relay:%s %s", token, number))
	h.mu.Lock()
	for _, id := range ids {
		h.strangers[stranger{c.merchant, id}] = true
	}
	h.mu.Unlock()
	if len(ids) > 0 {
		h.count(strangersThere)
	}
}

// stranger is a warehouse's order that is none of the ledger's.
type stranger struct {
	merchant int
	id       string
}

// withoutStrangers takes strangers out of a merchant's books, and says which of
// them were not left alone.
func (h *harness) withoutStrangers(i int, b *audit.Books) (wrong []audit.Finding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b.Warehouse = slices.DeleteFunc(b.Warehouse, func(o audit.WarehouseOrder) bool {
		if !h.strangers[stranger{i, o.ID}] {
			return false
		}
		if o.Cancelled {
			wrong = append(wrong, audit.Finding{Wrong: audit.WronglyShipped, Merchant: b.Merchant, Subject: o.Number,
				Words: fmt.Sprintf("the warehouse's %s, which somebody else sent under this number, was cancelled", o.ID)})
		}
		return true
	})
	return wrong
}

// differences counts what the comparing of books found, by kind.
func (h *harness) differences(ctx context.Context) ([]Count, error) {
	rows, err := h.database.Query(ctx, `select 'difference found: ' || kind, count(*) from findings group by 1 order by 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Count])
}
