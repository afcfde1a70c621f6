// Package easypost connects to EasyPost Fulfillment, a warehouse. Orders, stock
// and cancels go through its fulfillment API with a client of our own; tracking,
// address checks and webhooks through the vendor's SDK, which serves nothing
// else. All is polled: Orderferry has no address that takes webhooks, so those are
// for a program that has one. wire/easypost-fulfillment.md says how both behave.
package easypost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/postal"
	"orderferry/relay"
)

// Connector describes EasyPost Fulfillment. Its connections are an OrderSink,
// OrderLookup, Canceller, ShipmentSource, InventorySource, SiteLister,
// AddressChecker and PackageTracker. For a program that takes webhooks, they have
//
//	RegisterWebhook(ctx context.Context, address, secret string) (id string, err error)
func Connector() connectors.Connector {
	return connectors.Connector{
		Name:    "easypost",
		Title:   "EasyPost Fulfillment",
		Role:    connectors.Warehouse,
		BaseURL: "https://api.easypost.com/fulfillment/vendor/v2",
		Settings: []connectors.Setting{
			{Name: "service", Default: "standard", Doc: "Service for orders whose ship method names none; sent in lower case."},
			{Name: "sites", Doc: "Ids of the warehouses whose stock counts, separated by commas; absent means all that are enabled."},
			{Name: "quantity_means", Default: string(connectors.NetOfOrders), Check: connectors.OneOf(string(connectors.NetOfOrders), string(connectors.OnHand)),
				Doc: "Whether stock figures already leave out accepted, unshipped orders: available or on_hand."},
			{Name: "check_addresses", Default: "false", Check: connectors.Bool,
				Doc: "Whether an address is verified before the order is sent; EasyPost may bill it."},
			{Name: "address_limits", Check: postal.CheckLimits,
				Doc: "Most characters of parts of an address, such as name 35, street1 35; EasyPost names no limits. A street goes on in the second line, and an order that does not fit is held."},
			{Name: "track", Default: trackKnown, Check: connectors.OneOf(trackKnown, trackCreate, trackOff),
				Doc: "Which packages are followed after they left: known (those that have a tracker), create (all; a new tracker may be billed) or off."},
			{Name: "requests_per_second", Default: "4", Check: connectors.IntBetween(1, 1000), Doc: "Most requests a second."},
			{Name: "timeout", Default: "30s", Check: connectors.DurationBetween(time.Second, 10*time.Minute), Doc: "Longest wait for one answer."},
			{Name: "page_size", Default: "250", Check: connectors.IntBetween(1, 300), Doc: "Rows asked for in one page of a list."},
			{Name: "first_page", Default: "0", Check: connectors.IntBetween(0, 1), Doc: "Number of the first page of a list; a list that counts from 1 is read with 0 as well."},
			{Name: "inventory_chunk", Default: "25", Check: connectors.IntBetween(1, 28), Doc: "Products whose stock is asked for in one request."},
			{Name: "lookup_by_query", Default: "true", Check: connectors.Bool, Doc: "Whether a doubtful order is searched for by its token before the list of orders is read."},
			{Name: "lookup_pages", Default: "20", Check: connectors.IntBetween(1, 1000), Doc: "Most pages of orders that are read to look for doubtful orders."},
			{Name: "order_reads", Default: "240", Check: connectors.IntBetween(1, 10000), Doc: "Most orders that are read one by one in one pull of shipments; the next pull goes on with the others."},
			{Name: "shipping_base_url", Check: webAddress, Doc: "Address of EasyPost's shipping API; absent means /v2/ on the host of the base URL."},
			{Name: "cancelled_statuses", Default: "cancelled,canceled,deleted,refunded,voided", Check: wordList, Doc: "Statuses that mean cancelled, separated by commas."},
			{Name: "shipped_statuses", Default: "shipped,complete,completed,fulfilled,delivered", Check: wordList, Doc: "Statuses that mean that all has shipped, separated by commas."},
			{Name: "trouble_statuses", Default: "hold,backorder,error,fail,reject", Check: wordList, Doc: "Parts of a status that mean that an order is stuck, separated by commas."},
			{Name: "stock_tokens", Default: "INVENTOR,STOCK,BACKORDER,INSUFFICIENT,NOT ENOUGH", Check: wordList, Doc: "Parts of a refusal's code, message or inner errors that mean too little stock, separated by commas."},
			{Name: "item_tokens", Default: "BARCODE,PRODUCT,LINE_ITEM", Check: wordList, Doc: "Parts that mean an unknown item, separated by commas."},
			{Name: "address_tokens", Default: "ADDRESS,DESTINATION,ZIP,STREET,STATE,COUNTRY", Check: wordList, Doc: "Parts that mean a bad address, separated by commas."},
			{Name: "service_tokens", Default: "SERVICE", Check: wordList, Doc: "Parts that mean an unknown service, separated by commas."},
		},
		Credentials: []connectors.Setting{
			{Name: "production_key", Doc: "Production API key, needed in live mode; EasyPost's dashboard shows it under API keys."},
			{Name: "test_key", Doc: "Test API key, needed in test mode; EasyPost's dashboard shows it under API keys."},
		},
		Advice: map[relay.Job]time.Duration{
			relay.PullShipments: 10 * time.Minute, // section 12: poll open orders every 10 to 30 minutes
			relay.PullInventory: 5 * time.Minute,
		},
		Open: open,
	}
}

