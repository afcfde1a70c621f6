package relay

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Quantity is an exact decimal with four places, as carts and warehouses count
// stock and ordered units: whole as a rule, fractional and negative at times.
// The zero value is 0. As JSON and as SQL it is a decimal ("2", "-1.5").
type Quantity int64

const quantityScale = 10_000

// MaxQuantity bounds what ParseQuantity accepts, so that sums of many stay exact.
const MaxQuantity Quantity = 1_000_000_000 * quantityScale

// Units is the quantity of n whole units. It panics beyond MaxQuantity: a caller
// with outside input uses ParseQuantity.
func Units(n int64) Quantity {
	if n > int64(MaxQuantity)/quantityScale || n < -int64(MaxQuantity)/quantityScale {
		panic(fmt.Sprintf("relay: %d units", n))
	}
	return Quantity(n * quantityScale)
}

// ParseQuantity reads a plain decimal: an optional sign, digits, and at most
// four places that are not zero. Exponents, blanks and anything beyond a
// thousand million are refused.
func ParseQuantity(s string) (Quantity, error) {
	bad := func() (Quantity, error) {
		return 0, fmt.Errorf("quantity %q: want a plain decimal with at most 4 places", clip(s, 40))
	}
	digits, neg := s, false
	if digits != "" && (digits[0] == '-' || digits[0] == '+') {
		neg, digits = digits[0] == '-', digits[1:]
	}
	whole, frac, point := strings.Cut(digits, ".")
	if whole == "" || (point && frac == "") {
		return bad()
	}
	frac = strings.TrimRight(frac, "0")
	if len(frac) > 4 || len(whole) > 18 {
		return bad()
	}
	frac += "0000"[len(frac):]
	var v int64
	for _, c := range whole + frac {
		if c < '0' || c > '9' {
			return bad()
		}
		if v > (math.MaxInt64-9)/10 {
			return bad()
		}
		v = v*10 + int64(c-'0')
	}
	if v > int64(MaxQuantity) {
		return bad()
	}
	if neg {
		v = -v
	}
	return Quantity(v), nil
}

// Whole returns the number of units and whether the quantity is a whole number.
func (q Quantity) Whole() (int64, bool) {
	return int64(q) / quantityScale, int64(q)%quantityScale == 0
}

// String prints the shortest exact decimal.
func (q Quantity) String() string {
	v, sign := uint64(q), ""
	if q < 0 {
		sign, v = "-", -v // unsigned, for the lowest value has no positive twin
	}
	s := sign + strconv.FormatUint(v/quantityScale, 10)
	if f := v % quantityScale; f != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%04d", f), "0")
	}
	return s
}

// MarshalJSON writes a JSON number.
func (q Quantity) MarshalJSON() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalJSON reads a JSON number or a string that holds one.
func (q *Quantity) UnmarshalJSON(b []byte) error {
	b = bytes.Trim(b, `"`)
	v, err := ParseQuantity(string(b))
	if err != nil {
		return err
	}
	*q = v
	return nil
}

// Value writes the decimal for SQL numeric columns.
func (q Quantity) Value() (driver.Value, error) { return q.String(), nil }

// Scan reads what a SQL numeric column holds.
func (q *Quantity) Scan(src any) error {
	switch v := src.(type) {
	case string:
		p, err := ParseQuantity(v)
		*q = p
		return err
	case []byte:
		return q.Scan(string(v))
	case int64:
		return q.Scan(strconv.FormatInt(v, 10))
	}
	return fmt.Errorf("quantity: cannot read %T", src)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
