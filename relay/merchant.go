package relay

import (
	"fmt"
	"time"
)

// Merchant is whose orders are ferried: one or more carts, one warehouse.
type Merchant struct {
	ID        MerchantID
	Name      string
	Resend    ResendClock
	Unaliased UnaliasedSKU
	Carts     []Connection
	Warehouse Connection
	Alerts    AlertPolicy
}

// Connection configures one cart or warehouse. It holds no credentials.
type Connection struct {
	Name      ConnectionName
	Connector string // the connector's name: "tradegecko"
	BaseURL   string
	Mode      Mode
	Settings  map[string]string // complete, as the connector's Configure returned them
	Finders   []string          // names of those by which orders are found; asked for when it is saved, and not kept
	Schedule  Schedule
	Rules     Rules // of a cart; a warehouse has none
}

// UnaliasedSKU says what becomes of a SKU that no alias names.
type UnaliasedSKU string

// The choices.
const (
	HoldUnaliased UnaliasedSKU = "hold"  // the order is held, naming the SKU
	SendUnaliased UnaliasedSKU = "as_is" // the SKU is taken to be the item code
)

// Schedule says how often each job of a connection runs. A job that is absent
// has its default.
type Schedule map[Job]Every

// Every is the interval of a job. The zero value is Auto: as soon as there is something to do.
type Every time.Duration

// Auto runs a job as soon as there is something to do.
const Auto Every = 0

// MinEvery and MaxEvery bound the intervals that are accepted.
const (
	MinEvery = Every(time.Second)
	MaxEvery = Every(7 * 24 * time.Hour)
)

// DefaultEvery returns the interval of a job that the merchant did not set.
func DefaultEvery(j Job) Every {
	switch j {
	case PullOrders:
		return Every(5 * time.Minute)
	case PullShipments:
		return Every(15 * time.Minute)
	case PullInventory:
		return Every(60 * time.Minute)
	case Reconcile:
		return Every(24 * time.Hour)
	}
	return Auto
}

// Of returns the interval of a job.
func (s Schedule) Of(j Job) Every {
	if e, ok := s[j]; ok {
		return e
	}
	return DefaultEvery(j)
}

// ParseEvery reads "auto" or a duration of at least a second, such as "90s" or
// "5m". Auto is refused for the jobs that only a clock can start.
func ParseEvery(j Job, s string) (Every, error) {
	if s == "auto" {
		switch j {
		case PullOrders, PullShipments, PullInventory, Reconcile:
			return 0, fmt.Errorf("%q: nothing tells us when there is something to do; want a duration of 1s or more, such as 5m", s)
		}
		return Auto, nil
	}
	return parseInterval(s)
}

func parseInterval(s string) (Every, error) {
	d, err := time.ParseDuration(s)
	if err != nil || Every(d) < MinEvery || Every(d) > MaxEvery {
		return 0, fmt.Errorf("%q: want auto or a duration from 1s to 168h, such as 5m", clip(s, 40))
	}
	return Every(d), nil
}

// String prints what ParseEvery reads.
func (e Every) String() string {
	if e == Auto {
		return "auto"
	}
	return shortest(time.Duration(e))
}

// shortest prints a duration in its largest unit that tells all, as people write
// it: "24h", "5m", "90s".
func shortest(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return d.String()
}

// MarshalText prints what ParseEvery reads.
func (e Every) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (e *Every) UnmarshalText(b []byte) error {
	if string(b) == "auto" {
		*e = Auto
		return nil
	}
	d, err := parseInterval(string(b))
	if err != nil {
		return fmt.Errorf("interval %w", err)
	}
	*e = d
	return nil
}
