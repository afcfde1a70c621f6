package simulator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Receiving tickets tell the warehouse of goods that are on their way
// (wire/bergen-rex11.md section 10.3). The page has them in short; so do we.

const (
	receiptSpace = publicAPI + "ReceivingTicket.xsd"
	receiptItems = publicAPI + "ReceivingTicketItems.xsd"
)

// receipt is a receiving ticket. It is staged until its import is due.
type receipt struct {
	N        int64               `json:"n"`
	Accepted time.Time           `json:"accepted"`
	Received time.Time           `json:"received,omitzero"` // added to the inventory
	Fields   map[string]string   `json:"fields"`            // simple elements, by name, as sent
	Tracking []string            `json:"tracking,omitempty"`
	Supplier map[string]string   `json:"supplier,omitempty"`
	Items    []map[string]string `json:"items"`
}

// id is the number that the service gives: WHRTN and digits.
func (r *receipt) id() string { return fmt.Sprintf("WHRTN%06d", r.N) }

// The two statuses that a receipt has here, with their numbers, which are known.
const (
	statusDraft, codeDraft = "Draft", "100"
	statusAdded, codeAdded = "AddedToInventory", "600"
)

func (r *receipt) status() (name, code string) {
	if r.Received.IsZero() {
		return statusDraft, codeDraft
	}
	return statusAdded, codeAdded
}

var (
	receiptStatuses = []string{statusDraft, "PendingCSR", "PendingPrinting", "PrintedPendingCount", "CountingInProgress", "PendingPutaway", "PutAwayInProgress", statusAdded, "Cancelled"}
	receiptTypes    = []string{"NA", "GOH", "FLAT", "OPENTOHANG", "CASE"}
	receiptFields   = []string{"Memo", "AuthorizedNumber", "CustomerPO", "LicensePlate", "DriverName", "ExpectedDate", "Carrier"}
	receiptTexts    = []string{"Sku", "Style", "Color", "UPC", "Size", "ProductDescription", "Comments", "ReturnReasonCode"}
	receiptNumbers  = []string{"ExpectedQuantity", "ActualQuantity", "DamagedQuantity", "UnitCost", "ProductMSRP"}
)

// addReceipt is ReceivingTicketAdd.
func addReceipt(c *call) (answer, *fault) {
	r, f := c.readReceipt()
	if f != nil {
		return answer{}, f
	}
	b := c.begin()
	defer c.mu.Unlock()
	a := answer{notes: r.refusals()}
	id := ""
	if len(a.notes) == 0 {
		a = notes(0, "Success", "Data saved successfully.") // with a full stop (section 5)
		r.N = int64(len(b.receipts)) + 1
		c.commit(b, &change{Receipts: []*receipt{r}})
		id = r.id()
	}
	a.payload = func(w *writer) { w.leaf(methods, "ReceivingTicketId", id) }
	return a, nil
}

func (c *call) readReceipt() (*receipt, *fault) {
	in := c.args.kid(receiptSpace, "receivingTicket")
	if in == nil {
		in = &element{}
	}
	r := &receipt{Accepted: c.now, Fields: map[string]string{}}
	for _, e := range []struct {
		field, kind string
		values      []string
	}{{"ReceivingStatus", "ReceivingTicketStatus", receiptStatuses}, {"Warehouse", "PickTicketWareHouse", warehouses}} {
		v, f := enumerated(in, receiptSpace, e.field, e.kind, e.values)
		if f != nil {
			return nil, f
		}
		r.Fields[e.field] = v
	}
	for _, name := range receiptFields {
		if v := in.value(receiptSpace, name); v != "" {
			r.Fields[name] = v
		}
	}
	if s := in.kid(receiptSpace, "SupplierDetails"); s != nil {
		r.Supplier = map[string]string{}
		for _, name := range addressFields {
			r.Supplier[name] = s.value(addressSpace, name)
		}
	}
	for i := range in.kids {
		k := &in.kids[i]
		switch {
		case k.name.Space != receiptSpace:
		case k.name.Local == "TrackingNumbers":
			r.Tracking = append(r.Tracking, string(k.text))
		case k.name.Local == "Shipmentitemslist":
			item, f := readReceiptItem(k)
			if f != nil {
				return nil, f
			}
			r.Items = append(r.Items, item)
		}
	}
	return r, nil
}

func readReceiptItem(k *element) (map[string]string, *fault) {
	item := map[string]string{}
	for _, name := range receiptTexts {
		if v := k.value(receiptItems, name); v != "" {
			item[name] = v
		}
	}
	for _, name := range receiptNumbers {
		v, f := readNumber(k.kid(receiptItems, name))
		if f != nil || (strings.HasSuffix(name, "Quantity") && (v != math.Trunc(v) || math.Abs(v) > math.MaxInt32)) {
			return nil, notANumber()
		}
		item[name] = decimal(v)
	}
	_, f := enumerated(k, receiptItems, "ShipmentType", "ReceivingTicketType", receiptTypes)
	return item, f
}

