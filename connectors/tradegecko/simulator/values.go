package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// amount is an exact decimal in ten-thousandths. On the wire it is a string
// with at least one decimal digit (wire/tradegecko.md section 2.3).
type amount int64

// level is an amount written as stock is: whole numbers have no decimals.
type level amount

const one amount = 10_000

const (
	places       = 4
	amountDigits = 12 // most digits before the point
)

var errAmount = errors.New("is not a number")

// parseAmount reads a plain decimal; digits beyond the fourth are cut off.
func parseAmount(s string) (amount, error) {
	digits, negative := strings.TrimSpace(s), false
	if rest, ok := strings.CutPrefix(digits, "-"); ok {
		digits, negative = rest, true
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole+fraction == "" || len(whole) > amountDigits || len(fraction) > 32 {
		return 0, errAmount
	}
	fraction = (fraction + "0000")[:max(places, len(fraction))]
	for _, r := range whole + fraction {
		if r < '0' || r > '9' {
			return 0, errAmount
		}
	}
	n, err := strconv.ParseInt(whole+fraction[:places], 10, 64)
	if err != nil {
		return 0, errAmount
	}
	if negative {
		n = -n
	}
	return amount(n), nil
}

func (a amount) append(dst []byte, decimals int) []byte {
	n := uint64(a)
	if a < 0 {
		dst, n = append(dst, '-'), uint64(-a)
	}
	dst = strconv.AppendUint(dst, n/uint64(one), 10)
	fraction := n % uint64(one)
	if fraction == 0 && decimals == 0 {
		return dst
	}
	dst = append(dst, '.')
	for digit, scale := 0, uint64(one)/10; digit < places && (fraction > 0 || digit < decimals); digit++ {
		dst = append(dst, byte('0'+fraction/scale))
		fraction, scale = fraction%scale, scale/10
	}
	return dst
}

// times multiplies, rounding towards zero; what does not fit is cut to the largest value.
func (a amount) times(b amount) amount { return a.muldiv(b, one) }

// muldiv is a*b/c without losing the middle.
func (a amount) muldiv(b, c amount) amount {
	if c == 0 {
		return 0
	}
	negative := (a < 0) != (b < 0) != (c < 0)
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi >= magnitude(c) {
		lo = math.MaxInt64
	} else {
		lo, _ = bits.Div64(hi, lo, magnitude(c))
	}
	n := amount(min(lo, math.MaxInt64))
	if negative {
		return -n
	}
	return n
}

func magnitude(a amount) uint64 {
	if a < 0 {
		return uint64(-a)
	}
	return uint64(a)
}

// String is the shortest form: "2", "1.5".
func (a amount) String() string { return string(a.append(nil, 0)) }

func (a amount) MarshalJSON() ([]byte, error) {
	return append(a.append([]byte{'"'}, 1), '"'), nil
}

func (a *amount) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	n, err := parseAmount(strings.Trim(string(data), `"`))
	*a = n
	return err
}

func (l level) MarshalJSON() ([]byte, error) {
	return append(amount(l).append([]byte{'"'}, 0), '"'), nil
}

func (l *level) UnmarshalJSON(data []byte) error { return (*amount)(l).UnmarshalJSON(data) }

// zeroLevel is a level whose nought is the number 0.
type zeroLevel amount

func (z zeroLevel) MarshalJSON() ([]byte, error) {
	if z == 0 {
		return []byte("0"), nil
	}
	return level(z).MarshalJSON()
}

// nullLevel is a level whose nought is null.
type nullLevel amount

func (n nullLevel) MarshalJSON() ([]byte, error) {
	if n == 0 {
		return []byte("null"), nil
	}
	return level(n).MarshalJSON()
}

// stamp is a time in milliseconds since the epoch; 0 is null on the wire.
type stamp int64

const stampForm = "2006-01-02T15:04:05.000Z"

func stampOf(t time.Time) stamp { return stamp(t.UnixMilli()) }

func (s stamp) time() time.Time { return time.UnixMilli(int64(s)).UTC() }

func (s stamp) date() string { return s.time().Format(time.DateOnly) }

func (s stamp) MarshalJSON() ([]byte, error) {
	if s == 0 {
		return []byte("null"), nil
	}
	return append(s.time().AppendFormat([]byte{'"'}, stampForm), '"'), nil
}

func (s *stamp) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "null" || text == "" {
		*s = 0
		return nil
	}
	t, err := parseTime(text)
	*s = stampOf(t)
	return err
}