func wordList(s string) error {
	if len(connectors.Values{"": s}.List("")) == 0 {
		return fmt.Errorf("%q: want one or more words, separated by commas", s)
	}
	return nil
}

func webAddress(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want an http or https address without user, query or fragment, such as https://api.easypost.com/v2/")
	}
	return nil
}

// connection is an open connection.
type connection struct {
	client *client
	sdk    *adapter
	mode   relay.Mode
	log    *slog.Logger
	tokens tokens

	service        string
	sites          []string
	meaning        connectors.StockMeaning
	chunk          int
	byQuery        bool
	lookupPages    int
	orderReads     int
	checkAddresses bool
	limits         postal.Limits
	track          string
	cancelled      []string
	shipped        []string
	trouble        []string

	mu       sync.Mutex
	products *catalogue          // as last read; nil before
	statuses map[string]struct{} // unknown ones that were logged
}

func open(cfg connectors.Config) (connectors.Connection, error) {
	if cfg.Mode != relay.ModeLive && cfg.Mode != relay.ModeTest {
		return nil, fmt.Errorf("open easypost: mode %q: want live or test", cfg.Mode)
	}
	if cfg.Vault == nil {
		return nil, errors.New("open easypost: no vault to read the keys from")
	}
	v := cfg.Settings
	timeout, err := time.ParseDuration(v["timeout"])
	if err != nil {
		return nil, fmt.Errorf("open easypost: settings.timeout: %w", err)
	}
	limits, err := postal.ParseLimits(v["address_limits"])
	if err != nil {
		return nil, fmt.Errorf("open easypost: settings.address_limits: %w", err)
	}
	shipping, err := shippingBase(cfg.BaseURL, v["shipping_base_url"])
	if err != nil {
		return nil, fmt.Errorf("open easypost: %w", err)
	}
	c := &client{
		base:      strings.TrimRight(cfg.BaseURL, "/"),
		http:      exchange.NewClient(cfg.Transport),
		key:       keyOf(cfg),
		limiter:   rate.NewLimiter(rate.Limit(v.Int("requests_per_second")), 1),
		lists:     make(chan struct{}, 1),
		timeout:   timeout,
		backoff:   exchange.Backoff{First: 250 * time.Millisecond, Longest: 30 * time.Second},
		pageSize:  v.Int("page_size"),
		firstPage: v.Int("first_page"),
	}
	return &connection{
		client: c,
		sdk:    &adapter{fulfillment: c, base: shipping, transport: c.http.Transport},
		mode:   cfg.Mode,
		log:    cfg.Logger(),
		tokens: tokens{
			stock: upper(v.List("stock_tokens")), item: upper(v.List("item_tokens")),
			address: upper(v.List("address_tokens")), service: upper(v.List("service_tokens")),
		},
		service:        v["service"],
		sites:          v.List("sites"),
		meaning:        connectors.StockMeaning(v["quantity_means"]),
		chunk:          v.Int("inventory_chunk"),
		byQuery:        v.Bool("lookup_by_query"),
		lookupPages:    v.Int("lookup_pages"),
		orderReads:     v.Int("order_reads"),
		checkAddresses: v.Bool("check_addresses"),
		limits:         limits,
		track:          v["track"],
		cancelled:      lower(v.List("cancelled_statuses")),
		shipped:        lower(v.List("shipped_statuses")),
		trouble:        lower(v.List("trouble_statuses")),
		statuses:       make(map[string]struct{}),
	}, nil
}

// shippingBase returns the address of the shipping API, ending with "/".
func shippingBase(base, setting string) (*url.URL, error) {
	if setting == "" {
		front, _, found := strings.Cut(base, "/fulfillment/")
		if !found {
			u, err := url.Parse(base)
			if err != nil {
				return nil, fmt.Errorf("base_url: %w", err)
			}
			front = u.Scheme + "://" + u.Host
		}
		setting = front + "/v2/"
	}
	return url.Parse(strings.TrimRight(setting, "/") + "/")
}

