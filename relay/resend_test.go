package relay_test

import (
	_ "embed"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

//go:embed testdata/zones.txt
var zoneList string

// zones names every zone that Go carries.
func zones() []string {
	var out []string
	for line := range strings.Lines(zoneList) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out
}

// chain lists the resend times in (from, to].
func chain(t testing.TB, c relay.ResendClock, stagger time.Duration, from, to time.Time) []time.Time {
	t.Helper()
	var out []time.Time
	for at := from; ; {
		next, err := c.Next(at, stagger)
		require.NoError(t, err)
		require.True(t, next.After(at), "%+v: %s is not after %s", c, next, at)
		if next.After(to) {
			return out
		}
		require.Less(t, len(out), 20_000)
		out, at = append(out, next), next
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

// In Los Angeles the night of 8 March 2026 has 23 hours and skips 2:00 to 3:00;
// that of 1 November has 25 and shows 1:00 to 2:00 twice.
func TestDaylightSavingNights(t *testing.T) {
	la := zone(t, "America/Los_Angeles")
	for hour := range 24 {
		c := relay.ResendClock{Hour: hour, Zone: "America/Los_Angeles"}
		t.Run(fmt.Sprintf("spring %02d:00", hour), func(t *testing.T) {
			fires := chain(t, c, 0, time.Date(2026, 3, 7, 23, 30, 0, 0, la).Add(-24*time.Hour), time.Date(2026, 3, 9, 23, 59, 0, 0, la))
			require.Equal(t, []string{"2026-03-07", "2026-03-08", "2026-03-09"}, lastDays(fires, 3))
			night := fires[len(fires)-2]
			if hour == 2 { // the clock jumps from 2:00 to 3:00
				require.Equal(t, "2026-03-08T03:00:00-07:00", night.Format(time.RFC3339))
			} else {
				require.Equal(t, fmt.Sprintf("2026-03-08 %02d:00", hour), night.Format("2006-01-02 15:04"))
			}
		})
		t.Run(fmt.Sprintf("autumn %02d:00", hour), func(t *testing.T) {
			fires := chain(t, c, 0, time.Date(2026, 10, 30, 23, 30, 0, 0, la), time.Date(2026, 11, 2, 23, 59, 0, 0, la))
			require.Equal(t, []string{"2026-10-31", "2026-11-01", "2026-11-02"}, lastDays(fires, 3))
			night := fires[len(fires)-2]
			require.Equal(t, fmt.Sprintf("2026-11-01 %02d:00", hour), night.Format("2006-01-02 15:04"))
			if hour <= 1 { // the first of the two
				_, offset := night.Zone()
				require.Equal(t, -7*60*60, offset)
			}
		})
	}
}

func lastDays(fires []time.Time, n int) []string {
	var out []string
	for _, f := range fires[max(0, len(fires)-n):] {
		out = append(out, f.Format(time.DateOnly))
	}
	return out
}

// From any minute of both nights, the next resend is the same one: not a second
// on the night when 1:00 comes twice, nor none on the short one.
func TestOneAMComesOnceANight(t *testing.T) {
	c := relay.ResendClock{Hour: 1, Zone: "America/Los_Angeles"}
	for _, n := range []struct{ before, this, next string }{
		{"2026-03-07T09:00:00Z", "2026-03-08T09:00:00Z", "2026-03-09T08:00:00Z"},
		{"2026-10-31T08:00:00Z", "2026-11-01T08:00:00Z", "2026-11-02T09:00:00Z"},
	} {
		before, this, next := at(t, n.before), at(t, n.this), at(t, n.next)
		for m := before; m.Before(next); m = m.Add(time.Minute) {
			want := this
			if !m.Before(this) {
				want = next
			}
			got, err := c.Next(m, 0)
			require.NoError(t, err)
			require.True(t, got.Equal(want), "after %s: %s, want %s", m, got, want)
		}
	}
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	require.NoError(t, err)
	return v
}

func TestOddDays(t *testing.T) {
	for name, c := range map[string]struct {
		zone     string
		hour     int
		from, to string
		want     []string
	}{
		"Samoa left out 30 December 2011": {"Pacific/Apia", 1, "2011-12-28T12:00:00Z", "2012-01-01T00:00:00Z",
			[]string{"2011-12-29T01:00:00-10:00", "2011-12-31T01:00:00+14:00", "2012-01-01T01:00:00+14:00"}},
		"at midnight too": {"Pacific/Apia", 0, "2011-12-28T12:00:00Z", "2012-01-01T00:00:00Z",
			[]string{"2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"}},
		"and late": {"Pacific/Apia", 23, "2011-12-28T12:00:00Z", "2012-01-01T00:00:00Z",
			[]string{"2011-12-28T23:00:00-10:00", "2011-12-29T23:00:00-10:00", "2011-12-31T23:00:00+14:00"}},
		"Kwajalein left out 21 August 1993": {"Pacific/Kwajalein", 1, "1993-08-19T14:00:00Z", "1993-08-22T14:00:00Z",
			[]string{"1993-08-20T01:00:00-12:00", "1993-08-22T01:00:00+12:00", "1993-08-23T01:00:00+12:00"}},
		"half an hour in Lord Howe": {"Australia/Lord_Howe", 2, "2026-10-02T20:00:00Z", "2026-10-05T00:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:00:00+11:00"}},
		"and half an hour back": {"Australia/Lord_Howe", 2, "2026-04-03T20:00:00Z", "2026-04-06T00:00:00Z",
			[]string{"2026-04-05T02:00:00+10:30", "2026-04-06T02:00:00+10:30"}},
		"Scoresbysund skips 23:00 to midnight": {"America/Scoresbysund", 23, "2025-03-28T12:00:00Z", "2025-03-31T12:00:00Z",
			[]string{"2025-03-28T23:00:00-02:00", "2025-03-30T00:00:00-01:00", "2025-03-30T23:00:00-01:00"}},
		"Cairo skips midnight": {"Africa/Cairo", 0, "2026-04-22T12:00:00Z", "2026-04-25T12:00:00Z",
			[]string{"2026-04-23T00:00:00+02:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"}},
		"St John's shows midnight twice": {"America/St_Johns", 0, "2006-10-28T12:00:00Z", "2006-10-31T12:00:00Z",
			[]string{"2006-10-29T00:00:00-02:30", "2006-10-30T00:00:00-03:30", "2006-10-31T00:00:00-03:30"}},
		"UTC": {"UTC", 1, "2026-01-01T01:00:00Z", "2026-01-03T01:00:00Z",
			[]string{"2026-01-02T01:00:00Z", "2026-01-03T01:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range chain(t, relay.ResendClock{Hour: c.hour, Zone: c.zone}, 0, at(t, c.from), at(t, c.to)) {
				got = append(got, f.Format(time.RFC3339))
			}
			require.Equal(t, c.want, got)
		})
	}
}

// scan finds the resend times in (from, to] the slow way: it looks at the wall
// clock once a minute, beginning three days earlier.
func scan(loc *time.Location, hour int, from, to time.Time) []time.Time {
	var out []time.Time
	fired, last := map[int]bool{}, 0
	for at := from.Truncate(time.Minute).Add(-72 * time.Hour); !at.After(to); at = at.Add(time.Minute) {
		local := at.In(loc)
		today, fire := local.Year()*1000+local.YearDay(), false
		if today > last {
			fire = last > 0 && !fired[last] // a day that ended without showing the hour
			fired[last], last = true, today
		}
		if local.Hour() >= hour && !fired[today] {
			fire, fired[today] = true, true
		}
		if fire && at.After(from) {
			out = append(out, at)
		}
	}
	return out
}

func requireScan(t testing.TB, c relay.ResendClock, from, to time.Time) {
	t.Helper()
	loc := zone(t, c.Zone)
	want, got := scan(loc, c.Hour, from, to), chain(t, c, 0, from, to)
	same := len(want) == len(got)
	for i := range want {
		same = same && want[i].Equal(got[i])
	}
	require.True(t, same, "%+v from %s to %s:\nthe wall clock says %v\nNext says           %v", c, from, to, want, got)
}

// changes lists the moments at which a zone's offset changes.
func changes(loc *time.Location, from, to time.Time) []time.Time {
	var out []time.Time
	offset := func(t time.Time) int { _, seconds := t.In(loc).Zone(); return seconds }
	for day := from; day.Before(to); day = day.Add(24 * time.Hour) {
		next := day.Add(24 * time.Hour)
		if offset(day) == offset(next) {
			continue
		}
		minutes := sort.Search(24*60, func(m int) bool { return offset(day.Add(time.Duration(m)*time.Minute)) != offset(day) })
		out = append(out, day.Add(time.Duration(minutes)*time.Minute))
	}
	return out
}

// Go's own bounds of a zone's periods are a day short in leap years past its
// tables: in every leap year with the slim tables that Go carries, from 2040 on
// with the fat ones of some systems.
func TestLastDayOfLeapYears(t *testing.T) {
	for _, year := range []int{2024, 2028, 2036, 2040, 2096, 2104} {
		for _, name := range []string{"America/Los_Angeles", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Tokyo"} {
			for _, hour := range []int{0, 1, 16, 23} {
				requireScan(t, relay.ResendClock{Hour: hour, Zone: name},
					time.Date(year, 12, 29, 0, 0, 0, 0, time.UTC), time.Date(year+1, 1, 3, 0, 0, 0, 0, time.UTC))
			}
		}
	}
}

// Around the changes of every zone that there is, Next agrees with a look at the
// wall clock. Each run looks at one change in seven of each zone; the fuzz
// target looks anywhere.
func TestEveryZone(t *testing.T) {
	names := zones()
	require.Greater(t, len(names), 590)
	from, to := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC)
	for n, name := range names {
		loc := zone(t, name)
		for i, change := range changes(loc, from, to) {
			if i += n; i%7 == 0 {
				hour := []int{1, change.In(loc).Hour(), change.Add(-1).In(loc).Hour(), i % 24}[i/7%4]
				requireScan(t, relay.ResendClock{Hour: hour, Zone: name}, change.Add(-30*time.Hour), change.Add(30*time.Hour))
			}
		}
		requireScan(t, relay.ResendClock{Hour: n % 24, Zone: name}, from.AddDate(n%50, 0, n%365), from.AddDate(n%50, 0, n%365+2))
	}
}

