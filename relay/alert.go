package relay

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"time"
)

// AlertPolicy says when a merchant's people are called, and how. A zero field
// means its default. It holds no credentials.
type AlertPolicy struct {
	// After are the ages at which a trouble rises to its first, second, ... level,
	// strictly rising, at most MaxAlertLevel. Default 1, 3 and 7 days.
	After []Age `json:"after,omitempty"`
	// Unshipped is for how long a warehouse may have an order of which not all has
	// left before people are called. Default 5 days.
	Unshipped Age `json:"unshipped,omitempty"`
	// Every is how often alerts are looked after. Default 5 min.
	Every Every `json:"every,omitempty"`
	// Email are those who get e-mail: bare addresses.
	Email []string `json:"email,omitempty"`
	// Webhook is where news is posted; its secret is kept with the credentials.
	Webhook string `json:"webhook,omitempty"`
}

// Bounds and defaults of an AlertPolicy.
const (
	MaxAlertLevel     = 9
	MaxAlertEmails    = 20 // each gets its own copy
	MinAlertAge       = Age(time.Minute)
	MaxAlertAge       = Age(365 * 24 * time.Hour)
	MinAlertEvery     = Every(10 * time.Second)
	DefaultAlertEvery = Every(5 * time.Minute)
	DefaultUnshipped  = Age(5 * 24 * time.Hour)
)

// Ages returns the ages at which troubles rise to their levels.
func (p AlertPolicy) Ages() []Age {
	if len(p.After) == 0 {
		return []Age{Age(24 * time.Hour), Age(72 * time.Hour), Age(168 * time.Hour)}
	}
	return p.After
}

// MayStay returns for how long a warehouse may have an order of which not all has left.
func (p AlertPolicy) MayStay() time.Duration {
	return time.Duration(cmp.Or(p.Unshipped, DefaultUnshipped))
}

// Interval returns how often alerts are looked after.
func (p AlertPolicy) Interval() Every {
	if p.Every == Auto {
		return DefaultAlertEvery
	}
	return p.Every
}

// Level returns the level of a trouble of the given age: 0 below the first age.
func (p AlertPolicy) Level(age time.Duration) int {
	level := 0
	for _, a := range p.Ages() {
		if age >= time.Duration(a) {
			level++
		}
	}
	return level
}

// Rest is for how long people are told of an open alert no more than once: a day,
// or the first age where that is less.
func (p AlertPolicy) Rest() time.Duration {
	return time.Duration(min(Age(24*time.Hour), p.Ages()[0]))
}

// Unwatched reports whether a merchant's alerts were last looked after so long ago
// that nobody seems to: three intervals, and never less than a restart may take.
func (p AlertPolicy) Unwatched(looked, now time.Time) bool {
	return now.Sub(looked) > max(3*time.Duration(p.Interval()), 15*time.Minute)
}

// Channels lists how people are called.
func (p AlertPolicy) Channels() []AlertChannel {
	var list []AlertChannel
	if len(p.Email) > 0 {
		list = append(list, ByEmail)
	}
	if p.Webhook != "" {
		list = append(list, ByWebhook)
	}
	return list
}

// Age is how long something has lasted.
type Age time.Duration

// ParseAge reads a duration of 1m to 8760h, such as "72h".
func ParseAge(s string) (Age, error) {
	d, err := time.ParseDuration(s)
	if err != nil || Age(d) < MinAlertAge || Age(d) > MaxAlertAge {
		return 0, fmt.Errorf("%q: want a duration from 1m to 8760h, such as 72h", clip(s, 40))
	}
	return Age(d), nil
}

// String prints what ParseAge reads.
func (a Age) String() string { return shortest(time.Duration(a)) }

// MarshalText prints what ParseAge reads.
func (a Age) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Age) UnmarshalText(b []byte) error {
	d, err := ParseAge(string(b))
	if err != nil {
		return fmt.Errorf("age %w", err)
	}
	*a = d
	return nil
}

// Words says the age in its largest unit, when that tells all: "3 days", "1 hour", "90 minutes".
func (a Age) Words() string {
	for _, u := range []struct {
		unit Age
		word string
	}{{Age(24 * time.Hour), "day"}, {Age(time.Hour), "hour"}, {Age(time.Minute), "minute"}} {
		if a >= u.unit && a%u.unit == 0 {
			return Many(int64(a/u.unit), u.word)
		}
	}
	return a.String()
}

// Since says the age in two units at most: "3d04h", "4h05m", "12m".
func (a Age) Since() string {
	switch d := time.Duration(a); {
	case d < time.Hour:
		return fmt.Sprintf("%dm", max(d, 0)/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// Many counts things: "1 order", "2 orders".
func Many[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// ParseAlertEvery reads a duration of 10s to 168h.
func ParseAlertEvery(s string) (Every, error) {
	d, err := time.ParseDuration(s)
	if err != nil || Every(d) < MinAlertEvery || Every(d) > MaxEvery {
		return 0, fmt.Errorf("%q: want a duration from 10s to 168h, such as 5m", clip(s, 40))
	}
	return Every(d), nil
}

// CheckEmail refuses what is no bare e-mail address.
func CheckEmail(s string) error {
	if a, err := mail.ParseAddress(s); err != nil || a.Address != s || len(s) > 254 {
		return fmt.Errorf("%q: want an e-mail address, such as ops@example.com", clip(s, 60))
	}
	return nil
}

// CheckWebhook refuses an address that is not https, or http on this machine.
// Its errors do not quote the address: it may hold a token.
func CheckWebhook(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" ||
		(u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname()))) {
		return errors.New("want an https address without a user, such as https://hooks.example.com/orderferry; http only to this machine")
	}
	return nil
}

// IsLoopback reports whether a host name or address is this machine's own.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// webhookSecret begins every secret of the Standard Webhooks form.
const webhookSecret = "whsec_"

// ParseWebhookSecret returns the key of a secret as Standard Webhooks writes it:
// whsec_ and 24 to 64 bytes in base64
// (github.com/standard-webhooks/standard-webhooks, spec, "Signature scheme").
// Its error never quotes the secret.
func ParseWebhookSecret(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, webhookSecret)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("want whsec_ and then 24 to 64 bytes in base64: openssl rand -base64 32 makes such bytes")
	}
	return key, nil
}

