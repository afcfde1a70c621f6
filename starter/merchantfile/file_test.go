package merchantfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
	"orderferry/starter/merchantfile"
)

// registry has one connector of each role, with every kind of setting.
func registry() []connectors.Connector {
	return []connectors.Connector{
		{
			Name: "shop", Title: "Shop", Role: connectors.Cart, BaseURL: "https://api.shop.example", Divisible: true,
			Settings: []connectors.Setting{
				{Name: "location", Doc: "the shop's stock location", Required: true, Parts: true},
				{Name: "page", Doc: "orders a page", Default: "250", Check: connectors.IntBetween(1, 250)},
				{Name: "tags", Doc: "only orders with these tags"},
			},
			Credentials: []connectors.Setting{
				{Name: "token", Doc: "the access token of the shop's private app", Required: true, Check: noBlanks},
				{Name: "secret", Doc: "the webhook secret"},
			},
			Advice: map[relay.Job]time.Duration{relay.PullOrders: time.Minute},
		},
		{
			Name: "depot", Title: "Depot", Role: connectors.Warehouse, BaseURL: "https://depot.example/api",
			Settings: []connectors.Setting{{Name: "service", Doc: "the service for orders that name none"}},
			Credentials: []connectors.Setting{
				{Name: "key", Doc: "the API key", Required: true},
			},
			Advice: map[relay.Job]time.Duration{relay.PullShipments: time.Minute, relay.PullInventory: 5 * time.Minute},
		},
	}
}

// noBlanks quotes the value, as a careless connector may.
func noBlanks(s string) error {
	if strings.ContainsAny(s, " \n") {
		return fmt.Errorf("%q: want no blanks", s)
	}
	return nil
}

func env(name string) (string, bool) {
	v, ok := map[string]string{"SHOP_TOKEN": "tok-1", "DEPOT_KEY": "key-${SHOP_TOKEN}", "EMPTY": "", "BLANKS": "s3cret s3cret"}[name]
	return v, ok
}

func parse(text string) (merchantfile.File, []merchantfile.Fault) {
	return merchantfile.Parse("merchant.yaml", []byte(text), env, registry())
}

func printed(faults []merchantfile.Fault) []string {
	out := []string{}
	for _, f := range faults {
		out = append(out, f.Error())
	}
	return out
}

const whole = `# Acme sells through two shops.
id: acme
name: Acme, Inc.
zone: Europe/Berlin
resend_hour: 3
unaliased_skus: as_is
carts:
  - name: main
    connector: shop
    base_url: https://eu.shop.example/
    mode: test
    settings:
      location: 0123
      page: 100
      tags: [1]
    credentials: {token: "${SHOP_TOKEN}"}
    schedule:
      pull_orders: 2m
      push_shipments: auto
      push_inventory: 90s
  - name: outlet
    connector: shop
    settings: {location: true}
    credentials:
      token: a-${SHOP_TOKEN}-$${b}
      secret: |
        two
        lines
warehouse:
  name: east
  connector: depot
  settings:
    service: ground
  credentials:
    key: ${DEPOT_KEY}
  schedule: {submit_orders: auto, pull_shipments: 10m, pull_inventory: 1h}
`