// Over fifty years each calendar day that a zone has comes once, and in order.
func TestEveryDayOnce(t *testing.T) {
	for _, c := range []relay.ResendClock{
		{Hour: 1, Zone: "America/Los_Angeles"}, {Hour: 2, Zone: "Europe/Berlin"}, {Hour: 0, Zone: "America/Sao_Paulo"},
		{Hour: 2, Zone: "Australia/Lord_Howe"}, {Hour: 1, Zone: "Pacific/Apia"}, {Hour: 23, Zone: "Antarctica/Troll"},
	} {
		t.Run(c.Zone, func(t *testing.T) {
			loc := zone(t, c.Zone)
			day := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
			for _, fire := range chain(t, c, 0, time.Date(1989, 12, 31, 23, 59, 0, 0, loc), time.Date(2040, 12, 31, 23, 59, 0, 0, loc)) {
				if c.Zone == "Pacific/Apia" && day.Format(time.DateOnly) == "2011-12-30" {
					day = day.AddDate(0, 0, 1)
				}
				require.Equal(t, day.Format(time.DateOnly), fire.Format(time.DateOnly))
				day = day.AddDate(0, 0, 1)
			}
			require.Equal(t, "2041-01-01", day.Format(time.DateOnly))
		})
	}
}

func TestStagger(t *testing.T) {
	require.Equal(t, relay.Stagger("acme/SO-1042"), relay.Stagger("acme/SO-1042"))
	minutes := map[time.Duration]int{}
	for n := range 100_000 {
		s := relay.Stagger(fmt.Sprintf("acme/SO-%d", n))
		require.GreaterOrEqual(t, s, time.Duration(0))
		require.Less(t, s, relay.ResendStagger)
		minutes[s.Truncate(time.Minute)]++
	}
	require.Len(t, minutes, 10)
	for m, n := range minutes {
		require.InDelta(t, 10_000, n, 1_000, "minute %s has its share", m)
	}
}

