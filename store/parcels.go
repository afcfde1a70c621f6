package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"orderferry/relay"
)

// parcel is one tracking number of an order. The ledger has a shipment of it with
// what was known to be in it when a cart could first be told. A cart may have been
// told of that, so what turns up in it later is a shipment of its own: a further one
// of the same number, which carts take.
type parcel struct {
	relay.Package                          // carrier and number
	key           string                   // of its first shipment
	shipments     int                      // how many there are
	holds         map[relay.ItemCode]int64 // what of the order is in it, as far as is known
	blank         bool                     // it waits, and nothing of what it holds is known
	told          bool                     // a cart was told of it, or will be
	relabelled    bool                     // the warehouse named another one in its place
}

// nextKey is the key of one more shipment of the parcel. No first one has a blank in its key.
func (p *parcel) nextKey() string {
	if p.shipments++; p.shipments == 1 {
		return p.key
	}
	return fmt.Sprint(p.key, " ", p.shipments)
}

// parcelKey is the key of the first shipment of the parcel that a shipment is of.
func parcelKey(shipment string) string {
	key, _, _ := strings.Cut(shipment, " ")
	return key
}

// loadParcels reads what is known of orders' parcels, but for parts of kits.
func loadParcels(ctx context.Context, tx pgx.Tx, ids []int64, at map[relay.OrderID]*shippingOrder) error {
	rows, err := tx.Query(ctx, `
		select order_id, package_key, carrier, tracking_number, state, assumed, relabelled,
			array(select line_id from shipment_lines l where l.shipment_id = s.id order by line_id),
			array(select units from shipment_lines l where l.shipment_id = s.id order by line_id)
		from shipments s where order_id = any($1) order by id`, ids)
	if err != nil {
		return err
	}
	var id relay.OrderID
	var key, state string
	var number relay.Package
	var assumed, relabelled bool
	var lines []relay.LineID
	var units []int64
	_, err = pgx.ForEachRow(rows, []any{&id, &key, &number.Carrier, &number.TrackingNumber, &state, &assumed, &relabelled, &lines, &units}, func() error {
		o := at[id]
		o.assumed, o.surplus = o.assumed || assumed, o.surplus || state == "surplus"
		p := o.parcelOf(key)
		if p == nil {
			p = &parcel{Package: number, key: parcelKey(key), holds: make(map[relay.ItemCode]int64)}
			o.parcels = append(o.parcels, p)
		}
		p.shipments++
		p.Carrier = cmp.Or(p.Carrier, number.Carrier)
		p.blank = p.blank || state == "waiting"
		p.told = p.told || state == "ready" || state == "told" || state == "merged"
		p.relabelled = p.relabelled || relabelled
		kits := relay.HasKits(o.items)
		for i, line := range lines {
			o.shipped.Add(relay.Allocation{Lines: []relay.ShippedLine{{Line: line, Units: units[i]}}})
			if of := slices.IndexFunc(o.items, func(it relay.OrderItem) bool { return it.Line == line }); of >= 0 && !kits {
				p.holds[o.items[of].Code] += units[i]
			}
		}
		return nil
	})
	for _, o := range at {
		o.over = o.complete && len(o.parcels) > 0
	}
	return err
}

// parcelOf finds the parcel that a shipment in the ledger is of.
func (o *shippingOrder) parcelOf(shipment string) *parcel { return o.withKey(parcelKey(shipment)) }

func (o *shippingOrder) withKey(key string) *parcel {
	if i := slices.IndexFunc(o.parcels, func(p *parcel) bool { return p.key == key }); i >= 0 {
		return o.parcels[i]
	}
	return nil
}

// beyond is what of contents was not known to be in the parcel. That there is less
// in it than before is not believed: a source may tell of it bit by bit.
func (p *parcel) beyond(contents []relay.Item) (more []relay.Item) {
	known := maps.Clone(p.holds)
	for _, it := range contents {
		had := min(max(it.Units, 0), known[it.Code])
		known[it.Code] -= had
		if it.Units -= had; it.Units > 0 {
			more = append(more, it)
		}
	}
	return more
}