func TestParseWholeFile(t *testing.T) {
	f, faults := parse(strings.Replace(whole, "[1]", "vip", 1))
	require.Empty(t, faults)
	require.Empty(t, f.Warnings)
	require.Equal(t, relay.Merchant{
		ID: "acme", Name: "Acme, Inc.", Unaliased: relay.SendUnaliased,
		Resend: relay.ResendClock{Hour: 3, Zone: "Europe/Berlin"},
		Carts: []relay.Connection{
			{
				Name: "main", Connector: "shop", BaseURL: "https://eu.shop.example", Mode: relay.ModeTest,
				Settings: map[string]string{"location": "0123", "page": "100", "tags": "vip"},
				Schedule: relay.Schedule{
					relay.PullOrders: relay.Every(2 * time.Minute), relay.PushShipments: relay.Auto,
					relay.PushInventory: relay.Every(90 * time.Second),
				},
			},
			{
				Name: "outlet", Connector: "shop", BaseURL: "https://api.shop.example", Mode: relay.ModeLive,
				Settings: map[string]string{"location": "true", "page": "250"},
			},
		},
		Warehouse: relay.Connection{
			Name: "east", Connector: "depot", BaseURL: "https://depot.example/api", Mode: relay.ModeLive,
			Settings: map[string]string{"service": "ground"},
			Schedule: relay.Schedule{
				relay.SubmitOrders: relay.Auto, relay.PullShipments: relay.Every(10 * time.Minute),
				relay.PullInventory: relay.Every(time.Hour),
			},
		},
	}, f.Merchant)
	require.Equal(t, map[relay.ConnectionName]connectors.Credentials{
		"main":   {"token": "tok-1"},
		"outlet": {"token": "a-tok-1-${b}", "secret": "two\nlines\n"},
		"east":   {"key": "key-${SHOP_TOKEN}"}, // what a variable holds is not expanded again
	}, f.Credentials)
}

const small = `id: acme
carts:
- name: main
  connector: shop
  settings: {location: L1}
  credentials: {token: abc}
warehouse:
  connector: depot
  credentials: {key: def}
`

func TestParseDefaults(t *testing.T) {
	f, faults := parse(small)
	require.Empty(t, faults)
	require.Equal(t, "acme", f.Merchant.Name)
	require.Equal(t, relay.ResendClock{Hour: 1, Zone: "America/Los_Angeles"}, f.Merchant.Resend)
	require.Equal(t, relay.HoldUnaliased, f.Merchant.Unaliased)
	require.Equal(t, relay.ConnectionName("warehouse"), f.Merchant.Warehouse.Name)
	require.Equal(t, relay.ModeLive, f.Merchant.Warehouse.Mode)
	require.Empty(t, f.Merchant.Warehouse.Schedule)
	require.Equal(t, connectors.Credentials{"key": "def"}, f.Credentials["warehouse"])
}

func TestParseWindowsText(t *testing.T) {
	f, faults := parse("\ufeff" + strings.ReplaceAll(small, "\n", "\r\n"))
	require.Empty(t, faults)
	require.Equal(t, relay.MerchantID("acme"), f.Merchant.ID)
}

func TestAdviceIsAWarning(t *testing.T) {
	f, faults := parse(small + "  schedule:\n    pull_shipments: 59s\n    pull_inventory: 5m\n")
	require.Empty(t, faults)
	require.Equal(t, []string{
		"merchant.yaml:11:5: warehouse.schedule.pull_shipments: every 59s is more often than is advised for Depot: want 1m or more",
	}, printed(f.Warnings))
	require.Equal(t, relay.Every(59*time.Second), f.Merchant.Warehouse.Schedule[relay.PullShipments])
}

// The default of a job may be too fast for a slow vendor too.
func TestAdviceCoversDefaults(t *testing.T) {
	slow := registry()
	slow[0].Advice = map[relay.Job]time.Duration{relay.PullOrders: time.Hour, relay.PushShipments: time.Hour}
	f, faults := merchantfile.Parse("merchant.yaml", []byte(small), env, slow)
	require.Empty(t, faults)
	require.Equal(t, []string{
		"merchant.yaml:3:3: carts[0].schedule.pull_orders: every 5m is more often than is advised for Shop: want 1h or more",
	}, printed(f.Warnings))
}

const besideATest = "live, and the warehouse is in mode test: the shop would be told of parcels that do not exist, and of the test's stock. " +
	"Want mode test here too, for an account that is only for tests, or a live warehouse"

// A test account may send into a live warehouse: then somebody means it to be shipped.
func TestTestCartBesideEitherWarehouse(t *testing.T) {
	for _, warehouse := range []string{"live", "test"} {
		_, faults := parse(strings.Replace(small, "connector: shop", "connector: shop\n  mode: test", 1) + "  mode: " + warehouse + "\n")
		require.Empty(t, faults)
	}
}

