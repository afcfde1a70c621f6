package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"orderferry/activities"
	easypost "orderferry/connectors/easypost/simulator"
	tradegecko "orderferry/connectors/tradegecko/simulator"
	"orderferry/relay"
	"orderferry/standalone/proctest"
	"orderferry/standalone/shop"
	"orderferry/store"
	"orderferry/worker/process"
	"orderferry/workflows"
)

const acorn = "acorn"

// acornFile is the merchant's file but for its alerts, which are the page's.
const acornFile = `id: acorn
name: Acorn Outfitters
carts:
  - name: shop
    connector: quickbooks-commerce
    base_url: %[1]s
    credentials:
      access_token: ${ACORN_SHOP_TOKEN}
    settings:
      overlap: 2s
    schedule:
      pull_orders: 1s
  - name: outlet
    connector: tradegecko
    base_url: %[1]s
    credentials:
      access_token: ${ACORN_OUTLET_TOKEN}
warehouse:
  connector: easypost
  mode: live
  base_url: %[2]s
  credentials:
    production_key: ${ACORN_WAREHOUSE_KEY}
  settings:
    requests_per_second: 500
`

// Every command of docs/operations.md, typed in its order while the trouble that
// it is for really is there, ends as the page says, and so does the trouble.
func TestOperationsPage(t *testing.T) {
	sections, others := readPage(t, operationsPage)
	mail := newMailServer(t)
	mailer, err := process.MailFromEnv(func(k string) string {
		return map[string]string{process.EnvMail: "smtp://" + mail.address, process.EnvMailFrom: "orderferry@example.com"}[k]
	})
	require.NoError(t, err)
	inWorldOf(t, activities.Options{
		Looks: []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}, Lease: 4 * time.Second,
		Retries: 2, Retry: 200 * time.Millisecond, Overdue: time.Second, Mail: mailer,
	}, func(w *world) {
		o := newOperator(w)
		o.mail = mail
		alerts := strings.NewReplacer("https://hooks.example.com/orderferry", o.hook.URL, "every: 5m", "every: 10s").Replace(others["Alerts by e-mail and webhook yaml"])
		require.Contains(t, alerts, o.hook.URL)
		o.write("merchant.yaml", fmt.Sprintf(acornFile, w.shops.CartURL, o.door.url)+noResendSoon()+alerts)
		aliases := "sku,item_code\n"
		for _, a := range shop.Aliases() {
			aliases += fmt.Sprintf("%s,%s\n", a.SKU, a.Code)
		}
		o.write("first.csv", aliases)
		o.ok("merchant", "onboard", "--file", "merchant.yaml", "--yes", "--earliest", "2020-01-01")
		o.ok("alias", "import", "--merchant", acorn, "first.csv")
		o.follow(sections, o.troubles(others))
	})
}

