package csv_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/connectors/connectortest"
	filesconn "orderferry/connectors/csv"
	"orderferry/relay"
)

const (
	noAnswer = "files can't be asked what the partner knows"
	noPages  = "files have no pages"
)

func TestConformance(t *testing.T) {
	except := map[string]map[string]string{
		"csv": {
			"cancel/*": "a cancel is asked for by a file, and its answer comes with the shipments: until then it is pending",
			"inventory source/accepted orders and the meaning of the figure": "what the figures mean is the merchant's to say, in quantity_means",
			"order look-up/a cancelled order says so":                        noAnswer,
			"order look-up/found by what is in it":                           "an order's file is named by its number and token: no mark can be lost",
		},
		"csv-cart": {
			"order source/shifted and repeated pages":                noPages,
			"cancellation source/watched orders are looked at":       noAnswer,
			"shipment sink/what a person shipped is found":           noAnswer,
			"shipment sink/more than was ordered is never told":      noAnswer,
			"shipment sink/an order that the cart does not have":     noAnswer,
			"shipment sink/a cancelled order is not shipped":         noAnswer,
			"shipment sink/outcomes are in the order of the pushes":  noAnswer,
			"cancel sink/cancelled already, or gone":                 noAnswer,
			"cancel sink/an order that ships is a conflict":          noAnswer,
			"inventory sink/what was there before is told":           noAnswer,
			"inventory sink/a repeated push changes nothing":         noAnswer,
			"inventory sink/an unknown SKU is reported and not made": noAnswer,
		},
	}
	for _, c := range filesconn.Connectors() {
		t.Run(c.Name, func(t *testing.T) {
			connectortest.Run(t, connectortest.Subject{
				Connector: c, Mode: relay.ModeLive,
				Start: func(t testing.TB) any {
					f := &folder{t: t, dir: t.TempDir(), levels: map[relay.SKU]relay.Quantity{}}
					for _, sub := range []string{"in", "out"} {
						require.NoError(t, os.Mkdir(filepath.Join(f.dir, sub), 0o755))
					}
					return f
				},
				Except: except[c.Name],
			})
		})
	}
}

// folder is a partner on files: the folder, and what the partner would make of it.
type folder struct {
	t      testing.TB
	dir    string
	number int // of files, orders and lines
	big    bool
	orders []relay.CartOrder
	stock  []relay.InventoryLevel
	levels map[relay.SKU]relay.Quantity
	voided map[relay.ExternalID]bool
}

func (f *folder) BaseURL() string { return "file://" + f.dir }

// Settings: files are renamed into place, so they need not settle.
func (f *folder) Settings() connectors.Values { return connectors.Values{"settle": "0s"} }

func (f *folder) UseBigNumbers() error {
	f.big = true
	return nil
}

// drop puts a file there as one, with the bubble's time.
func (f *folder) drop(sub, kind string, rows ...[]string) error {
	f.number++
	name := filepath.Join(f.dir, sub, fmt.Sprintf("%s_%05d.csv", kind, f.number))
	var text strings.Builder
	if err := csv.NewWriter(&text).WriteAll(rows); err != nil {
		return err
	}
	if err := os.WriteFile(name+".tmp", []byte(text.String()), 0o600); err != nil {
		return err
	}
	return errors.Join(os.Chtimes(name+".tmp", time.Now(), time.Now()), os.Rename(name+".tmp", name))
}

// rows reads what was written for the partner, by heading.
func (f *folder) rows(sub, kind string) (files [][]map[string]string, err error) {
	names, err := filepath.Glob(filepath.Join(f.dir, sub, kind+"_*.csv"))
	for _, name := range names {
		text, readErr := os.ReadFile(name)
		table, csvErr := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err = errors.Join(err, readErr, csvErr); err != nil {
			return nil, err
		}
		var rows []map[string]string
		for _, row := range table[1:] {
			values := map[string]string{}
			for i, heading := range table[0] {
				values[heading] = row[i]
			}
			rows = append(rows, values)
		}
		files = append(files, rows)
	}
	return files, err
}

// The cart.

func (f *folder) PlaceOrder(o relay.CartOrder) (relay.CartOrder, error) {
	f.number++
	id := int64(f.number)
	if f.big {
		id += 1 << 53
	}
	o.ExternalID, o.PlacedAt = relay.ExternalID(strconv.FormatInt(id, 10)), time.Now()
	for i, l := range o.Lines {
		o.Lines[i].ID = relay.LineID(fmt.Sprintf("%d/%s", i+1, l.SKU)) // as docs/csv.md says
	}
	f.orders = append(f.orders, o)
	return o, f.tell(o)
}

