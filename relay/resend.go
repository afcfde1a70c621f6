package relay

import (
	"fmt"
	"hash/fnv"
	"time"
	_ "time/tzdata" // every zone on every machine
)

// DefaultResendZone and DefaultResendHour are when held orders are sent again
// unless the merchant chose otherwise: 1:00 AM Pacific.
const (
	DefaultResendZone = "America/Los_Angeles"
	DefaultResendHour = 1
)

// ResendStagger is the span over which one merchant's nightly resends are
// spread, so that a hundred thousand do not start in one second.
const ResendStagger = 10 * time.Minute

// ResendClock says when held orders are sent again: once on every calendar day
// of a zone, when its wall clock first shows the hour.
type ResendClock struct {
	Hour int    `json:"hour"` // 0 to 23
	Zone string `json:"zone"` // a name of the tz database, "America/Los_Angeles"
}

// Check refuses an hour that no clock shows and a zone that Go does not know.
func (c ResendClock) Check() error {
	_, err := c.location()
	return err
}

// location checks the clock and returns its zone.
func (c ResendClock) location() (*time.Location, error) {
	if c.Hour < 0 || c.Hour > 23 {
		return nil, fmt.Errorf("resend hour %d: want 0 to 23", c.Hour)
	}
	// "Local" would mean something else on every worker.
	if c.Zone != "" && c.Zone != "Local" {
		if loc, err := time.LoadLocation(c.Zone); err == nil {
			return loc, nil
		}
	}
	return nil, fmt.Errorf("time zone %q: want a name of the tz database, such as %s", clip(c.Zone, 40), DefaultResendZone)
}

// Next returns the first resend time after the given one, for an order with
// the given stagger (0 to ResendStagger). On a night when the hour comes twice
// it counts once, the first time; on a night that skips the hour it is the
// moment the clock jumps past it, be it to midnight (America/Scoresbysund skips
// 23:00 each March); a day that a zone left out has none.
func (c ResendClock) Next(after time.Time, stagger time.Duration) (time.Time, error) {
	loc, err := c.location()
	if err != nil {
		return time.Time{}, err
	}
	local := after.In(loc)
	y, m, d := local.Date()
	// Yesterday may still be ahead because of the stagger; two skipped days never follow each other.
	for day := -1; day <= 4; day++ {
		at, ok := firstShown(y, m, d+day, c.Hour, loc)
		if ok && at.Add(stagger).After(after) {
			return at.Add(stagger), nil
		}
	}
	return time.Time{}, fmt.Errorf("no %02d:00 in %s within four days of %s", c.Hour, c.Zone, local.Format(time.RFC3339))
}

// Stagger is the key's stable share of ResendStagger.
func Stagger(key string) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(key))
	return time.Duration(h.Sum64() % uint64(ResendStagger/time.Second) * uint64(time.Second))
}

// firstShown is the first instant of the given calendar day in loc at which the
// wall clock shows hour:00 or later, or the end of a day that jumps over it. It
// is false for a day that loc does not have.
func firstShown(y int, m time.Month, d, hour int, loc *time.Location) (time.Time, bool) {
	wall := time.Date(y, m, d, hour, 0, 0, 0, time.UTC) // the wall clock's reading, as if it were UTC
	// No zone is more than 26 hours from UTC, so the instant lies in this span.
	t, end := wall.Add(-27*time.Hour).In(loc), wall.Add(27*time.Hour)
	for !t.After(end) {
		_, offset := t.Zone()
		from, until := t.ZoneBounds()
		if !until.IsZero() && !until.After(t) {
			// Where a zone's table ends (with the one that Go carries, years ago) Go takes
			// every year to have 365 days, and on 31 December of a leap year says that
			// the period is over already.
			until = t.Add(24 * time.Hour)
		}
		at := wall.Add(-time.Duration(offset) * time.Second)
		if !from.IsZero() && at.Before(from) {
			at = from // the clock jumped past the hour, or it was shown before this period began
		}
		if until.IsZero() || at.Before(until) {
			at = at.In(loc)
			return at, sameDay(at, wall) || sameDay(at.Add(-1), wall)
		}
		t = until.In(loc)
	}
	return time.Time{}, false
}

func sameDay(a, b time.Time) bool {
	ay, am, ad := a.Date()
	by, bm, bd := b.Date()
	return ay == by && am == bm && ad == bd
}