// troubles makes each section's trouble happen.
func (o *operator) troubles(others map[string]string) map[string]step {
	const page = "--merchant acorn"
	order := func(verb, number string) string { return "ferry order " + verb + " " + page + " --order " + number }
	job := func(verb, connection string, j relay.Job) string {
		return fmt.Sprintf("ferry merchant %s %s --connection %s --job %s", verb, page, connection, j)
	}
	says := func(words string) func(string) { return func(said string) { require.Contains(o.t, said, words) } }
	signal := func(id, name string) string {
		return fmt.Sprintf("temporal workflow signal --workflow-id '%s' --name %s ", id, name)
	}
	return map[string]step{
		"Where to look first": {
			prepare: func() {
				o.sellShort("SO-1001")
				o.held("SO-1001", relay.HoldInsufficientInventory)
				o.exec(`update orders set first_held_at = now() - interval '25 hours' where number = 'SO-1001'`)
				o.opened("hold/insufficient_inventory")
			},
			after: map[string]func(string){
				"ferry alert list":                      says("on hold for insufficient_inventory for more than 1 day"),
				"ferry hold list":                       says("SO-1001"),
				"curl -s http://127.0.0.1:9090/metrics": says(`orderferry_alerts_looked_timestamp_seconds{merchant="acorn"} `),
			},
		},
		"The warehouse is short of stock": {
			prepare: func() {
				o.sellShort("SO-1002", "SO-1003")
				o.held("SO-1002", relay.HoldInsufficientInventory)
				o.held("SO-1003", relay.HoldInsufficientInventory)
			},
			before: map[string]func(){
				job("sync", "warehouse", relay.PullInventory): func() { o.stock(shop.ShortCode, 1) },
				order("release", "SO-1002"): func() {
					o.becomes("SO-1001", relay.OrderAtWarehouse) // the longest held
					o.is("SO-1002", relay.OrderHeld)
					o.stock(shop.ShortCode, 10)
				},
			},
			after: map[string]func(string){order("release", "SO-1001"): says("still on hold")},
			done: func() {
				o.becomes("SO-1003", relay.OrderAtWarehouse)
				o.closed("hold/insufficient_inventory")
				o.stock(shop.ShortCode, 3) // all promised
			},
		},
		"Nobody knows the item": {
			prepare: func() {
				csv := others["Nobody knows the item csv"]
				o.write("aliases.csv", csv)
				_, code, _ := strings.Cut(strings.Split(csv, "\n")[1], ",")
				o.warehouse.AddProduct(code, "Nobody knows")
				o.stock(code, 10)
				o.sell("SO-1011", shop.UnknownSKU)
				o.held("SO-1011", relay.HoldUnknownItem)
			},
			after: map[string]func(string){"ferry hold list": says(shop.UnknownSKU)},
			done:  func() { o.becomes("SO-1011", relay.OrderAtWarehouse) },
		},
		"A bad address or order": {
			prepare: func() {
				n := newOrder("SO-1021", plainSKU)
				n.Address.Zip = ""
				o.place(n)
				o.held("SO-1021", relay.HoldBadAddress)
			},
			before: map[string]func(){
				job("sync", "shop", relay.PullOrders): func() {
					require.NoError(o.t, o.shops.Cart.ChangeAddress(acorn, "SO-1021", newOrder("", plainSKU).Address))
				},
			},
			after: map[string]func(string){"ferry hold show": says("ship_to.zip")},
			done:  func() { o.becomes("SO-1021", relay.OrderAtWarehouse) },
		},
		"The warehouse refuses": {
			prepare: func() {
				o.door.refuse(`{"code":"ACCOUNT.REVIEW","message":"The account is being reviewed."}`)
				o.sell("SO-1031", plainSKU)
				o.held("SO-1031", relay.HoldRejected)
			},
			before: map[string]func(){order("release", "SO-1031"): func() { o.door.refuse("") }},
			after:  map[string]func(string){"ferry hold list": says("The account is being reviewed.")},
		},
		"Nobody knows whether the warehouse has it": {
			prepare: func() {
				o.doubt("SO-1041")
				o.exec(`update orders set updated_at = now() - interval '2 hours', next_look_at = now() where number = 'SO-1041'`)
				o.ok("merchant", "sync", "--merchant", acorn, "--job", "submit_orders")
				o.held("SO-1041", relay.HoldUnknownOutcome)
				o.opened("hold/unknown_outcome")
			},
			before: map[string]func(){"ferry connection test": o.warehouse.ClearFaults},
			done: func() {
				require.Len(o.t, o.there("SO-1041"), 1, "adopted, not sent again")
				o.closed("hold/unknown_outcome")
			},
		},
		"The warehouse can't be reached": {
			prepare: func() {
				o.door.close()
				o.sell("SO-1045", plainSKU)
				o.held("SO-1045", relay.HoldWarehouseUnreachable)
			},
			after: map[string]func(string){"ferry hold list": func(said string) {
				require.Contains(o.t, said, "SO-1045")
				o.door.open()
			}},
			done: func() { o.becomes("SO-1045", relay.OrderAtWarehouse) },
		},
		"The warehouse is stuck with an order": {
			prepare: func() {
				o.sell("SO-1046", plainSKU)
				require.NoError(o.t, o.warehouse.Hold(o.becomes("SO-1046", relay.OrderAtWarehouse)))
				o.ok("merchant", "sync", "--merchant", acorn, "--job", "pull_shipments")
				o.held("SO-1046", relay.HoldRejected)
				o.running("hold/acorn/SO-1046")
			},
			before: map[string]func(){
				job("sync", "warehouse", relay.PullShipments): func() {
					require.NoError(o.t, o.warehouse.Release(o.there("SO-1046")[0].ID))
				},
			},
			after: map[string]func(string){
				"ferry hold list": says("never sent again, goes on by itself"),
				"ferry hold show": says("warehouse status"),
			},
			done: func() {
				o.becomes("SO-1046", relay.OrderAtWarehouse)
				o.ended("hold/acorn/SO-1046")
				require.Len(o.t, o.there("SO-1046"), 1)
			},
		},
		"The warehouse does not answer": {
			prepare: func() {
				o.sell("SO-1047", plainSKU)
				o.becomes("SO-1047", relay.OrderAtWarehouse)
				// This warehouse answers at once: it is as though it had only received the order.
				o.exec(`update orders set answer_due = now() - interval '1 hour', warehouse_status = null where number = 'SO-1047'`)
				o.opened("unanswered/warehouse")
			},
			after: map[string]func(string){"ferry order list": says("received, no answer yet, due ")},
			done: func() {
				o.closed("unanswered/warehouse")
				require.Len(o.t, o.there("SO-1047"), 1)
			},
		},
		"The warehouse does not ship": {
			prepare: func() {
				o.sell("SO-1049", plainSKU)
				o.becomes("SO-1049", relay.OrderAtWarehouse)
				o.exec(`update orders set accepted_at = now() - interval '6 days' where number = 'SO-1049'`)
				o.opened("unshipped/warehouse")
			},
			before: map[string]func(){job("sync", "warehouse", relay.PullShipments): func() { o.leave("SO-1049") }},
			after: map[string]func(string){
				"ferry order list": says("SO-1049"),
				"ferry order show": says("at warehouse since"),
			},
			done: func() { o.closed("unshipped/warehouse") },
		},
		"Something could not be read": {
			prepare: func() {
				// This warehouse has no rows: it is as though one of a file could not be read.
				o.exec(`insert into unread (connection_id, job, subject, line, message)
					select id, 'pull_shipments', 'shp_1.csv', 3, 'quantity: want a whole number' from connections where name = 'warehouse'`)
				o.opened("unread/warehouse")
			},
			after: map[string]func(string){"ferry alert show": says("shp_1.csv  3     quantity: want a whole number")},
			done:  func() { o.closed("unread/warehouse") },
		},
		"Keep one order back": {
			prepare: func() {
				o.ok("merchant", "pause", "--merchant", acorn, "--connection", "warehouse", "--job", "submit_orders")
				o.sell("SO-1048", plainSKU)
				o.becomes("SO-1048", relay.OrderNew)
			},
			after: map[string]func(string){
				"ferry order hold": func(string) {
					o.ok("merchant", "resume", "--merchant", acorn, "--connection", "warehouse", "--job", "submit_orders")
					o.running("hold/acorn/SO-1048")
				},
				"ferry hold list": says("operator: asked the buyer"),
			},
			done: func() {
				o.becomes("SO-1048", relay.OrderAtWarehouse)
				o.ended("hold/acorn/SO-1048")
			},
		},
		"Cancel one order, or many": {
			prepare: func() {
				o.sell("SO-1053", plainSKU)
				o.ship("SO-1053")
				o.sell("SO-1052", plainSKU)
				o.sell("SO-1054", plainSKU)
				o.sellShort("SO-1051", "SO-1055", "SO-1056")
				for _, n := range []string{"SO-1051", "SO-1055", "SO-1056"} {
					o.held(n, relay.HoldInsufficientInventory)
				}
				o.becomes("SO-1052", relay.OrderAtWarehouse)
				o.becomes("SO-1054", relay.OrderAtWarehouse)
			},
			before: map[string]func(){
				order("cancel", "SO-1053"): func() { o.inject(easypost.Fault{Route: "delete_order", Kind: easypost.Error503, Rate: 1}) },
				order("show", "SO-1054"):   o.warehouse.ClearFaults,
			},
			after: map[string]func(string){
				order("cancel", "SO-1051"): says("stopped before sending"),
				order("cancel", "SO-1052"): says("cancelled at the warehouse"),
				order("cancel", "SO-1053"): says("too late: shipped"),
				order("cancel", "SO-1054"): says("is asked again"),
				order("show", "SO-1054"):   says("cancel asked"),
			},
			done: func() {
				o.is("SO-1052", relay.OrderCancelled)
				o.is("SO-1054", relay.OrderCancelled)
				for _, n := range []string{"SO-1051", "SO-1055", "SO-1056"} {
					o.is(n, relay.OrderSendingCancelled)
				}
			},
		},
		"Changed at the cart too late": {
			prepare: func() {
				o.sell("SO-1061", plainSKU)
				o.becomes("SO-1061", relay.OrderAtWarehouse)
				to := newOrder("", plainSKU).Address
				to.Line1 = "2 Example Street"
				require.NoError(o.t, o.shops.Cart.ChangeAddress(acorn, "SO-1061", to))
				o.opened("order/SO-1061/changed_too_late")
			},
			after: map[string]func(string){order("show", "SO-1061"): says("changed at the cart after it was submitted")},
			done: func() {
				o.is("SO-1061", relay.OrderCancelled)
				o.closed("order/SO-1061/changed_too_late")
			},
		},
		"A cancelled order is back at the cart": {
			prepare: func() {
				o.sell("SO-1071", plainSKU)
				o.becomes("SO-1071", relay.OrderAtWarehouse)
				require.NoError(o.t, o.shops.Cart.Void(acorn, "SO-1071"))
				o.becomes("SO-1071", relay.OrderCancelled)
				require.NoError(o.t, o.shops.Cart.Restore(acorn, "SO-1071"))
				o.opened("order/SO-1071/back_at_cart")
			},
			after: map[string]func(string){order("show", "SO-1071"): says("cancelled, and ready again at the cart")},
			done: func() {
				o.becomes("SO-1071", relay.OrderAtWarehouse)
				require.Len(o.t, o.there("SO-1071"), 1)
				o.closed("order/SO-1071/back_at_cart")
			},
		},
		"Shipped despite a cancel": {
			prepare: func() {
				// It leaves before the cart's cancel comes through, and another one after its cancel.
				o.sell("SO-1081", plainSKU)
				o.sell("SO-1082", plainSKU)
				o.leave("SO-1081")
				require.NoError(o.t, o.shops.Cart.Void(acorn, "SO-1081"))
				o.opened("order/SO-1081/cancel_too_late")
				second := o.becomes("SO-1082", relay.OrderAtWarehouse)
				o.inject(easypost.Fault{Route: "delete_order", Kind: easypost.Error503, Rate: 1})
				code, _ := o.cli("order", "cancel", "--merchant", acorn, "--order", "SO-1082", "--reason", "buyer cancelled")
				require.Equal(o.t, 1, code)
				require.NoError(o.t, o.warehouse.Ship(second))
				o.ok("merchant", "sync", "--merchant", acorn, "--job", "pull_shipments")
				o.opened("order/SO-1082/shipped_after_all")
				o.ok("alert", "close", "--id", fmt.Sprint(o.alertID()))
				o.warehouse.ClearFaults()
				o.opened("order/SO-1081/cancel_too_late") // still
			},
			after: map[string]func(string){order("history", "SO-1081"): says("too late to cancel")},
			done: func() {
				o.closed("order/SO-1081/cancel_too_late")
				o.closed("order/SO-1082/shipped_after_all")
			},
		},
		"Gone at the warehouse": {
			prepare: func() {
				o.sell("SO-1091", plainSKU)
				o.sell("SO-1092", plainSKU)
				id, other := o.becomes("SO-1091", relay.OrderAtWarehouse), o.becomes("SO-1092", relay.OrderAtWarehouse)
				o.ask(http.MethodDelete, "/orders/"+other, "")
				require.NoError(o.t, o.warehouse.SetBehaviour(easypost.Behaviour{GoneAfterDelete: true}))
				o.ask(http.MethodDelete, "/orders/"+id, "")
				o.ok("merchant", "sync", "--merchant", acorn, "--job", "pull_shipments")
				o.opened("order/SO-1091/gone")
			},
			before: map[string]func(){
				"ferry merchant sync": func() { require.NoError(o.t, o.warehouse.SetBehaviour(easypost.Behaviour{})) },
				order("history", "SO-1091"): func() {
					o.becomes("SO-1091", relay.OrderCancelled)
					o.closed("order/SO-1091/gone")
					o.opened("order/SO-1091/cancelled_by_warehouse")
				},
				order("cancel", "SO-1092"): func() { o.opened("order/SO-1092/cancelled_by_warehouse") },
			},
			after: map[string]func(string){order("history", "SO-1091"): says("the warehouse cancelled it by itself")},
			done: func() {
				o.becomes("SO-1091", relay.OrderAtWarehouse)
				o.closed("order/SO-1091/cancelled_by_warehouse")
				o.closed("order/SO-1092/cancelled_by_warehouse")
				o.voided("SO-1092")
			},
		},
		"The warehouse took it twice": {
			prepare: func() {
				o.doubt("SO-1101")
				o.ask(http.MethodPost, "/orders", o.door.last())
				require.Len(o.t, o.there("SO-1101"), 2)
				o.warehouse.ClearFaults()
				o.exec(`update orders set next_look_at = now() where number = 'SO-1101'`)
				o.ok("merchant", "sync", "--merchant", acorn, "--job", "submit_orders")
				o.becomes("SO-1101", relay.OrderAtWarehouse)
				o.opened("order/SO-1101/duplicate_found")
			},
			after: map[string]func(string){order("history", "SO-1101"): says(": cancelled")},
			done: func() {
				require.Len(o.t, o.there("SO-1101"), 1)
				o.closed("order/SO-1101/duplicate_found")
			},
		},
		"Credentials are refused": {
			prepare: func() {
				o.inject(easypost.Fault{Route: "*", Kind: easypost.Error401, Rate: 1})
				o.ok("merchant", "sync", "--merchant", acorn, "--job", "pull_inventory")
				o.opened("connection/warehouse")
				o.sell("SO-1105", plainSKU)
			},
			before: map[string]func(){"ferry merchant onboard": o.warehouse.ClearFaults},
			after:  map[string]func(string){"ferry merchant show": says("stopped because")},
			done: func() {
				o.becomes("SO-1105", relay.OrderAtWarehouse)
				o.closed("connection/warehouse")
			},
		},
		"A job fails for hours": {
			prepare: func() {
				// A refusal, so that it fails at once; its alert comes after an hour of the workflow's own clock.
				require.NoError(o.t, o.shops.Cart.Inject(tradegecko.Fault{Kind: tradegecko.DuplicateKey, Route: "orders_index", Account: "birch"}))
				o.ok("merchant", "sync", "--merchant", acorn, "--connection", "outlet", "--job", "pull_orders")
				o.eventually("the job fails", func() bool { return strings.Contains(o.shown(), "fails since") })
			},
			before: map[string]func(){"ferry connection test": o.shops.Cart.ClearFaults},
			after:  map[string]func(string){"ferry merchant show": says("fails since")},
			done:   func() { o.eventually("it runs", func() bool { return !strings.Contains(o.shown(), "fails since") }) },
		},
		"Orders are stuck": {
			prepare: func() {
				o.ok("merchant", "pause", "--merchant", acorn, "--connection", "warehouse", "--job", "submit_orders")
				o.sell("SO-1106", plainSKU)
				o.becomes("SO-1106", relay.OrderNew)
				o.exec(`update orders set created_at = now() - interval '2 hours' where number = 'SO-1106'`)
				o.opened("stuck/ready")
			},
			after: map[string]func(string){
				"ferry order list":    says("waits: submit_orders is paused"),
				"ferry merchant show": says("paused"),
			},
			done: func() {
				o.becomes("SO-1106", relay.OrderAtWarehouse)
				o.closed("stuck/ready")
			},
		},
		"The cart does not take tracking": {
			prepare: func() {
				require.NoError(o.t, o.shops.Cart.Inject(tradegecko.Fault{Kind: tradegecko.Fail500, Route: "fulfillments_create", Account: acorn}))
				o.sell("SO-1111", plainSKU)
				o.ship("SO-1111")
				o.eventually("the cart refuses", func() bool {
					return o.value(`select push_attempts::text from shipments s join orders o on o.id = s.order_id where number = 'SO-1111'`) != "0"
				})
				o.exec(`update shipments set seen_at = now() - interval '2 hours' from orders o where o.id = order_id and number = 'SO-1111'`)
				o.opened("stuck/shipment")
			},
			before: map[string]func(){"ferry connection test": o.shops.Cart.ClearFaults},
			after:  map[string]func(string){order("history", "SO-1111"): says("the cart did not take")},
			done: func() {
				o.becomes("SO-1111", relay.OrderConfirmed)
				o.closed("stuck/shipment")
			},
		},
		"The cart does not take a cancel": {
			prepare: func() {
				require.NoError(o.t, o.shops.Cart.Inject(tradegecko.Fault{Kind: tradegecko.Fail503, Route: "order_actions", Account: acorn}))
				o.sell("SO-1113", plainSKU)
				o.becomes("SO-1113", relay.OrderAtWarehouse)
				o.ok("order", "cancel", "--merchant", acorn, "--order", "SO-1113", "--reason", "buyer cancelled")
				o.eventually("the cart refuses", func() bool {
					return o.value(`select coalesce(cart_cancel_error, '') from orders where number = 'SO-1113'`) != ""
				})
				o.exec(`update orders set cancel_requested_at = now() - interval '2 hours' where number = 'SO-1113'`)
				o.exec(`do $$ begin
					set local session_replication_role = replica; -- the trail takes no changes
					update order_events set at = at - interval '2 hours' where order_id = (select id from orders where number = 'SO-1113');
				end $$`)
				o.opened("stuck/cart_cancel")
			},
			before: map[string]func(){
				"ferry connection test": o.shops.Cart.ClearFaults,
				"ferry merchant sync":   func() { require.NoError(o.t, o.shops.Cart.Void(acorn, "SO-1113")) },
			},
			after: map[string]func(string){order("history", "SO-1113"): says("the cart did not take the cancel")},
			done:  func() { o.closed("stuck/cart_cancel") },
		},
		"Stock is wrong, or books differ": {
			prepare: func() {
				o.eventually("the cart was told", func() bool { return o.value(`select count(*)::text from sent_levels where sku = 'TOTE-03'`) == "2" })
				require.NoError(o.t, o.shops.Cart.SetStock(acorn, "TOTE-03", tradegecko.Stock{OnHand: "3"}))
			},
			after: map[string]func(string){
				"ferry inventory show":                          says("TOTE-03"),
				"ferry merchant reconcile":                      says("stock_drift"),
				"ferry merchant findings " + page + " --closed": says("repaired"),
			},
			done: func() {
				stock, err := o.shops.Cart.Stock(acorn)
				require.NoError(o.t, err)
				for _, s := range stock {
					require.False(o.t, s.SKU == "TOTE-03" && s.OnHand == "3", "set right")
				}
			},
		},
		"Pause everything, and resume": {
			prepare: func() {
				o.ok("merchant", "pause", "--merchant", acorn, "--connection", "warehouse", "--job", "submit_orders")
				o.sell("SO-1115", plainSKU)
				o.becomes("SO-1115", relay.OrderNew)
			},
			before: map[string]func(){
				"ferry merchant resume": func() { require.NoError(o.t, o.shops.Cart.Void(acorn, "SO-1115")) },
				job("pause", "warehouse", relay.SubmitOrders): func() {
					o.becomes("SO-1115", relay.OrderSendingCancelled)
					require.Empty(o.t, o.there("SO-1115"), "cancelled while all was paused, and not sent")
				},
				job("resume", "warehouse", relay.SubmitOrders): func() {
					o.sell("SO-1116", plainSKU)
					o.becomes("SO-1116", relay.OrderNew)
				},
			},
			after: map[string]func(string){"ferry merchant show": says("paused since")},
			done:  func() { o.becomes("SO-1116", relay.OrderAtWarehouse) },
		},
		"A worker died": {},
		"Postgres is down, or was restored": {
			prepare: func() {
				for _, n := range []string{"SO-1121", "SO-1122"} {
					o.sell(n, plainSKU)
					o.becomes(n, relay.OrderAtWarehouse)
				}
			},
			before: map[string]func(){
				"ferry merchant show": func() {
					o.eventually("paused", func() bool { return strings.Contains(o.shown(), "submit_orders is paused") })
				},
				"ferry merchant sync": func() { o.forget("SO-1121", "SO-1122") },
				"ferry order list":    func() { o.becomes("SO-1121", relay.OrderNew) },
				"ferry hold list": func() {
					o.held("SO-1121", relay.HoldUnknownOutcome)
					o.held("SO-1122", relay.HoldUnknownOutcome)
				},
				"ferry hold release": func() {
					require.NoError(o.t, o.warehouse.CancelAtWarehouse(o.there("SO-1121")[0].ID))
					o.fulfil("SO-1122") // it had shipped
					o.becomes("SO-1122", relay.OrderSendingCancelled)
				},
			},
			after: map[string]func(string){
				"ferry order list":         says("SO-1121"),
				"ferry merchant reconcile": says(string(store.FindingForeign)),
			},
			done: func() {
				o.becomes("SO-1121", relay.OrderAtWarehouse)
				require.Len(o.t, o.there("SO-1121"), 1)
			},
		},
		"Temporal is down, or lost": {
			prepare: func() {
				o.sellShort("SO-1125")
				o.held("SO-1125", relay.HoldInsufficientInventory)
				o.running("hold/acorn/SO-1125")
				for _, id := range []string{"merchant/acorn", "hold/acorn/SO-1125"} {
					require.NoError(o.t, o.temporal.TerminateWorkflow(o.t.Context(), id, "", "as though Temporal had been lost"))
				}
			},
			after: map[string]func(string){
				"ferry merchant list":   says("no workflow"),
				"ferry merchant resume": says("ferry merchant onboard starts it"),
				"ferry merchant show":   says("workflow merchant/acorn running"),
			},
			done: func() { o.running("hold/acorn/SO-1125") },
		},
		"Deploy a new release": {},
		"Proof for a merchant or a 3PL": {
			after: map[string]func(string){order("history", "SO-1001"): says("the warehouse took it")},
		},
		"Alerts by e-mail and webhook": {
			before: map[string]func(){
				"key=": func() {
					p := o.hook.last()
					o.env["id"], o.env["timestamp"] = p.header.Get("webhook-id"), p.header.Get("webhook-timestamp")
					o.write("body.json", p.body)
				},
			},
			after: map[string]func(string){
				"ferry alert test": func(said string) {
					require.Contains(o.t, said, "email: delivered")
					require.Contains(o.t, said, "webhook: delivered")
					require.Contains(o.t, o.mail.received(), "ops@example.com")
				},
				"key=": func(said string) {
					require.Equal(o.t, o.hook.last().header.Get("webhook-signature"), "v1,"+strings.TrimSpace(said))
				},
			},
		},
		"Without ferry: signals": {
			prepare: func() {
				_, err := o.shops.Cart.AddVariant(acorn, tradegecko.NewVariant{SKU: "DISCONTINUED-1", Name: "Discontinued"})
				require.NoError(o.t, err)
				o.sellShort("SO-1131", "SO-1132", "SO-1135")
				o.sell("SO-1133", plainSKU)
				o.sell("SO-1134", "DISCONTINUED-1")
				for _, n := range []string{"SO-1131", "SO-1132", "SO-1134", "SO-1135"} {
					o.becomes(n, relay.OrderHeld)
					o.running(workflows.HoldID(acorn, relay.Reference(n)))
				}
				o.becomes("SO-1133", relay.OrderAtWarehouse)
				o.stock(shop.ShortCode, 4)
				o.ok("merchant", "pause", "--merchant", acorn, "--connection", "warehouse", "--job", "submit_orders")
				for _, n := range []string{"SO-1136", "SO-1137", "SO-1138"} {
					o.sell(n, plainSKU)
					o.becomes(n, relay.OrderNew)
					o.ok("order", "hold", "--merchant", acorn, "--order", n, "--reason", "asked the buyer")
				}
				o.ok("merchant", "resume", "--merchant", acorn, "--connection", "warehouse", "--job", "submit_orders")
			},
			before: map[string]func(){
				signal("merchant/acorn", workflows.ReleaseOrders) + `--input '{"reason"`: func() {
					o.becomes("SO-1131", relay.OrderAtWarehouse)
					o.becomes("SO-1132", relay.OrderSendingCancelled)
					o.becomes("SO-1133", relay.OrderCancelled)
					o.becomes("SO-1134", relay.OrderSendingCancelled)
					o.is("SO-1135", relay.OrderHeld)
					o.stock(shop.ShortCode, 10)
				},
				signal("merchant/acorn", workflows.ReleaseOrders) + `--input '{"all"`: func() {
					o.becomes("SO-1136", relay.OrderAtWarehouse)
					o.becomes("SO-1137", relay.OrderAtWarehouse)
					o.is("SO-1138", relay.OrderHeld)
				},
				signal("merchant/acorn", workflows.ReopenOrder): func() {
					o.becomes("SO-1138", relay.OrderAtWarehouse)
					o.becomes("SO-1135", relay.OrderAtWarehouse)
					o.voided("SO-1133")
					require.NoError(o.t, o.shops.Cart.Restore(acorn, "SO-1133"))
					o.opened("order/SO-1133/back_at_cart")
				},
				signal("merchant/acorn", workflows.Resume): func() {
					o.eventually("paused", func() bool { return o.value(`select (paused_at is not null)::text from merchants`) == "true" })
				},
			},
			done: func() {
				o.eventually("resumed", func() bool { return o.value(`select (paused_at is null)::text from merchants`) == "true" })
				o.becomes("SO-1133", relay.OrderAtWarehouse)
			},
		},
	}
}