// refusals knows the two complaints that were seen; when they are made is a choice.
func (r *receipt) refusals() []note {
	var out []note
	if r.Supplier["Country"] == "" {
		out = append(out, note{12, "DataNotValid", "ReceivingTicket/SupplierDetails/Country is not valid"})
	}
	for i, item := range r.Items {
		if item["Size"] == "" {
			out = append(out, note{32, "DataNotValid", fmt.Sprintf("ReceivingTicket/Shipmentitemslist/Size[item %d] is not valid", i+1)})
		}
	}
	return out
}

// receipt finds an imported receiving ticket; staged is one that is not imported yet.
func (c *call) receipt(b *book, id string) (found *receipt, staged bool) {
	for _, r := range b.receipts {
		if r.id() == id {
			return r, r.Accepted.Add(c.progress.ImportAfter).After(c.now)
		}
	}
	return nil, false
}

var invalidASN = note{41, "InvalidAsnError", "Invalid ASN Ticket number"}

func receiptAddStatus(c *call) (answer, *fault) {
	b := c.begin()
	defer c.mu.Unlock()
	r, staged := c.receipt(b, c.arg("receivingTicketId"))
	switch {
	case r == nil:
		return answer{notes: []note{invalidASN}}, nil
	case staged:
		return answer{payload: func(w *writer) {
			writeReceiptStatus(w, "ReceivingTicketStatus", r.id(), "PendingImport", "87", "Pending import")
		}}, nil
	}
	return answer{payload: func(w *writer) {
		writeReceiptStatus(w, "ReceivingTicketStatus", r.id(), "Success", "0", "Data imported successfully")
	}}, nil
}

func writeReceiptStatus(w *writer, element, id, status, code, description string) {
	w.start(methods, element)
	w.leaf(methods, "TicketId", id)
	w.leaf(methods, "TicketStatus", status)
	w.leaf(methods, "StatusCode", code)
	w.leaf(methods, "StatusDescription", description)
	w.end()
}

func showReceipt(c *call) (answer, *fault) {
	b := c.begin()
	defer c.mu.Unlock()
	r, staged := c.receipt(b, c.arg("AsnTicketNumber"))
	if r == nil || staged {
		return answer{notes: []note{invalidASN}, payload: func(w *writer) {
			w.start(methods, "ReceivingTicketByTicketNo")
			w.end()
		}}, nil
	}
	return answer{payload: func(w *writer) {
		w.start(methods, "ReceivingTicketByTicketNo")
		c.writeReceipt(w, r)
		w.end()
	}}, nil
}

// writeReceipt shows a receipt as it was read back: texts in small letters, NA for
// every shipment type, no state, the country in full.
func (c *call) writeReceipt(w *writer, r *receipt) {
	status, code := r.status()
	w.start(methods, "ReceivingTicket")
	w.leaf(receiptSpace, "ReceivingStatus", status)
	w.leaf(receiptSpace, "ReceivingStatusCode", code)
	w.leaf(receiptSpace, "CreatedDate", r.Accepted.Add(c.progress.ImportAfter).In(c.eastern).Format("1/2/2006 3:04:05 PM"))
	for _, item := range r.Items {
		c.writeReceiptItem(w, item, !r.Received.IsZero())
	}
	w.leaf(receiptSpace, "Warehouse", r.Fields["Warehouse"])
	for _, name := range receiptFields[:5] {
		w.some(receiptSpace, name, r.Fields[name])
	}
	for _, number := range r.Tracking {
		w.leaf(receiptSpace, "TrackingNumbers", number)
	}
	w.some(receiptSpace, "ExpectedDate", r.Fields["ExpectedDate"])
	w.start(receiptSpace, "SupplierDetails")
	for _, name := range addressFields[2:] { // without names of people
		v := r.Supplier[name]
		switch {
		case name == "State":
			v = ""
		case name == "Country" && inUSA(v):
			v = "United States"
		}
		w.leaf(addressSpace, name, v)
	}
	w.end()
	w.some(receiptSpace, "Carrier", strings.ToLower(r.Fields["Carrier"]))
	if !r.Received.IsZero() {
		at := r.Received.In(c.eastern)
		w.leaf(receiptSpace, "AddedToInventoryDate", at.Format("01/02/2006 15:04:05"))
		w.leaf(receiptSpace, "ArrivedDate", at.Format("01/02/2006"))
	}
	w.end()
}

