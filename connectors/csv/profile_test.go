package csv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func prepared(t *testing.T, profile string, o connectors.WarehouseOrder) request {
	t.Helper()
	p, err := newFolder(t).open("csv", connectors.Values{"profile": profile}).(connectors.OrderSink).PrepareOrder(o)
	require.NoError(t, err)
	again, err := newFolder(t).open("csv", connectors.Values{"profile": profile}).(connectors.OrderSink).PrepareOrder(o)
	require.NoError(t, err)
	require.Equal(t, p.Digest(), again.Digest(), "the same order is the same file")
	var r request
	require.NoError(t, json.Unmarshal(p.Body, &r))
	return r
}

func pullOrders(t *testing.T, profile, name, text string) ([]relay.CartOrder, *folder) {
	t.Helper()
	f := newFolder(t)
	f.write("in/"+name, text)
	orders, unread := (&shop{t: t, source: f.open("csv-cart", connectors.Values{"profile": profile}).(connectors.OrderSource), limit: 10}).pull()
	require.Empty(t, unread)
	return orders, f
}

func pullShipments(t *testing.T, profile string, files ...string) []connectors.OrderUpdate {
	t.Helper()
	f := newFolder(t)
	for i := 0; i < len(files); i += 2 {
		f.write("out/"+files[i], files[i+1])
	}
	updates, unread := (&depot{t: t, source: f.open("csv", connectors.Values{"profile": profile}).(connectors.ShipmentSource)}).pull()
	require.Empty(t, unread)
	return updates
}

// The sample is of the layout that wire/csv-files.md section 2 describes.
func TestDropStream(t *testing.T) {
	o := anOrder("2016981433")
	o.Number = "12345678"
	r := prepared(t, "dropstream", o)
	require.Equal(t, "ord_2016981433_abcdefghijklmnop.csv", r.File)
	require.Equal(t, `"PH","2016981433","12345678","JOAN HARRY","5050 Road N","","Waterloo","ON","N1N 1N1","CA","","555-666-7777","","","","","","","","Ground","","","2026-03-07T00:00:00Z","",""`+"\r\n"+
		`"PD","2016981433","1","13358A","16","0.00"`+"\r\n"+
		`"PD","2016981433","2","00564","6","0.00"`+"\r\n", string(r.Content))
	require.Len(t, strings.Split(strings.SplitN(string(r.Content), "\r\n", 2)[0], ","), 25, "PH has 25 fields")

	// What is required is refused here, not left empty.
	o.ShipTo.State, o.Service = "", ""
	_, err := newFolder(t).open("csv", connectors.Values{"profile": "dropstream"}).(connectors.OrderSink).PrepareOrder(o)
	var refused *relay.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, relay.Invalid, refused.Kind)
	require.Equal(t, relay.HoldBadAddress, refused.Reason)
	require.Equal(t, []string{"ship_to.state", "ship_method"}, []string{refused.Fields[0].Field, refused.Fields[1].Field})

	// Several orders a file, each a PH row and its PD rows.
	second := strings.NewReplacer("2016981433", "777", "JOAN HARRY", "Acme, Inc. 5\"\" wide").Replace(string(r.Content))
	orders, _ := pullOrders(t, "dropstream", "ord_1.csv", string(r.Content)+second)
	require.Equal(t, []relay.ExternalID{"2016981433", "777"}, ids(orders))
	require.Equal(t, "12345678", orders[0].Number)
	require.Equal(t, relay.ShipMethod("Ground"), orders[0].ShipMethod)
	require.Equal(t, time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC), orders[0].PlacedAt)
	require.Equal(t, []relay.Line{{ID: "1/13358A", SKU: "13358A", Quantity: relay.Units(16)}, {ID: "2/00564", SKU: "00564", Quantity: relay.Units(6)}}, orders[0].Lines)
	require.Equal(t, `Acme, Inc. 5" wide`, orders[1].ShipTo.Name)

	updates := pullShipments(t, "dropstream", "shp_467890.csv", `"2016981433","UPS","Ground","1Z1","2026-03-08T00:00:00Z","13358A","16"`+"\r\n")
	require.Equal(t, "1Z1", updates[0].Packages[0].TrackingNumber)
}

