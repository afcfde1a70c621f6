package cli

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"orderferry/relay"
)

// rulesText tells a cart's rules by their keys in the merchant's file.
func rulesText(r relay.Rules) [][2]string {
	f, s := r.Filter, r.Stock
	rows := [][2]string{
		{"filter.statuses", commas(f.Statuses)}, {"filter.payments", commas(f.Payments)},
		{"filter.tags", commas(f.Tags)}, {"filter.not_tags", commas(f.NotTags)}, {"filter.locations", commas(f.Locations)},
		{"filter.countries", commas(f.Countries)}, {"filter.not_countries", commas(f.NotCountries)},
		{"filter.skus", commas(f.SKUs)}, {"filter.not_skus", commas(f.NotSKUs)}, {"filter.earliest", stamp(f.Earliest)},
	}
	for _, m := range slices.Sorted(maps.Keys(r.Methods.Map)) {
		rows = append(rows, [2]string{"ship_methods." + string(m), string(r.Methods.Map[m])})
	}
	rows = append(rows, [2]string{"ship_methods.unmapped", string(r.Methods.Unmapped)})
	for _, c := range slices.Sorted(maps.Keys(r.Carriers)) {
		rows = append(rows, [2]string{"carriers." + c, r.Carriers[c]})
	}
	rows = append(rows, [2]string{"stock.sites", sites(s.Sites)})
	for _, l := range slices.Sorted(maps.Keys(s.Locations)) {
		rows = append(rows, [2]string{"stock.locations." + l, sites(s.Locations[l])})
	}
	rows = append(rows, [2]string{"stock.floor", unless0(s.Floor)}, [2]string{"stock.buffer", unless0(s.Buffer)}, [2]string{"stock.buffer_percent", unless0(s.BufferPercent)})
	for i := range rows {
		rows[i][0] = "  " + rows[i][0]
	}
	return rows
}

// sites prints the sites of a location; of an empty list, whose location is left
// alone, that it is one.
func sites(list []string) string {
	if list != nil && len(list) == 0 {
		return "none"
	}
	return commas(list)
}

// commas prints the first few words of a list, and how many more there are.
func commas[T ~string](words []T) string {
	const most = 8
	var out []string
	for _, w := range words[:min(len(words), most)] {
		out = append(out, string(w))
	}
	if more := len(words) - most; more > 0 {
		out = append(out, "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(out, ", ")
}

// unless0 prints a number; 0 is left out, as the file leaves it out.
func unless0(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