// operator is a person at a terminal, and the world in which things go wrong.
type operator struct {
	*world
	db        *pgxpool.Pool
	ledger    *store.Store
	temporal  client.Client
	warehouse *shop.EasyPost
	door      *door
	hook      *hook
	mail      *mailServer
	env       map[string]string
	alert     relay.AlertCause // that the page's number stands for
	skipped   map[string]bool
}

func newOperator(w *world) *operator {
	o := &operator{world: w, warehouse: w.shops.EasyPost(acorn), skipped: make(map[string]bool)}
	var err error
	o.db, err = pgxpool.New(w.t.Context(), w.at.DatabaseURL)
	require.NoError(w.t, err)
	w.t.Cleanup(o.db.Close)
	keyring, err := store.OpenKeyring(w.at.KeyFile)
	require.NoError(w.t, err)
	o.ledger, err = store.Open(w.t.Context(), w.at.DatabaseURL, keyring)
	require.NoError(w.t, err)
	w.t.Cleanup(o.ledger.Close)
	options := w.at.Temporal
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	o.temporal, err = client.DialContext(w.t.Context(), options)
	require.NoError(w.t, err)
	w.t.Cleanup(o.temporal.Close)
	o.door, o.hook = newDoor(w.t, o.warehouse.URL), newHook(w.t)
	o.env = map[string]string{
		"ORDERFERRY_DATA": w.dir, "DATABASE_URL": w.at.DatabaseURL,
		"ACORN_SHOP_TOKEN": shop.CartToken(acorn), "ACORN_OUTLET_TOKEN": shop.CartToken("birch"), "ACORN_WAREHOUSE_KEY": shop.WarehouseKey(acorn),
		"ACORN_ALERT_SECRET": "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of thirty-two bytes....")),
	}
	require.NoError(w.t, o.warehouse.SetProgress(easypost.Progress{})) // orders move when they are told to
	w.t.Chdir(w.dir)
	return o
}

