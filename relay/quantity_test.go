package relay_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"orderferry/relay"
)

func TestParseQuantity(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "+0": "0", "00": "0", "7": "7", "+7": "7", "-7": "-7", "007": "7",
		"1.5": "1.5", "1.50": "1.5", "-0.25": "-0.25", "0.0001": "0.0001", "2.00000000": "2", "12.3400": "12.34",
		"1000000000": "1000000000", "-1000000000.0000": "-1000000000", "999999999.9999": "999999999.9999",
		"000000000000000001": "1",
	} {
		q, err := relay.ParseQuantity(in)
		require.NoError(t, err, in)
		require.Equal(t, want, q.String(), in)
	}
	for _, in := range []string{
		"", " ", "-", "+", ".", ".5", "5.", "-.5", "--1", "+-1", "1e3", "1E3", "0x1", "1_000", "1,000", "1,5", "1.2.3", "1.00.0",
		" 1", "1 ", "1.00001", "0.00009", "NaN", "Inf", "-Infinity", "null", "ten", "١", "1\x00", "½",
		"1000000000.0001", "1000000001", "-1000000001", "9223372036854775807", "922337203685477.5808", "18446744073709551616",
		"0000000000000000001", strings.Repeat("9", 400), "0." + strings.Repeat("0", 5) + "1",
	} {
		q, err := relay.ParseQuantity(in)
		require.Error(t, err, in)
		require.Zero(t, q, in)
		require.Less(t, len(err.Error()), 250, "an error does not repeat a long input")
	}
}

func TestQuantityAsJSON(t *testing.T) {
	var row struct{ Quantity relay.Quantity }
	for in, want := range map[string]relay.Quantity{
		`2`: relay.Units(2), `"2"`: relay.Units(2), `-1.5`: -15_000, `"-1.5"`: -15_000, `0.0001`: 1,
	} {
		require.NoError(t, json.Unmarshal([]byte(`{"Quantity":`+in+`}`), &row), in)
		require.Equal(t, want, row.Quantity, in)
	}
	// An absent number must not turn into an order for nothing.
	for _, in := range []string{`null`, `""`, `true`, `[]`, `{}`, `1e2`, `"1e2"`, `"\u0031"`, `" 1"`} {
		require.Error(t, json.Unmarshal([]byte(`{"Quantity":`+in+`}`), &row), in)
	}
	b, err := json.Marshal(map[string]relay.Quantity{"q": -15_000})
	require.NoError(t, err)
	require.JSONEq(t, `{"q":-1.5}`, string(b))
}

func TestQuantityAsSQL(t *testing.T) {
	for _, src := range []any{"1.5", []byte("1.5")} {
		var q relay.Quantity
		require.NoError(t, q.Scan(src))
		require.Equal(t, relay.Quantity(15_000), q)
	}
	var q relay.Quantity
	require.NoError(t, q.Scan(int64(-3)))
	require.Equal(t, relay.Units(-3), q)
	for _, src := range []any{nil, 1.5, true, "NaN", []byte{}, int64(math.MinInt64)} {
		require.Error(t, q.Scan(src), "%v", src)
	}
	v, err := relay.Quantity(-1).Value()
	require.NoError(t, err)
	require.Equal(t, "-0.0001", v)
}

func TestWhole(t *testing.T) {
	for q, want := range map[relay.Quantity]int64{0: 0, relay.Units(7): 7, relay.Units(-7): -7} {
		n, whole := q.Whole()
		require.True(t, whole)
		require.Equal(t, want, n)
	}
	for _, q := range []relay.Quantity{1, -1, 15_000, -15_000, relay.MaxQuantity - 1} {
		_, whole := q.Whole()
		require.False(t, whole, q)
	}
}

func TestUnitsBeyondTheBoundPanic(t *testing.T) {
	require.Equal(t, relay.MaxQuantity, relay.Units(1_000_000_000))
	for _, n := range []int64{1_000_000_001, -1_000_000_001, math.MaxInt64, math.MinInt64} {
		require.Panics(t, func() { relay.Units(n) }, n)
	}
}

// Sums may pass MaxQuantity; what is printed is exact all the same.
func TestQuantityStringIsExact(t *testing.T) {
	check := func(v int64) {
		want := new(big.Rat).SetFrac64(v, 10_000)
		got, ok := new(big.Rat).SetString(relay.Quantity(v).String())
		require.True(t, ok, v)
		require.Zero(t, want.Cmp(got), "%d prints as %s", v, relay.Quantity(v))
	}
	for _, v := range []int64{0, 1, -1, 9_999, 10_000, math.MaxInt64, math.MinInt64, math.MinInt64 + 1} {
		check(v)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		got, ok := new(big.Rat).SetString(relay.Quantity(v).String())
		if !ok || got.Cmp(new(big.Rat).SetFrac64(v, 10_000)) != 0 {
			t.Fatalf("%d prints as %s", v, relay.Quantity(v))
		}
	})
}

// FuzzParseQuantity: what is accepted is the exact value, in bounds, and reads
// back in every form that we write.
func FuzzParseQuantity(f *testing.F) {
	for _, s := range []string{"0", "-1.5", "+2", "1000000000", "0.00010", "1e3", ".", "99999999999999999999", "1.2.3", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := relay.ParseQuantity(s)
		if err != nil {
			require.Zero(t, q)
			return
		}
		require.LessOrEqual(t, q, relay.MaxQuantity)
		require.GreaterOrEqual(t, q, -relay.MaxQuantity)
		exact, ok := new(big.Rat).SetString(s)
		require.True(t, ok, s)
		require.Zero(t, exact.Cmp(new(big.Rat).SetFrac64(int64(q), 10_000)), "%q is %s", s, q)

		again, err := relay.ParseQuantity(q.String())
		require.NoError(t, err)
		require.Equal(t, q, again)

		b, err := json.Marshal(q)
		require.NoError(t, err)
		var fromJSON, fromText relay.Quantity
		require.NoError(t, json.Unmarshal(b, &fromJSON))
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, "%q", q), &fromText))
		require.Equal(t, q, fromJSON)
		require.Equal(t, q, fromText)

		v, err := q.Value()
		require.NoError(t, err)
		var fromSQL relay.Quantity
		require.NoError(t, fromSQL.Scan(v))
		require.Equal(t, q, fromSQL)
	})
}

func FuzzQuantityFromJSON(f *testing.F) {
	for _, s := range []string{"1", `"1"`, "null", `"`, `""`, "1e2", "[1]", `"1""`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var q relay.Quantity
		if json.Unmarshal(b, &q) != nil {
			return
		}
		require.LessOrEqual(t, q, relay.MaxQuantity)
		require.GreaterOrEqual(t, q, -relay.MaxQuantity)
	})
}
