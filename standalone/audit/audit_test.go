package audit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/store"
)

const (
	tote, mug = "0700000000017", "0700000000024"
	number    = "SO-1042"
)

// sound is a merchant with one order that went all the way in two parcels.
func sound() Books {
	return Books{
		Merchant: "acme",
		Codes:    map[string]string{"TOTE": tote, "MUG": mug},
		Versions: map[string][]Content{number: {{Street: "1 High St", Units: map[string]int64{tote: 2, mug: 1}}}},
		Ledger: []Order{{ID: 1, Number: number, Reference: "SO-1042", State: relay.OrderConfirmed, WarehouseOrderID: "order_1",
			Trail: []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventAccepted}}},
		Warehouse: []easypost.OrderView{{ID: "order_1", State: easypost.Shipped, Description: "relay:abcdefgh " + number, Street: "1 High St",
			Lines: []easypost.ItemView{{Barcode: tote, Units: 2}, {Barcode: mug, Units: 1}},
			Packages: []easypost.PackageView{
				{TrackerID: "trk_1", TrackingCode: "T1", ShippedAt: time.Unix(1, 0), Items: []easypost.ItemView{{Barcode: tote, Units: 2}}},
				{TrackerID: "trk_2", TrackingCode: "T2", ShippedAt: time.Unix(1, 0), Items: []easypost.ItemView{{Barcode: mug, Units: 1}}},
			}}},
		Cart: []tradegecko.OrderView{{Number: number, Status: "fulfilled", FulfillmentStatus: "shipped",
			Lines: []tradegecko.LineView{{SKU: "TOTE", Ordered: "2", Fulfilled: "2", Ships: true}, {SKU: "MUG", Ordered: "1", Fulfilled: "1", Ships: true}},
			Fulfillments: []tradegecko.FulfillmentView{
				{Status: "fulfilled", TrackingNumber: "T1", Units: []tradegecko.Units{{SKU: "TOTE", Quantity: "2"}}},
				{Status: "fulfilled", TrackingNumber: "T2", Units: []tradegecko.Units{{SKU: "MUG", Quantity: "1"}}},
			}}},
		Awake:          map[relay.Reference]bool{},
		CartStock:      []tradegecko.StockView{{SKU: "TOTE", OnHand: "8"}, {SKU: "MUG", OnHand: "4"}},
		WarehouseStock: []easypost.StockView{{Barcode: tote, OnHand: 10, Reserved: 2}, {Barcode: mug, OnHand: 4}},
	}
}

func TestSoundBooks(t *testing.T) {
	require.Empty(t, sound().Check())
	b := sound()
	b.Versions = nil
	require.Empty(t, b.Check(), "without versions the cart's own lines count")
}

