package tradegecko

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

// recorded reads an exchange with the vendor's own server; testdata/SOURCE.txt
// says where it is from.
func recorded(t testing.TB, name string) *document {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	var exchange struct {
		Response struct {
			Headers map[string][]string `json:"headers"`
			Body    json.RawMessage     `json:"body"`
		} `json:"response"`
	}
	require.NoError(t, json.Unmarshal(b, &exchange))
	d := new(document)
	require.NoError(t, json.Unmarshal(exchange.Response.Body, d))
	if h := exchange.Response.Headers; len(h["X-Pagination"]) > 0 {
		p := readPaging(h)
		require.True(t, p.told)
		require.Greater(t, p.TotalPages, 1)
		require.False(t, p.ended(5))
	}
	return d
}

func TestRecordedAnswersAreRead(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.Len(t, files, 8)

	orders := recorded(t, "orders").Orders
	require.Len(t, orders, 5)
	require.Equal(t, id(5706), orders[0].ID)
	require.Equal(t, text("SO0211"), orders[0].OrderNumber)
	require.Equal(t, ids{12434, 12435, 12433}, orders[0].LineIDs)
	require.Equal(t, time.Date(2013, 11, 14, 4, 2, 23, 404e6, time.UTC), orders[0].UpdatedAt.Time)
	require.True(t, orders[1].cancelled())
	require.NotNil(t, orders[3].LineIDs)
	require.Empty(t, orders[3].LineIDs)

	lines := recorded(t, "order_line_items").OrderLines
	require.Len(t, lines, 5)
	for _, l := range lines {
		require.True(t, l.ships())
		n, err := l.Quantity.quantity()
		require.NoError(t, err)
		require.Positive(t, n)
	}

	addresses := recorded(t, "addresses").Addresses
	require.Len(t, addresses, 5)
	require.Equal(t, relay.Address{Name: "TradeGecko", Street1: "14a York St", Street2: "Parnell", City: "Auckland", Zip: "123456", Country: "NZ"},
		shipTo(order{}, addresses[0], family{}))
	require.Equal(t, "NZ", country(addresses[2]))

	variants := recorded(t, "variants").Variants
	require.Len(t, variants, 5)
	n, err := variants[1].onHand(159)
	require.NoError(t, err)
	require.Equal(t, relay.Units(-10), n)
	require.True(t, variants[1].Composite.or(false))
	require.Equal(t, "zzzz", variants[0].title())
	require.Equal(t, "0", variants[0].cost("moving_average"))

	places := recorded(t, "locations").Locations
	require.Len(t, places, 5)
	require.True(t, places[0].HoldsStock.or(false))
	require.EqualValues(t, 8409, recorded(t, "accounts_current").Account.PrimaryLocationID)
	require.Contains(t, recorded(t, "users_current").User.Permissions, text("write_stocks"))
}

// The documentation of 2021 shows fields that the recordings of 2014 lack.
func TestTheNewerGenerationIsRead(t *testing.T) {
	d := recorded(t, "documented_2021")
	require.Equal(t, id(math.MaxInt64), d.Orders[0].ID)
	require.True(t, d.OrderLines[0].ships())
	require.False(t, d.OrderLines[1].ships())
	f := joinLines(d)
	require.Len(t, f, 1)
	require.False(t, f[0].partial)
	units, ok := f[0].contents()
	require.True(t, ok)
	require.Equal(t, map[id]relay.Quantity{910001: relay.Units(2), 910002: relay.Units(1)}, units)
	n, err := d.Variants[0].onHand(31)
	require.NoError(t, err)
	require.Equal(t, relay.Quantity(15000), n)
	require.Equal(t, "12.3456789", d.Variants[0].cost("moving_average"))
}

