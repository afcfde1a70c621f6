package csv

import (
	"bytes"
	stdcsv "encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"orderferry/connectors"
	"orderferry/relay"
)

func scan(d dialect, text string) (rows []row) {
	s := newScanner(strings.NewReader(text), d, 0, 1)
	for {
		r, err := s.next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			return append(rows, row{err: err})
		}
		rows = append(rows, r)
	}
}

func TestRows(t *testing.T) {
	comma := dialect{separator: ',', quotes: quoteNeeded, encoding: utf8Plain}
	for name, c := range map[string]struct {
		d    dialect
		text string
		want [][]string // nil for a row that can't be read
		line []int
	}{
		"plain":                     {comma, "a,b\nc,d\n", [][]string{{"a", "b"}, {"c", "d"}}, []int{1, 2}},
		"CRLF, no last end":         {comma, "a,b\r\nc,d", [][]string{{"a", "b"}, {"c", "d"}}, []int{1, 2}},
		"CR alone":                  {comma, "a,b\rc,d\r\re", [][]string{{"a", "b"}, {"c", "d"}, {"e"}}, []int{1, 2, 4}},
		"CR in quotes":              {comma, "\"a\rb\",c\rd\r", [][]string{{"a\rb", "c"}, {"d"}}, []int{1, 3}},
		"lines of many ends":        {comma, "a\r\nb\rc\nd\r\r\ne", [][]string{{"a"}, {"b"}, {"c"}, {"d"}, {"e"}}, []int{1, 2, 3, 4, 6}},
		"byte-order mark":           {comma, "\xef\xbb\xbfa,b\n", [][]string{{"a", "b"}}, []int{1}},
		"mark before a quote":       {comma, "\xef\xbb\xbf\"a\",b\n", [][]string{{"a", "b"}}, []int{1}},
		"empty lines":               {comma, "\n\r\na\n  \nb\n", [][]string{{"a"}, {"b"}}, []int{3, 5}},
		"outer blanks":              {comma, " a , \" b \" ,c\n", [][]string{{"a", "b", "c"}}, []int{1}},
		"quotes":                    {comma, `"a,""b""","",5" pipe` + "\n", [][]string{{`a,"b"`, "", `5" pipe`}}, []int{1}},
		"a line's end in quotes":    {comma, "\"a\nb\",c\nd\n", [][]string{{"a\nb", "c"}, {"d"}}, []int{1, 3}},
		"a quote not closed":        {comma, "a\n\"b,c\nd,e\n", [][]string{{"a"}, nil, {"d", "e"}}, []int{1, 2, 3}},
		"every row with such one":   {comma, "x,\"b\ny,\"d\nz\n", [][]string{nil, nil, {"z"}}, []int{1, 2, 3}},
		"text behind a quote":       {comma, "\"a\"b,c\nd\n", [][]string{nil, {"d"}}, []int{1, 2}},
		"no quotes at all":          {dialect{separator: '\t', quotes: quoteNone}, "\"a\tb\"\n", [][]string{{`"a`, `b"`}}, []int{1}},
		"comments":                  {dialect{separator: '|', comment: ";"}, "; x\na|b\n;c|d\n", [][]string{{"a", "b"}}, []int{2}},
		"Windows-1252":              {dialect{separator: ';', encoding: windows1252}, "Zo\xeb;\x80 5\n", [][]string{{"Zoë", "€ 5"}}, []int{1}},
		"Windows-1252 not foreseen": {comma, "a\nZo\xeb\nb\n", [][]string{{"a"}, nil, {"b"}}, []int{1, 2, 3}},
		"a zero":                    {comma, "a\x00b\n", [][]string{nil}, []int{1}},
		"a line too long":           {comma, strings.Repeat("x", maxLine+1) + "\nb\n", [][]string{nil, {"b"}}, []int{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := scan(c.d, c.text)
			require.Len(t, got, len(c.want))
			for i, r := range got {
				require.Equal(t, c.want[i], r.cells)
				require.Equal(t, c.want[i] == nil, r.err != nil)
				require.Equal(t, c.line[i], r.line)
			}
		})
	}
}

