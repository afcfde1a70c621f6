// Package bergen connects to Bergen Logistics, a warehouse, through the public
// SOAP API of its system Rex11 (v3). wire/bergen-rex11.md says how it behaves.
//
// An order is a pick ticket there. Its number is ours and the idempotency key:
// it is made of the order's reference alone, stands in PickTicketNumber and again
// in OrderNumber, by which the service also searches; the cart's full number is
// the customer's purchase order. The submission's token is not sent: the number
// tells the order already, and all free text is read by people or printed.
//
// Accepted means received: tickets wait in a staging area and are imported later.
// Whether one was taken, refused at its import, or lacks stock is told by
// PullShipments. There is no OrderLister: the service lists tickets by date and
// status, and none of those lists bears a token.
//
// The service has no test mode. A connection in test mode needs the address of
// the staging service as its base URL.
package bergen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/postal"
	"orderferry/relay"
)

// Staging is the address of the service's test installation (section 2.1).
const Staging = "https://sync.rex11.com/ws/v3staging/publicapiws.asmx"

// Connector describes Bergen Logistics. Its connections are an OrderSink,
// OrderLookup, Canceller, ShipmentSource, InventorySource and SiteLister.
func Connector() connectors.Connector {
	return connectors.Connector{
		Name:    "bergen",
		Title:   "Bergen Logistics",
		Role:    connectors.Warehouse,
		BaseURL: "https://sync.rex11.com/ws/v3prod/publicapiws.asmx",
		Settings: []connectors.Setting{
			{Name: "warehouse", Required: true, Check: wordOf(warehouses()),
				Doc: "Warehouse that orders go to, such as BERGEN LOGISTICS NJ2."},
			{Name: "sites", Doc: "Names of the warehouses whose stock counts, separated by commas, or all; absent means the one that orders go to.", Check: siteList},
			{Name: "payment_terms", Default: "NET", Check: wordOf(paymentTerms()), Doc: "Payment terms of every ticket."},
			{Name: "billing_option", Default: "PREPAID", Check: wordOf(billingOptions()), Doc: "Who pays the carrier."},
			{Name: "ship_via", Doc: "Carrier for orders whose service names none, such as UPS; Bergen tells which ones the account has."},
			{Name: "ship_service", Doc: "Service of that carrier for orders without one, such as UPS GROUND - Commercial. A service of a ship method is written UPS/UPS GROUND - Commercial; one without a stroke goes by ship_via."},
			{Name: "ship_via_account", Doc: "Account number with the carrier, for third-party and collect billing."},
			{Name: "use_account_ups", Default: "false", Check: connectors.Bool, Doc: "Whether the account's own UPS number is used."},
			{Name: "account_prefix", Check: prefixSetting,
				Doc: "What Bergen puts before our numbers, such as ACME1A; absent means that it is learned from the first ticket that is read."},
			{Name: "number_length", Default: "14", Check: connectors.IntBetween(14, 40), Finds: true, Doc: "Most characters of a ticket's number, of which 14 were seen to work; a longer reference becomes a hash of that length."},
			{Name: "country_form", Default: countryName, Check: connectors.OneOf(countryName, countryCode), Doc: "How countries are written: name (United States) or code (US)."},
			{Name: "address_limits", Check: postal.CheckLimits,
				Doc: "Most characters of parts of an address, such as name 35, street1 35; Bergen names no limits. A street goes on in the second line, and an order that does not fit is held."},
			{Name: "answer_within", Default: "1h", Check: connectors.DurationBetween(time.Minute, 7*24*time.Hour), Doc: "How long the import of an order may take before people are called."},
			{Name: "silence_means_absent", Default: "false", Check: connectors.Bool,
				Doc: "Whether a ticket of which GetPickTicketAddStatus says nothing at all counts as unknown to it. Only then can an order be found surely absent where the service answers so."},
			{Name: "token_life", Default: "10m", Check: connectors.DurationBetween(time.Second, 24*time.Hour), Doc: "How long an authentication token is used before a new one is asked for."},
			{Name: "requests_per_second", Default: "2", Check: connectors.IntBetween(1, 1000), Doc: "Most requests a second; Bergen publishes no limit."},
			{Name: "timeout", Default: "60s", Check: connectors.DurationBetween(time.Second, 10*time.Minute), Doc: "Longest wait for one answer."},
			{Name: "order_reads", Default: "60", Check: connectors.IntBetween(1, 10000), Doc: "Most orders that are read one by one in one pull of shipments; the next pull goes on with others."},
			{Name: "list_days", Default: "3", Check: connectors.IntBetween(0, 31), Doc: "Days before yesterday that the lists of a pull of shipments reach back."},
			{Name: "first_batch", Default: "1", Check: connectors.IntBetween(0, 1), Doc: "Number of the first batch of stock."},
			{Name: "full_inventory_every", Default: "24h", Check: connectors.DurationBetween(0, 31*24*time.Hour), Doc: "How often all stock is read; in between only what changed. 0s means always."},
		},
		Credentials: []connectors.Setting{
			{Name: "web_address", Required: true, Doc: "Account Web Address, such as www.example.atworkweb.com; from Bergen's customer service."},
			{Name: "user_name", Required: true, Doc: "API Username; from Bergen's customer service."},
			{Name: "password", Required: true, Doc: "API Password; from Bergen's customer service."},
		},
		Advice: map[relay.Job]time.Duration{
			relay.PullShipments: 10 * time.Minute, // no limits are published: be modest
			relay.PullInventory: 15 * time.Minute,
		},
		Open: open,
	}
}