// Version 2 of DropStream's PH row adds the e-mail and notes: it is configuration.
func TestDropStreamVersion2ByConfiguration(t *testing.T) {
	r := prepared(t, `
extends: dropstream
orders:
  read: ["ord_*.csv"]
  write: "ord_{order}_{time}_{token}.csv"
  records:
    - type: PH
      columns: [{field: order, required: true}, number, ship_to.email, ship_to.name, ship_to.street1, {value: "handle with care"}]
    - {type: PD, of: line, columns: [order, line, sku, quantity, {value: "0.00"}]}
    - {type: PN, ignore: true, columns: []}
`, anOrder("SO-1"))
	require.Equal(t, "ord_SO-1_20260307000000_abcdefghijklmnop.csv", r.File)
	require.True(t, strings.HasPrefix(string(r.Content), `"PH","SO-1","#SO-1","","JOAN HARRY","5050 Road N","handle with care"`+"\r\n"), string(r.Content))
}

func TestLinesWithoutTheirOrder(t *testing.T) {
	f := newFolder(t)
	f.write("in/ord_1.csv", "\"PD\",\"A-1\",\"1\",\"MUG\",\"1\",\"0\"\r\n\"XX\",\"A-2\"\r\n")
	orders, unread := (&shop{t: t, source: f.open("csv-cart", connectors.Values{"profile": "dropstream"}).(connectors.OrderSource), limit: 10}).pull()
	require.Empty(t, orders)
	require.Equal(t, []connectors.Unread{
		{Subject: "ord_1.csv", Line: 1, Message: "the order's own row is missing before its lines"},
		{Subject: "ord_1.csv", Line: 2, Message: `the row is of another type: want PH or PD`},
	}, unread)
}

func Test35up(t *testing.T) {
	orders, f := pullOrders(t, "35up", "orders_2026-03-07.csv", lines(
		"order_id,item_id,item_sku,item_qty,shipping_first_name,shipping_last_name,shipping_company,shipping_extra,shipping_street_name,shipping_street_number,shipping_street_line,shipping_city,shipping_state,shipping_country_code,shipping_postcode,ordered_at",
		"o1,i1,00564,2,Joan,Harry,,,Road N,5050,,Waterloo,ON,CA,N1N 1N1,1772841600",
		"o1,i2,MUG,1,Joan,Harry,,,Road N,5050,,Waterloo,ON,CA,N1N 1N1,1772841600",
		"o2,i1,MUG,1,Joan,Harry,,2nd floor,,,Road N 5050,Waterloo,,CA,N1N 1N1,1772841600"))
	require.Equal(t, relay.Address{Name: "Joan Harry", Street1: "Road N 5050", City: "Waterloo", State: "ON", Zip: "N1N 1N1", Country: "CA"}, orders[0].ShipTo)
	require.Equal(t, "Road N 5050", orders[1].ShipTo.Street1)
	require.Equal(t, time.Unix(1772841600, 0).UTC(), orders[0].PlacedAt)
	require.Len(t, orders[0].Lines, 2)
	require.Equal(t, relay.LineID("i1/00564"), orders[0].Lines[0].ID)

	c := f.open("csv-cart", connectors.Values{"profile": "35up"}).(connectors.ShipmentSink)
	_, err := c.PushShipments(t.Context(), []connectors.ShipmentPush{{Key: "k1", Order: "o1", Carrier: "UPS", Service: "Ground", TrackingNumber: "1Z1", TrackingURL: "https://t.example/1Z1",
		ShippedAt: time.Unix(1772841700, 0), Lines: []relay.ShippedLine{{Line: "i1/00564", Units: 2}, {Line: "i2/MUG", Units: 1}}}})
	require.NoError(t, err)
	require.Equal(t, lines("shipment_id,order_id,item_id,item_sku,shipped_qty,shipped_at,shipping_provider,shipping_method,tracking_code,tracking_url",
		"k1,o1,i1,00564,2,1772841700,UPS,Ground,1Z1,https://t.example/1Z1",
		"k1,o1,i2,MUG,1,1772841700,UPS,Ground,1Z1,https://t.example/1Z1"), f.read("out/shipments_k1.csv"))

	// And as a warehouse that keeps to it: what was written is what is read.
	r := prepared(t, "35up", anOrder("SO-1"))
	orders, _ = pullOrders(t, "35up", r.File, string(r.Content))
	require.Equal(t, "5050 Road N", orders[0].ShipTo.Street1)
	require.Equal(t, "JOAN HARRY", orders[0].ShipTo.Name)
}

