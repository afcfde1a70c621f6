package simulator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// render turns records into the fulfillment API's objects (sections 2, 5, 7, 9).
type render struct {
	behaviour Behaviour
	mode      Mode
	webhook   bool // for a webhook body, not for an answer
}

// common opens every object. A stamp is a number or a string, as Behaviour says.
type common struct {
	ID        string `json:"id"`
	Mode      Mode   `json:"mode"`
	CreatedAt any    `json:"created_at"`
	UpdatedAt any    `json:"updated_at"`
	Future    any    `json:"future_field,omitempty"`
}

func (r render) common(id string, created, updated time.Time) common {
	c := common{ID: id, Mode: r.mode, CreatedAt: r.stamp(created), UpdatedAt: r.stamp(updated)}
	if r.behaviour.UnknownFields {
		c.Future = map[string]any{"kind": "unheard of", "values": []int{1, 2}}
	}
	return c
}

func (r render) stamp(t time.Time) any {
	switch r.behaviour.Timestamps {
	case Milliseconds:
		return t.UnixMilli()
	case DigitString:
		return strconv.FormatInt(t.Unix(), 10)
	case RFC3339:
		return t.Format(time.RFC3339)
	default:
		return t.Unix()
	}
}

// array keeps an empty list from becoming null, or makes it null on purpose.
func array[T any](r render, xs []T) []T {
	switch {
	case len(xs) > 0:
		return xs
	case r.behaviour.NullArrays:
		return nil
	default:
		return []T{}
	}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type wireProduct struct {
	common
	Title          string        `json:"title"`
	Barcode        string        `json:"barcode"`
	Type           string        `json:"type"`
	OriginCountry  *string       `json:"origin_country"`
	HSCode         *string       `json:"hs_code"`
	SerialTracking bool          `json:"requires_serial_tracking"`
	Length         wireDimension `json:"length"`
	Width          wireDimension `json:"width"`
	Height         wireDimension `json:"height"`
	Weight         wireDimension `json:"weight"`
	Price          wireDimension `json:"price"`
}

type wireDimension struct {
	Value json.Number `json:"value"`
	Unit  string      `json:"unit"`
}

func wireDim(d dimension, unit string) wireDimension {
	return wireDimension{cmp.Or(d.Value, "0"), cmp.Or(d.Unit, unit)}
}

func (r render) product(p *product) *wireProduct {
	return &wireProduct{
		common: r.common(p.ID, p.Created, p.Updated), Title: p.Title, Barcode: p.Barcode, Type: p.Type,
		OriginCountry: orNull(p.OriginCountry), HSCode: orNull(p.HSCode), SerialTracking: p.SerialTracking,
		Length: wireDim(p.Length, "IN"), Width: wireDim(p.Width, "IN"), Height: wireDim(p.Height, "IN"),
		Weight: wireDim(p.Weight, "OZ"), Price: wireDim(p.Price, "USD"),
	}
}

type wireOrder struct {
	common
	Object          string          `json:"object"`
	Status          string          `json:"status"`
	Service         string          `json:"service"`
	Description     *string         `json:"description"`
	LatestDelivery  *string         `json:"latest_delivery"`
	Destination     wireDestination `json:"destination"`
	LineItems       []wireLine      `json:"line_items"`
	ShipmentOptions shipmentOptions `json:"shipment_options"`
	Inserts         []wireInsert    `json:"inserts"`
	Picks           []wirePick      `json:"picks"`
	Trackers        []wireTracker   `json:"trackers"`
	Returns         []wireReturnRef `json:"returns"`
	Fees            []wireFee       `json:"fees"`
}

type wireDestination struct {
	common
	Name         *string `json:"name"`
	Company      *string `json:"company"`
	Street1      *string `json:"street1"`
	Street2      *string `json:"street2"`
	City         *string `json:"city"`
	State        *string `json:"state"`
	Zip          *string `json:"zip"`
	Country      *string `json:"country"`
	Phone        *string `json:"phone"`
	Email        *string `json:"email"`
	Residential  *bool   `json:"residential"`
	StateTaxID   *string `json:"state_tax_id"`
	FederalTaxID *string `json:"federal_tax_id"`
}

type wireLine struct {
	common
	Product *wireProduct `json:"product"`
	Units   int64        `json:"units"`
}

type wireInsert struct {
	common
	URL string `json:"url"`
	ACL string `json:"acl"`
}

type wirePick struct {
	common
	Tracker     *wireTracker   `json:"tracker"`
	Inventories []wirePickItem `json:"inventories"`
}

type wirePickItem struct {
	common
	Product  *wireProduct `json:"product"`
	Quantity int64        `json:"quantity,omitempty"`
}

type wireTracker struct {
	common
	Object       string           `json:"object"`
	TrackingCode string           `json:"tracking_code"`
	Carrier      string           `json:"carrier"`
	Status       string           `json:"status"`
	StatusDetail string           `json:"status_detail"`
	PublicURL    string           `json:"public_url"`
	EstDelivery  any              `json:"est_delivery_date"`
	SignedBy     *string          `json:"signed_by"`
	Detail       wireCarrierShort `json:"carrier_detail"`
}

type wireCarrierShort struct {
	Service string `json:"service"`
}

type wireReturnRef struct {
	common
	Status string `json:"status"`
}

type wireFee struct {
	common
	DisabledAt any    `json:"disabled_at"`
	Type       string `json:"type"`
	Amount     string `json:"amount"`
	Charged    bool   `json:"charged"`
	Refunded   bool   `json:"refunded"`
}

// orderSnapshot is an order with the records it refers to, taken under the lock.
type orderSnapshot struct {
	order    *order
	products map[string]*product
	trackers []*tracker // one a pick; nil for a pick that has not left
	voided   []*tracker
	returns  []*document
}

func (b *book) snapshot(o *order) orderSnapshot {
	s := orderSnapshot{order: o, products: make(map[string]*product, len(o.Lines)), trackers: make([]*tracker, len(o.Picks))}
	for _, l := range o.Lines {
		s.products[l.ProductID] = b.products[l.ProductID]
	}
	for i, p := range o.Picks {
		s.trackers[i] = b.trackers[p.TrackerID]
	}
	for _, id := range o.Voided {
		s.voided = append(s.voided, b.trackers[id])
	}
	for _, d := range b.returnsOf[o.ID] {
		if doc := b.documents[d]; !doc.Deleted {
			s.returns = append(s.returns, doc)
		}
	}
	return s
}

func (b *book) snapshots(orders []*order) []orderSnapshot {
	out := make([]orderSnapshot, len(orders))
	for i, o := range orders {
		out[i] = b.snapshot(o)
	}
	return out
}

func (r render) status(s State) string {
	if renamed, ok := r.behaviour.Statuses[string(s)]; ok {
		return renamed
	}
	return string(s)
}

// showTrackers says whether trackers are to be seen here at all.
func (r render) showTrackers() bool {
	switch r.behaviour.TrackersOn {
	case TrackersOnGet:
		return !r.webhook
	case TrackersOnWebhook:
		return r.webhook
	default:
		return true
	}
}

func (r render) order(s orderSnapshot) *wireOrder {
	o := s.order
	w := &wireOrder{
		common: r.common(o.ID, o.Created, o.Updated), Object: "Order", Status: r.status(o.State),
		Service: o.Request.Service, LatestDelivery: o.Request.LatestDelivery,
		Destination: r.destination(o), LineItems: array(r, r.lines(s)), Inserts: array(r, r.inserts(o)),
		Picks: array(r, r.picks(s)), Trackers: array(r, r.trackers(s)), Returns: array(r, r.returns(s)),
		Fees: array(r, r.fees(o)),
	}
	if !r.behaviour.DropDescription {
		w.Description = o.Request.Description
	}
	if o.Request.ShipmentOptions != nil {
		w.ShipmentOptions = *o.Request.ShipmentOptions
	}
	return w
}

func (r render) destination(o *order) wireDestination {
	d := o.Request.Destination
	return wireDestination{
		common: r.common(part("adr_", o.ID), o.Created, o.Updated),
		Name:   orNull(d.Name), Company: orNull(d.Company), Street1: orNull(d.Street1), Street2: orNull(d.Street2),
		City: orNull(d.City), State: orNull(d.State), Zip: orNull(d.Zip), Country: orNull(d.Country),
		Phone: orNull(d.Phone), Email: orNull(d.Email), Residential: d.Residential,
		StateTaxID: orNull(d.StateTaxID), FederalTaxID: orNull(d.FederalTaxID),
	}
}

func (r render) lines(s orderSnapshot) []wireLine {
	lines := make([]wireLine, len(s.order.Lines))
	for i, l := range s.order.Lines {
		lines[i] = wireLine{
			common:  r.common(part("li_", s.order.ID, i), s.order.Created, s.order.Created),
			Product: r.product(s.products[l.ProductID]), Units: l.Units,
		}
	}
	return lines
}

func (r render) inserts(o *order) []wireInsert {
	var out []wireInsert
	for i, in := range o.Request.Inserts {
		out = append(out, wireInsert{r.common(part("ins_", o.ID, i), o.Created, o.Created), in.URL, in.ACL})
	}
	return out
}

func (r render) picks(s orderSnapshot) []wirePick {
	if r.behaviour.NoPicks {
		return nil
	}
	var out []wirePick
	for i, p := range s.order.Picks {
		w := wirePick{
			common:      r.common(part("pick_", s.order.ID, i), p.Created, latest(p.Created, p.Shipped)),
			Inventories: array(r, r.pickItems(s, i)),
		}
		if s.trackers[i] != nil && r.showTrackers() {
			w.Tracker = new(r.tracker(s.trackers[i]))
		}
		out = append(out, w)
	}
	return out
}

// maxEntries bounds how many units of a package are listed one by one.
const maxEntries = 500

func (r render) pickItems(s orderSnapshot, i int) []wirePickItem {
	var out []wirePickItem
	p := s.order.Picks[i]
	for j, item := range p.Items {
		product := r.product(s.products[item.ProductID])
		entries, quantity := item.Units, int64(0)
		if r.behaviour.PickQuantities || item.Units > maxEntries {
			entries, quantity = 1, item.Units
		}
		for k := range entries {
			id := part("inv_", s.order.ID, i, j, int(k))
			out = append(out, wirePickItem{r.common(id, p.Created, p.Created), product, quantity})
		}
	}
	return out
}

func (r render) trackers(s orderSnapshot) []wireTracker {
	if r.behaviour.NoTrackerArray || !r.showTrackers() {
		return nil
	}
	var out []wireTracker
	for _, t := range slices.Concat(s.voided, s.trackers) {
		if t != nil {
			out = append(out, r.tracker(t))
		}
	}
	return out
}

func (r render) tracker(t *tracker) wireTracker {
	return wireTracker{
		common: r.common(t.ID, t.Created, t.Updated), Object: "Tracker", TrackingCode: t.Code, Carrier: t.Carrier,
		Status: t.Status, StatusDetail: t.detail(), PublicURL: t.publicURL(), EstDelivery: r.stamp(t.expected()),
		Detail: wireCarrierShort{t.Service},
	}
}

func (r render) returns(s orderSnapshot) []wireReturnRef {
	var out []wireReturnRef
	for _, d := range s.returns {
		out = append(out, wireReturnRef{r.common(d.ID, d.Created, d.Updated), d.Status})
	}
	return out
}

// fees shows one fee once something has left; its type is invented.
func (r render) fees(o *order) []wireFee {
	if o.LastShip.IsZero() {
		return nil
	}
	return []wireFee{{
		common: r.common(part("fee_", o.ID), o.LastShip, o.LastShip),
		Type:   "FulfillmentFee", Amount: "7.50000", Charged: true,
	}}
}

func latest(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

type wireWarehouse struct {
	common
	DisabledAt any             `json:"disabled_at"`
	Name       string          `json:"name"`
	ShortName  string          `json:"short_name"`
	Address    wireDestination `json:"address"`
}

// warehousesSince is when every simulated building was opened.
func warehousesSince() time.Time { return time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC) }

func (r render) warehouse(w warehouse) wireWarehouse {
	at := warehousesSince()
	out := wireWarehouse{
		common: r.common(w.ID, at, at), Name: cmp.Or(w.Name, w.ShortName), ShortName: w.ShortName,
		Address: wireDestination{
			common: r.common(part("adr_", w.ID), at, at), Company: orNull(cmp.Or(w.Name, w.ShortName)),
			Street1: orNull("1 Depot Road"), City: orNull("Sampletown"), State: orNull("NV"),
			Zip: orNull("89001"), Country: orNull("US"),
		},
	}
	if w.Disabled {
		out.DisabledAt = r.stamp(at)
	}
	return out
}

// wireInventory is one product in one building; with includes the ids become objects.
type wireInventory struct {
	ProductID   string         `json:"product_id,omitempty"`
	Product     *wireProduct   `json:"product,omitempty"`
	WarehouseID string         `json:"warehouse_id,omitempty"`
	Warehouse   *wireWarehouse `json:"warehouse,omitempty"`
	Quantity    int64          `json:"quantity"`
}
