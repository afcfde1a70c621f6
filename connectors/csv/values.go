package csv

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"orderferry/relay"
)

// timeTokens turn a pattern as people write it into Go's.
var timeTokens = strings.NewReplacer("YYYY", "2006", "YY", "06", "MM", "01", "DD", "02", "hh", "15", "mm", "04", "ss", "05", "M", "1", "D", "2")

func timeFormat(format string) bool {
	return format == "" || format == "iso8601" || format == "unix" || strings.Contains(format, "YY")
}

// isoForms are what is read as ISO 8601; those without a zone are in the layout's.
var isoForms = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// parseTime reads a cell; "" is the zero time.
func (l *layout) parseTime(c column, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	switch c.format {
	case "", "iso8601":
		for _, form := range isoForms {
			if t, err := time.ParseInLocation(form, s, l.zone); err == nil {
				return inRange(t)
			}
		}
		return time.Time{}, errors.New("want an ISO 8601 time such as 2026-03-07T09:30:00Z")
	case "unix":
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return time.Time{}, errors.New("want a UNIX time in seconds such as 1767225600")
		}
		return inRange(time.Unix(n, 0).UTC())
	}
	t, err := time.ParseInLocation(timeTokens.Replace(c.format), s, l.zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("want a time as %s", c.format)
	}
	return inRange(t)
}

// inRange refuses years that no ledger can hold and that only a wrong unit makes.
func inRange(t time.Time) (time.Time, error) {
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, errors.New("want a year from 1970 to 9999")
	}
	return t, nil
}

func (l *layout) formatTime(c column, t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case c.format == "" || c.format == "iso8601":
		return t.In(l.zone).Format(time.RFC3339)
	case c.format == "unix":
		return strconv.FormatInt(t.Unix(), 10)
	}
	return t.In(l.zone).Format(timeTokens.Replace(c.format))
}

// parseQuantity reads a decimal as the layout writes them.
func (l *layout) parseQuantity(s string) (relay.Quantity, error) {
	if l.comma {
		if strings.Contains(s, ".") {
			return 0, errors.New("want a number with a decimal comma, such as 1,5")
		}
		s = strings.Replace(s, ",", ".", 1)
	}
	q, err := relay.ParseQuantity(s)
	if err != nil {
		return 0, errors.New("want a plain number with at most 4 decimals, such as 12")
	}
	return q, nil
}

// parseUnits reads a whole number of units.
func (l *layout) parseUnits(s string) (int64, error) {
	q, err := l.parseQuantity(s)
	n, whole := q.Whole()
	if err != nil || !whole || n < 1 {
		return 0, errors.New("want a whole number, 1 or more")
	}
	return n, nil
}

func (l *layout) formatQuantity(q relay.Quantity) string {
	if l.comma {
		return strings.Replace(q.String(), ".", ",", 1)
	}
	return q.String()
}

// identifiers are the fields in which every digit counts.
var identifiers = map[string]bool{
	"order": true, "number": true, "line": true, "sku": true, "tracking": true, "key": true, "site": true, "ship_to.zip": true, "ship_to.phone": true,
}

var plainNumber = regexp.MustCompile(`^[+-]?[0-9]+(?:[.,][0-9]+)?$`)

// codes are the fields that a partner looks up. With a guard before it, a code
// would be another one.
var codes = map[string]bool{
	"order": true, "line": true, "sku": true, "tracking": true, "key": true, "location": true, "ship_method": true,
}

// guarded makes a cell harmless that a spreadsheet would take for a formula. A
// plain number is none.
//
// Promise 1: a code is never changed, for the partner could know it as that of
// something else. It is refused, unless the profile has it written as it is.
func (l *layout) guarded(c column, s string) (string, error) {
	switch {
	case c.unguarded || s == "" || !strings.ContainsRune("=+-@\t\r", rune(s[0])) || plainNumber.MatchString(s):
		return s, nil
	case codes[c.field]:
		return s, fmt.Errorf("begins with %q, so that a spreadsheet would run it: want another code, or guard: none in the profile, for this column or as a whole", s[:1])
	}
	return l.guard + s, nil
}