// The stagger shifts each resend and neither adds nor drops one.
func TestStaggeredChain(t *testing.T) {
	la := zone(t, "America/Los_Angeles")
	for _, hour := range []int{0, 1, 2, 23} {
		c := relay.ResendClock{Hour: hour, Zone: "America/Los_Angeles"}
		from, to := time.Date(2026, 1, 1, 12, 0, 0, 0, la), time.Date(2027, 1, 1, 12, 0, 0, 0, la)
		plain := chain(t, c, 0, from, to)
		require.Len(t, plain, 365)
		for _, stagger := range []time.Duration{time.Second, 9*time.Minute + 59*time.Second, relay.ResendStagger} {
			late := chain(t, c, stagger, from, to)
			require.Len(t, late, 365)
			for i := range late {
				require.Equal(t, stagger, late[i].Sub(plain[i]))
			}
		}
	}
	// Between the hour and its stagger, tonight's resend is still to come.
	c := relay.ResendClock{Hour: 1, Zone: "America/Los_Angeles"}
	next, err := c.Next(time.Date(2026, 6, 1, 1, 3, 0, 0, la), 5*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "2026-06-01T01:05:00-07:00", next.Format(time.RFC3339))
}

func TestResendClockIsChecked(t *testing.T) {
	for _, c := range []relay.ResendClock{
		{Hour: -1, Zone: "UTC"}, {Hour: 24, Zone: "UTC"}, {Hour: 1}, {Hour: 1, Zone: "Local"}, {Hour: 1, Zone: "PST8"},
		{Hour: 1, Zone: "America/Los Angeles"}, {Hour: 1, Zone: "../../etc/passwd"}, {Hour: 1, Zone: "/etc/localtime"},
		{Hour: 1, Zone: strings.Repeat("A/", 5_000)},
	} {
		require.Error(t, c.Check(), "%+v", c)
		_, err := c.Next(time.Now(), 0)
		require.Error(t, err)
		require.Less(t, len(err.Error()), 300)
	}
	require.NoError(t, relay.ResendClock{Hour: relay.DefaultResendHour, Zone: relay.DefaultResendZone}.Check())
}

