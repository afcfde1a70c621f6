package connectors

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderferry/relay"
)

// Role says which side of the ferry a connector is on.
type Role string

// The roles.
const (
	Cart      Role = "cart"
	Warehouse Role = "warehouse"
)

// Connector describes one kind of system and opens connections to it.
type Connector struct {
	Name  string // as written in merchant.yaml: "tradegecko"
	Title string // for people: "TradeGecko"
	Role  Role
	// BaseURL is the vendor's address, used where the merchant gives none.
	BaseURL string
	// CheckBaseURL refuses an address, saying what would be accepted. nil accepts
	// http and https without user, query and fragment.
	CheckBaseURL func(string) error
	Settings     []Setting
	Credentials  []Setting
	// Divisible tells that a cart's orders stay where they were read, so that carts of one
	// account may also divide them by their filters. A file is read by one only. Of such a
	// cart the setting that Parts names the location whose stock it sets.
	Divisible bool
	// Advice is the shortest interval that the vendor or the field advises for
	// each job of this connection; going below it earns a warning, not a refusal.
	Advice map[relay.Job]time.Duration
	// Open makes a connection from configuration that Configure has checked. It
	// makes no request.
	Open func(Config) (Connection, error)
}

// Setting is one value a connection may or must have.
type Setting struct {
	Name     string
	Doc      string // one sentence: what it is, its unit, where to find it
	Default  string // used when absent; "" with Required false means unset
	Required bool
	// Parts tells that two carts of one account, each with another value of it, read no
	// order in common. One without a value reads all.
	Parts bool
	// Finds tells that a warehouse's orders are found by it: it can't change while
	// nobody knows of an order whether it is there.
	Finds bool
	// Check refuses a bad value, saying what would be accepted. nil accepts all.
	Check func(string) error
}

// Connection is an open connection. It is safe for concurrent use.
type Connection interface {
	// Check is the "test connection" button. It changes nothing at the vendor's.
	Check(ctx context.Context) (Report, error)
}

// Report says what answered a connection test.
type Report struct {
	Account string     // the vendor's name of the account
	Mode    relay.Mode // the mode that answered; "" when the vendor has none
	Details []string   // for people: sites found, rights held
	Missing []string   // for people: rights or settings that are missing; empty when all is well
}

// Config is what a connection is opened with.
type Config struct {
	Merchant relay.MerchantID
	Name     relay.ConnectionName
	BaseURL  string // without a trailing slash
	Mode     relay.Mode
	Settings Values // complete: Configure filled in defaults
	// Vault holds the credentials; they are read when needed, so that a rotated
	// token is never used from a stale copy.
	Vault Vault
	// Transport carries every request; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// Watcher is told of the steps that Transport does not carry. nil: nobody is.
	Watcher Watcher
	Log     *slog.Logger
}

// Watcher is told of steps with files, as a Transport is of requests: where one may
// be killed in between, both together know every line that matters.
type Watcher interface {
	// Step is called before a step, and done after it. The name is the connector's,
	// what is done, and the folder: "csv rename in".
	Step(name string) (done func())
}

// Logger is the log of the connection, with its keys in every line. It discards
// them where Log is nil.
func (c Config) Logger() *slog.Logger {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return log.With("merchant", c.Merchant, "connection", c.Name)
}

// Values are settings by name.
type Values map[string]string

// Int returns a setting that its Check has already found to be a whole number.
func (v Values) Int(name string) int {
	n, _ := strconv.Atoi(v[name])
	return n
}

// Bool reports whether the setting is "true".
func (v Values) Bool(name string) bool { return v[name] == "true" }

