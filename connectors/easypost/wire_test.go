package easypost

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"orderferry/relay"
)

func TestStampReadsEveryForm(t *testing.T) {
	want := time.Date(2019, 10, 13, 20, 55, 0, 0, time.UTC)
	for _, s := range []string{`1571000100`, `"1571000100"`, `1571000100000`, `"1571000100000"`, `1571000100.0`, `1.5710001e9`,
		`"2019-10-13T20:55:00Z"`, `"2019-10-13T22:55:00+02:00"`, `"2019-10-13T20:55:00"`, `"2019-10-13 20:55:00 UTC"`} {
		var got stamp
		require.NoError(t, decode([]byte(s), &got))
		require.Equal(t, want, got.At, s)
		require.True(t, got.Set)
	}
	for _, s := range []string{`null`, `""`, `0`, `"0"`, `false`} {
		var got stamp
		require.NoError(t, decode([]byte(s), &got))
		require.Zero(t, got, s)
	}
	for _, s := range []string{`-5`, `1e300`, `"yesterday"`, `true`, `"NaN"`} {
		var got stamp
		require.NoError(t, decode([]byte(s), &got))
		require.True(t, got.At.IsZero(), s)
		require.True(t, got.Set)
	}
}

func TestNumberReadsEveryForm(t *testing.T) {
	for s, want := range map[string]number{
		`41`:        {Value: relay.Units(41), Set: true},
		`"41"`:      {Value: relay.Units(41), Set: true},
		`-2.5`:      {Value: -25_000, Set: true},
		`1e2`:       {Value: relay.Units(100), Set: true},
		`0.1234567`: {Value: 1235, Set: true},
		`null`:      {},
		`""`:        {},
		`"lots"`:    {Set: true, Bad: true},
		`1e300`:     {Set: true, Bad: true},
		`[1]`:       {Set: true, Bad: true},
		`true`:      {Set: true, Bad: true},
	} {
		var got number
		require.NoError(t, decode([]byte(s), &got))
		require.Equal(t, want, got, s)
	}
}

func TestDecodeForgives(t *testing.T) {
	var o orderJSON
	require.NoError(t, decodeOne([]byte(`{"order":{"id":7,"status":["x"],"destination":"here","picks":{"inventories":[null,3,{"product":5}]},"trackers":null,"line_items":"none","unknown":{}}}`), "order", &o))
	require.Equal(t, text("7"), o.ID)
	require.Zero(t, *o.Destination)
	require.Len(t, o.picks(), 1)
	require.Len(t, o.picks()[0].Inventories, 1)
	require.Nil(t, o.Trackers)
	for _, bad := range []string{``, `null`, `[]`, `"x"`, `<html>`, `{"id":`} {
		require.Error(t, decodeOne([]byte(bad), "order", &o), bad)
	}
	for body, want := range map[string]int{`{"orders":[{"id":"a"},null,"b",{"id":"c"}]}`: 2, `{"orders":null}`: 0, `{"orders":[]}`: 0, `[{"id":"a"}]`: 1} {
		rows, listed, err := decodeList[orderJSON]([]byte(body), "orders")
		require.NoError(t, err)
		require.True(t, listed)
		require.Len(t, rows, want)
	}
	_, listed, err := decodeList[orderJSON]([]byte(`{}`), "orders")
	require.NoError(t, err)
	require.False(t, listed)
	for _, bad := range []string{``, `<p>`, `{"errors":{"code":"X"}}`, `[1,`} {
		_, _, err := decodeList[orderJSON]([]byte(bad), "orders")
		require.Error(t, err, bad)
	}
}

func FuzzDecodeOrder(f *testing.F) {
	f.Add([]byte(`{"id":"order_1","status":"shipped","created_at":1571000100,"line_items":[{"units":2,"product":{"id":"p","barcode":"b"}}],"picks":[{"tracker":{"id":"t","tracking_code":"1"},"inventories":[{"product_id":"p","quantity":"2"}]}],"trackers":[{"id":"t","tracking_code":"1","carrier":"USPS"}]}`))
	f.Add([]byte(`{"order":{"id":null,"picks":{},"trackers":[1,null]}}`))
	f.Add([]byte(`{"orders":[{"created_at":"x"}]}`))
	c := &connection{cancelled: []string{"cancelled"}, shipped: []string{"shipped"}, statuses: map[string]struct{}{"": {}}}
	for i := range maxStatuses {
		c.statuses[string(rune('a'+i))] = struct{}{} // full: nothing is logged
	}
	w := &want{}
	f.Fuzz(func(t *testing.T, body []byte) {
		var o orderJSON
		if decodeOne(body, "order", &o) == nil {
			u := c.update(o)
			require.LessOrEqual(t, len(u.Status), maxStatus)
			seen := make(map[string]bool)
			for _, p := range u.Packages {
				require.NotEmpty(t, p.TrackingNumber)
				require.False(t, seen[p.Key()])
				seen[p.Key()] = true
			}
			require.False(t, len(u.Packages) > 0 && u.Progress != "part_shipped" && u.Progress != "shipped")
			w.compare(o)
		}
		_, _, _ = decodeList[orderJSON](body, "orders")
		_, _, _ = decodeList[inventoryJSON](body, "inventories")
	})
}

// Which of two orders is the older is decided by the millisecond.
func TestStampKeepsTheMillisecond(t *testing.T) {
	for ms := int64(1_795_000_000_000); ms < 1_795_000_001_000; ms++ {
		var s stamp
		require.NoError(t, s.UnmarshalJSON([]byte(strconv.FormatInt(ms, 10))))
		require.Equal(t, ms, s.At.UnixMilli())
	}
}