// ok types a command that is not the page's.
func (o *operator) ok(args ...string) {
	o.t.Helper()
	code, said := o.cli(args...)
	require.Zero(o.t, code, said)
}

func (o *operator) shown() string {
	_, said := o.cli("merchant", "show", "--merchant", acorn)
	return said
}

const plainSKU = "TOTE-05"

func newOrder(number, sku string) tradegecko.NewOrder {
	return shop.Order{Number: number, Buyer: "Buyer 1", Street: "1 Example Street", Lines: []shop.Line{{SKU: sku, Units: 1}}}.TradeGecko()
}

func (o *operator) place(n tradegecko.NewOrder) {
	o.t.Helper()
	_, err := o.shops.Cart.AddOrder(acorn, n)
	require.NoError(o.t, err)
}

func (o *operator) sell(number, sku string) { o.t.Helper(); o.place(newOrder(number, sku)) }

func (o *operator) sellShort(numbers ...string) {
	for _, n := range numbers {
		o.sell(n, shop.ShortSKU)
	}
}

func (o *operator) stock(code string, n int64) {
	o.t.Helper()
	require.NoError(o.t, o.warehouse.SetStock(code, "", n))
}

func (o *operator) inject(f easypost.Fault) {
	o.t.Helper()
	require.NoError(o.t, o.warehouse.Simulator.Inject(f))
}