// Promise 1: two carts that read the same orders have each of them shipped twice.
func TestOneAccountIsOneCart(t *testing.T) {
	second := func(more string) []string {
		_, faults := parse(strings.Replace(small, "warehouse:", `- name: other
  connector: shop
`+more+"warehouse:", 1))
		return printed(faults)
	}
	const found = "merchant.yaml:7:3: carts[1]: the same account as the cart on line 3, and every order would be shipped twice: "
	const want = "want one cart an account, or another settings.location at each, " +
		"or filters that no order passes both of: filter.locations with none in common, or filter.tags that are all among the other's filter.not_tags"
	require.Equal(t, []string{found + want}, second("  settings: {location: L1, page: 10}\n  credentials: {token: abc}\n"))
	require.Equal(t, []string{found + want}, second("  settings: {location: L1}\n  credentials: {token: abc}\n  filter: {tags: [vip]}\n"), "the first reads all")
	require.Empty(t, second("  settings: {location: L2}\n  credentials: {token: abc}\n"), "the locations share no order")
	require.Empty(t, second("  settings: {location: L1}\n  credentials: {token: abd}\n"), "another account")
	require.Empty(t, second("  base_url: https://eu.shop.example\n  settings: {location: L1}\n  credentials: {token: abc}\n"), "another server")
	require.Equal(t, []string{"merchant.yaml:10:24: carts[1].credentials.token: environment variable NONE is not set"},
		second("  settings: {location: L1}\n  credentials: {token: \"${NONE}\"}\n"), "what it would be is not known")
}

// Carts may divide an account by their filters, as long as each location's stock is set by one.
func TestADividedAccount(t *testing.T) {
	divided := func(first, second string) []string {
		_, faults := parse(strings.NewReplacer("warehouse:", `  filter: {tags: [vip]}
- name: other
  connector: shop
  settings: {location: L1}
  credentials: {token: abc}
  filter: {not_tags: [vip]}
`+second+"warehouse:", "  settings: {location: L1}\n", "  settings: {location: L1}\n"+first).Replace(small))
		return printed(faults)
	}
	clash := func(line int, location string) []string {
		return []string{fmt.Sprintf("merchant.yaml:%d:3: carts[1]: the same account as the cart on line 3, and each would set the stock of location %s over the other's figures: ", line, location) +
			"want one to leave it alone, by an empty list of its sites, such as stock.sites: [], or another settings.location at each"}
	}
	require.Equal(t, clash(8, "L1"), divided("", ""))
	require.Empty(t, divided("", "  stock: {sites: []}\n"))
	require.Empty(t, divided("  stock: {sites: []}\n", ""))
	require.Empty(t, divided("", "  stock: {sites: [], locations: {L2: [WEST]}}\n"))
	require.Empty(t, divided("  stock: {locations: {L2: []}}\n", "  stock: {sites: [], locations: {L2: [WEST]}}\n"), "the first names it for its orders only")
	require.Equal(t, clash(9, "L2"), divided("  stock: {locations: {L2: [EAST]}}\n", "  stock: {sites: [], locations: {L2: [WEST]}}\n"))
}

