package simulator

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHostileRequestsAreAnswered sends nonsense to every call: each gets an answer
// below 500 (a panic would cut the connection) and the simulator lives on.
func TestHostileRequestsAreAnswered(t *testing.T) {
	w := newWorld(t).stocked()
	bodies := []string{"", "null", "[]", "5", `"x"`, "{", "{}", "\xff\xfe", strings.Repeat("[", 20_000), `{"line_items":[null]}`,
		`{"line_items":{"product":{}}}`, `{"destination":[],"service":{}}`, `{"tracker":null}`, `{"webhook":{"url":null}}`,
		`{"address":{"residential":"yes"}}`, `{"line_items":[{"product_id":5,"units":1e400}]}`, `{"title":"x","barcode":"x","price":{"value":"1e9999"}}`,
		`{"service":"standard","destination":{"name":"\u0000","street1":"a","city":"b","country":"FR"},"line_items":[{"product":{"barcode":"` + tote + `"},"units":1}],"inserts":[null,{}]}`}
	ids := []string{"x", "%00", "..", w.order(), strings.Repeat("y", 2000)}
	query := "?query=%00+x&limit=-1&per_page=9e9&page=%ff&includes[]=product&product_ids[]=&before_id=x&page_size=0"
	for _, rt := range vendorRoutes() {
		for _, body := range bodies {
			for _, id := range ids {
				path := "/" + strings.ReplaceAll(strings.Join(rt.path, "/"), "{}", url.PathEscape(id))
				a, err := w.try("live-key", rt.Method, path+query, body)
				require.NoError(t, err, "%s %s %q", rt.Method, path, body)
				require.Less(t, a.status, 500, "%s %s %q: %s", rt.Method, path, body, a.raw)
			}
		}
	}
	a := w.call("POST", full+"/orders", strings.Repeat(" ", maxBody+1))
	require.Equal(t, 413, a.status)
	w.must(200, "GET", full+"/orders", nil)
}