func TestOddScalars(t *testing.T) {
	var got struct {
		A, B, C, D id
		Q, R, S, T decimal
		F, G, H    flag
		X, Y       text
		M, N, O    moment
		L          ids
		P, V       texts
	}
	require.NoError(t, json.Unmarshal([]byte(`{"a":9007199254740993,"b":"9007199254740993","c":null,"d":{"x":1},
		"q":"18.745","r":0,"s":null,"t":[1],"f":true,"g":null,"h":"false","x":1022,"y":{},
		"m":"2018-06-01","n":"2020-07-10T20:37:20","o":"soon","l":[1,"2",null,{}],"p":"a, b,,c","v":["a,b","c"]}`), &got))
	require.Equal(t, []id{9007199254740993, 9007199254740993, 0, 0}, []id{got.A, got.B, got.C, got.D})
	require.Equal(t, []decimal{"18.745", "0", "", ""}, []decimal{got.Q, got.R, got.S, got.T})
	require.True(t, got.F.or(false))
	require.True(t, got.G.or(true))
	require.False(t, got.H.or(true))
	require.Equal(t, text("1022"), got.X)
	require.Empty(t, got.Y)
	require.Equal(t, time.Date(2018, 6, 1, 0, 0, 0, 0, time.UTC), got.M.Time)
	require.Equal(t, time.Date(2020, 7, 10, 20, 37, 20, 0, time.UTC), got.N.Time)
	require.True(t, got.O.IsZero())
	require.Equal(t, ids{1, 2, 0, 0}, got.L)
	require.Equal(t, texts{"a", "b", "c"}, got.P)
	require.Equal(t, texts{"a", "b", "c"}, got.V)
}

func TestMarksAreWholeWords(t *testing.T) {
	require.True(t, hasMark("by hand\nrelay:k-1, box 1", "k-1"))
	require.False(t, hasMark("relay:k-12", "k-1"))
	require.False(t, hasMark("xrelay:k-1", "k-1"))
	require.False(t, hasMark("", "k-1"))
	require.True(t, hasMark(withMark("gift", "a:b"), "a:b"))
	require.False(t, hasAnyMark("relay team"))
}

func TestTheVariantCacheIsBounded(t *testing.T) {
	now := time.Now()
	c := newVariantCache(2, time.Minute)
	for i := range id(3) {
		c.put(variant{ID: i + 1}, now)
	}
	_, ok := c.get(1, now)
	require.False(t, ok)
	_, ok = c.get(2, now)
	require.True(t, ok)
	c.put(variant{ID: 4}, now)
	_, ok = c.get(3, now)
	require.False(t, ok, "the one used last stays")
	_, ok = c.get(2, now.Add(2*time.Minute))
	require.False(t, ok, "too old")
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{`"18.745"`, `0`, `null`, `"-12"`, `1e9`, `"1.00000"`, `{}`, `"`, `""`, `" 3 "`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d decimal
		if json.Unmarshal([]byte(s), &d) != nil {
			return // no JSON at all
		}
		q, err := d.quantity()
		if err != nil {
			return
		}
		again, err := relay.ParseQuantity(q.String())
		require.NoError(t, err)
		require.Equal(t, q, again)
		if d.positive() {
			require.GreaterOrEqual(t, q, relay.Quantity(0))
		}
	})
}

func FuzzOrderPage(f *testing.F) {
	for _, name := range []string{"orders", "documented_2021"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		require.NoError(f, err)
		var exchange struct {
			Response struct{ Body json.RawMessage }
		}
		require.NoError(f, json.Unmarshal(b, &exchange))
		var short bytes.Buffer
		require.NoError(f, json.Compact(&short, exchange.Response.Body))
		f.Add(short.Bytes(), `{"total_pages":3}`)
	}
	f.Add([]byte(`{"orders":[null,{"id":"x","updated_at":5}]}`), `[]`)
	f.Fuzz(func(t *testing.T, body []byte, pagination string) {
		d := new(document)
		if json.Unmarshal(body, d) != nil {
			return
		}
		fam := family{lines: map[id][]orderLine{}, addresses: map[id]address{}}
		for _, l := range d.OrderLines {
			fam.lines[l.OrderID] = append(fam.lines[l.OrderID], l)
		}
		for _, a := range d.Addresses {
			fam.addresses[a.ID] = a
		}
		c := &connection{skuField: "sku"}
		for _, o := range d.Orders {
			got := c.cartOrder(o, fam)
			got.Digest()
			if len(got.Problems) == 0 {
				for _, l := range got.Lines {
					require.NotEmpty(t, l.ID)
				}
			}
		}
		for _, ful := range joinLines(d) {
			ful.contents()
		}
		var cur cursor
		cur.begin("f", day, time.Minute, time.Hour)
		p := readPaging(map[string][]string{"X-Pagination": {pagination}})
		for range 50 {
			cur.Walk.page(10)
			if cur.Walk.next(d.Orders, p) {
				cur.end(day)
				break
			}
		}
		_, err := parseCursor("fuzz", cur.String())
		require.NoError(t, err)
	})
}