// What is wrong is found, and called by its name.
func TestEveryWrongIsFound(t *testing.T) {
	hold := func(b *Books, reason relay.HoldReason) {
		o := &b.Ledger[0]
		o.State, o.Hold, o.WarehouseOrderID = relay.OrderHeld, reason, ""
		b.Awake[o.Reference] = true
	}
	untold := func(b *Books) { b.Cart[0].Fulfillments = b.Cart[0].Fulfillments[:1] }
	gone := func(b *Books) { // nothing was ever sent
		b.Warehouse, b.Cart[0].Fulfillments, b.CartStock = nil, nil, nil
	}
	for name, c := range map[string]struct {
		spoil func(*Books)
		want  []Wrong
	}{
		"sold, and not in the ledger":    {func(b *Books) { b.Ledger, b.Warehouse = nil, nil }, []Wrong{Lost}},
		"confirmed, and nowhere":         {func(b *Books) { gone(b) }, []Wrong{Lost}},
		"confirmed as another":           {func(b *Books) { b.Ledger[0].WarehouseOrderID = "order_2" }, []Wrong{Lost}},
		"there and not in the ledger":    {func(b *Books) { b.Ledger, b.Cart = nil, nil }, []Wrong{WronglyShipped}},
		"void before anybody saw it":     {func(b *Books) { b.Ledger, b.Warehouse, b.Cart[0].Status = nil, nil, "void" }, nil},
		"twice at the warehouse":         {twice, []Wrong{Duplicated}},
		"twice, and one was cancelled":   {func(b *Books) { twice(b); b.Warehouse[1].State = easypost.Refunded }, nil},
		"more shipped than ordered":      {func(b *Books) { b.Warehouse[0].Packages[1].Items[0].Units = 2 }, []Wrong{Duplicated, NotTold}},
		"another quantity":               {func(b *Books) { b.Warehouse[0].Lines[1].Units = 3 }, []Wrong{WronglyShipped}},
		"another item":                   {func(b *Books) { b.Warehouse[0].Lines[1].Barcode = "07" }, []Wrong{WronglyShipped, Duplicated}},
		"another address":                {func(b *Books) { b.Warehouse[0].Street = "2 High St" }, []Wrong{WronglyShipped}},
		"an earlier version, too late":   {func(b *Books) { changed(b, store.EventChangedTooLate) }, nil},
		"an earlier version, taken over": {func(b *Books) { changed(b, store.EventChangedAtCart) }, []Wrong{WronglyShipped}},
		"cancelled and shipped": {func(b *Books) {
			b.Ledger[0].State, b.Cart[0].Status = relay.OrderCancelled, "void"
			b.CartStock = nil
		}, []Wrong{WronglyShipped}},
		"stopped before sending, and shipped": {func(b *Books) {
			b.Ledger[0].State, b.Ledger[0].WarehouseOrderID, b.CartStock = relay.OrderSendingCancelled, "", nil
			b.Cart[0].Status = "void"
		}, []Wrong{WronglyShipped}},
		"on hold and shipped": {func(b *Books) { hold(b, relay.HoldRejected); b.CartStock = nil }, []Wrong{WronglyShipped}},
		"told that it was stopped": {func(b *Books) {
			b.Answers = map[string][]string{number: {"stopped_before_sending"}}
		}, []Wrong{WronglyShipped}},
		"told that it was too late": {func(b *Books) { b.Answers = map[string][]string{number: {"too_late"}} }, nil},
		"a parcel not told":         {untold, []Wrong{NotTold, NotTold}},
		"a parcel told twice": {func(b *Books) {
			f := &b.Cart[0].Fulfillments
			*f = append(*f, (*f)[1])
		}, []Wrong{ToldTwice, ToldTwice}},
		"two parcels told as one": {func(b *Books) {
			b.Cart[0].Fulfillments = []tradegecko.FulfillmentView{{Status: "fulfilled", TrackingNumber: "T1, T2",
				Units: []tradegecko.Units{{SKU: "TOTE", Quantity: "2"}, {SKU: "MUG", Quantity: "1"}}}}
		}, nil},
		"a stock figure applied twice":  {func(b *Books) { b.CartStock[0].OnHand = "16" }, []Wrong{StockWrong}},
		"stock never told":              {func(b *Books) { b.CartStock = b.CartStock[:1] }, []Wrong{StockWrong}},
		"shipped, and void at the cart": {shippedThoughVoid, nil},
		"stock owed to an order that is void": {func(b *Books) {
			shippedThoughVoid(b)
			b.CartStock[1].OnHand = "5"
		}, []Wrong{StockWrong}},
		"stock owed to an order that changed too late": {func(b *Books) {
			changed(b, store.EventChangedTooLate)
			untold(b)
			b.Ledger[0].State, b.Ledger[0].PushError, b.CartStock[1].OnHand = relay.OrderShipped, "nothing_left_to_ship", "5"
		}, nil},
		"void at the cart, unnoticed": {func(b *Books) { b.Cart[0].Status = "void" }, []Wrong{Unanswered}},
		"a cancel that nobody answered": {func(b *Books) {
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked)
		}, []Wrong{Unanswered}},
		"cancelled, and the cart does not know": {func(b *Books) {
			gone(b)
			b.Ledger[0].State = relay.OrderSendingCancelled
		}, []Wrong{CancelUntold}},
		"cancelled, and the cart is about to be told": {func(b *Books) {
			gone(b)
			b.Ledger[0].State, b.Ledger[0].CancelPlanned = relay.OrderSendingCancelled, true
		}, nil},
		"a cancel that was too late": {func(b *Books) {
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked, store.EventCancelTooLate)
		}, nil},
		"still new":       {func(b *Books) { gone(b); b.Ledger[0].State = relay.OrderNew }, []Wrong{Stuck}},
		"still in doubt":  {func(b *Books) { gone(b); b.Ledger[0].State = relay.OrderInDoubt }, []Wrong{Stuck}},
		"still there":     {func(b *Books) { b.Ledger[0].State, b.CartStock = relay.OrderAtWarehouse, nil }, []Wrong{Stuck}},
		"still not told":  {func(b *Books) { untold(b); b.Ledger[0].State, b.CartStock = relay.OrderShipped, nil }, []Wrong{Stuck, NotTold, NotTold}},
		"on hold":         {func(b *Books) { gone(b); hold(b, relay.HoldUnknownItem) }, nil},
		"on hold, asleep": {func(b *Books) { gone(b); hold(b, relay.HoldUnknownItem); b.Awake["SO-1042"] = false }, []Wrong{Stuck}},
		"on hold, and nobody knows whether it is there": {func(b *Books) { hold(b, relay.HoldUnknownOutcome); b.CartStock = nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := sound()
			c.spoil(&b)
			var got []Wrong
			for _, f := range b.Check() {
				require.Equal(t, relay.MerchantID("acme"), f.Merchant)
				require.NotEmpty(t, f.Words)
				got = append(got, f.Wrong)
			}
			require.Equal(t, c.want, got, "%v", b.Check())
		})
	}
}

func twice(b *Books) {
	again := b.Warehouse[0]
	again.ID, again.Packages = "order_2", nil
	b.Warehouse = append(b.Warehouse, again)
}

// shippedThoughVoid is an order of which the cart takes no tracking any more.
func shippedThoughVoid(b *Books) {
	b.Cart[0].Fulfillments = b.Cart[0].Fulfillments[:1]
	b.Ledger[0].State, b.Ledger[0].PushError, b.Cart[0].Status = relay.OrderShipped, "order_void", "void"
	b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked, store.EventCancelTooLate)
}

// changed has the cart ask for more since the order was sent.
func changed(b *Books, how store.EventKind) {
	b.Versions[number] = append(b.Versions[number], Content{Street: "1 High St", Units: map[string]int64{tote: 4, mug: 1}})
	b.Ledger[0].Trail = append(b.Ledger[0].Trail, how)
}
