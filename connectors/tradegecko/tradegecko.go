// Package tradegecko joins carts that speak the TradeGecko REST API, which was
// sold as QuickBooks Commerce from 2020 on: it pulls orders and cancellations,
// and pushes shipments and stock levels. Facts about the API come from
// wire/tradegecko.md; where that page says "unknown", the comments here say
// what was chosen.
package tradegecko

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/connectors"
	"orderferry/connectors/exchange"
	"orderferry/relay"
)

// apiURL served the API under both names (wire/tradegecko.md section 1).
const apiURL = "https://api.tradegecko.com"

// Connectors returns the two names of the one API. They differ in title only.
func Connectors() []connectors.Connector {
	return []connectors.Connector{
		describe("tradegecko", "TradeGecko"),
		describe("quickbooks-commerce", "QuickBooks Commerce"),
	}
}

func describe(name, title string) connectors.Connector {
	return connectors.Connector{
		Name:        name,
		Title:       title,
		Role:        connectors.Cart,
		BaseURL:     apiURL,
		Settings:    settings(),
		Credentials: credentials(),
		Divisible:   true,
		// 300 requests per 300 s have to do for all jobs of a connection (section 5.1).
		Advice: map[relay.Job]time.Duration{
			relay.PullOrders:    time.Minute,
			relay.PushInventory: 5 * time.Minute,
		},
		Open: open,
	}
}

func settings() []connectors.Setting {
	return []connectors.Setting{
		{Name: "location", Check: checkID, Parts: true,
			Doc: "Id of the stock location whose orders and stock are ferried; unset: orders of all locations, and stock of the account's primary location."},
		{Name: "statuses", Default: "finalized", Check: wordsOf("active", "finalized"),
			Doc: "Order statuses to pull, comma-separated; only finalized orders are locked against edits."},
		{Name: "payment", Default: "paid", Check: connectors.OneOf("any", "paid"),
			Doc: "paid pulls only orders that are fully paid, as commercial 3PL integrations do; any pulls unpaid ones too."},
		{Name: "fulfillment_statuses", Default: "unshipped,partial", Check: wordsOf("unshipped", "partial"),
			Doc: "Fulfillment statuses to pull, comma-separated."},
		{Name: "sku_field", Default: "sku", Check: connectors.OneOf("sku", "upc", "supplier_code"),
			Doc: "The variant's field that is the SKU; with upc or supplier_code, each stock push has to read the whole catalogue."},
		{Name: "page_size", Default: "250", Check: connectors.IntBetween(1, 250),
			Doc: "Rows per request; smaller pages help when the server answers 503."},
		{Name: "overlap", Default: "5m", Check: connectors.DurationBetween(time.Second, 24*time.Hour),
			Doc: "How far before the newest known change each poll starts."},
		{Name: "sweep_every", Default: "24h", Check: connectors.DurationBetween(time.Minute, 30*24*time.Hour),
			Doc: "How often all open orders are read, whenever they changed; a change need not move an order's timestamp."},
		{Name: "adjustment_reason", Default: "shrinkage",
			Check: connectors.OneOf("supplier", "customer", "damaged", "shrinkage", "promotion", "production"),
			Doc:   "Reason written on stock adjustments."},
		{Name: "adjustment_price", Default: "moving_average",
			Check: connectors.OneOf("moving_average", "last_cost", "buy", "zero"),
			Doc:   "Unit cost of stock that an adjustment adds: the first of these that is known, from the named one on, else 0; a cost of 0 lowers the merchant's average."},
		{Name: "create_fulfilled", Default: "false", Check: connectors.Bool,
			Doc: "true creates a fulfillment as fulfilled in one request; false takes the documented two steps, packed and then fulfilled."},
		{Name: "cancels", Default: "void", Check: connectors.OneOf("void", "keep"),
			Doc: "What an operator's cancel does to the order in the cart: void voids it there as well, keep leaves it alone."},
		{Name: "concurrency", Default: "4", Check: connectors.IntBetween(1, 16),
			Doc: "How many orders' shipments are written at the same time."},
		{Name: "timeout", Default: "30s", Check: connectors.DurationBetween(time.Second, 5*time.Minute),
			Doc: "Longest wait for one answer."},
	}
}