func TestCorporateGift(t *testing.T) {
	r := prepared(t, "corporategift", anOrder("SO-1"))
	require.Equal(t, "ORDER_SO-1_abcdefghijklmnop.csv", r.File)
	require.Equal(t, "SO-1|#SO-1|2026-03-07T00:00:00Z|13358A|16|Ground|JOAN HARRY||5050 Road N||Waterloo|ON|N1N 1N1|CA|555-666-7777|", strings.Split(string(r.Content), "\n")[1])
	updates := pullShipments(t, "corporategift",
		"ACK_2026-03-07.csv", lines("Order Number|PO Number|Note", "4711|SO-1|", "REJECTED|SO-2|out of stock"),
		"SHIP_CONFIRM_2026-03-08.csv", lines("Order Number|Po Number|Item SKU|Quantity|Shipping method|Carrier code|Tracking code", "4711|SO-1|13358A|16|ground|UPS|1Z1"))
	require.Equal(t, []string{"SO-1", "SO-2", "SO-1"}, numbers(updates))
	require.Equal(t, connectors.InProgress, updates[0].Progress)
	require.Equal(t, "4711", updates[0].Status)
	require.Equal(t, connectors.Refused, updates[1].Progress)
	require.Equal(t, &relay.Hold{Reason: relay.HoldRejected, Code: "REJECTED", Words: "out of stock"}, updates[1].Hold)
	require.Equal(t, []relay.Item{{Code: "13358A", Units: 16}}, updates[2].Packages[0].Items)

	f := newFolder(t)
	f.write("out/INVENTORY_2026-03-07.csv", lines("Item SKU|Quantity", "00564|12"))
	cursor := ""
	levels, _ := reading(t, f.warehouse(connectors.Values{"profile": "corporategift"}), &cursor, 10)
	require.Equal(t, []relay.InventoryLevel{level("00564", "", 12)}, levels)
}

func TestConvictional(t *testing.T) {
	orders, _ := pullOrders(t, "convictional", "orders.csv", lines("A-1,Acme,2026-03-07T00:00:00Z,00564,2,Joan Harry,,Waterloo,N1N 1N1,ON,CA,5050 Road N,", "A-1,Acme,2026-03-07T00:00:00Z,MUG,1,Joan Harry,,Waterloo,N1N 1N1,ON,CA,5050 Road N,"))
	require.Len(t, orders, 1)
	require.Equal(t, relay.Address{Name: "Joan Harry", Street1: "5050 Road N", City: "Waterloo", State: "ON", Zip: "N1N 1N1", Country: "CA"}, orders[0].ShipTo)
	require.Equal(t, "Acme", orders[0].Traits.Location)
	require.Len(t, orders[0].Lines, 2)
	r := prepared(t, "convictional", anOrder("SO-1"))
	require.Equal(t, "SO-1,,2026-03-07T00:00:00Z,13358A,16,JOAN HARRY,,Waterloo,N1N 1N1,ON,CA,5050 Road N,", strings.Split(string(r.Content), "\n")[0])
	require.Len(t, strings.Split(strings.Split(string(r.Content), "\n")[0], ","), 13)
}