// doubt has an order taken by the warehouse whose answer is lost, and which can't be looked for.
func (o *operator) doubt(number string) {
	o.t.Helper()
	o.inject(easypost.Fault{Route: "list_orders", Kind: easypost.Error503, Rate: 1})
	o.inject(easypost.Fault{Route: "create_order", Kind: easypost.CommitThenDrop})
	o.sell(number, plainSKU)
	o.becomes(number, relay.OrderInDoubt)
	o.eventually("it was looked for in vain", func() bool {
		return o.value(`select (next_look_at > now() + interval '5 seconds')::text from orders where number = $1`, number) == "true"
	})
}

// leave ships an order at the warehouse, and nobody hears of it yet.
func (o *operator) leave(number string) {
	o.t.Helper()
	require.NoError(o.t, o.warehouse.Ship(o.becomes(number, relay.OrderAtWarehouse)))
}

func (o *operator) ship(number string) {
	o.t.Helper()
	o.leave(number)
	o.ok("merchant", "sync", "--merchant", acorn, "--job", "pull_shipments")
	o.eventually("shipped", func() bool { return o.state(number) == relay.OrderShipped || o.state(number) == relay.OrderConfirmed })
}

// there are the warehouse's own orders for an order that it has not cancelled.
func (o *operator) there(number string) (list []easypost.OrderView) {
	for _, v := range o.warehouse.Orders(shop.Mode) {
		if strings.HasSuffix(v.Description, " "+number) && v.State != easypost.Refunded {
			list = append(list, v)
		}
	}
	return list
}