// A row may be gone back to by its offset, wherever it is.
func TestOffsets(t *testing.T) {
	d := dialect{separator: ',', quotes: quoteNeeded}
	text := "\xef\xbb\xbfa,b\r\n\n\"c\nd\",e\n\"broken,x\nf,g\rh,\"i\rj\"\r\rk"
	for _, r := range scan(d, text) {
		again, err := newScanner(strings.NewReader(text[r.at:]), d, r.at, r.line).next()
		require.NoError(t, err)
		require.Equal(t, r.cells, again.cells)
		require.Equal(t, r.line, again.line)
	}
}

// Where the standard library reads a text, we read the same of it.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\"\"b\",c\r\n", "\"a\nb\",c\n", ",,\n", "\"\",\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := dialect{separator: ',', quotes: quoteNeeded}
		rows := scan(d, text)
		for _, r := range rows {
			require.GreaterOrEqual(t, r.at, int64(0))
		}
		// Ours does without: marks, blanks that count, and a lone carriage return.
		if strings.HasPrefix(text, string(byteOrderMark)) || strings.ContainsAny(text, "\r\x00 \t\v\f\u0085\u00a0") || strings.Count(text, "\n") > maxRowLines {
			return
		}
		r := stdcsv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		if err != nil {
			return
		}
		for i, cells := range want {
			if i >= len(rows) || rows[i].err != nil { // no UTF-8, or white space alone
				return
			}
			for j, c := range cells {
				require.Equal(t, strings.TrimSpace(c), rows[i].cells[j])
			}
		}
	})
}

func FuzzWrittenRowsAreRead(f *testing.F) {
	f.Add("a", "b", true)
	f.Add("a\nb", `"`, false)
	f.Fuzz(func(t *testing.T, a, b string, all bool) {
		d := dialect{separator: ';', quotes: quoteNeeded, comment: "#", crlf: true}
		if all {
			d.quotes = quoteAll
		}
		text, err := d.append(nil, []string{a, b, "end"})
		var refused *cellError
		if errors.As(err, &refused) || bytes.Count(text, []byte("\n")) > maxRowLines {
			return
		}
		require.NoError(t, err)
		rows := scan(d, string(text))
		require.Len(t, rows, 1)
		require.NoError(t, rows[0].err)
		require.Equal(t, []string{strings.TrimSpace(a), strings.TrimSpace(b), "end"}, rows[0].cells)
	})
}

// Nothing that we write is run by a spreadsheet, and nothing is changed on the way in.
func TestFormulas(t *testing.T) {
	o := anOrder("SO-1")
	o.ShipTo.Name, o.ShipTo.Company, o.ShipTo.Street1, o.ShipTo.Street2, o.ShipTo.Phone = "=HYPERLINK(1)", "+A1", "-2+3", "@SUM(A1)", "+15556667777"
	r := prepared(t, "standard", o)
	require.Contains(t, string(r.Content), ",'=HYPERLINK(1),'+A1,'-2+3,'@SUM(A1),")
	require.Contains(t, string(r.Content), ",+15556667777,", "a plain number is no formula")
	r = prepared(t, "extends: standard\nguard: ' '", o)
	require.Contains(t, string(r.Content), `," =HYPERLINK(1)",`)

	orders, _ := pullOrders(t, "standard", "ord_1.csv", lines("order,name,sku,quantity", "A-1,=HYPERLINK(1),-MUG,1"))
	require.Equal(t, "=HYPERLINK(1)", orders[0].ShipTo.Name)
	require.Equal(t, relay.SKU("-MUG"), orders[0].Lines[0].SKU)
}