// parcel finds the one that a report is about; nil for one that is not known. A
// report of all parcels names each once: a number under another carrier's name is the
// parcel of that number which is not named by its own.
func (o *shippingOrder) parcel(p relay.Package, r Progress) *parcel {
	if known := o.withKey(p.Key()); known != nil {
		return known
	}
	number := relay.Package{TrackingNumber: p.TrackingNumber}
	renamed := func(known *parcel) bool {
		return r.Full && known.Same(number) && !slices.ContainsFunc(r.Packages, func(other relay.Package) bool { return other.Key() == known.key })
	}
	for _, is := range []func(*parcel) bool{func(known *parcel) bool { return known.Same(p) }, renamed} {
		if i := slices.IndexFunc(o.parcels, is); i >= 0 {
			return o.parcels[i]
		}
	}
	return nil
}

// blank reports whether the contents of a parcel are not known.
func (o *shippingOrder) blank() bool {
	return slices.ContainsFunc(o.parcels, func(p *parcel) bool { return p.blank })
}

// takePackages takes over what a report tells of parcels, and reports whether
// something of it is new.
func (w *shipmentWriter) takePackages(o *shippingOrder, r Progress) (news bool) {
	var named, fresh []*parcel
	for _, p := range r.Packages {
		if p.Carrier, p.TrackingNumber = plain(p.Carrier), plain(p.TrackingNumber); p.TrackingNumber == "" {
			continue
		}
		known := o.parcel(p, r)
		if known != nil {
			w.nameCarrier(o, known, p.Carrier)
		}
		switch {
		case known == nil:
			known = &parcel{Package: p, key: p.Key(), holds: make(map[relay.ItemCode]int64)}
			o.parcels, fresh = append(o.parcels, known), append(fresh, known)
			w.out.Packages++
			w.addShipment(o, known, p, EventPackage)
			news = true
		case known.blank && len(p.Items) > 0:
			w.fill(o, known, p.Items)
			news = true
		default:
			if p.Items = known.beyond(p.Items); len(relay.Allocate(o.items, o.shipped, p.Items).Items) > 0 {
				w.addShipment(o, known, p, EventPackageGrew)
				news = true
			}
		}
		named = append(named, known)
	}
	if r.Full && len(fresh) > 0 {
		w.relabelled(o, named, fresh)
	}
	return news
}

// nameCarrier notes the carrier of a parcel that was told without it. A shipment
// that a cart may be hearing of just now stays as it is.
func (w *shipmentWriter) nameCarrier(o *shippingOrder, p *parcel, carrier string) {
	if p.Carrier != "" || carrier == "" {
		return
	}
	p.Carrier = carrier
	w.batch.Queue(`update shipments set carrier = $3 where order_id = $1 and split_part(package_key, ' ', 1) = $2 and carrier = '' and state <> 'ready'`,
		o.id, p.key, carrier)
}

// relabelled tells of parcels that a report of all of them does not name, though it
// names new ones. Nothing is taken back: the report may be wrong, and what a cart was
// told stays told.
func (w *shipmentWriter) relabelled(o *shippingOrder, named, fresh []*parcel) {
	var now []string
	for _, p := range fresh {
		now = append(now, p.TrackingNumber)
	}
	for _, p := range o.parcels {
		if p.relabelled || slices.Contains(named, p) {
			continue
		}
		p.relabelled = true
		if p.told {
			w.out.Alarms++
		}
		w.tell(o, EventRelabelled, map[string]any{"carrier": p.Carrier, "tracking_number": p.TrackingNumber, "now": now, "told": p.told})
		w.batch.Queue(`update shipments set relabelled = true where order_id = $1 and package_key = $2`, o.id, p.key)
	}
}

// short tells people that no more of an order follows, and not all of it left. What
// is left is not told as shipped, and nothing of it is sent again.
func (w *shipmentWriter) short(o *shippingOrder, left []relay.ShippedLine) {
	if !o.cancelAsked {
		w.out.Alarms++
	}
	w.tell(o, EventShippedShort, map[string]any{"left": left, "asked": o.cancelAsked})
}