func (f *folder) tell(o relay.CartOrder) error {
	a := o.ShipTo
	rows := [][]string{{"order", "order_number", "placed_at", "name", "street1", "street2", "city", "state", "zip", "country", "phone", "email", "line", "sku", "quantity"}}
	for i, l := range o.Lines {
		rows = append(rows, []string{string(o.ExternalID), o.Number, o.PlacedAt.UTC().Format(time.RFC3339), a.Name, a.Street1, a.Street2, a.City, a.State,
			a.Zip, a.Country, a.Phone, a.Email, strconv.Itoa(i + 1), string(l.SKU), l.Quantity.String()})
	}
	return f.drop("in", "ord", rows...)
}

func (f *folder) EditOrder(id relay.ExternalID, name string) error {
	for i, o := range f.orders {
		if o.ExternalID == id {
			f.orders[i].ShipTo.Name = name
			return f.tell(f.orders[i])
		}
	}
	return errors.New("no such order")
}

func (f *folder) VoidOrder(id relay.ExternalID) error {
	return f.drop("in", "can", []string{"order"}, []string{string(id)})
}

func (f *folder) Voided(id relay.ExternalID) (bool, error) {
	files, err := f.rows("out", "can")
	for _, rows := range files {
		for _, r := range rows {
			if r["order"] == string(id) {
				return true, err
			}
		}
	}
	return false, err
}

func (f *folder) Parcels(id relay.ExternalID) ([]connectortest.Parcel, error) {
	files, err := f.rows("out", "shp")
	var out []connectortest.Parcel
	for _, rows := range files {
		p := connectortest.Parcel{Shipped: true, Units: map[relay.SKU]int64{}}
		for _, r := range rows {
			if r["order"] != string(id) {
				continue
			}
			n, bad := strconv.ParseInt(r["quantity"], 10, 64)
			p.TrackingNumber, err = r["tracking"], errors.Join(err, bad)
			p.Units[relay.SKU(r["sku"])] += n
		}
		if len(p.Units) > 0 {
			out = append(out, p)
		}
	}
	return out, err
}

func (f *folder) SetLevel(sku relay.SKU, q relay.Quantity) error {
	f.levels[sku] = q
	return nil
}

// Level is what the shop's own books say, until a file says otherwise.
func (f *folder) Level(sku relay.SKU) (relay.Quantity, bool, error) {
	q, known := f.levels[sku]
	files, err := f.rows("out", "inv")
	for _, rows := range files {
		for _, r := range rows {
			if r["sku"] == string(sku) {
				told, bad := relay.ParseQuantity(r["quantity"])
				q, known, err = told, true, errors.Join(err, bad)
			}
		}
	}
	return q, known, err
}

// The warehouse.

func (f *folder) Orders() ([]connectortest.Held, error) {
	files, err := f.rows("in", "ord")
	var out []connectortest.Held
	for _, rows := range files {
		h := connectortest.Held{}
		for _, r := range rows {
			n, bad := strconv.ParseInt(r["quantity"], 10, 64)
			err = errors.Join(err, bad)
			h.ID = relay.WarehouseOrderID(r["order"])
			h.ShipTo = relay.Address{Name: r["name"], Company: r["company"], Street1: r["street1"], Street2: r["street2"], City: r["city"],
				State: r["state"], Zip: r["zip"], Country: r["country"], Phone: r["phone"], Email: r["email"]}
			h.Items = append(h.Items, relay.Item{Code: relay.ItemCode(r["sku"]), Units: n})
		}
		h.Cancelled = f.voided[relay.ExternalID(h.ID)]
		out = append(out, h)
	}
	return out, err
}

// Stock writes a new snapshot.
func (f *folder) Stock(code relay.ItemCode, q relay.Quantity) error {
	f.stock = append(f.stock, relay.InventoryLevel{Code: code, Quantity: q})
	rows := [][]string{{"sku", "quantity"}}
	told := map[relay.ItemCode]bool{}
	for i := len(f.stock) - 1; i >= 0; i-- {
		if l := f.stock[i]; !told[l.Code] {
			told[l.Code] = true
			rows = append(rows, []string{string(l.Code), l.Quantity.String()})
		}
	}
	return f.drop("out", "inv", rows...)
}

func (f *folder) Ship(id relay.WarehouseOrderID, packages ...relay.Package) error {
	rows := [][]string{{"order", "carrier", "tracking", "sku", "quantity"}}
	for _, p := range packages {
		for _, i := range p.Items {
			rows = append(rows, []string{string(id), p.Carrier, p.TrackingNumber, string(i.Code), strconv.FormatInt(i.Units, 10)})
		}
	}
	return f.drop("out", "shp", rows...)
}

func (f *folder) Pick(relay.WarehouseOrderID) error { return nil }

func (f *folder) Drop(id relay.WarehouseOrderID) error {
	if f.voided == nil {
		f.voided = map[relay.ExternalID]bool{}
	}
	f.voided[relay.ExternalID(id)] = true
	return f.drop("out", "ack", []string{"order", "status"}, []string{string(id), "cancelled"})
}
