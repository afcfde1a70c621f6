package store

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// packageItems is what a package of an order with kits holds of what was ordered.
type packageItems struct {
	order relay.OrderID
	key   string
	items []relay.Item
}

// loadParts reads what packages hold of orders with kits, whose lines alone do
// not tell it: a part of a kit makes no line whole.
func loadParts(ctx context.Context, tx pgx.Tx, ids []int64, at map[relay.OrderID]*shippingOrder) error {
	kits := false
	for _, o := range at {
		kits = kits || relay.HasKits(o.items)
	}
	if !kits {
		return nil
	}
	rows, err := tx.Query(ctx, `
		select s.order_id, s.package_key, s.state = 'waiting', i.code, i.units from shipment_items i join shipments s on s.id = i.shipment_id
		where s.order_id = any($1) order by s.id, i.code`, ids)
	if err != nil {
		return err
	}
	var id relay.OrderID
	var key string
	var waits bool
	var it relay.Item
	_, err = pgx.ForEachRow(rows, []any{&id, &key, &waits, &it.Code, &it.Units}, func() error {
		o := at[id]
		o.shipped.Add(relay.Allocation{Items: []relay.Item{it}})
		p := o.parcelOf(key)
		p.holds[it.Code] += it.Units
		if waits {
			o.begun[key] = append(o.begun[key], it.Code)
			p.blank = false
		}
		return nil
	})
	return err
}

// allocated takes over what a shipment holds that is new. One that makes a kit whole is
// told together with those that hold the other parts of it; one that makes
// nothing whole waits for such a one, so that each tracking number is told once.
func (w *shipmentWriter) allocated(o *shippingOrder, key string, in relay.Allocation) {
	o.shipped.Add(in)
	if !relay.HasKits(o.items) || len(in.Items) == 0 {
		return
	}
	w.items = append(w.items, packageItems{o.id, key, in.Items})
	if len(in.Lines) == 0 {
		for _, it := range in.Items {
			o.begun[key] = append(o.begun[key], it.Code)
		}
		return
	}
	whole := relay.Codes(o.items, in.Lines)
	var with []string
	for _, k := range slices.Sorted(maps.Keys(o.begun)) {
		if slices.ContainsFunc(o.begun[k], func(c relay.ItemCode) bool { return whole[c] }) {
			with = append(with, k)
			delete(o.begun, k)
		}
	}
	if len(with) == 0 {
		return
	}
	// In SQL, since packages of this very report have no number yet.
	w.batch.Queue(`
		update shipments m set state = 'merged', merged_into = p.id from shipments p
		where p.order_id = $1 and p.package_key = $2 and m.order_id = $1 and m.package_key = any($3) and m.state = 'waiting'`, o.id, key, with)
}

func (w *shipmentWriter) writeItems(b *pgx.Batch) {
	var order, units []int64
	var key, code []string
	for _, p := range w.items {
		for _, it := range p.items {
			order, key, code, units = append(order, int64(p.order)), append(key, p.key), append(code, string(it.Code)), append(units, it.Units)
		}
	}
	if len(order) == 0 {
		return
	}
	b.Queue(`
		insert into shipment_items (shipment_id, code, units)
		select s.id, q.code, q.units from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) as q(o, k, code, units)
		join shipments s on s.order_id = q.o and s.package_key = q.k`, order, key, code, units)
}