func TestEveryFaultHasItsPlace(t *testing.T) {
	change := func(old, now string) string {
		require.Equal(t, 1, strings.Count(small, old), "%q", old)
		return strings.Replace(small, old, now, 1)
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty": {"", []string{"merchant.yaml:1:1: the file says nothing: want id, carts and warehouse"}},
		"only a comment": {"# later\n", []string{
			"merchant.yaml:1:1: the file says nothing: want id, carts and warehouse"}},
		"a list": {"- id: acme\n", []string{"merchant.yaml:1:1: want a mapping with id, carts and warehouse, got a list"}},
		"text":   {"acme\n", []string{"merchant.yaml:1:1: want a mapping with id, carts and warehouse, got text"}},
		"nothing in it": {"{}\n", []string{
			"merchant.yaml:1:1: id: missing: the merchant's short name, such as acme",
			"merchant.yaml:1:1: carts: missing: a list of one cart or more",
			"merchant.yaml:1:1: warehouse: missing: the connection that orders are submitted to",
		}},
		"two documents": {small + "---\nid: other\n", []string{"merchant.yaml:11:3: a second document: want one merchant a file"}},
		"a directive":   {"%YAML 1.2\n---\n" + small, []string{"merchant.yaml:1:1: directives are not accepted"}},
		"no YAML":       {"id: \"acme\n", []string{"merchant.yaml:1:5: not YAML: could not find end character of double-quoted text"}},
		"a tab":         {"id: acme\ncarts:\n\t- name: main\n", []string{"merchant.yaml:3:1: not YAML: a tab: indent with blanks"}},
		"a tab further": {change("  settings", "  \tsettings"), []string{"merchant.yaml:5:3: not YAML: a tab: indent with blanks"}},
		"not UTF-8":     {"id: acme\nname: caf\xe9\n", []string{"merchant.yaml:2:10: not UTF-8 text"}},
		"too long":      {"#" + strings.Repeat("x", 65_536), []string{"merchant.yaml:1:1: the file has 65537 bytes: want 65536 at most"}},
		"brackets":      {strings.Repeat("[", 1001), []string{"merchant.yaml:1:1: more than 1000 brackets"}},
		"deep": {"id: " + strings.Repeat("[", 9) + strings.Repeat("]", 9), []string{
			"merchant.yaml:1:1: carts: missing: a list of one cart or more",
			"merchant.yaml:1:1: id: want text, got a list",
			"merchant.yaml:1:1: warehouse: missing: the connection that orders are submitted to",
			"merchant.yaml:1:13: id[0][0][0][0][0][0][0][0]: nested too deep",
		}},

		"bad id":             {change("acme", "Acme"), []string{"merchant.yaml:1:5: id: merchant id \"Acme\": want 1 to 40 characters of a-z, 0-9 and inner -"}},
		"id is a list":       {change("acme", "[acme]"), []string{"merchant.yaml:1:1: id: want text, got a list"}},
		"id is empty":        {change("acme", ""), []string{"merchant.yaml:1:1: id: empty: give it a value or leave it out"}},
		"key given twice":    {change("id: acme", "id: acme\nid: beta"), []string{"merchant.yaml:2:1: id: given twice: also on line 1"}},
		"setting twice":      {change("{location: L1}", "{location: L1, location: L2}"), []string{"merchant.yaml:5:28: carts[0].settings.location: given twice: also on line 5"}},
		"unknown key":        {change("id: acme", "id: acme\nwearhouse: 1"), []string{"merchant.yaml:2:1: wearhouse: unknown: want one of id, name, zone, resend_hour, unaliased_skus, carts, warehouse, alerts"}},
		"key is a number":    {change("id: acme", "id: acme\n7: 1"), []string{"merchant.yaml:2:1: 7: unknown: want one of id, name, zone, resend_hour, unaliased_skus, carts, warehouse, alerts"}},
		"zone":               {change("id: acme", "id: acme\nzone: Mars/Olympus"), []string{"merchant.yaml:2:7: zone: time zone \"Mars/Olympus\": want a name of the tz database, such as America/Los_Angeles"}},
		"zone of this host":  {change("id: acme", "id: acme\nzone: Local"), []string{"merchant.yaml:2:7: zone: time zone \"Local\": want a name of the tz database, such as America/Los_Angeles"}},
		"hour":               {change("id: acme", "id: acme\nresend_hour: 24"), []string{"merchant.yaml:2:14: resend_hour: \"24\": want a whole number from 0 to 23"}},
		"hour in words":      {change("id: acme", "id: acme\nresend_hour: 1 AM"), []string{"merchant.yaml:2:14: resend_hour: \"1 AM\": want a whole number from 0 to 23"}},
		"hour and zone":      {change("id: acme", "id: acme\nresend_hour: -1\nzone: x"), []string{"merchant.yaml:2:14: resend_hour: \"-1\": want a whole number from 0 to 23", "merchant.yaml:3:7: zone: time zone \"x\": want a name of the tz database, such as America/Los_Angeles"}},
		"unaliased":          {change("id: acme", "id: acme\nunaliased_skus: send"), []string{"merchant.yaml:2:17: unaliased_skus: \"send\": want hold or as_is"}},
		"carts is a mapping": {change("- name: main\n  connector", "  name: main\n  connector"), []string{"merchant.yaml:2:1: carts: want a list of one cart or more, got a mapping"}},
		"no carts":           {"id: acme\ncarts: []\nwarehouse: {connector: depot, credentials: {key: k}}\n", []string{"merchant.yaml:2:1: carts: want a list of one cart or more, got an empty list"}},
		"carts say nothing":  {"id: acme\ncarts:\nwarehouse: {connector: depot, credentials: {key: k}}\n", []string{"merchant.yaml:2:1: carts: want a list of one cart or more, got nothing"}},
		"a cart is text":     {"id: acme\ncarts: [shop]\nwarehouse: {connector: depot, credentials: {key: k}}\n", []string{"merchant.yaml:2:9: carts[0]: want a mapping, got text"}},
		"warehouse is text":  {change("warehouse:\n  connector: depot\n  credentials: {key: def}", "warehouse: depot"), []string{"merchant.yaml:7:1: warehouse: want a mapping, got text"}},
		"warehouse is empty": {change("\n  connector: depot\n  credentials: {key: def}", ""), []string{"merchant.yaml:7:1: warehouse.connector: missing: want one of depot"}},
		"cart without name":  {change("name: main", "mode: live"), []string{"merchant.yaml:3:3: carts[0].name: missing: a short name, such as main"}},
		"bad name":           {change("main", "Main Shop"), []string{"merchant.yaml:3:9: carts[0].name: connection name \"Main Shop\": want 1 to 40 characters of a-z, 0-9 and inner -"}},
		"one name for two":   {change("main", "warehouse"), []string{"merchant.yaml:7:1: warehouse.name: warehouse is also the name of the connection on line 3"}},
		"unknown connector":  {change("depot", "dpeot"), []string{"merchant.yaml:8:14: warehouse.connector: \"dpeot\" is unknown: want one of depot"}},
		"cart as warehouse":  {change("depot", "shop"), []string{"merchant.yaml:8:14: warehouse.connector: Shop is a cart, not a warehouse: want one of depot"}},
		"warehouse as cart":  {change("connector: shop", "connector: depot"), []string{"merchant.yaml:4:14: carts[0].connector: Depot is a warehouse, not a cart: want one of shop"}},
		"live beside a test": {change("connector: depot", "connector: depot\n  mode: test"), []string{"merchant.yaml:3:3: carts[0].mode: " + besideATest}},
		"said to be live": {change("connector: shop", "connector: shop\n  mode: live") + "  mode: test\n", []string{
			"merchant.yaml:5:3: carts[0].mode: " + besideATest}},
		"mode":              {change("connector: depot", "connector: depot\n  mode: dry"), []string{"merchant.yaml:9:9: warehouse.mode: mode \"dry\": want live or test"}},
		"base URL":          {change("connector: depot", "connector: depot\n  base_url: ftp://me:hush@depot.example"), []string{"merchant.yaml:9:3: warehouse.base_url: want an http or https address without user, query or fragment, such as https://depot.example/api"}},
		"unknown setting":   {change("connector: depot", "connector: depot\n  settings:\n    servce: ground"), []string{"merchant.yaml:10:5: warehouse.settings.servce: unknown: want one of service"}},
		"refused setting":   {change("L1", "L1, page: 251"), []string{"merchant.yaml:5:28: carts[0].settings.page: \"251\": want a whole number from 1 to 250"}},
		"missing setting":   {change("{location: L1}", "{page: 10}"), []string{"merchant.yaml:5:3: carts[0].settings.location: missing: the shop's stock location"}},
		"missing settings":  {change("  settings: {location: L1}\n", ""), []string{"merchant.yaml:3:3: carts[0].settings.location: missing: the shop's stock location"}},
		"setting is a list": {change("{location: L1}", "{location: [L1]}"), []string{"merchant.yaml:5:14: carts[0].settings.location: want text, got a list"}},
		"setting is empty":  {change("{location: L1}", "{location: ''}"), []string{"merchant.yaml:5:14: carts[0].settings.location: empty: give it a value or leave it out"}},
		"settings are text": {change("{location: L1}", "L1"), []string{"merchant.yaml:5:3: carts[0].settings: want a mapping, got text"}},
		"control character": {change("L1", `"a\0b"`), []string{"merchant.yaml:5:24: carts[0].settings.location: holds a control character"}},

		"no credentials":        {change("  credentials: {key: def}\n", ""), []string{"merchant.yaml:7:1: warehouse.credentials.key: missing: the API key"}},
		"empty credentials":     {change("{key: def}", "{}"), []string{"merchant.yaml:9:3: warehouse.credentials.key: missing: the API key"}},
		"unknown credential":    {change("{key: def}", "{key: def, kye: hush}"), []string{"merchant.yaml:9:27: warehouse.credentials.kye: unknown: want one of key"}},
		"credentials are text":  {change("{key: def}", "hush"), []string{"merchant.yaml:9:3: warehouse.credentials: want a mapping, got text"}},
		"unset variable":        {change("def", "\"${NOT_SET}\""), []string{"merchant.yaml:9:22: warehouse.credentials.key: environment variable NOT_SET is not set"}},
		"empty variable":        {change("def", "\"${EMPTY}\""), []string{"merchant.yaml:9:22: warehouse.credentials.key: environment variable EMPTY is empty"}},
		"open variable":         {change("def", "\"hush${DEPOT_KEY\""), []string{"merchant.yaml:9:22: warehouse.credentials.key: want ${NAME} with the name of an environment variable; write $${ where ${ itself is meant"}},
		"no variable's name":    {change("def", "\"${hush-hush}\""), []string{"merchant.yaml:9:22: warehouse.credentials.key: want ${NAME} with the name of an environment variable; write $${ where ${ itself is meant"}},
		"refused credential":    {change("abc", "\"hush hush\""), []string{"merchant.yaml:6:17: carts[0].credentials.token: not accepted: want the access token of the shop's private app"}},
		"refused variable":      {change("abc", "\"${BLANKS}\""), []string{"merchant.yaml:6:17: carts[0].credentials.token: not accepted: want the access token of the shop's private app"}},
		"secret after a pipe":   {change("{key: def}", "\n    key: |hush\n      more"), []string{"merchant.yaml:10:10: not YAML: invalid header option"}},
		"secret after a colon":  {change("{key: def}", "\n    key: a: hush"), []string{"merchant.yaml:10:10: not YAML: mapping value is not allowed in this context"}},
		"secret with bad quote": {change("def", "\"hush\\q\""), []string{"merchant.yaml:9:28: not YAML: found unknown escape character 'q'"}},

		"job of the other side": {small + "  schedule: {pull_orders: 5m}\n", []string{"merchant.yaml:10:14: warehouse.schedule.pull_orders: not a job of a warehouse: want one of submit_orders, pull_shipments, pull_inventory, reconcile"}},
		"auto pull":             {small + "  schedule: {pull_inventory: auto}\n", []string{"merchant.yaml:10:30: warehouse.schedule.pull_inventory: \"auto\": nothing tells us when there is something to do; want a duration of 1s or more, such as 5m"}},
		"interval":              {small + "  schedule: {pull_inventory: 5}\n", []string{"merchant.yaml:10:30: warehouse.schedule.pull_inventory: \"5\": want auto or a duration from 1s to 168h, such as 5m"}},
		"schedule is a list":    {small + "  schedule: [5m]\n", []string{"merchant.yaml:10:3: warehouse.schedule: want a mapping, got a list"}},

		"anchor": {change("acme", "&a acme"), []string{"merchant.yaml:1:5: id: anchors, aliases and merges are not accepted: write it out"}},
		"alias":  {change("name: main", "name: *a"), []string{"merchant.yaml:3:9: carts[0].name: anchors, aliases and merges are not accepted: write it out"}},
		"merge":  {change("id: acme", "id: acme\n<<: {name: x}"), []string{"merchant.yaml:2:1: anchors, aliases and merges are not accepted: write it out"}},
		"tag":    {change("acme", "!!str acme"), []string{"merchant.yaml:1:5: id: tags are not accepted"}},
		"many": {"id: A\nzone: B\ncarts:\n- name: main\n  connector: shop\n  mode: c\n  settings: {page: d}\nwarehouse:\n  connector: e\n", []string{
			"merchant.yaml:1:5: id: merchant id \"A\": want 1 to 40 characters of a-z, 0-9 and inner -",
			"merchant.yaml:2:7: zone: time zone \"B\": want a name of the tz database, such as America/Los_Angeles",
			"merchant.yaml:4:3: carts[0].credentials.token: missing: the access token of the shop's private app",
			"merchant.yaml:6:9: carts[0].mode: mode \"c\": want live or test",
			"merchant.yaml:7:3: carts[0].settings.location: missing: the shop's stock location",
			"merchant.yaml:7:14: carts[0].settings.page: \"d\": want a whole number from 1 to 250",
			"merchant.yaml:9:14: warehouse.connector: \"e\" is unknown: want one of depot",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f, faults := parse(c.text)
			require.ElementsMatch(t, c.want, printed(faults))
			require.Zero(t, f.Merchant)
			require.Nil(t, f.Credentials)
			for _, fault := range faults {
				require.NotContains(t, fault.Error(), "hush")
				require.NotContains(t, fault.Error(), "s3cret")
			}
		})
	}
}

