package audit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
	"orderferry/store"
)

const (
	tote, mug = "0700000000017", "0700000000024"
	number    = "SO-1042"
	shopName  = "shop"
)

// sound is a merchant with two carts and one order that went all the way in two
// parcels: a mug, and a kit of two totes.
func sound() Books {
	parts := map[string]Units{"PAIR": {tote: 2}, "MUG": {mug: 1}}
	return Books{
		Merchant: "acme",
		Versions: map[Key][]Content{{shopName, number}: {{Street: "1 High St", Lines: Units{"PAIR": 1, "MUG": 1}}}},
		Ledger: []Order{{ID: 1, Cart: shopName, Number: number, Reference: number, Tokens: []string{"abcdefgh"}, State: relay.OrderConfirmed, WarehouseOrderID: "order_1",
			Trail: []store.EventKind{store.EventSeen, store.EventSubmitting, store.EventAccepted}}},
		Warehouse: []WarehouseOrder{{ID: "order_1", Mark: "abcdefgh", Number: number, Street: "1 High St", Units: Units{tote: 2, mug: 1},
			Parcels: []Parcel{{Tracking: "T1", Items: Units{tote: 2}}, {Tracking: "T2", Items: Units{mug: 1}}}}},
		Carts: []Cart{{
			Name: shopName, Physical: true, Parts: parts, Stock: Units{"PAIR": 4, "MUG": 4},
			Orders: []CartOrder{{Number: number, Status: "fulfilled", Lines: Units{"PAIR": 1, "MUG": 1},
				Parcels: []Parcel{{Tracking: "T1", Items: Units{"PAIR": 1}}, {Tracking: "T2", Items: Units{"MUG": 1}}}}},
		}, {Name: "outlet", Parts: map[string]Units{"MUG": {tote: 1}}, Stock: Units{"MUG": 9}}},
		Awake: map[relay.Reference]bool{},
		Free:  Units{tote: 9, mug: 4},
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
	untold := func(b *Books) {
		b.order().Parcels, b.Ledger[0].Untold = b.order().Parcels[:1], []string{b.Warehouse[0].Parcels[1].Tracking}
	}
	gone := func(b *Books) { // nothing was ever sent
		b.Warehouse, b.order().Parcels, b.Free = nil, nil, nil
	}
	for name, c := range map[string]struct {
		spoil func(*Books)
		want  []Wrong
	}{
		"sold, and not in the ledger":  {func(b *Books) { b.Ledger, b.Warehouse = nil, nil }, []Wrong{Lost}},
		"confirmed, and nowhere":       {func(b *Books) { gone(b) }, []Wrong{Lost}},
		"confirmed as another":         {func(b *Books) { b.Ledger[0].WarehouseOrderID = "order_2" }, []Wrong{Lost}},
		"there and not in the ledger":  {func(b *Books) { b.Ledger, b.Carts = nil, nil }, []Wrong{WronglyShipped}},
		"void before anybody saw it":   {func(b *Books) { b.Ledger, b.Warehouse, b.order().Cancelled = nil, nil, true }, nil},
		"twice at the warehouse":       {twice, []Wrong{Duplicated}},
		"twice, and one was cancelled": {func(b *Books) { twice(b); b.Warehouse[1].Cancelled = true }, []Wrong{Duplicated}},
		"twice by the warehouse itself, and one was cancelled": {func(b *Books) {
			twice(b)
			b.Warehouse[1].Cancelled, b.Planted = true, map[string]bool{"order_2": true}
		}, nil},
		"twice by the warehouse itself": {func(b *Books) { twice(b); b.Planted = map[string]bool{"order_2": true} }, []Wrong{Duplicated}},
		"under its reference once more, after a refusal": {func(b *Books) {
			twice(b)
			b.Warehouse[0].Mark, b.Warehouse[1].Mark, b.Warehouse[1].Cancelled = number, number, true
		}, nil},
		"more shipped than ordered":                        {func(b *Books) { b.Warehouse[0].Parcels[1].Items[mug] = 2 }, []Wrong{Duplicated, NotTold}},
		"another quantity":                                 {func(b *Books) { b.Warehouse[0].Units[mug] = 3 }, []Wrong{WronglyShipped, Lost}},
		"another item":                                     {func(b *Books) { b.Warehouse[0].Units = Units{tote: 2, "07": 1} }, []Wrong{WronglyShipped, Duplicated, Lost}},
		"another address":                                  {func(b *Books) { b.Warehouse[0].Street = "2 High St" }, []Wrong{WronglyShipped}},
		"an earlier version, too late":                     {func(b *Books) { changed(b, store.EventChangedTooLate) }, nil},
		"an earlier version, taken over":                   {func(b *Books) { changed(b, store.EventChangedAtCart) }, []Wrong{WronglyShipped}},
		"an earlier version, and nobody noticed the later": {func(b *Books) { changed(b, store.EventSeen) }, []Wrong{WronglyShipped}},
		"an earlier version of what is void now": {func(b *Books) {
			changed(b, store.EventSeen)
			b.order().Cancelled, b.order().Status = true, "void"
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked, store.EventCancelTooLate)
		}, nil},
		"a version that changes nothing": {func(b *Books) {
			key := Key{shopName, number}
			b.Versions[key] = append(b.Versions[key], b.Versions[key][0])
		}, nil},
		"cancelled and shipped": {func(b *Books) {
			b.Ledger[0].State, b.order().Cancelled = relay.OrderCancelled, true
			b.Free = nil
		}, []Wrong{WronglyShipped}},
		"stopped before sending, and shipped": {func(b *Books) {
			b.Ledger[0].State, b.Ledger[0].WarehouseOrderID, b.Free = relay.OrderSendingCancelled, "", nil
			b.order().Cancelled = true
		}, []Wrong{WronglyShipped}},
		"on hold and shipped": {func(b *Books) { hold(b, relay.HoldRejected); b.Free = nil }, []Wrong{WronglyShipped}},
		"told that it was stopped": {func(b *Books) {
			b.Answers = map[Key][]string{{shopName, number}: {"stopped_before_sending"}}
		}, []Wrong{WronglyShipped}},
		"told that it was stopped, and reopened since": {func(b *Books) {
			reopened(b)
			b.Answers = map[Key][]string{{shopName, number}: {"stopped_before_sending"}}
		}, nil},
		"told that it is cancelled":         {func(b *Books) { answered(b, "cancelled") }, []Wrong{WronglyShipped}},
		"told that it was cancelled before": {func(b *Books) { answered(b, "already_cancelled") }, []Wrong{WronglyShipped}},
		"told that it was too late":         {func(b *Books) { answered(b, "too_late") }, nil},
		"told that it was too late, and it is there still": {func(b *Books) {
			waitsThere(b)
			answered(b, "too_late")
		}, []Wrong{Unanswered}},
		"told that it was too late, and it is nowhere": {func(b *Books) {
			cancelled(b)
			answered(b, "too_late")
		}, []Wrong{Unanswered}},
		"told that it is to be cancelled, and it left":     {func(b *Books) { answered(b, "pending") }, nil},
		"told that it is to be cancelled, and it was":      {func(b *Books) { cancelled(b); answered(b, "pending") }, nil},
		"told that it is to be cancelled, and it is there": {func(b *Books) { waitsThere(b); answered(b, "pending") }, []Wrong{Unanswered}},
		"told that it was reopened since":                  {func(b *Books) { reopened(b); answered(b, "reopened_since") }, nil},
		"told that it was reopened since, and it was not":  {func(b *Books) { answered(b, "reopened_since") }, []Wrong{Unanswered}},
		"told nothing": {func(b *Books) { answered(b, "") }, []Wrong{Unanswered}},
		"too late, and sent only then": {func(b *Books) {
			b.Ledger[0].Trail = []store.EventKind{store.EventSeen, store.EventCancelAsked, store.EventCancelTooLate, store.EventSubmitting, store.EventAccepted}
		}, []Wrong{Unanswered}},
		"nobody answers":    {func(b *Books) { b.Open = []Deed{{number, "cancel"}} }, []Wrong{Unanswered}},
		"a parcel not told": {untold, []Wrong{NotTold, NotTold}},
		"a parcel told twice": {func(b *Books) {
			f := &b.order().Parcels
			*f = append(*f, (*f)[1])
		}, []Wrong{ToldTwice, ToldTwice}},
		"two parcels told as one": {func(b *Books) {
			b.order().Parcels = []Parcel{{Tracking: "T1, T2", Items: Units{"PAIR": 1, "MUG": 1}}}
		}, nil},
		"a number that both carts use": {second, nil},
		"one cart's mug for the other's": {func(b *Books) {
			second(b)
			b.Warehouse[1].Units = Units{mug: 3}
		}, []Wrong{WronglyShipped, Duplicated, Lost}},
		"one cart told of the other's parcel": {func(b *Books) {
			second(b)
			b.Carts[1].Orders[0].Parcels[0].Tracking = "T1"
		}, []Wrong{NotTold, ToldTwice, NotTold}},
		"a kit told without all of its parts": {func(b *Books) {
			b.Warehouse[0].Parcels[0].Items[tote] = 1
		}, []Wrong{Lost, ToldTwice}},
		"a kit whose parts are not all sent": {func(b *Books) {
			b.Warehouse[0].Units[tote] = 1
			b.Warehouse[0].Parcels[0].Items[tote] = 1
		}, []Wrong{WronglyShipped, ToldTwice}},
		"of a part too few for a kit":         {func(b *Books) { b.Free[tote] = 7 }, []Wrong{StockWrong, StockWrong}},
		"an item the warehouse never told of": {func(b *Books) { delete(b.Free, mug); b.Carts[0].Stock["MUG"] = 77 }, nil},
		"on hold at the warehouse":            {waitsThere, nil},
		"on hold there, and it does not have it": {func(b *Books) {
			waitsThere(b)
			b.Warehouse, b.Free = nil, nil
		}, []Wrong{Lost}},
		"a stock figure applied twice":  {func(b *Books) { b.Carts[0].Stock["PAIR"] = 8 }, []Wrong{StockWrong}},
		"stock never told":              {func(b *Books) { delete(b.Carts[0].Stock, "MUG") }, []Wrong{StockWrong}},
		"shipped, and void at the cart": {shippedThoughVoid, nil},
		"stock owed to an order that is void": {func(b *Books) {
			shippedThoughVoid(b)
			b.Carts[0].Stock["MUG"] = 5
		}, []Wrong{StockWrong}},
		"stock owed to an order that changed too late": {func(b *Books) {
			changed(b, store.EventChangedTooLate)
			untold(b)
			b.Ledger[0].State, b.Ledger[0].Refusals, b.Carts[0].Stock["MUG"] = relay.OrderShipped, []string{"conflict, code nothing_left_to_ship"}, 5
		}, nil},
		"not told, since only the address changed": {func(b *Books) {
			key := Key{shopName, number}
			b.Versions[key] = append(b.Versions[key], Content{Street: "2 High St", Lines: b.Versions[key][0].Lines})
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventChangedTooLate)
			untold(b)
			b.Ledger[0].State, b.Ledger[0].Refusals, b.Free = relay.OrderShipped, []string{"unavailable, HTTP 500"}, nil
		}, []Wrong{Stuck, NotTold, NotTold}},
		"void at the cart, which gives another reason": {func(b *Books) {
			shippedThoughVoid(b)
			b.Ledger[0].Refusals[0] = "unavailable, HTTP 500"
		}, []Wrong{Stuck, NotTold, NotTold}},
		"void at the cart, which refuses one of two parcels": {func(b *Books) {
			shippedThoughVoid(b)
			b.Ledger[0].Refusals = append(b.Ledger[0].Refusals, "")
		}, []Wrong{Stuck, NotTold, NotTold}},
		"void at the cart, which refused two parcels that are told as one": {func(b *Books) {
			shippedThoughVoid(b)
			b.order().Parcels = nil
			b.Ledger[0].Untold = append(b.Ledger[0].Untold, b.Warehouse[0].Parcels[0].Tracking)
		}, nil},
		"void at the cart, which refused one parcel, and another was never heard of": {func(b *Books) {
			shippedThoughVoid(b)
			b.order().Parcels = nil
		}, []Wrong{NotTold, NotTold, NotTold, NotTold}},
		"refused as void by a cart that shows it as open": {func(b *Books) {
			shippedThoughVoid(b)
			b.order().Cancelled, b.Free = false, nil
		}, []Wrong{Stuck, NotTold, NotTold}},
		"void and told, and the ledger waits": {func(b *Books) {
			shippedThoughVoid(b)
			b.Ledger[0].Refusals = nil
		}, []Wrong{Stuck, NotTold, NotTold}},
		"another order's parcel told besides": {func(b *Books) { b.order().Parcels[1].Tracking = "T2, T3" }, []Wrong{ToldTwice}},
		"the contents of two parcels exchanged": {func(b *Books) {
			p := b.order().Parcels
			p[0].Items, p[1].Items = p[1].Items, p[0].Items
		}, []Wrong{NotTold}},
		"the contents of two parcels exchanged, which the warehouse never told": {func(b *Books) {
			p := b.order().Parcels
			p[0].Items, p[1].Items = p[1].Items, p[0].Items
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventAssumed)
		}, nil},
		"confirmed before anything left": {func(b *Books) { b.Warehouse[0].Parcels, b.order().Parcels = nil, nil }, []Wrong{Lost, Lost}},
		"confirmed, and the warehouse sends no more": {func(b *Books) {
			b.Warehouse[0].Parcels, b.order().Parcels = b.Warehouse[0].Parcels[:1], b.order().Parcels[:1]
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventShippedShort)
		}, nil},
		"void at the cart, unnoticed": {func(b *Books) { b.order().Cancelled = true }, []Wrong{Unanswered}},
		"a cancel that nobody answered": {func(b *Books) {
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked)
		}, []Wrong{Unanswered}},
		"cancelled, and the cart does not know": {func(b *Books) {
			gone(b)
			b.Ledger[0].State = relay.OrderSendingCancelled
		}, []Wrong{CancelUntold}},
		"cancelled, and the cart has shipped of it already": {func(b *Books) {
			b.Warehouse, b.Free = nil, nil
			b.Ledger[0].State = relay.OrderSendingCancelled
		}, []Wrong{ToldTwice, ToldTwice, NotTold, ToldTwice, ToldTwice}},
		"cancelled":                         {func(b *Books) { cancelled(b) }, nil},
		"cancelled, and somebody wanted it": {func(b *Books) { cancelled(b); b.Wishes = wish(Wish{Cancel: true}) }, nil},
		"cancelled, and nobody wanted it":   {func(b *Books) { cancelled(b); b.Wishes = wish(Wish{Reopen: true}) }, []Wrong{Lost}},
		"cancelled at the warehouse, and nobody wanted it": {func(b *Books) {
			cancelled(b)
			b.Ledger[0].State, b.Wishes = relay.OrderCancelled, wish(Wish{})
		}, []Wrong{Lost}},
		"skipped": {func(b *Books) {
			gone(b)
			b.Ledger[0].State = relay.OrderSkipped
		}, []Wrong{Lost}},
		"skipped and shipped":              {func(b *Books) { b.Ledger[0].State, b.Free = relay.OrderSkipped, nil }, []Wrong{WronglyShipped, Lost}},
		"reopened, and somebody wanted it": {func(b *Books) { reopened(b); b.Wishes = wish(Wish{Reopen: true}) }, nil},
		"reopened, and nobody wanted it": {func(b *Books) {
			reopened(b)
			answered(b, "cancelled")
			b.Wishes = wish(Wish{Cancel: true})
		}, []Wrong{WronglyShipped}},
		"reopened for what was asked before a cancel": {func(b *Books) {
			reopened(b)
			b.Ledger[0].Undone = true
		}, []Wrong{WronglyShipped}},
		"somebody else's order": {func(b *Books) { stranger(b) }, nil},
		"somebody else's order, cancelled": {func(b *Books) {
			stranger(b)
			b.Warehouse[1].Cancelled = true
		}, []Wrong{WronglyShipped}},
		"somebody else's order, which we take for ours": {func(b *Books) {
			stranger(b)
			b.Ledger[0].WarehouseOrderID = "order_2"
		}, []Wrong{Lost}},
		"a cancel that was too late": {func(b *Books) {
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked, store.EventCancelTooLate)
		}, nil},
		"cancelled, and then sent anew": {func(b *Books) {
			reopened(b)
			b.Reopened = map[Key]bool{{shopName, number}: true}
		}, nil},
		"sent anew, and cancelled once more, unanswered": {func(b *Books) {
			reopened(b)
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked)
		}, []Wrong{Unanswered}},
		"sent anew, void at the cart, unnoticed": {func(b *Books) {
			reopened(b)
			b.order().Cancelled = true
		}, []Wrong{Unanswered}},
		"said to be sent anew, and still cancelled": {func(b *Books) {
			gone(b)
			b.Ledger[0].State, b.order().Cancelled = relay.OrderSendingCancelled, true
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked, store.EventCancelledSending)
			b.Reopened = map[Key]bool{{shopName, number}: true}
		}, []Wrong{Lost}},
		"sent anew, and cancelled by the warehouse": {func(b *Books) {
			reopened(b)
			gone(b)
			b.Ledger[0].State, b.order().Cancelled = relay.OrderCancelled, true
			b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelled)
			b.Reopened = map[Key]bool{{shopName, number}: true}
		}, nil},
		"an alert that people heard of":              {func(b *Books) { alerted(b, "alert_a"); b.Got[b.News[0]] = true }, nil},
		"an alert of which the message did not come": {func(b *Books) { alerted(b, "alert_a") }, []Wrong{NotCalled}},
		"an alert that people heard of, and that never was": {func(b *Books) {
			b.Got = map[News]bool{{Message: "alert_a", Alert: 7, News: relay.AlertOpened}: true}
		}, []Wrong{Misled}},
		"an alert that no message tells": {func(b *Books) { alerted(b, "") }, []Wrong{NotCalled}},
		"an alert that opened in two messages": {func(b *Books) {
			alerted(b, "alert_a")
			b.News = append(b.News, News{Message: "alert_b", Alert: 7, News: relay.AlertOpened})
			b.Got[b.News[0]], b.Got[b.News[1]] = true, true
		}, []Wrong{Misled}},
		"an alert that rose in two messages": {func(b *Books) {
			b.News = []News{{Message: "alert_a", Alert: 7, News: relay.AlertRaised}, {Message: "alert_b", Alert: 7, News: relay.AlertRaised}}
			b.Got = map[News]bool{b.News[0]: true, b.News[1]: true}
		}, nil},
		"an alert of a merchant that calls nobody": {func(b *Books) { alerted(b, ""); b.Got = nil }, nil},
		"still new":       {func(b *Books) { gone(b); b.Ledger[0].State = relay.OrderNew }, []Wrong{Stuck}},
		"still in doubt":  {func(b *Books) { gone(b); b.Ledger[0].State = relay.OrderInDoubt }, []Wrong{Stuck}},
		"still there":     {func(b *Books) { b.Ledger[0].State, b.Free = relay.OrderAtWarehouse, nil }, []Wrong{Stuck}},
		"still not told":  {func(b *Books) { untold(b); b.Ledger[0].State, b.Free = relay.OrderShipped, nil }, []Wrong{Stuck, NotTold, NotTold}},
		"on hold":         {func(b *Books) { gone(b); hold(b, relay.HoldUnknownItem) }, nil},
		"on hold, asleep": {func(b *Books) { gone(b); hold(b, relay.HoldUnknownItem); b.Awake["SO-1042"] = false }, []Wrong{Stuck}},
		"on hold for what never comes": {func(b *Books) {
			gone(b)
			hold(b, relay.HoldUnknownItem)
			b.Endless = map[Key]bool{{shopName, number}: true}
		}, nil},
		"on hold, and nothing is in its way": {func(b *Books) {
			gone(b)
			hold(b, relay.HoldUnknownItem)
			b.Endless = map[Key]bool{{"outlet", number}: true}
		}, []Wrong{Stuck}},
		"on hold, and nobody knows whether it is there": {func(b *Books) { hold(b, relay.HoldUnknownOutcome); b.Free = nil }, nil},
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