func credentials() []connectors.Setting {
	return []connectors.Setting{
		{Name: "access_token", Doc: "Privileged access token from the application's page, which does not expire; or the current OAuth access token."},
		{Name: "client_id", Doc: "OAuth application id; leave out with a privileged token."},
		{Name: "client_secret", Doc: "OAuth application secret."},
		{Name: "redirect_uri", Check: checkURL, Doc: "OAuth callback address, as registered with the application."},
		{Name: "refresh_token", Doc: "OAuth refresh token; every refresh replaces it."},
		{Name: "expires_at", Check: checkTime, Doc: "When the OAuth access token expires, RFC 3339; kept up to date by refreshes."},
	}
}

// connection is one account. It implements OrderSource, CancellationSource,
// ShipmentSink, OrderReader and InventorySink; a voidingConnection is a CancelSink too.
type connection struct {
	api             *client
	location        int64 // 0: all, and the primary one for stock
	statuses        []string
	paidOnly        bool
	shippedStatuses []string
	skuField        string
	overlap         time.Duration
	sweepEvery      time.Duration
	reason          string
	price           string
	createFulfilled bool
	concurrency     int
	variants        *variantCache
}

var (
	_ connectors.OrderSource        = (*connection)(nil)
	_ connectors.CancellationSource = (*connection)(nil)
	_ connectors.ShipmentSink       = (*connection)(nil)
	_ connectors.OrderReader        = (*connection)(nil)
	_ connectors.InventorySink      = (*connection)(nil)
	_ connectors.CancelSink         = (*voidingConnection)(nil)
)

func open(cfg connectors.Config) (connectors.Connection, error) {
	if cfg.Vault == nil {
		return nil, errors.New("open tradegecko connection: no vault")
	}
	s := cfg.Settings
	location, _ := strconv.ParseInt(s["location"], 10, 64)
	c := &connection{
		api:             newClient(cfg),
		location:        location,
		statuses:        s.List("statuses"),
		paidOnly:        s["payment"] == "paid",
		shippedStatuses: s.List("fulfillment_statuses"),
		skuField:        s["sku_field"],
		overlap:         duration(s, "overlap"),
		sweepEvery:      duration(s, "sweep_every"),
		reason:          s["adjustment_reason"],
		price:           s["adjustment_price"],
		createFulfilled: s.Bool("create_fulfilled"),
		concurrency:     max(1, s.Int("concurrency")),
		variants:        newVariantCache(10_000, 10*time.Minute),
	}
	if s["cancels"] == "void" {
		return &voidingConnection{c}, nil
	}
	return c, nil
}

// newClient prepares the HTTP side of a connection.
func newClient(cfg connectors.Config) *client {
	timeout := cmp.Or(duration(cfg.Settings, "timeout"), 30*time.Second)
	pageSize := cfg.Settings.Int("page_size")
	if pageSize == 0 {
		pageSize = maxLimit
	}
	hc := exchange.NewClient(cfg.Transport)
	return &client{
		base:     cfg.BaseURL,
		http:     hc,
		grant:    &grant{vault: cfg.Vault, base: cfg.BaseURL, http: hc, timeout: timeout},
		timeout:  timeout,
		pageSize: pageSize,
		backoff:  exchange.Backoff{First: 750 * time.Millisecond}, // the quota waits out a 429, or the caller
		log:      cfg.Logger(),
	}
}