func TestShipwire(t *testing.T) {
	r := prepared(t, "shipwire", anOrder("SO-1"))
	require.Equal(t, "[order_no]\t[external_id]\t[order_date]\t[ship_to_name]\t[ship_to_address_1]\t[ship_to_address_2]\t[ship_to_city]\t[ship_to_state]\t[ship_to_ZIP]\t[ship_to_country]\t[ship_to_email]\t[ship_to_phone]\t[ship_to_company_name]\t[force_duplicate]\t[sku]\t[retailer_line_no]\t[quantity]\t[shipping_method]\n"+
		"SO-1\tabcdefghijklmnop\t3/7/26\tJOAN HARRY\t5050 Road N\t\tWaterloo\tON\tN1N 1N1\tCA\t\t555-666-7777\t\t0\t13358A\t1\t16\tGround\n"+
		"SO-1\tabcdefghijklmnop\t3/7/26\tJOAN HARRY\t5050 Road N\t\tWaterloo\tON\tN1N 1N1\tCA\t\t555-666-7777\t\t0\t00564\t2\t6\tGround\n", string(r.Content))
	orders, _ := pullOrders(t, "shipwire", "wholesale_orders.tsv", "; EXAMPLE\t\t\n;\n"+string(r.Content)+";SO-9\tcommented out\n")
	require.Equal(t, []relay.ExternalID{"SO-1"}, ids(orders))
	require.Len(t, orders[0].Lines, 2)

	// What it can't write, since it has no quotes, is refused with the field named.
	o := anOrder("SO-1")
	o.ShipTo.Street2 = "a\tb"
	_, err := newFolder(t).open("csv", connectors.Values{"profile": "shipwire"}).(connectors.OrderSink).PrepareOrder(o)
	var refused *relay.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "ship_to.street2", refused.Fields[0].Field)
}

// Every profile that is built in can be written and then read by itself.
func TestBuiltInProfilesReadWhatTheyWrite(t *testing.T) {
	require.Len(t, profileNames(), 6)
	for _, name := range profileNames() {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, checkWarehouseProfile(name))
			require.NoError(t, checkCartProfile(name))
			o := anOrder("SO-1")
			o.ShipTo.Name = "Zoë \"Z\" Ångström, 2nd"
			r := prepared(t, name, o)
			orders, _ := pullOrders(t, name, r.File, string(r.Content))
			require.Len(t, orders, 1)
			got := orders[0]
			require.Equal(t, relay.ExternalID("SO-1"), got.ExternalID)
			require.Equal(t, o.ShipTo.Name, got.ShipTo.Name)
			require.Equal(t, o.ShipTo.Zip, got.ShipTo.Zip)
			require.Equal(t, []relay.SKU{"13358A", "00564"}, []relay.SKU{got.Lines[0].SKU, got.Lines[1].SKU})
			require.Equal(t, []relay.Quantity{relay.Units(16), relay.Units(6)}, []relay.Quantity{got.Lines[0].Quantity, got.Lines[1].Quantity})
		})
	}
}

// A line belongs to the parcel whose row it follows.
func TestParcelsWithLinesOfTheirOwn(t *testing.T) {
	const profile = `
extends: standard
shipments:
  read: ["shp_*.csv"]
  heading: false
  records:
    - {type: S, of: record, columns: [order, tracking, carrier]}
    - {type: L, of: line, columns: [sku, quantity]}
`
	updates := pullShipments(t, profile, "shp_1.csv", lines("S,SO-1,1Z1,UPS", "L,MUG,1", "L,CAP,2", "S,SO-1,1Z2,UPS", "L,MUG,1", "S,SO-2,1Z3,UPS", "L,MUG,3"))
	var told []string
	for _, u := range updates {
		for _, p := range u.Packages {
			told = append(told, fmt.Sprint(u.ID, " ", p.TrackingNumber, " ", p.Items))
		}
	}
	require.Equal(t, []string{"SO-1 1Z1 [{MUG 1} {CAP 2}]", "SO-1 1Z2 [{MUG 1}]", "SO-2 1Z3 [{MUG 3}]"}, told)

	// A line that can't be read spoils that parcel alone, whatever is wrong with it.
	f := newFolder(t)
	d := &depot{t: t, source: f.warehouse(connectors.Values{"profile": profile})}
	f.write("out/shp_1.csv", lines("S,SO-1,1Z1,UPS", "L,MUG,1", "L2,CAP,2", "S,SO-1,1Z2,UPS", "L,MUG,many", "S,SO-1,1Z3,UPS", "L,MUG", "S,SO-1,1Z4,UPS", "L,MUG,4"))
	updates, unread := d.pull()
	require.Len(t, updates, 1)
	require.Len(t, updates[0].Packages, 1)
	require.Equal(t, "1Z4", updates[0].Packages[0].TrackingNumber)
	require.Equal(t, []string{"shp_1.csv:3", "shp_1.csv:5", "shp_1.csv:7"}, subjects(unread))
}