func (c *call) writeReceiptItem(w *writer, item map[string]string, received bool) {
	actual := item["ActualQuantity"]
	if received {
		actual = item["ExpectedQuantity"]
	}
	w.start(receiptSpace, "Shipmentitemslist")
	w.some(receiptItems, "Sku", item["Sku"])
	w.some(receiptItems, "Style", strings.ToLower(item["Style"]))
	w.some(receiptItems, "Color", strings.ToLower(item["Color"]))
	w.some(receiptItems, "UPC", item["UPC"])
	w.some(receiptItems, "Size", strings.ToLower(item["Size"]))
	w.leaf(receiptItems, "ExpectedQuantity", item["ExpectedQuantity"])
	w.leaf(receiptItems, "ActualQuantity", actual)
	w.leaf(receiptItems, "DamagedQuantity", item["DamagedQuantity"])
	w.leaf(receiptItems, "UnitCost", item["UnitCost"])
	w.some(receiptItems, "ProductDescription", item["ProductDescription"])
	w.leaf(receiptItems, "ProductMSRP", item["ProductMSRP"])
	w.some(receiptItems, "Comments", item["Comments"])
	w.leaf(receiptItems, "ShipmentType", "NA")
	w.some(receiptItems, "ReturnReasonCode", item["ReturnReasonCode"])
	w.end()
}

// imported lists the receipts that keep wants, of those that are imported.
func (c *call) imported(keep func(*receipt) bool) []*receipt {
	b := c.begin()
	defer c.mu.Unlock()
	var out []*receipt
	for _, r := range b.receipts {
		if !r.Accepted.Add(c.progress.ImportAfter).After(c.now) && keep(r) {
			out = append(out, r)
		}
	}
	return out
}

func receiptIDs(name string, receipts []*receipt) answer {
	var ids []string
	for _, r := range receipts {
		ids = append(ids, r.id())
	}
	return stringList(name, ids)
}

func receiptsByPO(c *call) (answer, *fault) {
	po := c.arg("customerPO")
	return receiptIDs("ReceivingTicketsByPO", c.imported(func(r *receipt) bool { return po != "" && r.Fields["CustomerPO"] == po })), nil
}

func receiptsByStatus(c *call) (answer, *fault) {
	wanted, f := enumerated(c.args, methods, "receivingTicketStatus", "ReceivingTicketStatus", receiptStatuses)
	if f != nil {
		return answer{}, f
	}
	days, a, f := c.dateRange("startDate", "endDate")
	if f != nil || a.notes != nil {
		return a, f
	}
	return receiptIDs("ReceivingTickets", c.imported(func(r *receipt) bool {
		status, _ := r.status()
		return status == wanted && days.holds(r.Accepted)
	})), nil
}

// receiptStatusList is GetReceivingStatusesByDate: by the day of acceptance, a choice.
func receiptStatusList(c *call) (answer, *fault) {
	days, a, f := c.dateRange("StartDate", "EndDate")
	if f != nil || a.notes != nil {
		return a, f
	}
	found := c.imported(func(r *receipt) bool { return days.holds(r.Accepted) })
	return answer{payload: func(w *writer) {
		w.start(methods, "ReceivingTicketStatus")
		for _, r := range found {
			status, code := r.status()
			writeReceiptStatus(w, "ReceivingTicketShipmentStatus", r.id(), status, code, status)
		}
		w.end()
	}}, nil
}

// receiptStatusListConfigurable can't be simulated: what its dateType means is unknown.
func receiptStatusListConfigurable(*call) (answer, *fault) {
	return answer{}, thrown("This simulator does not know the values of dateType.")
}

// Receive puts the goods of a receiving ticket into the stock of its warehouse, as
// many as were expected.
func (s *Simulator) Receive(id string) error {
	return s.inReceipt(id, func(b *book, r *receipt, now time.Time) error {
		if !r.Received.IsZero() {
			return fmt.Errorf("%w: %s", ErrWrongStep, statusAdded)
		}
		next := *r
		next.Received = now
		c := &change{Receipts: []*receipt{&next}}
		w := b.building(r.Fields["Warehouse"])
		for upc, n := range expected(r) {
			if w >= 0 && b.live(upc) != nil {
				c.Stock = append(c.Stock, stockRecord{upc, b.Warehouses[w], b.levels(upc)[w].onHand + n, now})
			}
		}
		slices.SortFunc(c.Stock, func(x, y stockRecord) int { return strings.Compare(x.UPC, y.UPC) })
		s.commit(b, c)
		s.recheck(b, now)
		return nil
	})
}

func expected(r *receipt) map[string]int64 {
	out := map[string]int64{}
	for _, item := range r.Items {
		if n, err := strconv.ParseInt(item["ExpectedQuantity"], 10, 64); err == nil && n > 0 {
			out[item["UPC"]] += n
		}
	}
	return out
}

// inReceipt acts on a receipt. Numbers count by account: the first that has it is meant.
func (s *Simulator) inReceipt(id string, act func(*book, *receipt, time.Time) error) error {
	s.mu.Lock()
	err := ErrNotFound
	for _, b := range s.books {
		if i := slices.IndexFunc(b.receipts, func(r *receipt) bool { return r.id() == id }); i >= 0 {
			err = act(b, b.receipts[i], s.now())
			break
		}
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("receive %s: %w", id, err)
	}
	return s.journal.Flush()
}