func (b *Books) order() *CartOrder { return &b.Carts[0].Orders[0] }

func twice(b *Books) {
	again := b.Warehouse[0]
	again.ID, again.Parcels = "order_2", nil
	b.Warehouse = append(b.Warehouse, again)
}

// shippedThoughVoid is an order of which the cart takes no tracking any more.
func shippedThoughVoid(b *Books) {
	b.order().Parcels = b.order().Parcels[:1]
	b.Ledger[0].State, b.Ledger[0].Refusals = relay.OrderShipped, []string{"unavailable, HTTP 500; rejected, code order_void"}
	b.Ledger[0].Untold = []string{b.Warehouse[0].Parcels[1].Tracking}
	b.order().Cancelled, b.order().Status = true, "void"
	b.Ledger[0].Trail = append(b.Ledger[0].Trail, store.EventCancelAsked, store.EventCancelTooLate)
}

// reopened is an order that was cancelled before it was sent, and then sent anew.
func reopened(b *Books) {
	o := &b.Ledger[0]
	o.Trail = append([]store.EventKind{store.EventSeen, store.EventCancelAsked, store.EventCancelledSending, store.EventReopened}, o.Trail[1:]...)
}

// cancelled is an order that was cancelled before it was sent, of which the cart knows.
func cancelled(b *Books) {
	b.Warehouse, b.order().Parcels, b.Free = nil, nil, nil
	b.Ledger[0].State, b.order().Cancelled, b.order().Status = relay.OrderSendingCancelled, true, "void"
}