// keyOf reads the key of the configured mode whenever one is needed, so that a
// key that was changed is used at once.
func keyOf(cfg connectors.Config) func(context.Context) (string, error) {
	name := "production_key"
	if cfg.Mode == relay.ModeTest {
		name = "test_key"
	}
	return func(ctx context.Context) (string, error) {
		credentials, err := cfg.Vault.Read(ctx)
		if err != nil {
			return "", err
		}
		key := strings.TrimSpace(credentials[name])
		if key == "" {
			return "", &relay.Error{Kind: relay.Unauthorised, Op: "read the key",
				Err: fmt.Errorf("no credential %s, which %s mode needs", name, cfg.Mode)}
		}
		return key, nil
	}
}

func upper(words []string) []string {
	for i, w := range words {
		words[i] = strings.ToUpper(w)
	}
	return words
}

func lower(words []string) []string {
	for i, w := range words {
		words[i] = strings.ToLower(w)
	}
	return words
}

// wrongMode refuses what belongs to the other mode (section 1). Objects that
// name no mode pass.
func (c *connection) wrongMode(op string, modes ...text) error {
	for _, m := range modes {
		if m == "" || modeOf(m) == c.mode {
			continue
		}
		return &relay.Error{Kind: relay.Unauthorised, Op: op,
			Err: fmt.Errorf("the answer is of mode %s, the connection of mode %s", wordOr(string(m), "(unreadable)"), c.mode)}
	}
	return nil
}

// modeOf reads the vendor's word; a word we do not know is a mode that is neither of ours.
func modeOf(m text) relay.Mode {
	word := strings.ToLower(string(m))
	if mode, err := relay.ParseMode(word); err == nil {
		return mode
	}
	return relay.Mode(word)
}

// Check reads the warehouses and the first products.
func (c *connection) Check(ctx context.Context) (connectors.Report, error) {
	report := connectors.Report{Mode: c.mode}
	warehouses, err := c.warehouses(ctx, "check connection")
	if err != nil {
		return report, err
	}
	query := c.client.window()
	query.Set("page", strconv.Itoa(c.client.firstPage))
	products, _, err := readList[productJSON](ctx, c.client, "check connection", "products", query)
	if err != nil {
		return report, err
	}
	for _, p := range products {
		if err := c.wrongMode("check connection", p.Mode); err != nil {
			return report, err
		}
	}
	var known []string
	enabled := 0
	for _, w := range warehouses {
		state := ""
		if w.disabled {
			state = ", disabled"
		} else {
			known = append(known, w.ID)
			if c.counts(w.ID) {
				enabled++
			}
		}
		report.Details = append(report.Details, fmt.Sprintf("warehouse %s (%s%s)", w.Name, w.ID, state))
	}
	report.Details = append(report.Details, fmt.Sprintf("%d products in the first page", len(products)))
	for _, id := range c.sites {
		if !slices.Contains(known, id) {
			report.Missing = append(report.Missing, fmt.Sprintf("settings.sites names %s, which is no enabled warehouse of this account", id))
		}
	}
	if enabled == 0 {
		report.Missing = append(report.Missing, "no enabled warehouse: stock can't be told by site")
	}
	if len(products) == 0 {
		report.Missing = append(report.Missing, "no products: orders and stock need products with barcodes at EasyPost")
	}
	return report, nil
}

// Sites lists the account's enabled warehouses whose stock counts.
func (c *connection) Sites(ctx context.Context) ([]connectors.Site, error) {
	warehouses, err := c.warehouses(ctx, "list sites")
	var sites []connectors.Site
	for _, w := range warehouses {
		if !w.disabled && c.counts(w.ID) {
			sites = append(sites, w.Site)
		}
	}
	return sites, err
}

// building is one of the account's warehouses.
type building struct {
	connectors.Site
	disabled bool
}

func (c *connection) warehouses(ctx context.Context, op string) ([]building, error) {
	rows, _, err := readList[warehouseJSON](ctx, c.client, op, "warehouses", nil)
	if err != nil {
		return nil, err
	}
	var buildings []building
	for _, w := range rows {
		if err := c.wrongMode(op, w.Mode); err != nil {
			return nil, err
		}
		if w.ID == "" {
			continue
		}
		name := w.Name
		if name == "" {
			name = w.ShortName
		}
		buildings = append(buildings, building{connectors.Site{ID: string(w.ID), Name: string(name)}, w.DisabledAt.Set})
	}
	return buildings, nil
}

// counts reports whether the stock of a warehouse is wanted.
func (c *connection) counts(site string) bool {
	return len(c.sites) == 0 || slices.Contains(c.sites, site)
}
