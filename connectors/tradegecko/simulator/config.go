package simulator

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Config sets up a Simulator.
type Config struct {
	// Seed fixes ids, tokens, request ids and the dice of faults.
	Seed     int64
	Accounts []Account
	// Journal is the file that every change is appended to; "" keeps all in memory.
	Journal string
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// RateLimit is how many requests an account may make in a window: 0 means
	// 300, a negative number means no limit.
	RateLimit int
	// Window is the length of a rate window, aligned to the epoch; 0 means 300 s.
	Window    time.Duration
	Behaviour Behaviour
	// Log hears of webhooks that could not be delivered; nil discards.
	Log *slog.Logger
}

// Account is one merchant's TradeGecko account, found by the token of a request.
type Account struct {
	Name string
	// Tokens are privileged access tokens: they never expire.
	Tokens []string
	// AppID, AppSecret and RefreshToken are an OAuth application and the first
	// refresh token of its grant. The secret also signs webhooks.
	AppID, AppSecret, RefreshToken string
	// Permissions are the rights of the tokens' user; nil means all of them.
	Permissions []string
	// Lapsed answers every call with 402.
	Lapsed bool
	// Locations are labels of warehouses, the primary one first; nil means one
	// called "Main Warehouse".
	Locations []string
}

// Behaviour decides what wire/tradegecko.md leaves unknown. The zero value is
// what that page tells a simulator to do.
type Behaviour struct {
	// ListShowsVoid shows void and deleted orders in lists without a status filter.
	ListShowsVoid bool `json:"list_shows_void"`
	// PutStatus makes every PUT answer 200 with a body, or 204 without. 0 means
	// 200 for addresses and fulfillments, 204 for the rest.
	PutStatus int `json:"put_status"`
	// MinExclusive makes created_at_min and updated_at_min mean "after".
	MinExclusive bool `json:"min_exclusive"`
	// ReplayIdempotent answers a repeated Idempotency-Key with the first answer
	// instead of 409.
	ReplayIdempotent bool `json:"replay_idempotent"`
	// IgnoreSKUFilter ignores ?sku= on variants.
	IgnoreSKUFilter bool `json:"ignore_sku_filter"`
	// OrderStampFrozen leaves order.updated_at alone when a fulfillment changes,
	// unless the order's own status changes with it.
	OrderStampFrozen bool `json:"order_stamp_frozen"`
	// AllowOverFulfil takes fulfillments of more than was ordered.
	AllowOverFulfil bool `json:"allow_over_fulfil"`
	// AllowUnfinalized takes fulfillments of orders in any status, void included.
	AllowUnfinalized bool `json:"allow_unfinalized"`
	// RefuseFulfilledCreate refuses to create a fulfillment as fulfilled.
	RefuseFulfilledCreate bool `json:"refuse_fulfilled_create"`
	// NoSideload leaves line items out of fulfillments unless they are included.
	NoSideload bool `json:"no_sideload"`
	// KeepShippedAtNull does not fill in shipped_at.
	KeepShippedAtNull bool `json:"keep_shipped_at_null"`
	// AllLocations lists every location on a variant, not only those that had stock.
	AllLocations bool `json:"all_locations"`
	// EqualStamps cuts stamps to whole seconds, so that many rows share one.
	EqualStamps bool `json:"equal_stamps"`
	// WebhookRetry is the first delay before a refused webhook is sent again;
	// later delays grow with the fourth power of the attempt. 0 means 15 s.
	WebhookRetry time.Duration `json:"webhook_retry"`
}

// allPermissions are the rights named in wire/tradegecko.md section 3.3.
var allPermissions = [...]string{"read_reports", "write_stocks", "write_orders", "write_products",
	"write_settings", "write_companies", "read_buy_prices"}

const (
	defaultRateLimit = 300
	defaultWindow    = 300 * time.Second
	defaultRetry     = 15 * time.Second
)

// normal fills in defaults and refuses what cannot work.
func (c Config) normal() (Config, error) {
	if len(c.Accounts) == 0 {
		return c, errors.New("no account configured")
	}
	c.Accounts = slices.Clone(c.Accounts)
	names, tokens := map[string]bool{}, map[string]bool{}
	for i := range c.Accounts {
		a := &c.Accounts[i]
		if a.Name == "" || names[a.Name] {
			return c, fmt.Errorf("account %d: want a name of its own", i+1)
		}
		names[a.Name] = true
		for _, t := range a.Tokens {
			if t == "" || tokens[t] {
				return c, fmt.Errorf("account %s: want tokens that are not empty and not used twice", a.Name)
			}
			tokens[t] = true
		}
		if a.Permissions == nil {
			a.Permissions = slices.Clone(allPermissions[:])
		}
		if len(a.Locations) == 0 {
			a.Locations = []string{"Main Warehouse"}
		}
	}
	if err := c.Behaviour.check(); err != nil {
		return c, err
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.RateLimit == 0 {
		c.RateLimit = defaultRateLimit
	}
	if c.Window == 0 {
		c.Window = defaultWindow
	}
	if c.Window < time.Second || c.Window%time.Second != 0 {
		return c, errors.New("rate window: want whole seconds")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (b Behaviour) check() error {
	if b.PutStatus != 0 && b.PutStatus != 200 && b.PutStatus != 204 {
		return fmt.Errorf("put status %d: want 200, 204 or 0", b.PutStatus)
	}
	if b.WebhookRetry < 0 {
		return errors.New("webhook retry: want a delay that is not negative")
	}
	return nil
}