// List splits a comma-separated setting, without empty parts.
func (v Values) List(name string) []string {
	var out []string
	for part := range strings.SplitSeq(v[name], ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// Credentials are secrets by name. They print as names only.
type Credentials map[string]string

// String names the credentials and hides their values.
func (c Credentials) String() string {
	return "credentials(" + strings.Join(slices.Sorted(maps.Keys(c)), ", ") + ")"
}

// GoString hides the values from %#v.
func (c Credentials) GoString() string { return c.String() }

// LogValue hides the values from slog.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Vault keeps one connection's credentials.
type Vault interface {
	// Read returns the current credentials.
	Read(ctx context.Context) (Credentials, error)
	// Rotate replaces them. It calls next with the newest ones while nobody else
	// can rotate, and has stored next's result before it returns: a refresh
	// token that was spent is never lost. When next returns what it was given,
	// nothing is stored.
	Rotate(ctx context.Context, next func(context.Context, Credentials) (Credentials, error)) (Credentials, error)
}

// StaticVault is a Vault in memory, for tests and for checks before anything is
// stored. Use it from one goroutine.
type StaticVault struct{ Credentials Credentials }

// Read returns the credentials.
func (v *StaticVault) Read(context.Context) (Credentials, error) {
	return maps.Clone(v.Credentials), nil
}

// Rotate replaces the credentials.
func (v *StaticVault) Rotate(ctx context.Context, next func(context.Context, Credentials) (Credentials, error)) (Credentials, error) {
	c, err := next(ctx, maps.Clone(v.Credentials))
	if err != nil {
		return nil, err
	}
	v.Credentials = c
	return maps.Clone(c), nil
}

// FieldError is a bad value in a connection's configuration.
type FieldError struct {
	Field   string // "settings.location", "credentials.token", "base_url"
	Message string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// Configure checks a connection's configuration against the connector's schema
// and returns the settings with defaults filled in and the base URL to use. It
// reports every fault it finds.
func (c Connector) Configure(baseURL string, settings Values, credentials Credentials) (Values, string, []*FieldError) {
	var faults []*FieldError
	fault := func(field, format string, args ...any) {
		faults = append(faults, &FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if baseURL == "" {
		baseURL = c.BaseURL
	}
	baseURL = strings.TrimRight(baseURL, "/")
	if err := c.checkBaseURL(baseURL); err != nil {
		fault("base_url", "%v", err)
	}
	out := check(c.Settings, settings, "settings", fault)
	check(c.Credentials, Values(credentials), "credentials", fault)
	return out, baseURL, faults
}

func (c Connector) checkBaseURL(s string) error {
	if c.CheckBaseURL != nil {
		return c.CheckBaseURL(s)
	}
	if u, err := url.Parse(s); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("want an http or https address without user, query or fragment, such as %s", c.BaseURL)
	}
	return nil
}

func check(schema []Setting, given Values, section string, fault func(field, format string, args ...any)) Values {
	out := make(Values, len(schema))
	known := make(map[string]bool, len(schema))
	for _, s := range schema {
		known[s.Name] = true
		value, ok := given[s.Name]
		if !ok || value == "" {
			if s.Required {
				fault(section+"."+s.Name, "missing: %s", s.Doc)
				continue
			}
			value = s.Default
		}
		if value != "" && s.Check != nil {
			if err := s.Check(value); err != nil {
				fault(section+"."+s.Name, "%v", err)
				continue
			}
		}
		if value != "" {
			out[s.Name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			var names []string
			for _, s := range schema {
				names = append(names, s.Name)
			}
			fault(section+"."+name, "unknown: want one of %s", strings.Join(names, ", "))
		}
	}
	return out
}

// Finders are the names of the settings by which orders are found.
func (c Connector) Finders() []string {
	var names []string
	for _, s := range c.Settings {
		if s.Finds {
			names = append(names, s.Name)
		}
	}
	return names
}

// Checks for settings.

// OneOf accepts the given words.
func OneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("%q: want %s", s, strings.Join(words, " or "))
	}
}

// IntBetween accepts whole numbers from lo to hi.
func IntBetween(lo, hi int) func(string) error {
	return func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < lo || n > hi {
			return fmt.Errorf("%q: want a whole number from %d to %d", s, lo, hi)
		}
		return nil
	}
}

// DurationBetween accepts Go durations ("90s", "5m") from lo to hi.
func DurationBetween(lo, hi time.Duration) func(string) error {
	return func(s string) error {
		if d, err := time.ParseDuration(s); err != nil || d < lo || d > hi {
			return fmt.Errorf("%q: want a duration from %s to %s, such as 90s", s, lo, hi)
		}
		return nil
	}
}

// Bool accepts "true" and "false".
func Bool(s string) error { return OneOf("true", "false")(s) }