// What a merchant needs to say of all files is said without copying a layout, and a
// kind may say otherwise.
func TestWordsForTheWholeProfile(t *testing.T) {
	p, err := parseProfile(`
extends: standard
other_orders: true
acknowledgements: {read: ["ack_*.csv"], other_orders: false, columns: [order]}
`)
	require.NoError(t, err)
	require.True(t, p.shipments.others)
	require.False(t, p.acknowledgements.others)

	d := newDoubts(t)
	d.profile = "extends: standard\nother_orders: true"
	d.f.write("out/shp_1.csv", lines(shipHeading, shipment("1042", "1Z1"), shipment("OTHER-1", "1Z2")))
	_, unread := d.pull()
	require.Empty(t, unread)

	o := anOrder("SO-1")
	o.Items[1].Code, o.ShipTo.Name = "-RED-M", "=A1"
	r := prepared(t, "extends: standard\nguard: none", o)
	require.Contains(t, string(r.Content), ",-RED-M,,6,")
	require.Contains(t, string(r.Content), ",=A1,")
}

func TestBadProfiles(t *testing.T) {
	const orders, shipments = "orders: {read: ['a*'], write: 'a_{order}_{token}', columns: [order, sku, quantity]}\n", "shipments: {read: ['s*'], write: 's_{key}', columns: [order, tracking]}\n"
	require.NoError(t, checkWarehouseProfile(orders+shipments))
	for text, want := range map[string]string{
		"dropstram":                     "want 35up, convictional, corporategift, dropstream, shipwire, standard, or a profile's own text",
		"orders: [":                     "this is no profile",
		orders + "shipmnts: {}":         "unknown field",
		"extends: dropstram\n" + orders: "extends: \"dropstram\": want 35up",
		orders:                          "want shipments with read",
		shipments:                       "want orders with write",
		shipments + "orders: {write: 'a_{order}', columns: [order, sku, quantity]}":                                        "want {token} in it",
		shipments + "orders: {write: 'a/{order}_{token}', columns: [order, sku, quantity]}":                                "want a file name",
		shipments + "orders: {write: 'a_{order}_{token}_{x}', columns: [order, sku, quantity]}":                            "write: {x}: want order or token or number or time in braces",
		shipments + "orders: {write: 'a_{order}_{token}', columns: [order, sku]}":                                          "no column holds quantity",
		shipments + "orders: {write: 'a_{order}_{token}', columns: [order, sku, quantity, colour]}":                        `field: "colour": want order, number`,
		shipments + "orders: {write: 'a_{order}_{token}', columns: [order, sku, quantity, {}]}":                            "column 4: heading: missing",
		shipments + "orders: {write: 'a_{order}_{token}', columns: [order, sku, quantity, {field: placed_at, format: x}]}": "format: \"x\": want iso8601",
		shipments + "orders: {write: 'a_{order}_{token}', separator: dot, columns: [order, sku, quantity]}":                `separator: "dot": want comma or semicolon or tab or pipe`,
		shipments + "orders: {write: 'a_{order}_{token}', zone: Moon, columns: [order, sku, quantity]}":                    "want a name such as America/New_York",
		orders + "shipments: {read: ['[a'], columns: [order, tracking]}":                                                   "want a file name in which * stands",
		orders + shipments + "acknowledgements: {read: ['k'], columns: [order, {field: status, words: {maybe: [x]}}]}":     `words: "maybe": want accepted, refused`,
		orders + shipments + "acknowledgements: {read: ['k'], write: 'k', columns: [order]}":                               "files of this kind are only read",
		orders + shipments + "inventory: {read: ['i'], tells: all, columns: [sku, quantity]}":                              `tells: "all": want snapshot or changes`,
	} {
		require.ErrorContains(t, checkWarehouseProfile(text), want, text)
	}
	for write, want := range map[string]string{
		"a_{order}_{token}.": "without a point at either end",
		"{order}_{token}_{number}_{number}_{number}_{number}": "names of up to 245 characters would come of it: want at most 240",
	} {
		require.ErrorContains(t, checkWarehouseProfile(shipments+"orders: {write: '"+write+"', columns: [order, sku, quantity]}"), want)
	}
	require.ErrorContains(t, checkCartProfile("shipments: {read: ['s*'], columns: [order, tracking]}\n"+orders), "want shipments with write")
}