// answered is what an operator heard of a cancel.
func answered(b *Books, answer string) {
	b.Answers = map[Key][]string{{shopName, number}: {answer}}
}

func wish(w Wish) map[Key]Wish { return map[Key]Wish{{shopName, number}: w} }

// stranger is an order at the warehouse that somebody else sent under our number.
func stranger(b *Books) {
	twice(b)
	b.Warehouse[1].Mark, b.Strangers = "ijklmnop", map[string]bool{"order_2": true}
}

// alerted opens an alert, with the message that tells it.
func alerted(b *Books, message string) {
	b.News = []News{{Message: message, Alert: 7, News: relay.AlertOpened}}
	b.Got = make(map[News]bool)
}

// changed has the cart ask for more since the order was sent.
func changed(b *Books, how store.EventKind) {
	key := Key{shopName, number}
	b.Versions[key] = append(b.Versions[key], Content{Street: "1 High St", Lines: Units{"PAIR": 2, "MUG": 1}})
	b.Ledger[0].Trail = append(b.Ledger[0].Trail, how)
}

// second is an order of the other cart under the same number, at the warehouse by
// its reference.
func second(b *Books) {
	b.Carts[1].Orders = []CartOrder{{Number: number, Status: "open", Lines: Units{"MUG": 3}, Parcels: []Parcel{{Tracking: "T3", Items: Units{"MUG": 3}}}}}
	b.Ledger = append(b.Ledger, Order{ID: 2, Cart: "outlet", Number: number, Reference: "SO-1042-7R50HH", State: relay.OrderConfirmed, WarehouseOrderID: "W2"})
	b.Warehouse = append(b.Warehouse, WarehouseOrder{ID: "W2", Mark: "SO-1042-7R50HH", Number: number, Units: Units{tote: 3}, Parcels: []Parcel{{Tracking: "T3", Items: Units{tote: 3}}}})
}

// waitsThere is an order that the warehouse has and says is stuck.
func waitsThere(b *Books) {
	o := &b.Ledger[0]
	o.State, o.Hold = relay.OrderHeld, relay.HoldInsufficientInventory
	b.Awake[o.Reference] = true
	b.Warehouse[0].Parcels, b.order().Parcels = nil, nil
	b.Carts[0].Stock = Units{"PAIR": 5, "MUG": 5} // the cart still subtracts it
}

// What a warehouse has of an order bears its reference or one of its tokens.
func TestAt(t *testing.T) {
	b := sound()
	twice(&b)
	stranger := b.Warehouse[0]
	stranger.Mark = "ijklmnop"
	list := append(b.Warehouse, stranger)
	require.Equal(t, list[:2], b.Ledger[0].At(list))
	list[1].Cancelled, list[0].Mark = true, number
	require.Equal(t, list[:1], b.Ledger[0].At(list))
}