// The values of section 7.3, exactly so.

func warehouses() []string {
	return []string{
		"BERGEN LOGISTICS NJ", "BERGEN LOGISTICS WEST", "BERGEN LOGISTICS EU", "BERGEN LOGISTICS NJ2", "BERGEN LOGISTICS NJ3",
		"BERGEN LOGISTICS HK", "BERGEN LOGISTICS NJ3B", "BERGEN LOGISTICS CAN", "BERGEN LOGISTICS NL",
	}
}

func paymentTerms() []string { return []string{"PENDING", "NET", "COD", "CC", "WIRE"} }

func billingOptions() []string {
	return []string{"FREIGHT COLLECT ", "THIRD PARTY", "CONSIGNEE BILL", "PREPAID", "SENDER", "Recipient", "Collect Billing"}
}

// wordOf accepts one of the words, in any case and with any blanks.
func wordOf(words []string) func(string) error {
	return func(s string) error {
		if wireWord(words, s) == "" {
			return fmt.Errorf("%q: want one of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

// wireWord is the vendor's spelling of the word; "" when it is none of them.
func wireWord(words []string, s string) string {
	i := slices.IndexFunc(words, func(w string) bool { return canonical(w) == canonical(s) })
	if i < 0 {
		return ""
	}
	return words[i]
}

// canonical is one form of a name that the service writes in several: without
// outer and double blanks, in upper case.
func canonical(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), " ")) }

const allSites = "all"

func siteList(s string) error {
	if strings.EqualFold(strings.TrimSpace(s), allSites) {
		return nil
	}
	names := connectors.Values{"": s}.List("")
	if len(names) == 0 {
		return fmt.Errorf("%q: want names of warehouses, separated by commas, or all", s)
	}
	for _, name := range names {
		if err := wordOf(warehouses())(name); err != nil {
			return err
		}
	}
	return nil
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9]{1,12}$`)

func prefixSetting(s string) error {
	if !prefixForm.MatchString(s) {
		return fmt.Errorf("%q: want 1 to 12 letters and digits, such as ACME1A", s)
	}
	return nil
}

// connection is an open connection.
type connection struct {
	client  *client
	mode    relay.Mode
	log     *slog.Logger
	eastern *time.Location // the service's clock (section 11)

	ticket       ticketDefaults
	limits       postal.Limits
	numberLength int
	answerWithin time.Duration
	silentAbsent bool
	orderReads   int
	listDays     int
	sites        []string // canonical; empty: all
	firstBatch   int
	fullEvery    time.Duration

	mu       sync.Mutex
	prefix   string              // configured or learned; "" before
	stock    *reading            // the one whose pages are being handed out
	codes    map[string]struct{} // item codes of the last full reading
	statuses map[string]struct{} // unknown ones that were logged
}

// ticketDefaults are the parts of a ticket that settings decide.
type ticketDefaults struct {
	warehouse, paymentTerms, billingOption  string
	via, service, viaAccount, useAccountUPS string
	countryForm                             string
}

// unset names the settings that are not there for an order that names no carrier or service.
func (t ticketDefaults) unset() []string {
	var names []string
	if t.via == "" {
		names = append(names, "settings.ship_via")
	}
	if t.service == "" {
		names = append(names, "settings.ship_service")
	}
	return names
}

func open(cfg connectors.Config) (connectors.Connection, error) {
	if err := fits(cfg.Mode, cfg.BaseURL); err != nil {
		return nil, fmt.Errorf("open bergen: %w", err)
	}
	if cfg.Vault == nil {
		return nil, errors.New("open bergen: no vault to read the credentials from")
	}
	v := cfg.Settings
	durations := make(map[string]time.Duration)
	for _, name := range []string{"timeout", "token_life", "answer_within", "full_inventory_every"} {
		d, err := time.ParseDuration(v[name])
		if err != nil {
			return nil, fmt.Errorf("open bergen: settings.%s: %w", name, err)
		}
		durations[name] = d
	}
	limits, err := postal.ParseLimits(v["address_limits"])
	if err != nil {
		return nil, fmt.Errorf("open bergen: settings.address_limits: %w", err)
	}
	eastern, err := time.LoadLocation("America/New_York")
	if err != nil {
		return nil, fmt.Errorf("open bergen: %w", err)
	}
	useUPS := "0"
	if v.Bool("use_account_ups") {
		useUPS = "1"
	}
	return &connection{
		client: &client{
			address: cfg.BaseURL,
			http:    exchange.NewClient(cfg.Transport),
			limiter: rate.NewLimiter(rate.Limit(v.Int("requests_per_second")), 1),
			timeout: durations["timeout"],
			backoff: exchange.Backoff{First: 250 * time.Millisecond, Longest: 30 * time.Second},
			session: newSession(cfg.Vault, durations["token_life"]),
		},
		mode:    cfg.Mode,
		log:     cfg.Logger(),
		eastern: eastern,
		ticket: ticketDefaults{
			warehouse: wireWord(warehouses(), v["warehouse"]), paymentTerms: wireWord(paymentTerms(), v["payment_terms"]),
			billingOption: wireWord(billingOptions(), v["billing_option"]), via: tidy(v["ship_via"]), service: tidy(v["ship_service"]),
			viaAccount: tidy(v["ship_via_account"]), useAccountUPS: useUPS, countryForm: v["country_form"],
		},
		limits:       limits,
		numberLength: v.Int("number_length"),
		answerWithin: durations["answer_within"],
		silentAbsent: v.Bool("silence_means_absent"),
		orderReads:   v.Int("order_reads"),
		listDays:     v.Int("list_days"),
		sites:        sitesOf(v),
		firstBatch:   v.Int("first_batch"),
		fullEvery:    durations["full_inventory_every"],
		prefix:       v["account_prefix"],
		statuses:     make(map[string]struct{}),
	}, nil
}

// fits refuses to open a test connection to the production service and the
// other way round: nothing in an answer tells the two apart.
func fits(mode relay.Mode, base string) error {
	if mode != relay.ModeLive && mode != relay.ModeTest {
		return fmt.Errorf("mode %q: want live or test", mode)
	}
	if of := modeOf(base); of != "" && of != mode {
		return fmt.Errorf("base_url: %s is of mode %s and the connection of mode %s: a test connection needs %s", base, of, mode, Staging)
	}
	return nil
}

var modePath = regexp.MustCompile(`(?i)^/ws/v[0-9]+(prod|staging)/`)

// modeOf is the mode that an address of the service is known to be of; "" for others.
func modeOf(base string) relay.Mode {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	m := modePath.FindStringSubmatch(u.Path)
	switch {
	case m == nil:
		return ""
	case strings.EqualFold(m[1], "prod"):
		return relay.ModeLive
	}
	return relay.ModeTest
}

func sitesOf(v connectors.Values) []string {
	if v["sites"] == "" {
		return []string{canonical(v["warehouse"])}
	}
	if strings.EqualFold(strings.TrimSpace(v["sites"]), allSites) {
		return nil
	}
	var out []string
	for _, name := range v.List("sites") {
		out = append(out, canonical(name))
	}
	return out
}

// counts reports whether the stock of a site is wanted.
func (c *connection) counts(site string) bool {
	return len(c.sites) == 0 || slices.Contains(c.sites, site)
}

// Check logs in and reads a little stock, which names the account's warehouses.
func (c *connection) Check(ctx context.Context) (connectors.Report, error) {
	const op = "check connection"
	report := connectors.Report{Mode: modeOf(c.client.address)}
	who, err := c.client.session.credentials(ctx, op)
	if err != nil {
		return report, err
	}
	report.Account = who.account()
	if _, err := c.client.newToken(ctx, op); err != nil {
		return report, err
	}
	sites, items, err := c.sitesSeen(ctx, op)
	if err != nil {
		return report, err
	}
	for _, s := range sites {
		report.Details = append(report.Details, "warehouse "+s)
	}
	report.Details = append(report.Details, fmt.Sprintf("%d items in the first batch of stock", items))
	from, err := c.countedFrom(ctx, op)
	switch {
	case err != nil:
		return report, err
	case from != c.firstBatch:
		report.Missing = append(report.Missing, fmt.Sprintf("settings.first_batch is %d, and this service counts batches of stock from %d", c.firstBatch, from))
	case items == 0:
		report.Missing = append(report.Missing, "no items: orders and stock need products with UPCs at Bergen")
	}
	missing := func(setting, name string) {
		if items > 0 && !slices.Contains(sites, name) {
			report.Missing = append(report.Missing, fmt.Sprintf("%s names %s, which keeps no stock of this account", setting, name))
		}
	}
	missing("settings.warehouse", canonical(c.ticket.warehouse))
	for _, name := range c.sites {
		if name != canonical(c.ticket.warehouse) {
			missing("settings.sites", name)
		}
	}
	// A note, and nothing missing: the merchant's rules may name both for every ship method.
	switch unset := strings.Join(c.ticket.unset(), " and "); {
	case c.ticket.via == "":
		report.Details = append(report.Details, "without "+unset+" an order is held unless its ship method names carrier and service, such as "+exampleService)
	case c.ticket.service == "":
		report.Details = append(report.Details, "without "+unset+" an order is held that has no ship method")
	}
	return report, nil
}

// countedFrom looks from which number on the service counts its batches of stock;
// where nothing tells, it is as the setting says.
func (c *connection) countedFrom(ctx context.Context, op string) (int, error) {
	var codes [2][]string
	for number := range codes {
		got, _, err := c.batch(ctx, op, getBatch, number)
		switch {
		case stops(ctx, err):
			return 0, err
		case err != nil:
			return c.firstBatch, nil
		}
		for _, row := range got.items() {
			codes[number] = append(codes[number], canonical(row.Warehouse)+" "+row.UPC)
		}
	}
	switch {
	case len(codes[0])+len(codes[1]) == 0:
		return c.firstBatch, nil
	case len(codes[0]) == 0 || slices.Equal(codes[0], codes[1]): // 0 may be taken for none, and so for the first
		return 1, nil
	}
	return 0, nil
}

// Sites lists the warehouses that keep stock of the account which counts, by their
// names in capitals. An account without any item has the warehouse that orders go to.
func (c *connection) Sites(ctx context.Context) ([]connectors.Site, error) {
	names, _, err := c.sitesSeen(ctx, "list sites")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		names = []string{canonical(c.ticket.warehouse)}
	}
	var sites []connectors.Site
	for _, name := range names {
		if c.counts(name) {
			sites = append(sites, connectors.Site{ID: name, Name: name})
		}
	}
	return sites, nil
}

// sitesSeen reads the first batch of stock and counts its items. Stock comes
// grouped by warehouse, and each product once for every warehouse of the account
// (section 10.1): so one product names them all.
func (c *connection) sitesSeen(ctx context.Context, op string) (names []string, items int, err error) {
	first, _, err := c.batch(ctx, op, getBatch, c.firstBatch)
	if err != nil {
		return nil, 0, err
	}
	rows := first.items()
	items = len(rows)
	if i := slices.IndexFunc(rows, func(r itemXML) bool { return strings.TrimSpace(r.UPC) != "" }); i >= 0 {
		one, status, err := call[stockAnswer](ctx, c.client, op, getByUPCs, []string{strings.TrimSpace(rows[i].UPC)})
		if err == nil && len(one.failures()) > 0 {
			err = readError(op, status, one.failures())
		}
		if err != nil {
			return nil, 0, err
		}
		rows = append(slices.Clone(rows), one.items()...)
	}
	for _, r := range rows {
		if name := canonical(r.Warehouse); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, items, nil
}