// A billion laughs cost nothing: no alias is ever followed.
func TestAliasBombIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 lol\n")
	for i := 1; i < 20; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	_, faults := parse(b.String())
	require.NotEmpty(t, faults)
	require.Contains(t, printed(faults), "merchant.yaml:20:6: a19: anchors, aliases and merges are not accepted: write it out")
}

func TestNoConnectors(t *testing.T) {
	_, faults := merchantfile.Parse("m.yaml", []byte(small), env, nil)
	require.Equal(t, []string{
		`m.yaml:4:14: carts[0].connector: "shop" is unknown: there are none`,
		`m.yaml:8:14: warehouse.connector: "depot" is unknown: there are none`,
	}, printed(faults))
}

func TestFaultIsAnError(t *testing.T) {
	_, faults := parse("")
	var fault merchantfile.Fault
	require.ErrorAs(t, errors.Join(faults[0]), &fault)
	require.Equal(t, 1, fault.Line)
}

// FuzzParse: no file panics, hangs or shows a credential, and every place is in the file.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add(small)
	f.Add("id: [")
	f.Add("a: &a [*a, *a]\n<<: *a\n")
	f.Add("? a\n: b\n--- |\n x\n...\n%YAML 1.2")
	f.Add(small + "  schedule: {pull_inventory: 5m}\n  mode: !!str test\n")
	f.Add(ruled)
	const secret = "hush-hush-hush"
	lookup := func(string) (string, bool) { return secret + " x", true }
	f.Fuzz(func(t *testing.T, text string) {
		file, faults := merchantfile.Parse("m", []byte(text), lookup, registry())
		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
		for _, fault := range append(faults, file.Warnings...) {
			if strings.Contains(text, secret) {
				continue
			}
			require.NotContains(t, fault.Error(), secret)
			require.Positive(t, fault.Line)
			require.Positive(t, fault.Column)
			require.LessOrEqual(t, fault.Line, len(lines)+1)
			require.NotEmpty(t, fault.Message)
		}
		if len(faults) > 0 {
			require.Empty(t, file.Merchant.ID)
			return
		}
		require.NotEmpty(t, file.Merchant.Carts)
		require.Len(t, file.Credentials, len(file.Merchant.Carts)+1)
		id, err := relay.ParseMerchantID(string(file.Merchant.ID))
		require.NoError(t, err)
		require.Equal(t, id, file.Merchant.ID)
		require.NoError(t, file.Merchant.Resend.Check())
	})
}