var errTime = errors.New("is not a valid date")

// parseTime reads the forms that vendor examples show; without a zone it is UTC.
func parseTime(s string) (time.Time, error) {
	if len(s) > 40 {
		return time.Time{}, errTime
	}
	for _, form := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00",
		time.DateOnly, time.DateTime, "02-01-2006", time.RFC1123, time.RFC1123Z} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errTime
}

// input is the object of a write: the fields that were sent, and what is wrong
// with them. Unknown fields are passed over, as the vendor does.
type input struct {
	fields map[string]json.RawMessage
	errs   map[string][]string
}

func (in *input) fault(field, message string) {
	if in.errs == nil {
		in.errs = map[string][]string{}
	}
	in.errs[field] = append(in.errs[field], message)
}

func (in *input) err() error {
	if len(in.errs) == 0 {
		return nil
	}
	return &apiError{status: 422, errors: in.errs}
}

func (in *input) has(name string) bool { _, ok := in.fields[name]; return ok }

// scalar returns a field as text. sent is false when the field is absent.
func (in *input) scalar(name string) (text string, null, sent bool) {
	raw, ok := in.fields[name]
	if !ok {
		return "", false, false
	}
	raw = bytes.TrimSpace(raw)
	switch {
	case string(raw) == "null":
		return "", true, true
	case len(raw) > 0 && raw[0] == '"':
		if err := json.Unmarshal(raw, &text); err == nil {
			return text, false, true
		}
	case len(raw) > 0 && raw[0] != '{' && raw[0] != '[':
		return string(raw), false, true
	}
	in.fault(name, "is invalid")
	return "", false, false
}

func (in *input) text(name string, dst **string) {
	if s, null, sent := in.scalar(name); null {
		*dst = nil
	} else if sent {
		*dst = &s
	}
}

func (in *input) str(name string, dst *string) {
	if s, _, sent := in.scalar(name); sent {
		*dst = s
	}
}

func (in *input) id(name string, dst *int64) {
	s, null, sent := in.scalar(name)
	if !sent {
		return
	}
	if null || s == "" {
		*dst = 0
		return
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		in.fault(name, "is not a number")
		return
	}
	*dst = n
}

func (in *input) optionalID(name string, dst **int64) {
	if !in.has(name) {
		return
	}
	var n int64
	if in.id(name, &n); n == 0 {
		*dst = nil
		return
	}
	*dst = &n
}

func (in *input) amount(name string, dst *amount) {
	s, null, sent := in.scalar(name)
	if !sent || null || s == "" {
		return
	}
	n, err := parseAmount(s)
	if err != nil {
		in.fault(name, err.Error())
		return
	}
	*dst = n
}

func (in *input) optionalAmount(name string, dst **amount) {
	s, null, sent := in.scalar(name)
	if !sent {
		return
	}
	if null || s == "" {
		*dst = nil
		return
	}
	var n amount
	in.amount(name, &n)
	*dst = &n
}

func (in *input) bool(name string, dst *bool) {
	if s, null, sent := in.scalar(name); sent && !null {
		*dst = s == "true" || s == "1"
	}
}

func (in *input) moment(name string, dst *stamp) {
	s, null, sent := in.scalar(name)
	if !sent {
		return
	}
	if null || s == "" {
		*dst = 0
		return
	}
	t, err := parseTime(s)
	if err != nil {
		in.fault(name, err.Error())
		return
	}
	*dst = stampOf(t)
}

func (in *input) date(name string, dst **string) {
	if !in.has(name) {
		return
	}
	var at stamp
	if in.moment(name, &at); at == 0 {
		*dst = nil
		return
	}
	day := at.date()
	*dst = &day
}

func (in *input) texts(name string, dst *[]string) {
	raw, ok := in.fields[name]
	if !ok {
		return
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		in.fault(name, "is invalid")
		return
	}
	*dst = append([]string{}, list...)
}

// objects are nested objects, such as an order's lines.
func (in *input) objects(name string) []*input {
	raw, ok := in.fields[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		in.fault(name, "is invalid")
		return nil
	}
	out := make([]*input, len(list))
	for i, fields := range list {
		out[i] = &input{fields: fields}
	}
	return out
}

// object is one nested object; nil when it was not sent.
func (in *input) object(name string) *input {
	raw, ok := in.fields[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		in.fault(name, "is invalid")
		return nil
	}
	return &input{fields: fields}
}