// A code with something before it would be another code: it is refused, and not sent.
func TestCodesAreNeverChanged(t *testing.T) {
	f := newFolder(t)
	o := anOrder("SO-1")
	o.Items[1].Code = "-RED-M"
	_, err := f.warehouse(nil).PrepareOrder(o)
	var refused *relay.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, relay.Invalid, refused.Kind)
	require.Equal(t, []relay.Problem{{Field: "lines[1].sku", Value: "-RED-M",
		Message: `begins with "-", so that a spreadsheet would run it: want another code, or guard: none in the profile, for this column or as a whole`}}, refused.Fields)
	r := prepared(t, `
extends: standard
orders:
  write: "ord_{order}_{token}.csv"
  columns: [order, ship_to.name, {field: sku, guard: none}, quantity]
`, o)
	require.Contains(t, string(r.Content), ",-RED-M,6")

	out, err := f.open("csv-cart", nil).(connectors.InventorySink).PushInventory(t.Context(), connectors.InventoryPush{Key: "k", Targets: []connectors.StockTarget{{SKU: "@HOME"}, {SKU: "-5"}}})
	require.NoError(t, err)
	require.ErrorIs(t, out[0].Err, relay.Invalid)
	require.NoError(t, out[1].Err, "a plain number is no formula")
	require.Equal(t, "sku,quantity,site,location\r\n-5,0,,\r\n", f.read("out/inv_k.csv"))
}

func TestEncodings(t *testing.T) {
	o := anOrder("SO-1")
	o.ShipTo.City = "Malmö"
	r := prepared(t, "extends: standard\nencoding: windows-1252\nline_ends: lf\nseparator: semicolon", o)
	require.Contains(t, string(r.Content), ";Malm\xf6;")
	require.NotContains(t, string(r.Content), "\r")
	r = prepared(t, "extends: standard\nencoding: utf-8-bom", o)
	require.True(t, bytes.HasPrefix(r.Content, byteOrderMark))

	// A character that the encoding lacks is named, and not replaced.
	o.ShipTo.City = "Łódź"
	_, err := newFolder(t).open("csv", connectors.Values{"profile": "extends: standard\nencoding: windows-1252"}).(connectors.OrderSink).PrepareOrder(o)
	var refused *relay.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, relay.HoldBadAddress, refused.Reason)
	require.Equal(t, "ship_to.city", refused.Fields[0].Field)
	require.NotContains(t, err.Error(), "Łódź")
}

func TestTimesAndNumbers(t *testing.T) {
	p, err := parseProfile("extends: standard\nzone: America/New_York\ndecimal: comma")
	require.NoError(t, err)
	l := p.orders
	for _, c := range []struct{ format, text, want string }{
		{"", "2026-03-07T09:30:00Z", "2026-03-07T09:30:00Z"},
		{"", "2026-03-07T09:30:00+0100", "2026-03-07T08:30:00Z"},
		{"iso8601", "2026-03-07 09:30:00", "2026-03-07T14:30:00Z"},
		{"iso8601", "2026-03-07", "2026-03-07T05:00:00Z"},
		{"unix", "1772841600", "2026-03-07T00:00:00Z"},
		{"DD.MM.YYYY hh:mm", "07.03.2026 09:30", "2026-03-07T14:30:00Z"},
		{"M/D/YY", "3/7/26", "2026-03-07T05:00:00Z"},
		{"", "07.03.2026", ""},
		{"unix", "1772841600000000", ""},
		{"unix", "soon", ""},
		{"", "0001-01-01", ""},
	} {
		got, err := l.parseTime(column{format: c.format}, c.text)
		if c.want == "" {
			require.Error(t, err, c.text)
			continue
		}
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got.UTC().Format("2006-01-02T15:04:05Z07:00"))
	}
	q, err := l.parseQuantity("1,5")
	require.NoError(t, err)
	require.Equal(t, "1,5", l.formatQuantity(q))
	for _, bad := range []string{"1.5", "1.000,5", "1e3", "", "1 000"} {
		_, err := l.parseQuantity(bad)
		require.Error(t, err, bad)
	}
}