// fulfil enters at the cart by hand that all of an order has shipped.
func (o *operator) fulfil(number string) {
	o.t.Helper()
	v, err := o.shops.Cart.Order(acorn, number)
	require.NoError(o.t, err)
	i := slices.IndexFunc(v.Lines, func(l tradegecko.LineView) bool { return l.SKU != "" })
	body := fmt.Sprintf(`{"fulfillment":{"order_id":%d,"status":"fulfilled","tracking_number":"BY-HAND-1","fulfillment_line_items":[{"order_line_item_id":%d,"quantity":"1"}]}}`,
		v.ID, v.Lines[i].ID)
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, o.shops.CartURL+"/fulfillments", strings.NewReader(body))
	require.NoError(o.t, err)
	r.Header.Set("Authorization", "Bearer "+shop.CartToken(acorn))
	o.send(r)
}

// ask asks the warehouse beside Orderferry.
func (o *operator) ask(method, path, body string) {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.warehouse.URL+path, strings.NewReader(body))
	require.NoError(o.t, err)
	r.SetBasicAuth(shop.WarehouseKey(acorn), "")
	o.send(r)
}

func (o *operator) send(r *http.Request) {
	o.t.Helper()
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	require.NoError(o.t, err)
	require.NoError(o.t, answer.Body.Close())
	require.Equal(o.t, 2, answer.StatusCode/100)
}