// Check asks for the account, its locations and the rights of the token's user.
func (c *connection) Check(ctx context.Context) (connectors.Report, error) {
	const op = "check connection"
	d, _, err := c.api.do(ctx, request{op: op, path: "/accounts/current"})
	if err != nil {
		return connectors.Report{}, err
	}
	if d.Account == nil || d.Account.ID == 0 {
		return connectors.Report{}, unreadable(op, "account")
	}
	acc := *d.Account
	r := connectors.Report{Account: string(acc.Name)}
	if acc.TimeZone != "" {
		r.Details = append(r.Details, "time zone "+string(acc.TimeZone))
	}
	if err := c.checkLocation(ctx, &r, acc); err != nil {
		return connectors.Report{}, err
	}
	if err := c.checkRights(ctx, &r); err != nil {
		return connectors.Report{}, err
	}
	return r, nil
}

func (c *connection) checkLocation(ctx context.Context, r *connectors.Report, acc account) error {
	places, err := listAll(ctx, c.api, request{op: "check connection", path: "/locations", query: url.Values{"order": {"created_at asc"}}},
		func(d *document) []location { return d.Locations })
	if err != nil {
		return err
	}
	want, found := cmp.Or(c.location, int64(acc.PrimaryLocationID)), false
	for _, l := range places {
		note := fmt.Sprintf("location %d: %s", l.ID, l.Label)
		if int64(l.ID) == want {
			found = true
			note += " (used for stock)"
			if !l.HoldsStock.or(true) {
				r.Missing = append(r.Missing, fmt.Sprintf("location %d does not hold stock", l.ID))
			}
		}
		r.Details = append(r.Details, note)
	}
	switch {
	case want == 0:
		r.Missing = append(r.Missing, "the account has no primary location: set location to one of the account's")
	case !found:
		r.Missing = append(r.Missing, fmt.Sprintf("location %d is not among the account's locations: set location to one of them", want))
	}
	return nil
}

// checkRights reads the user's rights (section 3.3). An account that hides them
// is not refused: they are needed only for the answer to be kinder.
func (c *connection) checkRights(ctx context.Context, r *connectors.Report) error {
	d, _, err := c.api.do(ctx, request{op: "check connection", path: "/users/current"})
	var e *relay.Error
	if errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound) {
		r.Details = append(r.Details, "the user's rights can't be read")
		return nil
	}
	if err != nil {
		return err
	}
	if d.User == nil {
		return unreadable("check connection", "user")
	}
	var held []string
	for _, p := range d.User.Permissions {
		held = append(held, string(p))
	}
	if len(held) == 0 {
		r.Details = append(r.Details, "the user's rights can't be read")
		return nil
	}
	r.Details = append(r.Details, "rights "+strings.Join(held, ", "))
	for _, need := range []struct{ right, why string }{
		{"write_orders", "write shipments"},
		{"write_stocks", "write stock levels"},
	} {
		if !slices.Contains(held, need.right) {
			r.Missing = append(r.Missing, fmt.Sprintf("right %s, to %s", need.right, need.why))
		}
	}
	if !slices.Contains(held, "read_buy_prices") {
		r.Details = append(r.Details, "without the right read_buy_prices, added stock may be booked at a cost of 0")
	}
	return nil
}

func duration(v connectors.Values, name string) time.Duration {
	d, _ := time.ParseDuration(v[name])
	return d
}

func checkID(s string) error {
	if n, err := strconv.ParseInt(s, 10, 64); err != nil || n < 1 {
		return fmt.Errorf("%q: want a location's number, such as 31", s)
	}
	return nil
}

func checkURL(s string) error {
	if u, err := url.Parse(s); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return errors.New("want an http or https address")
	}
	return nil
}

func checkTime(s string) error {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return errors.New("want an RFC 3339 time, such as 2021-03-04T05:06:07Z")
	}
	return nil
}

// wordsOf accepts a comma-separated list of some of the given words.
func wordsOf(words ...string) func(string) error {
	return func(s string) error {
		given := connectors.Values{"": s}.List("")
		if len(given) == 0 {
			return fmt.Errorf("%q: want one or more of %s", s, strings.Join(words, ", "))
		}
		for _, w := range given {
			if !slices.Contains(words, w) {
				return fmt.Errorf("%q: want one or more of %s", w, strings.Join(words, ", "))
			}
		}
		return nil
	}
}