// AlertChannel is a way of calling people.
type AlertChannel string

// The channels.
const (
	ByEmail   AlertChannel = "email"
	ByWebhook AlertChannel = "webhook"
)

// AlertNews is what became of an alert.
type AlertNews string

// The news.
const (
	AlertOpened AlertNews = "opened"
	AlertRaised AlertNews = "raised" // it, or more under its cause, passed an age; of an order, it happened once more
	AlertClosed AlertNews = "closed"
)

// Recovered closes alerts whose cause is gone.
const Recovered = "recovered"

// Alert is something that people should know of a merchant. One is open a
// cause. It holds no personal data.
type Alert struct {
	ID       int64
	Merchant MerchantID
	Cause    AlertCause
	Level    int // from 1; rises as the oldest ages
	Headline string
	Since    time.Time // of what it is about; of the oldest, where there are several
	OpenedAt time.Time
	RaisedAt time.Time // when it was last told of: opened or raised
	SeenAt   time.Time // when its cause was last seen to stand
	ClosedAt time.Time // zero while it is open
	ClosedBy string    // Recovered, or a person
}

// AlertNotice is news of an alert, as it stood then.
type AlertNotice struct {
	Alert
	News AlertNews
}

// AlertMessage is what one look at a merchant's alerts has to say on a channel.
type AlertMessage struct {
	ID       int64
	Merchant MerchantID
	Channel  AlertChannel
	Key      string // the same in every try
	Test     bool   // a person tries the channel: no notices
	At       time.Time
	Notices  []AlertNotice // the first of Count
	Count    int
	// Answers is the key of the one message on the same channel that opened all the
	// alerts of this one; "" where there is none.
	Answers string
	// Delivered are recipients who have it already.
	Delivered []string
	Attempts  int // this one included
}

// MostNotices is how many notices a message lists; it counts the others.
const MostNotices = 1000

// AlertCause says what an alert is about: a kind, a subject and, of an order, what
// happened to it: "hold/bad_address", "connection/shop", "order/SO-1042/gone".
type AlertCause string

// The kinds of cause.
const (
	CauseHold       = "hold"       // orders on hold for a reason are older than the first age; an unknown outcome, at once
	CauseConnection = "connection" // stopped: its credentials are refused
	CauseJob        = "job"        // a job of a connection fails run after run
	CauseOrder      = "order"      // something happened to an order that a person must know of
	CauseStuck      = "stuck"      // orders or parcels that a job should have moved
	CauseMessages   = "messages"   // messages about alerts that could not be delivered on a channel
	CauseFinding    = "finding"    // differences that comparing the books found and could not mend
	CausePaused     = "paused"     // the merchant, or one job of a connection, is paused for longer than the first age
	CauseUnanswered = "unanswered" // orders that a warehouse received, and of which it did not say yes or no in time
	CauseUnshipped  = "unshipped"  // orders that a warehouse has had for long, and of which not all has left
	CauseUnread     = "unread"     // what a connection gave us and could not be read
)

// The subjects of CauseStuck.
const (
	StuckReady      = "ready"            // ready, and not submitted
	StuckInDoubt    = "in_doubt"         // nobody looked for it
	StuckCancel     = "cancel_requested" // the warehouse has not decided
	StuckShipment   = "shipment"         // the cart did not take its tracking
	StuckCartCancel = "cart_cancel"      // the cart did not take a person's cancel
	StuckThere      = "at_warehouse"     // on hold at the warehouse, which has them, for longer than the first age
)

// What happened to an order, for CauseOrder.
const (
	OrderBackAtCart           = "back_at_cart"           // cancelled here, and ready again at the cart
	OrderChangedTooLate       = "changed_too_late"       // changed at the cart after submission
	OrderDuplicateFound       = "duplicate_found"        // the warehouse took it more than once
	OrderCancelTooLate        = "cancel_too_late"        // it ships though its cart cancelled it
	OrderShippedAfterAll      = "shipped_after_all"      // despite a cancel
	OrderCancelledByWarehouse = "cancelled_by_warehouse" // unasked
	OrderGone                 = "gone"                   // the warehouse does not know it any more
	OrderTakenAfterAll        = "taken_after_all"        // the warehouse refused it, and goes on with it after all
	OrderShippedShort         = "shipped_short"          // not all of it left, and no more follows
	OrderRelabelled           = "relabelled"             // the warehouse names another parcel in the place of one that the cart was told of
)

// NewAlertCause puts a cause together.
func NewAlertCause(parts ...string) AlertCause { return AlertCause(strings.Join(parts, "/")) }

// Parts returns the cause's kind, subject and, of an order, what happened.
func (c AlertCause) Parts() (kind, subject, what string) {
	kind, rest, _ := strings.Cut(string(c), "/")
	subject, what, _ = strings.Cut(rest, "/")
	return kind, subject, what
}

// ClosedByPeople reports whether a person may close the alert. Any other closes
// when its cause is gone, and would open again at once.
func (c AlertCause) ClosedByPeople() bool {
	kind, _, _ := c.Parts()
	return kind == CauseOrder
}