func (o *operator) exec(sql string, args ...any) {
	o.t.Helper()
	_, err := o.db.Exec(o.t.Context(), sql, args...)
	require.NoError(o.t, err)
}

func (o *operator) value(sql string, args ...any) (v string) {
	o.t.Helper()
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `select coalesce((`+sql+`), '')`, args...).Scan(&v))
	return v
}

func (o *operator) eventually(what string, f func() bool) {
	o.t.Helper()
	require.Eventually(o.t, f, time.Minute, 50*time.Millisecond, what)
}

func (o *operator) state(number string) relay.OrderState {
	return relay.OrderState(o.value(`select state from orders where number = $1`, number))
}

func (o *operator) is(number string, s relay.OrderState) {
	o.t.Helper()
	require.Equal(o.t, s, o.state(number), number)
}

// becomes waits for an order's state and returns its warehouse order.
func (o *operator) becomes(number string, s relay.OrderState) string {
	o.t.Helper()
	o.eventually(fmt.Sprintf("%s becomes %s", number, s), func() bool { return o.state(number) == s })
	return o.value(`select warehouse_order_id from orders where number = $1`, number)
}

func (o *operator) held(number string, reason relay.HoldReason) {
	o.t.Helper()
	o.eventually(fmt.Sprintf("%s is on hold for %s", number, reason), func() bool {
		return o.value(`select hold_reason from orders where number = $1`, number) == string(reason)
	})
}

