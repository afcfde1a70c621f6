package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"orderferry/activities"
	"orderferry/relay"
	"orderferry/standalone/audit"
	"orderferry/standalone/shop"
)

// Books are what all sides have of a merchant.
func Books(ctx context.Context, q audit.Querier, a *shop.Account) (b audit.Books, err error) {
	b.Merchant = relay.MerchantID(a.ID)
	if b.Ledger, err = audit.Ledger(ctx, q, b.Merchant); err != nil {
		return b, err
	}
	b.Warehouse, b.Free = a.Warehouse.Book()
	for _, c := range a.Carts {
		book, err := c.Book()
		if err != nil {
			return b, err
		}
		book.Name = c.Connection().Name
		book.Parts = shop.Parts(book.Name)
		b.Carts = append(b.Carts, book)
	}
	return b, nil
}

// counted is how many orders the books of a system hold.
type counted struct {
	name   string
	orders int64
}

// patience is for how many seconds the last news may be no further on its way, once
// all orders have come to their end: stock that was on its way to a shop as the
// command was killed is told again as late as that.
const patience = int(activities.PushGivenUp/time.Second) + 60

// audit holds all books against the ledger. It returns what each system's books
// hold, and all that is wrong and stays so.
func (d *demo) audit(ctx context.Context, tick <-chan time.Time) (books []counted, findings []audit.Finding, err error) {
	told := false
	var before []audit.Finding
	for still := 0; ; still++ {
		books, findings = nil, nil
		for _, a := range d.Shops.Merchants {
			b, err := Books(ctx, d.database, a)
			if err != nil {
				return nil, nil, err
			}
			findings = append(findings, b.Check()...)
			for i, c := range b.Carts {
				books = append(books, counted{fmt.Sprintf("%s's %s", a.ID, a.Merchant.Carts[i]), int64(len(c.Orders))})
			}
			books = append(books, counted{fmt.Sprintf("%s's %s", a.ID, a.Merchant.Warehouse), int64(len(b.Warehouse))})
		}
		if !slices.Equal(findings, before) {
			before, still = findings, 0
		}
		if len(findings) == 0 || still == patience {
			return books, findings, nil
		}
		if !told {
			told = true
			fmt.Fprintf(d.Out, "all orders have come to their end; %d figures are still on their way\n", len(findings))
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}