// FuzzNext: any zone, hour and moment agrees with a look at the wall clock.
func FuzzNext(f *testing.F) {
	f.Add(uint16(0), uint8(1), int64(1_772_960_400), uint16(0))
	f.Add(uint16(151), uint8(1), int64(1_793_520_000), uint16(599))
	f.Add(uint16(500), uint8(23), int64(1_325_000_000), uint16(60))
	names := zones()
	f.Fuzz(func(t *testing.T, z uint16, hour uint8, unix int64, seconds uint16) {
		c := relay.ResendClock{Hour: int(hour % 24), Zone: names[int(z)%len(names)]}
		const first, span = 631_152_000, 51 * 366 * 24 * 60 * 60 // from 1990 to 2041
		from := time.Unix(first+int64(uint64(unix)%span), 0)
		requireScan(t, c, from, from.Add(50*time.Hour))
		stagger := time.Duration(seconds%601) * time.Second
		next, err := c.Next(from, stagger)
		require.NoError(t, err)
		plain, err := c.Next(from.Add(-stagger), 0)
		require.NoError(t, err)
		require.True(t, plain.Add(stagger).Equal(next))
	})
}

// FuzzNextAnywhere: no clock, zone or moment, however absurd, panics or hangs.
func FuzzNextAnywhere(f *testing.F) {
	f.Add("America/Los_Angeles", 1, int64(0), int64(0))
	f.Add("UTC", 0, int64(-62_135_596_800), int64(1))
	f.Add("Europe/Dublin", 23, int64(1<<62), int64(-1<<62))
	f.Fuzz(func(t *testing.T, name string, hour int, unix, stagger int64) {
		c := relay.ResendClock{Hour: hour, Zone: name}
		after := time.Unix(unix, 0)
		next, err := c.Next(after, time.Duration(stagger))
		if c.Check() != nil {
			require.Error(t, err)
		}
		if err == nil {
			require.True(t, next.After(after))
		}
	})
}