func (o *operator) running(id string) {
	o.t.Helper()
	o.eventually(id+" runs", func() bool {
		d, err := o.temporal.DescribeWorkflowExecution(o.t.Context(), id, "")
		return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	})
}

func (o *operator) ended(id string) {
	o.t.Helper()
	o.eventually(id+" has ended", func() bool {
		d, err := o.temporal.DescribeWorkflowExecution(o.t.Context(), id, "")
		return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	})
}

// forget makes the ledger what it was before orders were taken in.
func (o *operator) forget(numbers ...string) {
	for _, sql := range []string{
		`delete from submission_items where submission_id in (select s.id from submissions s join orders o on o.id = s.order_id where number = any($1))`,
		`delete from submissions where order_id in (select id from orders where number = any($1))`,
		`delete from orders where number = any($1)`,
	} {
		o.exec(sql, numbers)
	}
	o.exec(`delete from cursors where name = 'orders'`)
}

// voided waits until the cart was told of a cancel.
func (o *operator) voided(number string) {
	o.t.Helper()
	o.eventually("the cart has cancelled "+number, func() bool {
		v, err := o.shops.Cart.Order(acorn, number)
		return err == nil && v.Status == "void"
	})
}

// look looks after the alerts as the worker does every few minutes.
func (o *operator) look() {
	m, err := o.ledger.Merchant(o.t.Context(), acorn)
	require.NoError(o.t, err)
	_, err = o.ledger.LookAfterAlerts(o.t.Context(), m, time.Hour)
	require.NoError(o.t, err)
}

func (o *operator) open(cause relay.AlertCause) string {
	return o.value(`select max(id)::text from alerts where cause = $1 and closed_at is null`, string(cause))
}

// opened waits for an alert: it is the one that the page's number stands for.
func (o *operator) opened(cause relay.AlertCause) {
	o.t.Helper()
	o.eventually(string(cause)+" is opened", func() bool { o.look(); return o.open(cause) != "" })
	o.alert = cause
}

func (o *operator) closed(cause relay.AlertCause) {
	o.t.Helper()
	o.eventually(string(cause)+" is closed", func() bool { o.look(); return o.open(cause) == "" })
	require.Equal(o.t, "true", o.value(`select bool_or(closed_at is not null)::text from alerts where cause = $1`, string(cause)))
}

func (o *operator) alertID() (id int64) {
	o.t.Helper()
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `select id from alerts where cause = $1 and closed_at is null`, string(o.alert)).Scan(&id), o.alert)
	return id
}

// door stands before the warehouse: it can be closed, so that nobody answers, or refuse orders.
type door struct {
	t       *testing.T
	url     string
	address string
	proxy   *httputil.ReverseProxy
	server  *http.Server

	mu      sync.Mutex
	refusal string
	body    string // of the last order
}

func newDoor(t *testing.T, warehouse string) *door {
	to, err := url.Parse(warehouse)
	require.NoError(t, err)
	d := &door{t: t, address: fmt.Sprintf("127.0.0.1:%d", proctest.Port(t)), proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host }}}
	d.open()
	d.url = "http://" + d.address + to.Path
	t.Cleanup(d.close)
	return d
}

func (d *door) open() {
	l, err := net.Listen("tcp", d.address)
	require.NoError(d.t, err)
	d.address, d.server = l.Addr().String(), &http.Server{Handler: d}
	go d.server.Serve(l) //nolint:errcheck // close ends it
}

func (d *door) close() { require.NoError(d.t, d.server.Close()) }

// refuse has orders refused with a body; "" ends that.
func (d *door) refuse(body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = body
}

func (d *door) last() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.body
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/orders") {
		body, _ := io.ReadAll(r.Body)
		d.mu.Lock()
		d.body = string(body)
		refusal := d.refusal
		d.mu.Unlock()
		if refusal != "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, refusal)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	d.proxy.ServeHTTP(w, r)
}

// hook takes posts about alerts.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	posts []post
}

type post struct {
	header http.Header
	body   string
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.posts = append(h.posts, post{r.Header, string(body)})
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) last() post {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.posts[len(h.posts)-1]
}

// mailServer takes e-mail and keeps who it was for.
type mailServer struct {
	address string
	mu      sync.Mutex
	to      []string
}

func newMailServer(t *testing.T) *mailServer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &mailServer{address: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m
}

// serve speaks as much SMTP as a client needs (RFC 5321).
func (m *mailServer) serve(c net.Conn) {
	defer c.Close()
	say := func(line string) { _, _ = io.WriteString(c, line+"\r\n") }
	say("220 mail.test")
	message := false
	for lines := bufio.NewScanner(c); lines.Scan(); {
		line := lines.Text()
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); {
		case message:
			if line == "." {
				message = false
				say("250 taken")
			}
		case verb == "RCPT":
			m.mu.Lock()
			m.to = append(m.to, line)
			m.mu.Unlock()
			say("250 ok")
		case verb == "DATA":
			message = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (m *mailServer) received() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.to, " ")
}