// A number of any length and of any characters makes a name that every system
// takes, and another than that of any other number.
func TestNamesOfFilesAreBounded(t *testing.T) {
	f := newFolder(t)
	w := f.warehouse(connectors.Values{"profile": "extends: standard\norders: {write: 'ord_{number}_{time}_{order}_{token}.csv', columns: [order, sku, quantity]}"})
	for number, name := range map[string]string{
		"#1001":                                  "ord__1001_",
		`A<B>C:D"E/F\G|H?I*J.K` + " ü":           "ord_A_B_C_D_E_F_G_H_I_J_K___",
		strings.Repeat("9", 40):                  "ord_" + strings.Repeat("9", 40) + "_",
		"web/" + strings.Repeat("9", 400):        "ord_web_9999999999999999999-",
		"web/" + strings.Repeat("9", 400) + "-2": "ord_web_9999999999999999999-",
	} {
		o := anOrder("SO-1")
		o.Number, o.Reference = number, relay.Reference(fmt.Sprintf("SO-%d", len(number)))
		_, err := submit(t, w, o)
		require.NoError(t, err, number)
		require.Equal(t, "token", find(t, w, o).Matches[0].By)
		var names []string
		for _, n := range f.names("in") {
			if strings.Contains(n, "_"+string(o.Reference)+"_") {
				names = append(names, n)
			}
		}
		require.Len(t, names, 1, number)
		require.True(t, strings.HasPrefix(names[0], name), names[0])
		require.LessOrEqual(t, len(names[0]), maxName)
	}
	a, b := namePart(strings.Repeat("9", 41), 40), namePart(strings.Repeat("9", 42), 40)
	require.Len(t, a, 40)
	require.NotEqual(t, a, b)

	// The cart's id of an order as well.
	out, err := f.open("csv-cart", connectors.Values{"profile": "extends: standard\nshipments: {write: 'shp_{order}_{key}.csv', columns: [order, tracking]}"}).(connectors.ShipmentSink).PushShipments(t.Context(),
		[]connectors.ShipmentPush{{Key: strings.Repeat("k", 64), Order: relay.ExternalID(strings.Repeat("8", 300)), TrackingNumber: "1Z1", Lines: []relay.ShippedLine{{Line: "/MUG", Units: 1}}}})
	require.NoError(t, err)
	require.NoError(t, out[0].Err)
	require.Contains(t, out[0].CartID, strings.Repeat("k", 64), "a key is never cut")

	// What names a folder is no number of ours when it is longer than ours are.
	_, err = w.CancelOrder(t.Context(), relay.WarehouseOrderID(strings.Repeat("9", 300)))
	require.ErrorIs(t, err, relay.NotFound)
}

func TestAddresses(t *testing.T) {
	k := kindNamed(t, "csv")
	for _, good := range []string{"file:///srv/warehouse", "file:///srv/warehouse/", "sftp://files.example.com", "sftp://files.example.com:2222/~/acme"} {
		_, base, faults := k.Configure(good, nil, nil)
		require.Empty(t, faults, good)
		require.Equal(t, strings.TrimRight(good, "/"), base)
	}
	for _, bad := range []string{"", "file:///", "file://host/dir", "/srv", "https://files.example.com", "sftp://u:p@files.example.com", "sftp://", "file:///srv?x=1"} {
		_, _, faults := k.Configure(bad, nil, nil)
		require.Len(t, faults, 1, bad)
		require.Equal(t, "base_url: want the address of a folder without user, query or fragment, such as file:///srv/warehouse or sftp://files.example.com:22/warehouse", faults[0].Error())
	}
}
